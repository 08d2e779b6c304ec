/* Random policies for tests: small ones that exercise every selector, and large ones. */
#ifndef DOM_TESTS_POLICY_RANDOM_POLICY_H
#define DOM_TESTS_POLICY_RANDOM_POLICY_H

#include <stdint.h>

#include "base/buffer.h"

/* xorshift64*; the state must not be 0. */
uint64_t random_next(uint64_t *state);
/* 0 to below - 1. */
uint32_t random_below(uint64_t *state, uint32_t below);

/* Appends the text of a policy with up to that many rules. Most load; some break a rule of
 * meaning (no lead, too few regions), which the caller skips. */
void random_policy(struct dom_buffer *out, uint64_t *state, uint32_t rules_max);

/* The same with so few names that every request can be asked: 4 countries, at most 3 classes and
 * 2 of each kind of name. */
void random_small_policy(struct dom_buffer *out, uint64_t *state, uint32_t rules_max);

/* 12 jurisdictions, 20 purposes, 20 services, 200 rules. */
void random_large_policy(struct dom_buffer *out, uint64_t *state);

#endif
