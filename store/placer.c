/* The placer's thread: when to go through which region, how fast, and how far it is. */
#include "store/placer.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/replica/replicator.h"
#include "store/waiter.h"

#define RETRY_US      UINT64_C(500000)
#define DATE_CHECK_US UINT64_C(1000000)

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

static void lock(struct dom_placer *placer)
{
    DOM_ASSERT(pthread_mutex_lock(&placer->lock) == 0);
}

static void unlock(struct dom_placer *placer)
{
    DOM_ASSERT(pthread_mutex_unlock(&placer->lock) == 0);
}

/* The lock is held. */
static void wait_until(struct dom_placer *placer, uint64_t until)
{
    (void)dom_cond_wait_until(&placer->wake, &placer->lock, until);
}

/* The date may change a placement by itself. */
static bool date_is_over(const struct dom_placer *placer)
{
    return placer->known && placer->now.until_ms != INT64_MAX &&
           dom_clock_wall_ms(placer->host->options.clock) >= placer->now.until_ms;
}

static bool wait_for_work(struct dom_placer *placer)
{
    lock(placer);
    placer->busy = false;
    while (!placer->stopping && !placer->poked && !date_is_over(placer) &&
           (placer->retry_us == 0 || placer->retry_us > now_us())) {
        uint64_t until = placer->retry_us == 0 ? UINT64_MAX : placer->retry_us;
        if (placer->known && placer->now.until_ms != INT64_MAX) {
            uint64_t check = now_us() + DATE_CHECK_US;
            until = check < until ? check : until;
        }
        wait_until(placer, until);
    }
    bool going = !placer->stopping;
    placer->poked = false;
    placer->busy = true;
    placer->retry_us = 0;
    unlock(placer);
    return going;
}

/* Whether to begin anew instead of going on. */
static bool disturbed(struct dom_placer *placer)
{
    lock(placer);
    bool yes = placer->stopping || placer->poked;
    unlock(placer);
    return yes;
}

static bool stopping(struct dom_placer *placer)
{
    lock(placer);
    bool yes = placer->stopping;
    unlock(placer);
    return yes;
}

/* Pauses until then, or until something else comes up. */
static void pause_until(struct dom_placer *placer, uint64_t until)
{
    lock(placer);
    while (!placer->stopping && !placer->poked && now_us() < until) {
        wait_until(placer, until);
    }
    unlock(placer);
}

/* ---- one region ----------------------------------------------------------------------------- */

static uint64_t about_rows(struct dom_region *region)
{
    struct dom_db *db = dom_region_db(region);

    if (!dom_db_enter(db)) {
        return 1;
    }
    uint64_t rows = dom_db_num_rows(db) + 1;
    dom_db_leave(db);
    return rows;
}

static void begin_stage(struct dom_placer *placer, size_t number,
                        enum dom_store_placing_stage stage, uint64_t remaining)
{
    struct dom_store_placing *at = &placer->progress[number];

    lock(placer);
    if (at->stage == DOM_STORE_PLACED && stage == DOM_STORE_NARROWING) {
        *at = (struct dom_store_placing){
            .since_ms = dom_clock_wall_ms(placer->host->options.clock)};
    }
    at->stage = stage;
    at->examined = 0;
    at->remaining = remaining;
    at->without_place = stage == DOM_STORE_NARROWING ? 0 : at->without_place;
    unlock(placer);
}

static void add_progress(struct dom_placer *placer, size_t number,
                         const struct dom_place_pass *pass)
{
    struct dom_store_placing *at = &placer->progress[number];

    lock(placer);
    at->examined += pass->visited;
    at->remaining -= pass->visited < at->remaining ? pass->visited : at->remaining;
    at->moved += pass->changed;
    at->rehomed += pass->rehomed;
    at->without_place += pass->widen ? 0 : pass->without_place;
    unlock(placer);
}

/* Taking away is urgent: it rests for as long as a step took, so that writes come in between. What
 * adds copies has a rate. */
static void rest(struct dom_placer *placer, const struct dom_place_pass *pass, uint64_t began_us)
{
    uint64_t rate = placer->host->options.place_per_s;
    uint64_t took = now_us() - began_us;

    if (pass->changed == 0) {
        return;
    }
    pause_until(placer, pass->widen ? began_us + pass->changed * 1000000 / rate
                                    : began_us + 2 * took);
}

static enum dom_code run_pass(struct dom_placer *placer, size_t number, bool widen, bool *againp,
                              struct dom_error *err)
{
    struct dom_place_pass pass = {.placer = placer,
                                  .region = atomic_load(&placer->host->regions[number]),
                                  .widen = widen};
    enum dom_code rc = DOM_OK;
    uint64_t visited = 0;

    begin_stage(placer, number, widen ? DOM_STORE_WIDENING : DOM_STORE_NARROWING,
                widen ? placer->progress[number].examined
                      : about_rows(pass.region));
    while (rc == DOM_OK && !pass.at_end && !disturbed(placer)) {
        uint64_t began = now_us();
        rc = dom_place_step(&pass, err);
        if (rc == DOM_OK) {
            visited += pass.visited;
            add_progress(placer, number, &pass);
            rest(placer, &pass, began);
        }
        *againp = *againp || pass.again;
    }
    if (rc != DOM_OK) {
        dom_log(DOM_LOG_WARN, "store.placing_waits", "region=%s reason=\"%s\"",
                dom_region_name(pass.region), err->message);
        *againp = true;
    }
    lock(placer);
    placer->progress[number].remaining = rc == DOM_OK && pass.at_end ? 0 : 1;
    placer->progress[number].examined = visited;
    unlock(placer);
    return rc;
}

/* Remembers that all is done, unless something may lie nowhere: then a start looks again. */
static void end_region(struct dom_placer *placer, size_t number)
{
    struct dom_region *region = atomic_load(&placer->host->regions[number]);
    struct dom_region_job job = {.type = DOM_JOB_PLACED, .placement_id = placer->now.id};
    struct dom_error err = {0};
    enum dom_code rc = DOM_OK;

    lock(placer);
    placer->progress[number].stage = DOM_STORE_PLACED;
    uint64_t without = placer->progress[number].without_place;
    struct dom_store_placing done = placer->progress[number];
    unlock(placer);
    placer->owed[number] = false;
    if (without == 0) {
        rc = dom_region_run_job(region, &job, &err);
    } else {
        dom_log(DOM_LOG_ERROR, "store.without_place", "region=%s records=%llu",
                dom_region_name(region), (unsigned long long)without);
    }
    if (rc != DOM_OK && rc != DOM_UNAVAILABLE) {
        dom_log(DOM_LOG_WARN, "store.placing_waits", "region=%s reason=\"%s\"",
                dom_region_name(region), err.message);
    }
    if (done.moved > 0) {
        dom_log(DOM_LOG_INFO, "store.placed", "region=%s moved=%llu rehomed=%llu",
                dom_region_name(region), (unsigned long long)done.moved,
                (unsigned long long)done.rehomed);
    }
}

/* ---- all regions ---------------------------------------------------------------------------- */

/* Takes the placement that is in force now. Writes that were decided by another are looked at again
 * from here on. False: there is none yet. */
static bool take_placement(struct dom_placer *placer)
{
    const struct dom_store_options *options = &placer->host->options;
    struct dom_store_placement now = {.name = ""};

    if (!options->placement(options->context, &now)) {
        return false;
    }
    lock(placer);
    bool other = !placer->known || memcmp(now.id, placer->now.id, sizeof(now.id)) != 0;
    placer->now = now;
    placer->known = true;
    unlock(placer);
    if (other) {
        (void)atomic_fetch_add(&placer->host->placement_epoch, 1);
    }
    return true;
}

/* What was staged before the epoch grew is durable after this, so that iterators see it. */
static enum dom_code look_at(struct dom_placer *placer, size_t number, struct dom_error *err)
{
    struct dom_region *region = atomic_load(&placer->host->regions[number]);
    struct dom_region_job barrier = {.type = DOM_JOB_ENTRY};
    bool placed = false;

    enum dom_code rc = dom_region_placed_by(region, &placer->now, &placed, err);
    if (rc == DOM_OK && !placed) {
        rc = dom_region_run_job(region, &barrier, err);
    }
    placer->owed[number] = rc != DOM_OK || !placed;
    if (placer->owed[number]) {
        begin_stage(placer, number, DOM_STORE_NARROWING,
                    about_rows(region));
    }
    return rc;
}

static bool pass_all(struct dom_placer *placer, size_t count, bool widen)
{
    bool again = false;

    for (size_t i = 0; i < count && !disturbed(placer); i++) {
        struct dom_error err = {0};
        bool failed = false;
        if (!placer->owed[i]) {
            continue;
        }
        enum dom_code rc = run_pass(placer, i, widen, &failed, &err);
        again = again || failed || rc != DOM_OK;
        if (widen && !failed && rc == DOM_OK && !disturbed(placer)) {
            end_region(placer, i);
        }
    }
    return !again;
}

/* ---- replicas that were put back by a backup ------------------------------------------------ */

static enum dom_code reseed_from(struct dom_placer *placer, size_t home, dom_store_set replicas,
                                 struct dom_error *err)
{
    struct dom_place_pass pass = {.placer = placer,
                                  .region = atomic_load(&placer->host->regions[home]),
                                  .reseed = replicas};
    enum dom_code rc = DOM_OK;

    while (rc == DOM_OK && !pass.at_end && !stopping(placer)) {
        uint64_t began = now_us();
        rc = dom_place_step(&pass, err);
        rest(placer, &pass, began);
    }
    for (dom_store_set left = replicas; left != 0 && rc == DOM_OK; left &= left - 1) {
        rc = dom_place_sweep(placer, pass.region,
                             atomic_load(&placer->host->regions[__builtin_ctzll(left)]), err);
    }
    if (rc == DOM_OK && !pass.at_end) {
        rc = DOM_FAIL(err, DOM_UNAVAILABLE, "the store is stopping");
    }
    return rc;
}

/* False: something is left for later. */
static bool reseed_all(struct dom_placer *placer)
{
    bool good = true;

    for (size_t i = 0; i < DOM_REGIONS_MAX && !stopping(placer); i++) {
        struct dom_error err = {0};
        lock(placer);
        dom_store_set replicas = placer->reseed[i];
        unlock(placer);
        if (replicas == 0 || atomic_load(&placer->host->regions[i]) == NULL ||
            atomic_load(&placer->replicators[i]) == NULL) {
            continue; /* being opened: the opening pokes when it is through */
        }
        if (reseed_from(placer, i, replicas, &err) != DOM_OK) {
            dom_log(DOM_LOG_WARN, "store.reseed_waits", "reason=\"%s\"", err.message);
            good = false;
            continue;
        }
        lock(placer);
        placer->reseed[i] &= ~replicas;
        unlock(placer);
        dom_replicator_reseeded(atomic_load(&placer->replicators[i]), replicas);
    }
    return good;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void come_again(struct dom_placer *placer)
{
    lock(placer);
    placer->retry_us = placer->poked ? 0 : now_us() + RETRY_US;
    unlock(placer);
}

static void place_all(struct dom_placer *placer)
{
    size_t count = atomic_load(&placer->host->num_regions);
    bool good = true;

    if (placer->host->options.placement == NULL || !take_placement(placer)) {
        lock(placer);
        placer->looking = placer->poked;
        unlock(placer);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct dom_error err = {0};
        if (look_at(placer, i, &err) != DOM_OK) {
            dom_log(DOM_LOG_WARN, "store.placing_waits", "reason=\"%s\"", err.message);
            good = false;
        }
    }
    lock(placer);
    placer->looking = placer->poked;
    unlock(placer);
    bool narrowed = good && pass_all(placer, count, false);
    if (narrowed && !disturbed(placer)) {
        atomic_store(&placer->rehoming, false);
        good = pass_all(placer, count, true);
    }
    if (!narrowed || !good) {
        come_again(placer);
    }
}

static void *placer_main(void *arg)
{
    struct dom_placer *placer = arg;

    dom_thread_name("placer", NULL);
    while (wait_for_work(placer)) {
        if (!reseed_all(placer)) {
            come_again(placer);
        }
        place_all(placer);
    }
    return NULL;
}

/* ---- life ----------------------------------------------------------------------------------- */

enum dom_code dom_placer_start(struct dom_placer *placer, struct dom_region_host *host,
                               _Atomic(struct dom_replicator *) *replicators,
                               struct dom_error *err)
{
    placer->host = host;
    placer->replicators = replicators;
    DOM_ASSERT(pthread_mutex_init(&placer->lock, NULL) == 0);
    dom_cond_init(&placer->wake);
    atomic_store(&placer->rehoming, host->options.placement != NULL);
    placer->started = pthread_create(&placer->thread, NULL, placer_main, placer) == 0;
    return placer->started ? DOM_OK : DOM_FAIL(err, DOM_RESOURCE, "no thread for the placer");
}

void dom_placer_stop(struct dom_placer *placer)
{
    if (!placer->started) {
        return;
    }
    lock(placer);
    placer->stopping = true;
    DOM_ASSERT(pthread_cond_broadcast(&placer->wake) == 0);
    unlock(placer);
    DOM_ASSERT(pthread_join(placer->thread, NULL) == 0);
    placer->started = false;
}

void dom_placer_cleanup(struct dom_placer *placer)
{
    if (placer->host == NULL) {
        return;
    }
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        dom_row_cipher_cleanup(&placer->ciphers[i]);
    }
    (void)pthread_mutex_destroy(&placer->lock);
    (void)pthread_cond_destroy(&placer->wake);
}

void dom_placer_poke(struct dom_placer *placer)
{
    lock(placer);
    atomic_store(&placer->rehoming, placer->host->options.placement != NULL);
    placer->poked = true;
    placer->looking = true;
    DOM_ASSERT(pthread_cond_broadcast(&placer->wake) == 0);
    unlock(placer);
}

void dom_placer_reseed(struct dom_placer *placer, dom_store_region home, dom_store_region replica)
{
    lock(placer);
    placer->reseed[home] |= (dom_store_set)1 << replica;
    unlock(placer);
    dom_placer_poke(placer);
}

bool dom_placer_idle(struct dom_placer *placer)
{
    lock(placer);
    bool idle = !placer->started || (!placer->poked && !placer->busy && placer->retry_us == 0);
    unlock(placer);
    return idle;
}

void dom_placer_progress(struct dom_placer *placer, dom_store_region region,
                         struct dom_store_placing *out)
{
    lock(placer);
    *out = placer->progress[region];
    if (placer->looking && out->stage == DOM_STORE_PLACED) {
        out->stage = DOM_STORE_NARROWING;
        out->remaining = 1;
    }
    unlock(placer);
}
