/* Two policies side by side: what is the same, what is not, and what cannot be asked. */
#include "router/core/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router/core/answer.h"
#include "tests/router/core/harness.h"

struct two {
    struct dom_policy *before;
    struct dom_policy *after;
    struct dom_tally *tally;
    struct dom_trial *trial; /* from `before` to `after` */
};

/* The harness's policy, and the same with the first `old` replaced. */
static struct two two_of(const char *old, const char *with)
{
    const char *found = strstr(core_policy_text, old);
    struct dom_buffer text = {0};
    struct two two = {.before = core_compile(core_policy_text)};

    assert_non_null(found);
    dom_buffer_append(&text, core_policy_text, (size_t)(found - core_policy_text));
    dom_buffer_append_str(&text, with);
    dom_buffer_append_str(&text, found + strlen(old));
    two.after = core_compile(dom_buffer_cstr(&text));
    two.tally = dom_tally_new();
    two.trial = dom_trial_new(two.before, two.after, two.tally, false);
    dom_buffer_cleanup(&text);
    return two;
}

static void drop(struct two *two)
{
    dom_trial_unref(two->trial);
    dom_tally_unref(two->tally);
    dom_policy_unref(two->before);
    dom_policy_unref(two->after);
}

static dom_policy_set class_of(const struct dom_policy *policy, const char *name)
{
    dom_policy_id id = dom_policy_find_class(policy, dom_slice_str(name));

    assert_int_not_equal(id, DOM_POLICY_NONE);
    return UINT64_C(1) << id;
}

static struct dom_policy_request request_of(const struct dom_policy *policy, dom_policy_set classes)
{
    return (struct dom_policy_request){
        .op = DOM_OP_READ,
        .service = dom_policy_find_service(policy, DOM_SLICE_LIT("moderation")),
        .purpose = dom_policy_find_purpose(policy, DOM_SLICE_LIT("moderation")),
        .kind = dom_policy_find_kind(policy, DOM_SLICE_LIT("live_room")),
        .home = dom_policy_find_country(policy, DOM_SLICE_LIT("DE")),
        .caller = dom_policy_find_country(policy, DOM_SLICE_LIT("US")),
        .crosses = true,
        .time_ms = NOW,
        .classes = classes,
    };
}

static struct dom_trial_verdict compare(const struct two *two, dom_policy_set classes)
{
    struct dom_policy_request request = request_of(two->before, classes);
    struct dom_policy_decision decision;
    struct dom_trial_verdict verdict;

    dom_policy_decide(two->before, &request, &decision);
    dom_trial_compare(two->trial, &request, &decision, &verdict);
    return verdict;
}

static void the_same_policy_never_disagrees(void **state)
{
    struct two two = two_of("version = 3L", "version = 4L");
    (void)state;

    for (dom_policy_set classes = 0; classes < 256; classes++) {
        struct dom_trial_verdict verdict = compare(&two, classes);
        assert_false(verdict.disagrees);
        assert_false(verdict.error);
    }
    drop(&two);
}

/* Other numbers for the same names: a class, a service and a country before all others. */
static void names_join_the_two(void **state)
{
    struct two two =
        two_of("data_classes = { public", "data_classes = { extra = { rank = 0; }; public");
    (void)state;

    assert_int_not_equal(class_of(two.before, "content"), class_of(two.after, "content"));
    for (dom_policy_set classes = 0; classes < 256; classes++) {
        assert_false(compare(&two, classes).disagrees);
    }
    drop(&two);
}

static void what_is_taken_away_is_a_new_deny(void **state)
{
    struct two two =
        two_of("classes = (\"location\"); }", "classes = (\"location\", \"content\"); }");
    (void)state;

    /* The whole, where it was all that was asked for; a part, where something else passes. */
    struct dom_trial_verdict all = compare(&two, class_of(two.before, "content"));
    struct dom_trial_verdict part =
        compare(&two, class_of(two.before, "content") | class_of(two.before, "public"));
    assert_true(all.disagrees && all.new_deny && !all.new_allow);
    assert_int_equal(all.decision.effect, DOM_EFFECT_DENY);
    assert_true(part.disagrees && part.new_deny && !part.new_allow);
    assert_int_equal(part.decision.effect, DOM_EFFECT_MODIFY);
    assert_false(compare(&two, class_of(two.before, "public")).disagrees);
    drop(&two);
}

static void what_is_given_anew_is_a_new_allow(void **state)
{
    struct two two = two_of("until = \"2026-06-30\"", "until = \"2028-06-30\"");
    (void)state;

    struct dom_trial_verdict verdict = compare(&two, class_of(two.before, "payment"));
    assert_true(verdict.disagrees && verdict.new_allow && !verdict.new_deny);
    drop(&two);
}

/* Another obligation is a disagreement, and neither more nor less given when a value still goes. */
static void another_transform_is_neither(void **state)
{
    struct two two = two_of(
        "{ do = \"pseudonymise\"; classes = (\"identifier\"); key = \"eea_export\"; },\n", "");
    (void)state;

    struct dom_trial_verdict verdict = compare(&two, class_of(two.before, "identifier"));
    assert_true(verdict.disagrees);
    assert_false(verdict.new_deny || verdict.new_allow || verdict.error);
    drop(&two);
}

/* A field in another class is followed by its name. */
static void a_field_of_another_class_is_followed(void **state)
{
    struct two two = two_of("title = \"content\"", "title = \"location\"");
    (void)state;

    struct dom_trial_verdict verdict = compare(&two, class_of(two.before, "content"));
    assert_true(verdict.new_deny);
    assert_true((verdict.request.classes & class_of(two.after, "location")) != 0);
    drop(&two);
}

static void what_cannot_be_asked_is_an_error(void **state)
{
    struct two two = two_of("\"FR\", \"GR\"", "\"FR\", \"AT\"");
    struct dom_policy_request request = request_of(two.before, class_of(two.before, "content"));
    struct dom_policy_decision decision;
    struct dom_trial_verdict verdict;
    (void)state;

    request.home = dom_policy_find_country(two.before, DOM_SLICE_LIT("GR"));
    dom_policy_decide(two.before, &request, &decision);
    dom_trial_compare(two.trial, &request, &decision, &verdict);
    assert_true(verdict.error && verdict.disagrees && verdict.new_deny);
    drop(&two);
}

/* Seen from the candidate the same words have the same meaning. */
static void the_candidates_side_turns_it_round(void **state)
{
    struct two two =
        two_of("classes = (\"location\"); }", "classes = (\"location\", \"content\"); }");
    struct dom_trial *back = dom_trial_new(two.after, two.before, two.tally, true);
    struct dom_policy_request request = request_of(two.after, class_of(two.after, "content"));
    struct dom_policy_decision decision;
    struct dom_trial_verdict verdict;
    (void)state;

    dom_policy_decide(two.after, &request, &decision);
    dom_trial_compare(back, &request, &decision, &verdict);
    assert_true(verdict.new_deny && !verdict.new_allow);
    dom_trial_count(back, &verdict);
    assert_int_equal(atomic_load(&two.tally->requests), 1);
    assert_int_equal(atomic_load(&two.tally->new_denies), 1);
    assert_int_equal(atomic_load(&two.tally->new_allows), 0);
    dom_trial_unref(back);
    drop(&two);
}

static void a_share_is_sticky_and_about_as_large_as_said(void **state)
{
    static const uint8_t s_percents[] = {0, 1, 10, 50, 99, 100};
    struct two two = two_of("version = 3L", "version = 4L");
    bool before[10000] = {false};
    (void)state;

    for (size_t p = 0; p < DOM_ARRAY_LEN(s_percents); p++) {
        unsigned picked = 0;
        two.trial->percent = s_percents[p];
        for (unsigned i = 0; i < 10000; i++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "r%u", i);
            bool is = dom_trial_picks(two.trial, DOM_SLICE_LIT("live_room"), dom_slice_str(id));
            assert_false(before[i] && !is); /* a larger share keeps those of the smaller one */
            before[i] = is;
            picked += is ? 1 : 0;
        }
        assert_in_range(picked, s_percents[p] * 80, s_percents[p] * 120);
    }
    drop(&two);
}

static double ns_of(struct timespec from, struct timespec to, unsigned rounds)
{
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / rounds;
}

/* What a roll-out costs a request, beside the decision itself. Told, not judged: machines differ.
 */
static void the_cost_of_asking_twice(void **state)
{
    struct two two =
        two_of("classes = (\"location\"); }", "classes = (\"location\", \"content\"); }");
    struct dom_policy_request request = request_of(
        two.before, class_of(two.before, "public") | class_of(two.before, "content") |
                        class_of(two.before, "identifier") | class_of(two.before, "network"));
    struct dom_policy_decision decision;
    struct dom_trial_verdict verdict;
    struct timespec at[3];
    const unsigned rounds = 2000000;
    (void)state;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at[0]);
    for (unsigned i = 0; i < rounds; i++) {
        request.home = (dom_policy_id)(i & 1);
        dom_policy_decide(two.before, &request, &decision);
    }
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at[1]);
    for (unsigned i = 0; i < rounds; i++) {
        request.home = (dom_policy_id)(i & 1);
        dom_policy_decide(two.before, &request, &decision);
        dom_trial_compare(two.trial, &request, &decision, &verdict);
        dom_trial_count(two.trial, &verdict);
    }
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at[2]);
    print_message("decide %.0f ns; decide, compare and count %.0f ns\n",
                  ns_of(at[0], at[1], rounds), ns_of(at[1], at[2], rounds));
    assert_int_equal(atomic_load(&two.tally->requests), rounds);
    drop(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_asked_is_an_error),
        cmocka_unit_test(what_is_taken_away_is_a_new_deny),
        cmocka_unit_test(what_is_given_anew_is_a_new_allow),
        cmocka_unit_test(another_transform_is_neither),
        cmocka_unit_test(a_field_of_another_class_is_followed),
        cmocka_unit_test(the_candidates_side_turns_it_round),
        cmocka_unit_test(the_same_policy_never_disagrees),
        cmocka_unit_test(names_join_the_two),
        cmocka_unit_test(a_share_is_sticky_and_about_as_large_as_said),
        cmocka_unit_test(the_cost_of_asking_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
