/* The compiled form: what a decision reads. Flat arrays, filled once.
 *
 * A decision walks a chain of tables. Each dimension's values (a country as home, a country as
 * goal, a kind, an operation, a service, a purpose, a stretch of time) are first grouped into
 * classes that no rule tells apart; then the state "which rules still match" is carried from
 * table to table, equal states being merged after each. The last table gives the cell. So the
 * cost is seven loads, whatever the number of rules.
 */
#ifndef DOM_POLICY_TABLES_H
#define DOM_POLICY_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/model.h"

/* All tables of one policy together; a policy that needs more is refused (P0319). */
#define DOM_POLICY_TABLE_BYTES_MAX (64U << 20)

/* Stretches of time between the dates at which some basis begins or ends. */
struct dom_slots {
    int64_t *starts; /* rising; slot 0 lies before starts[0] */
    size_t num;      /* of starts; there are num + 1 slots */
};

enum dom_stage_name {
    DOM_STAGE_KIND = 0,
    DOM_STAGE_OP,
    DOM_STAGE_SERVICE,
    DOM_STAGE_PURPOSE,
    DOM_STAGE_TIME,
    DOM_STAGE_COUNT
};

struct dom_stage {
    uint32_t *next; /* [state * width + class] */
    uint32_t width; /* classes of this dimension */
    uint32_t num_states;
};

struct dom_tables {
    uint16_t home_class[DOM_COUNTRIES_MAX];
    uint16_t to_class[DOM_COUNTRIES_MAX];
    uint16_t kind_class[DOM_KINDS_MAX];
    uint16_t op_class[DOM_OP_COUNT];
    uint16_t service_class[DOM_SERVICES_MAX];
    uint16_t purpose_class[DOM_PURPOSES_MAX];
    uint16_t *slot_class; /* by slot */
    uint32_t *pairs;      /* [home class * num_to + to class] */
    uint32_t num_home;
    uint32_t num_to;
    struct dom_stage stages[DOM_STAGE_COUNT];
    struct dom_slots slots;
    struct dom_policy_cell *cells;
    size_t num_cells;

    uint16_t place_class[DOM_COUNTRIES_MAX];
    struct dom_slots place_slots;
    uint32_t *place_index; /* [(place class * num_kinds + kind) * slots + slot] */
    struct dom_policy_placement *placements;
    size_t num_placements;
    size_t bytes; /* of everything above */
};

/* Fills the tables; limits lists live in the arena. Errors: TOO_LARGE, RESOURCE. */
enum dom_code dom_tables_build(struct dom_tables *tables, const struct dom_model *model,
                               struct dom_arena *arena, struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_tables_build_places(struct dom_tables *tables, const struct dom_model *model,
                                      struct dom_error *err) DOM_MUST_USE;
void dom_tables_cleanup(struct dom_tables *tables);

/* The slot of a time: how many of the starts are not after it. */
static inline size_t dom_slots_find(const struct dom_slots *slots, int64_t time_ms)
{
    size_t low = 0;
    size_t num = slots->num;

    while (num > 0) {
        size_t half = num / 2;
        bool right = slots->starts[low + half] <= time_ms;
        low = right ? low + half + 1 : low;
        num = right ? num - half - 1 : half;
    }
    return low;
}

/* Collects the dates of the bases in `used` (by basis id). False when out of memory. */
bool dom_slots_build(struct dom_slots *slots, const struct dom_model *model, const bool *used);
/* A time inside the slot. */
int64_t dom_slots_time(const struct dom_slots *slots, size_t slot);

/* The cell of the given matching rules at a time; `matching` has a bit per rule. Limits of the
 * rules that count are appended to `limits`, at most `limits_max`; *num_limits is set. */
void dom_cell_fill(struct dom_policy_cell *cell, const struct dom_model *model,
                   const uint64_t *matching, int64_t time_ms, uint64_t *limiting);

/* Where the parts of (kind, home) lie at that time; `ignore_dates` takes every basis as in
 * force. */
void dom_place_compute(struct dom_policy_placement *out, const struct dom_model *model,
                       dom_policy_id kind, dom_policy_id home, int64_t time_ms, bool ignore_dates);

/* ---- equal keys to equal numbers ---- */
struct dom_interner {
    uint8_t *keys;   /* key of id i at i * key_size */
    uint32_t *index; /* open addressing, id + 1 */
    size_t index_size;
    size_t key_size; /* a multiple of 8 */
    uint32_t num;
    uint32_t capacity;
    size_t bytes_max; /* of keys */
};

void dom_interner_init(struct dom_interner *interner, size_t key_size, size_t bytes_max);
void dom_interner_cleanup(struct dom_interner *interner);
/* The number of the key, new or old; UINT32_MAX when memory or the bound is reached. */
uint32_t dom_interner_add(struct dom_interner *interner, const void *key);
static inline const void *dom_interner_key(const struct dom_interner *interner, uint32_t id)
{
    return interner->keys + (size_t)id * interner->key_size;
}

#endif
