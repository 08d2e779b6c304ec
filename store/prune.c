/* Retention of the logs themselves: bundles whose every entry is older than the policy keeps it,
 * and that no hold keeps, go from the front. On the thread of the region's purger; what it decides is done
 * by the keeper once it is published (store/audit_log/prune.c). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/audit/event.h"
#include "store/audit/pruned.h"
#include "store/audit/scan.h"
#include "store/store_internal.h"

#define BUNDLES_MAX 1024U /* looked at in one pass */

struct look {
    const struct dom_store_hold *holds;
    size_t num_holds;
    int64_t now_ms;
    int64_t cutoff_ms;
    uint64_t count; /* entries that may go */
};

/* An entry that is not ours has no time: it stays. */
static bool may_go(void *context, uint64_t index, struct dom_slice entry)
{
    struct look *look = context;
    struct dom_entry_head head;

    if (dom_entry_scan(entry, &head, NULL) != DOM_OK || head.time_ms >= look->cutoff_ms) {
        return false;
    }
    for (size_t i = 0; i < look->num_holds; i++) {
        if (dom_hold_keeps(&look->holds[i], index, entry, look->now_ms)) {
            return false;
        }
    }
    look->count++;
    return true;
}

/* The first entry that has to stay, in whole bundles: the newest published bundle always does, and
 * what a demanded copy does not have yet. */
static enum dom_code find_first(struct dom_store *store, struct dom_region *region,
                                struct look *look, uint64_t *firstp, struct dom_error *err)
{
    struct dom_audit_log *log = dom_region_log(region);
    uint64_t first = dom_audit_log_first(log);
    uint64_t published = dom_audit_log_published_size(log);
    uint64_t copied = dom_sinks_copied(atomic_load(&store->sinks[dom_region_number(region)]));
    struct dom_store_hold *holds = calloc(DOM_HOLDS_MAX, sizeof(*holds));

    DOM_ASSERT(holds != NULL);
    *firstp = first;
    look->holds = holds;
    enum dom_code rc =
        dom_store_holds(store, dom_region_number(region), holds, &look->num_holds, err);
    for (unsigned n = 0; rc == DOM_OK && n < BUNDLES_MAX; n++) {
        if (*firstp + 2 * DOM_TILE_WIDTH > published || *firstp + DOM_TILE_WIDTH > copied) {
            break;
        }
        look->count = 0;
        rc = dom_audit_log_entries(log, *firstp, DOM_TILE_WIDTH, may_go, look, err);
        if (rc == DOM_OK && look->count < DOM_TILE_WIDTH) {
            break;
        }
        *firstp += DOM_TILE_WIDTH;
    }
    free(holds);
    return rc;
}

struct find_entry {
    uint64_t first;
    uint64_t index; /* UINT64_MAX: not found */
};

static bool is_it(void *context, uint64_t index, struct dom_slice entry)
{
    struct find_entry *find = context;

    if (dom_pruned_entry_says(entry, find->first)) {
        find->index = index;
    }
    return find->index == UINT64_MAX;
}

static enum dom_code tell_and_prune(struct dom_region *region, uint64_t first, int64_t cutoff_ms,
                                    struct dom_error *err)
{
    struct dom_audit_log *log = dom_region_log(region);
    struct find_entry find = {.first = first, .index = UINT64_MAX};
    uint64_t before = dom_audit_log_size(log);
    uint64_t count = first - dom_audit_log_first(log);
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("action"), .text = DOM_SLICE_LIT("prune")},
        {.name = DOM_SLICE_LIT("entries"), .integer = (int64_t)count, .is_integer = true},
        {.name = DOM_SLICE_LIT("first"), .integer = (int64_t)first, .is_integer = true},
        {.name = DOM_SLICE_LIT("older_than"), .integer = cutoff_ms, .is_integer = true},
    };

    enum dom_code rc =
        dom_region_append_control(region, DOM_AUDIT_PURGE, details, DOM_ARRAY_LEN(details), err);
    if (rc == DOM_OK) {
        rc = dom_audit_log_entries(log, before, (size_t)(dom_audit_log_size(log) - before), is_it,
                                   &find, err);
    }
    if (rc == DOM_OK && find.index == UINT64_MAX) {
        rc = DOM_FAIL(err, DOM_INTERNAL, "the entry about the pruning is not there");
    }
    if (rc == DOM_OK) {
        dom_audit_log_prune(log, first, find.index);
    }
    return rc;
}

/* The bytes of what was pruned go from the database's files and the journal too. */
static enum dom_code compact(struct dom_region *region, struct dom_error *err)
{
    struct dom_db *db = dom_region_db(region);
    uint8_t from[8] = {0};
    uint8_t to[8];

    if (!dom_db_enter(db)) {
        return DOM_FAIL(err, DOM_IO, "the database is not open");
    }
    dom_put_u64be(to, dom_audit_log_first(dom_region_log(region)));
    enum dom_code rc = dom_db_flush(db, err);
    if (rc == DOM_OK) {
        rc = dom_db_compact(db, DOM_DB_AUDIT, dom_slice_of(from, sizeof(from)),
                            dom_slice_of(to, sizeof(to)), err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_wipe_journal(region, err);
    }
    dom_db_leave(db);
    return rc;
}

static enum dom_code prune_region(struct dom_store *store, struct dom_region *region,
                                  struct dom_error *err)
{
    const struct dom_store_options *options = &store->host.options;
    struct dom_audit_log *log = dom_region_log(region);
    struct look look = {.now_ms = dom_clock_wall_ms(options->clock)};
    uint64_t first = 0;
    enum dom_code rc = DOM_OK;

    if (dom_audit_log_take_compact(log)) {
        rc = compact(region, err);
        if (rc != DOM_OK) {
            dom_audit_log_compact_later(log);
        }
    }
    int64_t keep_ms = options->log_keep_ms(options->context);
    if (rc != DOM_OK || keep_ms <= 0 || keep_ms > look.now_ms) {
        return rc;
    }
    look.cutoff_ms = look.now_ms - keep_ms;
    /* Until the pruning has been told: a hold is in force before that, or comes too late for it. The
     * lock is the region's own: who hangs here with its disk keeps no other region's holds waiting. */
    pthread_mutex_t *lock = &store->hold_locks[dom_region_number(region)];
    DOM_ASSERT(pthread_mutex_lock(lock) == 0);
    rc = find_first(store, region, &look, &first, err);
    if (rc == DOM_OK && first > dom_audit_log_first(log)) {
        rc = tell_and_prune(region, first, look.cutoff_ms, err);
    }
    DOM_ASSERT(pthread_mutex_unlock(lock) == 0);
    return rc;
}

void dom_store_prune(struct dom_store *store, struct dom_region *region)
{
    struct dom_error err = {0};

    enum dom_code rc = prune_region(store, region, &err);
    if (rc != DOM_OK && rc != DOM_UNAVAILABLE) { /* UNAVAILABLE: stopping */
        dom_log(DOM_LOG_ERROR, "store.prune_failed", "region=%s reason=\"%s\"",
                dom_region_name(region), err.message);
    }
}
