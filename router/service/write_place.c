/* Where a write goes: whose record it is, which region commits it and which hold a part of it. */
#include "router/service/write.h"

static const char s_home_missing[] =
    "home is missing: a new record needs the country whose law follows it";
static const char s_hidden[] =
    "no record that this caller may change; name its home to learn what the policy decides";

void dom_write_say_absent(const struct dom_write *write, struct dom_refusal *refusal)
{
    if (write->async.op.type == DOM_STORE_PUT) {
        (void)dom_refuse(refusal, DOM_INVALID, "home", "%s", s_home_missing);
    } else {
        (void)dom_refuse(refusal, DOM_NOT_FOUND, NULL, "%s", s_hidden);
    }
}

/* Whether some region has answered this request already; under which home it was then. */
static bool find_answered(struct dom_write *write, char home[3])
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;
    dom_store_region region = DOM_STORE_NO_REGION;

    if (write->async.op.request_id.len == 0 ||
        dom_store_find_request(write->turn.router->session, write->turn.caller.subject,
                               write->async.op.request_id, &region, home, NULL) != DOM_OK ||
        home[0] == '\0' || snapshot->policy_of[region] == DOM_POLICY_NONE) {
        return false;
    }
    write->answered = region;
    return true;
}

bool dom_write_find_home(struct dom_write *write)
{
    struct dom_turn *turn = &write->turn;
    struct dom_store_row row;
    dom_store_region region = DOM_STORE_NO_REGION;
    struct dom_error err = {0};

    write->home = write->key.home;
    if (write->home != DOM_POLICY_NONE) {
        return true;
    }
    enum dom_code rc = dom_read_find(turn, &write->key, &row, &region, &err);
    if (rc == DOM_NOT_FOUND && find_answered(write, row.home)) {
        rc = DOM_OK; /* a retry: the record may be gone because of this very request */
    }
    if (rc == DOM_NOT_FOUND) {
        dom_write_say_absent(write, &turn->refusal);
        dom_turn_refuse(turn);
        return false;
    }
    if (rc != DOM_OK) {
        dom_write_refuse(write, rc, NULL, err.message);
        return false;
    }
    write->homeless = true;
    write->home = dom_policy_find_country(turn->snapshot->policy, dom_slice_str(row.home));
    if (write->home == DOM_POLICY_NONE) {
        dom_write_refuse(write, DOM_NO_PERMIT, NULL,
                         "the policy in force does not know the record's home");
        return false;
    }
    return true;
}

bool dom_write_find_placement(struct dom_write *write)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;

    write->placement =
        dom_policy_place(snapshot->policy, write->key.kind, write->home, write->turn.now_ms);
    if (write->placement == NULL || write->placement->lead == DOM_POLICY_NONE) {
        dom_write_refuse(write, DOM_NO_PLACEMENT, "home",
                         "no region may hold records of this home");
        return false;
    }
    write->lead = snapshot->store_of[write->placement->lead];
    char home[3];
    if (dom_store_moved_lately(write->turn.router->store) &&
        write->answered == DOM_STORE_NO_REGION) {
        (void)find_answered(write, home);
    }
    if (write->answered != DOM_STORE_NO_REGION) {
        write->lead = write->answered; /* it gives the same answer again, or says what differs */
    }
    if (write->lead == DOM_STORE_NO_REGION) {
        dom_write_refuse(write, DOM_UNAVAILABLE, NULL,
                         "the record's home region is not served here");
        return false;
    }
    return true;
}

dom_store_set dom_write_find_targets(struct dom_write *write)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;
    dom_policy_id home_law = dom_snapshot_jurisdiction(snapshot, write->lead);
    dom_store_set all = dom_snapshot_to_store(snapshot, write->placement->all);
    dom_store_set abroad = 0;

    write->async.op.targets = 0;
    for (dom_store_set left = all & ~(UINT64_C(1) << write->lead); left != 0; left &= left - 1) {
        dom_store_region region = (dom_store_region)__builtin_ctzll(left);
        if ((dom_snapshot_held(snapshot, write->placement, region) & write->classes) == 0) {
            continue;
        }
        write->async.op.targets |= UINT64_C(1) << region;
        if (dom_snapshot_jurisdiction(snapshot, region) != home_law) {
            abroad |= UINT64_C(1) << region;
        }
    }
    for (size_t i = 0; i < write->async.op.num_fields; i++) {
        dom_policy_id data_class =
            dom_access_field_class(snapshot, write->key.kind, write->names[i]);
        write->field_regions[i] =
            dom_snapshot_to_store(snapshot, write->placement->regions[data_class]) &
            ~(UINT64_C(1) << write->lead);
    }
    write->async.op.sync =
        dom_snapshot_to_store(snapshot, write->placement->sync) & write->async.op.targets;
    return abroad;
}
