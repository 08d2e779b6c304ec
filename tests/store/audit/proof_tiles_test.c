/* Proofs from tiles alone touch no more tiles than the format wants: each tile that holds a hash
 * of the proof once, and no other. The wanted set is found here by RFC 6962's own recursion. */
#include <stdio.h>
#include <stdlib.h>

#include "store/audit/tiledir.h"
#include "store/audit/tree.h"
#include "tests/store/audit/testing.h"

#define WANTED_MAX 64U

/* The tiles of a proof, by that recursion. */
struct wanted {
    size_t num;
    struct dom_tile tiles[WANTED_MAX];
};

static void want_tile(struct wanted *w, int level, uint64_t n)
{
    for (size_t i = 0; i < w->num; i++) {
        if (w->tiles[i].level == level && w->tiles[i].n == n) {
            return;
        }
    }
    assert_true(w->num < WANTED_MAX);
    w->tiles[w->num++] = (struct dom_tile){.level = level, .n = n};
}

/* MTH(D[lo:hi]): complete subtrees lie in tiles, others are made of two halves. */
static void want_subtree(struct wanted *w, uint64_t lo, uint64_t hi)
{
    uint64_t count = hi - lo;
    unsigned height = (unsigned)__builtin_ctzll(count);

    if ((count & (count - 1)) == 0) {
        int level = (int)(height / 8);
        want_tile(w, level, (lo >> (8 * level)) / DOM_TILE_WIDTH);
        return;
    }
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(count - 1));
    want_subtree(w, lo, lo + half);
    want_subtree(w, lo + half, hi);
}

/* PATH(m, D[lo:hi]) of section 2.1.1. */
static void want_path(struct wanted *w, uint64_t m, uint64_t lo, uint64_t hi)
{
    if (hi - lo == 1) {
        return;
    }
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(hi - lo - 1));
    if (m < lo + half) {
        want_path(w, m, lo, lo + half);
        want_subtree(w, lo + half, hi);
    } else {
        want_path(w, m, lo + half, hi);
        want_subtree(w, lo, lo + half);
    }
}

/* SUBPROOF(m, D[lo:hi], b) of section 2.1.2; m counts from lo. */
static void want_subproof(struct wanted *w, uint64_t m, uint64_t lo, uint64_t hi, bool known)
{
    if (m == hi - lo) {
        if (!known) {
            want_subtree(w, lo, hi);
        }
        return;
    }
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(hi - lo - 1));
    if (m <= half) {
        want_subproof(w, m, lo, lo + half, known);
        want_subtree(w, lo + half, hi);
    } else {
        want_subproof(w, m - half, lo + half, hi, false);
        want_subtree(w, lo, lo + half);
    }
}

/* At most one full tile per level on the way up, and the right edge of each. */
static uint64_t bound(uint64_t size)
{
    uint64_t levels = 0;

    for (uint64_t hashes = size; hashes > 0; hashes /= DOM_TILE_WIDTH) {
        levels++;
    }
    return 2 * levels;
}

static void prove_at(const char *dir, uint64_t size, uint64_t at)
{
    struct dom_tiledir tiledir;
    struct wanted wanted = {0};
    struct dom_proof proof;

    assert_int_equal(dom_tiledir_init(&tiledir, dir, size, NULL), DOM_OK);
    struct dom_hash_reader reader = dom_tiledir_reader(&tiledir);
    assert_int_equal(dom_prove_inclusion(&proof, &reader, at, size, NULL), DOM_OK);
    want_path(&wanted, at, 0, size);
    assert_int_equal(tiledir.num_reads, wanted.num);
    assert_true(tiledir.num_reads <= bound(size));
    dom_tiledir_cleanup(&tiledir);

    assert_int_equal(dom_tiledir_init(&tiledir, dir, size, NULL), DOM_OK);
    reader = dom_tiledir_reader(&tiledir);
    assert_int_equal(dom_prove_consistency(&proof, &reader, at + 1, size, NULL), DOM_OK);
    wanted.num = 0;
    want_subproof(&wanted, at + 1, 0, size, true);
    assert_int_equal(tiledir.num_reads, wanted.num);
    assert_true(tiledir.num_reads <= bound(size));
    dom_tiledir_cleanup(&tiledir);
}

static void no_tile_more_than_wanted(void **state)
{
    static const uint64_t sizes[] = {1,   2,   255,   256,   257,   511,
                                     513, 700, 65535, 65536, 65537, 66000};
    struct testing_log log;
    char dir[512];
    uint64_t published = 0;
    (void)state;

    (void)snprintf(dir, sizeof(dir), "%s/log", testing_folder());
    testing_log_init(&log);
    for (size_t i = 0; i < DOM_ARRAY_LEN(sizes); i++) {
        uint64_t size = sizes[i];
        while (log.tree.edge.size < size) {
            uint64_t next = log.tree.edge.size;
            testing_log_append(&log, dom_slice_of(&next, sizeof(next)));
        }
        testing_log_publish(&log, dir, published);
        published = size;
        uint64_t step = size < 1000 ? 1 : 379;
        for (uint64_t at = 0; at < size; at += step) {
            prove_at(dir, size, at);
        }
        prove_at(dir, size, size - 1);
    }
    testing_log_cleanup(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_tile_more_than_wanted)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
