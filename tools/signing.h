/* Signing from the command line: with a key file, or with a command that asks a hardware module.
 * Thread contract: one thread. */
#ifndef DOM_TOOLS_SIGNING_H
#define DOM_TOOLS_SIGNING_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/note/note.h"

#define DOM_SIGNING_KEYS_MAX 8U

/* Who signs: `keys` files, and `command` with its public key in the file `vkey`. */
struct dom_signing {
    const char *keys[DOM_SIGNING_KEYS_MAX];
    size_t num_keys;
    const char *command;
    const char *vkey;
};

/* Writes NAME.key (0600, a signing key) and NAME.vkey into the folder; never over a file.
 * Errors: INVALID (name), EXISTS, IO. */
enum dom_code dom_signing_make(const char *folder, const char *name,
                               struct dom_error *err) DOM_MUST_USE;

/* Appends a signature line over `text` for each. A command is run by /bin/sh with the text on
 * standard input and in the file $DOMICILE_MESSAGE, and prints the 64 bytes of the Ed25519 signature,
 * raw or as base64; the line is checked against the public key. Errors: USAGE (nobody signs), IO,
 * PERMISSION, PARSE, INVALID (the command's answer does not verify). */
enum dom_code dom_signing_lines(const struct dom_signing *signing, struct dom_slice text,
                                struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

/* Appends the note with further signature lines behind those that it has. Errors: as above; EXISTS
 * (one of them has signed already). */
enum dom_code dom_signing_add(const struct dom_signing *signing, struct dom_slice note,
                              struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

/* A public key from a file that holds a vkey. The caller cleans up. */
enum dom_code dom_signing_read_vkey(struct dom_note_key *key, const char *path,
                                    struct dom_error *err) DOM_MUST_USE;

#endif
