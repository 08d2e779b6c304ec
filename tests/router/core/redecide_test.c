/* Entries decided again: the same when nothing was touched, and every touched member is named. */
#include "router/core/redecide.h"

#include <stdio.h>
#include <stdlib.h>

#include "router/core/trail.h"
#include "tests/router/core/harness.h"

static const struct dom_slice s_fields[] = {{(const uint8_t *)"title", 5},
                                            {(const uint8_t *)"owner", 5},
                                            {(const uint8_t *)"ip", 2}};

/* The entry of a read of three fields by moderation from the US, in a buffer of the caller's. */
static void make_entry(struct core *core, struct dom_buffer *out, const char *subject)
{
    struct dom_caller caller = core_caller(core, "moderation", "us-1");
    struct dom_trail trail = {.origin = "log.example/test/eu-1",
                              .instance = "host-1",
                              .build = "domicile/test",
                              .op = "read",
                              .time_ms = NOW + 1,
                              .policy_index = 7,
                              .bytes = 10,
                              .count = 1};
    struct dom_access access;
    struct dom_error err = {0};

    if (subject != NULL) {
        caller.subject = dom_slice_str(subject);
    }
    core_read(core, &access, &caller,
              core_classes(core, "content", "identifier", "network", NULL));
    dom_buffer_init(out, 0);
    if (dom_trail_encode(out, &trail, &access, s_fields, DOM_ARRAY_LEN(s_fields), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
}

/* Puts `now` where `before` stands, which must be there once. */
static void replace(struct dom_buffer *entry, const char *before, const char *now)
{
    const char *text = dom_buffer_cstr(entry);
    const char *at = strstr(text, before);
    struct dom_buffer out;

    assert_non_null(at);
    assert_null(strstr(at + 1, before));
    dom_buffer_init(&out, 0);
    dom_buffer_append(&out, text, (size_t)(at - text));
    dom_buffer_append_str(&out, now);
    dom_buffer_append_str(&out, at + strlen(before));
    dom_buffer_cleanup(entry);
    *entry = out;
}

static struct dom_redecision again(const struct core *core, const struct dom_buffer *entry)
{
    struct dom_redecision out;

    dom_redecide(&out, core->snapshot->policy, dom_buffer_slice(entry));
    return out;
}

/* P4 */
static void untouched_entry_is_the_same(void **state)
{
    struct core *core = *state;
    struct dom_buffer entry;

    make_entry(core, &entry, NULL);
    struct dom_redecision got = again(core, &entry);
    assert_int_equal(got.outcome, DOM_REDECIDE_SAME);
    assert_string_equal(got.what, "");
    assert_int_equal(got.decision.effect, DOM_EFFECT_MODIFY);
    assert_int_equal(got.request.time_ms, NOW);
    dom_buffer_cleanup(&entry);
}

/* P4, P5: whatever of the decision is changed in an entry, deciding again finds it. */
static void each_changed_member_is_found_and_named(void **state)
{
    static const struct {
        const char *before;
        const char *now;
        const char *member;
    } cases[] = {
        {"\"effect\":\"modify\"", "\"effect\":\"allow\"", "decision.effect"},
        {"\"reason\":\"PERMIT\"", "\"reason\":\"OTHER\"", "decision.reason"},
        {"\"rules\":[\"eea-us-moderation\"]", "\"rules\":[\"no-location\"]", "decision.rules"},
        {"\"rules\":[\"eea-us-moderation\"]", "\"rules\":[\"eea-us-moderation\",\"x\"]",
         "decision.rules"},
        {",\"rules\":[\"eea-us-moderation\"]", "", "decision.rules"},
        {"\"mech\":\"GDPR-46-2-c\"", "\"mech\":\"GDPR-45\"", "basis.mech"},
        {"\"ref\":\"SCC-1\"", "\"ref\":\"SCC-2\"", "basis.ref"},
        {"\"assessment\":\"TIA-1\"", "\"assessment\":\"\\u0001\"", "basis.assessment"},
        {"\"c\":\"network\",\"h\":\"redact\"", "\"c\":\"network\",\"h\":\"clear\"", "fields[ip]"},
        {"\"c\":\"content\"", "\"c\":\"public\"", "fields[title]"},
        {"\"n\":\"owner\"", "\"n\":\"place\"", "decision."}, /* another class was asked for */
        {"\"purpose\":\"moderation\"", "\"purpose\":\"serve\"", "decision.effect"},
        {"\"id\":\"insecure:moderation\"", "\"id\":\"insecure:feed\"", "decision.effect"},
        {"\"home\":\"DE\"", "\"home\":\"US\"", "decision."},
        {"\"kind\":\"live_room\"", "\"kind\":\"strict\"", "decision."},
        {"\"actor\":{\"country\":\"US\"", "\"actor\":{\"country\":\"FR\"", "transfer"},
        {"\"actor\":{\"country\":\"US\"", "\"actor\":{\"country\":\"GB\"", "decision."},
        {",\"to\":\"US\"", "", "transfer"},
        {"\"time\":1795341600000}", "\"time\":1830000000000}", "decision."}, /* the basis is over */
    };
    struct core *core = *state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        struct dom_buffer entry;
        make_entry(core, &entry, NULL);
        replace(&entry, cases[i].before, cases[i].now);
        struct dom_redecision got = again(core, &entry);
        if (got.outcome != DOM_REDECIDE_DIFFERS || strstr(got.what, cases[i].member) != got.what) {
            fail_msg("%s -> %s: %s, \"%s\"", cases[i].before, cases[i].now,
                     dom_redecide_outcome_name(got.outcome), got.what);
        }
        dom_buffer_cleanup(&entry);
    }
}

static void what_cannot_be_decided_says_why(void **state)
{
    static const struct {
        const char *before;
        const char *now;
        enum dom_redecide_outcome outcome;
        const char *what;
    } cases[] = {
        {",\"time\":1795341600000}", "}", DOM_REDECIDE_UNABLE, "decision.time: missing"},
        {"\"op\":\"read\"", "\"op\":\"query\"", DOM_REDECIDE_UNABLE, "op: "},
        {"\"region\":\"eu-1\"},\"result\"", "\"region\":\"eu-9\"},\"result\"", DOM_REDECIDE_UNABLE,
         "record.region: "},
        {"\"n\":\"ip\"", "\"n\":\"*\"", DOM_REDECIDE_SAME, ""}, /* named by its class alone */
        {"\"c\":\"network\",\"h\":\"redact\",\"n\":\"ip\"",
         "\"c\":\"gone\",\"h\":\"redact\",\"n\":\"*\"", DOM_REDECIDE_UNABLE, "fields: "},
        {"\"type\":\"access\"", "\"type\":\"purge\"", DOM_REDECIDE_NO_DECISION, ""},
        {"\"kind\":\"live_room\",", "", DOM_REDECIDE_NO_DECISION, ""},
        {"\"version\":3}", "\"version\": 3}", DOM_REDECIDE_UNABLE, "entry is not canonical"},
    };
    struct core *core = *state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        struct dom_buffer entry;
        make_entry(core, &entry, NULL);
        replace(&entry, cases[i].before, cases[i].now);
        struct dom_redecision got = again(core, &entry);
        if (got.outcome != cases[i].outcome || strstr(got.what, cases[i].what) != got.what) {
            fail_msg("%s -> %s: %s, \"%s\"", cases[i].before, cases[i].now,
                     dom_redecide_outcome_name(got.outcome), got.what);
        }
        dom_buffer_cleanup(&entry);
    }
}

/* Every beginning of an entry is refused, and nothing is read behind its end. */
static void cut_entry_is_never_decided(void **state)
{
    struct core *core = *state;
    struct dom_buffer entry;

    make_entry(core, &entry, NULL);
    for (size_t len = 0; len < entry.len; len++) {
        uint8_t *copy = malloc(len + 1);
        struct dom_redecision got;
        assert_non_null(copy);
        memcpy(copy, entry.data, len);
        dom_redecide(&got, core->snapshot->policy, dom_slice_of(copy, len));
        assert_int_equal(got.outcome, DOM_REDECIDE_UNABLE);
        free(copy);
    }
    dom_buffer_cleanup(&entry);
}

static void entry_of_another_policy_names_that_policy(void **state)
{
    struct core *core = *state;
    struct dom_redecision got;
    struct dom_buffer entry;
    struct dom_buffer text;

    make_entry(core, &entry, NULL);
    dom_buffer_init(&text, 0);
    dom_buffer_append_str(&text, core_policy_text);
    dom_buffer_append_str(&text, "# other bytes\n");
    struct dom_policy *other = core_compile(dom_buffer_cstr(&text));
    dom_redecide(&got, other, dom_buffer_slice(&entry));
    assert_int_equal(got.outcome, DOM_REDECIDE_OTHER_POLICY);
    assert_non_null(strstr(got.what, "core-test version 3"));
    dom_policy_unref(other);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&entry);
}

static void service_is_found_in_a_proven_name(void **state)
{
    struct core *core = *state;
    struct dom_buffer entry;

    make_entry(core, &entry, "spiffe://example.org/region/us-1/service/moderation");
    struct dom_redecision got = again(core, &entry);
    assert_int_equal(got.outcome, DOM_REDECIDE_SAME);
    dom_buffer_cleanup(&entry);
    make_entry(core, &entry, "spiffe://example.org/moderation"); /* of no form: no service */
    got = again(core, &entry);
    assert_int_equal(got.outcome, DOM_REDECIDE_DIFFERS);
    dom_buffer_cleanup(&entry);
}

/* A limit that is used up denies what the policy permits; without a limit it is no reason. */
static void used_up_limit_needs_a_limit(void **state)
{
    struct core *core = *state;
    struct dom_buffer entry;

    make_entry(core, &entry, NULL);
    replace(&entry, "\"effect\":\"modify\"", "\"effect\":\"deny\"");
    replace(&entry, "\"reason\":\"PERMIT\"", "\"reason\":\"LIMIT_REACHED\"");
    struct dom_redecision got = again(core, &entry);
    assert_int_equal(got.outcome, DOM_REDECIDE_DIFFERS);
    dom_buffer_cleanup(&entry);
}

/* A freeze closes what crosses, and then no rule is named and nothing given. */
static void freeze_is_beside_the_policy(void **state)
{
    struct core *core = *state;
    struct dom_snapshot *frozen = dom_snapshot_with(core->snapshot, NULL, true, INT64_MAX);
    struct dom_snapshot *stale = dom_snapshot_with(core->snapshot, NULL, false, NOW);
    struct dom_snapshot *open = core->snapshot;
    struct dom_snapshot *views[] = {frozen, stale};

    for (size_t i = 0; i < DOM_ARRAY_LEN(views); i++) {
        struct dom_buffer entry;
        core->snapshot = views[i];
        make_entry(core, &entry, NULL);
        core->snapshot = open;
        assert_non_null(strstr(dom_buffer_cstr(&entry), i == 0 ? "POLICY_FROZEN" : "POLICY_EXPIRED"));
        assert_int_equal(again(core, &entry).outcome, DOM_REDECIDE_SAME);
        replace(&entry, "\"h\":\"drop\",\"n\":\"title\"", "\"h\":\"clear\",\"n\":\"title\"");
        assert_int_equal(again(core, &entry).outcome, DOM_REDECIDE_DIFFERS);
        dom_buffer_cleanup(&entry);
    }
    dom_snapshot_unref(frozen);
    dom_snapshot_unref(stale);
}

/* The same request under another law. */
static void request_of_an_entry_can_be_asked_of_another_policy(void **state)
{
    struct core *core = *state;
    struct dom_replay replay;
    struct dom_decided said;
    struct dom_error err = {0};
    struct dom_buffer entry;
    struct dom_buffer text;
    char what[192] = "";

    make_entry(core, &entry, NULL);
    dom_buffer_init(&text, 0);
    dom_buffer_append_str(&text, core_policy_text);
    replace(&text, "classes = (\"location\"); } );", "classes = (\"location\", \"identifier\"); } );");
    struct dom_policy *stricter = core_compile(dom_buffer_cstr(&text));
    assert_int_equal(dom_decided_read(&said, dom_buffer_slice(&entry), &err), DOM_OK);
    assert_true(dom_replay_ask(&replay, stricter, &said, said.decision_time_ms, what));
    dom_policy_id identifier = core_class(core, "identifier");
    assert_int_equal(dom_access_handling(&replay.access, identifier), DOM_HANDLING_REDACT);
    assert_true(replay.request.crosses);
    dom_policy_unref(stricter);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&entry);
}

static void texts_are_compared_by_what_they_say(void **state)
{
    (void)state;
    assert_true(dom_decided_text_is(DOM_SLICE_LIT(""), ""));
    assert_true(dom_decided_text_is(DOM_SLICE_LIT("a\\\"b\\\\c\\n"), "a\"b\\c\n"));
    assert_true(dom_decided_text_is(DOM_SLICE_LIT("\\u001f\\u0001"), "\x1f\x01"));
    assert_false(dom_decided_text_is(DOM_SLICE_LIT("ab"), "a"));
    assert_false(dom_decided_text_is(DOM_SLICE_LIT("a"), "ab"));
    assert_false(dom_decided_text_is(DOM_SLICE_LIT("\\n"), "n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_changed_member_is_found_and_named),
        cmocka_unit_test(what_cannot_be_decided_says_why),
        cmocka_unit_test(cut_entry_is_never_decided),
        cmocka_unit_test(entry_of_another_policy_names_that_policy),
        cmocka_unit_test(service_is_found_in_a_proven_name),
        cmocka_unit_test(used_up_limit_needs_a_limit),
        cmocka_unit_test(freeze_is_beside_the_policy),
        cmocka_unit_test(untouched_entry_is_the_same),
        cmocka_unit_test(request_of_an_entry_can_be_asked_of_another_policy),
        cmocka_unit_test(texts_are_compared_by_what_they_say),
    };

    return cmocka_run_group_tests_name("redecide", tests, core_setup, core_teardown);
}
