/* The pilot's thread: events of the roll-out, in, and what they ask for, done. */
#include "router/service/pilot.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/log.h"
#include "router/service/internal.h"

#define WATCH_US       UINT64_C(250000) /* counters are told to watchers at most this often */

int64_t dom_pilot_now(const struct dom_router *router)
{
    return dom_clock_wall_ms(router->clock);
}

const struct dom_policy *dom_pilot_in_force(const struct dom_router *router)
{
    return router->holder.current->policy; /* only this thread changes it */
}

/* ---- what others see -------------------------------------------------------------------- */

static void name_regions(const struct dom_policy *policy, dom_policy_set regions, char *out,
                         size_t out_size, char separator)
{
    size_t at = 0;

    out[0] = '\0';
    for (; regions != 0; regions &= regions - 1) {
        const char *name = dom_policy_region_name(policy, (dom_policy_id)__builtin_ctzll(regions));
        size_t len = strlen(name);
        if (at + len + 3 > out_size) {
            break; /* the first ones are named whole */
        }
        if (at > 0) {
            out[at++] = separator;
        }
        memcpy(out + at, name, len);
        at += len;
        out[at] = '\0';
    }
    out[at + 1 < out_size ? at + 1 : at] = '\0';
}

void dom_pilot_publish(struct dom_router *router)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_pilot_view *view = &pilot->view;

    (void)pthread_mutex_lock(&pilot->lock);
    view->rollout = pilot->rollout;
    view->inconclusive = pilot->inconclusive;
    view->signed_only = pilot->signed_only;
    view->fresh_until_ms = pilot->fresh_until_ms;
    (void)snprintf(view->name, sizeof(view->name), "%s", dom_policy_info(dom_pilot_in_force(router))->name);
    memset(view->regions, 0, sizeof(view->regions));
    if (pilot->candidate != NULL) {
        name_regions(pilot->candidate, dom_rollout_regions(&pilot->rollout), view->regions,
                     sizeof(view->regions), '\0');
    }
    (void)pthread_mutex_unlock(&pilot->lock);
    dom_router_rollout_changed(router);
}

/* The candidate's regions in the numbers of the policy in force. */
static dom_policy_set map_regions(const struct dom_policy *from, const struct dom_policy *to,
                                  dom_policy_set regions)
{
    dom_policy_set out = 0;

    for (; regions != 0; regions &= regions - 1) {
        const char *name = dom_policy_region_name(from, (dom_policy_id)__builtin_ctzll(regions));
        dom_policy_id id = dom_policy_find_region(to, dom_slice_str(name));
        out |= id == DOM_POLICY_NONE ? 0 : UINT64_C(1) << id;
    }
    return out;
}

void dom_pilot_apply(struct dom_router *router)
{
    struct dom_pilot *pilot = &router->pilot;
    const struct dom_rollout *rollout = &pilot->rollout;
    struct dom_trial *trial = NULL;

    if (pilot->candidate != NULL) {
        const struct dom_policy *base = dom_pilot_in_force(router);
        struct dom_trial *other_side = dom_trial_new(pilot->candidate, base, pilot->tally, true);
        trial = dom_trial_new(base, pilot->candidate, pilot->tally, false);
        trial->candidate = dom_snapshot_with(pilot->on_trial, other_side, rollout->frozen,
                                             pilot->fresh_until_ms);
        trial->percent = dom_rollout_effective(rollout) == DOM_PHASE_CANARY
                             ? rollout->steps[rollout->at].percent
                             : 0;
        trial->regions = map_regions(pilot->candidate, base, dom_rollout_regions(rollout));
    }
    dom_router_review(router, trial);
    dom_pilot_publish(router);
}

static void new_tally(struct dom_pilot *pilot, bool active)
{
    struct dom_tally *fresh = active ? dom_tally_new() : NULL;

    (void)pthread_mutex_lock(&pilot->lock);
    struct dom_tally *old = pilot->tally;
    pilot->tally = fresh;
    (void)pthread_mutex_unlock(&pilot->lock);
    dom_tally_unref(old);
    pilot->inconclusive = false;
}

/* ---- entries ---------------------------------------------------------------------------- */

void dom_pilot_describe(struct dom_pilot_report *report, const struct dom_router *router,
                     const struct dom_rollout *rollout, const struct dom_policy *policy,
                     const char *action, struct dom_slice operator_id)
{
    const struct dom_pilot *pilot = &router->pilot;
    struct dom_telling *telling = &report->telling;

    telling->type = DOM_AUDIT_ROLLOUT;
    telling->policy = policy;
    telling->time_ms = dom_pilot_now(router);
    dom_telling_text(telling, "action", dom_slice_str(action));
    dom_telling_text(telling, "change",
                     dom_slice_str(dom_rollout_change_name(rollout->change)));
    dom_telling_text(telling, "stage", dom_slice_str(dom_rollout_phase_name(rollout->phase)));
    dom_telling_number(telling, "step", (int64_t)rollout->at + 1);
    dom_telling_text(telling, "bundle", dom_slice_str(pilot->origin.bundle));
    dom_telling_text(telling, "plan", dom_slice_str(pilot->origin.plan));
    dom_telling_text(telling, "signers", dom_slice_str(pilot->origin.signers));
    dom_telling_text(telling, "operator", operator_id);
    if (dom_rollout_effective(rollout) == DOM_PHASE_CANARY) {
        dom_telling_number(telling, "percent", rollout->steps[rollout->at].percent);
    }
    if (dom_rollout_effective(rollout) == DOM_PHASE_REGIONS) {
        name_regions(policy, dom_rollout_regions(rollout), report->regions,
                     sizeof(report->regions), ',');
        dom_telling_text(telling, "regions", dom_slice_str(report->regions));
    }
    dom_telling_text(telling, "reason", dom_slice_str(rollout->reason));
}

enum dom_code dom_pilot_save_state(const struct dom_router *router, const struct dom_rollout *next,
                          struct dom_error *err)
{
    return dom_pilot_save(&router->pilot, next, dom_policy_info(dom_pilot_in_force(router))->name, err);
}

/* ---- forwards: told, saved, applied --------------------------------------------------------- */

static enum dom_code begin_step(struct dom_router *router, const struct dom_rollout *next,
                                const char *action, struct dom_slice operator_id,
                                struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_pilot_report report = {0};
    enum dom_code rc = DOM_OK;

    if (dom_rollout_effective(next) != DOM_PHASE_SHADOW) {
        rc = dom_router_open_regions(router, pilot->candidate, err);
    }
    struct dom_snapshot *snapshot =
        dom_snapshot_new(dom_policy_ref(pilot->candidate), router->store, dom_pilot_now(router));
    if (rc == DOM_OK) {
        dom_pilot_describe(&report, router, next, pilot->candidate, action, operator_id);
        report.telling.indexed = snapshot;
        rc = dom_router_tell(router, &report.telling, err);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_save_state(router, next, err);
    }
    if (rc != DOM_OK) {
        dom_snapshot_unref(snapshot);
        return rc;
    }
    dom_snapshot_unref(pilot->on_trial);
    pilot->on_trial = snapshot;
    pilot->rollout = *next;
    new_tally(pilot, true);
    dom_pilot_apply(router);
    dom_log(DOM_LOG_INFO, "rollout.stage", "version=%lld stage=%s step=%zu/%zu",
            (long long)next->candidate.version, dom_rollout_phase_name(next->phase), next->at + 1,
            next->num_steps);
    return DOM_OK;
}

void dom_pilot_drop(struct dom_pilot *pilot)
{
    dom_policy_unref(pilot->candidate);
    pilot->candidate = NULL;
    dom_snapshot_unref(pilot->on_trial);
    pilot->on_trial = NULL;
    memset(&pilot->origin, 0, sizeof(pilot->origin));
    new_tally(pilot, false);
}

/* `policy` comes into force by a roll-out or a reload, as `report` tells. Takes no reference. */
static enum dom_code enforce(struct dom_router *router, const struct dom_rollout *next,
                             const struct dom_policy *policy, struct dom_pilot_report *report,
                             struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    enum dom_code rc = dom_router_open_regions(router, policy, err);

    struct dom_snapshot *snapshot =
        dom_snapshot_new(dom_policy_ref(policy), router->store, dom_pilot_now(router));
    snapshot->frozen = next->frozen;
    snapshot->fresh_until_ms = pilot->fresh_until_ms;
    if (rc == DOM_OK) {
        report->telling.type = DOM_AUDIT_POLICY;
        report->telling.indexed = snapshot;
        rc = dom_router_tell(router, &report->telling, err);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_save_state(router, next, err);
    }
    if (rc != DOM_OK) {
        dom_snapshot_unref(snapshot);
        return rc;
    }
    pilot->rollout = *next;
    dom_router_put_in_force(router, snapshot);
    dom_pilot_drop(pilot);
    dom_pilot_publish(router);
    return DOM_OK;
}

static enum dom_code note(struct dom_router *router, const struct dom_rollout *next,
                          const char *action, struct dom_slice operator_id, struct dom_error *err)
{
    struct dom_pilot_report report = {0};

    dom_pilot_describe(&report, router, next, router->pilot.candidate, action, operator_id);
    enum dom_code rc = dom_router_tell(router, &report.telling, err);
    if (rc == DOM_OK) {
        rc = dom_pilot_save_state(router, next, err);
    }
    if (rc == DOM_OK) {
        router->pilot.rollout = *next;
        dom_pilot_publish(router);
    }
    return rc;
}

/* ---- backwards: saved, applied, told -------------------------------------------------------- */

/* Stops at once, whatever the disk and the logs say, and remembers what it owes the disk. */
void dom_pilot_stop_at_once(struct dom_router *router, const struct dom_rollout *next,
                            const struct dom_policy *about, const char *action,
                            struct dom_slice operator_id)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_policy *policy = dom_policy_ref(about);
    struct dom_pilot_report report = {0};
    struct dom_error err = {0};

    pilot->unsaved = dom_pilot_save_state(router, next, &err) != DOM_OK;
    if (pilot->unsaved) {
        dom_log(DOM_LOG_ERROR, "rollout.unsaved", "text=\"%s\"", err.message);
    }
    struct dom_pilot_origin origin = pilot->origin; /* the entry names the bundle that was stopped */
    pilot->rollout = *next;
    if (!dom_rollout_active(next)) {
        dom_pilot_drop(pilot);
    }
    dom_pilot_apply(router);
    struct dom_pilot_origin kept = pilot->origin;
    pilot->origin = origin;
    dom_pilot_describe(&report, router, next, policy, action, operator_id);
    if (next->frozen) {
        dom_telling_text(&report.telling, "frozen", dom_slice_str(next->frozen_reason));
    }
    if (dom_router_tell(router, &report.telling, &err) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "rollout.untold", "text=\"%s\"", err.message);
    }
    pilot->origin = kept;
    dom_policy_unref(policy);
}

/* ---- events ----------------------------------------------------------------------------- */

enum dom_code dom_pilot_act(struct dom_router *router, const struct dom_rollout *next,
                         const struct dom_rollout_update *update, struct dom_slice operator_id,
                         struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_pilot_report report = {0};

    switch (update->action) {
    case DOM_ACTION_STEP:
        return begin_step(router, next, update->what, operator_id, err);
    case DOM_ACTION_ENFORCE:
        dom_pilot_describe(&report, router, next, pilot->candidate, update->what, operator_id);
        return enforce(router, next, pilot->candidate, &report, err);
    case DOM_ACTION_RETREAT:
        dom_log(DOM_LOG_WARN, "rollout.aborted", "version=%lld reason=\"%s\"",
                (long long)next->candidate.version, next->reason);
        dom_pilot_stop_at_once(router, next, pilot->candidate, update->what, operator_id);
        return DOM_OK;
    case DOM_ACTION_NOTE:
        return note(router, next, update->what, operator_id, err);
    case DOM_ACTION_NONE:
    default:
        return DOM_OK;
    }
}

void dom_pilot_read_tally(const struct dom_tally *tally, struct dom_rollout_tally *out)
{
    /* Relaxed: counters of a moment ago. Details first: none is above the requests then. */
    out->eval_errors = atomic_load_explicit(&tally->eval_errors, memory_order_relaxed);
    out->new_allows = atomic_load_explicit(&tally->new_allows, memory_order_relaxed);
    out->new_denies = atomic_load_explicit(&tally->new_denies, memory_order_relaxed);
    out->disagreements = atomic_load_explicit(&tally->disagreements, memory_order_relaxed);
    out->requests = atomic_load_explicit(&tally->requests, memory_order_relaxed);
}

static void tell_watchers(struct dom_router *router, uint64_t requests)
{
    struct dom_pilot *pilot = &router->pilot;
    uint64_t now = dom_clock_monotonic_us(router->clock);
    bool draining = dom_rpc_server_draining(router->server);

    if (draining || (requests != pilot->told_requests && now - pilot->told_us >= WATCH_US)) {
        pilot->told_requests = requests;
        pilot->told_us = now;
        dom_router_rollout_changed(router);
    }
}

void dom_pilot_tick(void *context)
{
    struct dom_router *router = context;
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout_event event = {.type = DOM_ROLLOUT_TICK, .now_ms = dom_pilot_now(router)};
    struct dom_rollout_update update;
    struct dom_error err = {0};

    if (pilot->unsaved) {
        pilot->unsaved = dom_pilot_save_state(router, &pilot->rollout, &err) != DOM_OK;
    }
    if (pilot->tally != NULL) {
        dom_pilot_read_tally(pilot->tally, &event.tally);
    }
    tell_watchers(router, event.tally.requests);
    if (!dom_rollout_active(&pilot->rollout)) {
        return;
    }
    struct dom_rollout next = pilot->rollout;
    enum dom_code rc = dom_rollout_step(&next, &event, &update, &err);
    if (rc == DOM_OK && update.inconclusive != pilot->inconclusive) {
        pilot->inconclusive = update.inconclusive;
        dom_pilot_publish(router);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_act(router, &next, &update, dom_slice_of(NULL, 0), &err);
    }
    if (rc != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "rollout.held", "text=\"%s\"", err.message);
    }
}

/* ---- orders ----------------------------------------------------------------------------- */

static enum dom_code steer(struct dom_router *router, struct dom_pilot_order *order,
                           enum dom_rollout_event_type type, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout next = pilot->rollout;
    struct dom_rollout_update update;
    char reason[DOM_ROLLOUT_REASON_SIZE];

    (void)snprintf(reason, sizeof(reason), "by an operator: %.*s", (int)order->reason.len,
                   order->reason.len == 0 ? "" : (const char *)order->reason.data);
    struct dom_rollout_event event = {.type = type, .now_ms = dom_pilot_now(router), .reason = reason};
    if (order->version != 0 && order->version != next.candidate.version) {
        return DOM_FAIL(err, DOM_ROLLOUT, "version %lld is not the one under way (%lld is)",
                        (long long)order->version, (long long)next.candidate.version);
    }
    enum dom_code rc = dom_rollout_step(&next, &event, &update, err);
    if (rc == DOM_OK) {
        /* A step that an operator asked for says so. */
        update.what = type == DOM_ROLLOUT_PROMOTE ? "promote" : update.what;
        rc = dom_pilot_act(router, &next, &update, order->operator_id, err);
    }
    order->changed = rc == DOM_OK;
    return rc;
}

enum dom_code dom_pilot_obey(struct dom_router *router, struct dom_pilot_order *order,
                             struct dom_error *err)
{
    order->fault = DOM_BUNDLE_NONE;
    order->changed = false;
    switch (order->verb) {
    case DOM_PILOT_PUSH:
        return dom_pilot_push(router, order, err);
    case DOM_PILOT_PROMOTE:
        return steer(router, order, DOM_ROLLOUT_PROMOTE, err);
    case DOM_PILOT_PAUSE:
        return steer(router, order, DOM_ROLLOUT_PAUSE, err);
    case DOM_PILOT_RESUME:
        return steer(router, order, DOM_ROLLOUT_RESUME, err);
    case DOM_PILOT_ABORT:
        return steer(router, order, DOM_ROLLOUT_ABORT, err);
    case DOM_PILOT_FREEZE:
    case DOM_PILOT_UNFREEZE:
    default:
        return dom_pilot_freeze(router, order, err);
    }
}

enum dom_code dom_pilot_reload(struct dom_router *router, struct dom_policy *policy,
                               const struct dom_approval *approval, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    const struct dom_policy_info *info = dom_policy_info(policy);
    struct dom_rollout next = pilot->rollout;
    struct dom_pilot_report report = {0};

    DOM_ASSERT(!dom_rollout_active(&next));
    next.phase = DOM_PHASE_ENFORCED;
    memset(&next.candidate, 0, sizeof(next.candidate));
    next.reason[0] = '\0';
    next.enforced.version = info->version;
    memcpy(next.enforced.sha256, info->sha256, 32);
    memcpy(next.file_sha256, info->sha256, 32);
    next.highest = info->version;
    report.telling.policy = policy;
    report.telling.time_ms = dom_pilot_now(router);
    if (approval != NULL) {
        dom_telling_text(&report.telling, "operator", approval->operator_id);
        dom_telling_text(&report.telling, "operator_first", dom_slice_str(approval->first));
    }
    enum dom_code rc = dom_pilot_keep(pilot, policy, err);
    if (rc == DOM_OK) {
        rc = enforce(router, &next, policy, &report, err);
    }
    dom_policy_unref(policy);
    return rc;
}
