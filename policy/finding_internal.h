/* Adding to a list of findings: for the policy module's own files.
 *
 * Every message goes through dom_findings_add, so that the cap and the order hold everywhere.
 */
#ifndef DOM_POLICY_FINDING_INTERNAL_H
#define DOM_POLICY_FINDING_INTERNAL_H

#include "base/macros.h"
#include "policy/finding.h"

/* After this many findings one P0099 is added and the rest are dropped: a hostile file must not
 * make us hold a message per byte. */
#define DOM_FINDINGS_MAX 1000U

/* Where a finding points: 1-based line and byte column, bytes to underline. */
struct dom_place {
    uint32_t line;
    uint32_t column;
    uint32_t length;
};

/* Adds one finding; path and help are copied and may be NULL. The level follows from the code's
 * table entry (finding_codes.inc). Out of memory drops the finding but keeps the count of errors
 * truthful: the list then holds a P0099. */
void dom_findings_add(struct dom_findings *findings, const char *code, struct dom_place place,
                      const char *path, const char *help, const char *fmt, ...) DOM_PRINTF(6, 7);

/* Sorts by place, then code; drops those that say the same at the same place. */
void dom_findings_sort(struct dom_findings *findings);

/* The level of a code, from the table in finding_codes.inc; an error when it is not in there. */
enum dom_finding_level dom_finding_code_level(const char *code);

/* "error", "security-warning", "warning", "suggestion". */
const char *dom_finding_level_name(enum dom_finding_level level);

/* Appends the bytes as the inside of a JSON string (RFC 8259 s7); invalid UTF-8 as U+FFFD. */
void dom_json_escape(struct dom_buffer *out, struct dom_slice text);
/* The same with its quotes. NULL reads as "". */
void dom_json_string(struct dom_buffer *out, const char *text);

#endif
