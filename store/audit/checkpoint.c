#include "store/audit/checkpoint.h"

#include "base/encode.h"
#include "base/note/note.h"
#include "store/audit/line_internal.h"

bool dom_origin_valid(struct dom_slice origin)
{
    return dom_note_name_valid(origin);
}

enum dom_code dom_checkpoint_encode(struct dom_slice origin, const struct dom_tree_head *head,
                                    struct dom_buffer *out, struct dom_error *err)
{
    char root[DOM_BASE64_LEN(DOM_HASH_SIZE) + 1];

    if (!dom_origin_valid(origin)) {
        return DOM_FAIL(err, DOM_INVALID, "the log's origin is no valid name");
    }
    (void)dom_base64_encode(root, dom_hash_slice(&head->root));
    dom_buffer_append_slice(out, origin);
    dom_buffer_printf(out, "\n%llu\n%s\n", (unsigned long long)head->size, root);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a checkpoint") : DOM_OK;
}

enum dom_code dom_checkpoint_parse(struct dom_checkpoint *checkpoint, struct dom_slice body,
                                   struct dom_error *err)
{
    struct dom_slice line;
    struct dom_checkpoint found = {0};

    memset(checkpoint, 0, sizeof(*checkpoint));
    if (!dom_take_line(&body, &found.origin) || !dom_origin_valid(found.origin)) {
        return DOM_FAIL(err, DOM_PARSE, "checkpoint: line 1 is no origin");
    }
    if (!dom_take_line(&body, &line) || !dom_line_decimal(line, &found.head.size) ||
        found.head.size > DOM_TREE_SIZE_MAX) {
        return DOM_FAIL(err, DOM_PARSE, "checkpoint: line 2 is no tree size");
    }
    if (!dom_take_line(&body, &line) || !dom_line_hash(line, &found.head.root)) {
        return DOM_FAIL(err, DOM_PARSE, "checkpoint: line 3 is no root hash");
    }
    found.extensions = body;
    while (body.len > 0) {
        if (!dom_take_line(&body, &line) || line.len == 0) {
            return DOM_FAIL(err, DOM_PARSE, "checkpoint: a bad extension line");
        }
    }
    *checkpoint = found;
    return DOM_OK;
}

enum dom_code dom_checkpoint_sign(const struct dom_note_signer *signer,
                                  const struct dom_tree_head *head, struct dom_buffer *out,
                                  struct dom_error *err)
{
    struct dom_buffer body = {0};

    enum dom_code rc = dom_checkpoint_encode(dom_slice_str(signer->key.name), head, &body, err);
    if (rc == DOM_OK) {
        rc = dom_note_sign(signer, dom_buffer_slice(&body), out, err);
    }
    dom_buffer_cleanup(&body);
    return rc;
}

/* Whether the log itself signed, not only a witness. */
static bool signed_by_origin(const struct dom_note *note, struct dom_slice origin,
                             const struct dom_note_key *keys, size_t num_keys)
{
    for (size_t k = 0; k < num_keys; k++) {
        if (keys[k].type != DOM_KEY_ED25519 || !dom_slice_eq_str(origin, keys[k].name)) {
            continue;
        }
        for (unsigned i = 0; i < note->num_signatures; i++) {
            if (note->signatures[i].id == keys[k].id &&
                dom_slice_eq(note->signatures[i].name, origin)) {
                return true;
            }
        }
    }
    return false;
}

enum dom_code dom_checkpoint_open(struct dom_checkpoint *checkpoint, struct dom_slice bytes,
                                  const struct dom_note_key *keys, size_t num_keys,
                                  struct dom_note_verdict *verdicts, struct dom_error *err)
{
    struct dom_note note;

    memset(checkpoint, 0, sizeof(*checkpoint));
    enum dom_code rc = dom_note_parse(&note, bytes, err);
    if (rc == DOM_OK) {
        rc = dom_note_verify(&note, keys, num_keys, verdicts, err);
    }
    if (rc == DOM_OK) {
        rc = dom_checkpoint_parse(checkpoint, note.text, err);
    }
    if (rc == DOM_OK && !signed_by_origin(&note, checkpoint->origin, keys, num_keys)) {
        rc = DOM_FAIL(err, DOM_UNAUTHENTICATED,
                      "the checkpoint of %.*s is not signed by a known key of that name",
                      (int)checkpoint->origin.len, (const char *)checkpoint->origin.data);
    }
    return rc;
}
