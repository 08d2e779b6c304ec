/* What requests across borders and at home share, and those at home: there only the services'
 * sections are asked. */
#include <stdlib.h>
#include <string.h>

#include "policy/diff_internal.h"

/* More pairs of states than any policy's tables can hold. */
#define STATES_BYTES_MAX ((size_t)16U << 20)

static uint32_t first_state(const struct dom_tables *tables, dom_policy_id home, dom_policy_id to)
{
    if (home == DOM_POLICY_NONE || to == DOM_POLICY_NONE) {
        return DOM_DIFF_UNKNOWN_STATE;
    }
    return tables->pairs[(size_t)tables->home_class[home] * tables->num_to +
                         tables->to_class[to]];
}

/* Adds the classes of places h and t to the pair that begins in the same two states. */
static bool add_pair(const struct dom_differ *differ, struct dom_interner *states,
                     const uint32_t key[2], size_t h, size_t t, struct dom_diff_pair *pairs)
{
    uint32_t known = states->num;
    uint32_t id = dom_interner_add(states, key);

    if (id == UINT32_MAX) {
        return false;
    }
    if (id == known) {
        memset(&pairs[id], 0, sizeof(pairs[id]));
        pairs[id].old_state = key[0];
        pairs[id].new_state = key[1];
        pairs[id].home = h;
        pairs[id].to = t;
    }
    dom_bits_set(pairs[id].homes, h);
    dom_bits_set(pairs[id].tos, t);
    pairs[id].weight += (uint64_t)differ->homes.weight[h] * differ->tos.weight[t];
    return true;
}

bool dom_diff_pairs(const struct dom_differ *differ, bool only_known,
                    struct dom_diff_pair **pairsp, size_t *num)
{
    struct dom_interner states;
    struct dom_diff_pair *pairs =
        calloc(differ->homes.num * differ->tos.num + 1, sizeof(*pairs));
    bool ok = pairs != NULL;

    dom_interner_init(&states, 8, STATES_BYTES_MAX);
    for (size_t h = 0; ok && h < differ->homes.num; h++) {
        for (size_t t = 0; ok && t < differ->tos.num; t++) {
            uint32_t key[2] = {first_state(&differ->before->tables, differ->homes.old_rep[h],
                                           differ->tos.old_rep[t]),
                               first_state(&differ->after->tables, differ->homes.new_rep[h],
                                           differ->tos.new_rep[t])};
            for (size_t i = 0; only_known && i < 2; i++) {
                key[i] = key[i] == DOM_DIFF_UNKNOWN_STATE ? key[i] : 0;
            }
            ok = add_pair(differ, &states, key, h, t, pairs);
        }
    }
    *num = states.num;
    *pairsp = pairs;
    dom_interner_cleanup(&states);
    return ok;
}

void dom_diff_ask(const struct dom_differ *differ, const struct dom_diff_hit *at, bool crosses,
                  struct dom_diff_asked *asked)
{
    memset(asked, 0, sizeof(*asked));
    asked->kind = (int)at->kind;
    asked->before.op = (enum dom_policy_op)at->op;
    asked->before.crosses = crosses;
    asked->after = asked->before;
    asked->before.kind = differ->kinds.old_rep[at->kind];
    asked->after.kind = differ->kinds.new_rep[at->kind];
    asked->before.service = differ->services.old_rep[at->service];
    asked->after.service = differ->services.new_rep[at->service];
    asked->before.purpose =
        at->no_purpose ? DOM_POLICY_NONE : differ->purposes.old_rep[at->purpose];
    asked->after.purpose =
        at->no_purpose ? DOM_POLICY_NONE : differ->purposes.new_rep[at->purpose];
}

/* A purpose that only one policy knows is a purpose all the same: the other denies it, also where
 * it would have let a request without any pass. */
uint32_t dom_diff_served(const struct dom_differ *differ, const struct dom_diff_hit *at,
                         const struct dom_diff_asked *asked)
{
    bool old_unknown = !at->no_purpose && asked->before.purpose == DOM_POLICY_NONE;
    bool new_unknown = !at->no_purpose && asked->after.purpose == DOM_POLICY_NONE;
    bool before = !old_unknown && dom_policy_service_allows(differ->before, &asked->before);
    bool after = !new_unknown && dom_policy_service_allows(differ->after, &asked->after);

    return (before ? 1U : 0U) | (after ? 2U : 0U);
}

static void home_pair(struct dom_differ *differ, const struct dom_diff_pair *pair,
                      uint32_t served, struct dom_diff_hit *hit)
{
    struct dom_diff_key key;
    struct dom_diff_found found;
    bool was = (served & 1U) != 0 && pair->old_state != DOM_DIFF_UNKNOWN_STATE;
    bool is = (served & 2U) != 0 && pair->new_state != DOM_DIFF_UNKNOWN_STATE;

    memset(&key, 0, sizeof(key));
    memset(&found, 0, sizeof(found));
    key.facet = DOM_FACET_HOME;
    key.old_effect = was ? DOM_EFFECT_ALLOW : DOM_EFFECT_DENY;
    key.new_effect = is ? DOM_EFFECT_ALLOW : DOM_EFFECT_DENY;
    key.old_reason = (served & 1U) == 0 ? DOM_SERVICE_DENIED : was ? DOM_OK : DOM_NO_PERMIT;
    key.new_reason = (served & 2U) == 0 ? DOM_SERVICE_DENIED : is ? DOM_OK : DOM_NO_PERMIT;
    if (key.old_reason == key.new_reason) {
        return;
    }
    key.kind = was == is ? DOM_DIFF_REASON : is ? DOM_DIFF_ALLOWED : DOM_DIFF_DENIED;
    key.looser = is && !was;
    key.tighter = was && !is;
    key.old_rule = DOM_POLICY_NONE;
    key.new_rule = DOM_POLICY_NONE;
    key.old_key = DOM_POLICY_NONE;
    key.new_key = DOM_POLICY_NONE;
    found.group = dom_diff_group_of(differ, &key);
    if (found.group == UINT32_MAX) {
        return;
    }
    hit->homes = pair->homes;
    hit->tos = pair->tos;
    hit->home = pair->home;
    hit->to = pair->to;
    hit->weight = pair->weight * differ->services.weight[hit->service] *
                  (hit->no_purpose ? 1U : differ->purposes.weight[hit->purpose]);
    dom_diff_hit(differ, &found, hit);
}

static void home_kind(struct dom_differ *differ, size_t kind, const struct dom_diff_pair *pairs,
                      size_t num_pairs)
{
    size_t num_purposes = differ->purposes.num;
    struct dom_diff_asked asked;

    for (unsigned op = 0; op < DOM_OP_STORE; op++) {
        for (size_t s = 0; s < differ->services.num; s++) {
            for (size_t p = 0; p <= num_purposes; p++) {
                struct dom_diff_hit hit = {.kind = kind,
                                           .op = op,
                                           .service = s,
                                           .purpose = p,
                                           .no_purpose = p == num_purposes,
                                           .time_ms = dom_stretch_time(&differ->stretches, 0)};
                dom_diff_ask(differ, &hit, false, &asked);
                uint32_t served = dom_diff_served(differ, &hit, &asked);
                for (size_t i = 0; i < num_pairs && served != 0; i++) {
                    home_pair(differ, &pairs[i], served, &hit);
                }
            }
        }
    }
}

void dom_diff_home(struct dom_differ *differ)
{
    struct dom_diff_pair *pairs = NULL;
    size_t num_pairs = 0;

    differ->failed = !dom_diff_pairs(differ, true, &pairs, &num_pairs);
    for (size_t k = 0; !differ->failed && !differ->too_large && k < differ->kinds.num; k++) {
        home_kind(differ, k, pairs, num_pairs);
    }
    free(pairs);
}
