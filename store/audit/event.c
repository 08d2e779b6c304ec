/* Event types, ids, and what makes an event valid. */
#include "store/audit/event.h"

#include "base/encode.h"
#include "store/audit/checkpoint.h"

struct type_row {
    const char *name;
    unsigned needs;
    const char *doc;
};

static const struct type_row s_types[] = {
#define X(name, text, needs, doc) {text, needs, doc},
    DOM_AUDIT_TYPES(X)
#undef X
};
_Static_assert(DOM_ARRAY_LEN(s_types) == DOM_AUDIT_TYPE_COUNT, "DOM_AUDIT_TYPE_COUNT is stale");

const char *dom_audit_type_name(enum dom_audit_type type)
{
    return (unsigned)type < DOM_AUDIT_TYPE_COUNT ? s_types[type].name : "?";
}

const char *dom_audit_type_doc(enum dom_audit_type type)
{
    return (unsigned)type < DOM_AUDIT_TYPE_COUNT ? s_types[type].doc : "";
}

bool dom_audit_type_parse(struct dom_slice name, enum dom_audit_type *type)
{
    for (unsigned i = 0; i < DOM_AUDIT_TYPE_COUNT; i++) {
        if (dom_slice_eq_str(name, s_types[i].name)) {
            *type = (enum dom_audit_type)i;
            return true;
        }
    }
    return false;
}

/* ---- UUIDs ---------------------------------------------------------------------------------- */

void dom_audit_uuid7(uint8_t *out, int64_t wall_ms, const uint8_t *random10)
{
    for (unsigned i = 0; i < 6; i++) {
        out[i] = (uint8_t)((uint64_t)wall_ms >> (40U - 8U * i));
    }
    memcpy(out + 6, random10, 10);
    out[6] = (uint8_t)((out[6] & 0x0FU) | 0x70U);
    out[8] = (uint8_t)((out[8] & 0x3FU) | 0x80U);
}

void dom_audit_uuid_format(char *out, const uint8_t *uuid)
{
    static const char s_hex[] = "0123456789abcdef";
    size_t at = 0;

    for (unsigned i = 0; i < DOM_UUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        out[at++] = s_hex[uuid[i] >> 4];
        out[at++] = s_hex[uuid[i] & 0x0FU];
    }
    out[at] = '\0';
}

bool dom_audit_uuid_parse(struct dom_slice text, uint8_t *uuid)
{
    char back[DOM_UUID_TEXT_SIZE];
    uint8_t hex[2 * DOM_UUID_SIZE];
    size_t len = 0;

    if (text.len != DOM_UUID_TEXT_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < text.len && len < sizeof(hex); i++) {
        if (text.data[i] != '-') {
            hex[len++] = text.data[i];
        }
    }
    if (!dom_hex_decode(uuid, DOM_UUID_SIZE, dom_slice_of(hex, len))) {
        return false;
    }
    /* One spelling: dashes in their places and lower case. */
    dom_audit_uuid_format(back, uuid);
    return dom_slice_eq_str(text, back);
}

/* ---- checks --------------------------------------------------------------------------------- */

static bool one_of(struct dom_slice text, const char *const *words, size_t num_words)
{
    for (size_t i = 0; i < num_words; i++) {
        if (dom_slice_eq_str(text, words[i])) {
            return true;
        }
    }
    return false;
}

static const char *const s_effects[] = {"allow", "deny", "modify"};
static const char *const s_modes[] = {"enforce", "canary"};
static const char *const s_ops[] = {"read", "query", "write", "update", "delete", "list"};
static const char *const s_handlings[] = {"clear", "redact", "pseudonym", "drop"};

#define REFUSE(err, path, what) DOM_FAIL((err), DOM_INVALID, "%s: %s", (path), (what))

static bool integer_ok(int64_t v)
{
    return v >= 0 && v <= DOM_AUDIT_INTEGER_MAX;
}

static bool lower_hex(struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

static enum dom_code check_common(const struct dom_audit_event *e, struct dom_error *err)
{
    if ((unsigned)e->type >= DOM_AUDIT_TYPE_COUNT) {
        return REFUSE(err, "type", "unknown");
    }
    if ((e->id[6] & 0xF0U) != 0x70U || (e->id[8] & 0xC0U) != 0x80U) {
        return REFUSE(err, "id", "no UUIDv7");
    }
    if (e->time_ms <= 0 || e->time_ms > DOM_AUDIT_INTEGER_MAX) {
        return REFUSE(err, "time", "missing or out of range");
    }
    if (!dom_origin_valid(e->origin)) {
        return REFUSE(err, "origin", "missing or no valid name");
    }
    if (e->op.len > 0 && !one_of(e->op, s_ops, DOM_ARRAY_LEN(s_ops))) {
        return REFUSE(err, "op", "unknown");
    }
    if (e->trace.len > 0 && (e->trace.len != 32 || !lower_hex(e->trace))) {
        return REFUSE(err, "trace", "32 lower-case hex digits are wanted");
    }
    return DOM_OK;
}

static enum dom_code check_decision(const struct dom_audit_decision *d, struct dom_error *err)
{
    if (d->effect.len == 0) {
        return d->reason.len == 0 && d->mode.len == 0 && d->num_rules == 0 && d->time_ms == 0
                   ? DOM_OK
                   : REFUSE(err, "decision.effect", "missing");
    }
    if (!one_of(d->effect, s_effects, DOM_ARRAY_LEN(s_effects))) {
        return REFUSE(err, "decision.effect", "allow, deny or modify is wanted");
    }
    if (d->mode.len > 0 && !one_of(d->mode, s_modes, DOM_ARRAY_LEN(s_modes))) {
        return REFUSE(err, "decision.mode", "enforce or canary is wanted");
    }
    if (d->num_rules > DOM_AUDIT_RULES_MAX) {
        return REFUSE(err, "decision.rules", "too many");
    }
    if (!integer_ok(d->time_ms)) {
        return REFUSE(err, "decision.time", "out of range");
    }
    return DOM_OK;
}

static enum dom_code check_lists(const struct dom_audit_event *e, struct dom_error *err)
{
    if (e->num_fields > DOM_FIELDS_MAX) {
        return REFUSE(err, "fields", "too many");
    }
    for (size_t i = 0; i < e->num_fields; i++) {
        const struct dom_audit_field *f = &e->fields[i];
        if (f->name.len == 0 || f->data_class.len == 0 ||
            !one_of(f->handling, s_handlings, DOM_ARRAY_LEN(s_handlings))) {
            return DOM_FAIL(err, DOM_INVALID,
                            "fields[%zu]: n, c and h (clear, redact, pseudonym or drop) are wanted",
                            i);
        }
    }
    if (e->transfer.num_replicas > DOM_AUDIT_REPLICAS_MAX) {
        return REFUSE(err, "transfer.replicas", "too many");
    }
    for (size_t i = 0; i < e->transfer.num_replicas; i++) {
        const struct dom_audit_replica *r = &e->transfer.replicas[i];
        if (r->region.len == 0 || r->to.len == 0) {
            return DOM_FAIL(err, DOM_INVALID, "transfer.replicas[%zu]: region and to are wanted",
                            i);
        }
    }
    return DOM_OK;
}

static bool detail_name_ok(struct dom_slice name)
{
    if (name.len == 0 || name.len > DOM_FIELD_NAME_BYTES_MAX || name.data[0] < 'a' ||
        name.data[0] > 'z') {
        return false;
    }
    for (size_t i = 1; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            return false;
        }
    }
    return true;
}

static enum dom_code check_details(const struct dom_audit_event *e, struct dom_error *err)
{
    if (e->num_details > DOM_AUDIT_DETAILS_MAX) {
        return REFUSE(err, "detail", "too many members");
    }
    for (size_t i = 0; i < e->num_details; i++) {
        const struct dom_audit_detail *d = &e->details[i];
        if (!detail_name_ok(d->name)) {
            return DOM_FAIL(err, DOM_INVALID, "detail[%zu]: a name like [a-z][a-z0-9_]* is wanted",
                            i);
        }
        if (i > 0 && dom_slice_cmp(e->details[i - 1].name, d->name) >= 0) {
            return DOM_FAIL(err, DOM_INVALID, "detail.%.*s: out of order or twice there",
                            (int)d->name.len, (const char *)d->name.data);
        }
        if (d->is_integer &&
            (d->integer < -DOM_AUDIT_INTEGER_MAX || d->integer > DOM_AUDIT_INTEGER_MAX)) {
            return DOM_FAIL(err, DOM_INVALID, "detail.%.*s: out of range", (int)d->name.len,
                            (const char *)d->name.data);
        }
    }
    return DOM_OK;
}

static enum dom_code check_objects(const struct dom_audit_event *e, struct dom_error *err)
{
    if (e->record.kind.len == 0 &&
        (e->record.id.len > 0 || e->record.home.len > 0 || e->record.jurisdiction.len > 0 ||
         e->record.region.len > 0 || e->record.bytes != 0 || e->record.count != 0)) {
        return REFUSE(err, "record.kind", "missing");
    }
    if (!integer_ok(e->record.bytes)) {
        return REFUSE(err, "record.bytes", "out of range");
    }
    if (!integer_ok(e->record.count)) {
        return REFUSE(err, "record.count", "out of range");
    }
    if (!integer_ok(e->policy.version)) {
        return REFUSE(err, "policy.version", "out of range");
    }
    if (e->policy.index < -1 || e->policy.index > DOM_AUDIT_INTEGER_MAX) {
        return REFUSE(err, "policy.index", "out of range");
    }
    if (e->result.present && (!integer_ok(e->result.code) || !integer_ok(e->result.us))) {
        return REFUSE(err, "result", "out of range");
    }
    if (e->shadow.effect.len > 0 &&
        (!one_of(e->shadow.effect, s_effects, DOM_ARRAY_LEN(s_effects)) ||
         e->shadow.num_rules > DOM_AUDIT_RULES_MAX || !integer_ok(e->shadow.version))) {
        return REFUSE(err, "shadow", "effect, rules or version is wrong");
    }
    return DOM_OK;
}

static enum dom_code check_request(const struct dom_audit_event *e, struct dom_error *err)
{
    if (e->op.len == 0) {
        return REFUSE(err, "op", "missing");
    }
    if (e->decision.effect.len == 0) {
        return REFUSE(err, "decision.effect", "missing");
    }
    if (e->decision.reason.len == 0) {
        return REFUSE(err, "decision.reason", "missing");
    }
    bool denied = dom_slice_eq_str(e->decision.effect, "deny");
    if (denied != (e->type == DOM_AUDIT_DENY)) {
        return REFUSE(err, "decision.effect", "does not fit the type");
    }
    /* A refused caller may be nobody we know and may name no kind; a served one cannot. */
    if (!denied && e->actor.id.len == 0) {
        return REFUSE(err, "actor.id", "missing");
    }
    if (!denied && e->record.kind.len == 0) {
        return REFUSE(err, "record.kind", "missing");
    }
    return DOM_OK;
}

static enum dom_code check_cert(const struct dom_audit_actor *a, struct dom_error *err)
{
    if (a->cert_serial.len == 0 && a->cert_key.len == 0) {
        return DOM_OK;
    }
    if (a->cert_serial.len == 0 || !lower_hex(a->cert_serial)) {
        return REFUSE(err, "actor.cert.serial", "lower-case hex digits are wanted");
    }
    if (a->cert_key.len != 64 || !lower_hex(a->cert_key)) {
        return REFUSE(err, "actor.cert.key", "64 lower-case hex digits are wanted");
    }
    return DOM_OK;
}

static enum dom_code check_needs(const struct dom_audit_event *e, struct dom_error *err)
{
    unsigned needs = s_types[e->type].needs;

    if ((needs & DOM_AUDIT_NEED_ACTOR) != 0 && e->actor.id.len == 0) {
        return REFUSE(err, "actor.id", "missing");
    }
    if ((needs & DOM_AUDIT_NEED_POLICY) != 0 &&
        (e->policy.name.len == 0 || e->policy.sha256.len == 0)) {
        return REFUSE(err, "policy", "name and sha256 are wanted");
    }
    if ((needs & DOM_AUDIT_NEED_DETAIL) != 0 && e->num_details == 0) {
        return REFUSE(err, "detail", "missing");
    }
    return (needs & DOM_AUDIT_NEED_REQUEST) != 0 ? check_request(e, err) : DOM_OK;
}

enum dom_code dom_audit_event_check(const struct dom_audit_event *event, struct dom_error *err)
{
    enum dom_code rc = check_common(event, err);

    if (rc == DOM_OK) {
        rc = check_decision(&event->decision, err);
    }
    if (rc == DOM_OK) {
        rc = check_lists(event, err);
    }
    if (rc == DOM_OK) {
        rc = check_details(event, err);
    }
    if (rc == DOM_OK) {
        rc = check_objects(event, err);
    }
    if (rc == DOM_OK) {
        rc = check_cert(&event->actor, err);
    }
    if (rc == DOM_OK) {
        rc = check_needs(event, err);
    }
    return rc;
}
