/* Which bundles may hold wanted entries: a derived summary beside the published log, one file for
 * 256 bundles (65,536 entries), written after the bundles it is about. A query asks it first and
 * then reads only bundles that may matter; every row is still decided on the entry itself.
 *
 * It is never trusted for what it says to be there, only for what it says not to be: so a wrong one
 * could hide entries. dom_index_verify makes it again from the entries and compares the bytes; a
 * query may do without it (struct dom_log_walk). A file that is missing, cut or of another version
 * means: read everything. Format: docs/AUDIT_FORMAT.md, Index.
 *
 * Thread contract: one owner per object; files may be read by any number of processes while one
 * writes. Limits: DOM_INDEX_VALUES_MAX values in a file; a key with more, or with a value over 255
 * bytes, is open there: it excludes nothing.
 */
#ifndef DOM_STORE_AUDIT_INDEX_H
#define DOM_STORE_AUDIT_INDEX_H

#include "base/buffer.h"
#include "base/error.h"
#include "store/audit/filter.h"
#include "store/audit/tiledir.h"

#define DOM_INDEX_VERSION    1U
#define DOM_INDEX_GROUP      256U /* bundles of one file */
#define DOM_INDEX_MASK_BYTES (DOM_INDEX_GROUP / 8U)
#define DOM_INDEX_VALUES_MAX 4096U
/* One row of bundles per bit: 16 bits for each of the three keyed hashes and traces that each of a
 * bundle's 256 entries may have. With 8 probes one in 1,700 bundles is read for nothing. */
#define DOM_INDEX_BLOOM_ROWS   12288U
#define DOM_INDEX_BLOOM_PROBES 8U
/* Full bundles that may be published and not yet in the index. */
#define DOM_INDEX_LAG 32U

/* Bundle i of a group is bit i % 8 of byte i / 8. */
struct dom_index_mask {
    uint8_t bits[DOM_INDEX_MASK_BYTES];
};
static inline bool dom_index_mask_has(const struct dom_index_mask *mask, unsigned i)
{
    return (((unsigned)mask->bits[i / 8] >> (i % 8)) & 1U) != 0;
}

/* ---- one group in memory ------------------------------------------------------------------- */

struct dom_index_builder; /* about 0.6 MiB */
struct dom_index_builder *dom_index_builder_new(void);
void dom_index_builder_destroy(struct dom_index_builder *builder);
/* Begins a group anew. */
void dom_index_builder_begin(struct dom_index_builder *builder, uint64_t group);
/* Takes the group's next bundle, which is full. Errors: CORRUPT, PARSE (an entry is not ours);
 * the builder must be begun anew then. */
enum dom_code dom_index_builder_add(struct dom_index_builder *builder, struct dom_slice bundle,
                                    struct dom_error *err) DOM_MUST_USE;
/* The group's next bundle is pruned: nothing in it passes any filter. */
void dom_index_builder_skip(struct dom_index_builder *builder);
/* The file's bytes for the bundles taken so far; the same bundles give the same bytes.
 * Errors: RESOURCE. */
enum dom_code dom_index_builder_encode(const struct dom_index_builder *builder,
                                       struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

/* Removes the files of every group that has a bundle before entry `first`. */
void dom_index_remove_before(const char *dir, uint64_t first);

/* ---- asking -------------------------------------------------------------------------------- */

/* Whether the filter has a condition that an index can help with. */
bool dom_index_helps(const struct dom_export_filter *filter);
/* Bundles of the group that may hold an entry that passes; all that the file does not tell of are
 * in it, and on an error all are. *widthp: bundles that the file tells of.
 * Errors: NOT_FOUND (no file), FORMAT (another version), CORRUPT, IO. */
enum dom_code dom_index_select(const char *dir, uint64_t group,
                               const struct dom_export_filter *filter, struct dom_index_mask *mask,
                               unsigned *widthp, struct dom_error *err) DOM_MUST_USE;

/* ---- files ---------------------------------------------------------------------------------- */

#define DOM_INDEX_PATH_SIZE DOM_TILE_PATH_SIZE
/* "index/x001/234"; out needs DOM_INDEX_PATH_SIZE bytes. Returns out. */
char *dom_index_path(char *out, uint64_t group);

/* Keeps a log's index up with what is published. */
struct dom_index_writer {
    struct dom_index_builder *builder;
    struct dom_buffer scratch;
    uint64_t next;    /* bundle that the builder takes next */
    uint64_t written; /* bundles that the files tell of, counted from the log's beginning */
    bool located;     /* the above are known */
    uint64_t num_files;
};
void dom_index_writer_cleanup(struct dom_index_writer *writer);
/* Full bundles that are published and not in the index as far as the writer knows. */
uint64_t dom_index_writer_lag(const struct dom_index_writer *writer, uint64_t size);
/* Takes at most `bundles_max` more bundles of the log and writes each group's file when the group
 * is full, DOM_INDEX_LAG bundles came to it, or, with `finish`, when there are no more. Files that
 * are whole and of this version stay. *donep (may be NULL): nothing is left to take. After an
 * error it may be called again. Errors: IO, CORRUPT, PARSE, RESOURCE. */
enum dom_code dom_index_writer_run(struct dom_index_writer *writer,
                                   const struct dom_tiledir *tiledir, uint64_t bundles_max,
                                   bool finish, bool *donep, struct dom_error *err) DOM_MUST_USE;

struct dom_index_verify_result {
    uint64_t num_bundles; /* full ones of the log */
    uint64_t num_indexed; /* of these, those that a file tells of */
    uint64_t num_files;
};
/* Makes each file again from the entries and compares. Errors: TAMPERED (with the file; also a
 * file of bundles that the log does not have), IO, CORRUPT, PARSE. A missing file or one of another
 * version is no error: queries read what it would tell of. `progress` may be NULL. */
enum dom_code dom_index_verify(const struct dom_tiledir *tiledir,
                               struct dom_index_verify_result *result,
                               void (*progress)(void *arg, uint64_t done, uint64_t total),
                               void *progress_arg, struct dom_error *err) DOM_MUST_USE;

#endif
