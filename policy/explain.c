/* A decision in words. Six lines for people, or one JSON object with every rule considered. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "policy/finding_internal.h"
#include "policy/policy_internal.h"
#include "policy/text.h"

static const char *name_or(const char *name, const char *otherwise)
{
    return name[0] == '\0' ? otherwise : name;
}

static const char *country_jurisdiction_name(const struct dom_policy *policy, dom_policy_id country)
{
    return dom_policy_jurisdiction_name(policy, dom_policy_country_jurisdiction(policy, country));
}

/* What happens to one class: the word for the reader. */
static const char *verdict_word(const struct dom_policy_decision *decision, dom_policy_id c)
{
    if (dom_set_has(decision->clear, c)) {
        return "clear";
    }
    if (dom_set_has(decision->redact, c)) {
        return "redacted";
    }
    return dom_set_has(decision->pseudonymise, c) ? "pseudonymised" : "withheld";
}

/* Why a class is where it is, seen from the cell. */
static const char *class_reason(const struct dom_policy_decision *decision, dom_policy_id c)
{
    const struct dom_policy_cell *cell = decision->cell;

    if (cell == NULL) {
        return decision->effect == DOM_EFFECT_ALLOW ? "no border is crossed" : "not considered";
    }
    if (dom_set_has(cell->forbidden, c)) {
        return "forbidden";
    }
    if (dom_set_has(cell->permitted, c)) {
        return dom_set_has(cell->withhold | cell->redact, c) ? "by obligation" : "permitted";
    }
    return dom_set_has(cell->expired, c) ? "basis not in force" : "no permit";
}

static void put_asked(const struct dom_policy *policy, const struct dom_policy_request *request,
                      struct dom_buffer *out)
{
    char date[DOM_DATE_SIZE];

    dom_date_format(date, request->time_ms);
    dom_buffer_printf(out,
                      "asked:    %s %s of home %s (%s) by service %s for %s, to %s (%s), %s, %s\n",
                      dom_policy_op_name(request->op),
                      name_or(dom_policy_kind_name(policy, request->kind), "an unknown kind"),
                      name_or(dom_policy_country_name(policy, request->home), "unknown"),
                      name_or(country_jurisdiction_name(policy, request->home), "no jurisdiction"),
                      name_or(dom_policy_service_name(policy, request->service), "unknown"),
                      name_or(dom_policy_purpose_name(policy, request->purpose), "no purpose"),
                      name_or(dom_policy_country_name(policy, request->caller), "unknown"),
                      name_or(country_jurisdiction_name(policy, request->caller),
                              "no jurisdiction"),
                      request->crosses ? "across a border" : "inside one jurisdiction", date);
}

/* Each rule (or basis) of the request's classes once, in the order of the classes. */
static bool first_use(const dom_policy_id *ids, dom_policy_set classes, size_t c)
{
    for (size_t before = 0; before < c; before++) {
        if (dom_set_has(classes, (dom_policy_id)before) && ids[before] == ids[c]) {
            return false;
        }
    }
    return ids[c] != DOM_POLICY_NONE;
}

static void put_rules(const struct dom_policy *policy, const struct dom_policy_request *request,
                      const struct dom_policy_decision *decision, struct dom_buffer *out)
{
    const struct dom_policy_cell *cell = decision->cell;
    bool any = false;

    dom_buffer_append_str(out, "rules:    ");
    for (size_t c = 0; cell != NULL && c < policy->model.classes.num; c++) {
        if (dom_set_has(request->classes, (dom_policy_id)c) &&
            first_use(cell->rule, request->classes, c)) {
            const struct dom_rule *rule = &policy->model.rules[cell->rule[c]];
            dom_buffer_printf(out, "%s%s \"%s\" at line %u", any ? ", " : "",
                              rule->permit ? "permit" : "forbid", rule->id,
                              rule->node->value_at.line);
            any = true;
        }
    }
    if (!any) {
        dom_buffer_append_str(out, decision->reason == DOM_SERVICE_DENIED
                                       ? "the service's own section"
                                   : decision->reason == DOM_POLICY_EXPIRED
                                       ? "policy.expires"
                                   : decision->effect == DOM_EFFECT_ALLOW
                                       ? "none is needed inside one jurisdiction"
                                       : "none matches");
    }
    dom_buffer_append_char(out, '\n');
}

static void put_until(const struct dom_basis *basis, struct dom_buffer *out)
{
    char from[DOM_DATE_SIZE];
    char until[DOM_DATE_SIZE];

    if (basis->from_ms == INT64_MIN) {
        dom_buffer_append_str(out, ", at any time");
        return;
    }
    dom_date_format(from, basis->from_ms);
    dom_buffer_printf(out, ", from %s", from);
    if (basis->until_ms != INT64_MAX) {
        dom_date_format(until, basis->until_ms - 1);
        dom_buffer_printf(out, " until the end of %s", until);
    }
}

static void put_bases(const struct dom_policy *policy, const struct dom_policy_request *request,
                      const struct dom_policy_decision *decision, struct dom_buffer *out)
{
    const struct dom_policy_cell *cell = decision->cell;
    bool any = false;

    dom_buffer_append_str(out, "basis:    ");
    for (size_t c = 0; cell != NULL && c < policy->model.classes.num; c++) {
        if (!dom_set_has(request->classes, (dom_policy_id)c) ||
            !first_use(cell->basis, request->classes, c)) {
            continue;
        }
        const struct dom_basis *basis = &policy->model.basis_info[cell->basis[c]];
        dom_buffer_printf(out, "%s%s (%s%s%s", any ? "; " : "",
                          dom_policy_basis_name(policy, cell->basis[c]), basis->mechanism,
                          basis->ref[0] == '\0' ? "" : ", ", basis->ref);
        put_until(basis, out);
        dom_buffer_append_char(out, ')');
        any = true;
    }
    dom_buffer_append_str(out, any ? "\n" : "none\n");
}

static void put_classes(const struct dom_policy *policy, const struct dom_policy_request *request,
                        const struct dom_policy_decision *decision, struct dom_buffer *out)
{
    bool any = false;

    dom_buffer_append_str(out, "classes:  ");
    for (size_t i = 0; i < policy->model.classes.num; i++) {
        dom_policy_id c = (dom_policy_id)i;
        if (!dom_set_has(request->classes, c)) {
            continue;
        }
        dom_buffer_printf(out, "%s%s %s", any ? "; " : "", dom_policy_class_name(policy, c),
                          verdict_word(decision, c));
        if (dom_set_has(decision->pseudonymise, c)) {
            dom_buffer_printf(out, " with key %s",
                              dom_policy_pseudonym_key_name(policy,
                                                            decision->cell->pseudonym_key[c]));
        }
        if (dom_set_has(decision->withheld | decision->redact, c)) {
            dom_buffer_printf(out, " (%s)", class_reason(decision, c));
        }
        any = true;
    }
    dom_buffer_append_str(out, any ? "\n" : "none was asked for\n");
}

/* The nearest change that would let more through. */
static void put_change(const struct dom_policy *policy, const struct dom_policy_request *request,
                       const struct dom_policy_decision *decision, struct dom_buffer *out)
{
    const struct dom_policy_cell *cell = decision->cell;

    dom_buffer_append_str(out, "change:   ");
    if (decision->reason == DOM_SERVICE_DENIED) {
        dom_buffer_printf(out, "services.%s would have to list this kind, op and purpose",
                          name_or(dom_policy_service_name(policy, request->service), "<name>"));
    } else if (decision->reason == DOM_POLICY_EXPIRED) {
        dom_buffer_append_str(out, "a newer policy version with a later expires");
    } else if (decision->effect == DOM_EFFECT_ALLOW) {
        dom_buffer_append_str(out, "nothing is held back");
    } else if (cell == NULL) {
        dom_buffer_append_str(out, "a jurisdiction would have to list the country");
    } else if ((request->classes & cell->expired) != 0) {
        int c = __builtin_ctzll(request->classes & cell->expired);
        dom_buffer_printf(out, "the basis \"%s\" of rule \"%s\" would have to be in force",
                          dom_policy_basis_name(policy, cell->basis[c]),
                          dom_policy_rule_name(policy, cell->rule[c]));
    } else if ((request->classes & ~cell->permitted & ~cell->forbidden) != 0) {
        int c = __builtin_ctzll(request->classes & ~cell->permitted & ~cell->forbidden);
        dom_buffer_printf(out, "a permit that names class \"%s\" for this home, place and purpose",
                          dom_policy_class_name(policy, (dom_policy_id)c));
    } else if ((request->classes & cell->forbidden) != 0) {
        int c = __builtin_ctzll(request->classes & cell->forbidden);
        dom_buffer_printf(out, "the forbid \"%s\" would have to go; no permit beats it",
                          dom_policy_rule_name(policy, cell->rule[c]));
    } else {
        dom_buffer_append_str(out, "the obligations of the permits would have to be weaker");
    }
    dom_buffer_append_char(out, '\n');
}

void dom_policy_explain(const struct dom_policy *policy, const struct dom_policy_request *request,
                        struct dom_buffer *out)
{
    struct dom_policy_decision decision;

    dom_policy_decide(policy, request, &decision);
    put_asked(policy, request, out);
    dom_buffer_printf(out, "decided:  %s (%s) under policy %s version %lld\n",
                      dom_policy_effect_name(decision.effect), dom_code_reason(decision.reason),
                      policy->model.name, (long long)policy->model.version);
    put_rules(policy, request, &decision, out);
    put_bases(policy, request, &decision, out);
    put_classes(policy, request, &decision, out);
    put_change(policy, request, &decision, out);
}

/* The first thing about the rule that does not fit the request; "matches" when all does. */
static const char *why_not(const struct dom_policy *policy, const struct dom_rule *rule,
                           const struct dom_policy_request *request)
{
    const struct dom_model *model = &policy->model;
    dom_policy_id p = request->purpose;
    dom_policy_id s = request->service;

    if (((rule->ops >> (unsigned)request->op) & 1U) == 0) {
        return "other operation";
    }
    if (!dom_countries_has(&rule->home, request->home)) {
        return "other home";
    }
    if (!dom_countries_has(&rule->to, request->caller)) {
        return "other place";
    }
    if (!dom_set_has(rule->kinds, request->kind)) {
        return "other kind";
    }
    if (p == DOM_POLICY_NONE || ((rule->purposes.bits[p / 64] >> (p % 64)) & 1U) == 0) {
        return "other purpose";
    }
    if (s == DOM_POLICY_NONE || ((rule->services.bits[s / 64] >> (s % 64)) & 1U) == 0) {
        return "other service";
    }
    if ((rule->classes & request->classes) == 0) {
        return "other classes";
    }
    if (rule->basis == DOM_BASIS_HOME_RETURN &&
        model->country_jurisdiction[request->home] !=
            model->country_jurisdiction[request->caller]) {
        return "not a return to the home's jurisdiction";
    }
    return dom_model_basis_in_force(model, rule->basis, request->time_ms) ? "matches"
                                                                         : "basis not in force";
}

/* What a matching rule did: "decides" with its classes, or who decides in its place. */
static void json_result(const struct dom_policy *policy, size_t rule_id,
                        const struct dom_policy_request *request,
                        const struct dom_policy_cell *cell, struct dom_buffer *out)
{
    const struct dom_rule *rule = &policy->model.rules[rule_id];
    const char *why = why_not(policy, rule, request);
    dom_policy_set touched = rule->classes & request->classes;
    const char *separator = "";

    dom_buffer_append_str(out, "\"result\": \"");
    if (strcmp(why, "matches") != 0) {
        dom_buffer_printf(out, "%s\"}", why);
        return;
    }
    dom_policy_set decided = 0;
    for (dom_policy_set left = touched; left != 0; left &= left - 1) {
        dom_policy_id c = (dom_policy_id)__builtin_ctzll(left);
        decided |= cell->rule[c] == (dom_policy_id)rule_id ? dom_set_of(c) : 0;
    }
    if (decided == 0) {
        dom_policy_id other = cell->rule[__builtin_ctzll(touched)];
        dom_buffer_printf(out, "matches, but %s decides\", \"decided_by\": ",
                          policy->model.rules[other].permit ? "another permit" : "a forbid");
        dom_json_string(out, dom_policy_rule_name(policy, other));
        dom_buffer_append_char(out, '}');
        return;
    }
    dom_buffer_append_str(out, "decides\", \"classes\": [");
    for (dom_policy_set left = decided; left != 0; left &= left - 1) {
        dom_buffer_append_str(out, separator);
        dom_json_string(out, dom_policy_class_name(policy, (dom_policy_id)__builtin_ctzll(left)));
        separator = ", ";
    }
    dom_buffer_append_str(out, "]}");
}

static void json_pair(struct dom_buffer *out, const char *key, const char *value, const char *end)
{
    dom_json_string(out, key);
    dom_buffer_append_str(out, ": ");
    dom_json_string(out, value);
    dom_buffer_append_str(out, end);
}

static void json_request(const struct dom_policy *policy, const struct dom_policy_request *request,
                         struct dom_buffer *out)
{
    char time[DOM_RFC3339_SIZE];

    dom_time_format(time, request->time_ms, false);
    dom_buffer_append_str(out, "\"request\": {");
    json_pair(out, "op", dom_policy_op_name(request->op), ", ");
    json_pair(out, "service", dom_policy_service_name(policy, request->service), ", ");
    json_pair(out, "purpose", dom_policy_purpose_name(policy, request->purpose), ", ");
    json_pair(out, "kind", dom_policy_kind_name(policy, request->kind), ", ");
    json_pair(out, "home", dom_policy_country_name(policy, request->home), ", ");
    json_pair(out, "to", dom_policy_country_name(policy, request->caller), ", ");
    dom_buffer_printf(out, "\"crosses\": %s, ", request->crosses ? "true" : "false");
    json_pair(out, "time", time, "},\n ");
}

static void json_classes(const struct dom_policy *policy, const struct dom_policy_request *request,
                         const struct dom_policy_decision *decision, struct dom_buffer *out)
{
    bool any = false;

    dom_buffer_append_str(out, "\"classes\": [");
    for (size_t i = 0; i < policy->model.classes.num; i++) {
        dom_policy_id c = (dom_policy_id)i;
        const struct dom_policy_cell *cell = decision->cell;
        if (!dom_set_has(request->classes, c)) {
            continue;
        }
        dom_buffer_append_str(out, any ? ",\n  {" : "\n  {");
        json_pair(out, "class", dom_policy_class_name(policy, c), ", ");
        json_pair(out, "verdict", verdict_word(decision, c), ", ");
        json_pair(out, "why", class_reason(decision, c), "");
        if (cell != NULL && cell->rule[c] != DOM_POLICY_NONE) {
            dom_buffer_append_str(out, ", ");
            json_pair(out, "rule", dom_policy_rule_name(policy, cell->rule[c]), ", ");
            json_pair(out, "basis", dom_policy_basis_name(policy, cell->basis[c]), "");
        }
        dom_buffer_append_char(out, '}');
        any = true;
    }
    dom_buffer_append_str(out, "],\n ");
}

void dom_policy_explain_json(const struct dom_policy *policy,
                             const struct dom_policy_request *request, struct dom_buffer *out)
{
    const struct dom_model *model = &policy->model;
    struct dom_policy_decision decision;

    dom_policy_decide(policy, request, &decision);
    dom_buffer_append_char(out, '{');
    json_request(policy, request, out);
    json_pair(out, "effect", dom_policy_effect_name(decision.effect), ", ");
    json_pair(out, "reason", dom_code_reason(decision.reason), ",\n ");
    json_pair(out, "policy", model->name, ", ");
    dom_buffer_printf(out, "\"version\": %lld, \"sha256\": \"%s\",\n ", (long long)model->version,
                      policy->info.sha256_hex);
    json_classes(policy, request, &decision, out);
    dom_buffer_append_str(out, "\"rules\": [");
    for (size_t i = 0; decision.cell != NULL && i < model->num_rules; i++) {
        const struct dom_rule *rule = &model->rules[i];
        dom_buffer_append_str(out, i == 0 ? "\n  {" : ",\n  {");
        json_pair(out, "id", rule->id, ", ");
        dom_buffer_printf(out, "\"line\": %u, ", rule->node->value_at.line);
        json_pair(out, "effect", rule->permit ? "permit" : "forbid", ", ");
        json_result(policy, i, request, decision.cell, out);
    }
    dom_buffer_append_str(out, "]}\n");
}
