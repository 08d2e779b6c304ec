/* A region as a witness of the logs of others in this process. Its memory of them is in its own
 * database, whose disk may hang; so it answers on a thread of its own, and who asks waits for a
 * bounded time. Nothing is waited for in a ring: the thread asks nobody.
 *
 * Private to store/. Thread contract: start, stop, destroy: the store's owner; asking: the keeper of
 * the log that is to be cosigned. */
#ifndef DOM_STORE_DESK_INTERNAL_H
#define DOM_STORE_DESK_INTERNAL_H

#include "store/region/region.h"

#define DOM_DESK_WAIT_MS 400U /* of the second within which a checkpoint is published, half is gone */

struct dom_desk; /* of one region */

/* Errors: RESOURCE; *deskp must be destroyed then too. */
enum dom_code dom_desk_start(struct dom_desk **deskp, struct dom_region_host *host,
                             struct dom_region *witness, struct dom_error *err) DOM_MUST_USE;
/* What is not answered yet never is. Keepers must have ended. NULL: nothing. */
void dom_desk_stop(struct dom_desk *desk);
void dom_desk_destroy(struct dom_desk *desk);

/* Has the witness answer a request about the log of `asker`, as dom_witness_add_checkpoint does. One
 * that is not answered in time is answered all the same, for nobody; then the log is told to ask again
 * (dom_audit_log_ask_again), and until then nobody waits for this witness.
 * Errors: UNAVAILABLE (not in time), RESOURCE. */
enum dom_code dom_desk_ask(struct dom_desk *desk, struct dom_region *asker, struct dom_slice request,
                           unsigned *statusp, struct dom_buffer *body,
                           struct dom_error *err) DOM_MUST_USE;

#endif
