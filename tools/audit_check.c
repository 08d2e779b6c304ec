/* domicile audit check-export and consistency. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/file.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

/* ---- check-export --------------------------------------------------------------------------- */

/* The manifest, once somebody whose key was given has signed it. `signer` gets that key's name. */
static enum dom_code open_manifest(const struct dom_audit_args *args, struct dom_buffer *bytes,
                                   struct dom_manifest_doc *doc, const char **signer,
                                   struct dom_error *err)
{
    struct dom_note_verdict verdicts[DOM_AUDIT_KEYS_MAX];
    struct dom_note note;

    enum dom_code rc = dom_file_read(bytes, args->manifest, DOM_MANIFEST_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_note_parse(&note, dom_buffer_slice(bytes), err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s: no signed manifest", args->manifest);
        }
    }
    if (rc == DOM_OK) {
        rc = dom_note_verify(&note, args->keys, args->num_keys, verdicts, err);
    }
    for (size_t i = 0; rc == DOM_OK && i < args->num_keys; i++) {
        if (verdicts[i].verified && *signer == NULL) {
            *signer = args->keys[i].name;
        }
    }
    return rc == DOM_OK ? dom_manifest_parse(doc, note.text, err) : rc;
}

/* The checkpoint in the manifest, when a key of its log was given: what is exported is of a tree
 * that the log signed, whoever signed the manifest. */
static enum dom_code check_checkpoint(const struct dom_audit_args *args,
                                      const struct dom_manifest *manifest, bool *checked,
                                      struct dom_error *err)
{
    struct dom_checkpoint checkpoint;
    bool has_key = false;

    *checked = false;
    for (size_t i = 0; i < args->num_keys; i++) {
        has_key = has_key || dom_slice_eq_str(manifest->origin, args->keys[i].name);
    }
    if (!has_key || manifest->checkpoint.len == 0) {
        return DOM_OK;
    }
    enum dom_code rc = dom_checkpoint_open(&checkpoint, manifest->checkpoint, args->keys,
                                           args->num_keys, NULL, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (!dom_slice_eq(checkpoint.origin, manifest->origin) ||
        checkpoint.head.size != manifest->head.size ||
        !dom_hash_eq(&checkpoint.head.root, &manifest->head.root)) {
        return DOM_FAIL(err, DOM_TAMPERED, "the manifest is not about the checkpoint in it");
    }
    *checked = true;
    return DOM_OK;
}

static void print_check(const struct dom_audit_args *args, const struct dom_manifest *m,
                        const struct dom_export_check *check, const char *signer,
                        bool checkpoint_checked)
{
    char hex[65];

    dom_hex_encode(hex, dom_slice_of(m->stats->sha256, sizeof(m->stats->sha256)));
    if (args->json) {
        (void)printf("{\"bytes\":%" PRIu64 ",\"checkpoint\":%s,\"count\":%" PRIu64
                     ",\"entries_hashed\":%s,\"format\":\"%s\",\"ok\":true,\"origin\":\"%.*s\","
                     "\"root\":%s,\"sha256\":\"%s\",\"size\":%" PRIu64 "}\n",
                     check->bytes, checkpoint_checked ? "true" : "false", check->count,
                     check->entries_hashed ? "true" : "false", m->format->name,
                     (int)m->origin.len, (const char *)m->origin.data,
                     check->root_checked ? "true" : "false", hex, m->head.size);
        return;
    }
    (void)printf("OK origin=%.*s size=%" PRIu64 " format=%s count=%" PRIu64 " bytes=%" PRIu64
                 " sha256=%s\nmanifest: signed by %s\n",
                 (int)m->origin.len, (const char *)m->origin.data, m->head.size, m->format->name,
                 check->count, check->bytes, hex, signer);
    (void)printf("entries: %s\n", check->root_checked
                                      ? "hashed again, and they give the checkpoint's root"
                                  : check->entries_hashed
                                      ? "hashed again; their leaf hashes are right"
                                      : "not in this form; digest and indexes were checked");
    (void)printf("checkpoint: %s\n", checkpoint_checked
                                         ? "signed by the log"
                                         : "not checked, no key of the log was given");
}

int dom_audit_check_export(struct dom_audit_args *args)
{
    struct dom_manifest_doc doc = {0};
    struct dom_export_check check = {0};
    struct dom_buffer bytes = {0};
    struct dom_error err = {0};
    const char *signer = NULL;
    bool checkpoint_checked = false;
    FILE *in = NULL;

    enum dom_code rc = open_manifest(args, &bytes, &doc, &signer, &err);
    if (rc == DOM_OK) {
        rc = check_checkpoint(args, &doc.manifest, &checkpoint_checked, &err);
    }
    if (rc == DOM_OK) {
        in = fopen(args->file, "rbe");
        if (in == NULL) {
            rc = DOM_FAIL(&err, DOM_IO, "%s: cannot open: %s", args->file, strerror(errno));
        }
    }
    if (rc == DOM_OK) {
        rc = dom_export_check(in, &doc.manifest, &check, &err);
    }
    if (rc == DOM_OK) {
        print_check(args, &doc.manifest, &check, signer, checkpoint_checked);
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    dom_manifest_doc_cleanup(&doc);
    dom_buffer_cleanup(&bytes);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_audit_complain(args, &err);
}

/* ---- consistency ---------------------------------------------------------------------------- */

static enum dom_code open_checkpoint(const struct dom_audit_args *args, const char *path,
                                     struct dom_buffer *bytes, struct dom_checkpoint *checkpoint,
                                     struct dom_error *err)
{
    enum dom_code rc = dom_file_read(bytes, path, DOM_CHECKPOINT_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_checkpoint_open(checkpoint, dom_buffer_slice(bytes), args->keys, args->num_keys,
                                 NULL, err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s", path);
        }
    }
    return rc;
}

static enum dom_code prove_growth(const struct dom_audit_args *args,
                                  const struct dom_checkpoint *before,
                                  const struct dom_checkpoint *after, struct dom_proof *proof,
                                  struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};

    proof->num_hashes = 0;
    if (!dom_slice_eq(before->origin, after->origin)) {
        return DOM_FAIL(err, DOM_TAMPERED, "the checkpoints are of different logs");
    }
    if (before->head.size > after->head.size) {
        return DOM_FAIL(err, DOM_TAMPERED, "rewind: size %" PRIu64 " came before size %" PRIu64,
                        before->head.size, after->head.size);
    }
    if (before->head.size == 0) {
        return DOM_OK; /* Nothing is the beginning of everything; there is no proof of it. */
    }
    enum dom_code rc = dom_tiledir_init(&tiledir, args->log, after->head.size, err);
    if (rc == DOM_OK) {
        struct dom_hash_reader reader = dom_tiledir_reader(&tiledir);
        rc = dom_prove_consistency(proof, &reader, before->head.size, after->head.size, err);
    }
    if (rc == DOM_OK) {
        rc = dom_check_consistency(proof, &before->head, &after->head, err);
    }
    dom_tiledir_cleanup(&tiledir);
    return rc;
}

int dom_audit_consistency(struct dom_audit_args *args)
{
    struct dom_buffer old_bytes = {0};
    struct dom_buffer new_bytes = {0};
    struct dom_checkpoint before;
    struct dom_checkpoint after;
    struct dom_proof proof;
    struct dom_error err = {0};
    char own[4096];

    (void)snprintf(own, sizeof(own), "%s/checkpoint", args->log);
    enum dom_code rc = dom_audit_need_key(args, &err);
    if (rc == DOM_OK) {
        rc = open_checkpoint(args, args->old, &old_bytes, &before, &err);
    }
    if (rc == DOM_OK) {
        rc = open_checkpoint(args, args->new_checkpoint != NULL ? args->new_checkpoint : own,
                             &new_bytes, &after, &err);
    }
    if (rc == DOM_OK) {
        rc = prove_growth(args, &before, &after, &proof, &err);
    }
    if (rc == DOM_OK && args->json) {
        (void)printf("{\"hashes\":%u,\"new_size\":%" PRIu64 ",\"ok\":true,\"old_size\":%" PRIu64
                     ",\"origin\":\"%.*s\"}\n",
                     proof.num_hashes, after.head.size, before.head.size, (int)after.origin.len,
                     (const char *)after.origin.data);
    } else if (rc == DOM_OK) {
        (void)printf("OK origin=%.*s: the log of size %" PRIu64
                     " is the beginning of that of size %" PRIu64 " (%u hashes)%s\n",
                     (int)after.origin.len, (const char *)after.origin.data, before.head.size,
                     after.head.size, proof.num_hashes,
                     args->own_key ? "\nkey: from the log's own folder, not independent" : "");
    }
    dom_buffer_cleanup(&old_bytes);
    dom_buffer_cleanup(&new_bytes);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_audit_complain(args, &err);
}
