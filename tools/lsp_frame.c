/* Content-Length framing, as the base protocol of LSP 3.17 has it. */
#include <string.h>
#include <strings.h>

#include "tools/lsp.h"

static enum dom_lsp_frame bad(const char **why, const char *what)
{
    *why = what;
    return DOM_LSP_BAD;
}

/* Digits only; whatever is over the limit is somewhere over the limit. */
static bool take_length(struct dom_slice text, size_t *length)
{
    *length = 0;
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = dom_slice_of(text.data + 1, text.len - 1);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        if (*length <= DOM_LSP_MESSAGE_BYTES_MAX) {
            *length = *length * 10 + (size_t)(text.data[i] - '0');
        }
    }
    return text.len > 0;
}

/* One header line without its end. False when it is none. */
static bool take_header(struct dom_slice line, bool *has_length, size_t *length)
{
    static const char name[] = "Content-Length";
    const uint8_t *colon = memchr(line.data, ':', line.len);

    if (colon == NULL || colon == line.data) {
        return false;
    }
    size_t name_len = (size_t)(colon - line.data);
    if (name_len != sizeof(name) - 1 ||
        strncasecmp((const char *)line.data, name, name_len) != 0) {
        return true; /* Content-Type, and whatever comes later */
    }
    if (*has_length) {
        return false;
    }
    *has_length = true;
    return take_length(dom_slice_of(colon + 1, line.len - name_len - 1), length);
}

enum dom_lsp_frame dom_lsp_frame(struct dom_slice bytes, struct dom_slice *body, size_t *size,
                                 const char **why)
{
    size_t at = 0;
    size_t length = 0;
    bool has_length = false;

    *body = dom_slice_of(NULL, 0);
    *size = 0;
    for (;;) {
        const uint8_t *end =
            bytes.len == at ? NULL : memmem(bytes.data + at, bytes.len - at, "\r\n", 2);
        if (end == NULL) {
            return bytes.len - at > DOM_LSP_HEADER_BYTES_MAX || at > DOM_LSP_HEADER_BYTES_MAX
                       ? bad(why, "headers of a message are too long")
                       : DOM_LSP_MORE;
        }
        size_t line_len = (size_t)(end - bytes.data) - at;
        if (line_len == 0) {
            at += 2;
            break;
        }
        if (!take_header(dom_slice_of(bytes.data + at, line_len), &has_length, &length)) {
            return bad(why, "a header is not of the form \"Content-Length: N\"");
        }
        at += line_len + 2;
    }
    if (!has_length) {
        return bad(why, "the header Content-Length is missing");
    }
    if (length > DOM_LSP_MESSAGE_BYTES_MAX) {
        return bad(why, "Content-Length is larger than any policy could need");
    }
    if (bytes.len - at < length) {
        return DOM_LSP_MORE;
    }
    *body = dom_slice_of(bytes.data + at, length);
    *size = at + length;
    return DOM_LSP_READY;
}
