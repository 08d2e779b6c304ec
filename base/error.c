#include "base/error.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct code_row {
    enum dom_code code;
    enum dom_category category;
    int grpc_status;
    const char *reason;
    const char *text;
};

static const struct code_row s_rows[] = {
#define X(name, number, cat, grpc, reason, text) {DOM_##name, DOM_CAT_##cat, grpc, reason, text},
    DOM_CODES(X)
#undef X
};

static const struct code_row *row_of(enum dom_code code)
{
    const struct code_row *internal = &s_rows[DOM_ARRAY_LEN(s_rows) - 1];

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_rows); i++) {
        if (s_rows[i].code == code) {
            return &s_rows[i];
        }
    }
    return internal;
}

enum dom_category dom_code_category(enum dom_code code)
{
    return row_of(code)->category;
}

int dom_code_grpc_status(enum dom_code code)
{
    return row_of(code)->grpc_status;
}

const char *dom_code_reason(enum dom_code code)
{
    return row_of(code)->reason;
}

const char *dom_code_text(enum dom_code code)
{
    return row_of(code)->text;
}

enum dom_code dom_error_set(struct dom_error *err, enum dom_code code, const char *file, int line,
                            const char *fmt, ...)
{
    va_list args;

    if (err == NULL) {
        return code;
    }
    /* Format into a side buffer: an argument may be err->message itself. */
    char text[sizeof(err->message)];
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    memcpy(err->message, text, sizeof(text));
    err->code = code;
    err->file = file;
    err->line = line;
    return code;
}

enum dom_code dom_error_prefix(struct dom_error *err, const char *fmt, ...)
{
    va_list args;
    char text[sizeof(err->message)] = "";

    if (err == NULL) {
        return DOM_INTERNAL;
    }
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof(text)) {
        (void)snprintf(text + len, sizeof(text) - (size_t)len, ": %s", err->message);
    }
    memcpy(err->message, text, sizeof(text));
    return err->code;
}

void dom_error_clear(struct dom_error *err)
{
    if (err != NULL) {
        memset(err, 0, sizeof(*err));
    }
}
