#include "store/audit/verify.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "store/audit/bundle.h"
#include "store/audit/pruned.h"
#include "store/audit/scan.h"
#include "store/audit/tiledir.h"

/* An earlier statement about this log, to be met on the way. */
struct mark {
    struct dom_tree_head head;
    bool set;
    bool reached;
};

/* Hashes of one level as the entries give them, until their tile is complete. */
struct rebuilt {
    struct dom_hash hashes[DOM_TILE_WIDTH];
    unsigned width;
};

struct verifier {
    const struct dom_verify_options *options;
    struct dom_verify_result *result;
    struct dom_tiledir tiledir;
    struct dom_edge edge;
    struct rebuilt levels[DOM_TILE_LEVELS];
    struct dom_buffer bundle;
    struct dom_buffer tile;
    struct mark old;
    struct mark cosigned;
    bool stopped; /* the pace said so */
    struct dom_pruned pruned;
    bool prune_said; /* by the entry that has to */
    bool newest_met; /* the newest checkpoint has its quorum */
    int64_t latest_ms;
    struct dom_entry_shapes shapes;
};

static void finding(struct verifier *v, uint64_t index, const char *path, const char *fmt, ...)
    DOM_PRINTF(4, 5);

/* Counts a finding; the first one is kept. Lower levels are compared before higher ones, so the
 * first is also the nearest to the entry. */
static void finding(struct verifier *v, uint64_t index, const char *path, const char *fmt, ...)
{
    struct dom_verify_result *r = v->result;
    va_list args;

    if (r->num_findings++ > 0) {
        return;
    }
    r->bad_index = index;
    (void)snprintf(r->bad_path, sizeof(r->bad_path), "%s", path);
    va_start(args, fmt);
    (void)vsnprintf(r->why, sizeof(r->why), fmt, args);
    va_end(args);
}

static struct dom_tile tile_at(const struct verifier *v, int level, uint64_t n)
{
    struct dom_tile tile = {
        .level = level, .n = n, .width = dom_tile_width(v->tiledir.size, level, n)};
    return tile;
}

static void spend(struct verifier *v, size_t bytes)
{
    v->stopped = v->stopped || !dom_pace_spend(v->options->pace, bytes);
}

/* ---- tiles ---------------------------------------------------------------------------------- */

/* Compares a tile's file with what the entries give. `good` (may be NULL) loses its mark at each
 * hash that differs. */
static void compare_tile(struct verifier *v, int level, uint64_t n, const struct dom_hash *want,
                         bool *good)
{
    char path[DOM_TILE_PATH_SIZE];
    struct dom_error err;
    unsigned count = 0;
    unsigned num_bad = 0;
    uint64_t span = UINT64_C(1) << (8 * level);

    (void)dom_tile_path(path, tile_at(v, level, n));
    if (dom_tiledir_read_tile(&v->tiledir, level, n, &v->tile, &count, NULL, &err) != DOM_OK) {
        finding(v, n * DOM_TILE_WIDTH * span, path, "tile: %s", err.message);
        return;
    }
    spend(v, v->tile.len);
    if (memcmp(v->tile.data, want, count * sizeof(*want)) == 0) {
        v->result->num_tiles_good++;
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (memcmp(v->tile.data + i * DOM_HASH_SIZE, &want[i], DOM_HASH_SIZE) == 0) {
            continue;
        }
        if (good != NULL) {
            good[i] = false;
        }
        if (num_bad++ == 0) {
            finding(v, (n * DOM_TILE_WIDTH + i) * span, path,
                    level == 0 ? "entry does not hash to its leaf in the tile"
                               : "hash %u of the tile is not that of the tile below it",
                    i);
        }
    }
}

static void collect(void *impl, int level, uint64_t index, const struct dom_hash *hash)
{
    struct verifier *v = impl;
    struct rebuilt *r = &v->levels[level];

    if (level == 0) {
        return; /* Compared bundle by bundle. */
    }
    DOM_ASSERT(r->width == index % DOM_TILE_WIDTH);
    r->hashes[r->width++] = *hash;
    if (r->width == DOM_TILE_WIDTH) {
        compare_tile(v, level, index / DOM_TILE_WIDTH, r->hashes, NULL);
        r->width = 0;
    }
}

static void compare_right_edge(struct verifier *v)
{
    for (int level = 1; level < (int)DOM_TILE_LEVELS; level++) {
        uint64_t hashes = dom_tile_level_size(v->tiledir.size, level);
        if (v->levels[level].width > 0) {
            compare_tile(v, level, hashes / DOM_TILE_WIDTH, v->levels[level].hashes, NULL);
        }
    }
}

/* ---- entries -------------------------------------------------------------------------------- */

static void check_time(struct verifier *v, uint64_t index, int64_t time_ms)
{
    if (time_ms >= v->latest_ms) {
        v->latest_ms = time_ms;
    } else if (v->latest_ms - time_ms > v->options->skew_ms) {
        if (v->result->num_backwards++ == 0) {
            v->result->first_backwards = index;
        }
    }
}

static bool check_entry(struct verifier *v, uint64_t index, const char *path,
                        struct dom_slice entry)
{
    struct dom_entry_head head;
    struct dom_error err;

    if (v->options->opaque_entries) {
        return true;
    }
    if (entry.len > DOM_ENTRY_BYTES_MAX) {
        finding(v, index, path, "entry is over %u bytes", DOM_ENTRY_BYTES_MAX);
        return false;
    }
    if (dom_entry_scan_like(&v->shapes, entry, &head, &err) != DOM_OK) {
        finding(v, index, path, "%s", err.message);
        return false;
    }
    if (!dom_slice_eq_str(head.origin, v->result->origin)) {
        finding(v, index, path, "entry belongs to another log (origin %.*s)",
                (int)(head.origin.len > 100 ? 100 : head.origin.len),
                (const char *)head.origin.data);
        return false;
    }
    check_time(v, index, head.time_ms);
    return true;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text);
    size_t tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

/* Hashes and checks the entries of bundle n; marks the good ones. Returns how many leaf hashes
 * it has. */
static unsigned read_bundle(struct verifier *v, uint64_t n, struct dom_hash *leaves, bool *good)
{
    struct dom_bundle_iter iter;
    struct dom_slice entry;
    struct dom_error err;
    char path[DOM_TILE_PATH_SIZE];
    char file[PATH_MAX];
    bool done = false;
    unsigned count = 0;
    uint64_t findings = v->result->num_findings;

    (void)dom_tile_path(path, tile_at(v, DOM_TILE_ENTRIES, n));
    if (dom_tiledir_read_bundle(&v->tiledir, n, &v->bundle, &count, file, &err) != DOM_OK) {
        finding(v, n * DOM_TILE_WIDTH, path, "bundle: %s", err.message);
        return 0;
    }
    spend(v, v->bundle.len);
    dom_bundle_iter_init(&iter, dom_buffer_slice(&v->bundle));
    while (iter.position < count) {
        uint64_t index = n * DOM_TILE_WIDTH + iter.position;
        if (dom_bundle_next(&iter, &entry, &done, &err) != DOM_OK || done) {
            finding(v, index, path, "%s", done ? "bundle has too few entries" : err.message);
            return iter.position;
        }
        dom_hash_leaf(&leaves[iter.position - 1], entry);
        if (v->pruned.first > 0 && index == v->pruned.entry) {
            v->prune_said = dom_pruned_entry_says(entry, v->pruned.first);
        }
        good[iter.position - 1] = check_entry(v, index, path, entry);
    }
    /* Only the full file of a log that has grown may hold more than the size counts. */
    if (iter.rest.len > 0 && ends_with(file, path)) {
        finding(v, n * DOM_TILE_WIDTH + count, path, "bytes behind the last entry");
    }
    if (v->result->num_findings == findings) {
        v->result->num_bundles_good++;
    }
    return count;
}

static void check_mark(struct verifier *v, struct mark *mark, const char *whose)
{
    struct dom_hash root;

    if (!mark->set || mark->reached || v->edge.size != mark->head.size) {
        return;
    }
    dom_edge_root(&v->edge, &root);
    if (dom_hash_eq(&root, &mark->head.root)) {
        mark->reached = true;
    } else {
        mark->set = false;
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint",
                "fork: the first %llu entries are not those of %s",
                (unsigned long long)mark->head.size, whose);
    }
}

static void check_marks(struct verifier *v)
{
    check_mark(v, &v->old, "the earlier checkpoint");
    check_mark(v, &v->cosigned, "the checkpoint that the witnesses cosigned");
}

/* Entries that were pruned: their hashes still make the tree. */
static bool verify_pruned(struct verifier *v, uint64_t n)
{
    struct dom_hash_sink sink = {.put = collect, .impl = v};
    char path[DOM_TILE_PATH_SIZE];
    struct dom_error err;
    struct dom_hash leaf;
    unsigned count = 0;

    if (dom_tiledir_read_tile(&v->tiledir, 0, n, &v->tile, &count, NULL, &err) != DOM_OK) {
        finding(v, n * DOM_TILE_WIDTH, dom_tile_path(path, tile_at(v, 0, n)), "tile: %s",
                err.message);
        return false;
    }
    spend(v, v->tile.len);
    v->result->num_tiles_good++;
    for (unsigned i = 0; i < count; i++) {
        memcpy(leaf.bytes, v->tile.data + i * DOM_HASH_SIZE, DOM_HASH_SIZE);
        check_marks(v);
        dom_edge_append(&v->edge, &leaf, &sink);
    }
    return true;
}

/* One bundle and its level-0 tile. False when the log cannot be followed any further. */
static bool verify_bundle(struct verifier *v, uint64_t n)
{
    struct dom_hash leaves[DOM_TILE_WIDTH];
    bool good[DOM_TILE_WIDTH] = {false};
    struct dom_hash_sink sink = {.put = collect, .impl = v};
    unsigned width = dom_tile_width(v->tiledir.size, 0, n);

    unsigned count = read_bundle(v, n, leaves, good);
    if (count < width) {
        /* Entries are missing. Their hashes from the tile let the rest be checked. */
        struct dom_error err;
        unsigned held = 0;
        if (dom_tiledir_read_tile(&v->tiledir, 0, n, &v->tile, &held, NULL, &err) != DOM_OK) {
            return false;
        }
        memcpy(&leaves[count], v->tile.data + count * DOM_HASH_SIZE,
               (width - count) * sizeof(leaves[0]));
    }
    compare_tile(v, 0, n, leaves, good);
    for (unsigned i = 0; i < width; i++) {
        v->result->num_entries_good += good[i] ? 1 : 0;
        check_marks(v);
        dom_edge_append(&v->edge, &leaves[i], &sink);
    }
    return true;
}

/* ---- the checkpoint ------------------------------------------------------------------------- */

static enum dom_code open_checkpoint(struct verifier *v, struct dom_slice bytes,
                                     struct dom_error *err)
{
    struct dom_verify_result *r = v->result;
    struct dom_checkpoint checkpoint;
    struct dom_note note;
    struct dom_error why;

    enum dom_code rc =
        dom_checkpoint_open(&checkpoint, bytes, v->options->keys, v->options->num_keys, NULL, &why);
    r->signature_good = rc == DOM_OK;
    if (rc != DOM_OK) {
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint", "%s", why.message);
        /* An unsigned statement still says which files to look at. */
        rc = dom_note_parse(&note, bytes, &why);
        if (rc == DOM_OK) {
            rc = dom_checkpoint_parse(&checkpoint, note.text, &why);
        }
        if (rc != DOM_OK) {
            return DOM_FAIL(err, DOM_TAMPERED, "checkpoint: %s", why.message);
        }
    }
    DOM_ASSERT(checkpoint.origin.len <= DOM_KEY_NAME_BYTES_MAX);
    memcpy(r->origin, checkpoint.origin.data, checkpoint.origin.len);
    r->head = checkpoint.head;
    return DOM_OK;
}

static void open_old_checkpoint(struct verifier *v)
{
    struct dom_checkpoint old;
    struct dom_error why;

    if (v->options->old_checkpoint.len == 0) {
        return;
    }
    if (dom_checkpoint_open(&old, v->options->old_checkpoint, v->options->keys,
                            v->options->num_keys, NULL, &why) != DOM_OK) {
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint", "the earlier checkpoint: %s", why.message);
        return;
    }
    if (!dom_slice_eq_str(old.origin, v->result->origin)) {
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint", "the earlier checkpoint is another log's");
    }
    v->old = (struct mark){.head = old.head, .set = true};
    v->result->old_size = old.head.size;
    if (old.head.size > v->result->head.size) {
        finding(v, v->result->head.size, "checkpoint",
                "rewind: size %llu, but an earlier checkpoint has size %llu",
                (unsigned long long)v->result->head.size, (unsigned long long)old.head.size);
    }
}

/* ---- witnesses ------------------------------------------------------------------------------ */

/* The newest checkpoint needs its quorum, or an older one that is the beginning of this log. */
static void open_cosigned(struct verifier *v, struct dom_slice newest)
{
    const struct dom_verify_options *o = v->options;
    struct dom_verify_result *r = v->result;
    struct dom_quorum_result older;
    struct dom_checkpoint checkpoint;
    struct dom_error why;

    if (o->quorum == NULL) {
        return;
    }
    if (dom_quorum_judge(o->quorum, newest, &r->quorum, &why) != DOM_OK) {
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint", "%s", why.message);
        return;
    }
    v->newest_met = r->quorum.met;
    if (v->newest_met || o->cosigned.len == 0) {
        return;
    }
    if (dom_checkpoint_open(&checkpoint, o->cosigned, o->keys, o->num_keys, NULL, &why) != DOM_OK ||
        dom_quorum_judge(o->quorum, o->cosigned, &older, &why) != DOM_OK) {
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint.cosigned", "%s", why.message);
        return;
    }
    if (older.met && dom_slice_eq_str(checkpoint.origin, r->origin)) {
        r->quorum = older;
        v->cosigned = (struct mark){.head = checkpoint.head, .set = true};
    }
}

static void check_quorum(struct verifier *v)
{
    struct dom_verify_result *r = v->result;

    if (v->options->quorum == NULL) {
        return;
    }
    r->quorum.met = v->newest_met || v->cosigned.reached;
    r->quorum_size = v->newest_met ? r->head.size : v->cosigned.head.size;
    if (!r->quorum.met) {
        r->quorum_size = 0;
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint",
                "the quorum is not met: %u of the policy's %u witnesses cosigned",
                r->quorum.num_cosignatures, r->quorum.num_witnesses);
    }
}

/* ---- what was pruned ------------------------------------------------------------------------ */

static void open_pruned(struct verifier *v)
{
    struct dom_buffer note = {0};
    struct dom_error why;

    if (dom_tiledir_read_pruned(v->options->dir, &note, &why) != DOM_OK ||
        (note.len > 0 && dom_pruned_open(&v->pruned, dom_buffer_slice(&note), v->result->origin,
                                         v->options->keys, v->options->num_keys, &why) != DOM_OK)) {
        finding(v, DOM_VERIFY_NO_INDEX, "pruned", "%s", why.message);
    }
    if (v->pruned.entry >= v->result->head.size && v->pruned.first > 0) {
        finding(v, v->pruned.entry, "pruned", "the entry that says so is not in the log");
        v->pruned = (struct dom_pruned){0};
    }
    v->result->first_entry = v->pruned.first;
    dom_buffer_cleanup(&note);
}

static void check_pruned(struct verifier *v)
{
    if (v->pruned.first > 0 && !v->prune_said) {
        finding(v, v->pruned.entry, "pruned",
                "the entry does not say that what comes before %llu was pruned",
                (unsigned long long)v->pruned.first);
    }
}

/* A bundle that the checkpoint does not cover: a crash between tiles and checkpoint leaves one,
 * and so does somebody who puts an older checkpoint back. */
static bool has_files_beyond(const struct verifier *v)
{
    char relative[DOM_TILE_PATH_SIZE];
    char path[PATH_MAX];
    struct dom_tile next = {
        .level = DOM_TILE_ENTRIES, .n = v->tiledir.size / DOM_TILE_WIDTH, .width = DOM_TILE_WIDTH};
    unsigned width = (unsigned)(v->tiledir.size % DOM_TILE_WIDTH);
    bool found = false;

    (void)snprintf(path, sizeof(path), "%s/%s", v->options->dir, dom_tile_path(relative, next));
    if (access(path, F_OK) == 0) {
        return true;
    }
    size_t len = strlen(path);
    (void)snprintf(path + len, sizeof(path) - len, ".p");
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return false;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        found = found || strtoul(e->d_name, NULL, 10) > width;
    }
    (void)closedir(dir);
    return found;
}

static void verify_files(struct verifier *v)
{
    struct dom_verify_result *r = v->result;

    for (uint64_t n = 0; n < dom_tile_bundle_count(r->head.size) && !v->stopped; n++) {
        bool pruned = n < v->pruned.first / DOM_TILE_WIDTH;
        if (!(pruned ? verify_pruned(v, n) : verify_bundle(v, n))) {
            finding(v, n * DOM_TILE_WIDTH, "tile/0", "neither entries nor hashes can be read");
            return;
        }
        if (v->options->progress != NULL) {
            v->options->progress(v->options->progress_arg, v->edge.size, r->head.size);
        }
    }
    compare_right_edge(v);
    check_marks(v);
    v->result->old_checked = v->old.reached;
    dom_edge_root(&v->edge, &r->root);
    if (!dom_hash_eq(&r->root, &r->head.root)) {
        finding(v, DOM_VERIFY_NO_INDEX, "checkpoint", "its root is not that of the %llu entries",
                (unsigned long long)r->head.size);
    }
}

static enum dom_code verify_all(struct verifier *v, struct dom_error *err)
{
    struct dom_verify_result *r = v->result;
    struct dom_buffer own = {0};
    struct dom_slice bytes = v->options->checkpoint;
    enum dom_code rc = DOM_OK;

    if (bytes.len == 0) {
        rc = dom_tiledir_read_checkpoint(v->options->dir, &own, err);
        bytes = dom_buffer_slice(&own);
    }
    if (rc == DOM_OK) {
        rc = open_checkpoint(v, bytes, err);
    }
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&v->tiledir, v->options->dir, r->head.size, err);
        if (rc == DOM_PARSE && err != NULL) {
            finding(v, DOM_VERIFY_NO_INDEX, "pruned", "%s", err->message);
            rc = DOM_FAIL(err, DOM_TAMPERED, "pruned: %s", r->why);
        }
    }
    if (rc == DOM_OK) {
        open_old_checkpoint(v);
        open_cosigned(v, bytes);
        open_pruned(v);
        r->num_entries = r->head.size - r->first_entry;
        r->num_bundles = dom_tile_bundle_count(r->head.size) - r->first_entry / DOM_TILE_WIDTH;
        r->num_tiles = dom_tile_count(r->head.size);
        r->files_beyond = has_files_beyond(v);
        verify_files(v);
        check_quorum(v);
        check_pruned(v);
        if (v->stopped) {
            rc = DOM_FAIL(err, DOM_CANCELLED, "stopped");
        } else if (r->num_findings > 0) {
            rc = r->bad_index == DOM_VERIFY_NO_INDEX
                     ? DOM_FAIL(err, DOM_TAMPERED, "%s: %s", r->bad_path, r->why)
                     : DOM_FAIL(err, DOM_TAMPERED, "index %llu in %s: %s",
                                (unsigned long long)r->bad_index, r->bad_path, r->why);
        }
    }
    dom_tiledir_cleanup(&v->tiledir);
    dom_buffer_cleanup(&own);
    return rc;
}

enum dom_code dom_log_verify(const struct dom_verify_options *options,
                             struct dom_verify_result *result, struct dom_error *err)
{
    memset(result, 0, sizeof(*result));
    result->bad_index = DOM_VERIFY_NO_INDEX;
    /* 70 KiB of hashes: too much for a thread's stack of unknown size. */
    struct verifier *v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    v->options = options;
    v->result = result;
    enum dom_code rc = verify_all(v, err);
    dom_buffer_cleanup(&v->bundle);
    dom_buffer_cleanup(&v->tile);
    free(v);
    return rc;
}
