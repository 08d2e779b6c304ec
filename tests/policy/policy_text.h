/* A small policy that loads clean, and texts made from it by changing one thing. */
#ifndef DOM_TESTS_POLICY_POLICY_TEXT_H
#define DOM_TESTS_POLICY_POLICY_TEXT_H

#include "base/buffer.h"
#include "policy/policy.h"

/* 2026-11-22T00:00:00Z: the day that all these tests take as today. */
#define TEST_NOW_MS INT64_C(1795305600000)
#define TEST_DAY_MS INT64_C(86400000)

extern const char test_policy_text[];

/* The base text with the first occurrence of `old` replaced; fails the test when there is none. */
void test_replace(struct dom_buffer *out, const char *old, const char *with);

/* Compiles; returns the code. findings must be zeroed and is the caller's to clean up. */
enum dom_code test_compile(struct dom_policy **policyp, struct dom_findings *findings,
                           struct dom_slice text);

/* The changed base text must load; the caller unrefs. */
struct dom_policy *test_load(const char *old, const char *with);

/* The changed text gives a finding of this code at the place where `at` begins in the line that
 * holds `old`'s replacement ... or anywhere when at is NULL. */
void test_finding(const char *old, const char *with, const char *code, const char *at);

/* A finding of that code, or NULL. */
const struct dom_finding *test_find(const struct dom_findings *findings, const char *code);

#endif
