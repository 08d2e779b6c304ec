/* A diff in words and as JSON. */
#include <string.h>

#include "policy/diff.h"
#include "policy/finding_internal.h"

static const struct {
    const char *name;
    const char *title; /* after the number of cells */
    char sign;
} s_kinds[DOM_DIFF_KIND_COUNT] = {
    [DOM_DIFF_ALLOWED] = {"allowed", "newly allowed", '+'},
    [DOM_DIFF_DENIED] = {"denied", "newly denied", '-'},
    [DOM_DIFF_WEAKER] = {"weaker", "under weaker obligations", '+'},
    [DOM_DIFF_STRONGER] = {"stronger", "under stronger obligations", '-'},
    [DOM_DIFF_OBLIGATION] = {"obligation", "under other obligations", '~'},
    [DOM_DIFF_REASON] = {"reason", "denied for another reason", '~'},
    [DOM_DIFF_PLACE_WIDER] = {"place-wider", "may lie in more regions", '+'},
    [DOM_DIFF_PLACE_NARROWER] = {"place-narrower", "may lie in fewer regions", '-'},
    [DOM_DIFF_PLACE_OTHER] = {"place-other", "lie otherwise", '~'},
    [DOM_DIFF_SETTING] = {"setting", "settings changed", '~'},
};

const char *dom_diff_kind_name(enum dom_diff_kind kind)
{
    return (unsigned)kind < DOM_DIFF_KIND_COUNT ? s_kinds[kind].name : "";
}

bool dom_diff_loosens(const struct dom_diff *diff)
{
    for (size_t i = 0; i < diff->num_groups; i++) {
        if (diff->groups[i].looser) {
            return true;
        }
    }
    return false;
}

static void put_rule(struct dom_buffer *out, const char *word, const char *rule, const char *file,
                     uint32_t line)
{
    if (rule[0] != '\0') {
        dom_buffer_printf(out, "    %s \"%s\" (%s:%u)\n", word, rule, file, line);
    }
}

static void put_dimension(struct dom_buffer *out, const char *name, const char *list)
{
    if (list[0] != '\0') {
        dom_buffer_printf(out, "    %-8s %s\n", name, list);
    }
}

static void put_group(const struct dom_diff_group *group, const char *before, const char *after,
                      struct dom_buffer *out)
{
    bool place = group->kind >= DOM_DIFF_PLACE_WIDER && group->kind <= DOM_DIFF_PLACE_OTHER;

    dom_buffer_printf(out, "\n%c %llu %s: %s\n", s_kinds[group->kind].sign,
                      (unsigned long long)group->cells, s_kinds[group->kind].title, group->what);
    put_rule(out, "was by  ", group->old_rule, before, group->old_line);
    put_rule(out, "is by   ", group->new_rule, after, group->new_line);
    put_dimension(out, "home", group->homes);
    put_dimension(out, "to", group->tos);
    put_dimension(out, "kinds", group->kinds);
    put_dimension(out, "classes", group->classes);
    put_dimension(out, "ops", group->ops);
    put_dimension(out, "purposes", group->purposes);
    put_dimension(out, "services", group->services);
    put_dimension(out, "dates", group->dates);
    if (group->example[0] != '\0') {
        dom_buffer_printf(out, "    e.g.     %s %s\n", place ? "where" : "explain",
                          group->example);
    }
}

void dom_diff_print(const struct dom_diff *diff, const char *before, const char *after,
                    struct dom_buffer *out)
{
    bool first = true;

    if (diff->num_groups == 0) {
        dom_buffer_printf(out, "%s -> %s: no decision and no placement differs\n", before, after);
        return;
    }
    dom_buffer_printf(out, "%s -> %s: ", before, after);
    for (size_t k = 0; k < DOM_DIFF_KIND_COUNT; k++) {
        if (diff->cells[k] > 0) {
            dom_buffer_printf(out, "%s%c%llu %s", first ? "" : ", ", s_kinds[k].sign,
                              (unsigned long long)diff->cells[k], s_kinds[k].title);
            first = false;
        }
    }
    dom_buffer_printf(out, "\n%s; %zu groups\n",
                      dom_diff_loosens(diff) ? "this loosens the policy" : "nothing is loosened",
                      diff->num_groups);
    for (size_t i = 0; i < diff->num_groups; i++) {
        put_group(&diff->groups[i], before, after, out);
    }
}

static void put_member(struct dom_buffer *out, const char *name, const char *text)
{
    if (text[0] != '\0') {
        dom_buffer_printf(out, ", \"%s\": ", name);
        dom_json_string(out, text);
    }
}

/* A list joined by ", " as an array. */
static void put_list(struct dom_buffer *out, const char *name, const char *list)
{
    if (list[0] == '\0') {
        return;
    }
    dom_buffer_printf(out, ", \"%s\": [", name);
    for (const char *at = list; *at != '\0';) {
        const char *end = strstr(at, ", ");
        size_t len = end == NULL ? strlen(at) : (size_t)(end - at);
        dom_buffer_append_str(out, at == list ? "\"" : ", \"");
        dom_json_escape(out, dom_slice_of(at, len));
        dom_buffer_append_char(out, '"');
        at += len + (end == NULL ? 0U : 2U);
    }
    dom_buffer_append_char(out, ']');
}

static void put_group_json(const struct dom_diff_group *group, struct dom_buffer *out)
{
    dom_buffer_printf(out, "{\"kind\": \"%s\", \"cells\": %llu, \"looser\": %s, \"tighter\": %s",
                      s_kinds[group->kind].name, (unsigned long long)group->cells,
                      group->looser ? "true" : "false", group->tighter ? "true" : "false");
    if (group->ops[0] != '\0') {
        dom_buffer_printf(out, ", \"crosses\": %s", group->crosses ? "true" : "false");
    }
    put_member(out, "what", group->what);
    put_member(out, "old_rule", group->old_rule);
    if (group->old_rule[0] != '\0') {
        dom_buffer_printf(out, ", \"old_line\": %u", group->old_line);
    }
    put_member(out, "new_rule", group->new_rule);
    if (group->new_rule[0] != '\0') {
        dom_buffer_printf(out, ", \"new_line\": %u", group->new_line);
    }
    put_list(out, "home", group->homes);
    put_list(out, "to", group->tos);
    put_list(out, "kinds", group->kinds);
    put_member(out, "classes", group->classes);
    put_list(out, "ops", group->ops);
    put_list(out, "purposes", group->purposes);
    put_list(out, "services", group->services);
    put_list(out, "dates", group->dates);
    put_member(out, "example", group->example);
    dom_buffer_append_char(out, '}');
}

void dom_diff_print_json(const struct dom_diff *diff, const char *before, const char *after,
                         struct dom_buffer *out)
{
    dom_buffer_append_str(out, "{\"old\": ");
    dom_json_string(out, before);
    dom_buffer_append_str(out, ", \"new\": ");
    dom_json_string(out, after);
    dom_buffer_printf(out, ", \"loosens\": %s, \"cells\": {",
                      dom_diff_loosens(diff) ? "true" : "false");
    for (size_t k = 0; k < DOM_DIFF_KIND_COUNT; k++) {
        dom_buffer_printf(out, "%s\"%s\": %llu", k == 0 ? "" : ", ", s_kinds[k].name,
                          (unsigned long long)diff->cells[k]);
    }
    dom_buffer_append_str(out, "},\n \"groups\": [");
    for (size_t i = 0; i < diff->num_groups; i++) {
        dom_buffer_append_str(out, i == 0 ? "\n  " : ",\n  ");
        put_group_json(&diff->groups[i], out);
    }
    dom_buffer_append_str(out, "]}\n");
}
