#include "store/audit_log/audit_log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/audit/bundle.h"
#include "store/audit_log/audit_log_internal.h"
#include "store/audit_log/run.h"

/* ---- opening ------------------------------------------------------------------------------ */

enum dom_code dom_audit_log_end(struct dom_db *db, const char *origin, uint64_t *nextp,
                                struct dom_error *err)
{
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_AUDIT);
    enum dom_code rc = DOM_OK;

    *nextp = 0;
    rocksdb_iter_seek_to_last(iter);
    if (!rocksdb_iter_valid(iter)) {
        rc = dom_db_iter_check(iter, err);
        goto out;
    }
    struct dom_slice key = dom_db_iter_key(iter);
    if (key.len != 8) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "log %s: key of %zu bytes", origin, key.len);
        goto out;
    }
    unsigned count = 0;
    rc = dom_audit_log_run_count(dom_db_iter_value(iter), &count, err);
    *nextp = dom_get_u64be(key.data) + count;
out:
    rocksdb_iter_destroy(iter);
    return rc;
}

/* The tree must reach the checkpoint that was kept apart, and have its root. */
static enum dom_code check_kept(struct dom_audit_log *log, struct dom_slice note,
                                struct dom_error *err)
{
    struct dom_checkpoint kept;
    struct dom_edge edge;
    struct dom_hash root;
    uint64_t tree = 0;

    enum dom_code rc = dom_checkpoint_open(&kept, note, &log->signer.key, 1, NULL, err);
    if (rc != DOM_OK) {
        (void)dom_error_prefix(err, "%s", log->kept_path);
        return DOM_FAIL(err, DOM_TAMPERED, "%s", err == NULL ? "" : err->message);
    }
    uint64_t size = kept.head.size;
    rc = dom_audit_log_meta(log, "tree", &tree, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (log->next < size || tree < size) {
        return DOM_FAIL(err, DOM_TAMPERED,
                        "log %s has %llu entries (%llu in the tree), but %s was signed for %llu: "
                        "the log was cut or set back",
                        log->origin, (unsigned long long)log->next, (unsigned long long)tree,
                        log->kept_path, (unsigned long long)size);
    }
    struct dom_hash_reader reader = dom_audit_log_reader(log);
    rc = dom_edge_load(&edge, &reader, size, err);
    if (rc != DOM_OK) {
        return DOM_FAIL(err, DOM_TAMPERED, "log %s: the tree of %llu entries cannot be read: %s",
                        log->origin, (unsigned long long)size, err == NULL ? "" : err->message);
    }
    dom_edge_root(&edge, &root);
    if (!dom_hash_eq(&root, &kept.head.root)) {
        return DOM_FAIL(err, DOM_TAMPERED,
                        "log %s: the tree of %llu entries has another root than the signed "
                        "checkpoint in %s",
                        log->origin, (unsigned long long)size, log->kept_path);
    }
    log->head = kept.head;
    uint64_t from = size > 256 ? size - 256 : 0;
    return dom_audit_log_check_leaves(log, from > log->first ? from : log->first, size, err);
}

static enum dom_code load_kept(struct dom_audit_log *log, struct dom_error *err)
{
    struct stat st;
    uint64_t signed_size = 0;

    if (lstat(log->kept_path, &st) == 0) {
        enum dom_code rc = dom_file_read(&log->note, log->kept_path, DOM_CHECKPOINT_BYTES_MAX, err);
        return rc != DOM_OK ? rc : check_kept(log, dom_buffer_slice(&log->note), err);
    }
    enum dom_code rc = dom_audit_log_meta(log, "signed", &signed_size, err);
    if (rc == DOM_OK && signed_size > 0) {
        rc = DOM_FAIL(err, DOM_TAMPERED,
                      "%s is missing, but log %s was signed up to %llu entries: without it a log "
                      "that was set back could not be told; put it back",
                      log->kept_path, log->origin, (unsigned long long)signed_size);
    }
    return rc;
}

/* What of the log is on files already. A checkpoint there that is not ours, or ahead of the kept
 * one, says nothing: everything is published anew. */
static void load_published(struct dom_audit_log *log)
{
    struct dom_buffer note = {0};
    struct dom_checkpoint checkpoint;

    if (dom_tiledir_read_checkpoint(log->dir, &note, NULL) == DOM_OK &&
        dom_checkpoint_open(&checkpoint, dom_buffer_slice(&note), &log->signer.key, 1, NULL,
                            NULL) == DOM_OK &&
        checkpoint.head.size <= log->head.size) {
        log->published_size = checkpoint.head.size;
    }
    dom_buffer_cleanup(&note);
}

static enum dom_code load(struct dom_audit_log *log, struct dom_error *err)
{
    uint64_t next = 0;

    if (!dom_db_enter(log->db)) {
        return DOM_FAIL(err, DOM_IO, "log %s: the database is not open", log->origin);
    }
    uint64_t first = 0;
    enum dom_code rc = dom_audit_log_end(log->db, log->origin, &next, err);
    log->next = next;
    if (rc == DOM_OK) {
        rc = dom_audit_log_meta(log, "pruned", &first, err);
    }
    log->first = first;
    atomic_store(&log->compact, first > 0); /* the last process may have ended before it did */
    if (rc == DOM_OK) {
        rc = load_kept(log, err);
    }
    if (rc == DOM_OK) {
        rc = dom_audit_log_load_tree(log, err);
    }
    dom_db_leave(log->db);
    if (rc != DOM_OK) {
        return rc;
    }
    load_published(log);
    log->pending_first = next;
    atomic_store(&log->size, next);
    if (next > log->head.size || log->published_size < log->head.size) {
        atomic_store(&log->due_us, 0);
    }
    return DOM_OK;
}

static enum dom_code prepare(struct dom_audit_log *log, const struct dom_audit_log_options *options,
                             struct dom_error *err)
{
    struct dom_buffer vkey = {0};

    enum dom_code rc = dom_note_signer_init(&log->signer, dom_slice_str(options->origin),
                                            DOM_KEY_ED25519, options->seed, err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_note_key_format(&log->signer.key, &vkey);
    const char *text = dom_buffer_cstr(&vkey);
    DOM_ASSERT(text != NULL);
    log->vkey = strdup(text);
    DOM_ASSERT(log->vkey != NULL);
    dom_buffer_cleanup(&vkey);
    rc = dom_dir_make(log->dir, 0700, err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_write_vkey(log->dir, dom_slice_str(log->vkey), err);
    }
    return rc;
}

enum dom_code dom_audit_log_open(struct dom_audit_log **logp,
                                 const struct dom_audit_log_options *options, struct dom_error *err)
{
    struct dom_error own = {0};

    *logp = NULL;
    struct dom_audit_log *log = calloc(1, sizeof(*log));
    DOM_ASSERT(log != NULL);
    log->db = options->db;
    log->origin = strdup(options->origin);
    log->dir = strdup(options->dir);
    log->kept_path = strdup(options->kept_path);
    log->tiles = calloc(DOM_TILE_LEVELS, sizeof(*log->tiles));
    log->batch = rocksdb_writebatch_create();
    DOM_ASSERT(log->origin != NULL && log->dir != NULL && log->kept_path != NULL);
    DOM_ASSERT(log->tiles != NULL);
    log->checkpoint_us = options->checkpoint_ms * 1000;
    log->cosign = options->cosign;
    log->cosign_context = options->cosign_context;
    DOM_ASSERT(pthread_mutex_init(&log->pending_lock, NULL) == 0);
    DOM_ASSERT(pthread_mutex_init(&log->note_lock, NULL) == 0);
    atomic_store(&log->due_us, UINT64_MAX);
    enum dom_code rc = prepare(log, options, &own);
    if (rc == DOM_OK) {
        rc = load(log, &own);
    }
    if (rc != DOM_OK) {
        dom_audit_log_close(log);
        return DOM_FAIL(err, rc, "%s", own.message);
    }
    *logp = log;
    return DOM_OK;
}

void dom_audit_log_close(struct dom_audit_log *log)
{
    if (log == NULL) {
        return;
    }
    dom_note_signer_cleanup(&log->signer);
    dom_buffer_cleanup(&log->packed);
    dom_buffer_cleanup(&log->pending);
    dom_audit_recent_cleanup(&log->pending_entries);
    dom_audit_recent_cleanup(&log->recent);
    dom_buffer_cleanup(&log->note);
    dom_index_writer_cleanup(&log->index);
    dom_audit_log_folders_cleanup(log);
    dom_buffer_cleanup(&log->cosigned);
    rocksdb_writebatch_destroy(log->batch);
    (void)pthread_mutex_destroy(&log->pending_lock);
    (void)pthread_mutex_destroy(&log->note_lock);
    free(log->tiles);
    free(log->origin);
    free(log->vkey);
    free(log->dir);
    free(log->kept_path);
    free(log);
}

const char *dom_audit_log_origin(const struct dom_audit_log *log)
{
    return log->origin;
}

const char *dom_audit_log_vkey(const struct dom_audit_log *log)
{
    return log->vkey;
}

const char *dom_audit_log_dir(const struct dom_audit_log *log)
{
    return log->dir;
}

/* ---- the commit thread -------------------------------------------------------------------- */

uint64_t dom_audit_log_next(const struct dom_audit_log *log)
{
    return log->next;
}

static void put_run(struct dom_audit_log *log, rocksdb_writebatch_t *batch, uint64_t first,
                    struct dom_slice run)
{
    uint8_t key[8];

    dom_put_u64be(key, first);
    dom_db_batch_put(log->db, batch, DOM_DB_AUDIT, dom_slice_of(key, sizeof(key)),
                     dom_run_pack(run, &log->packed));
}

/* No run goes over the end of a bundle: who reads a bundle unpacks nothing else. */
void dom_audit_log_stage(struct dom_audit_log *log, rocksdb_writebatch_t *batch,
                         struct dom_slice run)
{
    struct dom_bundle_iter entries;
    uint64_t first = log->next;
    uint64_t next = log->next;
    bool done = false;

    dom_bundle_iter_init(&entries, run);
    const uint8_t *begin = run.data;
    while (!done) {
        struct dom_slice entry;
        /* Made by dom_bundle_append. */
        DOM_ASSERT(dom_bundle_next(&entries, &entry, &done, NULL) == DOM_OK);
        next += done ? 0 : 1;
        if (next > first && (done || next % DOM_TILE_WIDTH == 0)) {
            put_run(log, batch, first, dom_slice_of(begin, (size_t)(entries.rest.data - begin)));
            begin = entries.rest.data;
            first = next;
        }
    }
}

void dom_audit_log_committed(struct dom_audit_log *log, const struct dom_hash *leaves,
                             size_t num_leaves, struct dom_slice run)
{
    DOM_ASSERT(pthread_mutex_lock(&log->pending_lock) == 0);
    dom_audit_recent_add(&log->pending_entries, log->next, num_leaves, run);
    if (log->pending.len / DOM_HASH_SIZE + num_leaves > DOM_AUDIT_LOG_PENDING_MAX) {
        dom_buffer_clear(&log->pending);
        log->pending_first = log->next;
    }
    dom_buffer_append(&log->pending, leaves, num_leaves * DOM_HASH_SIZE);
    if (log->pending.failed) {
        dom_buffer_clear(&log->pending);
        log->pending_first = log->next + num_leaves;
    }
    log->next += num_leaves;
    atomic_store(&log->size, log->next);
    DOM_ASSERT(pthread_mutex_unlock(&log->pending_lock) == 0);
    uint64_t none = UINT64_MAX;
    (void)atomic_compare_exchange_strong(
        &log->due_us, &none, dom_clock_monotonic_us(dom_clock_system()) + log->checkpoint_us / 2);
}

enum dom_code dom_audit_log_reload(struct dom_audit_log *log, struct dom_error *err)
{
    uint64_t next = 0;

    enum dom_code rc = dom_audit_log_end(log->db, log->origin, &next, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (next < log->next) {
        atomic_store(&log->num_lost, log->next - next);
        return DOM_FAIL(err, DOM_CORRUPT, "log %s lost durable entries: %llu of %llu are there",
                        log->origin, (unsigned long long)next, (unsigned long long)log->next);
    }
    DOM_ASSERT(pthread_mutex_lock(&log->pending_lock) == 0);
    if (next > log->next) {
        dom_buffer_clear(&log->pending);
        log->pending_first = next;
        log->next = next;
        atomic_store(&log->size, next);
        atomic_store(&log->due_us, 0);
    }
    DOM_ASSERT(pthread_mutex_unlock(&log->pending_lock) == 0);
    return DOM_OK;
}

/* ---- asking ------------------------------------------------------------------------------- */

uint64_t dom_audit_log_due_us(const struct dom_audit_log *log)
{
    return atomic_load(&log->due_us);
}

uint64_t dom_audit_log_size(const struct dom_audit_log *log)
{
    return atomic_load(&log->size);
}

uint64_t dom_audit_log_published_size(const struct dom_audit_log *log)
{
    return atomic_load(&log->published_size);
}

uint64_t dom_audit_log_num_checkpoints(const struct dom_audit_log *log)
{
    return atomic_load(&log->num_checkpoints);
}

uint64_t dom_audit_log_num_lost(const struct dom_audit_log *log)
{
    return atomic_load(&log->num_lost);
}

uint64_t dom_audit_log_signed_size(struct dom_audit_log *log)
{
    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    uint64_t size = log->head.size;
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    return size;
}

enum dom_code dom_audit_log_snapshot(struct dom_audit_log *log, struct dom_buffer *note,
                                     struct dom_tree_head *head, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    *head = log->head;
    if (log->note.len == 0) {
        rc = DOM_FAIL(err, DOM_NOT_FOUND, "log %s has no signed checkpoint yet", log->origin);
    } else {
        dom_buffer_append_slice(note, dom_buffer_slice(&log->note));
        rc = note->failed ? DOM_FAIL(err, DOM_RESOURCE, "checkpoint: out of memory") : DOM_OK;
    }
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    return rc;
}

const struct dom_note_key *dom_audit_log_key(const struct dom_audit_log *log)
{
    return &log->signer.key;
}

void dom_audit_log_set_cosigned(struct dom_audit_log *log, struct dom_slice note, uint64_t size)
{
    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    bool newer = log->cosigned.len == 0 || size > log->cosigned_size;
    if (newer) {
        dom_buffer_clear(&log->cosigned);
        dom_buffer_append_slice(&log->cosigned, note);
        log->cosigned_size = size;
        log->cosigned_new = !log->cosigned.failed;
    }
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    if (newer) {
        atomic_store(&log->due_us, 0);
    }
}

void dom_audit_log_count_asked(struct dom_audit_log *log, enum dom_audit_log_asked how)
{
    atomic_fetch_add(&log->num_asked[how], 1);
}

uint64_t dom_audit_log_num_asked(const struct dom_audit_log *log, enum dom_audit_log_asked how)
{
    return atomic_load(&log->num_asked[how]);
}

enum dom_code dom_audit_log_checkpoint(struct dom_audit_log *log, struct dom_buffer *out,
                                       struct dom_error *err)
{
    struct dom_tree_head head;

    return dom_audit_log_snapshot(log, out, &head, err);
}
