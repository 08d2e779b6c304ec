/* The tree of settings, with a place for every name and value, and what libconfig made of it.
 *
 * Nodes live in the arena that was passed; strings end with a NUL that is not counted.
 * *Not* thread-safe while it is built; read-only afterwards.
 */
#ifndef DOM_POLICY_TREE_H
#define DOM_POLICY_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/slice.h"
#include "policy/finding_internal.h"

/* libconfig looks for duplicates by scanning, so a group's width bounds its time. */
#define DOM_TREE_MEMBERS_MAX 4096U
/* All values of one file: bounds the memory of a hostile one. */
#define DOM_TREE_NODES_MAX 500000U
/* Memory of the tree of the largest legal file. */
#define DOM_TREE_BYTES_MAX (256U << 20)

enum dom_node_type {
    DOM_NODE_GROUP = 0,
    DOM_NODE_LIST,
    DOM_NODE_ARRAY,
    DOM_NODE_STRING,
    DOM_NODE_INT,
    DOM_NODE_INT64,
    DOM_NODE_FLOAT,
    DOM_NODE_BOOL
};

struct dom_node {
    enum dom_node_type type;
    const char *name;          /* of a group's member; NULL in lists */
    struct dom_place name_at;  /* of the name; of the value in lists */
    struct dom_place value_at;
    struct dom_slice string;
    int64_t integer;
    double real;
    bool boolean;
    struct dom_node *parent;
    struct dom_node *first;    /* children in text order */
    struct dom_node *last;
    struct dom_node *next;
    size_t num;                /* children */
    size_t index;              /* among its siblings */
};

/* Parses the text. *rootp is a group, or NULL unless DOM_OK. Problems go to findings.
 * DOM_OK says that a tree was made which mirrors the text; soft problems (a duplicate key, an
 * overflow) may still be among the findings, so that the checks behind can go on.
 * Errors: PARSE (syntax), TOO_LARGE (over the file limit), RESOURCE. */
enum dom_code dom_tree_parse(struct dom_node **rootp, struct dom_slice text,
                             struct dom_arena *arena, struct dom_findings *findings,
                             struct dom_error *err) DOM_MUST_USE;

/* Lets libconfig parse the same text and compares every name, type and value. A disagreement is
 * finding P0090: then one of the two would not read what the author wrote. Only for a text
 * without lexical findings. Errors: RESOURCE. */
enum dom_code dom_tree_agree(const struct dom_node *root, struct dom_slice text,
                             struct dom_findings *findings, struct dom_error *err) DOM_MUST_USE;

/* The member of that name, or NULL; the first of duplicates. */
const struct dom_node *dom_node_get(const struct dom_node *group, const char *name);

/* rules["x"].classes[2]: a list element that has a string `id` or `name` goes by it. */
void dom_node_path(const struct dom_node *node, char *out, size_t out_size);

/* "group", "list", "array", "string", "integer", "64-bit integer", "number", "boolean". */
const char *dom_node_type_name(enum dom_node_type type);

#endif
