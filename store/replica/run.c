/* A run of outbox entries, coalesced by record and projected for its targets. */
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/replica/replicator_internal.h"

static enum dom_code no_memory(struct dom_error *err)
{
    return DOM_FAIL(err, DOM_RESOURCE, "replication needs more memory than one round may have");
}

/* Looked up once a run: a peer that opens meanwhile has its own position to go on from. */
static void look_up_peers(struct dom_replicator *replicator, struct dom_run *run)
{
    for (unsigned i = 0; i < DOM_PEERS_MAX; i++) {
        run->region_of[i] = dom_region_peer(replicator->home, i);
    }
}

static dom_store_set regions_of(const struct dom_run *run, uint64_t peers)
{
    dom_store_set set = 0;

    for (; peers != 0; peers &= peers - 1) {
        dom_store_region region = run->region_of[__builtin_ctzll(peers)];
        if (region != DOM_STORE_NO_REGION) {
            set |= (dom_store_set)1 << region;
        }
    }
    return set;
}

static struct dom_run_record *find_record(struct dom_run *run, struct dom_slice key)
{
    for (size_t i = 0; i < run->num_records; i++) {
        if (dom_slice_eq(run->records[i].key, key)) {
            return &run->records[i];
        }
    }
    return NULL;
}

static enum dom_code add_entry(struct dom_replicator *replicator, struct dom_run *run,
                               struct dom_slice value, struct dom_error *err)
{
    struct dom_outbox_entry entry;

    enum dom_code rc = dom_outbox_decode(&entry, value, err);
    if (rc != DOM_OK) {
        return rc;
    }
    struct dom_run_record *record = find_record(run, entry.key);
    if (record == NULL) {
        char *key = dom_arena_dup(&replicator->round->arena, entry.key);
        if (key == NULL) {
            return no_memory(err);
        }
        record = &run->records[run->num_records++];
        *record = (struct dom_run_record){.key = dom_slice_of(key, entry.key.len)};
    }
    record->targets |= regions_of(run, entry.targets);
    record->is_placed = record->is_placed || entry.type == DOM_OUTBOX_PLACE;
    record->version = entry.version;
    record->is_delete = entry.type == DOM_OUTBOX_DELETE;
    if (record->is_delete) {
        char *sealed = dom_arena_dup(&replicator->round->arena, entry.sealed);
        if (sealed == NULL) {
            return no_memory(err);
        }
        record->sealed = dom_slice_of(sealed, entry.sealed.len);
    }
    return DOM_OK;
}

enum dom_code dom_run_read(struct dom_replicator *replicator, uint64_t from, struct dom_run *run,
                           struct dom_error *err)
{
    struct dom_db *db = dom_region_db(replicator->home);
    uint64_t tail = dom_region_outbox_tail(replicator->home);
    uint8_t key[8];
    enum dom_code rc = DOM_OK;

    run->from = from;
    run->to = from;
    run->num_records = 0;
    look_up_peers(replicator, run); /* after the tail: every entry up to it names peers that exist */
    if (!dom_db_enter(db)) {
        return DOM_FAIL(err, DOM_IO, "the home's database is not open");
    }
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_OUTBOX);
    dom_put_u64be(key, from + 1);
    rocksdb_iter_seek(iter, (const char *)key, sizeof(key));
    for (size_t i = 0; i < replicator->run_max && rc == DOM_OK && rocksdb_iter_valid(iter); i++) {
        struct dom_slice at = dom_db_iter_key(iter);
        uint64_t seq = at.len == 8 ? dom_get_u64be(at.data) : 0;
        if (seq == 0) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "bad outbox key");
        } else if (seq > tail) {
            break; /* being written now */
        } else {
            rc = add_entry(replicator, run, dom_db_iter_value(iter), err);
            run->to = seq;
        }
        rocksdb_iter_next(iter);
    }
    if (rc == DOM_OK) {
        rc = dom_db_iter_check(iter, err);
    }
    if (rc == DOM_OK && run->to == from) {
        run->to = tail; /* trimmed: nothing in between any more */
    }
    rocksdb_iter_destroy(iter);
    dom_db_leave(db);
    return rc;
}

static void add_item(struct dom_replica_target *target, const struct dom_apply_item *item)
{
    DOM_ASSERT(target->job.num_items < DOM_RUN_ENTRIES_MAX);
    target->items[target->job.num_items++] = *item;
    for (size_t i = 0; i < item->num_fields; i++) {
        target->job.num_bytes += item->fields[i].value.len;
    }
}

static enum dom_code project_delete(struct dom_replicator *replicator,
                                    const struct dom_run_record *record, dom_store_set targets,
                                    struct dom_error *err)
{
    struct dom_apply_item item = {.remove = true, .deleted = true, .version = record->version};

    enum dom_code rc =
        dom_region_open_identity(replicator->home, &replicator->cipher, record->sealed, record->key,
                                 &replicator->round->arena, &item.kind, &item.id, err);
    for (; rc == DOM_OK && targets != 0; targets &= targets - 1) {
        add_item(&replicator->targets[__builtin_ctzll(targets)], &item);
    }
    return rc;
}

/* What `target` may hold of the row: the fields whose placement has it. None, or a target that the
 * newest write does not name: it is to hold nothing. */
static enum dom_code project_row(struct dom_replicator *replicator, const struct dom_store_row *row,
                                 const dom_store_set *allowed, bool is_copy, bool is_placed,
                                 int target, struct dom_error *err)
{
    struct dom_apply_item item = {.placed = is_placed,
                                  .kind = row->kind,
                                  .id = row->id,
                                  .version = row->version,
                                  .create_time_ms = row->create_time_ms,
                                  .update_time_ms = row->update_time_ms};

    memcpy(item.home, row->home, sizeof(item.home));
    item.fields =
        dom_arena_alloc(&replicator->round->arena, row->num_fields * sizeof(*item.fields));
    if (item.fields == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < row->num_fields && is_copy; i++) {
        if ((allowed[i] >> target & 1) != 0) {
            item.fields[item.num_fields++] = row->fields[i];
        }
    }
    item.complete = is_copy && item.num_fields == row->num_fields;
    item.remove = !is_copy || (item.num_fields == 0 && row->num_fields > 0);
    add_item(&replicator->targets[target], &item);
    return DOM_OK;
}

static enum dom_code project_write(struct dom_replicator *replicator,
                                   const struct dom_run_record *record, dom_store_set targets,
                                   struct dom_error *err)
{
    const struct dom_store_options *options = &replicator->host->options;
    const struct dom_run *run = &replicator->round->run;
    dom_store_set allowed[DOM_FIELDS_MAX];
    struct dom_region_row row;

    enum dom_code rc = dom_region_get_key(replicator->home, &replicator->cipher, record->key,
                                          &replicator->round->arena, &row, err);
    if (rc == DOM_NOT_FOUND || (rc == DOM_OK && !row.row.is_home)) {
        return DOM_OK; /* deleted since: that entry is still to come */
    }
    if (rc != DOM_OK) {
        return rc;
    }
    for (size_t i = 0; i < row.row.num_fields; i++) {
        allowed[i] = options->field_regions == NULL
                         ? 0
                         : options->field_regions(options->context, row.row.kind, row.row.home,
                                                  row.row.fields[i].name);
        if (row.lies != NULL) {
            allowed[i] &= regions_of(run, row.lies[i]); /* what the log knows of, and no more */
        }
    }
    dom_store_set copies = regions_of(run, row.copies);
    for (; rc == DOM_OK && targets != 0; targets &= targets - 1) {
        int target = __builtin_ctzll(targets);
        rc = project_row(replicator, &row.row, allowed, (copies >> target & 1) != 0,
                         record->is_placed, target, err);
    }
    return rc;
}

static enum dom_code new_shipments(struct dom_replicator *replicator, dom_store_set ready,
                                   size_t num_records, struct dom_error *err)
{
    for (; ready != 0; ready &= ready - 1) {
        struct dom_replica_target *target = &replicator->targets[__builtin_ctzll(ready)];
        target->items =
            dom_arena_alloc(&replicator->round->arena, num_records * sizeof(*target->items));
        if (target->items == NULL) {
            return no_memory(err);
        }
        target->job.items = target->items;
        target->job.num_items = 0;
        target->job.num_bytes = 0;
    }
    return DOM_OK;
}

enum dom_code dom_run_project(struct dom_replicator *replicator, struct dom_run *run,
                              dom_store_set ready, struct dom_error *err)
{
    enum dom_code rc = new_shipments(replicator, ready, run->num_records, err);

    for (size_t i = 0; i < run->num_records && rc == DOM_OK; i++) {
        const struct dom_run_record *record = &run->records[i];
        dom_store_set targets = record->targets & ready;
        if (targets == 0) {
            continue;
        }
        rc = record->is_delete ? project_delete(replicator, record, targets, err)
                               : project_write(replicator, record, targets, err);
        if (dom_code_category(rc) == DOM_CAT_CORRUPT) {
            /* One damaged row must not hold up all that come after it. */
            dom_log(DOM_LOG_ERROR, "store.replica_skipped", "region=%s reason=\"%s\"",
                    dom_region_name(replicator->home), err == NULL ? "" : err->message);
            rc = DOM_OK;
        }
    }
    return rc;
}
