/* The durable log: proofs, checkpoints in time, and what a start refuses. */
#include "tests/store/region/harness.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "store/audit/checkpoint.h"
#include "store/audit/event.h"
#include "store/audit/index.h"
#include "store/audit/tiledir.h"
#include "store/audit/witness.h"

#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

/* One life of a store: so many entries, all published. */
static void live(struct harness *h, size_t num_regions, size_t num_entries)
{
    harness_open(h, num_regions);
    harness_append(h, num_entries);
    harness_settle(h);
    harness_close(h);
}

static struct dom_tree_head newest(struct harness *h, struct dom_note_key *key)
{
    struct dom_buffer note = {0};
    struct dom_checkpoint checkpoint;

    assert_int_equal(dom_note_key_parse(key, dom_slice_str(dom_store_log_vkey(h->store, 0)), NULL),
                     DOM_OK);
    assert_int_equal(dom_store_log_checkpoint(h->store, 0, &note, &h->err), DOM_OK);
    assert_int_equal(
        dom_checkpoint_open(&checkpoint, dom_buffer_slice(&note), key, 1, NULL, &h->err), DOM_OK);
    assert_true(dom_slice_eq_str(checkpoint.origin, dom_store_log_origin(h->store, 0)));
    struct dom_tree_head head = checkpoint.head;
    dom_buffer_cleanup(&note);
    dom_note_key_cleanup(key);
    return head;
}

static void proof_of(struct dom_proof *proof, struct dom_buffer *hashes)
{
    assert_int_equal(hashes->len % 32, 0);
    proof->num_hashes = (unsigned)(hashes->len / 32);
    if (hashes->len > 0) {
        memcpy(proof->hashes, hashes->data, hashes->len);
    }
    dom_buffer_clear(hashes);
}

static void proofs_verify(void **state)
{
    struct harness *h = *state;
    static const size_t steps[] = {0, 1, 254, 1, 1, 300};
    struct dom_tree_head heads[6];
    struct dom_note_key key;
    struct dom_buffer hashes = {0};
    struct dom_proof proof;
    struct dom_hash leaf;

    harness_open(h, 1);
    for (size_t i = 0; i < 6; i++) {
        harness_append(h, steps[i]);
        harness_settle(h);
        heads[i] = newest(h, &key);
        uint64_t size = 0;
        for (uint64_t at = 0; at < heads[i].size; at += 37) {
            assert_int_equal(
                dom_store_log_prove_inclusion(h->store, 0, at, &size, leaf.bytes, &hashes, &h->err),
                DOM_OK);
            assert_int_equal(size, heads[i].size);
            proof_of(&proof, &hashes);
            assert_int_equal(dom_check_inclusion(&proof, at, size, &leaf, &heads[i].root, NULL),
                             DOM_OK);
        }
        for (size_t old = 0; old < i; old++) {
            assert_int_equal(dom_store_log_prove_consistency(h->store, 0, heads[old].size, &size,
                                                             &hashes, &h->err),
                             DOM_OK);
            proof_of(&proof, &hashes);
            assert_int_equal(dom_check_consistency(&proof, &heads[old], &heads[i], NULL), DOM_OK);
        }
    }
    uint64_t size = heads[5].size + 1;
    assert_int_equal(
        dom_store_log_prove_inclusion(h->store, 0, 0, &size, leaf.bytes, &hashes, &h->err),
        DOM_INVALID);
    size = 0;
    assert_int_equal(dom_store_log_prove_inclusion(h->store, 0, heads[5].size, &size, leaf.bytes,
                                                   &hashes, &h->err),
                     DOM_INVALID);
    /* an older size still has its proofs */
    size = heads[2].size;
    assert_int_equal(
        dom_store_log_prove_inclusion(h->store, 0, 7, &size, leaf.bytes, &hashes, &h->err), DOM_OK);
    proof_of(&proof, &hashes);
    assert_int_equal(dom_check_inclusion(&proof, 7, size, &leaf, &heads[2].root, NULL), DOM_OK);
    dom_buffer_cleanup(&hashes);
}

static void published_files_have_the_signed_root(void **state)
{
    struct harness *h = *state;
    struct dom_note_key key;
    struct dom_tiledir tiles;
    struct dom_edge edge;
    struct dom_hash root;

    harness_open(h, 1);
    harness_append(h, 300);
    harness_settle(h);
    struct dom_tree_head head = newest(h, &key);
    assert_int_equal(dom_tiledir_init(&tiles, harness_path(h, "r0/audit"), head.size, NULL),
                     DOM_OK);
    struct dom_hash_reader reader = dom_tiledir_reader(&tiles);
    assert_int_equal(dom_edge_load(&edge, &reader, head.size, NULL), DOM_OK);
    dom_edge_root(&edge, &root);
    assert_true(dom_hash_eq(&root, &head.root));
    dom_tiledir_cleanup(&tiles);
    assert_int_equal(access(harness_path(h, "r0/audit/vkey"), F_OK), 0);
}

static void checkpoint_comes_in_time(void **state)
{
    struct harness *h = *state;
    struct timespec pause = {.tv_nsec = 2000000};
    struct dom_note_key key;

    harness_open(h, 1);
    for (int round = 0; round < 3; round++) {
        harness_append(h, 1);
        uint64_t start = dom_clock_monotonic_us(dom_clock_system());
        struct dom_buffer note = {0};
        while (dom_store_log_checkpoint(h->store, 0, &note, NULL) != DOM_OK ||
               newest(h, &key).size < dom_store_log_size(h->store, 0)) {
            (void)nanosleep(&pause, NULL);
            dom_buffer_clear(&note);
            assert_true(dom_clock_monotonic_us(dom_clock_system()) - start <
                        DOM_CHECKPOINT_DELAY_MS_MAX * 1000U);
        }
        dom_buffer_cleanup(&note);
    }
}

static void first_entry_is_genesis(void **state)
{
    struct harness *h = *state;
    struct dom_buffer text = {0};
    struct dom_audit_event_doc doc;
    struct dom_tiledir files;
    unsigned count = 0;

    harness_open(h, 1);
    harness_settle(h);
    assert_int_equal(dom_tiledir_init(&files, harness_path(h, "r0/audit"), 1, NULL), DOM_OK);
    assert_int_equal(dom_tiledir_read_bundle(&files, 0, &text, &count, NULL, &h->err), DOM_OK);
    assert_int_equal(count, 1);
    assert_int_equal(
        dom_audit_event_parse(&doc, dom_slice_of(text.data + 2, text.len - 2), &h->err), DOM_OK);
    assert_int_equal(doc.event.type, DOM_AUDIT_GENESIS);
    assert_true(dom_slice_eq_str(doc.event.origin, "log.example/test/r0"));
    dom_audit_event_doc_cleanup(&doc);
    dom_tiledir_cleanup(&files);
    dom_buffer_cleanup(&text);
}

static void log_that_was_set_back_is_refused(void **state)
{
    struct harness *h = *state;

    live(h, 1, 5);
    harness_shell(h, "cp -a r0 older");
    live(h, 1, 5);
    harness_shell(h, "mv r0 newer && cp -a older r0");
    harness_refuses(h, "r0", DOM_TAMPERED, "cut or set back");
    harness_shell(h, "rm -rf r0 && cp -a newer r0 && mv keys/r0.checkpoint kept");
    harness_refuses(h, "r0", DOM_TAMPERED, "put it back");
    harness_shell(h, "sed 's/^[0-9][0-9]*$/3/' kept > keys/r0.checkpoint");
    harness_refuses(h, "r0", DOM_TAMPERED, "r0.checkpoint");
    harness_shell(h, "cp kept keys/r0.checkpoint");
    harness_open(h, 1);
    harness_append(h, 1);
}

/* Turns the last bit of the first value. */
static void flip_last(struct dom_db *db, enum dom_db_family family, rocksdb_iterator_t *iter,
                      rocksdb_writebatch_t *batch)
{
    struct dom_slice value = dom_db_iter_value(iter);
    uint8_t *bytes = malloc(value.len);

    assert_non_null(bytes);
    memcpy(bytes, value.data, value.len);
    bytes[value.len - 1] ^= 1;
    dom_db_batch_put(db, batch, family, dom_db_iter_key(iter), dom_slice_of(bytes, value.len));
    free(bytes);
}

static void changed_log_is_refused(void **state)
{
    struct harness *h = *state;

    live(h, 1, 5);
    harness_shell(h, "cp -a r0 good");
    harness_change(h, DOM_DB_AUDIT, flip_last);
    harness_refuses(h, "r0", DOM_TAMPERED, "not the one that was signed");
    harness_shell(h, "rm -rf r0 && cp -a good r0");
    harness_change(h, DOM_DB_TILES, flip_last);
    harness_refuses(h, "r0", DOM_TAMPERED, "another root");
    harness_shell(h, "rm -rf r0 && mv good r0");
    harness_open(h, 1);
}

/* Takes away the last value but one. */
static void drop_one(struct dom_db *db, enum dom_db_family family, rocksdb_iterator_t *iter,
                     rocksdb_writebatch_t *batch)
{
    rocksdb_iter_seek_to_last(iter);
    rocksdb_iter_prev(iter);
    assert_true(rocksdb_iter_valid(iter));
    dom_db_batch_delete(db, batch, family, dom_db_iter_key(iter));
}

static bool count_entry(void *context, uint64_t index, struct dom_slice entry)
{
    uint64_t *count = context;

    assert_int_equal(index, *count);
    assert_true(entry.len > 0);
    (*count)++;
    return true;
}

/* As when the end of one write-ahead log is lost and the next one is there. */
static void a_hole_is_filled_from_the_journal(void **state)
{
    struct harness *h = *state;
    uint64_t count = 0;

    h->options.checkpoint_ms = DOM_CHECKPOINT_DELAY_MS_MAX; /* nothing is published meanwhile */
    harness_open(h, 1);
    for (int i = 0; i < 6; i++) {
        struct op_spec spec;
        op_append(&spec, 0, "one of a group of its own");
        assert_int_equal(harness_run(h, &spec), DOM_OK);
    }
    uint64_t size = dom_store_log_size(h->store, 0);
    harness_close(h);
    harness_change(h, DOM_DB_AUDIT, drop_one);
    harness_open(h, 1);
    assert_int_equal(dom_store_log_size(h->store, 0), size);
    assert_int_equal(
        dom_store_log_entries(h->store, 0, 0, SIZE_MAX, count_entry, &count, &h->err), DOM_OK);
    assert_int_equal(count, size);
    harness_settle(h);
    harness_close(h);
    harness_shell(h, "rm r0/journal"); /* nothing is left there to fill it from */
    harness_change(h, DOM_DB_AUDIT, drop_one);
    harness_refuses(h, "r0", DOM_TAMPERED, "");
}

static void lost_files_are_published_again(void **state)
{
    struct harness *h = *state;

    live(h, 1, 300);
    harness_shell(h, "rm -rf r0/audit");
    harness_open(h, 1);
    harness_settle(h);
    harness_close(h);
    harness_shell(
        h, "test -f r0/audit/tile/0/000 && test -f r0/audit/checkpoint && test -f r0/audit/vkey");
}

static enum dom_code check_index(struct harness *h, struct dom_index_verify_result *result)
{
    struct dom_tiledir tiledir;
    struct dom_buffer note = {0};
    struct dom_note parsed;
    struct dom_checkpoint checkpoint;

    assert_int_equal(dom_tiledir_read_checkpoint(harness_path(h, "r0/audit"), &note, &h->err),
                     DOM_OK);
    assert_int_equal(dom_note_parse(&parsed, dom_buffer_slice(&note), &h->err), DOM_OK);
    assert_int_equal(dom_checkpoint_parse(&checkpoint, parsed.text, &h->err), DOM_OK);
    assert_int_equal(dom_tiledir_init(&tiledir, harness_path(h, "r0/audit"), checkpoint.head.size,
                                      &h->err),
                     DOM_OK);
    enum dom_code rc = dom_index_verify(&tiledir, result, NULL, NULL, &h->err);
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    return rc;
}

/* The keeper writes it behind the bundles, makes it anew when it is gone, and an index that cannot
 * be made costs the log nothing. */
static void the_index_follows_what_is_published(void **state)
{
    struct harness *h = *state;
    struct dom_index_verify_result result;

    harness_open(h, 1);
    harness_append_text(h, "{\"time\":1}", DOM_INDEX_LAG * DOM_TILE_WIDTH);
    harness_settle(h);
    harness_close(h);
    assert_int_equal(check_index(h, &result), DOM_OK);
    assert_int_equal(result.num_indexed, DOM_INDEX_LAG);
    harness_shell(h, "rm -r r0/audit/index");
    harness_open(h, 1);
    harness_append_text(h, "{\"time\":1}", 1);
    harness_settle(h);
    harness_close(h);
    assert_int_equal(check_index(h, &result), DOM_OK);
    assert_int_equal(result.num_indexed, DOM_INDEX_LAG);
    /* A file stands where the folder should be; then bytes that are no entry. */
    harness_shell(h, "rm -r r0/audit/index && touch r0/audit/index");
    harness_open(h, 1);
    harness_append(h, 1);
    harness_settle(h);
    assert_int_equal(dom_store_log_size(h->store, 0), DOM_INDEX_LAG * DOM_TILE_WIDTH + 3);
    harness_close(h);
    assert_int_equal(check_index(h, &result), DOM_OK);
    assert_int_equal(result.num_files, 0);
}

/* ---- witnesses ------------------------------------------------------------------------------ */

/* How many signature lines the newest checkpoint has, and that all of them verify. */
static unsigned signatures_of(struct harness *h, dom_store_region region)
{
    struct dom_note_key keys[1 + HARNESS_REGIONS_MAX];
    struct dom_note_verdict verdicts[1 + HARNESS_REGIONS_MAX];
    struct dom_buffer bytes = {0};
    struct dom_checkpoint checkpoint;
    unsigned num = 0;
    size_t num_keys = 1 + dom_store_num_regions(h->store);

    assert_int_equal(
        dom_note_key_parse(&keys[0], dom_slice_str(dom_store_log_vkey(h->store, region)), NULL),
        DOM_OK);
    for (size_t i = 1; i < num_keys; i++) {
        keys[i] = dom_store_witness(h->store, (dom_store_region)(i - 1))->signer.key;
    }
    assert_int_equal(dom_store_log_checkpoint(h->store, region, &bytes, &h->err), DOM_OK);
    assert_int_equal(dom_checkpoint_open(&checkpoint, dom_buffer_slice(&bytes), keys, num_keys,
                                         verdicts, &h->err),
                     DOM_OK);
    for (size_t i = 0; i < num_keys; i++) {
        num += verdicts[i].verified ? 1 : 0;
    }
    assert_false(verdicts[1 + region].verified); /* nobody is its own witness */
    dom_note_key_cleanup(&keys[0]);
    dom_buffer_cleanup(&bytes);
    return num;
}

static void regions_cosign_each_other(void **state)
{
    struct harness *h = *state;
    struct dom_store_stats stats = {0};

    h->options.witness_regions = 2;
    harness_open(h, 4);
    for (int round = 0; round < 3; round++) {
        harness_append(h, 40);
        harness_settle(h);
        assert_int_equal(signatures_of(h, 0), 3);
    }
    dom_store_stats(h->store, 0, &stats);
    assert_true(stats.cosigned >= 6);
    assert_int_equal(stats.witness_refused, 0);
    assert_int_equal(stats.witness_failed, 0);
}

static void fewer_regions_are_fewer_witnesses(void **state)
{
    struct harness *h = *state;

    h->options.witness_regions = DOM_WITNESS_REGIONS_MAX;
    for (size_t count = 1; count <= 3; count++) {
        harness_open(h, count);
        harness_append(h, 3);
        harness_settle(h);
        assert_int_equal(signatures_of(h, 0), count);
        harness_close(h);
    }
    h->options.witness_regions++;
    assert_int_equal(dom_store_new(&h->store, &h->options, &h->err), DOM_INVALID);
}

/* A witness that has seen more of a log than there is now cosigns nothing, and says so (P5). */
static void a_log_behind_its_witness_is_refused(void **state)
{
    struct harness *h = *state;
    struct dom_store_stats stats = {0};

    h->options.witness_regions = 1;
    live(h, 2, 5);
    harness_shell(h, "cp -r r0 early && cp keys/r0.checkpoint early.checkpoint");
    harness_open(h, 2);
    harness_append(h, 20);
    harness_settle(h);
    assert_int_equal(signatures_of(h, 0), 2);
    harness_close(h);
    harness_shell(h, "rm -r r0 && mv early r0 && mv early.checkpoint keys/r0.checkpoint");
    harness_open(h, 2);
    for (unsigned i = 0; i < 30; i++) { /* past the old size too: another history */
        struct op_spec spec;
        op_append(&spec, 0, "another history");
        assert_int_equal(harness_run(h, &spec), DOM_OK);
        harness_settle(h);
        assert_int_equal(signatures_of(h, 0), 1);
    }
    dom_store_stats(h->store, 0, &stats);
    assert_true(stats.witness_refused >= 30);
    assert_int_equal(stats.cosigned, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(regions_cosign_each_other),
        T(fewer_regions_are_fewer_witnesses),
        T(a_log_behind_its_witness_is_refused),
        T(proofs_verify),
        T(published_files_have_the_signed_root),
        T(checkpoint_comes_in_time),
        T(first_entry_is_genesis),
        T(log_that_was_set_back_is_refused),
        T(changed_log_is_refused),
        T(a_hole_is_filled_from_the_journal),
        T(lost_files_are_published_again),
        T(the_index_follows_what_is_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
