#include "tools/policy_log.h"

#include <limits.h>
#include <stdio.h>

#include "base/file.h"
#include "store/audit/checkpoint.h"

#define KEY_FILE_BYTES_MAX 4096U

static enum dom_code read_key(struct dom_note_key *key, const char *dir, struct dom_error *err)
{
    char path[PATH_MAX];
    struct dom_buffer text;

    int len = snprintf(path, sizeof(path), "%s/vkey", dir);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "%s: path too long", dir);
    }
    dom_buffer_init(&text, 0);
    enum dom_code rc = dom_file_read(&text, path, KEY_FILE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        struct dom_slice line = dom_buffer_slice(&text);
        line.len -= line.len > 0 && line.data[line.len - 1] == '\n' ? 1U : 0U;
        rc = dom_note_key_parse(key, line, err);
        rc = rc == DOM_OK ? DOM_OK : dom_error_prefix(err, "%s", path);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

enum dom_code dom_policy_log_open(struct dom_tiledir *log, const char *dir, struct dom_error *err)
{
    struct dom_checkpoint checkpoint = {0};
    struct dom_note_key key;
    struct dom_buffer note;

    dom_buffer_init(&note, 0);
    enum dom_code rc = read_key(&key, dir, err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_read_checkpoint(dir, &note, err);
    }
    if (rc == DOM_OK) {
        rc = dom_checkpoint_open(&checkpoint, dom_buffer_slice(&note), &key, 1, NULL, err);
        rc = rc == DOM_OK ? DOM_OK : dom_error_prefix(err, "%s/checkpoint", dir);
    }
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(log, dir, checkpoint.head.size, err);
    }
    dom_buffer_cleanup(&note);
    return rc;
}
