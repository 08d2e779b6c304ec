#include "base/slice.h"

#include <stdlib.h>

#include "base/assert.h"

int dom_slice_cmp(struct dom_slice a, struct dom_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

bool dom_slice_to_cstr(struct dom_slice s, char *out, size_t out_size)
{
    if (out_size == 0) {
        return false;
    }
    out[0] = '\0';
    if (s.len >= out_size || (s.len > 0 && memchr(s.data, 0, s.len) != NULL)) {
        return false;
    }
    if (s.len > 0) {
        memcpy(out, s.data, s.len);
    }
    out[s.len] = '\0';
    return true;
}

/* Length of the sequence that `lead` starts, its smallest code point; 0 if none. */
static size_t sequence_len(uint8_t lead, uint32_t *bits, uint32_t *min)
{
    if (lead < 0x80) {
        *bits = lead;
        *min = 0;
        return 1;
    }
    if ((lead & 0xE0) == 0xC0) {
        *bits = lead & 0x1F;
        *min = 0x80;
        return 2;
    }
    if ((lead & 0xF0) == 0xE0) {
        *bits = lead & 0x0F;
        *min = 0x800;
        return 3;
    }
    if ((lead & 0xF8) == 0xF0) {
        *bits = lead & 0x07;
        *min = 0x10000;
        return 4;
    }
    return 0;
}

char *dom_slice_dup(struct dom_slice s)
{
    char *out = malloc(s.len + 1);

    DOM_ASSERT(out != NULL);
    if (s.len > 0) {
        memcpy(out, s.data, s.len);
    }
    out[s.len] = '\0';
    return out;
}

bool dom_utf8_valid(struct dom_slice s)
{
    size_t i = 0;

    while (i < s.len) {
        uint32_t point = 0;
        uint32_t min = 0;
        size_t len = sequence_len(s.data[i], &point, &min);
        if (len == 0 || len > s.len - i) {
            return false;
        }
        for (size_t k = 1; k < len; k++) {
            if ((s.data[i + k] & 0xC0) != 0x80) {
                return false;
            }
            point = (point << 6) | (s.data[i + k] & 0x3F);
        }
        if (point < min || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) {
            return false;
        }
        i += len;
    }
    return true;
}
