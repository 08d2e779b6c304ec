/* Any bytes as an entry: what parses says the same again, byte for byte, and what does not parse
 * leaves nothing behind. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "store/audit/bundle.h"
#include "store/audit/event.h"
#include "store/audit/scan.h"

static void same_head(struct dom_slice entry, struct dom_entry_shapes *shapes)
{
    struct dom_entry_head full;
    struct dom_entry_head like;
    struct dom_error err;

    enum dom_code want = dom_entry_scan(entry, &full, &err);
    enum dom_code got = dom_entry_scan_like(shapes, entry, &like, &err);
    DOM_ASSERT(want == got);
    DOM_ASSERT(want != DOM_OK || memcmp(&full, &like, sizeof(full)) == 0);
}

/* By its likeness to itself and to its own neighbours an entry is what it is by itself. */
static void scan_like(const uint8_t *data, size_t size)
{
    struct dom_entry_shapes shapes = {0};
    struct dom_buffer other = {0};

    same_head(dom_slice_of(data, size), &shapes);
    same_head(dom_slice_of(data, size), &shapes);
    dom_buffer_append(&other, data, size);
    for (size_t i = 0; i < other.len && i < 4096; i += 1 + i / 16) {
        static const uint8_t s_bytes[] = "\"\\,:{}[]0-9a\x80\x1F";
        uint8_t kept = other.data[i];
        other.data[i] = s_bytes[i % (sizeof(s_bytes) - 1)];
        same_head(dom_buffer_slice(&other), &shapes);
        other.data[i] = kept;
    }
    dom_buffer_cleanup(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_audit_event_doc doc;
    struct dom_entry_head head;
    struct dom_error err;
    struct dom_bundle_iter iter;
    struct dom_slice entry = dom_slice_of(data, size);
    struct dom_buffer again = {0};
    bool done = false;

    enum dom_code scanned = dom_entry_scan(entry, &head, &err);
    if (dom_audit_event_parse(&doc, entry, &err) == DOM_OK) {
        DOM_ASSERT(scanned == DOM_OK);
        DOM_ASSERT(dom_audit_event_encode(&doc.event, &again, &err) == DOM_OK);
        DOM_ASSERT(dom_slice_eq(dom_buffer_slice(&again), entry));
        DOM_ASSERT(head.time_ms == doc.event.time_ms);
        dom_audit_event_doc_cleanup(&doc);
        dom_buffer_cleanup(&again);
    }
    scan_like(data, size);
    entry = dom_slice_of(data, size);
    dom_bundle_iter_init(&iter, entry);
    while (!done && dom_bundle_next(&iter, &entry, &done, &err) == DOM_OK) {
        DOM_ASSERT(done || entry.len <= size);
    }
    return 0;
}
