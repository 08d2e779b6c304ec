#include "router/service/worker.h"

#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/macros.h"
#include "base/thread.h"

#define NS_PER_S INT64_C(1000000000)

static struct timespec next_tick(const struct dom_worker *worker)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = at.tv_nsec + (int64_t)worker->tick_ms * 1000000;
    at.tv_sec += ns / NS_PER_S;
    at.tv_nsec = ns % NS_PER_S;
    return at;
}

/* The lock is held. False: it is time for a tick. */
static bool wait_for_job(struct dom_worker *worker, const struct timespec *tick_at)
{
    while (worker->first == NULL && !worker->stopping) {
        if (worker->tick == NULL) {
            (void)pthread_cond_wait(&worker->wake, &worker->lock);
        } else if (pthread_cond_timedwait(&worker->wake, &worker->lock, tick_at) == ETIMEDOUT) {
            return false;
        }
    }
    return true;
}

static void *work(void *arg)
{
    struct dom_worker *worker = arg;
    struct timespec tick_at = next_tick(worker);

    dom_thread_name(worker->role, worker->what);
    for (;;) {
        (void)pthread_mutex_lock(&worker->lock);
        if (!wait_for_job(worker, &tick_at)) {
            (void)pthread_mutex_unlock(&worker->lock);
            worker->tick(worker->tick_context);
            tick_at = next_tick(worker);
            continue;
        }
        struct dom_job *job = worker->first;
        if (job != NULL) {
            worker->first = job->next;
            worker->num_jobs--;
        }
        (void)pthread_mutex_unlock(&worker->lock);
        if (job == NULL) {
            return NULL;
        }
        job->run(job, worker->session);
    }
}

enum dom_code dom_worker_start(struct dom_worker *worker, struct dom_store *store, const char *role,
                               const char *what, struct dom_error *err)
{
    pthread_condattr_t attr;
    enum dom_code rc = dom_store_session_new(&worker->session, store, err);
    if (rc != DOM_OK) {
        return rc;
    }
    worker->role = role;
    worker->what = what;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&worker->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
        dom_store_session_destroy(worker->session);
        worker->session = NULL;
        return DOM_FAIL(err, DOM_INTERNAL, "cannot start a thread");
    }
    worker->started = true;
    return DOM_OK;
}

void dom_worker_stop(struct dom_worker *worker)
{
    if (!worker->started) {
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    (void)pthread_cond_signal(&worker->wake);
    (void)pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    (void)pthread_cond_destroy(&worker->wake);
    (void)pthread_mutex_destroy(&worker->lock);
    dom_store_session_destroy(worker->session);
    memset(worker, 0, sizeof(*worker));
}

bool dom_worker_push(struct dom_worker *worker, struct dom_job *job)
{
    bool taken = false;

    job->next = NULL;
    (void)pthread_mutex_lock(&worker->lock);
    if (!worker->stopping && worker->num_jobs < DOM_WORKER_QUEUE_MAX) {
        if (worker->first == NULL) {
            worker->first = job;
        } else {
            worker->last->next = job;
        }
        worker->last = job;
        worker->num_jobs++;
        taken = true;
        (void)pthread_cond_signal(&worker->wake);
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return taken;
}

/* ---- the crew ----------------------------------------------------------------------------- */

void dom_crew_init(struct dom_crew *crew, struct dom_store *store)
{
    *crew = (struct dom_crew){.store = store};
}

void dom_crew_stop(struct dom_crew *crew)
{
    for (size_t i = 0; i < DOM_ARRAY_LEN(crew->by_region); i++) {
        dom_worker_stop(&crew->by_region[i]);
    }
    dom_worker_stop(&crew->elsewhere);
}

bool dom_crew_push(struct dom_crew *crew, dom_store_region region, struct dom_job *job)
{
    bool known = region != DOM_STORE_NO_REGION;
    struct dom_worker *worker = known ? &crew->by_region[region] : &crew->elsewhere;
    struct dom_error err = {0};

    if (!worker->started &&
        dom_worker_start(worker, crew->store, "worker",
                         known ? dom_store_region_name(crew->store, region) : NULL,
                         &err) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "worker.not_started", "reason=\"%s\"", err.message);
        return false;
    }
    return dom_worker_push(worker, job);
}
