/* A policy in force together with what the router derives from it: which of the policy's regions
 * are open in this process, as numbers of the store.
 *
 * Immutable and counted by reference: a request keeps the snapshot it began with (hot reload,
 * promise P11). Thread contract: any thread.
 */
#ifndef DOM_ROUTER_CORE_SNAPSHOT_H
#define DOM_ROUTER_CORE_SNAPSHOT_H

#include <stdatomic.h>

#include "policy/policy.h"
#include "router/core/trial.h"
#include "store/store.h"

/* Where the logs tell of a policy: by store region the index of the entry; -1: not yet. Written by
 * the store's threads, before or soon after the policy is in use. */
struct dom_told {
    atomic_uint refs;
    _Atomic int64_t index[DOM_REGIONS_MAX];
};
struct dom_told *dom_told_ref(struct dom_told *told);
void dom_told_unref(struct dom_told *told); /* NULL is a no-op */

struct dom_snapshot {
    atomic_uint refs;
    struct dom_policy *policy;                        /* one reference */
    dom_store_region store_of[DOM_REGIONS_MAX];       /* by policy region; NO_REGION: not open */
    dom_policy_id policy_of[DOM_REGIONS_MAX];         /* by store region; NONE: not in the policy */
    bool same_numbers;                                /* the two numberings agree for all */
    int64_t loaded_ms;
    struct dom_told *told;         /* one reference; shared by all views of one activation */
    struct dom_trial *trial;       /* one reference; NULL: no roll-out is under way */
    bool frozen;                   /* nothing crosses a border, whatever the policy says */
    int64_t fresh_until_ms;        /* past this nobody knows whether there is a newer policy, and
                                    * nothing crosses; INT64_MAX: no timestamps are wanted */
    struct dom_store_need needs[DOM_REGIONS_MAX];     /* by store region: where entries must be, too;
                                                       * filled before it comes into force */
};

/* Takes over the caller's reference to `policy`. Aborts when out of memory (start-up, reload). */
struct dom_snapshot *dom_snapshot_new(struct dom_policy *policy, const struct dom_store *store,
                                      int64_t loaded_ms);
struct dom_snapshot *dom_snapshot_ref(struct dom_snapshot *snapshot);
void dom_snapshot_unref(struct dom_snapshot *snapshot);

/* Another view of the same policy, for a change that is not of the policy: another trial (taken over;
 * may be NULL), frozen or not, fresh for longer. The same entries tell of it. */
struct dom_snapshot *dom_snapshot_with(const struct dom_snapshot *snapshot,
                                       struct dom_trial *trial, bool frozen,
                                       int64_t fresh_until_ms);

/* Why nothing may cross a border at this time, whatever the policy says: FROZEN, POLICY_EXPIRED
 * (the timestamp has), or OK. */
static inline enum dom_code dom_snapshot_closed(const struct dom_snapshot *snapshot, int64_t time_ms)
{
    if (snapshot->frozen) {
        return DOM_FROZEN;
    }
    return time_ms >= snapshot->fresh_until_ms ? DOM_POLICY_EXPIRED : DOM_OK;
}

/* A set of the policy's regions as a set of the store's; regions that are not open fall out. */
dom_store_set dom_snapshot_to_store(const struct dom_snapshot *snapshot, dom_policy_set regions);

/* What a store region may hold of a placement, in the policy's classes. 0 for a region that the
 * policy does not know. */
dom_policy_set dom_snapshot_held(const struct dom_snapshot *snapshot,
                                 const struct dom_policy_placement *placement,
                                 dom_store_region region);

/* The jurisdiction in which a store region lies, or NONE. */
dom_policy_id dom_snapshot_jurisdiction(const struct dom_snapshot *snapshot,
                                        dom_store_region region);

#endif
