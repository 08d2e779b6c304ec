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

    /* The keeper: checkpoints. A second thread purges and expires, as compacting takes long. */
    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    bool stopping;
    bool keeper_started;
    bool purger_started;
    bool woken_keeper;
    bool woken_purger;
    bool woken_outside;
    bool hurry; /* somebody settles: sign at once */
    struct dom_placer placer;
    pthread_t keeper;
    pthread_t purger;

    /* watch.c */
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_wake;
    bool watch_stopping;
    bool watch_started;
    bool look_started;
    pthread_t watch;
    pthread_t look;

    struct dom_mirror *mirror; /* NULL: none is wanted */
    struct dom_fsck *fsck; /* NULL: none is wanted */
    struct dom_fsck_state fsck_states[DOM_REGIONS_MAX];

    pthread_mutex_t hold_lock;
    struct dom_store_hold *holds; /* DOM_HOLDS_MAX, for who has the lock */
    uint64_t next_prune_us;       /* purger's */

    struct dom_outside *outside;                     /* witnesses elsewhere; NULL: none */
    uint64_t witness_generation[DOM_REGIONS_MAX];    /* keeper's: regions when the policy was written */
    bool witness_down[DOM_REGIONS_MAX][DOM_WITNESS_REGIONS_MAX]; /* keeper's */
};

/* One thread's ciphers, a region each. */
struct dom_store_session {
    struct dom_store *store;
    struct dom_row_cipher ciphers[DOM_REGIONS_MAX];
};

/* The region, or NULL: asserts that the number was given by dom_store_open_region. */
struct dom_region *dom_store_at(const struct dom_store *store, dom_store_region region);

enum dom_code dom_store_start_keeper(struct dom_store *store, struct dom_error *err) DOM_MUST_USE;
void dom_store_stop_keeper(struct dom_store *store);
void dom_store_wake_keeper(void *store);
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
/* Before any region is closed. */
void dom_store_stop_watch(struct dom_store *store);

#endif
