/* Pruning: the oldest entries go, their hashes stay. The order is what makes it safe: the entry
 * that says so is published, the signed statement is there, and only then do bytes go; each step
 * may be done again after a crash. */
#include <limits.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "store/audit/bundle.h"
#include "store/audit_log/audit_log_internal.h"
#include "store/audit_log/run.h"

uint64_t dom_audit_log_first(const struct dom_audit_log *log)
{
    return atomic_load(&log->first);
}

void dom_audit_log_prune(struct dom_audit_log *log, uint64_t first, uint64_t entry)
{
    DOM_ASSERT(first % DOM_TILE_WIDTH == 0 && entry >= first);
    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    log->to_prune = (struct dom_pruned){.first = first, .entry = entry};
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    atomic_store(&log->due_us, 0);
}

bool dom_audit_log_take_compact(struct dom_audit_log *log)
{
    return atomic_exchange(&log->compact, false);
}

void dom_audit_log_compact_later(struct dom_audit_log *log)
{
    atomic_store(&log->compact, true);
}

static enum dom_code write_statement(struct dom_audit_log *log, const struct dom_pruned *pruned,
                                     struct dom_error *err)
{
    struct dom_buffer note = {0};
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/pruned", log->dir);
    enum dom_code rc = dom_pruned_sign(&log->signer, pruned, &note, err);
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(path, dom_buffer_slice(&note), 0640, err);
    }
    dom_buffer_cleanup(&note);
    return rc;
}

struct rest {
    struct dom_buffer run;
    enum dom_code code;
    struct dom_error *err;
};

static bool add(void *context, uint64_t index, struct dom_slice entry)
{
    struct rest *rest = context;

    (void)index;
    rest->code = dom_bundle_append(&rest->run, entry, rest->err);
    return rest->code == DOM_OK;
}

/* The run that the first kept entry lies in may begin before it: its rest becomes a run of its own.
 */
static enum dom_code stage_rest(struct dom_audit_log *log, uint64_t first, struct dom_error *err)
{
    uint8_t key[8];
    struct dom_buffer packed = {0};
    struct rest rest = {.err = err};
    enum dom_code rc = DOM_OK;
    uint64_t end = first;

    rocksdb_iterator_t *iter = dom_db_iter(log->db, DOM_DB_AUDIT);
    dom_put_u64be(key, first);
    rocksdb_iter_seek_for_prev(iter, (const char *)key, sizeof(key));
    if (rocksdb_iter_valid(iter) && dom_db_iter_key(iter).len == sizeof(key)) {
        unsigned count = 0;
        rc = dom_audit_log_run_count(dom_db_iter_value(iter), &count, err);
        end = dom_get_u64be(dom_db_iter_key(iter).data) + count;
    }
    rocksdb_iter_destroy(iter);
    if (rc == DOM_OK && end > first) {
        rc = dom_audit_log_walk(log, first, end, add, &rest, err);
        rc = rc == DOM_OK ? rest.code : rc;
    }
    if (rc == DOM_OK && rest.run.len > 0) {
        dom_db_batch_put(log->db, log->batch, DOM_DB_AUDIT, dom_slice_of(key, sizeof(key)),
                         dom_run_pack(dom_buffer_slice(&rest.run), &packed));
    }
    dom_buffer_cleanup(&packed);
    dom_buffer_cleanup(&rest.run);
    return rc;
}

static enum dom_code remove_entries(struct dom_audit_log *log, uint64_t first,
                                    struct dom_error *err)
{
    uint8_t from[8] = {0};
    uint8_t to[8];

    dom_put_u64be(to, first);
    rocksdb_writebatch_clear(log->batch);
    dom_db_batch_delete_range(log->db, log->batch, DOM_DB_AUDIT, dom_slice_of(from, sizeof(from)),
                              dom_slice_of(to, sizeof(to)));
    enum dom_code rc = stage_rest(log, first, err);
    if (rc == DOM_OK) {
        dom_db_batch_put(log->db, log->batch, DOM_DB_META, DOM_SLICE_LIT("pruned"),
                         dom_slice_of(to, sizeof(to)));
        rc = dom_db_write(log->db, log->batch, true, err);
    }
    return rc;
}

struct said {
    uint64_t first;
    uint64_t entry; /* UINT64_MAX: not found */
};

static bool look_for(void *context, uint64_t index, struct dom_slice entry)
{
    struct said *said = context;

    if (dom_pruned_entry_says(entry, said->first)) {
        said->entry = index;
    }
    return said->entry == UINT64_MAX;
}

enum dom_code dom_audit_log_restate(struct dom_audit_log *log, struct dom_error *err)
{
    struct said said = {.first = log->first, .entry = UINT64_MAX};

    if (said.first == 0) {
        return DOM_OK;
    }
    enum dom_code rc =
        dom_audit_log_walk(log, said.first, log->head.size, look_for, &said, err);
    if (rc == DOM_OK && said.entry != UINT64_MAX) {
        struct dom_pruned pruned = {.first = said.first, .entry = said.entry};
        rc = write_statement(log, &pruned, err);
    }
    return rc;
}

enum dom_code dom_audit_log_prune_now(struct dom_audit_log *log, struct dom_error *err)
{
    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    struct dom_pruned pruned = log->to_prune;
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    if (pruned.first == 0 || log->published_size <= pruned.entry) {
        return DOM_OK;
    }
    dom_audit_log_step(log);
    enum dom_code rc = write_statement(log, &pruned, err);
    if (rc == DOM_OK) {
        dom_audit_log_step(log);
        rc = remove_entries(log, pruned.first, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    uint64_t before = atomic_exchange(&log->first, pruned.first);
    for (uint64_t n = before / DOM_TILE_WIDTH; n < pruned.first / DOM_TILE_WIDTH; n++) {
        dom_audit_log_step(log);
        dom_tiledir_remove_bundles(log->dir, n, n + 1);
    }
    dom_audit_log_step(log);
    dom_index_remove_before(log->dir, pruned.first);
    log->index.located = false; /* what it told of is made again without the pruned entries */
    atomic_store(&log->compact, true);
    DOM_ASSERT(pthread_mutex_lock(&log->note_lock) == 0);
    log->to_prune = (struct dom_pruned){0};
    DOM_ASSERT(pthread_mutex_unlock(&log->note_lock) == 0);
    dom_log(DOM_LOG_INFO, "audit.pruned", "log=%s first=%llu entry=%llu", log->origin,
            (unsigned long long)pruned.first, (unsigned long long)pruned.entry);
    return DOM_OK;
}
