/* Where data may lie: from placement entries to one answer per (kind, home, stretch of time). */
#include <stdlib.h>
#include <string.h>

#include "policy/tables.h"

/* The entries and the storing forbids that concern one (kind, home): picked once, so that the
 * classes do not each go through the whole policy. */
struct concern {
    uint16_t entries[DOM_PLACEMENTS_MAX];
    uint16_t forbids[DOM_RULES_MAX];
    size_t num_entries;
    size_t num_forbids;
};

static void pick_concern(struct concern *concern, const struct dom_model *model,
                         dom_policy_id kind, dom_policy_id home)
{
    concern->num_entries = 0;
    concern->num_forbids = 0;
    for (size_t i = 0; i < model->num_placements; i++) {
        const struct dom_placement_rule *entry = &model->placements[i];
        if (dom_set_has(entry->kinds, kind) && dom_countries_has(&entry->home, home)) {
            concern->entries[concern->num_entries++] = (uint16_t)i;
        }
    }
    for (size_t i = 0; i < model->num_rules; i++) {
        const struct dom_rule *rule = &model->rules[i];
        bool stores = rule->ops_star || (rule->ops & (1U << DOM_OP_STORE)) != 0;
        if (!rule->permit && stores && dom_set_has(rule->kinds, kind) &&
            dom_countries_has(&rule->home, home)) {
            concern->forbids[concern->num_forbids++] = (uint16_t)i;
        }
    }
}

/* Regions where a forbid keeps this class from lying. */
static dom_policy_set forbidden_regions(const struct dom_model *model,
                                        const struct concern *concern, dom_policy_id home,
                                        dom_policy_set class_bit)
{
    dom_policy_set set = 0;

    for (size_t i = 0; i < concern->num_forbids; i++) {
        const struct dom_rule *rule = &model->rules[concern->forbids[i]];
        for (size_t r = 0; (rule->classes & class_bit) != 0 && r < model->regions.num; r++) {
            if (dom_rule_forbids_store(model, rule, home, model->region_country[r])) {
                set |= UINT64_C(1) << r;
            }
        }
    }
    return set;
}

/* An entry without a basis in force still covers the home's own jurisdiction: nothing is
 * transferred there, and a lapsed date must not leave home data without a home. */
static dom_policy_set entry_regions(const struct dom_model *model,
                                    const struct dom_placement_rule *entry, dom_policy_id home,
                                    int64_t time_ms, bool ignore_dates)
{
    bool in_force = entry->basis != DOM_POLICY_NONE &&
                    (ignore_dates || dom_model_basis_in_force(model, entry->basis, time_ms));

    if (in_force) {
        return entry->regions;
    }
    return entry->regions & dom_model_regions_of(model, model->country_jurisdiction[home]);
}

/* One class: its regions, copies and deciding entry. Returns where its first write may go. */
static dom_policy_set place_class(struct dom_policy_placement *out, const struct dom_model *model,
                                  const struct concern *concern, dom_policy_id home, size_t c,
                                  int64_t time_ms, bool ignore_dates)
{
    dom_policy_set bit = UINT64_C(1) << c;
    dom_policy_set forbidden = forbidden_regions(model, concern, home, bit);
    dom_policy_set first_write = UINT64_MAX;

    for (size_t e = 0; e < concern->num_entries; e++) {
        dom_policy_id i = (dom_policy_id)concern->entries[e];
        const struct dom_placement_rule *entry = &model->placements[i];
        if ((entry->classes & bit) == 0) {
            continue;
        }
        dom_policy_set regions =
            entry_regions(model, entry, home, time_ms, ignore_dates) & ~forbidden;
        out->regions[c] |= regions;
        if (regions != 0 && out->rule[c] == DOM_POLICY_NONE) {
            out->rule[c] = i;
        }
        if (entry->min_replicas > out->min_replicas[c]) {
            out->min_replicas[c] = entry->min_replicas;
        }
        if (entry->first_write != 0) {
            first_write &= entry->first_write;
        }
    }
    out->storable |= out->regions[c] != 0 ? bit : 0;
    return first_write;
}

/* The home country's regions first, then the entries' lead lists in text order, then the order
 * of the regions section. */
static dom_policy_id choose_lead(const struct dom_model *model, const struct concern *concern,
                                 dom_policy_set classes, dom_policy_id home,
                                 dom_policy_set candidates)
{
    dom_policy_set at_home = 0;

    for (size_t r = 0; r < model->regions.num; r++) {
        at_home |= model->region_country[r] == home ? UINT64_C(1) << r : 0;
    }
    if ((candidates & at_home) != 0) {
        candidates &= at_home;
    }
    if (candidates == 0) {
        return DOM_POLICY_NONE;
    }
    for (size_t e = 0; e < concern->num_entries; e++) {
        const struct dom_placement_rule *entry = &model->placements[concern->entries[e]];
        if ((entry->classes & classes) == 0) {
            continue;
        }
        for (size_t l = 0; l < entry->num_lead; l++) {
            if (dom_set_has(candidates, entry->lead[l])) {
                return entry->lead[l];
            }
        }
    }
    return (dom_policy_id)__builtin_ctzll(candidates);
}

/* One more region to wait for, out of `from`: near the lead first (its country's jurisdiction),
 * then by the order of the section. 0 when there is none. */
static dom_policy_set pick(const struct dom_model *model, dom_policy_set from, dom_policy_id home)
{
    dom_policy_set near =
        from & dom_model_regions_of(model, model->country_jurisdiction[home]);
    dom_policy_set pool = near != 0 ? near : from;

    return pool & (0 - pool);
}

static void choose_sync(struct dom_policy_placement *out, const struct dom_model *model,
                        const struct concern *concern, dom_policy_set classes,
                        dom_policy_id home)
{
    dom_policy_set lead = dom_set_of(out->lead);

    for (dom_policy_set left = classes & out->storable; left != 0; left &= left - 1) {
        size_t c = (size_t)__builtin_ctzll(left);
        for (size_t e = 0; e < concern->num_entries; e++) {
            const struct dom_placement_rule *entry = &model->placements[concern->entries[e]];
            bool matches = dom_set_has(entry->classes, (dom_policy_id)c);
            for (size_t m = 0; matches && m < entry->num_must_include; m++) {
                dom_policy_set there = entry->must_include[m] & out->regions[c];
                if ((there & (out->sync | lead)) == 0) {
                    out->sync |= pick(model, there, home);
                }
            }
        }
        for (;;) {
            dom_policy_set held = (out->sync | lead) & out->regions[c];
            dom_policy_set more = out->regions[c] & ~held;
            if (__builtin_popcountll(held) >= out->min_replicas[c] || more == 0) {
                break;
            }
            out->sync |= pick(model, more, home);
        }
    }
    out->sync &= ~lead;
}

void dom_place_compute(struct dom_policy_placement *out, const struct dom_model *model,
                       dom_policy_id kind, dom_policy_id home, int64_t time_ms, bool ignore_dates)
{
    const struct dom_kind *info = &model->kind_info[kind];
    dom_policy_set candidates = UINT64_MAX;
    struct concern concern;

    pick_concern(&concern, model, kind, home);
    memset(out, 0, sizeof(*out));
    out->lead = DOM_POLICY_NONE;
    for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
        out->rule[c] = DOM_POLICY_NONE;
        out->min_replicas[c] = 1;
    }
    for (size_t c = 0; c < model->classes.num; c++) {
        dom_policy_set first_write =
            place_class(out, model, &concern, home, c, time_ms, ignore_dates);
        if (out->regions[c] != 0 && dom_set_has(info->classes, (dom_policy_id)c)) {
            candidates &= out->regions[c] & first_write;
            out->all |= out->regions[c];
        }
    }
    if ((info->classes & out->storable) != 0) {
        out->lead = choose_lead(model, &concern, info->classes, home, candidates);
    }
    if (out->lead != DOM_POLICY_NONE) {
        choose_sync(out, model, &concern, info->classes, home);
    }
}

static void set_bit(uint64_t *bits, size_t i, bool on)
{
    if (on) {
        bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

/* Countries that no entry, no storing forbid, no jurisdiction and no region tells apart share
 * one row. The representative of a class is its first country. */
static uint32_t classify_homes(struct dom_tables *tables, const struct dom_model *model,
                               dom_policy_id *first)
{
    size_t words = (model->num_placements + 63) / 64 + (model->num_rules + 63) / 64 + 2;
    size_t rules_at = (model->num_placements + 63) / 64 * 64;
    struct dom_interner classes;
    uint64_t *key = calloc(words, sizeof(*key));
    uint32_t num = UINT32_MAX;

    dom_interner_init(&classes, words * 8, DOM_POLICY_TABLE_BYTES_MAX);
    for (size_t country = 0; key != NULL && country < model->countries.num; country++) {
        dom_policy_id home = (dom_policy_id)country;
        memset(key, 0, words * sizeof(*key));
        for (size_t i = 0; i < model->num_placements; i++) {
            set_bit(key, i, dom_countries_has(&model->placements[i].home, home));
        }
        for (size_t i = 0; i < model->num_rules; i++) {
            set_bit(key, rules_at + i,
                    !model->rules[i].permit && dom_countries_has(&model->rules[i].home, home));
        }
        key[words - 2] = (uint64_t)model->country_jurisdiction[country];
        for (size_t r = 0; r < model->regions.num; r++) {
            key[words - 1] = model->region_country[r] == home ? country + 1 : key[words - 1];
        }
        uint32_t id = dom_interner_add(&classes, key);
        if (id == UINT32_MAX) {
            num = UINT32_MAX; /* the rest would lie where the first country's data lies */
            break;
        }
        if (id + 1 == classes.num && (num == UINT32_MAX || id + 1 > num)) {
            first[id] = home;
        }
        num = classes.num;
        tables->place_class[country] = (uint16_t)id;
    }
    free(key);
    dom_interner_cleanup(&classes);
    return num;
}

/* True when no entry of (kind, home) changes between being in force and not from one time to the
 * other: then the answer is the same. */
static bool same_in_force(const struct dom_model *model, const struct concern *concern,
                          int64_t before_ms, int64_t after_ms)
{
    for (size_t e = 0; e < concern->num_entries; e++) {
        dom_policy_id basis = model->placements[concern->entries[e]].basis;
        if (dom_model_basis_in_force(model, basis, before_ms) !=
            dom_model_basis_in_force(model, basis, after_ms)) {
            return false;
        }
    }
    return true;
}

static bool build_row(struct dom_tables *tables, const struct dom_model *model, dom_policy_id kind,
                      dom_policy_id home, uint32_t *index, struct dom_interner *places)
{
    struct dom_policy_placement place;
    struct concern concern;

    pick_concern(&concern, model, kind, home);
    for (size_t slot = 0; slot <= tables->place_slots.num; slot++) {
        int64_t time_ms = dom_slots_time(&tables->place_slots, slot);
        if (slot > 0 && same_in_force(model, &concern,
                                      dom_slots_time(&tables->place_slots, slot - 1), time_ms)) {
            index[slot] = index[slot - 1];
            continue;
        }
        dom_place_compute(&place, model, kind, home, time_ms, false);
        index[slot] = dom_interner_add(places, &place);
        if (index[slot] == UINT32_MAX) {
            return false;
        }
    }
    return true;
}

static bool build_rows(struct dom_tables *tables, const struct dom_model *model, uint32_t rows,
                       const dom_policy_id *first, struct dom_interner *places)
{
    uint32_t *index = tables->place_index;

    for (uint32_t row = 0; row < rows; row++) {
        for (size_t kind = 0; kind < model->kinds.num; kind++) {
            if (!build_row(tables, model, (dom_policy_id)kind, first[row], index, places)) {
                return false;
            }
            index += tables->place_slots.num + 1;
        }
    }
    return true;
}

enum dom_code dom_tables_build_places(struct dom_tables *tables, const struct dom_model *model,
                                      struct dom_error *err)
{
    dom_policy_id first[DOM_COUNTRIES_MAX] = {0};
    struct dom_interner places;
    enum dom_code rc = DOM_OK;
    bool used[DOM_BASES_MAX + DOM_BASES_BUILT_IN] = {false};

    dom_interner_init(&places, sizeof(struct dom_policy_placement), DOM_POLICY_TABLE_BYTES_MAX);
    for (size_t i = 0; i < model->num_placements; i++) {
        if (model->placements[i].basis != DOM_POLICY_NONE) {
            used[model->placements[i].basis] = true;
        }
    }
    uint32_t rows = classify_homes(tables, model, first);
    if (rows == UINT32_MAX || !dom_slots_build(&tables->place_slots, model, used)) {
        rc = DOM_FAIL(err, DOM_RESOURCE, "out of memory");
        goto out;
    }
    size_t entries = (size_t)rows * model->kinds.num * (tables->place_slots.num + 1);
    tables->place_index = calloc(entries + 1, sizeof(tables->place_index[0]));
    if (tables->place_index == NULL) {
        rc = DOM_FAIL(err, DOM_RESOURCE, "out of memory");
        goto out;
    }
    if (!build_rows(tables, model, rows, first, &places) ||
        entries * sizeof(uint32_t) + (size_t)places.num * sizeof(struct dom_policy_placement) >
            DOM_POLICY_TABLE_BYTES_MAX - tables->bytes) {
        rc = DOM_FAIL(err, DOM_TOO_LARGE, "the placement needs tables of more than %u MiB",
                      DOM_POLICY_TABLE_BYTES_MAX >> 20);
        goto out;
    }
    tables->bytes += entries * sizeof(uint32_t) +
                     (size_t)places.num * sizeof(struct dom_policy_placement);
    tables->num_placements = places.num;
    tables->placements = (struct dom_policy_placement *)(void *)places.keys;
    places.keys = NULL;
out:
    dom_interner_cleanup(&places);
    return rc;
}
