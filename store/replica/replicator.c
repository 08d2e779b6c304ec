#include "store/replica/replicator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/replica/replicator_internal.h"

#define BACKOFF_FIRST_US UINT64_C(20000)
#define BACKOFF_LAST_US  UINT64_C(2000000)
#define HELD_POLL_US     UINT64_C(50000)

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

static struct dom_region *region_at(const struct dom_replicator *replicator, size_t number)
{
    return atomic_load(&replicator->host->regions[number]);
}

static size_t num_regions(const struct dom_replicator *replicator)
{
    return atomic_load(&replicator->host->num_regions);
}

/* ---- waiting operations (the lock is held) ------------------------------------------------- */

static bool reached(const struct dom_replicator *replicator, struct dom_store_op *op)
{
    dom_store_set pending = op->internal.pending;

    for (dom_store_set rest = pending; rest != 0; rest &= rest - 1) {
        int number = __builtin_ctzll(rest);
        const struct dom_replica_target *target = &replicator->targets[number];
        if (target->known && target->position >= op->internal.seq) {
            pending &= ~((dom_store_set)1 << number);
        }
    }
    op->internal.pending = pending;
    return pending == 0;
}

static void give_back(struct dom_store_op **chain, struct dom_store_op **last,
                      struct dom_store_op *op, enum dom_code code, const char *message)
{
    op->code = code;
    (void)snprintf(op->message, sizeof(op->message), "%s", message);
    op->next = NULL;
    if (*last == NULL) {
        *chain = op;
    } else {
        (*last)->next = op;
    }
    *last = op;
}

/* Takes out those that are through or out of time. They are posted without the lock. */
static struct dom_store_op *take_finished(struct dom_replicator *replicator, bool stopping,
                                          struct dom_store_op **lastp)
{
    uint64_t now = dom_clock_monotonic_us(replicator->host->options.clock);
    struct dom_store_op **at = &replicator->waiting;
    struct dom_store_op *chain = NULL;

    *lastp = NULL;
    while (*at != NULL) {
        struct dom_store_op *op = *at;
        struct dom_store_op *next = op->internal.wait_next;
        if (reached(replicator, op)) {
            give_back(&chain, lastp, op, DOM_OK, "");
        } else if (stopping) {
            give_back(&chain, lastp, op, DOM_UNAVAILABLE,
                      "written at home; the store stopped before every replica had it");
        } else if (op->deadline_us <= now) {
            give_back(&chain, lastp, op, DOM_DEADLINE,
                      "written at home; not every replica had it before the deadline");
        } else {
            at = &op->internal.wait_next;
            continue;
        }
        *at = next;
    }
    return chain;
}

static void post_finished(struct dom_replicator *replicator, bool stopping)
{
    struct dom_store_op *last = NULL;

    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    struct dom_store_op *first = take_finished(replicator, stopping, &last);
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    if (first != NULL) {
        replicator->host->finish(replicator->host->store, first, last);
    }
}

/* ---- targets ------------------------------------------------------------------------------ */

static void fail_target(struct dom_replicator *replicator, struct dom_replica_target *target,
                        const char *reason)
{
    if (!target->failing) {
        dom_log(DOM_LOG_WARN, "store.replica_fails", "home=%s target=%s reason=\"%s\"",
                dom_region_name(replicator->home),
                dom_region_name(region_at(replicator, (size_t)(target - replicator->targets))),
                reason);
        target->failing = true;
        target->backoff_us = BACKOFF_FIRST_US;
    } else if (target->backoff_us < BACKOFF_LAST_US) {
        target->backoff_us *= 2;
    }
    target->retry_us = now_us() + target->backoff_us;
}

static void advance_target(const struct dom_replicator *replicator,
                           struct dom_replica_target *target, uint64_t position)
{
    target->failing = false;
    target->retry_us = 0;
    if (position > target->position) {
        target->position = position;
    }
    if (target->position >= replicator->tail) {
        target->caught_up_us = now_us();
    }
}

/* The lock is held. */
static void release_round(struct dom_round **roundp)
{
    struct dom_round *round = *roundp;

    *roundp = NULL;
    DOM_ASSERT(round->refs > 0);
    if (--round->refs == 0) {
        dom_arena_cleanup(&round->arena);
        free(round);
    }
}

/* On the target's commit thread. */
static void shipment_done(struct dom_region_job *job)
{
    struct dom_replica_target *target = job->owner;
    struct dom_replicator *replicator = target->replicator;

    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    target->in_flight = false;
    replicator->events++;
    release_round(&target->round);
    if (job->code == DOM_OK) {
        advance_target(replicator, target, target->ships_to);
    } else {
        fail_target(replicator, target, dom_code_text(job->code));
    }
    DOM_ASSERT(pthread_cond_broadcast(&replicator->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
}

/* A region that was opened since: how far it is. */
static void learn_positions(struct dom_replicator *replicator)
{
    for (size_t i = 0; i < num_regions(replicator); i++) {
        struct dom_replica_target *target = &replicator->targets[i];
        struct dom_region *region = region_at(replicator, i);
        struct dom_error err = {0};
        uint64_t position = 0;
        if (region == NULL || region == replicator->home || target->known) {
            continue;
        }
        uint64_t sent = 0;
        enum dom_code rc =
            dom_region_watermark(region, dom_region_name(replicator->home), &position, &err);
        if (rc == DOM_OK) {
            rc = dom_region_sent(replicator->home, dom_region_name(region), &sent, &err);
        }
        bool gap = rc == DOM_OK && position < sent;
        DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
        if (rc == DOM_OK) {
            target->known = true;
            target->gap = gap;
            advance_target(replicator, target, position);
        } else {
            fail_target(replicator, target, err.message);
        }
        DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
        if (gap) {
            dom_log(DOM_LOG_WARN, "store.replica_behind", "home=%s target=%s has=%llu needs=%llu",
                    dom_region_name(replicator->home), dom_region_name(region),
                    (unsigned long long)position, (unsigned long long)sent);
            replicator->host->reseed(replicator->host->store, replicator->home,
                                     (dom_store_region)i);
        }
    }
}

/* Somebody outside forbids to carry anything there for now. */
static bool is_held(const struct dom_replicator *replicator, size_t target)
{
    const struct dom_store_options *options = &replicator->host->options;

    return options->held != NULL &&
           options->held(options->context, dom_region_number(replicator->home),
                         (dom_store_region)target);
}

/* Those that can take something now and are as far as the one whose turn it is. */
static dom_store_set pick_targets(struct dom_replicator *replicator, uint64_t *fromp)
{
    uint64_t now = now_us();
    size_t count = num_regions(replicator);
    dom_store_set ready = 0;

    for (size_t i = 0; i < count; i++) {
        size_t number = (replicator->turn + i) % count;
        const struct dom_replica_target *target = &replicator->targets[number];
        if (!target->known || target->gap || target->in_flight ||
            target->position >= replicator->tail || target->retry_us > now ||
            is_held(replicator, number)) {
            continue;
        }
        if (ready == 0) {
            *fromp = target->position;
            replicator->turn = (unsigned)(number + 1);
        }
        if (target->position == *fromp) {
            ready |= (dom_store_set)1 << number;
        }
    }
    return ready;
}

/* ---- a round ------------------------------------------------------------------------------ */

static void ship(struct dom_replicator *replicator, dom_store_set ready, uint64_t to)
{
    for (; ready != 0; ready &= ready - 1) {
        int number = __builtin_ctzll(ready);
        struct dom_replica_target *target = &replicator->targets[number];
        bool empty = target->job.num_items == 0;
        DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
        if (empty) {
            advance_target(replicator, target, to);
        } else {
            target->in_flight = true;
            target->ships_to = to;
            target->number = replicator->begun;
            target->round = replicator->round;
            target->round->refs++;
        }
        DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
        if (empty) {
            continue;
        }
        struct dom_error err = {0};
        target->job.type = DOM_JOB_APPLY;
        target->job.source = dom_region_name(replicator->home);
        target->job.watermark = to;
        target->job.done = shipment_done;
        target->job.owner = target;
        if (dom_region_submit_job(region_at(replicator, (size_t)number), &target->job, &err) !=
            DOM_OK) {
            DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
            target->in_flight = false;
            release_round(&target->round);
            fail_target(replicator, target, err.message);
            DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
        }
    }
}

/* The lock is held. False when the time came first. */
static bool wait_until(struct dom_replicator *replicator, uint64_t until)
{
    if (until == UINT64_MAX) {
        DOM_ASSERT(pthread_cond_wait(&replicator->wake, &replicator->lock) == 0);
        return true;
    }
    struct timespec at = {.tv_sec = (time_t)(until / 1000000),
                          .tv_nsec = (long)(until % 1000000) * 1000};
    return pthread_cond_timedwait(&replicator->wake, &replicator->lock, &at) != ETIMEDOUT;
}

/* When an operation that waits runs out of time. The lock is held. */
static uint64_t next_deadline(const struct dom_replicator *replicator)
{
    uint64_t clock_now = dom_clock_monotonic_us(replicator->host->options.clock);
    uint64_t now = now_us();
    uint64_t wake = UINT64_MAX;

    for (const struct dom_store_op *op = replicator->waiting; op != NULL;
         op = op->internal.wait_next) {
        if (op->deadline_us != UINT64_MAX) {
            uint64_t left = op->deadline_us > clock_now ? op->deadline_us - clock_now : 0;
            wake = now + left < wake ? now + left : wake;
        }
    }
    return wake;
}

static void run_failed(struct dom_replicator *replicator, dom_store_set ready, enum dom_code rc,
                       const char *message)
{
    if (rc == DOM_RESOURCE && replicator->run_max > 1) {
        replicator->run_max /= 2; /* big rows: fewer at a time */
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    for (; ready != 0; ready &= ready - 1) {
        fail_target(replicator, &replicator->targets[__builtin_ctzll(ready)], message);
    }
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
}

static void do_round(struct dom_replicator *replicator, dom_store_set ready, uint64_t from)
{
    struct dom_error err = {0};
    struct dom_round *round = malloc(sizeof(*round));

    DOM_ASSERT(round != NULL);
    round->refs = 1;
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    replicator->begun++;
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    dom_arena_init(&round->arena, NULL, 0, DOM_RUN_ARENA_BYTES_MAX);
    replicator->round = round;
    enum dom_code rc = dom_run_read(replicator, from, &round->run, &err);
    if (rc == DOM_OK) {
        rc = dom_run_project(replicator, &round->run, ready, &err);
    }
    if (rc == DOM_OK) {
        ship(replicator, ready, round->run.to);
        if (replicator->run_max < DOM_RUN_ENTRIES_MAX) {
            replicator->run_max *= 2;
        }
    } else {
        run_failed(replicator, ready, rc, err.message);
    }
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    release_round(&replicator->round);
    replicator->shipped = replicator->begun;
    DOM_ASSERT(pthread_cond_broadcast(&replicator->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
}

/* ---- the thread --------------------------------------------------------------------------- */

static void lower(uint64_t *at, uint64_t other)
{
    *at = other < *at ? other : *at;
}

/* The lock is held. */
static bool has_unknown(const struct dom_replicator *replicator)
{
    uint64_t now = now_us();

    for (size_t i = 0; i < num_regions(replicator); i++) {
        struct dom_region *region = region_at(replicator, i);
        const struct dom_replica_target *target = &replicator->targets[i];
        if (region != NULL && region != replicator->home && !target->known &&
            target->retry_us <= now) {
            return true;
        }
    }
    return false;
}

/* When something is to be done without anybody's call. The lock is held. */
static uint64_t next_wake(const struct dom_replicator *replicator, uint64_t wake)
{
    for (size_t i = 0; i < num_regions(replicator); i++) {
        const struct dom_replica_target *target = &replicator->targets[i];
        if (target->retry_us > 0 && !target->in_flight &&
            (!target->known || target->position < replicator->tail)) {
            lower(&wake, target->retry_us);
        }
        if (target->known && !target->in_flight && target->position < replicator->tail &&
            is_held(replicator, i)) {
            lower(&wake, now_us() + HELD_POLL_US); /* whoever holds it does not tell when it ends */
        }
    }
    lower(&wake, next_deadline(replicator));
    return wake;
}

/* Waits until there is a round to do; 0: something else has happened since `seen`, or a time has
 * come, look around again. */
static dom_store_set wait_for_round(struct dom_replicator *replicator, uint64_t wake, uint64_t seen,
                                    uint64_t *fromp, bool *stopp)
{
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    dom_store_set ready = replicator->stopping ? 0 : pick_targets(replicator, fromp);
    if (ready == 0 && !replicator->stopping && replicator->events == seen &&
        !has_unknown(replicator)) {
        (void)wait_until(replicator, next_wake(replicator, wake));
    }
    *stopp = replicator->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    return ready;
}

static uint64_t events_of(struct dom_replicator *replicator)
{
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    uint64_t events = replicator->events;
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    return events;
}

static void *replicator_main(void *arg)
{
    struct dom_replicator *replicator = arg;
    bool stop = false;

    dom_thread_name("repl", dom_region_name(replicator->home));
    while (!stop) {
        uint64_t wake = UINT64_MAX;
        uint64_t from = 0;
        uint64_t seen = events_of(replicator);
        learn_positions(replicator);
        post_finished(replicator, false);
        dom_replicator_trim(replicator, &wake);
        dom_store_set ready = wait_for_round(replicator, wake, seen, &from, &stop);
        if (!stop && ready != 0) {
            do_round(replicator, ready, from);
        }
    }
    post_finished(replicator, true);
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------- */

enum dom_code dom_replicator_new(struct dom_replicator **replicatorp, struct dom_region_host *host,
                                 struct dom_region *home, struct dom_error *err)
{
    pthread_condattr_t attr;

    *replicatorp = NULL;
    struct dom_replicator *replicator = calloc(1, sizeof(*replicator));
    DOM_ASSERT(replicator != NULL);
    replicator->host = host;
    replicator->home = home;
    replicator->run_max = DOM_RUN_ENTRIES_MAX;
    replicator->tail = dom_region_outbox_tail(home);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        replicator->targets[i].replicator = replicator;
    }
    DOM_ASSERT(pthread_mutex_init(&replicator->lock, NULL) == 0);
    DOM_ASSERT(pthread_condattr_init(&attr) == 0);
    DOM_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    DOM_ASSERT(pthread_cond_init(&replicator->wake, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
    if (pthread_create(&replicator->thread, NULL, replicator_main, replicator) != 0) {
        dom_replicator_destroy(replicator);
        return DOM_FAIL(err, DOM_RESOURCE, "no thread for replication");
    }
    replicator->started = true;
    *replicatorp = replicator;
    return DOM_OK;
}

void dom_replicator_stop(struct dom_replicator *replicator)
{
    if (replicator == NULL || !replicator->started) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    replicator->stopping = true;
    DOM_ASSERT(pthread_cond_broadcast(&replicator->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    DOM_ASSERT(pthread_join(replicator->thread, NULL) == 0);
    replicator->started = false;
}

void dom_replicator_destroy(struct dom_replicator *replicator)
{
    if (replicator == NULL) {
        return;
    }
    DOM_ASSERT(!replicator->started);
    dom_row_cipher_cleanup(&replicator->cipher);
    (void)pthread_mutex_destroy(&replicator->lock);
    (void)pthread_cond_destroy(&replicator->wake);
    free(replicator);
}

/* ---- asked from outside ------------------------------------------------------------------- */

void dom_replicator_notify(struct dom_replicator *replicator, struct dom_store_op *sync)
{
    uint64_t tail = dom_region_outbox_tail(replicator->home);

    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    uint64_t now = now_us();
    for (size_t i = 0; i < num_regions(replicator) && tail > replicator->tail; i++) {
        struct dom_replica_target *target = &replicator->targets[i];
        if (target->known && target->position >= replicator->tail) {
            target->caught_up_us = now; /* it had everything until just now */
        }
    }
    replicator->tail = tail;
    replicator->events++;
    while (sync != NULL) {
        struct dom_store_op *next = sync->internal.wait_next;
        sync->internal.wait_next = replicator->waiting;
        replicator->waiting = sync;
        sync = next;
    }
    DOM_ASSERT(pthread_cond_broadcast(&replicator->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
}

/* The lock is held. */
static bool under_way(const struct dom_replicator *replicator, uint64_t number)
{
    bool busy = replicator->shipped < number;

    for (size_t i = 0; i < DOM_REGIONS_MAX && !busy; i++) {
        const struct dom_replica_target *target = &replicator->targets[i];
        busy = target->in_flight && target->number <= number;
    }
    return busy;
}

bool dom_replicator_barrier(struct dom_replicator *replicator)
{
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    uint64_t number = replicator->begun;
    while (!replicator->stopping && under_way(replicator, number)) {
        DOM_ASSERT(pthread_cond_wait(&replicator->wake, &replicator->lock) == 0);
    }
    bool going = !replicator->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    return going;
}

void dom_replicator_reseeded(struct dom_replicator *replicator, dom_store_set replicas)
{
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    for (; replicas != 0; replicas &= replicas - 1) {
        replicator->targets[__builtin_ctzll(replicas)].gap = false;
    }
    replicator->events++;
    DOM_ASSERT(pthread_cond_broadcast(&replicator->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
}

bool dom_replicator_idle(struct dom_replicator *replicator)
{
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    uint64_t tail = dom_region_outbox_tail(replicator->home);
    bool idle = replicator->tail >= tail && replicator->waiting == NULL &&
                replicator->least >= tail && replicator->trimmed >= replicator->done;
    for (size_t i = 0; i < num_regions(replicator) && idle; i++) {
        struct dom_region *region = region_at(replicator, i);
        const struct dom_replica_target *target = &replicator->targets[i];
        idle = region == NULL || region == replicator->home ||
               (target->known && !target->gap && target->position >= tail && !target->in_flight);
    }
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    return idle;
}

uint64_t dom_replicator_staleness_ms(struct dom_replicator *replicator, dom_store_region target)
{
    uint64_t staleness = UINT64_MAX;

    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    const struct dom_replica_target *at = &replicator->targets[target];
    if (at->known && at->position >= replicator->tail) {
        staleness = 0;
    } else if (at->caught_up_us != 0) {
        staleness = (now_us() - at->caught_up_us) / 1000;
    }
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    return staleness;
}
