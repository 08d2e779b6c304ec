/* Who calls, proven by the certificate of the connection.
 *
 * The handshake (gRPC, OpenSSL) has checked that the peer has the key of the certificate that it
 * showed, and nothing else: whoever is refused is to be told why, and to be found in the log, which
 * a failed handshake cannot do. Everything else is judged here, for every call: the chain up to the
 * CA bundle as it is now, the strength of keys and signatures, the revocation lists, the validity
 * dates, and the form of the name. What is found for a certificate is kept for as long as the
 * connection lives, so that a call costs one comparison of its bytes.
 */
#include <grpc/grpc_security.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "router/rpc/internal.h"
#include "router/rpc/material.h"
#include "router/rpc/spiffe.h"

#define PEERS 1024U           /* connections whose certificate is remembered */
#define INTERMEDIATES_MAX 32  /* of resumed connections, which do not send them again */
#define CHAIN_MAX 8
#define RSA_BITS_MIN 2048
#define EC_BITS_MIN 224
#define SERIAL_SIZE 48U

static const char *const s_reasons[] = {
#define X(name, text) #name,
    DOM_RPC_FAULTS(X)
#undef X
};
static const char *const s_texts[] = {
#define X(name, text) text,
    DOM_RPC_FAULTS(X)
#undef X
};

const char *dom_rpc_fault_reason(enum dom_rpc_fault fault)
{
    DOM_ASSERT((unsigned)fault < DOM_RPC_FAULT_COUNT);
    return s_reasons[fault];
}

const char *dom_rpc_fault_text(enum dom_rpc_fault fault)
{
    DOM_ASSERT((unsigned)fault < DOM_RPC_FAULT_COUNT);
    return s_texts[fault];
}

/* One certificate of one connection, and what was found out about it. */
struct peer {
    const void *at; /* where gRPC keeps the PEM: one place for each connection */
    uint8_t *pem;
    size_t pem_len;
    X509 *cert;
    STACK_OF(X509) * chain; /* what the peer sent along; nothing when it resumed */
    enum dom_rpc_fault fixed; /* of the certificate itself */
    enum dom_rpc_fault trust; /* under `generation` */
    uint64_t generation;
    int64_t from_s; /* of the whole chain, set with `trust` */
    int64_t until_s;
    struct dom_spiffe_id id; /* points into uri */
    char uri[DOM_SPIFFE_BYTES_MAX + 1];
    size_t uri_len;
    char serial[SERIAL_SIZE]; /* lower-case hex */
    char key[65];             /* SHA-256 of the public key's SPKI, hex */
};

struct dom_rpc_peers {
    struct dom_tls *tls;
    struct dom_tls_material *material; /* what trust was last checked with */
    STACK_OF(X509) * intermediates;
    struct peer *slots[PEERS];
};

/* ---- from bytes to facts ---------------------------------------------------------------- */

static X509 *parse_pem(const void *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);

    DOM_ASSERT(bio != NULL);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    (void)BIO_free(bio);
    return cert;
}

static int64_t unix_time(const ASN1_TIME *at)
{
    struct tm tm;

    return at != NULL && ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void take_serial(struct peer *peer)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(peer->cert), NULL);
    char *hex = number == NULL ? NULL : BN_bn2hex(number);

    if (hex != NULL && strlen(hex) < SERIAL_SIZE) {
        for (size_t i = 0; hex[i] != '\0'; i++) {
            peer->serial[i] = (char)(hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] - 'A' + 'a' : hex[i]);
        }
    }
    OPENSSL_free(hex);
    BN_free(number);
}

static void take_key_hash(struct peer *peer)
{
    uint8_t *spki = NULL;
    uint8_t hash[SHA256_DIGEST_LENGTH];

    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(peer->cert), &spki);
    if (len > 0) {
        (void)SHA256(spki, (size_t)len, hash);
        dom_hex_encode(peer->key, dom_slice_of(hash, sizeof(hash)));
    }
    OPENSSL_free(spki);
}

/* The one URI among the alternative names. */
static enum dom_rpc_fault take_uri(struct peer *peer, const char *trust_domain)
{
    int critical = 0;
    size_t num_uris = 0;
    enum dom_rpc_fault fault = DOM_RPC_FAULT_NONE;

    GENERAL_NAMES *names =
        X509_get_ext_d2i(peer->cert, NID_subject_alt_name, &critical, NULL);
    if (names == NULL && critical == -2) {
        return DOM_RPC_FAULT_SAN_AMBIGUOUS; /* the extension occurs twice */
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) {
            continue;
        }
        num_uris++;
        size_t len = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (len > DOM_SPIFFE_BYTES_MAX) {
            fault = DOM_RPC_FAULT_SAN_MALFORMED;
            continue;
        }
        memcpy(peer->uri, ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), len);
        peer->uri_len = len;
    }
    GENERAL_NAMES_free(names);
    struct dom_slice uri = dom_slice_of(peer->uri, peer->uri_len);
    if (num_uris == 0) {
        return DOM_RPC_FAULT_SAN_MISSING;
    }
    if (num_uris > 1) {
        peer->uri_len = 0; /* which of them would it be? */
        return DOM_RPC_FAULT_SAN_AMBIGUOUS;
    }
    if (fault != DOM_RPC_FAULT_NONE || !dom_spiffe_parse(&peer->id, uri)) {
        if (!dom_utf8_valid(uri) || memchr(peer->uri, 0, peer->uri_len) != NULL) {
            peer->uri_len = 0; /* not fit to be written anywhere */
        }
        return DOM_RPC_FAULT_SAN_MALFORMED;
    }
    return dom_slice_eq_str(peer->id.trust_domain, trust_domain) ? DOM_RPC_FAULT_NONE
                                                                  : DOM_RPC_FAULT_TRUST_DOMAIN;
}

/* OpenSSL's security level would refuse these in a handshake that verifies; it is a setting of the
 * machine, this is not. */
static enum dom_rpc_fault check_strength(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    int type = key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
    int digest = NID_undef;

    bool rsa = type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS;
    bool curve = type == EVP_PKEY_EC || type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448;
    if ((!rsa && !curve) || bits < (rsa ? RSA_BITS_MIN : EC_BITS_MIN)) {
        return DOM_RPC_FAULT_KEY_WEAK;
    }
    if (X509_get_signature_info(cert, &digest, NULL, NULL, NULL) != 1 || digest == NID_sha1 ||
        digest == NID_md5 || digest == NID_md5_sha1) {
        return DOM_RPC_FAULT_SIGNATURE_WEAK;
    }
    return DOM_RPC_FAULT_NONE;
}

static void take_facts(struct peer *peer, const char *trust_domain)
{
    take_serial(peer);
    take_key_hash(peer);
    peer->fixed = take_uri(peer, trust_domain);
    enum dom_rpc_fault weak = check_strength(peer->cert);
    if (weak != DOM_RPC_FAULT_NONE) {
        peer->fixed = weak;
    } else if (peer->fixed == DOM_RPC_FAULT_NONE && X509_check_ca(peer->cert) == 1) {
        peer->fixed = DOM_RPC_FAULT_IS_CA;
    }
}

/* ---- trust, as it is now ---------------------------------------------------------------- */

static bool revoked(const struct dom_tls_material *material, X509 *cert)
{
    for (int i = 0; i < sk_X509_CRL_num(material->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(material->crls, i);
        X509_REVOKED *entry = NULL;
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(cert)) == 0 &&
            X509_CRL_get0_by_cert(crl, &entry, cert) == 1) {
            return true;
        }
    }
    return false;
}

static void remember_intermediate(struct dom_rpc_peers *peers, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(peers->intermediates); i++) {
        if (X509_cmp(sk_X509_value(peers->intermediates, i), cert) == 0) {
            return;
        }
    }
    if (sk_X509_num(peers->intermediates) >= INTERMEDIATES_MAX) {
        X509_free(sk_X509_shift(peers->intermediates));
    }
    DOM_ASSERT(X509_up_ref(cert) == 1);
    DOM_ASSERT(sk_X509_push(peers->intermediates, cert) > 0);
}

/* The time in which every certificate of the chain is valid. */
static void take_dates(struct peer *peer, STACK_OF(X509) * chain)
{
    peer->from_s = INT64_MIN;
    peer->until_s = INT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t from = unix_time(X509_get0_notBefore(sk_X509_value(chain, i)));
        int64_t until = unix_time(X509_get0_notAfter(sk_X509_value(chain, i)));
        peer->from_s = from > peer->from_s ? from : peer->from_s;
        peer->until_s = until < peer->until_s ? until : peer->until_s;
    }
}

/* Checks the chain up to the bundle and every certificate of it against the lists. Dates are only
 * read: they are compared for each call, and a date must not end the check of the signatures. */
static enum dom_rpc_fault check_trust(struct dom_rpc_peers *peers, struct peer *peer)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *untrusted = sk_X509_dup(peers->intermediates);
    enum dom_rpc_fault fault = DOM_RPC_FAULT_UNTRUSTED;

    DOM_ASSERT(ctx != NULL && untrusted != NULL);
    for (int i = 0; i < sk_X509_num(peer->chain); i++) {
        DOM_ASSERT(sk_X509_push(untrusted, sk_X509_value(peer->chain, i)) > 0);
    }
    if (X509_STORE_CTX_init(ctx, peers->material->store, peer->cert, untrusted) != 1) {
        goto out;
    }
    (void)X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
    (void)X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
                                      X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(ctx) != 1) {
        goto out;
    }
    fault = DOM_RPC_FAULT_NONE;
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    take_dates(peer, chain);
    for (int i = 0; i < sk_X509_num(chain) && fault == DOM_RPC_FAULT_NONE; i++) {
        X509 *cert = sk_X509_value(chain, i);
        bool root = i > 0 && i == sk_X509_num(chain) - 1; /* trusted for itself */
        if (revoked(peers->material, cert)) {
            fault = DOM_RPC_FAULT_REVOKED;
        } else if (!root) {
            fault = check_strength(cert);
        }
        if (i > 0 && !root) {
            remember_intermediate(peers, cert);
        }
    }
out:
    ERR_clear_error();
    X509_STORE_CTX_free(ctx);
    sk_X509_free(untrusted);
    return fault;
}

/* ---- the memory of connections ---------------------------------------------------------- */

static void free_peer(struct peer *peer)
{
    if (peer != NULL) {
        X509_free(peer->cert);
        sk_X509_pop_free(peer->chain, X509_free);
        free(peer->pem);
        free(peer);
    }
}

struct dom_rpc_peers *dom_rpc_peers_new(struct dom_tls *tls)
{
    struct dom_rpc_peers *peers = calloc(1, sizeof(*peers));

    DOM_ASSERT(peers != NULL);
    peers->tls = tls;
    peers->material = dom_tls_get(tls);
    peers->intermediates = sk_X509_new_null();
    DOM_ASSERT(peers->intermediates != NULL);
    return peers;
}

void dom_rpc_peers_destroy(struct dom_rpc_peers *peers)
{
    if (peers == NULL) {
        return;
    }
    for (size_t i = 0; i < PEERS; i++) {
        free_peer(peers->slots[i]);
    }
    sk_X509_pop_free(peers->intermediates, X509_free);
    dom_tls_material_unref(peers->material);
    free(peers);
}

/* The certificates that the peer sent along, to be tried as intermediates. Only those that led up
 * to the bundle are remembered for others. */
static void take_chain(struct peer *peer, const grpc_auth_context *auth)
{
    grpc_auth_property_iterator it =
        grpc_auth_context_find_properties_by_name(auth, "x509_pem_cert_chain");
    const grpc_auth_property *chain = grpc_auth_property_iterator_next(&it);
    X509 *cert = NULL;

    peer->chain = sk_X509_new_null();
    DOM_ASSERT(peer->chain != NULL);
    if (chain == NULL || chain->value_length == 0) {
        return;
    }
    BIO *bio = BIO_new_mem_buf(chain->value, (int)chain->value_length);
    DOM_ASSERT(bio != NULL);
    while (sk_X509_num(peer->chain) < CHAIN_MAX &&
           (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        DOM_ASSERT(sk_X509_push(peer->chain, cert) > 0);
    }
    ERR_clear_error();
    (void)BIO_free(bio);
}

static struct peer *make_peer(struct dom_rpc_peers *peers, const grpc_auth_context *auth,
                              const grpc_auth_property *pem)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    DOM_ASSERT(peer != NULL);
    peer->at = pem->value;
    peer->pem = malloc(pem->value_length + 1);
    DOM_ASSERT(peer->pem != NULL); /* bounded by what TLS lets through */
    memcpy(peer->pem, pem->value, pem->value_length);
    peer->pem_len = pem->value_length;
    peer->cert = parse_pem(pem->value, pem->value_length);
    ERR_clear_error();
    if (peer->cert == NULL) {
        peer->fixed = DOM_RPC_FAULT_UNREADABLE;
        return peer;
    }
    take_chain(peer, auth);
    take_facts(peer, dom_tls_trust_domain(peers->tls));
    return peer;
}

static struct peer *find_peer(struct dom_rpc_peers *peers, const grpc_auth_context *auth,
                              const grpc_auth_property *pem)
{
    uint64_t hash = (uint64_t)(uintptr_t)pem->value * UINT64_C(0x9E3779B97F4A7C15);
    struct peer **slot = &peers->slots[(hash >> 32) % PEERS];
    struct peer *peer = *slot;

    /* The bytes are compared too: an address may have been given to another connection. */
    if (peer == NULL || peer->at != pem->value || peer->pem_len != pem->value_length ||
        memcmp(peer->pem, pem->value, pem->value_length) != 0) {
        free_peer(peer);
        *slot = make_peer(peers, auth, pem);
    }
    return *slot;
}

static enum dom_rpc_fault judge(struct dom_rpc_peers *peers, struct peer *peer)
{
    if (peer->cert == NULL) {
        return peer->fixed;
    }
    if (dom_tls_generation(peers->tls) != peers->material->generation) {
        dom_tls_material_unref(peers->material);
        peers->material = dom_tls_get(peers->tls);
    }
    if (peer->generation != peers->material->generation) {
        peer->trust = check_trust(peers, peer);
        peer->generation = peers->material->generation;
    }
    /* What a stranger's certificate says is not worth a look: first who made it, then the rest. */
    if (peer->trust != DOM_RPC_FAULT_UNTRUSTED && peer->fixed != DOM_RPC_FAULT_NONE) {
        return peer->fixed;
    }
    if (peer->trust != DOM_RPC_FAULT_NONE) {
        return peer->trust;
    }
    int64_t now = (int64_t)time(NULL);
    if (now < peer->from_s) {
        return DOM_RPC_FAULT_NOT_YET_VALID;
    }
    return now > peer->until_s ? DOM_RPC_FAULT_EXPIRED : DOM_RPC_FAULT_NONE;
}

/* ---- the identity of a call ------------------------------------------------------------- */

/* Copies what the call may still need when its connection, and the memory of it, has gone. */
static bool copy_facts(struct dom_rpc_call *call, const struct peer *peer,
                       struct dom_rpc_identity *out)
{
    size_t serial_len = strlen(peer->serial);
    size_t key_len = strlen(peer->key);
    uint8_t *at = dom_arena_alloc(&call->arena, peer->uri_len + serial_len + key_len);

    if (at == NULL) {
        return false;
    }
    memcpy(at, peer->uri, peer->uri_len);
    memcpy(at + peer->uri_len, peer->serial, serial_len);
    memcpy(at + peer->uri_len + serial_len, peer->key, key_len);
    out->subject = dom_slice_of(at, peer->uri_len);
    out->cert_serial = dom_slice_of(at + peer->uri_len, serial_len);
    out->cert_key = dom_slice_of(at + peer->uri_len + serial_len, key_len);
    if (peer->id.region.data != NULL) {
        const uint8_t *uri = (const uint8_t *)peer->uri;
        out->region =
            dom_slice_of(at + (peer->id.region.data - uri), peer->id.region.len);
        out->service =
            dom_slice_of(at + (peer->id.service.data - uri), peer->id.service.len);
    }
    return true;
}

/* What the caller says of itself: never used, only told. Something that cannot be a name, or is
 * said twice, is no claim worth keeping. */
static void take_claims(struct dom_rpc_call *call, struct dom_rpc_identity *out)
{
    struct dom_slice region = dom_rpc_call_metadata(call, "domicile-region");
    struct dom_slice service = dom_rpc_call_metadata(call, "domicile-service");

    if (region.len > 0 && region.len <= DOM_POLICY_NAME_BYTES_MAX && dom_utf8_valid(region) &&
        !dom_slice_eq(region, out->region)) {
        out->claimed_region = region;
    }
    if (service.len > 0 && service.len <= DOM_POLICY_NAME_BYTES_MAX && dom_utf8_valid(service) &&
        !dom_slice_eq(service, out->service)) {
        out->claimed_service = service;
    }
}

/* A stranger can write any name into a certificate of its own making: a claim, like metadata. */
static void disown(struct dom_rpc_identity *out)
{
    if (out->region.len > 0) {
        out->claimed_region = out->region;
        out->claimed_service = out->service;
    }
    out->subject = dom_slice_of(NULL, 0);
    out->region = dom_slice_of(NULL, 0);
    out->service = dom_slice_of(NULL, 0);
}

static enum dom_rpc_fault identify(struct dom_rpc_call *call, struct dom_rpc_identity *out)
{
    struct dom_rpc_peers *peers = call->server->peers;
    enum dom_rpc_fault fault = DOM_RPC_FAULT_NO_PROOF;

    memset(out, 0, sizeof(*out));
    grpc_auth_context *auth = grpc_call_auth_context(call->call);
    if (auth == NULL) {
        return fault;
    }
    grpc_auth_property_iterator it =
        grpc_auth_context_find_properties_by_name(auth, "transport_security_type");
    const grpc_auth_property *type = grpc_auth_property_iterator_next(&it);
    it = grpc_auth_context_find_properties_by_name(auth, "x509_pem_cert");
    const grpc_auth_property *pem = grpc_auth_property_iterator_next(&it);
    if (type != NULL && pem != NULL &&
        dom_slice_eq_str(dom_slice_of(type->value, type->value_length), "ssl")) {
        struct peer *peer = find_peer(peers, auth, pem);
        fault = judge(peers, peer);
        out->proven = copy_facts(call, peer, out) && fault == DOM_RPC_FAULT_NONE;
        take_claims(call, out);
        if (fault == DOM_RPC_FAULT_UNTRUSTED) {
            disown(out);
        }
        if (!out->proven && fault == DOM_RPC_FAULT_NONE) {
            fault = DOM_RPC_FAULT_NO_PROOF;
        }
    }
    grpc_auth_context_release(auth);
    return fault;
}

/* ---- credentials ------------------------------------------------------------------------ */

/* One port; gRPC asks once when it starts and then in each handshake. */
struct port {
    struct dom_tls *tls;
    uint64_t generation; /* given last; gRPC holds a lock of the port while it asks */
};

static grpc_ssl_certificate_config_reload_status fetch(
    void *user_data, grpc_ssl_server_certificate_config **config)
{
    struct port *port = user_data;

    if (dom_tls_generation(port->tls) == port->generation) {
        return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    struct dom_tls_material *material = dom_tls_get(port->tls);
    grpc_ssl_pem_key_cert_pair pair = {.private_key = (const char *)material->key_pem.data,
                                       .cert_chain = (const char *)material->cert_pem.data};
    *config = grpc_ssl_server_certificate_config_create((const char *)material->ca_pem.data,
                                                        &pair, 1);
    port->generation = material->generation;
    dom_tls_material_unref(material);
    return *config == NULL ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL
                           : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

static enum dom_code credentials(struct dom_rpc_server *server, grpc_server_credentials **credsp,
                                 struct dom_error *err)
{
    DOM_ASSERT(server->num_ports < DOM_RPC_ADDRESSES_MAX);
    struct port *port = calloc(1, sizeof(*port));
    DOM_ASSERT(port != NULL);
    port->tls = server->tls;
    server->ports[server->num_ports++] = port;
    *credsp = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY, fetch, port));
    return *credsp != NULL ? DOM_OK : DOM_FAIL(err, DOM_INTERNAL, "grpc has no credentials");
}

const struct dom_rpc_identity_ops dom_rpc_identity_mtls = {
    .name = "mtls",
    .loopback_only = false,
    .credentials = credentials,
    .identify = identify,
};
