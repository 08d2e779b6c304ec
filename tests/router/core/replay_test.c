/* P4: each of 100,000 mixed entries, decided again under the policy version that decided it, comes
 * out the same; under another version it says so instead of deciding. */
#include <stdio.h>
#include <stdlib.h>

#include "router/core/redecide.h"
#include "router/core/trail.h"
#include "tests/router/core/harness.h"

#define NUM_ENTRIES  100000U
#define NUM_VERSIONS 4U
#define SHIPPED      3U
#define SEED         UINT64_C(0x5DEECE66D1234567)
#define YEAR_MS      (INT64_C(365) * 24 * 3600 * 1000)
#define FIELDS_MAX   12U
#define DRAWS        100U

/* Three versions of a policy, and the shipped one, over one store. */
struct replay {
    struct core core;
    struct dom_snapshot *snapshots[NUM_VERSIONS];
    uint64_t random;
};

static uint64_t roll(struct replay *r, uint64_t below)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (r->random >> 11) % below;
}

/* The test's policy with `before` (there once or more) made `now`. */
static struct dom_policy *changed(const char *const (*changes)[2], size_t num_changes)
{
    struct dom_buffer text = {0};

    dom_buffer_append_str(&text, core_policy_text);
    for (size_t i = 0; i < num_changes; i++) {
        struct dom_buffer out = {0};
        const char *all = dom_buffer_cstr(&text);
        const char *at = strstr(all, changes[i][0]);
        assert_non_null(at);
        dom_buffer_append(&out, all, (size_t)(at - all));
        dom_buffer_append_str(&out, changes[i][1]);
        dom_buffer_append_str(&out, at + strlen(changes[i][0]));
        dom_buffer_cleanup(&text);
        text = out;
    }
    struct dom_policy *policy = core_compile(dom_buffer_cstr(&text));
    dom_buffer_cleanup(&text);
    return policy;
}

static struct dom_policy *shipped(void)
{
    struct dom_policy_load_options options = {.now_ms = NOW};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};

    if (dom_policy_load(&policy, &findings, "policy/global-live/policy.cfg", &options, &err) !=
        DOM_OK) {
        fail_msg("%s", err.message);
    }
    dom_findings_cleanup(&findings);
    return policy;
}

static int setup(void **state)
{
    static const char *const second[][2] = {
        {"version = 3L", "version = 4L"},
        {"{ do = \"redact\"; classes = (\"network\"); }",
         "{ do = \"withhold\"; classes = (\"network\"); }"},
        {"until = \"2026-06-30\"", "until = \"2027-06-30\""},
    };
    static const char *const third[][2] = {
        {"version = 3L", "version = 5L"},
        {"{ id = \"no-location\"; effect = \"forbid\"; ops = (\"*\"); home = (\"*\"); to = "
         "(\"*\");\n    classes = (\"location\"); }",
         "{ id = \"no-us\"; effect = \"forbid\"; ops = (\"write\", \"delete\"); home = (\"EEA\"); "
         "to = (\"US\");\n    classes = (\"*\"); }"},
    };
    const char *regions[DOM_REGIONS_MAX];
    struct replay *r = calloc(1, sizeof(*r));
    struct dom_policy *live = shipped();
    size_t num = 0;

    assert_non_null(r);
    for (const char *const *own = (const char *const[]){"eu-1", "eu-2", "uk-1", "us-1", NULL};
         *own != NULL; own++) {
        regions[num++] = *own;
    }
    for (size_t i = 0; i < dom_policy_num_regions(live); i++) {
        regions[num++] = dom_policy_region_name(live, (dom_policy_id)i);
    }
    core_open(&r->core, regions, num);
    r->snapshots[0] = dom_snapshot_ref(r->core.snapshot);
    r->snapshots[1] = dom_snapshot_new(changed(second, DOM_ARRAY_LEN(second)), r->core.store, NOW);
    r->snapshots[2] = dom_snapshot_new(changed(third, DOM_ARRAY_LEN(third)), r->core.store, NOW);
    r->snapshots[SHIPPED] = dom_snapshot_new(live, r->core.store, NOW);
    r->random = SEED;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct replay *r = *state;

    for (size_t i = 0; i < NUM_VERSIONS; i++) {
        dom_snapshot_unref(r->snapshots[i]);
    }
    core_close(&r->core);
    free(r);
    return 0;
}

/* Who asks: a service that the policy knows or not, in one of its regions. */
static struct dom_caller any_caller(struct replay *r, const struct dom_snapshot *snapshot,
                                    char *subject, size_t subject_size)
{
    static const char *const s_services[] = {"moderation",      "feed",           "room-service",
                                             "profile-service", "recommendation", "billing",
                                             "stranger"};
    struct dom_refusal refusal = {0};
    struct dom_caller caller;
    const char *service = s_services[roll(r, DOM_ARRAY_LEN(s_services))];
    dom_policy_id region = (dom_policy_id)roll(r, dom_policy_num_regions(snapshot->policy));

    (void)snprintf(subject, subject_size, "insecure:%s", service);
    if (dom_caller_resolve(&caller, snapshot, dom_slice_str(subject), dom_slice_str(service),
                           dom_slice_str(dom_policy_region_name(snapshot->policy, region)),
                           &refusal) != DOM_OK) {
        fail_msg("%s", refusal.error.message);
    }
    return caller;
}

/* Some of the kind's fields, each once, and seldom one that it does not declare. */
static size_t any_fields(struct replay *r, const struct dom_policy *policy, dom_policy_id kind,
                         struct dom_slice *fields)
{
    size_t num = 0;
    size_t declared = dom_policy_kind_num_fields(policy, kind);

    if (declared > 0 && roll(r, 3) == 0) { /* one alone is permitted as it is more often */
        fields[num++] =
            dom_slice_str(dom_policy_kind_field_name(policy, kind, (size_t)roll(r, declared)));
        return num;
    }
    for (size_t i = 0; i < declared && num < FIELDS_MAX - 1; i++) {
        if (roll(r, 3) == 0) {
            fields[num++] = dom_slice_str(dom_policy_kind_field_name(policy, kind, i));
        }
    }
    if (num == 0 || roll(r, 20) == 0) {
        fields[num++] = DOM_SLICE_LIT("undeclared");
    }
    return num;
}

/* A request that crosses a border, decided. */
static size_t any_access(struct replay *r, const struct dom_snapshot *snapshot,
                         struct dom_caller *caller, char *subject, size_t subject_size,
                         struct dom_access *access, struct dom_slice *fields)
{
    static const enum dom_policy_op s_ops[] = {DOM_OP_READ, DOM_OP_READ,  DOM_OP_READ,
                                               DOM_OP_LIST, DOM_OP_WRITE, DOM_OP_DELETE};
    const struct dom_policy *policy = snapshot->policy;
    dom_store_region served = DOM_STORE_NO_REGION;
    dom_policy_set classes = 0;

    do {
        *caller = any_caller(r, snapshot, subject, subject_size);
        dom_policy_id region = (dom_policy_id)roll(r, dom_policy_num_regions(policy));
        served = dom_store_find_region(r->core.store,
                                       dom_slice_str(dom_policy_region_name(policy, region)));
        assert_int_not_equal(served, DOM_STORE_NO_REGION);
    } while (dom_snapshot_jurisdiction(snapshot, served) == caller->jurisdiction);
    dom_policy_id kind = (dom_policy_id)roll(r, dom_policy_num_kinds(policy));
    size_t num_fields = any_fields(r, policy, kind, fields);
    for (size_t i = 0; i < num_fields; i++) {
        classes |= UINT64_C(1) << dom_access_field_class(snapshot, kind, fields[i]);
    }
    static const char *const s_purposes[] = {"moderation", "serve", "", "moderation"};
    const char *purpose = s_purposes[roll(r, DOM_ARRAY_LEN(s_purposes))];
    dom_access_decide(access, snapshot, caller, s_ops[roll(r, DOM_ARRAY_LEN(s_ops))], kind,
                      (dom_policy_id)roll(r, dom_policy_num_countries(policy)),
                      purpose[0] == '\0' ? DOM_POLICY_NONE
                                         : dom_policy_find_purpose(policy, dom_slice_str(purpose)),
                      classes, served, true, NOW + (int64_t)roll(r, 3 * YEAR_MS) - YEAR_MS);
    access->elsewhere = 0;
    const struct dom_policy_placement *placement =
        dom_policy_place(policy, kind, access->request.home, access->request.time_ms);
    if (access->request.op == DOM_OP_READ && placement != NULL) {
        /* As a read does: what the serving region does not hold is not given. */
        access->elsewhere = classes & ~dom_snapshot_held(snapshot, placement, served);
    }
    return num_fields;
}

struct tally {
    uint64_t effects[3];
    uint64_t versions[NUM_VERSIONS];
    uint64_t with_rules, withheld, expired;
};

static void count(struct tally *t, const struct dom_access *access, size_t version,
                  const struct dom_slice *fields, size_t num_fields)
{
    dom_policy_id rules[DOM_CLASSES_MAX];

    t->effects[access->decision.effect]++;
    t->versions[version]++;
    t->with_rules += dom_access_rules(access, rules) > 0 ? 1 : 0;
    t->expired +=
        access->decision.effect == DOM_EFFECT_DENY && access->decision.reason == DOM_BASIS_EXPIRED
            ? 1
            : 0;
    for (size_t i = 0; i < num_fields; i++) {
        dom_policy_id data_class =
            dom_access_field_class(access->snapshot, access->request.kind, fields[i]);
        t->withheld += dom_access_handling(access, data_class) != DOM_HANDLING_CLEAR ? 1 : 0;
    }
}

static void each_of_100000_mixed_entries_decided_again_is_the_same(void **state)
{
    struct replay *r = *state;
    struct tally tally = {0};
    struct dom_buffer entry = {0};

    for (uint64_t i = 0; i < NUM_ENTRIES; i++) {
        size_t version = (size_t)roll(r, NUM_VERSIONS);
        const struct dom_snapshot *snapshot = r->snapshots[version];
        struct dom_slice fields[FIELDS_MAX];
        char subject[64];
        struct dom_caller caller;
        struct dom_access access = {0};
        struct dom_redecision again;
        struct dom_error err = {0};

        /* Nearly all that can be asked is denied: draw until it is as wanted, within reason. */
        enum dom_policy_effect wanted = (enum dom_policy_effect)roll(r, 3);
        size_t num_fields = 0;
        for (unsigned draw = 0; draw == 0 || (draw < DRAWS && access.decision.effect != wanted);
             draw++) {
            num_fields =
                any_access(r, snapshot, &caller, subject, sizeof(subject), &access, fields);
        }
        struct dom_trail trail = {.origin = "log.example/test/eu-1",
                                  .instance = "host-1",
                                  .build = "domicile/test",
                                  .op = dom_policy_op_name(access.request.op),
                                  .time_ms = NOW + (int64_t)i,
                                  .policy_index = (int64_t)version,
                                  .count = 1};
        dom_buffer_clear(&entry);
        if (dom_trail_encode(&entry, &trail, &access, fields, num_fields, &err) != DOM_OK) {
            fail_msg("%s", err.message);
        }
        dom_redecide(&again, snapshot->policy, dom_buffer_slice(&entry));
        if (again.outcome != DOM_REDECIDE_SAME) {
            fail_msg("seed %llx, entry %llu: %s, %s\n%.*s", (unsigned long long)SEED,
                     (unsigned long long)i, dom_redecide_outcome_name(again.outcome), again.what,
                     (int)entry.len, (const char *)entry.data);
        }
        /* Not only the same words: the same decision, for every class that was asked for. */
        assert_int_equal(again.decision.effect, access.decision.effect);
        assert_int_equal(again.request.classes, access.request.classes);
        assert_int_equal(again.request.op, access.request.op);
        dom_redecide(&again, r->snapshots[(version + 1) % NUM_VERSIONS]->policy,
                     dom_buffer_slice(&entry));
        assert_int_equal(again.outcome, DOM_REDECIDE_OTHER_POLICY);
        count(&tally, &access, version, fields, num_fields);
    }
    print_message("deny %llu, allow %llu, modify %llu, expired %llu\n",
                  (unsigned long long)tally.effects[DOM_EFFECT_DENY],
                  (unsigned long long)tally.effects[DOM_EFFECT_ALLOW],
                  (unsigned long long)tally.effects[DOM_EFFECT_MODIFY],
                  (unsigned long long)tally.expired);
    /* The lot is mixed indeed. */
    assert_true(tally.effects[DOM_EFFECT_DENY] > 10000);
    assert_true(tally.effects[DOM_EFFECT_ALLOW] > 10000);
    assert_true(tally.effects[DOM_EFFECT_MODIFY] > 10000);
    assert_true(tally.with_rules > 10000);
    assert_true(tally.withheld > 10000);
    for (size_t i = 0; i < NUM_VERSIONS; i++) {
        assert_true(tally.versions[i] > NUM_ENTRIES / 5);
    }
    dom_buffer_cleanup(&entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_of_100000_mixed_entries_decided_again_is_the_same,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
