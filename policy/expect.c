/* Runs the cases of a test file against the policy that it names. */
#include "policy/expect_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "policy/policy_internal.h"
#include "policy/read_internal.h"
#include "policy/shape_internal.h"
#include "policy/text.h"

static const struct shape s_place[] = {
    {"kind", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"home", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"date", SHAPE_TIME, true, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_regions[] = {
    {"class", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"in", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"not_in", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"only", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"min_replicas", SHAPE_INT, false, 0, DOM_REGIONS_MAX, NULL, NULL},
    {"rule", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_expect[] = {
    {"effect", SHAPE_CHOICE, false, 0, 0, NULL, "allow deny modify"},
    {"reason", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"clear", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"redact", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"pseudonymise", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"withheld", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"rules", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"lead", SHAPE_TEXT, false, 0, 0, NULL, NULL},
    {"regions", SHAPE_LIST, false, 0, DOM_CLASSES_MAX, s_regions, NULL},
    {"in", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"not_in", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"sync", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_case[] = {
    {"name", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"why", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"op", SHAPE_CHOICE, false, 0, 0, NULL, "read list write delete"},
    {"service", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"purpose", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"kind", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"home", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"caller", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"serves", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"date", SHAPE_TIME, false, 0, 0, NULL, NULL},
    {"fields", SHAPE_NAMES, false, 0, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"place", SHAPE_GROUP, false, 0, 0, s_place, NULL},
    {"expect", SHAPE_GROUP, true, 0, 0, s_expect, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_file[] = {
    {"policy", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"cases", SHAPE_LIST, true, 0, DOM_EXPECT_CASES_MAX, s_case, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

/* What one case is judged by. */
struct trial {
    const struct dom_policy *policy;
    struct dom_expect_report *report;
    const struct dom_node *expect;
    struct dom_buffer detail;
};

static void miss(struct trial *trial, const char *fmt, ...) DOM_PRINTF(2, 3);

static void miss(struct trial *trial, const char *fmt, ...)
{
    char line[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    dom_buffer_printf(&trial->detail, "%s\n", line);
}

/* ` by permit "x" at policy.cfg:58`, or "" when no rule decided. */
static const char *by_rule(const struct trial *trial, const struct dom_policy_decision *decision,
                           dom_policy_id data_class, char *out, size_t out_size)
{
    out[0] = '\0';
    if (decision->cell != NULL && decision->cell->rule[data_class] != DOM_POLICY_NONE) {
        const struct dom_rule *rule =
            &trial->policy->model.rules[decision->cell->rule[data_class]];
        (void)snprintf(out, out_size, " by %s \"%s\" at %s:%u", rule->permit ? "permit" : "forbid",
                       rule->id, trial->report->policy_path, rule->node->value_at.line);
    }
    return out;
}

static bool listed(const struct dom_node *list, struct dom_slice name)
{
    for (const struct dom_node *at = dom_read_first(list); at != NULL;
         at = dom_read_next(list, at)) {
        if (dom_slice_eq(at->string, name)) {
            return true;
        }
    }
    return false;
}

static const char *const s_verdicts[] = {"clear", "redact", "pseudonymise", "withheld"};

static size_t verdict_of(const struct dom_policy_decision *decision, dom_policy_id data_class)
{
    dom_policy_set bit = dom_set_of(data_class);

    return (decision->clear & bit) != 0          ? 0
           : (decision->redact & bit) != 0       ? 1
           : (decision->pseudonymise & bit) != 0 ? 2
                                                 : 3;
}

/* Each verdict's list, when given, is exactly the fields that got it. */
static void judge_fields(struct trial *trial, const struct dom_node *node, dom_policy_id kind,
                         const struct dom_policy_decision *decision)
{
    const struct dom_node *fields = dom_node_get(node, "fields");
    dom_policy_id data_class = DOM_POLICY_NONE;
    char rule[400];

    for (const struct dom_node *field = dom_read_first(fields); field != NULL;
         field = dom_read_next(fields, field)) {
        (void)dom_policy_field_class(trial->policy, kind, field->string, &data_class);
        size_t got = verdict_of(decision, data_class);
        for (size_t v = 0; v < DOM_ARRAY_LEN(s_verdicts); v++) {
            const struct dom_node *list = dom_node_get(trial->expect, s_verdicts[v]);
            if (list == NULL || listed(list, field->string) == (v == got)) {
                continue;
            }
            miss(trial, "field %s (%s): expected %s%s, got %s%s",
                 (const char *)field->string.data, dom_policy_class_name(trial->policy, data_class),
                 v == got ? "not " : "", s_verdicts[v], s_verdicts[got],
                 by_rule(trial, decision, data_class, rule, sizeof(rule)));
        }
    }
    for (size_t v = 0; v < DOM_ARRAY_LEN(s_verdicts); v++) {
        const struct dom_node *list = dom_node_get(trial->expect, s_verdicts[v]);
        for (const struct dom_node *field = dom_read_first(list); field != NULL;
             field = dom_read_next(list, field)) {
            if (!listed(fields, field->string)) {
                miss(trial, "field %s: expected %s, but the case does not ask for it",
                     (const char *)field->string.data, s_verdicts[v]);
            }
        }
    }
}

static bool rule_decided(const struct trial *trial, const struct dom_policy_request *request,
                         const struct dom_policy_decision *decision, struct dom_slice id)
{
    for (size_t c = 0; decision->cell != NULL && c < trial->policy->model.classes.num; c++) {
        if (dom_set_has(request->classes, (dom_policy_id)c) &&
            dom_slice_eq_str(id, dom_policy_rule_name(trial->policy, decision->cell->rule[c]))) {
            return true;
        }
    }
    return false;
}

static void count_rules(struct trial *trial, const struct dom_policy_request *request,
                        const struct dom_policy_decision *decision)
{
    dom_policy_id before[DOM_CLASSES_MAX];
    size_t num = 0;

    for (size_t c = 0; decision->cell != NULL && c < trial->policy->model.classes.num; c++) {
        dom_policy_id rule = decision->cell->rule[c];
        bool seen = rule == DOM_POLICY_NONE || !dom_set_has(request->classes, (dom_policy_id)c);
        for (size_t i = 0; i < num; i++) {
            seen = seen || before[i] == rule;
        }
        if (!seen) {
            before[num++] = rule;
            trial->report->rule_uses[rule]++;
        }
    }
}

static void judge_request(struct trial *trial, const struct dom_node *node,
                          const struct dom_policy_request *request)
{
    struct dom_slice effect = dom_read_string(trial->expect, "effect");
    struct dom_slice reason = dom_read_string(trial->expect, "reason");
    const struct dom_node *rules = dom_node_get(trial->expect, "rules");
    struct dom_policy_decision decision;
    char rule[400] = "";

    dom_policy_decide(trial->policy, request, &decision);
    count_rules(trial, request, &decision);
    dom_expect_cover(trial->report, request, &decision);
    const char *got = dom_policy_effect_name(decision.effect);
    const char *got_reason = dom_code_reason(decision.reason);
    for (size_t c = 0; c < DOM_CLASSES_MAX && rule[0] == '\0'; c++) {
        if (dom_set_has(request->classes, (dom_policy_id)c)) {
            (void)by_rule(trial, &decision, (dom_policy_id)c, rule, sizeof(rule));
        }
    }
    if (effect.len == 0) {
        miss(trial, "the case expects no effect: write effect = \"allow\", \"modify\" or \"deny\"");
    } else if (!dom_slice_eq_str(effect, got)) {
        miss(trial, "expected %s, got %s (%s)%s", (const char *)effect.data, got, got_reason, rule);
    }
    if (reason.len > 0 && !dom_slice_eq_str(reason, got_reason)) {
        miss(trial, "expected reason %s, got %s%s", (const char *)reason.data, got_reason, rule);
    }
    judge_fields(trial, node, request->kind, &decision);
    for (const struct dom_node *id = dom_read_first(rules); id != NULL;
         id = dom_read_next(rules, id)) {
        if (!rule_decided(trial, request, &decision, id->string)) {
            miss(trial, "expected rule \"%s\" to decide, but it does not%s%s",
                 (const char *)id->string.data, rule[0] == '\0' ? "" : "; decided", rule);
        }
    }
}

static int64_t time_of(const struct dom_node *group, int64_t otherwise)
{
    struct dom_slice text = dom_read_string(group, "date");
    int64_t ms = 0;

    return text.len > 0 && dom_time_parse(text, true, &ms) ? ms : otherwise;
}

/* A region of the policy, or a country code. */
static dom_policy_id caller_country(const struct dom_policy *policy, struct dom_slice name)
{
    dom_policy_id region = dom_policy_find_region(policy, name);

    return region != DOM_POLICY_NONE ? dom_policy_region_country(policy, region)
                                     : dom_policy_find_country(policy, name);
}

static void run_request(struct trial *trial, const struct dom_node *node, int64_t now_ms)
{
    const struct dom_policy *policy = trial->policy;
    const struct dom_node *fields = dom_node_get(node, "fields");
    struct dom_slice serves_name = dom_read_string(node, "serves");
    dom_policy_id data_class = DOM_POLICY_NONE;
    struct dom_policy_request request = {
        .service = dom_policy_find_service(policy, dom_read_string(node, "service")),
        .purpose = dom_policy_find_purpose(policy, dom_read_string(node, "purpose")),
        .kind = dom_policy_find_kind(policy, dom_read_string(node, "kind")),
        .home = dom_policy_find_country(policy, dom_read_string(node, "home")),
        .caller = caller_country(policy, dom_read_string(node, "caller")),
        .time_ms = time_of(node, now_ms),
    };
    dom_policy_id serves = request.home;

    if (!dom_policy_op_parse(dom_read_string(node, "op"), &request.op)) {
        miss(trial, "the case names no op");
        return;
    }
    const struct dom_policy_placement *place =
        dom_policy_place(policy, request.kind, request.home, request.time_ms);
    if (serves_name.len > 0) {
        serves = caller_country(policy, serves_name);
        if (serves == DOM_POLICY_NONE) {
            miss(trial, "serves = \"%s\" is no region of the policy",
                 (const char *)serves_name.data);
            return;
        }
    } else if (place != NULL && place->lead != DOM_POLICY_NONE) {
        serves = dom_policy_region_country(policy, place->lead);
    }
    /* Unknown places count as crossing: nothing is let through for want of a name. */
    request.crosses = serves == DOM_POLICY_NONE || request.caller == DOM_POLICY_NONE ||
                      dom_policy_country_jurisdiction(policy, serves) !=
                          dom_policy_country_jurisdiction(policy, request.caller);
    for (const struct dom_node *field = dom_read_first(fields); field != NULL;
         field = dom_read_next(fields, field)) {
        (void)dom_policy_field_class(policy, request.kind, field->string, &data_class);
        request.classes |= dom_set_of(data_class);
    }
    judge_request(trial, node, &request);
}

/* Names of a list of regions as a set; an unknown name is a failure of the case. */
static dom_policy_set regions_of(struct trial *trial, const struct dom_node *list)
{
    dom_policy_set set = 0;

    for (const struct dom_node *name = dom_read_first(list); name != NULL;
         name = dom_read_next(list, name)) {
        dom_policy_id region = dom_policy_find_region(trial->policy, name->string);
        if (region == DOM_POLICY_NONE) {
            miss(trial, "\"%s\" is no region of the policy", (const char *)name->string.data);
        } else {
            set |= dom_set_of(region);
        }
    }
    return set;
}

static void judge_set(struct trial *trial, const char *what, const struct dom_node *group,
                      dom_policy_set got, const char *by)
{
    static const char *const keys[] = {"in", "not_in", "only"};

    for (size_t k = 0; k < DOM_ARRAY_LEN(keys); k++) {
        const struct dom_node *list = dom_node_get(group, keys[k]);
        if (list == NULL) {
            continue;
        }
        dom_policy_set want = regions_of(trial, list);
        dom_policy_set wrong = k == 0 ? want & ~got : k == 1 ? want & got : want ^ got;
        for (; wrong != 0; wrong &= wrong - 1) {
            dom_policy_id region = (dom_policy_id)__builtin_ctzll(wrong);
            miss(trial, "%s: expected %sin %s, but it %s lie there%s%s%s", what,
                 dom_set_has(got, region) ? "not " : "",
                 dom_policy_region_name(trial->policy, region),
                 dom_set_has(got, region) ? "may" : "may not", by[0] == '\0' ? "" : " by \"", by,
                 by[0] == '\0' ? "" : "\"");
        }
    }
}

static void judge_class(struct trial *trial, const struct dom_node *group,
                        const struct dom_policy_placement *place)
{
    struct dom_slice name = dom_read_string(group, "class");
    dom_policy_id data_class = dom_policy_find_class(trial->policy, name);
    const struct dom_node *replicas = dom_read_int(group, "min_replicas");
    struct dom_slice rule = dom_read_string(group, "rule");

    if (data_class == DOM_POLICY_NONE) {
        miss(trial, "\"%s\" is no data class of the policy", (const char *)name.data);
        return;
    }
    const char *by = dom_policy_placement_name(trial->policy, place->rule[data_class]);
    judge_set(trial, (const char *)name.data, group, place->regions[data_class], by);
    if (replicas != NULL && replicas->integer != place->min_replicas[data_class]) {
        miss(trial, "%s: expected min_replicas %lld, got %u", (const char *)name.data,
             (long long)replicas->integer, place->min_replicas[data_class]);
    }
    if (rule.len > 0 && !dom_slice_eq_str(rule, by)) {
        miss(trial, "%s: expected placement \"%s\", got \"%s\"", (const char *)name.data,
             (const char *)rule.data, by);
    }
}

static void count_placements(struct trial *trial, const struct dom_policy_placement *place,
                             dom_policy_set classes)
{
    for (size_t c = 0; c < trial->policy->model.classes.num; c++) {
        if (dom_set_has(classes, (dom_policy_id)c) && place->rule[c] != DOM_POLICY_NONE) {
            trial->report->placement_uses[place->rule[c]]++;
        }
    }
}

static void run_place(struct trial *trial, const struct dom_node *node, int64_t now_ms)
{
    const struct dom_node *lead = dom_node_get(trial->expect, "lead");
    const struct dom_node *list = dom_node_get(trial->expect, "regions");
    const struct dom_node *sync = dom_node_get(trial->expect, "sync");
    dom_policy_id kind = dom_policy_find_kind(trial->policy, dom_read_string(node, "kind"));
    dom_policy_id home = dom_policy_find_country(trial->policy, dom_read_string(node, "home"));
    struct dom_policy_placement nowhere = {.lead = DOM_POLICY_NONE};
    const struct dom_policy_placement *place =
        dom_policy_place(trial->policy, kind, home, time_of(node, now_ms));

    if (kind == DOM_POLICY_NONE) {
        miss(trial, "\"%s\" is no kind of the policy", dom_read_cstr(node, "kind"));
    }
    memset(nowhere.rule, 0xFF, sizeof(nowhere.rule));
    place = place == NULL ? &nowhere : place;
    count_placements(trial, place, dom_policy_kind_classes(trial->policy, kind));
    const char *got = dom_policy_region_name(trial->policy, place->lead);
    if (lead != NULL && lead->type == DOM_NODE_STRING && !dom_slice_eq_str(lead->string, got)) {
        miss(trial, "expected lead \"%s\", got \"%s\"", (const char *)lead->string.data, got);
    }
    for (const struct dom_node *group =
             list == NULL || list->type != DOM_NODE_LIST ? NULL : list->first;
         group != NULL; group = group->next) {
        judge_class(trial, group, place);
    }
    judge_set(trial, "the record", trial->expect, place->all, "");
    if (sync != NULL && regions_of(trial, sync) != place->sync) {
        miss(trial, "sync regions differ from what is expected");
    }
}

static char *copy_slice(struct dom_slice text)
{
    char *copy = malloc(text.len + 1);

    if (copy != NULL) {
        memcpy(copy, text.len == 0 ? (const void *)"" : text.data, text.len);
        copy[text.len] = '\0';
    }
    return copy;
}

static enum dom_code run_case(struct dom_expect_report *report, const struct dom_node *node,
                              int64_t now_ms, struct dom_error *err)
{
    struct dom_expect_case *at = &report->cases[report->num_cases];
    const struct dom_node *place = dom_node_get(node, "place");
    struct trial trial = {.policy = report->policy,
                          .report = report,
                          .expect = dom_node_get(node, "expect")};

    dom_buffer_init(&trial.detail, 0);
    if (place != NULL) {
        run_place(&trial, place, now_ms);
    } else {
        run_request(&trial, node, now_ms);
    }
    at->passed = trial.detail.len == 0;
    at->line = node->value_at.line;
    at->name = copy_slice(dom_read_string(node, "name"));
    at->why = copy_slice(dom_read_string(node, "why"));
    at->detail = copy_slice(dom_buffer_slice(&trial.detail));
    report->num_cases++;
    report->num_passed += at->passed ? 1U : 0U;
    bool lost = trial.detail.failed || at->name == NULL || at->why == NULL || at->detail == NULL;
    dom_buffer_cleanup(&trial.detail);
    return lost ? DOM_FAIL(err, DOM_RESOURCE, "out of memory") : DOM_OK;
}

/* The policy's path: beside the test file unless it is absolute. */
static char *join_path(const char *beside, struct dom_slice name)
{
    const char *slash = strrchr(beside, '/');
    size_t len = slash == NULL || (name.len > 0 && name.data[0] == '/')
                     ? 0
                     : (size_t)(slash - beside) + 1;
    char *path = malloc(len + name.len + 1);

    if (path != NULL) {
        memcpy(path, beside, len);
        memcpy(path + len, name.len == 0 ? (const void *)"" : name.data, name.len);
        path[len + name.len] = '\0';
    }
    return path;
}

static enum dom_code load_policy(struct dom_expect_report *report, struct dom_slice name,
                                 int64_t now_ms, struct dom_error *err)
{
    struct dom_policy_load_options options = {.now_ms = now_ms};

    report->policy_path = join_path(report->path, name);
    if (report->policy_path == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    options.name = report->policy_path;
    enum dom_code rc =
        dom_file_read(&report->policy_text, report->policy_path, DOM_POLICY_FILE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_policy_compile(&report->policy, &report->policy_findings,
                                dom_buffer_slice(&report->policy_text), &options, err);
    }
    return rc;
}

static enum dom_code run_cases(struct dom_expect_report *report, const struct dom_node *root,
                               int64_t now_ms, struct dom_error *err)
{
    const struct dom_node *list = dom_node_get(root, "cases");
    enum dom_code rc = load_policy(report, dom_read_string(root, "policy"), now_ms, err);

    if (rc != DOM_OK) {
        return rc;
    }
    report->cases = calloc(list->num + 1, sizeof(report->cases[0]));
    report->rule_uses =
        calloc(report->policy->model.num_rules + 1, sizeof(report->rule_uses[0]));
    report->placement_uses =
        calloc(report->policy->model.num_placements + 1, sizeof(report->placement_uses[0]));
    if (report->cases == NULL || report->rule_uses == NULL || report->placement_uses == NULL ||
        !dom_expect_cover_init(report)) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    for (const struct dom_node *node = list->first; node != NULL && rc == DOM_OK;
         node = node->next) {
        rc = run_case(report, node, now_ms, err);
    }
    return rc;
}

enum dom_code dom_expect_run(struct dom_expect_report *report, const char *path, int64_t now_ms,
                             struct dom_error *err)
{
    struct dom_node *root = NULL;
    struct dom_arena arena;

    memset(report, 0, sizeof(*report));
    dom_arena_init(&arena, NULL, 0, DOM_TREE_BYTES_MAX);
    report->path = copy_slice(dom_slice_str(path));
    enum dom_code rc = report->path == NULL ? DOM_FAIL(err, DOM_RESOURCE, "out of memory")
                                            : dom_file_read(&report->text, path,
                                                            DOM_POLICY_FILE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_tree_parse(&root, dom_buffer_slice(&report->text), &arena, &report->findings,
                            err);
    }
    if (rc == DOM_OK) {
        dom_shape_walk(root, s_file, &report->findings);
        if (dom_findings_count(&report->findings, DOM_FINDING_ERROR) == 0) {
            rc = dom_tree_agree(root, dom_buffer_slice(&report->text), &report->findings, err);
        }
        if (rc == DOM_OK && dom_findings_count(&report->findings, DOM_FINDING_ERROR) != 0) {
            rc = DOM_FAIL(err, DOM_PARSE, "%s: the test file has errors", path);
        }
    }
    if (rc == DOM_OK) {
        rc = run_cases(report, root, now_ms, err);
    }
    dom_findings_sort(&report->findings);
    dom_arena_cleanup(&arena);
    return rc;
}

void dom_expect_cleanup(struct dom_expect_report *report)
{
    for (size_t i = 0; i < report->num_cases; i++) {
        free(report->cases[i].name);
        free(report->cases[i].why);
        free(report->cases[i].detail);
    }
    free(report->cases);
    free(report->rule_uses);
    free(report->placement_uses);
    free(report->cell_uses);
    free(report->path);
    free(report->policy_path);
    dom_policy_unref(report->policy);
    dom_findings_cleanup(&report->findings);
    dom_findings_cleanup(&report->policy_findings);
    dom_buffer_cleanup(&report->text);
    dom_buffer_cleanup(&report->policy_text);
    memset(report, 0, sizeof(*report));
}
