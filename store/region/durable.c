/* How a batch becomes durable. Entries alone go through the journal, whose sync is the cheaper one;
 * whatever else there is goes with a sync of the database's own log, which also makes durable all
 * that was written before. */
#include "base/log.h"
#include "store/region/region_internal.h"

enum dom_code dom_region_make_durable(struct dom_region *region, bool entries_only,
                                      struct dom_error *err)
{
    struct dom_group *group = &region->group;
    struct dom_slice batch = dom_db_batch_bytes(group->batch);

    if (!entries_only || batch.len > DOM_JOURNAL_BATCH_BYTES) {
        return dom_db_write(region->db, group->batch, true, err);
    }
    /* Into the database first: what the journal holds is then never ahead of it, but by a crash. */
    enum dom_code rc = dom_db_write(region->db, group->batch, false, err);
    if (rc == DOM_OK &&
        !dom_journal_append(region->journal, dom_audit_log_next(region->log),
                            (uint32_t)group->num_leaves, batch,
                            dom_audit_log_published_size(region->log))) {
        rc = dom_db_sync(region->db, err);
    }
    return rc;
}

static enum dom_code sync_database(void *context, struct dom_error *err)
{
    struct dom_region *region = context;

    return dom_db_sync(region->db, err);
}

enum dom_code dom_region_wipe_journal(struct dom_region *region, struct dom_error *err)
{
    return dom_journal_wipe(region->journal, sync_database, region, err);
}

/* ---- after a crash of the machine --------------------------------------------------------- */

static bool has(void *context, uint64_t first)
{
    struct dom_region *region = context;
    struct dom_db_value value;
    struct dom_error err = {0};
    uint64_t pruned = 0;
    uint8_t key[8];

    dom_put_u64be(key, first);
    enum dom_code rc =
        dom_db_get(region->db, DOM_DB_AUDIT, dom_slice_of(key, sizeof(key)), &value, &err);
    dom_db_value_release(&value);
    if (rc == DOM_NOT_FOUND &&
        dom_db_get(region->db, DOM_DB_META, DOM_SLICE_LIT("pruned"), &value, &err) == DOM_OK) {
        pruned = value.bytes.len == 8 ? dom_get_u64be(value.bytes.data) : 0;
        dom_db_value_release(&value);
    }
    return rc != DOM_NOT_FOUND || first < pruned;
}

static enum dom_code apply(void *context, uint64_t first, uint32_t count, struct dom_slice bytes,
                           struct dom_error *err)
{
    struct dom_region *region = context;
    rocksdb_writebatch_t *batch =
        rocksdb_writebatch_create_from((const char *)bytes.data, bytes.len);

    dom_log(DOM_LOG_INFO, "store.replayed", "region=%s first=%llu count=%u", region->name,
            (unsigned long long)first, count);
    enum dom_code rc = dom_db_write(region->db, batch, false, err);
    rocksdb_writebatch_destroy(batch);
    return rc;
}

enum dom_code dom_region_replay(struct dom_region *region, struct dom_error *err)
{
    struct dom_error why = {0};
    uint64_t end = 0;

    if (dom_journal_open(region->journal, &why) != DOM_OK) {
        /* Slower, and as durable: the database syncs each group itself. */
        dom_log(DOM_LOG_WARN, "store.journal", "region=%s reason=\"%s\"", region->name,
                why.message);
        return DOM_OK;
    }
    enum dom_code rc = dom_audit_log_end(region->db, region->name, &end, err);
    if (rc == DOM_OK) {
        struct dom_journal_target target = {.has = has, .apply = apply, .context = region};
        rc = dom_journal_replay(region->journal, end, &target, err);
    }
    return rc == DOM_OK ? dom_db_sync(region->db, err) : rc;
}
