/* A fast look at an entry: whether it is canonical JSON, and the members that filters ask for.
 *
 * Canonical means RFC 8785 with integers only: no white space, members in ascending order and
 * each once, shortest escapes, valid UTF-8, integers within +-(2^53 - 1) without leading zeros.
 * Member names are plain ASCII without escapes. No allocation; about 1 ns per byte.
 *
 * Thread contract: any thread. Limits: DOM_SCAN_DEPTH_MAX levels.
 */
#ifndef DOM_STORE_AUDIT_SCAN_H
#define DOM_STORE_AUDIT_SCAN_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define DOM_SCAN_DEPTH_MAX 8U

/* What lies between the quotes, escapes and all. Empty when the member is absent or no text.
 * X(field, parent object or "", member) in the order of the entry's bytes. */
#define DOM_ENTRY_HEAD_TEXTS(X)               \
    X(actor_country, "actor", "country")      \
    X(actor_id, "actor", "id")                \
    X(actor_region, "actor", "region")        \
    X(user, "actor", "user")                  \
    X(effect, "decision", "effect")           \
    X(reason, "decision", "reason")           \
    X(id, "", "id")                           \
    X(op, "", "op")                           \
    X(origin, "", "origin")                   \
    X(purpose, "", "purpose")                 \
    X(home, "record", "home")                 \
    X(record_id, "record", "id")              \
    X(kind, "record", "kind")                 \
    X(trace, "", "trace")                     \
    X(from, "transfer", "from")               \
    X(from_region, "transfer", "from_region") \
    X(to, "transfer", "to")                   \
    X(to_region, "transfer", "to_region")     \
    X(type, "", "type")

/* Lists, as their canonical JSON with the brackets; empty when absent. */
#define DOM_ENTRY_HEAD_LISTS(X)     \
    X(rules, "decision", "rules")   \
    X(fields, "", "fields")         \
    X(replicas, "transfer", "replicas")

struct dom_entry_head {
#define X(field, parent, member) struct dom_slice field;
    DOM_ENTRY_HEAD_TEXTS(X)
    DOM_ENTRY_HEAD_LISTS(X)
#undef X
    int64_t time_ms;        /* 0 when absent */
    int64_t version;        /* "v"; 0 when absent */
    int64_t policy_version; /* -1 when absent */
};

/* Errors: PARSE, with the byte where it stops being canonical. */
enum dom_code dom_entry_scan(struct dom_slice entry, struct dom_entry_head *head,
                             struct dom_error *err) DOM_MUST_USE;

/* Entries in a row mostly have the same members in the same places, and the same values in most of
 * them. A few entries that were scanned are kept, and the next one is compared with them: where a
 * text or number differs it is looked at, and the rest has been looked at before. A third of the
 * time of a scan, and the same answer. Zeroed is a valid start. Not shared by threads; about 30 KiB. */
#define DOM_SCAN_SHAPES      4U
#define DOM_SHAPE_VALUES_MAX 160U
#define DOM_SHAPE_BYTES_MAX  6144U
#define DOM_SHAPE_HEAD_MAX   24U
struct dom_entry_shape {
    unsigned num_values; /* texts and numbers, in the order of the bytes; 0: empty */
    uint16_t len;        /* of bytes */
    uint16_t begin[DOM_SHAPE_VALUES_MAX]; /* of each value */
    uint16_t end[DOM_SHAPE_VALUES_MAX];
    uint8_t slot[DOM_SHAPE_VALUES_MAX]; /* what it is: DOM_SHAPE_TEXT, or which number */
    unsigned num_head;                  /* values that the head wants */
    uint8_t head[DOM_SHAPE_HEAD_MAX];   /* which ones */
    uint16_t lists[3][4];               /* of DOM_ENTRY_HEAD_LISTS: begin and end, each as a value
                                           and an offset from the end of the value before it */
    int64_t numbers[3];                 /* of the head */
    uint8_t bytes[DOM_SHAPE_BYTES_MAX]; /* the entry */
};
struct dom_entry_shapes {
    struct dom_entry_shape shapes[DOM_SCAN_SHAPES];
    uint8_t order[DOM_SCAN_SHAPES]; /* newest first, numbers + 1; 0: none */
    uint32_t hits, misses;          /* lately */
    uint32_t paused;                /* entries to scan without looking: shapes do not help here */
};
/* As dom_entry_scan. */
enum dom_code dom_entry_scan_like(struct dom_entry_shapes *shapes, struct dom_slice entry,
                                  struct dom_entry_head *head, struct dom_error *err) DOM_MUST_USE;

#endif
