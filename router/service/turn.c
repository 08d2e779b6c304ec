/* What every handler begins, shares and ends with. */
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/service/internal.h"

struct dom_snapshot *dom_holder_get(struct dom_policy_holder *holder)
{
    (void)pthread_mutex_lock(&holder->lock);
    struct dom_snapshot *snapshot = dom_snapshot_ref(holder->current);
    (void)pthread_mutex_unlock(&holder->lock);
    return snapshot;
}

bool dom_turn_on_trial(const struct dom_turn *turn, struct dom_turn *out)
{
    const struct dom_trial *trial = turn->snapshot->trial;
    struct dom_refusal refusal = {0};
    struct dom_caller caller;

    if (trial == NULL || trial->candidate == NULL) {
        return false;
    }
    if (dom_caller_resolve(&caller, trial->candidate, turn->caller.subject,
                           turn->caller.service_name, turn->caller.region_name,
                           &refusal) != DOM_OK) {
        /* It does not know the caller's region: an error of its own, and decided as before. */
        struct dom_trial_verdict verdict = {.disagrees = true, .error = true};
        dom_trial_count(trial, &verdict);
        return false;
    }
    *out = *turn;
    caller.cert_serial = turn->caller.cert_serial;
    caller.cert_key = turn->caller.cert_key;
    caller.claimed_region = turn->caller.claimed_region;
    caller.claimed_service = turn->caller.claimed_service;
    out->caller = caller;
    out->snapshot = dom_snapshot_ref(trial->candidate);
    return true;
}

static void put_on_trial(struct dom_turn *turn)
{
    struct dom_turn moved;

    if (dom_turn_on_trial(turn, &moved)) {
        dom_snapshot_unref(turn->snapshot);
        *turn = moved;
    }
}

void dom_turn_pick(struct dom_turn *turn, struct dom_slice kind, struct dom_slice id)
{
    const struct dom_trial *trial = turn->snapshot->trial;

    if (trial != NULL && !trial->is_candidate && dom_trial_picks(trial, kind, id)) {
        put_on_trial(turn);
    }
}

void dom_turn_observe(const struct dom_access *access)
{
    struct dom_trial_verdict verdict;

    if (access->request.kind != DOM_POLICY_NONE && access->snapshot->trial != NULL &&
        dom_access_compare(access, &verdict)) {
        dom_trial_count(access->snapshot->trial, &verdict);
    }
}

bool dom_turn_begin(struct dom_turn *turn, struct dom_rpc_call *call, struct dom_router *router)
{
    const struct dom_rpc_identity *identity = dom_rpc_call_identity(call);

    memset(turn, 0, sizeof(*turn));
    turn->router = router;
    turn->call = call;
    turn->arena = dom_rpc_call_arena(call);
    turn->start_us = dom_clock_monotonic_us(router->clock);
    turn->now_ms = dom_clock_wall_ms(router->clock);
    turn->placement_epoch = dom_store_placement_epoch(router->store);
    turn->snapshot = dom_holder_get(&router->holder);
    enum dom_code rc = dom_caller_resolve(&turn->caller, turn->snapshot, identity->subject,
                                          identity->service, identity->region, &turn->refusal);
    if (rc != DOM_OK && identity->proven) {
        dom_turn_release(turn);
        dom_rpc_server_count_fault(router->server, DOM_RPC_FAULT_REGION_UNKNOWN);
        dom_router_refuse_caller(router, call, DOM_RPC_FAULT_REGION_UNKNOWN);
        return false;
    }
    if (rc != DOM_OK) {
        dom_turn_refuse(turn);
        return false;
    }
    turn->caller.cert_serial = identity->cert_serial;
    turn->caller.cert_key = identity->cert_key;
    turn->caller.claimed_region = identity->claimed_region;
    turn->caller.claimed_service = identity->claimed_service;
    if (identity->claimed_region.len > 0 || identity->claimed_service.len > 0) {
        /* Relaxed: a counter with one writer, read by the metrics page. */
        (void)atomic_fetch_add_explicit(&router->claims_differing, 1, memory_order_relaxed);
    }
    const struct dom_trial *trial = turn->snapshot->trial;
    if (trial != NULL && turn->caller.region != DOM_POLICY_NONE &&
        ((trial->regions >> turn->caller.region) & 1U) != 0) {
        put_on_trial(turn);
    }
    return true;
}

void dom_turn_release(struct dom_turn *turn)
{
    dom_snapshot_unref(turn->snapshot);
    turn->snapshot = NULL;
}

void dom_call_undecodable(struct dom_rpc_call *call)
{
    struct dom_rpc_failure failure = {
        .code = DOM_PARSE,
        .message = "the request is not a valid message of its type, or is too large decoded"};

    dom_rpc_call_fail(call, &failure);
}

void *dom_turn_calloc(struct dom_turn *turn, size_t count, size_t size)
{
    void *out = dom_arena_calloc(turn->arena, count, size);

    if (out == NULL) {
        (void)dom_refuse(&turn->refusal, DOM_RESOURCE, NULL, "the request needs too much memory");
        dom_turn_refuse(turn);
    }
    return out;
}

static uint64_t retry_hint_ms(enum dom_code code)
{
    bool passing = code == DOM_UNAVAILABLE || code == DOM_AUDIT_UNAVAILABLE ||
                   code == DOM_RESOURCE || code == DOM_STALE || code == DOM_IO;

    return passing ? 250 : 0;
}

void dom_turn_refuse(struct dom_turn *turn)
{
    struct dom_rpc_failure failure = {
        .code = turn->refusal.error.code,
        .message = turn->refusal.error.message,
        .field = turn->refusal.path,
        .retry_after_ms = retry_hint_ms(turn->refusal.error.code),
    };

    DOM_ASSERT(failure.code != DOM_OK);
    struct dom_rpc_call *call = turn->call;
    if (dom_code_category(failure.code) == DOM_CAT_INTERNAL ||
        dom_code_category(failure.code) == DOM_CAT_CORRUPT) {
        dom_log(DOM_LOG_ERROR, "request.failed", "code=%s text=\"%s\"",
                dom_code_reason(failure.code), failure.message);
    }
    dom_snapshot_unref(turn->snapshot);
    turn->snapshot = NULL;
    dom_rpc_call_fail(call, &failure);
}

static struct dom_slice text(const char *words)
{
    return dom_slice_str(words);
}

/* The six lines about a denial, or NULL when it is not the policy that denies (a limit). */
static const char *explain_denial(struct dom_turn *turn, const struct dom_policy_request *request)
{
    struct dom_buffer *out = &turn->router->scratch2;
    struct dom_policy_decision decision;

    dom_policy_decide(turn->snapshot->policy, request, &decision);
    if (decision.effect != DOM_EFFECT_DENY) {
        return NULL;
    }
    dom_buffer_clear(out);
    dom_policy_explain(turn->snapshot->policy, request, out);
    return out->failed ? NULL : dom_buffer_cstr(out);
}

/* Which classes a record has is known only to those who may read it: a deletion is denied in the
 * words for a record with every class of its kind, as if it were not there. */
static void widen_deletion(struct dom_access *access, const struct dom_policy *policy)
{
    struct dom_access whole = *access;

    if (access->request.op != DOM_OP_DELETE) {
        return;
    }
    whole.request.classes = dom_policy_kind_classes(policy, access->request.kind);
    dom_policy_decide(policy, &whole.request, &whole.decision);
    if (whole.decision.reason == access->decision.reason) {
        *access = whole;
    }
}

void dom_turn_refuse_decision(struct dom_turn *turn, const struct dom_access *decided)
{
    const struct dom_policy *policy = turn->snapshot->policy;
    struct dom_access told = *decided;
    const struct dom_access *access = &told;
    const struct dom_policy_info *info = dom_policy_info(policy);
    dom_policy_id rules[DOM_CLASSES_MAX];
    char version[24];
    char names[512] = "";
    size_t at = 0;

    widen_deletion(&told, policy);
    size_t num_rules = dom_access_rules(access, rules);
    for (size_t i = 0; i < num_rules; i++) {
        int len = snprintf(names + at, sizeof(names) - at, "%s%s", i == 0 ? "" : ",",
                           dom_policy_rule_name(policy, rules[i]));
        if (len < 0 || (size_t)len >= sizeof(names) - at) {
            names[at] = '\0'; /* a cut list still names the first rules whole */
            break;
        }
        at += (size_t)len;
    }
    (void)snprintf(version, sizeof(version), "%" PRId64, info->version);
    struct dom_rpc_pair pairs[] = {
        {"home", text(dom_policy_country_name(policy, access->request.home))},
        {"caller_region", turn->caller.region_name},
        {"policy", text(info->name)},
        {"policy_version", text(version)},
        {"purpose", text(dom_policy_purpose_name(policy, access->request.purpose))},
        {"rule", text(names)},
    };
    struct dom_rpc_failure failure = {
        .code = turn->refusal.error.code,
        .message = turn->refusal.error.message,
        .pairs = pairs,
        .num_pairs = DOM_ARRAY_LEN(pairs),
        .explanation = explain_denial(turn, &access->request),
        .retry_after_ms = retry_hint_ms(turn->refusal.error.code),
    };
    dom_rpc_call_fail(turn->call, &failure);
    dom_turn_release(turn);
}

void dom_turn_answer(struct dom_turn *turn, struct dom_slice bytes)
{
    struct dom_rpc_call *call = turn->call;

    if (bytes.len > DOM_MESSAGE_BYTES_MAX) {
        (void)dom_refuse(&turn->refusal, DOM_RESOURCE, NULL,
                         "the answer has %zu bytes, more than a message may have (%u)", bytes.len,
                         DOM_MESSAGE_BYTES_MAX);
        dom_turn_refuse(turn);
        return;
    }
    dom_snapshot_unref(turn->snapshot);
    turn->snapshot = NULL;
    uint8_t *out = dom_rpc_call_reply_alloc(call, bytes.len);
    if (bytes.len > 0) {
        memcpy(out, bytes.data, bytes.len);
    }
    dom_rpc_call_finish(call);
}

static void *arena_alloc(void *context, size_t size)
{
    return dom_arena_alloc(context, size);
}

static void arena_free(void *context, void *memory)
{
    (void)context;
    (void)memory; /* the arena goes as a whole */
}

ProtobufCAllocator dom_turn_allocator(struct dom_turn *turn)
{
    return (ProtobufCAllocator){
        .alloc = arena_alloc, .free = arena_free, .allocator_data = turn->arena};
}

void dom_router_random(struct dom_router *router, void *out, size_t len)
{
    DOM_ASSERT(len <= sizeof(router->random));
    if (router->random_left < len) {
        /* One call for many entries: the generator's fixed cost is far above its cost per byte. */
        DOM_ASSERT(RAND_bytes(router->random, (int)sizeof(router->random)) == 1);
        router->random_left = sizeof(router->random);
    }
    router->random_left -= len;
    memcpy(out, router->random + router->random_left, len);
}

enum dom_code dom_turn_entry(struct dom_turn *turn, struct dom_slice *entryp,
                             const struct dom_access *access, const char *op,
                             struct dom_slice kind, struct dom_slice id,
                             const struct dom_slice *fields, size_t num_fields, uint64_t bytes,
                             uint64_t count, dom_store_set replicas_abroad)
{
    struct dom_router *router = turn->router;
    char subject[64] = "";
    char trace[33];
    struct dom_error err = {0};

    *entryp = dom_slice_of(NULL, 0);
    if (id.len > 0) {
        dom_store_subject_hash(router->session, access->served, kind, id, subject);
    }
    dom_rpc_call_trace_id(turn->call, trace);
    bool traced = strspn(trace, "0") != 32;
    struct dom_trail trail = {
        .origin = dom_store_log_origin(router->store, access->served),
        .instance = router->options.instance,
        .build = DOM_BUILD_NAME,
        .subject_hash = dom_slice_str(subject),
        .trace = traced ? dom_slice_of(trace, 32) : dom_slice_of(NULL, 0),
        .op = op,
        .time_ms = turn->now_ms,
        /* Relaxed: an index that comes into force at the same time may or may not be named. */
        .policy_index =
            atomic_load_explicit(&access->snapshot->told->index[access->served],
                                 memory_order_relaxed),
        .bytes = bytes,
        .count = count,
        .us = dom_clock_monotonic_us(router->clock) - turn->start_us,
        .replicas_abroad = replicas_abroad,
    };
    dom_router_random(router, trail.random, sizeof(trail.random));
    dom_buffer_clear(&router->scratch2);
    enum dom_code rc =
        dom_trail_encode(&router->scratch2, &trail, access, fields, num_fields, &err);
    if (rc != DOM_OK) {
        return dom_refuse(&turn->refusal, DOM_INTERNAL, NULL, "cannot write the audit entry: %s",
                          err.message);
    }
    char *copy = dom_arena_dup(turn->arena, dom_buffer_slice(&router->scratch2));
    if (copy == NULL) {
        return dom_refuse(&turn->refusal, DOM_RESOURCE, NULL, "the request needs too much memory");
    }
    *entryp = dom_slice_of(copy, router->scratch2.len);
    return DOM_OK;
}

dom_store_region dom_turn_log_region(const struct dom_turn *turn,
                                     const struct dom_policy_placement *placement)
{
    const struct dom_snapshot *snapshot = turn->snapshot;

    if (placement != NULL && placement->lead != DOM_POLICY_NONE &&
        snapshot->store_of[placement->lead] != DOM_STORE_NO_REGION) {
        return snapshot->store_of[placement->lead];
    }
    /* No region of the home is open: the attempt is written where the caller is. */
    return turn->caller.store_region;
}

/* ---- a denial: durable first, told second ---- */

struct denial {
    struct dom_async async;
    struct dom_turn turn;
    struct dom_access access;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    bool hidden; /* turn.refusal, and nothing of the decision, is told */
};

static void tell_denial(struct denial *denial)
{
    struct dom_turn *turn = &denial->turn;

    if (denial->hidden) {
        dom_turn_refuse(turn);
        return;
    }
    dom_turn_refuse_decision(turn, &denial->access);
}

static void denial_done(struct dom_async *async)
{
    struct denial *denial = async->owner;

    if (async->code != DOM_OK) {
        (void)dom_refuse(&denial->turn.refusal, DOM_AUDIT_UNAVAILABLE, NULL,
                         "the attempt cannot be written to the audit log: %s", async->message);
        dom_turn_refuse(&denial->turn);
        return;
    }
    tell_denial(denial);
}

static void refuse_by_decision(struct dom_turn *turn, const struct dom_access *access)
{
    const struct dom_policy *policy = turn->snapshot->policy;
    const char *purpose = dom_policy_purpose_name(policy, access->request.purpose);

    if (turn->refusal.error.code != DOM_OK) {
        return; /* the caller said it better (a limit, for one) */
    }
    (void)dom_refuse(
        &turn->refusal, access->decision.reason, NULL,
        "%s: %s of %s at home in %s by service \"%.*s\" from region %.*s (%s) %s%s%s",
        dom_code_text(access->decision.reason), dom_policy_op_name(access->request.op),
        dom_policy_kind_name(policy, access->request.kind),
        dom_policy_country_name(policy, access->request.home),
        (int)turn->caller.service_name.len, (const char *)turn->caller.service_name.data,
        (int)turn->caller.region_name.len, (const char *)turn->caller.region_name.data,
        dom_policy_country_name(policy, turn->caller.country),
        purpose[0] == '\0' ? "without a purpose" : "for purpose \"", purpose,
        purpose[0] == '\0' ? "" : "\"");
}

void dom_turn_deny(struct dom_turn *turn, struct dom_access *access, const char *op,
                   struct dom_slice kind, struct dom_slice id, const struct dom_slice *fields,
                   size_t num_fields, const struct dom_refusal *instead)
{
    struct dom_error err = {0};

    if (instead != NULL) {
        turn->refusal = *instead;
    }
    refuse_by_decision(turn, access);
    struct denial *denial = dom_turn_calloc(turn, 1, sizeof(*denial));
    if (denial == NULL) {
        return;
    }
    denial->turn = *turn;
    denial->access = *access;
    denial->access.caller = &denial->turn.caller;
    denial->hidden = instead != NULL;
    if (!access->request.crosses || access->served == DOM_STORE_NO_REGION) {
        tell_denial(denial); /* within one jurisdiction: no border, no entry */
        return;
    }
    struct dom_refusal kept = turn->refusal;
    if (dom_turn_entry(turn, &denial->entry, access, op, kind, id, fields, num_fields, 0, 0, 0) !=
        DOM_OK) {
        dom_turn_refuse(turn);
        return;
    }
    turn->refusal = kept;
    denial->async.call = turn->call;
    denial->async.owner = denial;
    denial->async.done = denial_done;
    denial->async.op.type = DOM_STORE_APPEND;
    denial->async.op.region = access->served;
    denial->async.op.deadline_us = dom_rpc_call_deadline_us(turn->call);
    denial->async.op.entries = &denial->entry;
    denial->async.op.num_entries = 1;
    denial->async.op.receipts = &denial->receipt;
    dom_rpc_call_go_async(turn->call);
    if (dom_async_submit(turn->router, turn->snapshot, &denial->async, &err) != DOM_OK) {
        (void)dom_refuse(&denial->turn.refusal, err.code, NULL, "%s", err.message);
        dom_turn_refuse(&denial->turn);
    }
}
