/* From durable entries to a signed, published checkpoint. The order is what makes it safe:
 * hashes durable in the database, checkpoint kept apart, tiles as files, checkpoint published. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/audit/bundle.h"
#include "store/audit_log/audit_log_internal.h"

static void store_tile(struct dom_audit_log *log, int level)
{
    struct dom_audit_log_tile *tile = &log->tiles[level];
    uint8_t key[DOM_AUDIT_LOG_TILE_KEY_SIZE];

    dom_audit_log_tile_key(key, level, tile->n);
    dom_db_batch_put(log->db, log->batch, DOM_DB_TILES, dom_slice_of(key, sizeof(key)),
                     dom_slice_of(tile->hashes, tile->width * DOM_HASH_SIZE));
    tile->dirty = false;
}

static void put_hash(void *impl, int level, uint64_t index, const struct dom_hash *hash)
{
    struct dom_audit_log *log = impl;
    struct dom_audit_log_tile *tile = &log->tiles[level];
    unsigned at = (unsigned)(index % DOM_TILE_WIDTH);

    DOM_ASSERT(level >= 0 && (unsigned)level < DOM_TILE_LEVELS);
    if (at == 0) {
        tile->n = index / DOM_TILE_WIDTH;
        tile->width = 0;
    }
    DOM_ASSERT(tile->n == index / DOM_TILE_WIDTH && tile->width == at);
    memcpy(tile->hashes + at * DOM_HASH_SIZE, hash->bytes, DOM_HASH_SIZE);
    tile->width = at + 1;
    tile->dirty = true;
    if (tile->width == DOM_TILE_WIDTH) {
        store_tile(log, level);
    }
}

enum dom_code dom_audit_log_load_tree(struct dom_audit_log *log, struct dom_error *err)
{
    struct dom_hash_reader reader = dom_audit_log_reader(log);
    uint64_t size = 0;

    log->loaded = false;
    enum dom_code rc = dom_audit_log_meta(log, "tree", &size, err);
    if (rc == DOM_OK) {
        rc = dom_edge_load(&log->edge, &reader, size, err);
    }
    for (int level = 0; level < (int)DOM_TILE_LEVELS && rc == DOM_OK; level++) {
        struct dom_audit_log_tile *tile = &log->tiles[level];
        uint64_t hashes = dom_tile_level_size(size, level);
        tile->dirty = false;
        tile->n = hashes / DOM_TILE_WIDTH;
        tile->width = (unsigned)(hashes % DOM_TILE_WIDTH);
        if (tile->width > 0) {
            struct dom_hash out[DOM_TILE_WIDTH];
            rc = reader.read(reader.impl, level, tile->n * DOM_TILE_WIDTH, tile->width, out, err);
            memcpy(tile->hashes, out, tile->width * sizeof(out[0]));
        }
    }
    log->loaded = rc == DOM_OK;
    return rc;
}

static bool add_entry(void *context, uint64_t index, struct dom_slice entry)
{
    struct dom_audit_log *log = context;
    struct dom_hash_sink sink = {.put = put_hash, .impl = log};
    struct dom_hash leaf;

    DOM_ASSERT(index == log->edge.size);
    if (index % DOM_TILE_WIDTH == 0) {
        dom_audit_log_step(log);
    }
    dom_hash_leaf(&leaf, entry);
    dom_edge_append(&log->edge, &leaf, &sink);
    return true;
}

/* Leaf hashes that the commit thread computed, and before them, if there is a gap (after a start
 * or a long stall), entries read back. The entries themselves are kept for publishing. */
static enum dom_code grow(struct dom_audit_log *log, struct dom_error *err)
{
    struct dom_hash_sink sink = {.put = put_hash, .impl = log};

    DOM_ASSERT(pthread_mutex_lock(&log->pending_lock) == 0);
    struct dom_buffer taken = log->pending;
    uint64_t first = log->pending_first;
    size_t count = taken.len / DOM_HASH_SIZE;
    log->pending = (struct dom_buffer){0};
    log->pending_first = first + count;
    struct dom_audit_recent entries = log->pending_entries;
    log->pending_entries = (struct dom_audit_recent){.first = entries.end, .end = entries.end};
    DOM_ASSERT(pthread_mutex_unlock(&log->pending_lock) == 0);
    dom_audit_recent_move(&log->recent, &entries);
    dom_audit_recent_cleanup(&entries);

    enum dom_code rc = DOM_OK;
    if (log->edge.size < first) {
        rc = dom_audit_log_walk(log, log->edge.size, first, add_entry, log, err);
    }
    for (size_t i = 0; i < count && rc == DOM_OK; i++) {
        struct dom_hash leaf;
        if (first + i < log->edge.size) {
            continue;
        }
        memcpy(leaf.bytes, taken.data + i * DOM_HASH_SIZE, DOM_HASH_SIZE);
        dom_edge_append(&log->edge, &leaf, &sink);
    }
    dom_buffer_cleanup(&taken);
    return rc;
}

static void put_meta(struct dom_audit_log *log, const char *name, uint64_t number)
{
    uint8_t value[8];

    dom_put_u64be(value, number);
    dom_db_batch_put(log->db, log->batch, DOM_DB_META, dom_slice_str(name),
                     dom_slice_of(value, sizeof(value)));
}

static enum dom_code extend_tree(struct dom_audit_log *log, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    rocksdb_writebatch_clear(log->batch);
    if (!log->loaded) {
        rc = dom_audit_log_load_tree(log, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    uint64_t before = log->edge.size;
    rc = grow(log, err);
    if (rc == DOM_OK && log->edge.size > before) {
        for (int level = 0; level < (int)DOM_TILE_LEVELS; level++) {
            if (log->tiles[level].dirty) {
                store_tile(log, level);
            }
        }
        put_meta(log, "tree", log->edge.size);
        dom_audit_log_step(log);
        rc = dom_db_write(log->db, log->batch, true, err);
    }
    if (rc != DOM_OK) {
        log->loaded = false; /* memory is ahead of the database: start over from what is there */
    }
    return rc;
}

static enum dom_code sign(struct dom_audit_log *log, struct dom_error *err)
{
    struct dom_tree_head head = {.size = log->edge.size};
    struct dom_buffer note = {0};

    dom_edge_root(&log->edge, &head.root);
    dom_audit_log_step(log);
    enum dom_code rc = dom_checkpoint_sign(&log->signer, &head, &note, err);
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(log->kept_path, dom_buffer_slice(&note), 0600, err);
    }
    if (rc == DOM_OK) {
        DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
        struct dom_buffer old = log->note;
        log->note = note;
        log->head = head;
        note = old;
        DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
        atomic_fetch_add(&log->num_checkpoints, 1);
        rocksdb_writebatch_clear(log->batch);
        put_meta(log, "signed", head.size);
        rc = dom_db_write(log->db, log->batch, false, err);
    }
    dom_buffer_cleanup(&note);
    return rc;
}

struct bundle_sink {
    struct dom_buffer *bundle;
    enum dom_code code;
    struct dom_error *err;
};

static bool add_to_bundle(void *context, uint64_t index, struct dom_slice entry)
{
    struct bundle_sink *sink = context;

    (void)index;
    sink->code = dom_bundle_append(sink->bundle, entry, sink->err);
    return sink->code == DOM_OK;
}

static enum dom_code read_bundle(void *impl, uint64_t first, unsigned count,
                                 struct dom_buffer *bundle, struct dom_error *err)
{
    struct dom_audit_log *log = impl;
    struct bundle_sink sink = {.bundle = bundle, .err = err};
    struct dom_slice held;

    dom_audit_log_step(log);
    if (dom_audit_recent_find(&log->recent, first, count, &held)) {
        dom_buffer_append_slice(bundle, held);
        return bundle->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a bundle") : DOM_OK;
    }
    enum dom_code rc = dom_audit_log_walk(log, first, first + count, add_to_bundle, &sink, err);
    return rc != DOM_OK ? rc : sink.code;
}

/* Publishing asks for a tile's hashes before it writes it: a step each. */
static enum dom_code read_hashes(void *impl, int level, uint64_t first, unsigned count,
                                 struct dom_hash *out, struct dom_error *err)
{
    struct dom_audit_log *log = impl;
    struct dom_hash_reader reader = dom_audit_log_reader(log);

    dom_audit_log_step(log);
    return reader.read(reader.impl, level, first, count, out, err);
}

static bool to_publish(const struct dom_audit_log *log)
{
    return log->restore || log->renote || log->published_size < log->head.size;
}

static enum dom_code publish(struct dom_audit_log *log, struct dom_error *err)
{
    struct dom_log_source source = {.hashes = {.read = read_hashes, .impl = log},
                                    .entries = read_bundle,
                                    .impl = log};
    struct dom_publish what = {.dir = log->dir,
                               .source = &source,
                               .old_size = log->restore ? 0 : log->published_size,
                               .new_size = log->head.size,
                               .first = log->first,
                               .only_missing = log->restore,
                               .checkpoint = dom_buffer_slice(&log->note)};

    dom_audit_log_step(log);
    enum dom_code rc = dom_tiledir_publish(&what, NULL, err);
    if (rc == DOM_OK && what.old_size == 0) {
        rc = dom_tiledir_write_vkey(log->dir, dom_slice_str(log->vkey), err);
        rc = rc == DOM_OK ? dom_audit_log_restate(log, err) : rc;
    }
    if (rc == DOM_OK) {
        log->restore = false;
        log->renote = false;
        log->published_size = log->head.size;
        dom_audit_recent_trim(&log->recent, log->head.size - log->head.size % DOM_TILE_WIDTH);
    }
    return rc;
}

/* Lines of the witnesses in this process go into the checkpoint before anybody sees it. Without
 * them it is as good as it was: who wants a quorum does not accept it. */
static void cosign(struct dom_audit_log *log)
{
    struct dom_buffer lines = {0};

    if (log->cosign == NULL) {
        return;
    }
    dom_audit_log_step(log);
    log->cosign(log->cosign_context, log, &lines);
    dom_audit_log_step(log);
    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    size_t len = log->note.len;
    dom_buffer_append_slice(&log->note, dom_buffer_slice(&lines));
    if (log->note.failed) {
        log->note.failed = false;
        log->note.len = len;
    }
    log->renote = log->renote || log->note.len > len; /* its file may be there, without them */
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    dom_buffer_cleanup(&lines);
}

/* The file checkpoint.cosigned, once `checkpoint` covers it. */
static enum dom_code publish_cosigned(struct dom_audit_log *log, struct dom_error *err)
{
    struct dom_buffer note = {0};
    char path[PATH_MAX];
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    if (log->cosigned_new && log->cosigned_size <= log->published_size) {
        dom_buffer_append_slice(&note, dom_buffer_slice(&log->cosigned));
        log->cosigned_new = false;
    }
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    if (note.len > 0) {
        dom_audit_log_step(log);
        (void)snprintf(path, sizeof(path), "%s/checkpoint.cosigned", log->dir);
        rc = dom_file_write_atomic(path, dom_buffer_slice(&note), 0640, err);
    }
    if (rc != DOM_OK) {
        DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
        log->cosigned_new = true;
        DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    }
    dom_buffer_cleanup(&note);
    return rc;
}

static enum dom_code grow_and_sign(struct dom_audit_log *log, bool *signedp, struct dom_error *err)
{
    *signedp = false;
    if (!dom_db_enter(log->db)) {
        return DOM_FAIL(err, DOM_IO, "log %s: the database is not open", log->origin);
    }
    enum dom_code rc = DOM_OK;
    if (dom_audit_log_size(log) > log->head.size) {
        rc = extend_tree(log, err);
        rc = rc != DOM_OK ? rc : sign(log, err);
        *signedp = rc == DOM_OK;
    }
    dom_db_leave(log->db);
    return rc;
}

static enum dom_code publish_all(struct dom_audit_log *log, struct dom_error *err)
{
    if (!dom_db_enter(log->db)) {
        return DOM_FAIL(err, DOM_IO, "log %s: the database is not open", log->origin);
    }
    enum dom_code rc = to_publish(log) ? publish(log, err) : DOM_OK;
    if (rc == DOM_OK) {
        rc = publish_cosigned(log, err);
    }
    if (rc == DOM_OK) {
        rc = dom_audit_log_prune_now(log, err);
    }
    dom_db_leave(log->db);
    return rc;
}

static enum dom_code integrate(struct dom_audit_log *log, struct dom_error *err)
{
    bool is_new = false;

    if (atomic_load(&log->republish)) {
        atomic_store(&log->restore, log->head.size > 0); /* first: see dom_audit_log_whole */
        atomic_store(&log->republish, false);
    }
    enum dom_code rc = grow_and_sign(log, &is_new, err);
    bool again = atomic_exchange(&log->ask_again, false);
    if (is_new || (again && log->head.size > 0)) {
        cosign(log); /* outside of the database's hold: a witness may have to wait for its own */
    }
    return rc == DOM_OK ? publish_all(log, err) : rc;
}

enum dom_code dom_audit_log_integrate(struct dom_audit_log *log, struct dom_error *err)
{
    /* Before the size is read: an entry that comes later makes the log due again. */
    atomic_store(&log->due_us, UINT64_MAX);
    dom_audit_log_step(log);
    enum dom_code rc = integrate(log, err);
    if (rc == DOM_OK) {
        dom_audit_log_step(log);
        dom_audit_log_index(log);
    } else {
        atomic_store(&log->due_us,
                     dom_clock_monotonic_us(dom_clock_system()) + log->checkpoint_us / 2);
    }
    dom_audit_log_rest(log);
    return rc;
}
