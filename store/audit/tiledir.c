/* Reading a published log from its folder. */
#include "store/audit/tiledir.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/gzip/gzip.h"
#include "store/audit/checkpoint.h"
#include "store/audit/pruned.h"

enum dom_code dom_tiledir_init(struct dom_tiledir *tiledir, const char *dir, uint64_t size,
                               struct dom_error *err)
{
    memset(tiledir, 0, sizeof(*tiledir));
    /* Room for the longest tile path behind it, so that no later join can be cut. */
    if (strlen(dir) + DOM_TILE_PATH_SIZE + 8 >= sizeof(tiledir->dir)) {
        return DOM_FAIL(err, DOM_INVALID, "%s: path too long", dir);
    }
    if (size > DOM_TREE_SIZE_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "tree size %llu is too large", (unsigned long long)size);
    }
    memcpy(tiledir->dir, dir, strlen(dir) + 1);
    tiledir->size = size;
    struct dom_pruned pruned = {0};
    struct dom_buffer note = {0};
    enum dom_code rc = dom_tiledir_read_pruned(dir, &note, err);
    if (rc == DOM_OK && note.len > 0) {
        rc = dom_pruned_parse(&pruned, dom_buffer_slice(&note), err);
    }
    dom_buffer_cleanup(&note);
    tiledir->first = pruned.first < size ? pruned.first : size;
    return rc;
}

void dom_tiledir_cleanup(struct dom_tiledir *tiledir)
{
    for (unsigned i = 0; i < DOM_TILE_LEVELS; i++) {
        dom_buffer_cleanup(&tiledir->tiles[i]);
    }
    memset(tiledir, 0, sizeof(*tiledir));
}

static void join(char *out, const char *dir, struct dom_tile tile)
{
    char path[DOM_TILE_PATH_SIZE];
    int len = snprintf(out, PATH_MAX, "%s/%s", dir, dom_tile_path(path, tile));
    DOM_ASSERT(len > 0 && len < PATH_MAX);
}

/* Reads the partial file of the tile, or its full file if the log has grown past it: a publisher
 * removes partial files at any time, so the full one is looked for after the other was not there.
 * *full tells which one was read. */
static enum dom_code read_file(const struct dom_tiledir *tiledir, struct dom_tile tile,
                               size_t bytes_max, struct dom_buffer *out, bool *full, char *path,
                               struct dom_error *err)
{
    char own[PATH_MAX];
    char whole_path[PATH_MAX];
    char *at = path == NULL ? own : path;
    struct dom_tile whole = {.level = tile.level, .n = tile.n, .width = DOM_TILE_WIDTH};

    *full = tile.width == DOM_TILE_WIDTH;
    join(at, tiledir->dir, tile);
    enum dom_code rc = dom_file_read(out, at, bytes_max, err);
    if (rc != DOM_IO || *full) {
        return rc;
    }
    join(whole_path, tiledir->dir, whole);
    if (access(whole_path, F_OK) != 0) {
        return rc;
    }
    memcpy(at, whole_path, strlen(whole_path) + 1);
    *full = true;
    return dom_file_read(out, at, bytes_max, err);
}

enum dom_code dom_tiledir_read_tile(const struct dom_tiledir *tiledir, int level, uint64_t n,
                                    struct dom_buffer *out, unsigned *count, char *path,
                                    struct dom_error *err)
{
    struct dom_tile tile = {
        .level = level, .n = n, .width = dom_tile_width(tiledir->size, level, n)};
    bool full = false;

    DOM_ASSERT(level >= 0);
    *count = 0;
    dom_buffer_clear(out);
    if (tile.width == 0) {
        return DOM_FAIL(err, DOM_INVALID, "tree of size %llu has no tile %d/%llu",
                        (unsigned long long)tiledir->size, level, (unsigned long long)n);
    }
    enum dom_code rc = read_file(tiledir, tile, DOM_TILE_BYTES, out, &full, path, err);
    if (rc == DOM_TOO_LARGE) {
        return DOM_FAIL(err, DOM_CORRUPT, "tile file is longer than %u bytes", DOM_TILE_BYTES);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    size_t want = (full ? DOM_TILE_WIDTH : tile.width) * DOM_HASH_SIZE;
    if (out->len != want) {
        return DOM_FAIL(err, DOM_CORRUPT, "tile file has %zu bytes, not %zu", out->len, want);
    }
    *count = tile.width;
    return DOM_OK;
}

/* A bundle file is a gzip member, or plain as other logs have it. A plain one that begins like a
 * member would have a first entry of 8,075 bytes that begins with a backspace. */
static enum dom_code read_packed(const struct dom_tiledir *tiledir, struct dom_tile tile,
                                 struct dom_buffer *out, char *path, struct dom_error *err)
{
    struct dom_buffer file = {0};
    char own[PATH_MAX];
    bool full = false;

    path = path == NULL ? own : path;
    enum dom_code rc = read_file(tiledir, tile, DOM_BUNDLE_BYTES_MAX, &file, &full, path, err);
    if (rc == DOM_OK && dom_gzip_begins(dom_buffer_slice(&file))) {
        rc = dom_gunzip(out, dom_buffer_slice(&file), DOM_BUNDLE_BYTES_MAX, err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s", path);
        }
    } else if (rc == DOM_OK) {
        struct dom_buffer before = *out;
        *out = file;
        file = before;
    }
    dom_buffer_cleanup(&file);
    return rc;
}

enum dom_code dom_tiledir_read_bundle(const struct dom_tiledir *tiledir, uint64_t n,
                                      struct dom_buffer *out, unsigned *count, char *path,
                                      struct dom_error *err)
{
    struct dom_tile tile = {.level = DOM_TILE_ENTRIES,
                            .n = n,
                            .width = dom_tile_width(tiledir->size, DOM_TILE_ENTRIES, n)};

    *count = tile.width;
    dom_buffer_clear(out);
    if (tile.width == 0) {
        return DOM_FAIL(err, DOM_INVALID, "tree of size %llu has no bundle %llu",
                        (unsigned long long)tiledir->size, (unsigned long long)n);
    }
    if (n < tiledir->first / DOM_TILE_WIDTH) {
        *count = 0;
        return DOM_FAIL(err, DOM_NOT_FOUND, "entries before %llu are pruned; their hashes are there",
                        (unsigned long long)tiledir->first);
    }
    return read_packed(tiledir, tile, out, path, err);
}

/* A file right below the folder; `optional`: none is fine. */
static enum dom_code read_note(const char *dir, const char *name, bool optional,
                               struct dom_buffer *out, struct dom_error *err)
{
    char path[PATH_MAX];

    int len = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return DOM_FAIL(err, DOM_INVALID, "%s: path too long", dir);
    }
    dom_buffer_clear(out);
    if (optional && access(path, F_OK) != 0 && errno == ENOENT) {
        return DOM_OK;
    }
    return dom_file_read(out, path, DOM_CHECKPOINT_BYTES_MAX, err);
}

enum dom_code dom_tiledir_read_checkpoint(const char *dir, struct dom_buffer *out,
                                          struct dom_error *err)
{
    return read_note(dir, "checkpoint", false, out, err);
}

enum dom_code dom_tiledir_read_pruned(const char *dir, struct dom_buffer *out,
                                      struct dom_error *err)
{
    return read_note(dir, "pruned", true, out, err);
}

enum dom_code dom_tiledir_read_cosigned(const char *dir, struct dom_buffer *out,
                                        struct dom_error *err)
{
    return read_note(dir, "checkpoint.cosigned", true, out, err);
}

static enum dom_code read_hashes(void *impl, int level, uint64_t first, unsigned count,
                                 struct dom_hash *out, struct dom_error *err)
{
    struct dom_tiledir *tiledir = impl;
    uint64_t n = first / DOM_TILE_WIDTH;
    unsigned at = (unsigned)(first % DOM_TILE_WIDTH);
    struct dom_tile *cached = &tiledir->cached[level];
    struct dom_buffer *bytes = &tiledir->tiles[level];

    DOM_ASSERT(level >= 0 && level < (int)DOM_TILE_LEVELS);
    DOM_ASSERT(count >= 1 && at + count <= DOM_TILE_WIDTH);
    if (cached->width == 0 || cached->n != n) {
        unsigned width = 0;
        cached->width = 0;
        enum dom_code rc = dom_tiledir_read_tile(tiledir, level, n, bytes, &width, NULL, err);
        tiledir->num_reads++;
        if (rc != DOM_OK) {
            return rc;
        }
        *cached = (struct dom_tile){.level = level, .n = n, .width = width};
    }
    if (at + count > cached->width) {
        return DOM_FAIL(err, DOM_CORRUPT, "tile %d/%llu has %u hashes, %u are wanted", level,
                        (unsigned long long)n, cached->width, at + count);
    }
    memcpy(out, bytes->data + (size_t)at * DOM_HASH_SIZE, (size_t)count * DOM_HASH_SIZE);
    return DOM_OK;
}

struct dom_hash_reader dom_tiledir_reader(struct dom_tiledir *tiledir)
{
    struct dom_hash_reader reader = {.read = read_hashes, .impl = tiledir};
    return reader;
}
