/* Who notices what nobody else could tell. One thread for all looks at memory only, so that it finds
 * what hangs whatever the disks do: a commit, a second copy, publishing, or the looking itself. A
 * thread for each region looks at files, and may hang with them, alone. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/store_internal.h"

#define TICK_US UINT64_C(25000)
#define LOOK_US UINT64_C(100000) /* what has gone is known in 250 ms, also where threads are late */

/* How long something has been seen at the same place. */
struct seen {
    uint64_t at; /* when it began there; 0: nowhere */
    uint64_t us;
};

struct dom_look {
    struct dom_store *store;
    struct dom_region *region;
    pthread_t thread;
    bool started;
    _Atomic uint64_t since_us; /* a look began then; 0: none is under way */
    struct seen looking;       /* these two: the watch's */
    struct seen publishing;
};

/* False: the store ends. */
static bool pause_for(struct dom_store *store, uint64_t us)
{
    uint64_t at = dom_store_now_us() + us;
    struct timespec until = {.tv_sec = (time_t)(at / 1000000),
                             .tv_nsec = (long)(at % 1000000) * 1000};

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

/* ---- looking at files --------------------------------------------------------------------- */

static void look_at_published(struct dom_store *store, struct dom_region *region)
{
    struct dom_audit_log *log = dom_region_log(region);
    struct dom_gate *gate = dom_region_gate(region);

    if (!dom_audit_log_check_published(log)) {
        dom_gate_close(gate, DOM_GATE_TILES,
                       "published files have gone; what is missing is written again");
        dom_store_wake_keeper(store, region);
    } else if (dom_audit_log_whole(log)) {
        dom_gate_open(gate, DOM_GATE_TILES);
    }
    if (dom_audit_log_overdue_ms(log) > DOM_CHECKPOINT_OVERDUE_MS) {
        dom_gate_close(gate, DOM_GATE_PUBLISH, "no checkpoint is published: it takes too long");
    }
}

static void *look_main(void *arg)
{
    struct dom_look *look = arg;

    dom_thread_name("look", dom_region_name(look->region));
    while (pause_for(look->store, LOOK_US)) {
        atomic_store(&look->since_us, dom_store_now_us());
        dom_region_watch_files(look->region);
        look_at_published(look->store, look->region);
        atomic_store(&look->since_us, 0);
    }
    return NULL;
}

enum dom_code dom_look_start(struct dom_look **lookp, struct dom_store *store,
                             struct dom_region *region, struct dom_error *err)
{
    struct dom_look *look = calloc(1, sizeof(*look));

    DOM_ASSERT(look != NULL);
    look->store = store;
    look->region = region;
    look_at_published(store, region); /* before the first entry is taken, not a moment later */
    look->started = pthread_create(&look->thread, NULL, look_main, look) == 0;
    *lookp = look;
    return look->started ? DOM_OK
                         : DOM_FAIL(err, DOM_RESOURCE, "region %s: no thread to look at its files",
                                    dom_region_name(region));
}

/* The store must be stopping to watch. */
static void stop_look(struct dom_look *look)
{
    if (look != NULL && look->started) {
        DOM_ASSERT(pthread_join(look->thread, NULL) == 0);
        look->started = false;
    }
}

void dom_look_destroy(struct dom_look *look)
{
    DOM_ASSERT(look == NULL || !look->started);
    free(look);
}

/* ---- looking at memory -------------------------------------------------------------------- */

/* For how long it has been there. The time counts in ticks of this thread, none for more than two of
 * them: where the machine gives nobody any time, nobody hangs. */
static uint64_t see(struct seen *seen, uint64_t at, uint64_t tick_us)
{
    if (at == 0 || seen->at != at) {
        seen->at = at;
        seen->us = 0;
    } else {
        seen->us += tick_us < 2 * TICK_US ? tick_us : 2 * TICK_US;
    }
    return seen->us;
}

static void watch_files(struct dom_store *store, struct dom_look *look, uint64_t tick_us)
{
    struct dom_gate *gate = dom_region_gate(look->region);
    uint64_t step = dom_audit_log_step_us(dom_region_log(look->region));
    uint64_t limit = store->host.options.wait_ms * 1000;
    /* Looks are answered from memory however slow the disk is, and begin only every LOOK_US. */
    bool publishing = see(&look->publishing, step, tick_us) > limit;
    bool looking = see(&look->looking, atomic_load(&look->since_us), tick_us) > limit / 2;

    if (publishing) {
        dom_gate_close(gate, DOM_GATE_HANG, "a write or sync of published files does not return");
    } else if (looking) {
        dom_gate_close(gate, DOM_GATE_HANG, "a look at published files or keys does not return");
    } else {
        dom_gate_open(gate, DOM_GATE_HANG);
    }
}

static void *watch_main(void *arg)
{
    struct dom_store *store = arg;
    uint64_t last = dom_store_now_us();

    dom_thread_name("watch", NULL);
    while (pause_for(store, TICK_US)) {
        uint64_t now = dom_store_now_us();
        for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
            dom_region_watch(atomic_load(&store->host.regions[i]));
            dom_sinks_watch(atomic_load(&store->sinks[i]));
            watch_files(store, atomic_load(&store->looks[i]), now - last);
        }
        last = now;
    }
    return NULL;
}

void dom_store_init_watch(struct dom_store *store)
{
    DOM_ASSERT(pthread_mutex_init(&store->watch_lock, NULL) == 0);
    dom_store_init_wake(&store->watch_wake);
}

enum dom_code dom_store_start_watch(struct dom_store *store, struct dom_error *err)
{
    store->watch_started = pthread_create(&store->watch, NULL, watch_main, store) == 0;
    return store->watch_started ? DOM_OK
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
    for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
        stop_look(atomic_load(&store->looks[i]));
    }
    (void)pthread_mutex_destroy(&store->watch_lock);
    (void)pthread_cond_destroy(&store->watch_wake);
}
