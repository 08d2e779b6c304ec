/* domicile audit prove and check-proof. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/file.h"
#include "store/audit/proof.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

static enum dom_code keep_index(void *arg, uint64_t index, struct dom_slice entry,
                                const struct dom_entry_head *head, struct dom_error *err)
{
    uint64_t *found = arg;
    (void)entry;
    (void)head;
    *found = index;
    return DOM_FAIL(err, DOM_EXISTS, "found"); /* Ends the walk. */
}

static enum dom_code find_id(const struct dom_tiledir *tiledir, const char *id, uint64_t *index,
                             struct dom_error *err)
{
    struct dom_export_filter filter;

    dom_export_filter_init(&filter);
    filter.where[0] = (struct dom_export_where){.key = DOM_EXPORT_id, .value = dom_slice_str(id)};
    filter.num_where = 1;
    struct dom_log_walk walk = {.tiledir = tiledir, .filter = &filter, .use_index = true};
    enum dom_code rc = dom_log_walk(&walk, keep_index, index, err);
    if (rc == DOM_OK) {
        walk.use_index = false; /* nothing is said to be absent on an index's word */
        rc = dom_log_walk(&walk, keep_index, index, err);
    }
    if (rc == DOM_OK) {
        return DOM_FAIL(err, DOM_NOT_FOUND, "no entry has the id %s", id);
    }
    return rc == DOM_EXISTS ? DOM_OK : rc;
}

static enum dom_code read_entry(const struct dom_tiledir *tiledir, uint64_t index,
                                struct dom_buffer *bundle, struct dom_slice *entry,
                                struct dom_error *err)
{
    struct dom_bundle_iter iter;
    unsigned count = 0;
    bool done = false;

    enum dom_code rc =
        dom_tiledir_read_bundle(tiledir, index / DOM_TILE_WIDTH, bundle, &count, NULL, err);
    dom_bundle_iter_init(&iter, dom_buffer_slice(bundle));
    for (uint64_t i = 0; rc == DOM_OK && i <= index % DOM_TILE_WIDTH; i++) {
        rc = dom_bundle_next(&iter, entry, &done, err);
        if (rc == DOM_OK && done) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "the bundle has no entry %llu",
                          (unsigned long long)index);
        }
    }
    return rc;
}

static enum dom_code write_out(const char *path, struct dom_slice bytes, struct dom_error *err)
{
    if (path != NULL) {
        return dom_file_write_atomic(path, bytes, 0644, err);
    }
    if (fwrite(bytes.data, 1, bytes.len, stdout) != bytes.len || fflush(stdout) != 0) {
        return DOM_FAIL(err, DOM_IO, "cannot write: %s", strerror(errno));
    }
    return DOM_OK;
}

/* Checks the proof that was just made: what is handed out does convince. */
static enum dom_code check_own(const struct dom_audit_args *args, struct dom_slice bytes,
                               struct dom_error *err)
{
    struct dom_proof_file file;
    struct dom_checkpoint checkpoint;
    struct dom_hash leaf;

    enum dom_code rc = dom_proof_file_parse(&file, bytes, err);
    if (rc == DOM_OK) {
        rc = dom_proof_file_check(&file, dom_slice_of(NULL, 0), args->keys, args->num_keys,
                                  &checkpoint, &leaf, err);
        dom_proof_file_cleanup(&file);
    }
    return rc;
}

/* Takes checkpoint.cosigned when it covers the entry: who trusts nobody's word alone wants the
 * outside witnesses' lines in the proof. It is a checkpoint of the same log, a little older. */
static enum dom_code prefer_cosigned(struct dom_audit_args *args, struct dom_buffer *note,
                                     struct dom_checkpoint *checkpoint, struct dom_error *err)
{
    struct dom_buffer bytes = {0};
    struct dom_checkpoint cosigned = {0};
    bool must = args->which != NULL && strcmp(args->which, "cosigned") == 0;

    if (args->which != NULL && strcmp(args->which, "newest") == 0) {
        return DOM_OK;
    }
    enum dom_code rc = dom_tiledir_read_cosigned(args->log, &bytes, err);
    if (rc == DOM_OK && bytes.len > 0) {
        rc = dom_checkpoint_open(&cosigned, dom_buffer_slice(&bytes), args->keys, args->num_keys,
                                 NULL, err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s/checkpoint.cosigned", args->log);
        }
    }
    if (rc == DOM_OK && args->index < cosigned.head.size) {
        dom_buffer_cleanup(note);
        *note = bytes;
        *checkpoint = cosigned;
        return DOM_OK;
    }
    if (rc == DOM_OK && must) {
        rc = DOM_FAIL(err, DOM_NOT_FOUND,
                      "no outside witness's checkpoint covers index %llu yet (cosigned: size %llu)",
                      (unsigned long long)args->index, (unsigned long long)cosigned.head.size);
    }
    dom_buffer_cleanup(&bytes);
    return rc;
}

/* The newest checkpoint, the entry that is meant, and what the proof is to end in. */
static enum dom_code choose(struct dom_audit_args *args, struct dom_buffer *note,
                            struct dom_checkpoint *checkpoint, struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};

    enum dom_code rc = dom_audit_open_log(args, note, checkpoint, err);
    if (rc == DOM_OK && !args->has_index) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint->head.size, err);
        if (rc == DOM_OK) {
            rc = find_id(&tiledir, args->id, &args->index, err);
        }
        dom_tiledir_cleanup(&tiledir);
    }
    return rc == DOM_OK ? prefer_cosigned(args, note, checkpoint, err) : rc;
}

int dom_audit_prove(struct dom_audit_args *args)
{
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_proof proof;
    struct dom_buffer note = {0};
    struct dom_buffer bundle = {0};
    struct dom_buffer out = {0};
    struct dom_slice entry = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = choose(args, &note, &checkpoint, &err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, &err);
    }
    if (rc == DOM_OK) {
        struct dom_hash_reader reader = dom_tiledir_reader(&tiledir);
        rc = dom_prove_inclusion(&proof, &reader, args->index, checkpoint.head.size, &err);
    }
    if (rc == DOM_OK) {
        rc = read_entry(&tiledir, args->index, &bundle, &entry, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_proof_file_encode(entry, args->index, &proof, dom_buffer_slice(&note), &out, &err);
    }
    if (rc == DOM_OK) {
        rc = check_own(args, dom_buffer_slice(&out), &err);
    }
    if (rc == DOM_OK) {
        rc = write_out(args->out, dom_buffer_slice(&out), &err);
    }
    if (rc != DOM_OK) {
        status = dom_audit_complain(args, &err);
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    dom_buffer_cleanup(&bundle);
    dom_buffer_cleanup(&out);
    return status;
}

/* ---- check-proof ---------------------------------------------------------------------------- */

static void print_proven(const struct dom_audit_args *args, const struct dom_proof_file *file,
                         const struct dom_checkpoint *checkpoint, const struct dom_hash *leaf)
{
    char hex[2 * DOM_HASH_SIZE + 1];
    int origin_len = (int)checkpoint->origin.len;
    const char *origin = (const char *)checkpoint->origin.data;

    dom_hex_encode(hex, dom_hash_slice(leaf));
    if (args->json) {
        (void)printf(
            "{\"entry\":%.*s,\"index\":%llu,\"leaf_hash\":\"%s\",\"ok\":true,"
            "\"origin\":\"%.*s\",\"size\":%llu}\n",
            (int)file->extra.len, (const char *)file->extra.data, (unsigned long long)file->index,
            hex, origin_len, origin, (unsigned long long)checkpoint->head.size);
        return;
    }
    (void)printf("OK origin=%.*s index=%llu size=%llu leaf=%s\n%.*s\n", origin_len, origin,
                 (unsigned long long)file->index, (unsigned long long)checkpoint->head.size, hex,
                 (int)file->extra.len, (const char *)file->extra.data);
}

static enum dom_code need_quorum(const struct dom_quorum *quorum, struct dom_slice checkpoint,
                                 struct dom_error *err)
{
    struct dom_quorum_result result;

    enum dom_code rc = dom_quorum_judge(quorum, checkpoint, &result, err);
    if (rc == DOM_OK && !result.met) {
        rc = DOM_FAIL(err, DOM_UNAUTHENTICATED,
                      "the quorum is not met: %u of the policy's %u witnesses cosigned",
                      result.num_cosignatures, result.num_witnesses);
    }
    return rc;
}

int dom_audit_check_proof(struct dom_audit_args *args)
{
    struct dom_proof_file file = {0};
    struct dom_checkpoint checkpoint;
    struct dom_entry_head head;
    struct dom_hash leaf;
    struct dom_buffer bytes = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = dom_audit_take_policy(args, &err);
    if (rc == DOM_OK) {
        rc = dom_audit_need_key(args, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_file_read(&bytes, args->file, DOM_PROOF_FILE_BYTES_MAX, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_proof_file_parse(&file, dom_buffer_slice(&bytes), &err);
    }
    if (rc == DOM_OK) {
        rc = dom_proof_file_check(&file, dom_slice_of(NULL, 0), args->keys, args->num_keys,
                                  &checkpoint, &leaf, &err);
    }
    if (rc == DOM_OK && args->quorum != NULL) {
        rc = need_quorum(args->quorum, file.checkpoint, &err);
    }
    if (rc == DOM_OK) {
        /* Nothing is printed as JSON that is not. */
        rc = dom_entry_scan(dom_buffer_slice(&file.extra), &head, &err);
    }
    if (rc == DOM_OK) {
        print_proven(args, &file, &checkpoint, &leaf);
    } else {
        status = dom_audit_complain(args, &err);
    }
    dom_proof_file_cleanup(&file);
    dom_buffer_cleanup(&bytes);
    return status;
}
