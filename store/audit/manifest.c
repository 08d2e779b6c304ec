/* The manifest of an export: written, and read back strictly. */
#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/checkpoint.h"
#include "store/audit/export.h"

#define MANIFEST_HEAD "domicile-audit-export/v1"

static void put_filter(const struct dom_export_filter *filter, uint64_t size,
                       struct dom_buffer *out)
{
    char time[DOM_RFC3339_SIZE];
    uint64_t end = filter->end < size ? filter->end : size;

    dom_buffer_printf(out, "indexes %llu %llu\n", (unsigned long long)filter->first,
                      (unsigned long long)end);
    if (filter->from_ms != 0) {
        dom_time_format(time, filter->from_ms, true);
        dom_buffer_printf(out, "from %s\n", time);
    }
    if (filter->until_ms != 0) {
        dom_time_format(time, filter->until_ms, true);
        dom_buffer_printf(out, "until %s\n", time);
    }
    for (size_t i = 0; i < filter->num_where; i++) {
        dom_buffer_printf(out, "where %s=", dom_export_key_name(filter->where[i].key));
        dom_buffer_append_slice(out, filter->where[i].value);
        dom_buffer_append_char(out, '\n');
    }
}

static void put_checkpoint(struct dom_slice checkpoint, struct dom_buffer *out)
{
    if (checkpoint.len == 0) {
        return;
    }
    dom_buffer_append_str(out, "checkpoint ");
    uint8_t *at = dom_buffer_extend(out, DOM_BASE64_LEN(checkpoint.len) + 1);
    if (at != NULL) {
        (void)dom_base64_encode((char *)at, checkpoint);
        at[DOM_BASE64_LEN(checkpoint.len)] = '\n'; /* in the place of its NUL */
    }
}

enum dom_code dom_manifest_encode(const struct dom_manifest *manifest, struct dom_buffer *out,
                                  struct dom_error *err)
{
    char root[DOM_BASE64_LEN(DOM_HASH_SIZE) + 1];
    char hex[65];
    char time[DOM_RFC3339_SIZE];
    const struct dom_export_format *format =
        manifest->format == NULL ? &dom_export_format_jsonl : manifest->format;

    for (size_t i = 0; i < manifest->filter->num_where; i++) {
        struct dom_slice value = manifest->filter->where[i].value;
        for (size_t b = 0; b < value.len; b++) {
            if (value.data[b] < 0x20) {
                return DOM_FAIL(err, DOM_INVALID, "filter: control character in a value");
            }
        }
    }
    (void)dom_base64_encode(root, dom_hash_slice(&manifest->head.root));
    dom_hex_encode(hex, dom_slice_of(manifest->stats->sha256, sizeof(manifest->stats->sha256)));
    dom_time_format(time, manifest->time_ms, true);
    dom_buffer_append_str(out, MANIFEST_HEAD "\norigin ");
    dom_buffer_append_slice(out, manifest->origin);
    dom_buffer_printf(out, "\nsize %llu\nroot %s\n", (unsigned long long)manifest->head.size, root);
    put_filter(manifest->filter, manifest->head.size, out);
    dom_buffer_printf(out, "format %s\ncount %llu\nbytes %llu\nsha256 %s\ntime %s\n", format->name,
                      (unsigned long long)manifest->stats->count,
                      (unsigned long long)manifest->stats->bytes, hex, time);
    put_checkpoint(manifest->checkpoint, out);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a manifest") : DOM_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Steps over "name value\n" if the next line has that name. */
static bool take(struct dom_slice *text, const char *name, struct dom_slice *value)
{
    size_t len = strlen(name);
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->data, '\n', text->len);

    if (end == NULL || (size_t)(end - text->data) < len + 1 ||
        memcmp(text->data, name, len) != 0 || text->data[len] != ' ') {
        return false;
    }
    size_t line = (size_t)(end - text->data);
    *value = dom_slice_of(text->data + len + 1, line - len - 1);
    *text = dom_slice_of(end + 1, text->len - line - 1);
    return true;
}

static bool parse_number(struct dom_slice text, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *value > UINT64_MAX / 10 - 1) {
            return false;
        }
        *value = *value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.len > 0;
}

static bool take_number(struct dom_slice *text, const char *name, uint64_t *value)
{
    struct dom_slice word;
    return take(text, name, &word) && parse_number(word, value);
}

static bool take_time(struct dom_slice *text, const char *name, int64_t *ms)
{
    struct dom_slice word;
    return take(text, name, &word) && dom_time_parse(word, false, ms);
}

static bool take_indexes(struct dom_slice *text, struct dom_export_filter *filter)
{
    struct dom_slice both;

    if (!take(text, "indexes", &both)) {
        return false;
    }
    const uint8_t *space = memchr(both.data, ' ', both.len);
    if (space == NULL) {
        return false;
    }
    size_t len = (size_t)(space - both.data);
    return parse_number(dom_slice_of(both.data, len), &filter->first) &&
           parse_number(dom_slice_of(space + 1, both.len - len - 1), &filter->end);
}

static bool take_root(struct dom_slice *text, struct dom_hash *root)
{
    struct dom_slice word;
    size_t len = 0;
    return take(text, "root", &word) &&
           dom_base64_decode(root->bytes, sizeof(root->bytes), &len, word) &&
           len == sizeof(root->bytes);
}

static bool take_head(struct dom_manifest_doc *doc, struct dom_slice *text, struct dom_error *err)
{
    struct dom_manifest *m = &doc->manifest;
    const size_t len = sizeof(MANIFEST_HEAD "\n") - 1;
    struct dom_slice word;

    if (text->len < len || memcmp(text->data, MANIFEST_HEAD "\n", len) != 0) {
        return false;
    }
    *text = dom_slice_of(text->data + len, text->len - len);
    if (!take(text, "origin", &m->origin) || !take_number(text, "size", &m->head.size) ||
        !take_root(text, &m->head.root) || !take_indexes(text, &doc->filter)) {
        return false;
    }
    (void)take_time(text, "from", &doc->filter.from_ms);
    (void)take_time(text, "until", &doc->filter.until_ms);
    while (take(text, "where", &word)) {
        if (dom_export_filter_add(&doc->filter, word, err) != DOM_OK) {
            return false;
        }
    }
    return true;
}

static bool take_rest(struct dom_manifest_doc *doc, struct dom_slice *text)
{
    struct dom_slice word;
    size_t len = 0;

    if (!take_number(text, "count", &doc->stats.count) ||
        !take_number(text, "bytes", &doc->stats.bytes) || !take(text, "sha256", &word) ||
        !dom_hex_decode(doc->stats.sha256, sizeof(doc->stats.sha256), word) ||
        !take_time(text, "time", &doc->manifest.time_ms)) {
        return false;
    }
    if (take(text, "checkpoint", &word)) {
        dom_buffer_init(&doc->checkpoint, DOM_MANIFEST_BYTES_MAX);
        uint8_t *at = dom_buffer_extend(&doc->checkpoint, word.len + 1);
        if (at == NULL || !dom_base64_decode(at, word.len, &len, word)) {
            return false;
        }
        doc->checkpoint.len = len;
        doc->manifest.checkpoint = dom_buffer_slice(&doc->checkpoint);
    }
    return text->len == 0;
}

/* The last word, as for entries: nothing was read otherwise than it is written. */
static bool is_canonical(const struct dom_manifest *manifest, struct dom_slice text)
{
    struct dom_buffer again = {0};
    bool same = dom_manifest_encode(manifest, &again, NULL) == DOM_OK &&
                dom_slice_eq(dom_buffer_slice(&again), text);

    dom_buffer_cleanup(&again);
    return same;
}

enum dom_code dom_manifest_parse(struct dom_manifest_doc *doc, struct dom_slice text,
                                 struct dom_error *err)
{
    struct dom_slice rest = text;
    struct dom_slice format;
    enum dom_code rc = DOM_OK;

    memset(doc, 0, sizeof(*doc));
    dom_export_filter_init(&doc->filter);
    doc->manifest.filter = &doc->filter;
    doc->manifest.stats = &doc->stats;
    if (text.len > DOM_MANIFEST_BYTES_MAX) {
        return DOM_FAIL(err, DOM_PARSE, "manifest: over %u bytes", DOM_MANIFEST_BYTES_MAX);
    }
    if (!take_head(doc, &rest, err) || !take(&rest, "format", &format)) {
        rc = DOM_FAIL(err, DOM_PARSE, "manifest: it does not begin as one");
        goto out;
    }
    doc->manifest.format = dom_export_format_find(format);
    if (doc->manifest.format == NULL) {
        rc = DOM_FAIL(err, DOM_UNSUPPORTED, "manifest: format %.*s is not known",
                      (int)(format.len > 40 ? 40 : format.len), (const char *)format.data);
        goto out;
    }
    if (!take_rest(doc, &rest) || !is_canonical(&doc->manifest, text)) {
        rc = DOM_FAIL(err, DOM_PARSE, "manifest: a line is missing, wrong or too much");
    }
out:
    if (rc != DOM_OK) {
        dom_manifest_doc_cleanup(doc);
    }
    return rc;
}

void dom_manifest_doc_cleanup(struct dom_manifest_doc *doc)
{
    dom_buffer_cleanup(&doc->checkpoint);
    memset(doc, 0, sizeof(*doc));
}
