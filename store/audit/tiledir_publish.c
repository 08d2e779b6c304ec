/* Publishing a log into its folder: tiles and bundles durable first, then the checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/gzip/gzip.h"
#include "store/audit/tiledir.h"

/* Entries tell who asked for what: for the owner and its group, to which a web server may belong.
 */
#define FILE_MODE 0640
#define DIR_MODE  0750

struct publisher {
    const struct dom_publish *publish;
    struct dom_publish_stats stats;
    struct dom_buffer bytes; /* of the file being made */
    struct dom_buffer plain; /* of the bundle in it */
    char unsynced[PATH_MAX]; /* folder with names that are not durable yet, or "" */
};

static enum dom_code write_synced(int fd, struct dom_slice bytes, const char *path,
                                  struct dom_error *err)
{
    for (size_t done = 0; done < bytes.len;) {
        ssize_t put = write(fd, bytes.data + done, bytes.len - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return DOM_FAIL(err, DOM_IO, "%s: cannot write: %s", path, strerror(errno));
        }
        done += (size_t)put;
    }
    if (fdatasync(fd) != 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot sync: %s", path, strerror(errno));
    }
    return DOM_OK;
}

static enum dom_code sync_pending(struct publisher *p, struct dom_error *err)
{
    if (p->unsynced[0] == '\0') {
        return DOM_OK;
    }
    enum dom_code rc = dom_dir_sync(p->unsynced, err);
    p->unsynced[0] = '\0';
    return rc;
}

/* Makes the folder and syncs every folder above it up to the log's own, whose new names would
 * else be lost with the power. */
static enum dom_code make_folder(const struct publisher *p, const char *folder,
                                 struct dom_error *err)
{
    char above[PATH_MAX];
    size_t root = strlen(p->publish->dir);

    enum dom_code rc = dom_dir_make(folder, DIR_MODE, err);
    memcpy(above, folder, strlen(folder) + 1);
    while (rc == DOM_OK && strlen(above) > root) {
        *strrchr(above, '/') = '\0';
        rc = dom_dir_sync(above, err);
    }
    return rc;
}

static enum dom_code open_temp(struct publisher *p, const char *temp, const char *folder, int *fd,
                               struct dom_error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;

    *fd = open(temp, flags, FILE_MODE);
    if (*fd < 0 && errno == ENOENT) {
        enum dom_code rc = make_folder(p, folder, err);
        if (rc != DOM_OK) {
            return rc;
        }
        *fd = open(temp, flags, FILE_MODE);
    }
    if (*fd < 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot create: %s", temp, strerror(errno));
    }
    return DOM_OK;
}

/* Temp file, sync, rename. The folder is synced once when the writing moves on to another. */
static enum dom_code write_tile(struct publisher *p, struct dom_tile tile, struct dom_error *err)
{
    char relative[DOM_TILE_PATH_SIZE];
    char path[PATH_MAX];
    char temp[PATH_MAX];
    char folder[PATH_MAX];
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/%s", p->publish->dir, dom_tile_path(relative, tile));
    memcpy(folder, path, sizeof(folder));
    *strrchr(folder, '/') = '\0';
    if (strcmp(folder, p->unsynced) != 0) {
        enum dom_code synced = sync_pending(p, err);
        if (synced != DOM_OK) {
            return synced;
        }
    }
    (void)snprintf(temp, sizeof(temp), "%s.tmp", path);
    enum dom_code rc = open_temp(p, temp, folder, &fd, err);
    if (rc != DOM_OK) {
        return rc;
    }
    rc = write_synced(fd, dom_buffer_slice(&p->bytes), temp, err);
    if (close(fd) != 0 && rc == DOM_OK) {
        rc = DOM_FAIL(err, DOM_IO, "%s: cannot close: %s", temp, strerror(errno));
    }
    if (rc == DOM_OK && rename(temp, path) != 0) {
        rc = DOM_FAIL(err, DOM_IO, "%s: cannot rename: %s", path, strerror(errno));
    }
    if (rc != DOM_OK) {
        (void)unlink(temp);
        return rc;
    }
    memcpy(p->unsynced, folder, sizeof(folder));
    return DOM_OK;
}

/* Fills p->bytes with the tile or bundle as it is at the new size. */
static enum dom_code load_tile(struct publisher *p, struct dom_tile tile, struct dom_error *err)
{
    const struct dom_log_source *source = p->publish->source;
    struct dom_hash hashes[DOM_TILE_WIDTH];
    uint64_t first = tile.n * DOM_TILE_WIDTH;

    dom_buffer_clear(&p->bytes);
    if (tile.level == DOM_TILE_ENTRIES) {
        dom_buffer_clear(&p->plain);
        enum dom_code rc = source->entries(source->impl, first, tile.width, &p->plain, err);
        return rc != DOM_OK ? rc : dom_gzip(&p->bytes, dom_buffer_slice(&p->plain), err);
    }
    enum dom_code rc =
        source->hashes.read(source->hashes.impl, tile.level, first, tile.width, hashes, err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_buffer_append(&p->bytes, hashes, tile.width * sizeof(hashes[0]));
    return p->bytes.failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a tile") : DOM_OK;
}

static bool is_there(const struct publisher *p, struct dom_tile tile)
{
    char relative[DOM_TILE_PATH_SIZE];
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", p->publish->dir, dom_tile_path(relative, tile));
    return access(path, F_OK) == 0;
}

/* Every tile of the level that the old size did not have in its present width. */
static enum dom_code publish_level(struct publisher *p, int level, struct dom_error *err)
{
    uint64_t old_hashes = dom_tile_level_size(p->publish->old_size, level);
    uint64_t new_hashes = dom_tile_level_size(p->publish->new_size, level);

    if (new_hashes == old_hashes) {
        return DOM_OK;
    }
    uint64_t begin = old_hashes / DOM_TILE_WIDTH;
    if (level == DOM_TILE_ENTRIES && begin < p->publish->first / DOM_TILE_WIDTH) {
        begin = p->publish->first / DOM_TILE_WIDTH;
    }
    for (uint64_t n = begin;; n++) {
        struct dom_tile tile = {
            .level = level, .n = n, .width = dom_tile_width(p->publish->new_size, level, n)};
        if (tile.width == 0) {
            return DOM_OK;
        }
        if (p->publish->only_missing && is_there(p, tile)) {
            continue;
        }
        enum dom_code rc = load_tile(p, tile, err);
        if (rc == DOM_OK) {
            rc = write_tile(p, tile, err);
        }
        if (rc != DOM_OK) {
            return rc;
        }
        if (level == DOM_TILE_ENTRIES) {
            p->stats.num_bundles++;
        } else {
            p->stats.num_tiles++;
        }
    }
}

/* Removes "<tile>.p" with all in it. What is left over here costs space, nothing else, so errors
 * are not reported: the next publishing tries again. */
static void remove_partials(struct publisher *p, struct dom_tile tile)
{
    char relative[DOM_TILE_PATH_SIZE];
    char folder[PATH_MAX];

    int len =
        snprintf(folder, sizeof(folder), "%s/%s.p", p->publish->dir, dom_tile_path(relative, tile));
    DOM_ASSERT(len > 0 && (size_t)len < sizeof(folder));
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.' && unlinkat(dirfd(dir), e->d_name, 0) == 0) {
            p->stats.num_removed++;
        }
    }
    (void)closedir(dir);
    (void)rmdir(folder);
}

/* The tile that was the right edge at the old size, and the one before it, whose partial files a
 * crash of the last publishing may have left. */
static void remove_old_partials(struct publisher *p, int level)
{
    uint64_t edge = dom_tile_level_size(p->publish->old_size, level) / DOM_TILE_WIDTH;

    for (uint64_t n = edge == 0 ? 0 : edge - 1; n <= edge; n++) {
        if (dom_tile_width(p->publish->new_size, level, n) == DOM_TILE_WIDTH) {
            remove_partials(p, (struct dom_tile){.level = level, .n = n, .width = DOM_TILE_WIDTH});
        }
    }
}

static enum dom_code publish_files(struct publisher *p, struct dom_error *err)
{
    char path[PATH_MAX];
    enum dom_code rc = dom_dir_make(p->publish->dir, DIR_MODE, err);

    for (int level = DOM_TILE_ENTRIES; level < (int)DOM_TILE_LEVELS && rc == DOM_OK; level++) {
        rc = publish_level(p, level, err);
    }
    if (rc == DOM_OK) {
        rc = sync_pending(p, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    /* Everything that it names is durable: only now may the checkpoint be seen. */
    (void)snprintf(path, sizeof(path), "%s/checkpoint", p->publish->dir);
    rc = dom_file_write_atomic(path, p->publish->checkpoint, FILE_MODE, err);
    if (rc == DOM_OK && !p->publish->keep_partials) {
        for (int level = DOM_TILE_ENTRIES; level < (int)DOM_TILE_LEVELS; level++) {
            remove_old_partials(p, level);
        }
    }
    return rc;
}

enum dom_code dom_tiledir_publish(const struct dom_publish *publish,
                                  struct dom_publish_stats *stats, struct dom_error *err)
{
    struct publisher p = {.publish = publish};

    if (stats != NULL) {
        memset(stats, 0, sizeof(*stats));
    }
    if (strlen(publish->dir) + DOM_TILE_PATH_SIZE + 8 >= PATH_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "%s: path too long", publish->dir);
    }
    if (publish->old_size > publish->new_size || publish->new_size > DOM_TREE_SIZE_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "cannot publish size %llu over size %llu",
                        (unsigned long long)publish->new_size,
                        (unsigned long long)publish->old_size);
    }
    enum dom_code rc = publish_files(&p, err);
    dom_buffer_cleanup(&p.bytes);
    dom_buffer_cleanup(&p.plain);
    if (stats != NULL) {
        *stats = p.stats;
    }
    return rc;
}

void dom_tiledir_remove_bundles(const char *dir, uint64_t from, uint64_t to)
{
    struct dom_publish publish = {.dir = dir};
    struct publisher p = {.publish = &publish};
    char relative[DOM_TILE_PATH_SIZE];
    char path[PATH_MAX];

    for (uint64_t n = from; n < to; n++) {
        struct dom_tile tile = {.level = DOM_TILE_ENTRIES, .n = n, .width = DOM_TILE_WIDTH};
        int len = snprintf(path, sizeof(path), "%s/%s", dir, dom_tile_path(relative, tile));
        DOM_ASSERT(len > 0 && (size_t)len < sizeof(path));
        (void)unlink(path);
        remove_partials(&p, tile);
    }
}

enum dom_code dom_tiledir_write_vkey(const char *dir, struct dom_slice vkey, struct dom_error *err)
{
    struct dom_buffer line = {0};
    char path[PATH_MAX];

    int len = snprintf(path, sizeof(path), "%s/vkey", dir);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return DOM_FAIL(err, DOM_INVALID, "%s: path too long", dir);
    }
    dom_buffer_append_slice(&line, vkey);
    dom_buffer_append_char(&line, '\n');
    enum dom_code rc = line.failed
                           ? DOM_FAIL(err, DOM_RESOURCE, "out of memory")
                           : dom_file_write_atomic(path, dom_buffer_slice(&line), FILE_MODE, err);
    dom_buffer_cleanup(&line);
    return rc;
}
