/* One behaviour per finding: the text that must be refused, its code and its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "policy/tree.h"
#include "tests/policy/policy_text.h"

struct mutation {
    const char *old;
    const char *with;
    const char *code;
    const char *at; /* where the finding begins, in the changed text; NULL: anywhere */
};

/* P00: what libconfig 1.5 would let through or answer without a column. */
static const struct mutation s_lexical[] = {
    {"(\"GB\", \"US\")", "(\"GB\" \"US\")", "P0001", "\"US\")"},
    {"(\"GB\", \"US\")", "(\"GB\"/* , */\"US\")", "P0001", "\"US\")"},
    {"name = \"base\"", "name = \"ba\" \"se\"", "P0001", "\"se\""},
    {"rules = (", "/* rules = (", "P0002", "/*"},
    {"version = 3L", "version = 2147483648", "P0003", "2147483648"},
    {"version = 3L", "version = -2147483649", "P0003", "-2147483649"},
    {"version = 3L", "version = 0xFFFFFFFF", "P0003", "0xFFFF"},
    {"version = 3L", "version = 9223372036854775808L", "P0003", "9223"},
    {"version = 3L", "version = 99999999999999999999", "P0003", "9999"},
    {"version = 3L", "version = 0xFFFFFFFFFFFFFFFFL", "P0003", "0xFFF"},
    {"ref = \"SCC-1\"", "ref = \"a\xC3\x28\"", "P0004", "\xC3"},
    {"ref = \"SCC-1\"", "ref = \"a\xC0\xAF\"", "P0004", "\xC0"},
    {"ref = \"SCC-1\"", "ref = \"\xED\xA0\x80\"", "P0004", "\xED"},
    {"ref = \"SCC-1\"", "ref = \"\\x80\"", "P0004", "\\x80"},
    {"rules = (", "# \xFF\nrules = (", "P0004", "\xFF"},
    {"ref = \"SCC-1\"", "ref = \"a\\x00b\"", "P0005", "\\x00"},
    {"ref = \"SCC-1\"", "ref = \"a\\qb\"", "P0006", "\\q"},
    {"ref = \"SCC-1\"", "ref = \"a\\x4\"", "P0006", "\\x4"},
    {"ref = \"SCC-1\"", "ref = \"a\\\n\"", "P0006", "\\"},
    {"rules = (", "@include \"other.cfg\"\nrules = (", "P0007", "@include"},
    {"ref = \"SCC-1\"", "ref = \"SCC-1", "P0008", NULL},
    {"ref = \"SCC-1\"", "ref = \"SCC\n-1\"", "P0008", "\"SCC"},
    {"ref = \"SCC-1\"", "ref = \"a\x01\"", "P0011", "\x01"},
    {"ref = \"SCC-1\"", "ref = \"a\tb\"", "P0011", "\t"},
    {"rules = (", "\frules = (", "P0011", "\f"},
    {"rules = (", "\x7frules = (", "P0011", "\x7f"},
    {"purposes = { serve = {}; ", "purposes = { serve = {}; serve = {}; ", "P0012", NULL},
    {"rules = (", "defaults = {};\nrules = (", "P0012", "defaults"},
    {"rules = (", "\xEF\xBB\xBFrules = (", "P0013", "\xEF"},
    {"rules = (", "r\xC3\xBCles = (", "P0013", "\xC3"},
    {"rules = (", "& rules = (", "P0013", "&"},
    {"(\"GB\", \"US\")", "(\"GB\", \"US\",)", "P0014", ",)"},
    {"hide_existence = true", "hide_existence true", "P0014", "true"},
    {"hide_existence = true", "hide_existence = yes", "P0014", "yes"},
    {"rules = (", "};\nrules = (", "P0014", "};"},
    {"groups = {", "groups = {{", "P0014", NULL},
    {"(\"GB\", \"US\")", "[\"GB\", 1]", "P0015", "1]"},
    {"(\"GB\", \"US\")", "[(\"GB\")]", "P0015", "(\"GB\")"},
    {"version = 3L", "version = 3e", "P0018", "3e"},
    {"version = 3L", "version = 0x", "P0018", "0x"},
    {"version = 3L", "version = 12abc", "P0018", "12abc"},
    {"version = 3L", "version = .", "P0018", "."},
    {"version = 3L", "version = 3LLL", "P0018", "3LLL"},
    {"rules = (", "# \xE2\x80\xAE hidden\nrules = (", "P0019", "\xE2"},
};

static const struct mutation s_shape[] = {
    {"defaults = {", "default = {", "P0101", "default"},
    {"purposes = (\"moderation\")", "purpose = (\"moderation\")", "P0101", "purpose "},
    {"hide_existence = true", "hide_existance = true", "P0101", "hide_existance"},
    {"key = \"k1\"", "key = \"k1\"; records = 4", "P0101", "4"},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"redact\"; classes = (\"identifier\"); key = \"k1\"", "P0101", "\"k1\""},
    {"hide_existence = true", "hide_existence = 1", "P0102", "1;"},
    {"version = 3L", "version = \"3\"", "P0102", "\"3\""},
    {"version = 3L", "version = 3.0", "P0102", "3.0"},
    {"name = \"base\"", "name = 5", "P0102", "5"},
    {"kinds = (\"room\"); ops", "kinds = { a = 1; }; ops", "P0102", NULL},
    {"home = (\"EEA\"); to", "home = (1); to", "P0102", "1"},
    {"serve = {};", "serve = 1;", "P0102", "1;"},
    {"rules = (", "rules = 5; x = (", "P0102", "5"},
    {"ref = \"SCC-1\"; from = \"2026-03-01\";", "", "P0103", NULL},
    {"id = \"eea\";", "", "P0103", NULL},
    {"name = \"base\";", "", "P0103", NULL},
    {"key = \"k1\";", "", "P0103", NULL},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"", "do = \"limit\"", "P0103",
     NULL},
    {"schema = 1", "schema = 2", "P0104", "2"},
    {"schema = 1", "schema = 0", "P0104", "0"},
    {"id = \"permit-1\"", "id = \"permit 1\"", "P0106", "\"permit 1\""},
    {"id = \"permit-1\"", "id = \"-p\"", "P0106", "\"-p\""},
    {"title = ", "Title = ", "P0106", "Title"},
    {"title = ", "ti-tle = ", "P0106", "ti-tle"},
    {"purposes = { serve", "purposes = { *s = {}; serve", "P0106", "*s"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-02-30T00:00:00Z\"", "P0107", "30T"},
    /* Zones, in every way that they are written: at the byte where the zone begins. */
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T00:00:00+01:00\"", "P0107",
     "+01:00"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T00:00:00-00:00\"", "P0107",
     "-00:00\""},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T00:00:00z\"", "P0107", "z\""},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T00:00:00 CET\"", "P0107",
     " CET"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T00:00:00.5Z\"", "P0107", ".5Z"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T24:00:00Z\"", "P0107", "24:"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T23:60:00Z\"", "P0107", "60:"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01T23:59:60Z\"", "P0107", "60Z"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2030-01-01 00:00:00Z\"", "P0107", " 00:"},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2027-02-30\"", "P0107", "30\""},
    {"until = \"2027-06-30\"", "until = \"2027-02-30\"", "P0107", "30\""},
    {"until = \"2027-06-30\"", "until = \"2100-02-29\"", "P0107", "29\""},
    {"until = \"2027-06-30\"", "until = \"10000-01-01\"", "P0107", "0-01"},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"limit\"; records = 5; per = \"P99999999999999999999D\"", "P0108", NULL},
    {"from = \"2026-03-01\"", "from = \"2026-02-29\"", "P0107", "29"},
    {"from = \"2026-03-01\"", "from = \"2026-13-01\"", "P0107", "13"},
    {"from = \"2026-03-01\"", "from = \"2026-3-1\"", "P0107", "-1"},
    {"from = \"2026-03-01\"", "from = \"01.03.2026\"", "P0107", ".03"},
    {"from = \"2026-03-01\"", "from = \"2026-03-01T00:00:00Z\"", "P0107", "T00"},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"limit\"; records = 5; per = \"1D\"", "P0108", NULL},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"limit\"; records = 5; per = \"P1H\"", "P0108", "H\""},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"limit\"; records = 5; per = \"P0D\"", "P0108", NULL},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"limit\"; records = 0; per = \"P1D\"", "P0109", "0"},
    {"do = \"pseudonymise\"; classes = (\"identifier\"); key = \"k1\"",
     "do = \"limit\"; records = 5; per = \"P2D\"; window = \"calendar\"", "P0109", "\"P2D\""},
    {"version = 3L", "version = 0", "P0109", "0"},
    {"min_replicas = 2", "min_replicas = 65", "P0109", "65"},
    {"rank = 0", "rank = -1", "P0109", "-1"},
    {"rules = (", "audit = { keep = \"P0D\"; };\nrules = (", "P0108", NULL},
    {"rules = (", "audit = { keep = \"10 years\"; };\nrules = (", "P0108", NULL},
    {"rules = (", "audit = { };\nrules = (", "P0103", NULL},
    {"rules = (", "audit = { keep = \"P10Y\"; hold = 1; };\nrules = (", "P0101", NULL},
    {"ops = (\"read\"); home", "ops = (); home", "P0110", "()"},
    {"name = \"base\"", "name = \"\"", "P0110", "\"\""},
    {"mechanism = \"GDPR-46\"", "mechanism = \"\"", "P0110", "\"\""},
};

static const struct mutation s_references[] = {
    {"(\"DE\", \"FR\", \"SE\")", "(\"DE\", \"FR\", \"XX\")", "P0201", "\"XX\""},
    {"(\"DE\", \"FR\", \"SE\")", "(\"DE\", \"FR\", \"se\")", "P0201", "\"se\""},
    {"country = \"GB\"", "country = \"UK\"", "P0201", "\"UK\""},
    {"country = \"GB\"", "country = \"GB \"", "P0201", "\"GB \""},
    {"home = (\"EEA\"); to", "home = (\"EEU\"); to", "P0202", "\"EEU\""},
    {"home = (\"EEA\"); to", "home = (\"DEU\"); to", "P0201", "\"DEU\""},
    {"to = (\"US\")", "to = (\"Us\")", "P0201", "\"Us\""},
    {"\"public\", \"identifier\")", "\"public\", \"identifer\")", "P0203", "\"identifer\""},
    {"title = \"public\"", "title = \"publik\"", "P0203", "\"publik\""},
    {"unknown_field = \"location\"", "unknown_field = \"lokation\"", "P0203", "\"lokation\""},
    {"lead = (\"eu-2\")", "lead = (\"eu-22\")", "P0204", "\"eu-22\""},
    {"regions = (\"EEA\")", "regions = (\"eu-9\")", "P0204", "\"eu-9\""},
    {"kinds = (\"room\"); classes", "kinds = (\"rooms\"); classes", "P0205", "\"rooms\""},
    {"purposes = (\"moderation\")", "purposes = (\"moderate\")", "P0206", "\"moderate\""},
    {"services = (\"feed\")", "services = (\"fed\")", "P0207", "\"fed\""},
    {"basis = \"scc\"", "basis = \"sccs\"", "P0208", "\"sccs\""},
    {"ops = (\"read\"); home", "ops = (\"reed\"); home", "P0209", "\"reed\""},
    {"effect = \"permit\"", "effect = \"allow\"", "P0210", "\"allow\""},
    {"effect = \"forbid\"", "effect = \"Forbid\"", "P0210", "\"Forbid\""},
    {"do = \"pseudonymise\"", "do = \"encrypt\"", "P0211", "\"encrypt\""},
    {"to = (\"US\")", "to = (\"JP\")", "P0212", "\"JP\""},
    {"west = (\"GB\", \"US\")", "west = (\"GB\", \"CH\")", "P0212", "\"CH\""},
    {"uncovered_field = \"redact\"", "uncovered_field = \"drop\"", "P0213", "\"drop\""},
    {"subject = \"owner\"", "subject = \"owners\"", "P0214", "\"owners\""},
};

static const struct mutation s_meaning[] = {
    {"GB = { countries = (\"GB\"); };", "GB = { countries = (\"GB\", \"DE\"); };", "P0301",
     "\"DE\""},
    {"country = \"GB\"", "country = \"JP\"", "P0302", "\"JP\""},
    {"id = \"forbid-1\"", "id = \"permit-1\"", "P0303", "\"permit-1\""},
    {"id = \"us\"", "id = \"eea\"", "P0303", "\"eea\""},
    {"rules = (", "log_copies = ( { regions = (\"EEA\"); sinks = (\"v\"); } );\nrules = (", "P0103", NULL},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"EEA\"); } );\nrules = (", "P0103", NULL},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"nowhere\"); sinks = (\"v\"); } );\nrules = (", "P0204", "\"nowhere\""},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"EEA\"); sinks = (\"v w\"); } );\nrules = (", "P0106", "\"v w\""},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"EEA\"); sinks = (\"v\", \"v\"); } );\nrules = (", "P0303", NULL},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"EEA\"); sinks = (\"v\"); need = \"most\"; } );\nrules = (", "P0213", "\"most\""},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"EEA\"); sinks = (\"v\"); colour = 1; } );\nrules = (", "P0101", "colour"},
    {"rules = (", "log_copies = ( { id = \"c\"; regions = (\"EEA\"); sinks = (\"v\"); }, { id = \"c\"; regions = (\"EEA\"); sinks = (\"w\"); } );\nrules = (", "P0303", NULL},
    {"min_replicas = 2", "min_replicas = 3", "P0304", "3"},
    {"lead = (\"eu-2\")", "must_include = (\"US\")", "P0305", "\"US\""},
    {"lead = (\"eu-2\")", "must_include = (\"FR\")", "P0305", "\"FR\""},
    {"lead = (\"eu-2\")", "first_write = (\"GB\")", "P0306", "first_write"},
    {"{ id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); },",
     "{ id = \"us\"; home = (\"US\"); classes = (\"public\"); regions = (\"US\"); },"
     "{ id = \"u2\"; home = (\"US\"); classes = (\"identifier\"); regions = (\"GB\"); basis = "
     "\"scc\"; },",
     "P0307", NULL},
    {"regions = (\"GB\"); }", "regions = (\"GB\", \"US\"); }", "P0308", NULL},
    {"home = (\"GB\"); classes", "home = (\"*\"); classes", "P0308", NULL},
    {"basis = \"scc\"; ", "", "P0309", NULL},
    {"groups = {", "groups = { US = (\"GB\");", "P0310", NULL},
    {"groups = {", "groups = { EEA = (\"GB\");", "P0310", NULL},
    {"groups = {", "groups = { JP = (\"GB\");", "P0310", NULL},
    {"gb-1 = {", "west = {", "P0310", NULL},
    {"bases = {", "bases = { home_return = { mechanism = \"x\"; from = \"2026-01-01\"; };", "P0310",
     NULL},
    {"US = { countries = (\"US\"); }", "US = { countries = (\"PR\"); }; U2 = { countries = "
     "(\"US\"); }", "P0310", NULL},
    {"until = \"2027-06-30\"", "until = \"2026-02-28\"", "P0311", "\"2026-02-28\""},
    {"basis = \"scc\"", "basis = \"not_personal\"", "P0312", "\"not_personal\""},
    {"basis = \"scc\"", "basis = \"home_return\"", "P0313", "\"home_return\""},
    {"regions = (\"GB\"); }", "regions = (\"GB\"); basis = \"home_return\"; }", "P0313",
     "\"home_return\""},
    {"to = (\"US\");\n", "\n", "P0314", NULL},
    {"services = (\"feed\"); basis", "basis", "P0314", NULL},
    {"ops = (\"read\"); home", "ops = (\"read\", \"store\"); home", "P0315", "ops"},
    {"ops = (\"read\", \"list\", \"write\", \"delete\")", "ops = (\"store\")", "P0315", "ops"},
    {"classes = (\"location\"); }", "classes = (\"location\"); obligations = ( { do = "
     "\"redact\"; } ); }", "P0316", "obligations"},
    {"do = \"pseudonymise\"; classes = (\"identifier\")",
     "do = \"pseudonymise\"; classes = (\"location\")", "P0317", "classes"},
    {"effect = \"forbid\";", "effect = \"forbid\"; ops = (\"store\"); purposes = (\"serve\");",
     "P0318", "ops"},
    {"rank = 3; personal = true; ", "rank = 3; ", "P0320", NULL},
    {"regions = (\"GB\"); }", "regions = (\"FR\"); basis = \"scc\"; }", "P0321", "regions"},
    {"lead = (\"eu-2\")", "lead = (\"us-1\")", "P0322", "\"us-1\""},
    {"rules = (", "rollout = { stages = ( { mode = \"shadow\"; percent = 5; } ); };\nrules = (",
     "P0323", "5"},
    {"rules = (", "rollout = { stages = ( { mode = \"canary\"; } ); };\nrules = (", "P0103", NULL},
    {"rules = (", "rollout = { approvals = 3; };\nrules = (", "P0109", "3"},
};

static const struct mutation s_risk[] = {
    {"classes = (\"public\", \"identifier\")", "classes = (\"location\", \"identifier\")", "P0401",
     NULL},
    {"until = \"2027-06-30\"", "until = \"2026-12-20\"", "P0402", "\"2026-12-20\""},
    {"until = \"2027-06-30\"", "until = \"2026-11-21\"", "P0403", "\"2026-11-21\""},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2026-11-22\"", "P0404", "\"2026-11-22\""},
    {"expires = \"2030-01-01T00:00:00Z\"", "expires = \"2026-12-01\"", "P0405", "\"2026-12-01\""},
    {"ops = (\"read\"); home", "ops = (\"write\"); home", "P0407", NULL},
    {"id = \"forbid-1\"; effect = \"forbid\"; classes = (\"location\");",
     "id = \"forbid-1\"; effect = \"forbid\"; home = (\"EEA\");", "P0501", NULL},
    {"purposes = (\"serve\", \"moderation\")", "purposes = (\"serve\")", "P0502", NULL},
    {"rules = (", "rules = ( { id = \"all\"; effect = \"forbid\"; classes = (\"*\"); home = "
     "(\"US\"); }, { id = \"some\"; effect = \"forbid\"; classes = (\"public\"); home = "
     "(\"US\"); },", "P0503", "{ id = \"some\""},
    {"rules = (", "rules = ( { id = \"wide\"; effect = \"permit\"; ops = (\"read\", \"list\"); home "
     "= (\"EEA\"); to = (\"US\", \"GB\"); kinds = (\"*\"); classes = (\"public\"); purposes = "
     "(\"*\"); services = (\"*\"); basis = \"not_personal\"; }, { id = \"narrow\"; effect = "
     "\"permit\"; ops = (\"read\"); home = (\"EEA\"); to = (\"US\"); kinds = (\"room\"); classes = "
     "(\"public\"); purposes = (\"moderation\"); services = (\"feed\"); basis = \"scc\"; },",
     "P0503", "{ id = \"narrow\""},
    {"bases = {", "bases = { old = { mechanism = \"x\"; from = \"2026-01-01\"; };", "P0601",
     "old"},
    {"classes = (\"location\"); }", "classes = (\"location\"); basis = \"scc\"; }", "P0602",
     "\"scc\""},
};

static void run_all(const struct mutation *mutations, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        test_finding(mutations[i].old, mutations[i].with, mutations[i].code, mutations[i].at);
    }
}

#define SUITE(name, table)                              \
    static void name(void **unused)                     \
    {                                                   \
        (void)unused;                                   \
        run_all(table, sizeof(table) / sizeof(*table)); \
    }
SUITE(each_lexical_trap_is_refused_at_its_place, s_lexical)
SUITE(each_wrong_shape_is_refused_at_its_place, s_shape)
SUITE(each_unknown_reference_is_refused_at_its_place, s_references)
SUITE(each_contradiction_is_refused_at_its_place, s_meaning)
SUITE(each_risk_is_told_but_loads, s_risk)

/* What is wrong with no line of it: a purpose that is for use at home, told once. */
static void base_policy_has_one_suggestion_and_nothing_else(void **unused)
{
    (void)unused;
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;

    assert_int_equal(test_compile(&policy, &findings, dom_slice_str(test_policy_text)), DOM_OK);
    assert_int_equal(findings.num_items, 1);
    assert_string_equal(findings.items[0].code, "P0603");
    assert_int_equal(findings.items[0].level, DOM_FINDING_SUGGESTION);
    assert_non_null(strstr(findings.items[0].message, "\"serve\""));
    dom_findings_cleanup(&findings);
    dom_policy_unref(policy);
}

static void nul_byte_is_refused(void **unused)
{
    (void)unused;
    static const char text[] = "a = 1;\0rules = ();";
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;

    assert_int_equal(test_compile(&policy, &findings, dom_slice_of(text, sizeof(text) - 1)),
                     DOM_PARSE);
    const struct dom_finding *found = test_find(&findings, "P0005");
    assert_non_null(found);
    assert_int_equal(found->column, 7);
    dom_findings_cleanup(&findings);
}

static void all_problems_are_told_in_one_run_in_text_order_none_twice(void **unused)
{
    (void)unused;
    static const char text[] =
        "policy = { schema = 1; name = \"x\"; version = 2147483648; expires = \"2030-13-01\"; };\n"
        "jurisdictions = { A = { countries = (\"UK\" \"EL\"); lwa = \"x\"; }; };\n"
        "regions = { r = { country = \"ZZ\"; }; };\n"
        "data_classes = { c = { rank = \"one\"; }; }; purposes = { p = {}; }; services = {};\n"
        "kinds = { k = { fields = { a = \"d\"; }; }; };\n"
        "placement = ( { id = \"1\"; home = \"Q\"; classes = (\"e\"); regions = (\"s\"); } );\n";
    static const char *const want[] = {"P0003", "P0107", "P0201", "P0001", "P0201", "P0101",
                                       "P0201", "P0102", "P0203", "P0201", "P0203", "P0201"};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;

    assert_int_equal(test_compile(&policy, &findings, dom_slice_str(text)), DOM_PARSE);
    size_t at = 0;
    for (size_t i = 0; i < findings.num_items && at < 12; i++) {
        at += strcmp(findings.items[i].code, want[at]) == 0 ? 1 : 0;
        if (i > 0) {
            const struct dom_finding *a = &findings.items[i - 1];
            const struct dom_finding *b = &findings.items[i];
            assert_true(a->line < b->line || (a->line == b->line && a->column <= b->column));
            assert_false(a->line == b->line && a->column == b->column &&
                         strcmp(a->code, b->code) == 0 && strcmp(a->message, b->message) == 0);
        }
    }
    assert_int_equal(at, 12);
    dom_findings_cleanup(&findings);
}

static void syntax_errors_do_not_hide_each_other(void **unused)
{
    (void)unused;
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;

    assert_int_equal(test_compile(&policy, &findings,
                                  dom_slice_str("a = ;\nb = { c 1; d = \"\\q\"; };\ne = (1 2);\n")),
                     DOM_PARSE);
    assert_int_equal(findings.num_items, 4);
    assert_int_equal(findings.items[0].line, 1);
    assert_int_equal(findings.items[1].line, 2);
    assert_string_equal(findings.items[2].code, "P0006");
    assert_int_equal(findings.items[3].line, 3);
    dom_findings_cleanup(&findings);
}

static void hints_name_what_was_meant(void **unused)
{
    (void)unused;
    static const struct {
        const char *country;
        const char *hint;
    } cases[] = {
        {"UK", "did you mean \"GB\"?"},
        {"EL", "did you mean \"GR\"?"},
        {"de", "did you mean \"DE\"?"},
        {"DE ", "did you mean \"DE\"?"},
        {"DEU", "did you mean \"DE\"?"},
        {"Germany", "did you mean \"DE\"?"},
        {"\xD0\xA1\xD0\x9D", "did you mean \"CH\"? a letter here only looks like it"},
        {"N0", "did you mean \"NO\"? a letter here only looks like it"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dom_findings findings = {0};
        struct dom_policy *policy = NULL;
        struct dom_buffer text;
        char with[64];
        (void)snprintf(with, sizeof(with), "country = \"%s\"", cases[i].country);
        dom_buffer_init(&text, 0);
        test_replace(&text, "country = \"GB\"", with);
        assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)), DOM_PARSE);
        const struct dom_finding *found = test_find(&findings, "P0201");
        assert_non_null(found);
        assert_string_equal(found->help, cases[i].hint);
        dom_findings_cleanup(&findings);
        dom_buffer_cleanup(&text);
    }
}

static void print_shows_the_line_and_a_caret(void **unused)
{
    (void)unused;
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;
    struct dom_buffer out;

    dom_buffer_init(&text, 0);
    dom_buffer_init(&out, 0);
    test_replace(&text, "\"public\", \"identifier\")", "\"public\", \"identifer\")");
    assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)), DOM_PARSE);
    dom_findings_print(&findings, "p.cfg", dom_buffer_slice(&text), &out);
    const char *shown = dom_buffer_cstr(&out);
    assert_non_null(strstr(shown, "error[P0203]: unknown data class \"identifer\"\n"
                                  "  --> p.cfg:22:44  rules[\"permit-1\"].classes[1]\n"));
    assert_non_null(strstr(shown, "^^^^^^^^^^^ did you mean \"identifier\"? declared at p.cfg:8:42"));
    dom_buffer_clear(&out);
    dom_findings_print_json(&findings, "p\"1.cfg", &out);
    assert_non_null(strstr(dom_buffer_cstr(&out), "\"file\": \"p\\\"1.cfg\", \"line\": 22"));
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&out);
}

static void findings_are_capped(void **unused)
{
    (void)unused;
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text;

    dom_buffer_init(&text, 0);
    for (int i = 0; i < 1500; i++) {
        dom_buffer_append_str(&text, "& ");
    }
    assert_int_equal(test_compile(&policy, &findings, dom_buffer_slice(&text)), DOM_PARSE);
    assert_int_equal(findings.num_items, DOM_FINDINGS_MAX + 1);
    assert_non_null(test_find(&findings, "P0099"));
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_policy_has_one_suggestion_and_nothing_else),
        cmocka_unit_test(each_lexical_trap_is_refused_at_its_place),
        cmocka_unit_test(each_wrong_shape_is_refused_at_its_place),
        cmocka_unit_test(each_unknown_reference_is_refused_at_its_place),
        cmocka_unit_test(each_contradiction_is_refused_at_its_place),
        cmocka_unit_test(each_risk_is_told_but_loads),
        cmocka_unit_test(nul_byte_is_refused),
        cmocka_unit_test(all_problems_are_told_in_one_run_in_text_order_none_twice),
        cmocka_unit_test(syntax_errors_do_not_hide_each_other),
        cmocka_unit_test(hints_name_what_was_meant),
        cmocka_unit_test(print_shows_the_line_and_a_caret),
        cmocka_unit_test(findings_are_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
