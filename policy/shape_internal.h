/* A table of keys, and the walk that holds a tree against it (P01). */
#ifndef DOM_POLICY_SHAPE_INTERNAL_H
#define DOM_POLICY_SHAPE_INTERNAL_H

#include "policy/model.h"

enum shape_type {
    SHAPE_STRING,   /* not empty */
    SHAPE_TEXT,     /* string that may be empty */
    SHAPE_LABEL,    /* string: dom_label_valid */
    SHAPE_INT,      /* integer of either width, min to max */
    SHAPE_NUMBER,   /* integer or float, 0 to 1 */
    SHAPE_BOOL,
    SHAPE_NAMES,    /* string, or list or array of min to max strings */
    SHAPE_DATE,
    SHAPE_TIME,     /* RFC 3339 in UTC, or a date */
    SHAPE_DURATION,
    SHAPE_CHOICE,   /* string, one of `choices` */
    SHAPE_GROUP,    /* `keys` */
    SHAPE_MAP,      /* group of up to max identifiers, each a group of `keys` */
    SHAPE_FIELDS,   /* group of up to max field names, each a string */
    SHAPE_SETS,     /* group of up to max identifiers, each SHAPE_NAMES */
    SHAPE_LIST      /* list of up to max groups of `keys` */
};

struct shape {
    const char *name;
    enum shape_type type;
    bool required;
    int64_t min;
    int64_t max;
    const struct shape *keys; /* ends with a NULL name */
    const char *choices;      /* words with one blank between */
};

#define DOM_SHAPE_NAMES_MAX 4096
#define DOM_SHAPE_NOTE {"note", SHAPE_STRING, false, 0, 0, NULL, NULL}
#define DOM_SHAPE_LAST {NULL, SHAPE_STRING, false, 0, 0, NULL, NULL}

/* Holds the group against the keys; each difference is a finding. */
void dom_shape_walk(const struct dom_node *group, const struct shape *keys,
                    struct dom_findings *findings);

#endif
