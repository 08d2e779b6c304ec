/* The forms that an entry can be exported in: one row per entry, each form a unit of its own.
 *
 *   jsonl        the entry's exact bytes with index and leaf hash; can be hashed again
 *   csv          RFC 4180, one header row; for spreadsheets
 *   ocsf         OCSF 1.8 events, one JSON object per line
 *   ecs          Elastic Common Schema 8.11, one JSON object per line
 *   cef          Common Event Format, version 0
 *   cloudevents  CloudEvents 1.0 in JSON, the entry's exact bytes as data; can be hashed again
 *
 * Members and what maps to what: docs/AUDIT_FORMAT.md. A row depends on the entry and its index
 * alone, so that the same log gives the same bytes again.
 *
 * Thread contract: any thread; pure, but for the buffer.
 */
#ifndef DOM_STORE_AUDIT_EXPORT_FORMAT_H
#define DOM_STORE_AUDIT_EXPORT_FORMAT_H

#include "base/buffer.h"
#include "base/error.h"
#include "store/audit/event.h"
#include "store/audit/hash.h"

/* A row of any form is at most this long: a control byte of an entry becomes six bytes, and a
 * text is there at most three times. */
#define DOM_EXPORT_ROW_BYTES_MAX (1U << 20)

/* What a row is made of. */
struct dom_export_row {
    struct dom_slice entry;              /* its exact bytes */
    const struct dom_audit_event *event; /* NULL unless the form has wants_event */
    uint64_t index;
    struct dom_hash leaf;
};

struct dom_export_format {
    const char *name;
    bool wants_event; /* row() needs the parsed event */
    bool quotes;      /* a row may hold newlines between double quotes */
    /* Stands in front of the index in each row; "" when the row begins with it. */
    const char *index_mark;
    bool index_last; /* the last such mark counts, else the first */
    /* Appends the header row, with its end. NULL: there is none. */
    void (*header)(struct dom_buffer *out);
    /* Appends one row with its end. It cannot fail but for the buffer's own reasons. */
    void (*row)(struct dom_buffer *out, const struct dom_export_row *row);
    /* Finds the entry's exact bytes in a row (with its end). NULL: they are not there. */
    bool (*entry)(struct dom_slice row, struct dom_slice *entry);
};

extern const struct dom_export_format dom_export_format_jsonl;
extern const struct dom_export_format dom_export_format_csv;
extern const struct dom_export_format dom_export_format_ocsf;
extern const struct dom_export_format dom_export_format_ecs;
extern const struct dom_export_format dom_export_format_cef;
extern const struct dom_export_format dom_export_format_cloudevents;

/* By name; NULL when there is none of that name. Static. */
const struct dom_export_format *dom_export_format_find(struct dom_slice name);
/* "jsonl, csv, ..."; static. */
const char *dom_export_format_names(void);

/* The index that a row was made with. False when it is not where the form has it. */
bool dom_export_row_index(const struct dom_export_format *format, struct dom_slice row,
                          uint64_t *index);

/* Rebuilds the row of an entry. `out` is appended to. Errors: PARSE, INVALID (not an entry),
 * RESOURCE. */
enum dom_code dom_export_row_make(const struct dom_export_format *format, struct dom_slice entry,
                                  uint64_t index, struct dom_buffer *out,
                                  struct dom_error *err) DOM_MUST_USE;

/* Appends one CSV field, quoted where RFC 4180 wants it. A text that a spreadsheet would take for
 * a formula (it begins with = + - @, a tab or a carriage return) gets an apostrophe in front. */
void dom_csv_field(struct dom_buffer *out, struct dom_slice text);

#endif
