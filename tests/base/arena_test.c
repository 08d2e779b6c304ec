/* The arena: what it hands out, and that its limit holds (P12). */
#include "base/arena.h"

#include "tests/base/suite.h"

static bool aligned(const void *at)
{
    return (uintptr_t)at % 16 == 0;
}

/* P12 */
static void give_the_limit_exactly(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 100);
    uint8_t *all = dom_arena_alloc(&arena, 100);
    assert_non_null(all);
    memset(all, 0xA5, 100);
    assert_false(arena.exhausted);
    dom_arena_cleanup(&arena);
}

/* P12 */
static void refuse_one_byte_over_the_limit(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 100);
    assert_null(dom_arena_alloc(&arena, 101));
    assert_true(arena.exhausted);
    dom_arena_cleanup(&arena);
}

/* P12 */
static void refuse_what_the_sum_of_allocations_exceeds(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 96);
    assert_non_null(dom_arena_alloc(&arena, 48));
    assert_non_null(dom_arena_alloc(&arena, 48));
    assert_null(dom_arena_alloc(&arena, 1));
    assert_true(arena.exhausted);
    dom_arena_cleanup(&arena);
}

/* P12: a peer that asks for many small things must not get more memory than the cap. */
static void count_small_allocations_by_the_memory_that_they_take(void **state)
{
    struct dom_arena arena;
    size_t num = 0;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 4096);
    while (num <= 4096 && dom_arena_alloc(&arena, 1) != NULL) {
        num++;
    }
    assert_int_equal(num, 4096 / 16);
    dom_arena_cleanup(&arena);
}

static void serve_a_smaller_request_after_a_refused_one(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 64);
    assert_null(dom_arena_alloc(&arena, 65));
    assert_non_null(dom_arena_alloc(&arena, 64));
    assert_true(arena.exhausted); /* it remembers */
    dom_arena_cleanup(&arena);
}

static void refuse_sizes_whose_padding_would_overflow(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, SIZE_MAX);
    for (size_t less = 0; less < 64; less++) {
        assert_null(dom_arena_alloc(&arena, SIZE_MAX - less));
    }
    assert_true(arena.exhausted);
    dom_arena_cleanup(&arena);
}

static void refuse_a_calloc_whose_product_overflows(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 1U << 20);
    assert_null(dom_arena_calloc(&arena, SIZE_MAX / 2 + 1, 2)); /* the product is 0 */
    assert_true(arena.exhausted);
    assert_null(dom_arena_calloc(&arena, SIZE_MAX, SIZE_MAX)); /* the product is 1 */
    dom_arena_cleanup(&arena);
}

static void zero_what_calloc_gives(void **state)
{
    struct dom_arena arena;
    uint8_t first[256];

    (void)state;
    memset(first, 0xFF, sizeof(first));
    dom_arena_init(&arena, first, sizeof(first), 256);
    const uint8_t *got = dom_arena_calloc(&arena, 5, 7);
    assert_non_null(got);
    for (size_t i = 0; i < 35; i++) {
        assert_int_equal(got[i], 0);
    }
    dom_arena_cleanup(&arena);
}

static void align_every_allocation_to_16(void **state)
{
    struct dom_arena arena;
    uint8_t first[100];

    (void)state;
    for (size_t skew = 0; skew < 16; skew++) {
        dom_arena_init(&arena, first + skew, sizeof(first) - skew, 1U << 20);
        for (size_t size = 0; size < 40; size++) {
            void *at = dom_arena_alloc(&arena, size);
            assert_non_null(at);
            assert_true(aligned(at));
            memset(at, 1, size);
        }
        dom_arena_cleanup(&arena);
    }
}

static void give_distinct_bytes(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 1U << 20);
    for (size_t i = 0; i < 1000; i++) {
        uint8_t *at = dom_arena_calloc(&arena, 1, 33);
        assert_non_null(at);
        for (size_t k = 0; k < 33; k++) {
            assert_int_equal(at[k], 0); /* not a byte that an earlier one wrote */
        }
        memset(at, 0xEE, 33);
    }
    dom_arena_cleanup(&arena);
}

static void give_a_pointer_for_nothing(void **state)
{
    struct dom_arena arena;
    uint8_t tiny[3];

    (void)state;
    dom_arena_init(&arena, NULL, 0, 100);
    assert_non_null(dom_arena_alloc(&arena, 0));
    dom_arena_cleanup(&arena);
    dom_arena_init(&arena, tiny, sizeof(tiny), 100); /* may be too small to be aligned */
    assert_non_null(dom_arena_alloc(&arena, 0));
    dom_arena_cleanup(&arena);
}

static bool inside(const uint8_t *first, size_t size, const void *at)
{
    return (const uint8_t *)at >= first && (const uint8_t *)at < first + size;
}

static void use_the_first_block_before_the_heap(void **state)
{
    struct dom_arena arena;
    uint8_t first[128];

    (void)state;
    dom_arena_init(&arena, first, sizeof(first), 4096);
    assert_true(inside(first, sizeof(first), dom_arena_alloc(&arena, 64)));
    assert_null(arena.blocks);
    assert_false(inside(first, sizeof(first), dom_arena_alloc(&arena, 100)));
    assert_non_null(arena.blocks);
    dom_arena_cleanup(&arena);
}

static void reset_keeps_the_first_block_and_the_limit(void **state)
{
    struct dom_arena arena;
    uint8_t first[128];

    (void)state;
    dom_arena_init(&arena, first, sizeof(first), 1024);
    const void *before = dom_arena_alloc(&arena, 16);
    assert_non_null(dom_arena_alloc(&arena, 1000)); /* on the heap: freed by the reset */
    assert_null(dom_arena_alloc(&arena, 1000));
    assert_true(arena.exhausted);
    dom_arena_reset(&arena);
    assert_false(arena.exhausted);
    assert_null(arena.blocks);
    assert_ptr_equal(dom_arena_alloc(&arena, 16), before);
    assert_null(dom_arena_alloc(&arena, 1025));
    assert_non_null(dom_arena_alloc(&arena, 1000));
    dom_arena_cleanup(&arena);
}

static void dup_ends_with_a_nul_that_is_not_counted(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 4);
    assert_string_equal(dom_arena_dup(&arena, DOM_SLICE_LIT("abc")), "abc");
    dom_arena_reset(&arena);
    assert_null(dom_arena_dup(&arena, DOM_SLICE_LIT("abcd"))); /* its NUL is over the limit */
    assert_true(arena.exhausted);
    dom_arena_cleanup(&arena);
}

static void dup_of_nothing_is_the_empty_string(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 16);
    assert_string_equal(dom_arena_dup(&arena, dom_slice_of(NULL, 0)), "");
    dom_arena_cleanup(&arena);
}

static void dup_refuses_a_length_that_has_no_successor(void **state)
{
    struct dom_arena arena;
    uint8_t byte = 0;

    (void)state;
    dom_arena_init(&arena, NULL, 0, SIZE_MAX);
    assert_null(dom_arena_dup(&arena, dom_slice_of(&byte, SIZE_MAX)));
    dom_arena_cleanup(&arena);
}

static void printf_fits_exactly_and_not_one_more(void **state)
{
    struct dom_arena arena;

    (void)state;
    dom_arena_init(&arena, NULL, 0, 9);
    assert_string_equal(dom_arena_printf(&arena, "keys[%u]", 3U), "keys[3]");
    dom_arena_reset(&arena);
    assert_string_equal(dom_arena_printf(&arena, "keys[%u]", 33U), "keys[33]");
    dom_arena_reset(&arena);
    assert_null(dom_arena_printf(&arena, "keys[%u]", 333U));
    assert_true(arena.exhausted);
    dom_arena_cleanup(&arena);
}

static void cleanup_of_a_zeroed_arena_does_nothing(void **state)
{
    struct dom_arena arena = {0};

    (void)state;
    dom_arena_cleanup(&arena);
    dom_arena_cleanup(&arena);
    assert_null(dom_arena_alloc(&arena, 1)); /* its limit is 0 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(give_the_limit_exactly),
        cmocka_unit_test(refuse_one_byte_over_the_limit),
        cmocka_unit_test(refuse_what_the_sum_of_allocations_exceeds),
        cmocka_unit_test(count_small_allocations_by_the_memory_that_they_take),
        cmocka_unit_test(serve_a_smaller_request_after_a_refused_one),
        cmocka_unit_test(refuse_sizes_whose_padding_would_overflow),
        cmocka_unit_test(refuse_a_calloc_whose_product_overflows),
        cmocka_unit_test(zero_what_calloc_gives),
        cmocka_unit_test(align_every_allocation_to_16),
        cmocka_unit_test(give_distinct_bytes),
        cmocka_unit_test(give_a_pointer_for_nothing),
        cmocka_unit_test(use_the_first_block_before_the_heap),
        cmocka_unit_test(reset_keeps_the_first_block_and_the_limit),
        cmocka_unit_test(dup_ends_with_a_nul_that_is_not_counted),
        cmocka_unit_test(dup_of_nothing_is_the_empty_string),
        cmocka_unit_test(dup_refuses_a_length_that_has_no_successor),
        cmocka_unit_test(printf_fits_exactly_and_not_one_more),
        cmocka_unit_test(cleanup_of_a_zeroed_arena_does_nothing),
    };

    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
