/* What has to happen by itself and in time: checkpoints; and settling, which waits for them.
 *
 * A keeper for each region: one whose disk hangs keeps nobody's checkpoint but its own from coming. */
#include <time.h>

#include "base/log.h"
#include "store/store_internal.h"

#define SETTLE_PAUSE_US UINT64_C(2000)

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
        dom_outside_wake(keeper->store->outside);
    }
    return dom_audit_log_due_us(log);
}

static void run(void *context)
{
    struct dom_keeper *keeper = context;
    uint64_t next = UINT64_MAX; /* it is woken when its region has been added to the store */
    bool begun = false;

    while (dom_waiter_wait(&keeper->waiter, next)) {
        begun = true;
        next = sign_if_due(keeper, atomic_exchange(&keeper->hurry, false));
    }
    if (begun) {
        (void)sign_if_due(keeper, true); /* a clean end leaves nothing unsigned */
    }
}

enum dom_code dom_keeper_start(struct dom_keeper *keeper, struct dom_store *store,
                               struct dom_region *region, struct dom_error *err)
{
    keeper->store = store;
    keeper->region = region;
    return dom_waiter_start(&keeper->waiter, "keeper", dom_region_name(region), run, keeper, err);
}

/* ---- settling ----------------------------------------------------------------------------- */

static bool settled(struct dom_store *store)
{
    if (!dom_placer_idle(&store->placer)) {
        return false;
    }
    for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
        struct dom_region *region = atomic_load(&store->host.regions[i]);
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
        for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
            struct dom_keeper *keeper = &dom_store_keeping(store, i)->keeper;
            atomic_store(&keeper->hurry, true);
            dom_waiter_wake(&keeper->waiter);
        }
        struct timespec pause = {.tv_nsec = SETTLE_PAUSE_US * 1000};
        (void)nanosleep(&pause, NULL);
    }
    return true;
}
