/* Slices: equality without prefixes, C strings for the OS, and which bytes are UTF-8. */
#include "base/slice.h"

#include <stdlib.h>

#include "base/macros.h"
#include "tests/base/suite.h"

struct utf8_case {
    const char *what;
    struct dom_slice bytes;
};

static const struct utf8_case s_valid[] = {
    {"nothing", {NULL, 0}},
    {"ascii", {(const uint8_t *)"room-1", 6}},
    {"NUL is a code point", {(const uint8_t *)"a\0b", 3}},
    {"U+007F", {(const uint8_t *)"\x7F", 1}},
    {"U+0080, the smallest of two bytes", {(const uint8_t *)"\xC2\x80", 2}},
    {"U+07FF, the largest of two bytes", {(const uint8_t *)"\xDF\xBF", 2}},
    {"U+0800, the smallest of three bytes", {(const uint8_t *)"\xE0\xA0\x80", 3}},
    {"U+D7FF, just below the surrogates", {(const uint8_t *)"\xED\x9F\xBF", 3}},
    {"U+E000, just above the surrogates", {(const uint8_t *)"\xEE\x80\x80", 3}},
    {"U+FFFF, the largest of three bytes", {(const uint8_t *)"\xEF\xBF\xBF", 3}},
    {"U+10000, the smallest of four bytes", {(const uint8_t *)"\xF0\x90\x80\x80", 4}},
    {"U+10FFFF, the largest", {(const uint8_t *)"\xF4\x8F\xBF\xBF", 4}},
};

static const struct utf8_case s_invalid[] = {
    {"lone continuation", {(const uint8_t *)"\x80", 1}},
    {"lone continuation after text", {(const uint8_t *)"ab\xBF", 3}},
    {"overlong / in two bytes", {(const uint8_t *)"\xC0\xAF", 2}},
    {"overlong NUL in two bytes", {(const uint8_t *)"\xC0\x80", 2}},
    {"overlong U+007F in two bytes", {(const uint8_t *)"\xC1\xBF", 2}},
    {"overlong U+07FF in three bytes", {(const uint8_t *)"\xE0\x9F\xBF", 3}},
    {"overlong / in three bytes", {(const uint8_t *)"\xE0\x80\xAF", 3}},
    {"overlong U+FFFF in four bytes", {(const uint8_t *)"\xF0\x8F\xBF\xBF", 4}},
    {"overlong / in four bytes", {(const uint8_t *)"\xF0\x80\x80\xAF", 4}},
    {"first high surrogate U+D800", {(const uint8_t *)"\xED\xA0\x80", 3}},
    {"last low surrogate U+DFFF", {(const uint8_t *)"\xED\xBF\xBF", 3}},
    {"a pair of surrogates", {(const uint8_t *)"\xED\xA0\xBD\xED\xB8\x80", 6}},
    {"U+110000", {(const uint8_t *)"\xF4\x90\x80\x80", 4}},
    {"lead byte F5", {(const uint8_t *)"\xF5\x80\x80\x80", 4}},
    {"five-byte form", {(const uint8_t *)"\xF8\x88\x80\x80\x80", 5}},
    {"six-byte form", {(const uint8_t *)"\xFC\x84\x80\x80\x80\x80", 6}},
    {"byte FE", {(const uint8_t *)"\xFE", 1}},
    {"byte FF", {(const uint8_t *)"\xFF", 1}},
    {"two bytes, one given", {(const uint8_t *)"\xC3", 1}},
    {"three bytes, one given", {(const uint8_t *)"\xE2", 1}},
    {"three bytes, two given", {(const uint8_t *)"\xE2\x82", 2}},
    {"four bytes, three given", {(const uint8_t *)"\xF0\x9F\x98", 3}},
    {"lead byte, then ascii", {(const uint8_t *)"\xC3(", 2}},
    {"third byte is ascii", {(const uint8_t *)"\xE2\x82(", 3}},
    {"fourth byte is a lead byte", {(const uint8_t *)"\xF0\x9F\x98\xC3", 4}},
    {"latin-1 text", {(const uint8_t *)"caf\xE9", 4}},
};

static void accept_well_formed_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_valid); i++) {
        if (!dom_utf8_valid(s_valid[i].bytes)) {
            fail_msg("refused: %s", s_valid[i].what);
        }
    }
}

static void refuse_malformed_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_invalid); i++) {
        if (dom_utf8_valid(s_invalid[i].bytes)) {
            fail_msg("accepted: %s", s_invalid[i].what);
        }
    }
}

/* Against a decoder written another way: every sequence of one and two bytes, and every three-byte
 * one whose last byte is at an edge. */
static void refuse_exactly_what_the_table_of_rfc_3629_leaves_out(void **state)
{
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};

    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        uint8_t one[1] = {(uint8_t)a};
        assert_int_equal(dom_utf8_valid(dom_slice_of(one, 1)), a < 0x80);
        for (unsigned b = 0; b < 256; b++) {
            uint8_t two[2] = {(uint8_t)a, (uint8_t)b};
            bool tail = b >= 0x80 && b <= 0xBF;
            bool want = (a < 0x80 && b < 0x80) || (a >= 0xC2 && a <= 0xDF && tail);
            assert_int_equal(dom_utf8_valid(dom_slice_of(two, 2)), want);
            for (size_t i = 0; i < DOM_ARRAY_LEN(edges); i++) {
                uint8_t three[3] = {(uint8_t)a, (uint8_t)b, edges[i]};
                bool last = edges[i] >= 0x80 && edges[i] <= 0xBF;
                unsigned low = a == 0xE0 ? 0xA0 : 0x80;
                unsigned high = a == 0xED ? 0x9F : 0xBF;
                bool whole = a >= 0xE0 && a <= 0xEF && b >= low && b <= high && last;
                bool split = (want && edges[i] < 0x80) ||
                             (a < 0x80 && b >= 0xC2 && b <= 0xDF && last);
                assert_int_equal(dom_utf8_valid(dom_slice_of(three, 3)), whole || split);
            }
        }
    }
}

static void not_read_past_a_truncated_sequence(void **state)
{
    uint8_t exact[1] = {0xF0}; /* under ASan a read behind it is an error */

    (void)state;
    assert_false(dom_utf8_valid(dom_slice_of(exact, 1)));
}

/* P2: no string is ever matched by prefix. */
static void not_equal_to_a_prefix(void **state)
{
    (void)state;
    assert_false(dom_slice_eq(DOM_SLICE_LIT("eu-west"), DOM_SLICE_LIT("eu-west-2")));
    assert_false(dom_slice_eq(DOM_SLICE_LIT("eu-west-2"), DOM_SLICE_LIT("eu-west")));
    assert_false(dom_slice_eq(DOM_SLICE_LIT("a"), DOM_SLICE_LIT("a\0")));
    assert_false(dom_slice_eq_str(DOM_SLICE_LIT("a\0b"), "a"));
    assert_false(dom_slice_eq(DOM_SLICE_LIT("a"), DOM_SLICE_LIT("A")));
    assert_true(dom_slice_eq(DOM_SLICE_LIT("a\0b"), DOM_SLICE_LIT("a\0b")));
}

static void equal_when_both_are_empty_and_one_has_no_memory(void **state)
{
    (void)state;
    assert_true(dom_slice_eq(dom_slice_of(NULL, 0), DOM_SLICE_LIT("")));
    assert_int_equal(dom_slice_cmp(dom_slice_of(NULL, 0), DOM_SLICE_LIT("")), 0);
}

static void order_by_unsigned_bytes_then_length(void **state)
{
    (void)state;
    assert_true(dom_slice_cmp(DOM_SLICE_LIT("a"), DOM_SLICE_LIT("b")) < 0);
    assert_true(dom_slice_cmp(DOM_SLICE_LIT("b"), DOM_SLICE_LIT("a")) > 0);
    assert_true(dom_slice_cmp(DOM_SLICE_LIT("a"), DOM_SLICE_LIT("aa")) < 0);
    assert_true(dom_slice_cmp(DOM_SLICE_LIT("ab"), DOM_SLICE_LIT("a")) > 0);
    assert_true(dom_slice_cmp(DOM_SLICE_LIT("\x7F"), DOM_SLICE_LIT("\x80")) < 0);
    assert_true(dom_slice_cmp(dom_slice_of(NULL, 0), DOM_SLICE_LIT("a")) < 0);
    assert_int_equal(dom_slice_cmp(DOM_SLICE_LIT("ab"), DOM_SLICE_LIT("ab")), 0);
}

static void to_cstr_fits_exactly_with_its_nul(void **state)
{
    char out[4];

    (void)state;
    assert_true(dom_slice_to_cstr(DOM_SLICE_LIT("abc"), out, sizeof(out)));
    assert_string_equal(out, "abc");
}

static void to_cstr_refuses_one_byte_too_many(void **state)
{
    char out[4] = "xxx";

    (void)state;
    assert_false(dom_slice_to_cstr(DOM_SLICE_LIT("abcd"), out, sizeof(out)));
    assert_string_equal(out, "");
}

/* A name with a NUL would reach the OS as another, shorter name. */
static void to_cstr_refuses_an_inner_nul(void **state)
{
    char out[8] = "xxx";

    (void)state;
    assert_false(dom_slice_to_cstr(DOM_SLICE_LIT("a\0b"), out, sizeof(out)));
    assert_string_equal(out, "");
    assert_false(dom_slice_to_cstr(DOM_SLICE_LIT("\0"), out, sizeof(out)));
    assert_false(dom_slice_to_cstr(DOM_SLICE_LIT("ab\0"), out, sizeof(out)));
}

static void to_cstr_writes_nothing_into_no_room(void **state)
{
    char out[1] = {'x'};

    (void)state;
    assert_false(dom_slice_to_cstr(DOM_SLICE_LIT(""), out, 0));
    assert_int_equal(out[0], 'x');
}

static void to_cstr_of_nothing_is_the_empty_string(void **state)
{
    char out[1] = {'x'};

    (void)state;
    assert_true(dom_slice_to_cstr(dom_slice_of(NULL, 0), out, sizeof(out)));
    assert_string_equal(out, "");
}

static void a_copy_on_the_heap_ends_with_a_nul(void **state)
{
    const char text[] = {'a', 'b', 'c', 'd'}; /* no NUL behind it */
    (void)state;

    char *copy = dom_slice_dup(dom_slice_of(text, sizeof(text)));
    assert_string_equal(copy, "abcd");
    free(copy);
    copy = dom_slice_dup(dom_slice_of(NULL, 0));
    assert_string_equal(copy, "");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_on_the_heap_ends_with_a_nul),
        cmocka_unit_test(accept_well_formed_utf8),
        cmocka_unit_test(refuse_malformed_utf8),
        cmocka_unit_test(refuse_exactly_what_the_table_of_rfc_3629_leaves_out),
        cmocka_unit_test(not_read_past_a_truncated_sequence),
        cmocka_unit_test(not_equal_to_a_prefix),
        cmocka_unit_test(equal_when_both_are_empty_and_one_has_no_memory),
        cmocka_unit_test(order_by_unsigned_bytes_then_length),
        cmocka_unit_test(to_cstr_fits_exactly_with_its_nul),
        cmocka_unit_test(to_cstr_refuses_one_byte_too_many),
        cmocka_unit_test(to_cstr_refuses_an_inner_nul),
        cmocka_unit_test(to_cstr_writes_nothing_into_no_room),
        cmocka_unit_test(to_cstr_of_nothing_is_the_empty_string),
    };

    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
