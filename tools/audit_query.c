/* domicile audit query, index and hash. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/macros.h"
#include "store/audit/index.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

#define HASH_PREFIX "hmac:"

/* ---- keyed hashes --------------------------------------------------------------------------- */

/* The region that a key file says it is of; its second line. */
static enum dom_code region_of(const char *path, char *region, size_t region_size,
                               struct dom_error *err)
{
    static const char s_mark[] = "\nregion ";
    struct dom_buffer text = {0};

    enum dom_code rc = dom_file_read_secret(&text, path, DOM_KEY_FILE_BYTES_MAX, err);
    const char *all = rc == DOM_OK ? dom_buffer_cstr(&text) : NULL;
    const char *at = all == NULL ? NULL : strstr(all, s_mark);
    const char *end = at == NULL ? NULL : strchr(at + 1, '\n');
    if (end != NULL) {
        at += sizeof(s_mark) - 1;
    }
    if (rc == DOM_OK && (end == NULL || !dom_slice_to_cstr(dom_slice_of(at, (size_t)(end - at)),
                                                           region, region_size))) {
        rc = DOM_FAIL(err, DOM_PARSE, "%s: it is no key file of a region", path);
    }
    if (text.len > 0) {
        explicit_bzero(text.data, text.len);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

/* "KIND/ID" under every subject key of the file, the newest first. */
struct hashes {
    size_t num;
    char texts[DOM_KEY_EPOCHS_MAX][DOM_SUBJECT_HASH_SIZE];
};

static enum dom_code open_keys(const struct dom_audit_args *args, struct dom_keyring **ringp,
                               struct dom_error *err)
{
    char region[DOM_POLICY_NAME_BYTES_MAX + 1];

    enum dom_code rc = region_of(args->keys_file, region, sizeof(region), err);
    return rc == DOM_OK ? dom_keyring_open(ringp, args->keys_file, region, false, err) : rc;
}

static enum dom_code hash_subject(const struct dom_audit_args *args, const char *text,
                                  struct hashes *out, struct dom_error *err)
{
    struct dom_keyring *ring = NULL;
    const char *slash = strchr(text, '/');

    if (slash == NULL || slash == text || slash[1] == '\0') {
        return DOM_FAIL(err, DOM_INVALID, "KIND/ID is wanted, such as user/anna, not \"%s\"", text);
    }
    if (args->keys_file == NULL) {
        return DOM_FAIL(err, DOM_INVALID,
                        "--keys is wanted, the region's key file: the log names \"%s\" by a keyed "
                        "hash",
                        text);
    }
    enum dom_code rc = open_keys(args, &ring, err);
    out->num = rc == DOM_OK ? dom_keyring_num_subjects(ring) : 0;
    for (size_t i = 0; i < out->num; i++) {
        uint32_t epoch = 0;
        const struct dom_hmac_key *key = dom_keyring_subject_at(ring, out->num - 1 - i, &epoch);
        dom_subject_hash(out->texts[i], key, epoch, dom_slice_of(text, (size_t)(slash - text)),
                         dom_slice_str(slash + 1));
    }
    dom_keyring_destroy(ring);
    return rc;
}

int dom_audit_hash(struct dom_audit_args *args)
{
    struct hashes hashes;
    struct dom_error err = {0};

    if (hash_subject(args, args->file, &hashes, &err) != DOM_OK) {
        return dom_audit_complain(args, &err);
    }
    for (size_t i = 0; i < hashes.num; i++) {
        (void)printf(args->json ? "{\"hash\":\"%s\"}\n" : "%s\n", hashes.texts[i]);
    }
    return DOM_EXIT_OK;
}

int dom_audit_rotate_subject(struct dom_audit_args *args)
{
    struct dom_keyring *ring = NULL;
    struct dom_error err = {0};
    uint32_t epoch = 0;

    enum dom_code rc = open_keys(args, &ring, &err);
    if (rc == DOM_OK) {
        rc = dom_keyring_rotate_subject(ring, &epoch, &err);
    }
    dom_keyring_destroy(ring);
    if (rc != DOM_OK) {
        return dom_audit_complain(args, &err);
    }
    (void)printf("subject epoch %u; the router uses it from its next start on\n", (unsigned)epoch);
    return DOM_EXIT_OK;
}

int dom_audit_destroy_subject(struct dom_audit_args *args)
{
    struct dom_keyring *ring = NULL;
    struct dom_error err = {0};

    enum dom_code rc = open_keys(args, &ring, &err);
    if (rc == DOM_OK) {
        rc = dom_keyring_destroy_subject(ring, (uint32_t)args->epoch, &err);
    }
    dom_keyring_destroy(ring);
    if (rc != DOM_OK) {
        return dom_audit_complain(args, &err);
    }
    (void)printf("subject epoch %u is destroyed in this file; destroy its backups too\n",
                 (unsigned)args->epoch);
    return DOM_EXIT_OK;
}

static enum dom_code add_hash(struct dom_export_filter *filter, const char *hash,
                              struct dom_error *err)
{
    if (filter->num_where == DOM_EXPORT_WHERE_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "filter: over %u conditions", DOM_EXPORT_WHERE_MAX);
    }
    filter->where[filter->num_where++] =
        (struct dom_export_where){.key = DOM_EXPORT_subject, .value = dom_slice_str(hash)};
    return DOM_OK;
}

enum dom_code dom_audit_add_subject(struct dom_audit_args *args, struct dom_error *err)
{
    struct hashes hashes = {0};

    if (args->subject == NULL) {
        return DOM_OK;
    }
    if (strncmp(args->subject, HASH_PREFIX, sizeof(HASH_PREFIX) - 1) == 0) {
        return add_hash(&args->filter, args->subject, err);
    }
    enum dom_code rc = hash_subject(args, args->subject, &hashes, err);
    memcpy(args->subject_hashes, hashes.texts, sizeof(hashes.texts));
    for (size_t i = 0; rc == DOM_OK && i < hashes.num; i++) {
        rc = add_hash(&args->filter, args->subject_hashes[i], err);
    }
    return rc;
}

/* ---- query ---------------------------------------------------------------------------------- */

struct query {
    struct dom_audit_args *args;
    uint64_t num_found;
};

static enum dom_code take_row(void *arg, uint64_t index, struct dom_slice entry,
                              const struct dom_entry_head *head, struct dom_error *err)
{
    struct query *q = arg;

    enum dom_code rc = dom_audit_print_entry(q->args, index, entry, head, err);
    if (rc == DOM_OK && (q->num_found++ == 0 || q->num_found == q->args->lines)) {
        /* The first row is seen at once; behind the last the walk ends. */
        if (fflush(stdout) != 0) {
            rc = DOM_FAIL(err, DOM_IO, "cannot write");
        } else if (q->num_found == q->args->lines) {
            rc = DOM_FAIL(err, DOM_EXISTS, "enough");
        }
    }
    return rc;
}

static void tell_cost(const struct query *q, uint64_t size, const struct dom_log_walk_stats *stats)
{
    (void)fprintf(stderr,
                  "%" PRIu64 " of %" PRIu64 " entries; %" PRIu64 " bundles read, %" PRIu64
                  " skipped by the index\n",
                  q->num_found, size, stats->bundles_read, stats->bundles_skipped);
    if (stats->bundles_unindexed > DOM_INDEX_LAG && !q->args->no_index) {
        (void)fprintf(stderr,
                      "%" PRIu64
                      " bundles are in no index and were read: domicile audit index "
                      "makes it\n",
                      stats->bundles_unindexed);
    }
}

int dom_audit_query(struct dom_audit_args *args)
{
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_log_walk_stats stats = {0};
    struct dom_audit_progress progress;
    struct dom_buffer note = {0};
    struct dom_error err = {0};
    struct query query = {.args = args};

    args->lines = args->has_lines ? args->lines : UINT64_MAX;
    dom_audit_progress_init(&progress);
    progress.wanted = false; /* rows go to the same terminal */
    struct dom_log_walk walk = {.tiledir = &tiledir,
                                .filter = &args->filter,
                                .use_index = !args->no_index,
                                .stats = &stats};
    enum dom_code rc = dom_audit_add_subject(args, &err);
    if (rc == DOM_OK) {
        rc = dom_audit_open_log(args, &note, &checkpoint, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, &err);
    }
    if (rc == DOM_OK && args->lines > 0) {
        rc = dom_log_walk(&walk, take_row, &query, &err);
        rc = rc == DOM_EXISTS ? DOM_OK : rc;
    }
    if (rc == DOM_OK && fflush(stdout) != 0) {
        rc = DOM_FAIL(&err, DOM_IO, "cannot write");
    }
    if (rc == DOM_OK) {
        tell_cost(&query, tiledir.size, &stats);
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_audit_complain(args, &err);
}

/* ---- index ---------------------------------------------------------------------------------- */

int dom_audit_index(struct dom_audit_args *args)
{
    struct dom_index_writer writer = {0};
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_audit_progress progress;
    struct dom_buffer note = {0};
    struct dom_error err = {0};
    bool done = false;

    dom_audit_progress_init(&progress);
    enum dom_code rc = dom_audit_open_log(args, &note, &checkpoint, &err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, &err);
    }
    while (rc == DOM_OK && !done) {
        rc = dom_index_writer_run(&writer, &tiledir, DOM_INDEX_GROUP, true, &done, &err);
        dom_audit_progress_show(&progress, writer.next * DOM_TILE_WIDTH, tiledir.size);
    }
    dom_audit_progress_end(&progress);
    if (rc == DOM_OK) {
        (void)printf(args->json ? "{\"bundles\":%" PRIu64 ",\"files_written\":%" PRIu64 "}\n"
                                : "index tells of %" PRIu64 " full bundles; %" PRIu64
                                  " files written\n",
                     writer.written, writer.num_files);
    }
    dom_index_writer_cleanup(&writer);
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_audit_complain(args, &err);
}
