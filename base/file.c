#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_uint s_temps; /* temporary files made so far */

static enum dom_code check_secret(const struct stat *st, const char *path, struct dom_error *err)
{
    if ((st->st_mode & 077) != 0) {
        return DOM_FAIL(err, DOM_PERMISSION,
                        "%s: mode %04o lets others read a secret; run: chmod 600 %s", path,
                        (unsigned)(st->st_mode & 07777), path);
    }
    if (st->st_uid != geteuid()) {
        return DOM_FAIL(err, DOM_PERMISSION, "%s: owned by user %u, not by this process's user %u",
                        path, (unsigned)st->st_uid, (unsigned)geteuid());
    }
    return DOM_OK;
}

static enum dom_code read_all(int fd, struct dom_buffer *out, const char *path, size_t bytes_max,
                              struct dom_error *err)
{
    for (;;) {
        uint8_t chunk[16384];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return DOM_FAIL(err, DOM_IO, "%s: cannot read: %s", path, strerror(errno));
        }
        if (got == 0) {
            return DOM_OK;
        }
        if ((size_t)got > bytes_max - out->len) {
            return DOM_FAIL(err, DOM_TOO_LARGE, "%s: larger than %zu bytes", path, bytes_max);
        }
        dom_buffer_append(out, chunk, (size_t)got);
        if (out->failed) {
            return DOM_FAIL(err, DOM_RESOURCE, "%s: out of memory", path);
        }
    }
}

static enum dom_code read_file(struct dom_buffer *out, const char *path, size_t bytes_max,
                               bool secret, struct dom_error *err)
{
    struct stat st;
    enum dom_code rc = DOM_OK;

    dom_buffer_clear(out);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = DOM_FAIL(err, DOM_IO, "%s: not a regular file", path);
        goto out;
    }
    if (secret) {
        rc = check_secret(&st, path, err);
        if (rc != DOM_OK) {
            goto out;
        }
    }
    rc = read_all(fd, out, path, bytes_max, err);
out:
    (void)close(fd);
    return rc;
}

enum dom_code dom_file_read(struct dom_buffer *out, const char *path, size_t bytes_max,
                            struct dom_error *err)
{
    return read_file(out, path, bytes_max, false, err);
}

enum dom_code dom_file_read_secret(struct dom_buffer *out, const char *path, size_t bytes_max,
                                   struct dom_error *err)
{
    return read_file(out, path, bytes_max, true, err);
}

static enum dom_code write_all(int fd, struct dom_slice bytes, const char *path,
                               struct dom_error *err)
{
    size_t done = 0;

    while (done < bytes.len) {
        ssize_t put = write(fd, bytes.data + done, bytes.len - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return DOM_FAIL(err, DOM_IO, "%s: cannot write: %s", path, strerror(errno));
        }
        done += (size_t)put;
    }
    if (fsync(fd) != 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot fsync: %s", path, strerror(errno));
    }
    return DOM_OK;
}

static enum dom_code sync_parent(const char *path, struct dom_error *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : (size_t)(slash - path);

    if (len >= sizeof(parent)) {
        return DOM_FAIL(err, DOM_IO, "%s: path too long", path);
    }
    if (slash == NULL) {
        parent[0] = '.';
    } else if (len == 0) {
        parent[0] = '/';
        len = 1;
    } else {
        memcpy(parent, path, len);
    }
    parent[len] = '\0';
    return dom_dir_sync(parent, err);
}

enum dom_code dom_file_write_atomic(const char *path, struct dom_slice bytes, unsigned mode,
                                    struct dom_error *err)
{
    char temp[PATH_MAX];
    enum dom_code rc = DOM_OK;

    /* The number keeps two threads that replace one file out of each other's way. */
    unsigned number = atomic_fetch_add_explicit(&s_temps, 1, memory_order_relaxed);
    int len = snprintf(temp, sizeof(temp), "%s.tmp-%ld-%u", path, (long)getpid(), number);
    if (len < 0 || (size_t)len >= sizeof(temp)) {
        return DOM_FAIL(err, DOM_IO, "%s: path too long", path);
    }
    /* What a killed process left may have another owner or mode: never write a secret into it. */
    (void)unlink(temp);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot create: %s", temp, strerror(errno));
    }
    rc = write_all(fd, bytes, temp, err);
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
    return sync_parent(path, err);
}

enum dom_code dom_dir_make(const char *path, unsigned mode, struct dom_error *err)
{
    char partial[PATH_MAX];
    size_t len = strlen(path);
    struct stat st;

    if (len == 0 || len >= sizeof(partial)) {
        return DOM_FAIL(err, DOM_IO, "folder name is empty or too long");
    }
    memcpy(partial, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (partial[i] != '/' && partial[i] != '\0') {
            continue;
        }
        char kept = partial[i];
        partial[i] = '\0';
        if (mkdir(partial, (mode_t)mode) != 0 && errno != EEXIST) {
            return DOM_FAIL(err, DOM_IO, "%s: cannot make the folder: %s", partial,
                            strerror(errno));
        }
        partial[i] = kept;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return DOM_FAIL(err, DOM_IO, "%s: not a folder", path);
    }
    return DOM_OK;
}

enum dom_code dom_dir_sync(const char *path, struct dom_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open the folder: %s", path, strerror(errno));
    }
    if (fsync(fd) != 0) {
        (void)close(fd);
        return DOM_FAIL(err, DOM_IO, "%s: cannot fsync the folder: %s", path, strerror(errno));
    }
    (void)close(fd);
    return DOM_OK;
}
