/* Proof files (C2SP tlog-proof): one entry, its place, the hashes up to a signed checkpoint.
 * Everything that a court needs offline, but the log's public key.
 *
 *   c2sp.org/tlog-proof@v1
 *   extra <base64 of the entry>
 *   index <n>
 *   <base64 hash> ...
 *   (empty line)
 *   <signed checkpoint>
 *
 * Thread contract: any thread.
 */
#ifndef DOM_STORE_AUDIT_PROOF_H
#define DOM_STORE_AUDIT_PROOF_H

#include "base/buffer.h"
#include "base/error.h"
#include "store/audit/checkpoint.h"
#include "store/audit/tree.h"

#define DOM_PROOF_FILE_BYTES_MAX (256U << 10)

/* Appends the file. `entry` may be empty: no extra line then. */
enum dom_code dom_proof_file_encode(struct dom_slice entry, uint64_t index,
                                    const struct dom_proof *proof, struct dom_slice checkpoint,
                                    struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

struct dom_proof_file {
    uint64_t index;
    bool has_extra;
    struct dom_buffer extra; /* owned: the entry */
    struct dom_proof proof;
    struct dom_slice checkpoint; /* in the parsed bytes */
};
/* `bytes` must outlive *file. Errors: PARSE, TOO_LARGE, RESOURCE. Nothing to clean up then. */
enum dom_code dom_proof_file_parse(struct dom_proof_file *file, struct dom_slice bytes,
                                   struct dom_error *err) DOM_MUST_USE;
void dom_proof_file_cleanup(struct dom_proof_file *file);

/* Checks a parsed file: the checkpoint is signed by the log's key, and the entry (`extra`, or
 * `entry` when it has none) is in that tree at that index. *checkpoint lies in the parsed bytes;
 * it and *leaf are set on success. Errors: TAMPERED, UNAUTHENTICATED, PARSE, INVALID (no entry
 * given). */
enum dom_code dom_proof_file_check(const struct dom_proof_file *file, struct dom_slice entry,
                                   const struct dom_note_key *keys, size_t num_keys,
                                   struct dom_checkpoint *checkpoint, struct dom_hash *leaf,
                                   struct dom_error *err) DOM_MUST_USE;

#endif
