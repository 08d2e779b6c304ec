#include "router/core/trail.h"

#include "base/assert.h"
#include "store/audit/event.h"

/* Everything that must stay in place while the event is encoded. */
struct draft {
    struct dom_audit_event event;
    struct dom_audit_field fields[DOM_FIELDS_MAX];
    struct dom_audit_replica replicas[DOM_REGIONS_MAX];
    struct dom_slice rules[DOM_CLASSES_MAX];
    struct dom_slice shadow_rules[DOM_CLASSES_MAX];
};

static struct dom_slice str(const char *text)
{
    return dom_slice_str(text);
}

static void fill_actor(struct dom_audit_event *event, const struct dom_access *access)
{
    const struct dom_policy *policy = access->snapshot->policy;

    event->actor.type = DOM_SLICE_LIT("service");
    event->actor.id = access->caller->subject;
    event->actor.region = access->caller->region_name;
    event->actor.country = str(dom_policy_country_name(policy, access->caller->country));
    event->actor.cert_serial = access->caller->cert_serial;
    event->actor.cert_key = access->caller->cert_key;
    event->claim.region = access->caller->claimed_region;
    event->claim.service = access->caller->claimed_service;
    event->purpose = str(dom_policy_purpose_name(policy, access->request.purpose));
}

static void fill_decision(struct draft *draft, const struct dom_trail *trail,
                          const struct dom_access *access)
{
    struct dom_audit_event *event = &draft->event;
    const struct dom_policy *policy = access->snapshot->policy;
    const struct dom_policy_info *info = dom_policy_info(policy);
    dom_policy_id ids[DOM_CLASSES_MAX];

    size_t num_rules = dom_access_rules(access, ids);
    for (size_t i = 0; i < num_rules; i++) {
        draft->rules[i] = str(dom_policy_rule_name(policy, ids[i]));
    }
    event->decision.effect = str(dom_policy_effect_name(access->decision.effect));
    bool on_trial =
        access->snapshot->trial != NULL && access->snapshot->trial->is_candidate;
    event->decision.mode = on_trial ? DOM_SLICE_LIT("canary") : DOM_SLICE_LIT("enforce");
    event->decision.reason = access->decision.effect == DOM_EFFECT_DENY
                                 ? str(dom_code_reason(access->decision.reason))
                                 : DOM_SLICE_LIT("PERMIT");
    event->decision.rules = draft->rules;
    event->decision.num_rules = num_rules;
    event->decision.time_ms = access->request.time_ms;
    event->policy.name = str(info->name);
    event->policy.version = info->version;
    event->policy.sha256 = str(info->sha256_hex);
    event->policy.index = trail->policy_index;
    dom_policy_id basis = dom_access_basis(access, policy);
    event->basis.mech = str(dom_policy_basis_mechanism(policy, basis));
    event->basis.ref = str(dom_policy_basis_ref(policy, basis));
    event->basis.assessment = str(dom_policy_basis_assessment(policy, basis));
}

/* What the other policy of a roll-out would have said, where that is something else. */
static void fill_shadow(struct draft *draft, const struct dom_access *access)
{
    const struct dom_trial *trial = access->snapshot->trial;
    struct dom_audit_shadow *shadow = &draft->event.shadow;
    struct dom_trial_verdict verdict;
    struct dom_access other = {0};
    dom_policy_id ids[DOM_CLASSES_MAX];

    if (!dom_access_compare(access, &verdict) || !verdict.disagrees) {
        return;
    }
    other.request = verdict.request;
    other.decision = verdict.decision;
    size_t num_rules = dom_access_rules(&other, ids);
    for (size_t i = 0; i < num_rules; i++) {
        draft->shadow_rules[i] = str(dom_policy_rule_name(trial->other, ids[i]));
    }
    shadow->effect = str(dom_policy_effect_name(verdict.decision.effect));
    shadow->reason = verdict.decision.effect == DOM_EFFECT_DENY
                         ? str(dom_code_reason(verdict.decision.reason))
                         : DOM_SLICE_LIT("PERMIT");
    shadow->rules = draft->shadow_rules;
    shadow->num_rules = num_rules;
    shadow->version = dom_policy_info(trial->other)->version;
}

/* Reads move bytes from the serving region to the caller, writes the other way. */
static void fill_transfer(struct draft *draft, const struct dom_trail *trail,
                          const struct dom_access *access)
{
    const struct dom_snapshot *snapshot = access->snapshot;
    const struct dom_policy *policy = snapshot->policy;
    struct dom_audit_transfer *transfer = &draft->event.transfer;
    dom_policy_id served = snapshot->policy_of[access->served];
    struct dom_slice here = str(dom_policy_region_name(policy, served));
    struct dom_slice here_country =
        str(dom_policy_country_name(policy, dom_policy_region_country(policy, served)));
    struct dom_slice there = access->caller->region_name;
    struct dom_slice there_country =
        str(dom_policy_country_name(policy, access->caller->country));
    bool inward = access->request.op == DOM_OP_WRITE || access->request.op == DOM_OP_DELETE;

    struct dom_slice wire = access->caller->cert_serial.len > 0 ? DOM_SLICE_LIT("grpc+tls1.3")
                                                               : DOM_SLICE_LIT("grpc");
    transfer->method = access->request.crosses ? wire : DOM_SLICE_LIT("replication");
    if (access->request.crosses) {
        transfer->from = inward ? there_country : here_country;
        transfer->from_region = inward ? there : here;
        transfer->to = inward ? here_country : there_country;
        transfer->to_region = inward ? here : there;
    } else {
        transfer->from = here_country;
        transfer->from_region = here;
    }
    size_t num = 0;
    for (dom_store_set left = trail->replicas_abroad; left != 0; left &= left - 1) {
        dom_policy_id region = snapshot->policy_of[__builtin_ctzll(left)];
        DOM_ASSERT(region != DOM_POLICY_NONE);
        draft->replicas[num].region = str(dom_policy_region_name(policy, region));
        draft->replicas[num].to =
            str(dom_policy_country_name(policy, dom_policy_region_country(policy, region)));
        num++;
    }
    transfer->replicas = draft->replicas;
    transfer->num_replicas = num;
}

static void fill_fields(struct draft *draft, const struct dom_access *access,
                        const struct dom_slice *fields, size_t num_fields)
{
    const struct dom_policy *policy = access->snapshot->policy;

    DOM_ASSERT(num_fields <= DOM_FIELDS_MAX);
    for (size_t i = 0; i < num_fields; i++) {
        dom_policy_id data_class =
            dom_access_field_class(access->snapshot, access->request.kind, fields[i]);
        draft->fields[i].name = fields[i];
        draft->fields[i].data_class = str(dom_policy_class_name(policy, data_class));
        draft->fields[i].handling = str(dom_handling_name(dom_access_handling(access, data_class)));
    }
    draft->event.fields = draft->fields;
    draft->event.num_fields = num_fields;
}

static void fill_classes(struct draft *draft, const struct dom_access *access)
{
    const struct dom_policy *policy = access->snapshot->policy;
    size_t num = 0;

    for (dom_policy_set left = access->request.classes; left != 0; left &= left - 1) {
        dom_policy_id data_class = (dom_policy_id)__builtin_ctzll(left);
        draft->fields[num].name = DOM_SLICE_LIT("*");
        draft->fields[num].data_class = str(dom_policy_class_name(policy, data_class));
        draft->fields[num].handling =
            str(dom_handling_name(dom_access_handling(access, data_class)));
        num++;
    }
    draft->event.fields = draft->fields;
    draft->event.num_fields = num;
}

static void fill_record(struct dom_audit_event *event, const struct dom_trail *trail,
                        const struct dom_access *access)
{
    const struct dom_policy *policy = access->snapshot->policy;
    const struct dom_policy_request *request = &access->request;

    event->record.kind = str(dom_policy_kind_name(policy, request->kind));
    event->record.home = str(dom_policy_country_name(policy, request->home));
    event->record.jurisdiction = str(
        dom_policy_jurisdiction_name(policy, dom_policy_country_jurisdiction(policy, request->home)));
    event->record.id = trail->subject_hash;
    event->record.region =
        str(dom_policy_region_name(policy, access->snapshot->policy_of[access->served]));
    event->record.bytes = (int64_t)trail->bytes;
    event->record.count = (int64_t)trail->count;
}

enum dom_code dom_trail_encode(struct dom_buffer *out, const struct dom_trail *trail,
                               const struct dom_access *access, const struct dom_slice *fields,
                               size_t num_fields, struct dom_error *err)
{
    struct draft draft;
    bool denied = access->decision.effect == DOM_EFFECT_DENY;

    DOM_ASSERT(access->served != DOM_STORE_NO_REGION);
    DOM_ASSERT(access->snapshot->policy_of[access->served] != DOM_POLICY_NONE);
    memset(&draft.event, 0, sizeof(draft.event));
    memset(draft.replicas, 0, sizeof(draft.replicas));
    draft.event.type = denied ? DOM_AUDIT_DENY : DOM_AUDIT_ACCESS;
    dom_audit_uuid7(draft.event.id, trail->time_ms, trail->random);
    memcpy(draft.event.nonce, trail->random + 10, DOM_NONCE_SIZE);
    draft.event.time_ms = trail->time_ms;
    draft.event.origin = str(trail->origin);
    draft.event.op = str(trail->op);
    draft.event.trace = trail->trace;
    draft.event.router.build = str(trail->build);
    draft.event.router.instance = str(trail->instance);
    draft.event.result.present = true;
    draft.event.result.code =
        denied ? dom_code_grpc_status(access->decision.reason) : dom_code_grpc_status(DOM_OK);
    draft.event.result.us = (int64_t)trail->us;
    fill_actor(&draft.event, access);
    fill_decision(&draft, trail, access);
    fill_shadow(&draft, access);
    fill_record(&draft.event, trail, access);
    draft.event.router.region = draft.event.record.region;
    fill_transfer(&draft, trail, access);
    if (num_fields > 0) {
        fill_fields(&draft, access, fields, num_fields);
    } else {
        fill_classes(&draft, access); /* the classes are an input of the decision: always told */
    }
    enum dom_code rc = dom_audit_event_encode(&draft.event, out, err);
    if (rc == DOM_TOO_LARGE) {
        fill_classes(&draft, access);
        rc = dom_audit_event_encode(&draft.event, out, err);
    }
    return rc;
}
