/* The fields of a write: what they may be, and the bytes that are stored of them. */
#include "router/service/write.h"

static bool bad_field(struct dom_write *write, size_t i, enum dom_code code, const char *part,
                      const char *why)
{
    char *path = dom_arena_printf(write->turn.arena, "fields[%zu]%s", i, part);

    dom_write_refuse(write, code, path == NULL ? "fields" : path, why);
    return false;
}

static bool is_duplicate(const struct dom_write *write, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (dom_slice_eq(write->names[k], write->names[i])) {
            return true;
        }
    }
    return false;
}

static bool check_field(struct dom_write *write, size_t i, const Domicile__V1__Field *field)
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

bool dom_write_take_fields(struct dom_write *write, Domicile__V1__Field **fields, size_t num_fields)
{
    struct dom_turn *turn = &write->turn;
    uint64_t total = write->key.id.len; /* as the store counts, or a little more */

    if (num_fields > DOM_FIELDS_MAX) {
        dom_write_refuse(write, DOM_INVALID, "fields", "more than 256 fields");
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
            dom_write_refuse(write, DOM_RESOURCE, NULL, "the request needs too much memory");
            return false;
        }
        (void)domicile__v1__field__pack(fields[i], packed);
        stored[i].name = write->names[i];
        stored[i].value = dom_slice_of(packed, len);
        write->bytes += len;
        total += write->names[i].len + len;
    }
    if (total > DOM_RECORD_BYTES_MAX) {
        dom_write_refuse(write, DOM_INVALID, "fields", "the record is larger than 1 MiB");
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

bool dom_write_check_storable(struct dom_write *write)
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
