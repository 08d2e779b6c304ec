/* Laying out: what it does to known texts, and that it is a fixed point that says the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "policy/format.h"
#include "policy/policy.h"
#include "tests/policy/policy_text.h"
#include "tests/policy/random_policy.h"

static enum dom_code format(struct dom_buffer *out, struct dom_slice text)
{
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    enum dom_code rc = dom_format(out, text, &findings, &err);

    assert_true(rc == DOM_OK || findings.num_items > 0 || err.message[0] != '\0');
    dom_findings_cleanup(&findings);
    return rc;
}

static void becomes(const char *text, const char *expected)
{
    struct dom_buffer out;

    dom_buffer_init(&out, 0);
    assert_int_equal(format(&out, dom_slice_str(text)), DOM_OK);
    assert_string_equal(dom_buffer_cstr(&out), expected);
    dom_buffer_cleanup(&out);
}

static void known_texts_are_laid_out(void **unused)
{
    (void)unused;
    becomes("", "");
    becomes("a=1", "a = 1;\n");
    becomes("a : 1 , b=2L", "a = 1;\nb = 2L;\n");
    becomes("\n\n\na = 1;\n\n\n\nb = 2;\n\n\n", "a = 1;\n\nb = 2;\n");
    becomes("g={a=1;b=(1,2 , 3);c=[1,2];d={};e=();};",
            "g = { a = 1; b = (1, 2, 3); c = [1, 2]; d = {}; e = (); };\n");
    becomes("g = {\n\n a = 1;\n\n};", "g = {\n  a = 1;\n};\n");
    becomes("g = { a = (\n\"x\",\n      \"y\"\n) }", "g = { a = (\n  \"x\",\n  \"y\"\n); };\n");
    becomes("g = { a = 1;\nb = 2; };", "g = { a = 1;\n      b = 2; };\n");
    becomes("l = ( { a = 1 },\n{ a = 2 } );", "l = ( { a = 1; },\n      { a = 2; } );\n");
    becomes("a =\n  \"x\\n\\x41\";", "a = \"x\\n\\x41\";\n");
}

static void every_comment_stays(void **unused)
{
    (void)unused;
    becomes("# top   \na=1;#  side\n/* b\n   c */ b=2", "# top\na = 1; #  side\n/* b\n   c */\nb = 2;\n");
    becomes("g = { # why\na=1 // here\n; /* there */\n# last\n}",
            "g = { # why\n  a = 1; // here\n  /* there */\n  # last\n};\n");
    becomes("a = # x\n1;", "a = # x\n1;\n");
    becomes("l = (1, # one\n2 # two\n);", "l = (1, # one\n     2 # two\n    );\n");
    becomes("# only", "# only\n");
}

static void a_text_with_errors_is_refused(void **unused)
{
    (void)unused;
    static const char *const texts[] = {"a = ",       "a = (\"x\" \"y\");", "/* never closed",
                                        "a = \"x\n;", "a = 1; a = 2;",      "@include \"x\"",
                                        "a = {",      "a = 99999999999;",   "}"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct dom_buffer out;
        dom_buffer_init(&out, 0);
        if (format(&out, dom_slice_str(texts[i])) == DOM_OK) {
            fail_msg("laid out: %s", texts[i]);
        }
        dom_buffer_cleanup(&out);
    }
}

/* Laid out twice is laid out once. That the settings and comments are the same dom_format checks
 * itself, and fails. */
static void is_fixed_point(struct dom_slice text, bool unchanged)
{
    struct dom_buffer once;
    struct dom_buffer twice;

    dom_buffer_init(&once, 0);
    dom_buffer_init(&twice, 0);
    assert_int_equal(format(&once, text), DOM_OK);
    assert_int_equal(format(&twice, dom_buffer_slice(&once)), DOM_OK);
    assert_string_equal(dom_buffer_cstr(&once), dom_buffer_cstr(&twice));
    if (unchanged) {
        assert_true(dom_slice_eq(text, dom_buffer_slice(&once)));
    }
    dom_buffer_cleanup(&once);
    dom_buffer_cleanup(&twice);
}

static void shipped_files_are_fixed_points(void **unused)
{
    (void)unused;
    static const struct {
        const char *path;
        bool unchanged;
    } files[] = {
        {"policy/global-live/policy.cfg", true},
        {"policy/global-live/policy_test.cfg", true},
        {"tests/policy/data/shipped_like.cfg", false},
        {"tests/policy/corpus/small.cfg", false},
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct dom_error err = {0};
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        assert_int_equal(dom_file_read(&text, files[i].path, DOM_POLICY_FILE_BYTES_MAX, &err),
                         DOM_OK);
        is_fixed_point(dom_buffer_slice(&text), files[i].unchanged);
        dom_buffer_cleanup(&text);
    }
}

/* Random policies, with white space and comments strewn between their tokens. */
static void random_policies_are_fixed_points(void **unused)
{
    (void)unused;
    static const char *const blanks[] = {" ",  "  ", "\n", "\n\n\n", "\t", " # note\n",
                                         "\n// note  \n", " /* a */ ", "/* b\n  c */"};
    uint64_t state = 99;

    for (int n = 0; n < 60; n++) {
        struct dom_buffer plain;
        struct dom_buffer strewn;
        bool in_string = false;
        dom_buffer_init(&plain, 0);
        dom_buffer_init(&strewn, 0);
        random_policy(&plain, &state, 12);
        is_fixed_point(dom_buffer_slice(&plain), false);
        for (size_t i = 0; i < plain.len; i++) {
            char c = (char)plain.data[i];
            in_string = c == '"' ? !in_string : in_string;
            dom_buffer_append_char(&strewn, c);
            if (!in_string && strchr("{}()=;, ", c) != NULL && random_below(&state, 4) == 0) {
                dom_buffer_append_str(&strewn, blanks[random_below(&state, 9)]);
            }
        }
        is_fixed_point(dom_buffer_slice(&strewn), false);
        dom_buffer_cleanup(&plain);
        dom_buffer_cleanup(&strewn);
    }
}

static void the_diff_names_the_lines(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    dom_buffer_init(&out, 0);
    dom_format_diff(&out, "p.cfg", dom_slice_str("a\nb\nc\n"), dom_slice_str("a\nB\nb2\nc\n"));
    assert_string_equal(dom_buffer_cstr(&out), "--- p.cfg\n+++ p.cfg (formatted)\n@@ -2,1 +2,2 @@\n"
                                               "-b\n+B\n+b2\n");
    dom_buffer_clear(&out);
    dom_format_diff(&out, "p.cfg", dom_slice_str("a\n"), dom_slice_str("a\n"));
    assert_int_equal(out.len, 0);
    dom_format_diff(&out, "p.cfg", dom_slice_str(""), dom_slice_str("a\n"));
    assert_non_null(strstr(dom_buffer_cstr(&out), "@@ -0,0 +1,1 @@\n+a\n"));
    dom_buffer_cleanup(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_are_laid_out),
        cmocka_unit_test(every_comment_stays),
        cmocka_unit_test(a_text_with_errors_is_refused),
        cmocka_unit_test(shipped_files_are_fixed_points),
        cmocka_unit_test(random_policies_are_fixed_points),
        cmocka_unit_test(the_diff_names_the_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
