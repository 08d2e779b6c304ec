/* What note.c and note_key.c share. Thread contract: any thread. */
#ifndef DOM_BASE_NOTE_NOTE_INTERNAL_H
#define DOM_BASE_NOTE_NOTE_INTERNAL_H

#include "base/note/note.h"

/* Plain Ed25519 over the message; `signature` has DOM_ED25519_SIGNATURE_SIZE bytes.
 * Errors: INTERNAL. */
enum dom_code dom_note_signer_sign(const struct dom_note_signer *signer, struct dom_slice message,
                                   uint8_t *signature, struct dom_error *err) DOM_MUST_USE;

#endif
