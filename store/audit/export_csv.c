/* Exports as CSV (RFC 4180): a header row, CRLF, quotes where they are needed. */
#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/export_format.h"

/* X(column, member of the event): the texts, in the order of the columns. */
#define TEXT_COLUMNS(X)                          \
    X("op", op)                                  \
    X("effect", decision.effect)                 \
    X("reason", decision.reason)                 \
    X("mode", decision.mode)                     \
    X("actor_id", actor.id)                      \
    X("actor_type", actor.type)                  \
    X("actor_entity", actor.entity)              \
    X("actor_country", actor.country)            \
    X("actor_region", actor.region)              \
    X("actor_user", actor.user)                  \
    X("actor_cert_key", actor.cert_key)          \
    X("actor_cert_serial", actor.cert_serial)    \
    X("claim_service", claim.service)            \
    X("claim_country", claim.country)            \
    X("claim_region", claim.region)              \
    X("claim_user", claim.user)                  \
    X("purpose", purpose)                        \
    X("basis_mech", basis.mech)                  \
    X("basis_ref", basis.ref)                    \
    X("basis_assessment", basis.assessment)      \
    X("record_kind", record.kind)                \
    X("record_id", record.id)                    \
    X("record_home", record.home)                \
    X("record_jurisdiction", record.jurisdiction) \
    X("record_region", record.region)            \
    X("transfer_from", transfer.from)            \
    X("transfer_from_region", transfer.from_region) \
    X("transfer_to", transfer.to)                \
    X("transfer_to_region", transfer.to_region)  \
    X("transfer_method", transfer.method)        \
    X("policy_name", policy.name)                \
    X("policy_sha256", policy.sha256)            \
    X("shadow_effect", shadow.effect)            \
    X("shadow_reason", shadow.reason)            \
    X("router_instance", router.instance)        \
    X("router_region", router.region)            \
    X("router_build", router.build)              \
    X("trace", trace)                            \
    X("origin", origin)

#define OTHER_COLUMNS                                                                          \
    ",record_count,record_bytes,policy_version,policy_index,shadow_version,result_code,"       \
    "result_us,rules,fields,replicas,detail"

static bool is_formula(struct dom_slice text)
{
    return text.len > 0 && text.data[0] != 0 && strchr("=+-@\t\r", text.data[0]) != NULL;
}

void dom_csv_field(struct dom_buffer *out, struct dom_slice text)
{
    bool quote = false;

    for (size_t i = 0; i < text.len && !quote; i++) {
        uint8_t c = text.data[i];
        quote = c == '"' || c == ',' || c < 0x20;
    }
    if (quote) {
        dom_buffer_append_char(out, '"');
    }
    if (is_formula(text)) {
        dom_buffer_append_char(out, '\'');
    }
    for (size_t i = 0, from = 0; i < text.len; i++) {
        if (text.data[i] == '"') {
            dom_buffer_append(out, text.data + from, i + 1 - from);
            from = i; /* The quote again, as the first byte of the next piece. */
        }
        if (i + 1 == text.len) {
            dom_buffer_append(out, text.data + from, text.len - from);
        }
    }
    if (quote) {
        dom_buffer_append_char(out, '"');
    }
}

static void csv_header(struct dom_buffer *out)
{
    dom_buffer_append_str(out, "index,leaf_hash,time,type,id");
#define X(column, member) dom_buffer_append_str(out, "," column);
    TEXT_COLUMNS(X)
#undef X
    dom_buffer_append_str(out, OTHER_COLUMNS "\r\n");
}

static void put_text(struct dom_buffer *out, struct dom_slice text)
{
    dom_buffer_append_char(out, ',');
    dom_csv_field(out, text);
}

/* An empty field where the number says nothing. */
static void put_number(struct dom_buffer *out, bool there, int64_t value)
{
    dom_buffer_append_char(out, ',');
    if (there) {
        dom_buffer_printf(out, "%lld", (long long)value);
    }
}

/* Lists lie in one field: items divided by ';', parts of an item by ':' or '='. */
static void put_lists(struct dom_buffer *out, const struct dom_audit_event *e,
                      struct dom_buffer *list)
{
    for (size_t i = 0; i < e->decision.num_rules; i++) {
        dom_buffer_append_str(list, i == 0 ? "" : ";");
        dom_buffer_append_slice(list, e->decision.rules[i]);
    }
    put_text(out, dom_buffer_slice(list));
    dom_buffer_clear(list);
    for (size_t i = 0; i < e->num_fields; i++) {
        dom_buffer_append_str(list, i == 0 ? "" : ";");
        dom_buffer_append_slice(list, e->fields[i].name);
        dom_buffer_append_char(list, ':');
        dom_buffer_append_slice(list, e->fields[i].data_class);
        dom_buffer_append_char(list, ':');
        dom_buffer_append_slice(list, e->fields[i].handling);
    }
    put_text(out, dom_buffer_slice(list));
    dom_buffer_clear(list);
    for (size_t i = 0; i < e->transfer.num_replicas; i++) {
        dom_buffer_append_str(list, i == 0 ? "" : ";");
        dom_buffer_append_slice(list, e->transfer.replicas[i].region);
        dom_buffer_append_char(list, ':');
        dom_buffer_append_slice(list, e->transfer.replicas[i].to);
    }
    put_text(out, dom_buffer_slice(list));
    dom_buffer_clear(list);
    for (size_t i = 0; i < e->num_details; i++) {
        dom_buffer_append_str(list, i == 0 ? "" : ";");
        dom_buffer_append_slice(list, e->details[i].name);
        dom_buffer_append_char(list, '=');
        if (e->details[i].is_integer) {
            dom_buffer_printf(list, "%lld", (long long)e->details[i].integer);
        } else {
            dom_buffer_append_slice(list, e->details[i].text);
        }
    }
    put_text(out, dom_buffer_slice(list));
}

static void csv_row(struct dom_buffer *out, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    struct dom_buffer list = {0};
    char hex[2 * DOM_HASH_SIZE + 1];
    char time[DOM_RFC3339_SIZE];
    char id[DOM_UUID_TEXT_SIZE];
    bool has_record = e->record.kind.len > 0;

    dom_hex_encode(hex, dom_hash_slice(&row->leaf));
    dom_time_format(time, e->time_ms, true);
    dom_audit_uuid_format(id, e->id);
    dom_buffer_printf(out, "%llu,%s,%s,%s,%s", (unsigned long long)row->index, hex, time,
                      dom_audit_type_name(e->type), id);
#define X(column, member) put_text(out, e->member);
    TEXT_COLUMNS(X)
#undef X
    put_number(out, has_record, e->record.count);
    put_number(out, has_record, e->record.bytes);
    put_number(out, e->policy.name.len > 0, e->policy.version);
    put_number(out, e->policy.name.len > 0 && e->policy.index >= 0, e->policy.index);
    put_number(out, e->shadow.effect.len > 0, e->shadow.version);
    put_number(out, e->result.present, e->result.code);
    put_number(out, e->result.present, e->result.us);
    put_lists(out, e, &list);
    dom_buffer_append(out, "\r\n", 2);
    out->failed = out->failed || list.failed;
    dom_buffer_cleanup(&list);
}

const struct dom_export_format dom_export_format_csv = {
    .name = "csv",
    .wants_event = true,
    .quotes = true,
    .index_mark = "",
    .header = csv_header,
    .row = csv_row,
};
