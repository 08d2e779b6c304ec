/* A replica that was restored from a backup older than what its homes still owe: whatever they sent
 * meanwhile is sent again (placer_step.c), and what they have deleted or taken away since is removed
 * here, as nobody sends that any more. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/placer.h"

struct sweep {
    struct dom_placer *placer;
    struct dom_region *home;
    struct dom_region *replica;
    struct dom_arena arena;
    struct dom_apply_item items[DOM_PLACE_ROWS_MAX];
    size_t num_items;
    struct dom_row_key last;
    bool at_end;
};

/* Whether any region has the record at home, or on its way. */
static enum dom_code exists(struct sweep *sweep, const struct dom_store_row *row, bool *existsp,
                            struct dom_error *err)
{
    struct dom_region_host *host = sweep->placer->host;
    size_t count = atomic_load(&host->num_regions);
    enum dom_code rc = DOM_OK;

    *existsp = false;
    for (size_t i = 0; i < count && !*existsp && rc == DOM_OK; i++) {
        struct dom_region_peek peek;
        rc = dom_region_peek(atomic_load(&host->regions[i]), row->kind, row->id, &peek, err);
        *existsp = rc == DOM_OK && peek.live && (peek.home || peek.moving);
    }
    return rc;
}

/* Its home is this one, as far as anybody can tell now that there is no home row. */
static bool would_be_home(const struct sweep *sweep, const struct dom_store_row *row)
{
    const struct dom_store_options *options = &sweep->placer->host->options;

    return options->home_region == NULL ||
           options->home_region(options->context, row->kind, row->home) ==
               dom_region_number(sweep->home);
}

static void remove_later(struct sweep *sweep, const struct dom_store_row *row, bool deleted)
{
    sweep->items[sweep->num_items++] = (struct dom_apply_item){.kind = row->kind,
                                                               .id = row->id,
                                                               .version = row->version,
                                                               .remove = true,
                                                               .deleted = deleted,
                                                               .placed = !deleted};
}

static enum dom_code judge(struct sweep *sweep, const struct dom_store_row *row,
                           struct dom_error *err)
{
    struct dom_row_cipher *cipher = &sweep->placer->ciphers[dom_region_number(sweep->home)];
    struct dom_region_row at_home;
    bool found = false;

    enum dom_code rc = dom_region_get(sweep->home, cipher, row->kind, row->id, &sweep->arena,
                                      &at_home, err);
    if (rc == DOM_OK && at_home.row.is_home) {
        dom_store_set copies = dom_region_peers(sweep->home, at_home.copies);
        if ((copies >> dom_region_number(sweep->replica) & 1) == 0) {
            remove_later(sweep, row, false);
        }
        return DOM_OK;
    }
    if (rc == DOM_OK || rc == DOM_NOT_FOUND) {
        rc = exists(sweep, row, &found, err);
    }
    if (rc == DOM_OK && !found && would_be_home(sweep, row)) {
        remove_later(sweep, row, true);
    }
    return rc;
}

static enum dom_code take_row(struct sweep *sweep, struct dom_slice key, struct dom_slice value,
                              struct dom_error *err)
{
    struct dom_row_cipher *cipher = &sweep->placer->ciphers[dom_region_number(sweep->replica)];
    struct dom_row_header header;
    struct dom_region_row row;

    enum dom_code rc = dom_row_header_parse(&header, value, err);
    if (rc != DOM_OK || (header.flags & (DOM_ROW_HOME | DOM_ROW_MOVING)) != 0) {
        return rc;
    }
    rc = dom_region_open_row(sweep->replica, cipher, key, value, &sweep->arena, &row, err);
    return rc == DOM_OK ? judge(sweep, &row.row, err) : rc;
}

static enum dom_code read_some(struct sweep *sweep, struct dom_error *err)
{
    rocksdb_iterator_t *iter = dom_db_iter(dom_region_db(sweep->replica), DOM_DB_ROWS);
    struct dom_slice after = dom_row_key_slice(&sweep->last);
    enum dom_code rc = DOM_OK;
    size_t bytes = 0;

    rocksdb_iter_seek(iter, (const char *)after.data, after.len);
    if (after.len > 0 && rocksdb_iter_valid(iter) && dom_slice_eq(dom_db_iter_key(iter), after)) {
        rocksdb_iter_next(iter);
    }
    for (size_t i = 0; i < DOM_PLACE_VISITED_MAX && bytes < DOM_PLACE_BYTES_MAX && rc == DOM_OK &&
                       sweep->num_items < DOM_PLACE_ROWS_MAX && rocksdb_iter_valid(iter);
         i++) {
        struct dom_slice key = dom_db_iter_key(iter);
        struct dom_slice value = dom_db_iter_value(iter);
        rc = take_row(sweep, key, value, err);
        if (dom_code_category(rc) == DOM_CAT_CORRUPT) {
            dom_log(DOM_LOG_ERROR, "store.place_skipped", "region=%s reason=\"%s\"",
                    dom_region_name(sweep->replica), err->message);
            rc = DOM_OK;
        }
        bytes += 2 * value.len; /* it is read at home too */
        memcpy(sweep->last.bytes, key.data, key.len);
        sweep->last.len = key.len;
        rocksdb_iter_next(iter);
    }
    if (rc == DOM_OK && !rocksdb_iter_valid(iter)) {
        rc = dom_db_iter_check(iter, err);
        sweep->at_end = rc == DOM_OK;
    }
    rocksdb_iter_destroy(iter);
    return rc;
}

static enum dom_code sweep_some(struct sweep *sweep, struct dom_error *err)
{
    struct dom_region_job job = {.type = DOM_JOB_APPLY, .items = sweep->items};
    enum dom_code rc = DOM_OK;

    dom_arena_reset(&sweep->arena);
    sweep->num_items = 0;
    if (!dom_db_enter(dom_region_db(sweep->replica))) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open",
                        dom_region_name(sweep->replica));
    }
    rc = read_some(sweep, err);
    dom_db_leave(dom_region_db(sweep->replica));
    job.num_items = sweep->num_items;
    return rc == DOM_OK && job.num_items > 0 ? dom_region_run_job(sweep->replica, &job, err) : rc;
}

enum dom_code dom_place_sweep(struct dom_placer *placer, struct dom_region *home,
                              struct dom_region *replica, struct dom_error *err)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(sweep != NULL);
    sweep->placer = placer;
    sweep->home = home;
    sweep->replica = replica;
    dom_arena_init(&sweep->arena, NULL, 0, DOM_PLACE_ARENA_MAX);
    while (rc == DOM_OK && !sweep->at_end) {
        rc = sweep_some(sweep, err);
    }
    dom_arena_cleanup(&sweep->arena);
    free(sweep);
    return rc;
}
