/* A policy as tables for people who do not read its syntax: who may receive what, on what basis,
 * until when; what is never allowed; where each class of each home's data lies. Thread contract:
 * any thread. */
#ifndef DOM_POLICY_DOCS_H
#define DOM_POLICY_DOCS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "policy/policy.h"

/* Appends the tables as Markdown, or as one HTML page. Where data lies and which bases are in
 * force is said for `time_ms`. Every text of the policy is escaped. */
void dom_docs_print(const struct dom_policy *policy, int64_t time_ms, bool html,
                    struct dom_buffer *out);

#endif
