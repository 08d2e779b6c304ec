/* The scheduled check: a region's published log is verified whole and its database read whole, on a
 * thread of the region's own: one whose disk hangs keeps no other from being checked. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/audit/event.h"
#include "store/audit/verify.h"
#include "store/region/scrub.h"
#include "store/store_internal.h"

#define FIRST_PAUSE_MS UINT64_C(60000) /* a start has other things to do */
#define MAKE_UP_US     UINT64_C(20000)

/* The rate is one for all checks of the process. They share one schedule: what is read takes its time
 * on it behind what others have read. No check has to hand anything on to the next, so one that hangs
 * takes nothing, and the others read faster. Time that nobody used is over, but for the moment that
 * reading itself or a late timer takes. */
static uint64_t reserve(struct dom_store *store, size_t bytes)
{
    uint64_t start = dom_store_now_us() - MAKE_UP_US;
    uint64_t taken = atomic_load(&store->fsck_taken_us);
    uint64_t until = 0;

    do {
        until = dom_pace_due_us(taken > start ? taken : start, bytes, store->host.options.fsck_rate);
    } while (!atomic_compare_exchange_weak(&store->fsck_taken_us, &taken, until));
    return until;
}

static bool spend(void *context, size_t bytes)
{
    struct dom_fsck *fsck = context;

    fsck->bytes += bytes;
    return dom_waiter_wait(&fsck->waiter, reserve(fsck->store, bytes));
}

static enum dom_code check_log(struct dom_fsck *fsck, const struct dom_pace *pace,
                               struct dom_error *err)
{
    struct dom_audit_log *log = dom_region_log(fsck->region);
    struct dom_verify_result result;

    if (dom_audit_log_published_size(log) == 0) {
        return DOM_OK;
    }
    struct dom_verify_options options = {.dir = dom_audit_log_dir(log),
                                         .keys = dom_audit_log_key(log),
                                         .num_keys = 1,
                                         /* What entries say is not the store's to judge; any
                                          * changed bit of them changes a hash. */
                                         .opaque_entries = true,
                                         .pace = pace};
    enum dom_code rc = dom_log_verify(&options, &result, err);
    if (rc != DOM_OK && rc != DOM_CANCELLED) {
        (void)dom_error_prefix(err, "published log");
    }
    return rc;
}

static enum dom_code check_db(struct dom_fsck *fsck, const struct dom_pace *pace,
                              struct dom_error *err)
{
    uint64_t bytes = 0;

    enum dom_code rc = dom_scrub_run(fsck->scrub, pace, &bytes, err);
    if (rc != DOM_OK && rc != DOM_CANCELLED) {
        (void)dom_error_prefix(err, "database");
    }
    return rc;
}

/* A change of state is an entry; that all is well, once a day, is not. */
static void tell_log(struct dom_region *region, bool sound, const char *reason)
{
    struct dom_error err = {0};
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("name"), .text = DOM_SLICE_LIT("fsck")},
        {.name = DOM_SLICE_LIT("reason"), .text = dom_slice_str(reason)},
        {.name = DOM_SLICE_LIT("state"),
         .text = sound ? DOM_SLICE_LIT("sound") : DOM_SLICE_LIT("damaged")},
    };

    if (dom_region_append_control(region, DOM_AUDIT_SINK, details, DOM_ARRAY_LEN(details), &err) !=
        DOM_OK) {
        dom_log(DOM_LOG_ERROR, "store.fsck_entry", "region=%s reason=\"%s\"",
                dom_region_name(region), err.message);
    }
}

static void finish(struct dom_fsck *fsck, enum dom_code rc, const struct dom_error *err)
{
    struct dom_store *store = fsck->store;
    struct dom_region *region = fsck->region;
    struct dom_fsck_state *state = &store->fsck_states[dom_region_number(region)];
    uint64_t took_ms = (dom_store_now_us() - fsck->begin_us) / 1000;
    bool sound = rc == DOM_OK;
    bool was_damaged = atomic_load(&state->damaged);

    atomic_fetch_add(&state->runs, 1);
    atomic_fetch_add(&state->bytes, fsck->bytes);
    if (sound) {
        atomic_store(&state->sound_s,
                     (uint64_t)dom_clock_wall_ms(store->host.options.clock) / 1000);
    } else {
        atomic_fetch_add(&state->findings, 1);
    }
    atomic_store(&state->damaged, !sound);
    dom_log(sound ? DOM_LOG_INFO : DOM_LOG_ERROR, "store.fsck",
            "region=%s state=%s bytes=%llu ms=%llu reason=\"%s\"", dom_region_name(region),
            sound ? "sound" : "damaged", (unsigned long long)fsck->bytes,
            (unsigned long long)took_ms, sound ? "" : err->message);
    if (was_damaged == sound) {
        if (store->host.options.fsck_state != NULL) {
            store->host.options.fsck_state(store->host.options.context, dom_region_number(region),
                                           sound);
        }
        tell_log(region, sound, sound ? "nothing is wrong any more" : err->message);
    }
}

/* False: it is to end. */
static bool check(struct dom_fsck *fsck)
{
    struct dom_pace pace = {.spend = spend, .context = fsck};
    struct dom_error err = {0};

    fsck->begin_us = dom_store_now_us();
    fsck->bytes = 0;
    enum dom_code rc = check_log(fsck, &pace, &err);
    if (rc == DOM_OK) {
        rc = check_db(fsck, &pace, &err);
    }
    if (rc == DOM_CANCELLED) {
        return false;
    }
    finish(fsck, rc, &err);
    return true;
}

static void run(void *context)
{
    struct dom_fsck *fsck = context;
    uint64_t interval_us = fsck->store->host.options.fsck_interval_ms * 1000;
    uint64_t first_us = interval_us < FIRST_PAUSE_MS * 1000 ? interval_us : FIRST_PAUSE_MS * 1000;
    uint64_t next = dom_store_now_us() + first_us;

    do {
        if (!dom_waiter_wait(&fsck->waiter, next)) {
            break;
        }
        next = dom_store_now_us() + interval_us;
    } while (check(fsck));
}

enum dom_code dom_fsck_start(struct dom_fsck *fsck, struct dom_store *store,
                             struct dom_region *region, struct dom_error *err)
{
    char path[PATH_MAX];

    if (store->host.options.fsck_interval_ms == 0) {
        return DOM_OK;
    }
    (void)snprintf(path, sizeof(path), "%s/%s/db", store->data_dir, dom_region_name(region));
    fsck->store = store;
    fsck->region = region;
    fsck->db_path = strdup(path);
    DOM_ASSERT(fsck->db_path != NULL);
    fsck->scrub = dom_scrub_new(dom_region_db(region), fsck->db_path);
    return dom_waiter_start(&fsck->waiter, "fsck", dom_region_name(region), run, fsck, err);
}

void dom_fsck_cleanup(struct dom_fsck *fsck)
{
    dom_waiter_cleanup(&fsck->waiter);
    dom_scrub_destroy(fsck->scrub);
    free(fsck->db_path);
}
