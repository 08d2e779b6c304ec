/* What of a log is no more: the file <dir>/pruned, a note signed by the log.
 *
 *   domicile-audit-pruned/v1
 *   <origin>
 *   first <N>        entries before N are gone, their hashes are not; a multiple of 256
 *   entry <index>    the entry of the log that says so (type purge, detail.action prune)
 *
 * Without it a bundle that is not there is a loss.
 *
 * Thread contract: any thread.
 */
#ifndef DOM_STORE_AUDIT_PRUNED_H
#define DOM_STORE_AUDIT_PRUNED_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/note/note.h"

#define DOM_PRUNED_BYTES_MAX 65536U

struct dom_pruned {
    uint64_t first; /* 0: nothing is gone */
    uint64_t entry;
};

/* Appends the note. Errors: INVALID (no multiple of 256, or the entry lies before it), RESOURCE. */
enum dom_code dom_pruned_sign(const struct dom_note_signer *signer, const struct dom_pruned *pruned,
                              struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;
/* What it says, whoever signed. Errors: PARSE. */
enum dom_code dom_pruned_parse(struct dom_pruned *pruned, struct dom_slice bytes,
                               struct dom_error *err) DOM_MUST_USE;
/* The same, signed by the log's key and about this log. Errors: PARSE, TAMPERED,
 * UNAUTHENTICATED. */
enum dom_code dom_pruned_open(struct dom_pruned *pruned, struct dom_slice bytes, const char *origin,
                              const struct dom_note_key *keys, size_t num_keys,
                              struct dom_error *err) DOM_MUST_USE;
/* Whether the entry says that the log was pruned so far. */
bool dom_pruned_entry_says(struct dom_slice entry, uint64_t first);

#endif
