#include "tools/bench_tls.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domicile/v1/record.pb-c.h"
#include "router/rpc/load.h"
#include "tools/bench_server.h"
#include "tools/command.h"
#include "tools/pki.h"

#define PAIRS_MAX 25U
#define ECHO "/domicile.bench.Echo/Echo"
#define GET "/domicile.v1.RecordService/GetRecord"
#define PUT "/domicile.v1.RecordService/PutRecord"
#define ECHO_BYTES 330U

/* One of the two routers, and how it is spoken to. */
struct side {
    struct dom_bench_server server;
    const struct dom_rpc_client_tls *tls; /* NULL: plain text */
};

struct bench {
    const struct dom_bench_tls_options *options;
    struct side plain;
    struct side tls;
    struct dom_rpc_client_tls identity;
    char folder[64]; /* of the certificates */
    char cert[128];
    char key[128];
    char ca[128];
    uint64_t failures;
};

static const struct dom_rpc_metadata s_metadata[] = {{"domicile-service", "profile-service"},
                                                     {"domicile-region", "eu-central-1"}};

/* ---- requests --------------------------------------------------------------------------- */

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

static void make_echo(void *arg, uint64_t number, struct dom_buffer *out)
{
    uint8_t *to = dom_buffer_extend(out, ECHO_BYTES);

    (void)arg;
    (void)number;
    if (to != NULL) {
        memset(to, 'e', ECHO_BYTES);
    }
}

static void make_get(void *arg, uint64_t number, struct dom_buffer *out)
{
    const struct bench *bench = arg;
    char id[32];
    Domicile__V1__GetRecordRequest request = DOMICILE__V1__GET_RECORD_REQUEST__INIT;

    (void)snprintf(id, sizeof(id), "tls-%" PRIu64,
                   number * UINT64_C(7919) % bench->options->num_records);
    request.kind = bytes_of("user");
    request.id = bytes_of(id);
    request.purpose = bytes_of("serve");
    pack(&request.base, out);
}

static void make_put(void *arg, uint64_t number, struct dom_buffer *out)
{
    static const char bio[] =
        "Evening streams about old cameras, slow trains and the long way round; guests on Fridays, "
        "questions welcome at any time, and the replay stays up for a week. Dial in from anywhere.";
    static const char *const names[] = {"display_name", "bio", "email", "handle"};
    const char *values[] = {"The long way round, live", bio, "someone@people.invalid", "longway"};
    char id[32];
    Domicile__V1__Field fields[4];
    Domicile__V1__Field *pointers[4];
    Domicile__V1__PutRecordRequest request = DOMICILE__V1__PUT_RECORD_REQUEST__INIT;

    (void)arg;
    (void)snprintf(id, sizeof(id), "tls-%" PRIu64, number);
    for (size_t i = 0; i < 4; i++) {
        domicile__v1__field__init(&fields[i]);
        fields[i].name = bytes_of(names[i]);
        fields[i].value_case = DOMICILE__V1__FIELD__VALUE_TEXT;
        fields[i].text = bytes_of(values[i]);
        pointers[i] = &fields[i];
    }
    request.kind = bytes_of("user");
    request.id = bytes_of(id);
    request.home = bytes_of("DE");
    request.purpose = bytes_of("serve");
    request.fields = pointers;
    request.n_fields = 4;
    pack(&request.base, out);
}

static void on_reply(void *arg, uint64_t number, int status, struct dom_slice reply)
{
    struct bench *bench = arg;

    (void)number;
    (void)reply;
    bench->failures += status != 0;
}

/* ---- runs ------------------------------------------------------------------------------- */

/* Server CPU of one call in microseconds; negative after a failure, which has been told. */
static double run(struct bench *bench, const struct side *side, const char *path, uint64_t calls,
                  void (*make)(void *arg, uint64_t number, struct dom_buffer *out))
{
    static struct dom_rpc_load_result result;
    struct dom_error err = {0};
    struct dom_rpc_load_options options = {
        .target = side->server.address,
        .path = path,
        .metadata = s_metadata,
        .num_metadata = 2,
        .tls = side->tls,
        .channels = 4,
        .outstanding = 16,
        .num_calls = calls,
        .duration_ms = calls > 0 ? 0 : bench->options->run_ms,
        .timeout_ms = 60000,
        .make_request = make,
        .on_reply = on_reply,
        .arg = bench,
    };

    uint64_t before = dom_bench_server_cpu_ns(&side->server);
    enum dom_code rc = dom_rpc_load_run(&result, &options, &err);
    if (rc != DOM_OK || result.num_calls == 0 || bench->failures > 0) {
        (void)fprintf(stderr, "domicile bench: %s: %" PRIu64 " failed; %s\n", path,
                      bench->failures, err.message);
        return -1;
    }
    return (double)(dom_bench_server_cpu_ns(&side->server) - before) / 1e3 /
           (double)result.num_calls;
}

/* One connection after another, each with one echo. Server CPU of each in microseconds. */
static double connections(const struct bench *bench, const struct side *side,
                          struct dom_rpc_sessions *sessions)
{
    struct dom_rpc_client_tls tls = {0};
    struct dom_rpc_client_options options = {.target = side->server.address};
    struct dom_rpc_result result = {0};
    struct dom_error err = {0};
    bool ok = true;

    if (side->tls != NULL) {
        tls = *side->tls;
        tls.sessions = sessions;
        options.tls = &tls;
    }
    uint64_t before = dom_bench_server_cpu_ns(&side->server);
    for (unsigned i = 0; i < bench->options->num_handshakes && ok; i++) {
        struct dom_rpc_client *client = NULL;
        ok = dom_rpc_client_new(&client, &options, &err) == DOM_OK &&
             dom_rpc_client_call(client, ECHO, DOM_SLICE_LIT("x"), 20000, &result);
        dom_rpc_client_destroy(client);
    }
    dom_rpc_result_cleanup(&result);
    if (!ok) {
        (void)fprintf(stderr, "domicile bench: a connection failed; %s\n", err.message);
        return -1;
    }
    return (double)(dom_bench_server_cpu_ns(&side->server) - before) / 1e3 /
           bench->options->num_handshakes;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, unsigned num)
{
    qsort(values, num, sizeof(values[0]), compare);
    return num % 2 == 1 ? values[num / 2] : (values[num / 2 - 1] + values[num / 2]) / 2;
}

/* The same load on both routers in turn; the median of the ratios of neighbours. */
static bool compare_sides(struct bench *bench, const char *name, const char *path,
                          void (*make)(void *arg, uint64_t number, struct dom_buffer *out))
{
    double plain[PAIRS_MAX];
    double tls[PAIRS_MAX];
    double ratio[PAIRS_MAX];
    unsigned num = bench->options->pairs;

    for (unsigned i = 0; i < num; i++) {
        plain[i] = run(bench, &bench->plain, path, 0, make);
        tls[i] = run(bench, &bench->tls, path, 0, make);
        if (plain[i] < 0 || tls[i] < 0) {
            return false;
        }
        ratio[i] = tls[i] / plain[i];
    }
    double middle = median(ratio, num);
    (void)printf("%-22s %10.2f %10.2f %7.2f  %.2f-%.2f\n", name, median(plain, num),
                 median(tls, num), middle, ratio[0], ratio[num - 1]);
    (void)fflush(stdout);
    return true;
}

static bool compare_connections(const struct bench *bench)
{
    struct dom_rpc_sessions *sessions = dom_rpc_sessions_new();

    double plain = connections(bench, &bench->plain, NULL);
    double full = connections(bench, &bench->tls, NULL);
    double resumed = connections(bench, &bench->tls, sessions);
    dom_rpc_sessions_destroy(sessions);
    if (plain < 0 || full < 0 || resumed < 0) {
        return false;
    }
    (void)printf("%-22s %10.1f %10.1f %7.2f\n", "connection, full", plain, full, full / plain);
    (void)printf("%-22s %10.1f %10.1f %7.2f\n", "connection, resumed", plain, resumed,
                 resumed / plain);
    return true;
}

/* ---- set-up ----------------------------------------------------------------------------- */

static enum dom_code make_certificates(struct bench *bench, struct dom_error *err)
{
    char ca[100];
    char own[100];
    char serial[DOM_PKI_SERIAL_SIZE];

    (void)snprintf(bench->folder, sizeof(bench->folder), "/tmp/domicile-bench-pki-XXXXXX");
    if (mkdtemp(bench->folder) == NULL) {
        bench->folder[0] = '\0';
        return DOM_FAIL(err, DOM_IO, "cannot make a folder in /tmp");
    }
    (void)snprintf(ca, sizeof(ca), "%s/ca", bench->folder);
    (void)snprintf(own, sizeof(own), "%s/own", bench->folder);
    struct dom_pki_request request = {.ca = ca,
                                      .region = "eu-central-1",
                                      .service = "profile-service",
                                      .out = own,
                                      .days = 1};
    enum dom_code rc = dom_pki_make_ca(ca, "bench.example", 1, err);
    if (rc == DOM_OK) {
        rc = dom_pki_issue(&request, serial, err);
    }
    (void)snprintf(bench->cert, sizeof(bench->cert), "%s/svid.pem", own);
    (void)snprintf(bench->key, sizeof(bench->key), "%s/svid_key.pem", own);
    (void)snprintf(bench->ca, sizeof(bench->ca), "%s/bundle.pem", own);
    bench->identity = (struct dom_rpc_client_tls){
        .cert = bench->cert, .key = bench->key, .ca = bench->ca};
    return rc;
}

static enum dom_code start(struct bench *bench, struct dom_error *err)
{
    char identity[512];

    enum dom_code rc = make_certificates(bench, err);
    if (rc != DOM_OK) {
        return rc;
    }
    (void)snprintf(identity, sizeof(identity),
                   "identity = \"mtls\"; policy_unsigned = true; tls = { dir = \"%s/own\"; "
                   "crl = \"%s/ca/crl.pem\"; trust_domain = \"bench.example\"; };",
                   bench->folder, bench->folder);
    rc = dom_bench_server_start(&bench->plain.server, bench->options->policy, NULL, NULL, err);
    if (rc == DOM_OK) {
        rc = dom_bench_server_start_as(&bench->tls.server, bench->options->policy, NULL, NULL,
                                       identity, err);
    }
    bench->tls.tls = &bench->identity;
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static bool measure(struct bench *bench)
{
    uint64_t records = bench->options->num_records;

    if (run(bench, &bench->plain, PUT, records, make_put) < 0 ||
        run(bench, &bench->tls, PUT, records, make_put) < 0) {
        return false;
    }
    (void)printf("%-22s %10s %10s %7s  %s\n", "server CPU, us", "plain", "mTLS", "x",
                 "(min-max)");
    return compare_sides(bench, "GetRecord, local", GET, make_get) &&
           compare_sides(bench, "echo, 330 bytes", ECHO, make_echo) && compare_connections(bench);
}

int dom_bench_tls(const struct dom_bench_tls_options *options)
{
    static struct bench bench;
    struct dom_error err = {0};

    if (options->pairs == 0 || options->pairs > PAIRS_MAX || options->num_records == 0 ||
        options->num_handshakes == 0) {
        (void)fprintf(stderr, "domicile bench: 1 to %u pairs, at least one record and connection\n",
                      PAIRS_MAX);
        return DOM_EXIT_USAGE;
    }
    bench.options = options;
    bool ok = start(&bench, &err) == DOM_OK;
    if (!ok) {
        (void)fprintf(stderr, "domicile bench: %s\n", err.message);
    }
    ok = ok && measure(&bench);
    dom_bench_server_stop(&bench.plain.server);
    dom_bench_server_stop(&bench.tls.server);
    if (bench.folder[0] != '\0') {
        (void)nftw(bench.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    return ok ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}
