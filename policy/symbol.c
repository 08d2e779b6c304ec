#include "policy/symbol.h"

#include <string.h>

#include "policy/iso3166.h"
#include "policy/tree.h"

#define SNIPPET_LINES_MAX 12U

/* The sections that a setting's names are looked up in, in this order; NULL ends. */
struct source {
    const char *key;
    const char *sections[3];
};

/* Places are jurisdictions, groups or countries; at rest regions come first. */
static const struct source s_sources[] = {
    {"home", {"jurisdictions", "groups"}},
    {"to", {"jurisdictions", "groups"}},
    {"regions", {"regions", "jurisdictions", "groups"}},
    {"must_include", {"regions", "jurisdictions", "groups"}},
    {"first_write", {"regions", "jurisdictions", "groups"}},
    {"lead", {"regions"}},
    {"classes", {"data_classes"}},
    {"unknown_field", {"data_classes"}},
    {"kinds", {"kinds"}},
    {"purposes", {"purposes"}},
    {"services", {"services"}},
    {"basis", {"bases"}},
    {"country", {NULL}},
    {"countries", {NULL}},
};
static const struct source s_field = {"", {"data_classes"}};
static const struct source s_group = {"", {"jurisdictions", "groups"}};

static const char *const s_nouns[][2] = {
    {"jurisdictions", "jurisdiction"}, {"groups", "group of places"}, {"regions", "region"},
    {"data_classes", "data class"},    {"kinds", "kind of record"},   {"purposes", "purpose"},
    {"services", "service"},           {"bases", "legal basis"}};

static bool named(const struct dom_node *node, const char *name)
{
    return node != NULL && node->name != NULL && strcmp(node->name, name) == 0;
}

/* The setting that a value belongs to: itself, or the list that it is in. */
static const struct dom_node *setting_of(const struct dom_node *node)
{
    const struct dom_node *parent = node->parent;
    bool in_list = parent != NULL &&
                   (parent->type == DOM_NODE_LIST || parent->type == DOM_NODE_ARRAY);

    return in_list ? parent : node;
}

static const struct source *source_of(const struct dom_node *node)
{
    const struct dom_node *setting = setting_of(node);

    if (setting->name == NULL) {
        return NULL;
    }
    if (named(setting->parent, "fields") && setting->parent->parent != NULL &&
        named(setting->parent->parent->parent, "kinds")) {
        return &s_field;
    }
    if (named(setting->parent, "groups")) {
        return &s_group;
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_sources); i++) {
        if (named(setting, s_sources[i].key)) {
            return &s_sources[i];
        }
    }
    return NULL;
}

static bool covers(const struct dom_place *place, uint32_t line, uint32_t column)
{
    return place->line == line && column >= place->column &&
           column <= place->column + place->length;
}

/* The next node in the order of the text, below `root`. */
static const struct dom_node *next_node(const struct dom_node *root, const struct dom_node *node)
{
    if (node->first != NULL) {
        return node->first;
    }
    while (node != root && node->next == NULL) {
        node = node->parent;
    }
    return node == root ? NULL : node->next;
}

static const struct dom_node *declared(const struct dom_node *root, const struct source *source,
                                       const char *name, const char **sectionp)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(source->sections) && source->sections[i] != NULL; i++) {
        const struct dom_node *section = dom_node_get(root, source->sections[i]);
        const struct dom_node *found =
            section == NULL || section->type != DOM_NODE_GROUP ? NULL : dom_node_get(section, name);
        if (found != NULL) {
            *sectionp = source->sections[i];
            return found;
        }
    }
    return NULL;
}

/* The jurisdiction that lists a country: its place in the list. */
static const struct dom_node *listed(const struct dom_node *root, const char *country)
{
    const struct dom_node *all = dom_node_get(root, "jurisdictions");

    for (const struct dom_node *node = all; node != NULL; node = next_node(all, node)) {
        if (node->type == DOM_NODE_STRING && named(setting_of(node), "countries") &&
            dom_slice_eq_str(node->string, country)) {
            return node;
        }
    }
    return NULL;
}

/* ---- words about it ---- */

static uint32_t last_line(const struct dom_node *node)
{
    uint32_t line = node->value_at.line;

    for (const struct dom_node *at = node; at != NULL; at = next_node(node, at)) {
        line = at->value_at.line > line ? at->value_at.line : line;
    }
    return line;
}

/* The lines of the text from `first` to `last`, fenced. */
static void put_snippet(struct dom_slice text, uint32_t first, uint32_t last,
                        struct dom_buffer *out)
{
    uint32_t line = 1;

    last = last >= first + SNIPPET_LINES_MAX ? first + SNIPPET_LINES_MAX - 1 : last;
    dom_buffer_append_str(out, "```\n");
    for (size_t at = 0; at < text.len && line <= last; at++) {
        if (line >= first) {
            dom_buffer_append_char(out, (char)text.data[at]);
        }
        line += text.data[at] == '\n' ? 1U : 0U;
    }
    dom_buffer_append_str(out, line <= last ? "\n```\n" : "```\n");
}

static size_t count_uses(const struct dom_node *root, const struct dom_node *declaration,
                         const char *section)
{
    size_t num = 0;

    for (const struct dom_node *node = root; node != NULL; node = next_node(root, node)) {
        const struct source *source = node->type == DOM_NODE_STRING ? source_of(node) : NULL;
        const char *found = NULL;
        if (source != NULL && dom_slice_eq_str(node->string, declaration->name) &&
            declared(root, source, (const char *)node->string.data, &found) == declaration) {
            num += strcmp(found, section) == 0 ? 1U : 0U;
        }
    }
    return num;
}

static void put_declaration(const struct dom_node *root, const struct dom_node *declaration,
                            const char *section, struct dom_slice text, struct dom_buffer *hover)
{
    size_t num = count_uses(root, declaration, section);

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_nouns); i++) {
        if (strcmp(s_nouns[i][0], section) == 0) {
            dom_buffer_printf(hover, "**%s** `%s`, used in %zu place%s\n\n", s_nouns[i][1],
                              declaration->name, num, num == 1 ? "" : "s");
        }
    }
    put_snippet(text, declaration->name_at.line, last_line(declaration), hover);
}

static void put_country(const struct dom_node *place, const char *code, struct dom_buffer *hover)
{
    const char *name = dom_iso3166_name(dom_slice_str(code));
    const struct dom_node *law = place == NULL ? NULL : setting_of(place)->parent;

    dom_buffer_printf(hover, "**country** `%s`: %s\n\n", code, name == NULL ? "no ISO 3166-1 code" : name);
    if (law != NULL && law->name != NULL) {
        dom_buffer_printf(hover, "in jurisdiction `%s`\n", law->name);
    } else {
        dom_buffer_append_str(hover, "no jurisdiction lists it: everything that concerns it is denied\n");
    }
}

/* ---- what stands at a place ---- */

static struct dom_span span_of(const struct dom_place *place)
{
    return (struct dom_span){.line = place->line, .column = place->column, .length = place->length};
}

/* A name that is used: the value of a setting that names things. */
static bool find_use(struct dom_symbol *out, const struct dom_node *root,
                     const struct dom_node *node, struct dom_slice text, struct dom_buffer *hover)
{
    const struct source *source = source_of(node);
    const char *name = (const char *)node->string.data;
    const char *section = NULL;

    if (source == NULL || node->string.len == 0 || strcmp(name, "*") == 0) {
        return false;
    }
    out->use = span_of(&node->value_at);
    const struct dom_node *found = declared(root, source, name, &section);
    if (found != NULL) {
        out->declaration = span_of(&found->name_at);
        if (hover != NULL) {
            put_declaration(root, found, section, text, hover);
        }
        return true;
    }
    if (source->sections[0] != NULL && strcmp(source->sections[0], "jurisdictions") != 0 &&
        strcmp(source->sections[0], "regions") != 0) {
        return true; /* declared nowhere: the findings say so */
    }
    found = listed(root, name);
    if (found != NULL) {
        out->declaration = span_of(&found->value_at);
    }
    if (hover != NULL) {
        put_country(found, name, hover);
    }
    return true;
}

/* A name where it is declared: a member of one of the sections. */
static bool find_declaration(struct dom_symbol *out, const struct dom_node *root,
                             const struct dom_node *node, struct dom_slice text,
                             struct dom_buffer *hover)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_nouns); i++) {
        if (named(node->parent, s_nouns[i][0]) && node->parent->parent == root) {
            out->use = span_of(&node->name_at);
            out->declaration = out->use;
            if (hover != NULL) {
                put_declaration(root, node, s_nouns[i][0], text, hover);
            }
            return true;
        }
    }
    return false;
}

bool dom_symbol_find(struct dom_symbol *out, struct dom_slice text, uint32_t line, uint32_t column,
                     struct dom_buffer *hover)
{
    struct dom_findings findings = {0};
    struct dom_node *root = NULL;
    struct dom_arena arena;
    bool found = false;

    memset(out, 0, sizeof(*out));
    dom_arena_init(&arena, NULL, 0, DOM_TREE_BYTES_MAX);
    enum dom_code rc = dom_tree_parse(&root, text, &arena, &findings, NULL);
    for (const struct dom_node *node = rc == DOM_OK ? root : NULL; node != NULL && !found;
         node = next_node(root, node)) {
        if (node->type == DOM_NODE_STRING && covers(&node->value_at, line, column)) {
            found = find_use(out, root, node, text, hover);
        }
        if (!found && node->name != NULL && covers(&node->name_at, line, column)) {
            found = find_declaration(out, root, node, text, hover);
        }
    }
    dom_findings_cleanup(&findings);
    dom_arena_cleanup(&arena);
    return found;
}
