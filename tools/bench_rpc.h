/* `domicile bench rpc`: the router as a process of its own under a closed loop, every figure as a
 * multiple of R: the server CPU of a raw unary echo in the same process, run in turn with it. */
#ifndef DOM_TOOLS_BENCH_RPC_H
#define DOM_TOOLS_BENCH_RPC_H

#include <stdbool.h>
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

/* For other measurements of a router that runs. `name` is a scenario's. */
struct dom_bench_server;
/* Loads what the scenario reads and waits until it is replicated. False after a word on stderr. */
bool dom_bench_rpc_load(const struct dom_bench_server *server, const char *name,
                        uint64_t num_records);
/* The median latency of the scenario's calls, one at a time on one connection. */
bool dom_bench_rpc_alone(const struct dom_bench_server *server, const char *name,
                         uint64_t num_records, uint64_t run_ms, uint64_t *p50_ns,
                         uint64_t *num_calls);

#endif
