#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "store/desk_internal.h"
#include "store/store_internal.h"

#define CHECKPOINT_MS 800U /* leaves time to sign and to publish within the second */
#define PURGE_MS      30000U
#define FSCK_RATE     (UINT64_C(4) << 20)

struct dom_region *dom_store_at(const struct dom_store *store, dom_store_region region)
{
    DOM_ASSERT(region >= 0 && (unsigned)region < DOM_REGIONS_MAX);
    struct dom_region *at = atomic_load(&store->host.regions[region]);
    DOM_ASSERT(at != NULL);
    return at;
}

/* ---- life --------------------------------------------------------------------------------- */

static enum dom_code check_options(const struct dom_store_options *options, struct dom_error *err)
{
    if (options->data_dir == NULL || options->data_dir[0] == '\0') {
        return DOM_FAIL(err, DOM_INVALID, "the store needs a data folder");
    }
    if (options->audit_origin == NULL || options->audit_origin[0] == '\0') {
        return DOM_FAIL(err, DOM_INVALID, "the store needs an audit origin");
    }
    if (options->checkpoint_ms > DOM_CHECKPOINT_DELAY_MS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "checkpoint_ms %llu: at most %u",
                        (unsigned long long)options->checkpoint_ms, DOM_CHECKPOINT_DELAY_MS_MAX);
    }
    if (options->wait_ms > DOM_AUDIT_WAIT_MS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "wait_ms %llu: at most %u",
                        (unsigned long long)options->wait_ms, DOM_AUDIT_WAIT_MS_MAX);
    }
    if (options->witness_regions > DOM_WITNESS_REGIONS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "%u regions as witnesses: at most %u",
                        options->witness_regions, DOM_WITNESS_REGIONS_MAX);
    }
    if (options->post == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "the store needs somebody to post to");
    }
    return DOM_OK;
}

static enum dom_code lock_data(struct dom_store *store, struct dom_error *err)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/LOCK", store->data_dir) >= (int)sizeof(path)) {
        return DOM_FAIL(err, DOM_INVALID, "data folder's name is too long");
    }
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return DOM_FAIL(err, DOM_LOCKED, "%s: another process uses this data folder",
                        store->data_dir);
    }
    return DOM_OK;
}

static void committed(void *context, struct dom_region *region, struct dom_store_op *sync)
{
    struct dom_store *store = context;
    struct dom_replicator *replicator = atomic_load(&store->replicators[dom_region_number(region)]);

    /* Before the region is published nobody can have submitted anything. */
    DOM_ASSERT(replicator != NULL || sync == NULL);
    if (replicator != NULL) {
        dom_replicator_notify(replicator, sync);
    }
}

static struct dom_sinks *sinks_of(const struct dom_store *store, dom_store_region region)
{
    return atomic_load(&store->sinks[region]);
}

static void grew(void *context, struct dom_region *region)
{
    struct dom_store *store = context;
    struct dom_sinks *sinks = sinks_of(store, dom_region_number(region));

    if (sinks != NULL) {
        dom_sinks_wake(sinks);
    }
}

/* The one way back to the submitter. */
static void finish(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    struct dom_store *store = context;
    struct dom_sinks *sinks = sinks_of(store, first->region);

    if (sinks != NULL && dom_sinks_num(sinks) > 0) {
        dom_sinks_hold(sinks, &first, &last);
    }
    if (first != NULL) {
        store->host.options.post(store->host.options.context, first, last);
    }
}

static void reseed(void *context, struct dom_region *home, dom_store_region replica)
{
    struct dom_store *store = context;

    dom_placer_reseed(&store->placer, dom_region_number(home), replica);
}

static void fill_host(struct dom_store *store, const struct dom_store_options *options)
{
    struct dom_region_host *host = &store->host;
    char key_dir[PATH_MAX];

    host->options = *options;
    (void)snprintf(key_dir, sizeof(key_dir), "%s/keys", options->data_dir);
    store->data_dir = strdup(options->data_dir);
    store->key_dir = strdup(options->key_dir == NULL ? key_dir : options->key_dir);
    store->audit_origin = strdup(options->audit_origin);
    DOM_ASSERT(store->data_dir != NULL && store->key_dir != NULL && store->audit_origin != NULL);
    host->options.data_dir = store->data_dir;
    host->options.key_dir = store->key_dir;
    host->options.audit_origin = store->audit_origin;
    host->options.compression = NULL; /* the environment has taken it */
    if (host->options.checkpoint_ms == 0) {
        host->options.checkpoint_ms = CHECKPOINT_MS;
    }
    if (host->options.purge_ms == 0) {
        host->options.purge_ms = PURGE_MS;
    }
    if (host->options.wait_ms == 0) {
        host->options.wait_ms = DOM_AUDIT_WAIT_MS;
    }
    if (host->options.fsck_rate == 0) {
        host->options.fsck_rate = FSCK_RATE;
    }
    if (host->options.clock == NULL) {
        host->options.clock = dom_clock_system();
    }
    if (host->options.place_per_s == 0) {
        host->options.place_per_s = DOM_PLACE_PER_S;
    }
    atomic_init(&host->placement_epoch, 1);
    host->claims = dom_claims_new();
    host->committed = committed;
    host->grew = grew;
    host->finish = finish;
    host->reseed = reseed;
    host->wake_keeper = dom_store_wake_keeper;
    host->cosign = dom_store_cosign;
    host->store = store;
}

enum dom_code dom_store_new(struct dom_store **storep, const struct dom_store_options *options,
                            struct dom_error *err)
{
    *storep = NULL;
    enum dom_code rc = check_options(options, err);
    if (rc != DOM_OK) {
        return rc;
    }
    struct dom_store *store = calloc(1, sizeof(*store));
    DOM_ASSERT(store != NULL);
    store->lock_fd = -1;
    fill_host(store, options);
    DOM_ASSERT(pthread_mutex_init(&store->open_lock, NULL) == 0);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        DOM_ASSERT(pthread_mutex_init(&store->hold_locks[i], NULL) == 0);
    }
    struct dom_db_options db = {.compression = options->compression,
                                .block_cache_bytes = options->block_cache_bytes,
                                .write_buffer_bytes = options->write_buffer_bytes};
    rc = dom_dir_make(store->data_dir, 0700, err);
    if (rc == DOM_OK) {
        rc = lock_data(store, err);
    }
    if (rc == DOM_OK) {
        rc = dom_db_env_new(&store->host.env, &db, err);
    }
    if (rc == DOM_OK) {
        rc = dom_outside_start(&store->outside, store, err);
    }
    if (rc == DOM_OK) {
        rc = dom_mirror_start(&store->mirror, store, err);
    }
    if (rc == DOM_OK) {
        rc = dom_store_start_watch(store, err);
    }
    if (rc == DOM_OK) {
        rc = dom_placer_start(&store->placer, &store->host, store->replicators, err);
    }
    if (rc != DOM_OK) {
        dom_store_destroy(store);
        return rc;
    }
    *storep = store;
    return DOM_OK;
}

void dom_store_destroy(struct dom_store *store)
{
    if (store == NULL) {
        return;
    }
    size_t count = atomic_load(&store->host.num_regions);
    dom_store_stop_watch(store);
    dom_store_stop_keepers(store);
    for (size_t i = 0; i < count; i++) {
        dom_desk_stop(dom_store_keeping(store, i)->desk);
    }
    dom_placer_stop(&store->placer);
    /* Commit threads first: they give the replicators' jobs back, which the replicators await. */
    for (size_t i = 0; i < count; i++) {
        dom_region_stop(atomic_load(&store->host.regions[i]));
    }
    for (size_t i = 0; i < count; i++) {
        dom_sinks_stop(sinks_of(store, (dom_store_region)i));
    }
    for (size_t i = 0; i < count; i++) {
        dom_replicator_stop(atomic_load(&store->replicators[i]));
    }
    for (size_t i = 0; i < count; i++) {
        dom_replicator_destroy(atomic_load(&store->replicators[i]));
        dom_sinks_destroy(sinks_of(store, (dom_store_region)i));
        dom_keeping_destroy(dom_store_keeping(store, i));
        dom_region_close(atomic_load(&store->host.regions[i]));
    }
    dom_placer_cleanup(&store->placer);
    dom_outside_destroy(store->outside);
    dom_waiter_cleanup(&store->watch);
    dom_db_env_destroy(store->host.env);
    dom_claims_destroy(store->host.claims);
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd);
    }
    (void)pthread_mutex_destroy(&store->open_lock);
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        (void)pthread_mutex_destroy(&store->hold_locks[i]);
    }
    free(store->data_dir);
    free(store->key_dir);
    free(store->audit_origin);
    free(store);
}

static enum dom_code add_region(struct dom_store *store, dom_store_region *regionp,
                                const char *name, struct dom_error *err)
{
    size_t count = atomic_load(&store->host.num_regions);
    struct dom_region *region = NULL;
    struct dom_replicator *replicator = NULL;
    struct dom_sinks *sinks = NULL;
    struct dom_keeping *keeping = NULL;

    if (count == DOM_REGIONS_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "more than %u regions", DOM_REGIONS_MAX);
    }
    enum dom_code rc = dom_region_open(&region, &store->host, (dom_store_region)count, name, err);
    if (rc != DOM_OK) {
        return rc;
    }
    rc = dom_replicator_new(&replicator, &store->host, region, err);
    if (rc == DOM_OK) {
        rc = dom_sinks_start(&sinks, region, &store->host.options, err);
    }
    if (rc == DOM_OK) {
        rc = dom_keeping_start(&keeping, store, region, err);
    }
    if (rc != DOM_OK) {
        dom_sinks_stop(sinks);
        dom_sinks_destroy(sinks);
        dom_replicator_stop(replicator);
        dom_replicator_destroy(replicator);
        dom_region_stop(region);
        dom_region_close(region);
        return rc;
    }
    atomic_store(&store->replicators[count], replicator);
    atomic_store(&store->sinks[count], sinks);
    atomic_store(&store->host.regions[count], region);
    atomic_store(&store->keeping[count], keeping);
    atomic_store(&store->host.num_regions, count + 1);
    dom_gate_listen(dom_region_gate(region));
    for (size_t i = 0; i <= count; i++) {
        dom_replicator_notify(atomic_load(&store->replicators[i]), NULL);
    }
    dom_store_wake_keeper(store, region);
    dom_placer_poke(&store->placer);
    *regionp = (dom_store_region)count;
    return DOM_OK;
}

enum dom_code dom_store_open_region(struct dom_store *store, dom_store_region *regionp,
                                    const char *name, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    DOM_ASSERT(pthread_mutex_lock(&store->open_lock) == 0);
    *regionp = dom_store_find_region(store, dom_slice_str(name));
    if (*regionp == DOM_STORE_NO_REGION) {
        rc = add_region(store, regionp, name, err);
    }
    DOM_ASSERT(pthread_mutex_unlock(&store->open_lock) == 0);
    return rc;
}

dom_store_region dom_store_find_region(const struct dom_store *store, struct dom_slice name)
{
    size_t count = dom_store_num_regions(store);

    for (size_t i = 0; i < count; i++) {
        struct dom_region *region = atomic_load(&store->host.regions[i]);
        if (dom_slice_eq_str(name, dom_region_name(region))) {
            return (dom_store_region)i;
        }
    }
    return DOM_STORE_NO_REGION;
}

const char *dom_store_region_name(const struct dom_store *store, dom_store_region region)
{
    return dom_region_name(dom_store_at(store, region));
}

size_t dom_store_num_regions(const struct dom_store *store)
{
    return atomic_load(&store->host.num_regions);
}

/* ---- writing and watching ----------------------------------------------------------------- */

enum dom_code dom_store_submit(struct dom_store *store, struct dom_store_op *op,
                               struct dom_error *err)
{
    return dom_region_submit(dom_store_at(store, op->region), op, err);
}

uint64_t dom_store_staleness_ms(const struct dom_store *store, dom_store_region home,
                                dom_store_region replica)
{
    if (home == replica) {
        return 0;
    }
    (void)dom_store_at(store, replica);
    (void)dom_store_at(store, home);
    return dom_replicator_staleness_ms(atomic_load(&store->replicators[home]), replica);
}

void dom_store_stats(const struct dom_store *store, dom_store_region region,
                     struct dom_store_stats *out)
{
    const struct dom_fsck_state *fsck = &store->fsck_states[region];

    dom_region_stats(dom_store_at(store, region), out);
    out->fsck_runs = atomic_load(&fsck->runs);
    out->fsck_findings = atomic_load(&fsck->findings);
    out->fsck_bytes = atomic_load(&fsck->bytes);
    out->fsck_sound_s = atomic_load(&fsck->sound_s);
    out->fsck_damaged = atomic_load(&fsck->damaged) ? 1 : 0;
}

int dom_store_find_sink(const struct dom_store *store, dom_store_region region,
                        struct dom_slice name)
{
    return dom_sinks_find(sinks_of(store, region), name);
}

void dom_store_require(struct dom_store *store, dom_store_region region,
                       const struct dom_store_need *need)
{
    dom_sinks_require(sinks_of(store, region), need);
}

size_t dom_store_num_sinks(const struct dom_store *store, dom_store_region region)
{
    return dom_sinks_num(sinks_of(store, region));
}

void dom_store_sink_stats(const struct dom_store *store, dom_store_region region, size_t sink,
                          struct dom_store_sink_stats *out)
{
    dom_sinks_stats(sinks_of(store, region), sink, out);
}

const char *dom_store_closed_word(unsigned bit)
{
    return bit < DOM_GATE_REASON_COUNT ? dom_gate_word((enum dom_gate_reason)bit) : NULL;
}

/* ---- placement ---------------------------------------------------------------------------- */

uint64_t dom_store_placement_epoch(const struct dom_store *store)
{
    return atomic_load(&store->host.placement_epoch);
}

void dom_store_placement_changed(struct dom_store *store)
{
    (void)atomic_fetch_add(&store->host.placement_epoch, 1);
    dom_placer_poke(&store->placer);
}

void dom_store_placing(struct dom_store *store, dom_store_region region,
                       struct dom_store_placing *out)
{
    dom_placer_progress(&store->placer, region, out);
    dom_region_placing(dom_store_at(store, region), out);
}

size_t dom_store_placing_all(struct dom_store *store, struct dom_store_placing *out, size_t room)
{
    size_t count = dom_store_num_regions(store);
    struct dom_store_placing now;

    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        dom_store_placing(store, (dom_store_region)i, &out[i]);
    }
    for (size_t i = 0; i < count; i++) {
        dom_store_placing(store, (dom_store_region)i, &now);
        out[i].owed = now.owed;
    }
    for (size_t i = 0; i < count; i++) {
        dom_store_placing(store, (dom_store_region)i, &now);
        out[i].purged = now.purged;
        out[i].unpurged = now.unpurged;
    }
    return count;
}

bool dom_store_moved_lately(const struct dom_store *store)
{
    int64_t since = dom_clock_wall_ms(store->host.options.clock) -
                    (int64_t)DOM_REQUEST_ID_TTL_SECONDS * 1000;
    bool lately = false;

    for (size_t i = 0; i < dom_store_num_regions(store) && !lately; i++) {
        int64_t departed = dom_region_departed_ms(dom_store_at(store, (dom_store_region)i));
        lately = departed != 0 && departed >= since;
    }
    return lately;
}

bool dom_store_rehoming(const struct dom_store *store)
{
    return atomic_load(&store->placer.rehoming);
}

/* ---- the log ------------------------------------------------------------------------------ */

static struct dom_audit_log *log_of(const struct dom_store *store, dom_store_region region)
{
    return dom_region_log(dom_store_at(store, region));
}

const char *dom_store_log_origin(const struct dom_store *store, dom_store_region region)
{
    return dom_audit_log_origin(log_of(store, region));
}

const char *dom_store_log_vkey(const struct dom_store *store, dom_store_region region)
{
    return dom_audit_log_vkey(log_of(store, region));
}

const char *dom_store_log_dir(const struct dom_store *store, dom_store_region region)
{
    return dom_audit_log_dir(log_of(store, region));
}

uint64_t dom_store_log_published(const struct dom_store *store, dom_store_region region)
{
    return dom_audit_log_published_size(log_of(store, region));
}

uint64_t dom_store_log_size(const struct dom_store *store, dom_store_region region)
{
    return dom_audit_log_size(log_of(store, region));
}

uint64_t dom_store_log_first(const struct dom_store *store, dom_store_region region)
{
    return dom_audit_log_first(log_of(store, region));
}

struct dom_witness *dom_store_witness(struct dom_store *store, dom_store_region region)
{
    return dom_region_witness(dom_store_at(store, region));
}

enum dom_code dom_store_log_checkpoint(struct dom_store *store, dom_store_region region,
                                       struct dom_buffer *out, struct dom_error *err)
{
    return dom_audit_log_checkpoint(log_of(store, region), out, err);
}

enum dom_code dom_store_log_entries(struct dom_store *store, dom_store_region region, uint64_t from,
                                    size_t entries_max,
                                    bool (*each)(void *context, uint64_t index,
                                                 struct dom_slice entry),
                                    void *context, struct dom_error *err)
{
    return dom_audit_log_entries(log_of(store, region), from, entries_max, each, context, err);
}

enum dom_code dom_store_log_prove_inclusion(struct dom_store *store, dom_store_region region,
                                            uint64_t index, uint64_t *sizep, uint8_t leaf[32],
                                            struct dom_buffer *out, struct dom_error *err)
{
    return dom_audit_log_prove_inclusion(log_of(store, region), index, sizep, leaf, out, err);
}

enum dom_code dom_store_log_prove_consistency(struct dom_store *store, dom_store_region region,
                                              uint64_t old_size, uint64_t *new_sizep,
                                              struct dom_buffer *out, struct dom_error *err)
{
    return dom_audit_log_prove_consistency(log_of(store, region), old_size, new_sizep, out, err);
}
