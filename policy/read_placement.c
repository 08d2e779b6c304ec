/* placement = ( ... ), and the references of the sections that are not used yet. */
#include <stdio.h>
#include <string.h>

#include "policy/read_internal.h"
#include "policy/text.h"

/* Every region of the entry lies in the jurisdiction of every home country: no transfer, so no
 * basis is needed. */
static bool stays_home(const struct dom_model *model, const struct dom_placement_rule *rule)
{
    for (size_t country = 0; country < model->countries.num; country++) {
        dom_policy_id jurisdiction = model->country_jurisdiction[country];
        if (dom_countries_has(&rule->home, (dom_policy_id)country) &&
            (rule->regions & ~dom_model_regions_of(model, jurisdiction)) != 0) {
            return false;
        }
    }
    return true;
}

static void read_must_include(struct dom_reader *reader, struct dom_placement_rule *rule,
                              const struct dom_node *list)
{
    size_t num = list == NULL ? 0 : list->type == DOM_NODE_STRING ? 1 : list->num;

    if (num == 0) {
        return;
    }
    rule->must_include = dom_arena_calloc(reader->arena, num, sizeof(rule->must_include[0]));
    if (rule->must_include == NULL) {
        reader->exhausted = true;
        return;
    }
    for (const struct dom_node *name = dom_read_first(list); name != NULL;
         name = dom_read_next(list, name)) {
        size_t before = reader->findings->num_items;
        dom_policy_set regions = dom_read_region_name(reader, name);
        if (reader->findings->num_items != before) {
            continue;
        }
        rule->must_include[rule->num_must_include++] = regions;
        if ((regions & rule->regions) == 0) {
            dom_read_fail(reader, name, "P0305",
                          regions == 0 ? "declare a region there" : "add it to regions",
                          regions == 0 ? "must_include \"%.*s\": no region lies there"
                                       : "must_include \"%.*s\": regions does not allow it there",
                          name->string.len > 128 ? 128 : (int)name->string.len,
                          (const char *)name->string.data);
        }
    }
}

static void read_first_write(struct dom_reader *reader, struct dom_placement_rule *rule,
                             const struct dom_node *list)
{
    size_t before = reader->findings->num_items;

    rule->first_write = dom_read_regions(reader, list);
    if (list != NULL && reader->findings->num_items == before &&
        (rule->first_write & rule->regions) == 0) {
        dom_read_fail(reader, list, "P0306",
                      rule->first_write == 0 ? "declare a region there" : "add it to regions",
                      "first_write names no region that may hold this data");
    }
    rule->first_write &= rule->regions;
}

static void read_lead(struct dom_reader *reader, struct dom_placement_rule *rule,
                      const struct dom_node *list)
{
    struct dom_model *model = reader->model;

    for (const struct dom_node *name = dom_read_first(list); name != NULL;
         name = dom_read_next(list, name)) {
        dom_policy_id region =
            dom_read_reference(reader, name, &model->regions, "P0204", "region");
        if (region == DOM_POLICY_NONE || rule->num_lead == DOM_REGIONS_MAX) {
            continue;
        }
        rule->lead[rule->num_lead++] = region;
        if (!dom_set_has(rule->regions, region)) {
            dom_read_fail(reader, name, "P0322", "add it to regions, or drop it here",
                          "lead \"%s\" is no region of this entry",
                          dom_names_get(&model->regions, region));
        }
    }
}

static void check_basis(struct dom_reader *reader, const struct dom_placement_rule *rule,
                        const struct dom_node *node)
{
    const struct dom_model *model = reader->model;
    const struct dom_node *basis = dom_node_get(node, "basis");
    bool personal = false;

    for (size_t i = 0; i < model->classes.num; i++) {
        personal = personal || (dom_set_has(rule->classes, (dom_policy_id)i) &&
                                model->class_info[i].personal);
    }
    if (basis == NULL && !stays_home(model, rule)) {
        dom_read_fail(reader, node, "P0308", "name a basis, or \"not_personal\"",
                      "placement outside the home's jurisdiction needs a basis");
    }
    if (rule->basis == DOM_BASIS_NOT_PERSONAL && personal) {
        dom_read_fail(reader, basis, "P0312", "name a legal basis, or drop the personal classes",
                      "\"not_personal\" on a placement with a class that is personal");
    }
    if (rule->basis == DOM_BASIS_HOME_RETURN) {
        dom_read_fail(reader, basis, "P0313", "name a legal basis",
                      "\"home_return\" is for rules, not for placement");
    }
}

static void read_placement(struct dom_reader *reader, struct dom_placement_rule *rule,
                           const struct dom_node *node)
{
    struct dom_model *model = reader->model;
    const struct dom_node *kinds = dom_node_get(node, "kinds");
    const struct dom_node *replicas = dom_read_int(node, "min_replicas");
    const struct dom_node *regions = dom_node_get(node, "regions");
    bool is_new = false;

    rule->node = node;
    rule->id = dom_read_cstr(node, "id");
    if (rule->id[0] != '\0') {
        dom_policy_id first = dom_names_add(&model->placement_ids, rule->id, node, &is_new);
        if (!is_new) {
            char help[64];
            (void)snprintf(help, sizeof(help), "first at line %u",
                           model->placement_ids.nodes[first]->value_at.line);
            dom_read_fail(reader, dom_node_get(node, "id"), "P0303", help,
                          "placement id \"%s\" is used twice", rule->id);
        }
    }
    dom_read_countries(reader, dom_node_get(node, "home"), &rule->home);
    rule->kinds = kinds == NULL ? UINT64_MAX
                                : dom_read_set(reader, kinds, &model->kinds, "P0205", "kind");
    rule->classes = dom_read_set(reader, dom_node_get(node, "classes"), &model->classes, "P0203",
                                 "data class");
    size_t before = reader->findings->num_items;
    rule->regions = dom_read_regions(reader, regions);
    if (regions != NULL && rule->regions == 0 && reader->findings->num_items == before) {
        dom_read_fail(reader, regions, "P0321", "declare a region there",
                      "no region lies in the places that this entry allows");
    }
    read_must_include(reader, rule, dom_node_get(node, "must_include"));
    read_first_write(reader, rule, dom_node_get(node, "first_write"));
    read_lead(reader, rule, dom_node_get(node, "lead"));
    rule->min_replicas = replicas == NULL || replicas->integer < 1 ||
                                 replicas->integer > (int64_t)DOM_REGIONS_MAX
                             ? 1
                             : (uint8_t)replicas->integer;
    rule->basis = dom_read_basis(reader, node);
    check_basis(reader, rule, node);
}

void dom_read_placements(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    const struct dom_node *list = dom_node_get(root, "placement");
    size_t num = list != NULL && list->type == DOM_NODE_LIST ? list->num : 0;

    if (num > DOM_PLACEMENTS_MAX) {
        num = 0;
    }
    model->placements = dom_arena_calloc(reader->arena, num + 1, sizeof(model->placements[0]));
    if (model->placements == NULL ||
        !dom_names_init(&model->placement_ids, num, reader->arena)) {
        reader->exhausted = true;
        return;
    }
    for (const struct dom_node *node = num == 0 ? NULL : list->first; node != NULL;
         node = node->next) {
        if (node->type == DOM_NODE_GROUP) {
            read_placement(reader, &model->placements[model->num_placements++], node);
        }
    }
}

static void read_retention(struct dom_reader *reader, const struct dom_node *list)
{
    const struct dom_model *model = reader->model;
    struct dom_countries home = {{0}};

    for (const struct dom_node *node = list == NULL ? NULL : list->first; node != NULL;
         node = node->next) {
        (void)dom_read_set(reader, dom_node_get(node, "kinds"), &model->kinds, "P0205", "kind");
        (void)dom_read_set(reader, dom_node_get(node, "classes"), &model->classes, "P0203",
                           "data class");
        dom_read_countries(reader, dom_node_get(node, "home"), &home);
    }
}

#define PPM 1000000.0

static uint32_t read_ppm(const struct dom_node *group, const char *key, uint32_t otherwise)
{
    const struct dom_node *node = dom_node_get(group, key);

    if (node == NULL) {
        return otherwise;
    }
    double value = node->type == DOM_NODE_FLOAT ? node->real : (double)node->integer;
    return value >= 0.0 && value <= 1.0 ? (uint32_t)(value * PPM + 0.5) : otherwise;
}

static uint64_t read_count(const struct dom_node *group, const char *key, uint64_t otherwise)
{
    const struct dom_node *node = dom_read_int(group, key);

    return node == NULL || node->integer < 0 ? otherwise : (uint64_t)node->integer;
}

static void read_stage(struct dom_reader *reader, const struct dom_node *node,
                       struct dom_policy_stage *stage)
{
    struct dom_slice mode = dom_read_string(node, "mode");
    const struct dom_node *percent = dom_node_get(node, "percent");
    struct dom_duration hold;
    size_t bad_at = 0;
    bool canary = dom_slice_eq_str(mode, "canary");

    if (canary && percent == NULL) {
        dom_read_fail(reader, node, "P0103", "write percent = 10;",
                      "a canary stage needs \"percent\"");
    } else if (!canary && percent != NULL) {
        dom_read_fail(reader, percent, "P0323", "remove it",
                      "\"percent\" is only for a canary stage");
    }
    stage->mode = canary                             ? DOM_ROLL_CANARY
                  : dom_slice_eq_str(mode, "shadow") ? DOM_ROLL_SHADOW
                                                     : DOM_ROLL_ENFORCE;
    stage->percent = (uint8_t)read_count(node, "percent", 0);
    stage->regions = dom_read_regions(reader, dom_node_get(node, "regions"));
    stage->hold_ms = dom_duration_parse(dom_read_string(node, "hold"), &hold, &bad_at)
                         ? dom_duration_ms_longest(&hold)
                         : -1;
}

#define NEW_DENY_PPM  1000U
#define NEW_ALLOW_PPM 1000000U
#define REQUESTS_MIN  100U

static void read_rollout(struct dom_reader *reader, const struct dom_node *group)
{
    struct dom_policy_rollout *rollout = &reader->model->rollout;
    const struct dom_node *stages = dom_node_get(group, "stages");
    const struct dom_node *abort = dom_node_get(group, "abort");

    rollout->new_deny_ppm = read_ppm(abort, "new_deny_ratio", NEW_DENY_PPM);
    rollout->new_allow_ppm = read_ppm(abort, "new_allow_ratio", NEW_ALLOW_PPM);
    rollout->eval_errors_max = read_count(abort, "eval_errors", 0);
    rollout->requests_min = read_count(abort, "min_requests", REQUESTS_MIN);
    rollout->approvals = (unsigned)read_count(group, "approvals", 1);
    for (const struct dom_node *node =
             stages == NULL || stages->type != DOM_NODE_LIST ? NULL : stages->first;
         node != NULL && rollout->num_stages < DOM_ROLLOUT_STAGES_MAX; node = node->next) {
        read_stage(reader, node, &rollout->stages[rollout->num_stages++]);
    }
}

void dom_read_others(struct dom_reader *reader, const struct dom_node *root)
{
    const struct dom_model *model = reader->model;
    const struct dom_node *sinks = dom_node_get(root, "sinks");
    const struct dom_node *retention = dom_node_get(root, "retention");
    struct dom_purposes purposes;

    if (retention != NULL && retention->type == DOM_NODE_LIST) {
        read_retention(reader, retention);
    }
    read_rollout(reader, dom_node_get(root, "rollout"));
    for (const struct dom_node *node =
             sinks == NULL || sinks->type != DOM_NODE_GROUP ? NULL : sinks->first;
         node != NULL; node = node->next) {
        const struct dom_node *country = dom_node_get(node, "country");
        memset(&purposes, 0, sizeof(purposes));
        if (country != NULL && country->type == DOM_NODE_STRING && country->string.len > 0) {
            (void)dom_read_country(reader, country);
        }
        (void)dom_read_set(reader, dom_node_get(node, "kinds"), &model->kinds, "P0205", "kind");
        (void)dom_read_set(reader, dom_node_get(node, "classes"), &model->classes, "P0203",
                           "data class");
        dom_read_purposes(reader, dom_node_get(node, "purposes"), &purposes);
        (void)dom_read_basis(reader, node);
    }
}
