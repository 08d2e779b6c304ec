/* Trust policies (C2SP tlog-policy): which logs and witnesses are known, and how many of the
 * witnesses must have cosigned a checkpoint.
 *
 *   log <vkey> [<url>]
 *   witness <name> <vkey> [<url>]
 *   group <name> all|any|<k> <member>...
 *   quorum <name>|none
 *
 * Items are divided by spaces and tabs; `#` begins a comment line. Names are octets, compared
 * exactly. A group or quorum names only what stands above it, and each name is a member at most
 * once, so a witness counts in one way.
 *
 * Thread contract: any thread; a parsed policy is read-only. Limits below.
 */
#ifndef DOM_STORE_AUDIT_QUORUM_H
#define DOM_STORE_AUDIT_QUORUM_H

#include "base/error.h"
#include "base/note/note.h"
#include "base/slice.h"

#define DOM_QUORUM_FILE_BYTES_MAX (256U << 10)
#define DOM_QUORUM_LOGS_MAX       64U
#define DOM_QUORUM_WITNESSES_MAX  64U
#define DOM_QUORUM_GROUPS_MAX     64U
#define DOM_QUORUM_URL_BYTES_MAX  1024U

struct dom_quorum;

/* Nothing of `text` is kept. Errors: PARSE ("line 3: ..."), TOO_LARGE, RESOURCE (over a limit). */
enum dom_code dom_quorum_parse(struct dom_quorum **quorump, struct dom_slice text,
                               struct dom_error *err) DOM_MUST_USE;
/* The same from a file; messages begin with its path. Errors: also IO. */
enum dom_code dom_quorum_read(struct dom_quorum **quorump, const char *path,
                              struct dom_error *err) DOM_MUST_USE;
/* NULL is a no-op. */
void dom_quorum_destroy(struct dom_quorum *quorum);

/* The logs' keys (Ed25519; the key's name is the log's origin) and the witnesses' (cosignature),
 * in the file's order. They live as long as the policy. */
size_t dom_quorum_num_logs(const struct dom_quorum *quorum);
const struct dom_note_key *dom_quorum_log(const struct dom_quorum *quorum, size_t i);
size_t dom_quorum_num_witnesses(const struct dom_quorum *quorum);
const struct dom_note_key *dom_quorum_witness(const struct dom_quorum *quorum, size_t i);
/* NUL-terminated; empty when the file names none. */
const char *dom_quorum_witness_url(const struct dom_quorum *quorum, size_t i);

/* What the witnesses said of one checkpoint. */
struct dom_quorum_result {
    unsigned num_witnesses;    /* in the policy */
    unsigned num_cosignatures; /* of them that verify */
    uint64_t oldest_s;         /* time of the earliest of these; 0: none */
    bool met;
};

/* Counts the cosignatures of a signed checkpoint; whether the log signed is the caller's to ask
 * (dom_checkpoint_open). A quorum that is not met is no error here.
 * Errors: PARSE, TOO_LARGE, TAMPERED (a known witness's line does not verify). */
enum dom_code dom_quorum_judge(const struct dom_quorum *quorum, struct dom_slice checkpoint,
                               struct dom_quorum_result *result,
                               struct dom_error *err) DOM_MUST_USE;

#endif
