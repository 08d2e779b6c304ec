/* What lies on disk around the database, and what the database says of itself: whose it is, of
 * which format, how often it was opened. */
#include <errno.h>
#include <limits.h>
#include <openssl/rand.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "store/audit/event.h"
#include "store/region/region_internal.h"

#define FORMAT_FILE_BYTES_MAX 1024U

/* A region's name becomes a folder and a part of the log's origin. */
static bool name_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > DOM_POLICY_NAME_BYTES_MAX || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return strcmp(name, "keys") != 0 && strcmp(name, "LOCK") != 0;
}

static enum dom_code check_format_text(const struct dom_region *region, const char *path,
                                       struct dom_slice text, struct dom_error *err)
{
    char copy[FORMAT_FILE_BYTES_MAX + 1];
    char name[DOM_POLICY_NAME_BYTES_MAX + 1];
    unsigned version = 0;
    char end = '\0';

    if (!dom_slice_to_cstr(text, copy, sizeof(copy)) ||
        sscanf(copy, "domicile-store %9u\nregion %128[^\n]%c", &version, name, &end) != 3 ||
        end != '\n') {
        return DOM_FAIL(err, DOM_FORMAT, "%s: not written by Domicile", path);
    }
    if (version != DOM_STORE_FORMAT) {
        return DOM_FAIL(err, DOM_FORMAT, "%s: data of format %u; this version knows %u", path,
                        version, DOM_STORE_FORMAT);
    }
    if (strcmp(name, region->name) != 0) {
        return DOM_FAIL(err, DOM_FORMAT, "%s: data of region %s, not of %s", path, name,
                        region->name);
    }
    return DOM_OK;
}

static enum dom_code check_format_file(const struct dom_region *region, bool has_data,
                                       struct dom_error *err)
{
    char path[PATH_MAX];
    struct stat st;
    struct dom_buffer text = {0};
    enum dom_code rc = DOM_OK;

    (void)snprintf(path, sizeof(path), "%s/FORMAT", region->dir);
    if (lstat(path, &st) == 0) {
        rc = dom_file_read(&text, path, FORMAT_FILE_BYTES_MAX, err);
        if (rc == DOM_OK) {
            rc = check_format_text(region, path, dom_buffer_slice(&text), err);
        }
    } else if (has_data) {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s is missing, but the folder holds a database", path);
    } else {
        dom_buffer_printf(&text, "domicile-store %u\nregion %s\n", DOM_STORE_FORMAT, region->name);
        rc = dom_file_write_atomic(path, dom_buffer_slice(&text), 0600, err);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

enum dom_code dom_region_prepare_files(struct dom_region *region, char *db_path,
                                       size_t db_path_size, struct dom_error *err)
{
    const struct dom_store_options *options = &region->host->options;
    char path[PATH_MAX];
    struct stat st;

    if (!name_valid(region->name)) {
        return DOM_FAIL(err, DOM_INVALID, "region name \"%.128s\": 1 to %u of A-Z a-z 0-9 - _ .",
                        region->name, DOM_POLICY_NAME_BYTES_MAX);
    }
    int len = snprintf(path, sizeof(path), "%s/%s", options->data_dir, region->name);
    if (len < 0 || (size_t)len + 64 >= sizeof(path) || (size_t)len + 64 >= db_path_size) {
        return DOM_FAIL(err, DOM_INVALID, "data folder's name is too long");
    }
    region->dir = strdup(path);
    DOM_ASSERT(region->dir != NULL);
    (void)snprintf(db_path, db_path_size, "%s/db", region->dir);
    (void)snprintf(path, sizeof(path), "%s/db/CURRENT", region->dir);
    bool has_data = lstat(path, &st) == 0;
    enum dom_code rc = dom_dir_make(region->dir, 0700, err);
    if (rc == DOM_OK) {
        rc = check_format_file(region, has_data, err);
    }
    if (rc == DOM_OK) {
        rc = dom_dir_make(options->key_dir, 0700, err);
    }
    if (rc == DOM_OK) {
        rc = dom_dir_make(db_path, 0700, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    (void)snprintf(path, sizeof(path), "%s/%s.key", options->key_dir, region->name);
    return dom_keyring_open(&region->keys, path, region->name, !has_data, err);
}

static enum dom_code get_u64(struct dom_region *region, const char *name, uint64_t *out,
                             struct dom_error *err)
{
    struct dom_db_value value;

    *out = 0;
    enum dom_code rc = dom_db_get(region->db, DOM_DB_META, dom_slice_str(name), &value, err);
    if (rc == DOM_NOT_FOUND) {
        return DOM_OK;
    }
    if (rc == DOM_OK && value.bytes.len != 8) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "region %s: meta %s is damaged", region->name, name);
    } else if (rc == DOM_OK) {
        *out = dom_get_u64be(value.bytes.data);
    }
    dom_db_value_release(&value);
    return rc;
}

static void put_u64(struct dom_region *region, rocksdb_writebatch_t *batch, const char *name,
                    uint64_t number)
{
    uint8_t value[8];

    dom_put_u64be(value, number);
    dom_db_batch_put(region->db, batch, DOM_DB_META, dom_slice_str(name),
                     dom_slice_of(value, sizeof(value)));
}

/* Sealed data opened as plain, or the other way, would look like no data at all. */
static enum dom_code check_plain(struct dom_region *region, struct dom_error *err)
{
    uint64_t plain = 0;

    enum dom_code rc = get_u64(region, "plain", &plain, err);
    if (rc == DOM_OK && (plain != 0) != region->host->options.test_plain) {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s: the data is %s, test_plain is %s", region->dir,
                      plain != 0 ? "not encrypted" : "encrypted", plain != 0 ? "false" : "true");
    }
    return rc;
}

/* The database says it too: FORMAT could have come from another folder. */
enum dom_code dom_region_check_meta(struct dom_region *region, struct dom_error *err)
{
    struct dom_db_value value;
    uint64_t format = 0;
    uint64_t boot = 0;

    enum dom_code rc = get_u64(region, "format", &format, err);
    if (rc == DOM_OK) {
        rc = get_u64(region, "boot", &boot, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    rc = dom_db_get(region->db, DOM_DB_META, DOM_SLICE_LIT("region"), &value, err);
    bool fresh = rc == DOM_NOT_FOUND;
    if (rc == DOM_OK && !dom_slice_eq_str(value.bytes, region->name)) {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s: the database is region %.*s's, not %s's", region->dir,
                      (int)(value.bytes.len > 128 ? 128 : value.bytes.len),
                      (const char *)value.bytes.data, region->name);
    }
    dom_db_value_release(&value);
    if (!fresh && rc == DOM_OK && format != DOM_STORE_FORMAT) {
        rc = DOM_FAIL(err, DOM_FORMAT, "%s: database of format %llu; this version knows %u",
                      region->dir, (unsigned long long)format, DOM_STORE_FORMAT);
    }
    if (!fresh && rc == DOM_OK) {
        rc = check_plain(region, err);
    }
    if (rc != DOM_OK && !fresh) {
        return rc;
    }
    /* A nonce is boot counter || counter: the boot number is durable before it is used. */
    if (boot >= UINT32_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "region %s was opened too often: rotate the data key",
                        region->name);
    }
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    put_u64(region, batch, "format", DOM_STORE_FORMAT);
    put_u64(region, batch, "boot", boot + 1);
    put_u64(region, batch, "plain", region->host->options.test_plain ? 1 : 0);
    dom_db_batch_put(region->db, batch, DOM_DB_META, DOM_SLICE_LIT("region"),
                     dom_slice_str(region->name));
    rc = dom_db_write(region->db, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    region->boot = (uint32_t)(boot + 1);
    return rc;
}

/* Also after a reopening: an entry whose write failed may be there all the same. */
enum dom_code dom_region_load_outbox(struct dom_region *region, struct dom_error *err)
{
    uint64_t trimmed = 0;
    uint64_t last = 0;

    enum dom_code rc = get_u64(region, "outbox", &trimmed, err);
    if (rc != DOM_OK) {
        return rc;
    }
    rocksdb_iterator_t *iter = dom_db_iter(region->db, DOM_DB_OUTBOX);
    rocksdb_iter_seek_to_last(iter);
    if (rocksdb_iter_valid(iter)) {
        struct dom_slice key = dom_db_iter_key(iter);
        last = key.len == 8 ? dom_get_u64be(key.data) : 0;
        rc = last == 0 ? DOM_FAIL(err, DOM_CORRUPT, "region %s: bad outbox key", region->name)
                       : DOM_OK;
    } else {
        rc = dom_db_iter_check(iter, err);
    }
    rocksdb_iter_destroy(iter);
    uint64_t tail = last > trimmed ? last : trimmed;
    if (rc == DOM_OK && tail < atomic_load(&region->tail)) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "region %s lost durable outbox entries", region->name);
    }
    if (rc == DOM_OK) {
        if (atomic_load(&region->trimmed) < trimmed) {
            atomic_store(&region->trimmed, trimmed);
        }
        if (atomic_load(&region->done_seq) < trimmed) {
            atomic_store(&region->done_seq, trimmed);
        }
        atomic_store(&region->tail, tail);
        region->group.next_seq = tail + 1;
    }
    return rc;
}

enum dom_code dom_region_load_departed(struct dom_region *region, struct dom_error *err)
{
    uint64_t departed = 0;

    enum dom_code rc = get_u64(region, "departed", &departed, err);
    atomic_store(&region->departed_ms, (int64_t)departed);
    return rc;
}

/* ---- control entries ---------------------------------------------------------------------- */

static void control_done(struct dom_region_job *job)
{
    DOM_ASSERT(sem_post(job->owner) == 0);
}

enum dom_code dom_region_run_job(struct dom_region *region, struct dom_region_job *job,
                                 struct dom_error *err)
{
    sem_t sem;

    DOM_ASSERT(sem_init(&sem, 0, 0) == 0);
    job->done = control_done;
    job->owner = &sem;
    enum dom_code rc = dom_region_submit_job(region, job, err);
    if (rc == DOM_OK) {
        while (sem_wait(&sem) != 0) {
            DOM_ASSERT(errno == EINTR);
        }
        if (job->code != DOM_OK) {
            rc = DOM_FAIL(err, job->code, "region %s: it cannot be written now: %s", region->name,
                          dom_code_text(job->code));
        }
    }
    (void)sem_destroy(&sem);
    return rc;
}

static enum dom_code submit_and_wait(struct dom_region *region, struct dom_slice entry,
                                     bool purge_done, struct dom_error *err)
{
    struct dom_region_job job = {.type = DOM_JOB_ENTRY, .entry = entry, .purge_done = purge_done};

    return dom_region_run_job(region, &job, err);
}

enum dom_code dom_region_clear_purge(struct dom_region *region, struct dom_error *err)
{
    return submit_and_wait(region, dom_slice_of(NULL, 0), true, err);
}

enum dom_code dom_region_encode_control(struct dom_region *region, int type,
                                        const struct dom_region_control *control,
                                        struct dom_buffer *out, struct dom_error *err)
{
    char host[256] = "";
    uint8_t random[10];
    struct dom_audit_event event = {.type = (enum dom_audit_type)type,
                                    .time_ms = dom_clock_wall_ms(region->host->options.clock),
                                    .origin = dom_slice_str(dom_audit_log_origin(region->log)),
                                    .details = control->details,
                                    .num_details = control->num_details};

    (void)gethostname(host, sizeof(host) - 1);
    event.router.instance = dom_slice_str(host);
    event.router.region = dom_slice_str(region->name);
    event.router.build = DOM_SLICE_LIT("store");
    event.policy.index = -1;
    if (control->placement != NULL) {
        event.policy.name = dom_slice_str(control->placement->name);
        event.policy.version = control->placement->version;
        event.policy.sha256 = dom_slice_str(control->placement->sha256);
        if (region->host->options.policy_index != NULL) {
            event.policy.index = region->host->options.policy_index(region->host->options.context,
                                                                    region->number);
        }
    }
    if (RAND_bytes(random, sizeof(random)) != 1 ||
        RAND_bytes(event.nonce, sizeof(event.nonce)) != 1) {
        return DOM_FAIL(err, DOM_INTERNAL, "no random bytes");
    }
    dom_audit_uuid7(event.id, event.time_ms, random);
    return dom_audit_event_encode(&event, out, err);
}

enum dom_code dom_region_append_more(struct dom_region *region, int type,
                                     const struct dom_region_control *control,
                                     struct dom_error *err)
{
    struct dom_buffer entry = {.limit = DOM_ENTRY_BYTES_MAX};

    enum dom_code rc = dom_region_encode_control(region, type, control, &entry, err);
    if (rc == DOM_OK) {
        rc = submit_and_wait(region, dom_buffer_slice(&entry), control->purge_done, err);
    }
    dom_buffer_cleanup(&entry);
    return rc;
}

enum dom_code dom_region_append_control(struct dom_region *region, int type,
                                        const struct dom_audit_detail *details, size_t num_details,
                                        struct dom_error *err)
{
    struct dom_region_control control = {.details = details, .num_details = num_details};

    return dom_region_append_more(region, type, &control, err);
}

/* ---- epochs of the subject key ---- */

#define SUBJECTS "subjects"

/* The epochs that this data was opened with last: u32 each. */
static enum dom_code known_epochs(struct dom_region *region, uint32_t *out, size_t *countp,
                                  struct dom_error *err)
{
    struct dom_db_value value;

    *countp = 0;
    enum dom_code rc =
        dom_db_get(region->db, DOM_DB_META, DOM_SLICE_LIT(SUBJECTS), &value, err);
    if (rc == DOM_OK && (value.bytes.len % 4 != 0 || value.bytes.len > 4 * DOM_KEY_EPOCHS_MAX)) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "region %s: meta " SUBJECTS " is damaged", region->name);
    }
    for (size_t at = 0; rc == DOM_OK && at < value.bytes.len; at += 4) {
        out[(*countp)++] = dom_get_u32be(value.bytes.data + at);
    }
    dom_db_value_release(&value);
    return rc == DOM_NOT_FOUND ? DOM_OK : rc;
}

static bool has_epoch(const uint32_t *epochs, size_t count, uint32_t epoch)
{
    for (size_t i = 0; i < count; i++) {
        if (epochs[i] == epoch) {
            return true;
        }
    }
    return false;
}

static enum dom_code tell_epoch(struct dom_region *region, const char *action, uint32_t epoch,
                                struct dom_error *err)
{
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("action"), .text = dom_slice_str(action)},
        {.name = DOM_SLICE_LIT("epoch"), .integer = epoch, .is_integer = true},
        {.name = DOM_SLICE_LIT("key"), .text = DOM_SLICE_LIT("subject")},
    };

    return dom_region_append_control(region, DOM_AUDIT_KEY, details, DOM_ARRAY_LEN(details), err);
}

static enum dom_code store_epochs(struct dom_region *region, const uint32_t *epochs, size_t count,
                                  struct dom_error *err)
{
    uint8_t value[4 * DOM_KEY_EPOCHS_MAX];

    for (size_t i = 0; i < count; i++) {
        dom_put_u32be(value + 4 * i, epochs[i]);
    }
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    dom_db_batch_put(region->db, batch, DOM_DB_META, DOM_SLICE_LIT(SUBJECTS),
                     dom_slice_of(value, 4 * count));
    enum dom_code rc = dom_db_write(region->db, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    return rc;
}

/* An epoch that is new, or destroyed, since the last start is an entry; one that has gone without
 * the mark stops the start. The entry is durable before it counts as told. */
static enum dom_code follow_epochs(struct dom_region *region, struct dom_error *err)
{
    uint32_t known[DOM_KEY_EPOCHS_MAX];
    uint32_t now[DOM_KEY_EPOCHS_MAX];
    size_t num_known = 0;
    size_t num_now = dom_keyring_num_subjects(region->keys);
    bool changed = false;

    enum dom_code rc = known_epochs(region, known, &num_known, err);
    for (size_t i = 0; i < num_now; i++) {
        (void)dom_keyring_subject_at(region->keys, i, &now[i]);
    }
    for (size_t i = 0; rc == DOM_OK && i < num_known; i++) {
        if (has_epoch(now, num_now, known[i])) {
            continue;
        }
        changed = true;
        rc = dom_keyring_subject_destroyed(region->keys, known[i])
                 ? tell_epoch(region, "destroyed", known[i], err)
                 : DOM_FAIL(err, DOM_FORMAT,
                            "region %s: epoch %u of the subject key is not in its key file; put "
                            "the file back, or destroy the epoch with domicile audit "
                            "destroy-subject",
                            region->name, (unsigned)known[i]);
    }
    for (size_t i = 0; rc == DOM_OK && i < num_now; i++) {
        bool is_new = !has_epoch(known, num_known, now[i]);
        changed = changed || is_new;
        if (is_new && num_known > 0) {
            rc = tell_epoch(region, "rotated", now[i], err);
        }
    }
    return rc == DOM_OK && changed ? store_epochs(region, now, num_now, err) : rc;
}

enum dom_code dom_region_start_log(struct dom_region *region, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("format"), .integer = DOM_STORE_FORMAT, .is_integer = true},
        {.name = DOM_SLICE_LIT("vkey"), .text = dom_slice_str(dom_audit_log_vkey(region->log))},
    };

    if (dom_audit_log_size(region->log) == 0) {
        rc = dom_region_append_control(region, DOM_AUDIT_GENESIS, details, DOM_ARRAY_LEN(details),
                                       err);
    }
    return rc == DOM_OK ? follow_epochs(region, err) : rc;
}

/* ---- second copies ------------------------------------------------------------------------ */

static struct dom_slice sink_key(char out[DOM_POLICY_NAME_BYTES_MAX + 8], const char *name)
{
    int len = snprintf(out, DOM_POLICY_NAME_BYTES_MAX + 8, "sink:%s", name);

    return dom_slice_of(out, (size_t)len);
}

enum dom_code dom_region_sink_fresh(struct dom_region *region, const char *name, bool *freshp,
                                    struct dom_error *err)
{
    char key[DOM_POLICY_NAME_BYTES_MAX + 8];
    struct dom_db_value value;

    *freshp = false;
    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    enum dom_code rc = dom_db_get(region->db, DOM_DB_META, sink_key(key, name), &value, err);
    dom_db_value_release(&value);
    dom_db_leave(region->db);
    *freshp = rc == DOM_NOT_FOUND;
    return rc == DOM_NOT_FOUND ? DOM_OK : rc;
}

enum dom_code dom_region_sink_begun(struct dom_region *region, const char *name,
                                    struct dom_error *err)
{
    char key[DOM_POLICY_NAME_BYTES_MAX + 8];

    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    dom_db_batch_put(region->db, batch, DOM_DB_META, sink_key(key, name), dom_slice_of("", 0));
    enum dom_code rc = dom_db_write(region->db, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    dom_db_leave(region->db);
    return rc;
}
