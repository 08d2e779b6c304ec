/* The threads that each region has for itself, so that one whose disk hangs keeps nobody waiting but
 * itself: a witness, a keeper, a purger, a check and a look. */
#include <stdlib.h>

#include "base/assert.h"
#include "store/desk_internal.h"
#include "store/store_internal.h"

enum dom_code dom_keeping_start(struct dom_keeping **keepingp, struct dom_store *store,
                                struct dom_region *region, struct dom_error *err)
{
    struct dom_keeping *keeping = calloc(1, sizeof(*keeping));
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(keeping != NULL);
    if (store->host.options.witness_regions > 0) {
        rc = dom_desk_start(&keeping->desk, &store->host, region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_keeper_start(&keeping->keeper, store, region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_purger_start(&keeping->purger, store, region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_fsck_start(&keeping->fsck, store, region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_look_start(&keeping->look, store, region, err);
    }
    if (rc != DOM_OK) {
        dom_waiter_join(&keeping->look.waiter);
        dom_waiter_join(&keeping->fsck.waiter);
        dom_waiter_join(&keeping->purger.waiter);
        dom_waiter_join(&keeping->keeper.waiter);
        dom_desk_stop(keeping->desk);
        dom_keeping_destroy(keeping);
        keeping = NULL;
    }
    *keepingp = keeping;
    return rc;
}

void dom_keeping_destroy(struct dom_keeping *keeping)
{
    if (keeping == NULL) {
        return;
    }
    dom_desk_destroy(keeping->desk);
    dom_waiter_cleanup(&keeping->keeper.waiter);
    dom_waiter_cleanup(&keeping->purger.waiter);
    dom_fsck_cleanup(&keeping->fsck);
    dom_waiter_cleanup(&keeping->look.waiter);
    free(keeping);
}

/* Those that write entries come first: what they wrote is signed by the keepers' end. */
void dom_store_stop_keepers(struct dom_store *store)
{
    size_t count = atomic_load(&store->host.num_regions);

    for (size_t i = 0; i < count; i++) {
        dom_waiter_end(&dom_store_keeping(store, i)->purger.waiter);
        dom_waiter_end(&dom_store_keeping(store, i)->fsck.waiter);
    }
    dom_outside_end(store->outside);
    dom_mirror_stop(store->mirror);
    store->mirror = NULL;
    for (size_t i = 0; i < count; i++) {
        dom_waiter_join(&dom_store_keeping(store, i)->purger.waiter);
        dom_waiter_join(&dom_store_keeping(store, i)->fsck.waiter);
    }
    for (size_t i = 0; i < count; i++) {
        dom_waiter_end(&dom_store_keeping(store, i)->keeper.waiter);
    }
    for (size_t i = 0; i < count; i++) {
        dom_waiter_join(&dom_store_keeping(store, i)->keeper.waiter);
    }
    dom_outside_stop(store->outside);
}

struct dom_keeping *dom_store_keeping(struct dom_store *store, size_t number)
{
    return atomic_load(&store->keeping[number]);
}

void dom_store_wake_keeper(void *context, struct dom_region *region)
{
    struct dom_store *store = context;
    struct dom_keeping *keeping = dom_store_keeping(store, (size_t)dom_region_number(region));

    if (keeping != NULL) { /* else the region is being opened: it is woken afterwards */
        dom_waiter_wake(&keeping->keeper.waiter);
        dom_waiter_wake(&keeping->purger.waiter);
    }
    dom_outside_wake(store->outside);
}
