/* What a decision says: one behaviour per test, on changes of one small policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/policy/policy_text.h"

#define PUBLIC UINT64_C(1)
#define IDENTIFIER UINT64_C(2)
#define LOCATION UINT64_C(4)

static struct dom_policy_request request_of(const struct dom_policy *policy, const char *home,
                                            const char *caller)
{
    struct dom_policy_request request = {
        .op = DOM_OP_READ,
        .service = dom_policy_find_service(policy, DOM_SLICE_LIT("feed")),
        .purpose = dom_policy_find_purpose(policy, DOM_SLICE_LIT("moderation")),
        .kind = dom_policy_find_kind(policy, DOM_SLICE_LIT("room")),
        .home = dom_policy_find_country(policy, dom_slice_str(home)),
        .caller = dom_policy_find_country(policy, dom_slice_str(caller)),
        .crosses = true,
        .time_ms = TEST_NOW_MS,
        .classes = PUBLIC | IDENTIFIER | LOCATION,
    };
    return request;
}

static struct dom_policy_decision decide(const struct dom_policy *policy,
                                         const struct dom_policy_request *request)
{
    struct dom_policy_decision decision;

    dom_policy_decide(policy, request, &decision);
    return decision;
}

static void assert_denied(const struct dom_policy *policy,
                          const struct dom_policy_request *request, enum dom_code reason)
{
    struct dom_policy_decision decision = decide(policy, request);

    assert_int_equal(decision.effect, DOM_EFFECT_DENY);
    assert_string_equal(dom_code_reason(decision.reason), dom_code_reason(reason));
    assert_int_equal(decision.withheld, request->classes);
    assert_int_equal(decision.clear | decision.redact | decision.pseudonymise, 0);
}

static void permit_gives_classes_their_obligations(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy_request request = request_of(policy, "DE", "US");
    struct dom_policy_decision decision = decide(policy, &request);

    assert_int_equal(decision.effect, DOM_EFFECT_MODIFY);
    assert_int_equal(decision.reason, DOM_OK);
    assert_int_equal(decision.clear, PUBLIC);
    assert_int_equal(decision.pseudonymise, IDENTIFIER);
    assert_int_equal(decision.redact, LOCATION);
    assert_int_equal(decision.withheld, 0);
    assert_string_equal(dom_policy_rule_name(policy, decision.cell->rule[0]), "permit-1");
    assert_string_equal(dom_policy_rule_name(policy, decision.cell->rule[2]), "forbid-1");
    assert_string_equal(dom_policy_basis_name(policy, decision.cell->basis[1]), "scc");
    assert_string_equal(
        dom_policy_pseudonym_key_name(policy, decision.cell->pseudonym_key[1]), "k1");
    request.classes = PUBLIC;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    dom_policy_unref(policy);
}

static void whatever_is_unknown_is_denied(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    const struct dom_policy_request good = request_of(policy, "DE", "US");
    struct dom_policy_request request = good;

    request.service = DOM_POLICY_NONE;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    request = good;
    request.purpose = DOM_POLICY_NONE;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    request = good;
    request.kind = DOM_POLICY_NONE;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    request = good;
    request.home = DOM_POLICY_NONE;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = good;
    request.caller = DOM_POLICY_NONE;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = good;
    request.home = 9999;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = good;
    request.service = 9999;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    request = good;
    request.op = DOM_OP_STORE;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    request = good;
    request.op = (enum dom_policy_op)17;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    request = good;
    request.classes |= UINT64_C(1) << 40;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = good;
    request.classes = 0;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    dom_policy_unref(policy);
}

static void an_unknown_home_is_denied_inside_one_jurisdiction_too(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy_request request = request_of(policy, "DE", "FR");

    request.crosses = false;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    assert_null(decide(policy, &request).cell);
    request.home = DOM_POLICY_NONE;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    dom_policy_unref(policy);
}

static void inside_one_jurisdiction_only_the_service_is_asked(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("ops = (\"read\", \"list\", \"write\", \"delete\")",
                                          "ops = (\"read\")");
    struct dom_policy_request request = request_of(policy, "DE", "FR");

    request.crosses = false;
    request.purpose = DOM_POLICY_NONE;
    struct dom_policy_decision decision = decide(policy, &request);
    assert_int_equal(decision.effect, DOM_EFFECT_ALLOW);
    assert_int_equal(decision.clear, request.classes);
    request.op = DOM_OP_WRITE;
    assert_denied(policy, &request, DOM_SERVICE_DENIED);
    dom_policy_unref(policy);
}

static void another_purpose_place_or_home_has_no_permit(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy_request request = request_of(policy, "DE", "GB");

    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = request_of(policy, "GB", "US");
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = request_of(policy, "DE", "US");
    request.purpose = dom_policy_find_purpose(policy, DOM_SLICE_LIT("serve"));
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request = request_of(policy, "DE", "US");
    request.op = DOM_OP_LIST;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    dom_policy_unref(policy);
}

static void a_basis_counts_from_its_first_to_the_end_of_its_last_day(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy_request request = request_of(policy, "DE", "US");
    int64_t from = 0;
    int64_t until = 0;

    assert_true(dom_time_parse(DOM_SLICE_LIT("2026-03-01"), true, &from));
    assert_true(dom_time_parse(DOM_SLICE_LIT("2027-07-01"), true, &until));
    request.classes = PUBLIC;
    request.time_ms = from;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    request.time_ms = until - 1;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    request.time_ms = from - 1;
    assert_denied(policy, &request, DOM_BASIS_EXPIRED);
    request.time_ms = until;
    assert_denied(policy, &request, DOM_BASIS_EXPIRED);
    struct dom_policy_decision decision = decide(policy, &request);
    assert_int_equal(decision.cell->expired, PUBLIC | IDENTIFIER);
    assert_string_equal(dom_policy_rule_name(policy, decision.cell->rule[0]), "permit-1");
    assert_int_equal(dom_policy_next_change_ms(policy, from - 1), from);
    assert_int_equal(dom_policy_next_change_ms(policy, from), until);
    assert_int_equal(dom_policy_next_change_ms(policy, until), dom_policy_info(policy)->expires_ms);
    dom_policy_unref(policy);
}

static void an_expired_policy_denies_every_crossing_and_nothing_else(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy_request request = request_of(policy, "DE", "US");

    request.time_ms = dom_policy_info(policy)->expires_ms;
    assert_denied(policy, &request, DOM_POLICY_EXPIRED);
    assert_null(decide(policy, &request).cell);
    request.crosses = false;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    dom_policy_unref(policy);
}

static void a_forbid_beats_a_permit_whatever_the_order(void **unused)
{
    (void)unused;
    static const char *const forbid =
        "{ id = \"f\"; effect = \"forbid\"; classes = (\"public\"); to = (\"west\"); }";
    char first[256];
    char last[256];

    (void)snprintf(first, sizeof(first), "rules = ( %s, ", forbid);
    (void)snprintf(last, sizeof(last), "classes = (\"location\"); }, %s", forbid);
    for (int i = 0; i < 2; i++) {
        struct dom_policy *policy =
            i == 0 ? test_load("rules = (", first) : test_load("classes = (\"location\"); }", last);
        struct dom_policy_request request = request_of(policy, "DE", "US");
        struct dom_policy_decision decision = decide(policy, &request);
        assert_int_equal(decision.clear, 0);
        assert_int_equal(decision.pseudonymise, IDENTIFIER);
        assert_int_equal(decision.cell->forbidden, PUBLIC | LOCATION);
        request.classes = PUBLIC;
        assert_denied(policy, &request, DOM_FORBIDDEN);
        dom_policy_unref(policy);
    }
}

static void uncovered_deny_refuses_the_whole(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        test_load("uncovered_field = \"redact\"", "uncovered_field = \"deny\"");
    struct dom_policy_request request = request_of(policy, "DE", "US");

    assert_denied(policy, &request, DOM_FORBIDDEN);
    request.classes = PUBLIC | IDENTIFIER;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_MODIFY);
    dom_policy_unref(policy);
}

#define WRITES "ops = (\"read\", \"write\", \"delete\"); home"

static void a_write_is_never_partial_and_never_changed(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("ops = (\"read\"); home", WRITES);
    struct dom_policy_request request = request_of(policy, "DE", "US");

    request.op = DOM_OP_WRITE;
    assert_denied(policy, &request, DOM_FORBIDDEN);
    request.classes = PUBLIC | IDENTIFIER;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    request.classes = PUBLIC;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    dom_policy_unref(policy);
}

static void a_delete_carries_no_value_to_change_but_needs_every_permit(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("ops = (\"read\"); home", WRITES);
    struct dom_policy_request request = request_of(policy, "DE", "US");

    request.op = DOM_OP_DELETE;
    assert_denied(policy, &request, DOM_FORBIDDEN);
    request.classes = PUBLIC | IDENTIFIER;
    struct dom_policy_decision decision = decide(policy, &request);
    assert_int_equal(decision.effect, DOM_EFFECT_ALLOW);
    assert_int_equal(decision.clear, request.classes);
    dom_policy_unref(policy);
}

/* A second permit of the same classes, with the given obligations. */
static struct dom_policy *with_second(const char *obligations)
{
    char with[600];

    (void)snprintf(with, sizeof(with),
                   "rules = ( { id = \"second\"; effect = \"permit\"; ops = (\"*\"); home = "
                   "(\"*\"); to = (\"*\"); kinds = (\"*\"); classes = (\"identifier\", "
                   "\"public\"); purposes = (\"*\"); services = (\"*\"); basis = \"scc\"; "
                   "obligations = ( %s ); }, ",
                   obligations);
    return test_load("rules = (", with);
}

static void obligations_unite_and_the_strongest_wins(void **unused)
{
    (void)unused;
    static const struct {
        const char *obligation;
        dom_policy_set redact;
        dom_policy_set pseudonymise;
        dom_policy_set withheld;
        const char *rule;
    } cases[] = {
        {"{ do = \"redact\"; classes = (\"identifier\"); }", IDENTIFIER, 0, 0, "second"},
        {"{ do = \"withhold\"; classes = (\"identifier\"); }", 0, 0, IDENTIFIER, "second"},
        {"{ do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k2\"; }", 0, IDENTIFIER, 0,
         "second"},
        {"{ do = \"limit\"; records = 5; per = \"P1D\"; }", 0, IDENTIFIER, 0, "permit-1"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dom_policy *policy = with_second(cases[i].obligation);
        struct dom_policy_request request = request_of(policy, "DE", "US");
        request.classes = PUBLIC | IDENTIFIER;
        struct dom_policy_decision decision = decide(policy, &request);
        assert_int_equal(decision.effect, DOM_EFFECT_MODIFY);
        assert_int_equal(decision.clear, PUBLIC);
        assert_int_equal(decision.redact, cases[i].redact);
        assert_int_equal(decision.pseudonymise, cases[i].pseudonymise);
        assert_int_equal(decision.withheld, cases[i].withheld);
        assert_string_equal(dom_policy_rule_name(policy, decision.cell->rule[1]), cases[i].rule);
        dom_policy_unref(policy);
    }
}

static void withholding_everything_is_a_denial(void **unused)
{
    (void)unused;
    struct dom_policy *policy = with_second("{ do = \"withhold\"; }");
    struct dom_policy_request request = request_of(policy, "DE", "US");

    request.classes = PUBLIC | IDENTIFIER;
    assert_denied(policy, &request, DOM_NO_PERMIT);
    dom_policy_unref(policy);
}

static void limits_of_every_matching_permit_apply(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        with_second("{ do = \"limit\"; records = 5; per = \"P1M\"; window = \"calendar\"; }, "
                    "{ do = \"limit\"; records = 9; per = \"PT24H\"; count = \"accesses\"; }");
    struct dom_policy_request request = request_of(policy, "DE", "US");
    struct dom_policy_decision decision = decide(policy, &request);

    assert_int_equal(decision.cell->num_limits, 2);
    const struct dom_policy_limit *limits = decision.cell->limits;
    assert_int_equal(limits[0].records, 5);
    assert_true(limits[0].calendar);
    assert_int_equal(limits[0].calendar_unit, 'M');
    assert_true(limits[0].count_subjects);
    assert_int_equal(limits[0].classes, PUBLIC | IDENTIFIER);
    assert_false(limits[1].calendar);
    assert_false(limits[1].count_subjects);
    assert_int_equal(limits[1].period_ms, TEST_DAY_MS);
    assert_string_equal(dom_policy_rule_name(policy, limits[1].rule), "second");
    request.time_ms -= 1000 * TEST_DAY_MS; /* before the basis: its limits do not count */
    assert_int_equal(decide(policy, &request).cell->num_limits, 0);
    dom_policy_unref(policy);
}

static void home_return_holds_only_inside_the_home_jurisdiction(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        test_load("rules = (", "rules = ( { id = \"back\"; effect = \"permit\"; ops = (\"read\"); "
                               "home = (\"*\"); to = (\"*\"); kinds = (\"*\"); classes = "
                               "(\"public\", \"identifier\"); purposes = (\"serve\"); services = "
                               "(\"*\"); basis = \"home_return\"; }, ");
    struct dom_policy_request request = request_of(policy, "DE", "FR");

    request.purpose = dom_policy_find_purpose(policy, DOM_SLICE_LIT("serve"));
    request.classes = PUBLIC | IDENTIFIER;
    assert_int_equal(decide(policy, &request).effect, DOM_EFFECT_ALLOW);
    request.caller = dom_policy_find_country(policy, DOM_SLICE_LIT("US"));
    assert_denied(policy, &request, DOM_NO_PERMIT);
    dom_policy_unref(policy);
}

static void fields_have_classes_and_undeclared_ones_the_kinds(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    dom_policy_id kind = dom_policy_find_kind(policy, DOM_SLICE_LIT("room"));
    dom_policy_id data_class = 0;

    assert_int_equal(
        dom_policy_field_class(policy, kind, DOM_SLICE_LIT("owner"), &data_class),
        DOM_FIELD_DECLARED);
    assert_int_equal(data_class, 1);
    assert_int_equal(
        dom_policy_field_class(policy, kind, DOM_SLICE_LIT("own"), &data_class),
        DOM_FIELD_UNDECLARED);
    assert_int_equal(data_class, 2);
    assert_string_equal(dom_policy_kind_subject(policy, kind), "owner");
    assert_int_equal(dom_policy_kind_classes(policy, kind), PUBLIC | IDENTIFIER | LOCATION);
    dom_policy_unref(policy);
    policy = test_load("unknown_field = \"location\";", "");
    assert_int_equal(
        dom_policy_field_class(policy, kind, DOM_SLICE_LIT("owners"), &data_class),
        DOM_FIELD_REFUSED);
    assert_int_equal(data_class, 2); /* the strictest */
    assert_int_equal(
        dom_policy_field_class(policy, DOM_POLICY_NONE, DOM_SLICE_LIT("owner"), &data_class),
        DOM_FIELD_REFUSED);
    dom_policy_unref(policy);
}

static void names_match_whole_and_exactly(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");

    assert_int_equal(dom_policy_find_region(policy, DOM_SLICE_LIT("eu-1")), 0);
    assert_int_equal(dom_policy_find_region(policy, DOM_SLICE_LIT("eu-")), DOM_POLICY_NONE);
    assert_int_equal(dom_policy_find_region(policy, DOM_SLICE_LIT("eu-11")), DOM_POLICY_NONE);
    assert_int_equal(dom_policy_find_region(policy, DOM_SLICE_LIT("EU-1")), DOM_POLICY_NONE);
    assert_int_equal(dom_policy_find_region(policy, DOM_SLICE_LIT("eu-1\0")), DOM_POLICY_NONE);
    assert_int_equal(dom_policy_find_region(policy, DOM_SLICE_LIT("")), DOM_POLICY_NONE);
    assert_int_equal(dom_policy_find_country(policy, DOM_SLICE_LIT("de")), DOM_POLICY_NONE);
    assert_int_equal(dom_policy_find_country(policy, DOM_SLICE_LIT("JP")), DOM_POLICY_NONE);
    assert_string_equal(dom_policy_region_name(policy, 77), "");
    assert_string_equal(dom_policy_rule_name(policy, DOM_POLICY_NONE), "");
    assert_int_equal(dom_policy_region_country(policy, DOM_POLICY_NONE), DOM_POLICY_NONE);
    assert_string_equal(dom_policy_basis_ref(
                            policy, 2),
                        "SCC-1");
    assert_string_equal(dom_policy_basis_mechanism(policy, DOM_POLICY_NONE), "");
    dom_policy_unref(policy);
}

static void explain_is_six_lines_and_names_rule_line_and_basis(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy_request request = request_of(policy, "DE", "US");
    struct dom_buffer out;
    size_t lines = 0;

    dom_buffer_init(&out, 0);
    dom_policy_explain(policy, &request, &out);
    const char *text = dom_buffer_cstr(&out);
    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, 6);
    assert_non_null(strstr(text, "permit \"permit-1\" at line 21"));
    assert_non_null(strstr(text, "until the end of 2027-06-30"));
    assert_non_null(strstr(text, "identifier pseudonymised with key k1"));
    assert_non_null(strstr(text, "location redacted (forbidden)"));
    dom_buffer_clear(&out);
    dom_policy_explain_json(policy, &request, &out);
    text = dom_buffer_cstr(&out);
    assert_non_null(strstr(text, "\"effect\": \"modify\""));
    assert_non_null(strstr(text, "{\"id\": \"forbid-1\", \"line\": 24, \"effect\": \"forbid\", "
                                 "\"result\": \"decides\", \"classes\": [\"location\"]}"));
    request.service = DOM_POLICY_NONE;
    request.home = DOM_POLICY_NONE;
    dom_buffer_clear(&out);
    dom_policy_explain(policy, &request, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "SERVICE_DENIED"));
    dom_buffer_cleanup(&out);
    dom_policy_unref(policy);
}

static void references_are_counted(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    struct dom_policy *second = dom_policy_ref(policy);

    dom_policy_unref(policy);
    assert_string_equal(dom_policy_info(second)->name, "base");
    assert_int_equal(dom_policy_info(second)->version, 3);
    assert_int_equal(dom_policy_info(second)->num_rules, 2);
    assert_int_equal(strlen(dom_policy_info(second)->sha256_hex), 64);
    dom_policy_unref(second);
    dom_policy_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permit_gives_classes_their_obligations),
        cmocka_unit_test(whatever_is_unknown_is_denied),
        cmocka_unit_test(an_unknown_home_is_denied_inside_one_jurisdiction_too),
        cmocka_unit_test(inside_one_jurisdiction_only_the_service_is_asked),
        cmocka_unit_test(another_purpose_place_or_home_has_no_permit),
        cmocka_unit_test(a_basis_counts_from_its_first_to_the_end_of_its_last_day),
        cmocka_unit_test(an_expired_policy_denies_every_crossing_and_nothing_else),
        cmocka_unit_test(a_forbid_beats_a_permit_whatever_the_order),
        cmocka_unit_test(uncovered_deny_refuses_the_whole),
        cmocka_unit_test(a_write_is_never_partial_and_never_changed),
        cmocka_unit_test(a_delete_carries_no_value_to_change_but_needs_every_permit),
        cmocka_unit_test(obligations_unite_and_the_strongest_wins),
        cmocka_unit_test(withholding_everything_is_a_denial),
        cmocka_unit_test(limits_of_every_matching_permit_apply),
        cmocka_unit_test(home_return_holds_only_inside_the_home_jurisdiction),
        cmocka_unit_test(fields_have_classes_and_undeclared_ones_the_kinds),
        cmocka_unit_test(names_match_whole_and_exactly),
        cmocka_unit_test(explain_is_six_lines_and_names_rule_line_and_basis),
        cmocka_unit_test(references_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
