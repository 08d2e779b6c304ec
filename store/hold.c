/* Legal holds in the region's database (`meta` "hold:<id>"), and an entry for each change. A hold
 * is durable before its entry, and goes after it: a crash between the two leaves it in force. */
#include "store/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/encode.h"
#include "store/audit/event.h"
#include "store/store_internal.h"

#define PREFIX     "hold:"
#define FIXED_SIZE 26U /* format, first, end, until, length of subject */
#define FORMAT     1U

bool dom_hold_keeps(const struct dom_store_hold *hold, uint64_t index, struct dom_slice entry,
                    int64_t now_ms)
{
    if ((hold->until_ms != 0 && now_ms >= hold->until_ms) || index < hold->first ||
        (hold->end != 0 && index >= hold->end)) {
        return false;
    }
    return hold->subject[0] == '\0' ||
           memmem(entry.data, entry.len, hold->subject, strlen(hold->subject)) != NULL;
}

static bool text_valid(const char *text, const char *more)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(more, c) != NULL)) {
            return false;
        }
    }
    return len > 0;
}

static enum dom_code check(const struct dom_store_hold *hold, struct dom_error *err)
{
    if (!text_valid(hold->id, "._-")) {
        return DOM_FAIL(err, DOM_INVALID, "a hold's id is 1 to %u of a-z 0-9 . _ -",
                        DOM_HOLD_ID_BYTES_MAX);
    }
    if (hold->end != 0 && hold->end <= hold->first) {
        return DOM_FAIL(err, DOM_INVALID, "hold %s: its range is empty", hold->id);
    }
    if (hold->subject[0] != '\0' && (strncmp(hold->subject, "hmac:", 5) != 0 ||
                                     !text_valid(hold->subject, ":-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"))) {
        return DOM_FAIL(err, DOM_INVALID,
                        "hold %s: the subject is not a keyed hash (domicile audit hash makes it)",
                        hold->id);
    }
    if (hold->until_ms < 0 || hold->until_ms > DOM_AUDIT_INTEGER_MAX || hold->reason[0] == '\0' ||
        !dom_utf8_valid(dom_slice_str(hold->reason))) {
        return DOM_FAIL(err, DOM_INVALID, "hold %s: a reason, and a time that can be, are wanted",
                        hold->id);
    }
    return DOM_OK;
}

static void encode(const struct dom_store_hold *hold, struct dom_buffer *out)
{
    dom_buffer_append_char(out, FORMAT);
    dom_buffer_append_u64be(out, hold->first);
    dom_buffer_append_u64be(out, hold->end);
    dom_buffer_append_u64be(out, (uint64_t)hold->until_ms);
    dom_buffer_append_char(out, (char)strlen(hold->subject));
    dom_buffer_append_str(out, hold->subject);
    dom_buffer_append_str(out, hold->reason);
}

static bool decode(struct dom_store_hold *hold, struct dom_slice key, struct dom_slice value)
{
    size_t prefix = sizeof(PREFIX) - 1;

    memset(hold, 0, sizeof(*hold));
    if (value.len < FIXED_SIZE || value.data[0] != FORMAT) {
        return false;
    }
    size_t subject = value.data[FIXED_SIZE - 1];
    hold->first = dom_get_u64be(value.data + 1);
    hold->end = dom_get_u64be(value.data + 9);
    hold->until_ms = (int64_t)dom_get_u64be(value.data + 17);
    if (FIXED_SIZE + subject > value.len) {
        return false;
    }
    const uint8_t *text = value.data + FIXED_SIZE;
    return dom_slice_to_cstr(dom_slice_of(key.data + prefix, key.len - prefix), hold->id,
                             sizeof(hold->id)) &&
           dom_slice_to_cstr(dom_slice_of(text, subject), hold->subject, sizeof(hold->subject)) &&
           dom_slice_to_cstr(dom_slice_of(text + subject, value.len - FIXED_SIZE - subject),
                             hold->reason, sizeof(hold->reason));
}

enum dom_code dom_store_holds(struct dom_store *store, dom_store_region region,
                              struct dom_store_hold *out, size_t *countp, struct dom_error *err)
{
    struct dom_db *db = dom_region_db(dom_store_at(store, region));
    enum dom_code rc = DOM_OK;

    *countp = 0;
    if (!dom_db_enter(db)) {
        return DOM_FAIL(err, DOM_IO, "the database is not open");
    }
    rocksdb_iterator_t *iter = dom_db_iter(db, DOM_DB_META);
    rocksdb_iter_seek(iter, PREFIX, sizeof(PREFIX) - 1);
    while (rc == DOM_OK && rocksdb_iter_valid(iter)) {
        struct dom_slice key = dom_db_iter_key(iter);
        if (key.len < sizeof(PREFIX) || memcmp(key.data, PREFIX, sizeof(PREFIX) - 1) != 0) {
            break;
        }
        if (*countp == DOM_HOLDS_MAX || !decode(&out[*countp], key, dom_db_iter_value(iter))) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "hold %.*s cannot be read", (int)key.len,
                          (const char *)key.data);
            break;
        }
        (*countp)++;
        rocksdb_iter_next(iter);
    }
    if (rc == DOM_OK) {
        rc = dom_db_iter_check(iter, err);
    }
    rocksdb_iter_destroy(iter);
    dom_db_leave(db);
    return rc;
}

/* NULL: none of that id. */
static const struct dom_store_hold *find(const struct dom_store_hold *holds, size_t count,
                                         const char *id)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(holds[i].id, id) == 0) {
            return &holds[i];
        }
    }
    return NULL;
}

/* An empty value removes it. */
static enum dom_code write(struct dom_region *region, const char *id, struct dom_slice value,
                           struct dom_error *err)
{
    struct dom_db *db = dom_region_db(region);
    char key[sizeof(PREFIX) + DOM_HOLD_ID_BYTES_MAX];

    (void)snprintf(key, sizeof(key), PREFIX "%s", id);
    if (!dom_db_enter(db)) {
        return DOM_FAIL(err, DOM_IO, "the database is not open");
    }
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    if (value.len > 0) {
        dom_db_batch_put(db, batch, DOM_DB_META, dom_slice_str(key), value);
    } else {
        dom_db_batch_delete(db, batch, DOM_DB_META, dom_slice_str(key));
    }
    enum dom_code rc = dom_db_write(db, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    dom_db_leave(db);
    return rc;
}

static enum dom_code tell(struct dom_region *region, const char *action,
                          const struct dom_store_hold *hold, struct dom_slice who,
                          struct dom_error *err)
{
    struct dom_audit_detail details[] = {
        {.name = DOM_SLICE_LIT("action"), .text = dom_slice_str(action)},
        {.name = DOM_SLICE_LIT("end"), .integer = (int64_t)hold->end, .is_integer = true},
        {.name = DOM_SLICE_LIT("first"), .integer = (int64_t)hold->first, .is_integer = true},
        {.name = DOM_SLICE_LIT("hold"), .text = dom_slice_str(hold->id)},
        {.name = DOM_SLICE_LIT("operator"), .text = who},
        {.name = DOM_SLICE_LIT("reason"), .text = dom_slice_str(hold->reason)},
        {.name = DOM_SLICE_LIT("subject"), .text = dom_slice_str(hold->subject)},
        {.name = DOM_SLICE_LIT("until"), .integer = hold->until_ms, .is_integer = true},
    };

    return dom_region_append_control(region, DOM_AUDIT_HOLD, details, DOM_ARRAY_LEN(details), err);
}

enum dom_code dom_store_place_hold(struct dom_store *store, dom_store_region region,
                                   const struct dom_store_hold *hold, struct dom_slice who,
                                   struct dom_error *err)
{
    struct dom_region *at = dom_store_at(store, region);
    struct dom_buffer value = {0};
    size_t count = 0;

    enum dom_code rc = check(hold, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (hold->first > DOM_AUDIT_INTEGER_MAX || hold->end > DOM_AUDIT_INTEGER_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "hold %s: no log is that long", hold->id);
    }
    struct dom_store_hold *holds = calloc(DOM_HOLDS_MAX, sizeof(*holds));
    DOM_ASSERT(holds != NULL);
    DOM_ASSERT(pthread_mutex_lock(&store->hold_locks[region]) == 0);
    rc = dom_store_holds(store, region, holds, &count, err);
    if (rc == DOM_OK && find(holds, count, hold->id) != NULL) {
        rc = DOM_FAIL(err, DOM_EXISTS, "hold %s is in force; release it first", hold->id);
    } else if (rc == DOM_OK && count == DOM_HOLDS_MAX) {
        rc = DOM_FAIL(err, DOM_RESOURCE, "over %u holds", DOM_HOLDS_MAX);
    }
    if (rc == DOM_OK) {
        encode(hold, &value);
        rc = write(at, hold->id, dom_buffer_slice(&value), err);
    }
    DOM_ASSERT(pthread_mutex_unlock(&store->hold_locks[region]) == 0);
    if (rc == DOM_OK) {
        rc = tell(at, "hold", hold, who, err);
    }
    dom_buffer_cleanup(&value);
    free(holds);
    return rc;
}

enum dom_code dom_store_release_hold(struct dom_store *store, dom_store_region region,
                                     const char *id, struct dom_slice who, struct dom_error *err)
{
    struct dom_region *at = dom_store_at(store, region);
    struct dom_store_hold *holds = calloc(DOM_HOLDS_MAX, sizeof(*holds));
    const struct dom_store_hold *found = NULL;
    size_t count = 0;

    DOM_ASSERT(holds != NULL);
    enum dom_code rc = dom_store_holds(store, region, holds, &count, err);
    if (rc == DOM_OK) {
        found = find(holds, count, id);
        rc = found == NULL ? DOM_FAIL(err, DOM_NOT_FOUND, "there is no hold %.64s", id)
                           : tell(at, "release", found, who, err);
    }
    if (rc == DOM_OK) {
        rc = write(at, found->id, dom_slice_of(NULL, 0), err);
    }
    free(holds);
    return rc;
}
