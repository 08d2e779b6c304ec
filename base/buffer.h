/* A growing byte buffer on the heap, with a cap. The one place that appends.
 *
 * Errors are sticky: after a refused append `failed` is true, further appends do nothing,
 * and the writer checks once at the end. *Not* thread-safe.
 */
#ifndef DOM_BASE_BUFFER_H
#define DOM_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

struct dom_buffer {
    uint8_t *data;   /* owned, unless borrowed */
    size_t len;      /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* bytes it may grow to; 0 = no own limit */
    bool failed;     /* over the limit or out of memory */
    bool borrowed;   /* the memory is somebody else's: see dom_buffer_over */
};

/* A zeroed buffer is valid, empty and unlimited. */
void dom_buffer_init(struct dom_buffer *buf, size_t limit);
void dom_buffer_cleanup(struct dom_buffer *buf);
/* One over `capacity` bytes of somebody else's memory: it never grows, what does not fit fails, and it
 * is not cleaned up. */
struct dom_buffer dom_buffer_over(void *memory, size_t capacity);
/* Empties it, keeps the memory, clears `failed`. */
void dom_buffer_clear(struct dom_buffer *buf);

/* Room for `len` more bytes at the end, which the caller fills at once; NULL on failure.
 * The bytes count as used. */
uint8_t *dom_buffer_extend(struct dom_buffer *buf, size_t len);

void dom_buffer_append(struct dom_buffer *buf, const void *data, size_t len);
void dom_buffer_append_slice(struct dom_buffer *buf, struct dom_slice bytes);
void dom_buffer_append_str(struct dom_buffer *buf, const char *text);
void dom_buffer_append_char(struct dom_buffer *buf, char c);
void dom_buffer_printf(struct dom_buffer *buf, const char *fmt, ...) DOM_PRINTF(2, 3);
void dom_buffer_append_u16be(struct dom_buffer *buf, uint16_t v);
void dom_buffer_append_u32be(struct dom_buffer *buf, uint32_t v);
void dom_buffer_append_u64be(struct dom_buffer *buf, uint64_t v);

/* Ends the bytes with a NUL that is not counted, and returns them; NULL after a failure. */
const char *dom_buffer_cstr(struct dom_buffer *buf);

static inline struct dom_slice dom_buffer_slice(const struct dom_buffer *buf)
{
    return dom_slice_of(buf->data, buf->len);
}

#endif
