/* The decision: a few table loads and some bit sets. No allocation, no lock, no clock. */
#include "base/assert.h"
#include "policy/policy_internal.h"

static bool id_in(dom_policy_id id, size_t num)
{
    return id >= 0 && (size_t)id < num;
}

bool dom_policy_service_allows(const struct dom_policy *policy,
                               const struct dom_policy_request *request)
{
    const struct dom_model *model = &policy->model;

    if (!id_in(request->service, model->services.num) ||
        !id_in(request->kind, model->kinds.num) || (unsigned)request->op >= DOM_OP_STORE) {
        return false;
    }
    const struct dom_service *service = &model->service_info[request->service];
    if (!dom_set_has(service->kinds, request->kind) ||
        ((service->ops >> (unsigned)request->op) & 1U) == 0) {
        return false;
    }
    if (request->purpose == DOM_POLICY_NONE) {
        return !request->crosses;
    }
    return id_in(request->purpose, model->purposes.num) &&
           ((service->purposes.bits[request->purpose / 64] >> (request->purpose % 64)) & 1U) != 0;
}

static uint32_t step(const struct dom_stage *stage, uint32_t state, uint16_t value)
{
    DOM_DCHECK(state < stage->num_states);
    DOM_DCHECK(value < stage->width);
    return stage->next[(size_t)state * stage->width + value];
}

const struct dom_policy_cell *dom_policy_cell_of(const struct dom_policy *policy,
                                                 const struct dom_policy_request *request)
{
    const struct dom_tables *tables = &policy->tables;
    const struct dom_stage *stages = tables->stages;
    uint16_t time_class = tables->slot_class[dom_slots_find(&tables->slots, request->time_ms)];
    uint32_t state = tables->pairs[(size_t)tables->home_class[request->home] * tables->num_to +
                                   tables->to_class[request->caller]];

    state = step(&stages[DOM_STAGE_KIND], state, tables->kind_class[request->kind]);
    state = step(&stages[DOM_STAGE_OP], state, tables->op_class[request->op]);
    state = step(&stages[DOM_STAGE_SERVICE], state, tables->service_class[request->service]);
    state = step(&stages[DOM_STAGE_PURPOSE], state, tables->purpose_class[request->purpose]);
    return &tables->cells[step(&stages[DOM_STAGE_TIME], state, time_class)];
}

static void deny(const struct dom_policy_request *request, struct dom_policy_decision *decision,
                 enum dom_code reason)
{
    decision->effect = DOM_EFFECT_DENY;
    decision->reason = reason;
    decision->clear = 0;
    decision->redact = 0;
    decision->pseudonymise = 0;
    decision->withheld = request->classes;
}

/* Every class must pass, and as it is: the hardest obstacle is the reason, because removing an
 * easier one would not help. */
static enum dom_code whole_reason(const struct dom_policy_cell *cell, dom_policy_set missing)
{
    if ((missing & cell->forbidden) != 0) {
        return DOM_FORBIDDEN;
    }
    return (missing & ~cell->expired) == 0 ? DOM_BASIS_EXPIRED : DOM_NO_PERMIT;
}

/* Some class would be enough, and none passes: the easiest obstacle is the reason. */
static enum dom_code part_reason(const struct dom_policy_cell *cell, dom_policy_set missing)
{
    if ((missing & cell->expired) != 0) {
        return DOM_BASIS_EXPIRED;
    }
    return missing != 0 && (missing & ~cell->forbidden) == 0 ? DOM_FORBIDDEN : DOM_NO_PERMIT;
}

/* A write or a delete happens whole or not at all. A write whose value would have to be changed
 * on the way is not the write that was asked for; a delete carries no value to change. */
static void decide_whole(const struct dom_policy_request *request,
                         struct dom_policy_decision *decision)
{
    const struct dom_policy_cell *cell = decision->cell;
    dom_policy_set missing = request->classes & ~cell->permitted;
    dom_policy_set changed = cell->redact | cell->pseudonymise | cell->withhold;

    if (request->classes == 0 || missing != 0) {
        deny(request, decision, whole_reason(cell, missing));
        decision->reason = request->classes == 0 ? DOM_NO_PERMIT : decision->reason;
        return;
    }
    if (request->op == DOM_OP_WRITE && (request->classes & changed) != 0) {
        deny(request, decision, DOM_NO_PERMIT);
        return;
    }
    decision->effect = DOM_EFFECT_ALLOW;
    decision->reason = DOM_OK;
    decision->clear = request->classes;
}

static void decide_part(const struct dom_policy *policy, const struct dom_policy_request *request,
                        struct dom_policy_decision *decision)
{
    const struct dom_policy_cell *cell = decision->cell;
    dom_policy_set passing = request->classes & cell->permitted & ~cell->withhold;
    dom_policy_set missing = request->classes & ~cell->permitted;

    if (missing != 0 && policy->model.uncovered_denies) {
        deny(request, decision, whole_reason(cell, missing));
        return;
    }
    if (passing == 0) {
        deny(request, decision, part_reason(cell, missing));
        return;
    }
    /* Only uncovered_field = "redact" comes here with something missing: it goes as an empty
     * value, like what an obligation redacts. */
    decision->redact = (passing & cell->redact) | missing;
    decision->pseudonymise = passing & cell->pseudonymise;
    decision->clear = passing & ~decision->redact & ~decision->pseudonymise;
    decision->withheld = request->classes & cell->permitted & cell->withhold;
    decision->effect = decision->clear == request->classes ? DOM_EFFECT_ALLOW : DOM_EFFECT_MODIFY;
    decision->reason = DOM_OK;
}

void dom_policy_decide(const struct dom_policy *policy, const struct dom_policy_request *request,
                       struct dom_policy_decision *decision)
{
    const struct dom_model *model = &policy->model;

    decision->cell = NULL;
    deny(request, decision, DOM_SERVICE_DENIED);
    if (!dom_policy_service_allows(policy, request)) {
        return;
    }
    decision->reason = DOM_NO_PERMIT;
    if (!id_in(request->home, model->countries.num) ||
        !id_in(request->caller, model->countries.num) ||
        (request->classes & ~dom_set_all(model->classes.num)) != 0) {
        return;
    }
    if (!request->crosses) {
        decision->effect = DOM_EFFECT_ALLOW;
        decision->reason = DOM_OK;
        decision->clear = request->classes;
        decision->withheld = 0;
        return;
    }
    if (request->time_ms >= model->expires_ms) {
        decision->reason = DOM_POLICY_EXPIRED;
        return;
    }
    decision->cell = dom_policy_cell_of(policy, request);
    decision->withheld = 0;
    if (request->op == DOM_OP_WRITE || request->op == DOM_OP_DELETE) {
        decide_whole(request, decision);
    } else {
        decide_part(policy, request, decision);
    }
}

const struct dom_policy_placement *dom_policy_place(const struct dom_policy *policy,
                                                    dom_policy_id kind, dom_policy_id home,
                                                    int64_t time_ms)
{
    const struct dom_tables *tables = &policy->tables;
    size_t num_kinds = policy->model.kinds.num;

    if (!id_in(kind, num_kinds) || !id_in(home, policy->model.countries.num)) {
        return NULL;
    }
    size_t row = (size_t)tables->place_class[home] * num_kinds + (size_t)kind;
    size_t slot = dom_slots_find(&tables->place_slots, time_ms);
    return &tables->placements[tables->place_index[row * (tables->place_slots.num + 1) + slot]];
}

dom_policy_set dom_policy_placement_classes(const struct dom_policy_placement *placement,
                                            dom_policy_id region)
{
    dom_policy_set classes = 0;

    if (!id_in(region, DOM_REGIONS_MAX)) {
        return 0;
    }
    for (dom_policy_set left = placement->storable; left != 0; left &= left - 1) {
        size_t c = (size_t)__builtin_ctzll(left);
        classes |= dom_set_has(placement->regions[c], region) ? UINT64_C(1) << c : 0;
    }
    return classes;
}

int64_t dom_policy_next_change_ms(const struct dom_policy *policy, int64_t now_ms)
{
    const struct dom_slots *all[] = {&policy->tables.slots, &policy->tables.place_slots};
    int64_t next = policy->model.expires_ms > now_ms ? policy->model.expires_ms : INT64_MAX;

    for (size_t i = 0; i < DOM_ARRAY_LEN(all); i++) {
        size_t slot = dom_slots_find(all[i], now_ms);
        if (slot < all[i]->num && all[i]->starts[slot] < next) {
            next = all[i]->starts[slot];
        }
    }
    return next;
}
