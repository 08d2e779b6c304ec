/* The keys of a policy: what there is, of which type and form, and how many. */
#include "policy/shape_internal.h"

static const struct shape s_change[] = {
    {"ticket", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"reason", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"author", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_policy[] = {
    {"schema", SHAPE_INT, true, INT64_MIN, INT64_MAX, NULL, NULL},
    {"name", SHAPE_LABEL, true, 0, 0, NULL, NULL},
    {"version", SHAPE_INT, true, 1, INT64_MAX, NULL, NULL},
    {"expires", SHAPE_TIME, true, 0, 0, NULL, NULL},
    {"change", SHAPE_GROUP, false, 0, 0, s_change, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_defaults[] = {
    {"uncovered_field", SHAPE_CHOICE, false, 0, 0, NULL, "redact deny"},
    {"hide_existence", SHAPE_BOOL, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_jurisdiction[] = {
    {"countries", SHAPE_NAMES, true, 1, DOM_COUNTRIES_MAX, NULL, NULL},
    {"law", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_region[] = {
    {"country", SHAPE_STRING, true, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_class[] = {
    {"rank", SHAPE_INT, true, 0, 1000000, NULL, NULL},
    {"personal", SHAPE_BOOL, false, 0, 0, NULL, NULL},
    {"sensitive", SHAPE_BOOL, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_purpose[] = {
    {"dpv", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_service[] = {
    {"kinds", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"ops", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"purposes", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_kind[] = {
    {"fields", SHAPE_FIELDS, true, 0, DOM_FIELDS_MAX, NULL, NULL},
    {"unknown_field", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"subject", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_basis[] = {
    {"mechanism", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"ref", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"assessment", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"from", SHAPE_DATE, true, 0, 0, NULL, NULL},
    {"until", SHAPE_DATE, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_placement[] = {
    {"id", SHAPE_LABEL, true, 0, 0, NULL, NULL},
    {"home", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"kinds", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"classes", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"regions", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"must_include", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"first_write", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"lead", SHAPE_NAMES, false, 1, DOM_REGIONS_MAX, NULL, NULL},
    {"min_replicas", SHAPE_INT, false, 1, DOM_REGIONS_MAX, NULL, NULL},
    {"basis", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_obligation[] = {
    {"do", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"classes", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"key", SHAPE_LABEL, false, 0, 0, NULL, NULL},
    {"records", SHAPE_INT, false, 1, INT64_MAX, NULL, NULL},
    {"per", SHAPE_DURATION, false, 0, 0, NULL, NULL},
    {"count", SHAPE_CHOICE, false, 0, 0, NULL, "subjects accesses"},
    {"window", SHAPE_CHOICE, false, 0, 0, NULL, "sliding calendar"},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_rule[] = {
    {"id", SHAPE_LABEL, true, 0, 0, NULL, NULL},
    {"effect", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"ops", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"home", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"to", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"kinds", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"classes", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"purposes", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"services", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"basis", SHAPE_STRING, false, 0, 0, NULL, NULL},
    {"obligations", SHAPE_LIST, false, 0, DOM_OBLIGATIONS_MAX, s_obligation, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_retention[] = {
    {"id", SHAPE_LABEL, false, 0, 0, NULL, NULL},
    {"kinds", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"home", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"classes", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"keep", SHAPE_DURATION, true, 0, 0, NULL, NULL},
    {"then", SHAPE_CHOICE, true, 0, 0, NULL, "redact delete"},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_audit[] = {
    {"keep", SHAPE_DURATION, true, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_stage[] = {
    {"mode", SHAPE_CHOICE, true, 0, 0, NULL, "shadow canary enforce"},
    {"percent", SHAPE_INT, false, 1, 100, NULL, NULL},
    {"hold", SHAPE_DURATION, false, 0, 0, NULL, NULL},
    {"regions", SHAPE_NAMES, false, 1, DOM_REGIONS_MAX, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_abort[] = {
    {"new_deny_ratio", SHAPE_NUMBER, false, 0, 0, NULL, NULL},
    {"new_allow_ratio", SHAPE_NUMBER, false, 0, 0, NULL, NULL},
    {"eval_errors", SHAPE_INT, false, 0, INT32_MAX, NULL, NULL},
    {"min_requests", SHAPE_INT, false, 0, INT32_MAX, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_rollout[] = {
    {"stages", SHAPE_LIST, false, 1, DOM_ROLLOUT_STAGES_MAX, s_stage, NULL},
    {"approvals", SHAPE_INT, false, 1, 2, NULL, NULL},
    {"abort", SHAPE_GROUP, false, 0, 0, s_abort, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_sink[] = {
    {"country", SHAPE_STRING, true, 0, 0, NULL, NULL},
    {"kinds", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"classes", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"purposes", SHAPE_NAMES, false, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"basis", SHAPE_STRING, false, 0, 0, NULL, NULL},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

static const struct shape s_log_copy[] = {
    {"id", SHAPE_LABEL, true, 0, 0, NULL, NULL},
    {"regions", SHAPE_NAMES, true, 1, DOM_SHAPE_NAMES_MAX, NULL, NULL},
    {"sinks", SHAPE_NAMES, true, 1, DOM_SINKS_MAX, NULL, NULL},
    {"need", SHAPE_CHOICE, false, 0, 0, NULL, "all any"},
    DOM_SHAPE_NOTE,
    DOM_SHAPE_LAST,
};

#define SINKS_MAX 256
#define RETENTION_MAX 1024
static const struct shape s_root[] = {
    {"policy", SHAPE_GROUP, true, 0, 0, s_policy, NULL},
    {"defaults", SHAPE_GROUP, false, 0, 0, s_defaults, NULL},
    {"jurisdictions", SHAPE_MAP, true, 1, DOM_JURISDICTIONS_MAX, s_jurisdiction, NULL},
    {"groups", SHAPE_SETS, false, 0, DOM_GROUPS_MAX, NULL, NULL},
    {"regions", SHAPE_MAP, true, 1, DOM_REGIONS_MAX, s_region, NULL},
    {"data_classes", SHAPE_MAP, true, 1, DOM_CLASSES_MAX, s_class, NULL},
    {"purposes", SHAPE_MAP, true, 0, DOM_PURPOSES_MAX, s_purpose, NULL},
    {"services", SHAPE_MAP, true, 0, DOM_SERVICES_MAX, s_service, NULL},
    {"kinds", SHAPE_MAP, true, 1, DOM_KINDS_MAX, s_kind, NULL},
    {"bases", SHAPE_MAP, false, 0, DOM_BASES_MAX, s_basis, NULL},
    {"placement", SHAPE_LIST, true, 0, DOM_PLACEMENTS_MAX, s_placement, NULL},
    {"rules", SHAPE_LIST, false, 0, DOM_RULES_MAX, s_rule, NULL},
    {"retention", SHAPE_LIST, false, 0, RETENTION_MAX, s_retention, NULL},
    {"audit", SHAPE_GROUP, false, 0, 0, s_audit, NULL},
    {"rollout", SHAPE_GROUP, false, 0, 0, s_rollout, NULL},
    {"sinks", SHAPE_MAP, false, 0, SINKS_MAX, s_sink, NULL},
    {"log_copies", SHAPE_LIST, false, 0, DOM_SINK_CLAUSES_MAX, s_log_copy, NULL},
    DOM_SHAPE_LAST,
};

void dom_shape_check(const struct dom_node *root, struct dom_findings *findings)
{
    const struct dom_node *schema = dom_node_get(dom_node_get(root, "policy"), "schema");

    dom_shape_walk(root, s_root, findings);
    if (schema != NULL && (schema->type == DOM_NODE_INT || schema->type == DOM_NODE_INT64) &&
        schema->integer != 1) {
        dom_findings_add(findings, "P0104", schema->value_at, "policy.schema", "write schema = 1",
                         "schema %lld is not known to this version", (long long)schema->integer);
    }
}
