#include "store/desk_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/thread.h"
#include "store/store_internal.h"

enum ask_state {
    ASK_FREE,
    ASK_QUEUED,   /* also while it is being answered */
    ASK_ANSWERED, /* and somebody waits for it */
    ASK_LATE,     /* as QUEUED, but nobody waits any more */
};

/* One question; each asker has one at most. */
struct ask {
    enum ask_state state;
    struct dom_region *asker;
    struct dom_buffer request;
    unsigned status;
    struct dom_buffer body;
    struct ask *next; /* in the queue */
};

struct dom_desk {
    struct dom_region_host *host;
    struct dom_region *witness;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the thread's */
    pthread_cond_t answered; /* the askers' */
    bool stopping;
    struct ask *first;
    struct ask *last;
    struct ask asks[DOM_REGIONS_MAX]; /* by the asker's number */
};

/* ---- answering ---------------------------------------------------------------------------- */

/* False: the end. */
static bool take(struct dom_desk *desk, struct ask **askp)
{
    DOM_ASSERT(pthread_mutex_lock(&desk->lock) == 0);
    while (desk->first == NULL && !desk->stopping) {
        DOM_ASSERT(pthread_cond_wait(&desk->wake, &desk->lock) == 0);
    }
    struct ask *ask = desk->first;
    bool going = !desk->stopping;
    if (going) {
        desk->first = ask->next;
        desk->last = desk->first == NULL ? NULL : desk->last;
        ask->next = NULL;
    }
    DOM_ASSERT(pthread_mutex_unlock(&desk->lock) == 0);
    *askp = ask;
    return going;
}

/* The question is the thread's until it is answered: nobody else looks at its bytes. */
static void answer(struct dom_desk *desk, struct ask *ask)
{
    const struct dom_note_key *key = dom_audit_log_key(dom_region_log(ask->asker));
    uint64_t time_s = (uint64_t)dom_clock_wall_ms(desk->host->options.clock) / 1000;
    struct dom_witness_answer given;
    struct dom_error own = {0};

    /* The status says how it went. */
    (void)!dom_witness_add_checkpoint(dom_region_witness(desk->witness), key, 1,
                                      dom_buffer_slice(&ask->request), time_s, &given, &own);
    ask->status = given.status;
    dom_buffer_clear(&ask->body);
    dom_buffer_append_slice(&ask->body, given.status == 500 ? dom_slice_str(own.message)
                                                            : dom_buffer_slice(&given.body));
    dom_witness_answer_cleanup(&given);
}

static void *desk_main(void *arg)
{
    struct dom_desk *desk = arg;
    struct ask *ask = NULL;

    dom_thread_name("witness", dom_region_name(desk->witness));
    while (take(desk, &ask)) {
        struct dom_region *asker = ask->asker;
        answer(desk, ask);
        DOM_ASSERT(pthread_mutex_lock(&desk->lock) == 0);
        bool late = ask->state == ASK_LATE;
        ask->state = late ? ASK_FREE : ASK_ANSWERED;
        DOM_ASSERT(pthread_cond_broadcast(&desk->answered) == 0);
        DOM_ASSERT(pthread_mutex_unlock(&desk->lock) == 0);
        if (late) {
            dom_audit_log_ask_again(dom_region_log(asker));
            desk->host->wake_keeper(desk->host->store, asker);
        }
    }
    return NULL;
}

/* ---- asking ------------------------------------------------------------------------------- */

/* The lock is held. */
static enum dom_code enqueue(struct dom_desk *desk, struct ask *ask, struct dom_region *asker,
                             struct dom_slice request, struct dom_error *err)
{
    ask->asker = asker;
    dom_buffer_clear(&ask->request);
    dom_buffer_append_slice(&ask->request, request);
    if (ask->request.failed) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    ask->state = ASK_QUEUED;
    if (desk->last == NULL) {
        desk->first = ask;
    } else {
        desk->last->next = ask;
    }
    desk->last = ask;
    DOM_ASSERT(pthread_cond_signal(&desk->wake) == 0);
    return DOM_OK;
}

/* The lock is held. */
static void await_answer(struct dom_desk *desk, struct ask *ask)
{
    uint64_t until = dom_store_now_us() + DOM_DESK_WAIT_MS * UINT64_C(1000);

    while (ask->state == ASK_QUEUED && dom_cond_wait_until(&desk->answered, &desk->lock, until)) {
    }
    if (ask->state == ASK_QUEUED) {
        ask->state = ASK_LATE;
    }
}

enum dom_code dom_desk_ask(struct dom_desk *desk, struct dom_region *asker, struct dom_slice request,
                           unsigned *statusp, struct dom_buffer *body, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    *statusp = 0;
    dom_buffer_clear(body);
    DOM_ASSERT(pthread_mutex_lock(&desk->lock) == 0);
    struct ask *ask = &desk->asks[dom_region_number(asker)];
    DOM_ASSERT(ask->state == ASK_FREE || ask->state == ASK_LATE);
    if (ask->state == ASK_FREE) {
        rc = enqueue(desk, ask, asker, request, err);
        if (rc == DOM_OK) {
            await_answer(desk, ask);
        }
    }
    if (ask->state == ASK_ANSWERED) {
        ask->state = ASK_FREE;
        *statusp = ask->status;
        dom_buffer_append_slice(body, dom_buffer_slice(&ask->body));
        rc = body->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory") : DOM_OK;
    } else if (rc == DOM_OK) {
        rc = DOM_FAIL(err, DOM_UNAVAILABLE, "it has not answered: its disk hangs or is slow");
    }
    DOM_ASSERT(pthread_mutex_unlock(&desk->lock) == 0);
    return rc;
}

/* ---- life --------------------------------------------------------------------------------- */

enum dom_code dom_desk_start(struct dom_desk **deskp, struct dom_region_host *host,
                             struct dom_region *witness, struct dom_error *err)
{
    struct dom_desk *desk = calloc(1, sizeof(*desk));

    DOM_ASSERT(desk != NULL);
    desk->host = host;
    desk->witness = witness;
    DOM_ASSERT(pthread_mutex_init(&desk->lock, NULL) == 0);
    dom_cond_init(&desk->wake);
    dom_cond_init(&desk->answered);
    desk->started = pthread_create(&desk->thread, NULL, desk_main, desk) == 0;
    *deskp = desk;
    return desk->started ? DOM_OK
                         : DOM_FAIL(err, DOM_RESOURCE, "region %s: no thread for its witness",
                                    dom_region_name(witness));
}

void dom_desk_stop(struct dom_desk *desk)
{
    if (desk == NULL || !desk->started) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&desk->lock) == 0);
    desk->stopping = true;
    DOM_ASSERT(pthread_cond_signal(&desk->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&desk->lock) == 0);
    DOM_ASSERT(pthread_join(desk->thread, NULL) == 0);
    desk->started = false;
}

void dom_desk_destroy(struct dom_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    DOM_ASSERT(!desk->started);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        dom_buffer_cleanup(&desk->asks[i].request);
        dom_buffer_cleanup(&desk->asks[i].body);
    }
    (void)pthread_mutex_destroy(&desk->lock);
    (void)pthread_cond_destroy(&desk->wake);
    (void)pthread_cond_destroy(&desk->answered);
    free(desk);
}
