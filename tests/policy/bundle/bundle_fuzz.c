/* Any bytes as a bundle, root, timestamp, order and roll-out state. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "policy/bundle/bundle.h"
#include "policy/rollout/rollout.h"

#define NOW_MS INT64_C(1795305600000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken apart is put together again to the same bytes. */
static void try_bundle(struct dom_slice bytes)
{
    struct dom_bundle bundle;
    struct dom_buffer again = {0};

    if (dom_bundle_parse(&bundle, bytes, NULL) != DOM_BUNDLE_NONE) {
        return;
    }
    DOM_ASSERT(bundle.policy.data != NULL);
    DOM_ASSERT(dom_bundle_text(&bundle, &again, NULL) == DOM_OK);
    DOM_ASSERT(dom_slice_eq(dom_buffer_slice(&again), bundle.text));
    dom_buffer_cleanup(&again);
}

static void try_root(struct dom_slice bytes)
{
    struct dom_root root;
    struct dom_buffer again = {0};

    if (dom_root_parse(&root, bytes, NULL) == DOM_OK) {
        DOM_ASSERT(dom_root_text(&root, &again, NULL) == DOM_OK);
        DOM_ASSERT(again.len < bytes.len);
        DOM_ASSERT(memcmp(again.data, bytes.data, again.len) == 0);
        dom_buffer_cleanup(&again);
    }
    dom_root_cleanup(&root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_slice bytes = dom_slice_of(data, size);
    struct dom_root root = {.name = "base", .version = 1, .expires_ms = INT64_MAX};
    struct dom_bundle_expect expect = {.root = &root, .now_ms = NOW_MS};
    struct dom_timestamp timestamp;
    struct dom_rollout rollout;
    struct dom_bundle bundle;
    struct dom_order order;
    struct dom_slice name;

    try_bundle(bytes);
    try_root(bytes);
    /* A root without keys takes nothing, whatever the bytes. */
    DOM_ASSERT(dom_bundle_open(&bundle, bytes, &expect, NULL) != DOM_BUNDLE_NONE);
    DOM_ASSERT(dom_timestamp_open(&timestamp, bytes, &root, NOW_MS, NULL) != DOM_BUNDLE_NONE);
    DOM_ASSERT(dom_order_open(&order, bytes, &root, NOW_MS, 0, NULL) != DOM_BUNDLE_NONE);
    if (dom_rollout_decode(&rollout, &name, bytes, NULL) == DOM_OK) {
        DOM_ASSERT(rollout.at < DOM_ROLLOUT_STEPS_MAX);
    }
    return 0;
}
