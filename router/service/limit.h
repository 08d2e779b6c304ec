/* Volume limits (`limit` obligations): how many distinct subjects, or accesses, a rule may let
 * across a border in one period.
 *
 * The counts are durable in the giving region's store, written in the same batch as the entry.
 * What is in flight is counted here, so that a burst cannot pass a limit before its first commit
 * lands. A sliding period is counted as the fixed window of that length that holds the time plus
 * the one before it: never fewer than a true sliding count, so the limit errs on the strict side.
 *
 * Thread contract: the I/O thread's.
 */
#ifndef DOM_ROUTER_SERVICE_LIMIT_H
#define DOM_ROUTER_SERVICE_LIMIT_H

#include "base/arena.h"
#include "policy/policy.h"
#include "store/store.h"

#define DOM_LIMIT_IN_FLIGHT_MAX 4096U /* counts in flight; beyond, limited accesses are BUSY */

/* One count that is on its way to disk. */
struct dom_limit_pending {
    struct dom_slice key; /* in the request's arena */
    size_t prefix_len;
    dom_store_region region;
};

struct dom_limit_table {
    struct dom_limit_pending pending[DOM_LIMIT_IN_FLIGHT_MAX];
    size_t num_pending;
};

/* Asks every limit of the decision. On DOM_OK keys[] (room for DOM_OBLIGATIONS_MAX * 2) holds what
 * must be written with the entry, and these are pending until dom_limit_settle.
 * `subject` is the keyed hash of whom the access is about; `access_id` is unique per access.
 * Errors: LIMIT_REACHED (with the rule in *rulep), RESOURCE, and those of the store. */
enum dom_code dom_limit_check(struct dom_limit_table *table, struct dom_store_session *session,
                              dom_store_region region, const struct dom_policy *policy,
                              const struct dom_policy_cell *cell, struct dom_slice subject,
                              struct dom_slice access_id, int64_t time_ms,
                              struct dom_arena *arena, struct dom_slice *keys, size_t *num_keysp,
                              dom_policy_id *rulep, struct dom_error *err) DOM_MUST_USE;

/* The keys are durable, or will never be. */
void dom_limit_settle(struct dom_limit_table *table, const struct dom_slice *keys, size_t num_keys);

#endif
