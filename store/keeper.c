/* What has to happen by itself: checkpoints in time, purges, expiry of request ids.
 *
 * A keeper for each region: one whose disk hangs keeps nobody's checkpoint but its own from coming.
 * Purging is one thread's for all, as compacting takes long and is in no hurry. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/store_internal.h"

#define EXPIRE_PAUSE_US UINT64_C(60000000)
#define SETTLE_PAUSE_US UINT64_C(2000)

struct dom_keeper {
    struct dom_store *store;
    struct dom_region *region;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool woken;
    bool hurry; /* somebody settles: sign at once */
    bool stopping;
};

uint64_t dom_store_now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

static struct timespec timespec_of(uint64_t us)
{
    struct timespec at = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    return at;
}

static struct dom_region *region_at(struct dom_store *store, size_t number)
{
    return atomic_load(&store->host.regions[number]);
}

static size_t num_regions(struct dom_store *store)
{
    return atomic_load(&store->host.num_regions);
}

void dom_store_init_wake(pthread_cond_t *wake)
{
    pthread_condattr_t attr;

    DOM_ASSERT(pthread_condattr_init(&attr) == 0);
    DOM_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    DOM_ASSERT(pthread_cond_init(wake, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

/* Waits for a call, a time or the end. */
bool dom_store_pause_until(struct dom_store *store, bool *wokenp, uint64_t until)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    while (!store->stopping && !*wokenp) {
        if (until == UINT64_MAX) {
            DOM_ASSERT(pthread_cond_wait(&store->keeper_wake, &store->keeper_lock) == 0);
            continue;
        }
        struct timespec at = timespec_of(until);
        if (pthread_cond_timedwait(&store->keeper_wake, &store->keeper_lock, &at) == ETIMEDOUT) {
            break;
        }
    }
    *wokenp = false;
    bool going = !store->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
    return going;
}

bool dom_store_is_stopping(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    bool stopping = store->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
    return stopping;
}

static void wake_outside(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    store->woken_outside = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
}

/* ---- a region's keeper -------------------------------------------------------------------- */

/* When it is due next. */
static uint64_t sign_if_due(struct dom_keeper *keeper, bool hurry)
{
    struct dom_region *region = keeper->region;
    struct dom_audit_log *log = dom_region_log(region);
    struct dom_error err = {0};
    uint64_t due = dom_audit_log_due_us(log);

    if (due == UINT64_MAX || (!hurry && due > dom_store_now_us())) {
        return due;
    }
    if (dom_audit_log_integrate(log, &err) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "store.checkpoint_failed", "region=%s reason=\"%s\"",
                dom_region_name(region), err.message);
        dom_gate_close(dom_region_gate(region), DOM_GATE_PUBLISH, err.message);
        dom_region_suspect(region);
    } else {
        dom_gate_open(dom_region_gate(region), DOM_GATE_PUBLISH);
        wake_outside(keeper->store);
    }
    return dom_audit_log_due_us(log);
}

/* As dom_store_pause_until; *hurryp: whether somebody settles. */
static bool pause_until(struct dom_keeper *keeper, bool *hurryp, uint64_t until)
{
    DOM_ASSERT(pthread_mutex_lock(&keeper->lock) == 0);
    while (!keeper->stopping && !keeper->woken) {
        struct timespec at = timespec_of(until);
        if (until == UINT64_MAX) {
            DOM_ASSERT(pthread_cond_wait(&keeper->wake, &keeper->lock) == 0);
        } else if (pthread_cond_timedwait(&keeper->wake, &keeper->lock, &at) == ETIMEDOUT) {
            break;
        }
    }
    keeper->woken = false;
    *hurryp = keeper->hurry;
    keeper->hurry = false;
    bool going = !keeper->stopping;
    DOM_ASSERT(pthread_mutex_unlock(&keeper->lock) == 0);
    return going;
}

static void *keeper_main(void *arg)
{
    struct dom_keeper *keeper = arg;
    uint64_t next = UINT64_MAX; /* it is woken when its region has been added to the store */
    bool begun = false;
    bool hurry = false;

    dom_thread_name("keeper", dom_region_name(keeper->region));
    while (pause_until(keeper, &hurry, next)) {
        begun = true;
        next = sign_if_due(keeper, hurry);
    }
    if (begun) {
        (void)sign_if_due(keeper, true); /* a clean end leaves nothing unsigned */
    }
    return NULL;
}

enum dom_code dom_keeper_start(struct dom_keeper **keeperp, struct dom_store *store,
                               struct dom_region *region, struct dom_error *err)
{
    struct dom_keeper *keeper = calloc(1, sizeof(*keeper));

    DOM_ASSERT(keeper != NULL);
    keeper->store = store;
    keeper->region = region;
    DOM_ASSERT(pthread_mutex_init(&keeper->lock, NULL) == 0);
    dom_store_init_wake(&keeper->wake);
    keeper->started = pthread_create(&keeper->thread, NULL, keeper_main, keeper) == 0;
    *keeperp = keeper;
    return keeper->started ? DOM_OK
                           : DOM_FAIL(err, DOM_RESOURCE, "region %s: no thread for its keeper",
                                      dom_region_name(region));
}

static void wake(struct dom_keeper *keeper, bool hurry)
{
    DOM_ASSERT(pthread_mutex_lock(&keeper->lock) == 0);
    keeper->woken = true;
    keeper->hurry = keeper->hurry || hurry;
    DOM_ASSERT(pthread_cond_signal(&keeper->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&keeper->lock) == 0);
}

static void tell_end(struct dom_keeper *keeper)
{
    DOM_ASSERT(pthread_mutex_lock(&keeper->lock) == 0);
    keeper->stopping = true;
    DOM_ASSERT(pthread_cond_signal(&keeper->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&keeper->lock) == 0);
}

void dom_keeper_stop(struct dom_keeper *keeper)
{
    if (keeper == NULL || !keeper->started) {
        return;
    }
    tell_end(keeper);
    DOM_ASSERT(pthread_join(keeper->thread, NULL) == 0);
    keeper->started = false;
}

void dom_keeper_destroy(struct dom_keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    DOM_ASSERT(!keeper->started);
    (void)pthread_mutex_destroy(&keeper->lock);
    (void)pthread_cond_destroy(&keeper->wake);
    free(keeper);
}

/* ---- purging ------------------------------------------------------------------------------ */

static uint64_t purge_what_is_due(struct dom_store *store)
{
    uint64_t next = dom_store_now_us() + EXPIRE_PAUSE_US;

    for (size_t i = 0; i < num_regions(store); i++) {
        struct dom_region *region = region_at(store, i);
        struct dom_error err = {0};
        if (region == NULL) {
            continue;
        }
        uint64_t due = dom_region_purge_due_us(region);
        enum dom_code rc = dom_region_expire(region, &err);
        if (rc == DOM_OK) {
            rc = dom_region_forget(region, &err);
        }
        if (rc == DOM_OK && due <= dom_store_now_us()) {
            rc = dom_region_purge(region, &err);
            due = dom_region_purge_due_us(region);
        }
        if (rc != DOM_OK) {
            dom_log(DOM_LOG_ERROR, "store.purge_failed", "region=%s reason=\"%s\"",
                    dom_region_name(region), err.message);
            dom_region_suspect(region);
        }
        next = due < next ? due : next;
    }
    return next;
}

static void *purger_main(void *arg)
{
    struct dom_store *store = arg;
    uint64_t next = 0;

    dom_thread_name("purger", NULL);
    while (dom_store_pause_until(store, &store->woken_purger, next)) {
        uint64_t prune = dom_store_prune(store);
        next = purge_what_is_due(store);
        next = prune < next ? prune : next;
    }
    return NULL;
}

enum dom_code dom_store_start_purger(struct dom_store *store, struct dom_error *err)
{
    store->purger_started = pthread_create(&store->purger, NULL, purger_main, store) == 0;
    return store->purger_started
               ? DOM_OK
               : DOM_FAIL(err, DOM_RESOURCE, "no thread for the store's purger");
}

void dom_store_stop_keepers(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    store->stopping = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
    if (store->purger_started) {
        DOM_ASSERT(pthread_join(store->purger, NULL) == 0);
        store->purger_started = false;
    }
    for (size_t i = 0; i < num_regions(store); i++) {
        tell_end(atomic_load(&store->keepers[i])); /* all first: they end side by side */
    }
    for (size_t i = 0; i < num_regions(store); i++) {
        dom_keeper_stop(atomic_load(&store->keepers[i]));
    }
    dom_fsck_stop(store->fsck);
    store->fsck = NULL;
    dom_mirror_stop(store->mirror);
    store->mirror = NULL;
    dom_outside_stop(store->outside);
    store->outside = NULL;
}

void dom_store_wake_keeper(void *context, struct dom_region *region)
{
    struct dom_store *store = context;
    struct dom_keeper *keeper = atomic_load(&store->keepers[dom_region_number(region)]);

    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    store->woken_purger = true;
    store->woken_outside = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
    if (keeper != NULL) { /* NULL: the region is being opened */
        wake(keeper, false);
    }
}

/* ---- settling ----------------------------------------------------------------------------- */

static bool settled(struct dom_store *store)
{
    if (!dom_placer_idle(&store->placer)) {
        return false;
    }
    for (size_t i = 0; i < num_regions(store); i++) {
        struct dom_region *region = region_at(store, i);
        struct dom_replicator *replicator = atomic_load(&store->replicators[i]);
        if (region == NULL || replicator == NULL) {
            continue;
        }
        struct dom_audit_log *log = dom_region_log(region);
        if (!dom_replicator_idle(replicator) || !dom_audit_log_whole(log) ||
            dom_audit_log_published_size(log) < dom_audit_log_size(log)) {
            return false;
        }
    }
    return true;
}

bool dom_store_settle(struct dom_store *store, uint64_t timeout_ms)
{
    uint64_t until = dom_store_now_us() + timeout_ms * 1000;

    while (!settled(store)) {
        if (dom_store_now_us() >= until) {
            return false;
        }
        for (size_t i = 0; i < num_regions(store); i++) {
            wake(atomic_load(&store->keepers[i]), true);
        }
        struct timespec pause = timespec_of(SETTLE_PAUSE_US);
        (void)nanosleep(&pause, NULL);
    }
    return true;
}
