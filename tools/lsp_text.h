/* Places of a text in the units of editors. Private to tools. Any thread. */
#ifndef DOM_TOOLS_LSP_TEXT_H
#define DOM_TOOLS_LSP_TEXT_H

#include "policy/symbol.h"

/* On one line; lines and characters count from 0. */
struct dom_lsp_range {
    uint32_t line;
    uint32_t begin;
    uint32_t end;
};

/* `utf8`: characters are bytes; else UTF-16 code units. A place past the end of its line becomes
 * the end. */
struct dom_lsp_range dom_lsp_range(struct dom_slice text, struct dom_span span, bool utf8);
/* The other way: the column, from 1 and in bytes, of a character of a line. False when the text has
 * no such line; past the end of it, its end. */
bool dom_lsp_column(struct dom_slice text, uint32_t line, uint32_t character, bool utf8,
                    uint32_t *column);

#endif
