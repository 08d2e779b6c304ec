/* What a commit owes to replicas: who they are, and the outbox entry that names them. */
#include <string.h>

#include "base/assert.h"
#include "store/region/region_internal.h"

#define SEALED_IDENTITY_MAX \
    (DOM_ROW_HEADER_SIZE + 1U + DOM_ROW_KIND_BYTES_MAX + DOM_ID_BYTES_MAX + DOM_ROW_SEAL_SIZE)

enum dom_code dom_stage_peers(struct dom_region *region, dom_store_set set, uint64_t *peersp,
                              struct dom_error *err)
{
    *peersp = 0;
    set &= ~((dom_store_set)1 << region->number);
    while (set != 0) {
        int number = __builtin_ctzll(set);
        set &= set - 1;
        int peer = dom_region_peer_of(region, (dom_store_region)number);
        if (peer < 0) {
            return DOM_FAIL(err, DOM_RESOURCE, "region %s has %u peers already", region->name,
                            DOM_PEERS_MAX);
        }
        *peersp |= (uint64_t)1 << peer;
    }
    return DOM_OK;
}

static size_t seal_identity(struct dom_region *region, const struct dom_store_op *op,
                            struct dom_slice key, uint8_t *out)
{
    struct dom_row_place place = {
        .keys = region->keys, .region = dom_slice_str(region->name), .key = key};
    struct dom_row_header header = {.version = op->version};
    uint8_t plain[1 + DOM_ROW_KIND_BYTES_MAX + DOM_ID_BYTES_MAX];

    dom_stage_header(region, &header);
    plain[0] = (uint8_t)op->kind.len;
    memcpy(plain + 1, op->kind.data, op->kind.len);
    memcpy(plain + 1 + op->kind.len, op->id.data, op->id.len);
    return dom_row_seal(&region->seal, &place, &header,
                        dom_slice_of(plain, 1 + op->kind.len + op->id.len), out);
}

enum dom_code dom_stage_outbox_room(struct dom_region *region, struct dom_error *err)
{
    return region->group.next_seq - atomic_load(&region->done_seq) > DOM_OUTBOX_MAX
               ? DOM_FAIL(err, DOM_RESOURCE, "region %s owes %u replications", region->name,
                          DOM_OUTBOX_MAX)
               : DOM_OK;
}

uint64_t dom_stage_outbox(struct dom_region *region, const struct dom_outbox_entry *entry)
{
    uint8_t value[DOM_OUTBOX_HEADER_SIZE + DOM_ROW_KEY_BYTES_MAX + SEALED_IDENTITY_MAX];
    uint8_t key[8];
    uint64_t seq = region->group.next_seq++;

    DOM_ASSERT(dom_outbox_size(entry) <= sizeof(value));
    dom_outbox_encode(entry, value);
    dom_put_u64be(key, seq);
    dom_db_batch_put(region->db, region->group.batch, DOM_DB_OUTBOX, dom_slice_of(key, sizeof(key)),
                     dom_slice_of(value, dom_outbox_size(entry)));
    return seq;
}

void dom_stage_owed(struct dom_region *region, struct dom_store_op *op,
                    struct dom_slice key, uint64_t targets)
{
    uint8_t sealed[SEALED_IDENTITY_MAX];
    struct dom_outbox_entry entry = {
        .type = DOM_OUTBOX_WRITE, .version = op->version, .targets = targets, .key = key};

    if (op->type == DOM_STORE_DELETE) {
        entry.type = DOM_OUTBOX_DELETE;
        entry.sealed = dom_slice_of(sealed, seal_identity(region, op, key, sealed));
    }
    op->internal.seq = dom_stage_outbox(region, &entry);
    op->internal.pending = op->sync & ~((dom_store_set)1 << region->number);
}
