#include "router/core/trial.h"

#include <stdlib.h>

#include "base/assert.h"
#include "router/core/snapshot.h"

/* ---- counters ------------------------------------------------------------------------------- */

struct dom_tally *dom_tally_new(void)
{
    struct dom_tally *tally = calloc(1, sizeof(*tally));

    DOM_ASSERT(tally != NULL);
    atomic_init(&tally->refs, 1);
    return tally;
}

struct dom_tally *dom_tally_ref(struct dom_tally *tally)
{
    /* Relaxed: whoever takes a reference already has one. */
    (void)atomic_fetch_add_explicit(&tally->refs, 1, memory_order_relaxed);
    return tally;
}

void dom_tally_unref(struct dom_tally *tally)
{
    /* Release and acquire: the last owner must see every use by the others before it frees. */
    if (tally != NULL &&
        atomic_fetch_sub_explicit(&tally->refs, 1, memory_order_acq_rel) == 1) {
        free(tally);
    }
}

/* ---- the way from one policy to the other ------------------------------------------------------ */

typedef const char *name_fn(const struct dom_policy *policy, dom_policy_id id);
typedef dom_policy_id find_fn(const struct dom_policy *policy, struct dom_slice name);

static void map_names(dom_policy_id *map, size_t size, const struct dom_policy *policy,
                      const struct dom_policy *other, name_fn *name, find_fn *find)
{
    for (size_t i = 0; i < size; i++) {
        const char *text = name(policy, (dom_policy_id)i);
        map[i] = text[0] == '\0' ? DOM_POLICY_NONE : find(other, dom_slice_str(text));
    }
}

static void add_class(struct dom_trial *trial, dom_policy_id kind, dom_policy_id from,
                      dom_policy_id to)
{
    if (from != DOM_POLICY_NONE && to != DOM_POLICY_NONE) {
        trial->classes[kind][from] |= UINT64_C(1) << to;
    }
}

static void map_field(struct dom_trial *trial, const struct dom_policy *policy, dom_policy_id kind,
                      struct dom_slice field)
{
    dom_policy_id from = DOM_POLICY_NONE;
    dom_policy_id to = DOM_POLICY_NONE;

    (void)dom_policy_field_class(policy, kind, field, &from);
    (void)dom_policy_field_class(trial->other, trial->kinds[kind], field, &to);
    add_class(trial, kind, from, to);
}

static void map_classes(struct dom_trial *trial, const struct dom_policy *policy)
{
    for (size_t k = 0; k < dom_policy_num_kinds(policy); k++) {
        dom_policy_id kind = (dom_policy_id)k;
        if (trial->kinds[k] == DOM_POLICY_NONE) {
            continue;
        }
        for (size_t f = 0; f < dom_policy_kind_num_fields(policy, kind); f++) {
            map_field(trial, policy, kind,
                      dom_slice_str(dom_policy_kind_field_name(policy, kind, f)));
        }
        for (size_t c = 0; c < dom_policy_num_classes(policy); c++) {
            if (trial->classes[k][c] == 0) {
                /* No declared field: undeclared and stored ones may have it. */
                add_class(trial, kind, (dom_policy_id)c,
                          dom_policy_find_class(trial->other,
                                                dom_slice_str(dom_policy_class_name(
                                                    policy, (dom_policy_id)c))));
            }
        }
    }
}

struct dom_trial *dom_trial_new(const struct dom_policy *policy, const struct dom_policy *other,
                                struct dom_tally *tally, bool is_candidate)
{
    struct dom_trial *trial = calloc(1, sizeof(*trial));

    DOM_ASSERT(trial != NULL);
    atomic_init(&trial->refs, 1);
    trial->other = dom_policy_ref(other);
    trial->tally = dom_tally_ref(tally);
    trial->is_candidate = is_candidate;
    map_names(trial->countries, DOM_TRIAL_COUNTRIES_MAX, policy, other, dom_policy_country_name,
              dom_policy_find_country);
    map_names(trial->purposes, DOM_PURPOSES_MAX, policy, other, dom_policy_purpose_name,
              dom_policy_find_purpose);
    map_names(trial->services, DOM_SERVICES_MAX, policy, other, dom_policy_service_name,
              dom_policy_find_service);
    map_names(trial->kinds, DOM_KINDS_MAX, policy, other, dom_policy_kind_name,
              dom_policy_find_kind);
    map_classes(trial, policy);
    return trial;
}

struct dom_trial *dom_trial_ref(struct dom_trial *trial)
{
    /* Relaxed: whoever takes a reference already has one. */
    (void)atomic_fetch_add_explicit(&trial->refs, 1, memory_order_relaxed);
    return trial;
}

void dom_trial_unref(struct dom_trial *trial)
{
    if (trial == NULL ||
        atomic_fetch_sub_explicit(&trial->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    dom_policy_unref(trial->other);
    dom_tally_unref(trial->tally);
    dom_snapshot_unref(trial->candidate);
    free(trial);
}

/* FNV-1a, then a finaliser: neighbours among ids must not be neighbours here. */
static uint64_t hash_record(struct dom_slice kind, struct dom_slice id)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < kind.len; i++) {
        hash = (hash ^ kind.data[i]) * UINT64_C(1099511628211);
    }
    hash = (hash ^ 0xFF) * UINT64_C(1099511628211); /* no byte of UTF-8: parts them */
    for (size_t i = 0; i < id.len; i++) {
        hash = (hash ^ id.data[i]) * UINT64_C(1099511628211);
    }
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    return hash;
}

bool dom_trial_picks(const struct dom_trial *trial, struct dom_slice kind, struct dom_slice id)
{
    return trial->percent > 0 && hash_record(kind, id) % 100 < trial->percent;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static dom_policy_id mapped(const dom_policy_id *map, dom_policy_id id)
{
    return id == DOM_POLICY_NONE ? DOM_POLICY_NONE : map[id];
}

static unsigned handling(const struct dom_policy_decision *decision, dom_policy_set classes)
{
    /* Several stand for one: the least given of them. */
    if ((decision->withheld & classes) != 0) {
        return 3;
    }
    if ((decision->redact & classes) != 0) {
        return 2;
    }
    return (decision->pseudonymise & classes) != 0 ? 1 : 0;
}

static bool gives(unsigned how)
{
    return how < 2; /* clear or as a pseudonym: something of the value leaves */
}

static void compare_classes(const struct dom_trial *trial,
                            const struct dom_policy_request *request,
                            const struct dom_policy_decision *here,
                            struct dom_trial_verdict *verdict)
{
    const dom_policy_set *map = trial->classes[request->kind];

    for (dom_policy_set left = request->classes; left != 0; left &= left - 1) {
        unsigned c = (unsigned)__builtin_ctzll(left);
        unsigned mine = handling(here, left & (~left + 1));
        unsigned theirs = handling(&verdict->decision, map[c]);
        unsigned candidate = trial->is_candidate ? mine : theirs;
        unsigned in_force = trial->is_candidate ? theirs : mine;
        verdict->disagrees = verdict->disagrees || mine != theirs;
        verdict->new_deny = verdict->new_deny || (gives(in_force) && !gives(candidate));
        verdict->new_allow = verdict->new_allow || (!gives(in_force) && gives(candidate));
    }
}

void dom_trial_compare(const struct dom_trial *trial, const struct dom_policy_request *request,
                       const struct dom_policy_decision *decision,
                       struct dom_trial_verdict *verdict)
{
    struct dom_policy_request *asked = &verdict->request;

    verdict->disagrees = false;
    verdict->new_deny = false;
    verdict->new_allow = false;
    *asked = *request;
    asked->service = mapped(trial->services, request->service);
    asked->purpose = mapped(trial->purposes, request->purpose);
    asked->kind = mapped(trial->kinds, request->kind);
    asked->home = mapped(trial->countries, request->home);
    asked->caller = mapped(trial->countries, request->caller);
    asked->classes = 0;
    bool known = asked->kind != DOM_POLICY_NONE && asked->home != DOM_POLICY_NONE &&
                 asked->caller != DOM_POLICY_NONE;
    for (dom_policy_set left = request->classes; known && left != 0; left &= left - 1) {
        dom_policy_set there = trial->classes[request->kind][__builtin_ctzll(left)];
        known = there != 0;
        asked->classes |= there;
    }
    /* A purpose that was given and is unknown there is not "none given". */
    if (request->purpose != DOM_POLICY_NONE && asked->purpose == DOM_POLICY_NONE) {
        asked->service = DOM_POLICY_NONE;
    }
    dom_policy_decide(trial->other, asked, &verdict->decision);
    verdict->error = !known;
    bool denied_here = decision->effect == DOM_EFFECT_DENY;
    bool denied_there = verdict->decision.effect == DOM_EFFECT_DENY;
    if (denied_here != denied_there) {
        bool candidate_denies = trial->is_candidate ? denied_here : denied_there;
        verdict->disagrees = true;
        verdict->new_deny = candidate_denies;
        verdict->new_allow = !candidate_denies;
    } else if (!denied_here && known) {
        compare_classes(trial, request, decision, verdict);
    } else {
        verdict->disagrees = decision->reason != verdict->decision.reason;
    }
    verdict->disagrees = verdict->disagrees || verdict->error;
}

static void count(atomic_uint_fast64_t *counter)
{
    /* One thread counts, so nothing is lost between the two; others read it a moment later. */
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + 1, memory_order_relaxed);
}

void dom_trial_count(const struct dom_trial *trial, const struct dom_trial_verdict *verdict)
{
    struct dom_tally *tally = trial->tally;

    count(&tally->requests);
    if (!verdict->disagrees) {
        return;
    }
    count(&tally->disagreements);
    if (verdict->new_deny) {
        count(&tally->new_denies);
    }
    if (verdict->new_allow) {
        count(&tally->new_allows);
    }
    if (verdict->error) {
        count(&tally->eval_errors);
    }
}
