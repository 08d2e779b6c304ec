/* The compiled evaluator and the plain one give the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "policy/policy.h"
#include "policy/tree.h"
#include "tests/policy/random_policy.h"
#include "tests/policy/reference.h"

#if defined(DOM_ASAN) || defined(DOM_TSAN)
#define CASES 40000U
#define POLICIES 20U
#else
#define CASES 1000000U
#define POLICIES 100U
#endif

struct subject {
    struct dom_policy *policy;
    struct dom_node *root;
    struct dom_arena arena;
    struct dom_buffer text;
};

static bool make(struct subject *subject)
{
    struct dom_policy_load_options options = {.name = "random", .now_ms = 0};
    struct dom_findings findings = {0};
    struct dom_error err = {0};

    dom_arena_init(&subject->arena, NULL, 0, DOM_TREE_BYTES_MAX);
    enum dom_code rc = dom_policy_compile(&subject->policy, &findings,
                                          dom_buffer_slice(&subject->text), &options, &err);
    if (rc != DOM_OK) {
        /* Random placement may ask for what cannot be; anything else is a bug of the generator. */
        for (size_t i = 0; i < findings.num_items; i++) {
            const struct dom_finding *item = &findings.items[i];
            if (item->level == DOM_FINDING_ERROR && strcmp(item->code, "P0304") != 0 &&
                strcmp(item->code, "P0307") != 0) {
                print_error("%s %u:%u %s\n%.*s\n", item->code, item->line, item->column,
                            item->message, (int)subject->text.len,
                            (const char *)subject->text.data);
                fail();
            }
        }
        dom_findings_cleanup(&findings);
        dom_arena_cleanup(&subject->arena);
        return false;
    }
    dom_findings_cleanup(&findings);
    assert_int_equal(dom_tree_parse(&subject->root, dom_buffer_slice(&subject->text),
                                    &subject->arena, &findings, &err),
                     DOM_OK);
    dom_findings_cleanup(&findings);
    return true;
}

static void drop(struct subject *subject)
{
    dom_policy_unref(subject->policy);
    dom_arena_cleanup(&subject->arena);
    dom_buffer_cleanup(&subject->text);
}

/* A random member of a section, or NULL once in `rarely`. */
static const char *member(const struct subject *subject, uint64_t *state, const char *section,
                          uint32_t rarely)
{
    const struct dom_node *node = dom_node_get(subject->root, section);

    if (node->num == 0 || random_below(state, rarely) == 0) {
        return NULL;
    }
    node = node->first;
    for (uint32_t skip = random_below(state, (uint32_t)node->parent->num); skip > 0; skip--) {
        node = node->next;
    }
    return node->name;
}

static const char *country(const struct subject *subject, uint64_t *state)
{
    size_t num = dom_policy_num_countries(subject->policy);

    if (random_below(state, 40) == 0) {
        return NULL;
    }
    return dom_policy_country_name(subject->policy,
                                   (dom_policy_id)random_below(state, (uint32_t)num));
}

/* Days around the bases' dates, at and around midnight. */
static int64_t random_time(uint64_t *state)
{
    static const int64_t offsets[] = {0, -1, 1, 86399999, 43200000};
    int64_t day = 20089 - 30 + (int64_t)random_below(state, 1400); /* from December 2024 */

    return day * 86400000 + offsets[random_below(state, DOM_ARRAY_LEN(offsets))];
}

static void random_request(const struct subject *subject, uint64_t *state,
                           struct reference_request *plain, struct dom_policy_request *request)
{
    static const char *const ops[] = {"read", "list", "write", "delete"};
    const struct dom_policy *policy = subject->policy;
    size_t num_classes = dom_policy_num_classes(policy);

    memset(plain, 0, sizeof(*plain));
    memset(request, 0, sizeof(*request));
    plain->op = ops[random_below(state, 4)];
    plain->service = member(subject, state, "services", 40);
    plain->purpose = member(subject, state, "purposes", 20);
    plain->kind = member(subject, state, "kinds", 60);
    plain->home = country(subject, state);
    plain->caller = country(subject, state);
    plain->crosses = random_below(state, 10) != 0;
    plain->time_ms = random_time(state);
    for (size_t c = 0; c < num_classes; c++) {
        plain->classes[c] = random_below(state, 2) == 0;
        request->classes |= plain->classes[c] ? (dom_policy_set)1 << c : 0;
    }
    assert_true(dom_policy_op_parse(dom_slice_str(plain->op), &request->op));
#define ID(what, name) ((name) == NULL ? DOM_POLICY_NONE : \
                        dom_policy_find_##what(policy, dom_slice_str(name)))
    request->service = ID(service, plain->service);
    request->purpose = ID(purpose, plain->purpose);
    request->kind = ID(kind, plain->kind);
    request->home = ID(country, plain->home);
    request->caller = ID(country, plain->caller);
#undef ID
    request->crosses = plain->crosses;
    request->time_ms = plain->time_ms;
}

static const char *verdict(const struct dom_policy_decision *decision, size_t c)
{
    dom_policy_set bit = (dom_policy_set)1 << c;
    int sets = ((decision->clear & bit) != 0) + ((decision->redact & bit) != 0) +
               ((decision->pseudonymise & bit) != 0) + ((decision->withheld & bit) != 0);

    assert_int_equal(sets, 1); /* disjoint, and together the request's classes */
    return (decision->clear & bit) != 0          ? "clear"
           : (decision->redact & bit) != 0       ? "redact"
           : (decision->pseudonymise & bit) != 0 ? "pseudonymise"
                                                 : "withheld";
}

static bool same_classes(const struct subject *subject, const struct reference_request *plain,
                         const struct dom_policy_decision *decision,
                         const struct reference_answer *answer)
{
    const struct dom_policy *policy = subject->policy;

    for (size_t c = 0; c < dom_policy_num_classes(policy); c++) {
        if (plain->classes[c] && strcmp(verdict(decision, c), answer->verdict[c]) != 0) {
            return false;
        }
        if (decision->cell != NULL &&
            (strcmp(dom_policy_rule_name(policy, decision->cell->rule[c]), answer->rule[c]) != 0 ||
             strcmp(dom_policy_basis_name(policy, decision->cell->basis[c]), answer->basis[c]) !=
                 0 ||
             strcmp(dom_policy_pseudonym_key_name(policy, decision->cell->pseudonym_key[c]),
                    answer->key[c]) != 0)) {
            return false;
        }
    }
    return decision->cell == NULL || decision->cell->num_limits == answer->num_limits;
}

static void hold_against(const struct subject *subject, uint64_t *state, size_t cases,
                         size_t *effects)
{
    struct reference_request plain;
    struct reference_answer answer;
    struct dom_policy_request request;
    struct dom_policy_decision decision;

    for (size_t i = 0; i < cases; i++) {
        random_request(subject, state, &plain, &request);
        dom_policy_decide(subject->policy, &request, &decision);
        reference_decide(subject->root, &plain, &answer);
        effects[decision.effect]++;
        if (strcmp(dom_policy_effect_name(decision.effect), answer.effect) != 0 ||
            strcmp(dom_code_reason(decision.reason), answer.reason) != 0 ||
            !same_classes(subject, &plain, &decision, &answer)) {
            struct dom_buffer out;
            dom_buffer_init(&out, 0);
            dom_policy_explain(subject->policy, &request, &out);
            print_error("%.*s\n%s\nplain: %s %s\n", (int)subject->text.len,
                        (const char *)subject->text.data, dom_buffer_cstr(&out), answer.effect,
                        answer.reason);
            for (size_t c = 0; c < dom_policy_num_classes(subject->policy); c++) {
                print_error("  c%zu asked %d: %s rule %s | plain %s rule %s basis %s key %s\n", c,
                            plain.classes[c],
                            plain.classes[c] ? verdict(&decision, c) : "-",
                            decision.cell == NULL ? "-"
                                                  : dom_policy_rule_name(subject->policy,
                                                                         decision.cell->rule[c]),
                            answer.verdict[c] == NULL ? "-" : answer.verdict[c], answer.rule[c],
                            answer.basis[c], answer.key[c]);
            }
            fail_msg("the two evaluators disagree at case %zu", i);
        }
    }
}

static void hold_places_against(const struct subject *subject, uint64_t *state)
{
    const struct dom_policy *policy = subject->policy;
    struct reference_place plain;

    for (size_t k = 0; k < dom_policy_num_kinds(policy); k++) {
        for (size_t h = 0; h < dom_policy_num_countries(policy); h++) {
            int64_t time_ms = random_time(state);
            const struct dom_policy_placement *place =
                dom_policy_place(policy, (dom_policy_id)k, (dom_policy_id)h, time_ms);
            reference_place(subject->root, dom_policy_kind_name(policy, (dom_policy_id)k),
                            dom_policy_country_name(policy, (dom_policy_id)h), time_ms, &plain);
            assert_string_equal(dom_policy_region_name(policy, place->lead), plain.lead);
            for (size_t c = 0; c < dom_policy_num_classes(policy); c++) {
                assert_string_equal(dom_policy_placement_name(policy, place->rule[c]),
                                    plain.rule[c]);
                assert_int_equal(place->min_replicas[c], plain.min_replicas[c]);
                for (size_t r = 0; r < dom_policy_num_regions(policy); r++) {
                    assert_int_equal((place->regions[c] >> r) & 1, plain.in[c][r]);
                }
            }
        }
    }
}

static void compiled_agrees_with_plain_on_random_policies(void **unused)
{
    (void)unused;
    const char *given = getenv("DOM_TEST_SEED");
    uint64_t seed = given == NULL ? (uint64_t)dom_clock_wall_ms(dom_clock_system())
                                  : strtoull(given, NULL, 10);
    uint64_t state = seed * 2654435761U + 1;
    size_t effects[3] = {0};
    size_t made = 0;
    size_t tried = 0;

    print_message("seed %llu (set DOM_TEST_SEED to repeat)\n", (unsigned long long)seed);
    while (made < POLICIES) {
        struct subject subject;
        dom_buffer_init(&subject.text, 0);
        random_policy(&subject.text, &state, 24);
        assert_true(++tried < POLICIES * 50);
        if (!make(&subject)) {
            dom_buffer_cleanup(&subject.text);
            continue;
        }
        made++;
        hold_against(&subject, &state, CASES / POLICIES * 9 / 10, effects);
        hold_places_against(&subject, &state);
        drop(&subject);
    }
    print_message("%zu policies of %zu: %zu deny, %zu allow, %zu modify\n", made, tried,
                  effects[0], effects[1], effects[2]);
    assert_true(effects[0] > 0);
    assert_true(effects[1] > 0);
    assert_true(effects[2] > 0);
}

static void compiled_agrees_with_plain_on_the_shipped_like_policy(void **unused)
{
    (void)unused;
    struct subject subject;
    struct dom_error err = {0};
    uint64_t state = 88172645463325252ULL;
    size_t effects[3] = {0};

    dom_buffer_init(&subject.text, 0);
    assert_int_equal(dom_file_read(&subject.text, "tests/policy/data/shipped_like.cfg",
                                   DOM_POLICY_FILE_BYTES_MAX, &err),
                     DOM_OK);
    assert_true(make(&subject));
    hold_against(&subject, &state, CASES / 10, effects);
    for (int i = 0; i < 20; i++) {
        hold_places_against(&subject, &state);
    }
    drop(&subject);
    assert_true(effects[DOM_EFFECT_MODIFY] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiled_agrees_with_plain_on_the_shipped_like_policy),
        cmocka_unit_test(compiled_agrees_with_plain_on_random_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
