#include "router/rpc/client.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/limits.h"
#include "router/rpc/client_internal.h"
#include "router/rpc/library.h"

#define PEM_BYTES_MAX (1U << 20)

struct dom_rpc_client {
    grpc_channel *channel;
    grpc_completion_queue *cq;
    grpc_metadata metadata[DOM_RPC_CLIENT_METADATA_MAX];
    size_t num_metadata;
};

/* ---- channels --------------------------------------------------------------------------- */

static grpc_arg int_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};

    arg.value.integer = value;
    return arg;
}

#define SESSIONS_MAX 64U

struct dom_rpc_sessions {
    grpc_ssl_session_cache *cache;
};

struct dom_rpc_sessions *dom_rpc_sessions_new(void)
{
    struct dom_rpc_sessions *sessions = calloc(1, sizeof(*sessions));

    DOM_ASSERT(sessions != NULL);
    dom_rpc_library_ref();
    sessions->cache = grpc_ssl_session_cache_create_lru(SESSIONS_MAX);
    return sessions;
}

void dom_rpc_sessions_destroy(struct dom_rpc_sessions *sessions)
{
    if (sessions != NULL) {
        grpc_ssl_session_cache_destroy(sessions->cache);
        free(sessions);
        dom_rpc_library_unref();
    }
}

static enum dom_code read_pem(struct dom_buffer *out, const char *path, bool secret,
                              struct dom_error *err)
{
    enum dom_code code = secret ? dom_file_read_secret(out, path, PEM_BYTES_MAX, err)
                                : dom_file_read(out, path, PEM_BYTES_MAX, err);

    if (code == DOM_OK) {
        dom_buffer_append_char(out, '\0');
    }
    return code;
}

enum dom_code dom_rpc_client_credentials(grpc_channel_credentials **credsp,
                                         const struct dom_rpc_client_tls *tls,
                                         struct dom_error *err)
{
    struct dom_buffer cert = {0};
    struct dom_buffer key = {0};
    struct dom_buffer ca = {0};

    *credsp = NULL;
    if (tls == NULL) {
        *credsp = grpc_insecure_credentials_create();
        return DOM_OK;
    }
    enum dom_code code = read_pem(&cert, tls->cert, false, err);
    if (code == DOM_OK) {
        code = read_pem(&key, tls->key, true, err);
    }
    if (code == DOM_OK) {
        code = read_pem(&ca, tls->ca, false, err);
    }
    if (code == DOM_OK) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = (const char *)key.data,
                                           .cert_chain = (const char *)cert.data};
        *credsp = grpc_ssl_credentials_create_ex((const char *)ca.data, &pair, NULL, NULL);
        if (*credsp == NULL) {
            code = DOM_FAIL(err, DOM_INVALID, "%s, %s or %s is not usable", tls->cert, tls->key,
                            tls->ca);
        }
    }
    if (key.data != NULL) {
        OPENSSL_cleanse(key.data, key.len);
    }
    dom_buffer_cleanup(&cert);
    dom_buffer_cleanup(&key);
    dom_buffer_cleanup(&ca);
    return code;
}

grpc_channel *dom_rpc_client_channel(const char *target, grpc_channel_credentials *creds,
                                     const struct dom_rpc_client_tls *tls)
{
    grpc_arg args[12] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, DOM_MESSAGE_BYTES_MAX),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, DOM_METADATA_BYTES_MAX),
        int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        int_arg(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0),
        /* Otherwise channels with equal arguments share one connection. */
        int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        /* A retry that nobody asked for would hide what the server said. */
        int_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
    };
    size_t num = 8;

    if (tls != NULL && tls->server_name != NULL) {
        args[num++] = (grpc_arg){.type = GRPC_ARG_STRING,
                                 .key = (char *)(uintptr_t)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
                                 .value.string = (char *)(uintptr_t)tls->server_name};
    }
    if (tls != NULL && tls->sessions != NULL) {
        args[num++] = grpc_ssl_session_cache_create_channel_arg(tls->sessions->cache);
    }
    DOM_ASSERT(num <= DOM_ARRAY_LEN(args));
    grpc_channel_args all = {.num_args = num, .args = args};
    return grpc_channel_create(target, creds, &all);
}

void dom_rpc_client_metadata_copy(grpc_metadata *out, const struct dom_rpc_metadata *in, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        memset(&out[i], 0, sizeof(out[i]));
        out[i].key = grpc_slice_from_copied_string(in[i].key);
        out[i].value = grpc_slice_from_copied_string(in[i].value);
    }
}

void dom_rpc_client_metadata_free(grpc_metadata *metadata, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        grpc_slice_unref(metadata[i].key);
        grpc_slice_unref(metadata[i].value);
    }
}

enum dom_code dom_rpc_client_new(struct dom_rpc_client **clientp,
                                 const struct dom_rpc_client_options *options,
                                 struct dom_error *err)
{
    *clientp = NULL;
    if (options->num_metadata > DOM_RPC_CLIENT_METADATA_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "more than %u metadata pairs",
                        DOM_RPC_CLIENT_METADATA_MAX);
    }
    for (size_t i = 0; i < options->num_metadata; i++) {
        grpc_slice key = grpc_slice_from_static_string(options->metadata[i].key);
        grpc_slice value = grpc_slice_from_static_string(options->metadata[i].value);
        if (!grpc_header_key_is_legal(key) || !grpc_header_nonbin_value_is_legal(value)) {
            return DOM_FAIL(err, DOM_INVALID, "metadata `%s` is not legal",
                            options->metadata[i].key);
        }
    }
    grpc_channel_credentials *creds = NULL;
    struct dom_rpc_client *client = calloc(1, sizeof(*client));
    DOM_ASSERT(client != NULL);
    dom_rpc_library_ref();
    enum dom_code code = dom_rpc_client_credentials(&creds, options->tls, err);
    client->cq = grpc_completion_queue_create_for_next(NULL);
    client->num_metadata = options->num_metadata;
    dom_rpc_client_metadata_copy(client->metadata, options->metadata, options->num_metadata);
    if (code == DOM_OK) {
        client->channel = dom_rpc_client_channel(options->target, creds, options->tls);
        if (client->channel == NULL) {
            code = DOM_FAIL(err, DOM_INVALID, "`%s` is not a target", options->target);
        }
        grpc_channel_credentials_release(creds);
    }
    if (code != DOM_OK) {
        dom_rpc_client_destroy(client);
        return code;
    }
    *clientp = client;
    return DOM_OK;
}

void dom_rpc_client_destroy(struct dom_rpc_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->channel != NULL) {
        grpc_channel_destroy(client->channel);
    }
    grpc_completion_queue_shutdown(client->cq);
    while (grpc_completion_queue_next(client->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(client->cq);
    dom_rpc_client_metadata_free(client->metadata, client->num_metadata);
    free(client);
    dom_rpc_library_unref();
}

void dom_rpc_result_cleanup(struct dom_rpc_result *result)
{
    dom_buffer_cleanup(&result->message);
    dom_buffer_cleanup(&result->details);
    dom_buffer_cleanup(&result->reply);
    memset(result, 0, sizeof(*result));
}

/* ---- one call --------------------------------------------------------------------------- */

/* A call on its way; its tags are the addresses of the two markers. */
struct pending {
    grpc_call *call;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice status_text;
    grpc_byte_buffer *received;
    char on_status;
    char on_message;
};

static gpr_timespec deadline_of(uint64_t timeout_ms)
{
    if (timeout_ms == 0 || timeout_ms > INT64_MAX / 1000000) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
}

static void append_slice(struct dom_buffer *out, grpc_slice slice)
{
    dom_buffer_append(out, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
}

static void append_message(struct dom_buffer *out, grpc_byte_buffer *in)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;

    if (in == NULL || grpc_byte_buffer_reader_init(&reader, in) == 0) {
        return;
    }
    while (grpc_byte_buffer_reader_next(&reader, &slice) != 0) {
        append_slice(out, slice);
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
}

static void must_start(grpc_call *call, const grpc_op *ops, size_t num_ops, void *tag)
{
    grpc_call_error rc = grpc_call_start_batch(call, ops, num_ops, tag, NULL);

    DOM_ASSERT(rc == GRPC_CALL_OK);
}

/* Sends everything there is to send and asks for the status. */
static void begin(struct dom_rpc_client *client, struct pending *pending, const char *path,
                  struct dom_slice request, uint64_t timeout_ms)
{
    grpc_slice method = grpc_slice_from_copied_string(path);
    grpc_slice body = grpc_slice_from_copied_buffer((const char *)request.data, request.len);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&body, 1);
    grpc_op ops[5];

    memset(pending, 0, sizeof(*pending));
    memset(ops, 0, sizeof(ops));
    grpc_metadata_array_init(&pending->initial);
    grpc_metadata_array_init(&pending->trailing);
    pending->status_text = grpc_empty_slice();
    pending->call =
        grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->cq, method,
                                 NULL, deadline_of(timeout_ms), NULL);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = client->num_metadata;
    ops[0].data.send_initial_metadata.metadata = client->metadata;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = message;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &pending->initial;
    ops[4].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[4].data.recv_status_on_client.trailing_metadata = &pending->trailing;
    ops[4].data.recv_status_on_client.status = &pending->status;
    ops[4].data.recv_status_on_client.status_details = &pending->status_text;
    must_start(pending->call, ops, 5, &pending->on_status);
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(body);
    grpc_slice_unref(method);
}

static void receive(struct pending *pending)
{
    grpc_op op;

    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &pending->received;
    must_start(pending->call, &op, 1, &pending->on_message);
}

static void end(struct pending *pending, struct dom_rpc_result *result)
{
    dom_buffer_clear(&result->message);
    dom_buffer_clear(&result->details);
    result->status = (int)pending->status;
    append_slice(&result->message, pending->status_text);
    for (size_t i = 0; i < pending->trailing.count; i++) {
        const grpc_metadata *md = &pending->trailing.metadata[i];
        if (grpc_slice_str_cmp(md->key, "grpc-status-details-bin") == 0) {
            append_slice(&result->details, md->value);
            break;
        }
    }
    grpc_slice_unref(pending->status_text);
    grpc_metadata_array_destroy(&pending->initial);
    grpc_metadata_array_destroy(&pending->trailing);
    grpc_call_unref(pending->call);
}

static void *next_tag(struct dom_rpc_client *client)
{
    grpc_event event =
        grpc_completion_queue_next(client->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);

    DOM_ASSERT(event.type == GRPC_OP_COMPLETE);
    return event.tag;
}

bool dom_rpc_client_call(struct dom_rpc_client *client, const char *path, struct dom_slice request,
                         uint64_t timeout_ms, struct dom_rpc_result *result)
{
    struct pending pending;

    dom_buffer_clear(&result->reply);
    result->num_messages = 0;
    begin(client, &pending, path, request, timeout_ms);
    receive(&pending);
    for (int i = 0; i < 2; i++) {
        (void)next_tag(client); /* the status and the message, in either order */
    }
    if (pending.received != NULL) {
        append_message(&result->reply, pending.received);
        result->num_messages = 1;
        grpc_byte_buffer_destroy(pending.received);
    }
    end(&pending, result);
    return result->status == 0;
}

/* Hands one message to its taker; false ends the stream. */
static bool take(struct pending *pending, struct dom_rpc_result *result,
                 bool (*on_message)(void *arg, struct dom_slice message), void *arg)
{
    dom_buffer_clear(&result->reply);
    append_message(&result->reply, pending->received);
    grpc_byte_buffer_destroy(pending->received);
    pending->received = NULL;
    result->num_messages++;
    return on_message(arg, dom_buffer_slice(&result->reply));
}

bool dom_rpc_client_stream(struct dom_rpc_client *client, const char *path,
                           struct dom_slice request, uint64_t timeout_ms,
                           bool (*on_message)(void *arg, struct dom_slice message), void *arg,
                           struct dom_rpc_result *result)
{
    struct pending pending;
    bool wanted = true;
    bool receiving = true;
    bool over = false;

    result->num_messages = 0;
    begin(client, &pending, path, request, timeout_ms);
    receive(&pending);
    while (!over || receiving) {
        void *tag = next_tag(client);
        if (tag == &pending.on_status) {
            over = true;
            continue;
        }
        receiving = false;
        if (pending.received != NULL && wanted) {
            wanted = take(&pending, result, on_message, arg);
            receiving = wanted;
        }
        if (receiving) {
            receive(&pending);
        } else if (!wanted) {
            (void)grpc_call_cancel(pending.call, NULL);
        }
    }
    end(&pending, result);
    return result->status == 0;
}
