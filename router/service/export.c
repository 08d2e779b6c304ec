/* AuditService.ExportEntries: entries that pass a filter, once the export is an entry itself.
 *
 * Within the log's own jurisdiction an auditor's role is enough. From another one the entries would
 * cross a border, so the policy is asked as for any record: may this caller list the kind
 * `audit_log`, at home in the log's country, for this purpose? Only a permit for the whole of it is
 * one: entries cannot be given in part, as their hashes would be of no use. A policy that does not
 * declare the kind denies (promises P2, P10). */
#include <stdio.h>
#include <stdlib.h>

#include "domicile/v1/audit.pb-c.h"
#include "router/core/wire.h"
#include "router/service/internal.h"
#include "store/audit/event.h"
#include "store/audit/walk.h"

#define KIND            "audit_log"
#define FILTER_TEXT_MAX 1024U

struct export
{
    struct dom_turn turn;
    struct dom_async async;
    struct dom_job job;
    struct dom_rpc_work work;
    dom_store_region region;
    struct dom_entries_filter wanted;
    struct dom_export_filter filter; /* of the job: what is left, and its own end */
    uint64_t size; /* of the published tree that is read */
    uint64_t end;  /* of the whole export */
    bool read_all;
    struct dom_access access; /* when a border is crossed */
    struct dom_slice entries[2];
    size_t num_entries;
    struct dom_store_receipt receipts[2];
    bool refused; /* turn.refusal says why: the attempt is logged, then told */
    bool opened;  /* the first message was made */
    size_t num_in_message;
    struct dom_buffer out; /* the message; owned */
    enum dom_code code;
    struct dom_error err;
};

static void end(struct export *export)
{
    struct dom_turn *turn = &export->turn;

    dom_buffer_cleanup(&export->out);
    if (export->code != DOM_OK) {
        turn->refusal.error = export->err;
        turn->refusal.path = NULL;
        dom_turn_refuse(turn);
        return;
    }
    dom_turn_release(turn);
    dom_rpc_call_finish(turn->call);
}

static void push(struct export *export)
{
    if (!dom_crew_push(&export->turn.router->crew, export->region, &export->job)) {
        export->code =
            DOM_FAIL(&export->err, DOM_RESOURCE, "too much work waits already; try again");
        end(export);
    }
}

static void go_on(struct export *export)
{
    if (export->filter.first < export->end && !dom_rpc_call_cancelled(export->turn.call)) {
        push(export);
        return;
    }
    end(export);
}

static void message_sent(struct dom_rpc_call *call, bool ok, void *arg)
{
    (void)call;
    if (!ok) {
        end(arg);
        return;
    }
    go_on(arg);
}

static void walked(struct dom_rpc_work *work)
{
    struct export *export = (struct export *)((char *)work - offsetof(struct export, work));

    if (export->code == DOM_OK && export->out.failed) {
        export->code = DOM_FAIL(&export->err, DOM_RESOURCE, "out of memory");
    }
    if (export->code != DOM_OK) {
        end(export);
    } else if (export->out.len > 0) {
        dom_rpc_call_send(export->turn.call, dom_buffer_slice(&export->out), message_sent, export);
    } else {
        go_on(export);
    }
}

/* ---- on the worker ---- */

static enum dom_code take_entry(void *arg, uint64_t index, struct dom_slice entry,
                                const struct dom_entry_head *head, struct dom_error *err)
{
    struct export *export = arg;

    (void)head;
    dom_entries_put(&export->out, 3, index, entry);
    export->filter.first = index + 1;
    return ++export->num_in_message >= DOM_PAGE_ENTRIES_MAX || export->out.len >= DOM_ENTRIES_BYTES_MAX
               ? DOM_FAIL(err, DOM_EXISTS, "the message is full")
               : DOM_OK;
}

static void open_stream(struct export *export)
{
    size_t at = dom_wire_begin(&export->out, 1);

    dom_answer_receipt(&export->out,
                       dom_store_log_origin(export->turn.router->store, export->region),
                       &export->receipts[export->num_entries - 1]);
    dom_wire_end(&export->out, at);
    dom_wire_uint(&export->out, 2, export->end);
    dom_wire_uint(&export->out, 5,
                  dom_store_log_first(export->turn.router->store, export->region));
    export->opened = true;
}

static void walk(struct dom_job *job, struct dom_store_session *session)
{
    struct export *export = (struct export *)((char *)job - offsetof(struct export, job));
    uint64_t stop = export->filter.first + DOM_ENTRIES_JOB;

    (void)session;
    dom_buffer_clear(&export->out);
    export->num_in_message = 0;
    if (!export->opened) {
        open_stream(export);
    }
    export->filter.end = stop < export->end ? stop : export->end;
    export->code = dom_entries_walk(export->turn.router->store, export->region, export->size,
                                    &export->filter, !export->read_all, take_entry, export,
                                    &export->err);
    if (export->code == DOM_OK) {
        export->filter.first = export->filter.end;
    } else if (export->code == DOM_EXISTS) {
        export->code = DOM_OK;
    }
    if (export->out.len > 0) {
        dom_wire_uint(&export->out, 4, export->filter.first);
    }
    export->work.run = walked;
    export->work.next = NULL;
    dom_rpc_post(export->turn.router->server, &export->work, &export->work);
}

/* ---- the export's own entry ---- */

static void logged(struct dom_async *async)
{
    struct export *export = async->owner;

    if (async->code != DOM_OK) {
        export->code =
            DOM_FAIL(&export->err, DOM_AUDIT_UNAVAILABLE,
                     "the export cannot be written to the audit log: %s", async->message);
        end(export);
        return;
    }
    if (export->refused) {
        dom_turn_refuse(&export->turn);
        return;
    }
    push(export);
}

/* "from=DE to=US ..." and the times. */
static void tell_filter(const struct export *export, char *out, size_t out_size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < export->filter.num_where && len < out_size; i++) {
        const struct dom_export_where *where = &export->filter.where[i];
        int put = snprintf(out + len, out_size - len, "%s%s=%.*s", len == 0 ? "" : " ",
                           dom_export_key_name(where->key), (int)where->value.len,
                           (const char *)where->value.data);
        len += put < 0 ? 0 : (size_t)put;
    }
}

static enum dom_code make_entry(struct export *export, struct dom_slice *entryp,
                                struct dom_error *err)
{
    struct dom_turn *turn = &export->turn;
    struct dom_router *router = turn->router;
    const struct dom_policy_info *info = dom_policy_info(turn->snapshot->policy);
    char filter[FILTER_TEXT_MAX];
    uint8_t random[26];

    tell_filter(export, filter, sizeof(filter));
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("end"), .integer = (int64_t) export->end, .is_integer = true},
        {.name = DOM_SLICE_LIT("filter"), .text = dom_slice_str(filter)},
        {.name = DOM_SLICE_LIT("first"),
         .integer = (int64_t) export->filter.first,
         .is_integer = true},
        {.name = DOM_SLICE_LIT("from"), .integer = export->filter.from_ms, .is_integer = true},
        {.name = DOM_SLICE_LIT("until"), .integer = export->filter.until_ms, .is_integer = true},
    };
    struct dom_audit_event event = {.type = DOM_AUDIT_EXPORT,
                                    .time_ms = turn->now_ms,
                                    .details = details,
                                    .num_details = DOM_ARRAY_LEN(details)};
    event.origin = dom_slice_str(dom_store_log_origin(router->store, export->region));
    dom_router_random(router, random, sizeof(random));
    dom_audit_uuid7(event.id, event.time_ms, random);
    memcpy(event.nonce, random + 10, DOM_NONCE_SIZE);
    event.actor.type = DOM_SLICE_LIT("service");
    event.actor.id = turn->caller.subject;
    event.actor.region = turn->caller.region_name;
    event.actor.country =
        dom_slice_str(dom_policy_country_name(turn->snapshot->policy, turn->caller.country));
    event.actor.cert_serial = turn->caller.cert_serial;
    event.actor.cert_key = turn->caller.cert_key;
    event.claim.region = turn->caller.claimed_region;
    event.claim.service = turn->caller.claimed_service;
    if (export->refused) {
        event.decision.effect = DOM_SLICE_LIT("deny");
        event.decision.mode = DOM_SLICE_LIT("enforce");
        event.decision.reason = dom_slice_str(dom_code_reason(turn->refusal.error.code));
        event.result.present = true;
        event.result.code = dom_code_grpc_status(turn->refusal.error.code);
    }
    event.policy.name = dom_slice_str(info->name);
    event.policy.version = info->version;
    event.policy.sha256 = dom_slice_str(info->sha256_hex);
    event.policy.index =
        atomic_load_explicit(&turn->snapshot->told->index[export->region], memory_order_relaxed);
    event.router.build = dom_slice_str(DOM_BUILD_NAME);
    event.router.instance = dom_slice_str(router->options.instance);
    event.router.region = dom_slice_str(dom_store_region_name(router->store, export->region));
    dom_buffer_clear(&router->scratch2);
    enum dom_code rc = dom_audit_event_encode(&event, &router->scratch2, err);
    char *copy =
        rc == DOM_OK ? dom_arena_dup(turn->arena, dom_buffer_slice(&router->scratch2)) : NULL;
    if (rc == DOM_OK && copy == NULL) {
        rc = DOM_FAIL(err, DOM_RESOURCE, "the request needs too much memory");
    }
    *entryp = dom_slice_of(copy, rc == DOM_OK ? router->scratch2.len : 0);
    return rc;
}

/* The access, when a border is crossed, and the export become durable together: only then is
 * anything read (promise P3). */
static void log_and_go(struct export *export)
{
    struct dom_turn *turn = &export->turn;
    struct dom_error err = {0};

    if (export->access.snapshot != NULL && !export->refused &&
        dom_turn_entry(turn, &export->entries[export->num_entries++], &export->access, "list",
                       DOM_SLICE_LIT(KIND), dom_slice_of(NULL, 0), NULL, 0, 0, 0, 0) != DOM_OK) {
        dom_turn_refuse(turn);
        return;
    }
    if (make_entry(export, &export->entries[export->num_entries++], &err) != DOM_OK) {
        (void)dom_refuse(&turn->refusal, err.code, NULL, "%s", err.message);
        dom_turn_refuse(turn);
        return;
    }
    export->job.run = walk;
    export->async.call = turn->call;
    export->async.owner = export;
    export->async.done = logged;
    export->async.op.type = DOM_STORE_APPEND;
    export->async.op.region = export->region;
    export->async.op.deadline_us = dom_rpc_call_deadline_us(turn->call);
    export->async.op.entries = export->entries;
    export->async.op.num_entries = export->num_entries;
    export->async.op.receipts = export->receipts;
    dom_rpc_call_go_async(turn->call);
    if (dom_async_submit(turn->router, turn->snapshot, &export->async, &err) != DOM_OK) {
        export->code = DOM_FAIL(&export->err, err.code, "%s", err.message);
        end(export);
    }
}

/* ---- what is asked ---- */

static void ask_policy(struct export *export, dom_policy_id kind, dom_policy_id purpose)
{
    const struct dom_snapshot *snapshot = export->turn.snapshot;
    const struct dom_policy *policy = snapshot->policy;

    dom_access_decide(&export->access, snapshot, &export->turn.caller, DOM_OP_LIST, kind,
                      dom_policy_region_country(policy, snapshot->policy_of[export->region]),
                      purpose, dom_policy_kind_classes(policy, kind), export->region, true,
                      export->turn.now_ms);
}

/* Asks the policy when the entries would cross a border. False after having refused. */
static bool may_cross(struct export *export, struct dom_slice purpose_name)
{
    struct dom_turn *turn = &export->turn;
    const struct dom_snapshot *snapshot = turn->snapshot;
    const struct dom_policy *policy = snapshot->policy;

    if (dom_snapshot_jurisdiction(snapshot, export->region) == turn->caller.jurisdiction) {
        return true;
    }
    dom_policy_id purpose =
        purpose_name.len == 0 ? DOM_POLICY_NONE : dom_policy_find_purpose(policy, purpose_name);
    if (purpose_name.len > 0 && purpose == DOM_POLICY_NONE) {
        (void)dom_refuse(&turn->refusal, DOM_INVALID, "purpose",
                         "the policy knows no such purpose");
        dom_turn_refuse(turn);
        return false;
    }
    dom_policy_id kind = dom_policy_find_kind(policy, DOM_SLICE_LIT(KIND));
    if (kind != DOM_POLICY_NONE) {
        ask_policy(export, kind, purpose);
    }
    const struct dom_policy_decision *decision = &export->access.decision;
    bool in_part = decision->effect == DOM_EFFECT_MODIFY ||
                   (decision->effect != DOM_EFFECT_DENY && decision->cell != NULL &&
                    decision->cell->num_limits > 0);
    if (kind == DOM_POLICY_NONE || in_part) {
        (void)dom_refuse(&turn->refusal, DOM_NO_PERMIT, "region", "%s",
                         in_part
                             ? "the policy permits the entries of this log in part or under a "
                               "limit only, and they cannot be given so"
                             : "the entries of a region's log leave its jurisdiction only where "
                               "the policy declares the kind " KIND
                               " and permits it; "
                               "checkpoints and proofs may be had from anywhere");
        /* No decision of the policy says so, so no access is told that would have to be decided
         * again (promise P4): the export's own entry has the refusal. */
        export->refused = true;
        return true;
    }
    if (decision->effect != DOM_EFFECT_DENY) {
        return true;
    }
    dom_turn_deny(turn, &export->access, "list", DOM_SLICE_LIT(KIND), dom_slice_of(NULL, 0), NULL,
                  0, NULL);
    return false;
}

void dom_handle_export_entries(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);
    Domicile__V1__ExportEntriesRequest *request =
        domicile__v1__export_entries_request__unpack(&allocator, bytes.len, bytes.data);
    struct export *export =
        request == NULL ? NULL : dom_arena_calloc(probe.arena, 1, sizeof(*export));

    if (export == NULL) {
        dom_call_undecodable(call);
        return;
    }
    struct dom_turn *turn = &export->turn;
    if (!dom_turn_begin(turn, call, context)) {
        return;
    }
    export->region = dom_store_find_region(turn->router->store, dom_pb_slice(request->region));
    if (export->region == DOM_STORE_NO_REGION ||
        turn->snapshot->policy_of[export->region] == DOM_POLICY_NONE) {
        (void)dom_refuse(&turn->refusal, DOM_INVALID, "region", "no such region is open here");
        dom_turn_refuse(turn);
        return;
    }
    if (!dom_turn_need_role(turn, DOM_ROLE_AUDITOR)) {
        return;
    }
    struct dom_entries_ask ask = DOM_ENTRIES_ASK(request);
    export->size = dom_store_log_published(turn->router->store, export->region);
    if (!dom_entries_take(turn, export->region, &ask, export->size, &export->wanted)) {
        dom_turn_refuse(turn);
        return;
    }
    export->filter = export->wanted.filter;
    export->end = export->filter.end;
    export->read_all = request->read_all;
    if (may_cross(export, dom_pb_slice(request->purpose))) {
        log_and_go(export);
    }
}
