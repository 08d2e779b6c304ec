/* A policy with one of everything, over a real store, for the suites of router/core.
 * Failures end the test through cmocka. Thread contract: one thread. */
#ifndef DOM_TESTS_ROUTER_CORE_HARNESS_H
#define DOM_TESTS_ROUTER_CORE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/core/answer.h"

/* 2026-11-22T10:00:00Z: every basis of the policy is in force but `gone`. */
#define NOW INT64_C(1795341600000)

/* Regions eu-1 (DE), eu-2 (FR), uk-1 (GB), us-1 (US), in this order. Kind live_room has a field
 * for each class: cover public, title content, owner identifier, ip network, note secret, place
 * location, card payment, tag other; unknown fields are of class other. From EEA to US for
 * moderation: public and content clear, identifier pseudonym, network redacted, secret withheld,
 * location forbidden, payment's basis is over, other has no rule. */
extern const char core_policy_text[];

struct core {
    char dir[256];
    struct dom_store *store;
    struct dom_snapshot *snapshot;
    struct dom_arena arena;
    struct dom_refusal refusal;
};

/* Compiles or fails the test with the findings. The caller owns one reference. */
struct dom_policy *core_compile(const char *text);
/* A store in a fresh folder with these regions open, in this order, and a snapshot of the policy. */
void core_open(struct core *core, const char *const *regions, size_t num_regions);
void core_close(struct core *core);
/* For cmocka: the state is a core with all four regions open. */
int core_setup(void **state);
int core_teardown(void **state);

/* A service in a region; fails the test when that is refused. */
struct dom_caller core_caller(struct core *core, const char *service, const char *region);
dom_policy_id core_class(const struct core *core, const char *name);
/* The set of the classes named, up to a NULL. */
dom_policy_set core_classes(const struct core *core, const char *name, ...);
dom_policy_set core_all_classes(const struct core *core);
dom_store_region core_region(const struct core *core, const char *name);
dom_policy_id core_kind(const struct core *core);
dom_policy_id core_country(const struct core *core, const char *iso2);
dom_policy_id core_purpose(const struct core *core, const char *name);

/* live_room at home in DE, read for moderation by `caller` from eu-1, at NOW. */
void core_read(struct core *core, struct dom_access *access, const struct dom_caller *caller,
               dom_policy_set classes);

#endif
