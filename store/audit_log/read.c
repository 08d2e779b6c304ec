/* Entries, hashes and proofs out of the database. */
#include <string.h>

#include "base/assert.h"
#include "store/audit/bundle.h"
#include "store/audit_log/audit_log_internal.h"
#include "store/audit_log/run.h"

void dom_audit_log_tile_key(uint8_t *out, int level, uint64_t n)
{
    out[0] = (uint8_t)level;
    dom_put_u64be(out + 1, n);
}

enum dom_code dom_audit_log_meta(struct dom_audit_log *log, const char *name, uint64_t *valuep,
                                 struct dom_error *err)
{
    struct dom_db_value value;

    *valuep = 0;
    enum dom_code rc = dom_db_get(log->db, DOM_DB_META, dom_slice_str(name), &value, err);
    if (rc == DOM_NOT_FOUND) {
        return DOM_OK;
    }
    if (rc == DOM_OK && value.bytes.len != 8) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "log %s: meta %s is damaged", log->origin, name);
    } else if (rc == DOM_OK) {
        *valuep = dom_get_u64be(value.bytes.data);
    }
    dom_db_value_release(&value);
    return rc;
}

static enum dom_code read_hashes(void *impl, int level, uint64_t first, unsigned count,
                                 struct dom_hash *out, struct dom_error *err)
{
    struct dom_audit_log *log = impl;
    uint8_t key[DOM_AUDIT_LOG_TILE_KEY_SIZE];
    struct dom_db_value value;
    size_t at = (size_t)(first % DOM_TILE_WIDTH);

    dom_audit_log_tile_key(key, level, first / DOM_TILE_WIDTH);
    enum dom_code rc =
        dom_db_get(log->db, DOM_DB_TILES, dom_slice_of(key, sizeof(key)), &value, err);
    if (rc == DOM_NOT_FOUND || (rc == DOM_OK && value.bytes.len < (at + count) * DOM_HASH_SIZE)) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "log %s: tile %d/%llu lacks hashes", log->origin, level,
                      (unsigned long long)(first / DOM_TILE_WIDTH));
    } else if (rc == DOM_OK) {
        memcpy(out, value.bytes.data + at * DOM_HASH_SIZE, count * sizeof(*out));
    }
    dom_db_value_release(&value);
    return rc;
}

struct dom_hash_reader dom_audit_log_reader(struct dom_audit_log *log)
{
    struct dom_hash_reader reader = {.read = read_hashes, .impl = log};

    return reader;
}

enum dom_code dom_audit_log_run_count(struct dom_slice stored, unsigned *countp,
                                      struct dom_error *err)
{
    struct dom_buffer plain = {0};
    struct dom_bundle_iter iter;
    struct dom_slice run;
    bool done = false;

    enum dom_code rc = dom_run_unpack(stored, &plain, &run, err);
    dom_bundle_iter_init(&iter, run);
    while (rc == DOM_OK && !done) {
        struct dom_slice entry;
        rc = dom_bundle_next(&iter, &entry, &done, err);
    }
    *countp = iter.position;
    dom_buffer_cleanup(&plain);
    return rc;
}

static enum dom_code walk_run(struct dom_slice key, struct dom_slice value, uint64_t *atp,
                              uint64_t to,
                              bool (*each)(void *context, uint64_t index, struct dom_slice entry),
                              void *context, bool *stopp, struct dom_error *err)
{
    struct dom_bundle_iter run;
    struct dom_slice entry;
    bool done = false;

    uint64_t index = dom_get_u64be(key.data);
    if (index > *atp) {
        return DOM_FAIL(err, DOM_CORRUPT, "entry %llu is missing", (unsigned long long)*atp);
    }
    dom_bundle_iter_init(&run, value);
    while (*atp < to && !*stopp) {
        enum dom_code rc = dom_bundle_next(&run, &entry, &done, err);
        if (rc != DOM_OK || done) {
            return rc;
        }
        if (index++ == *atp) {
            (*atp)++;
            *stopp = !each(context, index - 1, entry);
        }
    }
    return DOM_OK;
}

enum dom_code dom_audit_log_walk(struct dom_audit_log *log, uint64_t from, uint64_t to,
                                 bool (*each)(void *context, uint64_t index,
                                              struct dom_slice entry),
                                 void *context, struct dom_error *err)
{
    struct dom_buffer plain = {0};
    uint8_t key[8];
    uint64_t at = from;
    bool stop = false;
    enum dom_code rc = DOM_OK;

    if (from >= to) {
        return DOM_OK;
    }
    rocksdb_iterator_t *iter = dom_db_iter(log->db, DOM_DB_AUDIT);
    dom_put_u64be(key, from);
    rocksdb_iter_seek_for_prev(iter, (const char *)key, sizeof(key));
    while (rc == DOM_OK && !stop && at < to && rocksdb_iter_valid(iter)) {
        struct dom_slice found = dom_db_iter_key(iter);
        struct dom_slice run;
        rc = found.len == 8 ? dom_run_unpack(dom_db_iter_value(iter), &plain, &run, err)
                            : DOM_FAIL(err, DOM_CORRUPT, "log %s: bad key", log->origin);
        if (rc == DOM_OK) {
            rc = walk_run(found, run, &at, to, each, context, &stop, err);
        }
        rocksdb_iter_next(iter);
    }
    if (rc == DOM_OK) {
        rc = dom_db_iter_check(iter, err);
    }
    if (rc == DOM_OK && !stop && at < to) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "log %s: entry %llu is missing", log->origin,
                      (unsigned long long)at);
    }
    rocksdb_iter_destroy(iter);
    dom_buffer_cleanup(&plain);
    return rc;
}

enum dom_code dom_audit_log_entries(struct dom_audit_log *log, uint64_t from, size_t entries_max,
                                    bool (*each)(void *context, uint64_t index,
                                                 struct dom_slice entry),
                                    void *context, struct dom_error *err)
{
    uint64_t size = dom_audit_log_size(log);

    from = from < dom_audit_log_first(log) ? dom_audit_log_first(log) : from;
    if (from >= size || entries_max == 0) {
        return DOM_OK;
    }
    uint64_t to = entries_max < size - from ? from + entries_max : size;
    if (!dom_db_enter(log->db)) {
        return DOM_FAIL(err, DOM_IO, "log %s: the database is not open", log->origin);
    }
    enum dom_code rc = dom_audit_log_walk(log, from, to, each, context, err);
    dom_db_leave(log->db);
    return rc;
}

struct leaf_check {
    struct dom_hash_reader reader;
    struct dom_error error;
    enum dom_code code;
    const char *origin;
};

static bool check_leaf(void *context, uint64_t index, struct dom_slice entry)
{
    struct leaf_check *check = context;
    struct dom_hash want;
    struct dom_hash got;

    dom_hash_leaf(&want, entry);
    check->code = check->reader.read(check->reader.impl, 0, index, 1, &got, &check->error);
    if (check->code == DOM_OK && !dom_hash_eq(&want, &got)) {
        check->code = DOM_FAIL(&check->error, DOM_TAMPERED,
                               "log %s: entry %llu is not the one that was signed", check->origin,
                               (unsigned long long)index);
    }
    return check->code == DOM_OK;
}

enum dom_code dom_audit_log_check_leaves(struct dom_audit_log *log, uint64_t from, uint64_t to,
                                         struct dom_error *err)
{
    struct leaf_check check = {.reader = dom_audit_log_reader(log), .origin = log->origin};

    enum dom_code rc = dom_audit_log_walk(log, from, to, check_leaf, &check, err);
    if (rc != DOM_OK) {
        return DOM_FAIL(err, DOM_TAMPERED, "%s", err == NULL ? "" : err->message);
    }
    return check.code == DOM_OK ? DOM_OK : DOM_FAIL(err, check.code, "%s", check.error.message);
}

static enum dom_code proof_size(struct dom_audit_log *log, uint64_t *sizep, struct dom_error *err)
{
    uint64_t newest = dom_audit_log_signed_size(log);

    if (*sizep == 0) {
        *sizep = newest;
    }
    if (*sizep > newest) {
        return DOM_FAIL(err, DOM_INVALID, "size %llu: the newest checkpoint has %llu entries",
                        (unsigned long long)*sizep, (unsigned long long)newest);
    }
    return DOM_OK;
}

static enum dom_code put_proof(const struct dom_proof *proof, struct dom_buffer *out,
                               struct dom_error *err)
{
    dom_buffer_append(out, proof->hashes, proof->num_hashes * sizeof(proof->hashes[0]));
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "proof: out of memory") : DOM_OK;
}

enum dom_code dom_audit_log_prove_inclusion(struct dom_audit_log *log, uint64_t index,
                                            uint64_t *sizep, uint8_t *leaf, struct dom_buffer *out,
                                            struct dom_error *err)
{
    struct dom_proof proof;
    struct dom_hash hash;

    enum dom_code rc = proof_size(log, sizep, err);
    if (rc == DOM_OK && index >= *sizep) {
        rc = DOM_FAIL(err, DOM_INVALID, "index %llu is not below size %llu",
                      (unsigned long long)index, (unsigned long long)*sizep);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    if (!dom_db_enter(log->db)) {
        return DOM_FAIL(err, DOM_IO, "log %s: the database is not open", log->origin);
    }
    struct dom_hash_reader reader = dom_audit_log_reader(log);
    rc = dom_prove_inclusion(&proof, &reader, index, *sizep, err);
    if (rc == DOM_OK) {
        rc = reader.read(reader.impl, 0, index, 1, &hash, err);
    }
    dom_db_leave(log->db);
    if (rc != DOM_OK) {
        return rc;
    }
    memcpy(leaf, hash.bytes, sizeof(hash.bytes));
    return put_proof(&proof, out, err);
}

enum dom_code dom_audit_log_prove_consistency(struct dom_audit_log *log, uint64_t old_size,
                                              uint64_t *new_sizep, struct dom_buffer *out,
                                              struct dom_error *err)
{
    struct dom_proof proof;

    enum dom_code rc = proof_size(log, new_sizep, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (!dom_db_enter(log->db)) {
        return DOM_FAIL(err, DOM_IO, "log %s: the database is not open", log->origin);
    }
    struct dom_hash_reader reader = dom_audit_log_reader(log);
    rc = dom_prove_consistency(&proof, &reader, old_size, *new_sizep, err);
    dom_db_leave(log->db);
    return rc != DOM_OK ? rc : put_proof(&proof, out, err);
}
