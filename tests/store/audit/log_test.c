/* Whole logs in a folder: publishing, verifying, and every way of spoiling them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/gzip/gzip.h"
#include "store/audit/checkpoint.h"
#include "store/audit/tiledir.h"
#include "store/audit/verify.h"
#include "tests/store/audit/testing.h"

#define DIR_SIZE 256

static enum dom_code verify(struct testing_log *log, const char *dir, struct dom_slice old,
                            struct dom_verify_result *result)
{
    struct dom_verify_options options = {
        .dir = dir, .keys = &log->signer.key, .num_keys = 1, .old_checkpoint = old};
    struct dom_error err = {0};
    return dom_log_verify(&options, result, &err);
}

static void expect_sound(struct testing_log *log, const char *dir)
{
    struct dom_verify_result r;
    struct dom_hash root;

    if (verify(log, dir, dom_slice_of(NULL, 0), &r) != DOM_OK) {
        fail_msg("size %llu: index %lld in %s: %s", (unsigned long long)log->tree.edge.size,
                 (long long)r.bad_index, r.bad_path, r.why);
    }
    dom_edge_root(&log->tree.edge, &root);
    assert_true(dom_hash_eq(&root, &r.root));
    assert_int_equal(r.num_tiles_good, dom_tile_count(log->tree.edge.size));
    assert_int_equal(r.num_tiles, r.num_tiles_good);
    assert_int_equal(r.num_bundles, r.num_bundles_good);
    assert_int_equal(r.num_entries_good, log->tree.edge.size);
    assert_int_equal(r.num_backwards, 0);
    assert_false(r.files_beyond);
    assert_string_equal(r.origin, TESTING_ORIGIN);
}

static void new_dir(char *dir)
{
    (void)snprintf(dir, DIR_SIZE, "%s/audit", testing_folder());
}

static void sound_at_every_border(void **state)
{
    static const uint64_t s_sizes[] = {0, 1, 2, 255, 256, 257, 511, 512, 700};
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_sizes); i++) {
        struct testing_log log;
        char dir[DIR_SIZE];
        new_dir(dir);
        testing_log_init(&log);
        testing_log_fill(&log, s_sizes[i]);
        testing_log_publish(&log, dir, 0);
        expect_sound(&log, dir);
        testing_log_cleanup(&log);
    }
}

static bool exists(const char *dir, const char *path)
{
    char full[PATH_MAX];
    (void)snprintf(full, sizeof(full), "%s/%s", dir, path);
    return access(full, F_OK) == 0;
}

static void published_step_by_step_up_to_66000(void **state)
{
    static const uint64_t s_sizes[] = {1,   2,    200,   255,   256,   257,
                                       300, 1000, 65535, 65536, 65537, 66000};
    struct testing_log log;
    struct dom_buffer old = {0};
    struct dom_verify_result r;
    char dir[DIR_SIZE];
    uint64_t published = 0;
    (void)state;

    new_dir(dir);
    testing_log_init(&log);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_sizes); i++) {
        testing_log_fill(&log, s_sizes[i]);
        testing_log_publish(&log, dir, published);
        expect_sound(&log, dir);
        if (published > 0) {
            assert_int_equal(verify(&log, dir, dom_buffer_slice(&old), &r), DOM_OK);
            assert_true(r.old_checked);
            assert_int_equal(r.old_size, published);
        }
        testing_log_checkpoint(&log, &old);
        published = s_sizes[i];
        if (published == 255) {
            assert_true(exists(dir, "tile/0/000.p/200"));
            assert_true(exists(dir, "tile/entries/000.p/1"));
        }
        if (published == 256) {
            /* Full now: the partial files are gone, the full one has all of its bytes. */
            assert_false(exists(dir, "tile/0/000.p"));
            assert_false(exists(dir, "tile/entries/000.p"));
            assert_true(exists(dir, "tile/1/000.p/1"));
        }
        if (published == 65537) {
            assert_true(exists(dir, "tile/1/000"));
            assert_true(exists(dir, "tile/2/000.p/1"));
            assert_true(exists(dir, "tile/0/256.p/1"));
            assert_false(exists(dir, "tile/1/001"));
        }
    }
    dom_buffer_cleanup(&old);
    testing_log_cleanup(&log);
}

static void publishing_again_after_a_crash_is_safe(void **state)
{
    struct testing_log log;
    struct dom_verify_result r;
    struct dom_buffer old = {0};
    char dir[DIR_SIZE];
    char path[PATH_MAX];
    (void)state;

    new_dir(dir);
    testing_log_init(&log);
    testing_log_fill(&log, 300);
    testing_log_publish(&log, dir, 0);
    testing_log_checkpoint(&log, &old);
    testing_log_fill(&log, 600);
    testing_log_publish(&log, dir, 300);
    /* As if the crash had come before the checkpoint: the old one with newer files beside it. */
    (void)snprintf(path, sizeof(path), "%s/checkpoint", dir);
    testing_write(path, dom_buffer_slice(&old));
    assert_int_equal(verify(&log, dir, dom_slice_of(NULL, 0), &r), DOM_OK);
    assert_int_equal(r.num_entries_good, 300);
    assert_true(r.files_beyond);
    testing_log_publish(&log, dir, 300);
    expect_sound(&log, dir);
    dom_buffer_cleanup(&old);
    testing_log_cleanup(&log);
}

static void older_size_is_read_from_the_full_tile(void **state)
{
    struct testing_log log;
    struct dom_verify_result r;
    struct dom_buffer old = {0};
    char dir[DIR_SIZE];
    (void)state;

    new_dir(dir);
    testing_log_init(&log);
    testing_log_fill(&log, 200);
    testing_log_publish(&log, dir, 0);
    testing_log_checkpoint(&log, &old);
    testing_log_fill(&log, 300);
    testing_log_publish(&log, dir, 200);
    assert_false(exists(dir, "tile/0/000.p"));
    struct dom_verify_options options = {
        .dir = dir, .keys = &log.signer.key, .num_keys = 1, .checkpoint = dom_buffer_slice(&old)};
    assert_int_equal(dom_log_verify(&options, &r, NULL), DOM_OK);
    assert_int_equal(r.num_entries_good, 200);
    assert_true(r.files_beyond);
    dom_buffer_cleanup(&old);
    testing_log_cleanup(&log);
}

/* A database that fails after some reads. */
struct failing {
    struct dom_hash_reader inner;
    unsigned left;
};

static enum dom_code failing_read(void *impl, int level, uint64_t first, unsigned count,
                                  struct dom_hash *out, struct dom_error *err)
{
    struct failing *failing = impl;
    if (failing->left == 0) {
        return DOM_FAIL(err, DOM_IO, "the disk is gone");
    }
    failing->left--;
    return failing->inner.read(failing->inner.impl, level, first, count, out, err);
}

static enum dom_code no_entries(void *impl, uint64_t first, unsigned count,
                                struct dom_buffer *bundle, struct dom_error *err)
{
    (void)impl;
    (void)first;
    for (unsigned i = 0; i < count; i++) {
        enum dom_code rc = dom_bundle_append(bundle, DOM_SLICE_LIT("{}"), err);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    return DOM_OK;
}

static void failed_publishing_leaves_the_old_checkpoint(void **state)
{
    struct testing_log log;
    struct dom_buffer before = {0};
    struct dom_buffer after = {0};
    char dir[DIR_SIZE];
    char path[PATH_MAX];
    unsigned num_failures = 0;
    (void)state;

    new_dir(dir);
    testing_log_init(&log);
    testing_log_fill(&log, 300);
    testing_log_publish(&log, dir, 0);
    (void)snprintf(path, sizeof(path), "%s/checkpoint", dir);
    testing_read(&before, path);
    testing_log_fill(&log, 700);
    for (unsigned left = 0;; left++) {
        struct failing failing = {.inner = dom_memory_tree_reader(&log.tree), .left = left};
        struct dom_log_source source = {.hashes = {.read = failing_read, .impl = &failing},
                                        .entries = no_entries};
        struct dom_publish publish = {.dir = dir,
                                      .source = &source,
                                      .old_size = 300,
                                      .new_size = 700,
                                      .checkpoint = DOM_SLICE_LIT("new")};
        enum dom_code rc = dom_tiledir_publish(&publish, NULL, NULL);
        testing_read(&after, path);
        if (rc == DOM_OK) {
            assert_true(dom_slice_eq_str(dom_buffer_slice(&after), "new"));
            break;
        }
        assert_int_equal(rc, DOM_IO);
        assert_true(dom_slice_eq(dom_buffer_slice(&before), dom_buffer_slice(&after)));
        num_failures++;
    }
    assert_int_equal(num_failures, 3); /* two tiles of level 0, one of level 1 */
    testing_log_publish(&log, dir, 300);
    expect_sound(&log, dir);
    dom_buffer_cleanup(&before);
    dom_buffer_cleanup(&after);
    testing_log_cleanup(&log);
}

static void publishing_where_it_cannot_be_is_refused(void **state)
{
    struct testing_log log;
    struct dom_tiledir tiledir;
    struct dom_verify_result r;
    struct dom_error err;
    char dir[DIR_SIZE];
    char path[PATH_MAX];
    static char s_long[PATH_MAX];
    (void)state;

    new_dir(dir);
    testing_log_init(&log);
    testing_log_fill(&log, 3);
    struct dom_log_source source = {.hashes = dom_memory_tree_reader(&log.tree),
                                    .entries = no_entries};
    struct dom_publish publish = {.dir = dir, .source = &source, .old_size = 4, .new_size = 3};
    assert_int_equal(dom_tiledir_publish(&publish, NULL, &err), DOM_INVALID);
    publish.old_size = 0;
    publish.new_size = DOM_TREE_SIZE_MAX + 1;
    assert_int_equal(dom_tiledir_publish(&publish, NULL, &err), DOM_INVALID);
    publish.new_size = 4; /* the database has three */
    assert_int_equal(dom_tiledir_publish(&publish, NULL, &err), DOM_CORRUPT);
    publish.new_size = 3;
    memset(s_long, 'x', sizeof(s_long) - 1);
    publish.dir = s_long;
    assert_int_equal(dom_tiledir_publish(&publish, NULL, &err), DOM_INVALID);
    assert_int_equal(dom_tiledir_init(&tiledir, s_long, 3, &err), DOM_INVALID);
    assert_int_equal(dom_tiledir_init(&tiledir, dir, DOM_TREE_SIZE_MAX + 1, &err), DOM_INVALID);
    /* A file stands where the folder should be. */
    (void)snprintf(path, sizeof(path), "%s.blocked", dir);
    testing_write(path, DOM_SLICE_LIT("x"));
    publish.dir = path;
    assert_int_equal(dom_tiledir_publish(&publish, NULL, &err), DOM_IO);
    assert_int_equal(verify(&log, path, dom_slice_of(NULL, 0), &r), DOM_IO);
    testing_log_cleanup(&log);
}

/* ---- tampering ------------------------------------------------------------------------------ */

struct spoiled {
    struct testing_log log;
    char dir[DIR_SIZE];
};

static void spoiled_init(struct spoiled *s)
{
    new_dir(s->dir);
    testing_log_init(&s->log);
    testing_log_fill(&s->log, 600);
    testing_log_publish(&s->log, s->dir, 0);
}

static void flip(const char *dir, const char *path, size_t at, uint8_t bits)
{
    char full[PATH_MAX];
    struct dom_buffer bytes = {0};

    (void)snprintf(full, sizeof(full), "%s/%s", dir, path);
    testing_read(&bytes, full);
    assert_true(at < bytes.len);
    bytes.data[at] ^= bits;
    testing_write(full, dom_buffer_slice(&bytes));
    dom_buffer_cleanup(&bytes);
}

/* The bundle without its gzip, as other logs have it: which byte is changed can then be said. */
static void unpack(const char *dir, const char *path)
{
    char full[PATH_MAX];
    struct dom_buffer bytes = {0};
    struct dom_buffer plain = {0};

    (void)snprintf(full, sizeof(full), "%s/%s", dir, path);
    testing_read(&bytes, full);
    assert_int_equal(dom_gunzip(&plain, dom_buffer_slice(&bytes), DOM_BUNDLE_BYTES_MAX, NULL),
                     DOM_OK);
    testing_write(full, dom_buffer_slice(&plain));
    dom_buffer_cleanup(&bytes);
    dom_buffer_cleanup(&plain);
}

static void expect_tampered(struct spoiled *s, uint64_t index, const char *path)
{
    struct dom_verify_result r;

    assert_int_equal(verify(&s->log, s->dir, dom_slice_of(NULL, 0), &r), DOM_TAMPERED);
    if (r.bad_index != index || strcmp(r.bad_path, path) != 0) {
        fail_msg("%lld in %s is wanted: %lld in %s: %s", (long long)index, path,
                 (long long)r.bad_index, r.bad_path, r.why);
    }
}

/* P5 */
static void bit_flips_in_every_kind_of_file_are_found(void **state)
{
    struct spoiled s;
    (void)state;

    spoiled_init(&s);
    size_t first = 2 + testing_log_entry(&s.log, 256).len;
    /* Within a text of the second entry of bundle 1 (its origin: another log's). */
    const char *entry = (const char *)testing_log_entry(&s.log, 257).data;
    size_t origin_at = (size_t)(strstr(entry, "audit.example") - entry);
    size_t user_at = (size_t)(strstr(entry, "Qm9i") - entry);
    unpack(s.dir, "tile/entries/001");
    expect_sound(&s.log, s.dir);
    flip(s.dir, "tile/entries/001", first + 2 + user_at, 1);
    expect_tampered(&s, 257, "tile/0/001");
    flip(s.dir, "tile/entries/001", first + 2 + user_at, 1);
    flip(s.dir, "tile/entries/001", first + 2 + origin_at, 1);
    expect_tampered(&s, 257, "tile/entries/001");
    flip(s.dir, "tile/entries/001", first + 2 + origin_at, 1);
    /* The length of entry 257, one too long: cut short somewhere or no JSON. */
    flip(s.dir, "tile/entries/001", first + 1, 1);
    expect_tampered(&s, 257, "tile/entries/001");
    flip(s.dir, "tile/entries/001", first + 1, 1);
    flip(s.dir, "tile/0/001", 5 * 32 + 31, 0x80);
    expect_tampered(&s, 261, "tile/0/001");
    flip(s.dir, "tile/0/001", 5 * 32 + 31, 0x80);
    flip(s.dir, "tile/0/002.p/88", 87 * 32, 1);
    expect_tampered(&s, 599, "tile/0/002.p/88");
    flip(s.dir, "tile/0/002.p/88", 87 * 32, 1);
    flip(s.dir, "tile/1/000.p/2", 32, 1);
    expect_tampered(&s, 256, "tile/1/000.p/2");
    flip(s.dir, "tile/1/000.p/2", 32, 1);
    flip(s.dir, "checkpoint", strlen(TESTING_ORIGIN) + 1, 1); /* the size's first digit */
    expect_tampered(&s, DOM_VERIFY_NO_INDEX, "checkpoint");
    flip(s.dir, "checkpoint", strlen(TESTING_ORIGIN) + 1, 1);
    expect_sound(&s.log, s.dir);
    testing_log_cleanup(&s.log);
}

/* Deflate has a few bits that change no byte of what was packed: behind its end within a byte, and
 * code lengths of symbols that do not occur. The log is its entries. */
static bool same_entries(const char *full, const struct dom_buffer *want)
{
    struct dom_buffer bytes = {0};
    struct dom_buffer plain = {0};

    testing_read(&bytes, full);
    bool same = dom_gunzip(&plain, dom_buffer_slice(&bytes), DOM_BUNDLE_BYTES_MAX, NULL) == DOM_OK &&
                dom_slice_eq(dom_buffer_slice(&plain), dom_buffer_slice(want));
    dom_buffer_cleanup(&bytes);
    dom_buffer_cleanup(&plain);
    return same;
}

/* P5 */
static void every_byte_of_a_small_log_counts(void **state)
{
    static const char *const s_files[] = {"checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"};
    struct testing_log log;
    char dir[DIR_SIZE];
    (void)state;

    struct dom_buffer entries = {0};
    unsigned free_bits = 0;

    new_dir(dir);
    testing_log_init(&log);
    testing_log_fill(&log, 3);
    testing_log_publish(&log, dir, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(dom_bundle_append(&entries, testing_log_entry(&log, i), NULL), DOM_OK);
    }
    for (size_t f = 0; f < DOM_ARRAY_LEN(s_files); f++) {
        char full[PATH_MAX];
        struct stat st;
        struct dom_verify_result r;
        (void)snprintf(full, sizeof(full), "%s/%s", dir, s_files[f]);
        assert_int_equal(stat(full, &st), 0);
        for (size_t at = 0; at < 8 * (size_t)st.st_size; at++) {
            flip(dir, s_files[f], at / 8, (uint8_t)(1U << (at % 8)));
            if (verify(&log, dir, dom_slice_of(NULL, 0), &r) != DOM_TAMPERED) {
                free_bits++;
                if (!same_entries(full, &entries)) {
                    fail_msg("%s: bit %zu may be changed", s_files[f], at);
                }
            }
            flip(dir, s_files[f], at / 8, (uint8_t)(1U << (at % 8)));
        }
    }
    assert_in_range(free_bits, 0, 64); /* of about 10,000 */
    expect_sound(&log, dir);
    dom_buffer_cleanup(&entries);
    testing_log_cleanup(&log);
}

/* A log with the same key whose entries i and j have changed places, published over the files. */
static void swapped_entries_are_found(void **state)
{
    struct spoiled s;
    struct dom_buffer bundle = {0};
    char full[PATH_MAX];
    (void)state;

    spoiled_init(&s);
    for (unsigned i = 0; i < 256; i++) {
        unsigned from = i == 10 ? 11 : i == 11 ? 10 : i;
        assert_int_equal(dom_bundle_append(&bundle, testing_log_entry(&s.log, from), NULL), DOM_OK);
    }
    (void)snprintf(full, sizeof(full), "%s/tile/entries/000", s.dir);
    testing_write(full, dom_buffer_slice(&bundle));
    expect_tampered(&s, 10, "tile/0/000");
    dom_buffer_cleanup(&bundle);
    testing_log_cleanup(&s.log);
}

static void missing_and_cut_files_are_found(void **state)
{
    static const struct {
        const char *path;
        uint64_t index;
    } s_cases[] = {{"tile/entries/001", 256},
                   {"tile/entries/002.p/88", 512},
                   {"tile/0/000", 0},
                   {"tile/0/002.p/88", 512},
                   {"tile/1/000.p/2", 0}};
    struct spoiled s;
    struct dom_buffer bytes = {0};
    (void)state;

    spoiled_init(&s);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_cases); i++) {
        struct dom_verify_result r;
        char full[PATH_MAX];
        (void)snprintf(full, sizeof(full), "%s/%s", s.dir, s_cases[i].path);
        testing_read(&bytes, full);
        assert_int_equal(unlink(full), 0);
        expect_tampered(&s, s_cases[i].index, s_cases[i].path);
        testing_write(full, dom_slice_of(bytes.data, bytes.len - 1));
        assert_int_equal(verify(&s.log, s.dir, dom_slice_of(NULL, 0), &r), DOM_TAMPERED);
        assert_string_equal(r.bad_path, s_cases[i].path);
        dom_buffer_append_char(&bytes, 'x');
        testing_write(full, dom_buffer_slice(&bytes));
        assert_int_equal(verify(&s.log, s.dir, dom_slice_of(NULL, 0), &r), DOM_TAMPERED);
        assert_string_equal(r.bad_path, s_cases[i].path);
        testing_write(full, dom_slice_of(bytes.data, bytes.len - 1));
        expect_sound(&s.log, s.dir);
    }
    dom_buffer_cleanup(&bytes);
    testing_log_cleanup(&s.log);
}

static void log_signed_again_by_another_key_is_found(void **state)
{
    struct spoiled s;
    struct dom_note_signer other;
    struct dom_note_key honest;
    struct dom_buffer vkey = {0};
    struct dom_verify_result r;
    (void)state;

    spoiled_init(&s);
    dom_note_key_format(&s.log.signer.key, &vkey);
    assert_int_equal(dom_note_key_parse(&honest, dom_buffer_slice(&vkey), NULL), DOM_OK);
    /* Everything rewritten and consistent in itself, by somebody without the key. */
    testing_signer(&other, 99);
    dom_note_signer_cleanup(&s.log.signer);
    s.log.signer = other;
    testing_log_publish(&s.log, s.dir, 0);
    expect_sound(&s.log, s.dir);
    struct dom_verify_options options = {.dir = s.dir, .keys = &honest, .num_keys = 1};
    assert_int_equal(dom_log_verify(&options, &r, NULL), DOM_TAMPERED);
    assert_string_equal(r.bad_path, "checkpoint");
    assert_false(r.signature_good);
    dom_note_key_cleanup(&honest);
    dom_buffer_cleanup(&vkey);
    testing_log_cleanup(&s.log);
}

static void rewind_truncation_and_fork_are_found_by_an_earlier_checkpoint(void **state)
{
    struct testing_log log;
    struct testing_log fork;
    struct dom_buffer at600 = {0};
    struct dom_verify_result r;
    struct dom_audit_event event;
    struct dom_buffer entry = {0};
    char dir[DIR_SIZE];
    (void)state;

    testing_log_init(&log);
    testing_log_fill(&log, 600);
    testing_log_checkpoint(&log, &at600);

    /* Rewound: a true log of the first 300, truly signed. */
    testing_log_init(&fork);
    testing_log_fill(&fork, 300);
    new_dir(dir);
    testing_log_publish(&fork, dir, 0);
    expect_sound(&fork, dir);
    assert_int_equal(verify(&fork, dir, dom_buffer_slice(&at600), &r), DOM_TAMPERED);
    assert_non_null(strstr(r.why, "rewind"));
    assert_int_equal(r.bad_index, 300);

    /* Forked: longer than the earlier one, but entry 300 is another. */
    testing_event(&event, 300);
    event.purpose = DOM_SLICE_LIT("billing");
    assert_int_equal(dom_audit_event_encode(&event, &entry, NULL), DOM_OK);
    testing_log_append(&fork, dom_buffer_slice(&entry));
    testing_log_fill(&fork, 700);
    testing_log_publish(&fork, dir, 300);
    expect_sound(&fork, dir);
    assert_int_equal(verify(&fork, dir, dom_buffer_slice(&at600), &r), DOM_TAMPERED);
    assert_non_null(strstr(r.why, "fork"));
    assert_false(r.old_checked);

    dom_buffer_cleanup(&at600);
    dom_buffer_cleanup(&entry);
    testing_log_cleanup(&log);
    testing_log_cleanup(&fork);
}

static void entries_that_are_not_ours_are_found(void **state)
{
    struct testing_log log;
    struct dom_verify_result r;
    char dir[DIR_SIZE];
    (void)state;

    testing_log_init(&log);
    testing_log_fill(&log, 5);
    testing_log_append(&log, DOM_SLICE_LIT("{\"v\": 1}"));
    testing_log_fill(&log, 8);
    new_dir(dir);
    testing_log_publish(&log, dir, 0);
    assert_int_equal(verify(&log, dir, dom_slice_of(NULL, 0), &r), DOM_TAMPERED);
    assert_int_equal(r.bad_index, 5);
    assert_string_equal(r.bad_path, "tile/entries/000.p/8");
    assert_int_equal(r.num_entries_good, 7);
    testing_log_cleanup(&log);
}

static void times_that_go_backwards_are_reported(void **state)
{
    struct testing_log log;
    struct dom_verify_result r;
    struct dom_audit_event event;
    struct dom_buffer entry = {0};
    char dir[DIR_SIZE];
    (void)state;

    testing_log_init(&log);
    testing_log_fill(&log, 5);
    testing_event(&event, 5);
    event.time_ms -= 3600000;
    assert_int_equal(dom_audit_event_encode(&event, &entry, NULL), DOM_OK);
    testing_log_append(&log, dom_buffer_slice(&entry));
    new_dir(dir);
    testing_log_publish(&log, dir, 0);
    assert_int_equal(verify(&log, dir, dom_slice_of(NULL, 0), &r), DOM_OK);
    assert_int_equal(r.num_backwards, 1);
    assert_int_equal(r.first_backwards, 5);
    dom_buffer_cleanup(&entry);
    testing_log_cleanup(&log);
}

static void another_projects_log_verifies(void **state)
{
    static const char s_vkey[] =
        "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    struct dom_note_key key;
    struct dom_verify_result r;
    struct dom_error err;
    (void)state;

    assert_int_equal(dom_note_key_parse(&key, dom_slice_str(s_vkey), NULL), DOM_OK);
    struct dom_verify_options options = {
        .dir = testing_vector_path("transparency-dev-tessera/testdata/log"),
        .keys = &key,
        .num_keys = 1,
        .opaque_entries = true};
    if (dom_log_verify(&options, &r, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(r.num_entries_good, 15);
    dom_note_key_cleanup(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_at_every_border),
        cmocka_unit_test(published_step_by_step_up_to_66000),
        cmocka_unit_test(publishing_again_after_a_crash_is_safe),
        cmocka_unit_test(older_size_is_read_from_the_full_tile),
        cmocka_unit_test(failed_publishing_leaves_the_old_checkpoint),
        cmocka_unit_test(publishing_where_it_cannot_be_is_refused),
        cmocka_unit_test(bit_flips_in_every_kind_of_file_are_found),
        cmocka_unit_test(every_byte_of_a_small_log_counts),
        cmocka_unit_test(swapped_entries_are_found),
        cmocka_unit_test(missing_and_cut_files_are_found),
        cmocka_unit_test(log_signed_again_by_another_key_is_found),
        cmocka_unit_test(rewind_truncation_and_fork_are_found_by_an_earlier_checkpoint),
        cmocka_unit_test(entries_that_are_not_ours_are_found),
        cmocka_unit_test(times_that_go_backwards_are_reported),
        cmocka_unit_test(another_projects_log_verifies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
