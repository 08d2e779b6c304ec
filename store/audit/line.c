#include "store/audit/line_internal.h"

bool dom_line_decimal(struct dom_slice line, uint64_t *value)
{
    *value = 0;
    if (line.len == 0 || (line.len > 1 && line.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9' ||
            __builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)(line.data[i] - '0'), value)) {
            return false;
        }
    }
    return true;
}

bool dom_line_hash(struct dom_slice line, struct dom_hash *hash)
{
    size_t len = 0;

    return line.len == DOM_HASH_TEXT_LEN &&
           dom_base64_decode(hash->bytes, DOM_HASH_SIZE, &len, line) && len == DOM_HASH_SIZE;
}

bool dom_line_cut(struct dom_slice *line, const char *prefix)
{
    size_t len = strlen(prefix);

    if (line->len < len || memcmp(line->data, prefix, len) != 0) {
        return false;
    }
    *line = dom_slice_of(line->data + len, line->len - len);
    return true;
}
