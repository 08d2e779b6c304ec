#include "store/region/scrub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "store/crypto/sha256.h"

#define SCRUB_CHUNK ((size_t)256 << 10)

/* A table file as it was seen last. RocksDB gives a number to one file only. */
struct table {
    uint64_t number;
    uint64_t size;
    uint8_t digest[DOM_SHA256_SIZE];
    bool seen; /* in this pass */
};

struct dom_scrub {
    struct dom_db *db;
    const char *path;
    struct table *tables;
    size_t num_tables;
    size_t capacity;
    uint8_t *chunk;
    uint64_t bytes;
};

struct dom_scrub *dom_scrub_new(struct dom_db *db, const char *db_path)
{
    struct dom_scrub *scrub = calloc(1, sizeof(*scrub));

    DOM_ASSERT(scrub != NULL);
    scrub->chunk = malloc(SCRUB_CHUNK);
    DOM_ASSERT(scrub->chunk != NULL);
    scrub->db = db;
    scrub->path = db_path;
    return scrub;
}

void dom_scrub_destroy(struct dom_scrub *scrub)
{
    if (scrub != NULL) {
        free(scrub->tables);
        free(scrub->chunk);
        free(scrub);
    }
}

static enum dom_code spend(struct dom_scrub *scrub, const struct dom_pace *pace, size_t bytes,
                           struct dom_error *err)
{
    scrub->bytes += bytes;
    return dom_pace_spend(pace, bytes) ? DOM_OK : DOM_FAIL(err, DOM_CANCELLED, "stopped");
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* From after `last` on; *donep at the end of the family. */
static enum dom_code read_some(struct dom_scrub *scrub, enum dom_db_family family,
                               struct dom_buffer *last, size_t *bytesp, bool *donep,
                               struct dom_error *err)
{
    *bytesp = 0;
    if (!dom_db_enter(scrub->db)) {
        return DOM_FAIL(err, DOM_IO, "the database is not open");
    }
    rocksdb_iterator_t *iter = dom_db_iter(scrub->db, family);
    rocksdb_iter_seek(iter, (const char *)last->data, last->len);
    if (last->len > 0 && rocksdb_iter_valid(iter) &&
        dom_slice_eq(dom_db_iter_key(iter), dom_buffer_slice(last))) {
        rocksdb_iter_next(iter);
    }
    while (rocksdb_iter_valid(iter) && *bytesp < SCRUB_CHUNK) {
        struct dom_slice key = dom_db_iter_key(iter);
        *bytesp += key.len + dom_db_iter_value(iter).len;
        dom_buffer_clear(last);
        dom_buffer_append_slice(last, key);
        rocksdb_iter_next(iter);
    }
    *donep = !rocksdb_iter_valid(iter);
    enum dom_code rc = dom_db_iter_check(iter, err);
    rocksdb_iter_destroy(iter);
    dom_db_leave(scrub->db);
    return rc;
}

static enum dom_code read_keys(struct dom_scrub *scrub, const struct dom_pace *pace,
                               struct dom_error *err)
{
    struct dom_buffer last = {0};
    enum dom_code rc = DOM_OK;

    for (int family = 0; family < DOM_DB_FAMILY_COUNT && rc == DOM_OK; family++) {
        bool done = false;
        dom_buffer_clear(&last);
        while (rc == DOM_OK && !done) {
            size_t bytes = 0;
            rc = read_some(scrub, (enum dom_db_family)family, &last, &bytes, &done, err);
            if (rc == DOM_OK) {
                rc = spend(scrub, pace, bytes, err);
            }
        }
    }
    dom_buffer_cleanup(&last);
    return rc;
}

/* ---- files ---------------------------------------------------------------------------------- */

static enum dom_code digest_file(struct dom_scrub *scrub, int fd, const struct dom_pace *pace,
                                 struct table *out, struct dom_error *err)
{
    struct dom_sha256_stream stream;

    dom_sha256_init(&stream);
    out->size = 0;
    for (;;) {
        ssize_t got = read(fd, scrub->chunk, SCRUB_CHUNK);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return DOM_FAIL(err, DOM_IO, "cannot read: %s", strerror(errno));
        }
        if (got == 0) {
            dom_sha256_final(&stream, out->digest);
            return DOM_OK;
        }
        dom_sha256_update(&stream, dom_slice_of(scrub->chunk, (size_t)got));
        out->size += (uint64_t)got;
        enum dom_code rc = spend(scrub, pace, (size_t)got, err);
        if (rc != DOM_OK) {
            return rc;
        }
    }
}

static enum dom_code remember(struct dom_scrub *scrub, const struct table *now,
                              struct dom_error *err)
{
    for (size_t i = 0; i < scrub->num_tables; i++) {
        struct table *known = &scrub->tables[i];
        if (known->number != now->number) {
            continue;
        }
        known->seen = true;
        return known->size == now->size &&
                       memcmp(known->digest, now->digest, sizeof(now->digest)) == 0
                   ? DOM_OK
                   : DOM_FAIL(err, DOM_CORRUPT, "db/%06llu.sst has changed since it was read last",
                              (unsigned long long)now->number);
    }
    if (scrub->num_tables == DOM_SCRUB_FILES_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "over %u table files", DOM_SCRUB_FILES_MAX);
    }
    if (scrub->num_tables == scrub->capacity) {
        scrub->capacity = scrub->capacity == 0 ? 64 : scrub->capacity * 2;
        scrub->tables = realloc(scrub->tables, scrub->capacity * sizeof(*scrub->tables));
        DOM_ASSERT(scrub->tables != NULL);
    }
    scrub->tables[scrub->num_tables] = *now;
    scrub->tables[scrub->num_tables++].seen = true;
    return DOM_OK;
}

/* False when it is no table. */
static bool table_number(const char *name, uint64_t *number)
{
    char *end = NULL;

    if (name[0] < '0' || name[0] > '9') {
        return false;
    }
    *number = strtoull(name, &end, 10);
    return strcmp(end, ".sst") == 0;
}

/* A file that has gone meanwhile was compacted away. One that is being written grows and is taken
 * when it has come to rest: its size before and after must be the same. */
static enum dom_code read_table(struct dom_scrub *scrub, int dir, const char *name, uint64_t number,
                                const struct dom_pace *pace, struct dom_error *err)
{
    struct table now = {.number = number};

    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT
                   ? DOM_OK
                   : DOM_FAIL(err, DOM_IO, "db/%s: cannot open: %s", name, strerror(errno));
    }
    off_t before = lseek(fd, 0, SEEK_END);
    (void)lseek(fd, 0, SEEK_SET);
    enum dom_code rc = digest_file(scrub, fd, pace, &now, err);
    off_t after = lseek(fd, 0, SEEK_END);
    (void)close(fd);
    if (rc != DOM_OK || before != after || before <= 0) {
        return rc;
    }
    return remember(scrub, &now, err);
}

static void forget_gone(struct dom_scrub *scrub)
{
    size_t kept = 0;

    for (size_t i = 0; i < scrub->num_tables; i++) {
        if (scrub->tables[i].seen) {
            scrub->tables[kept] = scrub->tables[i];
            scrub->tables[kept++].seen = false;
        }
    }
    scrub->num_tables = kept;
}

static enum dom_code read_tables(struct dom_scrub *scrub, const struct dom_pace *pace,
                                 struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    DIR *dir = opendir(scrub->path);
    if (dir == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open: %s", scrub->path, strerror(errno));
    }
    for (struct dirent *e = readdir(dir); e != NULL && rc == DOM_OK; e = readdir(dir)) {
        uint64_t number = 0;
        if (table_number(e->d_name, &number)) {
            rc = read_table(scrub, dirfd(dir), e->d_name, number, pace, err);
        }
    }
    (void)closedir(dir);
    if (rc == DOM_OK) {
        forget_gone(scrub);
    }
    return rc;
}

enum dom_code dom_scrub_run(struct dom_scrub *scrub, const struct dom_pace *pace, uint64_t *bytesp,
                            struct dom_error *err)
{
    scrub->bytes = 0;
    enum dom_code rc = read_keys(scrub, pace, err);
    if (rc == DOM_OK) {
        rc = read_tables(scrub, pace, err);
    }
    *bytesp = scrub->bytes;
    return rc;
}
