#include "tests/policy/random_policy.h"

#include <stdbool.h>

static const char *const s_countries[] = {"AT", "DE", "FR", "SE", "GB", "US", "SG",
                                          "KZ", "RU", "BR", "IN", "JP"};
#define COUNTRIES_MAX 12U

/* What one policy has of each; names are a letter and a number. */
struct sizes {
    uint32_t countries;
    uint32_t jurisdictions;
    uint32_t groups;
    uint32_t regions;
    uint32_t classes;
    uint32_t purposes;
    uint32_t services;
    uint32_t kinds;
    uint32_t bases;
    uint32_t personal_from; /* classes from this one on are personal */
};

uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717ULL;
}

uint32_t random_below(uint64_t *state, uint32_t below)
{
    return below == 0 ? 0 : (uint32_t)((random_next(state) >> 33) % below);
}

static bool chance(uint64_t *state, uint32_t percent)
{
    return random_below(state, 100) < percent;
}

/* key = ("n0", "n3"); or "*" now and then. */
static void put_names(struct dom_buffer *out, uint64_t *state, const char *key, char prefix,
                      uint32_t num, uint32_t star_percent)
{
    if (chance(state, star_percent)) {
        dom_buffer_printf(out, " %s = (\"*\");", key);
        return;
    }
    uint32_t count = 1 + random_below(state, num > 3 ? 3 : num);
    dom_buffer_printf(out, " %s = %c", key, '(');
    for (uint32_t i = 0; i < count; i++) {
        dom_buffer_printf(out, "%s\"%c%u\"", i == 0 ? "" : ", ", prefix,
                          random_below(state, num));
    }
    dom_buffer_append_str(out, ");");
}

/* The jurisdiction of country i: the first ones in turn, so that none is empty. */
static uint32_t jurisdiction_of(const struct sizes *sizes, uint32_t country)
{
    return country % sizes->jurisdictions;
}

static void put_places(struct dom_buffer *out, uint64_t *state, const char *key,
                       const struct sizes *sizes, uint32_t star_percent)
{
    if (chance(state, star_percent)) {
        dom_buffer_printf(out, " %s = (\"*\");", key);
        return;
    }
    uint32_t count = 1 + random_below(state, 2);
    dom_buffer_printf(out, " %s = (", key);
    for (uint32_t i = 0; i < count; i++) {
        const char *comma = i == 0 ? "" : ", ";
        uint32_t what = random_below(state, 10);
        if (what < 5) {
            dom_buffer_printf(out, "%s\"J%u\"", comma, random_below(state, sizes->jurisdictions));
        } else if (what < 7 && sizes->groups > 0) {
            dom_buffer_printf(out, "%s\"G%u\"", comma, random_below(state, sizes->groups));
        } else {
            dom_buffer_printf(out, "%s\"%s\"", comma,
                              s_countries[random_below(state, sizes->countries)]);
        }
    }
    dom_buffer_append_str(out, ");");
}

static void put_geography(struct dom_buffer *out, uint64_t *state, const struct sizes *sizes)
{
    dom_buffer_append_str(out, "jurisdictions = {\n");
    for (uint32_t j = 0; j < sizes->jurisdictions; j++) {
        bool first = true;
        dom_buffer_printf(out, "  J%u = { countries = (", j);
        for (uint32_t c = 0; c < sizes->countries; c++) {
            if (jurisdiction_of(sizes, c) == j) {
                dom_buffer_printf(out, "%s\"%s\"", first ? "" : ", ", s_countries[c]);
                first = false;
            }
        }
        dom_buffer_append_str(out, "); };\n");
    }
    dom_buffer_append_str(out, "};\ngroups = {\n");
    for (uint32_t g = 0; g < sizes->groups; g++) {
        dom_buffer_printf(out, "  G%u = (\"J%u\", \"%s\");\n", g,
                          random_below(state, sizes->jurisdictions),
                          s_countries[random_below(state, sizes->countries)]);
    }
    dom_buffer_append_str(out, "};\nregions = {\n");
    for (uint32_t r = 0; r < sizes->regions; r++) {
        dom_buffer_printf(out, "  r%u = { country = \"%s\"; };\n", r,
                          s_countries[random_below(state, sizes->countries)]);
    }
    dom_buffer_append_str(out, "};\n");
}

static void put_vocabulary(struct dom_buffer *out, uint64_t *state, const struct sizes *sizes)
{
    dom_buffer_append_str(out, "data_classes = {\n");
    for (uint32_t c = 0; c < sizes->classes; c++) {
        dom_buffer_printf(out, "  c%u = { rank = %u; personal = %s; };\n", c, c,
                          c >= sizes->personal_from ? "true" : "false");
    }
    dom_buffer_append_str(out, "};\npurposes = {\n");
    for (uint32_t p = 0; p < sizes->purposes; p++) {
        dom_buffer_printf(out, "  p%u = {};\n", p);
    }
    dom_buffer_append_str(out, "};\nkinds = {\n");
    for (uint32_t k = 0; k < sizes->kinds; k++) {
        dom_buffer_printf(out, "  k%u = { fields = { a = \"c%u\"; b = \"c%u\"; };", k,
                          random_below(state, sizes->classes),
                          random_below(state, sizes->classes));
        if (chance(state, 50)) {
            dom_buffer_printf(out, " unknown_field = \"c%u\";",
                              random_below(state, sizes->classes));
        }
        dom_buffer_append_str(out, " };\n");
    }
    dom_buffer_append_str(out, "};\nservices = {\n");
    for (uint32_t s = 0; s < sizes->services; s++) {
        dom_buffer_printf(out, "  s%u = { ops = (%s);", s,
                          chance(state, 80) ? "\"*\"" : "\"read\", \"write\"");
        put_names(out, state, "kinds", 'k', sizes->kinds, 85);
        put_names(out, state, "purposes", 'p', sizes->purposes, 85);
        dom_buffer_append_str(out, " };\n");
    }
    dom_buffer_append_str(out, "};\nbases = {\n");
    for (uint32_t b = 0; b < sizes->bases; b++) {
        uint32_t year = 2025 + random_below(state, 3);
        dom_buffer_printf(out, "  b%u = { mechanism = \"m\"; from = \"%u-%02u-%02u\";", b, year,
                          1 + random_below(state, 12), 1 + random_below(state, 28));
        if (chance(state, 70)) {
            dom_buffer_printf(out, " until = \"%u-%02u-%02u\";", year + 1,
                              1 + random_below(state, 12), 1 + random_below(state, 28));
        }
        dom_buffer_append_str(out, " };\n");
    }
    dom_buffer_append_str(out, "};\n");
}

static void put_placement(struct dom_buffer *out, uint64_t *state, const struct sizes *sizes)
{
    uint32_t num = 1 + random_below(state, 8);

    dom_buffer_append_str(out, "placement = (\n");
    for (uint32_t i = 0; i < num; i++) {
        dom_buffer_printf(out, "%s  { id = \"place-%u\"; basis = \"b%u\";", i == 0 ? "" : ",\n", i,
                          random_below(state, sizes->bases));
        put_places(out, state, "home", sizes, 30);
        put_names(out, state, "classes", 'c', sizes->classes, 60);
        if (chance(state, 30)) {
            put_names(out, state, "kinds", 'k', sizes->kinds, 10);
        }
        if (chance(state, 40)) {
            put_names(out, state, "regions", 'r', sizes->regions, 0);
        } else {
            dom_buffer_append_str(out, " regions = (\"*\");");
            dom_buffer_printf(out, " lead = (\"r%u\");", random_below(state, sizes->regions));
            if (chance(state, 20)) {
                dom_buffer_printf(out, " first_write = (\"r%u\", \"r%u\");",
                                  random_below(state, sizes->regions),
                                  random_below(state, sizes->regions));
            }
        }
        if (chance(state, 20)) {
            dom_buffer_append_str(out, " min_replicas = 2;");
        }
        dom_buffer_append_str(out, " }");
    }
    dom_buffer_append_str(out, "\n);\n");
}

static void put_obligations(struct dom_buffer *out, uint64_t *state)
{
    uint32_t num = 1 + random_below(state, 2);

    dom_buffer_append_str(out, " obligations = (");
    for (uint32_t i = 0; i < num; i++) {
        uint32_t which = random_below(state, 4);
        uint32_t number = 1 + random_below(state, 3);
        dom_buffer_append_str(out, i == 0 ? "" : ", ");
        if (which == 0) {
            dom_buffer_printf(out, "{ do = \"pseudonymise\"; key = \"key%u\"; }", number);
        } else if (which == 3) {
            dom_buffer_printf(out, "{ do = \"limit\"; records = %u; per = \"P1D\"; }", number);
        } else {
            dom_buffer_printf(out, "{ do = \"%s\"; }", which == 1 ? "redact" : "withhold");
        }
    }
    dom_buffer_append_str(out, ");");
}

static void put_permit(struct dom_buffer *out, uint64_t *state, const struct sizes *sizes)
{
    bool home_return = chance(state, 15);

    dom_buffer_append_str(out, chance(state, 50) ? " ops = (\"*\");"
                                                 : " ops = (\"read\", \"list\");");
    if (home_return) {
        const char *places[] = {"\"*\"", "\"J0\"", "\"J0\", \"J1\""};
        const char *place = places[random_below(state, 3)];
        dom_buffer_printf(out, " home = (%s); to = (%s); basis = \"home_return\";", place, place);
    } else {
        put_places(out, state, "home", sizes, 45);
        put_places(out, state, "to", sizes, 45);
        dom_buffer_printf(out, " basis = \"b%u\";", random_below(state, sizes->bases));
    }
    put_names(out, state, "kinds", 'k', sizes->kinds, 60);
    put_names(out, state, "classes", 'c', sizes->classes, 40);
    put_names(out, state, "purposes", 'p', sizes->purposes, 60);
    put_names(out, state, "services", 's', sizes->services, 60);
    if (chance(state, 30)) {
        put_obligations(out, state);
    }
}

static void put_forbid(struct dom_buffer *out, uint64_t *state, const struct sizes *sizes)
{
    uint32_t what = random_below(state, 4);

    dom_buffer_append_str(out, what == 0   ? " ops = (\"store\");"
                               : what == 1 ? " ops = (\"*\");"
                               : what == 2 ? " ops = (\"read\", \"write\");"
                                           : "");
    if (chance(state, 90)) {
        put_places(out, state, "home", sizes, 5);
    }
    if (chance(state, 90)) {
        put_places(out, state, "to", sizes, 5);
    }
    if (chance(state, 90)) {
        put_names(out, state, "classes", 'c', sizes->classes, 0);
    }
    if (chance(state, 50)) {
        put_names(out, state, "kinds", 'k', sizes->kinds, 10);
    }
    if (what != 0 && chance(state, 50)) {
        put_names(out, state, "purposes", 'p', sizes->purposes, 10);
    }
    if (what != 0 && chance(state, 50)) {
        put_names(out, state, "services", 's', sizes->services, 10);
    }
}

static void put_rules(struct dom_buffer *out, uint64_t *state, const struct sizes *sizes,
                      uint32_t num)
{
    dom_buffer_append_str(out, "rules = (\n");
    for (uint32_t i = 0; i < num; i++) {
        bool permit = chance(state, 85);
        dom_buffer_printf(out, "%s  { id = \"rule-%u\"; effect = \"%s\";", i == 0 ? "" : ",\n", i,
                          permit ? "permit" : "forbid");
        if (permit) {
            put_permit(out, state, sizes);
        } else {
            put_forbid(out, state, sizes);
        }
        dom_buffer_append_str(out, " }");
    }
    dom_buffer_append_str(out, "\n);\n");
}

static void put_policy(struct dom_buffer *out, uint64_t *state, struct sizes *sizes,
                       uint32_t num_rules)
{
    sizes->personal_from = random_below(state, sizes->classes + 1);
    dom_buffer_printf(out,
                      "policy = { schema = 1; name = \"random\"; version = 1L; expires = "
                      "\"2028-01-01\"; };\ndefaults = { uncovered_field = \"%s\"; };\n",
                      chance(state, 70) ? "redact" : "deny");
    put_geography(out, state, sizes);
    put_vocabulary(out, state, sizes);
    put_placement(out, state, sizes);
    put_rules(out, state, sizes, num_rules);
}

void random_small_policy(struct dom_buffer *out, uint64_t *state, uint32_t rules_max)
{
    struct sizes sizes = {
        .countries = 4,
        .jurisdictions = 2 + random_below(state, 2),
        .groups = random_below(state, 2),
        .regions = 2 + random_below(state, 2),
        .classes = 2 + random_below(state, 2),
        .purposes = 1 + random_below(state, 2),
        .services = 1 + random_below(state, 2),
        .kinds = 1 + random_below(state, 2),
        .bases = 1 + random_below(state, 3),
    };

    put_policy(out, state, &sizes, random_below(state, rules_max + 1));
}

void random_policy(struct dom_buffer *out, uint64_t *state, uint32_t rules_max)
{
    struct sizes sizes = {
        .countries = COUNTRIES_MAX,
        .jurisdictions = 2 + random_below(state, 6),
        .groups = random_below(state, 3),
        .regions = 2 + random_below(state, 7),
        .classes = 2 + random_below(state, 5),
        .purposes = 1 + random_below(state, 4),
        .services = 1 + random_below(state, 5),
        .kinds = 1 + random_below(state, 3),
        .bases = 1 + random_below(state, 6),
    };

    put_policy(out, state, &sizes, random_below(state, rules_max + 1));
}

void random_large_policy(struct dom_buffer *out, uint64_t *state)
{
    struct sizes sizes = {
        .countries = COUNTRIES_MAX,
        .jurisdictions = 12,
        .groups = 4,
        .regions = 12,
        .classes = 10,
        .purposes = 20,
        .services = 20,
        .kinds = 4,
        .bases = 20,
    };

    put_policy(out, state, &sizes, 200);
}
