/* What a new policy would do to the calls that the logs tell of, and to the records that are
 * stored. Counting only: nothing is changed, no record is opened.
 *
 * Calls: each entry that a policy decided is asked of the new one by the same function that decides
 * entries again (router/core/redecide.h). Records: rows by their labels (store/region/census.h).
 *
 * Thread contract: a struct belongs to one thread at a time; several may share a policy.
 */
#ifndef DOM_TOOLS_IMPACT_H
#define DOM_TOOLS_IMPACT_H

#include "policy/policy.h"
#include "store/audit/decided.h"
#include "store/region/census.h"

/* ---- calls ---- */

#define DOM_IMPACT_GROUPS_MAX   4096U /* (service, home, to); what comes later is "(others)" */
#define DOM_IMPACT_EXAMPLES_MAX 3U
#define DOM_IMPACT_WHYS_MAX     8U

/* X(NAME, "words") */
#define DOM_IMPACT_FLIPS(X)                  \
    X(DENIED, "newly denied")                \
    X(ALLOWED, "newly allowed")              \
    X(LESS, "given less of")                 \
    X(MORE, "given more of")                 \
    X(BOTH, "given less of and more of")     \
    X(BORDER, "over a border no more, or now")

enum dom_impact_flip {
#define X(name, words) DOM_IMPACT_##name,
    DOM_IMPACT_FLIPS(X)
#undef X
        DOM_IMPACT_FLIP_COUNT
};
const char *dom_impact_flip_words(enum dom_impact_flip flip);

struct dom_impact_example {
    const char *log; /* the log's name, borrowed */
    uint64_t index;
    char id[40];        /* the entry's */
    const char *reason; /* of the new decision; static */
};

/* One service asking about one home's records from one country. */
struct dom_impact_group {
    char service[DOM_POLICY_NAME_BYTES_MAX + 1];
    char home[16];
    char to[16];
    uint64_t num_replayed;
    uint64_t num_allowed_before;
    uint64_t num_allowed_after;
    uint64_t flips[DOM_IMPACT_FLIP_COUNT];
    struct dom_impact_example examples[DOM_IMPACT_FLIP_COUNT][DOM_IMPACT_EXAMPLES_MAX];
};

/* A reason why entries could not be asked of the new policy. */
struct dom_impact_why {
    char what[192]; /* of the first of them */
    const char *log;
    uint64_t index;
    uint64_t count;
};

struct dom_impact {
    const struct dom_policy *policy;
    int64_t time_ms; /* as of when is asked; 0: each entry at its own time */
    uint64_t num_entries;
    uint64_t num_replayed;
    uint64_t num_other; /* no decisions */
    uint64_t num_not_replayed;
    uint64_t flips[DOM_IMPACT_FLIP_COUNT];
    struct dom_impact_why whys[DOM_IMPACT_WHYS_MAX]; /* by the member at fault; the last also holds
                                                      * what finds no room */
    size_t num_whys;
    struct dom_impact_group *groups;
    size_t num_groups;
    uint32_t *index; /* of groups, open addressing, number + 1 */
};

/* Allocates; aborts when out of memory. */
void dom_impact_init(struct dom_impact *impact, const struct dom_policy *policy, int64_t time_ms);
void dom_impact_cleanup(struct dom_impact *impact);
/* Takes one entry's bytes; bytes that are no entry are counted as not replayed. */
void dom_impact_entry(struct dom_impact *impact, const char *log, uint64_t index,
                      struct dom_slice entry);
/* Adds what another has counted. */
void dom_impact_add(struct dom_impact *impact, const struct dom_impact *more);
/* Puts groups in order: most flips first, then by name. */
void dom_impact_sort(struct dom_impact *impact);

/* ---- records ---- */

#define DOM_IMPACT_PLACES_MAX 65536U /* (kind, home, region) */

/* Records and bytes of values, by class of the new policy. */
struct dom_impact_sum {
    uint64_t records[DOM_CLASSES_MAX];
    uint64_t bytes[DOM_CLASSES_MAX];
};

/* The records of one kind and home in one region. */
struct dom_impact_place {
    dom_policy_id kind;    /* of the new policy; NONE: it knows no such kind */
    dom_policy_id home;    /* NONE: no such country, or not known */
    dom_policy_id region;  /* NONE: no such region */
    char home_name[3];
    const char *region_name;
    uint64_t num_home;     /* home rows */
    uint64_t num_rows;
    uint64_t bytes;        /* of values */
    uint64_t num_leave;    /* rows with something that may not lie here */
    uint64_t leave_bytes;
    uint64_t num_homeless; /* home rows with something that may lie nowhere */
    uint64_t homeless_bytes;
    dom_policy_set leave_classes;
    dom_policy_set homeless_classes;
    struct dom_impact_sum all;
    struct dom_impact_sum at_home; /* of home rows */
};

struct dom_impact_copy {
    dom_policy_id kind;
    dom_policy_id home;
    dom_policy_id region; /* that is to hold them */
    uint64_t num_records;
    uint64_t bytes;
};

struct dom_impact_records {
    const struct dom_policy *policy;
    int64_t time_ms;
    uint64_t num_rows;
    uint64_t num_unlabelled; /* rows of before labels, or with one that makes no sense: not judged */
    uint64_t unlabelled_bytes;
    struct dom_impact_place **places;
    size_t num_places;
    struct dom_impact_copy *copies; /* after dom_impact_records_finish */
    size_t num_copies;
    struct dom_impact_kind *kinds;  /* how rows tell the policy's kinds and fields */
    const char *region_name;        /* being counted */
    dom_policy_id region;
};

void dom_impact_records_init(struct dom_impact_records *records, const struct dom_policy *policy,
                             int64_t time_ms);
void dom_impact_records_cleanup(struct dom_impact_records *records);
/* The rows that follow lie in this region; `name` is borrowed. */
void dom_impact_records_region(struct dom_impact_records *records, const char *name);
/* For dom_census_scan; arg is a struct dom_impact_records. */
void dom_impact_record(void *arg, const struct dom_census_row *row);
/* What each region lacks of what it is to hold: records at home less those that are there. */
void dom_impact_records_finish(struct dom_impact_records *records);

#endif
