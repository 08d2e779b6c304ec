#include "router/rpc/material.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"

#define PEM_BYTES_MAX (1U << 20)
#define CERTIFICATES_MAX 256
#define POLL_MS_DEFAULT 1000U
#define NUM_FILES 4U

/* What tells that a file is another one than before. */
struct stamp {
    struct timespec changed;
    ino_t inode;
    off_t size;
};

struct dom_tls {
    char *paths[NUM_FILES]; /* cert, key, ca, crl; the last may be NULL */
    char *trust_domain;
    uint64_t poll_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct dom_tls_material *current;
    bool stopping;
    bool nudged;
    uint64_t reloads;
    uint64_t failed;
    _Atomic uint64_t generation;
    /* The watching thread's own. */
    struct stamp stamps[NUM_FILES];
};

enum { CERT, KEY, CA, CRL };

/* ---- one load --------------------------------------------------------------------------- */

static void free_material(struct dom_tls_material *material)
{
    if (material->key_pem.data != NULL) {
        OPENSSL_cleanse(material->key_pem.data, material->key_pem.len);
    }
    dom_buffer_cleanup(&material->cert_pem);
    dom_buffer_cleanup(&material->key_pem);
    dom_buffer_cleanup(&material->ca_pem);
    X509_STORE_free(material->store);
    sk_X509_CRL_pop_free(material->crls, X509_CRL_free);
    free(material);
}

void dom_tls_material_unref(struct dom_tls_material *material)
{
    /* Acquire-release: the last one out must see what the others did. */
    if (material != NULL &&
        atomic_fetch_sub_explicit(&material->refs, 1, memory_order_acq_rel) == 1) {
        free_material(material);
    }
}

/* Readable memory; an empty file has none of its own, and OpenSSL would refuse that. */
static BIO *open_pem(const struct dom_buffer *pem)
{
    return BIO_new_mem_buf(pem->len == 0 ? "" : (const char *)pem->data, (int)pem->len);
}

static size_t count_begins(const struct dom_buffer *pem)
{
    static const char begin[] = "-----BEGIN";
    size_t num = 0;

    for (size_t i = 0; i + sizeof(begin) - 1 <= pem->len; i++) {
        num += memcmp(pem->data + i, begin, sizeof(begin) - 1) == 0;
    }
    return num;
}

/* Every certificate of the text; a block that is cut off is an error, not an end. The caller
 * frees the stack also after a failure. */
static enum dom_code read_certificates(STACK_OF(X509) * out, const struct dom_buffer *pem,
                                       const char *path, struct dom_error *err)
{
    BIO *bio = open_pem(pem);
    X509 *cert = NULL;

    DOM_ASSERT(bio != NULL);
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        DOM_ASSERT(sk_X509_push(out, cert) > 0);
    }
    ERR_clear_error();
    (void)BIO_free(bio);
    int num = sk_X509_num(out);
    if (num == 0 || num > CERTIFICATES_MAX) {
        return DOM_FAIL(err, DOM_PARSE, "%s: %d certificates; 1 to %d are wanted", path, num,
                        CERTIFICATES_MAX);
    }
    if (count_begins(pem) != (size_t)num) {
        return DOM_FAIL(err, DOM_PARSE, "%s: damaged or half-written after %d certificates", path,
                        num);
    }
    return DOM_OK;
}

static int64_t unix_time(const ASN1_TIME *at)
{
    struct tm tm;

    return at != NULL && ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static enum dom_code take_pair(struct dom_tls *tls, struct dom_tls_material *material,
                               struct dom_error *err)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    EVP_PKEY *key = NULL;

    enum dom_code rc =
        dom_file_read(&material->cert_pem, tls->paths[CERT], PEM_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_file_read_secret(&material->key_pem, tls->paths[KEY], PEM_BYTES_MAX, err);
    }
    if (rc == DOM_OK) {
        rc = read_certificates(chain, &material->cert_pem, tls->paths[CERT], err);
    }
    if (rc != DOM_OK) {
        goto out;
    }
    BIO *bio = open_pem(&material->key_pem);
    DOM_ASSERT(bio != NULL);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    (void)BIO_free(bio);
    X509 *leaf = sk_X509_value(chain, 0);
    material->cert_expires_s = unix_time(X509_get0_notAfter(leaf));
    if (key == NULL) {
        rc = DOM_FAIL(err, DOM_PARSE, "%s: not a private key in PEM", tls->paths[KEY]);
    } else if (X509_check_private_key(leaf, key) != 1) {
        rc = DOM_FAIL(err, DOM_INVALID, "%s is not the key of %s", tls->paths[KEY],
                      tls->paths[CERT]);
    } else if (material->cert_expires_s <= (int64_t)time(NULL)) {
        rc = DOM_FAIL(err, DOM_INVALID, "%s: the certificate has expired", tls->paths[CERT]);
    }
out:
    ERR_clear_error();
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

static bool signed_by_one_of(X509_CRL *crl, STACK_OF(X509) * cas)
{
    for (int i = 0; i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        if (X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
            X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1) {
            return true;
        }
    }
    return false;
}

static enum dom_code take_crls(struct dom_tls *tls, struct dom_tls_material *material,
                               STACK_OF(X509) * cas, struct dom_error *err)
{
    struct dom_buffer pem = {0};
    X509_CRL *crl = NULL;

    material->crls = sk_X509_CRL_new_null();
    if (tls->paths[CRL] == NULL) {
        return DOM_OK;
    }
    enum dom_code rc = dom_file_read(&pem, tls->paths[CRL], 8 * PEM_BYTES_MAX, err);
    if (rc != DOM_OK) {
        return rc;
    }
    BIO *bio = open_pem(&pem);
    DOM_ASSERT(bio != NULL);
    while ((crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        DOM_ASSERT(sk_X509_CRL_push(material->crls, crl) > 0);
        int64_t until = unix_time(X509_CRL_get0_nextUpdate(crl));
        if (rc == DOM_OK && !signed_by_one_of(crl, cas)) {
            rc = DOM_FAIL(err, DOM_INVALID, "%s: a list is not signed by a CA of %s",
                          tls->paths[CRL], tls->paths[CA]);
        }
        if (material->crl_expires_s == 0 || until < material->crl_expires_s) {
            material->crl_expires_s = until;
        }
    }
    (void)BIO_free(bio);
    ERR_clear_error();
    int num = sk_X509_CRL_num(material->crls);
    if (rc == DOM_OK && (num == 0 || count_begins(&pem) != (size_t)num)) {
        rc = DOM_FAIL(err, DOM_PARSE, "%s: empty, damaged or half-written", tls->paths[CRL]);
    }
    dom_buffer_cleanup(&pem);
    return rc;
}

static enum dom_code take_trust(struct dom_tls *tls, struct dom_tls_material *material,
                                struct dom_error *err)
{
    STACK_OF(X509) *cas = sk_X509_new_null();

    enum dom_code rc = dom_file_read(&material->ca_pem, tls->paths[CA], PEM_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = read_certificates(cas, &material->ca_pem, tls->paths[CA], err);
    }
    material->store = X509_STORE_new();
    DOM_ASSERT(material->store != NULL);
    /* An intermediate in the bundle is trusted by itself, as gRPC does in the handshake. */
    (void)X509_STORE_set_flags(material->store, X509_V_FLAG_PARTIAL_CHAIN);
    for (int i = 0; rc == DOM_OK && i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        if (X509_check_ca(ca) == 0) {
            rc = DOM_FAIL(err, DOM_INVALID, "%s: certificate %d is not that of a CA",
                          tls->paths[CA], i + 1);
        }
        (void)X509_STORE_add_cert(material->store, ca);
    }
    if (rc == DOM_OK) {
        rc = take_crls(tls, material, cas, err);
    }
    sk_X509_pop_free(cas, X509_free);
    return rc;
}

static enum dom_code load(struct dom_tls *tls, struct dom_tls_material **materialp,
                          struct dom_error *err)
{
    struct dom_tls_material *material = calloc(1, sizeof(*material));

    *materialp = NULL;
    DOM_ASSERT(material != NULL);
    atomic_init(&material->refs, 1);
    enum dom_code rc = take_pair(tls, material, err);
    if (rc == DOM_OK) {
        rc = take_trust(tls, material, err);
    }
    if (rc != DOM_OK) {
        free_material(material);
        return rc;
    }
    /* gRPC takes NUL-terminated text. */
    dom_buffer_append_char(&material->cert_pem, '\0');
    dom_buffer_append_char(&material->key_pem, '\0');
    dom_buffer_append_char(&material->ca_pem, '\0');
    *materialp = material;
    return DOM_OK;
}

/* ---- the watch -------------------------------------------------------------------------- */

static void take_stamps(const struct dom_tls *tls, struct stamp out[NUM_FILES])
{
    memset(out, 0, NUM_FILES * sizeof(*out));
    for (size_t i = 0; i < NUM_FILES; i++) {
        struct stat st;
        if (tls->paths[i] != NULL && stat(tls->paths[i], &st) == 0) {
            out[i].changed = st.st_mtim;
            out[i].inode = st.st_ino;
            out[i].size = st.st_size;
        }
    }
}

static bool same_stamps(const struct stamp *a, const struct stamp *b)
{
    for (size_t i = 0; i < NUM_FILES; i++) {
        if (a[i].changed.tv_sec != b[i].changed.tv_sec ||
            a[i].changed.tv_nsec != b[i].changed.tv_nsec || a[i].inode != b[i].inode ||
            a[i].size != b[i].size) {
            return false;
        }
    }
    return true;
}

static void put_in_place(struct dom_tls *tls, struct dom_tls_material *material)
{
    struct dom_tls_material *old = NULL;

    (void)pthread_mutex_lock(&tls->lock);
    old = tls->current;
    material->generation = old == NULL ? 1 : old->generation + 1;
    tls->current = material;
    tls->reloads += old != NULL;
    /* Release: who sees the number finds the material under the lock. */
    atomic_store_explicit(&tls->generation, material->generation, memory_order_release);
    (void)pthread_mutex_unlock(&tls->lock);
    dom_tls_material_unref(old);
}

/* Loads when a file has changed since the last look. A file that changes while it is read is
 * noticed at the next look, as the stamps are from before. */
static void look(struct dom_tls *tls)
{
    struct stamp now[NUM_FILES];
    struct dom_tls_material *material = NULL;
    struct dom_error err = {0};

    take_stamps(tls, now);
    if (same_stamps(now, tls->stamps)) {
        return;
    }
    memcpy(tls->stamps, now, sizeof(now));
    if (load(tls, &material, &err) == DOM_OK) {
        put_in_place(tls, material);
        dom_log(DOM_LOG_INFO, "tls.loaded", "generation=%llu cert=%s",
                (unsigned long long)dom_tls_generation(tls), tls->paths[CERT]);
        return;
    }
    (void)pthread_mutex_lock(&tls->lock);
    tls->failed++;
    (void)pthread_mutex_unlock(&tls->lock);
    dom_log(DOM_LOG_ERROR, "tls.refused", "text=\"%s\" kept=\"the last good ones\"", err.message);
}

static void *watch(void *arg)
{
    struct dom_tls *tls = arg;

    dom_thread_name("certs", NULL);
    (void)pthread_mutex_lock(&tls->lock);
    while (!tls->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)(tls->poll_ms / 1000);
        until.tv_nsec += (long)(tls->poll_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        int rc = 0;
        while (!tls->stopping && !tls->nudged && rc != ETIMEDOUT) {
            rc = pthread_cond_timedwait(&tls->wake, &tls->lock, &until);
        }
        tls->nudged = false;
        if (!tls->stopping) {
            (void)pthread_mutex_unlock(&tls->lock);
            look(tls);
            (void)pthread_mutex_lock(&tls->lock);
        }
    }
    (void)pthread_mutex_unlock(&tls->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------- */

static void free_tls(struct dom_tls *tls)
{
    dom_tls_material_unref(tls->current);
    (void)pthread_cond_destroy(&tls->wake);
    (void)pthread_mutex_destroy(&tls->lock);
    for (size_t i = 0; i < NUM_FILES; i++) {
        free(tls->paths[i]);
    }
    free(tls->trust_domain);
    free(tls);
}

enum dom_code dom_tls_new(struct dom_tls **tlsp, const struct dom_rpc_tls_options *options,
                          struct dom_error *err)
{
    struct dom_tls_material *first = NULL;
    pthread_condattr_t attr;

    *tlsp = NULL;
    if (options->cert == NULL || options->key == NULL || options->ca == NULL ||
        options->trust_domain == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "mTLS needs cert, key, ca and trust_domain");
    }
    struct dom_tls *tls = calloc(1, sizeof(*tls));
    DOM_ASSERT(tls != NULL);
    tls->paths[CERT] = strdup(options->cert);
    tls->paths[KEY] = strdup(options->key);
    tls->paths[CA] = strdup(options->ca);
    tls->paths[CRL] = options->crl == NULL ? NULL : strdup(options->crl);
    tls->trust_domain = strdup(options->trust_domain);
    tls->poll_ms = options->poll_ms == 0 ? POLL_MS_DEFAULT : options->poll_ms;
    (void)pthread_mutex_init(&tls->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&tls->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    take_stamps(tls, tls->stamps);
    enum dom_code rc = load(tls, &first, err);
    if (rc == DOM_OK) {
        put_in_place(tls, first);
        if (pthread_create(&tls->thread, NULL, watch, tls) != 0) {
            rc = DOM_FAIL(err, DOM_RESOURCE, "cannot start a thread");
        }
    }
    if (rc != DOM_OK) {
        free_tls(tls);
        return rc;
    }
    *tlsp = tls;
    return DOM_OK;
}

void dom_tls_destroy(struct dom_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&tls->lock);
    tls->stopping = true;
    (void)pthread_cond_signal(&tls->wake);
    (void)pthread_mutex_unlock(&tls->lock);
    (void)pthread_join(tls->thread, NULL);
    free_tls(tls);
}

const char *dom_tls_trust_domain(const struct dom_tls *tls)
{
    return tls->trust_domain;
}

struct dom_tls_material *dom_tls_get(struct dom_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    struct dom_tls_material *material = tls->current;
    /* Relaxed: the lock is held, so there is a reference already. */
    (void)atomic_fetch_add_explicit(&material->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&tls->lock);
    return material;
}

uint64_t dom_tls_generation(const struct dom_tls *tls)
{
    return atomic_load_explicit(&tls->generation, memory_order_acquire);
}

void dom_tls_nudge(struct dom_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    tls->nudged = true;
    (void)pthread_cond_signal(&tls->wake);
    (void)pthread_mutex_unlock(&tls->lock);
}

void dom_tls_counts(struct dom_tls *tls, uint64_t *reloads, uint64_t *failed)
{
    (void)pthread_mutex_lock(&tls->lock);
    *reloads = tls->reloads;
    *failed = tls->failed;
    (void)pthread_mutex_unlock(&tls->lock);
}
