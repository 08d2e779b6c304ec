/* Where time comes from. Core code takes a time as a parameter; shells hold a clock, so that
 * tests turn it by hand. Thread contract: any thread; a manual clock is set by its test. */
#ifndef DOM_BASE_CLOCK_H
#define DOM_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct dom_clock {
    int64_t (*wall_ms)(const struct dom_clock *clock);      /* ms since 1970-01-01T00:00:00Z */
    uint64_t (*monotonic_us)(const struct dom_clock *clock); /* us from an unnamed start */
    void *impl;
};

/* The machine's clocks. Static, never freed. */
const struct dom_clock *dom_clock_system(void);

static inline int64_t dom_clock_wall_ms(const struct dom_clock *clock)
{
    return clock->wall_ms(clock);
}

static inline uint64_t dom_clock_monotonic_us(const struct dom_clock *clock)
{
    return clock->monotonic_us(clock);
}

/* RFC 3339 with seconds and `Z` ("2026-11-22T10:00:00Z"); out needs DOM_RFC3339_SIZE bytes.
 * With milliseconds when `millis` is true. Years 0 to 9999. */
#define DOM_RFC3339_SIZE 32
void dom_time_format(char *out, int64_t wall_ms, bool millis);

/* Strict RFC 3339 date-time in UTC (`...Z`, optional fraction of 1 to 3 digits), or a full-date
 * "2027-06-30" meaning its midnight UTC when `date_allowed`. Refuses dates that do not exist
 * (2027-02-30), leap seconds, offsets other than Z. Returns false and leaves *wall_ms 0. */
bool dom_time_parse(struct dom_slice text, bool date_allowed, int64_t *wall_ms);

#endif
