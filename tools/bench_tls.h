/* `domicile bench tls`: two routers side by side, plain text and mTLS; what a request, an echo and
 * a connection cost over each, in server CPU. */
#ifndef DOM_TOOLS_BENCH_TLS_H
#define DOM_TOOLS_BENCH_TLS_H

#include <stdint.h>

struct dom_bench_tls_options {
    const char *policy;      /* path; the shipped policy's services and homes are used */
    uint64_t num_records;    /* loaded before the reads, at least 1 */
    uint64_t run_ms;         /* of each of the interleaved runs */
    unsigned pairs;          /* 1 to 25 */
    unsigned num_handshakes; /* connections of each kind, at least 1 */
};

/* Returns an exit code. Prints a table on stdout. */
int dom_bench_tls(const struct dom_bench_tls_options *options);

#endif
