#include "tools/bench_rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "domicile/v1/record.pb-c.h"
#include "router/rpc/load.h"
#include "tools/bench_server.h"
#include "tools/command.h"

#define PAIRS_MAX 25U
#define ECHO_BYTES 330U
#define BATCH_KEYS 100U
#define SETTLE_MS_MAX 600000U

/* What one scenario asks, and as whom. */
struct scenario {
    const char *name;
    const char *what;
    const char *path;
    const char *service;
    const char *region;
    const char *purpose;
    const char *kind;
    const char *home;
    unsigned channels;
    unsigned outstanding;
    unsigned records; /* per call */
    bool write;
    bool border;
};

static const struct scenario s_scenarios[] = {
    {"get", "GetRecord, local", "/domicile.v1.RecordService/GetRecord", "profile-service",
     "eu-central-1", "serve", "user", "DE", 4, 16, 1, false, false},
    {"put", "PutRecord, one region, fsynced", "/domicile.v1.RecordService/PutRecord",
     "profile-service", "eu-central-2", "serve", "user", "CH", 8, 32, 1, true, false},
    {"put-2", "PutRecord, two replicas, both fsynced", "/domicile.v1.RecordService/PutRecord",
     "profile-service", "eu-central-1", "serve", "user", "DE", 8, 32, 1, true, false},
    {"get-abroad", "GetRecord across a border, audited, fsynced",
     "/domicile.v1.RecordService/GetRecord", "billing", "us-west-2", "billing", "user", "DE", 8, 32,
     1, false, true},
    {"get-limited", "the same beside a local replica, under a volume limit",
     "/domicile.v1.RecordService/GetRecord", "moderation", "us-west-2", "moderation", "live_room",
     "DE", 8, 32, 1, false, true},
    {"batch-100", "BatchGetRecords of 100, local", "/domicile.v1.RecordService/BatchGetRecords",
     "profile-service", "eu-central-1", "serve", "user", "DE", 4, 4, BATCH_KEYS, false, false},
};

struct run {
    const struct scenario *scenario;
    uint64_t num_records;
    uint64_t state; /* of the generator of ids */
    uint64_t failures;
    char first_failure[160];
};

/* xorshift64*: ids need spread, not secrecy. */
static uint64_t next_number(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    ProtobufCBinaryData out = {.len = strlen(text), .data = NULL};

    memcpy(&out.data, &text, sizeof(text));
    return out;
}

static void pack(const ProtobufCMessage *message, struct dom_buffer *out)
{
    uint8_t *to = dom_buffer_extend(out, protobuf_c_message_get_packed_size(message));

    if (to != NULL) {
        (void)protobuf_c_message_pack(message, to);
    }
}

/* Ids are unique over homes, so the home is part of them. */
static void make_id(char out[24], const struct scenario *scenario, uint64_t number)
{
    (void)snprintf(out, 24, "bench-%s-%010" PRIu64, scenario->home, number);
}

/* A record of about 300 bytes of values. */
static void make_put(const struct scenario *scenario, uint64_t number, struct dom_buffer *out)
{
    static const char bio[] =
        "Evening streams about old cameras, slow trains and the long way round; guests on Fridays, "
        "questions welcome at any time, and the replay stays up for a week. Dial in from anywhere.";
    bool room = strcmp(scenario->kind, "live_room") == 0;
    const char *names[] = {room ? "title" : "display_name", room ? "description" : "bio",
                           room ? "owner_id" : "email", room ? "ip" : "handle"};
    char id[24];
    char owner[48];
    Domicile__V1__Field fields[4];
    Domicile__V1__Field *pointers[4];
    Domicile__V1__PutRecordRequest request = DOMICILE__V1__PUT_RECORD_REQUEST__INIT;

    make_id(id, scenario, number);
    (void)snprintf(owner, sizeof(owner), "%s@people.invalid", id);
    const char *values[] = {"The long way round, live", bio, owner, "203.0.113.77"};
    for (size_t i = 0; i < 4; i++) {
        domicile__v1__field__init(&fields[i]);
        fields[i].name = bytes_of(names[i]);
        fields[i].value_case = DOMICILE__V1__FIELD__VALUE_TEXT;
        fields[i].text = bytes_of(values[i]);
        pointers[i] = &fields[i];
    }
    request.kind = bytes_of(scenario->kind);
    request.id = bytes_of(id);
    request.home = bytes_of(scenario->home);
    request.purpose = bytes_of("serve");
    request.fields = pointers;
    request.n_fields = 4;
    pack(&request.base, out);
}

static void make_get(const struct scenario *scenario, uint64_t number, struct dom_buffer *out)
{
    char id[24];
    Domicile__V1__GetRecordRequest request = DOMICILE__V1__GET_RECORD_REQUEST__INIT;

    make_id(id, scenario, number);
    request.kind = bytes_of(scenario->kind);
    request.id = bytes_of(id);
    request.purpose = bytes_of(scenario->purpose);
    if (scenario->border) {
        request.home = bytes_of(scenario->home);
    }
    pack(&request.base, out);
}

static void make_batch(struct run *run, struct dom_buffer *out)
{
    const struct scenario *scenario = run->scenario;
    char ids[BATCH_KEYS][24];
    Domicile__V1__RecordKey keys[BATCH_KEYS];
    Domicile__V1__RecordKey *pointers[BATCH_KEYS];
    Domicile__V1__BatchGetRecordsRequest request = DOMICILE__V1__BATCH_GET_RECORDS_REQUEST__INIT;

    for (size_t i = 0; i < BATCH_KEYS; i++) {
        make_id(ids[i], scenario, next_number(&run->state) % run->num_records);
        domicile__v1__record_key__init(&keys[i]);
        keys[i].kind = bytes_of(scenario->kind);
        keys[i].id = bytes_of(ids[i]);
        pointers[i] = &keys[i];
    }
    request.keys = pointers;
    request.n_keys = BATCH_KEYS;
    request.purpose = bytes_of(scenario->purpose);
    pack(&request.base, out);
}

static void make_request(void *arg, uint64_t number, struct dom_buffer *out)
{
    struct run *run = arg;
    uint64_t record = next_number(&run->state) % run->num_records;

    (void)number;
    if (run->scenario->records > 1) {
        make_batch(run, out);
    } else if (run->scenario->write) {
        make_put(run->scenario, record, out);
    } else {
        make_get(run->scenario, record, out);
    }
}

static void make_load(void *arg, uint64_t number, struct dom_buffer *out)
{
    const struct run *run = arg;

    make_put(run->scenario, number, out);
}

static void make_echo(void *arg, uint64_t number, struct dom_buffer *out)
{
    uint8_t *to = dom_buffer_extend(out, ECHO_BYTES);

    (void)arg;
    (void)number;
    if (to != NULL) {
        memset(to, 'e', ECHO_BYTES);
    }
}

static void on_reply(void *arg, uint64_t number, int status, struct dom_slice reply)
{
    struct run *run = arg;

    (void)number;
    (void)reply;
    if (status != 0 && run->failures++ == 0) {
        (void)snprintf(run->first_failure, sizeof(run->first_failure), "gRPC status %d", status);
    }
}

/* One load; *cpu_ns gets the server CPU spent on the whole of it. */
static bool load(const struct dom_bench_server *server, struct dom_rpc_load_options *options,
                 const char *service, const char *region, struct dom_rpc_load_result *result,
                 double *cpu_ns_per_call)
{
    const struct dom_rpc_metadata metadata[] = {{"domicile-service", service},
                                                {"domicile-region", region}};
    struct dom_error err = {0};

    options->target = server->address;
    options->metadata = metadata;
    options->num_metadata = 2;
    options->timeout_ms = 60000;
    uint64_t before = dom_bench_server_cpu_ns(server);
    if (dom_rpc_load_run(result, options, &err) != DOM_OK || result->num_calls == 0) {
        (void)fprintf(stderr, "domicile bench: %s: %s\n", options->path,
                      err.code == DOM_OK ? "no call ended" : err.message);
        return false;
    }
    *cpu_ns_per_call =
        (double)(dom_bench_server_cpu_ns(server) - before) / (double)result->num_calls;
    return true;
}

static bool load_records(const struct dom_bench_server *server, const struct scenario *scenario,
                         uint64_t num_records, const char *writer, const char *region)
{
    static struct dom_rpc_load_result result;
    struct run run = {.scenario = scenario, .num_records = num_records, .state = 1};
    double cpu = 0;
    struct dom_rpc_load_options options = {
        .path = "/domicile.v1.RecordService/PutRecord",
        .channels = 8,
        .outstanding = 32,
        .num_calls = num_records,
        .make_request = make_load,
        .on_reply = on_reply,
        .arg = &run,
    };

    if (!load(server, &options, writer, region, &result, &cpu)) {
        return false;
    }
    if (run.failures > 0) {
        (void)fprintf(stderr, "domicile bench: loading %s: %" PRIu64 " of %" PRIu64
                              " failed, first with %s\n",
                      scenario->kind, run.failures, num_records, run.first_failure);
        return false;
    }
    return true;
}

/* Waits until the router owes no replication: background work would be counted otherwise. */
static bool settle(const struct dom_bench_server *server)
{
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

    for (unsigned waited = 0; waited < SETTLE_MS_MAX; waited += 20) {
        if (dom_bench_server_metric(server, "domicile_store_outbox") == 0) {
            return true;
        }
        /* Another process's queue: there is no event of it to wait for here. */
        (void)nanosleep(&pause, NULL);
    }
    (void)fprintf(stderr, "domicile bench: replication does not come to rest\n");
    return false;
}

struct figures {
    double ratio[PAIRS_MAX];
    double cpu_us[PAIRS_MAX];
    double echo_us[PAIRS_MAX];
    double rate[PAIRS_MAX];
    double fsyncs;   /* per record */
    double allocs;
    double copied;
    double echo_allocs;
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t p999_ns;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, unsigned num)
{
    double sorted[PAIRS_MAX];

    memcpy(sorted, values, num * sizeof(values[0]));
    qsort(sorted, num, sizeof(sorted[0]), compare);
    return num % 2 == 1 ? sorted[num / 2] : (sorted[num / 2 - 1] + sorted[num / 2]) / 2;
}

static bool run_echo(const struct dom_bench_server *server, const struct scenario *scenario,
                     uint64_t run_ms, double *cpu_ns)
{
    static struct dom_rpc_load_result result;
    struct run run = {.scenario = scenario, .num_records = 1, .state = 1};
    struct dom_rpc_load_options options = {
        .path = "/domicile.bench.Echo/Echo",
        .channels = scenario->channels,
        .outstanding = scenario->outstanding,
        .duration_ms = run_ms,
        .make_request = make_echo,
        .on_reply = on_reply,
        .arg = &run,
    };

    return load(server, &options, scenario->service, scenario->region, &result, cpu_ns);
}

static bool run_pair(const struct dom_bench_server *server,
                     const struct dom_bench_rpc_options *bench, struct run *run, unsigned pair,
                     struct figures *out)
{
    static struct dom_rpc_load_result result;
    const struct scenario *scenario = run->scenario;
    double echo_ns = 0;
    double cpu_ns = 0;
    struct dom_rpc_load_options options = {
        .path = scenario->path,
        .channels = scenario->channels,
        .outstanding = scenario->outstanding,
        .duration_ms = bench->run_ms,
        .make_request = make_request,
        .on_reply = on_reply,
        .arg = run,
    };

    uint64_t allocs = server->counts == NULL ? 0 : server->counts[0];
    if (!run_echo(server, scenario, bench->run_ms, &echo_ns)) {
        return false;
    }
    out->echo_allocs = server->counts == NULL ? 0 : (double)(server->counts[0] - allocs);
    uint64_t fsyncs = dom_bench_server_metric(server, "domicile_store_fsyncs_total");
    allocs = server->counts == NULL ? 0 : server->counts[0];
    uint64_t copied = server->counts == NULL ? 0 : server->counts[1];
    if (!load(server, &options, scenario->service, scenario->region, &result, &cpu_ns)) {
        return false;
    }
    double records = (double)result.num_calls * scenario->records;
    out->fsyncs =
        (double)(dom_bench_server_metric(server, "domicile_store_fsyncs_total") - fsyncs) / records;
    if (server->counts != NULL) {
        out->allocs = (double)(server->counts[0] - allocs) / records;
        out->copied = (double)(server->counts[1] - copied) / records;
    }
    out->echo_us[pair] = echo_ns / 1e3;
    out->cpu_us[pair] = cpu_ns / 1e3 / scenario->records;
    out->ratio[pair] = cpu_ns / scenario->records / echo_ns;
    out->rate[pair] = records * 1e9 / (double)result.elapsed_ns;
    out->p50_ns = dom_rpc_histogram_quantile(&result.latency, 500);
    out->p99_ns = dom_rpc_histogram_quantile(&result.latency, 990);
    out->p999_ns = dom_rpc_histogram_quantile(&result.latency, 999);
    return true;
}

static void print_figures(const struct dom_bench_rpc_options *bench,
                          const struct scenario *scenario, const struct figures *f)
{
    double low = f->ratio[0];
    double high = f->ratio[0];

    for (unsigned i = 1; i < bench->pairs; i++) {
        low = f->ratio[i] < low ? f->ratio[i] : low;
        high = f->ratio[i] > high ? f->ratio[i] : high;
    }
    (void)printf(bench->json ? "{\"op\":\"%s\",\"outstanding\":%u,\"per_second\":%.0f,"
                               "\"server_us\":%.2f,\"echo_us\":%.2f,\"ratio\":%.2f,"
                               "\"ratio_min\":%.2f,\"ratio_max\":%.2f,\"p50_us\":%.0f,"
                               "\"p99_us\":%.0f,\"p999_us\":%.0f,\"fsyncs\":%.4f,"
                               "\"allocations\":%.1f,\"copied_bytes\":%.0f}\n"
                             : "%-11s %5u %9.0f %8.2f %7.2f %6.2f %5.2f-%-5.2f %7.0f %7.0f %7.0f "
                               "%7.4f %6.1f %7.0f\n",
                 scenario->name, scenario->channels * scenario->outstanding,
                 median(f->rate, bench->pairs), median(f->cpu_us, bench->pairs),
                 median(f->echo_us, bench->pairs), median(f->ratio, bench->pairs), low, high,
                 (double)f->p50_ns / 1e3, (double)f->p99_ns / 1e3, (double)f->p999_ns / 1e3,
                 f->fsyncs, f->allocs, f->copied);
    (void)fflush(stdout);
}

static bool run_scenario(const struct dom_bench_server *server,
                         const struct dom_bench_rpc_options *bench, const struct scenario *scenario)
{
    struct run run = {.scenario = scenario, .num_records = bench->num_records,
                      .state = UINT64_C(0x9E3779B97F4A7C15)};
    struct figures figures;

    memset(&figures, 0, sizeof(figures));
    for (unsigned pair = 0; pair < bench->pairs; pair++) {
        if (!run_pair(server, bench, &run, pair, &figures)) {
            return false;
        }
    }
    if (run.failures > 0) {
        (void)fprintf(stderr, "domicile bench: %s: %" PRIu64 " calls failed, first with %s\n",
                      scenario->name, run.failures, run.first_failure);
        return false;
    }
    print_figures(bench, scenario, &figures);
    return true;
}

static bool wanted(const struct dom_bench_rpc_options *bench, const struct scenario *scenario)
{
    return bench->only == NULL || strcmp(bench->only, scenario->name) == 0;
}

/* Loads what the wanted scenarios read or replace, each (kind, home) once. */
static bool load_all(const struct dom_bench_server *server,
                     const struct dom_bench_rpc_options *bench)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_scenarios); i++) {
        const struct scenario *scenario = &s_scenarios[i];
        bool loaded = !wanted(bench, scenario);
        for (size_t k = 0; k < i && !loaded; k++) {
            loaded = wanted(bench, &s_scenarios[k]) &&
                     strcmp(s_scenarios[k].kind, scenario->kind) == 0 &&
                     strcmp(s_scenarios[k].home, scenario->home) == 0;
        }
        bool room = strcmp(scenario->kind, "live_room") == 0;
        if (!loaded && !load_records(server, scenario, bench->num_records,
                                     room ? "room-service" : "profile-service",
                                     scenario->border ? "eu-central-1" : scenario->region)) {
            return false;
        }
    }
    return settle(server);
}

static bool run_all(const struct dom_bench_server *server,
                    const struct dom_bench_rpc_options *bench)
{
    bool any = false;

    if (!load_all(server, bench)) {
        return false;
    }
    if (!bench->json) {
        (void)printf("memory %.0f MB resident with %" PRIu64 " records of a kind loaded\n\n",
                     (double)dom_bench_server_rss_bytes(server) / 1e6, bench->num_records);
        (void)printf("%-11s %5s %9s %8s %7s %6s %-11s %7s %7s %7s %7s %6s %7s\n", "operation",
                     "out.", "per s", "us", "R us", "x R", "(min-max)", "p50us", "p99us",
                     "p999us", "fsyncs", "allocs", "copied");
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_scenarios); i++) {
        if (!wanted(bench, &s_scenarios[i])) {
            continue;
        }
        any = true;
        if (!run_scenario(server, bench, &s_scenarios[i]) || !settle(server)) {
            return false;
        }
    }
    if (!any) {
        (void)fprintf(stderr, "domicile bench: no scenario \"%s\"\n", bench->only);
    }
    return any;
}

static const struct scenario *find_scenario(const char *name)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_scenarios); i++) {
        if (strcmp(s_scenarios[i].name, name) == 0) {
            return &s_scenarios[i];
        }
    }
    DOM_ASSERT(false);
    return NULL;
}

bool dom_bench_rpc_load(const struct dom_bench_server *server, const char *name,
                        uint64_t num_records)
{
    const struct scenario *scenario = find_scenario(name);

    return load_records(server, scenario, num_records, "profile-service",
                        scenario->border ? "eu-central-1" : scenario->region) &&
           settle(server);
}

bool dom_bench_rpc_alone(const struct dom_bench_server *server, const char *name,
                         uint64_t num_records, uint64_t run_ms, uint64_t *p50_ns,
                         uint64_t *num_calls)
{
    static struct dom_rpc_load_result result;
    struct run run = {.scenario = find_scenario(name),
                      .num_records = num_records,
                      .state = UINT64_C(0x9E3779B97F4A7C15)};
    double cpu_ns = 0;
    struct dom_rpc_load_options options = {
        .path = run.scenario->path,
        .channels = 1,
        .outstanding = 1,
        .duration_ms = run_ms,
        .make_request = make_request,
        .on_reply = on_reply,
        .arg = &run,
    };

    if (!load(server, &options, run.scenario->service, run.scenario->region, &result, &cpu_ns)) {
        return false;
    }
    if (run.failures > 0) {
        (void)fprintf(stderr, "domicile bench: %s: %" PRIu64 " calls failed, first with %s\n", name,
                      run.failures, run.first_failure);
        return false;
    }
    *p50_ns = dom_rpc_histogram_quantile(&result.latency, 500);
    *num_calls = result.num_calls;
    return true;
}

int dom_bench_rpc(const struct dom_bench_rpc_options *options)
{
    struct dom_bench_server server;
    struct dom_error err = {0};

    if (options->pairs == 0 || options->pairs > PAIRS_MAX || options->num_records == 0) {
        (void)fprintf(stderr, "domicile bench: 1 to %u pairs, at least one record\n", PAIRS_MAX);
        return DOM_EXIT_USAGE;
    }
    bool ok = dom_bench_server_start(&server, options->policy, options->scratch,
                                     options->count_lib, &err) == DOM_OK;
    if (!ok) {
        (void)fprintf(stderr, "domicile bench: %s\n", err.message);
    }
    ok = ok && run_all(&server, options);
    dom_bench_server_stop(&server);
    return ok ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}
