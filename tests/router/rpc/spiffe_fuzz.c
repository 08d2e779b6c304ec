/* Any bytes as a SPIFFE id: what is taken is spelled from its parts again, to the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/assert.h"
#include "router/rpc/spiffe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_spiffe_id id;
    char again[DOM_SPIFFE_BYTES_MAX + 64];

    if (!dom_spiffe_parse(&id, dom_slice_of(data, size))) {
        DOM_ASSERT(id.region.data == NULL);
        return 0;
    }
    DOM_ASSERT(dom_spiffe_trust_domain_valid(id.trust_domain));
    int len = snprintf(again, sizeof(again), "spiffe://%.*s/region/%.*s/service/%.*s",
                       (int)id.trust_domain.len, (const char *)id.trust_domain.data,
                       (int)id.region.len, (const char *)id.region.data, (int)id.service.len,
                       (const char *)id.service.data);
    DOM_ASSERT(len > 0 && dom_slice_eq(dom_slice_of(again, (size_t)len), dom_slice_of(data, size)));
    return 0;
}
