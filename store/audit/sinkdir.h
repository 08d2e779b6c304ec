/* A second copy of a log in a folder on another disk: append-only files, each batch synced, and
 * checkable by itself (docs/AUDIT_FORMAT.md, Second copies).
 *
 *   <dir>/FORMAT             "domicile-sink 1\norigin <origin>\n"; held locked while it is written to
 *   <dir>/vkey               the public key of the log, one line
 *   <dir>/<first>.entries    entries from that index on: uint16 length and bytes, end to end
 *   <dir>/<size>.checkpoints signed checkpoints in the same form, written from that size on
 *
 * A write that broke off leaves a torn end; what comes next begins another file. So no byte is ever
 * changed, and no file is shortened.
 *
 * Thread contract: one writer; verifying reads, at any time.
 */
#ifndef DOM_STORE_AUDIT_SINKDIR_H
#define DOM_STORE_AUDIT_SINKDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/note/note.h"
#include "base/slice.h"
#include "store/audit/hash.h"

#define DOM_SINKDIR_FILE_ENTRIES_MAX 65536U
#define DOM_SINKDIR_FILE_BYTES_MAX   (256U << 20) /* a larger one is not one of ours */
#define DOM_SINKDIR_FILES_MAX        1000000U

struct dom_sinkdir;

/* Opens a copy to go on with it, or begins one in an empty folder. The folder itself must exist: one
 * that is missing is a disk that is not mounted. `fresh`: this log was never copied here; otherwise
 * an empty folder is refused. Errors: IO, LOCKED, FORMAT (another log's, or a newer form), CORRUPT. */
enum dom_code dom_sinkdir_open(struct dom_sinkdir **sinkp, const char *dir, struct dom_slice origin,
                               struct dom_slice vkey, bool fresh,
                               struct dom_error *err) DOM_MUST_USE;
void dom_sinkdir_close(struct dom_sinkdir *sink);

/* Index of the entry that comes next; that many are durable. */
uint64_t dom_sinkdir_next(const struct dom_sinkdir *sink);
/* The leaf hash of the entry before it. False: there is none. */
bool dom_sinkdir_last(const struct dom_sinkdir *sink, struct dom_hash *leaf);

/* Appends `count` entries in bundle form, from dom_sinkdir_next on; durable when it returns OK. After an
 * error: close it. Errors: IO. */
enum dom_code dom_sinkdir_append(struct dom_sinkdir *sink, struct dom_slice run, uint64_t count,
                                 struct dom_error *err) DOM_MUST_USE;
/* Appends a signed checkpoint. Errors: IO. */
enum dom_code dom_sinkdir_checkpoint(struct dom_sinkdir *sink, struct dom_slice note,
                                     struct dom_error *err) DOM_MUST_USE;

struct dom_sinkdir_report {
    char origin[512];
    uint64_t entries;     /* in all files, without a gap from index 0 */
    uint64_t covered;     /* of them by the newest checkpoint that is not ahead of them */
    uint64_t checkpoints; /* checked */
    uint64_t files;
    struct dom_hash root; /* at `covered` */
};
/* Hashes every entry and compares the root at the size of each checkpoint, which must be signed by one
 * of the keys. Errors: IO, FORMAT, CORRUPT (a gap, an entry cut short before a file's end), TAMPERED
 * (another root), INVALID (no checkpoint). The report is filled as far as it came. */
enum dom_code dom_sinkdir_verify(const char *dir, const struct dom_note_key *keys, size_t num_keys,
                                 struct dom_sinkdir_report *report,
                                 struct dom_error *err) DOM_MUST_USE;

#endif
