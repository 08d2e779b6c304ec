#include "policy/bundle/plan.h"

#include <string.h>

#include "policy/bundle/bundle.h"
#include "policy/diff.h"

static void put_policy(struct dom_buffer *out, const char *key, const struct dom_policy *policy)
{
    const struct dom_policy_info *info = dom_policy_info(policy);

    dom_buffer_printf(out, "\"%s\":{\"name\":\"%s\",\"version\":%lld,\"sha256\":\"%s\"},", key,
                      info->name, (long long)info->version, info->sha256_hex);
}

enum dom_code dom_plan_make(struct dom_plan *plan, const struct dom_policy *before,
                            const struct dom_policy *after, struct dom_buffer *text,
                            struct dom_error *err)
{
    struct dom_buffer own = {0};
    struct dom_buffer *out = text == NULL ? &own : text;
    size_t start = out->len;
    struct dom_diff diff;

    memset(plan, 0, sizeof(*plan));
    enum dom_code rc = dom_diff_make(&diff, before, after, err);
    if (rc == DOM_OK) {
        plan->loosens = dom_diff_loosens(&diff);
        plan->num_groups = diff.num_groups;
        for (size_t i = 0; i < diff.num_groups; i++) {
            plan->tightens = plan->tightens || diff.groups[i].tighter;
        }
        dom_buffer_append_char(out, '{');
        put_policy(out, "before", before);
        put_policy(out, "after", after);
        dom_buffer_printf(out, "\"loosens\":%s,\"tightens\":%s,\"diff\":",
                          plan->loosens ? "true" : "false", plan->tightens ? "true" : "false");
        dom_diff_print_json(&diff, "before", "after", out);
        while (out->len > start && out->data[out->len - 1] == '\n') {
            out->len--;
        }
        dom_buffer_append_str(out, "}\n");
        if (out->failed) {
            rc = DOM_FAIL(err, DOM_RESOURCE, "out of memory for a plan");
        } else {
            dom_policy_sha256(plan->sha256, dom_slice_of(out->data + start, out->len - start));
        }
    }
    dom_diff_cleanup(&diff);
    dom_buffer_cleanup(&own);
    return rc;
}
