/* rules = ( ... ): who may pass what across a border. */
#include <stdio.h>
#include <string.h>

#include "policy/read_internal.h"
#include "policy/text.h"

static const char *const s_selectors[] = {"ops",     "home",     "to",      "kinds",
                                          "classes", "purposes", "services"};

static enum dom_transform transform_of(struct dom_slice name)
{
    if (dom_slice_eq_str(name, "pseudonymise")) {
        return DOM_TRANSFORM_PSEUDONYMISE;
    }
    if (dom_slice_eq_str(name, "redact")) {
        return DOM_TRANSFORM_REDACT;
    }
    if (dom_slice_eq_str(name, "withhold")) {
        return DOM_TRANSFORM_WITHHOLD;
    }
    return DOM_TRANSFORM_CLEAR;
}

/* The key that only one of the two sorts of obligation takes, given with the other. */
static void refuse_key(struct dom_reader *reader, const struct dom_node *node, const char *key,
                       const char *what)
{
    const struct dom_node *found = dom_node_get(node, key);

    if (found != NULL) {
        dom_read_fail(reader, found, "P0101", NULL, "\"%s\" means nothing for \"%s\"", key, what);
    }
}

static void read_limit(struct dom_reader *reader, struct dom_rule *rule, dom_policy_id rule_id,
                       const struct dom_node *node)
{
    const struct dom_node *records = dom_read_int(node, "records");
    struct dom_slice per = dom_read_string(node, "per");
    struct dom_duration duration;
    size_t bad_at = 0;

    refuse_key(reader, node, "key", "limit");
    if (dom_node_get(node, "records") == NULL || dom_node_get(node, "per") == NULL) {
        dom_read_fail(reader, node, "P0103", "write records = 1000; per = \"P1D\";",
                      "a limit needs \"records\" and \"per\"");
        return;
    }
    if (records == NULL || records->integer < 1 || !dom_duration_parse(per, &duration, &bad_at) ||
        rule->num_limits == DOM_OBLIGATIONS_MAX) {
        return;
    }
    struct dom_policy_limit *limit = &rule->limits[rule->num_limits++];
    limit->rule = rule_id;
    limit->records = (uint64_t)records->integer;
    limit->count_subjects = !dom_slice_eq_str(dom_read_string(node, "count"), "accesses");
    limit->calendar = dom_slice_eq_str(dom_read_string(node, "window"), "calendar");
    limit->period_ms = dom_duration_ms_longest(&duration);
    limit->classes = rule->classes;
    if (limit->calendar) {
        limit->calendar_unit = dom_slice_eq_str(per, "P1D")   ? 'D'
                               : dom_slice_eq_str(per, "P1M") ? 'M'
                               : dom_slice_eq_str(per, "P1Y") ? 'Y'
                                                              : '\0';
        if (limit->calendar_unit == '\0') {
            dom_read_fail(reader, dom_node_get(node, "per"), "P0109",
                          "write P1D, P1M or P1Y, or window = \"sliding\"",
                          "a calendar period is one day, month or year");
        }
    }
}

static void read_transform(struct dom_reader *reader, struct dom_rule *rule,
                           const struct dom_node *node, enum dom_transform transform)
{
    struct dom_model *model = reader->model;
    const struct dom_node *list = dom_node_get(node, "classes");
    const struct dom_node *key = dom_node_get(node, "key");
    dom_policy_set classes = rule->classes;
    dom_policy_id key_id = DOM_POLICY_NONE;
    bool is_new = false;

    if (list != NULL) {
        classes = dom_read_set(reader, list, &model->classes, "P0203", "data class");
        if (dom_read_is_star(list)) {
            classes = rule->classes;
        }
    }
    if ((classes & ~rule->classes) != 0) {
        dom_read_fail(reader, list, "P0317", "name the class in the rule, or drop it here",
                      "the obligation names a class that its rule does not");
    }
    refuse_key(reader, node, "records", "a transform");
    refuse_key(reader, node, "per", "a transform");
    refuse_key(reader, node, "count", "a transform");
    refuse_key(reader, node, "window", "a transform");
    if (transform != DOM_TRANSFORM_PSEUDONYMISE) {
        refuse_key(reader, node, "key", "redact or withhold");
    } else if (key == NULL) {
        dom_read_fail(reader, node, "P0103", "write key = \"eea_export\";",
                      "pseudonymise needs \"key\": the name of the key to hash with");
    } else if (key->type == DOM_NODE_STRING && key->string.len > 0) {
        key_id = dom_names_add(&model->keys, (const char *)key->string.data, key, &is_new);
        if (key_id == DOM_POLICY_NONE) {
            dom_read_fail(reader, key, "P0105", NULL, "more than %u pseudonym keys", DOM_KEYS_MAX);
        }
    }
    for (size_t i = 0; i < model->classes.num; i++) {
        if (dom_set_has(classes, (dom_policy_id)i) && transform > rule->transform[i]) {
            rule->transform[i] = (uint8_t)transform;
            rule->key[i] = key_id;
        }
    }
}

static void read_obligations(struct dom_reader *reader, struct dom_rule *rule,
                             dom_policy_id rule_id, const struct dom_node *list)
{
    if (list == NULL || list->type != DOM_NODE_LIST) {
        return;
    }
    if (!rule->permit && list->num > 0) {
        dom_read_fail(reader, list, "P0316", "remove them",
                      "a forbid lets nothing pass, so it takes no obligations");
        return;
    }
    for (const struct dom_node *node = list->first; node != NULL; node = node->next) {
        const struct dom_node *verb = dom_node_get(node, "do");
        if (verb == NULL || verb->type != DOM_NODE_STRING || verb->string.len == 0) {
            continue;
        }
        enum dom_transform transform = transform_of(verb->string);
        if (dom_slice_eq_str(verb->string, "limit")) {
            if (dom_node_get(node, "classes") != NULL) {
                refuse_key(reader, node, "classes", "limit");
            }
            read_limit(reader, rule, rule_id, node);
        } else if (transform != DOM_TRANSFORM_CLEAR) {
            read_transform(reader, rule, node, transform);
        } else {
            dom_read_fail(reader, verb, "P0211", "one of: pseudonymise redact withhold limit",
                          "unknown obligation \"%.*s\"",
                          verb->string.len > 128 ? 128 : (int)verb->string.len,
                          (const char *)verb->string.data);
        }
    }
}

static void read_effect(struct dom_reader *reader, struct dom_rule *rule,
                        const struct dom_node *node)
{
    const struct dom_node *effect = dom_node_get(node, "effect");

    rule->permit = false;
    if (effect == NULL || effect->type != DOM_NODE_STRING || effect->string.len == 0) {
        return;
    }
    rule->permit = dom_slice_eq_str(effect->string, "permit");
    if (!rule->permit && !dom_slice_eq_str(effect->string, "forbid")) {
        dom_read_fail(reader, effect, "P0210", "write \"permit\" or \"forbid\"",
                      "unknown effect \"%.*s\"",
                      effect->string.len > 128 ? 128 : (int)effect->string.len,
                      (const char *)effect->string.data);
    }
}

/* What a rule leaves out means everything for a forbid; a permit must say it. */
static void check_selectors(struct dom_reader *reader, const struct dom_rule *rule,
                            const struct dom_node *node)
{
    char missing[160] = "";
    size_t len = 0;

    for (size_t i = 0; rule->permit && i < DOM_ARRAY_LEN(s_selectors); i++) {
        if (dom_node_get(node, s_selectors[i]) == NULL) {
            len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s",
                                    len == 0 ? "" : ", ", s_selectors[i]);
        }
    }
    if (len > 0) {
        dom_read_fail(reader, node, "P0314", "write (\"*\") where everything is meant",
                      "a permit must say what it covers; missing: %s", missing);
    }
}

static void read_scope(struct dom_reader *reader, struct dom_rule *rule,
                       const struct dom_node *node)
{
    struct dom_model *model = reader->model;
    const struct dom_node *ops = dom_node_get(node, "ops");
    const struct dom_node *home = dom_node_get(node, "home");
    const struct dom_node *to = dom_node_get(node, "to");
    const struct dom_node *kinds = dom_node_get(node, "kinds");
    const struct dom_node *classes = dom_node_get(node, "classes");
    const struct dom_node *purposes = dom_node_get(node, "purposes");
    const struct dom_node *services = dom_node_get(node, "services");

    rule->ops = dom_read_ops(reader, ops, &rule->ops_star);
    if (ops == NULL) {
        rule->ops_star = true;
        rule->ops = (1U << DOM_OP_STORE) - 1U;
    }
    dom_read_countries(reader, home, &rule->home);
    dom_read_countries(reader, to, &rule->to);
    memset(&rule->home, home == NULL ? 0xFF : 0, home == NULL ? sizeof(rule->home) : 0);
    memset(&rule->to, to == NULL ? 0xFF : 0, to == NULL ? sizeof(rule->to) : 0);
    rule->kinds = kinds == NULL ? UINT64_MAX
                                : dom_read_set(reader, kinds, &model->kinds, "P0205", "kind");
    rule->classes = classes == NULL ? dom_set_all(model->classes.num)
                                    : dom_read_set(reader, classes, &model->classes, "P0203",
                                                   "data class");
    rule->any_purpose = purposes == NULL || dom_read_is_star(purposes);
    rule->any_service = services == NULL || dom_read_is_star(services);
    dom_read_purposes(reader, purposes, &rule->purposes);
    dom_read_services(reader, services, &rule->services);
    memset(&rule->purposes, 0xFF, purposes == NULL ? sizeof(rule->purposes) : 0);
    memset(&rule->services, 0xFF, services == NULL ? sizeof(rule->services) : 0);
}

static void check_store(struct dom_reader *reader, const struct dom_rule *rule,
                        const struct dom_node *node)
{
    const struct dom_node *ops = dom_node_get(node, "ops");

    if ((rule->ops & (1U << DOM_OP_STORE)) == 0) {
        return;
    }
    if (rule->permit) {
        dom_read_fail(reader, ops, "P0315", "where data may lie is said under placement",
                      "\"store\" is only for a forbid");
    } else if (!rule->any_purpose || !rule->any_service) {
        dom_read_fail(reader, ops, "P0318", "write a forbid of its own for \"store\"",
                      "storing has no purpose and no service, but this rule names some");
    }
}

static void check_basis(struct dom_reader *reader, const struct dom_rule *rule,
                        const struct dom_node *node)
{
    const struct dom_model *model = reader->model;
    const struct dom_node *basis = dom_node_get(node, "basis");
    bool personal = false;

    for (size_t i = 0; i < model->classes.num; i++) {
        personal = personal || (dom_set_has(rule->classes, (dom_policy_id)i) &&
                                model->class_info[i].personal);
    }
    if (!rule->permit) {
        if (basis != NULL) {
            dom_read_fail(reader, basis, "P0602", "remove it",
                          "a forbid needs no basis: it holds at any time");
        }
        return;
    }
    if (basis == NULL && personal) {
        dom_read_fail(reader, node, "P0309", "name a basis",
                      "a permit of personal data needs a basis");
    }
    if (rule->basis == DOM_BASIS_NOT_PERSONAL && personal) {
        dom_read_fail(reader, basis, "P0312", "name a legal basis, or drop the personal classes",
                      "\"not_personal\" on a rule with a class that is personal");
    }
    if (rule->basis == DOM_BASIS_HOME_RETURN && !dom_countries_equal(&rule->home, &rule->to)) {
        dom_read_fail(reader, basis, "P0313", "make home and to the same",
                      "\"home_return\" is for data going back to its home: home and to differ");
    }
}

static void read_rule(struct dom_reader *reader, dom_policy_id rule_id,
                      const struct dom_node *node)
{
    struct dom_model *model = reader->model;
    struct dom_rule *rule = &model->rules[rule_id];
    const struct dom_node *id = dom_node_get(node, "id");
    bool is_new = false;

    rule->node = node;
    rule->id = dom_read_cstr(node, "id");
    for (size_t i = 0; i < DOM_CLASSES_MAX; i++) {
        rule->key[i] = DOM_POLICY_NONE;
    }
    if (rule->id[0] != '\0') {
        dom_policy_id first = dom_names_add(&model->rule_ids, rule->id, node, &is_new);
        if (!is_new) {
            char help[64];
            (void)snprintf(help, sizeof(help), "first at line %u",
                           model->rule_ids.nodes[first]->value_at.line);
            dom_read_fail(reader, id, "P0303", help, "rule id \"%s\" is used twice", rule->id);
        }
    }
    read_effect(reader, rule, node);
    check_selectors(reader, rule, node);
    read_scope(reader, rule, node);
    rule->basis = dom_read_basis(reader, node);
    read_obligations(reader, rule, rule_id, dom_node_get(node, "obligations"));
    check_store(reader, rule, node);
    check_basis(reader, rule, node);
    if (!rule->permit) {
        rule->basis = DOM_POLICY_NONE;
    }
}

void dom_read_rules(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    const struct dom_node *list = dom_node_get(root, "rules");
    size_t num = list != NULL && list->type == DOM_NODE_LIST ? list->num : 0;

    if (num > DOM_RULES_MAX) {
        num = 0;
    }
    model->rules = dom_arena_calloc(reader->arena, num + 1, sizeof(model->rules[0]));
    if (model->rules == NULL || !dom_names_init(&model->rule_ids, num, reader->arena) ||
        !dom_names_init(&model->keys, DOM_KEYS_MAX, reader->arena)) {
        reader->exhausted = true;
        return;
    }
    for (const struct dom_node *node = num == 0 ? NULL : list->first; node != NULL;
         node = node->next) {
        if (node->type == DOM_NODE_GROUP) {
            read_rule(reader, (dom_policy_id)model->num_rules, node);
            model->num_rules++;
        }
    }
}

bool dom_rule_forbids_store(const struct dom_model *model, const struct dom_rule *rule,
                            dom_policy_id home, dom_policy_id at)
{
    if (rule->permit || !dom_countries_has(&rule->home, home) ||
        !dom_countries_has(&rule->to, at)) {
        return false;
    }
    if ((rule->ops & (1U << DOM_OP_STORE)) != 0) {
        return true;
    }
    return rule->ops_star && rule->any_purpose && rule->any_service &&
           model->country_jurisdiction[home] != model->country_jurisdiction[at];
}
