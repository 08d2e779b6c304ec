#include "store/audit/scan.h"

#include "store/audit/event.h"
#include "store/audit/json_internal.h"

struct level {
    struct dom_slice key; /* the last one, for the order */
    uint64_t prefix;      /* its first eight bytes as a number that sorts as they do */
    bool is_array;
    bool is_head; /* an object of which the head holds members */
    struct dom_slice *list; /* the head's place for this list; NULL: not wanted */
    const uint8_t *begin;   /* of that list */
};

struct scanner {
    const uint8_t *at;
    const uint8_t *end;
    const char *why; /* set on the first error */
    struct dom_entry_head *head;
    unsigned depth;
    struct level levels[DOM_SCAN_DEPTH_MAX];
};

static bool bad(struct scanner *s, const char *why)
{
    if (s->why == NULL) {
        s->why = why;
    }
    return false;
}

/* The escape at s->at + 1. RFC 8785 section 3.2.2.2 leaves one spelling for each character. */
static bool scan_escape(struct scanner *s)
{
    static const char s_short[] = "\"\\bfnrt";

    if (s->end - s->at < 2) {
        return bad(s, "text is cut short");
    }
    uint8_t c = s->at[1];
    if (c != 0 && strchr(s_short, c) != NULL) {
        s->at += 2;
        return true;
    }
    if (c != 'u' || s->end - s->at < 6 || memcmp(s->at + 2, "00", 2) != 0) {
        return bad(s, "escape that is not canonical");
    }
    uint8_t high = s->at[4];
    uint8_t low = s->at[5];
    bool is_low = (low >= '0' && low <= '9') || (low >= 'a' && low <= 'f');
    bool has_short =
        high == '0' && (low == '8' || low == '9' || low == 'a' || low == 'c' || low == 'd');
    if ((high != '0' && high != '1') || !is_low || has_short) {
        return bad(s, "escape that is not canonical");
    }
    s->at += 6;
    return true;
}

/* From behind the opening quote to behind the closing one. */
static bool scan_text(struct scanner *s, struct dom_slice *text)
{
    const uint8_t *begin = s->at;
    bool wide = false;

    for (;;) {
        s->at = dom_json_skip_plain(s->at, s->end);
        if (s->at == s->end) {
            return bad(s, "text is cut short");
        }
        if (*s->at == '"') {
            break;
        }
        if (*s->at == '\\') {
            if (!scan_escape(s)) {
                return false;
            }
        } else if (*s->at >= 0x80) {
            wide = true;
            s->at++;
        } else {
            return bad(s, "control character in a text");
        }
    }
    *text = dom_slice_of(begin, (size_t)(s->at - begin));
    if (wide && !dom_utf8_valid(*text)) {
        s->at = begin;
        return bad(s, "text is not UTF-8");
    }
    s->at++;
    return true;
}

static bool scan_integer(struct scanner *s, int64_t *value)
{
    const uint8_t *begin = s->at;
    bool negative = s->at < s->end && *s->at == '-';

    *value = 0;
    if (negative) {
        s->at++;
    }
    const uint8_t *digits = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        *value = *value * 10 + (*s->at - '0');
        if (*value > DOM_AUDIT_INTEGER_MAX) {
            return bad(s, "integer is too large");
        }
        s->at++;
    }
    size_t len = (size_t)(s->at - digits);
    if (len == 0 || (digits[0] == '0' && (len > 1 || negative))) {
        s->at = begin;
        return bad(s, "no canonical integer");
    }
    *value = negative ? -*value : *value;
    return true;
}

static bool scan_word(struct scanner *s, struct dom_slice word)
{
    if ((size_t)(s->end - s->at) < word.len || memcmp(s->at, word.data, word.len) != 0) {
        return bad(s, "no JSON value");
    }
    s->at += word.len;
    return true;
}

/* The first eight bytes of a name, zeros behind a shorter one. Names are compared by this number
 * first: that decides nearly always, and costs no call. */
static uint64_t prefix_of(struct dom_slice name, const uint8_t *end)
{
    uint64_t v = 0;

    if (name.len == 0) {
        return 0;
    }
    if (end - name.data >= 8) {
        memcpy(&v, name.data, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        v = __builtin_bswap64(v); /* base's portable loop is not seen as one load by gcc 12 */
#endif
        return name.len >= 8 ? v : v & (UINT64_MAX << (64U - 8U * name.len));
    }
    for (size_t i = 0; i < 8; i++) {
        v = (v << 8) | (i < name.len ? name.data[i] : 0U);
    }
    return v;
}

#define BYTE(text, i) ((uint64_t)(sizeof(text) > (i) + 1 ? (uint8_t)(text)[(i)] : 0U))
#define PREFIX(text)                                                         \
    ((BYTE(text, 0) << 56) | (BYTE(text, 1) << 48) | (BYTE(text, 2) << 40) | \
     (BYTE(text, 3) << 32) | (BYTE(text, 4) << 24) | (BYTE(text, 5) << 16) | \
     (BYTE(text, 6) << 8) | BYTE(text, 7))

static bool is(const struct level *level, const char *name, size_t len, uint64_t prefix)
{
    return level->prefix == prefix && level->key.len == len &&
           (len <= 8 || memcmp(level->key.data, name, len) == 0);
}
#define IS(level, literal) is((level), literal, sizeof(literal) - 1, PREFIX(literal))

static void keep_top_text(struct dom_entry_head *head, const struct level *level,
                          struct dom_slice text)
{
#define X(field, parent, member)                    \
    if (sizeof(parent) == 1 && IS(level, member)) { \
        head->field = text;                         \
        return;                                     \
    }
    DOM_ENTRY_HEAD_TEXTS(X)
#undef X
}

static void keep_inner_text(struct dom_entry_head *head, const struct level *top,
                            const struct level *level, struct dom_slice text)
{
#define X(field, parent, member)                                      \
    if (sizeof(parent) > 1 && IS(level, member) && IS(top, parent)) { \
        head->field = text;                                           \
        return;                                                       \
    }
    DOM_ENTRY_HEAD_TEXTS(X)
#undef X
}

/* Whether the head holds members of the object behind this name of the top level. */
static bool is_head_object(const struct level *top)
{
#define X(field, parent, member)                \
    if (sizeof(parent) > 1 && IS(top, parent)) { \
        return true;                            \
    }
    DOM_ENTRY_HEAD_TEXTS(X)
#undef X
    return false;
}

static void keep_text(struct scanner *s, struct dom_slice text)
{
    if (s->depth == 1 && !s->levels[0].is_array) {
        keep_top_text(s->head, &s->levels[0], text);
    } else if (s->depth == 2 && s->levels[1].is_head) {
        keep_inner_text(s->head, &s->levels[0], &s->levels[1], text);
    }
}

static void keep_integer(struct scanner *s, int64_t value)
{
    if (s->depth == 1 && !s->levels[0].is_array) {
        if (IS(&s->levels[0], "time")) {
            s->head->time_ms = value;
        } else if (IS(&s->levels[0], "v")) {
            s->head->version = value;
        }
    } else if (s->depth == 2 && IS(&s->levels[0], "policy") && IS(&s->levels[1], "version")) {
        s->head->policy_version = value;
    }
}

/* Where the head wants the list that begins here; NULL when it does not. */
static struct dom_slice *list_place(const struct scanner *s)
{
    const struct level *top = &s->levels[0];
    const struct level *inner = &s->levels[1];
    bool nested = s->depth == 2 && inner->is_head;

#define X(field, parent, member)                                                       \
    if (sizeof(parent) == 1 ? s->depth == 1 && !top->is_array && IS(top, member)        \
                            : nested && IS(inner, member) && IS(top, parent)) {        \
        return &s->head->field;                                                        \
    }
    DOM_ENTRY_HEAD_LISTS(X)
#undef X
    return NULL;
}

/* A member's name and colon; the names of one object ascend. It has one caller, and is half of
 * the work: inlined, it keeps its constants and the place in registers. */
static inline __attribute__((always_inline)) bool scan_key(struct scanner *s)
{
    struct level *level = &s->levels[s->depth - 1];
    const uint8_t *begin = s->at + 1;

    if (s->at == s->end || *s->at != '"') {
        return bad(s, "member name is missing");
    }
    s->at++;
    s->at = dom_json_skip_plain(s->at, s->end);
    if (s->end - s->at < 2 || s->at[0] != '"' || s->at[1] != ':') {
        return bad(s, "no plain member name with a colon");
    }
    struct dom_slice key = dom_slice_of(begin, (size_t)(s->at - begin));
    uint64_t prefix = prefix_of(key, s->end);
    if (level->key.data != NULL &&
        (prefix < level->prefix ||
         (prefix == level->prefix && dom_slice_cmp(level->key, key) >= 0))) {
        return bad(s, "member is out of order or twice there");
    }
    level->key = key;
    level->prefix = prefix;
    s->at += 2;
    return true;
}

static bool open_level(struct scanner *s, bool is_array)
{
    if (s->depth == DOM_SCAN_DEPTH_MAX) {
        return bad(s, "nested too deep");
    }
    /* Asked once per object: its texts need not be compared one by one. */
    bool is_head = s->depth == 1 && !is_array && !s->levels[0].is_array &&
                   is_head_object(&s->levels[0]);
    s->levels[s->depth] = (struct level){.is_array = is_array,
                                         .is_head = is_head,
                                         .list = is_array && s->depth > 0 ? list_place(s) : NULL,
                                         .begin = s->at};
    s->depth++;
    s->at++;
    return true;
}

/* A scalar, or the opening of an object or array. */
static bool scan_value(struct scanner *s, bool *opened)
{
    struct dom_slice text;
    int64_t value = 0;

    *opened = false;
    if (s->at == s->end) {
        return bad(s, "value is missing");
    }
    switch (*s->at) {
        case '"':
            s->at++;
            if (!scan_text(s, &text)) {
                return false;
            }
            keep_text(s, text);
            return true;
        case '{':
        case '[':
            *opened = true;
            return open_level(s, *s->at == '[');
        case 't':
            return scan_word(s, DOM_SLICE_LIT("true"));
        case 'f':
            return scan_word(s, DOM_SLICE_LIT("false"));
        case 'n':
            return scan_word(s, DOM_SLICE_LIT("null"));
        default:
            if (!scan_integer(s, &value)) {
                return false;
            }
            keep_integer(s, value);
            return true;
    }
}

/* Behind a value: closes what ends here and steps over a comma. *done at the end of it all. */
static inline __attribute__((always_inline)) bool scan_after_value(struct scanner *s, bool *done)
{
    for (;;) {
        *done = s->depth == 0;
        if (*done) {
            return s->at == s->end || bad(s, "bytes behind the object");
        }
        if (s->at == s->end) {
            return bad(s, "object or list is cut short");
        }
        const struct level *level = &s->levels[s->depth - 1];
        if (*s->at == ',') {
            s->at++;
            return true;
        }
        if (*s->at != (level->is_array ? ']' : '}')) {
            return bad(s, "comma or end is missing");
        }
        s->at++;
        s->depth--;
        if (level->list != NULL) {
            *level->list = dom_slice_of(level->begin, (size_t)(s->at - level->begin));
        }
    }
}

static bool scan_all(struct scanner *s)
{
    bool opened = false;
    bool done = false;

    if (s->at == s->end || *s->at != '{') {
        return bad(s, "no JSON object");
    }
    for (;;) {
        if (!scan_value(s, &opened)) {
            return false;
        }
        bool empty = opened && s->at < s->end &&
                     *s->at == (s->levels[s->depth - 1].is_array ? ']' : '}');
        if ((!opened || empty) && !scan_after_value(s, &done)) {
            return false;
        }
        if (done) {
            return true;
        }
        if (!s->levels[s->depth - 1].is_array && !scan_key(s)) {
            return false;
        }
    }
}

enum dom_code dom_entry_scan(struct dom_slice entry, struct dom_entry_head *head,
                             struct dom_error *err)
{
    struct scanner s; /* levels are filled as they are opened: clearing all would cost more */

    s.at = entry.data;
    s.end = entry.data + entry.len;
    s.why = NULL;
    s.head = head;
    s.depth = 0;
    memset(head, 0, sizeof(*head));
    head->policy_version = -1;
    if (entry.len == 0) {
        return DOM_FAIL(err, DOM_PARSE, "entry is empty");
    }
    if (!scan_all(&s)) {
        return DOM_FAIL(err, DOM_PARSE, "entry is not canonical at byte %zu: %s",
                        (size_t)(s.at - entry.data), s.why);
    }
    return DOM_OK;
}
