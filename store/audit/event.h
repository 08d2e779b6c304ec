/* The audit event and its bytes: an entry is one event as RFC 8785 (JCS) JSON, integers only.
 *
 * Encoding is on the request path: it appends to a buffer and allocates nothing else. Parsing is
 * for tools. Parsing an entry and encoding the result gives the same bytes again; whatever would
 * not is refused. Format and members: docs/AUDIT_FORMAT.md.
 *
 * An empty slice leaves an optional member out; an object with nothing in it is left out too.
 *
 * Thread contract: any thread. Limit: DOM_ENTRY_BYTES_MAX, and the counts below.
 */
#ifndef DOM_STORE_AUDIT_EVENT_H
#define DOM_STORE_AUDIT_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/slice.h"

#define DOM_AUDIT_VERSION      1
#define DOM_UUID_SIZE          16U
#define DOM_UUID_TEXT_SIZE     37U /* with NUL */
#define DOM_NONCE_SIZE         16U
#define DOM_AUDIT_RULES_MAX    64U
#define DOM_AUDIT_REPLICAS_MAX DOM_REGIONS_MAX
#define DOM_AUDIT_DETAILS_MAX  16U
/* The largest integer that every JSON reader keeps exact (RFC 8785 section 3.2.2.3). */
#define DOM_AUDIT_INTEGER_MAX INT64_C(9007199254740991)

/* X(NAME, "type", required members, what it says and which members it carries besides the
 * common ones (v, type, id, nonce, time, origin, router)).
 * Required is a set of DOM_AUDIT_NEED_*. */
#define DOM_AUDIT_TYPES(X)                                                                 \
    X(ACCESS, "access", DOM_AUDIT_NEED_REQUEST,                                            \
      "an operation that was permitted: actor, op, record, decision (allow or modify), "   \
      "transfer, fields, purpose, basis, policy, result, trace, claim, shadow")            \
    X(DENY, "deny", DOM_AUDIT_NEED_REQUEST,                                                \
      "an operation that was refused: as access, decision deny with its reason; "          \
      "detail.identity when the caller's certificate names nobody")                        \
    X(POLICY, "policy", DOM_AUDIT_NEED_POLICY,                                             \
      "a policy came into force: policy; detail.operator, detail.action, detail.signers")   \
    X(ROLLOUT, "rollout", DOM_AUDIT_NEED_POLICY | DOM_AUDIT_NEED_DETAIL,                   \
      "a candidate policy changed its stage: policy; detail.action, .stage, .reason")      \
    X(KEY, "key", DOM_AUDIT_NEED_DETAIL,                                                   \
      "a key was made, rotated or retired: detail.action, detail.key, detail.id")          \
    X(EXPORT, "export", DOM_AUDIT_NEED_ACTOR | DOM_AUDIT_NEED_DETAIL,                      \
      "entries were exported: actor; detail.filter, detail.first, detail.end")          \
    X(ERASURE, "erasure", DOM_AUDIT_NEED_DETAIL,                                           \
      "a subject was erased: record; detail.action, detail.parts, detail.purged_by")       \
    X(SINK, "sink", DOM_AUDIT_NEED_DETAIL,                                                 \
      "a log sink, region or process changed its state: detail.name, detail.state, "       \
      "detail.reason; detail.unanswered_first and .unanswered_count: entries whose caller "  \
      "was told that they could not be written")                                                                     \
    X(GENESIS, "genesis", DOM_AUDIT_NEED_DETAIL,                                           \
      "the first entry of a log: detail.vkey, detail.format")                              \
    X(PURGE, "purge", DOM_AUDIT_NEED_DETAIL,                                               \
      "bytes are physically gone: detail.action, detail.cause, detail.region, "           \
      "detail.rows; policy when a placement is the cause; of the log itself: action "      \
      "prune, detail.first, detail.entries, detail.older_than")                            \
    X(PLACEMENT, "placement", DOM_AUDIT_NEED_POLICY | DOM_AUDIT_NEED_DETAIL,               \
      "a policy's placement makes parts of a record in other jurisdictions: policy, "      \
      "record, fields, transfer; detail.action is copy or move")                             \
    X(HOLD, "hold", DOM_AUDIT_NEED_DETAIL,                                                 \
      "a legal hold on the log was placed or released: detail.action, detail.hold, "       \
      "detail.first, detail.end, detail.subject, detail.until, detail.operator")            \
    X(MIRROR, "mirror", DOM_AUDIT_NEED_DETAIL,                                             \
      "what another region's log says went to this region: detail.origin, detail.first, "  \
      "detail.end, detail.count, detail.digest")

#define DOM_AUDIT_NEED_ACTOR   1U
#define DOM_AUDIT_NEED_POLICY  2U
#define DOM_AUDIT_NEED_DETAIL  4U
#define DOM_AUDIT_NEED_REQUEST 8U /* actor.id, op, record.kind, decision.effect and .reason */

enum dom_audit_type {
#define X(name, text, needs, doc) DOM_AUDIT_##name,
    DOM_AUDIT_TYPES(X)
#undef X
};
#define DOM_AUDIT_TYPE_COUNT 13

/* Static strings. */
const char *dom_audit_type_name(enum dom_audit_type type);
const char *dom_audit_type_doc(enum dom_audit_type type);
/* Exact. False when unknown. */
bool dom_audit_type_parse(struct dom_slice name, enum dom_audit_type *type);

/* One field of the record and what happened to it. */
struct dom_audit_field {
    struct dom_slice name;       /* n */
    struct dom_slice data_class; /* c */
    struct dom_slice handling;   /* h: clear, redact, pseudonym, drop */
};

/* One replica abroad that a write makes. */
struct dom_audit_replica {
    struct dom_slice basis;  /* name of the legal basis; may be empty */
    struct dom_slice region; /* where it lies */
    struct dom_slice to;     /* that region's country or jurisdiction, as transfer.to */
};

/* One further member of a control event: a text, or an integer when `is_integer`. Names are
 * [a-z][a-z0-9_]*, in ascending order, each once. */
struct dom_audit_detail {
    struct dom_slice name;
    struct dom_slice text;
    int64_t integer;
    bool is_integer;
};

struct dom_audit_actor { /* who asked */
    struct dom_slice cert_key;    /* cert.key: SHA-256 of the public key (SPKI), 64 hex digits */
    struct dom_slice cert_serial; /* cert.serial: lower-case hex; both or neither */
    struct dom_slice country, entity, id, region, type, user; /* user: keyed hash; id: service */
};
struct dom_audit_basis {
    struct dom_slice assessment, mech, ref;
};
struct dom_audit_claim { /* what the request said of itself, where that was not proven */
    struct dom_slice country, region, service, user;
};
struct dom_audit_decision {
    struct dom_slice effect; /* allow, deny, modify */
    struct dom_slice mode;   /* enforce, canary */
    struct dom_slice reason; /* PERMIT, or a reason of base/error.h */
    const struct dom_slice *rules;
    size_t num_rules;
    int64_t time_ms; /* the time that the policy was asked with; 0 leaves it out */
};
struct dom_audit_policy {
    struct dom_slice name; /* empty leaves the object out */
    struct dom_slice sha256;
    int64_t version;
    int64_t index; /* of the log entry that put it in force; -1 leaves it out */
};
struct dom_audit_record {
    struct dom_slice kind;         /* empty leaves the object out */
    struct dom_slice home;         /* ISO 3166-1 alpha-2 of the record */
    struct dom_slice jurisdiction; /* of that country */
    struct dom_slice id;           /* keyed hash */
    struct dom_slice region;       /* that gave or took the bytes */
    int64_t bytes;
    int64_t count;
};
struct dom_audit_result {
    bool present;
    int64_t code; /* gRPC status */
    int64_t us;
};
struct dom_audit_router {
    struct dom_slice build, instance, region;
};
struct dom_audit_shadow {    /* what the candidate policy would have said */
    struct dom_slice effect; /* empty leaves the object out */
    struct dom_slice reason;
    const struct dom_slice *rules;
    size_t num_rules;
    int64_t version;
};
struct dom_audit_transfer {
    struct dom_slice from, from_region, method, to, to_region;
    const struct dom_audit_replica *replicas;
    size_t num_replicas;
};

/* Everything is borrowed for the call that takes it. Zero is a valid start (except that
 * policy.index 0 means entry 0). */
struct dom_audit_event {
    enum dom_audit_type type;
    uint8_t id[DOM_UUID_SIZE];     /* UUIDv7 */
    uint8_t nonce[DOM_NONCE_SIZE]; /* random: hides the entry from holders of its hash */
    int64_t time_ms;               /* wall clock, > 0 */
    struct dom_slice origin;       /* the log's */
    struct dom_slice op;           /* read, query, write, update, delete, list */
    struct dom_slice purpose;
    struct dom_slice trace; /* 32 lower-case hex digits, or empty */
    struct dom_audit_actor actor;
    struct dom_audit_basis basis;
    struct dom_audit_claim claim;
    struct dom_audit_decision decision;
    const struct dom_audit_detail *details;
    size_t num_details;
    const struct dom_audit_field *fields;
    size_t num_fields; /* <= DOM_FIELDS_MAX */
    struct dom_audit_policy policy;
    struct dom_audit_record record;
    struct dom_audit_result result;
    struct dom_audit_router router;
    struct dom_audit_shadow shadow;
    struct dom_audit_transfer transfer;
};

/* A UUIDv7 (RFC 9562 section 5.7) from a wall time and 10 random bytes. */
void dom_audit_uuid7(uint8_t *out, int64_t wall_ms, const uint8_t *random10);
/* 36 characters and a NUL. */
void dom_audit_uuid_format(char *out, const uint8_t *uuid);
/* Strict: 36 characters, lower case. */
bool dom_audit_uuid_parse(struct dom_slice text, uint8_t *uuid);

/* Whether the event may be an entry: required members, known words, counts, integer ranges. The
 * message begins with the path of the bad member. Errors: INVALID. */
enum dom_code dom_audit_event_check(const struct dom_audit_event *event,
                                    struct dom_error *err) DOM_MUST_USE;

/* Checks the event and appends its entry to `out`; nothing is appended on an error.
 * Errors: INVALID (with the member's path), TOO_LARGE (over DOM_ENTRY_BYTES_MAX), RESOURCE. */
enum dom_code dom_audit_event_encode(const struct dom_audit_event *event, struct dom_buffer *out,
                                     struct dom_error *err) DOM_MUST_USE;

/* An event read back, with the memory that it lies in. */
struct dom_audit_event_doc {
    struct dom_audit_event event;
    struct dom_arena arena;
    void *impl;
};
/* Errors: PARSE (not canonical JSON), INVALID (with the path of the bad or unknown member),
 * TOO_LARGE, RESOURCE. On an error there is nothing to clean up. */
enum dom_code dom_audit_event_parse(struct dom_audit_event_doc *doc, struct dom_slice entry,
                                    struct dom_error *err) DOM_MUST_USE;
void dom_audit_event_doc_cleanup(struct dom_audit_event_doc *doc);

#endif
