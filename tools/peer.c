#include "tools/peer.h"

#include <stdlib.h>
#include <string.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "tools/command.h"

void dom_peer_init(struct dom_peer *peer)
{
    memset(peer, 0, sizeof(*peer));
    peer->address = getenv("DOMICILE_ADDRESS");
    peer->service = getenv("DOMICILE_SERVICE");
    peer->region = getenv("DOMICILE_REGION");
    peer->timeout_ms = 10000;
    if (peer->address == NULL) {
        peer->address = "127.0.0.1:7443";
    }
}

bool dom_peer_open(struct dom_peer *peer, const char *verb)
{
    struct dom_error err = {0};

    if (peer->service == NULL || peer->region == NULL) {
        (void)fprintf(stderr,
                      "domicile %s: who asks? give --service and --region, or set "
                      "DOMICILE_SERVICE and DOMICILE_REGION\n",
                      verb);
        return false;
    }
    const struct dom_rpc_metadata metadata[] = {{"domicile-service", peer->service},
                                                {"domicile-region", peer->region}};
    struct dom_rpc_client_options options = {
        .target = peer->address, .metadata = metadata, .num_metadata = DOM_ARRAY_LEN(metadata)};
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

static bool type_is(ProtobufCBinaryData url, const char *name)
{
    size_t len = strlen(name);

    return url.len > len && url.data[url.len - len - 1] == '/' &&
           memcmp(url.data + url.len - len, name, len) == 0;
}

int dom_peer_failed(const struct dom_peer *peer, const char *verb, struct dom_rpc_result *result)
{
    const char *message = dom_buffer_cstr(&result->message);

    (void)peer;
    (void)fprintf(stderr, "domicile %s: %s: %s\n", verb, status_name(result->status),
                  message == NULL ? "" : message);
    Google__Rpc__Status *status =
        google__rpc__status__unpack(NULL, result->details.len, result->details.data);
    for (size_t i = 0; status != NULL && i < status->n_details; i++) {
        if (type_is(status->details[i]->type_url, "google.rpc.ErrorInfo")) {
            print_info(status->details[i]->value);
        } else if (type_is(status->details[i]->type_url, "google.rpc.BadRequest")) {
            print_bad_request(status->details[i]->value);
        }
    }
    if (status != NULL) {
        google__rpc__status__free_unpacked(status, NULL);
    }
    bool refused = result->status == 7 || result->status == 16;
    return refused ? DOM_EXIT_REFUSED : DOM_EXIT_FAILED;
}
