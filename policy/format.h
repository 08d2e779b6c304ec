/* One way to lay out a policy's text, keeping every comment.
 *
 * The author's line breaks stay (at most one empty line in a row); what is between them is made
 * uniform: `name = value;`, one space after commas, indentation by nesting (below the first word
 * where a bracket is followed by something, else two spaces). Long lines are not broken. Thread
 * contract: any thread.
 */
#ifndef DOM_POLICY_FORMAT_H
#define DOM_POLICY_FORMAT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "policy/finding.h"

/* Appends the laid-out text to `out`. A text with lexical or syntax errors is refused and the
 * findings say why. What comes out is read again: it has the same settings and comments, or the
 * call fails. Errors: PARSE, TOO_LARGE, RESOURCE, INTERNAL (a bug: the text would change). */
enum dom_code dom_format(struct dom_buffer *out, struct dom_slice text,
                         struct dom_findings *findings, struct dom_error *err) DOM_MUST_USE;

/* Appends the lines that differ, as a unified diff without context. Nothing when equal. */
void dom_format_diff(struct dom_buffer *out, const char *name, struct dom_slice before,
                     struct dom_slice after);

#endif
