/* `domicile bench rpc`: the router as a process of its own under a closed loop, every figure as a
 * multiple of R: the server CPU of a raw unary echo in the same process, run in turn with it. */
#ifndef DOM_TOOLS_BENCH_RPC_H
#define DOM_TOOLS_BENCH_RPC_H

#include <stdint.h>

struct dom_bench_rpc_options {
    const char *policy;      /* path; the shipped policy's services and homes are used */
    const char *only;        /* run just this scenario; NULL: all */
    const char *scratch;     /* folder for data; NULL: TMPDIR or /tmp */
    const char *count_lib;   /* library that counts allocations (preloaded); NULL: not counted */
    uint64_t num_records;    /* loaded before the reads */
    uint64_t run_ms;         /* of each of the interleaved runs */
    unsigned pairs;          /* echo, operation, echo, operation, ... */
    int json;
};

/* Returns an exit code. Prints a table (or JSON) on stdout. */
int dom_bench_rpc(const struct dom_bench_rpc_options *options);

#endif
