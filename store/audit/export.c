#include "store/audit/export.h"

#include <errno.h>

#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/checkpoint.h"
#include "store/crypto/sha256.h"

static const char *const s_keys[] = {
#define X(text, field) text,
    DOM_EXPORT_KEYS(X)
#undef X
};

static struct dom_slice head_value(const struct dom_entry_head *head, enum dom_export_key key)
{
    switch (key) {
#define X(text, field)       \
    case DOM_EXPORT_##field: \
        return head->field;
        DOM_EXPORT_KEYS(X)
#undef X
    }
    return dom_slice_of(NULL, 0);
}

void dom_export_filter_init(struct dom_export_filter *filter)
{
    memset(filter, 0, sizeof(*filter));
    filter->end = UINT64_MAX;
}

enum dom_code dom_export_filter_add(struct dom_export_filter *filter, struct dom_slice text,
                                    struct dom_error *err)
{
    char known[256] = "";
    const uint8_t *equals = text.len == 0 ? NULL : memchr(text.data, '=', text.len);

    if (equals == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "filter: key=value is wanted, not \"%.*s\"",
                        (int)(text.len > 100 ? 100 : text.len), (const char *)text.data);
    }
    struct dom_slice key = dom_slice_of(text.data, (size_t)(equals - text.data));
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_keys); i++) {
        if (!dom_slice_eq_str(key, s_keys[i])) {
            size_t len = strlen(known);
            (void)snprintf(known + len, sizeof(known) - len, "%s%s", i == 0 ? "" : ", ", s_keys[i]);
            continue;
        }
        if (filter->num_where == DOM_EXPORT_WHERE_MAX) {
            return DOM_FAIL(err, DOM_INVALID, "filter: over %u conditions", DOM_EXPORT_WHERE_MAX);
        }
        filter->where[filter->num_where++] =
            (struct dom_export_where){.key = (enum dom_export_key)i,
                                      .value = dom_slice_of(equals + 1, text.len - key.len - 1)};
        return DOM_OK;
    }
    return DOM_FAIL(err, DOM_INVALID, "filter: unknown key \"%.*s\"; known are %s",
                    (int)(key.len > 40 ? 40 : key.len), (const char *)key.data, known);
}

bool dom_export_filter_match(const struct dom_export_filter *filter, uint64_t index,
                             const struct dom_entry_head *head)
{
    if (index < filter->first || index >= filter->end ||
        (filter->from_ms != 0 && head->time_ms < filter->from_ms) ||
        (filter->until_ms != 0 && head->time_ms >= filter->until_ms)) {
        return false;
    }
    for (size_t i = 0; i < filter->num_where; i++) {
        struct dom_slice value = head_value(head, filter->where[i].key);
        bool found = false;
        for (size_t j = 0; j < filter->num_where && !found; j++) {
            found = filter->where[j].key == filter->where[i].key &&
                    dom_slice_eq(filter->where[j].value, value);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

typedef enum dom_code each_fn(void *arg, uint64_t index, struct dom_slice entry,
                              const struct dom_entry_head *head, struct dom_error *err);

static enum dom_code each_in_bundle(const struct dom_tiledir *tiledir, uint64_t n,
                                    const struct dom_export_filter *filter,
                                    struct dom_buffer *bundle, each_fn *each, void *arg,
                                    struct dom_error *err)
{
    struct dom_bundle_iter iter;
    struct dom_entry_head head;
    struct dom_slice entry;
    unsigned count = 0;
    bool done = false;

    enum dom_code rc = dom_tiledir_read_bundle(tiledir, n, bundle, &count, NULL, err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_bundle_iter_init(&iter, dom_buffer_slice(bundle));
    while (iter.position < count) {
        uint64_t index = n * DOM_TILE_WIDTH + iter.position;
        rc = dom_bundle_next(&iter, &entry, &done, err);
        if (rc == DOM_OK && done) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "bundle %llu has too few entries",
                          (unsigned long long)n);
        }
        if (rc == DOM_OK) {
            rc = dom_entry_scan(entry, &head, err);
        }
        if (rc != DOM_OK) {
            return dom_error_prefix(err, "index %llu", (unsigned long long)index);
        }
        if (dom_export_filter_match(filter, index, &head)) {
            rc = each(arg, index, entry, &head, err);
            if (rc != DOM_OK) {
                return rc;
            }
        }
    }
    return DOM_OK;
}

enum dom_code dom_log_each(const struct dom_tiledir *tiledir,
                           const struct dom_export_filter *filter,
                           enum dom_code (*each)(void *arg, uint64_t index, struct dom_slice entry,
                                                 const struct dom_entry_head *head,
                                                 struct dom_error *err),
                           void *arg, struct dom_error *err)
{
    struct dom_buffer bundle = {0};
    uint64_t end = filter->end < tiledir->size ? filter->end : tiledir->size;
    enum dom_code rc = DOM_OK;
    struct dom_error own = {0};

    err = err == NULL ? &own : err;
    for (uint64_t n = filter->first / DOM_TILE_WIDTH; n * DOM_TILE_WIDTH < end && rc == DOM_OK;
         n++) {
        rc = each_in_bundle(tiledir, n, filter, &bundle, each, arg, err);
    }
    dom_buffer_cleanup(&bundle);
    return rc;
}

/* ---- JSON lines ----------------------------------------------------------------------------- */

struct writer {
    FILE *out;
    struct dom_export_stats *stats;
    struct dom_sha256_stream digest;
    struct dom_buffer line;
};

static enum dom_code write_line(void *arg, uint64_t index, struct dom_slice entry,
                                const struct dom_entry_head *head, struct dom_error *err)
{
    struct writer *w = arg;
    struct dom_hash leaf;
    char hex[2 * DOM_HASH_SIZE + 1];

    (void)head;
    dom_hash_leaf(&leaf, entry);
    dom_hex_encode(hex, dom_hash_slice(&leaf));
    dom_buffer_clear(&w->line);
    dom_buffer_append_str(&w->line, "{\"entry\":");
    dom_buffer_append_slice(&w->line, entry);
    dom_buffer_printf(&w->line, ",\"index\":%llu,\"leaf_hash\":\"%s\"}\n",
                      (unsigned long long)index, hex);
    if (w->line.failed) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a line");
    }
    if (fwrite(w->line.data, 1, w->line.len, w->out) != w->line.len) {
        return DOM_FAIL(err, DOM_IO, "cannot write the export: %s", strerror(errno));
    }
    dom_sha256_update(&w->digest, dom_buffer_slice(&w->line));
    w->stats->count++;
    w->stats->bytes += w->line.len;
    return DOM_OK;
}

enum dom_code dom_export_jsonl(const struct dom_tiledir *tiledir,
                               const struct dom_export_filter *filter, FILE *out,
                               struct dom_export_stats *stats, struct dom_error *err)
{
    struct writer w = {.out = out, .stats = stats};

    memset(stats, 0, sizeof(*stats));
    dom_sha256_init(&w.digest);
    enum dom_code rc = dom_log_each(tiledir, filter, write_line, &w, err);
    dom_sha256_final(&w.digest, stats->sha256);
    if (rc == DOM_OK && fflush(out) != 0) {
        rc = DOM_FAIL(err, DOM_IO, "cannot write the export: %s", strerror(errno));
    }
    dom_buffer_cleanup(&w.line);
    return rc;
}

/* ---- the manifest --------------------------------------------------------------------------- */

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
        dom_buffer_printf(out, "where %s=", s_keys[filter->where[i].key]);
        dom_buffer_append_slice(out, filter->where[i].value);
        dom_buffer_append_char(out, '\n');
    }
}

enum dom_code dom_manifest_encode(const struct dom_manifest *manifest, struct dom_buffer *out,
                                  struct dom_error *err)
{
    char root[DOM_BASE64_LEN(DOM_HASH_SIZE) + 1];
    char hex[65];
    char time[DOM_RFC3339_SIZE];

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
    dom_buffer_append_str(out, "domicile-audit-export/v1\norigin ");
    dom_buffer_append_slice(out, manifest->origin);
    dom_buffer_printf(out, "\nsize %llu\nroot %s\n", (unsigned long long)manifest->head.size, root);
    put_filter(manifest->filter, manifest->head.size, out);
    dom_buffer_printf(out, "format jsonl\ncount %llu\nbytes %llu\nsha256 %s\ntime %s\n",
                      (unsigned long long)manifest->stats->count,
                      (unsigned long long)manifest->stats->bytes, hex, time);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a manifest") : DOM_OK;
}
