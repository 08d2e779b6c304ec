/* Which entries are wanted: ranges of index and time, and conditions on what an entry says.
 *
 * A condition names a key and a value. Some keys have several values in one entry (each rule, each
 * field, each replica abroad); one that is equal is enough.
 *
 * Thread contract: any thread. Pure. Limits: DOM_EXPORT_WHERE_MAX, DOM_FILTER_VALUE_BYTES_MAX.
 */
#ifndef DOM_STORE_AUDIT_FILTER_H
#define DOM_STORE_AUDIT_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"
#include "store/audit/scan.h"

#define DOM_EXPORT_WHERE_MAX 32U
/* A pair of countries or a number, made from an entry's members. */
#define DOM_FILTER_VALUE_BYTES_MAX 288U

/* X(key as users write it, name, how store/audit/index.h keeps it, what it means)
 * SET: few values, kept exactly. BLOOM: many. TIME: its leading digits tell a time. */
#define DOM_EXPORT_KEYS(X)                                                        \
    X("from", from, SET, "country that bytes left")                               \
    X("to", to, SET, "country that bytes went to, by a replica too")              \
    X("pair", pair, SET, "from and to of one transfer: DE:US")                    \
    X("from_region", from_region, SET, "region that bytes left")                  \
    X("to_region", to_region, SET, "region that bytes went to, by a replica too") \
    X("service", service, SET, "who asked: the whole id, or the name at its end") \
    X("country", country, SET, "country that was asked from")                     \
    X("kind", kind, SET, "of the record")                                         \
    X("home", home, SET, "of the record")                                         \
    X("outcome", outcome, SET, "allow, deny, modify")                             \
    X("reason", reason, SET, "PERMIT, or why not")                                \
    X("type", type, SET, "of the entry: access, deny, policy, ...")               \
    X("op", op, SET, "read, write, ...")                                          \
    X("purpose", purpose, SET, "of the request")                                  \
    X("rule", rule, SET, "a rule that decided")                                   \
    X("version", version, SET, "of the policy that decided")                      \
    X("field", field, SET, "a field that was touched")                            \
    X("class", class, SET, "class of a field that was touched")                   \
    X("withheld", withheld, SET, "a field that was redacted or dropped")          \
    X("record", record, BLOOM, "keyed hash of the record")                        \
    X("user", user, BLOOM, "keyed hash of the person that asked")                 \
    X("subject", subject, BLOOM, "either of the two")                             \
    X("trace", trace, BLOOM, "trace id")                                          \
    X("id", id, TIME, "of the entry")

enum dom_export_key {
#define X(text, name, how, doc) DOM_EXPORT_##name,
    DOM_EXPORT_KEYS(X)
#undef X
};
#define DOM_EXPORT_KEY_COUNT 24

/* ---- what an entry says ------------------------------------------------------------------- */

/* Goes through the values that an entry has for a key. Begins with dom_entry_values_init. */
struct dom_entry_values {
    const struct dom_entry_head *head;
    enum dom_export_key key;
    unsigned step;         /* values given before the list */
    struct dom_slice rest; /* of the list */
    char text[DOM_FILTER_VALUE_BYTES_MAX];
};
void dom_entry_values_init(struct dom_entry_values *values, const struct dom_entry_head *head,
                           enum dom_export_key key);
/* False when there are no more. The value lies in the entry (escapes and all) or in *values, until
 * the next call. Never empty. A pair that is too long to be made is left out. */
bool dom_entry_values_next(struct dom_entry_values *values, struct dom_slice *value);

/* The parts of an entry that its values for a key are made from: the same parts, the same values.
 * They lie in the entry. Returns how many there are; 0: it cannot be told so. */
#define DOM_ENTRY_PARTS_MAX 3U
size_t dom_entry_values_parts(const struct dom_entry_head *head, enum dom_export_key key,
                              struct dom_slice *parts);

/* ---- the filter --------------------------------------------------------------------------- */

struct dom_export_where {
    enum dom_export_key key;
    struct dom_slice value; /* exact; empty: the entry has none */
};

/* An entry passes if it is in both ranges and, for each key named, has one of the values given
 * for it. Zeroed with end = UINT64_MAX it passes all. */
struct dom_export_filter {
    int64_t from_ms;  /* first time wanted; 0: no bound */
    int64_t until_ms; /* first time not wanted; 0: no bound */
    uint64_t first;   /* first index wanted */
    uint64_t end;     /* first index not wanted */
    struct dom_export_where where[DOM_EXPORT_WHERE_MAX];
    size_t num_where;
};

void dom_export_filter_init(struct dom_export_filter *filter);
/* Adds "key=value" (borrowed). Errors: INVALID (unknown key, with the known ones; too many). */
enum dom_code dom_export_filter_add(struct dom_export_filter *filter, struct dom_slice text,
                                    struct dom_error *err) DOM_MUST_USE;
/* The key as users write it, and what it means. Static. */
const char *dom_export_key_name(enum dom_export_key key);
const char *dom_export_key_doc(enum dom_export_key key);
bool dom_export_filter_match(const struct dom_export_filter *filter, uint64_t index,
                             const struct dom_entry_head *head);

#endif
