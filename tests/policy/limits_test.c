/* Every bound of a policy, at the limit and one beyond it (P12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "policy/iso3166.h"
#include "policy/tree.h"
#include "tests/policy/policy_text.h"

/* The base text with `num` pieces put in place of `old`; `form` takes a number (twice). */
static void repeat(struct dom_buffer *text, const char *old, const char *head, const char *piece,
                   const char *between, const char *tail, unsigned num)
{
    struct dom_buffer with;

    dom_buffer_init(&with, 0);
    dom_buffer_append_str(&with, head);
    for (unsigned i = 0; i < num; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%u", i);
        dom_buffer_append_str(&with, i == 0 ? "" : between);
        for (const char *at = piece; *at != '\0'; at++) {
            if (*at == '#') {
                dom_buffer_append_str(&with, number);
            } else {
                dom_buffer_append_char(&with, *at);
            }
        }
    }
    dom_buffer_append_str(&with, tail);
    dom_buffer_init(text, 0);
    test_replace(text, old, dom_buffer_cstr(&with));
    dom_buffer_cleanup(&with);
}

static void expect_limit(const char *old, const char *head, const char *piece, const char *between,
                         const char *tail, unsigned at_limit, const char *code)
{
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        struct dom_findings findings = {0};
        struct dom_policy *policy = NULL;
        struct dom_buffer text;
        repeat(&text, old, head, piece, between, tail, at_limit + beyond);
        enum dom_code rc = test_compile(&policy, &findings, dom_buffer_slice(&text));
        if (beyond == 0 && rc != DOM_OK) {
            fail_msg("%s: %s", piece, findings.items[0].message);
        }
        if (beyond == 1) {
            assert_int_equal(rc, DOM_PARSE);
            assert_null(policy);
            if (test_find(&findings, code) == NULL) {
                fail_msg("%s: no %s", piece, code);
            }
        }
        dom_policy_unref(policy);
        dom_findings_cleanup(&findings);
        dom_buffer_cleanup(&text);
    }
}

static void counts_are_bounded(void **unused)
{
    (void)unused;
    expect_limit("gb-1 = {", "", "x-# = { country = \"GB\"; };", " ", " gb-1 = {",
                 DOM_REGIONS_MAX - 4, "P0105");
    expect_limit("groups = {", "groups = { ", "g# = (\"GB\");", " ", " ", DOM_GROUPS_MAX - 1,
                 "P0105");
    expect_limit("data_classes = {", "data_classes = { ", "z# = { rank = 0; };", " ", " ",
                 DOM_CLASSES_MAX - 3, "P0105");
    expect_limit("purposes = { ", "purposes = { ", "z# = {};", " ", " ", DOM_PURPOSES_MAX - 2,
                 "P0105");
    expect_limit("services = {", "services = { ",
                 "z# = { kinds = \"room\"; ops = \"read\"; purposes = \"serve\"; };", " ", " ",
                 DOM_SERVICES_MAX - 1, "P0105");
    expect_limit("kinds = { room", "kinds = { ", "z# = { fields = { a = \"public\"; }; };", " ",
                 " room", DOM_KINDS_MAX - 1, "P0105");
    expect_limit("fields = { ", "fields = { ", "f# = \"public\";", " ", " ", DOM_FIELDS_MAX - 3,
                 "P0105");
    expect_limit("bases = {", "bases = { ", "z# = { mechanism = \"m\"; from = \"2026-01-01\"; };",
                 " ", " ", DOM_BASES_MAX - 1, "P0105");
    expect_limit("rules = (", "log_copies = ( ",
                 "{ id = \"z#\"; regions = \"EEA\"; sinks = \"v\"; }", ", ", " ); rules = (",
                 DOM_SINK_CLAUSES_MAX, "P0105");
    expect_limit("rules = (", "log_copies = ( { id = \"z\"; regions = \"EEA\"; sinks = ( ", "\"v#\"",
                 ", ", " ); } ); rules = (", DOM_SINKS_MAX, "P0105");
    expect_limit("rules = (", "rules = ( ", "{ id = \"z#\"; effect = \"forbid\"; to = \"GB\"; }",
                 ", ", ", ", DOM_RULES_MAX - 2, "P0105");
    expect_limit("placement = (", "placement = ( ",
                 "{ id = \"z#\"; home = \"GB\"; classes = \"*\"; regions = \"GB\"; }", ", ", ", ",
                 DOM_PLACEMENTS_MAX - 3, "P0105");
    expect_limit("obligations = ( ", "obligations = ( ", "{ do = \"redact\"; }", ", ", ", ",
                 DOM_OBLIGATIONS_MAX - 1, "P0105");
}

static void keys_are_bounded(void **unused)
{
    (void)unused;
    /* Sixteen keys to a rule at most, so spread over rules. */
    expect_limit("rules = (", "rules = ( ",
                 "{ id = \"z#\"; effect = \"permit\"; ops = \"read\"; home = \"EEA\"; to = \"GB\"; "
                 "kinds = \"*\"; classes = \"identifier\"; purposes = \"*\"; services = \"*\"; "
                 "basis = \"scc\"; obligations = ( { do = \"pseudonymise\"; key = \"z#\"; } ); }",
                 ", ", ", ", 255, "P0105");
}

/* A jurisdiction per country: there are more countries than jurisdictions may be. */
static void jurisdictions_are_bounded(void **unused)
{
    (void)unused;
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        struct dom_findings findings = {0};
        struct dom_policy *policy = NULL;
        struct dom_buffer with;
        struct dom_buffer text;
        unsigned left = DOM_JURISDICTIONS_MAX - 3 + beyond;
        dom_buffer_init(&with, 0);
        dom_buffer_init(&text, 0);
        dom_buffer_append_str(&with, "jurisdictions = { ");
        for (char a = 'A'; a <= 'Z'; a++) {
            for (char b = 'A'; b <= 'Z' && left > 0; b++) {
                char code[3] = {a, b, '\0'};
                if (dom_iso3166_known(dom_slice_str(code)) &&
                    strstr("DE FR SE US GB", code) == NULL) {
                    dom_buffer_printf(&with, "J%s = { countries = \"%s\"; }; ", code, code);
                    left--;
                }
            }
        }
        test_replace(&text, "jurisdictions = { ", dom_buffer_cstr(&with));
        assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)),
                         beyond == 0 ? DOM_OK : DOM_PARSE);
        assert_int_equal(test_find(&findings, "P0105") != NULL, beyond);
        dom_policy_unref(policy);
        dom_findings_cleanup(&findings);
        dom_buffer_cleanup(&with);
        dom_buffer_cleanup(&text);
    }
}

static void names_are_bounded(void **unused)
{
    (void)unused;
    char with[400];
    char name[DOM_POLICY_NAME_BYTES_MAX + 2];

    for (size_t beyond = 0; beyond < 2; beyond++) {
        memset(name, 'a', sizeof(name));
        name[DOM_POLICY_NAME_BYTES_MAX + beyond] = '\0';
        (void)snprintf(with, sizeof(with), "id = \"%s\"", name);
        if (beyond == 0) {
            dom_policy_unref(test_load("id = \"permit-1\"", with));
        } else {
            test_finding("id = \"permit-1\"", with, "P0106", NULL);
        }
        (void)snprintf(with, sizeof(with), "purposes = { %s = {};", name);
        if (beyond == 0) {
            dom_policy_unref(test_load("purposes = {", with));
        } else {
            test_finding("purposes = {", with, "P0106", NULL);
        }
        name[DOM_FIELD_NAME_BYTES_MAX + beyond] = '\0';
        (void)snprintf(with, sizeof(with), "fields = { %s = \"public\";", name);
        if (beyond == 0) {
            dom_policy_unref(test_load("fields = {", with));
        } else {
            test_finding("fields = {", with, "P0106", NULL);
        }
    }
}

/* `agree`: hold it against libconfig too (whose lists grow by sixteen, too slow for the largest
 * under a sanitizer). */
static enum dom_code parse_only(struct dom_slice text, const char *code, bool agree, bool *found)
{
    struct dom_findings findings = {0};
    struct dom_node *root = NULL;
    struct dom_arena arena;

    dom_arena_init(&arena, NULL, 0, DOM_TREE_BYTES_MAX);
    enum dom_code rc = dom_tree_parse(&root, text, &arena, &findings, NULL);
    *found = test_find(&findings, code) != NULL;
    if (rc == DOM_OK) {
        assert_int_equal(findings.num_items, 0);
        if (agree) {
            assert_int_equal(dom_tree_agree(root, text, &findings, NULL), DOM_OK);
            assert_int_equal(findings.num_items, 0);
        }
    }
    dom_findings_cleanup(&findings);
    dom_arena_cleanup(&arena);
    return rc;
}

static void nesting_is_bounded(void **unused)
{
    (void)unused;
    bool found = false;

    for (unsigned beyond = 0; beyond < 2; beyond++) {
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        dom_buffer_append_str(&text, "a = ");
        for (unsigned i = 0; i < DOM_POLICY_NESTING_MAX + beyond; i++) {
            dom_buffer_append_char(&text, '(');
        }
        for (unsigned i = 0; i < DOM_POLICY_NESTING_MAX + beyond; i++) {
            dom_buffer_append_char(&text, ')');
        }
        dom_buffer_append_char(&text, ';');
        assert_int_equal(parse_only(dom_buffer_slice(&text), "P0009", true, &found),
                         beyond == 0 ? DOM_OK : DOM_PARSE);
        assert_int_equal(found, beyond);
        dom_buffer_cleanup(&text);
    }
}

static void members_of_a_group_are_bounded(void **unused)
{
    (void)unused;
    bool found = false;

    for (unsigned beyond = 0; beyond < 2; beyond++) {
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        for (unsigned i = 0; i < DOM_TREE_MEMBERS_MAX + beyond; i++) {
            dom_buffer_printf(&text, "a%u = 1;\n", i);
        }
        assert_int_equal(parse_only(dom_buffer_slice(&text), "P0016", true, &found),
                         beyond == 0 ? DOM_OK : DOM_PARSE);
        assert_int_equal(found, beyond);
        dom_buffer_cleanup(&text);
    }
}

static void values_of_a_file_are_bounded(void **unused)
{
    (void)unused;
    bool found = false;

    /* Root and list are values too. */
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        dom_buffer_append_str(&text, "a = (1");
        for (unsigned i = 0; i < DOM_TREE_NODES_MAX - 3 + beyond; i++) {
            dom_buffer_append_str(&text, ",1");
        }
        dom_buffer_append_str(&text, ");");
        assert_int_equal(parse_only(dom_buffer_slice(&text), "P0017", false, &found),
                         beyond == 0 ? DOM_OK : DOM_PARSE);
        assert_int_equal(found, beyond);
        dom_buffer_cleanup(&text);
    }
}

static void file_is_bounded(void **unused)
{
    (void)unused;
    for (size_t beyond = 0; beyond < 2; beyond++) {
        struct dom_findings findings = {0};
        struct dom_policy *policy = NULL;
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        test_replace(&text, "rules = (", "# long\nrules = (");
        while (text.len < DOM_POLICY_FILE_BYTES_MAX + beyond) {
            dom_buffer_append_char(&text, '\n');
        }
        assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)),
                         beyond == 0 ? DOM_OK : DOM_TOO_LARGE);
        assert_int_equal(test_find(&findings, "P0010") != NULL, beyond);
        dom_policy_unref(policy);
        dom_findings_cleanup(&findings);
        dom_buffer_cleanup(&text);
    }
}

/* Half of the names, chosen by a simple sequence: no two rules alike, nothing to share. */
static void put_half(struct dom_buffer *text, const char *key, char prefix, unsigned num,
                     uint32_t *state)
{
    dom_buffer_printf(text, " %s = (\"%c0\"", key, prefix);
    for (unsigned i = 1; i < num; i++) {
        *state = *state * 1664525U + 1013904223U;
        if ((*state >> 24) % 2 == 0) {
            dom_buffer_printf(text, ", \"%c%u\"", prefix, i);
        }
    }
    dom_buffer_append_str(text, ");");
}

static void put_groups(struct dom_buffer *text, const char *section, char prefix, unsigned num,
                       const char *body)
{
    dom_buffer_printf(text, "%s = {", section);
    for (unsigned i = 0; i < num; i++) {
        dom_buffer_printf(text, " %c%u = { %s };", prefix, i, body);
    }
    dom_buffer_append_str(text, " };\n");
}

static void tables_are_bounded(void **unused)
{
    (void)unused;
    static const char *const countries[] = {"AT", "BE", "DE", "FR", "SE", "GB", "US", "SG"};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;
    uint32_t state = 7;

    dom_buffer_init(&text, 0);
    dom_buffer_append_str(&text, "policy = { schema = 1; name = \"big\"; version = 1; expires = "
                                 "\"2100-01-01\"; };\njurisdictions = {");
    for (unsigned i = 0; i < 8; i++) {
        dom_buffer_printf(&text, " J%u = { countries = \"%s\"; };", i, countries[i]);
    }
    dom_buffer_append_str(&text, " };\nregions = { r = { country = \"DE\"; }; };\n");
    put_groups(&text, "data_classes", 'c', 4, "rank = 1;");
    put_groups(&text, "purposes", 'p', 40, "");
    put_groups(&text, "kinds", 'k', 20, "fields = { a = \"c0\"; };");
    put_groups(&text, "services", 's', 200, "kinds = \"*\"; ops = \"*\"; purposes = \"*\";");
    dom_buffer_append_str(&text, "placement = ();\nrules = (");
    for (unsigned i = 0; i < 400; i++) {
        dom_buffer_printf(&text, "%s\n{ id = \"r%u\"; effect = \"permit\"; ops = \"read\";",
                          i == 0 ? "" : ",", i);
        put_half(&text, "home", 'J', 8, &state);
        put_half(&text, "to", 'J', 8, &state);
        put_half(&text, "kinds", 'k', 20, &state);
        put_half(&text, "classes", 'c', 4, &state);
        put_half(&text, "purposes", 'p', 40, &state);
        put_half(&text, "services", 's', 200, &state);
        dom_buffer_append_str(&text, " }");
    }
    dom_buffer_append_str(&text, " );\n");
    assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)), DOM_TOO_LARGE);
    assert_null(policy);
    assert_non_null(test_find(&findings, "P0319"));
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(jurisdictions_are_bounded),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(members_of_a_group_are_bounded),
        cmocka_unit_test(values_of_a_file_are_bounded),
        cmocka_unit_test(file_is_bounded),
        cmocka_unit_test(tables_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
