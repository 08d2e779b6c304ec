#include "store/audit/tree.h"

#include "base/assert.h"
#include "base/encode.h"

void dom_edge_init(struct dom_edge *edge)
{
    memset(edge, 0, sizeof(*edge));
}

static unsigned popcount(uint64_t v)
{
    return (unsigned)__builtin_popcountll(v);
}

void dom_edge_append(struct dom_edge *edge, const struct dom_hash *leaf,
                     const struct dom_hash_sink *sink)
{
    struct dom_hash hash = *leaf;
    unsigned used = popcount(edge->size);
    unsigned height = 0;

    DOM_ASSERT(edge->size < DOM_TREE_SIZE_MAX);
    if (sink != NULL) {
        sink->put(sink->impl, 0, edge->size, &hash);
    }
    /* Like a carry in binary addition: each complete subtree to the left of equal height is
     * joined with the new one. */
    while (((edge->size >> height) & 1U) != 0) {
        used--;
        dom_hash_node(&hash, &edge->hashes[used], &hash);
        height++;
        if (sink != NULL && height % 8U == 0) {
            sink->put(sink->impl, (int)(height / 8U), edge->size >> height, &hash);
        }
    }
    edge->hashes[used] = hash;
    edge->size++;
    DOM_DCHECK(used + 1 == popcount(edge->size));
}

void dom_edge_root(const struct dom_edge *edge, struct dom_hash *root)
{
    unsigned used = popcount(edge->size);

    if (used == 0) {
        dom_hash_empty(root);
        return;
    }
    *root = edge->hashes[used - 1];
    for (unsigned i = used - 1; i-- > 0;) {
        dom_hash_node(root, &edge->hashes[i], root);
    }
}

void dom_edge_encode(const struct dom_edge *edge, struct dom_buffer *out)
{
    dom_buffer_append_u64be(out, edge->size);
    dom_buffer_append(out, edge->hashes, popcount(edge->size) * sizeof(edge->hashes[0]));
}

enum dom_code dom_edge_decode(struct dom_edge *edge, struct dom_slice bytes, struct dom_error *err)
{
    uint64_t size = 0;

    dom_edge_init(edge);
    if (bytes.len < 8) {
        return DOM_FAIL(err, DOM_CORRUPT, "tree edge: %zu bytes are too short", bytes.len);
    }
    size = dom_get_u64be(bytes.data);
    if (size > DOM_TREE_SIZE_MAX || bytes.len != 8 + popcount(size) * sizeof(edge->hashes[0])) {
        return DOM_FAIL(err, DOM_CORRUPT, "tree edge: %zu bytes do not fit size %llu", bytes.len,
                        (unsigned long long)size);
    }
    edge->size = size;
    memcpy(edge->hashes, bytes.data + 8, bytes.len - 8);
    return DOM_OK;
}

/* The Merkle hash of `count` (a power of two) hashes; they are overwritten. */
static void fold_perfect(struct dom_hash *hashes, unsigned count, struct dom_hash *out)
{
    for (; count > 1; count /= 2) {
        for (unsigned i = 0; i < count / 2; i++) {
            dom_hash_node(&hashes[i], &hashes[2 * i], &hashes[2 * i + 1]);
        }
    }
    *out = hashes[0];
}

enum dom_code dom_edge_load(struct dom_edge *edge, const struct dom_hash_reader *reader,
                            uint64_t size, struct dom_error *err)
{
    struct dom_hash run[DOM_TILE_WIDTH];
    unsigned used = 0;

    dom_edge_init(edge);
    if (size > DOM_TREE_SIZE_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "tree size %llu is too large", (unsigned long long)size);
    }
    for (int level = (int)DOM_TILE_LEVELS - 1; level >= 0; level--) {
        uint64_t hashes = dom_tile_level_size(size, level);
        unsigned width = (unsigned)(hashes % DOM_TILE_WIDTH);
        if (width == 0) {
            continue;
        }
        enum dom_code rc = reader->read(reader->impl, level, hashes - width, width, run, err);
        if (rc != DOM_OK) {
            dom_edge_init(edge);
            return rc;
        }
        unsigned at = 0;
        for (unsigned bit = DOM_TILE_WIDTH / 2; bit > 0; bit /= 2) {
            if ((width & bit) != 0) {
                fold_perfect(run + at, bit, &edge->hashes[used]);
                used++;
                at += bit;
            }
        }
    }
    edge->size = size;
    DOM_ASSERT(used == popcount(size));
    return DOM_OK;
}

/* ---- a whole tree in memory --------------------------------------------------------------- */

static void memory_put(void *impl, int level, uint64_t index, const struct dom_hash *hash)
{
    struct dom_memory_tree *tree = impl;

    DOM_ASSERT(tree->levels[level].failed ||
               tree->levels[level].len == index * sizeof(hash->bytes));
    dom_buffer_append(&tree->levels[level], hash->bytes, sizeof(hash->bytes));
}

static enum dom_code memory_read(void *impl, int level, uint64_t first, unsigned count,
                                 struct dom_hash *out, struct dom_error *err)
{
    struct dom_memory_tree *tree = impl;
    uint64_t held = tree->levels[level].len / DOM_HASH_SIZE;

    if (first > held || count > held - first) {
        return DOM_FAIL(err, DOM_CORRUPT, "level %d has no hash %llu", level,
                        (unsigned long long)(first + count - 1));
    }
    memcpy(out, tree->levels[level].data + first * DOM_HASH_SIZE, (size_t)count * DOM_HASH_SIZE);
    return DOM_OK;
}

void dom_memory_tree_init(struct dom_memory_tree *tree)
{
    memset(tree, 0, sizeof(*tree));
}

void dom_memory_tree_cleanup(struct dom_memory_tree *tree)
{
    for (unsigned i = 0; i < DOM_TILE_LEVELS; i++) {
        dom_buffer_cleanup(&tree->levels[i]);
    }
    memset(tree, 0, sizeof(*tree));
}

enum dom_code dom_memory_tree_append(struct dom_memory_tree *tree, const struct dom_hash *leaf,
                                     struct dom_error *err)
{
    struct dom_hash_sink sink = {.put = memory_put, .impl = tree};

    dom_edge_append(&tree->edge, leaf, &sink);
    for (unsigned i = 0; i < DOM_TILE_LEVELS; i++) {
        if (tree->levels[i].failed) {
            return DOM_FAIL(err, DOM_RESOURCE, "out of memory for the tree's level %u", i);
        }
    }
    return DOM_OK;
}

struct dom_hash_reader dom_memory_tree_reader(struct dom_memory_tree *tree)
{
    struct dom_hash_reader reader = {.read = memory_read, .impl = tree};
    return reader;
}
