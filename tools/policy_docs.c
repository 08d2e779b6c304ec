/* `domicile policy docs`: a policy as tables for lawyers. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "policy/docs.h"
#include "tools/command.h"
#include "tools/policy_verbs.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy docs - print a policy as tables\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy docs FILE [--date DATE] [--format md|html]\n"
    "\n"
    "DESCRIPTION\n"
    "    Who may receive what, on what legal basis, until when; what is never allowed; and\n"
    "    where each class of each home's data may lie at the date (now unless given).\n"
    "\n"
    "EXIT STATUS\n"
    "    0 printed; 1 the policy has errors; 3 usage.\n";

static int print_docs(const char *path, int64_t time_ms, bool html)
{
    struct dom_policy *policy = NULL;
    struct dom_buffer out;

    if (!dom_policy_read(&policy, path)) {
        return DOM_EXIT_FAILED;
    }
    dom_buffer_init(&out, 0);
    dom_docs_print(policy, time_ms, html, &out);
    bool ok = dom_policy_print(&out);
    dom_buffer_cleanup(&out);
    dom_policy_unref(policy);
    return ok ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}

int dom_policy_docs_verb(int argc, char **argv)
{
    static const struct option options[] = {{"format", required_argument, NULL, 'f'},
                                            {"date", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int64_t time_ms = dom_clock_wall_ms(dom_clock_system());
    bool html = false;

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
        if (found == 'd') {
            if (!dom_time_parse(dom_slice_str(optarg), true, &time_ms)) {
                return dom_policy_usage("--date is no date:", optarg);
            }
        } else if (found == 'f' && strcmp(optarg, "html") == 0) {
            html = true;
        } else if (found != 'f' || strcmp(optarg, "md") != 0) {
            return found == 'f' ? dom_policy_usage("unknown format", optarg) : DOM_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc) {
        return dom_policy_usage("docs needs one file", "");
    }
    return print_docs(argv[optind], time_ms, html);
}
