/* Second copies as the store keeps them: who waits for which, and what closes the log (P3, P5). */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "store/audit/sinkdir.h"
#include "store/region/gate.h"

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

struct world {
    struct harness h;
    struct dom_store_sink sinks[DOM_SINKS_MAX + 1];
    char names[DOM_SINKS_MAX + 1][16];
    char dirs[DOM_SINKS_MAX + 1][300];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    harness_init(&w->h);
    dom_log_set_level(DOM_LOG_ERROR + 1);
    for (size_t i = 0; i <= DOM_SINKS_MAX; i++) {
        (void)snprintf(w->names[i], sizeof(w->names[i]), "s%zu", i);
        (void)snprintf(w->dirs[i], sizeof(w->dirs[i]), "%s", harness_path(&w->h, w->names[i]));
        assert_int_equal(mkdir(w->dirs[i], 0700), 0);
        w->sinks[i] = (struct dom_store_sink){
            .name = w->names[i], .region = "r0", .dir = w->dirs[i]};
    }
    w->h.options.sinks = w->sinks;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    harness_cleanup(&w->h);
    dom_log_set_level(DOM_LOG_ERROR);
    free(w);
    return 0;
}

static void open_with(struct world *w, size_t num_sinks)
{
    w->h.options.num_sinks = num_sinks;
    harness_open(&w->h, 1);
}

/* An entry that must be in one of each of the sets. */
static enum dom_code append(struct world *w, uint8_t first, uint8_t second)
{
    struct op_spec spec;

    op_append(&spec, 0, "entry");
    spec.op.need.num = second == 0 ? 1 : 2;
    spec.op.need.one_of[0] = first;
    spec.op.need.one_of[1] = second;
    return harness_run(&w->h, &spec);
}

static uint64_t copied(struct world *w, size_t sink)
{
    struct dom_store_sink_stats stats;

    dom_store_sink_stats(w->h.store, 0, sink, &stats);
    assert_string_equal(stats.name, w->names[sink]);
    return stats.entries;
}

static void require(struct world *w, uint8_t one_of)
{
    struct dom_store_need need = {.num = 1, .one_of = {one_of}};

    dom_store_require(w->h.store, 0, &need);
}

static bool closed_for_sinks(struct world *w)
{
    struct dom_store_stats stats;

    dom_store_stats(w->h.store, 0, &stats);
    return (stats.closed >> DOM_GATE_SINKS & 1U) != 0;
}

static void await_closed(struct world *w, bool closed)
{
    for (int i = 0; i < 1000 && closed_for_sinks(w) != closed; i++) {
        struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
    }
    assert_int_equal(closed_for_sinks(w), closed);
}

static void operation_comes_back_with_its_copies(void **state)
{
    struct world *w = *state;

    open_with(w, 2);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(append(w, 1, 2), DOM_OK);
        uint64_t size = dom_store_log_size(w->h.store, 0);
        assert_true(copied(w, 0) >= size && copied(w, 1) >= size);
    }
}

static void one_of_two_is_enough_when_any_is(void **state)
{
    struct world *w = *state;

    open_with(w, 2);
    require(w, 1 | 2);
    harness_shell(&w->h, "mv s0 away");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(append(w, 1 | 2, 0), DOM_OK);
    }
    assert_false(closed_for_sinks(w));
    harness_shell(&w->h, "mv s1 away1");
    /* the last one notices with the next entry, and closes the log for those after it */
    struct op_spec spec;
    op_append(&spec, 0, "entry");
    assert_int_equal(harness_run(&w->h, &spec), DOM_OK);
    await_closed(w, true);
    assert_int_equal(append(w, 1 | 2, 0), DOM_AUDIT_UNAVAILABLE);
    harness_put(&w->h, 0, "x", "at home"); /* needs no entry */
    harness_shell(&w->h, "mv away s0");
    await_closed(w, false);
    assert_int_equal(append(w, 1 | 2, 0), DOM_OK);
}

static void entries_of_before_are_copied_too(void **state)
{
    struct world *w = *state;

    open_with(w, 0);
    harness_append(&w->h, 2000);
    uint64_t size = dom_store_log_size(w->h.store, 0);
    harness_close(&w->h);
    open_with(w, 1);
    assert_int_equal(append(w, 1, 0), DOM_OK);
    assert_true(copied(w, 0) > size);
}

static void operation_that_lacks_a_copy_is_not_acknowledged_at_the_end(void **state)
{
    struct world *w = *state;
    struct op_spec spec;
    bool done = false;

    open_with(w, 1);
    harness_append(&w->h, 1);
    harness_shell(&w->h, "mv s0 away"); /* at once: the copy is written to */
    op_append(&spec, 0, "entry");
    spec.op.need = (struct dom_store_need){.num = 1, .one_of = {1}};
    spec.op.owner = &done;
    assert_int_equal(dom_store_submit(w->h.store, &spec.op, &w->h.err), DOM_OK);
    harness_close(&w->h);
    assert_true(done);
    assert_int_equal(spec.op.code, DOM_UNAVAILABLE);
}

static void unknown_sink_is_never_met(void **state)
{
    struct world *w = *state;

    open_with(w, 1);
    assert_int_equal(dom_store_find_sink(w->h.store, 0, DOM_SLICE_LIT("s0")), 0);
    assert_int_equal(dom_store_find_sink(w->h.store, 0, DOM_SLICE_LIT("s1")), -1);
    require(w, 0);
    assert_true(closed_for_sinks(w));
    assert_int_equal(append(w, 1, 0), DOM_AUDIT_UNAVAILABLE);
    struct dom_store_need none = {0};
    dom_store_require(w->h.store, 0, &none);
    assert_false(closed_for_sinks(w));
}

/* P5: the copy knows what a log that was set back, its kept checkpoint with it, would hide. */
static void copy_ahead_of_its_log_closes_it(void **state)
{
    struct world *w = *state;

    open_with(w, 1);
    harness_append(&w->h, 3);
    harness_settle(&w->h);
    harness_close(&w->h);
    harness_shell(&w->h, "cp -a r0 older && cp -a keys older.keys");
    open_with(w, 1);
    harness_append(&w->h, 3);
    harness_settle(&w->h);
    harness_close(&w->h);
    harness_shell(&w->h, "rm -rf r0 keys && mv older r0 && mv older.keys keys");
    open_with(w, 1); /* by itself the store cannot tell */
    require(w, 1);
    assert_true(closed_for_sinks(w));
    assert_int_equal(append(w, 1, 0), DOM_AUDIT_UNAVAILABLE);
}

static void sinks_of_a_region_are_bounded(void **state)
{
    struct world *w = *state;
    dom_store_region region = 0;

    open_with(w, DOM_SINKS_MAX);
    assert_int_equal(dom_store_num_sinks(w->h.store, 0), DOM_SINKS_MAX);
    assert_int_equal(append(w, 1, 128), DOM_OK);
    harness_close(&w->h);
    w->h.options.num_sinks = DOM_SINKS_MAX + 1;
    assert_int_equal(dom_store_new(&w->h.store, &w->h.options, &w->h.err), DOM_OK);
    assert_int_equal(dom_store_open_region(w->h.store, &region, "r0", &w->h.err), DOM_INVALID);
    dom_store_destroy(w->h.store);
    w->sinks[1].name = "s0"; /* twice */
    w->h.options.num_sinks = 2;
    assert_int_equal(dom_store_new(&w->h.store, &w->h.options, &w->h.err), DOM_OK);
    assert_int_equal(dom_store_open_region(w->h.store, &region, "r0", &w->h.err), DOM_INVALID);
    assert_int_equal(dom_store_open_region(w->h.store, &region, "r1", &w->h.err), DOM_OK);
    assert_int_equal(dom_store_num_sinks(w->h.store, region), 0);
    dom_store_destroy(w->h.store);
    w->h.store = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(operation_comes_back_with_its_copies),
        T(one_of_two_is_enough_when_any_is),
        T(entries_of_before_are_copied_too),
        T(operation_that_lacks_a_copy_is_not_acknowledged_at_the_end),
        T(unknown_sink_is_never_met),
        T(copy_ahead_of_its_log_closes_it),
        T(sinks_of_a_region_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
