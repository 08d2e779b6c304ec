/* Tables as Markdown, HTML and CSV. Whatever a text holds, it stays in its cell. */
#include <errno.h>

#include "base/assert.h"
#include "base/clock.h"
#include "store/audit/export_format.h"
#include "store/audit/report_internal.h"

static void put_md(struct dom_buffer *out, struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7F) {
            dom_buffer_append_char(out, ' ');
            continue;
        }
        /* Markdown lets any of its marks be written with a backslash in front; these are the
         * ones that mean something in the middle of a line. */
        if (strchr("\\`*_[]<>|&~", c) != NULL) {
            dom_buffer_append_char(out, '\\');
        }
        dom_buffer_append_char(out, (char)c);
    }
}

static void put_html(struct dom_buffer *out, struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        switch (c) {
            case '&':
                dom_buffer_append_str(out, "&amp;");
                break;
            case '<':
                dom_buffer_append_str(out, "&lt;");
                break;
            case '>':
                dom_buffer_append_str(out, "&gt;");
                break;
            case '"':
                dom_buffer_append_str(out, "&quot;");
                break;
            case '\'':
                dom_buffer_append_str(out, "&#39;");
                break;
            default:
                dom_buffer_append_char(out, c < 0x20 || c == 0x7F ? ' ' : (char)c);
        }
    }
}

static void put_text(struct dom_table *t, struct dom_slice text)
{
    switch (t->form) {
        case DOM_REPORT_MD:
            put_md(&t->text, text);
            break;
        case DOM_REPORT_HTML:
            put_html(&t->text, text);
            break;
        case DOM_REPORT_CSV:
            dom_csv_field(&t->text, text);
            break;
    }
}

static enum dom_code flush(struct dom_table *t, struct dom_error *err)
{
    if (t->text.failed) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a report");
    }
    if (fwrite(t->text.data, 1, t->text.len, t->out) != t->text.len) {
        return DOM_FAIL(err, DOM_IO, "cannot write the report: %s", strerror(errno));
    }
    dom_buffer_clear(&t->text);
    return DOM_OK;
}

static void begin_md(struct dom_table *t, const struct dom_table_head *head)
{
    dom_buffer_append_str(&t->text, "# ");
    put_text(t, dom_slice_str(head->title));
    dom_buffer_append_str(&t->text, "\n\n");
    put_text(t, dom_slice_str(head->note));
    dom_buffer_append_str(&t->text, "\n\n");
    put_text(t, dom_slice_str(head->period));
    for (size_t i = 0; i < head->num_said; i++) {
        dom_buffer_append_str(&t->text, "\n\n");
        put_text(t, head->said[i]);
    }
    dom_buffer_append_str(&t->text, "\n\n|");
    for (size_t i = 0; i < t->num_columns; i++) {
        dom_buffer_printf(&t->text, " %s |", head->columns[i]);
    }
    dom_buffer_append_str(&t->text, "\n|");
    for (size_t i = 0; i < t->num_columns; i++) {
        dom_buffer_append_str(&t->text, "---|");
    }
    dom_buffer_append_char(&t->text, '\n');
}

static void begin_html(struct dom_table *t, const struct dom_table_head *head)
{
    dom_buffer_append_str(&t->text, "<!DOCTYPE html>\n<html lang=\"en\"><head>"
                                    "<meta charset=\"utf-8\"><title>");
    put_text(t, dom_slice_str(head->title));
    /* Hashes have no place to break at; without one a cell would be wider than the page. */
    dom_buffer_append_str(&t->text,
                          "</title><style>body{font:12px sans-serif}"
                          "table{border-collapse:collapse}"
                          "td,th{border:1px solid #999;padding:2px 6px;text-align:left;"
                          "vertical-align:top}td{overflow-wrap:break-word}"
                          "th{background:#eee}td:nth-last-child(-n+2)"
                          "{min-width:12em;overflow-wrap:anywhere}"
                          "td:last-child{min-width:24em}"
                          "@media print{@page{size:A3 landscape}body{font-size:9px}"
                          "thead{display:table-header-group}tr{break-inside:avoid}}"
                          "</style></head><body>\n<h1>");
    put_text(t, dom_slice_str(head->title));
    dom_buffer_append_str(&t->text, "</h1>\n<p>");
    put_text(t, dom_slice_str(head->note));
    dom_buffer_append_str(&t->text, "</p>\n<p>");
    put_text(t, dom_slice_str(head->period));
    for (size_t i = 0; i < head->num_said; i++) {
        dom_buffer_append_str(&t->text, "</p>\n<p>");
        put_text(t, head->said[i]);
    }
    dom_buffer_append_str(&t->text, "</p>\n<table>\n<thead><tr>");
    for (size_t i = 0; i < t->num_columns; i++) {
        dom_buffer_printf(&t->text, "<th>%s</th>", head->columns[i]);
    }
    dom_buffer_append_str(&t->text, "</tr></thead>\n<tbody>\n");
}

enum dom_code dom_table_begin(struct dom_table *table, const struct dom_table_head *head,
                              struct dom_error *err)
{
    table->num_columns = head->num_columns;
    switch (table->form) {
        case DOM_REPORT_MD:
            begin_md(table, head);
            break;
        case DOM_REPORT_HTML:
            begin_html(table, head);
            break;
        case DOM_REPORT_CSV:
            for (size_t i = 0; i < head->num_columns; i++) {
                dom_buffer_printf(&table->text, "%s%s", i == 0 ? "" : ",", head->columns[i]);
            }
            dom_buffer_append_str(&table->text, "\r\n");
            break;
    }
    return flush(table, err);
}

void dom_table_cell(struct dom_table *table, struct dom_slice text)
{
    static const char *const s_before[] = {" ", "<td>", ""};
    static const char *const s_after[] = {" |", "</td>", ""};

    DOM_ASSERT(table->at < table->num_columns);
    if (table->at == 0) {
        dom_buffer_append_str(&table->text, table->form == DOM_REPORT_MD     ? "|"
                                            : table->form == DOM_REPORT_HTML ? "<tr>"
                                                                             : "");
    } else if (table->form == DOM_REPORT_CSV) {
        dom_buffer_append_char(&table->text, ',');
    }
    table->at++;
    dom_buffer_append_str(&table->text, s_before[table->form]);
    put_text(table, text);
    dom_buffer_append_str(&table->text, s_after[table->form]);
}

void dom_table_number(struct dom_table *table, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    dom_table_cell(table, dom_slice_str(text));
}

void dom_table_time(struct dom_table *table, int64_t wall_ms)
{
    char text[DOM_RFC3339_SIZE];

    dom_time_format(text, wall_ms, true);
    dom_table_cell(table, dom_slice_str(text));
}

enum dom_code dom_table_row(struct dom_table *table, struct dom_error *err)
{
    DOM_ASSERT(table->at == table->num_columns);
    table->at = 0;
    table->num_rows++;
    dom_buffer_append_str(&table->text, table->form == DOM_REPORT_MD     ? "\n"
                                        : table->form == DOM_REPORT_HTML ? "</tr>\n"
                                                                         : "\r\n");
    return flush(table, err);
}

enum dom_code dom_table_end(struct dom_table *table, const struct dom_slice *items,
                            size_t num_items, struct dom_error *err)
{
    bool html = table->form == DOM_REPORT_HTML;

    if (table->form == DOM_REPORT_CSV) {
        return flush(table, err);
    }
    dom_buffer_append_str(&table->text, html ? "</tbody></table>\n<ul>\n" : "\n");
    for (size_t i = 0; i < num_items; i++) {
        dom_buffer_append_str(&table->text, html ? "<li>" : "- ");
        put_text(table, items[i]);
        dom_buffer_append_str(&table->text, html ? "</li>\n" : "\n");
    }
    dom_buffer_append_str(&table->text, html ? "</ul>\n</body></html>\n" : "");
    return flush(table, err);
}

void dom_table_cleanup(struct dom_table *table)
{
    dom_buffer_cleanup(&table->text);
}
