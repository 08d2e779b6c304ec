#include "policy/lexer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dom_lexer_init(struct dom_lexer *lexer, struct dom_slice text, struct dom_arena *arena,
                    struct dom_findings *findings)
{
    memset(lexer, 0, sizeof(*lexer));
    lexer->text = text;
    lexer->arena = arena;
    lexer->findings = findings;
    lexer->line = 1;
}

static int peek(const struct dom_lexer *lexer, size_t ahead)
{
    size_t at = lexer->at + ahead;
    return at < lexer->text.len ? lexer->text.data[at] : -1;
}

static struct dom_place place_of(const struct dom_lexer *lexer, size_t at, size_t len)
{
    struct dom_place place = {
        .line = lexer->line,
        .column = (uint32_t)(at - lexer->line_start) + 1U,
        .length = (uint32_t)(len == 0 ? 1 : len),
    };
    return place;
}

static void new_line(struct dom_lexer *lexer)
{
    lexer->line++;
    lexer->line_start = lexer->at + 1;
}

size_t dom_utf8_step(const uint8_t *data, size_t len)
{
    size_t want = data[0] < 0x80 ? 1 : data[0] < 0xE0 ? 2 : data[0] < 0xF0 ? 3 : 4;

    if (want > len || !dom_utf8_valid(dom_slice_of(data, want))) {
        return 0;
    }
    return want;
}

/* Bidirectional controls make a line read differently from what it says (U+202A to U+202E and
 * U+2066 to U+2069): nobody could review such a policy. */
static bool is_bidi_control(const uint8_t *data, size_t step)
{
    if (step != 3 || data[0] != 0xE2) {
        return false;
    }
    return (data[1] == 0x80 && data[2] >= 0xAA && data[2] <= 0xAE) ||
           (data[1] == 0x81 && data[2] >= 0xA6 && data[2] <= 0xA9);
}

/* Checks the bytes at lexer->at inside a string or comment and returns how many to take. A bad
 * byte is reported once per run of them (*bad). */
static size_t check_text_byte(struct dom_lexer *lexer, bool *bad)
{
    const uint8_t *data = lexer->text.data + lexer->at;
    struct dom_place place = place_of(lexer, lexer->at, 1);

    if (data[0] == 0) {
        dom_findings_add(lexer->findings, "P0005", place, NULL, "remove it",
                         "NUL byte: libconfig would end the file here");
        return 1;
    }
    if ((data[0] < 0x20 && data[0] != '\t' && data[0] != '\n' && data[0] != '\r') ||
        data[0] == 0x7f) {
        dom_findings_add(lexer->findings, "P0011", place, NULL, "remove it",
                         "control byte 0x%02x", data[0]);
        return 1;
    }
    if (data[0] < 0x80) {
        *bad = false;
        return 1;
    }
    size_t step = dom_utf8_step(data, lexer->text.len - lexer->at);
    if (step == 0) {
        if (!*bad) {
            dom_findings_add(lexer->findings, "P0004", place, NULL, "save the file as UTF-8",
                             "byte 0x%02x is not valid UTF-8", data[0]);
        }
        *bad = true;
        return 1;
    }
    if (is_bidi_control(data, step)) {
        place.length = 3;
        dom_findings_add(lexer->findings, "P0019", place, NULL, "remove it",
                         "bidirectional control character hides what the line says");
    }
    *bad = false;
    return step;
}

static void skip_line_comment(struct dom_lexer *lexer)
{
    bool bad = false;

    while (lexer->at < lexer->text.len && peek(lexer, 0) != '\n') {
        lexer->at += check_text_byte(lexer, &bad);
    }
}

static void skip_block_comment(struct dom_lexer *lexer)
{
    struct dom_place opened = place_of(lexer, lexer->at, 2);
    bool bad = false;

    lexer->at += 2;
    while (lexer->at < lexer->text.len) {
        if (peek(lexer, 0) == '*' && peek(lexer, 1) == '/') {
            lexer->at += 2;
            return;
        }
        if (peek(lexer, 0) == '\n') {
            new_line(lexer);
        }
        lexer->at += check_text_byte(lexer, &bad);
    }
    lexer->truncated = true;
    dom_findings_add(lexer->findings, "P0002", opened, NULL, "add the closing */",
                     "comment is never closed: everything behind it would be dropped");
}

/* Appends one escape's value to out; returns the bytes taken, 0 when it is not an escape that
 * libconfig 1.5 resolves. */
static size_t read_escape(const uint8_t *data, size_t len, uint8_t *out)
{
    static const char names[] = "nrtf\\\"";
    static const char values[] = "\n\r\t\f\\\"";

    if (len < 2) {
        return 0;
    }
    if (data[1] == 'x' && len >= 4) {
        char hex[3] = {(char)data[2], (char)data[3], '\0'};
        char *end = NULL;
        if (strspn(hex, "0123456789abcdefABCDEF") != 2) {
            return 0;
        }
        unsigned long value = strtoul(hex, &end, 16);
        *out = (uint8_t)value;
        return 4;
    }
    const char *found = data[1] == 0 ? NULL : strchr(names, data[1]);
    if (found == NULL) {
        return 0;
    }
    *out = (uint8_t)values[found - names];
    return 2;
}

static size_t take_escape(struct dom_lexer *lexer, uint8_t *out, size_t *out_len)
{
    uint8_t value = 0;
    size_t took = read_escape(lexer->text.data + lexer->at, lexer->text.len - lexer->at, &value);

    if (took == 0) {
        dom_findings_add(lexer->findings, "P0006", place_of(lexer, lexer->at, 2), NULL,
                         "known are \\n \\r \\t \\f \\\\ \\\" \\xHH; for a backslash write \\\\",
                         "unknown escape in a string: libconfig would keep it as it stands");
        return peek(lexer, 1) == '\n' || peek(lexer, 1) < 0 ? 1 : 2;
    }
    if (value == 0 || value >= 0x80) {
        dom_findings_add(lexer->findings, value == 0 ? "P0005" : "P0004",
                         place_of(lexer, lexer->at, took), NULL, "write the character itself",
                         value == 0 ? "escape gives a NUL byte, which would end the string"
                                    : "escape gives a byte that is not ASCII");
        return took;
    }
    out[(*out_len)++] = value;
    return took;
}

static bool read_string(struct dom_lexer *lexer, struct dom_token *token)
{
    size_t start = lexer->at;
    size_t end = start + 1;
    size_t len = 0;
    bool bad = false;

    while (end < lexer->text.len && lexer->text.data[end] != '\n' &&
           lexer->text.data[end] != '"') {
        end += lexer->text.data[end] == '\\' && end + 1 < lexer->text.len &&
                       lexer->text.data[end + 1] != '\n'
                   ? 2
                   : 1;
    }
    uint8_t *out = dom_arena_alloc(lexer->arena, end - start + 1);
    if (out == NULL) {
        return false;
    }
    lexer->at++;
    while (lexer->at < end && peek(lexer, 0) != '"' && peek(lexer, 0) != '\n') {
        if (peek(lexer, 0) == '\\') {
            lexer->at += take_escape(lexer, out, &len);
            continue;
        }
        if (peek(lexer, 0) == '\t' || peek(lexer, 0) == '\r') {
            dom_findings_add(lexer->findings, "P0011", place_of(lexer, lexer->at, 1), NULL,
                             "write \\t or \\r", "control byte 0x%02x in a string",
                             (unsigned)peek(lexer, 0));
            lexer->at++;
            continue;
        }
        size_t step = check_text_byte(lexer, &bad);
        memcpy(out + len, lexer->text.data + lexer->at, step);
        len += step;
        lexer->at += step;
    }
    out[len] = '\0';
    if (peek(lexer, 0) == '"') {
        lexer->at++;
    } else {
        dom_findings_add(lexer->findings, "P0008", place_of(lexer, start, 1), NULL,
                         "add the closing quote; write \\n for a line break",
                         "string is not closed on its line");
        lexer->truncated = lexer->at >= lexer->text.len;
    }
    token->kind = DOM_TOKEN_STRING;
    token->string = dom_slice_of(out, len);
    return true;
}

static bool is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(int c)
{
    return is_name_start(c) || is_digit(c) || c == '-' || c == '_';
}

static void read_name(struct dom_lexer *lexer, struct dom_token *token)
{
    size_t start = lexer->at;

    while (is_name_byte(peek(lexer, 0))) {
        lexer->at++;
    }
    const char *text = (const char *)lexer->text.data + start;
    size_t len = lexer->at - start;
    token->kind = DOM_TOKEN_NAME;
    if ((len == 4 && strncasecmp(text, "true", 4) == 0) ||
        (len == 5 && strncasecmp(text, "false", 5) == 0)) {
        token->kind = DOM_TOKEN_BOOL;
        token->boolean = len == 4;
    }
}

/* Takes digits by hand rather than by strtoll, so that an overflow is seen and not clamped. */
static bool parse_integer(const char *text, size_t len, unsigned base, int64_t *out)
{
    bool negative = len > 0 && text[0] == '-';
    size_t i = len > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    uint64_t value = 0;

    if (base == 16) {
        i += 2;
    }
    for (; i < len; i++) {
        char c = text[i];
        unsigned digit = is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10U;
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1U : 0U)) {
        return false;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static void finish_integer(struct dom_lexer *lexer, struct dom_token *token, size_t start,
                           unsigned base)
{
    size_t len = lexer->at - start;
    const char *text = (const char *)lexer->text.data + start;
    bool wide = false;

    if (peek(lexer, 0) == 'L') {
        wide = true;
        lexer->at++;
        if (peek(lexer, 0) == 'L') {
            lexer->at++;
        }
    }
    token->kind = wide ? DOM_TOKEN_INT64 : DOM_TOKEN_INT;
    bool fits = parse_integer(text, len, base, &token->integer);
    if (!fits) {
        dom_findings_add(lexer->findings, "P0003", place_of(lexer, start, lexer->at - start), NULL,
                         "the largest is 9223372036854775807L",
                         "integer does not fit 64 bits: libconfig would change it");
        token->integer = 0;
    } else if (!wide && (token->integer > INT32_MAX || token->integer < INT32_MIN)) {
        dom_findings_add(lexer->findings, "P0003", place_of(lexer, start, lexer->at - start), NULL,
                         "write an L behind it for 64 bits",
                         "integer %lld does not fit 32 bits: libconfig would wrap it",
                         (long long)token->integer);
    }
}

static void skip_digits(struct dom_lexer *lexer)
{
    while (is_digit(peek(lexer, 0))) {
        lexer->at++;
    }
}

static void finish_float(struct dom_lexer *lexer, struct dom_token *token, size_t start)
{
    char text[64];
    size_t len = lexer->at - start;

    token->kind = DOM_TOKEN_FLOAT;
    if (len >= sizeof(text)) {
        dom_findings_add(lexer->findings, "P0018", place_of(lexer, start, len), NULL, NULL,
                         "number has too many digits");
        return;
    }
    memcpy(text, lexer->text.data + start, len);
    text[len] = '\0';
    token->real = strtod(text, NULL);
    if (token->real > 1e300 || token->real < -1e300) {
        dom_findings_add(lexer->findings, "P0003", place_of(lexer, start, len), NULL, NULL,
                         "number is out of range");
    }
}

static void read_number(struct dom_lexer *lexer, struct dom_token *token)
{
    size_t start = lexer->at;
    size_t digits = 0;
    bool real = false;

    if (peek(lexer, 0) == '0' && (peek(lexer, 1) | 0x20) == 'x') {
        lexer->at += 2;
        size_t first = lexer->at;
        while (is_digit(peek(lexer, 0)) ||
               ((peek(lexer, 0) | 0x20) >= 'a' && (peek(lexer, 0) | 0x20) <= 'f')) {
            lexer->at++;
        }
        digits = lexer->at - first;
        finish_integer(lexer, token, start, 16);
    } else {
        if (peek(lexer, 0) == '-' || peek(lexer, 0) == '+') {
            lexer->at++;
        }
        size_t first = lexer->at;
        skip_digits(lexer);
        digits = lexer->at - first;
        if (peek(lexer, 0) == '.') {
            real = true;
            lexer->at++;
            first = lexer->at;
            skip_digits(lexer);
            digits += lexer->at - first;
        }
        if (digits > 0 && (peek(lexer, 0) | 0x20) == 'e') {
            real = true;
            lexer->at++;
            if (peek(lexer, 0) == '-' || peek(lexer, 0) == '+') {
                lexer->at++;
            }
            first = lexer->at;
            skip_digits(lexer);
            digits = lexer->at - first;
        }
        if (real) {
            finish_float(lexer, token, start);
        } else {
            finish_integer(lexer, token, start, 10);
        }
    }
    bool glued = is_name_byte(peek(lexer, 0)) || peek(lexer, 0) == '.';
    while (is_name_byte(peek(lexer, 0)) || peek(lexer, 0) == '.') {
        lexer->at++;
    }
    if (digits == 0 || glued) {
        dom_findings_add(lexer->findings, "P0018", place_of(lexer, start, lexer->at - start), NULL,
                         NULL, "malformed number");
    }
}

/* Skips white space and comments. True when a kept comment was put into `token`. */
static bool skip_blank(struct dom_lexer *lexer, struct dom_token *token)
{
    for (;;) {
        int c = peek(lexer, 0);
        if (c == '\n') {
            new_line(lexer);
            lexer->at++;
            continue;
        }
        if (c == ' ' || c == '\t' || (c == '\r' && peek(lexer, 1) == '\n')) {
            lexer->at++;
            continue;
        }
        bool block = c == '/' && peek(lexer, 1) == '*';
        if (c != '#' && !block && !(c == '/' && peek(lexer, 1) == '/')) {
            return false;
        }
        size_t start = lexer->at;
        struct dom_place place = place_of(lexer, start, 2);
        if (block) {
            skip_block_comment(lexer);
        } else {
            skip_line_comment(lexer);
        }
        if (lexer->keep_comments) {
            token->kind = DOM_TOKEN_COMMENT;
            token->place = place;
            token->raw = dom_slice_of(lexer->text.data + start, lexer->at - start);
            return true;
        }
    }
}

static void refuse_byte(struct dom_lexer *lexer)
{
    int c = peek(lexer, 0);
    bool bad = false;

    if (c == '@') {
        size_t start = lexer->at++;
        while (is_name_byte(peek(lexer, 0))) {
            lexer->at++;
        }
        dom_findings_add(lexer->findings, "P0007", place_of(lexer, start, lexer->at - start), NULL,
                         "put its content here",
                         "@include reaches outside the file that is checked and signed");
        return;
    }
    if (c >= 0x80) {
        size_t start = lexer->at;
        size_t step = dom_utf8_step(lexer->text.data + start, lexer->text.len - start);
        if (step > 0) {
            lexer->at += step;
            bool bom = start == 0 && step == 3 && memcmp(lexer->text.data, "\xEF\xBB\xBF", 3) == 0;
            dom_findings_add(lexer->findings, "P0013", place_of(lexer, start, step), NULL,
                             bom ? "save the file without a byte order mark"
                                 : "outside strings and comments only ASCII may stand",
                             bom ? "byte order mark" : "unexpected character '%.*s'", (int)step,
                             (const char *)lexer->text.data + start);
            return;
        }
    }
    if (c == 0 || c >= 0x80 || c < 0x20 || c == 0x7f) {
        if (c == '\r') {
            dom_findings_add(lexer->findings, "P0011", place_of(lexer, lexer->at, 1), NULL,
                             "end lines with a line feed", "control byte 0x0d without a line feed");
            lexer->at++;
            return;
        }
        do {
            lexer->at += check_text_byte(lexer, &bad);
        } while (bad && lexer->at < lexer->text.len && peek(lexer, 0) >= 0x80);
        return;
    }
    dom_findings_add(lexer->findings, "P0013", place_of(lexer, lexer->at, 1), NULL, NULL,
                     "unexpected character '%c'", c);
    lexer->at++;
}

static enum dom_token_kind punctuation(int c)
{
    switch (c) {
    case '=':
    case ':':
        return DOM_TOKEN_ASSIGN;
    case ';':
        return DOM_TOKEN_SEMICOLON;
    case ',':
        return DOM_TOKEN_COMMA;
    case '{':
        return DOM_TOKEN_GROUP_OPEN;
    case '}':
        return DOM_TOKEN_GROUP_CLOSE;
    case '(':
        return DOM_TOKEN_LIST_OPEN;
    case ')':
        return DOM_TOKEN_LIST_CLOSE;
    case '[':
        return DOM_TOKEN_ARRAY_OPEN;
    case ']':
        return DOM_TOKEN_ARRAY_CLOSE;
    default:
        return DOM_TOKEN_END;
    }
}

bool dom_lexer_next(struct dom_lexer *lexer, struct dom_token *token)
{
    bool after_string = lexer->after_string;

    memset(token, 0, sizeof(*token));
    for (;;) {
        if (skip_blank(lexer, token)) {
            return true;
        }
        if (lexer->at >= lexer->text.len) {
            token->place = place_of(lexer, lexer->at, 1);
            return true;
        }
        int c = peek(lexer, 0);
        size_t start = lexer->at;
        token->place = place_of(lexer, start, 1);
        lexer->after_string = false;
        if (c == '"') {
            if (!read_string(lexer, token)) {
                return false;
            }
            lexer->after_string = true;
        } else if (is_name_start(c)) {
            read_name(lexer, token);
        } else if (is_digit(c) || c == '-' || c == '+' || c == '.') {
            read_number(lexer, token);
        } else if (punctuation(c) != DOM_TOKEN_END) {
            token->kind = punctuation(c);
            lexer->at++;
        } else {
            refuse_byte(lexer);
            after_string = false;
            continue;
        }
        token->raw = dom_slice_of(lexer->text.data + start, lexer->at - start);
        token->place.length = (uint32_t)token->raw.len;
        break;
    }
    if (after_string && token->kind == DOM_TOKEN_STRING) {
        dom_findings_add(lexer->findings, "P0001", token->place, NULL,
                         "put a comma before it, or join the two by hand",
                         "two strings side by side: libconfig would join them into one");
    }
    return true;
}

void dom_token_describe(const struct dom_token *token, char *out, size_t out_size)
{
    int len = token->raw.len > 40 ? 40 : (int)token->raw.len;

    if (token->kind == DOM_TOKEN_END) {
        (void)snprintf(out, out_size, "end of file");
    } else if (token->kind == DOM_TOKEN_STRING) {
        (void)snprintf(out, out_size, "string %.*s", len, (const char *)token->raw.data);
    } else {
        (void)snprintf(out, out_size, "'%.*s'", len, (const char *)token->raw.data);
    }
}
