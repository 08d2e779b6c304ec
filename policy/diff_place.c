/* Where data lies, and what stands beside the rules: borders, regions, fields. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/diff_internal.h"

/* Regions of both policies by name: the old ones in their order, then the new ones. */
struct joined {
    uint8_t old_at[DOM_REGIONS_MAX];
    uint8_t new_at[DOM_REGIONS_MAX];
};

struct joined_set {
    uint64_t bits[2];
};

static void join_regions(const struct dom_differ *differ, struct joined *joined)
{
    const struct dom_names *old_names = &differ->before->model.regions;
    const struct dom_names *new_names = &differ->after->model.regions;
    size_t next = old_names->num;

    memset(joined, 0, sizeof(*joined));
    for (size_t r = 0; r < old_names->num; r++) {
        joined->old_at[r] = (uint8_t)r;
    }
    for (size_t r = 0; r < new_names->num; r++) {
        dom_policy_id old_id = dom_names_find(old_names, dom_slice_str(new_names->names[r]));
        joined->new_at[r] = (uint8_t)(old_id != DOM_POLICY_NONE ? (size_t)old_id : next++);
    }
}

static struct joined_set join(const uint8_t *at, dom_policy_set regions)
{
    struct joined_set set = {{0, 0}};

    for (; regions != 0; regions &= regions - 1) {
        dom_bits_set(set.bits, at[__builtin_ctzll(regions)]);
    }
    return set;
}

static bool has_more(const struct joined_set *set, const struct joined_set *than)
{
    return (set->bits[0] & ~than->bits[0]) != 0 || (set->bits[1] & ~than->bits[1]) != 0;
}

struct places {
    struct dom_differ *differ;
    struct joined joined;
    const struct dom_policy_placement *was; /* NULL: the home is unknown */
    const struct dom_policy_placement *is;
    struct dom_diff_hit hit;
};

static void clear_key(struct dom_diff_key *key, enum dom_diff_facet facet)
{
    memset(key, 0, sizeof(*key));
    key->facet = (uint8_t)facet;
    key->old_rule = DOM_POLICY_NONE;
    key->new_rule = DOM_POLICY_NONE;
    key->old_key = DOM_POLICY_NONE;
    key->new_key = DOM_POLICY_NONE;
}

static void hit_group(struct places *places, const struct dom_diff_key *key, int item)
{
    struct dom_diff_found found;

    memset(&found, 0, sizeof(found));
    found.group = dom_diff_group_of(places->differ, key);
    if (item >= 0) {
        found.items[0] = (uint16_t)item;
        found.num_items = 1;
    }
    if (found.group != UINT32_MAX) {
        dom_diff_hit(places->differ, &found, &places->hit);
    }
}

static void compare_item(struct places *places, size_t i)
{
    const struct dom_diff_item *item = &places->differ->items[i];
    struct dom_diff_key key;

    clear_key(&key, DOM_FACET_PLACE);
    if (places->was != NULL && item->old_class != DOM_POLICY_NONE) {
        key.old_set = places->was->regions[item->old_class];
        key.old_num = places->was->min_replicas[item->old_class];
        key.old_rule = places->was->rule[item->old_class];
    }
    if (places->is != NULL && item->new_class != DOM_POLICY_NONE) {
        key.new_set = places->is->regions[item->new_class];
        key.new_num = places->is->min_replicas[item->new_class];
        key.new_rule = places->is->rule[item->new_class];
    }
    struct joined_set before = join(places->joined.old_at, key.old_set);
    struct joined_set after = join(places->joined.new_at, key.new_set);
    bool wider = has_more(&after, &before);
    bool narrower = has_more(&before, &after);
    bool copies = key.old_num != key.new_num && key.old_set != 0 && key.new_set != 0;
    if (!wider && !narrower && !copies) {
        return;
    }
    if (!copies) {
        key.old_num = 0;
        key.new_num = 0;
    }
    key.looser = wider;
    key.tighter = narrower;
    key.kind = wider && !narrower   ? DOM_DIFF_PLACE_WIDER
               : narrower && !wider ? DOM_DIFF_PLACE_NARROWER
                                    : DOM_DIFF_PLACE_OTHER;
    hit_group(places, &key, (int)i);
}

/* The home region and the copies that a write waits for. */
static void compare_lead(struct places *places)
{
    const struct dom_differ *differ = places->differ;
    struct dom_diff_key key;

    clear_key(&key, DOM_FACET_PLACE);
    key.kind = DOM_DIFF_PLACE_OTHER;
    key.together = 1;
    key.old_key = places->was == NULL ? DOM_POLICY_NONE : places->was->lead;
    key.new_key = places->is == NULL ? DOM_POLICY_NONE : places->is->lead;
    key.old_set = places->was == NULL ? 0 : places->was->sync;
    key.new_set = places->is == NULL ? 0 : places->is->sync;
    struct joined_set before = join(places->joined.old_at, key.old_set);
    struct joined_set after = join(places->joined.new_at, key.new_set);
    if (strcmp(dom_policy_region_name(differ->before, key.old_key),
               dom_policy_region_name(differ->after, key.new_key)) != 0 ||
        has_more(&before, &after) || has_more(&after, &before)) {
        hit_group(places, &key, -1);
    }
}

static void compare_run(struct places *places, size_t home, size_t kind, const uint64_t *times,
                        int64_t time_ms)
{
    struct dom_differ *differ = places->differ;
    uint64_t homes[DOM_DIFF_PLACE_WORDS] = {0};
    uint64_t num_times = 0;

    if (places->was == NULL && places->is == NULL) {
        return;
    }
    for (size_t w = 0; w < DOM_DIFF_TIME_WORDS; w++) {
        num_times += (uint64_t)__builtin_popcountll(times[w]);
    }
    dom_bits_set(homes, home);
    memset(&places->hit, 0, sizeof(places->hit));
    places->hit.homes = homes;
    places->hit.times = times;
    places->hit.weight = differ->place_homes.weight[home] * num_times;
    places->hit.home = home;
    places->hit.kind = kind;
    places->hit.time_ms = time_ms;
    places->hit.no_service = true;
    for (size_t i = 0; i < differ->num_items; i++) {
        if (differ->items[i].kind < 0 || differ->items[i].kind == (int)kind) {
            compare_item(places, i);
        }
    }
    compare_lead(places);
    places->hit.homes = NULL;
    places->hit.times = NULL;
}

/* Stretches in a row with the same two answers are looked into once. */
static void compare_places(struct places *places, size_t home, size_t kind)
{
    struct dom_differ *differ = places->differ;
    const struct dom_diff_stretches *stretches = &differ->place_stretches;
    uint64_t times[DOM_DIFF_TIME_WORDS] = {0};
    int64_t since = dom_stretch_time(stretches, 0);

    for (size_t s = 0; s <= stretches->num; s++) {
        int64_t time_ms = dom_stretch_time(stretches, s);
        const struct dom_policy_placement *was =
            dom_policy_place(differ->before, differ->kinds.old_rep[kind],
                             differ->place_homes.old_rep[home], time_ms);
        const struct dom_policy_placement *is =
            dom_policy_place(differ->after, differ->kinds.new_rep[kind],
                             differ->place_homes.new_rep[home], time_ms);
        if (s > 0 && (was != places->was || is != places->is)) {
            compare_run(places, home, kind, times, since);
            memset(times, 0, sizeof(times));
            since = time_ms;
        }
        places->was = was;
        places->is = is;
        dom_bits_set(times, s);
    }
    compare_run(places, home, kind, times, since);
}

void dom_diff_places(struct dom_differ *differ)
{
    struct places places = {.differ = differ};

    join_regions(differ, &places.joined);
    for (size_t h = 0; h < differ->place_homes.num; h++) {
        for (size_t k = 0; k < differ->kinds.num && !differ->failed && !differ->too_large; k++) {
            compare_places(&places, h, k);
        }
    }
}

/* ---- settings ---- */

static void add_setting(struct dom_differ *differ, bool looser, bool tighter, const char *fmt, ...)
    DOM_PRINTF(4, 5);

static void add_setting(struct dom_differ *differ, bool looser, bool tighter, const char *fmt, ...)
{
    struct dom_diff_key key;
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (differ->num_texts == differ->texts_capacity) {
        size_t capacity = differ->texts_capacity == 0 ? 16 : differ->texts_capacity * 2;
        const char **texts = realloc((void *)differ->texts, capacity * sizeof(*texts));
        if (texts == NULL) {
            differ->failed = true;
            return;
        }
        differ->texts = texts;
        differ->texts_capacity = capacity;
    }
    differ->texts[differ->num_texts++] = dom_arena_dup(differ->arena, dom_slice_str(text));
    clear_key(&key, DOM_FACET_SETTING);
    key.kind = DOM_DIFF_SETTING;
    key.looser = looser;
    key.tighter = tighter;
    key.text = (uint32_t)differ->num_texts;
    uint32_t group = dom_diff_group_of(differ, &key);
    if (group != UINT32_MAX) {
        differ->states[group].cells = 1;
    }
}

static bool same_jurisdiction(const struct dom_policy *policy, dom_policy_id a, dom_policy_id b)
{
    return policy->model.country_jurisdiction[a] == policy->model.country_jurisdiction[b];
}

static const char *jurisdiction_name(const struct dom_policy *policy, dom_policy_id country)
{
    return dom_policy_jurisdiction_name(policy, policy->model.country_jurisdiction[country]);
}

/* Countries between which there is a border in one policy only, told once per four
 * jurisdictions. */
static void compare_borders(struct dom_differ *differ)
{
    const struct dom_diff_axis *axis = &differ->homes;
    struct dom_interner seen;

    dom_interner_init(&seen, 8, (size_t)16 << 20);
    for (size_t a = 0; a < axis->num_names; a++) {
        for (size_t b = 0; b < a; b++) {
            dom_policy_id old_a = axis->old_ids[a];
            dom_policy_id old_b = axis->old_ids[b];
            dom_policy_id new_a = axis->new_ids[a];
            dom_policy_id new_b = axis->new_ids[b];
            if (old_a == DOM_POLICY_NONE || old_b == DOM_POLICY_NONE ||
                new_a == DOM_POLICY_NONE || new_b == DOM_POLICY_NONE) {
                continue;
            }
            bool was = !same_jurisdiction(differ->before, old_a, old_b);
            bool is = !same_jurisdiction(differ->after, new_a, new_b);
            uint16_t key[4] = {(uint16_t)differ->before->model.country_jurisdiction[old_a],
                               (uint16_t)differ->after->model.country_jurisdiction[new_a],
                               (uint16_t)differ->before->model.country_jurisdiction[old_b],
                               (uint16_t)differ->after->model.country_jurisdiction[new_b]};
            uint32_t known = seen.num;
            if (was == is || dom_interner_add(&seen, key) != known) {
                continue;
            }
            add_setting(differ, was, is,
                        "%s a border between %s (%s, was in %s) and %s (%s, was in %s)",
                        is ? "there is now" : "there is no longer", axis->names[b],
                        jurisdiction_name(differ->after, new_b),
                        jurisdiction_name(differ->before, old_b), axis->names[a],
                        jurisdiction_name(differ->after, new_a),
                        jurisdiction_name(differ->before, old_a));
        }
    }
    dom_interner_cleanup(&seen);
}

static void compare_regions(struct dom_differ *differ)
{
    const struct dom_names *names = &differ->before->model.regions;

    for (size_t r = 0; r < names->num; r++) {
        dom_policy_id now = dom_policy_find_region(differ->after, dom_slice_str(names->names[r]));
        if (now == DOM_POLICY_NONE) {
            continue;
        }
        const char *was = dom_policy_country_name(differ->before,
                                                  differ->before->model.region_country[r]);
        const char *is =
            dom_policy_country_name(differ->after, differ->after->model.region_country[now]);
        if (strcmp(was, is) != 0) {
            add_setting(differ, true, true, "region %s lies in %s now, not in %s",
                        names->names[r], is, was);
        }
    }
}

/* A field that only one of the two takes. Its class is compared as an item where both take it. */
static void compare_field(struct dom_differ *differ, size_t kind, struct dom_slice field,
                          const char *label)
{
    dom_policy_id was_class = DOM_POLICY_NONE;
    dom_policy_id is_class = DOM_POLICY_NONE;
    bool was = dom_policy_field_class(differ->before, differ->kinds.old_rep[kind], field,
                                      &was_class) != DOM_FIELD_REFUSED;
    bool is = dom_policy_field_class(differ->after, differ->kinds.new_rep[kind], field,
                                     &is_class) != DOM_FIELD_REFUSED;

    if (was != is) {
        add_setting(differ, is, was, "kind %s %s %s (class %s)", differ->kinds.names[kind],
                    is ? "takes now" : "no longer takes", label,
                    is ? dom_policy_class_name(differ->after, is_class)
                       : dom_policy_class_name(differ->before, was_class));
    }
}

static void compare_kind(struct dom_differ *differ, size_t kind)
{
    const struct dom_kind *was = &differ->before->model.kind_info[differ->kinds.old_rep[kind]];
    const struct dom_kind *is = &differ->after->model.kind_info[differ->kinds.new_rep[kind]];

    for (size_t i = 0; i < was->fields.num; i++) {
        compare_field(differ, kind, dom_slice_str(was->fields.names[i]), was->fields.names[i]);
    }
    for (size_t i = 0; i < is->fields.num; i++) {
        struct dom_slice name = dom_slice_str(is->fields.names[i]);
        if (dom_names_find(&was->fields, name) == DOM_POLICY_NONE) {
            compare_field(differ, kind, name, is->fields.names[i]);
        }
    }
    compare_field(differ, kind, dom_slice_of("", 0), "fields that it does not declare");
    if (strcmp(was->subject, is->subject) != 0) {
        add_setting(differ, true, true, "the subject of kind %s is \"%s\" now, not \"%s\"",
                    differ->kinds.names[kind], is->subject, was->subject);
    }
}

void dom_diff_settings(struct dom_differ *differ)
{
    bool was = differ->before->model.hide_existence;
    bool is = differ->after->model.hide_existence;

    if (was != is) {
        add_setting(differ, was, is, "a denial %s tells whether the record exists",
                    is ? "no longer" : "now");
    }
    compare_borders(differ);
    compare_regions(differ);
    for (size_t k = 0; k < differ->kinds.num; k++) {
        if (differ->kinds.old_rep[k] != DOM_POLICY_NONE &&
            differ->kinds.new_rep[k] != DOM_POLICY_NONE) {
            compare_kind(differ, k);
        }
    }
}
