/* The report of a policy test: words, JSON, TAP. */
#include <string.h>

#include "policy/expect_internal.h"
#include "policy/finding_internal.h"
#include "policy/policy_internal.h"

/* Each line of `text` behind `indent`. */
static void put_lines(struct dom_buffer *out, const char *indent, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        dom_buffer_printf(out, "%s%.*s\n", indent, (int)len, text);
        text += len + (text[len] == '\n' ? 1U : 0U);
    }
}

static size_t count_used(const uint32_t *uses, size_t num)
{
    size_t used = 0;

    for (size_t i = 0; i < num; i++) {
        used += uses[i] > 0 ? 1U : 0U;
    }
    return used;
}

/* Permits that no case rests on: whoever adds one adds a case. */
static bool is_untested(const struct dom_expect_report *report, size_t rule)
{
    struct dom_expect_cells cells = dom_expect_cells(report, rule, NULL);

    return report->policy->model.rules[rule].permit && cells.num > 0 && cells.covered == 0;
}

static void put_warnings(const struct dom_expect_report *report, const char *indent,
                         struct dom_buffer *out)
{
    const struct dom_model *model = &report->policy->model;

    for (size_t i = 0; i < model->num_rules; i++) {
        if (is_untested(report, i)) {
            dom_buffer_printf(out, "%swarning: permit \"%s\" (%s:%u) has no test\n", indent,
                              model->rules[i].id, report->policy_path,
                              model->rules[i].node->value_at.line);
        }
    }
}

static void put_cells(const struct dom_expect_report *report, const char *indent,
                      struct dom_buffer *out)
{
    const struct dom_model *model = &report->policy->model;
    struct dom_expect_cells all = dom_expect_all_cells(report);
    struct dom_buffer names;

    dom_buffer_init(&names, 0);
    dom_buffer_printf(out, "%scoverage of permits: %zu of %zu cells (operation, kind, class)\n",
                      indent, all.covered, all.num);
    for (size_t i = 0; i < model->num_rules; i++) {
        dom_buffer_clear(&names);
        struct dom_expect_cells cells = dom_expect_cells(report, i, &names);
        if (cells.covered < cells.num) {
            dom_buffer_printf(out, "%s  permit \"%s\" (%s:%u): %zu of %zu; no case for %s\n",
                              indent, model->rules[i].id, report->policy_path,
                              model->rules[i].node->value_at.line, cells.covered, cells.num,
                              dom_buffer_cstr(&names));
        }
    }
    dom_buffer_cleanup(&names);
}

static void put_coverage(const struct dom_expect_report *report, const char *indent,
                         struct dom_buffer *out)
{
    const struct dom_model *model = &report->policy->model;

    dom_buffer_printf(out, "%scoverage: %zu of %zu rules, %zu of %zu placement entries\n", indent,
                      count_used(report->rule_uses, model->num_rules), model->num_rules,
                      count_used(report->placement_uses, model->num_placements),
                      model->num_placements);
    for (size_t i = 0; i < model->num_rules; i++) {
        if (report->rule_uses[i] == 0) {
            dom_buffer_printf(out, "%s  no case is decided by rule \"%s\" (%s:%u)\n", indent,
                              model->rules[i].id, report->policy_path,
                              model->rules[i].node->value_at.line);
        }
    }
    for (size_t i = 0; i < model->num_placements; i++) {
        if (report->placement_uses[i] == 0) {
            dom_buffer_printf(out, "%s  no case rests on placement \"%s\" (%s:%u)\n", indent,
                              model->placements[i].id, report->policy_path,
                              model->placements[i].node->value_at.line);
        }
    }
    put_cells(report, indent, out);
}

void dom_expect_print(const struct dom_expect_report *report, bool coverage,
                      struct dom_buffer *out)
{
    for (size_t i = 0; i < report->num_cases; i++) {
        const struct dom_expect_case *at = &report->cases[i];
        if (!at->passed) {
            dom_buffer_printf(out, "FAILED %s:%u: %s\n", report->path, at->line, at->name);
            if (at->why[0] != '\0') {
                dom_buffer_printf(out, "    why: %s\n", at->why);
            }
            put_lines(out, "    ", at->detail);
        }
    }
    dom_buffer_printf(out, "%s: %zu cases, %zu passed, %zu failed\n", report->path,
                      report->num_cases, report->num_passed,
                      report->num_cases - report->num_passed);
    if (report->policy != NULL) {
        put_warnings(report, "", out);
    }
    if (coverage && report->policy != NULL) {
        put_coverage(report, "", out);
    }
}

/* `cells` is NULL for what has none. */
static void put_uses(struct dom_buffer *out, const char *key, const char *id, uint32_t line,
                     uint32_t uses, const struct dom_expect_cells *cells, bool first)
{
    dom_buffer_append_str(out, first ? "\n  {" : ",\n  {");
    dom_buffer_printf(out, "\"%s\": ", key);
    dom_json_string(out, id);
    dom_buffer_printf(out, ", \"line\": %u, \"cases\": %u", line, uses);
    if (cells != NULL && cells->num > 0) {
        dom_buffer_printf(out, ", \"cells\": %zu, \"cells_covered\": %zu", cells->num,
                          cells->covered);
    }
    dom_buffer_append_char(out, '}');
}

/* The warnings of the other formats: permits that no case rests on. */
static void put_untested(const struct dom_expect_report *report, struct dom_buffer *out)
{
    const struct dom_model *model = &report->policy->model;
    bool any = false;

    dom_buffer_append_str(out, ",\n \"untested_permits\": [");
    for (size_t i = 0; i < model->num_rules; i++) {
        if (is_untested(report, i)) {
            dom_buffer_append_str(out, any ? ", " : "");
            dom_json_string(out, model->rules[i].id);
            any = true;
        }
    }
    dom_buffer_append_char(out, ']');
}

void dom_expect_print_json(const struct dom_expect_report *report, bool coverage,
                           struct dom_buffer *out)
{
    dom_buffer_append_str(out, "{\"file\": ");
    dom_json_string(out, report->path);
    dom_buffer_append_str(out, ", \"policy\": ");
    dom_json_string(out, report->policy_path);
    dom_buffer_printf(out, ", \"passed\": %zu, \"failed\": %zu,\n \"cases\": [",
                      report->num_passed, report->num_cases - report->num_passed);
    for (size_t i = 0; i < report->num_cases; i++) {
        const struct dom_expect_case *at = &report->cases[i];
        dom_buffer_printf(out, "%s{\"line\": %u, \"passed\": %s, \"name\": ",
                          i == 0 ? "\n  " : ",\n  ", at->line, at->passed ? "true" : "false");
        dom_json_string(out, at->name);
        dom_buffer_append_str(out, ", \"why\": ");
        dom_json_string(out, at->why);
        dom_buffer_append_str(out, ", \"detail\": ");
        dom_json_string(out, at->detail);
        dom_buffer_append_char(out, '}');
    }
    dom_buffer_append_char(out, ']');
    if (report->policy != NULL) {
        put_untested(report, out);
    }
    if (coverage && report->policy != NULL) {
        const struct dom_model *model = &report->policy->model;
        dom_buffer_append_str(out, ",\n \"coverage\": [");
        for (size_t i = 0; i < model->num_rules; i++) {
            struct dom_expect_cells cells = dom_expect_cells(report, i, NULL);
            put_uses(out, "rule", model->rules[i].id, model->rules[i].node->value_at.line,
                     report->rule_uses[i], &cells, i == 0);
        }
        for (size_t i = 0; i < model->num_placements; i++) {
            put_uses(out, "placement", model->placements[i].id,
                     model->placements[i].node->value_at.line, report->placement_uses[i], NULL,
                     i == 0 && model->num_rules == 0);
        }
        dom_buffer_append_char(out, ']');
    }
    dom_buffer_append_str(out, "}\n");
}

/* A '#' in a test's name would begin a directive. */
static void put_tap_name(struct dom_buffer *out, const char *name)
{
    for (; *name != '\0'; name++) {
        dom_buffer_append_char(out, *name == '#' || *name == '\n' ? ' ' : *name);
    }
}

void dom_expect_print_tap(const struct dom_expect_report *report, bool coverage,
                          struct dom_buffer *out)
{
    dom_buffer_printf(out, "TAP version 13\n1..%zu\n", report->num_cases);
    for (size_t i = 0; i < report->num_cases; i++) {
        const struct dom_expect_case *at = &report->cases[i];
        dom_buffer_printf(out, "%sok %zu - ", at->passed ? "" : "not ", i + 1);
        put_tap_name(out, at->name);
        dom_buffer_append_char(out, '\n');
        if (!at->passed) {
            dom_buffer_printf(out, "  ---\n  at: %s:%u\n  message: |\n", report->path, at->line);
            put_lines(out, "    ", at->detail);
            dom_buffer_append_str(out, "  ...\n");
        }
    }
    if (report->policy != NULL) {
        put_warnings(report, "# ", out);
    }
    if (coverage && report->policy != NULL) {
        put_coverage(report, "# ", out);
    }
}
