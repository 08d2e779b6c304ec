/* Mirrors: entries of one region's log that vouch for what another log says went to that region.
 *
 * A `mirror` entry holds detail.origin (the other log), .first and .end (a range of its indexes),
 * .count (entries there whose bytes went to this region) and .digest (SHA-256 of their leaf hashes
 * in order): hashes only. docs/AUDIT_FORMAT.md, Mirrors.
 *
 * Thread contract: one owner; it blocks on files. Limit: DOM_MIRRORS_MAX mirrors of one log.
 */
#ifndef DOM_STORE_AUDIT_MIRROR_H
#define DOM_STORE_AUDIT_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/audit/walk.h"

#define DOM_MIRRORS_MAX (1U << 20)

struct dom_audit_mirror {
    struct dom_slice origin; /* in the entry */
    uint64_t first, end, count;
    uint8_t digest[32];
};
/* Errors: INVALID (a member is missing or wrong), PARSE. */
enum dom_code dom_audit_mirror_parse(struct dom_audit_mirror *mirror, struct dom_slice entry,
                                     struct dom_error *err) DOM_MUST_USE;

struct dom_mirror_check {
    /* What is compared: the whole of both logs, whatever the walks' filters say. */
    const struct dom_log_walk *source; /* the log whose entries are to be mirrored */
    struct dom_slice source_origin;
    const struct dom_log_walk *mirror; /* the log of the region that they went to */
    struct dom_slice region;           /* that region's name, as in transfer.to_region */
    int64_t grace_ms; /* entries of the last so many milliseconds may not be mirrored yet */
    /* What comes out. */
    uint64_t num_entries;     /* that went to the region */
    uint64_t num_mirrors;     /* entries of the other log about them */
    uint64_t num_missing;     /* entries that no mirror tells of */
    uint64_t first_missing;   /* index of the first */
    uint64_t num_pending;     /* likewise, but within the grace */
    uint64_t num_unknown;     /* entries whose mirrors may have been pruned, and mirrors of entries
                               * that were */
    uint64_t num_differing;   /* mirrors that say something else than the source's entries */
    uint64_t first_differing; /* index, in the mirroring log, of the first */
};
/* Fills what comes out. Errors: IO, CORRUPT, PARSE, RESOURCE (over DOM_MIRRORS_MAX). */
enum dom_code dom_mirror_compare(struct dom_mirror_check *check,
                                 struct dom_error *err) DOM_MUST_USE;

#endif
