/* <data>/policy.d: the state, the policies that were taken, the root and the timestamp. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "router/service/internal.h"

#define STATE_FILE "state"
#define ROOT_FILE  "root"

static bool path_of(const struct dom_pilot *pilot, const char *file, char *out, size_t out_size)
{
    int len = snprintf(out, out_size, "%s/%s", pilot->dir, file);

    return len > 0 && (size_t)len < out_size;
}

enum dom_code dom_pilot_write(const struct dom_pilot *pilot, const char *file,
                              struct dom_slice bytes, struct dom_error *err)
{
    char path[800];

    if (!path_of(pilot, file, path, sizeof(path))) {
        return DOM_FAIL(err, DOM_INVALID, "the path of %s is too long", file);
    }
    enum dom_code rc = dom_dir_make(pilot->dir, 0700, err);
    return rc == DOM_OK ? dom_file_write_atomic(path, bytes, 0600, err) : rc;
}

enum dom_code dom_pilot_read_file(const struct dom_pilot *pilot, const char *file,
                                  struct dom_buffer *out, struct dom_error *err)
{
    char path[800];

    if (!path_of(pilot, file, path, sizeof(path))) {
        return DOM_FAIL(err, DOM_INVALID, "the path of %s is too long", file);
    }
    if (access(path, F_OK) != 0) {
        return DOM_FAIL(err, DOM_NOT_FOUND, "%s is not there", path);
    }
    return dom_file_read(out, path, DOM_POLICY_FILE_BYTES_MAX, err);
}

enum dom_code dom_pilot_save(const struct dom_pilot *pilot, const struct dom_rollout *rollout,
                             const char *name, struct dom_error *err)
{
    struct dom_buffer out = {0};

    dom_rollout_encode(rollout, dom_slice_str(name), &out);
    enum dom_code rc = out.failed
                           ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for the roll-out's state")
                           : dom_pilot_write(pilot, STATE_FILE, dom_buffer_slice(&out), err);
    dom_buffer_cleanup(&out);
    return rc;
}

enum dom_code dom_pilot_read(struct dom_pilot *pilot, char name[DOM_POLICY_NAME_BYTES_MAX + 1],
                             struct dom_error *err)
{
    struct dom_buffer bytes = {0};
    struct dom_slice found = {0};
    enum dom_code rc = dom_pilot_read_file(pilot, STATE_FILE, &bytes, err);

    if (rc == DOM_OK) {
        rc = dom_rollout_decode(&pilot->rollout, &found, dom_buffer_slice(&bytes), err);
        if (rc == DOM_OK && !dom_slice_to_cstr(found, name, DOM_POLICY_NAME_BYTES_MAX + 1)) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "the roll-out's state has a bad name");
        }
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s/" STATE_FILE, pilot->dir);
        }
    }
    dom_buffer_cleanup(&bytes);
    return rc;
}

/* "v42-<64 hex digits>.cfg" */
static void file_of(char out[128], const struct dom_rollout_version *version)
{
    char hex[65];

    dom_hex_encode(hex, dom_slice_of(version->sha256, 32));
    (void)snprintf(out, 128, "v%lld-%s.cfg", (long long)version->version, hex);
}

enum dom_code dom_pilot_keep(const struct dom_pilot *pilot, const struct dom_policy *policy,
                             struct dom_error *err)
{
    const struct dom_policy_info *info = dom_policy_info(policy);
    struct dom_rollout_version version = {.version = info->version};
    char file[128];

    memcpy(version.sha256, info->sha256, 32);
    file_of(file, &version);
    return dom_pilot_write(pilot, file, info->text, err);
}

enum dom_code dom_pilot_load(const struct dom_pilot *pilot, struct dom_policy **policyp,
                             const struct dom_rollout_version *version, int64_t now_ms,
                             struct dom_error *err)
{
    struct dom_findings findings = {0};
    struct dom_buffer text = {0};
    char file[128];

    *policyp = NULL;
    file_of(file, version);
    enum dom_code rc = dom_pilot_read_file(pilot, file, &text, err);
    if (rc == DOM_OK) {
        struct dom_policy_load_options options = {.name = file, .now_ms = now_ms};
        rc = dom_policy_compile(policyp, &findings, dom_buffer_slice(&text), &options, err);
    }
    /* The name is a promise about the bytes. */
    if (rc == DOM_OK && memcmp(dom_policy_info(*policyp)->sha256, version->sha256, 32) != 0) {
        dom_policy_unref(*policyp);
        *policyp = NULL;
        rc = DOM_FAIL(err, DOM_CORRUPT, "%s/%s has other bytes than its name says", pilot->dir,
                      file);
    }
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    return rc;
}

/* What was trusted before decides whether this one may take its place. */
static enum dom_code check_successor(struct dom_pilot *pilot, struct dom_slice bytes,
                                     struct dom_error *err)
{
    struct dom_buffer kept_bytes = {0};
    struct dom_root kept = {0};
    enum dom_code rc = dom_pilot_read_file(pilot, ROOT_FILE, &kept_bytes, err);

    if (rc == DOM_NOT_FOUND) {
        dom_error_clear(err);
        rc = dom_pilot_write(pilot, ROOT_FILE, bytes, err);
    } else if (rc == DOM_OK) {
        rc = dom_root_parse(&kept, dom_buffer_slice(&kept_bytes), err);
        if (rc == DOM_OK) {
            rc = dom_root_succeeds(&kept, &pilot->root, bytes, err);
        }
        if (rc == DOM_OK && kept.version != pilot->root.version) {
            rc = dom_pilot_write(pilot, ROOT_FILE, bytes, err);
        }
        dom_root_cleanup(&kept);
    }
    dom_buffer_cleanup(&kept_bytes);
    return rc;
}

enum dom_code dom_pilot_read_root(struct dom_pilot *pilot, const char *path, struct dom_error *err)
{
    struct dom_buffer bytes = {0};
    enum dom_code rc = dom_file_read(&bytes, path, DOM_BUNDLE_NOTE_BYTES_MAX, err);

    if (rc == DOM_OK) {
        rc = dom_root_parse(&pilot->root, dom_buffer_slice(&bytes), err);
    }
    if (rc == DOM_OK) {
        rc = check_successor(pilot, dom_buffer_slice(&bytes), err);
    }
    if (rc != DOM_OK) {
        (void)dom_error_prefix(err, "%s", path);
    }
    dom_buffer_cleanup(&bytes);
    return rc;
}
