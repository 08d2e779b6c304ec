#include "router/service/router.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/rpc/descriptors.h"
#include "router/service/internal.h"

#define CROSS_BORDER_HEALTH "domicile.v1.RecordService/cross-border"
#define DRAIN_MS_DEFAULT 10000U
#define FSCK_HEALTH         "domicile.v1.AuditService/fsck"

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
    {"/domicile.v1.PolicyService/PushPolicy", DOM_RPC_UNARY, 2, true, dom_handle_push_policy},
    {"/domicile.v1.PolicyService/GetRollout", DOM_RPC_UNARY, 2, true, dom_handle_get_rollout},
    {"/domicile.v1.PolicyService/WatchRollout", DOM_RPC_SERVER_STREAM, 2, true,
     dom_handle_watch_rollout},
    {"/domicile.v1.PolicyService/PromoteRollout", DOM_RPC_UNARY, 2, true,
     dom_handle_promote_rollout},
    {"/domicile.v1.PolicyService/PauseRollout", DOM_RPC_UNARY, 2, true, dom_handle_pause_rollout},
    {"/domicile.v1.PolicyService/ResumeRollout", DOM_RPC_UNARY, 2, true,
     dom_handle_resume_rollout},
    {"/domicile.v1.PolicyService/AbortRollout", DOM_RPC_UNARY, 2, true, dom_handle_abort_rollout},
    {"/domicile.v1.PolicyService/FreezePolicy", DOM_RPC_UNARY, 2, true, dom_handle_freeze_policy},
    {"/domicile.v1.PolicyService/UnfreezePolicy", DOM_RPC_UNARY, 2, true,
     dom_handle_unfreeze_policy},
    {"/domicile.v1.AuditService/ListEntries", DOM_RPC_SERVER_STREAM, 2, true,
     dom_handle_list_entries},
    {"/domicile.v1.AuditService/ExportEntries", DOM_RPC_SERVER_STREAM, 2, true,
     dom_handle_export_entries},
    {"/domicile.v1.AuditService/GetCheckpoint", DOM_RPC_UNARY, 2, true, dom_handle_get_checkpoint},
    {"/domicile.v1.AuditService/ProveInclusion", DOM_RPC_UNARY, 2, true,
     dom_handle_prove_inclusion},
    {"/domicile.v1.AuditService/ProveConsistency", DOM_RPC_UNARY, 2, true,
     dom_handle_prove_consistency},
    {"/domicile.v1.AdminService/Drain", DOM_RPC_UNARY, 1, true, dom_handle_drain},
    {"/domicile.v1.AuditService/PlaceHold", DOM_RPC_UNARY, 2, true, dom_handle_place_hold},
    {"/domicile.v1.AuditService/ReleaseHold", DOM_RPC_UNARY, 2, true, dom_handle_release_hold},
    {"/domicile.v1.AuditService/ListHolds", DOM_RPC_UNARY, 2, true, dom_handle_list_holds},
};

/* ---- the store's callbacks (its threads) ---- */

static void store_post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    struct dom_router *router = context;
    struct dom_rpc_work *head = NULL;
    struct dom_rpc_work *tail = NULL;
    struct dom_store_op *next = NULL;
    struct dom_async *alone = first == last ? first->owner : NULL;

    if (alone != NULL && alone->prompt != NULL && first->code == DOM_OK && alone->prompt(alone)) {
        /* Nobody else waits for this thread, and the I/O thread need not be woken first. Under load
         * the I/O thread sends what a group brings, while the next group is written. */
        return;
    }
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

struct state_work {
    struct dom_rpc_work work;
    struct dom_router *router;
};

/* On the I/O thread, and the count is read here: whatever the order in which logs closed and opened,
 * the last to be told tells how it is. */
static void on_state(struct dom_rpc_work *work)
{
    struct dom_router *router = ((struct state_work *)work)->router;

    free(work);
    if (atomic_load(&router->stopping)) {
        return;
    }
    dom_rpc_server_set_health(router->server, CROSS_BORDER_HEALTH,
                              atomic_load(&router->closed_logs) == 0);
    dom_rpc_server_set_health(router->server, FSCK_HEALTH, atomic_load(&router->damaged) == 0);
    dom_router_announce_again(router);
}

static void post_state(struct dom_router *router)
{
    struct state_work *state = calloc(1, sizeof(*state));

    DOM_ASSERT(state != NULL);
    state->work.run = on_state;
    state->router = router;
    dom_rpc_post(router->server, &state->work, &state->work);
}

/* Under the region's gate: what may need it runs on the I/O thread. */
static void audit_state(void *context, dom_store_region region, bool open)
{
    struct dom_router *router = context;

    if (open) {
        (void)atomic_fetch_sub(&router->closed_logs, 1);
    } else {
        (void)atomic_fetch_add(&router->closed_logs, 1);
    }
    dom_log(open ? DOM_LOG_INFO : DOM_LOG_ERROR, "audit.state", "region=%s open=%d",
            dom_store_region_name(router->store, region), open ? 1 : 0);
    if (router->server != NULL) {
        post_state(router);
    }
}

/* By the policy in force; before there is one nothing goes. */
static int64_t log_keep_ms(void *context)
{
    struct dom_router *router = context;
    struct dom_policy_holder *holder = &router->holder;

    (void)pthread_mutex_lock(&holder->lock);
    int64_t keep =
        holder->current == NULL ? 0 : dom_policy_info(holder->current->policy)->log_keep_ms;
    (void)pthread_mutex_unlock(&holder->lock);
    return keep;
}

static void fsck_state(void *context, dom_store_region region, bool sound)
{
    struct dom_router *router = context;

    (void)region;
    (void)atomic_fetch_add(&router->damaged, sound ? -1 : 1);
    if (router->server != NULL) {
        post_state(router);
    }
}

static bool limit_over(void *context, struct dom_slice key, int64_t now_ms)
{
    (void)context;
    return dom_limit_key_over(key, now_ms);
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
        .wait_ms = options->audit_wait_ms,
        .sinks = options->sinks,
        .num_sinks = options->num_sinks,
        .purge_ms = options->purge_ms,
        .prune_interval_ms = options->prune_interval_ms,
        .log_keep_ms = log_keep_ms,
        .mirror_ms = options->mirror_ms,
        .fsck_interval_ms = options->fsck_interval_ms,
        .fsck_rate = options->fsck_rate,
        .fsck_state = fsck_state,
        .witness_regions = options->witness_regions,
        .witness_policy = options->witness_policy,
        .witness_ca = options->witness_ca,
        .witness_timeout_ms = options->witness_timeout_ms,
        .test_plain = options->test_plain,
        .clock = router->clock,
        .post = store_post,
        .field_regions = dom_router_field_regions,
        .home_region = dom_router_home_region,
        .placement = dom_router_placement,
        .transfer_entry = dom_router_transfer_entry,
        .policy_index = dom_router_policy_index,
        .limit_over = limit_over,
        .place_per_s = options->place_per_s,
        .held = dom_router_replication_held,
        .audit_state = audit_state,
        .context = router,
    };

    return dom_store_new(&router->store, &store, err);
}

uint64_t dom_router_drain_ms(const struct dom_router *router)
{
    return router->options.drain_ms == 0 ? DRAIN_MS_DEFAULT : router->options.drain_ms;
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
        .timer = dom_router_timer,
        .descriptor_set = dom_rpc_api_descriptors().data,
        .descriptor_set_len = dom_rpc_api_descriptors().len,
        .in_flight_max = options->in_flight_max == 0 ? DOM_IN_FLIGHT_CALLS_MAX
                                                     : options->in_flight_max,
        .drain_grace_ms = dom_router_drain_ms(router),
        .arena_bytes_max = DOM_REQUEST_ARENA_BYTES_MAX,
        .connection_age_ms_max = options->connection_age_ms,
    };
    return dom_rpc_server_new(&router->server, &server, err);
}

static void set_all_serving(struct dom_router *router)
{
    static const char *const services[] = {
        "domicile.v1.RecordService", CROSS_BORDER_HEALTH, "domicile.v1.PolicyService",
        "domicile.v1.AuditService", "domicile.v1.AdminService"};

    for (size_t i = 0; i < DOM_ARRAY_LEN(services); i++) {
        dom_rpc_server_set_health(router->server, services[i], true);
    }
    post_state(router); /* a log may have closed before there was a server to tell */
}

/* The policy that this start begins with, its regions, and the snapshot of both. */
static enum dom_code open_policy(struct dom_router *router, struct dom_findings *findings,
                                 struct dom_error *err)
{
    struct dom_policy *policy = NULL;
    enum dom_code rc = dom_pilot_open(router, &policy, findings, err);

    if (rc == DOM_OK) {
        rc = dom_router_open_regions(router, policy, err);
    }
    if (rc != DOM_OK) {
        dom_policy_unref(policy);
        return rc;
    }
    struct dom_snapshot *snapshot =
        dom_snapshot_new(policy, router->store, dom_clock_wall_ms(router->clock));
    snapshot->frozen = router->pilot.rollout.frozen;
    snapshot->fresh_until_ms = router->pilot.fresh_until_ms;
    dom_router_put_in_force(router, snapshot);
    return DOM_OK;
}

enum dom_code dom_router_new(struct dom_router **routerp, struct dom_findings *findings,
                             const struct dom_router_options *options, struct dom_error *err)
{
    *routerp = NULL;
    struct dom_router *router = calloc(1, sizeof(*router));
    DOM_ASSERT(router != NULL);
    router->options = *options;
    router->clock = options->clock == NULL ? dom_clock_system() : options->clock;
    (void)pthread_mutex_init(&router->holder.lock, NULL);
    dom_limit_table_init(&router->limits);
    dom_router_init_waits(router);
    enum dom_code rc = DOM_OK;
    if (options->test_plain && !options->insecure_loopback) {
        rc = DOM_FAIL(err, DOM_INVALID,
                      "the test setting without encryption is only for insecure-loopback");
    }
    if (rc == DOM_OK) {
        rc = open_store(router, err);
    }
    if (rc == DOM_OK) {
        rc = open_policy(router, findings, err);
    }
    if (rc == DOM_OK) {
        rc = dom_store_session_new(&router->session, router->store, err);
    }
    if (rc == DOM_OK) {
        dom_crew_init(&router->crew, router->store);
    }
    if (rc == DOM_OK) {
        rc = open_server(router, err);
    }
    if (rc == DOM_OK && options->metrics != NULL) {
        rc = dom_metrics_start(&router->metrics, options->metrics, dom_router_render_metrics,
                               router, err);
    }
    if (rc == DOM_OK && options->witness_listen != NULL) {
        rc = dom_router_open_witness(router, err);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_start(router, err);
    }
    if (rc != DOM_OK) {
        dom_router_destroy(router);
        return rc;
    }
    set_all_serving(router);
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
    dom_router_write_late(router);
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
    atomic_store(&router->stopping, true);
    dom_metrics_stop(router->metrics);
    dom_pilot_stop(router);
    dom_router_close_witness(router);
    dom_crew_stop(&router->crew);
    dom_store_session_destroy(router->session);
    dom_store_destroy(router->store);
    dom_router_forget_announcements(router);
    dom_rpc_server_destroy(router->server);
    dom_pilot_cleanup(router);
    dom_snapshot_unref(router->holder.current);
    dom_policy_unref(router->holder.first); /* of a start that failed */
    dom_policy_unref(router->holder.before);
    dom_limit_table_cleanup(&router->limits);
    dom_buffer_cleanup(&router->scratch);
    dom_buffer_cleanup(&router->scratch2);
    dom_buffer_cleanup(&router->waits.late);
    (void)pthread_mutex_destroy(&router->holder.lock);
    free(router);
}
