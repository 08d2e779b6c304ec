/* What is in no hurry, but has its time: purges of deleted bytes, pruning of the log, expiry of request
 * ids. A purger for each region: a disk that hangs keeps no other region's deleted bytes (P9). */
#include "base/log.h"
#include "store/store_internal.h"

#define EXPIRE_PAUSE_US UINT64_C(60000000)

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* These return when they are due next. */

static uint64_t prune_if_due(struct dom_purger *purger)
{
    const struct dom_store_options *options = &purger->store->host.options;

    if (options->log_keep_ms == NULL || options->prune_interval_ms == 0) {
        return UINT64_MAX;
    }
    if (dom_store_now_us() >= purger->next_prune_us) {
        dom_store_prune(purger->store, purger->region);
        purger->next_prune_us = dom_store_now_us() + options->prune_interval_ms * 1000;
    }
    return purger->next_prune_us;
}

static uint64_t purge_if_due(struct dom_region *region)
{
    struct dom_error err = {0};
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
    return due;
}

static void run(void *context)
{
    struct dom_purger *purger = context;
    uint64_t next = UINT64_MAX; /* it is woken when its region has been added to the store */

    while (dom_waiter_wait(&purger->waiter, next)) {
        uint64_t expire = dom_store_now_us() + EXPIRE_PAUSE_US;
        next = earlier(prune_if_due(purger), expire);
        next = earlier(purge_if_due(purger->region), next);
    }
}

enum dom_code dom_purger_start(struct dom_purger *purger, struct dom_store *store,
                               struct dom_region *region, struct dom_error *err)
{
    purger->store = store;
    purger->region = region;
    return dom_waiter_start(&purger->waiter, "purger", dom_region_name(region), run, purger, err);
}
