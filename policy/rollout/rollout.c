#include "policy/rollout/rollout.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define BIT(phase) (1U << (phase))

/* Who may follow whom. A step may follow a step of its own kind (10 percent, 50 percent). */
static const struct {
    const char *name;
    unsigned next;
} s_phases[DOM_PHASE_COUNT] = {
    [DOM_PHASE_ENFORCED] = {"enforced", BIT(DOM_PHASE_SHADOW) | BIT(DOM_PHASE_CANARY) |
                                            BIT(DOM_PHASE_REGIONS) | BIT(DOM_PHASE_ENFORCED)},
    [DOM_PHASE_SHADOW] = {"shadow", BIT(DOM_PHASE_SHADOW) | BIT(DOM_PHASE_CANARY) |
                                        BIT(DOM_PHASE_REGIONS) | BIT(DOM_PHASE_ENFORCED) |
                                        BIT(DOM_PHASE_PAUSED) | BIT(DOM_PHASE_ABORTED)},
    [DOM_PHASE_CANARY] = {"canary", BIT(DOM_PHASE_SHADOW) | BIT(DOM_PHASE_CANARY) |
                                        BIT(DOM_PHASE_REGIONS) | BIT(DOM_PHASE_ENFORCED) |
                                        BIT(DOM_PHASE_PAUSED) | BIT(DOM_PHASE_ABORTED)},
    [DOM_PHASE_REGIONS] = {"regions", BIT(DOM_PHASE_REGIONS) | BIT(DOM_PHASE_ENFORCED) |
                                          BIT(DOM_PHASE_PAUSED) | BIT(DOM_PHASE_ABORTED)},
    [DOM_PHASE_PAUSED] = {"paused", BIT(DOM_PHASE_SHADOW) | BIT(DOM_PHASE_CANARY) |
                                        BIT(DOM_PHASE_REGIONS) | BIT(DOM_PHASE_ABORTED)},
    [DOM_PHASE_ABORTED] = {"aborted", BIT(DOM_PHASE_SHADOW) | BIT(DOM_PHASE_CANARY) |
                                          BIT(DOM_PHASE_REGIONS) | BIT(DOM_PHASE_ENFORCED)},
};

const char *dom_rollout_phase_name(enum dom_rollout_phase phase)
{
    return (unsigned)phase < DOM_PHASE_COUNT ? s_phases[phase].name : "";
}

bool dom_rollout_may_follow(enum dom_rollout_phase from, enum dom_rollout_phase to)
{
    return (unsigned)from < DOM_PHASE_COUNT && (unsigned)to < DOM_PHASE_COUNT &&
           (s_phases[from].next & BIT(to)) != 0;
}

const char *dom_rollout_change_name(enum dom_rollout_change change)
{
    return change == DOM_CHANGE_LOOSENS ? "loosening" : "tightening";
}

/* The one place that changes the phase. */
static void move(struct dom_rollout *rollout, enum dom_rollout_phase to)
{
    DOM_ASSERT(dom_rollout_may_follow(rollout->phase, to));
    rollout->phase = to;
    /* Invariants of every state. */
    DOM_ASSERT(to != DOM_PHASE_CANARY || rollout->change == DOM_CHANGE_TIGHTENS);
    DOM_ASSERT(!dom_rollout_active(rollout) || rollout->at < rollout->num_steps);
    DOM_ASSERT(rollout->enforced.version <= rollout->highest);
}

/* ---- the steps -------------------------------------------------------------------------- */

static void add_step(struct dom_rollout *rollout, enum dom_policy_stage_mode mode, uint8_t percent,
                     int64_t hold_ms, dom_policy_set regions)
{
    DOM_ASSERT(rollout->num_steps < DOM_ROLLOUT_STEPS_MAX);
    rollout->steps[rollout->num_steps++] = (struct dom_rollout_step){
        .mode = mode, .percent = percent, .hold_ms = hold_ms, .regions = regions};
}

static bool is_everywhere(const struct dom_policy_stage *stage)
{
    return stage->mode == DOM_ROLL_ENFORCE && stage->regions == 0;
}

static int64_t hold_of(const struct dom_policy_stage *stage, int64_t otherwise)
{
    return stage->hold_ms < 0 ? otherwise : stage->hold_ms;
}

static void plan_tightening(struct dom_rollout *rollout)
{
    const struct dom_policy_rollout *limits = &rollout->limits;
    size_t i = 0;

    for (; i < limits->num_stages && !is_everywhere(&limits->stages[i]); i++) {
        const struct dom_policy_stage *stage = &limits->stages[i];
        add_step(rollout, stage->mode, stage->percent, hold_of(stage, 0), stage->regions);
    }
    if (limits->num_stages == 0) {
        add_step(rollout, DOM_ROLL_SHADOW, 0, DOM_ROLLOUT_HOLD_MS, 0);
    }
    add_step(rollout, DOM_ROLL_ENFORCE, 0, 0, 0);
}

/* One region a step: of a stage that names several, each in turn. */
static dom_policy_set add_regions(struct dom_rollout *rollout, dom_policy_set regions,
                                  int64_t hold_ms)
{
    for (dom_policy_set left = regions; left != 0; left &= left - 1) {
        add_step(rollout, DOM_ROLL_ENFORCE, 0, hold_ms, left & (~left + 1));
    }
    return regions;
}

static void plan_loosening(struct dom_rollout *rollout, dom_policy_set all)
{
    const struct dom_policy_rollout *limits = &rollout->limits;
    dom_policy_set done = 0;
    int64_t hold_ms = DOM_ROLLOUT_HOLD_MS;
    size_t i = 0;

    if (limits->num_stages == 0 || limits->stages[0].mode != DOM_ROLL_SHADOW) {
        add_step(rollout, DOM_ROLL_SHADOW, 0, DOM_ROLLOUT_HOLD_MS, 0);
    }
    for (; i < limits->num_stages && !is_everywhere(&limits->stages[i]); i++) {
        const struct dom_policy_stage *stage = &limits->stages[i];
        if (stage->mode == DOM_ROLL_SHADOW) {
            add_step(rollout, DOM_ROLL_SHADOW, 0, hold_of(stage, DOM_ROLLOUT_HOLD_MS), 0);
        } else if (stage->mode == DOM_ROLL_ENFORCE) {
            done |= add_regions(rollout, stage->regions & ~done,
                                hold_of(stage, DOM_ROLLOUT_HOLD_MS));
        } /* a canary protects nobody here: left out */
    }
    if (i < limits->num_stages) {
        hold_ms = hold_of(&limits->stages[i], DOM_ROLLOUT_HOLD_MS);
    }
    if (done == 0) {
        (void)add_regions(rollout, all, hold_ms);
    }
    add_step(rollout, DOM_ROLL_ENFORCE, 0, 0, 0);
}

void dom_rollout_plan(struct dom_rollout *rollout, const struct dom_policy *candidate)
{
    size_t num_regions = dom_policy_num_regions(candidate);
    dom_policy_set all = num_regions >= 64 ? UINT64_MAX : (UINT64_C(1) << num_regions) - 1;

    rollout->limits = *dom_policy_rollout(candidate);
    rollout->num_steps = 0;
    if (rollout->change == DOM_CHANGE_LOOSENS) {
        plan_loosening(rollout, all);
    } else {
        plan_tightening(rollout);
    }
}

/* ---- questions -------------------------------------------------------------------------- */

bool dom_rollout_active(const struct dom_rollout *rollout)
{
    return rollout->phase != DOM_PHASE_ENFORCED && rollout->phase != DOM_PHASE_ABORTED;
}

enum dom_rollout_phase dom_rollout_effective(const struct dom_rollout *rollout)
{
    return rollout->phase == DOM_PHASE_PAUSED ? rollout->paused : rollout->phase;
}

dom_policy_set dom_rollout_regions(const struct dom_rollout *rollout)
{
    dom_policy_set regions = 0;

    if (dom_rollout_effective(rollout) != DOM_PHASE_REGIONS) {
        return 0;
    }
    for (size_t i = 0; i <= rollout->at; i++) {
        regions |= rollout->steps[i].regions;
    }
    return regions;
}

static int64_t held_ms(const struct dom_rollout *rollout, int64_t now_ms)
{
    /* A clock that was put back has held nothing, and takes nothing away. */
    int64_t more = rollout->phase != DOM_PHASE_PAUSED && now_ms > rollout->since_ms
                       ? now_ms - rollout->since_ms
                       : 0;

    return rollout->held_ms + more;
}

int64_t dom_rollout_due_ms(const struct dom_rollout *rollout, int64_t now_ms)
{
    if (!dom_rollout_active(rollout) || rollout->phase == DOM_PHASE_PAUSED) {
        return INT64_MAX;
    }
    return now_ms + rollout->steps[rollout->at].hold_ms - held_ms(rollout, now_ms);
}

/* ---- events ----------------------------------------------------------------------------- */

static enum dom_rollout_phase phase_of(const struct dom_rollout_step *step)
{
    switch (step->mode) {
    case DOM_ROLL_SHADOW:
        return DOM_PHASE_SHADOW;
    case DOM_ROLL_CANARY:
        return DOM_PHASE_CANARY;
    case DOM_ROLL_ENFORCE:
    default:
        return step->regions != 0 ? DOM_PHASE_REGIONS : DOM_PHASE_ENFORCED;
    }
}

/* Begins step `at`; the last one puts the candidate in force. */
static void enter(struct dom_rollout *rollout, size_t at, int64_t now_ms,
                  struct dom_rollout_update *update)
{
    rollout->at = at;
    rollout->since_ms = now_ms;
    rollout->held_ms = 0;
    move(rollout, phase_of(&rollout->steps[at]));
    update->action = DOM_ACTION_STEP;
    update->what = "stage";
    if (rollout->phase == DOM_PHASE_ENFORCED) {
        rollout->enforced = rollout->candidate;
        memset(&rollout->candidate, 0, sizeof(rollout->candidate));
        rollout->reason[0] = '\0';
        update->action = DOM_ACTION_ENFORCE;
        update->what = "enforce";
    }
}

static void abort_candidate(struct dom_rollout *rollout, const char *reason,
                            struct dom_rollout_update *update)
{
    move(rollout, DOM_PHASE_ABORTED);
    (void)snprintf(rollout->reason, sizeof(rollout->reason), "%s", reason);
    for (char *c = rollout->reason; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 ? ' ' : *c; /* one line of the state */
    }
    update->action = DOM_ACTION_RETREAT;
    update->what = "abort";
}

static bool over(uint64_t some, uint64_t of, uint32_t ppm)
{
    return (double)some * 1e6 > (double)of * (double)ppm;
}

/* Why the policy's own limits say that it must stop, or "". */
static void find_fault(const struct dom_rollout *rollout, const struct dom_rollout_tally *tally,
                       char *out, size_t out_size)
{
    const struct dom_policy_rollout *limits = &rollout->limits;
    bool enough = tally->requests >= limits->requests_min && tally->requests > 0;

    out[0] = '\0';
    if (tally->eval_errors > limits->eval_errors_max) {
        (void)snprintf(out, out_size, "eval_errors: %llu of %llu requests, limit %llu",
                       (unsigned long long)tally->eval_errors,
                       (unsigned long long)tally->requests,
                       (unsigned long long)limits->eval_errors_max);
    } else if (enough && over(tally->new_denies, tally->requests, limits->new_deny_ppm)) {
        (void)snprintf(out, out_size, "new_deny_ratio: %llu of %llu requests, limit %g",
                       (unsigned long long)tally->new_denies, (unsigned long long)tally->requests,
                       limits->new_deny_ppm / 1e6);
    } else if (enough && over(tally->new_allows, tally->requests, limits->new_allow_ppm)) {
        (void)snprintf(out, out_size, "new_allow_ratio: %llu of %llu requests, limit %g",
                       (unsigned long long)tally->new_allows, (unsigned long long)tally->requests,
                       limits->new_allow_ppm / 1e6);
    }
}

static void tick(struct dom_rollout *rollout, const struct dom_rollout_event *event,
                 struct dom_rollout_update *update)
{
    char fault[DOM_ROLLOUT_REASON_SIZE];

    if (!dom_rollout_active(rollout)) {
        return;
    }
    find_fault(rollout, &event->tally, fault, sizeof(fault));
    if (fault[0] != '\0') {
        abort_candidate(rollout, fault, update); /* paused or not: it still does harm */
        return;
    }
    if (rollout->phase == DOM_PHASE_PAUSED ||
        held_ms(rollout, event->now_ms) < rollout->steps[rollout->at].hold_ms) {
        return;
    }
    if (event->tally.requests < rollout->limits.requests_min) {
        update->inconclusive = true;
        return;
    }
    enter(rollout, rollout->at + 1, event->now_ms, update);
}

static enum dom_code push(struct dom_rollout *rollout, const struct dom_rollout_event *event,
                          struct dom_rollout_update *update, struct dom_error *err)
{
    if (dom_rollout_active(rollout)) {
        return DOM_FAIL(err, DOM_ROLLOUT,
                        "version %lld is being rolled out (%s): promote or abort it first",
                        (long long)rollout->candidate.version,
                        dom_rollout_phase_name(rollout->phase));
    }
    if (event->version.version <= rollout->highest) {
        return DOM_FAIL(err, DOM_ROLLOUT, "version %lld was taken already",
                        (long long)rollout->highest);
    }
    rollout->candidate = event->version;
    rollout->highest = event->version.version;
    rollout->change = event->change;
    rollout->reason[0] = '\0';
    dom_rollout_plan(rollout, event->policy);
    enter(rollout, 0, event->now_ms, update);
    return DOM_OK;
}

static enum dom_code order(struct dom_rollout *rollout, const struct dom_rollout_event *event,
                           struct dom_rollout_update *update, struct dom_error *err)
{
    bool paused = rollout->phase == DOM_PHASE_PAUSED;

    if (!dom_rollout_active(rollout)) {
        return DOM_FAIL(err, DOM_ROLLOUT, "no roll-out is under way");
    }
    if (event->type == DOM_ROLLOUT_ABORT) {
        abort_candidate(rollout, event->reason, update);
        return DOM_OK;
    }
    if (paused != (event->type == DOM_ROLLOUT_RESUME)) {
        return DOM_FAIL(err, DOM_ROLLOUT, paused ? "the roll-out is paused: resume it first"
                                                 : "the roll-out is not paused");
    }
    if (event->type == DOM_ROLLOUT_PROMOTE) {
        enter(rollout, rollout->at + 1, event->now_ms, update);
        return DOM_OK;
    }
    rollout->held_ms = held_ms(rollout, event->now_ms);
    rollout->since_ms = event->now_ms;
    update->action = DOM_ACTION_NOTE;
    if (event->type == DOM_ROLLOUT_PAUSE) {
        rollout->paused = rollout->phase;
        move(rollout, DOM_PHASE_PAUSED);
        update->what = "pause";
    } else {
        move(rollout, rollout->paused);
        update->what = "resume";
    }
    return DOM_OK;
}

enum dom_code dom_rollout_step(struct dom_rollout *rollout, const struct dom_rollout_event *event,
                               struct dom_rollout_update *update, struct dom_error *err)
{
    memset(update, 0, sizeof(*update));
    update->what = "";
    switch (event->type) {
    case DOM_ROLLOUT_PUSH:
        return push(rollout, event, update, err);
    case DOM_ROLLOUT_TICK:
        tick(rollout, event, update);
        return DOM_OK;
    case DOM_ROLLOUT_PROMOTE:
    case DOM_ROLLOUT_PAUSE:
    case DOM_ROLLOUT_RESUME:
    case DOM_ROLLOUT_ABORT:
    default:
        return order(rollout, event, update, err);
    }
}
