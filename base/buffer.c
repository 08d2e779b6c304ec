#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void dom_buffer_init(struct dom_buffer *buf, size_t limit)
{
    memset(buf, 0, sizeof(*buf));
    buf->limit = limit;
}

void dom_buffer_cleanup(struct dom_buffer *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof(*buf));
}

struct dom_buffer dom_buffer_over(void *memory, size_t capacity)
{
    return (struct dom_buffer){.data = memory, .capacity = capacity, .borrowed = true};
}

void dom_buffer_clear(struct dom_buffer *buf)
{
    buf->len = 0;
    buf->failed = false;
}

/* Room for `more` bytes, which count against the limit, and `spare` ones that do not (a NUL). */
static bool reserve(struct dom_buffer *buf, size_t more, size_t spare)
{
    size_t need = 0;

    if (buf->failed || __builtin_add_overflow(buf->len, more, &need) ||
        (buf->limit != 0 && need > buf->limit) || __builtin_add_overflow(need, spare, &need)) {
        buf->failed = true;
        return false;
    }
    if (need <= buf->capacity) {
        return true;
    }
    if (buf->borrowed) {
        buf->failed = true;
        return false;
    }
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < need) {
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    }
    uint8_t *grown = realloc(buf->data, capacity);
    if (grown == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = grown;
    buf->capacity = capacity;
    return true;
}

uint8_t *dom_buffer_extend(struct dom_buffer *buf, size_t len)
{
    if (!reserve(buf, len, 1)) { /* the spare byte: memory to point to, even for no bytes */
        return NULL;
    }
    uint8_t *at = buf->data + buf->len;
    buf->len += len;
    return at;
}

void dom_buffer_append(struct dom_buffer *buf, const void *data, size_t len)
{
    if (len > 0 && reserve(buf, len, 0)) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
}

void dom_buffer_append_slice(struct dom_buffer *buf, struct dom_slice bytes)
{
    dom_buffer_append(buf, bytes.data, bytes.len);
}

void dom_buffer_append_str(struct dom_buffer *buf, const char *text)
{
    dom_buffer_append(buf, text, strlen(text));
}

void dom_buffer_append_char(struct dom_buffer *buf, char c)
{
    dom_buffer_append(buf, &c, 1);
}

void dom_buffer_printf(struct dom_buffer *buf, const char *fmt, ...)
{
    va_list args;
    va_list again;

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    if (len < 0) {
        buf->failed = true;
    } else if (reserve(buf, (size_t)len, 1)) {
        (void)vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

void dom_buffer_append_u16be(struct dom_buffer *buf, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    dom_buffer_append(buf, b, sizeof(b));
}

void dom_buffer_append_u32be(struct dom_buffer *buf, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    dom_buffer_append(buf, b, sizeof(b));
}

void dom_buffer_append_u64be(struct dom_buffer *buf, uint64_t v)
{
    dom_buffer_append_u32be(buf, (uint32_t)(v >> 32));
    dom_buffer_append_u32be(buf, (uint32_t)v);
}

const char *dom_buffer_cstr(struct dom_buffer *buf)
{
    if (!reserve(buf, 0, 1)) {
        return NULL;
    }
    buf->data[buf->len] = '\0';
    return (const char *)buf->data;
}
