/* Any bytes as an entry: what parses says the same again, byte for byte, and what does not parse
 * leaves nothing behind. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "store/audit/bundle.h"
#include "store/audit/event.h"
#include "store/audit/scan.h"

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
    dom_bundle_iter_init(&iter, entry);
    while (!done && dom_bundle_next(&iter, &entry, &done, &err) == DOM_OK) {
        DOM_ASSERT(done || entry.len <= size);
    }
    return 0;
}
