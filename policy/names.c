#include "policy/names.h"

#include <string.h>

#include "base/assert.h"
#include "policy/text.h"

bool dom_names_init(struct dom_names *names, size_t capacity, struct dom_arena *arena)
{
    size_t size = 4;

    DOM_ASSERT(capacity <= INT16_MAX);
    memset(names, 0, sizeof(*names));
    while (size < capacity * 2) {
        size *= 2;
    }
    names->names = dom_arena_calloc(arena, capacity + 1, sizeof(names->names[0]));
    names->nodes = dom_arena_calloc(arena, capacity + 1, sizeof(names->nodes[0]));
    names->lengths = dom_arena_calloc(arena, capacity + 1, sizeof(names->lengths[0]));
    names->index = dom_arena_calloc(arena, size, sizeof(names->index[0]));
    if (names->names == NULL || names->nodes == NULL || names->lengths == NULL ||
        names->index == NULL) {
        return false;
    }
    names->index_size = size;
    names->capacity = capacity;
    return true;
}

/* FNV-1a. Names come from a policy that passed its checks, and a table holds at most half its
 * slots, so a crafted file costs at most its own limit per probe. */
static size_t hash_of(struct dom_slice name)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.data[i]) * 16777619U;
    }
    return hash ^ (hash >> 15);
}

static size_t slot_of(const struct dom_names *names, struct dom_slice name)
{
    size_t at = hash_of(name) & (names->index_size - 1);

    while (names->index[at] != 0) {
        size_t id = names->index[at] - 1U;
        if (names->lengths[id] == name.len &&
            (name.len == 0 || memcmp(names->names[id], name.data, name.len) == 0)) {
            break;
        }
        at = (at + 1) & (names->index_size - 1);
    }
    return at;
}

dom_policy_id dom_names_add(struct dom_names *names, const char *name, const struct dom_node *node,
                            bool *is_new)
{
    struct dom_slice text = dom_slice_str(name);
    size_t at = slot_of(names, text);

    *is_new = false;
    if (names->index[at] != 0) {
        return (dom_policy_id)(names->index[at] - 1);
    }
    if (names->num >= names->capacity) {
        return DOM_POLICY_NONE;
    }
    size_t id = names->num++;
    names->names[id] = name;
    names->nodes[id] = node;
    names->lengths[id] = text.len;
    names->index[at] = (uint16_t)(id + 1);
    *is_new = true;
    return (dom_policy_id)id;
}

dom_policy_id dom_names_find(const struct dom_names *names, struct dom_slice name)
{
    if (names->index_size == 0) {
        return DOM_POLICY_NONE;
    }
    size_t at = slot_of(names, name);
    return names->index[at] == 0 ? DOM_POLICY_NONE : (dom_policy_id)(names->index[at] - 1);
}

const char *dom_names_get(const struct dom_names *names, dom_policy_id id)
{
    return id < 0 || (size_t)id >= names->num ? "" : names->names[id];
}

dom_policy_id dom_names_nearest(const struct dom_names *names, struct dom_slice name)
{
    dom_policy_id nearest = DOM_POLICY_NONE;
    size_t best = SIZE_MAX;

    for (size_t id = 0; id < names->num; id++) {
        size_t distance = 0;
        if (dom_text_near(name, dom_slice_of(names->names[id], names->lengths[id]), &distance) &&
            distance < best) {
            best = distance;
            nearest = (dom_policy_id)id;
        }
    }
    return nearest;
}
