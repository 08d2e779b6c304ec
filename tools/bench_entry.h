/* The audit entries that are measured: accesses of ordinary size, about 1.2 KiB, alike in all but
 * what differs in life: ids, nonce, trace, time and whom they are about. */
#ifndef DOM_TOOLS_BENCH_ENTRY_H
#define DOM_TOOLS_BENCH_ENTRY_H

#include "store/audit/event.h"

#define DOM_BENCH_ORIGIN "audit.example.com/bench"

/* What the event's slices lie in. */
struct dom_bench_text {
    char trace[33];
    char id[40];
    char user[40];
};

/* Number `i` of them, always the same. */
void dom_bench_event(struct dom_audit_event *e, struct dom_bench_text *text, uint64_t i);

#endif
