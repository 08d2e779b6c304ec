/* An index's files: kept up with the log, and compared with it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "store/audit/index_internal.h"

/* As the bundles: they tell who asked for what. */
#define FILE_MODE 0640
#define DIR_MODE  0750

char *dom_index_path(char *out, uint64_t group)
{
    char tile[DOM_TILE_PATH_SIZE];
    const size_t lead = sizeof("tile/0/") - 1;

    (void)dom_tile_path(tile, (struct dom_tile){.n = group, .width = DOM_TILE_WIDTH});
    (void)snprintf(out, DOM_INDEX_PATH_SIZE, "index/%s", tile + lead);
    return out;
}

static enum dom_code full_path(char *out, const char *dir, uint64_t group, struct dom_error *err)
{
    char relative[DOM_INDEX_PATH_SIZE];
    int len = snprintf(out, PATH_MAX, "%s/%s", dir, dom_index_path(relative, group));

    return len > 0 && len < PATH_MAX ? DOM_OK
                                     : DOM_FAIL(err, DOM_INVALID, "%s: path too long", dir);
}

/* Bundles that the group's file tells of: 0 when it is missing or not to be used. */
static unsigned width_of(const char *dir, uint64_t group)
{
    struct dom_index_header header = {0};
    uint8_t bytes[DOM_INDEX_HEADER_SIZE];
    char path[PATH_MAX];
    struct stat st;

    if (full_path(path, dir, group, NULL) != DOM_OK) {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    bool good = fstat(fd, &st) == 0 &&
                pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) &&
                dom_index_header_parse(&header, bytes, group, (uint64_t)st.st_size, NULL) == DOM_OK;
    (void)close(fd);
    return good ? header.width : 0;
}

static enum dom_code write_group(struct dom_index_writer *w, const char *dir, struct dom_error *err)
{
    char path[PATH_MAX];
    char folder[PATH_MAX];

    enum dom_code rc = full_path(path, dir, (w->next - 1) / DOM_INDEX_GROUP, err);
    if (rc == DOM_OK) {
        memcpy(folder, path, sizeof(folder));
        *strrchr(folder, '/') = '\0';
        rc = dom_dir_make(folder, DIR_MODE, err);
    }
    if (rc == DOM_OK) {
        dom_buffer_clear(&w->scratch);
        rc = dom_index_builder_encode(w->builder, &w->scratch, err);
    }
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(path, dom_buffer_slice(&w->scratch), FILE_MODE, err);
    }
    if (rc == DOM_OK) {
        w->written = w->next;
        w->num_files++;
    }
    return rc;
}

/* Moves on to the first group, from `group` on, that has no whole file. */
static void locate(struct dom_index_writer *w, const char *dir, uint64_t group, uint64_t full)
{
    while ((group + 1) * DOM_INDEX_GROUP <= full && width_of(dir, group) == DOM_INDEX_GROUP) {
        group++;
    }
    if (w->builder == NULL) {
        w->builder = dom_index_builder_new();
    }
    dom_index_builder_begin(w->builder, group);
    w->next = group * DOM_INDEX_GROUP;
    /* What a file of a group that was not full tells of stays known while it is made again. */
    w->written = w->next + width_of(dir, group);
    w->located = true;
}

static enum dom_code take_bundle(struct dom_index_writer *w, const struct dom_tiledir *tiledir,
                                 struct dom_error *err)
{
    unsigned count = 0;

    if (w->next < tiledir->first / DOM_TILE_WIDTH) {
        dom_index_builder_skip(w->builder);
        w->next++;
        return DOM_OK;
    }
    enum dom_code rc = dom_tiledir_read_bundle(tiledir, w->next, &w->scratch, &count, NULL, err);
    if (rc == DOM_OK) {
        rc = dom_index_builder_add(w->builder, dom_buffer_slice(&w->scratch), err);
    }
    if (rc != DOM_OK) {
        w->located = false; /* the builder holds half a bundle */
        return dom_error_prefix(err, "bundle %llu", (unsigned long long)w->next);
    }
    w->next++;
    return DOM_OK;
}

void dom_index_remove_before(const char *dir, uint64_t first)
{
    char path[PATH_MAX];

    for (uint64_t group = 0; group * DOM_INDEX_GROUP * DOM_TILE_WIDTH < first; group++) {
        if (full_path(path, dir, group, NULL) == DOM_OK) {
            (void)unlink(path);
        }
    }
}

void dom_index_writer_cleanup(struct dom_index_writer *writer)
{
    dom_index_builder_destroy(writer->builder);
    dom_buffer_cleanup(&writer->scratch);
    memset(writer, 0, sizeof(*writer));
}

uint64_t dom_index_writer_lag(const struct dom_index_writer *writer, uint64_t size)
{
    uint64_t full = size / DOM_TILE_WIDTH;

    return full > writer->written ? full - writer->written : 0;
}

enum dom_code dom_index_writer_run(struct dom_index_writer *writer,
                                   const struct dom_tiledir *tiledir, uint64_t bundles_max,
                                   bool finish, bool *donep, struct dom_error *err)
{
    struct dom_index_writer *w = writer;
    struct dom_error own = {0};
    uint64_t full = tiledir->size / DOM_TILE_WIDTH;
    enum dom_code rc = DOM_OK;

    err = err == NULL ? &own : err;
    if (!w->located) {
        locate(w, tiledir->dir, 0, full);
    }
    for (uint64_t n = 0; rc == DOM_OK && n < bundles_max && w->next < full; n++) {
        rc = take_bundle(w, tiledir, err);
        if (rc == DOM_OK && w->next % DOM_INDEX_GROUP == 0) {
            rc = write_group(w, tiledir->dir, err);
            w->located = rc == DOM_OK;
            if (rc == DOM_OK) {
                locate(w, tiledir->dir, w->next / DOM_INDEX_GROUP, full);
            }
        }
    }
    if (donep != NULL) {
        *donep = rc == DOM_OK && w->next >= full;
    }
    if (rc == DOM_OK && w->next > w->written &&
        (w->next - w->written >= DOM_INDEX_LAG || (finish && w->next >= full))) {
        rc = write_group(w, tiledir->dir, err);
    }
    return rc;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static enum dom_code verify_group(struct dom_index_writer *w, const struct dom_tiledir *tiledir,
                                  uint64_t group, unsigned width, struct dom_error *err)
{
    struct dom_buffer found = {0};
    char path[PATH_MAX];
    char relative[DOM_INDEX_PATH_SIZE];

    enum dom_code rc = full_path(path, tiledir->dir, group, err);
    if (rc == DOM_OK) {
        rc = dom_file_read(&found, path, DOM_INDEX_FILE_BYTES_MAX, err);
    }
    dom_index_builder_begin(w->builder, group);
    w->next = group * DOM_INDEX_GROUP;
    for (unsigned i = 0; rc == DOM_OK && i < width; i++) {
        rc = take_bundle(w, tiledir, err);
    }
    dom_buffer_clear(&w->scratch);
    if (rc == DOM_OK) {
        rc = dom_index_builder_encode(w->builder, &w->scratch, err);
    }
    if (rc == DOM_OK && !dom_slice_eq(dom_buffer_slice(&found), dom_buffer_slice(&w->scratch))) {
        rc = DOM_FAIL(err, DOM_TAMPERED,
                      "%s: the index does not say what its entries say: remove it, and make it "
                      "anew with domicile audit index",
                      dom_index_path(relative, group));
    }
    dom_buffer_cleanup(&found);
    return rc;
}

enum dom_code dom_index_verify(const struct dom_tiledir *tiledir,
                               struct dom_index_verify_result *result,
                               void (*progress)(void *arg, uint64_t done, uint64_t total),
                               void *progress_arg, struct dom_error *err)
{
    struct dom_index_writer w = {.builder = dom_index_builder_new()};
    struct dom_error own = {0};
    char relative[DOM_INDEX_PATH_SIZE];
    uint64_t full = tiledir->size / DOM_TILE_WIDTH;
    enum dom_code rc = DOM_OK;

    err = err == NULL ? &own : err;
    *result = (struct dom_index_verify_result){.num_bundles = full};
    for (uint64_t group = 0; rc == DOM_OK && group * DOM_INDEX_GROUP < full; group++) {
        unsigned width = width_of(tiledir->dir, group);
        if (width == 0) {
            continue;
        }
        if (group * DOM_INDEX_GROUP + width > full) {
            rc = DOM_FAIL(err, DOM_TAMPERED, "%s: it tells of bundles that the log does not have",
                          dom_index_path(relative, group));
            break;
        }
        rc = verify_group(&w, tiledir, group, width, err);
        result->num_files++;
        result->num_indexed += width;
        if (progress != NULL) {
            progress(progress_arg, (group * DOM_INDEX_GROUP + width) * DOM_TILE_WIDTH,
                     tiledir->size);
        }
    }
    dom_index_writer_cleanup(&w);
    return rc;
}
