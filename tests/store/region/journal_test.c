/* The journal: what is given back after a crash, in which order, and what is not. */
#include "store/region/journal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"

#define T(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define REPLAYED_MAX 512

struct fixture {
    char dir[64];
    char path[128];
    struct dom_journal *journal;
    struct dom_error err;
    uint64_t missing; /* the database has not what begins here, though its log ends later */
    /* Of the last replay. */
    size_t num;
    uint64_t first[REPLAYED_MAX];
    char text[REPLAYED_MAX][32];
};

static void open_as(struct fixture *f, const char *origin)
{
    dom_journal_destroy(f->journal);
    f->journal = dom_journal_new(f->path, origin);
    assert_int_equal(dom_journal_open(f->journal, &f->err), DOM_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->missing = UINT64_MAX;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/domicile-journal-XXXXXX");
    DOM_ASSERT(mkdtemp(f->dir) != NULL);
    (void)snprintf(f->path, sizeof(f->path), "%s/journal", f->dir);
    open_as(f, "example.com/r0");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    dom_journal_destroy(f->journal);
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static bool append(struct fixture *f, uint64_t first, uint32_t count, uint64_t synced)
{
    char text[32];

    int len = snprintf(text, sizeof(text), "batch %llu", (unsigned long long)first);
    return dom_journal_append(f->journal, first, count, dom_slice_of(text, (size_t)len), synced);
}

static enum dom_code take(void *context, uint64_t first, uint32_t count, struct dom_slice batch,
                          struct dom_error *err)
{
    struct fixture *f = context;

    (void)err;
    assert_true(count > 0 && f->num < REPLAYED_MAX);
    f->first[f->num] = first;
    (void)snprintf(f->text[f->num], sizeof(f->text[0]), "%.*s",
                   (int)(batch.len < 31 ? batch.len : 31), (const char *)batch.data);
    f->num++;
    return DOM_OK;
}

static bool has(void *context, uint64_t first)
{
    const struct fixture *f = context;

    return first != f->missing;
}

static size_t replay_as(struct fixture *f, const char *origin, uint64_t size)
{
    struct dom_journal_target target = {.has = has, .apply = take, .context = f};

    open_as(f, origin);
    f->num = 0;
    assert_int_equal(dom_journal_replay(f->journal, size, &target, &f->err), DOM_OK);
    return f->num;
}

/* As the next process does. */
static size_t replay(struct fixture *f, uint64_t size)
{
    return replay_as(f, "example.com/r0", size);
}

static void change_byte(const struct fixture *f, off_t at)
{
    uint8_t byte = 0;
    int fd = open(f->path, O_RDWR | O_CLOEXEC);

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static void what_continues_the_log_comes_back_in_order(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(replay(f, 0), 0);
    assert_true(append(f, 100, 3, 100));
    assert_true(append(f, 103, 1, 100));
    assert_true(append(f, 104, 200, 100));
    assert_int_equal(replay(f, 100), 3);
    assert_int_equal(f->first[0], 100);
    assert_int_equal(f->first[1], 103);
    assert_int_equal(f->first[2], 104);
    assert_string_equal(f->text[2], "batch 104");
    assert_int_equal(replay(f, 103), 2);
    assert_int_equal(f->first[0], 103);
    assert_int_equal(replay(f, 304), 0);
    assert_int_equal(replay(f, 99), 0);  /* there is a gap: nothing fits */
}

static void a_hole_in_the_log_is_filled(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 0; i < 8; i++) {
        assert_true(append(f, 2 * i, 2, 0));
    }
    f->missing = 6;
    assert_int_equal(replay(f, 12), 3);
    assert_int_equal(f->first[0], 6);
    assert_int_equal(f->first[1], 12);
    assert_int_equal(f->first[2], 14);
    assert_int_equal(replay(f, 16), 1);
    assert_int_equal(replay(f, 40), 1); /* what came after it went another way */
}

static void a_record_cut_by_the_crash_ends_it(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 0; i < 4; i++) {
        assert_true(append(f, i, 1, 0));
    }
    for (int at = 0; at < 64 + 7; at += 7) {
        change_byte(f, 2 * (off_t)DOM_JOURNAL_BLOCK + at);
        assert_int_equal(replay(f, 0), 2);
        change_byte(f, 2 * (off_t)DOM_JOURNAL_BLOCK + at);
    }
    assert_int_equal(replay(f, 0), 4);
}

static void another_logs_records_are_not_taken(void **state)
{
    struct fixture *f = *state;

    assert_true(append(f, 0, 1, 0));
    assert_int_equal(replay_as(f, "example.com/r1", 0), 0);
    assert_int_equal(replay(f, 0), 1);
}

static void what_is_synced_makes_room_and_is_not_taken_for_new(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 0; i < 10; i++) {
        assert_true(append(f, i, 1, 0));
    }
    assert_true(append(f, 10, 1, 10)); /* at the front: what follows it there is the old run */
    assert_int_equal(replay(f, 10), 1);
    assert_int_equal(f->first[0], 10);
    assert_int_equal(replay(f, 11), 0);
    /* A batch that went elsewhere was synced there, and all before it. */
    assert_true(append(f, 11, 1, 0));
    assert_true(append(f, 12, 1, 0));
    assert_true(append(f, 20, 1, 0));
    assert_int_equal(replay(f, 20), 1);
    assert_int_equal(replay(f, 11), 0);
}

static void full_it_takes_nothing_until_more_is_synced(void **state)
{
    struct fixture *f = *state;
    uint64_t next = 0;

    while (append(f, next, 1, 0)) {
        next++;
        assert_true(next <= DOM_JOURNAL_BYTES / DOM_JOURNAL_BLOCK);
    }
    assert_int_equal(next, DOM_JOURNAL_BYTES / DOM_JOURNAL_BLOCK);
    assert_int_equal(replay(f, 0), next);
    assert_int_equal(replay(f, next - 1), 1);
    /* Reopened it begins anew, so it is filled once more. */
    next = 0;
    while (append(f, next, 1, 0)) {
        next++;
    }
    assert_false(append(f, next, 1, next - 1));
    assert_true(append(f, next, 1, next));
    assert_int_equal(replay(f, next), 1);
}

static void a_batch_at_the_limit_is_taken_one_byte_more_is_not(void **state)
{
    struct fixture *f = *state;
    static char text[DOM_JOURNAL_BATCH_BYTES + 1];

    memset(text, 'x', sizeof(text));
    assert_false(
        dom_journal_append(f->journal, 0, 1, dom_slice_of(text, DOM_JOURNAL_BATCH_BYTES + 1), 0));
    assert_true(
        dom_journal_append(f->journal, 0, 1, dom_slice_of(text, DOM_JOURNAL_BATCH_BYTES), 0));
    assert_true(append(f, 1, 1, 0));
    assert_int_equal(replay(f, 0), 2);
    assert_int_equal(f->first[1], 1);
}

static void a_removed_file_is_noticed_and_made_anew(void **state)
{
    struct fixture *f = *state;

    assert_true(append(f, 0, 1, 0));
    assert_int_equal(unlink(f->path), 0);
    assert_false(append(f, 1, 1, 0));
    assert_false(append(f, 1, 1, 0));
    assert_int_equal(dom_journal_open(f->journal, &f->err), DOM_OK);
    assert_true(append(f, 1, 1, 0));
    assert_int_equal(replay(f, 1), 1);
}

static void where_it_cannot_be_made_nothing_is_taken(void **state)
{
    struct fixture *f = *state;
    struct dom_journal *journal = dom_journal_new("/proc/no-such/journal", "example.com/r0");

    assert_int_equal(dom_journal_open(journal, &f->err), DOM_IO);
    assert_non_null(strstr(f->err.message, "/proc/no-such/journal"));
    assert_false(dom_journal_append(journal, 0, 1, DOM_SLICE_LIT("batch"), 0));
    dom_journal_destroy(journal);
}

static enum dom_code synced(void *context, struct dom_error *err)
{
    return *(bool *)context ? DOM_OK : DOM_FAIL(err, DOM_IO, "the disk refuses");
}

static bool holds_only_zeros(const struct fixture *f)
{
    static uint8_t bytes[DOM_JOURNAL_BYTES + DOM_JOURNAL_BLOCK];
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    bool zeros = read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes);

    assert_int_equal(close(fd), 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        zeros = zeros && bytes[i] == 0;
    }
    return zeros;
}

static void wiping_leaves_nothing_once_the_database_has_it(void **state)
{
    struct fixture *f = *state;
    bool good = false;

    for (uint64_t i = 0; i < 20; i++) {
        assert_true(append(f, i, 1, 0));
    }
    assert_int_equal(dom_journal_wipe(f->journal, synced, &good, &f->err), DOM_IO);
    assert_int_equal(replay(f, 0), 20);
    good = true;
    /* By a process that did not write it, too. */
    assert_int_equal(dom_journal_wipe(f->journal, synced, &good, &f->err), DOM_OK);
    assert_true(holds_only_zeros(f));
    assert_int_equal(replay(f, 0), 0);
    assert_true(append(f, 20, 1, 0));
    assert_int_equal(dom_journal_wipe(f->journal, synced, &good, &f->err), DOM_OK);
    assert_true(holds_only_zeros(f));
    assert_true(append(f, 21, 1, 0));
    assert_int_equal(replay(f, 21), 1);
}

/* A record's length and count are read before its hash says that they are its own. */
static void damaged_bytes_are_no_records(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 7;

    for (int round = 0; round < 200; round++) {
        uint8_t bytes[64];
        assert_true(append(f, 0, 1, 0));
        int fd = open(f->path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        for (int i = 0; i < 4; i++) {
            bytes[8 + rand_r(&seed) % 56] = (uint8_t)(rand_r(&seed) % 256);
        }
        memset(bytes + 28, round % 2 == 0 ? 0xff : 0, 2);
        bytes[31] ^= 0x40;
        assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_int_equal(close(fd), 0);
        assert_int_equal(replay(f, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_continues_the_log_comes_back_in_order),
        T(a_hole_in_the_log_is_filled),
        T(a_record_cut_by_the_crash_ends_it),
        T(another_logs_records_are_not_taken),
        T(what_is_synced_makes_room_and_is_not_taken_for_new),
        T(full_it_takes_nothing_until_more_is_synced),
        T(a_batch_at_the_limit_is_taken_one_byte_more_is_not),
        T(a_removed_file_is_noticed_and_made_anew),
        T(where_it_cannot_be_made_nothing_is_taken),
        T(wiping_leaves_nothing_once_the_database_has_it),
        T(damaged_bytes_are_no_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
