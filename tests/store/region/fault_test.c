/* When a log closes and opens: the gate, and what gives its reasons. */
#include "tests/store/region/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "store/audit/event.h"
#include "store/audit/witness.h"
#include "store/region/db.h"
#include "store/region/gate.h"
#include "store/region/keyring.h"

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int setup(void **state)
{
    struct harness *h = malloc(sizeof(*h));

    harness_init(h);
    dom_log_set_level(DOM_LOG_ERROR + 1);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct harness *h = *state;

    harness_cleanup(h);
    dom_log_set_level(DOM_LOG_ERROR);
    free(h);
    return 0;
}

/* ---- the gate ----------------------------------------------------------------------------- */

struct told {
    int open;
    int closed;
};

static void changed(void *context, bool open)
{
    struct told *told = context;

    told->open += open ? 1 : 0;
    told->closed += open ? 0 : 1;
}

static void gate_opens_when_its_last_reason_goes(void **state)
{
    struct told told = {0};
    struct dom_gate gate;
    char why[DOM_GATE_WHY_SIZE];

    (void)state;
    dom_gate_init(&gate, "r0", changed, &told);
    dom_gate_listen(&gate);
    dom_gate_open(&gate, DOM_GATE_KEYS); /* it was not closed for this */
    assert_int_equal(told.open + told.closed, 0);
    dom_gate_close(&gate, DOM_GATE_KEYS, "no key");
    dom_gate_close(&gate, DOM_GATE_KEYS, "again");
    dom_gate_close(&gate, DOM_GATE_STALL, "hangs");
    assert_int_equal(told.closed, 1);
    dom_gate_why(&gate, why);
    assert_string_equal(why, "hangs"); /* the first of the table */
    dom_gate_open(&gate, DOM_GATE_STALL);
    assert_int_equal(told.open, 0);
    dom_gate_why(&gate, why);
    assert_string_equal(why, "no key");
    dom_gate_open(&gate, DOM_GATE_KEYS);
    assert_int_equal(told.open, 1);
    assert_int_equal(dom_gate_closed(&gate), 0);
    dom_gate_why(&gate, why);
    assert_string_equal(why, "");
    dom_gate_cleanup(&gate);
}

static void gate_tells_a_late_listener(void **state)
{
    struct told told = {0};
    struct dom_gate gate;

    (void)state;
    dom_gate_init(&gate, "r0", changed, &told);
    dom_gate_close(&gate, DOM_GATE_WRITE, "early");
    assert_int_equal(told.closed, 0);
    dom_gate_listen(&gate);
    assert_int_equal(told.closed, 1);
    dom_gate_open(&gate, DOM_GATE_WRITE);
    assert_int_equal(told.open, 1);
    dom_gate_cleanup(&gate);
}

static void reasons_have_words(void **state)
{
    (void)state;
    assert_string_equal(dom_store_closed_word(DOM_GATE_WRITE), "write");
    assert_string_equal(dom_store_closed_word(DOM_GATE_REASON_COUNT - 1), "sinks");
    assert_null(dom_store_closed_word(DOM_GATE_REASON_COUNT));
}

/* ---- a region ----------------------------------------------------------------------------- */

static void await(struct harness *h, int *count, int times)
{
    struct timespec until;

    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += 20;
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    while (*count < times) {
        assert_int_equal(pthread_cond_timedwait(&h->wake, &h->lock, &until), 0);
    }
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
}

static enum dom_code append_code(struct harness *h)
{
    struct op_spec append;

    op_append(&append, 0, "entry");
    return harness_run(h, &append);
}

static uint64_t closed_for(struct harness *h)
{
    struct dom_store_stats stats;

    dom_store_stats(h->store, 0, &stats);
    return stats.closed;
}

/* P3: without its key file a region takes no entry; what needs none goes on. */
static void lost_key_file_closes_the_log_only(void **state)
{
    struct harness *h = *state;

    harness_open(h, 2);
    harness_put(h, 0, "x", "before");
    harness_shell(h, "mv keys/r0.key kept");
    await(h, &h->audit_down, 1);
    assert_int_equal(closed_for(h), UINT64_C(1) << DOM_GATE_KEYS);
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    harness_put(h, 0, "x", "after");
    assert_string_equal(harness_field(h, 0, "x", "p_value"), "after");
    harness_shell(h, "mv kept keys/r0.key");
    await(h, &h->audit_up, 1);
    assert_int_equal(append_code(h), DOM_OK);
}

/* P6: a write into a file without a name is not acknowledged. */
static void deleted_write_ahead_log_is_noticed(void **state)
{
    struct harness *h = *state;
    struct op_spec put;

    harness_open(h, 1);
    harness_put(h, 0, "x", "before");
    harness_shell(h, "rm r0/db/*.log");
    op_put(&put, 0, "x", "p_value=lost", NULL);
    assert_int_equal(harness_run(h, &put), DOM_IO);
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    assert_true((closed_for(h) >> DOM_GATE_WRITE & 1U) != 0);
}

static void deleted_folder_is_noticed_and_not_made_anew(void **state)
{
    struct harness *h = *state;
    struct op_spec put;

    harness_open(h, 1);
    harness_put(h, 0, "x", "before");
    harness_shell(h, "mv r0/db r0/gone && mkdir r0/db");
    op_put(&put, 0, "x", "p_value=lost", NULL);
    assert_int_equal(harness_run(h, &put), DOM_IO);
    await(h, &h->audit_down, 1);
    harness_shell(h, "sleep 1; test -z \"$(ls r0/db)\"");
    assert_non_null(harness_field(h, 0, "x", "p_value"));
    harness_shell(h, "rmdir r0/db && mv r0/gone r0/db");
    await(h, &h->audit_up, 1);
    harness_put(h, 0, "x", "after");
    assert_int_equal(append_code(h), DOM_OK);
}

struct outage {
    bool reopened;
    int64_t first;
    int64_t count;
};

static bool find_outage(void *context, uint64_t index, struct dom_slice entry)
{
    struct outage *out = context;
    struct dom_audit_event_doc doc;
    struct dom_error err = {0};

    (void)index;
    if (dom_audit_event_parse(&doc, entry, &err) != DOM_OK) {
        return true; /* "entry": the tests' own */
    }
    for (size_t i = 0; doc.event.type == DOM_AUDIT_SINK && i < doc.event.num_details; i++) {
        const struct dom_audit_detail *detail = &doc.event.details[i];
        out->reopened =
            out->reopened || dom_slice_eq_str(detail->text, "reopened");
        if (dom_slice_eq_str(detail->name, "unanswered_first")) {
            out->first = detail->integer;
        }
        if (dom_slice_eq_str(detail->name, "unanswered_count")) {
            out->count = detail->integer;
        }
    }
    dom_audit_event_doc_cleanup(&doc);
    return true;
}

/* P4: what a failed write left in the log is named there. */
static void outage_is_told_in_the_log(void **state)
{
    struct harness *h = *state;
    struct outage outage = {.first = -1};

    harness_open(h, 1);
    harness_append(h, 2);
    uint64_t size = dom_store_log_size(h->store, 0);
    harness_shell(h, "mv r0/db r0/gone");
    /* Taken, written and synced, and not acknowledged: or refused already. */
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    harness_shell(h, "mv r0/gone r0/db");
    await(h, &h->audit_up, 1);
    assert_int_equal(append_code(h), DOM_OK);
    assert_int_equal(dom_store_log_entries(h->store, 0, 0, 1000, find_outage, &outage, &h->err),
                     DOM_OK);
    assert_true(dom_store_log_size(h->store, 0) >= size + 1);
    if (outage.count > 0) {
        assert_true(outage.reopened);
        assert_int_equal(outage.count, 1);
        assert_int_equal(outage.first, size);
    }
    struct dom_store_stats stats;
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.unanswered, outage.count);
    assert_int_equal(stats.lost, 0);
}

static void lost_tiles_are_published_again_while_it_runs(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_append(h, 300);
    harness_settle(h);
    harness_shell(h, "rm -rf r0/audit/tile/0");
    for (int i = 0; i < 500; i++) {
        struct timespec pause = {.tv_nsec = 10000000};
        char path[300];
        (void)snprintf(path, sizeof(path), "%s", harness_path(h, "r0/audit/tile/0/000"));
        FILE *file = fopen(path, "rb");
        if (file != NULL) {
            (void)fclose(file);
            harness_settle(h);
            harness_shell(h, "test -f r0/audit/tile/0/001.p/45");
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("not published again");
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&pause, NULL);
}

static void await_reason(struct harness *h, enum dom_gate_reason reason)
{
    for (int i = 0; i < 2000 && (closed_for(h) >> reason & 1U) == 0; i++) {
        pause_ms(10);
    }
    assert_true((closed_for(h) >> reason & 1U) != 0);
}

static void await_open(struct harness *h)
{
    for (int i = 0; i < 2000 && closed_for(h) != 0; i++) {
        pause_ms(10);
    }
    assert_int_equal(closed_for(h), 0);
}

/* P3: each part of what was published; what has gone is back before an entry is taken again. */
static void lost_tiles_close_the_log_until_they_are_back(void **state)
{
    struct harness *h = *state;
    static const struct {
        const char *lose;
        const char *back;
    } cases[] = {
        {"mv r0/audit gone", "test -f r0/audit/tile/0/000 && test -f r0/audit/vkey"},
        {"mv r0/audit/checkpoint gone", "test -f r0/audit/checkpoint"},
        {"mv r0/audit/vkey gone", "test -f r0/audit/vkey"},
        {"mv r0/audit/tile/0/000 gone", "test -f r0/audit/tile/0/000"},
        {"mv r0/audit/tile/1 gone", "test -f r0/audit/tile/1/000.p/3"},
        {"mv r0/audit/tile/0/001 gone", "test -f r0/audit/tile/0/001"},
        {"mv r0/audit/tile/entries/000 gone", "test -f r0/audit/tile/entries/000"},
        {"mv r0/audit/tile/entries/002 gone", "test -f r0/audit/tile/entries/002"},
        {"mv r0/audit/tile/entries/003.p gone", "test -d r0/audit/tile/entries/003.p"},
    };

    harness_open(h, 1);
    harness_append(h, 800);
    harness_settle(h);
    for (int i = 0; i < (int)DOM_ARRAY_LEN(cases); i++) {
        harness_shell(h, cases[i].lose);
        await(h, &h->audit_down, i + 1);
        await(h, &h->audit_up, i + 1);
        harness_shell(h, cases[i].back);
        harness_shell(h, "rm -r gone");
        assert_int_equal(append_code(h), DOM_OK);
        harness_settle(h);
    }
}

/* At once: between two renames what has gone would be written again. */
static void exchange(struct harness *h, const char *one, const char *other)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s", harness_path(h, one));
    assert_int_equal(
        renameat2(AT_FDCWD, path, AT_FDCWD, harness_path(h, other), RENAME_EXCHANGE), 0);
}

static void lost_tiles_that_cannot_be_written_keep_it_closed(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_append(h, 300);
    harness_settle(h);
    harness_shell(h, "stat -c %i r0/audit/tile/0/000 > inode");
    harness_shell(h, "touch file");
    exchange(h, "r0/audit/tile/entries", "file");
    await_reason(h, DOM_GATE_TILES);
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    harness_put(h, 0, "x", "at home");
    await_reason(h, DOM_GATE_PUBLISH);
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    harness_shell(h, "rm r0/audit/tile/entries");
    await_open(h);
    assert_int_equal(append_code(h), DOM_OK);
    harness_shell(h, "test -f r0/audit/tile/entries/000");
    /* What was there was left alone: a long log is whole again in the time that its loss takes. */
    harness_shell(h, "stat -c %i r0/audit/tile/0/000 | cmp - inode");
}

/* At the start too: not one entry is taken first. */
static void tiles_lost_while_it_was_down_are_back_before_the_first_entry(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_append(h, 300);
    harness_settle(h);
    harness_close(h);
    harness_shell(h, "mv r0/audit/tile gone && touch r0/audit/tile");
    harness_open(h, 1);
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    assert_true((closed_for(h) >> DOM_GATE_TILES & 1U) != 0);
    harness_shell(h, "rm r0/audit/tile");
    await_open(h);
    harness_shell(h, "test -f r0/audit/tile/0/000");
}

static void await_published(struct harness *h, dom_store_region region)
{
    uint64_t size = dom_store_log_size(h->store, region);

    for (int i = 0; i < 2000 && dom_store_log_published(h->store, region) < size; i++) {
        pause_ms(10);
    }
    assert_true(dom_store_log_published(h->store, region) >= size);
}

static void append_to(struct harness *h, dom_store_region region)
{
    struct op_spec append;

    op_append(&append, region, "entry");
    assert_int_equal(harness_run(h, &append), DOM_OK);
}

/* A file that nobody opens from the other end hangs whoever opens it to write: the keeper here. */
static void hanging_folder_closes_its_own_log_only(void **state)
{
    struct harness *h = *state;
    char command[300];

    h->options.wait_ms = 500;
    h->options.witness_regions = 1;
    harness_open(h, 2);
    append_to(h, 0);
    append_to(h, 1);
    harness_settle(h);
    (void)snprintf(command, sizeof(command), "mkfifo r0/audit/tile/entries/000.p/%llu.tmp",
                   (unsigned long long)dom_store_log_size(h->store, 0) + 1);
    harness_shell(h, command);
    append_to(h, 0);
    await_reason(h, DOM_GATE_HANG);
    assert_int_equal(append_code(h), DOM_AUDIT_UNAVAILABLE);
    harness_put(h, 0, "x", "at home");
    for (int i = 0; i < 3; i++) {
        append_to(h, 1);
        await_published(h, 1);
    }
    assert_true((closed_for(h) >> DOM_GATE_HANG & 1U) != 0);
    (void)snprintf(command, sizeof(command), "cat r0/audit/tile/entries/000.p/*.tmp > taken");
    harness_shell(h, command);
    await_open(h);
    append_to(h, 0);
    await_published(h, 0);
}

/* How many witnesses the published checkpoint has. */
static size_t cosignatures(struct harness *h, const char *path)
{
    char line[1024];
    size_t lines = 0;

    FILE *file = fopen(harness_path(h, path), "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        lines += strncmp(line, "\xe2\x80\x94 ", 4) == 0 ? 1 : 0;
    }
    (void)fclose(file);
    return lines - 1; /* the log's own */
}

static void await_cosignatures(struct harness *h, const char *path, size_t want)
{
    for (int i = 0; i < 2000 && cosignatures(h, path) != want; i++) {
        pause_ms(10);
    }
    assert_int_equal(cosignatures(h, path), want);
}

/* A region whose memory as a witness hangs holds up no log that it is to cosign, and cosigns what it
 * missed when it is back. */
static void hanging_witness_holds_up_nobody(void **state)
{
    struct harness *h = *state;

    h->options.witness_regions = 2;
    harness_open(h, 3);
    append_to(h, 1);
    append_to(h, 2);
    await_published(h, 1);
    await_published(h, 2);
    struct dom_witness *witness = dom_store_witness(h->store, 0);
    assert_int_equal(pthread_mutex_lock(&witness->lock), 0);
    for (int i = 0; i < 3; i++) {
        append_to(h, 1);
        append_to(h, 2);
        await_published(h, 1);
        await_published(h, 2);
    }
    await_cosignatures(h, "r1/audit/checkpoint", 1);
    await_cosignatures(h, "r2/audit/checkpoint", 1);
    assert_int_equal(pthread_mutex_unlock(&witness->lock), 0);
    await_cosignatures(h, "r1/audit/checkpoint", 2);
    await_cosignatures(h, "r2/audit/checkpoint", 2);
}

static void wait_has_a_limit(void **state)
{
    struct harness *h = *state;
    struct dom_store *store = NULL;

    h->options.wait_ms = DOM_AUDIT_WAIT_MS_MAX + 1;
    assert_int_equal(dom_store_new(&store, &h->options, &h->err), DOM_INVALID);
    h->options.wait_ms = DOM_AUDIT_WAIT_MS_MAX;
    harness_open(h, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(gate_opens_when_its_last_reason_goes),
        T(gate_tells_a_late_listener),
        T(reasons_have_words),
        T(lost_key_file_closes_the_log_only),
        T(deleted_write_ahead_log_is_noticed),
        T(deleted_folder_is_noticed_and_not_made_anew),
        T(outage_is_told_in_the_log),
        T(lost_tiles_are_published_again_while_it_runs),
        T(lost_tiles_close_the_log_until_they_are_back),
        T(lost_tiles_that_cannot_be_written_keep_it_closed),
        T(tiles_lost_while_it_was_down_are_back_before_the_first_entry),
        T(hanging_folder_closes_its_own_log_only),
        T(hanging_witness_holds_up_nobody),
        T(wait_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
