/* Who notices what nobody else could tell. One thread for all looks at memory only, so that it finds
 * what hangs whatever the disks do: a commit, a second copy, publishing, or the looking itself. A
 * thread for each region looks at files, and may hang with them, alone. */
#include "store/store_internal.h"

#define TICK_US UINT64_C(25000)
#define LOOK_US UINT64_C(100000) /* what has gone is known in 250 ms, also where threads are late */

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

static void look_run(void *context)
{
    struct dom_look *look = context;

    while (dom_waiter_wait(&look->waiter, dom_store_now_us() + LOOK_US)) {
        atomic_store(&look->since_us, dom_store_now_us());
        dom_region_watch_files(look->region);
        look_at_published(look->store, look->region);
        atomic_store(&look->since_us, 0);
    }
}

enum dom_code dom_look_start(struct dom_look *look, struct dom_store *store,
                             struct dom_region *region, struct dom_error *err)
{
    look->store = store;
    look->region = region;
    look_at_published(store, region); /* before the first entry is taken, not a moment later */
    return dom_waiter_start(&look->waiter, "look", dom_region_name(region), look_run, look, err);
}

/* ---- looking at memory -------------------------------------------------------------------- */

/* For how long it has been there. The time counts in ticks of this thread, none for more than two of
 * them: where the machine gives nobody any time, nobody hangs. */
static uint64_t see(struct dom_seen *seen, uint64_t at, uint64_t tick_us)
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

static void watch_run(void *context)
{
    struct dom_store *store = context;
    uint64_t last = dom_store_now_us();

    while (dom_waiter_wait(&store->watch, dom_store_now_us() + TICK_US)) {
        uint64_t now = dom_store_now_us();
        for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
            dom_region_watch(atomic_load(&store->host.regions[i]));
            dom_sinks_watch(atomic_load(&store->sinks[i]));
            watch_files(store, &dom_store_keeping(store, i)->look, now - last);
        }
        last = now;
    }
}

enum dom_code dom_store_start_watch(struct dom_store *store, struct dom_error *err)
{
    return dom_waiter_start(&store->watch, "watch", NULL, watch_run, store, err);
}

void dom_store_stop_watch(struct dom_store *store)
{
    size_t count = atomic_load(&store->host.num_regions);

    for (size_t i = 0; i < count; i++) {
        dom_waiter_end(&dom_store_keeping(store, i)->look.waiter);
    }
    dom_waiter_join(&store->watch);
    for (size_t i = 0; i < count; i++) {
        dom_waiter_join(&dom_store_keeping(store, i)->look.waiter);
    }
}
