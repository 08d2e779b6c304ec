/* Each region's purger is its own: what keeps one keeps no other (P9). */
#include "tests/store/region/harness.h"

#include <stdlib.h>
#include <time.h>

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define WAIT_S  30

struct world {
    struct harness h;
    bool hang;  /* the purger that comes to the limit key "hang" waits while this is so... */
    bool hangs; /* ...and does */
};

static struct timespec deadline(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    return until;
}

static bool limit_over(void *context, struct dom_slice key, int64_t now_ms)
{
    struct world *w = context;

    (void)now_ms;
    if (!dom_slice_eq_str(key, "hang")) {
        return false;
    }
    (void)pthread_mutex_lock(&w->h.lock);
    w->hangs = w->hang;
    (void)pthread_cond_broadcast(&w->h.wake);
    while (w->hang) {
        (void)pthread_cond_wait(&w->h.wake, &w->h.lock);
    }
    w->hangs = false;
    (void)pthread_mutex_unlock(&w->h.lock);
    return false;
}

static void set_hang(struct world *w, bool hang)
{
    (void)pthread_mutex_lock(&w->h.lock);
    w->hang = hang;
    (void)pthread_cond_broadcast(&w->h.wake);
    (void)pthread_mutex_unlock(&w->h.lock);
}

static void await_hang(struct world *w)
{
    struct timespec until = deadline();

    (void)pthread_mutex_lock(&w->h.lock);
    while (!w->hangs) {
        assert_int_equal(pthread_cond_timedwait(&w->h.wake, &w->h.lock, &until), 0);
    }
    (void)pthread_mutex_unlock(&w->h.lock);
}

static uint64_t purges(struct world *w, dom_store_region region)
{
    struct dom_store_stats stats = {0};

    dom_store_stats(w->h.store, region, &stats);
    return stats.purges;
}

static void await_purge(struct world *w, dom_store_region region)
{
    struct timespec pause = {.tv_nsec = 2000000}; /* the purger tells nobody */

    for (int i = 0; i < WAIT_S * 500 && purges(w, region) == 0; i++) {
        (void)nanosleep(&pause, NULL);
    }
    assert_true(purges(w, region) > 0);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    harness_init(&w->h);
    /* The harness's context is first in the world's memory, so one pointer serves both. */
    assert_ptr_equal(w, w->h.options.context);
    w->h.options.limit_over = limit_over;
    w->h.options.purge_ms = 100;
    w->h.options.test_plain = true;
    w->h.options.compression = "none";
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    set_hang(w, false);
    harness_cleanup(&w->h);
    free(w);
    return 0;
}

static void remove_record(struct world *w, dom_store_region region, const char *id)
{
    struct op_spec spec;

    op_delete(&spec, region, id);
    assert_int_equal(harness_run(&w->h, &spec), DOM_OK);
}

static void deleted_bytes_go_while_another_regions_purger_hangs(void **state)
{
    struct world *w = *state;
    struct dom_slice limits[] = {DOM_SLICE_LIT("hang")};
    struct op_spec spec;

    harness_open(&w->h, 2);
    op_append(&spec, 0, "entry");
    spec.op.limit_keys = limits;
    spec.op.num_limit_keys = 1;
    assert_int_equal(harness_run(&w->h, &spec), DOM_OK);
    (void)harness_put(&w->h, 0, "here", "GoneHere");
    (void)harness_put(&w->h, 1, "there", "GoneThere");
    harness_close(&w->h);
    set_hang(w, true);
    harness_open(&w->h, 2); /* each purger begins with what need not be remembered */
    await_hang(w);
    assert_true(harness_grep(&w->h, "r1/db", "GoneThere") > 0);
    remove_record(w, 0, "here");
    remove_record(w, 1, "there");
    await_purge(w, 1);
    assert_int_equal(harness_grep(&w->h, "r1/db", "GoneThere"), 0);
    assert_int_equal(purges(w, 0), 0);
    set_hang(w, false);
    await_purge(w, 0);
    assert_int_equal(harness_grep(&w->h, "r0/db", "GoneHere"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(deleted_bytes_go_while_another_regions_purger_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
