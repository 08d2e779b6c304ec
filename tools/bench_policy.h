/* How long one decision takes, at 10, 100 and 1,000 rules. */
#ifndef DOM_TOOLS_BENCH_POLICY_H
#define DOM_TOOLS_BENCH_POLICY_H

#include <stdio.h>

/* Prints one line per size: rules, milliseconds to compile, nanoseconds per decision. Takes about
 * a second when optimised. Returns 0, or 1 when a policy did not compile. */
int dom_policy_bench(FILE *out);

#endif
