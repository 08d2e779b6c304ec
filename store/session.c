/* Reading, on the session's thread. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/store_internal.h"

#define CURSOR_BYTES_MAX 64U

enum dom_code dom_store_session_new(struct dom_store_session **sessionp, struct dom_store *store,
                                    struct dom_error *err)
{
    (void)err;
    struct dom_store_session *session = calloc(1, sizeof(*session));
    DOM_ASSERT(session != NULL);
    session->store = store;
    *sessionp = session;
    return DOM_OK;
}

void dom_store_session_destroy(struct dom_store_session *session)
{
    if (session == NULL) {
        return;
    }
    for (size_t i = 0; i < DOM_REGIONS_MAX; i++) {
        dom_row_cipher_cleanup(&session->ciphers[i]);
    }
    free(session);
}

enum dom_code dom_store_get(struct dom_store_session *session, dom_store_region region,
                            struct dom_slice kind, struct dom_slice id, struct dom_arena *arena,
                            struct dom_store_row *row, struct dom_error *err)
{
    struct dom_region_row full;

    enum dom_code rc = dom_region_get(dom_store_at(session->store, region),
                                      &session->ciphers[region], kind, id, arena, &full, err);
    *row = full.row;
    return rc;
}

enum dom_code dom_store_locate(struct dom_store_session *session, dom_store_region hint,
                               struct dom_slice kind, struct dom_slice id, dom_store_region *homep,
                               struct dom_error *err)
{
    size_t count = dom_store_num_regions(session->store);
    struct dom_region_peek peek;
    bool moving = false;

    *homep = DOM_STORE_NO_REGION;
    for (size_t i = 0; i <= count; i++) {
        dom_store_region at = i == 0 ? hint : (dom_store_region)(i - 1);
        if (at == DOM_STORE_NO_REGION || (i > 0 && at == hint)) {
            continue;
        }
        enum dom_code rc = dom_region_peek(dom_store_at(session->store, at), kind, id, &peek, err);
        if (rc != DOM_OK) {
            return rc;
        }
        if (peek.live && peek.home) {
            *homep = at;
            return DOM_OK;
        }
        moving = moving || peek.moving;
    }
    return moving ? DOM_FAIL(err, DOM_UNAVAILABLE, "the record is on its way to another home region")
                  : DOM_NOT_FOUND;
}

enum dom_code dom_store_find_request(struct dom_store_session *session, struct dom_slice service,
                                     struct dom_slice request_id, dom_store_region *regionp,
                                     char home[3], struct dom_error *err)
{
    size_t count = dom_store_num_regions(session->store);

    home[0] = '\0';
    *regionp = DOM_STORE_NO_REGION;
    for (size_t i = 0; i < count; i++) {
        enum dom_code rc = dom_region_find_request(
            dom_store_at(session->store, (dom_store_region)i), service, request_id, home, err);
        if (rc != DOM_NOT_FOUND) {
            *regionp = (dom_store_region)i;
            return rc;
        }
    }
    return DOM_NOT_FOUND;
}

enum dom_code dom_store_limit_seen(struct dom_store_session *session, dom_store_region region,
                                   struct dom_slice prefix, struct dom_slice key, uint64_t *countp,
                                   bool *seenp, struct dom_error *err)
{
    return dom_region_limit_seen(dom_store_at(session->store, region), prefix, key, countp, seenp,
                                 err);
}

void dom_store_subject_hash(struct dom_store_session *session, dom_store_region region,
                            struct dom_slice kind, struct dom_slice id, char out[64])
{
    dom_region_subject_hash(dom_store_at(session->store, region), kind, id, out);
}

size_t dom_store_subject_hashes(struct dom_store_session *session, dom_store_region region,
                                struct dom_slice kind, struct dom_slice id, char (*out)[64])
{
    return dom_region_subject_hashes(dom_store_at(session->store, region), kind, id, out);
}

enum dom_code dom_store_pseudonym(struct dom_store_session *session, dom_store_region region,
                                  const char *key_name, struct dom_slice value, char out[32],
                                  struct dom_error *err)
{
    struct dom_hmac_key key;
    uint8_t digest[DOM_SHA256_SIZE];
    char base64[DOM_BASE64_LEN(16) + 1];
    struct dom_keyring *keys = dom_region_keys(dom_store_at(session->store, region));

    out[0] = '\0';
    enum dom_code rc = dom_keyring_export(keys, dom_slice_str(key_name), &key, err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_hmac_sha256(digest, &key, value);
    dom_hmac_key_cleanup(&key);
    (void)dom_base64_encode(base64, dom_slice_of(digest, 16));
    for (size_t i = 0; i < 22; i++) {
        out[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i];
    }
    out[22] = '\0';
    return DOM_OK;
}

/* ---- scanning ----------------------------------------------------------------------------- */

struct scan {
    struct dom_store_session *session;
    struct dom_region *region;
    struct dom_row_cipher *cipher;
    struct dom_slice kind;
    struct dom_arena *arena;
    bool (*each)(void *context, const struct dom_store_row *row);
    void *context;
    uint8_t *last;
    size_t *last_len;
    size_t num_rows;
    bool stop;
};

static enum dom_code scan_row(struct scan *scan, struct dom_slice key, struct dom_slice value,
                              struct dom_error *err)
{
    struct dom_row_header header;
    struct dom_region_row row;

    enum dom_code rc = dom_row_header_parse(&header, value, err);
    if (rc != DOM_OK || (header.flags & DOM_ROW_HOME) == 0) {
        return rc;
    }
    rc = dom_region_open_row(scan->region, scan->cipher, key, value, scan->arena, &row, err);
    if (rc != DOM_OK || !dom_slice_eq(row.row.kind, scan->kind)) {
        return rc; /* four bytes of tag may be another kind's too */
    }
    if (key.len > CURSOR_BYTES_MAX) {
        return DOM_FAIL(err, DOM_UNSUPPORTED, "test_plain: an id too long to go on after");
    }
    memcpy(scan->last, key.data, key.len);
    *scan->last_len = key.len;
    scan->num_rows++;
    scan->stop = !scan->each(scan->context, &row.row);
    return DOM_OK;
}

static enum dom_code scan_rows(struct scan *scan, struct dom_slice after, size_t rows_max,
                               bool *endp, struct dom_error *err)
{
    uint8_t tag[DOM_ROW_TAG_SIZE];
    struct dom_slice from = after;
    enum dom_code rc = DOM_OK;

    dom_row_tag(tag, scan->kind);
    if (after.len == 0) {
        from = dom_slice_of(tag, sizeof(tag));
    }
    rocksdb_iterator_t *iter = dom_db_iter(dom_region_db(scan->region), DOM_DB_ROWS);
    rocksdb_iter_seek(iter, (const char *)from.data, from.len);
    if (after.len > 0 && rocksdb_iter_valid(iter) && dom_slice_eq(dom_db_iter_key(iter), after)) {
        rocksdb_iter_next(iter);
    }
    for (;;) {
        if (!rocksdb_iter_valid(iter)) {
            rc = dom_db_iter_check(iter, err);
            *endp = rc == DOM_OK;
            break;
        }
        struct dom_slice key = dom_db_iter_key(iter);
        if (key.len < sizeof(tag) || memcmp(key.data, tag, sizeof(tag)) != 0) {
            *endp = true;
            break;
        }
        if (scan->num_rows == rows_max || scan->stop) {
            break;
        }
        rc = scan_row(scan, key, dom_db_iter_value(iter), err);
        if (rc != DOM_OK) {
            break;
        }
        rocksdb_iter_next(iter);
    }
    rocksdb_iter_destroy(iter);
    return rc;
}

enum dom_code dom_store_scan(struct dom_store_session *session, dom_store_region region,
                             struct dom_slice kind, struct dom_slice after, size_t rows_max,
                             struct dom_arena *arena,
                             bool (*each)(void *context, const struct dom_store_row *row),
                             void *context, uint8_t *lastp, size_t *last_len, bool *endp,
                             struct dom_error *err)
{
    struct scan scan = {.session = session,
                        .region = dom_store_at(session->store, region),
                        .cipher = &session->ciphers[region],
                        .kind = kind,
                        .arena = arena,
                        .each = each,
                        .context = context,
                        .last = lastp,
                        .last_len = last_len};

    *last_len = 0;
    *endp = false;
    if (after.len > CURSOR_BYTES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "a place to go on from has at most %u bytes",
                        CURSOR_BYTES_MAX);
    }
    if (!dom_db_enter(dom_region_db(scan.region))) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open",
                        dom_region_name(scan.region));
    }
    enum dom_code rc = scan_rows(&scan, after, rows_max, endp, err);
    dom_db_leave(dom_region_db(scan.region));
    return rc;
}
