/* Asking witnesses for cosignatures: the regions of this process, on the keeper of the log, and how
 * any witness is asked, whatever carries the question. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/log.h"
#include "store/audit/checkpoint.h"
#include "store/audit/witness.h"
#include "store/cosign_internal.h"
#include "store/desk_internal.h"
#include "store/store_internal.h"

/* ---- one question --------------------------------------------------------------------------- */

/* The proof from the witness's last size to the checkpoint's, and the checkpoint. */
static enum dom_code make_request(const struct dom_cosign_ask *ask, uint64_t old_size,
                                  struct dom_buffer *out, struct dom_error *err)
{
    struct dom_buffer hashes = {0};
    struct dom_proof proof = {0};
    uint64_t size = ask->head.size;
    enum dom_code rc = DOM_OK;

    dom_buffer_clear(out);
    if (old_size > 0 && old_size < size) {
        rc = dom_audit_log_prove_consistency(ask->log, old_size, &size, &hashes, err);
        proof.num_hashes = (unsigned)(hashes.len / DOM_HASH_SIZE);
        DOM_ASSERT(proof.num_hashes <= DOM_PROOF_HASHES_MAX);
        if (hashes.len > 0) {
            memcpy(proof.hashes, hashes.data, hashes.len);
        }
    }
    dom_buffer_cleanup(&hashes);
    return rc == DOM_OK ? dom_witness_request_encode(old_size, &proof, ask->note, out, err) : rc;
}

/* Takes the lines by the witness's key that verify over the checkpoint's text; others are
 * ignored, as the protocol wants. False: there is none. */
static bool take_lines(const struct dom_cosign_ask *ask, struct dom_slice body,
                       struct dom_buffer *lines)
{
    struct dom_buffer note = {0};
    struct dom_note parsed;
    struct dom_slice line;
    bool found = false;

    if (dom_note_parse(&parsed, ask->note, NULL) != DOM_OK) {
        return false;
    }
    while (!found && dom_take_line(&body, &line)) {
        struct dom_note one;
        dom_buffer_clear(&note);
        dom_buffer_append_slice(&note, parsed.text);
        dom_buffer_append_char(&note, '\n');
        dom_buffer_append(&note, line.data, line.len + 1);
        found = !note.failed && dom_note_parse(&one, dom_buffer_slice(&note), NULL) == DOM_OK &&
                dom_note_verify(&one, ask->key, 1, NULL, NULL) == DOM_OK;
        if (found) {
            dom_buffer_append(lines, line.data, line.len + 1);
        }
    }
    dom_buffer_cleanup(&note);
    return found;
}

/* The size in the body of a 409; UINT64_MAX: none can be read. */
static uint64_t size_of(struct dom_slice body)
{
    struct dom_slice line;
    uint64_t size = 0;

    if (!dom_take_line(&body, &line) || line.len == 0 || line.len > 19) {
        return UINT64_MAX;
    }
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return UINT64_MAX;
        }
        size = size * 10 + (uint64_t)(line.data[i] - '0');
    }
    return size;
}

/* The size in a 409 tells where the witness stands: once more from there, unless it stands beyond
 * the log or at its very size, which is another history. */
static bool may_go_on(const struct dom_cosign_ask *ask, uint64_t *last_sizep, uint64_t told)
{
    bool usable = told < ask->head.size && told != *last_sizep;

    if (usable || (told == ask->head.size && *last_sizep != told)) {
        *last_sizep = told;
        return true;
    }
    return false;
}

enum dom_audit_log_asked dom_cosign_ask(const struct dom_cosign_ask *ask, uint64_t *last_sizep,
                                        struct dom_buffer *lines, struct dom_error *err)
{
    enum dom_audit_log_asked how = DOM_AUDIT_LOG_FAILED;
    struct dom_buffer request = {0};
    struct dom_buffer body = {0};

    if (*last_sizep > ask->head.size) {
        *last_sizep = 0; /* what it says now is what counts */
    }
    for (unsigned tries = 0; tries < 2; tries++) {
        unsigned status = 0;
        if (make_request(ask, *last_sizep, &request, err) != DOM_OK ||
            ask->post(ask->transport, dom_buffer_slice(&request), &status, &body, err) != DOM_OK) {
            break;
        }
        if (status == 200) {
            if (take_lines(ask, dom_buffer_slice(&body), lines)) {
                *last_sizep = ask->head.size;
                how = DOM_AUDIT_LOG_COSIGNED;
            } else {
                (void)DOM_FAIL(err, DOM_UNAUTHENTICATED, "no line in its answer is by its key");
            }
            break;
        }
        uint64_t told = status == 409 ? size_of(dom_buffer_slice(&body)) : UINT64_MAX;
        if (status == 409 && told != UINT64_MAX && tries == 0 && may_go_on(ask, last_sizep, told)) {
            continue;
        }
        how = status == 409 || status == 422 ? DOM_AUDIT_LOG_REFUSED : DOM_AUDIT_LOG_FAILED;
        (void)DOM_FAIL(err, DOM_TAMPERED, "status %u: %.*s", status,
                       (int)(body.len > 200 ? 200 : body.len), (const char *)body.data);
        break;
    }
    dom_buffer_cleanup(&request);
    dom_buffer_cleanup(&body);
    return how;
}

void dom_cosign_tell(struct dom_audit_log *log, const char *witness, bool *downp,
                     enum dom_audit_log_asked how, const struct dom_error *err)
{
    dom_audit_log_count_asked(log, how);
    if (how == DOM_AUDIT_LOG_REFUSED) {
        dom_log(DOM_LOG_ERROR, "store.witness_refused", "log=%s witness=%s reason=\"%s\"",
                dom_audit_log_origin(log), witness, err->message);
    } else if (how == DOM_AUDIT_LOG_FAILED && !*downp) {
        dom_log(DOM_LOG_WARN, "store.witness_failed", "log=%s witness=%s reason=\"%s\"",
                dom_audit_log_origin(log), witness, err->message);
    } else if (how == DOM_AUDIT_LOG_COSIGNED && *downp) {
        dom_log(DOM_LOG_INFO, "store.witness_back", "log=%s witness=%s", dom_audit_log_origin(log),
                witness);
    }
    *downp = how != DOM_AUDIT_LOG_COSIGNED;
}

/* ---- the regions of this process ------------------------------------------------------------ */

/* The regions that follow in the order of names, from the end to the beginning: the same at each
 * start, whatever the order of opening. */
static size_t following(struct dom_store *store, const struct dom_region *region,
                        struct dom_region **out, size_t want)
{
    size_t count = atomic_load(&store->host.num_regions);
    const char *last = dom_region_name(region);
    size_t num = 0;

    while (num < want) {
        struct dom_region *next = NULL;
        struct dom_region *first = NULL;
        for (size_t i = 0; i < count; i++) {
            struct dom_region *other = atomic_load(&store->host.regions[i]);
            if (first == NULL || strcmp(dom_region_name(other), dom_region_name(first)) < 0) {
                first = other;
            }
            if (strcmp(dom_region_name(other), last) > 0 &&
                (next == NULL || strcmp(dom_region_name(other), dom_region_name(next)) < 0)) {
                next = other;
            }
        }
        next = next == NULL ? first : next;
        if (next == NULL || next == region) {
            break; /* once around */
        }
        out[num++] = next;
        last = dom_region_name(next);
    }
    return num;
}

static enum dom_code post_here(void *transport, struct dom_slice request, unsigned *statusp,
                               struct dom_buffer *body, struct dom_error *err)
{
    const struct dom_cosign_here *here = transport;

    return dom_desk_ask(here->desk, here->asker, request, statusp, body, err);
}

/* What an auditor may start from: the witnesses of this process as a trust policy. Whoever holds
 * the folder could have written it, so it is a convenience and no proof. */
static void write_policy(struct dom_store *store, struct dom_region *region,
                         struct dom_region *const *witnesses, size_t num)
{
    struct dom_buffer text = {0};
    struct dom_error err = {0};
    char path[PATH_MAX];

    dom_buffer_printf(&text, "# Regions that cosign this log, as its own folder tells.\nlog ");
    dom_note_key_format(dom_audit_log_key(dom_region_log(region)), &text);
    dom_buffer_append_char(&text, '\n');
    for (size_t i = 0; i < num; i++) {
        dom_buffer_printf(&text, "witness %s ", dom_region_name(witnesses[i]));
        dom_note_key_format(&dom_region_witness(witnesses[i])->signer.key, &text);
        dom_buffer_append_char(&text, '\n');
    }
    dom_buffer_append_str(&text, "group regions all");
    for (size_t i = 0; i < num; i++) {
        dom_buffer_printf(&text, " %s", dom_region_name(witnesses[i]));
    }
    dom_buffer_append_str(&text, "\nquorum regions\n");
    (void)snprintf(path, sizeof(path), "%s/%s/audit/witness-policy", store->data_dir,
                   dom_region_name(region));
    enum dom_code rc = text.failed
                           ? DOM_FAIL(&err, DOM_RESOURCE, "out of memory")
                           : dom_file_write_atomic(path, dom_buffer_slice(&text), 0640, &err);
    if (rc != DOM_OK) {
        dom_log(DOM_LOG_WARN, "store.witness_policy", "reason=\"%s\"", err.message);
    }
    dom_buffer_cleanup(&text);
}

/* Asks one of them, unless it has cosigned this very checkpoint. */
static void ask_here(struct dom_store *store, struct dom_cosign_ask *ask, struct dom_region *region,
                     struct dom_region *witness, struct dom_buffer *lines)
{
    struct dom_cosigning *state = &store->cosigning[dom_region_number(region)];
    dom_store_region number = dom_region_number(witness);
    struct dom_cosign_here here = {.desk = dom_store_keeping(store, (size_t)number)->desk,
                                   .asker = region};
    struct dom_error err = {0};

    if ((state->by >> number & 1U) != 0) {
        return;
    }
    DOM_ASSERT(here.desk != NULL);
    ask->key = &dom_region_witness(witness)->signer.key;
    ask->transport = &here;
    enum dom_audit_log_asked how = dom_cosign_ask(ask, &state->last[number], lines, &err);
    dom_cosign_tell(ask->log, ask->key->name, &state->down[number], how, &err);
    if (how == DOM_AUDIT_LOG_COSIGNED) {
        state->by |= (dom_store_set)1 << number;
    }
}

void dom_store_cosign(void *context, struct dom_region *region, struct dom_buffer *lines)
{
    struct dom_store *store = context;
    struct dom_cosigning *state = &store->cosigning[dom_region_number(region)];
    struct dom_region *witnesses[DOM_WITNESS_REGIONS_MAX];
    struct dom_audit_log *log = dom_region_log(region);
    struct dom_buffer note = {0};
    struct dom_cosign_ask ask = {.log = log, .post = post_here};

    size_t num = following(store, region, witnesses, store->host.options.witness_regions);
    uint64_t count = atomic_load(&store->host.num_regions);
    if (num > 0 && state->generation != count) {
        write_policy(store, region, witnesses, num);
        state->generation = count;
    }
    dom_audit_log_rest(log); /* the others' disks are not this log's */
    if (dom_audit_log_snapshot(log, &note, &ask.head, NULL) == DOM_OK) {
        ask.note = dom_buffer_slice(&note);
        state->by = state->size == ask.head.size ? state->by : 0;
        state->size = ask.head.size;
        for (size_t i = 0; i < num; i++) {
            ask_here(store, &ask, region, witnesses[i], lines);
        }
    }
    dom_buffer_cleanup(&note);
}
