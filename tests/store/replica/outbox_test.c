#include "store/replica/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void entry_comes_back(void **state)
{
    struct dom_outbox_entry in = {.type = DOM_OUTBOX_DELETE,
                                  .version = 7,
                                  .targets = UINT64_C(0x8000000000000001),
                                  .key = DOM_SLICE_LIT("key"),
                                  .sealed = DOM_SLICE_LIT("sealed")};
    struct dom_outbox_entry out;
    uint8_t bytes[64];

    (void)state;
    dom_outbox_encode(&in, bytes);
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, dom_outbox_size(&in)), NULL),
                     DOM_OK);
    assert_int_equal(out.type, DOM_OUTBOX_DELETE);
    assert_int_equal(out.version, 7);
    assert_true(out.targets == in.targets);
    assert_true(dom_slice_eq(out.key, in.key));
    assert_true(dom_slice_eq(out.sealed, in.sealed));
}

static void damaged_entries_are_refused(void **state)
{
    struct dom_outbox_entry in = {
        .type = DOM_OUTBOX_WRITE, .version = 1, .targets = 1, .key = DOM_SLICE_LIT("key")};
    struct dom_outbox_entry out;
    uint8_t bytes[64];
    size_t len = dom_outbox_size(&in);

    (void)state;
    dom_outbox_encode(&in, bytes);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, cut), NULL), DOM_CORRUPT);
    }
    /* a write has no identity behind it, a delete must */
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, len + 1), NULL), DOM_CORRUPT);
    bytes[1] = DOM_OUTBOX_DELETE;
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, len), NULL), DOM_CORRUPT);
    bytes[1] = 3;
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, len), NULL), DOM_CORRUPT);
    bytes[0] = 2; /* a format that has places only */
    bytes[1] = DOM_OUTBOX_WRITE;
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, len), NULL), DOM_CORRUPT);
    bytes[1] = DOM_OUTBOX_PLACE;
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, len), NULL), DOM_OK);
    assert_int_equal(out.type, DOM_OUTBOX_PLACE);
    bytes[0] = 3;
    assert_int_equal(dom_outbox_decode(&out, dom_slice_of(bytes, len), NULL), DOM_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_comes_back),
        cmocka_unit_test(damaged_entries_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
