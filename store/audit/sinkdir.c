#include "store/audit/sinkdir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/file.h"
#include "store/audit/bundle.h"
#include "store/audit/sinkdir_internal.h"

#define FILE_MODE 0640

struct dom_sinkdir {
    char *dir;
    int lock_fd; /* FORMAT */
    int fd;      /* of the file being written; -1: the next entry begins one */
    char name[DOM_SINKDIR_NAME_SIZE];
    int notes_fd; /* -1: the next checkpoint begins a file */
    char notes_name[DOM_SINKDIR_NAME_SIZE];
    uint64_t next;
    uint64_t in_file;
    bool has_last;
    struct dom_hash last;
};

static enum dom_code fail(struct dom_error *err, const char *path, const char *what)
{
    return DOM_FAIL(err, DOM_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static enum dom_code write_all(int fd, struct dom_slice bytes, const char *path,
                               struct dom_error *err)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.data, bytes.len);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return fail(err, path, "write");
        }
        bytes = dom_slice_of(bytes.data + put, bytes.len - (size_t)put);
    }
    return DOM_OK;
}

/* What is synced into a file without a name is lost: it must still be where it was made. */
static enum dom_code sync_named(int fd, const char *path, struct dom_error *err)
{
    struct stat open_file;
    struct stat named;

    if (fdatasync(fd) != 0) {
        return fail(err, path, "sync");
    }
    if (fstat(fd, &open_file) != 0 || stat(path, &named) != 0) {
        return fail(err, path, "find it");
    }
    return open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev
               ? DOM_OK
               : DOM_FAIL(err, DOM_IO, "%s: another file is in its place", path);
}

/* ---- opening ------------------------------------------------------------------------------ */

static enum dom_code write_format(struct dom_sinkdir *sink, const char *path,
                                  struct dom_slice origin, struct dom_slice vkey,
                                  struct dom_error *err)
{
    struct dom_buffer text = {0};
    char key_path[PATH_MAX];

    (void)snprintf(key_path, sizeof(key_path), "%s/vkey", sink->dir);
    dom_buffer_append_slice(&text, vkey);
    dom_buffer_append_char(&text, '\n');
    enum dom_code rc =
        dom_file_write_atomic(key_path, dom_buffer_slice(&text), FILE_MODE, err);
    dom_buffer_clear(&text);
    dom_buffer_printf(&text, DOM_SINKDIR_FORMAT, (int)origin.len, (const char *)origin.data);
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(path, dom_buffer_slice(&text), FILE_MODE, err);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

static enum dom_code take_format(struct dom_sinkdir *sink, struct dom_slice origin,
                                 struct dom_slice vkey, bool fresh, struct dom_error *err)
{
    char path[PATH_MAX];
    char found[512];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/FORMAT", sink->dir);
    if (stat(sink->dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return DOM_FAIL(err, DOM_IO, "%s: not a folder; is the disk mounted?", sink->dir);
    }
    if (access(path, F_OK) != 0) {
        if (!fresh) {
            return DOM_FAIL(err, DOM_IO,
                            "%s: empty, but entries were copied there; is the disk mounted? A new "
                            "copy needs a new name",
                            sink->dir);
        }
        enum dom_code made = write_format(sink, path, origin, vkey, err);
        if (made != DOM_OK) {
            return made;
        }
    }
    enum dom_code rc = dom_sinkdir_read_format(sink->dir, found, sizeof(found), err);
    if (rc == DOM_OK && !dom_slice_eq_str(origin, found)) {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s: the copy of log %s, not of %.*s", sink->dir, found,
                      (int)origin.len, (const char *)origin.data);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    sink->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (sink->lock_fd < 0) {
        return fail(err, path, "open");
    }
    return flock(sink->lock_fd, LOCK_EX | LOCK_NB) == 0
               ? DOM_OK
               : DOM_FAIL(err, DOM_LOCKED, "%s: another process writes to this copy", sink->dir);
}

static bool keep_last(void *context, uint64_t index, struct dom_slice entry)
{
    struct dom_sinkdir *sink = context;

    sink->next = index + 1;
    sink->has_last = true;
    dom_hash_leaf(&sink->last, entry);
    return true;
}

/* The newest file tells where the copy ends. A torn end, or a full file, is left alone. */
static enum dom_code find_end(struct dom_sinkdir *sink, struct dom_error *err)
{
    struct dom_sinkdir_files files = {0};
    bool torn = false;

    enum dom_code rc = dom_sinkdir_list(&files, sink->dir, DOM_SINKDIR_ENTRIES, err);
    for (size_t i = files.num; i > 0 && rc == DOM_OK && !sink->has_last; i--) {
        sink->next = files.first[i - 1];
        rc = dom_sinkdir_walk(sink->dir, sink->next, DOM_SINKDIR_ENTRIES, keep_last, sink, &torn,
                              err);
        sink->in_file = sink->next - files.first[i - 1];
        if (rc == DOM_OK && !torn && i == files.num &&
            sink->in_file < DOM_SINKDIR_FILE_ENTRIES_MAX) {
            dom_sinkdir_name(sink->name, files.first[i - 1], DOM_SINKDIR_ENTRIES);
        }
    }
    dom_sinkdir_files_cleanup(&files);
    return rc;
}

static int open_append(const struct dom_sinkdir *sink, const char *name, int flags)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", sink->dir, name);
    return open(path, O_WRONLY | O_APPEND | O_CLOEXEC | flags, FILE_MODE);
}

static enum dom_code open_last(struct dom_sinkdir *sink, struct dom_error *err)
{
    if (sink->name[0] != '\0') {
        sink->fd = open_append(sink, sink->name, 0);
        if (sink->fd < 0) {
            return fail(err, sink->dir, "open the last file");
        }
    }
    return DOM_OK;
}

enum dom_code dom_sinkdir_open(struct dom_sinkdir **sinkp, const char *dir, struct dom_slice origin,
                               struct dom_slice vkey, bool fresh, struct dom_error *err)
{
    *sinkp = NULL;
    if (strlen(dir) + DOM_SINKDIR_NAME_SIZE + 8 >= PATH_MAX || origin.len >= 512) {
        return DOM_FAIL(err, DOM_INVALID, "%.64s...: path or origin too long", dir);
    }
    struct dom_sinkdir *sink = calloc(1, sizeof(*sink));
    DOM_ASSERT(sink != NULL);
    sink->lock_fd = -1;
    sink->fd = -1;
    sink->notes_fd = -1;
    sink->dir = strdup(dir);
    DOM_ASSERT(sink->dir != NULL);
    enum dom_code rc = take_format(sink, origin, vkey, fresh, err);
    if (rc == DOM_OK) {
        rc = find_end(sink, err);
    }
    if (rc == DOM_OK) {
        rc = open_last(sink, err);
    }
    if (rc != DOM_OK) {
        dom_sinkdir_close(sink);
        return rc;
    }
    *sinkp = sink;
    return DOM_OK;
}

void dom_sinkdir_close(struct dom_sinkdir *sink)
{
    if (sink == NULL) {
        return;
    }
    const int fds[] = {sink->fd, sink->notes_fd, sink->lock_fd};
    for (size_t i = 0; i < DOM_ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    free(sink->dir);
    free(sink);
}

uint64_t dom_sinkdir_next(const struct dom_sinkdir *sink)
{
    return sink->next;
}

bool dom_sinkdir_last(const struct dom_sinkdir *sink, struct dom_hash *leaf)
{
    *leaf = sink->last;
    return sink->has_last;
}

/* ---- writing ------------------------------------------------------------------------------ */

/* A file of this name can be there already only if nothing whole was ever written to it. */
static enum dom_code begin_file(struct dom_sinkdir *sink, struct dom_error *err)
{
    char path[PATH_MAX];

    if (sink->fd >= 0) {
        (void)close(sink->fd);
    }
    dom_sinkdir_name(sink->name, sink->next, DOM_SINKDIR_ENTRIES);
    (void)snprintf(path, sizeof(path), "%s/%s", sink->dir, sink->name);
    if (unlink(path) != 0 && errno != ENOENT) {
        return fail(err, path, "replace");
    }
    sink->in_file = 0;
    sink->fd = open_append(sink, sink->name, O_CREAT | O_EXCL);
    if (sink->fd < 0) {
        return fail(err, path, "create");
    }
    return dom_dir_sync(sink->dir, err);
}

enum dom_code dom_sinkdir_append(struct dom_sinkdir *sink, struct dom_slice run, uint64_t count,
                                 struct dom_error *err)
{
    char path[PATH_MAX];
    enum dom_code rc = DOM_OK;

    if (sink->fd < 0 || sink->in_file >= DOM_SINKDIR_FILE_ENTRIES_MAX) {
        rc = begin_file(sink, err);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", sink->dir, sink->name);
    if (rc == DOM_OK) {
        rc = write_all(sink->fd, run, path, err);
    }
    if (rc == DOM_OK) {
        rc = sync_named(sink->fd, path, err);
    }
    if (rc == DOM_OK) {
        sink->next += count;
        sink->in_file += count;
    }
    return rc;
}

enum dom_code dom_sinkdir_checkpoint(struct dom_sinkdir *sink, struct dom_slice note,
                                     struct dom_error *err)
{
    struct dom_buffer record = {0};
    char path[PATH_MAX];

    if (sink->notes_fd < 0) {
        dom_sinkdir_name(sink->notes_name, sink->next, DOM_SINKDIR_CHECKPOINTS);
        sink->notes_fd = open_append(sink, sink->notes_name, O_CREAT | O_EXCL);
        if (sink->notes_fd < 0 && errno == EEXIST) {
            return DOM_OK; /* of before, and perhaps torn: another name comes with the next entry */
        }
    }
    (void)snprintf(path, sizeof(path), "%s/%s", sink->dir, sink->notes_name);
    if (sink->notes_fd < 0) {
        return fail(err, path, "create");
    }
    enum dom_code rc = dom_bundle_append(&record, note, err);
    if (rc == DOM_OK) {
        rc = dom_dir_sync(sink->dir, err);
    }
    if (rc == DOM_OK) {
        rc = write_all(sink->notes_fd, dom_buffer_slice(&record), path, err);
    }
    if (rc == DOM_OK) {
        rc = sync_named(sink->notes_fd, path, err);
    }
    dom_buffer_cleanup(&record);
    return rc;
}
