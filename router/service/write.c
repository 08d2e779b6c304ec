/* PutRecord and DeleteRecord: validated, decided, then committed in the record's home region. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "domicile/v1/record.pb-c.h"
#include "router/core/wire.h"
#include "router/service/read.h"

struct write {
    struct dom_turn turn;
    struct dom_async async;
    struct dom_key key;
    struct dom_access access;
    const struct dom_policy_placement *placement;
    dom_policy_id home;
    dom_policy_id purpose;
    dom_store_region lead;
    bool homeless;                 /* the caller named no home: `home` is the record's, a secret */
    struct dom_slice *names;       /* of the fields */
    size_t num_names;
    dom_policy_set classes;
    dom_store_set *field_regions;  /* PUT: per field, the other regions that are to hold it */
    uint64_t bytes;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    bool retried;                  /* the home region was asked for anew once */
    dom_store_region answered;     /* that answered this request id before; NO_REGION: none known */
};

static void refuse(struct write *write, enum dom_code code, const char *path, const char *why)
{
    (void)dom_refuse(&write->turn.refusal, code, path, "%s", why);
    dom_turn_refuse(&write->turn);
}

/* ---- fields ---- */

static bool bad_field(struct write *write, size_t i, enum dom_code code, const char *part,
                      const char *why)
{
    char *path = dom_arena_printf(write->turn.arena, "fields[%zu]%s", i, part);

    refuse(write, code, path == NULL ? "fields" : path, why);
    return false;
}

static bool is_duplicate(const struct write *write, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (dom_slice_eq(write->names[k], write->names[i])) {
            return true;
        }
    }
    return false;
}

static bool check_field(struct write *write, size_t i, const Domicile__V1__Field *field)
{
    dom_policy_id data_class = DOM_POLICY_NONE;
    struct dom_slice name = dom_pb_slice(field->name);

    write->names[i] = name;
    if (!dom_policy_field_name_valid(name)) {
        return bad_field(write, i, DOM_INVALID, ".name",
                         "a field name is a lower-case letter, then letters, digits or _, at most "
                         "64 bytes");
    }
    if (dom_policy_field_class(write->turn.snapshot->policy, write->key.kind, name, &data_class) ==
        DOM_FIELD_REFUSED) {
        return bad_field(write, i, DOM_INVALID, ".name",
                         "the policy declares no such field for this kind");
    }
    if (is_duplicate(write, i)) {
        return bad_field(write, i, DOM_INVALID, ".name", "the same field twice");
    }
    if (field->value_case == DOMICILE__V1__FIELD__VALUE__NOT_SET) {
        return bad_field(write, i, DOM_INVALID, ".value", "the field has no value");
    }
    if (field->value_case == DOMICILE__V1__FIELD__VALUE_TEXT &&
        !dom_utf8_valid(dom_pb_slice(field->text))) {
        return bad_field(write, i, DOM_INVALID, ".text", "not valid UTF-8; use `data` for bytes");
    }
    write->classes |= UINT64_C(1) << data_class;
    return true;
}

/* Checks every field and packs each as the bytes that will be stored. */
static bool take_fields(struct write *write, Domicile__V1__Field **fields, size_t num_fields)
{
    struct dom_turn *turn = &write->turn;
    uint64_t total = write->key.id.len; /* as the store counts, or a little more */

    if (num_fields > DOM_FIELDS_MAX) {
        refuse(write, DOM_INVALID, "fields", "more than 256 fields");
        return false;
    }
    write->names = dom_turn_calloc(turn, num_fields, sizeof(*write->names));
    if (write->names == NULL) {
        return false;
    }
    struct dom_store_field *stored = dom_turn_calloc(turn, num_fields, sizeof(*stored));
    if (stored == NULL) {
        return false;
    }
    for (size_t i = 0; i < num_fields; i++) {
        if (!check_field(write, i, fields[i])) {
            return false;
        }
        size_t len = domicile__v1__field__get_packed_size(fields[i]);
        uint8_t *packed = dom_arena_alloc(turn->arena, len);
        if (packed == NULL) {
            refuse(write, DOM_RESOURCE, NULL, "the request needs too much memory");
            return false;
        }
        (void)domicile__v1__field__pack(fields[i], packed);
        stored[i].name = write->names[i];
        stored[i].value = dom_slice_of(packed, len);
        write->bytes += len;
        total += write->names[i].len + len;
    }
    if (total > DOM_RECORD_BYTES_MAX) {
        refuse(write, DOM_INVALID, "fields", "the record is larger than 1 MiB");
        return false;
    }
    write->field_regions = dom_turn_calloc(turn, num_fields, sizeof(*write->field_regions));
    if (write->field_regions == NULL) {
        return false;
    }
    write->num_names = num_fields;
    write->async.op.field_regions = write->field_regions;
    write->async.op.fields = stored;
    write->async.op.num_fields = num_fields;
    return true;
}

/* After the decision, as it depends on the home, which the caller may not have to learn. */
static bool check_storable(struct write *write)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;

    for (size_t i = 0; i < write->async.op.num_fields; i++) {
        dom_policy_id data_class =
            dom_access_field_class(snapshot, write->key.kind, write->names[i]);
        if ((write->placement->storable & (UINT64_C(1) << data_class)) == 0) {
            return bad_field(write, i, DOM_NO_PLACEMENT, ".name",
                             "no region may store this class of data of that home");
        }
    }
    return true;
}

/* ---- where ---- */

static const char s_home_missing[] =
    "home is missing: a new record needs the country whose law follows it";
static const char s_hidden[] =
    "no record that this caller may change; name its home to learn what the policy decides";

/* What one who named no home hears of a record that is not there. */
static void say_absent(const struct write *write, struct dom_refusal *refusal)
{
    if (write->async.op.type == DOM_STORE_PUT) {
        (void)dom_refuse(refusal, DOM_INVALID, "home", "%s", s_home_missing);
    } else {
        (void)dom_refuse(refusal, DOM_NOT_FOUND, NULL, "%s", s_hidden);
    }
}

/* Whether some region has answered this request already; under which home it was then. */
static bool find_answered(struct write *write, char home[3])
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;
    dom_store_region region = DOM_STORE_NO_REGION;

    if (write->async.op.request_id.len == 0 ||
        dom_store_find_request(write->turn.router->session, write->turn.caller.subject,
                               write->async.op.request_id, &region, home, NULL) != DOM_OK ||
        home[0] == '\0' || snapshot->policy_of[region] == DOM_POLICY_NONE) {
        return false;
    }
    write->answered = region;
    return true;
}

/* The home that the caller named, or that of the record as it is. */
static bool find_home(struct write *write)
{
    struct dom_turn *turn = &write->turn;
    struct dom_store_row row;
    dom_store_region region = DOM_STORE_NO_REGION;
    struct dom_error err = {0};

    write->home = write->key.home;
    if (write->home != DOM_POLICY_NONE) {
        return true;
    }
    enum dom_code rc = dom_read_find(turn, &write->key, &row, &region, &err);
    if (rc == DOM_NOT_FOUND && find_answered(write, row.home)) {
        rc = DOM_OK; /* a retry: the record may be gone because of this very request */
    }
    if (rc == DOM_NOT_FOUND) {
        say_absent(write, &turn->refusal);
        dom_turn_refuse(turn);
        return false;
    }
    if (rc != DOM_OK) {
        refuse(write, rc, NULL, err.message);
        return false;
    }
    write->homeless = true;
    write->home = dom_policy_find_country(turn->snapshot->policy, dom_slice_str(row.home));
    if (write->home == DOM_POLICY_NONE) {
        refuse(write, DOM_NO_PERMIT, NULL, "the policy in force does not know the record's home");
        return false;
    }
    return true;
}

static bool find_placement(struct write *write)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;

    write->placement =
        dom_policy_place(snapshot->policy, write->key.kind, write->home, write->turn.now_ms);
    if (write->placement == NULL || write->placement->lead == DOM_POLICY_NONE) {
        refuse(write, DOM_NO_PLACEMENT, "home", "no region may hold records of this home");
        return false;
    }
    write->lead = snapshot->store_of[write->placement->lead];
    char home[3];
    if (dom_store_moved_lately(write->turn.router->store) &&
        write->answered == DOM_STORE_NO_REGION) {
        (void)find_answered(write, home);
    }
    if (write->answered != DOM_STORE_NO_REGION) {
        write->lead = write->answered; /* it gives the same answer again, or says what differs */
    }
    if (write->lead == DOM_STORE_NO_REGION) {
        refuse(write, DOM_UNAVAILABLE, NULL, "the record's home region is not served here");
        return false;
    }
    return true;
}

/* The regions besides the lead that are to hold a part, and those of them in other
 * jurisdictions. */
static dom_store_set find_targets(struct write *write)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;
    dom_policy_id home_law = dom_snapshot_jurisdiction(snapshot, write->lead);
    dom_store_set all = dom_snapshot_to_store(snapshot, write->placement->all);
    dom_store_set abroad = 0;

    write->async.op.targets = 0;
    for (dom_store_set left = all & ~(UINT64_C(1) << write->lead); left != 0; left &= left - 1) {
        dom_store_region region = (dom_store_region)__builtin_ctzll(left);
        if ((dom_snapshot_held(snapshot, write->placement, region) & write->classes) == 0) {
            continue;
        }
        write->async.op.targets |= UINT64_C(1) << region;
        if (dom_snapshot_jurisdiction(snapshot, region) != home_law) {
            abroad |= UINT64_C(1) << region;
        }
    }
    for (size_t i = 0; i < write->async.op.num_fields; i++) {
        dom_policy_id data_class =
            dom_access_field_class(snapshot, write->key.kind, write->names[i]);
        write->field_regions[i] =
            dom_snapshot_to_store(snapshot, write->placement->regions[data_class]) &
            ~(UINT64_C(1) << write->lead);
    }
    write->async.op.sync =
        dom_snapshot_to_store(snapshot, write->placement->sync) & write->async.op.targets;
    return abroad;
}

/* ---- answers ---- */

static void put_parts(struct dom_buffer *out, const struct write *write)
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
            dom_wire_str(out, 2, dom_policy_class_name(snapshot->policy,
                                                       (dom_policy_id)__builtin_ctzll(held)));
        }
        dom_wire_end(out, at);
    }
}

static void put_decision(struct dom_buffer *out, const struct write *write, unsigned decision_field,
                         unsigned receipt_field)
{
    size_t at = dom_wire_begin(out, decision_field);

    dom_answer_decision(out, &write->access, NULL, NULL);
    dom_wire_end(out, at);
    if (write->async.op.num_entries > 0) {
        at = dom_wire_begin(out, receipt_field);
        dom_answer_receipt(
            out, dom_store_log_origin(write->turn.router->store, write->async.op.region),
            &write->receipt);
        dom_wire_end(out, at);
    }
}

static void answer(struct write *write)
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

static void decide_and_submit(struct write *write);

static void say_on_its_way(struct write *write)
{
    write->async.code = DOM_UNAVAILABLE;
    write->async.message = "the record is on its way to another home region; try again";
}

/* Whether the record may be written where it is still at home: under the law of the policy's lead,
 * and if all of it may lie there. */
static bool may_commit_at(const struct write *write, dom_store_region home)
{
    const struct dom_snapshot *snapshot = write->turn.snapshot;

    if (dom_snapshot_jurisdiction(snapshot, home) !=
        dom_snapshot_jurisdiction(snapshot, write->lead)) {
        return false;
    }
    return write->async.op.type == DOM_STORE_DELETE ||
           (write->classes & ~dom_snapshot_held(snapshot, write->placement, home)) == 0;
}

/* The policy's lead is not where the record is at home (it has moved since, or the id is taken under
 * another home). The same home: decide anew and commit there. Another: refuse. */
static bool follow_home(struct write *write)
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
    if (rc != DOM_OK ||
        dom_store_get(turn->router->session, home, write->key.kind_name, write->key.id, turn->arena,
                      &row, &err) != DOM_OK) {
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
    struct write *write = async->owner;

    if (async->code == DOM_OK) {
        answer(write);
        return;
    }
    if (!follow_home(write)) {
        refuse(write, async->code, async->code == DOM_HOME_MISMATCH ? "home" : NULL,
               async->message);
    }
}

static void submit(struct write *write)
{
    struct dom_error err = {0};

    if (dom_async_submit(write->turn.router, write->turn.snapshot, &write->async, &err) != DOM_OK) {
        refuse(write, err.code, NULL, err.message);
    }
}

/* Decides, makes the entry that the crossing needs, and hands over to the store. */
static void decide_and_submit(struct write *write)
{
    enum dom_policy_op op =
        write->async.op.type == DOM_STORE_DELETE ? DOM_OP_DELETE : DOM_OP_WRITE;
    const char *op_name = op == DOM_OP_DELETE                    ? "delete"
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
        say_absent(write, &absent);
        bool hide = write->homeless && dom_policy_info(turn->snapshot->policy)->hide_existence;
        dom_turn_deny(turn, &write->access, op_name, write->key.kind_name, write->key.id,
                      write->names, write->num_names, hide ? &absent : NULL);
        return;
    }
    if (!check_storable(write)) {
        return;
    }
    dom_store_set abroad = find_targets(write);
    if (store_op->type == DOM_STORE_DELETE) {
        abroad = 0; /* a tombstone carries no bytes of the record */
    }
    if ((store_op->sync & abroad) != 0 &&
        dom_snapshot_closed(turn->snapshot, turn->now_ms) != DOM_OK) {
        refuse(write, dom_snapshot_closed(turn->snapshot, turn->now_ms), NULL,
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
    store_op->placement_epoch =
        write->answered == DOM_STORE_NO_REGION ? turn->placement_epoch : 1;
    write->async.owner = write;
    write->async.done = done;
    dom_rpc_call_go_async(turn->call);
    submit(write);
}

/* ---- handlers ---- */

static struct write *write_new(struct dom_rpc_call *call, void *context,
                               enum dom_store_op_type type, struct dom_slice kind,
                               struct dom_slice id)
{
    struct write *write = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*write));

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

static bool take_key(struct write *write, ProtobufCBinaryData kind, ProtobufCBinaryData id,
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
        refuse(write, DOM_INVALID, "request_id", "longer than 64 bytes");
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
    struct write *write = write_new(call, context, DOM_STORE_PUT, dom_pb_slice(request->kind),
                                    dom_pb_slice(request->id));
    if (write == NULL || !take_key(write, request->kind, request->id, request->home,
                                   request->purpose, request->request_id)) {
        return;
    }
    if (request->must_not_exist && request->if_version != 0) {
        refuse(write, DOM_INVALID, "if_version", "must_not_exist and if_version exclude each other");
        return;
    }
    write->async.op.must_not_exist = request->must_not_exist != 0;
    write->async.op.if_version = request->if_version;
    if (!take_fields(write, request->fields, request->n_fields) || !find_home(write) ||
        !find_placement(write)) {
        return;
    }
    decide_and_submit(write);
}

/* What is to be deleted: the classes and names that the record has at home. */
static bool look_at_record(struct write *write)
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
        refuse(write, rc, NULL, err.message);
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
    struct write *write = write_new(call, context, DOM_STORE_DELETE, dom_pb_slice(request->kind),
                                    dom_pb_slice(request->id));
    if (write == NULL || !take_key(write, request->kind, request->id, request->home,
                                   request->purpose, request->request_id)) {
        return;
    }
    write->async.op.if_version = request->if_version;
    if (!find_home(write) || !find_placement(write) || !look_at_record(write)) {
        return;
    }
    decide_and_submit(write);
}
