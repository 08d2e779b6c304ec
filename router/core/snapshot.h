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
#include "store/store.h"

struct dom_snapshot {
    atomic_uint refs;
    struct dom_policy *policy;                        /* one reference */
    dom_store_region store_of[DOM_REGIONS_MAX];       /* by policy region; NO_REGION: not open */
    dom_policy_id policy_of[DOM_REGIONS_MAX];         /* by store region; NONE: not in the policy */
    bool same_numbers;                                /* the two numberings agree for all */
    int64_t loaded_ms;
};

/* Takes over the caller's reference to `policy`. Aborts when out of memory (start-up, reload). */
struct dom_snapshot *dom_snapshot_new(struct dom_policy *policy, const struct dom_store *store,
                                      int64_t loaded_ms);
struct dom_snapshot *dom_snapshot_ref(struct dom_snapshot *snapshot);
void dom_snapshot_unref(struct dom_snapshot *snapshot);

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
