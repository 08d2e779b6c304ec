/* The index: what it says a query finds is what reading everything finds, and one that hides
 * something is found. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "store/audit/index.h"
#include "store/audit/index_internal.h"
#include "store/audit/walk.h"
#include "tests/store/audit/testing.h"

/* Two groups of bundles: 256 and 9 full ones, and a part of one. */
#define NUM_FULL (DOM_INDEX_GROUP + 9U)
#define SIZE     ((uint64_t)NUM_FULL * DOM_TILE_WIDTH + 57U)

static struct {
    struct testing_log log;
    char dir[256];
    struct dom_tiledir tiledir;
    struct dom_buffer files[2]; /* the index as it should be; empty: not made yet */
} s_published;

/* The bundles alone, without a sync: nothing here looks at tiles. */
static int publish(void **state)
{
    struct dom_buffer bundle = {0};
    char relative[DOM_TILE_PATH_SIZE];
    char path[PATH_MAX];

    (void)state;
    (void)snprintf(s_published.dir, sizeof(s_published.dir), "%s/audit", testing_folder());
    testing_log_init(&s_published.log);
    testing_log_fill_varied(&s_published.log, SIZE);
    for (uint64_t n = 0; n <= NUM_FULL; n++) {
        struct dom_tile tile = {
            .level = DOM_TILE_ENTRIES, .n = n, .width = dom_tile_width(SIZE, DOM_TILE_ENTRIES, n)};
        dom_buffer_clear(&bundle);
        for (uint64_t i = 0; i < tile.width; i++) {
            assert_int_equal(
                dom_bundle_append(
                    &bundle, testing_log_entry(&s_published.log, n * DOM_TILE_WIDTH + i), NULL),
                DOM_OK);
        }
        (void)snprintf(path, sizeof(path), "%s/%s", s_published.dir, dom_tile_path(relative, tile));
        *strrchr(path, '/') = '\0';
        assert_int_equal(dom_dir_make(path, 0700, NULL), DOM_OK);
        (void)snprintf(path, sizeof(path), "%s/%s", s_published.dir, relative);
        testing_write(path, dom_buffer_slice(&bundle));
    }
    dom_buffer_cleanup(&bundle);
    return dom_tiledir_init(&s_published.tiledir, s_published.dir, SIZE, NULL) == DOM_OK ? 0 : -1;
}

static int unpublish(void **state)
{
    (void)state;
    dom_buffer_cleanup(&s_published.files[0]);
    dom_buffer_cleanup(&s_published.files[1]);
    dom_tiledir_cleanup(&s_published.tiledir);
    testing_log_cleanup(&s_published.log);
    return 0;
}

static void index_path(char *out, uint64_t group)
{
    char relative[DOM_INDEX_PATH_SIZE];
    (void)snprintf(out, PATH_MAX, "%s/%s", s_published.dir, dom_index_path(relative, group));
}

/* Makes what is missing; returns how many files were written. */
static uint64_t make_index(void)
{
    struct dom_index_writer writer = {0};
    struct dom_error err = {0};
    bool done = false;

    while (!done) {
        if (dom_index_writer_run(&writer, &s_published.tiledir, 1000, true, &done, &err) !=
            DOM_OK) {
            fail_msg("%s", err.message);
        }
    }
    assert_int_equal(writer.written, NUM_FULL);
    assert_int_equal(dom_index_writer_lag(&writer, SIZE), 0);
    uint64_t files = writer.num_files;
    dom_index_writer_cleanup(&writer);
    return files;
}

static void remove_index(void)
{
    char path[PATH_MAX];

    for (uint64_t group = 0; group < 4; group++) {
        index_path(path, group);
        (void)unlink(path);
    }
}

/* The index as it should be, or of the second group alone, which is small. Made once. */
static void put_index(bool second_only)
{
    char path[PATH_MAX];

    remove_index();
    if (s_published.files[0].len == 0) {
        (void)make_index();
        for (uint64_t group = 0; group < 2; group++) {
            index_path(path, group);
            testing_read(&s_published.files[group], path);
        }
        remove_index();
    }
    for (uint64_t group = second_only ? 1 : 0; group < 2; group++) {
        index_path(path, group);
        testing_write(path, dom_buffer_slice(&s_published.files[group]));
    }
}

static enum dom_code verify(struct dom_index_verify_result *result, struct dom_error *err)
{
    return dom_index_verify(&s_published.tiledir, result, NULL, NULL, err);
}

static void add(struct dom_export_filter *filter, const char *text)
{
    assert_int_equal(dom_export_filter_add(filter, dom_slice_str(text), NULL), DOM_OK);
}

struct found {
    uint64_t count;
    uint64_t sum; /* of a mix of the indexes */
};

static enum dom_code keep(void *arg, uint64_t index, struct dom_slice entry,
                          const struct dom_entry_head *head, struct dom_error *err)
{
    struct found *found = arg;
    (void)entry;
    (void)head;
    (void)err;
    found->count++;
    found->sum += (index + 1) * (index + 7);
    return DOM_OK;
}

static struct found ask(const struct dom_export_filter *filter, bool use_index,
                        struct dom_log_walk_stats *stats)
{
    struct found found = {0};
    struct dom_log_walk walk = {
        .tiledir = &s_published.tiledir, .filter = filter, .use_index = use_index, .stats = stats};
    assert_int_equal(dom_log_walk(&walk, keep, &found, NULL), DOM_OK);
    return found;
}

/* What each of some filters finds, from the entries in memory: no bundle, no walk, no index. */
static void ask_all(const struct dom_export_filter *filters, struct found *found, size_t count)
{
    memset(found, 0, count * sizeof(*found));
    for (uint64_t i = 0; i < SIZE; i++) {
        struct dom_slice entry = testing_log_entry(&s_published.log, i);
        struct dom_entry_head head;
        assert_int_equal(dom_entry_scan(entry, &head, NULL), DOM_OK);
        for (size_t f = 0; f < count; f++) {
            if (dom_export_filter_match(&filters[f], i, &head)) {
                (void)keep(&found[f], i, entry, &head, NULL);
            }
        }
    }
}

/* Each filter finds with the index what it should; reads[i]: bundles read for it. */
static void check_filters(const struct dom_export_filter *filters, struct found *found,
                          uint64_t *reads, size_t count)
{
    ask_all(filters, found, count);
    for (size_t i = 0; i < count; i++) {
        struct dom_log_walk_stats stats = {0};
        struct found quick = ask(&filters[i], true, &stats);
        assert_int_equal(quick.count, found[i].count);
        assert_int_equal(quick.sum, found[i].sum);
        reads[i] = stats.bundles_read;
    }
}

static void every_key_finds_what_a_full_walk_finds(void **state)
{
    /* Bundles read at most: the last part is always read, and the index errs seldom. */
    static const struct {
        const char *where;
        const char *also;
        uint64_t found_min, read_max;
    } rows[] = {
        {"from=CN", NULL, 1, 41},
        {"to=US", NULL, 1, 41},
        {"pair=DE:SG", NULL, 1, 41},
        {"pair=DE:DE", NULL, 0, 1},
        {"from_region=sg-1", NULL, 1, 41},
        {"to_region=us-east;x", NULL, 1, 41}, /* only replicas go there */
        {"service=service-17", NULL, 1, 14},
        {"service=service-17", "service=service-3", 1, 28},
        {"service=service-17", "version=44", 0, 8},
        {"country=SG", NULL, 1, 41},
        {"kind=live_room", NULL, 1, 41},
        {"kind=user", NULL, 0, 1},
        {"home=US", NULL, 1, 41},
        {"outcome=deny", NULL, 1, 41},
        {"reason=FORBIDDEN", NULL, 0, 1},
        {"type=purge", NULL, 1, 41},
        {"op=write", NULL, 1, 41},
        {"purpose=recommendation", NULL, 1, 41},
        {"purpose=", NULL, 1, 41},
        {"rule=eu-us-moderation", NULL, 1, 41},
        {"rule=eu-us", NULL, 0, 1},
        {"version=45", NULL, 1, 42},
        {"field=ip", NULL, 1, 41},
        {"class=network", NULL, 1, 41},
        {"withheld=ip", NULL, 1, 41},
        {"withheld=host_uid", NULL, 0, 1}, /* it was made a pseudonym, not withheld */
        {"user=hmac:1:u77", NULL, 1, 6},
        {"subject=hmac:1:u77", NULL, 1, 6},
        {"record=hmac:1:u77", NULL, 0, 6},
        {"subject=hmac:1:nobody", NULL, 0, 3},
        {"trace=4bf92f3577b34da6a3ce929d0e0e4736", NULL, 1, 41},
        {"trace=00000000000000000000000000000000", NULL, 0, 3},
        {"id=not-an-id", NULL, 0, 41},
    };

    (void)state;
    put_index(false);
    struct dom_export_filter filters[DOM_ARRAY_LEN(rows)];
    struct found found[DOM_ARRAY_LEN(rows)];
    uint64_t reads[DOM_ARRAY_LEN(rows)];
    for (size_t i = 0; i < DOM_ARRAY_LEN(rows); i++) {
        dom_export_filter_init(&filters[i]);
        add(&filters[i], rows[i].where);
        if (rows[i].read_max == 41) {
            /* It is everywhere: enough to look on both sides of the files' border. */
            filters[i].first = 63000;
            filters[i].end = 67000;
        }
        if (rows[i].also != NULL) {
            add(&filters[i], rows[i].also);
        }
    }
    check_filters(filters, found, reads, DOM_ARRAY_LEN(rows));
    for (size_t i = 0; i < DOM_ARRAY_LEN(rows); i++) {
        if (found[i].count < rows[i].found_min || (rows[i].found_min == 0 && found[i].count > 0) ||
            reads[i] > rows[i].read_max) {
            fail_msg("%s: %llu found, %llu bundles read", rows[i].where,
                     (unsigned long long)found[i].count, (unsigned long long)reads[i]);
        }
    }
}

#define NUM_ALONE 20U

static void one_record_and_one_id_are_found_in_one_bundle(void **state)
{
    static char texts[NUM_ALONE][128];
    struct dom_export_filter filters[NUM_ALONE];
    struct found found[NUM_ALONE];
    uint64_t reads[NUM_ALONE];

    (void)state;
    put_index(false);
    for (size_t i = 0; i < NUM_ALONE; i++) {
        struct dom_entry_head head;
        uint64_t index = 1 + i * 3390; /* each a request with a record of its own */
        assert_int_equal(dom_entry_scan(testing_log_entry(&s_published.log, index), &head, NULL),
                         DOM_OK);
        struct dom_slice value = i % 2 == 0 ? head.id : head.record_id;
        dom_export_filter_init(&filters[i]);
        (void)snprintf(texts[i], sizeof(texts[i]), "%s=%.*s", i % 2 == 0 ? "id" : "subject",
                       (int)value.len, (const char *)value.data);
        add(&filters[i], texts[i]);
    }
    check_filters(filters, found, reads, NUM_ALONE);
    for (size_t i = 0; i < NUM_ALONE; i++) {
        assert_int_equal(found[i].count, 1);
        /* Its own, the last, which is not full, and seldom one that the rows err about. */
        assert_in_range(reads[i], 1, 4);
    }
}

static void times_and_indexes_bound_what_is_read(void **state)
{
    struct dom_export_filter filters[3];
    struct found found[3];
    uint64_t reads[3];

    (void)state;
    put_index(false);
    dom_export_filter_init(&filters[0]);
    filters[0].from_ms = INT64_C(1764500000000) + INT64_C(60000) * 66000;
    filters[0].until_ms = filters[0].from_ms + INT64_C(60000) * 300;
    filters[1] = filters[0];
    filters[1].first = 66100;
    filters[1].end = 66150;
    filters[2] = filters[0];
    filters[2].first = SIZE;
    check_filters(filters, found, reads, DOM_ARRAY_LEN(filters));
    assert_int_equal(found[0].count, 300);
    assert_true(reads[0] <= 3);
    assert_int_equal(found[1].count, 50);
    assert_int_equal(reads[1], 1);
    assert_int_equal(found[2].count, 0);
    assert_int_equal(reads[2], 0);
}

/* Whatever is wrong with a file as a file: everything is read, nothing is missed. */
static void a_file_that_cannot_be_used_means_reading_everything(void **state)
{
    struct dom_export_filter filter;
    struct dom_log_walk_stats stats;
    struct dom_index_mask mask;
    struct dom_index_writer writer = {0};
    struct dom_buffer bytes = {0};
    char path[PATH_MAX];
    unsigned width = 0;
    bool done = false;

    (void)state;
    put_index(false);
    index_path(path, 1);
    testing_read(&bytes, path);
    dom_export_filter_init(&filter);
    add(&filter, "kind=user");
    filter.first = (uint64_t)DOM_INDEX_GROUP * DOM_TILE_WIDTH;
    (void)ask(&filter, true, &stats);
    assert_int_equal(stats.bundles_read, 1);
    const size_t cuts[] = {
        0, 7, DOM_INDEX_HEADER_SIZE - 1, DOM_INDEX_HEADER_SIZE, 900, bytes.len - 1};
    for (size_t i = 0; i < DOM_ARRAY_LEN(cuts); i++) {
        testing_write(path, dom_slice_of(bytes.data, cuts[i]));
        assert_int_equal(dom_index_select(s_published.dir, 1, &filter, &mask, &width, NULL),
                         DOM_CORRUPT);
        for (unsigned b = 0; b < DOM_INDEX_GROUP; b++) {
            assert_true(dom_index_mask_has(&mask, b));
        }
    }
    (void)ask(&filter, true, &stats);
    assert_int_equal(stats.bundles_read, 10);
    assert_int_equal(stats.bundles_unindexed, 9);
    bytes.data[11] = DOM_INDEX_VERSION + 1;
    testing_write(path, dom_buffer_slice(&bytes));
    assert_int_equal(dom_index_select(s_published.dir, 1, &filter, &mask, &width, NULL),
                     DOM_FORMAT);
    /* One of another version is made anew, the other file stays. */
    assert_int_equal(dom_index_writer_run(&writer, &s_published.tiledir, 100, true, &done, NULL),
                     DOM_OK);
    assert_true(done);
    assert_int_equal(writer.num_files, 1);
    assert_int_equal(dom_index_select(s_published.dir, 1, &filter, &mask, &width, NULL), DOM_OK);
    assert_int_equal(width, 9);
    (void)unlink(path);
    assert_int_equal(dom_index_select(s_published.dir, 1, &filter, &mask, &width, NULL),
                     DOM_NOT_FOUND);
    dom_index_writer_cleanup(&writer);
    dom_buffer_cleanup(&bytes);
}

static void a_writer_goes_on_where_the_files_end(void **state)
{
    struct dom_index_writer writer = {0};
    struct dom_tiledir early;
    bool done = false;

    (void)state;
    put_index(false);
    remove_index();
    /* 31 full bundles wait, 32 are written; then the log grows. */
    assert_int_equal(
        dom_tiledir_init(&early, s_published.dir, (DOM_INDEX_LAG - 1) * DOM_TILE_WIDTH, NULL),
        DOM_OK);
    assert_int_equal(dom_index_writer_run(&writer, &early, 100, false, &done, NULL), DOM_OK);
    assert_true(done);
    assert_int_equal(writer.written, 0);
    early.size = DOM_INDEX_LAG * DOM_TILE_WIDTH;
    assert_int_equal(dom_index_writer_run(&writer, &early, 100, false, &done, NULL), DOM_OK);
    assert_int_equal(writer.written, DOM_INDEX_LAG);
    dom_index_writer_cleanup(&writer);
    /* Another process goes on, some at a time. */
    assert_int_equal(dom_index_writer_run(&writer, &s_published.tiledir, 260, false, &done, NULL),
                     DOM_OK);
    assert_false(done);
    assert_int_equal(writer.written, DOM_INDEX_GROUP);
    assert_int_equal(writer.next, 260);
    dom_index_writer_cleanup(&writer);
    assert_int_equal(make_index(), 1);
    assert_int_equal(make_index(), 0);
    for (uint64_t group = 0; group < 2; group++) {
        /* However it came about, the bytes are the same. */
        struct dom_buffer found = {0};
        char path[PATH_MAX];
        index_path(path, group);
        testing_read(&found, path);
        assert_int_equal(found.len, s_published.files[group].len);
        assert_memory_equal(found.data, s_published.files[group].data, found.len);
        dom_buffer_cleanup(&found);
    }
    dom_tiledir_cleanup(&early);
}

/* P5: an index cannot hide an entry unnoticed. Each bit of masks and rows, some of them here. */
static void verify_finds_any_changed_bit(void **state)
{
    struct dom_index_verify_result result;
    struct dom_error err;
    struct dom_buffer good = {0};
    char path[PATH_MAX];

    (void)state;
    put_index(true);
    assert_int_equal(verify(&result, &err), DOM_OK);
    index_path(path, 1);
    testing_read(&good, path);
    for (size_t at = 28; at < good.len; at += 1 + good.len / 12) {
        good.data[at] ^= (uint8_t)(1U << (at % 8));
        testing_write(path, dom_buffer_slice(&good));
        enum dom_code rc = verify(&result, &err);
        /* A header that does not fit the file makes it unusable, which hides nothing. */
        if (rc != DOM_TAMPERED && result.num_files != 0) {
            fail_msg("byte %zu: %d", at, (int)rc);
        }
        good.data[at] ^= (uint8_t)(1U << (at % 8));
    }
    testing_write(path, dom_buffer_slice(&good));
    assert_int_equal(verify(&result, &err), DOM_OK);
    dom_buffer_cleanup(&good);
}

static void an_index_that_hides_is_found(void **state)
{
    struct dom_index_verify_result result;
    struct dom_export_filter filter;
    struct dom_log_walk_stats stats;
    struct dom_error err;
    struct dom_tiledir early;
    struct dom_buffer bytes = {0};
    char path[PATH_MAX];
    const char name[] = "service-26"; /* of entries 66,000 to 66,999 */

    (void)state;
    put_index(true);
    dom_export_filter_init(&filter);
    add(&filter, "service=service-26");
    filter.first = (uint64_t)DOM_INDEX_GROUP * DOM_TILE_WIDTH;
    struct found before = ask(&filter, true, &stats);
    index_path(path, 1);
    testing_read(&bytes, path);
    uint8_t *at = memmem(bytes.data, bytes.len, name, sizeof(name) - 1);
    assert_non_null(at);
    memset(at + sizeof(name) - 1, 0, 2); /* nine bundles' mask */
    testing_write(path, dom_buffer_slice(&bytes));
    struct found after = ask(&filter, true, &stats);
    assert_true(after.count < before.count); /* it does hide */
    assert_int_equal(ask(&filter, false, &stats).count, before.count);
    assert_int_equal(verify(&result, &err), DOM_TAMPERED);
    assert_non_null(strstr(err.message, "index/001"));
    /* One of a longer log beside it. */
    put_index(true);
    assert_int_equal(
        dom_tiledir_init(&early, s_published.dir, (NUM_FULL - 1) * DOM_TILE_WIDTH, NULL), DOM_OK);
    assert_int_equal(dom_index_verify(&early, &result, NULL, NULL, &err), DOM_TAMPERED);
    dom_tiledir_cleanup(&early);
    dom_buffer_cleanup(&bytes);
}

/* P12: at the limit every value is kept, one more opens the key, which then hides nothing. */
static void a_key_with_too_many_values_is_open(void **state)
{
    struct dom_index_builder *builder = dom_index_builder_new();
    struct dom_index_header header;
    struct dom_buffer bundle = {0};
    struct dom_buffer entry = {0};
    struct dom_buffer bytes = {0};

    (void)state;
    /* An entry has one rule of its own; the other values are few and the same. */
    for (unsigned extra = 0; extra < 2; extra++) {
        dom_index_builder_begin(builder, 0);
        uint32_t num = 0;
        for (unsigned b = 0; b < DOM_INDEX_VALUES_MAX / DOM_TILE_WIDTH; b++) {
            dom_buffer_clear(&bundle);
            for (unsigned i = 0; i < DOM_TILE_WIDTH; i++) {
                struct dom_audit_event event;
                char rule[32];
                struct dom_slice rules[1];
                memset(&event, 0, sizeof(event));
                event.type = DOM_AUDIT_GENESIS;
                event.time_ms = 1;
                event.id[0] = 1;
                event.id[6] = 0x70;
                event.id[8] = 0x80;
                event.origin = DOM_SLICE_LIT(TESTING_ORIGIN);
                event.policy.index = -1;
                event.details = (const struct dom_audit_detail[]){
                    {.name = DOM_SLICE_LIT("format"), .integer = 1, .is_integer = true}};
                event.num_details = 1;
                /* Two places are the type's and the effect's. */
                unsigned limit = DOM_INDEX_VALUES_MAX - 2 + extra;
                (void)snprintf(rule, sizeof(rule), "rule-%u", num < limit ? num : limit - 1);
                num++;
                rules[0] = dom_slice_str(rule);
                event.decision.rules = rules;
                event.decision.num_rules = 1;
                event.decision.effect = DOM_SLICE_LIT("allow");
                dom_buffer_clear(&entry);
                struct dom_error err;
                if (dom_audit_event_encode(&event, &entry, &err) != DOM_OK) {
                    fail_msg("%s", err.message);
                }
                assert_int_equal(dom_bundle_append(&bundle, dom_buffer_slice(&entry), NULL),
                                 DOM_OK);
            }
            assert_int_equal(dom_index_builder_add(builder, dom_buffer_slice(&bundle), NULL),
                             DOM_OK);
        }
        dom_buffer_clear(&bytes);
        assert_int_equal(dom_index_builder_encode(builder, &bytes, NULL), DOM_OK);
        assert_int_equal(dom_index_header_parse(&header, bytes.data, 0, bytes.len, NULL), DOM_OK);
        assert_int_equal(header.num_values, extra == 0 ? DOM_INDEX_VALUES_MAX : 2);
        assert_int_equal(header.open_keys, extra == 0 ? 0 : UINT32_C(1) << DOM_EXPORT_rule);
    }
    dom_index_builder_destroy(builder);
    dom_buffer_cleanup(&bundle);
    dom_buffer_cleanup(&entry);
    dom_buffer_cleanup(&bytes);
}

static void a_bundle_that_is_short_or_not_ours_is_refused(void **state)
{
    struct dom_index_builder *builder = dom_index_builder_new();
    struct dom_error err;

    (void)state;
    assert_int_equal(dom_index_builder_add(builder, DOM_SLICE_LIT(""), &err), DOM_CORRUPT);
    assert_int_equal(dom_index_builder_add(builder, DOM_SLICE_LIT("\0\3one"), &err), DOM_PARSE);
    assert_int_equal(dom_index_builder_add(builder, DOM_SLICE_LIT("\0\5{}"), &err), DOM_CORRUPT);
    dom_index_builder_destroy(builder);
}

static void filters_know_lists_and_replicas(void **state)
{
    static const char entry[] =
        "{\"actor\":{\"id\":\"spiffe://live/ns/eu/sa/"
        "moderation\"},\"decision\":{\"rules\":[\"a\",\"b\\\"c\"]},\"fields\":[{\"c\":\"network\","
        "\"h\":"
        "\"drop\",\"n\":\"ip\"},{\"c\":\"content\",\"h\":\"clear\",\"n\":\"title\"}],"
        "\"policy\":{\"version\":7},\"transfer\":{\"from\":\"DE\",\"replicas\":[{\"region\":"
        "\"us-east\",\"to\":\"US\"},{\"basis\":\"scc\",\"region\":\"sg-1\",\"to\":\"SG\"}]}}";
    static const struct {
        const char *where;
        bool passes;
    } rows[] = {
        {"rule=a", true},
        {"rule=b\\\"c", true},
        {"rule=c", false},
        {"rule=", false},
        {"withheld=ip", true},
        {"withheld=title", false},
        {"field=title", true},
        {"class=content", true},
        {"class=clear", false},
        {"version=7", true},
        {"version=07", false},
        {"to=SG", true},
        {"to=DE", false},
        {"to_region=us-east", true},
        {"pair=DE:US", true},
        {"pair=DE:SG", true},
        {"pair=US:SG", false},
        {"subject=", true},
        {"subject=x", false},
        {"service=", false},
        {"service=moderation", true},
        {"service=eu", false},
        {"service=spiffe://live/ns/eu/sa/moderation", true},
    };
    struct dom_entry_head head;

    (void)state;
    assert_int_equal(dom_entry_scan(dom_slice_str(entry), &head, NULL), DOM_OK);
    for (size_t i = 0; i < DOM_ARRAY_LEN(rows); i++) {
        struct dom_export_filter filter;
        dom_export_filter_init(&filter);
        add(&filter, rows[i].where);
        if (dom_export_filter_match(&filter, 0, &head) != rows[i].passes) {
            fail_msg("%s", rows[i].where);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_know_lists_and_replicas),
        cmocka_unit_test(every_key_finds_what_a_full_walk_finds),
        cmocka_unit_test(one_record_and_one_id_are_found_in_one_bundle),
        cmocka_unit_test(times_and_indexes_bound_what_is_read),
        cmocka_unit_test(a_file_that_cannot_be_used_means_reading_everything),
        cmocka_unit_test(a_writer_goes_on_where_the_files_end),
        cmocka_unit_test(verify_finds_any_changed_bit),
        cmocka_unit_test(an_index_that_hides_is_found),
        cmocka_unit_test(a_key_with_too_many_values_is_open),
        cmocka_unit_test(a_bundle_that_is_short_or_not_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, publish, unpublish);
}
