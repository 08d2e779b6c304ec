/* Private to store/replica. */
#ifndef DOM_STORE_REPLICA_REPLICATOR_INTERNAL_H
#define DOM_STORE_REPLICA_REPLICATOR_INTERNAL_H

#include <pthread.h>

#include "store/replica/outbox.h"
#include "store/replica/replicator.h"

#define DOM_RUN_ENTRIES_MAX     256U /* outbox entries of one round */
#define DOM_RUN_ARENA_BYTES_MAX (16U << 20)

struct dom_replicator;
struct dom_round;

/* One target's side. Under the replicator's lock, except `job` and `items`: the replicator
 * thread's until submitted, the target's until done. */
struct dom_replica_target {
    struct dom_replicator *replicator;
    bool known; /* position read from the target */
    bool gap;   /* older than the outbox: it waits until everything is owed to it anew */
    bool in_flight;
    bool failing;
    uint64_t position; /* has everything up to here */
    uint64_t retry_us;
    uint64_t backoff_us;
    uint64_t caught_up_us; /* when everything that was committed then was there; 0: never */
    uint64_t ships_to;     /* position after the job in flight */
    struct dom_region_job job;
    struct dom_apply_item *items;
    struct dom_round *round; /* what the job's items lie in */
    uint64_t number;         /* of that round */
};

struct dom_replicator {
    struct dom_region_host *host;
    struct dom_region *home;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    bool started;
    pthread_t thread;
    struct dom_store_op *waiting; /* by internal.wait_next */
    uint64_t events;              /* shipments done and calls so far */
    uint64_t begun;               /* rounds so far */
    uint64_t shipped;             /* rounds read, projected and given to their targets */
    struct dom_replica_target targets[DOM_REGIONS_MAX];
    uint64_t tail;    /* newest entry that notify told of */
    uint64_t least;   /* position of the last target, when trimming last looked */
    uint64_t done;    /* all that are to have it have everything up to here */
    uint64_t trimmed; /* removed from the database up to here */
    unsigned turn;    /* target whose turn it is */

    /* The thread's own. */
    struct dom_row_cipher cipher;
    struct dom_round *round; /* being put together */
    size_t run_max;          /* entries of the next run; smaller after big rows */
    uint64_t trim_after_us;
    uint64_t sent[DOM_PEERS_MAX]; /* newest entry done with, for each peer; 0: none since trimming */
};

/* One record to carry: the newest of its entries in the run, for all targets that any named. */
struct dom_run_record {
    struct dom_slice key;
    struct dom_slice sealed; /* of a delete */
    bool is_delete;
    bool is_placed; /* its placement changed, perhaps besides the record */
    uint64_t version;
    dom_store_set targets;
};

struct dom_run {
    uint64_t from;
    uint64_t to; /* last entry read */
    dom_store_region region_of[DOM_PEERS_MAX]; /* by peer number of the home; NO_REGION: not open */
    struct dom_run_record records[DOM_RUN_ENTRIES_MAX];
    size_t num_records;
};

/* A run and what was read for it. Lives until the last target that it was shipped to is through, so
 * that a slow one holds up none of the others: at most one round per target. */
struct dom_round {
    unsigned refs; /* under the replicator's lock */
    struct dom_arena arena;
    struct dom_run run;
};

/* run.c */
/* Reads entries after `from`. Memory from the arena. */
enum dom_code dom_run_read(struct dom_replicator *replicator, uint64_t from, struct dom_run *run,
                           struct dom_error *err) DOM_MUST_USE;
/* Projects the run's records for the targets of `ready` into their shipments. */
enum dom_code dom_run_project(struct dom_replicator *replicator, struct dom_run *run,
                              dom_store_set ready, struct dom_error *err) DOM_MUST_USE;

/* trim.c: removes entries that are done with; *wakep is when to come again (UINT64_MAX: not). */
void dom_replicator_trim(struct dom_replicator *replicator, uint64_t *wakep);

#endif
