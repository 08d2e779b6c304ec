/* One RocksDB with Domicile's column families, and the one place that reads RocksDB's errors.
 *
 * The database can be reopened in place: after a failed write RocksDB refuses everything until it
 * is opened again. So whoever reads does it between dom_db_enter and dom_db_leave, and has
 * released every value, iterator and snapshot before it leaves.
 *
 * Thread contract: any thread, except dom_db_open/close/reopen: one thread, the owner's.
 */
#ifndef DOM_STORE_REGION_DB_H
#define DOM_STORE_REGION_DB_H

#include <rocksdb/c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/encode.h"
#include "base/error.h"
#include "base/slice.h"

/* X(NAME, "name", write buffer in KiB (0: the option's), point lookups) */
#define DOM_DB_FAMILIES(X)         \
    X(DEFAULT, "default", 64, 0)   \
    X(ROWS, "rows", 0, 1)          \
    X(LOCATOR, "locator", 1024, 1) \
    X(AUDIT, "audit", 4096, 0)     \
    X(TILES, "tiles", 1024, 0)     \
    X(INDEX, "index", 2048, 1)     \
    X(OUTBOX, "outbox", 2048, 0)   \
    X(META, "meta", 256, 0)

enum dom_db_family {
#define X(name, text, kib, point) DOM_DB_##name,
    DOM_DB_FAMILIES(X)
#undef X
        DOM_DB_FAMILY_COUNT
};

/* What all databases of a process share: cache and background threads. */
struct dom_db_env;

struct dom_db_options {
    const char *compression;   /* "none", "snappy", "lz4", "zstd"; NULL: lz4. Tables of audit
                                  entries are by zstd unless it is none */
    size_t block_cache_bytes;  /* 0: 64 MiB */
    size_t write_buffer_bytes; /* of rows; 0: 8 MiB */
};

/* Errors: INVALID (unknown compression), RESOURCE. */
enum dom_code dom_db_env_new(struct dom_db_env **envp, const struct dom_db_options *options,
                             struct dom_error *err) DOM_MUST_USE;
/* After every database that uses it. */
void dom_db_env_destroy(struct dom_db_env *env);

struct dom_db;

/* Opens or creates. `env` must outlive it. Errors: IO, CORRUPT, LOCKED. */
enum dom_code dom_db_open(struct dom_db **dbp, struct dom_db_env *env, const char *path,
                          struct dom_error *err) DOM_MUST_USE;
/* Opens for reading, beside the process that has it open for writing: what is durable then is what
 * is read. Nothing is written, and no lock is taken. Files may go while they are being opened
 * (the other process compacts): then it is tried again a few times. Errors: IO, CORRUPT. */
enum dom_code dom_db_open_beside(struct dom_db **dbp, struct dom_db_env *env, const char *path,
                                 struct dom_error *err) DOM_MUST_USE;
void dom_db_close(struct dom_db *db);
/* Opens it again after a failed write. Readers go on all the while, from what was open, then from
 * one that is open for reading, then from the new one; each change waits for the readers inside and
 * holds up new ones no longer than that. When it cannot be opened, what is open stays. */
enum dom_code dom_db_reopen(struct dom_db *db, struct dom_error *err) DOM_MUST_USE;
/* Whether the files that the database counts on still have their names: a file that was removed
 * takes writes and syncs without an error and is lost at the next opening. One stat(2) unless the
 * folder has changed or `thorough`. The owner's thread. Errors: IO (with the name). */
enum dom_code dom_db_check_files(struct dom_db *db, bool thorough,
                                 struct dom_error *err) DOM_MUST_USE;

/* Whether the folder is where it was. Any thread. Errors: IO. */
enum dom_code dom_db_check_folder(const struct dom_db *db, struct dom_error *err) DOM_MUST_USE;

/* Shared hold against reopening. False, and nothing held, when the database is not open. */
bool dom_db_enter(struct dom_db *db);
void dom_db_leave(struct dom_db *db);

/* A value where RocksDB has it. */
struct dom_db_value {
    rocksdb_pinnableslice_t *pin;
    struct dom_slice bytes;
};
/* NOT_FOUND leaves `err` alone: missing keys are ordinary and formatting is not free.
 * Errors: NOT_FOUND, IO, CORRUPT. */
enum dom_code dom_db_get(struct dom_db *db, enum dom_db_family family, struct dom_slice key,
                         struct dom_db_value *value, struct dom_error *err) DOM_MUST_USE;
void dom_db_value_release(struct dom_db_value *value);

rocksdb_iterator_t *dom_db_iter(struct dom_db *db, enum dom_db_family family);
struct dom_slice dom_db_iter_key(const rocksdb_iterator_t *iter);
struct dom_slice dom_db_iter_value(const rocksdb_iterator_t *iter);
/* Why an iterator is not valid: OK at the end. */
enum dom_code dom_db_iter_check(const rocksdb_iterator_t *iter, struct dom_error *err) DOM_MUST_USE;

void dom_db_batch_put(struct dom_db *db, rocksdb_writebatch_t *batch, enum dom_db_family family,
                      struct dom_slice key, struct dom_slice value);
void dom_db_batch_delete(struct dom_db *db, rocksdb_writebatch_t *batch, enum dom_db_family family,
                         struct dom_slice key);
/* Keys from <= key < to. */
void dom_db_batch_delete_range(struct dom_db *db, rocksdb_writebatch_t *batch,
                               enum dom_db_family family, struct dom_slice from,
                               struct dom_slice to);
/* The batch as RocksDB encodes it, until it is changed. */
struct dom_slice dom_db_batch_bytes(rocksdb_writebatch_t *batch);
/* `sync`: durable when it returns OK. Errors: IO, CORRUPT, ... */
enum dom_code dom_db_write(struct dom_db *db, rocksdb_writebatch_t *batch, bool sync,
                           struct dom_error *err) DOM_MUST_USE;

/* What was written before is durable when it returns OK. Errors: IO. */
enum dom_code dom_db_sync(struct dom_db *db, struct dom_error *err) DOM_MUST_USE;

/* Flushes every family's memtable, so that the write-ahead logs so far become obsolete. */
enum dom_code dom_db_flush(struct dom_db *db, struct dom_error *err) DOM_MUST_USE;
/* Rewrites what lies between the keys (both empty: everything), down to the last level, so that
 * overwritten and deleted values are physically gone. */
enum dom_code dom_db_compact(struct dom_db *db, enum dom_db_family family, struct dom_slice from,
                             struct dom_slice to, struct dom_error *err) DOM_MUST_USE;

/* Makes the manifest a new file that names no table but those there are now: what was compacted
 * away leaves the bounds of its keys behind in the old one. */
enum dom_code dom_db_renew_manifest(struct dom_db *db, struct dom_error *err) DOM_MUST_USE;

/* Of "rows", an estimate. */
uint64_t dom_db_num_rows(struct dom_db *db);

/* Turns an error string of RocksDB (freed here; NULL is OK) into a code and message. */
enum dom_code dom_rocksdb_error(char *text, const char *what, struct dom_error *err);

#endif
