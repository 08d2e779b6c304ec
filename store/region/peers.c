/* Small durable numbers for the regions that this one replicates to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/region/region_internal.h"

static struct dom_region *open_region(const struct dom_region *region, dom_store_region number)
{
    if (number < 0 || (size_t)number >= atomic_load(&region->host->num_regions)) {
        return NULL;
    }
    return atomic_load(&region->host->regions[number]);
}

enum dom_code dom_region_load_peers(struct dom_region *region, struct dom_error *err)
{
    rocksdb_iterator_t *iter = dom_db_iter(region->db, DOM_DB_META);
    enum dom_code rc = DOM_OK;

    for (rocksdb_iter_seek(iter, "peer:", 5); rocksdb_iter_valid(iter); rocksdb_iter_next(iter)) {
        struct dom_slice key = dom_db_iter_key(iter);
        struct dom_slice value = dom_db_iter_value(iter);
        if (key.len <= 5 || memcmp(key.data, "peer:", 5) != 0) {
            break;
        }
        if (value.len != 1 || value.data[0] >= DOM_PEERS_MAX ||
            key.len - 5 > DOM_POLICY_NAME_BYTES_MAX || region->peers[value.data[0]] != NULL) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "region %s: damaged peer table", region->name);
            break;
        }
        region->peers[value.data[0]] = dom_slice_dup(dom_slice_of(key.data + 5, key.len - 5));
        region->peer_durable[value.data[0]] = true;
    }
    if (rc == DOM_OK) {
        rc = dom_db_iter_check(iter, err);
    }
    rocksdb_iter_destroy(iter);
    return rc;
}

static int find_or_add(struct dom_region *region, const char *name)
{
    int free_slot = -1;

    for (int i = 0; i < (int)DOM_PEERS_MAX; i++) {
        if (region->peers[i] == NULL) {
            free_slot = free_slot < 0 ? i : free_slot;
        } else if (strcmp(region->peers[i], name) == 0) {
            return i;
        }
    }
    if (free_slot >= 0) {
        region->peers[free_slot] = strdup(name);
        DOM_ASSERT(region->peers[free_slot] != NULL);
        region->peer_durable[free_slot] = false;
    }
    return free_slot;
}

int dom_region_peer_of(struct dom_region *region, dom_store_region other)
{
    if (region->peer_of[other] >= 0) {
        return region->peer_of[other];
    }
    struct dom_region *target = open_region(region, other);
    if (target == NULL) {
        return -1;
    }
    DOM_ASSERT(pthread_mutex_lock(&region->peer_lock) == 0);
    int peer = find_or_add(region, target->name);
    DOM_ASSERT(pthread_mutex_unlock(&region->peer_lock) == 0);
    region->peer_of[other] = (int8_t)peer;
    return peer;
}

/* A new peer's number is durable with the first batch that may use it. */
void dom_region_stage_peers(struct dom_region *region)
{
    for (size_t i = 0; i < DOM_PEERS_MAX; i++) {
        char key[8 + DOM_POLICY_NAME_BYTES_MAX];
        uint8_t number = (uint8_t)i;
        if (region->peers[i] == NULL || region->peer_durable[i]) {
            continue;
        }
        (void)snprintf(key, sizeof(key), "peer:%s", region->peers[i]);
        dom_db_batch_put(region->db, region->group.batch, DOM_DB_META, dom_slice_str(key),
                         dom_slice_of(&number, 1));
    }
}

void dom_region_peers_durable(struct dom_region *region)
{
    for (size_t i = 0; i < DOM_PEERS_MAX; i++) {
        region->peer_durable[i] = region->peers[i] != NULL;
    }
}

dom_store_set dom_region_peers(struct dom_region *region, uint64_t peers)
{
    dom_store_set set = 0;

    for (; peers != 0; peers &= peers - 1) {
        dom_store_region other = dom_region_peer(region, (unsigned)__builtin_ctzll(peers));
        set |= other == DOM_STORE_NO_REGION ? 0 : (dom_store_set)1 << other;
    }
    return set;
}

uint64_t dom_region_absent(struct dom_region *region, uint64_t peers)
{
    uint64_t absent = 0;

    for (; peers != 0; peers &= peers - 1) {
        unsigned peer = (unsigned)__builtin_ctzll(peers);
        absent |= dom_region_peer(region, peer) == DOM_STORE_NO_REGION ? (uint64_t)1 << peer : 0;
    }
    return absent;
}

dom_store_region dom_region_peer(struct dom_region *region, unsigned peer)
{
    char name[DOM_POLICY_NAME_BYTES_MAX + 1] = "";
    size_t count = atomic_load(&region->host->num_regions);

    DOM_ASSERT(peer < DOM_PEERS_MAX);
    DOM_ASSERT(pthread_mutex_lock(&region->peer_lock) == 0);
    if (region->peers[peer] != NULL) {
        (void)snprintf(name, sizeof(name), "%s", region->peers[peer]);
    }
    DOM_ASSERT(pthread_mutex_unlock(&region->peer_lock) == 0);
    for (size_t i = 0; i < count; i++) {
        struct dom_region *other = atomic_load(&region->host->regions[i]);
        if (other != NULL && strcmp(other->name, name) == 0) {
            return (dom_store_region)i;
        }
    }
    return DOM_STORE_NO_REGION;
}
