/* Volume limits (`limit` obligations): how many distinct subjects, or accesses, a rule may let
 * across a border in one period.
 *
 * Who has been counted is durable in the giving region's store, written in the same batch as the
 * entry. Here is only the arithmetic: how many each window holds (read once, then kept), and what
 * is on its way to disk, so that a burst cannot pass a limit before its first commit lands. A
 * sliding period is counted as the fixed window of that length that holds the time plus the one
 * before it: never fewer than a true sliding count, so the limit errs on the strict side.
 *
 * Thread contract: the I/O thread's.
 */
#ifndef DOM_ROUTER_SERVICE_LIMIT_H
#define DOM_ROUTER_SERVICE_LIMIT_H

#include "base/arena.h"
#include "policy/policy.h"
#include "store/store.h"

#define DOM_LIMIT_WINDOWS_MAX 512U    /* counted at once; the longest unused is forgotten */
#define DOM_LIMIT_IN_FLIGHT_MAX 8192U /* members on their way to disk; beyond: RESOURCE */
#define DOM_LIMIT_SLOTS 16384U        /* of the hash table of members in flight; a power of two */
#define DOM_LIMIT_RECENT 131072U      /* members known to be on disk; a power of two */

struct dom_limit_window;
struct dom_limit_member;

/* 128 bits that stand for a member's key. The keys are keyed hashes: nobody can make two of them
 * meet. */
struct dom_limit_print {
    uint64_t low;
    uint64_t high; /* both 0: empty */
};

struct dom_limit_table {
    struct dom_limit_window *windows; /* DOM_LIMIT_WINDOWS_MAX, owned */
    size_t num_windows;
    uint64_t tick;                    /* of use, for forgetting */
    struct dom_limit_member *members; /* DOM_LIMIT_SLOTS, owned */
    size_t num_members;
    struct dom_limit_print *recent;   /* DOM_LIMIT_RECENT, owned; saves the lookup of a regular */
};

/* Aborts when out of memory (start-up). Cleanup is legal on a zeroed table. */
void dom_limit_table_init(struct dom_limit_table *table);
void dom_limit_table_cleanup(struct dom_limit_table *table);

/* Asks every limit of the decision. On DOM_OK keys[] (room for DOM_OBLIGATIONS_MAX * 2) holds what
 * must be written with the entry, and these are in flight until dom_limit_settle; on an error
 * nothing is. The keys lie in the arena.
 * `subject` is the keyed hash of whom the access is about; `access_id` is unique per access.
 * Errors: LIMIT_REACHED (with the rule in *rulep), RESOURCE, and those of the store. */
enum dom_code dom_limit_check(struct dom_limit_table *table, struct dom_store_session *session,
                              dom_store_region region, const struct dom_policy *policy,
                              const struct dom_policy_cell *cell, struct dom_slice subject,
                              struct dom_slice access_id, int64_t time_ms,
                              struct dom_arena *arena, struct dom_slice *keys, size_t *num_keysp,
                              dom_policy_id *rulep, struct dom_error *err) DOM_MUST_USE;

/* Whether the key counts for nothing any more: its period, for a sliding one also the next, has been
 * over for a day. False for what is no such key. Pure, any thread. */
bool dom_limit_key_over(struct dom_slice key, int64_t now_ms);

/* The keys are durable in the region's store, or will never be. */
void dom_limit_settle(struct dom_limit_table *table, dom_store_region region,
                      const struct dom_slice *keys, size_t num_keys, bool durable);

#endif
