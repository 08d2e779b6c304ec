/* What has to happen by itself: checkpoints in time, purges, expiry of request ids. */
#include <errno.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/store_internal.h"

#define EXPIRE_PAUSE_US UINT64_C(60000000)
#define SETTLE_PAUSE_US UINT64_C(2000)

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

static bool take_hurry(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    bool hurry = store->hurry;
    store->hurry = false;
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
    return hurry;
}

static void wake_outside(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    store->woken_outside = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
}

static uint64_t sign_what_is_due(struct dom_store *store, bool hurry)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < num_regions(store); i++) {
        struct dom_region *region = region_at(store, i);
        struct dom_error err = {0};
        if (region == NULL) {
            continue;
        }
        struct dom_audit_log *log = dom_region_log(region);
        uint64_t due = dom_audit_log_due_us(log);
        if (due != UINT64_MAX && (hurry || due <= dom_store_now_us())) {
            if (dom_audit_log_integrate(log, &err) != DOM_OK) {
                dom_log(DOM_LOG_ERROR, "store.checkpoint_failed", "region=%s reason=\"%s\"",
                        dom_region_name(region), err.message);
                dom_gate_close(dom_region_gate(region), DOM_GATE_PUBLISH, err.message);
                dom_region_suspect(region);
            } else {
                dom_gate_open(dom_region_gate(region), DOM_GATE_PUBLISH);
                wake_outside(store);
            }
            due = dom_audit_log_due_us(log);
        }
        next = due < next ? due : next;
    }
    return next;
}

static void *keeper_main(void *arg)
{
    struct dom_store *store = arg;
    uint64_t next = 0;

    dom_thread_name("keeper", NULL);
    while (dom_store_pause_until(store, &store->woken_keeper, next)) {
        next = sign_what_is_due(store, take_hurry(store));
    }
    (void)sign_what_is_due(store, true); /* a clean end leaves nothing unsigned */
    return NULL;
}

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

enum dom_code dom_store_start_keeper(struct dom_store *store, struct dom_error *err)
{
    store->keeper_started = pthread_create(&store->keeper, NULL, keeper_main, store) == 0;
    store->purger_started = pthread_create(&store->purger, NULL, purger_main, store) == 0;
    return store->keeper_started && store->purger_started
               ? DOM_OK
               : DOM_FAIL(err, DOM_RESOURCE, "no thread for the store's keeper");
}

void dom_store_stop_keeper(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    store->stopping = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
    if (store->purger_started) {
        DOM_ASSERT(pthread_join(store->purger, NULL) == 0);
    }
    if (store->keeper_started) {
        DOM_ASSERT(pthread_join(store->keeper, NULL) == 0);
    }
    dom_fsck_stop(store->fsck);
    store->fsck = NULL;
    dom_mirror_stop(store->mirror);
    store->mirror = NULL;
    dom_outside_stop(store->outside);
    store->outside = NULL;
    store->purger_started = false;
    store->keeper_started = false;
}

void dom_store_wake_keeper(void *context)
{
    struct dom_store *store = context;

    DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
    store->woken_keeper = true;
    store->woken_purger = true;
    store->woken_outside = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
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
        if (!dom_replicator_idle(replicator) ||
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
        DOM_ASSERT(pthread_mutex_lock(&store->keeper_lock) == 0);
        store->hurry = true;
        store->woken_keeper = true;
        DOM_ASSERT(pthread_cond_broadcast(&store->keeper_wake) == 0);
        DOM_ASSERT(pthread_mutex_unlock(&store->keeper_lock) == 0);
        struct timespec pause = timespec_of(SETTLE_PAUSE_US);
        (void)nanosleep(&pause, NULL);
    }
    return true;
}
