/* Measures the audit log's own work: encoding, hashing, appending, proving, verifying. */
#ifndef DOM_TOOLS_BENCH_AUDIT_H
#define DOM_TOOLS_BENCH_AUDIT_H

#include <stdio.h>

/* Runs on one core for about five seconds, in a temporary folder that it removes; prints one line
 * per measure to `out`. Returns an exit code of tools/command.h. */
int dom_bench_audit(FILE *out);

#endif
