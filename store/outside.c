/* Witnesses outside of this process: asked over HTTP from a thread of their own, so that one that
 * does not answer costs nobody else anything. */
#include "store/outside_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/audit/quorum.h"
#include "store/cosign_internal.h"
#include "store/store_internal.h"
#include "store/witness/client.h"

#define TIMEOUT_MS       2000U
#define ROUND_PAUSE_US   UINT64_C(1000000)
#define BACKOFF_FIRST_US UINT64_C(2000000)
#define BACKOFF_LAST_US  UINT64_C(60000000)

/* When to ask again after it went wrong. */
struct pause {
    uint64_t until_us;
    uint64_t backoff_us;
};

/* What is known of one witness about one log. */
struct standing {
    uint64_t last_size;
    bool down;
    struct pause pause; /* it refuses this log; others are no worse for it */
};

struct dom_outside {
    struct dom_store *store;
    struct dom_quorum *policy;
    struct dom_witness_client *client;
    size_t num_witnesses;
    struct standing *standings;          /* DOM_REGIONS_MAX rows of num_witnesses */
    uint64_t done_size[DOM_REGIONS_MAX]; /* of the last checkpoint with all that could be had */
    uint64_t next_us[DOM_REGIONS_MAX];   /* when the log may be shown again */
    struct pause silent[DOM_QUORUM_WITNESSES_MAX]; /* a witness that does not answer at all */
    struct dom_waiter waiter;
};

struct over_http {
    struct dom_witness_client *client;
    const char *url;
};

static enum dom_code post_http(void *transport, struct dom_slice request, unsigned *statusp,
                               struct dom_buffer *body, struct dom_error *err)
{
    struct over_http *http = transport;

    return dom_witness_client_add_checkpoint(http->client, http->url, request, statusp, body, err);
}

static void back_off(struct pause *pause)
{
    uint64_t backoff = pause->backoff_us * 2;

    backoff = backoff < BACKOFF_FIRST_US ? BACKOFF_FIRST_US : backoff;
    pause->backoff_us = backoff > BACKOFF_LAST_US ? BACKOFF_LAST_US : backoff;
    pause->until_us = dom_store_now_us() + pause->backoff_us;
}

/* Asks one witness about one checkpoint. False: it is silent or refuses, and is to be asked
 * again. */
static bool ask_one(struct dom_outside *outside, size_t region, size_t w,
                    const struct dom_cosign_ask *base, struct dom_buffer *lines)
{
    struct dom_cosign_ask ask = *base;
    struct standing *standing = &outside->standings[region * outside->num_witnesses + w];
    struct over_http http = {.client = outside->client,
                             .url = dom_quorum_witness_url(outside->policy, w)};
    struct dom_error err = {0};

    ask.key = dom_quorum_witness(outside->policy, w);
    ask.post = post_http;
    ask.transport = &http;
    enum dom_audit_log_asked how = dom_cosign_ask(&ask, &standing->last_size, lines, &err);
    dom_cosign_tell(ask.log, ask.key->name, &standing->down, how, &err);
    if (how == DOM_AUDIT_LOG_COSIGNED) {
        outside->silent[w] = (struct pause){0};
        standing->pause = (struct pause){0};
        return true;
    }
    /* One that answers is no worse for other logs. */
    back_off(err.code == DOM_UNAVAILABLE ? &outside->silent[w] : &standing->pause);
    return false;
}

static uint64_t retry_us(const struct dom_outside *outside, size_t region, size_t w)
{
    uint64_t log = outside->standings[region * outside->num_witnesses + w].pause.until_us;
    uint64_t all = outside->silent[w].until_us;

    return log > all ? log : all;
}

/* Shows the newest checkpoint of a log to all witnesses that may be asked now. Returns when to
 * come back; UINT64_MAX: when there is a newer one. */
static uint64_t show(struct dom_outside *outside, size_t region)
{
    struct dom_audit_log *log = dom_region_log(atomic_load(&outside->store->host.regions[region]));
    struct dom_buffer note = {0};
    struct dom_buffer lines = {0};
    struct dom_cosign_ask ask = {.log = log};
    struct dom_quorum_result result;
    uint64_t again = UINT64_MAX;
    bool all = true;

    /* Not before it is published: then it has the cosignatures of this process. */
    if (dom_audit_log_snapshot(log, &note, &ask.head, NULL) != DOM_OK ||
        ask.head.size == outside->done_size[region] ||
        dom_audit_log_published_size(log) < ask.head.size) {
        dom_buffer_cleanup(&note);
        return UINT64_MAX;
    }
    ask.note = dom_buffer_slice(&note);
    for (size_t w = 0; w < outside->num_witnesses && !dom_waiter_ending(&outside->waiter); w++) {
        if (dom_quorum_witness_url(outside->policy, w)[0] == '\0') {
            continue;
        }
        if (retry_us(outside, region, w) <= dom_store_now_us() &&
            ask_one(outside, region, w, &ask, &lines)) {
            continue;
        }
        all = false;
        uint64_t at = retry_us(outside, region, w);
        again = at < again ? at : again;
    }
    dom_buffer_append_slice(&note, dom_buffer_slice(&lines));
    if (lines.len > 0 && !note.failed &&
        dom_quorum_judge(outside->policy, dom_buffer_slice(&note), &result, NULL) == DOM_OK &&
        result.met) {
        dom_audit_log_set_cosigned(log, dom_buffer_slice(&note), ask.head.size);
        dom_store_wake_keeper(outside->store, atomic_load(&outside->store->host.regions[region]));
    }
    if (all) {
        outside->done_size[region] = ask.head.size;
    }
    outside->next_us[region] = dom_store_now_us() + ROUND_PAUSE_US;
    dom_buffer_cleanup(&note);
    dom_buffer_cleanup(&lines);
    return again;
}

static void run(void *context)
{
    struct dom_outside *outside = context;
    struct dom_store *store = outside->store;
    uint64_t next = 0;

    while (dom_waiter_wait(&outside->waiter, next)) {
        next = UINT64_MAX;
        size_t count = atomic_load(&store->host.num_regions);
        for (size_t i = 0; i < count; i++) {
            uint64_t at = outside->next_us[i];
            if (at <= dom_store_now_us()) {
                at = show(outside, i);
                /* A newer one may have come meanwhile, and its wake have been taken. */
                at = at == UINT64_MAX && dom_audit_log_signed_size(dom_region_log(atomic_load(
                                             &store->host.regions[i]))) != outside->done_size[i]
                         ? outside->next_us[i]
                         : at;
            }
            next = at < next ? at : next;
        }
    }
}

static enum dom_code check_urls(const struct dom_outside *outside, const char *path,
                                struct dom_error *err)
{
    size_t num_urls = 0;

    for (size_t w = 0; w < outside->num_witnesses; w++) {
        const char *url = dom_quorum_witness_url(outside->policy, w);
        if (url[0] == '\0') {
            continue;
        }
        num_urls++;
        if (!dom_witness_url_valid(url)) {
            return DOM_FAIL(err, DOM_INVALID,
                            "%s: witness %s: \"%.200s\" is no http or https "
                            "address",
                            path, dom_quorum_witness(outside->policy, w)->name, url);
        }
    }
    return num_urls > 0 ? DOM_OK
                        : DOM_FAIL(err, DOM_INVALID, "%s: no witness in it has an address", path);
}

enum dom_code dom_outside_start(struct dom_outside **outsidep, struct dom_store *store,
                                struct dom_error *err)
{
    const struct dom_store_options *options = &store->host.options;
    uint64_t timeout_ms =
        options->witness_timeout_ms == 0 ? TIMEOUT_MS : options->witness_timeout_ms;

    *outsidep = NULL;
    if (options->witness_policy == NULL) {
        return DOM_OK;
    }
    struct dom_outside *outside = calloc(1, sizeof(*outside));
    DOM_ASSERT(outside != NULL);
    outside->store = store;
    enum dom_code rc = dom_quorum_read(&outside->policy, options->witness_policy, err);
    if (rc == DOM_OK) {
        outside->num_witnesses = dom_quorum_num_witnesses(outside->policy);
        outside->standings =
            calloc(DOM_REGIONS_MAX * (outside->num_witnesses + 1), sizeof(*outside->standings));
        DOM_ASSERT(outside->standings != NULL);
        rc = check_urls(outside, options->witness_policy, err);
    }
    if (rc == DOM_OK) {
        rc = dom_witness_client_new(&outside->client, options->witness_ca, timeout_ms, err);
    }
    if (rc == DOM_OK) {
        rc = dom_waiter_start(&outside->waiter, "outside", NULL, run, outside, err);
    }
    *outsidep = outside;
    return rc;
}

void dom_outside_wake(struct dom_outside *outside)
{
    if (outside != NULL) {
        dom_waiter_wake(&outside->waiter);
    }
}

void dom_outside_end(struct dom_outside *outside)
{
    if (outside != NULL) {
        dom_waiter_end(&outside->waiter);
    }
}

void dom_outside_stop(struct dom_outside *outside)
{
    if (outside != NULL) {
        dom_waiter_join(&outside->waiter);
    }
}

void dom_outside_destroy(struct dom_outside *outside)
{
    if (outside != NULL) {
        dom_waiter_cleanup(&outside->waiter);
        dom_witness_client_destroy(outside->client);
        dom_quorum_destroy(outside->policy);
        free(outside->standings);
        free(outside);
    }
}
