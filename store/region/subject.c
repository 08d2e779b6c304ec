#include "store/region/subject.h"

#include <stdio.h>

#include "base/encode.h"
#include "base/macros.h"

/* The first 16 bytes as base64url without padding. */
static void base64url16(char *out, const uint8_t *digest)
{
    char base64[DOM_BASE64_LEN(16) + 1];

    (void)dom_base64_encode(base64, dom_slice_of(digest, 16));
    for (size_t i = 0; i < 22; i++) {
        out[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i];
    }
    out[22] = '\0';
}

void dom_subject_hash(char *out, const struct dom_hmac_key *key, uint32_t epoch,
                      struct dom_slice kind, struct dom_slice id)
{
    uint8_t digest[DOM_SHA256_SIZE];
    char text[23];
    struct dom_slice parts[] = {kind, dom_slice_of("", 1), id};

    dom_hmac_sha256_parts(digest, key, parts, DOM_ARRAY_LEN(parts));
    base64url16(text, digest);
    (void)snprintf(out, DOM_SUBJECT_HASH_SIZE, "hmac:%u:%s", (unsigned)epoch, text);
}
