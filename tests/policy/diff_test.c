/* What a diff says about one known change, how large it says it is, and how long it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "policy/diff.h"
#include "tests/policy/policy_text.h"
#include "tests/policy/random_policy.h"

#if defined(DOM_ASAN) || defined(DOM_TSAN)
#define SECONDS_MAX 20.0
#else
#define SECONDS_MAX 2.0
#endif

/* The base policy against itself with `old` replaced. */
static void diff_of(struct dom_diff *diff, const char *old, const char *with)
{
    struct dom_policy *before = test_load("{ id = ", "{ id = ");
    struct dom_policy *after = test_load(old, with);
    struct dom_error err = {0};

    assert_int_equal(dom_diff_make(diff, before, after, &err), DOM_OK);
    dom_policy_unref(before);
    dom_policy_unref(after);
}

static const struct dom_diff_group *group_of(const struct dom_diff *diff, enum dom_diff_kind kind)
{
    for (size_t i = 0; i < diff->num_groups; i++) {
        if (diff->groups[i].kind == kind) {
            return &diff->groups[i];
        }
    }
    fail_msg("no group of kind %s among %zu", dom_diff_kind_name(kind), diff->num_groups);
    return NULL;
}

static void what_decides_nothing_is_no_difference(void **unused)
{
    (void)unused;
    static const char *const changes[][2] = {
        {"version = 3L", "version = 4L"},
        {"\"permit-1\"", "\"renamed\""},
        {"ref = \"SCC-1\"", "ref = \"SCC-2\"; note = \"renewed\""},
        {"identifier = { rank = 2", "identifier = { rank = 1"},
        {"mechanism = \"GDPR-46\"", "mechanism = \"GDPR-49\""},
        {"(\"GB\", \"US\")", "(\"US\", \"GB\")"},
    };

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct dom_diff diff;
        diff_of(&diff, changes[i][0], changes[i][1]);
        if (diff.num_groups != 0) {
            fail_msg("%s: %s", changes[i][1], diff.groups[0].what);
        }
        assert_false(dom_diff_loosens(&diff));
        dom_diff_cleanup(&diff);
    }
}

static void a_new_op_is_newly_allowed_with_its_rule_and_request(void **unused)
{
    (void)unused;
    struct dom_diff diff;

    diff_of(&diff, "ops = (\"read\"); home", "ops = (\"read\", \"list\"); home");
    assert_true(dom_diff_loosens(&diff));
    /* 3 countries of EEA, 1 goal, 1 kind, 1 op, 1 purpose, 1 service, 1 stretch; 2 classes. */
    assert_int_equal(diff.cells[DOM_DIFF_ALLOWED], 6);
    assert_int_equal(diff.cells[DOM_DIFF_DENIED], 0);
    const struct dom_diff_group *group = group_of(&diff, DOM_DIFF_ALLOWED);
    assert_string_equal(group->new_rule, "permit-1");
    assert_string_equal(group->old_rule, "");
    assert_int_equal(group->new_line, 21);
    assert_string_equal(group->homes, "EEA");
    assert_string_equal(group->tos, "US");
    assert_string_equal(group->ops, "list");
    assert_string_equal(group->purposes, "moderation");
    assert_string_equal(group->dates, "2026-03-01 to 2027-06-30");
    assert_non_null(strstr(group->example, "--op list --service feed --purpose moderation --kind "
                                           "room --home DE --caller US --serves DE --date "
                                           "2026-03-01 --fields "));
    /* Where the basis is not in force the reason changes from NO_PERMIT to BASIS_EXPIRED. */
    assert_int_equal(diff.cells[DOM_DIFF_REASON], 12);
    dom_diff_cleanup(&diff);
}

/* What stands in the base policy, what stands there instead, and what the diff says of it. */
struct change {
    const char *old;
    const char *with;
    enum dom_diff_kind kind; /* DOM_DIFF_KIND_COUNT: no difference */
    bool looser;
};

static const struct change s_changes[] = {
    {"ops = (\"read\"); home", "ops = (\"list\"); home", DOM_DIFF_DENIED, true},
    {"until = \"2027-06-30\"", "until = \"2027-05-31\"", DOM_DIFF_DENIED, false},
    {"until = \"2027-06-30\"", "until = \"2027-07-31\"", DOM_DIFF_ALLOWED, true},
    {"expires = \"2030", "expires = \"2027", DOM_DIFF_DENIED, false},
    {"key = \"k1\"", "key = \"k2\"", DOM_DIFF_OBLIGATION, false},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\";",
     "do = \"redact\"; classes = (\"identifier\");", DOM_DIFF_STRONGER, false},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\";",
     "do = \"limit\"; records = 5; per = \"P1D\";", DOM_DIFF_OBLIGATION, true},
    {"classes = (\"location\")", "classes = (\"location\", \"identifier\")", DOM_DIFF_DENIED,
     false},
    {"{ id = \"forbid-1\"; effect = \"forbid\"; classes = (\"location\"); }",
     "{ id = \"forbid-1\"; effect = \"forbid\"; classes = (\"location\"); to = (\"US\"); }",
     DOM_DIFF_REASON, false},
    {"ops = (\"read\", \"list\", \"write\", \"delete\")", "ops = (\"read\", \"list\", \"write\")",
     DOM_DIFF_DENIED, false},
    {"regions = (\"GB\"); }", "regions = (\"GB\", \"EEA\"); basis = \"scc\"; }",
     DOM_DIFF_PLACE_WIDER, true},
    {"regions = (\"EEA\"); lead = (\"eu-2\"); min_replicas = 2",
     "regions = (\"eu-2\"); lead = (\"eu-2\")", DOM_DIFF_PLACE_NARROWER, false},
    {"lead = (\"eu-2\"); min_replicas = 2", "lead = (\"eu-2\")", DOM_DIFF_PLACE_OTHER, false},
    {"hide_existence = true", "hide_existence = false", DOM_DIFF_SETTING, true},
    {"US = { countries = (\"US\"); };\n  GB = { countries = (\"GB\"); }; }",
     "US = { countries = (\"US\", \"GB\"); }; }", DOM_DIFF_SETTING, true},
    {"owner = \"identifier\"", "owner = \"public\"", DOM_DIFF_WEAKER, true},
    {"owner = \"identifier\"", "owner = \"location\"", DOM_DIFF_DENIED, false},
    {"unknown_field = \"location\"; ", "", DOM_DIFF_SETTING, false},
    {"us-1 = { country = \"US\"", "us-1 = { country = \"GB\"", DOM_DIFF_SETTING, true},
    {"purposes = { serve = {};", "purposes = { serve = {}; extra = {};", DOM_DIFF_KIND_COUNT,
     false},
};

/* A region that moves takes its placement rule along, or the policy would not load. */
static void move_placement(struct dom_buffer *text)
{
    char *at = strstr((char *)(uintptr_t)dom_buffer_cstr(text), "regions = (\"US\")");

    assert_non_null(at);
    memcpy(at, "regions = (\"GB\")", strlen("regions = (\"GB\")"));
    at = strstr(at - 60, "home = (\"US\")");
    assert_non_null(at);
    memcpy(at, "home = (\"GB\")", strlen("home = (\"GB\")"));
}

static struct dom_policy *load_changed(const struct change *change)
{
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;

    dom_buffer_init(&text, 0);
    test_replace(&text, change->old, change->with);
    if (strstr(change->with, "us-1") != NULL) {
        move_placement(&text);
    }
    if (test_compile(&policy, &findings, dom_buffer_slice(&text)) != DOM_OK) {
        fail_msg("%s does not load: %s", change->with, findings.items[0].message);
    }
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    return policy;
}

static void each_change_has_its_kind(void **unused)
{
    (void)unused;

    for (size_t i = 0; i < sizeof(s_changes) / sizeof(s_changes[0]); i++) {
        const struct change *change = &s_changes[i];
        struct dom_policy *before = test_load("{ id = ", "{ id = ");
        struct dom_policy *after = load_changed(change);
        struct dom_error err = {0};
        struct dom_diff diff;

        assert_int_equal(dom_diff_make(&diff, before, after, &err), DOM_OK);
        if (change->kind == DOM_DIFF_KIND_COUNT) {
            assert_int_equal(diff.num_groups, 0);
        } else {
            (void)group_of(&diff, change->kind);
        }
        if (dom_diff_loosens(&diff) != change->looser) {
            fail_msg("%s: loosens is not %d", change->with, change->looser);
        }
        dom_diff_cleanup(&diff);
        dom_policy_unref(before);
        dom_policy_unref(after);
    }
}

/* Both ways round: what one direction allows the other denies, cell by cell. */
static void the_other_way_round_is_the_mirror_image(void **unused)
{
    (void)unused;
    struct dom_policy *before = test_load("{ id = ", "{ id = ");
    struct dom_policy *after = test_load("to = (\"US\")", "to = (\"west\")");
    struct dom_error err = {0};
    struct dom_diff there;
    struct dom_diff back;

    assert_int_equal(dom_diff_make(&there, before, after, &err), DOM_OK);
    assert_int_equal(dom_diff_make(&back, after, before, &err), DOM_OK);
    assert_true(there.cells[DOM_DIFF_ALLOWED] > 0);
    assert_int_equal(there.cells[DOM_DIFF_ALLOWED], back.cells[DOM_DIFF_DENIED]);
    assert_int_equal(there.cells[DOM_DIFF_DENIED], back.cells[DOM_DIFF_ALLOWED]);
    assert_int_equal(there.cells[DOM_DIFF_REASON], back.cells[DOM_DIFF_REASON]);
    dom_diff_cleanup(&there);
    dom_diff_cleanup(&back);
    dom_policy_unref(before);
    dom_policy_unref(after);
}

static void both_prints_tell_every_group(void **unused)
{
    (void)unused;
    struct dom_buffer out;
    struct dom_diff diff;

    dom_buffer_init(&out, 0);
    diff_of(&diff, "ops = (\"read\"); home", "ops = (\"read\", \"list\"); home");
    dom_diff_print(&diff, "old.cfg", "new.cfg", &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "old.cfg -> new.cfg: +6 newly allowed, "));
    assert_non_null(strstr(dom_buffer_cstr(&out), "is by    \"permit-1\" (new.cfg:21)"));
    dom_buffer_clear(&out);
    dom_diff_print_json(&diff, "old.cfg", "new.cfg", &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "\"loosens\": true"));
    assert_non_null(strstr(dom_buffer_cstr(&out), "\"new_rule\": \"permit-1\", \"new_line\": 21"));
    dom_diff_cleanup(&diff);
    dom_buffer_clear(&out);
    diff_of(&diff, "version = 3L", "version = 4L");
    dom_diff_print(&diff, "old.cfg", "new.cfg", &out);
    assert_string_equal(dom_buffer_cstr(&out),
                        "old.cfg -> new.cfg: no decision and no placement differs\n");
    dom_diff_cleanup(&diff);
    dom_buffer_cleanup(&out);
}

/* A large policy and its text, which must load. */
static struct dom_policy *load_large(uint64_t *state, struct dom_buffer *text)
{
    struct dom_policy *policy = NULL;

    for (int tries = 0; tries < 200 && policy == NULL; tries++) {
        struct dom_findings findings = {0};
        dom_buffer_clear(text);
        random_large_policy(text, state);
        if (test_compile(&policy, &findings, dom_buffer_slice(text)) != DOM_OK) {
            policy = NULL;
        }
        dom_findings_cleanup(&findings);
    }
    assert_non_null(policy);
    return policy;
}

/* The processor's time and not the clock's: other tests run at the same time. */
static size_t timed_diff(const struct dom_policy *before, const struct dom_policy *after,
                         double seconds_max)
{
    struct dom_error err = {0};
    struct dom_diff diff;
    clock_t start = clock();

    assert_int_equal(dom_diff_make(&diff, before, after, &err), DOM_OK);
    double took = (double)(clock() - start) / CLOCKS_PER_SEC;
    size_t num = diff.num_groups;
    print_message("%zu groups in %.3f s\n", num, took);
    assert_true(took < seconds_max);
    dom_diff_cleanup(&diff);
    return num;
}

static void a_change_of_a_large_policy_takes_less_than_two_seconds(void **unused)
{
    (void)unused;
    static const char *const changes[][2] = {
        {"ops = (\"read\", \"list\")", "ops = (\"read\", \"write\")"},
        {"2028-01-01", "2027-01-01"},
        {"uncovered_field = \"redact\"", "uncovered_field = \"deny\""},
    };
    struct dom_buffer text;
    uint64_t state = 7;

    dom_buffer_init(&text, 0);
    struct dom_policy *before = load_large(&state, &text);
    assert_int_equal(timed_diff(before, before, SECONDS_MAX), 0);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const char *all = dom_buffer_cstr(&text);
        const char *at = strstr(all, changes[i][0]);
        struct dom_findings findings = {0};
        struct dom_policy *after = NULL;
        struct dom_buffer changed;
        if (at == NULL) {
            continue;
        }
        dom_buffer_init(&changed, 0);
        dom_buffer_append(&changed, all, (size_t)(at - all));
        dom_buffer_append_str(&changed, changes[i][1]);
        dom_buffer_append_str(&changed, at + strlen(changes[i][0]));
        assert_int_equal(test_compile(&after, &findings, dom_buffer_slice(&changed)), DOM_OK);
        assert_true(timed_diff(before, after, SECONDS_MAX) > 0);
        dom_findings_cleanup(&findings);
        dom_buffer_cleanup(&changed);
        dom_policy_unref(after);
    }
    dom_policy_unref(before);
    dom_buffer_cleanup(&text);
}

#if !defined(DOM_ASAN) && !defined(DOM_TSAN)
/* Two that have nothing in common but their names, and every service may ask everything: the
 * worst there is takes longer, but ends. */
static void two_strange_large_policies_are_compared(void **unused)
{
    (void)unused;
    struct dom_buffer text;
    uint64_t state = 7;

    dom_buffer_init(&text, 0);
    struct dom_policy *before = load_large(&state, &text);
    struct dom_policy *after = load_large(&state, &text);
    assert_true(timed_diff(before, after, 10 * SECONDS_MAX) > 1000);
    dom_policy_unref(before);
    dom_policy_unref(after);
    dom_buffer_cleanup(&text);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decides_nothing_is_no_difference),
        cmocka_unit_test(a_new_op_is_newly_allowed_with_its_rule_and_request),
        cmocka_unit_test(each_change_has_its_kind),
        cmocka_unit_test(the_other_way_round_is_the_mirror_image),
        cmocka_unit_test(both_prints_tell_every_group),
        cmocka_unit_test(a_change_of_a_large_policy_takes_less_than_two_seconds),
#if !defined(DOM_ASAN) && !defined(DOM_TSAN)
        cmocka_unit_test(two_strange_large_policies_are_compared),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
