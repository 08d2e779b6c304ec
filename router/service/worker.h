/* One thread for what would block the I/O thread: scans, proofs, reloads. Jobs run in order.
 *
 * The crew is one worker for each region, for jobs that read or write there: who hangs with a region's
 * disk keeps no other region's callers waiting. Each is started by its first job.
 *
 * Thread contract: push from any thread; start and stop from one, the crew's push too. */
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
    const char *role;
    const char *what;
    pthread_t thread;
    struct dom_store_session *session;
    /* Called between jobs every tick_ms, when set before the start. */
    void (*tick)(void *context);
    void *tick_context;
    uint64_t tick_ms;
};

/* Zeroed, or with only the tick's three members set. The thread is named ROLE:WHAT (base/thread.h). */
enum dom_code dom_worker_start(struct dom_worker *worker, struct dom_store *store, const char *role,
                               const char *what, struct dom_error *err) DOM_MUST_USE;
/* Runs what is queued, then joins. Legal on a zeroed worker. */
void dom_worker_stop(struct dom_worker *worker);
/* False when the queue is full or stopping; the job is then not taken. */
bool dom_worker_push(struct dom_worker *worker, struct dom_job *job) DOM_MUST_USE;

struct dom_crew {
    struct dom_store *store;
    struct dom_worker by_region[DOM_REGIONS_MAX];
    struct dom_worker elsewhere; /* jobs of no one region */
};

/* `store` must outlive it. */
void dom_crew_init(struct dom_crew *crew, struct dom_store *store);
/* As dom_worker_stop, for all. */
void dom_crew_stop(struct dom_crew *crew);
/* `region` may be NO_REGION. False also when its thread cannot be started. */
bool dom_crew_push(struct dom_crew *crew, dom_store_region region,
                   struct dom_job *job) DOM_MUST_USE;

#endif
