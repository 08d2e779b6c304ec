#include "tests/policy/policy_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

const char test_policy_text[] =
    "policy = { schema = 1; name = \"base\"; version = 3L; expires = \"2030-01-01T00:00:00Z\"; };\n"
    "defaults = { uncovered_field = \"redact\"; hide_existence = true; };\n"
    "jurisdictions = { EEA = { countries = (\"DE\", \"FR\", \"SE\"); }; US = { countries = (\"US\"); };\n"
    "  GB = { countries = (\"GB\"); }; };\n"
    "groups = { west = (\"GB\", \"US\"); };\n"
    "regions = { eu-1 = { country = \"SE\"; }; eu-2 = { country = \"DE\"; };\n"
    "  us-1 = { country = \"US\"; }; gb-1 = { country = \"GB\"; }; };\n"
    "data_classes = { public = { rank = 0; }; identifier = { rank = 2; personal = true; };\n"
    "  location = { rank = 3; personal = true; sensitive = true; }; };\n"
    "purposes = { serve = {}; moderation = {}; };\n"
    "services = { feed = { kinds = (\"room\"); ops = (\"read\", \"list\", \"write\", \"delete\");\n"
    "  purposes = (\"serve\", \"moderation\"); }; };\n"
    "kinds = { room = { fields = { title = \"public\"; owner = \"identifier\"; place = \"location\"; };\n"
    "  unknown_field = \"location\"; subject = \"owner\"; }; };\n"
    "bases = { scc = { mechanism = \"GDPR-46\"; ref = \"SCC-1\"; from = \"2026-03-01\"; until = \"2027-06-30\"; }; };\n"
    "placement = (\n"
    "  { id = \"eea\"; home = (\"EEA\"); classes = (\"*\"); regions = (\"EEA\"); lead = (\"eu-2\"); min_replicas = 2; },\n"
    "  { id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); },\n"
    "  { id = \"gb\"; home = (\"GB\"); classes = (\"*\"); regions = (\"GB\"); } );\n"
    "rules = (\n"
    "  { id = \"permit-1\"; effect = \"permit\"; ops = (\"read\"); home = (\"EEA\"); to = (\"US\");\n"
    "    kinds = (\"room\"); classes = (\"public\", \"identifier\"); purposes = (\"moderation\");\n"
    "    services = (\"feed\"); basis = \"scc\"; obligations = ( { do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"; } ); },\n"
    "  { id = \"forbid-1\"; effect = \"forbid\"; classes = (\"location\"); } );\n";

void test_replace(struct dom_buffer *out, const char *old, const char *with)
{
    const char *found = strstr(test_policy_text, old);

    if (found == NULL) {
        fail_msg("the base text has no \"%s\"", old);
        return;
    }
    dom_buffer_append(out, test_policy_text, (size_t)(found - test_policy_text));
    dom_buffer_append_str(out, with);
    dom_buffer_append_str(out, found + strlen(old));
}

enum dom_code test_compile(struct dom_policy **policyp, struct dom_findings *findings,
                           struct dom_slice text)
{
    struct dom_policy_load_options options = {.name = "p.cfg", .now_ms = TEST_NOW_MS};
    struct dom_error err = {0};

    return dom_policy_compile(policyp, findings, text, &options, &err);
}

struct dom_policy *test_load(const char *old, const char *with)
{
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;

    dom_buffer_init(&text, 0);
    test_replace(&text, old, with);
    enum dom_code rc = test_compile(&policy, &findings, dom_buffer_slice(&text));
    if (rc != DOM_OK) {
        struct dom_buffer out;
        dom_buffer_init(&out, 0);
        dom_findings_print(&findings, "p.cfg", dom_buffer_slice(&text), &out);
        fail_msg("does not load:\n%s", dom_buffer_cstr(&out));
    }
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    return policy;
}

const struct dom_finding *test_find(const struct dom_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->num_items; i++) {
        if (strcmp(findings->items[i].code, code) == 0) {
            return &findings->items[i];
        }
    }
    return NULL;
}

/* Line and column of an offset. */
static void place_of(const char *text, size_t offset, uint32_t *line, uint32_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset; i++) {
        *column = text[i] == '\n' ? 1 : *column + 1;
        *line += text[i] == '\n' ? 1 : 0;
    }
}

void test_finding(const char *old, const char *with, const char *code, const char *at)
{
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;
    uint32_t line = 0;
    uint32_t column = 0;

    dom_buffer_init(&text, 0);
    test_replace(&text, old, with);
    enum dom_code rc = test_compile(&policy, &findings, dom_buffer_slice(&text));
    const char *whole = dom_buffer_cstr(&text);
    const struct dom_finding *found = test_find(&findings, code);
    if (found == NULL) {
        struct dom_buffer out;
        dom_buffer_init(&out, 0);
        dom_findings_print(&findings, "p.cfg", dom_buffer_slice(&text), &out);
        fail_msg("no %s for \"%s\", but:\n%s", code, with, dom_buffer_cstr(&out));
        return;
    }
    if (found->level == DOM_FINDING_ERROR) {
        assert_int_equal(rc, DOM_PARSE);
        assert_null(policy);
    }
    if (at != NULL) {
        const char *start = whole + (strstr(test_policy_text, old) - test_policy_text);
        const char *place = strstr(start, at);
        assert_non_null(place);
        place_of(whole, (size_t)(place - whole), &line, &column);
        if (found->line != line || found->column != column) {
            fail_msg("%s for \"%s\" at %u:%u, not %u:%u", code, with, found->line, found->column,
                     line, column);
        }
    }
    dom_policy_unref(policy);
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
}
