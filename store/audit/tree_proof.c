/* Proofs: which subtrees a proof names, how they are read from tiles, and how one is checked. */
#include "base/assert.h"
#include "store/audit/tree.h"

/* A complete subtree of 2^height leaves that begins at leaf `first`. */
struct subtree {
    uint64_t first;
    unsigned height;
    bool read;
    struct dom_hash hash;
};

/* A proof hash is that of a run of leaves: complete subtrees from left to right, the largest
 * first. Only a run that ends at the right edge has more than one, and each proof names at most
 * one such run: 62 runs and 62 pieces bound them all. */
#define SUBTREES_MAX 128U

struct plan {
    uint64_t size;
    unsigned num_subtrees;
    struct subtree subtrees[SUBTREES_MAX];
    unsigned num_runs;
    unsigned run_end[DOM_PROOF_HASHES_MAX]; /* index of the first subtree after run i */
};

static uint64_t largest_power_below(uint64_t n)
{
    DOM_ASSERT(n >= 2);
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

static void plan_run(struct plan *plan, uint64_t lo, uint64_t hi)
{
    uint64_t left = hi - lo;

    while (left > 0) {
        unsigned height = (unsigned)(63 - __builtin_clzll(left));
        DOM_ASSERT(plan->num_subtrees < SUBTREES_MAX);
        plan->subtrees[plan->num_subtrees++] = (struct subtree){.first = lo, .height = height};
        lo += UINT64_C(1) << height;
        left -= UINT64_C(1) << height;
    }
    DOM_ASSERT(plan->num_runs < DOM_PROOF_HASHES_MAX);
    plan->run_end[plan->num_runs++] = plan->num_subtrees;
}

static int subtree_level(const struct subtree *s)
{
    return (int)(s->height / 8U);
}

/* Index, in its level, of the first hash under the subtree. */
static uint64_t subtree_index(const struct subtree *s)
{
    return s->first >> (8U * (s->height / 8U));
}

static unsigned subtree_width(const struct subtree *s)
{
    return 1U << (s->height % 8U);
}

static void fold(const struct dom_hash *in, unsigned count, struct dom_hash *out)
{
    struct dom_hash work[DOM_TILE_WIDTH / 2];

    if (count == 1) {
        *out = in[0];
        return;
    }
    for (unsigned i = 0; i < count / 2; i++) {
        dom_hash_node(&work[i], &in[2 * i], &in[2 * i + 1]);
    }
    for (count /= 2; count > 1; count /= 2) {
        for (unsigned i = 0; i < count / 2; i++) {
            dom_hash_node(&work[i], &work[2 * i], &work[2 * i + 1]);
        }
    }
    *out = work[0];
}

/* Reads, in one go, what all planned subtrees need from the tile that holds subtree `at`. */
static enum dom_code read_tile_of(struct plan *plan, unsigned at,
                                  const struct dom_hash_reader *reader, struct dom_error *err)
{
    struct dom_hash hashes[DOM_TILE_WIDTH];
    int level = subtree_level(&plan->subtrees[at]);
    uint64_t tile = subtree_index(&plan->subtrees[at]) / DOM_TILE_WIDTH;
    uint64_t lo = UINT64_MAX;
    uint64_t hi = 0;

    for (unsigned i = at; i < plan->num_subtrees; i++) {
        const struct subtree *s = &plan->subtrees[i];
        uint64_t index = subtree_index(s);
        if (subtree_level(s) == level && index / DOM_TILE_WIDTH == tile) {
            lo = index < lo ? index : lo;
            hi = index + subtree_width(s) > hi ? index + subtree_width(s) : hi;
        }
    }
    DOM_ASSERT(hi > lo && hi - lo <= DOM_TILE_WIDTH);
    enum dom_code rc = reader->read(reader->impl, level, lo, (unsigned)(hi - lo), hashes, err);
    if (rc != DOM_OK) {
        return rc;
    }
    for (unsigned i = at; i < plan->num_subtrees; i++) {
        struct subtree *s = &plan->subtrees[i];
        uint64_t index = subtree_index(s);
        if (subtree_level(s) == level && index / DOM_TILE_WIDTH == tile) {
            fold(hashes + (index - lo), subtree_width(s), &s->hash);
            s->read = true;
        }
    }
    return DOM_OK;
}

/* The runs were planned from the root down; a proof is written from the leaf up. */
static enum dom_code finish(struct plan *plan, const struct dom_hash_reader *reader,
                            struct dom_proof *proof, struct dom_error *err)
{
    for (unsigned i = 0; i < plan->num_subtrees; i++) {
        if (!plan->subtrees[i].read) {
            enum dom_code rc = read_tile_of(plan, i, reader, err);
            if (rc != DOM_OK) {
                return rc;
            }
        }
    }
    for (unsigned run = 0; run < plan->num_runs; run++) {
        unsigned begin = run == 0 ? 0 : plan->run_end[run - 1];
        unsigned end = plan->run_end[run];
        struct dom_hash hash = plan->subtrees[end - 1].hash;
        for (unsigned i = end - 1; i-- > begin;) {
            dom_hash_node(&hash, &plan->subtrees[i].hash, &hash);
        }
        proof->hashes[plan->num_runs - 1 - run] = hash;
    }
    proof->num_hashes = plan->num_runs;
    return DOM_OK;
}

enum dom_code dom_prove_inclusion(struct dom_proof *proof, const struct dom_hash_reader *reader,
                                  uint64_t index, uint64_t size, struct dom_error *err)
{
    struct plan plan = {.size = size};
    uint64_t lo = 0;
    uint64_t hi = size;

    proof->num_hashes = 0;
    if (size > DOM_TREE_SIZE_MAX || index >= size) {
        return DOM_FAIL(err, DOM_INVALID, "index %llu is not in a tree of size %llu",
                        (unsigned long long)index, (unsigned long long)size);
    }
    while (hi - lo > 1) {
        uint64_t mid = lo + largest_power_below(hi - lo);
        if (index < mid) {
            plan_run(&plan, mid, hi);
            hi = mid;
        } else {
            plan_run(&plan, lo, mid);
            lo = mid;
        }
    }
    return finish(&plan, reader, proof, err);
}

enum dom_code dom_prove_consistency(struct dom_proof *proof, const struct dom_hash_reader *reader,
                                    uint64_t old_size, uint64_t new_size, struct dom_error *err)
{
    struct plan plan = {.size = new_size};
    uint64_t lo = 0;
    uint64_t hi = new_size;

    proof->num_hashes = 0;
    if (new_size > DOM_TREE_SIZE_MAX || old_size > new_size) {
        return DOM_FAIL(err, DOM_INVALID, "no tree of size %llu begins with one of size %llu",
                        (unsigned long long)new_size, (unsigned long long)old_size);
    }
    if (old_size == 0 || old_size == new_size) {
        return DOM_OK;
    }
    while (old_size != hi) {
        uint64_t mid = lo + largest_power_below(hi - lo);
        if (old_size <= mid) {
            plan_run(&plan, mid, hi);
            hi = mid;
        } else {
            plan_run(&plan, lo, mid);
            lo = mid;
        }
    }
    if (lo > 0) {
        /* Only when lo is 0 is this subtree the old tree itself, whose root the checker has. */
        plan_run(&plan, lo, hi);
    }
    return finish(&plan, reader, proof, err);
}

/* ---- checking ------------------------------------------------------------------------------ */

enum dom_code dom_check_inclusion(const struct dom_proof *proof, uint64_t index, uint64_t size,
                                  const struct dom_hash *leaf, const struct dom_hash *root,
                                  struct dom_error *err)
{
    uint64_t fn = index;
    uint64_t sn = size - 1;
    struct dom_hash hash = *leaf;

    if (index >= size) {
        return DOM_FAIL(err, DOM_TAMPERED, "index %llu is not in a tree of size %llu",
                        (unsigned long long)index, (unsigned long long)size);
    }
    for (unsigned i = 0; i < proof->num_hashes; i++) {
        if (sn == 0) {
            return DOM_FAIL(err, DOM_TAMPERED, "inclusion proof has too many hashes");
        }
        if ((fn & 1U) != 0 || fn == sn) {
            dom_hash_node(&hash, &proof->hashes[i], &hash);
            while ((fn & 1U) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            dom_hash_node(&hash, &hash, &proof->hashes[i]);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0) {
        return DOM_FAIL(err, DOM_TAMPERED, "inclusion proof has too few hashes");
    }
    if (!dom_hash_eq(&hash, root)) {
        return DOM_FAIL(err, DOM_TAMPERED, "inclusion proof leads to another root");
    }
    return DOM_OK;
}

static bool is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* The walk of RFC 9162 section 2.1.4.2, steps 3 to 6, for 0 < old size < new size. */
static bool walk_consistency(const struct dom_proof *proof, const struct dom_tree_head *old_head,
                             const struct dom_tree_head *new_head)
{
    uint64_t fn = old_head->size - 1;
    uint64_t sn = new_head->size - 1;
    bool prepend = is_power_of_two(old_head->size);
    unsigned next = prepend ? 0 : 1;
    struct dom_hash fr = prepend ? old_head->root : proof->hashes[0];
    struct dom_hash sr = fr;

    while ((fn & 1U) != 0) {
        fn >>= 1;
        sn >>= 1;
    }
    for (unsigned i = next; i < proof->num_hashes; i++) {
        const struct dom_hash *c = &proof->hashes[i];
        if (sn == 0) {
            return false;
        }
        if ((fn & 1U) != 0 || fn == sn) {
            dom_hash_node(&fr, c, &fr);
            dom_hash_node(&sr, c, &sr);
            while ((fn & 1U) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            dom_hash_node(&sr, &sr, c);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && dom_hash_eq(&fr, &old_head->root) && dom_hash_eq(&sr, &new_head->root);
}

enum dom_code dom_check_consistency(const struct dom_proof *proof,
                                    const struct dom_tree_head *old_head,
                                    const struct dom_tree_head *new_head, struct dom_error *err)
{
    unsigned long long m = old_head->size;
    unsigned long long n = new_head->size;

    if (m == 0 || m > n) {
        return DOM_FAIL(err, DOM_TAMPERED, "size %llu cannot be proven to begin size %llu", m, n);
    }
    if (m == n) {
        if (proof->num_hashes != 0 || !dom_hash_eq(&old_head->root, &new_head->root)) {
            return DOM_FAIL(err, DOM_TAMPERED, "two different trees of size %llu", m);
        }
        return DOM_OK;
    }
    if (proof->num_hashes == 0 || !walk_consistency(proof, old_head, new_head)) {
        return DOM_FAIL(err, DOM_TAMPERED, "size %llu is not the beginning of size %llu", m, n);
    }
    return DOM_OK;
}
