#include "store/audit_log/recent.h"

#include "base/assert.h"
#include "base/encode.h"
#include "base/limits.h"

#define LENGTH_SIZE 2U

void dom_audit_recent_cleanup(struct dom_audit_recent *recent)
{
    dom_buffer_cleanup(&recent->bytes);
    *recent = (struct dom_audit_recent){0};
}

static void rewind_search(struct dom_audit_recent *recent)
{
    recent->at = recent->first;
    recent->offset = 0;
}

void dom_audit_recent_forget(struct dom_audit_recent *recent, uint64_t next)
{
    dom_buffer_clear(&recent->bytes);
    recent->first = next;
    recent->end = next;
    rewind_search(recent);
}

void dom_audit_recent_add(struct dom_audit_recent *recent, uint64_t first, uint64_t count,
                          struct dom_slice run)
{
    if (recent->end != first || recent->bytes.len + run.len > DOM_AUDIT_RECENT_BYTES_MAX) {
        dom_audit_recent_forget(recent, first);
    }
    if (run.len > DOM_AUDIT_RECENT_BYTES_MAX) {
        dom_audit_recent_forget(recent, first + count);
        return;
    }
    dom_buffer_append_slice(&recent->bytes, run);
    recent->end = first + count;
    if (recent->bytes.failed) {
        dom_audit_recent_forget(recent, first + count);
    }
}

void dom_audit_recent_move(struct dom_audit_recent *recent, struct dom_audit_recent *from)
{
    if (recent->first == recent->end) {
        struct dom_audit_recent empty = *recent;
        *recent = *from;
        *from = empty;
        rewind_search(recent);
    } else if (from->first != from->end) {
        dom_audit_recent_add(recent, from->first, from->end - from->first,
                             dom_buffer_slice(&from->bytes));
    }
    dom_audit_recent_forget(from, recent->end);
}

/* Goes from the place of the last search to the entry `index`. */
static void seek(struct dom_audit_recent *recent, uint64_t index)
{
    if (index < recent->at) {
        rewind_search(recent);
    }
    while (recent->at < index) {
        DOM_ASSERT(recent->offset + LENGTH_SIZE <= recent->bytes.len);
        recent->offset += LENGTH_SIZE + dom_get_u16be(recent->bytes.data + recent->offset);
        recent->at++;
    }
    DOM_ASSERT(recent->offset <= recent->bytes.len);
}

bool dom_audit_recent_find(struct dom_audit_recent *recent, uint64_t first, uint64_t count,
                           struct dom_slice *bytes)
{
    *bytes = dom_slice_of(NULL, 0);
    if (first < recent->first || first >= recent->end || count > recent->end - first) {
        return false;
    }
    seek(recent, first);
    size_t start = recent->offset;
    seek(recent, first + count);
    *bytes = dom_slice_of(recent->bytes.data + start, recent->offset - start);
    return true;
}

void dom_audit_recent_trim(struct dom_audit_recent *recent, uint64_t first)
{
    struct dom_slice rest;
    struct dom_buffer kept = {0};

    if (first <= recent->first) {
        return;
    }
    uint64_t end = recent->end;
    if (!dom_audit_recent_find(recent, first, first < end ? end - first : 0, &rest)) {
        first = end;
    }
    dom_buffer_append_slice(&kept, rest);
    if (kept.failed) {
        first = end;
        dom_buffer_clear(&kept);
    }
    dom_buffer_cleanup(&recent->bytes);
    recent->bytes = kept;
    recent->first = first;
    recent->end = end;
    rewind_search(recent);
}
