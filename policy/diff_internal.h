/* The parts of a diff: for diff*.c only. */
#ifndef DOM_POLICY_DIFF_INTERNAL_H
#define DOM_POLICY_DIFF_INTERNAL_H

#include "policy/diff.h"
#include "policy/policy_internal.h"

#define DOM_DIFF_PLACE_WORDS ((DOM_COUNTRIES_MAX + 63) / 64)
#define DOM_DIFF_KIND_WORDS (2 * DOM_KINDS_MAX / 64)
#define DOM_DIFF_SERVICE_WORDS (2 * DOM_SERVICES_MAX / 64)
#define DOM_DIFF_PURPOSE_WORDS (2 * DOM_PURPOSES_MAX / 64)
#define DOM_DIFF_ITEMS_MAX 1024U
#define DOM_DIFF_ITEM_WORDS (DOM_DIFF_ITEMS_MAX / 64)
/* Both policies' bases begin and end, both policies expire. */
#define DOM_DIFF_STARTS_MAX (4 * (DOM_BASES_MAX + DOM_BASES_BUILT_IN) + 2)
#define DOM_DIFF_TIME_WORDS ((DOM_DIFF_STARTS_MAX + 1 + 63) / 64)
/* No decision needs more classes together to show that it changed: one that passes before, one
 * that passes after, and the one that is treated otherwise. */
#define DOM_DIFF_TOGETHER 3U

enum dom_diff_facet {
    DOM_FACET_CROSSING = 0,
    DOM_FACET_HOME,  /* no border crossed: only the service's section is asked */
    DOM_FACET_PLACE,
    DOM_FACET_SETTING
};

/* The names of one dimension in both policies, grouped into classes that neither tells apart. */
struct dom_diff_axis {
    const char **names;
    dom_policy_id *old_ids; /* by name; NONE when that policy has no such name */
    dom_policy_id *new_ids;
    uint16_t *class_of;     /* by name */
    size_t num_names;
    dom_policy_id *old_rep; /* by class */
    dom_policy_id *new_rep;
    uint32_t *weight;       /* names in the class */
    size_t num;
};

/* A data class, or a field whose class is another one now. */
struct dom_diff_item {
    dom_policy_id old_class;
    dom_policy_id new_class;
    int kind;          /* index in the kinds axis; -1: a class, whatever the kind */
    const char *label;
};

/* What makes a group one. Zeroed before it is filled, so that padding compares equal. */
struct dom_diff_key {
    uint8_t facet;
    uint8_t kind;
    uint8_t looser;
    uint8_t tighter;
    uint8_t old_effect;
    uint8_t new_effect;
    uint8_t old_verdict;
    uint8_t new_verdict;
    dom_policy_id old_rule;
    dom_policy_id new_rule;
    dom_policy_id old_key; /* of a pseudonymise; of a place: its lead */
    dom_policy_id new_key;
    int32_t old_reason;
    int32_t new_reason;
    uint64_t old_set;      /* of a place: regions; of limits: the address of their list */
    uint64_t new_set;
    uint32_t old_num;      /* limits; of a place: copies */
    uint32_t new_num;
    uint32_t together;     /* how many classes at once, when one alone shows nothing */
    uint32_t text;         /* of a setting: its number */
};

struct dom_diff_example {
    size_t home;
    size_t to;
    size_t kind;
    size_t service;
    size_t purpose;
    unsigned op;
    int64_t time_ms;
    uint16_t items[DOM_DIFF_TOGETHER];
    uint8_t num_items;
    bool no_purpose;
    bool has_field; /* the kind has a field of that class, so it can be asked for */
};

struct dom_diff_state {
    struct dom_diff_key key;
    uint64_t cells;
    uint64_t homes[DOM_DIFF_PLACE_WORDS];
    uint64_t tos[DOM_DIFF_PLACE_WORDS];
    uint64_t kinds[DOM_DIFF_KIND_WORDS];
    uint64_t services[DOM_DIFF_SERVICE_WORDS];
    uint64_t purposes[DOM_DIFF_PURPOSE_WORDS];
    uint64_t items[DOM_DIFF_ITEM_WORDS];
    uint64_t times[DOM_DIFF_TIME_WORDS];
    uint32_t ops;
    bool no_purpose;
    struct dom_diff_example example;
};

/* Stretches of time in which neither policy changes by itself. */
struct dom_diff_stretches {
    int64_t starts[DOM_DIFF_STARTS_MAX];
    size_t num; /* of starts; there are num + 1 stretches */
};

/* One of the places is unknown to that policy. */
#define DOM_DIFF_UNKNOWN_STATE UINT32_MAX

/* Pairs of places (home, goal) that both policies treat alike. */
struct dom_diff_pair {
    uint32_t old_state; /* of the chain of tables */
    uint32_t new_state;
    uint64_t homes[DOM_DIFF_PLACE_WORDS];
    uint64_t tos[DOM_DIFF_PLACE_WORDS];
    uint64_t weight;
    size_t home; /* one of them */
    size_t to;
};

/* One way in which one cell changes. */
struct dom_diff_found {
    uint32_t group;
    uint16_t items[DOM_DIFF_TOGETHER];
    uint8_t num_items;
};

struct dom_differ {
    const struct dom_policy *before;
    const struct dom_policy *after;
    struct dom_arena *arena; /* the result's */
    struct dom_diff_axis homes;
    struct dom_diff_axis tos;
    struct dom_diff_axis place_homes;
    struct dom_diff_axis kinds;
    struct dom_diff_axis services;
    struct dom_diff_axis purposes;
    struct dom_diff_item items[DOM_DIFF_ITEMS_MAX];
    size_t num_items;
    size_t num_classes; /* the first items are the classes */
    uint16_t old_class_item[DOM_CLASSES_MAX];
    uint16_t new_class_item[DOM_CLASSES_MAX];
    bool kind_has_items[2 * DOM_KINDS_MAX];
    struct dom_diff_stretches stretches;
    struct dom_diff_stretches place_stretches;
    struct dom_interner groups; /* keys */
    struct dom_diff_state *states;
    size_t states_capacity;
    const char **texts; /* of settings */
    size_t num_texts;
    size_t texts_capacity;
    bool failed;    /* out of memory */
    bool too_large;
};

/* Two requests that ask the two policies the same. */
struct dom_diff_asked {
    struct dom_policy_request before;
    struct dom_policy_request after;
    int kind; /* index in the kinds axis */
};

/* Where a found difference was met. */
struct dom_diff_hit {
    const uint64_t *homes;
    const uint64_t *tos;
    const uint64_t *times;
    uint64_t weight;
    size_t home;
    size_t to;
    size_t kind;
    size_t service;
    size_t purpose;
    unsigned op;
    int64_t time_ms;
    bool no_service; /* of places: nobody asks */
    bool no_purpose;
};

/* The number of the group; UINT32_MAX (and a flag in the differ) when there is no room. */
uint32_t dom_diff_group_of(struct dom_differ *differ, const struct dom_diff_key *key);
void dom_diff_hit(struct dom_differ *differ, const struct dom_diff_found *found,
                  const struct dom_diff_hit *hit);

/* Compares what the two say to the same question, for each item alone and for classes together;
 * appends at most `max` to `out` and returns how many. */
size_t dom_diff_compare(struct dom_differ *differ, const struct dom_diff_asked *asked,
                        struct dom_diff_found *out, size_t max);

/* The pairs of places, merged where both policies' chains begin alike (or, with `only_known`, where
 * the places are known alike). The caller frees. False when out of memory. */
bool dom_diff_pairs(const struct dom_differ *differ, bool only_known,
                    struct dom_diff_pair **pairsp, size_t *num);
/* The question at `at` (kind, op, service, purpose), without its places and time. */
void dom_diff_ask(const struct dom_differ *differ, const struct dom_diff_hit *at, bool crosses,
                  struct dom_diff_asked *asked);
/* Which policy lets the service ask this at all: bit 0 before, bit 1 after. */
uint32_t dom_diff_served(const struct dom_differ *differ, const struct dom_diff_hit *at,
                         const struct dom_diff_asked *asked);

/* The facets. */
void dom_diff_crossing(struct dom_differ *differ);
void dom_diff_home(struct dom_differ *differ);
void dom_diff_places(struct dom_differ *differ);
void dom_diff_settings(struct dom_differ *differ);

/* From states to the groups that are shown. */
bool dom_diff_finish(struct dom_differ *differ, struct dom_diff *diff);

static inline void dom_bits_set(uint64_t *bits, size_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline bool dom_bits_has(const uint64_t *bits, size_t i)
{
    return ((bits[i / 64] >> (i % 64)) & 1U) != 0;
}

static inline void dom_bits_unite(uint64_t *bits, const uint64_t *more, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        bits[i] |= more[i];
    }
}

/* A time inside the stretch: its first moment; for the one before all others the day before. */
static inline int64_t dom_stretch_time(const struct dom_diff_stretches *stretches, size_t i)
{
    return i > 0 ? stretches->starts[i - 1]
                 : stretches->num == 0 ? 0 : stretches->starts[0] - INT64_C(86400000);
}

#endif
