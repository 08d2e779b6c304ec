#include "store/region/census.h"

#include <limits.h>
#include <stdio.h>

#include "store/region/db.h"
#include "store/region/row.h"

#define CACHE_BYTES (8U << 20)

void dom_census_kind_tag(uint8_t out[4], struct dom_slice kind)
{
    dom_row_tag(out, kind);
}

uint32_t dom_census_name_hash(struct dom_slice name)
{
    return dom_row_name_hash(name);
}

void dom_census_field(const struct dom_census_row *row, size_t i, uint32_t *name_hash,
                      uint32_t *value_bytes)
{
    dom_row_label_field(row->impl, i, name_hash, value_bytes);
}

static enum dom_code read_row(struct dom_census_row *row, struct dom_row_label *label,
                              struct dom_slice key, struct dom_slice value, struct dom_error *err)
{
    struct dom_row_header header;

    memset(row, 0, sizeof(*row));
    enum dom_code rc = dom_row_header_parse(&header, value, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (key.len < sizeof(row->kind_tag)) {
        return DOM_FAIL(err, DOM_CORRUPT, "row key of %zu bytes", key.len);
    }
    memcpy(row->kind_tag, key.data, sizeof(row->kind_tag));
    row->home = (header.flags & DOM_ROW_HOME) != 0;
    row->bytes = value.len;
    row->labelled = (header.flags & DOM_ROW_LABELLED) != 0;
    if (row->labelled && !dom_row_label_parse(label, header.label)) {
        return DOM_FAIL(err, DOM_CORRUPT, "row with a label of %zu bytes", header.label.len);
    }
    if (row->labelled) {
        memcpy(row->home_country, label->home, sizeof(row->home_country));
        row->num_fields = label->num_fields;
        row->impl = label;
    }
    return DOM_OK;
}

static enum dom_code scan_rows(struct dom_db *db,
                               void (*each)(void *arg, const struct dom_census_row *row), void *arg,
                               struct dom_error *err)
{
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_ROWS);
    enum dom_code rc = DOM_OK;

    for (rocksdb_iter_seek_to_first(iter); rc == DOM_OK && rocksdb_iter_valid(iter) != 0;
         rocksdb_iter_next(iter)) {
        struct dom_census_row row;
        struct dom_row_label label = {0};
        rc = read_row(&row, &label, dom_db_iter_key(iter), dom_db_iter_value(iter), err);
        if (rc == DOM_OK) {
            each(arg, &row);
        }
    }
    rc = rc == DOM_OK ? dom_db_iter_check(iter, err) : rc;
    rocksdb_iter_destroy(iter);
    return rc;
}

enum dom_code dom_census_scan(const char *region_dir,
                              void (*each)(void *arg, const struct dom_census_row *row), void *arg,
                              struct dom_error *err)
{
    struct dom_db_options options = {.block_cache_bytes = CACHE_BYTES};
    struct dom_db_env *env = NULL;
    struct dom_db *db = NULL;
    char path[PATH_MAX];

    int len = snprintf(path, sizeof(path), "%s/db", region_dir);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "%s: path too long", region_dir);
    }
    enum dom_code rc = dom_db_env_new(&env, &options, err);
    if (rc == DOM_OK) {
        rc = dom_db_open_beside(&db, env, path, err);
    }
    if (rc == DOM_OK && dom_db_enter(db)) {
        rc = scan_rows(db, each, arg, err);
        dom_db_leave(db);
    }
    dom_db_close(db);
    dom_db_env_destroy(env);
    return rc == DOM_OK ? DOM_OK : dom_error_prefix(err, "%s", path);
}
