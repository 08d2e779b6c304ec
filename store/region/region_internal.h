/* Private to store/region. */
#ifndef DOM_STORE_REGION_REGION_INTERNAL_H
#define DOM_STORE_REGION_REGION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "store/audit/hash.h"
#include "store/region/gate.h"
#include "store/region/journal.h"
#include "store/region/region.h"
#include "store/replica/outbox.h"

#define DOM_REGION_MAGIC          0x4e474552U
#define DOM_STORE_FORMAT          1U
#define DOM_OVERLAY_SLOTS         2048U /* power of two, at least twice what one group can touch */
#define DOM_GROUP_ARENA_BYTES_MAX (64U << 20)
#define DOM_GROUP_ITEMS_MAX       1000U /* operations and applied rows of one group */
#define DOM_PURGE_KEYS_MAX        64U
#define DOM_LIMIT_KEY_BYTES_MAX   1024U
#define DOM_SERVICE_BYTES_MAX     255U

_Static_assert(DOM_OVERLAY_SLOTS >= 2 * DOM_GROUP_ITEMS_MAX, "overlay must stay half empty");
_Static_assert(DOM_COMMIT_GROUP_MAX <= DOM_GROUP_ITEMS_MAX, "a group of operations must fit");

/* What is known of one record while a group is put together: the database's state with the
 * group's earlier operations on top. */
struct dom_row_state {
    struct dom_slice key; /* empty: free slot */
    bool live;
    bool home;
    bool moving; /* was at home here, is on its way */
    bool complete;
    char home_country[3];
    uint64_t version; /* of the live row */
    uint64_t floor;   /* of the tombstone */
    int64_t create_time_ms;
    int64_t update_time_ms;
    uint64_t copies;
    size_t num_fields;
    uint64_t names; /* dom_stage_names of its fields */
};

struct dom_request_state {
    uint8_t digest[32];
    const struct dom_store_op *op; /* NULL: free slot */
    uint8_t content[16];
};

/* The commit thread's work table, reused for every group. */
struct dom_group {
    struct dom_arena arena;
    uint8_t *arena_first;
    rocksdb_writebatch_t *batch;
    struct dom_row_state *rows;         /* DOM_OVERLAY_SLOTS */
    struct dom_request_state *requests; /* DOM_OVERLAY_SLOTS */
    uint16_t *used_rows;                /* slots to clear */
    uint16_t *used_requests;
    size_t num_used_rows;
    size_t num_used_requests;
    struct dom_buffer run;    /* audit entries in bundle form */
    struct dom_buffer leaves; /* their leaf hashes */
    uint64_t num_leaves;
    int num_limits;    /* puts of limit keys, which belong to entries */
    uint64_t next_seq; /* of the outbox */
    uint64_t num_writes;
    uint64_t num_applied;
    int64_t wall_ms;
    struct dom_claim *claims;    /* held until the group is through */
    struct dom_store_op *staged; /* in the batch; by next */
    struct dom_store_op *staged_last;
    struct dom_store_op *finished; /* failed or replayed */
    struct dom_store_op *finished_last;
    struct dom_region_job *jobs;
    struct dom_region_job *jobs_last;
    bool wants_purge; /* it leaves bytes to be purged */
    bool first_purge; /* and nothing was due before */
    bool log_was_idle; /* before this group nothing was to be published */
};

struct dom_purge_list {
    size_t num_keys; /* > DOM_PURGE_KEYS_MAX: everything */
    struct dom_row_key keys[DOM_PURGE_KEYS_MAX];
    uint64_t first_us; /* when the first came in; 0: empty */
    uint64_t num_rows;
    uint64_t num_placed; /* of those: taken out because they may not lie here any more */
};

struct dom_region {
    uint32_t magic;
    struct dom_region_host *host;
    dom_store_region number;
    char *name;
    char *dir;
    struct dom_db *db;
    struct dom_keyring *keys;
    struct dom_audit_log *log;
    struct dom_journal *journal;
    struct dom_witness witness;

    /* The queue; under `lock`. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct dom_store_op *first;
    struct dom_store_op *last;
    size_t num_queued;
    size_t last_group; /* operations in the group before; the commit thread's */
    struct dom_region_job *first_job;
    struct dom_region_job *last_job;
    size_t num_jobs;
    bool waiting;
    bool stopping;
    bool suspect; /* somebody else's write failed: the commit thread is to try */
    bool has_thread;
    pthread_t thread;

    /* The commit thread's own. */
    struct dom_group group;
    struct dom_row_cipher seal;
    struct dom_row_cipher open;
    uint32_t boot;
    uint64_t nonce;
    bool suspected;
    bool broken; /* the last write failed */
    uint64_t broken_us;
    uint64_t retry_us;
    uint64_t backoff_us;
    uint64_t answered; /* entries whose operations were told that they are durable */

    struct dom_gate gate;
    _Atomic uint64_t busy_since_us; /* the commit thread is at a group since then; 0: it is not */
    _Atomic uint64_t num_unanswered;

    /* Peers: written by the commit thread under peer_lock, read by the replicator. */
    pthread_mutex_t peer_lock;
    char *peers[DOM_PEERS_MAX];
    bool peer_durable[DOM_PEERS_MAX];
    int8_t peer_of[DOM_REGIONS_MAX]; /* region of this process -> peer number; -1: none yet */

    _Atomic uint64_t tail;     /* newest durable outbox entry */
    _Atomic uint64_t done_seq; /* all targets have everything up to here */
    _Atomic uint64_t trimmed;  /* outbox entries removed from the database */

    pthread_mutex_t purge_lock;
    struct dom_purge_list purge;
    uint64_t telling_rows;   /* taken from the list, not yet told in the log */
    uint64_t telling_placed;
    struct dom_store_placement placement; /* that rows are placed by; name "": not known */
    int64_t expired_day; /* keeper's */
    int64_t walked_day;  /* likewise: limits and tombstones */

    _Atomic uint64_t num_commits;
    _Atomic uint64_t num_writes;
    _Atomic uint64_t num_applied;
    _Atomic uint64_t num_purges;
    _Atomic int64_t departed_ms;     /* a record left for another home region */
    _Atomic uint64_t num_placed_out; /* rows that a placement took out of here */
    _Atomic uint64_t num_placed_purged;
    _Atomic uint64_t num_bytes;
};

struct dom_audit_detail;
/* durable.c: how a batch becomes durable, by the commit thread. */
/* Writes the group's batch; `entries_only`: nothing but audit entries and their limit keys. */
enum dom_code dom_region_make_durable(struct dom_region *region, bool entries_only,
                                      struct dom_error *err) DOM_MUST_USE;
/* Opens the journal (again) and gives the database what a crash of the machine took from its end.
 * Before the log is opened or read again. */
enum dom_code dom_region_replay(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;

/* files.c */
enum dom_code dom_region_prepare_files(struct dom_region *region, char *db_path,
                                       size_t db_path_size, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_check_meta(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_load_peers(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_load_outbox(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_load_departed(struct dom_region *region,
                                       struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_region_start_log(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
/* Members of a control entry besides its type. */
struct dom_audit_detail;
struct dom_region_control {
    const struct dom_audit_detail *details;
    size_t num_details;
    const struct dom_store_placement *placement; /* NULL: none */
    bool purge_done;                             /* nothing is left to purge */
};
/* As dom_region_append_control. */
enum dom_code dom_region_append_more(struct dom_region *region, int type,
                                     const struct dom_region_control *control,
                                     struct dom_error *err) DOM_MUST_USE;
/* Takes the purge mark away, without an entry, and waits likewise. */
enum dom_code dom_region_clear_purge(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;

enum dom_code dom_region_encode_control(struct dom_region *region, int type,
                                        const struct dom_region_control *control,
                                        struct dom_buffer *out,
                                        struct dom_error *err) DOM_MUST_USE;

/* commit.c */
void *dom_region_commit_main(void *arg);
/* One batch: begun, filled by dom_stage_*, written and synced, then counted, and then told to
 * those who work on what was written (sinks, the keeper). */
void dom_group_begin(struct dom_region *region);
enum dom_code dom_group_write(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
void dom_group_written(struct dom_region *region);
void dom_group_tell(struct dom_region *region);

/* recover.c; the commit thread. */
void dom_region_set_broken(struct dom_region *region, const char *message);
void dom_region_recover(struct dom_region *region);
/* Writes something, to find out whether the database still writes. */
void dom_region_probe(struct dom_region *region);

void dom_group_init(struct dom_group *group);
void dom_group_cleanup(struct dom_group *group);

/* stage.c: each puts one operation into the group's batch, or says why not. A refused operation
 * has put nothing. */
enum dom_code dom_stage_op(struct dom_region *region, struct dom_store_op *op,
                           struct dom_error *err) DOM_MUST_USE;
/* The record's state with the group's earlier operations on top. The pointer lives as long as the
 * group. */
enum dom_code dom_stage_state(struct dom_region *region, struct dom_slice kind, struct dom_slice id,
                              struct dom_row_state **statep, struct dom_error *err) DOM_MUST_USE;
/* Nonce and epoch of a row about to be sealed. */
void dom_stage_header(struct dom_region *region, struct dom_row_header *header);
enum dom_code dom_stage_row(struct dom_region *region, const struct dom_row_state *state,
                            struct dom_row_header *header, const struct dom_row_body *body,
                            struct dom_error *err) DOM_MUST_USE;
/* `seq`: the outbox entry that tells others; 0: nobody is to be told. */
void dom_stage_tombstone(struct dom_region *region, struct dom_slice key, uint64_t version,
                         uint64_t seq);
/* Takes the row away and leaves nothing. */
void dom_stage_forget(struct dom_region *region, struct dom_slice key);
/* Tells rows of one version apart that have other fields. */
uint64_t dom_stage_names(const struct dom_store_field *fields, size_t num_fields);

/* owe.c: regions as peers of this one, numbered for good. */
enum dom_code dom_stage_peers(struct dom_region *region, dom_store_set set, uint64_t *peersp,
                              struct dom_error *err) DOM_MUST_USE;
/* Room for one more replication job? Errors: RESOURCE. */
enum dom_code dom_stage_outbox_room(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
/* Puts the entry; its sequence number. */
uint64_t dom_stage_outbox(struct dom_region *region, const struct dom_outbox_entry *entry);
/* The entry of a write. */
void dom_stage_owed(struct dom_region *region, struct dom_store_op *op, struct dom_slice key,
                    uint64_t targets);

/* place.c */
enum dom_code dom_stage_places(struct dom_region *region, const struct dom_region_job *job,
                               struct dom_error *err) DOM_MUST_USE;
/* An operation that was decided under a placement that has changed since: whether the new one says
 * the same. Errors: UNAVAILABLE. */
enum dom_code dom_stage_check_placement(struct dom_region *region, const struct dom_store_op *op,
                                        struct dom_error *err) DOM_MUST_USE;

/* keep.c: notes that `key`'s old bytes are to be purged; `placed`: they may not lie here any more. */
void dom_stage_purge(struct dom_region *region, struct dom_slice key, bool placed);
void dom_stage_purge_mark(struct dom_region *region);
void dom_stage_purge_done(struct dom_region *region);
enum dom_code dom_region_load_purge(struct dom_region *region, struct dom_error *err) DOM_MUST_USE;
/* The leaf hashes of an operation's entries, into its receipts. The submitter's thread does this:
 * there are many of them, and one commit thread. What is wrong with the entries is told later. */
void dom_stage_hash(struct dom_store_op *op);
/* `receipts` have the leaf hashes and get the indexes; NULL: nobody wants them. */
enum dom_code dom_stage_entries(struct dom_region *region, const struct dom_slice *entries,
                                size_t num_entries, struct dom_store_receipt *receipts,
                                struct dom_error *err) DOM_MUST_USE;
void dom_region_next_nonce(struct dom_region *region, uint8_t *out);

/* expire.c */
#define DOM_TOMBSTONE_SIZE 25U
struct dom_tombstone {
    uint64_t version;
    int64_t wall_ms; /* when; 0: of a format that did not say */
    uint64_t seq;    /* of the outbox entry that tells others; 0: none */
};
void dom_tombstone_encode(const struct dom_tombstone *stone, uint8_t out[DOM_TOMBSTONE_SIZE]);
/* False: damaged. */
bool dom_tombstone_parse(struct dom_tombstone *stone, struct dom_slice value);
enum dom_code dom_stage_forgets(struct dom_region *region, const struct dom_region_job *job,
                                struct dom_error *err) DOM_MUST_USE;
/* Whether the group has to do with the record of that key. */
bool dom_stage_touches(const struct dom_region *region, struct dom_slice key);

/* apply.c */
enum dom_code dom_stage_job(struct dom_region *region, const struct dom_region_job *job,
                            struct dom_error *err) DOM_MUST_USE;

/* peers.c */
int dom_region_peer_of(struct dom_region *region, dom_store_region other);
void dom_region_stage_peers(struct dom_region *region);
void dom_region_peers_durable(struct dom_region *region);

/* index.c */
enum dom_code dom_index_find_request(struct dom_region *region, struct dom_store_op *op,
                                     bool *foundp, struct dom_error *err) DOM_MUST_USE;
void dom_index_stage_request(struct dom_region *region, const struct dom_store_op *op);
void dom_index_stage_limits(struct dom_region *region, const struct dom_store_op *op);

#endif
