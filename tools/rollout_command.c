/* `domicile policy push, rollout, freeze, unfreeze`: a policy's way, on a running router. */
#include "tools/rollout_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "domicile/v1/policy.pb-c.h"
#include "policy/bundle/bundle.h"
#include "tools/command.h"
#include "tools/peer.h"
#include "tools/policy_verbs.h"
#include "tools/rollout_print.h"
#include "tools/signing.h"

#define SERVICE "/domicile.v1.PolicyService/"

static const char s_help[] =
    "NAME\n"
    "    domicile policy push, rollout, freeze, unfreeze - a policy's way on a router\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy push BUNDLE [--timestamp FILE]\n"
    "    domicile policy push --timestamp FILE\n"
    "    domicile policy rollout status [--watch]\n"
    "    domicile policy rollout promote|pause|resume|abort [--version N] [--reason TEXT]\n"
    "    domicile policy freeze --reason TEXT [SIGNER]\n"
    "    domicile policy unfreeze --reason TEXT [SIGNER]\n"
    "    domicile policy freeze|unfreeze --order FILE\n"
    "    domicile policy freeze|unfreeze --reason TEXT --out FILE SIGNER\n"
    "\n"
    "DESCRIPTION\n"
    "    push      begins the roll-out of what was signed. A router in development takes a plain\n"
    "              policy file too.\n"
    "    rollout   says where it is, or steers it. promote goes one step on; abort goes back to\n"
    "              the last enforced version.\n"
    "    freeze    nothing crosses a border from now on; one key of the policy's role is enough.\n"
    "              unfreeze takes as many as its threshold: write the order with --out, have the\n"
    "              others add theirs with `domicile policy sign FILE`, send it with --order within\n"
    "              ten minutes.\n"
    "\n"
    "SIGNER\n"
    "    --key FILE, --command CMD --vkey FILE: see domicile policy sign --help\n"
    "\n"
    "WHO ASKS\n"
    "    --address, --cert, --tls-key, --ca, --server-name, --service, --region and the context\n"
    "    file, as for domicile record (whose --key is --tls-key, or --key-file, here)\n"
    "\n"
    "OPTIONS\n"
    "    --timeout-ms N      default 10000; 0: as long as it takes\n"
    "    --format text|json  --watch prints one JSON object a line\n"
    "\n"
    "EXIT STATUS\n"
    "    0 done; 1 failed; 3 usage; 4 refused.\n";

enum {
    OPT_TIMESTAMP = 256,
    OPT_WATCH,
    OPT_VERSION,
    OPT_REASON,
    OPT_KEY,
    OPT_COMMAND,
    OPT_VKEY,
    OPT_ORDER,
    OPT_OUT,
    OPT_HELP
};

static const struct option s_options[] = {
    DOM_PEER_WHO_OPTIONS,
    {"key-file", required_argument, NULL, DOM_PEER_OPT_KEY},
    {"format", required_argument, NULL, DOM_PEER_OPT_FORMAT},
    {"timestamp", required_argument, NULL, OPT_TIMESTAMP},
    {"watch", no_argument, NULL, OPT_WATCH},
    {"version", required_argument, NULL, OPT_VERSION},
    {"reason", required_argument, NULL, OPT_REASON},
    {"key", required_argument, NULL, OPT_KEY},
    {"command", required_argument, NULL, OPT_COMMAND},
    {"vkey", required_argument, NULL, OPT_VKEY},
    {"order", required_argument, NULL, OPT_ORDER},
    {"out", required_argument, NULL, OPT_OUT},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0}};

struct args {
    struct dom_peer peer;
    const char *word; /* BUNDLE, or what to do with the roll-out */
    const char *timestamp;
    bool watch;
    int64_t version;
    const char *reason;
    struct dom_signing signing;
    const char *order;
    const char *out;
    bool help;
};

static bool take_number(const char *text, int64_t *out)
{
    char *end = NULL;

    *out = strtoll(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out >= 0;
}

static bool take_option(struct args *args, int option, const char *value)
{
    switch (option) {
    case OPT_TIMESTAMP:
        args->timestamp = value;
        return true;
    case OPT_WATCH:
        args->watch = true;
        return true;
    case OPT_VERSION:
        return take_number(value, &args->version);
    case OPT_REASON:
        args->reason = value;
        return value[0] != '\0';
    case OPT_KEY:
        if (args->signing.num_keys == DOM_SIGNING_KEYS_MAX) {
            return false;
        }
        args->signing.keys[args->signing.num_keys++] = value;
        return true;
    case OPT_COMMAND:
        args->signing.command = value;
        return true;
    case OPT_VKEY:
        args->signing.vkey = value;
        return true;
    case OPT_ORDER:
        args->order = value;
        return true;
    case OPT_OUT:
        args->out = value;
        return true;
    case OPT_HELP:
        args->help = true;
        return true;
    default:
        return false;
    }
}

/* True: go on, with the peer open. Else *status is what to return. */
static bool begin(struct args *args, int argc, char **argv, int words_min, int words_max,
                  int *status)
{
    int option = 0;

    memset(args, 0, sizeof(*args));
    *status = DOM_EXIT_USAGE;
    if (!dom_peer_init(&args->peer, "policy")) {
        return false;
    }
    optind = 0;
    while ((option = getopt_long(argc, argv, "", s_options, NULL)) != -1) {
        if (option == '?') {
            return false;
        }
        if (dom_peer_is_option(option)) {
            if (!dom_peer_option(&args->peer, option, optarg)) {
                return false; /* what is wrong has been said */
            }
        } else if (!take_option(args, option, optarg)) {
            (void)dom_policy_usage("bad or too many values:", optarg);
            return false;
        }
    }
    if (args->help) {
        (void)fputs(s_help, stdout);
        *status = DOM_EXIT_OK;
        return false;
    }
    int num_words = argc - optind;
    if (num_words < words_min || num_words > words_max) {
        (void)dom_policy_usage("wrong number of arguments for", argv[0]);
        return false;
    }
    args->word = num_words == 1 ? argv[optind] : NULL;
    return dom_peer_open(&args->peer, "policy");
}

static int failed(const struct dom_error *err)
{
    (void)fprintf(stderr, "domicile policy: %s\n", err->message);
    return err->code == DOM_USAGE ? DOM_EXIT_USAGE : DOM_EXIT_FAILED;
}

static ProtobufCBinaryData bytes_of(struct dom_slice slice)
{
    ProtobufCBinaryData out = {.len = slice.len, .data = NULL};

    /* protobuf-c's struct is not const; packing only reads. */
    memcpy(&out.data, &slice.data, sizeof(slice.data));
    return out;
}

static ProtobufCBinaryData text_of(const char *text)
{
    return bytes_of(dom_slice_str(text == NULL ? "" : text));
}

/* Calls; every answer begins with the roll-out, so one message reads them all. */
static Domicile__V1__PushPolicyResponse *call(struct args *args, const char *path,
                                              const ProtobufCMessage *message, int *status)
{
    struct dom_rpc_result result = {0};
    Domicile__V1__PushPolicyResponse *response = NULL;
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(len + 1);

    *status = DOM_EXIT_FAILED;
    if (bytes != NULL) {
        (void)protobuf_c_message_pack(message, bytes);
        if (dom_rpc_client_call(args->peer.client, path, dom_slice_of(bytes, len),
                                args->peer.timeout_ms, &result)) {
            response = domicile__v1__push_policy_response__unpack(NULL, result.reply.len,
                                                                  result.reply.data);
            *status = response == NULL || response->rollout == NULL ? DOM_EXIT_FAILED : DOM_EXIT_OK;
        } else {
            *status = dom_peer_failed(&args->peer, "policy", &result);
        }
    }
    free(bytes);
    dom_rpc_result_cleanup(&result);
    return response;
}

static int call_and_print(struct args *args, const char *path, const ProtobufCMessage *message)
{
    int status = 0;
    Domicile__V1__PushPolicyResponse *response = call(args, path, message, &status);

    if (status == DOM_EXIT_OK) {
        dom_print_rollout(response->rollout, args->peer.json, false);
    }
    if (response != NULL) {
        domicile__v1__push_policy_response__free_unpacked(response, NULL);
    }
    return status;
}

/* ---- push -------------------------------------------------------------------------------- */

int dom_policy_push_verb(int argc, char **argv)
{
    Domicile__V1__PushPolicyRequest request = DOMICILE__V1__PUSH_POLICY_REQUEST__INIT;
    struct dom_buffer bundle = {0};
    struct dom_buffer timestamp = {0};
    struct dom_error err = {0};
    struct args args;
    int status = 0;

    if (!begin(&args, argc, argv, 0, 1, &status)) {
        return status;
    }
    enum dom_code rc = args.word == NULL && args.timestamp == NULL
                           ? DOM_FAIL(&err, DOM_USAGE, "push needs BUNDLE or --timestamp FILE")
                           : DOM_OK;
    if (rc == DOM_OK && args.word != NULL) {
        rc = dom_file_read(&bundle, args.word, DOM_POLICY_BUNDLE_BYTES_MAX, &err);
    }
    if (rc == DOM_OK && args.timestamp != NULL) {
        rc = dom_file_read(&timestamp, args.timestamp, DOM_BUNDLE_NOTE_BYTES_MAX, &err);
    }
    request.bundle = bytes_of(dom_buffer_slice(&bundle));
    request.timestamp = bytes_of(dom_buffer_slice(&timestamp));
    status = rc == DOM_OK ? call_and_print(&args, SERVICE "PushPolicy", &request.base)
                          : failed(&err);
    dom_buffer_cleanup(&bundle);
    dom_buffer_cleanup(&timestamp);
    dom_peer_close(&args.peer);
    return status;
}

/* ---- rollout ----------------------------------------------------------------------------- */

struct watching {
    const struct args *args;
    bool again;
};

static bool on_change(void *arg, struct dom_slice message)
{
    struct watching *watching = arg;
    Domicile__V1__WatchRolloutResponse *response =
        domicile__v1__watch_rollout_response__unpack(NULL, message.len, message.data);

    if (response == NULL || response->rollout == NULL) {
        return false;
    }
    dom_print_rollout(response->rollout, watching->args->peer.json, watching->again);
    watching->again = true;
    domicile__v1__watch_rollout_response__free_unpacked(response, NULL);
    return true;
}

static int watch(struct args *args)
{
    struct watching watching = {.args = args};
    struct dom_rpc_result result = {0};

    (void)dom_rpc_client_stream(args->peer.client, SERVICE "WatchRollout", dom_slice_of(NULL, 0),
                                0, on_change, &watching, &result);
    int status = dom_peer_failed(&args->peer, "policy rollout", &result);
    dom_rpc_result_cleanup(&result);
    return status;
}

static int steer(struct args *args)
{
    Domicile__V1__GetRolloutRequest get = DOMICILE__V1__GET_ROLLOUT_REQUEST__INIT;
    Domicile__V1__PromoteRolloutRequest promote = DOMICILE__V1__PROMOTE_ROLLOUT_REQUEST__INIT;
    Domicile__V1__PauseRolloutRequest pause = DOMICILE__V1__PAUSE_ROLLOUT_REQUEST__INIT;
    Domicile__V1__ResumeRolloutRequest resume = DOMICILE__V1__RESUME_ROLLOUT_REQUEST__INIT;
    Domicile__V1__AbortRolloutRequest abort_it = DOMICILE__V1__ABORT_ROLLOUT_REQUEST__INIT;

    if (strcmp(args->word, "status") == 0) {
        return args->watch ? watch(args) : call_and_print(args, SERVICE "GetRollout", &get.base);
    }
    if (strcmp(args->word, "promote") == 0) {
        promote.version = args->version;
        return call_and_print(args, SERVICE "PromoteRollout", &promote.base);
    }
    if (strcmp(args->word, "pause") == 0) {
        pause.version = args->version;
        return call_and_print(args, SERVICE "PauseRollout", &pause.base);
    }
    if (strcmp(args->word, "resume") == 0) {
        resume.version = args->version;
        return call_and_print(args, SERVICE "ResumeRollout", &resume.base);
    }
    if (strcmp(args->word, "abort") == 0) {
        abort_it.version = args->version;
        abort_it.reason = text_of(args->reason);
        return call_and_print(args, SERVICE "AbortRollout", &abort_it.base);
    }
    return dom_policy_usage("rollout status, promote, pause, resume or abort, not", args->word);
}

int dom_policy_rollout_verb(int argc, char **argv)
{
    struct args args;
    int status = 0;

    if (!begin(&args, argc, argv, 1, 1, &status)) {
        return status;
    }
    status = steer(&args);
    dom_peer_close(&args.peer);
    return status;
}

/* ---- freeze ------------------------------------------------------------------------------ */

/* The order for the router's own policy, signed. */
static enum dom_code make_order(struct args *args, bool freeze, struct dom_buffer *out,
                                struct dom_error *err)
{
    Domicile__V1__GetRolloutRequest get = DOMICILE__V1__GET_ROLLOUT_REQUEST__INIT;
    struct dom_order order = {.freeze = freeze,
                              .time_ms = dom_clock_wall_ms(dom_clock_system()) / 1000 * 1000,
                              .reason = dom_slice_str(args->reason)};
    char name[DOM_POLICY_NAME_BYTES_MAX + 1] = "";
    struct dom_buffer text = {0};
    int status = 0;

    Domicile__V1__PushPolicyResponse *now = call(args, SERVICE "GetRollout", &get.base, &status);
    if (status == DOM_EXIT_OK) {
        (void)dom_slice_to_cstr(
            dom_slice_of(now->rollout->policy.data, now->rollout->policy.len), name, sizeof(name));
    }
    if (now != NULL) {
        domicile__v1__push_policy_response__free_unpacked(now, NULL);
    }
    enum dom_code rc = status == DOM_EXIT_OK
                           ? dom_order_text(&order, name, &text, err)
                           : DOM_FAIL(err, DOM_UNAVAILABLE, "the router does not say its policy");
    if (rc == DOM_OK) {
        dom_buffer_append_slice(out, dom_buffer_slice(&text));
        dom_buffer_append_char(out, '\n');
        rc = dom_signing_lines(&args->signing, dom_buffer_slice(&text), out, err);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

static int send_order(struct args *args, bool freeze, struct dom_slice order)
{
    Domicile__V1__FreezePolicyRequest on = DOMICILE__V1__FREEZE_POLICY_REQUEST__INIT;
    Domicile__V1__UnfreezePolicyRequest off = DOMICILE__V1__UNFREEZE_POLICY_REQUEST__INIT;

    on.order = bytes_of(order);
    on.reason = text_of(args->reason);
    off.order = on.order;
    off.reason = on.reason;
    return freeze ? call_and_print(args, SERVICE "FreezePolicy", &on.base)
                  : call_and_print(args, SERVICE "UnfreezePolicy", &off.base);
}

static int give_order(int argc, char **argv, bool freeze)
{
    struct dom_buffer order = {0};
    struct dom_error err = {0};
    struct args args;
    enum dom_code rc = DOM_OK;
    int status = 0;

    if (!begin(&args, argc, argv, 0, 0, &status)) {
        return status;
    }
    bool signs = args.signing.num_keys > 0 || args.signing.command != NULL || args.out != NULL;
    if ((args.order == NULL) == (args.reason == NULL)) {
        rc = DOM_FAIL(&err, DOM_USAGE, "%s needs --reason TEXT, or --order FILE", argv[0]);
    } else if (args.order != NULL) {
        rc = dom_file_read(&order, args.order, DOM_BUNDLE_NOTE_BYTES_MAX, &err);
    } else if (signs) {
        rc = make_order(&args, freeze, &order, &err);
    }
    if (rc == DOM_OK && args.out != NULL) {
        rc = dom_file_write_atomic(args.out, dom_buffer_slice(&order), 0644, &err);
    }
    if (rc != DOM_OK) {
        status = failed(&err);
    } else {
        status = args.out != NULL ? DOM_EXIT_OK : send_order(&args, freeze, dom_buffer_slice(&order));
    }
    dom_buffer_cleanup(&order);
    dom_peer_close(&args.peer);
    return status;
}

int dom_policy_freeze_verb(int argc, char **argv)
{
    return give_order(argc, argv, true);
}

int dom_policy_unfreeze_verb(int argc, char **argv)
{
    return give_order(argc, argv, false);
}
