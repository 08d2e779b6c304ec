/* From an access to its audit entry: everything that the decision needed, so that it can be
 * decided again (promise P4), and nothing that names a person (promise P10).
 *
 * Pure: the caller gives time, randomness and hashes. Any thread.
 */
#ifndef DOM_ROUTER_CORE_TRAIL_H
#define DOM_ROUTER_CORE_TRAIL_H

#include "base/buffer.h"
#include "router/core/answer.h"

/* What the entry says besides the access itself. */
struct dom_trail {
    const char *origin;            /* of the log that takes the entry */
    const char *instance;          /* this process */
    const char *build;
    struct dom_slice subject_hash; /* of (kind, id), under the key of the log's region; empty for a
                                    * list */
    struct dom_slice trace;        /* 32 hex digits or empty */
    const char *op;                /* read, list, write, update, delete */
    int64_t time_ms;
    uint8_t random[26];            /* fresh for every entry */
    int64_t policy_index;          /* where this log says that the policy is in force; -1: unknown */
    uint64_t bytes;                /* of the field values that move */
    uint64_t count;                /* records */
    uint64_t us;                   /* since the request came */
    dom_store_set replicas_abroad; /* regions in other jurisdictions that get a part of a write */
};

/* Appends the entry's bytes. fields: names that the access is about, each with its class by the
 * policy. No names, or so many that the entry would be too long: one "*" per class.
 * Errors: those of dom_audit_event_encode. */
enum dom_code dom_trail_encode(struct dom_buffer *out, const struct dom_trail *trail,
                               const struct dom_access *access, const struct dom_slice *fields,
                               size_t num_fields, struct dom_error *err) DOM_MUST_USE;

#endif
