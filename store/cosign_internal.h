/* Asking a witness, whatever carries the question. Private to store/. Thread contract: a log is
 * asked about from any thread; `transport` is the caller's. */
#ifndef DOM_STORE_COSIGN_INTERNAL_H
#define DOM_STORE_COSIGN_INTERNAL_H

#include "store/audit/tree.h"
#include "store/audit/witness.h"
#include "store/audit_log/audit_log.h"

struct dom_desk;
struct dom_region;

struct dom_cosign_ask {
    struct dom_audit_log *log;
    struct dom_slice note; /* the checkpoint */
    struct dom_tree_head head;
    const struct dom_note_key *key; /* of the witness */
    /* Carries one request; *statusp is the answer's. Errors: no answer, in time. */
    enum dom_code (*post)(void *transport, struct dom_slice request, unsigned *statusp,
                          struct dom_buffer *body, struct dom_error *err);
    void *transport;
};

/* Transport within the process. */
struct dom_cosign_here {
    struct dom_desk *desk;
    struct dom_region *asker;
};

/* *last_sizep: what the witness cosigned last, as far as is known; updated. Appends at most one
 * line to `lines`, which verifies. `err` says why it is not COSIGNED. */
enum dom_audit_log_asked dom_cosign_ask(const struct dom_cosign_ask *ask, uint64_t *last_sizep,
                                        struct dom_buffer *lines, struct dom_error *err);
/* Counts and logs: a refusal each time, a failure when it begins and when it ends (*downp). */
void dom_cosign_tell(struct dom_audit_log *log, const char *witness, bool *downp,
                     enum dom_audit_log_asked how, const struct dom_error *err);

#endif
