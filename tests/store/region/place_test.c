/* A placement that changes: what may not lie where it does is taken away and physically purged, what
 * may lie in more places is copied there, and a record whose home region is another now moves (P1,
 * P3, P6, P9). */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define NUM 4

/* The policy of these tests: where fields may lie by their first letter, and who is home. */
static struct {
    _Atomic dom_store_set regions[2]; /* of fields "a...", "b..." */
    _Atomic int home;
    _Atomic int version; /* 0: no placement yet */
    _Atomic int64_t until_ms;
    _Atomic unsigned entries;
    _Atomic bool entry_fails;
} s_policy;

static dom_store_set field_regions(void *context, struct dom_slice kind, const char *home,
                                   struct dom_slice field)
{
    (void)context;
    (void)kind;
    (void)home;
    return field.data[0] == 'a' || field.data[0] == 'b' ? s_policy.regions[field.data[0] - 'a'] : 0;
}

static dom_store_region home_region(void *context, struct dom_slice kind, const char *home)
{
    (void)context;
    (void)kind;
    (void)home;
    return (dom_store_region)s_policy.home;
}

static bool placement(void *context, struct dom_store_placement *out)
{
    (void)context;
    out->id[0] = (uint8_t)s_policy.version;
    out->version = s_policy.version;
    out->until_ms = s_policy.until_ms == 0 ? INT64_MAX : s_policy.until_ms;
    (void)snprintf(out->name, sizeof(out->name), "test");
    memset(out->sha256, 'a', 64);
    return s_policy.version != 0;
}

/* Says what is about to be made where, when that is not within regions 0 and 1. */
static enum dom_code transfer_entry(void *context, const struct dom_store_transfer *transfer,
                                    struct dom_buffer *out, struct dom_error *err)
{
    dom_store_set abroad = 0;

    (void)context;
    if (s_policy.entry_fails) {
        return DOM_FAIL(err, DOM_INTERNAL, "as the test wants it");
    }
    for (size_t i = 0; i < transfer->row->num_fields; i++) {
        abroad |= transfer->gains[i] & ~(dom_store_set)3;
    }
    if (abroad != 0) {
        s_policy.entries++;
        dom_buffer_printf(out, "transfer of %.*s from %d to %llx home %d subject %.5s",
                          (int)transfer->row->id.len, (const char *)transfer->row->id.data,
                          transfer->from, (unsigned long long)abroad, transfer->new_home,
                          transfer->subject_hash);
    }
    return DOM_OK;
}

/* Opens again, as a start does it: the placement is told when every region is open. */
static void open_again(struct harness *h)
{
    int version = s_policy.version;

    s_policy.version = 0;
    harness_open(h, NUM);
    s_policy.version = version;
    dom_store_placement_changed(h->store);
    harness_settle(h);
}

static void open_world(struct harness *h)
{
    harness_init(h);
    s_policy.regions[0] = 15;
    s_policy.regions[1] = 3;
    s_policy.home = 0;
    s_policy.version = 1;
    s_policy.until_ms = 0;
    s_policy.entries = 0;
    s_policy.entry_fails = false;
    h->options.field_regions = field_regions;
    h->options.home_region = home_region;
    h->options.placement = placement;
    h->options.transfer_entry = transfer_entry;
    h->options.purge_ms = 100;
    open_again(h);
}

static void change(struct harness *h)
{
    s_policy.version++;
    dom_store_placement_changed(h->store);
}

static uint64_t put_at(struct harness *h, dom_store_region region, const char *id,
                       dom_store_set targets)
{
    struct op_spec spec;
    char a[64];
    char b[64];

    (void)snprintf(a, sizeof(a), "a_value=ALPHA-%s", id);
    (void)snprintf(b, sizeof(b), "b_value=BETA-%s", id);
    op_put(&spec, region, id, a, b, NULL);
    spec.op.targets = targets;
    if (harness_run(h, &spec) != DOM_OK) {
        fail_msg("put %s: %s", id, spec.op.message);
    }
    return spec.op.version;
}

static void put_many(struct harness *h, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "rec-%zu-end", i);
        (void)put_at(h, 0, id, 14);
    }
    harness_settle(h);
}

struct found {
    const char *words;
    unsigned count;
};

static bool look_at_entry(void *context, uint64_t index, struct dom_slice entry)
{
    struct found *found = context;

    (void)index;
    found->count += memmem(entry.data, entry.len, found->words, strlen(found->words)) != NULL;
    return true;
}

static unsigned entries_with(struct harness *h, dom_store_region region, const char *words)
{
    struct found found = {.words = words};

    assert_int_equal(dom_store_log_entries(h->store, region, 0, 100000, look_at_entry, &found,
                                           &h->err),
                     DOM_OK);
    return found.count;
}

static struct dom_store_placing progress(struct harness *h, dom_store_region region)
{
    struct dom_store_placing out;

    dom_store_placing(h->store, region, &out);
    return out;
}

static void wait_purged(struct harness *h, dom_store_region region)
{
    for (int i = 0; i < 2000 && progress(h, region).unpurged > 0; i++) {
        harness_shell(h, "sleep 0.01"); /* the purger tells nobody */
    }
    assert_int_equal(progress(h, region).unpurged, 0);
}

/* P1, P9: neither value nor key is in any file of the region that may not hold it; the receipt says
 * how many rows, under which policy. */
static void narrowing_takes_away_and_purges(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h);
    harness_remove_tree(h.dir);
    open_world(&h);
    h.options.test_plain = false;
    put_many(&h, 300);
    assert_string_equal(harness_field(&h, 3, "rec-7-end", "a_value"), "ALPHA-rec-7-end");
    s_policy.regions[0] = 7; /* not in region 3 any more */
    change(&h);
    harness_settle(&h);
    for (int i = 0; i < 300; i += 7) {
        char id[32];
        (void)snprintf(id, sizeof(id), "rec-%d-end", i);
        assert_null(harness_field(&h, 3, id, "a_value"));
        assert_non_null(harness_field(&h, 2, id, "a_value"));
    }
    wait_purged(&h, 3);
    assert_int_equal(progress(&h, 3).purged, 300);
    assert_true(entries_with(&h, 3, "\"cause\":\"placement\"") >= 1);
    assert_true(entries_with(&h, 3, "\"policy\":{\"name\":\"test\",\"sha256\":\"aaa") >= 1);
    assert_true(entries_with(&h, 3, "\"version\":2}") >= 1);
    assert_int_equal(entries_with(&h, 2, "\"cause\":\"placement\""), 0);
    assert_int_equal(progress(&h, 0).moved, 300);
    assert_int_equal(progress(&h, 0).stage, DOM_STORE_PLACED);
    assert_int_equal(progress(&h, 0).remaining, 0);
    assert_int_equal(s_policy.entries, 0); /* nothing went anywhere */
    harness_cleanup(&h);
}

/* The same without encryption, where bytes can be looked for: also keys, which lie in manifests. */
static void narrowing_leaves_no_bytes(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h);
    h.options.test_plain = true;
    h.options.compression = "none";
    s_policy.regions[0] = 15;
    s_policy.regions[1] = 3;
    s_policy.home = 0;
    s_policy.version = 1;
    s_policy.until_ms = 0;
    h.options.field_regions = field_regions;
    h.options.home_region = home_region;
    h.options.placement = placement;
    h.options.purge_ms = 100;
    open_again(&h);
    put_many(&h, 200);
    harness_close(&h); /* some of it gets into tables, and their bounds into a manifest */
    open_again(&h);
    assert_true(harness_grep(&h, "r3", "ALPHA-rec") > 0);
    assert_true(harness_grep(&h, "r3", "rec-199-end") > 0);
    assert_true(harness_grep(&h, "r1", "BETA-rec") > 0);
    assert_int_equal(harness_grep(&h, "r2", "BETA-rec"), 0);
    s_policy.regions[0] = 7;
    s_policy.regions[1] = 1;
    change(&h);
    harness_settle(&h);
    wait_purged(&h, 3);
    wait_purged(&h, 1);
    assert_int_equal(harness_grep(&h, "r3", "ALPHA-"), 0);
    assert_int_equal(harness_grep(&h, "r3", "rec-"), 0);
    assert_int_equal(harness_grep(&h, "r1", "BETA-"), 0);
    assert_true(harness_grep(&h, "r1", "ALPHA-rec") > 0); /* a part of the row stays */
    assert_true(harness_grep(&h, "r0", "BETA-rec") > 0);
    harness_cleanup(&h);
}

static void widening_copies_with_an_entry(void **state)
{
    struct harness h;

    (void)state;
    open_world(&h);
    s_policy.regions[0] = 3;
    put_many(&h, 0);
    for (int i = 0; i < 40; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "rec-%d-end", i);
        (void)put_at(&h, 0, id, 2);
    }
    harness_settle(&h);
    assert_null(harness_field(&h, 2, "rec-3-end", "a_value"));
    s_policy.regions[0] = 7; /* abroad */
    s_policy.regions[1] = 3;
    change(&h);
    harness_settle(&h);
    assert_string_equal(harness_field(&h, 2, "rec-3-end", "a_value"), "ALPHA-rec-3-end");
    assert_null(harness_field(&h, 2, "rec-3-end", "b_value"));
    assert_int_equal(s_policy.entries, 40);
    /* P3: in the log of the region that gives, before the copy is made */
    assert_int_equal(entries_with(&h, 0, "transfer of rec-3-end from 0 to 4 home -1 subject hmac:"),
                     1);
    change(&h); /* another policy that says the same of these */
    harness_settle(&h);
    assert_int_equal(s_policy.entries, 40);
    assert_int_equal(progress(&h, 0).moved, 0);
    harness_cleanup(&h);
}

static void nothing_is_copied_when_the_entry_cannot_be_made(void **state)
{
    struct harness h;

    (void)state;
    open_world(&h);
    s_policy.regions[0] = 3;
    (void)put_at(&h, 0, "one", 2);
    harness_settle(&h);
    s_policy.entry_fails = true;
    s_policy.regions[0] = 7;
    change(&h);
    assert_false(dom_store_settle(h.store, 1200));
    assert_null(harness_field(&h, 2, "one", "a_value"));
    s_policy.entry_fails = false;
    harness_settle(&h); /* it comes again by itself */
    assert_non_null(harness_field(&h, 2, "one", "a_value"));
    harness_cleanup(&h);
}

static void widening_keeps_its_rate(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h);
    harness_remove_tree(h.dir);
    open_world(&h);
    harness_close(&h);
    h.options.place_per_s = 200;
    s_policy.regions[0] = 3;
    open_again(&h);
    for (int i = 0; i < 200; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "rec-%d-end", i);
        (void)put_at(&h, 0, id, 2);
    }
    harness_settle(&h);
    uint64_t began = dom_clock_monotonic_us(dom_clock_system());
    s_policy.regions[0] = 7;
    change(&h);
    harness_settle(&h);
    uint64_t took = dom_clock_monotonic_us(dom_clock_system()) - began;
    assert_non_null(harness_field(&h, 2, "rec-199-end", "a_value"));
    assert_true(took >= 900000); /* 200 records at 200 a second */
    harness_cleanup(&h);
}

/* ---- another home region -------------------------------------------------------------------- */

static void home_moves_with_the_record(void **state)
{
    struct harness h;
    struct dom_store_row row;
    dom_store_region at = 9;

    (void)state;
    open_world(&h);
    put_many(&h, 260); /* more than one step */
    s_policy.home = 1;
    s_policy.regions[0] = 14; /* region 0 may hold nothing any more */
    s_policy.regions[1] = 2;
    change(&h);
    harness_settle(&h);
    assert_int_equal(harness_get(&h, 1, "rec-9-end", &row), DOM_OK);
    assert_true(row.is_home);
    assert_true(row.complete);
    assert_int_equal(row.version, 2); /* it grew */
    assert_int_equal(row.num_fields, 2);
    assert_int_equal(harness_get(&h, 0, "rec-9-end", &row), DOM_NOT_FOUND);
    assert_int_equal(harness_get(&h, 3, "rec-9-end", &row), DOM_OK);
    assert_int_equal(row.version, 2);
    assert_int_equal(dom_store_locate(h.session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("rec-9-end"),
                                      &at, &h.err),
                     DOM_OK);
    assert_int_equal(at, 1);
    assert_int_equal(progress(&h, 0).rehomed, 260);
    assert_false(dom_store_rehoming(h.store));
    wait_purged(&h, 0);
    assert_int_equal(progress(&h, 0).purged, 260);
    /* Its writes are committed there, and the old home refuses them. */
    assert_int_equal(put_at(&h, 1, "rec-9-end", 12), 3);
    struct op_spec spec;
    op_put(&spec, 0, "rec-9-end", "a_value=x", NULL);
    assert_int_equal(harness_run(&h, &spec), DOM_HOME_MISMATCH);
    harness_cleanup(&h);
}

static void what_crosses_is_in_the_log_of_the_old_home(void **state)
{
    struct harness h;

    (void)state;
    open_world(&h);
    (void)put_at(&h, 0, "one", 14);
    harness_settle(&h);
    s_policy.home = 2;
    s_policy.regions[0] = 12;
    s_policy.regions[1] = 12;
    change(&h);
    harness_settle(&h);
    assert_non_null(harness_field(&h, 2, "one", "b_value"));
    assert_non_null(harness_field(&h, 3, "one", "b_value"));
    assert_null(harness_field(&h, 0, "one", "a_value"));
    assert_int_equal(entries_with(&h, 0, "transfer of one from 0 to c home 2"), 1);
    harness_cleanup(&h);
}

static void there_and_back_again(void **state)
{
    struct harness h;
    struct dom_store_row row;

    (void)state;
    open_world(&h);
    put_many(&h, 50);
    for (int round = 0; round < 6; round++) {
        s_policy.home = round % 2 == 0 ? 1 : 0;
        change(&h);
        if (round % 3 == 2) {
            harness_settle(&h); /* else the next change comes in between */
        }
    }
    s_policy.home = 1;
    change(&h);
    harness_settle(&h);
    for (int i = 0; i < 50; i++) {
        char id[32];
        unsigned homes = 0;
        (void)snprintf(id, sizeof(id), "rec-%d-end", i);
        for (dom_store_region r = 0; r < NUM; r++) {
            assert_int_equal(harness_get(&h, r, id, &row), DOM_OK);
            homes += row.is_home ? 1 : 0;
            assert_int_equal(row.num_fields, r < 2 ? 2 : 1);
        }
        assert_int_equal(homes, 1);
        assert_int_equal(harness_get(&h, 1, id, &row), DOM_OK);
        assert_true(row.is_home);
    }
    harness_cleanup(&h);
}

static void what_may_lie_nowhere_stays_and_is_counted(void **state)
{
    struct harness h;
    struct dom_store_row row;

    (void)state;
    open_world(&h);
    (void)put_at(&h, 0, "one", 14);
    harness_settle(&h);
    s_policy.home = DOM_STORE_NO_REGION;
    s_policy.regions[0] = 0;
    s_policy.regions[1] = 0;
    change(&h);
    harness_settle(&h);
    assert_int_equal(harness_get(&h, 0, "one", &row), DOM_OK);
    assert_int_equal(harness_get(&h, 1, "one", &row), DOM_NOT_FOUND);
    assert_int_equal(harness_get(&h, 3, "one", &row), DOM_NOT_FOUND);
    assert_int_equal(progress(&h, 0).without_place, 1);
    harness_close(&h);
    open_again(&h);
    assert_int_equal(progress(&h, 0).without_place, 1); /* a start looks again */
    harness_cleanup(&h);
}

/* ---- writes across a change ----------------------------------------------------------------- */

static void a_write_decided_before_is_looked_at_again(void **state)
{
    struct harness h;
    struct op_spec spec;

    (void)state;
    open_world(&h);
    uint64_t before = dom_store_placement_epoch(h.store);
    s_policy.regions[0] = 7;
    change(&h);
    harness_settle(&h);
    op_put(&spec, 0, "late", "a_value=x", NULL);
    spec.op.targets = 14;
    spec.op.placement_epoch = before;
    assert_int_equal(harness_run(&h, &spec), DOM_UNAVAILABLE);
    op_put(&spec, 0, "late", "a_value=x", NULL);
    spec.op.targets = 6; /* what the new one says too */
    spec.op.placement_epoch = before;
    assert_int_equal(harness_run(&h, &spec), DOM_OK);
    op_put(&spec, 1, "other", "a_value=x", NULL); /* not the home region */
    spec.op.placement_epoch = before;
    assert_int_equal(harness_run(&h, &spec), DOM_UNAVAILABLE);
    op_put(&spec, 0, "now", "a_value=x", NULL);
    spec.op.targets = 14;
    spec.op.placement_epoch = dom_store_placement_epoch(h.store);
    assert_int_equal(harness_run(&h, &spec), DOM_OK);
    harness_settle(&h);
    assert_null(harness_field(&h, 3, "now", "a_value")); /* P1 all the same */
    harness_cleanup(&h);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void a_date_changes_it_too(void **state)
{
    struct harness h;

    (void)state;
    open_world(&h);
    harness_close(&h);
    h.wall_ms = 1000;
    s_policy.until_ms = 2000;
    s_policy.version = 5;
    open_again(&h);
    (void)put_at(&h, 0, "one", 14);
    harness_settle(&h);
    assert_non_null(harness_field(&h, 3, "one", "a_value"));
    s_policy.regions[0] = 7; /* a basis has ended: nobody calls */
    s_policy.version = 6;
    s_policy.until_ms = 0;
    h.wall_ms = 2000;
    for (int i = 0; i < 500 && harness_field(&h, 3, "one", "a_value") != NULL; i++) {
        harness_shell(&h, "sleep 0.01");
    }
    assert_null(harness_field(&h, 3, "one", "a_value"));
    harness_cleanup(&h);
}

static void what_was_owed_is_done_after_a_restart(void **state)
{
    struct harness h;

    (void)state;
    open_world(&h);
    put_many(&h, 100);
    harness_close(&h);
    s_policy.regions[0] = 7;
    s_policy.version = 2;
    open_again(&h); /* as after a crash right after the change */
    assert_null(harness_field(&h, 3, "rec-50-end", "a_value"));
    assert_int_equal(progress(&h, 0).moved, 100);
    harness_close(&h);
    open_again(&h);
    assert_int_equal(progress(&h, 0).since_ms, 0); /* nothing was owed */
    wait_purged(&h, 3);
    harness_cleanup(&h);
}

/* ---- what is not remembered for ever --------------------------------------------------------- */

static bool limit_over(void *context, struct dom_slice key, int64_t now_ms)
{
    (void)context;
    (void)now_ms;
    return key.len > 4 && memcmp(key.data, "old/", 4) == 0;
}

/* In the last region: it is gone through after the others. */
static bool seen(struct harness *h, const char *key)
{
    bool is_seen = false;

    assert_int_equal(dom_store_limit_seen(h->session, 3, dom_slice_str(key), dom_slice_str(key),
                                          NULL, &is_seen, &h->err),
                     DOM_OK);
    return is_seen;
}

/* The version that a new record with this id would get tells whether its tombstone is there. */
static uint64_t version_of_next(struct harness *h, const char *id)
{
    uint64_t version = put_at(h, 0, id, 14);
    struct op_spec spec;

    op_delete(&spec, 0, id);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    return version;
}

static void old_tombstones_and_limits_are_forgotten(void **state)
{
    struct harness h;
    struct op_spec spec;
    struct dom_slice limits[] = {DOM_SLICE_LIT("old/one"), DOM_SLICE_LIT("new/one")};

    (void)state;
    open_world(&h);
    harness_close(&h);
    h.wall_ms = INT64_C(1800000000000);
    h.options.limit_over = limit_over;
    open_again(&h);
    assert_int_equal(version_of_next(&h, "gone"), 1);
    op_append(&spec, 3, "entry");
    spec.op.limit_keys = limits;
    spec.op.num_limit_keys = 2;
    assert_int_equal(harness_run(&h, &spec), DOM_OK);
    harness_close(&h);
    h.wall_ms += INT64_C(29) * 86400000; /* a day before */
    open_again(&h);
    for (int i = 0; i < 1000 && seen(&h, "old/one"); i++) {
        harness_shell(&h, "sleep 0.01"); /* the purger tells nobody; tombstones come first */
    }
    assert_false(seen(&h, "old/one"));
    assert_true(seen(&h, "new/one"));
    harness_close(&h);
    h.wall_ms += INT64_C(2) * 86400000; /* a day after */
    open_again(&h);
    op_append(&spec, 3, "entry");
    spec.op.limit_keys = limits;
    spec.op.num_limit_keys = 1;
    assert_int_equal(harness_run(&h, &spec), DOM_OK); /* goes when the walk of tombstones is over */
    harness_close(&h);
    h.wall_ms += INT64_C(1) * 86400000;
    open_again(&h);
    for (int i = 0; i < 1000 && seen(&h, "old/one"); i++) {
        harness_shell(&h, "sleep 0.01");
    }
    assert_int_equal(version_of_next(&h, "gone"), 1); /* nobody remembers version 2 */
    assert_int_equal(version_of_next(&h, "gone"), 3); /* but this one */
    harness_cleanup(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrowing_takes_away_and_purges),
        cmocka_unit_test(narrowing_leaves_no_bytes),
        cmocka_unit_test(widening_copies_with_an_entry),
        cmocka_unit_test(nothing_is_copied_when_the_entry_cannot_be_made),
        cmocka_unit_test(widening_keeps_its_rate),
        cmocka_unit_test(home_moves_with_the_record),
        cmocka_unit_test(what_crosses_is_in_the_log_of_the_old_home),
        cmocka_unit_test(there_and_back_again),
        cmocka_unit_test(what_may_lie_nowhere_stays_and_is_counted),
        cmocka_unit_test(a_write_decided_before_is_looked_at_again),
        cmocka_unit_test(a_date_changes_it_too),
        cmocka_unit_test(what_was_owed_is_done_after_a_restart),
        cmocka_unit_test(old_tombstones_and_limits_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
