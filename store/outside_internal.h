/* Witnesses outside of this process. Private to store/. Thread contract: start and stop: the
 * store's owner; everything between is its own thread's. */
#ifndef DOM_STORE_OUTSIDE_INTERNAL_H
#define DOM_STORE_OUTSIDE_INTERNAL_H

#include "base/error.h"

struct dom_store;
struct dom_outside;

/* Nothing, and *outsidep NULL, without options.witness_policy. Errors: IO, PARSE (the policy),
 * INVALID (an address, or none), RESOURCE. */
enum dom_code dom_outside_start(struct dom_outside **outsidep, struct dom_store *store,
                                struct dom_error *err) DOM_MUST_USE;
/* The store must be stopping: a question under way is waited for, at most its timeout. */
void dom_outside_stop(struct dom_outside *outside);

#endif
