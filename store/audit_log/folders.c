/* Whether any full tile or bundle has gone from the published folder. A folder of a thousand of them is
 * listed only after its modification time has changed; else one stat(2) does. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "store/audit_log/audit_log_internal.h"

#define PER_FOLDER 1000U /* the last group of digits in a tile's name */
#define LOOKS_MAX  64U   /* folders of a level in one look: those of 16 million entries */

struct dom_audit_log_folder {
    struct timespec seen; /* its modification time at the look before */
    struct timespec good; /* when it was listed and nothing was missing */
    ino_t ino;
};

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Marks the full tiles that are there. False: the folder cannot be read. */
static bool list(const char *path, bool found[PER_FOLDER])
{
    DIR *dir = opendir(path);

    if (dir == NULL) {
        return false;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        unsigned number = 0;
        char more = 0;
        if (strlen(e->d_name) == 3 && sscanf(e->d_name, "%3u%c", &number, &more) == 1 &&
            number < PER_FOLDER) {
            found[number] = true;
        }
    }
    (void)closedir(dir);
    return true;
}

/* Tiles from .. end-1, all of one folder, are there. */
static bool folder_whole(const struct dom_audit_log *log, struct dom_audit_log_folder *folder,
                         int level, uint64_t from, uint64_t end)
{
    const struct dom_tile tile = {.level = level, .n = from, .width = DOM_TILE_WIDTH};
    bool found[PER_FOLDER] = {false};
    char relative[DOM_TILE_PATH_SIZE];
    char path[PATH_MAX];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/%s", log->dir, dom_tile_path(relative, tile));
    *strrchr(path, '/') = '\0';
    if (stat(path, &st) != 0) {
        return false;
    }
    if (folder->ino == st.st_ino && same_time(&folder->good, &st.st_mtim)) {
        return true;
    }
    if (!list(path, found)) {
        return false;
    }
    for (uint64_t n = from; n < end; n++) {
        if (!found[n % PER_FOLDER]) {
            return false;
        }
    }
    /* A file system's clock may be coarse: a time counts once a whole look has passed under it. */
    if (folder->ino == st.st_ino && same_time(&folder->seen, &st.st_mtim)) {
        folder->good = st.st_mtim;
    }
    folder->seen = st.st_mtim;
    folder->ino = st.st_ino;
    return true;
}

static void make_room(struct dom_audit_log_folders *folders, size_t num)
{
    if (num <= folders->num) {
        return;
    }
    size_t room = num + num / 2;
    struct dom_audit_log_folder *list = realloc(folders->list, room * sizeof(*list));
    DOM_ASSERT(list != NULL);
    memset(list + folders->num, 0, (room - folders->num) * sizeof(*list));
    folders->list = list;
    folders->num = room;
}

/* Full tiles from .. end-1 of a level: the last folder in each look, the others in turn. */
static bool level_whole(const struct dom_audit_log *log, struct dom_audit_log_folders *folders,
                        int level, uint64_t from, uint64_t end)
{
    uint64_t first = from / PER_FOLDER;
    uint64_t last = (end - 1) / PER_FOLDER;
    uint64_t count = last - first + 1;

    make_room(folders, (size_t)last + 1);
    for (uint64_t i = 0; i < count && i < LOOKS_MAX; i++) {
        uint64_t at = last;
        if (i > 0) {
            at = first + folders->next % count;
            folders->next++;
        }
        uint64_t begin = at * PER_FOLDER > from ? at * PER_FOLDER : from;
        uint64_t stop = (at + 1) * PER_FOLDER < end ? (at + 1) * PER_FOLDER : end;
        if (!folder_whole(log, &folders->list[at], level, begin, stop)) {
            return false;
        }
    }
    return true;
}

bool dom_audit_log_folders_whole(struct dom_audit_log *log, uint64_t size, uint64_t first)
{
    for (int level = DOM_TILE_ENTRIES; level < (int)DOM_TILE_LEVELS; level++) {
        uint64_t from = level == DOM_TILE_ENTRIES ? first / DOM_TILE_WIDTH : 0;
        uint64_t end = dom_tile_level_size(size, level) / DOM_TILE_WIDTH;
        if (from < end && !level_whole(log, &log->folders[level + 1], level, from, end)) {
            return false;
        }
    }
    return true;
}

void dom_audit_log_folders_cleanup(struct dom_audit_log *log)
{
    for (size_t i = 0; i < DOM_TILE_LEVELS + 1; i++) {
        free(log->folders[i].list);
    }
}
