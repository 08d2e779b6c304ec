/* What the policy demands of second copies of the logs, in terms of the sinks that there are. */
#include <string.h>

#include "base/log.h"
#include "router/service/internal.h"

static enum dom_code add_clause(struct dom_store_need *need, unsigned sinks,
                                const struct dom_policy_log_copy *copy, struct dom_error *err)
{
    for (size_t i = 0; i < need->num; i++) {
        if (need->one_of[i] == sinks) {
            return DOM_OK;
        }
    }
    if (need->num == DOM_SINK_CLAUSES_MAX) {
        return DOM_FAIL(err, DOM_INVALID,
                        "log_copies \"%s\": more than %u demands on one region's log", copy->id,
                        DOM_SINK_CLAUSES_MAX);
    }
    need->one_of[need->num++] = (uint8_t)sinks;
    return DOM_OK;
}

/* All: a clause for each sink. Any: one clause of those that there are. A sink that there is not is an
 * empty set, which nothing meets. */
static enum dom_code demand(const struct dom_store *store, dom_store_region region,
                            const struct dom_policy_log_copy *copy, struct dom_store_need *need,
                            struct dom_error *err)
{
    unsigned any = 0;
    const char *missing = NULL;
    enum dom_code rc = DOM_OK;

    for (size_t i = 0; i < copy->num_sinks && rc == DOM_OK; i++) {
        int sink = dom_store_find_sink(store, region, dom_slice_str(copy->sinks[i]));
        unsigned set = sink < 0 ? 0 : 1U << sink;
        missing = sink < 0 ? copy->sinks[i] : missing;
        any |= set;
        rc = copy->any ? DOM_OK : add_clause(need, set, copy, err);
    }
    if (rc == DOM_OK && copy->any) {
        rc = add_clause(need, any, copy, err);
    }
    if (rc == DOM_OK && missing != NULL && (any == 0 || !copy->any)) {
        rc = DOM_FAIL(err, DOM_INVALID,
                      "log_copies \"%s\" of the policy demands sink \"%s\" for region %s, and "
                      "audit.sinks of the configuration has none of that name for it",
                      copy->id, missing, dom_store_region_name(store, region));
    }
    return rc;
}

static enum dom_code demand_all(const struct dom_store *store, const struct dom_policy *policy,
                                struct dom_store_need needs[DOM_REGIONS_MAX],
                                struct dom_error *err)
{
    enum dom_code first = DOM_OK;

    for (size_t i = 0; i < dom_policy_num_log_copies(policy); i++) {
        const struct dom_policy_log_copy *copy = dom_policy_log_copy(policy, i);
        for (dom_policy_set left = copy->regions; left != 0; left &= left - 1) {
            const char *name =
                dom_policy_region_name(policy, (dom_policy_id)__builtin_ctzll(left));
            dom_store_region region = dom_store_find_region(store, dom_slice_str(name));
            enum dom_code rc =
                region == DOM_STORE_NO_REGION
                    ? DOM_OK
                    : demand(store, region, copy, &needs[region], first == DOM_OK ? err : NULL);
            first = first == DOM_OK ? rc : first;
        }
    }
    return first;
}

enum dom_code dom_router_check_copies(const struct dom_router *router,
                                      const struct dom_policy *policy, struct dom_error *err)
{
    struct dom_store_need needs[DOM_REGIONS_MAX] = {0};

    return demand_all(router->store, policy, needs, err);
}

void dom_router_require_copies(struct dom_router *router, struct dom_snapshot *snapshot)
{
    struct dom_error err = {0};

    if (demand_all(router->store, snapshot->policy, snapshot->needs, &err) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "policy.copies", "text=\"%s\"", err.message);
    }
    for (size_t i = 0; i < dom_store_num_regions(router->store); i++) {
        dom_store_require(router->store, (dom_store_region)i, &snapshot->needs[i]);
    }
}
