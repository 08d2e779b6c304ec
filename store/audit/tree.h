/* The Merkle tree: grow it, root it, prove in it, check proofs.
 *
 * `struct dom_edge` is all the memory that growing needs: the hashes of the complete subtrees
 * along the right edge (at most 63). Everything to be stored comes out through a sink, hash by
 * hash, in the coordinates of tile.h; proofs are made by reading those back through a
 * `struct dom_hash_reader`, so this file knows neither a database nor a folder.
 *
 * Thread contract: any thread; an edge has one owner.
 */
#ifndef DOM_STORE_AUDIT_TREE_H
#define DOM_STORE_AUDIT_TREE_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "store/audit/hash.h"
#include "store/audit/tile.h"

/* ---- growing ------------------------------------------------------------------------------ */

struct dom_edge {
    uint64_t size;              /* leaves */
    struct dom_hash hashes[63]; /* popcount(size) are in use, that of the largest subtree first */
};

/* Takes the hashes that belong in tiles, in order within each level. Called once per leaf for
 * level 0, once per 256 leaves for level 1, and so on. It cannot fail: it fills memory that the
 * caller has. */
struct dom_hash_sink {
    void (*put)(void *impl, int level, uint64_t index, const struct dom_hash *hash);
    void *impl;
};

/* The empty tree. */
void dom_edge_init(struct dom_edge *edge);
/* Adds one leaf hash. `sink` may be NULL. About one node hash per leaf. The tree must be smaller
 * than DOM_TREE_SIZE_MAX. */
void dom_edge_append(struct dom_edge *edge, const struct dom_hash *leaf,
                     const struct dom_hash_sink *sink);
/* The root of the tree as it is (that of the empty tree for size 0). */
void dom_edge_root(const struct dom_edge *edge, struct dom_hash *root);
/* Appends the stored form: uint64 big-endian size, then the hashes. At most 2,024 bytes. */
void dom_edge_encode(const struct dom_edge *edge, struct dom_buffer *out);
/* Errors: CORRUPT (length does not fit the size). *edge is the empty tree then. */
enum dom_code dom_edge_decode(struct dom_edge *edge, struct dom_slice bytes,
                              struct dom_error *err) DOM_MUST_USE;

/* ---- reading back ------------------------------------------------------------------------- */

/* Reads `count` (1..256) hashes of a level from `first` on; they lie within one tile. The reader
 * must hold at least the tree whose size the caller names. Errors: its own (IO, CORRUPT). */
struct dom_hash_reader {
    enum dom_code (*read)(void *impl, int level, uint64_t first, unsigned count,
                          struct dom_hash *out, struct dom_error *err);
    void *impl;
};

/* The edge of the tree of the first `size` leaves, recomputed from its tiles: the right-edge
 * tile of each level is read once. Its root is what a checkpoint of that size must say. */
enum dom_code dom_edge_load(struct dom_edge *edge, const struct dom_hash_reader *reader,
                            uint64_t size, struct dom_error *err) DOM_MUST_USE;

/* ---- proofs ------------------------------------------------------------------------------- */

#define DOM_PROOF_HASHES_MAX 64U

struct dom_proof {
    unsigned num_hashes;
    struct dom_hash hashes[DOM_PROOF_HASHES_MAX];
};

/* That leaf `index` is in the tree of `size` leaves; from the leaf's sibling upward. Reads at
 * most one run of hashes per level and tile that the path touches.
 * Errors: INVALID (index >= size, size too large), the reader's. */
enum dom_code dom_prove_inclusion(struct dom_proof *proof, const struct dom_hash_reader *reader,
                                  uint64_t index, uint64_t size,
                                  struct dom_error *err) DOM_MUST_USE;
/* That the tree of old_size leaves is a prefix of that of new_size. Empty when old_size is 0 or
 * equals new_size. Errors: INVALID (old_size > new_size), the reader's. */
enum dom_code dom_prove_consistency(struct dom_proof *proof, const struct dom_hash_reader *reader,
                                    uint64_t old_size, uint64_t new_size,
                                    struct dom_error *err) DOM_MUST_USE;

/* RFC 9162 section 2.1.3.2. Errors: TAMPERED. */
enum dom_code dom_check_inclusion(const struct dom_proof *proof, uint64_t index, uint64_t size,
                                  const struct dom_hash *leaf, const struct dom_hash *root,
                                  struct dom_error *err) DOM_MUST_USE;

struct dom_tree_head {
    uint64_t size;
    struct dom_hash root;
};
/* RFC 9162 section 2.1.4.2. old->size 0 is refused: everything is consistent with nothing, and
 * whoever wants to accept that must say so itself. Errors: TAMPERED. */
enum dom_code dom_check_consistency(const struct dom_proof *proof,
                                    const struct dom_tree_head *old_head,
                                    const struct dom_tree_head *new_head,
                                    struct dom_error *err) DOM_MUST_USE;

/* ---- a whole tree in memory --------------------------------------------------------------- */

/* A sink and a reader over arrays that grow: for tests, benchmarks and short logs. */
struct dom_memory_tree {
    struct dom_edge edge;
    struct dom_buffer levels[DOM_TILE_LEVELS]; /* hashes end to end */
};
void dom_memory_tree_init(struct dom_memory_tree *tree);
void dom_memory_tree_cleanup(struct dom_memory_tree *tree);
/* Errors: RESOURCE (out of memory; the tree is then unusable). */
enum dom_code dom_memory_tree_append(struct dom_memory_tree *tree, const struct dom_hash *leaf,
                                     struct dom_error *err) DOM_MUST_USE;
struct dom_hash_reader dom_memory_tree_reader(struct dom_memory_tree *tree);

#endif
