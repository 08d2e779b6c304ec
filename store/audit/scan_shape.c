/* Scanning an entry by its likeness to one that was scanned before. */
#include "store/audit/event.h"
#include "store/audit/json_internal.h"
#include "store/audit/scan.h"

/* What a value is: a text, one of the head's, or a number. */
enum slot {
    SLOT_NONE,
#define X(field, parent, member) SLOT_##field,
    DOM_ENTRY_HEAD_TEXTS(X)
#undef X
        SLOT_TIME,
    SLOT_VERSION,
    SLOT_POLICY_VERSION,
    SLOT_OTHER_NUMBER,
};

#define NONE           UINT16_MAX
#define MISSES_MAX     64U
#define PAUSED_ENTRIES 1024U

/* ---- comparing ------------------------------------------------------------------------------ */

static inline bool is_number(uint8_t slot)
{
    return slot >= SLOT_TIME;
}

/* How many bytes are the same. */
static inline size_t same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t at = 0;

#ifdef __SSE2__
    for (; len - at >= 16; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + at));
        __m128i y = _mm_loadu_si128((const __m128i *)(const void *)(b + at));
        unsigned equal = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y));
        if (equal != 0xFFFF) {
            return at + (unsigned)__builtin_ctz(~equal);
        }
    }
#endif
    while (at < len && a[at] == b[at]) {
        at++;
    }
    return at;
}

/* An integer in its only spelling; NULL when it is none. */
static const uint8_t *integer(const uint8_t *at, const uint8_t *end, int64_t *value)
{
    bool negative = at < end && *at == '-';
    const uint8_t *digits = negative ? at + 1 : at;
    const uint8_t *stop = digits;
    uint64_t v = 0;

    while (stop < end && *stop >= '0' && *stop <= '9' && stop - digits < 17) {
        v = v * 10 + (uint64_t)(*stop++ - '0');
    }
    if (stop == digits || stop - digits > 16 || v > (uint64_t)DOM_AUDIT_INTEGER_MAX ||
        (*digits == '0' && (stop - digits > 1 || negative))) {
        return NULL;
    }
    *value = negative ? -(int64_t)v : (int64_t)v;
    return stop;
}

struct match {
    const uint8_t *at[DOM_SHAPE_VALUES_MAX + 1]; /* where the entry begins, and each value ends */
    int64_t numbers[3];
};

/* The entry's value that stands where `i` does in the shape: to where it goes. NULL: it is none. */
static const uint8_t *other_value(const struct dom_entry_shape *shape, unsigned i,
                                  const uint8_t *begin, const uint8_t *end, struct match *m)
{
    int64_t value = 0;

    if (!is_number(shape->slot[i])) {
        /* From its begin: half an escape may be the same in both. */
        return dom_json_skip_plain(begin, end);
    }
    const uint8_t *stop = integer(begin, end, &value);
    if (shape->slot[i] < SLOT_OTHER_NUMBER) {
        m->numbers[shape->slot[i] - SLOT_TIME] = value;
    }
    return stop;
}

/* Byte `at` of the shape is byte `at + shift` of the entry. */
static bool match_shape(const struct dom_entry_shape *shape, struct dom_slice entry,
                        struct match *m)
{
    const uint8_t *end = entry.data + entry.len;
    const uint8_t *base = entry.data; /* plus `shift`: where byte 0 of the shape would be */
    ptrdiff_t shift = 0;
    size_t at = 0;
    unsigned i = 0;

    memcpy(m->numbers, shape->numbers, sizeof(m->numbers));
    m->at[0] = entry.data;
    for (;;) {
        const uint8_t *here = base + ((ptrdiff_t)at + shift);
        size_t len = shape->len - at;
        size_t rest = (size_t)(end - here);
        at += same_bytes(shape->bytes + at, here, len < rest ? len : rest);
        for (; i < shape->num_values && shape->end[i] < at; i++) {
            m->at[i + 1] = base + (shape->end[i] + shift);
        }
        if (at == shape->len) {
            return end - base == (ptrdiff_t)at + shift;
        }
        if (i == shape->num_values || at < shape->begin[i]) {
            return false; /* they differ beside the values */
        }
        const uint8_t *stop =
            other_value(shape, i, base + (shape->begin[i] + shift), end, m);
        if (stop == NULL) {
            return false;
        }
        at = shape->end[i];
        shift = (stop - base) - (ptrdiff_t)at;
        m->at[++i] = stop;
    }
}

static size_t text_place(unsigned slot)
{
    static const size_t s_places[] = {0,
#define X(field, parent, member) offsetof(struct dom_entry_head, field),
                                      DOM_ENTRY_HEAD_TEXTS(X)
#undef X
    };
    return s_places[slot];
}

/* Where the piece between value i and the one before begins in the shape. */
static size_t piece_begin(const struct dom_entry_shape *shape, unsigned i)
{
    return i == 0 ? 0 : shape->end[i - 1];
}

static void fill_head(const struct dom_entry_shape *shape, const struct match *m,
                      struct dom_entry_head *head)
{
    struct dom_slice *lists[] = {
#define X(field, parent, member) &head->field,
        DOM_ENTRY_HEAD_LISTS(X)
#undef X
    };

    memset(head, 0, sizeof(*head));
    head->time_ms = m->numbers[0];
    head->version = m->numbers[1];
    head->policy_version = m->numbers[2];
    for (unsigned k = 0; k < shape->num_head; k++) {
        unsigned i = shape->head[k];
        const uint8_t *begin = m->at[i] + (shape->begin[i] - piece_begin(shape, i));
        struct dom_slice text = dom_slice_of(begin, (size_t)(m->at[i + 1] - begin));
        memcpy((char *)head + text_place(shape->slot[i]), &text, sizeof(text));
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const uint16_t *list = shape->lists[i];
        if (list[0] != NONE) {
            const uint8_t *begin = m->at[list[0]] + list[1];
            *lists[i] = dom_slice_of(begin, (size_t)(m->at[list[2]] + list[3] - begin));
        }
    }
}

/* ---- keeping -------------------------------------------------------------------------------- */

/* Behind a text that begins at at[0]; the entry is canonical. */
static const uint8_t *text_end(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != '"') {
        at += *at == '\\' ? 2 : 1;
    }
    return at;
}

static uint8_t slot_of_text(const struct dom_entry_head *head, const uint8_t *text)
{
#define X(field, parent, member)      \
    if (head->field.data == text) {   \
        return (uint8_t)SLOT_##field; \
    }
    DOM_ENTRY_HEAD_TEXTS(X)
#undef X
    return SLOT_NONE;
}

/* Which number of the head stands behind this piece. Told by where it stands: at the top level, or
 * in the object `policy`; the scan has kept the same ones. */
static uint8_t slot_of_number(struct dom_slice piece, unsigned depth, bool in_policy)
{
    static const struct {
        const char *end;
        unsigned depth;
        uint8_t slot;
    } s_numbers[] = {{"\"time\":", 1, SLOT_TIME},
                     {"\"v\":", 1, SLOT_VERSION},
                     {"\"version\":", 2, SLOT_POLICY_VERSION}};

    for (size_t i = 0; i < sizeof(s_numbers) / sizeof(s_numbers[0]); i++) {
        size_t len = strlen(s_numbers[i].end);
        if (depth == s_numbers[i].depth && piece.len >= len && (depth == 1 || in_policy) &&
            memcmp(piece.data + piece.len - len, s_numbers[i].end, len) == 0) {
            return s_numbers[i].slot;
        }
    }
    return SLOT_OTHER_NUMBER;
}

struct keeper {
    struct dom_entry_shape *shape;
    const struct dom_entry_head *head;
    const uint8_t *entry;
    const uint8_t *begin; /* of the piece at hand */
    const uint8_t *at;
    unsigned depth;
    bool in_array[DOM_SCAN_DEPTH_MAX + 1];
    bool in_policy; /* in the object of that name at the top level */
};

/* The value at k->at ends at `end`. False when the shape is full. */
static bool keep_value(struct keeper *k, const uint8_t *end, bool is_text)
{
    struct dom_entry_shape *shape = k->shape;
    unsigned i = shape->num_values;
    bool in_object = !k->in_array[k->depth];
    struct dom_slice piece = dom_slice_of(k->begin, (size_t)(k->at - k->begin));

    if (i == DOM_SHAPE_VALUES_MAX) {
        return false;
    }
    shape->begin[i] = (uint16_t)(k->at - k->entry);
    shape->end[i] = (uint16_t)(end - k->entry);
    shape->slot[i] = is_text     ? slot_of_text(k->head, k->at)
                     : in_object ? slot_of_number(piece, k->depth, k->in_policy)
                                 : (uint8_t)SLOT_OTHER_NUMBER;
    if (is_text && shape->slot[i] != SLOT_NONE) {
        if (shape->num_head == DOM_SHAPE_HEAD_MAX) {
            return false;
        }
        shape->head[shape->num_head++] = (uint8_t)i;
    }
    shape->num_values++;
    k->begin = end;
    k->at = end;
    return true;
}

/* A bracket: the depth, and whether a list of the head begins or ends here. */
static void keep_bracket(struct keeper *k)
{
    const struct dom_slice lists[] = {
#define X(field, parent, member) k->head->field,
        DOM_ENTRY_HEAD_LISTS(X)
#undef X
    };
    bool opens = *k->at == '{' || *k->at == '[';

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (lists[i].len > 0 && lists[i].data + (opens ? 0 : lists[i].len - 1) == k->at) {
            uint16_t *place = k->shape->lists[i] + (opens ? 0 : 2);
            place[0] = (uint16_t)k->shape->num_values;
            place[1] = (uint16_t)(k->at - k->begin + (opens ? 0 : 1));
        }
    }
    if (!opens) {
        k->in_policy = k->in_policy && k->depth > 2;
        k->depth--;
        return;
    }
    static const char s_policy[] = "\"policy\":";
    const size_t len = sizeof(s_policy) - 1;
    if (k->depth == 1 && !k->in_array[1]) {
        k->in_policy = *k->at == '{' && (size_t)(k->at - k->begin) >= len &&
                       memcmp(k->at - len, s_policy, len) == 0;
    }
    k->in_array[++k->depth] = *k->at == '[';
}

/* Takes the entry, which was scanned into `head`, apart. False when it does not fit. */
static bool keep_shape(struct dom_entry_shape *shape, struct dom_slice entry,
                       const struct dom_entry_head *head)
{
    struct keeper k = {.shape = shape,
                       .head = head,
                       .entry = entry.data,
                       .begin = entry.data,
                       .at = entry.data};
    const uint8_t *end = entry.data + entry.len;

    if (entry.len > DOM_SHAPE_BYTES_MAX) {
        return false;
    }
    shape->num_values = 0;
    shape->num_head = 0;
    shape->numbers[0] = head->time_ms;
    shape->numbers[1] = head->version;
    shape->numbers[2] = head->policy_version;
    memset(shape->lists, 0xFF, sizeof(shape->lists));
    while (k.at < end) {
        uint8_t c = *k.at;
        if (c == '"') {
            const uint8_t *stop = text_end(k.at + 1, end);
            bool is_key = stop + 1 < end && stop[1] == ':';
            k.at++;
            if (is_key) {
                k.at = stop + 1;
            } else if (!keep_value(&k, stop, true)) {
                return false;
            } else {
                k.at++; /* over the closing quote, which the next piece begins with */
            }
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            const uint8_t *stop = k.at + 1;
            while (stop < end && *stop >= '0' && *stop <= '9') {
                stop++;
            }
            if (!keep_value(&k, stop, false)) {
                return false;
            }
        } else {
            if (c == '{' || c == '[' || c == '}' || c == ']') {
                keep_bracket(&k);
            }
            k.at++;
        }
    }
    if (shape->num_values == 0 || k.begin == end) {
        return false;
    }
    memcpy(shape->bytes, entry.data, entry.len);
    shape->len = (uint16_t)entry.len;
    return true;
}

/* ---- scanning ------------------------------------------------------------------------------- */

static void move_to_front(struct dom_entry_shapes *shapes, unsigned place)
{
    uint8_t number = shapes->order[place];

    memmove(shapes->order + 1, shapes->order, place);
    shapes->order[0] = number;
}

static bool find_shape(struct dom_entry_shapes *shapes, struct dom_slice entry,
                       struct dom_entry_head *head)
{
    struct match m;

    for (unsigned i = 0; i < DOM_SCAN_SHAPES && shapes->order[i] != 0; i++) {
        const struct dom_entry_shape *shape = &shapes->shapes[shapes->order[i] - 1];
        if (match_shape(shape, entry, &m)) {
            fill_head(shape, &m, head);
            move_to_front(shapes, i);
            return true;
        }
    }
    return false;
}

/* Puts the entry's shape in the place of the one that was used least lately. */
static void add_shape(struct dom_entry_shapes *shapes, struct dom_slice entry,
                      const struct dom_entry_head *head)
{
    unsigned place = 0;

    while (place < DOM_SCAN_SHAPES - 1 && shapes->order[place] != 0) {
        place++;
    }
    if (shapes->order[place] == 0) {
        shapes->order[place] = (uint8_t)(place + 1);
    }
    struct dom_entry_shape *shape = &shapes->shapes[shapes->order[place] - 1];
    if (!keep_shape(shape, entry, head)) {
        shape->num_values = 0; /* it matches nothing but the empty entry, which is not looked for */
        shape->len = 0;
        return;
    }
    move_to_front(shapes, place);
}

enum dom_code dom_entry_scan_like(struct dom_entry_shapes *shapes, struct dom_slice entry,
                                  struct dom_entry_head *head, struct dom_error *err)
{
    if (shapes->paused > 0) {
        shapes->paused--;
        return dom_entry_scan(entry, head, err);
    }
    if (entry.len > 0 && find_shape(shapes, entry, head)) {
        shapes->hits++;
        return DOM_OK;
    }
    enum dom_code rc = dom_entry_scan(entry, head, err);
    if (rc != DOM_OK) {
        return rc;
    }
    add_shape(shapes, entry, head);
    if (++shapes->misses == MISSES_MAX) {
        shapes->paused = shapes->hits < 2 * MISSES_MAX ? PAUSED_ENTRIES : 0;
        shapes->misses = 0;
        shapes->hits = 0;
    }
    return rc;
}
