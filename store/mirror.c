/* Mirrors: what one region's log says of bytes that went to another region is vouched for in that
 * region's own log, by hashes alone (promise P10).
 *
 * A thread of its own reads what is published, so no answer waits for it: for each log and each
 * other region, the leaf hashes of the entries whose bytes went there, of a range of indexes,
 * become one `mirror` entry in that region's log. docs/AUDIT_FORMAT.md, Mirrors. A region whose log
 * cannot be written is made up for when it can be; so is what a crash left over, at the next start.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/log.h"
#include "store/audit/event.h"
#include "store/audit/mirror.h"
#include "store/audit/walk.h"
#include "store/crypto/sha256.h"
#include "store/store_internal.h"

#define PASS_ENTRIES (256U * DOM_TILE_WIDTH) /* of one log, looked at in one go */

/* What went to one region, in the range that is looked at. */
struct sum {
    struct dom_sha256_stream digest;
    uint64_t count;
};

struct dom_mirror {
    struct dom_store *store;
    struct dom_waiter waiter;
    size_t num_known;                              /* regions of which the below is known */
    uint64_t done[DOM_REGIONS_MAX];                /* of this log all is mirrored up to here... */
    bool behind[DOM_REGIONS_MAX][DOM_REGIONS_MAX]; /* ...but to these regions */
    uint64_t reached[DOM_REGIONS_MAX][DOM_REGIONS_MAX]; /* they have it up to here */
    struct sum sums[DOM_REGIONS_MAX];
    size_t source; /* the log that is looked at */
    size_t only;   /* the region that is made up for; DOM_REGIONS_MAX: all that are not behind */
};

static struct dom_region *region_at(const struct dom_mirror *m, size_t i)
{
    return atomic_load(&m->store->host.regions[i]);
}

static size_t find_region(const struct dom_mirror *m, struct dom_slice name)
{
    for (size_t i = 0; i < m->num_known; i++) {
        if (dom_slice_eq_str(name, dom_region_name(region_at(m, i)))) {
            return i;
        }
    }
    return DOM_REGIONS_MAX;
}

static enum dom_code add_entry(void *arg, uint64_t index, struct dom_slice entry,
                               const struct dom_entry_head *head, struct dom_error *err)
{
    struct dom_mirror *m = arg;
    struct dom_entry_values values;
    struct dom_slice name;
    struct dom_hash leaf;
    uint64_t seen = 0; /* an entry counts once for a region */

    dom_entry_values_init(&values, head, DOM_EXPORT_to_region);
    while (dom_entry_values_next(&values, &name)) {
        size_t to = find_region(m, name);
        bool wanted = to != DOM_REGIONS_MAX && to != m->source && (seen >> to & 1U) == 0 &&
                      (m->only == DOM_REGIONS_MAX ? !m->behind[m->source][to] : to == m->only);
        if (!wanted) {
            continue;
        }
        if (seen == 0) {
            dom_hash_leaf(&leaf, entry);
        }
        seen |= UINT64_C(1) << to;
        if (m->sums[to].count++ == 0) {
            dom_sha256_init(&m->sums[to].digest);
        }
        dom_sha256_update(&m->sums[to].digest, dom_hash_slice(&leaf));
    }
    return index % DOM_TILE_WIDTH == 0 && dom_waiter_ending(&m->waiter)
               ? DOM_FAIL(err, DOM_CANCELLED, "stopping")
               : DOM_OK;
}

/* Sums up entries first .. end-1 of the source's log. */
static enum dom_code look(struct dom_mirror *m, uint64_t first, uint64_t end, struct dom_error *err)
{
    struct dom_audit_log *log = dom_region_log(region_at(m, m->source));
    struct dom_tiledir tiledir = {0};
    struct dom_export_filter filter;
    struct dom_log_walk walk = {.tiledir = &tiledir, .filter = &filter, .use_index = true};

    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        m->sums[i].count = 0;
    }
    dom_export_filter_init(&filter);
    filter.first = first;
    filter.end = end;
    if (m->only != DOM_REGIONS_MAX) {
        filter.where[0] = (struct dom_export_where){
            .key = DOM_EXPORT_to_region,
            .value = dom_slice_str(dom_region_name(region_at(m, m->only)))};
        filter.num_where = 1;
    }
    enum dom_code rc =
        dom_tiledir_init(&tiledir, dom_audit_log_dir(log), dom_audit_log_published_size(log), err);
    if (rc == DOM_OK) {
        rc = dom_log_walk(&walk, add_entry, m, err);
    }
    dom_tiledir_cleanup(&tiledir);
    return rc;
}

static enum dom_code put_mirror(struct dom_mirror *m, size_t to, uint64_t first, uint64_t end,
                                struct dom_error *err)
{
    struct sum *sum = &m->sums[to];
    const char *origin = dom_audit_log_origin(dom_region_log(region_at(m, m->source)));
    uint8_t digest[DOM_SHA256_SIZE];
    char hex[2 * DOM_SHA256_SIZE + 1];

    if (sum->count == 0) {
        return DOM_OK;
    }
    dom_sha256_final(&sum->digest, digest);
    dom_hex_encode(hex, dom_slice_of(digest, sizeof(digest)));
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("count"), .integer = (int64_t)sum->count, .is_integer = true},
        {.name = DOM_SLICE_LIT("digest"), .text = dom_slice_str(hex)},
        {.name = DOM_SLICE_LIT("end"), .integer = (int64_t)end, .is_integer = true},
        {.name = DOM_SLICE_LIT("first"), .integer = (int64_t)first, .is_integer = true},
        {.name = DOM_SLICE_LIT("origin"), .text = dom_slice_str(origin)},
    };
    return dom_region_append_control(region_at(m, to), DOM_AUDIT_MIRROR, details,
                                     DOM_ARRAY_LEN(details), err);
}

/* A region that missed something gets what went to it, up to where the others are. */
static void make_up(struct dom_mirror *m, size_t to)
{
    struct dom_error err = {0};
    uint64_t first = m->reached[m->source][to];
    uint64_t end = m->done[m->source];

    m->only = to;
    enum dom_code rc = look(m, first, end, &err);
    if (rc == DOM_OK) {
        rc = put_mirror(m, to, first, end, &err);
    }
    if (rc == DOM_OK) {
        m->behind[m->source][to] = false;
    }
}

/* Returns whether there is more to look at. */
static bool go_on(struct dom_mirror *m)
{
    struct dom_error err = {0};
    uint64_t first = m->done[m->source];
    uint64_t end = dom_audit_log_published_size(dom_region_log(region_at(m, m->source)));
    bool more = end - first > PASS_ENTRIES;

    if (end <= first) {
        return false;
    }
    end = more ? first + PASS_ENTRIES : end;
    m->only = DOM_REGIONS_MAX;
    if (look(m, first, end, &err) != DOM_OK) {
        return false; /* tried again; what is wrong with the files is for the check to say */
    }
    for (size_t to = 0; to < m->num_known; to++) {
        if (put_mirror(m, to, first, end, &err) != DOM_OK) {
            m->behind[m->source][to] = true;
            m->reached[m->source][to] = first;
            dom_log(DOM_LOG_WARN, "store.mirror_late", "region=%s of=%s reason=\"%s\"",
                    dom_region_name(region_at(m, to)), dom_region_name(region_at(m, m->source)),
                    err.message);
        }
    }
    m->done[m->source] = end;
    return more;
}

/* ---- what is known at the start ------------------------------------------------------------- */

struct recovery {
    struct dom_mirror *mirror;
    size_t to; /* whose log is read */
};

/* A `mirror` entry of the region's own log: how far it got with the log that it names. */
static enum dom_code take_mirror(void *arg, uint64_t index, struct dom_slice entry,
                                 const struct dom_entry_head *head, struct dom_error *err)
{
    struct recovery *r = arg;
    struct dom_audit_mirror said;

    (void)index;
    (void)head;
    if (dom_audit_mirror_parse(&said, entry, err) != DOM_OK) {
        return DOM_OK; /* nothing that is reached; verification finds what is wrong with it */
    }
    for (size_t i = 0; i < atomic_load(&r->mirror->store->host.num_regions); i++) {
        struct dom_region *region = region_at(r->mirror, i);
        if (region != NULL &&
            dom_slice_eq_str(said.origin, dom_audit_log_origin(dom_region_log(region))) &&
            said.end > r->mirror->reached[i][r->to]) {
            r->mirror->reached[i][r->to] = said.end;
        }
    }
    return DOM_OK;
}

/* Reads how far the region's log mirrors the others; false: later. */
static bool recover(struct dom_mirror *m, size_t number)
{
    struct dom_region *region = region_at(m, number);
    struct recovery r = {.mirror = m, .to = number};
    struct dom_tiledir tiledir = {0};
    struct dom_export_filter filter;
    struct dom_log_walk walk = {.tiledir = &tiledir, .filter = &filter, .use_index = true};
    struct dom_error err = {0};

    if (region == NULL) {
        return false;
    }
    struct dom_audit_log *log = dom_region_log(region);
    dom_export_filter_init(&filter);
    filter.where[0] =
        (struct dom_export_where){.key = DOM_EXPORT_type, .value = DOM_SLICE_LIT("mirror")};
    filter.num_where = 1;
    enum dom_code rc =
        dom_tiledir_init(&tiledir, dom_audit_log_dir(log), dom_audit_log_published_size(log), &err);
    if (rc == DOM_OK) {
        rc = dom_log_walk(&walk, take_mirror, &r, &err);
    }
    m->done[number] = tiledir.size;
    dom_tiledir_cleanup(&tiledir);
    if (rc != DOM_OK) {
        return false;
    }
    for (size_t i = 0; i < number; i++) {
        m->behind[number][i] = true;
        m->behind[i][number] = true;
    }
    return true;
}

static void mirror_all(struct dom_mirror *m)
{
    while (m->num_known < atomic_load(&m->store->host.num_regions) && recover(m, m->num_known)) {
        m->num_known++;
    }
    for (m->source = 0; m->source < m->num_known; m->source++) {
        for (size_t to = 0; to < m->num_known; to++) {
            if (m->behind[m->source][to]) {
                make_up(m, to);
            }
        }
        while (go_on(m) && !dom_waiter_ending(&m->waiter)) {
        }
    }
}

static void run(void *context)
{
    struct dom_mirror *m = context;
    uint64_t pause_us = m->store->host.options.mirror_ms * 1000;

    while (dom_waiter_wait(&m->waiter, dom_store_now_us() + pause_us)) {
        mirror_all(m);
    }
}

enum dom_code dom_mirror_start(struct dom_mirror **mirrorp, struct dom_store *store,
                               struct dom_error *err)
{
    *mirrorp = NULL;
    if (store->host.options.mirror_ms == 0) {
        return DOM_OK;
    }
    struct dom_mirror *m = calloc(1, sizeof(*m));
    DOM_ASSERT(m != NULL);
    m->store = store;
    *mirrorp = m;
    return dom_waiter_start(&m->waiter, "mirror", NULL, run, m, err);
}

void dom_mirror_stop(struct dom_mirror *mirror)
{
    if (mirror != NULL) {
        dom_waiter_join(&mirror->waiter);
        dom_waiter_cleanup(&mirror->waiter);
        free(mirror);
    }
}
