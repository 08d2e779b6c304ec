/* `limit` obligations through the whole router: three subjects a day cross, the fourth does not. */
#include <stdio.h>
#include <string.h>

#include "router/core/wire.h"
#include "router/service/limit.h"
#include "tests/router/service/harness.h"

#define DAY_MS INT64_C(86400000)
#define EXHAUSTED 8

static int look(struct service *service, const char *id)
{
    return service_get(service, "moderation", "us-1", "moderation", id, "DE", NULL);
}

static void put_rooms(struct service *service)
{
    /* Room a2 has the same owner as room a. */
    assert_int_equal(service_put(service, "a", "ann"), 0);
    assert_int_equal(service_put(service, "a2", "ann"), 0);
    assert_int_equal(service_put(service, "b", "bob"), 0);
    assert_int_equal(service_put(service, "c", "cleo"), 0);
    assert_int_equal(service_put(service, "d", "dan"), 0);
}

static void fourth_subject_is_refused(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    assert_int_equal(look(service, "a"), 0);
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    assert_int_equal(look(service, "d"), EXHAUSTED);
}

static void repeated_subject_does_not_count_again(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(look(service, "a"), 0);
        assert_int_equal(look(service, "a2"), 0); /* another record, the same person */
    }
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    assert_int_equal(look(service, "d"), EXHAUSTED);
    assert_int_equal(look(service, "a"), 0); /* whom they saw already they may see again */
}

/* P3: a denied attempt is an entry too. */
static void refusal_by_a_limit_is_in_the_log(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    assert_int_equal(look(service, "a"), 0);
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    uint64_t before = service_log_size(service, "eu-1");
    assert_int_equal(look(service, "d"), EXHAUSTED);
    assert_int_equal(service_log_size(service, "eu-1"), before + 1);
    assert_true(service_log_holds(service, "eu-1", before, "\"reason\":\"LIMIT_REACHED\""));
}

static void limit_holds_within_one_batch(void **state)
{
    static const char *const ids[] = {"a", "a2", "b", "c", "d", "a"};
    struct service *service = *state;
    struct dom_rpc_result result = {0};
    struct dom_buffer out = {0};

    put_rooms(service);
    for (size_t i = 0; i < 6; i++) {
        size_t at = dom_wire_begin(&out, 1);
        dom_wire_str(&out, 1, "live_room");
        dom_wire_str(&out, 2, ids[i]);
        dom_wire_str(&out, 3, "DE");
        dom_wire_end(&out, at);
    }
    dom_wire_str(&out, 2, "moderation");
    assert_int_equal(service_call(service, "moderation", "us-1", RECORDS "BatchGetRecords",
                                  dom_buffer_slice(&out), &result),
                     0);
    Domicile__V1__BatchGetRecordsResponse *response =
        domicile__v1__batch_get_records_response__unpack(NULL, result.reply.len,
                                                         result.reply.data);
    assert_non_null(response);
    assert_int_equal(response->n_results, 6);
    for (size_t i = 0; i < 6; i++) {
        const Domicile__V1__BatchGetResult *one = response->results[i];
        if (i == 4) {
            assert_int_equal(one->outcome_case, DOMICILE__V1__BATCH_GET_RESULT__OUTCOME_ERROR);
            assert_int_equal(one->error->code, EXHAUSTED);
            assert_true(dom_slice_eq_str(dom_slice_of(one->error->reason.data,
                                                      one->error->reason.len), "LIMIT_REACHED"));
        } else {
            assert_int_equal(one->outcome_case, DOMICILE__V1__BATCH_GET_RESULT__OUTCOME_FOUND);
            assert_non_null(one->found->receipt); /* P3 */
        }
    }
    domicile__v1__batch_get_records_response__free_unpacked(response, NULL);
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&out);
}

struct racer {
    struct service *service;
    pthread_t thread;
    char id[16];
    int status;
};

static void *race(void *arg)
{
    struct racer *racer = arg;

    racer->status = look(racer->service, racer->id);
    return NULL;
}

/* A burst must not pass before its first count lands. */
static void burst_of_subjects_lets_three_through(void **state)
{
    struct service *service = *state;
    struct racer racers[16];
    size_t passed = 0;

    for (size_t i = 0; i < 16; i++) {
        racers[i].service = service;
        (void)snprintf(racers[i].id, sizeof(racers[i].id), "room-%zu", i);
        assert_int_equal(service_put(service, racers[i].id, racers[i].id), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
        assert_true(racers[i].status == 0 || racers[i].status == EXHAUSTED);
        passed += racers[i].status == 0 ? 1U : 0U;
    }
    assert_int_equal(passed, 3);
}

/* P6: what was counted is durable. */
static void limit_survives_a_restart(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    assert_int_equal(look(service, "a"), 0);
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    service_stop(service);
    service_start(service);
    assert_int_equal(look(service, "d"), EXHAUSTED);
    assert_int_equal(look(service, "b"), 0);
}

/* A sliding day is counted as this day and the one before: never fewer than a true count. */
static void limit_is_still_reached_within_a_sliding_day(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    assert_int_equal(look(service, "a"), 0);
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    atomic_fetch_add(&service->wall_ms, DAY_MS);
    assert_int_equal(look(service, "d"), EXHAUSTED);
}

static void limit_opens_again_after_its_period(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    assert_int_equal(look(service, "a"), 0);
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    atomic_fetch_add(&service->wall_ms, 2 * DAY_MS);
    assert_int_equal(look(service, "d"), 0);
}

static void limit_of_one_rule_does_not_count_for_another(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    assert_int_equal(look(service, "a"), 0);
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    assert_int_equal(service_get(service, "feed", "us-1", "serve", "d", "DE", NULL), 0);
}

/* Without a border there is no transfer to count. */
static void reading_at_home_is_not_counted(void **state)
{
    struct service *service = *state;

    put_rooms(service);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            service_get(service, "moderation", "eu-2", "moderation", "a", "DE", NULL), 0);
        assert_int_equal(
            service_get(service, "moderation", "eu-1", "moderation", "d", "DE", NULL), 0);
    }
    assert_int_equal(look(service, "b"), 0);
    assert_int_equal(look(service, "c"), 0);
    assert_int_equal(look(service, "d"), 0);
    assert_int_equal(look(service, "a"), EXHAUSTED);
}

/* A key counts until its period is over, a sliding one for the period after that too, and a day more
 * and a week for clocks that step. What is no such key is kept. */
static void keys_of_past_periods_are_over(void **state)
{
    const int64_t now = INT64_C(1800000000000); /* 2027-01-15, day 20833 */
    static const struct {
        const char *key;
        bool over;
    } rows[] = {
        {"rule/sD86400000/20824/hmac:1:x", true},    {"rule/sD86400000/20825/hmac:1:x", false},
        {"rule/sD86400000/20833/hmac:1:x", false},   {"rule/sD86400000/20900/hmac:1:x", false},
        {"rule/a-86400000/20823/1f", true},          {"rule/a-86400000/20824/1f", false},
        {"rule/a-86400000/20832/1f", false},         {"rule/a-3600000/499800/1f", true},
        {"rule/a-3600000/499806/1f", true},          {"rule/a-3600000/499807/1f", false},
        {"rule/sM2592000000/1523/x", true},          {"rule/sM2592000000/1524/x", false},
        {"rule/sY31536000000/126/x", true},          {"rule/sY31536000000/127/x", false},
        {"rule/sM2592000000/1523", false},           {"rule/sX86400000/1/x", false},
        {"rule/xD86400000/1/x", false},              {"rule/sD/1/x", false},
        {"rule/sD86400000//x", false},               {"rule/sD86400000/-/x", false},
        {"rule/sD99999999999999999999/1/x", false},  {"rule", false},
        {"rule/", false},                            {"rule/s", false},
        {"rule/sD", false},                          {"", false},
    };

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(rows); i++) {
        if (dom_limit_key_over(dom_slice_str(rows[i].key), now) != rows[i].over) {
            fail_msg("%s: not %d", rows[i].key, rows[i].over);
        }
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, service_setup, service_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fourth_subject_is_refused),
        T(repeated_subject_does_not_count_again),
        T(refusal_by_a_limit_is_in_the_log),
        T(limit_holds_within_one_batch),
        T(burst_of_subjects_lets_three_through),
        T(limit_survives_a_restart),
        T(limit_is_still_reached_within_a_sliding_day),
        T(limit_opens_again_after_its_period),
        T(limit_of_one_rule_does_not_count_for_another),
        T(reading_at_home_is_not_counted),
        cmocka_unit_test(keys_of_past_periods_are_over),
    };

    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
