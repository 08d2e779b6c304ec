/* One region through the facade: what a write does, and what it refuses. */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct harness *fresh(void **state, size_t num_regions)
{
    struct harness *h = *state;

    harness_open(h, num_regions);
    return h;
}

static int setup(void **state)
{
    struct harness *h = malloc(sizeof(*h));

    harness_init(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct harness *h = *state;

    harness_cleanup(h);
    free(h);
    return 0;
}

static void row_comes_back_as_written(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec spec;
    struct dom_store_row row;

    h->wall_ms = 1700000000123;
    op_put(&spec, 0, "ann", "p_name=Ann", "h_mail=ann@example.org", "h_empty=", NULL);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(spec.op.version, 1);
    assert_false(spec.op.replayed);
    assert_int_equal(harness_get(h, 0, "ann", &row), DOM_OK);
    assert_true(dom_slice_eq_str(row.kind, "user"));
    assert_true(dom_slice_eq_str(row.id, "ann"));
    assert_string_equal(row.home, "DE");
    assert_int_equal(row.version, 1);
    assert_int_equal(row.create_time_ms, 1700000000123);
    assert_int_equal(row.update_time_ms, 1700000000123);
    assert_true(row.is_home);
    assert_true(row.complete);
    assert_int_equal(row.num_fields, 3);
    assert_true(dom_slice_eq_str(row.fields[1].name, "h_mail"));
    assert_true(dom_slice_eq_str(row.fields[1].value, "ann@example.org"));
    assert_int_equal(row.fields[2].value.len, 0);
}

static void nothing_is_not_found(void **state)
{
    struct harness *h = fresh(state, 1);
    struct dom_store_row row;

    assert_int_equal(harness_get(h, 0, "nobody", &row), DOM_NOT_FOUND);
    assert_int_equal(row.num_fields, 0);
    assert_int_equal(harness_get(h, 0, "", &row), DOM_NOT_FOUND);
}

static void another_kind_is_another_record(void **state)
{
    struct harness *h = fresh(state, 1);
    struct dom_store_row row;

    harness_put(h, 0, "x", "1");
    assert_int_equal(dom_store_get(h->session, 0, DOM_SLICE_LIT("room"), DOM_SLICE_LIT("x"),
                                   &h->arena, &row, &h->err),
                     DOM_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_comes_back_as_written, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(another_kind_is_another_record, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
