/* A group's summary, made from its bundles. */
#include "store/audit/index.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/macros.h"
#include "store/audit/bundle.h"
#include "store/audit/index_internal.h"

#define SLOTS (2U * DOM_INDEX_VALUES_MAX)
#define FREE  UINT16_MAX

static const uint8_t s_how[DOM_EXPORT_KEY_COUNT] = {
#define X(text, name, how, doc) DOM_INDEX_##how,
    DOM_EXPORT_KEYS(X)
#undef X
};

/* Keys whose values go into the rows; `subject` is the two others together. */
static const enum dom_export_key s_hashed[] = {DOM_EXPORT_subject, DOM_EXPORT_trace};

struct value {
    uint8_t key;
    uint8_t len;
    uint32_t at; /* in texts */
    struct dom_index_mask mask;
};

struct range {
    uint64_t low;
    uint64_t high;
};

/* What a key's values were made from lately, in the bundle at hand. */
#define SEEN_WAYS 8U
struct seen {
    size_t num_parts; /* 0: nothing */
    struct dom_slice parts[DOM_ENTRY_PARTS_MAX];
};

struct dom_index_builder {
    uint64_t group;
    unsigned width;
    uint32_t open_keys;
    uint32_t num_values;
    struct dom_buffer texts;
    struct range times[DOM_INDEX_GROUP];
    struct range ids[DOM_INDEX_GROUP];
    uint16_t recent[DOM_EXPORT_KEY_COUNT]; /* value that was seen last; FREE: none */
    struct dom_entry_shapes shapes;
    struct seen seen[DOM_EXPORT_KEY_COUNT][SEEN_WAYS];
    int64_t seen_version;
    uint16_t slots[SLOTS];
    struct value values[DOM_INDEX_VALUES_MAX];
    struct dom_index_mask rows[DOM_INDEX_BLOOM_ROWS];
};

enum dom_index_how dom_index_how(enum dom_export_key key)
{
    return (enum dom_index_how)s_how[key];
}

/* FNV-1a with the last step of MurmurHash3 behind it: the file's format. */
static uint64_t hash_of(uint8_t tag, struct dom_slice value)
{
    uint64_t hash = (UINT64_C(0xcbf29ce484222325) ^ tag) * UINT64_C(0x100000001b3);

    for (size_t i = 0; i < value.len; i++) {
        hash = (hash ^ value.data[i]) * UINT64_C(0x100000001b3);
    }
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}

void dom_index_rows(uint32_t *rows, enum dom_export_key key, struct dom_slice value)
{
    uint64_t hash = hash_of(key == DOM_EXPORT_trace ? 't' : 's', value);
    uint32_t at = (uint32_t)hash;
    uint32_t step = (uint32_t)(hash >> 32) | 1U;

    for (unsigned i = 0; i < DOM_INDEX_BLOOM_PROBES; i++) {
        rows[i] = at % DOM_INDEX_BLOOM_ROWS;
        at += step;
    }
}

bool dom_index_id_time(struct dom_slice id, uint64_t *time)
{
    *time = 0;
    if (id.len < 13 || id.data[8] != '-') {
        return false;
    }
    for (size_t i = 0; i < 13; i++) {
        uint8_t c = id.data[i];
        bool digit = c >= '0' && c <= '9';
        if (i == 8) {
            continue;
        }
        if (!digit && (c < 'a' || c > 'f')) {
            return false;
        }
        *time = *time << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

struct dom_index_builder *dom_index_builder_new(void)
{
    struct dom_index_builder *builder = calloc(1, sizeof(*builder));

    DOM_ASSERT(builder != NULL);
    dom_index_builder_begin(builder, 0);
    return builder;
}

void dom_index_builder_destroy(struct dom_index_builder *builder)
{
    if (builder != NULL) {
        dom_buffer_cleanup(&builder->texts);
        free(builder);
    }
}

void dom_index_builder_begin(struct dom_index_builder *builder, uint64_t group)
{
    builder->group = group;
    builder->width = 0;
    builder->open_keys = 0;
    builder->num_values = 0;
    dom_buffer_clear(&builder->texts);
    memset(builder->recent, 0xFF, sizeof(builder->recent));
    memset(builder->slots, 0xFF, sizeof(builder->slots));
    memset(builder->rows, 0, sizeof(builder->rows));
}

static void set_bit(struct dom_index_mask *mask, unsigned i)
{
    mask->bits[i / 8] |= (uint8_t)(1U << (i % 8));
}

static void widen(struct range *range, uint64_t value)
{
    range->low = value < range->low ? value : range->low;
    range->high = value > range->high ? value : range->high;
}

static bool is_value(const struct dom_index_builder *b, uint16_t at, enum dom_export_key key,
                     struct dom_slice text)
{
    const struct value *v = &b->values[at];

    return v->key == key && dom_slice_eq(dom_slice_of(b->texts.data + v->at, v->len), text);
}

static void add_value(struct dom_index_builder *b, enum dom_export_key key, struct dom_slice text)
{
    uint32_t bit = UINT32_C(1) << key;

    if ((b->open_keys & bit) != 0) {
        return;
    }
    /* Entries in a row mostly say the same. */
    if (b->recent[key] != FREE && is_value(b, b->recent[key], key, text)) {
        set_bit(&b->values[b->recent[key]].mask, b->width);
        return;
    }
    size_t slot = (size_t)(hash_of((uint8_t)key, text) % SLOTS);
    for (; b->slots[slot] != FREE; slot = (slot + 1) % SLOTS) {
        if (is_value(b, b->slots[slot], key, text)) {
            b->recent[key] = b->slots[slot];
            set_bit(&b->values[b->slots[slot]].mask, b->width);
            return;
        }
    }
    if (b->num_values == DOM_INDEX_VALUES_MAX || text.len > DOM_INDEX_VALUE_BYTES_MAX) {
        b->open_keys |= bit;
        return;
    }
    struct value *v = &b->values[b->num_values];
    *v =
        (struct value){.key = (uint8_t)key, .len = (uint8_t)text.len, .at = (uint32_t)b->texts.len};
    dom_buffer_append_slice(&b->texts, text);
    set_bit(&v->mask, b->width);
    b->recent[key] = (uint16_t)b->num_values;
    b->slots[slot] = (uint16_t)b->num_values++;
}

static void add_rows(struct dom_index_builder *b, enum dom_export_key key, struct dom_slice text)
{
    uint32_t rows[DOM_INDEX_BLOOM_PROBES];

    dom_index_rows(rows, key, text);
    for (unsigned i = 0; i < DOM_INDEX_BLOOM_PROBES; i++) {
        set_bit(&b->rows[rows[i]], b->width);
    }
}

/* Whether the key's values of this entry are those of one shortly before it: nearly always, as
 * traffic repeats itself, and ten times cheaper to see than to take them apart. */
static bool is_repeated(struct dom_index_builder *b, const struct dom_entry_head *head,
                        enum dom_export_key key)
{
    struct seen now = {0};
    size_t mix = 0;

    if (key == DOM_EXPORT_version) {
        bool same = b->seen_version == head->policy_version;
        b->seen_version = head->policy_version;
        return same;
    }
    now.num_parts = dom_entry_values_parts(head, key, now.parts);
    for (size_t i = 0; i < now.num_parts; i++) {
        struct dom_slice part = now.parts[i];
        mix += part.len == 0 ? 0 : part.len + part.data[0] + 3U * part.data[part.len / 2];
    }
    struct seen *seen = &b->seen[key][mix % SEEN_WAYS];
    bool same = now.num_parts > 0 && seen->num_parts == now.num_parts;
    for (size_t i = 0; i < now.num_parts && same; i++) {
        same = dom_slice_eq(seen->parts[i], now.parts[i]);
    }
    *seen = now;
    return same;
}

static void add_entry(struct dom_index_builder *b, const struct dom_entry_head *head)
{
    struct dom_entry_values values;
    struct dom_slice text;
    uint64_t id_time = 0;

    widen(&b->times[b->width], head->time_ms < 0 ? 0 : (uint64_t)head->time_ms);
    if (dom_index_id_time(head->id, &id_time)) {
        widen(&b->ids[b->width], id_time);
    } else {
        b->ids[b->width] = (struct range){.low = 0, .high = UINT64_MAX};
    }
    for (unsigned key = 0; key < DOM_EXPORT_KEY_COUNT; key++) {
        if (dom_index_how((enum dom_export_key)key) != DOM_INDEX_SET ||
            is_repeated(b, head, (enum dom_export_key)key)) {
            continue;
        }
        dom_entry_values_init(&values, head, (enum dom_export_key)key);
        while (dom_entry_values_next(&values, &text)) {
            add_value(b, (enum dom_export_key)key, text);
        }
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_hashed); i++) {
        dom_entry_values_init(&values, head, s_hashed[i]);
        while (dom_entry_values_next(&values, &text)) {
            add_rows(b, s_hashed[i], text);
        }
    }
}

void dom_index_builder_skip(struct dom_index_builder *builder)
{
    DOM_ASSERT(builder->width < DOM_INDEX_GROUP);
    builder->times[builder->width] = (struct range){.low = UINT64_MAX};
    builder->ids[builder->width] = (struct range){.low = UINT64_MAX};
    builder->width++;
}

enum dom_code dom_index_builder_add(struct dom_index_builder *builder, struct dom_slice bundle,
                                    struct dom_error *err)
{
    struct dom_bundle_iter iter;
    struct dom_entry_head head;
    struct dom_slice entry;
    bool done = false;

    DOM_ASSERT(builder->width < DOM_INDEX_GROUP);
    builder->times[builder->width] = (struct range){.low = UINT64_MAX};
    builder->ids[builder->width] = (struct range){.low = UINT64_MAX};
    memset(builder->seen, 0, sizeof(builder->seen)); /* of another bundle's bytes and bit */
    builder->seen_version = INT64_MIN;
    dom_bundle_iter_init(&iter, bundle);
    while (iter.position < DOM_TILE_WIDTH) {
        enum dom_code rc = dom_bundle_next(&iter, &entry, &done, err);
        if (rc == DOM_OK && done) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "bundle has too few entries");
        }
        if (rc == DOM_OK) {
            rc = dom_entry_scan_like(&builder->shapes, entry, &head, err);
        }
        if (rc != DOM_OK) {
            return rc;
        }
        add_entry(builder, &head);
    }
    builder->width++;
    return builder->texts.failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for an index")
                                 : DOM_OK;
}

static void put_ranges(struct dom_buffer *out, const struct range *ranges, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        dom_buffer_append_u64be(out, ranges[i].low);
        dom_buffer_append_u64be(out, ranges[i].high);
    }
}

static bool is_open(const struct dom_index_builder *b, const struct value *v)
{
    return (b->open_keys >> v->key & 1U) != 0;
}

enum dom_code dom_index_builder_encode(const struct dom_index_builder *builder,
                                       struct dom_buffer *out, struct dom_error *err)
{
    const struct dom_index_builder *b = builder;
    size_t stride = dom_index_stride(b->width);
    uint32_t num_values = 0;
    uint32_t values_bytes = 0;

    DOM_ASSERT(b->width > 0);
    for (uint32_t i = 0; i < b->num_values; i++) {
        if (!is_open(b, &b->values[i])) {
            num_values++;
            values_bytes += (uint32_t)(2 + b->values[i].len + stride);
        }
    }
    dom_buffer_append_str(out, DOM_INDEX_MAGIC);
    dom_buffer_append_u32be(out, DOM_INDEX_VERSION);
    dom_buffer_append_u32be(out, b->width);
    dom_buffer_append_u64be(out, b->group);
    dom_buffer_append_u32be(out, num_values);
    dom_buffer_append_u32be(out, values_bytes);
    dom_buffer_append_u32be(out, b->open_keys);
    dom_buffer_append_u32be(out, DOM_INDEX_BLOOM_ROWS);
    put_ranges(out, b->times, b->width);
    put_ranges(out, b->ids, b->width);
    for (uint32_t i = 0; i < b->num_values; i++) {
        const struct value *v = &b->values[i];
        if (!is_open(b, v)) {
            dom_buffer_append_char(out, (char)v->key);
            dom_buffer_append_char(out, (char)v->len);
            dom_buffer_append(out, b->texts.data + v->at, v->len);
            dom_buffer_append(out, v->mask.bits, stride);
        }
    }
    for (size_t i = 0; i < DOM_INDEX_BLOOM_ROWS; i++) {
        dom_buffer_append(out, b->rows[i].bits, stride);
    }
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for an index") : DOM_OK;
}
