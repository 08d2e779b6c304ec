/* Certificates for tests, good and bad, made with OpenSSL alone. */
#ifndef DOM_TESTS_ROUTER_RPC_CERTS_H
#define DOM_TESTS_ROUTER_RPC_CERTS_H

#include <openssl/x509.h>
#include <stdbool.h>

enum cert_key { CERT_EC, CERT_RSA_2048, CERT_RSA_1024 };

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct cert_spec {
    const struct cert *issuer; /* NULL: signs itself */
    const char *san;           /* as in an OpenSSL configuration; NULL: none */
    enum cert_key key;
    bool sha1;
    bool is_ca;
    long from_s; /* from now; 0: an hour ago */
    long until_s; /* from now; 0: in an hour */
};

#define CERT_ID "URI:spiffe://test.example/region/eu-1/service/edge"
#define CERT_SERVER_NAMES ",DNS:localhost,IP:127.0.0.1"

/* Aborts when OpenSSL fails: the test's own making. */
void cert_make(struct cert *out, const struct cert_spec *spec);
void cert_free(struct cert *cert);
/* folder/NAME.pem: the certificate, then those of `more` (NULL-terminated; may be NULL). */
void cert_write(const struct cert *cert, const struct cert *const *more, const char *folder,
                const char *name);
/* folder/NAME.key, 0600 */
void cert_write_key(const struct cert *cert, const char *folder, const char *name);
/* folder/NAME.pem with the revocation list of `ca`: `revoked` (NULL: empty). */
void cert_write_crl(const struct cert *ca, const struct cert *revoked, const char *folder,
                    const char *name);

#endif
