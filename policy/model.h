/* The checked policy: every name resolved to an id, every date to milliseconds. Between the tree
 * (what was written) and the tables (what is asked).
 *
 * Memory is the policy's arena. Written by read*.c, then never changed.
 */
#ifndef DOM_POLICY_MODEL_H
#define DOM_POLICY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "policy/iso3166.h"
#include "policy/names.h"
#include "policy/policy.h"
#include "policy/tree.h"

/* Bit i is country id i. */
struct dom_countries {
    uint64_t bits[(DOM_COUNTRIES_MAX + 63) / 64];
};

struct dom_purposes {
    uint64_t bits[DOM_PURPOSES_MAX / 64];
};

struct dom_services {
    uint64_t bits[DOM_SERVICES_MAX / 64];
};

/* Two grounds need no entry under `bases`: they are ids 0 and 1, in force at any time. */
#define DOM_BASIS_NOT_PERSONAL ((dom_policy_id)0)
#define DOM_BASIS_HOME_RETURN ((dom_policy_id)1)
#define DOM_BASES_BUILT_IN 2U

struct dom_basis {
    int64_t from_ms;  /* first millisecond in force */
    int64_t until_ms; /* first millisecond no longer in force; INT64_MAX: open */
    const char *mechanism;
    const char *ref;
    const char *assessment;
    const struct dom_node *node;
};

struct dom_data_class {
    int32_t rank;
    bool personal;
    bool sensitive;
};

struct dom_kind {
    struct dom_names fields;
    dom_policy_id *field_class;  /* by field id */
    dom_policy_id unknown_class; /* NONE: undeclared fields are refused */
    const char *subject;         /* "" when none */
    dom_policy_set classes;      /* that its fields may have, unknown_field included */
};

struct dom_service {
    dom_policy_set kinds;
    uint32_t ops; /* bit per enum dom_policy_op */
    struct dom_purposes purposes;
};

/* Transforms in order of strength; the larger wins. */
enum dom_transform {
    DOM_TRANSFORM_CLEAR = 0,
    DOM_TRANSFORM_PSEUDONYMISE,
    DOM_TRANSFORM_REDACT,
    DOM_TRANSFORM_WITHHOLD
};

struct dom_rule {
    const char *id;
    const struct dom_node *node;
    bool permit;
    uint32_t ops;        /* bit per op, STORE never by "*" */
    bool ops_star;       /* ops = ("*") or left out */
    struct dom_countries home;
    struct dom_countries to;
    dom_policy_set kinds;
    dom_policy_set classes;
    struct dom_purposes purposes;
    struct dom_services services;
    bool any_purpose;    /* "*" or left out */
    bool any_service;
    dom_policy_id basis; /* NONE: always in force */
    uint8_t transform[DOM_CLASSES_MAX];       /* enum dom_transform by class */
    dom_policy_id key[DOM_CLASSES_MAX];       /* of a pseudonymise, or NONE */
    struct dom_policy_limit limits[DOM_OBLIGATIONS_MAX];
    size_t num_limits;
};

struct dom_placement_rule {
    const char *id;
    const struct dom_node *node;
    struct dom_countries home;
    dom_policy_set kinds;
    dom_policy_set classes;
    dom_policy_set regions;
    dom_policy_set first_write;      /* 0: not said */
    dom_policy_set *must_include;    /* one set of regions per name; each must be met */
    size_t num_must_include;
    dom_policy_id lead[DOM_REGIONS_MAX];
    size_t num_lead;
    uint8_t min_replicas;
    dom_policy_id basis;             /* NONE: only for the home's own jurisdiction */
};

struct dom_model {
    const char *name;
    int64_t version;
    int64_t expires_ms;
    int64_t log_keep_ms; /* 0: for ever */
    bool hide_existence;
    bool uncovered_denies; /* defaults.uncovered_field = "deny" */

    struct dom_names countries;
    dom_policy_id country_jurisdiction[DOM_COUNTRIES_MAX];
    struct dom_names jurisdictions;
    struct dom_countries jurisdiction_countries[DOM_JURISDICTIONS_MAX];
    struct dom_names groups;
    struct dom_countries group_countries[DOM_GROUPS_MAX];
    struct dom_names regions;
    dom_policy_id region_country[DOM_REGIONS_MAX];
    struct dom_names classes;
    struct dom_data_class class_info[DOM_CLASSES_MAX];
    dom_policy_id strictest_class;
    struct dom_names purposes;
    struct dom_names services;
    struct dom_service *service_info;
    struct dom_names kinds;
    struct dom_kind *kind_info;
    struct dom_names bases;
    struct dom_basis *basis_info;
    struct dom_names keys;       /* pseudonym keys */
    struct dom_names rule_ids;
    struct dom_rule *rules;
    size_t num_rules;
    struct dom_names placement_ids;
    struct dom_placement_rule *placements;
    size_t num_placements;
    struct dom_policy_rollout rollout;
    struct dom_policy_log_copy copies[DOM_SINK_CLAUSES_MAX];
    size_t num_copies;
};

/* Pseudonym keys that one policy may name. */
#define DOM_KEYS_MAX 256U

static inline bool dom_countries_has(const struct dom_countries *set, dom_policy_id country)
{
    return ((set->bits[country / 64] >> (country % 64)) & 1U) != 0;
}

static inline void dom_countries_add(struct dom_countries *set, dom_policy_id country)
{
    set->bits[country / 64] |= UINT64_C(1) << (country % 64);
}

static inline void dom_countries_unite(struct dom_countries *set, const struct dom_countries *more)
{
    for (size_t i = 0; i < sizeof(set->bits) / sizeof(set->bits[0]); i++) {
        set->bits[i] |= more->bits[i];
    }
}

static inline bool dom_countries_equal(const struct dom_countries *a, const struct dom_countries *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static inline dom_policy_set dom_set_of(dom_policy_id id)
{
    return UINT64_C(1) << id;
}

static inline dom_policy_set dom_set_all(size_t num)
{
    return num >= 64 ? UINT64_MAX : (UINT64_C(1) << num) - 1;
}

static inline bool dom_set_has(dom_policy_set set, dom_policy_id id)
{
    return ((set >> id) & 1U) != 0;
}

/* The jurisdiction that a region lies in. */
static inline dom_policy_id dom_model_region_jurisdiction(const struct dom_model *model,
                                                          dom_policy_id region)
{
    return model->country_jurisdiction[model->region_country[region]];
}

/* The regions in any of the countries, and those of one jurisdiction. */
dom_policy_set dom_model_regions_in(const struct dom_model *model,
                                    const struct dom_countries *countries);
dom_policy_set dom_model_regions_of(const struct dom_model *model, dom_policy_id jurisdiction);

/* NONE is always in force: there is no date in the way. */
bool dom_model_basis_in_force(const struct dom_model *model, dom_policy_id basis, int64_t time_ms);

/* Does a forbid cover the storing of (kind, class) of `home` in a region of country `at`? An
 * explicit "store" covers what is written; "*" covers it only abroad, because a rule about
 * crossing borders must not make data homeless. */
bool dom_rule_forbids_store(const struct dom_model *model, const struct dom_rule *rule,
                            dom_policy_id home, dom_policy_id at);

/* The checks and readings, in this order; each adds findings. */
struct dom_reader {
    struct dom_model *model;
    struct dom_arena *arena;
    struct dom_findings *findings;
    const char *file;  /* how the text is called */
    int64_t now_ms;
    bool exhausted;    /* out of memory */
};

/* P01: keys, types, counts, forms. The readings below take for granted that a value whose shape
 * is wrong was reported here, and step over it. */
void dom_shape_check(const struct dom_node *root, struct dom_findings *findings);
/* P02, and the P03 that concern one entry. */
void dom_read_sections(struct dom_reader *reader, const struct dom_node *root);
void dom_read_rules(struct dom_reader *reader, const struct dom_node *root);
void dom_read_placements(struct dom_reader *reader, const struct dom_node *root);
void dom_read_others(struct dom_reader *reader, const struct dom_node *root);
void dom_read_copies(struct dom_reader *reader, const struct dom_node *root);
/* P03 to P06 over the whole; only for a model without errors. */
void dom_meaning_check(struct dom_reader *reader, const struct dom_node *root);

#endif
