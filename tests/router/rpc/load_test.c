/* The load generator and its histogram: what bench figures rest on. */
#include <stdlib.h>

#include "router/rpc/load.h"
#include "tests/router/rpc/harness.h"
#include "tests/router/rpc/suite.h"

static struct dom_rpc_histogram s_histogram;
static struct dom_rpc_load_result s_result;

static void gives_quantiles_within_a_64th(void **state)
{
    (void)state;
    memset(&s_histogram, 0, sizeof(s_histogram));
    for (uint64_t i = 1; i <= 1000; i++) {
        dom_rpc_histogram_add(&s_histogram, i * 1000);
    }
    assert_in_range(dom_rpc_histogram_quantile(&s_histogram, 500), 500000, 508000);
    assert_in_range(dom_rpc_histogram_quantile(&s_histogram, 990), 990000, 1000000);
    assert_int_equal(dom_rpc_histogram_quantile(&s_histogram, 1000), 1000000);
    assert_in_range(dom_rpc_histogram_quantile(&s_histogram, 0), 1000, 1016);
    assert_int_equal(s_histogram.max_ns, 1000000);
}

static void takes_the_extremes(void **state)
{
    (void)state;
    memset(&s_histogram, 0, sizeof(s_histogram));
    assert_int_equal(dom_rpc_histogram_quantile(&s_histogram, 500), 0);
    dom_rpc_histogram_add(&s_histogram, 0);
    assert_int_equal(dom_rpc_histogram_quantile(&s_histogram, 500), 0);
    dom_rpc_histogram_add(&s_histogram, UINT64_MAX);
    assert_true(dom_rpc_histogram_quantile(&s_histogram, 1000) > 1000000000ULL);
    for (uint64_t v = 1; v < (1ULL << 40); v = v * 3 + 1) {
        memset(&s_histogram, 0, sizeof(s_histogram));
        dom_rpc_histogram_add(&s_histogram, v);
        assert_int_equal(dom_rpc_histogram_quantile(&s_histogram, 500), v);
    }
}

struct seen {
    uint64_t sum_requests;
    uint64_t sum_replies;
    uint64_t replies;
};

static void make(void *arg, uint64_t number, struct dom_buffer *out)
{
    struct seen *seen = arg;

    seen->sum_requests += number;
    dom_buffer_append(out, &number, sizeof(number));
}

static void look(void *arg, uint64_t number, int status, struct dom_slice reply)
{
    struct seen *seen = arg;
    uint64_t echoed = 0;

    if (status == 0 && reply.len == sizeof(echoed)) {
        memcpy(&echoed, reply.data, sizeof(echoed));
        assert_int_equal(echoed, number);
        seen->sum_replies += echoed;
    }
    seen->replies++;
}

static void makes_each_call_once(void **state)
{
    struct harness harness;
    struct seen seen = {0};
    struct dom_rpc_stats stats;

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = T});
    struct dom_rpc_load_options options = {.target = dom_rpc_server_address(harness.server),
                                           .path = ECHO,
                                           .channels = 3,
                                           .outstanding = 20,
                                           .num_calls = 5000,
                                           .make_request = make,
                                           .on_reply = look,
                                           .arg = &seen};
    assert_int_equal(dom_rpc_load_run(&s_result, &options, NULL), DOM_OK);
    assert_int_equal(s_result.num_calls, 5000);
    assert_int_equal(s_result.by_status[0], 5000);
    assert_int_equal(s_result.latency.num, 5000);
    assert_int_equal(s_result.request_bytes, 40000);
    assert_int_equal(s_result.reply_bytes, 40000);
    assert_int_equal(seen.replies, 5000);
    assert_int_equal(seen.sum_requests, 4999ULL * 5000 / 2);
    assert_int_equal(seen.sum_replies, seen.sum_requests);
    dom_rpc_server_stats(harness.server, &stats);
    assert_int_equal(stats.calls_started, 5000);
    harness_stop(&harness);
}

static void counts_failures_by_their_status(void **state)
{
    struct harness harness;
    struct seen seen = {0};

    (void)state;
    harness_start(&harness, &(struct harness_options){.drain_grace_ms = T});
    struct dom_rpc_load_options options = {.target = dom_rpc_server_address(harness.server),
                                           .path = WHO,
                                           .channels = 1,
                                           .outstanding = 4,
                                           .num_calls = 100,
                                           .make_request = make,
                                           .arg = &seen};
    assert_int_equal(dom_rpc_load_run(&s_result, &options, NULL), DOM_OK);
    assert_int_equal(s_result.by_status[16], 100);
    assert_int_equal(s_result.latency.num, 0);
    harness_stop(&harness);
}

static void refuses_options_out_of_range(void **state)
{
    struct dom_rpc_load_options options = {
        .target = "127.0.0.1:1", .path = ECHO, .make_request = make, .num_calls = 1};

    (void)state;
    assert_int_equal(dom_rpc_load_run(&s_result, &options, NULL), DOM_INVALID);
    options.channels = DOM_RPC_LOAD_CHANNELS_MAX + 1;
    options.outstanding = 1;
    assert_int_equal(dom_rpc_load_run(&s_result, &options, NULL), DOM_INVALID);
    options.channels = 2;
    options.outstanding = DOM_RPC_LOAD_OUTSTANDING_MAX / 2 + 1;
    assert_int_equal(dom_rpc_load_run(&s_result, &options, NULL), DOM_INVALID);
    options.outstanding = 1;
    options.num_calls = 0;
    assert_int_equal(dom_rpc_load_run(&s_result, &options, NULL), DOM_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_quantiles_within_a_64th),
        cmocka_unit_test(takes_the_extremes),
        cmocka_unit_test(makes_each_call_once),
        cmocka_unit_test(counts_failures_by_their_status),
        cmocka_unit_test(refuses_options_out_of_range),
    };

    return cmocka_run_group_tests_name("rpc load", tests, NULL, NULL);
}
