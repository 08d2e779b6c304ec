/* Private to router/service: the router's parts and what its handlers share. */
#ifndef DOM_ROUTER_SERVICE_INTERNAL_H
#define DOM_ROUTER_SERVICE_INTERNAL_H

#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "router/core/answer.h"
#include "router/core/request.h"
#include "router/core/snapshot.h"
#include "router/core/trail.h"
#include "router/metrics/metrics.h"
#include "router/rpc/server.h"
#include "router/service/limit.h"
#include "router/service/pilot.h"
#include "router/service/router.h"
#include "router/service/worker.h"
#include "store/audit/walk.h"
#include "store/store.h"

#define DOM_BUILD_NAME "domicile/0.1.0"

#define DOM_OPERATOR_ID_SIZE 513U
struct announcement; /* tell.c */
#define DOM_VOTE_US (UINT64_C(600) * 1000000U) /* how long a first wish waits for the second */

/* The policy in force and how the last reload went. Guarded by `lock`; the I/O thread and the
 * store's threads take references. */
struct dom_policy_holder {
    pthread_mutex_t lock;
    struct dom_snapshot *current;
    struct dom_policy *first; /* one reference, while the start opens its regions: replication that
                               * was owed at the last stop asks before there is a `current` */
    struct announcement *waiting; /* of its activation, for logs that are closed */
    struct dom_policy *before; /* in force before `current`, one reference; NULL: not known, or the
                                * records were still moving when `current` came */
    uint64_t reloads_failed;
    char last_failure[512];
    struct dom_vote {             /* one operator's wish, waiting for a second */
        bool open;
        uint64_t at_us;
        uint8_t sha256[32];       /* of the policy wished for */
        char operator_id[DOM_OPERATOR_ID_SIZE];
    } vote;
};

#define DOM_REFUSED_SLOTS 256U

#define DOM_RANDOM_POOL 4096U

struct dom_async;
struct dom_wait_line {
    struct dom_async *first;
    struct dom_async *last;
};
/* Those who wait for the store, and what came back too late. See wait.c; I/O thread. */
struct dom_waits {
    uint64_t wait_us;
    struct dom_wait_line lines[2]; /* with entries, without */
    struct dom_buffer late;        /* of struct late */
    uint64_t late_us;              /* when to write about them; UINT64_MAX: there are none */
    atomic_uint_fast64_t num_late[DOM_REGIONS_MAX]; /* entries told as late */
};

struct dom_router {
    struct dom_router_options options;
    const struct dom_clock *clock;
    struct dom_store *store;
    struct dom_rpc_server *server;
    struct dom_policy_holder holder;
    atomic_bool stopping;
    atomic_uint closed_logs;                       /* regions whose audit log takes no entries */

    /* The I/O thread's own. */
    struct dom_store_session *session;
    struct dom_buffer scratch;  /* one answer at a time */
    struct dom_buffer scratch2; /* one entry at a time */
    struct dom_limit_table limits;
    uint8_t random[DOM_RANDOM_POOL];
    size_t random_left;

    struct dom_waits waits;

    int64_t refused_seconds[DOM_REFUSED_SLOTS]; /* when an entry was last made, see callers.c */
    atomic_uint_fast64_t claims_differing;      /* written by the I/O thread only */

    struct dom_metrics *metrics; /* NULL: none asked for */
    atomic_int damaged; /* regions whose last scheduled check found damage */
    struct dom_router_witness *witness; /* NULL: none asked for */
    struct dom_crew crew;       /* scans and other long reads */
    struct dom_pilot pilot;     /* policies: reloads, pushes, roll-outs */
};

/* ---- the policy in force (any thread) ---- */
struct dom_snapshot *dom_holder_get(struct dom_policy_holder *holder);
/* Who asks for a reload. `first` is set when a second operator completes a vote. */
struct dom_approval {
    struct dom_slice operator_id;
    char first[DOM_OPERATOR_ID_SIZE];
};
/* Loads the file, opens new regions, tells every log and puts it in force. *changedp: false when the
 * same bytes were in force. `approval`: NULL for a signal. On the pilot's thread. Errors: also
 * SECOND_OPERATOR, ROLE_DENIED, BUNDLE (only signed policies are taken), ROLLOUT (one is under way). */
enum dom_code dom_router_load_policy(struct dom_router *router, bool *changedp,
                                     struct dom_approval *approval, struct dom_findings *findings,
                                     struct dom_error *err) DOM_MUST_USE;
/* ---- what the store asks (place.c; the store's threads) ---- */
dom_store_set dom_router_field_regions(void *router, struct dom_slice kind, const char *home,
                                       struct dom_slice field);
dom_store_region dom_router_home_region(void *router, struct dom_slice kind, const char *home);
bool dom_router_placement(void *router, struct dom_store_placement *out);
enum dom_code dom_router_transfer_entry(void *router, const struct dom_store_transfer *transfer,
                                        struct dom_buffer *out,
                                        struct dom_error *err) DOM_MUST_USE;
int64_t dom_router_policy_index(void *router, dom_store_region region);
/* Opens the regions in the data folder that the policy does not name (any more), so that what lies
 * there can be taken away. At the start. One that cannot be opened is logged. */
void dom_router_open_retired(struct dom_router *router);
/* Whether such records may still be at home in another region than the policy's lead. Any thread. */
bool dom_router_may_be_elsewhere(struct dom_router *router, const struct dom_snapshot *snapshot,
                                 struct dom_slice kind, const char *home, int64_t now_ms);
/* Frozen: replicas in other jurisdictions wait. */
bool dom_router_replication_held(void *router, dom_store_region home, dom_store_region target);

/* Queues what could not be queued, or not written, while a log was closed. I/O thread. */
void dom_router_announce_again(struct dom_router *router);
/* At the end. */
void dom_router_forget_announcements(struct dom_router *router);
/* Only reads and compiles the file of the configuration. */
enum dom_code dom_router_load_file(struct dom_router *router, struct dom_policy **policyp,
                                   struct dom_findings *findings,
                                   struct dom_error *err) DOM_MUST_USE;
/* Whether every second copy that the policy demands is configured. Errors: INVALID. */
enum dom_code dom_router_check_copies(const struct dom_router *router,
                                      const struct dom_policy *policy,
                                      struct dom_error *err) DOM_MUST_USE;
/* Fills snapshot->needs, and makes them the store's, whose logs close when they cannot be met. What is
 * not configured can never be met. Not on the I/O thread. */
void dom_router_require_copies(struct dom_router *router, struct dom_snapshot *snapshot);
/* Whether enough operators want the policy with this hash (callers.c). */
enum dom_code dom_router_vote(struct dom_router *router, struct dom_approval *approval,
                              const uint8_t sha256[32], struct dom_error *err) DOM_MUST_USE;

struct dom_turn;
/* ---- callers beyond the policy's rules (callers.c; I/O thread) ---- */
#define DOM_ROLE_POLICY_ADMIN 1U /* changes the policy */
#define DOM_ROLE_OPERATOR     2U /* drains */
#define DOM_ROLE_AUDITOR      4U /* reads entries, never writes */
unsigned dom_turn_roles(const struct dom_turn *turn);
/* False after having refused the call. */
bool dom_turn_need_role(struct dom_turn *turn, unsigned any_of);
/* False after having refused the call: auditors never write. */
bool dom_turn_may_write(struct dom_turn *turn);
/* Refuses a call whose certificate names nobody, with an entry when a record could have moved. */
void dom_router_refuse_caller(struct dom_router *router, struct dom_rpc_call *call,
                              enum dom_rpc_fault fault);
/* The same as the rpc layer's hook. */
void dom_router_refused(struct dom_rpc_call *call, void *context);

/* ---- shared by handlers (I/O thread) ---- */

/* What every handler starts with; lives in the call's arena until released. */
struct dom_turn {
    struct dom_router *router;
    struct dom_rpc_call *call;
    struct dom_arena *arena;
    struct dom_snapshot *snapshot; /* one reference */
    uint64_t placement_epoch;      /* of the store, from before the snapshot was taken */
    struct dom_caller caller;
    int64_t now_ms;
    uint64_t start_us;
    struct dom_refusal refusal;
};

/* Zeroes and fills the turn. On an error the call has been failed. */
bool dom_turn_begin(struct dom_turn *turn, struct dom_rpc_call *call, struct dom_router *router);
void dom_turn_release(struct dom_turn *turn);
/* While a candidate is rolled out: has it decide this turn when the record is one of its share.
 * Before anything of the request is resolved. */
void dom_turn_pick(struct dom_turn *turn, struct dom_slice kind, struct dom_slice id);
/* The same turn under the candidate, into `out`, which has its own reference to the snapshot; false:
 * there is none that can take it. */
bool dom_turn_on_trial(const struct dom_turn *turn, struct dom_turn *out);
/* Counts the access as decided against the other policy of a roll-out; once for each record. */
void dom_turn_observe(const struct dom_access *access);
/* Fails the call with turn->refusal and releases. */
void dom_turn_refuse(struct dom_turn *turn);
/* The same with the decision's place: rule, policy version, home and caller region. */
void dom_turn_refuse_decision(struct dom_turn *turn, const struct dom_access *access);
/* Fails a call whose bytes could not be decoded, before there is a turn. */
void dom_call_undecodable(struct dom_rpc_call *call);
/* An arena allocation for the turn; NULL after having refused the call. */
void *dom_turn_calloc(struct dom_turn *turn, size_t count, size_t size);
/* Sends the bytes and releases. */
void dom_turn_answer(struct dom_turn *turn, struct dom_slice bytes);
/* A protobuf-c allocator over the arena. */
ProtobufCAllocator dom_turn_allocator(struct dom_turn *turn);

static inline struct dom_slice dom_pb_slice(ProtobufCBinaryData data)
{
    return dom_slice_of(data.data, data.len);
}

/* An operation of the store on behalf of a call, and what to do when it is done (I/O thread).
 *
 * `done` runs once, in bounded time: when the store gives the operation back, or when it has kept it
 * for too long. In the second case `op` and what it points to are still the store's: they lie in the
 * call's memory, which is kept, or go no earlier than in `late`. So `done` looks at `code` and
 * `message`, and at op's receipts only when the code is OK. */
struct dom_async {
    struct dom_store_op op;   /* op.owner is set by dom_async_submit */
    struct dom_rpc_work work;
    struct dom_rpc_call *call; /* whose memory it lies in */
    void (*done)(struct dom_async *async);
    void (*late)(struct dom_async *async); /* may be NULL: the store is through after all */
    /* May be NULL. By whatever thread the store finishes on, for an operation that succeeded and is
     * alone: answers the call, which was lent with `work` (router/rpc/server.h), and then `done` follows
     * as always. False: it is not lent any more. */
    bool (*prompt)(struct dom_async *async);
    void *owner;
    enum dom_code code;       /* how it ended, for `done` */
    const char *message;
    bool answered;            /* for `done`: by `prompt`; the call may not be touched */

    /* wait.c */
    struct dom_router *router;
    struct dom_async *wait_prev;
    struct dom_async *wait_next;
    struct dom_wait_line *line; /* NULL: in none */
    uint64_t due_us;
    bool given_up;
};
enum dom_code dom_async_submit(struct dom_router *router, const struct dom_snapshot *snapshot,
                               struct dom_async *async, struct dom_error *err) DOM_MUST_USE;
void dom_router_init_waits(struct dom_router *router);
/* The rpc layer's timer. */
void dom_router_timer(void *context);
/* Puts what came back too late into the logs. */
void dom_router_write_late(struct dom_router *router);

void dom_router_random(struct dom_router *router, void *out, size_t len);

/* Encodes the access as an entry for the log of `access->served` and copies it into the arena. */
enum dom_code dom_turn_entry(struct dom_turn *turn, struct dom_slice *entryp,
                             const struct dom_access *access, const char *op,
                             struct dom_slice kind, struct dom_slice id,
                             const struct dom_slice *fields, size_t num_fields, uint64_t bytes,
                             uint64_t count, dom_store_set replicas_abroad) DOM_MUST_USE;

/* What a caller is told of a record that it may not read, and of one that does not exist: the same
 * words (docs/ARCHITECTURE.md, last section). */
#define DOM_HIDDEN_TEXT \
    "no record that this caller may read; name its home to learn what the policy decides"

/* Makes the denied access durable in the log, then fails the call with the decision, or `instead`
 * of it with another refusal (copied), for one who may not learn that there is a record. The call
 * goes async. With no log to write to, it fails at once. */
void dom_turn_deny(struct dom_turn *turn, struct dom_access *access, const char *op,
                   struct dom_slice kind, struct dom_slice id, const struct dom_slice *fields,
                   size_t num_fields, const struct dom_refusal *instead);

/* The store region that leads the placement, or any open region of the policy when that is not
 * open: where an entry about this home can lie. */
dom_store_region dom_turn_log_region(const struct dom_turn *turn,
                                     const struct dom_policy_placement *placement);

/* ---- entries that are asked for (entries.c) ---- */

/* What ListEntries and ExportEntries have alike. Borrowed from the request. */
struct dom_entries_ask {
    const ProtobufCBinaryData *where;
    size_t num_where;
    int64_t from_time_ms;
    int64_t until_time_ms;
    uint64_t from_index;
    uint64_t end_index;
    ProtobufCBinaryData subject_kind;
    ProtobufCBinaryData subject_id;
};
#define DOM_ENTRIES_ASK(request)                                                            \
    {                                                                                       \
        .where = (request)->where, .num_where = (request)->n_where,                         \
        .from_time_ms = (request)->from_time_ms, .until_time_ms = (request)->until_time_ms, \
        .from_index = (request)->from_index, .end_index = (request)->end_index,             \
        .subject_kind = (request)->subject_kind, .subject_id = (request)->subject_id        \
    }

/* The filter of what is asked, in the call's memory. */
struct dom_entries_filter {
    struct dom_export_filter filter; /* its end: that of the whole call */
    char subjects[DOM_STORE_SUBJECT_HASHES_MAX][64]; /* under each key, newest first */
};
#define DOM_ENTRIES_JOB (64U * DOM_TILE_WIDTH) /* looked at by one job: about 30 ms */
#define DOM_ENTRIES_BYTES_MAX (1U << 20)       /* of one message */

/* False with turn->refusal set. `size` is how many entries may be asked for. I/O thread. */
bool dom_entries_take(struct dom_turn *turn, dom_store_region region,
                      const struct dom_entries_ask *ask, uint64_t size,
                      struct dom_entries_filter *out) DOM_MUST_USE;
/* Goes over the log as it is published, as dom_log_walk does; `size` entries of it. On the worker.
 * Errors: IO, CORRUPT, PARSE, those of `each`. */
enum dom_code dom_entries_walk(struct dom_store *store, dom_store_region region, uint64_t size,
                               const struct dom_export_filter *filter, bool use_index,
                               dom_log_each_fn *each, void *arg,
                               struct dom_error *err) DOM_MUST_USE;
/* Appends an entry to a message, as its field. */
void dom_entries_put(struct dom_buffer *out, unsigned field, uint64_t index,
                     struct dom_slice entry);

/* The witnesses' endpoint (witness.c). Errors: IO, PARSE (witness_logs), INVALID, UNAVAILABLE. */
enum dom_code dom_router_open_witness(struct dom_router *router,
                                      struct dom_error *err) DOM_MUST_USE;
/* NULL is fine: nothing was opened. */
void dom_router_close_witness(struct dom_router *router);

/* How long calls may take to finish once the process is to end. */
uint64_t dom_router_drain_ms(const struct dom_router *router);

/* The metrics page; on the HTTP library's thread. */
void dom_router_render_metrics(void *context, struct dom_buffer *out);

/* ---- handlers ---- */
void dom_handle_get(struct dom_rpc_call *call, void *context);
void dom_handle_batch_get(struct dom_rpc_call *call, void *context);
void dom_handle_put(struct dom_rpc_call *call, void *context);
void dom_handle_delete(struct dom_rpc_call *call, void *context);
void dom_handle_list(struct dom_rpc_call *call, void *context);
void dom_handle_explain(struct dom_rpc_call *call, void *context);
void dom_handle_get_policy(struct dom_rpc_call *call, void *context);
void dom_handle_get_policy_status(struct dom_rpc_call *call, void *context);
void dom_handle_reload_policy(struct dom_rpc_call *call, void *context);
void dom_handle_push_policy(struct dom_rpc_call *call, void *context);
void dom_handle_get_rollout(struct dom_rpc_call *call, void *context);
void dom_handle_watch_rollout(struct dom_rpc_call *call, void *context);
void dom_handle_promote_rollout(struct dom_rpc_call *call, void *context);
void dom_handle_pause_rollout(struct dom_rpc_call *call, void *context);
void dom_handle_resume_rollout(struct dom_rpc_call *call, void *context);
void dom_handle_abort_rollout(struct dom_rpc_call *call, void *context);
void dom_handle_freeze_policy(struct dom_rpc_call *call, void *context);
void dom_handle_unfreeze_policy(struct dom_rpc_call *call, void *context);
void dom_handle_list_entries(struct dom_rpc_call *call, void *context);
void dom_handle_export_entries(struct dom_rpc_call *call, void *context);
void dom_handle_get_checkpoint(struct dom_rpc_call *call, void *context);
void dom_handle_prove_inclusion(struct dom_rpc_call *call, void *context);
void dom_handle_prove_consistency(struct dom_rpc_call *call, void *context);
void dom_handle_drain(struct dom_rpc_call *call, void *context);
void dom_handle_place_hold(struct dom_rpc_call *call, void *context);
void dom_handle_release_hold(struct dom_rpc_call *call, void *context);
void dom_handle_list_holds(struct dom_rpc_call *call, void *context);

#endif
