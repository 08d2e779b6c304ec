/* Reports and gaps: what is counted, what backs it, what stays in its cell. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "store/audit/gap.h"
#include "store/audit/report.h"
#include "store/audit/report_internal.h"
#include "store/audit/tiledir.h"
#include "tests/store/audit/testing.h"

struct fixture {
    struct testing_log log;
    struct dom_tiledir tiledir;
    struct dom_export_filter filter;
    struct dom_log_walk walk;
    char dir[PATH_MAX];
};

static void publish(struct fixture *f)
{
    (void)snprintf(f->dir, sizeof(f->dir), "%s/audit", testing_folder());
    testing_log_publish(&f->log, f->dir, 0);
    assert_int_equal(dom_tiledir_init(&f->tiledir, f->dir, f->log.tree.edge.size, NULL), DOM_OK);
    dom_export_filter_init(&f->filter);
    f->walk = (struct dom_log_walk){.tiledir = &f->tiledir, .filter = &f->filter};
}

static void fixture_init(struct fixture *f, uint64_t size)
{
    memset(f, 0, sizeof(*f));
    testing_log_init(&f->log);
    testing_log_fill_mixed(&f->log, size);
    publish(f);
}

static void fixture_cleanup(struct fixture *f)
{
    dom_tiledir_cleanup(&f->tiledir);
    testing_log_cleanup(&f->log);
}

static void append_event(struct fixture *f, const struct dom_audit_event *event)
{
    struct dom_buffer entry = {0};
    struct dom_error err;

    if (dom_audit_event_encode(event, &entry, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    testing_log_append(&f->log, dom_buffer_slice(&entry));
    dom_buffer_cleanup(&entry);
}

/* The report over `num` logs, all of them the fixture's, as text. */
static uint64_t report_text(struct fixture *f, enum dom_report_kind kind,
                            enum dom_report_form form, unsigned num, struct dom_buffer *text)
{
    struct dom_report *report = NULL;
    struct dom_error err = {0};
    struct dom_tree_head head = {.size = f->log.tree.edge.size};
    uint64_t num_lines = 0;
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%.4000s/report", f->dir);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    dom_edge_root(&f->log.tree.edge, &head.root);
    assert_int_equal(dom_report_new(&report, kind, form, out, &err), DOM_OK);
    for (unsigned i = 0; i < num; i++) {
        if (dom_report_add_log(report, &f->walk, dom_slice_str(i == 0 ? "log/a" : "log/b"), &head,
                               &err) != DOM_OK) {
            fail_msg("%s", err.message);
        }
    }
    assert_int_equal(dom_report_finish(report, &num_lines, &err), DOM_OK);
    dom_report_destroy(report);
    assert_int_equal(fclose(out), 0);
    testing_read(text, path);
    return num_lines;
}

static bool has(struct dom_buffer *text, const char *what)
{
    return strstr(dom_buffer_cstr(text), what) != NULL;
}

/* ---- reports -------------------------------------------------------------------------------- */

static void matrix_counts_what_passed_what_was_withheld_and_what_was_refused(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    (void)state;

    fixture_init(&f, 10);
    /* Entries 1, 2, 4, 6, 7, 8 are requests between DE and US; 3 and 7 write, 5 is refused. */
    (void)report_text(&f, DOM_REPORT_MATRIX, DOM_REPORT_CSV, 1, &text);
    assert_true(has(&text, "\r\nDE,US,content,moderation,5,5,2021,0,1,"));
    assert_true(has(&text, "\r\nDE,US,identifier,moderation,5,5,2021,0,1,"));
    assert_true(has(&text, "\r\nDE,US,network,moderation,0,0,0,5,1,"));
    assert_true(has(&text, "\r\nUS,DE,content,moderation,2,2,810,0,0,"));
    assert_true(has(&text, "log/a: 1-2, 4-6, 8 (6 entries, sha256 of leaf hashes "));
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

static void proof_is_the_digest_of_the_leaves_it_names(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    struct dom_sha256_stream digest;
    uint8_t sha256[DOM_SHA256_SIZE];
    char hex[2 * DOM_SHA256_SIZE + 1];
    static const uint64_t s_indexes[] = {1, 2, 4, 5, 6, 8};
    (void)state;

    fixture_init(&f, 10);
    dom_sha256_init(&digest);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_indexes); i++) {
        struct dom_hash leaf;
        dom_hash_leaf(&leaf, testing_log_entry(&f.log, s_indexes[i]));
        dom_sha256_update(&digest, dom_hash_slice(&leaf));
    }
    dom_sha256_final(&digest, sha256);
    dom_hex_encode(hex, dom_slice_of(sha256, sizeof(sha256)));
    (void)report_text(&f, DOM_REPORT_MATRIX, DOM_REPORT_CSV, 2, &text);
    const char *first = strstr(dom_buffer_cstr(&text), hex);
    assert_non_null(first);
    assert_non_null(strstr(first, "; log/b: 1-2, 4-6, 8 (6 entries"));
    assert_true(has(&text, "\r\nDE,US,content,moderation,10,10,4042,0,2,"));
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

static void art30_tells_recipient_safeguard_and_replicas(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    (void)state;

    fixture_init(&f, 10);
    (void)report_text(&f, DOM_REPORT_ART30, DOM_REPORT_CSV, 1, &text);
    assert_true(has(&text, "\r\nmoderation,\"content, identifier\",live_room,DE,Live Inc,DE,US,"
                           "GDPR-46-2-c,SCC-2026-03,,\"identifier pseudonym, network redact\","
                           "5,5,2021,"));
    assert_true(has(&text, ",replica in us-east;x,"));
    assert_true(has(&text, ",US,scc,"));
    assert_false(has(&text, "NO_PERMIT"));
    /* Nothing crossed: no line. */
    f.filter.from_ms = INT64_C(1900000000000);
    assert_int_equal(report_text(&f, DOM_REPORT_ART30, DOM_REPORT_CSV, 1, &text), 0);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

/* A placement is a transfer without a request: replicas that a policy has made, a home that moved. */
static void placements_are_transfers(void **state)
{
    const struct dom_audit_field fields[1] = {
        {DOM_SLICE_LIT("title"), DOM_SLICE_LIT("content"), DOM_SLICE_LIT("clear")}};
    const struct dom_audit_replica replicas[3] = {
        {DOM_SLICE_LIT(""), DOM_SLICE_LIT("us-east"), DOM_SLICE_LIT("US")},
        {DOM_SLICE_LIT(""), DOM_SLICE_LIT("us-west"), DOM_SLICE_LIT("US")},
        {DOM_SLICE_LIT(""), DOM_SLICE_LIT("cn-north"), DOM_SLICE_LIT("CN")}};
    struct dom_audit_detail details[1] = {
        {.name = DOM_SLICE_LIT("action"), .text = DOM_SLICE_LIT("copy")}};
    struct dom_audit_event e;
    struct fixture f;
    struct dom_buffer text = {0};
    (void)state;

    memset(&f, 0, sizeof(f));
    testing_log_init(&f.log);
    testing_mixed_event(&e, 1);
    e.type = DOM_AUDIT_PLACEMENT;
    e.op = e.purpose = dom_slice_of(NULL, 0);
    memset(&e.actor, 0, sizeof(e.actor));
    memset(&e.decision, 0, sizeof(e.decision));
    memset(&e.basis, 0, sizeof(e.basis));
    e.details = details;
    e.num_details = 1;
    e.fields = fields;
    e.num_fields = 1;
    e.record.home = DOM_SLICE_LIT("US");
    e.record.count = 1;
    e.record.bytes = 50;
    e.transfer.to = e.transfer.to_region = dom_slice_of(NULL, 0);
    e.transfer.replicas = replicas;
    e.transfer.num_replicas = 3;
    append_event(&f, &e);
    /* The home moves to one of the regions; then within the jurisdiction, which is no replica. */
    details[0].text = DOM_SLICE_LIT("move");
    e.transfer.to = DOM_SLICE_LIT("US");
    e.transfer.to_region = DOM_SLICE_LIT("us-east");
    append_event(&f, &e);
    e.transfer.to = DOM_SLICE_LIT("FR");
    e.transfer.to_region = DOM_SLICE_LIT("eu-west-3");
    e.transfer.num_replicas = 0;
    append_event(&f, &e);
    /* Out of a region that no policy knows any more. */
    e.transfer.from = dom_slice_of(NULL, 0);
    append_event(&f, &e);
    publish(&f);
    assert_int_equal(report_text(&f, DOM_REPORT_ART30, DOM_REPORT_CSV, 1, &text), 6);
    assert_true(has(&text, "(placement),content,live_room,US,replica in us-east,DE,US,,,,,1,1,50,"));
    assert_true(has(&text, "(placement),content,live_room,US,home in us-east,DE,US,,,,,1,1,50,"));
    assert_true(has(&text, "(placement),content,live_room,US,replica in us-west,DE,US,,,,,2,2,100,"));
    assert_true(has(&text, "(placement),content,live_room,US,home in eu-west-3,DE,FR,,,,,1,1,50,"));
    assert_true(
        has(&text, "(placement),content,live_room,US,home in eu-west-3,(unknown),FR,,,,,1,1,50,"));
    /* Two regions of one country are one flow. */
    assert_int_equal(report_text(&f, DOM_REPORT_MATRIX, DOM_REPORT_CSV, 1, &text), 4);
    assert_true(has(&text, "\r\nDE,US,content,(placement),2,2,100,0,0,"));
    assert_true(has(&text, "\r\nDE,CN,content,(placement),2,2,100,0,0,"));
    assert_int_equal(report_text(&f, DOM_REPORT_DSP_1101, DOM_REPORT_CSV, 1, &text), 2);
    assert_true(has(&text, ",placement,content,live_room,1,50,DE,\"US, CN\","));
    assert_int_equal(report_text(&f, DOM_REPORT_DSP_1104, DOM_REPORT_CSV, 1, &text), 0);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

/* Changes an event and tells whether it becomes a line of the report. */
static uint64_t lines_of(enum dom_report_kind kind, bool denied, const char *home,
                         const char *from, const char *country)
{
    struct fixture f;
    struct dom_audit_event event;
    struct dom_buffer text = {0};

    memset(&f, 0, sizeof(f));
    testing_log_init(&f.log);
    testing_mixed_event(&event, denied ? 5 : 1);
    event.record.home = dom_slice_str(home);
    event.transfer.from = dom_slice_str(from);
    event.transfer.to = dom_slice_str(country);
    event.actor.country = dom_slice_str(country);
    append_event(&f, &event);
    publish(&f);
    uint64_t lines = report_text(&f, kind, DOM_REPORT_CSV, 1, &text);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
    return lines;
}

static void dsp_reports_hold_us_data_and_countries_of_concern_alone(void **state)
{
    static const char *const s_concern[] = {"CN", "HK", "MO", "CU", "IR", "KP", "RU", "VE"};
    static const char *const s_others[] = {"SG", "DE", "US", "TW", "BY", "CNX", "C", ""};
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_concern); i++) {
        assert_int_equal(lines_of(DOM_REPORT_DSP_1101, false, "US", "DE", s_concern[i]), 1);
        assert_int_equal(lines_of(DOM_REPORT_DSP_1101, false, "DE", "US", s_concern[i]), 1);
        assert_int_equal(lines_of(DOM_REPORT_DSP_1101, false, "DE", "DE", s_concern[i]), 0);
        assert_int_equal(lines_of(DOM_REPORT_DSP_1101, true, "US", "US", s_concern[i]), 0);
        assert_int_equal(lines_of(DOM_REPORT_DSP_1104, true, "US", "DE", s_concern[i]), 1);
        assert_int_equal(lines_of(DOM_REPORT_DSP_1104, false, "US", "DE", s_concern[i]), 0);
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_others); i++) {
        assert_int_equal(lines_of(DOM_REPORT_DSP_1101, false, "US", "US", s_others[i]), 0);
        assert_int_equal(lines_of(DOM_REPORT_DSP_1104, true, "US", "US", s_others[i]), 0);
    }
}

static void refusals_are_due_fourteen_days_later(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    (void)state;

    fixture_init(&f, 60);
    assert_int_equal(report_text(&f, DOM_REPORT_DSP_1104, DOM_REPORT_CSV, 1, &text), 1);
    assert_true(has(&text, "\r\n2025-12-14T11:48:20.000Z,2025-11-30T11:48:20.000Z,write,"
                           "\"content, identifier, network\",live_room,CN,DE,Live Inc,ads,CN,"));
    assert_true(has(&text, ",NO_PERMIT,live-platform version 42,audit.example.com/eu-west,55,"));
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

static void texts_stay_in_their_cells(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    (void)state;

    fixture_init(&f, 10);
    (void)report_text(&f, DOM_REPORT_ART30, DOM_REPORT_HTML, 1, &text);
    assert_true(has(&text, "<td>&lt;b&gt;&amp;amp;|`*_[x](y)</td>"));
    assert_false(has(&text, "<b>"));
    assert_true(has(&text, "<li>Log log/a: size 10, root "));
    (void)report_text(&f, DOM_REPORT_ART30, DOM_REPORT_MD, 1, &text);
    assert_true(has(&text, "| \\<b\\>\\&amp;\\|\\`\\*\\_\\[x\\](y) |"));
    /* Every line of the table has as many cells as its head: unescaped bars. */
    size_t bars = 0;
    size_t want = 0;
    for (size_t i = 0; i < text.len; i++) {
        bars += text.data[i] == '|' && text.data[i - 1] != '\\' ? 1 : 0;
        if (text.data[i] == '\n') {
            want = want == 0 ? bars : want;
            assert_true(bars == 0 || bars == want);
            bars = 0;
        }
    }
    assert_int_equal(want, 18);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

static void unknown_names_are_refused(void **state)
{
    enum dom_report_kind kind = DOM_REPORT_MATRIX;
    enum dom_report_form form = DOM_REPORT_CSV;
    (void)state;

    assert_false(dom_report_kind_parse(DOM_SLICE_LIT("art"), &kind));
    assert_false(dom_report_kind_parse(DOM_SLICE_LIT(""), &kind));
    assert_false(dom_report_kind_parse(DOM_SLICE_LIT("ART30"), &kind));
    assert_int_equal(kind, DOM_REPORT_MATRIX);
    assert_false(dom_report_form_parse(DOM_SLICE_LIT("pdf"), &form));
    assert_true(dom_report_kind_parse(DOM_SLICE_LIT("dsp-202-1104"), &kind));
    assert_int_equal(kind, DOM_REPORT_DSP_1104);
    dom_report_destroy(NULL);
}

static void full_disk_is_an_error(void **state)
{
    struct fixture f;
    struct dom_report *report = NULL;
    struct dom_tree_head head = {.size = 10};
    uint64_t num_lines = 0;
    (void)state;

    fixture_init(&f, 10);
    FILE *out = fopen("/dev/full", "wb");
    assert_non_null(out);
    assert_int_equal(setvbuf(out, NULL, _IOFBF, 1 << 20), 0);
    assert_int_equal(dom_report_new(&report, DOM_REPORT_MATRIX, DOM_REPORT_MD, out, NULL), DOM_OK);
    assert_int_equal(
        dom_report_add_log(report, &f.walk, DOM_SLICE_LIT("log/a"), &head, NULL), DOM_OK);
    assert_int_equal(dom_report_finish(report, &num_lines, NULL), DOM_IO);
    dom_report_destroy(report);
    (void)fclose(out);
    fixture_cleanup(&f);
}

static void logs_and_lines_have_limits(void **state)
{
    struct fixture f;
    struct dom_report *report = NULL;
    struct dom_tree_head head = {.size = 0};
    struct dom_lines lines = {.num_cells = 1};
    struct dom_line *line = NULL;
    uint8_t key[4] = {0};
    struct dom_slice cell = dom_slice_of(key, sizeof(key));
    (void)state;

    fixture_init(&f, 1);
    FILE *out = fopen("/dev/null", "wb");
    assert_int_equal(dom_report_new(&report, DOM_REPORT_MATRIX, DOM_REPORT_MD, out, NULL), DOM_OK);
    for (unsigned i = 0; i < DOM_REPORT_LOGS_MAX; i++) {
        assert_int_equal(
            dom_report_add_log(report, &f.walk, DOM_SLICE_LIT("log"), &head, NULL), DOM_OK);
    }
    assert_int_equal(dom_report_add_log(report, &f.walk, DOM_SLICE_LIT("log"), &head, NULL),
                     DOM_TOO_LARGE);
    dom_report_destroy(report);
    (void)fclose(out);
    for (uint32_t i = 0; i < DOM_REPORT_LINES_MAX; i++) {
        dom_put_u32be(key, i);
        assert_int_equal(dom_lines_get(&lines, &cell, &line, NULL), DOM_OK);
    }
    dom_put_u32be(key, DOM_REPORT_LINES_MAX);
    assert_int_equal(dom_lines_get(&lines, &cell, &line, NULL), DOM_TOO_LARGE);
    assert_null(line);
    dom_put_u32be(key, 7);
    assert_int_equal(dom_lines_get(&lines, &cell, &line, NULL), DOM_OK);
    dom_lines_cleanup(&lines);
    fixture_cleanup(&f);
}

static void ranges_of_a_proof_are_bounded_and_say_so(void **state)
{
    struct dom_lines lines = {.num_cells = 1};
    struct dom_slice cell = DOM_SLICE_LIT("x");
    struct dom_slice origin = DOM_SLICE_LIT("log");
    struct dom_slice checkpoint = DOM_SLICE_LIT("size 79, root ab");
    struct dom_line *line = NULL;
    struct dom_buffer text = {0};
    struct dom_hash leaf = {{0}};
    (void)state;

    assert_int_equal(dom_lines_get(&lines, &cell, &line, NULL), DOM_OK);
    for (uint64_t i = 0; i < 40; i++) {
        /* Twice: an entry backs a line once. */
        assert_int_equal(dom_line_prove(line, 0, 2 * i, &leaf, 1, NULL), DOM_OK);
        assert_int_equal(dom_line_prove(line, 0, 2 * i, &leaf, 1, NULL), DOM_OK);
    }
    dom_line_proof_text(line, &origin, &checkpoint, &text);
    assert_true(has(&text, "log: 0, 2, 4, "));
    assert_true(has(&text, " 30, ... up to 78 (40 entries, "));
    dom_buffer_cleanup(&text);
    dom_lines_cleanup(&lines);
}

/* ---- gaps ----------------------------------------------------------------------------------- */

/* A log with an entry at each of these seconds. */
static void times_init(struct fixture *f, const int64_t *seconds, size_t num)
{
    struct dom_audit_event event;

    memset(f, 0, sizeof(*f));
    testing_log_init(&f->log);
    for (size_t i = 0; i < num; i++) {
        testing_mixed_event(&event, 1);
        event.time_ms = seconds[i] * 1000;
        append_event(f, &event);
    }
    publish(f);
}

static void gaps_are_found_and_what_others_did_meanwhile(void **state)
{
    static const int64_t s_a[] = {1000, 1010, 1020, 2020, 2015, 2030};
    static const int64_t s_b[] = {900, 1020, 1021, 1500, 2019, 2020, 2500};
    static struct dom_gaps gaps;
    struct fixture a;
    struct fixture b;
    (void)state;

    times_init(&a, s_a, DOM_ARRAY_LEN(s_a));
    times_init(&b, s_b, DOM_ARRAY_LEN(s_b));
    memset(&gaps, 0, sizeof(gaps));
    assert_int_equal(dom_gaps_find(&gaps, &a.walk, 1000 * 1000, NULL), DOM_OK);
    assert_int_equal(gaps.num_gaps, 0); /* 1000 s are not over 1000 s */
    memset(&gaps, 0, sizeof(gaps));
    assert_int_equal(dom_gaps_find(&gaps, &a.walk, 50 * 1000, NULL), DOM_OK);
    assert_int_equal(gaps.num_gaps, 1);
    assert_int_equal(gaps.gaps[0].index, 3);
    dom_gaps_add_ends(&gaps, 900 * 1000, 2500 * 1000);
    assert_int_equal(gaps.num_gaps, 3);
    assert_int_equal(dom_gaps_count(&gaps, &b.walk, NULL), DOM_OK);
    assert_int_equal(gaps.gaps[0].until_ms, 1000 * 1000);
    assert_int_equal(gaps.gaps[0].others, 0); /* the one at 900 is the edge */
    assert_int_equal(gaps.gaps[1].others, 3); /* 1021, 1500, 2019 */
    assert_int_equal(gaps.gaps[2].from_ms, 2030 * 1000);
    assert_int_equal(gaps.gaps[2].others, 0);
    fixture_cleanup(&a);
    fixture_cleanup(&b);
}

static void empty_log_is_one_gap_and_no_range_none(void **state)
{
    static struct dom_gaps gaps;
    struct fixture f;
    (void)state;

    times_init(&f, NULL, 0);
    memset(&gaps, 0, sizeof(gaps));
    assert_int_equal(dom_gaps_find(&gaps, &f.walk, 10, NULL), DOM_OK);
    dom_gaps_add_ends(&gaps, 100, 110);
    assert_int_equal(gaps.num_gaps, 0);
    dom_gaps_add_ends(&gaps, 100, 111);
    assert_int_equal(gaps.num_gaps, 1);
    fixture_cleanup(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_counts_what_passed_what_was_withheld_and_what_was_refused),
        cmocka_unit_test(proof_is_the_digest_of_the_leaves_it_names),
        cmocka_unit_test(art30_tells_recipient_safeguard_and_replicas),
        cmocka_unit_test(placements_are_transfers),
        cmocka_unit_test(dsp_reports_hold_us_data_and_countries_of_concern_alone),
        cmocka_unit_test(refusals_are_due_fourteen_days_later),
        cmocka_unit_test(texts_stay_in_their_cells),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(full_disk_is_an_error),
        cmocka_unit_test(logs_and_lines_have_limits),
        cmocka_unit_test(ranges_of_a_proof_are_bounded_and_say_so),
        cmocka_unit_test(gaps_are_found_and_what_others_did_meanwhile),
        cmocka_unit_test(empty_log_is_one_gap_and_no_range_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
