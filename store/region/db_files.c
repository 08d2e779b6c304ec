#include "store/region/db_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_LOOKS 4

enum dom_code dom_db_files_init(struct dom_db_files *files, const char *path, struct dom_error *err)
{
    if (stat(path, &files->folder) != 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot be looked at: %s", path, strerror(errno));
    }
    memset(&files->seen, 0, sizeof(files->seen)); /* the first look is thorough */
    return DOM_OK;
}

enum dom_code dom_db_files_folder(const struct dom_db_files *files, const char *path,
                                  struct stat *now, struct dom_error *err)
{
    if (stat(path, now) != 0) {
        return DOM_FAIL(err, DOM_IO, "%s: the folder has gone: %s", path, strerror(errno));
    }
    return now->st_ino == files->folder.st_ino && now->st_dev == files->folder.st_dev
               ? DOM_OK
               : DOM_FAIL(err, DOM_IO,
                          "%s: another folder is in its place; put the old one back, or restart",
                          path);
}

enum dom_code dom_db_files_look(struct dom_db_files *files, const char *path, bool *changedp,
                                struct dom_error *err)
{
    *changedp = false;
    enum dom_code rc = dom_db_files_folder(files, path, &files->now, err);
    if (rc != DOM_OK) {
        return rc;
    }
    *changedp = files->now.st_mtim.tv_sec != files->seen.st_mtim.tv_sec ||
                files->now.st_mtim.tv_nsec != files->seen.st_mtim.tv_nsec;
    return DOM_OK;
}

void dom_db_files_seen(struct dom_db_files *files)
{
    files->seen = files->now;
}

static enum dom_code check_name(const char *folder, const char *name, struct dom_error *err)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name[0] == '/' ? name + 1 : name);
    return access(path, F_OK) == 0
               ? DOM_OK
               : DOM_FAIL(err, DOM_IO, "%s: the file has gone: %s", path, strerror(errno));
}

/* "<folder>/000123.log (deleted)" -> 123 and true. Zero: not a write-ahead log of this folder. */
static uint64_t wal_number(const char *link, const char *folder, bool *deletedp)
{
    size_t len = strlen(folder);
    char *end = NULL;

    if (strncmp(link, folder, len) != 0 || link[len] != '/' || link[len + 1] < '0' ||
        link[len + 1] > '9') {
        return 0;
    }
    uint64_t number = strtoull(link + len + 1, &end, 10);
    *deletedp = strcmp(end, ".log (deleted)") == 0;
    return *deletedp || strcmp(end, ".log") == 0 ? number : 0;
}

/* RocksDB does not tell which log it writes; the system knows what this process has open. Older
 * ones may be gone rightly, the newest may not. */
static enum dom_code check_wal(const char *folder, struct dom_error *err)
{
    char real[PATH_MAX];
    char link[PATH_MAX];
    uint64_t newest = 0;
    bool newest_deleted = false;

    if (realpath(folder, real) == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: the folder has gone: %s", folder, strerror(errno));
    }
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return DOM_OK; /* no /proc here: the folder and the tables were looked at */
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        bool deleted = false;
        ssize_t len = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
        if (len <= 0) {
            continue;
        }
        link[len] = '\0';
        uint64_t number = wal_number(link, real, &deleted);
        if (number > newest) {
            newest = number;
            newest_deleted = deleted;
        }
    }
    (void)closedir(dir);
    return newest_deleted ? DOM_FAIL(err, DOM_IO, "%s/%06llu.log: the file has gone", folder,
                                     (unsigned long long)newest)
                          : DOM_OK;
}

static enum dom_code check_tables(const rocksdb_t *rocks, const char *path, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    const rocksdb_livefiles_t *live = rocksdb_livefiles((rocksdb_t *)(uintptr_t)rocks);
    for (int i = 0; i < rocksdb_livefiles_count(live) && rc == DOM_OK; i++) {
        rc = check_name(path, rocksdb_livefiles_name(live, i), err);
    }
    rocksdb_livefiles_destroy(live);
    return rc;
}

enum dom_code dom_db_files_check(const rocksdb_t *rocks, const char *path, struct dom_error *err)
{
    enum dom_code rc = check_name(path, "CURRENT", err);

    if (rc == DOM_OK) {
        rc = check_wal(path, err);
    }
    if (rc != DOM_OK || rocks == NULL) {
        return rc;
    }
    /* A compaction may end between the list and the look; it does not do so every time. */
    for (int i = 0; i < TABLE_LOOKS; i++) {
        rc = check_tables(rocks, path, err);
        if (rc == DOM_OK) {
            break;
        }
    }
    return rc;
}
