/* What an entry is in each register: which lines it counts in, or the row that it is. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/report_internal.h"

#define DAY_MS       INT64_C(86400000)
#define DSP_DUE_DAYS 14 /* 28 CFR 202.1104(b): within 14 days of rejecting */

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

/* Whether something went from here to another country. A policy may have given up the region that
 * a record was moved out of: then nobody can say where it lay, and it went all the same. */
static bool went_to(const struct dom_audit_event *e, struct dom_slice to)
{
    bool known = e->transfer.from.len > 0 || e->type == DOM_AUDIT_PLACEMENT;

    return known && to.len > 0 && !dom_slice_eq(e->transfer.from, to);
}

static struct dom_slice from_of(const struct dom_audit_event *e)
{
    return e->transfer.from.len > 0 ? e->transfer.from : DOM_SLICE_LIT("(unknown)");
}

static struct dom_slice purpose_of(const struct dom_audit_event *e)
{
    return e->type == DOM_AUDIT_PLACEMENT ? DOM_SLICE_LIT("(placement)") : e->purpose;
}

/* A moved home is in the list of replicas too when it is abroad. */
static bool is_replica(const struct dom_audit_event *e, struct dom_slice region)
{
    for (size_t i = 0; i < e->transfer.num_replicas; i++) {
        if (dom_slice_eq(e->transfer.replicas[i].region, region)) {
            return true;
        }
    }
    return false;
}

static enum dom_code count_transfer(struct dom_report *r, struct dom_slice recipient,
                                    struct dom_slice to, struct dom_slice mech,
                                    struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;
    const struct dom_slice cells[] = {
        purpose_of(e),    dom_buffer_slice(&r->classes),
        e->record.kind,   e->record.home,
        recipient,        from_of(e),
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

/* Who got the bytes of the operation itself; of a placement, where the home moved to. */
static struct dom_slice recipient_of(struct dom_report *r)
{
    const struct dom_audit_event *e = r->event;

    if (e->type != DOM_AUDIT_PLACEMENT) {
        return e->actor.entity.len > 0 ? e->actor.entity : e->actor.id;
    }
    dom_buffer_clear(&r->text);
    dom_buffer_append_str(&r->text, "home in ");
    dom_buffer_append_slice(&r->text, e->transfer.to_region);
    return dom_buffer_slice(&r->text);
}

static enum dom_code add_art30(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;
    bool placed = e->type == DOM_AUDIT_PLACEMENT;
    enum dom_code rc = DOM_OK;

    if (e->type != DOM_AUDIT_ACCESS && !placed) {
        return DOM_OK;
    }
    list_classes(r);
    if (went_to(e, e->transfer.to) && !(placed && is_replica(e, e->transfer.to_region))) {
        rc = count_transfer(r, recipient_of(r), e->transfer.to, e->basis.mech, err);
    }
    for (size_t i = 0; i < e->transfer.num_replicas && rc == DOM_OK; i++) {
        const struct dom_audit_replica *replica = &e->transfer.replicas[i];
        if (went_to(e, replica->to)) {
            bool home = placed && dom_slice_eq(replica->region, e->transfer.to_region);
            dom_buffer_clear(&r->text);
            dom_buffer_append_str(&r->text, home ? "home in " : "replica in ");
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
    const struct dom_slice cells[] = {from_of(e), to, data_class, purpose_of(e)};
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

    if (!went_to(e, to)) {
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

/* Whether the replica's country is that of the operation, or of a replica before it: one operation
 * is one flow to a country, however many regions there hold it. */
static bool is_told(const struct dom_audit_event *e, size_t replica)
{
    struct dom_slice to = e->transfer.replicas[replica].to;
    bool told = dom_slice_eq(e->transfer.to, to);

    for (size_t i = 0; i < replica && !told; i++) {
        told = dom_slice_eq(e->transfer.replicas[i].to, to);
    }
    return told;
}

static enum dom_code add_matrix(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;

    enum dom_code rc = count_flow_of_classes(r, e->transfer.to, err);
    for (size_t i = 0; i < e->transfer.num_replicas && rc == DOM_OK; i++) {
        if (!is_told(e, i)) {
            rc = count_flow_of_classes(r, e->transfer.replicas[i].to, err);
        }
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
    dom_table_cell(&r->table, r->event->type == DOM_AUDIT_PLACEMENT ? DOM_SLICE_LIT("placement")
                                                                    : r->event->op);
    dom_table_cell(&r->table, dom_buffer_slice(&r->classes));
    dom_table_cell(&r->table, r->event->record.kind);
}

/* Where it went: the operation's country, and those of its replicas. */
static void list_destinations(struct dom_report *r)
{
    const struct dom_audit_event *e = r->event;

    dom_buffer_clear(&r->text);
    if (e->transfer.to.len > 0) {
        put_item(&r->text, e->transfer.to);
    }
    for (size_t i = 0; i < e->transfer.num_replicas; i++) {
        if (!is_told(e, i)) {
            put_item(&r->text, e->transfer.replicas[i].to);
        }
    }
}

static void put_parties(struct dom_report *r)
{
    const struct dom_audit_event *e = r->event;

    list_destinations(r);
    const struct dom_slice cells[] = {
        from_of(e),       dom_buffer_slice(&r->text),
        e->actor.entity,  e->actor.id.len > 0 ? e->actor.id : e->claim.service,
        e->actor.country.len > 0 ? e->actor.country : e->claim.country,
        e->actor.user,    purpose_of(e),
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
    dom_table_cell(&r->table, r->checkpoints[r->num_logs - 1]);
    return dom_table_row(&r->table, err);
}

static enum dom_code add_1101(struct dom_report *r, struct dom_error *err)
{
    const struct dom_audit_event *e = r->event;

    if ((e->type != DOM_AUDIT_ACCESS && e->type != DOM_AUDIT_PLACEMENT) || !is_in_scope(e)) {
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

/* ---- any of them ---------------------------------------------------------------------------- */

enum dom_code dom_report_take(struct dom_report *r, struct dom_error *err)
{
    switch (r->kind) {
        case DOM_REPORT_ART30:
            return add_art30(r, err);
        case DOM_REPORT_DSP_1101:
            return add_1101(r, err);
        case DOM_REPORT_DSP_1104:
            return add_1104(r, err);
        case DOM_REPORT_MATRIX:
            return add_matrix(r, err);
    }
    return DOM_FAIL(err, DOM_INTERNAL, "no such report");
}
