/* AdminService.Drain: the process ends in order, and the logs tell who wanted it. */
#include <stddef.h>

#include "domicile/v1/admin.pb-c.h"
#include "router/core/wire.h"
#include "router/service/internal.h"
#include "base/log.h"
#include "router/service/pilot.h"

#define REASON_BYTES_MAX 256U

struct drain {
    struct dom_job job;
    struct dom_rpc_work work;
    struct dom_turn turn;
    struct dom_slice reason;
};

/* On the I/O thread: this call is one of those that may finish. */
static void drain_told(struct dom_rpc_work *work)
{
    struct drain *drain = (struct drain *)((char *)work - offsetof(struct drain, work));
    struct dom_router *router = drain->turn.router;
    struct dom_buffer *out = &router->scratch;

    dom_buffer_clear(out);
    dom_wire_uint(out, 1, dom_router_drain_ms(router));
    dom_turn_answer(&drain->turn, dom_buffer_slice(out));
    dom_router_shutdown(router);
}

static void drain_run(struct dom_job *job, struct dom_store_session *session)
{
    struct drain *drain = (struct drain *)((char *)job - offsetof(struct drain, job));
    struct dom_turn *turn = &drain->turn;
    struct dom_error err = {0};
    struct dom_telling telling = {.type = DOM_AUDIT_SINK,
                                  .policy = turn->snapshot->policy,
                                  .time_ms = turn->now_ms};

    (void)session;
    dom_telling_text(&telling, "name", dom_slice_str(turn->router->options.instance));
    dom_telling_text(&telling, "state", DOM_SLICE_LIT("draining"));
    dom_telling_text(&telling, "reason", drain->reason);
    dom_telling_text(&telling, "operator", turn->caller.subject);
    /* A log that cannot be written must not keep a process from ending. */
    if (dom_router_tell(turn->router, &telling, &err) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "drain.entry", "text=\"%s\"", err.message);
    }
    dom_log(DOM_LOG_INFO, "drain.asked", "operator=\"%.*s\"", (int)turn->caller.subject.len,
            (const char *)turn->caller.subject.data);
    drain->work.run = drain_told;
    dom_rpc_post(turn->router->server, &drain->work, &drain->work);
}

void dom_handle_drain(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);
    struct dom_turn turn;

    Domicile__V1__DrainRequest *request =
        domicile__v1__drain_request__unpack(&allocator, bytes.len, bytes.data);
    if (request == NULL) {
        dom_call_undecodable(call);
        return;
    }
    if (!dom_turn_begin(&turn, call, context) || !dom_turn_need_role(&turn, DOM_ROLE_OPERATOR)) {
        return;
    }
    struct dom_slice reason = dom_pb_slice(request->reason);
    if (reason.len > REASON_BYTES_MAX || !dom_utf8_valid(reason)) {
        (void)dom_refuse(&turn.refusal, DOM_INVALID, "reason",
                         "a reason is at most %u bytes of UTF-8", REASON_BYTES_MAX);
        dom_turn_refuse(&turn);
        return;
    }
    struct drain *drain = dom_turn_calloc(&turn, 1, sizeof(*drain));
    if (drain == NULL) {
        return;
    }
    drain->turn = turn;
    drain->reason = reason;
    drain->job.run = drain_run;
    dom_rpc_call_go_async(call);
    if (!dom_crew_push(&turn.router->crew, DOM_STORE_NO_REGION, &drain->job)) {
        (void)dom_refuse(&drain->turn.refusal, DOM_RESOURCE, NULL, "too much work waits already");
        dom_turn_refuse(&drain->turn);
    }
}
