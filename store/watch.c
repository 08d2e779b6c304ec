/* Two threads that notice what nobody else could tell: one looks at memory only, so that it finds a
 * commit that hangs whatever the disk does; the other looks at files, and may hang with them. */
#include <errno.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/store_internal.h"

#define TICK_US UINT64_C(25000)
#define LOOK_US UINT64_C(500000)

static struct timespec after(uint64_t us)
{
    uint64_t at = dom_clock_monotonic_us(dom_clock_system()) + us;
    struct timespec out = {.tv_sec = (time_t)(at / 1000000), .tv_nsec = (long)(at % 1000000) * 1000};

    return out;
}

/* False: the store ends. */
static bool pause_for(struct dom_store *store, uint64_t us)
{
    struct timespec until = after(us);

    DOM_ASSERT(pthread_mutex_lock(&store->watch_lock) == 0);
    while (!store->watch_stopping) {
        if (pthread_cond_timedwait(&store->watch_wake, &store->watch_lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    bool going = !store->watch_stopping;
    DOM_ASSERT(pthread_mutex_unlock(&store->watch_lock) == 0);
    return going;
}

static void look_at(struct dom_store *store, struct dom_region *region)
{
    struct dom_audit_log *log = dom_region_log(region);

    dom_region_watch_files(region);
    if (!dom_audit_log_check_published(log)) {
        dom_log(DOM_LOG_WARN, "audit.republish",
                "region=%s text=\"published files have gone; all are written again\"",
                dom_region_name(region));
        dom_store_wake_keeper(store);
    }
    if (dom_audit_log_overdue_ms(log) > DOM_CHECKPOINT_OVERDUE_MS) {
        dom_gate_close(dom_region_gate(region), DOM_GATE_PUBLISH,
                       "no checkpoint is published: the folder or the disk hangs");
    }
}

static void *watch_main(void *arg)
{
    struct dom_store *store = arg;

    dom_thread_name("watch", NULL);
    while (pause_for(store, TICK_US)) {
        for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
            dom_region_watch(atomic_load(&store->host.regions[i]));
            dom_sinks_watch(atomic_load(&store->sinks[i]));
        }
    }
    return NULL;
}

static void *look_main(void *arg)
{
    struct dom_store *store = arg;

    dom_thread_name("look", NULL);
    while (pause_for(store, LOOK_US)) {
        for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
            look_at(store, atomic_load(&store->host.regions[i]));
        }
    }
    return NULL;
}

void dom_store_init_watch(struct dom_store *store)
{
    pthread_condattr_t attr;

    DOM_ASSERT(pthread_mutex_init(&store->watch_lock, NULL) == 0);
    DOM_ASSERT(pthread_condattr_init(&attr) == 0);
    DOM_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    DOM_ASSERT(pthread_cond_init(&store->watch_wake, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

enum dom_code dom_store_start_watch(struct dom_store *store, struct dom_error *err)
{
    store->watch_started = pthread_create(&store->watch, NULL, watch_main, store) == 0;
    store->look_started = pthread_create(&store->look, NULL, look_main, store) == 0;
    return store->watch_started && store->look_started
               ? DOM_OK
               : DOM_FAIL(err, DOM_RESOURCE, "no thread for the store's watch");
}

void dom_store_stop_watch(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_lock(&store->watch_lock) == 0);
    store->watch_stopping = true;
    DOM_ASSERT(pthread_cond_broadcast(&store->watch_wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&store->watch_lock) == 0);
    if (store->watch_started) {
        DOM_ASSERT(pthread_join(store->watch, NULL) == 0);
    }
    if (store->look_started) {
        DOM_ASSERT(pthread_join(store->look, NULL) == 0);
    }
    (void)pthread_mutex_destroy(&store->watch_lock);
    (void)pthread_cond_destroy(&store->watch_wake);
}
