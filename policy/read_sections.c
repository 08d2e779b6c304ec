/* The sections that declare names: header, jurisdictions, groups, regions, classes, purposes,
 * kinds, services, bases. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "policy/read_internal.h"
#include "policy/text.h"

static const struct dom_node *section(const struct dom_node *root, const char *name)
{
    const struct dom_node *node = dom_node_get(root, name);

    return node != NULL && node->type == DOM_NODE_GROUP ? node->first : NULL;
}

/* Adds a section's member. A duplicate key was reported as P0012; the first one counts. */
static dom_policy_id declare(struct dom_names *names, const struct dom_node *node)
{
    bool is_new = false;
    dom_policy_id id = dom_names_add(names, node->name, node, &is_new);

    return is_new ? id : DOM_POLICY_NONE;
}

static void read_header(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    const struct dom_node *policy = dom_node_get(root, "policy");
    const struct dom_node *defaults = dom_node_get(root, "defaults");
    const struct dom_node *version = dom_read_int(policy, "version");

    model->name = dom_read_cstr(policy, "name");
    model->version = version == NULL ? 0 : version->integer;
    model->hide_existence = dom_read_bool(defaults, "hide_existence", true);
    model->uncovered_denies =
        dom_slice_eq_str(dom_read_string(defaults, "uncovered_field"), "deny");
    (void)dom_time_parse(dom_read_string(policy, "expires"), true, &model->expires_ms);
}

/* Months and years count as their longest, so that nothing goes too early. */
static void read_audit(struct dom_reader *reader, const struct dom_node *root)
{
    const struct dom_node *audit = dom_node_get(root, "audit");
    struct dom_duration keep;
    size_t bad_at = 0;

    if (!dom_duration_parse(dom_read_string(audit, "keep"), &keep, &bad_at)) {
        return; /* absent, or told already */
    }
    reader->model->log_keep_ms = dom_duration_ms_longest(&keep);
}

static void read_jurisdiction(struct dom_reader *reader, dom_policy_id id,
                              const struct dom_node *node)
{
    struct dom_model *model = reader->model;
    const struct dom_node *list = dom_node_get(node, "countries");

    for (const struct dom_node *name = dom_read_first(list); name != NULL;
         name = dom_read_next(list, name)) {
        bool is_new = false;
        if (!dom_iso3166_known(name->string)) {
            (void)dom_read_country(reader, name);
            continue;
        }
        dom_policy_id country = dom_names_add(&model->countries, (const char *)name->string.data,
                                              name, &is_new);
        if (!is_new) {
            char help[200];
            dom_policy_id other = model->country_jurisdiction[country];
            (void)snprintf(help, sizeof(help), "%s has it at line %u",
                           dom_names_get(&model->jurisdictions, other),
                           model->countries.nodes[country]->value_at.line);
            dom_read_fail(reader, name, "P0301", help,
                          "country \"%s\" is listed twice: jurisdictions share no country",
                          (const char *)name->string.data);
            continue;
        }
        model->country_jurisdiction[country] = id;
        dom_countries_add(&model->jurisdiction_countries[id], country);
    }
}

static void read_jurisdictions(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;

    for (const struct dom_node *node = section(root, "jurisdictions"); node != NULL;
         node = node->next) {
        dom_policy_id id = declare(&model->jurisdictions, node);
        if (id != DOM_POLICY_NONE) {
            read_jurisdiction(reader, id, node);
        }
    }
    /* "GB" as a jurisdiction that does not hold GB would make every rule on it a riddle. */
    for (size_t i = 0; i < model->jurisdictions.num; i++) {
        const struct dom_node *node = model->jurisdictions.nodes[i];
        dom_policy_id country = dom_names_find(&model->countries, dom_slice_str(node->name));
        if (dom_iso3166_known(dom_slice_str(node->name)) &&
            (country == DOM_POLICY_NONE ||
             model->country_jurisdiction[country] != (dom_policy_id)i)) {
            dom_read_fail(reader, node, "P0310", "give it another name, or list the country",
                          "jurisdiction \"%s\" has a country's name but does not list it",
                          node->name);
        }
    }
}

static void read_group(struct dom_reader *reader, dom_policy_id id, const struct dom_node *node)
{
    struct dom_model *model = reader->model;

    for (const struct dom_node *name = dom_read_first(node); name != NULL;
         name = dom_read_next(node, name)) {
        dom_policy_id jurisdiction = dom_names_find(&model->jurisdictions, name->string);
        if (jurisdiction != DOM_POLICY_NONE) {
            dom_countries_unite(&model->group_countries[id],
                                &model->jurisdiction_countries[jurisdiction]);
            continue;
        }
        dom_policy_id country = dom_names_find(&model->countries, name->string);
        if (country != DOM_POLICY_NONE) {
            dom_countries_add(&model->group_countries[id], country);
        } else if (name->string.len <= 2) {
            (void)dom_read_country(reader, name);
        } else {
            (void)dom_read_reference(reader, name, &model->jurisdictions, "P0202",
                                     "jurisdiction or country");
        }
    }
}

static void read_groups(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;

    for (const struct dom_node *node = section(root, "groups"); node != NULL; node = node->next) {
        struct dom_slice name = dom_slice_str(node->name);
        if (dom_names_find(&model->jurisdictions, name) != DOM_POLICY_NONE ||
            dom_iso3166_known(name)) {
            dom_read_fail(reader, node, "P0310", "give it another name",
                          "group \"%s\" has the name of a jurisdiction or country", node->name);
        }
        dom_policy_id id = declare(&model->groups, node);
        if (id != DOM_POLICY_NONE) {
            read_group(reader, id, node);
        }
    }
}

static void read_regions(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;

    for (const struct dom_node *node = section(root, "regions"); node != NULL;
         node = node->next) {
        struct dom_slice name = dom_slice_str(node->name);
        const struct dom_node *country = dom_node_get(node, "country");
        dom_policy_id id = declare(&model->regions, node);
        if (dom_names_find(&model->jurisdictions, name) != DOM_POLICY_NONE ||
            dom_names_find(&model->groups, name) != DOM_POLICY_NONE ||
            dom_iso3166_known(name)) {
            dom_read_fail(reader, node, "P0310", "give it another name",
                          "region \"%s\" has the name of a jurisdiction, group or country",
                          node->name);
        }
        if (id == DOM_POLICY_NONE) {
            continue;
        }
        model->region_country[id] = 0;
        if (country == NULL || country->type != DOM_NODE_STRING || country->string.len == 0) {
            continue;
        }
        if (dom_iso3166_known(country->string) &&
            dom_names_find(&model->countries, country->string) == DOM_POLICY_NONE) {
            dom_read_fail(reader, country, "P0302", "add the country to a jurisdiction",
                          "region \"%s\" lies in \"%s\", which no jurisdiction lists",
                          node->name, (const char *)country->string.data);
            continue;
        }
        dom_policy_id found = dom_read_country(reader, country);
        model->region_country[id] = found == DOM_POLICY_NONE ? 0 : found;
    }
}

static void read_classes(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;

    model->strictest_class = 0;
    for (const struct dom_node *node = section(root, "data_classes"); node != NULL;
         node = node->next) {
        const struct dom_node *rank = dom_read_int(node, "rank");
        dom_policy_id id = declare(&model->classes, node);
        if (id == DOM_POLICY_NONE) {
            continue;
        }
        struct dom_data_class *info = &model->class_info[id];
        info->rank = rank == NULL ? 0 : (int32_t)rank->integer;
        info->personal = dom_read_bool(node, "personal", false);
        info->sensitive = dom_read_bool(node, "sensitive", false);
        if (info->sensitive && !info->personal) {
            dom_read_fail(reader, node, "P0320", "add personal = true",
                          "class \"%s\" is sensitive but not personal", node->name);
        }
        /* Of equal ranks the later one: it only has to be the same every time. */
        if (info->rank >= model->class_info[model->strictest_class].rank) {
            model->strictest_class = id;
        }
    }
    for (const struct dom_node *node = section(root, "purposes"); node != NULL;
         node = node->next) {
        (void)declare(&model->purposes, node);
    }
}

static void read_fields(struct dom_reader *reader, struct dom_kind *kind,
                        const struct dom_node *fields)
{
    struct dom_model *model = reader->model;
    size_t num = fields != NULL && fields->type == DOM_NODE_GROUP ? fields->num : 0;

    if (num > DOM_FIELDS_MAX) {
        num = 0;
    }
    kind->field_class = dom_arena_calloc(reader->arena, num + 1, sizeof(kind->field_class[0]));
    if (!dom_names_init(&kind->fields, num, reader->arena) || kind->field_class == NULL) {
        reader->exhausted = true;
        return;
    }
    for (const struct dom_node *field = num == 0 ? NULL : fields->first; field != NULL;
         field = field->next) {
        if (field->type != DOM_NODE_STRING || field->string.len == 0) {
            continue;
        }
        dom_policy_id data_class =
            dom_read_reference(reader, field, &model->classes, "P0203", "data class");
        dom_policy_id id = declare(&kind->fields, field);
        if (id != DOM_POLICY_NONE) {
            kind->field_class[id] = data_class == DOM_POLICY_NONE ? 0 : data_class;
            kind->classes |= dom_set_of(kind->field_class[id]);
        }
    }
}

static void read_kinds(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;

    for (const struct dom_node *node = section(root, "kinds"); node != NULL; node = node->next) {
        const struct dom_node *unknown = dom_node_get(node, "unknown_field");
        const struct dom_node *subject = dom_node_get(node, "subject");
        dom_policy_id id = declare(&model->kinds, node);
        if (id == DOM_POLICY_NONE) {
            continue;
        }
        struct dom_kind *kind = &model->kind_info[id];
        kind->unknown_class = DOM_POLICY_NONE;
        kind->subject = dom_read_cstr(node, "subject");
        read_fields(reader, kind, dom_node_get(node, "fields"));
        if (reader->exhausted) {
            return;
        }
        if (unknown != NULL && unknown->type == DOM_NODE_STRING && unknown->string.len > 0) {
            kind->unknown_class =
                dom_read_reference(reader, unknown, &model->classes, "P0203", "data class");
            kind->classes |= kind->unknown_class == DOM_POLICY_NONE
                                 ? 0
                                 : dom_set_of(kind->unknown_class);
        }
        if (subject != NULL && subject->type == DOM_NODE_STRING && subject->string.len > 0) {
            (void)dom_read_reference(reader, subject, &kind->fields, "P0214", "field");
        }
    }
}

static void read_services(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    bool star = false;

    for (const struct dom_node *node = section(root, "services"); node != NULL;
         node = node->next) {
        dom_policy_id id = declare(&model->services, node);
        if (id == DOM_POLICY_NONE) {
            continue;
        }
        struct dom_service *service = &model->service_info[id];
        const struct dom_node *ops = dom_node_get(node, "ops");
        service->kinds = dom_read_set(reader, dom_node_get(node, "kinds"), &model->kinds, "P0205",
                                      "kind");
        service->ops = dom_read_ops(reader, ops, &star);
        dom_read_purposes(reader, dom_node_get(node, "purposes"), &service->purposes);
        if ((service->ops & (1U << DOM_OP_STORE)) != 0) {
            dom_read_fail(reader, ops, "P0315", "where data lies is said under placement",
                          "a service cannot ask to store: use read, list, write, delete");
        }
    }
}

static void read_basis(struct dom_reader *reader, const struct dom_node *node)
{
    struct dom_model *model = reader->model;
    dom_policy_id id = DOM_POLICY_NONE;
    size_t bad_at = 0;
    int64_t day = 0;

    if (dom_names_find(&model->bases, dom_slice_str(node->name)) == DOM_BASIS_NOT_PERSONAL ||
        dom_names_find(&model->bases, dom_slice_str(node->name)) == DOM_BASIS_HOME_RETURN) {
        dom_read_fail(reader, node, "P0310", "give it another name",
                      "\"%s\" is a basis that the language itself defines", node->name);
        return;
    }
    id = declare(&model->bases, node);
    if (id == DOM_POLICY_NONE) {
        return;
    }
    struct dom_basis *basis = &model->basis_info[id];
    basis->node = node;
    basis->mechanism = dom_read_cstr(node, "mechanism");
    basis->ref = dom_read_cstr(node, "ref");
    basis->assessment = dom_read_cstr(node, "assessment");
    (void)dom_date_parse(dom_read_string(node, "from"), &basis->from_ms, &bad_at);
    basis->until_ms = INT64_MAX;
    if (dom_date_parse(dom_read_string(node, "until"), &day, &bad_at)) {
        basis->until_ms = day + DOM_MS_PER_DAY; /* the last day counts whole */
        if (day < basis->from_ms) {
            dom_read_fail(reader, dom_node_get(node, "until"), "P0311", "swap the two dates",
                          "basis \"%s\" ends before it begins", node->name);
        }
    }
}

static void read_bases(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    static const char *const built_in[] = {"not_personal", "home_return"};
    bool is_new = false;

    for (size_t i = 0; i < DOM_BASES_BUILT_IN; i++) {
        struct dom_basis *basis = &model->basis_info[i];
        (void)dom_names_add(&model->bases, built_in[i], NULL, &is_new);
        basis->from_ms = INT64_MIN;
        basis->until_ms = INT64_MAX;
        basis->mechanism = built_in[i];
        basis->ref = "";
        basis->assessment = "";
    }
    for (const struct dom_node *node = section(root, "bases"); node != NULL; node = node->next) {
        read_basis(reader, node);
    }
}

void dom_read_sections(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    struct dom_arena *arena = reader->arena;

    model->service_info =
        dom_arena_calloc(arena, DOM_SERVICES_MAX, sizeof(model->service_info[0]));
    model->kind_info = dom_arena_calloc(arena, DOM_KINDS_MAX, sizeof(model->kind_info[0]));
    model->basis_info = dom_arena_calloc(arena, DOM_BASES_MAX + DOM_BASES_BUILT_IN,
                                         sizeof(model->basis_info[0]));
    if (model->service_info == NULL || model->kind_info == NULL || model->basis_info == NULL ||
        !dom_names_init(&model->countries, DOM_COUNTRIES_MAX, arena) ||
        !dom_names_init(&model->jurisdictions, DOM_JURISDICTIONS_MAX, arena) ||
        !dom_names_init(&model->groups, DOM_GROUPS_MAX, arena) ||
        !dom_names_init(&model->regions, DOM_REGIONS_MAX, arena) ||
        !dom_names_init(&model->classes, DOM_CLASSES_MAX, arena) ||
        !dom_names_init(&model->purposes, DOM_PURPOSES_MAX, arena) ||
        !dom_names_init(&model->services, DOM_SERVICES_MAX, arena) ||
        !dom_names_init(&model->kinds, DOM_KINDS_MAX, arena) ||
        !dom_names_init(&model->bases, DOM_BASES_MAX + DOM_BASES_BUILT_IN, arena)) {
        reader->exhausted = true;
        return;
    }
    read_header(reader, root);
    read_audit(reader, root);
    read_jurisdictions(reader, root);
    read_groups(reader, root);
    read_regions(reader, root);
    read_classes(reader, root);
    read_kinds(reader, root);
    if (!reader->exhausted) {
        read_services(reader, root);
        read_bases(reader, root);
    }
}

dom_policy_set dom_model_regions_in(const struct dom_model *model,
                                    const struct dom_countries *countries)
{
    dom_policy_set set = 0;

    for (size_t i = 0; i < model->regions.num; i++) {
        if (dom_countries_has(countries, model->region_country[i])) {
            set |= dom_set_of((dom_policy_id)i);
        }
    }
    return set;
}

dom_policy_set dom_model_regions_of(const struct dom_model *model, dom_policy_id jurisdiction)
{
    return dom_model_regions_in(model, &model->jurisdiction_countries[jurisdiction]);
}

bool dom_model_basis_in_force(const struct dom_model *model, dom_policy_id basis, int64_t time_ms)
{
    if (basis == DOM_POLICY_NONE) {
        return true;
    }
    const struct dom_basis *info = &model->basis_info[basis];
    return time_ms >= info->from_ms && time_ms < info->until_ms;
}
