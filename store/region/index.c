/* The `index` family: results of requests by their id ('r'), and counted limit keys ('l'). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/region/region_internal.h"

#define MS_PER_DAY        INT64_C(86400000)
#define REQUEST_KEY_SIZE  (1U + 4U + 32U)
#define REQUEST_FORMAT    2U /* written; 1 is read too: it does not know the home */
#define REQUEST_VALUE_MIN (1U + 8U + 8U + 16U + 2U)
#define RECEIPT_SIZE      (8U + 32U)

/* Under the newest epoch; a request made before the last rotation is found under an older one. */
static const struct dom_hmac_key *subject_key(const struct dom_region *region)
{
    uint32_t epoch = 0;

    return dom_keyring_subject(region->keys, &epoch);
}

static void request_digest(const struct dom_hmac_key *key, struct dom_slice service,
                           struct dom_slice request_id, uint8_t *out)
{
    struct dom_slice parts[] = {DOM_SLICE_LIT("request\0"), service, dom_slice_of("", 1),
                                request_id};

    dom_hmac_sha256_parts(out, key, parts, DOM_ARRAY_LEN(parts));
}

/* Keyed, as contents of low entropy could be guessed from a plain hash. */
static void content_digest(const struct dom_hmac_key *key, const struct dom_store_op *op,
                           uint8_t *out)
{
    struct dom_slice parts[5 + 2 * DOM_FIELDS_MAX];
    uint8_t lengths[16 + 8 * DOM_FIELDS_MAX];
    uint8_t digest[DOM_SHA256_SIZE];
    size_t used = 16;
    size_t count = 0;

    memset(lengths, 0, 16);
    lengths[0] = (uint8_t)op->type;
    lengths[1] = op->must_not_exist;
    memcpy(lengths + 2, op->home, 2);
    dom_put_u32be(lengths + 4, (uint32_t)op->kind.len);
    dom_put_u64be(lengths + 8, op->if_version);
    for (size_t i = 0; i < op->num_fields; i++) {
        dom_put_u32be(lengths + used, (uint32_t)op->fields[i].name.len);
        dom_put_u32be(lengths + used + 4, (uint32_t)op->fields[i].value.len);
        used += 8;
    }
    parts[count++] = DOM_SLICE_LIT("content\0");
    parts[count++] = dom_slice_of(lengths, used);
    parts[count++] = op->kind;
    parts[count++] = op->id;
    for (size_t i = 0; i < op->num_fields; i++) {
        parts[count++] = op->fields[i].name;
        parts[count++] = op->fields[i].value;
    }
    dom_hmac_sha256_parts(digest, key, parts, count);
    memcpy(out, digest, 16);
}

static enum dom_code wrong_content(struct dom_error *err)
{
    return DOM_FAIL(err, DOM_INVALID,
                    "request_id was used before with another content; use a new one");
}

static void request_key(uint8_t *key, int64_t day, const uint8_t *digest)
{
    key[0] = 'r';
    dom_put_u32be(key + 1, (uint32_t)day);
    memcpy(key + 5, digest, 32);
}

/* What is kept of an answer. */
struct answered {
    int64_t wall_ms;
    uint64_t version;
    const uint8_t *content; /* 16 bytes */
    char home[3];           /* "": not known */
    size_t num_receipts;
    const uint8_t *receipts;
};

static enum dom_code parse_answered(struct answered *out, const struct dom_region *region,
                                    struct dom_slice value, struct dom_error *err)
{
    size_t home = value.len > 0 && value.data[0] == REQUEST_FORMAT ? 2 : 0;

    *out = (struct answered){0};
    if (value.len < REQUEST_VALUE_MIN + home || value.data[0] == 0 ||
        value.data[0] > REQUEST_FORMAT) {
        return DOM_FAIL(err, DOM_CORRUPT, "region %s: damaged request id entry", region->name);
    }
    out->wall_ms = (int64_t)dom_get_u64be(value.data + 1);
    out->version = dom_get_u64be(value.data + 9);
    out->content = value.data + 17;
    memcpy(out->home, value.data + 33, home);
    out->num_receipts = dom_get_u16be(value.data + 33 + home);
    out->receipts = value.data + REQUEST_VALUE_MIN + home;
    return value.len == REQUEST_VALUE_MIN + home + out->num_receipts * RECEIPT_SIZE
               ? DOM_OK
               : DOM_FAIL(err, DOM_CORRUPT, "region %s: damaged request id entry", region->name);
}

static bool in_time(const struct answered *answered, int64_t now_ms)
{
    return now_ms - answered->wall_ms <= (int64_t)DOM_REQUEST_ID_TTL_SECONDS * 1000;
}

/* *foundp: the operation is answered. */
static enum dom_code use_stored(const struct dom_region *region, struct dom_store_op *op,
                                struct dom_slice value, const uint8_t *content, bool *foundp,
                                struct dom_error *err)
{
    struct answered answered;

    enum dom_code rc = parse_answered(&answered, region, value, err);
    if (rc != DOM_OK || !in_time(&answered, region->group.wall_ms)) {
        return rc;
    }
    if (memcmp(answered.content, content, 16) != 0) {
        return wrong_content(err);
    }
    op->version = answered.version;
    op->replayed = true;
    for (size_t i = 0; i < op->num_entries; i++) {
        const uint8_t *at = answered.receipts + i * RECEIPT_SIZE;
        op->receipts[i] = (struct dom_store_receipt){0};
        if (i < answered.num_receipts) {
            op->receipts[i].index = dom_get_u64be(at);
            memcpy(op->receipts[i].leaf_hash, at + 8, 32);
        }
    }
    *foundp = true;
    return DOM_OK;
}

/* The slot of a digest in the group's table; ->op is NULL when it is not there yet. */
static struct dom_request_state *slot_of(struct dom_group *group, const uint8_t *digest)
{
    size_t at = (size_t)(dom_get_u64be(digest) % DOM_OVERLAY_SLOTS);

    while (group->requests[at].op != NULL && memcmp(group->requests[at].digest, digest, 32) != 0) {
        at = (at + 1) % DOM_OVERLAY_SLOTS;
    }
    return &group->requests[at];
}

static enum dom_code use_earlier(const struct dom_request_state *state, struct dom_store_op *op,
                                 const uint8_t *content, bool *foundp, struct dom_error *err)
{
    if (memcmp(state->content, content, 16) != 0) {
        return wrong_content(err);
    }
    op->version = state->op->version;
    op->replayed = true;
    for (size_t i = 0; i < op->num_entries; i++) {
        op->receipts[i] =
            i < state->op->num_entries ? state->op->receipts[i] : (struct dom_store_receipt){0};
    }
    *foundp = true;
    return DOM_OK;
}

/* In the group, then among those of yesterday and today, under one key. */
static enum dom_code find_under(struct dom_region *region, const struct dom_hmac_key *key,
                                struct dom_store_op *op, bool *foundp, struct dom_error *err)
{
    uint8_t digest[32];
    uint8_t content[16];
    enum dom_code rc = DOM_NOT_FOUND;

    request_digest(key, op->service, op->request_id, digest);
    content_digest(key, op, content);
    const struct dom_request_state *state = slot_of(&region->group, digest);
    if (state->op != NULL) {
        return use_earlier(state, op, content, foundp, err);
    }
    int64_t today = region->group.wall_ms / MS_PER_DAY;
    for (int64_t day = today; day >= today - 1 && rc == DOM_NOT_FOUND; day--) {
        uint8_t at[REQUEST_KEY_SIZE];
        struct dom_db_value value;
        request_key(at, day, digest);
        rc = dom_db_get(region->db, DOM_DB_INDEX, dom_slice_of(at, sizeof(at)), &value, err);
        if (rc == DOM_OK) {
            rc = use_stored(region, op, value.bytes, content, foundp, err);
        }
        dom_db_value_release(&value);
    }
    return rc;
}

enum dom_code dom_index_find_request(struct dom_region *region, struct dom_store_op *op,
                                     bool *foundp, struct dom_error *err)
{
    enum dom_code rc = DOM_NOT_FOUND;

    *foundp = false;
    if (op->request_id.len == 0) {
        return DOM_OK;
    }
    for (size_t i = dom_keyring_num_subjects(region->keys); i > 0 && rc == DOM_NOT_FOUND; i--) {
        uint32_t epoch = 0;
        rc = find_under(region, dom_keyring_subject_at(region->keys, i - 1, &epoch), op, foundp,
                        err);
    }
    return rc == DOM_NOT_FOUND ? DOM_OK : rc;
}

void dom_index_stage_request(struct dom_region *region, const struct dom_store_op *op)
{
    struct dom_group *group = &region->group;
    struct dom_buffer value = {0};
    uint8_t key[REQUEST_KEY_SIZE];
    uint8_t digest[32];

    if (op->request_id.len == 0) {
        return;
    }
    request_digest(subject_key(region), op->service, op->request_id, digest);
    struct dom_request_state *state = slot_of(group, digest);
    DOM_ASSERT(state->op == NULL);
    memcpy(state->digest, digest, sizeof(digest));
    content_digest(subject_key(region), op, state->content);
    state->op = op;
    group->used_requests[group->num_used_requests++] = (uint16_t)(state - group->requests);
    dom_buffer_append_char(&value, REQUEST_FORMAT);
    dom_buffer_append_u64be(&value, (uint64_t)group->wall_ms);
    dom_buffer_append_u64be(&value, op->version);
    dom_buffer_append(&value, state->content, sizeof(state->content));
    dom_buffer_append(&value, op->home, 2);
    dom_buffer_append_u16be(&value, (uint16_t)op->num_entries);
    for (size_t i = 0; i < op->num_entries; i++) {
        dom_buffer_append_u64be(&value, op->receipts[i].index);
        dom_buffer_append(&value, op->receipts[i].leaf_hash, 32);
    }
    DOM_ASSERT(!value.failed);
    request_key(key, group->wall_ms / MS_PER_DAY, digest);
    dom_db_batch_put(region->db, group->batch, DOM_DB_INDEX, dom_slice_of(key, sizeof(key)),
                     dom_buffer_slice(&value));
    dom_buffer_cleanup(&value);
}

/* What one key's digest finds. The caller is inside dom_db_enter. */
static enum dom_code find_home(struct dom_region *region, const uint8_t *digest, int64_t now_ms,
                               char home[3], struct dom_error *err)
{
    enum dom_code rc = DOM_NOT_FOUND;

    for (int64_t day = now_ms / MS_PER_DAY; day >= now_ms / MS_PER_DAY - 1 && rc == DOM_NOT_FOUND;
         day--) {
        uint8_t key[REQUEST_KEY_SIZE];
        struct dom_db_value value;
        struct answered answered;
        request_key(key, day, digest);
        rc = dom_db_get(region->db, DOM_DB_INDEX, dom_slice_of(key, sizeof(key)), &value, err);
        if (rc == DOM_OK) {
            rc = parse_answered(&answered, region, value.bytes, err);
        }
        if (rc == DOM_OK) {
            rc = in_time(&answered, now_ms) ? DOM_OK : DOM_NOT_FOUND;
            memcpy(home, answered.home, 3);
        }
        dom_db_value_release(&value);
    }
    return rc;
}

enum dom_code dom_region_find_request(struct dom_region *region, struct dom_slice service,
                                      struct dom_slice request_id, char home[3],
                                      struct dom_error *err)
{
    int64_t now_ms = dom_clock_wall_ms(region->host->options.clock);
    enum dom_code rc = DOM_NOT_FOUND;

    home[0] = '\0';
    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    for (size_t i = dom_keyring_num_subjects(region->keys); i > 0 && rc == DOM_NOT_FOUND; i--) {
        uint32_t epoch = 0;
        uint8_t digest[32];
        request_digest(dom_keyring_subject_at(region->keys, i - 1, &epoch), service, request_id,
                       digest);
        rc = find_home(region, digest, now_ms, home, err);
    }
    dom_db_leave(region->db);
    return rc;
}

void dom_index_stage_limits(struct dom_region *region, const struct dom_store_op *op)
{
    uint8_t key[DOM_LIMIT_KEY_BYTES_MAX + 1];

    key[0] = 'l';
    for (size_t i = 0; i < op->num_limit_keys; i++) {
        DOM_ASSERT(op->limit_keys[i].len <= DOM_LIMIT_KEY_BYTES_MAX);
        memcpy(key + 1, op->limit_keys[i].data, op->limit_keys[i].len);
        dom_db_batch_put(region->db, region->group.batch, DOM_DB_INDEX,
                         dom_slice_of(key, op->limit_keys[i].len + 1), dom_slice_of("", 0));
        region->group.num_limits++;
    }
}

enum dom_code dom_region_expire(struct dom_region *region, struct dom_error *err)
{
    int64_t today = dom_clock_wall_ms(region->host->options.clock) / MS_PER_DAY;
    uint8_t from[5] = {'r', 0, 0, 0, 0};
    uint8_t to[5] = {'r'};

    if (region->expired_day == today || today < 1 + DOM_CLOCK_SLACK_DAYS) {
        return DOM_OK;
    }
    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    /* Yesterday's may still be within their time. */
    dom_put_u32be(to + 1, (uint32_t)(today - 1 - DOM_CLOCK_SLACK_DAYS));
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    dom_db_batch_delete_range(region->db, batch, DOM_DB_INDEX, dom_slice_of(from, sizeof(from)),
                              dom_slice_of(to, sizeof(to)));
    enum dom_code rc = dom_db_write(region->db, batch, false, err);
    rocksdb_writebatch_destroy(batch);
    dom_db_leave(region->db);
    if (rc == DOM_OK) {
        region->expired_day = today;
    }
    return rc;
}
