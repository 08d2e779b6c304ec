/* Findings: what is wrong or risky in a policy text, each with its place.
 *
 * Codes are stable: P00 lexical, P01 shape, P02 references, P03 meaning, P04 risk, P05 dead or
 * shadowed rules, P06 advice. *Not* thread-safe; one list, one owner.
 */
#ifndef DOM_POLICY_FINDING_H
#define DOM_POLICY_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum dom_finding_level {
    DOM_FINDING_ERROR = 0,        /* the policy is not loaded */
    DOM_FINDING_SECURITY_WARNING, /* loads, but likely lets out more than is meant */
    DOM_FINDING_WARNING,
    DOM_FINDING_SUGGESTION
};

struct dom_finding {
    enum dom_finding_level level;
    char code[8];      /* "P0203" */
    uint32_t line;     /* 1-based */
    uint32_t column;   /* 1-based, in bytes */
    uint32_t length;   /* bytes to underline, at least 1 */
    char *message;     /* owned by the list */
    char *path;        /* setting path such as rules["x"].classes[2]; owned, may be NULL */
    char *help;        /* what to do, or did-you-mean; owned, may be NULL */
};

struct dom_findings {
    struct dom_finding *items; /* owned, sorted by (line, column) after a compile */
    size_t num_items;
    size_t capacity;
};

/* A zeroed list is valid and empty. */
void dom_findings_cleanup(struct dom_findings *findings);
size_t dom_findings_count(const struct dom_findings *findings, enum dom_finding_level level);

/* `error[P0203]: ...` with the place and a caret line under the source line; `name` is how the
 * text is called, `text` the source (for the caret line). Appends to out. */
void dom_findings_print(const struct dom_findings *findings, const char *name,
                        struct dom_slice text, struct dom_buffer *out);
/* One JSON array. */
void dom_findings_print_json(const struct dom_findings *findings, const char *name,
                             struct dom_buffer *out);

/* The table of codes, in order. "" past the end, and for a code that there is not. */
size_t dom_finding_num_codes(void);
const char *dom_finding_code_at(size_t index);
const char *dom_finding_code_title(const char *code);
/* What the code means and what to do, for people. False when there is no such code. */
bool dom_finding_explain(const char *code, struct dom_buffer *out);

/* SARIF 2.1.0: one log with one run over any number of files. *first is true before the first
 * call of add. Columns count characters. */
void dom_sarif_begin(struct dom_buffer *out);
void dom_sarif_add(const struct dom_findings *findings, const char *name, struct dom_slice text,
                   bool *first, struct dom_buffer *out);
void dom_sarif_end(struct dom_buffer *out);

#endif
