/* gzip members: what goes in comes out, others can read it, and whatever is wrong is told. */
#include "base/gzip/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#define BIG (17U << 20)

static void fill(struct dom_buffer *buf, size_t len, unsigned noise)
{
    uint8_t *bytes = dom_buffer_extend(buf, len);

    assert_true(len == 0 || bytes != NULL);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(noise == 0 ? i % 61 : (size_t)rand() % noise);
    }
}

/* zlib, which is not what wrote it, must read the same bytes. */
static void expect_zlib_reads(struct dom_slice member, struct dom_slice want)
{
    z_stream stream = {0};
    uint8_t *out = malloc(want.len + 1);

    assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
    stream.next_in = (uint8_t *)(uintptr_t)member.data;
    stream.avail_in = (uInt)member.len;
    stream.next_out = out;
    stream.avail_out = (uInt)want.len + 1;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(stream.total_out, want.len);
    assert_true(want.len == 0 || memcmp(out, want.data, want.len) == 0);
    assert_int_equal(inflateEnd(&stream), Z_OK);
    free(out);
}

static void comes_back_as_it_was(void **state)
{
    static const size_t s_lens[] = {0, 1, 2, 17, 255, 4096, 65535, 65536, 300000, 5U << 20, BIG};
    static const unsigned s_noise[] = {0, 3, 256};

    (void)state;
    srand(11);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_lens); i++) {
        for (size_t j = 0; j < DOM_ARRAY_LEN(s_noise); j++) {
            struct dom_buffer plain = {0};
            struct dom_buffer member = {0};
            struct dom_buffer back = {0};
            fill(&plain, s_lens[i], s_noise[j]);
            struct dom_slice want = dom_buffer_slice(&plain);
            dom_buffer_append_str(&back, "before");
            assert_int_equal(dom_gzip(&member, want, NULL), DOM_OK);
            struct dom_slice bytes = dom_buffer_slice(&member);
            assert_true(dom_gzip_begins(bytes));
            expect_zlib_reads(bytes, want);
            assert_int_equal(dom_gunzip(&back, bytes, s_lens[i], NULL), DOM_OK);
            assert_int_equal(back.len, 6 + want.len);
            assert_memory_equal(back.data, "before", 6);
            assert_true(want.len == 0 || memcmp(back.data + 6, want.data, want.len) == 0);
            dom_buffer_cleanup(&plain);
            dom_buffer_cleanup(&member);
            dom_buffer_cleanup(&back);
        }
    }
}

static void expect(struct dom_slice member, size_t bytes_max, enum dom_code code, const char *words)
{
    struct dom_buffer out = {0};
    struct dom_error err = {0};

    dom_buffer_append_str(&out, "kept");
    assert_int_equal(dom_gunzip(&out, member, bytes_max, &err), code);
    if (strstr(err.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    }
    assert_int_equal(out.len, 4);
    dom_buffer_cleanup(&out);
}

static void what_is_wrong_is_told(void **state)
{
    struct dom_buffer plain = {0};
    struct dom_buffer member = {0};

    (void)state;
    fill(&plain, 3000, 0);
    assert_int_equal(dom_gzip(&member, dom_buffer_slice(&plain), NULL), DOM_OK);
    struct dom_slice bytes = dom_buffer_slice(&member);
    expect(bytes, 2999, DOM_TOO_LARGE, "3000 bytes, allowed are 2999");
    expect(dom_slice_of(bytes.data, 17), 1U << 20, DOM_CORRUPT, "not a gzip member");
    for (size_t len = 18; len < bytes.len; len++) {
        struct dom_buffer out = {0};
        assert_int_not_equal(dom_gunzip(&out, dom_slice_of(bytes.data, len), 1U << 20, NULL),
                             DOM_OK);
        dom_buffer_cleanup(&out);
    }
    /* A name, a time, another system: bytes that no checksum covers. */
    for (size_t at = 3; at < 10; at++) {
        member.data[at] ^= 0x10;
        expect(dom_buffer_slice(&member), 1U << 20, DOM_CORRUPT, "header");
        member.data[at] ^= 0x10;
    }
    for (size_t at = member.len - 8; at < member.len - 4; at++) {
        member.data[at] ^= 1;
        expect(dom_buffer_slice(&member), 1U << 20, DOM_CORRUPT, "damaged");
        member.data[at] ^= 1;
    }
    expect(DOM_SLICE_LIT("{\"v\":1}, which is no member at all"), 1U << 20, DOM_CORRUPT, "not a");
    dom_buffer_cleanup(&plain);
    dom_buffer_cleanup(&member);
}

/* Up to the size of what a bit reader may have taken in ahead, and a second member. */
static void nothing_may_follow(void **state)
{
    struct dom_buffer plain = {0};

    (void)state;
    fill(&plain, 700, 7);
    for (size_t more = 1; more < 40; more++) {
        struct dom_buffer member = {0};
        struct dom_buffer out = {0};
        assert_int_equal(dom_gzip(&member, dom_buffer_slice(&plain), NULL), DOM_OK);
        /* The end looks like a trailer of the same length, so that only what follows is wrong. */
        struct dom_buffer trailer = {0};
        dom_buffer_append(&trailer, member.data + member.len - 4, 4);
        for (size_t i = 0; i + 4 < more; i++) {
            dom_buffer_append_char(&member, '\0');
        }
        dom_buffer_append_slice(&member, dom_buffer_slice(&trailer));
        assert_int_equal(dom_gunzip(&out, dom_buffer_slice(&member), 1U << 20, NULL), DOM_CORRUPT);
        assert_int_equal(out.len, 0);
        dom_buffer_cleanup(&trailer);
        dom_buffer_cleanup(&member);
        dom_buffer_cleanup(&out);
    }
    struct dom_buffer two = {0};
    assert_int_equal(dom_gzip(&two, dom_buffer_slice(&plain), NULL), DOM_OK);
    assert_int_equal(dom_gzip(&two, dom_buffer_slice(&plain), NULL), DOM_OK);
    expect(dom_buffer_slice(&two), 1U << 20, DOM_CORRUPT, "follow");
    dom_buffer_cleanup(&two);
    dom_buffer_cleanup(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(nothing_may_follow),
    };

    return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
