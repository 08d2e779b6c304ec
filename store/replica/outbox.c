#include "store/replica/outbox.h"

#include "base/encode.h"

#define FORMAT     2U /* newest that is read */
#define FORMAT_OLD 1U /* of entries that the first version knew */

size_t dom_outbox_size(const struct dom_outbox_entry *entry)
{
    return DOM_OUTBOX_HEADER_SIZE + entry->key.len + entry->sealed.len;
}

void dom_outbox_encode(const struct dom_outbox_entry *entry, uint8_t *out)
{
    out[0] = entry->type == DOM_OUTBOX_PLACE ? FORMAT : FORMAT_OLD;
    out[1] = (uint8_t)entry->type;
    dom_put_u64be(out + 2, entry->version);
    dom_put_u64be(out + 10, entry->targets);
    out[18] = (uint8_t)(entry->key.len >> 8);
    out[19] = (uint8_t)entry->key.len;
    memcpy(out + DOM_OUTBOX_HEADER_SIZE, entry->key.data, entry->key.len);
    if (entry->sealed.len > 0) {
        memcpy(out + DOM_OUTBOX_HEADER_SIZE + entry->key.len, entry->sealed.data,
               entry->sealed.len);
    }
}

enum dom_code dom_outbox_decode(struct dom_outbox_entry *entry, struct dom_slice value,
                                struct dom_error *err)
{
    *entry = (struct dom_outbox_entry){0};
    if (value.len < DOM_OUTBOX_HEADER_SIZE) {
        return DOM_FAIL(err, DOM_CORRUPT, "outbox entry of %zu bytes is cut short", value.len);
    }
    if (value.data[0] != FORMAT && value.data[0] != FORMAT_OLD) {
        return DOM_FAIL(err, DOM_FORMAT, "outbox entry of format %u; this version knows %u to %u",
                        value.data[0], FORMAT_OLD, FORMAT);
    }
    uint8_t type = value.data[1];
    size_t key_len = dom_get_u16be(value.data + 18);
    size_t rest = value.len - DOM_OUTBOX_HEADER_SIZE;
    bool is_delete = type == DOM_OUTBOX_DELETE;
    bool is_place = type == DOM_OUTBOX_PLACE && value.data[0] == FORMAT;
    bool is_write = type == DOM_OUTBOX_WRITE && value.data[0] == FORMAT_OLD;
    if ((!is_delete && !is_place && !is_write) || key_len == 0 || key_len > rest ||
        (rest > key_len) != is_delete) {
        return DOM_FAIL(err, DOM_CORRUPT, "outbox entry is damaged");
    }
    entry->type = (enum dom_outbox_type)type;
    entry->version = dom_get_u64be(value.data + 2);
    entry->targets = dom_get_u64be(value.data + 10);
    entry->key = dom_slice_of(value.data + DOM_OUTBOX_HEADER_SIZE, key_len);
    entry->sealed = dom_slice_of(value.data + DOM_OUTBOX_HEADER_SIZE + key_len, rest - key_len);
    return DOM_OK;
}
