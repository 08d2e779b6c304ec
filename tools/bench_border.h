/* `domicile bench border`: what a border adds to the latency of a read at low load, in fsyncs of the
 * disk that it is measured on. */
#ifndef DOM_TOOLS_BENCH_BORDER_H
#define DOM_TOOLS_BENCH_BORDER_H

#include "tools/bench_rpc.h"

/* Takes policy, scratch, num_records, run_ms, pairs and json. Returns an exit code. */
int dom_bench_border(const struct dom_bench_rpc_options *options);

#endif
