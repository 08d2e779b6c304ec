/* Lines "key value", as roots, bundles, timestamps and orders have them. */
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "policy/bundle/bundle_internal.h"

void dom_lines_init(struct dom_lines *lines, struct dom_slice text)
{
    *lines = (struct dom_lines){.rest = text, .line = 1};
}

void dom_lines_fail(struct dom_lines *lines)
{
    if (lines->bad == 0) {
        lines->bad = lines->line > 1 ? lines->line - 1 : 1;
    }
}

static struct dom_slice take(struct dom_lines *lines)
{
    struct dom_slice line = dom_slice_of(NULL, 0);

    if (lines->bad == 0) {
        lines->line++;
        if (!dom_take_line(&lines->rest, &line)) {
            dom_lines_fail(lines);
        }
    }
    return line;
}

void dom_lines_header(struct dom_lines *lines, const char *header)
{
    if (!dom_slice_eq_str(take(lines), header)) {
        dom_lines_fail(lines);
    }
}

static bool has_key(struct dom_slice line, const char *key)
{
    size_t len = strlen(key);

    return line.len > len && memcmp(line.data, key, len) == 0 && line.data[len] == ' ';
}

bool dom_lines_peek(const struct dom_lines *lines, const char *key)
{
    return lines->bad == 0 && has_key(lines->rest, key);
}

struct dom_slice dom_lines_value(struct dom_lines *lines, const char *key)
{
    struct dom_slice line = take(lines);

    if (!has_key(line, key)) {
        dom_lines_fail(lines);
        return dom_slice_of(NULL, 0);
    }
    return dom_slice_of(line.data + strlen(key) + 1, line.len - strlen(key) - 1);
}

bool dom_parse_number(struct dom_slice text, int64_t *out)
{
    *out = 0;
    if (text.len == 0 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' ||
            __builtin_mul_overflow(*out, INT64_C(10), out) ||
            __builtin_add_overflow(*out, (int64_t)(text.data[i] - '0'), out)) {
            return false;
        }
    }
    return true;
}

int64_t dom_lines_number(struct dom_lines *lines, const char *key)
{
    int64_t out = 0;

    if (!dom_parse_number(dom_lines_value(lines, key), &out)) {
        dom_lines_fail(lines);
    }
    return out;
}

int64_t dom_lines_time(struct dom_lines *lines, const char *key)
{
    int64_t out = 0;
    struct dom_slice value = dom_lines_value(lines, key);
    char again[DOM_RFC3339_SIZE];

    if (dom_time_parse(value, false, &out)) {
        dom_time_format(again, out, false); /* one spelling for a time: whole seconds */
        if (dom_slice_eq_str(value, again)) {
            return out;
        }
    }
    dom_lines_fail(lines);
    return 0;
}

void dom_lines_hash(struct dom_lines *lines, const char *key, uint8_t out[32])
{
    char again[65];
    struct dom_slice value = dom_lines_value(lines, key);

    if (dom_hex_decode(out, 32, value)) {
        dom_hex_encode(again, dom_slice_of(out, 32)); /* lower case only */
        if (dom_slice_eq_str(value, again)) {
            return;
        }
    }
    dom_lines_fail(lines);
}

bool dom_lines_done(struct dom_lines *lines)
{
    if (lines->bad == 0 && lines->rest.len != 0) {
        lines->bad = lines->line;
    }
    return lines->bad == 0;
}

bool dom_cut_word(struct dom_slice *rest, struct dom_slice *word)
{
    const uint8_t *space = rest->len == 0 ? NULL : memchr(rest->data, ' ', rest->len);

    if (space == NULL) {
        return false;
    }
    *word = dom_slice_of(rest->data, (size_t)(space - rest->data));
    *rest = dom_slice_of(space + 1, rest->len - word->len - 1);
    return true;
}

/* ---- faults ----------------------------------------------------------------------------- */

static const char *const s_names[] = {
#define X(name, text) #name,
    DOM_BUNDLE_FAULTS(X)
#undef X
};
static const char *const s_texts[] = {
#define X(name, text) text,
    DOM_BUNDLE_FAULTS(X)
#undef X
};
_Static_assert(DOM_ARRAY_LEN(s_names) == DOM_BUNDLE_FAULT_COUNT, "DOM_BUNDLE_FAULT_COUNT is stale");

const char *dom_bundle_fault_name(enum dom_bundle_fault fault)
{
    return (unsigned)fault < DOM_BUNDLE_FAULT_COUNT ? s_names[fault] : "";
}

const char *dom_bundle_fault_text(enum dom_bundle_fault fault)
{
    return (unsigned)fault < DOM_BUNDLE_FAULT_COUNT ? s_texts[fault] : "";
}

enum dom_bundle_fault dom_bundle_refuse(struct dom_error *err, enum dom_bundle_fault fault,
                                        const char *fmt, ...)
{
    char words[320];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(words, sizeof(words), fmt, args);
    va_end(args);
    (void)DOM_FAIL(err, DOM_BUNDLE, "%s: %s%s%s", dom_bundle_fault_name(fault),
                   dom_bundle_fault_text(fault), words[0] == '\0' ? "" : ": ", words);
    return fault;
}

void dom_policy_sha256(uint8_t out[DOM_POLICY_SHA256_SIZE], struct dom_slice bytes)
{
    static const uint8_t s_empty[1] = {0};

    (void)SHA256(bytes.len == 0 ? s_empty : bytes.data, bytes.len, out);
}
