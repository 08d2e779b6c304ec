/* `domicile policy diff`: what a new policy would decide otherwise. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "policy/diff.h"
#include "tools/command.h"
#include "tools/policy_verbs.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy diff - say exactly what a new policy decides otherwise\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy diff OLD NEW [--no-new-access] [--format text|json]\n"
    "\n"
    "DESCRIPTION\n"
    "    Goes through every request that can be made (home, to, kind, class, operation,\n"
    "    purpose, service, date) and every place where data may lie, and prints what\n"
    "    differs: newly allowed, newly denied, weaker or stronger obligations, wider or\n"
    "    narrower placement. What changes alike under the same rules is one group, with the\n"
    "    rules, their lines, how many cells it holds and one concrete request, which\n"
    "    `domicile policy explain` takes as it stands. A cell is one (home country, to\n"
    "    country, kind, class, operation, purpose, service) in one stretch of time between\n"
    "    two dates of either policy. Exact, except for the order of two limits over\n"
    "    different periods or classes: those count as loosened and as tightened.\n"
    "\n"
    "OPTIONS\n"
    "    --no-new-access     fail when anything is loosened.\n"
    "    --format text|json  json is one object.\n"
    "    --help              prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 no difference; 1 a policy has errors, or --no-new-access and something is\n"
    "    loosened; 2 there are differences; 3 usage.\n";

struct request {
    const char *before;
    const char *after;
    bool json;
    bool no_new_access;
};

static int run(const struct request *request)
{
    struct dom_policy *before = NULL;
    struct dom_policy *after = NULL;
    struct dom_error err = {0};
    struct dom_diff diff;
    struct dom_buffer out;
    int status = DOM_EXIT_FAILED;

    dom_buffer_init(&out, 0);
    if (dom_policy_read(&before, request->before) && dom_policy_read(&after, request->after)) {
        if (dom_diff_make(&diff, before, after, &err) != DOM_OK) {
            (void)fprintf(stderr, "domicile policy: %s\n", err.message);
        } else {
            if (request->json) {
                dom_diff_print_json(&diff, request->before, request->after, &out);
            } else {
                dom_diff_print(&diff, request->before, request->after, &out);
            }
            status = diff.num_groups == 0 ? DOM_EXIT_OK : DOM_EXIT_DIFFERS;
            if (request->no_new_access && dom_diff_loosens(&diff)) {
                status = DOM_EXIT_FAILED;
            }
            status = dom_policy_print(&out) ? status : DOM_EXIT_FAILED;
        }
        dom_diff_cleanup(&diff);
    }
    dom_buffer_cleanup(&out);
    dom_policy_unref(before);
    dom_policy_unref(after);
    return status;
}

int dom_policy_diff_verb(int argc, char **argv)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"no-new-access", no_argument, NULL, 'n'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct request request = {.json = false};

    optind = 0;
    for (;;) {
        int found = getopt_long(argc, argv, "", options, NULL);
        if (found < 0) {
            break;
        }
        if (found == 'h') {
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        }
        if (found == 'n') {
            request.no_new_access = true;
        } else if (found == 'f' && strcmp(optarg, "json") == 0) {
            request.json = true;
        } else if (found != 'f' || strcmp(optarg, "text") != 0) {
            return found == 'f' ? dom_policy_usage("unknown format", optarg) : DOM_EXIT_USAGE;
        }
    }
    if (optind + 2 != argc) {
        return dom_policy_usage("diff needs two files", "");
    }
    request.before = argv[optind];
    request.after = argv[optind + 1];
    return run(&request);
}
