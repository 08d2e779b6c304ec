/* P0503 over random policies: a rule that is said to never decide never does, whatever is asked; and
 * the finding does come up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"
#include "tests/policy/random_policy.h"

#define NOW      INT64_C(1795341600000)
#define POLICIES 400U
#define REQUESTS 4000U

/* A request out of everything that the policy names, at any time in twenty years. */
static void random_request(const struct dom_policy *policy, uint64_t *state,
                           struct dom_policy_request *request)
{
    memset(request, 0, sizeof(*request));
    request->op = (enum dom_policy_op)random_below(state, DOM_OP_STORE);
    request->kind = (dom_policy_id)random_below(state, (uint32_t)dom_policy_num_kinds(policy));
    request->home = (dom_policy_id)random_below(state, (uint32_t)dom_policy_num_countries(policy));
    request->caller = (dom_policy_id)random_below(state, (uint32_t)dom_policy_num_countries(policy));
    request->service = (dom_policy_id)random_below(state, 2);
    request->purpose = (dom_policy_id)random_below(state, 2);
    request->crosses = true;
    request->time_ms = NOW + ((int64_t)random_below(state, 7300) - 3650) * INT64_C(86400000);
    request->classes = (UINT64_C(1) << dom_policy_num_classes(policy)) - 1;
}

/* Asks a lot; fails when the rule decided a class or counted a limit. */
static void must_not_decide(const struct dom_policy *policy, const char *rule, uint64_t *state)
{
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct dom_policy_request request;
        struct dom_policy_decision decision;
        random_request(policy, state, &request);
        dom_policy_decide(policy, &request, &decision);
        for (size_t c = 0; decision.cell != NULL && c < dom_policy_num_classes(policy); c++) {
            if (strcmp(dom_policy_rule_name(policy, decision.cell->rule[c]), rule) == 0) {
                fail_msg("\"%s\" decides all the same:\n%.*s", rule,
                         (int)dom_policy_info(policy)->text.len,
                         (const char *)dom_policy_info(policy)->text.data);
            }
        }
        for (size_t i_limit = 0; decision.cell != NULL && i_limit < decision.cell->num_limits;
             i_limit++) {
            assert_string_not_equal(
                dom_policy_rule_name(policy, decision.cell->limits[i_limit].rule), rule);
        }
    }
}

/* The rule that a finding is about: between the first quotes of its message. */
static void rule_of(const struct dom_finding *finding, char *out, size_t size)
{
    const char *begin = strchr(finding->message, '"');
    const char *end = begin == NULL ? NULL : strchr(begin + 1, '"');

    assert_non_null(end);
    (void)snprintf(out, size, "%.*s", (int)(end - begin - 1), begin + 1);
}

static void a_rule_that_is_hidden_never_decides(void **unused)
{
    uint64_t state = 20261125;
    unsigned num_hidden = 0;

    (void)unused;
    for (unsigned i = 0; i < POLICIES; i++) {
        struct dom_policy_load_options options = {.name = "random", .now_ms = NOW};
        struct dom_findings findings = {0};
        struct dom_policy *policy = NULL;
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        random_small_policy(&text, &state, 12);
        if (dom_policy_compile(&policy, &findings, dom_buffer_slice(&text), &options, NULL) ==
            DOM_OK) {
            for (size_t k = 0; k < findings.num_items; k++) {
                char rule[160];
                if (strcmp(findings.items[k].code, "P0503") == 0) {
                    rule_of(&findings.items[k], rule, sizeof(rule));
                    must_not_decide(policy, rule, &state);
                    num_hidden++;
                }
            }
        }
        dom_findings_cleanup(&findings);
        dom_policy_unref(policy);
        dom_buffer_cleanup(&text);
    }
    assert_true(num_hidden >= 20); /* the check can fail */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_that_is_hidden_never_decides),
    };

    return cmocka_run_group_tests_name("hidden", tests, NULL, NULL);
}
