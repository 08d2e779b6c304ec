/* gzip (RFC 1952) of whole buffers, through Intel's ISA-L.
 *
 * Thread contract: any thread.
 */
#ifndef DOM_BASE_GZIP_GZIP_H
#define DOM_BASE_GZIP_GZIP_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

/* Whether the bytes begin as a gzip member does (1f 8b, method 8). */
bool dom_gzip_begins(struct dom_slice bytes);
/* Appends the bytes as one gzip member; the same bytes always give the same member (no time, no
 * name). Errors: RESOURCE, TOO_LARGE (over 2 GiB). */
enum dom_code dom_gzip(struct dom_buffer *out, struct dom_slice bytes,
                       struct dom_error *err) DOM_MUST_USE;
/* Appends what one member holds. Only dom_gzip's own header is taken, and nothing may follow, so
 * that a file has no room for bytes that nobody checks. Errors: CORRUPT (with what is wrong),
 * TOO_LARGE (more than `bytes_max`), RESOURCE. `out` has nothing more after an error. */
enum dom_code dom_gunzip(struct dom_buffer *out, struct dom_slice member, size_t bytes_max,
                         struct dom_error *err) DOM_MUST_USE;

#endif
