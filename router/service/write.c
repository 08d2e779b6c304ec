/* PutRecord and DeleteRecord: validated, decided, then committed in the record's home region. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "router/core/wire.h"
#include "router/service/write.h"

void dom_write_refuse(struct dom_write *write, enum dom_code code, const char *path,
                      const char *why)
{
    (void)dom_refuse(&write->turn.refusal, code, path, "%s", why);
    dom_turn_refuse(&write->turn);
}

/* ---- answers ---- */

static void put_parts(struct dom_buffer *out, const struct dom_write *write)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;
    dom_store_set regions = write->async.op.targets | (UINT64_C(1) << write->lead);

    for (; regions != 0; regions &= regions - 1) {
        dom_store_region region = (dom_store_region)__builtin_ctzll(regions);
        dom_policy_set held =
            dom_snapshot_held(snapshot, write->placement, region) & write->classes;
        size_t at = dom_wire_begin(out, 4);
        dom_wire_str(out, 1, dom_store_region_name(write->turn.router->store, region));
        for (; held != 0; held &= held - 1) {
            dom_wire_str(
                out, 2,
                dom_policy_class_name(snapshot->policy, (dom_policy_id)__builtin_ctzll(held)));
        }
        dom_wire_end(out, at);
    }
}

static void put_decision(struct dom_buffer *out, const struct dom_write *write,
                         unsigned decision_field, unsigned receipt_field)
{
    size_t at = dom_wire_begin(out, decision_field);

    dom_answer_decision(out, &write->access, NULL, NULL);
    dom_wire_end(out, at);
    if (write->async.op.num_entries > 0) {
        at = dom_wire_begin(out, receipt_field);
        dom_answer_receipt(out,
                           dom_store_log_origin(write->turn.router->store, write->async.op.region),
                           &write->receipt);
        dom_wire_end(out, at);
    }
}

static void answer(struct dom_write *write)
{
    struct dom_buffer *out = &write->turn.router->scratch;
    const struct dom_store_op *op = &write->async.op;

    dom_buffer_clear(out);
    dom_wire_uint(out, 1, op->version);
    if (op->type == DOM_STORE_PUT) {
        dom_wire_str(out, 2, op->home);
        dom_wire_str(out, 3, dom_store_region_name(write->turn.router->store, op->region));
        put_parts(out, write);
        put_decision(out, write, 5, 6);
        dom_wire_bool(out, 7, op->replayed);
    } else {
        put_decision(out, write, 2, 3);
        dom_wire_bool(out, 4, op->replayed);
    }
    dom_turn_answer(&write->turn, dom_buffer_slice(out));
}

static void decide_and_submit(struct dom_write *write);

static void say_on_its_way(struct dom_write *write)
{
    write->async.code = DOM_UNAVAILABLE;
    write->async.message = "the record is on its way to another home region; try again";
}

/* Whether the record may be written where it is still at home: under the law of the policy's lead,
 * and if all of it may lie there. */
static bool may_commit_at(const struct dom_write *write, dom_store_region home)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;

    if (dom_snapshot_jurisdiction(snapshot, home) !=
        dom_snapshot_jurisdiction(snapshot, write->lead)) {
        return false;
    }
    return write->async.op.type == DOM_STORE_DELETE ||
           (write->classes & ~dom_snapshot_held(snapshot, write->placement, home)) == 0;
}

/* The policy's lead is not where the record is at home (it has moved since, or the id is taken
 * under another home). The same home: decide anew and commit there. Another: refuse. */
static bool follow_home(struct dom_write *write)
{
    struct dom_turn *turn = &write->turn;
    const struct dom_store_op *op = &write->async.op;
    struct dom_store_row row;
    struct dom_error err = {0};
    dom_store_region home = DOM_STORE_NO_REGION;

    if (write->async.code != DOM_HOME_MISMATCH) {
        return false;
    }
    if (write->retried) {
        say_on_its_way(write); /* twice it was not where it had just been */
        return false;
    }
    enum dom_code rc = dom_store_locate(turn->router->session, DOM_STORE_NO_REGION,
                                        write->key.kind_name, write->key.id, &home, &err);
    if (rc == DOM_UNAVAILABLE) {
        say_on_its_way(write);
    }
    if (rc != DOM_OK || dom_store_get(turn->router->session, home, write->key.kind_name,
                                      write->key.id, turn->arena, &row, &err) != DOM_OK) {
        return false;
    }
    if (strcmp(row.home, op->home) != 0) {
        return false;
    }
    if (home != write->lead && !may_commit_at(write, home)) {
        if (dom_store_rehoming(turn->router->store)) {
            say_on_its_way(write);
        }
        return false;
    }
    write->retried = true;
    write->lead = home; /* or it has arrived meanwhile */
    decide_and_submit(write);
    return true;
}

static void done(struct dom_async *async)
{
    struct dom_write *write = async->owner;

    if (async->code == DOM_OK) {
        answer(write);
        return;
    }
    if (!follow_home(write)) {
        dom_write_refuse(write, async->code, async->code == DOM_HOME_MISMATCH ? "home" : NULL,
                         async->message);
    }
}

static void submit(struct dom_write *write)
{
    struct dom_error err = {0};

    if (dom_async_submit(write->turn.router, write->turn.snapshot, &write->async, &err) != DOM_OK) {
        dom_write_refuse(write, err.code, NULL, err.message);
    }
}

/* Decides, makes the entry that the crossing needs, and hands over to the store. */
static void decide_and_submit(struct dom_write *write)
{
    enum dom_policy_op op = write->async.op.type == DOM_STORE_DELETE ? DOM_OP_DELETE : DOM_OP_WRITE;
    const char *op_name = op == DOM_OP_DELETE               ? "delete"
                          : write->async.op.if_version != 0 ? "update"
                                                            : "write";
    struct dom_turn *turn = &write->turn;
    struct dom_store_op *store_op = &write->async.op;
    bool crosses =
        dom_snapshot_jurisdiction(turn->snapshot, write->lead) != turn->caller.jurisdiction;

    dom_access_decide(&write->access, turn->snapshot, &turn->caller, op, write->key.kind,
                      write->home, write->purpose, write->classes, write->lead, crosses,
                      turn->now_ms);
    dom_turn_observe(&write->access);
    if (write->access.decision.effect == DOM_EFFECT_DENY) {
        struct dom_refusal absent;
        dom_write_say_absent(write, &absent);
        bool hide = write->homeless && dom_policy_info(turn->snapshot->policy)->hide_existence;
        dom_turn_deny(turn, &write->access, op_name, write->key.kind_name, write->key.id,
                      write->names, write->num_names, hide ? &absent : NULL);
        return;
    }
    if (!dom_write_check_storable(write)) {
        return;
    }
    dom_store_set abroad = dom_write_find_targets(write);
    if (store_op->type == DOM_STORE_DELETE) {
        abroad = 0; /* a tombstone carries no bytes of the record */
    }
    if ((store_op->sync & abroad) != 0 &&
        dom_snapshot_closed(turn->snapshot, turn->now_ms) != DOM_OK) {
        dom_write_refuse(
            write, dom_snapshot_closed(turn->snapshot, turn->now_ms), NULL,
            "the write needs a copy in another jurisdiction, and nothing may cross a border now");
        return;
    }
    store_op->num_entries = 0;
    if (crosses || abroad != 0) {
        if (dom_turn_entry(turn, &write->entry, &write->access, op_name, write->key.kind_name,
                           write->key.id, write->names, write->num_names, write->bytes, 1,
                           abroad) != DOM_OK) {
            dom_turn_refuse(turn);
            return;
        }
        store_op->entries = &write->entry;
        store_op->num_entries = 1;
        store_op->receipts = &write->receipt;
    }
    store_op->no_border = store_op->num_entries == 0;
    store_op->region = write->lead;
    store_op->deadline_us = dom_rpc_call_deadline_us(turn->call);
    store_op->kind = write->key.kind_name;
    store_op->id = write->key.id;
    (void)snprintf(store_op->home, sizeof(store_op->home), "%s",
                   dom_policy_country_name(turn->snapshot->policy, write->home));
    store_op->service = turn->caller.subject;
    write->async.call = turn->call;
    /* Where it was answered before is no reason to write there: should the answer be gone, then
     * only as the placement of now has it. */
    store_op->placement_epoch = write->answered == DOM_STORE_NO_REGION ? turn->placement_epoch : 1;
    write->async.owner = write;
    write->async.done = done;
    dom_rpc_call_go_async(turn->call);
    submit(write);
}

/* ---- handlers ---- */

static struct dom_write *write_new(struct dom_rpc_call *call, void *context,
                                   enum dom_store_op_type type, struct dom_slice kind,
                                   struct dom_slice id)
{
    struct dom_write *write = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*write));

    if (write == NULL) {
        dom_call_undecodable(call);
        return NULL;
    }
    write->async.op.type = type;
    write->answered = DOM_STORE_NO_REGION;
    if (!dom_turn_begin(&write->turn, call, context) || !dom_turn_may_write(&write->turn)) {
        return NULL;
    }
    dom_turn_pick(&write->turn, kind, id);
    return write;
}

static bool take_key(struct dom_write *write, ProtobufCBinaryData kind, ProtobufCBinaryData id,
                     ProtobufCBinaryData home, ProtobufCBinaryData purpose,
                     ProtobufCBinaryData request_id)
{
    struct dom_turn *turn = &write->turn;

    if (dom_key_resolve(&write->key, turn->snapshot, dom_pb_slice(kind), dom_pb_slice(id),
                        dom_pb_slice(home), "", turn->arena, &turn->refusal) != DOM_OK ||
        dom_purpose_resolve(&write->purpose, turn->snapshot, dom_pb_slice(purpose),
                            &turn->refusal) != DOM_OK) {
        dom_turn_refuse(turn);
        return false;
    }
    if (request_id.len > DOM_REQUEST_ID_BYTES_MAX) {
        dom_write_refuse(write, DOM_INVALID, "request_id", "longer than 64 bytes");
        return false;
    }
    write->async.op.request_id = dom_pb_slice(request_id);
    return true;
}

void dom_handle_put(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);

    Domicile__V1__PutRecordRequest *request =
        domicile__v1__put_record_request__unpack(&allocator, bytes.len, bytes.data);
    if (request == NULL) {
        dom_call_undecodable(call);
        return;
    }
    struct dom_write *write = write_new(call, context, DOM_STORE_PUT, dom_pb_slice(request->kind),
                                        dom_pb_slice(request->id));
    if (write == NULL || !take_key(write, request->kind, request->id, request->home,
                                   request->purpose, request->request_id)) {
        return;
    }
    if (request->must_not_exist && request->if_version != 0) {
        dom_write_refuse(write, DOM_INVALID, "if_version",
                         "must_not_exist and if_version exclude each other");
        return;
    }
    write->async.op.must_not_exist = request->must_not_exist != 0;
    write->async.op.if_version = request->if_version;
    if (!dom_write_take_fields(write, request->fields, request->n_fields) ||
        !dom_write_find_home(write) || !dom_write_find_placement(write)) {
        return;
    }
    decide_and_submit(write);
}

/* What is to be deleted: the classes and names that the record has at home. */
static bool look_at_record(struct dom_write *write)
{
    struct dom_turn *turn = &write->turn;
    struct dom_store_row row;
    struct dom_error err = {0};

    write->classes = dom_policy_kind_classes(turn->snapshot->policy, write->key.kind);
    enum dom_code rc = dom_store_get(turn->router->session, write->lead, write->key.kind_name,
                                     write->key.id, turn->arena, &row, &err);
    if (rc == DOM_NOT_FOUND) {
        return true; /* the store will say so, after the policy had its say */
    }
    if (rc != DOM_OK) {
        dom_write_refuse(write, rc, NULL, err.message);
        return false;
    }
    write->names = dom_turn_calloc(turn, row.num_fields, sizeof(*write->names));
    if (write->names == NULL) {
        return false;
    }
    write->num_names = row.num_fields;
    write->classes = 0;
    for (size_t i = 0; i < row.num_fields; i++) {
        write->names[i] = row.fields[i].name;
        write->classes |= UINT64_C(1) << dom_access_field_class(turn->snapshot, write->key.kind,
                                                                row.fields[i].name);
    }
    return true;
}

void dom_handle_delete(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);

    Domicile__V1__DeleteRecordRequest *request =
        domicile__v1__delete_record_request__unpack(&allocator, bytes.len, bytes.data);
    if (request == NULL) {
        dom_call_undecodable(call);
        return;
    }
    struct dom_write *write = write_new(call, context, DOM_STORE_DELETE,
                                        dom_pb_slice(request->kind), dom_pb_slice(request->id));
    if (write == NULL || !take_key(write, request->kind, request->id, request->home,
                                   request->purpose, request->request_id)) {
        return;
    }
    write->async.op.if_version = request->if_version;
    if (!dom_write_find_home(write) || !dom_write_find_placement(write) || !look_at_record(write)) {
        return;
    }
    decide_and_submit(write);
}
