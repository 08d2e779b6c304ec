/* What goes out of a row for one caller: each handling, its reason, and what is not told. */
#include "tests/router/core/harness.h"

#include <stdlib.h>

#include "domicile/v1/record.pb-c.h"
#include "router/core/wire.h"

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A row with one field of each class, each with the value "v-" and its name. */
struct sample {
    struct dom_store_row row;
    struct dom_store_field fields[9];
    struct dom_buffer bytes[9];
};

/* The sample, who reads it, and what they are told. The group's core is shared; all else is made
 * anew for each test. */
struct answer {
    struct core *core;
    struct sample sample;
    struct dom_caller caller;
    struct dom_access access;
    const char *key; /* that a pseudonym was asked under; NULL: none was */
    Domicile__V1__Record *record;
    Domicile__V1__Decision *decision;
};

static const char *const s_names[] = {"cover", "title", "owner", "ip",       "note",
                                      "place", "card",  "tag",   "brand_new"};

static void sample_init(struct sample *sample)
{
    memset(sample, 0, sizeof(*sample));
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        struct dom_buffer *bytes = &sample->bytes[i];
        dom_wire_str(bytes, 1, s_names[i]);
        dom_buffer_append_char(bytes, (char)((DOM_VALUE_TEXT << 3) | 2));
        dom_buffer_append_char(bytes, (char)(strlen(s_names[i]) + 2));
        dom_buffer_printf(bytes, "v-%s", s_names[i]);
        sample->fields[i].name = dom_slice_str(s_names[i]);
        sample->fields[i].value = dom_buffer_slice(bytes);
    }
    sample->row.kind = DOM_SLICE_LIT("live_room");
    sample->row.id = DOM_SLICE_LIT("room-1");
    memcpy(sample->row.home, "DE", 3);
    sample->row.version = 9;
    sample->row.create_time_ms = 11;
    sample->row.update_time_ms = 12;
    sample->row.fields = sample->fields;
    sample->row.num_fields = DOM_ARRAY_LEN(s_names);
    sample->row.is_home = true;
    sample->row.complete = true;
}

static void sample_cleanup(struct sample *sample)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        dom_buffer_cleanup(&sample->bytes[i]);
    }
}

static bool fake_pseudonym(void *context, const char *key_name, struct dom_slice value,
                           char out[32])
{
    const char **key = context;

    *key = key_name;
    if (!dom_slice_eq_str(value, "v-owner")) {
        return false;
    }
    memcpy(out, "pseudo", 7);
    return true;
}

static bool no_pseudonym(void *context, const char *key_name, struct dom_slice value, char out[32])
{
    (void)context;
    (void)key_name;
    (void)value;
    memcpy(out, "leak", 5); /* must not be used */
    return false;
}

static const struct dom_mask s_all = {.names = NULL, .num_names = 0, .classes = ~UINT64_C(0)};

/* The record as its reader gets it, until the next one or the end of the test. */
static const Domicile__V1__Record *record_of(struct answer *answer, const struct dom_mask *mask,
                                             dom_pseudonym_fn *pseudonym)
{
    struct dom_buffer out = {0};

    dom_answer_record(&out, &answer->access, &answer->sample.row, mask, pseudonym, &answer->key);
    assert_false(out.failed);
    domicile__v1__record__free_unpacked(answer->record, NULL);
    answer->record = domicile__v1__record__unpack(NULL, out.len, out.data);
    assert_non_null(answer->record);
    dom_buffer_cleanup(&out);
    return answer->record;
}

/* The same of the decision. Without a mask it is told without the row. */
static const Domicile__V1__Decision *decision_of(struct answer *answer, const struct dom_mask *mask)
{
    struct dom_buffer out = {0};

    dom_answer_decision(&out, &answer->access, mask == NULL ? NULL : &answer->sample.row, mask);
    assert_false(out.failed);
    domicile__v1__decision__free_unpacked(answer->decision, NULL);
    answer->decision = domicile__v1__decision__unpack(NULL, out.len, out.data);
    assert_non_null(answer->decision);
    dom_buffer_cleanup(&out);
    return answer->decision;
}

static int setup(void **state)
{
    struct answer *answer = calloc(1, sizeof(*answer));

    assert_non_null(answer);
    answer->core = *state;
    sample_init(&answer->sample);
    *state = answer;
    return 0;
}

static int teardown(void **state)
{
    struct answer *answer = *state;

    domicile__v1__decision__free_unpacked(answer->decision, NULL);
    domicile__v1__record__free_unpacked(answer->record, NULL);
    sample_cleanup(&answer->sample);
    free(answer);
    return 0;
}

static bool is_text(ProtobufCBinaryData data, const char *text)
{
    return dom_slice_eq_str(dom_slice_of(data.data, data.len), text);
}

static const Domicile__V1__Field *field_of(const Domicile__V1__Record *record, const char *name)
{
    for (size_t i = 0; i < record->n_fields; i++) {
        if (is_text(record->fields[i]->name, name)) {
            return record->fields[i];
        }
    }
    return NULL;
}

static const Domicile__V1__HandledField *handled_of(const Domicile__V1__Decision *decision,
                                                    const char *name)
{
    for (size_t i = 0; i < decision->n_handled; i++) {
        if (is_text(decision->handled[i]->field, name)) {
            return decision->handled[i];
        }
    }
    return NULL;
}

static bool holds(const Domicile__V1__Record *record, const char *text)
{
    uint8_t *bytes = malloc(domicile__v1__record__get_packed_size(record) + 1);
    assert_non_null(bytes);
    size_t len = domicile__v1__record__pack(record, bytes);
    bool found = memmem(bytes, len, text, strlen(text)) != NULL;
    free(bytes);
    return found;
}

/* Decides a read of these classes for a service in a region. */
static void read_as(struct answer *answer, const char *service, const char *region,
                    dom_policy_set classes)
{
    answer->caller = core_caller(answer->core, service, region);
    core_read(answer->core, &answer->access, &answer->caller, classes);
}

/* A read of the whole row from us-1, decided by the policy. */
static void read_abroad(struct answer *answer)
{
    read_as(answer, "moderation", "us-1", core_all_classes(answer->core));
    assert_int_equal(answer->access.decision.effect, DOM_EFFECT_MODIFY);
    assert_true(answer->access.request.crosses);
}

static void assert_handled(struct answer *answer, const char *name, Domicile__V1__Handling handling,
                           const char *reason, const char *rule)
{
    const Domicile__V1__HandledField *handled = handled_of(decision_of(answer, &s_all), name);

    assert_non_null(handled);
    assert_int_equal(handled->handling, handling);
    if (!is_text(handled->reason, reason) || !is_text(handled->rule, rule)) {
        fail_msg("%s: reason %.*s rule %.*s", name, (int)handled->reason.len, handled->reason.data,
                 (int)handled->rule.len, handled->rule.data);
    }
}

/* ---- the record ---- */

static void clear_field_goes_out_as_it_is_stored(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_true(is_text(field_of(record, "title")->text, "v-title"));
    assert_true(is_text(field_of(record, "cover")->text, "v-cover"));
    assert_true(is_text(record->id, "room-1"));
    assert_true(is_text(record->home, "DE"));
    assert_int_equal(record->version, 9);
    assert_int_equal(record->create_time_ms, 11);
    assert_int_equal(record->update_time_ms, 12);
}

static void redacted_field_has_its_name_and_no_value(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    const Domicile__V1__Field *ip = field_of(record, "ip");
    assert_non_null(ip);
    assert_int_equal(ip->value_case, DOMICILE__V1__FIELD__VALUE__NOT_SET);
    assert_false(holds(record, "v-ip")); /* P1 */
}

static void pseudonym_replaces_the_value_under_the_key_of_the_rule(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_true(is_text(field_of(record, "owner")->text, "pseudo"));
    assert_string_equal(answer->key, "eea_export");
    assert_false(holds(record, "v-owner"));
}

/* P2: whatever goes wrong, the value stays. */
static void pseudonym_that_cannot_be_made_leaves_the_field_out(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, no_pseudonym);
    assert_null(field_of(record, "owner"));
    assert_false(holds(record, "v-owner"));
    assert_false(holds(record, "leak"));
}

static void pseudonym_of_a_damaged_field_leaves_it_out(void **state)
{
    struct answer *answer = *state;

    answer->sample.fields[2].value = DOM_SLICE_LIT("v-owner, not a message");
    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_null(field_of(record, "owner"));
    assert_null(answer->key);
    assert_false(holds(record, "v-owner"));
}

static void withheld_field_is_left_out(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_null(field_of(record, "note"));
    assert_false(holds(record, "v-note"));
}

/* P2: forbidden, expired, without a rule, unknown to the policy: no value leaves. */
static void value_without_a_permit_never_leaves(void **state)
{
    static const char *const values[] = {"v-place", "v-card", "v-tag", "v-brand_new"};
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    for (size_t i = 0; i < DOM_ARRAY_LEN(values); i++) {
        assert_false(holds(record, values[i]));
    }
}

/* A class that the decision was not asked about is not given, whatever the row holds. */
static void class_that_was_not_decided_is_not_given(void **state)
{
    struct answer *answer = *state;

    read_as(answer, "moderation", "us-1", core_classes(answer->core, "public", NULL));
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_non_null(field_of(record, "cover"));
    assert_false(holds(record, "v-title"));
    assert_null(field_of(record, "title"));
}

static void mask_leaves_other_fields_out(void **state)
{
    struct answer *answer = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("title"), DOM_SLICE_LIT("ip")};
    struct dom_mask mask = {.names = names, .num_names = 2};

    read_abroad(answer);
    const Domicile__V1__Record *record = record_of(answer, &mask, fake_pseudonym);
    assert_int_equal(record->n_fields, 2);
    const Domicile__V1__Decision *decision = decision_of(answer, &mask);
    assert_int_equal(decision->n_handled, 1);
    assert_non_null(handled_of(decision, "ip"));
}

static void within_the_jurisdiction_everything_is_clear(void **state)
{
    struct answer *answer = *state;

    read_as(answer, "moderation", "eu-2", core_all_classes(answer->core));
    assert_int_equal(answer->access.decision.effect, DOM_EFFECT_ALLOW);
    const Domicile__V1__Record *record = record_of(answer, &s_all, no_pseudonym);
    assert_int_equal(record->n_fields, DOM_ARRAY_LEN(s_names));
    assert_true(is_text(field_of(record, "card")->text, "v-card"));
    const Domicile__V1__Decision *decision = decision_of(answer, &s_all);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_ALLOW);
    assert_int_equal(decision->n_handled, 0);
    assert_int_equal(decision->n_rules, 0);
    assert_false(decision->cross_border);
}

/* ---- why ---- */

static void obligations_are_told_with_their_rule(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    assert_handled(answer, "owner", DOMICILE__V1__HANDLING__HANDLING_PSEUDONYMISED, "OBLIGATION",
                   "eea-us-moderation");
    assert_handled(answer, "ip", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "OBLIGATION",
                   "eea-us-moderation");
    assert_handled(answer, "note", DOMICILE__V1__HANDLING__HANDLING_WITHHELD, "OBLIGATION",
                   "eea-us-moderation");
}

static void forbid_is_told_though_a_permit_covers_the_class(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    assert_handled(answer, "place", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "FORBIDDEN",
                   "no-location"); /* P2: forbid beats permit */
}

static void expired_basis_is_told(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    assert_handled(answer, "card", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "BASIS_EXPIRED",
                   "eea-us-payment");
}

static void missing_permit_is_told_without_a_rule(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    assert_handled(answer, "tag", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "NO_PERMIT", "");
    assert_handled(answer, "brand_new", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "NO_PERMIT", "");
}

static void clear_field_is_not_among_the_handled(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Decision *decision = decision_of(answer, &s_all);
    assert_null(handled_of(decision, "title"));
    assert_null(handled_of(decision, "cover"));
    assert_int_equal(decision->n_handled, 7);
}

static void decision_names_policy_region_rules_and_bases(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    const Domicile__V1__Decision *decision = decision_of(answer, NULL);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_MODIFY);
    assert_true(is_text(decision->policy_name, "core-test"));
    assert_int_equal(decision->policy_version, 3);
    assert_true(is_text(decision->served_region, "eu-1"));
    assert_true(decision->cross_border);
    assert_int_equal(decision->n_handled, 0); /* no row: no fields are told */
    assert_int_equal(decision->n_rules, 4);
    assert_true(is_text(decision->rules[0], "eea-us-moderation"));
    assert_true(is_text(decision->rules[1], "eea-us-payment"));
    assert_true(is_text(decision->rules[2], "public-anywhere"));
    assert_true(is_text(decision->rules[3], "no-location"));
    assert_int_equal(decision->n_bases, 2); /* of what is given: not `gone` */
    for (size_t i = 0; i < decision->n_bases; i++) {
        assert_true(is_text(decision->bases[i], "scc") ||
                    is_text(decision->bases[i], "not_personal"));
    }
}

/* The nearest date at which anything could come out otherwise: scc ends on 2027-06-30. */
static void ask_again_names_the_next_change_of_a_basis(void **state)
{
    struct answer *answer = *state;
    struct core *core = answer->core;

    read_abroad(answer);
    const Domicile__V1__Decision *decision = decision_of(answer, NULL);
    int64_t next = dom_policy_next_change_ms(core->snapshot->policy, NOW);
    assert_int_equal(decision->ask_again_in_ms, next - NOW);
    assert_true(next > NOW);
}

/* P2 */
static void denial_names_no_basis_and_no_field(void **state)
{
    struct answer *answer = *state;

    /* feed may not ask for moderation */
    read_as(answer, "feed", "us-1", core_all_classes(answer->core));
    assert_int_equal(answer->access.decision.effect, DOM_EFFECT_DENY);
    const Domicile__V1__Decision *decision = decision_of(answer, NULL);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_DENY);
    assert_int_equal(decision->n_bases, 0);
    assert_int_equal(decision->n_handled, 0);
}

static void denied_access_gives_no_value_at_all(void **state)
{
    struct answer *answer = *state;

    read_as(answer, "feed", "us-1", core_all_classes(answer->core));
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_false(holds(record, "v-"));
}

static void no_region_is_told_as_none(void **state)
{
    struct answer *answer = *state;

    read_abroad(answer);
    answer->access.served = DOM_STORE_NO_REGION;
    const Domicile__V1__Decision *decision = decision_of(answer, NULL);
    assert_int_equal(decision->served_region.len, 0);
}

/* ---- classes that are not in the region that serves ---- */

/* A replica that holds `cover` only, asked for everything; the identifier class is elsewhere. */
static void serve_part(struct answer *answer)
{
    answer->sample.row.num_fields = 1;
    answer->sample.row.complete = false;
    read_as(answer, "moderation", "eu-2", core_classes(answer->core, "public", NULL));
    answer->access.elsewhere = core_classes(answer->core, "identifier", NULL);
}

/* Whether the record has the field is not known here, so it must be told either way. */
static void class_elsewhere_is_told_for_every_declared_field(void **state)
{
    struct answer *answer = *state;

    serve_part(answer);
    const Domicile__V1__Decision *decision = decision_of(answer, &s_all);
    assert_int_equal(decision->n_handled, 1);
    const Domicile__V1__HandledField *handled = handled_of(decision, "owner");
    assert_non_null(handled);
    assert_int_equal(handled->handling, DOMICILE__V1__HANDLING__HANDLING_WITHHELD);
    assert_true(is_text(handled->data_class, "identifier"));
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_MODIFY);
}

static void class_elsewhere_is_told_for_the_named_fields_only(void **state)
{
    struct answer *answer = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("cover")};
    struct dom_mask mask = {.names = names, .num_names = 1};

    serve_part(answer);
    const Domicile__V1__Decision *decision = decision_of(answer, &mask);
    assert_int_equal(decision->n_handled, 0);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_ALLOW);
}

/* P1: bytes that lie where they may not (a tightened policy) do not go out. */
static void value_of_a_class_that_should_be_elsewhere_does_not_go_out(void **state)
{
    struct answer *answer = *state;

    serve_part(answer);
    answer->sample.row.num_fields = 3; /* with owner, though it should not be here */
    answer->access.decision.clear = ~UINT64_C(0);
    const Domicile__V1__Record *record = record_of(answer, &s_all, fake_pseudonym);
    assert_null(field_of(record, "owner"));
    assert_false(holds(record, "v-owner"));
    const Domicile__V1__Decision *decision = decision_of(answer, &s_all);
    assert_int_equal(decision->n_handled, 1); /* once, not also as one that is elsewhere */
}

/* ---- the rest ---- */

static void row_classes_are_those_that_the_mask_wants(void **state)
{
    struct answer *answer = *state;
    struct core *core = answer->core;
    struct dom_slice names[] = {DOM_SLICE_LIT("owner"), DOM_SLICE_LIT("title"),
                                DOM_SLICE_LIT("absent")};
    struct dom_mask mask = {.names = names, .num_names = 3};

    assert_true(dom_row_classes(core->snapshot, core_kind(core), &answer->sample.row, &mask) ==
                core_classes(core, "identifier", "content", NULL));
    assert_true(dom_row_classes(core->snapshot, core_kind(core), &answer->sample.row, &s_all) ==
                core_all_classes(core));
}

/* P2 */
static void field_that_the_kind_refuses_counts_as_the_strictest_class(void **state)
{
    const struct answer *answer = *state;
    const struct core *core = answer->core;
    dom_policy_id strict = dom_policy_find_kind(core->snapshot->policy, DOM_SLICE_LIT("strict"));

    assert_int_equal(
        dom_access_field_class(core->snapshot, strict, DOM_SLICE_LIT("stored_long_ago")),
        core_class(core, "other")); /* of the highest rank */
}

static void receipt_has_origin_index_and_leaf(void **state)
{
    struct dom_store_receipt receipt = {.index = 12345678901};
    struct dom_buffer out = {0};

    (void)state;
    memset(receipt.leaf_hash, 0xAB, sizeof(receipt.leaf_hash));
    dom_answer_receipt(&out, "log.example/eu-1", &receipt);
    Domicile__V1__Receipt *wire = domicile__v1__receipt__unpack(NULL, out.len, out.data);
    assert_non_null(wire);
    assert_true(is_text(wire->origin, "log.example/eu-1"));
    assert_int_equal(wire->index, 12345678901);
    assert_int_equal(wire->leaf_hash.len, 32);
    assert_memory_equal(wire->leaf_hash.data, receipt.leaf_hash, 32);
    domicile__v1__receipt__free_unpacked(wire, NULL);
    dom_buffer_cleanup(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(clear_field_goes_out_as_it_is_stored),
        T(redacted_field_has_its_name_and_no_value),
        T(pseudonym_replaces_the_value_under_the_key_of_the_rule),
        T(pseudonym_that_cannot_be_made_leaves_the_field_out),
        T(pseudonym_of_a_damaged_field_leaves_it_out),
        T(withheld_field_is_left_out),
        T(value_without_a_permit_never_leaves),
        T(class_that_was_not_decided_is_not_given),
        T(mask_leaves_other_fields_out),
        T(within_the_jurisdiction_everything_is_clear),
        T(obligations_are_told_with_their_rule),
        T(forbid_is_told_though_a_permit_covers_the_class),
        T(expired_basis_is_told),
        T(missing_permit_is_told_without_a_rule),
        T(clear_field_is_not_among_the_handled),
        T(decision_names_policy_region_rules_and_bases),
        T(ask_again_names_the_next_change_of_a_basis),
        T(denial_names_no_basis_and_no_field),
        T(denied_access_gives_no_value_at_all),
        T(no_region_is_told_as_none),
        T(class_elsewhere_is_told_for_every_declared_field),
        T(class_elsewhere_is_told_for_the_named_fields_only),
        T(value_of_a_class_that_should_be_elsewhere_does_not_go_out),
        T(row_classes_are_those_that_the_mask_wants),
        T(field_that_the_kind_refuses_counts_as_the_strictest_class),
        T(receipt_has_origin_index_and_leaf),
    };

    return cmocka_run_group_tests_name("answer", tests, core_setup, core_teardown);
}
