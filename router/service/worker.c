#include "router/service/worker.h"

#include "base/thread.h"

static void *work(void *arg)
{
    struct dom_worker *worker = arg;

    dom_thread_name("worker", NULL);
    for (;;) {
        (void)pthread_mutex_lock(&worker->lock);
        while (worker->first == NULL && !worker->stopping) {
            (void)pthread_cond_wait(&worker->wake, &worker->lock);
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

enum dom_code dom_worker_start(struct dom_worker *worker, struct dom_store *store,
                               struct dom_error *err)
{
    memset(worker, 0, sizeof(*worker));
    enum dom_code rc = dom_store_session_new(&worker->session, store, err);
    if (rc != DOM_OK) {
        return rc;
    }
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->wake, NULL);
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
