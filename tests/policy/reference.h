/* The plain evaluator: slow, straight from the tree of settings, by comparing strings. It shares
 * nothing with the compiled one but the parser, so that the two can be held against each other. */
#ifndef DOM_TESTS_POLICY_REFERENCE_H
#define DOM_TESTS_POLICY_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "policy/tree.h"

struct reference_request {
    const char *op;
    const char *service; /* NULL: unknown */
    const char *purpose; /* NULL: none */
    const char *kind;    /* NULL: unknown */
    const char *home;    /* NULL: unknown */
    const char *caller;  /* country; NULL: unknown */
    bool crosses;
    int64_t time_ms;
    bool classes[DOM_CLASSES_MAX]; /* in the order of data_classes */
};

#define REFERENCE_LIMITS_MAX 64U

struct reference_limit {
    int64_t records;
    const char *per;
    const char *count;
    const char *window;
    uint64_t classes; /* bit by order of data_classes */
};

struct reference_answer {
    const char *effect;
    const char *reason;
    const char *verdict[DOM_CLASSES_MAX]; /* clear, redact, pseudonymise, withheld; if asked */
    const char *rule[DOM_CLASSES_MAX];    /* "" when none decided */
    const char *basis[DOM_CLASSES_MAX];
    const char *key[DOM_CLASSES_MAX];
    bool permitted[DOM_CLASSES_MAX];      /* a permit in force and no forbid, asked or not */
    bool left_out[DOM_CLASSES_MAX];       /* permitted, but to be withheld */
    size_t num_limits;                    /* of all matching permits in force, any class */
    struct reference_limit limits[REFERENCE_LIMITS_MAX]; /* the first of them */
};

void reference_decide(const struct dom_node *root, const struct reference_request *request,
                      struct reference_answer *answer);

struct reference_place {
    bool in[DOM_CLASSES_MAX][DOM_REGIONS_MAX]; /* in the order of data_classes and regions */
    int min_replicas[DOM_CLASSES_MAX];
    const char *rule[DOM_CLASSES_MAX];
    const char *lead; /* "" when nowhere */
};

void reference_place(const struct dom_node *root, const char *kind, const char *home,
                     int64_t time_ms, struct reference_place *place);

#endif
