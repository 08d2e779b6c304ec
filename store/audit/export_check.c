/* Checks an export against its manifest, from the export alone. */
#include <errno.h>

#include "store/audit/export.h"
#include "store/audit/export_rows.h"
#include "store/audit/tree.h"
#include "store/crypto/sha256.h"

struct checker {
    const struct dom_manifest *manifest;
    const struct dom_export_format *format;
    struct dom_export_check *result;
    struct dom_buffer again;
    struct dom_edge edge;
    bool whole; /* every entry of the log is wanted */
    uint64_t last_index;
};

static bool wants_all(const struct dom_manifest *m)
{
    const struct dom_export_filter *f = m->filter;
    return f->first == 0 && f->end >= m->head.size && f->from_ms == 0 && f->until_ms == 0 &&
           f->num_where == 0;
}

/* The row is what its entry gives, and the entry is one that was asked for. */
static enum dom_code check_entry(struct checker *c, struct dom_slice row, uint64_t index,
                                 struct dom_error *err)
{
    struct dom_entry_head head;
    struct dom_slice entry;
    struct dom_hash leaf;

    if (!c->format->entry(row, &entry) || dom_entry_scan(entry, &head, err) != DOM_OK) {
        return DOM_FAIL(err, DOM_TAMPERED, "no entry is in it");
    }
    dom_buffer_clear(&c->again);
    if (dom_export_row_make(c->format, entry, index, &c->again, err) != DOM_OK ||
        !dom_slice_eq(dom_buffer_slice(&c->again), row)) {
        return DOM_FAIL(err, DOM_TAMPERED, "the row is not what its entry gives");
    }
    if (!dom_slice_eq(head.origin, c->manifest->origin)) {
        return DOM_FAIL(err, DOM_TAMPERED, "its entry is of another log");
    }
    if (!dom_export_filter_match(c->manifest->filter, index, &head)) {
        return DOM_FAIL(err, DOM_TAMPERED, "its entry was not asked for");
    }
    if (c->whole) {
        dom_hash_leaf(&leaf, entry);
        dom_edge_append(&c->edge, &leaf, NULL);
    }
    return DOM_OK;
}

static enum dom_code check_row(struct checker *c, struct dom_slice row, struct dom_error *err)
{
    const struct dom_export_filter *filter = c->manifest->filter;
    uint64_t index = 0;

    if (!dom_export_row_index(c->format, row, &index)) {
        return DOM_FAIL(err, DOM_TAMPERED, "it has no index");
    }
    if (index < filter->first || index >= filter->end || index >= c->manifest->head.size) {
        return DOM_FAIL(err, DOM_TAMPERED, "index %llu is out of range", (unsigned long long)index);
    }
    if (c->result->count > 0 && index <= c->last_index) {
        return DOM_FAIL(err, DOM_TAMPERED, "index %llu comes after %llu",
                        (unsigned long long)index, (unsigned long long)c->last_index);
    }
    if (c->whole && index != c->result->count) {
        return DOM_FAIL(err, DOM_TAMPERED, "index %llu is missing before it",
                        (unsigned long long)c->result->count);
    }
    c->last_index = index;
    return c->format->entry == NULL ? DOM_OK : check_entry(c, row, index, err);
}

static enum dom_code check_rows(struct checker *c, FILE *in, uint8_t *sha256,
                                struct dom_error *err)
{
    struct dom_export_rows rows;
    struct dom_sha256_stream digest;
    struct dom_slice row;
    bool done = false;
    bool cut = false;
    bool header_due = c->format->header != NULL;

    dom_sha256_init(&digest);
    dom_export_rows_init(&rows, in, c->format);
    enum dom_code rc = dom_export_rows_next(&rows, &row, &done, &cut, err);
    for (; rc == DOM_OK && !done; rc = dom_export_rows_next(&rows, &row, &done, &cut, err)) {
        dom_sha256_update(&digest, row);
        if (header_due) {
            dom_buffer_clear(&c->again);
            c->format->header(&c->again);
            if (!dom_slice_eq(row, dom_buffer_slice(&c->again))) {
                rc = DOM_FAIL(err, DOM_TAMPERED, "the header is not that of the form");
                break;
            }
            header_due = false;
            continue;
        }
        rc = check_row(c, row, err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "row %llu", (unsigned long long)c->result->count);
            break;
        }
        c->result->count++;
    }
    if (rc == DOM_OK && cut) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "the last row is cut off");
    }
    c->result->bytes = rows.num_bytes;
    dom_sha256_final(&digest, sha256);
    dom_export_rows_cleanup(&rows);
    return rc;
}

static enum dom_code check_sums(const struct checker *c, const uint8_t *sha256,
                                struct dom_error *err)
{
    const struct dom_manifest *m = c->manifest;
    struct dom_hash root;

    if (c->result->count != m->stats->count || c->result->bytes != m->stats->bytes) {
        return DOM_FAIL(err, DOM_TAMPERED,
                        "%llu rows, %llu bytes; the manifest says %llu rows, %llu bytes",
                        (unsigned long long)c->result->count, (unsigned long long)c->result->bytes,
                        (unsigned long long)m->stats->count, (unsigned long long)m->stats->bytes);
    }
    if (memcmp(sha256, m->stats->sha256, sizeof(m->stats->sha256)) != 0) {
        return DOM_FAIL(err, DOM_TAMPERED, "its SHA-256 is not the manifest's");
    }
    if (c->whole && c->format->entry != NULL) {
        dom_edge_root(&c->edge, &root);
        if (c->edge.size != m->head.size || !dom_hash_eq(&root, &m->head.root)) {
            return DOM_FAIL(err, DOM_TAMPERED, "its entries do not give the checkpoint's root");
        }
        c->result->root_checked = true;
    }
    return DOM_OK;
}

enum dom_code dom_export_check(FILE *in, const struct dom_manifest *manifest,
                               struct dom_export_check *result, struct dom_error *err)
{
    struct checker c = {.manifest = manifest, .format = manifest->format, .result = result};
    struct dom_error own = {0};
    uint8_t sha256[DOM_SHA256_SIZE];

    err = err == NULL ? &own : err;
    memset(result, 0, sizeof(*result));
    if (c.format == NULL) {
        c.format = &dom_export_format_jsonl;
    }
    c.whole = wants_all(manifest);
    dom_edge_init(&c.edge);
    dom_buffer_init(&c.again, DOM_EXPORT_ROW_BYTES_MAX);
    enum dom_code rc = check_rows(&c, in, sha256, err);
    if (rc == DOM_OK) {
        rc = check_sums(&c, sha256, err);
    }
    result->entries_hashed = rc == DOM_OK && c.format->entry != NULL;
    dom_buffer_cleanup(&c.again);
    return rc;
}
