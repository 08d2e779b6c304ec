/* What the driver tells the test through a pipe, and what both know of the load.
 *
 * Every record has one operation under way at most, and each operation makes its version one
 * greater. So after a crash a record must be at the version acknowledged last, or one later. */
#ifndef DOM_TESTS_CRASH_CRASH_H
#define DOM_TESTS_CRASH_CRASH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define CRASH_REGIONS   3
#define CRASH_IDS       150U
#define CRASH_APPENDERS 30U
#define CRASH_ACK_FD    3

/* Variables that the driver looks at: the sync (fsync or fdatasync, counted from 1) at which it kills
 * itself instead; the number of acknowledgements after which it ends by itself. */
#define CRASH_KILL_AT_SYNC "CRASH_KILL_AT_SYNC"
#define CRASH_STOP_AFTER   "CRASH_STOP_AFTER"
/* A file of CRASH_SYNCED_MAX struct crash_synced, for a loss of power: how much of each file the
 * disk was made to keep. */
#define CRASH_SYNCED     "CRASH_SYNCED"
#define CRASH_SYNCED_MAX 4096U

/* A file is itself by its inode and birth: numbers are used again. */
struct crash_synced {
    uint64_t inode; /* 0: end of the table */
    int64_t birth_ns;
    uint64_t size;
};

static inline bool crash_identify(struct crash_synced *out, const struct statx *file)
{
    out->inode = file->stx_ino;
    out->birth_ns = file->stx_btime.tv_sec * INT64_C(1000000000) + file->stx_btime.tv_nsec;
    out->size = file->stx_size;
    return (file->stx_mask & STATX_BTIME) != 0 && S_ISREG(file->stx_mode);
}

/* One acknowledgement; smaller than PIPE_BUF, so each is written whole. */
struct crash_ack {
    uint32_t id;     /* record, or UINT32_MAX for a bare entry */
    uint32_t region; /* whose log `index` is in */
    uint64_t version;
    uint64_t index; /* of the entry; UINT64_MAX: none */
    uint8_t leaf[32];
};

/* Which operation makes this version of the record. */
static inline bool crash_is_delete(uint32_t id, uint64_t version)
{
    return version > 1 && (id + version) % 5 == 0;
}

static inline bool crash_has_entry(uint32_t id)
{
    return id % 3 != 0;
}

#endif
