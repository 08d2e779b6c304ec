/* The verbs of `domicile policy` that live in files of their own, and what they share. Private
 * to tools. One thread. */
#ifndef DOM_TOOLS_POLICY_VERBS_H
#define DOM_TOOLS_POLICY_VERBS_H

#include <stdbool.h>

#include "base/buffer.h"
#include "policy/policy.h"

/* Each takes argv with argv[0] being the verb, and returns an exit code. */
int dom_policy_diff_verb(int argc, char **argv);
int dom_policy_fmt_verb(int argc, char **argv);
int dom_policy_docs_verb(int argc, char **argv);
int dom_policy_explain_verb(int argc, char **argv);
int dom_policy_impact_verb(int argc, char **argv);
int dom_policy_lsp_verb(int argc, char **argv);

/* Prints "domicile policy: MESSAGE WHAT" to stderr; returns the exit code for wrong usage. */
int dom_policy_usage(const char *message, const char *what);

/* Compiles the file. On errors prints the findings to stderr and returns false. */
bool dom_policy_read(struct dom_policy **policyp, const char *path);

/* Appends a JSON text with its quotes; invalid UTF-8 becomes "". */
void dom_policy_put_json_text(struct dom_buffer *out, const char *text);

/* Writes the buffer to stdout; false (and a word on stderr) when that fails. */
bool dom_policy_print(const struct dom_buffer *out);

#endif
