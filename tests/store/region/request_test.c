/* Retries, names, scans, and many threads at once. */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

/* ---- request ids ---------------------------------------------------------------------------- */

static void request_id_replays_its_first_answer(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec first;
    struct op_spec again;

    op_put(&first, 0, "x", "p=1", NULL);
    op_entry(&first, "entry");
    op_request(&first, "r1");
    assert_int_equal(harness_run(h, &first), DOM_OK);
    harness_put(h, 0, "x", "other");
    op_put(&again, 0, "x", "p=1", NULL);
    op_entry(&again, "entry of the second attempt");
    op_request(&again, "r1");
    assert_int_equal(harness_run(h, &again), DOM_OK);
    assert_true(again.op.replayed);
    assert_int_equal(again.op.version, 1);
    assert_int_equal(again.receipts[0].index, first.receipts[0].index);
    assert_memory_equal(again.receipts[0].leaf_hash, first.receipts[0].leaf_hash, 32);
    assert_int_equal(dom_store_log_size(h->store, 0), 2);
    assert_string_equal(harness_field(h, 0, "x", "p_value"), "other");
}

static void request_id_of_other_content_is_refused(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    op_put(&spec, 0, "x", "p=1", NULL);
    op_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    op_put(&spec, 0, "x", "p=2", NULL);
    op_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    op_put(&spec, 0, "y", "p=1", NULL);
    op_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    op_delete(&spec, 0, "x");
    op_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    /* another service's r1 is another request */
    op_put(&spec, 0, "x", "p=2", NULL);
    op_request(&spec, "r1");
    spec.op.service = DOM_SLICE_LIT("other");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
}

static void request_id_in_one_group(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec specs[50];

    for (size_t i = 0; i < DOM_ARRAY_LEN(specs); i++) {
        op_put(&specs[i], 0, "x", "p=1", NULL);
        op_request(&specs[i], "r1");
    }
    harness_run_all(h, specs, DOM_ARRAY_LEN(specs));
    for (size_t i = 0; i < DOM_ARRAY_LEN(specs); i++) {
        assert_int_equal(specs[i].op.code, DOM_OK);
        assert_int_equal(specs[i].op.version, 1);
        assert_int_equal(specs[i].op.replayed, i > 0);
    }
}

static void failed_request_may_be_tried_again(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;

    op_delete(&spec, 0, "x");
    op_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_NOT_FOUND);
    harness_put(h, 0, "x", "1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
}

static void request_id_is_forgotten_after_its_time(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    int64_t start = 1700000000000;

    h->wall_ms = start;
    op_put(&spec, 0, "x", "p=1", NULL);
    op_request(&spec, "r1");
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    h->wall_ms = start + (int64_t)DOM_REQUEST_ID_TTL_SECONDS * 1000;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_true(spec.op.replayed);
    h->wall_ms++;
    assert_int_equal(harness_run(h, &spec), DOM_OK);
    assert_false(spec.op.replayed);
    assert_int_equal(spec.op.version, 2);
}

static void long_request_id_is_refused(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    struct op_spec spec;
    char id[DOM_REQUEST_ID_BYTES_MAX + 2];

    memset(id, 'r', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    op_put(&spec, 0, "x", "p=1", NULL);
    op_request(&spec, id);
    assert_int_equal(harness_run(h, &spec), DOM_INVALID);
    id[DOM_REQUEST_ID_BYTES_MAX] = '\0';
    op_request(&spec, id);
    assert_int_equal(harness_run(h, &spec), DOM_OK);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void hashes_are_keyed_by_region(void **state)
{
    struct harness *h = harness_fresh(state, 2);
    char a[64];
    char b[64];
    char again[64];

    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), a);
    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), again);
    dom_store_subject_hash(h->session, 1, DOM_SLICE_LIT("user"), DOM_SLICE_LIT("x"), b);
    assert_string_equal(a, again);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), strlen("hmac:1:") + 22);
    dom_store_subject_hash(h->session, 0, DOM_SLICE_LIT("userx"), DOM_SLICE_LIT(""), again);
    assert_string_not_equal(a, again);
}

static void pseudonyms_last_and_differ_by_key(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    char a[32];
    char b[32];
    struct dom_slice value = DOM_SLICE_LIT("ann");

    assert_int_equal(dom_store_pseudonym(h->session, 0, "ads", value, a, &h->err), DOM_OK);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "other", value, b, &h->err), DOM_OK);
    assert_int_equal(strlen(a), 22);
    assert_string_not_equal(a, b);
    harness_close(h);
    harness_open(h, 1);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "ads", value, b, &h->err), DOM_OK);
    assert_string_equal(a, b);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "", value, b, &h->err), DOM_INVALID);
    assert_int_equal(dom_store_pseudonym(h->session, 0, "A b", value, b, &h->err), DOM_INVALID);
}

/* ---- scanning ------------------------------------------------------------------------------- */

static bool count_row(void *context, const struct dom_store_row *row)
{
    size_t *count = context;

    assert_true(row->is_home);
    return ++*count % 7 != 0;
}

static void scan_gives_every_home_row_once(void **state)
{
    struct harness *h = harness_fresh(state, 2);
    struct op_spec specs[100];
    char ids[100][8];
    uint8_t last[64];
    size_t last_len = 0;
    size_t total = 0;
    bool end = false;

    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "id%zu", i);
        op_put(&specs[i], (dom_store_region)(i % 2), ids[i], "p=1", NULL);
        specs[i].op.targets = 3;
        if (i >= 90) {
            specs[i].op.kind = DOM_SLICE_LIT("room");
        }
    }
    harness_run_all(h, specs, 100);
    harness_settle(h);
    for (size_t rounds = 0; !end; rounds++) {
        size_t count = 0;
        assert_true(rounds < 100);
        dom_arena_reset(&h->arena);
        assert_int_equal(
            dom_store_scan(h->session, 0, DOM_SLICE_LIT("user"), dom_slice_of(last, last_len), 10,
                           &h->arena, count_row, &count, last, &last_len, &end, &h->err),
            DOM_OK);
        total += count;
        assert_true(end || count == 7); /* the callback stops there */
    }
    assert_int_equal(total, 45);
    uint8_t long_key[65] = {0};
    assert_int_equal(
        dom_store_scan(h->session, 0, DOM_SLICE_LIT("user"), dom_slice_of(long_key, 65), 10,
                       &h->arena, count_row, &total, last, &last_len, &end, &h->err),
        DOM_INVALID);
    assert_int_equal(dom_store_scan(h->session, 0, DOM_SLICE_LIT("nokind"), dom_slice_of("", 0), 10,
                                    &h->arena, count_row, &total, last, &last_len, &end, &h->err),
                     DOM_OK);
    assert_true(end);
    assert_int_equal(total, 45);
}

/* ---- many at once --------------------------------------------------------------------------- */

struct racer {
    struct harness *h;
    dom_store_region region;
    size_t created;
    size_t elsewhere;
    pthread_t thread;
};

static void *race(void *arg)
{
    struct racer *racer = arg;

    for (int i = 0; i < 200; i++) {
        struct op_spec spec;
        char id[16];
        (void)snprintf(id, sizeof(id), "race%d", i);
        op_put(&spec, racer->region, id, "p=1", NULL);
        spec.op.must_not_exist = true;
        switch ((int)harness_run(racer->h, &spec)) {
            case DOM_OK:
                racer->created++;
                break;
            case DOM_HOME_MISMATCH:
            case DOM_EXISTS:
                racer->elsewhere++;
                break;
            default:
                abort();
        }
    }
    return NULL;
}

static void racing_creates_make_one_home(void **state)
{
    struct harness *h = harness_fresh(state, 3);
    struct racer racers[3];
    size_t homes = 0;

    for (size_t i = 0; i < 3; i++) {
        racers[i] = (struct racer){.h = h, .region = (dom_store_region)i};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
    }
    for (int i = 0; i < 200; i++) {
        char id[16];
        size_t here = 0;
        (void)snprintf(id, sizeof(id), "race%d", i);
        for (dom_store_region r = 0; r < 3; r++) {
            struct dom_store_row row;
            here += harness_get(h, r, id, &row) == DOM_OK && row.is_home;
        }
        assert_true(here <= 1);
        homes += here;
    }
    assert_int_equal(homes, racers[0].created + racers[1].created + racers[2].created);
}

static void queue_is_bounded(void **state)
{
    struct harness *h = harness_fresh(state, 1);
    size_t count = DOM_COMMIT_QUEUE_MAX * 3U;
    struct op_spec *specs = calloc(count, sizeof(*specs));
    bool *done = calloc(count, sizeof(*done));
    enum dom_code rc = DOM_OK;
    size_t taken = 0;

    /* Faster in than out: the queue must say so at some time, and lose nothing it took. */
    while (taken < count && rc == DOM_OK) {
        op_append(&specs[taken], 0, "entry");
        specs[taken].op.owner = &done[taken];
        rc = dom_store_submit(h->store, &specs[taken].op, &h->err);
        taken += rc == DOM_OK;
    }
    if (taken < count) {
        assert_int_equal(rc, DOM_RESOURCE);
        assert_true(taken >= DOM_COMMIT_QUEUE_MAX);
    }
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    for (size_t i = 0; i < taken; i++) {
        while (!done[i]) {
            assert_int_equal(pthread_cond_wait(&h->wake, &h->lock), 0);
        }
        assert_int_equal(specs[i].op.code, DOM_OK);
        assert_int_equal(specs[i].receipts[0].index, i + 1);
    }
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
    free(specs);
    free(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(request_id_replays_its_first_answer),
        T(request_id_of_other_content_is_refused),
        T(request_id_in_one_group),
        T(failed_request_may_be_tried_again),
        T(request_id_is_forgotten_after_its_time),
        T(long_request_id_is_refused),
        T(hashes_are_keyed_by_region),
        T(pseudonyms_last_and_differ_by_key),
        T(scan_gives_every_home_row_once),
        T(racing_creates_make_one_home),
        T(queue_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
