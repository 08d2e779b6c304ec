/* Any bytes as a note, checkpoint, key, proof file and tile path. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "store/audit/checkpoint.h"
#include "store/audit/proof.h"
#include "store/audit/pruned.h"
#include "store/audit/tile.h"

static void try_key(struct dom_slice bytes)
{
    struct dom_note_key key;
    struct dom_note_key again;
    struct dom_buffer text = {0};

    if (dom_note_key_parse(&key, bytes, NULL) == DOM_OK) {
        dom_note_key_format(&key, &text);
        DOM_ASSERT(dom_note_key_parse(&again, dom_buffer_slice(&text), NULL) == DOM_OK);
        DOM_ASSERT(again.id == key.id);
        dom_note_key_cleanup(&again);
        dom_note_key_cleanup(&key);
        dom_buffer_cleanup(&text);
    }
}

static void try_tile_path(struct dom_slice bytes)
{
    struct dom_tile tile;
    char path[DOM_TILE_PATH_SIZE];

    if (dom_tile_path_parse(bytes, &tile)) {
        /* One spelling for each tile. */
        DOM_ASSERT(dom_slice_eq_str(bytes, dom_tile_path(path, tile)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char s_vkey[] =
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    struct dom_slice bytes = dom_slice_of(data, size);
    struct dom_checkpoint checkpoint;
    struct dom_proof_file file;
    struct dom_pruned pruned;
    struct dom_note_key key;
    struct dom_note note;
    struct dom_hash leaf;

    DOM_ASSERT(dom_note_key_parse(&key, dom_slice_str(s_vkey), NULL) == DOM_OK);
    if (dom_note_parse(&note, bytes, NULL) == DOM_OK) {
        DOM_ASSERT(note.text.len > 0 && note.num_signatures > 0);
        (void)!dom_note_verify(&note, &key, 1, NULL, NULL);
        (void)!dom_checkpoint_parse(&checkpoint, note.text, NULL);
    }
    (void)!dom_checkpoint_open(&checkpoint, bytes, &key, 1, NULL, NULL);
    if (dom_proof_file_parse(&file, bytes, NULL) == DOM_OK) {
        (void)!dom_proof_file_check(&file, DOM_SLICE_LIT("x"), &key, 1, &checkpoint, &leaf, NULL);
        dom_proof_file_cleanup(&file);
    }
    if (dom_pruned_parse(&pruned, bytes, NULL) == DOM_OK) {
        DOM_ASSERT(pruned.first % DOM_TILE_WIDTH == 0 && pruned.entry >= pruned.first);
    }
    try_key(bytes);
    try_tile_path(bytes);
    dom_note_key_cleanup(&key);
    return 0;
}
