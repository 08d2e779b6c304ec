/* Policy tests: what a policy must decide, stated in `*_test.cfg` beside it, and run.
 *
 * The syntax is the policy's own; docs/POLICY.md has the keys. A case fails when any of its
 * expectations does; all of them are told. *Not* thread-safe; one report, one owner.
 */
#ifndef DOM_POLICY_EXPECT_H
#define DOM_POLICY_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "policy/finding.h"
#include "policy/policy.h"

/* Cases of one file. */
#define DOM_EXPECT_CASES_MAX 100000U

struct dom_expect_case {
    char *name;     /* owned */
    char *why;      /* owned; "" when not said */
    uint32_t line;  /* of the case in the test file */
    bool passed;
    char *detail;   /* owned; on failure one line per expectation that does not hold: expected,
                     * got, and the deciding rule with its line; "" on success */
};

struct dom_expect_report {
    char *path;                     /* owned; of the test file */
    char *policy_path;              /* owned; of the policy it names */
    struct dom_policy *policy;      /* one reference; NULL when it did not load */
    struct dom_expect_case *cases;  /* owned, in text order */
    size_t num_cases;
    size_t num_passed;
    uint32_t *rule_uses;            /* owned; by rule: cases that it decided something in */
    uint32_t *placement_uses;       /* owned; by placement entry */
    uint64_t *cell_uses;            /* owned; a bit per cell of a permit */
    struct dom_findings findings;   /* of the test file */
    struct dom_findings policy_findings;
    struct dom_buffer text;         /* of the test file, for findings */
    struct dom_buffer policy_text;
};

/* Reads the test file and the policy it names (relative to the test file's folder), and runs
 * every case. `report` is zeroed first; cleanup is the caller's in every case. DOM_OK says that
 * the cases ran, not that they passed.
 * Errors: PARSE (see both findings lists), IO, TOO_LARGE, RESOURCE. */
enum dom_code dom_expect_run(struct dom_expect_report *report, const char *path, int64_t now_ms,
                             struct dom_error *err) DOM_MUST_USE;

/* Legal on a zeroed report. */
void dom_expect_cleanup(struct dom_expect_report *report);

/* The report in words, as one JSON object, and as TAP version 13. A permit that no case rests on is
 * a warning. With `coverage` the rules and placement entries that no case touched are named, and
 * the cells of permits (operation, kind, class) that no case rests on. */
void dom_expect_print(const struct dom_expect_report *report, bool coverage,
                      struct dom_buffer *out);
void dom_expect_print_json(const struct dom_expect_report *report, bool coverage,
                           struct dom_buffer *out);
void dom_expect_print_tap(const struct dom_expect_report *report, bool coverage,
                          struct dom_buffer *out);

#endif
