/* What lies on disk: whose it is, what it may be read by, what happens when it was changed. */
#include "tests/store/region/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

/* ---- opening ------------------------------------------------------------------------------ */

static void data_survives_reopening(void **state)
{
    struct harness *h = *state;

    harness_open(h, 2);
    harness_put(h, 0, "x", "1");
    harness_append(h, 3);
    harness_close(h);
    harness_open(h, 2);
    assert_string_equal(harness_field(h, 0, "x", "p_value"), "1");
    assert_int_equal(dom_store_log_size(h->store, 0), 4);
    harness_append(h, 1);
    assert_int_equal(dom_store_log_size(h->store, 0), 5);
    assert_int_equal(harness_put(h, 0, "x", "2"), 2);
}

static void same_name_gives_same_number(void **state)
{
    struct harness *h = *state;
    dom_store_region again = 9;

    harness_open(h, 2);
    assert_int_equal(dom_store_open_region(h->store, &again, "r1", &h->err), DOM_OK);
    assert_int_equal(again, h->regions[1]);
    assert_int_equal(dom_store_num_regions(h->store), 2);
    assert_int_equal(dom_store_find_region(h->store, DOM_SLICE_LIT("r1")), again);
    assert_int_equal(dom_store_find_region(h->store, DOM_SLICE_LIT("r")), DOM_STORE_NO_REGION);
}

static void bad_options_are_refused(void **state)
{
    struct harness *h = *state;

    h->options.compression = "gzip";
    harness_refuses(h, "r0", DOM_INVALID, "gzip");
    h->options.compression = NULL;
    h->options.checkpoint_ms = DOM_CHECKPOINT_DELAY_MS_MAX + 1;
    harness_refuses(h, "r0", DOM_INVALID, "checkpoint_ms");
    h->options.checkpoint_ms = DOM_CHECKPOINT_DELAY_MS_MAX;
    harness_refuses(h, "", DOM_INVALID, "region name");
    harness_refuses(h, "../r0", DOM_INVALID, "region name");
    harness_refuses(h, ".r0", DOM_INVALID, "region name");
    harness_refuses(h, "keys", DOM_INVALID, "region name");
}

static void second_process_is_refused(void **state)
{
    struct harness *h = *state;
    struct dom_store *second = NULL;

    harness_open(h, 1);
    assert_int_equal(dom_store_new(&second, &h->options, &h->err), DOM_LOCKED);
    assert_null(second);
    assert_non_null(strstr(h->err.message, "another process"));
}

static void keys_that_others_may_read_are_refused(void **state)
{
    struct harness *h = *state;
    struct stat st;

    harness_open(h, 1);
    harness_close(h);
    assert_int_equal(stat(harness_path(h, "keys/r0.key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(chmod(harness_path(h, "keys/r0.key"), 0640), 0);
    harness_refuses(h, "r0", DOM_PERMISSION, "chmod 600");
    assert_int_equal(chmod(harness_path(h, "keys/r0.key"), 0600), 0);
    harness_open(h, 1);
}

static void lost_keys_are_not_made_anew(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_close(h);
    harness_shell(h, "rm keys/r0.key");
    harness_refuses(h, "r0", DOM_IO, "put the file back");
    assert_int_not_equal(access(harness_path(h, "keys/r0.key"), F_OK), 0);
}

static void damaged_key_files_are_refused(void **state)
{
    static const struct {
        const char *command;
        enum dom_code code;
        const char *part; /* of the message */
    } cases[] = {
        {"sed 's/^blind 1 ..../blind 1 !!!!/' good > keys/r0.key", DOM_PARSE, "r0.key:3:"},
        {"sed '/^sign/d' good > keys/r0.key", DOM_PARSE, "missing"},
        {"(cat good; echo 'other 1 AAAA') > keys/r0.key", DOM_PARSE, "r0.key:8:"},
        {"(cat good; sed -n 4p good) > keys/r0.key", DOM_PARSE, "twice"},
        {"head -c 150 good > keys/r0.key", DOM_PARSE, "no end"},
        {"sed 's/^data 1/data 01/' good > keys/r0.key", DOM_PARSE, "epoch"},
        {"sed 's/^domicile-keys 1/domicile-keys 2/' good > keys/r0.key", DOM_FORMAT, "format 2"},
        {"sed 's/^region r0/region r1/' good > keys/r0.key", DOM_FORMAT, "keys of region r1"},
        {": > keys/r0.key", DOM_PARSE, "empty"},
    };
    struct harness *h = *state;

    harness_open(h, 1);
    harness_close(h);
    harness_shell(h, "cp keys/r0.key good");
    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        harness_shell(h, cases[i].command);
        harness_refuses(h, "r0", cases[i].code, cases[i].part);
    }
}

static void other_regions_folder_is_refused(void **state)
{
    struct harness *h = *state;

    harness_open(h, 2);
    harness_close(h);
    harness_shell(h, "mv r1 r1.away && cp -a r0 r1");
    harness_refuses(h, "r1", DOM_FORMAT, "data of region r0");
    /* even when FORMAT was changed to fit */
    harness_shell(h, "cp r1.away/FORMAT r1/FORMAT");
    harness_refuses(h, "r1", DOM_FORMAT, "r0");
}

static void newer_format_is_refused(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_close(h);
    harness_shell(h, "cp r0/FORMAT good && sed -i 's/store 1/store 2/' r0/FORMAT");
    harness_refuses(h, "r0", DOM_FORMAT, "format 2");
    harness_shell(h, "echo junk > r0/FORMAT");
    harness_refuses(h, "r0", DOM_FORMAT, "not written by Domicile");
    harness_shell(h, "rm r0/FORMAT");
    harness_refuses(h, "r0", DOM_FORMAT, "missing");
    harness_shell(h, "cp good r0/FORMAT");
    harness_open(h, 1);
}

static void newer_data_key_reads_old_rows(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_put(h, 0, "old", "1");
    harness_close(h);
    harness_shell(
        h,
        "cp keys/r0.key first && echo data 2 $(head -c 32 /dev/urandom | base64) >> keys/r0.key");
    harness_open(h, 1);
    assert_string_equal(harness_field(h, 0, "old", "p_value"), "1");
    harness_put(h, 0, "new", "2");
    assert_string_equal(harness_field(h, 0, "new", "p_value"), "2");
    harness_close(h);
    /* without the newer key the newer row is unreadable, and says why */
    harness_shell(h, "cat first > keys/r0.key");
    harness_open(h, 1);
    struct dom_store_row row;
    assert_int_equal(harness_get(h, 0, "new", &row), DOM_CORRUPT);
    assert_non_null(strstr(h->err.message, "data key 2"));
    assert_string_equal(harness_field(h, 0, "old", "p_value"), "1");
}

/* ---- what is on disk ------------------------------------------------------------------------ */

/* P8: what files carry for ever says nothing about a person. */
static void disk_tells_neither_ids_nor_values(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;

    h->options.compression = "none";
    harness_open(h, 2);
    op_put(&spec, 0, "subject-4711", "p_value=SecretValue", "h_mail=MailAddress", NULL);
    spec.op.targets = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    op_delete(&spec, 0, "subject-4711");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    harness_close(h);
    assert_int_equal(harness_grep(h, "", "subject-4711"), 0);
    assert_int_equal(harness_grep(h, "", "SecretValue"), 0);
    assert_int_equal(harness_grep(h, "", "MailAddress"), 0);
}

/* In the n-th row the n-th byte has one bit turned, counted round its length. */
static void flip(struct dom_db *db, enum dom_db_family family, rocksdb_iterator_t *iter,
                 rocksdb_writebatch_t *batch)
{
    for (size_t at = 0; rocksdb_iter_valid(iter); at++) {
        struct dom_slice value = dom_db_iter_value(iter);
        uint8_t bytes[512];
        assert_true(value.len < sizeof(bytes));
        memcpy(bytes, value.data, value.len);
        bytes[at % value.len] ^= (uint8_t)(1U << (at % 8));
        dom_db_batch_put(db, batch, family, dom_db_iter_key(iter), dom_slice_of(bytes, value.len));
        rocksdb_iter_next(iter);
    }
}

/* The n-th row is cut to n bytes. */
static void cut(struct dom_db *db, enum dom_db_family family, rocksdb_iterator_t *iter,
                rocksdb_writebatch_t *batch)
{
    for (size_t at = 0; rocksdb_iter_valid(iter); at++) {
        struct dom_slice value = dom_db_iter_value(iter);
        assert_true(at < value.len);
        dom_db_batch_put(db, batch, family, dom_db_iter_key(iter), dom_slice_of(value.data, at));
        rocksdb_iter_next(iter);
    }
}

/* The first row gets the place of the second: under another key it does not authenticate. */
static void swap(struct dom_db *db, enum dom_db_family family, rocksdb_iterator_t *iter,
                 rocksdb_writebatch_t *batch)
{
    struct dom_slice value = dom_db_iter_value(iter);
    char *copy = malloc(value.len);
    size_t len = value.len;

    memcpy(copy, value.data, len);
    rocksdb_iter_next(iter);
    assert_true(rocksdb_iter_valid(iter));
    dom_db_batch_put(db, batch, family, dom_db_iter_key(iter), dom_slice_of(copy, len));
    free(copy);
}

static void put_many(struct harness *h, size_t count)
{
    struct op_spec *specs = calloc(count, sizeof(*specs));
    char ids[300][8];

    assert_true(count <= 300);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "x%zu", i);
        op_put(&specs[i], 0, ids[i], "p_value=value", NULL);
    }
    harness_run_all(h, specs, count);
    free(specs);
}

static void none_opens(struct harness *h, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct dom_store_row row;
        char id[8];
        (void)snprintf(id, sizeof(id), "x%zu", i);
        enum dom_code rc = harness_get(h, 0, id, &row);
        assert_true(rc == DOM_CORRUPT || rc == DOM_FORMAT);
        assert_int_equal(row.num_fields, 0);
    }
}

static void any_flipped_bit_is_found(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    put_many(h, 300);
    harness_close(h);
    harness_change(h, DOM_DB_ROWS, flip);
    harness_open(h, 1);
    none_opens(h, 300);
}

static void any_cut_row_is_found(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    put_many(h, 90);
    harness_close(h);
    harness_change(h, DOM_DB_ROWS, cut);
    harness_open(h, 1);
    none_opens(h, 90);
}

static void rows_cannot_change_places(void **state)
{
    struct harness *h = *state;
    struct dom_store_row row;

    harness_open(h, 1);
    harness_put(h, 0, "x", "of x");
    harness_put(h, 0, "y", "of y");
    harness_close(h);
    harness_change(h, DOM_DB_ROWS, swap);
    harness_open(h, 1);
    enum dom_code x = harness_get(h, 0, "x", &row);
    enum dom_code y = harness_get(h, 0, "y", &row);
    assert_true((x == DOM_CORRUPT) != (y == DOM_CORRUPT));
    /* and a damaged row is not silently written over */
    struct op_spec spec;
    op_put(&spec, 0, x == DOM_CORRUPT ? "x" : "y", "p=1", NULL);
    assert_int_equal(harness_run(h, &spec), DOM_CORRUPT);
}

static void wait_for_purge(struct harness *h, dom_store_region region, uint64_t purges)
{
    struct timespec pause = {.tv_nsec = 5000000};
    struct dom_store_stats stats = {0};

    for (int i = 0; i < 2000 && stats.purges < purges; i++) {
        dom_store_stats(h->store, region, &stats);
        (void)nanosleep(&pause, NULL);
    }
    assert_true(stats.purges >= purges);
}

static bool find_purge(void *context, uint64_t index, struct dom_slice entry)
{
    bool *found = context;

    (void)index;
    *found = *found || memmem(entry.data, entry.len, "\"type\":\"purge\"", 14) != NULL;
    return true;
}

/* P9 */
static void deleted_values_are_physically_gone(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;
    bool found = false;

    h->options.test_plain = true;
    h->options.compression = "none";
    h->options.purge_ms = 100;
    harness_open(h, 2);
    for (int i = 0; i < 50; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "other%d", i);
        harness_put(h, 0, id, "stays");
    }
    op_put(&spec, 0, "erasme", "p_value=GoneIsGone", NULL);
    spec.op.targets = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    assert_true(harness_grep(h, "r0/db", "GoneIsGone") > 0);
    assert_true(harness_grep(h, "r1/db", "GoneIsGone") > 0);
    op_delete(&spec, 0, "erasme");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    wait_for_purge(h, 0, 1);
    wait_for_purge(h, 1, 1);
    assert_int_equal(harness_grep(h, "", "GoneIsGone"), 0);
    assert_true(harness_grep(h, "r0/db", "stays") > 0);
    harness_settle(h);
    assert_int_equal(dom_store_log_entries(h->store, 0, 0, 100, find_purge, &found, &h->err),
                     DOM_OK);
    assert_true(found);
}

static void purge_is_not_forgotten_by_a_restart(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;
    struct dom_store_stats stats;

    h->options.test_plain = true;
    h->options.compression = "none";
    h->options.purge_ms = 60000;
    harness_open(h, 1);
    harness_put(h, 0, "erasme", "GoneIsGone");
    op_delete(&spec, 0, "erasme");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_close(h);
    assert_true(harness_grep(h, "r0/db", "GoneIsGone") > 0);
    h->options.purge_ms = 50;
    harness_open(h, 1);
    wait_for_purge(h, 0, 1);
    assert_int_equal(harness_grep(h, "r0", "GoneIsGone"), 0);
    harness_settle(h);
    harness_close(h);
    /* once is enough */
    harness_open(h, 1);
    struct timespec pause = {.tv_nsec = 200000000};
    (void)nanosleep(&pause, NULL);
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.purges, 0);
}

/* ---- a disk that takes no more -------------------------------------------------------------- */

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void await_up(struct harness *h, int times)
{
    struct timespec until;

    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += 20;
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    while (h->audit_up < times) {
        assert_int_equal(pthread_cond_timedwait(&h->wake, &h->lock, &until), 0);
    }
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
}

static void full_disk_refuses_writes_and_heals(void **state)
{
    struct harness *h = *state;
    struct op_spec append;
    struct op_spec put;

    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    harness_open(h, 2);
    harness_put(h, 0, "x", "before");
    harness_append(h, 2);
    harness_settle(h);
    uint64_t size = dom_store_log_size(h->store, 0);
    dom_log_set_level(DOM_LOG_ERROR + 1);
    for (int round = 1; round <= 2; round++) {
        set_file_limit(1);
        op_append(&append, 0, "lost");
        assert_int_equal(harness_run(h, &append), DOM_AUDIT_UNAVAILABLE);
        op_put(&put, 0, "x", "p_value=lost", NULL);
        assert_int_equal(harness_run(h, &put), DOM_IO);
        assert_int_equal(harness_run(h, &append), DOM_AUDIT_UNAVAILABLE);
        assert_int_equal(h->audit_down, round);
        /* reading goes on */
        assert_string_equal(harness_field(h, 0, "x", "p_value"), "before");
        set_file_limit(RLIM_INFINITY);
        await_up(h, round);
        op_append(&append, 0, "kept");
        assert_int_equal(harness_run(h, &append), DOM_OK);
        assert_int_equal(append.receipts[0].index, dom_store_log_size(h->store, 0) - 1);
    }
    assert_true(dom_store_log_size(h->store, 0) >= size + 2);
    harness_settle(h);
    harness_close(h);
    harness_open(h, 2);
    harness_settle(h);
    assert_string_equal(harness_field(h, 0, "x", "p_value"), "before");
    dom_log_set_level(DOM_LOG_ERROR);
}

/* ---- against a model ------------------------------------------------------------------------ */

struct model_row {
    bool live;
    dom_store_region home;
    uint64_t version; /* or of the last delete */
    int value;
    dom_store_set targets;
};

static void check_model(struct harness *h, const struct model_row *rows, int count)
{
    for (int i = 0; i < count; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "m%d", i);
        for (dom_store_region r = 0; r < 3; r++) {
            struct dom_store_row row;
            enum dom_code rc = harness_get(h, r, id, &row);
            bool holds = rows[i].live && (rows[i].home == r || (rows[i].targets >> r & 1) != 0);
            assert_int_equal(rc, holds ? DOM_OK : DOM_NOT_FOUND);
            if (!holds) {
                continue;
            }
            char want[16];
            (void)snprintf(want, sizeof(want), "%d", rows[i].value);
            assert_int_equal(row.version, rows[i].version);
            assert_int_equal(row.is_home, rows[i].home == r);
            assert_true(dom_slice_eq_str(row.fields[0].value, want));
        }
    }
}

static unsigned draw(unsigned *seed)
{
    return (unsigned)rand_r(seed);
}

static void random_operations_agree_with_a_model(void **state)
{
    struct harness *h = *state;
    struct model_row rows[40] = {0};
    const char *text = getenv("DOMICILE_SEED");
    unsigned seed = text == NULL ? 4711U : (unsigned)strtoul(text, NULL, 10);

    print_message("seed %u\n", seed);
    harness_open(h, 3);
    for (int step = 0; step < 3000; step++) {
        struct op_spec spec;
        char id[16];
        char pair[32];
        int at = (int)(draw(&seed) % 40U);
        struct model_row *row = &rows[at];
        dom_store_region region = (dom_store_region)(draw(&seed) % 3U);
        (void)snprintf(id, sizeof(id), "m%d", at);
        (void)snprintf(pair, sizeof(pair), "p=%d", step);
        bool is_delete = draw(&seed) % 4U == 0;
        if (is_delete) {
            op_delete(&spec, region, id);
        } else {
            op_put(&spec, region, id, pair, NULL);
            spec.op.targets = draw(&seed) % 8U;
        }
        enum dom_code want = row->live && row->home != region ? DOM_HOME_MISMATCH
                             : !row->live && is_delete        ? DOM_NOT_FOUND
                                                              : DOM_OK;
        /* A replica's deletion that is still under way also says "at home elsewhere". */
        enum dom_code got = harness_run(h, &spec);
        assert_int_equal(got, want);
        if (got == DOM_OK) {
            row->version++;
            assert_int_equal(spec.op.version, row->version);
            row->live = !is_delete;
            row->home = region;
            row->value = step;
            row->targets = spec.op.targets;
        }
        if (step % 500 == 499) {
            if (step % 1000 == 999) {
                harness_close(h);
                harness_open(h, 3);
            }
            harness_settle(h);
            check_model(h, rows, 40);
        }
    }
}

/* ---- epochs of the subject key ------------------------------------------------------------- */

struct last_two {
    char text[2][1024]; /* the last entry, and the one before */
};

static bool keep_two(void *context, uint64_t index, struct dom_slice entry)
{
    struct last_two *two = context;

    (void)index;
    memcpy(two->text[1], two->text[0], sizeof(two->text[0]));
    assert_true(dom_slice_to_cstr(entry, two->text[0], sizeof(two->text[0])));
    return true;
}

static void last_entry_says(struct harness *h, const char *part)
{
    struct last_two two = {0};

    assert_int_equal(dom_store_log_entries(h->store, 0, 0, 1000, keep_two, &two, &h->err), DOM_OK);
    if (strstr(two.text[0], part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", two.text[0], part);
    }
}

static const char s_new_key[] = "echo 'subject 2 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=' >> "
                                "keys/r0.key";

static void subject_hash(struct harness *h, char out[64])
{
    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("anna"), out);
}

/* After an epoch is destroyed nobody can tell whom its hashes name, and the log says so; what was
 * made under it stays as it is. */
static void an_epoch_is_rotated_and_destroyed_and_the_log_says_so(void **state)
{
    struct harness *h = *state;
    char before[64];
    char after[64];

    harness_open(h, 1);
    subject_hash(h, before);
    assert_memory_equal(before, "hmac:1:", 7);
    uint64_t size = dom_store_log_size(h->store, 0);
    harness_close(h);
    harness_open(h, 1); /* nothing new, no entry */
    assert_int_equal(dom_store_log_size(h->store, 0), size);
    harness_close(h);
    harness_shell(h, s_new_key);
    harness_open(h, 1);
    last_entry_says(h, "\"action\":\"rotated\",\"epoch\":2,\"key\":\"subject\"");
    subject_hash(h, after);
    assert_memory_equal(after, "hmac:2:", 7);
    assert_string_not_equal(before + 7, after + 7);
    harness_close(h);
    harness_shell(h, "cp keys/r0.key both");
    harness_shell(h, "sed '/^subject 1 /d' both > keys/r0.key");
    harness_refuses(h, "r0", DOM_FORMAT, "epoch 1 of the subject key");
    harness_shell(h,
                  "sed 's/^subject 1 .*/subject-destroyed 1 "
                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=/' both > keys/r0.key");
    harness_open(h, 1);
    last_entry_says(h, "\"action\":\"destroyed\",\"epoch\":1,\"key\":\"subject\"");
    harness_close(h);
    size = 0;
    harness_open(h, 1); /* told once */
    last_entry_says(h, "\"action\":\"destroyed\"");
    harness_settle(h);
    harness_close(h);
    harness_shell(h,
                  "(cat both; grep destroyed keys/r0.key) > x && mv x keys/r0.key && "
                  "chmod 600 keys/r0.key");
    harness_refuses(h, "r0", DOM_PARSE, "is there and destroyed");
}

static void a_request_is_found_after_a_rotation(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;

    harness_open(h, 1);
    op_put(&spec, 0, "a", "ptitle=x", NULL);
    op_request(&spec, "req-1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
    uint64_t version = spec.op.version;
    harness_close(h);
    harness_shell(h, s_new_key);
    harness_open(h, 1);
    op_put(&spec, 0, "a", "ptitle=x", NULL);
    op_request(&spec, "req-1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_true(spec.op.replayed);
    assert_int_equal(spec.op.version, version);
    op_put(&spec, 0, "a", "ptitle=another", NULL);
    op_request(&spec, "req-1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
}

/* A key file from before there were witnesses gets that key at the start, and only there. */
static void an_older_key_file_gets_a_witness_key(void **state)
{
    struct harness *h = *state;

    harness_open(h, 1);
    harness_close(h);
    harness_shell(h, "sed -i '/^witness/d' keys/r0.key");
    harness_open(h, 1);
    harness_close(h);
    harness_shell(h, "grep -q '^witness 1 ' keys/r0.key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_epoch_is_rotated_and_destroyed_and_the_log_says_so),
        T(a_request_is_found_after_a_rotation),
        T(an_older_key_file_gets_a_witness_key),
        T(data_survives_reopening),
        T(same_name_gives_same_number),
        T(bad_options_are_refused),
        T(second_process_is_refused),
        T(keys_that_others_may_read_are_refused),
        T(lost_keys_are_not_made_anew),
        T(damaged_key_files_are_refused),
        T(other_regions_folder_is_refused),
        T(newer_format_is_refused),
        T(newer_data_key_reads_old_rows),
        T(disk_tells_neither_ids_nor_values),
        T(any_flipped_bit_is_found),
        T(any_cut_row_is_found),
        T(rows_cannot_change_places),
        T(deleted_values_are_physically_gone),
        T(purge_is_not_forgotten_by_a_restart),
        T(full_disk_refuses_writes_and_heals),
        T(random_operations_agree_with_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
