/* domicile audit verify. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "store/audit/index.h"
#include "store/audit/tiledir.h"
#include "store/audit/verify.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

static const char *const s_own_key = "key: from the log's own folder, not independent";

static void print_text(const struct dom_audit_args *args, const struct dom_verify_result *r,
                       bool sound)
{
    char root[2 * DOM_HASH_SIZE + 1];

    dom_hex_encode(root, dom_hash_slice(&r->root));
    (void)printf("%s origin=%s size=%" PRIu64 " root=%s tiles %" PRIu64 "/%" PRIu64
                 " bundles %" PRIu64 "/%" PRIu64 " entries %" PRIu64 "/%" PRIu64,
                 sound ? "OK" : "TAMPERED", r->origin, r->head.size, root, r->num_tiles_good,
                 r->num_tiles, r->num_bundles_good, r->num_bundles, r->num_entries_good,
                 r->num_entries);
    if (r->first_entry > 0) {
        (void)printf(" from %" PRIu64, r->first_entry);
    }
    if (args->quorum != NULL) {
        (void)printf(" cosignatures %u/%u quorum %s", r->quorum.num_cosignatures,
                     r->quorum.num_witnesses, r->quorum.met ? "met" : "NOT met");
        if (r->quorum.met && r->quorum_size != r->head.size) {
            (void)printf(" at size %" PRIu64, r->quorum_size);
        }
    }
    (void)putchar('\n');
    if (!sound && r->bad_index != DOM_VERIFY_NO_INDEX) {
        (void)printf("first: index %" PRIu64 ", file %s: %s\n", r->bad_index, r->bad_path, r->why);
    } else if (!sound) {
        (void)printf("first: file %s: %s\n", r->bad_path, r->why);
    }
    if (r->old_checked) {
        (void)printf("old checkpoint: size %" PRIu64 " is the beginning of this log\n",
                     r->old_size);
    }
    if (args->own_key) {
        (void)printf("%s\n", s_own_key);
    }
    if (r->num_backwards > 0) {
        (void)printf("note: %" PRIu64 " times go backwards by over %" PRId64
                     " ms, first at index %" PRIu64 "\n",
                     r->num_backwards, args->skew_ms, r->first_backwards);
    }
    if (r->files_beyond) {
        (void)printf("note: the folder holds entries that its checkpoint does not cover\n");
    }
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void print_json(const struct dom_audit_args *args, const struct dom_verify_result *r,
                       bool sound)
{
    char root[2 * DOM_HASH_SIZE + 1];
    json_t *json = json_object();

    dom_hex_encode(root, dom_hash_slice(&r->root));
    (void)json_object_set_new(json, "ok", json_boolean(sound));
    (void)json_object_set_new(json, "origin", json_string(r->origin));
    (void)json_object_set_new(json, "size", number(r->head.size));
    (void)json_object_set_new(json, "root", json_string(root));
    (void)json_object_set_new(json, "signature", json_boolean(r->signature_good));
    (void)json_object_set_new(json, "independent_key", json_boolean(!args->own_key));
    (void)json_object_set_new(json, "tiles", number(r->num_tiles));
    (void)json_object_set_new(json, "tiles_good", number(r->num_tiles_good));
    (void)json_object_set_new(json, "bundles", number(r->num_bundles));
    (void)json_object_set_new(json, "bundles_good", number(r->num_bundles_good));
    (void)json_object_set_new(json, "entries", number(r->num_entries));
    (void)json_object_set_new(json, "entries_good", number(r->num_entries_good));
    (void)json_object_set_new(json, "first_entry", number(r->first_entry));
    (void)json_object_set_new(json, "findings", number(r->num_findings));
    (void)json_object_set_new(json, "backwards", number(r->num_backwards));
    (void)json_object_set_new(json, "files_beyond", json_boolean(r->files_beyond));
    if (args->quorum != NULL) {
        (void)json_object_set_new(json, "witnesses", json_integer(r->quorum.num_witnesses));
        (void)json_object_set_new(json, "cosignatures", json_integer(r->quorum.num_cosignatures));
        (void)json_object_set_new(json, "quorum", json_boolean(r->quorum.met));
        (void)json_object_set_new(json, "quorum_size", number(r->quorum_size));
    }
    if (r->old_checked) {
        (void)json_object_set_new(json, "old_size", number(r->old_size));
    }
    if (!sound) {
        if (r->bad_index != DOM_VERIFY_NO_INDEX) {
            (void)json_object_set_new(json, "bad_index", number(r->bad_index));
        }
        (void)json_object_set_new(json, "bad_file", json_string(r->bad_path));
        (void)json_object_set_new(json, "why", json_string(r->why));
    }
    (void)json_dumpf(json, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    (void)putchar('\n');
    json_decref(json);
}

enum dom_code dom_audit_check_log(const struct dom_audit_args *args, struct dom_slice checkpoint,
                                  struct dom_error *err)
{
    struct dom_audit_progress progress;
    struct dom_verify_result result;
    struct dom_verify_options options = {.dir = args->log,
                                         .keys = args->keys,
                                         .num_keys = args->num_keys,
                                         .checkpoint = checkpoint,
                                         .skew_ms = INT64_MAX,
                                         .progress = dom_audit_progress_show,
                                         .progress_arg = &progress};

    dom_audit_progress_init(&progress);
    enum dom_code rc = dom_log_verify(&options, &result, err);
    dom_audit_progress_end(&progress);
    return rc;
}

/* The index beside the log: what it says not to be there would not be found by a query. */
static enum dom_code check_index(const struct dom_audit_args *args, uint64_t size,
                                 struct dom_error *err)
{
    struct dom_audit_progress progress;
    struct dom_index_verify_result result;
    struct dom_tiledir tiledir = {0};

    dom_audit_progress_init(&progress);
    enum dom_code rc = dom_tiledir_init(&tiledir, args->log, size, err);
    if (rc == DOM_OK) {
        rc = dom_index_verify(&tiledir, &result, dom_audit_progress_show, &progress, err);
    }
    dom_audit_progress_end(&progress);
    if (rc == DOM_OK) {
        (void)fprintf(args->json ? stderr : stdout,
                      "index: %" PRIu64 " files, %" PRIu64 " of %" PRIu64 " full bundles\n",
                      result.num_files, result.num_indexed, result.num_bundles);
    }
    dom_tiledir_cleanup(&tiledir);
    return rc;
}

/* Sleeps until the bytes so far may have been read. */
struct slow {
    uint64_t rate;
    uint64_t begin_us;
    uint64_t bytes;
};

static bool spend(void *context, size_t bytes)
{
    struct slow *slow = context;

    slow->bytes += bytes;
    uint64_t due = dom_pace_due_us(slow->begin_us, slow->bytes, slow->rate);
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());
    if (due > now) {
        struct timespec pause = {.tv_sec = (time_t)((due - now) / 1000000),
                                 .tv_nsec = (long)((due - now) % 1000000) * 1000};
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

int dom_audit_verify(struct dom_audit_args *args)
{
    struct dom_audit_progress progress;
    struct slow slow = {.rate = args->rate,
                        .begin_us = dom_clock_monotonic_us(dom_clock_system())};
    struct dom_pace pace = {.spend = args->rate == 0 ? NULL : spend, .context = &slow};
    struct dom_verify_result result;
    struct dom_buffer old = {0};
    struct dom_buffer cosigned = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_FAILED;

    if (args->log != NULL && dom_audit_is_copy(args->log)) {
        return dom_audit_verify_copy(args);
    }
    dom_audit_progress_init(&progress);
    enum dom_code rc = dom_audit_take_policy(args, &err);
    if (rc == DOM_OK) {
        rc = dom_audit_need_key(args, &err);
    }
    if (rc == DOM_OK && args->quorum != NULL) {
        rc = dom_tiledir_read_cosigned(args->log, &cosigned, &err);
    }
    if (rc == DOM_OK && args->old != NULL) {
        rc = dom_file_read(&old, args->old, DOM_CHECKPOINT_BYTES_MAX, &err);
        if (rc == DOM_OK && old.len == 0) {
            /* No bytes would mean no checkpoint to the verifier: a comparison not made. */
            rc = DOM_FAIL(&err, DOM_INVALID, "%s is empty, not a checkpoint", args->old);
        }
    }
    if (rc != DOM_OK) {
        status = dom_audit_complain(args, &err);
        goto out;
    }
    struct dom_verify_options options = {.dir = args->log,
                                         .keys = args->keys,
                                         .num_keys = args->num_keys,
                                         .old_checkpoint = dom_buffer_slice(&old),
                                         .quorum = args->quorum,
                                         .cosigned = dom_buffer_slice(&cosigned),
                                         .skew_ms = args->skew_ms,
                                         .pace = &pace,
                                         .progress = dom_audit_progress_show,
                                         .progress_arg = &progress};
    rc = dom_log_verify(&options, &result, &err);
    dom_audit_progress_end(&progress);
    if (rc != DOM_OK && result.num_findings == 0) {
        status = dom_audit_complain(args, &err);
        goto out;
    }
    if (args->json) {
        print_json(args, &result, rc == DOM_OK);
    } else {
        print_text(args, &result, rc == DOM_OK);
    }
    status = rc == DOM_OK ? DOM_EXIT_OK : DOM_EXIT_FAILED;
    if (rc == DOM_OK && args->check_index &&
        check_index(args, result.head.size, &err) != DOM_OK) {
        status = dom_audit_complain(args, &err);
    }
out:
    dom_buffer_cleanup(&old);
    dom_buffer_cleanup(&cosigned);
    return status;
}
