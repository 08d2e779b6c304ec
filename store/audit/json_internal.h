/* What the entry's writer and scanner share. Thread contract: any thread. Pure. */
#ifndef DOM_STORE_AUDIT_JSON_INTERNAL_H
#define DOM_STORE_AUDIT_JSON_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A byte that a JSON text holds as it is and that is no part of a UTF-8 sequence. */
static inline bool dom_json_is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first byte in [at, end) that is not plain, or end. Eight bytes at a time: texts are most of
 * an entry, and verifying a log looks at each of its bytes. */
static inline const uint8_t *dom_json_skip_plain(const uint8_t *at, const uint8_t *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high = UINT64_C(0x8080808080808080);

    while (end - at >= 8) {
        uint64_t v = 0;
        memcpy(&v, at, sizeof(v));
        uint64_t quote = v ^ (ones * '"');
        uint64_t slash = v ^ (ones * '\\');
        /* Each term sets the high bit of a byte that matches; a borrow can set it wrongly only
         * above a byte that does match, so the lowest bit set is right. */
        uint64_t hit = (v | ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) |
                        ((slash - ones) & ~slash)) &
                       high;
        if (hit != 0) {
            return at + (__builtin_ctzll(hit) / 8);
        }
        at += 8;
    }
#endif
    while (at < end && dom_json_is_plain(*at)) {
        at++;
    }
    return at;
}

#endif
