#include "store/witness/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/http/http.h"
#include "base/log.h"

#define CALL           "/add-checkpoint"
#define PATH_BYTES_MAX 512U

struct dom_witness_server {
    struct dom_http *http;
    struct dom_witness_server_options options;
};

static void refuse(struct dom_http_answer *answer, unsigned status, const char *text)
{
    answer->status = status;
    dom_buffer_append_str(&answer->body, text);
}

static void cosign(const struct dom_witness_site *site, struct dom_slice body,
                   struct dom_http_answer *answer)
{
    struct dom_witness_answer said;
    struct dom_error err = {0};
    int64_t now_ms = dom_clock_wall_ms(dom_clock_system());

    enum dom_code rc = dom_witness_add_checkpoint(site->witness, site->logs, site->num_logs, body,
                                                  (uint64_t)now_ms / 1000, &said, &err);
    answer->status = said.status;
    answer->content_type = said.content_type;
    dom_buffer_append_slice(&answer->body, dom_buffer_slice(&said.body));
    dom_witness_answer_cleanup(&said);
    if (rc != DOM_OK) {
        dom_log(answer->status == 500 ? DOM_LOG_ERROR : DOM_LOG_WARN, "witness.refused",
                "witness=%s status=%u reason=\"%s\"", site->witness->signer.key.name,
                answer->status, err.message);
    }
}

static void handle(void *context, const struct dom_http_request *request,
                   struct dom_http_answer *answer)
{
    const struct dom_witness_server *server = context;
    struct dom_witness_site site = {0};
    char prefix[PATH_BYTES_MAX];
    size_t len = strlen(request->path);
    size_t call = sizeof(CALL) - 1;

    if (len < call || len - call >= sizeof(prefix) ||
        strcmp(request->path + len - call, CALL) != 0) {
        refuse(answer, 404, "only <prefix>/add-checkpoint is here\n");
        return;
    }
    memcpy(prefix, request->path, len - call);
    prefix[len - call] = '\0';
    if (!server->options.find(server->options.context, prefix, &site)) {
        refuse(answer, 404, "no witness is here\n");
    } else if (strcmp(request->method, "POST") != 0) {
        refuse(answer, 405, "only POST\n");
    } else {
        cosign(&site, request->body, answer);
    }
}

enum dom_code dom_witness_server_start(struct dom_witness_server **serverp,
                                       const struct dom_witness_server_options *options,
                                       struct dom_error *err)
{
    *serverp = NULL;
    struct dom_witness_server *server = calloc(1, sizeof(*server));
    DOM_ASSERT(server != NULL);
    server->options = *options;
    server->options.address = NULL;
    struct dom_http_options http = {.address = options->address,
                                    .what = "witness",
                                    .body_bytes_max = DOM_WITNESS_REQUEST_BYTES_MAX,
                                    .answer_bytes_max = DOM_WITNESS_REQUEST_BYTES_MAX,
                                    .handle = handle,
                                    .context = server};
    enum dom_code rc = dom_http_start(&server->http, &http, err);
    if (rc != DOM_OK) {
        free(server);
        return rc;
    }
    *serverp = server;
    return DOM_OK;
}

unsigned dom_witness_server_port(const struct dom_witness_server *server)
{
    return dom_http_port(server->http);
}

void dom_witness_server_stop(struct dom_witness_server *server)
{
    if (server != NULL) {
        dom_http_stop(server->http);
        free(server);
    }
}
