/* A router process for a benchmark: started on a scratch folder, watched from outside.
 * Private to tools. One thread. */
#ifndef DOM_TOOLS_BENCH_SERVER_H
#define DOM_TOOLS_BENCH_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct dom_bench_server {
    pid_t pid;
    char folder[256];       /* owned: removed by stop */
    char address[64];
    unsigned metrics_port;
    volatile uint64_t *counts; /* allocations, bytes copied; NULL when not counted */
};

/* Runs this very binary as `serve` on the policy. Errors: IO, INVALID. */
enum dom_code dom_bench_server_start(struct dom_bench_server *server, const char *policy,
                                     const char *scratch, const char *count_lib,
                                     struct dom_error *err) DOM_MUST_USE;
/* The same with other lines of configuration than the insecure mode's ("identity = ...;"). */
enum dom_code dom_bench_server_start_as(struct dom_bench_server *server, const char *policy,
                                        const char *scratch, const char *count_lib,
                                        const char *identity, struct dom_error *err) DOM_MUST_USE;
/* Ends it (SIGTERM, then waits) and removes its folder. */
void dom_bench_server_stop(struct dom_bench_server *server);

uint64_t dom_bench_server_cpu_ns(const struct dom_bench_server *server);
uint64_t dom_bench_server_rss_bytes(const struct dom_bench_server *server);
/* The sum of a metric over its labels; 0 when it cannot be had. */
uint64_t dom_bench_server_metric(const struct dom_bench_server *server, const char *name);

#endif
