#include "tools/bench_entry.h"

#include <string.h>

#include "base/encode.h"

/* SplitMix64 (Steele, Lea, Flood 2014): the same bytes for the same number. */
static void mix(uint8_t *out, size_t len, uint64_t seed)
{
    uint64_t state = seed * UINT64_C(0x2545F4914F6CDD1D);

    for (size_t at = 0; at < len; at += 8) {
        state += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t z = state;
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        dom_put_u64be(out + at, z ^ (z >> 31));
    }
}

/* An identifier as it stands in an entry, of 16 bytes. */
static void blind(char *out, const uint8_t *bytes)
{
    char text[DOM_BASE64_LEN(16) + 1];

    size_t len = dom_base64_encode(text, dom_slice_of(bytes, 16));
    memcpy(out, "hmac:eu7:", 9);
    memcpy(out + 9, text, len - 2); /* without its padding */
    out[9 + len - 2] = '\0';
}

void dom_bench_event(struct dom_audit_event *e, struct dom_bench_text *text, uint64_t i)
{
    static const struct dom_audit_field s_fields[3] = {
        {{(const uint8_t *)"title", 5},
         {(const uint8_t *)"content", 7},
         {(const uint8_t *)"clear", 5}},
        {{(const uint8_t *)"host_uid", 8},
         {(const uint8_t *)"identifier", 10},
         {(const uint8_t *)"pseudonym", 9}},
        {{(const uint8_t *)"ip", 2},
         {(const uint8_t *)"network", 7},
         {(const uint8_t *)"redact", 6}},
    };
    static const struct dom_slice s_rules[1] = {{(const uint8_t *)"eu-us-moderation", 16}};
    uint8_t random[80];

    memset(e, 0, sizeof(*e));
    mix(random, sizeof(random), i);
    dom_hex_encode(text->trace, dom_slice_of(random, 16));
    blind(text->id, random + 16);
    blind(text->user, random + 32);
    e->time_ms = INT64_C(1764500000000) + (int64_t)i;
    dom_audit_uuid7(e->id, e->time_ms, random + 64);
    memcpy(e->nonce, random + 48, sizeof(e->nonce));
    e->origin = DOM_SLICE_LIT(DOM_BENCH_ORIGIN);
    e->op = DOM_SLICE_LIT("read");
    e->purpose = DOM_SLICE_LIT("moderation");
    e->trace = dom_slice_str(text->trace);
    e->actor = (struct dom_audit_actor){.country = DOM_SLICE_LIT("US"),
                                        .entity = DOM_SLICE_LIT("Live US Inc"),
                                        .id = DOM_SLICE_LIT("moderation"),
                                        .region = DOM_SLICE_LIT("us-east"),
                                        .type = DOM_SLICE_LIT("service"),
                                        .user = dom_slice_str(text->user)};
    e->basis.mech = DOM_SLICE_LIT("GDPR-46-2-c");
    e->basis.ref = DOM_SLICE_LIT("SCC-EU-US-2026-03");
    e->decision = (struct dom_audit_decision){.effect = DOM_SLICE_LIT("modify"),
                                              .mode = DOM_SLICE_LIT("enforce"),
                                              .reason = DOM_SLICE_LIT("PERMIT"),
                                              .rules = s_rules,
                                              .num_rules = 1,
                                              .time_ms = e->time_ms};
    e->fields = s_fields;
    e->num_fields = 3;
    e->policy = (struct dom_audit_policy){
        .name = DOM_SLICE_LIT("live-platform"),
        .sha256 = DOM_SLICE_LIT("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        .version = 42,
        .index = 118};
    e->record = (struct dom_audit_record){.kind = DOM_SLICE_LIT("live_room"),
                                          .home = DOM_SLICE_LIT("DE"),
                                          .jurisdiction = DOM_SLICE_LIT("EEA"),
                                          .id = dom_slice_str(text->id),
                                          .region = DOM_SLICE_LIT("eu-west"),
                                          .bytes = 412,
                                          .count = 1};
    e->result = (struct dom_audit_result){.present = true, .us = 850};
    e->router.build = DOM_SLICE_LIT("sha256:9f2c");
    e->router.instance = DOM_SLICE_LIT("rt-eu-3");
    e->router.region = DOM_SLICE_LIT("eu-west");
    e->transfer = (struct dom_audit_transfer){.from = DOM_SLICE_LIT("EEA"),
                                              .from_region = DOM_SLICE_LIT("eu-west"),
                                              .method = DOM_SLICE_LIT("grpc+tls1.3"),
                                              .to = DOM_SLICE_LIT("US"),
                                              .to_region = DOM_SLICE_LIT("us-east")};
}
