/* What the facets share: the dimensions of both policies together, and the groups. */
#include "policy/diff_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define GROUP_BYTES_MAX ((size_t)DOM_DIFF_GROUPS_MAX * sizeof(struct dom_diff_key))

uint32_t dom_diff_group_of(struct dom_differ *differ, const struct dom_diff_key *key)
{
    uint32_t before = differ->groups.num;
    uint32_t id = dom_interner_add(&differ->groups, key);

    if (id == UINT32_MAX) {
        differ->too_large = true;
        return id;
    }
    if (id < before) {
        return id;
    }
    if (id >= differ->states_capacity) {
        size_t capacity = differ->states_capacity == 0 ? 64 : differ->states_capacity * 2;
        struct dom_diff_state *states = realloc(differ->states, capacity * sizeof(*states));
        if (states == NULL) {
            differ->failed = true;
            return UINT32_MAX;
        }
        differ->states = states;
        differ->states_capacity = capacity;
    }
    memset(&differ->states[id], 0, sizeof(differ->states[id]));
    differ->states[id].key = *key;
    return id;
}

static bool item_has_field(const struct dom_differ *differ, uint16_t item, size_t kind)
{
    const struct dom_diff_item *at = &differ->items[item];
    dom_policy_id old_kind = differ->kinds.old_rep[kind];
    dom_policy_id new_kind = differ->kinds.new_rep[kind];

    if (at->kind >= 0) {
        return true;
    }
    return (new_kind != DOM_POLICY_NONE && at->new_class != DOM_POLICY_NONE &&
            dom_set_has(differ->after->model.kind_info[new_kind].classes, at->new_class)) ||
           (old_kind != DOM_POLICY_NONE && at->old_class != DOM_POLICY_NONE &&
            dom_set_has(differ->before->model.kind_info[old_kind].classes, at->old_class));
}

/* The first example stays, unless a later one can be asked for by a field that exists. */
static void note_example(const struct dom_differ *differ, struct dom_diff_state *state,
                         const struct dom_diff_found *found, const struct dom_diff_hit *hit)
{
    struct dom_diff_example *example = &state->example;
    bool has_field = true;

    if (state->cells > 0 && example->has_field) {
        return;
    }
    for (size_t i = 0; i < found->num_items; i++) {
        has_field = has_field && item_has_field(differ, found->items[i], hit->kind);
    }
    if (state->cells > 0 && !has_field) {
        return;
    }
    example->home = hit->home;
    example->to = hit->to;
    example->kind = hit->kind;
    example->service = hit->service;
    example->purpose = hit->purpose;
    example->op = hit->op;
    example->time_ms = hit->time_ms;
    example->no_purpose = hit->no_purpose;
    example->num_items = found->num_items;
    example->has_field = has_field;
    memcpy(example->items, found->items, sizeof(example->items));
}

void dom_diff_hit(struct dom_differ *differ, const struct dom_diff_found *found,
                  const struct dom_diff_hit *hit)
{
    struct dom_diff_state *state = &differ->states[found->group];

    note_example(differ, state, found, hit);
    state->cells += hit->weight;
    dom_bits_unite(state->homes, hit->homes, DOM_DIFF_PLACE_WORDS);
    if (hit->tos != NULL) {
        dom_bits_unite(state->tos, hit->tos, DOM_DIFF_PLACE_WORDS);
    }
    if (hit->times != NULL) {
        dom_bits_unite(state->times, hit->times, DOM_DIFF_TIME_WORDS);
    }
    dom_bits_set(state->kinds, hit->kind);
    for (size_t i = 0; i < found->num_items; i++) {
        dom_bits_set(state->items, found->items[i]);
    }
    if (hit->no_service) {
        return;
    }
    dom_bits_set(state->services, hit->service);
    state->ops |= 1U << hit->op;
    if (hit->no_purpose) {
        state->no_purpose = true;
    } else {
        dom_bits_set(state->purposes, hit->purpose);
    }
}

/* ---- dimensions ---- */

static bool axis_alloc(struct dom_diff_axis *axis, size_t capacity, struct dom_arena *arena)
{
    memset(axis, 0, sizeof(*axis));
    axis->names = dom_arena_calloc(arena, capacity + 1, sizeof(axis->names[0]));
    axis->old_ids = dom_arena_calloc(arena, capacity + 1, sizeof(axis->old_ids[0]));
    axis->new_ids = dom_arena_calloc(arena, capacity + 1, sizeof(axis->new_ids[0]));
    axis->class_of = dom_arena_calloc(arena, capacity + 1, sizeof(axis->class_of[0]));
    axis->old_rep = dom_arena_calloc(arena, capacity + 1, sizeof(axis->old_rep[0]));
    axis->new_rep = dom_arena_calloc(arena, capacity + 1, sizeof(axis->new_rep[0]));
    axis->weight = dom_arena_calloc(arena, capacity + 1, sizeof(axis->weight[0]));
    return axis->names != NULL && axis->old_ids != NULL && axis->new_ids != NULL &&
           axis->class_of != NULL && axis->old_rep != NULL && axis->new_rep != NULL &&
           axis->weight != NULL;
}

/* The old policy's names in their order, then the new ones. */
static bool axis_names(struct dom_diff_axis *axis, const struct dom_names *old_names,
                       const struct dom_names *new_names, struct dom_arena *arena)
{
    if (!axis_alloc(axis, old_names->num + new_names->num, arena)) {
        return false;
    }
    for (size_t i = 0; i < old_names->num; i++) {
        size_t at = axis->num_names++;
        axis->names[at] = dom_arena_dup(arena, dom_slice_str(old_names->names[i]));
        axis->old_ids[at] = (dom_policy_id)i;
        axis->new_ids[at] = dom_names_find(new_names, dom_slice_str(old_names->names[i]));
    }
    for (size_t i = 0; i < new_names->num; i++) {
        if (dom_names_find(old_names, dom_slice_str(new_names->names[i])) == DOM_POLICY_NONE) {
            size_t at = axis->num_names++;
            axis->names[at] = dom_arena_dup(arena, dom_slice_str(new_names->names[i]));
            axis->old_ids[at] = DOM_POLICY_NONE;
            axis->new_ids[at] = (dom_policy_id)i;
        }
    }
    return !arena->exhausted;
}

/* Fills the words that say how the policy treats the value. Two values with equal words in both
 * policies are one class. */
typedef void (*describe_fn)(const struct dom_policy *policy, dom_policy_id id, uint64_t *words);

#define DESCRIBE_WORDS (2 + DOM_DIFF_SERVICE_WORDS)

static bool axis_classify(struct dom_diff_axis *axis, const struct dom_differ *differ,
                          describe_fn describe)
{
    struct dom_interner classes;
    uint64_t key[2 * DESCRIBE_WORDS];
    bool ok = true;

    dom_interner_init(&classes, sizeof(key), (size_t)64 << 20);
    for (size_t i = 0; ok && i < axis->num_names; i++) {
        memset(key, 0, sizeof(key));
        key[0] = UINT64_MAX;
        key[DESCRIBE_WORDS] = UINT64_MAX;
        if (axis->old_ids[i] != DOM_POLICY_NONE) {
            describe(differ->before, axis->old_ids[i], key);
        }
        if (axis->new_ids[i] != DOM_POLICY_NONE) {
            describe(differ->after, axis->new_ids[i], key + DESCRIBE_WORDS);
        }
        uint32_t id = dom_interner_add(&classes, key);
        ok = id != UINT32_MAX;
        if (ok && id == axis->num) {
            axis->old_rep[id] = axis->old_ids[i];
            axis->new_rep[id] = axis->new_ids[i];
            axis->num++;
        }
        if (ok) {
            axis->class_of[i] = (uint16_t)id;
            axis->weight[id]++;
        }
    }
    dom_interner_cleanup(&classes);
    return ok;
}

static void describe_home(const struct dom_policy *policy, dom_policy_id id, uint64_t *words)
{
    words[0] = policy->tables.home_class[id];
}

static void describe_to(const struct dom_policy *policy, dom_policy_id id, uint64_t *words)
{
    words[0] = policy->tables.to_class[id];
}

static void describe_place_home(const struct dom_policy *policy, dom_policy_id id, uint64_t *words)
{
    words[0] = policy->tables.place_class[id];
}

/* Kinds differ in their fields: each is its own class. */
static void describe_kind(const struct dom_policy *policy, dom_policy_id id, uint64_t *words)
{
    (void)policy;
    words[0] = (uint64_t)id;
}

static void describe_service(const struct dom_policy *policy, dom_policy_id id, uint64_t *words)
{
    const struct dom_service *service = &policy->model.service_info[id];

    words[0] = policy->tables.service_class[id];
    words[1] = service->kinds;
    words[2] = service->ops;
    memcpy(words + 3, service->purposes.bits, sizeof(service->purposes.bits));
}

static void describe_purpose(const struct dom_policy *policy, dom_policy_id id, uint64_t *words)
{
    words[0] = policy->tables.purpose_class[id];
    for (size_t s = 0; s < policy->model.services.num; s++) {
        if (dom_bits_has(policy->model.service_info[s].purposes.bits, (size_t)id)) {
            dom_bits_set(words + 1, s);
        }
    }
}

static bool make_axes(struct dom_differ *differ)
{
    const struct dom_model *old_model = &differ->before->model;
    const struct dom_model *new_model = &differ->after->model;
    struct {
        struct dom_diff_axis *axis;
        const struct dom_names *old_names;
        const struct dom_names *new_names;
        describe_fn describe;
    } all[] = {
        {&differ->homes, &old_model->countries, &new_model->countries, describe_home},
        {&differ->tos, &old_model->countries, &new_model->countries, describe_to},
        {&differ->place_homes, &old_model->countries, &new_model->countries, describe_place_home},
        {&differ->kinds, &old_model->kinds, &new_model->kinds, describe_kind},
        {&differ->services, &old_model->services, &new_model->services, describe_service},
        {&differ->purposes, &old_model->purposes, &new_model->purposes, describe_purpose},
    };

    for (size_t i = 0; i < DOM_ARRAY_LEN(all); i++) {
        if (!axis_names(all[i].axis, all[i].old_names, all[i].new_names, differ->arena) ||
            !axis_classify(all[i].axis, differ, all[i].describe)) {
            return false;
        }
    }
    return true;
}

/* ---- items ---- */

static void add_item(struct dom_differ *differ, dom_policy_id old_class, dom_policy_id new_class,
                     int kind, const char *label)
{
    if (differ->num_items == DOM_DIFF_ITEMS_MAX) {
        differ->too_large = true;
        return;
    }
    struct dom_diff_item *item = &differ->items[differ->num_items++];
    item->old_class = old_class;
    item->new_class = new_class;
    item->kind = kind;
    item->label = label == NULL ? "" : label;
    differ->failed = differ->failed || label == NULL;
}

static void add_class_items(struct dom_differ *differ)
{
    const struct dom_names *old_names = &differ->before->model.classes;
    const struct dom_names *new_names = &differ->after->model.classes;

    for (size_t i = 0; i < old_names->num; i++) {
        dom_policy_id now = dom_names_find(new_names, dom_slice_str(old_names->names[i]));
        differ->old_class_item[i] = (uint16_t)differ->num_items;
        if (now != DOM_POLICY_NONE) {
            differ->new_class_item[now] = (uint16_t)differ->num_items;
        }
        add_item(differ, (dom_policy_id)i, now, -1,
                 dom_arena_dup(differ->arena, dom_slice_str(old_names->names[i])));
    }
    for (size_t i = 0; i < new_names->num; i++) {
        if (dom_names_find(old_names, dom_slice_str(new_names->names[i])) == DOM_POLICY_NONE) {
            differ->new_class_item[i] = (uint16_t)differ->num_items;
            add_item(differ, DOM_POLICY_NONE, (dom_policy_id)i, -1,
                     dom_arena_dup(differ->arena, dom_slice_str(new_names->names[i])));
        }
    }
    differ->num_classes = differ->num_items;
}

/* A field whose class is another now is asked about as what it was and what it is. */
static void add_field_item(struct dom_differ *differ, size_t kind, const char *field,
                           struct dom_slice name)
{
    dom_policy_id was = DOM_POLICY_NONE;
    dom_policy_id is = DOM_POLICY_NONE;
    const struct dom_diff_axis *kinds = &differ->kinds;
    enum dom_policy_field_verdict before =
        dom_policy_field_class(differ->before, kinds->old_rep[kind], name, &was);
    enum dom_policy_field_verdict after =
        dom_policy_field_class(differ->after, kinds->new_rep[kind], name, &is);
    const char *old_name = dom_policy_class_name(differ->before, was);
    const char *new_name = dom_policy_class_name(differ->after, is);

    if (before == DOM_FIELD_REFUSED || after == DOM_FIELD_REFUSED ||
        strcmp(old_name, new_name) == 0) {
        return;
    }
    differ->kind_has_items[kind] = true;
    add_item(differ, was, is, (int)kind,
             dom_arena_printf(differ->arena, "%s.%s (%s, now %s)", kinds->names[kind], field,
                              old_name, new_name));
}

static void add_field_items(struct dom_differ *differ, size_t kind)
{
    const struct dom_kind *was = &differ->before->model.kind_info[differ->kinds.old_rep[kind]];
    const struct dom_kind *is = &differ->after->model.kind_info[differ->kinds.new_rep[kind]];

    for (size_t i = 0; i < was->fields.num; i++) {
        add_field_item(differ, kind, was->fields.names[i], dom_slice_str(was->fields.names[i]));
    }
    for (size_t i = 0; i < is->fields.num; i++) {
        struct dom_slice name = dom_slice_str(is->fields.names[i]);
        if (dom_names_find(&was->fields, name) == DOM_POLICY_NONE) {
            add_field_item(differ, kind, is->fields.names[i], name);
        }
    }
    /* No field can bear the empty name: it stands for all that are not declared. */
    add_field_item(differ, kind, "undeclared fields", dom_slice_of("", 0));
}

/* ---- time ---- */

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void add_starts(struct dom_diff_stretches *stretches, const int64_t *starts, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        DOM_ASSERT(stretches->num < DOM_DIFF_STARTS_MAX);
        stretches->starts[stretches->num++] = starts[i];
    }
}

static void sort_starts(struct dom_diff_stretches *stretches)
{
    size_t kept = 0;

    qsort(stretches->starts, stretches->num, sizeof(stretches->starts[0]), compare_times);
    for (size_t i = 0; i < stretches->num; i++) {
        if (kept == 0 || stretches->starts[kept - 1] != stretches->starts[i]) {
            stretches->starts[kept++] = stretches->starts[i];
        }
    }
    stretches->num = kept;
}

static void make_stretches(struct dom_differ *differ)
{
    const struct dom_policy *both[] = {differ->before, differ->after};

    for (size_t i = 0; i < DOM_ARRAY_LEN(both); i++) {
        const struct dom_tables *tables = &both[i]->tables;
        add_starts(&differ->stretches, tables->slots.starts, tables->slots.num);
        add_starts(&differ->stretches, &both[i]->model.expires_ms, 1);
        add_starts(&differ->place_stretches, tables->place_slots.starts, tables->place_slots.num);
    }
    sort_starts(&differ->stretches);
    sort_starts(&differ->place_stretches);
}

/* ---- all of it ---- */

static bool run(struct dom_differ *differ, struct dom_diff *diff)
{
    if (!make_axes(differ)) {
        return false;
    }
    add_class_items(differ);
    for (size_t k = 0; k < differ->kinds.num; k++) {
        if (differ->kinds.old_rep[k] != DOM_POLICY_NONE &&
            differ->kinds.new_rep[k] != DOM_POLICY_NONE) {
            add_field_items(differ, k);
        }
    }
    make_stretches(differ);
    void (*const facets[])(struct dom_differ *) = {dom_diff_crossing, dom_diff_home,
                                                   dom_diff_places, dom_diff_settings};
    for (size_t i = 0; i < DOM_ARRAY_LEN(facets); i++) {
        if (differ->failed || differ->too_large) {
            return false;
        }
        facets[i](differ);
    }
    return !differ->failed && !differ->too_large && dom_diff_finish(differ, diff);
}

enum dom_code dom_diff_make(struct dom_diff *diff, const struct dom_policy *before,
                            const struct dom_policy *after, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    memset(diff, 0, sizeof(*diff));
    dom_arena_init(&diff->arena, NULL, 0, DOM_TREE_BYTES_MAX);
    struct dom_differ *differ = calloc(1, sizeof(*differ));
    if (differ == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    differ->before = before;
    differ->after = after;
    differ->arena = &diff->arena;
    dom_interner_init(&differ->groups, sizeof(struct dom_diff_key), GROUP_BYTES_MAX);
    if (!run(differ, diff)) {
        rc = differ->too_large
                 ? DOM_FAIL(err, DOM_TOO_LARGE, "the two differ in more than %u ways",
                            DOM_DIFF_GROUPS_MAX)
                 : DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    dom_interner_cleanup(&differ->groups);
    free(differ->states);
    free(differ->texts);
    free(differ);
    return rc;
}

void dom_diff_cleanup(struct dom_diff *diff)
{
    dom_arena_cleanup(&diff->arena);
    memset(diff, 0, sizeof(*diff));
}
