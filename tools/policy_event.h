/* Entries of an audit log decided again, under the policy version of their time. */
#ifndef DOM_TOOLS_POLICY_EVENT_H
#define DOM_TOOLS_POLICY_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/policy_shelf.h"

struct dom_event_options {
    const char *path; /* entries, one a line; "-": standard input. Or: */
    const char *log;  /* a published log, with */
    uint64_t index;   /* of the entry */
    bool has_index;
    struct dom_policy_shelf *policies;
    bool json;
};

/* Prints what each entry decides to and whether that is what it says. Returns an exit code. */
int dom_event_explain(const struct dom_event_options *options);

#endif
