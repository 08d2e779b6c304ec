/* Entry bundles of C2SP tlog-tiles: uint16 big-endian length and bytes of each entry, end to end.
 *
 * Thread contract: any thread.
 */
#ifndef DOM_STORE_AUDIT_BUNDLE_H
#define DOM_STORE_AUDIT_BUNDLE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/slice.h"
#include "store/audit/tile.h"

/* What the format allows for one entry. Ours are at most DOM_ENTRY_BYTES_MAX. */
#define DOM_BUNDLE_ENTRY_BYTES_MAX 65535U
/* A full bundle of the longest entries. */
#define DOM_BUNDLE_BYTES_MAX (DOM_TILE_WIDTH * (2U + DOM_BUNDLE_ENTRY_BYTES_MAX))

/* Appends one entry. Errors: TOO_LARGE, RESOURCE. */
enum dom_code dom_bundle_append(struct dom_buffer *bundle, struct dom_slice entry,
                                struct dom_error *err) DOM_MUST_USE;

struct dom_bundle_iter {
    struct dom_slice rest;
    unsigned position; /* entries given so far */
};
void dom_bundle_iter_init(struct dom_bundle_iter *iter, struct dom_slice bundle);
/* The next entry, or *done. The entry lies in the bundle. Errors: CORRUPT (cut short). */
enum dom_code dom_bundle_next(struct dom_bundle_iter *iter, struct dom_slice *entry, bool *done,
                              struct dom_error *err) DOM_MUST_USE;

#endif
