/* Our tree and libconfig's are the same tree, on our texts and on libconfig's own test inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libconfig.h>

#include "base/file.h"
#include "policy/lexer.h"
#include "policy/tree.h"
#include "tests/policy/policy_text.h"

struct parsed {
    struct dom_findings findings;
    struct dom_arena arena;
    struct dom_node *root;
    enum dom_code rc;
};

static void parse(struct parsed *parsed, struct dom_slice text)
{
    memset(parsed, 0, sizeof(*parsed));
    dom_arena_init(&parsed->arena, NULL, 0, DOM_TREE_BYTES_MAX);
    parsed->rc =
        dom_tree_parse(&parsed->root, text, &parsed->arena, &parsed->findings, NULL);
}

static void drop(struct parsed *parsed)
{
    dom_findings_cleanup(&parsed->findings);
    dom_arena_cleanup(&parsed->arena);
}

static void texts_that_both_read_alike(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "",
        "a = 1;",
        "a = 1",
        "a : 1, b : 2",
        "a = { b = 1 c = 2 };",
        "a = tRuE; b = FALSE;",
        "a = (); b = []; c = {};",
        "a = .5; b = 5.; c = 1e5; d = -.5; e = 1.e5; f = +5;",
        "a = 2147483647; b = -2147483648; c = 0x7FFFFFFF; d = 010;",
        "a = 9223372036854775807L; b = -9223372036854775808L; c = 5LL; d = 0x10L;",
        "a = \"\\n\\r\\t\\f\\\\\\\"\\x41\";",
        "a = \"\xE2\x82\xAC\xF0\x9F\x98\x80\";",
        "a = 1; # end\nb = 2; // end\n/* x */ c = 3; # no newline",
        "a = (1, \"x\", 2.0, true, (1), {b = 1;});",
        "*a-b_c1 = 1;",
        "a = 1;\r\nb = 2;\r\n",
        "a = 1; /*/ */ b = 2;",
        "a = \"/* no comment */ # nor this\";",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct parsed parsed;
        struct dom_slice text = dom_slice_str(texts[i]);
        parse(&parsed, text);
        assert_int_equal(parsed.rc, DOM_OK);
        assert_int_equal(parsed.findings.num_items, 0);
        assert_int_equal(dom_tree_agree(parsed.root, text, &parsed.findings, NULL), DOM_OK);
        if (parsed.findings.num_items != 0) {
            fail_msg("text %zu: %s", i, parsed.findings.items[0].message);
        }
        drop(&parsed);
    }
}

static void a_difference_is_found(void **unused)
{
    (void)unused;
    static const char *const pairs[][2] = {
        {"a = 1;", "a = 2;"},           {"a = 1;", "a = 1L;"},
        {"a = 1;", "b = 1;"},           {"a = \"x\";", "a = \"y\";"},
        {"a = true;", "a = false;"},    {"a = (1, 2);", "a = (1);"},
        {"a = (1);", "a = [1];"},       {"a = 1.5;", "a = 1.25;"},
        {"a = {b = (1);};", "a = {b = (2);};"}, {"a = 1;", "a = ;"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct parsed parsed;
        parse(&parsed, dom_slice_str(pairs[i][0]));
        assert_int_equal(parsed.rc, DOM_OK);
        assert_int_equal(
            dom_tree_agree(parsed.root, dom_slice_str(pairs[i][1]), &parsed.findings, NULL),
            DOM_OK);
        assert_non_null(test_find(&parsed.findings, "P0090"));
        drop(&parsed);
    }
}

static void places_and_paths_are_those_of_the_text(void **unused)
{
    (void)unused;
    static const char text[] = "a = { b = ( 1,\n  { id = \"x\"; c = [2, 3]; } ); };\n";
    struct parsed parsed;
    char path[128];

    parse(&parsed, dom_slice_str(text));
    assert_int_equal(parsed.rc, DOM_OK);
    const struct dom_node *list = dom_node_get(dom_node_get(parsed.root, "a"), "b");
    const struct dom_node *three = dom_node_get(list->last, "c")->last;
    assert_int_equal(three->integer, 3);
    assert_int_equal(three->value_at.line, 2);
    assert_int_equal(three->value_at.column, 23);
    dom_node_path(three, path, sizeof(path));
    assert_string_equal(path, "a.b[\"x\"].c[1]");
    dom_node_path(list->first, path, sizeof(path));
    assert_string_equal(path, "a.b[0]");
    char tiny[8];
    dom_node_path(three, tiny, sizeof(tiny)); /* cut, not overrun */
    assert_null(dom_node_get(parsed.root, "A"));
    assert_null(dom_node_get(three, "a"));
    drop(&parsed);
}

static void the_lexer_keeps_comments_on_request(void **unused)
{
    (void)unused;
    static const char text[] = "# one\na = \"x\" /* two */ \"y\"; // three";
    static const enum dom_token_kind want[] = {
        DOM_TOKEN_COMMENT, DOM_TOKEN_NAME,   DOM_TOKEN_ASSIGN,    DOM_TOKEN_STRING,
        DOM_TOKEN_COMMENT, DOM_TOKEN_STRING, DOM_TOKEN_SEMICOLON, DOM_TOKEN_COMMENT,
        DOM_TOKEN_END,     DOM_TOKEN_END};
    struct dom_findings findings = {0};
    struct dom_lexer lexer;
    struct dom_token token;
    struct dom_arena arena;

    dom_arena_init(&arena, NULL, 0, 1U << 20);
    dom_lexer_init(&lexer, dom_slice_str(text), &arena, &findings);
    lexer.keep_comments = true;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(dom_lexer_next(&lexer, &token));
        assert_int_equal(token.kind, want[i]);
    }
    assert_non_null(test_find(&findings, "P0001")); /* a comment does not part two strings */
    dom_findings_cleanup(&findings);
    dom_arena_cleanup(&arena);
}

/* The folder with libconfig's inputs, or false: DOMICILE_SHARED, else ../shared beside the
 * source tree that this file is a link into. */
static bool vectors_folder(char *out, size_t out_size)
{
    const char *shared = getenv("DOMICILE_SHARED");
    char *real = realpath("tests/policy/data/shipped_like.cfg", NULL);
    char *end = real == NULL ? NULL : strstr(real, "/tests/policy/data/");

    if (shared != NULL) {
        (void)snprintf(out, out_size, "%s/vectors/libconfig/tests/testdata", shared);
    } else if (end != NULL) {
        (void)snprintf(out, out_size, "%.*s/../shared/vectors/libconfig/tests/testdata",
                       (int)(end - real), real);
    } else {
        out[0] = '\0';
    }
    free(real);
    return access(out, R_OK) == 0;
}

/* What only our lexer refuses, on purpose. */
static bool only_traps(const struct dom_findings *findings)
{
    static const char traps[] = "P0001 P0003 P0006 P0007 P0008 P0011 P0012 P0013 P0018 ";

    for (size_t i = 0; i < findings->num_items; i++) {
        if (strstr(traps, findings->items[i].code) == NULL) {
            return false;
        }
    }
    return findings->num_items > 0;
}

static void libconfigs_own_inputs_read_alike(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "input_0.cfg", "input_1.cfg", "input_2.cfg",     "input_3.cfg",    "input_4.cfg",
        "input_5.cfg", "input_6.cfg", "bad_input_0.cfg", "bad_input_1.cfg", "strings.cfg",
        "binhex.cfg",  "nesting.cfg", "more.cfg",        "output_0.cfg",   "output_1.cfg",
        "output_2.cfg", "output_3.cfg", "output_4.cfg",  "output_5.cfg",   "output_6.cfg"};
    char folder[512];
    size_t agreed = 0;
    size_t refused = 0;

    if (!vectors_folder(folder, sizeof(folder))) {
        print_message("libconfig's test inputs are not here: skipped\n");
        skip();
        return;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct parsed parsed;
        struct dom_buffer text;
        config_t config;
        char path[700];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        dom_buffer_init(&text, 0);
        if (dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, NULL) != DOM_OK) {
            continue;
        }
        dom_buffer_append_char(&text, '\n');
        config_init(&config);
        bool theirs = config_read_string(&config, dom_buffer_cstr(&text)) == CONFIG_TRUE;
        config_destroy(&config);
        parse(&parsed, dom_buffer_slice(&text));
        if (parsed.rc == DOM_OK && parsed.findings.num_items == 0) {
            assert_int_equal(dom_tree_agree(parsed.root, dom_buffer_slice(&text),
                                            &parsed.findings, NULL),
                             DOM_OK);
            if (parsed.findings.num_items != 0) {
                fail_msg("%s:%u: %s", names[i], parsed.findings.items[0].line,
                         parsed.findings.items[0].message);
            }
            assert_true(theirs);
            agreed++;
        } else if (theirs && !only_traps(&parsed.findings)) {
            fail_msg("%s: libconfig reads it, we say %s at %u:%u: %s", names[i],
                     parsed.findings.items[0].code, parsed.findings.items[0].line,
                     parsed.findings.items[0].column, parsed.findings.items[0].message);
        } else {
            refused++;
        }
        drop(&parsed);
        dom_buffer_cleanup(&text);
    }
    print_message("%zu read alike, %zu refused\n", agreed, refused);
    assert_true(agreed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_both_read_alike),
        cmocka_unit_test(a_difference_is_found),
        cmocka_unit_test(places_and_paths_are_those_of_the_text),
        cmocka_unit_test(the_lexer_keeps_comments_on_request),
        cmocka_unit_test(libconfigs_own_inputs_read_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
