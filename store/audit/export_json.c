#include "store/audit/export_json_internal.h"
#include "store/audit/json_internal.h"

static void put_text(struct dom_buffer *out, struct dom_slice text)
{
    static const char s_hex[] = "0123456789abcdef";
    static const char s_from[] = "\"\\\b\f\n\r\t";
    static const char s_to[] = "\"\\bfnrt";
    const uint8_t *at = text.data;
    const uint8_t *end = text.len == 0 ? at : at + text.len;

    dom_buffer_append_char(out, '"');
    while (at < end) {
        const uint8_t *stop = dom_json_skip_plain(at, end);
        while (stop < end && *stop >= 0x80) {
            stop = dom_json_skip_plain(stop + 1, end); /* The event's texts are UTF-8. */
        }
        dom_buffer_append(out, at, (size_t)(stop - at));
        if (stop < end) {
            const char *known = *stop == 0 ? NULL : strchr(s_from, *stop);
            char escaped[6] = {'\\', 'u', '0', '0', s_hex[*stop >> 4], s_hex[*stop & 0x0F]};
            if (known != NULL) {
                escaped[1] = s_to[known - s_from];
            }
            dom_buffer_append(out, escaped, known != NULL ? 2 : sizeof(escaped));
            stop++;
        }
        at = stop;
    }
    dom_buffer_append_char(out, '"');
}

static void put_name(struct dom_json *json, const char *name)
{
    if (json->more) {
        dom_buffer_append_char(json->out, ',');
    }
    json->more = true;
    if (name != NULL) {
        dom_buffer_append_char(json->out, '"');
        dom_buffer_append_str(json->out, name);
        dom_buffer_append(json->out, "\":", 2);
    }
}

void dom_json_open(struct dom_json *json, const char *name)
{
    put_name(json, name);
    dom_buffer_append_char(json->out, '{');
    json->more = false;
}

void dom_json_close(struct dom_json *json)
{
    dom_buffer_append_char(json->out, '}');
    json->more = true;
}

void dom_json_list(struct dom_json *json, const char *name)
{
    put_name(json, name);
    dom_buffer_append_char(json->out, '[');
    json->more = false;
}

void dom_json_list_end(struct dom_json *json)
{
    dom_buffer_append_char(json->out, ']');
    json->more = true;
}

void dom_json_text(struct dom_json *json, const char *name, struct dom_slice text)
{
    if (text.len > 0) {
        put_name(json, name);
        put_text(json->out, text);
    }
}

void dom_json_str(struct dom_json *json, const char *name, const char *text)
{
    dom_json_text(json, name, dom_slice_str(text));
}

void dom_json_integer(struct dom_json *json, const char *name, int64_t value)
{
    put_name(json, name);
    dom_buffer_printf(json->out, "%lld", (long long)value);
}

/* ---- what no schema names ------------------------------------------------------------------- */

static void put_fields(struct dom_json *json, const struct dom_audit_event *e)
{
    dom_json_list(json, "fields");
    for (size_t i = 0; i < e->num_fields; i++) {
        dom_json_open(json, NULL);
        dom_json_text(json, "class", e->fields[i].data_class);
        dom_json_text(json, "handling", e->fields[i].handling);
        dom_json_text(json, "name", e->fields[i].name);
        dom_json_close(json);
    }
    dom_json_list_end(json);
}

static void put_details(struct dom_json *json, const struct dom_audit_event *e)
{
    dom_json_open(json, "detail");
    for (size_t i = 0; i < e->num_details; i++) {
        char name[DOM_POLICY_NAME_BYTES_MAX];
        const struct dom_audit_detail *d = &e->details[i];
        if (!dom_slice_to_cstr(d->name, name, sizeof(name))) {
            continue; /* over 127 characters: no event of ours has one */
        }
        if (d->is_integer) {
            dom_json_integer(json, name, d->integer);
        } else {
            dom_json_text(json, name, d->text);
        }
    }
    dom_json_close(json);
}

static void put_transfer(struct dom_json *json, const struct dom_audit_transfer *t)
{
    dom_json_open(json, "transfer");
    dom_json_text(json, "from", t->from);
    dom_json_text(json, "from_region", t->from_region);
    dom_json_text(json, "method", t->method);
    if (t->num_replicas > 0) {
        dom_json_list(json, "replicas");
        for (size_t i = 0; i < t->num_replicas; i++) {
            dom_json_open(json, NULL);
            dom_json_text(json, "basis", t->replicas[i].basis);
            dom_json_text(json, "region", t->replicas[i].region);
            dom_json_text(json, "to", t->replicas[i].to);
            dom_json_close(json);
        }
        dom_json_list_end(json);
    }
    dom_json_text(json, "to", t->to);
    dom_json_text(json, "to_region", t->to_region);
    dom_json_close(json);
}

static void put_record(struct dom_json *json, const struct dom_audit_record *r)
{
    dom_json_open(json, "record");
    dom_json_integer(json, "bytes", r->bytes);
    dom_json_integer(json, "count", r->count);
    dom_json_text(json, "home", r->home);
    dom_json_text(json, "id", r->id);
    dom_json_text(json, "jurisdiction", r->jurisdiction);
    dom_json_text(json, "kind", r->kind);
    dom_json_text(json, "region", r->region);
    dom_json_close(json);
}

static void put_shadow(struct dom_json *json, const struct dom_audit_shadow *s)
{
    dom_json_open(json, "shadow");
    dom_json_text(json, "effect", s->effect);
    dom_json_text(json, "reason", s->reason);
    dom_json_list(json, "rules");
    for (size_t i = 0; i < s->num_rules; i++) {
        dom_json_text(json, NULL, s->rules[i]);
    }
    dom_json_list_end(json);
    dom_json_integer(json, "version", s->version);
    dom_json_close(json);
}

static void put_grounds(struct dom_json *json, const struct dom_audit_event *e)
{
    if (e->basis.mech.len + e->basis.ref.len + e->basis.assessment.len > 0) {
        dom_json_open(json, "basis");
        dom_json_text(json, "assessment", e->basis.assessment);
        dom_json_text(json, "mech", e->basis.mech);
        dom_json_text(json, "ref", e->basis.ref);
        dom_json_close(json);
    }
    if (e->actor.cert_key.len > 0) {
        dom_json_open(json, "cert");
        dom_json_text(json, "key", e->actor.cert_key);
        dom_json_text(json, "serial", e->actor.cert_serial);
        dom_json_close(json);
    }
    if (e->claim.country.len + e->claim.region.len + e->claim.service.len + e->claim.user.len >
        0) {
        dom_json_open(json, "claim");
        dom_json_text(json, "country", e->claim.country);
        dom_json_text(json, "region", e->claim.region);
        dom_json_text(json, "service", e->claim.service);
        dom_json_text(json, "user", e->claim.user);
        dom_json_close(json);
    }
}

void dom_json_rest(struct dom_json *json, const struct dom_audit_event *event)
{
    put_grounds(json, event);
    if (event->num_details > 0) {
        put_details(json, event);
    }
    if (event->num_fields > 0) {
        put_fields(json, event);
    }
    dom_json_text(json, "mode", event->decision.mode);
    dom_json_text(json, "purpose", event->purpose);
    if (event->record.kind.len > 0) {
        put_record(json, &event->record);
    }
    if (event->shadow.effect.len > 0) {
        put_shadow(json, &event->shadow);
    }
    if (event->transfer.from.len + event->transfer.to.len + event->transfer.num_replicas > 0) {
        put_transfer(json, &event->transfer);
    }
}

bool dom_is_country(struct dom_slice text)
{
    return text.len == 2 && text.data[0] >= 'A' && text.data[0] <= 'Z' && text.data[1] >= 'A' &&
           text.data[1] <= 'Z';
}

bool dom_is_reading(const struct dom_audit_event *event)
{
    return dom_slice_eq_str(event->op, "read") || dom_slice_eq_str(event->op, "query") ||
           dom_slice_eq_str(event->op, "list");
}
