/* The `domicile` command: one binary, a verb each for those who serve, use, write policy and
 * audit. */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "tools/command.h"

#define VERSION "0.1.0"

static const char s_help[] =
    "NAME\n"
    "    domicile - a residency router with proof\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile VERB [ARGUMENTS]\n"
    "\n"
    "VERBS\n"
    "    serve      run the router\n"
    "    drain      end a router in order, from elsewhere\n"
    "    record     put, get, delete and list records over gRPC\n"
    "    policy     check, format, explain, test and compare policy files\n"
    "    audit      verify, export, report, prove and follow audit logs\n"
    "    pki        make a CA for development, and certificates\n"
    "    bench      measure it against a raw baseline\n"
    "    version    print the version\n"
    "    help       print this text\n"
    "\n"
    "    domicile VERB --help tells more.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 done; 1 failed, or findings; 2 there are differences; 3 usage;\n"
    "    4 refused by the policy or the router.\n";

static int print_version(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)puts("domicile version - print the version");
        return DOM_EXIT_OK;
    }
    (void)puts("domicile " VERSION);
    return DOM_EXIT_OK;
}

static int print_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)fputs(s_help, stdout);
    return DOM_EXIT_OK;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {
        {"serve", dom_serve_command},   {"record", dom_record_command},
        {"policy", dom_policy_command}, {"audit", dom_audit_command},
        {"bench", dom_bench_command},   {"pki", dom_pki_command},
        {"drain", dom_drain_command},   {"version", print_version},
        {"help", print_help},           {"--help", print_help},
        {"-h", print_help},             {"--version", print_version},
    };

    for (size_t i = 0; argc > 1 && i < DOM_ARRAY_LEN(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    if (argc > 1) {
        (void)fprintf(stderr, "domicile: unknown verb \"%s\"; domicile help lists them\n", argv[1]);
    } else {
        (void)fputs(s_help, stderr);
    }
    return DOM_EXIT_USAGE;
}
