/* Counting what a policy would change: each sort of flip, what cannot be asked, limits, sums. */
#include "tools/impact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/impact_print.h"

#define HEAD(version)                                                                            \
    "policy = { schema = 1; name = \"t\"; version = " version "L;\n"                              \
    "  expires = \"2030-01-01T00:00:00Z\";\n"                                                     \
    "  change = { ticket = \"T\"; reason = \"r\"; author = \"a\"; }; };\n"                         \
    "jurisdictions = { EEA = { countries = (\"DE\", \"FR\"); }; US = { countries = (\"US\"); }; };\n" \
    "data_classes = { content = { rank = 1; }; name = { rank = 2; personal = true; };\n"           \
    "  net = { rank = 3; personal = true; }; };\n"                                                 \
    "purposes = { serve = {}; };\n"                                                                \
    "services = { feed = { kinds = (\"*\"); ops = (\"*\"); purposes = (\"*\"); }; };\n"             \
    "kinds = { room = { fields = { title = \"content\"; owner = \"name\"; ip = \"net\"; };\n"       \
    "  unknown_field = \"net\"; }; };\n"                                                           \
    "bases = { scc = { mechanism = \"M\"; ref = \"R\"; from = \"2026-01-01\"; }; };\n"
#define REGIONS "regions = { eu-1 = { country = \"DE\"; }; us-1 = { country = \"US\"; }; };\n"
#define PLACES                                                                                \
    "placement = ( { id = \"eea\"; home = (\"EEA\"); classes = (\"*\"); regions = (\"EEA\"); },\n" \
    "  { id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); } );\n"
#define RULE(classes, more)                                                                   \
    "rules = ( { id = \"out\"; effect = \"permit\"; ops = (\"read\", \"write\"); home = (\"EEA\");\n" \
    "  to = (\"US\"); kinds = (\"room\"); classes = (" classes "); purposes = (\"serve\");\n"       \
    "  services = (\"feed\"); basis = \"scc\"; " more "} );\n"

/* 2026-11-22T10:00:00Z */
#define TIME "1795341600000"

static struct dom_policy *load(const char *text)
{
    struct dom_policy_load_options options = {.name = "t", .now_ms = INT64_C(1770000000000)};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};

    if (dom_policy_compile(&policy, &findings, dom_slice_str(text), &options, &err) != DOM_OK) {
        struct dom_buffer out = {0};
        dom_findings_print(&findings, "t", dom_slice_str(text), &out);
        fail_msg("%s\n%s", err.message, dom_buffer_cstr(&out));
    }
    dom_findings_cleanup(&findings);
    return policy;
}

/* An entry of a read of title and owner by `service` from the US. */
static const char *entry(const char *service, const char *effect, const char *reason,
                         const char *owner_handling)
{
    static char text[1024];

    (void)snprintf(text, sizeof(text),
                   "{\"actor\":{\"country\":\"US\",\"id\":\"insecure:%s\"},"
                   "\"decision\":{\"effect\":\"%s\",\"reason\":\"%s\",\"time\":" TIME "},"
                   "\"fields\":[{\"c\":\"content\",\"h\":\"clear\",\"n\":\"title\"},"
                   "{\"c\":\"name\",\"h\":\"%s\",\"n\":\"owner\"}],"
                   "\"id\":\"019ad3c2-7c1a-7b3e-8f51-2a6d9e0c4b11\",\"op\":\"read\","
                   "\"purpose\":\"serve\",\"record\":{\"home\":\"DE\",\"kind\":\"room\","
                   "\"region\":\"eu-1\"},\"transfer\":{\"to\":\"US\"},\"type\":\"%s\"}",
                   service, effect, reason, owner_handling,
                   strcmp(effect, "deny") == 0 ? "deny" : "access");
    return text;
}

static void take(struct dom_impact *impact, const char *text)
{
    dom_impact_entry(impact, "eu-1", impact->num_entries, dom_slice_str(text));
}

/* Each sort of flip, told by what the caller gets. */
static void every_sort_of_flip_is_told_apart(void **unused)
{
    static const struct {
        const char *policy;
        const char *effect;
        const char *owner;
        int flip; /* -1: none */
    } cases[] = {
        {HEAD("1") REGIONS PLACES RULE("\"content\", \"name\"", ""), "allow", "clear", -1},
        {HEAD("1") REGIONS PLACES RULE("\"net\"", ""), "allow", "clear", DOM_IMPACT_DENIED},
        {HEAD("1") REGIONS PLACES RULE("\"content\"", ""), "deny", "drop", DOM_IMPACT_ALLOWED},
        {HEAD("1") REGIONS PLACES RULE("\"net\"", ""), "deny", "drop", -1},
        {HEAD("1") REGIONS PLACES RULE("\"content\"", ""), "allow", "clear", DOM_IMPACT_LESS},
        {HEAD("1") REGIONS PLACES RULE("\"content\"", ""), "modify", "redact", -1},
        {HEAD("1") REGIONS PLACES RULE("\"content\", \"name\"", ""), "modify", "redact",
         DOM_IMPACT_MORE},
        {HEAD("1") REGIONS PLACES RULE("\"name\"", ""), "modify", "redact", DOM_IMPACT_BOTH},
        {HEAD("1") REGIONS PLACES RULE("\"content\", \"name\"",
                                       "obligations = ( { do = \"pseudonymise\";"
                                       " classes = (\"name\"); key = \"k\"; } ); "),
         "allow", "clear", DOM_IMPACT_LESS},
        {HEAD("1") "regions = { eu-1 = { country = \"US\"; }; };\n"
                   "placement = ( { id = \"us\"; home = (\"US\"); classes = (\"*\"); regions ="
                   " (\"US\"); } );\n" RULE("\"content\", \"name\"", ""),
         "allow", "clear", DOM_IMPACT_BORDER},
    };

    (void)unused;
    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        struct dom_policy *policy = load(cases[i].policy);
        struct dom_impact impact;
        uint64_t sum = 0;
        dom_impact_init(&impact, policy, 0);
        take(&impact, entry("feed", cases[i].effect,
                            strcmp(cases[i].effect, "deny") == 0 ? "NO_PERMIT" : "PERMIT",
                            cases[i].owner));
        assert_int_equal(impact.num_replayed, 1);
        for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
            sum += impact.flips[flip];
            if (impact.flips[flip] != (flip == cases[i].flip ? 1U : 0U)) {
                fail_msg("case %zu: %s", i, dom_impact_flip_words((enum dom_impact_flip)flip));
            }
        }
        assert_int_equal(sum, cases[i].flip < 0 ? 0 : 1);
        if (sum > 0) {
            const struct dom_impact_example *example =
                &impact.groups[0].examples[cases[i].flip][0];
            assert_string_equal(example->log, "eu-1");
            assert_string_equal(example->id, "019ad3c2-7c1a-7b3e-8f51-2a6d9e0c4b11");
        }
        dom_impact_cleanup(&impact);
        dom_policy_unref(policy);
    }
}

/* A limit that was used up is no flip under a permit with a limit, and one under a permit without. */
static void used_up_limit_is_a_flip_only_when_the_limit_goes(void **unused)
{
    struct dom_policy *with = load(HEAD("1") REGIONS PLACES RULE(
        "\"content\", \"name\"", "obligations = ( { do = \"limit\"; records = 3; per = \"P1D\"; } ); "));
    struct dom_policy *without =
        load(HEAD("1") REGIONS PLACES RULE("\"content\", \"name\"", ""));
    struct dom_impact impact;

    (void)unused;
    dom_impact_init(&impact, with, 0);
    take(&impact, entry("feed", "deny", "LIMIT_REACHED", "drop"));
    assert_int_equal(impact.flips[DOM_IMPACT_ALLOWED], 0);
    dom_impact_cleanup(&impact);
    dom_impact_init(&impact, without, 0);
    take(&impact, entry("feed", "deny", "LIMIT_REACHED", "drop"));
    assert_int_equal(impact.flips[DOM_IMPACT_ALLOWED], 1);
    dom_impact_cleanup(&impact);
    dom_policy_unref(with);
    dom_policy_unref(without);
}

/* Denominators: every entry is one of three things. */
static void what_is_no_decision_or_cannot_be_asked_is_counted_apart(void **unused)
{
    struct dom_policy *policy = load(HEAD("1") REGIONS PLACES RULE("\"content\"", ""));
    struct dom_impact impact;

    (void)unused;
    dom_impact_init(&impact, policy, 0);
    take(&impact, entry("feed", "allow", "PERMIT", "clear"));
    take(&impact, "{\"type\":\"genesis\"}");
    take(&impact, "{\"type\": \"genesis\"}");
    take(&impact, "");
    take(&impact, "{\"op\":\"read\",\"record\":{\"kind\":\"room\",\"region\":\"eu-1\"},\"type\":\"deny\"}");
    take(&impact, "{\"decision\":{\"time\":" TIME "},\"op\":\"read\",\"record\":{\"kind\":\"room\","
                  "\"region\":\"eu-7\"},\"type\":\"deny\"}");
    assert_int_equal(impact.num_entries, 6);
    assert_int_equal(impact.num_replayed, 1);
    assert_int_equal(impact.num_other, 1);
    assert_int_equal(impact.num_not_replayed, 4);
    assert_int_equal(impact.num_whys, 3); /* entry, decision.time, record.region */
    assert_int_equal(impact.whys[0].count, 2);
    assert_non_null(strstr(impact.whys[2].what, "eu-7"));
    assert_int_equal(impact.whys[2].index, 5);
    dom_impact_cleanup(&impact);
    dom_policy_unref(policy);
}

/* P12: names that callers make up cannot fill memory. */
static void services_beyond_the_limit_are_counted_together(void **unused)
{
    struct dom_policy *policy = load(HEAD("1") REGIONS PLACES RULE("\"content\"", ""));
    struct dom_impact impact;
    char name[32];

    (void)unused;
    dom_impact_init(&impact, policy, 0);
    for (size_t i = 0; i < DOM_IMPACT_GROUPS_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "made-up-%zu", i);
        take(&impact, entry(name, "allow", "PERMIT", "clear"));
        if (i + 1 == DOM_IMPACT_GROUPS_MAX) {
            assert_int_equal(impact.num_groups, DOM_IMPACT_GROUPS_MAX);
        }
    }
    assert_int_equal(impact.num_groups, DOM_IMPACT_GROUPS_MAX + 1);
    assert_string_equal(impact.groups[DOM_IMPACT_GROUPS_MAX].service, "(others)");
    assert_int_equal(impact.groups[DOM_IMPACT_GROUPS_MAX].num_replayed, 10);
    assert_int_equal(impact.flips[DOM_IMPACT_DENIED], DOM_IMPACT_GROUPS_MAX + 10);
    dom_impact_cleanup(&impact);
    dom_policy_unref(policy);
}

static void two_halves_add_up_to_the_whole(void **unused)
{
    struct dom_policy *policy = load(HEAD("1") REGIONS PLACES RULE("\"content\"", ""));
    struct dom_impact whole;
    struct dom_impact half;

    (void)unused;
    dom_impact_init(&whole, policy, 0);
    dom_impact_init(&half, policy, 0);
    for (int i = 0; i < 5; i++) {
        take(&whole, entry("feed", "allow", "PERMIT", "clear"));
        take(&half, entry("feed", "allow", "PERMIT", "clear"));
        take(&half, entry("other", "allow", "PERMIT", "clear"));
    }
    take(&half, "no entry");
    dom_impact_add(&whole, &half);
    dom_impact_sort(&whole);
    assert_int_equal(whole.num_entries, 16);
    assert_int_equal(whole.num_replayed, 15);
    assert_int_equal(whole.num_not_replayed, 1);
    assert_int_equal(whole.num_groups, 2);
    assert_string_equal(whole.groups[0].service, "feed");
    assert_int_equal(whole.groups[0].flips[DOM_IMPACT_LESS], 10);
    assert_int_equal(whole.groups[1].flips[DOM_IMPACT_DENIED], 5);
    dom_impact_cleanup(&half);
    dom_impact_cleanup(&whole);
    dom_policy_unref(policy);
}

/* A row that nobody could have written is counted, and judged as nothing. */
static void unlabelled_rows_are_not_judged(void **unused)
{
    struct dom_policy *policy = load(HEAD("1") REGIONS PLACES RULE("\"content\"", ""));
    struct dom_impact_records records;
    struct dom_census_row row = {.home = true, .bytes = 100};
    struct dom_impact calls;
    uint64_t bytes = 0;

    (void)unused;
    dom_impact_init(&calls, policy, 0);
    dom_impact_records_init(&records, policy, INT64_C(1795341600000));
    dom_impact_records_region(&records, "eu-1");
    dom_impact_record(&records, &row);
    row.labelled = true; /* a label without fields, of a kind and home that are not known */
    dom_impact_record(&records, &row);
    dom_impact_records_finish(&records);
    assert_int_equal(records.num_rows, 2);
    assert_int_equal(records.num_unlabelled, 1);
    assert_int_equal(records.unlabelled_bytes, 100);
    assert_int_equal(records.num_places, 1);
    assert_int_equal(records.num_copies, 0);
    struct dom_impact_report report = {.calls = &calls, .records = &records, .records_per_s = 1};
    assert_int_equal(dom_impact_moves(&report, &bytes), 0);
    assert_false(dom_impact_any(&report));
    dom_impact_records_cleanup(&records);
    dom_impact_cleanup(&calls);
    dom_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sort_of_flip_is_told_apart),
        cmocka_unit_test(used_up_limit_is_a_flip_only_when_the_limit_goes),
        cmocka_unit_test(what_is_no_decision_or_cannot_be_asked_is_counted_apart),
        cmocka_unit_test(services_beyond_the_limit_are_counted_together),
        cmocka_unit_test(two_halves_add_up_to_the_whole),
        cmocka_unit_test(unlabelled_rows_are_not_judged),
    };

    return cmocka_run_group_tests_name("impact", tests, NULL, NULL);
}
