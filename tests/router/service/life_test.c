/* Reloads, restarts and shutdowns of the whole router. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "tests/router/service/harness.h"

static int reload(struct service *service, struct dom_rpc_result *result)
{
    return service_call(service, "studio", "eu-1", POLICIES "ReloadPolicy", dom_slice_of(NULL, 0),
                        result);
}

static Domicile__V1__GetPolicyStatusResponse *status_of(struct service *service)
{
    struct dom_rpc_result result = {0};

    assert_int_equal(service_call(service, "studio", "eu-1", POLICIES "GetPolicyStatus",
                                  dom_slice_of(NULL, 0), &result),
                     0);
    Domicile__V1__GetPolicyStatusResponse *status =
        domicile__v1__get_policy_status_response__unpack(NULL, result.reply.len,
                                                         result.reply.data);
    assert_non_null(status);
    dom_rpc_result_cleanup(&result);
    return status;
}

/* What every refused reload has in common: version 1 stays in force, and the status says why. */
static void assert_kept(struct service *service, const char *why)
{
    struct dom_rpc_result result = {0};

    assert_int_not_equal(reload(service, &result), 0);
    Domicile__V1__GetPolicyStatusResponse *status = status_of(service);
    assert_int_equal(status->version, 1);
    assert_int_equal(status->reloads_failed, 1);
    if (memmem(status->last_failure.data, status->last_failure.len, why, strlen(why)) == NULL) {
        fail_msg("\"%.*s\" does not say \"%s\"", (int)status->last_failure.len,
                 (const char *)status->last_failure.data, why);
    }
    domicile__v1__get_policy_status_response__free_unpacked(status, NULL);
    dom_rpc_result_cleanup(&result);
    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", NULL), 0);
}

/* P11: whole or not at all. */
static void reload_of_a_broken_file_keeps_the_old_policy(void **state)
{
    struct service *service = *state;

    service_write_policy(service, 2, "rules = ( {");
    assert_kept(service, "policy.cfg:");
}

/* P11 */
static void reload_of_a_missing_file_keeps_the_old_policy(void **state)
{
    struct service *service = *state;

    assert_int_equal(remove(service->policy_path), 0);
    assert_kept(service, "cannot open");
}

static void reload_of_other_bytes_under_the_same_version_is_refused(void **state)
{
    struct service *service = *state;

    service_write_policy(service, 1, "# changed\n");
    assert_kept(service, "higher version");
}

static void reload_of_an_older_version_is_refused(void **state)
{
    struct service *service = *state;

    service_write_policy(service, 0, "");
    struct dom_rpc_result result = {0};
    assert_int_not_equal(reload(service, &result), 0);
    Domicile__V1__GetPolicyStatusResponse *status = status_of(service);
    assert_int_equal(status->version, 1);
    domicile__v1__get_policy_status_response__free_unpacked(status, NULL);
    dom_rpc_result_cleanup(&result);
}

static void reload_of_the_same_bytes_changes_nothing(void **state)
{
    struct service *service = *state;
    struct dom_rpc_result result = {0};

    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(reload(service, &result), 0);
    Domicile__V1__ReloadPolicyResponse *response = domicile__v1__reload_policy_response__unpack(
        NULL, result.reply.len, result.reply.data);
    assert_non_null(response);
    assert_false(response->changed);
    assert_int_equal(response->version, 1);
    assert_int_equal(service_log_size(service, "eu-1"), before);
    domicile__v1__reload_policy_response__free_unpacked(response, NULL);
    dom_rpc_result_cleanup(&result);
}

/* P4: the log says from which entry on which policy decides. */
static void reload_of_a_newer_version_is_in_force_and_in_the_log(void **state)
{
    struct service *service = *state;
    struct dom_rpc_result result = {0};

    service_write_policy(service, 2, "# newer\n");
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(reload(service, &result), 0);
    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", NULL), 0);
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"policy\""));
    Domicile__V1__GetPolicyStatusResponse *status = status_of(service);
    assert_int_equal(status->version, 2);
    assert_int_equal(status->reloads_failed, 0);
    domicile__v1__get_policy_status_response__free_unpacked(status, NULL);
    dom_rpc_result_cleanup(&result);
}

static void router_with_a_broken_policy_does_not_start(void **state)
{
    struct service *service = *state;
    struct dom_findings findings = {0};
    struct dom_router *router = NULL;
    struct dom_error err = {0};
    char data[320];

    service_stop(service);
    service_write_policy(service, 1, "rules = ( {");
    (void)snprintf(data, sizeof(data), "%s/other", service->dir);
    struct dom_router_options options = {.listen = "127.0.0.1:0",
                                         .insecure_loopback = true,
                                         .data_dir = data,
                                         .policy_path = service->policy_path,
                                         .audit_origin = "log.example/test",
                                         .instance = "test-1"};
    assert_int_equal(dom_router_new(&router, &findings, &options, &err), DOM_PARSE);
    assert_null(router);
    assert_non_null(strstr(err.message, "policy.cfg:"));
    dom_findings_cleanup(&findings);
}

static void router_on_a_folder_in_use_does_not_start(void **state)
{
    struct service *service = *state;
    struct dom_findings findings = {0};
    struct dom_router *router = NULL;
    struct dom_error err = {0};
    char data[320];

    (void)snprintf(data, sizeof(data), "%s/data", service->dir);
    struct dom_router_options options = {.listen = "127.0.0.1:0",
                                         .insecure_loopback = true,
                                         .data_dir = data,
                                         .policy_path = service->policy_path,
                                         .audit_origin = "log.example/test",
                                         .instance = "test-2"};
    assert_int_equal(dom_router_new(&router, &findings, &options, &err), DOM_LOCKED);
    assert_null(router);
    dom_findings_cleanup(&findings);
}

static void test_setting_without_encryption_needs_loopback(void **state)
{
    struct service *service = *state;
    struct dom_findings findings = {0};
    struct dom_router *router = NULL;
    struct dom_error err = {0};

    struct dom_router_options options = {.listen = "127.0.0.1:0",
                                         .data_dir = service->dir,
                                         .policy_path = service->policy_path,
                                         .audit_origin = "log.example/test",
                                         .instance = "test-2",
                                         .test_plain = true};
    assert_int_equal(dom_router_new(&router, &findings, &options, &err), DOM_INVALID);
    assert_null(router);
    dom_findings_cleanup(&findings);
}

/* Replication that was owed at the stop goes on at the start, before the first policy is in force:
 * the replica's folder is gone, so everything of the outbox is still to be done. */
static void restart_with_replication_owed_comes_up(void **state)
{
    struct service *service = *state;
    char command[512];

    (void)snprintf(command, sizeof(command), "cd '%s/data' && rm -r eu-2 keys/eu-2.checkpoint",
                   service->dir);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "room-%d", i);
            assert_int_equal(service_put(service, id, "ann"), 0);
        }
        service_stop(service);
        assert_int_equal(system(command), 0);
        service_start(service);
        assert_int_equal(service_get(service, "feed", "eu-1", "serve", "room-7", "DE", NULL), 0);
    }
}

struct writer {
    struct service *service;
    pthread_t thread;
    unsigned number;
    unsigned acknowledged; /* puts that were answered with OK, from 0 on */
    int last_status;
};

static void *write_until_refused(void *arg)
{
    struct writer *writer = arg;

    for (unsigned i = 0; i < 100000; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "w%u-%u", writer->number, i);
        writer->last_status = service_put(writer->service, id, "ann");
        if (writer->last_status != 0) {
            break;
        }
        writer->acknowledged = i + 1;
    }
    return NULL;
}

/* P6: a shutdown in the middle of writes loses nothing that was acknowledged. */
static void shutdown_with_calls_in_flight_keeps_what_was_acknowledged(void **state)
{
    struct service *service = *state;
    struct writer writers[6];

    memset(writers, 0, sizeof(writers));
    for (unsigned i = 0; i < 6; i++) {
        writers[i].service = service;
        writers[i].number = i;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_until_refused, &writers[i]),
                         0);
    }
    for (unsigned i = 0; i < 20; i++) { /* the writers are at work by now, or soon */
        assert_int_equal(service_put(service, "main", "bob"), 0);
    }
    service_stop(service);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_true(writers[i].last_status == 14 || writers[i].last_status == 1);
    }
    service_start(service);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < writers[i].acknowledged; k++) {
            char id[32];
            (void)snprintf(id, sizeof(id), "w%u-%u", i, k);
            assert_int_equal(service_get(service, "feed", "eu-1", "serve", id, "DE", NULL), 0);
        }
    }
}

static void destroy_without_a_run_is_legal(void **state)
{
    struct service *service = *state;
    struct dom_findings findings = {0};
    struct dom_router *router = NULL;
    struct dom_error err = {0};
    char data[320];

    (void)snprintf(data, sizeof(data), "%s/second", service->dir);
    struct dom_router_options options = {.listen = "127.0.0.1:0",
                                         .insecure_loopback = true,
                                         .data_dir = data,
                                         .policy_path = service->policy_path,
                                         .audit_origin = "log.example/test",
                                         .instance = "test-2"};
    assert_int_equal(dom_router_new(&router, &findings, &options, &err), DOM_OK);
    dom_router_reload(router); /* still runs, and ends before the destroy returns */
    dom_router_destroy(router);
    dom_router_destroy(NULL);
    dom_findings_cleanup(&findings);
}

#define T(name) cmocka_unit_test_setup_teardown(name, service_setup, service_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(reload_of_a_broken_file_keeps_the_old_policy),
        T(reload_of_a_missing_file_keeps_the_old_policy),
        T(reload_of_other_bytes_under_the_same_version_is_refused),
        T(reload_of_an_older_version_is_refused),
        T(reload_of_the_same_bytes_changes_nothing),
        T(reload_of_a_newer_version_is_in_force_and_in_the_log),
        T(router_with_a_broken_policy_does_not_start),
        T(router_on_a_folder_in_use_does_not_start),
        T(test_setting_without_encryption_needs_loopback),
        T(restart_with_replication_owed_comes_up),
        T(shutdown_with_calls_in_flight_keeps_what_was_acknowledged),
        T(destroy_without_a_run_is_legal),
    };

    return cmocka_run_group_tests_name("router life", tests, NULL, NULL);
}
