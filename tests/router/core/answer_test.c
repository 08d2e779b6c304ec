/* What goes out of a row for one caller: each handling, its reason, and what is not told. */
#include "tests/router/core/harness.h"

#include <stdlib.h>

#include "domicile/v1/record.pb-c.h"
#include "router/core/wire.h"

/* A row with one field of each class, each with the value "v-" and its name. */
struct sample {
    struct dom_store_row row;
    struct dom_store_field fields[9];
    struct dom_buffer bytes[9];
};

static const char *const s_names[] = {"cover", "title", "owner", "ip",   "note",
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

static bool fake_pseudonym(void *context, const char *key_name, struct dom_slice value, char out[32])
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

static dom_policy_set all_classes(const struct core *core)
{
    return (UINT64_C(1) << dom_policy_num_classes(core->snapshot->policy)) - 1;
}

static Domicile__V1__Record *record_of(const struct dom_access *access,
                                       const struct dom_store_row *row, const struct dom_mask *mask,
                                       dom_pseudonym_fn *pseudonym, void *context)
{
    struct dom_buffer out = {0};

    dom_answer_record(&out, access, row, mask, pseudonym, context);
    assert_false(out.failed);
    Domicile__V1__Record *record = domicile__v1__record__unpack(NULL, out.len, out.data);
    assert_non_null(record);
    dom_buffer_cleanup(&out);
    return record;
}

static Domicile__V1__Decision *decision_of(const struct dom_access *access,
                                           const struct dom_store_row *row,
                                           const struct dom_mask *mask)
{
    struct dom_buffer out = {0};

    dom_answer_decision(&out, access, row, mask);
    assert_false(out.failed);
    Domicile__V1__Decision *decision = domicile__v1__decision__unpack(NULL, out.len, out.data);
    assert_non_null(decision);
    dom_buffer_cleanup(&out);
    return decision;
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

/* A read of the whole row from us-1, decided by the policy. */
static void read_abroad(struct core *core, struct dom_caller *caller, struct dom_access *access)
{
    *caller = core_caller(core, "moderation", "us-1");
    core_read(core, access, caller, all_classes(core));
    assert_int_equal(access->decision.effect, DOM_EFFECT_MODIFY);
    assert_true(access->request.crosses);
}

static void assert_handled(const struct dom_access *access, const struct sample *sample,
                           const char *name, Domicile__V1__Handling handling, const char *reason,
                           const char *rule)
{
    Domicile__V1__Decision *decision = decision_of(access, &sample->row, &s_all);
    const Domicile__V1__HandledField *handled = handled_of(decision, name);

    assert_non_null(handled);
    assert_int_equal(handled->handling, handling);
    if (!is_text(handled->reason, reason) || !is_text(handled->rule, rule)) {
        fail_msg("%s: reason %.*s rule %.*s", name, (int)handled->reason.len, handled->reason.data,
                 (int)handled->rule.len, handled->rule.data);
    }
    domicile__v1__decision__free_unpacked(decision, NULL);
}

/* ---- the record ---- */

static void clear_field_goes_out_as_it_is_stored(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_true(is_text(field_of(record, "title")->text, "v-title"));
    assert_true(is_text(field_of(record, "cover")->text, "v-cover"));
    assert_true(is_text(record->id, "room-1"));
    assert_true(is_text(record->home, "DE"));
    assert_int_equal(record->version, 9);
    assert_int_equal(record->create_time_ms, 11);
    assert_int_equal(record->update_time_ms, 12);
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void redacted_field_has_its_name_and_no_value(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    const Domicile__V1__Field *ip = field_of(record, "ip");
    assert_non_null(ip);
    assert_int_equal(ip->value_case, DOMICILE__V1__FIELD__VALUE__NOT_SET);
    assert_false(holds(record, "v-ip")); /* P1 */
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void pseudonym_replaces_the_value_under_the_key_of_the_rule(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_true(is_text(field_of(record, "owner")->text, "pseudo"));
    assert_string_equal(key, "eea_export");
    assert_false(holds(record, "v-owner"));
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

/* P2: whatever goes wrong, the value stays. */
static void pseudonym_that_cannot_be_made_leaves_the_field_out(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, no_pseudonym, NULL);
    assert_null(field_of(record, "owner"));
    assert_false(holds(record, "v-owner"));
    assert_false(holds(record, "leak"));
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void pseudonym_of_a_damaged_field_leaves_it_out(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    sample.fields[2].value = DOM_SLICE_LIT("v-owner, not a message");
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_null(field_of(record, "owner"));
    assert_null(key);
    assert_false(holds(record, "v-owner"));
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void withheld_field_is_left_out(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_null(field_of(record, "note"));
    assert_false(holds(record, "v-note"));
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

/* P2: forbidden, expired, without a rule, unknown to the policy: no value leaves. */
static void value_without_a_permit_never_leaves(void **state)
{
    static const char *const values[] = {"v-place", "v-card", "v-tag", "v-brand_new"};
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    for (size_t i = 0; i < DOM_ARRAY_LEN(values); i++) {
        assert_false(holds(record, values[i]));
    }
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

/* A class that the decision was not asked about is not given, whatever the row holds. */
static void class_that_was_not_decided_is_not_given(void **state)
{
    struct core *core = *state;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    struct dom_caller caller = core_caller(core, "moderation", "us-1");
    core_read(core, &access, &caller, core_classes(core, "public", NULL));
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_non_null(field_of(record, "cover"));
    assert_false(holds(record, "v-title"));
    assert_null(field_of(record, "title"));
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void mask_leaves_other_fields_out(void **state)
{
    struct core *core = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("title"), DOM_SLICE_LIT("ip")};
    struct dom_mask mask = {.names = names, .num_names = 2};
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &mask, fake_pseudonym, &key);
    assert_int_equal(record->n_fields, 2);
    Domicile__V1__Decision *decision = decision_of(&access, &sample.row, &mask);
    assert_int_equal(decision->n_handled, 1);
    assert_non_null(handled_of(decision, "ip"));
    domicile__v1__decision__free_unpacked(decision, NULL);
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void within_the_jurisdiction_everything_is_clear(void **state)
{
    struct core *core = *state;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    struct dom_caller caller = core_caller(core, "moderation", "eu-2");
    core_read(core, &access, &caller, all_classes(core));
    assert_int_equal(access.decision.effect, DOM_EFFECT_ALLOW);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, no_pseudonym, NULL);
    assert_int_equal(record->n_fields, DOM_ARRAY_LEN(s_names));
    assert_true(is_text(field_of(record, "card")->text, "v-card"));
    Domicile__V1__Decision *decision = decision_of(&access, &sample.row, &s_all);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_ALLOW);
    assert_int_equal(decision->n_handled, 0);
    assert_int_equal(decision->n_rules, 0);
    assert_false(decision->cross_border);
    domicile__v1__decision__free_unpacked(decision, NULL);
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

/* ---- why ---- */

static void obligations_are_told_with_their_rule(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    assert_handled(&access, &sample, "owner", DOMICILE__V1__HANDLING__HANDLING_PSEUDONYMISED,
                   "OBLIGATION", "eea-us-moderation");
    assert_handled(&access, &sample, "ip", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "OBLIGATION",
                   "eea-us-moderation");
    assert_handled(&access, &sample, "note", DOMICILE__V1__HANDLING__HANDLING_WITHHELD,
                   "OBLIGATION", "eea-us-moderation");
    sample_cleanup(&sample);
}

static void forbid_is_told_though_a_permit_covers_the_class(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    assert_handled(&access, &sample, "place", DOMICILE__V1__HANDLING__HANDLING_REDACTED,
                   "FORBIDDEN", "no-location"); /* P2: forbid beats permit */
    sample_cleanup(&sample);
}

static void expired_basis_is_told(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    assert_handled(&access, &sample, "card", DOMICILE__V1__HANDLING__HANDLING_REDACTED,
                   "BASIS_EXPIRED", "eea-us-payment");
    sample_cleanup(&sample);
}

static void missing_permit_is_told_without_a_rule(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    assert_handled(&access, &sample, "tag", DOMICILE__V1__HANDLING__HANDLING_REDACTED, "NO_PERMIT",
                   "");
    assert_handled(&access, &sample, "brand_new", DOMICILE__V1__HANDLING__HANDLING_REDACTED,
                   "NO_PERMIT", "");
    sample_cleanup(&sample);
}

static void clear_field_is_not_among_the_handled(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    sample_init(&sample);
    read_abroad(core, &caller, &access);
    Domicile__V1__Decision *decision = decision_of(&access, &sample.row, &s_all);
    assert_null(handled_of(decision, "title"));
    assert_null(handled_of(decision, "cover"));
    assert_int_equal(decision->n_handled, 7);
    domicile__v1__decision__free_unpacked(decision, NULL);
    sample_cleanup(&sample);
}

static void decision_names_policy_region_rules_and_bases(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;

    read_abroad(core, &caller, &access);
    Domicile__V1__Decision *decision = decision_of(&access, NULL, NULL);
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
    domicile__v1__decision__free_unpacked(decision, NULL);
}

/* The nearest date at which anything could come out otherwise: scc ends on 2027-06-30. */
static void ask_again_names_the_next_change_of_a_basis(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;

    read_abroad(core, &caller, &access);
    Domicile__V1__Decision *decision = decision_of(&access, NULL, NULL);
    int64_t next = dom_policy_next_change_ms(core->snapshot->policy, NOW);
    assert_int_equal(decision->ask_again_in_ms, next - NOW);
    assert_true(next > NOW);
    domicile__v1__decision__free_unpacked(decision, NULL);
}

/* P2 */
static void denial_names_no_basis_and_no_field(void **state)
{
    struct core *core = *state;
    struct dom_access access;
    struct dom_caller caller = core_caller(core, "feed", "us-1");

    core_read(core, &access, &caller, all_classes(core)); /* feed may not ask for moderation */
    assert_int_equal(access.decision.effect, DOM_EFFECT_DENY);
    Domicile__V1__Decision *decision = decision_of(&access, NULL, NULL);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_DENY);
    assert_int_equal(decision->n_bases, 0);
    assert_int_equal(decision->n_handled, 0);
    domicile__v1__decision__free_unpacked(decision, NULL);
}

static void denied_access_gives_no_value_at_all(void **state)
{
    struct core *core = *state;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;
    struct dom_caller caller = core_caller(core, "feed", "us-1");

    sample_init(&sample);
    core_read(core, &access, &caller, all_classes(core));
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_false(holds(record, "v-"));
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

static void no_region_is_told_as_none(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;

    read_abroad(core, &caller, &access);
    access.served = DOM_STORE_NO_REGION;
    Domicile__V1__Decision *decision = decision_of(&access, NULL, NULL);
    assert_int_equal(decision->served_region.len, 0);
    domicile__v1__decision__free_unpacked(decision, NULL);
}

/* ---- classes that are not in the region that serves ---- */

/* A replica that holds `cover` only, asked for everything; the identifier class is elsewhere. */
static void serve_part(struct core *core, struct dom_caller *caller, struct dom_access *access,
                       struct sample *sample)
{
    *caller = core_caller(core, "moderation", "eu-2");
    sample_init(sample);
    sample->row.num_fields = 1;
    sample->row.complete = false;
    core_read(core, access, caller, core_classes(core, "public", NULL));
    access->elsewhere = core_classes(core, "identifier", NULL);
}

/* Whether the record has the field is not known here, so it must be told either way. */
static void class_elsewhere_is_told_for_every_declared_field(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    serve_part(core, &caller, &access, &sample);
    Domicile__V1__Decision *decision = decision_of(&access, &sample.row, &s_all);
    assert_int_equal(decision->n_handled, 1);
    const Domicile__V1__HandledField *handled = handled_of(decision, "owner");
    assert_non_null(handled);
    assert_int_equal(handled->handling, DOMICILE__V1__HANDLING__HANDLING_WITHHELD);
    assert_true(is_text(handled->data_class, "identifier"));
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_MODIFY);
    domicile__v1__decision__free_unpacked(decision, NULL);
    sample_cleanup(&sample);
}

static void class_elsewhere_is_told_for_the_named_fields_only(void **state)
{
    struct core *core = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("cover")};
    struct dom_mask mask = {.names = names, .num_names = 1};
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;

    serve_part(core, &caller, &access, &sample);
    Domicile__V1__Decision *decision = decision_of(&access, &sample.row, &mask);
    assert_int_equal(decision->n_handled, 0);
    assert_int_equal(decision->effect, DOMICILE__V1__EFFECT__EFFECT_ALLOW);
    domicile__v1__decision__free_unpacked(decision, NULL);
    sample_cleanup(&sample);
}

/* P1: bytes that lie where they may not (a tightened policy) do not go out. */
static void value_of_a_class_that_should_be_elsewhere_does_not_go_out(void **state)
{
    struct core *core = *state;
    struct dom_caller caller;
    struct dom_access access;
    struct sample sample;
    const char *key = NULL;

    serve_part(core, &caller, &access, &sample);
    sample.row.num_fields = 3; /* with owner, though it should not be here */
    access.decision.clear = ~UINT64_C(0);
    Domicile__V1__Record *record = record_of(&access, &sample.row, &s_all, fake_pseudonym, &key);
    assert_null(field_of(record, "owner"));
    assert_false(holds(record, "v-owner"));
    Domicile__V1__Decision *decision = decision_of(&access, &sample.row, &s_all);
    assert_int_equal(decision->n_handled, 1); /* once, not also as one that is elsewhere */
    domicile__v1__decision__free_unpacked(decision, NULL);
    domicile__v1__record__free_unpacked(record, NULL);
    sample_cleanup(&sample);
}

/* ---- the rest ---- */

static void row_classes_are_those_that_the_mask_wants(void **state)
{
    struct core *core = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("owner"), DOM_SLICE_LIT("title"),
                                DOM_SLICE_LIT("absent")};
    struct dom_mask mask = {.names = names, .num_names = 3};
    struct sample sample;

    sample_init(&sample);
    assert_true(dom_row_classes(core->snapshot, core_kind(core), &sample.row, &mask) ==
                core_classes(core, "identifier", "content", NULL));
    assert_true(dom_row_classes(core->snapshot, core_kind(core), &sample.row, &s_all) ==
                all_classes(core));
    sample_cleanup(&sample);
}

/* P2 */
static void field_that_the_kind_refuses_counts_as_the_strictest_class(void **state)
{
    struct core *core = *state;
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
        cmocka_unit_test(clear_field_goes_out_as_it_is_stored),
        cmocka_unit_test(redacted_field_has_its_name_and_no_value),
        cmocka_unit_test(pseudonym_replaces_the_value_under_the_key_of_the_rule),
        cmocka_unit_test(pseudonym_that_cannot_be_made_leaves_the_field_out),
        cmocka_unit_test(pseudonym_of_a_damaged_field_leaves_it_out),
        cmocka_unit_test(withheld_field_is_left_out),
        cmocka_unit_test(value_without_a_permit_never_leaves),
        cmocka_unit_test(class_that_was_not_decided_is_not_given),
        cmocka_unit_test(mask_leaves_other_fields_out),
        cmocka_unit_test(within_the_jurisdiction_everything_is_clear),
        cmocka_unit_test(obligations_are_told_with_their_rule),
        cmocka_unit_test(forbid_is_told_though_a_permit_covers_the_class),
        cmocka_unit_test(expired_basis_is_told),
        cmocka_unit_test(missing_permit_is_told_without_a_rule),
        cmocka_unit_test(clear_field_is_not_among_the_handled),
        cmocka_unit_test(decision_names_policy_region_rules_and_bases),
        cmocka_unit_test(ask_again_names_the_next_change_of_a_basis),
        cmocka_unit_test(denial_names_no_basis_and_no_field),
        cmocka_unit_test(denied_access_gives_no_value_at_all),
        cmocka_unit_test(no_region_is_told_as_none),
        cmocka_unit_test(class_elsewhere_is_told_for_every_declared_field),
        cmocka_unit_test(class_elsewhere_is_told_for_the_named_fields_only),
        cmocka_unit_test(value_of_a_class_that_should_be_elsewhere_does_not_go_out),
        cmocka_unit_test(row_classes_are_those_that_the_mask_wants),
        cmocka_unit_test(field_that_the_kind_refuses_counts_as_the_strictest_class),
        cmocka_unit_test(receipt_has_origin_index_and_leaf),
    };

    return cmocka_run_group_tests_name("answer", tests, core_setup, core_teardown);
}
