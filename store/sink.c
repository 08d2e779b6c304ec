#include "store/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/audit/bundle.h"
#include "store/audit/sinkdir.h"

#define BACKOFF_FIRST_US    UINT64_C(100000)
#define BACKOFF_LAST_US     UINT64_C(800000) /* service is back within two seconds of the disk */
#define CHECKPOINT_PAUSE_US UINT64_C(5000000)
#define BATCH_BYTES_MAX     (4U << 20)
#define WHY_SIZE            160U
#define LAST_STEPS_MAX      100U
#define BEGIN_US            UINT64_C(1000000)

struct sink {
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
    char why[WHY_SIZE];
};

struct dom_sinks {
    struct dom_region *region;
    const struct dom_store_options *options;
    struct sink sinks[DOM_SINKS_MAX];
    size_t num;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    uint64_t events;             /* counts wakings */
    struct dom_store_op *first;  /* that wait, as they came */
    struct dom_store_op *last;
    struct dom_store_need need;  /* demanded now */
};

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

static struct dom_audit_log *log_of(const struct dom_sinks *sinks)
{
    return dom_region_log(sinks->region);
}

/* ---- who waits ---------------------------------------------------------------------------- */

static uint64_t last_index(const struct dom_store_op *op)
{
    return op->receipts[op->num_entries - 1].index;
}

static bool met(const struct dom_sinks *sinks, const struct dom_store_op *op)
{
    uint8_t has = 0;

    for (size_t i = 0; i < sinks->num; i++) {
        if (atomic_load(&sinks->sinks[i].durable) > last_index(op)) {
            has = (uint8_t)(has | 1U << i);
        }
    }
    for (size_t i = 0; i < op->need.num; i++) {
        if ((op->need.one_of[i] & has) == 0) {
            return false;
        }
    }
    return true;
}

static void append(struct dom_store_op **first, struct dom_store_op **last, struct dom_store_op *op)
{
    op->next = NULL;
    if (*last == NULL) {
        *first = op;
    } else {
        (*last)->next = op;
    }
    *last = op;
}

static void give_up(struct dom_store_op *op)
{
    op->code = DOM_UNAVAILABLE;
    (void)snprintf(op->message, sizeof(op->message), "the store is stopping");
}

void dom_sinks_hold(struct dom_sinks *sinks, struct dom_store_op **first,
                    struct dom_store_op **last)
{
    struct dom_store_op *op = *first;
    struct dom_store_op *free_first = NULL;
    struct dom_store_op *free_last = NULL;

    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    while (op != NULL) {
        struct dom_store_op *next = op->next;
        bool waits = op->code == DOM_OK && op->num_entries > 0 && op->need.num > 0 &&
                     !met(sinks, op);
        if (waits && sinks->stopping) {
            give_up(op); /* P3: what is not where it must be is not told as done */
            waits = false;
        }
        if (waits) {
            append(&sinks->first, &sinks->last, op);
        } else {
            append(&free_first, &free_last, op);
        }
        op = next;
    }
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    *first = free_first;
    *last = free_last;
}

static void post(const struct dom_sinks *sinks, struct dom_store_op *first,
                 struct dom_store_op *last)
{
    if (first != NULL) {
        sinks->options->post(sinks->options->context, first, last);
    }
}

/* A copy has more: gives back whom that serves. */
static void release(struct dom_sinks *sinks)
{
    struct dom_store_op *free_first = NULL;
    struct dom_store_op *free_last = NULL;

    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    struct dom_store_op *op = sinks->first;
    sinks->first = NULL;
    sinks->last = NULL;
    while (op != NULL) {
        struct dom_store_op *next = op->next;
        if (met(sinks, op)) {
            append(&free_first, &free_last, op);
        } else {
            append(&sinks->first, &sinks->last, op);
        }
        op = next;
    }
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    post(sinks, free_first, free_last);
}

/* ---- whether the demand can be met -------------------------------------------------------- */

/* The lock is held. */
static void judge(struct dom_sinks *sinks)
{
    char why[DOM_GATE_WHY_SIZE] = "";
    uint8_t up = 0;

    for (size_t i = 0; i < sinks->num; i++) {
        if (sinks->sinks[i].up && !sinks->sinks[i].stalled) {
            up = (uint8_t)(up | 1U << i);
        }
    }
    for (size_t i = 0; i < sinks->need.num && why[0] == '\0'; i++) {
        if ((sinks->need.one_of[i] & up) != 0) {
            continue;
        }
        const struct sink *sink =
            sinks->need.one_of[i] == 0 ? NULL
                                       : &sinks->sinks[__builtin_ctz(sinks->need.one_of[i])];
        (void)snprintf(why, sizeof(why), "sink %s: %s", sink == NULL ? "?" : sink->options->name,
                       sink == NULL   ? "not configured"
                       : sink->stalled ? "a write or sync does not return"
                                       : sink->why);
    }
    if (why[0] != '\0') {
        dom_gate_close(dom_region_gate(sinks->region), DOM_GATE_SINKS, why);
    } else {
        dom_gate_open(dom_region_gate(sinks->region), DOM_GATE_SINKS);
    }
}

/* Gives those that have just been started the time to try. The lock is held. */
static void await_begin(struct dom_sinks *sinks)
{
    uint64_t until_us = now_us() + BEGIN_US;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};

    for (size_t i = 0; i < sinks->num; i++) {
        while (!sinks->sinks[i].begun) {
            if (pthread_cond_timedwait(&sinks->wake, &sinks->lock, &until) == ETIMEDOUT) {
                return;
            }
        }
    }
}

void dom_sinks_require(struct dom_sinks *sinks, const struct dom_store_need *need)
{
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    if (need->num > 0) {
        await_begin(sinks);
    }
    sinks->need = *need;
    judge(sinks);
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
}

static void set_up(struct sink *sink, bool up, const char *why)
{
    struct dom_sinks *sinks = sink->all;

    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    if (sink->up != up || strcmp(sink->why, why) != 0) {
        dom_log(up ? DOM_LOG_INFO : DOM_LOG_ERROR, "audit.sink", "region=%s sink=%s up=%d text=\"%s\"",
                dom_region_name(sinks->region), sink->options->name, up ? 1 : 0, why);
        if (sink->up && !up) {
            atomic_fetch_add(&sink->num_failures, 1);
        }
        sink->up = up;
        (void)snprintf(sink->why, sizeof(sink->why), "%s", why);
        judge(sinks);
    }
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
}

void dom_sinks_watch(struct dom_sinks *sinks)
{
    uint64_t limit = sinks->options->wait_ms * 1000;

    for (size_t i = 0; i < sinks->num; i++) {
        struct sink *sink = &sinks->sinks[i];
        uint64_t since = atomic_load(&sink->busy_since_us);
        uint64_t now = now_us();
        bool stalled = since != 0 && now > since && now - since > limit;
        DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
        if (stalled != sink->stalled) {
            sink->stalled = stalled;
            judge(sinks);
        }
        DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    }
}

/* ---- following the log -------------------------------------------------------------------- */

static bool take_entry(void *context, uint64_t index, struct dom_slice entry)
{
    struct sink *sink = context;

    (void)index;
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
static enum dom_code check_copy(struct sink *sink, struct dom_error *err)
{
    struct dom_audit_log *log = log_of(sink->all);
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

static enum dom_code open_copy(struct sink *sink, struct dom_error *err)
{
    struct dom_audit_log *log = log_of(sink->all);
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

static enum dom_code copy_checkpoint(struct sink *sink, struct dom_error *err)
{
    struct dom_audit_log *log = log_of(sink->all);
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
static enum dom_code follow(struct sink *sink, bool *morep, struct dom_error *err)
{
    struct dom_audit_log *log = log_of(sink->all);
    uint64_t next = dom_sinkdir_next(sink->copy);

    *morep = false;
    if (dom_audit_log_size(log) <= next) {
        return copy_checkpoint(sink, err);
    }
    dom_buffer_clear(&sink->run);
    sink->run_count = 0;
    enum dom_code rc =
        dom_audit_log_entries(log, next, DOM_SINK_BATCH_MAX, take_entry, sink, err);
    if (rc == DOM_OK) {
        rc = dom_sinkdir_append(sink->copy, dom_buffer_slice(&sink->run), sink->run_count, err);
    }
    if (rc == DOM_OK) {
        atomic_store(&sink->durable, dom_sinkdir_next(sink->copy));
        release(sink->all);
        *morep = true;
        rc = copy_checkpoint(sink, err);
    }
    return rc;
}

/* Waits for a waking later than `seen` (with `patient`: whatever comes), or the time. False: the
 * end. */
static bool pause_until(struct dom_sinks *sinks, uint64_t *seen, uint64_t until_us, bool patient)
{
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};

    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    while (!sinks->stopping && (patient || sinks->events == *seen)) {
        if (pthread_cond_timedwait(&sinks->wake, &sinks->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    *seen = sinks->events;
    bool going = !sinks->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    return going;
}

static void fail(struct sink *sink, const struct dom_error *err)
{
    set_up(sink, false, err->message);
    dom_sinkdir_close(sink->copy);
    sink->copy = NULL;
    sink->backoff_us = sink->backoff_us == 0               ? BACKOFF_FIRST_US
                       : sink->backoff_us < BACKOFF_LAST_US ? 2 * sink->backoff_us
                                                            : BACKOFF_LAST_US;
}

/* One step; the time until which there is nothing to do, 0: go on. */
static uint64_t step(struct sink *sink)
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
    uint64_t behind = dom_audit_log_size(log_of(sink->all)) - dom_sinkdir_next(sink->copy);
    if (behind <= DOM_COMMIT_QUEUE_MAX) {
        set_up(sink, true, "");
        sink->backoff_us = 0;
    } else if (!sink->up) {
        set_up(sink, false, "it is being brought up to date");
    }
    return more ? 0 : now_us() + 1000000;
}

/* A clean end leaves nothing uncopied, if the copy takes it. */
static void last_steps(struct sink *sink)
{
    sink->checkpoint_us = 0;
    for (unsigned i = 0; i < LAST_STEPS_MAX && sink->copy != NULL && sink->up; i++) {
        if (step(sink) != 0) {
            return;
        }
    }
}

static void begun(struct sink *sink)
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

static void *sink_main(void *arg)
{
    struct sink *sink = arg;
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

/* ---- life --------------------------------------------------------------------------------- */

static enum dom_code add_sink(struct dom_sinks *sinks, const struct dom_store_sink *options,
                              struct dom_error *err)
{
    const char *region = dom_region_name(sinks->region);

    if (sinks->num == DOM_SINKS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "region %s: more than %u audit sinks", region,
                        DOM_SINKS_MAX);
    }
    if (dom_sinks_find(sinks, dom_slice_str(options->name)) >= 0) {
        return DOM_FAIL(err, DOM_INVALID, "region %s: two audit sinks are called \"%s\"", region,
                        options->name);
    }
    struct sink *sink = &sinks->sinks[sinks->num];
    sink->all = sinks;
    sink->options = options;
    sink->number = (unsigned)sinks->num;
    (void)snprintf(sink->why, sizeof(sink->why), "it has not begun yet");
    sinks->num++;
    return DOM_OK;
}

enum dom_code dom_sinks_start(struct dom_sinks **sinksp, struct dom_region *region,
                              const struct dom_store_options *options, struct dom_error *err)
{
    pthread_condattr_t attr;
    enum dom_code rc = DOM_OK;

    *sinksp = NULL;
    struct dom_sinks *sinks = calloc(1, sizeof(*sinks));
    DOM_ASSERT(sinks != NULL);
    sinks->region = region;
    sinks->options = options;
    DOM_ASSERT(pthread_mutex_init(&sinks->lock, NULL) == 0);
    DOM_ASSERT(pthread_condattr_init(&attr) == 0);
    DOM_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    DOM_ASSERT(pthread_cond_init(&sinks->wake, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
    for (size_t i = 0; i < options->num_sinks && rc == DOM_OK; i++) {
        if (strcmp(options->sinks[i].region, dom_region_name(region)) == 0) {
            rc = add_sink(sinks, &options->sinks[i], err);
        }
    }
    for (size_t i = 0; i < sinks->num && rc == DOM_OK; i++) {
        struct sink *sink = &sinks->sinks[i];
        sink->started = pthread_create(&sink->thread, NULL, sink_main, sink) == 0;
        rc = sink->started ? DOM_OK : DOM_FAIL(err, DOM_RESOURCE, "no thread for an audit sink");
    }
    if (rc != DOM_OK) {
        dom_sinks_stop(sinks);
        dom_sinks_destroy(sinks);
        return rc;
    }
    *sinksp = sinks;
    return DOM_OK;
}

void dom_sinks_stop(struct dom_sinks *sinks)
{
    if (sinks == NULL) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    sinks->stopping = true;
    DOM_ASSERT(pthread_cond_broadcast(&sinks->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    for (size_t i = 0; i < sinks->num; i++) {
        if (sinks->sinks[i].started) {
            DOM_ASSERT(pthread_join(sinks->sinks[i].thread, NULL) == 0);
            sinks->sinks[i].started = false;
        }
    }
    for (struct dom_store_op *op = sinks->first; op != NULL; op = op->next) {
        give_up(op);
    }
    post(sinks, sinks->first, sinks->last);
    sinks->first = NULL;
    sinks->last = NULL;
}

void dom_sinks_destroy(struct dom_sinks *sinks)
{
    if (sinks == NULL) {
        return;
    }
    for (size_t i = 0; i < sinks->num; i++) {
        dom_buffer_cleanup(&sinks->sinks[i].run);
    }
    (void)pthread_mutex_destroy(&sinks->lock);
    (void)pthread_cond_destroy(&sinks->wake);
    free(sinks);
}

void dom_sinks_wake(struct dom_sinks *sinks)
{
    if (sinks->num == 0) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    sinks->events++;
    DOM_ASSERT(pthread_cond_broadcast(&sinks->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
}

size_t dom_sinks_num(const struct dom_sinks *sinks)
{
    return sinks->num;
}

int dom_sinks_find(const struct dom_sinks *sinks, struct dom_slice name)
{
    for (size_t i = 0; i < sinks->num; i++) {
        if (dom_slice_eq_str(name, sinks->sinks[i].options->name)) {
            return (int)i;
        }
    }
    return -1;
}

void dom_sinks_stats(struct dom_sinks *sinks, size_t number, struct dom_store_sink_stats *out)
{
    DOM_ASSERT(number < sinks->num);
    struct sink *sink = &sinks->sinks[number];
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    out->name = sink->options->name;
    out->up = sink->up && !sink->stalled;
    out->entries = atomic_load(&sink->durable);
    out->failures = atomic_load(&sink->num_failures);
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
}
