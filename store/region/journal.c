#include "store/region/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/log.h"
#include "store/crypto/sha256.h"

#define HEADER_BYTES 64U
#define DIGEST_AT    32U
#define RECORD_BYTES (DOM_JOURNAL_BATCH_BYTES + DOM_JOURNAL_BLOCK)
#define FILE_BYTES   (DOM_JOURNAL_BYTES + DOM_JOURNAL_BLOCK) /* the last block has no record */

static const char s_magic[8] = {'D', 'O', 'M', 'J', 'R', 'N', 'L', '1'};

struct dom_journal {
    pthread_mutex_t lock; /* whoever wipes is another thread */
    int fd;
    bool usable;
    char *path;
    char *origin;
    uint64_t run;
    size_t at;      /* where the next record goes */
    uint64_t until; /* entries up to here are in the journal; 0: none are */
    size_t dirty;   /* from here on the file has only zeros */
    uint8_t *block; /* RECORD_BYTES, as direct writes want them */
};

static void digest(const struct dom_journal *journal, const uint8_t *header, struct dom_slice batch,
                   uint8_t *out)
{
    struct dom_sha256_stream stream;

    dom_sha256_init(&stream);
    dom_sha256_update(&stream, dom_slice_of(journal->origin, strlen(journal->origin) + 1));
    dom_sha256_update(&stream, dom_slice_of(header, DIGEST_AT));
    dom_sha256_update(&stream, batch);
    dom_sha256_final(&stream, out);
}

/* ---- the file ----------------------------------------------------------------------------- */

/* Past the page cache where the file system can: the write is at the disk when it returns, and the
 * sync has nothing to do but to ask the disk to keep it. Some refuse O_DIRECT at once, some (FUSE) not
 * before the first write, which is tried where no record is. */
static int open_direct(const char *path, const uint8_t *zeros)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);

    if (fd >= 0) {
        errno = 0;
        if (pwrite(fd, zeros, DOM_JOURNAL_BLOCK, DOM_JOURNAL_BYTES) == (ssize_t)DOM_JOURNAL_BLOCK) {
            return fd;
        }
        int error = errno;
        (void)close(fd);
        errno = error;
    }
    return errno == EINVAL ? open(path, O_RDWR | O_CLOEXEC) : -1;
}

/* Written bytes, not only room: blocks that hold nothing yet would be marked as written at their
 * first sync, which is what the journal is there to save. `zeros` has RECORD_BYTES. */
static bool fill(int fd, const uint8_t *zeros, size_t end)
{
    for (size_t at = 0; at < end;) {
        size_t len = end - at < RECORD_BYTES ? end - at : RECORD_BYTES;
        if (pwrite(fd, zeros, len, (off_t)at) != (ssize_t)len) {
            return false;
        }
        at += len;
    }
    return fsync(fd) == 0;
}

/* A disk that is nearly full is left to what cannot do without. */
static bool has_room(int fd)
{
    struct statvfs fs;

    if (fstatvfs(fd, &fs) != 0) {
        return false;
    }
    if ((uint64_t)fs.f_bavail * fs.f_frsize < DOM_JOURNAL_FREE_BYTES) {
        errno = ENOSPC;
        return false;
    }
    return true;
}

/* The name too is durable before anything relies on it. */
static bool sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);

    DOM_ASSERT(folder != NULL);
    bool good = dom_dir_sync(folder, NULL) == DOM_OK;
    free(folder);
    return good;
}

static bool create(const char *path, const uint8_t *zeros)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return false;
    }
    bool good = has_room(fd) && fill(fd, zeros, FILE_BYTES) && sync_folder(path);
    int error = errno;
    good = close(fd) == 0 && good;
    if (!good) {
        (void)unlink(path);
        errno = error;
    }
    return good;
}

static bool is_whole(const char *path)
{
    struct stat file;

    return stat(path, &file) == 0 && file.st_size == (off_t)FILE_BYTES;
}

struct dom_journal *dom_journal_new(const char *path, const char *origin)
{
    struct dom_journal *journal = calloc(1, sizeof(*journal));

    DOM_ASSERT(journal != NULL && pthread_mutex_init(&journal->lock, NULL) == 0);
    journal->fd = -1;
    journal->path = strdup(path);
    journal->origin = strdup(origin);
    journal->block = aligned_alloc(DOM_JOURNAL_BLOCK, RECORD_BYTES);
    DOM_ASSERT(journal->path != NULL && journal->origin != NULL && journal->block != NULL);
    return journal;
}

static void close_file(struct dom_journal *journal)
{
    if (journal->fd >= 0) {
        (void)close(journal->fd);
    }
    journal->fd = -1;
    journal->usable = false;
}

enum dom_code dom_journal_open(struct dom_journal *journal, struct dom_error *err)
{
    DOM_ASSERT(pthread_mutex_lock(&journal->lock) == 0);
    close_file(journal);
    memset(journal->block, 0, RECORD_BYTES);
    bool old = is_whole(journal->path);
    if (old || create(journal->path, journal->block)) {
        journal->fd = open_direct(journal->path, journal->block);
    }
    enum dom_code rc =
        journal->fd >= 0 ? DOM_OK : DOM_FAIL(err, DOM_IO, "%s: %s", journal->path, strerror(errno));
    journal->usable = rc == DOM_OK;
    journal->dirty = old ? DOM_JOURNAL_BYTES : 0;
    journal->until = 0;
    DOM_ASSERT(pthread_mutex_unlock(&journal->lock) == 0);
    return rc;
}

void dom_journal_destroy(struct dom_journal *journal)
{
    if (journal == NULL) {
        return;
    }
    close_file(journal);
    (void)pthread_mutex_destroy(&journal->lock);
    free(journal->path);
    free(journal->origin);
    free(journal->block);
    free(journal);
}

/* ---- writing ------------------------------------------------------------------------------ */

static size_t round_up(size_t bytes)
{
    return (bytes + DOM_JOURNAL_BLOCK - 1) / DOM_JOURNAL_BLOCK * DOM_JOURNAL_BLOCK;
}

static void encode(struct dom_journal *journal, uint64_t first, uint32_t count,
                   struct dom_slice batch, size_t bytes)
{
    uint8_t *out = journal->block;

    memcpy(out, s_magic, sizeof(s_magic));
    dom_put_u64be(out + 8, journal->run);
    dom_put_u64be(out + 16, first);
    dom_put_u32be(out + 24, count);
    dom_put_u32be(out + 28, (uint32_t)batch.len);
    digest(journal, out, batch, out + DIGEST_AT);
    memcpy(out + HEADER_BYTES, batch.data, batch.len);
    memset(out + HEADER_BYTES + batch.len, 0, bytes - HEADER_BYTES - batch.len);
}

static bool give_up(struct dom_journal *journal, const char *why)
{
    journal->usable = false;
    dom_log(DOM_LOG_WARN, "store.journal", "file=%s reason=\"%s\"", journal->path, why);
    return false;
}

/* Begins at the front again, where all that is there is kept by the database by now. A new run, so
 * that what is left of the old one behind it is not taken for its continuation. */
static bool begin(struct dom_journal *journal)
{
    if (getentropy(&journal->run, sizeof(journal->run)) != 0) {
        return give_up(journal, "no randomness from the system");
    }
    journal->at = 0;
    return true;
}

static bool write_record(struct dom_journal *journal, size_t bytes)
{
    struct stat file;

    if (pwrite(journal->fd, journal->block, bytes, (off_t)journal->at) != (ssize_t)bytes ||
        fdatasync(journal->fd) != 0) {
        return give_up(journal, strerror(errno));
    }
    /* A file without a name takes bytes and is gone with the process. */
    if (fstat(journal->fd, &file) != 0 || file.st_nlink == 0) {
        return give_up(journal, "the file was removed");
    }
    return true;
}

static bool append(struct dom_journal *journal, uint64_t first, uint32_t count,
                   struct dom_slice batch, uint64_t synced)
{
    if (!journal->usable || batch.len > DOM_JOURNAL_BATCH_BYTES) {
        return false;
    }
    size_t bytes = round_up(HEADER_BYTES + batch.len);
    if ((synced >= journal->until || first != journal->until) && !begin(journal)) {
        return false;
    }
    if (journal->at + bytes > DOM_JOURNAL_BYTES) {
        return false;
    }
    encode(journal, first, count, batch, bytes);
    size_t end = journal->at + bytes;
    journal->dirty = end > journal->dirty ? end : journal->dirty;
    if (!write_record(journal, bytes)) {
        return false;
    }
    journal->at = end;
    journal->until = first + count;
    return true;
}

bool dom_journal_append(struct dom_journal *journal, uint64_t first, uint32_t count,
                        struct dom_slice batch, uint64_t synced)
{
    DOM_ASSERT(pthread_mutex_lock(&journal->lock) == 0);
    bool done = append(journal, first, count, batch, synced);
    DOM_ASSERT(pthread_mutex_unlock(&journal->lock) == 0);
    return done;
}

enum dom_code dom_journal_wipe(struct dom_journal *journal, enum dom_code (*sync)(void *context,
                                                                  struct dom_error *err),
                               void *context, struct dom_error *err)
{
    DOM_ASSERT(pthread_mutex_lock(&journal->lock) == 0);
    enum dom_code rc = sync(context, err);
    if (rc == DOM_OK && journal->fd >= 0) {
        memset(journal->block, 0, RECORD_BYTES);
        if (fill(journal->fd, journal->block, journal->dirty)) {
            journal->dirty = 0;
            journal->until = 0;
        } else {
            rc = DOM_FAIL(err, DOM_IO, "%s: %s", journal->path, strerror(errno));
            (void)give_up(journal, "cannot be overwritten");
        }
    }
    DOM_ASSERT(pthread_mutex_unlock(&journal->lock) == 0);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------ */

struct record {
    uint64_t run;
    uint64_t first;
    uint32_t count;
    struct dom_slice batch;
};

/* The record at `at` of the file's bytes. */
static bool parse(const struct dom_journal *journal, const uint8_t *file, size_t at,
                  struct record *out)
{
    const uint8_t *header = file + at;
    uint8_t found[32];

    if (DOM_JOURNAL_BYTES - at < HEADER_BYTES || memcmp(header, s_magic, sizeof(s_magic)) != 0) {
        return false;
    }
    size_t len = dom_get_u32be(header + 28);
    if (len > DOM_JOURNAL_BATCH_BYTES || len > DOM_JOURNAL_BYTES - at - HEADER_BYTES) {
        return false;
    }
    out->run = dom_get_u64be(header + 8);
    out->first = dom_get_u64be(header + 16);
    out->count = dom_get_u32be(header + 24);
    out->batch = dom_slice_of(header + HEADER_BYTES, len);
    digest(journal, header, out->batch, found);
    return memcmp(found, header + DIGEST_AT, sizeof(found)) == 0;
}

enum dom_code dom_journal_replay(struct dom_journal *journal, uint64_t size,
                                 const struct dom_journal_target *target, struct dom_error *err)
{
    uint8_t *file = aligned_alloc(DOM_JOURNAL_BLOCK, DOM_JOURNAL_BYTES);
    struct record record;
    uint64_t run = 0;
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(file != NULL);
    if (pread(journal->fd, file, DOM_JOURNAL_BYTES, 0) != (ssize_t)DOM_JOURNAL_BYTES) {
        rc = DOM_FAIL(err, DOM_IO, "%s: %s", journal->path, strerror(errno));
    }
    for (size_t at = 0; rc == DOM_OK && at < DOM_JOURNAL_BYTES;) {
        if (!parse(journal, file, at, &record) || (at > 0 && record.run != run)) {
            break;
        }
        run = record.run;
        at += round_up(HEADER_BYTES + record.batch.len);
        if (record.first > size) {
            break;
        }
        if (record.first == size || !target->has(target->context, record.first)) {
            rc = target->apply(target->context, record.first, record.count, record.batch, err);
        }
        uint64_t end = record.first + record.count;
        size = end > size ? end : size;
    }
    free(file);
    return rc;
}
