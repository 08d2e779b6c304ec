#include "store/sink_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/waiter.h"

#define BEGIN_US UINT64_C(1000000)

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
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

void dom_sinks_release(struct dom_sinks *sinks)
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
        const struct dom_sink *sink =
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

    for (size_t i = 0; i < sinks->num; i++) {
        while (!sinks->sinks[i].begun) {
            if (!dom_cond_wait_until(&sinks->wake, &sinks->lock, until_us)) {
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

uint64_t dom_sinks_copied(struct dom_sinks *sinks)
{
    uint64_t copied = UINT64_MAX;
    unsigned demanded = 0;

    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    for (size_t i = 0; i < sinks->need.num; i++) {
        demanded |= sinks->need.one_of[i];
    }
    for (size_t i = 0; i < sinks->num; i++) {
        uint64_t durable = atomic_load(&sinks->sinks[i].durable);
        copied = (demanded >> i & 1U) != 0 && durable < copied ? durable : copied;
    }
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
    return copied;
}

void dom_sink_set_up(struct dom_sink *sink, bool up, const char *why)
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
        struct dom_sink *sink = &sinks->sinks[i];
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
    struct dom_sink *sink = &sinks->sinks[sinks->num];
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
    enum dom_code rc = DOM_OK;

    *sinksp = NULL;
    struct dom_sinks *sinks = calloc(1, sizeof(*sinks));
    DOM_ASSERT(sinks != NULL);
    sinks->region = region;
    sinks->options = options;
    DOM_ASSERT(pthread_mutex_init(&sinks->lock, NULL) == 0);
    dom_cond_init(&sinks->wake);
    for (size_t i = 0; i < options->num_sinks && rc == DOM_OK; i++) {
        if (strcmp(options->sinks[i].region, dom_region_name(region)) == 0) {
            rc = add_sink(sinks, &options->sinks[i], err);
        }
    }
    for (size_t i = 0; i < sinks->num && rc == DOM_OK; i++) {
        struct dom_sink *sink = &sinks->sinks[i];
        sink->started = pthread_create(&sink->thread, NULL, dom_sink_main, sink) == 0;
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
    struct dom_sink *sink = &sinks->sinks[number];
    DOM_ASSERT(pthread_mutex_lock(&sinks->lock) == 0);
    out->name = sink->options->name;
    out->up = sink->up && !sink->stalled;
    out->entries = atomic_load(&sink->durable);
    out->failures = atomic_load(&sink->num_failures);
    DOM_ASSERT(pthread_mutex_unlock(&sinks->lock) == 0);
}
