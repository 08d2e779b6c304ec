/* The runner of policy tests: passes what holds, fails what does not, refuses what is no test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "policy/expect.h"
#include "tests/policy/policy_text.h"

static char s_folder[64];

static int make_folder(void **unused)
{
    (void)unused;
    (void)snprintf(s_folder, sizeof(s_folder), "/tmp/policy_expect_XXXXXX");
    return mkdtemp(s_folder) == NULL ? -1 : 0;
}

static void path_of(const char *name, char *out, size_t out_size)
{
    (void)snprintf(out, out_size, "%s/%s", s_folder, name);
}

static int drop_folder(void **unused)
{
    (void)unused;
    char path[128];
    path_of("policy.cfg", path, sizeof(path));
    (void)unlink(path);
    path_of("policy_test.cfg", path, sizeof(path));
    (void)unlink(path);
    return rmdir(s_folder);
}

static enum dom_code run(struct dom_expect_report *report, const char *cases)
{
    struct dom_error err = {0};
    struct dom_buffer text;
    char path[128];

    path_of("policy.cfg", path, sizeof(path));
    assert_int_equal(
        dom_file_write_atomic(path, dom_slice_str(test_policy_text), 0600, &err), DOM_OK);
    path_of("policy_test.cfg", path, sizeof(path));
    dom_buffer_init(&text, 0);
    dom_buffer_printf(&text, "policy = \"policy.cfg\";\ncases = (\n%s);\n", cases);
    assert_int_equal(dom_file_write_atomic(path, dom_buffer_slice(&text), 0600, &err), DOM_OK);
    dom_buffer_cleanup(&text);
    return dom_expect_run(report, path, TEST_NOW_MS, &err);
}

#define ASK                                                                            \
    "{ name = \"case\"; why = \"law\"; op = \"read\"; service = \"feed\"; purpose = "  \
    "\"moderation\"; kind = \"room\"; home = \"DE\"; caller = \"us-1\"; date = "       \
    "\"2026-11-22\"; fields = (\"title\", \"owner\", \"place\"); expect = "
#define PLACE                                                                          \
    "{ name = \"place\"; place = { kind = \"room\"; home = \"DE\"; date = \"2026-11-22\"; }; expect = "

static void what_holds_passes(void **unused)
{
    (void)unused;
    static const char *const cases[] = {
        ASK "{ effect = \"modify\"; clear = (\"title\"); pseudonymise = (\"owner\"); redact = "
            "(\"place\"); withheld = (); rules = (\"permit-1\", \"forbid-1\"); reason = \"OK\"; }; }",
        ASK "{ effect = \"modify\"; }; }",
        PLACE "{ lead = \"eu-2\"; regions = ( { class = \"identifier\"; in = (\"eu-1\"); not_in = "
              "(\"us-1\"); only = (\"eu-1\", \"eu-2\"); min_replicas = 2; rule = \"eea\"; } ); "
              "in = (\"eu-1\", \"eu-2\"); not_in = (\"gb-1\"); sync = (\"eu-1\"); }; }",
        "{ name = \"at home\"; op = \"read\"; service = \"feed\"; kind = \"room\"; home = \"DE\"; "
        "caller = \"eu-1\"; date = \"2026-11-22\"; fields = (\"place\"); expect = { effect = "
        "\"allow\"; }; }",
        "{ name = \"served abroad\"; op = \"read\"; service = \"feed\"; purpose = \"serve\"; kind = "
        "\"room\"; home = \"DE\"; caller = \"eu-1\"; serves = \"us-1\"; date = \"2026-11-22\"; "
        "fields = (\"title\"); expect = { effect = \"deny\"; reason = \"NO_PERMIT\"; }; }",
        "{ name = \"lapsed\"; op = \"read\"; service = \"feed\"; purpose = \"moderation\"; kind = "
        "\"room\"; home = \"DE\"; caller = \"us-1\"; date = \"2027-07-01\"; fields = (\"title\"); "
        "expect = { effect = \"deny\"; reason = \"BASIS_EXPIRED\"; withheld = (\"title\"); }; }",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dom_expect_report report;
        assert_int_equal(run(&report, cases[i]), DOM_OK);
        assert_int_equal(report.num_cases, 1);
        if (report.num_passed != 1) {
            fail_msg("%s: %s", report.cases[0].name, report.cases[0].detail);
        }
        dom_expect_cleanup(&report);
    }
}

static void what_does_not_hold_fails_and_says_why(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *detail;
    } cases[] = {
        {ASK "{ effect = \"allow\"; }; }", "expected allow, got modify (OK) by permit \"permit-1\" at"},
        {ASK "{ effect = \"modify\"; reason = \"NO_PERMIT\"; }; }", "expected reason NO_PERMIT, got OK"},
        {ASK "{ effect = \"modify\"; clear = (\"owner\"); }; }",
         "field owner (identifier): expected clear, got pseudonymise by permit \"permit-1\" at "},
        {ASK "{ effect = \"modify\"; clear = (); }; }",
         "field title (public): expected not clear, got clear"},
        {ASK "{ effect = \"modify\"; redact = (\"place\", \"ip\"); }; }",
         "field ip: expected redact, but the case does not ask for it"},
        {ASK "{ effect = \"modify\"; rules = (\"forbid-2\"); }; }",
         "expected rule \"forbid-2\" to decide"},
        {ASK "{ reason = \"OK\"; }; }", "the case expects no effect"},
        {PLACE "{ lead = \"eu-1\"; }; }", "expected lead \"eu-1\", got \"eu-2\""},
        {PLACE "{ regions = ( { class = \"public\"; in = (\"us-1\"); } ); }; }",
         "public: expected in us-1, but it may not lie there by \"eea\""},
        {PLACE "{ regions = ( { class = \"public\"; not_in = (\"eu-1\"); } ); }; }",
         "public: expected not in eu-1, but it may lie there"},
        {PLACE "{ regions = ( { class = \"public\"; only = (\"eu-1\"); } ); }; }",
         "public: expected not in eu-2"},
        {PLACE "{ regions = ( { class = \"publik\"; } ); }; }", "is no data class"},
        {PLACE "{ in = (\"mars-1\"); }; }", "\"mars-1\" is no region"},
        {PLACE "{ sync = (\"us-1\"); }; }", "sync regions differ"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dom_expect_report report;
        struct dom_buffer out;
        assert_int_equal(run(&report, cases[i].text), DOM_OK);
        assert_int_equal(report.num_passed, 0);
        if (strstr(report.cases[0].detail, cases[i].detail) == NULL) {
            fail_msg("case %zu says: %s", i, report.cases[0].detail);
        }
        assert_int_equal(report.cases[0].line, 3);
        dom_buffer_init(&out, 0);
        dom_expect_print(&report, true, &out);
        assert_non_null(strstr(dom_buffer_cstr(&out), "1 cases, 0 passed, 1 failed"));
        dom_buffer_clear(&out);
        dom_expect_print_tap(&report, true, &out);
        assert_non_null(strstr(dom_buffer_cstr(&out), "\nnot ok 1 - "));
        dom_buffer_clear(&out);
        dom_expect_print_json(&report, true, &out);
        assert_non_null(strstr(dom_buffer_cstr(&out), "\"passed\": 0, \"failed\": 1"));
        dom_buffer_cleanup(&out);
        dom_expect_cleanup(&report);
    }
}

static void coverage_names_the_rules_without_a_case(void **unused)
{
    (void)unused;
    struct dom_expect_report report;
    struct dom_buffer out;

    assert_int_equal(run(&report, ASK "{ effect = \"modify\"; }; }"), DOM_OK);
    assert_int_equal(report.rule_uses[0], 1);
    assert_int_equal(report.rule_uses[1], 1);
    assert_int_equal(report.placement_uses[0], 0);
    dom_buffer_init(&out, 0);
    dom_expect_print(&report, true, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "coverage: 2 of 2 rules, 0 of 3 placement"));
    assert_non_null(strstr(dom_buffer_cstr(&out), "no case rests on placement \"eea\""));
    dom_buffer_cleanup(&out);
    dom_expect_cleanup(&report);
}

static void what_is_no_test_is_refused(void **unused)
{
    (void)unused;
    static const char *const cases[] = {
        "{ nam = \"x\"; expect = { effect = \"deny\"; }; }",
        "{ name = \"x\"; expect = { effect = \"maybe\"; }; }",
        "{ name = \"x\"; }",
        "{ name = \"x\"; op = \"store\"; expect = { effect = \"deny\"; }; }",
        "{ name = \"x\"; date = \"2026-02-30\"; expect = { effect = \"deny\"; }; }",
        "{ name = \"x\" \"y\"; expect = { effect = \"deny\"; }; }",
        "{ name = \"x\"; expect = ",
    };
    struct dom_expect_report report;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(run(&report, cases[i]), DOM_PARSE);
        assert_true(report.findings.num_items > 0);
        dom_expect_cleanup(&report);
    }
    assert_int_equal(dom_expect_run(&report, "/nonexistent/x_test.cfg", TEST_NOW_MS, NULL), DOM_IO);
    dom_expect_cleanup(&report);
}

static void the_shipped_policy_keeps_its_cases(void **unused)
{
    (void)unused;
    struct dom_expect_report report;
    struct dom_error err = {0};
    enum dom_code rc = dom_expect_run(&report, "policy/global-live/policy_test.cfg", TEST_NOW_MS,
                                      &err);
    struct dom_buffer out;

    assert_int_equal(rc, DOM_OK);
    dom_buffer_init(&out, 0);
    if (report.num_passed != report.num_cases) {
        dom_expect_print(&report, false, &out);
        fail_msg("%s", dom_buffer_cstr(&out));
    }
    assert_true(report.num_cases > 100);
    dom_buffer_cleanup(&out);
    dom_expect_cleanup(&report);
}

static void print_of(const char *cases, bool coverage, struct dom_buffer *out)
{
    struct dom_expect_report report;

    dom_buffer_init(out, 0);
    assert_int_equal(run(&report, cases), DOM_OK);
    dom_expect_print(&report, coverage, out);
    dom_expect_cleanup(&report);
}

static void coverage_names_the_cells_of_permits_without_a_case(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    print_of(ASK "{ effect = \"modify\"; }; }", true, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "coverage of permits: 2 of 2 cells"));
    assert_null(strstr(dom_buffer_cstr(&out), "no case for"));
    dom_buffer_cleanup(&out);
    print_of("{ name = \"one\"; op = \"read\"; service = \"feed\"; purpose = \"moderation\"; kind = "
             "\"room\"; home = \"DE\"; caller = \"us-1\"; date = \"2026-11-22\"; "
             "fields = (\"owner\"); expect = { effect = \"modify\"; }; }",
             true, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "coverage of permits: 1 of 2 cells"));
    assert_non_null(strstr(dom_buffer_cstr(&out), ": 1 of 2; no case for read room (public)\n"));
    dom_buffer_cleanup(&out);
}

static void a_permit_that_no_case_rests_on_is_a_warning(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    print_of(ASK "{ effect = \"modify\"; }; }", false, &out);
    assert_null(strstr(dom_buffer_cstr(&out), "warning"));
    dom_buffer_cleanup(&out);
    /* After its basis has ended the permit is named by the denial, but nothing rests on it. */
    print_of("{ name = \"lapsed\"; op = \"read\"; service = \"feed\"; purpose = \"moderation\"; kind = "
             "\"room\"; home = \"DE\"; caller = \"us-1\"; date = \"2027-07-01\"; fields = "
             "(\"title\"); expect = { effect = \"deny\"; }; }",
             false, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "warning: permit \"permit-1\" ("));
    assert_non_null(strstr(dom_buffer_cstr(&out), ") has no test\n"));
    dom_buffer_cleanup(&out);
    struct dom_expect_report report;
    assert_int_equal(run(&report, "{ name = \"lapsed\"; op = \"read\"; service = \"feed\"; purpose = "
                                  "\"moderation\"; kind = \"room\"; home = \"DE\"; caller = \"us-1\"; "
                                  "date = \"2027-07-01\"; fields = (\"title\"); expect = { effect = "
                                  "\"deny\"; }; }"),
                     DOM_OK);
    dom_buffer_init(&out, 0);
    dom_expect_print_json(&report, false, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "\"untested_permits\": [\"permit-1\"]"));
    dom_buffer_clear(&out);
    dom_expect_print_tap(&report, false, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "# warning: permit \"permit-1\" ("));
    dom_buffer_cleanup(&out);
    dom_expect_cleanup(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_holds_passes),
        cmocka_unit_test(what_does_not_hold_fails_and_says_why),
        cmocka_unit_test(coverage_names_the_rules_without_a_case),
        cmocka_unit_test(coverage_names_the_cells_of_permits_without_a_case),
        cmocka_unit_test(a_permit_that_no_case_rests_on_is_a_warning),
        cmocka_unit_test(what_is_no_test_is_refused),
        cmocka_unit_test(the_shipped_policy_keeps_its_cases),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
