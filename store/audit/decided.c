#include "store/audit/decided.h"

#include "store/audit/json_internal.h"
#include "store/audit/scan.h"

/* Everything here walks bytes that dom_entry_scan found canonical: no white space, no surprise.
 * The walk stays inside its slice even so. */

/* From an opening quote to behind the closing one; *text gets what lies between. */
static const uint8_t *over_text(const uint8_t *at, const uint8_t *end, struct dom_slice *text)
{
    const uint8_t *begin = at + 1;

    at = begin;
    while (at < end && *at != '"') {
        at = dom_json_skip_plain(at, end);
        if (at < end && *at == '\\') {
            at += end - at < 2 ? 1 : 2;
        } else if (at < end && *at != '"') {
            at++;
        }
    }
    *text = dom_slice_of(begin, (size_t)(at - begin));
    return at < end ? at + 1 : end;
}

/* From the beginning of a value to behind it; *value gets its bytes, without the quotes of a text
 * or the brackets of a list or object. */
static const uint8_t *over_value(const uint8_t *at, const uint8_t *end, struct dom_slice *value)
{
    const uint8_t *begin = at;
    struct dom_slice text;
    unsigned depth = 0;

    if (at < end && *at == '"') {
        return over_text(at, end, value);
    }
    bool nested = at < end && (*at == '{' || *at == '[');
    while (at < end) {
        if (*at == '"') {
            at = over_text(at, end, &text);
            continue;
        }
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (--depth == 0) {
                *value = dom_slice_of(begin + 1, (size_t)(at - begin) - 1);
                return at + 1;
            }
        } else if (*at == ',' && !nested) {
            break;
        }
        at++;
    }
    *value = dom_slice_of(begin, (size_t)(at - begin));
    return at;
}

static void leave(struct dom_slice *rest, const uint8_t *at)
{
    const uint8_t *end = rest->data + rest->len;

    if (at < end && *at == ',') {
        at++;
    }
    *rest = dom_slice_of(at, (size_t)(end - at));
}

/* The next member of an object, of which `rest` is what lies between the braces. */
static bool next_member(struct dom_slice *rest, struct dom_slice *key, struct dom_slice *value)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *end = rest->data + rest->len;
    const uint8_t *at = over_text(rest->data, end, key);
    at = over_value(at < end ? at + 1 : end, end, value);
    leave(rest, at);
    return true;
}

static bool next_item(struct dom_slice *rest, struct dom_slice *value)
{
    if (rest->len == 0) {
        return false;
    }
    leave(rest, over_value(rest->data, rest->data + rest->len, value));
    return true;
}

static int64_t integer_of(struct dom_slice value)
{
    bool negative = value.len > 0 && value.data[0] == '-';
    int64_t out = 0;

    for (size_t i = negative ? 1 : 0; i < value.len; i++) {
        out = out * 10 + (value.data[i] - '0'); /* the scan bounded it */
    }
    return negative ? -out : out;
}

#define IS(text, literal) dom_slice_eq((text), DOM_SLICE_LIT(literal))

static void keep(struct dom_decided *out, struct dom_slice parent, struct dom_slice key,
                 struct dom_slice value)
{
#define X(field, object, member)                     \
    if (IS(key, member) && IS(parent, object)) {     \
        out->field = value;                          \
        return;                                      \
    }
    DOM_DECIDED_TEXTS(X)
#undef X
    if (IS(parent, "decision") && IS(key, "rules")) {
        out->rules = value;
    } else if (IS(parent, "decision") && IS(key, "time")) {
        out->decision_time_ms = integer_of(value);
    } else if (IS(parent, "policy") && IS(key, "version")) {
        out->policy_version = integer_of(value);
    } else if (IS(parent, "record") && IS(key, "bytes")) {
        out->bytes = integer_of(value);
    } else if (IS(parent, "record") && IS(key, "count")) {
        out->count = integer_of(value);
    } else if (IS(parent, "transfer") && IS(key, "replicas")) {
        out->replicas = value;
    } else if (parent.len == 0 && IS(key, "fields")) {
        out->fields = value;
    } else if (parent.len == 0 && IS(key, "time")) {
        out->time_ms = integer_of(value);
    }
}

static bool is_parent(struct dom_slice key)
{
    return IS(key, "actor") || IS(key, "basis") || IS(key, "decision") || IS(key, "policy") ||
           IS(key, "record") || IS(key, "transfer");
}

void dom_decided_read_scanned(struct dom_decided *out, struct dom_slice entry)
{
    struct dom_slice key;
    struct dom_slice value;

    memset(out, 0, sizeof(*out));
    struct dom_slice rest = dom_slice_of(entry.data + 1, entry.len - 2);
    while (next_member(&rest, &key, &value)) {
        if (!is_parent(key)) {
            keep(out, dom_slice_of(NULL, 0), key, value);
            continue;
        }
        struct dom_slice inner;
        struct dom_slice member;
        while (next_member(&value, &member, &inner)) {
            keep(out, key, member, inner);
        }
    }
}

enum dom_code dom_decided_read(struct dom_decided *out, struct dom_slice entry,
                               struct dom_error *err)
{
    struct dom_entry_head head;

    memset(out, 0, sizeof(*out));
    enum dom_code rc = dom_entry_scan(entry, &head, err);
    if (rc == DOM_OK) {
        dom_decided_read_scanned(out, entry);
    }
    return rc;
}

bool dom_decided_is_decision(const struct dom_decided *decided)
{
    return (IS(decided->type, "access") || IS(decided->type, "deny")) && decided->kind.len > 0;
}

bool dom_decided_next_field(struct dom_slice *rest, struct dom_decided_field *out)
{
    struct dom_slice object;
    struct dom_slice key;
    struct dom_slice value;

    memset(out, 0, sizeof(*out));
    if (!next_item(rest, &object)) {
        return false;
    }
    while (next_member(&object, &key, &value)) {
        if (IS(key, "c")) {
            out->data_class = value;
        } else if (IS(key, "h")) {
            out->handling = value;
        } else if (IS(key, "n")) {
            out->name = value;
        }
    }
    return true;
}

bool dom_decided_next_text(struct dom_slice *rest, struct dom_slice *out)
{
    return next_item(rest, out);
}

/* One character of a canonical text: the byte that it stands for. */
static uint8_t next_byte(const uint8_t **at)
{
    static const char letters[] = "bfnrt";
    static const char bytes[] = "\b\f\n\r\t";
    const uint8_t *p = *at;

    if (p[0] != '\\') {
        *at = p + 1;
        return p[0];
    }
    if (p[1] == 'u') { /* \u00XX, lower case: only control characters are written so */
        uint8_t low = p[5];
        *at = p + 6;
        return (uint8_t)((p[4] - '0') * 16 + (low <= '9' ? low - '0' : low - 'a' + 10));
    }
    *at = p + 2;
    const char *found = strchr(letters, p[1]);
    return found == NULL ? p[1] : (uint8_t)bytes[found - letters];
}

bool dom_decided_text_is(struct dom_slice text, const char *plain)
{
    const uint8_t *at = text.data;
    const uint8_t *end = at + text.len;

    while (at < end && *plain != '\0') {
        if (next_byte(&at) != (uint8_t)*plain++) {
            return false;
        }
    }
    return at == end && *plain == '\0';
}
