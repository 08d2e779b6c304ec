/* GetRecord and BatchGetRecords. A border crossing waits for its entry; nothing else waits. */
#include <stdio.h>

#include "base/assert.h"
#include "domicile/v1/record.pb-c.h"
#include "router/core/wire.h"
#include "router/service/read.h"

/* A receipt without its log's name: tags and lengths, an index of 10 bytes, a hash of 32. */
#define RECEIPT_BYTES_MAX 80U

/* The keys of one request, their outcomes, and the appends under way for them. */
struct gather {
    struct dom_turn turn;
    struct dom_read read;
    struct dom_turn trial_turn;   /* of a batch: for keys that a candidate decides about */
    struct dom_read trial_read;
    bool trial_asked;
    struct dom_read_result *results;
    size_t num_results;
    bool batch;
    size_t waiting;               /* appends not yet done */
    struct dom_async *asyncs;     /* one per region that has entries */
    size_t num_asyncs;
    struct dom_store_receipt *receipts; /* by result */
    uint8_t *reply;                     /* lent: room for the answer, the body in it already */
    size_t reply_size;
    bool answered;
};

static struct dom_freshness freshness_of(const Domicile__V1__Freshness *wire)
{
    struct dom_freshness out = {0};

    if (wire == NULL) {
        return out;
    }
    switch (wire->bound_case) {
    case DOMICILE__V1__FRESHNESS__BOUND_STRONG:
        out.strong = wire->strong != 0;
        break;
    case DOMICILE__V1__FRESHNESS__BOUND_AT_LEAST_VERSION:
        out.at_least_version = wire->at_least_version;
        break;
    case DOMICILE__V1__FRESHNESS__BOUND_MAX_STALENESS_MS:
        out.bounded = true;
        out.max_staleness_ms = wire->max_staleness_ms;
        break;
    case DOMICILE__V1__FRESHNESS__BOUND__NOT_SET:
    case _DOMICILE__V1__FRESHNESS__BOUND__CASE_IS_INT_SIZE:
        break;
    }
    return out;
}

static const char *log_of(const struct gather *gather, size_t i)
{
    return dom_store_log_origin(gather->turn.router->store, gather->results[i].entry_region);
}

static void append_receipt(struct dom_buffer *out, const char *log,
                           const struct dom_store_receipt *receipt)
{
    size_t at = dom_wire_begin(out, 3);

    dom_answer_receipt(out, log, receipt);
    dom_wire_end(out, at);
}

/* ---- the answer that the log's own thread may send ---- */

/* One record across one border, with nothing to settle: all of its answer is made but the receipt. */
static bool can_lend(const struct gather *gather)
{
    const struct dom_read_result *result = &gather->results[0];

    return !gather->batch && result->code == DOM_OK && result->num_limit_keys == 0 &&
           result->body.len <= DOM_MESSAGE_BYTES_MAX / 2;
}

/* Any thread that has the room to itself. */
static size_t complete_reply(const struct gather *gather, const struct dom_store_receipt *receipt)
{
    struct dom_buffer out = dom_buffer_over(gather->reply, gather->reply_size);

    (void)dom_buffer_extend(&out, gather->results[0].body.len);
    append_receipt(&out, log_of(gather, 0), receipt);
    DOM_ASSERT(!out.failed);
    return out.len;
}

static bool answer_lent(struct dom_async *async)
{
    const struct gather *gather = async->owner;

    if (!dom_rpc_call_claim_lent(async->call)) {
        return false; /* given up: what came late is told by wait.c */
    }
    dom_rpc_call_answer_lent(async->call, complete_reply(gather, &async->op.receipts[0]));
    return true;
}

static void lend(struct gather *gather, struct dom_async *async)
{
    struct dom_slice body = gather->results[0].body;

    gather->reply_size = body.len + strlen(log_of(gather, 0)) + RECEIPT_BYTES_MAX;
    gather->reply = dom_rpc_call_lend(gather->turn.call, gather->reply_size,
                                      &async->work);
    memcpy(gather->reply, body.data, body.len);
    async->prompt = answer_lent;
}

static void answer_single(struct gather *gather)
{
    struct dom_buffer *out = &gather->turn.router->scratch;
    struct dom_read_result *result = &gather->results[0];

    if (gather->answered) {
        dom_turn_release(&gather->turn);
        return;
    }
    if (result->code != DOM_OK) {
        gather->turn.refusal = result->refusal;
        if (result->hidden) {
            (void)dom_refuse(&gather->turn.refusal, DOM_NOT_FOUND, NULL,
                             "%s", DOM_HIDDEN_TEXT);
            dom_turn_refuse(&gather->turn);
        } else if (result->access.request.kind != DOM_POLICY_NONE &&
                   dom_code_category(result->code) == DOM_CAT_DENIED) {
            dom_turn_refuse_decision(&gather->turn, &result->access);
        } else {
            dom_turn_refuse(&gather->turn);
        }
        return;
    }
    if (result->entry.len == 0) {
        dom_turn_answer(&gather->turn, result->body);
        return;
    }
    if (gather->reply != NULL) {
        dom_turn_release(&gather->turn);
        dom_rpc_call_finish_lent(gather->turn.call, complete_reply(gather, &gather->receipts[0]));
        return;
    }
    dom_buffer_clear(out);
    dom_buffer_append_slice(out, result->body);
    append_receipt(out, log_of(gather, 0), &gather->receipts[0]);
    dom_turn_answer(&gather->turn, dom_buffer_slice(out));
}

static void put_key_error(struct dom_buffer *out, const struct dom_read_result *result)
{
    enum dom_code code = result->hidden ? DOM_NOT_FOUND : result->code;
    size_t at = dom_wire_begin(out, 2);

    dom_wire_uint(out, 1, (uint64_t)dom_code_grpc_status(code));
    dom_wire_str(out, 2, dom_code_reason(code));
    dom_wire_str(out, 3, result->hidden ? DOM_HIDDEN_TEXT
                                        : result->refusal.error.message);
    dom_wire_end(out, at);
}

static void release_trial(struct gather *gather)
{
    dom_snapshot_unref(gather->trial_turn.snapshot);
    gather->trial_turn.snapshot = NULL;
}

static void answer_batch(struct gather *gather)
{
    struct dom_buffer *out = &gather->turn.router->scratch;

    release_trial(gather);
    dom_buffer_clear(out);
    for (size_t i = 0; i < gather->num_results; i++) {
        const struct dom_read_result *result = &gather->results[i];
        size_t outer = dom_wire_begin(out, 1);
        if (result->code == DOM_OK) {
            size_t inner = dom_wire_begin(out, 1);
            dom_buffer_append_slice(out, result->body);
            if (result->entry.len > 0) {
                append_receipt(out, log_of(gather, i), &gather->receipts[i]);
            }
            dom_wire_end(out, inner);
        } else {
            put_key_error(out, result);
        }
        dom_wire_end(out, outer);
    }
    dom_turn_answer(&gather->turn, dom_buffer_slice(out));
}

static void settle(struct gather *gather)
{
    for (size_t i = 0; i < gather->num_results; i++) {
        struct dom_read_result *result = &gather->results[i];
        dom_limit_settle(&gather->turn.router->limits, result->access.served, result->limit_keys,
                         result->num_limit_keys, result->logged);
    }
    if (gather->batch) {
        answer_batch(gather);
    } else {
        answer_single(gather);
    }
}

/* Gives the receipts of one region's append to the results that it was for, in their order. */
static void spread(struct gather *gather, const struct dom_async *async)
{
    const struct dom_store_op *op = &async->op;
    size_t next = 0;

    for (size_t i = 0; i < gather->num_results; i++) {
        struct dom_read_result *result = &gather->results[i];
        if (result->entry.len == 0 || result->entry_region != op->region) {
            continue;
        }
        if (async->code == DOM_OK) {
            gather->receipts[i] = op->receipts[next++];
            result->logged = true;
            continue;
        }
        /* P3: without the entry there is no answer, and no denial either. */
        result->body = dom_slice_of(NULL, 0);
        result->hidden = false;
        result->code =
            dom_code_category(async->code) == DOM_CAT_IO ? DOM_AUDIT_UNAVAILABLE : async->code;
        (void)dom_refuse(&result->refusal, result->code, NULL,
                         "the access cannot be written to the audit log: %s", async->message);
        result->access.request.kind = DOM_POLICY_NONE;
    }
}

static void append_done(struct dom_async *async)
{
    struct gather *gather = async->owner;

    spread(gather, async);
    gather->answered = async->answered;
    DOM_ASSERT(gather->waiting > 0);
    if (--gather->waiting == 0) {
        settle(gather);
    }
}

/* Fills the append of one region: its entries, limit keys and room for receipts. */
static bool fill_append(struct gather *gather, struct dom_async *async, dom_store_region region)
{
    struct dom_arena *arena = gather->turn.arena;
    size_t num_entries = 0;
    size_t num_keys = 0;

    for (size_t i = 0; i < gather->num_results; i++) {
        const struct dom_read_result *result = &gather->results[i];
        if (result->entry.len > 0 && result->entry_region == region) {
            num_entries++;
            num_keys += result->num_limit_keys;
        }
    }
    struct dom_slice *entries = dom_arena_alloc(arena, num_entries * sizeof(*entries));
    struct dom_slice *keys = dom_arena_alloc(arena, num_keys * sizeof(*keys));
    async->op.receipts = dom_arena_calloc(arena, num_entries, sizeof(*async->op.receipts));
    if (entries == NULL || keys == NULL || async->op.receipts == NULL) {
        return false;
    }
    num_entries = 0;
    num_keys = 0;
    for (size_t i = 0; i < gather->num_results; i++) {
        const struct dom_read_result *result = &gather->results[i];
        if (result->entry.len == 0 || result->entry_region != region) {
            continue;
        }
        entries[num_entries++] = result->entry;
        for (size_t k = 0; k < result->num_limit_keys; k++) {
            keys[num_keys++] = result->limit_keys[k];
        }
    }
    async->op.type = DOM_STORE_APPEND;
    async->op.region = region;
    async->op.deadline_us = dom_rpc_call_deadline_us(gather->turn.call);
    async->op.entries = entries;
    async->op.num_entries = num_entries;
    async->op.limit_keys = keys;
    async->op.num_limit_keys = num_keys;
    async->call = gather->turn.call;
    async->owner = gather;
    async->done = append_done;
    return true;
}

static void append_all(struct gather *gather, dom_store_set regions)
{
    size_t num = (size_t)__builtin_popcountll(regions);
    bool ready = true;

    gather->asyncs = dom_arena_calloc(gather->turn.arena, num, sizeof(*gather->asyncs));
    gather->receipts = dom_arena_calloc(gather->turn.arena, gather->num_results,
                                        sizeof(*gather->receipts));
    ready = gather->asyncs != NULL && gather->receipts != NULL;
    for (dom_store_set left = regions; ready && left != 0; left &= left - 1) {
        ready = fill_append(gather, &gather->asyncs[gather->num_asyncs++],
                            (dom_store_region)__builtin_ctzll(left));
    }
    if (!ready) {
        for (size_t i = 0; i < gather->num_results; i++) {
            dom_limit_settle(&gather->turn.router->limits, gather->results[i].access.served,
                             gather->results[i].limit_keys, gather->results[i].num_limit_keys,
                             false);
        }
        (void)dom_refuse(&gather->turn.refusal, DOM_RESOURCE, NULL,
                         "the request needs too much memory");
        release_trial(gather);
        dom_turn_refuse(&gather->turn);
        return;
    }
    dom_rpc_call_hold(gather->turn.call);
    gather->waiting = num + 1; /* one for this loop, so that no append finishes the call within it */
    for (size_t i = 0; i < num; i++) {
        struct dom_error err = {0};
        struct dom_async *async = &gather->asyncs[i];
        if (can_lend(gather)) {
            lend(gather, async);
        }
        enum dom_code rc = dom_async_submit(gather->turn.router, gather->turn.snapshot, async, &err);
        if (rc != DOM_OK) {
            (void)dom_rpc_call_take_back(async->call); /* nobody else has it */
            async->code = rc;
            async->message = err.message;
            append_done(async);
        }
    }
    if (--gather->waiting == 0) {
        settle(gather);
    }
}

static void finish(struct gather *gather)
{
    dom_store_set regions = 0;

    for (size_t i = 0; i < gather->num_results; i++) {
        if (gather->results[i].entry.len > 0) {
            regions |= UINT64_C(1) << gather->results[i].entry_region;
        }
    }
    if (regions == 0) {
        settle(gather);
    } else {
        append_all(gather, regions);
    }
}

/* Resolves what all keys share; on false the call has been failed. */
static bool begin_read(struct gather *gather, struct dom_slice purpose,
                       ProtobufCBinaryData *fields, size_t num_fields,
                       const Domicile__V1__Freshness *freshness)
{
    struct dom_turn *turn = &gather->turn;
    struct dom_slice *names = dom_arena_alloc(turn->arena, num_fields * sizeof(*names));

    gather->read.turn = turn;
    gather->read.freshness = freshness_of(freshness);
    if (names == NULL) {
        (void)dom_refuse(&turn->refusal, DOM_RESOURCE, NULL, "the request needs too much memory");
        dom_turn_refuse(turn);
        return false;
    }
    for (size_t i = 0; i < num_fields; i++) {
        names[i] = dom_pb_slice(fields[i]);
    }
    gather->read.names = names;
    gather->read.num_names = num_fields;
    if (dom_purpose_resolve(&gather->read.purpose, turn->snapshot, purpose, &turn->refusal) !=
        DOM_OK) {
        dom_turn_refuse(turn);
        return false;
    }
    return true;
}

static struct gather *gather_new(struct dom_rpc_call *call, void *context, size_t num_results)
{
    struct dom_arena *arena = dom_rpc_call_arena(call);
    struct gather *gather = dom_arena_calloc(arena, 1, sizeof(*gather));

    if (gather != NULL) {
        gather->results = dom_arena_alloc(arena, num_results * sizeof(*gather->results));
        gather->num_results = num_results;
    }
    if (gather == NULL || gather->results == NULL) {
        struct dom_rpc_failure failure = {.code = DOM_RESOURCE,
                                          .message = "the request needs too much memory"};
        dom_rpc_call_fail(call, &failure);
        return NULL;
    }
    return dom_turn_begin(&gather->turn, call, context) ? gather : NULL;
}

void dom_handle_get(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);
    struct dom_key key;

    Domicile__V1__GetRecordRequest *request =
        domicile__v1__get_record_request__unpack(&allocator, bytes.len, bytes.data);
    if (request == NULL) {
        dom_call_undecodable(call);
        return;
    }
    struct gather *gather = gather_new(call, context, 1);
    if (gather != NULL) {
        dom_turn_pick(&gather->turn, dom_pb_slice(request->kind), dom_pb_slice(request->id));
    }
    if (gather == NULL || !begin_read(gather, dom_pb_slice(request->purpose), request->fields,
                                      request->n_fields, request->freshness)) {
        return;
    }
    if (dom_key_resolve(&key, gather->turn.snapshot, dom_pb_slice(request->kind),
                        dom_pb_slice(request->id), dom_pb_slice(request->home), "",
                        gather->turn.arena, &gather->turn.refusal) != DOM_OK) {
        dom_turn_refuse(&gather->turn);
        return;
    }
    dom_buffer_clear(&gather->turn.router->scratch);
    dom_read_one(&gather->read, &key, &gather->results[0]);
    finish(gather);
}

/* A batch whose keys together would not fit one message fails the keys at its end. */
static void bound_answer(struct gather *gather)
{
    size_t total = 0;

    for (size_t i = 0; i < gather->num_results; i++) {
        struct dom_read_result *result = &gather->results[i];
        size_t more = result->body.len + 256;
        if (result->code != DOM_OK || total + more <= DOM_MESSAGE_BYTES_MAX) {
            /* A refusal is small, and a denial must keep its entry. */
            total += more;
            continue;
        }
        dom_limit_settle(&gather->turn.router->limits, result->access.served, result->limit_keys,
                         result->num_limit_keys, false);
        memset(result, 0, sizeof(*result));
        result->access.request.kind = DOM_POLICY_NONE;
        result->code = DOM_RESOURCE;
        (void)dom_refuse(&result->refusal, DOM_RESOURCE, NULL,
                         "the answer would be larger than a message may be; ask for fewer keys");
    }
}

/* How the key is read: as all are, or under the candidate that decides about it. */
static const struct dom_read *read_of(struct gather *gather, const Domicile__V1__RecordKey *key,
                                      struct dom_slice purpose)
{
    const struct dom_trial *trial = gather->turn.snapshot->trial;
    struct dom_refusal refusal = {0};

    if (trial == NULL || trial->is_candidate ||
        !dom_trial_picks(trial, dom_pb_slice(key->kind), dom_pb_slice(key->id))) {
        return &gather->read;
    }
    if (!gather->trial_asked) {
        gather->trial_asked = true;
        gather->trial_read = gather->read;
        gather->trial_read.turn = &gather->trial_turn;
        if (dom_turn_on_trial(&gather->turn, &gather->trial_turn) &&
            dom_purpose_resolve(&gather->trial_read.purpose, gather->trial_turn.snapshot, purpose,
                                &refusal) != DOM_OK) {
            gather->trial_read.purpose = DOM_POLICY_NONE; /* unknown there: nothing crosses */
        }
    }
    return gather->trial_turn.snapshot == NULL ? &gather->read : &gather->trial_read;
}

void dom_handle_batch_get(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);

    Domicile__V1__BatchGetRecordsRequest *request =
        domicile__v1__batch_get_records_request__unpack(&allocator, bytes.len, bytes.data);
    if (request == NULL) {
        dom_call_undecodable(call);
        return;
    }
    size_t num_keys = request->n_keys <= DOM_BATCH_KEYS_MAX ? request->n_keys : 0;
    struct gather *gather = gather_new(call, context, num_keys);
    if (gather == NULL) {
        return;
    }
    gather->batch = true;
    if (request->n_keys == 0 || request->n_keys > DOM_BATCH_KEYS_MAX) {
        (void)dom_refuse(&gather->turn.refusal, DOM_INVALID, "keys",
                         "%zu keys; a batch has 1 to %u", request->n_keys, DOM_BATCH_KEYS_MAX);
        dom_turn_refuse(&gather->turn);
        return;
    }
    if (!begin_read(gather, dom_pb_slice(request->purpose), request->fields, request->n_fields,
                    request->freshness)) {
        return;
    }
    dom_buffer_clear(&gather->turn.router->scratch);
    for (size_t i = 0; i < num_keys; i++) {
        const Domicile__V1__RecordKey *wire = request->keys[i];
        struct dom_read_result *result = &gather->results[i];
        struct dom_key key;
        char prefix[24];
        struct dom_refusal refusal = {0};
        (void)snprintf(prefix, sizeof(prefix), "keys[%zu].", i);
        const struct dom_read *read = read_of(gather, wire, dom_pb_slice(request->purpose));
        enum dom_code rc =
            dom_key_resolve(&key, read->turn->snapshot, dom_pb_slice(wire->kind),
                            dom_pb_slice(wire->id), dom_pb_slice(wire->home), prefix,
                            gather->turn.arena, &refusal);
        if (rc == DOM_OK) {
            dom_read_one(read, &key, result);
            continue;
        }
        memset(result, 0, sizeof(*result));
        result->access.request.kind = DOM_POLICY_NONE;
        result->code = rc;
        result->refusal = refusal;
    }
    bound_answer(gather);
    finish(gather);
}
