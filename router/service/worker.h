/* One thread for what would block the I/O thread: scans, proofs, reloads. Jobs run in order.
 * Thread contract: push from any thread; start and stop from one. */
#ifndef DOM_ROUTER_SERVICE_WORKER_H
#define DOM_ROUTER_SERVICE_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "store/store.h"

#define DOM_WORKER_QUEUE_MAX 1024U

/* Embed it; it is the worker's until `run` is called. */
struct dom_job {
    struct dom_job *next;
    /* On the worker's thread, with the worker's own session. */
    void (*run)(struct dom_job *job, struct dom_store_session *session);
};

struct dom_worker {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct dom_job *first;
    struct dom_job *last;
    size_t num_jobs;
    bool stopping;
    bool started;
    pthread_t thread;
    struct dom_store_session *session;
    /* Called between jobs every tick_ms, when set before the start. */
    void (*tick)(void *context);
    void *tick_context;
    uint64_t tick_ms;
};

/* Zeroed, or with only the tick's three members set. */
enum dom_code dom_worker_start(struct dom_worker *worker, struct dom_store *store,
                               struct dom_error *err) DOM_MUST_USE;
/* Runs what is queued, then joins. Legal on a zeroed worker. */
void dom_worker_stop(struct dom_worker *worker);
/* False when the queue is full or stopping; the job is then not taken. */
bool dom_worker_push(struct dom_worker *worker, struct dom_job *job) DOM_MUST_USE;

#endif
