/* Wire bytes against protobuf-c's reader, and stored fields against hostile bytes. */
#include "router/core/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "domicile/v1/record.pb-c.h"

static struct dom_slice slice_of(ProtobufCBinaryData data)
{
    return dom_slice_of(data.data, data.len);
}

static void assert_text(ProtobufCBinaryData data, const char *text)
{
    assert_true(dom_slice_eq_str(slice_of(data), text));
}

/* ---- writing ---- */

static void record_reads_back_in_protobuf_c(void **state)
{
    struct dom_buffer out = {0};

    (void)state;
    dom_wire_str(&out, 1, "live_room");
    dom_wire_bytes(&out, 2, DOM_SLICE_LIT("r\xC3\xA9"));
    dom_wire_str(&out, 3, "DE");
    dom_wire_uint(&out, 4, UINT64_MAX);
    dom_wire_text_field(&out, 5, DOM_SLICE_LIT("title"), DOM_SLICE_LIT("hello"));
    dom_wire_text_field(&out, 5, DOM_SLICE_LIT("empty"), dom_slice_of(NULL, 0));
    dom_wire_uint(&out, 6, 1795341600000);
    assert_false(out.failed);
    Domicile__V1__Record *record = domicile__v1__record__unpack(NULL, out.len, out.data);
    assert_non_null(record);
    assert_text(record->kind, "live_room");
    assert_text(record->id, "r\xC3\xA9");
    assert_true(record->version == UINT64_MAX);
    assert_int_equal(record->n_fields, 2);
    assert_text(record->fields[0]->name, "title");
    assert_int_equal(record->fields[0]->value_case, DOMICILE__V1__FIELD__VALUE_TEXT);
    assert_text(record->fields[0]->text, "hello");
    /* An empty text is a value: it is not the same as no value. */
    assert_int_equal(record->fields[1]->value_case, DOMICILE__V1__FIELD__VALUE_TEXT);
    assert_int_equal(record->fields[1]->text.len, 0);
    assert_int_equal(record->create_time_ms, 1795341600000);
    assert_int_equal(record->update_time_ms, 0);
    domicile__v1__record__free_unpacked(record, NULL);
    dom_buffer_cleanup(&out);
}

static void bytes_are_those_that_protobuf_c_writes(void **state)
{
    struct dom_buffer out = {0};
    Domicile__V1__Receipt receipt;
    char hash[32];
    uint8_t packed[256];

    (void)state;
    memset(hash, 0x80, sizeof(hash));
    domicile__v1__receipt__init(&receipt);
    receipt.origin = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)(uintptr_t) "o/r1"};
    receipt.index = 300;
    receipt.leaf_hash = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)hash};
    size_t len = domicile__v1__receipt__pack(&receipt, packed);
    dom_wire_str(&out, 1, "o/r1");
    dom_wire_uint(&out, 2, 300);
    dom_wire_bytes(&out, 3, dom_slice_of(hash, sizeof(hash)));
    assert_true(dom_slice_eq(dom_buffer_slice(&out), dom_slice_of(packed, len)));
    dom_buffer_cleanup(&out);
}

static void default_values_are_left_out(void **state)
{
    struct dom_buffer out = {0};

    (void)state;
    dom_wire_uint(&out, 1, 0);
    dom_wire_bool(&out, 2, false);
    dom_wire_bytes(&out, 3, dom_slice_of(NULL, 0));
    dom_wire_str(&out, 4, "");
    assert_int_equal(out.len, 0);
    dom_buffer_cleanup(&out);
}

static void element_of_a_repeated_field_is_written_even_when_empty(void **state)
{
    struct dom_buffer out = {0};

    (void)state;
    dom_wire_element(&out, 2, dom_slice_of(NULL, 0));
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.data, "\x12\x00", 2);
    dom_buffer_cleanup(&out);
}

static void every_size_of_varint_reads_back(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int less = 0; less < 2; less++) {
            uint64_t value = (UINT64_C(1) << shift) - (uint64_t)less;
            struct dom_buffer out = {0};
            dom_wire_uint(&out, 4, value);
            Domicile__V1__Record *record = domicile__v1__record__unpack(NULL, out.len, out.data);
            assert_non_null(record);
            assert_true(record->version == value);
            domicile__v1__record__free_unpacked(record, NULL);
            dom_buffer_cleanup(&out);
        }
    }
}

/* The length of a nested message is written behind its bytes and may need more than one. */
static void nested_lengths_read_back_at_the_edges_of_their_varint(void **state)
{
    static const size_t lengths[] = {0,    1,     100,   122,   123,   124,     125,     126,
                                     127,  128,   129,   16376, 16377, 16378,   16379,   16380,
                                     16381, 16382, 16383, 16384, 16385, 2097150, 2097151, 2097152};

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(lengths); i++) {
        struct dom_buffer out = {0};
        char *id = malloc(lengths[i] + 1);
        assert_non_null(id);
        memset(id, 'i', lengths[i] + 1);
        size_t outer = dom_wire_begin(&out, 1);
        dom_wire_bytes(&out, 2, dom_slice_of(id, lengths[i]));
        size_t inner = dom_wire_begin(&out, 5);
        dom_wire_bytes(&out, 1, dom_slice_of(id, lengths[i]));
        dom_wire_end(&out, inner);
        dom_wire_end(&out, outer);
        dom_wire_uint(&out, 99, 7); /* what follows is not overwritten */
        Domicile__V1__GetRecordResponse *response =
            domicile__v1__get_record_response__unpack(NULL, out.len, out.data);
        assert_non_null(response);
        assert_true(dom_slice_eq(slice_of(response->record->id), dom_slice_of(id, lengths[i])));
        assert_int_equal(response->record->n_fields, 1);
        assert_true(dom_slice_eq(slice_of(response->record->fields[0]->name),
                                 dom_slice_of(id, lengths[i])));
        domicile__v1__get_record_response__free_unpacked(response, NULL);
        dom_buffer_cleanup(&out);
        free(id);
    }
}

/* The body itself has exactly the edge length, so that the length's own bytes are at the edge. */
static void body_of_exactly_127_and_128_bytes(void **state)
{
    static const size_t bodies[] = {126, 127, 128, 129, 16382, 16383, 16384, 16385};
    static uint8_t body[16385];

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(bodies); i++) {
        struct dom_buffer begun = {0};
        struct dom_buffer whole = {0};
        size_t at = dom_wire_begin(&begun, 1);
        dom_buffer_append(&begun, body, bodies[i]);
        dom_wire_end(&begun, at);
        dom_wire_element(&whole, 1, dom_slice_of(body, bodies[i]));
        assert_true(dom_slice_eq(dom_buffer_slice(&begun), dom_buffer_slice(&whole)));
        dom_buffer_cleanup(&begun);
        dom_buffer_cleanup(&whole);
    }
}

/* P12: a message that outgrows its buffer is a failure, never a cut message. */
static void nested_message_over_the_limit_fails_the_buffer(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 132; limit++) {
        struct dom_buffer out;
        uint8_t body[128] = {0};
        dom_buffer_init(&out, limit);
        size_t at = dom_wire_begin(&out, 1);
        dom_buffer_append(&out, body, sizeof(body));
        dom_wire_end(&out, at);
        assert_int_equal(out.failed, limit < 131); /* tag, two bytes of length, 128 */
        dom_buffer_cleanup(&out);
    }
}

/* ---- reading stored fields ---- */

static struct dom_slice pack(const Domicile__V1__Field *field, uint8_t *out)
{
    return dom_slice_of(out, domicile__v1__field__pack(field, out));
}

static Domicile__V1__Field named(void)
{
    Domicile__V1__Field field;

    domicile__v1__field__init(&field);
    field.name = (ProtobufCBinaryData){.len = 5, .data = (uint8_t *)(uintptr_t) "title"};
    return field;
}

static void field_of_each_type_reads_back(void **state)
{
    uint8_t bytes[64];
    char scratch[32];
    struct dom_field_view view;
    Domicile__V1__Field field = named();

    (void)state;
    field.value_case = DOMICILE__V1__FIELD__VALUE_TEXT;
    field.text = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)(uintptr_t) "abc"};
    assert_true(dom_field_parse(pack(&field, bytes), &view));
    assert_int_equal(view.type, DOM_VALUE_TEXT);
    assert_true(dom_slice_eq_str(view.name, "title"));
    assert_true(dom_slice_eq_str(dom_field_hash_input(&view, scratch), "abc"));

    field.value_case = DOMICILE__V1__FIELD__VALUE_DATA;
    assert_true(dom_field_parse(pack(&field, bytes), &view));
    assert_int_equal(view.type, DOM_VALUE_DATA);
    assert_true(dom_slice_eq_str(dom_field_hash_input(&view, scratch), "abc"));

    field.value_case = DOMICILE__V1__FIELD__VALUE_INTEGER;
    field.integer = INT64_MIN;
    assert_true(dom_field_parse(pack(&field, bytes), &view));
    assert_int_equal(view.type, DOM_VALUE_INTEGER);
    assert_true(dom_slice_eq_str(dom_field_hash_input(&view, scratch), "-9223372036854775808"));

    field.value_case = DOMICILE__V1__FIELD__VALUE_REAL;
    field.real = -1.0 / 3.0;
    assert_true(dom_field_parse(pack(&field, bytes), &view));
    assert_int_equal(view.type, DOM_VALUE_REAL);
    assert_true(dom_slice_eq_str(dom_field_hash_input(&view, scratch), "-0.33333333333333331"));

    field.value_case = DOMICILE__V1__FIELD__VALUE_FLAG;
    field.flag = 1;
    assert_true(dom_field_parse(pack(&field, bytes), &view));
    assert_int_equal(view.type, DOM_VALUE_FLAG);
    assert_true(dom_slice_eq_str(dom_field_hash_input(&view, scratch), "1"));
}

static void field_without_a_value_hashes_nothing(void **state)
{
    Domicile__V1__Field field = named();
    uint8_t bytes[16];
    char scratch[32];
    struct dom_field_view view;

    (void)state;
    assert_true(dom_field_parse(pack(&field, bytes), &view));
    assert_int_equal(view.type, DOM_VALUE_NONE);
    assert_int_equal(dom_field_hash_input(&view, scratch).len, 0);
}

static void field_cut_anywhere_is_refused_or_shorter(void **state)
{
    Domicile__V1__Field field = named();
    uint8_t bytes[64];
    struct dom_field_view view;

    (void)state;
    field.value_case = DOMICILE__V1__FIELD__VALUE_TEXT;
    field.text = (ProtobufCBinaryData){.len = 20,
                                       .data = (uint8_t *)(uintptr_t) "12345678901234567890"};
    struct dom_slice whole = pack(&field, bytes);
    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *exact = malloc(len + 1); /* under ASan a read past the cut is an error */
        assert_non_null(exact);
        uint8_t *at = exact + 1;
        memcpy(at, whole.data, len);
        bool ok = dom_field_parse(dom_slice_of(at, len), &view);
        assert_int_equal(ok, len == 7); /* the name alone is a field without a value */
        free(exact);
    }
}

static const struct {
    const char *what;
    struct dom_slice bytes;
} s_hostile[] = {
    {"nothing", {NULL, 0}},
    {"no name", {(const uint8_t *)"\x12\x01x", 3}},
    {"an empty name", {(const uint8_t *)"\x0A\x00\x12\x01x", 5}},
    {"length past the end", {(const uint8_t *)"\x0A\x05titl", 6}},
    {"length of 2^64-1", {(const uint8_t *)"\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11}},
    {"length of 2^63", {(const uint8_t *)"\x0A\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}},
    {"varint without an end", {(const uint8_t *)"\x0A\x01t\x20\xFF\xFF\xFF\xFF", 8}},
    {"varint of eleven bytes",
     {(const uint8_t *)"\x0A\x01t\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 15}},
    {"varint of more than 64 bits",
     {(const uint8_t *)"\x0A\x01t\x20\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 14}},
    {"tag without a value", {(const uint8_t *)"\x0A\x01t\x20", 4}},
    {"fixed64 cut", {(const uint8_t *)"\x0A\x01t\x29\0\0\0\0\0\0\0", 11}},
    {"fixed32 cut", {(const uint8_t *)"\x0A\x01t\x55\0\0\0", 7}},
    {"start of a group", {(const uint8_t *)"\x0A\x01t\x13", 4}},
    {"end of a group", {(const uint8_t *)"\x0A\x01t\x14", 4}},
    {"wire type 6", {(const uint8_t *)"\x0A\x01t\x16", 4}},
    {"wire type 7", {(const uint8_t *)"\x0A\x01t\x17", 4}},
    {"field number 0", {(const uint8_t *)"\x0A\x01t\x02\x00", 5}},
    {"a field number that is 1 when cut to 32 bits",
     {(const uint8_t *)"\x8A\x80\x80\x80\x80\x01\x01t", 8}},
};

/* P11: damage is found, not read as another value. */
static void hostile_bytes_are_no_field(void **state)
{
    struct dom_field_view view;

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_hostile); i++) {
        if (dom_field_parse(s_hostile[i].bytes, &view)) {
            fail_msg("read: %s", s_hostile[i].what);
        }
    }
}

static void unknown_members_are_stepped_over(void **state)
{
    struct dom_field_view view;

    (void)state;
    assert_true(dom_field_parse(
        DOM_SLICE_LIT("\x78\x01\x0A\x01t\x7A\x02zz\x79\0\0\0\0\0\0\0\0\x7D\0\0\0\0\x12\x01v"),
        &view));
    assert_true(dom_slice_eq_str(view.name, "t"));
    assert_true(dom_slice_eq_str(view.bytes, "v"));
}

/* Every message of three bytes over an alphabet of troublesome ones, under ASan and UBSan; what is
 * read must agree with protobuf-c where that reads it too. */
static void short_messages_never_read_past_their_end(void **state)
{
    static const uint8_t set[] = {0x00, 0x01, 0x02, 0x0A, 0x12, 0x1A, 0x20, 0x29, 0x30, 0x7F, 0x80, 0xFF};
    size_t num = sizeof(set);

    (void)state;
    for (size_t i = 0; i < num * num * num * num; i++) {
        uint8_t *bytes = malloc(4);
        struct dom_field_view view;
        assert_non_null(bytes);
        bytes[0] = set[i % num];
        bytes[1] = set[i / num % num];
        bytes[2] = set[i / num / num % num];
        bytes[3] = set[i / num / num / num];
        if (dom_field_parse(dom_slice_of(bytes, 4), &view)) {
            Domicile__V1__Field *field = domicile__v1__field__unpack(NULL, 4, bytes);
            assert_non_null(field);
            assert_true(dom_slice_eq(slice_of(field->name), view.name));
            assert_int_equal(field->value_case, view.type);
            domicile__v1__field__free_unpacked(field, NULL);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_reads_back_in_protobuf_c),
        cmocka_unit_test(bytes_are_those_that_protobuf_c_writes),
        cmocka_unit_test(default_values_are_left_out),
        cmocka_unit_test(element_of_a_repeated_field_is_written_even_when_empty),
        cmocka_unit_test(every_size_of_varint_reads_back),
        cmocka_unit_test(nested_lengths_read_back_at_the_edges_of_their_varint),
        cmocka_unit_test(body_of_exactly_127_and_128_bytes),
        cmocka_unit_test(nested_message_over_the_limit_fails_the_buffer),
        cmocka_unit_test(field_of_each_type_reads_back),
        cmocka_unit_test(field_without_a_value_hashes_nothing),
        cmocka_unit_test(field_cut_anywhere_is_refused_or_shorter),
        cmocka_unit_test(hostile_bytes_are_no_field),
        cmocka_unit_test(unknown_members_are_stepped_over),
        cmocka_unit_test(short_messages_never_read_past_their_end),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
