/* grpc.reflection v1 and v1alpha: the same bytes under two names. */
#include <stdlib.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "router/rpc/descriptor.h"
#include "router/rpc/internal.h"
#include "router/rpc/proto.h"

#define REQUEST(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define RESPONSE(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

struct dom_rpc_reflection {
    struct dom_rpc_descriptors *index;
    struct dom_slice *served; /* names of the services that have a method here */
    size_t num_served;
};

/* True if the path is "/SERVICE/...". */
static bool is_of(const char *path, struct dom_slice service)
{
    struct dom_slice text = dom_slice_str(path);

    return text.len > service.len + 2 && text.data[service.len + 1] == '/' &&
           dom_slice_eq(dom_slice_of(text.data + 1, service.len), service);
}

enum dom_code dom_rpc_reflection_new(struct dom_rpc_reflection **reflectionp, struct dom_slice set,
                                     const struct dom_rpc_bound *methods, size_t num_methods,
                                     struct dom_error *err)
{
    struct dom_rpc_descriptors *index = NULL;

    *reflectionp = NULL;
    enum dom_code code = dom_rpc_descriptors_new(&index, set, err);
    if (code != DOM_OK) {
        return code;
    }
    size_t num = dom_rpc_descriptors_num_services(index);
    struct dom_rpc_reflection *reflection = calloc(1, sizeof(*reflection));
    DOM_ASSERT(reflection != NULL);
    reflection->index = index;
    reflection->served = calloc(num + 1, sizeof(*reflection->served));
    DOM_ASSERT(reflection->served != NULL);
    for (size_t i = 0; i < num; i++) {
        struct dom_slice service = dom_rpc_descriptors_service(index, i);
        for (size_t m = 0; m < num_methods; m++) {
            if (is_of(methods[m].method.path, service)) {
                reflection->served[reflection->num_served++] = service;
                break;
            }
        }
    }
    *reflectionp = reflection;
    return DOM_OK;
}

void dom_rpc_reflection_destroy(struct dom_rpc_reflection *reflection)
{
    if (reflection == NULL) {
        return;
    }
    dom_rpc_descriptors_destroy(reflection->index);
    free(reflection->served);
    free(reflection);
}

/* ---- answers ---------------------------------------------------------------------------- */

/* The parts of one answer, so that none needs an allocation of its own. */
struct answer {
    Grpc__Reflection__V1__ServerReflectionResponse response;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    Grpc__Reflection__V1__ListServiceResponse list;
    Grpc__Reflection__V1__ErrorResponse error;
    ProtobufCBinaryData file;
};

static ProtobufCBinaryData binary(struct dom_slice bytes)
{
    return (ProtobufCBinaryData){.len = bytes.len, .data = (uint8_t *)(uintptr_t)bytes.data};
}

static void answer_error(struct answer *answer, int status, const char *message)
{
    grpc__reflection__v1__error_response__init(&answer->error);
    answer->error.error_code = status;
    answer->error.error_message = binary(dom_slice_str(message));
    answer->response.message_response_case = RESPONSE(ERROR_RESPONSE);
    answer->response.error_response = &answer->error;
}

static void answer_file(struct answer *answer, struct dom_slice file, const char *missing)
{
    if (file.data == NULL) {
        answer_error(answer, GRPC_STATUS_NOT_FOUND, missing);
        return;
    }
    grpc__reflection__v1__file_descriptor_response__init(&answer->files);
    answer->file = binary(file);
    answer->files.n_file_descriptor_proto = 1;
    answer->files.file_descriptor_proto = &answer->file;
    answer->response.message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
    answer->response.file_descriptor_response = &answer->files;
}

static void answer_list(const struct dom_rpc_reflection *reflection, struct dom_arena *arena,
                        struct answer *answer)
{
    size_t num = reflection->num_served;
    Grpc__Reflection__V1__ServiceResponse *services =
        dom_arena_calloc(arena, num, sizeof(*services));
    Grpc__Reflection__V1__ServiceResponse **list = dom_arena_calloc(arena, num, sizeof(*list));

    if (services == NULL || list == NULL) {
        answer_error(answer, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for the list");
        return;
    }
    for (size_t i = 0; i < num; i++) {
        grpc__reflection__v1__service_response__init(&services[i]);
        services[i].name = binary(reflection->served[i]);
        list[i] = &services[i];
    }
    grpc__reflection__v1__list_service_response__init(&answer->list);
    answer->list.n_service = num;
    answer->list.service = list;
    answer->response.message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
    answer->response.list_services_response = &answer->list;
}

static void fill(const struct dom_rpc_reflection *reflection, struct dom_arena *arena,
                 const Grpc__Reflection__V1__ServerReflectionRequest *request,
                 struct answer *answer)
{
    const ProtobufCBinaryData *text = NULL;

    switch ((int)request->message_request_case) { /* a value off the wire */
    case REQUEST(FILE_BY_FILENAME):
        text = &request->file_by_filename;
        answer_file(
            answer,
            dom_rpc_descriptors_file(reflection->index, dom_slice_of(text->data, text->len)),
            "no file of this name");
        break;
    case REQUEST(FILE_CONTAINING_SYMBOL):
        text = &request->file_containing_symbol;
        answer_file(
            answer,
            dom_rpc_descriptors_symbol(reflection->index, dom_slice_of(text->data, text->len)),
            "no file declares this name");
        break;
    case REQUEST(FILE_CONTAINING_EXTENSION):
    case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_error(answer, GRPC_STATUS_NOT_FOUND, "there are no extensions here");
        break;
    case REQUEST(LIST_SERVICES):
        answer_list(reflection, arena, answer);
        break;
    default:
        answer_error(answer, GRPC_STATUS_INVALID_ARGUMENT, "the request asks nothing known here");
        break;
    }
}

static void answered(struct dom_rpc_call *call, bool ok, void *arg)
{
    (void)arg;
    if (ok) {
        dom_rpc_stream_receive(call);
    } else {
        dom_rpc_fail_code(call, DOM_CANCELLED, "the asker has gone");
    }
}

/* Runs for every message of the stream. */
static void reflect(struct dom_rpc_call *call, void *context)
{
    struct dom_arena *arena = dom_rpc_call_arena(call);
    ProtobufCAllocator allocator = dom_rpc_proto_allocator(arena);
    struct dom_slice bytes = dom_rpc_call_request(call);
    Grpc__Reflection__V1__ServerReflectionRequest *request =
        grpc__reflection__v1__server_reflection_request__unpack(&allocator, bytes.len, bytes.data);
    struct answer answer;

    if (request == NULL) {
        dom_rpc_fail_code(call, DOM_PARSE, "not a ServerReflectionRequest");
        return;
    }
    grpc__reflection__v1__server_reflection_response__init(&answer.response);
    answer.response.valid_host = request->host;
    answer.response.original_request = request;
    fill(context, arena, request, &answer);
    size_t len =
        grpc__reflection__v1__server_reflection_response__get_packed_size(&answer.response);
    uint8_t *out = len > DOM_MESSAGE_BYTES_MAX ? NULL : dom_arena_alloc(arena, len);
    if (out == NULL) {
        dom_rpc_fail_code(call, DOM_RESOURCE, "the answer is too large");
        return;
    }
    (void)grpc__reflection__v1__server_reflection_response__pack(&answer.response, out);
    dom_rpc_call_send(call, dom_slice_of(out, len), answered, NULL);
}

const struct dom_rpc_method dom_rpc_reflection_methods[2] = {
    {.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
     .kind = DOM_RPC_SERVER_STREAM,
     .slots = 1,
     .handler = reflect},
    {.path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
     .kind = DOM_RPC_SERVER_STREAM,
     .slots = 1,
     .handler = reflect},
};
