/* Writes exports: the walk over the log, the rows, the digest, and going on after a break. */
#include <errno.h>
#include <unistd.h>

#include "store/audit/export.h"
#include "store/audit/export_rows.h"
#include "store/crypto/sha256.h"

struct writer {
    const struct dom_export_options *options;
    const struct dom_export_format *format;
    struct dom_export_stats *stats;
    struct dom_sha256_stream digest;
    struct dom_buffer row;
};

static enum dom_code put_row(struct writer *w, struct dom_error *err)
{
    if (fwrite(w->row.data, 1, w->row.len, w->options->out) != w->row.len) {
        return DOM_FAIL(err, DOM_IO, "cannot write the export: %s", strerror(errno));
    }
    dom_sha256_update(&w->digest, dom_buffer_slice(&w->row));
    w->stats->bytes += w->row.len;
    return DOM_OK;
}

static enum dom_code write_row(void *arg, uint64_t index, struct dom_slice entry,
                               const struct dom_entry_head *head, struct dom_error *err)
{
    struct writer *w = arg;

    (void)head;
    dom_buffer_clear(&w->row);
    enum dom_code rc = dom_export_row_make(w->format, entry, index, &w->row, err);
    if (rc != DOM_OK) {
        return dom_error_prefix(err, "index %llu", (unsigned long long)index);
    }
    rc = put_row(w, err);
    if (rc == DOM_OK) {
        w->stats->count++;
        w->stats->last_index = index;
    }
    return rc;
}

/* ---- going on ------------------------------------------------------------------------------- */

/* Takes over the rows of a file up to the one of index `after`. */
static enum dom_code take_rows(struct writer *w, struct dom_export_rows *rows, uint64_t after,
                               struct dom_error *err)
{
    struct dom_slice row;
    uint64_t index = 0;
    bool done = false;
    bool cut = false;
    bool header_due = w->format->header != NULL;

    for (;;) {
        enum dom_code rc = dom_export_rows_next(rows, &row, &done, &cut, err);
        if (rc != DOM_OK) {
            return rc;
        }
        if (done) {
            return w->stats->count == 0
                       ? DOM_FAIL(err, DOM_INVALID, "the file holds no whole row to go on after")
                       : DOM_FAIL(err, DOM_INVALID,
                                  "the file holds no row of index %llu; its last whole row is of "
                                  "index %llu",
                                  (unsigned long long)after,
                                  (unsigned long long)w->stats->last_index);
        }
        if (header_due) {
            dom_buffer_clear(&w->row);
            w->format->header(&w->row);
            if (!dom_slice_eq(row, dom_buffer_slice(&w->row))) {
                return DOM_FAIL(err, DOM_INVALID, "the file is no such export");
            }
        } else if (!dom_export_row_index(w->format, row, &index) ||
                   (w->stats->count > 0 && index <= w->stats->last_index) ||
                   index < w->options->filter->first || index >= w->options->filter->end) {
            return DOM_FAIL(err, DOM_INVALID, "the file is no such export: row %llu",
                            (unsigned long long)w->stats->count);
        } else {
            w->stats->count++;
            w->stats->last_index = index;
        }
        dom_sha256_update(&w->digest, row);
        w->stats->bytes += row.len;
        if (!header_due && index == after) {
            return DOM_OK;
        }
        header_due = false;
    }
}

struct comparer {
    struct writer *writer;
    struct dom_export_rows *rows;
};

static enum dom_code compare_row(void *arg, uint64_t index, struct dom_slice entry,
                                 const struct dom_entry_head *head, struct dom_error *err)
{
    struct comparer *c = arg;
    struct dom_slice row;
    bool done = false;
    bool cut = false;

    (void)head;
    dom_buffer_clear(&c->writer->row);
    enum dom_code rc = dom_export_row_make(c->writer->format, entry, index, &c->writer->row, err);
    if (rc == DOM_OK) {
        rc = dom_export_rows_next(c->rows, &row, &done, &cut, err);
    }
    if (rc == DOM_OK && !dom_slice_eq(row, dom_buffer_slice(&c->writer->row))) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "the file has not the row of index %llu",
                      (unsigned long long)index);
    }
    return rc;
}

/* Makes the rows again that the file has, and compares them. */
static enum dom_code check_rows(struct writer *w, struct dom_error *err)
{
    struct dom_export_rows rows;
    struct dom_slice header;
    struct dom_export_filter filter = *w->options->filter;
    struct comparer comparer = {.writer = w, .rows = &rows};
    uint64_t num_bytes = w->stats->bytes;
    bool done = false;
    bool cut = false;
    enum dom_code rc = DOM_OK;

    filter.end = w->options->resume_after + 1;
    rewind(w->options->out);
    dom_export_rows_init(&rows, w->options->out, w->format);
    if (w->format->header != NULL) {
        rc = dom_export_rows_next(&rows, &header, &done, &cut, err);
    }
    if (rc == DOM_OK) {
        rc = dom_log_each(w->options->tiledir, &filter, compare_row, &comparer, err);
    }
    if (rc == DOM_OK && rows.num_bytes != num_bytes) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "the file has rows that were not asked for");
    }
    dom_export_rows_cleanup(&rows);
    return rc;
}

static enum dom_code resume_file(struct writer *w, struct dom_error *err)
{
    struct dom_export_rows rows;
    FILE *out = w->options->out;

    rewind(out);
    dom_export_rows_init(&rows, out, w->format);
    enum dom_code rc = take_rows(w, &rows, w->options->resume_after, err);
    if (rc == DOM_OK && w->options->resume_check) {
        rc = check_rows(w, err);
    }
    if (rc == DOM_OK && (fflush(out) != 0 || ftruncate(fileno(out), (off_t)rows.num_bytes) != 0 ||
                         fseeko(out, (off_t)rows.num_bytes, SEEK_SET) != 0)) {
        rc = DOM_FAIL(err, DOM_IO, "cannot go on with the file: %s", strerror(errno));
    }
    dom_export_rows_cleanup(&rows);
    return rc;
}

static enum dom_code begin(struct writer *w, struct dom_error *err)
{
    if (w->options->resume_file) {
        return resume_file(w, err);
    }
    if (w->format->header == NULL || w->options->resume_stream) {
        return DOM_OK;
    }
    w->format->header(&w->row);
    return put_row(w, err);
}

enum dom_code dom_export_write(const struct dom_export_options *options,
                               struct dom_export_stats *stats, struct dom_error *err)
{
    struct writer w = {.options = options, .format = options->format, .stats = stats};
    struct dom_export_filter filter = *options->filter;
    struct dom_log_walk walk = {.tiledir = options->tiledir,
                                .filter = &filter,
                                .use_index = options->use_index,
                                .progress = options->progress,
                                .progress_arg = options->progress_arg};

    memset(stats, 0, sizeof(*stats));
    if (w.format == NULL) {
        w.format = &dom_export_format_jsonl;
    }
    if ((options->resume_file || options->resume_stream) && filter.first <= options->resume_after) {
        filter.first = options->resume_after + 1;
    }
    dom_buffer_init(&w.row, DOM_EXPORT_ROW_BYTES_MAX);
    dom_sha256_init(&w.digest);
    enum dom_code rc = begin(&w, err);
    if (rc == DOM_OK) {
        rc = dom_log_walk(&walk, write_row, &w, err);
    }
    dom_sha256_final(&w.digest, stats->sha256);
    if (fflush(options->out) != 0 && rc == DOM_OK) {
        rc = DOM_FAIL(err, DOM_IO, "cannot write the export: %s", strerror(errno));
    }
    dom_buffer_cleanup(&w.row);
    return rc;
}

enum dom_code dom_export_jsonl(const struct dom_tiledir *tiledir,
                               const struct dom_export_filter *filter, FILE *out,
                               struct dom_export_stats *stats, struct dom_error *err)
{
    struct dom_export_options options = {.tiledir = tiledir, .filter = filter, .out = out};
    return dom_export_write(&options, stats, err);
}
