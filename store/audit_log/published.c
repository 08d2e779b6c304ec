/* Whether what was published is still there, and whether publishing gets on. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/audit_log/audit_log_internal.h"

#define LOOKS_MAX 3U /* at a log that grows meanwhile */

static bool there(const struct dom_audit_log *log, const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", log->dir, name);
    return access(path, F_OK) == 0;
}

/* The tile as a log of this size has it: as wide as it is, or under its full name, which it has had
 * since if it became full. */
static bool tile_there(const struct dom_audit_log *log, uint64_t size, int level, uint64_t n)
{
    char name[DOM_TILE_PATH_SIZE];
    struct dom_tile tile = {.level = level, .n = n, .width = dom_tile_width(size, level, n)};

    if (there(log, dom_tile_path(name, tile))) {
        return true;
    }
    tile.width = DOM_TILE_WIDTH;
    return there(log, dom_tile_path(name, tile));
}

/* The last of the entries and of each level is partial as a rule, and not among the full ones. */
static bool complete(struct dom_audit_log *log, uint64_t size, uint64_t first)
{
    for (int level = DOM_TILE_ENTRIES; level < (int)DOM_TILE_LEVELS; level++) {
        uint64_t hashes = dom_tile_level_size(size, level);
        if (hashes > 0 && !tile_there(log, size, level, (hashes - 1) / DOM_TILE_WIDTH)) {
            return false;
        }
    }
    return there(log, "checkpoint") && there(log, "vkey") && (first == 0 || there(log, "pruned")) &&
           dom_audit_log_folders_whole(log, size, first);
}

bool dom_audit_log_check_published(struct dom_audit_log *log)
{
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        uint64_t first = atomic_load(&log->first);
        uint64_t size = atomic_load(&log->published_size);
        if (size == 0 || complete(log, size, first)) {
            return true;
        }
        /* Pruned or published to meanwhile: what was looked for may be gone rightly. */
        if (size == atomic_load(&log->published_size) && first == atomic_load(&log->first)) {
            atomic_store(&log->republish, true);
            atomic_store(&log->due_us, 0);
            return false;
        }
    }
    return true;
}

bool dom_audit_log_whole(const struct dom_audit_log *log)
{
    /* In this order: one is set before the other is cleared. */
    return !atomic_load(&log->republish) && !atomic_load(&log->restore);
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

/* ---- steps -------------------------------------------------------------------------------- */

void dom_audit_log_step(struct dom_audit_log *log)
{
    atomic_store(&log->step_us, dom_clock_monotonic_us(dom_clock_system()));
}

void dom_audit_log_rest(struct dom_audit_log *log)
{
    atomic_store(&log->step_us, 0);
}

uint64_t dom_audit_log_step_us(const struct dom_audit_log *log)
{
    return atomic_load(&log->step_us);
}

void dom_audit_log_ask_again(struct dom_audit_log *log)
{
    atomic_store(&log->ask_again, true);
    atomic_store(&log->due_us, 0);
}
