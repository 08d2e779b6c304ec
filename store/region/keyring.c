#include "store/region/keyring.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/log.h"

#define DESTROYED    "subject-destroyed"
#define NAME_MAX_LEN 72U /* "export/" and 64 */

struct key {
    char name[NAME_MAX_LEN + 1];
    uint32_t epoch;
    uint8_t bytes[DOM_KEY_SIZE];
};

struct dom_keyring {
    char *path;
    char *region;
    struct key *keys; /* in the file's order */
    size_t num_keys;
    struct dom_hmac_key blind;
    struct subject {
        struct dom_hmac_key key;
        uint32_t epoch;
    } subjects[DOM_KEY_EPOCHS_MAX]; /* ascending epochs */
    size_t num_subjects;
    const struct key *sign;
    const struct key *witness;
    struct key data[DOM_KEY_EPOCHS_MAX]; /* ascending epochs */
    size_t num_data;
    pthread_mutex_t lock; /* of keys, num_keys and the file */
    /* The file that was found good last, and for how many keys; one watching thread's. */
    uint8_t good_digest[DOM_SHA256_SIZE];
    size_t good_keys; /* 0: none */
};

#define KEYS_MAX (DOM_EXPORT_KEYS_MAX + 4U * DOM_KEY_EPOCHS_MAX)

static enum dom_code random_key(uint8_t *out, struct dom_error *err)
{
    if (RAND_priv_bytes(out, DOM_KEY_SIZE) != 1) {
        return DOM_FAIL(err, DOM_INTERNAL, "no random bytes");
    }
    return DOM_OK;
}

static enum dom_code add_key(struct dom_keyring *ring, const char *name, uint32_t epoch,
                             const uint8_t *bytes, struct dom_error *err)
{
    if (ring->num_keys == KEYS_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "%s: more than %u keys", ring->path, KEYS_MAX);
    }
    struct key *key = &ring->keys[ring->num_keys];
    (void)snprintf(key->name, sizeof(key->name), "%s", name);
    key->epoch = epoch;
    memcpy(key->bytes, bytes, DOM_KEY_SIZE);
    ring->num_keys++;
    return DOM_OK;
}

static void wipe(struct dom_buffer *secret)
{
    if (secret->data != NULL) {
        OPENSSL_cleanse(secret->data, secret->capacity);
    }
    dom_buffer_cleanup(secret);
}

static enum dom_code save(struct dom_keyring *ring, struct dom_error *err)
{
    struct dom_buffer text;

    dom_buffer_init(&text, DOM_KEY_FILE_BYTES_MAX);
    dom_buffer_printf(&text, "domicile-keys 1\nregion %s\n", ring->region);
    for (size_t i = 0; i < ring->num_keys; i++) {
        char base64[DOM_BASE64_LEN(DOM_KEY_SIZE) + 1];
        const struct key *key = &ring->keys[i];
        (void)dom_base64_encode(base64, dom_slice_of(key->bytes, DOM_KEY_SIZE));
        dom_buffer_printf(&text, "%s %u %s\n", key->name, (unsigned)key->epoch, base64);
        OPENSSL_cleanse(base64, sizeof(base64));
    }
    enum dom_code rc = text.failed
                           ? DOM_FAIL(err, DOM_RESOURCE, "%s: too many keys", ring->path)
                           : dom_file_write_atomic(ring->path, dom_buffer_slice(&text), 0600, err);
    wipe(&text);
    return rc;
}

static enum dom_code create(struct dom_keyring *ring, struct dom_error *err)
{
    static const char *const names[] = {"blind", "data", "subject", "sign", "witness"};
    enum dom_code rc = DOM_OK;

    for (size_t i = 0; i < DOM_ARRAY_LEN(names) && rc == DOM_OK; i++) {
        uint8_t bytes[DOM_KEY_SIZE];
        rc = random_key(bytes, err);
        if (rc == DOM_OK) {
            rc = add_key(ring, names[i], 1, bytes, err);
        }
        OPENSSL_cleanse(bytes, sizeof(bytes));
    }
    if (rc == DOM_OK) {
        rc = save(ring, err);
    }
    if (rc == DOM_OK) {
        dom_log(DOM_LOG_INFO, "store.keys_made", "path=\"%s\" region=%s", ring->path, ring->region);
    }
    return rc;
}

/* Adds a key of a name that is new, epoch 1, and saves the file. */
static enum dom_code make_key(struct dom_keyring *ring, const char *name, struct dom_error *err)
{
    uint8_t bytes[DOM_KEY_SIZE];
    size_t before = ring->num_keys;

    enum dom_code rc = random_key(bytes, err);
    if (rc == DOM_OK) {
        rc = add_key(ring, name, 1, bytes, err);
    }
    if (rc == DOM_OK) {
        rc = save(ring, err);
    }
    if (rc != DOM_OK) {
        /* A key that is not on disk must not be used: what it made could never be told again. */
        ring->num_keys = before;
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rc;
}

static bool known_name(const char *name)
{
    return strcmp(name, "blind") == 0 || strcmp(name, "data") == 0 ||
           strcmp(name, "subject") == 0 || strcmp(name, "sign") == 0 ||
           strcmp(name, "witness") == 0 || strcmp(name, DESTROYED) == 0 ||
           (strncmp(name, "export/", 7) == 0 && name[7] != '\0');
}

/* Splits off the next word; single spaces only. */
static struct dom_slice word(struct dom_slice *rest)
{
    const uint8_t *space = rest->len == 0 ? NULL : memchr(rest->data, ' ', rest->len);
    size_t len = space == NULL ? rest->len : (size_t)(space - rest->data);
    struct dom_slice out = dom_slice_of(rest->data, len);
    size_t used = space == NULL ? len : len + 1;

    *rest = dom_slice_of(rest->data + used, rest->len - used);
    return out;
}

static bool parse_epoch(struct dom_slice text, uint32_t *out)
{
    uint32_t value = 0;

    if (text.len == 0 || text.len > 9 || text.data[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *out = value;
    return true;
}

static enum dom_code parse_key(struct dom_keyring *ring, struct dom_slice line, unsigned number,
                               struct dom_error *err)
{
    char name[NAME_MAX_LEN + 1];
    uint8_t bytes[DOM_KEY_SIZE];
    uint32_t epoch = 0;
    size_t len = 0;

    if (!dom_slice_to_cstr(word(&line), name, sizeof(name)) || !known_name(name)) {
        return DOM_FAIL(err, DOM_PARSE, "%s:%u: not a key this version knows", ring->path, number);
    }
    if (!parse_epoch(word(&line), &epoch)) {
        return DOM_FAIL(err, DOM_PARSE, "%s:%u: key %s: the epoch is not a number from 1 on",
                        ring->path, number, name);
    }
    if (!dom_base64_decode(bytes, sizeof(bytes), &len, line) || len != sizeof(bytes)) {
        return DOM_FAIL(err, DOM_PARSE, "%s:%u: key %s: not base64 of %u bytes", ring->path, number,
                        name, DOM_KEY_SIZE);
    }
    for (size_t i = 0; i < ring->num_keys; i++) {
        if (strcmp(ring->keys[i].name, name) == 0 && ring->keys[i].epoch == epoch) {
            return DOM_FAIL(err, DOM_PARSE, "%s:%u: key %s epoch %u is there twice", ring->path,
                            number, name, (unsigned)epoch);
        }
    }
    enum dom_code rc = add_key(ring, name, epoch, bytes, err);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rc;
}

static enum dom_code parse_line(struct dom_keyring *ring, struct dom_slice line, unsigned number,
                                struct dom_error *err)
{
    struct dom_slice rest = line;

    if (number == 1) {
        if (!dom_slice_eq_str(word(&rest), "domicile-keys")) {
            return DOM_FAIL(err, DOM_PARSE, "%s:1: not a key file of Domicile", ring->path);
        }
        if (!dom_slice_eq_str(rest, "1")) {
            return DOM_FAIL(err, DOM_FORMAT, "%s:1: key file format %.*s; this version knows 1",
                            ring->path, (int)(rest.len > 16 ? 16 : rest.len),
                            (const char *)rest.data);
        }
        return DOM_OK;
    }
    if (number == 2) {
        if (!dom_slice_eq_str(word(&rest), "region")) {
            return DOM_FAIL(err, DOM_PARSE, "%s:2: the region is missing", ring->path);
        }
        if (!dom_slice_eq_str(rest, ring->region)) {
            return DOM_FAIL(err, DOM_FORMAT, "%s:2: keys of region %.*s, wanted %s", ring->path,
                            (int)(rest.len > 128 ? 128 : rest.len), (const char *)rest.data,
                            ring->region);
        }
        return DOM_OK;
    }
    return parse_key(ring, line, number, err);
}

static enum dom_code parse(struct dom_keyring *ring, struct dom_slice text, struct dom_error *err)
{
    unsigned number = 0;

    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        number++;
        if (end == NULL) {
            return DOM_FAIL(err, DOM_PARSE, "%s:%u: the line has no end; was the file cut?",
                            ring->path, number);
        }
        size_t len = (size_t)(end - text.data);
        enum dom_code rc = parse_line(ring, dom_slice_of(text.data, len), number, err);
        if (rc != DOM_OK) {
            return rc;
        }
        text = dom_slice_of(text.data + len + 1, text.len - len - 1);
    }
    return number < 2 ? DOM_FAIL(err, DOM_PARSE, "%s: empty", ring->path) : DOM_OK;
}

/* The only one of its name, or the newest. */
static const struct key *newest(const struct dom_keyring *ring, const char *name)
{
    const struct key *found = NULL;

    for (size_t i = 0; i < ring->num_keys; i++) {
        if (strcmp(ring->keys[i].name, name) == 0 &&
            (found == NULL || found->epoch < ring->keys[i].epoch)) {
            found = &ring->keys[i];
        }
    }
    return found;
}

static enum dom_code index_subjects(struct dom_keyring *ring, struct dom_error *err)
{
    for (size_t i = 0; i < ring->num_keys; i++) {
        const struct key *key = &ring->keys[i];
        if (strcmp(key->name, "subject") != 0) {
            continue;
        }
        if (ring->num_subjects == DOM_KEY_EPOCHS_MAX) {
            return DOM_FAIL(err, DOM_RESOURCE, "%s: more than %u subject keys", ring->path,
                            DOM_KEY_EPOCHS_MAX);
        }
        if (dom_keyring_subject_destroyed(ring, key->epoch)) {
            return DOM_FAIL(err, DOM_PARSE, "%s: subject epoch %u is there and destroyed",
                            ring->path, (unsigned)key->epoch);
        }
        size_t at = ring->num_subjects++;
        while (at > 0 && ring->subjects[at - 1].epoch > key->epoch) {
            ring->subjects[at] = ring->subjects[at - 1];
            at--;
        }
        ring->subjects[at].epoch = key->epoch;
        dom_hmac_key_init(&ring->subjects[at].key, dom_slice_of(key->bytes, DOM_KEY_SIZE));
    }
    return DOM_OK;
}

static enum dom_code index_keys(struct dom_keyring *ring, struct dom_error *err)
{
    const struct key *blind = newest(ring, "blind");
    const struct key *subject = newest(ring, "subject");
    enum dom_code rc = DOM_OK;

    ring->sign = newest(ring, "sign");
    ring->witness = newest(ring, "witness");
    if (blind == NULL || subject == NULL || ring->sign == NULL || newest(ring, "data") == NULL) {
        return DOM_FAIL(err, DOM_PARSE, "%s: one of blind, data, subject, sign is missing",
                        ring->path);
    }
    dom_hmac_key_init(&ring->blind, dom_slice_of(blind->bytes, DOM_KEY_SIZE));
    rc = index_subjects(ring, err);
    if (rc != DOM_OK) {
        return rc;
    }
    for (size_t i = 0; i < ring->num_keys; i++) {
        if (strcmp(ring->keys[i].name, "data") != 0) {
            continue;
        }
        if (ring->num_data == DOM_KEY_EPOCHS_MAX) {
            return DOM_FAIL(err, DOM_RESOURCE, "%s: more than %u data keys", ring->path,
                            DOM_KEY_EPOCHS_MAX);
        }
        size_t at = ring->num_data++;
        while (at > 0 && ring->data[at - 1].epoch > ring->keys[i].epoch) {
            ring->data[at] = ring->data[at - 1];
            at--;
        }
        ring->data[at] = ring->keys[i];
    }
    return DOM_OK;
}

enum dom_code dom_keyring_open(struct dom_keyring **ringp, const char *path, const char *region,
                               bool may_create, struct dom_error *err)
{
    struct dom_buffer text = {0};
    struct stat st;
    enum dom_code rc = DOM_OK;

    *ringp = NULL;
    struct dom_keyring *ring = calloc(1, sizeof(*ring));
    DOM_ASSERT(ring != NULL);
    DOM_ASSERT(pthread_mutex_init(&ring->lock, NULL) == 0);
    ring->path = strdup(path);
    ring->region = strdup(region);
    ring->keys = calloc(KEYS_MAX, sizeof(*ring->keys));
    DOM_ASSERT(ring->path != NULL && ring->region != NULL && ring->keys != NULL);
    if (lstat(path, &st) != 0 && errno == ENOENT) {
        rc = may_create ? create(ring, err)
                        : DOM_FAIL(err, DOM_IO,
                                   "%s: missing, but region %s has data; without its keys the "
                                   "data cannot be read: put the file back",
                                   path, region);
    } else {
        rc = dom_file_read_secret(&text, path, DOM_KEY_FILE_BYTES_MAX, err);
        if (rc == DOM_OK) {
            rc = parse(ring, dom_buffer_slice(&text), err);
        }
    }
    if (rc == DOM_OK) {
        rc = index_keys(ring, err);
    }
    wipe(&text);
    if (rc != DOM_OK) {
        dom_keyring_destroy(ring);
        return rc;
    }
    *ringp = ring;
    return DOM_OK;
}

void dom_keyring_destroy(struct dom_keyring *ring)
{
    if (ring == NULL) {
        return;
    }
    dom_hmac_key_cleanup(&ring->blind);
    OPENSSL_cleanse(ring->subjects, sizeof(ring->subjects));
    OPENSSL_cleanse(ring->data, sizeof(ring->data));
    OPENSSL_cleanse(ring->keys, KEYS_MAX * sizeof(*ring->keys));
    free(ring->keys);
    free(ring->path);
    free(ring->region);
    (void)pthread_mutex_destroy(&ring->lock);
    free(ring);
}

const struct dom_hmac_key *dom_keyring_blind(const struct dom_keyring *ring)
{
    return &ring->blind;
}

const struct dom_hmac_key *dom_keyring_subject(const struct dom_keyring *ring, uint32_t *epochp)
{
    return dom_keyring_subject_at(ring, ring->num_subjects - 1, epochp);
}

size_t dom_keyring_num_subjects(const struct dom_keyring *ring)
{
    return ring->num_subjects;
}

const struct dom_hmac_key *dom_keyring_subject_at(const struct dom_keyring *ring, size_t i,
                                                  uint32_t *epochp)
{
    DOM_ASSERT(i < ring->num_subjects);
    *epochp = ring->subjects[i].epoch;
    return &ring->subjects[i].key;
}

bool dom_keyring_subject_destroyed(const struct dom_keyring *ring, uint32_t epoch)
{
    for (size_t i = 0; i < ring->num_keys; i++) {
        if (strcmp(ring->keys[i].name, DESTROYED) == 0 && ring->keys[i].epoch == epoch) {
            return true;
        }
    }
    return false;
}

enum dom_code dom_keyring_rotate_subject(struct dom_keyring *ring, uint32_t *epochp,
                                         struct dom_error *err)
{
    uint8_t bytes[DOM_KEY_SIZE];
    uint32_t newest_epoch = ring->subjects[ring->num_subjects - 1].epoch;

    *epochp = newest_epoch + 1;
    if (ring->num_subjects == DOM_KEY_EPOCHS_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "%s: it has %u subject keys already: destroy one",
                        ring->path, DOM_KEY_EPOCHS_MAX);
    }
    enum dom_code rc = random_key(bytes, err);
    if (rc == DOM_OK) {
        rc = add_key(ring, "subject", *epochp, bytes, err);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return rc == DOM_OK ? save(ring, err) : rc;
}

enum dom_code dom_keyring_destroy_subject(struct dom_keyring *ring, uint32_t epoch,
                                          struct dom_error *err)
{
    if (epoch == ring->subjects[ring->num_subjects - 1].epoch) {
        return DOM_FAIL(err, DOM_INVALID, "%s: subject epoch %u is in use: rotate first",
                        ring->path, (unsigned)epoch);
    }
    for (size_t i = 0; i < ring->num_keys; i++) {
        struct key *key = &ring->keys[i];
        if (strcmp(key->name, "subject") == 0 && key->epoch == epoch) {
            OPENSSL_cleanse(key->bytes, sizeof(key->bytes));
            (void)snprintf(key->name, sizeof(key->name), DESTROYED);
            return save(ring, err);
        }
    }
    return DOM_FAIL(err, DOM_NOT_FOUND, "%s: there is no subject epoch %u", ring->path,
                    (unsigned)epoch);
}

enum dom_code dom_keyring_need_witness(struct dom_keyring *ring, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    if (ring->witness == NULL) {
        rc = make_key(ring, "witness", err);
        ring->witness = newest(ring, "witness");
    }
    return rc;
}

const uint8_t *dom_keyring_witness_seed(const struct dom_keyring *ring)
{
    return ring->witness->bytes;
}

const uint8_t *dom_keyring_sign_seed(const struct dom_keyring *ring)
{
    return ring->sign->bytes;
}

const uint8_t *dom_keyring_data(const struct dom_keyring *ring, uint32_t *epochp)
{
    const struct key *key = &ring->data[ring->num_data - 1];

    *epochp = key->epoch;
    return key->bytes;
}

const uint8_t *dom_keyring_data_of(const struct dom_keyring *ring, uint32_t epoch)
{
    for (size_t i = 0; i < ring->num_data; i++) {
        if (ring->data[i].epoch == epoch) {
            return ring->data[i].bytes;
        }
    }
    return NULL;
}

static bool export_name_valid(struct dom_slice name)
{
    if (name.len == 0 || name.len > 64) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-')) {
            return false;
        }
    }
    return true;
}

enum dom_code dom_keyring_export(struct dom_keyring *ring, struct dom_slice name,
                                 struct dom_hmac_key *out, struct dom_error *err)
{
    char full[NAME_MAX_LEN + 1];
    enum dom_code rc = DOM_OK;

    if (!export_name_valid(name)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "name of an export key: 1 to 64 characters of a-z 0-9 . _ -");
    }
    (void)snprintf(full, sizeof(full), "export/%.*s", (int)name.len, (const char *)name.data);
    DOM_ASSERT(pthread_mutex_lock(&ring->lock) == 0);
    const struct key *key = newest(ring, full);
    if (key == NULL) {
        rc = make_key(ring, full, err);
        key = newest(ring, full);
    }
    if (rc == DOM_OK) {
        dom_hmac_key_init(out, dom_slice_of(key->bytes, DOM_KEY_SIZE));
    }
    DOM_ASSERT(pthread_mutex_unlock(&ring->lock) == 0);
    return rc;
}

/* The first `count` keys in use are in the file; more may be there, for the next start. */
static bool holds(const struct dom_keyring *file, const struct dom_keyring *ring, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; k < file->num_keys && !found; k++) {
            found = strcmp(file->keys[k].name, ring->keys[i].name) == 0 &&
                    file->keys[k].epoch == ring->keys[i].epoch &&
                    CRYPTO_memcmp(file->keys[k].bytes, ring->keys[i].bytes, DOM_KEY_SIZE) == 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* False: it cannot be read. */
static bool digest_file(const struct dom_keyring *ring, uint8_t digest[DOM_SHA256_SIZE])
{
    struct dom_buffer text = {0};

    bool ok = dom_file_read_secret(&text, ring->path, DOM_KEY_FILE_BYTES_MAX, NULL) == DOM_OK;
    dom_sha256(digest, dom_buffer_slice(&text));
    wipe(&text);
    return ok;
}

enum dom_code dom_keyring_check_file(struct dom_keyring *ring, struct dom_error *err)
{
    struct dom_keyring *file = NULL;
    uint8_t before[DOM_SHA256_SIZE];
    uint8_t after[DOM_SHA256_SIZE];

    /* The lock is not held while the file is read: who needs a key must not wait for a disk. Keys
     * are only ever added, so those of now are in the file of later. */
    DOM_ASSERT(pthread_mutex_lock(&ring->lock) == 0);
    size_t count = ring->num_keys;
    DOM_ASSERT(pthread_mutex_unlock(&ring->lock) == 0);
    /* This is asked many times a second: bytes that were good are not parsed again. */
    bool read = digest_file(ring, before);
    if (read && ring->good_keys == count && memcmp(before, ring->good_digest, sizeof(before)) == 0) {
        return DOM_OK;
    }
    enum dom_code rc = dom_keyring_open(&file, ring->path, ring->region, false, err);
    DOM_ASSERT(pthread_mutex_lock(&ring->lock) == 0);
    if (rc == DOM_OK && !holds(file, ring, count)) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "%s: does not hold the keys in use: put the old file back",
                      ring->path);
    }
    DOM_ASSERT(pthread_mutex_unlock(&ring->lock) == 0);
    dom_keyring_destroy(file);
    bool good = rc == DOM_OK && read && digest_file(ring, after) &&
                memcmp(before, after, sizeof(before)) == 0;
    ring->good_keys = good ? count : 0;
    memcpy(ring->good_digest, before, sizeof(before));
    return rc;
}
