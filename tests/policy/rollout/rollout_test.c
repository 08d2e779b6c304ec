/* The roll-out as a machine: every way through it, and every way that is barred. */
#include "policy/rollout/rollout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/policy/policy_text.h"

#define HOUR INT64_C(3600000)
#define NOW  TEST_NOW_MS

static const char s_stages[] =
    "rollout = { stages = ( { mode = \"shadow\"; hold = \"PT2H\"; },\n"
    "  { mode = \"canary\"; percent = 10; hold = \"PT1H\"; },\n"
    "  { mode = \"canary\"; percent = 50; hold = \"PT1H\"; }, { mode = \"enforce\"; } );\n"
    "  abort = { new_deny_ratio = 0.01; new_allow_ratio = 0.5; eval_errors = 1;\n"
    "    min_requests = 100; }; };\nrules = (";

static struct dom_policy *policy_with(const char *rollout)
{
    return test_load("rules = (", rollout);
}

static void begin(struct dom_rollout *r)
{
    memset(r, 0, sizeof(*r));
    r->enforced.version = 3;
    r->highest = 3;
}

static enum dom_code give(struct dom_rollout *r, struct dom_rollout_event event,
                          struct dom_rollout_update *update)
{
    return dom_rollout_step(r, &event, update, NULL);
}

static void push(struct dom_rollout *r, const struct dom_policy *policy,
                 enum dom_rollout_change change, int64_t version)
{
    struct dom_rollout_update update;
    struct dom_rollout_event event = {.type = DOM_ROLLOUT_PUSH,
                                      .now_ms = NOW,
                                      .version = {.version = version, .sha256 = {7}},
                                      .change = change,
                                      .policy = policy};
    assert_int_equal(give(r, event, &update), DOM_OK);
}

static struct dom_rollout_update tick(struct dom_rollout *r, int64_t now_ms, uint64_t requests,
                                      uint64_t denies)
{
    struct dom_rollout_update update;
    struct dom_rollout_event event = {
        .type = DOM_ROLLOUT_TICK,
        .now_ms = now_ms,
        .tally = {.requests = requests, .new_denies = denies, .disagreements = denies}};
    assert_int_equal(give(r, event, &update), DOM_OK);
    return update;
}

static enum dom_code order(struct dom_rollout *r, enum dom_rollout_event_type type, int64_t now_ms)
{
    struct dom_rollout_update update;
    struct dom_rollout_event event = {.type = type, .now_ms = now_ms, .reason = "by hand"};
    return give(r, event, &update);
}

/* The trace of a tightening, as an operator sees it. */
static void a_tightening_goes_by_shadow_and_canaries(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    assert_int_equal(r.phase, DOM_PHASE_SHADOW);
    assert_int_equal(tick(&r, NOW + 2 * HOUR - 1, 1000, 0).action, DOM_ACTION_NONE);
    assert_int_equal(tick(&r, NOW + 2 * HOUR, 1000, 0).action, DOM_ACTION_STEP);
    assert_int_equal(r.phase, DOM_PHASE_CANARY);
    assert_int_equal(r.steps[r.at].percent, 10);
    assert_int_equal(tick(&r, NOW + 3 * HOUR, 100, 1).action, DOM_ACTION_STEP); /* at the limit */
    assert_int_equal(r.steps[r.at].percent, 50);
    struct dom_rollout_update update = tick(&r, NOW + 4 * HOUR, 100, 0);
    assert_int_equal(update.action, DOM_ACTION_ENFORCE);
    assert_int_equal(r.phase, DOM_PHASE_ENFORCED);
    assert_int_equal(r.enforced.version, 4);
    assert_int_equal(r.candidate.version, 0);
    dom_policy_unref(policy);
}

static void a_loosening_goes_by_shadow_and_single_regions(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    int64_t now = NOW;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_LOOSENS, 4);
    assert_int_equal(r.phase, DOM_PHASE_SHADOW);
    now += 2 * HOUR;
    assert_int_equal(tick(&r, now, 100, 0).action, DOM_ACTION_STEP);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(r.phase, DOM_PHASE_REGIONS);
        assert_int_equal(__builtin_popcountll(r.steps[r.at].regions), 1);
        assert_int_equal(dom_rollout_regions(&r), (UINT64_C(1) << (i + 1)) - 1);
        now += DOM_ROLLOUT_HOLD_MS;
        assert_int_equal(tick(&r, now, 100, 0).action,
                         i == 3 ? DOM_ACTION_ENFORCE : DOM_ACTION_STEP);
    }
    assert_int_equal(r.enforced.version, 4);
    dom_policy_unref(policy);
}

/* A loosening cannot be written to skip its shadow or its regions. */
static void a_loosening_always_begins_in_the_shadow(void **state)
{
    static const char *const texts[] = {
        "rollout = { stages = ( { mode = \"enforce\"; } ); };\nrules = (",
        "rollout = { stages = ( { mode = \"canary\"; percent = 100; }, { mode = \"enforce\"; } ); "
        "};\nrules = (",
        "rollout = { stages = ( { mode = \"enforce\"; regions = (\"*\"); }, { mode = \"enforce\"; } "
        "); };\nrules = (",
        "rules = (",
    };
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(texts); i++) {
        struct dom_policy *policy = policy_with(texts[i]);
        struct dom_rollout r;
        begin(&r);
        push(&r, policy, DOM_CHANGE_LOOSENS, 4);
        assert_int_equal(r.phase, DOM_PHASE_SHADOW);
        assert_int_equal(r.steps[0].hold_ms, DOM_ROLLOUT_HOLD_MS);
        assert_int_equal(r.num_steps, 6);
        for (size_t k = 1; k < 5; k++) {
            assert_int_equal(__builtin_popcountll(r.steps[k].regions), 1);
        }
        dom_policy_unref(policy);
    }
}

static void too_few_requests_hold(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    struct dom_rollout_update update = tick(&r, NOW + 1000 * HOUR, 99, 99);
    assert_int_equal(update.action, DOM_ACTION_NONE);
    assert_true(update.inconclusive);
    assert_int_equal(r.phase, DOM_PHASE_SHADOW);
    assert_int_equal(tick(&r, NOW + 1000 * HOUR, 100, 0).action, DOM_ACTION_STEP);
    dom_policy_unref(policy);
}

static void the_policys_limits_abort(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout_update update;
    struct dom_rollout r;
    const struct {
        struct dom_rollout_tally tally;
        enum dom_rollout_action action;
    } cases[] = {
        {{.requests = 100, .new_denies = 1}, DOM_ACTION_NONE},
        {{.requests = 100, .new_denies = 2}, DOM_ACTION_RETREAT},
        {{.requests = 99, .new_denies = 99}, DOM_ACTION_NONE},
        {{.requests = 100, .new_allows = 50}, DOM_ACTION_NONE},
        {{.requests = 100, .new_allows = 51}, DOM_ACTION_RETREAT},
        {{.requests = 1, .eval_errors = 1}, DOM_ACTION_NONE},
        {{.requests = 2, .eval_errors = 2}, DOM_ACTION_RETREAT},
    };
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        begin(&r);
        push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
        struct dom_rollout_event event = {
            .type = DOM_ROLLOUT_TICK, .now_ms = NOW, .tally = cases[i].tally};
        assert_int_equal(give(&r, event, &update), DOM_OK);
        assert_int_equal(update.action, cases[i].action);
        if (cases[i].action == DOM_ACTION_RETREAT) {
            /* Only ever back to the last enforced version. */
            assert_int_equal(r.phase, DOM_PHASE_ABORTED);
            assert_int_equal(r.enforced.version, 3);
            assert_true(strchr(r.reason, ':') != NULL);
        }
    }
    dom_policy_unref(policy);
}

static void an_aborted_version_is_burnt(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout_update update;
    struct dom_rollout r;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    assert_int_equal(order(&r, DOM_ROLLOUT_ABORT, NOW), DOM_OK);
    struct dom_rollout_event again = {.type = DOM_ROLLOUT_PUSH,
                                      .now_ms = NOW,
                                      .version = {.version = 4},
                                      .policy = policy};
    assert_int_equal(give(&r, again, &update), DOM_ROLLOUT);
    again.version.version = 5;
    assert_int_equal(give(&r, again, &update), DOM_OK);
    assert_int_equal(r.phase, DOM_PHASE_SHADOW);
    assert_int_equal(r.reason[0], '\0');
    dom_policy_unref(policy);
}

static void one_candidate_at_a_time(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout_update update;
    struct dom_rollout r;
    struct dom_rollout before;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    before = r;
    struct dom_rollout_event second = {.type = DOM_ROLLOUT_PUSH,
                                       .now_ms = NOW,
                                       .version = {.version = 5},
                                       .policy = policy};
    assert_int_equal(give(&r, second, &update), DOM_ROLLOUT);
    assert_memory_equal(&r, &before, sizeof(r)); /* an error changes nothing */
    dom_policy_unref(policy);
}

static void a_pause_stops_the_clock_and_not_the_abort(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    assert_int_equal(order(&r, DOM_ROLLOUT_RESUME, NOW), DOM_ROLLOUT);
    assert_int_equal(order(&r, DOM_ROLLOUT_PAUSE, NOW + HOUR), DOM_OK);
    assert_int_equal(order(&r, DOM_ROLLOUT_PAUSE, NOW + HOUR), DOM_ROLLOUT);
    assert_int_equal(order(&r, DOM_ROLLOUT_PROMOTE, NOW + HOUR), DOM_ROLLOUT);
    assert_int_equal(dom_rollout_effective(&r), DOM_PHASE_SHADOW);
    assert_int_equal(tick(&r, NOW + 50 * HOUR, 1000, 0).action, DOM_ACTION_NONE);
    assert_int_equal(order(&r, DOM_ROLLOUT_RESUME, NOW + 50 * HOUR), DOM_OK);
    assert_int_equal(tick(&r, NOW + 51 * HOUR - 1, 1000, 0).action, DOM_ACTION_NONE);
    assert_int_equal(tick(&r, NOW + 51 * HOUR, 1000, 0).action, DOM_ACTION_STEP);
    assert_int_equal(order(&r, DOM_ROLLOUT_PAUSE, NOW + 51 * HOUR), DOM_OK);
    assert_int_equal(tick(&r, NOW + 51 * HOUR, 1000, 500).action, DOM_ACTION_RETREAT);
    dom_policy_unref(policy);
}

static void promoting_goes_one_step(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    (void)state;

    begin(&r);
    assert_int_equal(order(&r, DOM_ROLLOUT_PROMOTE, NOW), DOM_ROLLOUT);
    assert_int_equal(order(&r, DOM_ROLLOUT_ABORT, NOW), DOM_ROLLOUT);
    push(&r, policy, DOM_CHANGE_LOOSENS, 4);
    assert_int_equal(order(&r, DOM_ROLLOUT_PROMOTE, NOW), DOM_OK);
    assert_int_equal(r.phase, DOM_PHASE_REGIONS);
    assert_int_equal(dom_rollout_regions(&r), 1);
    dom_policy_unref(policy);
}

static void a_clock_put_back_holds_longer(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    assert_int_equal(tick(&r, NOW - 100 * HOUR, 1000, 0).action, DOM_ACTION_NONE);
    assert_int_equal(tick(&r, NOW + 2 * HOUR, 1000, 0).action, DOM_ACTION_STEP);
    dom_policy_unref(policy);
}

static void the_table_has_no_way_out_of_rest_but_a_push(void **state)
{
    (void)state;
    assert_false(dom_rollout_may_follow(DOM_PHASE_ENFORCED, DOM_PHASE_ABORTED));
    assert_false(dom_rollout_may_follow(DOM_PHASE_ABORTED, DOM_PHASE_PAUSED));
    assert_false(dom_rollout_may_follow(DOM_PHASE_PAUSED, DOM_PHASE_ENFORCED));
    assert_false(dom_rollout_may_follow(DOM_PHASE_REGIONS, DOM_PHASE_SHADOW));
    assert_false(dom_rollout_may_follow(DOM_PHASE_REGIONS, DOM_PHASE_CANARY));
    for (int p = DOM_PHASE_SHADOW; p <= DOM_PHASE_PAUSED; p++) {
        assert_true(dom_rollout_may_follow((enum dom_rollout_phase)p, DOM_PHASE_ABORTED));
    }
}

static void the_state_survives_its_bytes(void **state)
{
    struct dom_policy *policy = policy_with(s_stages);
    struct dom_rollout r;
    struct dom_rollout back;
    struct dom_buffer out = {0};
    struct dom_slice name;
    (void)state;

    begin(&r);
    push(&r, policy, DOM_CHANGE_TIGHTENS, 4);
    assert_int_equal(order(&r, DOM_ROLLOUT_PAUSE, NOW + 5), DOM_OK);
    r.frozen = true;
    (void)snprintf(r.frozen_reason, sizeof(r.frozen_reason), "court order 7");
    dom_rollout_encode(&r, DOM_SLICE_LIT("base"), &out);
    assert_true(out.len <= DOM_ROLLOUT_STATE_BYTES_MAX);
    assert_int_equal(dom_rollout_decode(&back, &name, dom_buffer_slice(&out), NULL), DOM_OK);
    assert_true(dom_slice_eq_str(name, "base"));
    dom_rollout_plan(&back, policy);
    assert_memory_equal(&back, &r, sizeof(r));
    /* Cut anywhere, it is no state; a changed letter never makes an unsound one. */
    for (size_t len = 0; len < out.len; len++) {
        assert_int_not_equal(dom_rollout_decode(&back, &name, dom_slice_of(out.data, len), NULL),
                             DOM_OK);
    }
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 1;
        if (dom_rollout_decode(&back, &name, dom_buffer_slice(&out), NULL) == DOM_OK) {
            assert_true(back.enforced.version <= back.highest);
            assert_true(back.at < DOM_ROLLOUT_STEPS_MAX);
        }
        out.data[i] ^= 1;
    }
    dom_buffer_cleanup(&out);
    dom_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_no_way_out_of_rest_but_a_push),
        cmocka_unit_test(one_candidate_at_a_time),
        cmocka_unit_test(an_aborted_version_is_burnt),
        cmocka_unit_test(too_few_requests_hold),
        cmocka_unit_test(the_policys_limits_abort),
        cmocka_unit_test(a_loosening_always_begins_in_the_shadow),
        cmocka_unit_test(a_pause_stops_the_clock_and_not_the_abort),
        cmocka_unit_test(promoting_goes_one_step),
        cmocka_unit_test(a_clock_put_back_holds_longer),
        cmocka_unit_test(a_tightening_goes_by_shadow_and_canaries),
        cmocka_unit_test(a_loosening_goes_by_shadow_and_single_regions),
        cmocka_unit_test(the_state_survives_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
