/* Start, run, shut down. One thread does all of it, run's caller; others only post. */
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "router/rpc/internal.h"
#include "router/rpc/handshakes.h"
#include "router/rpc/library.h"
#include "router/rpc/material.h"

#define MIN_PING_INTERVAL_MS 10000 /* peers may ping this often; faster gets GOAWAY */
#define KEEPALIVE_MS 60000         /* how a dead peer is noticed */
#define KEEPALIVE_TIMEOUT_MS 20000
#define HANDSHAKE_TIMEOUT_MS 10000 /* who connects and says nothing is let go */
#define HEALTH_NAME_BYTES_MAX 128U

/* ---- start ------------------------------------------------------------------------------ */

static grpc_arg int_arg(const char *key, uint64_t value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};

    arg.value.integer = value > INT_MAX ? INT_MAX : (int)value;
    return arg;
}

static grpc_server *create_server(const struct dom_rpc_server_options *options)
{
    grpc_arg args[20];
    size_t n = 0;

    args[n++] = int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, DOM_CONCURRENT_STREAMS_MAX);
    args[n++] = int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, DOM_MESSAGE_BYTES_MAX);
    args[n++] = int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, DOM_MESSAGE_BYTES_MAX);
    args[n++] = int_arg(GRPC_ARG_MAX_METADATA_SIZE, DOM_METADATA_BYTES_MAX);
    args[n++] = int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    /* Nothing is compressed: a small message that unfolds to gigabytes is refused, not read. */
    args[n++] = int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    args[n++] = int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    args[n++] = int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
    args[n++] = int_arg(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
    args[n++] = int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0); /* a second server must fail loudly */
    args[n++] =
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, MIN_PING_INTERVAL_MS);
    args[n++] = int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    args[n++] = int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS);
    args[n++] = int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS);
    args[n++] = int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS);
    if (options->connection_age_ms_max > 0) {
        args[n++] = int_arg(GRPC_ARG_MAX_CONNECTION_AGE_MS, options->connection_age_ms_max);
        args[n++] = int_arg(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, options->drain_grace_ms);
    }
    DOM_ASSERT(n <= DOM_ARRAY_LEN(args));
    grpc_channel_args all = {.num_args = n, .args = args};
    return grpc_server_create(&all, NULL);
}

static void bind_method(struct dom_rpc_server *server, const struct dom_rpc_method *method,
                        void *context, bool built_in, bool bidi)
{
    struct dom_rpc_bound *bound = &server->bound[server->num_bound++];

    *bound = (struct dom_rpc_bound){
        .method = *method, .context = context, .built_in = built_in, .bidi = bidi};
    /* The handshake lets strangers in, so that they are told why they are refused. Health and
     * reflection need no name of a region, but not even they are for strangers. */
    bound->method.needs_identity |= built_in && server->identity == &dom_rpc_identity_mtls;
}

static enum dom_code check_options(const struct dom_rpc_server_options *options,
                                   struct dom_error *err)
{
    size_t slots = 0;

    if (options->insecure_loopback == (options->tls != NULL)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "one way to know callers is wanted: mTLS or the insecure mode");
    }
    if (options->num_methods > DOM_RPC_METHODS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "more than %u methods", DOM_RPC_METHODS_MAX);
    }
    for (size_t i = 0; i < options->num_methods; i++) {
        const struct dom_rpc_method *method = &options->methods[i];
        DOM_ASSERT(method->path != NULL);
        DOM_ASSERT(method->handler != NULL);
        if (method->slots == 0) {
            return DOM_FAIL(err, DOM_INVALID, "%s has no slots: nobody would answer it",
                            method->path);
        }
        slots += method->slots;
    }
    if (slots > DOM_RPC_SLOTS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "more than %u slots in all", DOM_RPC_SLOTS_MAX);
    }
    return DOM_OK;
}

/* Everything that is served, in one table. */
static enum dom_code bind_methods(struct dom_rpc_server *server,
                                  const struct dom_rpc_server_options *options,
                                  struct dom_error *err)
{
    server->bound = calloc(options->num_methods + 4, sizeof(*server->bound));
    DOM_ASSERT(server->bound != NULL);
    for (size_t i = 0; i < options->num_methods; i++) {
        bind_method(server, &options->methods[i], options->context, false, false);
    }
    for (size_t i = 0; i < 2; i++) {
        bind_method(server, &dom_rpc_health_methods[i], server->health, true, false);
    }
    if (options->descriptor_set_len > 0) {
        for (size_t i = 0; i < 2; i++) {
            bind_method(server, &dom_rpc_reflection_methods[i], NULL, true, true);
        }
        enum dom_code code = dom_rpc_reflection_new(
            &server->reflection, dom_slice_of(options->descriptor_set, options->descriptor_set_len),
            server->bound, server->num_bound, err);
        if (code != DOM_OK) {
            return code;
        }
    }
    for (size_t i = 0; i < server->num_bound; i++) {
        struct dom_rpc_bound *bound = &server->bound[i];
        if (bound->bidi) {
            bound->context = server->reflection;
        }
        bound->registered = grpc_server_register_method(
            server->server, bound->method.path, NULL,
            bound->bidi ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        if (bound->registered == NULL) {
            return DOM_FAIL(err, DOM_INVALID, "%s is given twice", bound->method.path);
        }
    }
    return DOM_OK;
}

static enum dom_code start(struct dom_rpc_server *server,
                           const struct dom_rpc_server_options *options, struct dom_error *err)
{
    enum dom_code code = dom_rpc_post_init(server, err);
    if (code == DOM_OK) {
        code = bind_methods(server, options, err);
    }
    if (code == DOM_OK && options->tls != NULL) {
        code = dom_tls_new(&server->tls, options->tls, err);
    }
    if (code == DOM_OK && server->tls != NULL) {
        server->peers = dom_rpc_peers_new(server->tls);
    }
    if (code == DOM_OK) {
        grpc_server_register_completion_queue(server->server, server->cq, NULL);
        code = dom_rpc_listen(server, options->listen, err);
    }
    return code;
}

enum dom_code dom_rpc_server_new(struct dom_rpc_server **serverp,
                                 const struct dom_rpc_server_options *options,
                                 struct dom_error *err)
{
    *serverp = NULL;
    enum dom_code code = check_options(options, err);
    if (code != DOM_OK) {
        return code;
    }
    struct dom_rpc_server *server = calloc(1, sizeof(*server));
    DOM_ASSERT(server != NULL);
    dom_rpc_library_ref();
    server->magic = DOM_RPC_SERVER_MAGIC;
    server->identity =
        options->tls == NULL ? &dom_rpc_identity_insecure : &dom_rpc_identity_mtls;
    server->refused = options->refused;
    server->context = options->context;
    server->timer = options->timer;
    server->timer_us = UINT64_MAX;
    server->handshakes_before = dom_rpc_handshakes_refused();
    server->in_flight_max =
        options->in_flight_max == 0 ? DOM_IN_FLIGHT_CALLS_MAX : options->in_flight_max;
    server->drain_grace_ms = options->drain_grace_ms;
    server->arena_bytes_max =
        options->arena_bytes_max == 0 ? DOM_REQUEST_ARENA_BYTES_MAX : options->arena_bytes_max;
    server->health = dom_rpc_health_new();
    server->cq = grpc_completion_queue_create_for_next(NULL);
    server->server = create_server(options);
    code = start(server, options, err);
    /* Also after a failure: an unstarted server cannot be shut down, and destroy does that. Its
     * queue is registered only once methods are bound, so this is always legal. */
    if (code != DOM_OK) {
        grpc_server_register_completion_queue(server->server, server->cq, NULL);
    }
    grpc_server_start(server->server);
    if (code != DOM_OK) {
        dom_rpc_server_destroy(server);
        return code;
    }
    *serverp = server;
    return DOM_OK;
}

const char *dom_rpc_server_address(const struct dom_rpc_server *server)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    return server->address;
}

/* ---- run -------------------------------------------------------------------------------- */

static void on_shutdown(struct dom_rpc_op *op, bool ok)
{
    (void)ok;
    /* grpc is done; our calls may not be: run waits for num_live as well. */
    DOM_RPC_OWNER(op, struct dom_rpc_server, on_shutdown)->shut_down = true;
}

/* On the I/O thread. */
static void begin_drain(struct dom_rpc_server *server)
{
    if (server->draining) {
        return;
    }
    server->draining = true;
    server->on_shutdown = dom_rpc_op_of(on_shutdown);
    dom_rpc_health_drain(server->health);
    dom_rpc_stream_drain(server);
    grpc_server_shutdown_and_notify(server->server, server->cq, dom_rpc_tag(&server->on_shutdown));
}

static void shutdown_asked(struct dom_rpc_work *work)
{
    begin_drain(DOM_RPC_OWNER(work, struct dom_rpc_server, shutdown_work));
}

static void dispatch(const grpc_event *event)
{
    struct dom_rpc_op *op = dom_rpc_op_from_tag(event->tag);

    op->fn(op, event->success != 0);
}

void dom_rpc_server_set_timer(struct dom_rpc_server *server, uint64_t at_us)
{
    server->timer_us = server->timer == NULL ? UINT64_MAX : at_us;
}

static void run_timer(struct dom_rpc_server *server)
{
    if (server->timer_us != UINT64_MAX &&
        dom_clock_monotonic_us(dom_clock_system()) >= server->timer_us) {
        server->timer_us = UINT64_MAX;
        server->timer(server->context);
    }
}

/* The earlier of the timer and `until`. */
static gpr_timespec next_time(const struct dom_rpc_server *server, gpr_timespec until)
{
    if (server->timer_us == UINT64_MAX) {
        return until;
    }
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());
    int64_t left = server->timer_us > now ? (int64_t)(server->timer_us - now) : 0;
    gpr_timespec at = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                   gpr_time_from_micros(left, GPR_TIMESPAN));
    return gpr_time_min(at, until);
}

/* Serves until it is shut down and no call is left; `grace_ms` counts from the shutdown. */
static void serve_until_drained(struct dom_rpc_server *server, uint64_t grace_ms)
{
    gpr_timespec forever = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    gpr_timespec until = forever;
    bool grace_runs = false;

    while (!(server->shut_down && server->num_live == 0)) {
        if (server->draining && !grace_runs) {
            grace_runs = true;
            until =
                gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                             gpr_time_from_millis(
                                 (int64_t)(grace_ms > INT_MAX ? INT_MAX : grace_ms), GPR_TIMESPAN));
        }
        grpc_event event =
            grpc_completion_queue_next(server->cq, next_time(server, until), NULL);
        run_timer(server);
        if (event.type == GRPC_QUEUE_TIMEOUT) {
            if (gpr_time_cmp(gpr_now(GPR_CLOCK_MONOTONIC), until) < 0) {
                continue; /* it was the timer's time */
            }
            dom_log(DOM_LOG_WARN, "rpc.drain_over", "calls=%zu", server->num_live);
            grpc_server_cancel_all_calls(server->server);
            until = forever;
        } else {
            DOM_ASSERT(event.type == GRPC_OP_COMPLETE);
            dispatch(&event);
        }
    }
    grpc_server_destroy(server->server);
    server->server = NULL;
}

void dom_rpc_server_run(struct dom_rpc_server *server)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    DOM_ASSERT(server->server != NULL);
    server->io_thread = pthread_self();
    for (size_t i = 0; i < server->num_bound; i++) {
        for (unsigned slot = 0; slot < server->bound[i].method.slots; slot++) {
            dom_rpc_call_arm(server, &server->bound[i]);
        }
    }
    for (size_t i = 0; i < DOM_RPC_UNKNOWN_SLOTS; i++) {
        dom_rpc_unknown_arm(&server->unknown[i], server);
    }
    serve_until_drained(server, server->drain_grace_ms);
}

void dom_rpc_server_shutdown(struct dom_rpc_server *server)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    if (!atomic_exchange(&server->shutdown_asked, true)) {
        server->shutdown_work.run = shutdown_asked;
        dom_rpc_post(server, &server->shutdown_work, &server->shutdown_work);
    }
}

bool dom_rpc_server_draining(const struct dom_rpc_server *server)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    return atomic_load(&server->shutdown_asked);
}

void dom_rpc_server_destroy(struct dom_rpc_server *server)
{
    if (server == NULL) {
        return;
    }
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    if (server->server != NULL) {
        begin_drain(server); /* never ran */
        serve_until_drained(server, 0);
    }
    dom_rpc_post_cleanup(server);
    grpc_completion_queue_shutdown(server->cq);
    grpc_event event =
        grpc_completion_queue_next(server->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    while (event.type != GRPC_QUEUE_SHUTDOWN) {
        dispatch(&event); /* a late wake-up */
        event = grpc_completion_queue_next(server->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    }
    grpc_completion_queue_destroy(server->cq);
    dom_rpc_call_pool_free(server);
    dom_rpc_health_destroy(server->health);
    dom_rpc_reflection_destroy(server->reflection);
    dom_rpc_peers_destroy(server->peers);
    dom_tls_destroy(server->tls);
    for (size_t i = 0; i < server->num_ports; i++) {
        free(server->ports[i]);
    }
    free(server->bound);
    server->magic = 0;
    free(server);
    dom_rpc_library_unref();
}

/* ---- health and counters, from any thread ----------------------------------------------- */

struct health_work {
    struct dom_rpc_work work;
    struct dom_rpc_server *server;
    bool serving;
    size_t name_len;
    char name[HEALTH_NAME_BYTES_MAX];
};

static void set_health(struct dom_rpc_work *work)
{
    struct health_work *item = DOM_RPC_OWNER(work, struct health_work, work);

    if (!dom_rpc_health_set(item->server->health, dom_slice_of(item->name, item->name_len),
                            item->serving)) {
        dom_log(DOM_LOG_WARN, "rpc.health_table_full", "name=\"%.*s\"", (int)item->name_len,
                item->name);
    }
    free(item);
}

void dom_rpc_server_set_health(struct dom_rpc_server *server, const char *service, bool serving)
{
    struct health_work *item = calloc(1, sizeof(*item));
    size_t len = strlen(service);

    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    DOM_ASSERT(item != NULL);
    DOM_ASSERT(len <= sizeof(item->name));
    item->work.run = set_health;
    item->server = server;
    item->serving = serving;
    item->name_len = len;
    memcpy(item->name, service, len);
    dom_rpc_post(server, &item->work, &item->work);
}

static uint64_t read_counter(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void dom_rpc_server_stats(const struct dom_rpc_server *server, struct dom_rpc_stats *out)
{
    const struct dom_rpc_counters *counters = &server->counters;

    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    *out = (struct dom_rpc_stats){
        .calls_started = read_counter(&counters->started),
        .calls_finished = read_counter(&counters->finished),
        .calls_rejected = read_counter(&counters->rejected),
        .calls_cancelled = read_counter(&counters->cancelled),
        .calls_unknown = read_counter(&counters->unknown),
        .in_flight = read_counter(&counters->in_flight),
        .bytes_received = read_counter(&counters->received),
        .bytes_sent = read_counter(&counters->sent),
    };
    for (size_t i = 0; i < DOM_RPC_FAULT_COUNT; i++) {
        out->identities_refused[i] = read_counter(&counters->faults[i]);
    }
    if (server->tls != NULL) {
        struct dom_tls_material *material = dom_tls_get(server->tls);
        out->handshakes_refused =
            dom_rpc_handshakes_refused() - server->handshakes_before;
        out->tls_cert_expires_s = material->cert_expires_s;
        out->tls_crl_expires_s = material->crl_expires_s;
        dom_tls_material_unref(material);
        dom_tls_counts(server->tls, &out->tls_reloads, &out->tls_reloads_failed);
    }
}

void dom_rpc_server_count_fault(struct dom_rpc_server *server, enum dom_rpc_fault fault)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    DOM_ASSERT((unsigned)fault < DOM_RPC_FAULT_COUNT);
    dom_rpc_count(&server->counters.faults[fault], 1);
}

void dom_rpc_server_reload_tls(struct dom_rpc_server *server)
{
    DOM_CHECK_MAGIC(server, DOM_RPC_SERVER_MAGIC);
    if (server->tls != NULL) {
        dom_tls_nudge(server->tls);
    }
}
