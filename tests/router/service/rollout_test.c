/* Roll-outs in a whole router, with readers at work meanwhile: for the sanitizers, and for the
 * state that a start finds. The rules of bundles are in tests/policy/bundle, the way of a policy
 * over real processes in tests/e2e. */
#include <stdio.h>
#include <string.h>

#include "router/core/wire.h"
#include "tests/router/service/harness.h"

#define FORBID                                                                              \
    "rollout = { stages = ( { mode = \"shadow\"; hold = \"PT1S\"; },\n"                     \
    "  { mode = \"canary\"; percent = 50; hold = \"PT1S\"; }, { mode = \"enforce\"; } );\n" \
    "  abort = { new_deny_ratio = %s; min_requests = 1; }; };\n"

static Domicile__V1__Rollout *rollout_of(struct dom_rpc_result *result,
                                         Domicile__V1__GetRolloutResponse **responsep)
{
    *responsep =
        domicile__v1__get_rollout_response__unpack(NULL, result->reply.len, result->reply.data);
    assert_non_null(*responsep);
    assert_non_null((*responsep)->rollout);
    return (*responsep)->rollout;
}

static int call(struct service *service, const char *name, struct dom_slice request,
                unsigned *phase, int64_t *enforced)
{
    struct dom_rpc_result result = {0};
    Domicile__V1__GetRolloutResponse *response = NULL;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s%s", POLICIES, name);
    int status = service_call(service, "studio", "eu-1", path, request, &result);
    if (status == 0) {
        Domicile__V1__Rollout *rollout = rollout_of(&result, &response);
        *phase = (unsigned)rollout->phase;
        *enforced = rollout->enforced->version;
        domicile__v1__get_rollout_response__free_unpacked(response, NULL);
    }
    dom_rpc_result_cleanup(&result);
    return status;
}

static unsigned phase_of(struct service *service, int64_t *enforced)
{
    unsigned phase = 0;

    assert_int_equal(call(service, "GetRollout", dom_slice_of(NULL, 0), &phase, enforced), 0);
    return phase;
}

/* The text of a version, as the harness writes it, without putting it in the router's way. */
static void text_of(struct service *service, unsigned version, const char *tail,
                    struct dom_buffer *out)
{
    struct service aside = *service;

    (void)snprintf(aside.policy_path, sizeof(aside.policy_path), "%s/next.cfg", service->dir);
    service_write_policy(&aside, version, tail);
    FILE *file = fopen(aside.policy_path, "r");
    assert_non_null(file);
    char bytes[16384];
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    assert_int_equal(fclose(file), 0);
    dom_buffer_append(out, bytes, len);
}

/* `forbid`: version N with nothing to the US any more. */
static int push(struct service *service, unsigned version, const char *ratio, const char *forbid)
{
    struct dom_buffer text = {0};
    struct dom_buffer changed = {0};
    struct dom_buffer request = {0};
    char tail[512];
    unsigned phase = 0;
    int64_t enforced = 0;

    (void)snprintf(tail, sizeof(tail), FORBID, ratio);
    text_of(service, version, tail, &text);
    const char *from = "classes = (\"network\"); } );";
    const char *bytes = dom_buffer_cstr(&text);
    const char *at = strstr(bytes, from);
    assert_non_null(at);
    dom_buffer_append(&changed, bytes, (size_t)(at - bytes));
    dom_buffer_append_str(&changed, forbid);
    dom_buffer_append_str(&changed, at + strlen(from));
    dom_wire_bytes(&request, 1, dom_buffer_slice(&changed));
    int status = call(service, "PushPolicy", dom_buffer_slice(&request), &phase, &enforced);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&changed);
    dom_buffer_cleanup(&request);
    return status;
}

#define NO_US     "classes = (\"*\"); } );"
#define AS_IT_IS  "classes = (\"network\"); } );"
#define ENFORCED  1U
#define SHADOW    2U
#define ABORTED   6U
#define READS_MAX 5000

struct reader {
    struct service *service;
    _Atomic bool stop;
    unsigned reads;
};

static void *read_on(void *arg)
{
    struct reader *reader = arg;

    while (!atomic_load(&reader->stop) && reader->reads < READS_MAX) {
        int status = service_get(reader->service, "feed", "us-1", "serve", "start", "DE", NULL);
        assert_true(status == 0 || status == 7);
        reader->reads++;
    }
    return NULL;
}

/* Time for the policy's holds, while readers read. */
static unsigned turn_clock(struct service *service, unsigned until, int64_t *enforced)
{
    unsigned phase = 0;

    for (unsigned i = 0; i < 600 && phase != until; i++) {
        (void)atomic_fetch_add(&service->wall_ms, 100);
        phase = phase_of(service, enforced);
    }
    return phase;
}

static void a_candidate_comes_into_force_under_readers(void **state)
{
    struct service *service = *state;
    struct reader reader = {.service = service};
    pthread_t thread;
    int64_t enforced = 0;

    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    assert_int_equal(push(service, 2, "1.0", NO_US), 0);
    assert_int_equal(phase_of(service, &enforced), SHADOW);
    assert_int_equal(enforced, 1);
    assert_int_equal(push(service, 3, "1.0", NO_US), 9); /* one at a time */
    assert_int_equal(turn_clock(service, ENFORCED, &enforced), ENFORCED);
    assert_int_equal(enforced, 2);
    atomic_store(&reader.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "start", "DE", NULL), 7);
    assert_true(service_log_holds(service, "us-1", 0, "\"stage\":\"canary\""));
    /* A start finds what was pushed, though the file is the old one. */
    service_stop(service);
    service_start(service);
    assert_int_equal(phase_of(service, &enforced), ENFORCED);
    assert_int_equal(enforced, 2);
}

static void a_bad_candidate_is_taken_back_under_readers(void **state)
{
    struct service *service = *state;
    struct reader reader = {.service = service};
    pthread_t thread;
    int64_t enforced = 0;

    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    assert_int_equal(push(service, 2, "0.01", NO_US), 0);
    assert_int_equal(turn_clock(service, ABORTED, &enforced), ABORTED);
    assert_int_equal(enforced, 1);
    atomic_store(&reader.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "start", "DE", NULL), 0);
    assert_int_equal(push(service, 2, "0.01", AS_IT_IS), 7); /* burnt */
    service_stop(service);
    service_start(service);
    assert_int_equal(phase_of(service, &enforced), ABORTED);
    assert_true(service_log_holds(service, "us-1", 0, "new_deny_ratio"));
}

static void a_start_goes_on_where_the_last_one_stopped(void **state)
{
    struct service *service = *state;
    int64_t enforced = 0;

    assert_int_equal(push(service, 2, "1.0", AS_IT_IS), 0);
    service_stop(service);
    service_start(service);
    assert_int_equal(phase_of(service, &enforced), SHADOW);
    assert_int_equal(enforced, 1);
    unsigned phase = 0;
    assert_int_equal(call(service, "AbortRollout", dom_slice_of(NULL, 0), &phase, &enforced), 0);
    assert_int_equal(phase, ABORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bad_candidate_is_taken_back_under_readers, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(a_start_goes_on_where_the_last_one_stopped, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(a_candidate_comes_into_force_under_readers, service_setup,
                                        service_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
