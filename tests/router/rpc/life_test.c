/* Async calls, cancellation, admission, posting, shutdown. */
#include <stdlib.h>

#include "base/limits.h"
#include "tests/router/rpc/harness.h"
#include "tests/router/rpc/suite.h"

/* A client on a thread of its own that makes one call. */
struct caller {
    struct harness *harness;
    const char *path;
    uint64_t timeout_ms;
    pthread_t thread;
    struct dom_rpc_result result;
};

static void *call(void *arg)
{
    struct caller *caller = arg;
    struct dom_rpc_client *client = harness_client(caller->harness);

    (void)dom_rpc_client_call(client, caller->path, DOM_SLICE_LIT("held"), caller->timeout_ms,
                              &caller->result);
    dom_rpc_client_destroy(client);
    return NULL;
}

static void caller_start(struct caller *caller, struct harness *harness, uint64_t timeout_ms)
{
    memset(caller, 0, sizeof(*caller));
    caller->harness = harness;
    caller->path = HOLD;
    caller->timeout_ms = timeout_ms;
    assert_int_equal(pthread_create(&caller->thread, NULL, call, caller), 0);
}

static int caller_join(struct caller *caller)
{
    pthread_join(caller->thread, NULL);
    int status = caller->result.status;
    dom_rpc_result_cleanup(&caller->result);
    return status;
}

static int echo(struct harness *harness, struct dom_rpc_result *result)
{
    struct dom_rpc_client *client = harness_client(harness);

    (void)dom_rpc_client_call(client, ECHO, DOM_SLICE_LIT("x"), T, result);
    dom_rpc_client_destroy(client);
    return result->status;
}

static void finishes_an_async_call_from_another_thread(void **state)
{
    struct harness harness;
    struct caller caller;

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = T});
    caller_start(&caller, &harness, T);
    harness_wait_held(&harness, 1);
    harness_release(&harness);
    assert_int_equal(caller_join(&caller), 0);
    harness_stop(&harness);
}

static void shows_the_handler_that_the_caller_gave_up(void **state)
{
    struct harness harness;
    struct caller caller;
    struct dom_rpc_stats stats;

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = T});
    caller_start(&caller, &harness, 200);
    harness_wait_held(&harness, 1);
    harness_wait_cancelled(&harness, 1); /* before anybody finished the call */
    assert_int_equal(caller_join(&caller), 4);
    harness_release(&harness); /* finishing a cancelled call is legal */
    dom_rpc_server_stats(harness.server, &stats);
    assert_int_equal(stats.calls_cancelled, 1);
    harness_stop(&harness);
}

static void admits_calls_up_to_the_limit_and_refuses_the_next(void **state)
{
    struct harness harness;
    struct caller callers[2];
    struct dom_rpc_result result = {0};
    struct dom_rpc_stats stats;

    (void)state;
    harness_start(&harness, &(struct harness_options){.in_flight_max = 2, .drain_grace_ms = T});
    caller_start(&callers[0], &harness, T);
    harness_wait_held(&harness, 1);
    assert_int_equal(echo(&harness, &result), 0); /* the second of two */
    caller_start(&callers[1], &harness, T);
    harness_wait_held(&harness, 2);
    assert_int_equal(echo(&harness, &result), 8);
    assert_true(result.details.len > 0); /* RetryInfo; its form is unary_test's business */
    dom_rpc_server_stats(harness.server, &stats);
    assert_int_equal(stats.calls_rejected, 1);
    assert_int_equal(stats.in_flight, 2);
    harness_release(&harness);
    assert_int_equal(caller_join(&callers[0]), 0);
    assert_int_equal(caller_join(&callers[1]), 0);
    assert_int_equal(echo(&harness, &result), 0);
    dom_rpc_result_cleanup(&result);
    harness_stop(&harness);
}

static void refuses_a_request_larger_than_the_arena(void **state)
{
    struct harness harness;
    struct dom_rpc_result result = {0};
    uint8_t *big = calloc(1, 1U << 20);

    (void)state;
    harness_start(&harness, &(struct harness_options){.arena_bytes_max = 64U << 10});
    struct dom_rpc_client *client = harness_client(&harness);
    assert_false(dom_rpc_client_call(client, ECHO, dom_slice_of(big, 1U << 20), T, &result));
    assert_int_equal(result.status, 8);
    assert_true(dom_rpc_client_call(client, ECHO, DOM_SLICE_LIT("x"), T, &result));
    dom_rpc_client_destroy(client);
    dom_rpc_result_cleanup(&result);
    free(big);
    harness_stop(&harness);
}

/* ---- post ------------------------------------------------------------------------------- */

#define POSTERS 4
#define ROUNDS 3000
#define CHAIN 3

struct item {
    struct dom_rpc_work work;
    struct poster *poster;
    unsigned number;
};

struct poster {
    struct harness *harness;
    pthread_t thread;
    struct item items[ROUNDS * CHAIN];
    unsigned next;     /* I/O thread only */
    bool out_of_order; /* I/O thread only */
};

static void run_item(struct dom_rpc_work *work)
{
    struct item *item = (struct item *)(void *)work; /* the first member */

    if (item->number != item->poster->next++) {
        item->poster->out_of_order = true;
    }
    atomic_fetch_add(&item->poster->harness->num_posted_run, 1);
}

static void *post_numbered(void *arg)
{
    struct poster *poster = arg;
    unsigned number = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct item *chain = &poster->items[i * CHAIN];
        unsigned len = 1 + i % CHAIN;
        for (unsigned k = 0; k < len; k++) {
            chain[k] = (struct item){
                .work = {.run = run_item, .next = k + 1 < len ? &chain[k + 1].work : NULL},
                .poster = poster,
                .number = number++};
        }
        dom_rpc_post(poster->harness->server, &chain[0].work, &chain[len - 1].work);
    }
    return NULL;
}

static void runs_every_posted_item_once_and_in_order(void **state)
{
    static struct harness harness;
    struct poster *posters = calloc(POSTERS, sizeof(*posters));
    unsigned total = 0;

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = T});
    for (int i = 0; i < POSTERS; i++) {
        posters[i].harness = &harness;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_numbered, &posters[i]), 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
    }
    harness_stop(&harness); /* what was posted before the shutdown runs before it */
    for (int i = 0; i < POSTERS; i++) {
        for (unsigned r = 0; r < ROUNDS; r++) {
            total += 1 + r % CHAIN;
        }
        assert_false(posters[i].out_of_order);
    }
    assert_int_equal(atomic_load(&harness.num_posted_run), total);
    free(posters);
}

static void runs_work_that_was_posted_before_run(void **state)
{
    struct harness harness = {0};
    struct poster *poster = calloc(1, sizeof(*poster));
    struct dom_rpc_server_options options = {.listen = "127.0.0.1:0", .insecure_loopback = true};

    (void)state;
    assert_int_equal(dom_rpc_server_new(&harness.server, &options, NULL), DOM_OK);
    poster->harness = &harness;
    (void)post_numbered(poster);
    dom_rpc_server_shutdown(harness.server);
    dom_rpc_server_run(harness.server); /* finds the shutdown behind the work */
    assert_true(atomic_load(&harness.num_posted_run) > ROUNDS);
    dom_rpc_server_destroy(harness.server);
    free(poster);
}

/* ---- shutdown --------------------------------------------------------------------------- */

static void lets_a_call_finish_while_it_drains(void **state)
{
    struct harness harness;
    struct caller caller;
    struct dom_rpc_result result = {0};

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = T});
    caller_start(&caller, &harness, T);
    harness_wait_held(&harness, 1);
    assert_false(dom_rpc_server_draining(harness.server));
    dom_rpc_server_shutdown(harness.server);
    dom_rpc_server_shutdown(harness.server); /* twice is once */
    assert_true(dom_rpc_server_draining(harness.server));
    struct dom_rpc_client *late = harness_client(&harness);
    assert_false(dom_rpc_client_call(late, ECHO, DOM_SLICE_LIT("x"), T, &result));
    assert_int_equal(result.status, 14);
    dom_rpc_client_destroy(late);
    harness_release(&harness);
    assert_int_equal(caller_join(&caller), 0);
    dom_rpc_result_cleanup(&result);
    harness_stop(&harness);
}

static void cancels_what_outlasts_the_grace(void **state)
{
    struct harness harness;
    struct caller caller;

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = 50});
    caller_start(&caller, &harness, T);
    harness_wait_held(&harness, 1);
    dom_rpc_server_shutdown(harness.server);
    harness_wait_cancelled(&harness, 1);
    assert_int_not_equal(caller_join(&caller), 0);
    harness_release(&harness); /* run waits for this */
    harness_stop(&harness);
}

static void can_be_destroyed_without_having_run(void **state)
{
    struct dom_rpc_server_options options = {.listen = "127.0.0.1:0", .insecure_loopback = true};
    struct dom_rpc_server *server = NULL;

    (void)state;
    assert_int_equal(dom_rpc_server_new(&server, &options, NULL), DOM_OK);
    dom_rpc_server_set_health(server, "x", true);
    dom_rpc_server_shutdown(server);
    dom_rpc_server_destroy(server);
    dom_rpc_server_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finishes_an_async_call_from_another_thread),
        cmocka_unit_test(shows_the_handler_that_the_caller_gave_up),
        cmocka_unit_test(admits_calls_up_to_the_limit_and_refuses_the_next),
        cmocka_unit_test(refuses_a_request_larger_than_the_arena),
        cmocka_unit_test(runs_every_posted_item_once_and_in_order),
        cmocka_unit_test(runs_work_that_was_posted_before_run),
        cmocka_unit_test(lets_a_call_finish_while_it_drains),
        cmocka_unit_test(cancels_what_outlasts_the_grace),
        cmocka_unit_test(can_be_destroyed_without_having_run),
    };

    return cmocka_run_group_tests_name("rpc life", tests, NULL, NULL);
}
