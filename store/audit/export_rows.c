#include "store/audit/export_rows.h"

#include <errno.h>

void dom_export_rows_init(struct dom_export_rows *rows, FILE *in,
                          const struct dom_export_format *format)
{
    memset(rows, 0, sizeof(*rows));
    rows->in = in;
    rows->quotes = format->quotes;
    dom_buffer_init(&rows->row, DOM_EXPORT_ROW_BYTES_MAX);
}

void dom_export_rows_cleanup(struct dom_export_rows *rows)
{
    dom_buffer_cleanup(&rows->row);
}

enum dom_code dom_export_rows_next(struct dom_export_rows *rows, struct dom_slice *row, bool *done,
                                   bool *cut, struct dom_error *err)
{
    bool quoted = false;
    int c = 0;

    *row = dom_slice_of(NULL, 0);
    *done = false;
    *cut = false;
    dom_buffer_clear(&rows->row);
    flockfile(rows->in);
    while (!rows->row.failed && (c = getc_unlocked(rows->in)) != EOF) {
        dom_buffer_append_char(&rows->row, (char)c);
        /* A quote within quotes is written twice: it flips there and back. */
        quoted = quoted != (rows->quotes && c == '"');
        if (c == '\n' && !quoted) {
            break;
        }
    }
    funlockfile(rows->in);
    if (rows->row.failed) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "a row is over %u bytes", DOM_EXPORT_ROW_BYTES_MAX);
    }
    if (c == EOF && ferror(rows->in) != 0) {
        return DOM_FAIL(err, DOM_IO, "cannot read the export: %s", strerror(errno));
    }
    if (c == EOF) {
        *done = true;
        *cut = rows->row.len > 0;
        return DOM_OK;
    }
    rows->num_bytes += rows->row.len;
    *row = dom_buffer_slice(&rows->row);
    return DOM_OK;
}
