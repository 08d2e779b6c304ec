/* Nobody waits for the store for ever. An operation that is not back in time is given up: its caller
 * is answered, while the operation, and the call's memory that it lives in, stay the store's until it
 * comes back. What comes back durable after that is told in the log: its entry says that an
 * operation was permitted, and its caller was told that the entry could not be written. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/service/internal.h"
#include "store/audit/event.h"

#define LATE_PAUSE_US UINT64_C(20000) /* lets those that come back together share an entry */

/* Entries of one log whose callers were given up. */
struct late {
    dom_store_region region;
    uint64_t first;
    uint64_t count;
};

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

/* ---- the lines: those that wait, the first to be given up in front -------------------------- */

static void set_timer(struct dom_router *router)
{
    uint64_t at = router->waits.late_us;

    for (size_t i = 0; i < DOM_ARRAY_LEN(router->waits.lines); i++) {
        const struct dom_async *first = router->waits.lines[i].first;
        if (first != NULL && first->due_us < at) {
            at = first->due_us;
        }
    }
    dom_rpc_server_set_timer(router->server, at);
}

static void join(struct dom_router *router, struct dom_async *async)
{
    bool needs_log = async->op.num_entries > 0;
    struct dom_wait_line *line = &router->waits.lines[needs_log ? 0 : 1];

    async->due_us = now_us() + (needs_log ? router->waits.wait_us
                                          : DOM_WRITE_WAIT_MS * UINT64_C(1000));
    async->line = line;
    async->wait_prev = line->last;
    async->wait_next = NULL;
    if (line->last == NULL) {
        line->first = async;
        set_timer(router);
    } else {
        line->last->wait_next = async;
    }
    line->last = async;
}

static void leave(struct dom_async *async)
{
    struct dom_wait_line *line = async->line;

    if (line == NULL) {
        return;
    }
    if (async->wait_prev == NULL) {
        line->first = async->wait_next;
    } else {
        async->wait_prev->wait_next = async->wait_next;
    }
    if (async->wait_next == NULL) {
        line->last = async->wait_prev;
    } else {
        async->wait_next->wait_prev = async->wait_prev;
    }
    async->line = NULL;
}

static void give_up(struct dom_async *async)
{
    leave(async);
    if (!dom_rpc_call_take_back(async->call)) {
        return; /* answered this moment, and on its way back */
    }
    async->given_up = true;
    dom_rpc_call_keep(async->call);
    if (async->op.num_entries > 0) {
        async->code = DOM_AUDIT_UNAVAILABLE;
        async->message = "the log did not take the entry in time";
    } else {
        async->code = DOM_UNAVAILABLE;
        async->message = "the disk of the record's home region does not answer";
    }
    async->done(async);
}

/* ---- what came back too late ---------------------------------------------------------------- */

static void note_late(struct dom_router *router, const struct dom_async *async)
{
    struct dom_buffer *list = &router->waits.late;

    if (async->op.code != DOM_OK || async->op.num_entries == 0) {
        return; /* it failed as its caller was told; what it left is told by the store */
    }
    for (size_t i = 0; i < async->op.num_entries; i++) {
        struct late *last = list->len == 0 ? NULL
                                           : (struct late *)(void *)(list->data + list->len) - 1;
        uint64_t index = async->op.receipts[i].index;
        if (last != NULL && last->region == async->op.region && last->first + last->count == index) {
            last->count++;
        } else {
            struct late one = {.region = async->op.region, .first = index, .count = 1};
            dom_buffer_append(list, &one, sizeof(one));
        }
    }
    DOM_ASSERT(!list->failed); /* bounded by the calls in flight */
    if (router->waits.late_us == UINT64_MAX) {
        router->waits.late_us = now_us() + LATE_PAUSE_US;
        set_timer(router);
    }
}

struct note {
    struct dom_async async;
    struct dom_buffer bytes;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
};

static void note_free(struct note *note)
{
    dom_buffer_cleanup(&note->bytes);
    free(note);
}

/* On the log's commit thread. */
static void noted(struct dom_async *async)
{
    struct note *note = async->owner;

    if (async->op.code != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "audit.late_unwritten", "text=\"%s\" entry=%.*s", async->op.message,
                (int)note->entry.len, (const char *)note->entry.data);
    }
    note_free(note);
}

static enum dom_code encode(struct dom_router *router, const struct late *late,
                            struct dom_buffer *out, struct dom_error *err)
{
    const char *region = dom_store_region_name(router->store, late->region);
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("name"), .text = dom_slice_str(region)},
        {.name = DOM_SLICE_LIT("reason"), .text = DOM_SLICE_LIT("stall")},
        {.name = DOM_SLICE_LIT("state"), .text = DOM_SLICE_LIT("late")},
        {.name = DOM_SLICE_LIT("unanswered_count"),
         .integer = (int64_t)late->count,
         .is_integer = true},
        {.name = DOM_SLICE_LIT("unanswered_first"),
         .integer = (int64_t)late->first,
         .is_integer = true},
    };
    struct dom_audit_event event = {.type = DOM_AUDIT_SINK,
                                    .time_ms = dom_clock_wall_ms(router->clock),
                                    .details = details,
                                    .num_details = DOM_ARRAY_LEN(details)};
    uint8_t random[10 + DOM_NONCE_SIZE];

    dom_router_random(router, random, sizeof(random));
    dom_audit_uuid7(event.id, event.time_ms, random);
    memcpy(event.nonce, random + 10, DOM_NONCE_SIZE);
    event.origin = dom_slice_str(dom_store_log_origin(router->store, late->region));
    event.router.build = dom_slice_str(DOM_BUILD_NAME);
    event.router.instance = dom_slice_str(router->options.instance);
    event.router.region = dom_slice_str(region);
    event.policy.index = -1;
    return dom_audit_event_encode(&event, out, err);
}

/* False: the log is closed; later. */
static bool write_late(struct dom_router *router, const struct late *late)
{
    struct note *note = calloc(1, sizeof(*note));
    struct dom_error err = {0};

    DOM_ASSERT(note != NULL);
    enum dom_code rc = encode(router, late, &note->bytes, &err);
    DOM_ASSERT(rc == DOM_OK); /* of our own making */
    note->entry = dom_buffer_slice(&note->bytes);
    note->async.owner = note;
    note->async.done = noted;
    note->async.op.type = DOM_STORE_APPEND;
    note->async.op.region = late->region;
    note->async.op.deadline_us = UINT64_MAX;
    note->async.op.entries = &note->entry;
    note->async.op.num_entries = 1;
    note->async.op.receipts = &note->receipt;
    note->async.op.owner = &note->async;
    if (dom_store_submit(router->store, &note->async.op, &err) != DOM_OK) {
        note_free(note);
        return false;
    }
    /* Relaxed: a counter with one writer, read by the metrics page. */
    (void)atomic_fetch_add_explicit(&router->waits.num_late[late->region], late->count,
                                    memory_order_relaxed);
    return true;
}

void dom_router_write_late(struct dom_router *router)
{
    struct dom_buffer *list = &router->waits.late;
    size_t kept = 0;

    for (size_t at = 0; at < list->len; at += sizeof(struct late)) {
        struct late one;
        memcpy(&one, list->data + at, sizeof(one));
        if (!write_late(router, &one)) {
            memmove(list->data + kept, &one, sizeof(one));
            kept += sizeof(one);
        }
    }
    list->len = kept;
    router->waits.late_us = kept == 0 ? UINT64_MAX : now_us() + 10 * LATE_PAUSE_US;
}

/* ---- the life of an operation --------------------------------------------------------------- */

static void back(struct dom_rpc_work *work)
{
    struct dom_async *async = (struct dom_async *)((char *)work - offsetof(struct dom_async, work));
    struct dom_rpc_call *call = async->call;

    if (async->given_up) {
        note_late(async->router, async);
        if (async->late != NULL) {
            async->late(async);
        }
        dom_rpc_call_drop(call);
        return;
    }
    leave(async);
    async->answered = !dom_rpc_call_take_back(call);
    async->code = async->op.code;
    async->message = async->op.message;
    async->done(async);
}

enum dom_code dom_async_submit(struct dom_router *router, const struct dom_snapshot *snapshot,
                               struct dom_async *async, struct dom_error *err)
{
    DOM_ASSERT(async->call != NULL);
    if (async->op.num_entries > 0) {
        async->op.need = snapshot->needs[async->op.region];
    }
    async->router = router;
    async->op.owner = async;
    async->work.run = back;
    async->work.next = NULL;
    enum dom_code rc = dom_store_submit(router->store, &async->op, err);
    if (rc == DOM_OK) {
        join(router, async);
    }
    return rc;
}

void dom_router_init_waits(struct dom_router *router)
{
    uint64_t wait_ms = router->options.audit_wait_ms;

    router->waits.wait_us = (wait_ms == 0 ? DOM_AUDIT_WAIT_MS : wait_ms) * UINT64_C(1000);
    router->waits.late_us = UINT64_MAX;
    dom_buffer_init(&router->waits.late, SIZE_MAX);
}

void dom_router_timer(void *context)
{
    struct dom_router *router = context;
    uint64_t now = now_us();

    for (size_t i = 0; i < DOM_ARRAY_LEN(router->waits.lines); i++) {
        struct dom_wait_line *line = &router->waits.lines[i];
        while (line->first != NULL && line->first->due_us <= now) {
            give_up(line->first);
        }
    }
    if (router->waits.late_us <= now) {
        dom_router_write_late(router);
    }
    set_timer(router);
}
