/* The bytes of a row: its key, its plain header, its sealed body. docs/FORMAT.md says them all.
 *
 *   key    4 bytes kind tag || HMAC-SHA256(blind key, kind || 0 || id)
 *   value  header (26) || label || AES-256-GCM(body) || tag (16); the additional data is
 *          region name || key || header || label
 *
 * With `plain` (tests only): key = kind tag || kind || 0 || id, value = header || body.
 *
 * Thread contract: a cipher has one owner at a time; the rest is pure.
 */
#ifndef DOM_STORE_REGION_ROW_H
#define DOM_STORE_REGION_ROW_H

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/slice.h"
#include "store/region/keyring.h"
#include "store/store.h"

#define DOM_ROW_TAG_SIZE       4U
#define DOM_ROW_KEY_BLIND_SIZE (DOM_ROW_TAG_SIZE + 32U)
#define DOM_ROW_KIND_BYTES_MAX DOM_POLICY_NAME_BYTES_MAX
#define DOM_ROW_KEY_BYTES_MAX  (DOM_ROW_TAG_SIZE + DOM_ROW_KIND_BYTES_MAX + 1U + DOM_ID_BYTES_MAX)
#define DOM_ROW_HEADER_SIZE    26U
#define DOM_ROW_NONCE_SIZE     12U
#define DOM_ROW_SEAL_SIZE      16U
#define DOM_ROW_FORMAT         2U /* written; 1 is read too: it does not say which field lies where */

struct dom_row_key {
    size_t len;
    uint8_t bytes[DOM_ROW_KEY_BYTES_MAX];
};

static inline struct dom_slice dom_row_key_slice(const struct dom_row_key *key)
{
    return dom_slice_of(key->bytes, key->len);
}

/* First four bytes of SHA-256(kind). */
void dom_row_tag(uint8_t *out, struct dom_slice kind);
/* kind and id within their limits (the caller checked). */
void dom_row_key_make(struct dom_row_key *key, const struct dom_hmac_key *blind, bool plain,
                      struct dom_slice kind, struct dom_slice id);

#define DOM_ROW_HOME        1U /* this region commits the record's writes */
#define DOM_ROW_COMPLETE    2U /* every field is here */
#define DOM_ROW_PLAIN       4U /* not sealed: test_plain */
#define DOM_ROW_MOVING      8U /* was the home row; on its way to another home region */
#define DOM_ROW_LABELLED    16U /* a label follows the header */
#define DOM_ROW_FLAGS_KNOWN 31U
#define DOM_ROW_NO_PEER     255U

struct dom_row_header {
    uint8_t format; /* as read; what is written is DOM_ROW_FORMAT */
    uint8_t flags;
    uint32_t epoch; /* of the data key */
    uint64_t version;
    uint8_t nonce[DOM_ROW_NONCE_SIZE];
    struct dom_slice label; /* with LABELLED; as parsed it lies in the value */
};
/* Of the header with its label's length and the label. */
size_t dom_row_header_size(const struct dom_row_header *header);
void dom_row_header_encode(const struct dom_row_header *header, uint8_t *out);
/* Errors: CORRUPT (short, unknown flags, bad label), FORMAT (newer format byte). */
enum dom_code dom_row_header_parse(struct dom_row_header *header, struct dom_slice value,
                                   struct dom_error *err) DOM_MUST_USE;

/* What is sealed. */
struct dom_row_body {
    struct dom_slice kind;
    struct dom_slice id;
    char home[3];
    int64_t create_time_ms;
    int64_t update_time_ms;
    uint64_t copies; /* peers (numbers local to the region) that hold a part; 0 in replicas */
    uint8_t moves_to; /* MOVING: peer number of its next home region; else NO_PEER */
    struct dom_store_field *fields;
    const uint64_t *lies; /* per field: the peers that hold it or are to; NULL: not known */
    size_t num_fields;
};
size_t dom_row_body_size(const struct dom_row_body *body);
/* `out` has dom_row_body_size bytes. */
void dom_row_body_encode(const struct dom_row_body *body, uint8_t *out);
/* Slices lie in `bytes`, the field array in the arena. `format` is the header's.
 * Errors: CORRUPT, RESOURCE. */
enum dom_code dom_row_body_decode(struct dom_row_body *body, uint8_t format, struct dom_slice bytes,
                                  struct dom_arena *arena, struct dom_error *err) DOM_MUST_USE;

/* What may be known of a row without opening it: whose law follows it, and how long the value of
 * each field is. Names are there as 32-bit hashes, which those who know the schema can look up.
 * It is authenticated with the body, but whoever reads it without the key has not checked that. */
#define DOM_ROW_LABEL_FIELD_SIZE 8U
#define DOM_ROW_LABEL_BYTES_MAX  (4U + DOM_ROW_LABEL_FIELD_SIZE * DOM_FIELDS_MAX)
struct dom_row_label {
    char home[3];
    size_t num_fields;
    const uint8_t *fields; /* DOM_ROW_LABEL_FIELD_SIZE bytes each */
};
/* FNV-1a, 32 bits. */
uint32_t dom_row_name_hash(struct dom_slice name);
/* `out` has DOM_ROW_LABEL_BYTES_MAX bytes; returns how many are used. */
size_t dom_row_label_encode(const struct dom_row_body *body, uint8_t *out);
/* False when the bytes are no label. */
bool dom_row_label_parse(struct dom_row_label *label, struct dom_slice bytes);
/* Field i < num_fields. */
void dom_row_label_field(const struct dom_row_label *label, size_t i, uint32_t *name_hash,
                         uint32_t *value_bytes);

/* AES-256-GCM with its key schedule kept. Zero is empty; cleanup is legal on it. */
struct dom_row_cipher {
    EVP_CIPHER_CTX *ctx;
    uint32_t epoch; /* of the key inside; 0: none yet */
    bool seals;
};
void dom_row_cipher_cleanup(struct dom_row_cipher *cipher);

/* Where a value belongs. */
struct dom_row_place {
    const struct dom_keyring *keys;
    struct dom_slice region;
    struct dom_slice key;
};

/* Writes header || sealed body to `out` (dom_row_header_size + body + DOM_ROW_SEAL_SIZE bytes;
 * without the seal when header->flags has PLAIN) and returns the length. header->nonce must never have been
 * used under header->epoch. */
size_t dom_row_seal(struct dom_row_cipher *cipher, const struct dom_row_place *place,
                    const struct dom_row_header *header, struct dom_slice body, uint8_t *out);
/* Opens the value into arena memory. Errors: CORRUPT (does not authenticate, key epoch unknown),
 * FORMAT, RESOURCE. `plain_allowed`: whether an unsealed value is acceptable at all. */
enum dom_code dom_row_open(struct dom_row_cipher *cipher, const struct dom_row_place *place,
                           struct dom_slice value, bool plain_allowed, struct dom_arena *arena,
                           struct dom_row_header *header, struct dom_slice *body,
                           struct dom_error *err) DOM_MUST_USE;

#endif
