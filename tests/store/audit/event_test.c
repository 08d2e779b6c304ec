#include "store/audit/event.h"

#include <stdlib.h>

#include "base/encode.h"
#include "store/audit/hash.h"
#include "store/audit/scan.h"
#include "tests/store/audit/testing.h"

/* The worked example of docs/AUDIT_FORMAT.md: 1,121 bytes. */
static const char s_example[] =
    "{\"actor\":{\"country\":\"US\",\"entity\":\"Live US Inc\",\"id\":\"spiffe://live/moderation\","
    "\"type\":\"service\",\"user\":\"hmac:eu7:Qm9i\"},\"basis\":{\"mech\":\"GDPR-46-2-c\",\"ref\":"
    "\"SCC-EU-US-2026-03\"},\"decision\":{\"effect\":\"modify\",\"mode\":\"enforce\",\"reason\":"
    "\"PERMIT\",\"rules\":[\"eu-us-moderation\"]},\"fields\":[{\"c\":\"content\",\"h\":\"clear\","
    "\"n\":\"title\"},{\"c\":\"identifier\",\"h\":\"pseudonym\",\"n\":\"host_uid\"},{\"c\":"
    "\"network\",\"h\":\"redact\",\"n\":\"ip\"}],\"id\":\"019ad3c2-7c1a-7b3e-8f51-2a6d9e0c4b11\","
    "\"nonce\":\"3q2+7wABAgMEBQYHCAkKCw==\",\"op\":\"read\",\"origin\":"
    "\"audit.example.com/eu-west\",\"policy\":{\"index\":118,\"name\":\"live-platform\","
    "\"sha256\":\"c1d0\",\"version\":42},\"purpose\":\"moderation\",\"record\":{\"bytes\":412,"
    "\"count\":1,\"home\":\"EU\",\"id\":\"hmac:eu7:c2Rm\",\"kind\":\"live_room\",\"region\":"
    "\"eu-west\"},\"result\":{\"code\":0,\"us\":850},\"router\":{\"build\":\"sha256:9f2c\","
    "\"instance\":\"rt-eu-3\",\"region\":\"eu-west\"},\"shadow\":{\"effect\":\"deny\",\"reason\":"
    "\"FORBID\",\"rules\":[\"no-minors-abroad\"],\"version\":43},\"time\":1764500000123,\"trace\":"
    "\"4bf92f3577b34da6a3ce929d0e0e4736\",\"transfer\":{\"from\":\"EU\",\"from_region\":"
    "\"eu-west\",\"method\":\"grpc+tls1.3\",\"to\":\"US\",\"to_region\":\"us-east\"},\"type\":"
    "\"access\",\"v\":1}";

static const char s_key[] = "ccbc1e337a23b5382cb369a039183b737049e182d3865148147731f91bd68c80";
static const char s_example_leaf[] =
    "bef382df27e389205ca1ac1ecb01d54fb06b4184e8837b9f3c2247c590ee50e9";

static void worked_example_survives_parse_and_encode(void **state)
{
    struct dom_audit_event_doc doc;
    struct dom_buffer out = {0};
    struct dom_hash leaf;
    struct dom_hash want;
    struct dom_error err = {0};
    (void)state;

    assert_int_equal(sizeof(s_example) - 1, 1121);
    if (dom_audit_event_parse(&doc, dom_slice_str(s_example), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(doc.event.type, DOM_AUDIT_ACCESS);
    assert_int_equal(doc.event.time_ms, INT64_C(1764500000123));
    assert_true(dom_slice_eq_str(doc.event.actor.entity, "Live US Inc"));
    assert_int_equal(doc.event.num_fields, 3);
    assert_true(dom_slice_eq_str(doc.event.fields[1].handling, "pseudonym"));
    assert_int_equal(doc.event.policy.index, 118);
    assert_int_equal(doc.event.result.us, 850);
    assert_int_equal(dom_audit_event_encode(&doc.event, &out, &err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&out), s_example));
    dom_hash_leaf(&leaf, dom_buffer_slice(&out));
    testing_hash_hex(&want, s_example_leaf);
    assert_memory_equal(leaf.bytes, want.bytes, DOM_HASH_SIZE);
    dom_buffer_cleanup(&out);
    dom_audit_event_doc_cleanup(&doc);
}

/* Everything that an event can hold, in one. */
static void every_member_survives(void **state)
{
    static const struct dom_audit_replica replicas[2] = {
        {{(const uint8_t *)"scc", 3}, {(const uint8_t *)"us-east", 7}, {(const uint8_t *)"US", 2}},
        {{NULL, 0}, {(const uint8_t *)"sg-1", 4}, {(const uint8_t *)"SG", 2}},
    };
    static const struct dom_audit_detail details[3] = {
        {{(const uint8_t *)"a", 1}, {NULL, 0}, -5, true},
        {{(const uint8_t *)"empty", 5}, {NULL, 0}, 0, false},
        {{(const uint8_t *)"note", 4}, {(const uint8_t *)"x\"y\\z\n\x01\x7f", 8}, 0, false},
    };
    struct dom_audit_event event;
    struct dom_audit_event_doc doc;
    struct dom_buffer out = {0};
    struct dom_error err = {0};
    (void)state;

    testing_event(&event, 0);
    event.transfer.replicas = replicas;
    event.transfer.num_replicas = 2;
    event.details = details;
    event.num_details = 3;
    event.claim.country = DOM_SLICE_LIT("FR");
    event.claim.user = DOM_SLICE_LIT("J\xC3\xBCrgen \xF0\x9F\x8E\xA5");
    event.basis.assessment = DOM_SLICE_LIT("PIA-2026-7");
    event.shadow.effect = DOM_SLICE_LIT("deny");
    event.shadow.version = 43;
    event.policy.index = -1;
    if (dom_audit_event_encode(&event, &out, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    assert_non_null(strstr(dom_buffer_cstr(&out), "\"note\":\"x\\\"y\\\\z\\n\\u0001\x7f\""));
    assert_non_null(strstr(dom_buffer_cstr(&out),
                           "\"replicas\":[{\"basis\":\"scc\",\"region\":\"us-east\",\"to\":\"US\"},"
                           "{\"region\":\"sg-1\",\"to\":\"SG\"}]"));
    if (dom_audit_event_parse(&doc, dom_buffer_slice(&out), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(doc.event.num_details, 3);
    assert_int_equal(doc.event.details[0].integer, -5);
    assert_true(dom_slice_eq(doc.event.details[2].text, details[2].text));
    assert_int_equal(doc.event.transfer.num_replicas, 2);
    dom_audit_event_doc_cleanup(&doc);
    dom_buffer_cleanup(&out);
}

static void expect_refused(const struct dom_audit_event *event, const char *path)
{
    struct dom_buffer out = {0};
    struct dom_error err = {0};

    dom_buffer_append_str(&out, "kept");
    assert_int_equal(dom_audit_event_encode(event, &out, &err), DOM_INVALID);
    if (strncmp(err.message, path, strlen(path)) != 0) {
        fail_msg("%s is wanted: %s", path, err.message);
    }
    assert_true(dom_slice_eq_str(dom_buffer_slice(&out), "kept"));
    dom_buffer_cleanup(&out);
}

#define REFUSED(path, change)         \
    do {                              \
        testing_event(&event, 0);     \
        change;                       \
        expect_refused(&event, path); \
    } while (0)

static void encoder_names_the_bad_member(void **state)
{
    static const struct dom_audit_field s_no_class[1] = {
        {{(const uint8_t *)"ip", 2}, {NULL, 0}, {(const uint8_t *)"clear", 5}}};
    static const struct dom_audit_field s_bad_word[1] = {
        {{(const uint8_t *)"ip", 2}, {(const uint8_t *)"c", 1}, {(const uint8_t *)"hide", 4}}};
    static const struct dom_audit_detail s_unsorted[2] = {
        {{(const uint8_t *)"b", 1}, {NULL, 0}, 0, true},
        {{(const uint8_t *)"a", 1}, {NULL, 0}, 0, true}};
    static const struct dom_audit_detail s_bad_name[1] = {
        {{(const uint8_t *)"B", 1}, {NULL, 0}, 0, true}};
    static const struct dom_audit_replica s_no_region[1] = {
        {{NULL, 0}, {NULL, 0}, {(const uint8_t *)"US", 2}}};
    struct dom_audit_event event;
    (void)state;

    REFUSED("type", event.type = (enum dom_audit_type)77);
    REFUSED("id", event.id[6] = 0x40);
    REFUSED("time", event.time_ms = 0);
    REFUSED("time", event.time_ms = DOM_AUDIT_INTEGER_MAX + 1);
    REFUSED("origin", event.origin.len = 0);
    REFUSED("origin", event.origin = DOM_SLICE_LIT("two words"));
    REFUSED("op", event.op = DOM_SLICE_LIT("peek"));
    REFUSED("op", event.op.len = 0);
    REFUSED("trace", event.trace = DOM_SLICE_LIT("4BF92F3577B34DA6A3CE929D0E0E4736"));
    REFUSED("trace", event.trace.len = 31);
    REFUSED("decision.effect", event.decision.effect = DOM_SLICE_LIT("maybe"));
    REFUSED("decision.effect", event.decision.effect.len = 0);
    REFUSED("decision.effect", event.decision.effect = DOM_SLICE_LIT("deny"));
    REFUSED("decision.reason", event.decision.reason.len = 0);
    REFUSED("decision.mode", event.decision.mode = DOM_SLICE_LIT("dry"));
    REFUSED("decision.rules", event.decision.num_rules = DOM_AUDIT_RULES_MAX + 1);
    REFUSED("actor.id", event.actor.id.len = 0);
    REFUSED("record.kind", event.record.kind.len = 0);
    REFUSED("actor.cert.serial", event.actor.cert_key = dom_slice_str(s_key));
    REFUSED("actor.cert.key", event.actor.cert_serial = DOM_SLICE_LIT("01"));
    REFUSED("actor.cert.serial", (event.actor.cert_key = dom_slice_str(s_key),
                                  event.actor.cert_serial = DOM_SLICE_LIT("0A")));
    REFUSED("actor.cert.key", (event.actor.cert_key = dom_slice_of(s_key, 63),
                               event.actor.cert_serial = DOM_SLICE_LIT("01")));
    REFUSED("record.bytes", event.record.bytes = -1);
    REFUSED("record.count", event.record.count = DOM_AUDIT_INTEGER_MAX + 1);
    REFUSED("policy.version", event.policy.version = -1);
    REFUSED("policy.index", event.policy.index = -2);
    REFUSED("result", event.result.us = -1);
    REFUSED("shadow", event.shadow.effect = DOM_SLICE_LIT("perhaps"));
    REFUSED("fields[0]", (event.fields = s_no_class, event.num_fields = 1));
    REFUSED("fields[0]", (event.fields = s_bad_word, event.num_fields = 1));
    REFUSED("fields", event.num_fields = DOM_FIELDS_MAX + 1);
    REFUSED("detail.a", (event.details = s_unsorted, event.num_details = 2));
    REFUSED("detail[0]", (event.details = s_bad_name, event.num_details = 1));
    REFUSED("detail", event.num_details = DOM_AUDIT_DETAILS_MAX + 1);
    REFUSED("transfer.replicas[0]",
            (event.transfer.replicas = s_no_region, event.transfer.num_replicas = 1));
    REFUSED("transfer.replicas", event.transfer.num_replicas = DOM_AUDIT_REPLICAS_MAX + 1);
    REFUSED("actor.entity", event.actor.entity = DOM_SLICE_LIT("caf\xE9"));
    REFUSED("record.id", event.record.id = DOM_SLICE_LIT("\xED\xA0\x80"));
    REFUSED("purpose", event.purpose = DOM_SLICE_LIT("\xC0\x80"));
    REFUSED("detail", event.type = DOM_AUDIT_KEY);
    REFUSED("detail", event.type = DOM_AUDIT_GENESIS);
    REFUSED("policy", (event.type = DOM_AUDIT_POLICY, event.policy.sha256.len = 0));
}

static void the_certificate_comes_first_in_the_actor(void **state)
{
    struct dom_audit_event event;
    struct dom_audit_event_doc doc;
    struct dom_buffer out = {0};
    struct dom_buffer again = {0};
    struct dom_error err = {0};
    (void)state;

    testing_event(&event, 3);
    event.actor.cert_serial = DOM_SLICE_LIT("50ed7d95ec6038bb");
    event.actor.cert_key = dom_slice_str(s_key);
    event.claim.region = DOM_SLICE_LIT("eu-west");
    assert_int_equal(dom_audit_event_encode(&event, &out, &err), DOM_OK);
    static const char begin[] = "{\"actor\":{\"cert\":{\"key\":\"ccbc1e33";
    assert_int_equal(strncmp(dom_buffer_cstr(&out), begin, sizeof(begin) - 1), 0);
    if (dom_audit_event_parse(&doc, dom_buffer_slice(&out), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(dom_slice_eq_str(doc.event.actor.cert_serial, "50ed7d95ec6038bb"));
    assert_true(dom_slice_eq_str(doc.event.actor.cert_key, s_key));
    assert_true(dom_slice_eq_str(doc.event.claim.region, "eu-west"));
    assert_int_equal(dom_audit_event_encode(&doc.event, &again, &err), DOM_OK);
    assert_true(dom_slice_eq(dom_buffer_slice(&out), dom_buffer_slice(&again)));
    dom_audit_event_doc_cleanup(&doc);
    dom_buffer_cleanup(&again);
    dom_buffer_cleanup(&out);
}

static void a_refused_caller_may_be_nobody(void **state)
{
    struct dom_audit_event event;
    struct dom_buffer out = {0};
    (void)state;

    testing_event(&event, 4);
    assert_int_equal(event.type, DOM_AUDIT_DENY);
    memset(&event.actor, 0, sizeof(event.actor));
    memset(&event.record, 0, sizeof(event.record));
    assert_int_equal(dom_audit_event_encode(&event, &out, NULL), DOM_OK);
    assert_null(strstr(dom_buffer_cstr(&out), "actor"));
    dom_buffer_cleanup(&out);
}

static void entry_at_its_limit_and_one_byte_over(void **state)
{
    static uint8_t s_long[DOM_ENTRY_BYTES_MAX];
    struct dom_audit_event event;
    struct dom_buffer out = {0};
    (void)state;

    memset(s_long, 'x', sizeof(s_long));
    testing_event(&event, 0);
    event.actor.entity = dom_slice_of(s_long, 1);
    assert_int_equal(dom_audit_event_encode(&event, &out, NULL), DOM_OK);
    size_t room = DOM_ENTRY_BYTES_MAX - out.len;
    dom_buffer_clear(&out);
    event.actor.entity.len = 1 + room;
    assert_int_equal(dom_audit_event_encode(&event, &out, NULL), DOM_OK);
    assert_int_equal(out.len, DOM_ENTRY_BYTES_MAX);
    dom_buffer_clear(&out);
    event.actor.entity.len = 2 + room;
    assert_int_equal(dom_audit_event_encode(&event, &out, NULL), DOM_TOO_LARGE);
    assert_int_equal(out.len, 0);
    dom_buffer_cleanup(&out);
}

static void control_events_of_every_type(void **state)
{
    static const struct dom_audit_detail s_detail[1] = {
        {{(const uint8_t *)"state", 5}, {(const uint8_t *)"open", 4}, 0, false}};
    (void)state;

    for (int t = 0; t < DOM_AUDIT_TYPE_COUNT; t++) {
        struct dom_audit_event event;
        struct dom_audit_event_doc doc;
        struct dom_buffer out = {0};
        struct dom_error err = {0};
        enum dom_audit_type back;
        testing_event(&event, t == DOM_AUDIT_DENY ? 4 : 0);
        event.type = (enum dom_audit_type)t;
        event.details = s_detail;
        event.num_details = 1;
        if (dom_audit_event_encode(&event, &out, &err) != DOM_OK ||
            dom_audit_event_parse(&doc, dom_buffer_slice(&out), &err) != DOM_OK) {
            fail_msg("%s: %s", dom_audit_type_name(event.type), err.message);
        }
        assert_int_equal(doc.event.type, t);
        assert_true(dom_audit_type_parse(dom_slice_str(dom_audit_type_name(event.type)), &back));
        assert_int_equal(back, t);
        assert_true(strlen(dom_audit_type_doc(event.type)) > 20);
        dom_audit_event_doc_cleanup(&doc);
        dom_buffer_cleanup(&out);
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The example with `from` replaced by `to`, parsed; the message must begin with `path`. */
static void expect_unreadable(const char *from, const char *to, enum dom_code code,
                              const char *path)
{
    struct dom_buffer entry = {0};
    struct dom_audit_event_doc doc;
    struct dom_error err = {0};
    const char *at = strstr(s_example, from);

    assert_non_null(at);
    dom_buffer_append(&entry, s_example, (size_t)(at - s_example));
    dom_buffer_append_str(&entry, to);
    dom_buffer_append_str(&entry, at + strlen(from));
    enum dom_code rc = dom_audit_event_parse(&doc, dom_buffer_slice(&entry), &err);
    if (rc != code || strncmp(err.message, path, strlen(path)) != 0) {
        fail_msg("%s -> %s: code %d, %s", from, to, (int)rc, err.message);
    }
    dom_buffer_cleanup(&entry);
}

static void parser_names_the_bad_member(void **state)
{
    (void)state;
    expect_unreadable("\"entity\"", "\"entitx\"", DOM_INVALID, "actor.entitx: unknown");
    expect_unreadable("{\"actor\":{", "{\"actor\":{\"cert\":{},", DOM_INVALID, "actor.cert:");
    expect_unreadable("{\"actor\":{", "{\"actor\":{\"cert\":\"x\",", DOM_INVALID, "actor.cert:");
    expect_unreadable("{\"actor\":{", "{\"actor\":{\"cert\":{\"key\":\"00\"},", DOM_INVALID,
                      "actor.cert.serial:");
    expect_unreadable("{\"actor\":{", "{\"actor\":{\"cert\":{\"sn\":\"00\"},", DOM_INVALID,
                      "actor.cert.sn: unknown");
    expect_unreadable("\"op\":\"read\"", "\"op\":\"\"", DOM_INVALID, "op:");
    expect_unreadable("\"op\":\"read\"", "\"op\":7", DOM_INVALID, "op:");
    expect_unreadable("\"op\":\"read\"", "\"oq\":\"read\"", DOM_INVALID, "oq: unknown");
    expect_unreadable("\"bytes\":412", "\"bytes\":\"412\"", DOM_INVALID, "record.bytes:");
    expect_unreadable("\"bytes\":412,", "", DOM_INVALID, "entry: a member is missing");
    expect_unreadable("\"code\":0", "\"code\":null", DOM_INVALID, "result.code:");
    expect_unreadable("\"n\":\"ip\"", "\"n\":true", DOM_INVALID, "fields[2].n:");
    expect_unreadable("\"rules\":[\"eu-us-moderation\"]", "\"rules\":[]", DOM_INVALID,
                      "decision.rules:");
    expect_unreadable("\"rules\":[\"eu-us-moderation\"]", "\"rules\":[1]", DOM_INVALID,
                      "decision.rules[0]:");
    expect_unreadable("\"v\":1", "\"v\":2", DOM_INVALID, "v:");
    expect_unreadable("\"type\":\"access\"", "\"type\":\"acces\"", DOM_INVALID, "type:");
    expect_unreadable("\"type\":\"access\"", "\"type\":\"deny\"", DOM_INVALID, "decision.effect:");
    expect_unreadable("019ad3c2-7c1a-7b3e", "019AD3C2-7c1a-7b3e", DOM_INVALID, "id:");
    expect_unreadable("019ad3c2-7c1a-7b3e", "019ad3c2-7c1a-4b3e", DOM_INVALID, "id:");
    expect_unreadable("3q2+7wABAgMEBQYHCAkKCw==", "3q2+7wABAgMEBQYHCAkKCx==", DOM_INVALID,
                      "nonce:");
    expect_unreadable("\"time\":1764500000123,", "", DOM_INVALID, "time:");
    expect_unreadable("{\"build\":\"sha256:9f2c\",\"instance\":\"rt-eu-3\",\"region\":\"eu-west\"}",
                      "{}", DOM_INVALID, "router:");
    expect_unreadable("{\"code\":0,\"us\":850}", "[]", DOM_INVALID, "result:");
}

static void parser_wants_canonical_bytes(void **state)
{
    (void)state;
    expect_unreadable("{\"actor\"", "{ \"actor\"", DOM_PARSE, "entry is not canonical at byte 1");
    expect_unreadable("\"v\":1}", "\"v\":1} ", DOM_PARSE, "entry is not");
    expect_unreadable("\"v\":1}", "\"v\":1", DOM_PARSE, "entry is not");
    expect_unreadable("\"v\":1", "\"v\":1.0", DOM_PARSE, "entry is not");
    expect_unreadable("\"v\":1", "\"v\":01", DOM_PARSE, "entry is not");
    expect_unreadable("\"code\":0", "\"code\":-0", DOM_PARSE, "entry is not");
    expect_unreadable("\"us\":850", "\"us\":9007199254740992", DOM_PARSE, "entry is not");
    expect_unreadable("\"us\":850", "\"us\":99999999999999999999999", DOM_PARSE, "entry is not");
    expect_unreadable("\"type\":\"access\",\"v\":1", "\"v\":1,\"type\":\"access\"", DOM_PARSE,
                      "entry is not");
    expect_unreadable("\"v\":1", "\"v\":1,\"v\":1", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\\u0020US", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\\/US", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\\u000aUS", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\\u001FUS", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\tUS", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\xFFUS", DOM_PARSE, "entry is not");
    expect_unreadable("Live US", "Live\xC0\x80US", DOM_PARSE, "entry is not");
    expect_unreadable("\"code\":0", "\"code\":[[[[[[[[0]]]]]]]]", DOM_PARSE, "entry is not");
    expect_unreadable("[\"no-minors-abroad\"]", "[\"no-minors-abroad\",]", DOM_PARSE,
                      "entry is not");
}

static void every_cut_of_an_entry_is_refused(void **state)
{
    struct dom_entry_head head;
    (void)state;

    for (size_t len = 0; len < sizeof(s_example) - 1; len++) {
        /* On the heap, so that a read beyond the end is seen. */
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, s_example, len);
        uint8_t *tight = realloc(copy, len == 0 ? 1 : len);
        assert_non_null(tight);
        assert_int_equal(dom_entry_scan(dom_slice_of(tight, len), &head, NULL), DOM_PARSE);
        free(tight);
    }
}

static void scan_finds_what_filters_ask(void **state)
{
    struct dom_entry_head head;
    (void)state;

    assert_int_equal(dom_entry_scan(dom_slice_str(s_example), &head, NULL), DOM_OK);
    assert_true(dom_slice_eq_str(head.actor_id, "spiffe://live/moderation"));
    assert_true(dom_slice_eq_str(head.actor_country, "US"));
    assert_true(dom_slice_eq_str(head.effect, "modify"));
    assert_true(dom_slice_eq_str(head.reason, "PERMIT"));
    assert_true(dom_slice_eq_str(head.id, "019ad3c2-7c1a-7b3e-8f51-2a6d9e0c4b11"));
    assert_true(dom_slice_eq_str(head.record_id, "hmac:eu7:c2Rm"));
    assert_true(dom_slice_eq_str(head.kind, "live_room"));
    assert_true(dom_slice_eq_str(head.from, "EU"));
    assert_true(dom_slice_eq_str(head.to_region, "us-east"));
    assert_true(dom_slice_eq_str(head.type, "access"));
    assert_true(dom_slice_eq_str(head.origin, "audit.example.com/eu-west"));
    assert_int_equal(head.time_ms, INT64_C(1764500000123));
    assert_int_equal(head.version, 1);
}

static void uuids_have_one_spelling(void **state)
{
    uint8_t random10[10] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    uint8_t uuid[DOM_UUID_SIZE];
    char text[DOM_UUID_TEXT_SIZE];
    (void)state;

    /* RFC 9562 appendix A.6 has the time 2022-02-22T19:22:22.000Z = 0x017F22E279B0. */
    dom_audit_uuid7(uuid, INT64_C(0x017F22E279B0), random10);
    dom_audit_uuid_format(text, uuid);
    assert_string_equal(text, "017f22e2-79b0-7fff-bfff-ffffffffffff");
    assert_true(dom_audit_uuid_parse(dom_slice_str(text), uuid));
    assert_false(dom_audit_uuid_parse(DOM_SLICE_LIT("017F22E2-79b0-7fff-bfff-ffffffffffff"), uuid));
    assert_false(dom_audit_uuid_parse(DOM_SLICE_LIT("017f22e279b0-7fff-bfff-ffffffffffff-"), uuid));
    assert_false(dom_audit_uuid_parse(DOM_SLICE_LIT("017f22e2-79b0-7fff-bfff-fffffffffff"), uuid));
    assert_false(dom_audit_uuid_parse(DOM_SLICE_LIT("017f22e2-79b0-7fff-bfff-ffffffffffgg"), uuid));
}

/* Every byte of an entry changed, after its likes were seen: the quick scan says what the full one
 * says, in the same words. */
static void a_scan_by_likeness_says_the_same(void **state)
{
    struct dom_entry_shapes *shapes = calloc(1, sizeof(*shapes));
    struct dom_buffer entry = {0};
    struct dom_audit_event event;
    struct dom_entry_head full;
    struct dom_entry_head like;
    struct dom_error full_err;
    struct dom_error like_err;
    uint64_t accepted = 0;

    (void)state;
    assert_non_null(shapes);
    for (uint64_t i = 0; i < 60; i++) {
        testing_varied_event(&event, i);
        dom_buffer_clear(&entry);
        assert_int_equal(dom_audit_event_encode(&event, &entry, NULL), DOM_OK);
        struct dom_slice bytes = dom_buffer_slice(&entry);
        for (unsigned pass = 0; pass < 2; pass++) {
            assert_int_equal(dom_entry_scan(bytes, &full, NULL), DOM_OK);
            assert_int_equal(dom_entry_scan_like(shapes, bytes, &like, NULL), DOM_OK);
            assert_memory_equal(&full, &like, sizeof(full));
        }
        for (size_t at = 0; i < 12 && at < entry.len; at++) {
            static const uint8_t s_bytes[] = "\"\\,:{}[]0-9a\x80\x1F";
            uint8_t kept = entry.data[at];
            entry.data[at] = s_bytes[(at + i) % (sizeof(s_bytes) - 1)];
            enum dom_code want = dom_entry_scan(bytes, &full, &full_err);
            assert_int_equal(dom_entry_scan_like(shapes, bytes, &like, &like_err), want);
            if (want == DOM_OK) {
                assert_memory_equal(&full, &like, sizeof(full));
                accepted++;
            } else {
                assert_string_equal(full_err.message, like_err.message);
            }
            entry.data[at] = kept;
        }
        for (size_t len = 0; i < 4 && len < entry.len; len++) {
            assert_int_equal(dom_entry_scan_like(shapes, dom_slice_of(entry.data, len), &like, NULL),
                             DOM_PARSE);
        }
    }
    assert_true(accepted > 100);
    assert_int_equal(dom_entry_scan_like(shapes, DOM_SLICE_LIT(""), &like, NULL), DOM_PARSE);
    dom_buffer_cleanup(&entry);
    free(shapes);
}

/* P12: a shape with as many values as it may have is kept, one more is scanned in full. */
static void a_shape_has_a_limit(void **state)
{
    struct dom_entry_shapes *shapes = calloc(1, sizeof(*shapes));
    struct dom_buffer entry = {0};
    struct dom_entry_head head;

    (void)state;
    assert_non_null(shapes);
    for (unsigned extra = 0; extra < 2; extra++) {
        dom_buffer_clear(&entry);
        dom_buffer_append_str(&entry, "{\"a\":[0");
        for (unsigned i = 2; i < DOM_SHAPE_VALUES_MAX + extra; i++) {
            dom_buffer_append_str(&entry, ",7");
        }
        dom_buffer_append_str(&entry, "],\"time\":5}");
        memset(shapes, 0, sizeof(*shapes));
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(
                dom_entry_scan_like(shapes, dom_buffer_slice(&entry), &head, NULL), DOM_OK);
            assert_int_equal(head.time_ms, 5);
        }
        assert_int_equal(shapes->hits, extra == 0 ? 2 : 0);
    }
    dom_buffer_cleanup(&entry);
    free(shapes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_example_survives_parse_and_encode),
        cmocka_unit_test(every_member_survives),
        cmocka_unit_test(encoder_names_the_bad_member),
        cmocka_unit_test(the_certificate_comes_first_in_the_actor),
        cmocka_unit_test(a_refused_caller_may_be_nobody),
        cmocka_unit_test(entry_at_its_limit_and_one_byte_over),
        cmocka_unit_test(control_events_of_every_type),
        cmocka_unit_test(parser_names_the_bad_member),
        cmocka_unit_test(parser_wants_canonical_bytes),
        cmocka_unit_test(every_cut_of_an_entry_is_refused),
        cmocka_unit_test(scan_finds_what_filters_ask),
        cmocka_unit_test(uuids_have_one_spelling),
        cmocka_unit_test(a_scan_by_likeness_says_the_same),
        cmocka_unit_test(a_shape_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
