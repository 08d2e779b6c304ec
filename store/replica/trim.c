/* Removing what every target has from the outbox. */
#include <string.h>

#include "base/assert.h"
#include "store/replica/replicator_internal.h"

#define TRIM_ENTRIES  4096U
#define TRIM_PAUSE_US UINT64_C(50000)

/* Up to where no open target needs an entry. */
static uint64_t least_position(struct dom_replicator *replicator)
{
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    uint64_t least = replicator->tail;
    for (size_t i = 0; i < atomic_load(&replicator->host->num_regions); i++) {
        struct dom_region *region = atomic_load(&replicator->host->regions[i]);
        const struct dom_replica_target *target = &replicator->targets[i];
        if (region == NULL || region == replicator->home) {
            continue;
        }
        uint64_t position = target->known ? target->position : 0;
        least = position < least ? position : least;
    }
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
    return least;
}

/* Entries for a peer that is not open here must stay until it is. */
static uint64_t before_absent_peer(struct dom_replicator *replicator, uint64_t from, uint64_t to)
{
    struct dom_db *db = dom_region_db(replicator->home);
    uint64_t absent = 0;
    uint8_t key[8];

    for (unsigned i = 0; i < DOM_PEERS_MAX; i++) {
        if (dom_region_peer(replicator->home, i) == DOM_STORE_NO_REGION) {
            absent |= (uint64_t)1 << i;
        }
    }
    if (!dom_db_enter(db)) {
        return from;
    }
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_OUTBOX);
    uint64_t good = to;
    dom_put_u64be(key, from + 1);
    for (rocksdb_iter_seek(iter, (const char *)key, sizeof(key)); rocksdb_iter_valid(iter);
         rocksdb_iter_next(iter)) {
        struct dom_outbox_entry entry;
        struct dom_slice at = dom_db_iter_key(iter);
        uint64_t seq = at.len == 8 ? dom_get_u64be(at.data) : from + 1;
        if (seq > to) {
            break;
        }
        if (dom_outbox_decode(&entry, dom_db_iter_value(iter), NULL) != DOM_OK ||
            (entry.targets & absent) != 0) {
            good = seq - 1; /* what is before it and not there was done with earlier */
            break;
        }
        for (uint64_t peers = entry.targets; peers != 0; peers &= peers - 1) {
            replicator->sent[__builtin_ctzll(peers)] = seq;
        }
    }
    if (dom_db_iter_check(iter, NULL) != DOM_OK) {
        good = from;
    }
    rocksdb_iter_destroy(iter);
    dom_db_leave(db);
    return good;
}

void dom_replicator_trim(struct dom_replicator *replicator, uint64_t *wakep)
{
    uint64_t done = replicator->done;
    uint64_t least = least_position(replicator);

    *wakep = UINT64_MAX;
    if (least > done) {
        done = before_absent_peer(replicator, done, least);
        dom_region_outbox_done(replicator->home, done);
    }
    uint64_t trimmed = replicator->trimmed;
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());
    if (done > trimmed && (done - trimmed >= TRIM_ENTRIES || now >= replicator->trim_after_us)) {
        struct dom_error err = {0};
        replicator->trim_after_us = now + TRIM_PAUSE_US;
        if (dom_region_outbox_trim(replicator->home, done, replicator->sent, &err) == DOM_OK) {
            trimmed = done;
            memset(replicator->sent, 0, sizeof(replicator->sent));
        }
    }
    if (done > trimmed) {
        *wakep = replicator->trim_after_us;
    }
    DOM_ASSERT(pthread_mutex_lock(&replicator->lock) == 0);
    replicator->least = least;
    replicator->done = done;
    replicator->trimmed = trimmed;
    DOM_ASSERT(pthread_mutex_unlock(&replicator->lock) == 0);
}
