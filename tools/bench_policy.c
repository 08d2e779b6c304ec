#include "tools/bench_policy.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "policy/policy.h"

#define REQUESTS 4096U
#define DECISIONS 8000000U

static const char *const s_countries[] = {"DE", "FR", "SE", "IE", "PL", "GB", "CH", "US", "CA", "BR",
                                          "SG", "JP", "KR", "AU", "NZ", "IN", "ID", "VN", "ZA", "AE"};
#define COUNTRIES 20U
#define CLASSES 10U
#define KINDS 6U
#define PURPOSES 8U
#define SERVICES 20U
#define BASES 20U

static uint32_t next(uint64_t *state, uint32_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 2685821657736338717ULL) >> 33) % below;
}

/* A jurisdiction and a region per country, and the vocabulary of a mid-sized platform. */
static void put_head(struct dom_buffer *out)
{
    dom_buffer_append_str(out, "policy = { schema = 1; name = \"bench\"; version = 1L; expires = "
                               "\"2100-01-01\"; };\njurisdictions = {");
    for (uint32_t i = 0; i < COUNTRIES; i++) {
        dom_buffer_printf(out, " J%u = { countries = (\"%s\"); };", i, s_countries[i]);
    }
    dom_buffer_append_str(out, " };\nregions = {");
    for (uint32_t i = 0; i < COUNTRIES; i++) {
        dom_buffer_printf(out, " r%u = { country = \"%s\"; };", i, s_countries[i]);
    }
    dom_buffer_append_str(out, " };\ndata_classes = {");
    for (uint32_t i = 0; i < CLASSES; i++) {
        dom_buffer_printf(out, " c%u = { rank = %u; personal = true; };", i, i);
    }
    dom_buffer_append_str(out, " };\npurposes = {");
    for (uint32_t i = 0; i < PURPOSES; i++) {
        dom_buffer_printf(out, " p%u = {};", i);
    }
    dom_buffer_append_str(out, " };\nkinds = {");
    for (uint32_t i = 0; i < KINDS; i++) {
        dom_buffer_printf(out, " k%u = { fields = { a = \"c0\"; b = \"c5\"; }; };", i);
    }
    dom_buffer_append_str(out, " };\nservices = {");
    for (uint32_t i = 0; i < SERVICES; i++) {
        dom_buffer_printf(
            out, " s%u = { kinds = (\"*\"); ops = (\"*\"); purposes = (\"*\"); };", i);
    }
    dom_buffer_append_str(out, " };\nbases = {");
    for (uint32_t i = 0; i < BASES; i++) {
        dom_buffer_printf(out,
                          " b%u = { mechanism = \"m\"; from = \"2026-%02u-01\"; until = "
                          "\"2028-%02u-15\"; };",
                          i, 1 + i % 12, 1 + i % 12);
    }
    dom_buffer_append_str(out, " };\nplacement = (");
    for (uint32_t i = 0; i < COUNTRIES; i++) {
        dom_buffer_printf(out,
                          "%s { id = \"at-%u\"; home = (\"J%u\"); classes = (\"*\"); regions = "
                          "(\"J%u\"); }",
                          i == 0 ? "" : ",", i, i, i);
    }
    dom_buffer_append_str(out, " );\nrules = (");
}

static void put_rules(struct dom_buffer *out, uint32_t num, uint64_t *state)
{
    for (uint32_t i = 0; i < num; i++) {
        dom_buffer_printf(
            out,
            "%s\n { id = \"rule-%u\"; effect = \"permit\"; ops = (\"read\", \"list\"); home = "
            "(\"J%u\", \"J%u\"); to = (\"J%u\", \"J%u\"); kinds = (\"k%u\", \"k%u\"); classes = "
            "(\"c%u\", \"c%u\", \"c%u\"); purposes = (\"p%u\", \"p%u\"); services = (\"s%u\", "
            "\"s%u\"); basis = \"b%u\"; }",
            i == 0 ? "" : ",", i, next(state, COUNTRIES), next(state, COUNTRIES),
            next(state, COUNTRIES), next(state, COUNTRIES), next(state, KINDS), next(state, KINDS),
            next(state, CLASSES), next(state, CLASSES), next(state, CLASSES),
            next(state, PURPOSES), next(state, PURPOSES), next(state, SERVICES),
            next(state, SERVICES), next(state, BASES));
    }
    dom_buffer_append_str(out, " );\n");
}

static void fill_requests(struct dom_policy_request *requests, uint64_t *state)
{
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct dom_policy_request *request = &requests[i];
        memset(request, 0, sizeof(*request));
        request->op = (enum dom_policy_op)next(state, 2);
        request->service = (dom_policy_id)next(state, SERVICES);
        request->purpose = (dom_policy_id)next(state, PURPOSES);
        request->kind = (dom_policy_id)next(state, KINDS);
        request->home = (dom_policy_id)next(state, COUNTRIES);
        request->caller = (dom_policy_id)next(state, COUNTRIES);
        request->crosses = true;
        request->time_ms = 1780000000000LL + (int64_t)next(state, 1000) * 86400000;
        request->classes = next(state, 1U << CLASSES);
    }
}

/* Nanoseconds per decision; the sum keeps the compiler from dropping the work. */
static double measure(const struct dom_policy *policy, const struct dom_policy_request *requests,
                      uint64_t *sum)
{
    const struct dom_clock *clock = dom_clock_system();
    struct dom_policy_decision decision;
    uint64_t begin = dom_clock_monotonic_us(clock);

    for (uint32_t i = 0; i < DECISIONS; i++) {
        dom_policy_decide(policy, &requests[i % REQUESTS], &decision);
        *sum += decision.clear + (uint64_t)decision.effect;
    }
    return (double)(dom_clock_monotonic_us(clock) - begin) * 1000.0 / DECISIONS;
}

static int bench_one(FILE *out, uint32_t num_rules, const struct dom_policy_request *requests)
{
    const struct dom_clock *clock = dom_clock_system();
    struct dom_policy_load_options options = {.name = "bench"};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};
    struct dom_buffer text;
    uint64_t state = 1234567;
    uint64_t sum = 0;

    dom_buffer_init(&text, 0);
    put_head(&text);
    put_rules(&text, num_rules, &state);
    uint64_t begin = dom_clock_monotonic_us(clock);
    enum dom_code rc =
        dom_policy_compile(&policy, &findings, dom_buffer_slice(&text), &options, &err);
    uint64_t compiled_us = dom_clock_monotonic_us(clock) - begin;
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&text);
    if (rc != DOM_OK) {
        (void)fprintf(out, "policy bench: %s\n", err.message);
        return 1;
    }
    double ns = measure(policy, requests, &sum);
    (void)fprintf(out, "%6u rules: compile %8.1f ms, decide %6.1f ns (checksum %llx)\n", num_rules,
                  (double)compiled_us / 1000.0, ns, (unsigned long long)sum);
    dom_policy_unref(policy);
    return 0;
}

int dom_policy_bench(FILE *out)
{
    static const uint32_t sizes[] = {10, 100, 1000};
    struct dom_policy_request *requests = calloc(REQUESTS, sizeof(*requests));
    uint64_t state = 42;
    int rc = requests == NULL;

    if (requests != NULL) {
        fill_requests(requests, &state);
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(sizes) && rc == 0; i++) {
        rc = bench_one(out, sizes[i], requests);
    }
    free(requests);
    return rc;
}
