/* One region through the facade: what a write does, and what it refuses. */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

static void row_comes_back_as_written(void **state)
{
    struct harness *h = harness_fresh(state, 1);
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
    struct harness *h = harness_fresh(state, 1);
    struct dom_store_row row;

    assert_int_equal(harness_get(h, 0, "nobody", &row), DOM_NOT_FOUND);
    assert_int_equal(row.num_fields, 0);
    assert_int_equal(harness_get(h, 0, "", &row), DOM_NOT_FOUND);
}

static void another_kind_is_another_record(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct dom_store_row row;

    harness_put(h, 0, "x", "1");
    assert_int_equal(dom_store_get(h->session, 0, DOM_SLICE_LIT("room"), DOM_SLICE_LIT("x"),
                                   &h->arena, &row, &h->err),
                     DOM_NOT_FOUND);
}

/* ---- preconditions ------------------------------------------------------------------------ */

static void create_refuses_existing(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    harness_put(h, 0, "x", "first");
    op_put(&spec, 0, "x", "p_value=second", NULL);
    spec.op.must_not_exist = true;
    op_entry(&spec, "an entry that must not be");
    assert_int_equal(harness_run(h, &spec), DOM_EXISTS);
    assert_string_equal(harness_field(h, 0, "x", "p_value"), "first");
    assert_int_equal(dom_store_log_size(h->store, 0), 1); /* genesis only */
}

static void version_must_match(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    harness_put(h, 0, "x", "1");
    harness_put(h, 0, "x", "2");
    op_put(&spec, 0, "x", "p_value=3", NULL);
    spec.op.if_version = 1;
    assert_int_equal(harness_run(h, &spec), DOM_VERSION_MISMATCH);
    spec.op.if_version = 3;
    assert_int_equal(harness_run(h, &spec), DOM_VERSION_MISMATCH);
    spec.op.if_version = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(spec.op.version, 3);
    op_put(&spec, 0, "new", "p_value=1", NULL);
    spec.op.if_version = 1;
    assert_int_equal(harness_run(h, &spec), DOM_VERSION_MISMATCH);
    op_delete(&spec, 0, "x");
    spec.op.if_version = 2;
    assert_int_equal(harness_run(h, &spec), DOM_VERSION_MISMATCH);
}

static void delete_refuses_what_is_not_there(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    op_delete(&spec, 0, "nobody");
    assert_int_equal(harness_run(h, &spec), DOM_NOT_FOUND);
    harness_put(h, 0, "x", "1");
    op_delete(&spec, 0, "x");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(spec.op.version, 2);
    assert_int_equal(harness_run(h, &spec), DOM_NOT_FOUND);
    assert_null(harness_field(h, 0, "x", "p_value"));
}

static void versions_grow_over_delete_and_create(void **state)
{
    struct harness *h = harness_fresh(state, 2);
    struct op_spec spec;

    harness_put(h, 0, "x", "1");
    op_delete(&spec, 0, "x");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(harness_put(h, 0, "x", "2"), 3);
    op_delete(&spec, 0, "x");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    /* also when it comes back with another home */
    op_put(&spec, 1, "x", "p_value=3", NULL);
    memcpy(spec.op.home, "FR", 3);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(spec.op.version, 5);
}

static void one_id_has_one_home(void **state)
{
    struct harness *h = harness_fresh(state, 3);
    struct op_spec spec;
    dom_store_region home = 9;

    harness_put(h, 1, "x", "1");
    op_put(&spec, 0, "x", "p_value=2", NULL);
    assert_int_equal(harness_run(h, &spec), DOM_HOME_MISMATCH);
    op_delete(&spec, 2, "x");
    assert_int_equal(harness_run(h, &spec), DOM_HOME_MISMATCH);
    op_put(&spec, 1, "x", "p_value=2", NULL);
    memcpy(spec.op.home, "FR", 3);
    assert_int_equal(harness_run(h, &spec), DOM_HOME_MISMATCH);
    assert_int_equal(
        dom_store_locate(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), &home, &h->err),
        DOM_OK);
    assert_int_equal(home, 1);
    assert_int_equal(dom_store_locate(h->session, DOM_STORE_NO_REGION, DOM_SLICE_LIT("user"),
                                      DOM_SLICE_LIT("y"), &home, &h->err),
                     DOM_NOT_FOUND);
    assert_int_equal(home, DOM_STORE_NO_REGION);
}

static void operations_of_one_group_see_each_other(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec specs[200];

    /* Submitted at once, they share a few groups: every other one must fail. */
    for (size_t i = 0; i < DOM_ARRAY_LEN(specs); i++) {
        switch (i % 4) {
            case 0:
            case 1:
                op_put(&specs[i], 0, "x", "p_value=1", NULL);
                specs[i].op.must_not_exist = true;
                break;
            default:
                op_delete(&specs[i], 0, "x");
        }
    }
    harness_run_all(h, specs, DOM_ARRAY_LEN(specs));
    for (size_t i = 0; i < DOM_ARRAY_LEN(specs); i++) {
        static const enum dom_code want[] = {DOM_OK, DOM_EXISTS, DOM_OK, DOM_NOT_FOUND};
        assert_int_equal(specs[i].op.code, want[i % 4]);
        if (want[i % 4] == DOM_OK) {
            assert_int_equal(specs[i].op.version, i / 2 + 1);
        }
    }
    struct dom_store_stats stats;
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.writes, 100);
    assert_true(stats.commits < 100);
}

/* ---- sizes: at the limit and one beyond ---------------------------------------------------- */

static enum dom_code put_sized(struct harness *h, size_t kind, size_t id, size_t name, size_t value)
{
    struct op_spec spec;
    char *bytes = malloc(2U << 20);

    memset(bytes, 'a', 2U << 20);
    op_put(&spec, 0, "x", "p=1", NULL);
    spec.op.kind = dom_slice_of(bytes, kind);
    spec.op.id = dom_slice_of(bytes, id);
    spec.fields[0].name = dom_slice_of(bytes, name);
    spec.fields[0].value = dom_slice_of(bytes, value);
    enum dom_code rc = harness_run(h, &spec);
    free(bytes);
    return rc;
}

static void sizes_are_bounded(void **state)
{
    struct harness *h = harness_fresh(state, 1);

    assert_int_equal(put_sized(h, 128, DOM_ID_BYTES_MAX, 64, 10), DOM_OK);
    assert_int_equal(put_sized(h, 4, 1, 4, DOM_RECORD_BYTES_MAX - 4), DOM_OK);
    assert_int_equal(put_sized(h, 4, 1, 4, DOM_RECORD_BYTES_MAX - 3), DOM_TOO_LARGE);
    assert_int_equal(put_sized(h, 4, 1, 4, DOM_RECORD_BYTES_MAX + 1), DOM_TOO_LARGE);
    assert_int_equal(put_sized(h, 0, 1, 4, 1), DOM_INVALID);
    assert_int_equal(put_sized(h, 129, 1, 4, 1), DOM_INVALID);
    assert_int_equal(put_sized(h, 4, 0, 4, 1), DOM_INVALID);
    assert_int_equal(put_sized(h, 4, DOM_ID_BYTES_MAX + 1, 4, 1), DOM_INVALID);
    assert_int_equal(put_sized(h, 4, 1, 0, 1), DOM_INVALID);
    assert_int_equal(put_sized(h, 4, 1, DOM_FIELD_NAME_BYTES_MAX + 1, 1), DOM_INVALID);
}

static void number_of_fields_is_bounded(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    struct dom_store_field fields[DOM_FIELDS_MAX + 1];
    struct dom_store_row row;
    char names[DOM_FIELDS_MAX + 1][8];

    for (size_t i = 0; i <= DOM_FIELDS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "p%zu", i);
        fields[i].name = dom_slice_str(names[i]);
        fields[i].value = DOM_SLICE_LIT("v");
    }
    op_put(&spec, 0, "x", NULL);
    spec.op.fields = fields;
    spec.op.num_fields = DOM_FIELDS_MAX + 1;
    assert_int_equal(harness_run(h, &spec), DOM_TOO_LARGE);
    spec.op.num_fields = DOM_FIELDS_MAX;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(harness_get(h, 0, "x", &row), DOM_OK);
    assert_int_equal(row.num_fields, DOM_FIELDS_MAX);
    op_put(&spec, 0, "empty", NULL);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(harness_get(h, 0, "empty", &row), DOM_OK);
    assert_int_equal(row.num_fields, 0);
}

static void home_is_a_country(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    op_put(&spec, 0, "x", "p=1", NULL);
    memcpy(spec.op.home, "de", 3);
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    memcpy(spec.op.home, "D\0", 3);
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
}

static void unknown_targets_are_refused(void **state)
{
    struct harness *h = harness_fresh(state, 2);
    struct op_spec spec;

    op_put(&spec, 0, "x", "p=1", NULL);
    spec.op.targets = 4;
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    spec.op.targets = 0;
    spec.op.sync = 2;
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
}

static void arena_limit_is_reported(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct dom_arena small;
    struct dom_store_row row;

    harness_put(h, 0, "x", "0123456789012345678901234567890123456789");
    dom_arena_init(&small, NULL, 0, 32);
    assert_int_equal(dom_store_get(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), &small,
                                   &row, &h->err),
                     DOM_RESOURCE);
    dom_arena_cleanup(&small);
}

/* ---- out of time --------------------------------------------------------------------------- */

static void late_and_cancelled_operations_do_nothing(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    bool cancelled = true;

    op_put(&spec, 0, "x", "p=1", NULL);
    spec.op.deadline_us = 1;
    assert_int_equal(harness_run(h, &spec), DOM_DEADLINE);
    spec.op.deadline_us = UINT64_MAX;
    spec.op.cancelled = &cancelled;
    assert_int_equal(harness_run(h, &spec), DOM_CANCELLED);
    assert_null(harness_field(h, 0, "x", "p"));
    cancelled = false;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
}

/* ---- entries -------------------------------------------------------------------------------- */

static bool collect(void *context, uint64_t index, struct dom_slice entry)
{
    struct dom_buffer *out = context;

    dom_buffer_printf(out, "%llu:%.*s ", (unsigned long long)index, (int)entry.len,
                      (const char *)entry.data);
    return true;
}

static void entries_come_with_their_write(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    struct dom_buffer text = {0};

    op_put(&spec, 0, "x", "p=1", NULL);
    op_entry(&spec, "one");
    op_entry(&spec, "two");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(spec.receipts[0].index, 1);
    assert_int_equal(spec.receipts[1].index, 2);
    op_append(&spec, 0, "three");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(spec.receipts[0].index, 3);
    assert_int_equal(dom_store_log_size(h->store, 0), 4);
    assert_int_equal(dom_store_log_entries(h->store, 0, 1, 100, collect, &text, &h->err), DOM_OK);
    assert_string_equal(dom_buffer_cstr(&text), "1:one 2:two 3:three ");
    dom_buffer_clear(&text);
    assert_int_equal(dom_store_log_entries(h->store, 0, 2, 1, collect, &text, &h->err), DOM_OK);
    assert_string_equal(dom_buffer_cstr(&text), "2:two ");
    dom_buffer_clear(&text);
    assert_int_equal(dom_store_log_entries(h->store, 0, 4, 1, collect, &text, &h->err), DOM_OK);
    assert_int_equal(text.len, 0);
    dom_buffer_cleanup(&text);
}

static void claim_of_no_border_must_be_true(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    op_put(&spec, 0, "x", "p=1", NULL);
    spec.op.no_border = false;
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    op_entry(&spec, "entry");
    spec.op.no_border = true;
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    assert_int_equal(dom_store_log_size(h->store, 0), 1);
}

static void entry_size_is_bounded(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    char *bytes = malloc(DOM_ENTRY_BYTES_MAX + 1);

    memset(bytes, 'e', DOM_ENTRY_BYTES_MAX + 1);
    op_append(&spec, 0, "");
    assert_int_equal(harness_run(h, &spec), DOM_TOO_LARGE);
    spec.entries[0] = dom_slice_of(bytes, DOM_ENTRY_BYTES_MAX + 1);
    assert_int_equal(harness_run(h, &spec), DOM_TOO_LARGE);
    spec.entries[0] = dom_slice_of(bytes, DOM_ENTRY_BYTES_MAX);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    free(bytes);
}

static void limit_keys_are_counted_once(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    struct dom_slice keys[] = {DOM_SLICE_LIT("rule/a"), DOM_SLICE_LIT("rule/b")};
    uint64_t count = 0;
    bool seen = false;

    op_append(&spec, 0, "entry");
    spec.op.limit_keys = keys;
    spec.op.num_limit_keys = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(dom_store_limit_seen(h->session, 0, DOM_SLICE_LIT("rule/"), keys[1], &count,
                                          &seen, &h->err),
                     DOM_OK);
    assert_int_equal(count, 2);
    assert_true(seen);
    assert_int_equal(dom_store_limit_seen(h->session, 0, DOM_SLICE_LIT("rule/b"),
                                          DOM_SLICE_LIT("rule/c"), &count, &seen, &h->err),
                     DOM_OK);
    assert_int_equal(count, 1);
    assert_false(seen);
}

static void refused_write_counts_no_limit(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    struct dom_slice key = DOM_SLICE_LIT("k");
    uint64_t count = 9;
    bool seen = true;

    op_delete(&spec, 0, "nobody");
    spec.op.limit_keys = &key;
    spec.op.num_limit_keys = 1;
    assert_int_equal(harness_run(h, &spec), DOM_NOT_FOUND);
    assert_int_equal(dom_store_limit_seen(h->session, 0, key, key, &count, &seen, &h->err), DOM_OK);
    assert_int_equal(count, 0);
    assert_false(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(row_comes_back_as_written),
        T(nothing_is_not_found),
        T(another_kind_is_another_record),
        T(create_refuses_existing),
        T(version_must_match),
        T(delete_refuses_what_is_not_there),
        T(versions_grow_over_delete_and_create),
        T(one_id_has_one_home),
        T(operations_of_one_group_see_each_other),
        T(sizes_are_bounded),
        T(number_of_fields_is_bounded),
        T(home_is_a_country),
        T(unknown_targets_are_refused),
        T(arena_limit_is_reported),
        T(late_and_cancelled_operations_do_nothing),
        T(entries_come_with_their_write),
        T(claim_of_no_border_must_be_true),
        T(entry_size_is_bounded),
        T(limit_keys_are_counted_once),
        T(refused_write_counts_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
