#include "store/audit/report.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/report_internal.h"

#define DAY_MS         INT64_C(86400000)
#define DSP_DUE_DAYS   14 /* 28 CFR 202.1104(b): within 14 days of rejecting */

struct dom_report {
    enum dom_report_kind kind;
    struct dom_table table;
    struct dom_lines lines;
    struct dom_slice origins[DOM_REPORT_LOGS_MAX]; /* owned */
    struct dom_slice notes[DOM_REPORT_LOGS_MAX];   /* owned */
    unsigned num_logs;
    /* The entry in work. */
    const struct dom_audit_event *event;
    uint64_t index;
    struct dom_hash leaf;
    struct dom_buffer classes, measures, text;
};

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
    "agreement", "document", "assessment",  "measures",       "log",     "index", "leaf_hash"};
static const char *const s_1104_columns[] = {
    "report_due", "time",     "operation",     "types_of_data", "kind_of_record", "from",
    "to",         "party",    "party_id",      "party_country", "user",           "end_use",
    "method",     "reason",   "rules_policy",  "log",           "index",          "leaf_hash"};

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
                          "classes.",
                          s_art30_columns, DOM_ARRAY_LEN(s_art30_columns)},
    [DOM_REPORT_DSP_1101] = {"dsp-202-1101", "Records of transactions (28 CFR 202.1101)",
                             "Permitted operations on data of the United States (home US, or "
                             "sent from the US) where the party, the destination or a replica is "
                             "in a country of concern: CN, HK, MO, CU, IR, KP, RU, VE. To be "
                             "kept for 10 years. Covered persons in other countries are not known "
                             "to the log and not in here.",
                             s_1101_columns, DOM_ARRAY_LEN(s_1101_columns)},
    [DOM_REPORT_DSP_1104] = {"dsp-202-1104", "Refused transactions (28 CFR 202.1104)",
                             "Refused operations on data of the United States where the party or "
                             "the destination is in a country of concern. Whether one of them is "
                             "an offer of prohibited data brokerage, a person decides; the "
                             "report on it is due 14 days after it was refused.",
                             s_1104_columns, DOM_ARRAY_LEN(s_1104_columns)},
    [DOM_REPORT_MATRIX] = {"matrix", "Flows from country to country",
                           "By class of data and purpose. An operation counts in the line of "
                           "each class it touched, with all its records and bytes: sums over "
                           "classes count it more than once. Withheld: permitted, but the class "
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

/* ---- an entry's classes --------------------------------------------------------------------- */

static bool passed(const struct dom_audit_field *field)
{
    return dom_slice_eq_str(field->handling, "clear") ||
           dom_slice_eq_str(field->handling, "pseudonym");
}

/* The first field with this one's class, and of those that passed if `wants_passed`. */
static bool is_first_of_class(const struct dom_audit_event *e, size_t i, bool wants_passed)
{
    for (size_t j = 0; j < i; j++) {
        if (dom_slice_eq(e->fields[j].data_class, e->fields[i].data_class) &&
            (!wants_passed || passed(&e->fields[j]))) {
            return false;
        }
    }
    return !wants_passed || passed(&e->fields[i]);
}

static bool class_passed(const struct dom_audit_event *e, struct dom_slice data_class)
{
    for (size_t i = 0; i < e->num_fields; i++) {
        if (dom_slice_eq(e->fields[i].data_class, data_class) && passed(&e->fields[i])) {
            return true;
        }
    }
    return false;
}

static void put_item(struct dom_buffer *out, struct dom_slice item)
{
    dom_buffer_append_str(out, out->len == 0 ? "" : ", ");
    dom_buffer_append_slice(out, item);
}

/* Classes that passed (all of them of a denial), and what became of those not passed clear; in
 * the order of the fields, which is that of the record. */
static void list_classes(struct dom_report *r)
{
    const struct dom_audit_event *e = r->event;
    bool denied = e->type == DOM_AUDIT_DENY;

    dom_buffer_clear(&r->classes);
    dom_buffer_clear(&r->measures);
    for (size_t i = 0; i < e->num_fields; i++) {
        const struct dom_audit_field *field = &e->fields[i];
        if (is_first_of_class(e, i, !denied)) {
            put_item(&r->classes, field->data_class);
        }
        bool again = dom_slice_eq_str(field->handling, "clear");
        for (size_t j = 0; j < i && !again; j++) {
            again = dom_slice_eq(e->fields[j].data_class, field->data_class) &&
                    dom_slice_eq(e->fields[j].handling, field->handling);
        }
        if (!again) {
            put_item(&r->measures, field->data_class);
            dom_buffer_append_char(&r->measures, ' ');
            dom_buffer_append_slice(&r->measures, field->handling);
        }
    }
}

/* ---- art30 ---------------------------------------------------------------------------------- */

static bool differ(struct dom_slice a, struct dom_slice b)
{
    return a.len > 0 && b.len > 0 && !dom_slice_eq(a, b);
}

static enum dom_code count_transfer(struct dom_report *r, struct dom_slice recipient,
                                    struct dom_slice to, struct dom_slice mech,
                                    struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;
    const struct dom_slice cells[] = {
        e->purpose,       dom_buffer_slice(&r->classes),
        e->record.kind,   e->record.home,
        recipient,        e->transfer.from,
        to,               mech,
        e->basis.ref,     e->basis.assessment,
        dom_buffer_slice(&r->measures)};
    struct dom_line *line = NULL;

    r->lines.num_cells = DOM_ARRAY_LEN(cells);
    enum dom_code rc = dom_lines_get(&r->lines, cells, &line, err);
    if (rc == DOM_OK) {
        line->operations++;
        line->records += (uint64_t)e->record.count;
        line->bytes += (uint64_t)e->record.bytes;
        rc = dom_line_prove(line, r->num_logs - 1, r->index, &r->leaf, e->time_ms, err);
    }
    return rc;
}

static enum dom_code add_art30(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;
    enum dom_code rc = DOM_OK;

    if (e->type != DOM_AUDIT_ACCESS) {
        return DOM_OK;
    }
    list_classes(r);
    if (differ(e->transfer.from, e->transfer.to)) {
        rc = count_transfer(r, e->actor.entity.len > 0 ? e->actor.entity : e->actor.id,
                            e->transfer.to, e->basis.mech, err);
    }
    for (size_t i = 0; i < e->transfer.num_replicas && rc == DOM_OK; i++) {
        const struct dom_audit_replica *replica = &e->transfer.replicas[i];
        if (differ(e->transfer.from, replica->to)) {
            dom_buffer_clear(&r->text);
            dom_buffer_append_str(&r->text, "replica in ");
            dom_buffer_append_slice(&r->text, replica->region);
            rc = count_transfer(r, dom_buffer_slice(&r->text), replica->to,
                                replica->basis.len > 0 ? replica->basis : e->basis.mech, err);
        }
    }
    return rc;
}

/* ---- matrix --------------------------------------------------------------------------------- */

static enum dom_code count_flow(struct dom_report *r, struct dom_slice to,
                                struct dom_slice data_class, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;
    const struct dom_slice cells[] = {e->transfer.from, to, data_class, e->purpose};
    struct dom_line *line = NULL;

    r->lines.num_cells = DOM_ARRAY_LEN(cells);
    enum dom_code rc = dom_lines_get(&r->lines, cells, &line, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (e->type == DOM_AUDIT_DENY) {
        line->refused++;
    } else if (e->num_fields > 0 && !class_passed(e, data_class)) {
        line->withheld++;
    } else {
        line->operations++;
        line->records += (uint64_t)e->record.count;
        line->bytes += (uint64_t)e->record.bytes;
    }
    return dom_line_prove(line, r->num_logs - 1, r->index, &r->leaf, e->time_ms, err);
}

static enum dom_code count_flow_of_classes(struct dom_report *r, struct dom_slice to,
                                           struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;
    enum dom_code rc = DOM_OK;

    if (!differ(e->transfer.from, to)) {
        return DOM_OK;
    }
    if (e->num_fields == 0) {
        return count_flow(r, to, DOM_SLICE_LIT("(none told)"), err);
    }
    for (size_t i = 0; i < e->num_fields && rc == DOM_OK; i++) {
        if (is_first_of_class(e, i, false)) {
            rc = count_flow(r, to, e->fields[i].data_class, err);
        }
    }
    return rc;
}

static enum dom_code add_matrix(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;

    if (e->type != DOM_AUDIT_ACCESS && e->type != DOM_AUDIT_DENY) {
        return DOM_OK;
    }
    enum dom_code rc = count_flow_of_classes(r, e->transfer.to, err);
    for (size_t i = 0; i < e->transfer.num_replicas && rc == DOM_OK; i++) {
        rc = count_flow_of_classes(r, e->transfer.replicas[i].to, err);
    }
    return rc;
}

/* ---- 28 CFR 202 ----------------------------------------------------------------------------- */

/* 28 CFR 202.601; China is with Hong Kong and Macau (202.208). */
static bool is_of_concern(struct dom_slice country)
{
    static const char *const s_concern[] = {"CN", "HK", "MO", "CU", "IR", "KP", "RU", "VE"};

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_concern); i++) {
        if (dom_slice_eq_str(country, s_concern[i])) {
            return true;
        }
    }
    return false;
}

static bool is_in_scope(const struct dom_audit_event *e)
{
    bool concern = is_of_concern(e->actor.country) || is_of_concern(e->transfer.to) ||
                   is_of_concern(e->claim.country);

    for (size_t i = 0; i < e->transfer.num_replicas && !concern; i++) {
        concern = is_of_concern(e->transfer.replicas[i].to);
    }
    return concern && (dom_slice_eq_str(e->record.home, "US") ||
                       dom_slice_eq_str(e->transfer.from, "US"));
}

static void put_data(struct dom_report *r)
{
    dom_table_cell(&r->table, r->event->op);
    dom_table_cell(&r->table, dom_buffer_slice(&r->classes));
    dom_table_cell(&r->table, r->event->record.kind);
}

static void put_parties(struct dom_report *r)
{
    const struct dom_audit_event *e = r->event;
    const struct dom_slice cells[] = {
        e->transfer.from, e->transfer.to,
        e->actor.entity,  e->actor.id.len > 0 ? e->actor.id : e->claim.service,
        e->actor.country.len > 0 ? e->actor.country : e->claim.country,
        e->actor.user,    e->purpose,
        e->transfer.method};

    for (size_t i = 0; i < DOM_ARRAY_LEN(cells); i++) {
        dom_table_cell(&r->table, cells[i]);
    }
}

static enum dom_code put_place(struct dom_report *r, struct dom_error *err)
{
    char hex[2 * DOM_HASH_SIZE + 1];

    dom_hex_encode(hex, dom_hash_slice(&r->leaf));
    dom_table_cell(&r->table, r->event->origin);
    dom_table_number(&r->table, r->index);
    dom_table_cell(&r->table, dom_slice_str(hex));
    return dom_table_row(&r->table, err);
}

static enum dom_code add_1101(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;

    if (e->type != DOM_AUDIT_ACCESS || !is_in_scope(e)) {
        return DOM_OK;
    }
    list_classes(r);
    dom_table_time(&r->table, e->time_ms);
    put_data(r);
    dom_table_number(&r->table, (uint64_t)e->record.count);
    dom_table_number(&r->table, (uint64_t)e->record.bytes);
    put_parties(r);
    dom_table_cell(&r->table, e->basis.mech);
    dom_table_cell(&r->table, e->basis.ref);
    dom_table_cell(&r->table, e->basis.assessment);
    dom_table_cell(&r->table, dom_buffer_slice(&r->measures));
    return put_place(r, err);
}

static enum dom_code add_1104(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;

    if (e->type != DOM_AUDIT_DENY || !is_in_scope(e)) {
        return DOM_OK;
    }
    list_classes(r);
    dom_table_time(&r->table, e->time_ms + DSP_DUE_DAYS * DAY_MS);
    dom_table_time(&r->table, e->time_ms);
    put_data(r);
    put_parties(r);
    dom_table_cell(&r->table, e->decision.reason);
    dom_buffer_clear(&r->text);
    for (size_t i = 0; i < e->decision.num_rules; i++) {
        put_item(&r->text, e->decision.rules[i]);
    }
    put_item(&r->text, e->policy.name);
    dom_buffer_printf(&r->text, " version %lld", (long long)e->policy.version);
    dom_table_cell(&r->table, dom_buffer_slice(&r->text));
    return put_place(r, err);
}

/* ---- the report ----------------------------------------------------------------------------- */

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
    enum dom_code rc = dom_table_begin(&r->table, s_kinds[kind].title, s_kinds[kind].note,
                                       s_kinds[kind].columns, s_kinds[kind].num_columns, err);
    if (rc != DOM_OK) {
        dom_report_destroy(r);
        return rc;
    }
    *report = r;
    return DOM_OK;
}

static enum dom_code add_entry(void *arg, uint64_t index, struct dom_slice entry,
                               const struct dom_entry_head *head, struct dom_error *err)
{
    struct dom_report *r = arg;
    struct dom_audit_event_doc doc;

    /* Other types are in no report, and most of the work is reading an entry. */
    if (!dom_slice_eq_str(head->type, "access") && !dom_slice_eq_str(head->type, "deny")) {
        return DOM_OK;
    }
    enum dom_code rc = dom_audit_event_parse(&doc, entry, err);
    if (rc != DOM_OK) {
        return dom_error_prefix(err, "index %llu", (unsigned long long)index);
    }
    r->event = &doc.event;
    r->index = index;
    dom_hash_leaf(&r->leaf, entry);
    switch (r->kind) {
        case DOM_REPORT_ART30:
            rc = add_art30(r, err);
            break;
        case DOM_REPORT_DSP_1101:
            rc = add_1101(r, err);
            break;
        case DOM_REPORT_DSP_1104:
            rc = add_1104(r, err);
            break;
        case DOM_REPORT_MATRIX:
            rc = add_matrix(r, err);
            break;
    }
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
    dom_buffer_printf(&note, ": size %llu, root %s", (unsigned long long)head->size, hex);
    put_time_range(walk->filter, &note);
    report->origins[report->num_logs] = copy(origin);
    report->notes[report->num_logs] = copy(dom_buffer_slice(&note));
    report->num_logs++;
    bool failed = note.failed;
    dom_buffer_cleanup(&note);
    return failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a report")
                  : dom_log_walk(walk, add_entry, report, err);
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
    dom_line_proof_text(line, r->origins, &r->text);
    dom_table_cell(&r->table, dom_buffer_slice(&r->text));
    return dom_table_row(&r->table, err);
}

enum dom_code dom_report_finish(struct dom_report *report, uint64_t *num_lines,
                                struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

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
    }
    dom_lines_cleanup(&report->lines);
    dom_table_cleanup(&report->table);
    dom_buffer_cleanup(&report->classes);
    dom_buffer_cleanup(&report->measures);
    dom_buffer_cleanup(&report->text);
    free(report);
}
