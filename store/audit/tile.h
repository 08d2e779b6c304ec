/* Where hashes lie: the geometry and the names of C2SP tlog-tiles.
 *
 * The hash with index i of level l is the Merkle tree hash of the 256^l leaves that begin at
 * i * 256^l. Tile n of a level holds its hashes n*256 .. n*256+255. A level holds the hashes of
 * complete subtrees only, so level l of a tree of `size` leaves has floor(size / 256^l) of them.
 * Entry bundles have the geometry of level 0.
 *
 * Thread contract: any thread. Pure.
 */
#ifndef DOM_STORE_AUDIT_TILE_H
#define DOM_STORE_AUDIT_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/audit/hash.h"

#define DOM_TILE_WIDTH 256U
#define DOM_TILE_BYTES (DOM_TILE_WIDTH * DOM_HASH_SIZE)
/* Levels that a tree of DOM_TREE_SIZE_MAX leaves can have. */
#define DOM_TILE_LEVELS 8U
/* Trees are held below 2^62 leaves, so that an inclusion proof has at most 62 hashes. */
#define DOM_TREE_SIZE_MAX (UINT64_C(1) << 62)
/* `level` of an entry bundle in struct dom_tile. */
#define DOM_TILE_ENTRIES (-1)

struct dom_tile {
    int level;      /* 0 .. DOM_TILE_LEVELS - 1, or DOM_TILE_ENTRIES */
    uint64_t n;     /* number of the tile in its level */
    unsigned width; /* hashes in it: 1 .. DOM_TILE_WIDTH */
};

/* Bytes of the longest path with its NUL: "tile/entries/" + 7 groups of 5 + ".p/255". */
#define DOM_TILE_PATH_SIZE 64U

/* "tile/0/x001/234.p/17"; out needs DOM_TILE_PATH_SIZE bytes. Returns out. */
char *dom_tile_path(char *out, struct dom_tile tile);
/* Strict: one spelling per tile. False on anything else, including ".p/0" and ".p/256". */
bool dom_tile_path_parse(struct dom_slice path, struct dom_tile *tile);

/* Hashes of a level in a tree of `size` leaves (floor(size / 256^level)). */
uint64_t dom_tile_level_size(uint64_t size, int level);
/* Hashes of tile n of a level in a tree of `size` leaves: 0 (no such tile) .. 256. */
unsigned dom_tile_width(uint64_t size, int level, uint64_t n);
/* Hash tiles of all levels (partial ones counted), and bundles, of a tree of `size` leaves. */
uint64_t dom_tile_count(uint64_t size);
uint64_t dom_tile_bundle_count(uint64_t size);

#endif
