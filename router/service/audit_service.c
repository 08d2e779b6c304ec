/* AuditService: the logs as they are, and proofs about them. Everything runs on the worker: these
 * calls read from disk. */
#include <stdlib.h>

#include "base/encode.h"
#include "domicile/v1/audit.pb-c.h"
#include "router/core/wire.h"
#include "router/service/internal.h"

struct inquiry {
    struct dom_turn turn;
    struct dom_job job;
    struct dom_rpc_work work;
    dom_store_region region;
    uint64_t from;                /* ListEntries: next index; proofs: index or old size */
    uint64_t size;                /* of the tree asked about; 0: newest */
    uint64_t left;                /* entries still wanted */
    uint64_t end;                 /* of what is asked for: at most the log's size as the call came */
    struct dom_entries_filter *wanted; /* ListEntries */
    size_t num_in_message;             /* ListEntries */
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
    if (!dom_crew_push(&inquiry->turn.router->crew, inquiry->region, &inquiry->job)) {
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

/* Finds the log. A log may be read only where it lies: the entries of a region do not leave its
 * jurisdiction (promise P10); checkpoints and proofs, which are hashes, may. False after having
 * refused. */
static bool find_log(struct inquiry *inquiry, ProtobufCBinaryData region, bool entries)
{
    struct dom_turn *turn = &inquiry->turn;

    inquiry->region = dom_store_find_region(turn->router->store, dom_pb_slice(region));
    if (inquiry->region == DOM_STORE_NO_REGION) {
        (void)dom_refuse(&turn->refusal, DOM_INVALID, "region", "no such region is open here");
        dom_turn_refuse(turn);
        return false;
    }
    if (entries && !dom_turn_need_role(turn, DOM_ROLE_AUDITOR)) {
        return false;
    }
    if (entries && dom_snapshot_jurisdiction(turn->snapshot, inquiry->region) !=
                       turn->caller.jurisdiction) {
        (void)dom_refuse(&turn->refusal, DOM_NO_PERMIT, "region",
                         "the entries of a region's log are read from its own jurisdiction; "
                         "checkpoints and proofs may be had from anywhere");
        dom_turn_refuse(turn);
        return false;
    }
    return true;
}

static void go(struct inquiry *inquiry)
{
    dom_rpc_call_go_async(inquiry->turn.call);
    push(inquiry);
}

static void start(struct inquiry *inquiry, ProtobufCBinaryData region)
{
    if (find_log(inquiry, region, false)) {
        go(inquiry);
    }
}

/* ---- what is asked (worker) ---- */

/* True while the message takes more. */
static bool put_entry(struct inquiry *inquiry, uint64_t index, struct dom_slice entry)
{
    dom_entries_put(&inquiry->out, 1, index, entry);
    inquiry->from = index + 1;
    inquiry->left--;
    inquiry->num_in_message++;
    return inquiry->left > 0 && inquiry->num_in_message < DOM_PAGE_ENTRIES_MAX &&
           inquiry->out.len < DOM_ENTRIES_BYTES_MAX;
}

static bool take_entry(void *context, uint64_t index, struct dom_slice entry)
{
    return put_entry(context, index, entry);
}

static enum dom_code ask_entries(struct inquiry *inquiry)
{
    uint64_t want = inquiry->end - inquiry->from;

    inquiry->num_in_message = 0;
    if (want > DOM_PAGE_ENTRIES_MAX) {
        want = DOM_PAGE_ENTRIES_MAX;
    }
    enum dom_code rc =
        inquiry->left == 0
            ? DOM_OK
            : dom_store_log_entries(inquiry->turn.router->store, inquiry->region, inquiry->from,
                                    (size_t)want, take_entry, inquiry, &inquiry->err);
    if (rc == DOM_OK && inquiry->num_in_message > 0) {
        dom_wire_uint(&inquiry->out, 2, inquiry->from);
    }
    return rc;
}

static enum dom_code take_match(void *arg, uint64_t index, struct dom_slice entry,
                                const struct dom_entry_head *head, struct dom_error *err)
{
    (void)head;
    return put_entry(arg, index, entry) ? DOM_OK
                                        : DOM_FAIL(err, DOM_EXISTS, "the message is full");
}

/* What is durable and not yet published has no index and is in no bundle: each entry is looked at. */
struct recent {
    struct inquiry *inquiry;
    enum dom_code code;
};

static bool take_recent(void *context, uint64_t index, struct dom_slice entry)
{
    struct recent *recent = context;
    struct inquiry *inquiry = recent->inquiry;
    struct dom_entry_head head;

    recent->code = dom_entry_scan(entry, &head, &inquiry->err);
    if (recent->code != DOM_OK) {
        return false;
    }
    inquiry->from = index + 1;
    return !dom_export_filter_match(&inquiry->wanted->filter, index, &head) ||
           put_entry(inquiry, index, entry);
}

/* One job's share of a filtered listing: of the published log through its index, behind it out of
 * the database. */
static enum dom_code ask_matching(struct inquiry *inquiry)
{
    struct dom_store *store = inquiry->turn.router->store;
    struct recent recent = {.inquiry = inquiry};
    uint64_t published = dom_store_log_published(store, inquiry->region);
    uint64_t stop = inquiry->end - inquiry->from > DOM_ENTRIES_JOB
                        ? inquiry->from + DOM_ENTRIES_JOB
                        : inquiry->end;
    struct dom_export_filter filter = inquiry->wanted->filter;
    enum dom_code rc = DOM_OK;

    inquiry->num_in_message = 0;
    if (inquiry->from >= inquiry->end || inquiry->left == 0) {
        return DOM_OK;
    }
    if (inquiry->from < published) {
        filter.first = inquiry->from;
        filter.end = stop < published ? stop : published;
        rc = dom_entries_walk(store, inquiry->region, published, &filter, true, take_match, inquiry,
                              &inquiry->err);
        inquiry->from = rc == DOM_OK ? filter.end : inquiry->from;
        rc = rc == DOM_EXISTS ? DOM_OK : rc; /* the message is full, or enough was sent */
    } else {
        rc = dom_store_log_entries(store, inquiry->region, inquiry->from,
                                   (size_t)(stop - inquiry->from), take_recent, &recent,
                                   &inquiry->err);
        rc = rc == DOM_OK ? recent.code : rc;
    }
    dom_wire_uint(&inquiry->out, 2, inquiry->from);
    return rc;
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
    struct dom_turn *turn = &inquiry->turn;
    if (!find_log(inquiry, request->region, true)) {
        return;
    }
    struct dom_entries_ask asked_for = DOM_ENTRIES_ASK(request);
    uint64_t size = dom_store_log_size(turn->router->store, inquiry->region);
    inquiry->wanted = dom_turn_calloc(turn, 1, sizeof(*inquiry->wanted));
    if (inquiry->wanted == NULL) {
        return;
    }
    if (!dom_entries_take(turn, inquiry->region, &asked_for, size, inquiry->wanted)) {
        dom_turn_refuse(turn);
        return;
    }
    const struct dom_export_filter *filter = &inquiry->wanted->filter;
    bool filters = filter->num_where > 0 || filter->from_ms != 0 || filter->until_ms != 0;
    inquiry->stream = true;
    inquiry->from = filter->first;
    inquiry->end = filter->end;
    inquiry->left = request->entries_max == 0 ? UINT64_MAX : request->entries_max;
    inquiry->ask = filters ? ask_matching : ask_entries;
    go(inquiry);
}

void dom_handle_get_checkpoint(struct dom_rpc_call *call, void *context)
{
    UNPACK(GetCheckpointRequest, get_checkpoint_request, call, request)
    struct inquiry *inquiry = inquiry_new(call, context);
    if (inquiry != NULL) {
        inquiry->ask = ask_checkpoint;
        start(inquiry, request->region);
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
        start(inquiry, request->region);
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
        start(inquiry, request->region);
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
        start(inquiry, request->region);
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
        start(inquiry, request->region);
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
    start(inquiry, request->region);
}
