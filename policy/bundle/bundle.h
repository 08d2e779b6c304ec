/* A policy as it travels: signed by enough distinct keys, with every file's hash, one version after
 * the other. And what belongs to it: the root (who may sign), the timestamp (that there is nothing
 * newer) and the order (freeze, unfreeze). Bytes: docs/BUNDLE_FORMAT.md.
 *
 * Pure: bytes, keys and the time are arguments. Parsed structures borrow the bytes they were parsed
 * from. Thread contract: any thread. Limits: below; DOM_POLICY_FILE_BYTES_MAX for the policy.
 */
#ifndef DOM_POLICY_BUNDLE_BUNDLE_H
#define DOM_POLICY_BUNDLE_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/note/note.h"

#define DOM_POLICY_BUNDLE_BYTES_MAX (3U << 20) /* it has to fit one gRPC message */
#define DOM_BUNDLE_FILES_MAX        16U
#define DOM_BUNDLE_FILE_NAME_MAX    64U
#define DOM_BUNDLE_NOTE_BYTES_MAX   (64U << 10)
#define DOM_ROOT_KEYS_MAX           32U /* of all roles */
#define DOM_POLICY_SHA256_SIZE      32U
/* How far a signer's clock may be ahead of the router's, and how old an order may be. */
#define DOM_BUNDLE_SKEW_MS INT64_C(600000)

/* The file of a bundle that is the policy; others (its tests, say) only travel with it. */
#define DOM_BUNDLE_POLICY_FILE "policy.cfg"

/* X(NAME, sentence). Names are stable: they are in error details, entries and metrics. */
#define DOM_BUNDLE_FAULTS(X)                                                             \
    X(NONE, "taken")                                                                     \
    X(TOO_LARGE, "larger than a bundle may be")                                          \
    X(FORMAT, "not a bundle, or not whole")                                              \
    X(UNSIGNED, "not signed, and this router takes only signed policies")                \
    X(SIGNATURE_MISSING, "no signature is by a key of the root")                         \
    X(SIGNATURE_BAD, "a signature by a key of the root does not verify")                 \
    X(THRESHOLD, "too few distinct keys have signed")                                    \
    X(ROOT_EXPIRED, "the root has expired")                                              \
    X(NAME, "made for a policy of another name")                                         \
    X(EXPIRED, "the bundle has expired")                                                 \
    X(NOT_YET, "made in the future")                                                     \
    X(VERSION_OLDER, "an older version")                                                 \
    X(VERSION_REUSED, "a version that was taken before, with other bytes or taken back") \
    X(VERSION_SKIPPED, "not the next version")                                           \
    X(PREVIOUS, "made upon another version than the one in force")                       \
    X(FILE_MISSING, "a file of the note is not there")                                   \
    X(FILE_EXTRA, "a file that the note does not name")                                  \
    X(FILE_MIXED, "a file is not the one that was signed")                               \
    X(POLICY, "the policy in it cannot be loaded, or says other things of itself")       \
    X(PLAN, "the plan that was acknowledged is not what this change does")               \
    X(SIGNERS, "it loosens, and fewer than two distinct keys have signed")               \
    X(TIMESTAMP_MISSING, "the root wants a timestamp")                                   \
    X(TIMESTAMP_BAD, "the timestamp is not signed as the root wants it")                 \
    X(TIMESTAMP_EXPIRED, "the timestamp has expired")                                    \
    X(TIMESTAMP_OTHER, "the timestamp names another version")

enum dom_bundle_fault {
#define X(name, text) DOM_BUNDLE_##name,
    DOM_BUNDLE_FAULTS(X)
#undef X
};
#define DOM_BUNDLE_FAULT_COUNT 25
/* "VERSION_OLDER", and a sentence. Static. */
const char *dom_bundle_fault_name(enum dom_bundle_fault fault);
const char *dom_bundle_fault_text(enum dom_bundle_fault fault);

/* ---- the root: who may sign ------------------------------------------------------------------ */

enum dom_root_role { DOM_ROLE_ROOT = 0, DOM_ROLE_POLICY, DOM_ROLE_TIMESTAMP, DOM_ROLE_COUNT };

struct dom_root {
    char name[DOM_POLICY_NAME_BYTES_MAX + 1]; /* of the policy */
    int64_t version;
    int64_t expires_ms;
    unsigned thresholds[DOM_ROLE_COUNT]; /* TIMESTAMP 0: none is wanted */
    struct dom_note_key keys[DOM_ROOT_KEYS_MAX];
    enum dom_root_role roles[DOM_ROOT_KEYS_MAX]; /* by key */
    size_t num_keys;
    uint8_t sha256[DOM_POLICY_SHA256_SIZE]; /* of the note's text */
};

/* Parses and checks a root: every key once in a role, thresholds that its keys can meet, signed by
 * its own root keys up to their threshold. Errors: PARSE (with the line), TAMPERED,
 * UNAUTHENTICATED, TOO_LARGE. Clean up in every case. */
enum dom_code dom_root_parse(struct dom_root *root, struct dom_slice bytes,
                             struct dom_error *err) DOM_MUST_USE;
/* Whether `next`, as parsed from `bytes`, may take the place of `now`: the same name, a higher
 * version, and signed by the root keys of `now` as well. Errors: INVALID, UNAUTHENTICATED. */
enum dom_code dom_root_succeeds(const struct dom_root *now, const struct dom_root *next,
                                struct dom_slice bytes, struct dom_error *err) DOM_MUST_USE;
/* Legal on a zeroed root. */
void dom_root_cleanup(struct dom_root *root);
/* Appends the text to sign. Errors: INVALID. */
enum dom_code dom_root_text(const struct dom_root *root, struct dom_buffer *out,
                            struct dom_error *err) DOM_MUST_USE;

/* ---- the bundle ------------------------------------------------------------------------------ */

struct dom_bundle_file {
    struct dom_slice name;
    size_t size;
    uint8_t sha256[DOM_POLICY_SHA256_SIZE];
    struct dom_slice bytes; /* data NULL: not there */
};

struct dom_bundle {
    struct dom_slice note_bytes; /* the note as it travels */
    struct dom_slice text;       /* what is signed */
    struct dom_slice name;
    int64_t version;
    uint8_t previous[DOM_POLICY_SHA256_SIZE]; /* policy.cfg of the version before; zeros: first */
    int64_t created_ms;
    int64_t expires_ms;
    uint8_t plan[DOM_POLICY_SHA256_SIZE]; /* zeros: first */
    struct dom_bundle_file files[DOM_BUNDLE_FILES_MAX];
    size_t num_files;
    struct dom_slice policy;                /* bytes of policy.cfg */
    uint8_t sha256[DOM_POLICY_SHA256_SIZE]; /* of `text`: names this bundle */
    /* Who signed, of the root's keys; by dom_bundle_open. */
    size_t num_signers; /* distinct public keys of the policy role */
    char signers[512];  /* "alice+0123abcd, bob+..." cut to fit */
};

/* What a router holds for true when a bundle comes. */
struct dom_bundle_expect {
    const struct dom_root *root;
    int64_t now_ms;
    int64_t highest;         /* version ever taken; 0: none yet, anything may be the first */
    const uint8_t *known;    /* SHA-256 of the policy with that version, NULL: it was taken back */
    const uint8_t *enforced; /* SHA-256 of the policy in force */
};

/* Everything that the bytes alone can show: limits, form, signatures, name, dates, versions, files.
 * Whether the policy loads and the plan is right is for the caller (POLICY, PLAN, SIGNERS). A
 * bundle of the version `highest` with the very bytes of `known` is no fault: it is the same.
 * Returns the first fault, and says more in `err` (code BUNDLE). */
enum dom_bundle_fault dom_bundle_open(struct dom_bundle *bundle, struct dom_slice bytes,
                                      const struct dom_bundle_expect *expect,
                                      struct dom_error *err) DOM_MUST_USE;
/* Splits without any key: for tools. Faults: TOO_LARGE, FORMAT, FILE_*. */
enum dom_bundle_fault dom_bundle_parse(struct dom_bundle *bundle, struct dom_slice bytes,
                                       struct dom_error *err) DOM_MUST_USE;
/* True when the bytes begin like a bundle: else it is a plain policy. */
bool dom_bundle_is(struct dom_slice bytes);

/* Appends the text to sign, from name, version, previous, dates, plan and files (whose hashes and
 * sizes are taken from their bytes). Errors: INVALID. */
enum dom_code dom_bundle_text(const struct dom_bundle *bundle, struct dom_buffer *out,
                              struct dom_error *err) DOM_MUST_USE;
/* Appends the whole bundle: the note (text and signature lines), then the files. */
void dom_bundle_pack(struct dom_buffer *out, struct dom_slice note,
                     const struct dom_bundle_file *files, size_t num_files);

/* ---- the timestamp and the order ---------------------------------------------------------------
 */

struct dom_timestamp {
    int64_t version;
    uint8_t policy[DOM_POLICY_SHA256_SIZE]; /* SHA-256 of the newest policy.cfg */
    int64_t time_ms;
    int64_t expires_ms;
};
/* Parses and checks against the root. Faults: TIMESTAMP_BAD, TIMESTAMP_EXPIRED, NAME. */
enum dom_bundle_fault dom_timestamp_open(struct dom_timestamp *timestamp, struct dom_slice bytes,
                                         const struct dom_root *root, int64_t now_ms,
                                         struct dom_error *err) DOM_MUST_USE;
void dom_timestamp_text(const struct dom_timestamp *timestamp, const char *name,
                        struct dom_buffer *out);

struct dom_order {
    bool freeze; /* else unfreeze */
    int64_t time_ms;
    struct dom_slice reason;
};
/* One key of the policy role is enough to freeze, its threshold to unfreeze. The time must be
 * within DOM_BUNDLE_SKEW_MS of now, and after `last_ms`. Faults: FORMAT, NAME, SIGNATURE_*,
 * THRESHOLD, EXPIRED, NOT_YET, VERSION_OLDER (an order used before). */
enum dom_bundle_fault dom_order_open(struct dom_order *order, struct dom_slice bytes,
                                     const struct dom_root *root, int64_t now_ms, int64_t last_ms,
                                     struct dom_error *err) DOM_MUST_USE;
/* Errors: INVALID (a reason that is no single line of at most 160 bytes). */
enum dom_code dom_order_text(const struct dom_order *order, const char *name,
                             struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

/* SHA-256 of the bytes. */
void dom_policy_sha256(uint8_t out[DOM_POLICY_SHA256_SIZE], struct dom_slice bytes);

#endif
