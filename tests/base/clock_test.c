/* Times as texts: what RFC 3339 allows here, and the dates that do not exist. */
#include "base/clock.h"

#include <stdio.h>

#include "base/macros.h"
#include "tests/base/suite.h"

struct time_case {
    const char *text;
    int64_t wall_ms;
};

/* The numbers are those of `date -u -d TEXT +%s`. */
static const struct time_case s_times[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00.001Z", 1},
    {"1969-12-31T23:59:59Z", -1000},
    {"1969-12-31T23:59:59.999Z", -1},
    {"2000-02-29T12:00:00Z", INT64_C(951825600000)},
    {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
    {"2026-11-22T10:00:00Z", INT64_C(1795341600000)},
    {"2026-11-22T10:00:00.5Z", INT64_C(1795341600500)},
    {"2026-11-22T10:00:00.05Z", INT64_C(1795341600050)},
    {"2026-11-22T10:00:00.005Z", INT64_C(1795341600005)},
    {"2026-12-31T23:59:59Z", INT64_C(1798761599000)},
    {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
    {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
};

static const char *const s_refused[] = {
    "", "2", "2027", "2027-", "2027-02", "2027-02-", "2027-2-3T00:00:00Z",
    "2027-02-30T00:00:00Z", /* no such day */
    "2027-02-29T00:00:00Z", /* not a leap year */
    "1900-02-29T00:00:00Z", /* a century that is none */
    "2100-02-29T00:00:00Z", "2027-04-31T00:00:00Z", "2027-06-31T00:00:00Z",
    "2027-00-10T00:00:00Z", "2027-13-10T00:00:00Z", "2027-01-00T00:00:00Z",
    "2027-01-32T00:00:00Z", "2027-01-01T24:00:00Z", "2027-01-01T00:60:00Z",
    "2016-12-31T23:59:60Z", /* a leap second that there was */
    "2027-01-01T23:59:61Z",
    "2027-01-01T00:00:00+00:00", "2027-01-01T00:00:00-00:00", "2027-01-01T01:00:00+01:00",
    "2027-01-01T00:00:00", /* no zone */
    "2027-01-01T00:00Z", "2027-01-01T00Z", "2027-01-01T", "2027-01-01Z",
    "2027-01-01t00:00:00Z", "2027-01-01T00:00:00z", "2027-01-01 00:00:00Z",
    "2027-01-01T00:00:00.Z", "2027-01-01T00:00:00.1234Z", "2027-01-01T00:00:00,5Z",
    "2027-01-01T00:00:00.5", "2027-01-01T00:00:00.-5Z", "2027-01-01T00:00:00.5.5Z",
    "2027-01-01T00:00:00Z ", " 2027-01-01T00:00:00Z", "2027-01-01T00:00:00ZZ",
    "+2027-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "02027-01-01T00:00:00Z",
    "12027-01-01T00:00:00Z", "2027/01/01T00:00:00Z", "20270101T000000Z",
    "2027-W01-1T00:00:00Z", "2027-1a-01T00:00:00Z", "2O27-01-01T00:00:00Z", "today",
};

static void read_the_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_times); i++) {
        int64_t got = 7;
        if (!dom_time_parse(dom_slice_str(s_times[i].text), false, &got) ||
            got != s_times[i].wall_ms) {
            fail_msg("%s: got %lld, want %lld", s_times[i].text, (long long)got,
                     (long long)s_times[i].wall_ms);
        }
    }
}

/* P11 */
static void refuse_what_is_no_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_refused); i++) {
        for (int allowed = 0; allowed < 2; allowed++) {
            int64_t got = 7;
            if (dom_time_parse(dom_slice_str(s_refused[i]), allowed != 0, &got)) {
                fail_msg("accepted: \"%s\"", s_refused[i]);
            }
            assert_int_equal(got, 0);
        }
    }
}

static void refuse_a_time_with_a_nul_behind_it(void **state)
{
    int64_t got = 7;

    (void)state;
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-01-01T00:00:00Z\0"), true, &got));
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-01-01\0"), true, &got));
}

static void refuse_every_proper_prefix(void **state)
{
    struct dom_slice whole = DOM_SLICE_LIT("2027-06-30T12:34:56.789Z");
    int64_t got = 7;

    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        assert_false(dom_time_parse(dom_slice_of(whole.data, len), false, &got));
    }
    assert_true(dom_time_parse(whole, false, &got));
}

static void read_a_date_as_its_midnight_where_dates_are_allowed(void **state)
{
    int64_t got = 7;

    (void)state;
    assert_true(dom_time_parse(DOM_SLICE_LIT("2027-06-30"), true, &got));
    assert_int_equal(got, INT64_C(1814313600000));
}

static void refuse_a_date_where_a_time_is_asked_for(void **state)
{
    int64_t got = 7;

    (void)state;
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-06-30"), false, &got));
    assert_int_equal(got, 0);
}

static void refuse_a_date_that_does_not_exist(void **state)
{
    int64_t got = 7;

    (void)state;
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-02-30"), true, &got));
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-02-29"), true, &got));
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-06-3"), true, &got));
    assert_false(dom_time_parse(DOM_SLICE_LIT("2027-06-300"), true, &got));
    assert_int_equal(got, 0);
}

static void read_a_leap_day(void **state)
{
    int64_t day = 0;
    int64_t next = 0;

    (void)state;
    assert_true(dom_time_parse(DOM_SLICE_LIT("2028-02-29"), true, &day));
    assert_true(dom_time_parse(DOM_SLICE_LIT("2028-03-01"), true, &next));
    assert_int_equal(next - day, 86400000);
}

static void format_what_was_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_times); i++) {
        char out[DOM_RFC3339_SIZE];
        int64_t got = 7;
        dom_time_format(out, s_times[i].wall_ms, true);
        assert_true(dom_time_parse(dom_slice_str(out), false, &got));
        assert_int_equal(got, s_times[i].wall_ms);
    }
}

static void format_with_and_without_milliseconds(void **state)
{
    char out[DOM_RFC3339_SIZE];

    (void)state;
    dom_time_format(out, INT64_C(1795341600005), true);
    assert_string_equal(out, "2026-11-22T10:00:00.005Z");
    dom_time_format(out, INT64_C(1795341600999), false);
    assert_string_equal(out, "2026-11-22T10:00:00Z");
}

static void format_times_before_1970(void **state)
{
    char out[DOM_RFC3339_SIZE];

    (void)state;
    dom_time_format(out, -1, true);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    dom_time_format(out, -1000, true);
    assert_string_equal(out, "1969-12-31T23:59:59.000Z");
    dom_time_format(out, -1001, false);
    assert_string_equal(out, "1969-12-31T23:59:58Z");
    dom_time_format(out, INT64_C(-62167219200000), false);
    assert_string_equal(out, "0000-01-01T00:00:00Z");
}

/* Every day of four centuries, by counting. */
static void number_the_days_without_a_gap(void **state)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t want = INT64_C(-11676096000000); /* 1600-01-01 */
    char text[16];

    (void)state;
    for (int year = 1600; year < 2001; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        for (int month = 1; month <= 12; month++) {
            int last = days[month - 1] + (month == 2 && leap ? 1 : 0);
            for (int day = 1; day <= last; day++, want += 86400000) {
                int64_t got = 0;
                (void)snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, day);
                assert_true(dom_time_parse(dom_slice_str(text), true, &got));
                assert_int_equal(got, want);
            }
        }
    }
}

static void system_clocks_go_forward(void **state)
{
    const struct dom_clock *clock = dom_clock_system();

    (void)state;
    uint64_t first = dom_clock_monotonic_us(clock);
    assert_true(dom_clock_monotonic_us(clock) >= first);
    assert_true(dom_clock_wall_ms(clock) > INT64_C(1700000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_the_time),
        cmocka_unit_test(refuse_what_is_no_time),
        cmocka_unit_test(refuse_a_time_with_a_nul_behind_it),
        cmocka_unit_test(refuse_every_proper_prefix),
        cmocka_unit_test(read_a_date_as_its_midnight_where_dates_are_allowed),
        cmocka_unit_test(refuse_a_date_where_a_time_is_asked_for),
        cmocka_unit_test(refuse_a_date_that_does_not_exist),
        cmocka_unit_test(read_a_leap_day),
        cmocka_unit_test(format_what_was_read),
        cmocka_unit_test(format_with_and_without_milliseconds),
        cmocka_unit_test(format_times_before_1970),
        cmocka_unit_test(number_the_days_without_a_gap),
        cmocka_unit_test(system_clocks_go_forward),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
