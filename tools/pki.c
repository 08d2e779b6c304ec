#include "tools/pki.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "router/rpc/spiffe.h"

#define PEM_BYTES_MAX (1U << 20)
#define CRL_BYTES_MAX (8U << 20)
#define CRL_DAYS 30
#define BACKDATE_SECONDS 60 /* clocks of the machines that check it may be behind */
#define SECONDS_PER_DAY 86400L

struct ca {
    X509 *cert;
    EVP_PKEY *key;
    char trust_domain[256];
};

static enum dom_code openssl_failed(const char *doing, struct dom_error *err)
{
    char text[200] = "";

    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return DOM_FAIL(err, DOM_INTERNAL, "%s: %s", doing, text);
}

static void path_in(char out[PATH_MAX], const char *folder, const char *name)
{
    (void)snprintf(out, PATH_MAX, "%s/%s", folder, name);
}

/* ---- writing ---------------------------------------------------------------------------- */

static enum dom_code write_bio(BIO *bio, const char *folder, const char *name, unsigned mode,
                               struct dom_error *err)
{
    char path[PATH_MAX];
    char *bytes = NULL;

    long len = BIO_get_mem_data(bio, &bytes);
    path_in(path, folder, name);
    return dom_file_write_atomic(path, dom_slice_of(bytes, (size_t)len), mode, err);
}

static enum dom_code write_certificate(X509 *cert, const char *folder, const char *name,
                                       struct dom_error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    DOM_ASSERT(bio != NULL);
    enum dom_code rc = PEM_write_bio_X509(bio, cert) == 1
                           ? write_bio(bio, folder, name, 0644, err)
                           : openssl_failed("writing a certificate", err);
    (void)BIO_free(bio);
    return rc;
}

static enum dom_code write_key(EVP_PKEY *key, const char *folder, const char *name,
                               struct dom_error *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    DOM_ASSERT(bio != NULL);
    enum dom_code rc = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                           ? write_bio(bio, folder, name, 0600, err)
                           : openssl_failed("writing a key", err);
    (void)BIO_free(bio);
    return rc;
}

static enum dom_code write_crl(X509_CRL *crl, const char *folder, struct dom_error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    DOM_ASSERT(bio != NULL);
    enum dom_code rc = PEM_write_bio_X509_CRL(bio, crl) == 1
                           ? write_bio(bio, folder, "crl.pem", 0644, err)
                           : openssl_failed("writing a revocation list", err);
    (void)BIO_free(bio);
    return rc;
}

/* ---- certificates ----------------------------------------------------------------------- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* 16 random bytes, positive. */
static bool set_serial(X509 *cert)
{
    uint8_t bytes[16];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return false;
    }
    bytes[0] = (uint8_t)((bytes[0] & 0x7FU) | 0x40U);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static void serial_text(const X509 *cert, char out[DOM_PKI_SERIAL_SIZE])
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = number == NULL ? NULL : BN_bn2hex(number);

    out[0] = '\0';
    if (hex != NULL && strlen(hex) < DOM_PKI_SERIAL_SIZE) {
        for (size_t i = 0; i <= strlen(hex); i++) {
            out[i] = (char)(hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] + ('a' - 'A') : hex[i]);
        }
    }
    OPENSSL_free(hex);
    BN_free(number);
}

/* A certificate without extensions and signature. NULL when OpenSSL fails. */
static X509 *begin_certificate(EVP_PKEY *key, const char *name, unsigned days)
{
    X509 *cert = X509_new();

    DOM_ASSERT(cert != NULL);
    X509_NAME *subject = X509_get_subject_name(cert);
    bool ok = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
              X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                         (const unsigned char *)"Domicile", -1, -1, 0) == 1 &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                         (const unsigned char *)name, -1, -1, 0) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_SECONDS) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * SECONDS_PER_DAY) != NULL &&
              X509_set_pubkey(cert, key) == 1;
    if (!ok) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static enum dom_code make_crl(const struct ca *ca, STACK_OF(X509_REVOKED) * revoked,
                              const char *folder, struct dom_error *err)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -BACKDATE_SECONDS);
    ASN1_TIME *next = X509_gmtime_adj(NULL, CRL_DAYS * SECONDS_PER_DAY);

    DOM_ASSERT(crl != NULL && now != NULL && next != NULL);
    bool ok = X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) == 1 &&
              X509_CRL_set1_lastUpdate(crl, now) == 1 && X509_CRL_set1_nextUpdate(crl, next) == 1;
    for (int i = 0; ok && i < sk_X509_REVOKED_num(revoked); i++) {
        X509_REVOKED *one = X509_REVOKED_dup(sk_X509_REVOKED_value(revoked, i));
        ok = one != NULL && X509_CRL_add0_revoked(crl, one) == 1;
    }
    ok = ok && X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0;
    enum dom_code rc =
        ok ? write_crl(crl, folder, err) : openssl_failed("signing a revocation list", err);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
    return rc;
}

enum dom_code dom_pki_make_ca(const char *folder, const char *trust_domain, unsigned days,
                              struct dom_error *err)
{
    char path[PATH_MAX];
    char names[300];
    char title[300];
    struct stat st;
    struct ca ca = {0};

    if (!dom_spiffe_trust_domain_valid(dom_slice_str(trust_domain)) || days == 0 ||
        days > DOM_PKI_DAYS_MAX) {
        return DOM_FAIL(err, DOM_INVALID,
                        "a trust domain is [a-z0-9._-]+, and a CA lives 1 to %u days",
                        DOM_PKI_DAYS_MAX);
    }
    path_in(path, folder, "ca.key");
    if (stat(path, &st) == 0) {
        return DOM_FAIL(err, DOM_EXISTS, "%s is there already; a CA is never written over", path);
    }
    enum dom_code rc = dom_dir_make(folder, 0700, err);
    if (rc != DOM_OK) {
        return rc;
    }
    (void)snprintf(names, sizeof(names), "URI:spiffe://%s", trust_domain);
    (void)snprintf(title, sizeof(title), "development CA");
    ca.key = EVP_EC_gen("P-256");
    ca.cert = ca.key == NULL ? NULL : begin_certificate(ca.key, title, days);
    if (ca.cert == NULL ||
        X509_set_issuer_name(ca.cert, X509_get_subject_name(ca.cert)) != 1 ||
        !add_extension(ca.cert, ca.cert, NID_basic_constraints, "critical,CA:TRUE") ||
        !add_extension(ca.cert, ca.cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(ca.cert, ca.cert, NID_subject_key_identifier, "hash") ||
        !add_extension(ca.cert, ca.cert, NID_subject_alt_name, names) ||
        X509_sign(ca.cert, ca.key, EVP_sha256()) <= 0) {
        rc = openssl_failed("making a CA", err);
    }
    if (rc == DOM_OK) {
        rc = write_key(ca.key, folder, "ca.key", err);
    }
    if (rc == DOM_OK) {
        rc = write_certificate(ca.cert, folder, "ca.pem", err);
    }
    if (rc == DOM_OK) {
        rc = make_crl(&ca, NULL, folder, err);
    }
    X509_free(ca.cert);
    EVP_PKEY_free(ca.key);
    return rc;
}

/* Readable memory; an empty file has none of its own, and OpenSSL would refuse that. */
static BIO *open_pem(const struct dom_buffer *pem)
{
    return BIO_new_mem_buf(pem->len == 0 ? "" : (const char *)pem->data, (int)pem->len);
}

/* ---- the CA from its folder ------------------------------------------------------------- */

static void ca_cleanup(struct ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    memset(ca, 0, sizeof(*ca));
}

static enum dom_code take_trust_domain(struct ca *ca, const char *path, struct dom_error *err)
{
    static const char scheme[] = "spiffe://";
    GENERAL_NAMES *names = X509_get_ext_d2i(ca->cert, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
            const char *text = (const char *)ASN1_STRING_get0_data(uri);
            size_t len = (size_t)ASN1_STRING_length(uri);
            if (len > sizeof(scheme) - 1 && memcmp(text, scheme, sizeof(scheme) - 1) == 0) {
                (void)dom_slice_to_cstr(
                    dom_slice_of(text + sizeof(scheme) - 1, len - (sizeof(scheme) - 1)),
                    ca->trust_domain, sizeof(ca->trust_domain));
            }
        }
    }
    GENERAL_NAMES_free(names);
    return dom_spiffe_trust_domain_valid(dom_slice_str(ca->trust_domain))
               ? DOM_OK
               : DOM_FAIL(err, DOM_PARSE, "%s names no trust domain: not made by domicile pki",
                          path);
}

static enum dom_code read_ca(struct ca *ca, const char *folder, struct dom_error *err)
{
    struct dom_buffer pem = {0};
    char path[PATH_MAX];

    memset(ca, 0, sizeof(*ca));
    path_in(path, folder, "ca.pem");
    enum dom_code rc = dom_file_read(&pem, path, PEM_BYTES_MAX, err);
    if (rc != DOM_OK) {
        goto out;
    }
    BIO *bio = open_pem(&pem);
    ca->cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    (void)BIO_free(bio);
    if (ca->cert == NULL) {
        rc = DOM_FAIL(err, DOM_PARSE, "%s: not a certificate in PEM", path);
        goto out;
    }
    rc = take_trust_domain(ca, path, err);
    if (rc != DOM_OK) {
        goto out;
    }
    path_in(path, folder, "ca.key");
    rc = dom_file_read_secret(&pem, path, PEM_BYTES_MAX, err);
    if (rc != DOM_OK) {
        goto out;
    }
    bio = open_pem(&pem);
    ca->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    (void)BIO_free(bio);
    if (ca->key == NULL || X509_check_private_key(ca->cert, ca->key) != 1) {
        rc = DOM_FAIL(err, DOM_PARSE, "%s: not the key of ca.pem", path);
    }
out:
    ERR_clear_error();
    if (pem.data != NULL) {
        OPENSSL_cleanse(pem.data, pem.len);
    }
    dom_buffer_cleanup(&pem);
    if (rc != DOM_OK) {
        ca_cleanup(ca);
    }
    return rc;
}

/* ---- issue ------------------------------------------------------------------------------ */

/* "URI:spiffe://...,DNS:localhost,..." */
static enum dom_code list_names(struct dom_buffer *out, const struct dom_pki_request *request,
                                const struct ca *ca, char uri[DOM_SPIFFE_BYTES_MAX + 1],
                                struct dom_error *err)
{
    struct dom_spiffe_id id;
    uint8_t address[16];

    int len = snprintf(uri, DOM_SPIFFE_BYTES_MAX + 1, "spiffe://%s/region/%s/service/%s",
                       ca->trust_domain, request->region, request->service);
    if (len < 0 || (size_t)len > DOM_SPIFFE_BYTES_MAX ||
        !dom_spiffe_parse(&id, dom_slice_str(uri))) {
        return DOM_FAIL(err, DOM_INVALID,
                        "region \"%s\" or service \"%s\" cannot be part of a SPIFFE id: "
                        "[a-z0-9._-]+ is wanted",
                        request->region, request->service);
    }
    dom_buffer_printf(out, "URI:%s,DNS:localhost,IP:127.0.0.1,IP:::1", uri);
    for (size_t i = 0; i < request->num_names; i++) {
        const char *name = request->names[i];
        bool is_address = inet_pton(AF_INET, name, address) == 1 ||
                          inet_pton(AF_INET6, name, address) == 1;
        if (!is_address && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(name)) {
            return DOM_FAIL(err, DOM_INVALID, "\"%s\" is neither a DNS name nor an address", name);
        }
        dom_buffer_printf(out, ",%s:%s", is_address ? "IP" : "DNS", name);
    }
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory") : DOM_OK;
}

static enum dom_code write_all(const struct dom_pki_request *request, const struct ca *ca,
                               X509 *cert, EVP_PKEY *key, struct dom_error *err)
{
    enum dom_code rc = dom_dir_make(request->out, 0700, err);

    if (rc == DOM_OK) {
        rc = write_key(key, request->out, "svid_key.pem", err);
    }
    if (rc == DOM_OK) {
        rc = write_certificate(cert, request->out, "svid.pem", err);
    }
    if (rc == DOM_OK) {
        rc = write_certificate(ca->cert, request->out, "bundle.pem", err);
    }
    return rc;
}

enum dom_code dom_pki_issue(const struct dom_pki_request *request,
                            char serial[DOM_PKI_SERIAL_SIZE], struct dom_error *err)
{
    struct ca ca;
    struct dom_buffer names = {0};
    char uri[DOM_SPIFFE_BYTES_MAX + 1];
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;

    serial[0] = '\0';
    if (request->days == 0 || request->days > DOM_PKI_DAYS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "a certificate lives 1 to %u days", DOM_PKI_DAYS_MAX);
    }
    enum dom_code rc = read_ca(&ca, request->ca, err);
    if (rc != DOM_OK) {
        return rc;
    }
    rc = list_names(&names, request, &ca, uri, err);
    if (rc != DOM_OK) {
        goto out;
    }
    key = EVP_EC_gen("P-256");
    cert = key == NULL ? NULL : begin_certificate(key, request->service, request->days);
    if (cert == NULL || X509_set_issuer_name(cert, X509_get_subject_name(ca.cert)) != 1 ||
        !add_extension(cert, ca.cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(cert, ca.cert, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(cert, ca.cert, NID_ext_key_usage, "serverAuth,clientAuth") ||
        !add_extension(cert, ca.cert, NID_subject_key_identifier, "hash") ||
        !add_extension(cert, ca.cert, NID_authority_key_identifier, "keyid") ||
        !add_extension(cert, ca.cert, NID_subject_alt_name, dom_buffer_cstr(&names)) ||
        X509_sign(cert, ca.key, EVP_sha256()) <= 0) {
        rc = openssl_failed("making a certificate", err);
        goto out;
    }
    rc = write_all(request, &ca, cert, key, err);
    if (rc == DOM_OK) {
        serial_text(cert, serial);
    }
out:
    dom_buffer_cleanup(&names);
    X509_free(cert);
    EVP_PKEY_free(key);
    ca_cleanup(&ca);
    return rc;
}

/* ---- revoke ----------------------------------------------------------------------------- */

static enum dom_code read_crl(X509_CRL **crlp, const char *folder, struct dom_error *err)
{
    struct dom_buffer pem = {0};
    char path[PATH_MAX];

    path_in(path, folder, "crl.pem");
    enum dom_code rc = dom_file_read(&pem, path, CRL_BYTES_MAX, err);
    if (rc == DOM_OK) {
        BIO *bio = open_pem(&pem);
        *crlp = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
        (void)BIO_free(bio);
        if (*crlp == NULL) {
            rc = DOM_FAIL(err, DOM_PARSE, "%s: not a revocation list in PEM", path);
        }
    }
    dom_buffer_cleanup(&pem);
    return rc;
}

enum dom_code dom_pki_revoke(const char *folder, const char *serial, struct dom_error *err)
{
    struct ca ca;
    X509_CRL *old = NULL;
    BIGNUM *number = NULL;
    X509_REVOKED *one = NULL;
    STACK_OF(X509_REVOKED) *all = sk_X509_REVOKED_new_null();

    size_t len = strlen(serial);
    if (len == 0 || len >= DOM_PKI_SERIAL_SIZE ||
        strspn(serial, "0123456789abcdefABCDEF") != len) {
        sk_X509_REVOKED_free(all);
        return DOM_FAIL(err, DOM_INVALID, "\"%s\" is not a serial number in hex", serial);
    }
    enum dom_code rc = read_ca(&ca, folder, err);
    if (rc == DOM_OK) {
        rc = read_crl(&old, folder, err);
    }
    if (rc != DOM_OK) {
        goto out;
    }
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    one = X509_REVOKED_new();
    DOM_ASSERT(one != NULL && now != NULL && BN_hex2bn(&number, serial) > 0);
    ASN1_INTEGER *value = BN_to_ASN1_INTEGER(number, NULL);
    X509_REVOKED *known = NULL;
    bool there = X509_CRL_get0_by_serial(old, &known, value) == 1;
    (void)X509_REVOKED_set_serialNumber(one, value);
    (void)X509_REVOKED_set_revocationDate(one, now);
    STACK_OF(X509_REVOKED) *before = X509_CRL_get_REVOKED(old);
    for (int i = 0; i < sk_X509_REVOKED_num(before); i++) {
        (void)sk_X509_REVOKED_push(all, sk_X509_REVOKED_value(before, i));
    }
    if (!there) {
        (void)sk_X509_REVOKED_push(all, one);
    }
    rc = make_crl(&ca, all, folder, err);
    ASN1_INTEGER_free(value);
    ASN1_TIME_free(now);
out:
    ca_cleanup(&ca);
    BN_free(number);
    X509_REVOKED_free(one);
    sk_X509_REVOKED_free(all);
    X509_CRL_free(old);
    return rc;
}

/* ---- show ------------------------------------------------------------------------------- */

static void show_time(struct dom_buffer *out, const char *name, const ASN1_TIME *at)
{
    char text[DOM_RFC3339_SIZE];
    struct tm tm;

    if (ASN1_TIME_to_tm(at, &tm) == 1) {
        dom_time_format(text, (int64_t)timegm(&tm) * 1000, false);
        dom_buffer_printf(out, "%-9s %s\n", name, text);
    }
}

static void show_one(struct dom_buffer *out, X509 *cert)
{
    char serial[DOM_PKI_SERIAL_SIZE];
    char line[300];
    char hex[65];
    uint8_t hash[32];
    uint8_t *spki = NULL;

    serial_text(cert, serial);
    dom_buffer_printf(out, "serial    %s\n", serial);
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI || name->type == GEN_DNS) {
            const ASN1_IA5STRING *text = name->type == GEN_URI
                                             ? name->d.uniformResourceIdentifier
                                             : name->d.dNSName;
            dom_buffer_printf(out, "%-9s %.*s\n", name->type == GEN_URI ? "id" : "dns",
                              ASN1_STRING_length(text),
                              (const char *)ASN1_STRING_get0_data(text));
        }
    }
    GENERAL_NAMES_free(names);
    (void)X509_NAME_oneline(X509_get_issuer_name(cert), line, sizeof(line));
    dom_buffer_printf(out, "issuer    %s\n", line);
    show_time(out, "from", X509_get0_notBefore(cert));
    show_time(out, "until", X509_get0_notAfter(cert));
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    if (len > 0) {
        (void)SHA256(spki, (size_t)len, hash);
        dom_hex_encode(hex, dom_slice_of(hash, sizeof(hash)));
        dom_buffer_printf(out, "key       %s\n", hex);
    }
    OPENSSL_free(spki);
}

enum dom_code dom_pki_show(const char *path, struct dom_buffer *out, struct dom_error *err)
{
    struct dom_buffer pem = {0};
    X509 *cert = NULL;
    int num = 0;

    enum dom_code rc = dom_file_read(&pem, path, PEM_BYTES_MAX, err);
    if (rc == DOM_OK) {
        BIO *bio = open_pem(&pem);
        while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
            if (num++ > 0) {
                dom_buffer_append_str(out, "\n");
            }
            show_one(out, cert);
            X509_free(cert);
        }
        ERR_clear_error();
        (void)BIO_free(bio);
        if (num == 0) {
            rc = DOM_FAIL(err, DOM_PARSE, "%s: no certificate in PEM", path);
        }
    }
    dom_buffer_cleanup(&pem);
    return rc;
}
