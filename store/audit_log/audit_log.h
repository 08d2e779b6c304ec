/* A region's durable audit log: entries and tree in RocksDB, tiles as files, signed checkpoints.
 *
 * The region's commit thread gives entries their index and puts a run of them into its own batch
 * (dom_audit_log_stage), so that entry and mutation become durable together. Another thread
 * integrates durable entries into the Merkle tree and signs (dom_audit_log_integrate). The last
 * signed checkpoint is kept beside the keys too, apart from the data: at the next opening the
 * tree must reach it and have its root, so a rewound or changed tree is refused (promise P5).
 *
 * Column families: `audit` (be64 index of the first entry -> run of entries of one bundle, see run.h), `tiles`
 * (level byte, be64 n -> hashes), `meta` ("tree" -> be64 size, "signed" -> be64 size).
 *
 * Thread contract: stage/committed/reload: the commit thread. integrate: one thread. The rest: any.
 */
#ifndef DOM_STORE_AUDIT_LOG_AUDIT_LOG_H
#define DOM_STORE_AUDIT_LOG_AUDIT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "store/audit/hash.h"
#include "store/region/db.h"

struct dom_audit_log;
struct dom_note_key;
struct dom_tree_head;

struct dom_audit_log_options {
    struct dom_db *db;     /* borrowed, outlives the log */
    const char *origin;    /* "<audit_origin>/<region>" */
    const uint8_t *seed;   /* Ed25519, 32 bytes */
    const char *dir;       /* of the published tiles; made if missing */
    const char *kept_path; /* the checkpoint kept apart */
    uint64_t checkpoint_ms;
    /* Asked for cosignatures of each new checkpoint, on the integrating thread, before it is
     * published, and again after dom_audit_log_ask_again: appends whole signature lines that verify
     * and that the checkpoint does not have yet, or nothing. May be NULL. */
    void (*cosign)(void *context, struct dom_audit_log *log, struct dom_buffer *lines);
    void *cosign_context;
};

/* Errors: INVALID (origin), IO, CORRUPT, TAMPERED. */
enum dom_code dom_audit_log_open(struct dom_audit_log **logp,
                                 const struct dom_audit_log_options *options,
                                 struct dom_error *err) DOM_MUST_USE;
void dom_audit_log_close(struct dom_audit_log *log);

const char *dom_audit_log_origin(const struct dom_audit_log *log);
const char *dom_audit_log_vkey(const struct dom_audit_log *log);
const char *dom_audit_log_dir(const struct dom_audit_log *log);

/* Where the log in `db` ends: the index that its next entry gets. `origin` is for messages. The
 * caller is inside dom_db_enter, or nobody else has the database. Errors: IO, CORRUPT. */
enum dom_code dom_audit_log_end(struct dom_db *db, const char *origin, uint64_t *nextp,
                                struct dom_error *err) DOM_MUST_USE;

/* ---- the commit thread ---- */

/* Index that the next entry gets. */
uint64_t dom_audit_log_next(const struct dom_audit_log *log);
/* Puts the entries, in bundle form, that begin at dom_audit_log_next into the batch. */
void dom_audit_log_stage(struct dom_audit_log *log, rocksdb_writebatch_t *batch,
                         struct dom_slice run);
/* The batch is durable: `leaves` are the leaf hashes of its run. Both are copied. */
void dom_audit_log_committed(struct dom_audit_log *log, const struct dom_hash *leaves,
                             size_t num_leaves, struct dom_slice run);
/* After the database was reopened: reads the next index again. A write that failed may be there. */
enum dom_code dom_audit_log_reload(struct dom_audit_log *log, struct dom_error *err) DOM_MUST_USE;

/* ---- the integrating thread ---- */

/* Monotonic microseconds (system clock) at which dom_audit_log_integrate is due; UINT64_MAX: not.
 */
uint64_t dom_audit_log_due_us(const struct dom_audit_log *log);
/* Takes all durable entries into the tree, signs and publishes. Nothing new: does nothing. After
 * a failure it may be called again. Errors: IO, CORRUPT. */
enum dom_code dom_audit_log_integrate(struct dom_audit_log *log,
                                      struct dom_error *err) DOM_MUST_USE;
/* Within `cosign`: from here on it waits for others, which is no hang of this log's own. */
void dom_audit_log_rest(struct dom_audit_log *log);

/* ---- any thread ---- */

uint64_t dom_audit_log_size(const struct dom_audit_log *log);
uint64_t dom_audit_log_signed_size(struct dom_audit_log *log);
/* Entries whose tiles and checkpoint are on files. */
uint64_t dom_audit_log_published_size(const struct dom_audit_log *log);
uint64_t dom_audit_log_num_checkpoints(const struct dom_audit_log *log);
/* Entries that were durable and that a reopened database did not have. */
uint64_t dom_audit_log_num_lost(const struct dom_audit_log *log);
/* Whether what was published is there: checkpoint, key, tiles and bundles (of a log of more than 16
 * million entries a part of them each time). If not, the next integration, due at once, writes whatever
 * is missing. One thread; looks at files. */
bool dom_audit_log_check_published(struct dom_audit_log *log);
/* Whether nothing that has gone is still to be written again. Any thread; memory only. */
bool dom_audit_log_whole(const struct dom_audit_log *log);
/* Since when (monotonic microseconds) the integrating thread has been at one file or one database
 * write; another value is another one. 0: at nothing that could hang. Any thread; memory only. */
uint64_t dom_audit_log_step_us(const struct dom_audit_log *log);
/* `cosign` is to be called again for the same checkpoint; due at once. Any thread. */
void dom_audit_log_ask_again(struct dom_audit_log *log);
/* For how long entries have waited for a published checkpoint while none came, ms. One thread. */
uint64_t dom_audit_log_overdue_ms(struct dom_audit_log *log);
/* Errors: NOT_FOUND (none signed yet), RESOURCE. */
enum dom_code dom_audit_log_checkpoint(struct dom_audit_log *log, struct dom_buffer *out,
                                       struct dom_error *err) DOM_MUST_USE;
/* The same with what it says: a checkpoint as it was signed, with the cosignatures so far. */
enum dom_code dom_audit_log_snapshot(struct dom_audit_log *log, struct dom_buffer *note,
                                     struct dom_tree_head *head,
                                     struct dom_error *err) DOM_MUST_USE;
/* The log's own public key. */
const struct dom_note_key *dom_audit_log_key(const struct dom_audit_log *log);
/* A checkpoint of this log that meets the quorum of outside witnesses; the integrating thread
 * puts it into the file checkpoint.cosigned. Older ones than the last are ignored. */
void dom_audit_log_set_cosigned(struct dom_audit_log *log, struct dom_slice note, uint64_t size);

/* ---- pruning ---- */

/* The first entry that is still there. Any thread. */
uint64_t dom_audit_log_first(const struct dom_audit_log *log);
/* Entries before `first` (a multiple of 256) may go: entry number `entry` says so. They go once a
 * published checkpoint covers that entry. Any thread. */
void dom_audit_log_prune(struct dom_audit_log *log, uint64_t first, uint64_t entry);
/* Whether the region may still hold the bytes of what was pruned, as it may after every start; reading
 * clears it. */
bool dom_audit_log_take_compact(struct dom_audit_log *log);
/* It could not be done: it is to be asked for again. */
void dom_audit_log_compact_later(struct dom_audit_log *log);

/* How asking a witness ended. */
enum dom_audit_log_asked {
    DOM_AUDIT_LOG_COSIGNED,
    DOM_AUDIT_LOG_FAILED,  /* no answer, or none that could be used */
    DOM_AUDIT_LOG_REFUSED, /* the witness knows another history of this log */
};
void dom_audit_log_count_asked(struct dom_audit_log *log, enum dom_audit_log_asked how);
/* How often it ended so. */
uint64_t dom_audit_log_num_asked(const struct dom_audit_log *log, enum dom_audit_log_asked how);
enum dom_code dom_audit_log_entries(struct dom_audit_log *log, uint64_t from, size_t entries_max,
                                    bool (*each)(void *context, uint64_t index,
                                                 struct dom_slice entry),
                                    void *context, struct dom_error *err) DOM_MUST_USE;
/* As in store.h. */
enum dom_code dom_audit_log_prove_inclusion(struct dom_audit_log *log, uint64_t index,
                                            uint64_t *sizep, uint8_t *leaf, struct dom_buffer *out,
                                            struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_audit_log_prove_consistency(struct dom_audit_log *log, uint64_t old_size,
                                              uint64_t *new_sizep, struct dom_buffer *out,
                                              struct dom_error *err) DOM_MUST_USE;

#endif
