/* One region through the facade: what a write does, and what it refuses. */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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

/* ---- preconditions ------------------------------------------------------------------------ */

static void create_refuses_existing(void **state)
{
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 2);
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
    struct harness *h = fresh(state, 3);
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
    assert_int_equal(dom_store_locate(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"),
                                      &home, &h->err), DOM_OK);
    assert_int_equal(home, 1);
    assert_int_equal(dom_store_locate(h->session, DOM_STORE_NO_REGION, DOM_SLICE_LIT("user"),
                                      DOM_SLICE_LIT("y"), &home, &h->err), DOM_NOT_FOUND);
    assert_int_equal(home, DOM_STORE_NO_REGION);
}

static void operations_of_one_group_see_each_other(void **state)
{
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);

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
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
    struct op_spec spec;

    op_put(&spec, 0, "x", "p=1", NULL);
    memcpy(spec.op.home, "de", 3);
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    memcpy(spec.op.home, "D\0", 3);
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
}

static void unknown_targets_are_refused(void **state)
{
    struct harness *h = fresh(state, 2);
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
    struct harness *h = fresh(state, 1);
    struct dom_arena small;
    struct dom_store_row row;

    harness_put(h, 0, "x", "0123456789012345678901234567890123456789");
    dom_arena_init(&small, NULL, 0, 32);
    assert_int_equal(dom_store_get(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"),
                                   &small, &row, &h->err), DOM_RESOURCE);
    dom_arena_cleanup(&small);
}

/* ---- out of time --------------------------------------------------------------------------- */

static void late_and_cancelled_operations_do_nothing(void **state)
{
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
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
    struct harness *h = fresh(state, 1);
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
                                          &seen, &h->err), DOM_OK);
    assert_int_equal(count, 2);
    assert_true(seen);
    assert_int_equal(dom_store_limit_seen(h->session, 0, DOM_SLICE_LIT("rule/b"),
                                          DOM_SLICE_LIT("rule/c"), &count, &seen, &h->err), DOM_OK);
    assert_int_equal(count, 1);
    assert_false(seen);
}

static void refused_write_counts_no_limit(void **state)
{
    struct harness *h = fresh(state, 1);
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

/* ---- request ids ---------------------------------------------------------------------------- */

static void with_request(struct op_spec *spec, const char *id)
{
    spec->op.request_id = dom_slice_str(id);
    spec->op.service = DOM_SLICE_LIT("svc");
}

static void request_id_replays_its_first_answer(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec first;
    struct op_spec again;

    op_put(&first, 0, "x", "p=1", NULL);
    op_entry(&first, "entry");
    with_request(&first, "r1");
    assert_int_equal(harness_run(h, &first), DOM_OK);
    harness_put(h, 0, "x", "other");
    op_put(&again, 0, "x", "p=1", NULL);
    op_entry(&again, "entry of the second attempt");
    with_request(&again, "r1");
    assert_int_equal(harness_run(h, &again), DOM_OK);
    assert_true(again.op.replayed);
    assert_int_equal(again.op.version, 1);
    assert_int_equal(again.receipts[0].index, first.receipts[0].index);
    assert_memory_equal(again.receipts[0].leaf_hash, first.receipts[0].leaf_hash, 32);
    assert_int_equal(dom_store_log_size(h->store, 0), 2);
    assert_string_equal(harness_field(h, 0, "x", "p_value"), "other");
}

static void request_id_of_other_content_is_refused(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec spec;

    op_put(&spec, 0, "x", "p=1", NULL);
    with_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    op_put(&spec, 0, "x", "p=2", NULL);
    with_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    op_put(&spec, 0, "y", "p=1", NULL);
    with_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    op_delete(&spec, 0, "x");
    with_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    /* another service's r1 is another request */
    op_put(&spec, 0, "x", "p=2", NULL);
    with_request(&spec, "r1");
    spec.op.service = DOM_SLICE_LIT("other");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
}

static void request_id_in_one_group(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec specs[50];

    for (size_t i = 0; i < DOM_ARRAY_LEN(specs); i++) {
        op_put(&specs[i], 0, "x", "p=1", NULL);
        with_request(&specs[i], "r1");
    }
    harness_run_all(h, specs, DOM_ARRAY_LEN(specs));
    for (size_t i = 0; i < DOM_ARRAY_LEN(specs); i++) {
        assert_int_equal(specs[i].op.code, DOM_OK);
        assert_int_equal(specs[i].op.version, 1);
        assert_int_equal(specs[i].op.replayed, i > 0);
    }
}

static void failed_request_may_be_tried_again(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec spec;

    op_delete(&spec, 0, "x");
    with_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_NOT_FOUND);
    harness_put(h, 0, "x", "1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
}

static void request_id_is_forgotten_after_its_time(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec spec;
    int64_t start = 1700000000000;

    h->wall_ms = start;
    op_put(&spec, 0, "x", "p=1", NULL);
    with_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    h->wall_ms = start + (int64_t)DOM_REQUEST_ID_TTL_SECONDS * 1000;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_true(spec.op.replayed);
    h->wall_ms++;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
    assert_int_equal(spec.op.version, 2);
}

static void long_request_id_is_refused(void **state)
{
    struct harness *h = fresh(state, 1);
    struct op_spec spec;
    char id[DOM_REQUEST_ID_BYTES_MAX + 2];

    memset(id, 'r', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    op_put(&spec, 0, "x", "p=1", NULL);
    with_request(&spec, id);
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    id[DOM_REQUEST_ID_BYTES_MAX] = '\0';
    with_request(&spec, id);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void hashes_are_keyed_by_region(void **state)
{
    struct harness *h = fresh(state, 2);
    char a[64];
    char b[64];
    char again[64];

    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), a);
    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), again);
    dom_store_subject_hash(h->session, 1, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), b);
    assert_string_equal(a, again);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), strlen("hmac:1:") + 22);
    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("userx"), DOM_SLICE_LIT(""), again);
    assert_string_not_equal(a, again);
}

static void pseudonyms_last_and_differ_by_key(void **state)
{
    struct harness *h = fresh(state, 1);
    char a[32];
    char b[32];
    struct dom_slice value = DOM_SLICE_LIT("ann");

    assert_int_equal(dom_store_pseudonym(h->session, 0, "ads", value, a, &h->err), DOM_OK);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "other", value, b, &h->err), DOM_OK);
    assert_int_equal(strlen(a), 22);
    assert_string_not_equal(a, b);
    harness_close(h);
    harness_open(h, 1);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "ads", value, b, &h->err), DOM_OK);
    assert_string_equal(a, b);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "", value, b, &h->err), DOM_INVALID);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "A b", value, b, &h->err), DOM_INVALID);
}

/* ---- scanning ------------------------------------------------------------------------------- */

static bool count_row(void *context, const struct dom_store_row *row)
{
    size_t *count = context;

    assert_true(row->is_home);
    return ++*count % 7 != 0;
}

static void scan_gives_every_home_row_once(void **state)
{
    struct harness *h = fresh(state, 2);
    struct op_spec specs[100];
    char ids[100][8];
    uint8_t last[64];
    size_t last_len = 0;
    size_t total = 0;
    bool end = false;

    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "id%zu", i);
        op_put(&specs[i], (dom_store_region)(i % 2), ids[i], "p=1", NULL);
        specs[i].op.targets = 3;
        if (i >= 90) {
            specs[i].op.kind = DOM_SLICE_LIT("room");
        }
    }
    harness_run_all(h, specs, 100);
    harness_settle(h);
    for (size_t rounds = 0; !end; rounds++) {
        size_t count = 0;
        assert_true(rounds < 100);
        dom_arena_reset(&h->arena);
        assert_int_equal(dom_store_scan(h->session, 0, DOM_SLICE_LIT("user"),
                                        dom_slice_of(last, last_len), 10, &h->arena, count_row,
                                        &count, last, &last_len, &end, &h->err), DOM_OK);
        total += count;
        assert_true(end || count == 7); /* the callback stops there */
    }
    assert_int_equal(total, 45);
    uint8_t long_key[65] = {0};
    assert_int_equal(dom_store_scan(h->session, 0, DOM_SLICE_LIT("user"),
                                    dom_slice_of(long_key, 65), 10, &h->arena, count_row, &total,
                                    last, &last_len, &end, &h->err), DOM_INVALID);
    assert_int_equal(dom_store_scan(h->session, 0, DOM_SLICE_LIT("nokind"), dom_slice_of("", 0),
                                    10, &h->arena, count_row, &total, last, &last_len, &end,
                                    &h->err), DOM_OK);
    assert_true(end);
    assert_int_equal(total, 45);
}

/* ---- many at once --------------------------------------------------------------------------- */

struct racer {
    struct harness *h;
    dom_store_region region;
    size_t created;
    size_t elsewhere;
    pthread_t thread;
};

static void *race(void *arg)
{
    struct racer *racer = arg;

    for (int i = 0; i < 200; i++) {
        struct op_spec spec;
        char id[16];
        (void)snprintf(id, sizeof(id), "race%d", i);
        op_put(&spec, racer->region, id, "p=1", NULL);
        spec.op.must_not_exist = true;
        switch ((int)harness_run(racer->h, &spec)) {
        case DOM_OK:
            racer->created++;
            break;
        case DOM_HOME_MISMATCH:
        case DOM_EXISTS:
            racer->elsewhere++;
            break;
        default:
            abort();
        }
    }
    return NULL;
}

static void racing_creates_make_one_home(void **state)
{
    struct harness *h = fresh(state, 3);
    struct racer racers[3];
    size_t homes = 0;

    for (size_t i = 0; i < 3; i++) {
        racers[i] = (struct racer){.h = h, .region = (dom_store_region)i};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
    }
    for (int i = 0; i < 200; i++) {
        char id[16];
        size_t here = 0;
        (void)snprintf(id, sizeof(id), "race%d", i);
        for (dom_store_region r = 0; r < 3; r++) {
            struct dom_store_row row;
            here += harness_get(h, r, id, &row) == DOM_OK && row.is_home;
        }
        assert_true(here <= 1);
        homes += here;
    }
    assert_int_equal(homes, racers[0].created + racers[1].created + racers[2].created);
}

static void queue_is_bounded(void **state)
{
    struct harness *h = fresh(state, 1);
    size_t count = DOM_COMMIT_QUEUE_MAX * 3U;
    struct op_spec *specs = calloc(count, sizeof(*specs));
    bool *done = calloc(count, sizeof(*done));
    enum dom_code rc = DOM_OK;
    size_t taken = 0;

    /* Faster in than out: the queue must say so at some time, and lose nothing it took. */
    while (taken < count && rc == DOM_OK) {
        op_append(&specs[taken], 0, "entry");
        specs[taken].op.owner = &done[taken];
        rc = dom_store_submit(h->store, &specs[taken].op, &h->err);
        taken += rc == DOM_OK;
    }
    if (taken < count) {
        assert_int_equal(rc, DOM_RESOURCE);
        assert_true(taken >= DOM_COMMIT_QUEUE_MAX);
    }
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    for (size_t i = 0; i < taken; i++) {
        while (!done[i]) {
            assert_int_equal(pthread_cond_wait(&h->wake, &h->lock), 0);
        }
        assert_int_equal(specs[i].op.code, DOM_OK);
        assert_int_equal(specs[i].receipts[0].index, i + 1);
    }
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
    free(specs);
    free(done);
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
        T(request_id_replays_its_first_answer),
        T(request_id_of_other_content_is_refused),
        T(request_id_in_one_group),
        T(failed_request_may_be_tried_again),
        T(request_id_is_forgotten_after_its_time),
        T(long_request_id_is_refused),
        T(hashes_are_keyed_by_region),
        T(pseudonyms_last_and_differ_by_key),
        T(scan_gives_every_home_row_once),
        T(racing_creates_make_one_home),
        T(queue_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
