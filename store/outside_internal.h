/* Witnesses outside of this process. Private to store/. Thread contract: start to destroy:
 * the store's owner; waking: any thread; everything between is its own thread's. NULL: nothing. */
#ifndef DOM_STORE_OUTSIDE_INTERNAL_H
#define DOM_STORE_OUTSIDE_INTERNAL_H

#include "base/error.h"

struct dom_store;
struct dom_outside;

/* Nothing, and *outsidep NULL, without options.witness_policy. Errors: IO, PARSE (the policy),
 * INVALID (an address, or none), RESOURCE; what was made must be destroyed then too. */
enum dom_code dom_outside_start(struct dom_outside **outsidep, struct dom_store *store,
                                struct dom_error *err) DOM_MUST_USE;
/* There is a newer checkpoint. Until it is destroyed. */
void dom_outside_wake(struct dom_outside *outside);
/* It is to end, and is not awaited. */
void dom_outside_end(struct dom_outside *outside);
/* A question under way is waited for, at most its timeout. */
void dom_outside_stop(struct dom_outside *outside);
void dom_outside_destroy(struct dom_outside *outside);

#endif
