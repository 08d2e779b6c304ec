#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/tables.h"

void dom_interner_init(struct dom_interner *interner, size_t key_size, size_t bytes_max)
{
    DOM_ASSERT(key_size > 0);
    DOM_ASSERT(key_size % 8 == 0);
    memset(interner, 0, sizeof(*interner));
    interner->key_size = key_size;
    interner->bytes_max = bytes_max;
}

void dom_interner_cleanup(struct dom_interner *interner)
{
    free(interner->keys);
    free(interner->index);
    memset(interner, 0, sizeof(*interner));
}

static size_t hash_key(const struct dom_interner *interner, const uint8_t *key)
{
    uint64_t hash = 0x9E3779B97F4A7C15ULL;

    for (size_t i = 0; i < interner->key_size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key + i, sizeof(word));
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDULL;
        hash ^= hash >> 32;
    }
    return (size_t)hash;
}

static bool grow_index(struct dom_interner *interner)
{
    size_t size = interner->index_size == 0 ? 256 : interner->index_size * 2;
    uint32_t *index = calloc(size, sizeof(*index));

    if (index == NULL) {
        return false;
    }
    for (uint32_t id = 0; id < interner->num; id++) {
        size_t at = hash_key(interner, dom_interner_key(interner, id)) & (size - 1);
        while (index[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        index[at] = id + 1;
    }
    free(interner->index);
    interner->index = index;
    interner->index_size = size;
    return true;
}

static bool grow_keys(struct dom_interner *interner)
{
    size_t capacity = interner->capacity == 0 ? 16 : (size_t)interner->capacity * 2;

    if ((size_t)(interner->num + 1) * interner->key_size > interner->bytes_max) {
        return false;
    }
    uint8_t *keys = realloc(interner->keys, capacity * interner->key_size);
    if (keys == NULL) {
        return false;
    }
    interner->keys = keys;
    interner->capacity = (uint32_t)capacity;
    return true;
}

uint32_t dom_interner_add(struct dom_interner *interner, const void *key)
{
    if ((size_t)interner->num * 2 >= interner->index_size && !grow_index(interner)) {
        return UINT32_MAX;
    }
    size_t at = hash_key(interner, key) & (interner->index_size - 1);
    while (interner->index[at] != 0) {
        uint32_t id = interner->index[at] - 1;
        if (memcmp(dom_interner_key(interner, id), key, interner->key_size) == 0) {
            return id;
        }
        at = (at + 1) & (interner->index_size - 1);
    }
    if (interner->num == interner->capacity && !grow_keys(interner)) {
        return UINT32_MAX;
    }
    memcpy(interner->keys + (size_t)interner->num * interner->key_size, key, interner->key_size);
    interner->index[at] = interner->num + 1;
    return interner->num++;
}
