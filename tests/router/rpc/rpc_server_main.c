/* The harness's server as a program, for clients in other languages and for measuring.
 *
 *   rpc_server [ADDRESS]   prints "listening HOST:PORT", serves until SIGTERM or SIGINT, then
 *                          prints "cpu_us N calls N" (of the process) and ends with 0.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "tests/router/rpc/harness.h"

int main(int argc, char **argv)
{
    struct harness harness;
    struct dom_rpc_stats stats;
    struct timespec cpu;
    sigset_t signals;
    int got = 0;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    /* Before grpc makes its threads: they inherit the mask. */
    int rc = pthread_sigmask(SIG_BLOCK, &signals, NULL);
    DOM_ASSERT(rc == 0);
    harness_start(&harness, &(struct harness_options){.listen = argc > 1 ? argv[1] : NULL,
                                                      .drain_grace_ms = 2000});
    printf("listening %s\n", dom_rpc_server_address(harness.server));
    fflush(stdout);
    rc = sigwait(&signals, &got);
    DOM_ASSERT(rc == 0);
    dom_rpc_server_stats(harness.server, &stats);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("cpu_us %lld calls %llu\n", (long long)cpu.tv_sec * 1000000 + cpu.tv_nsec / 1000,
           (unsigned long long)stats.calls_finished);
    fflush(stdout);
    harness_stop(&harness);
    return 0;
}
