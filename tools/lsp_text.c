#include "tools/lsp_text.h"

#include <string.h>

/* Line `number` (from 0) without its end; NULL data when there is none. */
static struct dom_slice line_of(struct dom_slice text, uint32_t number)
{
    for (;;) {
        const uint8_t *end = text.len == 0 ? NULL : memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        if (number == 0) {
            len -= len > 0 && text.data[len - 1] == '\r' ? 1U : 0U;
            return dom_slice_of(text.data == NULL ? (const uint8_t *)"" : text.data, len);
        }
        if (end == NULL) {
            return dom_slice_of(NULL, 0);
        }
        number--;
        text = dom_slice_of(end + 1, text.len - len - 1);
    }
}

/* UTF-16 units of a sequence by its first byte; continuation bytes count nothing. */
static uint32_t units_of(uint8_t byte)
{
    return (byte & 0xC0U) == 0x80U ? 0 : byte >= 0xF0U ? 2 : 1;
}

static uint32_t character_of(struct dom_slice line, size_t bytes, bool utf8)
{
    uint32_t units = 0;

    bytes = bytes > line.len ? line.len : bytes;
    for (size_t i = 0; i < bytes; i++) {
        units += utf8 ? 1U : units_of(line.data[i]);
    }
    return units;
}

struct dom_lsp_range dom_lsp_range(struct dom_slice text, struct dom_span span, bool utf8)
{
    struct dom_lsp_range out = {.line = span.line == 0 ? 0 : span.line - 1};
    struct dom_slice line = line_of(text, out.line);
    size_t begin = span.column == 0 ? 0 : span.column - 1;

    out.begin = character_of(line, begin, utf8);
    out.end = character_of(line, begin + span.length, utf8);
    return out;
}

bool dom_lsp_column(struct dom_slice text, uint32_t line, uint32_t character, bool utf8,
                    uint32_t *column)
{
    struct dom_slice bytes = line_of(text, line);
    size_t at = 0;
    uint32_t units = 0;

    *column = 0;
    if (bytes.data == NULL) {
        return false;
    }
    while (at < bytes.len && units < character) {
        units += utf8 ? 1U : units_of(bytes.data[at]);
        at++;
        while (!utf8 && at < bytes.len && units_of(bytes.data[at]) == 0) {
            at++;
        }
    }
    *column = (uint32_t)at + 1;
    return true;
}
