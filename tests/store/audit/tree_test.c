#include "store/audit/tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "store/audit/tile.h"
#include "store/crypto/sha256.h"
#include "tests/store/audit/testing.h"

static void record_leaf(uint64_t i, struct dom_hash *leaf)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "record %llu", (unsigned long long)i);
    dom_hash_leaf(leaf, dom_slice_of(text, (size_t)len));
}

static void grow(struct dom_memory_tree *tree, uint64_t size)
{
    struct dom_hash leaf;
    while (tree->edge.size < size) {
        record_leaf(tree->edge.size, &leaf);
        assert_int_equal(dom_memory_tree_append(tree, &leaf, NULL), DOM_OK);
    }
}

/* Roots of the trees of leaves "record 0", "record 1", ...; 300 agrees with another log's tree. */
static const struct {
    uint64_t size;
    const char *hex;
} s_roots[] = {
    {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {1, "3b367d6db7bc51726d918b18e9a79e0fce53f867fbe38671f609e6bb59d46035"},
    {255, "12d20e0393b2b10464b55a5269dd066f0b836ea9512a34f13e3ad5c72575f43b"},
    {256, "dc9349f9787ed0086da6d97f679c51a5198f98e456e95b1d87fa3abc012fec31"},
    {257, "7bc95338d9eb756fddd6fcde386a6cd7692116c13bf5abef15dfb7e5358e68ae"},
    {300, "830df5c90aea65909c10e3ebcd7f9ba72de727a4209e04ca9fc1b59b48badae5"},
    {65535, "b6b5e41ae18d95f27664e44411b35f4104fc7946031cb6b5e08c2d5fb08d3a8f"},
    {65536, "1a282a1c4af74dba856a32f9ea63a23259cff8bdd7955affe669e18c2db15aed"},
    {65537, "25e9829b8e55d5b4faf5e832b4707478b79095616521d9aa1deb80ffe24634f8"},
    {66000, "91a62d5d82aa4d42b955a18d4d443f2710276b473811f70645dedcb17944f0be"},
};

static void root_matches_facts_at_tile_borders(void **state)
{
    struct dom_memory_tree tree;
    (void)state;

    dom_memory_tree_init(&tree);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_roots); i++) {
        struct dom_hash want;
        struct dom_hash root;
        struct dom_edge loaded;
        struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
        grow(&tree, s_roots[i].size);
        testing_hash_hex(&want, s_roots[i].hex);
        dom_edge_root(&tree.edge, &root);
        assert_memory_equal(root.bytes, want.bytes, DOM_HASH_SIZE);
        assert_int_equal(dom_edge_load(&loaded, &reader, s_roots[i].size, NULL), DOM_OK);
        dom_edge_root(&loaded, &root);
        assert_memory_equal(root.bytes, want.bytes, DOM_HASH_SIZE);
    }
    dom_memory_tree_cleanup(&tree);
}

static void root_matches_derived_vectors(void **state)
{
    struct dom_memory_tree tree;
    const char *size = NULL;
    json_t *value = NULL;
    size_t checked = 0;
    (void)state;

    json_t *json = testing_vector_json("derived_roots.json");
    json_t *roots = json_object_get(json, "roots");
    dom_memory_tree_init(&tree);
    grow(&tree, 70000);
    json_object_foreach (roots, size, value) {
        struct dom_hash want;
        struct dom_hash root;
        struct dom_edge edge;
        struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
        testing_hash_hex(&want, json_string_value(value));
        assert_int_equal(dom_edge_load(&edge, &reader, strtoull(size, NULL, 10), NULL), DOM_OK);
        dom_edge_root(&edge, &root);
        assert_memory_equal(root.bytes, want.bytes, DOM_HASH_SIZE);
        checked++;
    }
    assert_int_equal(checked, 16);
    dom_memory_tree_cleanup(&tree);
    json_decref(json);
}

static void root_matches_reference_tree(void **state)
{
    struct dom_edge edge;
    struct dom_hash hash;
    struct dom_hash want;
    (void)state;

    json_t *json = testing_vector_json("ct_reference_tree.json");
    json_t *leaves = json_object_get(json, "leaves_hex");
    json_t *roots = json_object_get(json, "roots_hex_by_size");
    json_t *level0 = json_object_get(json_object_get(json, "node_hashes_hex"), "level0");
    dom_edge_init(&edge);
    for (size_t i = 0; i <= json_array_size(leaves); i++) {
        testing_hash_hex(&want, json_string_value(json_array_get(roots, i)));
        dom_edge_root(&edge, &hash);
        assert_memory_equal(hash.bytes, want.bytes, DOM_HASH_SIZE);
        if (i == json_array_size(leaves)) {
            break;
        }
        uint8_t leaf[64];
        const char *hex = json_string_value(json_array_get(leaves, i));
        assert_true(dom_hex_decode(leaf, strlen(hex) / 2, dom_slice_str(hex)));
        dom_hash_leaf(&hash, dom_slice_of(leaf, strlen(hex) / 2));
        testing_hash_hex(&want, json_string_value(json_array_get(level0, i)));
        assert_memory_equal(hash.bytes, want.bytes, DOM_HASH_SIZE);
        dom_edge_append(&edge, &hash, NULL);
    }
    json_decref(json);
}

static void node_and_leaf_are_told_apart(void **state)
{
    struct dom_hash left;
    struct dom_hash right;
    struct dom_hash node;
    struct dom_hash leaf;
    uint8_t both[2 * DOM_HASH_SIZE];
    (void)state;

    record_leaf(0, &left);
    record_leaf(1, &right);
    dom_hash_node(&node, &left, &right);
    memcpy(both, left.bytes, DOM_HASH_SIZE);
    memcpy(both + DOM_HASH_SIZE, right.bytes, DOM_HASH_SIZE);
    dom_hash_leaf(&leaf, dom_slice_of(both, sizeof(both)));
    assert_false(dom_hash_eq(&node, &leaf));
}

static void edge_survives_encoding(void **state)
{
    struct dom_memory_tree tree;
    struct dom_buffer bytes = {0};
    struct dom_edge back;
    (void)state;

    dom_memory_tree_init(&tree);
    for (uint64_t size = 0; size < 70; size++) {
        struct dom_hash a;
        struct dom_hash b;
        grow(&tree, size);
        dom_buffer_clear(&bytes);
        dom_edge_encode(&tree.edge, &bytes);
        assert_int_equal(dom_edge_decode(&back, dom_buffer_slice(&bytes), NULL), DOM_OK);
        dom_edge_root(&tree.edge, &a);
        dom_edge_root(&back, &b);
        assert_true(dom_hash_eq(&a, &b));
        /* One byte less or more is refused. */
        assert_int_equal(dom_edge_decode(&back, dom_slice_of(bytes.data, bytes.len - 1), NULL),
                         DOM_CORRUPT);
        dom_buffer_append_char(&bytes, 'x');
        assert_int_equal(dom_edge_decode(&back, dom_buffer_slice(&bytes), NULL), DOM_CORRUPT);
    }
    dom_buffer_cleanup(&bytes);
    dom_memory_tree_cleanup(&tree);
}

/* ---- proofs ------------------------------------------------------------------------------- */

struct counting {
    struct dom_hash_reader inner;
    unsigned num_reads;
};

static enum dom_code counting_read(void *impl, int level, uint64_t first, unsigned count,
                                   struct dom_hash *out, struct dom_error *err)
{
    struct counting *counting = impl;
    counting->num_reads++;
    assert_true(count >= 1 && count <= DOM_TILE_WIDTH);
    assert_int_equal(first / DOM_TILE_WIDTH, (first + count - 1) / DOM_TILE_WIDTH);
    return counting->inner.read(counting->inner.impl, level, first, count, out, err);
}

static void head_at(struct dom_memory_tree *tree, uint64_t size, struct dom_tree_head *head)
{
    struct dom_edge edge;
    struct dom_hash_reader reader = dom_memory_tree_reader(tree);
    assert_int_equal(dom_edge_load(&edge, &reader, size, NULL), DOM_OK);
    head->size = size;
    dom_edge_root(&edge, &head->root);
}

static void inclusion_proof_of_every_leaf_checks(void **state)
{
    struct dom_memory_tree tree;
    struct dom_proof proof;
    (void)state;

    dom_memory_tree_init(&tree);
    grow(&tree, 70);
    struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
    for (uint64_t size = 1; size <= 70; size++) {
        struct dom_tree_head head;
        head_at(&tree, size, &head);
        for (uint64_t i = 0; i < size; i++) {
            struct dom_hash leaf;
            record_leaf(i, &leaf);
            assert_int_equal(dom_prove_inclusion(&proof, &reader, i, size, NULL), DOM_OK);
            assert_int_equal(dom_check_inclusion(&proof, i, size, &leaf, &head.root, NULL), DOM_OK);
            if (size > 1) {
                assert_int_equal(
                    dom_check_inclusion(&proof, (i + 1) % size, size, &leaf, &head.root, NULL),
                    DOM_TAMPERED);
            }
        }
        assert_int_equal(dom_prove_inclusion(&proof, &reader, size, size, NULL), DOM_INVALID);
    }
    dom_memory_tree_cleanup(&tree);
}

static void inclusion_proofs_across_tile_borders(void **state)
{
    static const uint64_t s_sizes[] = {255, 256, 257, 511, 65535, 65536, 65537, 66000, 70000};
    struct dom_memory_tree tree;
    struct dom_proof proof;
    (void)state;

    dom_memory_tree_init(&tree);
    grow(&tree, 70000);
    struct counting counting = {.inner = dom_memory_tree_reader(&tree)};
    struct dom_hash_reader reader = {.read = counting_read, .impl = &counting};
    for (size_t s = 0; s < DOM_ARRAY_LEN(s_sizes); s++) {
        uint64_t size = s_sizes[s];
        struct dom_tree_head head;
        head_at(&tree, size, &head);
        for (uint64_t i = 0; i < size; i += (i < 300 || i + 300 > size) ? 1 : 977) {
            struct dom_hash leaf;
            record_leaf(i, &leaf);
            counting.num_reads = 0;
            assert_int_equal(dom_prove_inclusion(&proof, &reader, i, size, NULL), DOM_OK);
            assert_int_equal(dom_check_inclusion(&proof, i, size, &leaf, &head.root, NULL), DOM_OK);
            /* Three levels: the path's tile and the right-edge tile of each. */
            assert_true(counting.num_reads <= 5);
        }
    }
    counting.num_reads = 0;
    assert_int_equal(dom_prove_inclusion(&proof, &reader, 0, 65536, NULL), DOM_OK);
    assert_int_equal(counting.num_reads, 2);
    dom_memory_tree_cleanup(&tree);
}

static void consistency_proof_of_every_pair_checks(void **state)
{
    struct dom_memory_tree tree;
    struct dom_proof proof;
    (void)state;

    dom_memory_tree_init(&tree);
    grow(&tree, 70);
    struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
    for (uint64_t n = 1; n <= 70; n++) {
        struct dom_tree_head new_head;
        head_at(&tree, n, &new_head);
        for (uint64_t m = 1; m <= n; m++) {
            struct dom_tree_head old_head;
            head_at(&tree, m, &old_head);
            assert_int_equal(dom_prove_consistency(&proof, &reader, m, n, NULL), DOM_OK);
            assert_int_equal(dom_check_consistency(&proof, &old_head, &new_head, NULL), DOM_OK);
            old_head.root.bytes[5] ^= 1;
            assert_int_equal(dom_check_consistency(&proof, &old_head, &new_head, NULL),
                             DOM_TAMPERED);
        }
        assert_int_equal(dom_prove_consistency(&proof, &reader, n + 1, n, NULL), DOM_INVALID);
    }
    dom_memory_tree_cleanup(&tree);
}

static void consistency_proofs_across_tile_borders(void **state)
{
    static const uint64_t s_sizes[] = {1, 255, 256, 257, 300, 65535, 65536, 65537, 66000, 70000};
    struct dom_memory_tree tree;
    struct dom_proof proof;
    (void)state;

    dom_memory_tree_init(&tree);
    grow(&tree, 70000);
    struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
    for (size_t a = 0; a < DOM_ARRAY_LEN(s_sizes); a++) {
        for (size_t b = a; b < DOM_ARRAY_LEN(s_sizes); b++) {
            struct dom_tree_head old_head;
            struct dom_tree_head new_head;
            head_at(&tree, s_sizes[a], &old_head);
            head_at(&tree, s_sizes[b], &new_head);
            assert_int_equal(dom_prove_consistency(&proof, &reader, s_sizes[a], s_sizes[b], NULL),
                             DOM_OK);
            assert_int_equal(dom_check_consistency(&proof, &old_head, &new_head, NULL), DOM_OK);
        }
    }
    dom_memory_tree_cleanup(&tree);
}

static void consistency_from_size_zero_is_the_callers_case(void **state)
{
    struct dom_memory_tree tree;
    struct dom_proof proof;
    struct dom_tree_head nothing = {0};
    struct dom_tree_head head;
    (void)state;

    dom_memory_tree_init(&tree);
    grow(&tree, 3);
    struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
    head_at(&tree, 3, &head);
    dom_hash_empty(&nothing.root);
    assert_int_equal(dom_prove_consistency(&proof, &reader, 0, 3, NULL), DOM_OK);
    assert_int_equal(proof.num_hashes, 0);
    assert_int_equal(dom_check_consistency(&proof, &nothing, &head, NULL), DOM_TAMPERED);
    dom_memory_tree_cleanup(&tree);
}

static void reader_errors_are_passed_on(void **state)
{
    struct dom_memory_tree tree;
    struct dom_proof proof;
    struct dom_edge edge;
    (void)state;

    dom_memory_tree_init(&tree);
    grow(&tree, 10);
    struct dom_hash_reader reader = dom_memory_tree_reader(&tree);
    assert_int_equal(dom_prove_inclusion(&proof, &reader, 3, 12, NULL), DOM_CORRUPT);
    assert_int_equal(dom_prove_consistency(&proof, &reader, 3, 12, NULL), DOM_CORRUPT);
    assert_int_equal(dom_edge_load(&edge, &reader, 12, NULL), DOM_CORRUPT);
    assert_int_equal(edge.size, 0);
    dom_memory_tree_cleanup(&tree);
}

/* ---- probes from elsewhere ------------------------------------------------------------------ */

/* The probes hold hashes of other lengths too ("don't care", or empty). Filled up with zeros they
 * keep being equal or different. False when the length is wrong. */
static bool load_hash(struct dom_hash *hash, const json_t *value)
{
    struct dom_buffer bytes = {0};

    memset(hash, 0, sizeof(*hash));
    testing_base64(&bytes, json_is_string(value) ? json_string_value(value) : "");
    assert_true(bytes.len <= DOM_HASH_SIZE);
    if (bytes.len > 0) {
        memcpy(hash->bytes, bytes.data, bytes.len);
    }
    bool whole = bytes.len == DOM_HASH_SIZE;
    dom_buffer_cleanup(&bytes);
    return whole;
}

static void load_proof(struct dom_proof *proof, const json_t *array)
{
    proof->num_hashes = (unsigned)json_array_size(array);
    assert_true(proof->num_hashes <= DOM_PROOF_HASHES_MAX);
    for (unsigned i = 0; i < proof->num_hashes; i++) {
        (void)load_hash(&proof->hashes[i], json_array_get(array, i));
    }
}

/* Some sizes are 2^64 - 1, which jansson reads only as a real number. */
static json_t *load_probe(const char *file)
{
    json_t *json = json_load_file(file, JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(json);
    return json;
}

static uint64_t probe_number(const json_t *json, const char *name)
{
    double value = json_number_value(json_object_get(json, name));
    return value >= 9223372036854775808.0 ? UINT64_MAX : (uint64_t)value;
}

static void check_inclusion_probe(const char *file, void *arg)
{
    struct dom_proof proof;
    struct dom_hash leaf;
    struct dom_hash root;
    unsigned *num_good = arg;

    json_t *json = load_probe(file);
    bool want = !json_boolean_value(json_object_get(json, "wantErr"));
    load_proof(&proof, json_object_get(json, "proof"));
    bool whole = load_hash(&leaf, json_object_get(json, "leafHash"));
    whole = load_hash(&root, json_object_get(json, "root")) && whole;
    bool got =
        whole && dom_check_inclusion(&proof, probe_number(json, "leafIdx"),
                                     probe_number(json, "treeSize"), &leaf, &root, NULL) == DOM_OK;
    if (got != want) {
        fail_msg("%s: %d is wanted", file, want);
    }
    *num_good += got ? 1 : 0;
    json_decref(json);
}

static void inclusion_probes(void **state)
{
    unsigned num_good = 0;
    (void)state;
    assert_int_equal(testing_each_vector("transparency-dev-merkle/testdata/inclusion",
                                         check_inclusion_probe, &num_good),
                     98);
    assert_true(num_good > 0);
}

static void check_consistency_probe(const char *file, void *arg)
{
    struct dom_proof proof;
    struct dom_tree_head a;
    struct dom_tree_head b;
    unsigned *num_good = arg;

    json_t *json = load_probe(file);
    a.size = probe_number(json, "size1");
    b.size = probe_number(json, "size2");
    (void)load_hash(&a.root, json_object_get(json, "root1"));
    (void)load_hash(&b.root, json_object_get(json, "root2"));
    load_proof(&proof, json_object_get(json, "proof"));
    bool want = !json_boolean_value(json_object_get(json, "wantErr"));
    bool got = dom_check_consistency(&proof, &a, &b, NULL) == DOM_OK;
    if (got != want) {
        fail_msg("%s: %d is wanted", file, want);
    }
    *num_good += got ? 1 : 0;
    json_decref(json);
}

static void consistency_probes(void **state)
{
    unsigned num_good = 0;
    (void)state;
    assert_int_equal(testing_each_vector("transparency-dev-merkle/testdata/consistency",
                                         check_consistency_probe, &num_good),
                     98);
    assert_true(num_good > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_matches_facts_at_tile_borders),
        cmocka_unit_test(root_matches_derived_vectors),
        cmocka_unit_test(root_matches_reference_tree),
        cmocka_unit_test(node_and_leaf_are_told_apart),
        cmocka_unit_test(edge_survives_encoding),
        cmocka_unit_test(inclusion_proof_of_every_leaf_checks),
        cmocka_unit_test(inclusion_proofs_across_tile_borders),
        cmocka_unit_test(consistency_proof_of_every_pair_checks),
        cmocka_unit_test(consistency_proofs_across_tile_borders),
        cmocka_unit_test(consistency_from_size_zero_is_the_callers_case),
        cmocka_unit_test(reader_errors_are_passed_on),
        cmocka_unit_test(inclusion_probes),
        cmocka_unit_test(consistency_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
