/* The newest durable entries, kept in memory in bundle form until they are published as files: what
 * the commit thread has just written need not be read back, decompressed and walked.
 *
 * Only a shortcut: whatever is not here is read from the database. Bounded by
 * DOM_AUDIT_RECENT_BYTES_MAX; over that, older entries are forgotten.
 *
 * Not thread-safe: whoever holds it guards it.
 */
#ifndef DOM_STORE_AUDIT_LOG_RECENT_H
#define DOM_STORE_AUDIT_LOG_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

/* Zeroed: empty. */
struct dom_audit_recent {
    uint64_t first; /* index of the first entry held */
    uint64_t end;   /* one past the last; equal to `first`: empty */
    struct dom_buffer bytes; /* uint16 length and entry, end to end */
    uint64_t at;    /* where the last search ended: index, */
    size_t offset;  /* and its place in `bytes` */
};

void dom_audit_recent_cleanup(struct dom_audit_recent *recent);
/* Holds nothing any more; the next entry is `next`. */
void dom_audit_recent_forget(struct dom_audit_recent *recent, uint64_t next);
/* Adds `count` entries that begin at index `first`. If they do not follow what is held, or would be
 * too much beside it, what is held is forgotten. */
void dom_audit_recent_add(struct dom_audit_recent *recent, uint64_t first, uint64_t count,
                          struct dom_slice run);
/* Takes all of `from` behind what `recent` holds; `from` holds nothing then. */
void dom_audit_recent_move(struct dom_audit_recent *recent, struct dom_audit_recent *from);
/* The bytes of `count` entries from `first` on; they live until the next change. False: not held.
 * Quick when asked in ascending order. */
bool dom_audit_recent_find(struct dom_audit_recent *recent, uint64_t first, uint64_t count,
                           struct dom_slice *bytes);
/* Forgets what lies before `first`, and gives memory back. */
void dom_audit_recent_trim(struct dom_audit_recent *recent, uint64_t first);

#endif
