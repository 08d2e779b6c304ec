/* From rules to the chain of tables. See tables.h for the idea. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/tables.h"

/* Sets of rules that are held while one stage is built. */
#define STATE_BYTES_MAX ((size_t)256U << 20)

struct builder {
    struct dom_tables *tables;
    const struct dom_model *model;
    struct dom_arena *arena;
    size_t words;           /* 64-bit words of one set of rules */
    uint64_t *key;          /* words + 1, scratch */
    uint64_t *limiting;     /* words + 1, scratch */
    uint64_t *returns;      /* rules on the basis home_return */
    struct dom_interner states;
    struct dom_interner next;
    struct dom_interner homes; /* key: set of rules, then the jurisdiction */
    struct dom_interner goals;
    struct dom_interner values;
    bool too_large;
};

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

bool dom_slots_build(struct dom_slots *slots, const struct dom_model *model, const bool *used)
{
    size_t num = 0;

    slots->num = 0;
    slots->starts = calloc(model->bases.num * 2 + 1, sizeof(slots->starts[0]));
    if (slots->starts == NULL) {
        return false;
    }
    for (size_t i = 0; i < model->bases.num; i++) {
        const struct dom_basis *basis = &model->basis_info[i];
        if (!used[i] || basis->from_ms == INT64_MIN) {
            continue;
        }
        slots->starts[num++] = basis->from_ms;
        if (basis->until_ms != INT64_MAX) {
            slots->starts[num++] = basis->until_ms;
        }
    }
    qsort(slots->starts, num, sizeof(slots->starts[0]), compare_times);
    for (size_t i = 0; i < num; i++) {
        if (slots->num == 0 || slots->starts[slots->num - 1] != slots->starts[i]) {
            slots->starts[slots->num++] = slots->starts[i];
        }
    }
    return true;
}

int64_t dom_slots_time(const struct dom_slots *slots, size_t slot)
{
    return slot == 0 ? INT64_MIN : slots->starts[slot - 1];
}

static void set_bit(uint64_t *bits, size_t i, bool on)
{
    if (on) {
        bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

static void clear_key(struct builder *builder)
{
    memset(builder->key, 0, (builder->words + 1) * sizeof(builder->key[0]));
}

/* One table of the chain, counted against the bound. NULL sets too_large or is out of memory. */
static uint32_t *new_table(struct builder *builder, size_t rows, size_t width)
{
    size_t entries = 0;
    size_t bytes = 0;

    if (__builtin_mul_overflow(rows, width, &entries) ||
        __builtin_mul_overflow(entries, sizeof(uint32_t), &bytes) ||
        bytes > DOM_POLICY_TABLE_BYTES_MAX - builder->tables->bytes) {
        builder->too_large = true;
        return NULL;
    }
    builder->tables->bytes += bytes;
    return malloc(bytes == 0 ? 1 : bytes);
}

static bool build_countries(struct builder *builder)
{
    const struct dom_model *model = builder->model;

    for (size_t country = 0; country < model->countries.num; country++) {
        dom_policy_id id = (dom_policy_id)country;
        clear_key(builder);
        builder->key[builder->words] = (uint64_t)model->country_jurisdiction[country];
        for (size_t i = 0; i < model->num_rules; i++) {
            set_bit(builder->key, i, dom_countries_has(&model->rules[i].home, id));
        }
        uint32_t home = dom_interner_add(&builder->homes, builder->key);
        clear_key(builder);
        builder->key[builder->words] = (uint64_t)model->country_jurisdiction[country];
        for (size_t i = 0; i < model->num_rules; i++) {
            set_bit(builder->key, i, dom_countries_has(&model->rules[i].to, id));
        }
        uint32_t goal = dom_interner_add(&builder->goals, builder->key);
        if (home == UINT32_MAX || goal == UINT32_MAX) {
            return false;
        }
        builder->tables->home_class[country] = (uint16_t)home;
        builder->tables->to_class[country] = (uint16_t)goal;
    }
    return true;
}

/* "home_return" holds only inside one jurisdiction, whatever else the rule's places allow. */
static void intersect_pair(struct builder *builder, const uint64_t *home, const uint64_t *goal)
{
    bool same = home[builder->words] == goal[builder->words];

    clear_key(builder);
    for (size_t w = 0; w < builder->words; w++) {
        builder->key[w] = home[w] & goal[w] & ~(same ? 0 : builder->returns[w]);
    }
}

static bool build_pairs(struct builder *builder)
{
    struct dom_tables *tables = builder->tables;

    if (!build_countries(builder)) {
        return false;
    }
    tables->num_home = builder->homes.num;
    tables->num_to = builder->goals.num;
    tables->pairs = new_table(builder, tables->num_home, tables->num_to);
    if (tables->pairs == NULL) {
        return false;
    }
    for (uint32_t h = 0; h < tables->num_home; h++) {
        for (uint32_t t = 0; t < tables->num_to; t++) {
            intersect_pair(builder, dom_interner_key(&builder->homes, h),
                           dom_interner_key(&builder->goals, t));
            uint32_t state = dom_interner_add(&builder->states, builder->key);
            if (state == UINT32_MAX) {
                builder->too_large = true;
                return false;
            }
            tables->pairs[(size_t)h * tables->num_to + t] = state;
        }
    }
    return true;
}

static bool rule_has(const struct dom_rule *rule, enum dom_stage_name stage, size_t value)
{
    switch (stage) {
    case DOM_STAGE_KIND:
        return ((rule->kinds >> value) & 1U) != 0;
    case DOM_STAGE_OP:
        return ((rule->ops >> value) & 1U) != 0;
    case DOM_STAGE_SERVICE:
        return ((rule->services.bits[value / 64] >> (value % 64)) & 1U) != 0;
    case DOM_STAGE_PURPOSE:
        return ((rule->purposes.bits[value / 64] >> (value % 64)) & 1U) != 0;
    case DOM_STAGE_TIME:
    case DOM_STAGE_COUNT:
        break;
    }
    return false;
}

/* Groups the values of one dimension by the rules that name them. */
static bool classify(struct builder *builder, enum dom_stage_name stage, size_t num_values,
                     uint16_t *class_of)
{
    const struct dom_model *model = builder->model;

    dom_interner_cleanup(&builder->values);
    dom_interner_init(&builder->values, (builder->words + 1) * 8, STATE_BYTES_MAX);
    for (size_t value = 0; value < num_values; value++) {
        clear_key(builder);
        for (size_t i = 0; i < model->num_rules; i++) {
            set_bit(builder->key, i, rule_has(&model->rules[i], stage, value));
        }
        uint32_t id = dom_interner_add(&builder->values, builder->key);
        if (id == UINT32_MAX) {
            return false;
        }
        class_of[value] = (uint16_t)id;
    }
    return true;
}

static bool build_stage(struct builder *builder, enum dom_stage_name name, size_t num_values,
                        uint16_t *class_of)
{
    struct dom_stage *stage = &builder->tables->stages[name];

    if (!classify(builder, name, num_values, class_of)) {
        return false;
    }
    stage->width = builder->values.num;
    stage->num_states = builder->states.num;
    stage->next = new_table(builder, stage->num_states, stage->width);
    if (stage->next == NULL) {
        return false;
    }
    dom_interner_init(&builder->next, (builder->words + 1) * 8, STATE_BYTES_MAX);
    builder->key[builder->words] = 0;
    for (uint32_t s = 0; s < stage->num_states; s++) {
        const uint64_t *state = dom_interner_key(&builder->states, s);
        for (uint32_t v = 0; v < stage->width; v++) {
            const uint64_t *value = dom_interner_key(&builder->values, v);
            for (size_t w = 0; w < builder->words; w++) {
                builder->key[w] = state[w] & value[w];
            }
            uint32_t id = dom_interner_add(&builder->next, builder->key);
            if (id == UINT32_MAX) {
                builder->too_large = true;
                return false;
            }
            stage->next[(size_t)s * stage->width + v] = id;
        }
    }
    dom_interner_cleanup(&builder->states);
    builder->states = builder->next;
    memset(&builder->next, 0, sizeof(builder->next));
    return true;
}

/* Counts the limits of the rules in `limiting`, and copies them to `out` unless it is NULL. */
static size_t collect_limits(const struct builder *builder, const uint64_t *limiting,
                             struct dom_policy_limit *out)
{
    size_t num = 0;

    for (size_t w = 0; w < builder->words; w++) {
        for (uint64_t left = limiting[w]; left != 0; left &= left - 1) {
            const struct dom_rule *rule =
                &builder->model->rules[w * 64 + (size_t)__builtin_ctzll(left)];
            if (out != NULL) {
                memcpy(out + num, rule->limits, rule->num_limits * sizeof(rule->limits[0]));
            }
            num += rule->num_limits;
        }
    }
    return num;
}

/* The limits of the rules in `limiting`, the same array for the same set. */
static bool attach_limits(struct builder *builder, struct dom_interner *lists,
                          struct dom_policy_limit ***arrays, struct dom_policy_cell *cell)
{
    uint32_t before = lists->num;
    uint32_t id = dom_interner_add(lists, builder->limiting);
    size_t num = collect_limits(builder, builder->limiting, NULL);

    if (id == UINT32_MAX) {
        return false;
    }
    if (id == before) {
        struct dom_policy_limit **grown = realloc(*arrays, (size_t)(id + 1) * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        *arrays = grown;
        grown[id] = dom_arena_calloc(builder->arena, num + 1, sizeof(grown[id][0]));
        if (grown[id] == NULL) {
            return false;
        }
        (void)collect_limits(builder, builder->limiting, grown[id]);
    }
    cell->limits = num == 0 ? NULL : (*arrays)[id];
    cell->num_limits = num;
    return true;
}

/* Slots whose sets of rules in force are equal share a class; `key` of the class is that set. */
static bool classify_slots(struct builder *builder)
{
    struct dom_tables *tables = builder->tables;
    const struct dom_model *model = builder->model;
    bool *used = calloc(model->bases.num + 1, sizeof(*used));
    bool ok = used != NULL;

    for (size_t i = 0; ok && i < model->num_rules; i++) {
        if (model->rules[i].permit && model->rules[i].basis != DOM_POLICY_NONE) {
            used[model->rules[i].basis] = true;
        }
    }
    ok = ok && dom_slots_build(&tables->slots, model, used);
    free(used);
    if (!ok) {
        return false;
    }
    tables->slot_class = calloc(tables->slots.num + 1, sizeof(tables->slot_class[0]));
    dom_interner_cleanup(&builder->values);
    dom_interner_init(&builder->values, (builder->words + 1) * 8, STATE_BYTES_MAX);
    for (size_t slot = 0; tables->slot_class != NULL && slot <= tables->slots.num; slot++) {
        clear_key(builder);
        for (size_t i = 0; i < model->num_rules; i++) {
            set_bit(builder->key, i,
                    !model->rules[i].permit ||
                        dom_model_basis_in_force(model, model->rules[i].basis,
                                                 dom_slots_time(&tables->slots, slot)));
        }
        uint32_t id = dom_interner_add(&builder->values, builder->key);
        if (id == UINT32_MAX) {
            return false;
        }
        tables->slot_class[slot] = (uint16_t)id;
    }
    return tables->slot_class != NULL;
}

static size_t slot_of_class(const struct dom_tables *tables, uint32_t value)
{
    size_t slot = 0;

    while (tables->slot_class[slot] != value) {
        slot++;
    }
    return slot;
}

struct cell_maker {
    struct dom_interner cells;
    struct dom_interner lists;        /* sets of rules with limits */
    struct dom_policy_limit **arrays; /* their limits, by number of the set */
};

/* True when the state's rules in force are the same in this class of slots and the one before. */
static bool same_in_force(const struct builder *builder, const uint64_t *state, uint32_t v)
{
    const uint64_t *before = dom_interner_key(&builder->values, v - 1);
    const uint64_t *after = dom_interner_key(&builder->values, v);

    for (size_t w = 0; w < builder->words; w++) {
        if ((state[w] & (before[w] ^ after[w])) != 0) {
            return false;
        }
    }
    return true;
}

static bool make_cells(struct builder *builder, struct cell_maker *maker, const int64_t *times)
{
    struct dom_stage *stage = &builder->tables->stages[DOM_STAGE_TIME];
    struct dom_policy_cell cell;

    for (uint32_t s = 0; s < stage->num_states; s++) {
        const uint64_t *state = dom_interner_key(&builder->states, s);
        uint32_t *next = stage->next + (size_t)s * stage->width;
        for (uint32_t v = 0; v < stage->width; v++) {
            if (v > 0 && same_in_force(builder, state, v)) {
                next[v] = next[v - 1];
                continue;
            }
            dom_cell_fill(&cell, builder->model, state, times[v], builder->limiting);
            if (!attach_limits(builder, &maker->lists, &maker->arrays, &cell)) {
                return false;
            }
            next[v] = dom_interner_add(&maker->cells, &cell);
            if (next[v] == UINT32_MAX) {
                return false;
            }
        }
    }
    return true;
}

static bool build_cells(struct builder *builder)
{
    struct dom_tables *tables = builder->tables;
    struct dom_stage *stage = &tables->stages[DOM_STAGE_TIME];
    struct cell_maker maker = {.arrays = NULL};
    bool ok = classify_slots(builder);

    dom_interner_init(&maker.cells, sizeof(struct dom_policy_cell), DOM_POLICY_TABLE_BYTES_MAX);
    dom_interner_init(&maker.lists, (builder->words + 1) * 8, STATE_BYTES_MAX);
    stage->width = builder->values.num;
    stage->num_states = builder->states.num;
    stage->next = ok ? new_table(builder, stage->num_states, stage->width) : NULL;
    int64_t *times = calloc((size_t)stage->width + 1, sizeof(*times));
    ok = stage->next != NULL && times != NULL;
    for (uint32_t v = 0; ok && v < stage->width; v++) {
        times[v] = dom_slots_time(&tables->slots, slot_of_class(tables, v));
    }
    ok = ok && make_cells(builder, &maker, times);
    size_t cell_bytes = (size_t)maker.cells.num * sizeof(struct dom_policy_cell);
    if (ok && cell_bytes <= DOM_POLICY_TABLE_BYTES_MAX - tables->bytes) {
        tables->bytes += cell_bytes;
        tables->num_cells = maker.cells.num;
        tables->cells = (struct dom_policy_cell *)(void *)maker.cells.keys;
        maker.cells.keys = NULL;
    } else {
        builder->too_large = true;
        ok = false;
    }
    free(times);
    free(maker.arrays);
    dom_interner_cleanup(&maker.lists);
    dom_interner_cleanup(&maker.cells);
    return ok;
}

static bool build_all(struct builder *builder)
{
    struct dom_tables *tables = builder->tables;
    const struct dom_model *model = builder->model;

    for (size_t i = 0; builder->returns != NULL && i < model->num_rules; i++) {
        set_bit(builder->returns, i,
                model->rules[i].permit && model->rules[i].basis == DOM_BASIS_HOME_RETURN);
    }
    return builder->key != NULL && builder->limiting != NULL && builder->returns != NULL &&
           build_pairs(builder) &&
           build_stage(builder, DOM_STAGE_KIND, model->kinds.num, tables->kind_class) &&
           build_stage(builder, DOM_STAGE_OP, DOM_OP_STORE, tables->op_class) &&
           build_stage(builder, DOM_STAGE_SERVICE, model->services.num, tables->service_class) &&
           build_stage(builder, DOM_STAGE_PURPOSE, model->purposes.num, tables->purpose_class) &&
           build_cells(builder);
}

enum dom_code dom_tables_build(struct dom_tables *tables, const struct dom_model *model,
                               struct dom_arena *arena, struct dom_error *err)
{
    struct builder builder = {.tables = tables, .model = model, .arena = arena};
    enum dom_code rc = DOM_OK;

    builder.words = (model->num_rules + 63) / 64;
    builder.key = calloc(builder.words + 1, sizeof(builder.key[0]));
    builder.limiting = calloc(builder.words + 1, sizeof(builder.limiting[0]));
    builder.returns = calloc(builder.words + 1, sizeof(builder.returns[0]));
    dom_interner_init(&builder.states, (builder.words + 1) * 8, STATE_BYTES_MAX);
    dom_interner_init(&builder.homes, (builder.words + 1) * 8, STATE_BYTES_MAX);
    dom_interner_init(&builder.goals, (builder.words + 1) * 8, STATE_BYTES_MAX);
    if (!build_all(&builder)) {
        rc = builder.too_large
                 ? DOM_FAIL(err, DOM_TOO_LARGE, "the rules need tables of more than %u MiB",
                            DOM_POLICY_TABLE_BYTES_MAX >> 20)
                 : DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    free(builder.key);
    free(builder.limiting);
    free(builder.returns);
    dom_interner_cleanup(&builder.states);
    dom_interner_cleanup(&builder.next);
    dom_interner_cleanup(&builder.homes);
    dom_interner_cleanup(&builder.goals);
    dom_interner_cleanup(&builder.values);
    return rc;
}

void dom_tables_cleanup(struct dom_tables *tables)
{
    for (size_t i = 0; i < DOM_STAGE_COUNT; i++) {
        free(tables->stages[i].next);
    }
    free(tables->slot_class);
    free(tables->pairs);
    free(tables->slots.starts);
    free(tables->cells);
    free(tables->place_slots.starts);
    free(tables->place_index);
    free(tables->placements);
    memset(tables, 0, sizeof(*tables));
}
