/* Signed notes: splitting, checking, writing. */
#include "base/note/note.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/note/note_internal.h"

/* An em dash and a space. */
#define LINE_PREFIX "\xE2\x80\x94 "
#define ID_SIZE     4U
#define TIME_SIZE   8U
/* Room for signatures of types that we only carry (ML-DSA-44 has 2,420 bytes). */
#define SIGNATURE_BYTES_MAX 8192U

bool dom_take_line(struct dom_slice *rest, struct dom_slice *line)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);

    if (end == NULL) {
        return false;
    }
    *line = dom_slice_of(rest->data, (size_t)(end - rest->data));
    *rest = dom_slice_of(end + 1, rest->len - line->len - 1);
    return true;
}

static bool text_valid(struct dom_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 && text.data[i] != '\n') {
            return false;
        }
    }
    return dom_utf8_valid(text);
}

static enum dom_code parse_line(struct dom_note_signature *signature, struct dom_slice line,
                                struct dom_error *err)
{
    struct dom_slice prefix = DOM_SLICE_LIT(LINE_PREFIX);
    uint8_t bytes[SIGNATURE_BYTES_MAX];
    size_t len = 0;

    if (line.len < prefix.len || memcmp(line.data, prefix.data, prefix.len) != 0) {
        return DOM_FAIL(err, DOM_PARSE, "note: a signature line does not begin with a dash");
    }
    struct dom_slice rest = dom_slice_of(line.data + prefix.len, line.len - prefix.len);
    const uint8_t *space = rest.len == 0 ? NULL : memchr(rest.data, ' ', rest.len);
    if (space == NULL) {
        return DOM_FAIL(err, DOM_PARSE, "note: a signature line has no key name");
    }
    signature->name = dom_slice_of(rest.data, (size_t)(space - rest.data));
    signature->base64 = dom_slice_of(space + 1, rest.len - signature->name.len - 1);
    if (!dom_note_name_valid(signature->name)) {
        return DOM_FAIL(err, DOM_PARSE, "note: a signature line has a bad key name");
    }
    if (!dom_base64_decode(bytes, sizeof(bytes), &len, signature->base64) || len <= ID_SIZE) {
        return DOM_FAIL(err, DOM_PARSE, "note: a signature is not base64 of %u to %u bytes",
                        ID_SIZE + 1, SIGNATURE_BYTES_MAX);
    }
    signature->id = dom_get_u32be(bytes);
    return DOM_OK;
}

enum dom_code dom_note_parse(struct dom_note *note, struct dom_slice bytes, struct dom_error *err)
{
    struct dom_slice line;

    note->text = dom_slice_of(NULL, 0);
    note->num_signatures = 0;
    if (bytes.len > DOM_NOTE_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "note: over %u bytes", DOM_NOTE_BYTES_MAX);
    }
    if (!text_valid(bytes)) {
        return DOM_FAIL(err, DOM_PARSE, "note: bad UTF-8 or a control character");
    }
    /* The last empty line: the text itself may have others. */
    size_t split = bytes.len;
    while (split >= 2 && (bytes.data[split - 1] != '\n' || bytes.data[split - 2] != '\n')) {
        split--;
    }
    if (split < 2) {
        return DOM_FAIL(err, DOM_PARSE, "note: no empty line before the signatures");
    }
    struct dom_slice rest = dom_slice_of(bytes.data + split, bytes.len - split);
    if (rest.len == 0) {
        return DOM_FAIL(err, DOM_PARSE, "note: no signatures");
    }
    while (rest.len > 0) {
        if (!dom_take_line(&rest, &line)) {
            return DOM_FAIL(err, DOM_PARSE, "note: the last line has no newline");
        }
        if (note->num_signatures == DOM_NOTE_SIGNATURES_MAX) {
            return DOM_FAIL(err, DOM_PARSE, "note: over %u signatures", DOM_NOTE_SIGNATURES_MAX);
        }
        enum dom_code rc = parse_line(&note->signatures[note->num_signatures], line, err);
        if (rc != DOM_OK) {
            return rc;
        }
        note->num_signatures++;
    }
    note->text = dom_slice_of(bytes.data, split - 1);
    return DOM_OK;
}

/* What a cosignature is made over. */
static void cosigned(struct dom_buffer *out, uint64_t time_s, struct dom_slice text)
{
    dom_buffer_printf(out, "cosignature/v1\ntime %llu\n", (unsigned long long)time_s);
    dom_buffer_append_slice(out, text);
}

static bool check_cosignature(const struct dom_note_key *key, struct dom_slice text,
                              uint64_t time_s, struct dom_slice signature)
{
    struct dom_buffer message = {0};

    cosigned(&message, time_s, text);
    bool good = !message.failed && dom_note_key_check(key, dom_buffer_slice(&message), signature);
    dom_buffer_cleanup(&message);
    return good;
}

static bool check_signature(const struct dom_note_key *key, struct dom_slice text,
                            const struct dom_note_signature *signature, uint64_t *time_s)
{
    uint8_t bytes[SIGNATURE_BYTES_MAX];
    size_t len = 0;

    *time_s = 0;
    if (!dom_base64_decode(bytes, sizeof(bytes), &len, signature->base64)) {
        return false;
    }
    if (key->type == DOM_KEY_ED25519) {
        return len == ID_SIZE + DOM_ED25519_SIGNATURE_SIZE &&
               dom_note_key_check(key, text, dom_slice_of(bytes + ID_SIZE, len - ID_SIZE));
    }
    DOM_ASSERT(key->type == DOM_KEY_COSIGNATURE);
    if (len != ID_SIZE + TIME_SIZE + DOM_ED25519_SIGNATURE_SIZE) {
        return false;
    }
    *time_s = dom_get_u64be(bytes + ID_SIZE);
    return check_cosignature(key, text, *time_s,
                             dom_slice_of(bytes + ID_SIZE + TIME_SIZE, DOM_ED25519_SIGNATURE_SIZE));
}

enum dom_code dom_note_verify(const struct dom_note *note, const struct dom_note_key *keys,
                              size_t num_keys, struct dom_note_verdict *verdicts,
                              struct dom_error *err)
{
    size_t num_verified = 0;

    if (verdicts != NULL && num_keys > 0) {
        memset(verdicts, 0, num_keys * sizeof(*verdicts));
    }
    for (size_t k = 0; k < num_keys; k++) {
        for (unsigned i = 0; i < note->num_signatures; i++) {
            const struct dom_note_signature *signature = &note->signatures[i];
            uint64_t time_s = 0;
            if (signature->id != keys[k].id || !dom_slice_eq_str(signature->name, keys[k].name)) {
                continue;
            }
            if (!check_signature(&keys[k], note->text, signature, &time_s)) {
                return DOM_FAIL(err, DOM_TAMPERED, "the signature by %s+%08x does not verify",
                                keys[k].name, keys[k].id);
            }
            num_verified++;
            if (verdicts != NULL) {
                verdicts[k].verified = true;
                verdicts[k].time_s = time_s;
            }
            break; /* A second line by the same key says nothing new. */
        }
    }
    if (num_verified == 0) {
        return DOM_FAIL(err, DOM_UNAUTHENTICATED, "no signature is by a known key");
    }
    return DOM_OK;
}

enum dom_code dom_note_sign_line(const struct dom_note_signer *signer, struct dom_slice text,
                                 uint64_t time_s, struct dom_buffer *out, struct dom_error *err)
{
    uint8_t bytes[ID_SIZE + TIME_SIZE + DOM_ED25519_SIGNATURE_SIZE];
    char base64[DOM_BASE64_LEN(sizeof(bytes)) + 1];
    struct dom_buffer message = {0};
    size_t len = ID_SIZE;

    if (text.len == 0 || text.data[text.len - 1] != '\n' || !text_valid(text)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "a signed text is UTF-8 without control characters and ends in a newline");
    }
    dom_put_u32be(bytes, signer->key.id);
    if (signer->key.type == DOM_KEY_COSIGNATURE) {
        dom_put_u64be(bytes + len, time_s);
        len += TIME_SIZE;
        cosigned(&message, time_s, text);
        text = dom_buffer_slice(&message);
    }
    enum dom_code rc = message.failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory")
                                      : dom_note_signer_sign(signer, text, bytes + len, err);
    dom_buffer_cleanup(&message);
    if (rc != DOM_OK) {
        return rc;
    }
    len += DOM_ED25519_SIGNATURE_SIZE;
    (void)dom_base64_encode(base64, dom_slice_of(bytes, len));
    dom_buffer_printf(out, LINE_PREFIX "%s %s\n", signer->key.name, base64);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a signature") : DOM_OK;
}

enum dom_code dom_note_sign(const struct dom_note_signer *signer, struct dom_slice text,
                            struct dom_buffer *out, struct dom_error *err)
{
    dom_buffer_append_slice(out, text);
    dom_buffer_append_char(out, '\n');
    return dom_note_sign_line(signer, text, 0, out, err);
}
