/* Purging: making deleted bytes physically gone (promise P9), and trimming the outbox. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/audit/event.h"
#include "store/region/region_internal.h"

#define MARK_FORMAT 1U
#define MARK_SIZE   17U

void dom_stage_purge(struct dom_region *region, struct dom_slice key, bool placed)
{
    struct dom_purge_list *purge = &region->purge;

    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    if (purge->num_keys < DOM_PURGE_KEYS_MAX) {
        purge->keys[purge->num_keys].len = key.len;
        memcpy(purge->keys[purge->num_keys].bytes, key.data, key.len);
    }
    if (purge->num_keys <= DOM_PURGE_KEYS_MAX) {
        purge->num_keys++;
    }
    purge->num_rows++;
    purge->num_placed += placed ? 1 : 0;
    atomic_fetch_add(&region->num_placed_out, placed ? 1 : 0);
    if (purge->first_us == 0) {
        purge->first_us = dom_clock_monotonic_us(dom_clock_system());
        region->group.first_purge = true;
    }
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    region->group.wants_purge = true;
}

static void put_mark(struct dom_region *region, uint64_t rows, uint64_t placed)
{
    uint8_t mark[MARK_SIZE] = {MARK_FORMAT};

    dom_put_u64be(mark + 1, rows);
    dom_put_u64be(mark + 9, placed);
    dom_db_batch_put(region->db, region->group.batch, DOM_DB_META, DOM_SLICE_LIT("purge"),
                     dom_slice_of(mark, sizeof(mark)));
}

/* A mark in every batch that leaves bytes behind, so that a restart forgets neither them nor how
 * many they were. Commit thread only, as is clearing it: neither can overtake the other. */
void dom_stage_purge_mark(struct dom_region *region)
{
    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    uint64_t rows = region->purge.num_rows + region->telling_rows;
    uint64_t placed = region->purge.num_placed + region->telling_placed;
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    put_mark(region, rows, placed);
}

void dom_stage_purge_done(struct dom_region *region)
{
    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    bool more = region->purge.first_us != 0;
    uint64_t rows = region->purge.num_rows;
    uint64_t placed = region->purge.num_placed;
    region->telling_rows = 0;
    region->telling_placed = 0;
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    if (more) {
        put_mark(region, rows, placed);
    } else {
        dom_db_batch_delete(region->db, region->group.batch, DOM_DB_META, DOM_SLICE_LIT("purge"));
    }
}

enum dom_code dom_region_load_purge(struct dom_region *region, struct dom_error *err)
{
    struct dom_db_value value;

    enum dom_code rc = dom_db_get(region->db, DOM_DB_META, DOM_SLICE_LIT("purge"), &value, err);
    if (rc == DOM_OK) {
        region->purge.num_keys = DOM_PURGE_KEYS_MAX + 1; /* which keys is not known any more */
        region->purge.first_us = dom_clock_monotonic_us(dom_clock_system());
        if (value.bytes.len == MARK_SIZE && value.bytes.data[0] == MARK_FORMAT) {
            region->purge.num_rows = dom_get_u64be(value.bytes.data + 1);
            region->purge.num_placed = dom_get_u64be(value.bytes.data + 9);
            atomic_store(&region->num_placed_out, region->purge.num_placed);
        }
    }
    dom_db_value_release(&value);
    return rc == DOM_NOT_FOUND ? DOM_OK : rc;
}

uint64_t dom_region_purge_due_us(struct dom_region *region)
{
    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    uint64_t first = region->purge.first_us;
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    return first == 0 ? UINT64_MAX : first + region->host->options.purge_ms * 500;
}

static enum dom_code compact_keys(struct dom_region *region, const struct dom_purge_list *purge,
                                  struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    if (purge->num_keys > DOM_PURGE_KEYS_MAX) {
        return dom_db_compact(region->db, DOM_DB_ROWS, dom_slice_of(NULL, 0), dom_slice_of(NULL, 0),
                              err);
    }
    for (size_t i = 0; i < purge->num_keys && rc == DOM_OK; i++) {
        struct dom_slice key = dom_row_key_slice(&purge->keys[i]);
        rc = dom_db_compact(region->db, DOM_DB_ROWS, key, key, err);
    }
    return rc;
}

/* Comes again: everything when `taken` is given (both lists together rarely fit), else for what the
 * outbox still held. */
static void come_again(struct dom_region *region, const struct dom_purge_list *taken)
{
    struct dom_purge_list *purge = &region->purge;

    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    if (taken != NULL) {
        purge->num_keys = DOM_PURGE_KEYS_MAX + 1;
        purge->num_rows += taken->num_rows;
        purge->num_placed += taken->num_placed;
        region->telling_rows = 0;
        region->telling_placed = 0;
    }
    if (purge->first_us == 0) {
        purge->first_us = dom_clock_monotonic_us(dom_clock_system());
    }
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
}

/* Flushing makes the write-ahead logs that hold the values obsolete, and compacting rewrites the
 * tables that do. The outbox goes too: it holds sealed names of deleted records. The manifest names
 * the first and last key of every table, also of those that are gone: a new one does not. */
static enum dom_code purge_files(struct dom_region *region, const struct dom_purge_list *purge,
                                 struct dom_error *err)
{
    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    enum dom_code rc = dom_db_flush(region->db, err);
    if (rc == DOM_OK) {
        rc = compact_keys(region, purge, err);
    }
    if (rc == DOM_OK) {
        rc = dom_db_compact(region->db, DOM_DB_OUTBOX, dom_slice_of(NULL, 0), dom_slice_of(NULL, 0),
                            err);
    }
    if (rc == DOM_OK) {
        rc = dom_db_renew_manifest(region->db, err);
    }
    dom_db_leave(region->db);
    return rc;
}

static enum dom_code tell_cause(struct dom_region *region, const char *cause, uint64_t rows,
                                const struct dom_store_placement *placement, bool last,
                                struct dom_error *err)
{
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("action"), .text = DOM_SLICE_LIT("compact")},
        {.name = DOM_SLICE_LIT("cause"), .text = dom_slice_str(cause)},
        {.name = DOM_SLICE_LIT("region"), .text = dom_slice_str(region->name)},
        {.name = DOM_SLICE_LIT("rows"), .integer = (int64_t)rows, .is_integer = true},
    };
    struct dom_region_control control = {.details = details,
                                         .num_details = DOM_ARRAY_LEN(details),
                                         .placement = placement,
                                         .purge_done = last};

    return dom_region_append_more(region, DOM_AUDIT_PURGE, &control, err);
}

/* One receipt for what a placement took out of the region, one for what was deleted or changed. */
static enum dom_code tell_purge(struct dom_region *region, const struct dom_purge_list *purge,
                                struct dom_error *err)
{
    struct dom_store_placement placement;
    uint64_t others = purge->num_rows - purge->num_placed;
    enum dom_code rc = DOM_OK;

    if (purge->num_keys == 0) {
        return dom_region_clear_purge(region, err);
    }
    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    placement = region->placement;
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    atomic_fetch_add(&region->num_purges, 1);
    if (purge->num_placed > 0) {
        rc = tell_cause(region, "placement", purge->num_placed,
                        placement.name[0] == '\0' ? NULL : &placement, others == 0, err);
        if (rc == DOM_OK) {
            atomic_fetch_add(&region->num_placed_purged, purge->num_placed);
        }
    }
    if (rc == DOM_OK && (others > 0 || purge->num_placed == 0)) {
        rc = tell_cause(region, "deletion", others, NULL, true, err);
    }
    return rc;
}

enum dom_code dom_region_purge(struct dom_region *region, struct dom_error *err)
{
    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    struct dom_purge_list taken = region->purge;
    region->purge = (struct dom_purge_list){0};
    region->telling_rows = taken.num_rows;
    region->telling_placed = taken.num_placed;
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    if (taken.first_us == 0) {
        return DOM_OK;
    }
    bool owes = atomic_load(&region->tail) > atomic_load(&region->trimmed);
    enum dom_code rc = purge_files(region, &taken, err);
    if (rc != DOM_OK) {
        come_again(region, &taken);
        return rc;
    }
    if (owes) {
        come_again(region, NULL); /* sealed names of deleted records are still in the outbox */
    }
    rc = tell_purge(region, &taken, err);
    if (rc == DOM_UNAVAILABLE) {
        rc = DOM_OK; /* stopping: the mark stays, and the next start purges again */
    } else if (rc != DOM_OK) {
        come_again(region, &taken); /* the log cannot be written now: told later, not never */
    }
    return rc;
}

/* ---- the outbox --------------------------------------------------------------------------- */

uint64_t dom_region_outbox_tail(const struct dom_region *region)
{
    return atomic_load(&region->tail);
}

void dom_region_outbox_done(struct dom_region *region, uint64_t seq)
{
    atomic_store(&region->done_seq, seq);
}

static void put_sent(struct dom_region *region, rocksdb_writebatch_t *batch, const uint64_t *sent)
{
    for (size_t i = 0; i < DOM_PEERS_MAX; i++) {
        char key[8 + DOM_POLICY_NAME_BYTES_MAX];
        uint8_t seq[8];
        if (sent[i] == 0) {
            continue;
        }
        DOM_ASSERT(pthread_mutex_lock(&region->peer_lock) == 0);
        (void)snprintf(key, sizeof(key), "sent:%s", region->peers[i]);
        DOM_ASSERT(pthread_mutex_unlock(&region->peer_lock) == 0);
        dom_put_u64be(seq, sent[i]);
        dom_db_batch_put(region->db, batch, DOM_DB_META, dom_slice_str(key),
                         dom_slice_of(seq, sizeof(seq)));
    }
}

enum dom_code dom_region_outbox_trim(struct dom_region *region, uint64_t seq,
                                     const uint64_t sent[DOM_PEERS_MAX], struct dom_error *err)
{
    uint8_t from[8];
    uint8_t to[8];

    if (seq <= atomic_load(&region->trimmed)) {
        return DOM_OK;
    }
    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    dom_put_u64be(from, atomic_load(&region->trimmed) + 1);
    dom_put_u64be(to, seq + 1);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    dom_db_batch_delete_range(region->db, batch, DOM_DB_OUTBOX, dom_slice_of(from, sizeof(from)),
                              dom_slice_of(to, sizeof(to)));
    put_sent(region, batch, sent);
    dom_put_u64be(to, seq);
    dom_db_batch_put(region->db, batch, DOM_DB_META, DOM_SLICE_LIT("outbox"),
                     dom_slice_of(to, sizeof(to)));
    enum dom_code rc = dom_db_write(region->db, batch, false, err);
    rocksdb_writebatch_destroy(batch);
    dom_db_leave(region->db);
    if (rc == DOM_OK) {
        atomic_store(&region->trimmed, seq);
    }
    return rc;
}
