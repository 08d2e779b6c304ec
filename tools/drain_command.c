/* `domicile drain`: ends a router in order, from elsewhere. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domicile/v1/admin.pb-c.h"
#include "tools/command.h"
#include "tools/peer.h"

static const char s_help[] =
    "NAME\n"
    "    domicile drain - end a router in order\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile drain [--reason TEXT] [WHO ASKS]\n"
    "\n"
    "DESCRIPTION\n"
    "    Asks the router to end as SIGTERM does: health turns NOT_SERVING, new calls are refused,\n"
    "    calls in flight finish, the store closes. An entry in every region's log names who asked.\n"
    "    The caller needs the role `operators`. Returns when the router has begun.\n"
    "\n"
    "WHO ASKS\n"
    "    --address, --cert, --key, --ca, --server-name, --service, --region and the context file,\n"
    "    as for domicile record\n"
    "\n"
    "OPTIONS\n"
    "    --reason TEXT       told in the entries, at most 256 bytes\n"
    "    --timeout-ms N      default 10000; 0: as long as it takes\n"
    "    --format text|json\n"
    "\n"
    "EXIT STATUS\n"
    "    0 it drains; 1 failed; 3 usage; 4 refused.\n";

enum { OPT_REASON = 256, OPT_HELP };

static const struct option s_options[] = {DOM_PEER_OPTIONS,
                                          {"reason", required_argument, NULL, OPT_REASON},
                                          {"help", no_argument, NULL, OPT_HELP},
                                          {NULL, 0, NULL, 0}};

struct args {
    struct dom_peer peer;
    const char *reason;
    bool help;
};

static bool take_option(struct args *args, int option, const char *value)
{
    switch (option) {
    case OPT_REASON:
        args->reason = value;
        return true;
    case OPT_HELP:
        args->help = true;
        return true;
    default:
        return dom_peer_option(&args->peer, option, value);
    }
}

static bool take_args(struct args *args, int argc, char **argv)
{
    int option = 0;

    optind = 0;
    while ((option = getopt_long(argc, argv, "", s_options, NULL)) != -1) {
        if (option == '?' || !take_option(args, option, optarg)) {
            return false; /* what is wrong has been said */
        }
    }
    if (optind < argc && !args->help) {
        (void)fprintf(stderr, "domicile drain: unknown argument: %s\n", argv[optind]);
        return false;
    }
    return true;
}

static int drain(struct args *args)
{
    Domicile__V1__DrainRequest request = DOMICILE__V1__DRAIN_REQUEST__INIT;
    struct dom_rpc_result result = {0};
    struct dom_buffer bytes = {0};
    int status = DOM_EXIT_FAILED;

    request.reason.len = strlen(args->reason);
    memcpy(&request.reason.data, &args->reason, sizeof(args->reason)); /* packing only reads */
    uint8_t *to =
        dom_buffer_extend(&bytes, domicile__v1__drain_request__get_packed_size(&request));
    if (to == NULL && request.reason.len > 0) {
        (void)fprintf(stderr, "domicile drain: out of memory\n");
        goto out;
    }
    (void)domicile__v1__drain_request__pack(&request, to);
    if (!dom_rpc_client_call(args->peer.client, "/domicile.v1.AdminService/Drain",
                             dom_buffer_slice(&bytes), args->peer.timeout_ms, &result)) {
        status = dom_peer_failed(&args->peer, "drain", &result);
        goto out;
    }
    Domicile__V1__DrainResponse *response = domicile__v1__drain_response__unpack(
        NULL, result.reply.len, result.reply.data);
    if (response != NULL) {
        unsigned long long grace_ms = response->grace_ms;
        (void)printf(args->peer.json ? "{\"grace_ms\":%llu}\n"
                                     : "draining; calls in flight have %llu ms\n",
                     grace_ms);
        domicile__v1__drain_response__free_unpacked(response, NULL);
        status = DOM_EXIT_OK;
    }
out:
    dom_buffer_cleanup(&bytes);
    dom_rpc_result_cleanup(&result);
    return status;
}

int dom_drain_command(int argc, char **argv)
{
    struct args args = {.reason = ""};

    if (!dom_peer_init(&args.peer, "drain") || !take_args(&args, argc, argv)) {
        return DOM_EXIT_USAGE;
    }
    if (args.help) {
        (void)fputs(s_help, stdout);
        return DOM_EXIT_OK;
    }
    if (!dom_peer_open(&args.peer, "drain")) {
        return DOM_EXIT_USAGE;
    }
    int status = drain(&args);
    dom_peer_close(&args.peer);
    return status;
}
