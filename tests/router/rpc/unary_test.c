/* Unary calls over real loopback. */
#include <stdlib.h>

#include "base/limits.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "tests/router/rpc/harness.h"
#include "tests/router/rpc/suite.h"

static struct harness_pair s_pair = {.drain_grace_ms = 1000};

static void assert_text(struct dom_buffer *buf, const char *text)
{
    const char *got = dom_buffer_cstr(buf);

    assert_string_equal(got, text);
}

static void answers_with_the_bytes_of_the_handler(void **state)
{
    (void)state;
    assert_true(
        dom_rpc_client_call(s_pair.client, ECHO, DOM_SLICE_LIT("hello"), T, &s_pair.result));
    assert_text(&s_pair.result.reply, "hello");
    assert_int_equal(s_pair.result.details.len, 0);
}

static void answers_an_empty_message_with_an_empty_message(void **state)
{
    (void)state;
    assert_true(dom_rpc_client_call(s_pair.client, ECHO, dom_slice_of("", 0), T, &s_pair.result));
    assert_int_equal(s_pair.result.reply.len, 0);
    assert_int_equal(s_pair.result.num_messages, 1);
}

static void takes_a_message_at_the_limit_and_gives_one(void **state)
{
    uint8_t *big = calloc(1, DOM_MESSAGE_BYTES_MAX);

    (void)state;
    big[DOM_MESSAGE_BYTES_MAX - 1] = 7;
    /* Arrives in many slices: also the path that gathers them in the arena. */
    assert_true(dom_rpc_client_call(s_pair.client, ECHO, dom_slice_of(big, DOM_MESSAGE_BYTES_MAX),
                                    T, &s_pair.result));
    assert_int_equal(s_pair.result.reply.len, DOM_MESSAGE_BYTES_MAX);
    assert_memory_equal(s_pair.result.reply.data, big, DOM_MESSAGE_BYTES_MAX);
    free(big);
}

static void refuses_a_message_beyond_the_limit(void **state)
{
    struct dom_rpc_stats stats;
    uint8_t *big = calloc(1, DOM_MESSAGE_BYTES_MAX + 1);

    (void)state;
    assert_false(dom_rpc_client_call(
        s_pair.client, ECHO, dom_slice_of(big, DOM_MESSAGE_BYTES_MAX + 1), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 8);
    free(big);
    dom_rpc_server_stats(s_pair.harness.server, &stats);
    assert_int_equal(stats.bytes_received, 0); /* refused before the handler, not by its reply */
    assert_true(
        dom_rpc_client_call(s_pair.client, ECHO, DOM_SLICE_LIT("after"), T, &s_pair.result));
}

static bool call_with_metadata_of(size_t bytes)
{
    char *value = malloc(bytes + 1);
    struct dom_rpc_metadata metadata = {"filler", value};
    struct dom_rpc_client_options options = {
        .target = dom_rpc_server_address(s_pair.harness.server),
        .metadata = &metadata,
        .num_metadata = 1};
    struct dom_rpc_client *client = NULL;

    memset(value, 'x', bytes);
    value[bytes] = '\0';
    assert_int_equal(dom_rpc_client_new(&client, &options, NULL), DOM_OK);
    bool ok = dom_rpc_client_call(client, ECHO, DOM_SLICE_LIT("x"), T, &s_pair.result);
    dom_rpc_client_destroy(client);
    free(value);
    return ok;
}

static void takes_metadata_below_the_limit(void **state)
{
    (void)state;
    assert_true(call_with_metadata_of(DOM_METADATA_BYTES_MAX - 1024));
}

static void refuses_metadata_beyond_the_limit(void **state)
{
    (void)state;
    assert_false(call_with_metadata_of(DOM_METADATA_BYTES_MAX + 1));
    assert_int_equal(s_pair.result.status, 8);
}

static void answers_an_unknown_method_with_unimplemented(void **state)
{
    (void)state;
    /* Twice the generic slots: they are armed again. */
    for (int i = 0; i < 8; i++) {
        assert_false(dom_rpc_client_call(s_pair.client, "/test.v1.TestService/Nope",
                                         DOM_SLICE_LIT("x"), T, &s_pair.result));
        assert_int_equal(s_pair.result.status, 12);
    }
    struct dom_rpc_stats stats;
    dom_rpc_server_stats(s_pair.harness.server, &stats);
    assert_int_equal(stats.calls_unknown, 8);
}

/* ---- failures --------------------------------------------------------------------------- */

static Google__Rpc__Status *details(void)
{
    Google__Rpc__Status *status =
        google__rpc__status__unpack(NULL, s_pair.result.details.len, s_pair.result.details.data);

    assert_non_null(status);
    assert_int_equal(status->code, s_pair.result.status);
    return status;
}

static struct dom_slice bytes_of(ProtobufCBinaryData data)
{
    return dom_slice_of(data.data, data.len);
}

static void tells_a_failure_with_its_reason(void **state)
{
    (void)state;
    assert_false(dom_rpc_client_call(s_pair.client, FAIL, DOM_SLICE_LIT("x"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 7);
    assert_text(&s_pair.result.message, "Zug\xc3\xa4nge verboten");
    Google__Rpc__Status *status = details();
    assert_int_equal(status->n_details, 1);
    assert_true(dom_slice_eq_str(bytes_of(status->details[0]->type_url),
                                 "type.googleapis.com/google.rpc.ErrorInfo"));
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(
        NULL, status->details[0]->value.len, status->details[0]->value.data);
    assert_non_null(info);
    assert_true(dom_slice_eq_str(bytes_of(info->reason), "FORBIDDEN"));
    assert_true(dom_slice_eq_str(bytes_of(info->domain), "domicile"));
    assert_int_equal(info->n_metadata, 2);
    assert_string_equal(info->metadata[0]->key, "rule");
    assert_string_equal(info->metadata[0]->value, "eu-users-stay");
    /* Bytes that are not text must not break the client's decoder. */
    assert_string_equal(info->metadata[1]->value, "(4 bytes that are not text)");
    google__rpc__error_info__free_unpacked(info, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

static void tells_the_field_that_is_wrong(void **state)
{
    (void)state;
    assert_false(
        dom_rpc_client_call(s_pair.client, FAIL, DOM_SLICE_LIT("field"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 3);
    Google__Rpc__Status *status = details();
    assert_int_equal(status->n_details, 2);
    Google__Rpc__BadRequest *bad = google__rpc__bad_request__unpack(
        NULL, status->details[1]->value.len, status->details[1]->value.data);
    assert_non_null(bad);
    assert_true(dom_slice_eq_str(bytes_of(bad->field_violations[0]->field), "fields[3].name"));
    google__rpc__bad_request__free_unpacked(bad, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

static void tells_when_to_retry(void **state)
{
    (void)state;
    assert_false(
        dom_rpc_client_call(s_pair.client, FAIL, DOM_SLICE_LIT("retry"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 14);
    assert_text(&s_pair.result.message, "the audit log cannot be written");
    Google__Rpc__Status *status = details();
    assert_int_equal(status->n_details, 2);
    Google__Rpc__RetryInfo *retry = google__rpc__retry_info__unpack(
        NULL, status->details[1]->value.len, status->details[1]->value.data);
    assert_non_null(retry);
    assert_int_equal(retry->retry_delay->seconds, 2);
    assert_int_equal(retry->retry_delay->nanos, 500000000);
    google__rpc__retry_info__free_unpacked(retry, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

static void cuts_a_failure_to_what_a_trailer_holds(void **state)
{
    (void)state;
    assert_false(
        dom_rpc_client_call(s_pair.client, FAIL, DOM_SLICE_LIT("huge"), T, &s_pair.result));
    assert_int_equal(s_pair.result.status, 7);        /* not the transport's RESOURCE_EXHAUSTED */
    assert_int_equal(s_pair.result.message.len, 511); /* 512 would end inside a character */
    assert_true(dom_utf8_valid(dom_buffer_slice(&s_pair.result.message)));
    Google__Rpc__Status *status = details();
    assert_int_equal(status->message.len, 511);
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(
        NULL, status->details[0]->value.len, status->details[0]->value.data);
    assert_non_null(info);
    assert_true(dom_slice_eq_str(bytes_of(info->reason), "FORBIDDEN"));
    assert_in_range(info->n_metadata, 1, 8); /* as many as fit */
    google__rpc__error_info__free_unpacked(info, NULL);
    google__rpc__status__free_unpacked(status, NULL);
}

/* ---- who and when ----------------------------------------------------------------------- */

static bool who_with(const struct dom_rpc_metadata *metadata, size_t num)
{
    struct dom_rpc_client_options options = {
        .target = dom_rpc_server_address(s_pair.harness.server),
        .metadata = metadata,
        .num_metadata = num};
    struct dom_rpc_client *client = NULL;

    assert_int_equal(dom_rpc_client_new(&client, &options, NULL), DOM_OK);
    bool ok = dom_rpc_client_call(client, WHO, DOM_SLICE_LIT("x"), T, &s_pair.result);
    dom_rpc_client_destroy(client);
    return ok;
}

static void knows_the_caller_by_its_metadata(void **state)
{
    (void)state;
    assert_true(dom_rpc_client_call(s_pair.client, WHO, DOM_SLICE_LIT("x"), T, &s_pair.result));
    assert_text(&s_pair.result.reply, "edge|eu-1|insecure:edge");
}

static void refuses_a_caller_without_a_name(void **state)
{
    struct dom_rpc_metadata region[] = {{"domicile-region", "eu-1"}};

    (void)state;
    assert_false(who_with(region, 1));
    assert_int_equal(s_pair.result.status, 16);
}

static void refuses_a_caller_without_a_region(void **state)
{
    struct dom_rpc_metadata service[] = {{"domicile-service", "edge"}};

    (void)state;
    assert_false(who_with(service, 1));
    assert_int_equal(s_pair.result.status, 16);
}

static void refuses_a_caller_with_two_names(void **state)
{
    struct dom_rpc_metadata both[] = {
        {"domicile-service", "edge"}, {"domicile-service", "admin"}, {"domicile-region", "eu-1"}};

    (void)state;
    assert_false(who_with(both, 3));
    assert_int_equal(s_pair.result.status, 16);
}

static void refuses_a_caller_with_an_empty_name(void **state)
{
    struct dom_rpc_metadata empty[] = {{"domicile-service", ""}, {"domicile-region", "eu-1"}};

    (void)state;
    assert_false(who_with(empty, 2));
    assert_int_equal(s_pair.result.status, 16);
}

static void takes_a_name_at_the_limit_and_refuses_one_beyond(void **state)
{
    char name[DOM_POLICY_NAME_BYTES_MAX + 2];
    struct dom_rpc_metadata metadata[] = {{"domicile-service", name}, {"domicile-region", "eu-1"}};

    (void)state;
    memset(name, 'n', sizeof(name));
    name[DOM_POLICY_NAME_BYTES_MAX + 1] = '\0';
    assert_false(who_with(metadata, 2));
    assert_int_equal(s_pair.result.status, 16);
    name[DOM_POLICY_NAME_BYTES_MAX] = '\0';
    assert_true(who_with(metadata, 2));
}

static void assert_trace(const char *traceparent, const char *want)
{
    struct dom_rpc_metadata metadata[] = {
        {"domicile-service", "edge"}, {"domicile-region", "eu-1"}, {"traceparent", traceparent}};

    assert_true(who_with(metadata, 3));
    pthread_mutex_lock(&s_pair.harness.lock);
    assert_string_equal(s_pair.harness.trace_id, want);
    pthread_mutex_unlock(&s_pair.harness.lock);
}

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define NO_ID "00000000000000000000000000000000"

static void reads_the_trace_id(void **state)
{
    (void)state;
    assert_trace("00-" ID "-00f067aa0ba902b7-01", ID);
    assert_trace("01-" ID "-00f067aa0ba902b7-01-more", ID);
}

static void ignores_a_malformed_trace_id(void **state)
{
    (void)state;
    assert_trace("", NO_ID);
    assert_trace("00-" NO_ID "-00f067aa0ba902b7-01", NO_ID);
    assert_trace("00-" ID "-0000000000000000-01", NO_ID);
    assert_trace("ff-" ID "-00f067aa0ba902b7-01", NO_ID);
    assert_trace("00-" ID "-00f067aa0ba902b7-01-more", NO_ID);
    assert_trace("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", NO_ID);
    assert_trace("00-" ID "-00f067aa0ba902b7", NO_ID);
    assert_trace("00_" ID "-00f067aa0ba902b7-01", NO_ID);
}

static void knows_the_deadline(void **state)
{
    (void)state;
    assert_true(
        dom_rpc_client_call(s_pair.client, DEADLINE, DOM_SLICE_LIT("x"), 60000, &s_pair.result));
    long left = strtol(dom_buffer_cstr(&s_pair.result.reply), NULL, 10);
    assert_in_range(left, 50000, 60100);
    assert_true(
        dom_rpc_client_call(s_pair.client, DEADLINE, DOM_SLICE_LIT("x"), 0, &s_pair.result));
    assert_text(&s_pair.result.reply, "none");
}

static void counts_what_it_did(void **state)
{
    struct dom_rpc_stats stats;

    (void)state;
    assert_true(
        dom_rpc_client_call(s_pair.client, ECHO, DOM_SLICE_LIT("12345"), T, &s_pair.result));
    assert_false(dom_rpc_client_call(s_pair.client, FAIL, DOM_SLICE_LIT("123"), T, &s_pair.result));
    dom_rpc_server_stats(s_pair.harness.server, &stats);
    assert_int_equal(stats.calls_started, 2);
    assert_int_equal(stats.bytes_received, 8);
    assert_int_equal(stats.bytes_sent, 5);
    assert_int_equal(stats.calls_rejected, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(answers_with_the_bytes_of_the_handler),
        PAIR_TEST(answers_an_empty_message_with_an_empty_message),
        PAIR_TEST(takes_a_message_at_the_limit_and_gives_one),
        PAIR_TEST(refuses_a_message_beyond_the_limit),
        PAIR_TEST(takes_metadata_below_the_limit),
        PAIR_TEST(refuses_metadata_beyond_the_limit),
        PAIR_TEST(answers_an_unknown_method_with_unimplemented),
        PAIR_TEST(tells_a_failure_with_its_reason),
        PAIR_TEST(tells_the_field_that_is_wrong),
        PAIR_TEST(tells_when_to_retry),
        PAIR_TEST(cuts_a_failure_to_what_a_trailer_holds),
        PAIR_TEST(knows_the_caller_by_its_metadata),
        PAIR_TEST(refuses_a_caller_without_a_name),
        PAIR_TEST(refuses_a_caller_without_a_region),
        PAIR_TEST(refuses_a_caller_with_two_names),
        PAIR_TEST(refuses_a_caller_with_an_empty_name),
        PAIR_TEST(takes_a_name_at_the_limit_and_refuses_one_beyond),
        PAIR_TEST(reads_the_trace_id),
        PAIR_TEST(ignores_a_malformed_trace_id),
        PAIR_TEST(knows_the_deadline),
        PAIR_TEST(counts_what_it_did),
    };

    return cmocka_run_group_tests_name("rpc unary", tests, NULL, NULL);
}
