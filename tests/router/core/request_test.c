/* Names of a request against the policy in force: whatever is unknown is refused with its path. */
#include "tests/router/core/harness.h"

#include <stdio.h>

static enum dom_code resolve(struct core *core, struct dom_key *key, struct dom_slice kind,
                             struct dom_slice id, struct dom_slice home, const char *prefix)
{
    memset(&core->refusal, 0, sizeof(core->refusal));
    return dom_key_resolve(key, core->snapshot, kind, id, home, prefix, &core->arena,
                           &core->refusal);
}

static void assert_refused(const struct core *core, enum dom_code code, const char *path,
                           const char *words)
{
    assert_int_equal(core->refusal.error.code, code);
    if (path == NULL) {
        assert_null(core->refusal.path);
    } else {
        assert_non_null(core->refusal.path);
        assert_string_equal(core->refusal.path, path);
    }
    if (strstr(core->refusal.error.message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", core->refusal.error.message, words);
    }
}

/* ---- the caller ---- */

static void caller_gets_the_place_of_its_region(void **state)
{
    struct core *core = *state;
    struct dom_caller caller = core_caller(core, "moderation", "us-1");

    assert_int_equal(caller.country, core_country(core, "US"));
    assert_int_equal(caller.store_region, core_region(core, "us-1"));
    assert_int_not_equal(caller.service, DOM_POLICY_NONE);
}

/* P2 */
static void caller_from_an_unknown_region_is_refused(void **state)
{
    static const char *const unknown[] = {"", "us-2", "us", "us-1x", "US-1", "eu"};
    struct core *core = *state;
    struct dom_caller caller;

    for (size_t i = 0; i < DOM_ARRAY_LEN(unknown); i++) {
        assert_int_equal(dom_caller_resolve(&caller, core->snapshot, DOM_SLICE_LIT("insecure:x"),
                                            DOM_SLICE_LIT("moderation"), dom_slice_str(unknown[i]),
                                            &core->refusal),
                         DOM_UNAUTHENTICATED);
        assert_refused(core, DOM_UNAUTHENTICATED, NULL, "is not in the policy");
    }
}

/* P2: resolved, so that the refusal can be decided and written; but permitted nothing. */
static void caller_of_an_unknown_service_has_no_service(void **state)
{
    struct core *core = *state;
    struct dom_access access;

    struct dom_caller caller = core_caller(core, "moderatio", "us-1");
    assert_int_equal(caller.service, DOM_POLICY_NONE);
    core_read(core, &access, &caller, core_classes(core, "public", NULL));
    assert_int_equal(access.decision.effect, DOM_EFFECT_DENY);
    assert_int_equal(access.decision.reason, DOM_SERVICE_DENIED);
}

/* ---- the key ---- */

static void key_of_known_names_is_resolved(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"),
                             DOM_SLICE_LIT("DE"), ""),
                     DOM_OK);
    assert_int_equal(key.kind, core_kind(core));
    assert_int_equal(key.home, core_country(core, "DE"));
}

static void key_without_a_home_has_none(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"),
                             dom_slice_of(NULL, 0), ""),
                     DOM_OK);
    assert_int_equal(key.home, DOM_POLICY_NONE);
}

/* P2 */
static void key_of_an_unknown_kind_is_refused(void **state)
{
    static const struct dom_slice unknown[] = {
        {NULL, 0},
        {(const uint8_t *)"live_roo", 8},
        {(const uint8_t *)"live_rooms", 10},
        {(const uint8_t *)"LIVE_ROOM", 9},
        {(const uint8_t *)"live_room\0", 10},
        {(const uint8_t *)" live_room", 10},
        {(const uint8_t *)"*", 1},
    };
    struct core *core = *state;
    struct dom_key key;

    for (size_t i = 0; i < DOM_ARRAY_LEN(unknown); i++) {
        assert_int_equal(
            resolve(core, &key, unknown[i], DOM_SLICE_LIT("r1"), DOM_SLICE_LIT("DE"), ""),
            DOM_INVALID);
        assert_refused(core, DOM_INVALID, "kind", "unknown kind");
    }
}

/* P2 */
static void key_of_an_unknown_country_is_refused(void **state)
{
    static const char *const unknown[] = {"XX",  "D",    "DEU", "de",  "De",         "276",
                                          "EEA", "eu-1", " DE", "D\n", "Germany",    "*",
                                          "AT",  "SG",   "\xD0\x95U", "D\xD0\x95"};
    struct core *core = *state;
    struct dom_key key;

    for (size_t i = 0; i < DOM_ARRAY_LEN(unknown); i++) {
        assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"),
                                 dom_slice_str(unknown[i]), ""),
                         DOM_INVALID);
        assert_refused(core, DOM_INVALID, "home", "unknown country");
        assert_int_equal(key.home, DOM_POLICY_NONE);
    }
}

static void uk_is_refused_with_the_code_that_is_meant(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    (void)resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"), DOM_SLICE_LIT("UK"),
                  "");
    assert_refused(core, DOM_INVALID, "home", "is GB");
}

static void el_is_refused_with_the_code_that_is_meant(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    (void)resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"), DOM_SLICE_LIT("EL"),
                  "");
    assert_refused(core, DOM_INVALID, "home", "is GR");
}

/* A country of the policy with a NUL behind it is another text. */
static void country_with_a_nul_is_refused(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"),
                             DOM_SLICE_LIT("DE\0"), ""),
                     DOM_INVALID);
}

/* P12 */
static void id_has_1_to_512_bytes(void **state)
{
    struct core *core = *state;
    char id[513];
    struct dom_key key;

    memset(id, 'i', sizeof(id));
    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), dom_slice_of(id, 1),
                             dom_slice_of(NULL, 0), ""),
                     DOM_OK);
    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), dom_slice_of(id, 512),
                             dom_slice_of(NULL, 0), ""),
                     DOM_OK);
    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), dom_slice_of(id, 513),
                             dom_slice_of(NULL, 0), ""),
                     DOM_INVALID);
    assert_refused(core, DOM_INVALID, "id", "513 bytes");
    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), dom_slice_of(NULL, 0),
                             dom_slice_of(NULL, 0), ""),
                     DOM_INVALID);
    assert_refused(core, DOM_INVALID, "id", "0 bytes");
}

/* P11: two ids that differ behind a NUL must not become one. */
static void id_with_a_nul_is_refused(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("a\0b"),
                             dom_slice_of(NULL, 0), ""),
                     DOM_INVALID);
    assert_refused(core, DOM_INVALID, "id", "UTF-8");
    assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("\0"),
                             dom_slice_of(NULL, 0), ""),
                     DOM_INVALID);
}

static void id_that_is_not_utf8_is_refused(void **state)
{
    static const char *const bad[] = {"caf\xE9", "\xC0\xAF", "\xED\xA0\x80", "r\xF0\x9F\x98"};
    struct core *core = *state;
    struct dom_key key;

    for (size_t i = 0; i < DOM_ARRAY_LEN(bad); i++) {
        assert_int_equal(resolve(core, &key, DOM_SLICE_LIT("live_room"), dom_slice_str(bad[i]),
                                 dom_slice_of(NULL, 0), ""),
                         DOM_INVALID);
        assert_refused(core, DOM_INVALID, "id", "UTF-8");
    }
}

static void path_names_the_key_of_a_batch(void **state)
{
    struct core *core = *state;
    struct dom_key key;

    (void)resolve(core, &key, DOM_SLICE_LIT("x"), DOM_SLICE_LIT("r1"), DOM_SLICE_LIT("DE"),
                  "keys[3].");
    assert_refused(core, DOM_INVALID, "keys[3].kind", "unknown kind");
    (void)resolve(core, &key, DOM_SLICE_LIT("live_room"), dom_slice_of(NULL, 0),
                  DOM_SLICE_LIT("DE"), "keys[4].");
    assert_refused(core, DOM_INVALID, "keys[4].id", "0 bytes");
    (void)resolve(core, &key, DOM_SLICE_LIT("live_room"), DOM_SLICE_LIT("r1"), DOM_SLICE_LIT("XX"),
                  "keys[5].");
    assert_refused(core, DOM_INVALID, "keys[5].home", "unknown country");
}

/* What a peer sent goes into messages and logs: cut, and without control characters. */
static void refusal_shows_hostile_text_harmlessly(void **state)
{
    struct core *core = *state;
    char kind[5000];
    struct dom_key key;

    memset(kind, 'k', sizeof(kind));
    memcpy(kind, "a\nb\x1B[2J\0\xFF%n%s", 14);
    (void)resolve(core, &key, dom_slice_of(kind, sizeof(kind)), DOM_SLICE_LIT("r1"),
                  DOM_SLICE_LIT("DE"), "");
    assert_refused(core, DOM_INVALID, "kind", "\"a?b?[2J??%n%s");
    assert_true(strlen(core->refusal.error.message) < 120);
    assert_non_null(strstr(core->refusal.error.message, "...\""));
}

/* ---- home, purpose ---- */

static void home_that_must_be_there_is_refused_when_empty(void **state)
{
    struct core *core = *state;
    dom_policy_id home = 0;

    assert_int_equal(dom_home_resolve(&home, core->snapshot, dom_slice_of(NULL, 0), "home",
                                      &core->refusal),
                     DOM_INVALID);
    assert_refused(core, DOM_INVALID, "home", "home is missing");
    assert_int_equal(home, DOM_POLICY_NONE);
}

static void purpose_may_be_empty(void **state)
{
    struct core *core = *state;
    dom_policy_id purpose = 0;

    assert_int_equal(dom_purpose_resolve(&purpose, core->snapshot, dom_slice_of(NULL, 0),
                                         &core->refusal),
                     DOM_OK);
    assert_int_equal(purpose, DOM_POLICY_NONE);
}

/* P2 */
static void purpose_that_is_unknown_is_refused(void **state)
{
    static const char *const unknown[] = {"serv", "serves", "Serve", "*", "serve "};
    struct core *core = *state;
    dom_policy_id purpose = 0;

    for (size_t i = 0; i < DOM_ARRAY_LEN(unknown); i++) {
        assert_int_equal(dom_purpose_resolve(&purpose, core->snapshot, dom_slice_str(unknown[i]),
                                             &core->refusal),
                         DOM_INVALID);
        assert_refused(core, DOM_INVALID, "purpose", "unknown purpose");
        assert_int_equal(purpose, DOM_POLICY_NONE);
    }
}

/* ---- the mask ---- */

static enum dom_code mask_of(struct core *core, struct dom_mask *mask, const char *kind,
                             const struct dom_slice *names, size_t num_names)
{
    memset(&core->refusal, 0, sizeof(core->refusal));
    return dom_mask_resolve(mask, core->snapshot,
                            dom_policy_find_kind(core->snapshot->policy, dom_slice_str(kind)),
                            names, num_names, &core->arena, &core->refusal);
}

static void empty_mask_has_every_name(void **state)
{
    struct core *core = *state;
    struct dom_mask mask;

    assert_int_equal(mask_of(core, &mask, "live_room", NULL, 0), DOM_OK);
    assert_true(dom_mask_has(&mask, DOM_SLICE_LIT("anything")));
    assert_true((mask.classes & core_classes(core, "public", "other", NULL)) ==
                core_classes(core, "public", "other", NULL));
}

static void mask_has_its_names_and_their_classes_only(void **state)
{
    struct core *core = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("title"), DOM_SLICE_LIT("owner"),
                                DOM_SLICE_LIT("title")};
    struct dom_mask mask;

    assert_int_equal(mask_of(core, &mask, "live_room", names, 3), DOM_OK);
    assert_true(mask.classes == core_classes(core, "content", "identifier", NULL));
    assert_true(dom_mask_has(&mask, DOM_SLICE_LIT("title")));
    assert_false(dom_mask_has(&mask, DOM_SLICE_LIT("titl")));
    assert_false(dom_mask_has(&mask, DOM_SLICE_LIT("titles")));
    assert_false(dom_mask_has(&mask, DOM_SLICE_LIT("cover")));
    assert_false(dom_mask_has(&mask, dom_slice_of(NULL, 0)));
}

static void undeclared_name_counts_as_the_kinds_class_for_such(void **state)
{
    struct core *core = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("brand_new")};
    struct dom_mask mask;

    assert_int_equal(mask_of(core, &mask, "live_room", names, 1), DOM_OK);
    assert_true(mask.classes == core_classes(core, "other", NULL));
}

/* P11 */
static void mask_with_a_name_that_the_kind_refuses_names_its_place(void **state)
{
    struct core *core = *state;
    struct dom_slice names[] = {DOM_SLICE_LIT("name"), DOM_SLICE_LIT("nam")};
    struct dom_mask mask;

    assert_int_equal(mask_of(core, &mask, "strict", names, 2), DOM_INVALID);
    assert_refused(core, DOM_INVALID, "fields[1]", "unknown field \"nam\"");
}

static void mask_with_what_is_no_field_name_is_refused(void **state)
{
    struct core *core = *state;
    char long_name[65];
    memset(long_name, 'n', sizeof(long_name));
    struct dom_slice bad[] = {
        dom_slice_of(NULL, 0),     DOM_SLICE_LIT("Title"),    DOM_SLICE_LIT("1st"),
        DOM_SLICE_LIT("_title"),   DOM_SLICE_LIT("ti tle"),   DOM_SLICE_LIT("ti-tle"),
        DOM_SLICE_LIT("title\0"),  DOM_SLICE_LIT("*"),        DOM_SLICE_LIT("titl\xC3\xA9"),
        DOM_SLICE_LIT("a.b"),      dom_slice_of(long_name, 65)};
    struct dom_mask mask;

    for (size_t i = 0; i < DOM_ARRAY_LEN(bad); i++) {
        assert_int_equal(mask_of(core, &mask, "live_room", &bad[i], 1), DOM_INVALID);
        assert_refused(core, DOM_INVALID, "fields[0]", "unknown field");
    }
    struct dom_slice longest = dom_slice_of(long_name, 64);
    assert_int_equal(mask_of(core, &mask, "live_room", &longest, 1), DOM_OK);
}

/* P12 */
static void mask_has_at_most_256_names(void **state)
{
    struct core *core = *state;
    struct dom_slice names[257];
    struct dom_mask mask;

    for (size_t i = 0; i < 257; i++) {
        names[i] = DOM_SLICE_LIT("title");
    }
    assert_int_equal(mask_of(core, &mask, "live_room", names, 256), DOM_OK);
    assert_int_equal(mask_of(core, &mask, "live_room", names, 257), DOM_INVALID);
    assert_refused(core, DOM_INVALID, "fields", "257 field names");
    assert_int_equal(mask.num_names, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caller_gets_the_place_of_its_region),
        cmocka_unit_test(caller_from_an_unknown_region_is_refused),
        cmocka_unit_test(caller_of_an_unknown_service_has_no_service),
        cmocka_unit_test(key_of_known_names_is_resolved),
        cmocka_unit_test(key_without_a_home_has_none),
        cmocka_unit_test(key_of_an_unknown_kind_is_refused),
        cmocka_unit_test(key_of_an_unknown_country_is_refused),
        cmocka_unit_test(uk_is_refused_with_the_code_that_is_meant),
        cmocka_unit_test(el_is_refused_with_the_code_that_is_meant),
        cmocka_unit_test(country_with_a_nul_is_refused),
        cmocka_unit_test(id_has_1_to_512_bytes),
        cmocka_unit_test(id_with_a_nul_is_refused),
        cmocka_unit_test(id_that_is_not_utf8_is_refused),
        cmocka_unit_test(path_names_the_key_of_a_batch),
        cmocka_unit_test(refusal_shows_hostile_text_harmlessly),
        cmocka_unit_test(home_that_must_be_there_is_refused_when_empty),
        cmocka_unit_test(purpose_may_be_empty),
        cmocka_unit_test(purpose_that_is_unknown_is_refused),
        cmocka_unit_test(empty_mask_has_every_name),
        cmocka_unit_test(mask_has_its_names_and_their_classes_only),
        cmocka_unit_test(undeclared_name_counts_as_the_kinds_class_for_such),
        cmocka_unit_test(mask_with_a_name_that_the_kind_refuses_names_its_place),
        cmocka_unit_test(mask_with_what_is_no_field_name_is_refused),
        cmocka_unit_test(mask_has_at_most_256_names),
    };

    return cmocka_run_group_tests_name("request", tests, core_setup, core_teardown);
}
