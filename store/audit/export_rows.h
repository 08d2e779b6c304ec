/* Reads an export row by row, whatever its form; what resuming and checking share.
 * Thread contract: one owner; it blocks on the file. */
#ifndef DOM_STORE_AUDIT_EXPORT_ROWS_H
#define DOM_STORE_AUDIT_EXPORT_ROWS_H

#include <stdio.h>

#include "base/buffer.h"
#include "base/error.h"
#include "store/audit/export_format.h"

struct dom_export_rows {
    FILE *in;
    bool quotes;           /* newlines between double quotes do not end a row */
    struct dom_buffer row; /* the present one, with its end */
    uint64_t num_bytes;    /* of the rows given so far */
};

void dom_export_rows_init(struct dom_export_rows *rows, FILE *in,
                          const struct dom_export_format *format);
void dom_export_rows_cleanup(struct dom_export_rows *rows);
/* The next row, which lies in *rows until the next call; *done at the end of the file. A row that
 * was cut off (no newline ends it) sets *done and *cut. Errors: IO, TOO_LARGE, RESOURCE. */
enum dom_code dom_export_rows_next(struct dom_export_rows *rows, struct dom_slice *row, bool *done,
                                   bool *cut, struct dom_error *err) DOM_MUST_USE;

#endif
