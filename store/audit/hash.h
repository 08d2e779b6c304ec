/* Merkle hashes of RFC 6962 section 2.1 over SHA-256.
 *
 * Thread contract: any thread. No allocation, no failure.
 */
#ifndef DOM_STORE_AUDIT_HASH_H
#define DOM_STORE_AUDIT_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

#define DOM_HASH_SIZE 32U

struct dom_hash {
    uint8_t bytes[DOM_HASH_SIZE];
};

/* SHA-256 of nothing: the root of the tree of size 0. */
void dom_hash_empty(struct dom_hash *out);
/* SHA-256(0x00 || entry). */
void dom_hash_leaf(struct dom_hash *out, struct dom_slice entry);
/* SHA-256(0x01 || left || right). `out` may be one of the inputs. */
void dom_hash_node(struct dom_hash *out, const struct dom_hash *left, const struct dom_hash *right);

static inline bool dom_hash_eq(const struct dom_hash *a, const struct dom_hash *b)
{
    return memcmp(a->bytes, b->bytes, DOM_HASH_SIZE) == 0;
}

static inline struct dom_slice dom_hash_slice(const struct dom_hash *hash)
{
    return dom_slice_of(hash->bytes, DOM_HASH_SIZE);
}

#endif
