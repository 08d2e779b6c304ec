#include "store/audit/filter.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/macros.h"
#include "store/audit/json_internal.h"

static const char *const s_keys[] = {
#define X(text, name, how, doc) text,
    DOM_EXPORT_KEYS(X)
#undef X
};
static const char *const s_docs[] = {
#define X(text, name, how, doc) doc,
    DOM_EXPORT_KEYS(X)
#undef X
};
_Static_assert(DOM_ARRAY_LEN(s_keys) == DOM_EXPORT_KEY_COUNT, "a key's count was forgotten");

const char *dom_export_key_name(enum dom_export_key key)
{
    return s_keys[key];
}

const char *dom_export_key_doc(enum dom_export_key key)
{
    return s_docs[key];
}

/* ---- lists of an entry ---------------------------------------------------------------------- */

/* The text that begins at rest->data[0], a quote; steps behind it. The list was scanned as
 * canonical JSON, so its quotes pair. */
static struct dom_slice take_text(struct dom_slice *rest)
{
    const uint8_t *begin = rest->data + 1;
    const uint8_t *end = rest->data + rest->len;
    const uint8_t *at = dom_json_skip_plain(begin, end);

    while (at < end && *at != '"') {
        at += *at == '\\' ? 2 : 1;
        at = at < end ? dom_json_skip_plain(at, end) : end;
    }
    struct dom_slice text = dom_slice_of(begin, (size_t)(at - begin));
    at += at < end ? 1 : 0;
    *rest = dom_slice_of(at, (size_t)(end - at));
    return text;
}

static bool next_text(struct dom_slice *list, struct dom_slice *text)
{
    while (list->len > 0 && list->data[0] != '"') {
        *list = dom_slice_of(list->data + 1, list->len - 1);
    }
    if (list->len == 0) {
        return false;
    }
    *text = take_text(list);
    return true;
}

/* One object of a list: its texts by the first letter of their member, which differ in `fields`
 * (c, h, n) and in `replicas` (basis, region, to). */
struct item {
    struct dom_slice of[26];
};

static bool next_item(struct dom_slice *list, struct item *item)
{
    struct dom_slice name = {0};
    bool any = false;

    memset(item, 0, sizeof(*item));
    while (list->len > 0) {
        uint8_t c = list->data[0];
        if (c == '"') {
            struct dom_slice text = take_text(list);
            if (list->len > 0 && list->data[0] == ':') {
                name = text;
            } else if (name.len > 0 && name.data[0] >= 'a' && name.data[0] <= 'z') {
                item->of[name.data[0] - 'a'] = text;
                any = true;
            }
            continue;
        }
        *list = dom_slice_of(list->data + 1, list->len - 1);
        if (c == '}' && any) {
            return true;
        }
    }
    return false;
}

/* ---- values --------------------------------------------------------------------------------- */

/* Where a key's values stand in the head: places one past their offset, 0 for none. */
#define AT(field) (1 + offsetof(struct dom_entry_head, field))
static const struct source {
    size_t text;   /* one value */
    size_t second; /* and another; not for keys of an index's sets */
    size_t list;   /* and one of each item */
    char item;     /* first letter of the member that is the value there; 0: the item itself */
} s_sources[DOM_EXPORT_KEY_COUNT] = {
    [DOM_EXPORT_from] = {.text = AT(from)},
    [DOM_EXPORT_to] = {.text = AT(to), .list = AT(replicas), .item = 't'},
    [DOM_EXPORT_pair] = {.list = AT(replicas), .item = 't'},
    [DOM_EXPORT_from_region] = {.text = AT(from_region)},
    [DOM_EXPORT_to_region] = {.text = AT(to_region), .list = AT(replicas), .item = 'r'},
    [DOM_EXPORT_service] = {.text = AT(actor_id)},
    [DOM_EXPORT_country] = {.text = AT(actor_country)},
    [DOM_EXPORT_kind] = {.text = AT(kind)},
    [DOM_EXPORT_home] = {.text = AT(home)},
    [DOM_EXPORT_outcome] = {.text = AT(effect)},
    [DOM_EXPORT_reason] = {.text = AT(reason)},
    [DOM_EXPORT_type] = {.text = AT(type)},
    [DOM_EXPORT_op] = {.text = AT(op)},
    [DOM_EXPORT_purpose] = {.text = AT(purpose)},
    [DOM_EXPORT_rule] = {.list = AT(rules)},
    [DOM_EXPORT_version] = {0}, /* made of an integer */
    [DOM_EXPORT_field] = {.list = AT(fields), .item = 'n'},
    [DOM_EXPORT_class] = {.list = AT(fields), .item = 'c'},
    [DOM_EXPORT_withheld] = {.list = AT(fields), .item = 'n'},
    [DOM_EXPORT_record] = {.text = AT(record_id)},
    [DOM_EXPORT_user] = {.text = AT(user)},
    [DOM_EXPORT_subject] = {.text = AT(record_id), .second = AT(user)},
    [DOM_EXPORT_trace] = {.text = AT(trace)},
    [DOM_EXPORT_id] = {.text = AT(id)},
};

static struct dom_slice head_at(const struct dom_entry_head *head, size_t place)
{
    struct dom_slice text = {0};

    if (place > 0) {
        memcpy(&text, (const char *)head + place - 1, sizeof(text));
    }
    return text;
}

static struct dom_slice made(const struct dom_entry_values *v, int len)
{
    return len > 0 && (size_t)len < sizeof(v->text) ? dom_slice_of(v->text, (size_t)len)
                                                    : dom_slice_of(NULL, 0);
}

static struct dom_slice pair_of(struct dom_entry_values *v, struct dom_slice to)
{
    struct dom_slice from = v->head->from;

    if (from.len == 0 || to.len == 0 || from.len + to.len >= sizeof(v->text)) {
        return dom_slice_of(NULL, 0);
    }
    return made(v, snprintf(v->text, sizeof(v->text), "%.*s:%.*s", (int)from.len,
                            (const char *)from.data, (int)to.len, (const char *)to.data));
}

/* The service's own name in "spiffe://.../NAME" or "insecure:NAME"; empty when the id is but a
 * name.
 */
static struct dom_slice short_name(struct dom_slice id)
{
    size_t at = id.len;

    while (at > 0 && id.data[at - 1] != '/' && id.data[at - 1] != ':') {
        at--;
    }
    return at == 0 ? dom_slice_of(NULL, 0) : dom_slice_of(id.data + at, id.len - at);
}

/* The value that does not come from a list: number 0 or 1; empty when there is none. */
static struct dom_slice plain_value(struct dom_entry_values *v, unsigned number)
{
    const struct source *source = &s_sources[v->key];

    if (number == 0 && v->key == DOM_EXPORT_pair) {
        return pair_of(v, v->head->to);
    }
    if (number == 0 && v->key == DOM_EXPORT_version && v->head->policy_version >= 0) {
        return made(v,
                    snprintf(v->text, sizeof(v->text), "%lld", (long long)v->head->policy_version));
    }
    if (number == 1 && v->key == DOM_EXPORT_service) {
        return short_name(v->head->actor_id);
    }
    return head_at(v->head, number == 0 ? source->text : source->second);
}

static struct dom_slice item_value(struct dom_entry_values *v, const struct item *item)
{
    struct dom_slice value = item->of[s_sources[v->key].item - 'a'];
    struct dom_slice handling = item->of['h' - 'a'];

    if (v->key == DOM_EXPORT_withheld && !dom_slice_eq_str(handling, "redact") &&
        !dom_slice_eq_str(handling, "drop")) {
        return dom_slice_of(NULL, 0);
    }
    return v->key == DOM_EXPORT_pair ? pair_of(v, value) : value;
}

void dom_entry_values_init(struct dom_entry_values *values, const struct dom_entry_head *head,
                           enum dom_export_key key)
{
    values->head = head;
    values->key = key;
    values->step = 0;
    values->rest = head_at(head, s_sources[key].list);
}

bool dom_entry_values_next(struct dom_entry_values *values, struct dom_slice *value)
{
    struct item item;

    while (values->step < 2) {
        *value = plain_value(values, values->step++);
        if (value->len > 0) {
            return true;
        }
    }
    if (s_sources[values->key].item == 0) {
        return next_text(&values->rest, value);
    }
    while (next_item(&values->rest, &item)) {
        *value = item_value(values, &item);
        if (value->len > 0) {
            return true;
        }
    }
    *value = dom_slice_of(NULL, 0);
    return false;
}

size_t dom_entry_values_parts(const struct dom_entry_head *head, enum dom_export_key key,
                              struct dom_slice *parts)
{
    if (key == DOM_EXPORT_version) {
        return 0;
    }
    parts[0] = head_at(head, s_sources[key].text);
    parts[1] = head_at(head, s_sources[key].list);
    if (key != DOM_EXPORT_pair) {
        return 2;
    }
    parts[0] = head->from;
    parts[2] = head->to;
    return 3;
}

/* ---- the filter ----------------------------------------------------------------------------- */

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

/* Whether the value is one of those that the filter names for this key. */
static bool is_named(const struct dom_export_filter *filter, enum dom_export_key key,
                     struct dom_slice value)
{
    for (size_t i = 0; i < filter->num_where; i++) {
        if (filter->where[i].key == key && dom_slice_eq(filter->where[i].value, value)) {
            return true;
        }
    }
    return false;
}

static bool match_key(const struct dom_export_filter *filter, enum dom_export_key key,
                      const struct dom_entry_head *head)
{
    struct dom_entry_values values;
    struct dom_slice value;
    bool any = false;

    dom_entry_values_init(&values, head, key);
    while (dom_entry_values_next(&values, &value)) {
        any = true;
        if (is_named(filter, key, value)) {
            return true;
        }
    }
    return !any && is_named(filter, key, dom_slice_of(NULL, 0));
}

bool dom_export_filter_match(const struct dom_export_filter *filter, uint64_t index,
                             const struct dom_entry_head *head)
{
    uint32_t matched = 0;

    if (index < filter->first || index >= filter->end ||
        (filter->from_ms != 0 && head->time_ms < filter->from_ms) ||
        (filter->until_ms != 0 && head->time_ms >= filter->until_ms)) {
        return false;
    }
    for (size_t i = 0; i < filter->num_where; i++) {
        uint32_t bit = UINT32_C(1) << filter->where[i].key;
        if ((matched & bit) == 0 && !match_key(filter, filter->where[i].key, head)) {
            return false;
        }
        matched |= bit;
    }
    return true;
}
