/* One question to both policies: how do the answers differ? */
#include <string.h>

#include "policy/diff_internal.h"

#define SINGLES_MAX DOM_DIFF_ITEMS_MAX
#define TYPES_MAX 64U /* eight states before, eight after */

/* Rank of what becomes of a class: the larger lets out more. */
enum rank { RANK_WITHHELD = 0, RANK_REDACT, RANK_PSEUDONYMISE, RANK_CLEAR };

struct answer {
    struct dom_policy_decision decision;
    dom_policy_set passing; /* classes whose limits count */
};

/* How two answers differ. */
struct change {
    bool any;
    bool looser;
    bool tighter;
    size_t at;   /* which of the classes shows it */
    bool limits; /* the limits differ */
};

/* A class that this policy does not have is denied. */
static void ask(const struct dom_policy *policy, const struct dom_policy_request *template,
                const dom_policy_id *classes, size_t num, struct answer *answer)
{
    struct dom_policy_request request = *template;
    bool unknown = false;

    request.classes = 0;
    for (size_t i = 0; i < num; i++) {
        unknown = unknown || classes[i] == DOM_POLICY_NONE;
        request.classes |= classes[i] == DOM_POLICY_NONE ? 0 : dom_set_of(classes[i]);
    }
    dom_policy_decide(policy, &request, &answer->decision);
    if (unknown) {
        answer->decision.effect = DOM_EFFECT_DENY;
        answer->decision.cell = NULL;
        if (answer->decision.reason != DOM_SERVICE_DENIED) {
            answer->decision.reason = DOM_NO_PERMIT;
        }
    }
    const struct dom_policy_cell *cell = answer->decision.cell;
    answer->passing = answer->decision.effect == DOM_EFFECT_DENY || cell == NULL
                          ? 0
                          : request.classes & cell->permitted & ~answer->decision.withheld;
}

static enum rank rank_of(const struct answer *answer, dom_policy_id data_class)
{
    const struct dom_policy_decision *decision = &answer->decision;

    if (decision->effect == DOM_EFFECT_DENY || dom_set_has(decision->withheld, data_class)) {
        return RANK_WITHHELD;
    }
    if (dom_set_has(decision->redact, data_class)) {
        return RANK_REDACT;
    }
    return dom_set_has(decision->pseudonymise, data_class) ? RANK_PSEUDONYMISE : RANK_CLEAR;
}

/* ---- limits ---- */

/* The limit's classes as items, so that two policies' can be compared. */
static void limit_items(const uint16_t *item_of, dom_policy_set classes, uint64_t out[2])
{
    out[0] = 0;
    out[1] = 0;
    for (; classes != 0; classes &= classes - 1) {
        dom_bits_set(out, item_of[__builtin_ctzll(classes)]);
    }
}

struct limits {
    const struct dom_policy_cell *cell;
    dom_policy_set passing;
    const uint16_t *item_of;
};

static bool same_shape(const struct dom_policy_limit *a, const uint16_t *a_items,
                       const struct dom_policy_limit *b, const uint16_t *b_items)
{
    uint64_t x[2];
    uint64_t y[2];

    limit_items(a_items, a->classes, x);
    limit_items(b_items, b->classes, y);
    return a->count_subjects == b->count_subjects && a->calendar == b->calendar &&
           a->period_ms == b->period_ms && a->calendar_unit == b->calendar_unit &&
           memcmp(x, y, sizeof(x)) == 0;
}

/* Is every limit of `weak` kept by one of `strong` that is no wider? */
static bool covers(const struct limits *strong, const struct limits *weak)
{
    size_t num = weak->cell == NULL ? 0 : weak->cell->num_limits;
    size_t num_strong = strong->cell == NULL ? 0 : strong->cell->num_limits;

    for (size_t i = 0; i < num; i++) {
        const struct dom_policy_limit *limit = &weak->cell->limits[i];
        bool kept = (limit->classes & weak->passing) == 0;
        for (size_t j = 0; !kept && j < num_strong; j++) {
            const struct dom_policy_limit *other = &strong->cell->limits[j];
            kept = (other->classes & strong->passing) != 0 && other->records <= limit->records &&
                   same_shape(limit, weak->item_of, other, strong->item_of);
        }
        if (!kept) {
            return false;
        }
    }
    return true;
}

/* ---- comparing ---- */

static const char *key_name(const struct dom_policy *policy, const struct answer *answer,
                            dom_policy_id data_class)
{
    return dom_policy_pseudonym_key_name(policy,
                                         answer->decision.cell->pseudonym_key[data_class]);
}

static void compare_classes(const struct dom_differ *differ, const struct answer *was,
                            const struct answer *is, const dom_policy_id *old_classes,
                            const dom_policy_id *new_classes, size_t num, struct change *change)
{
    for (size_t i = num; i > 0; i--) {
        size_t c = i - 1;
        if (old_classes[c] == DOM_POLICY_NONE || new_classes[c] == DOM_POLICY_NONE) {
            continue; /* one side is a denial, which the effect tells */
        }
        enum rank before = rank_of(was, old_classes[c]);
        enum rank after = rank_of(is, new_classes[c]);
        bool other_key = before == RANK_PSEUDONYMISE && after == RANK_PSEUDONYMISE &&
                         strcmp(key_name(differ->before, was, old_classes[c]),
                                key_name(differ->after, is, new_classes[c])) != 0;
        change->looser = change->looser || after > before;
        change->tighter = change->tighter || after < before;
        if (after != before || other_key) {
            change->any = true;
            change->at = c;
        }
    }
}

static void compare_answers(const struct dom_differ *differ, const struct answer *was,
                            const struct answer *is, const dom_policy_id *old_classes,
                            const dom_policy_id *new_classes, size_t num, struct change *change)
{
    bool denied = was->decision.effect == DOM_EFFECT_DENY;
    bool denies = is->decision.effect == DOM_EFFECT_DENY;

    memset(change, 0, sizeof(*change));
    change->any = was->decision.effect != is->decision.effect ||
                  was->decision.reason != is->decision.reason;
    change->looser = denied && !denies;
    change->tighter = !denied && denies;
    compare_classes(differ, was, is, old_classes, new_classes, num, change);
    if (!denied && !denies) {
        struct limits before = {was->decision.cell, was->passing, differ->old_class_item};
        struct limits after = {is->decision.cell, is->passing, differ->new_class_item};
        bool looser = !covers(&after, &before);
        bool tighter = !covers(&before, &after);
        change->limits = looser || tighter;
        change->looser = change->looser || looser;
        change->tighter = change->tighter || tighter;
        change->any = change->any || change->limits;
    }
}

static enum dom_diff_kind kind_of(const struct answer *was, const struct answer *is,
                                  const struct change *change)
{
    bool denied = was->decision.effect == DOM_EFFECT_DENY;
    bool denies = is->decision.effect == DOM_EFFECT_DENY;

    if (denied && denies) {
        return DOM_DIFF_REASON;
    }
    if (denied != denies) {
        return denied ? DOM_DIFF_ALLOWED : DOM_DIFF_DENIED;
    }
    if (change->looser != change->tighter) {
        return change->looser ? DOM_DIFF_WEAKER : DOM_DIFF_STRONGER;
    }
    return DOM_DIFF_OBLIGATION;
}

struct question {
    struct dom_differ *differ;
    const struct dom_diff_asked *asked;
    struct dom_diff_found *out;
    size_t num;
    size_t max;
};

static uint32_t group_of(const struct question *question, const struct answer *was,
                         const struct answer *is, const dom_policy_id *old_classes,
                         const dom_policy_id *new_classes, const struct change *change,
                         size_t num)
{
    struct dom_diff_key key;
    dom_policy_id old_class = old_classes[change->at];
    dom_policy_id new_class = new_classes[change->at];
    const struct dom_policy_cell *old_cell = was->decision.cell;
    const struct dom_policy_cell *new_cell = is->decision.cell;
    bool old_known = old_cell != NULL && old_class != DOM_POLICY_NONE;
    bool new_known = new_cell != NULL && new_class != DOM_POLICY_NONE;

    memset(&key, 0, sizeof(key));
    key.facet = DOM_FACET_CROSSING;
    key.kind = (uint8_t)kind_of(was, is, change);
    key.looser = change->looser;
    key.tighter = change->tighter;
    key.old_effect = (uint8_t)was->decision.effect;
    key.new_effect = (uint8_t)is->decision.effect;
    key.old_verdict =
        (uint8_t)(old_class == DOM_POLICY_NONE ? RANK_WITHHELD : rank_of(was, old_class));
    key.new_verdict =
        (uint8_t)(new_class == DOM_POLICY_NONE ? RANK_WITHHELD : rank_of(is, new_class));
    key.old_rule = old_known ? old_cell->rule[old_class] : DOM_POLICY_NONE;
    key.new_rule = new_known ? new_cell->rule[new_class] : DOM_POLICY_NONE;
    key.old_key = key.old_verdict == RANK_PSEUDONYMISE ? old_cell->pseudonym_key[old_class]
                                                       : DOM_POLICY_NONE;
    key.new_key = key.new_verdict == RANK_PSEUDONYMISE ? new_cell->pseudonym_key[new_class]
                                                       : DOM_POLICY_NONE;
    key.old_reason = (int32_t)was->decision.reason;
    key.new_reason = (int32_t)is->decision.reason;
    key.together = num > 1 ? (uint32_t)num : 0;
    if (change->limits) {
        key.old_set = (uint64_t)(uintptr_t)old_cell->limits;
        key.new_set = (uint64_t)(uintptr_t)new_cell->limits;
        key.old_num = (uint32_t)old_cell->num_limits;
        key.new_num = (uint32_t)new_cell->num_limits;
    }
    return dom_diff_group_of(question->differ, &key);
}

/* Asks about these items together; what is found is appended unless `explained` tells it all. */
static void ask_items(struct question *question, const uint16_t *items, size_t num,
                      const struct change *explained, struct change *change)
{
    const struct dom_differ *differ = question->differ;
    dom_policy_id old_classes[DOM_DIFF_TOGETHER];
    dom_policy_id new_classes[DOM_DIFF_TOGETHER];
    struct answer was;
    struct answer is;

    for (size_t i = 0; i < num; i++) {
        old_classes[i] = differ->items[items[i]].old_class;
        new_classes[i] = differ->items[items[i]].new_class;
    }
    ask(differ->before, &question->asked->before, old_classes, num, &was);
    ask(differ->after, &question->asked->after, new_classes, num, &is);
    compare_answers(differ, &was, &is, old_classes, new_classes, num, change);
    bool news = (change->any && !explained->any) || (change->looser && !explained->looser) ||
                (change->tighter && !explained->tighter);
    if (!news || question->num == question->max) {
        return;
    }
    struct dom_diff_found *found = &question->out[question->num];
    memset(found, 0, sizeof(*found));
    found->group = group_of(question, &was, &is, old_classes, new_classes, change, num);
    found->num_items = (uint8_t)num;
    memcpy(found->items, items, num * sizeof(items[0]));
    question->num += found->group == UINT32_MAX ? 0U : 1U;
}

/* ---- classes together ---- */

static unsigned state_of(const struct dom_policy_cell *cell, dom_policy_id data_class)
{
    dom_policy_set bit = dom_set_of(data_class);

    if (cell == NULL) {
        return 7;
    }
    if ((cell->forbidden & bit) != 0) {
        return 1;
    }
    if ((cell->permitted & bit) == 0) {
        return (cell->expired & bit) != 0 ? 2 : 0;
    }
    return (cell->withhold & bit) != 0       ? 3
           : (cell->redact & bit) != 0       ? 4
           : (cell->pseudonymise & bit) != 0 ? 5
                                             : 6;
}

/* One item of each pair of states: items of the same pair are treated alike in any company. */
static size_t pick_types(const struct question *question, const struct dom_policy_cell *was,
                         const struct dom_policy_cell *is, uint16_t *types, bool *differ_p)
{
    bool seen[TYPES_MAX] = {false};
    size_t num = 0;

    *differ_p = question->differ->before->model.uncovered_denies !=
                question->differ->after->model.uncovered_denies;
    for (size_t i = 0; i < question->differ->num_classes; i++) {
        const struct dom_diff_item *item = &question->differ->items[i];
        if (item->old_class == DOM_POLICY_NONE || item->new_class == DOM_POLICY_NONE) {
            continue;
        }
        unsigned before = state_of(was, item->old_class);
        unsigned after = state_of(is, item->new_class);
        *differ_p = *differ_p || before != after;
        if (!seen[before * 8 + after]) {
            seen[before * 8 + after] = true;
            types[num++] = (uint16_t)i;
        }
    }
    return num;
}

static void unite(struct change *all, const struct change *one)
{
    all->any = all->any || one->any;
    all->looser = all->looser || one->looser;
    all->tighter = all->tighter || one->tighter;
}

/* What single classes do not show: a class that is now redacted instead of left out, a reason
 * that follows from several. */
static void ask_together(struct question *question, const struct change *singles,
                         const uint16_t *types, size_t num)
{
    struct change pairs[TYPES_MAX];

    for (size_t i = 0; i < num; i++) {
        for (size_t j = 0; j < i; j++) {
            struct change known = singles[types[i]];
            uint16_t two[] = {types[i], types[j]};
            unite(&known, &singles[types[j]]);
            ask_items(question, two, 2, &known, &pairs[j]);
            unite(&pairs[j], &known);
        }
        for (size_t j = 0; j < i; j++) {
            for (size_t k = 0; k < j; k++) {
                struct change known = pairs[j];
                struct change third = {.any = false};
                uint16_t three[] = {types[i], types[j], types[k]};
                unite(&known, &pairs[k]);
                ask_items(question, three, 3, &known, &third);
            }
        }
    }
}

size_t dom_diff_compare(struct dom_differ *differ, const struct dom_diff_asked *asked,
                        struct dom_diff_found *out, size_t max)
{
    struct question question = {.differ = differ, .asked = asked, .out = out, .max = max};
    struct change singles[SINGLES_MAX];
    struct change none = {.any = false};
    uint16_t types[TYPES_MAX];
    struct answer was;
    struct answer is;
    bool differing = false;

    for (size_t i = 0; i < differ->num_items; i++) {
        uint16_t item = (uint16_t)i;
        if (differ->items[i].kind < 0 || differ->items[i].kind == asked->kind) {
            ask_items(&question, &item, 1, &none, &singles[i]);
        }
    }
    ask(differ->before, &asked->before, NULL, 0, &was);
    ask(differ->after, &asked->after, NULL, 0, &is);
    size_t num = pick_types(&question, was.decision.cell, is.decision.cell, types, &differing);
    if (differing) {
        ask_together(&question, singles, types, num);
    }
    return question.num;
}
