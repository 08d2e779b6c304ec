#include "tests/router/rpc/harness.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "router/rpc/descriptors.h"

/* ---- methods ---------------------------------------------------------------------------- */

static void reply(struct dom_rpc_call *call, struct dom_slice bytes)
{
    uint8_t *out = dom_rpc_call_reply_alloc(call, bytes.len);

    DOM_ASSERT(out != NULL);
    if (bytes.len > 0) {
        memcpy(out, bytes.data, bytes.len);
    }
    dom_rpc_call_finish(call);
}

/* "WORD" fails in the way that the word names. */
static void fail(struct dom_rpc_call *call, void *context)
{
    struct dom_rpc_pair pairs[] = {
        {.key = "rule", .value = DOM_SLICE_LIT("eu-users-stay")},
        {.key = "odd", .value = DOM_SLICE_LIT("a\0b\xff")},
    };
    struct dom_rpc_failure failure = {.code = DOM_FORBIDDEN,
                                      .message = "Zug\xc3\xa4nge verboten",
                                      .pairs = pairs,
                                      .num_pairs = 2};

    (void)context;
    if (dom_slice_eq_str(dom_rpc_call_request(call), "field")) {
        failure = (struct dom_rpc_failure){
            .code = DOM_INVALID, .message = "not an id", .field = "fields[3].name"};
    } else if (dom_slice_eq_str(dom_rpc_call_request(call), "retry")) {
        failure = (struct dom_rpc_failure){.code = DOM_AUDIT_UNAVAILABLE, .retry_after_ms = 2500};
    }
    if (dom_slice_eq_str(dom_rpc_call_request(call), "huge")) {
        /* More of everything than a trailer holds; the message is all two-byte characters. */
        static struct dom_rpc_pair many[40];
        static uint8_t value[500];
        char *text = dom_arena_alloc(dom_rpc_call_arena(call), 10002);
        memset(value, 'v', sizeof(value));
        for (int i = 0; i < 40; i++) {
            many[i] = (struct dom_rpc_pair){"key", dom_slice_of(value, sizeof(value))};
        }
        text[0] = 'x';
        for (int i = 0; i < 5000; i++) {
            memcpy(text + 1 + 2 * i, "\xc3\xa4", 2);
        }
        text[10001] = '\0';
        failure.message = text;
        failure.pairs = many;
        failure.num_pairs = 40;
    }
    (void)dom_rpc_call_reply_alloc(call, 10); /* an answer begun, then given up */
    dom_rpc_call_fail(call, &failure);
}

/* Waits until harness_release finishes it. */
struct held {
    struct dom_rpc_work work;
    struct dom_rpc_call *call;
    struct harness *harness;
    struct held *next;
};

static void finish_held(struct dom_rpc_work *work)
{
    struct held *held = (struct held *)(void *)work; /* the first member */

    reply(held->call, dom_rpc_call_request(held->call));
}

static void hold_cancelled(struct dom_rpc_call *call, void *arg)
{
    struct harness *harness = arg;

    DOM_ASSERT(dom_rpc_call_cancelled(call));
    pthread_mutex_lock(&harness->lock);
    harness->num_cancelled++;
    pthread_cond_broadcast(&harness->changed);
    pthread_mutex_unlock(&harness->lock);
}

static void hold(struct dom_rpc_call *call, void *context)
{
    struct harness *harness = context;
    struct held *held = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*held));

    DOM_ASSERT(held != NULL);
    held->work.run = finish_held;
    held->call = call;
    held->harness = harness;
    dom_rpc_call_go_async(call);
    dom_rpc_call_on_cancel(call, hold_cancelled, harness);
    pthread_mutex_lock(&harness->lock);
    struct held **at = &harness->held;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = held;
    harness->num_held++;
    pthread_cond_broadcast(&harness->changed);
    pthread_mutex_unlock(&harness->lock);
}

static void who(struct dom_rpc_call *call, void *context)
{
    struct harness *harness = context;
    const struct dom_rpc_identity *identity = dom_rpc_call_identity(call);

    DOM_ASSERT(identity != NULL);
    pthread_mutex_lock(&harness->lock);
    dom_rpc_call_trace_id(call, harness->trace_id);
    pthread_mutex_unlock(&harness->lock);
    char *text = dom_arena_printf(dom_rpc_call_arena(call), "%.*s|%.*s|%.*s",
                                  (int)identity->service.len, (const char *)identity->service.data,
                                  (int)identity->region.len, (const char *)identity->region.data,
                                  (int)identity->subject.len, (const char *)identity->subject.data);
    reply(call, dom_slice_str(text));
}

/* A stream of the numbers below the request's, as text. */
struct counting {
    int at;
    int end;
};

static void count_next(struct dom_rpc_call *call, bool ok, void *arg)
{
    struct counting *counting = arg;

    if (!ok) {
        dom_rpc_call_fail(call, &(struct dom_rpc_failure){.code = DOM_CANCELLED});
        return;
    }
    if (counting->at == counting->end) {
        dom_rpc_call_finish(call);
        return;
    }
    const char *text = dom_arena_printf(dom_rpc_call_arena(call), "%d", counting->at++);
    dom_rpc_call_send(call, dom_slice_str(text), count_next, counting);
}

static void count(struct dom_rpc_call *call, void *context)
{
    struct counting *counting = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*counting));
    const char *text = dom_arena_dup(dom_rpc_call_arena(call), dom_rpc_call_request(call));

    (void)context;
    counting->end = (int)strtol(text, NULL, 10);
    count_next(call, true, counting);
}

/* Sends 64 KB messages for ever, as fast as the peer takes them. */
static uint8_t s_flood[64 << 10];

static void flood_next(struct dom_rpc_call *call, bool ok, void *arg)
{
    struct harness *harness = arg;

    pthread_mutex_lock(&harness->lock);
    if (ok) {
        harness->flood_sent++;
    } else {
        harness->num_streams_lost++;
        pthread_cond_broadcast(&harness->changed);
    }
    pthread_mutex_unlock(&harness->lock);
    if (!ok) {
        dom_rpc_call_fail(call, &(struct dom_rpc_failure){.code = DOM_CANCELLED});
        return;
    }
    dom_rpc_call_send(call, dom_slice_of(s_flood, sizeof(s_flood)), flood_next, arg);
}

static void flood(struct dom_rpc_call *call, void *context)
{
    dom_rpc_call_send(call, dom_slice_of(s_flood, sizeof(s_flood)), flood_next, context);
}

/* How many Flood streams have lost their peer. */
static void lost(struct dom_rpc_call *call, void *context)
{
    struct harness *harness = context;

    pthread_mutex_lock(&harness->lock);
    unsigned num = harness->num_streams_lost;
    pthread_mutex_unlock(&harness->lock);
    reply(call, dom_slice_str(dom_arena_printf(dom_rpc_call_arena(call), "%u", num)));
}

/* The milliseconds left, or "none". */
static void deadline(struct dom_rpc_call *call, void *context)
{
    uint64_t at = dom_rpc_call_deadline_us(call);
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());

    (void)context;
    const char *text = at == UINT64_MAX ? "none"
                                        : dom_arena_printf(dom_rpc_call_arena(call), "%lld",
                                                           ((long long)at - (long long)now) / 1000);
    reply(call, dom_slice_str(text));
}

const struct dom_rpc_method harness_methods[] = {
    {.path = ECHO, .kind = DOM_RPC_UNARY, .slots = 16, .handler = dom_rpc_echo},
    {.path = FAIL, .kind = DOM_RPC_UNARY, .slots = 2, .handler = fail},
    {.path = HOLD, .kind = DOM_RPC_UNARY, .slots = 2, .handler = hold},
    {.path = WHO, .kind = DOM_RPC_UNARY, .slots = 1, .needs_identity = true, .handler = who},
    {.path = COUNT, .kind = DOM_RPC_SERVER_STREAM, .slots = 1, .handler = count},
    {.path = FLOOD, .kind = DOM_RPC_SERVER_STREAM, .slots = 1, .handler = flood},
    {.path = LOST, .kind = DOM_RPC_UNARY, .slots = 1, .handler = lost},
    {.path = DEADLINE, .kind = DOM_RPC_UNARY, .slots = 1, .handler = deadline},
};
const size_t harness_num_methods = DOM_ARRAY_LEN(harness_methods);

/* ---- the server ------------------------------------------------------------------------- */

static void *run(void *arg)
{
    dom_rpc_server_run(arg);
    return NULL;
}

void harness_start(struct harness *harness, const struct harness_options *options)
{
    struct dom_error err = {0};
    struct dom_rpc_server_options server = {
        .listen = options->listen == NULL ? "127.0.0.1:0" : options->listen,
        .insecure_loopback = options->tls == NULL,
        .tls = options->tls,
        .methods = harness_methods,
        .num_methods = harness_num_methods,
        .context = harness,
        .descriptor_set = dom_rpc_api_descriptors().data,
        .descriptor_set_len = dom_rpc_api_descriptors().len,
        .in_flight_max = options->in_flight_max,
        .drain_grace_ms = options->drain_grace_ms,
        .arena_bytes_max = options->arena_bytes_max,
    };

    memset(harness, 0, sizeof(*harness));
    pthread_mutex_init(&harness->lock, NULL);
    pthread_cond_init(&harness->changed, NULL);
    enum dom_code code = dom_rpc_server_new(&harness->server, &server, &err);
    DOM_ASSERT(code == DOM_OK);
    int rc = pthread_create(&harness->thread, NULL, run, harness->server);
    DOM_ASSERT(rc == 0);
}

void harness_stop(struct harness *harness)
{
    dom_rpc_server_shutdown(harness->server);
    pthread_join(harness->thread, NULL);
    dom_rpc_server_destroy(harness->server);
    pthread_cond_destroy(&harness->changed);
    pthread_mutex_destroy(&harness->lock);
}

struct dom_rpc_client *harness_client(struct harness *harness)
{
    struct dom_rpc_metadata metadata[] = {{"domicile-service", "edge"},
                                          {"domicile-region", "eu-1"}};
    struct dom_rpc_client_options options = {
        .target = dom_rpc_server_address(harness->server), .metadata = metadata, .num_metadata = 2};
    struct dom_rpc_client *client = NULL;

    enum dom_code code = dom_rpc_client_new(&client, &options, NULL);
    DOM_ASSERT(code == DOM_OK);
    return client;
}

int harness_pair_set_up(void **state)
{
    struct harness_pair *pair = *state;

    harness_start(&pair->harness,
                  &(struct harness_options){.drain_grace_ms = pair->drain_grace_ms});
    pair->client = harness_client(&pair->harness);
    return 0;
}

int harness_pair_tear_down(void **state)
{
    struct harness_pair *pair = *state;

    dom_rpc_client_destroy(pair->client);
    dom_rpc_result_cleanup(&pair->result);
    harness_stop(&pair->harness);
    return 0;
}

static void wait_for(struct harness *harness, const unsigned *value, unsigned num)
{
    pthread_mutex_lock(&harness->lock);
    while (*value < num) {
        pthread_cond_wait(&harness->changed, &harness->lock);
    }
    pthread_mutex_unlock(&harness->lock);
}

void harness_wait_held(struct harness *harness, unsigned num)
{
    wait_for(harness, &harness->num_held, num);
}

void harness_wait_cancelled(struct harness *harness, unsigned num)
{
    wait_for(harness, &harness->num_cancelled, num);
}

void harness_wait_lost(struct harness *harness, unsigned num)
{
    wait_for(harness, &harness->num_streams_lost, num);
}

void harness_release(struct harness *harness)
{
    struct dom_rpc_work *first = NULL;
    struct dom_rpc_work *last = NULL;

    pthread_mutex_lock(&harness->lock);
    for (struct held *held = harness->held; held != NULL; held = held->next) {
        if (first == NULL) {
            first = &held->work;
        } else {
            last->next = &held->work;
        }
        last = &held->work;
    }
    harness->held = NULL;
    harness->num_held = 0;
    pthread_mutex_unlock(&harness->lock);
    if (first != NULL) {
        dom_rpc_post(harness->server, first, last);
    }
}
