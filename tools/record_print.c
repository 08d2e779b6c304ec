#include "tools/record_print.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/macros.h"

static struct dom_slice slice(ProtobufCBinaryData data)
{
    return dom_slice_of(data.data, data.len);
}

/* Text that is valid UTF-8 by the router's promise; anything else becomes null. */
static json_t *text(ProtobufCBinaryData data)
{
    json_t *out = json_stringn((const char *)data.data, data.len);

    return out == NULL ? json_null() : out;
}

static json_t *base64(ProtobufCBinaryData data)
{
    char *out = malloc(DOM_BASE64_LEN(data.len) + 1);
    json_t *json = json_null();

    if (out != NULL) {
        (void)dom_base64_encode(out, slice(data));
        json = json_string(out);
    }
    free(out);
    return json;
}

static json_t *value(const Domicile__V1__Field *field)
{
    switch (field->value_case) {
    case DOMICILE__V1__FIELD__VALUE_TEXT:
        return text(field->text);
    case DOMICILE__V1__FIELD__VALUE_DATA:
        return json_pack("{s:o}", "base64", base64(field->data));
    case DOMICILE__V1__FIELD__VALUE_INTEGER:
        return json_integer(field->integer);
    case DOMICILE__V1__FIELD__VALUE_REAL:
        return json_real(field->real);
    case DOMICILE__V1__FIELD__VALUE_FLAG:
        return json_boolean(field->flag);
    case DOMICILE__V1__FIELD__VALUE__NOT_SET:
    case _DOMICILE__V1__FIELD__VALUE__CASE_IS_INT_SIZE:
        break;
    }
    return json_null();
}

static const char *effect_name(Domicile__V1__Effect effect)
{
    static const char *const names[] = {"unspecified", "allow", "modify", "deny"};

    return (size_t)effect < DOM_ARRAY_LEN(names) ? names[effect] : "unknown";
}

static const char *handling_name(Domicile__V1__Handling handling)
{
    static const char *const names[] = {"unspecified", "redacted", "pseudonymised", "withheld"};

    return (size_t)handling < DOM_ARRAY_LEN(names) ? names[handling] : "unknown";
}

static json_t *texts(const ProtobufCBinaryData *items, size_t num)
{
    json_t *out = json_array();

    for (size_t i = 0; i < num; i++) {
        (void)json_array_append_new(out, text(items[i]));
    }
    return out;
}

static json_t *decision(const Domicile__V1__Decision *d)
{
    if (d == NULL) {
        return json_null();
    }
    json_t *handled = json_array();
    for (size_t i = 0; i < d->n_handled; i++) {
        const Domicile__V1__HandledField *h = d->handled[i];
        (void)json_array_append_new(
            handled, json_pack("{s:o,s:o,s:s,s:o,s:o}", "field", text(h->field), "data_class",
                               text(h->data_class), "handling", handling_name(h->handling),
                               "reason", text(h->reason), "rule", text(h->rule)));
    }
    return json_pack("{s:s,s:o,s:o,s:I,s:o,s:b,s:o,s:o,s:I}", "effect", effect_name(d->effect),
                     "rules", texts(d->rules, d->n_rules), "policy_name", text(d->policy_name),
                     "policy_version", (json_int_t)d->policy_version, "served_region",
                     text(d->served_region), "cross_border", d->cross_border != 0, "handled",
                     handled, "bases", texts(d->bases, d->n_bases), "ask_again_in_ms",
                     (json_int_t)d->ask_again_in_ms);
}

static json_t *receipt(const Domicile__V1__Receipt *r)
{
    if (r == NULL) {
        return json_null();
    }
    return json_pack("{s:o,s:I,s:o}", "origin", text(r->origin), "index", (json_int_t)r->index,
                     "leaf_hash", base64(r->leaf_hash));
}

static json_t *record(const Domicile__V1__Record *r)
{
    json_t *fields = json_object();

    for (size_t i = 0; i < r->n_fields; i++) {
        char name[80];
        (void)snprintf(name, sizeof(name), "%.*s", (int)r->fields[i]->name.len,
                       (const char *)r->fields[i]->name.data);
        (void)json_object_set_new(fields, name, value(r->fields[i]));
    }
    return json_pack("{s:o,s:o,s:o,s:I,s:o,s:I,s:I}", "kind", text(r->kind), "id", text(r->id),
                     "home", text(r->home), "version", (json_int_t)r->version, "fields", fields,
                     "create_time_ms", (json_int_t)r->create_time_ms, "update_time_ms",
                     (json_int_t)r->update_time_ms);
}

/* Prints and drops the document. */
static void print_json(json_t *json)
{
    char *out = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);

    (void)puts(out == NULL ? "null" : out);
    free(out);
    json_decref(json);
}

static void print_data(const char *label, ProtobufCBinaryData data)
{
    (void)printf("%s%.*s", label, (int)data.len, (const char *)data.data);
}

static void print_decision(const Domicile__V1__Decision *d, const Domicile__V1__Receipt *r)
{
    if (d == NULL) {
        return;
    }
    (void)printf("decision: %s, %s", effect_name(d->effect),
                 d->cross_border ? "across a border" : "no border crossed");
    print_data(", served from ", d->served_region);
    print_data(", policy ", d->policy_name);
    (void)printf(" %" PRId64 "\n", d->policy_version);
    for (size_t i = 0; i < d->n_rules; i++) {
        print_data("rule:     ", d->rules[i]);
        (void)putchar('\n');
    }
    for (size_t i = 0; i < d->n_bases; i++) {
        print_data("basis:    ", d->bases[i]);
        (void)putchar('\n');
    }
    for (size_t i = 0; i < d->n_handled; i++) {
        print_data("handled:  ", d->handled[i]->field);
        (void)printf(" %s", handling_name(d->handled[i]->handling));
        print_data(" (", d->handled[i]->data_class);
        print_data(", ", d->handled[i]->reason);
        if (d->handled[i]->rule.len > 0) {
            print_data(", rule ", d->handled[i]->rule);
        }
        (void)puts(")");
    }
    if (r != NULL) {
        char hash[65] = "";
        if (r->leaf_hash.len == 32) {
            dom_hex_encode(hash, slice(r->leaf_hash));
        }
        print_data("receipt:  ", r->origin);
        (void)printf(" index %" PRIu64 " leaf %s\n", r->index, hash);
    }
}

static void print_record(const Domicile__V1__Record *r)
{
    print_data("", r->kind);
    print_data(" ", r->id);
    print_data(" at home in ", r->home);
    (void)printf(", version %" PRIu64 "\n", r->version);
    for (size_t i = 0; i < r->n_fields; i++) {
        json_t *json = value(r->fields[i]);
        char *out = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
        print_data("  ", r->fields[i]->name);
        (void)printf(" = %s\n", out == NULL ? "?" : out);
        free(out);
        json_decref(json);
    }
}

void dom_print_put(const Domicile__V1__PutRecordResponse *response, bool json)
{
    json_t *parts = json_array();

    for (size_t i = 0; i < response->n_parts; i++) {
        const Domicile__V1__Part *part = response->parts[i];
        (void)json_array_append_new(
            parts, json_pack("{s:o,s:o}", "region", text(part->region), "data_classes",
                             texts(part->data_classes, part->n_data_classes)));
    }
    if (json) {
        print_json(json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:b}", "version",
                             (json_int_t)response->version, "home", text(response->home),
                             "home_region", text(response->home_region), "parts", parts,
                             "decision", decision(response->decision), "receipt",
                             receipt(response->receipt), "replayed", response->replayed != 0));
        return;
    }
    json_decref(parts);
    (void)printf("version %" PRIu64 "%s", response->version,
                 response->replayed ? " (answer of an earlier request)" : "");
    print_data(", home ", response->home);
    print_data(", committed in ", response->home_region);
    (void)putchar('\n');
    for (size_t i = 0; i < response->n_parts; i++) {
        print_data("part:     ", response->parts[i]->region);
        for (size_t k = 0; k < response->parts[i]->n_data_classes; k++) {
            print_data(" ", response->parts[i]->data_classes[k]);
        }
        (void)putchar('\n');
    }
    print_decision(response->decision, response->receipt);
}

void dom_print_get(const Domicile__V1__GetRecordResponse *response, bool json)
{
    if (response->record == NULL) {
        return;
    }
    if (json) {
        print_json(json_pack("{s:o,s:o,s:o}", "record", record(response->record), "decision",
                             decision(response->decision), "receipt", receipt(response->receipt)));
        return;
    }
    print_record(response->record);
    print_decision(response->decision, response->receipt);
}

void dom_print_delete(const Domicile__V1__DeleteRecordResponse *response, bool json)
{
    if (json) {
        print_json(json_pack("{s:I,s:o,s:o,s:b}", "version", (json_int_t)response->version,
                             "decision", decision(response->decision), "receipt",
                             receipt(response->receipt), "replayed", response->replayed != 0));
        return;
    }
    (void)printf("deleted, tombstone version %" PRIu64 "\n", response->version);
    print_decision(response->decision, response->receipt);
}

void dom_print_page(const Domicile__V1__ListRecordsResponse *response, bool json)
{
    for (size_t i = 0; i < response->n_records; i++) {
        if (json) {
            print_json(record(response->records[i]));
        } else {
            print_record(response->records[i]);
        }
    }
    if (!json && response->receipt != NULL) {
        print_decision(response->decision, response->receipt);
    }
}
