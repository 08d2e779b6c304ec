/* Hex and base64 (RFC 4648 s4, with padding). Thread contract: any thread. */
#ifndef DOM_BASE_ENCODE_H
#define DOM_BASE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Lower-case hex of the bytes and a NUL; out needs 2 * len + 1 bytes. */
void dom_hex_encode(char *out, struct dom_slice bytes);
/* False unless text is exactly 2 * out_len hex digits (either case). */
bool dom_hex_decode(uint8_t *out, size_t out_len, struct dom_slice text);

/* Characters of the base64 form of len bytes, without NUL. */
#define DOM_BASE64_LEN(len) ((((len) + 2) / 3) * 4)

/* Base64 and a NUL; out needs DOM_BASE64_LEN(len) + 1 bytes. Returns the characters written. */
size_t dom_base64_encode(char *out, struct dom_slice bytes);
/* Strict: right padding, no white space, zero trailing bits. *out_len is set to the bytes
 * written; false (and 0) on anything else or when more than out_size bytes come out. */
bool dom_base64_decode(uint8_t *out, size_t out_size, size_t *out_len, struct dom_slice text);

/* Big-endian loads and stores for on-disk bytes. */
static inline void dom_put_u64be(uint8_t *out, uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
}
static inline uint64_t dom_get_u64be(const uint8_t *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = (v << 8) | in[i];
    }
    return v;
}
static inline void dom_put_u32be(uint8_t *out, uint32_t v)
{
    out[0] = (uint8_t)(v >> 24);
    out[1] = (uint8_t)(v >> 16);
    out[2] = (uint8_t)(v >> 8);
    out[3] = (uint8_t)v;
}
static inline uint32_t dom_get_u32be(const uint8_t *in)
{
    return ((uint32_t)in[0] << 24) | ((uint32_t)in[1] << 16) | ((uint32_t)in[2] << 8) | in[3];
}
static inline void dom_put_u16be(uint8_t *out, uint16_t v)
{
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
}
static inline uint16_t dom_get_u16be(const uint8_t *in)
{
    return (uint16_t)((uint16_t)(in[0] << 8) | in[1]);
}

#endif
