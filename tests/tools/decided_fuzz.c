/* Entries from anywhere, asked of a policy: whatever the bytes are, nothing is read past them, and
 * deciding twice comes out the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/core/redecide.h"
#include "tools/impact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char s_policy[] =
    "policy = { schema = 1; name = \"f\"; version = 1L; expires = \"2030-01-01T00:00:00Z\";\n"
    "  change = { ticket = \"T\"; reason = \"r\"; author = \"a\"; }; };\n"
    "jurisdictions = { EEA = { countries = (\"DE\"); }; US = { countries = (\"US\"); }; };\n"
    "regions = { eu-1 = { country = \"DE\"; }; us-1 = { country = \"US\"; }; };\n"
    "data_classes = { content = { rank = 1; }; network = { rank = 2; personal = true; }; };\n"
    "purposes = { moderation = {}; };\n"
    "services = { moderation = { kinds = (\"*\"); ops = (\"*\"); purposes = (\"*\"); }; };\n"
    "kinds = { live_room = { fields = { title = \"content\"; ip = \"network\"; };\n"
    "  unknown_field = \"network\"; }; };\n"
    "bases = { scc = { mechanism = \"GDPR-46-2-c\"; ref = \"SCC-1\"; from = \"2026-01-01\"; }; };\n"
    "placement = ( { id = \"eea\"; home = (\"EEA\"); classes = (\"*\"); regions = (\"EEA\"); },\n"
    "  { id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); } );\n"
    "rules = ( { id = \"out\"; effect = \"permit\"; ops = (\"read\"); home = (\"EEA\"); to = (\"US\");\n"
    "  kinds = (\"live_room\"); classes = (\"content\"); purposes = (\"moderation\");\n"
    "  services = (\"moderation\"); basis = \"scc\"; } );\n";

static const struct dom_policy *policy(void)
{
    static struct dom_policy *one;
    struct dom_policy_load_options options = {.name = "f", .now_ms = INT64_C(1770000000000)};
    struct dom_findings findings = {0};

    if (one == NULL) {
        DOM_ASSERT(dom_policy_compile(&one, &findings, dom_slice_str(s_policy), &options, NULL) ==
                   DOM_OK);
        dom_findings_cleanup(&findings);
    }
    return one;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dom_impact impact;
    struct dom_redecision first;
    struct dom_redecision second;
    struct dom_decided said;

    if (impact.policy == NULL) {
        dom_impact_init(&impact, policy(), 0);
    }
    dom_redecide(&first, policy(), dom_slice_of(data, size));
    dom_redecide(&second, policy(), dom_slice_of(data, size));
    DOM_ASSERT(first.outcome == second.outcome);
    DOM_ASSERT(strcmp(first.what, second.what) == 0);
    dom_impact_entry(&impact, "log", 0, dom_slice_of(data, size));
    DOM_ASSERT(impact.num_entries ==
               impact.num_replayed + impact.num_other + impact.num_not_replayed);
    if (dom_decided_read(&said, dom_slice_of(data, size), NULL) == DOM_OK) {
        DOM_ASSERT(said.kind.len <= size);
    }
    return 0;
}
