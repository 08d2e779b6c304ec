/* The scheduled check: each region's published log is verified whole and its database read whole,
 * at a bounded rate, one region after the other. */
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
#define RATE           (UINT64_C(4) << 20)

struct dom_fsck {
    struct dom_store *store;
    struct dom_scrub *scrubs[DOM_REGIONS_MAX];
    char *db_paths[DOM_REGIONS_MAX];
    uint64_t begin_us; /* of the run under way */
    uint64_t bytes;
    struct dom_waiter waiter;
};

static bool spend(void *context, size_t bytes)
{
    struct dom_fsck *fsck = context;
    struct dom_store *store = fsck->store;

    fsck->bytes += bytes;
    return dom_waiter_wait(
        &fsck->waiter, dom_pace_due_us(fsck->begin_us, fsck->bytes, store->host.options.fsck_rate));
}

static enum dom_code check_log(struct dom_fsck *fsck, struct dom_region *region,
                               struct dom_error *err)
{
    struct dom_audit_log *log = dom_region_log(region);
    struct dom_pace pace = {.spend = spend, .context = fsck};
    struct dom_verify_result result;
    char dir[PATH_MAX];

    if (dom_audit_log_published_size(log) == 0) {
        return DOM_OK;
    }
    (void)snprintf(dir, sizeof(dir), "%s/%s/audit", fsck->store->data_dir, dom_region_name(region));
    struct dom_verify_options options = {.dir = dir,
                                         .keys = dom_audit_log_key(log),
                                         .num_keys = 1,
                                         /* What entries say is not the store's to judge; any
                                          * changed bit of them changes a hash. */
                                         .opaque_entries = true,
                                         .pace = &pace};
    enum dom_code rc = dom_log_verify(&options, &result, err);
    if (rc != DOM_OK && rc != DOM_CANCELLED) {
        (void)dom_error_prefix(err, "published log");
    }
    return rc;
}

static enum dom_code check_db(struct dom_fsck *fsck, struct dom_region *region,
                              struct dom_error *err)
{
    size_t number = (size_t)dom_region_number(region);
    struct dom_pace pace = {.spend = spend, .context = fsck};
    uint64_t bytes = 0;

    if (fsck->scrubs[number] == NULL) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s/db", fsck->store->data_dir,
                       dom_region_name(region));
        fsck->db_paths[number] = strdup(path);
        DOM_ASSERT(fsck->db_paths[number] != NULL);
        fsck->scrubs[number] = dom_scrub_new(dom_region_db(region), fsck->db_paths[number]);
    }
    enum dom_code rc = dom_scrub_run(fsck->scrubs[number], &pace, &bytes, err);
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

static void finish(struct dom_fsck *fsck, struct dom_region *region, enum dom_code rc,
                   const struct dom_error *err)
{
    struct dom_store *store = fsck->store;
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

static bool check_region(struct dom_fsck *fsck, struct dom_region *region)
{
    struct dom_error err = {0};

    fsck->begin_us = dom_store_now_us();
    fsck->bytes = 0;
    enum dom_code rc = check_log(fsck, region, &err);
    if (rc == DOM_OK) {
        rc = check_db(fsck, region, &err);
    }
    if (rc == DOM_CANCELLED) {
        return false;
    }
    finish(fsck, region, rc, &err);
    return true;
}

static void run(void *context)
{
    struct dom_fsck *fsck = context;
    struct dom_store *store = fsck->store;
    uint64_t interval_us = store->host.options.fsck_interval_ms * 1000;
    uint64_t first_us = interval_us < FIRST_PAUSE_MS * 1000 ? interval_us : FIRST_PAUSE_MS * 1000;
    uint64_t next = dom_store_now_us() + first_us;

    while (dom_waiter_wait(&fsck->waiter, next)) {
        next = dom_store_now_us() + interval_us;
        for (size_t i = 0; i < atomic_load(&store->host.num_regions); i++) {
            if (!check_region(fsck, atomic_load(&store->host.regions[i]))) {
                return;
            }
        }
    }
}

enum dom_code dom_fsck_start(struct dom_fsck **fsckp, struct dom_store *store,
                             struct dom_error *err)
{
    *fsckp = NULL;
    if (store->host.options.fsck_interval_ms == 0) {
        return DOM_OK;
    }
    if (store->host.options.fsck_rate == 0) {
        store->host.options.fsck_rate = RATE;
    }
    struct dom_fsck *fsck = calloc(1, sizeof(*fsck));
    DOM_ASSERT(fsck != NULL);
    fsck->store = store;
    *fsckp = fsck;
    return dom_waiter_start(&fsck->waiter, "fsck", NULL, run, fsck, err);
}

void dom_fsck_stop(struct dom_fsck *fsck)
{
    if (fsck == NULL) {
        return;
    }
    dom_waiter_join(&fsck->waiter);
    dom_waiter_cleanup(&fsck->waiter);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        dom_scrub_destroy(fsck->scrubs[i]);
        free(fsck->db_paths[i]);
    }
    free(fsck);
}
