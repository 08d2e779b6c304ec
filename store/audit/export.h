/* Export of entries for people and their tools: filters, the forms of export_format.h, a signed
 * manifest, and the check of an export against its manifest. Streaming, in constant memory.
 *
 * A JSON line is `{"entry":<the entry's exact bytes>,"index":<n>,"leaf_hash":"<hex>"}`: whoever
 * has the line can hash the entry again and ask for its proof.
 *
 * Thread contract: any thread; it blocks on files.
 */
#ifndef DOM_STORE_AUDIT_EXPORT_H
#define DOM_STORE_AUDIT_EXPORT_H

#include <stdio.h>

#include "base/error.h"
#include "base/note/note.h"
#include "store/audit/export_format.h"
#include "store/audit/filter.h"
#include "store/audit/tiledir.h"
#include "store/audit/walk.h"

struct dom_export_stats {
    uint64_t count;
    uint64_t bytes;
    uint8_t sha256[32];  /* of the whole output */
    uint64_t last_index; /* of the last row, if count is not 0 */
};
struct dom_export_options {
    const struct dom_tiledir *tiledir; /* of dom_export_write */
    const struct dom_export_filter *filter;
    const struct dom_export_format *format; /* NULL: jsonl */
    FILE *out;
    bool use_index; /* as in struct dom_log_walk */
    /* `out` is open for reading too and holds an export that broke off: keep its rows up to the
     * one of index resume_after, cut off what follows, go on behind it. */
    bool resume_file;
    bool resume_check; /* make the rows of that file again and compare: for who signs for them */
    /* Leave out the header and the rows up to resume_after: the output goes behind a part that
     * somebody else has. The digest is that of this part. Not with resume_file. */
    bool resume_stream;
    uint64_t resume_after;
    void (*progress)(void *arg, uint64_t done, uint64_t total); /* may be NULL */
    void *progress_arg;
};
/* Writes the rows. The caller closes `out` and looks at its error; *stats is right for what was
 * written also after an error. Errors: IO, CORRUPT, PARSE, INVALID (an entry is not ours, or the
 * file that is to be resumed holds no row of that index), TAMPERED (resume_check found another
 * row). */
enum dom_code dom_export_write(const struct dom_export_options *options,
                               struct dom_export_stats *stats, struct dom_error *err) DOM_MUST_USE;
/* The same for JSON lines from the beginning on. */
enum dom_code dom_export_jsonl(const struct dom_tiledir *tiledir,
                               const struct dom_export_filter *filter, FILE *out,
                               struct dom_export_stats *stats, struct dom_error *err) DOM_MUST_USE;

/* The same for entries that come from elsewhere, one by one, ascending; `tiledir`, `use_index` and
 * `progress` are not used. With resume_check those that the file has are to be given again, else
 * those behind resume_after. */
struct dom_export_writer;
/* Writes the header, or takes over the file's rows. Errors: as above. */
enum dom_code dom_export_writer_new(struct dom_export_writer **writerp,
                                    const struct dom_export_options *options,
                                    struct dom_export_stats *stats,
                                    struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_export_writer_add(struct dom_export_writer *writer, uint64_t index,
                                    struct dom_slice entry, struct dom_error *err) DOM_MUST_USE;
/* Flushes, and sets stats->sha256, also when it fails. */
enum dom_code dom_export_writer_end(struct dom_export_writer *writer,
                                    struct dom_error *err) DOM_MUST_USE;
/* Legal on NULL. */
void dom_export_writer_destroy(struct dom_export_writer *writer);

/* ---- the manifest ------------------------------------------------------------------------- */

struct dom_manifest {
    struct dom_slice origin;
    struct dom_tree_head head; /* of the checkpoint that the export was made at */
    const struct dom_export_filter *filter;
    const struct dom_export_format *format; /* NULL: jsonl */
    const struct dom_export_stats *stats;
    int64_t time_ms;
    struct dom_slice checkpoint; /* that signed checkpoint; empty leaves it out */
};
/* Appends the manifest's text (docs/AUDIT_FORMAT.md), which dom_note_sign can sign. */
enum dom_code dom_manifest_encode(const struct dom_manifest *manifest, struct dom_buffer *out,
                                  struct dom_error *err) DOM_MUST_USE;

#define DOM_MANIFEST_BYTES_MAX (256U << 10)

/* A manifest read back. Slices lie in the parsed text and in `checkpoint`. */
struct dom_manifest_doc {
    struct dom_manifest manifest;
    struct dom_export_filter filter;
    struct dom_export_stats stats;
    struct dom_buffer checkpoint;
};
/* Reads a manifest's text strictly: what it says is what dom_manifest_encode would write again.
 * Errors: PARSE, UNSUPPORTED (format). Nothing to clean up on an error. */
enum dom_code dom_manifest_parse(struct dom_manifest_doc *doc, struct dom_slice text,
                                 struct dom_error *err) DOM_MUST_USE;
void dom_manifest_doc_cleanup(struct dom_manifest_doc *doc);

/* ---- checking an export ------------------------------------------------------------------- */

struct dom_export_check {
    uint64_t count;
    uint64_t bytes;
    bool entries_hashed; /* the form holds the entries: each was hashed and its row made again */
    bool root_checked;   /* the export is the whole log, and its entries give the manifest's root */
};
/* Reads an export front to back and compares it with a manifest that the caller trusts: digest,
 * length, number of rows, indexes ascending and in range; where the form holds the entries, each
 * row is made again from its entry, and the entry must pass the filter. Constant memory.
 * Errors: TAMPERED (with the row), IO, RESOURCE. */
enum dom_code dom_export_check(FILE *in, const struct dom_manifest *manifest,
                               struct dom_export_check *result,
                               struct dom_error *err) DOM_MUST_USE;

#endif
