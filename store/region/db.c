#include "store/region/db.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "store/region/db_files.h"

#define MIB ((size_t)1 << 20)
#define ARCHIVE_BLOCK_BYTES (64U << 10)
#define ZLIB_WINDOW_BITS (-14) /* RocksDB's default; not used by zstd */
#define OPEN_BESIDE_TRIES_MAX 5

struct dom_db_env {
    rocksdb_env_t *env;
    _Atomic int num_opened; /* databases, for writing */
    rocksdb_cache_t *cache;
    rocksdb_options_t *options[DOM_DB_FAMILY_COUNT]; /* [0] also holds the database-wide ones */
    rocksdb_block_based_table_options_t *tables[DOM_DB_FAMILY_COUNT];
};

struct dom_db {
    struct dom_db_env *env;
    char *path;
    pthread_rwlock_t lock;
    rocksdb_t *rocks;
    rocksdb_column_family_handle_t *families[DOM_DB_FAMILY_COUNT];
    bool writable;
    struct dom_db_files files;
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *scan; /* leaves the cache alone */
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
};

static const char *const s_names[] = {
#define X(name, text, kib, point) text,
    DOM_DB_FAMILIES(X)
#undef X
};

static const struct {
    size_t kib;
    bool point;
} s_shapes[] = {
#define X(name, text, kib, point) {kib, point},
    DOM_DB_FAMILIES(X)
#undef X
};

static bool compression_of(const char *name, int *out)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"none", rocksdb_no_compression},
                {"snappy", rocksdb_snappy_compression},
                {"lz4", rocksdb_lz4_compression},
                {"zstd", rocksdb_zstd_compression}};

    for (size_t i = 0; i < DOM_ARRAY_LEN(rows); i++) {
        if (strcmp(name, rows[i].name) == 0) {
            *out = rows[i].number;
            return true;
        }
    }
    return false;
}

static rocksdb_block_based_table_options_t *table_options(const struct dom_db_env *env, bool point)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(table, env->cache);
    rocksdb_block_based_options_set_format_version(table, 5);
    /* XXH3: Debian's build computes CRC32C in software. */
    rocksdb_block_based_options_set_checksum(table, 4);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    if (point) {
        rocksdb_block_based_options_set_filter_policy(table,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
        rocksdb_block_based_options_set_data_block_index_type(table, 1 /* and hash */);
        rocksdb_block_based_options_set_data_block_hash_ratio(table, 0.75);
    }
    return table;
}

/* The whole process is to stay below 400 MB with 13 regions: small buffers, one cache. */
static void set_family(rocksdb_options_t *options, size_t buffer_bytes, bool point, int compression)
{
    if (point) {
        /* A bloom filter in the memtable too: a key that is not there, which is what every probe
         * for another home finds, need not walk the skip list. */
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02);
    }
    rocksdb_options_set_write_buffer_size(options, buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    rocksdb_options_set_arena_block_size(options, buffer_bytes >= 4 * MIB ? 256U << 10 : 32U << 10);
    rocksdb_options_set_compression(options, compression);
    rocksdb_options_set_target_file_size_base(options, 8 * MIB);
    rocksdb_options_set_max_bytes_for_level_base(options, 32 * MIB);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
}

/* Keeps index and filter blocks of open tables pinned: counted in the cache, but not looked up there,
 * which is two of the three searches of a lookup. The C interface has no call for it in 7.8, and
 * parsing a text gives new options; what the old ones point to is shared. */
static rocksdb_options_t *pin_metadata(rocksdb_options_t *options)
{
    rocksdb_options_t *pinned = rocksdb_options_create();
    char *text = NULL;

    rocksdb_get_options_from_string(
        options,
        "block_based_table_factory={metadata_cache_options={unpartitioned_pinning=kAll;};}", pinned,
        &text);
    DOM_ASSERT(text == NULL);
    rocksdb_options_destroy(options);
    return pinned;
}

static void set_database(rocksdb_options_t *options, rocksdb_env_t *env, size_t buffer_bytes)
{
    rocksdb_options_set_env(options, env);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_max_open_files(options, 256);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_max_total_wal_size(options, 4 * buffer_bytes);
    /* Fatal only. No key ranges get into LOG, and a full disk cannot bring the process down:
     * Debian builds with assertions, and a LOG that could not be written trips one. */
    rocksdb_options_set_info_log_level(options, 4);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_log_file_size(options, MIB);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_manifest_preallocation_size(options, 64U << 10);
    rocksdb_options_set_max_manifest_file_size(options, 1); /* dom_db_renew_manifest */
    rocksdb_options_set_wal_recovery_mode(options, 2 /* point in time: stop at the torn tail */);
}

/* Entries are kept for years and read in long runs: large blocks, so that entries which came alone
 * shrink beside their like, and the better compression once they leave the memtable. */
static void set_archive(rocksdb_options_t *options, rocksdb_block_based_table_options_t *table,
                        int compression)
{
    rocksdb_block_based_options_set_block_size(table, ARCHIVE_BLOCK_BYTES);
    rocksdb_options_set_compression(options, compression == rocksdb_no_compression
                                                 ? rocksdb_no_compression
                                                 : rocksdb_zstd_compression);
    /* Level 1: most of it is packed already. */
    rocksdb_options_set_compression_options(options, ZLIB_WINDOW_BITS, 1, 0, 0);
}

static void set_num_threads(struct dom_db_env *env, int num)
{
    rocksdb_env_set_background_threads(env->env, num);
    rocksdb_env_set_high_priority_background_threads(env->env, num);
}

enum dom_code dom_db_env_new(struct dom_db_env **envp, const struct dom_db_options *options,
                             struct dom_error *err)
{
    const char *name = options->compression == NULL ? "lz4" : options->compression;
    size_t cache = options->block_cache_bytes == 0 ? 64 * MIB : options->block_cache_bytes;
    size_t rows = options->write_buffer_bytes == 0 ? 8 * MIB : options->write_buffer_bytes;
    int compression = 0;

    *envp = NULL;
    if (!compression_of(name, &compression)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "compression \"%s\" is unknown; use none, snappy, lz4 or zstd", name);
    }
    struct dom_db_env *env = calloc(1, sizeof(*env));
    DOM_ASSERT(env != NULL);
    env->env = rocksdb_create_default_env();
    set_num_threads(env, 1);
    env->cache = rocksdb_cache_create_lru(cache);
    for (int i = 0; i < DOM_DB_FAMILY_COUNT; i++) {
        size_t buffer = s_shapes[i].kib == 0 ? rows : s_shapes[i].kib << 10;
        env->options[i] = rocksdb_options_create();
        env->tables[i] = table_options(env, s_shapes[i].point);
        set_family(env->options[i], buffer, s_shapes[i].point, compression);
        if (i == DOM_DB_AUDIT) {
            set_archive(env->options[i], env->tables[i], compression);
        }
        rocksdb_options_set_block_based_table_factory(env->options[i], env->tables[i]);
        if (s_shapes[i].point) {
            env->options[i] = pin_metadata(env->options[i]);
        }
    }
    set_database(env->options[0], env->env, rows);
    *envp = env;
    return DOM_OK;
}

void dom_db_env_destroy(struct dom_db_env *env)
{
    if (env == NULL) {
        return;
    }
    for (int i = 0; i < DOM_DB_FAMILY_COUNT; i++) {
        rocksdb_options_destroy(env->options[i]);
        rocksdb_block_based_options_destroy(env->tables[i]);
    }
    rocksdb_cache_destroy(env->cache);
    rocksdb_env_destroy(env->env);
    free(env);
}

/* What is open of a database: once for writing, or, beside a broken one, for reading. */
struct instance {
    rocksdb_t *rocks;
    rocksdb_column_family_handle_t *families[DOM_DB_FAMILY_COUNT];
};

static enum dom_code open_rocks(const struct dom_db *db, struct instance *out, bool writable,
                                struct dom_error *err)
{
    const rocksdb_options_t *options[DOM_DB_FAMILY_COUNT];
    char *text = NULL;

    for (int i = 0; i < DOM_DB_FAMILY_COUNT; i++) {
        options[i] = db->env->options[i];
    }
    if (writable) {
        out->rocks =
            rocksdb_open_column_families(db->env->options[0], db->path, DOM_DB_FAMILY_COUNT,
                                         s_names, options, out->families, &text);
    } else {
        out->rocks = rocksdb_open_for_read_only_column_families(
            db->env->options[0], db->path, DOM_DB_FAMILY_COUNT, s_names, options, out->families, 0,
            &text);
    }
    if (text != NULL) {
        out->rocks = NULL;
    }
    return dom_rocksdb_error(text, db->path, err);
}

static void close_rocks(struct instance *instance)
{
    if (instance->rocks == NULL) {
        return;
    }
    for (int i = 0; i < DOM_DB_FAMILY_COUNT; i++) {
        rocksdb_column_family_handle_destroy(instance->families[i]);
    }
    rocksdb_close(instance->rocks);
    instance->rocks = NULL;
}

/* Puts `next` in the place of what is open, which goes to `next`. Readers are held up for no more
 * than this. */
static void swap_rocks(struct dom_db *db, struct instance *next, bool writable)
{
    struct instance old = {.rocks = db->rocks};

    DOM_ASSERT(pthread_rwlock_wrlock(&db->lock) == 0);
    memcpy(old.families, db->families, sizeof(old.families));
    db->rocks = next->rocks;
    memcpy(db->families, next->families, sizeof(db->families));
    db->writable = writable;
    DOM_ASSERT(pthread_rwlock_unlock(&db->lock) == 0);
    *next = old;
}

static struct dom_db *db_new(struct dom_db_env *env, const char *path)
{
    struct dom_db *db = calloc(1, sizeof(*db));
    DOM_ASSERT(db != NULL);
    db->env = env;
    db->path = strdup(path);
    DOM_ASSERT(db->path != NULL);
    DOM_ASSERT(pthread_rwlock_init(&db->lock, NULL) == 0);
    db->read = rocksdb_readoptions_create();
    db->scan = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(db->scan, 0);
    db->write = rocksdb_writeoptions_create();
    db->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->write_sync, 1);
    return db;
}

enum dom_code dom_db_open_beside(struct dom_db **dbp, struct dom_db_env *env, const char *path,
                                 struct dom_error *err)
{
    struct dom_db *db = db_new(env, path);
    struct instance instance = {0};
    enum dom_code rc = DOM_IO;

    *dbp = NULL;
    for (int tries = 0; tries < OPEN_BESIDE_TRIES_MAX && rc != DOM_OK; tries++) {
        rc = open_rocks(db, &instance, false, err);
    }
    if (rc != DOM_OK) {
        dom_db_close(db);
        return rc;
    }
    swap_rocks(db, &instance, false);
    *dbp = db;
    return DOM_OK;
}

enum dom_code dom_db_open(struct dom_db **dbp, struct dom_db_env *env, const char *path,
                          struct dom_error *err)
{
    struct dom_db *db = db_new(env, path);
    struct instance instance = {0};

    *dbp = NULL;
    /* All databases of the process share RocksDB's threads, and each has one flush and one compaction
     * under way at most (max_background_jobs). As many threads as databases: a disk that hangs keeps
     * one of each kind, and the other databases are flushed and compacted all the same. */
    set_num_threads(env, atomic_fetch_add(&env->num_opened, 1) + 1);
    enum dom_code rc = open_rocks(db, &instance, true, err);
    if (rc == DOM_OK) {
        swap_rocks(db, &instance, true);
        rc = dom_db_files_init(&db->files, path, err);
    }
    if (rc != DOM_OK) {
        dom_db_close(db);
        return rc;
    }
    *dbp = db;
    return DOM_OK;
}

void dom_db_close(struct dom_db *db)
{
    if (db == NULL) {
        return;
    }
    struct instance instance = {0};
    swap_rocks(db, &instance, false);
    close_rocks(&instance);
    rocksdb_readoptions_destroy(db->read);
    rocksdb_readoptions_destroy(db->scan);
    rocksdb_writeoptions_destroy(db->write);
    rocksdb_writeoptions_destroy(db->write_sync);
    (void)pthread_rwlock_destroy(&db->lock);
    free(db->path);
    free(db);
}

enum dom_code dom_db_reopen(struct dom_db *db, struct dom_error *err)
{
    struct instance instance = {0};
    enum dom_code rc = DOM_OK;

    if (db->writable) {
        /* Reading needs no lock file, so it can begin before the broken one has gone. */
        rc = open_rocks(db, &instance, false, err);
        if (rc != DOM_OK) {
            return rc;
        }
        swap_rocks(db, &instance, false);
        close_rocks(&instance);
    }
    rc = open_rocks(db, &instance, true, err);
    if (rc == DOM_OK) {
        swap_rocks(db, &instance, true);
        close_rocks(&instance);
    }
    return rc;
}

enum dom_code dom_db_check_folder(const struct dom_db *db, struct dom_error *err)
{
    struct stat now;

    return dom_db_files_folder(&db->files, db->path, &now, err);
}

enum dom_code dom_db_check_files(struct dom_db *db, bool thorough, struct dom_error *err)
{
    bool changed = false;

    enum dom_code rc = dom_db_files_look(&db->files, db->path, &changed, err);
    if (rc == DOM_OK && (changed || thorough)) {
        rc = dom_db_files_check(db->rocks, db->path, err);
        if (rc == DOM_OK) {
            dom_db_files_seen(&db->files);
        }
    }
    return rc;
}

bool dom_db_enter(struct dom_db *db)
{
    DOM_ASSERT(pthread_rwlock_rdlock(&db->lock) == 0);
    if (db->rocks == NULL) {
        DOM_ASSERT(pthread_rwlock_unlock(&db->lock) == 0);
        return false;
    }
    return true;
}

void dom_db_leave(struct dom_db *db)
{
    DOM_ASSERT(pthread_rwlock_unlock(&db->lock) == 0);
}

enum dom_code dom_db_get(struct dom_db *db, enum dom_db_family family, struct dom_slice key,
                         struct dom_db_value *value, struct dom_error *err)
{
    char *text = NULL;

    *value = (struct dom_db_value){0};
    if (db->rocks == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: not open", db->path);
    }
    value->pin = rocksdb_get_pinned_cf(db->rocks, db->read, db->families[family],
                                       (const char *)key.data, key.len, &text);
    if (text != NULL) {
        return dom_rocksdb_error(text, "read", err);
    }
    if (value->pin == NULL) {
        return DOM_NOT_FOUND;
    }
    size_t len = 0;
    const char *bytes = rocksdb_pinnableslice_value(value->pin, &len);
    value->bytes = dom_slice_of(bytes, len);
    return DOM_OK;
}

void dom_db_value_release(struct dom_db_value *value)
{
    if (value->pin != NULL) {
        rocksdb_pinnableslice_destroy(value->pin);
    }
    *value = (struct dom_db_value){0};
}

rocksdb_iterator_t *dom_db_iter(struct dom_db *db, enum dom_db_family family)
{
    return rocksdb_create_iterator_cf(db->rocks, db->scan, db->families[family]);
}

struct dom_slice dom_db_iter_key(const rocksdb_iterator_t *iter)
{
    size_t len = 0;
    const char *bytes = rocksdb_iter_key(iter, &len);

    return dom_slice_of(bytes, len);
}

struct dom_slice dom_db_iter_value(const rocksdb_iterator_t *iter)
{
    size_t len = 0;
    const char *bytes = rocksdb_iter_value(iter, &len);

    return dom_slice_of(bytes, len);
}

enum dom_code dom_db_iter_check(const rocksdb_iterator_t *iter, struct dom_error *err)
{
    char *text = NULL;

    rocksdb_iter_get_error(iter, &text);
    return dom_rocksdb_error(text, "scan", err);
}

void dom_db_batch_put(struct dom_db *db, rocksdb_writebatch_t *batch, enum dom_db_family family,
                      struct dom_slice key, struct dom_slice value)
{
    rocksdb_writebatch_put_cf(batch, db->families[family], (const char *)key.data, key.len,
                              (const char *)value.data, value.len);
}

void dom_db_batch_delete(struct dom_db *db, rocksdb_writebatch_t *batch, enum dom_db_family family,
                         struct dom_slice key)
{
    rocksdb_writebatch_delete_cf(batch, db->families[family], (const char *)key.data, key.len);
}

void dom_db_batch_delete_range(struct dom_db *db, rocksdb_writebatch_t *batch,
                               enum dom_db_family family, struct dom_slice from,
                               struct dom_slice to)
{
    rocksdb_writebatch_delete_range_cf(batch, db->families[family], (const char *)from.data,
                                       from.len, (const char *)to.data, to.len);
}

struct dom_slice dom_db_batch_bytes(rocksdb_writebatch_t *batch)
{
    size_t len = 0;
    const char *bytes = rocksdb_writebatch_data(batch, &len);

    return dom_slice_of(bytes, len);
}

enum dom_code dom_db_write(struct dom_db *db, rocksdb_writebatch_t *batch, bool sync,
                           struct dom_error *err)
{
    char *text = NULL;

    if (db->rocks == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: not open", db->path);
    }
    rocksdb_write(db->rocks, sync ? db->write_sync : db->write, batch, &text);
    return dom_rocksdb_error(text, "write", err);
}

enum dom_code dom_db_sync(struct dom_db *db, struct dom_error *err)
{
    char *text = NULL;

    rocksdb_flush_wal(db->rocks, 1, &text);
    return dom_rocksdb_error(text, "sync", err);
}

enum dom_code dom_db_flush(struct dom_db *db, struct dom_error *err)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *text = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    for (int i = 0; i < DOM_DB_FAMILY_COUNT && text == NULL; i++) {
        rocksdb_flush_cf(db->rocks, options, db->families[i], &text);
    }
    rocksdb_flushoptions_destroy(options);
    return dom_rocksdb_error(text, "flush", err);
}

enum dom_code dom_db_compact(struct dom_db *db, enum dom_db_family family, struct dom_slice from,
                             struct dom_slice to, struct dom_error *err)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();

    (void)err; /* RocksDB's C API gives no error here; the files tell (see the purge tests) */
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, 2 /* force */);
    rocksdb_compact_range_cf_opt(db->rocks, db->families[family], options,
                                 from.len == 0 ? NULL : (const char *)from.data, from.len,
                                 to.len == 0 ? NULL : (const char *)to.data, to.len);
    rocksdb_compactoptions_destroy(options);
    return DOM_OK;
}

/* With manifests of one byte at most (set_database) every change of the set of tables begins a new
 * one, with the set as it was before: so one small change more. */
enum dom_code dom_db_renew_manifest(struct dom_db *db, struct dom_error *err)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char *text = NULL;

    dom_db_batch_put(db, batch, DOM_DB_DEFAULT, DOM_SLICE_LIT("renewed"), DOM_SLICE_LIT(""));
    enum dom_code rc = dom_db_write(db, batch, false, err);
    if (rc == DOM_OK) {
        rocksdb_flushoptions_set_wait(options, 1);
        rocksdb_flush_cf(db->rocks, options, db->families[DOM_DB_DEFAULT], &text);
        rc = dom_rocksdb_error(text, "flush", err);
    }
    rocksdb_writebatch_destroy(batch);
    rocksdb_flushoptions_destroy(options);
    return rc;
}

uint64_t dom_db_num_rows(struct dom_db *db)
{
    uint64_t count = 0;

    if (rocksdb_property_int_cf(db->rocks, db->families[DOM_DB_ROWS], "rocksdb.estimate-num-keys",
                                &count) != 0) {
        return 0;
    }
    return count;
}
