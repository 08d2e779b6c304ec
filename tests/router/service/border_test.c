/* What crosses a border through the whole router, and what is written about it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/router/service/harness.h"

#define DENIED 7
#define NOT_FOUND 5
#define UNAVAILABLE 14

static bool is_text(ProtobufCBinaryData data, const char *text)
{
    return dom_slice_eq_str(dom_slice_of(data.data, data.len), text);
}

/* P3, P4: one access, one entry, whose index the receipt names. */
static void read_abroad_comes_with_the_receipt_of_its_entry(void **state)
{
    struct service *service = *state;
    Domicile__V1__GetRecordResponse *response = NULL;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", &response), 0);
    assert_non_null(response->receipt);
    assert_int_equal(response->receipt->index, before);
    assert_true(is_text(response->receipt->origin, "log.example/test/eu-1"));
    assert_int_equal(service_log_size(service, "eu-1"), before + 1);
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"access\""));
    assert_false(service_log_holds(service, "us-1", 0, "\"type\":\"access\"")); /* P10 */
    domicile__v1__get_record_response__free_unpacked(response, NULL);
}

/* P1 */
static void identifier_goes_abroad_as_a_pseudonym_only(void **state)
{
    struct service *service = *state;
    Domicile__V1__GetRecordResponse *response = NULL;

    assert_int_equal(service_put(service, "room-1", "ann@example.org"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", &response), 0);
    assert_int_equal(response->record->n_fields, 2);
    for (size_t i = 0; i < 2; i++) {
        const Domicile__V1__Field *field = response->record->fields[i];
        if (is_text(field->name, "owner")) {
            assert_int_equal(field->text.len, 22);
            assert_false(is_text(field->text, "ann@example.org"));
        } else {
            assert_true(is_text(field->text, "the title"));
        }
    }
    domicile__v1__get_record_response__free_unpacked(response, NULL);
}

/* P10 */
static void no_entry_names_the_record_or_its_owner_in_clear(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-of-ann", "ann@example.org"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-of-ann", "DE", NULL), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "moderation", "room-of-ann", "DE", NULL),
                     DENIED);
    assert_false(service_log_holds(service, "eu-1", 0, "room-of-ann"));
    assert_false(service_log_holds(service, "eu-1", 0, "ann@example.org"));
}

static void read_at_home_has_no_entry(void **state)
{
    struct service *service = *state;
    Domicile__V1__GetRecordResponse *response = NULL;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_get(service, "feed", "eu-2", "serve", "room-1", "DE", &response), 0);
    assert_null(response->receipt);
    assert_int_equal(service_log_size(service, "eu-1"), before);
    domicile__v1__get_record_response__free_unpacked(response, NULL);
}

/* P3: denied attempts are entries too. */
static void denied_read_is_in_the_log_before_the_refusal(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_get(service, "feed", "us-1", "moderation", "room-1", "DE", NULL),
                     DENIED);
    assert_int_equal(service_log_size(service, "eu-1"), before + 1);
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"deny\""));
}

static void denied_read_of_what_is_not_there_is_in_the_log_too(void **state)
{
    struct service *service = *state;

    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_get(service, "feed", "us-1", "moderation", "nothing", "DE", NULL),
                     DENIED);
    assert_int_equal(service_log_size(service, "eu-1"), before + 1);
}

/* A caller that may not read cannot learn whether there is something. */
static void without_a_home_denied_and_absent_look_the_same(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_get(service, "moderation", "us-1", "serve", "room-1", NULL, NULL),
                     service_get(service, "moderation", "us-1", "serve", "absent", NULL, NULL));
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "absent", NULL, NULL),
                     NOT_FOUND);
}

/* P2 */
static void unknown_service_region_or_purpose_gets_nothing(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_get(service, "fee", "us-1", "serve", "room-1", "DE", NULL), DENIED);
    assert_int_equal(service_get(service, "feed", "us-2", "serve", "room-1", "DE", NULL), 16);
    assert_int_equal(service_get(service, "feed", "us-1", "serv", "room-1", "DE", NULL), 3);
    assert_int_equal(service_get(service, "feed", "us-1", "", "room-1", "DE", NULL), DENIED);
}

/* P2: the date of the basis is asked at every access. */
static void basis_that_ended_closes_the_border(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", NULL), 0);
    atomic_store(&service->wall_ms, INT64_C(1830000000000));
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", NULL), DENIED);
    assert_true(service_log_holds(service, "eu-1", before, "BASIS_EXPIRED"));
    assert_int_equal(service_get(service, "feed", "eu-1", "serve", "room-1", "DE", NULL), 0);
}

static void delete_across_a_border_has_an_entry(void **state)
{
    struct service *service = *state;
    Domicile__V1__DeleteRecordResponse *response = NULL;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_delete(service, "studio", "us-1", "room-1", &response), 0);
    assert_non_null(response);
    assert_non_null(response->receipt);
    assert_int_equal(response->receipt->index, before);
    assert_true(service_log_holds(service, "eu-1", before, "\"op\":\"delete\""));
    assert_int_equal(service_get(service, "feed", "eu-1", "serve", "room-1", "DE", NULL),
                     NOT_FOUND);
    domicile__v1__delete_record_response__free_unpacked(response, NULL);
}

static void delete_that_is_denied_leaves_the_record_and_an_entry(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_delete(service, "feed", "us-1", "room-1", NULL), DENIED);
    assert_int_equal(service_log_size(service, "eu-1"), before + 1);
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"deny\""));
    assert_int_equal(service_get(service, "feed", "eu-1", "serve", "room-1", "DE", NULL), 0);
}

/* P2: what is not known to be there is decided over every class that the kind may hold. */
static void delete_of_nothing_is_decided_over_every_class(void **state)
{
    struct service *service = *state;

    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(service_delete(service, "studio", "us-1", "absent", NULL), DENIED);
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"deny\""));
    assert_int_equal(service_delete(service, "studio", "eu-1", "absent", NULL), NOT_FOUND);
}

static void set_file_size_limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* P3: no file of this process can grow, so no entry can be written: nothing crosses, and what
 * crosses no border goes on. */
static void without_a_log_nothing_crosses_and_home_goes_on(void **state)
{
    struct service *service = *state;
    Domicile__V1__GetRecordResponse *response = NULL;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", NULL), 0);
    set_file_size_limit(1);
    int abroad = service_get(service, "feed", "us-1", "serve", "room-1", "DE", &response);
    int denied = service_get(service, "feed", "us-1", "moderation", "room-1", "DE", NULL);
    int home = service_get(service, "feed", "eu-1", "serve", "room-1", "DE", NULL);
    set_file_size_limit(0);
    assert_null(response);
    assert_int_equal(abroad, UNAVAILABLE);
    assert_int_equal(denied, UNAVAILABLE);
    assert_int_equal(home, 0);
    /* Every log opens again by itself, and is signed and published to its end. */
    service_wait_published(service, "eu-1");
    service_wait_published(service, "eu-2");
    service_wait_published(service, "us-1");
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "room-1", "DE", NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, service_setup, service_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(read_abroad_comes_with_the_receipt_of_its_entry),
        T(identifier_goes_abroad_as_a_pseudonym_only),
        T(no_entry_names_the_record_or_its_owner_in_clear),
        T(read_at_home_has_no_entry),
        T(denied_read_is_in_the_log_before_the_refusal),
        T(denied_read_of_what_is_not_there_is_in_the_log_too),
        T(without_a_home_denied_and_absent_look_the_same),
        T(unknown_service_region_or_purpose_gets_nothing),
        T(basis_that_ended_closes_the_border),
        T(delete_across_a_border_has_an_entry),
        T(delete_that_is_denied_leaves_the_record_and_an_entry),
        T(delete_of_nothing_is_decided_over_every_class),
        T(without_a_log_nothing_crosses_and_home_goes_on),
    };

    (void)signal(SIGXFSZ, SIG_IGN); /* a write past the limit fails instead of killing */
    return cmocka_run_group_tests_name("border", tests, NULL, NULL);
}
