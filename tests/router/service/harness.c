#include "tests/router/service/harness.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "router/core/redecide.h"
#include "router/core/wire.h"
#include "store/audit/checkpoint.h"
#include "store/audit/export.h"

/* 2026-11-22T10:00:00Z */
#define START INT64_C(1795341600000)

static const char s_policy[] =
    "defaults = { uncovered_field = \"redact\"; hide_existence = true; };\n"
    "jurisdictions = { EEA = { countries = (\"DE\", \"FR\"); }; US = { countries = (\"US\"); }; };\n"
    "regions = { eu-1 = { country = \"DE\"; }; eu-2 = { country = \"FR\"; };\n"
    "  us-1 = { country = \"US\"; }; };\n"
    "data_classes = { content = { rank = 1; }; identifier = { rank = 2; personal = true; };\n"
    "  network = { rank = 3; personal = true; }; audit = { rank = 4; personal = true; }; };\n"
    "purposes = { serve = {}; moderation = {}; audit = {}; };\n"
    "services = { studio = { kinds = (\"*\"); ops = (\"*\"); purposes = (\"serve\"); };\n"
    "  feed = { kinds = (\"*\"); ops = (\"read\", \"delete\"); purposes = (\"serve\"); };\n"
    "  moderation = { kinds = (\"*\"); ops = (\"read\"); purposes = (\"moderation\"); };\n"
    "  auditor = { kinds = (\"audit_log\"); ops = (\"list\"); purposes = (\"audit\"); }; };\n"
    "kinds = { live_room = { fields = { title = \"content\"; owner = \"identifier\";\n"
    "  ip = \"network\"; }; subject = \"owner\"; };\n"
    "  audit_log = { fields = { entry = \"audit\"; }; }; };\n"
    "bases = { scc = { mechanism = \"GDPR-46-2-c\"; ref = \"SCC-1\"; from = \"2026-01-01\";\n"
    "  until = \"2027-06-30\"; }; };\n"
    "placement = ( { id = \"eea\"; home = (\"EEA\"); classes = (\"*\"); regions = (\"EEA\");\n"
    "    lead = (\"eu-1\"); },\n"
    "  { id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); } );\n"
    "rules = ( { id = \"eea-us-serve\"; effect = \"permit\"; ops = (\"read\"); home = (\"EEA\");\n"
    "    to = (\"US\"); kinds = (\"live_room\"); classes = (\"content\", \"identifier\");\n"
    "    purposes = (\"serve\"); services = (\"feed\", \"studio\"); basis = \"scc\";\n"
    "    obligations = ( { do = \"pseudonymise\"; classes = (\"identifier\"); key = \"eea\"; } ); },\n"
    "  { id = \"eea-us-moderation\"; effect = \"permit\"; ops = (\"read\"); home = (\"EEA\");\n"
    "    to = (\"US\"); kinds = (\"live_room\"); classes = (\"content\", \"identifier\");\n"
    "    purposes = (\"moderation\"); services = (\"moderation\"); basis = \"scc\";\n"
    "    obligations = ( { do = \"pseudonymise\"; classes = (\"identifier\"); key = \"eea\"; },\n"
    "      { do = \"limit\"; records = 3; per = \"P1D\"; count = \"subjects\"; } ); },\n"
    "  { id = \"eea-us-delete\"; effect = \"permit\"; ops = (\"delete\"); home = (\"EEA\");\n"
    "    to = (\"US\"); kinds = (\"live_room\"); classes = (\"content\", \"identifier\");\n"
    "    purposes = (\"serve\"); services = (\"studio\"); basis = \"scc\"; },\n"
    "  { id = \"eea-us-audit\"; effect = \"permit\"; ops = (\"list\"); home = (\"EEA\");\n"
    "    to = (\"US\"); kinds = (\"audit_log\"); classes = (\"audit\"); purposes = (\"audit\");\n"
    "    services = (\"auditor\"); basis = \"scc\"; },\n"
    "  { id = \"no-network\"; effect = \"forbid\"; ops = (\"*\"); home = (\"*\"); to = (\"*\");\n"
    "    classes = (\"network\"); } );\n";

static int64_t wall_ms(const struct dom_clock *clock)
{
    struct service *service = clock->impl;

    return atomic_load(&service->wall_ms);
}

static uint64_t monotonic_us(const struct dom_clock *clock)
{
    (void)clock;
    return dom_clock_monotonic_us(dom_clock_system());
}

static void write_policy(const struct service *service, unsigned version, const char *policy,
                         const char *tail)
{
    struct dom_buffer text = {0};
    struct dom_error err = {0};

    dom_buffer_printf(&text,
                      "policy = { schema = 1; name = \"service-test\"; version = %uL;\n"
                      "  expires = \"2030-01-01T00:00:00Z\"; change = { ticket = \"T\";\n"
                      "  reason = \"tests\"; author = \"tests\"; }; };\n%s%s",
                      version, policy, tail);
    assert_int_equal(
        dom_file_write_atomic(service->policy_path, dom_buffer_slice(&text), 0600, &err), DOM_OK);
    dom_buffer_cleanup(&text);
}

void service_write_policy(const struct service *service, unsigned version, const char *tail)
{
    write_policy(service, version, s_policy, tail);
}

void service_write_policy_text(const struct service *service, unsigned version, const char *before,
                               const char *now)
{
    struct dom_buffer text = {0};
    const char *from = s_policy;

    for (const char *at = strstr(from, before); at != NULL; at = strstr(from, before)) {
        dom_buffer_append(&text, from, (size_t)(at - from));
        dom_buffer_append_str(&text, now);
        from = at + strlen(before);
    }
    assert_true(from != s_policy);
    dom_buffer_append_str(&text, from);
    write_policy(service, version, dom_buffer_cstr(&text), "");
    dom_buffer_cleanup(&text);
}

static void *run(void *arg)
{
    dom_router_run(arg);
    return NULL;
}

void service_start(struct service *service)
{
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    char data[320];

    (void)snprintf(data, sizeof(data), "%s/data", service->dir);
    struct dom_router_options options = {
        .listen = "127.0.0.1:0",
        .insecure_loopback = true,
        .data_dir = data,
        .policy_path = service->policy_path,
        .audit_origin = "log.example/test",
        .audit_wait_ms = 10000, /* these tests are not about time */
        .checkpoint_ms = 20,
        .drain_ms = 10000,
        .clock = &service->clock,
        .instance = "test-1",
    };
    if (dom_router_new(&service->router, &findings, &options, &err) != DOM_OK) {
        fail_msg("router: %s", err.message);
    }
    dom_findings_cleanup(&findings);
    (void)snprintf(service->address, sizeof(service->address), "%s",
                   dom_router_address(service->router));
    assert_int_equal(pthread_create(&service->thread, NULL, run, service->router), 0);
    /* A commit comes after what the start queued: the log now names the policy in force. */
    assert_int_equal(service_put(service, "start", "nobody"), 0);
}

void service_stop(struct service *service)
{
    dom_router_shutdown(service->router);
    assert_int_equal(pthread_join(service->thread, NULL), 0);
    dom_router_destroy(service->router);
    service->router = NULL;
}

int service_setup(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    const char *tmp = getenv("TEST_TMPDIR");

    assert_non_null(service);
    dom_log_set_level(DOM_LOG_ERROR);
    (void)snprintf(service->dir, sizeof(service->dir), "%s/dom-svc-XXXXXX",
                   tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(service->dir));
    (void)snprintf(service->policy_path, sizeof(service->policy_path), "%s/policy.cfg",
                   service->dir);
    service->clock =
        (struct dom_clock){.wall_ms = wall_ms, .monotonic_us = monotonic_us, .impl = service};
    atomic_init(&service->wall_ms, START);
    service_write_policy(service, 1, "");
    service_start(service);
    *state = service;
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char inner[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode)) {
            remove_tree(inner);
        } else {
            (void)unlink(inner);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(path);
}

static enum dom_code check_entry(void *arg, uint64_t index, struct dom_slice entry,
                                 const struct dom_entry_head *head, struct dom_error *err)
{
    struct dom_redecision again;

    (void)head;
    dom_redecide(&again, arg, entry);
    if (again.outcome == DOM_REDECIDE_DIFFERS || again.outcome == DOM_REDECIDE_UNABLE) {
        return DOM_FAIL(err, DOM_TAMPERED, "entry %llu %s: %s\n%.*s", (unsigned long long)index,
                        dom_redecide_outcome_name(again.outcome), again.what, (int)entry.len,
                        (const char *)entry.data);
    }
    return DOM_OK;
}

/* P4: whatever a suite made the router write comes out the same when it is decided again from the
 * entry alone (those under an earlier policy of the suite are left aside). */
static void check_logs(const struct service *service)
{
    static const char *const regions[] = {"eu-1", "eu-2", "us-1"};
    struct dom_policy_load_options load = {.now_ms = START};
    struct dom_export_filter filter = {.end = UINT64_MAX};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};

    enum dom_code rc = dom_policy_load(&policy, &findings, service->policy_path, &load, &err);
    dom_findings_cleanup(&findings);
    for (size_t i = 0; i < DOM_ARRAY_LEN(regions) && rc == DOM_OK; i++) {
        char dir[PATH_MAX];
        struct dom_buffer note = {0};
        struct dom_checkpoint checkpoint;
        struct dom_tiledir log;
        struct dom_note signed_text;
        (void)snprintf(dir, sizeof(dir), "%s/data/%s/audit", service->dir, regions[i]);
        if (access(dir, R_OK) != 0) {
            continue; /* the suite has no such region */
        }
        assert_int_equal(dom_tiledir_read_checkpoint(dir, &note, &err), DOM_OK);
        assert_int_equal(dom_note_parse(&signed_text, dom_buffer_slice(&note), &err), DOM_OK);
        assert_int_equal(dom_checkpoint_parse(&checkpoint, signed_text.text, &err), DOM_OK);
        assert_true(checkpoint.head.size > 0);
        assert_int_equal(dom_tiledir_init(&log, dir, checkpoint.head.size, &err), DOM_OK);
        rc = dom_log_each(&log, &filter, check_entry, policy, &err);
        if (rc != DOM_OK) {
            fail_msg("%s: %s", regions[i], err.message);
        }
        dom_tiledir_cleanup(&log);
        dom_buffer_cleanup(&note);
    }
    dom_policy_unref(policy);
}

int service_teardown(void **state)
{
    struct service *service = *state;

    if (service->router != NULL) {
        service_stop(service);
    }
    check_logs(service);
    remove_tree(service->dir);
    free(service);
    return 0;
}

int service_call(struct service *service, const char *name, const char *region, const char *path,
                 struct dom_slice request, struct dom_rpc_result *result)
{
    struct dom_rpc_metadata metadata[] = {{"domicile-service", name}, {"domicile-region", region}};
    struct dom_rpc_client_options options = {
        .target = service->address, .metadata = metadata, .num_metadata = 2};
    struct dom_rpc_client *client = NULL;
    struct dom_error err = {0};

    if (dom_rpc_client_new(&client, &options, &err) != DOM_OK) {
        fail_msg("client: %s", err.message);
    }
    (void)dom_rpc_client_call(client, path, request, CALL_MS, result);
    dom_rpc_client_destroy(client);
    return result->status;
}

static void put_field(struct dom_buffer *out, const char *name, const char *text)
{
    dom_wire_text_field(out, 4, dom_slice_str(name), dom_slice_str(text));
}

int service_put(struct service *service, const char *id, const char *owner)
{
    struct dom_rpc_result result = {0};
    struct dom_buffer out = {0};

    dom_wire_str(&out, 1, "live_room");
    dom_wire_str(&out, 2, id);
    dom_wire_str(&out, 3, "DE");
    put_field(&out, "title", "the title");
    if (owner != NULL) {
        put_field(&out, "owner", owner);
    }
    dom_wire_str(&out, 5, "serve");
    int status = service_call(service, "studio", "eu-1", RECORDS "PutRecord",
                              dom_buffer_slice(&out), &result);
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&out);
    return status;
}

int service_get(struct service *service, const char *name, const char *region, const char *purpose,
                const char *id, const char *home, Domicile__V1__GetRecordResponse **responsep)
{
    struct dom_rpc_result result = {0};
    struct dom_buffer out = {0};

    dom_wire_str(&out, 1, "live_room");
    dom_wire_str(&out, 2, id);
    dom_wire_str(&out, 3, home == NULL ? "" : home);
    dom_wire_str(&out, 4, purpose);
    int status = service_call(service, name, region, RECORDS "GetRecord", dom_buffer_slice(&out),
                              &result);
    if (responsep != NULL) {
        *responsep = status != 0 ? NULL
                                 : domicile__v1__get_record_response__unpack(
                                       NULL, result.reply.len, result.reply.data);
        assert_true(status != 0 || *responsep != NULL);
    }
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&out);
    return status;
}

int service_delete(struct service *service, const char *name, const char *region, const char *id,
                   Domicile__V1__DeleteRecordResponse **responsep)
{
    struct dom_rpc_result result = {0};
    struct dom_buffer out = {0};

    dom_wire_str(&out, 1, "live_room");
    dom_wire_str(&out, 2, id);
    dom_wire_str(&out, 3, "DE");
    dom_wire_str(&out, 4, "serve");
    int status = service_call(service, name, region, RECORDS "DeleteRecord",
                              dom_buffer_slice(&out), &result);
    if (responsep != NULL) {
        *responsep = status != 0 ? NULL
                                 : domicile__v1__delete_record_response__unpack(
                                       NULL, result.reply.len, result.reply.data);
    }
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&out);
    return status;
}

struct look {
    const char *text;
    uint64_t next;
    bool found;
};

static bool look_at(void *arg, struct dom_slice message)
{
    struct look *look = arg;
    Domicile__V1__ListEntriesResponse *page =
        domicile__v1__list_entries_response__unpack(NULL, message.len, message.data);

    assert_non_null(page);
    for (size_t i = 0; i < page->n_entries; i++) {
        ProtobufCBinaryData entry = page->entries[i]->entry;
        look->next = page->entries[i]->index + 1;
        look->found = look->found || (look->text != NULL && memmem(entry.data, entry.len, look->text,
                                                                   strlen(look->text)) != NULL);
    }
    domicile__v1__list_entries_response__free_unpacked(page, NULL);
    return true;
}

static void look_through(struct service *service, const char *region, uint64_t from,
                         struct look *look)
{
    struct dom_rpc_metadata metadata[] = {{"domicile-service", "studio"},
                                          {"domicile-region", region}};
    struct dom_rpc_client_options options = {
        .target = service->address, .metadata = metadata, .num_metadata = 2};
    struct dom_rpc_result result = {0};
    struct dom_rpc_client *client = NULL;
    struct dom_error err = {0};
    struct dom_buffer out = {0};

    dom_wire_str(&out, 1, region);
    dom_wire_uint(&out, 2, from);
    assert_int_equal(dom_rpc_client_new(&client, &options, &err), DOM_OK);
    if (!dom_rpc_client_stream(client, "/domicile.v1.AuditService/ListEntries",
                               dom_buffer_slice(&out), CALL_MS, look_at, look, &result)) {
        fail_msg("ListEntries: %d %s", result.status, dom_buffer_cstr(&result.message));
    }
    dom_rpc_client_destroy(client);
    dom_rpc_result_cleanup(&result);
    dom_buffer_cleanup(&out);
}

uint64_t service_log_size(struct service *service, const char *region)
{
    struct look look = {0};

    look_through(service, region, 0, &look);
    return look.next;
}

bool service_log_holds(struct service *service, const char *region, uint64_t from, const char *text)
{
    struct look look = {.text = text};

    look_through(service, region, from, &look);
    return look.found;
}

int service_reload(struct service *service)
{
    struct dom_rpc_result result = {0};
    int status = service_call(service, "studio", "eu-1", POLICIES "ReloadPolicy",
                              dom_slice_of(NULL, 0), &result);

    dom_rpc_result_cleanup(&result);
    return status;
}

void service_wait_published(struct service *service, const char *region)
{
    uint64_t wanted = service_log_size(service, region);
    uint64_t end_us = monotonic_us(NULL) + UINT64_C(20000000);
    char dir[400];

    (void)snprintf(dir, sizeof(dir), "%s/data/%s/audit", service->dir, region);
    for (uint64_t size = 0; size < wanted;) {
        struct dom_buffer note = {0};
        assert_true(monotonic_us(NULL) < end_us);
        if (dom_tiledir_read_checkpoint(dir, &note, NULL) == DOM_OK) {
            const char *line = strchr(dom_buffer_cstr(&note), '\n');
            size = line == NULL ? 0 : strtoull(line + 1, NULL, 10);
        }
        dom_buffer_cleanup(&note);
    }
}
