/* Requests across borders, by the chains of tables of both policies. Equal pairs of states and
 * equal pairs of cells are looked into once. */
#include <stdlib.h>
#include <string.h>

#include "policy/diff_internal.h"

#define MEMO_BYTES_MAX ((size_t)256U << 20)
/* Instead of a cell. */
#define CELL_NOT_SERVED UINT32_MAX
#define CELL_UNKNOWN (UINT32_MAX - 1U)
#define CELL_EXPIRED (UINT32_MAX - 2U)

/* Reading and listing are decided alike. */
static uint32_t op_group(unsigned op)
{
    return op == DOM_OP_WRITE ? 1 : op == DOM_OP_DELETE ? 2 : 0;
}

/* Stretches in which both policies have the same rules in force. */
struct time_class {
    uint32_t old_slot_class; /* UINT32_MAX: the policy has expired */
    uint32_t new_slot_class;
    int64_t time_ms;
    uint64_t bits[DOM_DIFF_TIME_WORDS];
};

struct cell_key {
    uint32_t before;
    uint32_t after;
    uint32_t op;
    uint32_t kind; /* UINT32_MAX unless the kind has fields of its own to ask about */
};

struct leaf_key {
    uint32_t before;
    uint32_t after;
    uint32_t op;
    uint32_t kind;
    uint32_t served; /* bit 0 before, bit 1 after */
    uint32_t unused;
};

/* Two cells that differ, and the stretches in which they meet. */
struct leaf_entry {
    uint32_t cells; /* number of the cell_key */
    uint32_t times; /* number in `time_sets` */
    uint32_t num_times;
    uint32_t time_class; /* one of those stretches */
};

/* Where two cells that differ were met with one kind: gathered first, told to the groups once. */
struct meeting_key {
    uint32_t cells;
    uint32_t kind;
};

struct meeting {
    uint64_t cells;
    uint64_t *bits; /* homes, goals, services, purposes, times, one behind the other */
    uint32_t ops;
    uint32_t pair; /* one of them */
    uint16_t service;
    uint16_t purpose;
    uint32_t op;
    uint32_t time_class;
};

struct span {
    size_t first;
    size_t num;
};

struct crossing {
    struct dom_differ *differ;
    struct dom_diff_pair *pairs;
    size_t num_pairs;
    struct time_class *times;
    size_t num_times;
    struct dom_interner cells; /* struct cell_key */
    struct span *cell_spans;   /* into found */
    size_t cell_spans_capacity;
    struct dom_diff_found *found;
    size_t num_found;
    size_t found_capacity;
    struct dom_interner leaves; /* struct leaf_key */
    struct span *leaf_spans;    /* into entries */
    size_t leaf_spans_capacity;
    struct leaf_entry *entries;
    size_t num_entries;
    size_t entries_capacity;
    struct dom_interner time_sets;
    struct dom_interner meeting_keys;
    struct meeting *meetings;
    size_t meetings_capacity;
    struct dom_arena arena; /* the meetings' bits */
    struct dom_diff_found *scratch;
    uint64_t (*scratch_times)[DOM_DIFF_TIME_WORDS];
};

#define SCRATCH_MAX (4U * DOM_DIFF_ITEMS_MAX)

static bool reserve(void *arrayp, size_t *capacity, size_t need, size_t size)
{
    void **array = arrayp;
    size_t more = *capacity == 0 ? 64 : *capacity;

    if (need <= *capacity) {
        return true;
    }
    while (more < need) {
        more *= 2;
    }
    void *grown = realloc(*array, more * size);
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    *capacity = more;
    return true;
}

/* ---- time ---- */

static uint32_t slot_class(const struct dom_policy *policy, int64_t time_ms)
{
    if (time_ms >= policy->model.expires_ms) {
        return UINT32_MAX;
    }
    return policy->tables.slot_class[dom_slots_find(&policy->tables.slots, time_ms)];
}

static bool make_times(struct crossing *crossing)
{
    const struct dom_differ *differ = crossing->differ;
    const struct dom_diff_stretches *stretches = &differ->stretches;
    size_t num = 0;

    crossing->times = calloc(stretches->num + 1, sizeof(crossing->times[0]));
    for (size_t s = 0; crossing->times != NULL && s <= stretches->num; s++) {
        int64_t time_ms = dom_stretch_time(stretches, s);
        uint32_t before = slot_class(differ->before, time_ms);
        uint32_t after = slot_class(differ->after, time_ms);
        size_t at = 0;
        while (at < num && (crossing->times[at].old_slot_class != before ||
                            crossing->times[at].new_slot_class != after)) {
            at++;
        }
        if (at == num) {
            crossing->times[num].old_slot_class = before;
            crossing->times[num].new_slot_class = after;
            crossing->times[num++].time_ms = time_ms;
        }
        dom_bits_set(crossing->times[at].bits, s);
    }
    crossing->num_times = num;
    return crossing->times != NULL;
}

/* ---- looking into one pair of cells, and one pair of states over time ---- */

static uint32_t step(const struct dom_stage *stage, uint32_t state, uint32_t value)
{
    return stage->next[(size_t)state * stage->width + value];
}

static uint32_t cell_at(const struct dom_policy *policy, uint32_t state, bool served,
                        uint32_t time_class)
{
    if (!served) {
        return CELL_NOT_SERVED;
    }
    if (state == DOM_DIFF_UNKNOWN_STATE) {
        return CELL_UNKNOWN;
    }
    return time_class == UINT32_MAX
               ? CELL_EXPIRED
               : step(&policy->tables.stages[DOM_STAGE_TIME], state, time_class);
}

/* The number of the two cells; UINT32_MAX when they do not differ. Looked into once. */
static uint32_t cells_differ(struct crossing *crossing, const struct cell_key *key,
                             const struct dom_diff_asked *asked)
{
    struct dom_differ *differ = crossing->differ;
    uint32_t known = crossing->cells.num;
    uint32_t id = dom_interner_add(&crossing->cells, key);

    if (id < known) {
        return crossing->cell_spans[id].num == 0 ? UINT32_MAX : id;
    }
    if (id == UINT32_MAX ||
        !reserve(&crossing->cell_spans, &crossing->cell_spans_capacity, id + (size_t)1,
                 sizeof(crossing->cell_spans[0]))) {
        differ->failed = true;
        return UINT32_MAX;
    }
    size_t num = dom_diff_compare(differ, asked, crossing->scratch, SCRATCH_MAX);
    if (!reserve(&crossing->found, &crossing->found_capacity, crossing->num_found + num,
                 sizeof(crossing->found[0]))) {
        differ->failed = true;
        num = 0;
    }
    struct span span = {crossing->num_found, num};
    if (num > 0) {
        memcpy(crossing->found + span.first, crossing->scratch, num * sizeof(crossing->found[0]));
        crossing->num_found += num;
    }
    crossing->cell_spans[id] = span;
    return num == 0 ? UINT32_MAX : id;
}

/* Adds a class of stretches to the entry of these cells in the leaf that is being made. */
static void add_entry(struct crossing *crossing, size_t first, uint32_t cells, size_t time_class)
{
    size_t i = first;

    while (i < crossing->num_entries && crossing->entries[i].cells != cells) {
        i++;
    }
    if (i == crossing->num_entries) {
        if (i - first == SCRATCH_MAX ||
            !reserve(&crossing->entries, &crossing->entries_capacity, i + 1,
                     sizeof(crossing->entries[0]))) {
            crossing->differ->failed = true;
            return;
        }
        struct leaf_entry entry = {.cells = cells, .time_class = (uint32_t)time_class};
        crossing->entries[crossing->num_entries++] = entry;
        memset(crossing->scratch_times[i - first], 0, sizeof(crossing->scratch_times[0]));
    }
    dom_bits_unite(crossing->scratch_times[i - first], crossing->times[time_class].bits,
                   DOM_DIFF_TIME_WORDS);
}

static void finish_leaf(struct crossing *crossing, size_t first)
{
    for (size_t i = first; i < crossing->num_entries; i++) {
        const uint64_t *bits = crossing->scratch_times[i - first];
        struct leaf_entry *entry = &crossing->entries[i];
        entry->times = dom_interner_add(&crossing->time_sets, bits);
        crossing->differ->failed = crossing->differ->failed || entry->times == UINT32_MAX;
        for (size_t w = 0; w < DOM_DIFF_TIME_WORDS; w++) {
            entry->num_times += (uint32_t)__builtin_popcountll(bits[w]);
        }
    }
}

/* What differs between two states at any time. */
static struct span leaf_found(struct crossing *crossing, const struct leaf_key *key,
                              struct dom_diff_asked *asked)
{
    struct dom_differ *differ = crossing->differ;
    struct span span = {crossing->num_entries, 0};
    struct cell_key last = {.op = UINT32_MAX};
    uint32_t known = crossing->leaves.num;
    uint32_t id = dom_interner_add(&crossing->leaves, key);
    uint32_t cells = UINT32_MAX;

    if (id < known) {
        return crossing->leaf_spans[id];
    }
    if (id == UINT32_MAX ||
        !reserve(&crossing->leaf_spans, &crossing->leaf_spans_capacity, id + (size_t)1,
                 sizeof(crossing->leaf_spans[0]))) {
        differ->failed = true;
        return span;
    }
    for (size_t i = 0; i < crossing->num_times && !differ->failed; i++) {
        const struct time_class *at = &crossing->times[i];
        struct cell_key now = {.op = key->op, .kind = key->kind};
        now.before =
            cell_at(differ->before, key->before, (key->served & 1U) != 0, at->old_slot_class);
        now.after =
            cell_at(differ->after, key->after, (key->served & 2U) != 0, at->new_slot_class);
        if (memcmp(&now, &last, sizeof(now)) != 0) {
            asked->before.time_ms = at->time_ms;
            asked->after.time_ms = at->time_ms;
            cells = cells_differ(crossing, &now, asked);
            last = now;
        }
        if (cells != UINT32_MAX) {
            add_entry(crossing, span.first, cells, i);
        }
    }
    finish_leaf(crossing, span.first);
    span.num = crossing->num_entries - span.first;
    crossing->leaf_spans[id] = span;
    return span;
}

/* ---- where cells meet ---- */

/* Words of each set of a meeting, in the order of its bits. */
struct widths {
    size_t homes;
    size_t tos;
    size_t services;
    size_t purposes;
    size_t times;
};

static struct widths widths_of(const struct dom_differ *differ)
{
    struct widths widths = {
        .homes = (differ->homes.num + 63) / 64,
        .tos = (differ->tos.num + 63) / 64,
        .services = (differ->services.num + 63) / 64,
        .purposes = (differ->purposes.num + 63) / 64,
        .times = differ->stretches.num / 64 + 1,
    };
    return widths;
}

static struct meeting *meeting_of(struct crossing *crossing, const struct leaf_entry *entry,
                                  const struct dom_diff_hit *hit, uint32_t pair)
{
    struct meeting_key key = {entry->cells, (uint32_t)hit->kind};
    uint32_t known = crossing->meeting_keys.num;
    uint32_t id = dom_interner_add(&crossing->meeting_keys, &key);

    if (id < known) {
        return &crossing->meetings[id];
    }
    struct widths widths = widths_of(crossing->differ);
    size_t words =
        widths.homes + widths.tos + widths.services + widths.purposes + widths.times;
    if (id == UINT32_MAX || !reserve(&crossing->meetings, &crossing->meetings_capacity,
                                     id + (size_t)1, sizeof(crossing->meetings[0]))) {
        crossing->differ->failed = true;
        return NULL;
    }
    struct meeting *meeting = &crossing->meetings[id];
    memset(meeting, 0, sizeof(*meeting));
    meeting->bits = dom_arena_calloc(&crossing->arena, words, sizeof(uint64_t));
    meeting->pair = pair;
    meeting->service = (uint16_t)hit->service;
    meeting->purpose = (uint16_t)hit->purpose;
    meeting->op = hit->op;
    meeting->time_class = entry->time_class;
    if (meeting->bits == NULL) {
        crossing->differ->failed = true;
        return NULL;
    }
    return meeting;
}

static void meet(struct crossing *crossing, const struct leaf_entry *entry,
                 const struct dom_diff_hit *hit, uint32_t pair_id)
{
    const struct dom_differ *differ = crossing->differ;
    const struct dom_diff_pair *pair = &crossing->pairs[pair_id];
    struct meeting *meeting = meeting_of(crossing, entry, hit, pair_id);
    struct widths widths = widths_of(differ);

    if (meeting == NULL) {
        return;
    }
    uint64_t *bits = meeting->bits;
    dom_bits_unite(bits, pair->homes, widths.homes);
    bits += widths.homes;
    dom_bits_unite(bits, pair->tos, widths.tos);
    bits += widths.tos;
    dom_bits_set(bits, hit->service);
    bits += widths.services;
    dom_bits_set(bits, hit->purpose);
    bits += widths.purposes;
    dom_bits_unite(bits, dom_interner_key(&crossing->time_sets, entry->times), widths.times);
    meeting->ops |= 1U << hit->op;
    meeting->cells += pair->weight * differ->services.weight[hit->service] *
                      differ->purposes.weight[hit->purpose] * entry->num_times;
}

/* Tells the groups of the two cells where they met. */
static void tell_meeting(struct crossing *crossing, uint32_t id)
{
    struct dom_differ *differ = crossing->differ;
    const struct meeting_key *key = dom_interner_key(&crossing->meeting_keys, id);
    const struct meeting *meeting = &crossing->meetings[id];
    struct widths widths = widths_of(differ);
    struct span span = crossing->cell_spans[key->cells];
    uint64_t homes[DOM_DIFF_PLACE_WORDS] = {0};
    uint64_t tos[DOM_DIFF_PLACE_WORDS] = {0};
    uint64_t times[DOM_DIFF_TIME_WORDS] = {0};
    const uint64_t *services = meeting->bits + widths.homes + widths.tos;
    const uint64_t *purposes = services + widths.services;

    memcpy(homes, meeting->bits, widths.homes * sizeof(homes[0]));
    memcpy(tos, meeting->bits + widths.homes, widths.tos * sizeof(tos[0]));
    memcpy(times, purposes + widths.purposes, widths.times * sizeof(times[0]));
    struct dom_diff_hit hit = {
        .homes = homes,
        .tos = tos,
        .times = times,
        .weight = meeting->cells,
        .home = crossing->pairs[meeting->pair].home,
        .to = crossing->pairs[meeting->pair].to,
        .kind = key->kind,
        .service = meeting->service,
        .purpose = meeting->purpose,
        .op = meeting->op,
        .time_ms = crossing->times[meeting->time_class].time_ms,
    };
    for (size_t i = span.first; i < span.first + span.num; i++) {
        struct dom_diff_state *state = &differ->states[crossing->found[i].group];
        dom_diff_hit(differ, &crossing->found[i], &hit);
        dom_bits_unite(state->services, services, widths.services);
        dom_bits_unite(state->purposes, purposes, widths.purposes);
        state->ops |= meeting->ops;
    }
}

/* ---- going through it ---- */

static uint32_t walk(const struct dom_policy *policy, uint32_t state,
                     const struct dom_policy_request *request)
{
    const struct dom_tables *tables = &policy->tables;
    const struct dom_stage *stages = tables->stages;

    state = step(&stages[DOM_STAGE_KIND], state, tables->kind_class[request->kind]);
    state = step(&stages[DOM_STAGE_OP], state, tables->op_class[request->op]);
    state = step(&stages[DOM_STAGE_SERVICE], state, tables->service_class[request->service]);
    return step(&stages[DOM_STAGE_PURPOSE], state, tables->purpose_class[request->purpose]);
}

static void cross_pair(struct crossing *crossing, uint32_t pair_id, uint32_t served,
                       const struct dom_diff_hit *hit, struct dom_diff_asked *asked)
{
    struct dom_differ *differ = crossing->differ;
    const struct dom_diff_pair *pair = &crossing->pairs[pair_id];
    struct leaf_key key = {
        .before = pair->old_state,
        .after = pair->new_state,
        .op = op_group(hit->op),
        .kind = differ->kind_has_items[hit->kind] ? (uint32_t)hit->kind : UINT32_MAX,
        .served = served,
    };

    asked->before.home = differ->homes.old_rep[pair->home];
    asked->before.caller = differ->tos.old_rep[pair->to];
    asked->after.home = differ->homes.new_rep[pair->home];
    asked->after.caller = differ->tos.new_rep[pair->to];
    if ((served & 1U) == 0) {
        key.before = 0;
    } else if (key.before != DOM_DIFF_UNKNOWN_STATE) {
        key.before = walk(differ->before, key.before, &asked->before);
    }
    if ((served & 2U) == 0) {
        key.after = 0;
    } else if (key.after != DOM_DIFF_UNKNOWN_STATE) {
        key.after = walk(differ->after, key.after, &asked->after);
    }
    struct span span = leaf_found(crossing, &key, asked);
    for (size_t i = span.first; i < span.first + span.num && !differ->failed; i++) {
        meet(crossing, &crossing->entries[i], hit, pair_id);
    }
}

static void cross_all(struct crossing *crossing)
{
    struct dom_differ *differ = crossing->differ;
    struct dom_diff_asked asked;

    for (size_t k = 0; k < differ->kinds.num; k++) {
        for (unsigned op = 0; op < DOM_OP_STORE; op++) {
            for (size_t s = 0; s < differ->services.num; s++) {
                for (size_t p = 0; p < differ->purposes.num; p++) {
                    struct dom_diff_hit hit = {
                        .kind = k, .op = op, .service = s, .purpose = p};
                    dom_diff_ask(differ, &hit, true, &asked);
                    uint32_t served = dom_diff_served(differ, &hit, &asked);
                    for (uint32_t i = 0; served != 0 && i < crossing->num_pairs; i++) {
                        cross_pair(crossing, i, served, &hit, &asked);
                    }
                    if (differ->failed || differ->too_large) {
                        return;
                    }
                }
            }
        }
    }
}

void dom_diff_crossing(struct dom_differ *differ)
{
    struct crossing crossing = {.differ = differ};

    dom_interner_init(&crossing.cells, sizeof(struct cell_key), MEMO_BYTES_MAX);
    dom_interner_init(&crossing.leaves, sizeof(struct leaf_key), MEMO_BYTES_MAX);
    dom_interner_init(&crossing.time_sets, sizeof(uint64_t) * DOM_DIFF_TIME_WORDS,
                      MEMO_BYTES_MAX);
    dom_interner_init(&crossing.meeting_keys, sizeof(struct meeting_key), MEMO_BYTES_MAX);
    dom_arena_init(&crossing.arena, NULL, 0, MEMO_BYTES_MAX);
    crossing.scratch = calloc(SCRATCH_MAX, sizeof(crossing.scratch[0]));
    crossing.scratch_times = calloc(SCRATCH_MAX, sizeof(crossing.scratch_times[0]));
    if (crossing.scratch == NULL || crossing.scratch_times == NULL || !make_times(&crossing) ||
        !dom_diff_pairs(differ, false, &crossing.pairs, &crossing.num_pairs)) {
        differ->failed = true;
    } else {
        cross_all(&crossing);
    }
    for (uint32_t i = 0; !differ->failed && !differ->too_large && i < crossing.meeting_keys.num;
         i++) {
        tell_meeting(&crossing, i);
    }
    free(crossing.scratch);
    free(crossing.scratch_times);
    free(crossing.pairs);
    free(crossing.times);
    free(crossing.cell_spans);
    free(crossing.found);
    free(crossing.leaf_spans);
    free(crossing.entries);
    free(crossing.meetings);
    dom_arena_cleanup(&crossing.arena);
    dom_interner_cleanup(&crossing.meeting_keys);
    dom_interner_cleanup(&crossing.cells);
    dom_interner_cleanup(&crossing.leaves);
    dom_interner_cleanup(&crossing.time_sets);
}
