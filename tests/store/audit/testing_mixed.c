/* Events of every type, with several countries, classes and purposes, and with texts that are
 * hard to write: for exports and reports. */
#include <stdio.h>

#include "base/encode.h"
#include "tests/store/audit/testing.h"

#define S(literal)                                            \
    {                                                         \
        (const uint8_t *)(literal), sizeof(literal) - 1       \
    }

static void base_event(struct dom_audit_event *e, uint64_t i, enum dom_audit_type type)
{
    uint8_t random10[10] = {0};

    memset(e, 0, sizeof(*e));
    e->type = type;
    e->time_ms = INT64_C(1764500000000) + (int64_t)i * 60000;
    dom_put_u64be(random10 + 2, i);
    dom_audit_uuid7(e->id, e->time_ms, random10);
    dom_put_u64be(e->nonce, i * UINT64_C(0x9E3779B97F4A7C15));
    e->origin = DOM_SLICE_LIT(TESTING_ORIGIN);
    e->router.build = DOM_SLICE_LIT("sha256:9f2c");
    e->router.instance = DOM_SLICE_LIT("rt-eu-3");
    e->router.region = DOM_SLICE_LIT("eu-west");
    e->policy.index = -1;
}

static void request(struct dom_audit_event *e, uint64_t i, bool denied)
{
    static const struct dom_audit_field s_fields[3] = {
        {S("title"), S("content"), S("clear")},
        {S("host_uid"), S("identifier"), S("pseudonym")},
        {S("ip"), S("network"), S("redact")},
    };
    static const struct dom_slice s_rules[2] = {S("eu-us-moderation"), S("a|b=c\\d,\"e\"")};
    static const char *const s_to[] = {"US", "SG", "CN"};
    static const char *const s_to_region[] = {"us-east", "sg-1", "cn-north"};
    static const char *const s_service[] = {"moderation", "recommend", "ads"};
    static const char *const s_purpose[] = {"moderation", "recommendation"};
    size_t pick = (size_t)(i / 10 % 3);

    base_event(e, i, denied ? DOM_AUDIT_DENY : DOM_AUDIT_ACCESS);
    e->op = i % 4 == 3 ? DOM_SLICE_LIT("write") : DOM_SLICE_LIT("read");
    e->purpose = dom_slice_str(s_purpose[i / 10 % 2]);
    e->trace = DOM_SLICE_LIT("4bf92f3577b34da6a3ce929d0e0e4736");
    e->actor.id = dom_slice_str(s_service[pick]);
    e->actor.type = DOM_SLICE_LIT("service");
    e->actor.entity = DOM_SLICE_LIT("Live Inc");
    e->actor.country = dom_slice_str(s_to[pick]);
    e->actor.region = dom_slice_str(s_to_region[pick]);
    e->actor.user = DOM_SLICE_LIT("hmac:eu7:Qm9i");
    e->basis.mech = DOM_SLICE_LIT("GDPR-46-2-c");
    e->basis.ref = DOM_SLICE_LIT("SCC-2026-03");
    e->decision.effect = denied ? DOM_SLICE_LIT("deny") : DOM_SLICE_LIT("modify");
    e->decision.reason = denied ? DOM_SLICE_LIT("NO_PERMIT") : DOM_SLICE_LIT("PERMIT");
    e->decision.mode = DOM_SLICE_LIT("enforce");
    e->decision.rules = s_rules;
    e->decision.num_rules = denied ? 0 : 2;
    e->fields = s_fields;
    e->num_fields = 3;
    e->policy.name = DOM_SLICE_LIT("live-platform");
    e->policy.sha256 = DOM_SLICE_LIT("c1d0");
    e->policy.version = 42;
    e->record.kind = DOM_SLICE_LIT("live_room");
    /* Every other ten are records of the United States. */
    e->record.home = i / 10 % 2 == 1 ? DOM_SLICE_LIT("US") : DOM_SLICE_LIT("DE");
    e->record.id = DOM_SLICE_LIT("hmac:eu7:c2Rm");
    e->record.region = DOM_SLICE_LIT("eu-west");
    e->record.bytes = denied ? 0 : 400 + (int64_t)(i % 10);
    e->record.count = denied ? 0 : 1;
    e->result.present = true;
    e->result.code = denied ? 7 : 0;
    e->result.us = 850;
    bool inward = dom_slice_eq_str(e->op, "write");
    struct dom_slice here = DOM_SLICE_LIT("DE");
    struct dom_slice there = dom_slice_str(s_to[pick]);
    e->transfer.from = inward ? there : here;
    e->transfer.to = inward ? here : there;
    e->transfer.from_region =
        inward ? dom_slice_str(s_to_region[pick]) : DOM_SLICE_LIT("eu-west");
    e->transfer.to_region = inward ? DOM_SLICE_LIT("eu-west") : dom_slice_str(s_to_region[pick]);
    e->transfer.method = DOM_SLICE_LIT("grpc");
}

static void control(struct dom_audit_event *e, uint64_t i, enum dom_audit_type type)
{
    static const struct dom_audit_detail s_details[3] = {
        {S("action"), S("rotated"), 0, false},
        {S("key"), S("=SUM(A1)|\\\"\n\r\t,\x01"), 0, false},
        {S("state"), S("started"), 0, false},
    };
    static const struct dom_audit_detail s_count[1] = {{S("count"), {NULL, 0}, -7, true}};

    base_event(e, i, type);
    e->details = type == DOM_AUDIT_EXPORT ? s_count : s_details;
    e->num_details = type == DOM_AUDIT_EXPORT ? 1 : 3;
    if (type == DOM_AUDIT_POLICY || type == DOM_AUDIT_ROLLOUT) {
        e->policy.name = DOM_SLICE_LIT("live-platform");
        e->policy.sha256 = DOM_SLICE_LIT("c1d0");
        e->policy.version = 43;
    }
    if (type == DOM_AUDIT_EXPORT) {
        e->actor.id = DOM_SLICE_LIT("auditor");
        e->actor.country = DOM_SLICE_LIT("FR");
    }
}

/* A request whose texts look like the forms that they are written in. */
static void hostile(struct dom_audit_event *e, uint64_t i)
{
    static const struct dom_audit_replica s_replicas[1] = {
        {S("scc"), S("us-east;x"), S("US")}};
    static const struct dom_slice s_rules[1] = {S("</td><script>|x\\")};

    request(e, i, false);
    e->actor.id = DOM_SLICE_LIT("=cmd|' /C calc'!A0");
    e->actor.entity = DOM_SLICE_LIT("\"quoted\", Inc\r\nnext line");
    e->actor.cert_key =
        DOM_SLICE_LIT("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    e->actor.cert_serial = DOM_SLICE_LIT("7f03");
    e->actor.user = DOM_SLICE_LIT("caf\xC3\xA9 \xF0\x9F\x9A\x80");
    e->claim.user = DOM_SLICE_LIT("\"sequence\":9,\"index\":9,\"leaf_hash\":");
    e->purpose = DOM_SLICE_LIT("<b>&amp;|`*_[x](y)");
    e->record.kind = DOM_SLICE_LIT("x|cn1=999 \"sequence\":\"7");
    e->record.id = DOM_SLICE_LIT(",\"data\":{\"index\":5");
    e->basis.ref = DOM_SLICE_LIT("a=b\\c\nd|e");
    e->decision.rules = s_rules;
    e->decision.num_rules = 1;
    e->shadow.effect = DOM_SLICE_LIT("deny");
    e->shadow.reason = DOM_SLICE_LIT("FORBIDDEN");
    e->shadow.version = 43;
    e->transfer.replicas = s_replicas;
    e->transfer.num_replicas = 1;
}

void testing_mixed_event(struct dom_audit_event *event, uint64_t i)
{
    static const enum dom_audit_type s_control[] = {
        DOM_AUDIT_GENESIS, DOM_AUDIT_POLICY,  DOM_AUDIT_ROLLOUT, DOM_AUDIT_KEY,
        DOM_AUDIT_EXPORT,  DOM_AUDIT_ERASURE, DOM_AUDIT_SINK,    DOM_AUDIT_PURGE,
    };

    if (i % 10 == 0) {
        control(event, i, s_control[i / 10 % 8]);
    } else if (i % 10 == 9) {
        hostile(event, i);
    } else {
        request(event, i, i % 10 == 5);
    }
}

void testing_varied_event(struct dom_audit_event *event, uint64_t i)
{
    static char record[32];
    static char user[32];
    static char trace[40];
    static char service[32];
    uint64_t mixed = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);

    testing_mixed_event(event, i);
    if (event->record.kind.len == 0 || i % 10 == 9) {
        return;
    }
    (void)snprintf(record, sizeof(record), "hmac:1:%016llx", (unsigned long long)mixed);
    (void)snprintf(user, sizeof(user), "hmac:1:u%llu", (unsigned long long)(i / 500));
    (void)snprintf(trace, sizeof(trace), "%032llx", (unsigned long long)mixed);
    (void)snprintf(service, sizeof(service), "service-%llu", (unsigned long long)(i / 1000 % 40));
    event->record.id = dom_slice_str(record);
    event->actor.user = dom_slice_str(user);
    event->trace = dom_slice_str(trace);
    event->actor.id = dom_slice_str(service);
    event->policy.version = 42 + (int64_t)(i / 10000);
}
