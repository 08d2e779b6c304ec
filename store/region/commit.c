/* The commit thread: takes what waits, puts it into one batch, makes it durable with one fsync and
 * hands everything back as one chain. While it writes, the next group gathers: under load groups
 * grow by themselves, and a lone write waits for nobody. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/region/region_internal.h"

#define ARENA_FIRST_BYTES (128U << 10)
#define GATHER_GROUP_MIN 16U /* operations in the last group: below, nobody waits for company */
#define GATHER_ENOUGH 200U
#define GATHER_STEP_US 500U
#define GATHER_LAST_US 150U /* when as many are there as in the last group */
#define GATHER_US 6000U

/* ---- the group ---------------------------------------------------------------------------- */

void dom_group_init(struct dom_group *group)
{
    group->arena_first = malloc(ARENA_FIRST_BYTES);
    group->rows = calloc(DOM_OVERLAY_SLOTS, sizeof(*group->rows));
    group->requests = calloc(DOM_OVERLAY_SLOTS, sizeof(*group->requests));
    group->used_rows = calloc(DOM_OVERLAY_SLOTS, sizeof(*group->used_rows));
    group->used_requests = calloc(DOM_OVERLAY_SLOTS, sizeof(*group->used_requests));
    DOM_ASSERT(group->arena_first != NULL && group->rows != NULL && group->requests != NULL);
    DOM_ASSERT(group->used_rows != NULL && group->used_requests != NULL);
    dom_arena_init(&group->arena, group->arena_first, ARENA_FIRST_BYTES, DOM_GROUP_ARENA_BYTES_MAX);
    group->batch = rocksdb_writebatch_create();
    group->next_seq = 1;
}

void dom_group_cleanup(struct dom_group *group)
{
    dom_arena_cleanup(&group->arena);
    dom_buffer_cleanup(&group->run);
    dom_buffer_cleanup(&group->leaves);
    rocksdb_writebatch_destroy(group->batch);
    free(group->arena_first);
    free(group->rows);
    free(group->requests);
    free(group->used_rows);
    free(group->used_requests);
}

void dom_group_begin(struct dom_region *region)
{
    struct dom_group *group = &region->group;

    for (size_t i = 0; i < group->num_used_rows; i++) {
        group->rows[group->used_rows[i]] = (struct dom_row_state){0};
    }
    for (size_t i = 0; i < group->num_used_requests; i++) {
        group->requests[group->used_requests[i]].op = NULL;
    }
    group->num_used_rows = 0;
    group->num_used_requests = 0;
    dom_arena_reset(&group->arena);
    rocksdb_writebatch_clear(group->batch);
    dom_buffer_clear(&group->run);
    dom_buffer_clear(&group->leaves);
    group->num_leaves = 0;
    group->num_limits = 0;
    group->next_seq = atomic_load(&region->tail) + 1;
    group->num_writes = 0;
    group->num_applied = 0;
    group->wall_ms = dom_clock_wall_ms(region->host->options.clock);
    group->staged = NULL;
    group->staged_last = NULL;
    group->finished = NULL;
    group->finished_last = NULL;
    group->wants_purge = false;
    group->first_purge = false;
}

static void chain(struct dom_store_op **first, struct dom_store_op **last, struct dom_store_op *op)
{
    op->next = NULL;
    if (*last == NULL) {
        *first = op;
    } else {
        (*last)->next = op;
    }
    *last = op;
}

static void post(struct dom_region *region, struct dom_store_op *first, struct dom_store_op *last)
{
    if (first != NULL) {
        region->host->finish(region->host->store, first, last);
    }
}

static void refuse(struct dom_store_op *op, enum dom_code code, const char *message)
{
    op->code = code;
    (void)snprintf(op->message, sizeof(op->message), "%s", message);
}

/* ---- the queue ---------------------------------------------------------------------------- */

static struct timespec monotonic_at(uint64_t us)
{
    struct timespec at = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    return at;
}

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

/* Detaches operations and jobs up to a group's limits. The lock is held. */
static void take_group(struct dom_region *region, struct dom_store_op **opsp)
{
    size_t bytes = 0;
    size_t items = 0;
    struct dom_store_op *last = NULL;

    *opsp = region->first;
    while (region->first != NULL && items < DOM_COMMIT_GROUP_MAX &&
           bytes < DOM_COMMIT_GROUP_BYTES_MAX) {
        last = region->first;
        bytes += last->internal.seq;
        items++;
        region->first = last->next;
        region->num_queued--;
    }
    if (last == NULL) {
        *opsp = NULL;
    } else {
        last->next = NULL;
    }
    if (region->first == NULL) {
        region->last = NULL;
    }
    region->group.jobs = NULL;
    region->group.jobs_last = NULL;
    while (region->first_job != NULL &&
           items + region->first_job->num_items <= DOM_GROUP_ITEMS_MAX &&
           (bytes < DOM_COMMIT_GROUP_BYTES_MAX || items == 0)) {
        struct dom_region_job *job = region->first_job;
        region->first_job = job->next;
        region->num_jobs--;
        items += job->num_items;
        bytes += job->num_bytes;
        job->next = NULL;
        if (region->group.jobs_last == NULL) {
            region->group.jobs = job;
        } else {
            region->group.jobs_last->next = job;
        }
        region->group.jobs_last = job;
    }
    if (region->first_job == NULL) {
        region->last_job = NULL;
    }
}

/* Under load, waits for company: every operation that joins shares the fsync, whose CPU (about
 * 0.1 ms here) is the largest single cost of an append. As long as more keep coming the wait goes
 * on, up to GATHER_US in all; a step without an arrival ends it, a short one when the queue holds as
 * many as the last group, which in a closed loop is everybody. So only arrivals denser than that
 * are held up, which are those of a process that is short of CPU. Small groups never wait: a lone
 * caller's latency is one fsync. The lock is held; nobody signals meanwhile. */
static void gather(struct dom_region *region)
{
    if (region->last_group < GATHER_GROUP_MIN) {
        return;
    }
    uint64_t end = now_us() + GATHER_US;
    size_t before = SIZE_MAX;
    while (now_us() < end && region->num_queued < GATHER_ENOUGH && region->num_queued != before &&
           !region->stopping) {
        before = region->num_queued;
        bool all = before >= region->last_group;
        struct timespec until = monotonic_at(now_us() + (all ? GATHER_LAST_US : GATHER_STEP_US));
        (void)pthread_cond_timedwait(&region->wake, &region->lock, &until);
    }
}

/* Waits for work; false when the thread is to end. With a broken database it also returns, without
 * work, when the next attempt is due. */
static bool wait_for_group(struct dom_region *region, struct dom_store_op **opsp)
{
    DOM_ASSERT(pthread_mutex_lock(&region->lock) == 0);
    while (region->first == NULL && region->first_job == NULL && !region->stopping &&
           !region->suspect) {
        region->waiting = true;
        if (!region->broken) {
            DOM_ASSERT(pthread_cond_wait(&region->wake, &region->lock) == 0);
            continue;
        }
        struct timespec until = monotonic_at(region->retry_us);
        if (pthread_cond_timedwait(&region->wake, &region->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    region->waiting = false;
    region->suspected = region->suspect;
    region->suspect = false;
    gather(region);
    bool going = !region->stopping;
    size_t queued = region->num_queued;
    take_group(region, opsp);
    region->last_group = queued - region->num_queued;
    DOM_ASSERT(pthread_mutex_unlock(&region->lock) == 0);
    return going;
}

/* ---- a group's way ------------------------------------------------------------------------ */

static void stage_all(struct dom_region *region, struct dom_store_op *ops)
{
    struct dom_group *group = &region->group;
    struct dom_error err;

    while (ops != NULL) {
        struct dom_store_op *op = ops;
        ops = op->next;
        dom_error_clear(&err);
        enum dom_code rc = dom_stage_op(region, op, &err);
        if (rc == DOM_OK) {
            chain(&group->staged, &group->staged_last, op);
        } else {
            refuse(op, rc, err.message);
            chain(&group->finished, &group->finished_last, op);
        }
    }
    for (struct dom_region_job *job = group->jobs; job != NULL; job = job->next) {
        dom_error_clear(&err);
        job->code = dom_stage_job(region, job, &err);
        if (job->code != DOM_OK) {
            dom_log(DOM_LOG_ERROR, "store.job_refused", "region=%s reason=\"%s\"", region->name,
                    err.message);
        }
    }
}

enum dom_code dom_group_write(struct dom_region *region, struct dom_error *err)
{
    struct dom_group *group = &region->group;

    dom_region_stage_peers(region);
    if (group->wants_purge) {
        dom_stage_purge_mark(region);
    }
    bool entries_only = rocksdb_writebatch_count(group->batch) == group->num_limits;
    if (group->num_leaves > 0) {
        dom_audit_log_stage(region->log, group->batch, dom_buffer_slice(&group->run));
    }
    if (rocksdb_writebatch_count(group->batch) == 0) {
        return DOM_OK;
    }
    size_t bytes = dom_db_batch_bytes(group->batch).len;
    enum dom_code rc = dom_region_make_durable(region, entries_only, err);
    if (rc == DOM_OK) {
        /* Before anybody is told: bytes in a file without a name are gone with the process. */
        rc = dom_db_check_files(region->db, false, err);
    }
    if (rc == DOM_OK) {
        atomic_fetch_add(&region->num_commits, 1);
        atomic_fetch_add(&region->num_bytes, bytes);
    }
    return rc;
}

void dom_group_written(struct dom_region *region)
{
    struct dom_group *group = &region->group;

    group->log_was_idle = dom_audit_log_due_us(region->log) == UINT64_MAX;
    dom_region_peers_durable(region);
    atomic_store(&region->tail, group->next_seq - 1);
    atomic_fetch_add(&region->num_writes, group->num_writes);
    atomic_fetch_add(&region->num_applied, group->num_applied);
    if (group->num_leaves > 0) {
        const void *leaves = group->leaves.data;
        dom_audit_log_committed(region->log, leaves, (size_t)group->num_leaves,
                                dom_buffer_slice(&group->run));
    }
}

void dom_group_tell(struct dom_region *region)
{
    struct dom_group *group = &region->group;

    if (group->num_leaves > 0) {
        region->host->grew(region->host->store, region);
    }
    if ((group->num_leaves > 0 && group->log_was_idle) || group->first_purge) {
        region->host->wake_keeper(region->host->store, region);
    }
}

/* Operations that wait for replicas go to the replicator; the others back. */
static void finish_ok(struct dom_region *region, bool has_outbox)
{
    struct dom_group *group = &region->group;
    struct dom_store_op *op = group->staged;
    struct dom_store_op *sync = NULL;

    while (op != NULL) {
        struct dom_store_op *next = op->next;
        if (op->internal.seq != 0 && op->internal.pending != 0 && !op->replayed) {
            op->internal.wait_next = sync;
            sync = op;
        } else {
            chain(&group->finished, &group->finished_last, op);
        }
        op = next;
    }
    if (has_outbox) {
        region->host->committed(region->host->store, region, sync);
    }
}

static void finish_failed(struct dom_region *region, const char *message)
{
    struct dom_group *group = &region->group;
    struct dom_store_op *op = group->staged;

    while (op != NULL) {
        struct dom_store_op *next = op->next;
        refuse(op, op->num_entries > 0 ? DOM_AUDIT_UNAVAILABLE : DOM_IO, message);
        chain(&group->finished, &group->finished_last, op);
        op = next;
    }
    for (struct dom_region_job *job = group->jobs; job != NULL; job = job->next) {
        job->code = DOM_IO;
    }
}

static void finish_jobs(struct dom_group *group)
{
    struct dom_region_job *job = group->jobs;

    group->jobs = NULL;
    while (job != NULL) {
        struct dom_region_job *next = job->next;
        job->done(job);
        job = next;
    }
}

static void commit_group(struct dom_region *region, struct dom_store_op *ops)
{
    struct dom_group *group = &region->group;
    struct dom_error err = {0};
    uint64_t tail = atomic_load(&region->tail);
    bool written = false;

    atomic_store(&region->busy_since_us, now_us());
    if (region->suspected && !region->broken) {
        dom_region_probe(region);
    }
    if (region->broken && now_us() >= region->retry_us) {
        dom_region_recover(region);
    }
    dom_group_begin(region);
    if (region->broken) {
        while (ops != NULL) {
            struct dom_store_op *next = ops->next;
            chain(&group->staged, &group->staged_last, ops);
            ops = next;
        }
        finish_failed(region, "the region's database cannot be written now");
    } else {
        stage_all(region, ops);
        written = dom_group_write(region, &err) == DOM_OK;
        if (written) {
            dom_group_written(region);
            finish_ok(region, group->next_seq - 1 > tail);
        } else {
            dom_region_set_broken(region, err.message);
            finish_failed(region, err.message);
        }
    }
    atomic_store(&region->busy_since_us, 0);
    dom_gate_open(&region->gate, DOM_GATE_STALL);
    dom_claims_release(region->host->claims, &group->claims);
    post(region, group->finished, group->finished_last);
    if (written) {
        /* After the answers: each wake is a core that an answer may need. */
        dom_group_tell(region);
    }
    finish_jobs(group);
}

static void stop_queue(struct dom_region *region, struct dom_store_op *ops)
{
    struct dom_group *group = &region->group;

    for (;;) {
        dom_group_begin(region);
        while (ops != NULL) {
            struct dom_store_op *next = ops->next;
            refuse(ops, DOM_UNAVAILABLE, "the store is stopping");
            chain(&group->finished, &group->finished_last, ops);
            ops = next;
        }
        post(region, group->finished, group->finished_last);
        for (struct dom_region_job *job = group->jobs; job != NULL; job = job->next) {
            job->code = DOM_UNAVAILABLE;
        }
        finish_jobs(group);
        DOM_ASSERT(pthread_mutex_lock(&region->lock) == 0);
        take_group(region, &ops);
        DOM_ASSERT(pthread_mutex_unlock(&region->lock) == 0);
        if (ops == NULL && group->jobs == NULL) {
            return;
        }
    }
}

void *dom_region_commit_main(void *arg)
{
    struct dom_region *region = arg;
    struct dom_store_op *ops = NULL;

    DOM_CHECK_MAGIC(region, DOM_REGION_MAGIC);
    dom_thread_name("commit", region->name);
    while (wait_for_group(region, &ops)) {
        commit_group(region, ops);
    }
    stop_queue(region, ops);
    return NULL;
}
