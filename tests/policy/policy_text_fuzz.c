/* Any bytes at all: the policy compiler refuses or loads them, and what it loads answers. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct dom_policy *policy, struct dom_buffer *out)
{
    struct dom_policy_request request = {.crosses = true, .time_ms = 1795305600000};
    size_t num_countries = dom_policy_num_countries(policy);

    for (size_t i = 0; i < 8; i++) {
        struct dom_policy_decision decision;
        request.op = (enum dom_policy_op)(i % 4);
        request.home = (dom_policy_id)(i % num_countries);
        request.caller = (dom_policy_id)((i + 1) % num_countries);
        request.classes = (UINT64_C(1) << (dom_policy_num_classes(policy) - 1)) | 1U;
        dom_policy_decide(policy, &request, &decision);
        dom_policy_set all = decision.clear | decision.redact | decision.pseudonymise |
                             decision.withheld;
        DOM_ASSERT(all == request.classes);
        DOM_ASSERT((decision.effect == DOM_EFFECT_DENY) == (decision.reason != DOM_OK));
        const struct dom_policy_placement *place =
            dom_policy_place(policy, request.kind, request.home, request.time_ms);
        DOM_ASSERT(place->lead == DOM_POLICY_NONE ||
                   ((place->all >> place->lead) & 1U) != 0);
        dom_policy_explain(policy, &request, out);
        dom_policy_explain_json(policy, &request, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_policy_load_options options = {.name = "fuzz", .now_ms = 1795305600000};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};
    struct dom_buffer out;
    struct dom_slice text = dom_slice_of(data, size);

    dom_buffer_init(&out, 0);
    enum dom_code rc = dom_policy_compile(&policy, &findings, text, &options, &err);
    DOM_ASSERT((rc == DOM_OK) == (policy != NULL));
    DOM_ASSERT((rc == DOM_OK) == (dom_findings_count(&findings, DOM_FINDING_ERROR) == 0));
    for (size_t i = 1; i < findings.num_items; i++) {
        DOM_ASSERT(findings.items[i - 1].line <= findings.items[i].line);
        /* Two readers of one text must never differ: that would be a hole. */
        DOM_ASSERT(strcmp(findings.items[i].code, "P0090") != 0);
    }
    DOM_ASSERT(findings.num_items == 0 || strcmp(findings.items[0].code, "P0090") != 0);
    dom_findings_print(&findings, "fuzz", text, &out);
    dom_findings_print_json(&findings, "fuzz", &out);
    if (policy != NULL) {
        ask(policy, &out);
    }
    dom_buffer_cleanup(&out);
    dom_policy_unref(policy);
    dom_findings_cleanup(&findings);
    return 0;
}
