/* Exports in the Common Event Format, version 0. In the header `|` and `\` are escaped, in values
 * `\`, `=` and line ends; CEF has no way to write other control characters: they become spaces. */
#include "base/encode.h"
#include "store/audit/export_format.h"
#include "store/audit/export_json_internal.h"

static void put_header(struct dom_buffer *out, struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        if (c == '|' || c == '\\') {
            dom_buffer_append_char(out, '\\');
        }
        dom_buffer_append_char(out, text.data[i] < 0x20 || text.data[i] == 0x7F ? ' ' : c);
    }
}

static void put_value(struct dom_buffer *out, struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        if (c == '\n' || c == '\r') {
            dom_buffer_append_str(out, c == '\n' ? "\\n" : "\\r");
            continue;
        }
        if (c == '=' || c == '\\') {
            dom_buffer_append_char(out, '\\');
        }
        dom_buffer_append_char(out, text.data[i] < 0x20 || text.data[i] == 0x7F ? ' ' : c);
    }
}

/* A key with its text; left out when that is empty. */
static void put_text(struct dom_buffer *out, const char *key, struct dom_slice text)
{
    if (text.len > 0) {
        dom_buffer_printf(out, " %s=", key);
        put_value(out, text);
    }
}

/* A key of the producer's own use, with the label that says what it is. */
static void put_custom(struct dom_buffer *out, const char *key, const char *label,
                       struct dom_slice text)
{
    if (text.len > 0) {
        dom_buffer_printf(out, " %sLabel=%s", key, label);
        put_text(out, key, text);
    }
}

static void put_rules(struct dom_buffer *out, const struct dom_audit_event *e)
{
    for (size_t i = 0; i < e->decision.num_rules; i++) {
        dom_buffer_append_str(out, i == 0 ? " cs2Label=rules cs2=" : ",");
        put_value(out, e->decision.rules[i]);
    }
}

static void put_fields(struct dom_buffer *out, const struct dom_audit_event *e)
{
    for (size_t i = 0; i < e->num_fields; i++) {
        dom_buffer_append_str(out, i == 0 ? " cs5Label=fields cs5=" : ",");
        put_value(out, e->fields[i].name);
        dom_buffer_append_char(out, ':');
        put_value(out, e->fields[i].data_class);
        dom_buffer_append_char(out, ':');
        put_value(out, e->fields[i].handling);
    }
}

static void put_details(struct dom_buffer *out, const struct dom_audit_event *e)
{
    for (size_t i = 0; i < e->num_details; i++) {
        dom_buffer_append_str(out, i == 0 ? " msg=" : "; ");
        put_value(out, e->details[i].name);
        dom_buffer_append_str(out, "\\=");
        if (e->details[i].is_integer) {
            dom_buffer_printf(out, "%lld", (long long)e->details[i].integer);
        } else {
            put_value(out, e->details[i].text);
        }
    }
}

static void put_request(struct dom_buffer *out, const struct dom_audit_event *e)
{
    put_text(out, "act", e->decision.effect);
    put_text(out, "reason", e->decision.reason);
    put_text(out, "sourceServiceName", e->actor.id);
    put_text(out, "sntdom", e->actor.entity);
    put_text(out, "suid", e->actor.user);
    put_text(out, "sourceZoneExternalID", e->transfer.from_region);
    put_text(out, "destinationZoneExternalID", e->transfer.to_region);
    put_text(out, "fileType", e->record.kind);
    put_text(out, "fileId", e->record.id);
    if (e->record.kind.len > 0) {
        dom_buffer_printf(out, " cnt=%lld %s=%lld", (long long)e->record.count,
                          dom_is_reading(e) ? "out" : "in", (long long)e->record.bytes);
    }
    if (e->result.present) {
        dom_buffer_printf(out, " cn3Label=grpcStatus cn3=%lld", (long long)e->result.code);
    }
    put_text(out, "requestContext", e->trace);
    put_custom(out, "flexString1", "fromCountry", e->transfer.from);
    put_custom(out, "flexString2", "toCountry", e->transfer.to);
}

static void cef_row(struct dom_buffer *out, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    char hex[2 * DOM_HASH_SIZE + 1];
    char id[DOM_UUID_TEXT_SIZE];
    const char *type = dom_audit_type_name(e->type);

    dom_hex_encode(hex, dom_hash_slice(&row->leaf));
    dom_audit_uuid_format(id, e->id);
    dom_buffer_printf(out, "CEF:0|Domicile|domicile|%d|%s|%s", DOM_AUDIT_VERSION, type, type);
    if (e->op.len > 0) {
        dom_buffer_append_char(out, ' ');
        put_header(out, e->op);
    }
    if (e->record.kind.len > 0) {
        dom_buffer_append_char(out, ' ');
        put_header(out, e->record.kind);
    }
    /* The index comes first behind the header: behind it every '=' is escaped,
     * so that no value can look like it. */
    dom_buffer_printf(out, "|%d|cn1=%llu cn1Label=index rt=%lld externalId=%s",
                      e->type == DOM_AUDIT_DENY ? 6 : 2, (unsigned long long)row->index,
                      (long long)e->time_ms, id);
    put_text(out, "deviceExternalId", e->origin);
    put_text(out, "dvchost", e->router.instance);
    put_text(out, "deviceFacility", e->router.region);
    put_request(out, e);
    put_custom(out, "cs1", "purpose", e->purpose);
    put_rules(out, e);
    if (e->policy.name.len > 0) {
        put_custom(out, "cs3", "policy", e->policy.name);
        dom_buffer_printf(out, " cn2Label=policyVersion cn2=%lld", (long long)e->policy.version);
    }
    put_custom(out, "cs4", "basis", e->basis.ref.len > 0 ? e->basis.ref : e->basis.mech);
    put_fields(out, e);
    put_details(out, e);
    put_custom(out, "cs6", "leafHash", dom_slice_str(hex));
    dom_buffer_append_char(out, '\n');
}

const struct dom_export_format dom_export_format_cef = {
    .name = "cef",
    .wants_event = true,
    .index_mark = "|cn1=",
    .index_last = true, /* a kind may hold the same, escaped or not: it comes before */
    .row = cef_row,
};
