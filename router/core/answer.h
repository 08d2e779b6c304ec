/* From a decision and a row to the bytes of an answer: which field goes out how.
 *
 * Pure but for the pseudonym callback. Answers are protobuf wire bytes of domicile.v1 messages.
 * Thread contract: any thread; one buffer, one owner.
 */
#ifndef DOM_ROUTER_CORE_ANSWER_H
#define DOM_ROUTER_CORE_ANSWER_H

#include "base/buffer.h"
#include "router/core/request.h"

/* What becomes of a field. Words as in the audit entry's fields[].h. */
enum dom_handling {
    DOM_HANDLING_CLEAR = 0,
    DOM_HANDLING_REDACT = 1, /* the numbers are those of domicile.v1.Handling */
    DOM_HANDLING_PSEUDONYM = 2,
    DOM_HANDLING_DROP = 3
};
const char *dom_handling_name(enum dom_handling handling); /* clear, redact, pseudonym, drop */

/* One access as it was decided. */
struct dom_access {
    const struct dom_snapshot *snapshot;
    const struct dom_caller *caller;
    struct dom_policy_request request;
    struct dom_policy_decision decision;
    dom_store_region served;        /* the region that gives (reads) or takes (writes) the bytes */
    dom_policy_set elsewhere;       /* classes that the serving region does not hold and that were
                                     * not fetched: fields of these are told as not given */
};

/* Asks the policy. `crosses` and `served` are the route's. */
void dom_access_decide(struct dom_access *access, const struct dom_snapshot *snapshot,
                       const struct dom_caller *caller, enum dom_policy_op op,
                       dom_policy_id kind, dom_policy_id home, dom_policy_id purpose,
                       dom_policy_set classes, dom_store_region served, bool crosses,
                       int64_t time_ms);

/* What the other policy of a roll-out says of this access. False: there is none, or the policies
 * were not what decided (frozen, a volume limit). */
bool dom_access_compare(const struct dom_access *access, struct dom_trial_verdict *verdict);

enum dom_handling dom_access_handling(const struct dom_access *access, dom_policy_id data_class);
/* OBLIGATION, NO_PERMIT, FORBIDDEN or BASIS_EXPIRED: why a field is not clear. Static. */
const char *dom_access_handling_reason(const struct dom_access *access, dom_policy_id data_class);
/* The distinct rules that decided about the request's classes, in ascending order; `rules` needs
 * room for DOM_CLASSES_MAX. Returns how many. */
size_t dom_access_rules(const struct dom_access *access, dom_policy_id *rules);
/* The distinct bases of what is given, likewise. */
size_t dom_access_bases(const struct dom_access *access, dom_policy_id *bases);
/* The one basis that an entry names: the first of them with a document, else the first; or NONE. */
dom_policy_id dom_access_basis(const struct dom_access *access, const struct dom_policy *policy);

/* Turns a permitted access into a denial for a reason that the policy cannot know (a limit that is
 * used up): nothing is given, the rules that would have permitted it stay told. */
void dom_access_refuse(struct dom_access *access, enum dom_code reason);

/* The class of a stored field, by the policy in force; a name that the policy no longer knows
 * counts as the strictest class. */
dom_policy_id dom_access_field_class(const struct dom_snapshot *snapshot, dom_policy_id kind,
                                     struct dom_slice field);
/* The classes of those fields of the row that the mask wants. */
dom_policy_set dom_row_classes(const struct dom_snapshot *snapshot, dom_policy_id kind,
                               const struct dom_store_row *row, const struct dom_mask *mask);

/* Makes the pseudonym of a value; false: the key cannot be used (the field is then dropped). */
typedef bool dom_pseudonym_fn(void *context, const char *key_name, struct dom_slice value,
                              char out[32]);

/* A `Record` message body for this caller, appended to out. */
void dom_answer_record(struct dom_buffer *out, const struct dom_access *access,
                       const struct dom_store_row *row, const struct dom_mask *mask,
                       dom_pseudonym_fn *pseudonym, void *context);

/* A `Decision` message body; row and mask may be NULL (then no fields are told). */
void dom_answer_decision(struct dom_buffer *out, const struct dom_access *access,
                         const struct dom_store_row *row, const struct dom_mask *mask);

/* A `Receipt` message body. */
void dom_answer_receipt(struct dom_buffer *out, const char *origin,
                        const struct dom_store_receipt *receipt);

#endif
