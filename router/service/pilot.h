/* The pilot: takes policies through their roll-out. One thread does all of it, in order: pushes,
 * orders, reloads, and a tick that looks at what was counted. It owns the state on disk
 * (<data>/policy.d), tells every log, and swaps what requests are decided by.
 *
 * Forwards: told in every log, saved, then applied, so that nothing is decided by a policy that its
 * log does not know. Backwards (abort, freeze): saved, applied, then told: stopping waits for no log.
 *
 * Private to router/service. Thread contract: `view` from any thread under its lock; all else is the
 * pilot's thread, or the start before it runs.
 */
#ifndef DOM_ROUTER_SERVICE_PILOT_H
#define DOM_ROUTER_SERVICE_PILOT_H

#include <pthread.h>

#include "policy/bundle/bundle.h"
#include "policy/finding.h"
#include "policy/rollout/rollout.h"
#include "router/core/snapshot.h"
#include "router/rpc/server.h"
#include "router/service/worker.h"
#include "store/audit/event.h"

#define DOM_PILOT_DIR     "policy.d"
#define DOM_PILOT_TICK_MS 50U
#define DOM_PILOT_WATCHERS_MAX 64U

struct dom_router;
struct dom_approval;

/* What others may know; a copy. */
struct dom_pilot_view {
    struct dom_rollout rollout;
    char name[DOM_POLICY_NAME_BYTES_MAX + 1];
    char regions[1024]; /* names of the step's regions, each ended by a NUL, then an empty one */
    bool inconclusive;
    bool signed_only;
    int64_t fresh_until_ms; /* INT64_MAX: none is wanted */
    uint64_t refused;
    char refusal[320]; /* the last one */
};

struct dom_pilot {
    struct dom_worker worker;
    char dir[600];
    bool signed_only;
    struct dom_root root;
    struct dom_rollout rollout;
    struct dom_policy *candidate;      /* one reference, while one is under way */
    struct dom_snapshot *on_trial;     /* of the candidate: keeps its entries' indexes; NULL: none */
    struct dom_pilot_origin {          /* how the candidate came; empty after a restart */
        char bundle[65];
        char plan[65];
        char signers[512];
        char operator_id[513];
    } origin;
    int64_t fresh_until_ms;
    bool inconclusive;
    bool unsaved;                      /* an abort or order is not on disk yet */

    pthread_mutex_t lock;
    struct dom_pilot_view view;
    struct dom_tally *tally; /* one reference; NULL: nothing under way. Under the lock */

    size_t num_watchers;      /* under the lock; changed by the I/O thread only */
    bool noted;               /* under the lock: `note` is on its way to the I/O thread */
    struct dom_rpc_work note;
    struct dom_watcher *watchers; /* the I/O thread's own */
    uint64_t told_requests;       /* the pilot's: what the watchers heard last */
    uint64_t told_us;
};

/* ---- entries about policies (tell.c) ---- */
struct dom_telling {
    enum dom_audit_type type;        /* POLICY or ROLLOUT */
    const struct dom_policy *policy; /* that the entry is about */
    struct dom_snapshot *indexed;    /* learns where its entry lies in each log; NULL: none */
    int64_t time_ms;
    struct dom_audit_detail details[DOM_AUDIT_DETAILS_MAX]; /* in any order */
    size_t num_details;
};
void dom_telling_text(struct dom_telling *telling, const char *name, struct dom_slice text);
void dom_telling_number(struct dom_telling *telling, const char *name, int64_t number);
/* One entry in the log of every open region; returns when each is durable, or will come before
 * anything else in a log that is closed or slow now. Needs a running store. Not on the I/O thread nor
 * a store's. Errors: INTERNAL, INVALID (then none is written). */
enum dom_code dom_router_tell(struct dom_router *router, struct dom_telling *telling,
                              struct dom_error *err) DOM_MUST_USE;

/* ---- the policy in force (force.c) ---- */
/* The snapshot in use with another trial (taken over), frozen or fresh; not another policy. */
void dom_router_review(struct dom_router *router, struct dom_trial *trial);
/* Opens the policy's regions. Errors: of dom_store_open_region. */
enum dom_code dom_router_open_regions(struct dom_router *router, const struct dom_policy *policy,
                                      struct dom_error *err) DOM_MUST_USE;
/* The one place where another policy comes into force. Takes over the reference. */
void dom_router_put_in_force(struct dom_router *router, struct dom_snapshot *snapshot);
/* Names the first finding that stopped a load in err. */
void dom_name_finding(const struct dom_findings *findings, const char *path, struct dom_error *err);

/* ---- files (pilot_files.c) ---- */
enum dom_code dom_pilot_save(const struct dom_pilot *pilot, const struct dom_rollout *rollout,
                             const char *name, struct dom_error *err) DOM_MUST_USE;
/* NOT_FOUND: a first start. */
enum dom_code dom_pilot_read(struct dom_pilot *pilot, char name[DOM_POLICY_NAME_BYTES_MAX + 1],
                             struct dom_error *err) DOM_MUST_USE;
/* Keeps a policy's text under its version and hash, for restarts and for those who decide old
 * entries again. */
enum dom_code dom_pilot_keep(const struct dom_pilot *pilot, const struct dom_policy *policy,
                             struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_pilot_load(const struct dom_pilot *pilot, struct dom_policy **policyp,
                             const struct dom_rollout_version *version, int64_t now_ms,
                             struct dom_error *err) DOM_MUST_USE;
/* The root of the configuration, against the one that was trusted before. */
enum dom_code dom_pilot_read_root(struct dom_pilot *pilot, const char *path,
                                  struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_pilot_write(const struct dom_pilot *pilot, const char *file,
                              struct dom_slice bytes, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_pilot_read_file(const struct dom_pilot *pilot, const char *file,
                                  struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

/* ---- life (pilot_start.c) ---- */
/* Reads the state and says with which policy to start: the file's, or a newer one that was pushed.
 * The file that is older than what was in force here is refused. Errors: of files and policies. */
enum dom_code dom_pilot_open(struct dom_router *router, struct dom_policy **policyp,
                             struct dom_findings *findings, struct dom_error *err) DOM_MUST_USE;
/* Tells the logs what is in force and under way, and starts the thread. */
enum dom_code dom_pilot_start(struct dom_router *router, struct dom_error *err) DOM_MUST_USE;
void dom_pilot_stop(struct dom_router *router);  /* joins; legal before the start */
void dom_pilot_cleanup(struct dom_router *router);

/* ---- what the thread does (pilot.c) ---- */
enum dom_pilot_verb {
    DOM_PILOT_PUSH = 0,
    DOM_PILOT_PROMOTE,
    DOM_PILOT_PAUSE,
    DOM_PILOT_RESUME,
    DOM_PILOT_ABORT,
    DOM_PILOT_FREEZE,
    DOM_PILOT_UNFREEZE
};
struct dom_pilot_order {
    enum dom_pilot_verb verb;
    struct dom_slice bundle;    /* PUSH; order for FREEZE, UNFREEZE */
    struct dom_slice timestamp; /* PUSH */
    struct dom_slice reason;
    struct dom_slice operator_id;
    int64_t version; /* of the candidate that is meant; 0: whichever */
    /* Results. */
    enum dom_bundle_fault fault;
    bool changed;
};
/* On the pilot's thread. Errors: BUNDLE (with order->fault), ROLLOUT, and those of files and logs. */
enum dom_code dom_pilot_obey(struct dom_router *router, struct dom_pilot_order *order,
                             struct dom_error *err) DOM_MUST_USE;
/* A file was loaded and is to be put in force at once: unsigned mode. Takes over the reference. */
enum dom_code dom_pilot_reload(struct dom_router *router, struct dom_policy *policy,
                               const struct dom_approval *approval,
                               struct dom_error *err) DOM_MUST_USE;
void dom_pilot_tick(void *router);
/* Candidate, trial and view from the state: after any change of it. */
void dom_pilot_apply(struct dom_router *router);
void dom_pilot_publish(struct dom_router *router);


/* ---- shared by pilot.c and pilot_push.c ---- */
#define DOM_PILOT_TIMESTAMP "timestamp" /* its file */
int64_t dom_pilot_now(const struct dom_router *router);
const struct dom_policy *dom_pilot_in_force(const struct dom_router *router);
enum dom_code dom_pilot_save_state(const struct dom_router *router, const struct dom_rollout *next,
                                   struct dom_error *err) DOM_MUST_USE;
/* What every entry about a roll-out says. The texts live as long as the telling. */
struct dom_pilot_report {
    struct dom_telling telling;
    char regions[1024];
};
void dom_pilot_describe(struct dom_pilot_report *report, const struct dom_router *router,
                        const struct dom_rollout *rollout, const struct dom_policy *policy,
                        const char *action, struct dom_slice operator_id);
/* Does what the update asks for; on an error the state is as before. */
enum dom_code dom_pilot_act(struct dom_router *router, const struct dom_rollout *next,
                            const struct dom_rollout_update *update, struct dom_slice operator_id,
                            struct dom_error *err) DOM_MUST_USE;
/* Stops at once, whatever the disk and the logs say, and remembers what it owes the disk. */
void dom_pilot_stop_at_once(struct dom_router *router, const struct dom_rollout *next,
                            const struct dom_policy *about, const char *action,
                            struct dom_slice operator_id);
void dom_pilot_drop(struct dom_pilot *pilot); /* the candidate */
void dom_pilot_read_tally(const struct dom_tally *tally, struct dom_rollout_tally *out);
enum dom_code dom_pilot_push(struct dom_router *router, struct dom_pilot_order *order,
                             struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_pilot_freeze(struct dom_router *router, struct dom_pilot_order *order,
                               struct dom_error *err) DOM_MUST_USE;

/* ---- watching (rollout_service.c) ---- */
/* From the pilot's thread: watchers get the new view. */
void dom_router_rollout_changed(struct dom_router *router);

#endif
