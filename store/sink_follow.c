/* Following the log: the thread of one second copy. */
#include "store/sink_internal.h"

#include "base/assert.h"
#include "base/thread.h"
#include "store/audit/bundle.h"
#include "store/waiter.h"

#define BACKOFF_FIRST_US    UINT64_C(100000)
#define BACKOFF_LAST_US     UINT64_C(800000) /* service is back within two seconds of the disk */
#define CHECKPOINT_PAUSE_US UINT64_C(5000000)
#define BATCH_BYTES_MAX     (4U << 20)
#define LAST_STEPS_MAX      100U

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

static bool take_entry(void *context, uint64_t index, struct dom_slice entry)
{
    struct dom_sink *sink = context;

    if (index != dom_sinkdir_next(sink->copy) + sink->run_count) {
        return false; /* pruned: see follow */
    }
    DOM_ASSERT(dom_bundle_append(&sink->run, entry, NULL) == DOM_OK);
    sink->run_count++;
    return sink->run.len < BATCH_BYTES_MAX;
}

static bool hash_entry(void *context, uint64_t index, struct dom_slice entry)
{
    (void)index;
    dom_hash_leaf(context, entry);
    return true;
}

/* The copy must be the beginning of the log: a log that was set back, or went another way, shows
 * here (P5). */
static enum dom_code check_copy(struct dom_sink *sink, struct dom_error *err)
{
    struct dom_audit_log *log = dom_sinks_log(sink->all);
    uint64_t next = dom_sinkdir_next(sink->copy);
    struct dom_hash there;
    struct dom_hash here = {0};

    if (next > dom_audit_log_size(log)) {
        return DOM_FAIL(err, DOM_TAMPERED,
                        "the copy has %llu entries, the log %llu: the log was cut or set back",
                        (unsigned long long)next, (unsigned long long)dom_audit_log_size(log));
    }
    if (!dom_sinkdir_last(sink->copy, &there)) {
        return DOM_OK;
    }
    enum dom_code rc = dom_audit_log_entries(log, next - 1, 1, hash_entry, &here, err);
    if (rc == DOM_OK && !dom_hash_eq(&here, &there)) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "entry %llu of the copy is not that of the log",
                      (unsigned long long)(next - 1));
    }
    return rc;
}

static enum dom_code open_copy(struct dom_sink *sink, struct dom_error *err)
{
    struct dom_audit_log *log = dom_sinks_log(sink->all);
    bool fresh = false;

    enum dom_code rc = dom_region_sink_fresh(sink->all->region, sink->options->name, &fresh, err);
    if (rc == DOM_OK) {
        rc = dom_sinkdir_open(&sink->copy, sink->options->dir,
                              dom_slice_str(dom_audit_log_origin(log)),
                              dom_slice_str(dom_audit_log_vkey(log)), fresh, err);
    }
    if (rc == DOM_OK) {
        rc = check_copy(sink, err);
    }
    if (rc == DOM_OK && fresh) {
        rc = dom_region_sink_begun(sink->all->region, sink->options->name, err);
    }
    if (rc == DOM_OK) {
        atomic_store(&sink->durable, dom_sinkdir_next(sink->copy));
    }
    return rc;
}

static enum dom_code copy_checkpoint(struct dom_sink *sink, struct dom_error *err)
{
    struct dom_audit_log *log = dom_sinks_log(sink->all);
    uint64_t size = dom_audit_log_signed_size(log);
    struct dom_buffer note = {0};

    if (size <= sink->checkpoint_size || now_us() < sink->checkpoint_us ||
        size > dom_sinkdir_next(sink->copy)) {
        return DOM_OK;
    }
    enum dom_code rc = dom_audit_log_checkpoint(log, &note, err);
    /* A newer one may have been signed since: the next time then. */
    if (rc == DOM_OK && dom_audit_log_signed_size(log) == size) {
        rc = dom_sinkdir_checkpoint(sink->copy, dom_buffer_slice(&note), err);
        sink->checkpoint_size = size;
        sink->checkpoint_us = now_us() + CHECKPOINT_PAUSE_US;
    }
    dom_buffer_cleanup(&note);
    return rc;
}

/* One batch. *morep: there is more to do at once. */
static enum dom_code follow(struct dom_sink *sink, bool *morep, struct dom_error *err)
{
    struct dom_audit_log *log = dom_sinks_log(sink->all);
    uint64_t next = dom_sinkdir_next(sink->copy);

    *morep = false;
    if (dom_audit_log_size(log) <= next) {
        return copy_checkpoint(sink, err);
    }
    dom_buffer_clear(&sink->run);
    sink->run_count = 0;
    enum dom_code rc =
        dom_audit_log_entries(log, next, DOM_SINK_BATCH_MAX, take_entry, sink, err);
    if (rc == DOM_OK && sink->run_count == 0) {
        rc = DOM_FAIL(err, DOM_CORRUPT,
                      "entry %llu of the log was pruned before it was copied: a copy that begins "
                      "later could not be checked",
                      (unsigned long long)next);
    }
    if (rc == DOM_OK) {
        rc = dom_sinkdir_append(sink->copy, dom_buffer_slice(&sink->run), sink->run_count, err);
    }
    if (rc == DOM_OK) {
        atomic_store(&sink->durable, dom_sinkdir_next(sink->copy));
        dom_sinks_release(sink->all);
        *morep = true;
        rc = copy_checkpoint(sink, err);
    }
    return rc;
}

/* Waits for a waking later than `seen` (with `patient`: whatever comes), or the time. False: the
 * end. */
static bool pause_until(struct dom_sinks *sinks, uint64_t *seen, uint64_t until_us, bool patient)
{
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    while (!sinks->stopping && (patient || sinks->events == *seen) &&
           dom_cond_wait_until(&sinks->wake, &sinks->lock, until_us)) {
    }
    *seen = sinks->events;
    bool going = !sinks->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    return going;
}

static void fail(struct dom_sink *sink, const struct dom_error *err)
{
    dom_sink_set_up(sink, false, err->message);
    dom_sinkdir_close(sink->copy);
    sink->copy = NULL;
    sink->backoff_us = sink->backoff_us == 0               ? BACKOFF_FIRST_US
                       : sink->backoff_us < BACKOFF_LAST_US ? 2 * sink->backoff_us
                                                            : BACKOFF_LAST_US;
}

/* One step; the time until which there is nothing to do, 0: go on. */
static uint64_t step(struct dom_sink *sink)
{
    struct dom_error err = {0};
    bool more = false;

    atomic_store(&sink->busy_since_us, now_us());
    enum dom_code rc = sink->copy == NULL ? open_copy(sink, &err) : DOM_OK;
    if (rc == DOM_OK) {
        rc = follow(sink, &more, &err);
    }
    atomic_store(&sink->busy_since_us, 0);
    if (rc != DOM_OK) {
        fail(sink, &err);
        return now_us() + sink->backoff_us;
    }
    /* One that has long to go is not up: who needs it would wait in vain. */
    uint64_t behind = dom_audit_log_size(dom_sinks_log(sink->all)) - dom_sinkdir_next(sink->copy);
    if (behind <= DOM_COMMIT_QUEUE_MAX) {
        dom_sink_set_up(sink, true, "");
        sink->backoff_us = 0;
    } else if (!sink->up) {
        dom_sink_set_up(sink, false, "it is being brought up to date");
    }
    return more ? 0 : now_us() + 1000000;
}

/* A clean end leaves nothing uncopied, if the copy takes it. */
static void last_steps(struct dom_sink *sink)
{
    sink->checkpoint_us = 0;
    for (unsigned i = 0; i < LAST_STEPS_MAX && sink->copy != NULL && sink->up; i++) {
        if (step(sink) != 0) {
            return;
        }
    }
}

static void begun(struct dom_sink *sink)
{
    struct dom_sinks *sinks = sink->all;

    if (sink->begun) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    sink->begun = true;
    DOM_ASSERT(pthread_cond_broadcast(&sinks->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
}

void *dom_sink_main(void *arg)
{
    struct dom_sink *sink = arg;
    uint64_t seen = 0;
    uint64_t until = 0;

    dom_thread_name("sink", sink->options->name);
    do {
        until = step(sink);
        begun(sink);
    } while (pause_until(sink->all, &seen, until, sink->copy == NULL));
    last_steps(sink);
    dom_sinkdir_close(sink->copy);
    sink->copy = NULL;
    return NULL;
}
