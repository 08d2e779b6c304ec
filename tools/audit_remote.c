/* domicile audit export --log-region: entries out of a running router, whose log then tells so.
 *
 * The router is not believed where it need not be: each entry is looked at again, is in ascending
 * order, of the range and passes the filter. Before a manifest is signed, each is proven to lie
 * under the log's signed checkpoint at its index, by a proof of its own or, when the export is all of
 * the log up to some index, by the root that they give together. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "domicile/v1/audit.pb-c.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

#define SERVICE     "/domicile.v1.AuditService/"
#define WHERE_BYTES 512U

struct remote {
    struct dom_audit_args *args;
    struct dom_export_writer *writer;
    struct dom_export_stats stats;
    struct dom_audit_progress progress;
    /* With a manifest. */
    struct dom_buffer note; /* the checkpoint that everything is under */
    struct dom_checkpoint checkpoint;
    struct dom_peer prover;      /* proofs are asked for while the entries come */
    struct dom_rpc_result proof; /* reused */
    struct dom_edge edge;
    bool beginning; /* all of the log from its first entry on is wanted */
    /* Of the stream. */
    uint64_t next;  /* least index that may come */
    uint64_t first; /* entries before it are pruned */
    uint64_t end;
    uint64_t own_index; /* of the export's entry */
    bool begun;
    enum dom_code code;
    struct dom_error err;
};

static ProtobufCBinaryData bytes_of(const char *text)
{
    ProtobufCBinaryData out = {.len = text == NULL ? 0 : strlen(text), .data = NULL};

    memcpy(&out.data, &text, sizeof(text)); /* packing only reads */
    return out;
}

static bool pack(const ProtobufCMessage *message, struct dom_buffer *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *to = dom_buffer_extend(out, len);

    if (to != NULL && len > 0) {
        (void)protobuf_c_message_pack(message, to);
    }
    return !out->failed;
}

/* ---- the checkpoint ------------------------------------------------------------------------- */

static enum dom_code open_checkpoint(struct remote *r, const Domicile__V1__GetCheckpointResponse *got)
{
    struct dom_audit_args *args = r->args;
    enum dom_code rc = DOM_OK;

    if (args->num_keys == 0) {
        args->own_key = true;
        rc = dom_note_key_parse(&args->keys[0],
                                dom_slice_of(got->verifier_key.data, got->verifier_key.len),
                                &r->err);
        args->num_keys = rc == DOM_OK ? 1 : 0;
    }
    dom_buffer_append_slice(&r->note, dom_slice_of(got->checkpoint.data, got->checkpoint.len));
    if (rc == DOM_OK && r->note.failed) {
        rc = DOM_FAIL(&r->err, DOM_RESOURCE, "out of memory");
    }
    if (rc == DOM_OK) {
        rc = dom_checkpoint_open(&r->checkpoint, dom_buffer_slice(&r->note), args->keys,
                                 args->num_keys, NULL, &r->err);
    }
    if (rc == DOM_OK && r->checkpoint.head.size == 0) {
        rc = DOM_FAIL(&r->err, DOM_NOT_FOUND, "the log has no entry under a checkpoint yet");
    }
    return rc;
}

/* True: go on. Else *status is what to return, and it has been said why. */
static bool get_checkpoint(struct remote *r, int *status)
{
    Domicile__V1__GetCheckpointRequest request = DOMICILE__V1__GET_CHECKPOINT_REQUEST__INIT;
    struct dom_peer *peer = &r->args->peer;
    struct dom_rpc_result result = {0};
    struct dom_buffer bytes = {0};

    request.region = bytes_of(r->args->log_region);
    (void)pack(&request.base, &bytes);
    *status = DOM_EXIT_OK;
    if (!dom_rpc_client_call(peer->client, SERVICE "GetCheckpoint", dom_buffer_slice(&bytes),
                             peer->timeout_ms, &result)) {
        *status = dom_peer_failed(peer, "audit export", &result);
    } else {
        Domicile__V1__GetCheckpointResponse *got = domicile__v1__get_checkpoint_response__unpack(
            NULL, result.reply.len, result.reply.data);
        r->code = got == NULL ? DOM_FAIL(&r->err, DOM_PARSE, "the router's answer is none")
                              : open_checkpoint(r, got);
        if (got != NULL) {
            domicile__v1__get_checkpoint_response__free_unpacked(got, NULL);
        }
        if (r->code != DOM_OK) {
            *status = dom_audit_complain(r->args, &r->err);
        }
    }
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&bytes);
    return *status == DOM_EXIT_OK;
}

/* ---- each entry ----------------------------------------------------------------------------- */

static enum dom_code read_hashes(struct remote *r, const ProtobufCBinaryData *hashes, size_t num,
                                 struct dom_proof *proof)
{
    proof->num_hashes = 0;
    for (size_t i = 0; i < num; i++) {
        if (num > DOM_PROOF_HASHES_MAX || hashes[i].len != DOM_HASH_SIZE) {
            return DOM_FAIL(&r->err, DOM_PARSE, "the router's proof is none");
        }
        memcpy(proof->hashes[proof->num_hashes++].bytes, hashes[i].data, DOM_HASH_SIZE);
    }
    return DOM_OK;
}

/* Asks for a proof; the answer is in r->proof. */
static enum dom_code call_prover(struct remote *r, const char *path,
                                 const ProtobufCMessage *request, uint64_t index)
{
    struct dom_buffer bytes = {0};

    (void)pack(request, &bytes);
    bool ok = dom_rpc_client_call(r->prover.client, path, dom_buffer_slice(&bytes),
                                  r->prover.timeout_ms, &r->proof);
    dom_buffer_cleanup(&bytes);
    return ok ? DOM_OK
              : DOM_FAIL(&r->err, DOM_UNAVAILABLE, "no proof of index %" PRIu64 ": %s", index,
                         dom_buffer_cstr(&r->proof.message));
}

static enum dom_code check_inclusion(struct remote *r, uint64_t index, const struct dom_hash *leaf)
{
    Domicile__V1__ProveInclusionResponse *got = domicile__v1__prove_inclusion_response__unpack(
        NULL, r->proof.reply.len, r->proof.reply.data);
    struct dom_proof proof;

    enum dom_code rc = got == NULL ? DOM_FAIL(&r->err, DOM_PARSE, "the router's proof is none")
                                   : read_hashes(r, got->hashes, got->n_hashes, &proof);
    if (rc == DOM_OK) {
        rc = dom_check_inclusion(&proof, index, r->checkpoint.head.size, leaf,
                                 &r->checkpoint.head.root, &r->err);
    }
    if (got != NULL) {
        domicile__v1__prove_inclusion_response__free_unpacked(got, NULL);
    }
    return rc == DOM_OK ? rc : dom_error_prefix(&r->err, "index %" PRIu64, index);
}

/* That what was sent, all of the log up to r->end, is the beginning of the checkpoint's log. */
static enum dom_code check_beginning(struct remote *r)
{
    Domicile__V1__ProveConsistencyRequest request = DOMICILE__V1__PROVE_CONSISTENCY_REQUEST__INIT;
    Domicile__V1__ProveConsistencyResponse *got = NULL;
    struct dom_tree_head head = {.size = r->end};
    struct dom_proof proof = {0};
    enum dom_code rc = DOM_OK;

    dom_edge_root(&r->edge, &head.root);
    if (r->edge.size != r->end) {
        return DOM_FAIL(&r->err, DOM_TAMPERED, "the router left out entries");
    }
    if (r->end == r->checkpoint.head.size) {
        return dom_hash_eq(&head.root, &r->checkpoint.head.root)
                   ? DOM_OK
                   : DOM_FAIL(&r->err, DOM_TAMPERED,
                              "what the router sent does not give the checkpoint's root");
    }
    if (r->end == 0) {
        return DOM_OK; /* nothing is the beginning of everything */
    }
    request.region = bytes_of(r->args->log_region);
    request.old_size = r->end;
    request.new_size = r->checkpoint.head.size;
    rc = call_prover(r, SERVICE "ProveConsistency", &request.base, r->end);
    if (rc == DOM_OK) {
        got = domicile__v1__prove_consistency_response__unpack(NULL, r->proof.reply.len,
                                                               r->proof.reply.data);
        rc = got == NULL ? DOM_FAIL(&r->err, DOM_PARSE, "the router's proof is none")
                         : read_hashes(r, got->hashes, got->n_hashes, &proof);
    }
    if (rc == DOM_OK) {
        rc = dom_check_consistency(&proof, &head, &r->checkpoint.head, &r->err);
    }
    if (got != NULL) {
        domicile__v1__prove_consistency_response__free_unpacked(got, NULL);
    }
    return rc;
}

static enum dom_code prove(struct remote *r, uint64_t index, struct dom_slice entry)
{
    Domicile__V1__ProveInclusionRequest request = DOMICILE__V1__PROVE_INCLUSION_REQUEST__INIT;
    struct dom_hash leaf;

    dom_hash_leaf(&leaf, entry);
    if (r->beginning) {
        dom_edge_append(&r->edge, &leaf, NULL); /* its root proves them all, at the end */
        return DOM_OK;
    }
    request.region = bytes_of(r->args->log_region);
    request.index = index;
    request.size = r->checkpoint.head.size;
    enum dom_code rc = call_prover(r, SERVICE "ProveInclusion", &request.base, index);
    return rc == DOM_OK ? check_inclusion(r, index, &leaf) : rc;
}

static enum dom_code take_entry(struct remote *r, uint64_t index, struct dom_slice entry)
{
    struct dom_entry_head head;

    if (index < r->next || index >= r->end) {
        return DOM_FAIL(&r->err, DOM_TAMPERED, "the router sent index %" PRIu64
                        ", which is out of its turn", index);
    }
    r->next = index + 1;
    enum dom_code rc = dom_entry_scan(entry, &head, &r->err);
    if (rc != DOM_OK) {
        return dom_error_prefix(&r->err, "index %" PRIu64, index);
    }
    if (!dom_export_filter_match(&r->args->filter, index, &head)) {
        return DOM_FAIL(&r->err, DOM_TAMPERED,
                        "the router sent index %" PRIu64 ", which was not asked for", index);
    }
    if (r->note.len > 0 && !dom_slice_eq(head.origin, r->checkpoint.origin)) {
        return DOM_FAIL(&r->err, DOM_TAMPERED, "index %" PRIu64 " is of another log", index);
    }
    if (r->args->sign_key != NULL) {
        rc = prove(r, index, entry);
    }
    return rc == DOM_OK ? dom_export_writer_add(r->writer, index, entry, &r->err) : rc;
}

static bool on_message(void *arg, struct dom_slice message)
{
    struct remote *r = arg;
    Domicile__V1__ExportEntriesResponse *got =
        domicile__v1__export_entries_response__unpack(NULL, message.len, message.data);

    if (got == NULL || (!r->begun && got->receipt == NULL)) {
        r->code = DOM_FAIL(&r->err, DOM_PARSE, "the router's answer is none");
    } else if (!r->begun) {
        r->begun = true;
        r->own_index = got->receipt->index;
        r->end = got->end_index;
        r->first = got->first_index;
        r->beginning = r->beginning && r->first == 0;
        if (r->args->manifest != NULL && r->end > r->args->filter.end) {
            r->code = DOM_FAIL(&r->err, DOM_TAMPERED, "the router sends more than was asked for");
        }
    }
    for (size_t i = 0; r->code == DOM_OK && i < got->n_entries; i++) {
        const Domicile__V1__AuditEntry *entry = got->entries[i];
        r->code = take_entry(r, entry->index, dom_slice_of(entry->entry.data, entry->entry.len));
    }
    if (r->code == DOM_OK && r->end > r->args->filter.first) {
        dom_audit_progress_show(&r->progress, got->next_index - r->args->filter.first,
                                r->end - r->args->filter.first);
    }
    if (got != NULL) {
        domicile__v1__export_entries_response__free_unpacked(got, NULL);
    }
    return r->code == DOM_OK;
}

/* ---- the export ----------------------------------------------------------------------------- */

/* What the router hashes itself: the name of --subject, for want of the region's key file. */
static bool names_subject(const struct dom_audit_args *args)
{
    return args->subject != NULL && args->keys_file == NULL &&
           strncmp(args->subject, "hmac:", 5) != 0;
}

static enum dom_code make_request(struct remote *r, struct dom_buffer *out)
{
    struct dom_audit_args *args = r->args;
    Domicile__V1__ExportEntriesRequest request = DOMICILE__V1__EXPORT_ENTRIES_REQUEST__INIT;
    char texts[DOM_EXPORT_WHERE_MAX][WHERE_BYTES];
    ProtobufCBinaryData where[DOM_EXPORT_WHERE_MAX];
    const struct dom_export_filter *filter = &args->filter;

    request.region = bytes_of(args->log_region);
    request.purpose = bytes_of(args->purpose);
    for (size_t i = 0; i < filter->num_where; i++) {
        const struct dom_export_where *w = &filter->where[i];
        int len = snprintf(texts[i], WHERE_BYTES, "%s=%.*s", dom_export_key_name(w->key),
                           (int)w->value.len, (const char *)w->value.data);
        if (len < 0 || (size_t)len >= WHERE_BYTES) {
            return DOM_FAIL(&r->err, DOM_INVALID, "--where: a value is too long");
        }
        where[i] = bytes_of(texts[i]);
    }
    request.where = where;
    request.n_where = filter->num_where;
    request.from_time_ms = filter->from_ms;
    request.until_time_ms = filter->until_ms;
    request.from_index = r->next;
    request.end_index = filter->end == UINT64_MAX ? 0 : filter->end;
    request.read_all = args->manifest != NULL || args->no_index;
    if (names_subject(args)) {
        const char *slash = strchr(args->subject, '/');
        request.subject_kind = bytes_of(args->subject);
        request.subject_kind.len = (size_t)(slash - args->subject);
        request.subject_id = bytes_of(slash + 1);
    }
    return pack(&request.base, out) ? DOM_OK : DOM_FAIL(&r->err, DOM_RESOURCE, "out of memory");
}

static enum dom_code check_subject(struct remote *r)
{
    const char *slash = r->args->subject == NULL ? NULL : strchr(r->args->subject, '/');

    if (!names_subject(r->args)) {
        return dom_audit_add_subject(r->args, &r->err);
    }
    if (slash == NULL || slash == r->args->subject || slash[1] == '\0') {
        return DOM_FAIL(&r->err, DOM_INVALID, "KIND/ID is wanted, such as user/anna, not \"%s\"",
                        r->args->subject);
    }
    if (r->args->manifest != NULL) {
        return DOM_FAIL(&r->err, DOM_INVALID,
                        "--manifest with --subject wants the hash, or --keys: it tells what was "
                        "asked for as the log tells it");
    }
    return DOM_OK;
}

/* The range that is asked for, once it is known under which checkpoint. */
static void set_range(struct remote *r)
{
    struct dom_export_filter *filter = &r->args->filter;
    bool again = r->args->has_resume && r->args->manifest != NULL;

    if (r->args->manifest != NULL && filter->end > r->checkpoint.head.size) {
        filter->end = r->checkpoint.head.size;
    }
    r->beginning = filter->first == 0 && filter->from_ms == 0 && filter->until_ms == 0 &&
                   filter->num_where == 0;
    r->next = filter->first;
    if (r->args->has_resume && !again && r->next <= r->args->resume_after) {
        r->next = r->args->resume_after + 1;
    }
}

static enum dom_code begin(struct remote *r, FILE *out)
{
    struct dom_audit_args *args = r->args;
    const char *format = args->format == NULL ? "jsonl" : args->format;
    struct dom_export_options options = {
        .filter = &args->filter,
        .format = dom_export_format_find(dom_slice_str(format)),
        .out = out,
        .resume_file = args->has_resume && args->out != NULL,
        .resume_check = args->manifest != NULL,
        .resume_stream = args->has_resume && args->out == NULL,
        .resume_after = args->resume_after,
    };

    set_range(r);
    return dom_export_writer_new(&r->writer, &options, &r->stats, &r->err);
}

static enum dom_code write_manifest(struct remote *r)
{
    struct dom_audit_args *args = r->args;
    const char *format = args->format == NULL ? "jsonl" : args->format;

    if (args->manifest == NULL) {
        return DOM_OK;
    }
    enum dom_code rc = args->sign_key != NULL && r->beginning ? check_beginning(r) : DOM_OK;
    if (rc != DOM_OK) {
        return rc;
    }
    args->filter.end = r->end;
    if (args->filter.first < r->first) {
        args->filter.first = r->first; /* what is pruned is in no export */
    }
    struct dom_manifest manifest = {.origin = r->checkpoint.origin,
                                    .head = r->checkpoint.head,
                                    .filter = &args->filter,
                                    .format = dom_export_format_find(dom_slice_str(format)),
                                    .stats = &r->stats,
                                    .time_ms = dom_clock_wall_ms(dom_clock_system()),
                                    .checkpoint = dom_buffer_slice(&r->note)};
    return dom_audit_write_manifest(args, &manifest, &r->err);
}

static void tell_break(const struct remote *r)
{
    if (r->stats.count > 0) {
        (void)fprintf(stderr,
                      "broken off at index %" PRIu64 "; the last whole row of the file may be an "
                      "earlier one: --resume-after goes on behind it\n",
                      r->stats.last_index);
    }
}

/* The stream, and what follows it. Returns an exit code. */
static int stream(struct remote *r)
{
    struct dom_peer *peer = &r->args->peer;
    struct dom_rpc_result result = {0};
    struct dom_buffer request = {0};
    int status = DOM_EXIT_OK;

    r->code = make_request(r, &request);
    if (r->code == DOM_OK) {
        bool ok = dom_rpc_client_stream(peer->client, SERVICE "ExportEntries",
                                        dom_buffer_slice(&request), peer->timeout_ms, on_message,
                                        r, &result);
        dom_audit_progress_end(&r->progress);
        if (!ok && r->code == DOM_OK) {
            status = dom_peer_failed(peer, "audit export", &result);
        }
    }
    /* What was written is made whole even when it is not all. */
    enum dom_code ended =
        dom_export_writer_end(r->writer, r->code == DOM_OK ? &r->err : NULL);
    r->code = r->code == DOM_OK && status == DOM_EXIT_OK ? ended : r->code;
    if (r->code == DOM_OK && status == DOM_EXIT_OK) {
        r->code = write_manifest(r);
    }
    if (r->code != DOM_OK) {
        status = dom_audit_complain(r->args, &r->err);
    }
    if (status != DOM_EXIT_OK) {
        tell_break(r);
    }
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&request);
    return status;
}

static int run(struct remote *r, FILE *out)
{
    struct dom_audit_args *args = r->args;
    int status = DOM_EXIT_OK;

    r->code = check_subject(r);
    if (r->code != DOM_OK) {
        return dom_audit_complain(args, &r->err);
    }
    if (!dom_peer_open(&args->peer, "audit export")) {
        return DOM_EXIT_USAGE;
    }
    if (args->manifest != NULL && !get_checkpoint(r, &status)) {
        return status;
    }
    r->prover = args->peer;
    r->prover.client = NULL;
    if (args->sign_key != NULL && !dom_peer_open(&r->prover, "audit export")) {
        return DOM_EXIT_USAGE;
    }
    r->code = begin(r, out);
    if (r->code != DOM_OK) {
        return dom_audit_complain(args, &r->err);
    }
    status = stream(r);
    if (status == DOM_EXIT_OK) {
        (void)fprintf(stderr,
                      "exported %" PRIu64 " entries of the indexes %" PRIu64 " to %" PRIu64
                      " (not included), %" PRIu64 " bytes\nentry %" PRIu64
                      " of the log tells of this export%s\n",
                      r->stats.count, args->filter.first, r->end, r->stats.bytes, r->own_index,
                      args->own_key ? " (key: from the router, not independent)" : "");
    }
    return status;
}

int dom_audit_export_from_router(struct dom_audit_args *args, FILE *out)
{
    struct remote r = {.args = args};

    dom_edge_init(&r.edge);
    dom_audit_progress_init(&r.progress);
    int status = run(&r, out);
    dom_export_writer_destroy(r.writer);
    dom_peer_close(&r.prover);
    dom_peer_close(&args->peer);
    dom_rpc_result_cleanup(&r.proof);
    dom_buffer_cleanup(&r.note);
    return status;
}
