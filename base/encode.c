#include "base/encode.h"

static const char s_hex[] = "0123456789abcdef";
static const char s_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void dom_hex_encode(char *out, struct dom_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = s_hex[bytes.data[i] >> 4];
        out[2 * i + 1] = s_hex[bytes.data[i] & 0x0F];
    }
    out[2 * bytes.len] = '\0';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool dom_hex_decode(uint8_t *out, size_t out_len, struct dom_slice text)
{
    if (text.len != 2 * out_len) {
        return false;
    }
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_value(text.data[2 * i]);
        int low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

size_t dom_base64_encode(char *out, struct dom_slice bytes)
{
    size_t at = 0;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (left > 1) {
            group |= (uint32_t)bytes.data[i + 1] << 8;
        }
        if (left > 2) {
            group |= bytes.data[i + 2];
        }
        out[at++] = s_base64[group >> 18];
        out[at++] = s_base64[(group >> 12) & 63];
        out[at++] = '=';
        out[at++] = '=';
        if (left > 1) {
            out[at - 2] = s_base64[(group >> 6) & 63];
        }
        if (left > 2) {
            out[at - 1] = s_base64[group & 63];
        }
    }
    out[at] = '\0';
    return at;
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

/* Decodes one group of four; bytes is 1 to 3. False on a bad character or loose bits. */
static bool decode_group(const uint8_t *in, size_t bytes, uint8_t *out)
{
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i <= bytes ? base64_value(in[i]) : 0;
        if (value < 0 || (i > bytes && in[i] != '=')) {
            return false;
        }
        group = (group << 6) | (uint32_t)value;
    }
    for (size_t i = 0; i < 3; i++) {
        uint8_t byte = (uint8_t)(group >> (16 - 8 * i));
        if (i < bytes) {
            out[i] = byte;
        } else if (byte != 0) {
            return false; /* trailing bits must be zero, or two texts would mean one value */
        }
    }
    return true;
}

bool dom_base64_decode(uint8_t *out, size_t out_size, size_t *out_len, struct dom_slice text)
{
    size_t padding = 0;
    size_t at = 0;

    *out_len = 0;
    if (text.len % 4 != 0) {
        return false;
    }
    if (text.len > 0) {
        padding = (size_t)(text.data[text.len - 1] == '=') + (size_t)(text.data[text.len - 2] == '=');
    }
    if (text.len / 4 * 3 - padding > out_size) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 4) {
        size_t bytes = i + 4 == text.len ? 3 - padding : 3;
        uint8_t group[3];
        if (!decode_group(text.data + i, bytes, group)) {
            return false;
        }
        memcpy(out + at, group, bytes);
        at += bytes;
    }
    *out_len = at;
    return true;
}
