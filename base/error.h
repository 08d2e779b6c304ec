/* Codes and errors. The one table of what can go wrong, how it reads to a person, and
 * which gRPC status it becomes.
 *
 * A fallible function returns `enum dom_code` (DOM_OK is 0) and takes a
 * `struct dom_error *` as its last parameter, NULL allowed. Callers branch on the
 * category, never on the fine code. There is no thread-local last error: requests
 * change threads.
 */
#ifndef DOM_BASE_ERROR_H
#define DOM_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/macros.h"

/* What kind of thing went wrong; what a caller may decide on. */
enum dom_category {
    DOM_CAT_NONE = 0, /* no error */
    DOM_CAT_INPUT,    /* the caller's bytes are wrong; repeating does not help */
    DOM_CAT_DENIED,   /* the policy, or missing proof of identity, says no */
    DOM_CAT_NOT_FOUND,
    DOM_CAT_CONFLICT, /* a precondition does not hold */
    DOM_CAT_BUSY,     /* a limit or a passing lack; a retry may help */
    DOM_CAT_IO,       /* the operating system or the disk */
    DOM_CAT_CORRUPT,  /* stored bytes are not what we wrote */
    DOM_CAT_INTERNAL, /* a bug of ours */
};

/* X(name, number, category, grpc status, reason, text)
 * number: stable for ever (it is printed). grpc status: google.rpc.Code.
 * reason: ErrorInfo.reason, UPPER_SNAKE, stable for ever. */
#define DOM_CODES(X)                                                                        \
    X(OK, 0, NONE, 0, "OK", "ok")                                                           \
    X(INVALID, 1, INPUT, 3, "INVALID", "invalid argument")                                  \
    X(PARSE, 2, INPUT, 3, "PARSE", "cannot be parsed")                                      \
    X(TOO_LARGE, 3, INPUT, 3, "TOO_LARGE", "larger than the limit")                         \
    X(USAGE, 4, INPUT, 3, "USAGE", "wrong usage")                                           \
    X(UNSUPPORTED, 5, INPUT, 12, "UNSUPPORTED", "not supported")                            \
    X(NO_PERMIT, 20, DENIED, 7, "NO_PERMIT", "no rule permits this")                        \
    X(FORBIDDEN, 21, DENIED, 7, "FORBIDDEN", "a rule forbids this")                         \
    X(BASIS_EXPIRED, 22, DENIED, 7, "BASIS_EXPIRED", "the legal basis is not in force")     \
    X(SERVICE_DENIED, 23, DENIED, 7, "SERVICE_DENIED", "the service may not ask this")      \
    X(NO_PLACEMENT, 24, DENIED, 9, "NO_PLACEMENT", "no region may store this")              \
    X(LIMIT_REACHED, 25, DENIED, 8, "LIMIT_REACHED", "the rule's volume limit is reached")  \
    X(UNAUTHENTICATED, 26, DENIED, 16, "UNAUTHENTICATED", "the caller is not proven")       \
    X(POLICY_EXPIRED, 27, DENIED, 7, "POLICY_EXPIRED", "the policy has expired")            \
    X(ROLE_DENIED, 28, DENIED, 7, "ROLE_DENIED", "the caller lacks the role for this")      \
    X(BUNDLE, 29, DENIED, 7, "BUNDLE_REFUSED", "the policy bundle is refused")              \
    X(FROZEN, 30, DENIED, 7, "POLICY_FROZEN", "nothing may cross a border: it is frozen")   \
    X(NOT_FOUND, 40, NOT_FOUND, 5, "NOT_FOUND", "not found")                                \
    X(EXISTS, 50, CONFLICT, 6, "ALREADY_EXISTS", "exists already")                          \
    X(VERSION_MISMATCH, 51, CONFLICT, 9, "VERSION_MISMATCH", "the version differs")         \
    X(HOME_MISMATCH, 52, CONFLICT, 9, "HOME_MISMATCH", "the record has another home")       \
    X(SECOND_OPERATOR, 53, CONFLICT, 9, "SECOND_OPERATOR", "a second operator has to ask too") \
    X(ROLLOUT, 54, CONFLICT, 9, "ROLLOUT_STATE", "the roll-out is not in that state")       \
    X(RESOURCE, 60, BUSY, 8, "RESOURCE_EXHAUSTED", "over a limit")                          \
    X(UNAVAILABLE, 61, BUSY, 14, "UNAVAILABLE", "not available now")                        \
    X(AUDIT_UNAVAILABLE, 62, BUSY, 14, "AUDIT_UNAVAILABLE", "the audit log cannot be written") \
    X(DEADLINE, 63, BUSY, 4, "DEADLINE_EXCEEDED", "the deadline has passed")                \
    X(CANCELLED, 64, BUSY, 1, "CANCELLED", "cancelled by the caller")                       \
    X(STALE, 65, BUSY, 14, "STALE", "no permitted replica is fresh enough")                 \
    X(LOCKED, 66, BUSY, 14, "LOCKED", "in use by another process")                          \
    X(IO, 80, IO, 14, "IO", "input/output error")                                           \
    X(PERMISSION, 81, IO, 13, "FILE_PERMISSIONS", "wrong file permissions")                 \
    X(CORRUPT, 90, CORRUPT, 15, "DATA_LOSS", "stored data is damaged")                      \
    X(FORMAT, 91, CORRUPT, 9, "FORMAT", "stored data has another format or owner")          \
    X(TAMPERED, 92, CORRUPT, 15, "TAMPERED", "the log does not verify")                     \
    X(INTERNAL, 99, INTERNAL, 13, "INTERNAL", "internal error")

enum dom_code {
#define X(name, number, cat, grpc, reason, text) DOM_##name = number,
    DOM_CODES(X)
#undef X
};

/* A caller-owned error: where it came from and a message for a person. Zero is "none".
 * Limits: the message is cut at 511 bytes, on a UTF-8 boundary is not guaranteed. */
struct dom_error {
    enum dom_code code;
    char message[512];
    const char *file; /* static string, the C source that set it */
    int line;
};

/* The table's columns. Any thread; unknown codes read as INTERNAL. Static strings. */
enum dom_category dom_code_category(enum dom_code code);
int dom_code_grpc_status(enum dom_code code);
const char *dom_code_reason(enum dom_code code);
const char *dom_code_text(enum dom_code code);

/* Sets `err` (may be NULL) to `code` with a formatted message, and returns `code`. A later
 * call overwrites an earlier one; cleanup code keeps the first error by not calling it. */
enum dom_code dom_error_set(struct dom_error *err, enum dom_code code, const char *file, int line,
                            const char *fmt, ...) DOM_PRINTF(5, 6);

/* Puts `prefix: ` before the message of an error that is already set; for adding a place on
 * the way up. Returns err's code (DOM_INTERNAL if err is NULL). */
enum dom_code dom_error_prefix(struct dom_error *err, const char *fmt, ...) DOM_PRINTF(2, 3);

void dom_error_clear(struct dom_error *err);

/* return DOM_FAIL(err, DOM_INVALID, "port %d is out of range", port); */
#define DOM_FAIL(err, code, ...) dom_error_set((err), (code), __FILE__, __LINE__, __VA_ARGS__)

#endif
