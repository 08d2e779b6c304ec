/* Places records anew when the placement in force has changed: goes through the home rows of every
 * region in small steps and reuses what writes use (commit, outbox, replicator, purge). One thread.
 *
 * What is owed is found in the rows themselves: each says where each of its fields lies. So a crash
 * loses nothing, a step that comes twice does nothing the second time, and a row that an unchanged
 * part of a policy covers is not touched.
 *
 * Thread contract: start and stop by the store's owner; the rest from any thread.
 */
#ifndef DOM_STORE_PLACER_H
#define DOM_STORE_PLACER_H

#include <pthread.h>

#include "store/region/region.h"

#define DOM_PLACE_ROWS_MAX    128U         /* rows that one step changes: one commit's share */
#define DOM_PLACE_VISITED_MAX 4096U        /* rows that one step looks at */
#define DOM_PLACE_BYTES_MAX   (4U << 20)   /* of values that one step carries, one record more */
#define DOM_PLACE_ARENA_MAX   (16U << 20)
#define DOM_PLACE_PER_S       1000U
#define DOM_PLACE_WIDEN_MAX   32U          /* rows that one step copies: small, as it has time */

struct dom_replicator;

struct dom_placer {
    struct dom_region_host *host;
    /* By region of the process; the store's. */
    _Atomic(struct dom_replicator *) *replicators;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool started;
    bool stopping;
    bool poked;        /* the placement may be another, or a region was opened */
    bool busy;
    bool looking;      /* what is owed is not known yet */
    bool known;        /* `now` is */
    uint64_t retry_us; /* something could not be done: when to come again; 0: nothing */
    struct dom_store_placement now; /* the thread's; its copy in each region is for receipts */
    struct dom_store_placing progress[DOM_REGIONS_MAX]; /* under `lock` */
    dom_store_set reseed[DOM_REGIONS_MAX]; /* by home: replicas that need everything again; `lock` */
    atomic_bool rehoming;

    /* The thread's own. */
    struct dom_row_cipher ciphers[DOM_REGIONS_MAX];
    bool owed[DOM_REGIONS_MAX];
};

/* Starts the thread.
 * Errors: RESOURCE. */
enum dom_code dom_placer_start(struct dom_placer *placer, struct dom_region_host *host,
                               _Atomic(struct dom_replicator *) *replicators,
                               struct dom_error *err) DOM_MUST_USE;
/* After the regions' commit threads and the replicators have ended, or before; idempotent. */
void dom_placer_stop(struct dom_placer *placer);
void dom_placer_cleanup(struct dom_placer *placer);
/* Tells it to look around. */
void dom_placer_poke(struct dom_placer *placer);
bool dom_placer_idle(struct dom_placer *placer);

/* `replica` lacks what `home` does not owe it any more. Any thread. */
void dom_placer_reseed(struct dom_placer *placer, dom_store_region home, dom_store_region replica);
/* What the placer knows of the region. */
void dom_placer_progress(struct dom_placer *placer, dom_store_region region,
                         struct dom_store_placing *out);

/* ---- placer_step.c: the thread's ---- */

/* Where a pass through one region's rows is. */
struct dom_place_pass {
    struct dom_placer *placer;
    struct dom_region *region;
    bool widen; /* add what is missing; else take away what may not be there, and move */
    dom_store_set reseed; /* instead of either: owe these replicas all that they are to hold */
    uint8_t after[DOM_ROW_KEY_BYTES_MAX];
    size_t after_len;
    bool at_end;
    /* Of the last step. */
    uint64_t visited; /* home rows */
    uint64_t changed;
    uint64_t rehomed;
    uint64_t without_place;
    bool again; /* something could not be done now */
};
/* One step. Errors: those of reading and committing; the pass has not gone on then. */
enum dom_code dom_place_step(struct dom_place_pass *pass, struct dom_error *err) DOM_MUST_USE;

/* placer_sweep.c: removes from the replica what `home` does not want there any more. */
enum dom_code dom_place_sweep(struct dom_placer *placer, struct dom_region *home,
                              struct dom_region *replica, struct dom_error *err) DOM_MUST_USE;

#endif
