/* From bit sets to what a person reads: names, dates, one concrete request. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "policy/diff_internal.h"
#include "policy/text.h"

static const char *const s_verdicts[] = {"left out", "redacted", "pseudonymised", "clear"};

struct writer {
    const struct dom_differ *differ;
    const struct dom_diff_state *state;
    struct dom_buffer out;
    bool failed;
};

/* What was written so far, as a string of the result; the buffer is empty again. */
static const char *take(struct writer *writer)
{
    const char *text = dom_arena_dup(writer->differ->arena, dom_buffer_slice(&writer->out));

    writer->failed = writer->failed || writer->out.failed || text == NULL;
    dom_buffer_clear(&writer->out);
    return text == NULL ? "" : text;
}

static void put_name(struct writer *writer, const char *name)
{
    dom_buffer_printf(&writer->out, "%s%s", writer->out.len == 0 ? "" : ", ", name);
}

/* ---- lists ---- */

/* Countries; a jurisdiction that is in whole goes by its name. */
static const char *list_places(struct writer *writer, const struct dom_diff_axis *axis,
                               const uint64_t *classes)
{
    const struct dom_policy *policy = writer->differ->after;
    size_t whole[DOM_JURISDICTIONS_MAX] = {0};
    bool told[DOM_JURISDICTIONS_MAX] = {false};
    size_t num = 0;

    for (size_t i = 0; i < axis->num_names; i++) {
        if (dom_bits_has(classes, axis->class_of[i])) {
            num++;
            if (axis->new_ids[i] != DOM_POLICY_NONE) {
                whole[policy->model.country_jurisdiction[axis->new_ids[i]]]++;
            }
        }
    }
    if (num == axis->num_names && num > 1) {
        return "*";
    }
    for (size_t i = 0; i < axis->num_names; i++) {
        if (!dom_bits_has(classes, axis->class_of[i])) {
            continue;
        }
        dom_policy_id country = axis->new_ids[i];
        dom_policy_id in = country == DOM_POLICY_NONE ? DOM_POLICY_NONE
                                                      : policy->model.country_jurisdiction[country];
        size_t size = 0;
        for (size_t w = 0; in != DOM_POLICY_NONE && w < DOM_DIFF_PLACE_WORDS; w++) {
            size += (size_t)__builtin_popcountll(policy->model.jurisdiction_countries[in].bits[w]);
        }
        if (in == DOM_POLICY_NONE || whole[in] != size) {
            put_name(writer, axis->names[i]);
        } else if (!told[in]) {
            put_name(writer, dom_policy_jurisdiction_name(policy, in));
            told[in] = true;
        }
    }
    return take(writer);
}

static const char *list_names(struct writer *writer, const struct dom_diff_axis *axis,
                              const uint64_t *classes)
{
    size_t num = 0;

    for (size_t i = 0; i < axis->num_names; i++) {
        num += dom_bits_has(classes, axis->class_of[i]) ? 1U : 0U;
    }
    if (num == axis->num_names && num > 1) {
        return "*";
    }
    for (size_t i = 0; i < axis->num_names; i++) {
        if (dom_bits_has(classes, axis->class_of[i])) {
            put_name(writer, axis->names[i]);
        }
    }
    return take(writer);
}

static const char *list_items(struct writer *writer)
{
    const struct dom_differ *differ = writer->differ;
    size_t num = 0;

    for (size_t i = 0; i < differ->num_classes; i++) {
        num += dom_bits_has(writer->state->items, i) ? 1U : 0U;
    }
    if (num == differ->num_classes && num > 1) {
        put_name(writer, "*");
    }
    for (size_t i = num > 1 && num == differ->num_classes ? num : 0; i < differ->num_items; i++) {
        if (dom_bits_has(writer->state->items, i)) {
            put_name(writer, differ->items[i].label);
        }
    }
    return take(writer);
}

static const char *list_ops(struct writer *writer)
{
    for (unsigned op = 0; op < DOM_OP_STORE; op++) {
        if ((writer->state->ops >> op & 1U) != 0) {
            put_name(writer, dom_policy_op_name((enum dom_policy_op)op));
        }
    }
    return take(writer);
}

static const char *list_purposes(struct writer *writer)
{
    const char *named = list_names(writer, &writer->differ->purposes, writer->state->purposes);

    if (!writer->state->no_purpose) {
        return named;
    }
    dom_buffer_append_str(&writer->out, named);
    put_name(writer, "none given");
    return take(writer);
}

static void put_date(struct dom_buffer *out, int64_t time_ms)
{
    char text[64];

    if (time_ms % DOM_MS_PER_DAY == 0) {
        dom_date_format(text, time_ms);
    } else {
        dom_time_format(text, time_ms, time_ms % 1000 != 0);
    }
    dom_buffer_append_str(out, text);
}

/* The last moment of a stretch that ends at `end_ms`: the day before, when it ends at midnight. */
static int64_t last_of(int64_t end_ms)
{
    return end_ms % DOM_MS_PER_DAY == 0 ? end_ms - DOM_MS_PER_DAY : end_ms - 1;
}

static const char *list_dates(struct writer *writer, const struct dom_diff_stretches *stretches)
{
    const uint64_t *times = writer->state->times;
    size_t num = stretches->num + 1;

    for (size_t s = 0; s < num;) {
        size_t end = s;
        while (end < num && dom_bits_has(times, end)) {
            end++;
        }
        if (end == s) {
            s++;
            continue;
        }
        if (s == 0 && end == num) {
            return "at any time";
        }
        put_name(writer, s == 0 ? "until " : end == num ? "from " : "");
        if (s > 0) {
            put_date(&writer->out, stretches->starts[s - 1]);
        }
        if (s > 0 && end < num) {
            dom_buffer_append_str(&writer->out, " to ");
        }
        if (end < num) {
            put_date(&writer->out, last_of(stretches->starts[end - 1]));
        }
        s = end;
    }
    return take(writer);
}

/* ---- what ---- */

static void put_limits(struct dom_buffer *out, uint64_t address, uint32_t num)
{
    const struct dom_policy_limit *limits = (const struct dom_policy_limit *)(uintptr_t)address;

    if (num == 0) {
        dom_buffer_append_str(out, ", no limit");
    }
    for (uint32_t i = 0; i < num; i++) {
        const struct dom_policy_limit *limit = &limits[i];
        dom_buffer_printf(out, ", at most %llu %s in ", (unsigned long long)limit->records,
                          limit->count_subjects ? "subjects" : "accesses");
        if (limit->calendar) {
            dom_buffer_printf(out, "a calendar %s", limit->calendar_unit == 'D'   ? "day"
                                                    : limit->calendar_unit == 'M' ? "month"
                                                                                  : "year");
        } else if (limit->period_ms % DOM_MS_PER_DAY == 0) {
            dom_buffer_printf(out, "%lld days", (long long)(limit->period_ms / DOM_MS_PER_DAY));
        } else {
            dom_buffer_printf(out, "%lld seconds", (long long)(limit->period_ms / 1000));
        }
    }
}

static void put_answer(struct dom_buffer *out, const struct dom_policy *policy, uint8_t effect,
                       int32_t reason, uint8_t verdict, dom_policy_id key)
{
    if (effect == DOM_EFFECT_DENY) {
        dom_buffer_printf(out, "denied (%s)", dom_code_reason((enum dom_code)reason));
        return;
    }
    dom_buffer_append_str(out, s_verdicts[verdict]);
    if (key != DOM_POLICY_NONE) {
        dom_buffer_printf(out, " by \"%s\"", dom_policy_pseudonym_key_name(policy, key));
    }
}

static const char *what_request(struct writer *writer)
{
    const struct dom_diff_key *key = &writer->state->key;
    struct dom_buffer *out = &writer->out;
    bool limits = key->old_num != 0 || key->new_num != 0;

    if (key->together > 0) {
        dom_buffer_printf(out, "asked for %u classes together: ", key->together);
    }
    if (key->facet == DOM_FACET_HOME) {
        dom_buffer_append_str(out, "no border crossed: ");
    }
    put_answer(out, writer->differ->before, key->old_effect, key->old_reason,
               key->facet == DOM_FACET_HOME ? 3 : key->old_verdict, key->old_key);
    if (limits) {
        put_limits(out, key->old_set, key->old_num);
    }
    dom_buffer_append_str(out, " -> ");
    put_answer(out, writer->differ->after, key->new_effect, key->new_reason,
               key->facet == DOM_FACET_HOME ? 3 : key->new_verdict, key->new_key);
    if (limits) {
        put_limits(out, key->new_set, key->new_num);
    }
    return take(writer);
}

static void put_regions(struct dom_buffer *out, const struct dom_policy *policy,
                        dom_policy_set regions)
{
    if (regions == 0) {
        dom_buffer_append_str(out, "nowhere");
    }
    for (bool first = true; regions != 0; regions &= regions - 1, first = false) {
        dom_buffer_printf(out, "%s%s", first ? "" : ", ",
                          dom_policy_region_name(policy,
                                                 (dom_policy_id)__builtin_ctzll(regions)));
    }
}

static const char *what_place(struct writer *writer)
{
    const struct dom_diff_key *key = &writer->state->key;
    const struct dom_policy *before = writer->differ->before;
    const struct dom_policy *after = writer->differ->after;
    struct dom_buffer *out = &writer->out;

    if (key->together > 0) {
        dom_buffer_printf(out, "home region \"%s\", copies waited for in ",
                          dom_policy_region_name(before, key->old_key));
        put_regions(out, before, key->old_set);
        dom_buffer_printf(out, " -> \"%s\", ", dom_policy_region_name(after, key->new_key));
        put_regions(out, after, key->new_set);
        return take(writer);
    }
    put_regions(out, before, key->old_set);
    if (key->old_num != 0) {
        dom_buffer_printf(out, " (%u copies)", key->old_num);
    }
    dom_buffer_append_str(out, " -> ");
    put_regions(out, after, key->new_set);
    if (key->new_num != 0) {
        dom_buffer_printf(out, " (%u copies)", key->new_num);
    }
    return take(writer);
}

/* ---- the example ---- */

/* The first name of a class. */
static size_t name_in(const struct dom_diff_axis *axis, size_t class_id)
{
    size_t i = 0;

    while (axis->class_of[i] != class_id) {
        i++;
    }
    return i;
}

/* A field of the item's class, from the policy that has one; NULL when there is none. */
static const char *field_for(const struct dom_differ *differ, const struct dom_diff_example *at,
                             uint16_t item_id)
{
    const struct dom_diff_item *item = &differ->items[item_id];
    const struct dom_policy *policies[] = {differ->after, differ->before};
    dom_policy_id kinds[] = {differ->kinds.new_rep[at->kind], differ->kinds.old_rep[at->kind]};
    dom_policy_id classes[] = {item->new_class, item->old_class};

    for (size_t p = 0; p < 2; p++) {
        size_t num = dom_policy_kind_num_fields(policies[p], kinds[p]);
        for (size_t i = 0; i < num; i++) {
            const struct dom_kind *kind = &policies[p]->model.kind_info[kinds[p]];
            if (kind->field_class[i] == classes[p]) {
                return kind->fields.names[i];
            }
        }
    }
    return NULL;
}

/* Where the record is served from, so that the border is crossed or not as in the group. */
static const char *serves_for(const struct dom_differ *differ, size_t home, size_t to,
                              bool crosses)
{
    const struct dom_diff_axis *homes = &differ->homes;
    const struct dom_policy *policy = homes->new_ids[to] == DOM_POLICY_NONE ? differ->before
                                                                            : differ->after;
    const dom_policy_id *ids = policy == differ->before ? homes->old_ids : homes->new_ids;

    if (!crosses) {
        return homes->names[to];
    }
    for (size_t n = 0; n <= homes->num_names; n++) {
        size_t i = n == 0 ? home : n - 1;
        if (ids[i] != DOM_POLICY_NONE && ids[to] != DOM_POLICY_NONE &&
            policy->model.country_jurisdiction[ids[i]] !=
                policy->model.country_jurisdiction[ids[to]]) {
            return homes->names[i];
        }
    }
    return homes->names[home];
}

static const char *example_request(struct writer *writer)
{
    const struct dom_differ *differ = writer->differ;
    const struct dom_diff_example *at = &writer->state->example;
    struct dom_buffer *out = &writer->out;
    size_t home = name_in(&differ->homes, at->home);
    size_t to = name_in(&differ->tos, at->to);
    bool crosses = writer->state->key.facet == DOM_FACET_CROSSING;
    const char *missing = NULL;
    bool first = true;

    dom_buffer_printf(out, "--op %s --service %s", dom_policy_op_name((enum dom_policy_op)at->op),
                      differ->services.names[name_in(&differ->services, at->service)]);
    if (!at->no_purpose) {
        dom_buffer_printf(out, " --purpose %s",
                          differ->purposes.names[name_in(&differ->purposes, at->purpose)]);
    }
    dom_buffer_printf(out, " --kind %s --home %s --caller %s --serves %s --date ",
                      differ->kinds.names[at->kind], differ->homes.names[home],
                      differ->tos.names[to], serves_for(differ, home, to, crosses));
    put_date(out, at->time_ms);
    for (size_t i = 0; i < at->num_items; i++) {
        const char *field = field_for(differ, at, at->items[i]);
        missing = field == NULL ? differ->items[at->items[i]].label : missing;
        if (field != NULL) {
            dom_buffer_printf(out, "%s%s", first ? " --fields " : ",", field);
            first = false;
        }
    }
    if (missing != NULL) {
        dom_buffer_printf(out, "  # and class %s, which no field of the kind declares", missing);
    }
    return take(writer);
}

static const char *example_place(struct writer *writer)
{
    const struct dom_differ *differ = writer->differ;
    const struct dom_diff_example *at = &writer->state->example;

    dom_buffer_printf(&writer->out, "--kind %s --home %s --date ", differ->kinds.names[at->kind],
                      differ->place_homes.names[name_in(&differ->place_homes, at->home)]);
    put_date(&writer->out, at->time_ms);
    return take(writer);
}

/* ---- groups ---- */

static const char *copy(struct writer *writer, const char *text)
{
    dom_buffer_append_str(&writer->out, text);
    return take(writer);
}

static void name_rules(struct writer *writer, struct dom_diff_group *group)
{
    const struct dom_diff_key *key = &writer->state->key;
    const struct dom_model *was = &writer->differ->before->model;
    const struct dom_model *is = &writer->differ->after->model;
    bool places = key->facet == DOM_FACET_PLACE;

    group->old_rule = "";
    group->new_rule = "";
    if (key->old_rule != DOM_POLICY_NONE) {
        group->old_rule = copy(writer, places ? was->placements[key->old_rule].id
                                              : was->rules[key->old_rule].id);
        group->old_line = (places ? was->placements[key->old_rule].node
                                  : was->rules[key->old_rule].node)->value_at.line;
    }
    if (key->new_rule != DOM_POLICY_NONE) {
        group->new_rule = copy(writer, places ? is->placements[key->new_rule].id
                                              : is->rules[key->new_rule].id);
        group->new_line = (places ? is->placements[key->new_rule].node
                                  : is->rules[key->new_rule].node)->value_at.line;
    }
}

static void fill_group(struct writer *writer, struct dom_diff_group *group)
{
    const struct dom_differ *differ = writer->differ;
    const struct dom_diff_state *state = writer->state;
    bool request = state->key.facet == DOM_FACET_CROSSING || state->key.facet == DOM_FACET_HOME;
    bool place = state->key.facet == DOM_FACET_PLACE;

    group->kind = (enum dom_diff_kind)state->key.kind;
    group->crosses = state->key.facet == DOM_FACET_CROSSING;
    group->looser = state->key.looser != 0;
    group->tighter = state->key.tighter != 0;
    group->cells = state->cells;
    name_rules(writer, group);
    group->homes = request ? list_places(writer, &differ->homes, state->homes)
                   : place ? list_places(writer, &differ->place_homes, state->homes)
                           : "";
    group->tos = request ? list_places(writer, &differ->tos, state->tos) : "";
    group->kinds = list_names(writer, &differ->kinds, state->kinds);
    group->classes = list_items(writer);
    group->ops = list_ops(writer);
    group->purposes = request ? list_purposes(writer) : "";
    group->services = request ? list_names(writer, &differ->services, state->services) : "";
    group->dates = group->crosses ? list_dates(writer, &differ->stretches)
                   : place        ? list_dates(writer, &differ->place_stretches)
                                  : "";
    group->what = request ? what_request(writer)
                  : place ? what_place(writer)
                          : differ->texts[state->key.text - 1];
    group->example = request ? example_request(writer) : place ? example_place(writer) : "";
}

static int compare_groups(const void *a, const void *b)
{
    const struct dom_diff_group *x = a;
    const struct dom_diff_group *y = b;

    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->cells != y->cells) {
        return x->cells > y->cells ? -1 : 1;
    }
    int order = strcmp(x->new_rule, y->new_rule);
    order = order != 0 ? order : strcmp(x->old_rule, y->old_rule);
    order = order != 0 ? order : strcmp(x->what, y->what);
    return order != 0 ? order : strcmp(x->example, y->example);
}

bool dom_diff_finish(struct dom_differ *differ, struct dom_diff *diff)
{
    struct writer writer = {.differ = differ};
    size_t num = differ->groups.num;

    diff->groups = dom_arena_calloc(differ->arena, num + 1, sizeof(diff->groups[0]));
    if (diff->groups == NULL) {
        return false;
    }
    dom_buffer_init(&writer.out, 0);
    for (size_t i = 0; i < num; i++) {
        writer.state = &differ->states[i];
        fill_group(&writer, &diff->groups[i]);
        diff->cells[diff->groups[i].kind] += diff->groups[i].cells;
    }
    dom_buffer_cleanup(&writer.out);
    diff->num_groups = num;
    qsort(diff->groups, num, sizeof(diff->groups[0]), compare_groups);
    return !writer.failed;
}
