#include "router/service/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/rpc/descriptors.h"
#include "router/service/internal.h"
#include "store/audit/event.h"

#define CROSS_BORDER_HEALTH "domicile.v1.RecordService/cross-border"

static const struct dom_rpc_method s_methods[] = {
    {"/domicile.v1.RecordService/GetRecord", DOM_RPC_UNARY, 64, true, dom_handle_get},
    {"/domicile.v1.RecordService/PutRecord", DOM_RPC_UNARY, 64, true, dom_handle_put},
    {"/domicile.v1.RecordService/BatchGetRecords", DOM_RPC_UNARY, 16, true, dom_handle_batch_get},
    {"/domicile.v1.RecordService/DeleteRecord", DOM_RPC_UNARY, 8, true, dom_handle_delete},
    {"/domicile.v1.RecordService/ListRecords", DOM_RPC_SERVER_STREAM, 4, true, dom_handle_list},
    {"/domicile.v1.RecordService/ExplainAccess", DOM_RPC_UNARY, 4, true, dom_handle_explain},
    {"/domicile.v1.PolicyService/GetPolicy", DOM_RPC_UNARY, 2, true, dom_handle_get_policy},
    {"/domicile.v1.PolicyService/GetPolicyStatus", DOM_RPC_UNARY, 2, true,
     dom_handle_get_policy_status},
    {"/domicile.v1.PolicyService/ReloadPolicy", DOM_RPC_UNARY, 2, true, dom_handle_reload_policy},
    {"/domicile.v1.AuditService/ListEntries", DOM_RPC_SERVER_STREAM, 2, true,
     dom_handle_list_entries},
    {"/domicile.v1.AuditService/GetCheckpoint", DOM_RPC_UNARY, 2, true, dom_handle_get_checkpoint},
    {"/domicile.v1.AuditService/ProveInclusion", DOM_RPC_UNARY, 2, true,
     dom_handle_prove_inclusion},
    {"/domicile.v1.AuditService/ProveConsistency", DOM_RPC_UNARY, 2, true,
     dom_handle_prove_consistency},
};

/* ---- the store's callbacks (its threads) ---- */

static void store_post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    struct dom_router *router = context;
    struct dom_rpc_work *head = NULL;
    struct dom_rpc_work *tail = NULL;
    struct dom_store_op *next = NULL;

    for (struct dom_store_op *op = first; op != NULL; op = next) {
        struct dom_async *async = op->owner;
        next = op == last ? NULL : op->next;
        if (async->work.run == NULL) {
            async->done(async); /* belongs to no call: needs no I/O thread, and may outlive it */
            continue;
        }
        async->work.next = NULL;
        if (head == NULL) {
            head = &async->work;
        } else {
            tail->next = &async->work;
        }
        tail = &async->work;
    }
    if (head != NULL) {
        dom_rpc_post(router->server, head, tail);
    }
}

/* The policy that says where a field may lie: the one in force, or at the start the one whose
 * regions are being opened. The caller owns a reference of each that is not NULL. */
static void placing_policy(struct dom_router *router, struct dom_snapshot **snapshotp,
                           struct dom_policy **policyp)
{
    struct dom_policy_holder *holder = &router->holder;

    (void)pthread_mutex_lock(&holder->lock);
    *snapshotp = holder->current == NULL ? NULL : dom_snapshot_ref(holder->current);
    *policyp = dom_policy_ref(*snapshotp == NULL ? holder->first : (*snapshotp)->policy);
    (void)pthread_mutex_unlock(&holder->lock);
}

/* By name, for as long as there is no snapshot: regions that are not open yet fall out, and the
 * store keeps what it owes them. */
static dom_store_set open_so_far(const struct dom_router *router, const struct dom_policy *policy,
                                 dom_policy_set regions)
{
    dom_store_set out = 0;

    for (dom_policy_set left = regions; left != 0; left &= left - 1) {
        const char *name = dom_policy_region_name(policy, (dom_policy_id)__builtin_ctzll(left));
        dom_store_region region = dom_store_find_region(router->store, dom_slice_str(name));
        if (region != DOM_STORE_NO_REGION) {
            out |= UINT64_C(1) << region;
        }
    }
    return out;
}

static dom_store_set field_regions(void *context, struct dom_slice kind, const char *home,
                                   struct dom_slice field)
{
    struct dom_router *router = context;
    struct dom_snapshot *snapshot = NULL;
    struct dom_policy *policy = NULL;
    dom_store_set regions = 0;

    placing_policy(router, &snapshot, &policy);
    dom_policy_id kind_id = dom_policy_find_kind(policy, kind);
    dom_policy_id home_id = dom_policy_find_country(policy, dom_slice_str(home));
    const struct dom_policy_placement *placement =
        dom_policy_place(policy, kind_id, home_id, dom_clock_wall_ms(router->clock));
    if (placement != NULL) {
        dom_policy_id data_class = DOM_POLICY_NONE;
        (void)dom_policy_field_class(policy, kind_id, field, &data_class);
        dom_policy_set allowed = placement->regions[data_class];
        regions = snapshot != NULL ? dom_snapshot_to_store(snapshot, allowed)
                                   : open_so_far(router, policy, allowed);
    }
    dom_policy_unref(policy);
    dom_snapshot_unref(snapshot);
    return regions;
}

static void audit_state(void *context, dom_store_region region, bool writable)
{
    struct dom_router *router = context;
    unsigned closed = 0;

    if (writable) {
        /* Acquire-release: the health below must not be older than this count. */
        closed = atomic_fetch_sub_explicit(&router->closed_logs, 1, memory_order_acq_rel) - 1;
    } else {
        closed = atomic_fetch_add_explicit(&router->closed_logs, 1, memory_order_acq_rel) + 1;
    }
    dom_log(writable ? DOM_LOG_INFO : DOM_LOG_ERROR, "audit.state", "region=%s writable=%d",
            dom_store_region_name(router->store, region), writable ? 1 : 0);
    if (router->server != NULL) {
        dom_rpc_server_set_health(router->server, CROSS_BORDER_HEALTH, closed == 0);
    }
}

/* ---- the policy in force ---- */

/* One control entry for every open log: this policy is in force from here on. */
struct announcement {
    struct dom_async async;
    struct dom_buffer bytes;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    struct dom_router *router;
    dom_store_region region;
};

/* On the log's commit thread. */
static void announced(struct dom_async *async)
{
    struct announcement *one = async->owner;

    if (async->op.code == DOM_OK) {
        atomic_store_explicit(&one->router->policy_index[one->region],
                              (int64_t)one->receipt.index, memory_order_relaxed);
    } else {
        dom_log(DOM_LOG_ERROR, "policy.announce", "region=%s text=\"%s\"",
                dom_store_region_name(one->router->store, one->region), async->op.message);
    }
    dom_buffer_cleanup(&one->bytes);
    free(one);
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

/* Queues the activation for every open log; each is durable before any later entry of that log. */
static void announce_policy(struct dom_router *router, const struct dom_snapshot *snapshot,
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
            one->async.op.owner = &one->async;
            rc = dom_store_submit(router->store, &one->async.op, &err);
        }
        if (rc != DOM_OK) {
            dom_log(DOM_LOG_ERROR, "policy.announce", "text=\"%s\"", err.message);
            dom_buffer_cleanup(&one->bytes);
            free(one);
        }
    }
}

static enum dom_code open_regions(struct dom_router *router, const struct dom_policy *policy,
                                  struct dom_error *err)
{
    (void)pthread_mutex_lock(&router->holder.lock);
    if (router->holder.current == NULL) {
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

    (void)pthread_mutex_lock(&holder->lock);
    struct dom_snapshot *old = holder->current;
    struct dom_policy *first = holder->first;
    holder->current = snapshot;
    holder->first = NULL;
    holder->last_failure[0] = '\0';
    (void)pthread_mutex_unlock(&holder->lock);
    dom_snapshot_unref(old);
    dom_policy_unref(first);
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
            announce_policy(router, announced_snapshot, approval);
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

/* ---- life ---- */

static enum dom_code open_store(struct dom_router *router, struct dom_error *err)
{
    const struct dom_router_options *options = &router->options;
    struct dom_store_options store = {
        .data_dir = options->data_dir,
        .key_dir = options->key_dir,
        .audit_origin = options->audit_origin,
        .compression = options->compression,
        .block_cache_bytes = options->block_cache_bytes,
        .write_buffer_bytes = options->write_buffer_bytes,
        .checkpoint_ms = options->checkpoint_ms,
        .purge_ms = options->purge_ms,
        .test_plain = options->test_plain,
        .clock = router->clock,
        .post = store_post,
        .field_regions = field_regions,
        .audit_state = audit_state,
        .context = router,
    };

    return dom_store_new(&router->store, &store, err);
}

static enum dom_code open_server(struct dom_router *router, struct dom_error *err)
{
    const struct dom_router_options *options = &router->options;
    struct dom_rpc_method methods[DOM_ARRAY_LEN(s_methods) + 1];
    size_t num_methods = DOM_ARRAY_LEN(s_methods);

    memcpy(methods, s_methods, sizeof(s_methods));
    if (options->echo) {
        methods[num_methods++] = (struct dom_rpc_method){
            .path = "/domicile.bench.Echo/Echo",
            .kind = DOM_RPC_UNARY,
            .slots = 64,
            .handler = dom_rpc_echo,
        };
    }
    struct dom_rpc_server_options server = {
        .listen = options->listen,
        .insecure_loopback = options->insecure_loopback,
        .tls = options->tls,
        .refused = dom_router_refused,
        .methods = methods,
        .num_methods = num_methods,
        .context = router,
        .descriptor_set = dom_rpc_api_descriptors().data,
        .descriptor_set_len = dom_rpc_api_descriptors().len,
        .in_flight_max = options->in_flight_max == 0 ? DOM_IN_FLIGHT_CALLS_MAX
                                                     : options->in_flight_max,
        .drain_grace_ms = options->drain_ms == 0 ? 10000 : options->drain_ms,
        .arena_bytes_max = DOM_REQUEST_ARENA_BYTES_MAX,
        .connection_age_ms_max = options->connection_age_ms,
    };
    return dom_rpc_server_new(&router->server, &server, err);
}

static void set_all_serving(struct dom_router *router)
{
    static const char *const services[] = {
        "domicile.v1.RecordService", CROSS_BORDER_HEALTH, "domicile.v1.PolicyService",
        "domicile.v1.AuditService"};

    for (size_t i = 0; i < DOM_ARRAY_LEN(services); i++) {
        dom_rpc_server_set_health(router->server, services[i], true);
    }
}

enum dom_code dom_router_new(struct dom_router **routerp, struct dom_findings *findings,
                             const struct dom_router_options *options, struct dom_error *err)
{
    bool changed = false;

    *routerp = NULL;
    struct dom_router *router = calloc(1, sizeof(*router));
    DOM_ASSERT(router != NULL);
    router->options = *options;
    router->clock = options->clock == NULL ? dom_clock_system() : options->clock;
    (void)pthread_mutex_init(&router->holder.lock, NULL);
    dom_limit_table_init(&router->limits);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        atomic_init(&router->policy_index[i], -1);
    }
    enum dom_code rc = DOM_OK;
    if (options->test_plain && !options->insecure_loopback) {
        rc = DOM_FAIL(err, DOM_INVALID,
                      "the test setting without encryption is only for insecure-loopback");
    }
    if (rc == DOM_OK) {
        rc = open_store(router, err);
    }
    if (rc == DOM_OK) {
        rc = dom_router_load_policy(router, &changed, NULL, findings, err);
    }
    if (rc == DOM_OK) {
        rc = dom_store_session_new(&router->session, router->store, err);
    }
    if (rc == DOM_OK) {
        rc = dom_worker_start(&router->worker, router->store, err);
    }
    if (rc == DOM_OK) {
        rc = open_server(router, err);
    }
    if (rc == DOM_OK && options->metrics != NULL) {
        rc = dom_metrics_start(&router->metrics, options->metrics, dom_router_render_metrics,
                               router, err);
    }
    if (rc != DOM_OK) {
        dom_router_destroy(router);
        return rc;
    }
    set_all_serving(router);
    announce_policy(router, router->holder.current, NULL);
    *routerp = router;
    return DOM_OK;
}

const char *dom_router_address(const struct dom_router *router)
{
    return dom_rpc_server_address(router->server);
}

unsigned dom_router_metrics_port(const struct dom_router *router)
{
    return router->metrics == NULL ? 0 : dom_metrics_port(router->metrics);
}

void dom_router_run(struct dom_router *router)
{
    dom_rpc_server_run(router->server);
}

void dom_router_shutdown(struct dom_router *router)
{
    dom_rpc_server_shutdown(router->server);
}

void dom_router_destroy(struct dom_router *router)
{
    if (router == NULL) {
        return;
    }
    dom_metrics_stop(router->metrics);
    dom_worker_stop(&router->worker);
    dom_store_session_destroy(router->session);
    dom_store_destroy(router->store);
    dom_rpc_server_destroy(router->server);
    dom_snapshot_unref(router->holder.current);
    dom_policy_unref(router->holder.first); /* of a start that failed */
    dom_limit_table_cleanup(&router->limits);
    dom_buffer_cleanup(&router->scratch);
    dom_buffer_cleanup(&router->scratch2);
    (void)pthread_mutex_destroy(&router->holder.lock);
    free(router);
}
