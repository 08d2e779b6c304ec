#include "store/audit_log/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "store/audit/bundle.h"

/* Entry `index` says its index, and is as long as the index makes it. */
static void add_entries(struct dom_audit_recent *recent, uint64_t first, uint64_t count)
{
    struct dom_buffer run = {0};
    char text[64];

    for (uint64_t i = first; i < first + count; i++) {
        int len = snprintf(text, sizeof(text), "%0*llu", (int)(i % 40) + 5, (unsigned long long)i);
        assert_int_equal(
            dom_bundle_append(&run, dom_slice_of((const uint8_t *)text, (size_t)len), NULL), DOM_OK);
    }
    dom_audit_recent_add(recent, first, count, dom_buffer_slice(&run));
    dom_buffer_cleanup(&run);
}

static void assert_entries(struct dom_audit_recent *recent, uint64_t first, uint64_t count)
{
    struct dom_bundle_iter iter;
    struct dom_slice bytes;
    struct dom_slice entry;
    bool done = false;

    assert_true(dom_audit_recent_find(recent, first, count, &bytes));
    dom_bundle_iter_init(&iter, bytes);
    for (uint64_t i = first; i < first + count; i++) {
        char text[64];
        assert_int_equal(dom_bundle_next(&iter, &entry, &done, NULL), DOM_OK);
        assert_false(done);
        assert_true(dom_slice_to_cstr(entry, text, sizeof(text)));
        assert_int_equal(strtoull(text, NULL, 10), i);
    }
    assert_int_equal(dom_bundle_next(&iter, &entry, &done, NULL), DOM_OK);
    assert_true(done);
}

static void entries_come_back_in_any_order(void **state)
{
    struct dom_audit_recent recent = {0};

    (void)state;
    add_entries(&recent, 1000, 300);
    add_entries(&recent, 1300, 1);
    add_entries(&recent, 1301, 299);
    assert_entries(&recent, 1000, 600);
    assert_entries(&recent, 1024, 256);
    assert_entries(&recent, 1280, 256);
    assert_entries(&recent, 1024, 1);
    assert_entries(&recent, 1599, 1);
    dom_audit_recent_cleanup(&recent);
}

static void what_is_not_held_is_not_given(void **state)
{
    struct dom_audit_recent recent = {0};
    struct dom_slice bytes;

    (void)state;
    assert_false(dom_audit_recent_find(&recent, 0, 1, &bytes));
    add_entries(&recent, 512, 100);
    assert_false(dom_audit_recent_find(&recent, 511, 1, &bytes));
    assert_false(dom_audit_recent_find(&recent, 511, 2, &bytes));
    assert_false(dom_audit_recent_find(&recent, 611, 2, &bytes));
    assert_false(dom_audit_recent_find(&recent, 612, 1, &bytes));
    assert_false(dom_audit_recent_find(&recent, 600, UINT64_MAX, &bytes));
    assert_entries(&recent, 611, 1);
    dom_audit_recent_cleanup(&recent);
}

static void a_gap_forgets_what_was_before_it(void **state)
{
    struct dom_audit_recent recent = {0};
    struct dom_slice bytes;

    (void)state;
    add_entries(&recent, 0, 10);
    add_entries(&recent, 11, 10); /* 10 is missing */
    assert_false(dom_audit_recent_find(&recent, 9, 1, &bytes));
    assert_entries(&recent, 11, 10);
    add_entries(&recent, 5, 3); /* set back */
    assert_false(dom_audit_recent_find(&recent, 11, 1, &bytes));
    assert_entries(&recent, 5, 3);
    dom_audit_recent_forget(&recent, 8);
    assert_false(dom_audit_recent_find(&recent, 5, 1, &bytes));
    dom_audit_recent_cleanup(&recent);
}

static void trimming_keeps_the_last_bundle(void **state)
{
    struct dom_audit_recent recent = {0};
    struct dom_slice bytes;

    (void)state;
    add_entries(&recent, 0, 700);
    dom_audit_recent_trim(&recent, 512);
    assert_false(dom_audit_recent_find(&recent, 511, 1, &bytes));
    assert_entries(&recent, 512, 188);
    add_entries(&recent, 700, 100);
    assert_entries(&recent, 512, 256);
    dom_audit_recent_trim(&recent, 256); /* back: nothing to do */
    assert_entries(&recent, 512, 288);
    dom_audit_recent_trim(&recent, 800);
    assert_int_equal(recent.bytes.len, 0);
    add_entries(&recent, 800, 1);
    assert_entries(&recent, 800, 1);
    dom_audit_recent_trim(&recent, 5000); /* past the end */
    add_entries(&recent, 801, 1);
    assert_entries(&recent, 801, 1);
    dom_audit_recent_cleanup(&recent);
}

static void moving_joins_what_follows(void **state)
{
    struct dom_audit_recent recent = {0};
    struct dom_audit_recent pending = {0};
    struct dom_slice bytes;

    (void)state;
    add_entries(&pending, 300, 50);
    dom_audit_recent_move(&recent, &pending);
    assert_entries(&recent, 300, 50);
    assert_false(dom_audit_recent_find(&pending, 300, 1, &bytes));
    add_entries(&pending, 350, 50);
    dom_audit_recent_move(&recent, &pending);
    assert_entries(&recent, 300, 100);
    dom_audit_recent_move(&recent, &pending); /* nothing */
    assert_entries(&recent, 300, 100);
    add_entries(&pending, 401, 5); /* 400 never came */
    dom_audit_recent_move(&recent, &pending);
    assert_false(dom_audit_recent_find(&recent, 399, 1, &bytes));
    assert_entries(&recent, 401, 5);
    dom_audit_recent_cleanup(&recent);
    dom_audit_recent_cleanup(&pending);
}

/* P12: at the limit everything is held, one byte more and the older entries are forgotten. */
static void memory_is_bounded(void **state)
{
    struct dom_audit_recent recent = {0};
    struct dom_buffer run = {0};
    struct dom_slice bytes;

    (void)state;
    assert_non_null(dom_buffer_extend(&run, DOM_AUDIT_RECENT_BYTES_MAX));
    dom_audit_recent_add(&recent, 0, 1, dom_slice_of(run.data, DOM_AUDIT_RECENT_BYTES_MAX - 1));
    dom_audit_recent_add(&recent, 1, 1, dom_slice_of(run.data, 1));
    assert_int_equal(recent.first, 0);
    assert_int_equal(recent.bytes.len, DOM_AUDIT_RECENT_BYTES_MAX);
    dom_audit_recent_add(&recent, 2, 1, dom_slice_of(run.data, 1));
    assert_int_equal(recent.first, 2);
    assert_int_equal(recent.bytes.len, 1);
    (void)dom_buffer_extend(&run, 1);
    dom_audit_recent_add(&recent, 3, 7, dom_buffer_slice(&run));
    assert_int_equal(recent.bytes.len, 0);
    assert_int_equal(recent.first, 10);
    assert_false(dom_audit_recent_find(&recent, 3, 1, &bytes));
    dom_buffer_cleanup(&run);
    dom_audit_recent_cleanup(&recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back_in_any_order),
        cmocka_unit_test(what_is_not_held_is_not_given),
        cmocka_unit_test(a_gap_forgets_what_was_before_it),
        cmocka_unit_test(trimming_keeps_the_last_bundle),
        cmocka_unit_test(moving_joins_what_follows),
        cmocka_unit_test(memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
