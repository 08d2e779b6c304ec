/* What need not be remembered for ever: limit keys of periods that are over, and tombstones that
 * nothing can come in late for. Gone through once a day. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/region/region_internal.h"

#define MS_PER_DAY INT64_C(86400000)
#define STEP_KEYS  4096U /* looked at between two looks at whether the database is to be reopened */
#define STEP_ITEMS 256U  /* changed in one commit */

/* A walk through one family. */
struct walk {
    struct dom_region *region;
    enum dom_db_family family;
    int64_t now_ms;
    struct dom_buffer after; /* the last key looked at */
    bool at_end;
    struct dom_arena arena;
    struct dom_forget_item items[STEP_ITEMS];
    size_t num_items;
};

static enum dom_code add_item(struct walk *walk, struct dom_slice key, struct dom_slice value,
                              struct dom_slice next, struct dom_error *err)
{
    char *copies[] = {dom_arena_dup(&walk->arena, key), dom_arena_dup(&walk->arena, value),
                      dom_arena_dup(&walk->arena, next)};

    if (copies[0] == NULL || copies[1] == NULL || copies[2] == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    walk->items[walk->num_items++] =
        (struct dom_forget_item){.family = (int)walk->family,
                                 .key = dom_slice_of(copies[0], key.len),
                                 .value = dom_slice_of(copies[1], value.len),
                                 .next = dom_slice_of(copies[2], next.len)};
    return DOM_OK;
}

static enum dom_code look_at_tombstone(struct walk *walk, struct dom_slice key,
                                       struct dom_slice value, struct dom_error *err)
{
    struct dom_tombstone stone;
    uint8_t dated[DOM_TOMBSTONE_SIZE];

    if (!dom_tombstone_parse(&stone, value)) {
        return DOM_OK; /* whoever reads it says so */
    }
    if (stone.wall_ms == 0) {
        /* Of the first format, without a date: it is as of now. */
        stone.wall_ms = walk->now_ms;
        stone.seq = atomic_load(&walk->region->tail);
        dom_tombstone_encode(&stone, dated);
        return add_item(walk, key, value, dom_slice_of(dated, sizeof(dated)), err);
    }
    if (walk->now_ms - stone.wall_ms < (int64_t)DOM_TOMBSTONE_TTL_SECONDS * 1000 ||
        stone.seq > atomic_load(&walk->region->trimmed)) {
        return DOM_OK;
    }
    return add_item(walk, key, value, dom_slice_of(NULL, 0), err);
}

static enum dom_code look_at_limit(struct walk *walk, struct dom_slice key,
                                   struct dom_slice value, struct dom_error *err)
{
    const struct dom_store_options *options = &walk->region->host->options;
    struct dom_slice limit = dom_slice_of(key.data + 1, key.len - 1);

    return options->limit_over != NULL &&
                   options->limit_over(options->context, limit, walk->now_ms)
               ? add_item(walk, key, value, dom_slice_of(NULL, 0), err)
               : DOM_OK;
}

static enum dom_code read_some(struct walk *walk, struct dom_error *err)
{
    rocksdb_iterator_t *iter = dom_db_iter(walk->region->db, walk->family);
    struct dom_slice after = dom_buffer_slice(&walk->after);
    bool limits = walk->family == DOM_DB_INDEX;
    enum dom_code rc = DOM_OK;

    rocksdb_iter_seek(iter, after.len == 0 && limits ? "l" : (const char *)after.data,
                      after.len == 0 && limits ? 1 : after.len);
    if (after.len > 0 && rocksdb_iter_valid(iter) && dom_slice_eq(dom_db_iter_key(iter), after)) {
        rocksdb_iter_next(iter);
    }
    for (size_t i = 0; i < STEP_KEYS && walk->num_items < STEP_ITEMS && rc == DOM_OK; i++) {
        if (!rocksdb_iter_valid(iter)) {
            rc = dom_db_iter_check(iter, err);
            walk->at_end = rc == DOM_OK;
            break;
        }
        struct dom_slice key = dom_db_iter_key(iter);
        if (limits && key.data[0] != 'l') {
            walk->at_end = true;
            break;
        }
        rc = limits ? look_at_limit(walk, key, dom_db_iter_value(iter), err)
                    : look_at_tombstone(walk, key, dom_db_iter_value(iter), err);
        dom_buffer_clear(&walk->after);
        dom_buffer_append(&walk->after, key.data, key.len);
        rocksdb_iter_next(iter);
    }
    rocksdb_iter_destroy(iter);
    return rc;
}

static enum dom_code walk_family(struct dom_region *region, enum dom_db_family family,
                                 int64_t now_ms, struct dom_error *err)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(walk != NULL);
    walk->region = region;
    walk->family = family;
    walk->now_ms = now_ms;
    dom_arena_init(&walk->arena, NULL, 0, 1U << 20);
    while (rc == DOM_OK && !walk->at_end) {
        dom_arena_reset(&walk->arena);
        walk->num_items = 0;
        if (!dom_db_enter(region->db)) {
            rc = DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
            break;
        }
        rc = read_some(walk, err);
        dom_db_leave(region->db);
        struct dom_region_job job = {.type = DOM_JOB_FORGET,
                                     .forgets = walk->items,
                                     .num_items = walk->num_items};
        if (rc == DOM_OK && walk->num_items > 0) {
            rc = dom_region_run_job(region, &job, err);
        }
    }
    dom_arena_cleanup(&walk->arena);
    dom_buffer_cleanup(&walk->after);
    free(walk);
    return rc;
}

enum dom_code dom_region_forget(struct dom_region *region, struct dom_error *err)
{
    int64_t now_ms = dom_clock_wall_ms(region->host->options.clock);

    if (region->walked_day == now_ms / MS_PER_DAY) {
        return DOM_OK;
    }
    enum dom_code rc = walk_family(region, DOM_DB_LOCATOR, now_ms, err);
    if (rc == DOM_OK) {
        rc = walk_family(region, DOM_DB_INDEX, now_ms, err);
    }
    if (rc == DOM_OK) {
        region->walked_day = now_ms / MS_PER_DAY;
    }
    return rc == DOM_UNAVAILABLE ? DOM_OK : rc; /* stopping: the next start begins anew */
}

/* On the commit thread, so that nothing is forgotten that has just been written. */
enum dom_code dom_stage_forgets(struct dom_region *region, const struct dom_region_job *job,
                                struct dom_error *err)
{
    for (size_t i = 0; i < job->num_items; i++) {
        const struct dom_forget_item *item = &job->forgets[i];
        enum dom_db_family family = (enum dom_db_family)item->family;
        struct dom_db_value value;
        enum dom_code rc = dom_db_get(region->db, family, item->key, &value, err);
        bool same = rc == DOM_OK && dom_slice_eq(value.bytes, item->value) &&
                    !dom_stage_touches(region, item->key);
        dom_db_value_release(&value);
        if (rc != DOM_OK && rc != DOM_NOT_FOUND) {
            return rc;
        }
        if (same && item->next.len > 0) {
            dom_db_batch_put(region->db, region->group.batch, family, item->key, item->next);
        } else if (same) {
            dom_db_batch_delete(region->db, region->group.batch, family, item->key);
        }
    }
    return DOM_OK;
}

/* ---- the bytes of a tombstone --------------------------------------------------------------- */

void dom_tombstone_encode(const struct dom_tombstone *stone, uint8_t out[DOM_TOMBSTONE_SIZE])
{
    out[0] = 2;
    dom_put_u64be(out + 1, stone->version);
    dom_put_u64be(out + 9, (uint64_t)stone->wall_ms);
    dom_put_u64be(out + 17, stone->seq);
}

bool dom_tombstone_parse(struct dom_tombstone *stone, struct dom_slice value)
{
    *stone = (struct dom_tombstone){0};
    if (value.len == 9 && value.data[0] == 1) {
        stone->version = dom_get_u64be(value.data + 1);
        return true;
    }
    if (value.len != DOM_TOMBSTONE_SIZE || value.data[0] != 2) {
        return false;
    }
    stone->version = dom_get_u64be(value.data + 1);
    stone->wall_ms = (int64_t)dom_get_u64be(value.data + 9);
    stone->seq = dom_get_u64be(value.data + 17);
    return true;
}
