/* Hex and base64: one text for one value, and nothing else is read. */
#include "base/encode.h"

#include "base/macros.h"
#include "tests/base/suite.h"

static void hex_is_lower_case(void **state)
{
    char out[9];

    (void)state;
    dom_hex_encode(out, DOM_SLICE_LIT("\x00\x9F\xA0\xFF"));
    assert_string_equal(out, "009fa0ff");
    dom_hex_encode(out, dom_slice_of(NULL, 0));
    assert_string_equal(out, "");
}

static void hex_reads_either_case(void **state)
{
    uint8_t out[4];

    (void)state;
    assert_true(dom_hex_decode(out, sizeof(out), DOM_SLICE_LIT("009fA0Ff")));
    assert_memory_equal(out, "\x00\x9F\xA0\xFF", 4);
}

static void hex_refuses_other_lengths(void **state)
{
    uint8_t out[2];

    (void)state;
    assert_false(dom_hex_decode(out, sizeof(out), DOM_SLICE_LIT("")));
    assert_false(dom_hex_decode(out, sizeof(out), DOM_SLICE_LIT("abc")));
    assert_false(dom_hex_decode(out, sizeof(out), DOM_SLICE_LIT("abcde")));
    assert_false(dom_hex_decode(out, sizeof(out), DOM_SLICE_LIT("abcdef")));
    assert_true(dom_hex_decode(out, 0, dom_slice_of(NULL, 0)));
}

static void hex_refuses_every_character_that_is_no_digit(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        uint8_t text[2] = {(uint8_t)c, '0'};
        uint8_t out[1];
        assert_int_equal(dom_hex_decode(out, 1, dom_slice_of(text, 2)), digit);
        text[0] = '0';
        text[1] = (uint8_t)c;
        assert_int_equal(dom_hex_decode(out, 1, dom_slice_of(text, 2)), digit);
    }
}

/* RFC 4648 section 10. */
static const struct {
    const char *plain;
    const char *coded;
} s_vectors[] = {{"", ""},         {"f", "Zg=="},        {"fo", "Zm8="},         {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};

static void base64_writes_the_vectors_of_rfc_4648(void **state)
{
    char out[16];

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_vectors); i++) {
        size_t len = dom_base64_encode(out, dom_slice_str(s_vectors[i].plain));
        assert_string_equal(out, s_vectors[i].coded);
        assert_int_equal(len, strlen(s_vectors[i].coded));
        assert_int_equal(len, DOM_BASE64_LEN(strlen(s_vectors[i].plain)));
    }
}

static void base64_reads_the_vectors_of_rfc_4648(void **state)
{
    uint8_t out[8];
    size_t len = 0;

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_vectors); i++) {
        assert_true(dom_base64_decode(out, sizeof(out), &len, dom_slice_str(s_vectors[i].coded)));
        assert_true(dom_slice_eq_str(dom_slice_of(out, len), s_vectors[i].plain));
    }
}

static const char *const s_bad[] = {
    "Z", "Zg", "Zg=", "Zg===", "Zm9vY", "Zm9vYg", "Zm9vYg=", /* lengths */
    "=", "==", "===", "====", "Z===", "=Zg=", "Zg=A", "Z=g=", "Zg==Zg==", "Zm8=Zm8=",
    "Zm9v====", "Zm9v=Zm9", /* padding in the wrong place */
    "Zh==", "Zn==", "Zm9=", "Zm+=", "Zm9vYh==", "Zm9vYmF=", /* loose bits */
    "Zm 9", "Zm\n9", "Zm9v\n", " Zm9v", "Zm9vZm9\n", /* white space */
    "Zm-_", "Zm9-", "_m9v", "Zm.9", "Zm*9", "Zm,9", /* other alphabets */
};

static void base64_refuses_every_second_text_for_a_value(void **state)
{
    uint8_t out[16];

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_bad); i++) {
        size_t len = 7;
        if (dom_base64_decode(out, sizeof(out), &len, dom_slice_str(s_bad[i]))) {
            fail_msg("accepted: \"%s\"", s_bad[i]);
        }
        assert_int_equal(len, 0);
    }
}

/* Every text of four characters of a small set either is refused or is what encode gives. */
static void base64_is_one_to_one(void **state)
{
    static const char set[] = "AQgw/+=\n9v";
    size_t num = sizeof(set) - 1;
    size_t accepted = 0;

    (void)state;
    for (size_t i = 0; i < num * num * num * num; i++) {
        char text[4] = {set[i % num], set[i / num % num], set[i / num / num % num],
                        set[i / num / num / num]};
        uint8_t out[3];
        char again[5];
        size_t len = 0;
        if (dom_base64_decode(out, sizeof(out), &len, dom_slice_of(text, 4))) {
            (void)dom_base64_encode(again, dom_slice_of(out, len));
            assert_memory_equal(again, text, 4);
            accepted++;
        }
    }
    assert_true(accepted > 0);
}

static void base64_refuses_non_ascii_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0x80; c < 256; c++) {
        uint8_t text[4] = {'Z', 'm', '9', (uint8_t)c};
        uint8_t out[3];
        size_t len = 0;
        assert_false(dom_base64_decode(out, sizeof(out), &len, dom_slice_of(text, 4)));
    }
    uint8_t nul[4] = {'Z', 'm', '9', 0};
    uint8_t out[3];
    size_t len = 0;
    assert_false(dom_base64_decode(out, sizeof(out), &len, dom_slice_of(nul, 4)));
}

static void base64_fits_exactly(void **state)
{
    uint8_t out[4];
    size_t len = 0;

    (void)state;
    assert_true(dom_base64_decode(out, 4, &len, DOM_SLICE_LIT("Zm9vYg==")));
    assert_int_equal(len, 4);
}

static void base64_refuses_one_byte_more_than_the_room(void **state)
{
    uint8_t out[4] = {1, 2, 3, 4};
    size_t len = 7;

    (void)state;
    assert_false(dom_base64_decode(out, 4, &len, DOM_SLICE_LIT("Zm9vYmE=")));
    assert_int_equal(len, 0);
    assert_false(dom_base64_decode(out, 0, &len, DOM_SLICE_LIT("Zg==")));
    assert_int_equal(out[3], 4);
}

static void big_endian_loads_give_what_was_stored(void **state)
{
    uint8_t bytes[8];

    (void)state;
    dom_put_u64be(bytes, UINT64_C(0xFEDCBA9876543210));
    assert_int_equal(bytes[0], 0xFE);
    assert_int_equal(bytes[7], 0x10);
    assert_true(dom_get_u64be(bytes) == UINT64_C(0xFEDCBA9876543210));
    dom_put_u32be(bytes, 0xFEDCBA98U);
    assert_int_equal(bytes[0], 0xFE);
    assert_true(dom_get_u32be(bytes) == 0xFEDCBA98U);
    dom_put_u16be(bytes, 0xFEDCU);
    assert_int_equal(bytes[1], 0xDC);
    assert_int_equal(dom_get_u16be(bytes), 0xFEDC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_is_lower_case),
        cmocka_unit_test(hex_reads_either_case),
        cmocka_unit_test(hex_refuses_other_lengths),
        cmocka_unit_test(hex_refuses_every_character_that_is_no_digit),
        cmocka_unit_test(base64_writes_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64_reads_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64_refuses_every_second_text_for_a_value),
        cmocka_unit_test(base64_is_one_to_one),
        cmocka_unit_test(base64_refuses_non_ascii_bytes),
        cmocka_unit_test(base64_fits_exactly),
        cmocka_unit_test(base64_refuses_one_byte_more_than_the_room),
        cmocka_unit_test(big_endian_loads_give_what_was_stored),
    };

    return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}
