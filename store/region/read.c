/* Reading rows on the caller's thread. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "store/region/region_internal.h"
#include "store/region/subject.h"

static enum dom_code not_open(const struct dom_region *region, struct dom_error *err)
{
    return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
}

static void fill_row(struct dom_region_row *out, const struct dom_row_header *header,
                     const struct dom_row_body *body)
{
    out->row.kind = body->kind;
    out->row.id = body->id;
    memcpy(out->row.home, body->home, sizeof(out->row.home));
    out->row.version = header->version;
    out->row.create_time_ms = body->create_time_ms;
    out->row.update_time_ms = body->update_time_ms;
    out->row.is_home = (header->flags & DOM_ROW_HOME) != 0;
    out->row.complete = (header->flags & DOM_ROW_COMPLETE) != 0;
    out->row.fields = body->fields;
    out->row.num_fields = body->num_fields;
    out->copies = body->copies;
    out->lies = body->lies;
    out->moving = (header->flags & DOM_ROW_MOVING) != 0;
    out->moves_to = DOM_STORE_NO_REGION;
}

enum dom_code dom_region_open_row(struct dom_region *region, struct dom_row_cipher *cipher,
                                  struct dom_slice key, struct dom_slice value,
                                  struct dom_arena *arena, struct dom_region_row *out,
                                  struct dom_error *err)
{
    struct dom_row_place place = {
        .keys = region->keys, .region = dom_slice_str(region->name), .key = key};
    struct dom_row_header header;
    struct dom_row_body body;
    struct dom_slice bytes;

    enum dom_code rc = dom_row_open(cipher, &place, value, region->host->options.test_plain, arena,
                                    &header, &bytes, err);
    if (rc == DOM_OK) {
        rc = dom_row_body_decode(&body, header.format, bytes, arena, err);
    }
    if (rc == DOM_OK) {
        fill_row(out, &header, &body);
        if (out->moving && body.moves_to < DOM_PEERS_MAX) {
            out->moves_to = dom_region_peer(region, body.moves_to);
        }
    } else {
        (void)dom_error_prefix(err, "region %s", region->name);
    }
    return rc;
}

enum dom_code dom_region_get_key(struct dom_region *region, struct dom_row_cipher *cipher,
                                 struct dom_slice key, struct dom_arena *arena,
                                 struct dom_region_row *out, struct dom_error *err)
{
    struct dom_db_value value;

    *out = (struct dom_region_row){0};
    if (!dom_db_enter(region->db)) {
        return not_open(region, err);
    }
    enum dom_code rc = dom_db_get(region->db, DOM_DB_ROWS, key, &value, err);
    if (rc == DOM_OK) {
        rc = dom_region_open_row(region, cipher, key, value.bytes, arena, out, err);
    }
    dom_db_value_release(&value);
    dom_db_leave(region->db);
    return rc;
}

static bool record_name_valid(struct dom_slice kind, struct dom_slice id)
{
    return kind.len > 0 && kind.len <= DOM_ROW_KIND_BYTES_MAX && id.len > 0 &&
           id.len <= DOM_ID_BYTES_MAX;
}

enum dom_code dom_region_get(struct dom_region *region, struct dom_row_cipher *cipher,
                             struct dom_slice kind, struct dom_slice id, struct dom_arena *arena,
                             struct dom_region_row *out, struct dom_error *err)
{
    struct dom_row_key key;

    *out = (struct dom_region_row){0};
    if (!record_name_valid(kind, id)) {
        return DOM_NOT_FOUND; /* what could never be written is not there */
    }
    dom_row_key_make(&key, dom_keyring_blind(region->keys), region->host->options.test_plain, kind,
                     id);
    enum dom_code rc = dom_region_get_key(region, cipher, dom_row_key_slice(&key), arena, out, err);
    if (rc == DOM_OK && (!dom_slice_eq(out->row.kind, kind) || !dom_slice_eq(out->row.id, id))) {
        *out = (struct dom_region_row){0};
        rc = DOM_FAIL(err, DOM_CORRUPT, "region %s: the row holds another record", region->name);
    }
    return rc;
}

static enum dom_code peek_floor(struct dom_region *region, struct dom_slice key, uint64_t *floorp,
                                struct dom_error *err)
{
    struct dom_tombstone stone;
    struct dom_db_value value;

    *floorp = 0;
    enum dom_code rc = dom_db_get(region->db, DOM_DB_LOCATOR, key, &value, err);
    if (rc == DOM_NOT_FOUND) {
        return DOM_OK;
    }
    if (rc == DOM_OK && !dom_tombstone_parse(&stone, value.bytes)) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "region %s: damaged tombstone", region->name);
    } else if (rc == DOM_OK) {
        *floorp = stone.version;
    }
    dom_db_value_release(&value);
    return rc;
}

enum dom_code dom_region_peek(struct dom_region *region, struct dom_slice kind, struct dom_slice id,
                              struct dom_region_peek *out, struct dom_error *err)
{
    struct dom_row_key key;
    struct dom_row_header header;
    struct dom_db_value value;

    *out = (struct dom_region_peek){0};
    if (!record_name_valid(kind, id)) {
        return DOM_OK;
    }
    dom_row_key_make(&key, dom_keyring_blind(region->keys), region->host->options.test_plain, kind,
                     id);
    if (!dom_db_enter(region->db)) {
        return not_open(region, err);
    }
    enum dom_code rc = dom_db_get(region->db, DOM_DB_ROWS, dom_row_key_slice(&key), &value, err);
    if (rc == DOM_NOT_FOUND) {
        rc = peek_floor(region, dom_row_key_slice(&key), &out->floor, err);
    } else if (rc == DOM_OK) {
        rc = dom_row_header_parse(&header, value.bytes, err);
        out->live = rc == DOM_OK;
        out->home = (header.flags & DOM_ROW_HOME) != 0;
        out->moving = (header.flags & DOM_ROW_MOVING) != 0;
        out->version = header.version;
    }
    dom_db_value_release(&value);
    dom_db_leave(region->db);
    return rc;
}

void dom_region_subject_hash(struct dom_region *region, struct dom_slice kind, struct dom_slice id,
                             char *out)
{
    uint32_t epoch = 0;
    const struct dom_hmac_key *key = dom_keyring_subject(region->keys, &epoch);

    dom_subject_hash(out, key, epoch, kind, id);
}

_Static_assert(DOM_STORE_SUBJECT_HASHES_MAX >= DOM_KEY_EPOCHS_MAX, "a hash for each epoch");
_Static_assert(DOM_SUBJECT_HASH_SIZE == 64, "as in store.h");

size_t dom_region_subject_hashes(struct dom_region *region, struct dom_slice kind,
                                 struct dom_slice id, char (*out)[64])
{
    size_t num = dom_keyring_num_subjects(region->keys);

    for (size_t i = 0; i < num; i++) {
        uint32_t epoch = 0;
        const struct dom_hmac_key *key =
            dom_keyring_subject_at(region->keys, num - 1 - i, &epoch);
        dom_subject_hash(out[i], key, epoch, kind, id);
    }
    return num;
}

enum dom_code dom_region_limit_seen(struct dom_region *region, struct dom_slice prefix,
                                    struct dom_slice key, uint64_t *countp, bool *seenp,
                                    struct dom_error *err)
{
    uint8_t bytes[DOM_LIMIT_KEY_BYTES_MAX + 1];
    struct dom_db_value value;

    if (countp != NULL) {
        *countp = 0;
    }
    *seenp = false;
    if (prefix.len > DOM_LIMIT_KEY_BYTES_MAX || key.len > DOM_LIMIT_KEY_BYTES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "limit key longer than %u bytes",
                        DOM_LIMIT_KEY_BYTES_MAX);
    }
    if (!dom_db_enter(region->db)) {
        return not_open(region, err);
    }
    bytes[0] = 'l';
    memcpy(bytes + 1, key.data, key.len);
    enum dom_code rc =
        dom_db_get(region->db, DOM_DB_INDEX, dom_slice_of(bytes, key.len + 1), &value, err);
    *seenp = rc == DOM_OK;
    dom_db_value_release(&value);
    if (countp == NULL) {
        rc = rc == DOM_NOT_FOUND ? DOM_OK : rc;
    } else if (rc == DOM_OK || rc == DOM_NOT_FOUND) {
        rocksdb_iterator_t *iter = dom_db_iter(region->db, DOM_DB_INDEX);
        memcpy(bytes + 1, prefix.data, prefix.len);
        rocksdb_iter_seek(iter, (const char *)bytes, prefix.len + 1);
        while (rocksdb_iter_valid(iter)) {
            struct dom_slice at = dom_db_iter_key(iter);
            if (at.len < prefix.len + 1 || memcmp(at.data, bytes, prefix.len + 1) != 0) {
                break;
            }
            (*countp)++;
            rocksdb_iter_next(iter);
        }
        rc = dom_db_iter_check(iter, err);
        rocksdb_iter_destroy(iter);
    }
    dom_db_leave(region->db);
    return rc;
}

static enum dom_code read_seq(struct dom_region *region, const char *what, const char *other,
                              uint64_t *seqp, struct dom_error *err)
{
    char key[8 + DOM_POLICY_NAME_BYTES_MAX];
    struct dom_db_value value;

    *seqp = 0;
    (void)snprintf(key, sizeof(key), "%s:%s", what, other);
    if (!dom_db_enter(region->db)) {
        return not_open(region, err);
    }
    enum dom_code rc = dom_db_get(region->db, DOM_DB_META, dom_slice_str(key), &value, err);
    if (rc == DOM_NOT_FOUND) {
        rc = DOM_OK;
    } else if (rc == DOM_OK && value.bytes.len == 8) {
        *seqp = dom_get_u64be(value.bytes.data);
    } else if (rc == DOM_OK) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "region %s: damaged watermark", region->name);
    }
    dom_db_value_release(&value);
    dom_db_leave(region->db);
    return rc;
}

enum dom_code dom_region_watermark(struct dom_region *region, const char *home, uint64_t *seqp,
                                   struct dom_error *err)
{
    return read_seq(region, "mark", home, seqp, err);
}

enum dom_code dom_region_sent(struct dom_region *region, const char *replica, uint64_t *seqp,
                              struct dom_error *err)
{
    return read_seq(region, "sent", replica, seqp, err);
}

enum dom_code dom_region_open_identity(struct dom_region *region, struct dom_row_cipher *cipher,
                                       struct dom_slice sealed, struct dom_slice key,
                                       struct dom_arena *arena, struct dom_slice *kind,
                                       struct dom_slice *id, struct dom_error *err)
{
    struct dom_row_place place = {
        .keys = region->keys, .region = dom_slice_str(region->name), .key = key};
    struct dom_row_header header;
    struct dom_slice bytes;

    enum dom_code rc = dom_row_open(cipher, &place, sealed, region->host->options.test_plain, arena,
                                    &header, &bytes, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (bytes.len < 2 || (size_t)bytes.data[0] + 1 >= bytes.len) {
        return DOM_FAIL(err, DOM_CORRUPT, "outbox entry without an identity");
    }
    *kind = dom_slice_of(bytes.data + 1, bytes.data[0]);
    *id = dom_slice_of(bytes.data + 1 + kind->len, bytes.len - 1 - kind->len);
    return DOM_OK;
}
