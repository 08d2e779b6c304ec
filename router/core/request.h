/* What a caller asked, resolved against one policy snapshot: names become ids, and whatever is
 * unknown is refused with the path of the field that holds it (promises P2, P11).
 *
 * Pure: no I/O, no clock, allocates only from the given arena. Any thread.
 */
#ifndef DOM_ROUTER_CORE_REQUEST_H
#define DOM_ROUTER_CORE_REQUEST_H

#include "base/arena.h"
#include "base/error.h"
#include "router/core/snapshot.h"

/* A refusal that names its place. `path` is a static string or lies in the request's arena. */
struct dom_refusal {
    struct dom_error error;
    const char *path; /* field path for BadRequest, NULL: none */
};

/* Fills the refusal and returns its code. */
enum dom_code dom_refuse(struct dom_refusal *refusal, enum dom_code code, const char *path,
                         const char *fmt, ...) DOM_PRINTF(4, 5);

/* Who asks, as proven by the connection. */
struct dom_caller {
    struct dom_slice subject;      /* "spiffe://..." or "insecure:NAME" */
    struct dom_slice service_name;
    struct dom_slice region_name;
    dom_policy_id service;         /* NONE: unknown; every decision will be a deny */
    dom_policy_id region;
    dom_policy_id country;
    dom_policy_id jurisdiction;
    dom_store_region store_region; /* where the caller is, if open here */
    /* The proof, empty without one; and what the caller says of itself that differs. Set by who
     * resolves the caller; nothing is ever decided by a claim. */
    struct dom_slice cert_serial;
    struct dom_slice cert_key;
    struct dom_slice claimed_region;
    struct dom_slice claimed_service;
};

/* Errors: UNAUTHENTICATED when the region is not in the policy (nothing can be decided). */
enum dom_code dom_caller_resolve(struct dom_caller *caller, const struct dom_snapshot *snapshot,
                                 struct dom_slice subject, struct dom_slice service,
                                 struct dom_slice region, struct dom_refusal *refusal) DOM_MUST_USE;

/* Which record. */
struct dom_key {
    struct dom_slice kind_name;
    struct dom_slice id;
    dom_policy_id kind;
    dom_policy_id home;            /* NONE when the caller named none */
};

/* `prefix` is put before the field's name in the path, such as "keys[3]." (or ""). Errors: INVALID. */
enum dom_code dom_key_resolve(struct dom_key *key, const struct dom_snapshot *snapshot,
                              struct dom_slice kind, struct dom_slice id, struct dom_slice home,
                              const char *prefix, struct dom_arena *arena,
                              struct dom_refusal *refusal) DOM_MUST_USE;

/* Empty: NONE. Errors: INVALID (unknown purpose). */
enum dom_code dom_purpose_resolve(dom_policy_id *purposep, const struct dom_snapshot *snapshot,
                                  struct dom_slice purpose,
                                  struct dom_refusal *refusal) DOM_MUST_USE;

/* A home that must be there. Errors: INVALID. */
enum dom_code dom_home_resolve(dom_policy_id *homep, const struct dom_snapshot *snapshot,
                               struct dom_slice home, const char *path,
                               struct dom_refusal *refusal) DOM_MUST_USE;

/* The fields that a reader names; num_names 0: all. */
struct dom_mask {
    const struct dom_slice *names;
    size_t num_names;
    dom_policy_set classes; /* of the named fields, or of everything the kind may hold */
};

/* Errors: INVALID (a name that is not a field name, or that the kind does not know). */
enum dom_code dom_mask_resolve(struct dom_mask *mask, const struct dom_snapshot *snapshot,
                               dom_policy_id kind, const struct dom_slice *names, size_t num_names,
                               struct dom_arena *arena,
                               struct dom_refusal *refusal) DOM_MUST_USE;
bool dom_mask_has(const struct dom_mask *mask, struct dom_slice name);

#endif
