#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define ALIGNMENT 16U
#define BLOCK_MIN 4096U

struct dom_arena_block {
    struct dom_arena_block *next;
    size_t size;
};

/* The header keeps the payload aligned. */
#define HEADER_SIZE ((sizeof(struct dom_arena_block) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1))

static void rewind_to_first(struct dom_arena *arena)
{
    uintptr_t start = (uintptr_t)arena->first;
    size_t skew = (ALIGNMENT - (start % ALIGNMENT)) % ALIGNMENT;

    bool usable = arena->first != NULL && skew < arena->first_size;
    arena->at = usable ? arena->first + skew : NULL;
    arena->left = usable ? arena->first_size - skew : 0;
    arena->used = 0;
    arena->exhausted = false;
}

void dom_arena_init(struct dom_arena *arena, void *first, size_t first_size, size_t limit)
{
    memset(arena, 0, sizeof(*arena));
    arena->first = (uint8_t *)first;
    arena->first_size = first == NULL ? 0 : first_size;
    arena->limit = limit;
    rewind_to_first(arena);
}

static void free_blocks(struct dom_arena *arena)
{
    while (arena->blocks != NULL) {
        struct dom_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

void dom_arena_reset(struct dom_arena *arena)
{
    free_blocks(arena);
    rewind_to_first(arena);
}

void dom_arena_cleanup(struct dom_arena *arena)
{
    free_blocks(arena);
    memset(arena, 0, sizeof(*arena));
}

static bool add_block(struct dom_arena *arena, size_t payload)
{
    size_t size = payload < BLOCK_MIN ? BLOCK_MIN : payload;
    struct dom_arena_block *block = malloc(HEADER_SIZE + size);

    if (block == NULL) {
        return false;
    }
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->at = (uint8_t *)block + HEADER_SIZE;
    arena->left = size;
    return true;
}

void *dom_arena_alloc(struct dom_arena *arena, size_t size)
{
    if (size > arena->limit || arena->limit - size < arena->used) {
        arena->exhausted = true;
        return NULL;
    }
    size_t padded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    bool overflows = padded < size || padded > PTRDIFF_MAX - HEADER_SIZE;
    bool needs_block = arena->at == NULL || padded > arena->left;
    if (overflows || (needs_block && !add_block(arena, padded))) {
        arena->exhausted = true;
        return NULL;
    }
    void *out = arena->at;
    arena->at += padded;
    arena->left -= padded;
    /* Padding counts, or a peer could make many one-byte pieces take 16 times the limit. */
    arena->used = padded > arena->limit - arena->used ? arena->limit : arena->used + padded;
    DOM_DCHECK((uintptr_t)out % ALIGNMENT == 0);
    return out;
}

void *dom_arena_calloc(struct dom_arena *arena, size_t count, size_t size)
{
    size_t total = 0;

    if (__builtin_mul_overflow(count, size, &total)) {
        arena->exhausted = true;
        return NULL;
    }
    void *out = dom_arena_alloc(arena, total);
    if (out != NULL) {
        memset(out, 0, total);
    }
    return out;
}

char *dom_arena_dup(struct dom_arena *arena, struct dom_slice bytes)
{
    if (bytes.len == SIZE_MAX) {
        arena->exhausted = true;
        return NULL;
    }
    char *out = dom_arena_alloc(arena, bytes.len + 1);
    if (out != NULL) {
        if (bytes.len > 0) {
            memcpy(out, bytes.data, bytes.len);
        }
        out[bytes.len] = '\0';
    }
    return out;
}

char *dom_arena_printf(struct dom_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_list again;

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *out = len < 0 ? NULL : dom_arena_alloc(arena, (size_t)len + 1);
    if (out != NULL) {
        (void)vsnprintf(out, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    va_end(args);
    return out;
}
