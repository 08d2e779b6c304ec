/* Which cells of the permits the cases of a policy test reach. */
#include <stdlib.h>

#include "policy/expect_internal.h"
#include "policy/policy_internal.h"

/* Cells without a case that are named per permit. */
#define SHOWN_MAX 4U

static size_t index_of(const struct dom_model *model, size_t rule, size_t kind, size_t op,
                       size_t data_class)
{
    return ((rule * model->kinds.num + kind) * DOM_OP_STORE + op) * model->classes.num +
           data_class;
}

bool dom_expect_cover_init(struct dom_expect_report *report)
{
    const struct dom_model *model = &report->policy->model;
    size_t cells = index_of(model, model->num_rules, 0, 0, 0);

    report->cell_uses = calloc(cells / 64 + 1, sizeof(report->cell_uses[0]));
    return report->cell_uses != NULL;
}

void dom_expect_cover(struct dom_expect_report *report, const struct dom_policy_request *request,
                      const struct dom_policy_decision *decision)
{
    const struct dom_model *model = &report->policy->model;

    if (decision->cell == NULL) {
        return;
    }
    for (dom_policy_set left = request->classes & decision->cell->permitted; left != 0;
         left &= left - 1) {
        size_t c = (size_t)__builtin_ctzll(left);
        size_t at = index_of(model, (size_t)decision->cell->rule[c], (size_t)request->kind,
                             (size_t)request->op, c);
        report->cell_uses[at / 64] |= UINT64_C(1) << (at % 64);
    }
}

/* May some service ask for what the permit allows, by this op on this kind? */
static bool can_be_asked(const struct dom_model *model, const struct dom_rule *rule, size_t kind,
                         size_t op)
{
    for (size_t s = 0; s < model->services.num; s++) {
        const struct dom_service *service = &model->service_info[s];
        bool named = ((rule->services.bits[s / 64] >> (s % 64)) & 1U) != 0;
        for (size_t w = 0; named && w < DOM_ARRAY_LEN(service->purposes.bits); w++) {
            if ((service->purposes.bits[w] & rule->purposes.bits[w]) != 0 &&
                dom_set_has(service->kinds, (dom_policy_id)kind) &&
                ((service->ops >> op) & 1U) != 0) {
                return true;
            }
        }
    }
    return false;
}

struct dom_expect_cells dom_expect_cells(const struct dom_expect_report *report, size_t rule_id,
                                         struct dom_buffer *names)
{
    const struct dom_model *model = &report->policy->model;
    const struct dom_rule *rule = &model->rules[rule_id];
    struct dom_expect_cells cells = {0, 0};

    for (size_t kind = 0; rule->permit && kind < model->kinds.num; kind++) {
        dom_policy_set classes = rule->classes & model->kind_info[kind].classes;
        for (size_t op = 0; op < DOM_OP_STORE; op++) {
            if (!dom_set_has(rule->kinds, (dom_policy_id)kind) || ((rule->ops >> op) & 1U) == 0 ||
                !can_be_asked(model, rule, kind, op)) {
                continue;
            }
            for (dom_policy_set left = classes; left != 0; left &= left - 1) {
                size_t c = (size_t)__builtin_ctzll(left);
                size_t at = index_of(model, rule_id, kind, op, c);
                cells.num++;
                if (((report->cell_uses[at / 64] >> (at % 64)) & 1U) != 0) {
                    cells.covered++;
                } else if (names != NULL && cells.num - cells.covered <= SHOWN_MAX) {
                    dom_buffer_printf(names, "%s%s %s (%s)", names->len == 0 ? "" : ", ",
                                      dom_policy_op_name((enum dom_policy_op)op),
                                      model->kinds.names[kind], model->classes.names[c]);
                }
            }
        }
    }
    if (names != NULL && cells.num - cells.covered > SHOWN_MAX) {
        dom_buffer_append_str(names, ", ...");
    }
    return cells;
}

struct dom_expect_cells dom_expect_all_cells(const struct dom_expect_report *report)
{
    struct dom_expect_cells all = {0, 0};

    for (size_t i = 0; i < report->policy->model.num_rules; i++) {
        struct dom_expect_cells cells = dom_expect_cells(report, i, NULL);
        all.num += cells.num;
        all.covered += cells.covered;
    }
    return all;
}
