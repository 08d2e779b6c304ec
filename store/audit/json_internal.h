/* What the entry's writer and scanner share. Thread contract: any thread. Pure. */
#ifndef DOM_STORE_AUDIT_JSON_INTERNAL_H
#define DOM_STORE_AUDIT_JSON_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A byte that a JSON text holds as it is and that is no part of a UTF-8 sequence. */
static inline bool dom_json_is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first byte in [at, end) that is not plain, or end. Sixteen bytes at a time where the
 * machine can: texts are most of an entry, and verifying a log looks at each of its bytes. */
static inline const uint8_t *dom_json_skip_plain(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* Signed: bytes from 0x80 on are below 0x20 as well. */
        __m128i hit = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                                   _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                                _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
        int mask = _mm_movemask_epi8(hit);
        if (mask != 0) {
            return at + __builtin_ctz((unsigned)mask);
        }
        at += 16;
    }
#endif
    while (at < end && dom_json_is_plain(*at)) {
        at++;
    }
    return at;
}

#endif
