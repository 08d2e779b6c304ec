#include "router/rpc/load.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <stdlib.h>

#include "base/assert.h"
#include "router/rpc/client_internal.h"
#include "router/rpc/library.h"

#define LANE_MAGIC 0x6c616e65U

struct load;

/* One call at a time, again and again. */
struct lane {
    uint32_t magic;
    struct load *load;
    grpc_channel *channel;
    void *registered;
    grpc_call *call;
    uint64_t number;
    uint64_t begun_ns;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice status_text;
    grpc_byte_buffer *received;
    grpc_byte_buffer *sent;
    size_t sent_bytes; /* the transport empties `sent` */
};

struct load {
    const struct dom_rpc_load_options *options;
    struct dom_rpc_load_result *result;
    grpc_completion_queue *cq;
    grpc_channel *channels[DOM_RPC_LOAD_CHANNELS_MAX];
    struct lane *lanes;
    size_t num_lanes;
    size_t num_active;
    grpc_metadata metadata[DOM_RPC_CLIENT_METADATA_MAX];
    struct dom_buffer request;
    uint64_t next_number;
    uint64_t begun_ns;
    uint64_t counted_from_ns;
    uint64_t until_ns; /* UINT64_MAX: by number */
    uint64_t last_ns;
};

static uint64_t now_ns(void)
{
    gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);

    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static bool more_wanted(const struct load *load, uint64_t now)
{
    if (load->options->num_calls > 0 && load->next_number >= load->options->num_calls) {
        return false;
    }
    return now < load->until_ns;
}

static void begin(struct lane *lane)
{
    struct load *load = lane->load;
    grpc_op ops[6];

    lane->number = load->next_number++;
    dom_buffer_clear(&load->request);
    load->options->make_request(load->options->arg, lane->number, &load->request);
    DOM_ASSERT(!load->request.failed);
    grpc_slice body =
        grpc_slice_from_copied_buffer((const char *)load->request.data, load->request.len);
    lane->sent = grpc_raw_byte_buffer_create(&body, 1);
    grpc_slice_unref(body);
    lane->sent_bytes = load->request.len;
    lane->begun_ns = now_ns();
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (load->options->timeout_ms > 0) {
        deadline =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                         gpr_time_from_millis((int64_t)load->options->timeout_ms, GPR_TIMESPAN));
    }
    lane->call = grpc_channel_create_registered_call(lane->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                                     load->cq, lane->registered, deadline, NULL);
    grpc_metadata_array_init(&lane->initial);
    grpc_metadata_array_init(&lane->trailing);
    lane->status_text = grpc_empty_slice();
    lane->received = NULL;
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = load->options->num_metadata;
    ops[0].data.send_initial_metadata.metadata = load->metadata;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = lane->sent;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &lane->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &lane->received;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &lane->trailing;
    ops[5].data.recv_status_on_client.status = &lane->status;
    ops[5].data.recv_status_on_client.status_details = &lane->status_text;
    grpc_call_error rc = grpc_call_start_batch(lane->call, ops, 6, lane, NULL);
    DOM_ASSERT(rc == GRPC_CALL_OK);
    load->num_active++;
}

/* Hands the answer on as one run of bytes. */
static void show_reply(struct lane *lane)
{
    const struct dom_rpc_load_options *options = lane->load->options;
    grpc_byte_buffer_reader reader;
    grpc_slice all = grpc_empty_slice();

    if (options->on_reply == NULL) {
        return;
    }
    if (lane->received != NULL && grpc_byte_buffer_reader_init(&reader, lane->received) != 0) {
        all = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    options->on_reply(options->arg, lane->number, (int)lane->status,
                      dom_slice_of(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)));
    grpc_slice_unref(all);
}

static void account(struct lane *lane, uint64_t now)
{
    struct load *load = lane->load;
    struct dom_rpc_load_result *result = load->result;

    if (lane->begun_ns < load->counted_from_ns) {
        return;
    }
    result->num_calls++;
    result->by_status[lane->status <= 16 ? lane->status : GRPC_STATUS_UNKNOWN]++;
    result->request_bytes += lane->sent_bytes;
    if (lane->received != NULL) {
        result->reply_bytes += grpc_byte_buffer_length(lane->received);
    }
    if (lane->status == GRPC_STATUS_OK) {
        dom_rpc_histogram_add(&result->latency, now - lane->begun_ns);
    }
    load->last_ns = now;
}

static void end(struct lane *lane)
{
    lane->load->num_active--;
    show_reply(lane);
    grpc_byte_buffer_destroy(lane->sent);
    grpc_byte_buffer_destroy(lane->received);
    grpc_slice_unref(lane->status_text);
    grpc_metadata_array_destroy(&lane->initial);
    grpc_metadata_array_destroy(&lane->trailing);
    grpc_call_unref(lane->call);
}

static void loop(struct load *load)
{
    gpr_timespec forever = gpr_inf_future(GPR_CLOCK_MONOTONIC);

    for (size_t i = 0; i < load->num_lanes && more_wanted(load, now_ns()); i++) {
        begin(&load->lanes[i]);
    }
    while (load->num_active > 0) {
        grpc_event event = grpc_completion_queue_next(load->cq, forever, NULL);
        DOM_ASSERT(event.type == GRPC_OP_COMPLETE);
        struct lane *lane = event.tag;
        DOM_CHECK_MAGIC(lane, LANE_MAGIC);
        uint64_t now = now_ns();
        account(lane, now);
        end(lane);
        if (more_wanted(load, now)) {
            begin(lane);
        }
    }
}

static enum dom_code check_options(const struct dom_rpc_load_options *options,
                                   struct dom_error *err)
{
    if (options->channels == 0 || options->channels > DOM_RPC_LOAD_CHANNELS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "channels must be 1 to %u", DOM_RPC_LOAD_CHANNELS_MAX);
    }
    if (options->outstanding == 0 ||
        options->outstanding > DOM_RPC_LOAD_OUTSTANDING_MAX / options->channels) {
        return DOM_FAIL(err, DOM_INVALID, "calls outstanding must be 1 to %u in all",
                        DOM_RPC_LOAD_OUTSTANDING_MAX);
    }
    if (options->num_calls == 0 && options->duration_ms == 0) {
        return DOM_FAIL(err, DOM_INVALID, "neither a number of calls nor a duration is given");
    }
    if (options->num_metadata > DOM_RPC_CLIENT_METADATA_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "more than %u metadata pairs",
                        DOM_RPC_CLIENT_METADATA_MAX);
    }
    return DOM_OK;
}

static enum dom_code open_channels(struct load *load, struct dom_error *err)
{
    const struct dom_rpc_load_options *options = load->options;
    grpc_channel_credentials *creds = NULL;

    enum dom_code code = dom_rpc_client_credentials(&creds, options->tls, err);
    if (code != DOM_OK) {
        return code;
    }
    for (unsigned i = 0; i < options->channels; i++) {
        load->channels[i] = dom_rpc_client_channel(options->target, creds, options->tls);
        if (load->channels[i] == NULL) {
            code = DOM_FAIL(err, DOM_INVALID, "`%s` is not a target", options->target);
            break;
        }
        void *registered = grpc_channel_register_call(load->channels[i], options->path, NULL, NULL);
        for (unsigned k = 0; k < options->outstanding; k++) {
            load->lanes[load->num_lanes++] = (struct lane){.magic = LANE_MAGIC,
                                                           .load = load,
                                                           .channel = load->channels[i],
                                                           .registered = registered};
        }
    }
    grpc_channel_credentials_release(creds);
    return code;
}

static void close_all(struct load *load)
{
    for (unsigned i = 0; i < load->options->channels && load->channels[i] != NULL; i++) {
        grpc_channel_destroy(load->channels[i]);
    }
    grpc_completion_queue_shutdown(load->cq);
    while (grpc_completion_queue_next(load->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(load->cq);
    dom_rpc_client_metadata_free(load->metadata, load->options->num_metadata);
    dom_buffer_cleanup(&load->request);
    free(load->lanes);
    dom_rpc_library_unref();
}

enum dom_code dom_rpc_load_run(struct dom_rpc_load_result *result,
                               const struct dom_rpc_load_options *options, struct dom_error *err)
{
    struct load load = {.options = options, .result = result, .until_ns = UINT64_MAX};

    memset(result, 0, sizeof(*result));
    enum dom_code code = check_options(options, err);
    if (code != DOM_OK) {
        return code;
    }
    load.lanes = calloc((size_t)options->channels * options->outstanding, sizeof(*load.lanes));
    DOM_ASSERT(load.lanes != NULL);
    dom_rpc_library_ref();
    load.cq = grpc_completion_queue_create_for_next(NULL);
    dom_rpc_client_metadata_copy(load.metadata, options->metadata, options->num_metadata);
    code = open_channels(&load, err);
    if (code == DOM_OK) {
        load.begun_ns = now_ns();
        load.counted_from_ns = load.begun_ns + options->warmup_ms * 1000000U;
        load.last_ns = load.counted_from_ns;
        if (options->duration_ms > 0) {
            load.until_ns = load.counted_from_ns + options->duration_ms * 1000000U;
        }
        loop(&load);
        result->elapsed_ns = load.last_ns - load.counted_from_ns;
    }
    close_all(&load);
    return code;
}
