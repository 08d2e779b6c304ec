/* The store: regional replicas of records, each with its own audit log.
 *
 * One RocksDB per region below <data>/<region>/. A record is written first in its home region,
 * as one batch (row, audit entries, outbox entry), made durable by a group commit; other regions
 * follow the home's outbox and hold only their projection: the fields that the projection
 * callback allows there (promise P1). The store knows no policy: the router turns a decision
 * into what stands in these structures.
 *
 * Threads: for each region a commit thread, a replicator, a keeper, a purger, a look at its files and,
 * where wanted, a witness and a check; for all a placer, a watch, and where wanted those of mirrors and of
 * witnesses elsewhere.
 * Reads run on the caller's thread through a `struct dom_store_session` (one per thread).
 * Writes and appends are asynchronous: they return at once and hand themselves back through
 * options.post when durable, always from another thread, never inside the submitting call.
 *
 * Regions are small dense numbers of this process (0 .. DOM_REGIONS_MAX-1), given by
 * dom_store_open_region; a `dom_store_set` is a bit set of them.
 */
#ifndef DOM_STORE_STORE_H
#define DOM_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/slice.h"
#include "store/hold.h"

struct dom_store;
struct dom_store_session;

typedef int16_t dom_store_region;
typedef uint64_t dom_store_set;
#define DOM_STORE_NO_REGION ((dom_store_region)-1)

/* ---- records ------------------------------------------------------------------------------ */

/* A field at rest: its name and opaque value bytes (the router's encoding). */
struct dom_store_field {
    struct dom_slice name;
    struct dom_slice value;
};

/* What one region holds of one record. Slices point into the arena that the reader gave. */
struct dom_store_row {
    struct dom_slice kind;
    struct dom_slice id;
    char home[3];              /* ISO country, NUL-terminated */
    uint64_t version;          /* of the record, the same in every region */
    int64_t create_time_ms;
    int64_t update_time_ms;
    bool is_home;              /* this region commits the record's writes */
    bool complete;             /* every field of the record is here */
    struct dom_store_field *fields; /* in the order written; names are unique */
    size_t num_fields;
};

/* ---- life ----------------------------------------------------------------------------------- */

struct dom_store_op; /* base of every asynchronous operation */

/* Which placement is in force: changes whenever field_regions or home_region may answer anything
 * else. The names go into the receipts of purges. */
struct dom_store_placement {
    uint8_t id[32];    /* equal ids: equal answers */
    char name[DOM_POLICY_NAME_BYTES_MAX + 1];
    int64_t version;
    char sha256[65];   /* hex */
    int64_t until_ms;  /* wall clock: it ends then by itself; INT64_MAX: never */
};

/* Parts of a record that are about to be made in other regions because of its placement. */
struct dom_store_transfer {
    dom_store_region from;            /* that gives them, and whose log gets the entry */
    const struct dom_store_row *row;
    const char *subject_hash;         /* of (kind, id), as dom_store_subject_hash */
    const dom_store_set *gains;       /* per field of the row: regions that get it anew */
    dom_store_region new_home;        /* the record moves there whole; NO_REGION: it stays */
};

/* A second copy of one region's log: every entry, in order, also those of the time before it. */
struct dom_store_sink {
    const char *name;   /* as a policy names it; unique in its region */
    const char *region; /* whose log */
    const char *dir;    /* exists; see store/audit/sinkdir.h */
};

/* In which sinks an entry must be durable before its operation is given back: in one of each set.
 * Sets are of the region's sinks, by dom_store_find_sink. Zeroed: in none. */
struct dom_store_need {
    uint8_t num;
    uint8_t one_of[DOM_SINK_CLAUSES_MAX];
};

struct dom_store_options {
    const char *data_dir;          /* made if missing, mode 0700; locked against a second process */
    const char *key_dir;           /* key files <key_dir>/<region>.key, 0600, made at first start;
                                    * NULL: <data>/keys */
    const char *audit_origin;      /* log origin is "<audit_origin>/<region>" */
    const char *compression;       /* see store/region/db.h */
    size_t block_cache_bytes;      /* shared by all regions; 0: 64 MiB */
    size_t write_buffer_bytes;     /* per region; 0: 8 MiB */
    uint64_t checkpoint_ms;        /* checkpoint this long after an entry, at most
                                    * DOM_CHECKPOINT_DELAY_MS_MAX; 0: 800 */
    uint64_t purge_ms;             /* deleted bytes are physically gone after at most this;
                                    * 0: 30,000 */
    uint64_t wait_ms;              /* a commit that takes longer closes the log until it is back;
                                    * 0: DOM_AUDIT_WAIT_MS */
    /* Witnesses of each region's log (store/audit/witness.h). */
    unsigned witness_regions;      /* how many other regions cosign it, at most
                                    * DOM_WITNESS_REGIONS_MAX; fewer where fewer are open */
    const char *witness_policy;    /* a tlog-policy: its witnesses with an address are asked too,
                                    * from a thread of their own; NULL: none */
    const char *witness_ca;        /* whom to believe over HTTPS (PEM); NULL: the system's */
    uint64_t witness_timeout_ms;   /* of one question; 0: 2,000 */
    uint64_t mirror_ms;            /* how often each log's entries about bytes that went to another
                                    * region are mirrored in that region's log; 0: never */
    uint64_t fsck_interval_ms;     /* each region's log and database are read whole and checked,
                                    * then again after this; 0: never */
    uint64_t fsck_rate;            /* bytes per second that all regions' checks may read together;
                                    * 0: 4 MiB */
    uint64_t prune_interval_ms;    /* how often the logs are looked through for entries older than
                                    * log_keep_ms; 0: never */
    bool test_plain;               /* TEST ONLY: no encryption, no blind keys: the key is kind, 0,
                                    * id. The caller makes sure that only loopback is served. */
    const struct dom_clock *clock; /* NULL: the system's */
    const struct dom_store_sink *sinks; /* borrowed, with their strings, for the store's life */
    size_t num_sinks;

    /* Gives a chain of finished operations (by `next`) back; called on store threads; must not
     * block. */
    void (*post)(void *context, struct dom_store_op *first, struct dom_store_op *last);
    /* Which regions may hold this field of this record now; called on replicator and commit
     * threads; must be quick and thread-safe. Regions that are not open are ignored. */
    dom_store_set (*field_regions)(void *context, struct dom_slice kind, const char *home,
                                   struct dom_slice field);
    /* Where such records are to be at home now; NO_REGION: nowhere that is open. NULL: where they
     * are. Placer and commit threads. */
    dom_store_region (*home_region)(void *context, struct dom_slice kind, const char *home);
    /* The placement in force; false: none yet, or not every region that it knows is open. NULL:
     * records are never placed anew. Placer. */
    bool (*placement)(void *context, struct dom_store_placement *out);
    /* Where the region's log says that this placement's policy is in force; -1: not known. NULL:
     * never known. Purgers. */
    int64_t (*policy_index)(void *context, dom_store_region region);
    /* Appends the entry that `from`'s log must hold before these parts are made; nothing when they
     * cross no border. NULL: they never do. Placer. */
    enum dom_code (*transfer_entry)(void *context, const struct dom_store_transfer *transfer,
                                    struct dom_buffer *out, struct dom_error *err);
    /* Whether what this limit key counted for is over. NULL: never. Purgers. */
    bool (*limit_over)(void *context, struct dom_slice key, int64_t now_ms);
    uint64_t place_per_s;          /* records a second, of one region, that may get further copies
                                    * because of a new placement; 0: 1,000 */
    /* Whether nothing may be carried from `home` to `target` now; what is owed is kept and asked about
     * again. NULL: never. Called on replicator threads; must be quick and thread-safe. */
    bool (*held)(void *context, dom_store_region home, dom_store_region target);
    /* Told when a region's log closes (it takes no entries now: its operations that have some are
     * refused with AUDIT_UNAVAILABLE at once) and when it opens again, in that order. Any thread of
     * the store; must not block. */
    void (*audit_state)(void *context, dom_store_region region, bool writable);
    /* How long entries of the logs are kept, ms; 0: for ever. Purgers. May be NULL. */
    int64_t (*log_keep_ms)(void *context);
    /* Told when the scheduled check of a region finds damage, and when that has gone. May be NULL.
     * The check's thread; the regions' checks run side by side. */
    void (*fsck_state)(void *context, dom_store_region region, bool sound);
    void *context;
};

/* Errors: IO, PERMISSION, LOCKED (another process), FORMAT (newer format). */
enum dom_code dom_store_new(struct dom_store **storep, const struct dom_store_options *options,
                            struct dom_error *err) DOM_MUST_USE;
/* Stops the threads (pending operations fail with UNAVAILABLE and are posted), closes all. */
void dom_store_destroy(struct dom_store *store);

/* Opens (or creates) the region's replica; the same name again gives the same number. Any thread,
 * may take seconds. Errors: IO, PERMISSION (key file), FORMAT (data of another region, or newer),
 * CORRUPT, TAMPERED (the tree does not match the last signed checkpoint). */
enum dom_code dom_store_open_region(struct dom_store *store, dom_store_region *regionp,
                                    const char *name, struct dom_error *err) DOM_MUST_USE;
dom_store_region dom_store_find_region(const struct dom_store *store, struct dom_slice name);
const char *dom_store_region_name(const struct dom_store *store, dom_store_region region);
size_t dom_store_num_regions(const struct dom_store *store);

/* ---- reading (the session's thread) ----------------------------------------------------------- */

enum dom_code dom_store_session_new(struct dom_store_session **sessionp, struct dom_store *store,
                                    struct dom_error *err) DOM_MUST_USE;
void dom_store_session_destroy(struct dom_store_session *session);

/* Reads and decrypts what `region` holds. NOT_FOUND: nothing (or deleted). Blocking only on disk.
 * Errors: NOT_FOUND, CORRUPT (authentication fails), IO, RESOURCE (arena). */
enum dom_code dom_store_get(struct dom_store_session *session, dom_store_region region,
                            struct dom_slice kind, struct dom_slice id, struct dom_arena *arena,
                            struct dom_store_row *row, struct dom_error *err) DOM_MUST_USE;

/* How long ago `replica` was known to have everything of `home`, ms; 0 when they are the same;
 * UINT64_MAX: never since the start. */
uint64_t dom_store_staleness_ms(const struct dom_store *store, dom_store_region home,
                                dom_store_region replica);

/* Calls `each` for up to `rows_max` rows of `kind` at their home in `region` (is_home rows only),
 * in key order, after `after` (32 to 64 opaque bytes, empty: from the start). `each` returns false
 * to stop after this row. *lastp (at least 64 bytes of room) gets the key of the last row given,
 * *last_len its length; *endp is true when there are no more. The arena is the row's memory. */
enum dom_code dom_store_scan(struct dom_store_session *session, dom_store_region region,
                             struct dom_slice kind, struct dom_slice after, size_t rows_max,
                             struct dom_arena *arena,
                             bool (*each)(void *context, const struct dom_store_row *row),
                             void *context, uint8_t *lastp, size_t *last_len, bool *endp,
                             struct dom_error *err) DOM_MUST_USE;

/* The keyed hash by which the region's log names a person or record: "hmac:<epoch>:<base64url of
 * 16 bytes>"; out needs 64 bytes. Any session. */
void dom_store_subject_hash(struct dom_store_session *session, dom_store_region region,
                            struct dom_slice kind, struct dom_slice id, char out[64]);
#define DOM_STORE_SUBJECT_HASHES_MAX 16U
/* The same under every key that the log has named subjects with and that is not destroyed, the
 * newest first. Returns how many; `out` has room for DOM_STORE_SUBJECT_HASHES_MAX. */
size_t dom_store_subject_hashes(struct dom_store_session *session, dom_store_region region,
                                struct dom_slice kind, struct dom_slice id, char (*out)[64]);
/* A pseudonym of a value under the named export key of the region: 22 base64url characters + NUL.
 * Keys are made on first use and kept in the region's key file. */
enum dom_code dom_store_pseudonym(struct dom_store_session *session, dom_store_region region,
                                  const char *key_name, struct dom_slice value, char out[32],
                                  struct dom_error *err) DOM_MUST_USE;

/* ---- writing --------------------------------------------------------------------------------- */

enum dom_store_op_type { DOM_STORE_PUT, DOM_STORE_DELETE, DOM_STORE_APPEND };

/* Where an audit entry came to lie. */
struct dom_store_receipt {
    uint64_t index;
    uint8_t leaf_hash[32];
};

/* One asynchronous operation. The submitter owns it and everything it points to until `post` gives
 * it back. */
struct dom_store_op {
    struct dom_store_op *next;  /* the store's while submitted */
    enum dom_store_op_type type;
    dom_store_region region;    /* PUT/DELETE: the record's home region; APPEND: whose log */
    uint64_t deadline_us;       /* monotonic; an operation still queued then fails with DEADLINE and
                                 * has no effect; UINT64_MAX: none */
    const bool *cancelled;      /* may be NULL; read once (atomically) before the batch */

    /* Audit entries that must be durable with (or as) this operation, in this order. A PUT or
     * DELETE that crosses no border has none; that is the router's claim, made explicit: */
    const struct dom_slice *entries;
    size_t num_entries;
    bool no_border;             /* must be true when num_entries is 0 (and false otherwise) */
    struct dom_store_need need; /* of the entries */

    /* PUT and DELETE */
    struct dom_slice kind;
    struct dom_slice id;
    char home[3];
    const struct dom_store_field *fields;
    /* PUT: per field, the other regions that are to hold it, each of `targets`; NULL: asked from
     * options.field_regions. */
    const dom_store_set *field_regions;
    /* dom_store_placement_epoch from before the placement was looked up. When it has changed since
     * and the placement is another now, a PUT fails with UNAVAILABLE. 0: not looked at. */
    uint64_t placement_epoch;
    size_t num_fields;
    bool must_not_exist;
    uint64_t if_version;        /* 0: none */
    dom_store_set targets;      /* other regions that are to hold a part */
    dom_store_set sync;         /* of targets: those that must hold it before the answer */
    struct dom_slice request_id; /* empty: none; scoped by `service` */
    struct dom_slice service;

    /* Limits counted with the entries (`limit` obligations): each key is put into the region's
     * counter set with the batch. See dom_store_limit_seen. */
    const struct dom_slice *limit_keys;
    size_t num_limit_keys;

    /* Results */
    enum dom_code code;
    char message[160];          /* when code is not OK */
    uint64_t version;           /* PUT, DELETE */
    bool replayed;              /* answered from an earlier request with this request_id */
    struct dom_store_receipt *receipts; /* room for num_entries, the submitter's; filled in order */

    void *owner;                /* the submitter's */
    struct {
        struct dom_store_op *wait_next;
        uint64_t seq;
        dom_store_set pending;
    } internal;                 /* the store's */
};

/* Hands the operation to its region's commit thread. Any thread. Errors (then the op is not taken):
 * RESOURCE (queue full), UNAVAILABLE (stopping).
 * Results of a write: EXISTS, NOT_FOUND (DELETE), VERSION_MISMATCH, HOME_MISMATCH (the id is at
 * home elsewhere; see dom_store_locate), UNAVAILABLE (it is on its way to another home region, or
 * the placement has changed meanwhile: again), DEADLINE, CANCELLED, AUDIT_UNAVAILABLE (has entries and
 * cannot be written), IO. A failed precondition writes nothing, no entry either. */
enum dom_code dom_store_submit(struct dom_store *store, struct dom_store_op *op,
                               struct dom_error *err) DOM_MUST_USE;

/* The region's sink of this name, as a number for dom_store_need; -1: it has none. */
int dom_store_find_sink(const struct dom_store *store, dom_store_region region,
                        struct dom_slice name);
/* What is demanded now: the log closes when it cannot be met. Any thread. */
void dom_store_require(struct dom_store *store, dom_store_region region,
                       const struct dom_store_need *need);

/* Which open region is the record's home, by asking `hint` first (may be NO_REGION), then all.
 * NOT_FOUND: none. UNAVAILABLE: it is on its way from one to another. Writes claim (kind, id) while they are in flight, so that one id cannot be
 * created under two homes at once. */
enum dom_code dom_store_locate(struct dom_store_session *session, dom_store_region hint,
                               struct dom_slice kind, struct dom_slice id,
                               dom_store_region *homep, struct dom_error *err) DOM_MUST_USE;

/* Which region has answered the request id of the service, within its time, and under which home
 * ("": not known). Looks at every open region. NOT_FOUND: none. Any session. */
enum dom_code dom_store_find_request(struct dom_store_session *session, struct dom_slice service,
                                     struct dom_slice request_id, dom_store_region *regionp,
                                     char home[3], struct dom_error *err) DOM_MUST_USE;
/* Whether a record has changed its home region so lately that a request id may have been answered
 * where it was before. */
bool dom_store_moved_lately(const struct dom_store *store);

/* How many distinct limit keys with this prefix the region has counted (reads them all: ask once
 * and keep count), and whether `key` is one of them. countp NULL: only the latter, one point
 * lookup. Any session. */
enum dom_code dom_store_limit_seen(struct dom_store_session *session, dom_store_region region,
                                   struct dom_slice prefix, struct dom_slice key,
                                   uint64_t *countp, bool *seenp,
                                   struct dom_error *err) DOM_MUST_USE;

/* ---- placement ------------------------------------------------------------------------------- */

/* When options.placement tells another id than the one that a region's records were placed by, the
 * placer goes through its home rows: first it takes away what may no longer lie where it does (and
 * moves records whose home region is another now), then it adds copies, at most place_per_s records
 * a second. Bytes that were taken away are purged like those of deleted records. It survives
 * crashes: a region remembers the id only when all of it is done. docs/decisions/0019-placing.md. */

/* Any thread. Ask before the placement is looked up that a write is made by. */
uint64_t dom_store_placement_epoch(const struct dom_store *store);
/* options.placement may tell another id now. Any thread; returns at once. */
void dom_store_placement_changed(struct dom_store *store);

enum dom_store_placing_stage {
    DOM_STORE_PLACED = 0, /* nothing to do */
    DOM_STORE_NARROWING,  /* taking away and moving */
    DOM_STORE_WIDENING    /* adding */
};
/* How far a region's home records are, since the placement changed last. */
struct dom_store_placing {
    enum dom_store_placing_stage stage;
    int64_t since_ms;       /* wall clock; 0: not since the start */
    uint64_t examined;      /* records, in this stage */
    uint64_t remaining;     /* to be examined in this stage; an estimate while NARROWING */
    uint64_t moved;         /* records of which some part was taken away, added or moved */
    uint64_t rehomed;       /* of those: to another home region */
    uint64_t without_place; /* records that, whole or in part, may lie nowhere: they stay, unread */
    uint64_t owed;          /* replication jobs */
    uint64_t unpurged;      /* rows taken out of this region whose bytes are not purged yet */
    uint64_t purged;        /* rows taken out of this region by a placement and purged */
};
void dom_store_placing(struct dom_store *store, dom_store_region region,
                       struct dom_store_placing *out);
/* Of all open regions, as many as there is room for, read in the order in which work goes on: when
 * it shows every region PLACED and nothing remaining, owed or unpurged, then there is nothing. The
 * number of regions. */
size_t dom_store_placing_all(struct dom_store *store, struct dom_store_placing *out, size_t room);
/* Whether any region may still hold a record's home row that belongs to another. Any thread. */
bool dom_store_rehoming(const struct dom_store *store);

/* ---- the log (any session's thread) ------------------------------------------------------------ */

const char *dom_store_log_origin(const struct dom_store *store, dom_store_region region);
const char *dom_store_log_vkey(const struct dom_store *store, dom_store_region region);
/* The folder that the log is published in, and how many entries lie there under its checkpoint. */
const char *dom_store_log_dir(const struct dom_store *store, dom_store_region region);
uint64_t dom_store_log_published(const struct dom_store *store, dom_store_region region);
/* Entries durable now. */
uint64_t dom_store_log_size(const struct dom_store *store, dom_store_region region);
/* The newest signed checkpoint (a note), into out. */
enum dom_code dom_store_log_checkpoint(struct dom_store *store, dom_store_region region,
                                       struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;
/* Calls each entry from `from` for at most entries_max. */
enum dom_code dom_store_log_entries(struct dom_store *store, dom_store_region region, uint64_t from,
                                    size_t entries_max,
                                    bool (*each)(void *context, uint64_t index,
                                                 struct dom_slice entry),
                                    void *context, struct dom_error *err) DOM_MUST_USE;
/* Proof hashes (32 bytes each) appended to out. size 0: the newest checkpoint's; *sizep is set to
 * the size used. Errors: INVALID (index or size out of range). */
enum dom_code dom_store_log_prove_inclusion(struct dom_store *store, dom_store_region region,
                                            uint64_t index, uint64_t *sizep, uint8_t leaf[32],
                                            struct dom_buffer *out,
                                            struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_store_log_prove_consistency(struct dom_store *store, dom_store_region region,
                                              uint64_t old_size, uint64_t *new_sizep,
                                              struct dom_buffer *out,
                                              struct dom_error *err) DOM_MUST_USE;

/* Legal holds of the region's log; `who` asks, and stands in the entry. Blocking on the commit; any
 * thread but the store's own. Errors: INVALID, EXISTS, NOT_FOUND, RESOURCE (too many), IO,
 * AUDIT_UNAVAILABLE (the hold is then in force without its entry). */
enum dom_code dom_store_place_hold(struct dom_store *store, dom_store_region region,
                                   const struct dom_store_hold *hold, struct dom_slice who,
                                   struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_store_release_hold(struct dom_store *store, dom_store_region region,
                                     const char *id, struct dom_slice who,
                                     struct dom_error *err) DOM_MUST_USE;
/* `out` has room for DOM_HOLDS_MAX; in the order of their ids. */
enum dom_code dom_store_holds(struct dom_store *store, dom_store_region region,
                              struct dom_store_hold *out, size_t *countp,
                              struct dom_error *err) DOM_MUST_USE;
/* Entries of the log before this one are pruned. */
uint64_t dom_store_log_first(const struct dom_store *store, dom_store_region region);

/* The region as a witness of other logs, for as long as the store lives. Any thread. */
struct dom_witness;
struct dom_witness *dom_store_witness(struct dom_store *store, dom_store_region region);

/* ---- watching ------------------------------------------------------------------------------- */

struct dom_store_stats {
    uint64_t commits;          /* groups made durable = fsyncs of the write-ahead logs */
    uint64_t writes;
    uint64_t entries;
    uint64_t applied;          /* rows applied as replicas */
    uint64_t outbox;           /* replication jobs owed now */
    uint64_t checkpoints;
    uint64_t purges;
    uint64_t bytes_written;    /* into batches */
    uint64_t lost;             /* entries that were acknowledged and are not there; 0 */
    uint64_t unanswered;       /* entries that a failed write left in the log */
    uint64_t closed;           /* why the log is closed: a bit for each reason; 0: it is open */
    uint64_t fsck_runs;        /* whole checks */
    uint64_t fsck_findings;    /* of them that found damage */
    uint64_t fsck_bytes;       /* read by them */
    uint64_t fsck_sound_s;     /* when nothing was wrong last, seconds since 1970; 0: never yet */
    uint64_t fsck_damaged;     /* 1: the last one found damage */
    uint64_t cosigned;         /* cosignatures that witnesses gave to this log */
    uint64_t witness_failed;   /* witnesses that gave no answer or an unusable one */
    uint64_t witness_refused;  /* witnesses that know another history of this log */
};

struct dom_store_sink_stats {
    const char *name;
    bool up;           /* it has everything, or is about to */
    uint64_t entries;  /* durable there */
    uint64_t failures; /* times that it went away */
};
size_t dom_store_num_sinks(const struct dom_store *store, dom_store_region region);
void dom_store_sink_stats(const struct dom_store *store, dom_store_region region, size_t sink,
                          struct dom_store_sink_stats *out);
/* Word for a bit of `closed`; NULL: there is no such bit. */
const char *dom_store_closed_word(unsigned bit);
void dom_store_stats(const struct dom_store *store, dom_store_region region,
                     struct dom_store_stats *out);
/* Blocks until every record is placed, every outbox of an open region is empty and every checkpoint
 * covers its log, or the time is over (false). For tests, drains and tools. */
bool dom_store_settle(struct dom_store *store, uint64_t timeout_ms);

#endif
