/* Reading and checking a second copy. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/encode.h"
#include "base/file.h"
#include "store/audit/bundle.h"
#include "store/audit/checkpoint.h"
#include "store/audit/sinkdir_internal.h"
#include "store/audit/tree.h"

#define FORMAT_BYTES_MAX 1024U

void dom_sinkdir_name(char out[DOM_SINKDIR_NAME_SIZE], uint64_t first, const char *kind)
{
    (void)snprintf(out, DOM_SINKDIR_NAME_SIZE, "%020" PRIu64 ".%s", first, kind);
}

enum dom_code dom_sinkdir_read_format(const char *dir, char *origin, size_t origin_size,
                                      struct dom_error *err)
{
    struct dom_buffer text = {0};
    char path[PATH_MAX];
    char end = '\0';
    unsigned version = 0;

    origin[0] = '\0';
    DOM_ASSERT(origin_size >= 512);
    (void)snprintf(path, sizeof(path), "%s/FORMAT", dir);
    enum dom_code rc = dom_file_read(&text, path, FORMAT_BYTES_MAX, err);
    if (rc != DOM_OK) {
        return rc;
    }
    const char *whole = dom_buffer_cstr(&text);
    if (whole == NULL || strlen(whole) != text.len ||
        sscanf(whole, "domicile-sink %9u\norigin %511[^\n]%c", &version, origin, &end) != 3 ||
        end != '\n') {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s: not the copy of a log", path);
    } else if (version != 1) {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s: format %u; this version knows 1", path, version);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

/* ---- files -------------------------------------------------------------------------------- */

static bool parse_name(const char *name, const char *kind, uint64_t *first)
{
    char same[DOM_SINKDIR_NAME_SIZE];

    if (name[0] < '0' || name[0] > '9') {
        return false;
    }
    *first = strtoull(name, NULL, 10);
    dom_sinkdir_name(same, *first, kind);
    return strcmp(name, same) == 0;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

enum dom_code dom_sinkdir_list(struct dom_sinkdir_files *files, const char *path, const char *kind,
                               struct dom_error *err)
{
    enum dom_code rc = DOM_OK;
    DIR *dir = opendir(path);

    if (dir == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    for (struct dirent *e = readdir(dir); e != NULL && rc == DOM_OK; e = readdir(dir)) {
        uint64_t first = 0;
        if (!parse_name(e->d_name, kind, &first)) {
            continue;
        }
        if (files->num == DOM_SINKDIR_FILES_MAX) {
            rc = DOM_FAIL(err, DOM_RESOURCE, "%s: more than %u files", path, DOM_SINKDIR_FILES_MAX);
            break;
        }
        if (files->num == files->capacity) {
            files->capacity = files->capacity == 0 ? 64 : 2 * files->capacity;
            files->first = realloc(files->first, files->capacity * sizeof(*files->first));
            DOM_ASSERT(files->first != NULL);
        }
        files->first[files->num++] = first;
    }
    (void)closedir(dir);
    if (files->num > 0) {
        qsort(files->first, files->num, sizeof(*files->first), ascending);
    }
    return rc;
}

void dom_sinkdir_files_cleanup(struct dom_sinkdir_files *files)
{
    free(files->first);
    *files = (struct dom_sinkdir_files){0};
}

enum dom_code dom_sinkdir_walk(const char *dir, uint64_t first, const char *kind,
                               bool (*each)(void *context, uint64_t index, struct dom_slice entry),
                               void *context, bool *tornp, struct dom_error *err)
{
    char path[PATH_MAX];
    char name[DOM_SINKDIR_NAME_SIZE];
    struct dom_buffer bytes = {0};
    size_t at = 0;

    *tornp = false;
    dom_sinkdir_name(name, first, kind);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    enum dom_code rc = dom_file_read(&bytes, path, DOM_SINKDIR_FILE_BYTES_MAX, err);
    while (rc == DOM_OK && at < bytes.len) {
        size_t len = bytes.len - at < 2 ? SIZE_MAX : dom_get_u16be(bytes.data + at);
        if (len == SIZE_MAX || len > bytes.len - at - 2) {
            *tornp = true;
            break;
        }
        if (!each(context, first++, dom_slice_of(bytes.data + at + 2, len))) {
            break;
        }
        at += 2 + len;
    }
    dom_buffer_cleanup(&bytes);
    return rc;
}

/* ---- checking ----------------------------------------------------------------------------- */

struct check {
    const char *dir;
    const struct dom_note_key *keys;
    size_t num_keys;
    struct dom_sinkdir_report *report;
    struct dom_edge edge;
    struct dom_buffer notes;
    size_t at;                  /* in notes */
    bool has_head;
    struct dom_tree_head head;  /* of the next note that is not passed yet */
    enum dom_code code;
    struct dom_error *err;
};

/* The next note's head, if there is a whole one. */
static enum dom_code next_head(struct check *check)
{
    struct dom_checkpoint checkpoint;

    check->has_head = false;
    if (check->notes.len - check->at < 2) {
        return DOM_OK;
    }
    size_t len = dom_get_u16be(check->notes.data + check->at);
    struct dom_slice note = dom_slice_of(check->notes.data + check->at + 2, len);
    check->at += 2 + len;
    enum dom_code rc = dom_checkpoint_open(&checkpoint, note, check->keys, check->num_keys, NULL,
                                           check->err);
    if (rc != DOM_OK) {
        return DOM_FAIL(check->err, DOM_TAMPERED, "%s: checkpoint %" PRIu64 ": %s", check->dir,
                        check->report->checkpoints, check->err == NULL ? "" : check->err->message);
    }
    if (checkpoint.head.size < check->edge.size) {
        return DOM_FAIL(check->err, DOM_TAMPERED,
                        "%s: checkpoint %" PRIu64 " is of size %" PRIu64
                        ", after one of size %" PRIu64,
                        check->dir, check->report->checkpoints, checkpoint.head.size,
                        check->edge.size);
    }
    check->has_head = true;
    check->head = checkpoint.head;
    return DOM_OK;
}

static enum dom_code pass_heads(struct check *check)
{
    while (check->has_head && check->head.size == check->edge.size) {
        struct dom_hash root;
        dom_edge_root(&check->edge, &root);
        if (!dom_hash_eq(&root, &check->head.root)) {
            return DOM_FAIL(check->err, DOM_TAMPERED,
                            "%s: %" PRIu64 " entries have another root than the checkpoint says",
                            check->dir, check->edge.size);
        }
        check->report->covered = check->edge.size;
        check->report->root = root;
        check->report->checkpoints++;
        enum dom_code rc = next_head(check);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    return DOM_OK;
}

static bool check_entry(void *context, uint64_t index, struct dom_slice entry)
{
    struct check *check = context;
    struct dom_hash leaf;

    DOM_ASSERT(index == check->edge.size);
    dom_hash_leaf(&leaf, entry);
    dom_edge_append(&check->edge, &leaf, NULL);
    check->code = pass_heads(check);
    return check->code == DOM_OK;
}

static enum dom_code check_files(struct check *check, const struct dom_sinkdir_files *files)
{
    enum dom_code rc = pass_heads(check); /* one of an empty log */

    for (size_t i = 0; i < files->num && rc == DOM_OK; i++) {
        bool torn = false;
        if (files->first[i] != check->edge.size) {
            return DOM_FAIL(check->err, DOM_CORRUPT,
                            "%s: entries %" PRIu64 " to %" PRIu64 " are missing, or are there twice",
                            check->dir, check->edge.size, files->first[i]);
        }
        rc = dom_sinkdir_walk(check->dir, files->first[i], DOM_SINKDIR_ENTRIES, check_entry, check,
                              &torn, check->err);
        rc = rc == DOM_OK ? check->code : rc;
        check->report->files++;
        check->report->entries = check->edge.size;
    }
    return rc;
}

static bool keep_note(void *context, uint64_t index, struct dom_slice note)
{
    struct check *check = context;

    (void)index;
    check->code = dom_bundle_append(&check->notes, note, check->err);
    return check->code == DOM_OK;
}

/* The whole notes of all files; what a crash tore is not one. */
static enum dom_code read_notes(struct check *check)
{
    struct dom_sinkdir_files files = {0};
    bool torn = false;

    enum dom_code rc = dom_sinkdir_list(&files, check->dir, DOM_SINKDIR_CHECKPOINTS, check->err);
    for (size_t i = 0; i < files.num && rc == DOM_OK; i++) {
        rc = dom_sinkdir_walk(check->dir, files.first[i], DOM_SINKDIR_CHECKPOINTS, keep_note, check,
                              &torn, check->err);
        rc = rc == DOM_OK ? check->code : rc;
    }
    dom_sinkdir_files_cleanup(&files);
    return rc;
}

enum dom_code dom_sinkdir_verify(const char *dir, const struct dom_note_key *keys, size_t num_keys,
                                 struct dom_sinkdir_report *report, struct dom_error *err)
{
    struct check check = {
        .dir = dir, .keys = keys, .num_keys = num_keys, .report = report, .err = err};
    struct dom_sinkdir_files files = {0};

    memset(report, 0, sizeof(*report));
    dom_edge_init(&check.edge);
    enum dom_code rc = dom_sinkdir_read_format(dir, report->origin, sizeof(report->origin), err);
    if (rc == DOM_OK) {
        rc = read_notes(&check);
    }
    if (rc == DOM_OK) {
        rc = dom_sinkdir_list(&files, dir, DOM_SINKDIR_ENTRIES, err);
    }
    if (rc == DOM_OK) {
        rc = next_head(&check);
    }
    if (rc == DOM_OK) {
        rc = check_files(&check, &files);
    }
    if (rc == DOM_OK && check.has_head) {
        rc = DOM_FAIL(err, DOM_TAMPERED,
                      "%s: %" PRIu64 " entries, but a checkpoint was signed for %" PRIu64
                      ": the copy was cut",
                      dir, check.edge.size, check.head.size);
    }
    if (rc == DOM_OK && report->checkpoints == 0) {
        rc = DOM_FAIL(err, DOM_INVALID, "%s: no checkpoint yet: nothing is proven", dir);
    }
    dom_sinkdir_files_cleanup(&files);
    dom_buffer_cleanup(&check.notes);
    return rc;
}
