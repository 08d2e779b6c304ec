/* `domicile serve`: the router as a process. */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/thread.h"
#include "tools/command.h"
#include "tools/config.h"

static const char s_help[] =
    "NAME\n"
    "    domicile serve - run the router\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile serve --config FILE\n"
    "\n"
    "DESCRIPTION\n"
    "    Opens the policy and the store of every region that it names, prints\n"
    "    `listening on HOST:PORT` when ready, and serves until SIGTERM or SIGINT;\n"
    "    then lets calls in flight finish (drain_ms) and closes. SIGHUP loads the\n"
    "    policy and certificate files anew: whole, or not at all.\n"
    "\n"
    "OPTIONS\n"
    "    --config FILE   configuration, see docs/OPERATIONS.md\n"
    "    --check         load the configuration and the policy, then stop\n"
    "    --help          this text\n"
    "\n"
    "ENVIRONMENT\n"
    "    DOMICILE_LISTEN, DOMICILE_DATA, DOMICILE_KEYS, DOMICILE_POLICY and\n"
    "    DOMICILE_LOG take the place of the keys of those names in the file.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 stopped by a signal after a whole drain; 1 could not start; 3 usage.\n";

/* Signals are blocked everywhere and taken by one thread: a handler could do nothing safe here. */
struct signals {
    struct dom_router *router;
    sigset_t set;
};

static void *watch_signals(void *arg)
{
    struct signals *signals = arg;

    dom_thread_name("signals", NULL);
    for (;;) {
        int got = 0;
        if (sigwait(&signals->set, &got) != 0) {
            continue;
        }
        if (got == SIGUSR2) {
            return NULL; /* the server has stopped */
        }
        if (got == SIGHUP) {
            dom_router_reload(signals->router);
            continue;
        }
        dom_log(DOM_LOG_INFO, "serve.stopping", "signal=%d", got);
        dom_router_shutdown(signals->router);
    }
}

static void print_findings(const struct dom_findings *findings, const char *path)
{
    struct dom_buffer text = {0};
    struct dom_buffer out = {0};

    if (findings->num_items > 0) {
        if (dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, NULL) == DOM_OK) {
            dom_findings_print(findings, path, dom_buffer_slice(&text), &out);
            (void)fwrite(out.data, 1, out.len, stderr);
        }
    }
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&out);
}

static int serve(struct dom_config *config, bool check_only)
{
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    struct signals signals = {0};
    pthread_t thread;

    (void)sigemptyset(&signals.set);
    (void)sigaddset(&signals.set, SIGTERM);
    (void)sigaddset(&signals.set, SIGINT);
    (void)sigaddset(&signals.set, SIGHUP);
    (void)sigaddset(&signals.set, SIGUSR2);
    (void)pthread_sigmask(SIG_BLOCK, &signals.set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    dom_log_set_level(config->log_level);
    enum dom_code rc = dom_router_new(&signals.router, &findings, &config->router, &err);
    print_findings(&findings, config->policy);
    dom_findings_cleanup(&findings);
    if (rc != DOM_OK) {
        (void)fprintf(stderr, "domicile: %s\n", err.message);
        return DOM_EXIT_FAILED;
    }
    if (check_only) {
        dom_router_destroy(signals.router);
        return DOM_EXIT_OK;
    }
    if (pthread_create(&thread, NULL, watch_signals, &signals) != 0) {
        dom_router_destroy(signals.router);
        (void)fprintf(stderr, "domicile: cannot start a thread\n");
        return DOM_EXIT_FAILED;
    }
    if (dom_router_metrics_port(signals.router) != 0) {
        (void)printf("metrics on port %u\n", dom_router_metrics_port(signals.router));
    }
    if (dom_router_witness_port(signals.router) != 0) {
        (void)printf("witness on port %u\n", dom_router_witness_port(signals.router));
    }
    (void)printf("listening on %s\n", dom_router_address(signals.router));
    (void)fflush(stdout);
    dom_thread_name("domicile", NULL); /* also when started as /proc/self/exe */
    dom_router_run(signals.router);
    (void)pthread_kill(thread, SIGUSR2);
    (void)pthread_join(thread, NULL);
    dom_router_destroy(signals.router);
    dom_log(DOM_LOG_INFO, "serve.stopped", "data=%s", config->data_dir);
    return DOM_EXIT_OK;
}

int dom_serve_command(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    static struct dom_config config;
    struct dom_error err = {0};
    const char *path = getenv("DOMICILE_CONFIG");
    bool check_only = false;
    int option = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "c:kh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check_only = true;
            break;
        case 'h':
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        default:
            return DOM_EXIT_USAGE;
        }
    }
    if (path == NULL || optind != argc) {
        (void)fprintf(stderr, "domicile serve: --config FILE is needed (see domicile serve --help)\n");
        return DOM_EXIT_USAGE;
    }
    if (dom_config_load(&config, path, &err) != DOM_OK) {
        (void)fprintf(stderr, "domicile: %s\n", err.message);
        return DOM_EXIT_FAILED;
    }
    return serve(&config, check_only);
}
