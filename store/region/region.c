#include "store/region/region.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/audit_log/witness_db.h"
#include "store/region/region_internal.h"

/* ---- life --------------------------------------------------------------------------------- */

static void gate_changed(void *context, bool open)
{
    const struct dom_region *region = context;
    const struct dom_store_options *options = &region->host->options;

    if (options->audit_state != NULL) {
        options->audit_state(options->context, region->number, open);
    }
}

static struct dom_region *new_region(struct dom_region_host *host, dom_store_region number,
                                     const char *name)
{
    struct dom_region *region = calloc(1, sizeof(*region));

    DOM_ASSERT(region != NULL);
    region->magic = DOM_REGION_MAGIC;
    region->host = host;
    region->number = number;
    region->name = strdup(name);
    DOM_ASSERT(region->name != NULL);
    DOM_ASSERT(pthread_mutex_init(&region->lock, NULL) == 0);
    DOM_ASSERT(pthread_mutex_init(&region->peer_lock, NULL) == 0);
    DOM_ASSERT(pthread_mutex_init(&region->purge_lock, NULL) == 0);
    pthread_condattr_t attr;
    DOM_ASSERT(pthread_condattr_init(&attr) == 0);
    DOM_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    DOM_ASSERT(pthread_cond_init(&region->wake, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
    memset(region->peer_of, -1, sizeof(region->peer_of));
    dom_gate_init(&region->gate, region->name, gate_changed, region);
    dom_group_init(&region->group);
    return region;
}

static void cosign(void *context, struct dom_audit_log *log, struct dom_buffer *lines)
{
    struct dom_region *region = context;

    DOM_CHECK_MAGIC(region, DOM_REGION_MAGIC);
    if (log == region->log && region->host->cosign != NULL) {
        region->host->cosign(region->host->store, region, lines);
    }
}

static enum dom_code open_witness(struct dom_region *region, struct dom_error *err)
{
    struct dom_witness_store memory = dom_witness_store_db(region->db);
    struct dom_note_signer signer;
    char name[512];

    (void)snprintf(name, sizeof(name), "%s/%s/witness", region->host->options.audit_origin,
                   region->name);
    enum dom_code rc = dom_keyring_need_witness(region->keys, err);
    if (rc == DOM_OK) {
        rc = dom_note_signer_init(&signer, dom_slice_str(name), DOM_KEY_COSIGNATURE,
                                  dom_keyring_witness_seed(region->keys), err);
    }
    return rc == DOM_OK ? dom_witness_init(&region->witness, &signer, &memory, err) : rc;
}

/* The journal, and with its help the log: as it was when the machine stopped. */
static enum dom_code open_log(struct dom_region *region, struct dom_error *err)
{
    const struct dom_store_options *options = &region->host->options;
    char origin[512];
    char dir[PATH_MAX];
    char kept[PATH_MAX];
    char journal[PATH_MAX];
    struct dom_audit_log_options log = {.db = region->db,
                                        .origin = origin,
                                        .seed = dom_keyring_sign_seed(region->keys),
                                        .dir = dir,
                                        .kept_path = kept,
                                        .checkpoint_ms = options->checkpoint_ms,
                                        .cosign = cosign,
                                        .cosign_context = region};

    if (snprintf(origin, sizeof(origin), "%s/%s", options->audit_origin, region->name) >=
            (int)sizeof(origin) ||
        snprintf(dir, sizeof(dir), "%s/audit", region->dir) >= (int)sizeof(dir) ||
        snprintf(kept, sizeof(kept), "%s/%s.checkpoint", options->key_dir, region->name) >=
            (int)sizeof(kept) ||
        snprintf(journal, sizeof(journal), "%s/journal", region->dir) >= (int)sizeof(journal)) {
        return DOM_FAIL(err, DOM_INVALID, "audit origin or path is too long");
    }
    region->journal = dom_journal_new(journal, origin);
    enum dom_code rc = dom_region_replay(region, err);
    return rc == DOM_OK ? dom_audit_log_open(&region->log, &log, err) : rc;
}

static enum dom_code open_all(struct dom_region *region, struct dom_error *err)
{
    char db_path[PATH_MAX];

    enum dom_code rc = dom_region_prepare_files(region, db_path, sizeof(db_path), err);
    if (rc == DOM_OK) {
        rc = dom_db_open(&region->db, region->host->env, db_path, err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_check_meta(region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_load_peers(region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_load_outbox(region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_load_purge(region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_load_departed(region, err);
    }
    if (rc == DOM_OK) {
        rc = open_log(region, err);
    }
    if (rc == DOM_OK) {
        rc = open_witness(region, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    if (pthread_create(&region->thread, NULL, dom_region_commit_main, region) != 0) {
        return DOM_FAIL(err, DOM_RESOURCE, "region %s: no thread", region->name);
    }
    region->has_thread = true;
    return dom_region_start_log(region, err);
}

enum dom_code dom_region_open(struct dom_region **regionp, struct dom_region_host *host,
                              dom_store_region number, const char *name, struct dom_error *err)
{
    *regionp = NULL;
    struct dom_region *region = new_region(host, number, name);
    enum dom_code rc = open_all(region, err);
    if (rc != DOM_OK) {
        dom_region_stop(region);
        dom_region_close(region);
        return rc;
    }
    *regionp = region;
    return DOM_OK;
}

void dom_region_stop(struct dom_region *region)
{
    if (region == NULL || !region->has_thread) {
        return;
    }
    DOM_ASSERT(pthread_mutex_lock(&region->lock) == 0);
    region->stopping = true;
    DOM_ASSERT(pthread_cond_signal(&region->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&region->lock) == 0);
    DOM_ASSERT(pthread_join(region->thread, NULL) == 0);
    region->has_thread = false;
}

void dom_region_close(struct dom_region *region)
{
    if (region == NULL) {
        return;
    }
    DOM_CHECK_MAGIC(region, DOM_REGION_MAGIC);
    DOM_ASSERT(!region->has_thread);
    dom_audit_log_close(region->log);
    dom_witness_cleanup(&region->witness);
    dom_journal_destroy(region->journal);
    dom_db_close(region->db);
    dom_keyring_destroy(region->keys);
    dom_group_cleanup(&region->group);
    dom_row_cipher_cleanup(&region->seal);
    dom_row_cipher_cleanup(&region->open);
    for (size_t i = 0; i < DOM_PEERS_MAX; i++) {
        free(region->peers[i]);
    }
    (void)pthread_mutex_destroy(&region->lock);
    (void)pthread_mutex_destroy(&region->peer_lock);
    (void)pthread_mutex_destroy(&region->purge_lock);
    (void)pthread_cond_destroy(&region->wake);
    dom_gate_cleanup(&region->gate);
    region->magic = 0;
    free(region->name);
    free(region->dir);
    free(region);
}

const char *dom_region_name(const struct dom_region *region)
{
    return region->name;
}

dom_store_region dom_region_number(const struct dom_region *region)
{
    return region->number;
}

struct dom_db *dom_region_db(struct dom_region *region)
{
    return region->db;
}

struct dom_keyring *dom_region_keys(struct dom_region *region)
{
    return region->keys;
}

struct dom_audit_log *dom_region_log(struct dom_region *region)
{
    return region->log;
}

struct dom_gate *dom_region_gate(struct dom_region *region)
{
    return &region->gate;
}

/* Whether the commit thread sleeps and is to be woken, by the first that asks only. The lock is
 * held. */
static bool take_waiting(struct dom_region *region)
{
    bool waiting = region->waiting;

    region->waiting = false;
    return waiting;
}

/* Without the lock: a thread that is woken while it is held only goes to sleep again. */
static void wake_commit(struct dom_region *region, bool waiting)
{
    if (waiting) {
        DOM_ASSERT(pthread_cond_signal(&region->wake) == 0);
    }
}

void dom_region_suspect(struct dom_region *region)
{
    DOM_ASSERT(pthread_mutex_lock(&region->lock) == 0);
    region->suspect = true;
    bool wake = take_waiting(region);
    DOM_ASSERT(pthread_mutex_unlock(&region->lock) == 0);
    wake_commit(region, wake);
}

/* ---- watching (the store's watch thread) -------------------------------------------------- */

void dom_region_watch(struct dom_region *region)
{
    uint64_t since = atomic_load(&region->busy_since_us);
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());

    if (since != 0 && now > since && now - since > region->host->options.wait_ms * 1000) {
        dom_gate_close(&region->gate, DOM_GATE_STALL, "a write or sync does not return");
    }
    /* Looked at again: it may have come back between the two. */
    if (atomic_load(&region->busy_since_us) != since) {
        dom_gate_open(&region->gate, DOM_GATE_STALL);
    }
}

void dom_region_watch_files(struct dom_region *region)
{
    struct dom_error err = {0};

    if (dom_db_check_folder(region->db, &err) != DOM_OK) {
        dom_gate_close(&region->gate, DOM_GATE_FILES, err.message);
    } else {
        dom_gate_open(&region->gate, DOM_GATE_FILES);
    }
    if (dom_keyring_check_file(region->keys, &err) != DOM_OK) {
        dom_gate_close(&region->gate, DOM_GATE_KEYS, err.message);
    } else {
        dom_gate_open(&region->gate, DOM_GATE_KEYS);
    }
}

struct dom_witness *dom_region_witness(struct dom_region *region)
{
    return &region->witness;
}

/* ---- submitting --------------------------------------------------------------------------- */

static size_t op_bytes(const struct dom_store_op *op)
{
    size_t bytes = 256 + op->id.len + op->kind.len;

    for (size_t i = 0; i < op->num_fields; i++) {
        bytes += op->fields[i].name.len + op->fields[i].value.len;
    }
    for (size_t i = 0; i < op->num_entries; i++) {
        bytes += op->entries[i].len;
    }
    return bytes;
}

static enum dom_code refuse_closed(struct dom_region *region, struct dom_error *err)
{
    char why[DOM_GATE_WHY_SIZE];

    dom_gate_why(&region->gate, why);
    return DOM_FAIL(err, DOM_AUDIT_UNAVAILABLE, "the log of region %s is closed: %s", region->name,
                    why);
}

/* A disk that hangs would else collect writes until nothing else can be taken. */
static bool hangs(const struct dom_region *region)
{
    uint64_t since = atomic_load(&region->busy_since_us);
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());

    return since != 0 && now > since && now - since > DOM_WRITE_WAIT_MS * UINT64_C(1000);
}

enum dom_code dom_region_submit(struct dom_region *region, struct dom_store_op *op,
                                struct dom_error *err)
{
    bool wake = false;
    enum dom_code rc = DOM_OK;

    if (op->num_entries > 0 && dom_gate_closed(&region->gate) != 0) {
        return refuse_closed(region, err);
    }
    if (hangs(region)) {
        return DOM_FAIL(err, DOM_UNAVAILABLE, "the disk of region %s does not answer",
                        region->name);
    }
    dom_stage_hash(op);
    op->next = NULL;
    op->code = DOM_OK;
    op->message[0] = '\0';
    op->replayed = false;
    op->internal.wait_next = NULL;
    op->internal.seq = op_bytes(op); /* until it gets a sequence number: what it weighs */
    op->internal.pending = 0;
    DOM_ASSERT(pthread_mutex_lock(&region->lock) == 0);
    if (region->stopping) {
        rc = DOM_UNAVAILABLE;
    } else if (region->num_queued >= DOM_COMMIT_QUEUE_MAX) {
        rc = DOM_RESOURCE;
    } else {
        if (region->last == NULL) {
            region->first = op;
        } else {
            region->last->next = op;
        }
        region->last = op;
        region->num_queued++;
        wake = take_waiting(region);
    }
    DOM_ASSERT(pthread_mutex_unlock(&region->lock) == 0);
    wake_commit(region, wake);
    if (rc == DOM_UNAVAILABLE) {
        return DOM_FAIL(err, rc, "region %s is stopping", region->name);
    }
    return rc == DOM_OK ? DOM_OK
                        : DOM_FAIL(err, rc, "region %s: %u commits wait already", region->name,
                                   DOM_COMMIT_QUEUE_MAX);
}

enum dom_code dom_region_submit_job(struct dom_region *region, struct dom_region_job *job,
                                    struct dom_error *err)
{
    bool wake = false;
    enum dom_code rc = DOM_OK;

    job->next = NULL;
    job->code = DOM_OK;
    DOM_ASSERT(pthread_mutex_lock(&region->lock) == 0);
    if (region->stopping) {
        rc = DOM_UNAVAILABLE;
    } else if (region->num_jobs >= DOM_REGIONS_MAX * 2) {
        rc = DOM_RESOURCE;
    } else {
        if (region->last_job == NULL) {
            region->first_job = job;
        } else {
            region->last_job->next = job;
        }
        region->last_job = job;
        region->num_jobs++;
        wake = take_waiting(region);
    }
    DOM_ASSERT(pthread_mutex_unlock(&region->lock) == 0);
    wake_commit(region, wake);
    return rc == DOM_OK ? DOM_OK : DOM_FAIL(err, rc, "region %s takes no job now", region->name);
}

void dom_region_stats(const struct dom_region *region, struct dom_store_stats *out)
{
    uint64_t tail = atomic_load(&region->tail);
    uint64_t done = atomic_load(&region->done_seq);

    out->commits = atomic_load(&region->num_commits);
    out->writes = atomic_load(&region->num_writes);
    out->entries = dom_audit_log_size(region->log);
    out->applied = atomic_load(&region->num_applied);
    out->outbox = tail > done ? tail - done : 0;
    out->checkpoints = dom_audit_log_num_checkpoints(region->log);
    out->purges = atomic_load(&region->num_purges);
    out->bytes_written = atomic_load(&region->num_bytes);
    out->lost = dom_audit_log_num_lost(region->log);
    out->unanswered = atomic_load(&region->num_unanswered);
    out->closed = dom_gate_closed(&region->gate);
    out->cosigned = dom_audit_log_num_asked(region->log, DOM_AUDIT_LOG_COSIGNED);
    out->witness_failed = dom_audit_log_num_asked(region->log, DOM_AUDIT_LOG_FAILED);
    out->witness_refused = dom_audit_log_num_asked(region->log, DOM_AUDIT_LOG_REFUSED);
}
