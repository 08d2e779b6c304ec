#include "tools/peer.h"

#include <errno.h>
#include <getopt.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "tools/command.h"

#define CONTEXT_TEXT_MAX 1024U
#define STATUS_UNAVAILABLE 14

struct place {
    const char *key;
    const char *environment;
    const char **to;
    bool is_path;
};

#define NUM_PLACES 7U

static void list_places(struct dom_peer *peer, struct place places[NUM_PLACES])
{
    const struct place all[NUM_PLACES] = {
        {"address", "DOMICILE_ADDRESS", &peer->address, false},
        {"service", "DOMICILE_SERVICE", &peer->service, false},
        {"region", "DOMICILE_REGION", &peer->region, false},
        {"cert", "DOMICILE_CERT", &peer->cert, true},
        {"key", "DOMICILE_KEY", &peer->key, true},
        {"ca", "DOMICILE_CA", &peer->ca, true},
        {"server_name", "DOMICILE_SERVER_NAME", &peer->server_name, false},
    };

    memcpy(places, all, sizeof(all));
}

/* The folder of the context file; false when the environment names none. */
static bool context_folder(char *out, size_t out_size)
{
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (xdg != NULL && xdg[0] == '/') {
        return snprintf(out, out_size, "%s/domicile", xdg) < (int)out_size;
    }
    return home != NULL && home[0] == '/' &&
           snprintf(out, out_size, "%s/.config/domicile", home) < (int)out_size;
}

static bool take_context(struct place *places, config_t *parsed, const char *folder,
                         const char *path, const char *verb)
{
    static char s_texts[NUM_PLACES][CONTEXT_TEXT_MAX];
    config_setting_t *root = config_root_setting(parsed);

    for (int i = 0; i < config_setting_length(root); i++) {
        config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
        const char *text = config_setting_get_string(setting);
        size_t k = 0;
        while (k < NUM_PLACES && strcmp(places[k].key, config_setting_name(setting)) != 0) {
            k++;
        }
        if (k == NUM_PLACES || text == NULL || strlen(text) >= CONTEXT_TEXT_MAX / 2) {
            (void)fprintf(stderr, "domicile %s: %s:%u: \"%s\" is %s\n", verb, path,
                          (unsigned)config_setting_source_line(setting),
                          config_setting_name(setting),
                          k == NUM_PLACES ? "unknown" : "not a text that fits");
            return false;
        }
        bool relative = places[k].is_path && text[0] != '/';
        (void)snprintf(s_texts[k], CONTEXT_TEXT_MAX, "%s%s%s", relative ? folder : "",
                       relative ? "/" : "", text);
        *places[k].to = s_texts[k];
    }
    return true;
}

static bool read_context(struct place *places, const char *verb)
{
    char folder[CONTEXT_TEXT_MAX / 2];
    char path[CONTEXT_TEXT_MAX];
    config_t parsed;
    bool ok = true;

    if (!context_folder(folder, sizeof(folder))) {
        return true;
    }
    (void)snprintf(path, sizeof(path), "%s/context.cfg", folder);
    if (access(path, F_OK) != 0) {
        return true;
    }
    config_init(&parsed);
    if (config_read_file(&parsed, path) != CONFIG_TRUE) {
        (void)fprintf(stderr, "domicile %s: %s:%d: %s\n", verb, path, config_error_line(&parsed),
                      config_error_text(&parsed));
        ok = false;
    } else {
        ok = take_context(places, &parsed, folder, path, verb);
    }
    config_destroy(&parsed);
    return ok;
}

bool dom_peer_init(struct dom_peer *peer, const char *verb)
{
    struct place places[NUM_PLACES];

    memset(peer, 0, sizeof(*peer));
    peer->verb = verb;
    peer->timeout_ms = 10000;
    peer->address = "127.0.0.1:7443";
    list_places(peer, places);
    if (!read_context(places, verb)) {
        return false;
    }
    for (size_t i = 0; i < NUM_PLACES; i++) {
        const char *value = getenv(places[i].environment);
        if (value != NULL && value[0] != '\0') {
            *places[i].to = value;
        }
    }
    return true;
}

bool dom_peer_is_option(int option)
{
    return option >= DOM_PEER_OPT_ADDRESS && option <= DOM_PEER_OPT_FORMAT;
}

static bool take_timeout(struct dom_peer *peer, const char *text)
{
    char *end = NULL;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        (void)fprintf(stderr, "domicile %s: --timeout-ms: \"%s\" is not a whole number\n",
                      peer->verb, text);
        return false;
    }
    peer->timeout_ms = value;
    return true;
}

static bool take_format(struct dom_peer *peer, const char *text)
{
    peer->json = strcmp(text, "json") == 0;
    if (!peer->json && strcmp(text, "text") != 0) {
        (void)fprintf(stderr, "domicile %s: --format: text or json is wanted, not \"%s\"\n",
                      peer->verb, text);
        return false;
    }
    return true;
}

bool dom_peer_option(struct dom_peer *peer, int option, const char *value)
{
    struct place places[NUM_PLACES];

    if (option == DOM_PEER_OPT_TIMEOUT) {
        return take_timeout(peer, value);
    }
    if (option == DOM_PEER_OPT_FORMAT) {
        return take_format(peer, value);
    }
    if (!dom_peer_is_option(option)) {
        return false;
    }
    list_places(peer, places); /* in the order of the options */
    *places[option - DOM_PEER_OPT_ADDRESS].to = value;
    return true;
}

/* Who we are: a certificate, or names that a router in the insecure mode believes. */
static bool check_identity(const struct dom_peer *peer, const char *verb)
{
    const struct {
        const char *name;
        const char *variable;
        const char *value;
    } needed[] = {{"--cert", "DOMICILE_CERT", peer->cert},
                  {"--key", "DOMICILE_KEY", peer->key},
                  {"--ca", "DOMICILE_CA", peer->ca}};
    bool any = peer->cert != NULL || peer->key != NULL || peer->ca != NULL;

    if (!any && (peer->service == NULL || peer->region == NULL)) {
        (void)fprintf(stderr,
                      "domicile %s: who asks? give --cert, --key and --ca (DOMICILE_CERT, "
                      "DOMICILE_KEY, DOMICILE_CA, or a context file);\n"
                      "for a router in insecure-loopback mode give --service and --region "
                      "(DOMICILE_SERVICE, DOMICILE_REGION)\n",
                      verb);
        return false;
    }
    for (size_t i = 0; any && i < DOM_ARRAY_LEN(needed); i++) {
        if (needed[i].value == NULL) {
            (void)fprintf(stderr, "domicile %s: %s is missing (or set %s)\n", verb,
                          needed[i].name, needed[i].variable);
            return false;
        }
    }
    return true;
}

bool dom_peer_open(struct dom_peer *peer, const char *verb)
{
    struct dom_error err = {0};
    struct dom_rpc_metadata metadata[2];
    size_t num = 0;

    if (!check_identity(peer, verb)) {
        return false;
    }
    if (peer->service != NULL) {
        metadata[num++] = (struct dom_rpc_metadata){"domicile-service", peer->service};
    }
    if (peer->region != NULL) {
        metadata[num++] = (struct dom_rpc_metadata){"domicile-region", peer->region};
    }
    struct dom_rpc_client_tls tls = {.cert = peer->cert,
                                     .key = peer->key,
                                     .ca = peer->ca,
                                     .server_name = peer->server_name};
    struct dom_rpc_client_options options = {.target = peer->address,
                                             .metadata = metadata,
                                             .num_metadata = num,
                                             .tls = peer->cert == NULL ? NULL : &tls};
    if (dom_rpc_client_new(&peer->client, &options, &err) != DOM_OK) {
        (void)fprintf(stderr, "domicile %s: %s\n", verb, err.message);
        return false;
    }
    return true;
}

void dom_peer_close(struct dom_peer *peer)
{
    dom_rpc_client_destroy(peer->client);
    peer->client = NULL;
}

static const char *status_name(int status)
{
    static const char *const names[] = {
        "OK",           "CANCELLED",           "UNKNOWN",           "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED", "NOT_FOUND",      "ALREADY_EXISTS",    "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",     "OUT_OF_RANGE",
        "UNIMPLEMENTED", "INTERNAL",           "UNAVAILABLE",       "DATA_LOSS",
        "UNAUTHENTICATED"};

    return status >= 0 && (size_t)status < DOM_ARRAY_LEN(names) ? names[status] : "UNKNOWN";
}

static void print_info(ProtobufCBinaryData value)
{
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, value.len, value.data);

    if (info == NULL) {
        return;
    }
    (void)fprintf(stderr, "  reason: %.*s\n", (int)info->reason.len,
                  (const char *)info->reason.data);
    for (size_t i = 0; i < info->n_metadata; i++) {
        if (info->metadata[i]->value[0] != '\0') {
            (void)fprintf(stderr, "  %s: %s\n", info->metadata[i]->key, info->metadata[i]->value);
        }
    }
    google__rpc__error_info__free_unpacked(info, NULL);
}

static void print_bad_request(ProtobufCBinaryData value)
{
    Google__Rpc__BadRequest *bad = google__rpc__bad_request__unpack(NULL, value.len, value.data);

    for (size_t i = 0; bad != NULL && i < bad->n_field_violations; i++) {
        (void)fprintf(stderr, "  field: %.*s\n", (int)bad->field_violations[i]->field.len,
                      (const char *)bad->field_violations[i]->field.data);
    }
    if (bad != NULL) {
        google__rpc__bad_request__free_unpacked(bad, NULL);
    }
}

/* The lines of the explanation, each set in. */
static void print_explanation(ProtobufCBinaryData value)
{
    Google__Rpc__LocalizedMessage *told =
        google__rpc__localized_message__unpack(NULL, value.len, value.data);

    if (told == NULL) {
        return;
    }
    struct dom_slice rest = dom_slice_of(told->message.data, told->message.len);
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
        (void)fprintf(stderr, "  %.*s\n", (int)len, (const char *)rest.data);
        len += end == NULL ? 0U : 1U;
        rest = dom_slice_of(rest.data + len, rest.len - len);
    }
    google__rpc__localized_message__free_unpacked(told, NULL);
}

static bool type_is(ProtobufCBinaryData url, const char *name)
{
    size_t len = strlen(name);

    return url.len > len && url.data[url.len - len - 1] == '/' &&
           memcmp(url.data + url.len - len, name, len) == 0;
}

int dom_peer_failed(const struct dom_peer *peer, const char *verb, struct dom_rpc_result *result)
{
    const char *message = dom_buffer_cstr(&result->message);

    (void)fprintf(stderr, "domicile %s: %s: %s\n", verb, status_name(result->status),
                  message == NULL ? "" : message);
    if (result->status == STATUS_UNAVAILABLE) {
        (void)fprintf(stderr, "  is the router at %s up? %s\n", peer->address,
                      peer->cert == NULL
                          ? "if it speaks mTLS, give --cert, --key and --ca"
                          : "if so, it may not take this certificate, or this is not its CA: its "
                            "log says why (tls.handshake_refused)");
    }
    Google__Rpc__Status *status =
        google__rpc__status__unpack(NULL, result->details.len, result->details.data);
    for (size_t i = 0; status != NULL && i < status->n_details; i++) {
        if (type_is(status->details[i]->type_url, "google.rpc.ErrorInfo")) {
            print_info(status->details[i]->value);
        } else if (type_is(status->details[i]->type_url, "google.rpc.BadRequest")) {
            print_bad_request(status->details[i]->value);
        } else if (type_is(status->details[i]->type_url, "google.rpc.LocalizedMessage")) {
            print_explanation(status->details[i]->value);
        }
    }
    if (status != NULL) {
        google__rpc__status__free_unpacked(status, NULL);
    }
    bool refused = result->status == 7 || result->status == 16;
    return refused ? DOM_EXIT_REFUSED : DOM_EXIT_FAILED;
}
