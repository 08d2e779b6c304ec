/* Entries about policies: the same in every region's log, and in each before anything that is decided
 * after it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/service/internal.h"

/* How long the pilot waits for the disks. What is not durable by then is queued before whatever comes
 * later in that log, so nothing is decided under a policy that its log does not tell of first. */
#define WAIT_S 2

void dom_telling_text(struct dom_telling *telling, const char *name, struct dom_slice text)
{
    if (text.len == 0) {
        return;
    }
    DOM_ASSERT(telling->num_details < DOM_AUDIT_DETAILS_MAX);
    telling->details[telling->num_details++] =
        (struct dom_audit_detail){.name = dom_slice_str(name), .text = text};
}

void dom_telling_number(struct dom_telling *telling, const char *name, int64_t number)
{
    DOM_ASSERT(telling->num_details < DOM_AUDIT_DETAILS_MAX);
    telling->details[telling->num_details++] = (struct dom_audit_detail){
        .name = dom_slice_str(name), .integer = number, .is_integer = true};
}

static int by_name(const void *a, const void *b)
{
    const struct dom_audit_detail *left = a;
    const struct dom_audit_detail *right = b;

    return dom_slice_cmp(left->name, right->name);
}

/* ---- who waits ---------------------------------------------------------------------------- */

/* The entries of one telling that are under way. Lives until the last of them is through. */
struct round {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t pending;
    size_t refs;
};

static struct round *round_new(void)
{
    struct round *round = calloc(1, sizeof(*round));
    pthread_condattr_t attr;

    DOM_ASSERT(round != NULL);
    (void)pthread_mutex_init(&round->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&round->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    round->refs = 1;
    return round;
}

/* The lock is held, and let go. */
static void round_leave(struct round *round)
{
    bool last = --round->refs == 0;

    (void)pthread_mutex_unlock(&round->lock);
    if (last) {
        (void)pthread_mutex_destroy(&round->lock);
        (void)pthread_cond_destroy(&round->wake);
        free(round);
    }
}

static void round_wait(struct round *round)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&round->lock);
    while (round->pending > 0 &&
           pthread_cond_timedwait(&round->wake, &round->lock, &until) != ETIMEDOUT) {
    }
    round_leave(round);
}

/* ---- one entry ----------------------------------------------------------------------------- */

struct announcement {
    struct announcement *next; /* of those that wait for their log to open again */
    struct dom_async async;
    struct dom_buffer bytes;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    struct dom_router *router;
    dom_store_region region;
    struct dom_told *told; /* learns the index; one reference, NULL: nobody asks */
    struct round *round;   /* NULL: nobody waits any more */
};

static void announcement_free(struct announcement *one)
{
    dom_buffer_cleanup(&one->bytes);
    dom_told_unref(one->told);
    free(one);
}

/* Whoever waits for it need not any longer: it is durable, or comes first when its log opens. */
static void settle(struct announcement *one)
{
    struct round *round = one->round;

    one->round = NULL;
    if (round != NULL) {
        (void)pthread_mutex_lock(&round->lock);
        round->pending--;
        (void)pthread_cond_signal(&round->wake);
        round_leave(round);
    }
}

/* The log is closed: the entry waits until it opens, in the order of coming. */
static void set_aside(struct announcement *one, const char *why)
{
    struct dom_policy_holder *holder = &one->router->holder;
    struct announcement **at = &holder->waiting;

    dom_log(DOM_LOG_WARN, "policy.announce", "region=%s text=\"%s\" then=\"when the log is back\"",
            dom_store_region_name(one->router->store, one->region), why);
    one->next = NULL;
    settle(one);
    (void)pthread_mutex_lock(&holder->lock);
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = one;
    (void)pthread_mutex_unlock(&holder->lock);
}

/* On the log's commit thread. */
static void announced(struct dom_async *async)
{
    struct announcement *one = async->owner;

    if (async->op.code != DOM_OK) {
        set_aside(one, async->op.message);
        return;
    }
    if (one->told != NULL) {
        /* Relaxed: an entry that is made at the same time may or may not name it. */
        atomic_store_explicit(&one->told->index[one->region], (int64_t)one->receipt.index,
                              memory_order_relaxed);
    }
    settle(one);
    announcement_free(one);
}

static void submit(struct announcement *one)
{
    struct dom_error err = {0};

    one->async.op.owner = &one->async;
    if (dom_store_submit(one->router->store, &one->async.op, &err) != DOM_OK) {
        set_aside(one, err.message);
    }
}

void dom_router_announce_again(struct dom_router *router)
{
    struct dom_policy_holder *holder = &router->holder;

    (void)pthread_mutex_lock(&holder->lock);
    struct announcement *list = holder->waiting;
    holder->waiting = NULL;
    (void)pthread_mutex_unlock(&holder->lock);
    while (list != NULL) {
        struct announcement *one = list;
        list = one->next;
        submit(one);
    }
}

void dom_router_forget_announcements(struct dom_router *router)
{
    while (router->holder.waiting != NULL) {
        struct announcement *one = router->holder.waiting;
        router->holder.waiting = one->next;
        announcement_free(one);
    }
}

static enum dom_code encode(struct dom_router *router, const struct dom_telling *telling,
                            struct announcement *one, struct dom_error *err)
{
    const struct dom_policy_info *info = dom_policy_info(telling->policy);
    struct dom_audit_event event = {.type = telling->type};
    uint8_t random[26];

    if (getentropy(random, sizeof(random)) != 0) {
        return DOM_FAIL(err, DOM_INTERNAL, "no randomness from the system");
    }
    dom_audit_uuid7(event.id, telling->time_ms, random);
    memcpy(event.nonce, random + 10, DOM_NONCE_SIZE);
    event.time_ms = telling->time_ms;
    event.origin = dom_slice_str(dom_store_log_origin(router->store, one->region));
    event.router.build = dom_slice_str(DOM_BUILD_NAME);
    event.router.instance = dom_slice_str(router->options.instance);
    event.router.region = dom_slice_str(dom_store_region_name(router->store, one->region));
    event.policy.name = dom_slice_str(info->name);
    event.policy.version = info->version;
    event.policy.sha256 = dom_slice_str(info->sha256_hex);
    event.policy.index = -1;
    event.details = telling->details;
    event.num_details = telling->num_details;
    return dom_audit_event_encode(&event, &one->bytes, err);
}

static struct announcement *announcement_new(struct dom_router *router,
                                             const struct dom_telling *telling,
                                             dom_store_region region, struct dom_error *err)
{
    struct announcement *one = calloc(1, sizeof(*one));

    DOM_ASSERT(one != NULL);
    one->router = router;
    one->region = region;
    if (encode(router, telling, one, err) != DOM_OK) {
        announcement_free(one);
        return NULL;
    }
    one->told = telling->indexed == NULL ? NULL : dom_told_ref(telling->indexed->told);
    one->entry = dom_buffer_slice(&one->bytes);
    one->async.owner = one;
    one->async.done = announced;
    one->async.op.type = DOM_STORE_APPEND;
    one->async.op.region = region;
    one->async.op.deadline_us = UINT64_MAX;
    one->async.op.entries = &one->entry;
    one->async.op.num_entries = 1;
    one->async.op.receipts = &one->receipt;
    return one;
}

enum dom_code dom_router_tell(struct dom_router *router, struct dom_telling *telling,
                              struct dom_error *err)
{
    size_t num_regions = dom_store_num_regions(router->store);
    struct announcement *all[DOM_REGIONS_MAX];
    enum dom_code rc = DOM_OK;
    size_t num = 0;

    DOM_ASSERT(num_regions <= DOM_REGIONS_MAX);
    qsort(telling->details, telling->num_details, sizeof(telling->details[0]), by_name);
    for (; num < num_regions && rc == DOM_OK; num++) {
        all[num] = announcement_new(router, telling, (dom_store_region)num, err);
        rc = all[num] == NULL ? DOM_INTERNAL : DOM_OK;
    }
    if (rc != DOM_OK) {
        for (size_t i = 0; i + 1 < num; i++) {
            announcement_free(all[i]); /* all of them or none */
        }
        return rc;
    }
    struct round *round = round_new();
    round->pending = num_regions;
    round->refs += num_regions;
    for (size_t i = 0; i < num_regions; i++) {
        all[i]->round = round;
        submit(all[i]);
    }
    round_wait(round);
    return DOM_OK;
}
