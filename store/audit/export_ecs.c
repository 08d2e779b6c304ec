/* Exports in the Elastic Common Schema 8.11. Whether something was allowed stands in event.type
 * and event.action; event.outcome tells how a permitted operation ended. */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/export_format.h"
#include "store/audit/export_json_internal.h"

#define ECS_VERSION "8.11.0"

struct ecs_kind {
    const char *category[2];
    const char *type[2];
};

static struct ecs_kind kind_of(const struct dom_audit_event *e)
{
    bool reading = dom_is_reading(e);

    switch (e->type) {
        case DOM_AUDIT_ACCESS:
            return (struct ecs_kind){{"database", "network"},
                                     {reading ? "access" : "change", "allowed"}};
        case DOM_AUDIT_DENY:
            return (struct ecs_kind){{"database", "network"},
                                     {reading ? "access" : "change", "denied"}};
        case DOM_AUDIT_POLICY:
        case DOM_AUDIT_ROLLOUT:
        case DOM_AUDIT_KEY:
        case DOM_AUDIT_HOLD:
            return (struct ecs_kind){{"configuration", NULL}, {"change", NULL}};
        case DOM_AUDIT_EXPORT:
            return (struct ecs_kind){{"database", NULL}, {"access", NULL}};
        case DOM_AUDIT_ERASURE:
        case DOM_AUDIT_PURGE:
        case DOM_AUDIT_PLACEMENT:
            return (struct ecs_kind){{"database", NULL}, {"change", NULL}};
        case DOM_AUDIT_SINK:
        case DOM_AUDIT_MIRROR:
            return (struct ecs_kind){{"host", NULL}, {"info", NULL}};
        case DOM_AUDIT_GENESIS:
            return (struct ecs_kind){{"host", NULL}, {"start", NULL}};
    }
    return (struct ecs_kind){{"host", NULL}, {"info", NULL}};
}

static void put_words(struct dom_json *json, const char *name, const char *const *words)
{
    dom_json_list(json, name);
    for (size_t i = 0; i < 2 && words[i] != NULL; i++) {
        dom_json_str(json, NULL, words[i]);
    }
    dom_json_list_end(json);
}

static void put_action(struct dom_json *json, const struct dom_audit_event *e)
{
    char action[64];

    if (e->type == DOM_AUDIT_ACCESS || e->type == DOM_AUDIT_DENY) {
        (void)snprintf(action, sizeof(action), "record-%.*s-%s", (int)e->op.len,
                       (const char *)e->op.data,
                       e->type == DOM_AUDIT_DENY ? "denied" : "allowed");
        dom_json_str(json, "action", action);
    } else {
        dom_json_str(json, "action", dom_audit_type_name(e->type));
    }
}

/* The first object of a row, so that its sequence is found at once. */
static void put_event(struct dom_json *json, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    struct ecs_kind kind = kind_of(e);
    char hex[2 * DOM_HASH_SIZE + 1];
    char id[DOM_UUID_TEXT_SIZE];

    dom_hex_encode(hex, dom_hash_slice(&row->leaf));
    dom_audit_uuid_format(id, e->id);
    dom_json_open(json, "event");
    dom_json_integer(json, "sequence", (int64_t)row->index);
    dom_json_str(json, "id", id);
    dom_json_str(json, "hash", hex);
    dom_json_str(json, "kind", "event");
    put_words(json, "category", kind.category);
    put_words(json, "type", kind.type);
    put_action(json, e);
    if (e->type != DOM_AUDIT_DENY && e->result.present) {
        dom_json_str(json, "outcome", e->result.code == 0 ? "success" : "failure");
    }
    dom_json_text(json, "reason", e->decision.reason);
    if (e->result.present && e->result.us <= DOM_AUDIT_INTEGER_MAX / 1000) {
        dom_json_integer(json, "duration", e->result.us * 1000);
    }
    dom_json_str(json, "module", "domicile");
    dom_json_str(json, "dataset", "domicile.audit");
    dom_json_text(json, "provider", e->origin);
    dom_json_close(json);
}

static void put_place(struct dom_json *json, const char *name, struct dom_slice country,
                      struct dom_slice region, int64_t bytes)
{
    if (country.len + region.len == 0) {
        return;
    }
    dom_json_open(json, name);
    if (bytes > 0) {
        dom_json_integer(json, "bytes", bytes);
    }
    dom_json_open(json, "geo");
    if (dom_is_country(country)) {
        dom_json_text(json, "country_iso_code", country);
    } else {
        dom_json_text(json, "country_name", country);
    }
    dom_json_text(json, "name", region);
    dom_json_close(json);
    dom_json_close(json);
}

static void put_who(struct dom_json *json, const struct dom_audit_event *e)
{
    if (e->actor.id.len + e->actor.user.len > 0) {
        dom_json_open(json, "user");
        dom_json_text(json, "name", e->actor.id);
        dom_json_text(json, "id", e->actor.user);
        dom_json_close(json);
    }
    if (e->actor.cert_serial.len > 0) {
        dom_json_open(json, "tls");
        dom_json_open(json, "client");
        dom_json_open(json, "x509");
        dom_json_text(json, "serial_number", e->actor.cert_serial);
        dom_json_close(json);
        dom_json_close(json);
        dom_json_close(json);
    }
    if (e->actor.entity.len > 0) {
        dom_json_open(json, "organization");
        dom_json_text(json, "name", e->actor.entity);
        dom_json_close(json);
    }
    dom_json_open(json, "observer");
    dom_json_str(json, "vendor", "Domicile");
    dom_json_str(json, "product", "Domicile");
    dom_json_str(json, "type", "router");
    dom_json_text(json, "name", e->router.instance);
    dom_json_text(json, "version", e->router.build);
    if (e->router.region.len > 0) {
        dom_json_open(json, "geo");
        dom_json_text(json, "name", e->router.region);
        dom_json_close(json);
    }
    dom_json_close(json);
}

static void put_rule(struct dom_json *json, const struct dom_audit_event *e)
{
    char version[24];

    if (e->policy.name.len == 0 && e->decision.num_rules == 0) {
        return;
    }
    dom_json_open(json, "rule");
    if (e->decision.num_rules > 0) {
        dom_json_list(json, "name");
        for (size_t i = 0; i < e->decision.num_rules; i++) {
            dom_json_text(json, NULL, e->decision.rules[i]);
        }
        dom_json_list_end(json);
    }
    if (e->policy.name.len > 0) {
        (void)snprintf(version, sizeof(version), "%lld", (long long)e->policy.version);
        dom_json_text(json, "ruleset", e->policy.name);
        dom_json_text(json, "uuid", e->policy.sha256);
        dom_json_str(json, "version", version);
    }
    dom_json_close(json);
}

static void ecs_row(struct dom_buffer *out, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    struct dom_json json = {.out = out};
    char time[DOM_RFC3339_SIZE];

    dom_time_format(time, e->time_ms, true);
    dom_json_open(&json, NULL);
    dom_json_str(&json, "@timestamp", time);
    dom_json_open(&json, "ecs");
    dom_json_str(&json, "version", ECS_VERSION);
    dom_json_close(&json);
    put_event(&json, row);
    if (e->trace.len > 0) {
        dom_json_open(&json, "trace");
        dom_json_text(&json, "id", e->trace);
        dom_json_close(&json);
    }
    put_place(&json, "source", e->transfer.from, e->transfer.from_region, e->record.bytes);
    put_place(&json, "destination", e->transfer.to, e->transfer.to_region, 0);
    put_who(&json, e);
    put_rule(&json, e);
    dom_json_open(&json, "domicile");
    dom_json_str(&json, "type", dom_audit_type_name(e->type));
    dom_json_text(&json, "effect", e->decision.effect);
    if (e->actor.country.len + e->actor.region.len + e->actor.type.len > 0) {
        dom_json_open(&json, "actor");
        dom_json_text(&json, "country", e->actor.country);
        dom_json_text(&json, "region", e->actor.region);
        dom_json_text(&json, "type", e->actor.type);
        dom_json_close(&json);
    }
    dom_json_rest(&json, e);
    dom_json_close(&json);
    dom_json_close(&json);
    dom_buffer_append_char(out, '\n');
}

const struct dom_export_format dom_export_format_ecs = {
    .name = "ecs",
    .wants_event = true,
    .index_mark = "\"sequence\":",
    .row = ecs_row,
};
