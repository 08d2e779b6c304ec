/* The roll-out of one candidate policy, step by step, until it is in force or taken back.
 *
 * Pure: events go in, what has to be done comes out; time and what was counted are fields of the
 * event. The shell (router/service/pilot.c) writes the state down, tells the logs and swaps
 * policies, in the order that the update names.
 *
 * A tightening risks that what worked stops: shadow, then a share of the records. A loosening
 * risks the law for whatever share gets it, so a share protects nobody: shadow first, then one
 * region after another, never a canary. Which of the two it is comes from the exact diff, never
 * from the author. An abort only ever goes back to the last enforced version.
 *
 *   ENFORCED --push--> SHADOW --> CANARY --> REGIONS --> ENFORCED
 *   (ABORTED)            |          |           |
 *                        +-- pause <--> resume -+        any of them --> ABORTED
 *
 * Thread contract: one owner; nothing here blocks or allocates.
 */
#ifndef DOM_POLICY_ROLLOUT_ROLLOUT_H
#define DOM_POLICY_ROLLOUT_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "policy/policy.h"

/* The stages that a policy may name, one step for each region, and two that are put in. */
#define DOM_ROLLOUT_STEPS_MAX (DOM_ROLLOUT_STAGES_MAX + DOM_REGIONS_MAX + 2U)
/* How long a stage holds when the policy does not say, where a loosening needs one. */
#define DOM_ROLLOUT_HOLD_MS     INT64_C(3600000)
#define DOM_ROLLOUT_REASON_SIZE 200U

enum dom_rollout_phase {
    DOM_PHASE_ENFORCED = 0, /* nothing under way */
    DOM_PHASE_SHADOW,
    DOM_PHASE_CANARY,
    DOM_PHASE_REGIONS,
    DOM_PHASE_PAUSED, /* the step stays as it is and goes no further */
    DOM_PHASE_ABORTED /* nothing under way; the last one was taken back */
};
#define DOM_PHASE_COUNT 6
const char *dom_rollout_phase_name(enum dom_rollout_phase phase); /* "enforced", "shadow", ... */
/* Whether the table lets `from` be followed by `to`. */
bool dom_rollout_may_follow(enum dom_rollout_phase from, enum dom_rollout_phase to);

/* What the exact diff says of the candidate. */
enum dom_rollout_change { DOM_CHANGE_TIGHTENS = 0, DOM_CHANGE_LOOSENS };
const char *dom_rollout_change_name(enum dom_rollout_change change); /* tightening, loosening */

struct dom_rollout_step {
    enum dom_policy_stage_mode mode; /* ENFORCE with regions: only there */
    uint8_t percent;
    int64_t hold_ms;
    dom_policy_set regions; /* of the candidate policy; 0: everywhere */
};

/* One version of a policy. */
struct dom_rollout_version {
    int64_t version; /* 0: none */
    uint8_t sha256[32];
};

/* Everything that outlives a crash, and the steps, which come from the candidate's text. */
struct dom_rollout {
    enum dom_rollout_phase phase;
    enum dom_rollout_phase paused; /* what PAUSED goes back to */
    struct dom_rollout_version enforced;
    struct dom_rollout_version candidate; /* also of the last abort */
    int64_t highest;                      /* version ever taken */
    enum dom_rollout_change change;
    size_t at;        /* which step */
    int64_t since_ms; /* when it began, or was resumed */
    int64_t held_ms;  /* held before that */
    char reason[DOM_ROLLOUT_REASON_SIZE]; /* of the last abort */
    bool frozen;
    char frozen_reason[DOM_ROLLOUT_REASON_SIZE];
    int64_t order_ms; /* time of the last order to freeze or unfreeze */
    uint8_t file_sha256[32]; /* of the policy file that the last start or reload took */

    struct dom_rollout_step steps[DOM_ROLLOUT_STEPS_MAX];
    size_t num_steps;
    struct dom_policy_rollout limits; /* the candidate's; its stages are in `steps` */
};

/* What was counted since the step began. */
struct dom_rollout_tally {
    uint64_t requests;
    uint64_t disagreements;
    uint64_t new_denies; /* of these: denied, or a field withheld, that passes in force */
    uint64_t new_allows; /* the other way round */
    uint64_t eval_errors;
};

enum dom_rollout_event_type {
    DOM_ROLLOUT_PUSH = 0,
    DOM_ROLLOUT_TICK,
    DOM_ROLLOUT_PROMOTE, /* to the next step now, held or not */
    DOM_ROLLOUT_PAUSE,
    DOM_ROLLOUT_RESUME,
    DOM_ROLLOUT_ABORT
};

struct dom_rollout_event {
    enum dom_rollout_event_type type;
    int64_t now_ms;
    struct dom_rollout_tally tally; /* TICK */
    const char *reason;             /* ABORT */
    /* PUSH */
    struct dom_rollout_version version;
    enum dom_rollout_change change;
    const struct dom_policy *policy;
};

/* What the shell does, in this order: tell (forwards: durable in every log first), save, apply.
 * Backwards (RETREAT): save, apply, tell. */
enum dom_rollout_action {
    DOM_ACTION_NONE = 0,
    DOM_ACTION_STEP,    /* a step begins: new counters, other requests under the candidate */
    DOM_ACTION_ENFORCE, /* the candidate is the policy in force now */
    DOM_ACTION_RETREAT, /* the last enforced version decides alone again */
    DOM_ACTION_NOTE     /* paused, resumed: nothing changes but the state */
};

struct dom_rollout_update {
    enum dom_rollout_action action;
    const char *what;  /* for the log: "stage", "enforce", "abort", "pause", "resume" */
    bool inconclusive; /* TICK: held long enough, too few requests to go on */
};

/* One event. On an error nothing has changed. Errors: ROLLOUT (not in this state). */
enum dom_code dom_rollout_step(struct dom_rollout *rollout, const struct dom_rollout_event *event,
                               struct dom_rollout_update *update, struct dom_error *err) DOM_MUST_USE;

/* The steps of a candidate; for a PUSH, and for a start that finds one under way. */
void dom_rollout_plan(struct dom_rollout *rollout, const struct dom_policy *candidate);

/* A candidate is under way (paused or not). */
bool dom_rollout_active(const struct dom_rollout *rollout);
/* The mode that requests see: PAUSED shows what it paused. */
enum dom_rollout_phase dom_rollout_effective(const struct dom_rollout *rollout);
/* The candidate's regions whose callers it decides for by now; 0 outside of REGIONS. */
dom_policy_set dom_rollout_regions(const struct dom_rollout *rollout);
/* When the step has held long enough; INT64_MAX when nothing is under way. */
int64_t dom_rollout_due_ms(const struct dom_rollout *rollout, int64_t now_ms);

/* ---- bytes on disk (docs/FORMAT.md) ---- */
#define DOM_ROLLOUT_STATE_BYTES_MAX 4096U
/* Appends the state, without steps. */
void dom_rollout_encode(const struct dom_rollout *rollout, struct dom_slice name,
                        struct dom_buffer *out);
/* *name lies in `bytes`. Errors: CORRUPT (with the line), FORMAT (a newer version). */
enum dom_code dom_rollout_decode(struct dom_rollout *rollout, struct dom_slice *name,
                                 struct dom_slice bytes, struct dom_error *err) DOM_MUST_USE;

#endif
