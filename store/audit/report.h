/* Registers that a regulator asks for, made from published logs, each line with the entries that
 * back it.
 *
 *   art30         GDPR Art. 30(1): transfers by purpose, data, recipient, countries, safeguards
 *   dsp-202-1101  28 CFR 202.1101: each transaction in data of the United States with a country
 *                 of concern
 *   dsp-202-1104  28 CFR 202.1104: those that were refused, with the day the report is due
 *   matrix        flows from country to country by class of data and purpose
 *
 * art30 and matrix keep their lines in memory, at most DOM_REPORT_LINES_MAX; the others are
 * written as they are found. The same logs give the same bytes.
 *
 * Thread contract: one owner; it blocks on files.
 */
#ifndef DOM_STORE_AUDIT_REPORT_H
#define DOM_STORE_AUDIT_REPORT_H

#include <stdio.h>

#include "base/error.h"
#include "store/audit/export.h"

#define DOM_REPORT_LINES_MAX 65536U
#define DOM_REPORT_LOGS_MAX  16U
#define DOM_REPORT_NOTES_MAX 16U

enum dom_report_kind {
    DOM_REPORT_ART30,
    DOM_REPORT_DSP_1101,
    DOM_REPORT_DSP_1104,
    DOM_REPORT_MATRIX,
};
enum dom_report_form { DOM_REPORT_MD, DOM_REPORT_HTML, DOM_REPORT_CSV };

/* By the names above, and "md", "html", "csv". False when unknown. */
bool dom_report_kind_parse(struct dom_slice name, enum dom_report_kind *kind);
bool dom_report_form_parse(struct dom_slice name, enum dom_report_form *form);

struct dom_report;

/* `out` is borrowed. Errors: RESOURCE. */
enum dom_code dom_report_new(struct dom_report **report, enum dom_report_kind kind,
                             enum dom_report_form form, FILE *out,
                             struct dom_error *err) DOM_MUST_USE;
/* A line of the head (not in CSV), for what no log holds, such as who the controller is. Before the
 * first log. `text` is borrowed. Errors: TOO_LARGE. */
enum dom_code dom_report_say(struct dom_report *report, struct dom_slice text,
                             struct dom_error *err) DOM_MUST_USE;
/* Takes the entries of one log that pass the filter. `origin` and `head` are of its checkpoint,
 * which the caller has checked. Errors: IO, CORRUPT, PARSE, INVALID (an entry is not ours, or its
 * leaf cannot be told), TOO_LARGE (lines, logs). */
enum dom_code dom_report_add_log(struct dom_report *report, const struct dom_log_walk *walk,
                                 struct dom_slice origin, const struct dom_tree_head *head,
                                 struct dom_error *err) DOM_MUST_USE;
/* Writes the lines and the end; *num_lines is how many there are. Errors: IO, RESOURCE. */
enum dom_code dom_report_finish(struct dom_report *report, uint64_t *num_lines,
                                struct dom_error *err) DOM_MUST_USE;
/* Legal on NULL. */
void dom_report_destroy(struct dom_report *report);

#endif
