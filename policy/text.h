/* Small readers of text that policies and their tests share: identifiers, dates, durations,
 * nearness of words. Thread contract: any thread. */
#ifndef DOM_POLICY_TEXT_H
#define DOM_POLICY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define DOM_MS_PER_DAY INT64_C(86400000)

/* [A-Za-z][A-Za-z0-9_-]*, 1 to DOM_POLICY_NAME_BYTES_MAX bytes: names of sections' members. */
bool dom_identifier_valid(struct dom_slice name);
/* [A-Za-z0-9][A-Za-z0-9_.:/-]*, same length: ids of rules and placements, keys, tickets. */
bool dom_label_valid(struct dom_slice label);

/* An ISO 8601 duration in designator form, such as P30D, PT24H, P1Y, P1M, P1DT12H, P2W. */
struct dom_duration {
    uint32_t years;
    uint32_t months;
    int64_t ms; /* weeks, days and smaller */
};
/* On failure *bad_at is the offset of the first byte that does not fit. Empty durations (P, PT,
 * P0D) are refused. Each number has at most 6 digits. */
bool dom_duration_parse(struct dom_slice text, struct dom_duration *out, size_t *bad_at);
/* The longest it can be: a year of 366 days, a month of 31. */
int64_t dom_duration_ms_longest(const struct dom_duration *duration);

/* A date that exists, "2027-06-30", as its midnight UTC. On failure *bad_at is the offset of the
 * part that does not fit (8 for the 30 of 2027-02-30). */
bool dom_date_parse(struct dom_slice text, int64_t *ms, size_t *bad_at);
/* The same, or an instant in UTC, "2027-06-30T10:00:00Z": no other zone, no fraction, no leap second. */
bool dom_instant_parse(struct dom_slice text, int64_t *ms, size_t *bad_at);
/* "2027-06-30" of a time; out needs DOM_DATE_SIZE bytes. */
#define DOM_DATE_SIZE 16
void dom_date_format(char *out, int64_t ms);

/* The number of single-byte insertions, deletions, changes and swaps between the two; SIZE_MAX
 * when either is longer than 40 bytes. */
size_t dom_edit_distance(struct dom_slice a, struct dom_slice b);
/* True when b is near enough to a to be offered as what was meant. */
bool dom_text_near(struct dom_slice a, struct dom_slice b, size_t *distance);

#endif
