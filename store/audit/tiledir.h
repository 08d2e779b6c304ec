/* A log as files below a folder: C2SP tlog-tiles, so that any web server serves it and any public
 * tool checks it. <dir>/checkpoint, <dir>/vkey, <dir>/tile/<level>/..., <dir>/tile/entries/...
 *
 * Publishing is ordered: every tile and bundle is durable before the checkpoint that covers it
 * is there. A crash leaves the old checkpoint with all of its files, and perhaps more files,
 * which the next publishing writes again.
 *
 * Thread contract: one publisher per folder; readers any number, at any time, in any process; a
 * struct dom_tiledir has one user at a time.
 */
#ifndef DOM_STORE_AUDIT_TILEDIR_H
#define DOM_STORE_AUDIT_TILEDIR_H

#include <limits.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "store/audit/bundle.h"
#include "store/audit/tile.h"
#include "store/audit/tree.h"

/* Where the bytes to publish come from: the database. */
struct dom_log_source {
    struct dom_hash_reader hashes;
    /* Appends `count` (1..256) entries from `first` on to `bundle`, in bundle form
     * (dom_bundle_append each). They lie within one bundle. The file is their gzip member. */
    enum dom_code (*entries)(void *impl, uint64_t first, unsigned count, struct dom_buffer *bundle,
                             struct dom_error *err);
    void *impl; /* for `entries` */
};

struct dom_publish {
    const char *dir;
    const struct dom_log_source *source;
    uint64_t old_size;           /* what is published already (0 for a new folder) */
    uint64_t new_size;           /* >= old_size */
    struct dom_slice checkpoint; /* signed note for new_size */
    uint64_t first;              /* bundles before it are pruned: not written */
    bool keep_partials;          /* do not remove partial files of tiles that became full */
    bool only_missing;           /* tiles and bundles that are there are left alone */
};

struct dom_publish_stats {
    uint64_t num_tiles;
    uint64_t num_bundles;
    uint64_t num_removed;
};

/* Writes the new tiles and bundles (full and partial), syncs them, replaces the checkpoint, then
 * removes the partial files of tiles that are full now. Running it again after a failure is
 * safe. `stats` may be NULL. Errors: INVALID, IO, the source's. */
enum dom_code dom_tiledir_publish(const struct dom_publish *publish,
                                  struct dom_publish_stats *stats,
                                  struct dom_error *err) DOM_MUST_USE;

/* Writes <dir>/vkey, the public key that the log signs with, one line. Errors: IO. */
enum dom_code dom_tiledir_write_vkey(const char *dir, struct dom_slice vkey,
                                     struct dom_error *err) DOM_MUST_USE;

/* A reader of one published tree size. It keeps the last tile of each level. */
struct dom_tiledir {
    char dir[PATH_MAX];
    uint64_t size;
    uint64_t first; /* entries before it are pruned, as <dir>/pruned says (not checked here) */
    struct dom_tile cached[DOM_TILE_LEVELS]; /* width 0: nothing cached */
    struct dom_buffer tiles[DOM_TILE_LEVELS];
    uint64_t num_reads; /* tile files opened so far */
};

/* Reads what was pruned, no more. Errors: INVALID (path too long, size too large), PARSE, IO. */
enum dom_code dom_tiledir_init(struct dom_tiledir *tiledir, const char *dir, uint64_t size,
                               struct dom_error *err) DOM_MUST_USE;
void dom_tiledir_cleanup(struct dom_tiledir *tiledir);

/* The hashes of tile n of a level at the reader's size: *count of them. A partial file is used
 * where it exists, else the full one (the log may have grown). `path` (PATH_MAX bytes, may be
 * NULL) tells the file. `out` is cleared first. Errors: IO, CORRUPT (wrong length). */
enum dom_code dom_tiledir_read_tile(const struct dom_tiledir *tiledir, int level, uint64_t n,
                                    struct dom_buffer *out, unsigned *count, char *path,
                                    struct dom_error *err) DOM_MUST_USE;
/* Bundle n: `count` entries count at the reader's size; a full file may hold more than that.
 * Errors: also NOT_FOUND (pruned). */
enum dom_code dom_tiledir_read_bundle(const struct dom_tiledir *tiledir, uint64_t n,
                                      struct dom_buffer *out, unsigned *count, char *path,
                                      struct dom_error *err) DOM_MUST_USE;
/* The checkpoint's bytes. Errors: IO, TOO_LARGE. */
enum dom_code dom_tiledir_read_checkpoint(const char *dir, struct dom_buffer *out,
                                          struct dom_error *err) DOM_MUST_USE;
/* <dir>/pruned, and nothing when there is none. <dir>/checkpoint.cosigned likewise, the newest one
 * with the cosignatures of outside witnesses. Errors: IO, TOO_LARGE. */
enum dom_code dom_tiledir_read_pruned(const char *dir, struct dom_buffer *out,
                                      struct dom_error *err) DOM_MUST_USE;
/* Removes bundles from..to-1 with their partial files. Those that are not there are fine. */
void dom_tiledir_remove_bundles(const char *dir, uint64_t from, uint64_t to);
enum dom_code dom_tiledir_read_cosigned(const char *dir, struct dom_buffer *out,
                                        struct dom_error *err) DOM_MUST_USE;

/* For proofs. The tiledir must outlive it. */
struct dom_hash_reader dom_tiledir_reader(struct dom_tiledir *tiledir);

#endif
