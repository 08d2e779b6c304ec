#include "policy/finding_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *dom_finding_level_name(enum dom_finding_level level)
{
    switch (level) {
    case DOM_FINDING_ERROR:
        return "error";
    case DOM_FINDING_SECURITY_WARNING:
        return "security-warning";
    case DOM_FINDING_WARNING:
        return "warning";
    case DOM_FINDING_SUGGESTION:
        return "suggestion";
    }
    return "error";
}

static void item_cleanup(struct dom_finding *item)
{
    free(item->message);
    free(item->path);
    free(item->help);
}

void dom_findings_cleanup(struct dom_findings *findings)
{
    for (size_t i = 0; i < findings->num_items; i++) {
        item_cleanup(&findings->items[i]);
    }
    free(findings->items);
    memset(findings, 0, sizeof(*findings));
}

size_t dom_findings_count(const struct dom_findings *findings, enum dom_finding_level level)
{
    size_t count = 0;

    for (size_t i = 0; i < findings->num_items; i++) {
        if (findings->items[i].level == level) {
            count++;
        }
    }
    return count;
}

/* Room for one more; NULL when the list is full or memory is out. */
static struct dom_finding *grow(struct dom_findings *findings)
{
    if (findings->num_items == findings->capacity) {
        size_t capacity = findings->capacity == 0 ? 16 : findings->capacity * 2;
        struct dom_finding *items = realloc(findings->items, capacity * sizeof(*items));
        if (items == NULL) {
            return NULL;
        }
        findings->items = items;
        findings->capacity = capacity;
    }
    struct dom_finding *item = &findings->items[findings->num_items];
    memset(item, 0, sizeof(*item));
    return item;
}

static char *copy_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : strdup(text);
}

void dom_findings_add(struct dom_findings *findings, const char *code, struct dom_place place,
                      const char *path, const char *help, const char *fmt, ...)
{
    char message[512];
    va_list args;

    if (findings->num_items > DOM_FINDINGS_MAX) {
        return;
    }
    struct dom_finding *item = grow(findings);
    if (item == NULL) {
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    if (findings->num_items == DOM_FINDINGS_MAX) {
        code = "P0099";
        path = NULL;
        help = "mend the first ones and run again";
        (void)snprintf(message, sizeof(message), "more than %u findings; the rest are not shown",
                       DOM_FINDINGS_MAX);
    }
    (void)snprintf(item->code, sizeof(item->code), "%s", code);
    item->level = dom_finding_code_level(code);
    item->line = place.line;
    item->column = place.column;
    item->length = place.length == 0 ? 1 : place.length;
    item->message = strdup(message);
    item->path = copy_or_null(path);
    item->help = copy_or_null(help);
    findings->num_items++;
}

static int compare_items(const void *a, const void *b)
{
    const struct dom_finding *x = a;
    const struct dom_finding *y = b;

    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    if (x->column != y->column) {
        return x->column < y->column ? -1 : 1;
    }
    int by_code = strcmp(x->code, y->code);
    if (by_code != 0) {
        return by_code;
    }
    return strcmp(x->message == NULL ? "" : x->message, y->message == NULL ? "" : y->message);
}

void dom_findings_sort(struct dom_findings *findings)
{
    size_t kept = 0;

    if (findings->num_items == 0) {
        return;
    }
    qsort(findings->items, findings->num_items, sizeof(findings->items[0]), compare_items);
    for (size_t i = 1; i < findings->num_items; i++) {
        if (compare_items(&findings->items[kept], &findings->items[i]) == 0) {
            item_cleanup(&findings->items[i]);
        } else {
            findings->items[++kept] = findings->items[i];
        }
    }
    findings->num_items = kept + 1;
}

static struct dom_slice source_line(struct dom_slice text, uint32_t line)
{
    size_t start = 0;

    for (uint32_t at = 1; at < line; at++) {
        const uint8_t *end = start < text.len
                                 ? memchr(text.data + start, '\n', text.len - start)
                                 : NULL;
        if (end == NULL) {
            return dom_slice_of("", 0);
        }
        start = (size_t)(end - text.data) + 1;
    }
    if (start >= text.len) {
        return dom_slice_of("", 0);
    }
    const uint8_t *end = memchr(text.data + start, '\n', text.len - start);
    size_t len = end == NULL ? text.len - start : (size_t)(end - text.data) - start;
    return dom_slice_of(text.data + start, len);
}

/* Carets are counted in characters, not bytes, so that they sit under the word even when a name
 * before them is not ASCII. Control bytes print as '?', so that a terminal cannot be driven. */
static void print_source(struct dom_buffer *out, const struct dom_finding *item,
                         struct dom_slice text)
{
    struct dom_slice line = source_line(text, item->line);
    size_t shown = line.len > 400 ? 400 : line.len;
    size_t first = item->column == 0 ? 0 : item->column - 1U;

    dom_buffer_printf(out, "%5u |  ", item->line);
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = line.data[i];
        bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
        dom_buffer_append_char(out, control ? '?' : (char)byte);
    }
    dom_buffer_append_str(out, "\n      |  ");
    for (size_t i = 0; i < first && i < shown; i++) {
        if ((line.data[i] & 0xC0) != 0x80) {
            dom_buffer_append_char(out, line.data[i] == '\t' ? '\t' : ' ');
        }
    }
    size_t carets = 0;
    for (size_t i = first; i < first + item->length && i < shown; i++) {
        if ((line.data[i] & 0xC0) != 0x80) {
            dom_buffer_append_char(out, '^');
            carets++;
        }
    }
    if (carets == 0) {
        dom_buffer_append_char(out, '^');
    }
    if (item->help != NULL) {
        dom_buffer_printf(out, " %s", item->help);
    }
    dom_buffer_append_char(out, '\n');
}

void dom_findings_print(const struct dom_findings *findings, const char *name,
                        struct dom_slice text, struct dom_buffer *out)
{
    for (size_t i = 0; i < findings->num_items; i++) {
        const struct dom_finding *item = &findings->items[i];
        dom_buffer_printf(out, "%s[%s]: %s\n", dom_finding_level_name(item->level), item->code,
                          item->message == NULL ? "" : item->message);
        dom_buffer_printf(out, "  --> %s:%u:%u", name, item->line, item->column);
        if (item->path != NULL) {
            dom_buffer_printf(out, "  %s", item->path);
        }
        dom_buffer_append_char(out, '\n');
        print_source(out, item, text);
    }
}

void dom_json_escape(struct dom_buffer *out, struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        if (byte == '"' || byte == '\\') {
            dom_buffer_append_char(out, '\\');
            dom_buffer_append_char(out, (char)byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            dom_buffer_printf(out, "\\u%04x", byte);
        } else if (byte < 0x80) {
            dom_buffer_append_char(out, (char)byte);
        } else {
            size_t len = 1;
            while (len < 4 && i + len < text.len && (text.data[i + len] & 0xC0) == 0x80) {
                len++;
            }
            struct dom_slice one = dom_slice_of(text.data + i, len);
            if (dom_utf8_valid(one)) {
                dom_buffer_append_slice(out, one);
                i += len - 1;
            } else {
                dom_buffer_append_str(out, "\xEF\xBF\xBD");
            }
        }
    }
}

void dom_json_string(struct dom_buffer *out, const char *text)
{
    dom_buffer_append_char(out, '"');
    dom_json_escape(out, dom_slice_str(text == NULL ? "" : text));
    dom_buffer_append_char(out, '"');
}

void dom_findings_print_json(const struct dom_findings *findings, const char *name,
                             struct dom_buffer *out)
{
    dom_buffer_append_char(out, '[');
    for (size_t i = 0; i < findings->num_items; i++) {
        const struct dom_finding *item = &findings->items[i];
        dom_buffer_append_str(out, i == 0 ? "\n  {" : ",\n  {");
        dom_buffer_printf(out, "\"level\": \"%s\", \"code\": \"%s\", \"file\": ",
                          dom_finding_level_name(item->level), item->code);
        dom_json_string(out, name);
        dom_buffer_printf(out, ", \"line\": %u, \"column\": %u, \"length\": %u, \"message\": ",
                          item->line, item->column, item->length);
        dom_json_string(out, item->message);
        if (item->path != NULL) {
            dom_buffer_append_str(out, ", \"path\": ");
            dom_json_string(out, item->path);
        }
        if (item->help != NULL) {
            dom_buffer_append_str(out, ", \"help\": ");
            dom_json_string(out, item->help);
        }
        dom_buffer_append_char(out, '}');
    }
    dom_buffer_append_str(out, findings->num_items == 0 ? "]\n" : "\n]\n");
}
