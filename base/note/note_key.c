/* Keys of signed notes: names, ids, the vkey form, Ed25519 through OpenSSL. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/note/note.h"
#include "base/note/note_internal.h"

#define PRIVATE_PREFIX "PRIVATE+KEY+"
#define TYPED_KEY_SIZE (1U + DOM_ED25519_KEY_SIZE)

/* Unicode White_Space beyond ASCII, which a reader would take for a separator. */
static bool is_wide_space(const uint8_t *p, size_t left)
{
    if (left >= 2 && p[0] == 0xC2) {
        return p[1] == 0x85 || p[1] == 0xA0;
    }
    if (left < 3) {
        return false;
    }
    uint32_t c = ((uint32_t)p[0] << 16) | ((uint32_t)p[1] << 8) | p[2];
    return c == 0xE19A80 || (c >= 0xE28080 && c <= 0xE2808A) || c == 0xE280A8 || c == 0xE280A9 ||
           c == 0xE280AF || c == 0xE2819F || c == 0xE38080;
}

bool dom_note_name_valid(struct dom_slice name)
{
    if (name.len == 0 || name.len > DOM_KEY_NAME_BYTES_MAX || !dom_utf8_valid(name)) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= 0x20 || name.data[i] == 0x7F || name.data[i] == '+' ||
            is_wide_space(name.data + i, name.len - i)) {
            return false;
        }
    }
    return true;
}

static uint32_t key_id(struct dom_slice name, enum dom_key_type type, const uint8_t *public_key)
{
    uint8_t bytes[DOM_KEY_NAME_BYTES_MAX + 2 + DOM_ED25519_KEY_SIZE];
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t len = name.len;

    DOM_ASSERT(name.len <= DOM_KEY_NAME_BYTES_MAX);
    memcpy(bytes, name.data, name.len);
    bytes[len++] = '\n';
    bytes[len++] = (uint8_t)type;
    memcpy(bytes + len, public_key, DOM_ED25519_KEY_SIZE);
    len += DOM_ED25519_KEY_SIZE;
    DOM_ASSERT(EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) == 1);
    return dom_get_u32be(digest);
}

static bool type_known(unsigned type)
{
    return type == DOM_KEY_ED25519 || type == DOM_KEY_COSIGNATURE;
}

enum dom_code dom_note_key_init(struct dom_note_key *key, struct dom_slice name,
                                enum dom_key_type type, const uint8_t *public_key,
                                struct dom_error *err)
{
    memset(key, 0, sizeof(*key));
    if (!dom_note_name_valid(name)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "key name: 1 to %u bytes of UTF-8 without spaces, '+' or control "
                        "characters are wanted",
                        DOM_KEY_NAME_BYTES_MAX);
    }
    if (!type_known((unsigned)type)) {
        return DOM_FAIL(err, DOM_UNSUPPORTED, "key type 0x%02x is not supported", (unsigned)type);
    }
    key->impl =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, DOM_ED25519_KEY_SIZE);
    if (key->impl == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "OpenSSL refuses the Ed25519 public key");
    }
    memcpy(key->name, name.data, name.len);
    key->type = type;
    memcpy(key->public_key, public_key, DOM_ED25519_KEY_SIZE);
    key->id = key_id(name, type, public_key);
    return DOM_OK;
}

void dom_note_key_cleanup(struct dom_note_key *key)
{
    EVP_PKEY_free(key->impl);
    memset(key, 0, sizeof(*key));
}

static struct dom_slice trim(struct dom_slice s)
{
    while (s.len > 0 &&
           (s.data[0] == ' ' || s.data[0] == '\n' || s.data[0] == '\r' || s.data[0] == '\t')) {
        s = dom_slice_of(s.data + 1, s.len - 1);
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\n' ||
                         s.data[s.len - 1] == '\r' || s.data[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

struct parsed_key {
    struct dom_slice name;
    uint32_t id;
    uint8_t bytes[TYPED_KEY_SIZE]; /* type, then key or seed */
};

/* "name+<8 hex>+<base64>"; the base64 alphabet has a '+' of its own, a name has none. */
static enum dom_code parse_key(struct dom_slice text, struct parsed_key *parsed,
                               struct dom_error *err)
{
    uint8_t id[4];
    size_t len = 0;
    const uint8_t *plus = text.len == 0 ? NULL : memchr(text.data, '+', text.len);

    if (plus == NULL) {
        return DOM_FAIL(err, DOM_PARSE, "key: \"name+hash+base64\" is wanted");
    }
    parsed->name = dom_slice_of(text.data, (size_t)(plus - text.data));
    struct dom_slice rest = dom_slice_of(plus + 1, text.len - parsed->name.len - 1);
    if (rest.len < 10 || rest.data[8] != '+' ||
        !dom_hex_decode(id, sizeof(id), dom_slice_of(rest.data, 8))) {
        return DOM_FAIL(err, DOM_PARSE, "key: 8 hex digits between two '+' are wanted");
    }
    parsed->id = dom_get_u32be(id);
    rest = dom_slice_of(rest.data + 9, rest.len - 9);
    if (!dom_base64_decode(parsed->bytes, sizeof(parsed->bytes), &len, rest) || len == 0) {
        return DOM_FAIL(err, DOM_PARSE, "key: the last part is not base64 of at most %u bytes",
                        TYPED_KEY_SIZE);
    }
    if (!type_known(parsed->bytes[0])) {
        return DOM_FAIL(err, DOM_UNSUPPORTED, "key type 0x%02x is not supported", parsed->bytes[0]);
    }
    if (len != TYPED_KEY_SIZE) {
        return DOM_FAIL(err, DOM_PARSE, "key: %u bytes of key are wanted, not %zu",
                        DOM_ED25519_KEY_SIZE, len - 1);
    }
    return DOM_OK;
}

enum dom_code dom_note_key_parse(struct dom_note_key *key, struct dom_slice vkey,
                                 struct dom_error *err)
{
    struct parsed_key parsed;

    memset(key, 0, sizeof(*key));
    enum dom_code rc = parse_key(trim(vkey), &parsed, err);
    if (rc != DOM_OK) {
        return rc;
    }
    rc = dom_note_key_init(key, parsed.name, (enum dom_key_type)parsed.bytes[0], parsed.bytes + 1,
                           err);
    if (rc == DOM_OK && key->id != parsed.id) {
        rc = DOM_FAIL(err, DOM_PARSE, "key %s: id %08x is written, %08x is computed", key->name,
                      parsed.id, key->id);
        dom_note_key_cleanup(key);
    }
    return rc;
}

void dom_note_key_format(const struct dom_note_key *key, struct dom_buffer *out)
{
    uint8_t typed[TYPED_KEY_SIZE];
    char base64[DOM_BASE64_LEN(TYPED_KEY_SIZE) + 1];

    typed[0] = (uint8_t)key->type;
    memcpy(typed + 1, key->public_key, DOM_ED25519_KEY_SIZE);
    (void)dom_base64_encode(base64, dom_slice_of(typed, sizeof(typed)));
    dom_buffer_printf(out, "%s+%08x+%s", key->name, key->id, base64);
}

/* ---- signers -------------------------------------------------------------------------------- */

enum dom_code dom_note_signer_init(struct dom_note_signer *signer, struct dom_slice name,
                                   enum dom_key_type type, const uint8_t *seed,
                                   struct dom_error *err)
{
    uint8_t public_key[DOM_ED25519_KEY_SIZE];
    size_t len = sizeof(public_key);

    memset(signer, 0, sizeof(*signer));
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, DOM_ED25519_KEY_SIZE);
    if (pkey == NULL || EVP_PKEY_get_raw_public_key(pkey, public_key, &len) != 1) {
        EVP_PKEY_free(pkey);
        return DOM_FAIL(err, DOM_INTERNAL, "OpenSSL cannot make an Ed25519 key");
    }
    enum dom_code rc = dom_note_key_init(&signer->key, name, type, public_key, err);
    if (rc != DOM_OK) {
        EVP_PKEY_free(pkey);
        return rc;
    }
    signer->impl = pkey;
    return DOM_OK;
}

void dom_note_signer_cleanup(struct dom_note_signer *signer)
{
    dom_note_key_cleanup(&signer->key);
    EVP_PKEY_free(signer->impl);
    signer->impl = NULL;
}

enum dom_code dom_note_signer_parse(struct dom_note_signer *signer, struct dom_slice text,
                                    struct dom_error *err)
{
    struct parsed_key parsed;
    struct dom_slice prefix = DOM_SLICE_LIT(PRIVATE_PREFIX);
    enum dom_code rc = DOM_OK;

    memset(signer, 0, sizeof(*signer));
    text = trim(text);
    if (text.len < prefix.len || memcmp(text.data, prefix.data, prefix.len) != 0) {
        return DOM_FAIL(err, DOM_PARSE, "signing key: it does not begin with " PRIVATE_PREFIX);
    }
    text = dom_slice_of(text.data + prefix.len, text.len - prefix.len);
    rc = parse_key(text, &parsed, err);
    if (rc == DOM_OK) {
        rc = dom_note_signer_init(signer, parsed.name, (enum dom_key_type)parsed.bytes[0],
                                  parsed.bytes + 1, err);
    }
    if (rc == DOM_OK && signer->key.id != parsed.id) {
        rc = DOM_FAIL(err, DOM_PARSE, "signing key %s: id %08x is written, %08x is computed",
                      signer->key.name, parsed.id, signer->key.id);
        dom_note_signer_cleanup(signer);
    }
    OPENSSL_cleanse(&parsed, sizeof(parsed));
    return rc;
}

enum dom_code dom_note_signer_format(const struct dom_note_signer *signer, struct dom_buffer *out,
                                     struct dom_error *err)
{
    uint8_t typed[TYPED_KEY_SIZE];
    char base64[DOM_BASE64_LEN(TYPED_KEY_SIZE) + 1];
    size_t len = DOM_ED25519_KEY_SIZE;

    typed[0] = (uint8_t)signer->key.type;
    if (EVP_PKEY_get_raw_private_key(signer->impl, typed + 1, &len) != 1) {
        return DOM_FAIL(err, DOM_INTERNAL, "OpenSSL does not give the Ed25519 seed");
    }
    (void)dom_base64_encode(base64, dom_slice_of(typed, sizeof(typed)));
    dom_buffer_printf(out, PRIVATE_PREFIX "%s+%08x+%s", signer->key.name, signer->key.id, base64);
    OPENSSL_cleanse(typed, sizeof(typed));
    OPENSSL_cleanse(base64, sizeof(base64));
    return DOM_OK;
}

/* ---- Ed25519 -------------------------------------------------------------------------------- */

bool dom_note_key_check(const struct dom_note_key *key, struct dom_slice message,
                        struct dom_slice signature)
{
    static const uint8_t s_empty[1] = {0};
    bool good = false;

    if (signature.len != DOM_ED25519_SIGNATURE_SIZE) {
        return false;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->impl) == 1) {
        good = EVP_DigestVerify(ctx, signature.data, signature.len,
                                message.len == 0 ? s_empty : message.data, message.len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    return good;
}

enum dom_code dom_note_signer_sign(const struct dom_note_signer *signer, struct dom_slice message,
                                   uint8_t *signature, struct dom_error *err)
{
    size_t len = DOM_ED25519_SIGNATURE_SIZE;
    bool good = false;

    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->impl) == 1) {
        good = EVP_DigestSign(ctx, signature, &len, message.data, message.len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    if (!good || len != DOM_ED25519_SIGNATURE_SIZE) {
        return DOM_FAIL(err, DOM_INTERNAL, "OpenSSL cannot sign with key %s", signer->key.name);
    }
    return DOM_OK;
}
