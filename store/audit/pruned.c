#include "store/audit/pruned.h"

#include <stdio.h>
#include <string.h>

#include "store/audit/line_internal.h"
#include "store/audit/tile.h"

#define HEADER "domicile-audit-pruned/v1"

static bool sensible(const struct dom_pruned *pruned)
{
    return pruned->first % DOM_TILE_WIDTH == 0 && pruned->entry >= pruned->first &&
           pruned->entry < DOM_TREE_SIZE_MAX;
}

enum dom_code dom_pruned_sign(const struct dom_note_signer *signer, const struct dom_pruned *pruned,
                              struct dom_buffer *out, struct dom_error *err)
{
    struct dom_buffer text = {0};

    if (!sensible(pruned)) {
        return DOM_FAIL(err, DOM_INVALID, "cannot prune to %llu by entry %llu",
                        (unsigned long long)pruned->first, (unsigned long long)pruned->entry);
    }
    dom_buffer_printf(&text, HEADER "\n%s\nfirst %llu\nentry %llu\n", signer->key.name,
                      (unsigned long long)pruned->first, (unsigned long long)pruned->entry);
    enum dom_code rc = text.failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory")
                                   : dom_note_sign(signer, dom_buffer_slice(&text), out, err);
    dom_buffer_cleanup(&text);
    return rc;
}

static enum dom_code parse_text(struct dom_pruned *pruned, struct dom_slice *origin,
                                struct dom_slice text, struct dom_error *err)
{
    struct dom_slice line;
    struct dom_pruned found = {0};

    *pruned = found;
    if (!dom_take_line(&text, &line) || !dom_slice_eq_str(line, HEADER) ||
        !dom_take_line(&text, origin)) {
        return DOM_FAIL(err, DOM_PARSE, "pruned: line 1 is not \"" HEADER "\"");
    }
    if (!dom_take_line(&text, &line) || !dom_line_cut(&line, "first ") ||
        !dom_line_decimal(line, &found.first)) {
        return DOM_FAIL(err, DOM_PARSE, "pruned: line 3 is not \"first <index>\"");
    }
    if (!dom_take_line(&text, &line) || !dom_line_cut(&line, "entry ") ||
        !dom_line_decimal(line, &found.entry) || text.len > 0) {
        return DOM_FAIL(err, DOM_PARSE, "pruned: line 4 is not \"entry <index>\", the last");
    }
    if (!sensible(&found)) {
        return DOM_FAIL(err, DOM_PARSE, "pruned: it cannot have been pruned to %llu by entry %llu",
                        (unsigned long long)found.first, (unsigned long long)found.entry);
    }
    *pruned = found;
    return DOM_OK;
}

enum dom_code dom_pruned_parse(struct dom_pruned *pruned, struct dom_slice bytes,
                               struct dom_error *err)
{
    struct dom_note note;
    struct dom_slice origin;

    *pruned = (struct dom_pruned){0};
    enum dom_code rc = dom_note_parse(&note, bytes, err);
    return rc == DOM_OK ? parse_text(pruned, &origin, note.text, err) : rc;
}

enum dom_code dom_pruned_open(struct dom_pruned *pruned, struct dom_slice bytes, const char *origin,
                              const struct dom_note_key *keys, size_t num_keys,
                              struct dom_error *err)
{
    struct dom_slice named = {0};
    struct dom_note note;
    enum dom_code rc = dom_note_parse(&note, bytes, err);

    *pruned = (struct dom_pruned){0};
    if (rc == DOM_OK) {
        rc = parse_text(pruned, &named, note.text, err);
    }
    if (rc == DOM_OK && !dom_slice_eq_str(named, origin)) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "pruned: it is about another log");
    }
    bool by_log = false;
    for (size_t i = 0; i < num_keys && rc == DOM_OK && !by_log; i++) {
        if (keys[i].type == DOM_KEY_ED25519 && strcmp(keys[i].name, origin) == 0) {
            enum dom_code signed_rc = dom_note_verify(&note, &keys[i], 1, NULL, err);
            by_log = signed_rc == DOM_OK;
            rc = signed_rc == DOM_TAMPERED ? signed_rc : DOM_OK;
        }
    }
    if (rc == DOM_OK && !by_log) {
        rc = DOM_FAIL(err, DOM_UNAUTHENTICATED, "pruned: not signed by a known key of %s", origin);
    }
    if (rc != DOM_OK) {
        *pruned = (struct dom_pruned){0};
    }
    return rc;
}

static bool has(struct dom_slice entry, const char *part)
{
    return memmem(entry.data, entry.len, part, strlen(part)) != NULL;
}

/* Entries are canonical, and a quotation mark within a text has a backslash before it: these
 * members are found as bytes, and nothing else reads like them. */
bool dom_pruned_entry_says(struct dom_slice entry, uint64_t first)
{
    char member[64];

    (void)snprintf(member, sizeof(member), "\"first\":%llu,", (unsigned long long)first);
    return entry.len > 0 && has(entry, "\"type\":\"purge\"") &&
           has(entry, "{\"action\":\"prune\"") && has(entry, member);
}
