/* Export of entries for people and their tools: filters, JSON lines, a signed manifest.
 *
 * A line is `{"entry":<the entry's exact bytes>,"index":<n>,"leaf_hash":"<hex>"}`: whoever has
 * the line can hash the entry again and ask for its proof. Streaming, in constant memory.
 *
 * Thread contract: any thread; it blocks on files.
 */
#ifndef DOM_STORE_AUDIT_EXPORT_H
#define DOM_STORE_AUDIT_EXPORT_H

#include <stdio.h>

#include "base/error.h"
#include "store/audit/note.h"
#include "store/audit/scan.h"
#include "store/audit/tiledir.h"

#define DOM_EXPORT_WHERE_MAX 32U

/* X(key as users write it, field of struct dom_entry_head) */
#define DOM_EXPORT_KEYS(X)        \
    X("from", from)               \
    X("to", to)                   \
    X("from_region", from_region) \
    X("to_region", to_region)     \
    X("service", actor_id)        \
    X("country", actor_country)   \
    X("kind", kind)               \
    X("home", home)               \
    X("outcome", effect)          \
    X("reason", reason)           \
    X("type", type)               \
    X("op", op)                   \
    X("purpose", purpose)         \
    X("record", record_id)        \
    X("trace", trace)             \
    X("id", id)

enum dom_export_key {
#define X(text, field) DOM_EXPORT_##field,
    DOM_EXPORT_KEYS(X)
#undef X
};

struct dom_export_where {
    enum dom_export_key key;
    struct dom_slice value; /* exact */
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
bool dom_export_filter_match(const struct dom_export_filter *filter, uint64_t index,
                             const struct dom_entry_head *head);

/* Calls `each` for every entry of the published log that passes; stops at its first error.
 * `head` and `entry` live for the call. Errors: IO, CORRUPT, PARSE (an entry is not ours). */
enum dom_code dom_log_each(const struct dom_tiledir *tiledir,
                           const struct dom_export_filter *filter,
                           enum dom_code (*each)(void *arg, uint64_t index, struct dom_slice entry,
                                                 const struct dom_entry_head *head,
                                                 struct dom_error *err),
                           void *arg, struct dom_error *err) DOM_MUST_USE;

struct dom_export_stats {
    uint64_t count;
    uint64_t bytes;
    uint8_t sha256[32]; /* of the whole output */
};
/* Writes the lines. The caller closes `out` and looks at its error. Errors: IO, CORRUPT, PARSE. */
enum dom_code dom_export_jsonl(const struct dom_tiledir *tiledir,
                               const struct dom_export_filter *filter, FILE *out,
                               struct dom_export_stats *stats, struct dom_error *err) DOM_MUST_USE;

struct dom_manifest {
    struct dom_slice origin;
    struct dom_tree_head head; /* of the checkpoint that the export was made at */
    const struct dom_export_filter *filter;
    const struct dom_export_stats *stats;
    int64_t time_ms;
};
/* Appends the manifest's text (docs/AUDIT_FORMAT.md), which dom_note_sign can sign. */
enum dom_code dom_manifest_encode(const struct dom_manifest *manifest, struct dom_buffer *out,
                                  struct dom_error *err) DOM_MUST_USE;

#endif
