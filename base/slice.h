/* A borrowed run of bytes. Never NUL-terminated by contract; never owned. By value.
 * Thread contract: any thread; the bytes' owner decides how long they live. */
#ifndef DOM_BASE_SLICE_H
#define DOM_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dom_slice {
    const uint8_t *data; /* may be NULL only when len is 0 */
    size_t len;          /* bytes */
};

static inline struct dom_slice dom_slice_of(const void *data, size_t len)
{
    struct dom_slice s = {.data = (const uint8_t *)data, .len = len};
    return s;
}

/* Of a NUL-terminated string, without its NUL. */
static inline struct dom_slice dom_slice_str(const char *text)
{
    return dom_slice_of(text, strlen(text));
}

#define DOM_SLICE_LIT(literal) dom_slice_of("" literal, sizeof(literal) - 1)

/* Exact equality; two empty slices are equal. There is deliberately no prefix match. */
static inline bool dom_slice_eq(struct dom_slice a, struct dom_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool dom_slice_eq_str(struct dom_slice a, const char *text)
{
    return dom_slice_eq(a, dom_slice_str(text));
}

/* Bytewise order, shorter first among equal prefixes: <0, 0, >0. */
int dom_slice_cmp(struct dom_slice a, struct dom_slice b);

/* Copies the slice into `out` (capacity out_size) and ends it with NUL, for an OS call.
 * False, with out[0] = 0, when it does not fit or holds a NUL. */
bool dom_slice_to_cstr(struct dom_slice s, char *out, size_t out_size);
/* A copy on the heap, ended with a NUL; the caller frees it. Aborts when out of memory: for what is
 * small and bounded. */
char *dom_slice_dup(struct dom_slice s);

/* True if the bytes are valid UTF-8 (RFC 3629: no overlongs, no surrogates, <= U+10FFFF). */
bool dom_utf8_valid(struct dom_slice s);

#endif
