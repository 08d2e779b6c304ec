/* The calls about roll-outs: orders for the pilot, and its view for everybody. */
#include <limits.h>
#include <string.h>

#include "base/assert.h"
#include "domicile/v1/policy.pb-c.h"
#include "router/core/wire.h"
#include "router/service/internal.h"

/* ---- the view ------------------------------------------------------------------------------- */

/* A copy of the pilot's view, and what is counted now. */
static void look(struct dom_router *router, struct dom_pilot_view *view,
                 struct dom_rollout_tally *counted)
{
    struct dom_pilot *pilot = &router->pilot;

    memset(counted, 0, sizeof(*counted));
    (void)pthread_mutex_lock(&pilot->lock);
    *view = pilot->view;
    if (pilot->tally != NULL) {
        dom_pilot_read_tally(pilot->tally, counted);
    }
    (void)pthread_mutex_unlock(&pilot->lock);
}

static void put_version(struct dom_buffer *out, unsigned field,
                        const struct dom_rollout_version *version)
{
    if (version->version != 0) {
        size_t at = dom_wire_begin(out, field);
        dom_wire_uint(out, 1, (uint64_t)version->version);
        dom_wire_bytes(out, 2, dom_slice_of(version->sha256, sizeof(version->sha256)));
        dom_wire_end(out, at);
    }
}

static void put_step(struct dom_buffer *out, const struct dom_pilot_view *view, int64_t now_ms)
{
    const struct dom_rollout *rollout = &view->rollout;

    if (!dom_rollout_active(rollout)) {
        return;
    }
    const struct dom_rollout_step *step = &rollout->steps[rollout->at];
    int64_t due = dom_rollout_due_ms(rollout, now_ms);
    if (rollout->phase == DOM_PHASE_PAUSED) {
        dom_wire_uint(out, 6, (uint64_t)rollout->paused + 1);
    }
    dom_wire_uint(out, 7, (uint64_t)rollout->change + 1);
    dom_wire_uint(out, 8, rollout->at + 1);
    dom_wire_uint(out, 9, rollout->num_steps);
    dom_wire_uint(out, 10, step->percent);
    for (const char *name = view->regions; name[0] != '\0'; name += strlen(name) + 1) {
        dom_wire_element(out, 11, dom_slice_str(name));
    }
    dom_wire_uint(out, 12, (uint64_t)rollout->since_ms);
    dom_wire_uint(out, 13, (uint64_t)step->hold_ms);
    dom_wire_uint(out, 14, due == INT64_MAX ? 0 : (uint64_t)due);
    dom_wire_bool(out, 15, view->inconclusive);
}

/* Field 1 of every answer here: a Rollout. */
static void put_rollout(struct dom_buffer *out, struct dom_router *router)
{
    struct dom_pilot_view view;
    struct dom_rollout_tally counted;

    look(router, &view, &counted);
    const struct dom_rollout *rollout = &view.rollout;
    size_t at = dom_wire_begin(out, 1);
    dom_wire_str(out, 1, view.name);
    dom_wire_str(out, 2, router->options.instance);
    put_version(out, 3, &rollout->enforced);
    put_version(out, 4, &rollout->candidate);
    dom_wire_uint(out, 5, (uint64_t)rollout->phase + 1);
    put_step(out, &view, dom_clock_wall_ms(router->clock));
    dom_wire_uint(out, 16, counted.requests);
    dom_wire_uint(out, 17, counted.disagreements);
    dom_wire_uint(out, 18, counted.new_denies);
    dom_wire_uint(out, 19, counted.new_allows);
    dom_wire_uint(out, 20, counted.eval_errors);
    dom_wire_str(out, 21, rollout->reason);
    dom_wire_bool(out, 22, rollout->frozen);
    dom_wire_str(out, 23, rollout->frozen_reason);
    dom_wire_uint(out, 24,
                  view.fresh_until_ms == INT64_MAX ? 0 : (uint64_t)view.fresh_until_ms);
    dom_wire_bool(out, 25, view.signed_only);
    dom_wire_uint(out, 26, (uint64_t)rollout->highest);
    dom_wire_uint(out, 27, view.refused);
    dom_wire_str(out, 28, view.refusal);
    dom_wire_end(out, at);
}

void dom_handle_get_rollout(struct dom_rpc_call *call, void *context)
{
    struct dom_turn turn;

    if (!dom_turn_begin(&turn, call, context)) {
        return;
    }
    struct dom_buffer *out = &turn.router->scratch;
    dom_buffer_clear(out);
    put_rollout(out, turn.router);
    dom_turn_answer(&turn, dom_buffer_slice(out));
}

/* ---- orders ----------------------------------------------------------------------------- */

struct asked {
    struct dom_turn turn;
    struct dom_job job;
    struct dom_rpc_work work;
    struct dom_pilot_order order;
    struct dom_error err;
    enum dom_code code;
};

static void refuse_bundle(struct asked *asked)
{
    struct dom_rpc_pair pair = {.key = "bundle",
                                .value = dom_slice_str(dom_bundle_fault_name(asked->order.fault))};
    struct dom_rpc_failure failure = {.code = DOM_BUNDLE,
                                      .message = asked->err.message,
                                      .pairs = &pair,
                                      .num_pairs = 1};

    dom_turn_release(&asked->turn);
    dom_rpc_call_fail(asked->turn.call, &failure);
}

static void told(struct dom_rpc_work *work)
{
    struct asked *asked = (struct asked *)((char *)work - offsetof(struct asked, work));
    struct dom_turn *turn = &asked->turn;
    struct dom_buffer *out = &turn->router->scratch;

    if (asked->code == DOM_BUNDLE) {
        refuse_bundle(asked);
        return;
    }
    if (asked->code != DOM_OK) {
        turn->refusal.error = asked->err;
        turn->refusal.path = NULL;
        dom_turn_refuse(turn);
        return;
    }
    dom_buffer_clear(out);
    put_rollout(out, turn->router);
    if (asked->order.verb == DOM_PILOT_PUSH) {
        dom_wire_bool(out, 2, asked->order.changed);
    }
    dom_turn_answer(turn, dom_buffer_slice(out));
}

static void obey(struct dom_job *job, struct dom_store_session *session)
{
    struct asked *asked = (struct asked *)((char *)job - offsetof(struct asked, job));

    (void)session;
    asked->code = dom_pilot_obey(asked->turn.router, &asked->order, &asked->err);
    asked->work.run = told;
    dom_rpc_post(asked->turn.router->server, &asked->work, &asked->work);
}

/* Decodes the request with `unpack`; NULL after having failed the call. */
static void *decode(struct dom_rpc_call *call, const ProtobufCMessageDescriptor *descriptor)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);
    void *message = protobuf_c_message_unpack(descriptor, &allocator, bytes.len, bytes.data);

    if (message == NULL) {
        dom_call_undecodable(call);
    }
    return message;
}

/* Hands the order to the pilot. */
static void ask(struct dom_rpc_call *call, void *context, const struct dom_pilot_order *order)
{
    struct dom_turn turn;

    /* Stopping is for operators too. */
    bool stops = order->verb == DOM_PILOT_ABORT || order->verb == DOM_PILOT_FREEZE;
    unsigned roles = DOM_ROLE_POLICY_ADMIN | (stops ? DOM_ROLE_OPERATOR : 0U);
    if (!dom_turn_begin(&turn, call, context) || !dom_turn_need_role(&turn, roles)) {
        return;
    }
    struct asked *asked = dom_turn_calloc(&turn, 1, sizeof(*asked));
    if (asked == NULL) {
        return;
    }
    asked->turn = turn;
    asked->order = *order;
    asked->order.operator_id = turn.caller.subject;
    asked->job.run = obey;
    dom_rpc_call_go_async(call);
    if (!dom_worker_push(&turn.router->pilot.worker, &asked->job)) {
        (void)dom_refuse(&asked->turn.refusal, DOM_RESOURCE, NULL, "too much work waits already");
        dom_turn_refuse(&asked->turn);
    }
}

void dom_handle_push_policy(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__PushPolicyRequest *request =
        decode(call, &domicile__v1__push_policy_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_PUSH,
                                        .bundle = dom_pb_slice(request->bundle),
                                        .timestamp = dom_pb_slice(request->timestamp)};
        ask(call, context, &order);
    }
}

void dom_handle_promote_rollout(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__PromoteRolloutRequest *request =
        decode(call, &domicile__v1__promote_rollout_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_PROMOTE, .version = request->version};
        ask(call, context, &order);
    }
}

void dom_handle_pause_rollout(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__PauseRolloutRequest *request =
        decode(call, &domicile__v1__pause_rollout_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_PAUSE, .version = request->version};
        ask(call, context, &order);
    }
}

void dom_handle_resume_rollout(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__ResumeRolloutRequest *request =
        decode(call, &domicile__v1__resume_rollout_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_RESUME, .version = request->version};
        ask(call, context, &order);
    }
}

void dom_handle_abort_rollout(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__AbortRolloutRequest *request =
        decode(call, &domicile__v1__abort_rollout_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_ABORT,
                                        .version = request->version,
                                        .reason = dom_pb_slice(request->reason)};
        ask(call, context, &order);
    }
}

void dom_handle_freeze_policy(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__FreezePolicyRequest *request =
        decode(call, &domicile__v1__freeze_policy_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_FREEZE,
                                        .bundle = dom_pb_slice(request->order),
                                        .reason = dom_pb_slice(request->reason)};
        ask(call, context, &order);
    }
}

void dom_handle_unfreeze_policy(struct dom_rpc_call *call, void *context)
{
    Domicile__V1__UnfreezePolicyRequest *request =
        decode(call, &domicile__v1__unfreeze_policy_request__descriptor);

    if (request != NULL) {
        struct dom_pilot_order order = {.verb = DOM_PILOT_UNFREEZE,
                                        .bundle = dom_pb_slice(request->order),
                                        .reason = dom_pb_slice(request->reason)};
        ask(call, context, &order);
    }
}

/* ---- watching --------------------------------------------------------------------------- */

struct dom_watcher {
    struct dom_watcher *next;
    struct dom_watcher **link;
    struct dom_router *router;
    struct dom_rpc_call *call;
    bool sending;
    bool owed; /* the view has changed since the message under way was made */
};

/* The pilot posts only under its lock and while somebody watches, so that nothing is posted to a
 * server that has stopped. */
static void count_watchers(struct dom_router *router, bool more)
{
    struct dom_pilot *pilot = &router->pilot;

    (void)pthread_mutex_lock(&pilot->lock);
    pilot->num_watchers = more ? pilot->num_watchers + 1 : pilot->num_watchers - 1;
    (void)pthread_mutex_unlock(&pilot->lock);
}

static void end(struct dom_watcher *watcher, enum dom_code code, const char *message)
{
    struct dom_rpc_failure failure = {.code = code, .message = message};

    *watcher->link = watcher->next;
    if (watcher->next != NULL) {
        watcher->next->link = watcher->link;
    }
    count_watchers(watcher->router, false);
    dom_rpc_call_fail(watcher->call, &failure);
}

static void push(struct dom_watcher *watcher);

static void sent(struct dom_rpc_call *call, bool ok, void *arg)
{
    struct dom_watcher *watcher = arg;

    (void)call;
    watcher->sending = false;
    if (!ok) {
        end(watcher, DOM_CANCELLED, "the watcher has gone");
    } else if (watcher->owed) {
        push(watcher);
    }
}

/* While a message is on its way its completion looks again: a slow watcher sees the newest. */
static void push(struct dom_watcher *watcher)
{
    struct dom_buffer *out = &watcher->router->scratch;

    if (watcher->sending) {
        watcher->owed = true;
        return;
    }
    if (dom_rpc_server_draining(watcher->router->server)) {
        end(watcher, DOM_UNAVAILABLE, "the server is shutting down");
        return;
    }
    watcher->owed = false;
    watcher->sending = true;
    dom_buffer_clear(out);
    put_rollout(out, watcher->router);
    dom_rpc_call_send(watcher->call, dom_buffer_slice(out), sent, watcher);
}

static void gone(struct dom_rpc_call *call, void *arg)
{
    (void)call;
    end(arg, DOM_CANCELLED, "the watcher has gone");
}

void dom_handle_watch_rollout(struct dom_rpc_call *call, void *context)
{
    struct dom_router *router = context;
    struct dom_pilot *pilot = &router->pilot;
    struct dom_turn turn;

    if (!dom_turn_begin(&turn, call, context)) {
        return;
    }
    struct dom_watcher *watcher = dom_turn_calloc(&turn, 1, sizeof(*watcher));
    if (watcher == NULL) {
        return;
    }
    if (pilot->num_watchers >= DOM_PILOT_WATCHERS_MAX) {
        (void)dom_refuse(&turn.refusal, DOM_RESOURCE, NULL, "%u watch already",
                         DOM_PILOT_WATCHERS_MAX);
        dom_turn_refuse(&turn);
        return;
    }
    dom_turn_release(&turn);
    *watcher = (struct dom_watcher){
        .next = pilot->watchers, .link = &pilot->watchers, .router = router, .call = call};
    if (watcher->next != NULL) {
        watcher->next->link = &watcher->next;
    }
    pilot->watchers = watcher;
    count_watchers(router, true);
    dom_rpc_call_on_cancel(call, gone, watcher);
    push(watcher);
}

/* On the I/O thread. */
static void tell_watchers(struct dom_rpc_work *work)
{
    struct dom_pilot *pilot = (struct dom_pilot *)((char *)work - offsetof(struct dom_pilot, note));
    struct dom_watcher *next = NULL;

    (void)pthread_mutex_lock(&pilot->lock);
    pilot->noted = false;
    (void)pthread_mutex_unlock(&pilot->lock);
    for (struct dom_watcher *watcher = pilot->watchers; watcher != NULL; watcher = next) {
        next = watcher->next;
        push(watcher); /* may end it */
    }
}

void dom_router_rollout_changed(struct dom_router *router)
{
    struct dom_pilot *pilot = &router->pilot;

    (void)pthread_mutex_lock(&pilot->lock);
    if (pilot->num_watchers > 0 && !pilot->noted) {
        pilot->noted = true;
        pilot->note.run = tell_watchers;
        pilot->note.next = NULL;
        dom_rpc_post(router->server, &pilot->note, &pilot->note);
    }
    (void)pthread_mutex_unlock(&pilot->lock);
}
