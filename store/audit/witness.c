#include "store/audit/witness.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/file.h"
#include "store/audit/line_internal.h"
#include "store/crypto/sha256.h"

#define TEXT_TYPE "text/plain; charset=utf-8"

/* ---- requests ------------------------------------------------------------------------------- */

enum dom_code dom_witness_request_encode(uint64_t old_size, const struct dom_proof *proof,
                                         struct dom_slice checkpoint, struct dom_buffer *out,
                                         struct dom_error *err)
{
    char hash[DOM_HASH_TEXT_LEN + 1];

    if (proof->num_hashes > DOM_WITNESS_PROOF_LINES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "a consistency proof of %u hashes", proof->num_hashes);
    }
    dom_buffer_printf(out, "old %llu\n", (unsigned long long)old_size);
    for (unsigned i = 0; i < proof->num_hashes; i++) {
        (void)dom_base64_encode(hash, dom_hash_slice(&proof->hashes[i]));
        dom_buffer_printf(out, "%s\n", hash);
    }
    dom_buffer_append_char(out, '\n');
    dom_buffer_append_slice(out, checkpoint);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a request") : DOM_OK;
}

enum dom_code dom_witness_request_parse(struct dom_witness_request *request, struct dom_slice bytes,
                                        struct dom_error *err)
{
    struct dom_slice line;

    *request = (struct dom_witness_request){0};
    if (bytes.len > DOM_WITNESS_REQUEST_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "a request is at most %u bytes",
                        DOM_WITNESS_REQUEST_BYTES_MAX);
    }
    if (!dom_take_line(&bytes, &line) || !dom_line_cut(&line, "old ") ||
        !dom_line_decimal(line, &request->old_size)) {
        return DOM_FAIL(err, DOM_PARSE, "line 1 is not \"old <size>\"");
    }
    for (;;) {
        if (!dom_take_line(&bytes, &line)) {
            return DOM_FAIL(err, DOM_PARSE, "no empty line before the checkpoint");
        }
        if (line.len == 0) {
            break;
        }
        if (request->proof.num_hashes == DOM_WITNESS_PROOF_LINES_MAX) {
            return DOM_FAIL(err, DOM_PARSE, "over %u consistency proof lines",
                            DOM_WITNESS_PROOF_LINES_MAX);
        }
        if (!dom_line_hash(line, &request->proof.hashes[request->proof.num_hashes])) {
            return DOM_FAIL(err, DOM_PARSE, "line %u is no hash", request->proof.num_hashes + 2);
        }
        request->proof.num_hashes++;
    }
    request->checkpoint = bytes;
    return DOM_OK;
}

/* ---- the witness ---------------------------------------------------------------------------- */

enum dom_code dom_witness_init(struct dom_witness *witness, struct dom_note_signer *signer,
                               const struct dom_witness_store *store, struct dom_error *err)
{
    memset(witness, 0, sizeof(*witness));
    struct dom_note_signer taken = *signer;
    memset(signer, 0, sizeof(*signer));
    if (taken.key.type != DOM_KEY_COSIGNATURE) {
        enum dom_code rc = DOM_FAIL(err, DOM_INVALID, "%s: not a cosigner's key (type 0x04)",
                                    taken.key.name);
        dom_note_signer_cleanup(&taken);
        return rc;
    }
    witness->signer = taken;
    witness->store = *store;
    witness->ready = true;
    DOM_ASSERT(pthread_mutex_init(&witness->lock, NULL) == 0);
    return DOM_OK;
}

void dom_witness_cleanup(struct dom_witness *witness)
{
    if (witness->ready) {
        dom_note_signer_cleanup(&witness->signer);
        (void)pthread_mutex_destroy(&witness->lock);
        witness->ready = false;
    }
}

void dom_witness_answer_cleanup(struct dom_witness_answer *answer)
{
    dom_buffer_cleanup(&answer->body);
}

/* The text of a note whatever becomes of its signatures: up to the last empty line. */
static struct dom_slice body_of(struct dom_slice note)
{
    size_t end = note.len;

    while (end >= 2 && (note.data[end - 1] != '\n' || note.data[end - 2] != '\n')) {
        end--;
    }
    return dom_slice_of(note.data, end < 2 ? 0 : end - 1);
}

/* Opens the checkpoint under the keys of its own origin. *statusp is what to say on an error: a
 * signature that cannot even be read is one that does not verify. */
static enum dom_code open_checkpoint(const struct dom_witness_request *request,
                                     const struct dom_note_key *keys, size_t num_keys,
                                     struct dom_checkpoint *checkpoint, unsigned *statusp,
                                     struct dom_error *err)
{
    bool known = false;

    *statusp = 400;
    enum dom_code rc = dom_checkpoint_parse(checkpoint, body_of(request->checkpoint), err);
    if (rc != DOM_OK) {
        return rc;
    }
    for (size_t i = 0; i < num_keys && !known; i++) {
        known =
            keys[i].type == DOM_KEY_ED25519 && dom_slice_eq_str(checkpoint->origin, keys[i].name);
    }
    if (!known) {
        *statusp = 404;
        return DOM_FAIL(err, DOM_NOT_FOUND, "unknown log");
    }
    *statusp = 403;
    rc = dom_checkpoint_open(checkpoint, request->checkpoint, keys, num_keys, NULL, err);
    return rc == DOM_OK ? rc : DOM_FAIL(err, rc, "invalid signature");
}

static enum dom_code conflict(const struct dom_tree_head *last, struct dom_witness_answer *answer,
                              struct dom_error *err)
{
    answer->status = 409;
    answer->content_type = DOM_WITNESS_SIZE_TYPE;
    dom_buffer_printf(&answer->body, "%llu\n", (unsigned long long)last->size);
    return DOM_FAIL(err, DOM_VERSION_MISMATCH, "the last checkpoint cosigned has size %llu",
                    (unsigned long long)last->size);
}

/* Whether the new head continues the last one. */
static enum dom_code check_consistent(const struct dom_witness_request *request,
                                      const struct dom_tree_head *last,
                                      const struct dom_tree_head *next, struct dom_error *err)
{
    struct dom_hash empty;

    if (last->size > 0 && last->size < next->size) {
        enum dom_code rc = dom_check_consistency(&request->proof, last, next, err);
        return rc == DOM_OK ? rc : DOM_FAIL(err, DOM_TAMPERED, "the consistency proof is wrong");
    }
    if (request->proof.num_hashes > 0) {
        return DOM_FAIL(err, DOM_TAMPERED, "the consistency proof must be empty here");
    }
    dom_hash_empty(&empty);
    return next->size > 0 || dom_hash_eq(&next->root, &empty)
               ? DOM_OK
               : DOM_FAIL(err, DOM_TAMPERED,
                          "the consistency proof is wrong: an empty tree has "
                          "another root");
}

static enum dom_code cosign(struct dom_witness *witness, const struct dom_witness_request *request,
                            const struct dom_checkpoint *checkpoint, uint64_t time_s,
                            struct dom_witness_answer *answer, struct dom_error *err)
{
    const struct dom_tree_head *next = &checkpoint->head;
    struct dom_tree_head last = {0};
    struct dom_note note;

    answer->status = 500;
    enum dom_code rc = witness->store.load(witness->store.impl, checkpoint->origin, &last, err);
    if (rc != DOM_OK) {
        return rc;
    }
    bool same_size = last.size == next->size;
    if (request->old_size != last.size ||
        (same_size && last.size > 0 && !dom_hash_eq(&last.root, &next->root))) {
        return conflict(&last, answer, err);
    }
    answer->status = 422;
    rc = check_consistent(request, &last, next, err);
    if (rc != DOM_OK) {
        return rc;
    }
    answer->status = 500;
    if (!same_size) {
        rc = witness->store.save(witness->store.impl, checkpoint->origin, request->checkpoint, next,
                                 err);
    }
    if (rc == DOM_OK) {
        rc = dom_note_parse(&note, request->checkpoint, err);
    }
    if (rc == DOM_OK) {
        rc = dom_note_sign_line(&witness->signer, note.text, time_s, &answer->body, err);
    }
    answer->status = rc == DOM_OK ? 200 : 500;
    return rc;
}

enum dom_code dom_witness_add_checkpoint(struct dom_witness *witness,
                                         const struct dom_note_key *keys, size_t num_keys,
                                         struct dom_slice request, uint64_t time_s,
                                         struct dom_witness_answer *answer, struct dom_error *err)
{
    struct dom_witness_request parsed;
    struct dom_checkpoint checkpoint;
    struct dom_error own = {0};

    *answer = (struct dom_witness_answer){.status = 400, .content_type = TEXT_TYPE};
    enum dom_code rc = dom_witness_request_parse(&parsed, request, &own);
    if (rc == DOM_OK) {
        rc = open_checkpoint(&parsed, keys, num_keys, &checkpoint, &answer->status, &own);
    }
    if (rc == DOM_OK && parsed.old_size > checkpoint.head.size) {
        answer->status = 400;
        rc =
            DOM_FAIL(&own, DOM_INVALID, "old size %llu is over the checkpoint's %llu",
                     (unsigned long long)parsed.old_size, (unsigned long long)checkpoint.head.size);
    }
    if (rc == DOM_OK) {
        DOM_ASSERT(pthread_mutex_lock(&witness->lock) == 0);
        rc = cosign(witness, &parsed, &checkpoint, time_s, answer, &own);
        DOM_ASSERT(pthread_mutex_unlock(&witness->lock) == 0);
    }
    if (rc != DOM_OK) {
        if (answer->status != 409) {
            dom_buffer_clear(&answer->body);
            /* What failed inside is for our own log, not for whoever asks. */
            dom_buffer_printf(&answer->body, "%s\n",
                              answer->status == 500 ? "internal error" : own.message);
        }
        if (err != NULL) {
            *err = own;
        }
    }
    return rc;
}

/* ---- files ---------------------------------------------------------------------------------- */

static enum dom_code state_path(char *path, const char *dir, struct dom_slice origin,
                                struct dom_error *err)
{
    uint8_t digest[DOM_SHA256_SIZE];
    char hex[2 * DOM_SHA256_SIZE + 1];

    dom_sha256(digest, origin);
    dom_hex_encode(hex, dom_slice_of(digest, sizeof(digest)));
    int len = snprintf(path, PATH_MAX, "%s/%s", dir, hex);
    return len > 0 && len < PATH_MAX ? DOM_OK
                                     : DOM_FAIL(err, DOM_INVALID, "%s: path too long", dir);
}

static enum dom_code files_load(void *impl, struct dom_slice origin, struct dom_tree_head *head,
                                struct dom_error *err)
{
    struct dom_checkpoint checkpoint;
    struct dom_buffer bytes = {0};
    struct dom_note note;
    char path[PATH_MAX];

    *head = (struct dom_tree_head){0};
    enum dom_code rc = state_path(path, impl, origin, err);
    if (rc != DOM_OK || (access(path, F_OK) != 0 && errno == ENOENT)) {
        return rc;
    }
    rc = dom_file_read(&bytes, path, DOM_CHECKPOINT_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_note_parse(&note, dom_buffer_slice(&bytes), err);
    }
    if (rc == DOM_OK) {
        rc = dom_checkpoint_parse(&checkpoint, note.text, err);
    }
    if (rc == DOM_OK && !dom_slice_eq(checkpoint.origin, origin)) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "it is another log's");
    }
    if (rc == DOM_OK) {
        *head = checkpoint.head;
    } else if (rc != DOM_IO) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "%s: damaged; without it a rewind could not be told", path);
    }
    dom_buffer_cleanup(&bytes);
    return rc;
}

static enum dom_code files_save(void *impl, struct dom_slice origin, struct dom_slice checkpoint,
                                const struct dom_tree_head *head, struct dom_error *err)
{
    char path[PATH_MAX];

    (void)head;
    enum dom_code rc = state_path(path, impl, origin, err);
    if (rc == DOM_OK) {
        rc = dom_dir_make(impl, 0700, err);
    }
    return rc == DOM_OK ? dom_file_write_atomic(path, checkpoint, 0600, err) : rc;
}

struct dom_witness_store dom_witness_store_files(const char *dir)
{
    struct dom_witness_store store = {.load = files_load, .save = files_save};

    /* impl is not const for other stores; this one only reads the path. */
    memcpy(&store.impl, &dir, sizeof(dir));
    return store;
}
