/* Signed notes (C2SP signed-note): a text, an empty line, signature lines; and their keys.
 *
 * Signed are the bytes of the text with its last newline, without the empty line. Key types:
 * Ed25519 (0x01) and the witness's timestamped Ed25519 cosignature (0x04). Lines of other types
 * and of unknown keys are carried and ignored; a line of a known key that does not verify makes
 * the note refused.
 *
 * Thread contract: parsing any thread; a key or signer may be used by several threads at once
 * once it is initialised. Limits: DOM_NOTE_BYTES_MAX, DOM_NOTE_SIGNATURES_MAX.
 */
#ifndef DOM_BASE_NOTE_NOTE_H
#define DOM_BASE_NOTE_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

#define DOM_NOTE_BYTES_MAX         (1U << 20)
#define DOM_NOTE_SIGNATURES_MAX    100U
#define DOM_KEY_NAME_BYTES_MAX     255U
#define DOM_ED25519_KEY_SIZE       32U
#define DOM_ED25519_SIGNATURE_SIZE 64U

enum dom_key_type {
    DOM_KEY_ED25519 = 0x01,
    DOM_KEY_COSIGNATURE = 0x04, /* timestamped, made by a witness over a checkpoint */
};

/* A name that a key may bear: see dom_note_key_init. */
bool dom_note_name_valid(struct dom_slice name);
/* Cuts the first line (without its newline) off `rest`. False when there is no newline. For texts
 * that are read line by line. */
bool dom_take_line(struct dom_slice *rest, struct dom_slice *line);

/* A public key that somebody trusts. */
struct dom_note_key {
    char name[DOM_KEY_NAME_BYTES_MAX + 1];
    enum dom_key_type type;
    uint32_t id; /* first four bytes of SHA-256(name || 0x0A || type || public key) */
    uint8_t public_key[DOM_ED25519_KEY_SIZE];
    void *impl; /* OpenSSL's form; owned */
};

/* From its parts; computes the id. Errors: INVALID (name empty, too long, with a space, '+', a
 * control character or bad UTF-8; key bytes refused). */
enum dom_code dom_note_key_init(struct dom_note_key *key, struct dom_slice name,
                                enum dom_key_type type, const uint8_t *public_key,
                                struct dom_error *err) DOM_MUST_USE;
/* From a vkey "name+<8 hex id>+base64(type || public key)"; white space around it is trimmed.
 * Errors: PARSE, INVALID, UNSUPPORTED (type). */
enum dom_code dom_note_key_parse(struct dom_note_key *key, struct dom_slice vkey,
                                 struct dom_error *err) DOM_MUST_USE;
/* Appends the vkey, without newline. */
void dom_note_key_format(const struct dom_note_key *key, struct dom_buffer *out);
/* Legal on a zeroed key. */
void dom_note_key_cleanup(struct dom_note_key *key);

/* Who signs. Holds a secret. */
struct dom_note_signer {
    struct dom_note_key key;
    void *impl; /* OpenSSL's private form; owned */
};

/* `seed` is 32 secret bytes. Errors: INVALID (name), INTERNAL. */
enum dom_code dom_note_signer_init(struct dom_note_signer *signer, struct dom_slice name,
                                   enum dom_key_type type, const uint8_t *seed,
                                   struct dom_error *err) DOM_MUST_USE;
/* From "PRIVATE+KEY+name+<8 hex id>+base64(type || seed)" (the form of Go's x/mod).
 * Errors: PARSE, INVALID, UNSUPPORTED. */
enum dom_code dom_note_signer_parse(struct dom_note_signer *signer, struct dom_slice text,
                                    struct dom_error *err) DOM_MUST_USE;
/* Appends that form: a secret; the caller wipes the buffer. Errors: INTERNAL. */
enum dom_code dom_note_signer_format(const struct dom_note_signer *signer, struct dom_buffer *out,
                                     struct dom_error *err) DOM_MUST_USE;
void dom_note_signer_cleanup(struct dom_note_signer *signer);

/* Appends one signature line over `text` (which ends in a newline) to `out`. `time_s` is used by
 * a cosignature only (POSIX seconds). `text` must not lie in `out`. Errors: INVALID (text),
 * INTERNAL, RESOURCE. */
enum dom_code dom_note_sign_line(const struct dom_note_signer *signer, struct dom_slice text,
                                 uint64_t time_s, struct dom_buffer *out,
                                 struct dom_error *err) DOM_MUST_USE;
/* Appends the whole note: text, empty line, one signature line. */
enum dom_code dom_note_sign(const struct dom_note_signer *signer, struct dom_slice text,
                            struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

/* One signature line as it was read. Slices lie in the note's bytes. */
struct dom_note_signature {
    struct dom_slice name;
    uint32_t id;
    struct dom_slice base64; /* of id || signature; already known to decode */
};

struct dom_note {
    struct dom_slice text; /* with its last newline */
    unsigned num_signatures;
    struct dom_note_signature signatures[DOM_NOTE_SIGNATURES_MAX];
};

/* Splits a note; the bytes must outlive it. Errors: PARSE, TOO_LARGE. */
enum dom_code dom_note_parse(struct dom_note *note, struct dom_slice bytes,
                             struct dom_error *err) DOM_MUST_USE;

/* What one of the caller's keys said of a note. */
struct dom_note_verdict {
    bool verified;
    uint64_t time_s; /* of a cosignature; 0 for Ed25519 */
};

/* Checks the signatures of the `num_keys` keys. `verdicts` (num_keys of them, may be NULL) tells
 * which verified. Errors: TAMPERED (a known key's line does not verify), UNAUTHENTICATED (no
 * line is by any of the keys), INTERNAL. */
enum dom_code dom_note_verify(const struct dom_note *note, const struct dom_note_key *keys,
                              size_t num_keys, struct dom_note_verdict *verdicts,
                              struct dom_error *err) DOM_MUST_USE;

/* Plain Ed25519 over bytes, for tests and for other formats. False when it does not verify. */
bool dom_note_key_check(const struct dom_note_key *key, struct dom_slice message,
                        struct dom_slice signature);

#endif
