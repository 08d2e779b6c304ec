/* The policy in force: loaded whole or not at all, put in force in one place. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/service/internal.h"

enum dom_code dom_router_open_regions(struct dom_router *router, const struct dom_policy *policy,
                                      struct dom_error *err)
{
    (void)pthread_mutex_lock(&router->holder.lock);
    bool starting = router->holder.current == NULL;
    if (starting) {
        router->holder.first = dom_policy_ref(policy);
    }
    (void)pthread_mutex_unlock(&router->holder.lock);
    for (size_t i = 0; i < dom_policy_num_regions(policy); i++) {
        dom_store_region region = DOM_STORE_NO_REGION;
        const char *name = dom_policy_region_name(policy, (dom_policy_id)i);
        enum dom_code rc = dom_store_open_region(router->store, &region, name, err);
        if (rc != DOM_OK) {
            return dom_error_prefix(err, "region %s", name);
        }
    }
    if (starting) {
        dom_router_open_retired(router);
    }
    return dom_router_check_copies(router, policy, err);
}

/* The first finding that stopped the load, as the reason. */
void dom_name_finding(const struct dom_findings *findings, const char *path, struct dom_error *err)
{
    for (size_t i = 0; i < findings->num_items; i++) {
        const struct dom_finding *one = &findings->items[i];
        if (one->level == DOM_FINDING_ERROR) {
            (void)DOM_FAIL(err, err->code, "%s:%u:%u: error[%s]: %s%s%s", path, one->line,
                           one->column, one->code, one->message, one->help == NULL ? "" : "; ",
                           one->help == NULL ? "" : one->help);
            return;
        }
    }
}

static void put_in_force(struct dom_router *router, struct dom_snapshot *snapshot)
{
    struct dom_policy_holder *holder = &router->holder;
    bool moving = dom_store_rehoming(router->store);

    (void)pthread_mutex_lock(&holder->lock);
    struct dom_snapshot *old = holder->current;
    struct dom_policy *first = holder->first;
    struct dom_policy *before = holder->before;
    holder->before = old == NULL || moving ? NULL : dom_policy_ref(old->policy);
    holder->current = snapshot;
    holder->first = NULL;
    holder->last_failure[0] = '\0';
    (void)pthread_mutex_unlock(&holder->lock);
    dom_store_placement_changed(router->store);
    dom_snapshot_unref(old);
    dom_policy_unref(first);
    dom_policy_unref(before);
}

void dom_router_put_in_force(struct dom_router *router, struct dom_snapshot *snapshot)
{
    const struct dom_policy_info *info = dom_policy_info(snapshot->policy);

    /* Before the first request that is decided by it. */
    dom_router_require_copies(router, snapshot);
    dom_log(DOM_LOG_INFO, "policy.in_force", "name=%s version=%lld sha256=%.12s rules=%zu",
            info->name, (long long)info->version, info->sha256_hex, info->num_rules);
    put_in_force(router, snapshot);
}

void dom_router_review(struct dom_router *router, struct dom_trial *trial)
{
    struct dom_policy_holder *holder = &router->holder;
    const struct dom_pilot *pilot = &router->pilot;

    /* The pilot's thread is the only one that changes `current`: no lock for reading it. */
    struct dom_snapshot *old = holder->current;
    struct dom_snapshot *next =
        dom_snapshot_with(old, trial, pilot->rollout.frozen, pilot->fresh_until_ms);
    (void)pthread_mutex_lock(&holder->lock);
    holder->current = next;
    (void)pthread_mutex_unlock(&holder->lock);
    dom_snapshot_unref(old);
}

static bool same_bytes(struct dom_router *router, const struct dom_policy *policy)
{
    bool same = false;

    (void)pthread_mutex_lock(&router->holder.lock);
    if (router->holder.current != NULL) {
        same = memcmp(dom_policy_info(router->holder.current->policy)->sha256,
                      dom_policy_info(policy)->sha256, 32) == 0;
    }
    (void)pthread_mutex_unlock(&router->holder.lock);
    return same;
}

/* A reload may go forward or stay: an older version, or the same number with other bytes, is a
 * mistake or an attack. */
static enum dom_code check_version(struct dom_router *router, const struct dom_policy *policy,
                                   struct dom_error *err)
{
    const struct dom_rollout *rollout = &router->pilot.rollout;
    const struct dom_policy_info *now = dom_policy_info(router->holder.current->policy);
    const struct dom_policy_info *next = dom_policy_info(policy);

    if (router->pilot.signed_only) {
        return DOM_FAIL(err, DOM_BUNDLE, "UNSIGNED: %s: push a signed bundle",
                        dom_bundle_fault_text(DOM_BUNDLE_UNSIGNED));
    }
    if (strcmp(now->name, next->name) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "policy \"%s\" is in force; the file holds \"%s\"",
                        now->name, next->name);
    }
    if (dom_rollout_active(rollout)) {
        return DOM_FAIL(err, DOM_ROLLOUT,
                        "version %lld is being rolled out: promote or abort it first",
                        (long long)rollout->candidate.version);
    }
    if (next->version <= rollout->highest) {
        return DOM_FAIL(err, DOM_INVALID,
                        "version %lld %s; the file has other bytes under version %lld: give it a "
                        "higher version",
                        (long long)rollout->highest,
                        rollout->highest == now->version ? "is in force" : "was taken here",
                        (long long)next->version);
    }
    return DOM_OK;
}

static void note_failure(struct dom_router *router, const char *why)
{
    (void)pthread_mutex_lock(&router->holder.lock);
    router->holder.reloads_failed++;
    (void)snprintf(router->holder.last_failure, sizeof(router->holder.last_failure), "%s", why);
    (void)pthread_mutex_unlock(&router->holder.lock);
}

enum dom_code dom_router_load_file(struct dom_router *router, struct dom_policy **policyp,
                                   struct dom_findings *findings, struct dom_error *err)
{
    const char *path = router->options.policy_path;
    struct dom_policy_load_options load = {.name = NULL,
                                           .now_ms = dom_clock_wall_ms(router->clock)};
    enum dom_code rc = dom_policy_load(policyp, findings, path, &load, err);

    if (rc == DOM_PARSE) {
        dom_name_finding(findings, path, err);
    }
    return rc;
}

enum dom_code dom_router_load_policy(struct dom_router *router, bool *changedp,
                                     struct dom_approval *approval, struct dom_findings *findings,
                                     struct dom_error *err)
{
    struct dom_policy *policy = NULL;
    struct dom_error own = {0};
    struct dom_error *to = err == NULL ? &own : err;

    *changedp = false;
    enum dom_code rc = dom_router_load_file(router, &policy, findings, to);
    if (rc == DOM_OK && same_bytes(router, policy)) {
        (void)pthread_mutex_lock(&router->holder.lock);
        router->holder.last_failure[0] = '\0'; /* the file is good again */
        (void)pthread_mutex_unlock(&router->holder.lock);
        dom_policy_unref(policy);
        return DOM_OK;
    }
    if (rc == DOM_OK) {
        rc = check_version(router, policy, to);
    }
    if (rc == DOM_OK) {
        rc = dom_router_vote(router, approval, dom_policy_info(policy)->sha256, to);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_reload(router, policy, approval, to);
        policy = NULL;
        *changedp = rc == DOM_OK;
    }
    if (rc != DOM_OK && rc != DOM_SECOND_OPERATOR) {
        note_failure(router, to->message);
    }
    dom_policy_unref(policy);
    return rc;
}

struct reload_job {
    struct dom_job job;
    struct dom_router *router;
};

static void reload_job(struct dom_job *job, struct dom_store_session *session)
{
    struct reload_job *reload = (struct reload_job *)job;
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    bool changed = false;

    (void)session;
    if (dom_router_load_policy(reload->router, &changed, NULL, &findings, &err) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "policy.refused", "text=\"%s\" kept=\"the last good one\"",
                err.message);
    } else if (!changed) {
        dom_log(DOM_LOG_INFO, "policy.unchanged", "path=%s", reload->router->options.policy_path);
    }
    dom_findings_cleanup(&findings);
    free(reload);
}

void dom_router_reload(struct dom_router *router)
{
    struct reload_job *reload = calloc(1, sizeof(*reload));

    DOM_ASSERT(reload != NULL);
    dom_rpc_server_reload_tls(router->server);
    reload->router = router;
    reload->job.run = reload_job;
    if (!dom_worker_push(&router->pilot.worker, &reload->job)) {
        dom_log(DOM_LOG_ERROR, "policy.refused", "text=\"the worker is busy or stopping\"");
        free(reload);
    }
}
