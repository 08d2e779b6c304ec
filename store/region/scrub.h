/* Reads everything that a database has on disk and finds what has changed by itself: every key of
 * every family with RocksDB's block checksums, and every table file's bytes, which never change,
 * against their digest of the last time (blocks in the cache would hide a flipped bit).
 *
 * Thread contract: one thread per scrub; the database goes on meanwhile. It holds the database for
 * at most SCRUB_CHUNK bytes at a time.
 */
#ifndef DOM_STORE_REGION_SCRUB_H
#define DOM_STORE_REGION_SCRUB_H

#include "base/pace.h"
#include "store/region/db.h"

#define DOM_SCRUB_FILES_MAX 65536U /* table files whose digests are remembered */

struct dom_scrub;

/* `db_path` is its folder; both are borrowed. */
struct dom_scrub *dom_scrub_new(struct dom_db *db, const char *db_path);
void dom_scrub_destroy(struct dom_scrub *scrub);

/* One whole pass. *bytesp: what was read. Errors: CORRUPT (says which file or family), IO,
 * CANCELLED (the pace said stop), RESOURCE (over the limit). */
enum dom_code dom_scrub_run(struct dom_scrub *scrub, const struct dom_pace *pace, uint64_t *bytesp,
                            struct dom_error *err) DOM_MUST_USE;

#endif
