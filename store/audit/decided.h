/* What an entry says was asked of the policy and what the policy answered: the members that are
 * needed to decide it again, read fast and without memory of its own.
 *
 * Slices are the bytes between the quotes, escapes and all, and lie in the entry; an absent member
 * is empty. Lists are what lies between their brackets, read with the dom_decided_next_*.
 *
 * Thread contract: any thread. Cost: two passes over the entry, about 2 ns per byte.
 */
#ifndef DOM_STORE_AUDIT_DECIDED_H
#define DOM_STORE_AUDIT_DECIDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

/* X(field, parent object or "", member): texts besides those of scan.h's head. */
#define DOM_DECIDED_TEXTS(X)                  \
    X(actor_country, "actor", "country")      \
    X(actor_id, "actor", "id")                \
    X(actor_region, "actor", "region")        \
    X(basis_assessment, "basis", "assessment") \
    X(basis_mech, "basis", "mech")            \
    X(basis_ref, "basis", "ref")              \
    X(effect, "decision", "effect")           \
    X(mode, "decision", "mode")               \
    X(reason, "decision", "reason")           \
    X(op, "", "op")                           \
    X(policy_name, "policy", "name")          \
    X(policy_sha256, "policy", "sha256")      \
    X(purpose, "", "purpose")                 \
    X(home, "record", "home")                 \
    X(kind, "record", "kind")                 \
    X(record_region, "record", "region")      \
    X(from, "transfer", "from")               \
    X(method, "transfer", "method")           \
    X(to, "transfer", "to")                   \
    X(type, "", "type")

struct dom_decided {
#define X(field, parent, member) struct dom_slice field;
    DOM_DECIDED_TEXTS(X)
#undef X
    struct dom_slice fields;   /* list of objects */
    struct dom_slice rules;    /* decision.rules, list of texts */
    struct dom_slice replicas; /* transfer.replicas, list of objects */
    int64_t time_ms;           /* of the entry */
    int64_t decision_time_ms;  /* that the policy was asked with; 0 when absent */
    int64_t policy_version;
    int64_t bytes; /* record.bytes */
    int64_t count; /* record.count */
};

/* Errors: PARSE (not canonical: with the byte). */
enum dom_code dom_decided_read(struct dom_decided *out, struct dom_slice entry,
                               struct dom_error *err) DOM_MUST_USE;
/* The same for bytes that dom_entry_scan found canonical: half the work. */
void dom_decided_read_scanned(struct dom_decided *out, struct dom_slice entry);

/* Whether the entry is about a request that a policy decided: of type access or deny and about a
 * record. (A caller that nobody vouches for is refused before any policy is asked.) */
bool dom_decided_is_decision(const struct dom_decided *decided);

struct dom_decided_field {
    struct dom_slice name;
    struct dom_slice data_class;
    struct dom_slice handling;
};
/* The next of `rest`, which starts as dom_decided.fields or .rules. False at the end. */
bool dom_decided_next_field(struct dom_slice *rest, struct dom_decided_field *out);
bool dom_decided_next_text(struct dom_slice *rest, struct dom_slice *out);

/* Whether a text of an entry, escapes and all, says `plain`. */
bool dom_decided_text_is(struct dom_slice text, const char *plain);

#endif
