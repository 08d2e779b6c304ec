/* Health and reflection as a client sees them. */
#include <stdio.h>

#include "router/rpc/descriptor.h"
#include "router/rpc/descriptors.h"
#include "tests/router/rpc/harness.h"
#include "tests/router/rpc/suite.h"

#define CHECK "/grpc.health.v1.Health/Check"
#define WATCH "/grpc.health.v1.Health/Watch"
#define REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define REFLECT_OLD "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

static struct harness_pair s_pair = {.drain_grace_ms = T};

/* ---- health ----------------------------------------------------------------------------- */

/* A HealthCheckRequest for a name shorter than 128 bytes. */
static struct dom_slice ask(const char *name)
{
    static uint8_t bytes[130];
    size_t len = strlen(name);

    bytes[0] = 0x0a;
    bytes[1] = (uint8_t)len;
    memcpy(bytes + 2, name, len);
    return dom_slice_of(bytes, len + 2);
}

static int check(const char *name)
{
    assert_true(dom_rpc_client_call(s_pair.client, CHECK, ask(name), T, &s_pair.result));
    assert_int_equal(s_pair.result.reply.len, 2);
    return s_pair.result.reply.data[1];
}

static void says_serving_of_the_server_as_a_whole(void **state)
{
    (void)state;
    assert_int_equal(check(""), 1);
    dom_rpc_server_set_health(s_pair.harness.server, "", false);
    assert_int_equal(check(""), 2);
}

static void says_not_found_of_a_service_it_does_not_know(void **state)
{
    (void)state;
    assert_false(dom_rpc_client_call(s_pair.client, CHECK, ask("nobody"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 5);
    dom_rpc_server_set_health(s_pair.harness.server, "nobody", true);
    assert_int_equal(check("nobody"), 1);
}

static void keeps_as_many_names_as_it_may_and_no_more(void **state)
{
    char name[16];

    (void)state;
    for (int i = 1; i <= 64; i++) { /* the 64th beside "" is one too many */
        (void)snprintf(name, sizeof(name), "svc%d", i);
        dom_rpc_server_set_health(s_pair.harness.server, name, true);
    }
    assert_int_equal(check("svc63"), 1);
    assert_false(dom_rpc_client_call(s_pair.client, CHECK, ask("svc64"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 5);
    /* A known one still changes. */
    dom_rpc_server_set_health(s_pair.harness.server, "svc63", false);
    assert_int_equal(check("svc63"), 2);
}

static void refuses_a_health_request_that_is_none(void **state)
{
    (void)state;
    assert_false(
        dom_rpc_client_call(s_pair.client, CHECK, DOM_SLICE_LIT("\x0a\xff"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 3);
    assert_false(
        dom_rpc_client_call(s_pair.client, WATCH, DOM_SLICE_LIT("\x0a\xff"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 3);
}

/* Steps the service through its states, each only after the one before was seen. */
static bool watch_steps(void *arg, struct dom_slice message)
{
    int *seen = arg;
    int status = message.len == 2 ? message.data[1] : 0;

    *seen = *seen * 10 + status;
    switch (*seen) {
    case 3:
        dom_rpc_server_set_health(s_pair.harness.server, "svc", true);
        return true;
    case 31:
        dom_rpc_server_set_health(s_pair.harness.server, "svc", true); /* no news, no message */
        dom_rpc_server_set_health(s_pair.harness.server, "svc", false);
        return true;
    case 312:
        dom_rpc_server_set_health(s_pair.harness.server, "svc", true);
        return true;
    case 3121:
        dom_rpc_server_shutdown(s_pair.harness.server);
        return true;
    default:
        return true;
    }
}

static void pushes_each_change_to_a_watcher_and_ends_it_in_a_drain(void **state)
{
    int seen = 0;

    (void)state;
    assert_false(dom_rpc_client_stream(s_pair.client, WATCH, ask("svc"), T, watch_steps, &seen,
                                       &s_pair.result));
    assert_int_equal(seen, 31212); /* unknown, serving, not, serving, draining */
    assert_int_equal(s_pair.result.status, 14);
}

static bool leave(void *arg, struct dom_slice message)
{
    (void)arg;
    (void)message;
    return false;
}

static void forgets_watchers_that_leave(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_false(
            dom_rpc_client_stream(s_pair.client, WATCH, ask(""), T, leave, NULL, &s_pair.result));
        assert_int_equal(s_pair.result.status, 1);
        dom_rpc_server_set_health(s_pair.harness.server, "", i % 2 == 0);
    }
    assert_int_equal(check(""), 2);
}

/* ---- reflection ------------------------------------------------------------------------- */

static bool keep(void *arg, struct dom_slice message)
{
    struct dom_buffer *out = arg;

    dom_buffer_append_slice(out, message);
    return true;
}

/* True if the one answer to `question` holds `text`. */
static bool answer_holds(const char *path, struct dom_slice question, const char *text)
{
    struct dom_buffer answer = {0};

    assert_true(
        dom_rpc_client_stream(s_pair.client, path, question, T, keep, &answer, &s_pair.result));
    assert_int_equal(s_pair.result.num_messages, 1);
    bool found = memmem(answer.data, answer.len, text, strlen(text)) != NULL;
    dom_buffer_cleanup(&answer);
    return found;
}

static void lists_the_services_that_it_serves_and_no_other(void **state)
{
    struct dom_slice list = DOM_SLICE_LIT("\x3a\x00");

    (void)state;
    assert_true(answer_holds(REFLECT, list, "grpc.health.v1.Health"));
    assert_true(answer_holds(REFLECT, list, "grpc.reflection.v1.ServerReflection"));
    assert_true(answer_holds(REFLECT_OLD, list, "grpc.reflection.v1alpha.ServerReflection"));
    assert_false(answer_holds(REFLECT, list, "RecordService"));
}

static void gives_the_file_of_a_name(void **state)
{
    (void)state;
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x1a\x17google/rpc/status.proto"),
                             "google/protobuf/any.proto"));
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x22\x1bgrpc.health.v1.Health.Check"),
                             "grpc/health/v1/health.proto"));
}

static void answers_what_it_has_not_with_an_error_message(void **state)
{
    (void)state;
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x1a\x01x"), "no file of this name"));
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x22\x01x"), "no file declares"));
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x22\x00"), "no file declares"));
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x2a\x03\x0a\x01x"), "no extensions"));
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT("\x32\x01x"), "no extensions"));
    assert_true(answer_holds(REFLECT, DOM_SLICE_LIT(""), "asks nothing"));
}

static void fails_a_reflection_request_that_is_none(void **state)
{
    struct dom_buffer answer = {0};

    (void)state;
    assert_false(dom_rpc_client_stream(s_pair.client, REFLECT, DOM_SLICE_LIT("\x1a\xff"), T, keep,
                                       &answer, &s_pair.result));
    assert_int_equal(s_pair.result.status, 3);
    dom_buffer_cleanup(&answer);
}

/* ---- the index -------------------------------------------------------------------------- */

static void finds_messages_enums_services_and_methods(void **state)
{
    struct dom_rpc_descriptors *index = NULL;
    static const char *const known[] = {
        "domicile.v1.RecordService",
        "domicile.v1.RecordService.GetRecord",
        "domicile.v1.Field",
        "domicile.v1.Effect",
        "google.rpc.BadRequest.FieldViolation",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
    };
    static const char *const unknown[] = {"",
                                          "domicile",
                                          "domicile.v1",
                                          "domicile.v1.",
                                          "domicile.v1.RecordServic",
                                          "RecordService",
                                          ".domicile.v1.RecordService"};

    (void)state;
    assert_int_equal(dom_rpc_descriptors_new(&index, dom_rpc_api_descriptors(), NULL), DOM_OK);
    for (size_t i = 0; i < DOM_ARRAY_LEN(known); i++) {
        assert_non_null(dom_rpc_descriptors_symbol(index, dom_slice_str(known[i])).data);
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(unknown); i++) {
        assert_null(dom_rpc_descriptors_symbol(index, dom_slice_str(unknown[i])).data);
    }
    dom_rpc_descriptors_destroy(index);
}

static void refuses_descriptors_cut_anywhere(void **state)
{
    struct dom_slice set = dom_rpc_api_descriptors();
    size_t accepted = 0;

    (void)state;
    for (size_t len = 0; len < set.len; len += 7) {
        struct dom_rpc_descriptors *index = NULL;
        accepted += dom_rpc_descriptors_new(&index, dom_slice_of(set.data, len), NULL) == DOM_OK;
        dom_rpc_descriptors_destroy(index);
    }
    /* Only a cut between two files leaves a valid set. */
    assert_in_range(accepted, 0, 14);
}

/* A file "f" with one message that holds messages to the given depth; shorter than 128 bytes. */
static struct dom_slice nested(uint8_t bytes[256], unsigned depth)
{
    uint8_t inner[256];
    size_t len = 0;

    for (unsigned i = 0; i <= depth; i++) {
        /* DescriptorProto.nested_type = 3; the outermost is FileDescriptorProto.message_type = 4 */
        memmove(inner + 2, inner, len);
        inner[0] = i == depth ? 0x22 : 0x1a;
        inner[1] = (uint8_t)len;
        len += 2;
    }
    bytes[0] = 0x0a;
    bytes[1] = (uint8_t)(len + 3);
    memcpy(bytes + 2,
           "\x0a\x01"
           "f",
           3);
    memcpy(bytes + 5, inner, len);
    return dom_slice_of(bytes, len + 5);
}

static void refuses_descriptors_nested_too_deeply(void **state)
{
    struct dom_rpc_descriptors *index = NULL;
    uint8_t bytes[256];

    (void)state;
    assert_int_equal(dom_rpc_descriptors_new(&index, nested(bytes, 32), NULL), DOM_OK);
    dom_rpc_descriptors_destroy(index);
    assert_int_equal(dom_rpc_descriptors_new(&index, nested(bytes, 33), NULL), DOM_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(says_serving_of_the_server_as_a_whole),
        PAIR_TEST(says_not_found_of_a_service_it_does_not_know),
        PAIR_TEST(keeps_as_many_names_as_it_may_and_no_more),
        PAIR_TEST(refuses_a_health_request_that_is_none),
        PAIR_TEST(pushes_each_change_to_a_watcher_and_ends_it_in_a_drain),
        PAIR_TEST(forgets_watchers_that_leave),
        PAIR_TEST(lists_the_services_that_it_serves_and_no_other),
        PAIR_TEST(gives_the_file_of_a_name),
        PAIR_TEST(answers_what_it_has_not_with_an_error_message),
        PAIR_TEST(fails_a_reflection_request_that_is_none),
        cmocka_unit_test(finds_messages_enums_services_and_methods),
        cmocka_unit_test(refuses_descriptors_cut_anywhere),
        cmocka_unit_test(refuses_descriptors_nested_too_deeply),
    };

    return cmocka_run_group_tests_name("rpc built-in", tests, NULL, NULL);
}
