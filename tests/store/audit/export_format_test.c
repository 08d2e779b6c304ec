/* The forms of an export: golden rows, what OCSF requires, going on after a break, and checks that
 * find every change. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/audit/checkpoint.h"
#include "store/audit/export.h"
#include "store/audit/tiledir.h"
#include "tests/store/audit/testing.h"

#define ENTRIES 80U

static const char *const s_names[] = {"jsonl", "csv", "ocsf", "ecs", "cef", "cloudevents"};

struct fixture {
    struct testing_log log;
    struct dom_tiledir tiledir;
    struct dom_export_filter filter;
    struct dom_export_stats stats;
    struct dom_manifest manifest;
    bool resume_check;
    char dir[PATH_MAX];
    char path[PATH_MAX];
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "%s/audit", testing_folder());
    (void)snprintf(f->path, sizeof(f->path), "%.4000s/out", f->dir);
    testing_log_init(&f->log);
    testing_log_fill_mixed(&f->log, ENTRIES);
    testing_log_publish(&f->log, f->dir, 0);
    assert_int_equal(dom_tiledir_init(&f->tiledir, f->dir, ENTRIES, NULL), DOM_OK);
    dom_export_filter_init(&f->filter);
    f->manifest = (struct dom_manifest){.origin = DOM_SLICE_LIT(TESTING_ORIGIN),
                                        .head = {.size = ENTRIES},
                                        .filter = &f->filter,
                                        .stats = &f->stats,
                                        .time_ms = INT64_C(1764500000123)};
    dom_edge_root(&f->log.tree.edge, &f->manifest.head.root);
}

static void fixture_cleanup(struct fixture *f)
{
    dom_tiledir_cleanup(&f->tiledir);
    testing_log_cleanup(&f->log);
}

static enum dom_code export_mode(struct fixture *f, const char *mode, bool resume, uint64_t after,
                                 struct dom_buffer *text, struct dom_error *err)
{
    FILE *out = fopen(f->path, mode);
    struct dom_export_options options = {.tiledir = &f->tiledir,
                                         .filter = &f->filter,
                                         .format = f->manifest.format,
                                         .out = out,
                                         .resume_file = resume,
                                         .resume_check = f->resume_check,
                                         .resume_after = after};

    assert_non_null(out);
    enum dom_code rc = dom_export_write(&options, &f->stats, err);
    assert_int_equal(fclose(out), 0);
    testing_read(text, f->path);
    return rc;
}

static void export_as(struct fixture *f, const char *name, struct dom_buffer *text)
{
    struct dom_error err;

    f->manifest.format = dom_export_format_find(dom_slice_str(name));
    assert_non_null(f->manifest.format);
    if (export_mode(f, "wb", false, 0, text, &err) != DOM_OK) {
        fail_msg("%s: %s", name, err.message);
    }
    assert_int_equal(f->stats.bytes, text->len);
}

static enum dom_code check_text(const struct fixture *f, struct dom_slice text,
                                struct dom_export_check *check, struct dom_error *err)
{
    FILE *in = fmemopen((void *)(uintptr_t)text.data, text.len, "rb");

    assert_non_null(in);
    enum dom_code rc = dom_export_check(in, &f->manifest, check, err);
    assert_int_equal(fclose(in), 0);
    return rc;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* A denial, one with hostile texts, a policy. The files were read by a person. */
static void rows_are_as_the_golden_files(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    struct dom_buffer golden = {0};
    (void)state;

    fixture_init(&f);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "tests/store/audit/golden/export.%s", s_names[i]);
        f.manifest.format = dom_export_format_find(dom_slice_str(s_names[i]));
        dom_buffer_clear(&text);
        if (f.manifest.format->header != NULL) {
            f.manifest.format->header(&text);
        }
        for (uint64_t index = 0; index < 12; index++) {
            if (index == 5 || index >= 9) {
                assert_int_equal(
                    dom_export_row_make(f.manifest.format, testing_log_entry(&f.log, index), index,
                                        &text, NULL),
                    DOM_OK);
            }
        }
        if (getenv("DOMICILE_GOLDEN_OUT") != NULL) {
            (void)snprintf(path, sizeof(path), "%s/export.%s", getenv("DOMICILE_GOLDEN_OUT"),
                           s_names[i]);
            testing_write(path, dom_buffer_slice(&text));
            continue;
        }
        testing_read(&golden, path);
        if (!dom_slice_eq(dom_buffer_slice(&golden), dom_buffer_slice(&text))) {
            fail_msg("%s differs from its golden file: %.4000s", s_names[i],
                     dom_buffer_cstr(&text));
        }
    }
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&golden);
    fixture_cleanup(&f);
}

static void index_is_found_in_every_row_whatever_its_texts_say(void **state)
{
    struct fixture f;
    struct dom_buffer row = {0};
    (void)state;

    fixture_init(&f);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        const struct dom_export_format *format = dom_export_format_find(dom_slice_str(s_names[i]));
        for (uint64_t index = 0; index < ENTRIES; index++) {
            struct dom_slice entry;
            uint64_t found = 0;
            dom_buffer_clear(&row);
            assert_int_equal(dom_export_row_make(format, testing_log_entry(&f.log, index),
                                                 index + 1000000, &row, NULL),
                             DOM_OK);
            assert_true(dom_export_row_index(format, dom_buffer_slice(&row), &found));
            assert_int_equal(found, index + 1000000);
            if (format->entry != NULL) {
                assert_true(format->entry(dom_buffer_slice(&row), &entry));
                assert_true(dom_slice_eq(entry, testing_log_entry(&f.log, index)));
            }
        }
    }
    assert_null(dom_export_format_find(DOM_SLICE_LIT("xml")));
    assert_null(dom_export_format_find(DOM_SLICE_LIT("")));
    dom_buffer_clear(&row);
    assert_int_equal(
        dom_export_row_make(&dom_export_format_csv, DOM_SLICE_LIT("{}"), 0, &row, NULL),
        DOM_INVALID);
    assert_int_equal(row.len, 0);
    dom_buffer_cleanup(&row);
    fixture_cleanup(&f);
}

static void expect_csv(const char *text, const char *want)
{
    struct dom_buffer out = {0};

    dom_csv_field(&out, dom_slice_str(text));
    assert_string_equal(dom_buffer_cstr(&out), want);
    dom_buffer_cleanup(&out);
}

static void csv_fields_are_quoted_and_no_formula_gets_through(void **state)
{
    (void)state;
    expect_csv("", "");
    expect_csv("plain text", "plain text");
    expect_csv("a,b", "\"a,b\"");
    expect_csv("\"", "\"\"\"\"");
    expect_csv("a\"b\"", "\"a\"\"b\"\"\"");
    expect_csv("line\nline", "\"line\nline\"");
    expect_csv("=1+1", "'=1+1");
    expect_csv("+1", "'+1");
    expect_csv("-1", "'-1");
    expect_csv("@x", "'@x");
    expect_csv("\tx", "\"'\tx\"");
    expect_csv("=\"a\"", "\"'=\"\"a\"\"\"");
    expect_csv("a=b", "a=b");
}

/* ---- OCSF ----------------------------------------------------------------------------------- */

/* What OCSF 1.8 wants of a class, as paths; 'i' an integer, 's' a text, 'o' an object. */
static const struct {
    int class_uid; /* 0: every class */
    const char *path;
    char kind;
} s_required[] = {
    {0, "activity_id", 'i'},
    {0, "category_uid", 'i'},
    {0, "class_uid", 'i'},
    {0, "metadata", 'o'},
    {0, "metadata.product", 'o'},
    {0, "metadata.product.name", 's'},
    {0, "metadata.product.vendor_name", 's'},
    {0, "metadata.version", 's'},
    {0, "severity_id", 'i'},
    {0, "time", 'i'},
    {0, "type_uid", 'i'},
    {6005, "actor", 'o'},
    {6005, "src_endpoint", 'o'},
    {6005, "database", 'o'},
    {6005, "database.name", 's'},
    {6005, "database.type_id", 'i'},
    {3004, "entity", 'o'},
    {3004, "entity.name", 's'},
    {3004, "entity.type", 's'},
    {1008, "log_name", 's'},
};

static json_t *at_path(json_t *json, const char *path)
{
    char name[64];

    while (json != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
        json = json_object_get(json, name);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return json;
}

static bool has_one(json_t *json, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (json_object_get(json, *names) != NULL) {
            return true;
        }
    }
    return false;
}

/* The activities that OCSF's schema (ocsf-schema, events/application/datastore_activity.json and
 * events/system/event_log_activity.json) names, by class: those that we use. */
static const struct {
    int class_uid;
    int activity_id;
    const char *caption;
} s_activities[] = {
    {6005, 1, "Read"},   {6005, 2, "Update"}, {6005, 4, "Query"},  {6005, 5, "Write"},
    {6005, 7, "Delete"}, {6005, 8, "List"},   {1008, 3, "Export"}, {1008, 6, "Start"},
    {1008, 7, "Stop"},   {1008, 99, "Other"},
};

/* An attribute's name is the caption of its number, as the schema wants of such siblings. */
static void check_activity(json_t *event, int class_uid)
{
    int id = (int)json_integer_value(json_object_get(event, "activity_id"));
    const char *name = json_string_value(json_object_get(event, "activity_name"));

    if (class_uid == 3004) {
        return;
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_activities); i++) {
        if (s_activities[i].class_uid == class_uid && s_activities[i].activity_id == id) {
            assert_string_equal(name, s_activities[i].caption);
            return;
        }
    }
    fail_msg("class %d has no activity %d", class_uid, id);
}

/* The schema's constraints on objects inside: at least one of these, where the object is there. */
static void check_constraints(json_t *event)
{
    static const char *const s_entity[] = {"name", "uid", NULL};
    static const char *const s_classification[] = {"category_id", "confidentiality_id", NULL};
    static const char *const s_paths[] = {"database", "table", "entity", "policy", NULL};
    json_t *list = at_path(event, "database.data_classifications");
    json_t *item = NULL;
    size_t i = 0;

    for (const char *const *path = s_paths; *path != NULL; path++) {
        json_t *object = at_path(event, *path);
        if (object != NULL && !has_one(object, s_entity)) {
            fail_msg("%s has neither name nor uid", *path);
        }
    }
    json_array_foreach (list, i, item) {
        assert_true(has_one(item, s_classification));
    }
    list = json_object_get(event, "authorizations");
    json_array_foreach (list, i, item) {
        assert_true(has_one(json_object_get(item, "policy"), s_entity));
    }
    /* What the schema does not know stands in `unmapped` alone. */
    static const char *const s_known[] = {
        "action",         "action_id",     "activity_id",    "activity_name", "actor",
        "authorizations", "category_name", "category_uid",   "class_name",    "class_uid",
        "database",       "disposition",   "disposition_id", "dst_endpoint",  "entity",
        "log_name",       "metadata",      "policy",         "severity",      "severity_id",
        "src_endpoint",   "status",        "status_code",    "status_detail", "status_id",
        "table",          "time",          "type_id",        "type_name",     "type_uid",
        "unmapped"};
    const char *name = NULL;
    json_object_foreach (event, name, item) {
        bool known = false;
        for (i = 0; i < DOM_ARRAY_LEN(s_known); i++) {
            known = known || strcmp(name, s_known[i]) == 0;
        }
        if (!known) {
            fail_msg("%s is no attribute of the schema's that we use", name);
        }
    }
}

static void check_ocsf(json_t *event)
{
    static const char *const s_actor[] = {"process",  "user",    "session",
                                          "app_name", "app_uid", NULL};
    static const char *const s_endpoint[] = {"ip", "uid", "name", "hostname", "svc_name", NULL};
    int class_uid = (int)json_integer_value(json_object_get(event, "class_uid"));

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_required); i++) {
        json_t *value = at_path(event, s_required[i].path);
        if (s_required[i].class_uid != 0 && s_required[i].class_uid != class_uid) {
            continue;
        }
        bool good = s_required[i].kind == 'i'   ? json_is_integer(value)
                    : s_required[i].kind == 's' ? json_string_length(value) > 0
                                                : json_is_object(value);
        if (!good) {
            fail_msg("class %d without %s", class_uid, s_required[i].path);
        }
    }
    assert_true(class_uid == 6005 || class_uid == 3004 || class_uid == 1008);
    assert_true(has_one(json_object_get(event, "actor"), s_actor));
    assert_true(has_one(json_object_get(event, "src_endpoint"), s_endpoint));
    assert_int_equal(json_integer_value(json_object_get(event, "category_uid")), class_uid / 1000);
    assert_int_equal(json_integer_value(json_object_get(event, "type_uid")),
                     class_uid * 100 + json_integer_value(json_object_get(event, "activity_id")));
    assert_string_equal(json_string_value(at_path(event, "metadata.version")), "1.8.0");
    check_activity(event, class_uid);
    check_constraints(event);
    json_t *country = at_path(event, "src_endpoint.location.country");
    assert_true(country == NULL || json_string_length(country) == 2);
}

static void ocsf_events_have_what_their_class_requires(void **state)
{
    struct fixture f;
    struct dom_buffer row = {0};
    unsigned seen[3] = {0};
    (void)state;

    fixture_init(&f);
    for (uint64_t index = 0; index < ENTRIES; index++) {
        dom_buffer_clear(&row);
        assert_int_equal(dom_export_row_make(&dom_export_format_ocsf,
                                             testing_log_entry(&f.log, index), index, &row, NULL),
                         DOM_OK);
        json_t *event = json_loadb((const char *)row.data, row.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(event);
        check_ocsf(event);
        int type_uid = (int)json_integer_value(json_object_get(event, "type_uid"));
        seen[0] += type_uid == 600501 ? 1 : 0;
        seen[1] += type_uid == 300410 ? 1 : 0;
        seen[2] += type_uid == 100803 ? 1 : 0;
        if (index % 10 == 5) {
            assert_int_equal(json_integer_value(json_object_get(event, "action_id")), 2);
            assert_int_equal(json_integer_value(json_object_get(event, "disposition_id")), 2);
            assert_int_equal(json_integer_value(json_object_get(event, "status_id")), 2);
        }
        assert_null(strstr(dom_buffer_cstr(&row), "nonce"));
        json_decref(event);
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    dom_buffer_cleanup(&row);
    fixture_cleanup(&f);
}

/* A refusal of nobody known, without kind, region or country: still a whole event. */
static void ocsf_event_of_a_stranger_is_whole(void **state)
{
    struct dom_audit_event event;
    struct dom_buffer entry = {0};
    struct dom_buffer row = {0};
    (void)state;

    testing_mixed_event(&event, 5);
    memset(&event.actor, 0, sizeof(event.actor));
    memset(&event.record, 0, sizeof(event.record));
    memset(&event.transfer, 0, sizeof(event.transfer));
    memset(&event.router, 0, sizeof(event.router));
    event.num_fields = 0;
    assert_int_equal(dom_audit_event_encode(&event, &entry, NULL), DOM_OK);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        dom_buffer_clear(&row);
        assert_int_equal(dom_export_row_make(dom_export_format_find(dom_slice_str(s_names[i])),
                                             dom_buffer_slice(&entry), 0, &row, NULL),
                         DOM_OK);
        if (strcmp(s_names[i], "ocsf") == 0) {
            json_t *json = json_loadb((const char *)row.data, row.len, 0, NULL);
            check_ocsf(json);
            json_decref(json);
        }
    }
    dom_buffer_cleanup(&entry);
    dom_buffer_cleanup(&row);
}

/* ---- going on ------------------------------------------------------------------------------- */

static void resumed_export_is_byte_for_byte_the_whole_one(void **state)
{
    struct fixture f;
    struct dom_buffer whole = {0};
    struct dom_buffer text = {0};
    struct dom_error err = {0};
    (void)state;

    fixture_init(&f);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        export_as(&f, s_names[i], &whole);
        struct dom_export_stats want = f.stats;
        for (size_t cut = whole.len / 3; cut <= whole.len; cut += whole.len / 7) {
            testing_write(f.path, dom_slice_of(whole.data, cut));
            /* Rows up to index 20 lie before the first third's end. */
            f.resume_check = cut % 2 == 0;
            if (export_mode(&f, "r+b", true, 20, &text, &err) != DOM_OK) {
                fail_msg("%s cut at %zu: %s", s_names[i], cut, err.message);
            }
            assert_true(dom_slice_eq(dom_buffer_slice(&text), dom_buffer_slice(&whole)));
            assert_memory_equal(f.stats.sha256, want.sha256, sizeof(want.sha256));
            assert_int_equal(f.stats.count, want.count);
        }
        testing_write(f.path, dom_slice_of(whole.data, whole.len / 2));
        assert_int_equal(export_mode(&f, "r+b", true, ENTRIES - 1, &text, &err), DOM_INVALID);
        assert_non_null(strstr(err.message, "last whole row is of index"));
        assert_int_equal(text.len, whole.len / 2); /* A refusal leaves the file as it is. */
        testing_write(f.path, DOM_SLICE_LIT("something else\r\n"));
        assert_int_equal(export_mode(&f, "r+b", true, 1, &text, &err), DOM_INVALID);
        testing_write(f.path, DOM_SLICE_LIT(""));
        assert_int_equal(export_mode(&f, "r+b", true, 1, &text, &err), DOM_INVALID);
    }
    dom_buffer_cleanup(&whole);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

/* What is signed for as a whole must not come from a file that anybody could have changed. */
static void rows_of_the_file_are_compared_when_a_manifest_is_to_tell_of_them(void **state)
{
    struct fixture f;
    struct dom_buffer whole = {0};
    struct dom_buffer text = {0};
    struct dom_error err = {0};
    (void)state;

    fixture_init(&f);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        export_as(&f, s_names[i], &whole);
        char *kind = strstr((char *)(uintptr_t)dom_buffer_cstr(&whole), "live_room");
        assert_non_null(kind);
        kind[0] = 'd';
        testing_write(f.path, dom_slice_of(whole.data, whole.len / 2));
        f.resume_check = false;
        assert_int_equal(export_mode(&f, "r+b", true, 20, &text, &err), DOM_OK);
        testing_write(f.path, dom_slice_of(whole.data, whole.len / 2));
        f.resume_check = true;
        assert_int_equal(export_mode(&f, "r+b", true, 20, &text, &err), DOM_TAMPERED);
        assert_non_null(strstr(err.message, "the row of index"));
        kind[0] = 'l';
        /* Rows of an export that asked for something else. */
        testing_write(f.path, dom_slice_of(whole.data, whole.len / 2));
        assert_int_equal(dom_export_filter_add(&f.filter, DOM_SLICE_LIT("op=read"), NULL), DOM_OK);
        assert_int_equal(export_mode(&f, "r+b", true, 20, &text, &err), DOM_TAMPERED);
        f.filter.num_where = 0;
        f.filter.end = 20;
        assert_int_equal(export_mode(&f, "r+b", true, 20, &text, &err), DOM_INVALID);
        f.filter.end = UINT64_MAX;
        f.filter.first = 1;
        assert_int_equal(export_mode(&f, "r+b", true, 20, &text, &err), DOM_INVALID);
        f.filter.first = 0;
    }
    dom_buffer_cleanup(&whole);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

/* ---- checking ------------------------------------------------------------------------------- */

static void check_accepts_every_form_and_finds_any_changed_byte(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    struct dom_export_check check;
    struct dom_error err = {0};
    (void)state;

    fixture_init(&f);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_names); i++) {
        export_as(&f, s_names[i], &text);
        if (check_text(&f, dom_buffer_slice(&text), &check, &err) != DOM_OK) {
            fail_msg("%s: %s", s_names[i], err.message);
        }
        bool holds_entries = f.manifest.format->entry != NULL;
        assert_int_equal(check.count, ENTRIES);
        assert_int_equal(check.entries_hashed, holds_entries);
        assert_int_equal(check.root_checked, holds_entries);
        for (size_t at = 0; at < text.len; at += 997) {
            text.data[at] ^= 1;
            assert_int_not_equal(check_text(&f, dom_buffer_slice(&text), &check, NULL), DOM_OK);
            assert_false(check.entries_hashed);
            text.data[at] ^= 1;
        }
        assert_int_equal(check_text(&f, dom_slice_of(text.data, text.len - 1), &check, NULL),
                         DOM_TAMPERED);
        f.stats.count++;
        assert_int_equal(check_text(&f, dom_buffer_slice(&text), &check, NULL), DOM_TAMPERED);
        f.stats.count--;
        f.stats.sha256[0] ^= 1;
        assert_int_equal(check_text(&f, dom_buffer_slice(&text), &check, NULL), DOM_TAMPERED);
        f.stats.sha256[0] ^= 1;
    }
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

/* Whoever holds the manifest's key can make digests fit; the tree still tells. */
static void check_finds_what_a_forger_with_a_fitting_digest_did(void **state)
{
    struct fixture f;
    struct dom_buffer text = {0};
    struct dom_export_check check;
    struct dom_error err = {0};
    (void)state;

    fixture_init(&f);
    export_as(&f, "jsonl", &text);
    f.manifest.head.root.bytes[0] ^= 1;
    assert_int_equal(check_text(&f, dom_buffer_slice(&text), &check, &err), DOM_TAMPERED);
    assert_non_null(strstr(err.message, "root"));
    f.manifest.head.root.bytes[0] ^= 1;
    /* An entry that the filter does not let through, and a row left out. */
    assert_int_equal(dom_export_filter_add(&f.filter, DOM_SLICE_LIT("to=US"), NULL), DOM_OK);
    assert_int_equal(check_text(&f, dom_buffer_slice(&text), &check, &err), DOM_TAMPERED);
    assert_non_null(strstr(err.message, "not asked for"));
    f.filter.num_where = 0;
    f.filter.first = 1;
    assert_int_equal(check_text(&f, dom_buffer_slice(&text), &check, &err), DOM_TAMPERED);
    assert_non_null(strstr(err.message, "out of range"));
    f.filter.first = 0;
    const uint8_t *second = memchr(text.data, '\n', text.len);
    assert_non_null(second);
    size_t skip = (size_t)(second + 1 - text.data);
    assert_int_equal(check_text(&f, dom_slice_of(text.data + skip, text.len - skip), &check, &err),
                     DOM_TAMPERED);
    assert_non_null(strstr(err.message, "missing"));
    f.manifest.origin = DOM_SLICE_LIT("audit.example.com/elsewhere");
    assert_int_equal(check_text(&f, dom_buffer_slice(&text), &check, &err), DOM_TAMPERED);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

static void manifest_is_read_back_as_it_was_written(void **state)
{
    struct fixture f;
    struct dom_manifest_doc doc;
    struct dom_buffer text = {0};
    (void)state;

    fixture_init(&f);
    f.manifest.format = &dom_export_format_cef;
    f.manifest.checkpoint = DOM_SLICE_LIT("a checkpoint\n\nwith lines\n");
    f.filter.from_ms = INT64_C(1764500000123);
    f.filter.until_ms = INT64_C(1764600000000);
    f.filter.first = 3;
    assert_int_equal(dom_export_filter_add(&f.filter, DOM_SLICE_LIT("to=US"), NULL), DOM_OK);
    assert_int_equal(dom_export_filter_add(&f.filter, DOM_SLICE_LIT("purpose=a b=c"), NULL),
                     DOM_OK);
    assert_int_equal(dom_manifest_encode(&f.manifest, &text, NULL), DOM_OK);
    assert_int_equal(dom_manifest_parse(&doc, dom_buffer_slice(&text), NULL), DOM_OK);
    assert_ptr_equal(doc.manifest.format, &dom_export_format_cef);
    assert_true(dom_slice_eq(doc.manifest.origin, f.manifest.origin));
    assert_true(dom_slice_eq(doc.manifest.checkpoint, f.manifest.checkpoint));
    assert_int_equal(doc.filter.num_where, 2);
    assert_int_equal(doc.filter.until_ms, f.filter.until_ms);
    assert_int_equal(doc.filter.end, ENTRIES);
    dom_manifest_doc_cleanup(&doc);
    /* Cut anywhere, it is none; and a changed byte is another manifest or none. */
    for (size_t len = 0; len < text.len; len++) {
        /* Without its last line, the checkpoint, it is a manifest again. */
        bool whole_lines = len > 0 && text.data[len - 1] == '\n';
        bool good = dom_manifest_parse(&doc, dom_slice_of(text.data, len), NULL) == DOM_OK;
        if (good) {
            dom_manifest_doc_cleanup(&doc);
        }
        assert_true(!good || whole_lines);
    }
    static const char *const s_bad[] = {"", "\n", "domicile-audit-export/v2\n",
                                        "domicile-audit-export/v1\norigin x\n"};
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_bad); i++) {
        assert_int_equal(dom_manifest_parse(&doc, dom_slice_str(s_bad[i]), NULL), DOM_PARSE);
    }
    char *format = strstr((char *)(uintptr_t)dom_buffer_cstr(&text), "format cef");
    assert_non_null(format);
    memcpy(format, "format xml", 10);
    assert_int_equal(dom_manifest_parse(&doc, dom_buffer_slice(&text), NULL), DOM_UNSUPPORTED);
    dom_buffer_cleanup(&text);
    fixture_cleanup(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_as_the_golden_files),
        cmocka_unit_test(index_is_found_in_every_row_whatever_its_texts_say),
        cmocka_unit_test(csv_fields_are_quoted_and_no_formula_gets_through),
        cmocka_unit_test(ocsf_events_have_what_their_class_requires),
        cmocka_unit_test(ocsf_event_of_a_stranger_is_whole),
        cmocka_unit_test(resumed_export_is_byte_for_byte_the_whole_one),
        cmocka_unit_test(rows_of_the_file_are_compared_when_a_manifest_is_to_tell_of_them),
        cmocka_unit_test(check_accepts_every_form_and_finds_any_changed_byte),
        cmocka_unit_test(check_finds_what_a_forger_with_a_fitting_digest_did),
        cmocka_unit_test(manifest_is_read_back_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
