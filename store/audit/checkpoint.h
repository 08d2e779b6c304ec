/* Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log as a signed note.
 *
 * Thread contract: any thread.
 */
#ifndef DOM_STORE_AUDIT_CHECKPOINT_H
#define DOM_STORE_AUDIT_CHECKPOINT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/note/note.h"
#include "store/audit/tree.h"

#define DOM_CHECKPOINT_BYTES_MAX (64U << 10)

struct dom_checkpoint {
    struct dom_slice origin;     /* lies in the parsed bytes */
    struct dom_tree_head head;   /* size and root */
    struct dom_slice extensions; /* lines after the third, each with its newline; usually empty */
};

/* "An origin of 1 to 255 bytes, UTF-8, no space, no control character, no '+'." */
bool dom_origin_valid(struct dom_slice origin);

/* Appends the three lines of the body. Errors: INVALID (origin). */
enum dom_code dom_checkpoint_encode(struct dom_slice origin, const struct dom_tree_head *head,
                                    struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;
/* Reads a body (a note's text). Strict: size without leading zeros, 32 bytes of padded base64,
 * no empty line. Errors: PARSE. */
enum dom_code dom_checkpoint_parse(struct dom_checkpoint *checkpoint, struct dom_slice body,
                                   struct dom_error *err) DOM_MUST_USE;

/* Appends a whole signed checkpoint; the origin is the signer's name. */
enum dom_code dom_checkpoint_sign(const struct dom_note_signer *signer,
                                  const struct dom_tree_head *head, struct dom_buffer *out,
                                  struct dom_error *err) DOM_MUST_USE;

/* Parses a signed checkpoint and checks it: a key whose name is the origin must have signed, and
 * every line of a known key must verify. `bytes` must outlive *checkpoint. `verdicts` as in
 * dom_note_verify. Errors: PARSE, TOO_LARGE, TAMPERED, UNAUTHENTICATED. */
enum dom_code dom_checkpoint_open(struct dom_checkpoint *checkpoint, struct dom_slice bytes,
                                  const struct dom_note_key *keys, size_t num_keys,
                                  struct dom_note_verdict *verdicts,
                                  struct dom_error *err) DOM_MUST_USE;

#endif
