/* A policy's regions as the store's: the same numbers, others, or not open at all. */
#include "tests/router/core/harness.h"

static dom_policy_id policy_region(const struct core *core, const char *name)
{
    return dom_policy_find_region(core->snapshot->policy, dom_slice_str(name));
}

static const struct dom_policy_placement *place(const struct core *core, const char *home)
{
    const struct dom_policy_placement *placement = dom_policy_place(
        core->snapshot->policy, core_kind(core), core_country(core, home), NOW);

    assert_non_null(placement);
    return placement;
}

static void numbers_agree_when_opened_in_the_order_of_the_policy(void **state)
{
    const struct core *core = *state;

    assert_true(core->snapshot->same_numbers);
    assert_true(dom_snapshot_to_store(core->snapshot, 0xF) == 0xF);
    for (dom_policy_id i = 0; i < 4; i++) {
        assert_int_equal(core->snapshot->store_of[i], i);
        assert_int_equal(core->snapshot->policy_of[i], i);
    }
}

static void numbers_past_the_policy_are_none(void **state)
{
    const struct core *core = *state;

    for (size_t i = 4; i < DOM_REGIONS_MAX; i++) {
        assert_int_equal(core->snapshot->store_of[i], DOM_STORE_NO_REGION);
        assert_int_equal(core->snapshot->policy_of[i], DOM_POLICY_NONE);
    }
}

static void sets_are_translated_when_the_numbers_differ(void **state)
{
    static const char *const regions[] = {"us-1", "uk-1", "eu-2", "eu-1"};
    struct core core;

    (void)state;
    core_open(&core, regions, DOM_ARRAY_LEN(regions));
    assert_false(core.snapshot->same_numbers);
    dom_policy_set eu = (UINT64_C(1) << policy_region(&core, "eu-1")) |
                        (UINT64_C(1) << policy_region(&core, "eu-2"));
    assert_true(dom_snapshot_to_store(core.snapshot, eu) ==
                ((UINT64_C(1) << 2) | (UINT64_C(1) << 3)));
    assert_true(dom_snapshot_to_store(core.snapshot, 0) == 0);
    assert_int_equal(core.snapshot->policy_of[0], policy_region(&core, "us-1"));
    core_close(&core);
}

/* P1, P7: a region that is not open is not replaced by another. */
static void regions_that_are_not_open_fall_out(void **state)
{
    static const char *const regions[] = {"eu-1", "us-1"};
    struct core core;

    (void)state;
    core_open(&core, regions, DOM_ARRAY_LEN(regions));
    assert_false(core.snapshot->same_numbers);
    assert_int_equal(core.snapshot->store_of[policy_region(&core, "eu-2")], DOM_STORE_NO_REGION);
    assert_true(dom_snapshot_to_store(core.snapshot, UINT64_C(1) << policy_region(&core, "eu-2")) ==
                0);
    dom_store_set all = dom_snapshot_to_store(core.snapshot, 0xF);
    assert_int_equal(__builtin_popcountll(all), 2);
    core_close(&core);
}

/* P1, P2: a region that the policy in force does not know may hold nothing and lies nowhere. */
static void open_regions_that_the_policy_does_not_know_hold_nothing(void **state)
{
    static const char *const regions[] = {"old-1", "eu-1", "eu-2", "uk-1", "us-1"};
    struct core core;

    (void)state;
    core_open(&core, regions, DOM_ARRAY_LEN(regions));
    dom_store_region old = core_region(&core, "old-1");
    assert_int_equal(core.snapshot->policy_of[old], DOM_POLICY_NONE);
    assert_true(dom_snapshot_held(core.snapshot, place(&core, "DE"), old) == 0);
    assert_int_equal(dom_snapshot_jurisdiction(core.snapshot, old), DOM_POLICY_NONE);
    assert_true((dom_snapshot_to_store(core.snapshot, 0xF) & (UINT64_C(1) << old)) == 0);
    core_close(&core);
}

/* P1 */
static void held_is_what_the_placement_allows_there(void **state)
{
    const struct core *core = *state;
    const struct dom_policy_placement *placement = place(core, "DE");

    dom_policy_set home = dom_snapshot_held(core->snapshot, placement, core_region(core, "eu-1"));
    dom_policy_set abroad = dom_snapshot_held(core->snapshot, placement, core_region(core, "us-1"));
    assert_true((home & core_classes(core, "identifier", "payment", NULL)) ==
                core_classes(core, "identifier", "payment", NULL));
    assert_true(abroad == core_classes(core, "public", NULL));
}

/* P2 */
static void held_by_no_region_is_nothing(void **state)
{
    const struct core *core = *state;

    assert_true(dom_snapshot_held(core->snapshot, place(core, "DE"), DOM_STORE_NO_REGION) == 0);
    assert_int_equal(dom_snapshot_jurisdiction(core->snapshot, DOM_STORE_NO_REGION),
                     DOM_POLICY_NONE);
}

static void jurisdiction_is_that_of_the_regions_country(void **state)
{
    const struct core *core = *state;

    assert_int_equal(dom_snapshot_jurisdiction(core->snapshot, core_region(core, "eu-1")),
                     dom_snapshot_jurisdiction(core->snapshot, core_region(core, "eu-2")));
    assert_int_not_equal(dom_snapshot_jurisdiction(core->snapshot, core_region(core, "eu-1")),
                         dom_snapshot_jurisdiction(core->snapshot, core_region(core, "uk-1")));
}

/* P11: a request keeps the snapshot it began with. Under ASan a use after the last unref fails. */
static void snapshot_lives_until_its_last_reference_goes(void **state)
{
    struct core *core = *state;
    struct dom_policy *policy = core_compile(core_policy_text);
    struct dom_snapshot *first = dom_snapshot_new(policy, core->store, 5);
    struct dom_snapshot *second = dom_snapshot_ref(first);

    assert_ptr_equal(first, second);
    dom_snapshot_unref(first);
    assert_int_equal(second->loaded_ms, 5);
    assert_string_equal(dom_policy_info(second->policy)->name, "core-test");
    dom_snapshot_unref(second);
    dom_snapshot_unref(NULL);
}

static void snapshot_takes_over_one_reference_of_the_policy(void **state)
{
    struct core *core = *state;
    struct dom_policy *policy = core_compile(core_policy_text);

    dom_snapshot_unref(dom_snapshot_new(dom_policy_ref(policy), core->store, 0));
    assert_string_equal(dom_policy_info(policy)->name, "core-test"); /* ours is still there */
    dom_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_agree_when_opened_in_the_order_of_the_policy),
        cmocka_unit_test(numbers_past_the_policy_are_none),
        cmocka_unit_test(sets_are_translated_when_the_numbers_differ),
        cmocka_unit_test(regions_that_are_not_open_fall_out),
        cmocka_unit_test(open_regions_that_the_policy_does_not_know_hold_nothing),
        cmocka_unit_test(held_is_what_the_placement_allows_there),
        cmocka_unit_test(held_by_no_region_is_nothing),
        cmocka_unit_test(jurisdiction_is_that_of_the_regions_country),
        cmocka_unit_test(snapshot_lives_until_its_last_reference_goes),
        cmocka_unit_test(snapshot_takes_over_one_reference_of_the_policy),
    };

    return cmocka_run_group_tests_name("snapshot", tests, core_setup, core_teardown);
}
