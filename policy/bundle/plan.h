/* The plan of a change: what a new policy decides otherwise than the one in force, as one text whose
 * hash the signers acknowledge. A router makes the same plan from the same two policies and compares
 * the hashes, so that nobody can sign one change and have another one.
 *
 * Thread contract: any thread; as long as a diff takes (policy/diff.h).
 */
#ifndef DOM_POLICY_BUNDLE_PLAN_H
#define DOM_POLICY_BUNDLE_PLAN_H

#include "base/buffer.h"
#include "base/error.h"
#include "policy/policy.h"

struct dom_plan {
    bool loosens; /* lets more pass or lie somewhere, or cannot be ordered */
    bool tightens;
    size_t num_groups;
    uint8_t sha256[32]; /* of the text */
};

/* `text` (may be NULL) gets the plan: one JSON object and a newline, the same bytes on every machine.
 * Errors: those of dom_diff_make. */
enum dom_code dom_plan_make(struct dom_plan *plan, const struct dom_policy *before,
                            const struct dom_policy *after, struct dom_buffer *text,
                            struct dom_error *err) DOM_MUST_USE;

#endif
