/* Where a record is: which region has a row of it to begin with, and whether that still counts. */
#include "router/service/read.h"

enum dom_code dom_read_row(const struct dom_turn *turn, dom_store_region region,
                           const struct dom_key *key, struct dom_store_row *row,
                           struct dom_error *err)
{
    if (region == DOM_STORE_NO_REGION) {
        return DOM_NOT_FOUND;
    }
    return dom_store_get(turn->router->session, region, key->kind_name, key->id, turn->arena, row,
                         err);
}

static bool home_matches(const struct dom_turn *turn, const struct dom_key *key,
                         const struct dom_store_row *row)
{
    return key->home == DOM_POLICY_NONE ||
           strcmp(row->home, dom_policy_country_name(turn->snapshot->policy, key->home)) == 0;
}

/* Every open region but `done`, those of the caller's jurisdiction first. */
static enum dom_code search(const struct dom_turn *turn, const struct dom_key *key,
                            dom_store_set done, struct dom_store_row *row,
                            dom_store_region *regionp, struct dom_error *err)
{
    size_t num_regions = dom_store_num_regions(turn->router->store);

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < num_regions; i++) {
            dom_store_region region = (dom_store_region)i;
            bool near =
                dom_snapshot_jurisdiction(turn->snapshot, region) == turn->caller.jurisdiction;
            if ((done & (UINT64_C(1) << i)) != 0 || near != (pass == 0)) {
                continue;
            }
            enum dom_code rc = dom_read_row(turn, region, key, row, err);
            if (rc != DOM_NOT_FOUND) {
                *regionp = region;
                return rc;
            }
        }
    }
    return DOM_NOT_FOUND;
}

/* The policy's lead does not have it, but records are on their way: it may still be at home where
 * another policy wanted it. */
static enum dom_code find_old_home(const struct dom_turn *turn, const struct dom_key *key,
                                   struct dom_store_row *row, dom_store_region *regionp,
                                   struct dom_error *err)
{
    enum dom_code rc = dom_store_locate(turn->router->session, DOM_STORE_NO_REGION, key->kind_name,
                                        key->id, regionp, err);

    return rc == DOM_OK ? dom_read_row(turn, *regionp, key, row, err) : rc;
}

/* Whether the caller's own region can hold nothing of such a record: then it need not be asked. */
static bool never_near(const struct dom_turn *turn, const struct dom_policy_placement *placement)
{
    return placement != NULL &&
           dom_snapshot_held(turn->snapshot, placement, turn->caller.store_region) == 0;
}

dom_store_region dom_read_lead(const struct dom_turn *turn, dom_policy_id kind,
                               const struct dom_store_row *row)
{
    const struct dom_policy *policy = turn->snapshot->policy;
    dom_policy_id home = dom_policy_find_country(policy, dom_slice_str(row->home));
    const struct dom_policy_placement *placement =
        dom_policy_place(policy, kind, home, turn->now_ms);

    return placement == NULL || placement->lead == DOM_POLICY_NONE
               ? DOM_STORE_NO_REGION
               : turn->snapshot->store_of[placement->lead];
}

/* Whether a copy's record is still at home somewhere. A copy that the caller's own region does not
 * have was looked for everywhere: it may be one that has yet to hear of the record's deletion, and
 * whoever deleted it must not be given it again. Where the home is not served here, nothing is
 * known of it and the copy stands. */
static enum dom_code still_at_home(const struct dom_turn *turn, const struct dom_key *key,
                                   const struct dom_store_row *copy, struct dom_error *err)
{
    dom_store_region lead = dom_read_lead(turn, key->kind, copy);
    dom_store_region home = DOM_STORE_NO_REGION;

    if (lead == DOM_STORE_NO_REGION) {
        return DOM_OK;
    }
    enum dom_code rc =
        dom_store_locate(turn->router->session, lead, key->kind_name, key->id, &home, err);
    return rc == DOM_UNAVAILABLE ? DOM_OK : rc; /* on its way to another home: it is not deleted */
}

enum dom_code dom_read_find(const struct dom_turn *turn, const struct dom_key *key,
                            struct dom_store_row *row, dom_store_region *regionp,
                            struct dom_error *err)
{
    const struct dom_policy_placement *placement = NULL;
    dom_store_region near = turn->caller.store_region;
    dom_store_set done = 0;
    enum dom_code rc = DOM_NOT_FOUND;

    if (key->home != DOM_POLICY_NONE) {
        placement = dom_policy_place(turn->snapshot->policy, key->kind, key->home, turn->now_ms);
    }
    *regionp = near;
    if (!never_near(turn, placement)) {
        rc = dom_read_row(turn, near, key, row, err);
    }
    if (rc != DOM_NOT_FOUND) {
        return rc == DOM_OK && !home_matches(turn, key, row) ? DOM_NOT_FOUND : rc;
    }
    if (near != DOM_STORE_NO_REGION) {
        done |= UINT64_C(1) << near;
    }
    if (key->home == DOM_POLICY_NONE) {
        rc = search(turn, key, done, row, regionp, err);
        return rc == DOM_OK && !row->is_home ? still_at_home(turn, key, row, err) : rc;
    }
    if (placement == NULL || placement->lead == DOM_POLICY_NONE) {
        return DOM_NOT_FOUND;
    }
    *regionp = turn->snapshot->store_of[placement->lead];
    rc = *regionp == near ? DOM_NOT_FOUND : dom_read_row(turn, *regionp, key, row, err);
    if (rc == DOM_NOT_FOUND && dom_store_rehoming(turn->router->store)) {
        rc = find_old_home(turn, key, row, regionp, err);
    }
    return rc == DOM_OK && !home_matches(turn, key, row) ? DOM_NOT_FOUND : rc;
}
