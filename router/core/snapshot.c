#include "router/core/snapshot.h"

#include <stdlib.h>

#include "base/assert.h"

static struct dom_told *told_new(void)
{
    struct dom_told *told = calloc(1, sizeof(*told));

    DOM_ASSERT(told != NULL);
    atomic_init(&told->refs, 1);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        atomic_init(&told->index[i], -1);
    }
    return told;
}

struct dom_told *dom_told_ref(struct dom_told *told)
{
    /* Relaxed: whoever takes a reference already has one. */
    (void)atomic_fetch_add_explicit(&told->refs, 1, memory_order_relaxed);
    return told;
}

void dom_told_unref(struct dom_told *told)
{
    /* Release and acquire: the last owner must see every use by the others before it frees. */
    if (told != NULL && atomic_fetch_sub_explicit(&told->refs, 1, memory_order_acq_rel) == 1) {
        free(told);
    }
}

struct dom_snapshot *dom_snapshot_new(struct dom_policy *policy, const struct dom_store *store,
                                      int64_t loaded_ms)
{
    struct dom_snapshot *snapshot = calloc(1, sizeof(*snapshot));

    DOM_ASSERT(snapshot != NULL);
    atomic_init(&snapshot->refs, 1);
    snapshot->policy = policy;
    snapshot->loaded_ms = loaded_ms;
    snapshot->same_numbers = true;
    snapshot->fresh_until_ms = INT64_MAX;
    snapshot->told = told_new();
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        snapshot->store_of[i] = DOM_STORE_NO_REGION;
        snapshot->policy_of[i] = DOM_POLICY_NONE;
    }
    for (size_t i = 0; i < dom_policy_num_regions(policy); i++) {
        const char *name = dom_policy_region_name(policy, (dom_policy_id)i);
        dom_store_region region = dom_store_find_region(store, dom_slice_str(name));
        snapshot->store_of[i] = region;
        snapshot->same_numbers = snapshot->same_numbers && region == (dom_store_region)i;
        if (region != DOM_STORE_NO_REGION) {
            snapshot->policy_of[region] = (dom_policy_id)i;
        }
    }
    return snapshot;
}

struct dom_snapshot *dom_snapshot_with(const struct dom_snapshot *snapshot,
                                       struct dom_trial *trial, bool frozen,
                                       int64_t fresh_until_ms)
{
    struct dom_snapshot *out = calloc(1, sizeof(*out));

    DOM_ASSERT(out != NULL);
    atomic_init(&out->refs, 1);
    out->policy = dom_policy_ref(snapshot->policy);
    memcpy(out->store_of, snapshot->store_of, sizeof(out->store_of));
    memcpy(out->policy_of, snapshot->policy_of, sizeof(out->policy_of));
    out->same_numbers = snapshot->same_numbers;
    out->loaded_ms = snapshot->loaded_ms;
    memcpy(out->needs, snapshot->needs, sizeof(out->needs));
    out->told = dom_told_ref(snapshot->told);
    out->trial = trial;
    out->frozen = frozen;
    out->fresh_until_ms = fresh_until_ms;
    return out;
}

struct dom_snapshot *dom_snapshot_ref(struct dom_snapshot *snapshot)
{
    /* Relaxed: whoever takes a reference already has one, or the holder's lock. */
    (void)atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void dom_snapshot_unref(struct dom_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    /* Release and acquire: the last owner must see every use by the others before it frees. */
    if (atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) == 1) {
        dom_policy_unref(snapshot->policy);
        dom_trial_unref(snapshot->trial);
        dom_told_unref(snapshot->told);
        free(snapshot);
    }
}

dom_store_set dom_snapshot_to_store(const struct dom_snapshot *snapshot, dom_policy_set regions)
{
    dom_store_set out = 0;

    if (snapshot->same_numbers) {
        return regions;
    }
    for (dom_policy_set left = regions; left != 0; left &= left - 1) {
        dom_store_region region = snapshot->store_of[__builtin_ctzll(left)];
        if (region != DOM_STORE_NO_REGION) {
            out |= UINT64_C(1) << region;
        }
    }
    return out;
}

dom_policy_set dom_snapshot_held(const struct dom_snapshot *snapshot,
                                 const struct dom_policy_placement *placement,
                                 dom_store_region region)
{
    dom_policy_id id = region == DOM_STORE_NO_REGION ? DOM_POLICY_NONE : snapshot->policy_of[region];

    return id == DOM_POLICY_NONE ? 0 : dom_policy_placement_classes(placement, id);
}

dom_policy_id dom_snapshot_jurisdiction(const struct dom_snapshot *snapshot, dom_store_region region)
{
    dom_policy_id id = region == DOM_STORE_NO_REGION ? DOM_POLICY_NONE : snapshot->policy_of[region];

    if (id == DOM_POLICY_NONE) {
        return DOM_POLICY_NONE;
    }
    return dom_policy_country_jurisdiction(snapshot->policy,
                                           dom_policy_region_country(snapshot->policy, id));
}
