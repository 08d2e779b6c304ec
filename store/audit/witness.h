/* A witness (C2SP tlog-witness, add-checkpoint): cosigns a log's checkpoint if it continues the
 * last one that this witness cosigned for that log. So a log that forks or goes back finds no
 * witness for it. Transport and storage are the caller's.
 *
 * Thread contract: dom_witness_add_checkpoint any thread: checking against the last checkpoint
 * and storing the new one are one step under a lock. Initialising and cleaning up: one thread.
 * Limits: DOM_WITNESS_REQUEST_BYTES_MAX, DOM_WITNESS_PROOF_LINES_MAX.
 */
#ifndef DOM_STORE_AUDIT_WITNESS_H
#define DOM_STORE_AUDIT_WITNESS_H

#include <pthread.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/note/note.h"
#include "store/audit/checkpoint.h"
#include "store/audit/tree.h"

#define DOM_WITNESS_REQUEST_BYTES_MAX (96U << 10)
#define DOM_WITNESS_PROOF_LINES_MAX   63U
#define DOM_WITNESS_SIZE_TYPE         "text/x.tlog.size"

/* Appends a request's body. Errors: INVALID (proof too long), RESOURCE. */
enum dom_code dom_witness_request_encode(uint64_t old_size, const struct dom_proof *proof,
                                         struct dom_slice checkpoint, struct dom_buffer *out,
                                         struct dom_error *err) DOM_MUST_USE;

struct dom_witness_request {
    uint64_t old_size;
    struct dom_proof proof;
    struct dom_slice checkpoint; /* in the parsed bytes */
};
/* Errors: PARSE, TOO_LARGE. */
enum dom_code dom_witness_request_parse(struct dom_witness_request *request, struct dom_slice bytes,
                                        struct dom_error *err) DOM_MUST_USE;

/* Where a witness remembers. Called under the witness's lock. */
struct dom_witness_store {
    /* The head last cosigned for the origin; size 0 when there is none. Errors: IO, CORRUPT. */
    enum dom_code (*load)(void *impl, struct dom_slice origin, struct dom_tree_head *head,
                          struct dom_error *err);
    /* Durable when it returns DOM_OK. `checkpoint` is the note that was cosigned. Errors: IO. */
    enum dom_code (*save)(void *impl, struct dom_slice origin, struct dom_slice checkpoint,
                          const struct dom_tree_head *head, struct dom_error *err);
    void *impl;
};

struct dom_witness {
    struct dom_note_signer signer; /* DOM_KEY_COSIGNATURE; owned */
    struct dom_witness_store store;
    pthread_mutex_t lock;
    bool ready;
};

/* Takes the signer over, which is zeroed, also on an error. Errors: INVALID (not a cosigner's
 * key). */
enum dom_code dom_witness_init(struct dom_witness *witness, struct dom_note_signer *signer,
                               const struct dom_witness_store *store,
                               struct dom_error *err) DOM_MUST_USE;
/* Legal on a zeroed witness. */
void dom_witness_cleanup(struct dom_witness *witness);

/* HTTP's answer. */
struct dom_witness_answer {
    unsigned status;          /* 200, 400, 403, 404, 409, 422; 500: could not be stored */
    const char *content_type; /* static */
    struct dom_buffer body;   /* owned: a signature line, a size, or a sentence */
};
void dom_witness_answer_cleanup(struct dom_witness_answer *answer);

/* `keys` are the logs that this witness knows, by name (their origin). `answer` is filled in
 * every case; the code says why it is not 200.
 * Errors: PARSE (400), NOT_FOUND (404: unknown origin), UNAUTHENTICATED and TAMPERED with 403
 * (no good signature by the log) or 422 (bad proof), VERSION_MISMATCH (409), INVALID (400: old
 * size over the checkpoint's), others (500). */
enum dom_code dom_witness_add_checkpoint(struct dom_witness *witness,
                                         const struct dom_note_key *keys, size_t num_keys,
                                         struct dom_slice request, uint64_t time_s,
                                         struct dom_witness_answer *answer,
                                         struct dom_error *err) DOM_MUST_USE;

/* ---- a witness's memory as files ---------------------------------------------------------- */

/* <dir>/<hex SHA-256 of the origin>: the last checkpoint that was cosigned, replaced whole.
 * `dir` is borrowed and made on the first save. */
struct dom_witness_store dom_witness_store_files(const char *dir);

#endif
