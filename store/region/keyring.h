/* The secrets of one region: a text file, one key per line, 0600.
 *
 *   domicile-keys 1
 *   region eu-north-1
 *   blind 1 <base64 of 32 bytes>       row keys (promise P8)
 *   data 1 <base64>                    AES-256-GCM of rows
 *   subject 1 <base64>                 how the log names persons and records
 *   subject-destroyed 1 <base64 of 32 zero bytes>  that epoch of `subject` is no more
 *   sign 1 <base64>                    Ed25519 seed of the log
 *   witness 1 <base64>                 Ed25519 seed of cosignatures of other regions' logs
 *   export/<name> 1 <base64>           pseudonyms for one recipient
 *
 * The number is the key's epoch; of a name with several epochs the highest is used to write, and
 * `data` is read under any of them, `subject` is searched under any. blind, sign and witness have
 * one epoch for the life of the data.
 *
 * Thread contract: read-only after opening, except export keys, which take a lock inside.
 */
#ifndef DOM_STORE_REGION_KEYRING_H
#define DOM_STORE_REGION_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/crypto/sha256.h"

#define DOM_KEY_SIZE           32U
#define DOM_KEY_EPOCHS_MAX     16U
#define DOM_EXPORT_KEYS_MAX    256U
#define DOM_KEY_FILE_BYTES_MAX (64U << 10)

struct dom_keyring;

/* Reads `path`; makes it with fresh keys when it does not exist and `may_create`.
 * Errors: IO, PERMISSION (mode or owner), PARSE (with the line), FORMAT (another region's). */
enum dom_code dom_keyring_open(struct dom_keyring **ringp, const char *path, const char *region,
                               bool may_create, struct dom_error *err) DOM_MUST_USE;
/* Wipes the keys. */
void dom_keyring_destroy(struct dom_keyring *ring);

const struct dom_hmac_key *dom_keyring_blind(const struct dom_keyring *ring);
/* Makes the witness key of a file from before there were witnesses, and saves it; nothing to do when
 * it is there. Before anybody else has the ring. Errors: IO, RESOURCE. */
enum dom_code dom_keyring_need_witness(struct dom_keyring *ring,
                                       struct dom_error *err) DOM_MUST_USE;
/* All epochs of `subject` that are there, the oldest first; the last is that of dom_keyring_subject. */
size_t dom_keyring_num_subjects(const struct dom_keyring *ring);
const struct dom_hmac_key *dom_keyring_subject_at(const struct dom_keyring *ring, size_t i,
                                                  uint32_t *epochp);
bool dom_keyring_subject_destroyed(const struct dom_keyring *ring, uint32_t epoch);
/* For tools, on a file that no running router uses (rotating: it may run, and takes the new epoch at
 * its next start). Adds an epoch, or replaces one by the mark that it is no more, and saves. The ring
 * is of no further use than to be destroyed. Errors: RESOURCE (too many epochs), NOT_FOUND (no such
 * epoch), INVALID (the newest: rotate first), IO. */
enum dom_code dom_keyring_rotate_subject(struct dom_keyring *ring, uint32_t *epochp,
                                         struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_keyring_destroy_subject(struct dom_keyring *ring, uint32_t epoch,
                                          struct dom_error *err) DOM_MUST_USE;
const struct dom_hmac_key *dom_keyring_subject(const struct dom_keyring *ring, uint32_t *epochp);
const uint8_t *dom_keyring_sign_seed(const struct dom_keyring *ring);
const uint8_t *dom_keyring_witness_seed(const struct dom_keyring *ring);
/* The newest data key. */
const uint8_t *dom_keyring_data(const struct dom_keyring *ring, uint32_t *epochp);
/* NULL when there is none of this epoch. */
const uint8_t *dom_keyring_data_of(const struct dom_keyring *ring, uint32_t epoch);
/* Copies the export key's HMAC state; makes and stores the key first if it is new.
 * Errors: INVALID (name: [a-z0-9._-]{1,64}), RESOURCE, IO. */
enum dom_code dom_keyring_export(struct dom_keyring *ring, struct dom_slice name,
                                 struct dom_hmac_key *out, struct dom_error *err) DOM_MUST_USE;
/* Whether the file can be read and still holds the keys in use: what is written under a key that is
 * nowhere but in memory is lost with the process. One thread. Errors: as dom_keyring_open, and
 * CORRUPT (other keys). */
enum dom_code dom_keyring_check_file(struct dom_keyring *ring,
                                     struct dom_error *err) DOM_MUST_USE;

#endif
