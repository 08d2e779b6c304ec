#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t system_wall_ms(const struct dom_clock *clock)
{
    struct timespec ts;

    (void)clock;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t system_monotonic_us(const struct dom_clock *clock)
{
    struct timespec ts;

    (void)clock;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000U + (uint64_t)ts.tv_nsec / 1000U;
}

static const struct dom_clock s_system = {
    .wall_ms = system_wall_ms, .monotonic_us = system_monotonic_us, .impl = NULL};

const struct dom_clock *dom_clock_system(void)
{
    return &s_system;
}

void dom_time_format(char *out, int64_t wall_ms, bool millis)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    int ms = (int)(wall_ms % 1000);
    struct tm tm;

    if (ms < 0) {
        ms += 1000;
        seconds -= 1;
    }
    (void)gmtime_r(&seconds, &tm);
    unsigned year = (unsigned)(tm.tm_year + 1900) % 10000U;
    int len = snprintf(out, DOM_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u", year,
                       (unsigned)(tm.tm_mon + 1) % 100U, (unsigned)tm.tm_mday % 100U,
                       (unsigned)tm.tm_hour % 100U, (unsigned)tm.tm_min % 100U,
                       (unsigned)tm.tm_sec % 100U);
    if (millis) {
        (void)snprintf(out + len, DOM_RFC3339_SIZE - (size_t)len, ".%03dZ", ms);
    } else {
        (void)snprintf(out + len, DOM_RFC3339_SIZE - (size_t)len, "Z");
    }
}

/* Reads exactly `digits` digits at *at. */
static bool number(struct dom_slice text, size_t *at, size_t digits, int *out)
{
    int value = 0;

    if (text.len - *at < digits) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = text.data[*at + i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *at += digits;
    *out = value;
    return true;
}

static bool literal(struct dom_slice text, size_t *at, char want)
{
    if (*at >= text.len || text.data[*at] != (uint8_t)want) {
        return false;
    }
    *at += 1;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Hinnant's civil-from-days, inverted). */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static bool parse_fraction(struct dom_slice text, size_t *at, int *ms)
{
    int scale = 100;
    size_t digits = 0;

    *ms = 0;
    if (!literal(text, at, '.')) {
        return true;
    }
    while (*at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9') {
        *ms += (text.data[*at] - '0') * scale;
        scale /= 10;
        *at += 1;
        digits += 1;
    }
    return digits >= 1 && digits <= 3;
}

bool dom_time_parse(struct dom_slice text, bool date_allowed, int64_t *wall_ms)
{
    int year = 0;
    int month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    int ms = 0;
    size_t at = 0;

    *wall_ms = 0;
    if (!number(text, &at, 4, &year) || !literal(text, &at, '-') || !number(text, &at, 2, &month) ||
        !literal(text, &at, '-') || !number(text, &at, 2, &day)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    bool date_only = at == text.len;
    if (date_only && !date_allowed) {
        return false;
    }
    if (!date_only) {
        if (!literal(text, &at, 'T') || !number(text, &at, 2, &hour) || !literal(text, &at, ':') ||
            !number(text, &at, 2, &minute) || !literal(text, &at, ':') ||
            !number(text, &at, 2, &second) || !parse_fraction(text, &at, &ms) ||
            !literal(text, &at, 'Z') || at != text.len) {
            return false;
        }
        if (hour > 23 || minute > 59 || second > 59) {
            return false;
        }
    }
    int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *wall_ms = seconds * 1000 + ms;
    return true;
}
