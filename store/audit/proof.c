#include "store/audit/proof.h"

#include "base/encode.h"
#include "base/note/note.h"
#include "store/audit/bundle.h"
#include "store/audit/line_internal.h"

#define HEADER "c2sp.org/tlog-proof@v1"

enum dom_code dom_proof_file_encode(struct dom_slice entry, uint64_t index,
                                    const struct dom_proof *proof, struct dom_slice checkpoint,
                                    struct dom_buffer *out, struct dom_error *err)
{
    char hash[DOM_HASH_TEXT_LEN + 1];

    if (entry.len > DOM_BUNDLE_ENTRY_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "proof file: entry of %zu bytes", entry.len);
    }
    dom_buffer_append_str(out, HEADER "\n");
    if (entry.len > 0) {
        dom_buffer_append_str(out, "extra ");
        uint8_t *at = dom_buffer_extend(out, DOM_BASE64_LEN(entry.len) + 1);
        if (at != NULL) {
            (void)dom_base64_encode((char *)at, entry);
            at[DOM_BASE64_LEN(entry.len)] = '\n';
        }
    }
    dom_buffer_printf(out, "index %llu\n", (unsigned long long)index);
    for (unsigned i = 0; i < proof->num_hashes; i++) {
        (void)dom_base64_encode(hash, dom_hash_slice(&proof->hashes[i]));
        dom_buffer_printf(out, "%s\n", hash);
    }
    dom_buffer_append_char(out, '\n');
    dom_buffer_append_slice(out, checkpoint);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a proof file") : DOM_OK;
}

static enum dom_code parse_extra(struct dom_proof_file *file, struct dom_slice text,
                                 struct dom_error *err)
{
    size_t len = 0;

    uint8_t *at = dom_buffer_extend(&file->extra, text.len);
    if (at == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory for a proof file");
    }
    if (!dom_base64_decode(at, text.len, &len, text) || len > DOM_BUNDLE_ENTRY_BYTES_MAX) {
        return DOM_FAIL(err, DOM_PARSE, "proof file: extra is not base64 of an entry");
    }
    file->extra.len = len;
    file->has_extra = true;
    return DOM_OK;
}

static enum dom_code parse_hashes(struct dom_proof_file *file, struct dom_slice *rest,
                                  struct dom_error *err)
{
    struct dom_slice line;

    for (;;) {
        if (!dom_take_line(rest, &line)) {
            return DOM_FAIL(err, DOM_PARSE, "proof file: no empty line before the checkpoint");
        }
        if (line.len == 0) {
            return DOM_OK;
        }
        if (file->proof.num_hashes == DOM_PROOF_HASHES_MAX) {
            return DOM_FAIL(err, DOM_PARSE, "proof file: over %u hashes", DOM_PROOF_HASHES_MAX);
        }
        if (!dom_line_hash(line, &file->proof.hashes[file->proof.num_hashes])) {
            return DOM_FAIL(err, DOM_PARSE, "proof file: line %u is no hash",
                            file->proof.num_hashes + 1);
        }
        file->proof.num_hashes++;
    }
}

static enum dom_code parse_lines(struct dom_proof_file *file, struct dom_slice rest,
                                 struct dom_error *err)
{
    struct dom_slice line;
    enum dom_code rc = DOM_OK;

    if (!dom_take_line(&rest, &line) || !dom_slice_eq_str(line, HEADER)) {
        return DOM_FAIL(err, DOM_PARSE, "proof file: line 1 is not " HEADER);
    }
    if (!dom_take_line(&rest, &line)) {
        return DOM_FAIL(err, DOM_PARSE, "proof file: it ends after line 1");
    }
    if (dom_line_cut(&line, "extra ")) {
        rc = parse_extra(file, line, err);
        if (rc == DOM_OK && !dom_take_line(&rest, &line)) {
            rc = DOM_FAIL(err, DOM_PARSE, "proof file: it ends after extra");
        }
    }
    if (rc == DOM_OK && (!dom_line_cut(&line, "index ") || !dom_line_decimal(line, &file->index))) {
        rc = DOM_FAIL(err, DOM_PARSE, "proof file: \"index <n>\" is wanted");
    }
    if (rc == DOM_OK) {
        rc = parse_hashes(file, &rest, err);
    }
    file->checkpoint = rest;
    return rc;
}

enum dom_code dom_proof_file_parse(struct dom_proof_file *file, struct dom_slice bytes,
                                   struct dom_error *err)
{
    memset(file, 0, sizeof(*file));
    if (bytes.len > DOM_PROOF_FILE_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "proof file: over %u bytes", DOM_PROOF_FILE_BYTES_MAX);
    }
    enum dom_code rc = parse_lines(file, bytes, err);
    if (rc != DOM_OK) {
        dom_proof_file_cleanup(file);
    }
    return rc;
}

void dom_proof_file_cleanup(struct dom_proof_file *file)
{
    dom_buffer_cleanup(&file->extra);
    memset(file, 0, sizeof(*file));
}

enum dom_code dom_proof_file_check(const struct dom_proof_file *file, struct dom_slice entry,
                                   const struct dom_note_key *keys, size_t num_keys,
                                   struct dom_checkpoint *checkpoint, struct dom_hash *leaf,
                                   struct dom_error *err)
{
    struct dom_checkpoint found;
    struct dom_hash hash;

    memset(checkpoint, 0, sizeof(*checkpoint));
    memset(leaf, 0, sizeof(*leaf));
    if (file->has_extra) {
        if (entry.len > 0 && !dom_slice_eq(entry, dom_buffer_slice(&file->extra))) {
            return DOM_FAIL(err, DOM_TAMPERED, "proof file: it proves another entry");
        }
        entry = dom_buffer_slice(&file->extra);
    } else if (entry.len == 0) {
        return DOM_FAIL(err, DOM_INVALID, "proof file: it has no entry and none is given");
    }
    enum dom_code rc = dom_checkpoint_open(&found, file->checkpoint, keys, num_keys, NULL, err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_hash_leaf(&hash, entry);
    rc = dom_check_inclusion(&file->proof, file->index, found.head.size, &hash, &found.head.root,
                             err);
    if (rc == DOM_OK) {
        *checkpoint = found;
        *leaf = hash;
    }
    return rc;
}
