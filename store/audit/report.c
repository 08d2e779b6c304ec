#include "store/audit/report.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/report_internal.h"

static const char *const s_art30_columns[] = {
    "purpose",   "categories_of_data", "kind_of_record", "home",   "recipient",
    "from",      "to",                 "safeguard",      "document", "assessment",
    "measures",  "operations",         "records",        "bytes",  "first",
    "last",      "proof"};
static const char *const s_matrix_columns[] = {
    "from",  "to",       "class",   "purpose", "operations", "records",
    "bytes", "withheld", "refused", "first",   "last",       "proof"};
static const char *const s_1101_columns[] = {
    "time",   "operation", "types_of_data", "kind_of_record", "records", "bytes", "from",
    "to",     "party",     "party_id",      "party_country",  "user",    "end_use", "method",
    "agreement", "document", "assessment",  "measures",       "log",     "index", "leaf_hash",
    "checkpoint"};
static const char *const s_1104_columns[] = {
    "report_due", "time",     "operation",     "types_of_data", "kind_of_record", "from",
    "to",         "party",    "party_id",      "party_country", "user",           "end_use",
    "method",     "reason",   "rules_policy",  "log",           "index",          "leaf_hash",
    "checkpoint"};

static const struct {
    const char *name;
    const char *title;
    const char *note;
    const char *const *columns;
    size_t num_columns;
} s_kinds[] = {
    [DOM_REPORT_ART30] = {"art30", "Register of transfers (GDPR Art. 30(1))",
                          "Operations by which data left the country where it lay, and replicas "
                          "that lie in another one. Categories of data are the classes that "
                          "passed; measures tell what was done to classes that did not pass "
                          "clear. Counted are whole operations, with the bytes of all their "
                          "classes. Purpose (placement): the policy in force had a replica made, or "
                          "the record's home moved. Not in the log, so to be added by the "
                          "controller: its name and contact and those of its representative and "
                          "data protection officer (a), categories of data subjects beyond the kind "
                          "of record (c), time limits for erasure (f), other security measures (g).",
                          s_art30_columns, DOM_ARRAY_LEN(s_art30_columns)},
    [DOM_REPORT_DSP_1101] = {"dsp-202-1101", "Records of transactions (28 CFR 202.1101)",
                             "Permitted operations on data of the United States (home US, or "
                             "sent from the US) where the party, the destination or a replica is "
                             "in a country of concern: CN, HK, MO, CU, IR, KP, RU, VE. To be "
                             "kept for 10 years. Covered persons in other countries are not known "
                             "to the log and not in here. Ownership of the parties, licences, the "
                             "due diligence, audits and the yearly certification are kept elsewhere.",
                             s_1101_columns, DOM_ARRAY_LEN(s_1101_columns)},
    [DOM_REPORT_DSP_1104] = {"dsp-202-1104", "Refused transactions (28 CFR 202.1104)",
                             "Refused operations on data of the United States where the party or "
                             "the destination is in a country of concern. Whether one of them is "
                             "an offer of prohibited data brokerage, a person decides; the "
                             "report on it is due 14 days after it was refused. Nothing passed, so "
                             "no volume is told; name and address of the US person who refused are "
                             "to be added.",
                             s_1104_columns, DOM_ARRAY_LEN(s_1104_columns)},
    [DOM_REPORT_MATRIX] = {"matrix", "Flows from country to country",
                           "By class of data and purpose. An operation counts in the line of "
                           "each class it touched and each country it went to, once, with all its "
                           "records and bytes: sums over lines count it more than once. Purpose "
                           "(placement): replicas and homes that the policy in force moved. Withheld: permitted, but the class "
                           "was redacted or dropped. Refused: nothing passed.",
                           s_matrix_columns, DOM_ARRAY_LEN(s_matrix_columns)},
};

bool dom_report_kind_parse(struct dom_slice name, enum dom_report_kind *kind)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_kinds); i++) {
        if (dom_slice_eq_str(name, s_kinds[i].name)) {
            *kind = (enum dom_report_kind)i;
            return true;
        }
    }
    return false;
}

bool dom_report_form_parse(struct dom_slice name, enum dom_report_form *form)
{
    static const char *const s_forms[] = {"md", "html", "csv"};

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_forms); i++) {
        if (dom_slice_eq_str(name, s_forms[i])) {
            *form = (enum dom_report_form)i;
            return true;
        }
    }
    return false;
}

/* ---- the report ----------------------------------------------------------------------------- */

#define DOM_REPORT_PERIOD_MAX (2U * DOM_RFC3339_SIZE + 64U)

static void put_period(const struct dom_export_filter *filter, char *out, size_t out_size)
{
    char from[DOM_RFC3339_SIZE];
    char until[DOM_RFC3339_SIZE];

    dom_time_format(from, filter == NULL ? 0 : filter->from_ms, false);
    dom_time_format(until, filter == NULL ? 0 : filter->until_ms, false);
    bool has_from = filter != NULL && filter->from_ms != 0;
    bool has_until = filter != NULL && filter->until_ms != 0;
    (void)snprintf(out, out_size, "Period: %s%s%s%s%s", has_from ? "from " : "",
                   has_from ? from : "", has_from && has_until ? ", " : "",
                   has_until ? "before " : "",
                   has_until  ? until
                   : has_from ? ", to the end of the logs"
                              : "all that the logs hold");
}

enum dom_code dom_report_new(struct dom_report **report, enum dom_report_kind kind,
                             enum dom_report_form form, FILE *out, struct dom_error *err)
{
    struct dom_report *r = calloc(1, sizeof(*r));

    *report = NULL;
    if (r == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a report");
    }
    r->kind = kind;
    r->table.form = form;
    r->table.out = out;
    *report = r;
    return DOM_OK;
}

enum dom_code dom_report_say(struct dom_report *report, struct dom_slice text,
                             struct dom_error *err)
{
    DOM_ASSERT(!report->begun);
    if (report->num_said == DOM_REPORT_NOTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "over %u notes", DOM_REPORT_NOTES_MAX);
    }
    report->said[report->num_said++] = text;
    return DOM_OK;
}

/* The head, when the first log tells the period. */
static enum dom_code begin(struct dom_report *r, const struct dom_export_filter *filter,
                           struct dom_error *err)
{
    char period[DOM_REPORT_PERIOD_MAX];

    r->begun = true;
    put_period(filter, period, sizeof(period));
    struct dom_table_head head = {.title = s_kinds[r->kind].title,
                                  .note = s_kinds[r->kind].note,
                                  .period = period,
                                  .said = r->said,
                                  .num_said = r->num_said,
                                  .columns = s_kinds[r->kind].columns,
                                  .num_columns = s_kinds[r->kind].num_columns};
    return dom_table_begin(&r->table, &head, err);
}

static enum dom_code add_entry(void *arg, uint64_t index, struct dom_slice entry,
                               const struct dom_entry_head *head, struct dom_error *err)
{
    struct dom_report *r = arg;
    struct dom_audit_event_doc doc;

    /* Other types are in no report, and most of the work is reading an entry. */
    if (!dom_slice_eq_str(head->type, "access") && !dom_slice_eq_str(head->type, "deny") &&
        !dom_slice_eq_str(head->type, "placement")) {
        return DOM_OK;
    }
    enum dom_code rc = dom_audit_event_parse(&doc, entry, err);
    if (rc != DOM_OK) {
        return dom_error_prefix(err, "index %llu", (unsigned long long)index);
    }
    r->event = &doc.event;
    r->index = index;
    dom_hash_leaf(&r->leaf, entry);
    rc = dom_report_take(r, err);
    r->event = NULL;
    dom_audit_event_doc_cleanup(&doc);
    return rc;
}

static struct dom_slice copy(struct dom_slice text)
{
    uint8_t *bytes = malloc(text.len + 1);

    if (bytes == NULL) {
        return dom_slice_of(NULL, 0);
    }
    memcpy(bytes, text.data, text.len);
    return dom_slice_of(bytes, text.len);
}

static void put_time_range(const struct dom_export_filter *filter, struct dom_buffer *out)
{
    char time[DOM_RFC3339_SIZE];

    if (filter->from_ms != 0) {
        dom_time_format(time, filter->from_ms, false);
        dom_buffer_printf(out, ", from %s", time);
    }
    if (filter->until_ms != 0) {
        dom_time_format(time, filter->until_ms, false);
        dom_buffer_printf(out, ", before %s", time);
    }
    for (size_t i = 0; i < filter->num_where; i++) {
        dom_buffer_printf(out, ", where %s=", dom_export_key_name(filter->where[i].key));
        dom_buffer_append_slice(out, filter->where[i].value);
    }
}

enum dom_code dom_report_add_log(struct dom_report *report, const struct dom_log_walk *walk,
                                 struct dom_slice origin, const struct dom_tree_head *head,
                                 struct dom_error *err)
{
    char hex[2 * DOM_HASH_SIZE + 1];
    struct dom_buffer note = {0};

    if (report->num_logs == DOM_REPORT_LOGS_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "over %u logs", DOM_REPORT_LOGS_MAX);
    }
    dom_hex_encode(hex, dom_hash_slice(&head->root));
    dom_buffer_append_str(&note, "Log ");
    dom_buffer_append_slice(&note, origin);
    dom_buffer_append_str(&note, ": ");
    size_t at = note.len;
    dom_buffer_printf(&note, "size %llu, root %s", (unsigned long long)head->size, hex);
    report->checkpoints[report->num_logs] =
        copy(dom_slice_of(note.data + at, note.failed ? 0 : note.len - at));
    put_time_range(walk->filter, &note);
    report->origins[report->num_logs] = copy(origin);
    report->notes[report->num_logs] = copy(dom_buffer_slice(&note));
    report->num_logs++;
    bool failed = note.failed;
    dom_buffer_cleanup(&note);
    if (failed) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a report");
    }
    enum dom_code rc = report->begun ? DOM_OK : begin(report, walk->filter, err);
    return rc == DOM_OK ? dom_log_walk(walk, add_entry, report, err) : rc;
}

static enum dom_code write_line(struct dom_report *r, struct dom_line *line, struct dom_error *err)
{
    for (size_t i = 0; i < r->lines.num_cells; i++) {
        dom_table_cell(&r->table, line->cells[i]);
    }
    dom_table_number(&r->table, line->operations);
    dom_table_number(&r->table, line->records);
    dom_table_number(&r->table, line->bytes);
    if (r->kind == DOM_REPORT_MATRIX) {
        dom_table_number(&r->table, line->withheld);
        dom_table_number(&r->table, line->refused);
    }
    dom_table_time(&r->table, line->first_ms);
    dom_table_time(&r->table, line->last_ms);
    dom_line_proof_text(line, r->origins, r->checkpoints, &r->text);
    dom_table_cell(&r->table, dom_buffer_slice(&r->text));
    return dom_table_row(&r->table, err);
}

enum dom_code dom_report_finish(struct dom_report *report, uint64_t *num_lines,
                                struct dom_error *err)
{
    enum dom_code rc = report->begun ? DOM_OK : begin(report, NULL, err);

    for (size_t i = 0; i < report->lines.num_lines && rc == DOM_OK; i++) {
        rc = write_line(report, report->lines.lines[i], err);
    }
    if (rc == DOM_OK) {
        rc = dom_table_end(&report->table, report->notes, report->num_logs, err);
    }
    if (rc == DOM_OK && fflush(report->table.out) != 0) {
        rc = DOM_FAIL(err, DOM_IO, "cannot write the report: %s", strerror(errno));
    }
    *num_lines = report->table.num_rows;
    return rc;
}

void dom_report_destroy(struct dom_report *report)
{
    if (report == NULL) {
        return;
    }
    for (unsigned i = 0; i < report->num_logs; i++) {
        free((void *)(uintptr_t)report->origins[i].data);
        free((void *)(uintptr_t)report->notes[i].data);
        free((void *)(uintptr_t)report->checkpoints[i].data);
    }
    dom_lines_cleanup(&report->lines);
    dom_table_cleanup(&report->table);
    dom_buffer_cleanup(&report->classes);
    dom_buffer_cleanup(&report->measures);
    dom_buffer_cleanup(&report->text);
    free(report);
}
