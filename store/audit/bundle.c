#include "store/audit/bundle.h"

#include "base/encode.h"

#define LENGTH_SIZE 2U

enum dom_code dom_bundle_append(struct dom_buffer *bundle, struct dom_slice entry,
                                struct dom_error *err)
{
    if (entry.len > DOM_BUNDLE_ENTRY_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "entry of %zu bytes: a bundle holds entries up to %u",
                        entry.len, DOM_BUNDLE_ENTRY_BYTES_MAX);
    }
    dom_buffer_append_u16be(bundle, (uint16_t)entry.len);
    dom_buffer_append_slice(bundle, entry);
    return bundle->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a bundle") : DOM_OK;
}

void dom_bundle_iter_init(struct dom_bundle_iter *iter, struct dom_slice bundle)
{
    iter->rest = bundle;
    iter->position = 0;
}

enum dom_code dom_bundle_next(struct dom_bundle_iter *iter, struct dom_slice *entry, bool *done,
                              struct dom_error *err)
{
    *entry = dom_slice_of(NULL, 0);
    *done = iter->rest.len == 0;
    if (*done) {
        return DOM_OK;
    }
    if (iter->rest.len < LENGTH_SIZE) {
        return DOM_FAIL(err, DOM_CORRUPT, "bundle is cut short in the length of entry %u",
                        iter->position);
    }
    size_t len = dom_get_u16be(iter->rest.data);
    if (iter->rest.len - LENGTH_SIZE < len) {
        return DOM_FAIL(err, DOM_CORRUPT, "bundle is cut short in entry %u", iter->position);
    }
    *entry = dom_slice_of(iter->rest.data + LENGTH_SIZE, len);
    iter->rest = dom_slice_of(entry->data + len, iter->rest.len - LENGTH_SIZE - len);
    iter->position++;
    return DOM_OK;
}
