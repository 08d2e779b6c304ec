/* Dates, durations, identifiers, near words, country codes, name tables, interned keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "policy/iso3166.h"
#include "policy/names.h"
#include "policy/tables.h"
#include "policy/text.h"

static void durations_of_iso_8601(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int64_t longest_ms;
    } good[] = {
        {"P30D", 30 * DOM_MS_PER_DAY},      {"PT24H", DOM_MS_PER_DAY},
        {"P1Y", 366 * DOM_MS_PER_DAY},      {"P1M", 31 * DOM_MS_PER_DAY},
        {"P2W", 14 * DOM_MS_PER_DAY},       {"P1DT12H", 36 * 3600000},
        {"PT1M", 60000},                    {"PT1S", 1000},
        {"P999999D", 999999 * DOM_MS_PER_DAY},
    };
    static const char *const bad[] = {"",     "P",     "PT",   "P1",    "1D",    "P1H",  "PT1D",
                                      "P1DT", "P-1D",  "P1.5D", "p1d",  "P1D ",  " P1D", "P0D",
                                      "PT0S", "P1D1Y", "P1Y1Y", "P1000000D", "P1DT1H1H", "PTT1H"};
    struct dom_duration duration;
    size_t bad_at = 0;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(dom_duration_parse(dom_slice_str(good[i].text), &duration, &bad_at));
        assert_int_equal(dom_duration_ms_longest(&duration), good[i].longest_ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (dom_duration_parse(dom_slice_str(bad[i]), &duration, &bad_at)) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
        assert_true(bad_at <= strlen(bad[i]));
    }
}

static void dates_must_exist(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        size_t bad_at;
    } bad[] = {{"2027-02-29", 8}, {"2027-13-01", 5}, {"2027-00-01", 5}, {"2027-04-31", 8},
               {"2027-04-00", 8}, {"2027-4-01", 6},  {"2027/04/01", 4}, {"27-04-01", 2},
               {"2027-04-011", 10}, {"", 0},         {"2027-04-0x", 9}};
    int64_t ms = 0;
    size_t bad_at = 0;
    char out[DOM_DATE_SIZE];

    assert_true(dom_date_parse(DOM_SLICE_LIT("2028-02-29"), &ms, &bad_at));
    dom_date_format(out, ms);
    assert_string_equal(out, "2028-02-29");
    dom_date_format(out, ms + DOM_MS_PER_DAY - 1);
    assert_string_equal(out, "2028-02-29");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(dom_date_parse(dom_slice_str(bad[i].text), &ms, &bad_at));
        assert_int_equal(bad_at, bad[i].bad_at);
        assert_int_equal(ms, 0);
    }
}

static void near_words_are_near(void **unused)
{
    (void)unused;
    size_t distance = 0;

    assert_int_equal(dom_edit_distance(DOM_SLICE_LIT("identifer"), DOM_SLICE_LIT("identifier")),
                     1);
    assert_int_equal(dom_edit_distance(DOM_SLICE_LIT("raed"), DOM_SLICE_LIT("read")), 1);
    assert_int_equal(dom_edit_distance(DOM_SLICE_LIT(""), DOM_SLICE_LIT("abc")), 3);
    assert_int_equal(dom_edit_distance(DOM_SLICE_LIT("same"), DOM_SLICE_LIT("same")), 0);
    assert_true(dom_text_near(DOM_SLICE_LIT("moderate"), DOM_SLICE_LIT("moderation"), &distance));
    assert_false(dom_text_near(DOM_SLICE_LIT("us"), DOM_SLICE_LIT("eu"), &distance) &&
                 distance > 1);
    assert_false(dom_text_near(DOM_SLICE_LIT("read"), DOM_SLICE_LIT("delete"), &distance));
    char longest[64];
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(dom_edit_distance(dom_slice_of(longest, 40), dom_slice_of(longest, 40)), 0);
    assert_int_equal(dom_edit_distance(dom_slice_of(longest, 41), dom_slice_of(longest, 40)),
                     SIZE_MAX);
}

static void country_codes_are_exact(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"UK", "EL", "EU", "XK", "AN", "de", "D", "DEU", "D E", "",
                                      "DE\n", "\xD0\x95S"};
    char hint[160];

    assert_true(dom_iso3166_known(DOM_SLICE_LIT("DE")));
    assert_true(dom_iso3166_known(DOM_SLICE_LIT("AD")));
    assert_true(dom_iso3166_known(DOM_SLICE_LIT("ZW")));
    assert_string_equal(dom_iso3166_name(DOM_SLICE_LIT("SE")), "Sweden");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(dom_iso3166_known(dom_slice_str(bad[i])));
    }
    dom_iso3166_hint(DOM_SLICE_LIT("QQ"), hint, sizeof(hint));
    assert_string_equal(hint, "");
    dom_iso3166_hint(DOM_SLICE_LIT("EU"), hint, sizeof(hint));
    assert_non_null(strstr(hint, "no country"));
    dom_iso3166_hint(dom_slice_of("\xFF", 1), hint, sizeof(hint));
    assert_string_equal(hint, "");
}

static void names_are_found_whole_and_only_once(void **unused)
{
    (void)unused;
    struct dom_names names;
    struct dom_arena arena;
    char text[300][8];
    bool is_new = false;

    dom_arena_init(&arena, NULL, 0, 1U << 20);
    assert_true(dom_names_init(&names, 300, &arena));
    for (int i = 0; i < 300; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "n%d", i);
        assert_int_equal(dom_names_add(&names, text[i], NULL, &is_new), i);
        assert_true(is_new);
    }
    assert_int_equal(dom_names_add(&names, "n7", NULL, &is_new), 7);
    assert_false(is_new);
    assert_int_equal(dom_names_add(&names, "one more", NULL, &is_new), DOM_POLICY_NONE);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(dom_names_find(&names, dom_slice_str(text[i])), i);
    }
    assert_int_equal(dom_names_find(&names, DOM_SLICE_LIT("n30")), 30);
    assert_int_equal(dom_names_find(&names, DOM_SLICE_LIT("n300")), DOM_POLICY_NONE);
    assert_int_equal(dom_names_find(&names, DOM_SLICE_LIT("n")), DOM_POLICY_NONE);
    assert_string_equal(dom_names_get(&names, 300), "");
    assert_string_equal(dom_names_get(&names, -1), "");
    dom_arena_cleanup(&arena);
}

static void names_need_memory(void **unused)
{
    (void)unused;
    struct dom_names names;
    struct dom_arena arena;

    for (size_t limit = 0; limit < 4096; limit += 256) {
        dom_arena_init(&arena, NULL, 0, limit);
        (void)dom_names_init(&names, 100, &arena);
        dom_arena_cleanup(&arena);
    }
    dom_arena_init(&arena, NULL, 0, 64);
    assert_false(dom_names_init(&names, 100, &arena));
    dom_arena_cleanup(&arena);
}

static void equal_keys_get_equal_numbers_up_to_the_bound(void **unused)
{
    (void)unused;
    struct dom_interner interner;
    uint64_t key[2] = {0, 7};

    dom_interner_init(&interner, sizeof(key), 1000 * sizeof(key));
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 600; i++) {
            key[0] = i;
            assert_int_equal(dom_interner_add(&interner, key), i);
        }
    }
    uint32_t last = 0;
    for (uint32_t i = 600; i < 5000 && last != UINT32_MAX; i++) {
        key[0] = i;
        last = dom_interner_add(&interner, key);
    }
    assert_int_equal(last, UINT32_MAX);
    dom_interner_cleanup(&interner);
}

static void identifiers_and_labels(void **unused)
{
    (void)unused;
    static const char *const bad_ids[] = {"", "1a", "-a", "_a", "a b", "a.b", "a*", "\xC3\xA4"};
    static const char *const bad_labels[] = {"", "-a", ".a", "a b", "a\"b", "a\n"};

    assert_true(dom_identifier_valid(DOM_SLICE_LIT("eu-north-1")));
    assert_true(dom_label_valid(DOM_SLICE_LIT("2026/a.b:c-d_e")));
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        assert_false(dom_identifier_valid(dom_slice_str(bad_ids[i])));
    }
    for (size_t i = 0; i < sizeof(bad_labels) / sizeof(bad_labels[0]); i++) {
        assert_false(dom_label_valid(dom_slice_str(bad_labels[i])));
    }
    assert_false(dom_label_valid(dom_slice_of("a\0b", 3)));
    assert_false(dom_identifier_valid(dom_slice_of("a\0", 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_of_iso_8601),
        cmocka_unit_test(dates_must_exist),
        cmocka_unit_test(near_words_are_near),
        cmocka_unit_test(country_codes_are_exact),
        cmocka_unit_test(names_are_found_whole_and_only_once),
        cmocka_unit_test(names_need_memory),
        cmocka_unit_test(equal_keys_get_equal_numbers_up_to_the_bound),
        cmocka_unit_test(identifiers_and_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
