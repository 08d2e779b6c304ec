/* Rows counted without a key, and the label that makes it possible. */
#include "store/region/census.h"

#include <stdio.h>
#include <string.h>

#include "store/region/db.h"
#include "store/region/row.h"
#include "tests/store/region/harness.h"

#define T(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

struct count {
    size_t num_home;
    size_t num_replicas;
    size_t num_unlabelled;
    size_t num_fields;
    size_t mail_bytes;
    size_t bytes;
};

static void count_row(void *arg, const struct dom_census_row *row)
{
    struct count *count = arg;
    uint8_t tag[4];

    dom_census_kind_tag(tag, DOM_SLICE_LIT("user"));
    assert_memory_equal(row->kind_tag, tag, sizeof(tag));
    count->num_home += row->home ? 1U : 0U;
    count->num_replicas += row->home ? 0U : 1U;
    count->num_unlabelled += row->labelled ? 0U : 1U;
    count->bytes += row->bytes;
    if (row->labelled) {
        assert_string_equal(row->home_country, "DE");
    }
    for (size_t i = 0; i < row->num_fields; i++) {
        uint32_t hash = 0;
        uint32_t len = 0;
        dom_census_field(row, i, &hash, &len);
        count->num_fields++;
        count->mail_bytes += hash == dom_census_name_hash(DOM_SLICE_LIT("h_mail")) ? len : 0U;
    }
}

static struct count census(const struct harness *h, const char *region)
{
    struct count count = {0};
    struct dom_error err = {0};

    if (dom_census_scan(harness_path(h, region), count_row, &count, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    return count;
}

/* P8: beside the running store, and with no key file in reach. */
static void rows_are_counted_beside_the_store_without_a_key(void **state)
{
    struct harness *h = *state;
    struct op_spec spec;

    harness_open(h, 2);
    for (int i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "id%d", i);
        op_put(&spec, 0, id, "p_name=Ann", "h_mail=ann@example.org", NULL);
        spec.op.targets = 2;
        assert_int_equal(harness_run(h, &spec), DOM_OK);
    }
    harness_settle(h);
    harness_shell(h, "mv keys keys.away; find r0 r1 | sort > before");
    struct count home = census(h, "r0");
    struct count replica = census(h, "r1");
    harness_shell(h, "find r0 r1 | sort > after; cmp before after; mv keys.away keys");
    assert_int_equal(home.num_home, 5);
    assert_int_equal(home.num_replicas, 0);
    assert_int_equal(home.num_unlabelled, 0);
    assert_int_equal(home.num_fields, 10);
    assert_int_equal(home.mail_bytes, 5 * strlen("ann@example.org"));
    assert_true(home.bytes > home.mail_bytes);
    assert_int_equal(replica.num_home, 0);
    assert_int_equal(replica.num_replicas, 5);
    assert_int_equal(replica.num_fields, 5); /* its part only */
    assert_int_equal(replica.mail_bytes, 0);
    harness_put(h, 0, "after", "the store still writes");
    assert_int_equal(census(h, "r0").num_home, 6);
}

/* Rows of before labels are counted, and said to be unknown. */
static void row_without_label_is_counted_as_such(void **state)
{
    struct harness *h = *state;
    struct dom_db_env *env = NULL;
    struct dom_db *db = NULL;
    struct dom_db_options options = {0};
    uint8_t key[36] = {0};
    uint8_t value[DOM_ROW_HEADER_SIZE + 40] = {1, DOM_ROW_HOME | DOM_ROW_COMPLETE};
    char path[300];

    harness_open(h, 1);
    harness_put(h, 0, "ann", "x");
    harness_close(h);
    (void)snprintf(path, sizeof(path), "%s/db", harness_path(h, "r0"));
    dom_census_kind_tag(key, DOM_SLICE_LIT("user"));
    assert_int_equal(dom_db_env_new(&env, &options, NULL), DOM_OK);
    assert_int_equal(dom_db_open(&db, env, path, NULL), DOM_OK);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    dom_db_batch_put(db, batch, DOM_DB_ROWS, dom_slice_of(key, sizeof(key)),
                     dom_slice_of(value, sizeof(value)));
    assert_int_equal(dom_db_write(db, batch, true, NULL), DOM_OK);
    rocksdb_writebatch_destroy(batch);
    dom_db_close(db);
    dom_db_env_destroy(env);
    struct count count = census(h, "r0");
    assert_int_equal(count.num_home, 2);
    assert_int_equal(count.num_unlabelled, 1);
}

static void ignore_row(void *arg, const struct dom_census_row *row)
{
    (void)arg;
    (void)row;
}

static void folder_without_database_is_an_error_and_stays_without(void **state)
{
    struct harness *h = *state;
    struct dom_error err = {0};

    harness_shell(h, "mkdir r9");
    assert_int_not_equal(dom_census_scan(harness_path(h, "r9"), ignore_row, NULL, &err), DOM_OK);
    assert_non_null(strstr(err.message, "r9/db"));
    harness_shell(h, "test ! -e r9/db/CURRENT; test ! -e r9/db/MANIFEST-000001");
}

/* ---- the label's bytes ---- */

static void sealed_row(struct dom_keyring *keys, struct dom_row_place *place,
                       const struct dom_row_body *body, bool labelled, uint8_t *out, size_t *len)
{
    struct dom_row_cipher cipher = {0};
    struct dom_row_header header = {.flags = DOM_ROW_HOME, .version = 7};
    static uint8_t label[DOM_ROW_LABEL_BYTES_MAX];
    uint8_t plain[256];

    (void)dom_keyring_data(keys, &header.epoch);
    if (labelled) {
        header.flags |= DOM_ROW_LABELLED;
        header.label = dom_slice_of(label, dom_row_label_encode(body, label));
    }
    assert_true(dom_row_body_size(body) <= sizeof(plain));
    dom_row_body_encode(body, plain);
    *len = dom_row_seal(&cipher, place, &header, dom_slice_of(plain, dom_row_body_size(body)), out);
    dom_row_cipher_cleanup(&cipher);
}

/* P5 for rows: every bit of header, label and body is under the seal; one without a label, as
 * earlier versions wrote it, opens too. */
static void label_is_authenticated_and_optional(void **state)
{
    struct harness *h = *state;
    struct dom_store_field fields[] = {{DOM_SLICE_LIT("h_mail"), DOM_SLICE_LIT("a@b")}};
    struct dom_row_body body = {.kind = DOM_SLICE_LIT("user"), .id = DOM_SLICE_LIT("ann"),
                                .home = "DE", .fields = fields, .num_fields = 1};
    struct dom_row_cipher cipher = {0};
    struct dom_keyring *keys = NULL;
    struct dom_row_header header;
    struct dom_slice opened;
    struct dom_arena arena;
    uint8_t value[512];
    size_t len = 0;

    assert_int_equal(dom_keyring_open(&keys, harness_path(h, "x.key"), "r0", true, NULL), DOM_OK);
    struct dom_row_place place = {
        .keys = keys, .region = DOM_SLICE_LIT("r0"), .key = DOM_SLICE_LIT("some key")};
    dom_arena_init(&arena, NULL, 0, 1U << 20);
    for (int labelled = 0; labelled < 2; labelled++) {
        sealed_row(keys, &place, &body, labelled != 0, value, &len);
        assert_int_equal(dom_row_open(&cipher, &place, dom_slice_of(value, len), false, &arena,
                                      &header, &opened, NULL),
                         DOM_OK);
        assert_int_equal(opened.len, dom_row_body_size(&body));
        assert_int_equal(header.label.len, labelled != 0 ? 12 : 0);
        for (size_t i = 0; i < len * 8; i++) {
            value[i / 8] ^= (uint8_t)(1U << (i % 8));
            assert_int_not_equal(dom_row_open(&cipher, &place, dom_slice_of(value, len), false,
                                              &arena, &header, &opened, NULL),
                                 DOM_OK);
            value[i / 8] ^= (uint8_t)(1U << (i % 8));
        }
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_not_equal(dom_row_open(&cipher, &place, dom_slice_of(value, cut), false,
                                              &arena, &header, &opened, NULL),
                                 DOM_OK);
        }
    }
    dom_row_cipher_cleanup(&cipher);
    dom_arena_cleanup(&arena);
    dom_keyring_destroy(keys);
}

/* P12 */
static void label_holds_every_field_that_a_record_may_have(void **state)
{
    static struct dom_store_field fields[DOM_FIELDS_MAX];
    static uint8_t bytes[DOM_ROW_LABEL_BYTES_MAX + DOM_ROW_LABEL_FIELD_SIZE];
    struct dom_row_body body = {.home = "SE", .fields = fields, .num_fields = DOM_FIELDS_MAX};
    struct dom_row_label label;
    uint32_t hash = 0;
    uint32_t len = 0;

    (void)state;
    for (size_t i = 0; i < DOM_FIELDS_MAX; i++) {
        fields[i].name = DOM_SLICE_LIT("foobar");
        fields[i].value = dom_slice_of(bytes, i);
    }
    assert_int_equal(dom_row_label_encode(&body, bytes), DOM_ROW_LABEL_BYTES_MAX);
    assert_true(dom_row_label_parse(&label, dom_slice_of(bytes, DOM_ROW_LABEL_BYTES_MAX)));
    assert_int_equal(label.num_fields, DOM_FIELDS_MAX);
    dom_row_label_field(&label, 255, &hash, &len);
    assert_int_equal(len, 255);
    assert_int_equal(hash, 0xbf9cf968U); /* FNV-1a's published value of "foobar" */
    assert_false(dom_row_label_parse(&label, dom_slice_of(bytes, DOM_ROW_LABEL_BYTES_MAX - 1)));
    bytes[3] = 1; /* 257 */
    assert_false(dom_row_label_parse(&label, dom_slice_of(bytes, sizeof(bytes))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(rows_are_counted_beside_the_store_without_a_key),
        T(row_without_label_is_counted_as_such),
        T(folder_without_database_is_an_error_and_stays_without),
        T(label_is_authenticated_and_optional),
        T(label_holds_every_field_that_a_record_may_have),
    };

    return cmocka_run_group_tests_name("census", tests, NULL, NULL);
}
