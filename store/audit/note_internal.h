/* What note.c, note_key.c and checkpoint.c share. Thread contract: any thread. */
#ifndef DOM_STORE_AUDIT_NOTE_INTERNAL_H
#define DOM_STORE_AUDIT_NOTE_INTERNAL_H

#include "store/audit/note.h"

/* A name that a key may bear: see dom_note_key_init. */
bool dom_note_name_valid(struct dom_slice name);

/* Plain Ed25519 over the message; `signature` has DOM_ED25519_SIGNATURE_SIZE bytes.
 * Errors: INTERNAL. */
enum dom_code dom_note_signer_sign(const struct dom_note_signer *signer, struct dom_slice message,
                                   uint8_t *signature, struct dom_error *err) DOM_MUST_USE;

/* Cuts the first line (without its newline) off `rest`. False when there is no newline. */
bool dom_take_line(struct dom_slice *rest, struct dom_slice *line);

#endif
