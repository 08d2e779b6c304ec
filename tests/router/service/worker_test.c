/* The worker: jobs in order, a bounded queue, and nothing lost at the stop; of a crew, one a region. */
#include "router/service/worker.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/router/service/harness.h"

struct fixture {
    char dir[256];
    struct dom_store *store;
    struct dom_worker worker;
    pthread_mutex_t gate; /* held: the first job waits for it */
    atomic_uint num_run;
    unsigned order[DOM_WORKER_QUEUE_MAX + 8];
};

struct job {
    struct dom_job job;
    struct fixture *fixture;
    unsigned number;
    bool waits;
    atomic_bool *started;
};

static void post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    (void)context;
    (void)first;
    (void)last;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *tmp = getenv("TEST_TMPDIR");
    struct dom_error err = {0};

    assert_non_null(fixture);
    dom_log_set_level(DOM_LOG_ERROR);
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "%s/dom-wrk-XXXXXX",
                   tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(fixture->dir));
    struct dom_store_options options = {
        .data_dir = fixture->dir, .audit_origin = "log.example/test", .post = post};
    assert_int_equal(dom_store_new(&fixture->store, &options, &err), DOM_OK);
    assert_int_equal(pthread_mutex_init(&fixture->gate, NULL), 0);
    assert_int_equal(dom_worker_start(&fixture->worker, fixture->store, "worker", NULL, &err), DOM_OK);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[320];

    dom_worker_stop(&fixture->worker);
    dom_store_destroy(fixture->store);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", fixture->dir);
    assert_int_equal(system(command), 0);
    (void)pthread_mutex_destroy(&fixture->gate);
    free(fixture);
    return 0;
}

static void run_job(struct dom_job *base, struct dom_store_session *session)
{
    struct job *job = (struct job *)base;
    struct fixture *fixture = job->fixture;

    assert_non_null(session);
    if (job->waits) {
        atomic_store(job->started, true);
        (void)pthread_mutex_lock(&fixture->gate);
        (void)pthread_mutex_unlock(&fixture->gate);
    }
    fixture->order[atomic_fetch_add(&fixture->num_run, 1)] = job->number;
    free(job);
}

static struct job *make_job(struct fixture *fixture, unsigned number)
{
    struct job *job = calloc(1, sizeof(*job));

    assert_non_null(job);
    job->job.run = run_job;
    job->fixture = fixture;
    job->number = number;
    return job;
}

static void push(struct fixture *fixture, unsigned number)
{
    assert_true(dom_worker_push(&fixture->worker, &make_job(fixture, number)->job));
}

/* A job that waits for the gate, which is then held. */
static struct job *make_waiting(struct fixture *fixture, atomic_bool *started)
{
    struct job *job = make_job(fixture, 0);

    assert_int_equal(pthread_mutex_lock(&fixture->gate), 0);
    job->waits = true;
    job->started = started;
    return job;
}

static void await(const atomic_bool *what)
{
    while (!atomic_load(what)) {
        (void)sched_yield();
    }
}

/* Puts the worker to work on it. */
static void hold(struct fixture *fixture)
{
    atomic_bool started = false;

    assert_true(dom_worker_push(&fixture->worker, &make_waiting(fixture, &started)->job));
    await(&started);
}

static void jobs_run_in_the_order_in_which_they_came(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 100; i++) {
        push(fixture, i);
    }
    dom_worker_stop(&fixture->worker);
    assert_int_equal(atomic_load(&fixture->num_run), 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(fixture->order[i], i);
    }
}

/* P12 */
static void queue_takes_its_limit_and_refuses_one_more(void **state)
{
    struct fixture *fixture = *state;

    hold(fixture);
    for (unsigned i = 1; i <= DOM_WORKER_QUEUE_MAX; i++) {
        push(fixture, i);
    }
    struct job *over = make_job(fixture, 9999);
    assert_false(dom_worker_push(&fixture->worker, &over->job));
    free(over); /* not taken: still ours */
    assert_int_equal(pthread_mutex_unlock(&fixture->gate), 0);
    dom_worker_stop(&fixture->worker);
    assert_int_equal(atomic_load(&fixture->num_run), DOM_WORKER_QUEUE_MAX + 1);
}

static void *stop(void *arg)
{
    struct fixture *fixture = arg;

    dom_worker_stop(&fixture->worker);
    return NULL;
}

static void stop_runs_what_is_queued(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;

    hold(fixture);
    for (unsigned i = 1; i <= 10; i++) {
        push(fixture, i);
    }
    assert_int_equal(pthread_create(&thread, NULL, stop, fixture), 0);
    assert_int_equal(pthread_mutex_unlock(&fixture->gate), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&fixture->num_run), 11);
}

static void stop_of_a_zeroed_worker_does_nothing(void **state)
{
    struct dom_worker worker = {0};

    (void)state;
    dom_worker_stop(&worker);
    dom_worker_stop(&worker);
}

static void a_region_that_hangs_keeps_no_other_waiting(void **state)
{
    struct fixture *fixture = *state;
    struct dom_crew *crew = calloc(1, sizeof(*crew));
    struct dom_error err = {0};
    dom_store_region regions[2];
    atomic_bool started = false;

    assert_non_null(crew);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            dom_store_open_region(fixture->store, &regions[i], i == 0 ? "r0" : "r1", &err), DOM_OK);
    }
    dom_crew_init(crew, fixture->store);
    assert_true(dom_crew_push(crew, regions[0], &make_waiting(fixture, &started)->job));
    await(&started);
    assert_true(dom_crew_push(crew, regions[0], &make_job(fixture, 1)->job)); /* behind it */
    assert_true(dom_crew_push(crew, regions[1], &make_job(fixture, 2)->job));
    assert_true(dom_crew_push(crew, DOM_STORE_NO_REGION, &make_job(fixture, 3)->job));
    while (atomic_load(&fixture->num_run) < 2) {
        (void)sched_yield();
    }
    assert_int_equal(pthread_mutex_unlock(&fixture->gate), 0);
    dom_crew_stop(crew);
    assert_int_equal(atomic_load(&fixture->num_run), 4);
    assert_int_equal(fixture->order[0] + fixture->order[1], 5); /* the second and the third */
    assert_int_equal(fixture->order[2], 0);
    assert_int_equal(fixture->order[3], 1);
    free(crew);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(jobs_run_in_the_order_in_which_they_came),
        T(queue_takes_its_limit_and_refuses_one_more),
        T(stop_runs_what_is_queued),
        T(stop_of_a_zeroed_worker_does_nothing),
        T(a_region_that_hangs_keeps_no_other_waiting),
    };

    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
