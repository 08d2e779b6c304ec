/* One region's replica: rows, commit thread, key ring, log. Used by the facade (store.c) and by the
 * replicators only.
 *
 * Thread contract: dom_region_open/stop/close: the store's owner, one at a time. Reads: any thread,
 * with a cipher of its own. Submitting: any thread.
 */
#ifndef DOM_STORE_REGION_REGION_H
#define DOM_STORE_REGION_REGION_H

#include <stdatomic.h>

#include "store/audit/witness.h"
#include "store/audit_log/audit_log.h"
#include "store/region/claims.h"
#include "store/region/db.h"
#include "store/region/gate.h"
#include "store/region/keyring.h"
#include "store/region/row.h"
#include "store/store.h"

struct dom_region;

/* What the regions of a process share. Owned by the store; outlives them. */
struct dom_region_host {
    struct dom_store_options options; /* defaults filled in */
    struct dom_db_env *env;
    struct dom_claims *claims;
    _Atomic(struct dom_region *) regions[DOM_REGIONS_MAX];
    _Atomic size_t num_regions;
    /* A commit with outbox entries is durable; `sync` is a chain (internal.wait_next) of operations
     * that wait for replicas. Called on commit threads. */
    void (*committed)(void *store, struct dom_region *region, struct dom_store_op *sync);
    /* The log has more durable entries. Called on commit threads. */
    void (*grew)(void *store, struct dom_region *region);
    /* Gives a chain of one region's operations back: durable here and in the replicas that it was to
     * wait for. Any thread of the store. */
    void (*finish)(void *store, struct dom_store_op *first, struct dom_store_op *last);
    /* A replica lacks what its home's outbox does not hold any more. Replicator threads. */
    void (*reseed)(void *store, struct dom_region *home, dom_store_region replica);
    /* A checkpoint, purge or expiry of the region may have become due. Any thread. */
    void (*wake_keeper)(void *store, struct dom_region *region);
    /* Appends cosignatures of the region's newest checkpoint. The keeper's thread. */
    void (*cosign)(void *store, struct dom_region *region, struct dom_buffer *lines);
    void *store;
    _Atomic uint64_t placement_epoch; /* from 1 */
};

/* Errors as dom_store_open_region. */
enum dom_code dom_region_open(struct dom_region **regionp, struct dom_region_host *host,
                              dom_store_region number, const char *name,
                              struct dom_error *err) DOM_MUST_USE;
/* Ends the commit thread: queued work is given back with UNAVAILABLE. Later submits are refused. */
void dom_region_stop(struct dom_region *region);
/* After stop. */
void dom_region_close(struct dom_region *region);

const char *dom_region_name(const struct dom_region *region);
dom_store_region dom_region_number(const struct dom_region *region);
struct dom_db *dom_region_db(struct dom_region *region);
struct dom_keyring *dom_region_keys(struct dom_region *region);
struct dom_audit_log *dom_region_log(struct dom_region *region);
/* Nothing stays of entries in the file that made them durable (journal.h). The caller is inside
 * dom_db_enter. Errors: IO. */
enum dom_code dom_region_wipe_journal(struct dom_region *region,
                                      struct dom_error *err) DOM_MUST_USE;
struct dom_gate *dom_region_gate(struct dom_region *region);

/* A write of another thread failed (the keeper's): the commit thread finds out whether the database
 * still writes, and opens it again if not. Any thread. */
void dom_region_suspect(struct dom_region *region);

/* Whether nothing was ever copied to this sink; and that it is no more so. Any thread. */
enum dom_code dom_region_sink_fresh(struct dom_region *region, const char *name, bool *freshp,
                                    struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_sink_begun(struct dom_region *region, const char *name,
                                    struct dom_error *err) DOM_MUST_USE;

/* ---- watching: each closes or opens the gate ---- */

/* Whether the commit thread has been at one group for too long. Looks at memory only. The
 * store's watch thread. */
void dom_region_watch(struct dom_region *region);
/* Whether the database's folder and the key file are there. Reads files. The region's look thread. */
void dom_region_watch_files(struct dom_region *region);
/* This region as a witness of other logs; its name is "<audit_origin>/<region>/witness". */
struct dom_witness *dom_region_witness(struct dom_region *region);

/* ---- reading ---- */

/* A row with what only its own region needs to know. */
struct dom_region_row {
    struct dom_store_row row;
    uint64_t copies;      /* peers */
    const uint64_t *lies; /* per field, peers; NULL: not known */
    bool moving;          /* was the home row; on its way to another region */
    dom_store_region moves_to; /* NO_REGION: none, or not open */
};
/* As dom_store_get. */
enum dom_code dom_region_get(struct dom_region *region, struct dom_row_cipher *cipher,
                             struct dom_slice kind, struct dom_slice id, struct dom_arena *arena,
                             struct dom_region_row *out, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_get_key(struct dom_region *region, struct dom_row_cipher *cipher,
                                 struct dom_slice key, struct dom_arena *arena,
                                 struct dom_region_row *out, struct dom_error *err) DOM_MUST_USE;
/* Opens a value that an iterator gave. */
enum dom_code dom_region_open_row(struct dom_region *region, struct dom_row_cipher *cipher,
                                  struct dom_slice key, struct dom_slice value,
                                  struct dom_arena *arena, struct dom_region_row *out,
                                  struct dom_error *err) DOM_MUST_USE;

/* What a region knows of a record without opening it. */
struct dom_region_peek {
    bool live;
    bool home;
    bool moving;      /* was the home row; on its way to another region */
    uint64_t version; /* of the live row */
    uint64_t floor;   /* version at which it was deleted last; 0: never */
};
enum dom_code dom_region_peek(struct dom_region *region, struct dom_slice kind, struct dom_slice id,
                              struct dom_region_peek *out, struct dom_error *err) DOM_MUST_USE;
void dom_region_subject_hash(struct dom_region *region, struct dom_slice kind, struct dom_slice id,
                             char *out);
/* As dom_store_subject_hashes. */
size_t dom_region_subject_hashes(struct dom_region *region, struct dom_slice kind,
                                 struct dom_slice id, char (*out)[64]);
enum dom_code dom_region_limit_seen(struct dom_region *region, struct dom_slice prefix,
                                    struct dom_slice key, uint64_t *countp, bool *seenp,
                                    struct dom_error *err) DOM_MUST_USE;

/* Under which home this region answered the request id; "": one of before that was kept.
 * NOT_FOUND: it did not, or too long ago. */
enum dom_code dom_region_find_request(struct dom_region *region, struct dom_slice service,
                                      struct dom_slice request_id, char home[3],
                                      struct dom_error *err) DOM_MUST_USE;
/* When a record last left here for another home region, wall clock ms; 0: never. */
int64_t dom_region_departed_ms(const struct dom_region *region);

/* ---- writing ---- */

enum dom_code dom_region_submit(struct dom_region *region, struct dom_store_op *op,
                                struct dom_error *err) DOM_MUST_USE;

/* One record's state for a replica. */
struct dom_apply_item {
    struct dom_slice kind;
    struct dom_slice id;
    char home[3];
    bool remove; /* nothing of it may or does exist here */
    bool deleted; /* of remove: the record is gone everywhere */
    bool placed;  /* the record did not change, its placement did */
    bool complete;
    uint64_t version;
    int64_t create_time_ms;
    int64_t update_time_ms;
    struct dom_store_field *fields;
    size_t num_fields;
};

/* A home row that gets another placement. `row` is as the placer read it; one that has changed since
 * is skipped: whoever changed it has placed it. */
enum dom_place_step {
    DOM_PLACE_SPREAD, /* stays at home here; other regions hold other parts */
    DOM_PLACE_DEPART, /* is not at home here any more, and not yet anywhere else */
    DOM_PLACE_ARRIVE  /* is at home here from now on */
};
struct dom_place_item {
    enum dom_place_step step;
    const struct dom_region_row *row;
    const dom_store_set *lies;   /* per field: other regions that are to hold it */
    dom_store_set targets;       /* regions to tell; ARRIVE: all that held or are to hold a part */
    uint64_t absent;             /* SPREAD: peers to tell once they are open */
    dom_store_region moves_to;   /* DEPART */
    struct dom_slice entry;      /* audit entry that comes with it; empty: none */
    bool done;                   /* result: false when it was skipped */
};

/* A key that is forgotten, or gets another value, unless its value has changed since. */
struct dom_forget_item {
    int family; /* enum dom_db_family */
    struct dom_slice key;
    struct dom_slice value;
    struct dom_slice next; /* empty: forgotten */
};

enum dom_job_type {
    DOM_JOB_APPLY,
    DOM_JOB_ENTRY,
    DOM_JOB_PLACE,
    DOM_JOB_PLACED,
    DOM_JOB_FORGET
};

/* Work that the store gives to a commit thread itself. The giver owns it until `done`, which is
 * called on the commit thread when it is durable or has failed; it must not block. */
struct dom_region_job {
    struct dom_region_job *next;
    enum dom_job_type type;
    const char *source; /* APPLY: name of the home region; NULL: leaves its watermark alone */
    uint64_t watermark; /* APPLY: everything up to this outbox entry is then here */
    const struct dom_apply_item *items;
    struct dom_place_item *places; /* PLACE: num_items of them */
    const struct dom_forget_item *forgets; /* FORGET: likewise */
    const uint8_t *placement_id;   /* PLACED: 32 bytes; every home row is placed by it */
    size_t num_items;
    size_t num_bytes;       /* of the items' values, about */
    struct dom_slice entry; /* ENTRY: an audit entry; empty: none */
    bool purge_done;        /* ENTRY: it says that nothing is left to purge */
    enum dom_code code;
    void (*done)(struct dom_region_job *job);
    void *owner;
};
/* Errors: RESOURCE (queue full), UNAVAILABLE (stopping). */
enum dom_code dom_region_submit_job(struct dom_region *region, struct dom_region_job *job,
                                    struct dom_error *err) DOM_MUST_USE;

/* Gives the job and waits until it is durable or has failed; job->done and owner are this call's.
 * Not on a commit thread. Errors: those of submit_job, or the job's. */
enum dom_code dom_region_run_job(struct dom_region *region, struct dom_region_job *job,
                                 struct dom_error *err) DOM_MUST_USE;

/* ---- placing (the placer's thread) ---- */

/* Whether everything here is placed by that placement; takes its names for receipts. */
enum dom_code dom_region_placed_by(struct dom_region *region,
                                   const struct dom_store_placement *placement, bool *placedp,
                                   struct dom_error *err) DOM_MUST_USE;
/* Peers (as in a row) as regions of this process; those that are not open fall out. */
dom_store_set dom_region_peers(struct dom_region *region, uint64_t peers);
/* Those of the peers that are not open. */
uint64_t dom_region_absent(struct dom_region *region, uint64_t peers);
/* Adds what the region itself knows: purged, unpurged, owed. */
void dom_region_placing(struct dom_region *region, struct dom_store_placing *out);

/* ---- replication's view ---- */

#define DOM_PEERS_MAX 64U

/* Sequence of the newest durable outbox entry. */
uint64_t dom_region_outbox_tail(const struct dom_region *region);
/* The replicator says which entries are done with, for the limit on what may be owed. */
void dom_region_outbox_done(struct dom_region *region, uint64_t seq);
/* The newest entry for that region that has been removed, because the region had it: 0 at first. A
 * replica whose watermark is older has been put back by a backup. */
enum dom_code dom_region_sent(struct dom_region *region, const char *replica, uint64_t *seqp,
                              struct dom_error *err) DOM_MUST_USE;
/* What this region, as a replica, has of `home`: 0 at first. */
enum dom_code dom_region_watermark(struct dom_region *region, const char *home, uint64_t *seqp,
                                   struct dom_error *err) DOM_MUST_USE;
/* Peer number -> region of this process, or NO_REGION while it is not open. */
dom_store_region dom_region_peer(struct dom_region *region, unsigned peer);
/* Opens what dom_outbox_entry.sealed holds. Slices lie in the arena. */
enum dom_code dom_region_open_identity(struct dom_region *region, struct dom_row_cipher *cipher,
                                       struct dom_slice sealed, struct dom_slice key,
                                       struct dom_arena *arena, struct dom_slice *kind,
                                       struct dom_slice *id, struct dom_error *err) DOM_MUST_USE;
/* Removes entries up to `seq` from the database. `sent`: the newest of them for each peer, 0: none.
 * Replicator thread. */
enum dom_code dom_region_outbox_trim(struct dom_region *region, uint64_t seq,
                                     const uint64_t sent[DOM_PEERS_MAX],
                                     struct dom_error *err) DOM_MUST_USE;

struct dom_audit_detail;
/* Puts a control entry into the log and waits until it is durable. Not on the commit thread.
 * Errors: AUDIT_UNAVAILABLE, UNAVAILABLE (stopping), RESOURCE, TOO_LARGE. */
enum dom_code dom_region_append_control(struct dom_region *region, int type,
                                        const struct dom_audit_detail *details, size_t num_details,
                                        struct dom_error *err) DOM_MUST_USE;

/* ---- keeping (the keeper's thread) ---- */

/* Monotonic microseconds (system clock); UINT64_MAX: nothing to purge. */
uint64_t dom_region_purge_due_us(struct dom_region *region);
/* Makes deleted bytes physically gone and puts a `purge` entry into the log. */
enum dom_code dom_region_purge(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
/* Forgets limits of periods that are over, and old tombstones; once a day. */
enum dom_code dom_region_forget(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
/* Removes request ids of past days. Cheap when there is nothing to do. */
enum dom_code dom_region_expire(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;

void dom_region_stats(const struct dom_region *region, struct dom_store_stats *out);

#endif
