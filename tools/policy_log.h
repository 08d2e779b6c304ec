/* Published logs as the policy tools read them: a folder, its checkpoint, its entries. */
#ifndef DOM_TOOLS_POLICY_LOG_H
#define DOM_TOOLS_POLICY_LOG_H

#include <stdint.h>

#include "store/audit/tiledir.h"

/* Opens the log of a folder at the size of its checkpoint, which must be signed by the folder's own
 * vkey: a log that was cut or mixed up by accident is not read as if it were whole. (Proof against
 * the folder's owner is `domicile audit verify` with a key from elsewhere.)
 * Errors: IO, PARSE, TAMPERED. */
enum dom_code dom_policy_log_open(struct dom_tiledir *log, const char *dir,
                                  struct dom_error *err) DOM_MUST_USE;

#endif
