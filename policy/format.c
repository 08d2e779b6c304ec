#include "policy/format.h"

#include <string.h>

#include "policy/lexer.h"
#include "policy/tree.h"

#define INDENT 2U

/* One open bracket; the bottom of the stack is the file. */
struct level {
    enum dom_token_kind close;
    size_t child_indent; /* of a line that begins inside */
    size_t close_indent; /* of a line that begins with the closing bracket */
};

struct formatter {
    struct dom_buffer *out;
    struct level levels[DOM_POLICY_NESTING_MAX + 2];
    size_t depth;
    size_t line_start;       /* offset in out */
    size_t line_indent;      /* of the line that is being written */
    struct dom_token last;   /* the token before, comments included */
    uint32_t last_line;      /* where it ended in the source */
    bool at_start;           /* nothing was written yet */
    bool after_name;         /* the last token but comments is a name or '=' */
    bool value_done;         /* the last value of a group is closed, its ';' written */
    bool too_deep;
};

static bool in_group(const struct formatter *formatter)
{
    return formatter->depth == 0 ||
           formatter->levels[formatter->depth].close == DOM_TOKEN_GROUP_CLOSE;
}

static bool is_open(enum dom_token_kind kind)
{
    return kind == DOM_TOKEN_GROUP_OPEN || kind == DOM_TOKEN_LIST_OPEN ||
           kind == DOM_TOKEN_ARRAY_OPEN;
}

static bool is_close(enum dom_token_kind kind)
{
    return kind == DOM_TOKEN_GROUP_CLOSE || kind == DOM_TOKEN_LIST_CLOSE ||
           kind == DOM_TOKEN_ARRAY_CLOSE;
}

static bool is_line_comment(const struct dom_token *token)
{
    return token->kind == DOM_TOKEN_COMMENT &&
           !(token->raw.len >= 2 && token->raw.data[1] == '*');
}

/* Characters, not bytes, so that what is aligned looks aligned. */
static size_t column(const struct formatter *formatter)
{
    size_t count = 0;

    for (size_t i = formatter->line_start; i < formatter->out->len; i++) {
        count += (formatter->out->data[i] & 0xC0) != 0x80 ? 1U : 0U;
    }
    return count;
}

static void begin_line(struct formatter *formatter, bool empty_line, size_t indent)
{
    if (!formatter->at_start) {
        dom_buffer_append_str(formatter->out, empty_line ? "\n\n" : "\n");
    }
    formatter->line_start = formatter->out->len;
    formatter->line_indent = indent;
    for (size_t i = 0; i < indent; i++) {
        dom_buffer_append_char(formatter->out, ' ');
    }
}

/* Does a space stand between the two on one line? */
static bool wants_space(const struct dom_token *last, const struct dom_token *token)
{
    if (last->kind == DOM_TOKEN_COMMENT || token->kind == DOM_TOKEN_COMMENT) {
        return true;
    }
    switch (token->kind) {
    case DOM_TOKEN_SEMICOLON:
    case DOM_TOKEN_COMMA:
        return false;
    case DOM_TOKEN_GROUP_CLOSE:
        return last->kind != DOM_TOKEN_GROUP_OPEN;
    case DOM_TOKEN_LIST_CLOSE:
        return last->kind == DOM_TOKEN_GROUP_CLOSE;
    case DOM_TOKEN_ARRAY_CLOSE:
        return false;
    case DOM_TOKEN_GROUP_OPEN:
        return true;
    case DOM_TOKEN_END:
    case DOM_TOKEN_NAME:
    case DOM_TOKEN_STRING:
    case DOM_TOKEN_INT:
    case DOM_TOKEN_INT64:
    case DOM_TOKEN_FLOAT:
    case DOM_TOKEN_BOOL:
    case DOM_TOKEN_ASSIGN:
    case DOM_TOKEN_LIST_OPEN:
    case DOM_TOKEN_ARRAY_OPEN:
    case DOM_TOKEN_COMMENT:
        break;
    }
    return last->kind != DOM_TOKEN_LIST_OPEN && last->kind != DOM_TOKEN_ARRAY_OPEN;
}

/* Puts the place for the token: a new line, a space or nothing. */
static void separate(struct formatter *formatter, const struct dom_token *token)
{
    const struct level *level = &formatter->levels[formatter->depth];
    bool starts = token->kind == DOM_TOKEN_NAME && formatter->depth == 0;
    uint32_t lines = token->place.line - formatter->last_line;
    bool breaks = lines > 0 || (starts && !formatter->at_start);

    if (formatter->after_name && token->kind != DOM_TOKEN_COMMENT) {
        breaks = false; /* a value stands beside its name */
    }
    if (token->kind == DOM_TOKEN_COMMA) {
        breaks = false;
    }
    if (formatter->at_start || is_line_comment(&formatter->last)) {
        breaks = true;
    }
    if (!breaks) {
        if (wants_space(&formatter->last, token)) {
            dom_buffer_append_char(formatter->out, ' ');
        }
        return;
    }
    bool inner_edge = is_open(formatter->last.kind) || is_close(token->kind);
    begin_line(formatter, lines > 1 && !inner_edge,
               is_close(token->kind) ? level->close_indent : level->child_indent);
}

static enum dom_token_kind closer_of(enum dom_token_kind open)
{
    return open == DOM_TOKEN_GROUP_OPEN  ? DOM_TOKEN_GROUP_CLOSE
           : open == DOM_TOKEN_LIST_OPEN ? DOM_TOKEN_LIST_CLOSE
                                         : DOM_TOKEN_ARRAY_CLOSE;
}

/* After an opening bracket: where do the lines inside begin? `next` is what follows it. */
static void push(struct formatter *formatter, const struct dom_token *open,
                 const struct dom_token *next)
{
    if (formatter->depth + 1 >= DOM_ARRAY_LEN(formatter->levels)) {
        formatter->too_deep = true;
        return;
    }
    struct level *level = &formatter->levels[++formatter->depth];
    size_t at = column(formatter);
    bool breaks = next->place.line != open->place.line || is_line_comment(next);
    level->close = closer_of(open->kind);
    level->child_indent = breaks ? formatter->line_indent + INDENT
                                 : at + (wants_space(open, next) ? 1U : 0U);
    level->close_indent = breaks ? formatter->line_indent : at - 1;
}

static void write_raw(struct formatter *formatter, const struct dom_token *token)
{
    struct dom_slice raw = token->raw;

    while (is_line_comment(token) && raw.len > 0 &&
           strchr(" \t\r", raw.data[raw.len - 1]) != NULL) {
        raw.len--;
    }
    if (token->kind == DOM_TOKEN_ASSIGN) {
        raw = dom_slice_str("=");
    }
    dom_buffer_append_slice(formatter->out, raw);
    formatter->last_line = token->place.line;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] == '\n') {
            formatter->last_line++;
            formatter->line_start = formatter->out->len - (raw.len - i - 1);
        }
    }
    formatter->last = *token;
    formatter->at_start = false;
}

static bool is_scalar(enum dom_token_kind kind)
{
    return kind == DOM_TOKEN_STRING || kind == DOM_TOKEN_INT || kind == DOM_TOKEN_INT64 ||
           kind == DOM_TOKEN_FLOAT || kind == DOM_TOKEN_BOOL;
}

/* Writes one token. In a group every value gets its ';' at once, whatever ended it. */
static void write_token(struct formatter *formatter, const struct dom_token *token,
                        const struct dom_token *next)
{
    bool terminator = token->kind == DOM_TOKEN_SEMICOLON || token->kind == DOM_TOKEN_COMMA;

    if (terminator && in_group(formatter)) {
        formatter->value_done = false;
        return;
    }
    separate(formatter, token);
    write_raw(formatter, token);
    if (token->kind == DOM_TOKEN_COMMENT) {
        return;
    }
    formatter->after_name = token->kind == DOM_TOKEN_NAME || token->kind == DOM_TOKEN_ASSIGN;
    if (is_open(token->kind)) {
        push(formatter, token, next);
        return;
    }
    if (is_close(token->kind) && formatter->depth > 0) {
        formatter->depth--;
    }
    if ((is_scalar(token->kind) || is_close(token->kind)) && in_group(formatter)) {
        dom_buffer_append_char(formatter->out, ';');
        formatter->last.kind = DOM_TOKEN_SEMICOLON;
        formatter->value_done = true;
    }
}

static enum dom_code write_tokens(struct dom_buffer *out, struct dom_slice text,
                                  struct dom_arena *arena, struct dom_findings *findings,
                                  struct dom_error *err)
{
    struct formatter formatter = {.out = out, .at_start = true, .last_line = 1};
    struct dom_token token;
    struct dom_token next;
    struct dom_lexer lexer;

    dom_lexer_init(&lexer, text, arena, findings);
    lexer.keep_comments = true;
    memset(&token, 0, sizeof(token));
    memset(&next, 0, sizeof(next));
    bool ok = dom_lexer_next(&lexer, &token);
    while (ok && token.kind != DOM_TOKEN_END && !formatter.too_deep) {
        ok = dom_lexer_next(&lexer, &next);
        write_token(&formatter, &token, &next);
        token = next;
    }
    if (!formatter.at_start) {
        dom_buffer_append_char(out, '\n');
    }
    if (formatter.too_deep) {
        return DOM_FAIL(err, DOM_INTERNAL, "nested deeper than the parser allows");
    }
    return ok && !out->failed ? DOM_OK : DOM_FAIL(err, DOM_RESOURCE, "out of memory");
}

/* ---- the result says the same ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_node(const struct dom_node *a, const struct dom_node *b)
{
    if (a->type != b->type || a->num != b->num || !same_text(a->name, b->name) ||
        a->integer != b->integer || memcmp(&a->real, &b->real, sizeof(a->real)) != 0 ||
        a->boolean != b->boolean || !dom_slice_eq(a->string, b->string)) {
        return false;
    }
    const struct dom_node *y = b->first;
    for (const struct dom_node *x = a->first; x != NULL; x = x->next, y = y->next) {
        if (!same_node(x, y)) {
            return false;
        }
    }
    return true;
}

/* The next comment, trimmed at its end; false when there is none. */
static bool next_comment(struct dom_lexer *lexer, struct dom_slice *comment)
{
    struct dom_token token;

    memset(&token, 0, sizeof(token));
    do {
        if (!dom_lexer_next(lexer, &token) || token.kind == DOM_TOKEN_END) {
            return false;
        }
    } while (token.kind != DOM_TOKEN_COMMENT);
    *comment = token.raw;
    while (comment->len > 0 && strchr(" \t\r", comment->data[comment->len - 1]) != NULL) {
        comment->len--;
    }
    return true;
}

static bool same_comments(struct dom_slice before, struct dom_slice after, struct dom_arena *arena)
{
    struct dom_findings unused = {0};
    struct dom_lexer old_lexer;
    struct dom_lexer new_lexer;
    struct dom_slice old_comment = dom_slice_of("", 0);
    struct dom_slice new_comment = dom_slice_of("", 0);
    bool same = true;

    dom_lexer_init(&old_lexer, before, arena, &unused);
    dom_lexer_init(&new_lexer, after, arena, &unused);
    old_lexer.keep_comments = true;
    new_lexer.keep_comments = true;
    for (bool more = true; same && more;) {
        more = next_comment(&old_lexer, &old_comment);
        same = next_comment(&new_lexer, &new_comment) == more &&
               (!more || dom_slice_eq(old_comment, new_comment));
    }
    dom_findings_cleanup(&unused);
    return same;
}

enum dom_code dom_format(struct dom_buffer *out, struct dom_slice text,
                         struct dom_findings *findings, struct dom_error *err)
{
    struct dom_findings again = {0};
    struct dom_node *before = NULL;
    struct dom_node *after = NULL;
    struct dom_arena arena;
    size_t start = out->len;

    dom_arena_init(&arena, NULL, 0, 2 * (size_t)DOM_TREE_BYTES_MAX);
    enum dom_code rc = dom_tree_parse(&before, text, &arena, findings, err);
    dom_findings_sort(findings);
    if (rc == DOM_OK && dom_findings_count(findings, DOM_FINDING_ERROR) != 0) {
        rc = DOM_FAIL(err, DOM_PARSE, "the text has errors");
    }
    if (rc == DOM_OK) {
        rc = write_tokens(out, text, &arena, findings, err);
    }
    if (rc == DOM_OK) {
        struct dom_slice made = dom_slice_of(out->data + start, out->len - start);
        made = out->len == start ? dom_slice_of("", 0) : made;
        rc = dom_tree_parse(&after, made, &arena, &again, err);
        if (rc == DOM_PARSE ||
            (rc == DOM_OK && (!same_node(before, after) || !same_comments(text, made, &arena)))) {
            rc = DOM_FAIL(err, DOM_INTERNAL, "laying the text out would change it");
        }
    }
    dom_findings_cleanup(&again);
    dom_arena_cleanup(&arena);
    return rc;
}

/* ---- what changed ---- */

/* How far two texts are searched for where they meet again. */
#define LOOK_AHEAD 200U

struct lines {
    struct dom_slice rest;
    size_t number; /* of the line at rest, from 1 */
};

/* The line at the front, without its end; false at the end of the text. */
static bool line_at(const struct lines *lines, size_t ahead, struct dom_slice *line)
{
    struct dom_slice rest = lines->rest;

    for (;;) {
        if (rest.len == 0) {
            return false;
        }
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
        if (ahead-- == 0) {
            *line = dom_slice_of(rest.data, len);
            return true;
        }
        len = end == NULL ? len : len + 1;
        rest = dom_slice_of(rest.data + len, rest.len - len);
    }
}

static void skip_line(struct lines *lines)
{
    struct dom_slice line = dom_slice_of("", 0);

    if (line_at(lines, 0, &line)) {
        size_t len = line.len < lines->rest.len ? line.len + 1 : line.len;
        lines->rest = dom_slice_of(lines->rest.data + len, lines->rest.len - len);
        lines->number++;
    }
}

/* The nearest place where both go on alike. */
static void find_meeting(const struct lines *before, const struct lines *after, size_t *removed,
                         size_t *added)
{
    struct dom_slice x = dom_slice_of("", 0);
    struct dom_slice y = dom_slice_of("", 0);

    for (size_t sum = 1; sum <= LOOK_AHEAD; sum++) {
        for (size_t i = 0; i <= sum; i++) {
            bool has_x = line_at(before, i, &x);
            bool has_y = line_at(after, sum - i, &y);
            if (has_x == has_y && (!has_x || dom_slice_eq(x, y))) {
                *removed = i;
                *added = sum - i;
                return;
            }
        }
    }
    *removed = LOOK_AHEAD;
    *added = LOOK_AHEAD;
}

static void put_lines(struct dom_buffer *out, char sign, struct lines *lines, size_t num)
{
    struct dom_slice line = dom_slice_of("", 0);

    for (size_t i = 0; i < num && line_at(lines, 0, &line); i++) {
        dom_buffer_append_char(out, sign);
        dom_buffer_append_slice(out, line);
        dom_buffer_append_char(out, '\n');
        skip_line(lines);
    }
}

void dom_format_diff(struct dom_buffer *out, const char *name, struct dom_slice before,
                     struct dom_slice after)
{
    struct lines was = {before, 1};
    struct lines is = {after, 1};
    bool first = true;

    for (;;) {
        struct dom_slice x = dom_slice_of("", 0);
        struct dom_slice y = dom_slice_of("", 0);
        bool has_x = line_at(&was, 0, &x);
        bool has_y = line_at(&is, 0, &y);
        size_t removed = 0;
        size_t added = 0;
        if (!has_x && !has_y) {
            return;
        }
        if (has_x && has_y && dom_slice_eq(x, y)) {
            skip_line(&was);
            skip_line(&is);
            continue;
        }
        find_meeting(&was, &is, &removed, &added);
        if (first) {
            dom_buffer_printf(out, "--- %s\n+++ %s (formatted)\n", name, name);
            first = false;
        }
        dom_buffer_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n",
                          removed == 0 ? was.number - 1 : was.number, removed,
                          added == 0 ? is.number - 1 : is.number, added);
        put_lines(out, '-', &was, removed);
        put_lines(out, '+', &is, added);
    }
}
