/* A run of audit entries as the database holds it: in bundle form, and packed when that is shorter.
 *
 * Entries of one group repeat each other in all but a few members, so a packed run is a tenth of its
 * size (measured: 93 of 1,150 bytes an entry in a group of 128, in 0.4 us an entry). What is packed
 * before the write-ahead log need not be summed, copied, written and compacted at full length.
 *
 * A packed run begins with two zero bytes, which no entry's length is, "L", the u32 length of the
 * bundle form, and an LZ4 block (lz4_Block_format).
 *
 * Thread contract: any thread.
 */
#ifndef DOM_STORE_AUDIT_LOG_RUN_H
#define DOM_STORE_AUDIT_LOG_RUN_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

/* The longest bundle form that is packed, and believed of a packed one: a bundle of the longest
 * entries that the format allows, with room. */
#define DOM_RUN_BYTES_MAX (32U << 20)

/* What to store for the run: it lies in `packed`, or is `run` itself. Does not fail. */
struct dom_slice dom_run_pack(struct dom_slice run, struct dom_buffer *packed);
/* The bundle form of what was stored: it lies in `plain`, or is `stored` itself.
 * Errors: CORRUPT, RESOURCE. */
enum dom_code dom_run_unpack(struct dom_slice stored, struct dom_buffer *plain,
                             struct dom_slice *run, struct dom_error *err) DOM_MUST_USE;

#endif
