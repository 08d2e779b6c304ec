/* Proof files and exports of a published log. */
#include <limits.h>
#include <stdio.h>

#include "store/audit/checkpoint.h"
#include "store/audit/export.h"
#include "store/audit/proof.h"
#include "store/audit/tiledir.h"
#include "tests/store/audit/testing.h"

#define DIR_SIZE 256

/* A published log of 600 entries. */
struct published {
    struct testing_log log;
    char dir[DIR_SIZE];
};

static void published_init(struct published *s)
{
    (void)snprintf(s->dir, sizeof(s->dir), "%s/audit", testing_folder());
    testing_log_init(&s->log);
    testing_log_fill(&s->log, 600);
    testing_log_publish(&s->log, s->dir, 0);
}

static void proof_file_checks_offline_and_any_change_is_refused(void **state)
{
    struct published s;
    struct dom_tiledir tiledir;
    struct dom_proof proof;
    struct dom_proof_file file;
    struct dom_checkpoint checkpoint;
    struct dom_hash leaf;
    struct dom_buffer cp = {0};
    struct dom_buffer bytes = {0};
    (void)state;

    published_init(&s);
    assert_int_equal(dom_tiledir_init(&tiledir, s.dir, 600, NULL), DOM_OK);
    struct dom_hash_reader reader = dom_tiledir_reader(&tiledir);
    assert_int_equal(dom_prove_inclusion(&proof, &reader, 300, 600, NULL), DOM_OK);
    assert_true(tiledir.num_reads <= 3);
    testing_log_checkpoint(&s.log, &cp);
    assert_int_equal(dom_proof_file_encode(testing_log_entry(&s.log, 300), 300, &proof,
                                           dom_buffer_slice(&cp), &bytes, NULL),
                     DOM_OK);
    assert_int_equal(dom_proof_file_parse(&file, dom_buffer_slice(&bytes), NULL), DOM_OK);
    assert_int_equal(dom_proof_file_check(&file, dom_slice_of(NULL, 0), &s.log.signer.key, 1,
                                          &checkpoint, &leaf, NULL),
                     DOM_OK);
    assert_int_equal(checkpoint.head.size, 600);
    assert_int_equal(dom_proof_file_check(&file, testing_log_entry(&s.log, 301), &s.log.signer.key,
                                          1, &checkpoint, &leaf, NULL),
                     DOM_TAMPERED);
    dom_proof_file_cleanup(&file);
    for (size_t at = 0; at < bytes.len; at++) {
        bytes.data[at] ^= 1;
        bool good = dom_proof_file_parse(&file, dom_buffer_slice(&bytes), NULL) == DOM_OK;
        if (good) {
            good = dom_proof_file_check(&file, dom_slice_of(NULL, 0), &s.log.signer.key, 1,
                                        &checkpoint, &leaf, NULL) == DOM_OK;
            dom_proof_file_cleanup(&file);
        }
        if (good) {
            fail_msg("byte %zu may be changed", at);
        }
        bytes.data[at] ^= 1;
    }
    for (size_t len = 0; len < bytes.len; len++) {
        if (dom_proof_file_parse(&file, dom_slice_of(bytes.data, len), NULL) == DOM_OK) {
            assert_int_not_equal(
                dom_proof_file_check(&file, dom_slice_of(NULL, 0), &s.log.signer.key, 1,
                                     &checkpoint, &leaf, NULL),
                DOM_OK);
            dom_proof_file_cleanup(&file);
        }
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&cp);
    dom_buffer_cleanup(&bytes);
    testing_log_cleanup(&s.log);
}

static uint64_t export_count(const struct published *s, const char *const *where, size_t num_where,
                             uint64_t first, uint64_t end, struct dom_buffer *text)
{
    struct dom_export_filter filter;
    struct dom_export_stats stats;
    struct dom_tiledir tiledir;
    struct dom_error err;
    char path[PATH_MAX];

    dom_export_filter_init(&filter);
    for (size_t i = 0; i < num_where; i++) {
        assert_int_equal(dom_export_filter_add(&filter, dom_slice_str(where[i]), &err), DOM_OK);
    }
    filter.first = first;
    filter.end = end;
    (void)snprintf(path, sizeof(path), "%s/out.jsonl", s->dir);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(dom_tiledir_init(&tiledir, s->dir, 600, &err), DOM_OK);
    if (dom_export_jsonl(&tiledir, &filter, out, &stats, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(fclose(out), 0);
    testing_read(text, path);
    assert_int_equal(stats.bytes, text->len);
    dom_tiledir_cleanup(&tiledir);
    return stats.count;
}

static void export_filters(void **state)
{
    struct published s;
    struct dom_buffer text = {0};
    struct dom_export_filter filter;
    const char *to_us[] = {"to=US"};
    const char *denied_sg[] = {"outcome=deny", "to=SG"};
    const char *either[] = {"to=SG", "to=US"};
    const char *nobody[] = {"service=other"};
    (void)state;

    published_init(&s);
    assert_int_equal(export_count(&s, NULL, 0, 0, UINT64_MAX, &text), 600);
    assert_int_equal(export_count(&s, to_us, 1, 0, UINT64_MAX, &text), 300);
    assert_int_equal(export_count(&s, either, 2, 0, UINT64_MAX, &text), 600);
    assert_int_equal(export_count(&s, nobody, 1, 0, UINT64_MAX, &text), 0);
    assert_int_equal(export_count(&s, denied_sg, 2, 0, UINT64_MAX, &text), 60);
    assert_int_equal(export_count(&s, NULL, 0, 250, 260, &text), 10);
    assert_int_equal(export_count(&s, NULL, 0, 599, UINT64_MAX, &text), 1);
    /* The line carries the entry's exact bytes and is JSON itself. */
    struct dom_slice entry = testing_log_entry(&s.log, 599);
    assert_memory_equal(text.data + strlen("{\"entry\":"), entry.data, entry.len);
    json_t *line = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(line);
    assert_int_equal(json_integer_value(json_object_get(line, "index")), 599);
    json_decref(line);
    dom_export_filter_init(&filter);
    assert_int_equal(dom_export_filter_add(&filter, DOM_SLICE_LIT("colour=red"), NULL),
                     DOM_INVALID);
    assert_int_equal(dom_export_filter_add(&filter, DOM_SLICE_LIT("to"), NULL), DOM_INVALID);
    for (unsigned i = 0; i < DOM_EXPORT_WHERE_MAX; i++) {
        assert_int_equal(dom_export_filter_add(&filter, DOM_SLICE_LIT("to=US"), NULL), DOM_OK);
    }
    assert_int_equal(dom_export_filter_add(&filter, DOM_SLICE_LIT("to=US"), NULL), DOM_INVALID);
    dom_buffer_cleanup(&text);
    testing_log_cleanup(&s.log);
}

static void manifest_is_a_note_that_verifies(void **state)
{
    struct dom_note_signer signer;
    struct dom_export_filter filter;
    struct dom_export_stats stats = {.count = 3, .bytes = 99};
    struct dom_buffer text = {0};
    struct dom_buffer note = {0};
    struct dom_note parsed;
    struct dom_manifest manifest = {.origin = DOM_SLICE_LIT(TESTING_ORIGIN),
                                    .head = {.size = 600},
                                    .filter = &filter,
                                    .stats = &stats,
                                    .time_ms = INT64_C(1764500000123)};
    (void)state;

    testing_signer(&signer, 5);
    dom_export_filter_init(&filter);
    assert_int_equal(dom_export_filter_add(&filter, DOM_SLICE_LIT("to=US"), NULL), DOM_OK);
    assert_int_equal(dom_manifest_encode(&manifest, &text, NULL), DOM_OK);
    assert_non_null(strstr(dom_buffer_cstr(&text),
                           "\nindexes 0 600\nwhere to=US\nformat jsonl\n"
                           "count 3\nbytes 99\nsha256 0000"));
    assert_int_equal(dom_note_sign(&signer, dom_buffer_slice(&text), &note, NULL), DOM_OK);
    assert_int_equal(dom_note_parse(&parsed, dom_buffer_slice(&note), NULL), DOM_OK);
    assert_int_equal(dom_note_verify(&parsed, &signer.key, 1, NULL, NULL), DOM_OK);
    dom_buffer_clear(&text);
    assert_int_equal(dom_export_filter_add(&filter, DOM_SLICE_LIT("to=a\nb"), NULL), DOM_OK);
    assert_int_equal(dom_manifest_encode(&manifest, &text, NULL), DOM_INVALID);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&note);
    dom_note_signer_cleanup(&signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proof_file_checks_offline_and_any_change_is_refused),
        cmocka_unit_test(export_filters),
        cmocka_unit_test(manifest_is_a_note_that_verifies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
