/* References: from written names to ids. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/read_internal.h"

static const struct dom_node *skip_others(const struct dom_node *node)
{
    while (node != NULL && (node->type != DOM_NODE_STRING || node->string.len == 0)) {
        node = node->next;
    }
    return node;
}

const struct dom_node *dom_read_first(const struct dom_node *selector)
{
    if (selector == NULL) {
        return NULL;
    }
    if (selector->type == DOM_NODE_STRING) {
        return selector->string.len == 0 ? NULL : selector;
    }
    if (selector->type == DOM_NODE_LIST || selector->type == DOM_NODE_ARRAY) {
        return skip_others(selector->first);
    }
    return NULL;
}

const struct dom_node *dom_read_next(const struct dom_node *selector, const struct dom_node *name)
{
    return selector == name ? NULL : skip_others(name->next);
}

static bool is_star(const struct dom_node *name)
{
    return dom_slice_eq_str(name->string, "*");
}

bool dom_read_is_star(const struct dom_node *selector)
{
    for (const struct dom_node *name = dom_read_first(selector); name != NULL;
         name = dom_read_next(selector, name)) {
        if (is_star(name)) {
            return true;
        }
    }
    return false;
}

struct dom_slice dom_read_string(const struct dom_node *group, const char *key)
{
    const struct dom_node *node = dom_node_get(group, key);

    return node != NULL && node->type == DOM_NODE_STRING ? node->string : dom_slice_of("", 0);
}

const char *dom_read_cstr(const struct dom_node *group, const char *key)
{
    return (const char *)dom_read_string(group, key).data;
}

const struct dom_node *dom_read_int(const struct dom_node *group, const char *key)
{
    const struct dom_node *node = dom_node_get(group, key);

    return node != NULL && (node->type == DOM_NODE_INT || node->type == DOM_NODE_INT64) ? node
                                                                                        : NULL;
}

bool dom_read_bool(const struct dom_node *group, const char *key, bool otherwise)
{
    const struct dom_node *node = dom_node_get(group, key);

    return node != NULL && node->type == DOM_NODE_BOOL ? node->boolean : otherwise;
}

void dom_read_fail(struct dom_reader *reader, const struct dom_node *node, const char *code,
                   const char *help, const char *fmt, ...)
{
    char path[512];
    char message[400];
    va_list args;

    if (reader->findings->num_items > DOM_FINDINGS_MAX) {
        return;
    }
    dom_node_path(node, path, sizeof(path));
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    bool bracket = node->type <= DOM_NODE_ARRAY && node->name != NULL;
    dom_findings_add(reader->findings, code, bracket ? node->name_at : node->value_at, path, help,
                     "%s", message);
}

static int shown(struct dom_slice text)
{
    return text.len > 128 ? 128 : (int)text.len;
}

dom_policy_id dom_read_reference(struct dom_reader *reader, const struct dom_node *name,
                                 const struct dom_names *names, const char *code, const char *what)
{
    char help[400] = "";
    dom_policy_id id = dom_names_find(names, name->string);

    if (id != DOM_POLICY_NONE || reader->findings->num_items > DOM_FINDINGS_MAX) {
        return id;
    }
    dom_policy_id near = dom_names_nearest(names, name->string);
    if (near != DOM_POLICY_NONE) {
        const struct dom_node *node = names->nodes[near];
        int len = snprintf(help, sizeof(help), "did you mean \"%s\"?", names->names[near]);
        if (node != NULL && len > 0) {
            (void)snprintf(help + len, sizeof(help) - (size_t)len, " declared at %s:%u:%u",
                           reader->file, node->name_at.line, node->name_at.column);
        }
    }
    dom_read_fail(reader, name, code, help, "unknown %s \"%.*s\"", what, shown(name->string),
                  (const char *)name->string.data);
    return DOM_POLICY_NONE;
}

dom_policy_set dom_read_set(struct dom_reader *reader, const struct dom_node *selector,
                            const struct dom_names *names, const char *code, const char *what)
{
    dom_policy_set set = 0;

    for (const struct dom_node *name = dom_read_first(selector); name != NULL;
         name = dom_read_next(selector, name)) {
        if (is_star(name)) {
            set |= dom_set_all(names->num);
            continue;
        }
        dom_policy_id id = dom_read_reference(reader, name, names, code, what);
        if (id != DOM_POLICY_NONE) {
            set |= dom_set_of(id);
        }
    }
    return set;
}

/* The same for sets wider than 64 bits. */
static void read_wide(struct dom_reader *reader, const struct dom_node *selector,
                      const struct dom_names *names, const char *code, const char *what,
                      uint64_t *bits)
{
    for (const struct dom_node *name = dom_read_first(selector); name != NULL;
         name = dom_read_next(selector, name)) {
        if (is_star(name)) {
            for (size_t id = 0; id < names->num; id++) {
                bits[id / 64] |= UINT64_C(1) << (id % 64);
            }
            continue;
        }
        dom_policy_id id = dom_read_reference(reader, name, names, code, what);
        if (id != DOM_POLICY_NONE) {
            bits[id / 64] |= UINT64_C(1) << (id % 64);
        }
    }
}

void dom_read_purposes(struct dom_reader *reader, const struct dom_node *selector,
                       struct dom_purposes *out)
{
    read_wide(reader, selector, &reader->model->purposes, "P0206", "purpose", out->bits);
}

void dom_read_services(struct dom_reader *reader, const struct dom_node *selector,
                       struct dom_services *out)
{
    read_wide(reader, selector, &reader->model->services, "P0207", "service", out->bits);
}

uint32_t dom_read_ops(struct dom_reader *reader, const struct dom_node *selector, bool *starp)
{
    uint32_t ops = 0;

    *starp = false;
    for (const struct dom_node *name = dom_read_first(selector); name != NULL;
         name = dom_read_next(selector, name)) {
        enum dom_policy_op op = DOM_OP_READ;
        if (is_star(name)) {
            *starp = true;
            ops |= (1U << DOM_OP_STORE) - 1U;
        } else if (dom_policy_op_parse(name->string, &op)) {
            ops |= 1U << op;
        } else {
            dom_read_fail(reader, name, "P0209", "one of: read list write delete store *",
                          "unknown operation \"%.*s\"", shown(name->string),
                          (const char *)name->string.data);
        }
    }
    return ops;
}

dom_policy_id dom_read_country(struct dom_reader *reader, const struct dom_node *name)
{
    char help[160] = "";
    dom_policy_id id = dom_names_find(&reader->model->countries, name->string);

    if (id != DOM_POLICY_NONE) {
        return id;
    }
    if (dom_iso3166_known(name->string)) {
        dom_read_fail(reader, name, "P0212", "add it to a jurisdiction",
                      "no jurisdiction lists the country \"%.2s\" (%s)",
                      (const char *)name->string.data, dom_iso3166_name(name->string));
        return DOM_POLICY_NONE;
    }
    dom_iso3166_hint(name->string, help, sizeof(help));
    dom_read_fail(reader, name, "P0201", help,
                  "unknown country \"%.*s\": not an ISO 3166-1 alpha-2 code", shown(name->string),
                  (const char *)name->string.data);
    return DOM_POLICY_NONE;
}

/* A place that is neither jurisdiction, group nor listed country. */
static void unknown_place(struct dom_reader *reader, const struct dom_node *name, bool regions)
{
    const struct dom_model *model = reader->model;
    const struct dom_names *tables[] = {&model->jurisdictions, &model->groups,
                                        regions ? &model->regions : NULL};
    char help[300] = "";

    if (reader->findings->num_items > DOM_FINDINGS_MAX) {
        return;
    }
    if (dom_iso3166_known(name->string)) {
        (void)dom_read_country(reader, name);
        return;
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(tables) && help[0] == '\0'; i++) {
        dom_policy_id near = tables[i] == NULL ? DOM_POLICY_NONE
                                               : dom_names_nearest(tables[i], name->string);
        if (near != DOM_POLICY_NONE) {
            (void)snprintf(help, sizeof(help), "did you mean \"%s\"?", tables[i]->names[near]);
        }
    }
    char hint[160] = "";
    dom_iso3166_hint(name->string, hint, sizeof(hint));
    if (hint[0] != '\0') {
        (void)snprintf(help, sizeof(help), "%s", hint);
    }
    bool short_name = name->string.len <= 2 || hint[0] != '\0';
    dom_read_fail(reader, name, short_name ? "P0201" : regions ? "P0204" : "P0202", help,
                  short_name ? "unknown country \"%.*s\": not an ISO 3166-1 alpha-2 code"
                  : regions  ? "unknown region, jurisdiction, group or country \"%.*s\""
                             : "unknown jurisdiction, group or country \"%.*s\"",
                  shown(name->string), (const char *)name->string.data);
}

/* False when the name is no place. */
static bool find_place(const struct dom_model *model, struct dom_slice name,
                       struct dom_countries *out)
{
    dom_policy_id id = dom_names_find(&model->jurisdictions, name);

    if (id != DOM_POLICY_NONE) {
        dom_countries_unite(out, &model->jurisdiction_countries[id]);
        return true;
    }
    id = dom_names_find(&model->groups, name);
    if (id != DOM_POLICY_NONE) {
        dom_countries_unite(out, &model->group_countries[id]);
        return true;
    }
    id = dom_names_find(&model->countries, name);
    if (id != DOM_POLICY_NONE) {
        dom_countries_add(out, id);
        return true;
    }
    return false;
}

void dom_read_countries(struct dom_reader *reader, const struct dom_node *selector,
                        struct dom_countries *out)
{
    for (const struct dom_node *name = dom_read_first(selector); name != NULL;
         name = dom_read_next(selector, name)) {
        if (is_star(name)) {
            for (size_t id = 0; id < reader->model->countries.num; id++) {
                dom_countries_add(out, (dom_policy_id)id);
            }
        } else if (!find_place(reader->model, name->string, out)) {
            unknown_place(reader, name, false);
        }
    }
}

dom_policy_set dom_read_region_name(struct dom_reader *reader, const struct dom_node *name)
{
    const struct dom_model *model = reader->model;
    struct dom_countries countries = {{0}};
    dom_policy_id id = dom_names_find(&model->regions, name->string);

    if (is_star(name)) {
        return dom_set_all(model->regions.num);
    }
    if (id != DOM_POLICY_NONE) {
        return dom_set_of(id);
    }
    if (!find_place(model, name->string, &countries)) {
        unknown_place(reader, name, true);
        return 0;
    }
    return dom_model_regions_in(model, &countries);
}

dom_policy_set dom_read_regions(struct dom_reader *reader, const struct dom_node *selector)
{
    dom_policy_set set = 0;

    for (const struct dom_node *name = dom_read_first(selector); name != NULL;
         name = dom_read_next(selector, name)) {
        set |= dom_read_region_name(reader, name);
    }
    return set;
}

dom_policy_id dom_read_basis(struct dom_reader *reader, const struct dom_node *group)
{
    const struct dom_node *name = dom_node_get(group, "basis");

    if (name == NULL || name->type != DOM_NODE_STRING || name->string.len == 0) {
        return DOM_POLICY_NONE;
    }
    return dom_read_reference(reader, name, &reader->model->bases, "P0208", "basis");
}
