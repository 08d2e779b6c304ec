/* Any bytes as a gzip member, a stored run, and something to be packed: what unpacks has the length
 * that it says and no more than was allowed, and what was packed comes back. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/gzip/gzip.h"
#include "store/audit_log/run.h"

#define BYTES_MAX (1U << 20)

static void comes_back(struct dom_slice bytes)
{
    struct dom_buffer packed = {0};
    struct dom_buffer plain = {0};
    struct dom_slice back;

    DOM_ASSERT(dom_gzip(&packed, bytes, NULL) == DOM_OK);
    DOM_ASSERT(dom_gunzip(&plain, dom_buffer_slice(&packed), bytes.len, NULL) == DOM_OK);
    DOM_ASSERT(dom_slice_eq(dom_buffer_slice(&plain), bytes));
    /* No run begins with two zero bytes: an entry has one byte at least. */
    if (bytes.len > 0 && bytes.data[0] != 0) {
        struct dom_slice stored = dom_run_pack(bytes, &packed);
        DOM_ASSERT(stored.len <= bytes.len);
        DOM_ASSERT(dom_run_unpack(stored, &plain, &back, NULL) == DOM_OK);
        DOM_ASSERT(dom_slice_eq(back, bytes));
    }
    dom_buffer_cleanup(&packed);
    dom_buffer_cleanup(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_slice bytes = dom_slice_of(data, size);
    struct dom_buffer plain = {0};
    struct dom_slice run;

    if (dom_gunzip(&plain, bytes, BYTES_MAX, NULL) == DOM_OK) {
        DOM_ASSERT(plain.len <= BYTES_MAX);
    } else {
        DOM_ASSERT(plain.len == 0);
    }
    dom_buffer_clear(&plain);
    /* A length of megabytes is believed only as far as the cap; the fuzzer's memory is smaller. */
    if (size < 7 || data[3] == 0) {
        if (dom_run_unpack(bytes, &plain, &run, NULL) == DOM_OK) {
            DOM_ASSERT(run.data == data || run.data == plain.data);
        }
    }
    dom_buffer_cleanup(&plain);
    comes_back(bytes);
    return 0;
}
