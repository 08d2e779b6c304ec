/* Coverage of a policy test by the permits' cells: for expect*.c only. */
#ifndef DOM_POLICY_EXPECT_INTERNAL_H
#define DOM_POLICY_EXPECT_INTERNAL_H

#include "policy/expect.h"

/* A cell of a permit is an operation on a kind and a class that the permit names, that the kind
 * has, and that some service may ask for. It is covered when a case rests on the permit for it. */
struct dom_expect_cells {
    size_t num;
    size_t covered;
};

/* Room for the report's policy. False when out of memory. */
bool dom_expect_cover_init(struct dom_expect_report *report);
/* Notes what one decided case rests on. */
void dom_expect_cover(struct dom_expect_report *report, const struct dom_policy_request *request,
                      const struct dom_policy_decision *decision);

/* The cells of one rule (none for a forbid); those without a case are named in `names`, unless
 * NULL, the first few of them. */
struct dom_expect_cells dom_expect_cells(const struct dom_expect_report *report, size_t rule,
                                         struct dom_buffer *names);
struct dom_expect_cells dom_expect_all_cells(const struct dom_expect_report *report);

#endif
