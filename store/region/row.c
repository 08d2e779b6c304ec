#include "store/region/row.h"

#include "base/assert.h"
#include "base/encode.h"

void dom_row_tag(uint8_t *out, struct dom_slice kind)
{
    uint8_t digest[DOM_SHA256_SIZE];

    dom_sha256(digest, kind);
    memcpy(out, digest, DOM_ROW_TAG_SIZE);
}

void dom_row_key_make(struct dom_row_key *key, const struct dom_hmac_key *blind, bool plain,
                      struct dom_slice kind, struct dom_slice id)
{
    DOM_ASSERT(kind.len > 0 && kind.len <= DOM_ROW_KIND_BYTES_MAX);
    DOM_ASSERT(id.len > 0 && id.len <= DOM_ID_BYTES_MAX);
    dom_row_tag(key->bytes, kind);
    uint8_t *at = key->bytes + DOM_ROW_TAG_SIZE;
    if (!plain) {
        struct dom_slice parts[] = {kind, dom_slice_of("", 1), id};
        dom_hmac_sha256_parts(at, blind, parts, DOM_ARRAY_LEN(parts));
        key->len = DOM_ROW_KEY_BLIND_SIZE;
        return;
    }
    memcpy(at, kind.data, kind.len);
    at[kind.len] = 0;
    memcpy(at + kind.len + 1, id.data, id.len);
    key->len = DOM_ROW_TAG_SIZE + kind.len + 1 + id.len;
}

size_t dom_row_header_size(const struct dom_row_header *header)
{
    bool labelled = (header->flags & DOM_ROW_LABELLED) != 0;

    return DOM_ROW_HEADER_SIZE + (labelled ? 2U + header->label.len : 0U);
}

void dom_row_header_encode(const struct dom_row_header *header, uint8_t *out)
{
    out[0] = DOM_ROW_FORMAT;
    out[1] = header->flags;
    dom_put_u32be(out + 2, header->epoch);
    dom_put_u64be(out + 6, header->version);
    memcpy(out + 14, header->nonce, DOM_ROW_NONCE_SIZE);
    if ((header->flags & DOM_ROW_LABELLED) != 0) {
        DOM_ASSERT(header->label.len <= DOM_ROW_LABEL_BYTES_MAX);
        out[26] = (uint8_t)(header->label.len >> 8);
        out[27] = (uint8_t)header->label.len;
        memcpy(out + 28, header->label.data, header->label.len);
    }
}

/* The label behind the header. */
static enum dom_code parse_label(struct dom_row_header *header, struct dom_slice value,
                                 struct dom_error *err)
{
    size_t left = value.len - DOM_ROW_HEADER_SIZE;

    if (left < 2) {
        return DOM_FAIL(err, DOM_CORRUPT, "row of %zu bytes: shorter than its header", value.len);
    }
    size_t len = dom_get_u16be(value.data + DOM_ROW_HEADER_SIZE);
    if (len > left - 2 || len > DOM_ROW_LABEL_BYTES_MAX) {
        return DOM_FAIL(err, DOM_CORRUPT, "row of %zu bytes: its label has %zu", value.len, len);
    }
    header->label = dom_slice_of(value.data + DOM_ROW_HEADER_SIZE + 2, len);
    return DOM_OK;
}

enum dom_code dom_row_header_parse(struct dom_row_header *header, struct dom_slice value,
                                   struct dom_error *err)
{
    *header = (struct dom_row_header){0};
    if (value.len < DOM_ROW_HEADER_SIZE) {
        return DOM_FAIL(err, DOM_CORRUPT, "row of %zu bytes: shorter than its header", value.len);
    }
    if (value.data[0] == 0 || value.data[0] > DOM_ROW_FORMAT) {
        return DOM_FAIL(err, DOM_FORMAT, "row format %u; this version knows 1 to %u",
                        value.data[0], DOM_ROW_FORMAT);
    }
    if ((value.data[1] & ~DOM_ROW_FLAGS_KNOWN) != 0) {
        return DOM_FAIL(err, DOM_CORRUPT, "row with unknown flags %02x", value.data[1]);
    }
    header->format = value.data[0];
    header->flags = value.data[1];
    header->epoch = dom_get_u32be(value.data + 2);
    header->version = dom_get_u64be(value.data + 6);
    memcpy(header->nonce, value.data + 14, DOM_ROW_NONCE_SIZE);
    return (header->flags & DOM_ROW_LABELLED) != 0 ? parse_label(header, value, err) : DOM_OK;
}

uint32_t dom_row_name_hash(struct dom_slice name)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.data[i]) * 16777619U;
    }
    return hash;
}

size_t dom_row_label_encode(const struct dom_row_body *body, uint8_t *out)
{
    memcpy(out, body->home, 2);
    out[2] = (uint8_t)(body->num_fields >> 8);
    out[3] = (uint8_t)body->num_fields;
    for (size_t i = 0; i < body->num_fields; i++) {
        uint8_t *at = out + 4 + i * DOM_ROW_LABEL_FIELD_SIZE;
        dom_put_u32be(at, dom_row_name_hash(body->fields[i].name));
        dom_put_u32be(at + 4, (uint32_t)body->fields[i].value.len);
    }
    return 4 + body->num_fields * DOM_ROW_LABEL_FIELD_SIZE;
}

bool dom_row_label_parse(struct dom_row_label *label, struct dom_slice bytes)
{
    *label = (struct dom_row_label){0};
    if (bytes.len < 4) {
        return false;
    }
    memcpy(label->home, bytes.data, 2);
    label->num_fields = dom_get_u16be(bytes.data + 2);
    label->fields = bytes.data + 4;
    return label->num_fields <= DOM_FIELDS_MAX &&
           bytes.len == 4 + label->num_fields * DOM_ROW_LABEL_FIELD_SIZE;
}

void dom_row_label_field(const struct dom_row_label *label, size_t i, uint32_t *name_hash,
                         uint32_t *value_bytes)
{
    const uint8_t *at = label->fields + i * DOM_ROW_LABEL_FIELD_SIZE;

    *name_hash = dom_get_u32be(at);
    *value_bytes = dom_get_u32be(at + 4);
}

/* The distinct sets of `lies`, and which one each field has. Fields of one class share theirs, so
 * there are few. */
struct sets {
    uint64_t set[DOM_FIELDS_MAX];
    uint8_t of[DOM_FIELDS_MAX];
    size_t num;
};

static void find_sets(const struct dom_row_body *body, struct sets *sets)
{
    sets->num = 0;
    for (size_t i = 0; body->lies != NULL && i < body->num_fields; i++) {
        size_t at = 0;
        while (at < sets->num && sets->set[at] != body->lies[i]) {
            at++;
        }
        sets->num = at == sets->num ? at + 1 : sets->num;
        sets->set[at] = body->lies[i];
        sets->of[i] = (uint8_t)at;
    }
}

size_t dom_row_body_size(const struct dom_row_body *body)
{
    struct sets sets;
    size_t size = 1 + body->kind.len + 2 + body->id.len + 2 + 8 + 8 + 8 + 1 + 2 + 2;

    find_sets(body, &sets);
    size += 8 * sets.num;
    for (size_t i = 0; i < body->num_fields; i++) {
        size += 1 + 1 + body->fields[i].name.len + 4 + body->fields[i].value.len;
    }
    return size;
}

static uint8_t *put_bytes(uint8_t *at, struct dom_slice bytes)
{
    if (bytes.len > 0) {
        memcpy(at, bytes.data, bytes.len);
    }
    return at + bytes.len;
}

static uint8_t *put_u16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

void dom_row_body_encode(const struct dom_row_body *body, uint8_t *out)
{
    struct sets sets;
    uint8_t *at = out;

    find_sets(body, &sets);
    *at++ = (uint8_t)body->kind.len;
    at = put_bytes(at, body->kind);
    at = put_u16(at, body->id.len);
    at = put_bytes(at, body->id);
    memcpy(at, body->home, 2);
    at += 2;
    dom_put_u64be(at, (uint64_t)body->create_time_ms);
    dom_put_u64be(at + 8, (uint64_t)body->update_time_ms);
    dom_put_u64be(at + 16, body->copies);
    at[24] = body->moves_to;
    at = put_u16(at + 25, sets.num);
    for (size_t i = 0; i < sets.num; i++) {
        dom_put_u64be(at, sets.set[i]);
        at += 8;
    }
    at = put_u16(at, body->num_fields);
    for (size_t i = 0; i < body->num_fields; i++) {
        *at++ = sets.num == 0 ? 0 : sets.of[i];
        *at++ = (uint8_t)body->fields[i].name.len;
        at = put_bytes(at, body->fields[i].name);
        dom_put_u32be(at, (uint32_t)body->fields[i].value.len);
        at = put_bytes(at + 4, body->fields[i].value);
    }
    DOM_DCHECK((size_t)(at - out) == dom_row_body_size(body));
}

/* Bytes still to be read; `ok` is sticky. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool ok;
};

static const uint8_t *take(struct reader *reader, size_t len)
{
    static const uint8_t zeros[32];

    if (!reader->ok || len > reader->left) {
        reader->ok = false;
        return len <= sizeof(zeros) ? zeros : NULL;
    }
    const uint8_t *out = reader->at;
    reader->at += len;
    reader->left -= len;
    return out;
}

static struct dom_slice take_slice(struct reader *reader, size_t len)
{
    const uint8_t *at = take(reader, len);

    return reader->ok ? dom_slice_of(at, len) : dom_slice_of(NULL, 0);
}

/* The sets of a body of format 2; an array of one for each field is made later. */
static size_t take_sets(struct reader *reader, uint8_t format, struct dom_row_body *body,
                        uint64_t *sets)
{
    body->moves_to = DOM_ROW_NO_PEER;
    if (format < 2) {
        return 0;
    }
    body->moves_to = take(reader, 1)[0];
    size_t num = dom_get_u16be(take(reader, 2));
    if (num > DOM_FIELDS_MAX) {
        reader->ok = false;
        return 0;
    }
    for (size_t i = 0; i < num; i++) {
        sets[i] = dom_get_u64be(take(reader, 8));
    }
    return num;
}

static void take_fields(struct reader *reader, uint8_t format, struct dom_row_body *body,
                        const uint64_t *sets, size_t num_sets, uint64_t *lies)
{
    for (size_t i = 0; i < body->num_fields && reader->ok; i++) {
        size_t set = format < 2 ? 0 : take(reader, 1)[0];
        if (num_sets > 0 && set >= num_sets) {
            reader->ok = false;
            return;
        }
        if (num_sets > 0) {
            lies[i] = sets[set];
        }
        body->fields[i].name = take_slice(reader, take(reader, 1)[0]);
        body->fields[i].value = take_slice(reader, dom_get_u32be(take(reader, 4)));
    }
}

enum dom_code dom_row_body_decode(struct dom_row_body *body, uint8_t format, struct dom_slice bytes,
                                  struct dom_arena *arena, struct dom_error *err)
{
    struct reader reader = {.at = bytes.data, .left = bytes.len, .ok = true};
    uint64_t sets[DOM_FIELDS_MAX];
    uint64_t *lies = NULL;

    *body = (struct dom_row_body){0};
    body->kind = take_slice(&reader, take(&reader, 1)[0]);
    body->id = take_slice(&reader, dom_get_u16be(take(&reader, 2)));
    memcpy(body->home, take(&reader, 2), 2);
    body->create_time_ms = (int64_t)dom_get_u64be(take(&reader, 8));
    body->update_time_ms = (int64_t)dom_get_u64be(take(&reader, 8));
    body->copies = dom_get_u64be(take(&reader, 8));
    size_t num_sets = take_sets(&reader, format, body, sets);
    body->num_fields = dom_get_u16be(take(&reader, 2));
    if (!reader.ok || body->num_fields > DOM_FIELDS_MAX) {
        return DOM_FAIL(err, DOM_CORRUPT, "row body is cut short");
    }
    body->fields = dom_arena_alloc(arena, body->num_fields * sizeof(*body->fields));
    if (num_sets > 0) {
        lies = dom_arena_alloc(arena, body->num_fields * sizeof(*lies));
    }
    if (body->fields == NULL || (num_sets > 0 && lies == NULL)) {
        return DOM_FAIL(err, DOM_RESOURCE, "row needs more memory than the request may have");
    }
    take_fields(&reader, format, body, sets, num_sets, lies);
    body->lies = lies;
    if (!reader.ok || reader.left != 0) {
        return DOM_FAIL(err, DOM_CORRUPT, "row body has a wrong length");
    }
    return DOM_OK;
}

void dom_row_cipher_cleanup(struct dom_row_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher->ctx);
    *cipher = (struct dom_row_cipher){0};
}

/* The key schedule costs more than a small row: it is kept as long as the epoch stays. */
static bool use_key(struct dom_row_cipher *cipher, const struct dom_keyring *keys, uint32_t epoch,
                    bool seals)
{
    if (cipher->ctx != NULL && cipher->epoch == epoch && cipher->seals == seals) {
        return true;
    }
    const uint8_t *key = dom_keyring_data_of(keys, epoch);
    if (key == NULL) {
        return false;
    }
    if (cipher->ctx == NULL) {
        cipher->ctx = EVP_CIPHER_CTX_new();
        DOM_ASSERT(cipher->ctx != NULL);
    }
    DOM_ASSERT(EVP_CipherInit_ex(cipher->ctx, EVP_aes_256_gcm(), NULL, key, NULL, seals) == 1);
    cipher->epoch = epoch;
    cipher->seals = seals;
    return true;
}

/* `header` with its label, as it lies in the value. */
static void start(struct dom_row_cipher *cipher, const struct dom_row_place *place,
                  struct dom_slice header, const uint8_t *nonce)
{
    uint8_t aad[DOM_POLICY_NAME_BYTES_MAX + DOM_ROW_KEY_BYTES_MAX + DOM_ROW_HEADER_SIZE + 2U +
                DOM_ROW_LABEL_BYTES_MAX];
    uint8_t *at = aad;
    int len = 0;

    DOM_ASSERT(place->region.len <= DOM_POLICY_NAME_BYTES_MAX);
    DOM_ASSERT(place->key.len <= DOM_ROW_KEY_BYTES_MAX);
    at = put_bytes(at, place->region);
    at = put_bytes(at, place->key);
    at = put_bytes(at, header);
    DOM_ASSERT(EVP_CipherInit_ex(cipher->ctx, NULL, NULL, NULL, nonce, -1) == 1);
    DOM_ASSERT(EVP_CipherUpdate(cipher->ctx, NULL, &len, aad, (int)(at - aad)) == 1);
}

size_t dom_row_seal(struct dom_row_cipher *cipher, const struct dom_row_place *place,
                    const struct dom_row_header *header, struct dom_slice body, uint8_t *out)
{
    int len = 0;

    dom_row_header_encode(header, out);
    size_t header_size = dom_row_header_size(header);
    uint8_t *at = out + header_size;
    if ((header->flags & DOM_ROW_PLAIN) != 0) {
        return (size_t)(put_bytes(at, body) - out);
    }
    DOM_ASSERT(use_key(cipher, place->keys, header->epoch, true));
    start(cipher, place, dom_slice_of(out, header_size), header->nonce);
    DOM_ASSERT(EVP_CipherUpdate(cipher->ctx, at, &len, body.data, (int)body.len) == 1);
    DOM_ASSERT((size_t)len == body.len);
    DOM_ASSERT(EVP_CipherFinal_ex(cipher->ctx, at + len, &len) == 1);
    DOM_ASSERT(EVP_CIPHER_CTX_ctrl(cipher->ctx, EVP_CTRL_GCM_GET_TAG, DOM_ROW_SEAL_SIZE,
                                   at + body.len) == 1);
    return header_size + body.len + DOM_ROW_SEAL_SIZE;
}

static enum dom_code open_sealed(struct dom_row_cipher *cipher, const struct dom_row_place *place,
                                 const struct dom_row_header *header, struct dom_slice value,
                                 uint8_t *out, size_t body_len, struct dom_error *err)
{
    uint8_t tag[DOM_ROW_SEAL_SIZE];
    int len = 0;

    if (!use_key(cipher, place->keys, header->epoch, false)) {
        return DOM_FAIL(err, DOM_CORRUPT, "row sealed with data key %u, which the key file lacks",
                        (unsigned)header->epoch);
    }
    memcpy(tag, value.data + value.len - sizeof(tag), sizeof(tag));
    size_t header_size = dom_row_header_size(header);
    start(cipher, place, dom_slice_of(value.data, header_size), header->nonce);
    DOM_ASSERT(EVP_CipherUpdate(cipher->ctx, out, &len, value.data + header_size,
                                (int)body_len) == 1);
    DOM_ASSERT(EVP_CIPHER_CTX_ctrl(cipher->ctx, EVP_CTRL_GCM_SET_TAG, sizeof(tag), tag) == 1);
    if (EVP_CipherFinal_ex(cipher->ctx, out + len, &len) != 1) {
        return DOM_FAIL(err, DOM_CORRUPT, "row does not authenticate: damaged or moved");
    }
    return DOM_OK;
}

enum dom_code dom_row_open(struct dom_row_cipher *cipher, const struct dom_row_place *place,
                           struct dom_slice value, bool plain_allowed, struct dom_arena *arena,
                           struct dom_row_header *header, struct dom_slice *body,
                           struct dom_error *err)
{
    *body = (struct dom_slice){0};
    enum dom_code rc = dom_row_header_parse(header, value, err);
    if (rc != DOM_OK) {
        return rc;
    }
    bool plain = (header->flags & DOM_ROW_PLAIN) != 0;
    if (plain && !plain_allowed) {
        return DOM_FAIL(err, DOM_CORRUPT, "row is not sealed");
    }
    size_t overhead = dom_row_header_size(header) + (plain ? 0 : DOM_ROW_SEAL_SIZE);
    if (value.len < overhead || value.len > INT32_MAX) {
        return DOM_FAIL(err, DOM_CORRUPT, "row of %zu bytes: too short or long", value.len);
    }
    size_t len = value.len - overhead;
    uint8_t *out = dom_arena_alloc(arena, len);
    if (out == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "row of %zu bytes: more than the request may have", len);
    }
    if (plain) {
        memcpy(out, value.data + dom_row_header_size(header), len);
    } else {
        rc = open_sealed(cipher, place, header, value, out, len, err);
    }
    if (rc == DOM_OK) {
        *body = dom_slice_of(out, len);
    }
    return rc;
}
