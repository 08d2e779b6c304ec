/* Callers beyond the policy's rules: who may administer, two who agree on a reload, and the entry
 * about a certificate that names nobody. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/log.h"
#include "router/service/internal.h"
#include "store/audit/event.h"

/* ---- roles ------------------------------------------------------------------------------ */

static bool listed(const struct dom_router_role *role, struct dom_slice id)
{
    for (size_t i = 0; i < role->num_ids; i++) {
        if (dom_slice_eq_str(id, role->ids[i])) {
            return true;
        }
    }
    return false;
}

unsigned dom_turn_roles(const struct dom_turn *turn)
{
    const struct dom_router_options *options = &turn->router->options;
    struct dom_slice id = turn->caller.subject;

    if (options->insecure_loopback) { /* nobody is proven, so nobody is held off */
        return DOM_ROLE_POLICY_ADMIN | DOM_ROLE_OPERATOR | DOM_ROLE_AUDITOR;
    }
    return (listed(&options->policy_admins, id) ? DOM_ROLE_POLICY_ADMIN : 0) |
           (listed(&options->operators, id) ? DOM_ROLE_OPERATOR : 0) |
           (listed(&options->auditors, id) ? DOM_ROLE_AUDITOR : 0);
}

/* As the configuration calls them. */
static const char *role_names(unsigned roles)
{
    switch (roles) {
    case DOM_ROLE_POLICY_ADMIN:
        return "policy";
    case DOM_ROLE_OPERATOR:
        return "operators";
    case DOM_ROLE_AUDITOR:
        return "auditors";
    default:
        return "policy or operators";
    }
}

bool dom_turn_need_role(struct dom_turn *turn, unsigned any_of)
{
    if ((dom_turn_roles(turn) & any_of) != 0) {
        return true;
    }
    (void)dom_refuse(&turn->refusal, DOM_ROLE_DENIED, NULL, "this needs the role: %s",
                     role_names(any_of));
    dom_turn_refuse(turn);
    return false;
}

bool dom_turn_may_write(struct dom_turn *turn)
{
    if (turn->router->options.insecure_loopback ||
        (dom_turn_roles(turn) & DOM_ROLE_AUDITOR) == 0) {
        return true;
    }
    (void)dom_refuse(&turn->refusal, DOM_ROLE_DENIED, NULL, "an auditor reads and never writes");
    dom_turn_refuse(turn);
    return false;
}

/* ---- two operators ---------------------------------------------------------------------- */

/* The configuration may ask for two, and so may the policy that would be replaced. */
static bool needs_two(struct dom_router *router)
{
    struct dom_snapshot *snapshot = dom_holder_get(&router->holder);
    bool two = router->options.approvals >= 2 ||
               dom_policy_rollout(snapshot->policy)->approvals >= 2;

    dom_snapshot_unref(snapshot);
    return two;
}

enum dom_code dom_router_vote(struct dom_router *router, struct dom_approval *approval,
                              const uint8_t sha256[32], struct dom_error *err)
{
    struct dom_vote *vote = &router->holder.vote;
    uint64_t now = dom_clock_monotonic_us(router->clock);
    enum dom_code rc = DOM_OK;

    if (!needs_two(router)) {
        return DOM_OK;
    }
    if (approval == NULL || approval->operator_id.len == 0) {
        return DOM_FAIL(err, DOM_ROLE_DENIED,
                        "two administrators are required: ask each of them to call ReloadPolicy");
    }
    (void)pthread_mutex_lock(&router->holder.lock);
    bool open = vote->open && now - vote->at_us < DOM_VOTE_US &&
                memcmp(vote->sha256, sha256, 32) == 0;
    if (open && !dom_slice_eq_str(approval->operator_id, vote->operator_id)) {
        /* Copied: the caller tells both in the entries. */
        (void)snprintf(approval->first, sizeof(approval->first), "%s", vote->operator_id);
        vote->open = false;
    } else {
        if (!open) {
            vote->open = dom_slice_to_cstr(approval->operator_id, vote->operator_id,
                                           sizeof(vote->operator_id));
            vote->at_us = now;
            memcpy(vote->sha256, sha256, 32);
        }
        rc = DOM_FAIL(err, DOM_SECOND_OPERATOR,
                      "one administrator has asked for this policy (sha256 %02x%02x%02x%02x%02x%02x...) "
                      "and another has to ask for the same within %u minutes",
                      sha256[0], sha256[1], sha256[2], sha256[3], sha256[4], sha256[5],
                      (unsigned)(DOM_VOTE_US / 60000000U));
    }
    (void)pthread_mutex_unlock(&router->holder.lock);
    return rc;
}

/* ---- a certificate that names nobody ---------------------------------------------------- */

struct refusal {
    struct dom_async async;
    struct dom_rpc_call *call;
    enum dom_rpc_fault fault;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
};

/* Only what would have moved a record can have crossed a border. */
static const char *op_of(const char *path)
{
    static const struct {
        const char *path;
        const char *op;
    } ops[] = {
        {"/domicile.v1.RecordService/GetRecord", "read"},
        {"/domicile.v1.RecordService/BatchGetRecords", "read"},
        {"/domicile.v1.RecordService/PutRecord", "write"},
        {"/domicile.v1.RecordService/DeleteRecord", "delete"},
        {"/domicile.v1.RecordService/ListRecords", "list"},
    };

    for (size_t i = 0; i < DOM_ARRAY_LEN(ops); i++) {
        if (strcmp(ops[i].path, path) == 0) {
            return ops[i].op;
        }
    }
    return NULL;
}

/* One entry for a certificate, fault and second: a caller that is refused can ask as often as it
 * likes, and must not fill the log with it. Certificates that none of our CAs made cost their owner
 * nothing, so all of them together get one a second. The metric counts every call. */
static bool is_due(struct dom_router *router, const struct dom_rpc_identity *identity,
                   enum dom_rpc_fault fault, int64_t now_ms)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < identity->cert_key.len && fault != DOM_RPC_FAULT_UNTRUSTED; i++) {
        hash = (hash ^ identity->cert_key.data[i]) * UINT64_C(1099511628211);
    }
    hash = (hash ^ (uint64_t)fault) * UINT64_C(1099511628211);
    int64_t *slot = &router->refused_seconds[(hash >> 32) % DOM_REFUSED_SLOTS];
    if (*slot == now_ms / 1000) {
        return false;
    }
    *slot = now_ms / 1000;
    return true;
}

/* The log of the region that the certificate names, if it is one of ours, or of the policy's first
 * open region: of where the record is at home nothing is known before the request is read. */
static dom_store_region log_region(const struct dom_snapshot *snapshot, struct dom_slice region)
{
    dom_policy_id named = region.len == 0 ? DOM_POLICY_NONE
                                          : dom_policy_find_region(snapshot->policy, region);

    if (named != DOM_POLICY_NONE && snapshot->store_of[named] != DOM_STORE_NO_REGION) {
        return snapshot->store_of[named];
    }
    for (size_t i = 0; i < dom_policy_num_regions(snapshot->policy); i++) {
        if (snapshot->store_of[i] != DOM_STORE_NO_REGION) {
            return snapshot->store_of[i];
        }
    }
    return DOM_STORE_NO_REGION;
}

static enum dom_code encode(struct dom_router *router, struct refusal *refusal,
                            const struct dom_snapshot *snapshot, dom_store_region region,
                            const char *op, int64_t now_ms)
{
    const struct dom_rpc_identity *id = NULL;
    const struct dom_policy_info *info = dom_policy_info(snapshot->policy);
    struct dom_audit_detail why = {
        .name = DOM_SLICE_LIT("identity"),
        .text = dom_slice_str(dom_rpc_fault_reason(refusal->fault))};
    struct dom_audit_event event = {.type = DOM_AUDIT_DENY};
    uint8_t random[26];
    struct dom_error err = {0};

    (void)dom_rpc_call_identity_fault(refusal->call, &id);
    dom_router_random(router, random, sizeof(random));
    dom_audit_uuid7(event.id, now_ms, random);
    memcpy(event.nonce, random + 10, DOM_NONCE_SIZE);
    event.time_ms = now_ms;
    event.origin = dom_slice_str(dom_store_log_origin(router->store, region));
    event.op = dom_slice_str(op);
    event.actor.type = DOM_SLICE_LIT("service");
    event.actor.id = id->subject;
    if (id->cert_serial.len > 0 && id->cert_key.len > 0) {
        event.actor.cert_serial = id->cert_serial;
        event.actor.cert_key = id->cert_key;
    }
    event.claim.region = id->claimed_region;
    event.claim.service = id->claimed_service;
    event.decision.effect = DOM_SLICE_LIT("deny");
    event.decision.mode = DOM_SLICE_LIT("enforce");
    event.decision.reason = dom_slice_str(dom_code_reason(DOM_UNAUTHENTICATED));
    event.decision.time_ms = now_ms;
    event.details = &why;
    event.num_details = 1;
    event.policy.name = dom_slice_str(info->name);
    event.policy.version = info->version;
    event.policy.sha256 = dom_slice_str(info->sha256_hex);
    event.policy.index =
        atomic_load_explicit(&snapshot->told->index[region], memory_order_relaxed);
    event.result.present = true;
    event.result.code = dom_code_grpc_status(DOM_UNAUTHENTICATED);
    event.router.build = dom_slice_str(DOM_BUILD_NAME);
    event.router.instance = dom_slice_str(router->options.instance);
    event.router.region = dom_slice_str(dom_store_region_name(router->store, region));
    dom_buffer_clear(&router->scratch2);
    enum dom_code rc = dom_audit_event_encode(&event, &router->scratch2, &err);
    if (rc != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "identity.entry", "text=\"%s\"", err.message);
        return rc;
    }
    char *copy = dom_arena_dup(dom_rpc_call_arena(refusal->call),
                               dom_buffer_slice(&router->scratch2));
    if (copy == NULL) {
        return DOM_RESOURCE;
    }
    refusal->entry = dom_slice_of(copy, router->scratch2.len);
    return DOM_OK;
}

static void fail_unwritten(struct dom_rpc_call *call)
{
    struct dom_rpc_failure failure = {
        .code = DOM_AUDIT_UNAVAILABLE,
        .message = "the attempt cannot be written to the audit log",
        .retry_after_ms = 250};

    dom_rpc_call_fail(call, &failure);
}

static void refusal_done(struct dom_async *async)
{
    struct refusal *refusal = async->owner;

    if (async->code != DOM_OK) {
        fail_unwritten(refusal->call);
    } else {
        dom_rpc_call_fail_identity(refusal->call, refusal->fault);
    }
}

/* Writes the entry, then fails the call. */
static void write_refusal(struct dom_router *router, struct dom_rpc_call *call,
                          enum dom_rpc_fault fault, const struct dom_snapshot *snapshot,
                          dom_store_region region, const char *op)
{
    struct dom_error err = {0};
    struct refusal *refusal = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*refusal));

    if (refusal == NULL) {
        dom_rpc_call_fail_identity(call, fault);
        return;
    }
    refusal->call = call;
    refusal->fault = fault;
    if (encode(router, refusal, snapshot, region, op, dom_clock_wall_ms(router->clock)) !=
        DOM_OK) {
        fail_unwritten(call);
        return;
    }
    refusal->async.call = call;
    refusal->async.owner = refusal;
    refusal->async.done = refusal_done;
    refusal->async.op.type = DOM_STORE_APPEND;
    refusal->async.op.region = region;
    refusal->async.op.deadline_us = dom_rpc_call_deadline_us(call);
    refusal->async.op.entries = &refusal->entry;
    refusal->async.op.num_entries = 1;
    refusal->async.op.receipts = &refusal->receipt;
    dom_rpc_call_go_async(call);
    if (dom_async_submit(router, snapshot, &refusal->async, &err) != DOM_OK) {
        fail_unwritten(call);
    }
}

void dom_router_refuse_caller(struct dom_router *router, struct dom_rpc_call *call,
                              enum dom_rpc_fault fault)
{
    const struct dom_rpc_identity *identity = NULL;
    const char *op = op_of(dom_rpc_call_path(call));

    (void)dom_rpc_call_identity_fault(call, &identity);
    if (op == NULL || identity->cert_key.len == 0 ||
        !is_due(router, identity, fault, dom_clock_wall_ms(router->clock))) {
        dom_rpc_call_fail_identity(call, fault);
        return;
    }
    char peer[80];
    dom_rpc_call_peer(call, peer, sizeof(peer));
    dom_log(DOM_LOG_WARN, "identity.refused", "reason=%s id=\"%.*s\" serial=%.*s peer=%s",
            dom_rpc_fault_reason(fault), (int)identity->subject.len,
            (const char *)identity->subject.data, (int)identity->cert_serial.len,
            (const char *)identity->cert_serial.data, peer);
    struct dom_snapshot *snapshot = dom_holder_get(&router->holder);
    dom_store_region region = log_region(snapshot, identity->region);
    if (region == DOM_STORE_NO_REGION) {
        dom_rpc_call_fail_identity(call, fault);
    } else {
        write_refusal(router, call, fault, snapshot, region, op);
    }
    dom_snapshot_unref(snapshot);
}

void dom_router_refused(struct dom_rpc_call *call, void *context)
{
    const struct dom_rpc_identity *identity = NULL;

    dom_router_refuse_caller(context, call, dom_rpc_call_identity_fault(call, &identity));
}
