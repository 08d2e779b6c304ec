/* Decides the request of an audit entry again: the inverse of trail.h (promise P4).
 *
 * An entry holds every input of its decision. Under the policy whose sha256 it names, the outcome
 * must be the same to the last field; under another policy it says what that one would do.
 *
 * Pure: no I/O, no clock, no memory of its own. Any thread.
 */
#ifndef DOM_ROUTER_CORE_REDECIDE_H
#define DOM_ROUTER_CORE_REDECIDE_H

#include "policy/policy.h"
#include "router/core/answer.h"
#include "store/audit/decided.h"

enum dom_redecide_outcome {
    DOM_REDECIDE_SAME,         /* decided as the entry says */
    DOM_REDECIDE_DIFFERS,      /* not so: `what` tells the first difference */
    DOM_REDECIDE_OTHER_POLICY, /* the policy is not the one that the entry names */
    DOM_REDECIDE_NO_DECISION,  /* a control event, or a caller refused before a policy was asked */
    DOM_REDECIDE_UNABLE        /* the entry is malformed or lacks an input: `what` tells which */
};
const char *dom_redecide_outcome_name(enum dom_redecide_outcome outcome); /* same, differs, ... */

struct dom_redecision {
    enum dom_redecide_outcome outcome;
    struct dom_decided said;                /* what the entry says; slices lie in the entry */
    struct dom_policy_request request;      /* what was asked, in ids of the policy */
    struct dom_policy_decision decision;    /* what the policy decides now */
    char what[192];                         /* "" unless the outcome says otherwise */
};

/* Decides `entry` (one entry's bytes) again under the policy that decided it, and compares effect,
 * reason, crossing, rules, basis and what became of each field. A denial because a limit was used
 * up is the same when the policy permits under a limit (the count is not in the entry), and one
 * because of a freeze or a stale timestamp when the request crosses a border: whether it was frozen
 * then is in the log's rollout entries, not in the policy.
 * `request` and `decision` are valid for SAME and DIFFERS. */
void dom_redecide(struct dom_redecision *out, const struct dom_policy *policy,
                  struct dom_slice entry);

/* What became of a request of the log under any policy. */
struct dom_replay {
    struct dom_policy_request request;
    struct dom_access access; /* decision and elsewhere are set; snapshot and caller are NULL */
};
/* The request of `said` (for which dom_decided_is_decision holds), asked of `policy` at `time_ms`.
 * Field names are classed by this policy; names it does not know lead to a denial, as they do in a
 * request. False when it cannot be asked, `what` (192 bytes) tells why: the time is missing, an op
 * is unknown, the region is not in the policy, or an entry that names classes only has one that
 * this policy does not know. */
bool dom_replay_ask(struct dom_replay *out, const struct dom_policy *policy,
                    const struct dom_decided *said, int64_t time_ms, char *what);

/* The service's name in `actor.id`; the whole of it when it has no form that is known. */
struct dom_slice dom_decided_service(const struct dom_decided *said);

#endif
