/* The tables for people: what they say of the base policy, and that no text escapes its cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "policy/docs.h"
#include "tests/policy/policy_text.h"

static void docs_of(struct dom_buffer *out, const char *old, const char *with, int64_t time_ms,
                    bool html)
{
    struct dom_policy *policy = test_load(old, with);

    dom_buffer_init(out, 0);
    dom_docs_print(policy, time_ms, html, out);
    dom_policy_unref(policy);
}

static void has(struct dom_buffer *out, const char *text)
{
    if (strstr(dom_buffer_cstr(out), text) == NULL) {
        fail_msg("no \"%s\" in\n%s", text, dom_buffer_cstr(out));
    }
}

static void the_tables_say_who_what_until_when_and_where(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    docs_of(&out, "{ id = ", "{ id = ", TEST_NOW_MS, false);
    has(&out, "# Policy base, version 3\n");
    has(&out, "| permit-1 | EEA | US | all | moderation | read | all | public, identifier "
              "(pseudonymised) | scc: GDPR-46 SCC-1 | 2026-03-01 to 2027-06-30 |\n");
    has(&out, "| forbid-1 | everywhere | everywhere | all | all |");
    has(&out, "| room | identifier | EEA | eu-1, eu-2 | 2 | eea |\n");
    has(&out, "| room | public | GB | gb-1 | 1 | gb |\n");
    dom_buffer_cleanup(&out);
}

static void a_ground_that_has_ended_is_marked(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    docs_of(&out, "{ id = ", "{ id = ", TEST_NOW_MS + 400 * TEST_DAY_MS, false);
    has(&out, "2026-03-01 to 2027-06-30 (NOT IN FORCE) |");
    dom_buffer_cleanup(&out);
}

static void what_is_stored_nowhere_is_said(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    docs_of(&out, "classes = (\"*\"); regions = (\"GB\")",
            "classes = (\"public\"); regions = (\"GB\")", TEST_NOW_MS, false);
    has(&out, "| room | location | GB | nowhere: may not be stored |");
    dom_buffer_cleanup(&out);
}

static void texts_of_the_policy_are_escaped(void **unused)
{
    (void)unused;
    struct dom_buffer out;

    docs_of(&out, "ref = \"SCC-1\"", "ref = \"<script>a|b & c</script>\"", TEST_NOW_MS, true);
    has(&out, "<td>scc: GDPR-46 &lt;script&gt;a|b &amp; c&lt;/script&gt;</td>");
    assert_null(strstr(dom_buffer_cstr(&out), "<script>"));
    has(&out, "</body></html>\n");
    dom_buffer_cleanup(&out);
    docs_of(&out, "ref = \"SCC-1\"", "ref = \"<script>a|b & c</script>\"", TEST_NOW_MS, false);
    has(&out, "&lt;script&gt;a\\|b &amp; c&lt;/script&gt; |");
    dom_buffer_cleanup(&out);
}

/* 2026-11-25 */
#define SNAPSHOT_MS INT64_C(1795564800000)

/* Golden: what the shipped policy says, as tables. A change of the policy changes this file in the
 * same commit, so that its effect is read in the review:
 * domicile policy docs policy/global-live/policy.cfg --date 2026-11-25 \
 *     > tests/policy/snapshots/global-live.md */
static void the_shipped_policy_says_what_its_snapshot_says(void **unused)
{
    (void)unused;
    struct dom_policy_load_options options = {.now_ms = SNAPSHOT_MS};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer golden;
    struct dom_buffer out;
    unsigned line = 1;

    dom_buffer_init(&golden, 0);
    dom_buffer_init(&out, 0);
    assert_int_equal(dom_file_read(&golden, "tests/policy/snapshots/global-live.md", 8U << 20, NULL),
                     DOM_OK);
    assert_int_equal(
        dom_policy_load(&policy, &findings, "policy/global-live/policy.cfg", &options, NULL),
        DOM_OK);
    dom_docs_print(policy, SNAPSHOT_MS, false, &out);
    for (size_t i = 0; i < out.len || i < golden.len; i++) {
        if (i >= out.len || i >= golden.len || out.data[i] != golden.data[i]) {
            fail_msg("the tables differ from the snapshot in line %u", line);
        }
        line += out.data[i] == '\n' ? 1U : 0U;
    }
    dom_findings_cleanup(&findings);
    dom_policy_unref(policy);
    dom_buffer_cleanup(&golden);
    dom_buffer_cleanup(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_say_who_what_until_when_and_where),
        cmocka_unit_test(a_ground_that_has_ended_is_marked),
        cmocka_unit_test(what_is_stored_nowhere_is_said),
        cmocka_unit_test(texts_of_the_policy_are_escaped),
        cmocka_unit_test(the_shipped_policy_says_what_its_snapshot_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
