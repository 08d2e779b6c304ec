/* The answer for one set of matching rules: forbid beats permit, obligations unite. */
#include <string.h>

#include "policy/tables.h"

struct fold {
    struct dom_policy_cell *cell;
    uint8_t strength[DOM_CLASSES_MAX];    /* transform of the deciding permit */
    dom_policy_id lapsed[DOM_CLASSES_MAX]; /* first permit whose basis is not in force */
    dom_policy_id forbids[DOM_CLASSES_MAX];
};

static void fold_permit(struct fold *fold, const struct dom_rule *rule, dom_policy_id id)
{
    struct dom_policy_cell *cell = fold->cell;

    for (dom_policy_set left = rule->classes; left != 0; left &= left - 1) {
        int c = __builtin_ctzll(left);
        bool first = !dom_set_has(cell->permitted, (dom_policy_id)c);
        if (first || rule->transform[c] > fold->strength[c]) {
            fold->strength[c] = rule->transform[c];
            cell->rule[c] = id;
            cell->basis[c] = rule->basis;
            cell->pseudonym_key[c] = rule->key[c];
        }
        cell->permitted |= UINT64_C(1) << c;
    }
}

static void note_first(dom_policy_id *firsts, dom_policy_set classes, dom_policy_id id)
{
    for (dom_policy_set left = classes; left != 0; left &= left - 1) {
        int c = __builtin_ctzll(left);
        if (firsts[c] == DOM_POLICY_NONE) {
            firsts[c] = id;
        }
    }
}

/* Puts the classes' sets right after all rules were folded. */
static void settle(struct fold *fold, const struct dom_model *model)
{
    struct dom_policy_cell *cell = fold->cell;

    for (size_t c = 0; c < model->classes.num; c++) {
        dom_policy_set bit = UINT64_C(1) << c;
        if (fold->forbids[c] != DOM_POLICY_NONE) {
            cell->forbidden |= bit;
            cell->permitted &= ~bit;
            cell->rule[c] = fold->forbids[c];
            cell->basis[c] = DOM_POLICY_NONE;
            cell->pseudonym_key[c] = DOM_POLICY_NONE;
        } else if ((cell->permitted & bit) != 0) {
            cell->pseudonymise |= fold->strength[c] == DOM_TRANSFORM_PSEUDONYMISE ? bit : 0;
            cell->redact |= fold->strength[c] == DOM_TRANSFORM_REDACT ? bit : 0;
            cell->withhold |= fold->strength[c] == DOM_TRANSFORM_WITHHOLD ? bit : 0;
        } else if (fold->lapsed[c] != DOM_POLICY_NONE) {
            cell->expired |= bit;
            cell->rule[c] = fold->lapsed[c];
            cell->basis[c] = model->rules[fold->lapsed[c]].basis;
        }
    }
}

void dom_cell_fill(struct dom_policy_cell *cell, const struct dom_model *model,
                   const uint64_t *matching, int64_t time_ms, uint64_t *limiting)
{
    struct fold fold = {.cell = cell};
    size_t words = (model->num_rules + 63) / 64;

    memset(cell, 0, sizeof(*cell));
    for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
        cell->rule[c] = DOM_POLICY_NONE;
        cell->basis[c] = DOM_POLICY_NONE;
        cell->pseudonym_key[c] = DOM_POLICY_NONE;
        fold.lapsed[c] = DOM_POLICY_NONE;
        fold.forbids[c] = DOM_POLICY_NONE;
    }
    for (size_t w = 0; w < words; w++) {
        limiting[w] = 0;
        for (uint64_t left = matching[w]; left != 0; left &= left - 1) {
            size_t id = w * 64 + (size_t)__builtin_ctzll(left);
            const struct dom_rule *rule = &model->rules[id];
            if (!rule->permit) {
                note_first(fold.forbids, rule->classes, (dom_policy_id)id);
            } else if (dom_model_basis_in_force(model, rule->basis, time_ms)) {
                fold_permit(&fold, rule, (dom_policy_id)id);
                limiting[w] |= rule->num_limits > 0 ? left & (0 - left) : 0;
            } else {
                note_first(fold.lapsed, rule->classes, (dom_policy_id)id);
            }
        }
    }
    settle(&fold, model);
}
