/* One operation into the group's batch: preconditions first, then puts that cannot fail. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "store/audit/bundle.h"
#include "store/region/region_internal.h"

/* The peers' and rows' bytes of one operation at most; what a single row needs, twice over. */
#define SCRATCH_BYTES_MAX (8U << 20)
#define ENTRIES_MAX       (DOM_REGIONS_MAX * 4) /* of one operation */
#define RUN_BYTES_MAX     (2U * DOM_COMMIT_GROUP_BYTES_MAX)

/* ---- state of a record -------------------------------------------------------------------- */

static enum dom_code read_floor(struct dom_region *region, struct dom_slice key, uint64_t *floorp,
                                struct dom_error *err)
{
    struct dom_tombstone stone;
    struct dom_db_value value;

    enum dom_code rc = dom_db_get(region->db, DOM_DB_LOCATOR, key, &value, err);
    if (rc == DOM_OK && dom_tombstone_parse(&stone, value.bytes)) {
        *floorp = stone.version;
    }
    dom_db_value_release(&value);
    return rc == DOM_NOT_FOUND ? DOM_OK : rc;
}

static enum dom_code read_state(struct dom_region *region, struct dom_row_state *state,
                                struct dom_error *err)
{
    struct dom_row_place place = {
        .keys = region->keys, .region = dom_slice_str(region->name), .key = state->key};
    uint8_t first[32U << 10];
    struct dom_arena scratch;
    struct dom_db_value value;
    struct dom_row_header header;
    struct dom_row_body body;
    struct dom_slice bytes;

    enum dom_code rc = dom_db_get(region->db, DOM_DB_ROWS, state->key, &value, err);
    if (rc == DOM_NOT_FOUND) {
        return read_floor(region, state->key, &state->floor, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    dom_arena_init(&scratch, first, sizeof(first), SCRATCH_BYTES_MAX);
    rc = dom_row_open(&region->open, &place, value.bytes, region->host->options.test_plain,
                      &scratch, &header, &bytes, err);
    if (rc == DOM_OK) {
        rc = dom_row_body_decode(&body, header.format, bytes, &scratch, err);
    }
    if (rc == DOM_OK) {
        state->live = true;
        state->home = (header.flags & DOM_ROW_HOME) != 0;
        state->moving = (header.flags & DOM_ROW_MOVING) != 0;
        state->complete = (header.flags & DOM_ROW_COMPLETE) != 0;
        state->version = header.version;
        state->create_time_ms = body.create_time_ms;
        state->update_time_ms = body.update_time_ms;
        state->copies = body.copies;
        state->num_fields = body.num_fields;
        state->names = dom_stage_names(body.fields, body.num_fields);
        memcpy(state->home_country, body.home, sizeof(state->home_country));
    }
    dom_arena_cleanup(&scratch);
    dom_db_value_release(&value);
    return rc;
}

static uint64_t hash_more(uint64_t hash, struct dom_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    }
    return hash ^ (hash >> 32);
}

static uint64_t hash_of(struct dom_slice key)
{
    return hash_more(UINT64_C(0xcbf29ce484222325), key);
}

uint64_t dom_stage_names(const struct dom_store_field *fields, size_t num_fields)
{
    uint64_t hash = num_fields;

    for (size_t i = 0; i < num_fields; i++) {
        hash = hash_more(hash * 31 + fields[i].name.len, fields[i].name);
    }
    return hash;
}

bool dom_stage_touches(const struct dom_region *region, struct dom_slice key)
{
    const struct dom_group *group = &region->group;
    size_t at = (size_t)(hash_of(key) % DOM_OVERLAY_SLOTS);

    while (group->rows[at].key.len > 0 && !dom_slice_eq(group->rows[at].key, key)) {
        at = (at + 1) % DOM_OVERLAY_SLOTS;
    }
    return group->rows[at].key.len > 0;
}

enum dom_code dom_stage_state(struct dom_region *region, struct dom_slice kind, struct dom_slice id,
                              struct dom_row_state **statep, struct dom_error *err)
{
    struct dom_group *group = &region->group;
    struct dom_row_key key;

    *statep = NULL;
    dom_row_key_make(&key, dom_keyring_blind(region->keys), region->host->options.test_plain, kind,
                     id);
    struct dom_slice bytes = dom_row_key_slice(&key);
    size_t at = (size_t)(hash_of(bytes) % DOM_OVERLAY_SLOTS);
    while (group->rows[at].key.len > 0) {
        if (dom_slice_eq(group->rows[at].key, bytes)) {
            *statep = &group->rows[at];
            return DOM_OK;
        }
        at = (at + 1) % DOM_OVERLAY_SLOTS;
    }
    char *copy = dom_arena_dup(&group->arena, bytes);
    if (copy == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "the group's memory is used up");
    }
    struct dom_row_state state = {.key = dom_slice_of(copy, bytes.len)};
    enum dom_code rc = read_state(region, &state, err);
    if (rc == DOM_OK) {
        DOM_ASSERT(group->num_used_rows < DOM_GROUP_ITEMS_MAX);
        group->rows[at] = state;
        group->used_rows[group->num_used_rows++] = (uint16_t)at;
        *statep = &group->rows[at];
    }
    return rc;
}

/* ---- puts --------------------------------------------------------------------------------- */

void dom_region_next_nonce(struct dom_region *region, uint8_t *out)
{
    dom_put_u32be(out, region->boot);
    dom_put_u64be(out + 4, ++region->nonce);
}

void dom_stage_header(struct dom_region *region, struct dom_row_header *header)
{
    if (region->host->options.test_plain) {
        header->flags |= DOM_ROW_PLAIN;
        return;
    }
    (void)dom_keyring_data(region->keys, &header->epoch);
    dom_region_next_nonce(region, header->nonce);
}

enum dom_code dom_stage_row(struct dom_region *region, const struct dom_row_state *state,
                            struct dom_row_header *header, const struct dom_row_body *body,
                            struct dom_error *err)
{
    struct dom_row_place place = {
        .keys = region->keys, .region = dom_slice_str(region->name), .key = state->key};
    uint8_t label[DOM_ROW_LABEL_BYTES_MAX];
    uint8_t first[16U << 10];
    struct dom_arena scratch;
    size_t size = dom_row_body_size(body);

    header->flags |= DOM_ROW_LABELLED;
    header->label = dom_slice_of(label, dom_row_label_encode(body, label));
    dom_arena_init(&scratch, first, sizeof(first), SCRATCH_BYTES_MAX);
    uint8_t *plain = dom_arena_alloc(&scratch, size);
    uint8_t *sealed =
        dom_arena_alloc(&scratch, dom_row_header_size(header) + size + DOM_ROW_SEAL_SIZE);
    if (plain == NULL || sealed == NULL) {
        dom_arena_cleanup(&scratch);
        return DOM_FAIL(err, DOM_RESOURCE, "row of %zu bytes: out of memory", size);
    }
    dom_stage_header(region, header);
    dom_row_body_encode(body, plain);
    size_t len = dom_row_seal(&region->seal, &place, header, dom_slice_of(plain, size), sealed);
    dom_db_batch_put(region->db, region->group.batch, DOM_DB_ROWS, state->key,
                     dom_slice_of(sealed, len));
    dom_arena_cleanup(&scratch);
    return DOM_OK;
}

void dom_stage_tombstone(struct dom_region *region, struct dom_slice key, uint64_t version,
                         uint64_t seq)
{
    struct dom_tombstone stone = {.version = version,
                                  .wall_ms = region->group.wall_ms,
                                  .seq = seq};
    uint8_t value[DOM_TOMBSTONE_SIZE];

    dom_tombstone_encode(&stone, value);
    dom_db_batch_delete(region->db, region->group.batch, DOM_DB_ROWS, key);
    dom_db_batch_put(region->db, region->group.batch, DOM_DB_LOCATOR, key,
                     dom_slice_of(value, sizeof(value)));
}

void dom_stage_forget(struct dom_region *region, struct dom_slice key)
{
    dom_db_batch_delete(region->db, region->group.batch, DOM_DB_ROWS, key);
}

enum dom_code dom_stage_entries(struct dom_region *region, const struct dom_slice *entries,
                                size_t num_entries, struct dom_store_receipt *receipts,
                                struct dom_error *err)
{
    struct dom_group *group = &region->group;
    size_t total = 0;

    for (size_t i = 0; i < num_entries; i++) {
        total += 2 + entries[i].len;
    }
    if (group->run.len + total > RUN_BYTES_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "the group's entries are over %u bytes", RUN_BYTES_MAX);
    }
    for (size_t i = 0; i < num_entries; i++) {
        struct dom_hash leaf;
        if (receipts != NULL) {
            receipts[i].index = dom_audit_log_next(region->log) + group->num_leaves;
            memcpy(leaf.bytes, receipts[i].leaf_hash, sizeof(leaf.bytes));
        } else {
            dom_hash_leaf(&leaf, entries[i]);
        }
        DOM_ASSERT(dom_bundle_append(&group->run, entries[i], err) == DOM_OK);
        dom_buffer_append(&group->leaves, leaf.bytes, sizeof(leaf.bytes));
        DOM_ASSERT(!group->leaves.failed);
        group->num_leaves++;
    }
    return DOM_OK;
}

/* ---- checks ------------------------------------------------------------------------------- */

void dom_stage_hash(struct dom_store_op *op)
{
    for (size_t i = 0; op->receipts != NULL && i < op->num_entries && i < ENTRIES_MAX; i++) {
        struct dom_hash leaf;
        if (op->entries[i].len <= DOM_ENTRY_BYTES_MAX) {
            dom_hash_leaf(&leaf, op->entries[i]);
            memcpy(op->receipts[i].leaf_hash, leaf.bytes, sizeof(leaf.bytes));
        }
    }
}

static enum dom_code check_entries(const struct dom_store_op *op, struct dom_error *err)
{
    if (op->no_border != (op->num_entries == 0)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "%zu audit entries, but no_border is %s: one of them is wrong",
                        op->num_entries, op->no_border ? "true" : "false");
    }
    if (op->num_entries > ENTRIES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "more than %u audit entries", ENTRIES_MAX);
    }
    if (op->num_entries > 0 && op->receipts == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "no room for receipts");
    }
    for (size_t i = 0; i < op->num_entries; i++) {
        if (op->entries[i].len == 0 || op->entries[i].len > DOM_ENTRY_BYTES_MAX) {
            return DOM_FAIL(err, DOM_TOO_LARGE, "audit entry of %zu bytes; 1 to %u allowed",
                            op->entries[i].len, DOM_ENTRY_BYTES_MAX);
        }
    }
    for (size_t i = 0; i < op->num_limit_keys; i++) {
        if (op->limit_keys[i].len == 0 || op->limit_keys[i].len > DOM_LIMIT_KEY_BYTES_MAX) {
            return DOM_FAIL(err, DOM_TOO_LARGE, "limit key of %zu bytes; 1 to %u allowed",
                            op->limit_keys[i].len, DOM_LIMIT_KEY_BYTES_MAX);
        }
    }
    return DOM_OK;
}

static enum dom_code check_fields(const struct dom_store_op *op, struct dom_error *err)
{
    size_t total = 0;

    if (op->num_fields > DOM_FIELDS_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "%zu fields; at most %u", op->num_fields,
                        DOM_FIELDS_MAX);
    }
    for (size_t i = 0; i < op->num_fields; i++) {
        const struct dom_store_field *field = &op->fields[i];
        if (field->name.len == 0 || field->name.len > DOM_FIELD_NAME_BYTES_MAX) {
            return DOM_FAIL(err, DOM_INVALID, "fields[%zu]: name of %zu bytes; 1 to %u allowed", i,
                            field->name.len, DOM_FIELD_NAME_BYTES_MAX);
        }
        if (field->value.len > DOM_RECORD_BYTES_MAX) {
            total = SIZE_MAX / 2;
            break;
        }
        total += field->name.len + field->value.len;
    }
    return total > DOM_RECORD_BYTES_MAX
               ? DOM_FAIL(err, DOM_TOO_LARGE, "record over %u bytes", DOM_RECORD_BYTES_MAX)
               : DOM_OK;
}

static enum dom_code check_record(const struct dom_region *region, const struct dom_store_op *op,
                                  struct dom_error *err)
{
    size_t count = atomic_load(&region->host->num_regions);
    dom_store_set known = count >= 64 ? ~(dom_store_set)0 : ((dom_store_set)1 << count) - 1;

    if (op->kind.len == 0 || op->kind.len > DOM_ROW_KIND_BYTES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "kind of %zu bytes; 1 to %u allowed", op->kind.len,
                        DOM_ROW_KIND_BYTES_MAX);
    }
    if (op->id.len == 0 || op->id.len > DOM_ID_BYTES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "id of %zu bytes; 1 to %u allowed", op->id.len,
                        DOM_ID_BYTES_MAX);
    }
    if (op->request_id.len > DOM_REQUEST_ID_BYTES_MAX || op->service.len > DOM_SERVICE_BYTES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "request_id of %zu bytes; at most %u allowed",
                        op->request_id.len, DOM_REQUEST_ID_BYTES_MAX);
    }
    if ((op->targets & ~known) != 0 || (op->sync & ~known) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "a target region is not open");
    }
    if (op->type == DOM_STORE_DELETE) {
        return DOM_OK;
    }
    if (op->home[0] < 'A' || op->home[0] > 'Z' || op->home[1] < 'A' || op->home[1] > 'Z' ||
        op->home[2] != '\0') {
        return DOM_FAIL(err, DOM_INVALID, "home is not a country of two capital letters");
    }
    if ((op->sync & ~op->targets) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "a region must be a target to be waited for");
    }
    return check_fields(op, err);
}

static enum dom_code moving(struct dom_error *err)
{
    return DOM_FAIL(err, DOM_UNAVAILABLE, "the record is on its way to another home region");
}

/* The record has no home row here. No other open region may have one; the version must grow over
 * whatever any of them remembers. Creators hold the claim until their group is through. */
static enum dom_code check_elsewhere(struct dom_region *region, const struct dom_store_op *op,
                                     struct dom_row_state *state, struct dom_error *err)
{
    size_t count = atomic_load(&region->host->num_regions);
    uint64_t floor = state->floor;

    if (op->type == DOM_STORE_PUT) {
        struct dom_claim *claim = dom_arena_alloc(&region->group.arena, sizeof(*claim));
        if (claim == NULL) {
            return DOM_FAIL(err, DOM_RESOURCE, "the group's memory is used up");
        }
        if (!dom_claims_take(region->host->claims, claim, op->kind, op->id, region->number,
                             &region->group.claims)) {
            return claim->holder == DOM_CLAIM_MOVER ? moving(err) : DOM_FAIL(err, DOM_HOME_MISMATCH,
                            "the record is being created with another home");
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct dom_region *other = atomic_load(&region->host->regions[i]);
        struct dom_region_peek peek;
        if (other == NULL || other == region) {
            continue;
        }
        enum dom_code rc = dom_region_peek(other, op->kind, op->id, &peek, err);
        if (rc == DOM_OK && peek.moving) {
            rc = moving(err);
        }
        if (rc != DOM_OK) {
            return rc;
        }
        if (peek.live && peek.home) {
            return DOM_FAIL(err, DOM_HOME_MISMATCH, "the record is at home in %s", other->name);
        }
        floor = peek.floor > floor ? peek.floor : floor;
        floor = peek.live && peek.version > floor ? peek.version : floor;
    }
    if (state->live && floor < state->version) {
        return DOM_FAIL(err, DOM_HOME_MISMATCH,
                        "the record is at home in a region that is not open here");
    }
    state->floor = floor;
    return DOM_OK;
}

static enum dom_code check_preconditions(struct dom_region *region, const struct dom_store_op *op,
                                         struct dom_row_state *state, struct dom_error *err)
{
    if (state->live && state->home) {
        if (op->type == DOM_STORE_PUT && op->must_not_exist) {
            return DOM_FAIL(err, DOM_EXISTS, "the record exists, version %llu",
                            (unsigned long long)state->version);
        }
        if (op->if_version != 0 && op->if_version != state->version) {
            return DOM_FAIL(err, DOM_VERSION_MISMATCH, "version %llu wanted, %llu is there",
                            (unsigned long long)op->if_version, (unsigned long long)state->version);
        }
        if (op->type == DOM_STORE_PUT && memcmp(op->home, state->home_country, 2) != 0) {
            return DOM_FAIL(err, DOM_HOME_MISMATCH, "the record's home is %s", state->home_country);
        }
        return DOM_OK;
    }
    if (state->live && state->moving) {
        return moving(err);
    }
    enum dom_code rc = check_elsewhere(region, op, state, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (op->type == DOM_STORE_DELETE) {
        return DOM_FAIL(err, DOM_NOT_FOUND, "no such record");
    }
    return op->if_version == 0 ? DOM_OK
                               : DOM_FAIL(err, DOM_VERSION_MISMATCH,
                                          "version %llu wanted, the record does not exist",
                                          (unsigned long long)op->if_version);
}

/* ---- the operations ----------------------------------------------------------------------- */

/* Which peers get which field: what the submitter said, or what the policy says of the targets.
 * Every target is a peer by now. */
static void find_lies(struct dom_region *region, const struct dom_store_op *op, uint64_t *lies)
{
    const struct dom_store_options *options = &region->host->options;

    for (size_t i = 0; i < op->num_fields; i++) {
        dom_store_set set = 0;
        if (op->field_regions != NULL) {
            set = op->field_regions[i];
        } else if (options->field_regions != NULL) {
            set = options->field_regions(options->context, op->kind, op->home, op->fields[i].name);
        }
        DOM_ASSERT(dom_stage_peers(region, set & op->targets, &lies[i], NULL) == DOM_OK);
    }
}

static enum dom_code stage_put(struct dom_region *region, const struct dom_store_op *op,
                               struct dom_row_state *state, uint64_t peers, struct dom_error *err)
{
    bool exists = state->live && state->home;
    struct dom_row_header header = {.flags = DOM_ROW_HOME | DOM_ROW_COMPLETE,
                                    .version = op->version};
    struct dom_row_body body = {
        .kind = op->kind,
        .id = op->id,
        .create_time_ms = exists ? state->create_time_ms : region->group.wall_ms,
        .update_time_ms = region->group.wall_ms,
        .copies = peers,
        .num_fields = op->num_fields};
    struct dom_store_field fields[DOM_FIELDS_MAX];
    uint64_t lies[DOM_FIELDS_MAX];

    memcpy(body.home, op->home, sizeof(body.home));
    for (size_t i = 0; i < op->num_fields; i++) {
        fields[i] = op->fields[i];
    }
    body.fields = fields;
    body.lies = lies;
    body.moves_to = DOM_ROW_NO_PEER;
    find_lies(region, op, lies);
    enum dom_code rc = dom_stage_row(region, state, &header, &body, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (exists && op->num_fields < state->num_fields) {
        dom_stage_purge(region, state->key, false);
    }
    state->live = true;
    state->home = true;
    state->moving = false;
    state->complete = true;
    state->version = op->version;
    state->create_time_ms = body.create_time_ms;
    state->update_time_ms = body.update_time_ms;
    state->copies = peers;
    state->num_fields = op->num_fields;
    state->names = dom_stage_names(op->fields, op->num_fields);
    memcpy(state->home_country, op->home, sizeof(state->home_country));
    return DOM_OK;
}

static void stage_delete(struct dom_region *region, const struct dom_store_op *op,
                         struct dom_row_state *state, uint64_t targets)
{
    dom_stage_tombstone(region, state->key, op->version,
                        targets == 0 ? 0 : region->group.next_seq);
    dom_stage_purge(region, state->key, false);
    state->live = false;
    state->home = false;
    state->floor = op->version;
    state->copies = 0;
}

static enum dom_code stage_write(struct dom_region *region, struct dom_store_op *op,
                                 struct dom_error *err)
{
    struct dom_row_state *state = NULL;
    uint64_t peers = 0;
    bool found = false;

    enum dom_code rc = check_record(region, op, err);
    if (rc == DOM_OK) {
        rc = dom_index_find_request(region, op, &found, err);
    }
    if (rc != DOM_OK || found) {
        return rc;
    }
    rc = dom_stage_state(region, op->kind, op->id, &state, err);
    if (rc == DOM_OK) {
        rc = check_preconditions(region, op, state, err);
    }
    if (rc == DOM_OK && op->type == DOM_STORE_PUT) {
        rc = dom_stage_check_placement(region, op, err);
    }
    if (rc == DOM_OK && op->type == DOM_STORE_PUT) {
        rc = dom_stage_peers(region, op->targets, &peers, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    bool exists = state->live && state->home;
    uint64_t targets = peers | (exists ? state->copies : 0);
    if (targets != 0) {
        rc = dom_stage_outbox_room(region, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    op->version = (exists ? state->version : state->floor) + 1;
    rc = dom_stage_entries(region, op->entries, op->num_entries, op->receipts, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (op->type == DOM_STORE_PUT) {
        /* Checked sizes fit the scratch memory; an entry without its row must not be. */
        DOM_ASSERT(stage_put(region, op, state, peers, err) == DOM_OK);
    } else {
        stage_delete(region, op, state, targets);
    }
    if (targets != 0) {
        dom_stage_owed(region, op, state->key, targets);
    }
    dom_index_stage_request(region, op);
    dom_index_stage_limits(region, op);
    region->group.num_writes++;
    return DOM_OK;
}

enum dom_code dom_stage_op(struct dom_region *region, struct dom_store_op *op,
                           struct dom_error *err)
{
    op->internal.seq = 0;
    if (op->cancelled != NULL && __atomic_load_n(op->cancelled, __ATOMIC_ACQUIRE)) {
        return DOM_FAIL(err, DOM_CANCELLED, "cancelled before it was written");
    }
    if (op->deadline_us != UINT64_MAX &&
        op->deadline_us <= dom_clock_monotonic_us(region->host->options.clock)) {
        return DOM_FAIL(err, DOM_DEADLINE, "the deadline passed before it was written");
    }
    enum dom_code rc = check_entries(op, err);
    if (rc != DOM_OK) {
        return rc;
    }
    switch (op->type) {
        case DOM_STORE_PUT:
        case DOM_STORE_DELETE:
            return stage_write(region, op, err);
        case DOM_STORE_APPEND:
            break;
    }
    rc = dom_stage_entries(region, op->entries, op->num_entries, op->receipts, err);
    if (rc == DOM_OK) {
        dom_index_stage_limits(region, op);
    }
    return rc;
}
