#include "policy/docs.h"

#include <string.h>

#include "base/clock.h"
#include "policy/policy_internal.h"
#include "policy/text.h"

struct page {
    const struct dom_policy *policy;
    const struct dom_model *model;
    int64_t time_ms;
    bool html;
    struct dom_buffer *out;
    struct dom_buffer cell; /* what the next cell holds, not yet escaped */
};

/* In Markdown a bar would end the cell; '<', '>' and '&' would be read as markup in both. */
static void put_escaped(struct page *page, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            dom_buffer_append_str(page->out, "&amp;");
            break;
        case '<':
            dom_buffer_append_str(page->out, "&lt;");
            break;
        case '>':
            dom_buffer_append_str(page->out, "&gt;");
            break;
        case '|':
        case '*':
        case '_':
        case '`':
        case '[':
        case '\\':
            if (!page->html) {
                dom_buffer_append_char(page->out, '\\');
            }
            dom_buffer_append_char(page->out, *text);
            break;
        case '\n':
        case '\r':
            dom_buffer_append_char(page->out, ' ');
            break;
        default:
            dom_buffer_append_char(page->out, *text);
            break;
        }
    }
}

static void put_heading(struct page *page, unsigned level, const char *text)
{
    if (page->html) {
        dom_buffer_printf(page->out, "<h%u>", level);
        put_escaped(page, text);
        dom_buffer_printf(page->out, "</h%u>\n", level);
    } else {
        dom_buffer_printf(page->out, "\n%.*s ", (int)level, "###");
        put_escaped(page, text);
        dom_buffer_append_str(page->out, "\n\n");
    }
}

static void put_paragraph(struct page *page, const char *text)
{
    dom_buffer_append_str(page->out, page->html ? "<p>" : "");
    put_escaped(page, text);
    dom_buffer_append_str(page->out, page->html ? "</p>\n" : "\n\n");
}

static void begin_table(struct page *page, const char *const *heads, size_t num)
{
    dom_buffer_append_str(page->out, page->html ? "<table>\n<tr>" : "|");
    for (size_t i = 0; i < num; i++) {
        dom_buffer_printf(page->out, page->html ? "<th>%s</th>" : " %s |", heads[i]);
    }
    if (page->html) {
        dom_buffer_append_str(page->out, "</tr>\n");
        return;
    }
    dom_buffer_append_str(page->out, "\n|");
    for (size_t i = 0; i < num; i++) {
        dom_buffer_append_str(page->out, " --- |");
    }
    dom_buffer_append_char(page->out, '\n');
}

static void begin_row(struct page *page)
{
    dom_buffer_append_str(page->out, page->html ? "<tr>" : "|");
}

/* Writes what was gathered in `cell`. */
static void end_cell(struct page *page)
{
    dom_buffer_append_str(page->out, page->html ? "<td>" : " ");
    put_escaped(page, dom_buffer_cstr(&page->cell));
    dom_buffer_append_str(page->out, page->html ? "</td>" : " |");
    dom_buffer_clear(&page->cell);
}

static void put_cell(struct page *page, const char *text)
{
    dom_buffer_append_str(&page->cell, text);
    end_cell(page);
}

static void end_row(struct page *page)
{
    dom_buffer_append_str(page->out, page->html ? "</tr>\n" : "\n");
}

static void end_table(struct page *page)
{
    dom_buffer_append_str(page->out, page->html ? "</table>\n" : "\n");
}

/* ---- lists ---- */

static void add_name(struct page *page, const char *name)
{
    dom_buffer_printf(&page->cell, "%s%s", page->cell.len == 0 ? "" : ", ", name);
}

/* Jurisdictions that are in whole by their names, other countries by their codes. */
static void gather_countries(struct page *page, const struct dom_countries *set)
{
    const struct dom_model *model = page->model;
    size_t num = 0;

    for (size_t i = 0; i < model->countries.num; i++) {
        num += dom_countries_has(set, (dom_policy_id)i) ? 1U : 0U;
    }
    if (num == model->countries.num) {
        add_name(page, "everywhere");
        return;
    }
    for (size_t j = 0; j < model->jurisdictions.num; j++) {
        const struct dom_countries *all = &model->jurisdiction_countries[j];
        bool whole = true;
        for (size_t w = 0; w < DOM_ARRAY_LEN(all->bits); w++) {
            whole = whole && (all->bits[w] & ~set->bits[w]) == 0;
        }
        if (whole) {
            add_name(page, model->jurisdictions.names[j]);
            continue;
        }
        for (size_t i = 0; i < model->countries.num; i++) {
            if (model->country_jurisdiction[i] == (dom_policy_id)j &&
                dom_countries_has(set, (dom_policy_id)i)) {
                add_name(page, model->countries.names[i]);
            }
        }
    }
}

/* The names of the bits that are set, or "all". */
static void gather_bits(struct page *page, const struct dom_names *names, const uint64_t *bits)
{
    size_t num = 0;

    for (size_t i = 0; i < names->num; i++) {
        num += ((bits[i / 64] >> (i % 64)) & 1U) != 0 ? 1U : 0U;
    }
    if (num == names->num) {
        add_name(page, "all");
        return;
    }
    for (size_t i = 0; i < names->num; i++) {
        if (((bits[i / 64] >> (i % 64)) & 1U) != 0) {
            add_name(page, names->names[i]);
        }
    }
}

static void gather_ops(struct page *page, const struct dom_rule *rule)
{
    for (unsigned op = 0; op < DOM_OP_COUNT; op++) {
        if (((rule->ops >> op) & 1U) != 0) {
            add_name(page, dom_policy_op_name((enum dom_policy_op)op));
        }
    }
}

/* Classes with what happens to them on their way. */
static void gather_classes(struct page *page, const struct dom_rule *rule)
{
    static const char *const treated[] = {"", " (pseudonymised)", " (emptied)", " (left out)"};

    for (dom_policy_set left = rule->classes; left != 0; left &= left - 1) {
        size_t c = (size_t)__builtin_ctzll(left);
        add_name(page, page->model->classes.names[c]);
        dom_buffer_append_str(&page->cell, treated[rule->transform[c]]);
    }
    for (size_t i = 0; i < rule->num_limits; i++) {
        dom_buffer_printf(&page->cell, "; at most %llu %s in %lld hours",
                          (unsigned long long)rule->limits[i].records,
                          rule->limits[i].count_subjects ? "subjects" : "accesses",
                          (long long)(rule->limits[i].period_ms / 3600000));
    }
}

static void gather_day(struct page *page, int64_t time_ms)
{
    char text[DOM_DATE_SIZE];

    dom_date_format(text, time_ms);
    dom_buffer_append_str(&page->cell, text);
}

/* Two cells: the ground and its dates. */
static void put_basis(struct page *page, dom_policy_id id)
{
    if (id == DOM_POLICY_NONE) {
        put_cell(page, "none needed");
        put_cell(page, "");
        return;
    }
    const struct dom_basis *basis = &page->model->basis_info[id];
    dom_buffer_append_str(&page->cell, page->model->bases.names[id]);
    if (basis->from_ms == INT64_MIN) {
        end_cell(page);
        put_cell(page, "no end");
        return;
    }
    dom_buffer_printf(&page->cell, ": %s %s", basis->mechanism, basis->ref);
    end_cell(page);
    gather_day(page, basis->from_ms);
    dom_buffer_append_str(&page->cell, " to ");
    if (basis->until_ms == INT64_MAX) {
        dom_buffer_append_str(&page->cell, "no end");
    } else {
        gather_day(page, basis->until_ms - DOM_MS_PER_DAY);
    }
    if (!dom_model_basis_in_force(page->model, id, page->time_ms)) {
        dom_buffer_append_str(&page->cell, " (NOT IN FORCE)");
    }
    end_cell(page);
}

/* ---- tables ---- */

static void put_rule(struct page *page, const struct dom_rule *rule)
{
    const struct dom_model *model = page->model;

    begin_row(page);
    put_cell(page, rule->id);
    gather_countries(page, &rule->home);
    end_cell(page);
    if (rule->permit && rule->basis == DOM_BASIS_HOME_RETURN) {
        add_name(page, "only back to where the data is at home");
    } else {
        gather_countries(page, &rule->to);
    }
    end_cell(page);
    gather_bits(page, &model->services, rule->services.bits);
    end_cell(page);
    gather_bits(page, &model->purposes, rule->purposes.bits);
    end_cell(page);
    gather_ops(page, rule);
    end_cell(page);
    gather_bits(page, &model->kinds, &rule->kinds);
    end_cell(page);
    gather_classes(page, rule);
    end_cell(page);
    if (rule->permit) {
        put_basis(page, rule->basis);
    }
    end_row(page);
}

static void put_rules(struct page *page, bool permits)
{
    static const char *const heads[] = {"Rule",       "Data of", "May go to", "Services",
                                        "Purposes",   "To do",   "Records",   "Classes",
                                        "Legal basis", "Valid"};
    static const char *const never[] = {"Rule",     "Data of", "Never to", "Services",
                                        "Purposes", "To do",   "Records",  "Classes"};

    put_heading(page, 2, permits ? "Who may receive what" : "What is never allowed");
    put_paragraph(page, permits ? "Across a border only what stands here may pass, and nothing of "
                                  "what is never allowed."
                                : "These hold whatever the other table permits.");
    begin_table(page, permits ? heads : never,
                permits ? DOM_ARRAY_LEN(heads) : DOM_ARRAY_LEN(never));
    for (size_t i = 0; i < page->model->num_rules; i++) {
        if (page->model->rules[i].permit == permits) {
            put_rule(page, &page->model->rules[i]);
        }
    }
    end_table(page);
}

/* Homes whose data of the kind and class may lie in the same regions, copies and ground alike. */
static void put_homes_alike(struct page *page, size_t kind, size_t data_class, bool *done)
{
    const struct dom_model *model = page->model;

    for (size_t first = 0; first < model->countries.num; first++) {
        const struct dom_policy_placement *place = dom_policy_place(
            page->policy, (dom_policy_id)kind, (dom_policy_id)first, page->time_ms);
        struct dom_countries homes = {{0}};
        for (size_t i = first; i < model->countries.num && !done[first]; i++) {
            const struct dom_policy_placement *other = dom_policy_place(
                page->policy, (dom_policy_id)kind, (dom_policy_id)i, page->time_ms);
            if (!done[i] && other->regions[data_class] == place->regions[data_class] &&
                other->min_replicas[data_class] == place->min_replicas[data_class] &&
                other->rule[data_class] == place->rule[data_class]) {
                dom_countries_add(&homes, (dom_policy_id)i);
                done[i] = i != first;
            }
        }
        if (done[first]) {
            continue;
        }
        begin_row(page);
        put_cell(page, model->kinds.names[kind]);
        put_cell(page, model->classes.names[data_class]);
        gather_countries(page, &homes);
        end_cell(page);
        if (place->regions[data_class] == 0) {
            put_cell(page, "nowhere: may not be stored");
            put_cell(page, "");
            put_cell(page, "");
        } else {
            gather_bits(page, &model->regions, &place->regions[data_class]);
            end_cell(page);
            dom_buffer_printf(&page->cell, "%u", place->min_replicas[data_class]);
            end_cell(page);
            put_cell(page, dom_policy_placement_name(page->policy, place->rule[data_class]));
        }
        end_row(page);
    }
}

static void put_places(struct page *page)
{
    static const char *const heads[] = {"Records", "Class",  "Data of",
                                        "May lie in", "Copies", "Entry"};
    const struct dom_model *model = page->model;

    put_heading(page, 2, "Where data lies");
    dom_buffer_append_str(&page->cell, "As it is on ");
    gather_day(page, page->time_ms);
    dom_buffer_append_str(&page->cell, ". What has no line here is stored nowhere.");
    put_paragraph(page, dom_buffer_cstr(&page->cell));
    dom_buffer_clear(&page->cell);
    begin_table(page, heads, DOM_ARRAY_LEN(heads));
    for (size_t kind = 0; kind < model->kinds.num; kind++) {
        for (dom_policy_set left = model->kind_info[kind].classes; left != 0; left &= left - 1) {
            bool done[DOM_COUNTRIES_MAX] = {false};
            put_homes_alike(page, kind, (size_t)__builtin_ctzll(left), done);
        }
    }
    end_table(page);
}

void dom_docs_print(const struct dom_policy *policy, int64_t time_ms, bool html,
                    struct dom_buffer *out)
{
    struct page page = {.policy = policy,
                        .model = &policy->model,
                        .time_ms = time_ms,
                        .html = html,
                        .out = out};
    char until[DOM_RFC3339_SIZE];

    dom_buffer_init(&page.cell, 0);
    if (html) {
        dom_buffer_append_str(
            out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<title>Policy</title>\n<style>table { border-collapse: collapse; } td, th { "
                 "border: 1px solid #888; padding: 0.3em; vertical-align: top; text-align: left; "
                 "}</style></head><body>\n");
    }
    dom_time_format(until, policy->model.expires_ms, false);
    dom_buffer_printf(&page.cell, "Policy %s, version %lld", policy->info.name,
                      (long long)policy->info.version);
    put_heading(&page, 1, dom_buffer_cstr(&page.cell));
    dom_buffer_clear(&page.cell);
    dom_buffer_printf(&page.cell, "From %s on nothing crosses a border. SHA-256 of the text: %s.",
                      until, policy->info.sha256_hex);
    put_paragraph(&page, dom_buffer_cstr(&page.cell));
    dom_buffer_clear(&page.cell);
    put_rules(&page, true);
    put_rules(&page, false);
    put_places(&page);
    dom_buffer_append_str(out, html ? "</body></html>\n" : "");
    dom_buffer_cleanup(&page.cell);
}
