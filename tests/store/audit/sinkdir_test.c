/* Second copies of a log: going on after any break, and what checking one finds (P5). */
#include "tests/store/audit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/audit/bundle.h"
#include "store/audit/checkpoint.h"
#include "store/audit/sinkdir.h"

#define FIRST "00000000000000000000.entries"

struct world {
    char dir[256];
    struct testing_log log;
    struct dom_sinkdir *sink;
    struct dom_error err;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    testing_log_init(&w->log);
    (void)snprintf(w->dir, sizeof(w->dir), "%s", testing_folder());
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    dom_sinkdir_close(w->sink);
    testing_log_cleanup(&w->log);
    free(w);
    return 0;
}

static enum dom_code open_as(struct world *w, const char *origin, bool fresh)
{
    dom_sinkdir_close(w->sink);
    return dom_sinkdir_open(&w->sink, w->dir, dom_slice_str(origin), DOM_SLICE_LIT("vkey"), fresh,
                            &w->err);
}

static void reopen(struct world *w)
{
    if (open_as(w, TESTING_ORIGIN, false) != DOM_OK) {
        fail_msg("%s", w->err.message);
    }
}

static void begin(struct world *w)
{
    assert_int_equal(open_as(w, TESTING_ORIGIN, true), DOM_OK);
    assert_int_equal(dom_sinkdir_next(w->sink), 0);
}

/* Appends entries up to `end`, making them first. */
static void copy_to(struct world *w, uint64_t end)
{
    struct dom_buffer run = {0};
    uint64_t from = dom_sinkdir_next(w->sink);

    for (uint64_t i = w->log.tree.edge.size; i < end; i++) {
        char entry[32];
        (void)snprintf(entry, sizeof(entry), "entry %llu", (unsigned long long)i);
        testing_log_append(&w->log, dom_slice_str(entry));
    }
    for (uint64_t i = from; i < end; i++) {
        assert_int_equal(dom_bundle_append(&run, testing_log_entry(&w->log, i), NULL), DOM_OK);
    }
    assert_int_equal(dom_sinkdir_append(w->sink, dom_buffer_slice(&run), end - from, &w->err),
                     DOM_OK);
    assert_int_equal(dom_sinkdir_next(w->sink), end);
    dom_buffer_cleanup(&run);
}

static void copy_checkpoint(struct world *w)
{
    struct dom_buffer note = {0};

    testing_log_checkpoint(&w->log, &note);
    assert_int_equal(dom_sinkdir_checkpoint(w->sink, dom_buffer_slice(&note), &w->err), DOM_OK);
    dom_buffer_cleanup(&note);
}

static const char *path_of(const struct world *w, const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    return path;
}

static enum dom_code verify(struct world *w, struct dom_sinkdir_report *report)
{
    dom_error_clear(&w->err);
    return dom_sinkdir_verify(w->dir, &w->log.signer.key, 1, report, &w->err);
}

static void spoil(const struct world *w, const char *name, size_t at, size_t cut)
{
    struct dom_buffer bytes = {0};

    testing_read(&bytes, path_of(w, name));
    assert_true(at < bytes.len && cut <= bytes.len);
    if (cut > 0) {
        bytes.len = cut;
    } else {
        bytes.data[at] ^= 1;
    }
    testing_write(path_of(w, name), dom_buffer_slice(&bytes));
    dom_buffer_cleanup(&bytes);
}

static void missing_folder_is_not_made(void **state)
{
    struct world *w = *state;

    assert_int_equal(rmdir(w->dir), 0);
    assert_int_equal(open_as(w, TESTING_ORIGIN, true), DOM_IO);
    assert_non_null(strstr(w->err.message, "mounted"));
    assert_int_not_equal(access(w->dir, F_OK), 0);
}

static void empty_folder_is_refused_when_it_held_entries(void **state)
{
    struct world *w = *state;

    assert_int_equal(open_as(w, TESTING_ORIGIN, false), DOM_IO);
    assert_non_null(strstr(w->err.message, "mounted"));
    assert_int_not_equal(access(path_of(w, "FORMAT"), F_OK), 0);
}

static void other_logs_copy_is_refused(void **state)
{
    struct world *w = *state;

    begin(w);
    assert_int_equal(open_as(w, "audit.example.com/us-east", true), DOM_FORMAT);
    assert_int_equal(open_as(w, "audit.example.com/eu-wes", true), DOM_FORMAT);
    testing_write(path_of(w, "FORMAT"), DOM_SLICE_LIT("domicile-sink 2\norigin x\n"));
    assert_int_equal(open_as(w, "x", true), DOM_FORMAT);
    testing_write(path_of(w, "FORMAT"), DOM_SLICE_LIT("domicile-sink 1\norigin x"));
    assert_int_equal(open_as(w, "x", true), DOM_FORMAT);
    testing_write(path_of(w, "FORMAT"), DOM_SLICE_LIT("domicile-sink 1\norigin x\0\n"));
    assert_int_equal(open_as(w, "x", true), DOM_FORMAT);
}

static void second_writer_is_refused(void **state)
{
    struct world *w = *state;
    struct dom_sinkdir *other = NULL;

    begin(w);
    assert_int_equal(dom_sinkdir_open(&other, w->dir, DOM_SLICE_LIT(TESTING_ORIGIN),
                                      DOM_SLICE_LIT("vkey"), false, &w->err),
                     DOM_LOCKED);
    assert_null(other);
}

static void copy_goes_on_where_it_ended(void **state)
{
    struct world *w = *state;
    struct dom_sinkdir_report report;
    struct dom_hash last;
    struct dom_hash want;

    begin(w);
    assert_false(dom_sinkdir_last(w->sink, &last));
    copy_to(w, 3);
    copy_checkpoint(w);
    for (uint64_t end = 5; end < 60; end += 7) {
        reopen(w);
        assert_true(dom_sinkdir_last(w->sink, &last));
        dom_hash_leaf(&want, testing_log_entry(&w->log, dom_sinkdir_next(w->sink) - 1));
        assert_true(dom_hash_eq(&last, &want));
        copy_to(w, end);
        copy_checkpoint(w);
    }
    assert_int_equal(verify(w, &report), DOM_OK);
    assert_int_equal(report.entries, w->log.tree.edge.size);
    assert_int_equal(report.covered, report.entries);
    assert_int_equal(report.checkpoints, 9);
    assert_int_equal(report.files, 1);
    assert_string_equal(report.origin, TESTING_ORIGIN);
}

/* A crash within a write: at any byte. */
static void torn_end_is_left_and_gone_past(void **state)
{
    struct world *w = *state;
    struct dom_sinkdir_report report;
    struct dom_buffer whole = {0};

    begin(w);
    copy_to(w, 4);
    dom_sinkdir_close(w->sink);
    w->sink = NULL;
    testing_read(&whole, path_of(w, FIRST));
    for (size_t cut = 0; cut <= whole.len; cut++) {
        (void)unlink(path_of(w, "00000000000000000001.entries"));
        (void)unlink(path_of(w, "00000000000000000002.entries"));
        (void)unlink(path_of(w, "00000000000000000003.entries"));
        for (int i = 0; i <= 4; i++) {
            char name[64];
            (void)snprintf(name, sizeof(name), "%020d.checkpoints", i);
            (void)unlink(path_of(w, name));
        }
        testing_write(path_of(w, FIRST), dom_slice_of(whole.data, cut));
        reopen(w);
        uint64_t kept = dom_sinkdir_next(w->sink);
        assert_true(kept <= 4 && (kept == 4) == (cut == whole.len));
        if (kept < 4) {
            copy_to(w, 4);
        }
        copy_checkpoint(w);
        dom_sinkdir_close(w->sink);
        w->sink = NULL;
        if (verify(w, &report) != DOM_OK) {
            fail_msg("cut at %zu: %s", cut, w->err.message);
        }
        assert_int_equal(report.covered, 4);
    }
    dom_buffer_cleanup(&whole);
}

static void torn_checkpoint_is_gone_past(void **state)
{
    struct world *w = *state;
    struct dom_sinkdir_report report;

    begin(w);
    copy_to(w, 2);
    copy_checkpoint(w);
    spoil(w, "00000000000000000002.checkpoints", 0, 40);
    reopen(w);
    copy_checkpoint(w); /* of the same name: not written, as the file may be torn */
    assert_int_equal(verify(w, &report), DOM_INVALID);
    copy_to(w, 5);
    copy_checkpoint(w);
    assert_int_equal(verify(w, &report), DOM_OK);
    assert_int_equal(report.covered, 5);
}

static void any_change_is_found(void **state)
{
    struct world *w = *state;
    struct dom_sinkdir_report report;
    struct dom_buffer whole = {0};

    begin(w);
    copy_to(w, 20);
    copy_checkpoint(w);
    dom_sinkdir_close(w->sink);
    w->sink = NULL;
    testing_read(&whole, path_of(w, FIRST));
    for (size_t at = 0; at < whole.len; at++) {
        spoil(w, FIRST, at, 0);
        assert_int_not_equal(verify(w, &report), DOM_OK);
        testing_write(path_of(w, FIRST), dom_buffer_slice(&whole));
    }
    for (size_t cut = 1; cut < whole.len; cut += 3) {
        spoil(w, FIRST, 0, cut);
        assert_int_not_equal(verify(w, &report), DOM_OK);
        testing_write(path_of(w, FIRST), dom_buffer_slice(&whole));
    }
    assert_int_equal(verify(w, &report), DOM_OK);
    /* another file of the same entries; one that is missing; another key */
    testing_write(path_of(w, "00000000000000000007.entries"), dom_buffer_slice(&whole));
    assert_int_equal(verify(w, &report), DOM_CORRUPT);
    assert_int_equal(unlink(path_of(w, "00000000000000000007.entries")), 0);
    assert_int_equal(unlink(path_of(w, FIRST)), 0);
    assert_int_equal(verify(w, &report), DOM_TAMPERED);
    testing_write(path_of(w, FIRST), dom_buffer_slice(&whole));
    struct dom_note_signer other;
    testing_signer(&other, 99);
    assert_int_not_equal(dom_sinkdir_verify(w->dir, &other.key, 1, &report, &w->err), DOM_OK);
    dom_note_signer_cleanup(&other);
    dom_buffer_cleanup(&whole);
}

static void deleted_file_is_noticed_before_it_counts(void **state)
{
    struct world *w = *state;
    struct dom_buffer run = {0};

    begin(w);
    copy_to(w, 2);
    assert_int_equal(unlink(path_of(w, FIRST)), 0);
    assert_int_equal(dom_bundle_append(&run, DOM_SLICE_LIT("entry 2"), NULL), DOM_OK);
    assert_int_equal(dom_sinkdir_append(w->sink, dom_buffer_slice(&run), 1, &w->err), DOM_IO);
    dom_buffer_cleanup(&run);
}

static void full_file_is_followed_by_another(void **state)
{
    struct world *w = *state;
    struct dom_sinkdir_report report;

    begin(w);
    copy_to(w, DOM_SINKDIR_FILE_ENTRIES_MAX);
    copy_to(w, DOM_SINKDIR_FILE_ENTRIES_MAX + 1);
    copy_checkpoint(w);
    assert_int_equal(access(path_of(w, "00000000000000065536.entries"), F_OK), 0);
    reopen(w);
    assert_int_equal(dom_sinkdir_next(w->sink), DOM_SINKDIR_FILE_ENTRIES_MAX + 1);
    copy_to(w, DOM_SINKDIR_FILE_ENTRIES_MAX + 2);
    assert_int_equal(verify(w, &report), DOM_OK);
    assert_int_equal(report.files, 2);
    assert_int_equal(report.entries, report.covered + 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(missing_folder_is_not_made),
        T(empty_folder_is_refused_when_it_held_entries),
        T(other_logs_copy_is_refused),
        T(second_writer_is_refused),
        T(copy_goes_on_where_it_ended),
        T(torn_end_is_left_and_gone_past),
        T(torn_checkpoint_is_gone_past),
        T(any_change_is_found),
        T(deleted_file_is_noticed_before_it_counts),
        T(full_file_is_followed_by_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
