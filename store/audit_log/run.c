#include "store/audit_log/run.h"

#include <limits.h>
#include <lz4.h>

#include "base/encode.h"

#define HEAD_SIZE 7U
#define RUN_MIN   256U /* shorter ones gain nothing */

_Static_assert(DOM_RUN_BYTES_MAX <= LZ4_MAX_INPUT_SIZE, "a run must fit one LZ4 block");

static bool is_packed(struct dom_slice stored)
{
    return stored.len >= HEAD_SIZE && stored.data[0] == 0 && stored.data[1] == 0;
}

struct dom_slice dom_run_pack(struct dom_slice run, struct dom_buffer *packed)
{
    dom_buffer_clear(packed);
    if (run.len < RUN_MIN || run.len > DOM_RUN_BYTES_MAX) {
        return run;
    }
    /* An eighth less at least, or the readers' work is not worth it. */
    size_t room = run.len - run.len / 8;
    dom_buffer_append_u16be(packed, 0);
    dom_buffer_append_char(packed, 'L');
    dom_buffer_append_u32be(packed, (uint32_t)run.len);
    uint8_t *block = dom_buffer_extend(packed, room);
    if (block == NULL) {
        return run;
    }
    int len =
        LZ4_compress_default((const char *)run.data, (char *)block, (int)run.len, (int)room);
    if (len <= 0) {
        return run;
    }
    packed->len = HEAD_SIZE + (size_t)len;
    return dom_buffer_slice(packed);
}

enum dom_code dom_run_unpack(struct dom_slice stored, struct dom_buffer *plain,
                             struct dom_slice *run, struct dom_error *err)
{
    *run = stored;
    if (!is_packed(stored)) {
        return DOM_OK;
    }
    *run = dom_slice_of(NULL, 0);
    uint32_t len = dom_get_u32be(stored.data + 3);
    size_t block = stored.len - HEAD_SIZE;
    if (stored.data[2] != 'L' || len > DOM_RUN_BYTES_MAX || block > INT_MAX) {
        return DOM_FAIL(err, DOM_CORRUPT, "a run of entries is packed in no known way");
    }
    dom_buffer_clear(plain);
    uint8_t *out = dom_buffer_extend(plain, len);
    if (out == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a run of entries");
    }
    int got = LZ4_decompress_safe((const char *)stored.data + HEAD_SIZE, (char *)out, (int)block,
                                  (int)len);
    if (got < 0 || (uint32_t)got != len) {
        return DOM_FAIL(err, DOM_CORRUPT, "a run of entries does not unpack to its %u bytes", len);
    }
    *run = dom_buffer_slice(plain);
    return DOM_OK;
}
