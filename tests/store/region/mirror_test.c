/* What one region's log says went to another is mirrored in that one's log, by hashes; what is not,
 * or is said otherwise, is found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/audit/checkpoint.h"
#include "store/audit/mirror.h"
#include "tests/store/region/harness.h"

#define MIRROR_MS 20
#define WAIT_S    60

static int setup(void **state)
{
    struct harness *h = malloc(sizeof(*h));

    assert_non_null(h);
    harness_init(h);
    h->options.mirror_ms = MIRROR_MS;
    *state = h;
    return 0;
}

/* An entry of r0's log whose bytes went to a region, with a replica in another. */
static void send_to(struct harness *h, const char *to, const char *replica, size_t count)
{
    char entry[256];

    (void)snprintf(entry, sizeof(entry),
                   "{\"time\":1000,\"transfer\":{\"from_region\":\"r0\",\"replicas\":[{\"region\":"
                   "\"%s\",\"to\":\"US\"}],\"to_region\":\"%s\"}}",
                   replica, to);
    harness_append_text(h, entry, count);
}

static uint64_t published_size(const struct harness *h, const char *region)
{
    struct dom_buffer note = {0};
    char name[64];

    (void)snprintf(name, sizeof(name), "%s/audit", region);
    assert_int_equal(dom_tiledir_read_checkpoint(harness_path(h, name), &note, NULL), DOM_OK);
    const char *line = strchr(dom_buffer_cstr(&note), '\n');
    assert_non_null(line);
    uint64_t size = strtoull(line + 1, NULL, 10);
    dom_buffer_cleanup(&note);
    return size;
}

/* r0's entries against the mirrors in `region`'s log, as published. */
static struct dom_mirror_check compare(struct harness *h, const char *region, int64_t grace_ms)
{
    struct dom_tiledir source_dir;
    struct dom_tiledir mirror_dir;
    struct dom_log_walk source = {.tiledir = &source_dir};
    struct dom_log_walk mirror = {.tiledir = &mirror_dir};
    char name[64];
    char origin[64];
    struct dom_error err = {0};

    assert_int_equal(
        dom_tiledir_init(&source_dir, harness_path(h, "r0/audit"), published_size(h, "r0"), NULL),
        DOM_OK);
    uint64_t size = published_size(h, region);
    (void)snprintf(name, sizeof(name), "%s/audit", region);
    assert_int_equal(dom_tiledir_init(&mirror_dir, harness_path(h, name), size, NULL), DOM_OK);
    (void)snprintf(origin, sizeof(origin), "%s/r0", h->options.audit_origin);
    struct dom_mirror_check check = {.source = &source,
                                     .source_origin = dom_slice_str(origin),
                                     .mirror = &mirror,
                                     .region = dom_slice_str(region),
                                     .grace_ms = grace_ms};
    if (dom_mirror_compare(&check, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    dom_tiledir_cleanup(&source_dir);
    dom_tiledir_cleanup(&mirror_dir);
    return check;
}

/* Until nothing is missing; fails when that takes too long. */
static struct dom_mirror_check wait_for(struct harness *h, const char *region)
{
    uint64_t end_us =
        dom_clock_monotonic_us(dom_clock_system()) + (uint64_t)WAIT_S * UINT64_C(1000000);
    struct dom_mirror_check check;

    do {
        assert_true(dom_clock_monotonic_us(dom_clock_system()) < end_us);
        harness_settle(h);
        check = compare(h, region, 0);
    } while (check.num_missing > 0);
    return check;
}

static void what_went_to_a_region_is_mirrored_there(void **state)
{
    struct harness *h = *state;

    harness_open(h, 3);
    send_to(h, "r1", "r1", 10); /* once each, though named twice */
    send_to(h, "r0", "r2", 3);  /* stays at home, but for the replica */
    send_to(h, "nowhere", "r9", 5);
    struct dom_mirror_check one = wait_for(h, "r1");
    assert_int_equal(one.num_entries, 10);
    assert_true(one.num_mirrors >= 1);
    assert_int_equal(one.num_differing, 0);
    struct dom_mirror_check two = wait_for(h, "r2");
    assert_int_equal(two.num_entries, 3);
    assert_int_equal(two.num_differing, 0);
    /* P10: hashes and numbers, nothing of the entries; and nothing in the source's own log. */
    assert_int_equal(harness_grep(h, "r1/audit/tile", "from_region"), 0);
    assert_true(harness_grep(h, "r1/audit/tile", "\"type\":\"mirror\"") > 0);
    assert_int_equal(harness_grep(h, "r0/audit/tile", "\"type\":\"mirror\""), 0);
}

static void what_a_stop_left_over_is_made_up_for(void **state)
{
    struct harness *h = *state;

    harness_open(h, 2);
    send_to(h, "r1", "r1", 10);
    (void)wait_for(h, "r1");
    harness_close(h);
    h->options.mirror_ms = 0;
    harness_open(h, 2);
    send_to(h, "r1", "r1", 4);
    harness_settle(h);
    struct dom_mirror_check check = compare(h, "r1", 0);
    assert_int_equal(check.num_entries, 14);
    assert_int_equal(check.num_missing, 4);
    assert_true(check.first_missing >= 11);
    assert_int_equal(check.num_differing, 0);
    /* All have the same time: within the grace none is missing yet. */
    check = compare(h, "r1", 1);
    assert_int_equal(check.num_missing, 0);
    assert_int_equal(check.num_pending, 4);
    harness_close(h);
    h->options.mirror_ms = MIRROR_MS;
    harness_open(h, 2);
    check = wait_for(h, "r1");
    assert_int_equal(check.num_entries, 14);
    assert_int_equal(check.num_differing, 0);
}

static void a_mirror_that_says_something_else_is_found(void **state)
{
    struct harness *h = *state;
    static const char forged[] =
        "{\"detail\":{\"count\":10,\"digest\":"
        "\"00000000000000000000000000000000000000000000000000000000000000ff\",\"end\":11,"
        "\"first\":1,\"origin\":\"%s/r0\"},\"id\":\"019ad465-4d00-7000-8000-000000000001\","
        "\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"origin\":\"%s/r1\",\"time\":1000,"
        "\"type\":\"mirror\",\"v\":1}";
    char entry[512];
    struct op_spec spec;

    harness_open(h, 2);
    send_to(h, "r1", "r1", 10);
    struct dom_mirror_check before = wait_for(h, "r1");
    (void)snprintf(entry, sizeof(entry), forged, h->options.audit_origin, h->options.audit_origin);
    op_append(&spec, h->regions[1], entry);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    struct dom_mirror_check check = compare(h, "r1", 0);
    assert_int_equal(check.num_mirrors, before.num_mirrors + 1);
    assert_int_equal(check.num_differing, 1);
    assert_int_equal(check.first_differing, spec.receipts[0].index);
    assert_int_equal(check.num_missing, 0);
}

static void what_is_no_mirror_is_refused(void **state)
{
    static const char *const s_bad[] = {
        "{}",
        "{\"detail\":{\"count\":1},\"id\":\"019ad465-4d00-7000-8000-000000000001\",\"nonce\":"
        "\"AAAAAAAAAAAAAAAAAAAAAA==\",\"origin\":\"o\",\"time\":1,\"type\":\"mirror\",\"v\":1}",
        "{\"detail\":{\"count\":0,\"digest\":"
        "\"00000000000000000000000000000000000000000000000000000000000000ff\",\"end\":2,\"first\":"
        "1,"
        "\"origin\":\"o\"},\"id\":\"019ad465-4d00-7000-8000-000000000001\",\"nonce\":"
        "\"AAAAAAAAAAAAAAAAAAAAAA==\",\"origin\":\"o\",\"time\":1,\"type\":\"mirror\",\"v\":1}",
        "{\"detail\":{\"count\":1,\"digest\":"
        "\"00000000000000000000000000000000000000000000000000000000000000ff\",\"end\":1,\"first\":"
        "1,"
        "\"origin\":\"o\"},\"id\":\"019ad465-4d00-7000-8000-000000000001\",\"nonce\":"
        "\"AAAAAAAAAAAAAAAAAAAAAA==\",\"origin\":\"o\",\"time\":1,\"type\":\"mirror\",\"v\":1}",
        "{\"detail\":{\"count\":1,\"digest\":\"00ff\",\"end\":2,\"first\":1,\"origin\":\"o\"},"
        "\"id\":\"019ad465-4d00-7000-8000-000000000001\",\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA==\","
        "\"origin\":\"o\",\"time\":1,\"type\":\"mirror\",\"v\":1}",
    };
    struct dom_audit_mirror mirror;

    (void)state;
    for (size_t i = 0; i < sizeof(s_bad) / sizeof(s_bad[0]); i++) {
        assert_int_not_equal(dom_audit_mirror_parse(&mirror, dom_slice_str(s_bad[i]), NULL),
                             DOM_OK);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_went_to_a_region_is_mirrored_there),
        T(what_a_stop_left_over_is_made_up_for),
        T(a_mirror_that_says_something_else_is_found),
        cmocka_unit_test(what_is_no_mirror_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
