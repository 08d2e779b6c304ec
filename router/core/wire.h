/* Writing protobuf wire format straight into a buffer, for the answers of the hot path.
 *
 * Requests are decoded by protobuf-c; answers are written here because a stored field is kept as
 * the bytes of its `domicile.v1.Field` message and goes out as it is, without a second encoding.
 * Field numbers come from router/api/domicile/v1. *Not* thread-safe: as the buffer.
 * Source: protobuf encoding specification (varints, length-delimited fields).
 */
#ifndef DOM_ROUTER_CORE_WIRE_H
#define DOM_ROUTER_CORE_WIRE_H

#include "base/buffer.h"

/* Default values (0, empty) are left out, as proto3 does. */
void dom_wire_uint(struct dom_buffer *out, unsigned field, uint64_t value);
void dom_wire_bool(struct dom_buffer *out, unsigned field, bool value);
void dom_wire_bytes(struct dom_buffer *out, unsigned field, struct dom_slice value);
void dom_wire_str(struct dom_buffer *out, unsigned field, const char *text);
/* Written even when empty: an element of a repeated field, or a member of a oneof. */
void dom_wire_element(struct dom_buffer *out, unsigned field, struct dom_slice value);

/* A nested message: everything written between begin and end. `at` is what begin returned. */
size_t dom_wire_begin(struct dom_buffer *out, unsigned field);
void dom_wire_end(struct dom_buffer *out, size_t at);

/* ---- stored fields ------------------------------------------------------------------------- */

/* What a `domicile.v1.Field` message holds. Slices point into the message. */
enum dom_value_type {
    DOM_VALUE_NONE = 0,
    DOM_VALUE_TEXT = 2, /* the numbers are those of the oneof in common.proto */
    DOM_VALUE_DATA = 3,
    DOM_VALUE_INTEGER = 4,
    DOM_VALUE_REAL = 5,
    DOM_VALUE_FLAG = 6
};

struct dom_field_view {
    struct dom_slice name;
    enum dom_value_type type;
    struct dom_slice bytes; /* TEXT, DATA */
    int64_t integer;        /* INTEGER, FLAG */
    double real;
};

/* Reads one Field message. False when it is not one (damage, not a caller's mistake: what is
 * stored was checked when it was written). */
bool dom_field_parse(struct dom_slice message, struct dom_field_view *view);

/* The bytes that stand for a value when it is hashed: text and data as they are, others in
 * decimal. Points into the view or into `scratch` (32 bytes). */
struct dom_slice dom_field_hash_input(const struct dom_field_view *view, char scratch[32]);

/* A Field message with a text value, as element `field` of the message being written. */
void dom_wire_text_field(struct dom_buffer *out, unsigned field, struct dom_slice name,
                         struct dom_slice text);

#endif
