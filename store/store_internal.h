/* Private to store/. */
#ifndef DOM_STORE_STORE_INTERNAL_H
#define DOM_STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "store/outside_internal.h"
#include "store/placer.h"
#include "store/region/region.h"
#include "store/replica/replicator.h"
#include "store/sink.h"

/* What the scheduled check has found of one region. Written by its thread. */
struct dom_fsck_state {
    _Atomic uint64_t runs;
    _Atomic uint64_t findings;
    _Atomic uint64_t bytes;
    _Atomic uint64_t sound_s; /* when nothing was wrong last, seconds since 1970; 0: never yet */
    _Atomic bool damaged;
};

struct dom_store {
    struct dom_region_host host; /* regions are in its array, in the order of opening */
    int lock_fd;
    char *data_dir;
    char *key_dir;
    char *audit_origin;
    pthread_mutex_t open_lock; /* one opening at a time */
    _Atomic(struct dom_replicator *) replicators[DOM_REGIONS_MAX];
    _Atomic(struct dom_sinks *) sinks[DOM_REGIONS_MAX];

    _Atomic(struct dom_keeper *) keepers[DOM_REGIONS_MAX];
    _Atomic(struct dom_look *) looks[DOM_REGIONS_MAX];
    _Atomic(struct dom_desk *) desks[DOM_REGIONS_MAX]; /* NULL: nobody is to be cosigned here */

    /* Of the threads that serve all regions: purger, fsck, mirror, outside. */
    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    bool stopping;
    bool purger_started;
    bool woken_purger;
    bool woken_outside;
    struct dom_placer placer;
    pthread_t purger;

    /* watch.c */
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_wake;
    bool watch_stopping;
    bool watch_started;
    pthread_t watch;

    struct dom_mirror *mirror; /* NULL: none is wanted */
    struct dom_fsck *fsck; /* NULL: none is wanted */
    struct dom_fsck_state fsck_states[DOM_REGIONS_MAX];

    pthread_mutex_t hold_lock;
    struct dom_store_hold *holds; /* DOM_HOLDS_MAX, for who has the lock */
    uint64_t next_prune_us;       /* purger's */

    struct dom_outside *outside; /* witnesses elsewhere; NULL: none */
    struct dom_cosigning {
        uint64_t generation;              /* regions when the policy was written */
        uint64_t size;                    /* of the checkpoint that... */
        dom_store_set by;                 /* ...these have cosigned */
        uint64_t last[DOM_REGIONS_MAX];   /* size that this one cosigned last, as far as is known */
        bool down[DOM_REGIONS_MAX];
    } cosigning[DOM_REGIONS_MAX]; /* by the log's region; its keeper's */
};

/* One thread's ciphers, a region each. */
struct dom_store_session {
    struct dom_store *store;
    struct dom_row_cipher ciphers[DOM_REGIONS_MAX];
};

/* The region, or NULL: asserts that the number was given by dom_store_open_region. */
struct dom_region *dom_store_at(const struct dom_store *store, dom_store_region region);

/* keeper.c: the region's keeper, which sleeps until it is woken: by then the region is in the store's
 * arrays. Errors: RESOURCE; what was made must be destroyed then too. */
struct dom_keeper;
struct dom_look;
struct dom_desk;
enum dom_code dom_keeper_start(struct dom_keeper **keeperp, struct dom_store *store,
                               struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
void dom_keeper_stop(struct dom_keeper *keeper);
void dom_keeper_destroy(struct dom_keeper *keeper);
enum dom_code dom_store_start_purger(struct dom_store *store, struct dom_error *err) DOM_MUST_USE;
/* Also ends the purger, and those who wait by dom_store_pause_until. */
void dom_store_stop_keepers(struct dom_store *store);
/* A checkpoint, purge or expiry of the region may be due. Any thread. */
void dom_store_wake_keeper(void *store, struct dom_region *region);
/* Makes a condition whose time is the monotonic clock's. */
void dom_store_init_wake(pthread_cond_t *wake);
/* Waits until *wokenp is set (and clears it), the time (monotonic microseconds; UINT64_MAX: never)
 * or the end, which is false. */
bool dom_store_pause_until(struct dom_store *store, bool *wokenp, uint64_t until);
bool dom_store_is_stopping(struct dom_store *store);
uint64_t dom_store_now_us(void);
/* fsck.c: nothing, and NULL, without options.fsck_interval_ms. Errors: RESOURCE. */
enum dom_code dom_fsck_start(struct dom_fsck **fsckp, struct dom_store *store,
                             struct dom_error *err) DOM_MUST_USE;
/* The store must be stopping. */
void dom_fsck_stop(struct dom_fsck *fsck);
/* prune.c: does what is due; returns when it is due next. The purger's thread. */
uint64_t dom_store_prune(struct dom_store *store);
/* mirror.c: nothing, and NULL, without options.mirror_ms. Errors: RESOURCE. */
enum dom_code dom_mirror_start(struct dom_mirror **mirrorp, struct dom_store *store,
                               struct dom_error *err) DOM_MUST_USE;
/* The store must be stopping, its regions not yet. */
void dom_mirror_stop(struct dom_mirror *mirror);
/* cosign.c */
void dom_store_cosign(void *store, struct dom_region *region, struct dom_buffer *lines);

void dom_store_init_watch(struct dom_store *store);
enum dom_code dom_store_start_watch(struct dom_store *store, struct dom_error *err) DOM_MUST_USE;
/* Also ends the looks. Before any region is closed. */
void dom_store_stop_watch(struct dom_store *store);
/* watch.c: looks at the region's files from now on. Errors: RESOURCE, likewise. */
enum dom_code dom_look_start(struct dom_look **lookp, struct dom_store *store,
                             struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
void dom_look_destroy(struct dom_look *look);

#endif
