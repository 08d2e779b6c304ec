/* Figures of the store alone, in this process: reading, group commit, the log, memory. */
#ifndef DOM_TOOLS_BENCH_STORE_H
#define DOM_TOOLS_BENCH_STORE_H

#include <stdbool.h>
#include <stdio.h>

/* Runs for about a minute, or ten seconds with the appends alone, in a temporary folder ($TMPDIR or /tmp), which it removes, and prints one
 * line per figure: name, value, unit. 0, or 1 after an error (told on stderr). */
int dom_bench_store(FILE *out, bool appends_only);

#endif
