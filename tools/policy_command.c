/* domicile policy: check, explain and test policy files. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "policy/expect.h"
#include "policy/policy.h"
#include "tools/bundle_command.h"
#include "tools/command.h"
#include "tools/policy_verbs.h"
#include "tools/policy_where.h"
#include "tools/rollout_command.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy - check, explain and test residency policies\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy check FILE... [--format text|json|sarif]\n"
    "    domicile policy check --explain CODE\n"
    "    domicile policy explain FILE --op OP --service S --purpose P --kind K --home CC\n"
    "        --caller REGION [--serves REGION] [--date DATE] [--fields A,B] [--format text|json]\n"
    "    domicile policy explain --event FILE|- [--policy FILE]... [--policies DIR]\n"
    "    domicile policy test FILE_test.cfg... [--format text|json|tap] [--coverage]\n"
    "    domicile policy where FILE [--kind K] [--home CC] [--date DATE] [--format text|json]\n"
    "    domicile policy diff OLD NEW [--no-new-access] [--format text|json]\n"
    "    domicile policy impact NEW --data DIR [--date DATE] [--format text|json]\n"
    "    domicile policy fmt FILE... [--check|--diff|--write]\n"
    "    domicile policy docs FILE [--date DATE] [--format md|html]\n"
    "    domicile policy lsp\n"
    "    domicile policy keygen|root|plan|sign|timestamp|rollback ...\n"
    "    domicile policy push|rollout|freeze|unfreeze ...\n"
    "\n"
    "DESCRIPTION\n"
    "    check    reads the file as the router would and prints every finding with its place.\n"
    "    explain  decides one request, or one entry of a log again, and says why in six lines.\n"
    "    test     runs the cases of test files and prints those that fail.\n"
    "    where    says where each class of each home's data may lie.\n"
    "    diff     says exactly what a new policy decides otherwise.\n"
    "    impact   says what a new policy would change for real traffic and stored records.\n"
    "    fmt      lays files out in one way, keeping every comment.\n"
    "    docs     prints a policy as tables for people.\n"
    "    lsp      serves policy files to an editor: findings, hover, go to definition.\n"
    "    plan     says what a change does, and the hash that its signers acknowledge.\n"
    "    sign     signs a change; push begins its roll-out on a running router.\n"
    "    rollout  says where a change is, promotes or aborts it; rollback takes it back.\n"
    "    freeze   lets nothing cross a border from now on.\n"
    "\n"
    "    domicile policy VERB --help tells more. The language is described in docs/POLICY.md.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 clean; 1 errors were found or cases failed; 2 there are differences; 3 usage.\n";

static const char s_check_help[] =
    "NAME\n"
    "    domicile policy check - find what is wrong or risky in policy files\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy check FILE... [--format text|json|sarif]\n"
    "    domicile policy check --explain CODE\n"
    "\n"
    "DESCRIPTION\n"
    "    Prints every finding of each file, in the order of the text, with line, column and a\n"
    "    proposal. Levels: error (the policy is not loaded), security-warning, warning,\n"
    "    suggestion.\n"
    "\n"
    "OPTIONS\n"
    "    --format text|json|sarif  text has a caret under the place; json is one array per\n"
    "                              file; sarif is one SARIF 2.1.0 log of all files.\n"
    "    --explain CODE            says what a code such as P0203 means and what to do.\n"
    "    --help                    prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 no errors; 1 errors; 3 usage.\n";

static const char s_test_help[] =
    "NAME\n"
    "    domicile policy test - run the cases of policy test files\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy test FILE_test.cfg... [--format text|json|tap] [--coverage]\n"
    "\n"
    "DESCRIPTION\n"
    "    Each file names its policy and what it must decide. A failing case prints what was\n"
    "    expected, what came out, and the rule that decided it with its line.\n"
    "\n"
    "OPTIONS\n"
    "    --format text|json|tap  text prints failing cases only.\n"
    "    --coverage              names rules and placement entries that no case touches, and\n"
    "                            the cells of permits (operation, kind, class) without one.\n"
    "    --help                  prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 every case passed; 1 a case failed or a file has errors; 3 usage.\n";

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_TAP, FORMAT_SARIF };

struct arguments {
    enum format format;
    bool coverage;
    bool sarif; /* the format is offered */
    bool help;
    bool bad;
    const char *code;
};

static bool take_format(struct arguments *arguments, const char *text, bool tap_allowed)
{
    if (strcmp(text, "text") == 0) {
        arguments->format = FORMAT_TEXT;
    } else if (strcmp(text, "json") == 0) {
        arguments->format = FORMAT_JSON;
    } else if (strcmp(text, "tap") == 0 && tap_allowed) {
        arguments->format = FORMAT_TAP;
    } else if (strcmp(text, "sarif") == 0 && arguments->sarif) {
        arguments->format = FORMAT_SARIF;
    } else {
        (void)dom_policy_usage("unknown format", text);
        return false;
    }
    return true;
}

/* Reads the options; what is left of argv from optind on are the files. */
static void take_arguments(struct arguments *arguments, int argc, char **argv,
                           const struct option *options, bool tap_allowed)
{
    bool sarif = arguments->sarif;

    memset(arguments, 0, sizeof(*arguments));
    arguments->sarif = sarif;
    optind = 0;
    for (;;) {
        int found = getopt_long(argc, argv, "", options, NULL);
        if (found < 0) {
            return;
        }
        if (found == 'h') {
            arguments->help = true;
        } else if (found == 'f') {
            arguments->bad = arguments->bad || !take_format(arguments, optarg, tap_allowed);
        } else if (found == 'c') {
            arguments->coverage = true;
        } else if (found == 'e') {
            arguments->code = optarg;
        } else {
            arguments->bad = true;
        }
    }
}

static void print(struct dom_buffer *out)
{
    (void)fwrite(out->data == NULL ? (const void *)"" : out->data, 1, out->len, stdout);
    dom_buffer_clear(out);
}

static void print_findings(const struct dom_findings *findings, const char *path,
                           struct dom_slice text, enum format format)
{
    struct dom_buffer out;

    dom_buffer_init(&out, 0);
    if (format == FORMAT_JSON) {
        dom_findings_print_json(findings, path, &out);
    } else {
        dom_findings_print(findings, path, text, &out);
    }
    print(&out);
    dom_buffer_cleanup(&out);
}

/* Loads the file and prints its findings. *policyp may be NULL. False when it has errors. */
static bool load(struct dom_policy **policyp, const char *path, enum format format)
{
    struct dom_policy_load_options options = {.name = path};
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    struct dom_buffer text;

    *policyp = NULL;
    options.now_ms = dom_clock_wall_ms(dom_clock_system());
    dom_buffer_init(&text, 0);
    enum dom_code rc = dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, &err);
    if (rc == DOM_OK) {
        rc = dom_policy_compile(policyp, &findings, dom_buffer_slice(&text), &options, &err);
    }
    if (rc != DOM_OK && findings.num_items == 0) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
    } else {
        print_findings(&findings, path, dom_buffer_slice(&text), format);
    }
    if (format == FORMAT_TEXT && rc == DOM_OK) {
        const struct dom_policy_info *info = dom_policy_info(*policyp);
        (void)printf("%s: %s version %lld, %zu rules, %zu placement entries: no errors, %zu "
                     "other findings\n",
                     path, info->name, (long long)info->version, info->num_rules,
                     info->num_placements, findings.num_items);
    } else if (format == FORMAT_TEXT && findings.num_items > 0) {
        (void)printf("%s: %zu errors, %zu other findings\n", path,
                     dom_findings_count(&findings, DOM_FINDING_ERROR),
                     findings.num_items - dom_findings_count(&findings, DOM_FINDING_ERROR));
    }
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    return rc == DOM_OK;
}

static int explain_code(const char *code)
{
    struct dom_buffer out;

    dom_buffer_init(&out, 0);
    bool known = dom_finding_explain(code, &out);
    print(&out);
    dom_buffer_cleanup(&out);
    return known ? DOM_EXIT_OK : dom_policy_usage("no such code:", code);
}

/* Adds one file's findings to the log. False when the file has errors. */
static bool check_sarif(const char *path, bool *first, struct dom_buffer *out)
{
    struct dom_policy_load_options options = {.name = path};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};
    struct dom_buffer text;

    options.now_ms = dom_clock_wall_ms(dom_clock_system());
    dom_buffer_init(&text, 0);
    enum dom_code rc = dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, &err);
    if (rc == DOM_OK) {
        rc = dom_policy_compile(&policy, &findings, dom_buffer_slice(&text), &options, &err);
    }
    if (rc != DOM_OK && findings.num_items == 0) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
    }
    dom_sarif_add(&findings, path, dom_buffer_slice(&text), first, out);
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    dom_policy_unref(policy);
    return rc == DOM_OK;
}

static int check_all_sarif(char **paths, int num)
{
    struct dom_buffer out;
    bool first = true;
    bool clean = true;

    dom_buffer_init(&out, 0);
    dom_sarif_begin(&out);
    for (int i = 0; i < num; i++) {
        clean = check_sarif(paths[i], &first, &out) && clean;
    }
    dom_sarif_end(&out);
    print(&out);
    dom_buffer_cleanup(&out);
    return clean ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}

static int check(int argc, char **argv)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"explain", required_argument, NULL, 'e'},
                                            {0}};
    struct arguments arguments = {.sarif = true};
    bool clean = true;

    take_arguments(&arguments, argc, argv, options, false);
    if (arguments.help) {
        (void)fputs(s_check_help, stdout);
        return DOM_EXIT_OK;
    }
    if (!arguments.bad && arguments.code != NULL && optind == argc) {
        return explain_code(arguments.code);
    }
    if (arguments.bad || arguments.code != NULL || optind >= argc) {
        return arguments.bad ? DOM_EXIT_USAGE
                             : dom_policy_usage(arguments.code == NULL ? "check needs a file"
                                                            : "--explain takes no file",
                                     "");
    }
    if (arguments.format == FORMAT_SARIF) {
        return check_all_sarif(argv + optind, argc - optind);
    }
    for (int i = optind; i < argc; i++) {
        struct dom_policy *policy = NULL;
        clean = load(&policy, argv[i], arguments.format) && clean;
        dom_policy_unref(policy);
    }
    return clean ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}

/* Runs one test file; false when it did not run or a case failed. */
static bool test_file(const char *path, const struct arguments *arguments)
{
    struct dom_expect_report report;
    struct dom_error err = {0};
    struct dom_buffer out;
    enum dom_code rc =
        dom_expect_run(&report, path, dom_clock_wall_ms(dom_clock_system()), &err);
    bool passed = rc == DOM_OK && report.num_passed == report.num_cases;

    dom_buffer_init(&out, 0);
    if (rc != DOM_OK) {
        struct dom_findings *all[] = {&report.findings, &report.policy_findings};
        if (all[0]->num_items > 0) {
            dom_findings_print(all[0], path, dom_buffer_slice(&report.text), &out);
        }
        if (all[1]->num_items > 0) {
            dom_findings_print(all[1], report.policy_path, dom_buffer_slice(&report.policy_text),
                               &out);
        }
        (void)fwrite(out.data == NULL ? (const void *)"" : out.data, 1, out.len, stderr);
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
    } else if (arguments->format == FORMAT_JSON) {
        dom_expect_print_json(&report, arguments->coverage, &out);
        print(&out);
    } else if (arguments->format == FORMAT_TAP) {
        dom_expect_print_tap(&report, arguments->coverage, &out);
        print(&out);
    } else {
        dom_expect_print(&report, arguments->coverage, &out);
        print(&out);
    }
    dom_buffer_cleanup(&out);
    dom_expect_cleanup(&report);
    return passed;
}

static int test(int argc, char **argv)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"coverage", no_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct arguments arguments = {.sarif = false};
    bool passed = true;

    take_arguments(&arguments, argc, argv, options, true);
    if (arguments.help) {
        (void)fputs(s_test_help, stdout);
        return DOM_EXIT_OK;
    }
    if (arguments.bad || optind >= argc) {
        return arguments.bad ? DOM_EXIT_USAGE : dom_policy_usage("test needs a test file", "");
    }
    for (int i = optind; i < argc; i++) {
        passed = test_file(argv[i], &arguments) && passed;
    }
    return passed ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}

int dom_policy_command(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {
        {"check", check},
        {"explain", dom_policy_explain_verb},
        {"test", test},
        {"where", dom_policy_where},
        {"diff", dom_policy_diff_verb},
        {"fmt", dom_policy_fmt_verb},
        {"docs", dom_policy_docs_verb},
        {"impact", dom_policy_impact_verb},
        {"lsp", dom_policy_lsp_verb},
        {"keygen", dom_policy_keygen_verb},
        {"root", dom_policy_root_verb},
        {"plan", dom_policy_plan_verb},
        {"sign", dom_policy_sign_verb},
        {"timestamp", dom_policy_timestamp_verb},
        {"rollback", dom_policy_rollback_verb},
        {"push", dom_policy_push_verb},
        {"rollout", dom_policy_rollout_verb},
        {"freeze", dom_policy_freeze_verb},
        {"unfreeze", dom_policy_unfreeze_verb},
    };

    if (argc < 2) {
        return dom_policy_usage("needs a verb", "");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        (void)fputs(s_help, stdout);
        return DOM_EXIT_OK;
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    return dom_policy_usage("unknown verb", argv[1]);
}
