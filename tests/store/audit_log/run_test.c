/* Packed runs: what went in comes out, what does not shrink stays as it is, and damage is told. */
#include "store/audit_log/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/audit/bundle.h"

static void add(struct dom_buffer *run, unsigned number, size_t pad, bool noise)
{
    struct dom_buffer entry = {0};

    dom_buffer_printf(&entry, "{\"actor\":\"moderation\",\"home\":\"DE\",\"n\":%u,\"pad\":\"", number);
    for (size_t i = 0; i < pad; i++) {
        dom_buffer_append_char(&entry, (char)(noise ? rand() % 255 + 1 : 'x'));
    }
    dom_buffer_append_str(&entry, "\"}");
    assert_int_equal(dom_bundle_append(run, dom_buffer_slice(&entry), NULL), DOM_OK);
    dom_buffer_cleanup(&entry);
}

static void expect_same(struct dom_slice run)
{
    struct dom_buffer packed = {0};
    struct dom_buffer plain = {0};
    struct dom_slice back;

    struct dom_slice stored = dom_run_pack(run, &packed);
    assert_true(stored.len <= run.len);
    assert_int_equal(dom_run_unpack(stored, &plain, &back, NULL), DOM_OK);
    assert_true(dom_slice_eq(back, run));
    dom_buffer_cleanup(&packed);
    dom_buffer_cleanup(&plain);
}

static void comes_back_as_it_was(void **state)
{
    (void)state;
    srand(7);
    for (unsigned count = 1; count < 300; count += 13) {
        for (unsigned noise = 0; noise < 2; noise++) {
            struct dom_buffer run = {0};
            for (unsigned i = 0; i < count; i++) {
                add(&run, i, (i * 37U) % 900U, noise != 0);
            }
            expect_same(dom_buffer_slice(&run));
            dom_buffer_cleanup(&run);
        }
    }
    expect_same(dom_slice_of(NULL, 0));
}

static void shrinks_what_repeats(void **state)
{
    struct dom_buffer run = {0};
    struct dom_buffer packed = {0};

    (void)state;
    for (unsigned i = 0; i < 128; i++) {
        add(&run, i, 500, false);
    }
    struct dom_slice stored = dom_run_pack(dom_buffer_slice(&run), &packed);
    assert_true(stored.len * 8 < run.len);
    assert_ptr_equal(stored.data, packed.data);
    dom_buffer_clear(&run);
    add(&run, 1, 0, false); /* too short to gain */
    stored = dom_run_pack(dom_buffer_slice(&run), &packed);
    assert_ptr_equal(stored.data, run.data);
    dom_buffer_cleanup(&packed);
    dom_buffer_cleanup(&run);
}

/* Every cut and every changed byte: an error, or bytes of the length that is said; never more. */
static void damage_is_told(void **state)
{
    struct dom_buffer run = {0};
    struct dom_buffer packed = {0};
    struct dom_buffer plain = {0};
    struct dom_slice back;
    unsigned told = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        add(&run, i, 40, false);
    }
    struct dom_slice stored = dom_run_pack(dom_buffer_slice(&run), &packed);
    assert_ptr_equal(stored.data, packed.data);
    for (size_t len = 7; len < stored.len; len++) {
        struct dom_slice cut = dom_slice_of(stored.data, len);
        assert_int_equal(dom_run_unpack(cut, &plain, &back, NULL), DOM_CORRUPT);
    }
    for (size_t at = 2; at < stored.len; at++) {
        struct dom_error err = {0};
        packed.data[at] ^= 0x55;
        enum dom_code rc = dom_run_unpack(stored, &plain, &back, &err);
        if (rc == DOM_OK) {
            assert_int_equal(back.len, run.len);
        } else {
            assert_int_equal(rc, DOM_CORRUPT);
            assert_non_null(strstr(err.message, "run of entries"));
            told++;
        }
        packed.data[at] ^= 0x55;
    }
    assert_true(told > 4); /* the whole head at least */
    dom_buffer_cleanup(&plain);
    dom_buffer_cleanup(&packed);
    dom_buffer_cleanup(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(shrinks_what_repeats),
        cmocka_unit_test(damage_is_told),
    };

    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
