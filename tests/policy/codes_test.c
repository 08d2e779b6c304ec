/* The table of codes against docs/POLICY.md, twenty planted errors, and the SARIF log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "policy/finding_internal.h"
#include "policy/policy.h"
#include "tests/policy/policy_text.h"

static void read_file(struct dom_buffer *out, const char *path)
{
    struct dom_error err = {0};

    dom_buffer_init(out, 0);
    if (dom_file_read(out, path, DOM_POLICY_FILE_BYTES_MAX, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
}

static void the_document_lists_every_code_and_no_other(void **unused)
{
    (void)unused;
    struct dom_buffer doc;
    size_t rows = 0;
    char row[256];

    read_file(&doc, "docs/POLICY.md");
    for (const char *at = dom_buffer_cstr(&doc); (at = strstr(at, "\n| P0")) != NULL; at++) {
        size_t len = strcspn(at + 1, "\n");
        const char *code = dom_finding_code_at(rows++);
        enum dom_finding_level level = dom_finding_code_level(code);
        bool error = level == DOM_FINDING_ERROR;
        (void)snprintf(row, sizeof(row), "| %s | %s%s%s |", code,
                       error ? "" : dom_finding_level_name(level), error ? "" : ": ",
                       dom_finding_code_title(code));
        if (strlen(row) != len || strncmp(row, at + 1, len) != 0) {
            fail_msg("the document says %.*s\nthe table says    %s", (int)len, at + 1, row);
        }
    }
    assert_int_equal(rows, dom_finding_num_codes());
    dom_buffer_cleanup(&doc);
}

static void every_code_is_explained_once(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < dom_finding_num_codes(); i++) {
        struct dom_buffer out;
        dom_buffer_init(&out, 0);
        assert_true(dom_finding_explain(dom_finding_code_at(i), &out));
        assert_true(out.len > 60);
        if (i > 0) {
            assert_true(strcmp(dom_finding_code_at(i - 1), dom_finding_code_at(i)) < 0);
        }
        dom_buffer_cleanup(&out);
    }
    struct dom_buffer none;
    dom_buffer_init(&none, 0);
    assert_false(dom_finding_explain("P9999", &none));
    assert_false(dom_finding_explain("", &none));
    assert_false(dom_finding_explain("p0001", &none));
    assert_int_equal(none.len, 0);
    assert_string_equal(dom_finding_code_title("P9999"), "");
    assert_string_equal(dom_finding_code_at(dom_finding_num_codes()), "");
    dom_buffer_cleanup(&none);
}

static void twenty_planted_errors_are_those_twenty(void **unused)
{
    (void)unused;
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;
    uint32_t line = 1;
    size_t found = 0;

    read_file(&text, "tests/policy/data/twenty_errors.cfg");
    assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)), DOM_PARSE);
    for (const char *at = dom_buffer_cstr(&text); *at != '\0'; line++) {
        size_t len = strcspn(at, "\n");
        if (len > 7 && strncmp(at + len - 7, "# P0", 4) == 0) {
            assert_true(found < findings.num_items);
            const struct dom_finding *item = &findings.items[found++];
            if (item->line != line || strncmp(item->code, at + len - 5, 5) != 0) {
                fail_msg("line %u: %.*s, found %s at line %u", line, 5, at + len - 5, item->code,
                         item->line);
            }
            assert_int_equal(item->level, DOM_FINDING_ERROR);
        }
        at += len + (at[len] == '\n' ? 1U : 0U);
    }
    assert_int_equal(found, 20);
    assert_int_equal(findings.num_items, 20);
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
}

static const char *string_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    assert_non_null(text);
    return text;
}

static void the_sarif_log_points_where_the_findings_do(void **unused)
{
    (void)unused;
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;
    struct dom_buffer out;
    json_error_t why;
    bool first = true;

    read_file(&text, "tests/policy/data/twenty_errors.cfg");
    (void)test_compile(&policy, &findings, dom_buffer_slice(&text));
    dom_buffer_init(&out, 0);
    dom_sarif_begin(&out);
    dom_sarif_add(&findings, "a dir/p:1.cfg", dom_buffer_slice(&text), &first, &out);
    dom_sarif_add(&findings, "/abs/p.cfg", dom_buffer_slice(&text), &first, &out);
    dom_sarif_end(&out);
    json_t *log = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, &why);
    if (log == NULL) {
        fail_msg("%s at %d", why.text, why.position);
    }
    assert_string_equal(string_at(log, "version"), "2.1.0");
    const json_t *run = json_array_get(json_object_get(log, "runs"), 0);
    const json_t *rules = json_object_get(
        json_object_get(json_object_get(run, "tool"), "driver"), "rules");
    const json_t *results = json_object_get(run, "results");
    assert_int_equal(json_array_size(rules), dom_finding_num_codes());
    assert_int_equal(json_array_size(results), 40);
    for (size_t i = 0; i < 40; i++) {
        const struct dom_finding *item = &findings.items[i % 20];
        const json_t *result = json_array_get(results, i);
        size_t rule = (size_t)json_integer_value(json_object_get(result, "ruleIndex"));
        const json_t *place = json_object_get(
            json_array_get(json_object_get(result, "locations"), 0), "physicalLocation");
        const json_t *region = json_object_get(place, "region");
        assert_string_equal(string_at(result, "ruleId"), item->code);
        assert_string_equal(string_at(json_array_get(rules, rule), "id"), item->code);
        assert_string_equal(string_at(result, "level"), "error");
        assert_int_equal(json_integer_value(json_object_get(region, "startLine")), item->line);
        assert_int_equal(json_integer_value(json_object_get(region, "startColumn")),
                         item->column);
        assert_int_equal(json_integer_value(json_object_get(region, "endColumn")),
                         item->column + item->length);
        assert_string_equal(string_at(json_object_get(place, "artifactLocation"), "uri"),
                            i < 20 ? "a%20dir/p%3A1.cfg" : "file:///abs/p.cfg");
    }
    json_decref(log);
    dom_buffer_cleanup(&out);
    dom_buffer_cleanup(&text);
    dom_findings_cleanup(&findings);
}

/* Columns of a line with characters of several bytes. */
static void sarif_columns_count_characters(void **unused)
{
    (void)unused;
    const char *text = "a = 1;\nb = \"\xC3\xA4\xC3\xB6\"; c = \"\xC3\xBC\";\n";
    struct dom_findings findings = {0};
    struct dom_place place = {2, 16, 4}; /* the second string, in bytes */
    struct dom_buffer out;
    bool first = true;

    dom_findings_add(&findings, "P0601", place, NULL, NULL, "x");
    dom_buffer_init(&out, 0);
    dom_sarif_add(&findings, "p", dom_slice_str(text), &first, &out);
    assert_non_null(strstr(dom_buffer_cstr(&out),
                           "\"startLine\": 2, \"startColumn\": 14, \"endColumn\": 17"));
    assert_non_null(strstr(dom_buffer_cstr(&out), "\"level\": \"note\""));
    assert_false(first);
    dom_buffer_cleanup(&out);
    dom_findings_cleanup(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_lists_every_code_and_no_other),
        cmocka_unit_test(every_code_is_explained_once),
        cmocka_unit_test(twenty_planted_errors_are_those_twenty),
        cmocka_unit_test(the_sarif_log_points_where_the_findings_do),
        cmocka_unit_test(sarif_columns_count_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
