/* The scheduled check: a flipped bit is found within one cycle wherever on disk it is, is told, and
 * the reading keeps to its rate. */
#include "tests/store/region/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pace.h"
#include "store/audit/event.h"

#define T(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CYCLE_MS 50U
#define WAIT_MS  30000U

struct world {
    struct harness h;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int damaged; /* times told */
    int sound;
    bool hang; /* who tells of region 0 waits while this is so */
};

static void fsck_state(void *context, dom_store_region region, bool sound)
{
    struct world *w = context;

    (void)pthread_mutex_lock(&w->lock);
    w->damaged += sound ? 0 : 1;
    w->sound += sound ? 1 : 0;
    (void)pthread_cond_broadcast(&w->changed);
    while (w->hang && region == 0) {
        (void)pthread_cond_wait(&w->changed, &w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    harness_init(&w->h);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    /* The harness's context is first in the world's memory, so one pointer serves both. */
    assert_ptr_equal(w, w->h.options.context);
    w->h.options.fsck_interval_ms = CYCLE_MS;
    w->h.options.fsck_rate = UINT64_C(1) << 30;
    w->h.options.fsck_state = fsck_state;
    *state = w;
    return 0;
}

static void set_hang(struct world *w, bool hang)
{
    (void)pthread_mutex_lock(&w->lock);
    w->hang = hang;
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
}

static int teardown(void **state)
{
    struct world *w = *state;

    set_hang(w, false);
    harness_cleanup(&w->h);
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
    return 0;
}

static struct dom_store_stats stats_in(struct world *w, dom_store_region region)
{
    struct dom_store_stats stats = {0};

    dom_store_stats(w->h.store, region, &stats);
    return stats;
}

static struct dom_store_stats stats_of(struct world *w)
{
    return stats_in(w, 0);
}

static uint64_t now_ms(void)
{
    return dom_clock_monotonic_us(dom_clock_system()) / 1000;
}

/* Checks that end after now: `count` whole ones. */
static void await_runs_in(struct world *w, dom_store_region region, uint64_t count)
{
    uint64_t until = now_ms() + WAIT_MS;
    uint64_t want = stats_in(w, region).fsck_runs + count + 1; /* one may be under way */

    while (stats_in(w, region).fsck_runs < want) {
        struct timespec pause = {.tv_nsec = 2000000}; /* nobody tells of a check without a change */
        assert_true(now_ms() < until);
        (void)nanosleep(&pause, NULL);
    }
}

static void await_runs(struct world *w, uint64_t count)
{
    await_runs_in(w, 0, count);
}

static void await_damage(struct world *w, int damaged)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    (void)pthread_mutex_lock(&w->lock);
    while (w->damaged < damaged) {
        assert_int_equal(pthread_cond_timedwait(&w->changed, &w->lock, &until), 0);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* The path of the first file that the shell pattern names. */
static void first_of(struct world *w, const char *pattern, char out[600])
{
    char command[600];

    (void)snprintf(command, sizeof(command), "ls %s | head -1 > found", pattern);
    harness_shell(&w->h, command);
    FILE *file = fopen(harness_path(&w->h, "found"), "r");
    char name[256] = "";
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%255s", name), 1);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(out, 600, "%s", harness_path(&w->h, name));
}

static void a_sound_region_stays_sound(void **state)
{
    struct world *w = *state;

    harness_open(&w->h, 2);
    for (int i = 0; i < 3; i++) {
        harness_append(&w->h, 300); /* the log grows while it is read */
        await_runs(w, 2);
    }
    harness_settle(&w->h);
    await_runs(w, 2);
    struct dom_store_stats stats = stats_of(w);
    assert_int_equal(stats.fsck_findings, 0);
    assert_int_equal(stats.fsck_damaged, 0);
    assert_true(stats.fsck_bytes > 0 && stats.fsck_sound_s > 0);
    assert_int_equal(w->damaged, 0);
}

/* The last entry of the log, which the check wrote. */
static bool keep_last(void *context, uint64_t index, struct dom_slice entry)
{
    struct dom_buffer *last = context;

    (void)index;
    dom_buffer_clear(last);
    dom_buffer_append_slice(last, entry);
    return true;
}

static bool log_says(struct world *w, const char *part)
{
    struct dom_buffer last = {0};

    assert_int_equal(dom_store_log_entries(w->h.store, 0, 0, 100000, keep_last, &last, &w->h.err),
                     DOM_OK);
    bool found = strstr(dom_buffer_cstr(&last), part) != NULL;
    dom_buffer_cleanup(&last);
    return found;
}

static void await_entry(struct world *w, const char *part)
{
    uint64_t until = now_ms() + WAIT_MS;

    while (!log_says(w, part)) {
        struct timespec pause = {.tv_nsec = 2000000};
        assert_true(now_ms() < until);
        (void)nanosleep(&pause, NULL);
    }
}

static void a_flipped_bit_of_the_published_log_is_found_and_its_mending_too(void **state)
{
    struct world *w = *state;
    static const char *const files[] = {"r0/audit/tile/entries/000", "r0/audit/tile/0/001",
                                        "r0/audit/tile/1/000.p/*", "r0/audit/checkpoint"};

    for (size_t i = 0; i < DOM_ARRAY_LEN(files); i++) {
        char path[600];
        harness_open(&w->h, 1);
        if (i == 0) {
            harness_append(&w->h, 600);
        }
        harness_settle(&w->h);
        await_runs(w, 1);
        w->damaged = w->sound = 0;
        first_of(w, files[i], path);
        flip(path, 20);
        await_damage(w, 1);
        assert_int_equal(stats_of(w).fsck_damaged, 1);
        await_entry(w, "\"name\":\"fsck\"");
        harness_close(&w->h);
        /* The checkpoint is written anew with the entry; the others are mended here. */
        if (i + 1 < DOM_ARRAY_LEN(files)) {
            flip(path, 20);
            harness_open(&w->h, 1);
            await_runs(w, 1);
            assert_int_equal(stats_of(w).fsck_damaged, 0);
            harness_close(&w->h);
        }
    }
}

static void a_flipped_bit_of_the_database_is_found_within_one_cycle(void **state)
{
    struct world *w = *state;

    for (int round = 0; round < 4; round++) {
        char path[600];
        struct stat st;
        harness_open(&w->h, 1);
        for (int i = 0; i < 50; i++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "id-%d-%d", round, i);
            (void)harness_put(&w->h, 0, id, "some value that makes a table worth the name");
        }
        harness_settle(&w->h);
        harness_close(&w->h); /* what is written ends up in tables at the next opening */
        harness_open(&w->h, 1);
        await_runs(w, 1);
        first_of(w, "r0/db/*.sst", path);
        assert_int_equal(stat(path, &st), 0);
        w->damaged = 0;
        flip(path, (off_t)(st.st_size / 4 * round + 10));
        await_damage(w, 1);
        assert_int_equal(stats_of(w).fsck_damaged, 1);
        harness_close(&w->h);
        flip(path, (off_t)(st.st_size / 4 * round + 10));
    }
}

static void a_check_that_hangs_keeps_no_other_region_from_being_checked(void **state)
{
    struct world *w = *state;
    char path[600];

    harness_open(&w->h, 2);
    harness_append(&w->h, 300);
    harness_settle(&w->h);
    await_runs(w, 1);
    set_hang(w, true);
    first_of(w, "r0/audit/tile/entries/000", path);
    flip(path, 20);
    await_damage(w, 1);
    uint64_t runs = stats_of(w).fsck_runs;
    await_runs_in(w, 1, 3);
    assert_int_equal(stats_of(w).fsck_runs, runs);
    flip(path, 20);
    set_hang(w, false);
    await_runs(w, 1);
    assert_int_equal(stats_of(w).fsck_damaged, 0);
}

/* Bytes that whole checks of the region read after `before`, at least: the first of them may have begun
 * earlier. */
static uint64_t read_since(struct world *w, dom_store_region region,
                           const struct dom_store_stats *before)
{
    struct dom_store_stats now = stats_in(w, region);
    uint64_t runs = now.fsck_runs - before->fsck_runs;

    return runs == 0 ? 0 : (now.fsck_bytes - before->fsck_bytes) / runs * (runs - 1);
}

/* The two regions share it. */
static void reading_keeps_to_its_rate_and_stops_at_once(void **state)
{
    struct world *w = *state;
    const uint64_t rate = 256U << 10;
    const uint64_t make_up_ms = 25; /* of time that passed unused */
    char value[2048];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    w->h.options.fsck_rate = rate;
    harness_open(&w->h, 2);
    harness_append(&w->h, 3000);
    for (int i = 0; i < 60; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "id-%d", i);
        (void)harness_put(&w->h, 1, id, value);
    }
    harness_settle(&w->h);
    await_runs(w, 0);
    uint64_t begin = now_ms();
    struct dom_store_stats here = stats_in(w, 0);
    struct dom_store_stats there = stats_in(w, 1);
    await_runs(w, 2);
    await_runs_in(w, 1, 0);
    uint64_t here_bytes = read_since(w, 0, &here);
    uint64_t there_bytes = read_since(w, 1, &there);
    uint64_t took_ms = now_ms() - begin;
    assert_true(here_bytes > rate / 2 && there_bytes > rate / 2);
    assert_true(took_ms + make_up_ms >= (here_bytes + there_bytes) * 1000 / rate);
    begin = now_ms();
    harness_close(&w->h);
    assert_true(now_ms() - begin < 5000);
}

static void pace_is_exact_and_does_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(dom_pace_due_us(5, 0, 1), 5);
    assert_int_equal(dom_pace_due_us(5, 1000, 1000), 1000005);
    assert_int_equal(dom_pace_due_us(0, 1500, 1000), 1500000);
    assert_int_equal(dom_pace_due_us(0, UINT64_C(1) << 50, UINT64_C(1) << 30),
                     (UINT64_C(1) << 20) * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_sound_region_stays_sound),
        T(a_flipped_bit_of_the_published_log_is_found_and_its_mending_too),
        T(a_flipped_bit_of_the_database_is_found_within_one_cycle),
        T(a_check_that_hangs_keeps_no_other_region_from_being_checked),
        T(reading_keeps_to_its_rate_and_stops_at_once),
        cmocka_unit_test(pace_is_exact_and_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
