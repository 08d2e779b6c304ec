#include "store/audit/walk.h"

#include "store/audit/bundle.h"
#include "store/audit/index.h"

/* Bundles of one group, and what is to be told of them. */
struct group_walk {
    const struct dom_log_walk *walk;
    struct dom_buffer bundle;
    struct dom_log_walk_stats stats;
    struct dom_entry_shapes shapes;
    uint64_t end; /* first index not wanted */
    bool ask;     /* the index */
};

static enum dom_code each_in_bundle(struct group_walk *g, uint64_t n, dom_log_each_fn *each,
                                    void *arg, struct dom_error *err)
{
    const struct dom_log_walk *walk = g->walk;
    struct dom_bundle_iter iter;
    struct dom_entry_head head;
    struct dom_slice entry;
    unsigned count = 0;
    bool done = false;

    enum dom_code rc = dom_tiledir_read_bundle(walk->tiledir, n, &g->bundle, &count, NULL, err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_bundle_iter_init(&iter, dom_buffer_slice(&g->bundle));
    while (iter.position < count) {
        uint64_t index = n * DOM_TILE_WIDTH + iter.position;
        rc = dom_bundle_next(&iter, &entry, &done, err);
        if (rc == DOM_OK && done) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "bundle %llu has too few entries",
                          (unsigned long long)n);
        }
        if (rc == DOM_OK) {
            rc = dom_entry_scan_like(&g->shapes, entry, &head, err);
        }
        if (rc != DOM_OK) {
            return dom_error_prefix(err, "index %llu", (unsigned long long)index);
        }
        if (dom_export_filter_match(walk->filter, index, &head)) {
            rc = each(arg, index, entry, &head, err);
            if (rc != DOM_OK) {
                return rc;
            }
        }
    }
    return DOM_OK;
}

/* Before it nothing is wanted, or nothing is there any more. */
static uint64_t first_of(const struct dom_log_walk *walk)
{
    return walk->filter->first > walk->tiledir->first ? walk->filter->first : walk->tiledir->first;
}

static void tell_progress(const struct group_walk *g, uint64_t n)
{
    uint64_t first = first_of(g->walk);
    uint64_t at = (n + 1) * DOM_TILE_WIDTH;

    if (g->walk->progress != NULL) {
        g->walk->progress(g->walk->progress_arg, (at < g->end ? at : g->end) - first,
                          g->end - first);
    }
}

static enum dom_code walk_group(struct group_walk *g, uint64_t group, dom_log_each_fn *each,
                                void *arg, struct dom_error *err)
{
    const struct dom_log_walk *walk = g->walk;
    struct dom_index_mask mask;
    uint64_t begin = group * DOM_INDEX_GROUP;
    uint64_t first = first_of(walk) / DOM_TILE_WIDTH;
    uint64_t full = walk->tiledir->size / DOM_TILE_WIDTH;
    unsigned width = 0;

    /* Without an index, or with one that cannot be used, everything is read. */
    if (!g->ask ||
        dom_index_select(walk->tiledir->dir, group, walk->filter, &mask, &width, NULL) != DOM_OK) {
        memset(mask.bits, 0xFF, sizeof(mask.bits));
    }
    for (uint64_t n = first > begin ? first : begin;
         n < begin + DOM_INDEX_GROUP && n * DOM_TILE_WIDTH < g->end; n++) {
        unsigned i = (unsigned)(n - begin);
        g->stats.bundles_unindexed += n < full && i >= width ? 1 : 0;
        if (!dom_index_mask_has(&mask, i) && n < full) {
            g->stats.bundles_skipped++;
            continue;
        }
        enum dom_code rc = each_in_bundle(g, n, each, arg, err);
        g->stats.bundles_read++;
        if (rc != DOM_OK) {
            return rc;
        }
        tell_progress(g, n);
    }
    return DOM_OK;
}

enum dom_code dom_log_walk(const struct dom_log_walk *walk, dom_log_each_fn *each, void *arg,
                           struct dom_error *err)
{
    const uint64_t entries = (uint64_t)DOM_INDEX_GROUP * DOM_TILE_WIDTH;
    uint64_t size = walk->tiledir->size;
    struct group_walk g = {.walk = walk,
                           .end = walk->filter->end < size ? walk->filter->end : size,
                           .ask = walk->use_index && dom_index_helps(walk->filter)};
    enum dom_code rc = DOM_OK;
    struct dom_error own = {0};

    err = err == NULL ? &own : err;
    if (first_of(walk) >= g.end) {
        g.end = 0; /* not even the bundle of the first index is wanted */
    }
    for (uint64_t group = first_of(walk) / entries;
         group < g.end / entries + 1 && g.end > 0 && rc == DOM_OK; group++) {
        rc = walk_group(&g, group, each, arg, err);
    }
    if (walk->stats != NULL) {
        *walk->stats = g.stats;
    }
    dom_buffer_cleanup(&g.bundle);
    return rc;
}

enum dom_code dom_log_each(const struct dom_tiledir *tiledir,
                           const struct dom_export_filter *filter, dom_log_each_fn *each, void *arg,
                           struct dom_error *err)
{
    struct dom_log_walk walk = {.tiledir = tiledir, .filter = filter};
    return dom_log_walk(&walk, each, arg, err);
}
