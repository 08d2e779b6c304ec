#include "base/gzip/gzip.h"

#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define MEMBER_MIN 18U /* header of 10 bytes, two of an empty block at least, trailer of 8 */
#define OVERHEAD   64U /* header, trailer and the last block's end */

/* The header of every member written here: no name, no time, no hint of the level or the system. */
static const uint8_t s_header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};

bool dom_gzip_begins(struct dom_slice bytes)
{
    return bytes.len >= 3 && bytes.data[0] == 0x1f && bytes.data[1] == 0x8b && bytes.data[2] == 8;
}

/* What a deflate of one call works in: 0.3 MB, hence not on a stack. */
struct work {
    struct isal_zstream stream;
    uint8_t level[ISAL_DEF_LVL1_DEFAULT];
};

/* Bytes that do not shrink are stored: five bytes for each 65,535 of them. */
static size_t room_for(size_t len)
{
    return len + 5 * (len / 65535 + 1) + OVERHEAD;
}

enum dom_code dom_gzip(struct dom_buffer *out, struct dom_slice bytes, struct dom_error *err)
{
    size_t before = out->len;

    if (bytes.len > INT_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "%zu bytes are too many for one gzip member",
                        bytes.len);
    }
    struct work *work = malloc(sizeof(*work));
    uint8_t *room = work == NULL ? NULL : dom_buffer_extend(out, room_for(bytes.len));
    if (room == NULL) {
        free(work);
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a gzip member");
    }
    struct isal_zstream *stream = &work->stream;
    isal_deflate_init(stream);
    stream->level = 1; /* 74 bytes of an entry's 1,150 in half a microsecond; 2 and 3 gain little */
    stream->level_buf = work->level;
    stream->level_buf_size = sizeof(work->level);
    stream->gzip_flag = IGZIP_GZIP;
    stream->end_of_stream = 1;
    stream->next_in = (uint8_t *)(uintptr_t)bytes.data; /* only read */
    stream->avail_in = (uint32_t)bytes.len;
    stream->next_out = room;
    stream->avail_out = (uint32_t)room_for(bytes.len);
    int rc = isal_deflate(stream);
    /* The room is enough for every input: anything else is a fault of ours. */
    DOM_ASSERT(rc == COMP_OK && stream->internal_state.state == ZSTATE_END);
    out->len = before + stream->total_out;
    memcpy(out->data + before, s_header, sizeof(s_header));
    free(work);
    return DOM_OK;
}

static enum dom_code inflate(struct dom_slice member, uint8_t *room, uint32_t len,
                             struct dom_error *err)
{
    struct inflate_state *state = malloc(sizeof(*state));

    if (state == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a gzip member");
    }
    isal_inflate_init(state);
    state->crc_flag = ISAL_GZIP;
    state->next_in = (uint8_t *)(uintptr_t)member.data; /* only read */
    state->avail_in = (uint32_t)member.len;
    state->next_out = room;
    state->avail_out = len;
    int rc = isal_inflate(state);
    bool whole = rc == ISAL_DECOMP_OK && state->block_state == ISAL_BLOCK_FINISH &&
                 state->total_out == len;
    uint32_t rest = state->avail_in;
    free(state);
    if (!whole) {
        return DOM_FAIL(err, DOM_CORRUPT, "the gzip member is damaged or cut short");
    }
    if (rest > 0) {
        return DOM_FAIL(err, DOM_CORRUPT, "%u bytes follow the gzip member", rest);
    }
    return DOM_OK;
}

enum dom_code dom_gunzip(struct dom_buffer *out, struct dom_slice member, size_t bytes_max,
                         struct dom_error *err)
{
    size_t before = out->len;
    static uint8_t s_nowhere;

    if (!dom_gzip_begins(member) || member.len < MEMBER_MIN || member.len > INT_MAX) {
        return DOM_FAIL(err, DOM_CORRUPT, "not a gzip member");
    }
    if (memcmp(member.data, s_header, sizeof(s_header)) != 0) {
        return DOM_FAIL(err, DOM_CORRUPT, "the gzip member's header is not the one written here; a file that was "
                        "packed anew is taken unpacked");
    }
    /* The trailer's last four bytes: how long it was, little-endian. */
    const uint8_t *end = member.data + member.len;
    uint32_t len = (uint32_t)end[-4] | (uint32_t)end[-3] << 8 | (uint32_t)end[-2] << 16 |
                   (uint32_t)end[-1] << 24;
    if (len > bytes_max) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "the gzip member is cut short, or holds %u bytes, allowed are %zu",
                        len, bytes_max);
    }
    uint8_t *room = len == 0 ? &s_nowhere : dom_buffer_extend(out, len);
    if (room == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a gzip member");
    }
    enum dom_code rc = inflate(member, room, len, err);
    if (rc != DOM_OK) {
        out->len = before;
    }
    return rc;
}
