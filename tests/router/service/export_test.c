/* ExportEntries: the export is an entry before a byte leaves, and a border is the policy's. */
#include <stdio.h>
#include <string.h>

#include "router/core/wire.h"
#include "tests/router/service/harness.h"

#define INVALID 3
#define DENIED  7

#define EXPORT "/domicile.v1.AuditService/ExportEntries"

/* What a stream gave. */
struct exported {
    uint64_t count;
    uint64_t first_index;
    uint64_t receipt_index; /* of the first message */
    uint64_t end_index;
    size_t num_receipts;
    char last[4096];        /* the last entry */
    const char *each_holds; /* every entry has it; NULL: whatever */
};

static bool take(void *arg, struct dom_slice message)
{
    struct exported *e = arg;
    Domicile__V1__ExportEntriesResponse *page =
        domicile__v1__export_entries_response__unpack(NULL, message.len, message.data);

    assert_non_null(page);
    if (page->receipt != NULL) {
        e->num_receipts++;
        e->receipt_index = page->receipt->index;
        e->end_index = page->end_index;
        assert_int_equal(page->receipt->leaf_hash.len, 32);
    }
    for (size_t i = 0; i < page->n_entries; i++) {
        ProtobufCBinaryData entry = page->entries[i]->entry;
        assert_true(e->each_holds == NULL ||
                    memmem(entry.data, entry.len, e->each_holds, strlen(e->each_holds)) != NULL);
        if (e->count++ == 0) {
            e->first_index = page->entries[i]->index;
        }
        (void)snprintf(e->last, sizeof(e->last), "%.*s", (int)entry.len, (const char *)entry.data);
    }
    domicile__v1__export_entries_response__free_unpacked(page, NULL);
    return true;
}

struct question {
    const char *service;
    const char *region; /* the caller's */
    const char *log;
    const char *where;
    const char *purpose;
    const char *subject_kind;
    const char *subject_id;
    uint64_t from_index, end_index;
};

/* The status; `message` (512 bytes) is the error's. */
static int ask(struct service *service, const struct question *q, struct exported *e, char *message)
{
    struct dom_rpc_metadata metadata[] = {{"domicile-service", q->service},
                                          {"domicile-region", q->region}};
    struct dom_rpc_client_options options = {
        .target = service->address, .metadata = metadata, .num_metadata = 2};
    struct dom_rpc_result result = {0};
    struct dom_rpc_client *client = NULL;
    struct dom_error err = {0};
    struct dom_buffer out = {0};

    dom_wire_str(&out, 1, q->log);
    if (q->where != NULL) {
        dom_wire_str(&out, 2, q->where);
    }
    dom_wire_uint(&out, 5, q->from_index);
    dom_wire_uint(&out, 6, q->end_index);
    if (q->purpose != NULL) {
        dom_wire_str(&out, 7, q->purpose);
    }
    if (q->subject_kind != NULL) {
        dom_wire_str(&out, 8, q->subject_kind);
    }
    if (q->subject_id != NULL) {
        dom_wire_str(&out, 9, q->subject_id);
    }
    assert_int_equal(dom_rpc_client_new(&client, &options, &err), DOM_OK);
    (void)dom_rpc_client_stream(client, EXPORT, dom_buffer_slice(&out), 20000, take, e, &result);
    int status = result.status;
    (void)snprintf(message, 512, "%s", dom_buffer_cstr(&result.message));
    dom_rpc_client_destroy(client);
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&out);
    return status;
}

/* Three accesses from the US, and everything published. */
static void prepare(struct service *service)
{
    Domicile__V1__GetRecordResponse *response = NULL;

    assert_int_equal(service_put(service, "room-1", "ann"), 0);
    assert_int_equal(service_put(service, "room-2", "bob"), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(service_get(service, "feed", "us-1", "serve", i == 0 ? "room-1" : "room-2",
                                     "DE", &response),
                         0);
        domicile__v1__get_record_response__free_unpacked(response, NULL);
    }
    service_wait_published(service, "eu-1");
}

static void export_at_home_is_an_entry_and_gives_what_passes(void **state)
{
    struct service *service = *state;
    struct exported all = {0};
    struct exported some = {.each_holds = "\"to\":\"US\""};
    struct exported one = {0};
    char message[512];

    prepare(service);
    uint64_t before = service_log_size(service, "eu-1");
    struct question q = {.service = "studio", .region = "eu-1", .log = "eu-1"};
    for (uint64_t size = before; all.end_index < before; size++) {
        /* The files may be there a moment before the router counts them. */
        memset(&all, 0, sizeof(all));
        assert_int_equal(ask(service, &q, &all, message), 0);
        assert_int_equal(all.num_receipts, 1);
        assert_int_equal(all.receipt_index, size); /* the export's own, in that log */
        assert_int_equal(all.count, all.end_index);
    }
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"export\""));
    q.where = "to=US";
    assert_int_equal(ask(service, &q, &some, message), 0);
    assert_int_equal(some.count, 3);
    assert_true(service_log_holds(service, "eu-1", before, "\"filter\":\"to=US\""));
    q.where = NULL;
    q.subject_kind = "live_room";
    q.subject_id = "room-1";
    assert_int_equal(ask(service, &q, &one, message), 0);
    assert_int_equal(one.count, 1);
    /* P10: the subject is a keyed hash in the export's entry, too. */
    assert_false(service_log_holds(service, "eu-1", before, "room-1"));
    assert_true(service_log_holds(service, "eu-1", before, "subject=hmac:"));
    struct exported none = {0};
    q.subject_id = "room-9";
    assert_int_equal(ask(service, &q, &none, message), 0);
    assert_int_equal(none.count, 0);
    assert_int_equal(none.num_receipts, 1);
    struct exported part = {0};
    struct question range = {
        .service = "studio", .region = "eu-2", .log = "eu-1", .from_index = 1, .end_index = 3};
    assert_int_equal(ask(service, &range, &part, message), 0);
    assert_int_equal(part.count, 2);
    assert_int_equal(part.first_index, 1);
    assert_int_equal(part.end_index, 3);
}

/* P2, P4, P10 */
static void export_abroad_needs_a_permit_for_the_whole(void **state)
{
    struct service *service = *state;
    struct exported e = {0};
    char message[512];

    prepare(service);
    uint64_t before = service_log_size(service, "eu-1");
    struct question q = {.service = "auditor", .region = "us-1", .log = "eu-1", .purpose = "audit"};
    for (uint64_t size = before; e.count <= 3; size += 2) {
        /* The files may be there a moment before the router counts them. */
        memset(&e, 0, sizeof(e));
        assert_int_equal(ask(service, &q, &e, message), 0);
        assert_int_equal(e.receipt_index, size + 1); /* behind the access of the same commit */
        assert_true(size < before + 2000);
    }
    assert_true(service_log_holds(service, "eu-1", before, "\"kind\":\"audit_log\""));
    assert_true(service_log_holds(service, "eu-1", before, "\"rules\":[\"eea-us-audit\"]"));
    /* Without the purpose, as another service, of a log that no rule speaks of: denied, and each
     * attempt is an entry. Nothing was sent. */
    static const struct question s_denied[] = {
        {.service = "auditor", .region = "us-1", .log = "eu-1"},
        {.service = "studio", .region = "us-1", .log = "eu-1", .purpose = "serve"},
        {.service = "feed", .region = "us-1", .log = "eu-2", .purpose = "audit"},
        {.service = "auditor", .region = "eu-1", .log = "us-1", .purpose = "audit"},
    };
    for (size_t i = 0; i < sizeof(s_denied) / sizeof(s_denied[0]); i++) {
        struct exported nothing = {0};
        uint64_t size = service_log_size(service, s_denied[i].log);
        assert_int_equal(ask(service, &s_denied[i], &nothing, message), DENIED);
        assert_int_equal(nothing.count, 0);
        assert_int_equal(nothing.num_receipts, 0);
        assert_true(service_log_holds(service, s_denied[i].log, size, "\"type\":\"deny\""));
    }
}

/* A policy that says nothing of logs, and one that would give them in part: the attempt is logged.
 */
static void export_abroad_without_such_a_kind_is_denied(void **state)
{
    struct service *service = *state;
    struct exported e = {0};
    char message[512];

    prepare(service);
    service_write_policy_text(service, 2, "audit_log", "other_log");
    assert_int_equal(service_reload(service), 0);
    uint64_t before = service_log_size(service, "eu-1");
    struct question q = {.service = "studio", .region = "us-1", .log = "eu-1", .purpose = "serve"};
    assert_int_equal(ask(service, &q, &e, message), DENIED);
    assert_non_null(strstr(message, "declares the kind audit_log"));
    assert_int_equal(e.num_receipts, 0);
    assert_true(service_log_holds(service, "eu-1", before, "\"reason\":\"NO_PERMIT\""));
    assert_true(service_log_holds(service, "eu-1", before, "\"type\":\"export\""));
    assert_int_equal(
        ask(service, &(struct question){.service = "studio", .region = "eu-1", .log = "eu-1"}, &e,
            message),
        0);
    service_write_policy_text(service, 3, "services = (\"auditor\"); basis = \"scc\"; }",
                              "services = (\"auditor\"); basis = \"scc\"; obligations = "
                              "( { do = \"redact\"; classes = (\"audit\"); } ); }");
    assert_int_equal(service_reload(service), 0);
    q = (struct question){
        .service = "auditor", .region = "us-1", .log = "eu-1", .purpose = "audit"};
    before = service_log_size(service, "eu-1");
    memset(&e, 0, sizeof(e));
    assert_int_equal(ask(service, &q, &e, message), DENIED);
    assert_non_null(strstr(message, "in part"));
    assert_int_equal(e.num_receipts, 0);
    assert_true(service_log_size(service, "eu-1") > before); /* the new policy, too */
    assert_true(service_log_holds(service, "eu-1", before, "\"effect\":\"deny\""));
}

static void what_is_asked_wrongly_is_told_with_its_place(void **state)
{
    struct service *service = *state;
    static const struct {
        struct question q;
        const char *message;
    } rows[] = {
        {{.service = "studio", .region = "eu-1", .log = "nowhere"}, "no such region"},
        {{.service = "studio", .region = "eu-1", .log = "eu-1", .where = "colour=red"},
         "unknown key"},
        {{.service = "studio", .region = "eu-1", .log = "eu-1", .where = "to"}, "key=value"},
        {{.service = "studio", .region = "eu-1", .log = "eu-1", .subject_id = "room-1"},
         "go together"},
        {{.service = "studio", .region = "eu-1", .log = "eu-1", .from_index = 1000000},
         "beyond the end"},
        {{.service = "auditor", .region = "us-1", .log = "eu-1", .purpose = "fun"},
         "no such purpose"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct exported e = {0};
        char message[512];
        int status = ask(service, &rows[i].q, &e, message);
        if (status != INVALID || strstr(message, rows[i].message) == NULL || e.count > 0) {
            fail_msg("row %zu: %d %s", i, status, message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(export_at_home_is_an_entry_and_gives_what_passes,
                                        service_setup, service_teardown),
        cmocka_unit_test_setup_teardown(export_abroad_needs_a_permit_for_the_whole, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(export_abroad_without_such_a_kind_is_denied, service_setup,
                                        service_teardown),
        cmocka_unit_test_setup_teardown(what_is_asked_wrongly_is_told_with_its_place, service_setup,
                                        service_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
