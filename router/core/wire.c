#include "router/core/wire.h"

#include <inttypes.h>
#include <stdio.h>

#define FIELD_NUMBER_MAX ((UINT64_C(1) << 29) - 1)

enum { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

static size_t varint_encode(uint8_t out[10], uint64_t value)
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (uint8_t)value;
    return len;
}

static void put_varint(struct dom_buffer *out, uint64_t value)
{
    uint8_t bytes[10];

    dom_buffer_append(out, bytes, varint_encode(bytes, value));
}

static void put_tag(struct dom_buffer *out, unsigned field, unsigned type)
{
    put_varint(out, ((uint64_t)field << 3) | type);
}

void dom_wire_uint(struct dom_buffer *out, unsigned field, uint64_t value)
{
    if (value != 0) {
        put_tag(out, field, WIRE_VARINT);
        put_varint(out, value);
    }
}

void dom_wire_bool(struct dom_buffer *out, unsigned field, bool value)
{
    dom_wire_uint(out, field, value ? 1 : 0);
}

void dom_wire_element(struct dom_buffer *out, unsigned field, struct dom_slice value)
{
    put_tag(out, field, WIRE_LEN);
    put_varint(out, value.len);
    dom_buffer_append_slice(out, value);
}

void dom_wire_bytes(struct dom_buffer *out, unsigned field, struct dom_slice value)
{
    if (value.len > 0) {
        dom_wire_element(out, field, value);
    }
}

void dom_wire_str(struct dom_buffer *out, unsigned field, const char *text)
{
    dom_wire_bytes(out, field, dom_slice_str(text));
}

size_t dom_wire_begin(struct dom_buffer *out, unsigned field)
{
    put_tag(out, field, WIRE_LEN);
    dom_buffer_append_char(out, 0); /* one byte of length; end makes room if it needs more */
    return out->len;
}

void dom_wire_end(struct dom_buffer *out, size_t at)
{
    uint8_t bytes[10];

    if (out->failed) {
        return;
    }
    size_t body = out->len - at;
    size_t len = varint_encode(bytes, body);
    if (len > 1 && dom_buffer_extend(out, len - 1) != NULL) {
        memmove(out->data + at + len - 1, out->data + at, body);
    }
    if (!out->failed) {
        memcpy(out->data + at - 1, bytes, len);
    }
}

/* Reads a varint at *at; false when it is cut off or longer than 64 bits. */
static bool get_varint(struct dom_slice in, size_t *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (*at >= in.len) {
            return false;
        }
        uint8_t byte = in.data[(*at)++];
        if (shift == 63 && byte > 1) {
            return false; /* bits past the 64th */
        }
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool get_value(struct dom_slice in, size_t *at, unsigned number, unsigned type,
                      struct dom_field_view *view)
{
    uint64_t number64 = 0;

    if (type == WIRE_LEN) {
        if (!get_varint(in, at, &number64) || number64 > in.len - *at) {
            return false;
        }
        struct dom_slice bytes = dom_slice_of(in.data + *at, (size_t)number64);
        *at += (size_t)number64;
        if (number == 1) {
            view->name = bytes;
        } else if (number == DOM_VALUE_TEXT || number == DOM_VALUE_DATA) {
            view->type = (enum dom_value_type)number;
            view->bytes = bytes;
        }
        return true;
    }
    if (type == WIRE_VARINT) {
        if (!get_varint(in, at, &number64)) {
            return false;
        }
        if (number == DOM_VALUE_INTEGER || number == DOM_VALUE_FLAG) {
            view->type = (enum dom_value_type)number;
            view->integer = (int64_t)number64;
        }
        return true;
    }
    size_t width = type == WIRE_I64 ? 8 : 4;
    if ((type != WIRE_I64 && type != WIRE_I32) || in.len - *at < width) {
        return false;
    }
    if (type == WIRE_I64 && number == DOM_VALUE_REAL) {
        view->type = DOM_VALUE_REAL;
        memcpy(&view->real, in.data + *at, sizeof(view->real));
    }
    *at += width;
    return true;
}

bool dom_field_parse(struct dom_slice message, struct dom_field_view *view)
{
    size_t at = 0;

    memset(view, 0, sizeof(*view));
    while (at < message.len) {
        uint64_t tag = 0;
        /* A larger number would alias a known one when it is cut to 32 bits. */
        if (!get_varint(message, &at, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX ||
            !get_value(message, &at, (unsigned)(tag >> 3), (unsigned)(tag & 7), view)) {
            return false;
        }
    }
    return view->name.len > 0;
}

struct dom_slice dom_field_hash_input(const struct dom_field_view *view, char scratch[32])
{
    int len = 0;

    switch (view->type) {
    case DOM_VALUE_TEXT:
    case DOM_VALUE_DATA:
        return view->bytes;
    case DOM_VALUE_INTEGER:
    case DOM_VALUE_FLAG:
        len = snprintf(scratch, 32, "%" PRId64, view->integer);
        break;
    case DOM_VALUE_REAL:
        len = snprintf(scratch, 32, "%.17g", view->real);
        break;
    case DOM_VALUE_NONE:
        break;
    }
    return dom_slice_of(scratch, (size_t)len);
}

void dom_wire_text_field(struct dom_buffer *out, unsigned field, struct dom_slice name,
                         struct dom_slice text)
{
    size_t at = dom_wire_begin(out, field);

    dom_wire_bytes(out, 1, name);
    dom_wire_element(out, DOM_VALUE_TEXT, text);
    dom_wire_end(out, at);
}
