/* Two policies side by side: what the other one would have said of a request, and how often they
 * disagree. While a candidate is rolled out, every snapshot carries one.
 *
 * The other policy has other numbers for the same names: a trial holds the way from the one to the
 * other, so that asking costs one more decision, no look-up by name and no allocation. Fields whose
 * class differs are followed by their names; where a kind's fields of one class have several in the
 * other policy, all of them count as asked for (it errs towards a newly denied request).
 *
 * Immutable and counted by reference, except the tally's atomic counters. Thread contract: any
 * thread, but for counting.
 */
#ifndef DOM_ROUTER_CORE_TRIAL_H
#define DOM_ROUTER_CORE_TRIAL_H

#include <stdatomic.h>

#include "policy/policy.h"

#define DOM_TRIAL_COUNTRIES_MAX 256U

/* Shared by both sides of one step of a roll-out. Written by one thread, which decides requests (the
 * I/O thread); read by any. */
struct dom_tally {
    atomic_uint refs;
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t disagreements;
    atomic_uint_fast64_t new_denies;
    atomic_uint_fast64_t new_allows;
    atomic_uint_fast64_t eval_errors;
};
struct dom_tally *dom_tally_new(void); /* aborts when out of memory */
struct dom_tally *dom_tally_ref(struct dom_tally *tally);
void dom_tally_unref(struct dom_tally *tally);

struct dom_snapshot;

struct dom_trial {
    atomic_uint refs;
    struct dom_policy *other;       /* one reference */
    struct dom_tally *tally;        /* one reference */
    struct dom_snapshot *candidate; /* one reference; NULL on the candidate's own side */
    bool is_candidate;              /* who holds this trial is the candidate */
    uint8_t percent;                /* of the records that the candidate decides about */
    dom_policy_set regions;         /* whose callers it decides for: ids of the holder's policy */
    /* By an id of the holder's policy: the other's, or NONE. */
    dom_policy_id countries[DOM_TRIAL_COUNTRIES_MAX];
    dom_policy_id purposes[DOM_PURPOSES_MAX];
    dom_policy_id services[DOM_SERVICES_MAX];
    dom_policy_id kinds[DOM_KINDS_MAX];
    dom_policy_set classes[DOM_KINDS_MAX][DOM_CLASSES_MAX];
};

/* From `policy` to `other`; takes own references. Aborts when out of memory. */
struct dom_trial *dom_trial_new(const struct dom_policy *policy, const struct dom_policy *other,
                                struct dom_tally *tally, bool is_candidate);
struct dom_trial *dom_trial_ref(struct dom_trial *trial);
void dom_trial_unref(struct dom_trial *trial); /* NULL is a no-op */

/* Whether the candidate decides about this record (a canary): always the same for one record. */
bool dom_trial_picks(const struct dom_trial *trial, struct dom_slice kind, struct dom_slice id);

struct dom_trial_verdict {
    struct dom_policy_request request;   /* in the other policy's numbers */
    struct dom_policy_decision decision; /* the other's */
    bool disagrees;
    bool new_deny;  /* the candidate denies, or withholds a class that is given in force */
    bool new_allow; /* the candidate gives what is not given in force */
    bool error;     /* the other policy does not know the kind, a place or a class */
};
void dom_trial_compare(const struct dom_trial *trial, const struct dom_policy_request *request,
                       const struct dom_policy_decision *decision,
                       struct dom_trial_verdict *verdict);
/* The tally's one writing thread. */
void dom_trial_count(const struct dom_trial *trial, const struct dom_trial_verdict *verdict);

#endif
