/* Asking a group's file which bundles may matter. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "store/audit/index_internal.h"

/* What one read takes: all but the rows, nearly always. */
#define FIRST_BYTES (32U << 10)

struct asker {
    const struct dom_export_filter *filter;
    struct dom_index_mask *mask;
    struct dom_index_header header;
    size_t stride;
    int fd;
    uint64_t file_bytes;
    struct dom_buffer bytes; /* header, ranges, values */
};

enum dom_code dom_index_header_parse(struct dom_index_header *header, const uint8_t *bytes,
                                     uint64_t group, uint64_t file_bytes, struct dom_error *err)
{
    if (memcmp(bytes, DOM_INDEX_MAGIC, 8) != 0) {
        return DOM_FAIL(err, DOM_FORMAT, "it is no index");
    }
    uint32_t version = dom_get_u32be(bytes + 8);
    if (version != DOM_INDEX_VERSION || dom_get_u32be(bytes + 36) != DOM_INDEX_BLOOM_ROWS) {
        return DOM_FAIL(err, DOM_FORMAT, "index of version %u; this one knows %u", version,
                        DOM_INDEX_VERSION);
    }
    header->width = dom_get_u32be(bytes + 12);
    header->group = dom_get_u64be(bytes + 16);
    header->num_values = dom_get_u32be(bytes + 24);
    header->values_bytes = dom_get_u32be(bytes + 28);
    header->open_keys = dom_get_u32be(bytes + 32);
    if (header->width == 0 || header->width > DOM_INDEX_GROUP || header->group != group ||
        header->num_values > DOM_INDEX_VALUES_MAX ||
        header->values_bytes > DOM_INDEX_VALUES_BYTES_MAX ||
        file_bytes != dom_index_file_bytes(header)) {
        return DOM_FAIL(err, DOM_CORRUPT, "index is damaged");
    }
    return DOM_OK;
}

static enum dom_code read_at(const struct asker *a, uint64_t at, uint8_t *out, size_t len,
                             struct dom_error *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(a->fd, out + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return DOM_FAIL(err, DOM_IO, "cannot read: %s", got == 0 ? "cut" : strerror(errno));
        }
        done += (size_t)got;
    }
    return DOM_OK;
}

static enum dom_code read_head(struct asker *a, uint64_t group, struct dom_error *err)
{
    struct stat st;

    if (fstat(a->fd, &st) != 0 || st.st_size < (off_t)DOM_INDEX_HEADER_SIZE) {
        return DOM_FAIL(err, DOM_CORRUPT, "index is cut short");
    }
    a->file_bytes = (uint64_t)st.st_size;
    size_t first = a->file_bytes < FIRST_BYTES ? (size_t)a->file_bytes : FIRST_BYTES;
    uint8_t *at = dom_buffer_extend(&a->bytes, first);
    if (at == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    enum dom_code rc = read_at(a, 0, at, first, err);
    if (rc == DOM_OK) {
        rc = dom_index_header_parse(&a->header, a->bytes.data, group, a->file_bytes, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    a->stride = dom_index_stride(a->header.width);
    size_t want = (size_t)a->file_bytes - DOM_INDEX_BLOOM_ROWS * a->stride;
    if (want > first) {
        at = dom_buffer_extend(&a->bytes, want - first);
        rc = at == NULL ? DOM_FAIL(err, DOM_RESOURCE, "out of memory")
                        : read_at(a, first, at, want - first, err);
    }
    return rc;
}

static void clear_bit(struct dom_index_mask *mask, unsigned i)
{
    mask->bits[i / 8] &= (uint8_t) ~(1U << (i % 8));
}

static const uint8_t *range_of(const struct asker *a, bool ids, unsigned bundle)
{
    return a->bytes.data + DOM_INDEX_HEADER_SIZE +
           ((ids ? a->header.width : 0U) + bundle) * DOM_INDEX_RANGE_SIZE;
}

static void select_times(struct asker *a)
{
    uint64_t from = a->filter->from_ms <= 0 ? 0 : (uint64_t)a->filter->from_ms;
    uint64_t until = a->filter->until_ms <= 0 ? 0 : (uint64_t)a->filter->until_ms;

    for (unsigned i = 0; i < a->header.width; i++) {
        const uint8_t *range = range_of(a, false, i);
        if ((from != 0 && dom_get_u64be(range + 8) < from) ||
            (until != 0 && dom_get_u64be(range) >= until)) {
            clear_bit(a->mask, i);
        }
    }
}

static void add_id(struct asker *a, struct dom_index_mask *sum, struct dom_slice id)
{
    uint64_t time = 0;
    bool known = dom_index_id_time(id, &time);

    for (unsigned i = 0; i < a->header.width; i++) {
        const uint8_t *range = range_of(a, true, i);
        if (!known || (dom_get_u64be(range) <= time && time <= dom_get_u64be(range + 8))) {
            sum->bits[i / 8] |= (uint8_t)(1U << (i % 8));
        }
    }
}

static enum dom_code add_hashed(struct asker *a, struct dom_index_mask *sum,
                                enum dom_export_key key, struct dom_slice value,
                                struct dom_error *err)
{
    uint32_t rows[DOM_INDEX_BLOOM_PROBES];
    uint8_t row[DOM_INDEX_MASK_BYTES];
    uint8_t all[DOM_INDEX_MASK_BYTES];
    uint64_t begin = a->file_bytes - DOM_INDEX_BLOOM_ROWS * a->stride;

    dom_index_rows(rows, key, value);
    memset(all, 0xFF, sizeof(all));
    for (unsigned i = 0; i < DOM_INDEX_BLOOM_PROBES; i++) {
        enum dom_code rc = read_at(a, begin + rows[i] * a->stride, row, a->stride, err);
        uint8_t any = 0;
        if (rc != DOM_OK) {
            return rc;
        }
        for (size_t b = 0; b < a->stride; b++) {
            all[b] &= row[b];
            any |= all[b];
        }
        if (any == 0) {
            return DOM_OK;
        }
    }
    for (size_t b = 0; b < a->stride; b++) {
        sum->bits[b] |= all[b];
    }
    return DOM_OK;
}

/* Whether the filter names the value for the key. */
static bool is_named(const struct asker *a, unsigned key, struct dom_slice text)
{
    for (size_t i = 0; i < a->filter->num_where; i++) {
        if ((unsigned)a->filter->where[i].key == key &&
            dom_slice_eq(a->filter->where[i].value, text)) {
            return true;
        }
    }
    return false;
}

/* Walks the values once; sums[key] becomes the bundles that have a value which the filter names. */
static enum dom_code add_values(struct asker *a, struct dom_index_mask *sums, struct dom_error *err)
{
    size_t at = DOM_INDEX_HEADER_SIZE + 2U * DOM_INDEX_RANGE_SIZE * a->header.width;
    size_t end = at + a->header.values_bytes;
    const uint8_t *bytes = a->bytes.data;

    for (uint32_t n = 0; n < a->header.num_values; n++) {
        if (end - at < 2 || end - at - 2 < bytes[at + 1] + a->stride ||
            bytes[at] >= DOM_EXPORT_KEY_COUNT) {
            return DOM_FAIL(err, DOM_CORRUPT, "value %u of the index is damaged", n);
        }
        size_t len = bytes[at + 1];
        if (is_named(a, bytes[at], dom_slice_of(bytes + at + 2, len))) {
            for (size_t b = 0; b < a->stride; b++) {
                sums[bytes[at]].bits[b] |= bytes[at + 2 + len + b];
            }
        }
        at += 2 + len + a->stride;
    }
    return at == end ? DOM_OK : DOM_FAIL(err, DOM_CORRUPT, "bytes behind the index's values");
}

static enum dom_code select_where(struct asker *a, struct dom_error *err)
{
    struct dom_index_mask sums[DOM_EXPORT_KEY_COUNT];
    uint32_t bounded = 0; /* keys that exclude something here */
    uint32_t open = a->header.open_keys;

    memset(sums, 0, sizeof(sums));
    for (size_t i = 0; i < a->filter->num_where; i++) {
        const struct dom_export_where *where = &a->filter->where[i];
        enum dom_code rc = DOM_OK;
        bounded |= UINT32_C(1) << where->key;
        if (where->value.len == 0) {
            open |= UINT32_C(1) << where->key; /* wants entries without a value */
        } else if (dom_index_how(where->key) == DOM_INDEX_BLOOM) {
            rc = add_hashed(a, &sums[where->key], where->key, where->value, err);
        } else if (dom_index_how(where->key) == DOM_INDEX_TIME) {
            add_id(a, &sums[where->key], where->value);
        }
        if (rc != DOM_OK) {
            return rc;
        }
    }
    enum dom_code rc = add_values(a, sums, err);
    for (unsigned key = 0; rc == DOM_OK && key < DOM_EXPORT_KEY_COUNT; key++) {
        if ((bounded & ~open) >> key & 1U) {
            for (unsigned i = 0; i < a->header.width; i++) {
                if (!dom_index_mask_has(&sums[key], i)) {
                    clear_bit(a->mask, i);
                }
            }
        }
    }
    return rc;
}

bool dom_index_helps(const struct dom_export_filter *filter)
{
    return filter->num_where > 0 || filter->from_ms != 0 || filter->until_ms != 0;
}

enum dom_code dom_index_select(const char *dir, uint64_t group,
                               const struct dom_export_filter *filter, struct dom_index_mask *mask,
                               unsigned *widthp, struct dom_error *err)
{
    struct asker a = {.filter = filter, .mask = mask};
    struct dom_error own = {0};
    char relative[DOM_INDEX_PATH_SIZE];
    char path[PATH_MAX];

    err = err == NULL ? &own : err;
    *widthp = 0;
    memset(mask->bits, 0xFF, sizeof(mask->bits));
    int len = snprintf(path, sizeof(path), "%s/%s", dir, dom_index_path(relative, group));
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return DOM_FAIL(err, DOM_INVALID, "%s: path too long", dir);
    }
    a.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (a.fd < 0) {
        return DOM_FAIL(err, errno == ENOENT ? DOM_NOT_FOUND : DOM_IO, "%s: cannot open: %s", path,
                        strerror(errno));
    }
    enum dom_code rc = read_head(&a, group, err);
    if (rc == DOM_OK) {
        select_times(&a);
        rc = select_where(&a, err);
    }
    if (rc == DOM_OK) {
        *widthp = a.header.width;
    } else {
        memset(mask->bits, 0xFF, sizeof(mask->bits));
        (void)dom_error_prefix(err, "%s", path);
    }
    dom_buffer_cleanup(&a.bytes);
    (void)close(a.fd);
    return rc;
}
