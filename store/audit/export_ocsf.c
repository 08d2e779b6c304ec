/* Exports as OCSF 1.8 events: 6005 Datastore Activity, 3004 Entity Management, 1008 Event Log
 * Activity. Each has every attribute that its class requires (a test goes through the list). */
#include <stdio.h>

#include "base/encode.h"
#include "store/audit/export_format.h"
#include "store/audit/export_json_internal.h"

#define OCSF_VERSION "1.8.0"

/* The class is category * 1000 + number in it; the type is class * 100 + activity. */
enum ocsf_class {
    OCSF_EVENT_LOG = 1008,
    OCSF_ENTITY = 3004,
    OCSF_DATASTORE = 6005,
};

enum { ACTIVITY_OTHER = 99 };

struct ocsf_kind {
    enum ocsf_class class_uid;
    int activity_id;
    const char *class_name;
    const char *activity_name;
};

struct ocsf_word {
    const char *word;
    int activity_id;
    const char *activity_name;
};

/* The first word that `text` equals; else the activity "Other". */
static void pick(struct ocsf_kind *kind, struct dom_slice text, const struct ocsf_word *words,
                 size_t num_words)
{
    kind->activity_id = ACTIVITY_OTHER;
    kind->activity_name = "Other";
    for (size_t i = 0; i < num_words; i++) {
        if (dom_slice_eq_str(text, words[i].word)) {
            kind->activity_id = words[i].activity_id;
            kind->activity_name = words[i].activity_name;
            return;
        }
    }
}

static struct dom_slice detail(const struct dom_audit_event *e, const char *name)
{
    for (size_t i = 0; i < e->num_details; i++) {
        if (dom_slice_eq_str(e->details[i].name, name)) {
            return e->details[i].text;
        }
    }
    return dom_slice_of(NULL, 0);
}

static struct ocsf_kind kind_of(const struct dom_audit_event *e)
{
    static const struct ocsf_word s_ops[] = {
        {"read", 1, "Read"},   {"update", 2, "Update"}, {"query", 4, "Query"},
        {"write", 5, "Write"}, {"delete", 7, "Delete"}, {"list", 8, "List"},
    };
    static const struct ocsf_word s_keys[] = {
        {"made", 1, "Create"},    {"created", 1, "Create"}, {"rotated", 3, "Update"},
        {"retired", 9, "Disable"}, {"destroyed", 4, "Delete"},
    };
    static const struct ocsf_word s_states[] = {
        {"start", 6, "Start"}, {"started", 6, "Start"}, {"open", 6, "Start"},
        {"stop", 7, "Stop"},   {"stopped", 7, "Stop"},  {"closed", 7, "Stop"},
    };
    struct ocsf_kind kind = {.class_uid = OCSF_DATASTORE, .class_name = "Datastore Activity"};

    switch (e->type) {
        case DOM_AUDIT_ACCESS:
        case DOM_AUDIT_DENY:
            pick(&kind, e->op, s_ops, DOM_ARRAY_LEN(s_ops));
            return kind;
        case DOM_AUDIT_ERASURE:
        case DOM_AUDIT_PURGE:
            kind.activity_id = 7;
            kind.activity_name = "Delete";
            return kind;
        case DOM_AUDIT_PLACEMENT:
            kind.activity_id = 5;
            kind.activity_name = "Write";
            return kind;
        case DOM_AUDIT_POLICY:
            return (struct ocsf_kind){OCSF_ENTITY, 10, "Entity Management", "Activate"};
        case DOM_AUDIT_ROLLOUT:
            return (struct ocsf_kind){OCSF_ENTITY, 3, "Entity Management", "Update"};
        case DOM_AUDIT_KEY:
            kind.class_uid = OCSF_ENTITY;
            kind.class_name = "Entity Management";
            pick(&kind, detail(e, "action"), s_keys, DOM_ARRAY_LEN(s_keys));
            return kind;
        case DOM_AUDIT_EXPORT:
            return (struct ocsf_kind){OCSF_EVENT_LOG, 3, "Event Log Activity", "Export"};
        case DOM_AUDIT_MIRROR:
            return (struct ocsf_kind){OCSF_EVENT_LOG, ACTIVITY_OTHER, "Event Log Activity",
                                      "Other"};
        case DOM_AUDIT_GENESIS:
            return (struct ocsf_kind){OCSF_EVENT_LOG, 6, "Event Log Activity", "Start"};
        case DOM_AUDIT_HOLD: /* of the log: Other */
        case DOM_AUDIT_SINK:
            kind.class_uid = OCSF_EVENT_LOG;
            kind.class_name = "Event Log Activity";
            pick(&kind, detail(e, "state"), s_states, DOM_ARRAY_LEN(s_states));
            return kind;
    }
    return kind;
}

/* The first member of a row, so that its sequence is found at once. */
static void put_metadata(struct dom_json *json, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    char id[DOM_UUID_TEXT_SIZE];

    dom_audit_uuid_format(id, e->id);
    dom_json_open(json, "metadata");
    dom_json_integer(json, "sequence", (int64_t)row->index);
    dom_json_str(json, "version", OCSF_VERSION);
    dom_json_open(json, "product");
    dom_json_str(json, "name", "Domicile");
    dom_json_str(json, "vendor_name", "Domicile");
    dom_json_text(json, "version", e->router.build);
    dom_json_close(json);
    dom_json_list(json, "profiles");
    dom_json_str(json, NULL, "security_control");
    dom_json_str(json, NULL, "data_classification");
    dom_json_list_end(json);
    dom_json_str(json, "uid", id);
    dom_json_text(json, "correlation_uid", e->trace);
    dom_json_text(json, "log_name", e->origin);
    dom_json_str(json, "log_provider", "domicile");
    dom_json_str(json, "event_code", dom_audit_type_name(e->type));
    dom_json_close(json);
}

static void put_classification(struct dom_json *json, const struct ocsf_kind *kind)
{
    char type_name[64];
    int category = (int)kind->class_uid / 1000;

    (void)snprintf(type_name, sizeof(type_name), "%s: %s", kind->class_name, kind->activity_name);
    dom_json_integer(json, "category_uid", category);
    dom_json_str(json, "category_name",
                 category == 6   ? "Application Activity"
                 : category == 3 ? "Identity & Access Management"
                                 : "System Activity");
    dom_json_integer(json, "class_uid", (int64_t)kind->class_uid);
    dom_json_str(json, "class_name", kind->class_name);
    dom_json_integer(json, "activity_id", kind->activity_id);
    dom_json_str(json, "activity_name", kind->activity_name);
    dom_json_integer(json, "type_uid", (int64_t)kind->class_uid * 100 + kind->activity_id);
    dom_json_str(json, "type_name", type_name);
}

/* Its constraint: at least one of user, app_name, app_uid. What nobody asked for, the router did;
 * whoever asked without proof is told as unknown. */
static void put_actor(struct dom_json *json, const struct dom_audit_event *e)
{
    struct dom_slice operator = detail(e, "operator");
    bool asked = e->type == DOM_AUDIT_ACCESS || e->type == DOM_AUDIT_DENY;

    dom_json_open(json, "actor");
    if (e->actor.id.len > 0) {
        dom_json_text(json, "app_uid", e->actor.id);
        dom_json_text(json, "app_name", e->actor.entity);
    } else {
        dom_json_str(json, "app_name", asked ? "unknown" : "domicile");
        dom_json_text(json, "app_uid", asked ? dom_slice_of(NULL, 0) : operator);
    }
    if (e->actor.user.len > 0) {
        dom_json_open(json, "user");
        dom_json_text(json, "uid", e->actor.user);
        dom_json_close(json);
    }
    dom_json_close(json);
}

/* `name` and `country` may be empty; the constraint wants one name. */
static void put_endpoint(struct dom_json *json, const char *member, struct dom_slice svc_name,
                         struct dom_slice name, struct dom_slice country)
{
    dom_json_open(json, member);
    dom_json_text(json, "svc_name", svc_name);
    dom_json_text(json, "name", name);
    if (svc_name.len == 0 && name.len == 0) {
        dom_json_str(json, "name", "unknown");
    }
    if (dom_is_country(country)) {
        dom_json_open(json, "location");
        dom_json_text(json, "country", country);
        dom_json_close(json);
    }
    dom_json_close(json);
}

/* OCSF's source is the requester, whichever way the bytes go; unmapped.transfer has their way. */
static void put_endpoints(struct dom_json *json, const struct dom_audit_event *e)
{
    if (e->actor.id.len > 0) {
        put_endpoint(json, "src_endpoint", e->actor.id, e->actor.region, e->actor.country);
    } else if (e->type == DOM_AUDIT_ACCESS || e->type == DOM_AUDIT_DENY) {
        put_endpoint(json, "src_endpoint", dom_slice_of(NULL, 0), e->actor.region,
                     e->actor.country);
    } else {
        put_endpoint(json, "src_endpoint", DOM_SLICE_LIT("domicile"), e->router.instance,
                     dom_slice_of(NULL, 0));
    }
    if (e->record.region.len > 0) {
        put_endpoint(json, "dst_endpoint", DOM_SLICE_LIT("domicile"), e->record.region,
                     dom_is_reading(e) ? e->transfer.from : e->transfer.to);
    }
}

/* OCSF's categories of data; classes of a policy have names of its own. */
static void put_category(struct dom_json *json, struct dom_slice data_class)
{
    static const struct {
        const char *name;
        int category_id;
        const char *category;
    } s_known[] = {
        {"personal", 1, "Personal"},    {"identifier", 1, "Personal"},
        {"contact", 1, "Personal"},     {"content", 1, "Personal"},
        {"profile", 1, "Personal"},     {"biometric", 1, "Personal"},
        {"health", 1, "Personal"},      {"location", 1, "Personal"},
        {"minor", 1, "Personal"},       {"government_id", 2, "Governmental"},
        {"financial", 3, "Financial"},  {"payment", 3, "Financial"},
        {"business", 4, "Business"},    {"network", 6, "Security"},
        {"credential", 6, "Security"},  {"secret", 6, "Security"},
        {"security", 6, "Security"},
    };

    dom_json_open(json, NULL);
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_known); i++) {
        if (dom_slice_eq_str(data_class, s_known[i].name)) {
            dom_json_integer(json, "category_id", s_known[i].category_id);
            dom_json_str(json, "category", s_known[i].category);
            dom_json_close(json);
            return;
        }
    }
    dom_json_integer(json, "category_id", 99);
    dom_json_text(json, "category", data_class);
    dom_json_close(json);
}

static void put_classes(struct dom_json *json, const struct dom_audit_event *e)
{
    if (e->num_fields == 0) {
        return;
    }
    dom_json_list(json, "data_classifications");
    for (size_t i = 0; i < e->num_fields; i++) {
        bool again = false;
        for (size_t j = 0; j < i && !again; j++) {
            again = dom_slice_eq(e->fields[j].data_class, e->fields[i].data_class);
        }
        if (!again) {
            put_category(json, e->fields[i].data_class);
        }
    }
    dom_json_list_end(json);
}

/* The constraint wants one of database, databucket and table: the database is always there. */
static void put_datastore(struct dom_json *json, const struct dom_audit_event *e)
{
    struct dom_slice region = e->record.region.len > 0 ? e->record.region : e->router.region;

    dom_json_open(json, "database");
    dom_json_text(json, "name", region.len > 0 ? region : e->origin);
    dom_json_integer(json, "type_id", 6);
    dom_json_str(json, "type", "NoSQL");
    put_classes(json, e);
    dom_json_close(json);
    if (e->record.kind.len > 0) {
        dom_json_open(json, "table");
        dom_json_text(json, "name", e->record.kind);
        dom_json_close(json);
        dom_json_integer(json, "type_id", 3);
    }
}

static void put_entity(struct dom_json *json, const struct dom_audit_event *e)
{
    char version[24];

    dom_json_open(json, "entity");
    if (e->type == DOM_AUDIT_KEY) {
        dom_json_str(json, "type", "key");
        struct dom_slice name = detail(e, "key");
        dom_json_text(json, "name", name.len > 0 ? name : DOM_SLICE_LIT("key"));
        dom_json_text(json, "uid", detail(e, "id"));
    } else {
        dom_json_str(json, "type", "policy");
        dom_json_text(json, "name", e->policy.name);
        dom_json_text(json, "uid", e->policy.sha256);
        (void)snprintf(version, sizeof(version), "%lld", (long long)e->policy.version);
        dom_json_str(json, "version", version);
    }
    dom_json_close(json);
}

static void put_authorizations(struct dom_json *json, const struct dom_audit_event *e)
{
    if (e->decision.num_rules == 0) {
        return;
    }
    dom_json_list(json, "authorizations");
    for (size_t i = 0; i < e->decision.num_rules; i++) {
        dom_json_open(json, NULL);
        dom_json_text(json, "decision", e->decision.effect);
        dom_json_open(json, "policy");
        dom_json_text(json, "name", e->decision.rules[i]);
        dom_json_text(json, "uid", e->policy.sha256);
        dom_json_close(json);
        dom_json_close(json);
    }
    dom_json_list_end(json);
}

/* The profile security_control: what was decided, by which rules, under which policy. */
static void put_control(struct dom_json *json, const struct dom_audit_event *e)
{
    bool denied = dom_slice_eq_str(e->decision.effect, "deny");
    bool modified = dom_slice_eq_str(e->decision.effect, "modify");
    char version[24];

    if (e->decision.effect.len > 0) {
        dom_json_integer(json, "action_id", denied ? 2 : modified ? 4 : 1);
        dom_json_str(json, "action", denied ? "Denied" : modified ? "Modified" : "Allowed");
        dom_json_integer(json, "disposition_id", denied ? 2 : modified ? 7 : 1);
        dom_json_str(json, "disposition",
                     denied     ? "Blocked"
                     : modified ? "Custom Action"
                                : "Allowed");
        dom_json_text(json, "status_detail", e->decision.reason);
    }
    put_authorizations(json, e);
    if (e->policy.name.len > 0) {
        (void)snprintf(version, sizeof(version), "%lld", (long long)e->policy.version);
        dom_json_open(json, "policy");
        dom_json_text(json, "name", e->policy.name);
        dom_json_text(json, "uid", e->policy.sha256);
        dom_json_str(json, "version", version);
        dom_json_close(json);
    }
}

static void put_status(struct dom_json *json, const struct dom_audit_event *e)
{
    bool failed = dom_slice_eq_str(e->decision.effect, "deny") ||
                  (e->result.present && e->result.code != 0);
    char code[24];

    dom_json_integer(json, "severity_id", e->type == DOM_AUDIT_DENY ? 3 : 1);
    dom_json_str(json, "severity", e->type == DOM_AUDIT_DENY ? "Medium" : "Informational");
    dom_json_integer(json, "status_id", failed ? 2 : 1);
    dom_json_str(json, "status", failed ? "Failure" : "Success");
    if (e->result.present) {
        (void)snprintf(code, sizeof(code), "%lld", (long long)e->result.code);
        dom_json_str(json, "status_code", code);
    }
}

static void ocsf_row(struct dom_buffer *out, const struct dom_export_row *row)
{
    const struct dom_audit_event *e = row->event;
    struct dom_json json = {.out = out};
    struct ocsf_kind kind = kind_of(e);
    char hex[2 * DOM_HASH_SIZE + 1];

    dom_hex_encode(hex, dom_hash_slice(&row->leaf));
    dom_json_open(&json, NULL);
    put_metadata(&json, row);
    put_classification(&json, &kind);
    dom_json_integer(&json, "time", e->time_ms);
    put_status(&json, e);
    put_actor(&json, e);
    put_endpoints(&json, e);
    switch (kind.class_uid) {
        case OCSF_DATASTORE:
            put_datastore(&json, e);
            break;
        case OCSF_ENTITY:
            put_entity(&json, e);
            break;
        case OCSF_EVENT_LOG:
            dom_json_text(&json, "log_name", e->origin);
            break;
    }
    put_control(&json, e);
    dom_json_open(&json, "unmapped");
    dom_json_str(&json, "leaf_hash", hex);
    dom_json_rest(&json, e);
    dom_json_close(&json);
    dom_json_close(&json);
    dom_buffer_append_char(out, '\n');
}

const struct dom_export_format dom_export_format_ocsf = {
    .name = "ocsf",
    .wants_event = true,
    .index_mark = "\"sequence\":",
    .row = ocsf_row,
};
