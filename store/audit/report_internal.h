/* The parts of a report: a table in one of three forms, and lines that gather what they count.
 * Thread contract: one owner. */
#ifndef DOM_STORE_AUDIT_REPORT_INTERNAL_H
#define DOM_STORE_AUDIT_REPORT_INTERNAL_H

#include "store/audit/event.h"
#include "store/audit/hash.h"
#include "store/audit/report.h"
#include "store/crypto/sha256.h"

/* ---- the table ---------------------------------------------------------------------------- */

struct dom_table {
    enum dom_report_form form;
    FILE *out;
    struct dom_buffer text; /* the row in work */
    size_t num_columns;
    size_t at; /* cells of the row so far */
    uint64_t num_rows;
};

struct dom_table_head {
    const char *title;
    const char *note;
    const char *period;
    const struct dom_slice *said; /* a line each */
    size_t num_said;
    const char *const *columns;
    size_t num_columns;
};
/* Begins with the title and what else is told (not in CSV), and the heads of the columns. */
enum dom_code dom_table_begin(struct dom_table *table, const struct dom_table_head *head,
                              struct dom_error *err) DOM_MUST_USE;
/* The next cell of the row. */
void dom_table_cell(struct dom_table *table, struct dom_slice text);
void dom_table_number(struct dom_table *table, uint64_t value);
void dom_table_time(struct dom_table *table, int64_t wall_ms);
/* Ends the row, which has all its cells. Errors: IO, RESOURCE. */
enum dom_code dom_table_row(struct dom_table *table, struct dom_error *err) DOM_MUST_USE;
/* The end of the table and a list below it (neither in CSV). Errors: IO, RESOURCE. */
enum dom_code dom_table_end(struct dom_table *table, const struct dom_slice *items,
                            size_t num_items, struct dom_error *err) DOM_MUST_USE;
void dom_table_cleanup(struct dom_table *table);

/* ---- lines -------------------------------------------------------------------------------- */

#define DOM_LINE_CELLS_MAX  12U
#define DOM_PROOF_RANGES_MAX 16U

/* The entries of one log that back a line: their ranges as far as they are kept, and a digest
 * over the leaf hashes of all of them, in order. */
struct dom_line_proof {
    struct dom_line_proof *next;
    unsigned log;
    uint64_t count;
    uint64_t first[DOM_PROOF_RANGES_MAX];
    uint64_t last[DOM_PROOF_RANGES_MAX];
    unsigned num_ranges;
    bool more; /* ranges were left out */
    uint64_t last_index;
    struct dom_sha256_stream digest;
};

struct dom_line {
    struct dom_slice cells[DOM_LINE_CELLS_MAX]; /* what tells it from others; owned */
    uint64_t operations, records, bytes, withheld, refused;
    int64_t first_ms, last_ms;
    struct dom_line_proof *proofs;
};

struct dom_lines {
    size_t num_cells;
    struct dom_line **lines; /* in the order of their cells; owned */
    size_t num_lines;
    size_t capacity;
};

/* The line with these cells, made if it is not there. Errors: TOO_LARGE, RESOURCE. */
enum dom_code dom_lines_get(struct dom_lines *lines, const struct dom_slice *cells,
                            struct dom_line **line, struct dom_error *err) DOM_MUST_USE;
/* Counts an entry as backing the line; again is the same as once. Errors: RESOURCE. */
enum dom_code dom_line_prove(struct dom_line *line, unsigned log, uint64_t index,
                             const struct dom_hash *leaf, int64_t time_ms,
                             struct dom_error *err) DOM_MUST_USE;
/* "origin: 1, 5-9, 12 (7 entries, sha256 ...) under <checkpoint>" for each log. Ends the digests:
 * only once. */
void dom_line_proof_text(struct dom_line *line, const struct dom_slice *origins,
                         const struct dom_slice *checkpoints, struct dom_buffer *out);
void dom_lines_cleanup(struct dom_lines *lines);

/* ---- the report --------------------------------------------------------------------------- */

struct dom_report {
    enum dom_report_kind kind;
    struct dom_table table;
    struct dom_lines lines;
    struct dom_slice said[DOM_REPORT_NOTES_MAX]; /* borrowed */
    size_t num_said;
    bool begun;                                        /* the table has its head */
    struct dom_slice origins[DOM_REPORT_LOGS_MAX];     /* owned */
    struct dom_slice checkpoints[DOM_REPORT_LOGS_MAX]; /* "size 7, root <hex>"; owned */
    struct dom_slice notes[DOM_REPORT_LOGS_MAX];       /* owned */
    unsigned num_logs;
    /* The entry in work. */
    const struct dom_audit_event *event;
    uint64_t index;
    struct dom_hash leaf;
    struct dom_buffer classes, measures, text;
};
/* Takes report->event, an access, a denial or a placement. Errors: IO, RESOURCE, TOO_LARGE. */
enum dom_code dom_report_take(struct dom_report *report, struct dom_error *err) DOM_MUST_USE;

#endif
