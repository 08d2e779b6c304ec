/* The growing buffer: its limit, and that a failure stays until it is cleared. */
#include "base/buffer.h"

#include "tests/base/suite.h"

static void assert_holds(struct dom_buffer *buf, const char *text)
{
    assert_false(buf->failed);
    assert_true(dom_slice_eq_str(dom_buffer_slice(buf), text));
}

/* P12 */
static void take_the_limit_exactly(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 5);
    dom_buffer_append_str(&buf, "abcde");
    assert_holds(&buf, "abcde");
    dom_buffer_cleanup(&buf);
}

/* P12 */
static void refuse_one_byte_over_the_limit(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 5);
    dom_buffer_append_str(&buf, "abcdef");
    assert_true(buf.failed);
    assert_int_equal(buf.len, 0); /* nothing in part */
    dom_buffer_cleanup(&buf);
}

static void stay_failed_though_a_later_append_would_fit(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 5);
    dom_buffer_append_str(&buf, "abc");
    dom_buffer_append_str(&buf, "def");
    dom_buffer_append_char(&buf, 'x');
    dom_buffer_append_u16be(&buf, 1);
    dom_buffer_printf(&buf, "%d", 1);
    assert_null(dom_buffer_extend(&buf, 1));
    assert_true(buf.failed);
    assert_int_equal(buf.len, 3);
    assert_null(dom_buffer_cstr(&buf));
    dom_buffer_cleanup(&buf);
}

static void clear_forgets_the_failure_and_keeps_the_memory(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 5);
    dom_buffer_append_str(&buf, "abc");
    dom_buffer_append_str(&buf, "def");
    const uint8_t *before = buf.data;
    dom_buffer_clear(&buf);
    assert_false(buf.failed);
    assert_int_equal(buf.len, 0);
    dom_buffer_append_str(&buf, "fresh");
    assert_holds(&buf, "fresh");
    assert_ptr_equal(buf.data, before);
    dom_buffer_cleanup(&buf);
}

static void refuse_a_length_that_overflows(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    dom_buffer_append_char(&buf, 'a');
    assert_null(dom_buffer_extend(&buf, SIZE_MAX));
    assert_true(buf.failed);
    assert_int_equal(buf.len, 1);
    dom_buffer_cleanup(&buf);
}

static void grow_without_limit_when_it_is_zero(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        dom_buffer_append_char(&buf, (char)('a' + (char)(i % 26)));
    }
    assert_false(buf.failed);
    assert_int_equal(buf.len, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(buf.data[i], 'a' + (int)(i % 26));
    }
    dom_buffer_cleanup(&buf);
}

static void printf_grows_past_the_first_allocation(void **state)
{
    struct dom_buffer buf = {0};
    char text[301];

    (void)state;
    memset(text, 'y', 300);
    text[300] = '\0';
    dom_buffer_append_str(&buf, "x");
    dom_buffer_printf(&buf, "%s%d", text, 42);
    assert_int_equal(buf.len, 303);
    assert_memory_equal(buf.data, "xyy", 3);
    assert_memory_equal(buf.data + 300, "y42", 3);
    dom_buffer_cleanup(&buf);
}

/* P12: the NUL that printf writes is not one of the buffer's bytes. */
static void printf_takes_the_limit_exactly(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 5);
    dom_buffer_printf(&buf, "%d", 12345);
    assert_holds(&buf, "12345");
    dom_buffer_cleanup(&buf);
}

static void printf_refuses_one_byte_over_the_limit(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 5);
    dom_buffer_printf(&buf, "%d", 123456);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 0);
    dom_buffer_cleanup(&buf);
}

static void cstr_of_a_full_buffer_is_not_over_the_limit(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 64); /* the first allocation is full too: the NUL needs another */
    for (unsigned i = 0; i < 64; i++) {
        dom_buffer_append_char(&buf, 'z');
    }
    const char *text = dom_buffer_cstr(&buf);
    assert_non_null(text);
    assert_int_equal(strlen(text), 64);
    assert_int_equal(buf.len, 64);
    assert_false(buf.failed);
    dom_buffer_cleanup(&buf);
}

static void cstr_of_an_empty_buffer_is_the_empty_string(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    assert_string_equal(dom_buffer_cstr(&buf), "");
    assert_int_equal(buf.len, 0);
    dom_buffer_cleanup(&buf);
}

static void extend_by_nothing_gives_a_pointer_even_when_full(void **state)
{
    struct dom_buffer buf;

    (void)state;
    dom_buffer_init(&buf, 3);
    assert_non_null(dom_buffer_extend(&buf, 0));
    dom_buffer_append_str(&buf, "abc");
    assert_non_null(dom_buffer_extend(&buf, 0));
    assert_holds(&buf, "abc");
    dom_buffer_cleanup(&buf);
}

static void extend_counts_its_bytes_at_once(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    uint8_t *at = dom_buffer_extend(&buf, 3);
    assert_non_null(at);
    memcpy(at, "abc", 3);
    assert_holds(&buf, "abc");
    dom_buffer_cleanup(&buf);
}

static void append_of_nothing_does_nothing(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    dom_buffer_append(&buf, NULL, 0);
    dom_buffer_append_slice(&buf, dom_slice_of(NULL, 0));
    dom_buffer_append_str(&buf, "");
    assert_false(buf.failed);
    assert_null(buf.data);
    dom_buffer_cleanup(&buf);
}

static void integers_are_big_endian(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    dom_buffer_append_u16be(&buf, 0x0102);
    dom_buffer_append_u32be(&buf, 0x03040506);
    dom_buffer_append_u64be(&buf, UINT64_C(0x0708090A0B0C0D0E));
    assert_int_equal(buf.len, 14);
    for (size_t i = 0; i < 14; i++) {
        assert_int_equal(buf.data[i], i + 1);
    }
    dom_buffer_cleanup(&buf);
}

static void over_borrowed_memory_it_never_grows(void **state)
{
    uint8_t memory[4] = "....";
    struct dom_buffer buf = dom_buffer_over(memory, sizeof(memory));

    (void)state;
    assert_non_null(dom_buffer_extend(&buf, 2)); /* what lies there stays */
    dom_buffer_append_str(&buf, "ab");
    assert_ptr_equal(buf.data, memory);
    assert_memory_equal(memory, "..ab", 4);
    assert_false(buf.failed);
    dom_buffer_append_char(&buf, 'c');
    assert_true(buf.failed);
    assert_int_equal(buf.len, 4);
    dom_buffer_clear(&buf);
    dom_buffer_append_str(&buf, "cd");
    assert_memory_equal(memory, "cdab", 4);
}

static void cleanup_twice_is_legal(void **state)
{
    struct dom_buffer buf = {0};

    (void)state;
    dom_buffer_append_char(&buf, 'a');
    dom_buffer_cleanup(&buf);
    dom_buffer_cleanup(&buf);
    assert_null(buf.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_the_limit_exactly),
        cmocka_unit_test(refuse_one_byte_over_the_limit),
        cmocka_unit_test(stay_failed_though_a_later_append_would_fit),
        cmocka_unit_test(clear_forgets_the_failure_and_keeps_the_memory),
        cmocka_unit_test(refuse_a_length_that_overflows),
        cmocka_unit_test(grow_without_limit_when_it_is_zero),
        cmocka_unit_test(printf_grows_past_the_first_allocation),
        cmocka_unit_test(printf_takes_the_limit_exactly),
        cmocka_unit_test(printf_refuses_one_byte_over_the_limit),
        cmocka_unit_test(cstr_of_a_full_buffer_is_not_over_the_limit),
        cmocka_unit_test(cstr_of_an_empty_buffer_is_the_empty_string),
        cmocka_unit_test(extend_by_nothing_gives_a_pointer_even_when_full),
        cmocka_unit_test(extend_counts_its_bytes_at_once),
        cmocka_unit_test(append_of_nothing_does_nothing),
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(over_borrowed_memory_it_never_grows),
        cmocka_unit_test(cleanup_twice_is_legal),
    };

    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
