/* Lines of the C2SP texts: what checkpoint.c, proof.c, quorum.c and witness.c read alike. Thread
 * contract: any thread. */
#ifndef DOM_STORE_AUDIT_LINE_INTERNAL_H
#define DOM_STORE_AUDIT_LINE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/encode.h"
#include "base/slice.h"
#include "store/audit/hash.h"

#define DOM_HASH_TEXT_LEN DOM_BASE64_LEN(DOM_HASH_SIZE)

/* A decimal number without sign, leading zero or anything around it. */
bool dom_line_decimal(struct dom_slice line, uint64_t *value);
/* Exactly one hash in padded base64. */
bool dom_line_hash(struct dom_slice line, struct dom_hash *hash);
/* Cuts the prefix off; false, and nothing cut, when the line does not begin with it. */
bool dom_line_cut(struct dom_slice *line, const char *prefix);

#endif
