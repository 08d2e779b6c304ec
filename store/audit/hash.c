#include "store/audit/hash.h"

#include "store/crypto/sha256.h"

/* The one byte in front keeps a leaf from being taken for a node (RFC 6962 section 2.1). */
#define LEAF_PREFIX 0x00
#define NODE_PREFIX 0x01

_Static_assert(DOM_HASH_SIZE == DOM_SHA256_SIZE, "Merkle hashes are SHA-256");

void dom_hash_empty(struct dom_hash *out)
{
    dom_sha256(out->bytes, dom_slice_of(NULL, 0));
}

void dom_hash_leaf(struct dom_hash *out, struct dom_slice entry)
{
    static const uint8_t s_prefix[1] = {LEAF_PREFIX};
    struct dom_sha256_stream stream;

    dom_sha256_init(&stream);
    dom_sha256_update(&stream, dom_slice_of(s_prefix, sizeof(s_prefix)));
    dom_sha256_update(&stream, entry);
    dom_sha256_final(&stream, out->bytes);
}

void dom_hash_node(struct dom_hash *out, const struct dom_hash *left, const struct dom_hash *right)
{
    uint8_t bytes[1 + 2 * DOM_HASH_SIZE];

    bytes[0] = NODE_PREFIX;
    memcpy(bytes + 1, left->bytes, DOM_HASH_SIZE);
    memcpy(bytes + 1 + DOM_HASH_SIZE, right->bytes, DOM_HASH_SIZE);
    dom_sha256(out->bytes, dom_slice_of(bytes, sizeof(bytes)));
}
