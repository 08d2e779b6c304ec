/* After a failed write: closed for what needs an entry, then tried again, until the database takes
 * bytes; then what may have been written by the failed writes is found, and told in the log. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/audit/event.h"
#include "store/region/region_internal.h"

#define BACKOFF_FIRST_US UINT64_C(100000)
#define BACKOFF_LAST_US  UINT64_C(800000) /* service is back within two seconds of the disk */
#define PROBE_BYTES      (64U << 10)

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

void dom_region_set_broken(struct dom_region *region, const char *message)
{
    if (!region->broken) {
        region->broken = true;
        region->answered = dom_audit_log_next(region->log);
        region->broken_us = now_us();
        region->backoff_us = BACKOFF_FIRST_US;
        dom_gate_close(&region->gate, DOM_GATE_WRITE, message);
    } else if (region->backoff_us < BACKOFF_LAST_US) {
        region->backoff_us *= 2;
    }
    region->retry_us = now_us() + region->backoff_us;
}

/* Whether the disk takes and keeps bytes at all, before the database is closed for reopening. */
static bool disk_takes_bytes(const struct dom_region *region)
{
    static const uint8_t zeros[PROBE_BYTES];
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/probe", region->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool good = write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    return unlink(path) == 0 && good;
}

/* The entry that ends an outage. `before` is where the log ended for those who were answered: what
 * lies behind it became durable although its callers were told that it could not be written. */
static enum dom_code stage_reopened(struct dom_region *region, uint64_t before,
                                    struct dom_error *err)
{
    uint64_t unanswered = dom_audit_log_next(region->log) - before;
    char why[DOM_GATE_WHY_SIZE];
    struct dom_buffer entry = {.limit = DOM_ENTRY_BYTES_MAX};
    struct dom_slice bytes;

    dom_gate_why(&region->gate, why);
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("closed_ms"),
         .integer = (int64_t)((now_us() - region->broken_us) / 1000),
         .is_integer = true},
        {.name = DOM_SLICE_LIT("name"), .text = dom_slice_str(region->name)},
        {.name = DOM_SLICE_LIT("reason"), .text = DOM_SLICE_LIT("write")},
        {.name = DOM_SLICE_LIT("state"), .text = DOM_SLICE_LIT("reopened")},
        {.name = DOM_SLICE_LIT("unanswered_count"),
         .integer = (int64_t)unanswered,
         .is_integer = true},
        {.name = DOM_SLICE_LIT("unanswered_first"),
         .integer = (int64_t)before,
         .is_integer = true},
    };
    struct dom_region_control control = {
        .details = details, .num_details = DOM_ARRAY_LEN(details) - (unanswered == 0 ? 1U : 0U)};
    enum dom_code rc = dom_region_encode_control(region, DOM_AUDIT_SINK, &control, &entry, err);
    bytes = dom_buffer_slice(&entry);
    if (rc == DOM_OK) {
        rc = dom_stage_entries(region, &bytes, 1, NULL, err);
    }
    dom_buffer_cleanup(&entry);
    if (rc == DOM_OK) {
        atomic_fetch_add(&region->num_unanswered, unanswered);
    }
    return rc;
}

/* A group that changes nothing. */
static void begin_probe(struct dom_region *region)
{
    uint8_t value[8];

    dom_group_begin(region);
    dom_put_u64be(value, region->boot);
    dom_db_batch_put(region->db, region->group.batch, DOM_DB_META, DOM_SLICE_LIT("boot"),
                     dom_slice_of(value, sizeof(value)));
}

void dom_region_probe(struct dom_region *region)
{
    struct dom_error err = {0};

    begin_probe(region);
    if (dom_group_write(region, &err) != DOM_OK) {
        dom_region_set_broken(region, err.message);
    }
}

static enum dom_code first_write(struct dom_region *region, uint64_t before, struct dom_error *err)
{
    begin_probe(region);
    enum dom_code rc = stage_reopened(region, before, err);
    if (rc == DOM_OK) {
        rc = dom_group_write(region, err);
    }
    if (rc == DOM_OK) {
        dom_group_written(region);
        dom_group_tell(region);
    }
    return rc;
}

static enum dom_code reopen(struct dom_region *region, struct dom_error *err)
{
    /* As long as its files are elsewhere, what is open is all there is to read from. */
    enum dom_code rc = dom_db_check_files(region->db, true, err);

    if (rc == DOM_OK && !disk_takes_bytes(region)) {
        rc = DOM_FAIL(err, DOM_IO, "the disk takes no bytes");
    }
    if (rc == DOM_OK) {
        rc = dom_db_reopen(region->db, err);
    }
    if (rc == DOM_OK) {
        rc = dom_region_replay(region, err);
    }
    if (rc == DOM_OK) {
        rc = dom_audit_log_reload(region->log, err);
    }
    return rc == DOM_OK ? dom_region_load_outbox(region, err) : rc;
}

/* RocksDB refuses every write after one failed until it is opened anew. What failed may be there
 * then: indexes and sequence numbers are read again. */
void dom_region_recover(struct dom_region *region)
{
    struct dom_error err = {0};
    uint64_t before = region->answered;

    enum dom_code rc = reopen(region, &err);
    if (rc == DOM_OK) {
        rc = first_write(region, before, &err);
    }
    if (rc != DOM_OK) {
        dom_region_set_broken(region, err.message);
        return;
    }
    region->broken = false;
    dom_gate_open(&region->gate, DOM_GATE_WRITE);
    region->host->committed(region->host->store, region, NULL);
    region->host->wake_keeper(region->host->store, region);
}
