/* What stands at a place of a policy text: uses, declarations, countries, and what is no name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/symbol.h"
#include "tests/policy/policy_text.h"

/* Line and column, from 1, of a byte of the text. */
static void place_of(const char *text, const char *at, uint32_t *line, uint32_t *column)
{
    *line = 1;
    *column = 1;
    for (const char *c = text; c < at; c++) {
        *column = *c == '\n' ? 1 : *column + 1;
        *line += *c == '\n' ? 1U : 0U;
    }
}

static bool find(struct dom_symbol *out, const char *text, const char *where, size_t offset,
                 struct dom_buffer *hover)
{
    const char *at = strstr(text, where);
    uint32_t line = 0;
    uint32_t column = 0;

    assert_non_null(at);
    place_of(text, at + offset, &line, &column);
    return dom_symbol_find(out, dom_slice_str(text), line, column, hover);
}

static void each_kind_of_name_leads_to_its_declaration(void **unused)
{
    static const struct {
        const char *use;
        const char *declared;
    } cases[] = {
        {"\"identifier\"); purposes", "identifier = {"},
        {"\"scc\"", "scc = {"},
        {"\"moderation\");\n    services", "moderation = {"},
        {"\"feed\"); basis", "feed = {"},
        {"\"room\"); classes", "room = {"},
        {"\"eu-2\")", "eu-2 = {"},
        {"\"location\"; subject", "location = {"},
        {"\"public\"; owner", "public = {"},
        {"\"EEA\"); to", "EEA = {"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dom_symbol symbol;
        uint32_t line = 0;
        uint32_t column = 0;
        const char *use = strstr(test_policy_text, cases[i].use);
        assert_true(find(&symbol, test_policy_text, cases[i].use, 1, NULL));
        place_of(test_policy_text, use, &line, &column);
        assert_int_equal(symbol.use.line, line);
        assert_int_equal(symbol.use.column, column);
        place_of(test_policy_text, strstr(test_policy_text, cases[i].declared), &line, &column);
        assert_int_equal(symbol.declaration.line, line);
        assert_int_equal(symbol.declaration.column, column);
        /* The other way: at the declaration it is itself. */
        assert_true(find(&symbol, test_policy_text, cases[i].declared, 0, NULL));
        assert_int_equal(symbol.use.line, symbol.declaration.line);
        assert_int_equal(symbol.use.column, symbol.declaration.column);
    }
}

static void hover_shows_the_declaration_and_counts_the_uses(void **unused)
{
    struct dom_symbol symbol;
    struct dom_buffer hover;

    (void)unused;
    dom_buffer_init(&hover, 0);
    assert_true(find(&symbol, test_policy_text, "\"scc\"", 0, &hover));
    assert_non_null(strstr(dom_buffer_cstr(&hover), "**legal basis** `scc`, used in 1 place\n"));
    assert_non_null(strstr(dom_buffer_cstr(&hover), "```\n"));
    assert_non_null(strstr(dom_buffer_cstr(&hover), "GDPR-46"));
    dom_buffer_cleanup(&hover);
}

static void country_leads_to_its_jurisdiction(void **unused)
{
    struct dom_symbol symbol;
    struct dom_buffer hover;
    uint32_t line = 0;
    uint32_t column = 0;

    (void)unused;
    dom_buffer_init(&hover, 0);
    assert_true(find(&symbol, test_policy_text, "country = \"DE\"", 11, &hover));
    place_of(test_policy_text, strstr(test_policy_text, "\"DE\""), &line, &column);
    assert_int_equal(symbol.declaration.line, line);
    assert_int_equal(symbol.declaration.column, column);
    assert_non_null(strstr(dom_buffer_cstr(&hover), "`DE`: Germany"));
    assert_non_null(strstr(dom_buffer_cstr(&hover), "jurisdiction `EEA`"));
    dom_buffer_cleanup(&hover);
}

/* In a text with errors: what is declared nowhere has no declaration, and the rest still works. */
static void texts_with_errors_are_read_too(void **unused)
{
    struct dom_symbol symbol;
    struct dom_buffer text;

    (void)unused;
    dom_buffer_init(&text, 0);
    test_replace(&text, "basis = \"scc\"", "basis = \"sccs\"");
    assert_true(find(&symbol, dom_buffer_cstr(&text), "\"sccs\"", 2, NULL));
    assert_int_equal(symbol.declaration.line, 0);
    assert_true(find(&symbol, dom_buffer_cstr(&text), "\"feed\"); basis", 2, NULL));
    assert_true(symbol.declaration.line > 0);
    dom_buffer_cleanup(&text);
}

static void what_is_no_name_is_nothing(void **unused)
{
    static const char *const nothing[] = {"effect", "\"permit\"", "\"*\"", "= {", "\"GDPR-46\"",
                                          "version"};
    struct dom_symbol symbol;

    (void)unused;
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
        if (find(&symbol, test_policy_text, nothing[i], 1, NULL)) {
            fail_msg("%s", nothing[i]);
        }
    }
    assert_false(dom_symbol_find(&symbol, dom_slice_str(""), 1, 1, NULL));
    assert_false(dom_symbol_find(&symbol, dom_slice_str("a = ;"), 1, 1, NULL));
    assert_false(dom_symbol_find(&symbol, dom_slice_str(test_policy_text), 9999, 1, NULL));
    assert_false(dom_symbol_find(&symbol, dom_slice_str(test_policy_text), 0, 0, NULL));
}

/* A declaration of many lines is shown up to twelve. */
static void long_declarations_are_cut(void **unused)
{
    struct dom_symbol symbol;
    struct dom_buffer text;
    struct dom_buffer hover;
    size_t lines = 0;

    (void)unused;
    dom_buffer_init(&text, 0);
    dom_buffer_init(&hover, 0);
    dom_buffer_append_str(&text, "groups = { many = (\n");
    for (int i = 0; i < 40; i++) {
        dom_buffer_append_str(&text, "\"DE\",\n");
    }
    dom_buffer_append_str(&text, "\"FR\"); };\n");
    assert_true(find(&symbol, dom_buffer_cstr(&text), "many", 0, &hover));
    for (const char *at = dom_buffer_cstr(&hover); *at != '\0'; at++) {
        lines += *at == '\n' ? 1U : 0U;
    }
    assert_int_equal(lines, 2 + 1 + 12 + 1); /* head, fence, lines, fence */
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&hover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_name_leads_to_its_declaration),
        cmocka_unit_test(hover_shows_the_declaration_and_counts_the_uses),
        cmocka_unit_test(country_leads_to_its_jurisdiction),
        cmocka_unit_test(texts_with_errors_are_read_too),
        cmocka_unit_test(what_is_no_name_is_nothing),
        cmocka_unit_test(long_declarations_are_cut),
    };

    return cmocka_run_group_tests_name("symbol", tests, NULL, NULL);
}
