#include "router/core/redecide.h"

#include <stdio.h>

#include "router/rpc/spiffe.h"

#define WHAT_SIZE sizeof(((struct dom_redecision *)NULL)->what)
#define S(slice) (int)(slice).len, (slice).data == NULL ? "" : (const char *)(slice).data

const char *dom_redecide_outcome_name(enum dom_redecide_outcome outcome)
{
    static const char *const names[] = {"same", "differs", "other policy", "no decision", "unable"};

    return names[outcome];
}

struct dom_slice dom_decided_service(const struct dom_decided *said)
{
    static const char insecure[] = "insecure:";
    struct dom_slice id = said->actor_id;
    struct dom_spiffe_id spiffe;

    if (id.len > sizeof(insecure) - 1 && memcmp(id.data, insecure, sizeof(insecure) - 1) == 0) {
        return dom_slice_of(id.data + sizeof(insecure) - 1, id.len - (sizeof(insecure) - 1));
    }
    return dom_spiffe_parse(&spiffe, id) ? spiffe.service : id;
}

/* ---- the request ---- */

/* An update is a write to the policy. */
static bool op_of(struct dom_slice name, enum dom_policy_op *op)
{
    if (dom_slice_eq_str(name, "update")) {
        *op = DOM_OP_WRITE;
        return true;
    }
    return dom_policy_op_parse(name, op) && *op != DOM_OP_STORE;
}

static bool is_star(struct dom_slice name)
{
    return dom_slice_eq_str(name, "*");
}

/* The class of an entry's field by the policy; NONE for "*" of a class that is not known. */
static dom_policy_id class_of(const struct dom_policy *policy, dom_policy_id kind,
                              const struct dom_decided_field *field)
{
    dom_policy_id data_class = DOM_POLICY_NONE;

    if (is_star(field->name)) {
        return dom_policy_find_class(policy, field->data_class);
    }
    if (kind != DOM_POLICY_NONE) {
        (void)dom_policy_field_class(policy, kind, field->name, &data_class);
    }
    return data_class;
}

static bool classes_of(struct dom_replay *out, const struct dom_policy *policy,
                       const struct dom_decided *said, char *what)
{
    struct dom_decided_field field;
    struct dom_slice rest = said->fields;

    while (out->request.kind != DOM_POLICY_NONE && dom_decided_next_field(&rest, &field)) {
        dom_policy_id data_class = class_of(policy, out->request.kind, &field);
        if (data_class == DOM_POLICY_NONE) {
            (void)snprintf(what, WHAT_SIZE,
                           "fields: names no field, and the policy knows no class \"%.*s\"",
                           S(field.data_class));
            return false;
        }
        out->request.classes |= UINT64_C(1) << data_class;
    }
    return true;
}

/* Whether bytes move between jurisdictions, and which classes the serving region does not hold. */
static void route(struct dom_replay *out, const struct dom_policy *policy,
                  const struct dom_decided *said, dom_policy_id region)
{
    struct dom_policy_request *request = &out->request;
    dom_policy_id here =
        dom_policy_country_jurisdiction(policy, dom_policy_region_country(policy, region));

    request->crosses = request->caller == DOM_POLICY_NONE ||
                       here != dom_policy_country_jurisdiction(policy, request->caller);
    if (!dom_slice_eq_str(said->op, "read")) {
        return; /* a list tells nothing of what lies elsewhere, a write moves what it brings */
    }
    const struct dom_policy_placement *placement =
        dom_policy_place(policy, request->kind, request->home, request->time_ms);
    if (placement != NULL) {
        out->access.elsewhere =
            request->classes & ~dom_policy_placement_classes(placement, region);
    }
}

bool dom_replay_ask(struct dom_replay *out, const struct dom_policy *policy,
                    const struct dom_decided *said, int64_t time_ms, char *what)
{
    struct dom_policy_request *request = &out->request;

    memset(out, 0, sizeof(*out));
    if (time_ms <= 0) {
        (void)snprintf(what, WHAT_SIZE, "decision.time: missing");
        return false;
    }
    if (!op_of(said->op, &request->op)) {
        (void)snprintf(what, WHAT_SIZE, "op: \"%.*s\" is asked of no policy", S(said->op));
        return false;
    }
    dom_policy_id region = dom_policy_find_region(policy, said->record_region);
    if (region == DOM_POLICY_NONE) {
        (void)snprintf(what, WHAT_SIZE, "record.region: the policy knows no region \"%.*s\"",
                       S(said->record_region));
        return false;
    }
    request->service = dom_policy_find_service(policy, dom_decided_service(said));
    request->purpose = said->purpose.len == 0 ? DOM_POLICY_NONE
                                              : dom_policy_find_purpose(policy, said->purpose);
    request->kind = dom_policy_find_kind(policy, said->kind);
    request->home = dom_policy_find_country(policy, said->home);
    request->caller = dom_policy_find_country(policy, said->actor_country);
    request->time_ms = time_ms;
    if (!classes_of(out, policy, said, what)) {
        return false;
    }
    route(out, policy, said, region);
    dom_policy_decide(policy, request, &out->access.decision);
    out->access.request = *request;
    out->access.served = DOM_STORE_NO_REGION;
    return true;
}

/* ---- the comparison ---- */

static bool same_text(char *what, const char *member, struct dom_slice said, const char *now)
{
    if (dom_decided_text_is(said, now)) {
        return true;
    }
    (void)snprintf(what, WHAT_SIZE, "%s: the entry says \"%.*s\", the policy \"%s\"", member, S(said),
                   now);
    return false;
}

static bool says(const struct dom_decided *said, enum dom_code reason)
{
    return dom_slice_eq_str(said->effect, "deny") &&
           dom_slice_eq_str(said->reason, dom_code_reason(reason));
}

/* Takes over what was decided beside the policy, and so is not to be had from it: a limit that was
 * used up (only where the policy permits under one), a freeze or a stale timestamp (dom_snapshot_
 * closed: only what crosses, and then no rule was asked). */
static void take_beside(const struct dom_decided *said, struct dom_access *access)
{
    struct dom_policy_decision *decision = &access->decision;
    enum dom_code closed = says(said, DOM_FROZEN)           ? DOM_FROZEN
                           : says(said, DOM_POLICY_EXPIRED) ? DOM_POLICY_EXPIRED
                                                            : DOM_OK;

    if (says(said, DOM_LIMIT_REACHED) && decision->effect != DOM_EFFECT_DENY &&
        decision->cell != NULL && decision->cell->num_limits > 0) {
        dom_access_refuse(access, DOM_LIMIT_REACHED);
    } else if (closed != DOM_OK && access->request.crosses) {
        decision->cell = NULL;
        dom_access_refuse(access, closed);
    }
}

static bool same_verdict(char *what, const struct dom_decided *said,
                         const struct dom_access *access)
{
    const struct dom_policy_decision *decision = &access->decision;
    bool crossed = said->to.len > 0;

    if (crossed != access->request.crosses) {
        (void)snprintf(what, WHAT_SIZE, "transfer: the entry %s a border, the policy %s",
                       crossed ? "crosses" : "does not cross",
                       access->request.crosses ? "does" : "does not");
        return false;
    }
    return same_text(what, "decision.effect", said->effect,
                     dom_policy_effect_name(decision->effect)) &&
           same_text(what, "decision.reason", said->reason,
                     decision->effect == DOM_EFFECT_DENY ? dom_code_reason(decision->reason)
                                                         : "PERMIT");
}

static bool same_rules(char *what, const struct dom_policy *policy,
                       const struct dom_decided *said, const struct dom_access *access)
{
    dom_policy_id ids[DOM_CLASSES_MAX];
    struct dom_slice rest = said->rules;
    struct dom_slice name;
    size_t num = dom_access_rules(access, ids);
    size_t i = 0;

    while (dom_decided_next_text(&rest, &name)) {
        if (!same_text(what, "decision.rules", name,
                       i < num ? dom_policy_rule_name(policy, ids[i]) : "")) {
            return false;
        }
        i++;
    }
    return i == num || same_text(what, "decision.rules", dom_slice_of(NULL, 0),
                                 dom_policy_rule_name(policy, ids[i]));
}

static bool same_basis(char *what, const struct dom_policy *policy,
                       const struct dom_decided *said, const struct dom_access *access)
{
    dom_policy_id basis = dom_access_basis(access, policy);

    return same_text(what, "basis.mech", said->basis_mech,
                     dom_policy_basis_mechanism(policy, basis)) &&
           same_text(what, "basis.ref", said->basis_ref, dom_policy_basis_ref(policy, basis)) &&
           same_text(what, "basis.assessment", said->basis_assessment,
                     dom_policy_basis_assessment(policy, basis));
}

static bool same_fields(char *what, const struct dom_policy *policy,
                        const struct dom_decided *said, const struct dom_access *access)
{
    struct dom_decided_field field;
    struct dom_slice rest = said->fields;
    char member[96];

    while (dom_decided_next_field(&rest, &field)) {
        dom_policy_id data_class = class_of(policy, access->request.kind, &field);
        if (data_class == DOM_POLICY_NONE) {
            (void)snprintf(what, WHAT_SIZE, "record.kind: the policy knows no kind \"%.*s\"",
                           S(said->kind));
            return false;
        }
        (void)snprintf(member, sizeof(member), "fields[%.*s]", S(field.name));
        if (!same_text(what, member, field.data_class, dom_policy_class_name(policy, data_class)) ||
            !same_text(what, member, field.handling,
                       dom_handling_name(dom_access_handling(access, data_class)))) {
            return false;
        }
    }
    return true;
}

static bool same(char *what, const struct dom_policy *policy, const struct dom_decided *said,
                 struct dom_access *access)
{
    take_beside(said, access);
    return same_verdict(what, said, access) && same_rules(what, policy, said, access) &&
           same_basis(what, policy, said, access) && same_fields(what, policy, said, access);
}

void dom_redecide(struct dom_redecision *out, const struct dom_policy *policy,
                  struct dom_slice entry)
{
    struct dom_error err = {0};
    struct dom_replay replay;

    memset(out, 0, sizeof(*out));
    out->outcome = DOM_REDECIDE_UNABLE;
    if (dom_decided_read(&out->said, entry, &err) != DOM_OK) {
        (void)snprintf(out->what, sizeof(out->what), "%s", err.message);
        return;
    }
    if (!dom_decided_is_decision(&out->said)) {
        out->outcome = DOM_REDECIDE_NO_DECISION;
        return;
    }
    if (!dom_slice_eq_str(out->said.policy_sha256, dom_policy_info(policy)->sha256_hex)) {
        out->outcome = DOM_REDECIDE_OTHER_POLICY;
        (void)snprintf(out->what, sizeof(out->what),
                       "policy.sha256: decided by %.*s version %lld, %.*s", S(out->said.policy_name),
                       (long long)out->said.policy_version, S(out->said.policy_sha256));
        return;
    }
    if (!dom_replay_ask(&replay, policy, &out->said, out->said.decision_time_ms, out->what)) {
        return;
    }
    bool ok = same(out->what, policy, &out->said, &replay.access);
    out->outcome = ok ? DOM_REDECIDE_SAME : DOM_REDECIDE_DIFFERS;
    out->request = replay.request;
    out->decision = replay.access.decision;
}
