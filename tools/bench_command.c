/* `domicile bench`: what it costs, as ratios against a raw baseline run side by side. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tools/bench_audit.h"
#include "tools/bench_border.h"
#include "tools/bench_policy.h"
#include "tools/bench_rpc.h"
#include "tools/bench_tls.h"
#include "tools/bench_store.h"
#include "tools/command.h"

static const char s_help[] =
    "NAME\n"
    "    domicile bench - measure the router against a raw baseline\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile bench rpc [--policy FILE] [--only NAME] [--records N]\n"
    "                       [--pairs N] [--run-ms N] [--count-lib FILE]\n"
    "    domicile bench border [--policy FILE] [--records N] [--pairs N] [--run-ms N]\n"
    "    domicile bench tls [--policy FILE] [--records N] [--pairs N] [--run-ms N]\n"
    "                       [--handshakes N]\n"
    "    domicile bench policy | audit | store | append\n"
    "\n"
    "DESCRIPTION\n"
    "    rpc starts a router process on a scratch folder and drives it over\n"
    "    loopback in a closed loop. Each figure is the median of interleaved\n"
    "    pairs of runs: a raw unary echo, then the operation. R is the server CPU\n"
    "    of the echo per request; `x R` is what a record costs as a multiple of it.\n"
    "    Scenarios: get, put, put-2, get-abroad, get-limited, batch-100.\n"
    "\n"
    "    border measures what a border adds to a read with nothing else going on: the\n"
    "    median latency of get-abroad less that of get, one call at a time, in\n"
    "    multiples of a bare write and fdatasync of as many bytes on the same disk\n"
    "    (one after the other, and after pauses), and of what the same sync adds at\n"
    "    a server that is a socket and two threads and nothing else.\n"
    "    Each round runs them in turn.\n"
    "\n"
    "    tls runs two routers side by side, one with plain text and one with mTLS,\n"
    "    and prints the server CPU of a request, of an echo and of a connection over\n"
    "    each, and TLS as a multiple of plain text.\n"
    "\n"
    "    policy, audit and store measure in this process: nanoseconds per decision,\n"
    "    entries appended and verified per second, rows read and written. append\n"
    "    is the part of store that appends entries to a log.\n"
    "\n"
    "OPTIONS\n"
    "    --policy FILE     default policy/global-live/policy.cfg\n"
    "    --only NAME       one scenario\n"
    "    --records N       records of each kind loaded first (100000)\n"
    "    --pairs N         pairs of runs, 1 to 25 (5)\n"
    "    --run-ms N        length of a run (1000)\n"
    "    --count-lib FILE  preload this library into the router and print the\n"
    "                      allocations and copied bytes per record (it slows the\n"
    "                      router: read the times without it)\n"
    "    --format text|json\n"
    "\n"
    "EXIT STATUS\n"
    "    0 measured; 1 failed; 3 usage.\n";

static bool number(const char *text, uint64_t *out)
{
    char *end = NULL;

    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static int bench_rpc(int argc, char **argv, int (*run)(const struct dom_bench_rpc_options *))
{
    static const struct option options[] = {{"policy", required_argument, NULL, 'p'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"records", required_argument, NULL, 'r'},
                                            {"pairs", required_argument, NULL, 'n'},
                                            {"run-ms", required_argument, NULL, 'm'},
                                            {"count-lib", required_argument, NULL, 'c'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct dom_bench_rpc_options bench = {.policy = "policy/global-live/policy.cfg",
                                          .num_records = 100000,
                                          .run_ms = 1000,
                                          .pairs = 5};
    uint64_t value = 0;
    int option = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool is_number = option == 'r' || option == 'n' || option == 'm';
        if (is_number && !number(optarg, &value)) {
            (void)fprintf(stderr, "domicile bench: \"%s\" is not a whole number\n", optarg);
            return DOM_EXIT_USAGE;
        }
        switch (option) {
        case 'p':
            bench.policy = optarg;
            break;
        case 'o':
            bench.only = optarg;
            break;
        case 'r':
            bench.num_records = value;
            break;
        case 'n':
            bench.pairs = (unsigned)value;
            break;
        case 'm':
            bench.run_ms = value;
            break;
        case 'c':
            bench.count_lib = optarg;
            break;
        case 'f':
            bench.json = strcmp(optarg, "json") == 0;
            break;
        case 'h':
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        default:
            return DOM_EXIT_USAGE;
        }
    }
    return run(&bench);
}

static int bench_tls(int argc, char **argv)
{
    static const struct option options[] = {{"policy", required_argument, NULL, 'p'},
                                            {"records", required_argument, NULL, 'r'},
                                            {"pairs", required_argument, NULL, 'n'},
                                            {"run-ms", required_argument, NULL, 'm'},
                                            {"handshakes", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    struct dom_bench_tls_options bench = {.policy = "policy/global-live/policy.cfg",
                                          .num_records = 20000,
                                          .run_ms = 1000,
                                          .pairs = 5,
                                          .num_handshakes = 200};
    uint64_t value = 0;
    int option = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?' || (option != 'p' && !number(optarg, &value))) {
            (void)fprintf(stderr, "domicile bench tls: see domicile bench --help\n");
            return DOM_EXIT_USAGE;
        }
        if (option == 'p') {
            bench.policy = optarg;
        } else if (option == 'r') {
            bench.num_records = value;
        } else if (option == 'n') {
            bench.pairs = (unsigned)value;
        } else if (option == 'm') {
            bench.run_ms = value;
        } else {
            bench.num_handshakes = (unsigned)value;
        }
    }
    return dom_bench_tls(&bench);
}

int dom_bench_command(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        (void)fputs(s_help, stdout);
        return DOM_EXIT_OK;
    }
    if (strcmp(what, "rpc") == 0) {
        return bench_rpc(argc - 1, argv + 1, dom_bench_rpc);
    }
    if (strcmp(what, "border") == 0) {
        return bench_rpc(argc - 1, argv + 1, dom_bench_border);
    }
    if (strcmp(what, "tls") == 0) {
        return bench_tls(argc - 1, argv + 1);
    }
    if (strcmp(what, "policy") == 0) {
        return dom_policy_bench(stdout);
    }
    if (strcmp(what, "audit") == 0) {
        return dom_bench_audit(stdout);
    }
    if (strcmp(what, "store") == 0 || strcmp(what, "append") == 0) {
        return dom_bench_store(stdout, what[0] == 'a');
    }
    (void)fprintf(stderr, "domicile bench: rpc, tls, policy, audit, store or append (see domicile bench --help)\n");
    return DOM_EXIT_USAGE;
}
