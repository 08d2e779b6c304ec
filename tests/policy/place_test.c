/* Where parts may lie: the four verbs of law, leads, copies, lapsed bases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/policy_text.h"

#define EU_1 UINT64_C(1)
#define EU_2 UINT64_C(2)
#define US_1 UINT64_C(4)
#define GB_1 UINT64_C(8)

static const struct dom_policy_placement *place(const struct dom_policy *policy, const char *home,
                                                int64_t time_ms)
{
    return dom_policy_place(policy, 0, dom_policy_find_country(policy, dom_slice_str(home)),
                            time_ms);
}

static const char *lead(const struct dom_policy *policy, const char *home)
{
    return dom_policy_region_name(policy, place(policy, home, TEST_NOW_MS)->lead);
}

static void regions_lead_and_copies_follow_the_entry(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");
    const struct dom_policy_placement *got = place(policy, "FR", TEST_NOW_MS);

    assert_int_equal(got->regions[1], EU_1 | EU_2);
    assert_int_equal(got->all, EU_1 | EU_2);
    assert_int_equal(got->storable, 7);
    assert_int_equal(got->min_replicas[1], 2);
    assert_string_equal(dom_policy_region_name(policy, got->lead), "eu-2"); /* by the lead list */
    assert_int_equal(got->sync, EU_1);
    assert_string_equal(dom_policy_placement_name(policy, got->rule[0]), "eea");
    assert_int_equal(dom_policy_placement_classes(got, 0), 7);
    assert_int_equal(dom_policy_placement_classes(got, 2), 0);
    assert_int_equal(dom_policy_placement_classes(got, DOM_POLICY_NONE), 0);
    assert_null(dom_policy_place(policy, DOM_POLICY_NONE, 0, TEST_NOW_MS));
    assert_null(dom_policy_place(policy, 0, DOM_POLICY_NONE, TEST_NOW_MS));
    assert_null(dom_policy_place(policy, 0, 999, TEST_NOW_MS));
    dom_policy_unref(policy);
}

static void the_home_country_leads_if_it_can(void **unused)
{
    (void)unused;
    struct dom_policy *policy = test_load("schema", "schema");

    assert_string_equal(lead(policy, "SE"), "eu-1"); /* though the list says eu-2 */
    assert_string_equal(lead(policy, "DE"), "eu-2");
    assert_string_equal(lead(policy, "GB"), "gb-1");
    dom_policy_unref(policy);
}

static void no_entry_means_no_place(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        test_load("{ id = \"gb\"; home = (\"GB\"); classes = (\"*\")",
                  "{ id = \"gb\"; home = (\"GB\"); classes = (\"public\")");
    const struct dom_policy_placement *got = place(policy, "GB", TEST_NOW_MS);

    assert_int_equal(got->storable, 1);
    assert_int_equal(got->regions[1], 0);
    assert_int_equal(got->rule[1], DOM_POLICY_NONE);
    dom_policy_unref(policy);
    policy = test_load(",\n  { id = \"gb\"; home = (\"GB\"); classes = (\"*\"); regions = (\"GB\"); }",
                       "");
    got = place(policy, "GB", TEST_NOW_MS);
    assert_int_equal(got->storable, 0);
    assert_int_equal(got->lead, DOM_POLICY_NONE);
    assert_int_equal(got->sync, 0);
    dom_policy_unref(policy);
}

#define US_ENTRY "{ id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); }"

static void a_lapsed_basis_takes_the_regions_abroad_away_but_not_home(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        test_load(US_ENTRY, "{ id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = "
                            "(\"*\"); basis = \"scc\"; }");
    const struct dom_policy_placement *now = place(policy, "US", TEST_NOW_MS);
    const struct dom_policy_placement *later = place(policy, "US", TEST_NOW_MS + 1000 * TEST_DAY_MS);

    assert_int_equal(now->regions[0], EU_1 | EU_2 | US_1 | GB_1);
    assert_int_equal(later->regions[0], US_1);
    assert_string_equal(dom_policy_region_name(policy, later->lead), "us-1");
    dom_policy_unref(policy);
}

static void a_copy_that_the_law_wants_is_waited_for(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        test_load(US_ENTRY, "{ id = \"us\"; home = (\"US\"); classes = (\"public\", "
                            "\"identifier\"); regions = (\"*\"); must_include = (\"GB\", \"EEA\"); basis = \"scc\"; }");
    const struct dom_policy_placement *got = place(policy, "US", TEST_NOW_MS);

    assert_string_equal(dom_policy_region_name(policy, got->lead), "us-1");
    assert_int_equal(got->sync, GB_1 | EU_1);
    dom_policy_unref(policy);
}

static void the_first_write_goes_where_the_law_says(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        test_load(US_ENTRY, "{ id = \"us\"; home = (\"US\"); classes = (\"public\", "
                            "\"identifier\"); regions = (\"*\"); first_write = (\"gb-1\"); basis = \"scc\"; }");

    assert_string_equal(lead(policy, "US"), "gb-1");
    dom_policy_unref(policy);
}

#define FORBID(text) "classes = (\"location\"); }, { id = \"f2\"; effect = \"forbid\"; " text " }"
#define EVERYWHERE                                                                     \
    "{ id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"*\"); basis = \"scc\"; }"

/* Two changes: the US entry allows all regions, and a second forbid is added. */
static struct dom_policy *load_both(const char *forbid)
{
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer first;
    struct dom_buffer text;

    dom_buffer_init(&first, 0);
    dom_buffer_init(&text, 0);
    test_replace(&first, US_ENTRY, EVERYWHERE);
    const char *whole = dom_buffer_cstr(&first);
    const char *at = strstr(whole, "classes = (\"location\"); }");
    assert_non_null(at);
    dom_buffer_append(&text, whole, (size_t)(at - whole));
    dom_buffer_append_str(&text, forbid);
    dom_buffer_append_str(&text, at + strlen("classes = (\"location\"); }"));
    assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)), DOM_OK);
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&first);
    dom_buffer_cleanup(&text);
    return policy;
}

static void a_storing_forbid_beats_every_entry(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        load_both(FORBID("ops = (\"store\"); home = (\"US\"); to = (\"GB\", \"SE\"); "
                         "classes = (\"public\");"));
    const struct dom_policy_placement *got = place(policy, "US", TEST_NOW_MS);

    assert_int_equal(got->regions[0], EU_2 | US_1);
    assert_int_equal(got->regions[1], EU_1 | EU_2 | US_1 | GB_1);
    dom_policy_unref(policy);
}

static void a_star_forbid_keeps_data_from_lying_abroad_but_not_at_home(void **unused)
{
    (void)unused;
    /* forbid-1 of the base has no ops: it covers all of location, home and abroad. */
    struct dom_policy *policy = load_both(FORBID("ops = (\"*\"); to = (\"*\"); home = (\"*\");"
                                                 " classes = (\"public\");"));
    const struct dom_policy_placement *got = place(policy, "US", TEST_NOW_MS);

    assert_int_equal(got->regions[0], US_1);
    assert_int_equal(got->regions[2], US_1);
    assert_int_equal(got->regions[1], EU_1 | EU_2 | US_1 | GB_1);
    dom_policy_unref(policy);
}

static void a_forbid_about_some_purposes_says_nothing_of_storing(void **unused)
{
    (void)unused;
    struct dom_policy *policy =
        load_both(FORBID("ops = (\"*\"); purposes = (\"serve\"); classes = (\"public\");"));

    assert_int_equal(place(policy, "US", TEST_NOW_MS)->regions[0], EU_1 | EU_2 | US_1 | GB_1);
    dom_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_lead_and_copies_follow_the_entry),
        cmocka_unit_test(the_home_country_leads_if_it_can),
        cmocka_unit_test(no_entry_means_no_place),
        cmocka_unit_test(a_lapsed_basis_takes_the_regions_abroad_away_but_not_home),
        cmocka_unit_test(a_copy_that_the_law_wants_is_waited_for),
        cmocka_unit_test(the_first_write_goes_where_the_law_says),
        cmocka_unit_test(a_storing_forbid_beats_every_entry),
        cmocka_unit_test(a_star_forbid_keeps_data_from_lying_abroad_but_not_at_home),
        cmocka_unit_test(a_forbid_about_some_purposes_says_nothing_of_storing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
