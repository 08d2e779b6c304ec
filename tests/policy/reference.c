#include "tests/policy/reference.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- reading the tree ---- */

/* Of its own, so that a million cases do not wait for an unoptimised library. */
static const struct dom_node *get(const struct dom_node *group, const char *key)
{
    for (const struct dom_node *node = group == NULL ? NULL : group->first; node != NULL;
         node = node->next) {
        if (node->name[0] == key[0] && strcmp(node->name, key) == 0) {
            return node;
        }
    }
    return NULL;
}

static const struct dom_node *members(const struct dom_node *root, const char *section)
{
    const struct dom_node *node = get(root, section);

    return node == NULL ? NULL : node->first;
}

static const char *text_of(const struct dom_node *group, const char *key)
{
    const struct dom_node *node = get(group, key);

    return node == NULL ? "" : (const char *)node->string.data;
}

/* Is `word` in the selector (a string or a list of them)? */
static bool has_word(const struct dom_node *selector, const char *word)
{
    if (selector->type == DOM_NODE_STRING) {
        return strcmp((const char *)selector->string.data, word) == 0;
    }
    for (const struct dom_node *node = selector->first; node != NULL; node = node->next) {
        if (strcmp((const char *)node->string.data, word) == 0) {
            return true;
        }
    }
    return false;
}

/* The selector of a rule, "left out" meaning everything. */
static bool selects(const struct dom_node *rule, const char *key, const char *word)
{
    const struct dom_node *selector = get(rule, key);

    return selector == NULL || has_word(selector, "*") || has_word(selector, word);
}

static const char *jurisdiction_of(const struct dom_node *root, const char *country)
{
    for (const struct dom_node *node = members(root, "jurisdictions"); node != NULL;
         node = node->next) {
        if (has_word(get(node, "countries"), country)) {
            return node->name;
        }
    }
    return "";
}

static bool same_jurisdiction(const struct dom_node *root, const char *a, const char *b)
{
    return strcmp(jurisdiction_of(root, a), jurisdiction_of(root, b)) == 0;
}

/* Does the place name (jurisdiction, group, country or "*") cover the country? */
static bool place_covers(const struct dom_node *root, const char *place, const char *country)
{
    const struct dom_node *group = get(get(root, "groups"), place);

    if (jurisdiction_of(root, country)[0] == '\0') {
        return false;
    }
    if (strcmp(place, "*") == 0 || strcmp(place, jurisdiction_of(root, country)) == 0) {
        return true;
    }
    if (get(get(root, "jurisdictions"), place) != NULL) {
        return false;
    }
    if (group != NULL) {
        return has_word(group, country) || has_word(group, jurisdiction_of(root, country));
    }
    return strcmp(place, country) == 0;
}

static bool selects_country(const struct dom_node *root, const struct dom_node *rule,
                            const char *key, const char *country)
{
    const struct dom_node *selector = get(rule, key);

    if (selector == NULL) {
        return true;
    }
    if (selector->type == DOM_NODE_STRING) {
        return place_covers(root, (const char *)selector->string.data, country);
    }
    for (const struct dom_node *node = selector->first; node != NULL; node = node->next) {
        if (place_covers(root, (const char *)node->string.data, country)) {
            return true;
        }
    }
    return false;
}

static int64_t day_ms(const char *date)
{
    struct tm when = {0};

    if (sscanf(date, "%d-%d-%d", &when.tm_year, &when.tm_mon, &when.tm_mday) != 3) {
        return 0;
    }
    when.tm_year -= 1900;
    when.tm_mon -= 1;
    return (int64_t)timegm(&when) * 1000;
}

static bool basis_in_force(const struct dom_node *root, const char *basis, int64_t time_ms)
{
    const struct dom_node *node = get(get(root, "bases"), basis);

    if (basis[0] == '\0' || node == NULL) {
        return true; /* none, not_personal, home_return: no date */
    }
    if (time_ms < day_ms(text_of(node, "from"))) {
        return false;
    }
    return text_of(node, "until")[0] == '\0' ||
           time_ms < day_ms(text_of(node, "until")) + 86400000;
}

/* ---- decisions ---- */

static bool rule_matches(const struct dom_node *root, const struct dom_node *rule,
                         const struct reference_request *request)
{
    if (!selects(rule, "ops", request->op) || !selects_country(root, rule, "home", request->home) ||
        !selects_country(root, rule, "to", request->caller) ||
        !selects(rule, "kinds", request->kind) || !selects(rule, "purposes", request->purpose) ||
        !selects(rule, "services", request->service)) {
        return false;
    }
    return strcmp(text_of(rule, "basis"), "home_return") != 0 ||
           strcmp(text_of(rule, "effect"), "permit") != 0 ||
           same_jurisdiction(root, request->home, request->caller);
}

static const char *const s_transforms[] = {"clear", "pseudonymise", "redact", "withhold"};

/* The strongest transform the rule asks for on the class, and its key. */
static int transform_of(const struct dom_node *rule, const char *data_class, const char **key)
{
    int strongest = 0;

    *key = "";
    for (const struct dom_node *node = members(rule, "obligations"); node != NULL;
         node = node->next) {
        for (int t = 1; t < 4; t++) {
            if (t > strongest && strcmp(text_of(node, "do"), s_transforms[t]) == 0 &&
                selects(node, "classes", data_class)) {
                strongest = t;
                *key = t == 1 ? text_of(node, "key") : "";
            }
        }
    }
    return strongest;
}

struct class_result {
    const struct dom_node *forbid;
    const struct dom_node *permit;
    const struct dom_node *lapsed;
    int strength;
    const char *key;
};

static void weigh_class(const struct dom_node *root, const struct reference_request *request,
                        const char *data_class, struct class_result *result)
{
    memset(result, 0, sizeof(*result));
    result->key = "";
    for (const struct dom_node *rule = members(root, "rules"); rule != NULL; rule = rule->next) {
        if (!selects(rule, "classes", data_class) || !rule_matches(root, rule, request)) {
            continue;
        }
        if (strcmp(text_of(rule, "effect"), "forbid") == 0) {
            result->forbid = result->forbid == NULL ? rule : result->forbid;
        } else if (!basis_in_force(root, text_of(rule, "basis"), request->time_ms)) {
            result->lapsed = result->lapsed == NULL ? rule : result->lapsed;
        } else {
            const char *key = "";
            int strength = transform_of(rule, data_class, &key);
            if (result->permit == NULL || strength > result->strength) {
                result->permit = rule;
                result->strength = strength;
                result->key = key;
            }
        }
    }
}

static void note_limit(const struct dom_node *root, const struct dom_node *rule,
                       const struct dom_node *node, struct reference_answer *answer)
{
    size_t c = 0;

    if (answer->num_limits++ >= REFERENCE_LIMITS_MAX) {
        return;
    }
    struct reference_limit *limit = &answer->limits[answer->num_limits - 1];
    const struct dom_node *classes = get(node, "classes");
    limit->records = get(node, "records")->integer;
    limit->per = text_of(node, "per");
    limit->count = text_of(node, "count")[0] == '\0' ? "subjects" : text_of(node, "count");
    limit->window = text_of(node, "window")[0] == '\0' ? "sliding" : text_of(node, "window");
    for (const struct dom_node *name = members(root, "data_classes"); name != NULL;
         name = name->next, c++) {
        if (selects(classes == NULL ? rule : node, "classes", name->name)) {
            limit->classes |= UINT64_C(1) << c;
        }
    }
}

static void count_limits(const struct dom_node *root, const struct reference_request *request,
                         struct reference_answer *answer)
{
    for (const struct dom_node *rule = members(root, "rules"); rule != NULL; rule = rule->next) {
        if (strcmp(text_of(rule, "effect"), "permit") != 0 || !rule_matches(root, rule, request) ||
            !basis_in_force(root, text_of(rule, "basis"), request->time_ms)) {
            continue;
        }
        for (const struct dom_node *node = members(rule, "obligations"); node != NULL;
             node = node->next) {
            if (strcmp(text_of(node, "do"), "limit") == 0) {
                note_limit(root, rule, node, answer);
            }
        }
    }
}

static void deny(struct reference_answer *answer, const char *reason)
{
    answer->effect = "deny";
    answer->reason = reason;
    for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
        answer->verdict[c] = "withheld";
    }
}

static bool service_allows(const struct dom_node *root, const struct reference_request *request)
{
    const struct dom_node *service =
        request->service == NULL ? NULL
                                 : get(get(root, "services"), request->service);

    if (service == NULL || request->kind == NULL || !selects(service, "kinds", request->kind) ||
        !selects(service, "ops", request->op)) {
        return false;
    }
    return request->purpose == NULL ? !request->crosses
                                    : selects(service, "purposes", request->purpose);
}

/* What a refusal says when every class had to pass, and when one would have been enough. */
static const char *refusal(bool whole, size_t forbidden, size_t lapsed, size_t plain)
{
    if (whole) {
        return forbidden > 0 ? "FORBIDDEN" : plain > 0 ? "NO_PERMIT" : "BASIS_EXPIRED";
    }
    return lapsed > 0 ? "BASIS_EXPIRED" : plain == 0 && forbidden > 0 ? "FORBIDDEN" : "NO_PERMIT";
}

static void judge(const struct dom_node *root, const struct reference_request *request,
                  const struct class_result *results, struct reference_answer *answer)
{
    const char *uncovered = text_of(get(root, "defaults"), "uncovered_field");
    bool write = strcmp(request->op, "write") == 0;
    bool whole = write || strcmp(request->op, "delete") == 0;
    size_t num_classes = get(root, "data_classes")->num;
    size_t asked = 0, forbidden = 0, lapsed = 0, plain = 0, changed = 0, withheld = 0;

    for (size_t c = 0; c < num_classes; c++) {
        const struct class_result *result = &results[c];
        if (!request->classes[c]) {
            continue;
        }
        asked++;
        if (result->forbid != NULL) {
            forbidden++;
        } else if (result->permit == NULL) {
            lapsed += result->lapsed != NULL ? 1U : 0U;
            plain += result->lapsed == NULL ? 1U : 0U;
        } else {
            changed += result->strength > 0 ? 1U : 0U;
            withheld += result->strength == 3 ? 1U : 0U;
        }
        answer->verdict[c] = result->forbid != NULL || result->permit == NULL ? "redact"
                             : result->strength == 3                          ? "withheld"
                                                     : s_transforms[result->strength];
    }
    size_t missing = forbidden + lapsed + plain;
    if (asked == 0) {
        deny(answer, "NO_PERMIT");
    } else if (missing > 0 && (whole || strcmp(uncovered, "deny") == 0)) {
        deny(answer, refusal(true, forbidden, lapsed, plain));
    } else if (write && changed > 0) {
        deny(answer, "NO_PERMIT");
    } else if (whole) {
        answer->effect = "allow";
        for (size_t c = 0; c < num_classes; c++) {
            answer->verdict[c] = "clear";
        }
    } else if (asked == missing + withheld) {
        deny(answer, refusal(false, forbidden, lapsed, plain));
    } else {
        answer->effect = missing == 0 && changed == 0 ? "allow" : "modify";
    }
}

void reference_decide(const struct dom_node *root, const struct reference_request *request,
                      struct reference_answer *answer)
{
    struct class_result results[DOM_CLASSES_MAX];
    size_t c = 0;

    memset(answer, 0, sizeof(*answer));
    answer->reason = "OK";
    for (size_t i = 0; i < DOM_CLASSES_MAX; i++) {
        answer->rule[i] = "";
        answer->basis[i] = "";
        answer->key[i] = "";
    }
    if (!service_allows(root, request)) {
        deny(answer, "SERVICE_DENIED");
        return;
    }
    if (request->home == NULL || request->caller == NULL ||
        jurisdiction_of(root, request->home)[0] == '\0' ||
        jurisdiction_of(root, request->caller)[0] == '\0') {
        deny(answer, "NO_PERMIT");
        return;
    }
    if (!request->crosses) {
        answer->effect = "allow";
        for (size_t i = 0; i < DOM_CLASSES_MAX; i++) {
            answer->verdict[i] = "clear";
        }
        return;
    }
    if (request->time_ms >= day_ms(text_of(get(root, "policy"), "expires"))) {
        deny(answer, "POLICY_EXPIRED");
        return;
    }
    for (const struct dom_node *node = members(root, "data_classes"); node != NULL;
         node = node->next, c++) {
        weigh_class(root, request, node->name, &results[c]);
        const struct dom_node *decides = results[c].forbid != NULL   ? results[c].forbid
                                         : results[c].permit != NULL ? results[c].permit
                                                                     : results[c].lapsed;
        answer->permitted[c] = results[c].forbid == NULL && results[c].permit != NULL;
        answer->left_out[c] = answer->permitted[c] && results[c].strength == 3;
        if (decides != NULL) {
            answer->rule[c] = text_of(decides, "id");
            answer->basis[c] = results[c].forbid != NULL ? "" : text_of(decides, "basis");
            answer->key[c] =
                results[c].forbid == NULL && results[c].permit != NULL ? results[c].key : "";
        }
    }
    count_limits(root, request, answer);
    judge(root, request, results, answer);
}

/* ---- placement ---- */

static const char *region_country(const struct dom_node *region)
{
    return text_of(region, "country");
}

/* Is the region named by the selector, by itself or by the place it lies in? */
static bool selects_region(const struct dom_node *root, const struct dom_node *entry,
                           const char *key, const struct dom_node *region)
{
    const struct dom_node *selector = get(entry, key);

    return selector != NULL && (has_word(selector, region->name) ||
                                selects_country(root, entry, key, region_country(region)));
}

static bool forbid_stores(const struct dom_node *root, const char *kind, const char *home,
                          const char *data_class, const char *country)
{
    for (const struct dom_node *rule = members(root, "rules"); rule != NULL; rule = rule->next) {
        const struct dom_node *ops = get(rule, "ops");
        const struct dom_node *purposes = get(rule, "purposes");
        const struct dom_node *services = get(rule, "services");
        bool narrow = (purposes != NULL && !has_word(purposes, "*")) ||
                      (services != NULL && !has_word(services, "*"));
        if (strcmp(text_of(rule, "effect"), "forbid") != 0 ||
            !selects(rule, "kinds", kind) || !selects(rule, "classes", data_class) ||
            !selects_country(root, rule, "home", home) ||
            !selects_country(root, rule, "to", country)) {
            continue;
        }
        if (ops != NULL && has_word(ops, "store")) {
            return true;
        }
        if ((ops == NULL || has_word(ops, "*")) && !narrow &&
            !same_jurisdiction(root, home, country)) {
            return true;
        }
    }
    return false;
}

static bool entry_allows(const struct dom_node *root, const struct dom_node *entry,
                         const char *home, const struct dom_node *region, int64_t time_ms)
{
    const char *basis = text_of(entry, "basis");

    if (!selects_region(root, entry, "regions", region)) {
        return false;
    }
    return same_jurisdiction(root, home, region_country(region)) ||
           (basis[0] != '\0' && basis_in_force(root, basis, time_ms));
}

static bool entry_matches(const struct dom_node *root, const struct dom_node *entry,
                          const char *kind, const char *home, const char *data_class)
{
    return selects(entry, "kinds", kind) && selects(entry, "classes", data_class) &&
           selects_country(root, entry, "home", home);
}

static bool kind_has_class(const struct dom_node *root, const char *kind, const char *data_class)
{
    const struct dom_node *node = get(get(root, "kinds"), kind);

    for (const struct dom_node *field = members(node, "fields"); field != NULL;
         field = field->next) {
        if (strcmp((const char *)field->string.data, data_class) == 0) {
            return true;
        }
    }
    return strcmp(text_of(node, "unknown_field"), data_class) == 0;
}

static void place_class(const struct dom_node *root, const char *kind, const char *home, size_t c,
                        const char *data_class, int64_t time_ms, struct reference_place *place,
                        bool *may_lead)
{
    bool storable = false;

    place->min_replicas[c] = 1;
    place->rule[c] = "";
    for (const struct dom_node *entry = members(root, "placement"); entry != NULL;
         entry = entry->next) {
        size_t r = 0;
        const struct dom_node *replicas = get(entry, "min_replicas");
        if (!entry_matches(root, entry, kind, home, data_class)) {
            continue;
        }
        if (replicas != NULL && replicas->integer > place->min_replicas[c]) {
            place->min_replicas[c] = (int)replicas->integer;
        }
        for (const struct dom_node *region = members(root, "regions"); region != NULL;
             region = region->next, r++) {
            if (entry_allows(root, entry, home, region, time_ms) &&
                !forbid_stores(root, kind, home, data_class, region_country(region))) {
                place->in[c][r] = true;
                storable = true;
                place->rule[c] =
                    place->rule[c][0] == '\0' ? text_of(entry, "id") : place->rule[c];
            }
        }
    }
    if (!storable || !kind_has_class(root, kind, data_class)) {
        return;
    }
    size_t r = 0;
    for (const struct dom_node *region = members(root, "regions"); region != NULL;
         region = region->next, r++) {
        may_lead[r] = may_lead[r] && place->in[c][r];
        for (const struct dom_node *entry = members(root, "placement"); entry != NULL;
             entry = entry->next) {
            if (entry_matches(root, entry, kind, home, data_class) &&
                get(entry, "first_write") != NULL &&
                !(selects_region(root, entry, "first_write", region) &&
                  selects_region(root, entry, "regions", region))) {
                may_lead[r] = false;
            }
        }
    }
    may_lead[DOM_REGIONS_MAX] = true; /* some class of the kind may be stored */
}

static const char *lead_by_list(const struct dom_node *root, const char *kind, const char *home,
                                const bool *may_lead)
{
    for (const struct dom_node *entry = members(root, "placement"); entry != NULL;
         entry = entry->next) {
        bool matches = false;
        const struct dom_node *lead = get(entry, "lead");
        for (const struct dom_node *node = members(root, "data_classes"); node != NULL;
             node = node->next) {
            matches = matches || (kind_has_class(root, kind, node->name) &&
                                  entry_matches(root, entry, kind, home, node->name));
        }
        for (const struct dom_node *name = lead == NULL || !matches ? NULL : lead->first;
             name != NULL; name = name->next) {
            size_t r = 0;
            for (const struct dom_node *region = members(root, "regions"); region != NULL;
                 region = region->next, r++) {
                if (may_lead[r] && strcmp(region->name, (const char *)name->string.data) == 0) {
                    return region->name;
                }
            }
        }
    }
    return "";
}

void reference_place(const struct dom_node *root, const char *kind, const char *home,
                     int64_t time_ms, struct reference_place *place)
{
    bool may_lead[DOM_REGIONS_MAX + 1];
    bool home_can = false;
    size_t c = 0;
    size_t r = 0;

    memset(place, 0, sizeof(*place));
    memset(may_lead, true, sizeof(may_lead));
    may_lead[DOM_REGIONS_MAX] = false;
    place->lead = "";
    for (const struct dom_node *node = members(root, "data_classes"); node != NULL;
         node = node->next) {
        place_class(root, kind, home, c++, node->name, time_ms, place, may_lead);
    }
    if (!may_lead[DOM_REGIONS_MAX]) {
        return;
    }
    for (const struct dom_node *region = members(root, "regions"); region != NULL;
         region = region->next, r++) {
        home_can = home_can || (may_lead[r] && strcmp(region_country(region), home) == 0);
    }
    r = 0;
    for (const struct dom_node *region = members(root, "regions"); region != NULL;
         region = region->next, r++) {
        may_lead[r] =
            may_lead[r] && (!home_can || strcmp(region_country(region), home) == 0);
    }
    place->lead = lead_by_list(root, kind, home, may_lead);
    r = 0;
    for (const struct dom_node *region = members(root, "regions");
         region != NULL && place->lead[0] == '\0'; region = region->next, r++) {
        place->lead = may_lead[r] ? region->name : "";
    }
}
