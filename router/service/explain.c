/* ExplainAccess and the PolicyService. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "domicile/v1/policy.pb-c.h"
#include "domicile/v1/record.pb-c.h"
#include "router/core/wire.h"
#include "router/service/internal.h"

struct question {
    enum dom_policy_op op;
    dom_policy_id kind;
    dom_policy_id home;
    dom_policy_id purpose;
    struct dom_mask mask;
};

static bool take_question(struct dom_turn *turn, const Domicile__V1__ExplainAccessRequest *request,
                          struct question *q)
{
    struct dom_refusal *refusal = &turn->refusal;
    const struct dom_snapshot *snapshot = turn->snapshot;
    struct dom_slice *names = dom_arena_alloc(turn->arena, request->n_fields * sizeof(*names));

    if (names == NULL) {
        return dom_refuse(refusal, DOM_RESOURCE, NULL, "the request needs too much memory") ==
               DOM_OK;
    }
    for (size_t i = 0; i < request->n_fields; i++) {
        names[i] = dom_pb_slice(request->fields[i]);
    }
    if (!dom_policy_op_parse(dom_pb_slice(request->op), &q->op) || q->op == DOM_OP_STORE) {
        return dom_refuse(refusal, DOM_INVALID, "op", "one of read, list, write, delete") == DOM_OK;
    }
    q->kind = dom_policy_find_kind(snapshot->policy, dom_pb_slice(request->kind));
    if (q->kind == DOM_POLICY_NONE) {
        return dom_refuse(refusal, DOM_INVALID, "kind", "unknown kind") == DOM_OK;
    }
    if (dom_home_resolve(&q->home, snapshot, dom_pb_slice(request->home), "home", refusal) !=
            DOM_OK ||
        dom_purpose_resolve(&q->purpose, snapshot, dom_pb_slice(request->purpose), refusal) !=
            DOM_OK ||
        dom_mask_resolve(&q->mask, snapshot, q->kind, names, request->n_fields, turn->arena,
                         refusal) != DOM_OK) {
        return false;
    }
    if (request->n_fields == 0) {
        q->mask.classes = dom_policy_kind_classes(snapshot->policy, q->kind);
    }
    return true;
}

static void answer_question(struct dom_turn *turn, const struct question *q)
{
    struct dom_buffer *out = &turn->router->scratch;
    struct dom_buffer *words = &turn->router->scratch2;
    struct dom_access access;
    const struct dom_policy_placement *placement =
        dom_policy_place(turn->snapshot->policy, q->kind, q->home, turn->now_ms);
    dom_store_region served = dom_turn_log_region(turn, placement);
    bool crosses = dom_snapshot_jurisdiction(turn->snapshot, served) != turn->caller.jurisdiction;

    dom_access_decide(&access, turn->snapshot, &turn->caller, q->op, q->kind, q->home, q->purpose,
                      q->mask.classes, served, crosses, turn->now_ms);
    dom_buffer_clear(out);
    size_t at = dom_wire_begin(out, 1);
    dom_answer_decision(out, &access, NULL, NULL);
    dom_wire_end(out, at);
    dom_buffer_clear(words);
    dom_policy_explain(turn->snapshot->policy, &access.request, words);
    dom_wire_bytes(out, 2, dom_buffer_slice(words));
    dom_buffer_clear(words);
    dom_policy_explain_json(turn->snapshot->policy, &access.request, words);
    dom_wire_bytes(out, 3, dom_buffer_slice(words));
    dom_turn_answer(turn, dom_buffer_slice(out));
}

void dom_handle_explain(struct dom_rpc_call *call, void *context)
{
    struct dom_turn turn = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&turn);
    struct dom_slice bytes = dom_rpc_call_request(call);
    struct question q = {0};

    Domicile__V1__ExplainAccessRequest *request =
        domicile__v1__explain_access_request__unpack(&allocator, bytes.len, bytes.data);
    if (request == NULL) {
        dom_call_undecodable(call);
        return;
    }
    if (!dom_turn_begin(&turn, call, context)) {
        return;
    }
    if (!take_question(&turn, request, &q)) {
        dom_turn_refuse(&turn);
        return;
    }
    answer_question(&turn, &q);
}

/* ---- PolicyService ---- */

static void put_identity(struct dom_buffer *out, const struct dom_policy_info *info)
{
    dom_wire_str(out, 1, info->name);
    dom_wire_uint(out, 2, (uint64_t)info->version);
    dom_wire_bytes(out, 3, dom_slice_of(info->sha256, sizeof(info->sha256)));
}

void dom_handle_get_policy(struct dom_rpc_call *call, void *context)
{
    struct dom_turn turn;

    if (!dom_turn_begin(&turn, call, context)) {
        return;
    }
    struct dom_buffer *out = &turn.router->scratch;
    const struct dom_policy_info *info = dom_policy_info(turn.snapshot->policy);
    dom_buffer_clear(out);
    put_identity(out, info);
    dom_wire_bytes(out, 4, info->text);
    dom_turn_answer(&turn, dom_buffer_slice(out));
}

static void put_placement(struct dom_buffer *out, struct dom_store *store)
{
    struct dom_store_placing all[DOM_REGIONS_MAX];
    size_t num = dom_store_placing_all(store, all, DOM_REGIONS_MAX);

    for (size_t i = 0; i < num; i++) {
        struct dom_store_placing at = all[i];
        size_t begun = dom_wire_begin(out, 20);
        dom_wire_str(out, 1, dom_store_region_name(store, (dom_store_region)i));
        dom_wire_uint(out, 2, (uint64_t)at.stage + 1);
        dom_wire_uint(out, 3, (uint64_t)at.since_ms);
        dom_wire_uint(out, 4, at.examined);
        dom_wire_uint(out, 5, at.remaining);
        dom_wire_uint(out, 6, at.moved);
        dom_wire_uint(out, 7, at.rehomed);
        dom_wire_uint(out, 8, at.without_place);
        dom_wire_uint(out, 9, at.owed);
        dom_wire_uint(out, 10, at.purged);
        dom_wire_uint(out, 11, at.unpurged);
        dom_wire_end(out, begun);
    }
}

void dom_handle_get_policy_status(struct dom_rpc_call *call, void *context)
{
    struct dom_turn turn;
    char failure[sizeof(turn.router->holder.last_failure)];

    if (!dom_turn_begin(&turn, call, context)) {
        return;
    }
    struct dom_buffer *out = &turn.router->scratch;
    struct dom_policy_holder *holder = &turn.router->holder;
    const struct dom_policy_info *info = dom_policy_info(turn.snapshot->policy);
    (void)pthread_mutex_lock(&holder->lock);
    uint64_t failed = holder->reloads_failed;
    memcpy(failure, holder->last_failure, sizeof(failure));
    (void)pthread_mutex_unlock(&holder->lock);
    dom_buffer_clear(out);
    put_identity(out, info);
    dom_wire_uint(out, 4, (uint64_t)turn.snapshot->loaded_ms);
    dom_wire_uint(out, 5, (uint64_t)info->expires_ms);
    dom_wire_uint(out, 6, failed);
    dom_wire_str(out, 7, failure);
    dom_wire_uint(out, 8, info->num_rules);
    dom_wire_uint(out, 9, dom_policy_num_regions(turn.snapshot->policy));
    put_placement(out, turn.router->store);
    dom_turn_answer(&turn, dom_buffer_slice(out));
}

struct reload {
    struct dom_turn turn;
    struct dom_job job;
    struct dom_rpc_work work;
    struct dom_error err;
    enum dom_code code;
    bool changed;
    struct dom_approval approval;
};

static void reload_told(struct dom_rpc_work *work)
{
    struct reload *reload = (struct reload *)((char *)work - offsetof(struct reload, work));
    struct dom_turn *turn = &reload->turn;
    struct dom_buffer *out = &turn->router->scratch;

    if (reload->code != DOM_OK) {
        turn->refusal.error = reload->err;
        turn->refusal.path = NULL;
        dom_turn_refuse(turn);
        return;
    }
    struct dom_snapshot *now = dom_holder_get(&turn->router->holder);
    const struct dom_policy_info *info = dom_policy_info(now->policy);
    dom_buffer_clear(out);
    dom_wire_uint(out, 1, (uint64_t)info->version);
    dom_wire_bytes(out, 2, dom_slice_of(info->sha256, sizeof(info->sha256)));
    dom_wire_bool(out, 3, reload->changed);
    dom_snapshot_unref(now);
    dom_turn_answer(turn, dom_buffer_slice(out));
}

static void reload_run(struct dom_job *job, struct dom_store_session *session)
{
    struct reload *reload = (struct reload *)((char *)job - offsetof(struct reload, job));
    struct dom_findings findings = {0};

    (void)session;
    reload->code =
        dom_router_load_policy(reload->turn.router, &reload->changed, &reload->approval, &findings,
                               &reload->err);
    dom_findings_cleanup(&findings);
    reload->work.run = reload_told;
    dom_rpc_post(reload->turn.router->server, &reload->work, &reload->work);
}

void dom_handle_reload_policy(struct dom_rpc_call *call, void *context)
{
    struct dom_turn turn;

    if (!dom_turn_begin(&turn, call, context) || !dom_turn_need_role(&turn, DOM_ROLE_POLICY_ADMIN)) {
        return;
    }
    struct reload *reload = dom_turn_calloc(&turn, 1, sizeof(*reload));
    if (reload == NULL) {
        return;
    }
    reload->turn = turn;
    reload->approval.operator_id = turn.caller.subject;
    reload->job.run = reload_run;
    dom_rpc_call_go_async(call);
    if (!dom_worker_push(&turn.router->pilot.worker, &reload->job)) {
        (void)dom_refuse(&reload->turn.refusal, DOM_RESOURCE, NULL, "too much work waits already");
        dom_turn_refuse(&reload->turn);
    }
}
