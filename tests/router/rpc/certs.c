#include "tests/router/rpc/certs.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    DOM_ASSERT(extension != NULL);
    DOM_ASSERT(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

void cert_make(struct cert *out, const struct cert_spec *spec)
{
    static long s_serial = 0x1000;
    char name[32];

    out->key = spec->key == CERT_EC ? EVP_EC_gen("P-256")
                                    : EVP_RSA_gen(spec->key == CERT_RSA_2048 ? 2048 : 1024);
    out->x509 = X509_new();
    DOM_ASSERT(out->key != NULL && out->x509 != NULL);
    X509 *issuer = spec->issuer == NULL ? out->x509 : spec->issuer->x509;
    DOM_ASSERT(X509_set_version(out->x509, X509_VERSION_3) == 1);
    DOM_ASSERT(ASN1_INTEGER_set(X509_get_serialNumber(out->x509), s_serial++) == 1);
    (void)snprintf(name, sizeof(name), "test %ld", s_serial);
    DOM_ASSERT(X509_NAME_add_entry_by_txt(X509_get_subject_name(out->x509), "CN", MBSTRING_ASC,
                                          (const unsigned char *)name, -1, -1, 0) == 1);
    DOM_ASSERT(X509_set_issuer_name(out->x509, X509_get_subject_name(issuer)) == 1);
    X509_gmtime_adj(X509_getm_notBefore(out->x509), spec->from_s == 0 ? -3600 : spec->from_s);
    X509_gmtime_adj(X509_getm_notAfter(out->x509), spec->until_s == 0 ? 3600 : spec->until_s);
    DOM_ASSERT(X509_set_pubkey(out->x509, out->key) == 1);
    extend(out->x509, issuer, NID_basic_constraints,
           spec->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (spec->san != NULL) {
        extend(out->x509, issuer, NID_subject_alt_name, spec->san);
    }
    EVP_PKEY *signer = spec->issuer == NULL ? out->key : spec->issuer->key;
    DOM_ASSERT(X509_sign(out->x509, signer, spec->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
}

void cert_free(struct cert *cert)
{
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    memset(cert, 0, sizeof(*cert));
}

static FILE *create(const char *folder, const char *name, const char *suffix, char path[512])
{
    (void)snprintf(path, 512, "%s/%s%s.new", folder, name, suffix);
    FILE *file = fopen(path, "we");
    DOM_ASSERT(file != NULL);
    DOM_ASSERT(fchmod(fileno(file), 0600) == 0);
    return file;
}

/* Renames, as whoever rotates certificates does. */
static void finish(FILE *file, const char *path)
{
    char final[512];

    DOM_ASSERT(fclose(file) == 0);
    (void)snprintf(final, sizeof(final), "%.*s", (int)(strlen(path) - 4), path);
    DOM_ASSERT(rename(path, final) == 0);
}

void cert_write(const struct cert *cert, const struct cert *const *more, const char *folder,
                const char *name)
{
    char path[512];
    FILE *file = create(folder, name, ".pem", path);

    DOM_ASSERT(PEM_write_X509(file, cert->x509) == 1);
    for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
        DOM_ASSERT(PEM_write_X509(file, more[i]->x509) == 1);
    }
    finish(file, path);
}

void cert_write_key(const struct cert *cert, const char *folder, const char *name)
{
    char path[512];
    FILE *file = create(folder, name, ".key", path);

    DOM_ASSERT(PEM_write_PrivateKey(file, cert->key, NULL, NULL, 0, NULL, NULL) == 1);
    finish(file, path);
}

void cert_write_crl(const struct cert *ca, const struct cert *revoked, const char *folder,
                    const char *name)
{
    char path[512];
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60);
    ASN1_TIME *next = X509_gmtime_adj(NULL, 3600);

    DOM_ASSERT(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    DOM_ASSERT(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509)) == 1);
    DOM_ASSERT(X509_CRL_set1_lastUpdate(crl, now) == 1);
    DOM_ASSERT(X509_CRL_set1_nextUpdate(crl, next) == 1);
    if (revoked != NULL) {
        X509_REVOKED *one = X509_REVOKED_new();
        DOM_ASSERT(X509_REVOKED_set_serialNumber(one, X509_get_serialNumber(revoked->x509)) == 1);
        DOM_ASSERT(X509_REVOKED_set_revocationDate(one, now) == 1);
        DOM_ASSERT(X509_CRL_add0_revoked(crl, one) == 1);
    }
    DOM_ASSERT(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    FILE *file = create(folder, name, ".pem", path);
    DOM_ASSERT(PEM_write_X509_CRL(file, crl) == 1);
    finish(file, path);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
}
