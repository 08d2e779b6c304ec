/* P03 to P06 over the whole policy: what cannot be kept, what is risky, what has no effect. */
#include <stdio.h>
#include <string.h>

#include "policy/read_internal.h"
#include "policy/tables.h"
#include "policy/text.h"

#define WARN_DAYS 30

/* The entry that asks for the most copies of the class. */
static const struct dom_placement_rule *most_demanding(const struct dom_model *model,
                                                       dom_policy_id kind, dom_policy_id home,
                                                       size_t c)
{
    const struct dom_placement_rule *most = NULL;

    for (size_t i = 0; i < model->num_placements; i++) {
        const struct dom_placement_rule *entry = &model->placements[i];
        if (dom_set_has(entry->classes, (dom_policy_id)c) && dom_set_has(entry->kinds, kind) &&
            dom_countries_has(&entry->home, home) &&
            (most == NULL || entry->min_replicas > most->min_replicas)) {
            most = entry;
        }
    }
    return most;
}

static void check_replicas(struct dom_reader *reader, const struct dom_policy_placement *place,
                           dom_policy_id kind, dom_policy_id home)
{
    const struct dom_model *model = reader->model;
    dom_policy_set classes = model->kind_info[kind].classes & place->storable;

    for (dom_policy_set left = classes; left != 0; left &= left - 1) {
        size_t c = (size_t)__builtin_ctzll(left);
        int regions = __builtin_popcountll(place->regions[c]);
        if (regions >= place->min_replicas[c]) {
            continue;
        }
        const struct dom_placement_rule *entry = most_demanding(model, kind, home, c);
        const struct dom_node *at = dom_node_get(entry->node, "min_replicas");
        dom_read_fail(reader, at == NULL ? entry->node : at, "P0304",
                      "allow more regions, or ask for fewer copies",
                      "%u copies are asked for, but \"%s\" of home %s may lie in %d region%s",
                      place->min_replicas[c], dom_names_get(&model->classes, (dom_policy_id)c),
                      dom_names_get(&model->countries, home), regions, regions == 1 ? "" : "s");
        return;
    }
}

/* A copy that the law asks for, in a place from which a forbid keeps it. */
static void check_must_include(struct dom_reader *reader, const struct dom_policy_placement *place,
                               dom_policy_id kind, dom_policy_id home)
{
    const struct dom_model *model = reader->model;
    dom_policy_set wanted = model->kind_info[kind].classes;

    for (size_t i = 0; i < model->num_placements; i++) {
        const struct dom_placement_rule *entry = &model->placements[i];
        if (!dom_set_has(entry->kinds, kind) || !dom_countries_has(&entry->home, home)) {
            continue;
        }
        for (dom_policy_set left = wanted & entry->classes; left != 0; left &= left - 1) {
            size_t c = (size_t)__builtin_ctzll(left);
            for (size_t m = 0; m < entry->num_must_include; m++) {
                if ((entry->must_include[m] & place->regions[c]) == 0) {
                    dom_read_fail(reader, dom_node_get(entry->node, "must_include"), "P0305",
                                  "narrow the forbid, or take the class out of this entry",
                                  "must_include: a forbid keeps \"%s\" of home %s from lying there",
                                  dom_names_get(&model->classes, (dom_policy_id)c),
                                  dom_names_get(&model->countries, home));
                    return;
                }
            }
        }
    }
}

/* Every date is taken as in force: an error must not come and go with the clock, or a process
 * could not start again on the morning after a basis ended. */
static void check_place(struct dom_reader *reader, dom_policy_id kind, dom_policy_id home)
{
    const struct dom_model *model = reader->model;
    struct dom_policy_placement place;

    dom_place_compute(&place, model, kind, home, 0, true);
    if ((model->kind_info[kind].classes & place.storable) != 0 && place.lead == DOM_POLICY_NONE) {
        dom_read_fail(reader, model->kinds.nodes[kind], "P0307",
                      "let one region hold every class that may be stored",
                      "kind \"%s\" of home %s has no region that may lead its writes",
                      dom_names_get(&model->kinds, kind), dom_names_get(&model->countries, home));
        return;
    }
    check_replicas(reader, &place, kind, home);
    check_must_include(reader, &place, kind, home);
}

/* One country of each group that no entry and no storing forbid tells apart is enough; we take
 * each country whose row differs from the one before it, which is cheap and never misses. */
static bool same_row(const struct dom_model *model, dom_policy_id a, dom_policy_id b)
{
    if (model->country_jurisdiction[a] != model->country_jurisdiction[b]) {
        return false;
    }
    for (size_t i = 0; i < model->num_placements; i++) {
        const struct dom_countries *home = &model->placements[i].home;
        if (dom_countries_has(home, a) != dom_countries_has(home, b)) {
            return false;
        }
    }
    for (size_t i = 0; i < model->num_rules; i++) {
        const struct dom_countries *home = &model->rules[i].home;
        if (!model->rules[i].permit && dom_countries_has(home, a) != dom_countries_has(home, b)) {
            return false;
        }
    }
    return true;
}

static void check_places(struct dom_reader *reader)
{
    const struct dom_model *model = reader->model;

    for (size_t country = 0; country < model->countries.num; country++) {
        dom_policy_id home = (dom_policy_id)country;
        if (country > 0 && same_row(model, home, (dom_policy_id)(home - 1))) {
            continue;
        }
        for (size_t kind = 0; kind < model->kinds.num; kind++) {
            check_place(reader, (dom_policy_id)kind, home);
        }
    }
}

static void warn_sensitive(struct dom_reader *reader, const struct dom_rule *rule)
{
    const struct dom_model *model = reader->model;

    if (rule->basis == DOM_BASIS_HOME_RETURN) {
        return; /* data that goes back to its home leaves no jurisdiction */
    }
    for (size_t c = 0; c < model->classes.num; c++) {
        if (dom_set_has(rule->classes, (dom_policy_id)c) && model->class_info[c].sensitive &&
            rule->transform[c] == DOM_TRANSFORM_CLEAR) {
            dom_read_fail(reader, rule->node, "P0401",
                          "add an obligation (pseudonymise, redact), or leave the class out",
                          "the sensitive class \"%s\" crosses the border in clear",
                          dom_names_get(&model->classes, (dom_policy_id)c));
            return;
        }
    }
}

/* True when `outer` covers everything that `inner` does. */
static bool covers(const struct dom_rule *outer, const struct dom_rule *inner)
{
    for (size_t w = 0; w < DOM_ARRAY_LEN(inner->home.bits); w++) {
        if ((inner->home.bits[w] & ~outer->home.bits[w]) != 0 ||
            (inner->to.bits[w] & ~outer->to.bits[w]) != 0) {
            return false;
        }
    }
    for (size_t w = 0; w < DOM_ARRAY_LEN(inner->purposes.bits); w++) {
        if ((inner->purposes.bits[w] & ~outer->purposes.bits[w]) != 0) {
            return false;
        }
    }
    for (size_t w = 0; w < DOM_ARRAY_LEN(inner->services.bits); w++) {
        if ((inner->services.bits[w] & ~outer->services.bits[w]) != 0) {
            return false;
        }
    }
    return (inner->ops & ~outer->ops) == 0 && (inner->kinds & ~outer->kinds) == 0 &&
           (inner->classes & ~outer->classes) == 0;
}

static void warn_dead(struct dom_reader *reader, const struct dom_rule *rule)
{
    const struct dom_model *model = reader->model;
    char help[256];

    for (size_t i = 0; i < model->num_rules; i++) {
        const struct dom_rule *other = &model->rules[i];
        /* Cheap tests first: this runs for every pair of rules. */
        if (other->permit || (rule->classes & ~other->classes) != 0 || !covers(other, rule)) {
            continue;
        }
        (void)snprintf(help, sizeof(help), "the forbid \"%s\" at line %u covers all of it",
                       other->id, other->node->value_at.line);
        dom_read_fail(reader, rule->node, "P0501", help, "the permit \"%s\" can never permit",
                      rule->id);
        return;
    }
}

static bool always_in_force_with(const struct dom_model *model, const struct dom_rule *outer,
                                 const struct dom_rule *inner)
{
    if (outer->basis == inner->basis || outer->basis == DOM_POLICY_NONE) {
        return true;
    }
    if (outer->basis == DOM_BASIS_HOME_RETURN || inner->basis == DOM_POLICY_NONE) {
        return false; /* home_return holds for some of its places only */
    }
    const struct dom_basis *outside = &model->basis_info[outer->basis];
    const struct dom_basis *inside = &model->basis_info[inner->basis];
    return outside->from_ms <= inside->from_ms && outside->until_ms >= inside->until_ms;
}

/* Whether `rule` never decides anything because `other`, of the same effect, does so first: of
 * forbids the first decides, of permits the one with the stronger obligation, then the first. */
static bool hides(const struct dom_model *model, const struct dom_rule *other,
                  const struct dom_rule *rule)
{
    bool first = other < rule; /* both lie in model->rules */

    if (!rule->permit) {
        return first && covers(other, rule);
    }
    if (rule->num_limits > 0 || !covers(other, rule) ||
        !always_in_force_with(model, other, rule)) {
        return false;
    }
    if (!first && other->basis >= (dom_policy_id)DOM_BASES_BUILT_IN) {
        return false; /* where both have lapsed the first one is named as the reason */
    }
    for (dom_policy_set left = rule->classes; left != 0; left &= left - 1) {
        int c = __builtin_ctzll(left);
        if (other->transform[c] < rule->transform[c] ||
            (other->transform[c] == rule->transform[c] && !first)) {
            return false;
        }
    }
    return true;
}

/* A warning must not become an error by its number (P0099): these are told up to a hundred. */
#define HIDDEN_TOLD_MAX 100U

/* True when it said so. */
static bool warn_hidden(struct dom_reader *reader, const struct dom_rule *rule)
{
    const struct dom_model *model = reader->model;
    char help[256];

    for (size_t i = 0; i < model->num_rules; i++) {
        const struct dom_rule *other = &model->rules[i];
        if (other == rule || other->permit != rule->permit ||
            (rule->classes & ~other->classes) != 0 || !hides(model, other, rule)) {
            continue;
        }
        (void)snprintf(help, sizeof(help), "the %s \"%s\" at line %u decides all of it",
                       other->permit ? "permit" : "forbid", other->id,
                       other->node->value_at.line);
        dom_read_fail(reader, rule->node, "P0503", help, "the %s \"%s\" can never decide",
                      rule->permit ? "permit" : "forbid", rule->id);
        return true;
    }
    return false;
}

/* A permit for what no service may ask at all. */
static void warn_unasked(struct dom_reader *reader, const struct dom_rule *rule)
{
    const struct dom_model *model = reader->model;

    for (size_t s = 0; s < model->services.num; s++) {
        const struct dom_service *service = &model->service_info[s];
        bool purpose = false;
        for (size_t w = 0; w < DOM_ARRAY_LEN(service->purposes.bits); w++) {
            purpose = purpose || (service->purposes.bits[w] & rule->purposes.bits[w]) != 0;
        }
        if (((rule->services.bits[s / 64] >> (s % 64)) & 1U) != 0 && purpose &&
            (service->ops & rule->ops) != 0 && (service->kinds & rule->kinds) != 0) {
            return;
        }
    }
    dom_read_fail(reader, rule->node, "P0502", "extend a service, or remove the rule",
                  "no service may ask what \"%s\" permits", rule->id);
}

static void warn_writes(struct dom_reader *reader, const struct dom_rule *rule)
{
    bool transforms = false;

    for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
        transforms = transforms || rule->transform[c] != DOM_TRANSFORM_CLEAR;
    }
    if (transforms && (rule->ops & (1U << DOM_OP_WRITE)) != 0) {
        dom_read_fail(reader, rule->node, "P0407", "write a rule of its own for \"write\"",
                      "a write is never changed on its way: this rule denies writes of the "
                      "classes under its obligations");
    }
}

static void check_rules(struct dom_reader *reader)
{
    const struct dom_model *model = reader->model;
    unsigned num_hidden = 0;

    for (size_t i = 0; i < model->num_rules; i++) {
        const struct dom_rule *rule = &model->rules[i];
        if (num_hidden < HIDDEN_TOLD_MAX && warn_hidden(reader, rule)) {
            num_hidden++;
        }
        if (rule->permit) {
            warn_sensitive(reader, rule);
            warn_dead(reader, rule);
            warn_unasked(reader, rule);
            warn_writes(reader, rule);
        }
    }
}

static void check_dates(struct dom_reader *reader, const struct dom_node *root)
{
    const struct dom_model *model = reader->model;
    const struct dom_node *expires = dom_node_get(dom_node_get(root, "policy"), "expires");
    int64_t soon = reader->now_ms + WARN_DAYS * DOM_MS_PER_DAY;

    if (model->expires_ms <= reader->now_ms) {
        dom_read_fail(reader, expires, "P0404", "set a later date",
                      "the policy has expired: every crossing is denied");
    } else if (model->expires_ms <= soon) {
        dom_read_fail(reader, expires, "P0405", "renew it in time",
                      "the policy expires within %d days", WARN_DAYS);
    }
    for (size_t i = DOM_BASES_BUILT_IN; i < model->bases.num; i++) {
        const struct dom_basis *basis = &model->basis_info[i];
        const struct dom_node *until = dom_node_get(basis->node, "until");
        if (basis->until_ms <= reader->now_ms) {
            dom_read_fail(reader, until, "P0403", "renew it, or remove what relies on it",
                          "basis \"%s\" has ended", basis->node->name);
        } else if (basis->until_ms <= soon) {
            dom_read_fail(reader, until, "P0402", "renew it in time",
                          "basis \"%s\" ends within %d days", basis->node->name, WARN_DAYS);
        }
    }
}

static void check_unused_bases(struct dom_reader *reader)
{
    const struct dom_model *model = reader->model;
    bool used[DOM_BASES_MAX + DOM_BASES_BUILT_IN + 1] = {false};

    for (size_t i = 0; i < model->num_rules; i++) {
        used[model->rules[i].basis + 1] = true;
    }
    for (size_t i = 0; i < model->num_placements; i++) {
        used[model->placements[i].basis + 1] = true;
    }
    for (size_t i = DOM_BASES_BUILT_IN; i < model->bases.num; i++) {
        if (!used[i + 1]) {
            dom_read_fail(reader, model->basis_info[i].node, "P0601", "remove it",
                          "nothing relies on the basis \"%s\"",
                          model->basis_info[i].node->name);
        }
    }
}

/* Purposes that a service may give and no permit names: nothing crosses a border for them. Each is
 * told once, where the first service gives it. */
static void check_purposes(struct dom_reader *reader, const struct dom_node *root)
{
    const struct dom_model *model = reader->model;
    struct dom_purposes known = {{0}};
    const struct dom_node *services = dom_node_get(root, "services");

    for (size_t i = 0; i < model->num_rules; i++) {
        for (size_t w = 0; model->rules[i].permit && w < DOM_ARRAY_LEN(known.bits); w++) {
            known.bits[w] |= model->rules[i].purposes.bits[w];
        }
    }
    for (const struct dom_node *service = services->first; service != NULL;
         service = service->next) {
        const struct dom_node *purposes = dom_node_get(service, "purposes");
        /* One name may stand without a list. */
        const struct dom_node *one =
            purposes == NULL ? NULL : purposes->type == DOM_NODE_STRING ? purposes : purposes->first;
        for (; one != NULL; one = one == purposes ? NULL : one->next) {
            dom_policy_id id = dom_names_find(&model->purposes, one->string);
            if (id != DOM_POLICY_NONE && ((known.bits[id / 64] >> (id % 64)) & 1U) == 0) {
                known.bits[id / 64] |= UINT64_C(1) << (id % 64);
                dom_read_fail(reader, one, "P0603", "write a permit for it, or leave it at home",
                              "no permit knows the purpose \"%s\": nothing crosses for it",
                              dom_names_get(&model->purposes, id));
            }
        }
    }
}

void dom_meaning_check(struct dom_reader *reader, const struct dom_node *root)
{
    check_places(reader);
    check_rules(reader);
    check_dates(reader, root);
    check_unused_bases(reader);
    check_purposes(reader, root);
}
