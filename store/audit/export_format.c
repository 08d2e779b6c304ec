#include "store/audit/export_format.h"

#include "base/encode.h"

static const struct dom_export_format *const s_formats[] = {
    &dom_export_format_jsonl, &dom_export_format_csv, &dom_export_format_ocsf,
    &dom_export_format_ecs,   &dom_export_format_cef, &dom_export_format_cloudevents,
};

const struct dom_export_format *dom_export_format_find(struct dom_slice name)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_formats); i++) {
        if (dom_slice_eq_str(name, s_formats[i]->name)) {
            return s_formats[i];
        }
    }
    return NULL;
}

const char *dom_export_format_names(void)
{
    return "jsonl, csv, ocsf, ecs, cef, cloudevents";
}

/* First byte behind the mark, or NULL. */
static const uint8_t *find_mark(struct dom_slice row, const char *mark, bool last)
{
    size_t len = strlen(mark);
    const uint8_t *found = NULL;

    if (len == 0) {
        return row.data;
    }
    for (size_t at = 0; at + len <= row.len; at++) {
        if (row.data[at] == (uint8_t)mark[0] && memcmp(row.data + at, mark, len) == 0) {
            found = row.data + at + len;
            if (!last) {
                break;
            }
        }
    }
    return found;
}

bool dom_export_row_index(const struct dom_export_format *format, struct dom_slice row,
                          uint64_t *index)
{
    const uint8_t *end = row.data + row.len;
    const uint8_t *at = find_mark(row, format->index_mark, format->index_last);
    unsigned digits = 0;

    *index = 0;
    /* Eighteen digits cannot overflow and are more than any index has. */
    while (at != NULL && at < end && *at >= '0' && *at <= '9' && digits < 18) {
        *index = *index * 10 + (uint64_t)(*at - '0');
        digits++;
        at++;
    }
    return digits > 0 && at < end && (*at < '0' || *at > '9');
}

enum dom_code dom_export_row_make(const struct dom_export_format *format, struct dom_slice entry,
                                  uint64_t index, struct dom_buffer *out, struct dom_error *err)
{
    struct dom_audit_event_doc doc;
    struct dom_export_row row = {.entry = entry, .index = index};

    dom_hash_leaf(&row.leaf, entry);
    if (format->wants_event) {
        enum dom_code rc = dom_audit_event_parse(&doc, entry, err);
        if (rc != DOM_OK) {
            return rc;
        }
        row.event = &doc.event;
    }
    format->row(out, &row);
    if (format->wants_event) {
        dom_audit_event_doc_cleanup(&doc);
    }
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a row") : DOM_OK;
}

/* ---- JSON lines ----------------------------------------------------------------------------- */

#define JSONL_HEAD "{\"entry\":"
#define JSONL_MARK ",\"index\":"

static void jsonl_row(struct dom_buffer *out, const struct dom_export_row *row)
{
    char hex[2 * DOM_HASH_SIZE + 1];

    dom_hex_encode(hex, dom_hash_slice(&row->leaf));
    dom_buffer_append_str(out, JSONL_HEAD);
    dom_buffer_append_slice(out, row->entry);
    dom_buffer_printf(out, JSONL_MARK "%llu,\"leaf_hash\":\"%s\"}\n",
                      (unsigned long long)row->index, hex);
}

static bool jsonl_entry(struct dom_slice row, struct dom_slice *entry)
{
    const size_t head = sizeof(JSONL_HEAD) - 1;
    const uint8_t *behind = find_mark(row, JSONL_MARK, true);

    if (behind == NULL || row.len < head || memcmp(row.data, JSONL_HEAD, head) != 0) {
        return false;
    }
    size_t end = (size_t)(behind - row.data) - (sizeof(JSONL_MARK) - 1);
    *entry = dom_slice_of(row.data + head, end < head ? 0 : end - head);
    return true;
}

const struct dom_export_format dom_export_format_jsonl = {
    .name = "jsonl",
    .index_mark = JSONL_MARK,
    .index_last = true,
    .row = jsonl_row,
    .entry = jsonl_entry,
};
