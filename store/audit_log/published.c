/* Whether what was published is still there, and whether publishing gets on. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/audit_log/audit_log_internal.h"

static bool there(const struct dom_audit_log *log, const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", log->dir, name);
    return access(path, F_OK) == 0;
}

/* The tile as a log of this size has it: under its full name, or else as wide as it is. */
static bool tile_there(const struct dom_audit_log *log, uint64_t size, int level, uint64_t n)
{
    char name[DOM_TILE_PATH_SIZE];
    struct dom_tile tile = {.level = level, .n = n, .width = dom_tile_width(size, level, n)};

    return there(log, dom_tile_path(name, tile));
}

/* The first and the last of the hashes and the entries: who removes a folder removes one of them. */
static bool complete(const struct dom_audit_log *log, uint64_t size)
{
    uint64_t last = (size - 1) / DOM_TILE_WIDTH;

    if (atomic_load(&log->first) > 0 && !there(log, "pruned")) {
        return false;
    }
    return there(log, "checkpoint") && there(log, "vkey") && tile_there(log, size, 0, 0) &&
           tile_there(log, size, 0, last) &&
           tile_there(log, size, DOM_TILE_ENTRIES, atomic_load(&log->first) / DOM_TILE_WIDTH) &&
           tile_there(log, size, DOM_TILE_ENTRIES, last);
}

bool dom_audit_log_check_published(struct dom_audit_log *log)
{
    uint64_t size = atomic_load(&log->published_size);

    if (size == 0 || complete(log, size)) {
        return true;
    }
    if (size != atomic_load(&log->published_size) || atomic_load(&log->republish)) {
        return true; /* it is being published to: what it removed is in the full tile */
    }
    atomic_store(&log->republish, true);
    atomic_store(&log->due_us, 0);
    return false;
}

uint64_t dom_audit_log_overdue_ms(struct dom_audit_log *log)
{
    uint64_t published = atomic_load(&log->published_size);
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());

    if (log->watched_us == 0 || published >= dom_audit_log_size(log) ||
        published != log->watched_size) {
        log->watched_size = published;
        log->watched_us = now;
    }
    return (now - log->watched_us) / 1000;
}
