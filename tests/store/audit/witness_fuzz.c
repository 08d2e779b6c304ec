/* Any bytes as a trust policy and as an add-checkpoint request. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "store/audit/quorum.h"
#include "store/audit/witness.h"

static enum dom_code load(void *impl, struct dom_slice origin, struct dom_tree_head *head,
                          struct dom_error *err)
{
    (void)origin;
    (void)err;
    memcpy(head, impl, sizeof(*head));
    return DOM_OK;
}

static enum dom_code save(void *impl, struct dom_slice origin, struct dom_slice checkpoint,
                          const struct dom_tree_head *head, struct dom_error *err)
{
    struct dom_tree_head *last = impl;

    (void)origin;
    (void)checkpoint;
    (void)err;
    DOM_ASSERT(head->size > last->size);
    *last = *head;
    return DOM_OK;
}

static void try_request(struct dom_slice bytes)
{
    static const char s_vkey[] =
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    static const uint8_t s_seed[32] = {1};
    struct dom_tree_head last = {0};
    struct dom_witness_store store = {.load = load, .save = save, .impl = &last};
    struct dom_witness_answer answer;
    struct dom_note_signer signer;
    struct dom_witness witness;
    struct dom_note_key key;

    DOM_ASSERT(dom_note_key_parse(&key, dom_slice_str(s_vkey), NULL) == DOM_OK);
    DOM_ASSERT(dom_note_signer_init(&signer, DOM_SLICE_LIT("w"), DOM_KEY_COSIGNATURE, s_seed,
                                    NULL) == DOM_OK);
    DOM_ASSERT(dom_witness_init(&witness, &signer, &store, NULL) == DOM_OK);
    enum dom_code rc = dom_witness_add_checkpoint(&witness, &key, 1, bytes, 1, &answer, NULL);
    DOM_ASSERT((rc == DOM_OK) == (answer.status == 200));
    DOM_ASSERT(answer.body.len > 0);
    dom_witness_answer_cleanup(&answer);
    dom_witness_cleanup(&witness);
    dom_note_key_cleanup(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_slice bytes = dom_slice_of(data, size);
    struct dom_quorum_result result;
    struct dom_quorum *quorum = NULL;

    if (dom_quorum_parse(&quorum, bytes, NULL) == DOM_OK) {
        (void)!dom_quorum_judge(quorum, bytes, &result, NULL);
        dom_quorum_destroy(quorum);
    }
    try_request(bytes);
    return 0;
}
