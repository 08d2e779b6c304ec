/* Writes exports: the walk over the log, the rows, the digest, and going on after a break. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/audit/export.h"
#include "store/audit/export_rows.h"
#include "store/crypto/sha256.h"

struct dom_export_writer {
    struct dom_export_options options;
    const struct dom_export_format *format;
    struct dom_export_stats *stats;
    struct dom_sha256_stream digest;
    struct dom_buffer row;
    bool comparing;              /* the rows that the file has are made again */
    struct dom_export_rows kept; /* of the file, while comparing */
};

static enum dom_code put_row(struct dom_export_writer *w, struct dom_error *err)
{
    if (fwrite(w->row.data, 1, w->row.len, w->options.out) != w->row.len) {
        return DOM_FAIL(err, DOM_IO, "cannot write the export: %s", strerror(errno));
    }
    dom_sha256_update(&w->digest, dom_buffer_slice(&w->row));
    w->stats->bytes += w->row.len;
    return DOM_OK;
}

static enum dom_code write_row(struct dom_export_writer *w, uint64_t index, struct dom_slice entry,
                               struct dom_error *err)
{
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
static enum dom_code take_rows(struct dom_export_writer *w, struct dom_export_rows *rows, uint64_t after,
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
                   index < w->options.filter->first || index >= w->options.filter->end) {
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

/* Cuts off what follows the rows that are kept. */
static enum dom_code go_on_behind(struct dom_export_writer *w, struct dom_error *err)
{
    FILE *out = w->options.out;
    off_t end = (off_t)w->stats->bytes;

    if (fflush(out) != 0 || ftruncate(fileno(out), end) != 0 || fseeko(out, end, SEEK_SET) != 0) {
        return DOM_FAIL(err, DOM_IO, "cannot go on with the file: %s", strerror(errno));
    }
    return DOM_OK;
}

/* To the first row again: each is made again as its entry comes by, and compared. */
static enum dom_code begin_comparing(struct dom_export_writer *w, struct dom_error *err)
{
    struct dom_slice header;
    bool done = false;
    bool cut = false;

    rewind(w->options.out);
    dom_export_rows_init(&w->kept, w->options.out, w->format);
    w->comparing = true;
    return w->format->header == NULL
               ? DOM_OK
               : dom_export_rows_next(&w->kept, &header, &done, &cut, err);
}

static enum dom_code compare_row(struct dom_export_writer *w, uint64_t index,
                                 struct dom_slice entry, struct dom_error *err)
{
    struct dom_slice row;
    bool done = false;
    bool cut = false;

    dom_buffer_clear(&w->row);
    enum dom_code rc = dom_export_row_make(w->format, entry, index, &w->row, err);
    if (rc == DOM_OK) {
        rc = dom_export_rows_next(&w->kept, &row, &done, &cut, err);
    }
    if (rc == DOM_OK && !dom_slice_eq(row, dom_buffer_slice(&w->row))) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "the file has not the row of index %llu",
                      (unsigned long long)index);
    }
    return rc;
}

static enum dom_code end_comparing(struct dom_export_writer *w, struct dom_error *err)
{
    w->comparing = false;
    if (w->kept.num_bytes != w->stats->bytes) {
        return DOM_FAIL(err, DOM_TAMPERED, "the file has rows that were not asked for");
    }
    return go_on_behind(w, err);
}

static enum dom_code resume_file(struct dom_export_writer *w, struct dom_error *err)
{
    struct dom_export_rows rows;

    rewind(w->options.out);
    dom_export_rows_init(&rows, w->options.out, w->format);
    enum dom_code rc = take_rows(w, &rows, w->options.resume_after, err);
    dom_export_rows_cleanup(&rows);
    if (rc != DOM_OK) {
        return rc;
    }
    return w->options.resume_check ? begin_comparing(w, err) : go_on_behind(w, err);
}

/* ---- entry by entry ------------------------------------------------------------------------- */

static enum dom_code begin(struct dom_export_writer *w, struct dom_error *err)
{
    if (w->options.resume_file) {
        return resume_file(w, err);
    }
    if (w->format->header == NULL || w->options.resume_stream) {
        return DOM_OK;
    }
    w->format->header(&w->row);
    return put_row(w, err);
}

enum dom_code dom_export_writer_new(struct dom_export_writer **writerp,
                                    const struct dom_export_options *options,
                                    struct dom_export_stats *stats, struct dom_error *err)
{
    struct dom_export_writer *w = calloc(1, sizeof(*w));

    *writerp = NULL;
    memset(stats, 0, sizeof(*stats));
    if (w == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for an export");
    }
    w->options = *options;
    w->format = options->format == NULL ? &dom_export_format_jsonl : options->format;
    w->stats = stats;
    dom_buffer_init(&w->row, DOM_EXPORT_ROW_BYTES_MAX);
    dom_sha256_init(&w->digest);
    enum dom_code rc = begin(w, err);
    if (rc != DOM_OK) {
        dom_export_writer_destroy(w);
        return rc;
    }
    *writerp = w;
    return DOM_OK;
}

enum dom_code dom_export_writer_add(struct dom_export_writer *w, uint64_t index,
                                    struct dom_slice entry, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    if (w->comparing && index <= w->options.resume_after) {
        return compare_row(w, index, entry, err);
    }
    if (w->comparing) {
        rc = end_comparing(w, err);
    }
    return rc == DOM_OK ? write_row(w, index, entry, err) : rc;
}

enum dom_code dom_export_writer_end(struct dom_export_writer *w, struct dom_error *err)
{
    enum dom_code rc = w->comparing ? end_comparing(w, err) : DOM_OK;

    dom_sha256_final(&w->digest, w->stats->sha256);
    if (fflush(w->options.out) != 0 && rc == DOM_OK) {
        rc = DOM_FAIL(err, DOM_IO, "cannot write the export: %s", strerror(errno));
    }
    return rc;
}

void dom_export_writer_destroy(struct dom_export_writer *w)
{
    if (w == NULL) {
        return;
    }
    dom_export_rows_cleanup(&w->kept);
    dom_buffer_cleanup(&w->row);
    free(w);
}

/* ---- a published log ------------------------------------------------------------------------ */

static enum dom_code add_entry(void *arg, uint64_t index, struct dom_slice entry,
                               const struct dom_entry_head *head, struct dom_error *err)
{
    (void)head;
    return dom_export_writer_add(arg, index, entry, err);
}

enum dom_code dom_export_write(const struct dom_export_options *options,
                               struct dom_export_stats *stats, struct dom_error *err)
{
    struct dom_export_writer *writer = NULL;
    struct dom_export_filter filter = *options->filter;
    struct dom_log_walk walk = {.tiledir = options->tiledir,
                                .filter = &filter,
                                .use_index = options->use_index,
                                .progress = options->progress,
                                .progress_arg = options->progress_arg};
    bool goes_on = options->resume_file || options->resume_stream;
    bool again = options->resume_file && options->resume_check;

    if (goes_on && !again && filter.first <= options->resume_after) {
        filter.first = options->resume_after + 1;
    }
    walk.use_index = walk.use_index && !again;
    enum dom_code rc = dom_export_writer_new(&writer, options, stats, err);
    if (rc != DOM_OK) {
        return rc;
    }
    rc = dom_log_walk(&walk, add_entry, writer, err);
    enum dom_code end = dom_export_writer_end(writer, rc == DOM_OK ? err : NULL);
    dom_export_writer_destroy(writer);
    return rc == DOM_OK ? end : rc;
}

enum dom_code dom_export_jsonl(const struct dom_tiledir *tiledir,
                               const struct dom_export_filter *filter, FILE *out,
                               struct dom_export_stats *stats, struct dom_error *err)
{
    struct dom_export_options options = {.tiledir = tiledir, .filter = filter, .out = out};
    return dom_export_write(&options, stats, err);
}
