/* A bounded bump allocator: one per request, freed as a whole.
 *
 * *Not* thread-safe: one owner at a time (a request hands its arena over with itself).
 * Memory comes in blocks; the first may be the caller's own. The limit counts bytes
 * handed out, each piece rounded up to 16, so a peer cannot make one request take more than its arena's cap: past it
 * dom_arena_alloc returns NULL and the arena remembers (`exhausted`).
 */
#ifndef DOM_BASE_ARENA_H
#define DOM_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

struct dom_arena_block;

struct dom_arena {
    struct dom_arena_block *blocks; /* heap blocks, newest first; NULL while the first serves */
    uint8_t *first;                 /* caller's first block, may be NULL */
    size_t first_size;              /* bytes in it */
    uint8_t *at;                    /* next free byte of the current block */
    size_t left;                    /* bytes free in the current block */
    size_t used;                    /* bytes handed out, with their padding */
    size_t limit;                   /* bytes that may be handed out */
    bool exhausted;                 /* an allocation was refused */
};

/* Uses `first` (may be NULL, borrowed for the arena's life) before any heap block. */
void dom_arena_init(struct dom_arena *arena, void *first, size_t first_size, size_t limit);

/* Frees the heap blocks and empties the arena for the next request. The first block and the
 * limit stay. Every pointer from it dies. */
void dom_arena_reset(struct dom_arena *arena);

/* Frees everything. Legal on a zeroed arena. */
void dom_arena_cleanup(struct dom_arena *arena);

/* `size` bytes aligned to 16, not zeroed; NULL past the limit. size 0 gives a valid pointer. */
void *dom_arena_alloc(struct dom_arena *arena, size_t size);

/* The same, zeroed. NULL on overflow of count * size too. */
void *dom_arena_calloc(struct dom_arena *arena, size_t count, size_t size);

/* A copy of the bytes with a NUL behind it (not counted in the slice's length). NULL past the
 * limit. */
char *dom_arena_dup(struct dom_arena *arena, struct dom_slice bytes);

/* printf into the arena; NULL past the limit. */
char *dom_arena_printf(struct dom_arena *arena, const char *fmt, ...) DOM_PRINTF(2, 3);

#endif
