/* How the log names a record or a person: a keyed hash, so that who has the key can ask for a
 * subject and nobody else can tell who it is (promise P10).
 *
 * Thread contract: any thread. Pure.
 */
#ifndef DOM_STORE_REGION_SUBJECT_H
#define DOM_STORE_REGION_SUBJECT_H

#include <stdint.h>

#include "base/slice.h"
#include "store/crypto/sha256.h"

#define DOM_SUBJECT_HASH_SIZE 64U

/* "hmac:<epoch>:<base64url of the first 16 bytes of HMAC-SHA256(kind, NUL, id)>" and a NUL; out
 * needs DOM_SUBJECT_HASH_SIZE bytes. */
void dom_subject_hash(char *out, const struct dom_hmac_key *key, uint32_t epoch,
                      struct dom_slice kind, struct dom_slice id);

#endif
