#include "store/audit/export.h"

#include "base/macros.h"

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

const char *dom_export_key_name(enum dom_export_key key)
{
    return s_keys[key];
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

enum dom_code dom_log_walk(const struct dom_log_walk *walk, each_fn *each, void *arg,
                           struct dom_error *err)
{
    const struct dom_export_filter *filter = walk->filter;
    struct dom_buffer bundle = {0};
    uint64_t size = walk->tiledir->size;
    uint64_t end = filter->end < size ? filter->end : size;
    enum dom_code rc = DOM_OK;
    struct dom_error own = {0};

    err = err == NULL ? &own : err;
    for (uint64_t n = filter->first / DOM_TILE_WIDTH; n * DOM_TILE_WIDTH < end && rc == DOM_OK;
         n++) {
        rc = each_in_bundle(walk->tiledir, n, filter, &bundle, each, arg, err);
        uint64_t at = (n + 1) * DOM_TILE_WIDTH;
        if (rc == DOM_OK && walk->progress != NULL) {
            walk->progress(walk->progress_arg, (at < end ? at : end) - filter->first,
                           end - filter->first);
        }
    }
    dom_buffer_cleanup(&bundle);
    return rc;
}

enum dom_code dom_log_each(const struct dom_tiledir *tiledir,
                           const struct dom_export_filter *filter, each_fn *each, void *arg,
                           struct dom_error *err)
{
    struct dom_log_walk walk = {.tiledir = tiledir, .filter = filter};
    return dom_log_walk(&walk, each, arg, err);
}
