/* A compiled residency policy: load one, look names up, ask for decisions and placements.
 *
 * A `struct dom_policy` is immutable once made and counted by reference, so that a request
 * keeps the snapshot it began with while a newer one is put in force.
 *
 * Thread contract: loading is done by one thread at a time per call and shares nothing; every
 * function that takes a `const struct dom_policy *` may be called from any thread, takes no
 * lock, reads no clock, does no I/O and allocates nothing (explain writes to the caller's
 * buffer).
 *
 * The language is described in docs/POLICY.md. Promise P2: whatever is unknown is denied.
 */
#ifndef DOM_POLICY_POLICY_H
#define DOM_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/slice.h"
#include "policy/finding.h"

struct dom_policy;

/* An index into one of the policy's tables. Small, dense, only valid for this policy. */
typedef int16_t dom_policy_id;
#define DOM_POLICY_NONE ((dom_policy_id)-1)

/* A set of data classes or of regions: bit i is id i (both are limited to 64). */
typedef uint64_t dom_policy_set;

/* ---- life ------------------------------------------------------------------------------ */

struct dom_policy_load_options {
    const char *name;  /* how findings call the text, usually its path; borrowed for the call */
    int64_t now_ms;    /* for findings about dates; decisions take their own time */
};

/* Parses, checks and compiles `text`. Findings of every level are added to `findings` (never
 * NULL, see finding.h), in the order of the text. *policyp is NULL unless DOM_OK: a policy
 * with one error is not loaded at all (P11). The caller owns one reference.
 * Errors: PARSE (findings say where), TOO_LARGE, RESOURCE. */
enum dom_code dom_policy_compile(struct dom_policy **policyp, struct dom_findings *findings,
                                 struct dom_slice text,
                                 const struct dom_policy_load_options *options,
                                 struct dom_error *err) DOM_MUST_USE;

/* Reads the file at `path` and compiles it (options->name may be NULL: the path is used).
 * Errors: those of dom_policy_compile, IO. */
enum dom_code dom_policy_load(struct dom_policy **policyp, struct dom_findings *findings,
                              const char *path, const struct dom_policy_load_options *options,
                              struct dom_error *err) DOM_MUST_USE;

struct dom_policy *dom_policy_ref(const struct dom_policy *policy);
/* Drops one reference; the last one frees. NULL is a no-op. */
void dom_policy_unref(const struct dom_policy *policy);

/* ---- what it says of itself -------------------------------------------------------------- */

struct dom_policy_info {
    const char *name;      /* policy.name */
    int64_t version;       /* policy.version */
    int64_t expires_ms;    /* past this every cross-border operation is denied */
    uint8_t sha256[32];    /* of the exact text */
    char sha256_hex[65];
    struct dom_slice text; /* the exact text, lives as long as the policy */
    size_t num_rules;
    size_t num_placements;
    bool hide_existence;   /* defaults.hide_existence */
    int64_t log_keep_ms;   /* audit.keep: how long the logs keep entries; 0: for ever */
};
const struct dom_policy_info *dom_policy_info(const struct dom_policy *policy);

/* ---- names ------------------------------------------------------------------------------- */
/* Exact, case-sensitive, never by prefix. DOM_POLICY_NONE when unknown. O(1). */
dom_policy_id dom_policy_find_country(const struct dom_policy *policy, struct dom_slice iso2);
dom_policy_id dom_policy_find_region(const struct dom_policy *policy, struct dom_slice name);
dom_policy_id dom_policy_find_kind(const struct dom_policy *policy, struct dom_slice name);
dom_policy_id dom_policy_find_purpose(const struct dom_policy *policy, struct dom_slice name);
dom_policy_id dom_policy_find_service(const struct dom_policy *policy, struct dom_slice name);
dom_policy_id dom_policy_find_class(const struct dom_policy *policy, struct dom_slice name);

/* The other way; static for the policy's life. "" for DOM_POLICY_NONE. */
const char *dom_policy_country_name(const struct dom_policy *policy, dom_policy_id country);
const char *dom_policy_jurisdiction_name(const struct dom_policy *policy, dom_policy_id id);
const char *dom_policy_region_name(const struct dom_policy *policy, dom_policy_id region);
const char *dom_policy_kind_name(const struct dom_policy *policy, dom_policy_id kind);
const char *dom_policy_purpose_name(const struct dom_policy *policy, dom_policy_id purpose);
const char *dom_policy_service_name(const struct dom_policy *policy, dom_policy_id service);
const char *dom_policy_class_name(const struct dom_policy *policy, dom_policy_id data_class);
const char *dom_policy_rule_name(const struct dom_policy *policy, dom_policy_id rule);
const char *dom_policy_basis_name(const struct dom_policy *policy, dom_policy_id basis);
const char *dom_policy_basis_mechanism(const struct dom_policy *policy, dom_policy_id basis);
const char *dom_policy_basis_ref(const struct dom_policy *policy, dom_policy_id basis);
const char *dom_policy_basis_assessment(const struct dom_policy *policy, dom_policy_id basis);
const char *dom_policy_placement_name(const struct dom_policy *policy, dom_policy_id placement);

size_t dom_policy_num_regions(const struct dom_policy *policy);
size_t dom_policy_num_classes(const struct dom_policy *policy);
size_t dom_policy_num_kinds(const struct dom_policy *policy);
/* Countries that a jurisdiction lists; ids run from 0. */
size_t dom_policy_num_countries(const struct dom_policy *policy);

/* The country a region lies in, and the jurisdiction a country belongs to. Total on valid ids. */
dom_policy_id dom_policy_region_country(const struct dom_policy *policy, dom_policy_id region);
dom_policy_id dom_policy_country_jurisdiction(const struct dom_policy *policy,
                                              dom_policy_id country);

/* What a kind says about a field name. */
enum dom_policy_field_verdict {
    DOM_FIELD_DECLARED,       /* in kinds.K.fields */
    DOM_FIELD_UNDECLARED,     /* accepted under kinds.K.unknown_field */
    DOM_FIELD_REFUSED         /* not declared and the kind names no class for such fields: a
                               * write refuses it; a stored one counts as the strictest class */
};
/* *class_p is set in every case. O(1). */
enum dom_policy_field_verdict dom_policy_field_class(const struct dom_policy *policy,
                                                     dom_policy_id kind, struct dom_slice field,
                                                     dom_policy_id *class_p);
/* The classes of the kind's declared fields, with unknown_field's when it has one. */
dom_policy_set dom_policy_kind_classes(const struct dom_policy *policy, dom_policy_id kind);
/* The kind's declared fields, in the order of the policy. "" past the end. */
size_t dom_policy_kind_num_fields(const struct dom_policy *policy, dom_policy_id kind);
const char *dom_policy_kind_field_name(const struct dom_policy *policy, dom_policy_id kind,
                                       size_t index);
/* The kind's `subject` field: whose person the record is about; "" when the kind has none (then
 * the record id itself counts as the subject). */
const char *dom_policy_kind_subject(const struct dom_policy *policy, dom_policy_id kind);
/* "[a-z][a-z0-9_]*", 1 to DOM_FIELD_NAME_BYTES_MAX bytes. */
bool dom_policy_field_name_valid(struct dom_slice name);

/* ---- decisions --------------------------------------------------------------------------- */

/* The names used in rules' `ops`. "write" covers creation and change. STORE is only for forbids:
 * a class may never lie in the named places. */
enum dom_policy_op {
    DOM_OP_READ = 0,
    DOM_OP_LIST,
    DOM_OP_WRITE,
    DOM_OP_DELETE,
    DOM_OP_STORE,
    DOM_OP_COUNT
};
const char *dom_policy_op_name(enum dom_policy_op op);
/* False when the name is unknown. */
bool dom_policy_op_parse(struct dom_slice name, enum dom_policy_op *op);

struct dom_policy_request {
    enum dom_policy_op op;      /* READ, LIST, WRITE or DELETE */
    dom_policy_id service;      /* NONE: unknown, denied */
    dom_policy_id purpose;      /* NONE: none given */
    dom_policy_id kind;
    dom_policy_id home;         /* country of the record */
    dom_policy_id caller;       /* country of the caller's region (rules' `to`) */
    bool crosses;               /* bytes move between two jurisdictions */
    int64_t time_ms;
    dom_policy_set classes;     /* of the fields that the operation touches */
};

enum dom_policy_effect { DOM_EFFECT_DENY = 0, DOM_EFFECT_ALLOW, DOM_EFFECT_MODIFY };
const char *dom_policy_effect_name(enum dom_policy_effect effect); /* deny, allow, modify */

/* One `limit` obligation in force for a decision. */
struct dom_policy_limit {
    dom_policy_id rule;
    uint64_t records;        /* how many may pass in one period */
    bool count_subjects;     /* distinct subjects; else every access counts */
    bool calendar;           /* the period is a UTC calendar day/month/year; else sliding */
    int64_t period_ms;       /* length; for a calendar period its nominal length */
    char calendar_unit;      /* 'D', 'M' or 'Y' when calendar */
    dom_policy_set classes;  /* it counts only when the request passes one of these */
};

/* The precomputed answer for one cell of the domain; shared, immutable, the policy's. */
struct dom_policy_cell {
    dom_policy_set permitted;     /* classes with a permit whose basis is in force, no forbid */
    dom_policy_set redact;        /* of permitted: value replaced by nothing, name kept */
    dom_policy_set pseudonymise;  /* of permitted: value replaced by a keyed hash */
    dom_policy_set withhold;      /* of permitted, by obligation: field left out, name told */
    dom_policy_set forbidden;     /* a forbid covers it */
    dom_policy_set expired;       /* only the date of the basis is in the way */
    dom_policy_id rule[DOM_CLASSES_MAX];          /* what decided each class, or NONE */
    dom_policy_id basis[DOM_CLASSES_MAX];         /* of the permit, or NONE */
    dom_policy_id pseudonym_key[DOM_CLASSES_MAX]; /* see dom_policy_pseudonym_key_name */
    const struct dom_policy_limit *limits;
    size_t num_limits;
};

struct dom_policy_decision {
    enum dom_policy_effect effect;
    enum dom_code reason;           /* DOM_OK, or why: NO_PERMIT, FORBIDDEN, BASIS_EXPIRED,
                                     * SERVICE_DENIED, POLICY_EXPIRED */
    dom_policy_set clear;           /* the four are disjoint and together the request's classes */
    dom_policy_set redact;
    dom_policy_set pseudonymise;
    dom_policy_set withheld;
    const struct dom_policy_cell *cell; /* NULL when no border is crossed or on SERVICE_DENIED
                                         * and POLICY_EXPIRED */
};

/* Decides. Never fails: whatever cannot be decided is a deny. O(1) in the number of rules.
 * When crosses is false only the service's own section is asked: may this service do this op on
 * this kind (for this purpose)? A request without a purpose passes that test only if the service
 * lists purposes and the op does not cross a border; across a border a purpose is required.
 * A forbid or a missing permit removes a class (`defaults.uncovered_field = "redact"`) or denies
 * the whole request (`= "deny"`). WRITE and DELETE are never partial: one class that may not pass
 * denies the whole. */
void dom_policy_decide(const struct dom_policy *policy, const struct dom_policy_request *request,
                       struct dom_policy_decision *decision);

/* The first moment after `now_ms` at which any decision could change by itself: a basis begins or
 * ends, or the policy expires. INT64_MAX: never. */
int64_t dom_policy_next_change_ms(const struct dom_policy *policy, int64_t now_ms);

const char *dom_policy_pseudonym_key_name(const struct dom_policy *policy, dom_policy_id key);
size_t dom_policy_num_pseudonym_keys(const struct dom_policy *policy);

/* ---- placement ----------------------------------------------------------------------------- */

/* Where the parts of one (kind, home) lie, at one time. Shared, immutable, the policy's. */
struct dom_policy_placement {
    dom_policy_id lead;      /* the home region, which commits writes first; NONE: nowhere. It may
                              * hold every storable class of the kind, lies in first_write where
                              * that is said, in the home country if it can, then by the `lead`
                              * list, then in the order of the regions section. */
    dom_policy_set storable; /* classes that have a placement at all */
    dom_policy_set regions[DOM_CLASSES_MAX];  /* per class: regions that may hold it */
    uint8_t min_replicas[DOM_CLASSES_MAX];    /* per class, the lead counted; at least 1 */
    dom_policy_id rule[DOM_CLASSES_MAX];      /* per class: the placement that allows it */
    dom_policy_set sync;     /* regions (besides the lead) that must hold their part before a
                              * write is acknowledged, so that min_replicas and must_include hold */
    dom_policy_set all;      /* union of regions[] over the storable classes of this kind */
};

/* NULL when the kind or home is NONE. O(1). */
const struct dom_policy_placement *dom_policy_place(const struct dom_policy *policy,
                                                    dom_policy_id kind, dom_policy_id home,
                                                    int64_t time_ms);
/* The classes that `region` may hold of a record of that placement. */
dom_policy_set dom_policy_placement_classes(const struct dom_policy_placement *placement,
                                            dom_policy_id region);

/* ---- roll-out ------------------------------------------------------------------------------ */

enum dom_policy_stage_mode { DOM_ROLL_SHADOW = 0, DOM_ROLL_CANARY, DOM_ROLL_ENFORCE };

/* ---- second copies of the logs ------------------------------------------------------------ */

/* An entry of a log of one of these regions must be durable in all of the named sinks, or in any one
 * of them, before its operation is answered. What the sinks are is the deployment's. */
struct dom_policy_log_copy {
    const char *id;
    dom_policy_set regions;
    const char *sinks[DOM_SINKS_MAX];
    size_t num_sinks;
    bool any;
};
size_t dom_policy_num_log_copies(const struct dom_policy *policy);
const struct dom_policy_log_copy *dom_policy_log_copy(const struct dom_policy *policy, size_t i);

/* One entry of rollout.stages. */
struct dom_policy_stage {
    enum dom_policy_stage_mode mode;
    uint8_t percent;        /* of a canary */
    int64_t hold_ms;        /* -1: not said */
    dom_policy_set regions; /* 0: everywhere */
};

#define DOM_ROLLOUT_STAGES_MAX 16U

/* How this policy wants to be rolled out, and when that is to be broken off. */
struct dom_policy_rollout {
    struct dom_policy_stage stages[DOM_ROLLOUT_STAGES_MAX];
    size_t num_stages;        /* 0: nothing is said */
    uint32_t new_deny_ppm;    /* abort over so many newly denied requests of a million */
    uint32_t new_allow_ppm;   /* likewise newly allowed; a million: no limit */
    uint64_t eval_errors_max; /* requests that the policy cannot be asked about */
    uint64_t requests_min;    /* with fewer a stage has shown nothing */
    unsigned approvals;       /* 1 or 2: distinct administrators who must ask for the policy that is
                               * to replace this one */
};
const struct dom_policy_rollout *dom_policy_rollout(const struct dom_policy *policy);

/* ---- words for people ---------------------------------------------------------------------- */

/* Six plain lines about the decision on `request` (what was asked, what is decided, by which
 * rules at which line, on what basis until when, what happens to each class, what would change
 * it). Appends to `out`. */
void dom_policy_explain(const struct dom_policy *policy, const struct dom_policy_request *request,
                        struct dom_buffer *out);
/* The same as one JSON object, with every rule considered and why it did or did not decide. */
void dom_policy_explain_json(const struct dom_policy *policy,
                             const struct dom_policy_request *request, struct dom_buffer *out);

#endif
