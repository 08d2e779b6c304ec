/* Replication: who holds what, in what order, through restarts. */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/region/db.h"

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int setup(void **state)
{
    struct harness *h = malloc(sizeof(*h));

    harness_init(h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    struct harness *h = *state;

    harness_cleanup(h);
    free(h);
    return 0;
}

/* Field names say where they may be: p* everywhere, h* at home only, 0* .. 7* in that region. */
static void put_mixed(struct harness *h, dom_store_set targets)
{
    struct op_spec spec;

    op_put(&spec, 0, "ann", "p_title=PublicTitle", "h_mail=HomeMail", "2_note=NoteForTwo", NULL);
    spec.op.targets = targets;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
}

static void replicas_hold_their_part_only(void **state)
{
    struct harness *h = *state;
    struct dom_store_row row;

    h->options.test_plain = true;
    h->options.compression = "none";
    harness_open(h, 4);
    put_mixed(h, 2 | 4);
    harness_settle(h);
    assert_string_equal(harness_field(h, 1, "ann", "p_title"), "PublicTitle");
    assert_null(harness_field(h, 1, "ann", "h_mail"));
    assert_null(harness_field(h, 1, "ann", "2_note"));
    assert_string_equal(harness_field(h, 2, "ann", "2_note"), "NoteForTwo");
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_OK);
    assert_false(row.is_home);
    assert_false(row.complete);
    assert_int_equal(row.version, 1);
    assert_string_equal(row.home, "DE");
    assert_int_equal(harness_get(h, 3, "ann", &row), DOM_NOT_FOUND);
    /* the bytes themselves, in every file */
    assert_true(harness_grep(h, "r0/db", "HomeMail") > 0);
    assert_true(harness_grep(h, "r1/db", "PublicTitle") > 0);
    assert_true(harness_grep(h, "r2/db", "NoteForTwo") > 0);
    assert_int_equal(harness_grep(h, "r1", "HomeMail"), 0);
    assert_int_equal(harness_grep(h, "r1", "NoteForTwo"), 0);
    assert_int_equal(harness_grep(h, "r2", "HomeMail"), 0);
    assert_int_equal(harness_grep(h, "r3", "ann"), 0);
}

static void replica_with_all_fields_is_complete(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;
    struct dom_store_row row;

    harness_open(h, 2);
    op_put(&spec, 0, "ann", "p1=a", "p2=b", NULL);
    spec.op.targets = 3; /* home itself may be named too */
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_OK);
    assert_true(row.complete);
    assert_int_equal(row.num_fields, 2);
}

static void nothing_permitted_means_nothing_there(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;
    struct dom_store_row row;

    harness_open(h, 2);
    op_put(&spec, 0, "ann", "h_mail=secret", NULL);
    spec.op.targets = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_NOT_FOUND);
}

static void no_targets_need_no_outbox(void **state)
{
    struct harness *h = *state;

    harness_open(h, 2);
    harness_put(h, 0, "ann", "1");
    harness_settle(h);
    harness_close(h);
    /* not even a sequence number was used */
    struct dom_db_env *env = NULL;
    struct dom_db *db = NULL;
    struct dom_db_options options = {0};
    struct dom_db_value value;
    assert_int_equal(dom_db_env_new(&env, &options, NULL), DOM_OK);
    assert_int_equal(dom_db_open(&db, env, harness_path(h, "r0/db"), NULL), DOM_OK);
    assert_int_equal(dom_db_get(db, DOM_DB_META, DOM_SLICE_LIT("outbox"), &value, NULL),
                     DOM_NOT_FOUND);
    dom_db_value_release(&value);
    dom_db_close(db);
    dom_db_env_destroy(env);
}

static void former_targets_lose_their_copy(void **state)
{
    struct harness *h = *state;
    struct dom_store_row row;

    harness_open(h, 3);
    put_mixed(h, 2 | 4);
    harness_settle(h);
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_OK);
    put_mixed(h, 4);
    harness_settle(h);
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_NOT_FOUND);
    assert_int_equal(harness_get(h, 2, "ann", &row), DOM_OK);
    assert_int_equal(row.version, 2);
    put_mixed(h, 2 | 4);
    harness_settle(h);
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_OK);
}

static void deletes_reach_every_copy(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;
    struct dom_store_row row;

    harness_open(h, 3);
    put_mixed(h, 2 | 4);
    harness_settle(h);
    op_delete(&spec, 0, "ann");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    for (dom_store_region r = 0; r < 3; r++) {
        assert_int_equal(harness_get(h, r, "ann", &row), DOM_NOT_FOUND);
    }
}

static void sync_targets_have_it_before_the_answer(void **state)
{
    struct harness *h = *state;

    harness_open(h, 3);
    for (int i = 0; i < 50; i++) {
        struct op_spec spec;
        char value[16];
        (void)snprintf(value, sizeof(value), "p=%d", i);
        op_put(&spec, 0, "ann", value, NULL);
        spec.op.targets = 2 | 4;
        spec.op.sync = 4;
        assert_int_equal(harness_run(h, &spec), DOM_OK);
        assert_string_equal(harness_field(h, 2, "ann", "p"), value + 2);
    }
    struct op_spec spec;
    struct dom_store_row row;
    op_delete(&spec, 0, "ann");
    spec.op.sync = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_NOT_FOUND);
}

static void waiting_for_others_must_be_asked_for(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;

    harness_open(h, 3);
    op_put(&spec, 0, "ann", "p=1", NULL);
    spec.op.targets = 2;
    spec.op.sync = 4;
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    spec.op.targets = 0;
    spec.op.sync = 2;
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
}

static void set_hold(struct harness *h, int hold)
{
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    h->hold = hold;
    assert_int_equal(pthread_cond_broadcast(&h->wake), 0);
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
}

/* Region 2's commit thread stands still: nobody else may. */
static void slow_target_holds_up_nobody_else(void **state)
{
    struct harness *h = *state;
    struct op_spec held;
    struct op_spec spec;
    bool done = false;

    harness_open(h, 3);
    set_hold(h, 3);
    op_append(&held, 2, "entry");
    held.op.owner = &done;
    assert_int_equal(dom_store_submit(h->store, &held.op, &h->err), DOM_OK);
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    while (h->held == 0) {
        assert_int_equal(pthread_cond_wait(&h->wake, &h->lock), 0);
    }
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
    op_put(&spec, 0, "ann", "p=1", NULL);
    spec.op.targets = 2 | 4;
    spec.op.sync = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_string_equal(harness_field(h, 1, "ann", "p"), "1");
    assert_true(dom_store_staleness_ms(h->store, 0, 2) > 0 ||
                harness_field(h, 2, "ann", "p") == NULL);
    /* who waits for the slow one waits until its deadline, and is told what holds */
    op_put(&spec, 0, "ann", "p=2", NULL);
    spec.op.targets = 2 | 4;
    spec.op.sync = 4;
    spec.op.deadline_us = dom_clock_monotonic_us(dom_clock_system()) + 100000;
    assert_int_equal(harness_run(h, &spec), DOM_DEADLINE);
    assert_non_null(strstr(spec.op.message, "written at home"));
    assert_int_equal(spec.op.version, 2);
    assert_string_equal(harness_field(h, 0, "ann", "p"), "2");
    assert_null(harness_field(h, 2, "ann", "p"));
    /* the quick one goes on through many rounds */
    for (int i = 0; i < 20; i++) {
        op_put(&spec, 0, "bob", "p=1", NULL);
        spec.op.targets = 2 | 4;
        spec.op.sync = 2;
        assert_int_equal(harness_run(h, &spec), DOM_OK);
    }
    set_hold(h, 0);
    harness_settle(h);
    assert_true(done);
    assert_string_equal(harness_field(h, 2, "ann", "p"), "2");
    assert_int_equal(dom_store_staleness_ms(h->store, 0, 2), 0);
}

static void staleness_is_told(void **state)
{
    struct harness *h = *state;

    harness_open(h, 2);
    put_mixed(h, 2);
    harness_settle(h);
    assert_int_equal(dom_store_staleness_ms(h->store, 0, 0), 0);
    assert_int_equal(dom_store_staleness_ms(h->store, 0, 1), 0);
}

/* The store is closed at once after the answers: what the replicas lack must come after. */
static void unsent_work_survives_a_restart(void **state)
{
    struct harness *h = *state;
    struct op_spec *specs = calloc(600, sizeof(*specs));
    char ids[600][16];

    harness_open(h, 3);
    for (size_t i = 0; i < 600; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "id%zu", i % 400);
        if (i < 400) {
            op_put(&specs[i], 0, ids[i], "p=1", "h=1", NULL);
            specs[i].op.targets = 2 | 4;
        } else {
            op_delete(&specs[i], 0, ids[i]);
        }
    }
    harness_run_all(h, specs, 600);
    harness_close(h);
    harness_open(h, 3);
    harness_settle(h);
    for (size_t i = 0; i < 400; i++) {
        for (dom_store_region r = 1; r < 3; r++) {
            struct dom_store_row row;
            enum dom_code rc = harness_get(h, r, ids[i], &row);
            assert_int_equal(rc, i < 200 ? DOM_NOT_FOUND : DOM_OK);
            assert_true(rc != DOM_OK || row.num_fields == 1);
        }
    }
    free(specs);
}

/* What is for a region that is not open must wait for it, however long. */
static void absent_region_gets_its_part_later(void **state)
{
    struct harness *h = *state;
    struct dom_store_stats stats;

    harness_open(h, 2);
    harness_close(h);
    harness_open(h, 2);
    put_mixed(h, 2);
    harness_settle(h);
    harness_close(h);
    /* r1's folder is set back to before: it has nothing, and its watermark says so */
    harness_shell(h, "rm -rf r1 keys/r1.*");
    harness_open(h, 1);
    struct op_spec spec;
    op_put(&spec, 0, "ann", "p_title=Later", NULL);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.outbox, 1); /* the copy there must go */
    harness_close(h);
    harness_open(h, 1);
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.outbox, 1);
    harness_close(h);
    harness_open(h, 2);
    harness_settle(h);
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.outbox, 0);
}

static size_t outbox_entries(struct harness *h)
{
    struct dom_db_env *env = NULL;
    struct dom_db *db = NULL;
    struct dom_db_options options = {0};
    size_t count = 0;

    assert_int_equal(dom_db_env_new(&env, &options, NULL), DOM_OK);
    assert_int_equal(dom_db_open(&db, env, harness_path(h, "r0/db"), NULL), DOM_OK);
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_OUTBOX);
    for (rocksdb_iter_seek_to_first(iter); rocksdb_iter_valid(iter); rocksdb_iter_next(iter)) {
        count++;
    }
    rocksdb_iter_destroy(iter);
    dom_db_close(db);
    dom_db_env_destroy(env);
    return count;
}

static void outbox_is_trimmed(void **state)
{
    struct harness *h = *state;
    struct dom_store_stats stats;

    harness_open(h, 3);
    for (int i = 0; i < 20; i++) {
        put_mixed(h, 2 | 4);
    }
    harness_settle(h);
    dom_store_stats(h->store, 0, &stats);
    assert_int_equal(stats.outbox, 0);
    harness_close(h);
    assert_int_equal(outbox_entries(h), 0);
    /* and its numbers go on from where they were */
    harness_open(h, 3);
    put_mixed(h, 2);
    harness_settle(h);
    assert_string_equal(harness_field(h, 1, "ann", "p_title"), "PublicTitle");
    struct dom_store_row row;
    assert_int_equal(harness_get(h, 1, "ann", &row), DOM_OK);
    assert_int_equal(row.version, 21);
}

static void hot_record_is_carried_few_times(void **state)
{
    struct harness *h = *state;
    struct op_spec *specs = calloc(2000, sizeof(*specs));
    struct dom_store_stats stats;

    harness_open(h, 2);
    for (size_t i = 0; i < 2000; i++) {
        op_put(&specs[i], 0, "hot", "p=1", NULL);
        specs[i].op.targets = 2;
    }
    harness_run_all(h, specs, 2000);
    harness_settle(h);
    dom_store_stats(h->store, 1, &stats);
    assert_true(stats.applied > 0 && stats.applied < 1000);
    struct dom_store_row row;
    assert_int_equal(harness_get(h, 1, "hot", &row), DOM_OK);
    assert_int_equal(row.version, 2000);
    free(specs);
}

static void big_rows_are_carried(void **state)
{
    struct harness *h = *state;
    size_t size = DOM_RECORD_BYTES_MAX - 16;
    char *value = malloc(size);
    struct op_spec *specs = calloc(60, sizeof(*specs));
    char ids[60][8];

    memset(value, 'v', size);
    harness_open(h, 2);
    for (size_t i = 0; i < 60; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "b%zu", i);
        op_put(&specs[i], 0, ids[i], "p=1", NULL);
        specs[i].fields[0].value = dom_slice_of(value, size);
        specs[i].op.targets = 2;
    }
    harness_run_all(h, specs, 60);
    harness_settle(h);
    for (size_t i = 0; i < 60; i++) {
        struct dom_store_row row;
        assert_int_equal(harness_get(h, 1, ids[i], &row), DOM_OK);
        assert_int_equal(row.fields[0].value.len, size);
    }
    free(value);
    free(specs);
}

static void damaged_row_does_not_hold_up_others(void **state)
{
    struct harness *h = *state;
    struct dom_db_env *env = NULL;
    struct dom_db *db = NULL;
    struct dom_db_options options = {0};

    harness_open(h, 1);
    harness_put(h, 0, "ann", "1");
    harness_close(h);
    assert_int_equal(dom_db_env_new(&env, &options, NULL), DOM_OK);
    assert_int_equal(dom_db_open(&db, env, harness_path(h, "r0/db"), NULL), DOM_OK);
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_ROWS);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_iter_seek_to_first(iter);
    struct dom_slice key = dom_db_iter_key(iter);
    struct dom_slice cut = dom_db_iter_value(iter);
    cut.len--;
    /* The damaged row is owed to peer 0, and so is nothing else yet. */
    uint8_t entry[20 + 36];
    uint8_t seq[8] = {0, 0, 0, 0, 0, 0, 0, 1};
    memset(entry, 0, sizeof(entry));
    entry[0] = 1;
    entry[1] = 1;
    entry[9] = 1;
    entry[17] = 1;
    entry[19] = 36;
    memcpy(entry + 20, key.data, 36);
    uint8_t zero = 0;
    dom_db_batch_put(db, batch, DOM_DB_OUTBOX, dom_slice_of(seq, 8),
                     dom_slice_of(entry, sizeof(entry)));
    dom_db_batch_put(db, batch, DOM_DB_META, DOM_SLICE_LIT("peer:r1"), dom_slice_of(&zero, 1));
    dom_db_batch_put(db, batch, DOM_DB_ROWS, key, cut);
    rocksdb_iter_destroy(iter);
    assert_int_equal(dom_db_write(db, batch, true, NULL), DOM_OK);
    rocksdb_writebatch_destroy(batch);
    dom_db_close(db);
    dom_db_env_destroy(env);
    harness_open(h, 2);
    struct op_spec spec;
    op_put(&spec, 0, "bob", "p=1", NULL);
    spec.op.targets = 2;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    harness_settle(h);
    assert_string_equal(harness_field(h, 1, "bob", "p"), "1");
}

static void moved_home_wins_over_late_deliveries(void **state)
{
    struct harness *h = *state;

    harness_open(h, 3);
    for (int i = 0; i < 100; i++) {
        struct op_spec spec;
        dom_store_region home = (dom_store_region)(i % 3);
        char pair[16];
        (void)snprintf(pair, sizeof(pair), "p=%d", i);
        op_put(&spec, home, "ann", pair, NULL);
        spec.op.targets = 7;
        assert_int_equal(harness_run(h, &spec), DOM_OK);
        assert_int_equal(spec.op.version, 2 * i + 1);
        if (i < 99) {
            op_delete(&spec, home, "ann");
            assert_int_equal(harness_run(h, &spec), DOM_OK);
        }
    }
    harness_settle(h);
    for (dom_store_region r = 0; r < 3; r++) {
        struct dom_store_row row;
        assert_string_equal(harness_field(h, r, "ann", "p"), "99");
        assert_int_equal(harness_get(h, r, "ann", &row), DOM_OK);
        assert_int_equal(row.version, 199);
        assert_int_equal(row.is_home, r == 0);
    }
}

/* A region that is put back from a backup knows nothing of what its home has forgotten to owe. */
static void replica_from_an_old_backup_is_seeded_again(void **state)
{
    struct harness *h = *state;
    struct dom_store_row row;
    char id[16];

    harness_open(h, 3);
    for (int i = 0; i < 300; i++) {
        struct op_spec spec;
        (void)snprintf(id, sizeof(id), "r%d", i);
        op_put(&spec, 0, id, "p_value=old", NULL);
        spec.op.targets = 2 | 4;
        assert_int_equal(harness_run(h, &spec), DOM_OK);
    }
    harness_settle(h);
    harness_close(h);
    harness_shell(h, "cp -a r1 r1.old && cp keys/r1.checkpoint keys/r1.checkpoint.old");
    harness_open(h, 3);
    for (int i = 0; i < 300; i++) {
        struct op_spec spec;
        (void)snprintf(id, sizeof(id), "r%d", i);
        if (i % 3 == 0) {
            op_delete(&spec, 0, id);
        } else {
            op_put(&spec, 0, id, "p_value=new", NULL);
            spec.op.targets = i % 3 == 1 ? 2 | 4 : 4; /* some are not to be in r1 any more */
        }
        assert_int_equal(harness_run(h, &spec), DOM_OK);
    }
    harness_settle(h);
    harness_close(h);
    harness_shell(h, "rm -rf r1 && mv r1.old r1 && mv keys/r1.checkpoint.old keys/r1.checkpoint");
    harness_open(h, 3);
    harness_settle(h);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(id, sizeof(id), "r%d", i);
        enum dom_code rc = harness_get(h, 1, id, &row);
        assert_int_equal(rc, i % 3 == 1 ? DOM_OK : DOM_NOT_FOUND);
        assert_true(rc != DOM_OK || row.version == 2);
        assert_int_equal(harness_get(h, 2, id, &row), i % 3 == 0 ? DOM_NOT_FOUND : DOM_OK);
    }
    assert_int_equal(harness_put(h, 0, "r1", "later"), 3);
    harness_settle(h);
    assert_int_equal(harness_get(h, 1, "r1", &row), DOM_NOT_FOUND);
    harness_close(h);
    harness_open(h, 3); /* and then it is in step */
    harness_settle(h);
    harness_close(h);
    harness_open(h, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(replicas_hold_their_part_only),
        T(replica_with_all_fields_is_complete),
        T(nothing_permitted_means_nothing_there),
        T(no_targets_need_no_outbox),
        T(former_targets_lose_their_copy),
        T(deletes_reach_every_copy),
        T(sync_targets_have_it_before_the_answer),
        T(waiting_for_others_must_be_asked_for),
        T(slow_target_holds_up_nobody_else),
        T(staleness_is_told),
        T(unsent_work_survives_a_restart),
        T(absent_region_gets_its_part_later),
        T(outbox_is_trimmed),
        T(hot_record_is_carried_few_times),
        T(big_rows_are_carried),
        T(damaged_row_does_not_hold_up_others),
        T(moved_home_wins_over_late_deliveries),
        T(replica_from_an_old_backup_is_seeded_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
