/* Exports as CloudEvents 1.0 in JSON: the entry's exact bytes are the data. */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/export_format.h"
#include "store/audit/export_json_internal.h"

#define DATA_MARK ",\"data\":"

/* `source` is a URI reference: bytes that RFC 3986 does not let stand are percent-encoded. */
static void put_uri(struct dom_buffer *out, struct dom_slice text)
{
    static const char s_kept[] = "-._~/!$&'()*,;=@:";

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != 0 && strchr(s_kept, c) != NULL);
        if (plain) {
            dom_buffer_append_char(out, (char)c);
        } else {
            dom_buffer_printf(out, "%%%02X", (unsigned)c);
        }
    }
}

static void put_traceparent(struct dom_json *json, const struct dom_audit_event *e)
{
    char parent[2 + 1 + 32 + 1 + 16 + 1 + 2 + 1];

    /* W3C Trace Context: the event itself is the span that the identifier names. */
    if (e->trace.len == 32) {
        char span[17];
        dom_hex_encode(span, dom_slice_of(e->id + 8, 8));
        (void)snprintf(parent, sizeof(parent), "00-%.32s-%s-00", (const char *)e->trace.data,
                       span);
        dom_json_str(json, "traceparent", parent);
    }
}

static void cloudevents_row(struct dom_buffer *out, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    struct dom_json json = {.out = out};
    struct dom_buffer source = {0};
    char hex[2 * DOM_HASH_SIZE + 1];
    char time[DOM_RFC3339_SIZE];
    char id[DOM_UUID_TEXT_SIZE];
    char text[64];

    dom_hex_encode(hex, dom_hash_slice(&row->leaf));
    dom_time_format(time, e->time_ms, true);
    dom_audit_uuid_format(id, e->id);
    put_uri(&source, e->origin);
    dom_json_open(&json, NULL);
    dom_json_str(&json, "specversion", "1.0");
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)row->index);
    dom_json_str(&json, "sequence", text);
    dom_json_str(&json, "id", id);
    dom_json_text(&json, "source", dom_buffer_slice(&source));
    (void)snprintf(text, sizeof(text), "residency.%s.v1", dom_audit_type_name(e->type));
    dom_json_str(&json, "type", text);
    dom_json_str(&json, "time", time);
    dom_json_text(&json, "subject", e->record.id);
    put_traceparent(&json, e);
    dom_json_str(&json, "leafhash", hex);
    dom_json_str(&json, "datacontenttype", "application/json");
    dom_buffer_append_str(out, DATA_MARK);
    dom_buffer_append_slice(out, row->entry);
    dom_buffer_append_str(out, "}\n");
    out->failed = out->failed || source.failed;
    dom_buffer_cleanup(&source);
}

/* The data is the last member; nothing in front of it can hold an unescaped quote. */
static bool cloudevents_entry(struct dom_slice row, struct dom_slice *entry)
{
    const size_t len = sizeof(DATA_MARK) - 1;

    for (size_t at = 0; at + len + 2 <= row.len; at++) {
        if (memcmp(row.data + at, DATA_MARK, len) == 0) {
            *entry = dom_slice_of(row.data + at + len, row.len - at - len - 2);
            return true;
        }
    }
    return false;
}

const struct dom_export_format dom_export_format_cloudevents = {
    .name = "cloudevents",
    .wants_event = true,
    .index_mark = "\"sequence\":\"",
    .row = cloudevents_row,
    .entry = cloudevents_entry,
};
