/* What the word at a place of a policy text means: where it is declared, and what is said there.
 * For editors, so it works on texts with errors, as long as they can be read as a tree.
 *
 * Pure; any thread. Cost: one reading of the text.
 */
#ifndef DOM_POLICY_SYMBOL_H
#define DOM_POLICY_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

/* Bytes on one line; line and column count from 1, the column in bytes. */
struct dom_span {
    uint32_t line;
    uint32_t column;
    uint32_t length;
};

struct dom_symbol {
    struct dom_span use;         /* the word at the place */
    struct dom_span declaration; /* the declared name; line 0: it is declared nowhere */
};

/* False when no name stands there. `hover` (may be NULL) gets Markdown: what it is, the text of
 * its declaration (at most 12 lines), how often it is used; for a country its name and law. */
bool dom_symbol_find(struct dom_symbol *out, struct dom_slice text, uint32_t line, uint32_t column,
                     struct dom_buffer *hover);

#endif
