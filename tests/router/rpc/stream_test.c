/* Server streaming: order, flow control, peers that leave. */
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "tests/router/rpc/harness.h"
#include "tests/router/rpc/suite.h"

static struct harness_pair s_pair = {.drain_grace_ms = T};

static bool expect_next(void *arg, struct dom_slice message)
{
    int *next = arg;
    char want[16];

    (void)snprintf(want, sizeof(want), "%d", (*next)++);
    return dom_slice_eq_str(message, want);
}

static void sends_every_message_in_order(void **state)
{
    int next = 0;

    (void)state;
    assert_true(dom_rpc_client_stream(s_pair.client, COUNT, DOM_SLICE_LIT("1000"), T, expect_next,
                                      &next, &s_pair.result));
    assert_int_equal(next, 1000);
    assert_int_equal(s_pair.result.num_messages, 1000);
}

static void ends_a_stream_without_messages(void **state)
{
    int next = 0;

    (void)state;
    assert_true(dom_rpc_client_stream(s_pair.client, COUNT, DOM_SLICE_LIT("0"), T, expect_next,
                                      &next, &s_pair.result));
    assert_int_equal(s_pair.result.num_messages, 0);
}

static bool take_three(void *arg, struct dom_slice message)
{
    int *taken = arg;

    (void)message;
    return ++*taken < 3;
}

static void notices_a_peer_that_cancels(void **state)
{
    int taken = 0;

    (void)state;
    assert_false(dom_rpc_client_stream(s_pair.client, FLOOD, DOM_SLICE_LIT("x"), T, take_three,
                                       &taken, &s_pair.result));
    assert_int_equal(s_pair.result.status, 1);
    assert_int_equal(taken, 3);
    harness_wait_lost(&s_pair.harness, 1);
}

static uint64_t flood_sent(void)
{
    pthread_mutex_lock(&s_pair.harness.lock);
    uint64_t sent = s_pair.harness.flood_sent;
    pthread_mutex_unlock(&s_pair.harness.lock);
    return sent;
}

/* Does not read on until the sender has stood still for a while: there is no event for "nothing
 * more happens", so this one test watches a clock. */
static bool stall(void *arg, struct dom_slice message)
{
    uint64_t *at_rest = arg;
    struct timespec nap = {.tv_nsec = 100000000};
    uint64_t before = 0;

    (void)message;
    do {
        before = flood_sent();
        nanosleep(&nap, NULL);
    } while (flood_sent() != before);
    *at_rest = before;
    return false;
}

static void holds_the_sender_of_a_slow_reader(void **state)
{
    uint64_t at_rest = 0;

    (void)state;
    assert_false(dom_rpc_client_stream(s_pair.client, FLOOD, DOM_SLICE_LIT("x"), T, stall, &at_rest,
                                       &s_pair.result));
    /* 64 KB each: socket buffers and windows take some, never an endless amount. */
    assert_in_range(at_rest, 1, 1000);
    harness_wait_lost(&s_pair.harness, 1);
}

struct watcher {
    pthread_t thread;
    struct dom_rpc_client *client;
    struct dom_rpc_result result;
    int messages;
};

static bool count_message(void *arg, struct dom_slice message)
{
    struct watcher *watcher = arg;

    (void)message;
    watcher->messages++;
    return true;
}

static void *run_flood(void *arg)
{
    struct watcher *watcher = arg;

    (void)dom_rpc_client_stream(watcher->client, FLOOD, DOM_SLICE_LIT("x"), 0, count_message,
                                watcher, &watcher->result);
    return NULL;
}

static void cancels_a_stream_that_outlasts_the_grace(void **state)
{
    struct harness harness;
    struct watcher watcher = {0};

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = 50});
    watcher.client = harness_client(&harness);
    assert_int_equal(pthread_create(&watcher.thread, NULL, run_flood, &watcher), 0);
    pthread_mutex_lock(&harness.lock);
    while (harness.flood_sent < 10) {
        pthread_mutex_unlock(&harness.lock);
        sched_yield();
        pthread_mutex_lock(&harness.lock);
    }
    pthread_mutex_unlock(&harness.lock);
    harness_stop(&harness);
    pthread_join(watcher.thread, NULL);
    assert_int_not_equal(watcher.result.status, 0);
    dom_rpc_result_cleanup(&watcher.result);
    dom_rpc_client_destroy(watcher.client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(sends_every_message_in_order),
        PAIR_TEST(ends_a_stream_without_messages),
        PAIR_TEST(notices_a_peer_that_cancels),
        PAIR_TEST(holds_the_sender_of_a_slow_reader),
        cmocka_unit_test(cancels_a_stream_that_outlasts_the_grace),
    };

    return cmocka_run_group_tests_name("rpc stream", tests, NULL, NULL);
}
