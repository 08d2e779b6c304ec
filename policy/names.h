/* A table of names: dense ids in the order of adding, found by hash and compared whole.
 *
 * Memory is the arena's. *Not* thread-safe while names are added; read-only afterwards. Never a
 * match by prefix, never case-folded.
 */
#ifndef DOM_POLICY_NAMES_H
#define DOM_POLICY_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "policy/policy.h"

struct dom_node;

struct dom_names {
    const char **names;             /* by id */
    const struct dom_node **nodes;  /* where each is declared; may hold NULL */
    size_t *lengths;
    uint16_t *index;                /* open addressing; id + 1, 0 is free */
    size_t index_size;              /* a power of two, at least twice the capacity */
    size_t num;
    size_t capacity;
};

/* Room for `capacity` names, at most 32,767. False when the arena is exhausted. */
bool dom_names_init(struct dom_names *names, size_t capacity, struct dom_arena *arena);

/* The id of a new name; of the old one when it is there already (*is_new false);
 * DOM_POLICY_NONE when full. `name` ends with NUL and must outlive the table. */
dom_policy_id dom_names_add(struct dom_names *names, const char *name, const struct dom_node *node,
                            bool *is_new);

/* DOM_POLICY_NONE when unknown. */
dom_policy_id dom_names_find(const struct dom_names *names, struct dom_slice name);

/* "" for ids out of range. */
const char *dom_names_get(const struct dom_names *names, dom_policy_id id);

/* The nearest name that somebody may have meant, or NONE. */
dom_policy_id dom_names_nearest(const struct dom_names *names, struct dom_slice name);

#endif
