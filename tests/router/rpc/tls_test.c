/* Callers proven by certificates: every kind of certificate that must not name anybody. All
 * certificates are made here. */
#include <arpa/inet.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "router/rpc/handshakes.h"
#include "router/rpc/library.h"
#include "router/rpc/spiffe.h"
#include "tests/router/rpc/suite.h"
#include "tests/router/rpc/tls_world.h"

static void the_certificate_says_who_calls_and_metadata_does_not(void **state)
{
    struct world w;
    struct cert_spec spec = {.issuer = &w.ca, .san = CERT_ID};
    (void)state;

    world_begin(&w, true);
    struct dom_rpc_client *client = world_client(&w, &spec);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            who(client, "edge|eu-1|spiffe://test.example/region/eu-1/service/edge"), 0);
    }
    dom_rpc_client_destroy(client);
    world_end(&w);
}

static void a_certificate_that_names_nobody_is_refused_with_the_reason(void **state)
{
    struct world w;
    static const struct {
        const char *san;
        const char *reason;
    } bad[] = {
        {NULL, "SAN_MISSING"},
        {"DNS:edge.test.example", "SAN_MISSING"},
        {"email:edge@test.example,IP:10.0.0.1", "SAN_MISSING"},
        {CERT_ID ",URI:spiffe://test.example/region/us-1/service/edge", "SAN_AMBIGUOUS"},
        {CERT_ID ",URI:https://test.example/", "SAN_AMBIGUOUS"},
        {"URI:spiffe://other.example/region/eu-1/service/edge", "TRUST_DOMAIN"},
        {"URI:spiffe://test.example.evil/region/eu-1/service/edge", "TRUST_DOMAIN"},
        {"URI:spiffe://test.example/region/../service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/eu-1/service/..", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/./service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/EU-1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://TEST.example/region/eu-1/service/edge", "SAN_MALFORMED"},
        {"URI:SPIFFE://test.example/region/eu-1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/eu%2D1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/eu-1/service/edge/", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region//service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example//region/eu-1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/eu-1", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/service/edge/region/eu-1", "SAN_MALFORMED"},
        {"URI:spiffe://test.example:443/region/eu-1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://a@test.example/region/eu-1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example/region/eu-1/service/edge?x", "SAN_MALFORMED"},
        {"URI:https://test.example/region/eu-1/service/edge", "SAN_MALFORMED"},
        {"URI:spiffe://test.example", "SAN_MALFORMED"},
    };
    struct dom_rpc_stats stats;
    (void)state;

    world_begin(&w, true);
    for (size_t i = 0; i < DOM_ARRAY_LEN(bad); i++) {
        struct cert_spec spec = {.issuer = &w.ca, .san = bad[i].san};
        struct dom_rpc_client *client = world_client(&w, &spec);
        if (who(client, bad[i].reason) != UNAUTHENTICATED) {
            fail_msg("%s was not refused with %s", bad[i].san, bad[i].reason);
        }
        dom_rpc_client_destroy(client);
    }
    dom_rpc_server_stats(w.harness.server, &stats);
    assert_int_equal(stats.identities_refused[DOM_RPC_FAULT_SAN_MISSING], 3);
    assert_int_equal(stats.identities_refused[DOM_RPC_FAULT_SAN_AMBIGUOUS], 2);
    assert_int_equal(stats.identities_refused[DOM_RPC_FAULT_TRUST_DOMAIN], 2);
    world_end(&w);
}

static void a_ca_is_not_a_caller(void **state)
{
    struct world w;
    struct cert_spec spec = {.issuer = &w.ca, .san = CERT_ID, .is_ca = true};
    (void)state;

    world_begin(&w, true);
    struct dom_rpc_client *client = world_client(&w, &spec);
    assert_int_equal(who(client, "IS_CA"), UNAUTHENTICATED);
    dom_rpc_client_destroy(client);
    world_end(&w);
}

/* ---- the handshake, by hand ---- */

static int connect_to(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct timeval timeout = {.tv_sec = T / 1000};
    const char *address = dom_rpc_server_address(w->harness.server);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    return fd;
}

/* True when the server speaks HTTP/2 after a handshake with this certificate and version. */
static bool shakes_hands(const struct world *w, const struct cert *cert, int version)
{
    static const uint8_t alpn[] = {2, 'h', '2'};
    uint8_t byte = 0;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    /* This side takes everything: it is the server that must refuse. */
    SSL_CTX_set_security_level(ctx, 0);
    (void)SSL_CTX_clear_options(ctx, SSL_OP_NO_SSL_MASK);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
    if (cert != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, cert->x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, cert->key), 1);
    }
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn)), 0);
    SSL *ssl = SSL_new(ctx);
    int fd = connect_to(w);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    bool ok = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1;
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
    return ok;
}

static uint64_t handshakes_refused(struct world *w)
{
    struct dom_rpc_stats stats;

    dom_rpc_server_stats(w->harness.server, &stats);
    return stats.handshakes_refused;
}

/* Sets the security level of every context of this process that is made from now on. On a machine
 * that sets 0, OpenSSL refuses no key and no hash: what is refused then, the router refuses. */
static void set_security_level(unsigned level)
{
    char settings[256];
    long line = -1;

    (void)snprintf(settings, sizeof(settings),
                   "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
                   "[c]\nProtocol = -ALL, TLSv1.3\nCipherString = DEFAULT@SECLEVEL=%u\n",
                   level);
    BIO *bio = BIO_new_mem_buf(settings, -1);
    CONF *conf = NCONF_new(NULL);
    assert_int_equal(NCONF_load_bio(conf, bio, &line), 1);
    assert_int_equal(CONF_modules_load(conf, NULL, 0), 1);
    NCONF_free(conf);
    (void)BIO_free(bio);
}

static int health(struct dom_rpc_client *client)
{
    struct dom_rpc_result result = {0};

    (void)dom_rpc_client_call(client, "/grpc.health.v1.Health/Check", DOM_SLICE_LIT(""), T,
                              &result);
    int status = result.status;
    dom_rpc_result_cleanup(&result);
    return status;
}

static void whoever_is_refused_is_told_why(void **state)
{
    struct world w;
    struct cert other = {0};
    struct cert_spec ca = {.is_ca = true};
    (void)state;

    dom_rpc_library_ref();
    set_security_level(0);
    world_begin(&w, true);
    cert_make(&other, &ca);
    const struct {
        const char *what;
        struct cert_spec spec;
        const char *reason;
    } all[] = {
        {"good", {.issuer = &w.ca, .san = CERT_ID}, NULL},
        {"RSA 2048", {.issuer = &w.ca, .san = CERT_ID, .key = CERT_RSA_2048}, NULL},
        {"another CA", {.issuer = &other, .san = CERT_ID}, "UNTRUSTED"},
        {"another CA, no name", {.issuer = &other}, "UNTRUSTED"},
        {"self-signed", {.san = CERT_ID}, "UNTRUSTED"},
        {"self-signed, weak", {.san = CERT_ID, .key = CERT_RSA_1024}, "UNTRUSTED"},
        {"expired", {.issuer = &w.ca, .san = CERT_ID, .from_s = -7200, .until_s = -60}, "EXPIRED"},
        {"not yet valid", {.issuer = &w.ca, .san = CERT_ID, .from_s = 600}, "NOT_YET_VALID"},
        {"RSA 1024", {.issuer = &w.ca, .san = CERT_ID, .key = CERT_RSA_1024}, "KEY_WEAK"},
        {"SHA-1", {.issuer = &w.ca, .san = CERT_ID, .sha1 = true}, "SIGNATURE_WEAK"},
    };
    for (size_t i = 0; i < DOM_ARRAY_LEN(all); i++) {
        struct dom_rpc_client *client = world_client(&w, &all[i].spec);
        int want = all[i].reason == NULL ? 0 : UNAUTHENTICATED;
        if (who(client, all[i].reason) != want) {
            fail_msg("%s: %s", all[i].what, want == 0 ? "was refused" : "has no such refusal");
        }
        if (health(client) != want) {
            fail_msg("%s: asked for the health: %s", all[i].what, want == 0 ? "refused" : "told");
        }
        dom_rpc_client_destroy(client);
    }
    assert_int_equal(handshakes_refused(&w), 0);
    cert_free(&other);
    world_end(&w);
    set_security_level(2);
    dom_rpc_library_unref();
}

static void only_tls13_with_a_certificate(void **state)
{
    struct world w;
    struct cert cert;
    struct cert_spec spec = {.issuer = &w.ca, .san = CERT_ID};
    (void)state;

    world_begin(&w, true);
    cert_make(&cert, &spec);
    assert_true(shakes_hands(&w, &cert, TLS1_3_VERSION));
    uint64_t before = handshakes_refused(&w);
    assert_false(shakes_hands(&w, &cert, TLS1_2_VERSION));
    assert_false(shakes_hands(&w, &cert, TLS1_1_VERSION));
    assert_false(shakes_hands(&w, NULL, TLS1_3_VERSION));
    assert_int_equal(handshakes_refused(&w), before + 3);
    cert_free(&cert);
    world_end(&w);
}

static void plain_text_to_the_tls_port_is_refused_and_counted(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct world w;
    char byte = 0;
    (void)state;

    world_begin(&w, true);
    int fd = connect_to(&w);
    assert_int_equal(write(fd, preface, sizeof(preface) - 1), sizeof(preface) - 1);
    ssize_t got = 0;
    do {
        got = read(fd, &byte, 1); /* an alert, perhaps, then the end */
    } while (got > 0);
    (void)close(fd);
    assert_int_equal(handshakes_refused(&w), 1);
    assert_true(dom_rpc_handshakes_have_sources());
    world_end(&w);
}

/* ---- start ---- */

static enum dom_code start_with(const struct dom_rpc_tls_options *tls, bool insecure)
{
    struct dom_rpc_server_options options = {
        .listen = "127.0.0.1:0", .tls = tls, .insecure_loopback = insecure};
    struct dom_rpc_server *server = NULL;

    enum dom_code code = dom_rpc_server_new(&server, &options, NULL);
    dom_rpc_server_destroy(server);
    return code;
}

static void a_server_without_usable_files_does_not_start(void **state)
{
    struct world w;
    struct dom_rpc_tls_options tls;
    char path[160];
    (void)state;

    world_begin(&w, true);
    assert_int_equal(start_with(&w.tls, true), DOM_INVALID); /* which of the two? */
    tls = w.tls;
    tls.ca = "/nonexistent/ca.pem";
    assert_int_equal(start_with(&tls, false), DOM_IO);
    tls = w.tls;
    tls.ca = NULL;
    assert_int_equal(start_with(&tls, false), DOM_INVALID);
    tls = w.tls;
    tls.cert = w.tls.key;
    assert_int_equal(start_with(&tls, false), DOM_PARSE);
    tls = w.tls;
    world_write(&w, "open.key", DOM_SLICE_LIT("x"));
    assert_int_equal(chmod(world_path(&w, "open.key", path), 0644), 0);
    tls.key = path;
    assert_int_equal(start_with(&tls, false), DOM_PERMISSION);
    assert_int_equal(start_with(&w.tls, false), DOM_OK);
    world_end(&w);
}

static void a_name_is_split_at_its_one_form(void **state)
{
    struct dom_spiffe_id id;
    char uri[DOM_SPIFFE_BYTES_MAX + 64];
    (void)state;

    assert_true(dom_spiffe_parse(&id, dom_slice_str("spiffe://a/region/b-1/service/c_d.e")));
    assert_true(dom_slice_eq_str(id.trust_domain, "a"));
    assert_true(dom_slice_eq_str(id.region, "b-1"));
    assert_true(dom_slice_eq_str(id.service, "c_d.e"));
    assert_false(dom_spiffe_parse(&id, dom_slice_of(NULL, 0)));
    assert_false(dom_spiffe_parse(&id, dom_slice_str("spiffe://")));
    assert_false(dom_spiffe_parse(&id, dom_slice_str("spiffe:///region/b/service/c")));
    assert_false(dom_spiffe_parse(&id, DOM_SLICE_LIT("spiffe://a/region/b\0/service/c")));
    assert_false(dom_spiffe_parse(&id, dom_slice_str("spiffe://a/region/b/service/")));
    assert_null(id.region.data);
    /* A name of 128 bytes is one, of 129 is none. */
    (void)snprintf(uri, sizeof(uri), "spiffe://a/region/%0128d/service/c", 0);
    assert_true(dom_spiffe_parse(&id, dom_slice_str(uri)));
    (void)snprintf(uri, sizeof(uri), "spiffe://a/region/%0129d/service/c", 0);
    assert_false(dom_spiffe_parse(&id, dom_slice_str(uri)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_certificate_says_who_calls_and_metadata_does_not),
        cmocka_unit_test(a_certificate_that_names_nobody_is_refused_with_the_reason),
        cmocka_unit_test(a_ca_is_not_a_caller),
        cmocka_unit_test(whoever_is_refused_is_told_why),
        cmocka_unit_test(only_tls13_with_a_certificate),
        cmocka_unit_test(plain_text_to_the_tls_port_is_refused_and_counted),
        cmocka_unit_test(a_server_without_usable_files_does_not_start),
        cmocka_unit_test(a_name_is_split_at_its_one_form),
    };

    return cmocka_run_group_tests_name("rpc tls", tests, NULL, NULL);
}
