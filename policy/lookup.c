/* Names to ids and back, and what a kind says of a field. */
#include <string.h>

#include "policy/policy_internal.h"

dom_policy_id dom_policy_find_country(const struct dom_policy *policy, struct dom_slice iso2)
{
    return dom_names_find(&policy->model.countries, iso2);
}

dom_policy_id dom_policy_find_region(const struct dom_policy *policy, struct dom_slice name)
{
    return dom_names_find(&policy->model.regions, name);
}

dom_policy_id dom_policy_find_kind(const struct dom_policy *policy, struct dom_slice name)
{
    return dom_names_find(&policy->model.kinds, name);
}

dom_policy_id dom_policy_find_purpose(const struct dom_policy *policy, struct dom_slice name)
{
    return dom_names_find(&policy->model.purposes, name);
}

dom_policy_id dom_policy_find_service(const struct dom_policy *policy, struct dom_slice name)
{
    return dom_names_find(&policy->model.services, name);
}

dom_policy_id dom_policy_find_class(const struct dom_policy *policy, struct dom_slice name)
{
    return dom_names_find(&policy->model.classes, name);
}

const char *dom_policy_country_name(const struct dom_policy *policy, dom_policy_id country)
{
    return dom_names_get(&policy->model.countries, country);
}

const char *dom_policy_jurisdiction_name(const struct dom_policy *policy, dom_policy_id id)
{
    return dom_names_get(&policy->model.jurisdictions, id);
}

const char *dom_policy_region_name(const struct dom_policy *policy, dom_policy_id region)
{
    return dom_names_get(&policy->model.regions, region);
}

const char *dom_policy_kind_name(const struct dom_policy *policy, dom_policy_id kind)
{
    return dom_names_get(&policy->model.kinds, kind);
}

const char *dom_policy_purpose_name(const struct dom_policy *policy, dom_policy_id purpose)
{
    return dom_names_get(&policy->model.purposes, purpose);
}

const char *dom_policy_service_name(const struct dom_policy *policy, dom_policy_id service)
{
    return dom_names_get(&policy->model.services, service);
}

const char *dom_policy_class_name(const struct dom_policy *policy, dom_policy_id data_class)
{
    return dom_names_get(&policy->model.classes, data_class);
}

const char *dom_policy_rule_name(const struct dom_policy *policy, dom_policy_id rule)
{
    bool known = rule >= 0 && (size_t)rule < policy->model.num_rules;

    return known ? policy->model.rules[rule].id : "";
}

static const struct dom_basis *basis_of(const struct dom_policy *policy, dom_policy_id basis)
{
    bool known = basis >= 0 && (size_t)basis < policy->model.bases.num;

    return known ? &policy->model.basis_info[basis] : NULL;
}

const char *dom_policy_basis_name(const struct dom_policy *policy, dom_policy_id basis)
{
    return dom_names_get(&policy->model.bases, basis);
}

const char *dom_policy_basis_mechanism(const struct dom_policy *policy, dom_policy_id basis)
{
    const struct dom_basis *info = basis_of(policy, basis);

    return info == NULL ? "" : info->mechanism;
}

const char *dom_policy_basis_ref(const struct dom_policy *policy, dom_policy_id basis)
{
    const struct dom_basis *info = basis_of(policy, basis);

    return info == NULL ? "" : info->ref;
}

const char *dom_policy_basis_assessment(const struct dom_policy *policy, dom_policy_id basis)
{
    const struct dom_basis *info = basis_of(policy, basis);

    return info == NULL ? "" : info->assessment;
}

const char *dom_policy_placement_name(const struct dom_policy *policy, dom_policy_id placement)
{
    bool known = placement >= 0 && (size_t)placement < policy->model.num_placements;

    return known ? policy->model.placements[placement].id : "";
}

size_t dom_policy_num_regions(const struct dom_policy *policy)
{
    return policy->model.regions.num;
}

size_t dom_policy_num_classes(const struct dom_policy *policy)
{
    return policy->model.classes.num;
}

size_t dom_policy_num_kinds(const struct dom_policy *policy)
{
    return policy->model.kinds.num;
}

size_t dom_policy_num_countries(const struct dom_policy *policy)
{
    return policy->model.countries.num;
}

dom_policy_id dom_policy_region_country(const struct dom_policy *policy, dom_policy_id region)
{
    bool known = region >= 0 && (size_t)region < policy->model.regions.num;

    return known ? policy->model.region_country[region] : DOM_POLICY_NONE;
}

dom_policy_id dom_policy_country_jurisdiction(const struct dom_policy *policy,
                                              dom_policy_id country)
{
    bool known = country >= 0 && (size_t)country < policy->model.countries.num;

    return known ? policy->model.country_jurisdiction[country] : DOM_POLICY_NONE;
}

static const struct dom_kind *kind_of(const struct dom_policy *policy, dom_policy_id kind)
{
    bool known = kind >= 0 && (size_t)kind < policy->model.kinds.num;

    return known ? &policy->model.kind_info[kind] : NULL;
}

enum dom_policy_field_verdict dom_policy_field_class(const struct dom_policy *policy,
                                                     dom_policy_id kind, struct dom_slice field,
                                                     dom_policy_id *class_p)
{
    const struct dom_kind *info = kind_of(policy, kind);

    *class_p = policy->model.strictest_class;
    if (info == NULL) {
        return DOM_FIELD_REFUSED;
    }
    dom_policy_id id = dom_names_find(&info->fields, field);
    if (id != DOM_POLICY_NONE) {
        *class_p = info->field_class[id];
        return DOM_FIELD_DECLARED;
    }
    if (info->unknown_class == DOM_POLICY_NONE) {
        return DOM_FIELD_REFUSED;
    }
    *class_p = info->unknown_class;
    return DOM_FIELD_UNDECLARED;
}

dom_policy_set dom_policy_kind_classes(const struct dom_policy *policy, dom_policy_id kind)
{
    const struct dom_kind *info = kind_of(policy, kind);

    return info == NULL ? 0 : info->classes;
}

size_t dom_policy_kind_num_fields(const struct dom_policy *policy, dom_policy_id kind)
{
    const struct dom_kind *info = kind_of(policy, kind);

    return info == NULL ? 0 : info->fields.num;
}

const char *dom_policy_kind_field_name(const struct dom_policy *policy, dom_policy_id kind,
                                       size_t index)
{
    const struct dom_kind *info = kind_of(policy, kind);

    return info == NULL || index >= info->fields.num ? "" : info->fields.names[index];
}

const char *dom_policy_kind_subject(const struct dom_policy *policy, dom_policy_id kind)
{
    const struct dom_kind *info = kind_of(policy, kind);

    return info == NULL ? "" : info->subject;
}

bool dom_policy_field_name_valid(struct dom_slice name)
{
    if (name.len == 0 || name.len > DOM_FIELD_NAME_BYTES_MAX || name.data[0] < 'a' ||
        name.data[0] > 'z') {
        return false;
    }
    for (size_t i = 1; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_') {
            return false;
        }
    }
    return true;
}

static const char *const s_ops[DOM_OP_COUNT] = {"read", "list", "write", "delete", "store"};

const char *dom_policy_op_name(enum dom_policy_op op)
{
    return (unsigned)op < DOM_OP_COUNT ? s_ops[op] : "";
}

bool dom_policy_op_parse(struct dom_slice name, enum dom_policy_op *op)
{
    for (unsigned i = 0; i < DOM_OP_COUNT; i++) {
        if (dom_slice_eq_str(name, s_ops[i])) {
            *op = (enum dom_policy_op)i;
            return true;
        }
    }
    *op = DOM_OP_READ;
    return false;
}

const char *dom_policy_effect_name(enum dom_policy_effect effect)
{
    switch (effect) {
    case DOM_EFFECT_DENY:
        return "deny";
    case DOM_EFFECT_ALLOW:
        return "allow";
    case DOM_EFFECT_MODIFY:
        return "modify";
    }
    return "deny";
}

const char *dom_policy_pseudonym_key_name(const struct dom_policy *policy, dom_policy_id key)
{
    return dom_names_get(&policy->model.keys, key);
}

size_t dom_policy_num_pseudonym_keys(const struct dom_policy *policy)
{
    return policy->model.keys.num;
}
