/* The parser, for tools: jansson reads the tree, tables say where each member goes, and encoding
 * the result must give the same bytes. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/encode.h"
#include "store/audit/event.h"
#include "store/audit/scan.h"

#define ARENA_BYTES_MAX (1U << 20)

/* Where one member goes: exactly one of the two is set. */
struct slot {
    const char *name;
    struct dom_slice *text;
    int64_t *integer;
};

struct parser {
    struct dom_audit_event_doc *doc;
    struct dom_error *err;
};

static struct dom_slice text_of(const json_t *value)
{
    return dom_slice_of(json_string_value(value), json_string_length(value));
}

/* Puts a scalar into its slot. `object` is "actor." and so on. */
static enum dom_code fill_slot(struct parser *p, const struct slot *slot, const char *object,
                               const json_t *value)
{
    if (slot->text != NULL) {
        if (!json_is_string(value) || json_string_length(value) == 0) {
            return DOM_FAIL(p->err, DOM_INVALID, "%s%s: a text that is not empty is wanted", object,
                            slot->name);
        }
        *slot->text = text_of(value);
        return DOM_OK;
    }
    if (!json_is_integer(value)) {
        return DOM_FAIL(p->err, DOM_INVALID, "%s%s: an integer is wanted", object, slot->name);
    }
    *slot->integer = json_integer_value(value);
    return DOM_OK;
}

static const struct slot *find_slot(const struct slot *slots, size_t num_slots, const char *name)
{
    for (size_t i = 0; i < num_slots; i++) {
        if (strcmp(slots[i].name, name) == 0) {
            return &slots[i];
        }
    }
    return NULL;
}

/* Reads an object of scalars; members named in `skip` (may be NULL) are left to the caller. */
static enum dom_code fill_object(struct parser *p, json_t *object, const char *path,
                                 const struct slot *slots, size_t num_slots, const char *skip)
{
    const char *name = NULL;
    json_t *value = NULL;

    if (!json_is_object(object) || json_object_size(object) == 0) {
        return DOM_FAIL(p->err, DOM_INVALID, "%.*s: an object that is not empty is wanted",
                        (int)(strlen(path) - 1), path);
    }
    json_object_foreach (object, name, value) {
        if (skip != NULL && strcmp(name, skip) == 0) {
            continue;
        }
        const struct slot *slot = find_slot(slots, num_slots, name);
        if (slot == NULL) {
            return DOM_FAIL(p->err, DOM_INVALID, "%s%s: unknown member", path, name);
        }
        enum dom_code rc = fill_slot(p, slot, path, value);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    return DOM_OK;
}

/* Memory for `count` items out of the document's arena. */
static void *list_of(struct parser *p, size_t count, size_t size)
{
    return dom_arena_calloc(&p->doc->arena, count, size);
}

static enum dom_code check_list(struct parser *p, const json_t *array, size_t count_max,
                                const char *path)
{
    if (!json_is_array(array) || json_array_size(array) == 0 ||
        json_array_size(array) > count_max) {
        return DOM_FAIL(p->err, DOM_INVALID, "%s: a list of 1 to %zu items is wanted", path,
                        count_max);
    }
    return DOM_OK;
}

static enum dom_code fill_rules(struct parser *p, const json_t *array, const char *path,
                                const struct dom_slice **rules, size_t *num_rules)
{
    if (array == NULL) {
        return DOM_OK;
    }
    enum dom_code rc = check_list(p, array, DOM_AUDIT_RULES_MAX, path);
    if (rc != DOM_OK) {
        return rc;
    }
    size_t count = json_array_size(array);
    struct dom_slice *texts = list_of(p, count, sizeof(*texts));
    if (texts == NULL) {
        return DOM_FAIL(p->err, DOM_RESOURCE, "%s: out of memory", path);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_string(value)) {
            return DOM_FAIL(p->err, DOM_INVALID, "%s[%zu]: a text is wanted", path, i);
        }
        texts[i] = text_of(value);
    }
    *rules = texts;
    *num_rules = count;
    return DOM_OK;
}

static enum dom_code fill_fields(struct parser *p, json_t *array)
{
    struct dom_audit_event *e = &p->doc->event;
    char path[64];

    enum dom_code rc = check_list(p, array, DOM_FIELDS_MAX, "fields");
    if (rc != DOM_OK) {
        return rc;
    }
    size_t count = json_array_size(array);
    struct dom_audit_field *fields = list_of(p, count, sizeof(*fields));
    if (fields == NULL) {
        return DOM_FAIL(p->err, DOM_RESOURCE, "fields: out of memory");
    }
    for (size_t i = 0; i < count && rc == DOM_OK; i++) {
        const struct slot slots[] = {
            {"c", &fields[i].data_class, NULL},
            {"h", &fields[i].handling, NULL},
            {"n", &fields[i].name, NULL},
        };
        (void)snprintf(path, sizeof(path), "fields[%zu].", i);
        rc = fill_object(p, json_array_get(array, i), path, slots, DOM_ARRAY_LEN(slots), NULL);
    }
    e->fields = fields;
    e->num_fields = count;
    return rc;
}

static enum dom_code fill_replicas(struct parser *p, const json_t *array)
{
    struct dom_audit_transfer *t = &p->doc->event.transfer;
    char path[64];

    if (array == NULL) {
        return DOM_OK;
    }
    enum dom_code rc = check_list(p, array, DOM_AUDIT_REPLICAS_MAX, "transfer.replicas");
    if (rc != DOM_OK) {
        return rc;
    }
    size_t count = json_array_size(array);
    struct dom_audit_replica *replicas = list_of(p, count, sizeof(*replicas));
    if (replicas == NULL) {
        return DOM_FAIL(p->err, DOM_RESOURCE, "transfer.replicas: out of memory");
    }
    for (size_t i = 0; i < count && rc == DOM_OK; i++) {
        const struct slot slots[] = {
            {"basis", &replicas[i].basis, NULL},
            {"region", &replicas[i].region, NULL},
            {"to", &replicas[i].to, NULL},
        };
        (void)snprintf(path, sizeof(path), "transfer.replicas[%zu].", i);
        rc = fill_object(p, json_array_get(array, i), path, slots, DOM_ARRAY_LEN(slots), NULL);
    }
    t->replicas = replicas;
    t->num_replicas = count;
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct dom_audit_detail *left = a;
    const struct dom_audit_detail *right = b;
    return dom_slice_cmp(left->name, right->name);
}

static enum dom_code fill_details(struct parser *p, json_t *object)
{
    struct dom_audit_event *e = &p->doc->event;
    size_t count = 0;
    const char *name = NULL;
    json_t *value = NULL;

    if (!json_is_object(object) || json_object_size(object) == 0 ||
        json_object_size(object) > DOM_AUDIT_DETAILS_MAX) {
        return DOM_FAIL(p->err, DOM_INVALID, "detail: an object of 1 to %u members is wanted",
                        DOM_AUDIT_DETAILS_MAX);
    }
    struct dom_audit_detail *details = list_of(p, json_object_size(object), sizeof(*details));
    if (details == NULL) {
        return DOM_FAIL(p->err, DOM_RESOURCE, "detail: out of memory");
    }
    json_object_foreach (object, name, value) {
        struct dom_audit_detail *d = &details[count++];
        d->name = dom_slice_str(name);
        d->is_integer = json_is_integer(value);
        if (d->is_integer) {
            d->integer = json_integer_value(value);
        } else if (json_is_string(value)) {
            d->text = text_of(value);
        } else {
            return DOM_FAIL(p->err, DOM_INVALID, "detail.%s: a text or integer is wanted", name);
        }
    }
    qsort(details, count, sizeof(*details), by_name);
    e->details = details;
    e->num_details = count;
    return DOM_OK;
}

/* ---- the objects ---------------------------------------------------------------------------- */

static enum dom_code fill_actor(struct parser *p, json_t *value)
{
    struct dom_audit_actor *a = &p->doc->event.actor;
    const struct slot slots[] = {
        {"country", &a->country, NULL}, {"entity", &a->entity, NULL}, {"id", &a->id, NULL},
        {"region", &a->region, NULL},   {"type", &a->type, NULL},     {"user", &a->user, NULL},
    };
    const struct slot cert_slots[] = {{"key", &a->cert_key, NULL},
                                      {"serial", &a->cert_serial, NULL}};
    json_t *cert = json_is_object(value) ? json_object_get(value, "cert") : NULL;
    enum dom_code rc = fill_object(p, value, "actor.", slots, DOM_ARRAY_LEN(slots), "cert");
    if (rc == DOM_OK && cert != NULL) {
        rc = fill_object(p, cert, "actor.cert.", cert_slots, DOM_ARRAY_LEN(cert_slots), NULL);
    }
    return rc;
}

static enum dom_code fill_basis(struct parser *p, json_t *value)
{
    struct dom_audit_basis *b = &p->doc->event.basis;
    const struct slot slots[] = {
        {"assessment", &b->assessment, NULL}, {"mech", &b->mech, NULL}, {"ref", &b->ref, NULL}};
    return fill_object(p, value, "basis.", slots, DOM_ARRAY_LEN(slots), NULL);
}

static enum dom_code fill_claim(struct parser *p, json_t *value)
{
    struct dom_audit_claim *c = &p->doc->event.claim;
    const struct slot slots[] = {{"country", &c->country, NULL},
                                 {"region", &c->region, NULL},
                                 {"service", &c->service, NULL},
                                 {"user", &c->user, NULL}};
    return fill_object(p, value, "claim.", slots, DOM_ARRAY_LEN(slots), NULL);
}

static enum dom_code fill_decision(struct parser *p, json_t *value)
{
    struct dom_audit_decision *d = &p->doc->event.decision;
    const struct slot slots[] = {{"effect", &d->effect, NULL},
                                 {"mode", &d->mode, NULL},
                                 {"reason", &d->reason, NULL},
                                 {"time", NULL, &d->time_ms}};
    enum dom_code rc = fill_object(p, value, "decision.", slots, DOM_ARRAY_LEN(slots), "rules");
    return rc == DOM_OK ? fill_rules(p, json_object_get(value, "rules"), "decision.rules",
                                     &d->rules, &d->num_rules)
                        : rc;
}

static enum dom_code fill_policy(struct parser *p, json_t *value)
{
    struct dom_audit_policy *o = &p->doc->event.policy;
    const struct slot slots[] = {{"index", NULL, &o->index},
                                 {"name", &o->name, NULL},
                                 {"sha256", &o->sha256, NULL},
                                 {"version", NULL, &o->version}};
    return fill_object(p, value, "policy.", slots, DOM_ARRAY_LEN(slots), NULL);
}

static enum dom_code fill_record(struct parser *p, json_t *value)
{
    struct dom_audit_record *r = &p->doc->event.record;
    const struct slot slots[] = {
        {"bytes", NULL, &r->bytes},
        {"count", NULL, &r->count},
        {"home", &r->home, NULL},
        {"id", &r->id, NULL},
        {"jurisdiction", &r->jurisdiction, NULL},
        {"kind", &r->kind, NULL},
        {"region", &r->region, NULL},
    };
    return fill_object(p, value, "record.", slots, DOM_ARRAY_LEN(slots), NULL);
}

static enum dom_code fill_result(struct parser *p, json_t *value)
{
    struct dom_audit_result *r = &p->doc->event.result;
    const struct slot slots[] = {{"code", NULL, &r->code}, {"us", NULL, &r->us}};
    r->present = true;
    return fill_object(p, value, "result.", slots, DOM_ARRAY_LEN(slots), NULL);
}

static enum dom_code fill_router(struct parser *p, json_t *value)
{
    struct dom_audit_router *r = &p->doc->event.router;
    const struct slot slots[] = {
        {"build", &r->build, NULL}, {"instance", &r->instance, NULL}, {"region", &r->region, NULL}};
    return fill_object(p, value, "router.", slots, DOM_ARRAY_LEN(slots), NULL);
}

static enum dom_code fill_shadow(struct parser *p, json_t *value)
{
    struct dom_audit_shadow *s = &p->doc->event.shadow;
    const struct slot slots[] = {
        {"effect", &s->effect, NULL}, {"reason", &s->reason, NULL}, {"version", NULL, &s->version}};
    enum dom_code rc = fill_object(p, value, "shadow.", slots, DOM_ARRAY_LEN(slots), "rules");
    return rc == DOM_OK ? fill_rules(p, json_object_get(value, "rules"), "shadow.rules", &s->rules,
                                     &s->num_rules)
                        : rc;
}

static enum dom_code fill_transfer(struct parser *p, json_t *value)
{
    struct dom_audit_transfer *t = &p->doc->event.transfer;
    const struct slot slots[] = {
        {"from", &t->from, NULL},           {"from_region", &t->from_region, NULL},
        {"method", &t->method, NULL},       {"to", &t->to, NULL},
        {"to_region", &t->to_region, NULL},
    };
    enum dom_code rc = fill_object(p, value, "transfer.", slots, DOM_ARRAY_LEN(slots), "replicas");
    return rc == DOM_OK ? fill_replicas(p, json_object_get(value, "replicas")) : rc;
}

/* ---- the top level -------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum dom_code (*fill)(struct parser *p, json_t *value);
} s_objects[] = {
    {"actor", fill_actor},       {"basis", fill_basis},    {"claim", fill_claim},
    {"decision", fill_decision}, {"detail", fill_details}, {"fields", fill_fields},
    {"policy", fill_policy},     {"record", fill_record},  {"result", fill_result},
    {"router", fill_router},     {"shadow", fill_shadow},  {"transfer", fill_transfer},
};

static enum dom_code fill_member(struct parser *p, const struct slot *slots, size_t num_slots,
                                 const char *name, json_t *value)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_objects); i++) {
        if (strcmp(s_objects[i].name, name) == 0) {
            return s_objects[i].fill(p, value);
        }
    }
    const struct slot *slot = find_slot(slots, num_slots, name);
    if (slot == NULL) {
        return DOM_FAIL(p->err, DOM_INVALID, "%s: unknown member", name);
    }
    return fill_slot(p, slot, "", value);
}

static enum dom_code fill_event(struct parser *p, json_t *root)
{
    struct dom_audit_event *e = &p->doc->event;
    struct dom_slice id = {0};
    struct dom_slice nonce = {0};
    struct dom_slice type = {0};
    int64_t version = 0;
    size_t len = 0;
    const char *name = NULL;
    json_t *value = NULL;
    const struct slot slots[] = {
        {"id", &id, NULL},
        {"nonce", &nonce, NULL},
        {"op", &e->op, NULL},
        {"origin", &e->origin, NULL},
        {"purpose", &e->purpose, NULL},
        {"time", NULL, &e->time_ms},
        {"trace", &e->trace, NULL},
        {"type", &type, NULL},
        {"v", NULL, &version},
    };

    e->policy.index = -1;
    json_object_foreach (root, name, value) {
        enum dom_code rc = fill_member(p, slots, DOM_ARRAY_LEN(slots), name, value);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    if (version != DOM_AUDIT_VERSION) {
        return DOM_FAIL(p->err, DOM_INVALID, "v: version %d is wanted", DOM_AUDIT_VERSION);
    }
    if (!dom_audit_type_parse(type, &e->type)) {
        return DOM_FAIL(p->err, DOM_INVALID, "type: missing or unknown");
    }
    if (!dom_audit_uuid_parse(id, e->id)) {
        return DOM_FAIL(p->err, DOM_INVALID, "id: missing or no UUID");
    }
    if (!dom_base64_decode(e->nonce, sizeof(e->nonce), &len, nonce) || len != sizeof(e->nonce)) {
        return DOM_FAIL(p->err, DOM_INVALID, "nonce: missing or not %u bytes of base64",
                        DOM_NONCE_SIZE);
    }
    return dom_audit_event_check(e, p->err);
}

/* The last word: what was read says all that the bytes say. */
static enum dom_code check_same_bytes(struct parser *p, struct dom_slice entry)
{
    struct dom_buffer again = {0};

    enum dom_code rc = dom_audit_event_encode(&p->doc->event, &again, p->err);
    if (rc == DOM_OK && !dom_slice_eq(dom_buffer_slice(&again), entry)) {
        rc = DOM_FAIL(p->err, DOM_INVALID, "entry: a member is missing or written twice");
    }
    dom_buffer_cleanup(&again);
    return rc;
}

enum dom_code dom_audit_event_parse(struct dom_audit_event_doc *doc, struct dom_slice entry,
                                    struct dom_error *err)
{
    struct parser p = {.doc = doc, .err = err};
    struct dom_entry_head head;
    json_error_t error;

    memset(doc, 0, sizeof(*doc));
    if (entry.len > DOM_ENTRY_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "audit entry: over %u bytes", DOM_ENTRY_BYTES_MAX);
    }
    enum dom_code rc = dom_entry_scan(entry, &head, err);
    if (rc != DOM_OK) {
        return rc;
    }
    json_t *root = json_loadb((const char *)entry.data, entry.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        return DOM_FAIL(err, DOM_PARSE, "entry at byte %d: %s", error.position, error.text);
    }
    doc->impl = root;
    dom_arena_init(&doc->arena, NULL, 0, ARENA_BYTES_MAX);
    rc = fill_event(&p, root);
    if (rc == DOM_OK) {
        rc = check_same_bytes(&p, entry);
    }
    if (rc != DOM_OK) {
        dom_audit_event_doc_cleanup(doc);
    }
    return rc;
}

void dom_audit_event_doc_cleanup(struct dom_audit_event_doc *doc)
{
    json_decref(doc->impl);
    dom_arena_cleanup(&doc->arena);
    memset(doc, 0, sizeof(*doc));
}
