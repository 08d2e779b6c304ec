/* Private to store/. */
#ifndef DOM_STORE_STORE_INTERNAL_H
#define DOM_STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "store/outside_internal.h"
#include "store/placer.h"
#include "store/region/region.h"
#include "store/replica/replicator.h"
#include "store/sink.h"
#include "store/waiter.h"

/* keeper.c: signs and publishes checkpoints. */
struct dom_keeper {
    struct dom_store *store;
    struct dom_region *region;
    struct dom_waiter waiter;
    _Atomic bool hurry; /* somebody settles: sign at once */
};

/* purger.c */
struct dom_purger {
    struct dom_store *store;
    struct dom_region *region;
    struct dom_waiter waiter;
    uint64_t next_prune_us;
};

/* fsck.c: the scheduled check. */
struct dom_scrub;
struct dom_fsck {
    struct dom_store *store;
    struct dom_region *region;
    struct dom_waiter waiter;
    struct dom_scrub *scrub;
    char *db_path;
    uint64_t begin_us; /* of the run under way */
    uint64_t bytes;
};

/* watch.c: how long something has been seen at the same place. */
struct dom_seen {
    uint64_t at; /* when it began there; 0: nowhere */
    uint64_t us;
};

/* watch.c: looks at the region's files. */
struct dom_look {
    struct dom_store *store;
    struct dom_region *region;
    struct dom_waiter waiter;
    _Atomic uint64_t since_us; /* a look began then; 0: none is under way */
    struct dom_seen looking;   /* these two: the watch's */
    struct dom_seen publishing;
};

/* keeping.c: the threads that a region has for itself. */
struct dom_desk;
struct dom_keeping {
    struct dom_desk *desk; /* NULL: nobody is to be cosigned here */
    struct dom_keeper keeper;
    struct dom_purger purger;
    struct dom_fsck fsck; /* not started: none is wanted */
    struct dom_look look;
};

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

    _Atomic(struct dom_keeping *) keeping[DOM_REGIONS_MAX]; /* NULL: the region is being opened */
    struct dom_placer placer;
    struct dom_waiter watch; /* watch.c */
    struct dom_mirror *mirror; /* NULL: none is wanted */
    struct dom_fsck_state fsck_states[DOM_REGIONS_MAX];
    _Atomic uint64_t fsck_taken_us; /* up to then, at its rate, what is to be read has been read */

    /* By region: no hold is placed while it is found out, and told, what may be pruned. */
    pthread_mutex_t hold_locks[DOM_REGIONS_MAX];

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

/* keeping.c: starts all of a region's threads, or none. Keeper and purger sleep until they are woken:
 * by then the region is in the store's arrays. Errors: RESOURCE. */
enum dom_code dom_keeping_start(struct dom_keeping **keepingp, struct dom_store *store,
                                struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
/* They must have ended. NULL: nothing. */
void dom_keeping_destroy(struct dom_keeping *keeping);
struct dom_keeping *dom_store_keeping(struct dom_store *store, size_t number);
/* Ends the keepers and those before them who write entries: purgers, checks, the mirror; and who
 * shows checkpoints outside. */
void dom_store_stop_keepers(struct dom_store *store);
/* A checkpoint, purge or expiry of the region may be due. Any thread. */
void dom_store_wake_keeper(void *store, struct dom_region *region);

/* These errors: RESOURCE; cleanup then too. dom_fsck_start does nothing without
 * options.fsck_interval_ms. */
enum dom_code dom_keeper_start(struct dom_keeper *keeper, struct dom_store *store,
                               struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_purger_start(struct dom_purger *purger, struct dom_store *store,
                               struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_fsck_start(struct dom_fsck *fsck, struct dom_store *store,
                             struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
void dom_fsck_cleanup(struct dom_fsck *fsck);
enum dom_code dom_look_start(struct dom_look *look, struct dom_store *store,
                             struct dom_region *region, struct dom_error *err) DOM_MUST_USE;

/* prune.c: prunes what may go of the region's log. The purger's thread. */
void dom_store_prune(struct dom_store *store, struct dom_region *region);
/* mirror.c: nothing, and NULL, without options.mirror_ms. Errors: RESOURCE; stop it then too. */
enum dom_code dom_mirror_start(struct dom_mirror **mirrorp, struct dom_store *store,
                               struct dom_error *err) DOM_MUST_USE;
/* Its regions must not have stopped yet. NULL: nothing. */
void dom_mirror_stop(struct dom_mirror *mirror);
/* cosign.c */
void dom_store_cosign(void *store, struct dom_region *region, struct dom_buffer *lines);

enum dom_code dom_store_start_watch(struct dom_store *store, struct dom_error *err) DOM_MUST_USE;
/* Also ends the looks. Before any region is closed. */
void dom_store_stop_watch(struct dom_store *store);

#endif
