/* SHA-256 and HMAC-SHA256 without an allocation, for the request path.
 *
 * Thread contract: any thread; a `struct dom_hmac_key` is read-only after its init, so many
 * threads may use one. None of these can fail.
 */
#ifndef DOM_STORE_CRYPTO_SHA256_H
#define DOM_STORE_CRYPTO_SHA256_H

#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define DOM_SHA256_SIZE       32U
#define DOM_SHA256_BLOCK_SIZE 64U

/* The digest of the bytes; out has DOM_SHA256_SIZE bytes and may lie inside `bytes`. */
void dom_sha256(uint8_t *out, struct dom_slice bytes);

/* The same for bytes that come in pieces. Plain memory: nothing to clean up. */
struct dom_sha256_stream {
    SHA256_CTX ctx;
};
void dom_sha256_init(struct dom_sha256_stream *stream);
void dom_sha256_update(struct dom_sha256_stream *stream, struct dom_slice bytes);
/* Ends the stream; it must be initialised again before it is used again. */
void dom_sha256_final(struct dom_sha256_stream *stream, uint8_t *out);

/* The two states that HMAC (RFC 2104) reaches after its key blocks: computing a tag then costs
 * two compressions less per message. Holds a secret: clean it up. */
struct dom_hmac_key {
    SHA256_CTX inner;
    SHA256_CTX outer;
};
/* A secret of any length (over 64 bytes it is hashed first, as the RFC says). */
void dom_hmac_key_init(struct dom_hmac_key *key, struct dom_slice secret);
/* Wipes it. Legal on a zeroed key. */
void dom_hmac_key_cleanup(struct dom_hmac_key *key);

/* The tag of the bytes; out has DOM_SHA256_SIZE bytes. */
void dom_hmac_sha256(uint8_t *out, const struct dom_hmac_key *key, struct dom_slice bytes);
/* The tag of the parts laid end to end. The caller separates them (lengths or a byte that
 * cannot occur), as "ab","c" and "a","bc" have one tag. */
void dom_hmac_sha256_parts(uint8_t *out, const struct dom_hmac_key *key,
                           const struct dom_slice *parts, size_t num_parts);

#endif
