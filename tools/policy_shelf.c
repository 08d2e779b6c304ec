#include "tools/policy_shelf.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "store/crypto/sha256.h"

enum dom_code dom_policy_shelf_add_file(struct dom_policy_shelf *shelf, const char *path,
                                      struct dom_error *err)
{
    uint8_t digest[DOM_SHA256_SIZE];
    struct dom_buffer text;

    if (shelf->num_paths == DOM_POLICY_SHELF_FILES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "more than %u policy files", DOM_POLICY_SHELF_FILES_MAX);
    }
    dom_buffer_init(&text, 0);
    enum dom_code rc = dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        dom_sha256(digest, dom_buffer_slice(&text));
        dom_hex_encode(shelf->sha256[shelf->num_paths], dom_slice_of(digest, sizeof(digest)));
        shelf->paths[shelf->num_paths] = strdup(path);
        rc = shelf->paths[shelf->num_paths] != NULL ? DOM_OK
                                                : DOM_FAIL(err, DOM_RESOURCE, "out of memory");
        shelf->num_paths += rc == DOM_OK ? 1U : 0U;
    }
    dom_buffer_cleanup(&text);
    return rc;
}

static bool is_policy_name(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".cfg") == 0 && name[0] != '.';
}

enum dom_code dom_policy_shelf_add_dir(struct dom_policy_shelf *shelf, const char *dir,
                                     struct dom_error *err)
{
    enum dom_code rc = DOM_OK;
    const struct dirent *entry = NULL;
    DIR *open_dir = opendir(dir);

    if (open_dir == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open the folder: %s", dir, strerror(errno));
    }
    while (rc == DOM_OK && (entry = readdir(open_dir)) != NULL) {
        char path[PATH_MAX];
        if (!is_policy_name(entry->d_name)) {
            continue;
        }
        int len = snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        rc = len > 0 && (size_t)len < sizeof(path)
                 ? dom_policy_shelf_add_file(shelf, path, err)
                 : DOM_FAIL(err, DOM_TOO_LARGE, "%s: path too long", dir);
    }
    (void)closedir(open_dir);
    return rc;
}

static enum dom_code compile(struct dom_policy_shelf *shelf, const char *path, struct dom_error *err)
{
    struct dom_policy_load_options options = {.now_ms = dom_clock_wall_ms(dom_clock_system())};
    struct dom_findings findings = {0};

    if (shelf->num_loaded == DOM_POLICY_SHELF_LOADED_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "entries of more than %u policy versions at once",
                        DOM_POLICY_SHELF_LOADED_MAX);
    }
    enum dom_code rc =
        dom_policy_load(&shelf->loaded[shelf->num_loaded], &findings, path, &options, err);
    dom_findings_cleanup(&findings);
    if (rc != DOM_OK) {
        return dom_error_prefix(err, "%s", path);
    }
    shelf->num_loaded++;
    return DOM_OK;
}

enum dom_code dom_policy_shelf_find(struct dom_policy_shelf *shelf, const struct dom_policy **policyp,
                                  struct dom_slice sha256, struct dom_error *err)
{
    *policyp = NULL;
    for (size_t i = 0; i < shelf->num_loaded; i++) {
        if (dom_slice_eq_str(sha256, dom_policy_info(shelf->loaded[i])->sha256_hex)) {
            *policyp = shelf->loaded[i];
            return DOM_OK;
        }
    }
    for (size_t i = 0; i < shelf->num_paths; i++) {
        if (dom_slice_eq_str(sha256, shelf->sha256[i])) {
            enum dom_code rc = compile(shelf, shelf->paths[i], err);
            if (rc == DOM_OK) {
                *policyp = shelf->loaded[shelf->num_loaded - 1];
            }
            return rc;
        }
    }
    return DOM_FAIL(err, DOM_NOT_FOUND, "no file at hand has this sha256");
}

void dom_policy_shelf_cleanup(struct dom_policy_shelf *shelf)
{
    for (size_t i = 0; i < shelf->num_paths; i++) {
        free(shelf->paths[i]);
    }
    for (size_t i = 0; i < shelf->num_loaded; i++) {
        dom_policy_unref(shelf->loaded[i]);
    }
    memset(shelf, 0, sizeof(*shelf));
}
