/* Lines that count entries which are alike, and remember which entries these are. */
#include <stdlib.h>

#include "base/encode.h"
#include "store/audit/report_internal.h"

static int compare(const struct dom_slice *a, const struct dom_slice *b, size_t num_cells)
{
    int order = 0;

    for (size_t i = 0; i < num_cells && order == 0; i++) {
        order = dom_slice_cmp(a[i], b[i]);
    }
    return order;
}

/* Where the line is, or where it belongs. */
static size_t find(const struct dom_lines *lines, const struct dom_slice *cells, bool *found)
{
    size_t low = 0;
    size_t high = lines->num_lines;

    *found = false;
    while (low < high && !*found) {
        size_t mid = low + (high - low) / 2;
        int order = compare(lines->lines[mid]->cells, cells, lines->num_cells);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void line_destroy(struct dom_line *line)
{
    while (line->proofs != NULL) {
        struct dom_line_proof *next = line->proofs->next;
        free(line->proofs);
        line->proofs = next;
    }
    free(line);
}

/* One allocation: the line and its texts behind it. */
static struct dom_line *line_new(const struct dom_slice *cells, size_t num_cells)
{
    size_t len = 0;

    for (size_t i = 0; i < num_cells; i++) {
        len += cells[i].len;
    }
    struct dom_line *line = calloc(1, sizeof(*line) + len);
    if (line == NULL) {
        return NULL;
    }
    uint8_t *at = (uint8_t *)(line + 1);
    for (size_t i = 0; i < num_cells; i++) {
        if (cells[i].len > 0) {
            memcpy(at, cells[i].data, cells[i].len);
        }
        line->cells[i] = dom_slice_of(at, cells[i].len);
        at += cells[i].len;
    }
    return line;
}

static bool grow(struct dom_lines *lines)
{
    size_t capacity = lines->capacity == 0 ? 64 : lines->capacity * 2;

    if (lines->num_lines < lines->capacity) {
        return true;
    }
    struct dom_line **more = realloc(lines->lines, capacity * sizeof(struct dom_line *));
    if (more == NULL) {
        return false;
    }
    lines->lines = more;
    lines->capacity = capacity;
    return true;
}

enum dom_code dom_lines_get(struct dom_lines *lines, const struct dom_slice *cells,
                            struct dom_line **line, struct dom_error *err)
{
    bool found = false;
    size_t at = find(lines, cells, &found);

    *line = NULL;
    if (found) {
        *line = lines->lines[at];
        return DOM_OK;
    }
    if (lines->num_lines == DOM_REPORT_LINES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE,
                        "the report has over %u lines; ask for a shorter time or with --where",
                        DOM_REPORT_LINES_MAX);
    }
    struct dom_line *made = line_new(cells, lines->num_cells);
    if (made == NULL || !grow(lines)) {
        free(made);
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a report");
    }
    memmove(lines->lines + at + 1, lines->lines + at,
            (lines->num_lines - at) * sizeof(struct dom_line *));
    lines->lines[at] = made;
    lines->num_lines++;
    *line = made;
    return DOM_OK;
}

static void add_index(struct dom_line_proof *proof, uint64_t index)
{
    unsigned at = proof->num_ranges;

    if (at > 0 && !proof->more && proof->last[at - 1] + 1 == index) {
        proof->last[at - 1] = index;
    } else if (at < DOM_PROOF_RANGES_MAX) {
        proof->first[at] = index;
        proof->last[at] = index;
        proof->num_ranges++;
    } else {
        proof->more = true;
    }
}

enum dom_code dom_line_prove(struct dom_line *line, unsigned log, uint64_t index,
                             const struct dom_hash *leaf, int64_t time_ms, struct dom_error *err)
{
    struct dom_line_proof **at = &line->proofs;

    while (*at != NULL && (*at)->log != log) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        if (*at == NULL) {
            return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a report");
        }
        (*at)->log = log;
        dom_sha256_init(&(*at)->digest);
    } else if ((*at)->last_index == index) {
        return DOM_OK;
    }
    struct dom_line_proof *proof = *at;
    bool is_first = line->first_ms == 0;
    line->first_ms = is_first || time_ms < line->first_ms ? time_ms : line->first_ms;
    line->last_ms = time_ms > line->last_ms ? time_ms : line->last_ms;
    proof->count++;
    proof->last_index = index;
    dom_sha256_update(&proof->digest, dom_hash_slice(leaf));
    add_index(proof, index);
    return DOM_OK;
}

static void put_proof(struct dom_line_proof *proof, struct dom_slice origin,
                      struct dom_slice checkpoint, struct dom_buffer *out)
{
    uint8_t sha256[DOM_SHA256_SIZE];
    char hex[2 * DOM_SHA256_SIZE + 1];

    dom_buffer_append_slice(out, origin);
    for (unsigned i = 0; i < proof->num_ranges; i++) {
        dom_buffer_printf(out, "%s%llu", i == 0 ? ": " : ", ",
                          (unsigned long long)proof->first[i]);
        if (proof->last[i] > proof->first[i]) {
            dom_buffer_printf(out, "-%llu", (unsigned long long)proof->last[i]);
        }
    }
    if (proof->more) {
        dom_buffer_printf(out, ", ... up to %llu", (unsigned long long)proof->last_index);
    }
    dom_sha256_final(&proof->digest, sha256);
    dom_hex_encode(hex, dom_slice_of(sha256, sizeof(sha256)));
    dom_buffer_printf(out, " (%llu %s, sha256 of leaf hashes %s)",
                      (unsigned long long)proof->count, proof->count == 1 ? "entry" : "entries",
                      hex);
    dom_buffer_append_str(out, " under ");
    dom_buffer_append_slice(out, checkpoint);
}

void dom_line_proof_text(struct dom_line *line, const struct dom_slice *origins,
                         const struct dom_slice *checkpoints, struct dom_buffer *out)
{
    dom_buffer_clear(out);
    for (struct dom_line_proof *proof = line->proofs; proof != NULL; proof = proof->next) {
        dom_buffer_append_str(out, proof == line->proofs ? "" : "; ");
        put_proof(proof, origins[proof->log], checkpoints[proof->log], out);
    }
}

void dom_lines_cleanup(struct dom_lines *lines)
{
    for (size_t i = 0; i < lines->num_lines; i++) {
        line_destroy(lines->lines[i]);
    }
    free(lines->lines);
    memset(lines, 0, sizeof(*lines));
}
