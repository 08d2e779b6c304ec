/* The policy in force: loaded whole or not at all, told to every region's log, replaced by a reload.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/service/internal.h"
#include "store/audit/event.h"

/* One control entry for every open log: this policy is in force from here on. */
struct announcement {
    struct announcement *next; /* of those that wait for their log to open again */
    struct dom_async async;
    struct dom_buffer bytes;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    struct dom_router *router;
    dom_store_region region;
};

static void announcement_free(struct announcement *one)
{
    dom_buffer_cleanup(&one->bytes);
    free(one);
}

/* The log is closed: the entry waits until it opens, in the order of coming. */
static void set_aside(struct announcement *one, const char *why)
{
    struct dom_policy_holder *holder = &one->router->holder;
    struct announcement **at = &holder->waiting;

    dom_log(DOM_LOG_WARN, "policy.announce", "region=%s text=\"%s\" then=\"when the log is back\"",
            dom_store_region_name(one->router->store, one->region), why);
    one->next = NULL;
    (void)pthread_mutex_lock(&holder->lock);
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = one;
    (void)pthread_mutex_unlock(&holder->lock);
}

/* On the log's commit thread. */
static void announced(struct dom_async *async)
{
    struct announcement *one = async->owner;

    if (async->op.code == DOM_OK) {
        atomic_store_explicit(&one->router->policy_index[one->region],
                              (int64_t)one->receipt.index, memory_order_relaxed);
        announcement_free(one);
    } else {
        set_aside(one, async->op.message);
    }
}

static void submit(struct announcement *one)
{
    struct dom_error err = {0};

    one->async.op.owner = &one->async;
    if (dom_store_submit(one->router->store, &one->async.op, &err) != DOM_OK) {
        set_aside(one, err.message);
    }
}

void dom_router_announce_again(struct dom_router *router)
{
    struct dom_policy_holder *holder = &router->holder;

    (void)pthread_mutex_lock(&holder->lock);
    struct announcement *list = holder->waiting;
    holder->waiting = NULL;
    (void)pthread_mutex_unlock(&holder->lock);
    while (list != NULL) {
        struct announcement *one = list;
        list = one->next;
        submit(one);
    }
}

void dom_router_forget_announcements(struct dom_router *router)
{
    while (router->holder.waiting != NULL) {
        struct announcement *one = router->holder.waiting;
        router->holder.waiting = one->next;
        announcement_free(one);
    }
}

static enum dom_code encode_activation(struct dom_router *router, dom_store_region region,
                                       const struct dom_snapshot *snapshot,
                                       const struct dom_approval *approval, struct dom_buffer *out,
                                       struct dom_error *err)
{
    const struct dom_policy_info *info = dom_policy_info(snapshot->policy);
    struct dom_audit_event event = {.type = DOM_AUDIT_POLICY};
    struct dom_audit_detail details[2];
    uint8_t random[26];

    if (getentropy(random, sizeof(random)) != 0) {
        return DOM_FAIL(err, DOM_INTERNAL, "no randomness from the system");
    }
    dom_audit_uuid7(event.id, snapshot->loaded_ms, random);
    memcpy(event.nonce, random + 10, DOM_NONCE_SIZE);
    event.time_ms = snapshot->loaded_ms;
    event.origin = dom_slice_str(dom_store_log_origin(router->store, region));
    event.router.build = dom_slice_str(DOM_BUILD_NAME);
    event.router.instance = dom_slice_str(router->options.instance);
    event.router.region = dom_slice_str(dom_store_region_name(router->store, region));
    event.policy.name = dom_slice_str(info->name);
    event.policy.version = info->version;
    event.policy.sha256 = dom_slice_str(info->sha256_hex);
    event.policy.index = -1;
    if (approval != NULL) {
        details[event.num_details++] = (struct dom_audit_detail){
            .name = DOM_SLICE_LIT("operator"), .text = approval->operator_id};
    }
    if (approval != NULL && approval->first[0] != '\0') {
        details[event.num_details++] = (struct dom_audit_detail){
            .name = DOM_SLICE_LIT("operator_first"), .text = dom_slice_str(approval->first)};
    }
    event.details = details;
    return dom_audit_event_encode(&event, out, err);
}

void dom_router_announce_policy(struct dom_router *router, const struct dom_snapshot *snapshot,
                                const struct dom_approval *approval)
{
    for (size_t i = 0; i < dom_store_num_regions(router->store); i++) {
        struct announcement *one = calloc(1, sizeof(*one));
        struct dom_error err = {0};
        DOM_ASSERT(one != NULL);
        one->router = router;
        one->region = (dom_store_region)i;
        enum dom_code rc =
            encode_activation(router, one->region, snapshot, approval, &one->bytes, &err);
        one->entry = dom_buffer_slice(&one->bytes);
        one->async.owner = one;
        one->async.done = announced;
        one->async.op.type = DOM_STORE_APPEND;
        one->async.op.region = one->region;
        one->async.op.deadline_us = UINT64_MAX;
        one->async.op.entries = &one->entry;
        one->async.op.num_entries = 1;
        one->async.op.receipts = &one->receipt;
        if (rc == DOM_OK) {
            submit(one);
        } else {
            dom_log(DOM_LOG_ERROR, "policy.announce", "text=\"%s\"", err.message);
            announcement_free(one);
        }
    }
}

static enum dom_code open_regions(struct dom_router *router, const struct dom_policy *policy,
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
    return DOM_OK;
}

/* The first finding that stopped the load, as the reason. */
static void name_finding(const struct dom_findings *findings, const char *path,
                         struct dom_error *err)
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
    enum dom_code rc = DOM_OK;
    const struct dom_policy_info *next = dom_policy_info(policy);

    (void)pthread_mutex_lock(&router->holder.lock);
    if (router->holder.current != NULL) {
        const struct dom_policy_info *now = dom_policy_info(router->holder.current->policy);
        if (strcmp(now->name, next->name) != 0) {
            rc = DOM_FAIL(err, DOM_INVALID, "policy \"%s\" is in force; the file holds \"%s\"",
                          now->name, next->name);
        } else if (next->version <= now->version) {
            rc = DOM_FAIL(err, DOM_INVALID,
                          "version %lld is in force; the file has other bytes under version %lld: "
                          "give it a higher version",
                          (long long)now->version, (long long)next->version);
        }
    }
    (void)pthread_mutex_unlock(&router->holder.lock);
    return rc;
}

enum dom_code dom_router_load_policy(struct dom_router *router, bool *changedp,
                                     struct dom_approval *approval, struct dom_findings *findings,
                                     struct dom_error *err)
{
    struct dom_policy *policy = NULL;
    struct dom_error own = {0};
    int64_t now = dom_clock_wall_ms(router->clock);
    struct dom_policy_load_options load = {.name = NULL, .now_ms = now};
    struct dom_error *to = err == NULL ? &own : err;

    *changedp = false;
    enum dom_code rc =
        dom_policy_load(&policy, findings, router->options.policy_path, &load, to);
    if (rc == DOM_PARSE) {
        name_finding(findings, router->options.policy_path, to);
    }
    if (rc == DOM_OK && same_bytes(router, policy)) {
        (void)pthread_mutex_lock(&router->holder.lock);
        router->holder.last_failure[0] = '\0'; /* the file is good again */
        (void)pthread_mutex_unlock(&router->holder.lock);
        goto out;
    }
    if (rc == DOM_OK) {
        rc = check_version(router, policy, to);
    }
    if (rc == DOM_OK && router->server != NULL) {
        rc = dom_router_vote(router, approval, dom_policy_info(policy)->sha256, to);
    }
    if (rc == DOM_OK) {
        rc = open_regions(router, policy, to);
    }
    if (rc == DOM_OK) {
        struct dom_snapshot *snapshot = dom_snapshot_new(policy, router->store, now);
        struct dom_snapshot *announced_snapshot = dom_snapshot_ref(snapshot);
        policy = NULL;
        put_in_force(router, snapshot);
        *changedp = true;
        if (router->server != NULL) {
            dom_router_announce_policy(router, announced_snapshot, approval);
        }
        const struct dom_policy_info *info = dom_policy_info(announced_snapshot->policy);
        dom_log(DOM_LOG_INFO, "policy.loaded", "name=%s version=%lld sha256=%.12s rules=%zu",
                info->name, (long long)info->version, info->sha256_hex, info->num_rules);
        dom_snapshot_unref(announced_snapshot);
    } else if (rc != DOM_SECOND_OPERATOR) {
        (void)pthread_mutex_lock(&router->holder.lock);
        router->holder.reloads_failed++;
        (void)snprintf(router->holder.last_failure, sizeof(router->holder.last_failure), "%s",
                       to->message);
        (void)pthread_mutex_unlock(&router->holder.lock);
    }
out:
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
    if (!dom_worker_push(&router->worker, &reload->job)) {
        dom_log(DOM_LOG_ERROR, "policy.refused", "text=\"the worker is busy or stopping\"");
        free(reload);
    }
}
