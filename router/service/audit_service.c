/* AuditService: the logs as they are, and proofs about them. Everything runs on the worker: these
 * calls read from disk. */
#include <stdlib.h>

#include "base/encode.h"
#include "domicile/v1/audit.pb-c.h"
#include "router/core/wire.h"
#include "router/service/internal.h"

#define ENTRIES_BYTES_MAX (1U << 20) /* of one message of ListEntries */

struct inquiry {
    struct dom_turn turn;
    struct dom_job job;
    struct dom_rpc_work work;
    dom_store_region region;
    uint64_t from;                /* ListEntries: next index; proofs: index or old size */
    uint64_t size;                /* of the tree asked about; 0: newest */
    uint64_t left;                /* entries still wanted */
    uint64_t end;                 /* log size when the call came */
    struct dom_buffer out;        /* the message; owned */
    struct dom_store_hold hold;   /* PlaceHold, ReleaseHold */
    enum dom_code (*ask)(struct inquiry *inquiry); /* on the worker */
    bool stream;
    enum dom_code code;
    struct dom_error err;
};

static void inquiry_end(struct inquiry *inquiry)
{
    struct dom_turn *turn = &inquiry->turn;

    if (inquiry->code != DOM_OK) {
        turn->refusal.error = inquiry->err;
        turn->refusal.path = NULL;
        dom_buffer_cleanup(&inquiry->out);
        dom_turn_refuse(turn);
        return;
    }
    dom_buffer_cleanup(&inquiry->out);
    dom_turn_release(turn);
    dom_rpc_call_finish(turn->call);
}

static void push(struct inquiry *inquiry)
{
    if (!dom_worker_push(&inquiry->turn.router->worker, &inquiry->job)) {
        inquiry->code =
            DOM_FAIL(&inquiry->err, DOM_RESOURCE, "too much work waits already; try again");
        inquiry_end(inquiry);
    }
}

static void message_sent(struct dom_rpc_call *call, bool ok, void *arg)
{
    struct inquiry *inquiry = arg;

    (void)call;
    if (ok && inquiry->left > 0 && inquiry->from < inquiry->end) {
        push(inquiry);
        return;
    }
    inquiry_end(inquiry);
}

static void asked(struct dom_rpc_work *work)
{
    struct inquiry *inquiry = (struct inquiry *)((char *)work - offsetof(struct inquiry, work));
    struct dom_turn *turn = &inquiry->turn;

    if (inquiry->code == DOM_OK && inquiry->out.failed) {
        inquiry->code = DOM_FAIL(&inquiry->err, DOM_RESOURCE, "out of memory");
    }
    if (inquiry->code != DOM_OK || (inquiry->stream && inquiry->out.len == 0)) {
        inquiry_end(inquiry);
        return;
    }
    if (inquiry->stream) {
        dom_rpc_call_send(turn->call, dom_buffer_slice(&inquiry->out), message_sent, inquiry);
        return;
    }
    struct dom_buffer *scratch = &turn->router->scratch;
    dom_buffer_clear(scratch);
    dom_buffer_append_slice(scratch, dom_buffer_slice(&inquiry->out));
    dom_buffer_cleanup(&inquiry->out);
    dom_turn_answer(turn, dom_buffer_slice(scratch));
}

static void ask(struct dom_job *job, struct dom_store_session *session)
{
    struct inquiry *inquiry = (struct inquiry *)((char *)job - offsetof(struct inquiry, job));

    (void)session;
    dom_buffer_clear(&inquiry->out);
    inquiry->code = inquiry->ask(inquiry);
    inquiry->work.run = asked;
    inquiry->work.next = NULL;
    dom_rpc_post(inquiry->turn.router->server, &inquiry->work, &inquiry->work);
}

static struct inquiry *inquiry_new(struct dom_rpc_call *call, void *context)
{
    struct inquiry *inquiry = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*inquiry));

    if (inquiry == NULL) {
        dom_call_undecodable(call);
        return NULL;
    }
    inquiry->job.run = ask;
    return dom_turn_begin(&inquiry->turn, call, context) ? inquiry : NULL;
}

/* Finds the log and starts. A log may be read only where it lies: the entries of a region do not
 * leave its jurisdiction (promise P10); checkpoints and proofs, which are hashes, may. */
static void start(struct inquiry *inquiry, ProtobufCBinaryData region, bool entries)
{
    struct dom_turn *turn = &inquiry->turn;

    inquiry->region = dom_store_find_region(turn->router->store, dom_pb_slice(region));
    if (inquiry->region == DOM_STORE_NO_REGION) {
        (void)dom_refuse(&turn->refusal, DOM_INVALID, "region", "no such region is open here");
        dom_turn_refuse(turn);
        return;
    }
    if (entries && !dom_turn_need_role(turn, DOM_ROLE_AUDITOR)) {
        return;
    }
    if (entries && dom_snapshot_jurisdiction(turn->snapshot, inquiry->region) !=
                       turn->caller.jurisdiction) {
        (void)dom_refuse(&turn->refusal, DOM_NO_PERMIT, "region",
                         "the entries of a region's log are read from its own jurisdiction; "
                         "checkpoints and proofs may be had from anywhere");
        dom_turn_refuse(turn);
        return;
    }
    inquiry->end = dom_store_log_size(turn->router->store, inquiry->region);
    dom_rpc_call_go_async(turn->call);
    push(inquiry);
}

/* ---- what is asked (worker) ---- */

static bool take_entry(void *context, uint64_t index, struct dom_slice entry)
{
    struct inquiry *inquiry = context;
    size_t at = dom_wire_begin(&inquiry->out, 1);

    dom_wire_uint(&inquiry->out, 1, index);
    dom_wire_bytes(&inquiry->out, 2, entry);
    dom_wire_end(&inquiry->out, at);
    inquiry->from = index + 1;
    inquiry->left--;
    return inquiry->out.len < ENTRIES_BYTES_MAX;
}

static enum dom_code ask_entries(struct inquiry *inquiry)
{
    uint64_t want = inquiry->end - inquiry->from;

    if (want > inquiry->left) {
        want = inquiry->left;
    }
    if (want > DOM_PAGE_ENTRIES_MAX) {
        want = DOM_PAGE_ENTRIES_MAX;
    }
    return dom_store_log_entries(inquiry->turn.router->store, inquiry->region, inquiry->from,
                                 (size_t)want, take_entry, inquiry, &inquiry->err);
}

static enum dom_code ask_checkpoint(struct inquiry *inquiry)
{
    struct dom_store *store = inquiry->turn.router->store;
    struct dom_buffer note = {0};

    enum dom_code rc = dom_store_log_checkpoint(store, inquiry->region, &note, &inquiry->err);
    if (rc == DOM_OK) {
        dom_wire_bytes(&inquiry->out, 1, dom_buffer_slice(&note));
        dom_wire_str(&inquiry->out, 2, dom_store_log_origin(store, inquiry->region));
        /* The body is three lines: origin, size, root (docs/AUDIT_FORMAT.md). */
        const char *text = dom_buffer_cstr(&note);
        const char *size = text == NULL ? NULL : strchr(text, '\n');
        const char *root = size == NULL ? NULL : strchr(size + 1, '\n');
        if (root != NULL) {
            uint8_t hash[32];
            size_t hash_len = 0;
            const char *end = strchr(root + 1, '\n');
            dom_wire_uint(&inquiry->out, 3, strtoull(size + 1, NULL, 10));
            if (end != NULL &&
                dom_base64_decode(hash, sizeof(hash), &hash_len,
                                  dom_slice_of(root + 1, (size_t)(end - root - 1)))) {
                dom_wire_bytes(&inquiry->out, 4, dom_slice_of(hash, hash_len));
            }
        }
        dom_wire_str(&inquiry->out, 5, dom_store_log_vkey(store, inquiry->region));
    }
    dom_buffer_cleanup(&note);
    return rc;
}

static void put_hashes(struct dom_buffer *out, unsigned field, const struct dom_buffer *hashes)
{
    for (size_t at = 0; at + 32 <= hashes->len; at += 32) {
        dom_wire_element(out, field, dom_slice_of(hashes->data + at, 32));
    }
}

static enum dom_code ask_inclusion(struct inquiry *inquiry)
{
    struct dom_buffer hashes = {0};
    uint8_t leaf[32];

    enum dom_code rc =
        dom_store_log_prove_inclusion(inquiry->turn.router->store, inquiry->region, inquiry->from,
                                      &inquiry->size, leaf, &hashes, &inquiry->err);
    if (rc == DOM_OK) {
        dom_wire_uint(&inquiry->out, 1, inquiry->from);
        dom_wire_uint(&inquiry->out, 2, inquiry->size);
        dom_wire_bytes(&inquiry->out, 3, dom_slice_of(leaf, sizeof(leaf)));
        put_hashes(&inquiry->out, 4, &hashes);
    }
    dom_buffer_cleanup(&hashes);
    return rc;
}

static enum dom_code ask_consistency(struct inquiry *inquiry)
{
    struct dom_buffer hashes = {0};

    enum dom_code rc = dom_store_log_prove_consistency(inquiry->turn.router->store, inquiry->region,
                                                       inquiry->from, &inquiry->size, &hashes,
                                                       &inquiry->err);
    if (rc == DOM_OK) {
        dom_wire_uint(&inquiry->out, 1, inquiry->from);
        dom_wire_uint(&inquiry->out, 2, inquiry->size);
        put_hashes(&inquiry->out, 3, &hashes);
    }
    dom_buffer_cleanup(&hashes);
    return rc;
}

static enum dom_code ask_place_hold(struct inquiry *inquiry)
{
    struct dom_turn *turn = &inquiry->turn;

    return dom_store_place_hold(turn->router->store, inquiry->region, &inquiry->hold,
                                turn->caller.subject, &inquiry->err);
}

static enum dom_code ask_release_hold(struct inquiry *inquiry)
{
    struct dom_turn *turn = &inquiry->turn;

    return dom_store_release_hold(turn->router->store, inquiry->region, inquiry->hold.id,
                                  turn->caller.subject, &inquiry->err);
}

static enum dom_code ask_holds(struct inquiry *inquiry)
{
    struct dom_store *store = inquiry->turn.router->store;
    struct dom_store_hold *holds = calloc(DOM_HOLDS_MAX, sizeof(*holds));
    size_t count = 0;

    if (holds == NULL) {
        return DOM_FAIL(&inquiry->err, DOM_RESOURCE, "out of memory");
    }
    enum dom_code rc = dom_store_holds(store, inquiry->region, holds, &count, &inquiry->err);
    for (size_t i = 0; rc == DOM_OK && i < count; i++) {
        size_t at = dom_wire_begin(&inquiry->out, 1);
        dom_wire_str(&inquiry->out, 1, holds[i].id);
        dom_wire_uint(&inquiry->out, 2, holds[i].first);
        dom_wire_uint(&inquiry->out, 3, holds[i].end);
        dom_wire_str(&inquiry->out, 4, holds[i].subject);
        dom_wire_uint(&inquiry->out, 5, (uint64_t)holds[i].until_ms);
        dom_wire_str(&inquiry->out, 6, holds[i].reason);
        dom_wire_end(&inquiry->out, at);
    }
    dom_wire_uint(&inquiry->out, 2, dom_store_log_first(store, inquiry->region));
    free(holds);
    return rc;
}

/* ---- handlers ---- */

#define UNPACK(Type, type, call, request)                                                    \
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};                              \
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);                                \
    struct dom_slice bytes = dom_rpc_call_request(call);                                      \
    Domicile__V1__##Type *request = domicile__v1__##type##__unpack(&allocator, bytes.len,     \
                                                                   bytes.data);               \
    if (request == NULL) {                                                                    \
        dom_call_undecodable(call);                                                           \
        return;                                                                               \
    }

void dom_handle_list_entries(struct dom_rpc_call *call, void *context)
{
    UNPACK(ListEntriesRequest, list_entries_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry == NULL) {
        return;
    }
    inquiry->stream = true;
    inquiry->from = request->from_index;
    inquiry->left = request->entries_max == 0 ? UINT64_MAX : request->entries_max;
    inquiry->ask = ask_entries;
    dom_store_region region =
        dom_store_find_region(inquiry->turn.router->store, dom_pb_slice(request->region));
    if (region != DOM_STORE_NO_REGION &&
        request->from_index > dom_store_log_size(inquiry->turn.router->store, region)) {
        (void)dom_refuse(&inquiry->turn.refusal, DOM_INVALID, "from_index",
                         "beyond the end of the log");
        dom_turn_refuse(&inquiry->turn);
        return;
    }
    start(inquiry, request->region, true);
}

void dom_handle_get_checkpoint(struct dom_rpc_call *call, void *context)
{
    UNPACK(GetCheckpointRequest, get_checkpoint_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry != NULL) {
        inquiry->ask = ask_checkpoint;
        start(inquiry, request->region, false);
    }
}

void dom_handle_prove_inclusion(struct dom_rpc_call *call, void *context)
{
    UNPACK(ProveInclusionRequest, prove_inclusion_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry != NULL) {
        inquiry->ask = ask_inclusion;
        inquiry->from = request->index;
        inquiry->size = request->size;
        start(inquiry, request->region, false);
    }
}

void dom_handle_prove_consistency(struct dom_rpc_call *call, void *context)
{
    UNPACK(ProveConsistencyRequest, prove_consistency_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry != NULL) {
        inquiry->ask = ask_consistency;
        inquiry->from = request->old_size;
        inquiry->size = request->new_size;
        start(inquiry, request->region, false);
    }
}

/* Copies a text of the request; too long, or with a NUL, it is refused with its path. */
static bool take_text(struct inquiry *inquiry, ProtobufCBinaryData from, char *to, size_t size,
                      const char *path)
{
    if (dom_slice_to_cstr(dom_pb_slice(from), to, size)) {
        return true;
    }
    (void)dom_refuse(&inquiry->turn.refusal, DOM_INVALID, path, "at most %zu bytes without NUL",
                     size - 1);
    dom_turn_refuse(&inquiry->turn);
    return false;
}

void dom_handle_place_hold(struct dom_rpc_call *call, void *context)
{
    UNPACK(PlaceHoldRequest, place_hold_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry == NULL || !dom_turn_need_role(&inquiry->turn, DOM_ROLE_OPERATOR)) {
        return;
    }
    if (request->hold == NULL) {
        (void)dom_refuse(&inquiry->turn.refusal, DOM_INVALID, "hold", "it is missing");
        dom_turn_refuse(&inquiry->turn);
        return;
    }
    struct dom_store_hold *hold = &inquiry->hold;
    hold->first = request->hold->first_index;
    hold->end = request->hold->end_index;
    hold->until_ms = request->hold->until_time_ms;
    if (take_text(inquiry, request->hold->id, hold->id, sizeof(hold->id), "hold.id") &&
        take_text(inquiry, request->hold->subject, hold->subject, sizeof(hold->subject),
                  "hold.subject") &&
        take_text(inquiry, request->hold->reason, hold->reason, sizeof(hold->reason),
                  "hold.reason")) {
        inquiry->ask = ask_place_hold;
        start(inquiry, request->region, false);
    }
}

void dom_handle_release_hold(struct dom_rpc_call *call, void *context)
{
    UNPACK(ReleaseHoldRequest, release_hold_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry == NULL || !dom_turn_need_role(&inquiry->turn, DOM_ROLE_OPERATOR)) {
        return;
    }
    if (take_text(inquiry, request->id, inquiry->hold.id, sizeof(inquiry->hold.id), "id")) {
        inquiry->ask = ask_release_hold;
        start(inquiry, request->region, false);
    }
}

void dom_handle_list_holds(struct dom_rpc_call *call, void *context)
{
    UNPACK(ListHoldsRequest, list_holds_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry == NULL ||
        !dom_turn_need_role(&inquiry->turn, DOM_ROLE_OPERATOR | DOM_ROLE_AUDITOR)) {
        return;
    }
    inquiry->ask = ask_holds;
    start(inquiry, request->region, false);
}
