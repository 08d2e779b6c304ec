/* The encoder: one pass over the event in the order of the members' names, into memory that is
 * reserved once. On the request path. */
#include "base/assert.h"
#include "base/encode.h"
#include "store/audit/event.h"
#include "store/audit/json_internal.h"

struct writer {
    uint8_t *at;
    uint8_t *end;
    bool full;              /* the entry is over its limit */
    bool first;             /* no comma before the next member */
    const char *object;     /* "actor." and so on, or "" */
    const char *bad_object; /* place of the first text that is not UTF-8; NULL: none */
    const char *bad_key;
};

/* Inlined always: most lengths are constants, and a constant copy is a few moves, not a call. */
static inline __attribute__((always_inline)) void put(struct writer *w, const void *bytes,
                                                      size_t len)
{
    if ((size_t)(w->end - w->at) < len) {
        w->full = true;
        return;
    }
    memcpy(w->at, bytes, len);
    w->at += len;
}

#define PUT(w, literal) put((w), "" literal, sizeof(literal) - 1)

/* The one spelling that RFC 8785 section 3.2.2.2 leaves for a byte below 0x20, '"' or '\'. */
static void put_escaped(struct writer *w, uint8_t c)
{
    static const char s_hex[] = "0123456789abcdef";
    static const char s_from[] = "\"\\\b\f\n\r\t";
    static const char s_to[] = "\"\\bfnrt";
    const char *known = c == 0 ? NULL : strchr(s_from, c);

    if (known != NULL) {
        char escaped[2] = {'\\', s_to[known - s_from]};
        put(w, escaped, sizeof(escaped));
    } else {
        char escaped[6] = {'\\', 'u', '0', '0', s_hex[c >> 4], s_hex[c & 0x0F]};
        put(w, escaped, sizeof(escaped));
    }
}

/* With quotes. True when the bytes are UTF-8. */
static bool put_text(struct writer *w, struct dom_slice text)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.len == 0 ? at : at + text.len;
    bool wide = false;

    PUT(w, "\"");
    while (at < end) {
        const uint8_t *stop = dom_json_skip_plain(at, end);
        while (stop < end && *stop >= 0x80) {
            wide = true;
            stop = dom_json_skip_plain(stop + 1, end);
        }
        put(w, at, (size_t)(stop - at));
        if (stop < end) {
            put_escaped(w, *stop);
            stop++;
        }
        at = stop;
    }
    PUT(w, "\"");
    return !wide || dom_utf8_valid(text);
}

static void put_integer(struct writer *w, int64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t left = value < 0 ? (uint64_t)-value : (uint64_t)value;

    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    put(w, digits + at, sizeof(digits) - at);
}

/* `,"name":`; the comma is left away for an object's first member. The copy has the same length
 * either way (without the comma it takes the literal's NUL along, which is written over). */
static inline __attribute__((always_inline)) void put_key(struct writer *w, const char *key,
                                                          size_t key_len)
{
    size_t skip = w->first ? 1 : 0;
    put(w, key + skip, key_len);
    w->at -= w->full ? 0 : skip;
    w->first = false;
}

#define KEY(w, name) put_key((w), ",\"" name "\":", sizeof(name) + 3)

static void note_bad_text(struct writer *w, const char *key)
{
    if (w->bad_key == NULL) {
        w->bad_object = w->object;
        w->bad_key = key;
    }
}

static inline __attribute__((always_inline)) void put_member(struct writer *w, const char *key,
                                                             size_t key_len, const char *name,
                                                             struct dom_slice text)
{
    if (text.len == 0) {
        return;
    }
    put_key(w, key, key_len);
    if (!put_text(w, text)) {
        note_bad_text(w, name);
    }
}

/* A text member, left out when it is empty. */
#define TEXT(w, name, slice) put_member((w), ",\"" name "\":", sizeof(name) + 3, name, (slice))
#define INTEGER(w, name, value)    \
    do {                           \
        KEY(w, name);              \
        put_integer((w), (value)); \
    } while (0)

/* Opens a member that is an object. If nothing is put in it, close_object takes it back, so the
 * writer's place before it is remembered. */
struct mark {
    uint8_t *at;
    bool first;
};

#define OPEN(w, name) open_object((w), ",\"" name "\":{", sizeof(name) + 4, name ".")

static struct mark open_object(struct writer *w, const char *key, size_t key_len,
                               const char *object)
{
    struct mark mark = {.at = w->at, .first = w->first};
    put_key(w, key, key_len);
    w->first = true;
    w->object = object;
    return mark;
}

static void close_object(struct writer *w, struct mark mark)
{
    if (w->first) {
        w->at = mark.at;
        w->first = mark.first;
    } else {
        PUT(w, "}");
        w->first = false;
    }
    w->object = "";
}

static void put_texts(struct writer *w, const struct dom_slice *texts, size_t num_texts)
{
    PUT(w, "[");
    for (size_t i = 0; i < num_texts; i++) {
        if (i > 0) {
            PUT(w, ",");
        }
        if (!put_text(w, texts[i])) {
            note_bad_text(w, "rules");
        }
    }
    PUT(w, "]");
}

static void put_actor(struct writer *w, const struct dom_audit_actor *a)
{
    struct mark mark = OPEN(w, "actor");
    if (a->cert_serial.len > 0) {
        KEY(w, "cert");
        w->object = "actor.cert.";
        PUT(w, "{");
        w->first = true;
        TEXT(w, "key", a->cert_key);
        TEXT(w, "serial", a->cert_serial);
        PUT(w, "}");
        w->first = false;
        w->object = "actor.";
    }
    TEXT(w, "country", a->country);
    TEXT(w, "entity", a->entity);
    TEXT(w, "id", a->id);
    TEXT(w, "region", a->region);
    TEXT(w, "type", a->type);
    TEXT(w, "user", a->user);
    close_object(w, mark);
}

static void put_basis_and_claim(struct writer *w, const struct dom_audit_event *e)
{
    struct mark mark = OPEN(w, "basis");
    TEXT(w, "assessment", e->basis.assessment);
    TEXT(w, "mech", e->basis.mech);
    TEXT(w, "ref", e->basis.ref);
    close_object(w, mark);
    mark = OPEN(w, "claim");
    TEXT(w, "country", e->claim.country);
    TEXT(w, "region", e->claim.region);
    TEXT(w, "service", e->claim.service);
    TEXT(w, "user", e->claim.user);
    close_object(w, mark);
}

static void put_decision(struct writer *w, const struct dom_audit_decision *d)
{
    struct mark mark = OPEN(w, "decision");
    TEXT(w, "effect", d->effect);
    TEXT(w, "mode", d->mode);
    TEXT(w, "reason", d->reason);
    if (d->num_rules > 0) {
        KEY(w, "rules");
        put_texts(w, d->rules, d->num_rules);
    }
    if (d->time_ms != 0) {
        INTEGER(w, "time", d->time_ms);
    }
    close_object(w, mark);
}

static void put_details(struct writer *w, const struct dom_audit_event *e)
{
    struct mark mark = OPEN(w, "detail");
    for (size_t i = 0; i < e->num_details; i++) {
        const struct dom_audit_detail *d = &e->details[i];
        if (!w->first) {
            PUT(w, ",");
        }
        w->first = false;
        (void)put_text(w, d->name); /* checked: [a-z0-9_] */
        PUT(w, ":");
        if (d->is_integer) {
            put_integer(w, d->integer);
        } else if (!put_text(w, d->text)) {
            note_bad_text(w, "(a text)");
        }
    }
    close_object(w, mark);
}

static void put_fields(struct writer *w, const struct dom_audit_event *e)
{
    if (e->num_fields == 0) {
        return;
    }
    KEY(w, "fields");
    w->object = "fields[].";
    PUT(w, "[");
    for (size_t i = 0; i < e->num_fields; i++) {
        if (i > 0) {
            PUT(w, ",");
        }
        PUT(w, "{");
        w->first = true;
        TEXT(w, "c", e->fields[i].data_class);
        TEXT(w, "h", e->fields[i].handling);
        TEXT(w, "n", e->fields[i].name);
        PUT(w, "}");
    }
    PUT(w, "]");
    w->first = false;
    w->object = "";
}

static void put_ids(struct writer *w, const struct dom_audit_event *e)
{
    char uuid[DOM_UUID_TEXT_SIZE];
    char nonce[DOM_BASE64_LEN(DOM_NONCE_SIZE) + 1];

    dom_audit_uuid_format(uuid, e->id);
    TEXT(w, "id", dom_slice_of(uuid, sizeof(uuid) - 1));
    (void)dom_base64_encode(nonce, dom_slice_of(e->nonce, sizeof(e->nonce)));
    TEXT(w, "nonce", dom_slice_of(nonce, sizeof(nonce) - 1));
}

static void put_policy(struct writer *w, const struct dom_audit_policy *p)
{
    struct mark mark = OPEN(w, "policy");
    if (p->name.len > 0) {
        if (p->index >= 0) {
            INTEGER(w, "index", p->index);
        }
        TEXT(w, "name", p->name);
        TEXT(w, "sha256", p->sha256);
        INTEGER(w, "version", p->version);
    }
    close_object(w, mark);
}

static void put_record(struct writer *w, const struct dom_audit_record *r)
{
    struct mark mark = OPEN(w, "record");
    if (r->kind.len > 0) {
        INTEGER(w, "bytes", r->bytes);
        INTEGER(w, "count", r->count);
        TEXT(w, "home", r->home);
        TEXT(w, "id", r->id);
        TEXT(w, "jurisdiction", r->jurisdiction);
        TEXT(w, "kind", r->kind);
        TEXT(w, "region", r->region);
    }
    close_object(w, mark);
}

static void put_result_and_router(struct writer *w, const struct dom_audit_event *e)
{
    struct mark mark;

    if (e->result.present) {
        mark = OPEN(w, "result");
        INTEGER(w, "code", e->result.code);
        INTEGER(w, "us", e->result.us);
        close_object(w, mark);
    }
    mark = OPEN(w, "router");
    TEXT(w, "build", e->router.build);
    TEXT(w, "instance", e->router.instance);
    TEXT(w, "region", e->router.region);
    close_object(w, mark);
}

static void put_shadow(struct writer *w, const struct dom_audit_shadow *s)
{
    if (s->effect.len == 0) {
        return;
    }
    struct mark mark = OPEN(w, "shadow");
    TEXT(w, "effect", s->effect);
    TEXT(w, "reason", s->reason);
    if (s->num_rules > 0) {
        KEY(w, "rules");
        put_texts(w, s->rules, s->num_rules);
    }
    INTEGER(w, "version", s->version);
    close_object(w, mark);
}

static void put_transfer(struct writer *w, const struct dom_audit_transfer *t)
{
    struct mark mark = OPEN(w, "transfer");
    TEXT(w, "from", t->from);
    TEXT(w, "from_region", t->from_region);
    TEXT(w, "method", t->method);
    if (t->num_replicas > 0) {
        KEY(w, "replicas");
        PUT(w, "[");
        for (size_t i = 0; i < t->num_replicas; i++) {
            if (i > 0) {
                PUT(w, ",");
            }
            PUT(w, "{");
            w->first = true;
            TEXT(w, "basis", t->replicas[i].basis);
            TEXT(w, "region", t->replicas[i].region);
            TEXT(w, "to", t->replicas[i].to);
            PUT(w, "}");
        }
        PUT(w, "]");
        w->first = false;
    }
    TEXT(w, "to", t->to);
    TEXT(w, "to_region", t->to_region);
    close_object(w, mark);
}

static void put_event(struct writer *w, const struct dom_audit_event *e)
{
    PUT(w, "{");
    w->first = true;
    put_actor(w, &e->actor);
    put_basis_and_claim(w, e);
    put_decision(w, &e->decision);
    put_details(w, e);
    put_fields(w, e);
    put_ids(w, e);
    TEXT(w, "op", e->op);
    TEXT(w, "origin", e->origin);
    put_policy(w, &e->policy);
    TEXT(w, "purpose", e->purpose);
    put_record(w, &e->record);
    put_result_and_router(w, e);
    put_shadow(w, &e->shadow);
    INTEGER(w, "time", e->time_ms);
    TEXT(w, "trace", e->trace);
    put_transfer(w, &e->transfer);
    TEXT(w, "type", dom_slice_str(dom_audit_type_name(e->type)));
    INTEGER(w, "v", DOM_AUDIT_VERSION);
    PUT(w, "}");
}

enum dom_code dom_audit_event_encode(const struct dom_audit_event *event, struct dom_buffer *out,
                                     struct dom_error *err)
{
    size_t before = out->len;

    enum dom_code rc = dom_audit_event_check(event, err);
    if (rc != DOM_OK) {
        return rc;
    }
    uint8_t *at = dom_buffer_extend(out, DOM_ENTRY_BYTES_MAX);
    if (at == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for an audit entry");
    }
    struct writer w = {.at = at, .end = at + DOM_ENTRY_BYTES_MAX, .object = ""};
    put_event(&w, event);
    out->len = before;
    if (w.full) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "audit entry: over %u bytes", DOM_ENTRY_BYTES_MAX);
    }
    if (w.bad_key != NULL) {
        return DOM_FAIL(err, DOM_INVALID, "%s%s: not UTF-8", w.bad_object, w.bad_key);
    }
    DOM_ASSERT(w.at > at);
    out->len = before + (size_t)(w.at - at);
    return DOM_OK;
}
