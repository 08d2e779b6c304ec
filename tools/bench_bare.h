/* The barest server that makes something durable before it answers: a socket, a thread that
 * receives, and one that writes, syncs and answers. What a sync adds to its answers is what the
 * machine takes for one at a server, the waking of cores that went idle meanwhile with it; what a
 * program has beside that can be told only next to it.
 *
 * Thread contract: one at a time in a process.
 */
#ifndef DOM_TOOLS_BENCH_BARE_H
#define DOM_TOOLS_BENCH_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Runs it in this process, on a file in `folder` that is removed again, and asks it one thing at a
 * time: for `run_ms` without a sync, then as long with a write of `len` bytes and a sync before
 * each answer. *added_us: median of the second less median of the first. False: it could not be
 * run, and why is on stderr. */
bool dom_bench_bare(const char *folder, size_t len, uint64_t run_ms, double *added_us);

#endif
