/* grpc.health.v1: Check, and Watch with a push on every change. */
#include <stdlib.h>

#include "grpc/health/v1/health.pb-c.h"
#include "router/rpc/internal.h"
#include "router/rpc/proto.h"

#define NAMES_MAX 64U
#define NAME_BYTES_MAX 128U

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
#define NOTHING_SENT (-1)

struct name {
    char text[NAME_BYTES_MAX];
    size_t len;
    bool serving;
};

/* One Watch stream; lives in its call's arena. */
struct watcher {
    struct watcher *next;
    struct watcher **link; /* what points here */
    struct dom_rpc_health *health;
    struct dom_rpc_call *call;
    struct dom_slice name;
    int sent; /* the last status sent */
    bool sending;
};

struct dom_rpc_health {
    struct name names[NAMES_MAX];
    size_t num_names;
    struct watcher *watchers;
    bool draining;
};

struct dom_rpc_health *dom_rpc_health_new(void)
{
    struct dom_rpc_health *health = calloc(1, sizeof(*health));

    DOM_ASSERT(health != NULL);
    (void)dom_rpc_health_set(health, dom_slice_of("", 0), true);
    return health;
}

void dom_rpc_health_destroy(struct dom_rpc_health *health)
{
    DOM_ASSERT(health == NULL || health->watchers == NULL);
    free(health);
}

static struct name *find(struct dom_rpc_health *health, struct dom_slice service)
{
    for (size_t i = 0; i < health->num_names; i++) {
        struct name *name = &health->names[i];
        if (dom_slice_eq(dom_slice_of(name->text, name->len), service)) {
            return name;
        }
    }
    return NULL;
}

static int status_of(struct dom_rpc_health *health, struct dom_slice service)
{
    const struct name *name = find(health, service);

    if (name == NULL) {
        return SERVICE_UNKNOWN;
    }
    return name->serving && !health->draining ? SERVING : NOT_SERVING;
}

/* The service's name in the request; false after the call was failed. */
static bool read_name(struct dom_rpc_call *call, struct dom_slice *out)
{
    ProtobufCAllocator allocator = dom_rpc_proto_allocator(dom_rpc_call_arena(call));
    struct dom_slice bytes = dom_rpc_call_request(call);
    Grpc__Health__V1__HealthCheckRequest *request =
        grpc__health__v1__health_check_request__unpack(&allocator, bytes.len, bytes.data);

    if (request == NULL) {
        dom_rpc_fail_code(call, DOM_PARSE, "not a grpc.health.v1.HealthCheckRequest");
        return false;
    }
    *out = dom_slice_of(request->service.data, request->service.len);
    return true;
}

static void check(struct dom_rpc_call *call, void *context)
{
    Grpc__Health__V1__HealthCheckResponse answer = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct dom_slice name;

    if (!read_name(call, &name)) {
        return;
    }
    int status = status_of(context, name);
    if (status == SERVICE_UNKNOWN) {
        dom_rpc_fail_code(call, DOM_NOT_FOUND, "the server does not know this service");
        return;
    }
    answer.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    uint8_t *reply = dom_rpc_call_reply_alloc(
        call, grpc__health__v1__health_check_response__get_packed_size(&answer));
    DOM_ASSERT(reply != NULL);
    (void)grpc__health__v1__health_check_response__pack(&answer, reply);
    dom_rpc_call_finish(call);
}

/* ---- Watch ------------------------------------------------------------------------------ */

static void end(struct watcher *watcher, enum dom_code code, const char *message)
{
    *watcher->link = watcher->next;
    if (watcher->next != NULL) {
        watcher->next->link = watcher->link;
    }
    dom_rpc_fail_code(watcher->call, code, message);
}

static void push(struct watcher *watcher);

static void sent(struct dom_rpc_call *call, bool ok, void *arg)
{
    struct watcher *watcher = arg;

    (void)call;
    watcher->sending = false;
    if (!ok) {
        end(watcher, DOM_CANCELLED, "the watcher has gone");
        return;
    }
    push(watcher);
}

/* Sends the status if it is news; while a message is on its way, its completion looks again, so
 * a slow watcher sees the newest status, not every one. */
static void push(struct watcher *watcher)
{
    Grpc__Health__V1__HealthCheckResponse answer = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    int status = status_of(watcher->health, watcher->name);
    uint8_t bytes[16];

    if (watcher->sending) {
        return;
    }
    if (status == watcher->sent) {
        if (watcher->health->draining) {
            end(watcher, DOM_UNAVAILABLE, "the server is shutting down");
        }
        return;
    }
    answer.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    DOM_ASSERT(grpc__health__v1__health_check_response__get_packed_size(&answer) <= sizeof(bytes));
    size_t len = grpc__health__v1__health_check_response__pack(&answer, bytes);
    watcher->sent = status;
    watcher->sending = true;
    dom_rpc_call_send(watcher->call, dom_slice_of(bytes, len), sent, watcher);
}

static void gone(struct dom_rpc_call *call, void *arg)
{
    (void)call;
    end(arg, DOM_CANCELLED, "the watcher has gone");
}

static void watch(struct dom_rpc_call *call, void *context)
{
    struct dom_rpc_health *health = context;
    struct watcher *watcher = dom_arena_alloc(dom_rpc_call_arena(call), sizeof(*watcher));
    struct dom_slice name;

    if (!read_name(call, &name)) {
        return;
    }
    if (watcher == NULL) {
        dom_rpc_fail_code(call, DOM_RESOURCE, "no memory for a watcher");
        return;
    }
    *watcher = (struct watcher){.next = health->watchers,
                                .link = &health->watchers,
                                .health = health,
                                .call = call,
                                .name = name,
                                .sent = NOTHING_SENT};
    if (watcher->next != NULL) {
        watcher->next->link = &watcher->next;
    }
    health->watchers = watcher;
    dom_rpc_call_on_cancel(call, gone, watcher);
    push(watcher);
}

static void tell_all(struct dom_rpc_health *health)
{
    struct watcher *next = NULL;

    for (struct watcher *watcher = health->watchers; watcher != NULL; watcher = next) {
        next = watcher->next;
        push(watcher); /* may end it */
    }
}

bool dom_rpc_health_set(struct dom_rpc_health *health, struct dom_slice service, bool serving)
{
    struct name *name = find(health, service);

    if (name == NULL) {
        if (health->num_names == NAMES_MAX || service.len > NAME_BYTES_MAX) {
            return false;
        }
        name = &health->names[health->num_names++];
        name->len = service.len;
        if (service.len > 0) {
            memcpy(name->text, service.data, service.len);
        }
    }
    name->serving = serving;
    tell_all(health);
    return true;
}

void dom_rpc_health_drain(struct dom_rpc_health *health)
{
    health->draining = true;
    tell_all(health);
}

const struct dom_rpc_method dom_rpc_health_methods[2] = {
    {.path = "/grpc.health.v1.Health/Check", .kind = DOM_RPC_UNARY, .slots = 2, .handler = check},
    {.path = "/grpc.health.v1.Health/Watch",
     .kind = DOM_RPC_SERVER_STREAM,
     .slots = 2,
     .handler = watch},
};
