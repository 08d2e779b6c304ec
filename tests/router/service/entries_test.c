/* ListEntries with a filter: what passes and nothing else, resumable, of what is published and of
 * what is not yet; and the words of a refusal are those of ExportEntries. */
#include <stdio.h>
#include <string.h>

#include "router/core/wire.h"
#include "tests/router/service/harness.h"

#define INVALID 3
#define DENIED  7

#define LIST   "/domicile.v1.AuditService/ListEntries"
#define EXPORT "/domicile.v1.AuditService/ExportEntries"

#define INDEXES_MAX 40000U

/* What a stream gave. */
struct listed {
    uint64_t indexes[INDEXES_MAX];
    uint64_t count;
    uint64_t next_index; /* of the last message */
    uint64_t num_messages;
    const char *each_holds; /* every entry has it; NULL: whatever */
};

static bool take(void *arg, struct dom_slice message)
{
    struct listed *l = arg;
    Domicile__V1__ListEntriesResponse *page =
        domicile__v1__list_entries_response__unpack(NULL, message.len, message.data);

    assert_non_null(page);
    assert_true(page->n_entries <= 1000);
    for (size_t i = 0; i < page->n_entries; i++) {
        ProtobufCBinaryData entry = page->entries[i]->entry;
        assert_true(l->each_holds == NULL ||
                    memmem(entry.data, entry.len, l->each_holds, strlen(l->each_holds)) != NULL);
        assert_true(l->count < INDEXES_MAX);
        assert_true(page->entries[i]->index >= l->next_index);
        assert_true(page->entries[i]->index < page->next_index);
        l->indexes[l->count++] = page->entries[i]->index;
    }
    assert_true(page->next_index >= l->next_index);
    l->next_index = page->next_index;
    l->num_messages++;
    domicile__v1__list_entries_response__free_unpacked(page, NULL);
    return true;
}

struct question {
    const char *region; /* the caller's; NULL: eu-1 */
    const char *where[3];
    uint64_t from_index, end_index, entries_max;
    int64_t from_time_ms, until_time_ms;
    const char *subject_kind;
    const char *subject_id;
};

static void pack(const struct question *q, bool export, struct dom_buffer *out)
{
    dom_wire_str(out, 1, "eu-1");
    for (size_t i = 0; i < 3 && q->where[i] != NULL; i++) {
        dom_wire_str(out, export ? 2 : 4, q->where[i]);
    }
    dom_wire_uint(out, export ? 5 : 2, q->from_index);
    dom_wire_uint(out, export ? 3 : 5, (uint64_t)q->from_time_ms);
    dom_wire_uint(out, export ? 4 : 6, (uint64_t)q->until_time_ms);
    dom_wire_uint(out, export ? 6 : 7, q->end_index);
    if (!export) {
        dom_wire_uint(out, 3, q->entries_max);
    }
    if (q->subject_kind != NULL) {
        dom_wire_str(out, 8, q->subject_kind);
    }
    if (q->subject_id != NULL) {
        dom_wire_str(out, 9, q->subject_id);
    }
}

static bool ignore(void *arg, struct dom_slice message)
{
    (void)arg;
    (void)message;
    return true;
}

/* The status; *result is the caller's. */
static int ask(struct service *service, const struct question *q, bool export, struct listed *l,
               struct dom_rpc_result *result)
{
    struct dom_rpc_metadata metadata[] = {
        {"domicile-service", "studio"},
        {"domicile-region", q->region == NULL ? "eu-1" : q->region}};
    struct dom_rpc_client_options options = {
        .target = service->address, .metadata = metadata, .num_metadata = 2};
    struct dom_rpc_client *client = NULL;
    struct dom_error err = {0};
    struct dom_buffer out = {0};

    pack(q, export, &out);
    assert_int_equal(dom_rpc_client_new(&client, &options, &err), DOM_OK);
    (void)dom_rpc_client_stream(client, export ? EXPORT : LIST, dom_buffer_slice(&out), CALL_MS,
                                l == NULL ? ignore : take, l, result);
    dom_rpc_client_destroy(client);
    dom_buffer_cleanup(&out);
    return result->status;
}

static void list(struct service *service, struct question q, struct listed *l)
{
    struct dom_rpc_result result = {0};
    const char *each_holds = l->each_holds;

    memset(l, 0, sizeof(*l));
    l->each_holds = each_holds;
    if (ask(service, &q, false, l, &result) != 0) {
        fail_msg("ListEntries: %d %s", result.status, dom_buffer_cstr(&result.message));
    }
    dom_rpc_result_cleanup(&result);
}

static void read_abroad(struct service *service, const char *id)
{
    Domicile__V1__GetRecordResponse *response = NULL;

    assert_int_equal(service_get(service, "feed", "us-1", "serve", id, "DE", &response), 0);
    domicile__v1__get_record_response__free_unpacked(response, NULL);
}

static struct listed s_all;
static struct listed s_some;

static void what_passes_is_listed_published_or_not(void **state)
{
    struct service *service = *state;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_put(service, "room-2", "bob"), 0);
    read_abroad(service, "room-1");
    read_abroad(service, "room-2");
    service_wait_published(service, "eu-1");
    read_abroad(service, "room-2");
    read_abroad(service, "room-2"); /* durable, and perhaps in no file yet */
    list(service, (struct question){0}, &s_all);
    assert_int_equal(s_all.next_index, s_all.count);
    s_some.each_holds = "\"to\":\"US\"";
    list(service, (struct question){.where = {"to=US"}}, &s_some);
    assert_int_equal(s_some.count, 4);
    assert_true(s_some.next_index >= s_all.next_index); /* all was looked at */
    uint64_t third = s_some.indexes[2];
    /* Several of a key: any; several keys: all. */
    list(service, (struct question){.where = {"to=US", "to=FR", "op=read"}}, &s_some);
    assert_int_equal(s_some.count, 4);
    list(service, (struct question){.where = {"to=US", "op=write"}}, &s_some);
    assert_int_equal(s_some.count, 0);
    /* A name becomes the hash that the log has. */
    list(service, (struct question){.subject_kind = "live_room", .subject_id = "room-1"}, &s_some);
    assert_int_equal(s_some.count, 1);
    /* Ranges, and going on. */
    list(service, (struct question){.where = {"to=US"}, .end_index = third}, &s_some);
    assert_int_equal(s_some.count, 2);
    assert_int_equal(s_some.next_index, third);
    list(service, (struct question){.where = {"to=US"}, .entries_max = 2}, &s_some);
    assert_int_equal(s_some.count, 2);
    list(service, (struct question){.where = {"to=US"}, .from_index = s_some.next_index}, &s_some);
    assert_int_equal(s_some.count, 2);
    assert_int_equal(s_some.indexes[0], third);
    int64_t now = atomic_load(&service->wall_ms);
    list(service, (struct question){.where = {"to=US"}, .until_time_ms = now - 86400000}, &s_some);
    assert_int_equal(s_some.count, 0);
    list(service, (struct question){.where = {"to=US"}, .from_time_ms = now - 86400000}, &s_some);
    assert_int_equal(s_some.count, 4);
    s_some.each_holds = NULL;
}

/* 100 records read across a border in one call. */
static void read_batch(struct service *service, struct dom_rpc_result *result)
{
    struct dom_buffer out = {0};

    for (unsigned i = 0; i < 100; i++) {
        size_t at = dom_wire_begin(&out, 1);
        dom_wire_str(&out, 1, "live_room");
        dom_wire_str(&out, 2, i % 50 == 0 ? "room-1" : "room-2");
        dom_wire_str(&out, 3, "DE");
        dom_wire_end(&out, at);
    }
    dom_wire_str(&out, 2, "serve");
    assert_int_equal(service_call(service, "feed", "us-1", RECORDS "BatchGetRecords",
                                  dom_buffer_slice(&out), result),
                     0);
    dom_buffer_cleanup(&out);
}

/* More than one job looks at (16,384 entries), and more than a message takes. */
static void a_long_log_is_gone_through_in_pieces(void **state)
{
    struct service *service = *state;
    struct dom_rpc_result result = {0};
    struct question one = {.subject_kind = "live_room", .subject_id = "room-1"};

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_put(service, "room-2", "bob"), 0);
    for (unsigned i = 0; i < 170; i++) {
        read_batch(service, &result);
    }
    list(service, (struct question){0}, &s_all);
    assert_true(s_all.count > 17000);
    list(service, (struct question){.where = {"to=US"}}, &s_some);
    assert_int_equal(s_some.count, 17000);
    assert_true(s_some.num_messages >= 17);
    list(service, one, &s_some);
    assert_int_equal(s_some.count, 340);
    assert_true(s_some.next_index >= s_all.next_index);
    service_wait_published(service, "eu-1");
    list(service, one, &s_some);
    assert_int_equal(s_some.count, 340);
    /* In pieces of a client's own, nothing is lost or told twice. */
    uint64_t count = 0;
    one.entries_max = 77;
    do {
        list(service, one, &s_some);
        one.from_index = s_some.next_index;
        count += s_some.count;
    } while (s_some.count == 77);
    assert_int_equal(count, 340);
    /* Nothing passes: still where to go on is told, job by job. */
    list(service, (struct question){.where = {"to=CN"}}, &s_some);
    assert_int_equal(s_some.count, 0);
    assert_true(s_some.num_messages >= 2);
    assert_true(s_some.next_index >= s_all.next_index);
    dom_rpc_result_cleanup(&result);
}

static void both_refuse_with_the_same_words_and_paths(void **state)
{
    struct service *service = *state;
    static const struct {
        struct question q;
        const char *path;
        const char *message;
    } rows[] = {
        {{.where = {"colour=red"}}, "where", "unknown key"},
        {{.where = {"to=US", "to"}}, "where", "key=value"},
        {{.from_time_ms = -1}, "from_time_ms", "before 1970"},
        {{.until_time_ms = -1}, "until_time_ms", "before 1970"},
        {{.subject_id = "room-1"}, "subject_id", "go together"},
        {{.subject_kind = "live_room"}, "subject_id", "go together"},
        {{.from_index = UINT64_MAX}, "from_index", "beyond the end"},
        {{.from_index = 3, .end_index = 2}, "from_index", "beyond the end"},
    };

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    service_wait_published(service, "eu-1");
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct dom_rpc_result result = {0};
        size_t row = i / 2;
        int status = ask(service, &rows[row].q, i % 2 == 1, NULL, &result);
        const char *message = dom_buffer_cstr(&result.message);
        if (status != INVALID || strstr(message, rows[row].message) == NULL ||
            memmem(result.details.data, result.details.len, rows[row].path,
                   strlen(rows[row].path)) == NULL) {
            fail_msg("row %zu %s: %d %s", row, i % 2 == 1 ? "export" : "list", status, message);
        }
        dom_rpc_result_cleanup(&result);
    }
}

/* P10: a filter is no way around the border. */
static void entries_stay_in_their_jurisdiction(void **state)
{
    struct service *service = *state;
    struct dom_rpc_result result = {0};
    struct question q = {.region = "us-1", .where = {"to=US"}};

    assert_int_equal(ask(service, &q, false, NULL, &result), DENIED);
    assert_int_equal(result.num_messages, 0);
    dom_rpc_result_cleanup(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_passes_is_listed_published_or_not, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(a_long_log_is_gone_through_in_pieces, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(both_refuse_with_the_same_words_and_paths, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(entries_stay_in_their_jurisdiction, service_setup,
                                        service_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
