/* Entries: every input of the decision is in them, and nothing that names a person. */
#include "router/core/trail.h"

#include <stdio.h>
#include <stdlib.h>

#include "router/core/redecide.h"
#include "store/audit/event.h"
#include "tests/router/core/harness.h"

#define SUBJECT "hmac:1:AAECAwQFBgcICQoLDA0ODw"
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* One request: who asked, what was decided, and the entry that was written of it. The group's core
 * is shared; all else is made anew for each test. */
struct entry {
    struct core *core;
    struct dom_trail trail; /* as of plain_trail, before a test changes it */
    struct dom_caller caller;
    struct dom_access access;
    struct dom_buffer out;
    struct dom_audit_event_doc doc;
};

static struct dom_trail plain_trail(void)
{
    struct dom_trail trail = {
        .origin = "log.example/test/eu-1",
        .instance = "host-1",
        .build = "domicile/test",
        .subject_hash = DOM_SLICE_LIT(SUBJECT),
        .trace = DOM_SLICE_LIT("0af7651916cd43dd8448eb211c80319c"),
        .op = "read",
        .time_ms = NOW + 1,
        .policy_index = 7,
        .bytes = 1234,
        .count = 1,
        .us = 56,
    };

    for (size_t i = 0; i < sizeof(trail.random); i++) {
        trail.random[i] = (uint8_t)(i * 7 + 1);
    }
    return trail;
}

/* Encodes and parses; the caller cleans both up. */
static void encode(struct dom_buffer *out, struct dom_audit_event_doc *doc,
                   const struct dom_trail *trail, const struct dom_access *access,
                   const struct dom_slice *fields, size_t num_fields)
{
    struct dom_error err = {0};

    memset(out, 0, sizeof(*out));
    if (dom_trail_encode(out, trail, access, fields, num_fields, &err) != DOM_OK) {
        fail_msg("encode: %s", err.message);
    }
    if (dom_audit_event_parse(doc, dom_buffer_slice(out), &err) != DOM_OK) {
        fail_msg("parse: %s", err.message);
    }
}

static void assert_slice(struct dom_slice got, const char *want)
{
    if (!dom_slice_eq_str(got, want)) {
        fail_msg("\"%.*s\", not \"%s\"", (int)got.len, (const char *)got.data, want);
    }
}

static bool holds(const struct dom_buffer *out, const char *text)
{
    return memmem(out->data, out->len, text, strlen(text)) != NULL;
}

static const struct dom_slice s_fields[] = {
    {(const uint8_t *)"cover", 5}, {(const uint8_t *)"title", 5}, {(const uint8_t *)"owner", 5},
    {(const uint8_t *)"ip", 2},    {(const uint8_t *)"note", 4},  {(const uint8_t *)"place", 5},
    {(const uint8_t *)"card", 4},  {(const uint8_t *)"tag", 3}};

static int setup(void **state)
{
    struct entry *entry = calloc(1, sizeof(*entry));

    assert_non_null(entry);
    entry->core = *state;
    entry->trail = plain_trail();
    *state = entry;
    return 0;
}

static int teardown(void **state)
{
    struct entry *entry = *state;

    dom_audit_event_doc_cleanup(&entry->doc);
    dom_buffer_cleanup(&entry->out);
    free(entry);
    return 0;
}

/* Decides a read of these classes by moderation in us-1. */
static void read_abroad(struct entry *entry, dom_policy_set classes)
{
    entry->caller = core_caller(entry->core, "moderation", "us-1");
    core_read(entry->core, &entry->access, &entry->caller, classes);
}

/* Writes the entry of what was decided about these fields, and reads it. */
static const struct dom_audit_event *write_entry(struct entry *entry,
                                                 const struct dom_slice *fields, size_t num_fields)
{
    encode(&entry->out, &entry->doc, &entry->trail, &entry->access, fields, num_fields);
    return &entry->doc.event;
}

static void entry_of_a_read_says_who_what_where_and_why(void **state)
{
    struct entry *entry = *state;

    read_abroad(entry, core_all_classes(entry->core));
    const struct dom_audit_event *event = write_entry(entry, s_fields, DOM_ARRAY_LEN(s_fields));
    assert_int_equal(event->type, DOM_AUDIT_ACCESS);
    assert_int_equal(event->time_ms, NOW + 1);
    assert_slice(event->origin, "log.example/test/eu-1");
    assert_slice(event->op, "read");
    assert_slice(event->trace, "0af7651916cd43dd8448eb211c80319c");
    assert_slice(event->purpose, "moderation");
    assert_slice(event->actor.id, "insecure:moderation");
    assert_slice(event->actor.region, "us-1");
    assert_slice(event->actor.country, "US");
    assert_slice(event->record.kind, "live_room");
    assert_slice(event->record.home, "DE");
    assert_slice(event->record.jurisdiction, "EEA");
    assert_slice(event->record.id, SUBJECT);
    assert_slice(event->record.region, "eu-1");
    assert_int_equal(event->record.bytes, 1234);
    assert_int_equal(event->record.count, 1);
    assert_slice(event->decision.effect, "modify");
    assert_slice(event->decision.reason, "PERMIT");
    assert_int_equal(event->decision.time_ms, NOW);
    assert_slice(event->policy.name, "core-test");
    assert_int_equal(event->policy.version, 3);
    assert_slice(event->policy.sha256, dom_policy_info(entry->core->snapshot->policy)->sha256_hex);
    assert_int_equal(event->policy.index, 7);
    assert_slice(event->router.region, "eu-1");
    assert_slice(event->router.instance, "host-1");
    assert_int_equal(event->result.code, 0);
    assert_int_equal(event->result.us, 56);
}

static void basis_with_a_document_is_told_before_one_without(void **state)
{
    struct entry *entry = *state;

    read_abroad(entry, core_classes(entry->core, "public", "content", NULL));
    const struct dom_audit_event *event = write_entry(entry, s_fields, 2);
    assert_slice(event->basis.mech, "GDPR-46-2-c");
    assert_slice(event->basis.ref, "SCC-1");
    assert_slice(event->basis.assessment, "TIA-1");
}

static void each_field_is_told_with_class_and_handling(void **state)
{
    static const char *const want[][2] = {{"public", "clear"},         {"content", "clear"},
                                          {"identifier", "pseudonym"}, {"network", "redact"},
                                          {"secret", "drop"},          {"location", "redact"},
                                          {"payment", "redact"},       {"other", "redact"}};
    struct entry *entry = *state;

    read_abroad(entry, core_all_classes(entry->core));
    const struct dom_audit_event *event = write_entry(entry, s_fields, DOM_ARRAY_LEN(s_fields));
    assert_int_equal(event->num_fields, DOM_ARRAY_LEN(want));
    for (size_t i = 0; i < DOM_ARRAY_LEN(want); i++) {
        bool found = false;
        for (size_t k = 0; k < event->num_fields; k++) {
            const struct dom_audit_field *field = &event->fields[k];
            if (dom_slice_eq(field->name, s_fields[i])) {
                assert_slice(field->data_class, want[i][0]);
                assert_slice(field->handling, want[i][1]);
                found = true;
            }
        }
        assert_true(found);
    }
}

static void read_moves_bytes_from_the_serving_region_to_the_caller(void **state)
{
    struct entry *entry = *state;

    read_abroad(entry, core_classes(entry->core, "public", NULL));
    const struct dom_audit_event *event = write_entry(entry, s_fields, 1);
    assert_slice(event->transfer.from, "DE");
    assert_slice(event->transfer.from_region, "eu-1");
    assert_slice(event->transfer.to, "US");
    assert_slice(event->transfer.to_region, "us-1");
    assert_slice(event->transfer.method, "grpc");
}

/* Who is proven and who is claimed stand side by side; the decision is about the proven one. */
static void proof_and_claim_are_both_told(void **state)
{
    static const char key[] = "ccbc1e337a23b5382cb369a039183b737049e182d3865148147731f91bd68c80";
    struct entry *entry = *state;

    entry->caller = core_caller(entry->core, "moderation", "us-1");
    entry->caller.cert_serial = DOM_SLICE_LIT("50ed7d95ec6038bb");
    entry->caller.cert_key = dom_slice_str(key);
    entry->caller.claimed_region = DOM_SLICE_LIT("eu-1");
    entry->caller.claimed_service = DOM_SLICE_LIT("feed");
    core_read(entry->core, &entry->access, &entry->caller,
              core_classes(entry->core, "public", NULL));
    const struct dom_audit_event *event = write_entry(entry, s_fields, 1);
    assert_slice(event->actor.region, "us-1");
    assert_slice(event->actor.country, "US");
    assert_slice(event->actor.cert_serial, "50ed7d95ec6038bb");
    assert_slice(event->actor.cert_key, key);
    assert_slice(event->claim.region, "eu-1");
    assert_slice(event->claim.service, "feed");
    assert_slice(event->transfer.to, "US");
    assert_slice(event->transfer.method, "grpc+tls1.3");
}

/* Decides a write by moderation in a region. */
static void write_from(struct entry *entry, const char *region, bool crosses)
{
    struct core *core = entry->core;

    entry->caller = core_caller(core, "moderation", region);
    entry->trail.op = "write";
    dom_access_decide(&entry->access, core->snapshot, &entry->caller, DOM_OP_WRITE, core_kind(core),
                      core_country(core, "DE"), core_purpose(core, "moderation"),
                      core_classes(core, "public", "content", NULL), core_region(core, "eu-1"),
                      crosses, NOW);
}

static void write_moves_bytes_the_other_way(void **state)
{
    struct entry *entry = *state;

    write_from(entry, "us-1", true);
    assert_int_equal(entry->access.decision.effect, DOM_EFFECT_ALLOW);
    const struct dom_audit_event *event = write_entry(entry, s_fields, 2);
    assert_slice(event->transfer.from_region, "us-1");
    assert_slice(event->transfer.to_region, "eu-1");
}

/* A write from within whose replicas go abroad: the transfer is the replication. */
static void replicas_abroad_are_told_each_with_its_country(void **state)
{
    struct entry *entry = *state;

    entry->trail.replicas_abroad = (UINT64_C(1) << core_region(entry->core, "us-1")) |
                                   (UINT64_C(1) << core_region(entry->core, "uk-1"));
    write_from(entry, "eu-2", false);
    const struct dom_audit_event *event = write_entry(entry, s_fields, 2);
    assert_slice(event->transfer.method, "replication");
    assert_slice(event->transfer.from_region, "eu-1");
    assert_int_equal(event->transfer.to.len, 0);
    assert_int_equal(event->transfer.num_replicas, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct dom_audit_replica *replica = &event->transfer.replicas[i];
        bool us = dom_slice_eq_str(replica->region, "us-1");
        assert_slice(replica->region, us ? "us-1" : "uk-1");
        assert_slice(replica->to, us ? "US" : "GB");
    }
}

static void denial_is_an_entry_with_its_reason(void **state)
{
    struct entry *entry = *state;

    entry->caller = core_caller(entry->core, "feed", "us-1");
    entry->trail.bytes = 0;
    entry->trail.count = 0;
    core_read(entry->core, &entry->access, &entry->caller,
              core_classes(entry->core, "location", NULL));
    assert_int_equal(entry->access.decision.effect, DOM_EFFECT_DENY);
    const struct dom_audit_event *event = write_entry(entry, NULL, 0);
    assert_int_equal(event->type, DOM_AUDIT_DENY);
    assert_slice(event->decision.effect, "deny");
    assert_slice(event->decision.reason, dom_code_reason(entry->access.decision.reason));
    assert_int_equal(event->result.code, 7);
    assert_int_equal(event->basis.ref.len, 0); /* nothing was given, so on no basis */
    /* P4: no names were given, but the classes are an input of the decision. */
    assert_int_equal(event->num_fields, 1);
    assert_slice(event->fields[0].name, "*");
    assert_slice(event->fields[0].data_class, "location");
    assert_slice(event->fields[0].handling, "drop");
}

/* P10: the id is in it as the log region's keyed hash, and in no other way. */
static void no_person_is_named_in_clear(void **state)
{
    struct entry *entry = *state;

    read_abroad(entry, core_all_classes(entry->core));
    const struct dom_audit_event *event = write_entry(entry, s_fields, DOM_ARRAY_LEN(s_fields));
    assert_true(holds(&entry->out, SUBJECT));
    assert_false(holds(&entry->out, "room-1"));
    assert_int_equal(event->actor.user.len, 0);
    assert_int_equal(event->claim.user.len, 0);
    assert_int_equal(event->num_details, 0);
}

static void nonce_is_the_randomness_that_was_given(void **state)
{
    struct entry *entry = *state;
    struct dom_audit_event_doc second;
    struct dom_buffer again;

    read_abroad(entry, core_classes(entry->core, "public", NULL));
    const struct dom_audit_event *first = write_entry(entry, s_fields, 1);
    assert_memory_equal(first->nonce, entry->trail.random + 10, DOM_NONCE_SIZE);
    entry->trail.random[25] ^= 1;
    encode(&again, &second, &entry->trail, &entry->access, s_fields, 1);
    assert_memory_not_equal(first->nonce, second.event.nonce, DOM_NONCE_SIZE);
    assert_memory_equal(first->id, second.event.id, DOM_UUID_SIZE);
    dom_audit_event_doc_cleanup(&second);
    dom_buffer_cleanup(&again);
}

/* P12: an entry has at most 16 KiB; 256 long names would not fit. */
static void too_many_fields_become_one_star_per_class(void **state)
{
    struct entry *entry = *state;
    struct dom_slice fields[DOM_FIELDS_MAX];
    static char names[DOM_FIELDS_MAX][65];

    fields[0] = DOM_SLICE_LIT("title");
    for (size_t i = 1; i < DOM_FIELDS_MAX; i++) {
        memset(names[i], 'n', 64);
        (void)snprintf(names[i] + 60, 5, "%04zu", i);
        fields[i] = dom_slice_of(names[i], 64);
    }
    read_abroad(entry, core_classes(entry->core, "content", "other", NULL));
    const struct dom_audit_event *event = write_entry(entry, fields, DOM_FIELDS_MAX);
    assert_true(entry->out.len <= DOM_ENTRY_BYTES_MAX);
    assert_int_equal(event->num_fields, 2);
    assert_slice(event->fields[0].name, "*");
    assert_slice(event->fields[0].data_class, "content");
    assert_slice(event->fields[0].handling, "clear");
    assert_slice(event->fields[1].name, "*");
    assert_slice(event->fields[1].data_class, "other");
    assert_slice(event->fields[1].handling, "redact");
}

/* ---- P4: decided again, from the entry alone ---- */

/* Decides from the entry's bytes alone; they must say the same as what was decided. */
static void decide_again(const struct core *core, const struct dom_buffer *entry,
                         struct dom_policy_decision *decision, dom_policy_set *classes)
{
    struct dom_redecision again;

    dom_redecide(&again, core->snapshot->policy, dom_buffer_slice(entry));
    if (again.outcome != DOM_REDECIDE_SAME) {
        fail_msg("%s: %s\n%s", dom_redecide_outcome_name(again.outcome), again.what,
                 (const char *)entry->data);
    }
    *decision = again.decision;
    *classes = again.request.classes;
}

struct again_case {
    const char *service;
    const char *region;
    const char *home;
    const char *purpose;
    enum dom_policy_op op;
    int64_t time_ms;
};

/* P4: over every service, purpose, place, operation and set of classes: the entry decides to the
 * same effect, reason and handling. */
static void entry_decided_again_comes_out_the_same(void **state)
{
    static const char *const services[] = {"moderation", "feed", "nobody"};
    static const char *const regions[] = {"us-1", "uk-1", "eu-2"};
    static const char *const homes[] = {"DE", "US"};
    static const char *const purposes[] = {"", "serve", "moderation"};
    static const enum dom_policy_op ops[] = {DOM_OP_READ, DOM_OP_LIST, DOM_OP_WRITE, DOM_OP_DELETE};
    /* With the basis in force, after its end, and after the end of the policy. */
    static const int64_t times[] = {NOW, INT64_C(1830000000000), INT64_C(1900000000000)};
    struct core *core = *state;
    size_t effects[3] = {0};

    for (size_t n = 0; n < 3 * 3 * 2 * 3 * 4 * 3 * 8; n++) {
        struct again_case one = {.service = services[n % 3],
                                 .region = regions[n / 3 % 3],
                                 .home = homes[n / 9 % 2],
                                 .purpose = purposes[n / 18 % 3],
                                 .op = ops[n / 54 % 4],
                                 .time_ms = times[n / 216 % 3]};
        size_t first = n / 648;
        struct dom_trail trail = plain_trail();
        struct dom_audit_event_doc doc;
        struct dom_policy_decision again;
        struct dom_access access;
        struct dom_buffer out;
        dom_policy_set classes = 0;
        dom_policy_set told = 0;
        struct dom_caller caller = core_caller(core, one.service, one.region);
        dom_store_region served = core_region(core, one.home[0] == 'D' ? "eu-1" : "us-1");
        bool crosses = dom_snapshot_jurisdiction(core->snapshot, served) != caller.jurisdiction;
        for (size_t i = first; i < DOM_ARRAY_LEN(s_fields); i++) {
            classes |= UINT64_C(1)
                       << dom_access_field_class(core->snapshot, core_kind(core), s_fields[i]);
        }
        trail.op = dom_policy_op_name(one.op);
        dom_access_decide(&access, core->snapshot, &caller, one.op, core_kind(core),
                          core_country(core, one.home), core_purpose(core, one.purpose), classes,
                          served, crosses, one.time_ms);
        bool named = n % 2 == 0; /* by their names, or only by their classes */
        encode(&out, &doc, &trail, &access, named ? s_fields + first : NULL,
               named ? DOM_ARRAY_LEN(s_fields) - first : 0);
        decide_again(core, &out, &again, &told);
        assert_true(told == classes);
        assert_int_equal(again.effect, access.decision.effect);
        assert_int_equal(again.reason, access.decision.reason);
        assert_true(again.clear == access.decision.clear);
        assert_true(again.redact == access.decision.redact);
        assert_true(again.pseudonymise == access.decision.pseudonymise);
        assert_slice(doc.event.decision.effect, dom_policy_effect_name(again.effect));
        effects[again.effect]++;
        dom_audit_event_doc_cleanup(&doc);
        dom_buffer_cleanup(&out);
        dom_arena_reset(&core->arena);
    }
    assert_true(effects[DOM_EFFECT_DENY] > 100); /* the cases are not all of one sort */
    assert_true(effects[DOM_EFFECT_ALLOW] > 100);
    assert_true(effects[DOM_EFFECT_MODIFY] > 20);
}

/* P4: the time of the decision is an input; without it the same entry would come out otherwise. */
static void entry_keeps_the_time_of_the_decision_not_of_the_writing(void **state)
{
    struct entry *entry = *state;
    struct dom_policy_decision again;
    dom_policy_set classes = 0;

    entry->trail.time_ms = INT64_C(1830000000000); /* written after the basis ended */
    read_abroad(entry, core_classes(entry->core, "content", NULL));
    (void)write_entry(entry, s_fields + 1, 1);
    decide_again(entry->core, &entry->out, &again, &classes);
    assert_int_equal(again.effect, DOM_EFFECT_ALLOW);
}

static void full_buffer_is_an_error(void **state)
{
    struct entry *entry = *state;
    struct dom_error err = {0};

    read_abroad(entry, core_classes(entry->core, "content", NULL));
    dom_buffer_init(&entry->out, 100);
    assert_int_not_equal(
        dom_trail_encode(&entry->out, &entry->trail, &entry->access, s_fields + 1, 1, &err),
        DOM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(entry_of_a_read_says_who_what_where_and_why),
        T(basis_with_a_document_is_told_before_one_without),
        T(each_field_is_told_with_class_and_handling),
        T(proof_and_claim_are_both_told),
        T(read_moves_bytes_from_the_serving_region_to_the_caller),
        T(write_moves_bytes_the_other_way),
        T(replicas_abroad_are_told_each_with_its_country),
        T(denial_is_an_entry_with_its_reason),
        T(no_person_is_named_in_clear),
        T(nonce_is_the_randomness_that_was_given),
        T(too_many_fields_become_one_star_per_class),
        cmocka_unit_test(entry_decided_again_comes_out_the_same),
        T(entry_keeps_the_time_of_the_decision_not_of_the_writing),
        T(full_buffer_is_an_error),
    };

    return cmocka_run_group_tests_name("trail", tests, core_setup, core_teardown);
}
