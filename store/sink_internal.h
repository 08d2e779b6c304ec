/* What the two halves of the sinks share: who waits (sink.c), and following the log (sink_follow.c). */
#ifndef DOM_STORE_SINK_INTERNAL_H
#define DOM_STORE_SINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "store/audit/sinkdir.h"
#include "store/sink.h"

#define DOM_SINK_WHY_SIZE 160U

struct dom_sink {
    struct dom_sinks *all;
    const struct dom_store_sink *options;
    unsigned number;
    pthread_t thread;
    bool started;

    /* The thread's own. */
    struct dom_sinkdir *copy; /* NULL: not open */
    struct dom_buffer run;
    uint64_t run_count;
    uint64_t checkpoint_size; /* of the last one copied */
    uint64_t checkpoint_us;
    uint64_t backoff_us;

    _Atomic uint64_t durable;       /* entries */
    _Atomic uint64_t busy_since_us; /* 0: it is not at anything that may hang */
    _Atomic uint64_t num_failures;
    bool up; /* under the lock, as `why` */
    bool stalled;
    bool begun; /* it has tried once */
    char why[DOM_SINK_WHY_SIZE];
};

struct dom_sinks {
    struct dom_region *region;
    const struct dom_store_options *options;
    struct dom_sink sinks[DOM_SINKS_MAX];
    size_t num;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    uint64_t events;             /* counts wakings */
    struct dom_store_op *first;  /* that wait, as they came */
    struct dom_store_op *last;
    struct dom_store_need need;  /* demanded now */
};

/* A copy has more: gives back whom that serves. */
void dom_sinks_release(struct dom_sinks *sinks);
/* Whether it takes entries now, and why not. */
void dom_sink_set_up(struct dom_sink *sink, bool up, const char *why);
/* The thread of one; `arg` is its struct dom_sink. */
void *dom_sink_main(void *arg);

static inline struct dom_audit_log *dom_sinks_log(const struct dom_sinks *sinks)
{
    return dom_region_log(sinks->region);
}

#endif
