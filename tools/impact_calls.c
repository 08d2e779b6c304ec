/* The calls of the logs, asked of the new policy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/core/redecide.h"
#include "store/audit/scan.h"
#include "tools/impact.h"

#define INDEX_SIZE (4U * DOM_IMPACT_GROUPS_MAX)

const char *dom_impact_flip_words(enum dom_impact_flip flip)
{
    static const char *const words[] = {
#define X(name, text) text,
        DOM_IMPACT_FLIPS(X)
#undef X
    };

    return words[flip];
}

void dom_impact_init(struct dom_impact *impact, const struct dom_policy *policy, int64_t time_ms)
{
    memset(impact, 0, sizeof(*impact));
    impact->policy = policy;
    impact->time_ms = time_ms;
    impact->groups = calloc(DOM_IMPACT_GROUPS_MAX + 1, sizeof(*impact->groups));
    impact->index = calloc(INDEX_SIZE, sizeof(*impact->index));
    DOM_ASSERT(impact->groups != NULL);
    DOM_ASSERT(impact->index != NULL);
}

void dom_impact_cleanup(struct dom_impact *impact)
{
    free(impact->groups);
    free(impact->index);
    memset(impact, 0, sizeof(*impact));
}

/* ---- groups ---- */

static void copy_text(char *out, size_t size, struct dom_slice text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;

    if (len > 0) {
        memcpy(out, text.data, len);
    }
    out[len] = '\0';
}

static uint64_t hash_more(uint64_t hash, struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ text.data[i]) * UINT64_C(1099511628211);
    }
    return (hash ^ 0xFFU) * UINT64_C(1099511628211);
}

static bool is_group(const struct dom_impact_group *group, struct dom_slice service,
                     struct dom_slice home, struct dom_slice to)
{
    return dom_slice_eq_str(service, group->service) && dom_slice_eq_str(home, group->home) &&
           dom_slice_eq_str(to, group->to);
}

static struct dom_slice cut(struct dom_slice text, size_t size)
{
    return dom_slice_of(text.data, text.len < size - 1 ? text.len : size - 1);
}

/* The group of these names. Names that a caller makes up cannot exhaust memory: what finds no room
 * is counted together. */
static struct dom_impact_group *group_of(struct dom_impact *impact, struct dom_slice service,
                                         struct dom_slice home, struct dom_slice to)
{
    struct dom_impact_group *group = NULL;

    service = cut(service, sizeof(group->service));
    home = cut(home, sizeof(group->home));
    to = cut(to, sizeof(group->to));
    uint64_t hash = hash_more(
        hash_more(hash_more(UINT64_C(14695981039346656037), service), home), to);
    size_t slot = (size_t)(hash ^ (hash >> 32)) % INDEX_SIZE;
    while (impact->index[slot] != 0) {
        group = &impact->groups[impact->index[slot] - 1];
        if (is_group(group, service, home, to)) {
            return group;
        }
        slot = (slot + 1) % INDEX_SIZE;
    }
    if (impact->num_groups >= DOM_IMPACT_GROUPS_MAX) {
        group = &impact->groups[DOM_IMPACT_GROUPS_MAX];
        (void)snprintf(group->service, sizeof(group->service), "(others)");
        impact->num_groups = DOM_IMPACT_GROUPS_MAX + 1;
        return group;
    }
    group = &impact->groups[impact->num_groups++];
    impact->index[slot] = (uint32_t)impact->num_groups;
    copy_text(group->service, sizeof(group->service), service);
    copy_text(group->home, sizeof(group->home), home);
    copy_text(group->to, sizeof(group->to), to);
    return group;
}

static void add_example(struct dom_impact_group *group, enum dom_impact_flip flip,
                        const struct dom_impact_example *example)
{
    size_t at = 0;

    while (at < DOM_IMPACT_EXAMPLES_MAX && group->examples[flip][at].log != NULL) {
        at++;
    }
    if (at < DOM_IMPACT_EXAMPLES_MAX) {
        group->examples[flip][at] = *example;
    }
}

/* ---- not replayed ---- */

static void add_why(struct dom_impact *impact, const struct dom_impact_why *why)
{
    size_t member = strcspn(why->what, ":");

    impact->num_not_replayed += why->count;
    for (size_t i = 0; i < impact->num_whys; i++) {
        struct dom_impact_why *known = &impact->whys[i];
        if ((strcspn(known->what, ":") == member &&
             memcmp(known->what, why->what, member) == 0) ||
            i + 1 == DOM_IMPACT_WHYS_MAX) {
            known->count += why->count;
            return;
        }
    }
    impact->whys[impact->num_whys++] = *why;
}

/* ---- one entry ---- */

/* How much a handling holds back. */
static int strength(struct dom_slice handling)
{
    static const enum dom_handling order[] = {DOM_HANDLING_CLEAR, DOM_HANDLING_PSEUDONYM,
                                              DOM_HANDLING_REDACT, DOM_HANDLING_DROP};

    for (size_t i = 0; i < DOM_ARRAY_LEN(order); i++) {
        if (dom_slice_eq_str(handling, dom_handling_name(order[i]))) {
            return (int)i;
        }
    }
    return 0;
}

static bool fields_flip(const struct dom_policy *policy, const struct dom_decided *said,
                        const struct dom_replay *replay, enum dom_impact_flip *flip)
{
    struct dom_decided_field field;
    struct dom_slice rest = said->fields;
    bool less = false;
    bool more = false;

    while (dom_decided_next_field(&rest, &field)) {
        dom_policy_id data_class = DOM_POLICY_NONE;
        if (dom_slice_eq_str(field.name, "*")) {
            data_class = dom_policy_find_class(policy, field.data_class);
        } else {
            (void)dom_policy_field_class(policy, replay->request.kind, field.name, &data_class);
        }
        if (data_class == DOM_POLICY_NONE) {
            continue;
        }
        int now = strength(dom_slice_str(
            dom_handling_name(dom_access_handling(&replay->access, data_class))));
        less = less || now > strength(field.handling);
        more = more || now < strength(field.handling);
    }
    *flip = less && more ? DOM_IMPACT_BOTH : less ? DOM_IMPACT_LESS : DOM_IMPACT_MORE;
    return less || more;
}

/* A write that the new policy lets in must also find a place. */
static enum dom_code no_place(const struct dom_policy *policy,
                              const struct dom_policy_request *request)
{
    const struct dom_policy_placement *placement =
        dom_policy_place(policy, request->kind, request->home, request->time_ms);
    bool placed = placement != NULL && placement->lead != DOM_POLICY_NONE &&
                  (request->classes & ~placement->storable) == 0;

    return request->op == DOM_OP_WRITE && !placed ? DOM_NO_PLACEMENT : DOM_OK;
}

/* What the new decision changes for the caller; false when nothing. */
static bool flip_of(const struct dom_policy *policy, const struct dom_decided *said,
                    const struct dom_replay *replay, bool allowed_before, enum dom_code reason,
                    enum dom_impact_flip *flip)
{
    const struct dom_policy_decision *decision = &replay->access.decision;
    bool limited = dom_slice_eq_str(said->reason, dom_code_reason(DOM_LIMIT_REACHED)) &&
                   decision->cell != NULL && decision->cell->num_limits > 0;
    bool frozen = dom_slice_eq_str(said->reason, dom_code_reason(DOM_FROZEN));
    bool crossed = said->to.len > 0;

    if (allowed_before != (reason == DOM_OK)) {
        *flip = allowed_before ? DOM_IMPACT_DENIED : DOM_IMPACT_ALLOWED;
        /* A limit was used up then and may be now: the permit is the same. A freeze was no matter
         * of the policy. */
        return allowed_before || !(limited || frozen);
    }
    if (!allowed_before) {
        return false;
    }
    if (crossed != replay->request.crosses) {
        *flip = DOM_IMPACT_BORDER;
        return true;
    }
    return fields_flip(policy, said, replay, flip);
}

static void count(struct dom_impact *impact, const struct dom_decided *said,
                  const struct dom_replay *replay, const struct dom_impact_example *where)
{
    const struct dom_policy_decision *decision = &replay->access.decision;
    struct dom_impact_group *group =
        group_of(impact, dom_decided_service(said), said->home, said->actor_country);
    bool before = !dom_slice_eq_str(said->effect, "deny");
    enum dom_code reason = decision->effect == DOM_EFFECT_DENY
                               ? decision->reason
                               : no_place(impact->policy, &replay->request);
    enum dom_impact_flip flip = DOM_IMPACT_DENIED;

    impact->num_replayed++;
    group->num_replayed++;
    group->num_allowed_before += before ? 1U : 0U;
    group->num_allowed_after += reason == DOM_OK ? 1U : 0U;
    if (flip_of(impact->policy, said, replay, before, reason, &flip)) {
        struct dom_impact_example example = *where;
        example.reason = reason == DOM_OK ? "PERMIT" : dom_code_reason(reason);
        impact->flips[flip]++;
        group->flips[flip]++;
        add_example(group, flip, &example);
    }
}

void dom_impact_entry(struct dom_impact *impact, const char *log, uint64_t index,
                      struct dom_slice entry)
{
    struct dom_impact_example where = {.log = log, .index = index};
    struct dom_impact_why why = {.log = log, .index = index, .count = 1};
    struct dom_entry_head head;
    struct dom_decided said;
    struct dom_replay replay;
    struct dom_error err = {0};

    impact->num_entries++;
    if (dom_entry_scan(entry, &head, &err) != DOM_OK) {
        (void)snprintf(why.what, sizeof(why.what), "entry: %.180s", err.message);
        add_why(impact, &why);
        return;
    }
    dom_decided_read_scanned(&said, entry);
    if (!dom_decided_is_decision(&said)) {
        impact->num_other++;
        return;
    }
    int64_t time_ms = impact->time_ms != 0 ? impact->time_ms : said.decision_time_ms;
    if (!dom_replay_ask(&replay, impact->policy, &said, time_ms, why.what)) {
        add_why(impact, &why);
        return;
    }
    copy_text(where.id, sizeof(where.id), head.id);
    count(impact, &said, &replay, &where);
}

/* ---- together ---- */

static void add_group(struct dom_impact *impact, const struct dom_impact_group *more)
{
    struct dom_impact_group *group =
        group_of(impact, dom_slice_str(more->service), dom_slice_str(more->home),
                 dom_slice_str(more->to));

    group->num_replayed += more->num_replayed;
    group->num_allowed_before += more->num_allowed_before;
    group->num_allowed_after += more->num_allowed_after;
    for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
        group->flips[flip] += more->flips[flip];
        for (size_t i = 0; i < DOM_IMPACT_EXAMPLES_MAX && more->examples[flip][i].log != NULL;
             i++) {
            add_example(group, (enum dom_impact_flip)flip, &more->examples[flip][i]);
        }
    }
}

void dom_impact_add(struct dom_impact *impact, const struct dom_impact *more)
{
    impact->num_entries += more->num_entries;
    impact->num_replayed += more->num_replayed;
    impact->num_other += more->num_other;
    for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
        impact->flips[flip] += more->flips[flip];
    }
    for (size_t i = 0; i < more->num_whys; i++) {
        add_why(impact, &more->whys[i]);
    }
    for (size_t i = 0; i < more->num_groups; i++) {
        add_group(impact, &more->groups[i]);
    }
}

static uint64_t num_flips(const struct dom_impact_group *group)
{
    uint64_t sum = 0;

    for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
        sum += group->flips[flip];
    }
    return sum;
}

static int compare_groups(const void *a, const void *b)
{
    const struct dom_impact_group *left = a;
    const struct dom_impact_group *right = b;
    uint64_t left_flips = num_flips(left);
    uint64_t right_flips = num_flips(right);

    if (left_flips != right_flips) {
        return left_flips > right_flips ? -1 : 1;
    }
    int order = strcmp(left->service, right->service);
    order = order != 0 ? order : strcmp(left->home, right->home);
    return order != 0 ? order : strcmp(left->to, right->to);
}

void dom_impact_sort(struct dom_impact *impact)
{
    qsort(impact->groups, impact->num_groups, sizeof(*impact->groups), compare_groups);
    memset(impact->index, 0, INDEX_SIZE * sizeof(*impact->index)); /* no more is to be added */
}
