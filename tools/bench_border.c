#include "tools/bench_border.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "router/rpc/load.h"
#include "tools/bench_bare.h"
#include "tools/bench_server.h"
#include "tools/command.h"

#define PAIRS_MAX        25U
#define BYTES_MAX        65536U
#define BYTES_AT_FIRST   1024U /* until a crossing told how much it writes */
#define PUBLISH_PAUSE_NS 1500000000L

/* One round: the raw disk, a local read, the disk once more, a bare server, a read across a border. */
struct round {
    double fsync_us;  /* one after the other */
    double paced_us;  /* each after a pause as long as a local read */
    double bare_us;   /* what a sync adds at a server with nothing else */
    double local_us;
    double abroad_us;
    double ratio; /* what the border adds, in fsyncs */
    double paced; /* in those after a pause */
    double bare;  /* and in those of the bare server */
};

/* Median of write and fdatasync of `len` bytes at the end of a file on the router's disk. The sync of
 * a crossing at low load comes after a pause in which the machine went idle, and waking it is part of
 * it; so `pause_us` before each. */
static bool sync_alone(const struct dom_bench_server *server, size_t len, uint64_t run_ms,
                       uint64_t pause_us, double *p50_us)
{
    const struct timespec pause = {.tv_nsec = (long)(pause_us % 1000000) * 1000};
    static struct dom_rpc_histogram histogram;
    static uint8_t bytes[BYTES_MAX];
    char path[300];

    memset(&histogram, 0, sizeof(histogram));
    memset(bytes, 0xA5, sizeof(bytes));
    (void)snprintf(path, sizeof(path), "%s/fsync", server->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    uint64_t begin = dom_clock_monotonic_us(dom_clock_system());
    while (ok && dom_clock_monotonic_us(dom_clock_system()) - begin < run_ms * 1000) {
        struct timespec before;
        struct timespec after;
        if (pause_us > 0) {
            (void)nanosleep(&pause, NULL);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &before);
        ok = write(fd, bytes, len) == (ssize_t)len && fdatasync(fd) == 0;
        (void)clock_gettime(CLOCK_MONOTONIC, &after);
        dom_rpc_histogram_add(&histogram,
                              (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000U +
                                  (uint64_t)after.tv_nsec - (uint64_t)before.tv_nsec);
    }
    if (!ok) {
        (void)fprintf(stderr, "domicile bench: %s: %s\n", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    *p50_us = (double)dom_rpc_histogram_quantile(&histogram, 500) / 1e3;
    return ok;
}

/* *bytes: what one commit of a crossing writes; for the next round's raw writes. */
static bool run_round(const struct dom_bench_server *server,
                      const struct dom_bench_rpc_options *bench, size_t *bytes, struct round *out)
{
    const struct timespec pause = {.tv_sec = PUBLISH_PAUSE_NS / 1000000000L,
                                   .tv_nsec = PUBLISH_PAUSE_NS % 1000000000L};
    uint64_t local_ns = 0;
    uint64_t abroad_ns = 0;
    uint64_t calls = 0;

    if (!sync_alone(server, *bytes, bench->run_ms, 0, &out->fsync_us) ||
        !dom_bench_rpc_alone(server, "get", bench->num_records, bench->run_ms, &local_ns, &calls) ||
        !sync_alone(server, *bytes, bench->run_ms, local_ns / 1000, &out->paced_us) ||
        !dom_bench_bare(server->folder, *bytes, bench->run_ms, &out->bare_us)) {
        return false;
    }
    uint64_t before = dom_bench_server_metric(server, "domicile_store_batch_bytes_total");
    if (!dom_bench_rpc_alone(server, "get-abroad", bench->num_records, bench->run_ms, &abroad_ns,
                             &calls)) {
        return false;
    }
    uint64_t wrote = dom_bench_server_metric(server, "domicile_store_batch_bytes_total") - before;
    size_t each = calls == 0 ? 0 : (size_t)(wrote / calls);
    *bytes = each == 0 ? *bytes : each > BYTES_MAX ? BYTES_MAX : each;
    /* What was logged is published within a second, with fsyncs of its own. They belong to the
     * crossings, not to the next round's bare disk. */
    (void)nanosleep(&pause, NULL);
    out->local_us = (double)local_ns / 1e3;
    out->abroad_us = (double)abroad_ns / 1e3;
    out->ratio = (out->abroad_us - out->local_us) / out->fsync_us;
    out->paced = (out->abroad_us - out->local_us) / out->paced_us;
    out->bare = (out->abroad_us - out->local_us) / out->bare_us;
    return true;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct round *rounds, unsigned num, size_t member)
{
    double sorted[PAIRS_MAX];

    for (unsigned i = 0; i < num; i++) {
        memcpy(&sorted[i], (const char *)&rounds[i] + member, sizeof(double));
    }
    qsort(sorted, num, sizeof(sorted[0]), compare);
    return num % 2 == 1 ? sorted[num / 2] : (sorted[num / 2 - 1] + sorted[num / 2]) / 2;
}

static void print_round(bool json, const char *name, const struct round *r, size_t bytes)
{
    if (json) {
        (void)printf("{\"round\":\"%s\",\"bytes\":%zu,\"fsync_us\":%.1f,\"paced_us\":%.1f,"
                     "\"bare_us\":%.1f,\"local_us\":%.1f,\"abroad_us\":%.1f,\"added_fsyncs\":%.2f,"
                     "\"added_paced\":%.2f,\"added_bare\":%.2f}\n",
                     name, bytes, r->fsync_us, r->paced_us, r->bare_us, r->local_us, r->abroad_us,
                     r->ratio, r->paced, r->bare);
    } else {
        (void)printf("%-7s %7zu %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f %9.2f %9.2f %9.2f\n", name,
                     bytes, r->fsync_us, r->paced_us, r->bare_us, r->local_us, r->abroad_us,
                     r->abroad_us - r->local_us, r->ratio, r->paced, r->bare);
    }
    (void)fflush(stdout);
}

static bool run_all(const struct dom_bench_server *server,
                    const struct dom_bench_rpc_options *bench)
{
    struct round rounds[PAIRS_MAX];
    struct round warm;
    char name[16];
    size_t bytes = BYTES_AT_FIRST;

    /* The first round tells the size that a crossing writes, and is not counted. */
    if (!dom_bench_rpc_load(server, "get-abroad", bench->num_records) ||
        !run_round(server, bench, &bytes, &warm)) {
        return false;
    }
    if (!bench->json) {
        (void)printf("%-7s %7s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "round", "bytes",
                     "fsync us", "paced us", "bare us", "local us", "abroad us", "added us",
                     "x fsync", "x paced", "x bare");
    }
    for (unsigned i = 0; i < bench->pairs; i++) {
        size_t used = bytes;
        if (!run_round(server, bench, &bytes, &rounds[i])) {
            return false;
        }
        (void)snprintf(name, sizeof(name), "%u", i + 1);
        print_round(bench->json, name, &rounds[i], used);
    }
    struct round middle = {
        .fsync_us = median(rounds, bench->pairs, offsetof(struct round, fsync_us)),
        .local_us = median(rounds, bench->pairs, offsetof(struct round, local_us)),
        .abroad_us = median(rounds, bench->pairs, offsetof(struct round, abroad_us)),
        .paced_us = median(rounds, bench->pairs, offsetof(struct round, paced_us)),
        .bare_us = median(rounds, bench->pairs, offsetof(struct round, bare_us)),
        .ratio = median(rounds, bench->pairs, offsetof(struct round, ratio)),
        .paced = median(rounds, bench->pairs, offsetof(struct round, paced)),
        .bare = median(rounds, bench->pairs, offsetof(struct round, bare))};
    print_round(bench->json, "median", &middle, bytes);
    return true;
}

int dom_bench_border(const struct dom_bench_rpc_options *options)
{
    struct dom_bench_server server;
    struct dom_error err = {0};

    if (options->pairs == 0 || options->pairs > PAIRS_MAX || options->num_records == 0) {
        (void)fprintf(stderr, "domicile bench: 1 to %u pairs, at least one record\n", PAIRS_MAX);
        return DOM_EXIT_USAGE;
    }
    bool ok = dom_bench_server_start(&server, options->policy, options->scratch, NULL, &err) ==
              DOM_OK;
    if (!ok) {
        (void)fprintf(stderr, "domicile bench: %s\n", err.message);
    }
    ok = ok && run_all(&server, options);
    dom_bench_server_stop(&server);
    return ok ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}
