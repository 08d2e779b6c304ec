/* rpc_load TARGET CHANNELS OUTSTANDING MILLISECONDS [PATH]: raw unary echo, 330 bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "router/rpc/load.h"
#include "tests/router/rpc/harness.h"

static void make(void *arg, uint64_t number, struct dom_buffer *out)
{
    static const uint8_t filler[330];

    (void)arg;
    (void)number;
    dom_buffer_append(out, filler, sizeof(filler));
}

int main(int argc, char **argv)
{
    static struct dom_rpc_load_result result;
    struct dom_error err = {0};

    if (argc < 5) {
        return 2;
    }
    struct dom_rpc_load_options options = {
        .target = argv[1],
        .path = argc > 5 ? argv[5] : ECHO,
        .channels = (unsigned)strtoul(argv[2], NULL, 10),
        .outstanding = (unsigned)strtoul(argv[3], NULL, 10),
        .duration_ms = strtoul(argv[4], NULL, 10),
        .make_request = make,
    };
    if (dom_rpc_load_run(&result, &options, &err) != DOM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    printf("calls %llu ok %llu per_s %.0f p50_us %.1f p99_us %.1f p999_us %.1f\n",
           (unsigned long long)result.num_calls, (unsigned long long)result.by_status[0],
           (double)result.num_calls * 1e9 / (double)result.elapsed_ns,
           (double)dom_rpc_histogram_quantile(&result.latency, 500) / 1e3,
           (double)dom_rpc_histogram_quantile(&result.latency, 990) / 1e3,
           (double)dom_rpc_histogram_quantile(&result.latency, 999) / 1e3);
    return result.by_status[0] == result.num_calls ? 0 : 1;
}
