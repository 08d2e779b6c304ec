#include "router/service/read.h"

#include "base/assert.h"
#include "base/encode.h"
#include "router/core/wire.h"

static const char s_on_its_way[] = "the record is on its way to another home region; try again";

/* ---- the route ---- */

/* The facts about one key while its route is planned. */
struct plan {
    const struct dom_read *read;
    const struct dom_turn *turn;
    const struct dom_snapshot *snapshot;
    const struct dom_key *key;
    struct dom_mask mask;
    struct dom_store_row row;
    dom_store_region region;                      /* that `row` comes from */
    dom_policy_id home;
    const struct dom_policy_placement *placement;
    dom_store_region lead;                        /* where the record's writes commit */
    struct dom_read_result *result;
};

static void fail(struct plan *plan, enum dom_code code, const char *why)
{
    plan->result->code = code;
    (void)dom_refuse(&plan->result->refusal, code, NULL, "%s", why);
}

static void fail_error(struct plan *plan, const struct dom_error *err)
{
    plan->result->code = err->code;
    plan->result->refusal.error = *err;
    plan->result->refusal.path = NULL;
}

static void decide(struct plan *plan, dom_policy_set classes, dom_store_region served)
{
    bool crosses = dom_snapshot_jurisdiction(plan->snapshot, served) !=
                   plan->turn->caller.jurisdiction;

    dom_access_decide(&plan->result->access, plan->snapshot, &plan->turn->caller, DOM_OP_READ,
                      plan->key->kind, plan->home, plan->read->purpose, classes, served, crosses,
                      plan->turn->now_ms);
}

/* The names that the entry and the answer are about: what the mask wants of the row. */
static size_t wanted_names(const struct plan *plan, struct dom_slice *names, uint64_t *bytes)
{
    size_t num = 0;

    *bytes = 0;
    for (size_t i = 0; i < plan->row.num_fields && num < DOM_FIELDS_MAX; i++) {
        const struct dom_store_field *field = &plan->row.fields[i];
        if (!dom_mask_has(&plan->mask, field->name)) {
            continue;
        }
        names[num++] = field->name;
        dom_policy_id data_class =
            dom_access_field_class(plan->snapshot, plan->key->kind, field->name);
        enum dom_handling handling = dom_access_handling(&plan->result->access, data_class);
        if (handling == DOM_HANDLING_CLEAR || handling == DOM_HANDLING_PSEUDONYM) {
            *bytes += field->value.len;
        }
    }
    return num;
}

/* Makes result->entry for the access as decided. */
static bool make_entry(struct plan *plan, const struct dom_slice *names, size_t num_names,
                       uint64_t bytes, uint64_t count)
{
    struct dom_turn *turn = plan->read->turn;

    plan->result->entry_region = plan->result->access.served;
    enum dom_code rc = dom_turn_entry(turn, &plan->result->entry, &plan->result->access, "read",
                                      plan->key->kind_name, plan->key->id, names, num_names, bytes,
                                      count, 0);
    if (rc != DOM_OK) {
        plan->result->code = rc;
        plan->result->refusal = turn->refusal;
        return false;
    }
    return true;
}

/* The entry of an attempt that the border stopped. It names those fields that were decided about
 * and no others, so that deciding it again asks the same (promise P4); without names, classes. */
static bool note_attempt(struct plan *plan, dom_policy_set decided)
{
    struct dom_slice names[DOM_FIELDS_MAX];
    size_t num = 0;

    for (size_t i = 0; i < plan->mask.num_names; i++) {
        dom_policy_id data_class =
            dom_access_field_class(plan->snapshot, plan->key->kind, plan->mask.names[i]);
        if ((decided & (UINT64_C(1) << data_class)) != 0) {
            names[num++] = plan->mask.names[i];
        }
    }
    return make_entry(plan, names, num, 0, 0);
}

static void refuse_by_decision(struct plan *plan)
{
    struct dom_read_result *result = plan->result;
    const struct dom_policy *policy = plan->snapshot->policy;
    const char *purpose = dom_policy_purpose_name(policy, plan->read->purpose);

    (void)dom_refuse(&result->refusal, result->code, NULL,
                     "%s: reading %s at home in %s by service \"%.*s\" from region %.*s %s%s%s",
                     dom_code_text(result->code), dom_policy_kind_name(policy, plan->key->kind),
                     dom_policy_country_name(policy, plan->home),
                     (int)plan->turn->caller.service_name.len,
                     (const char *)plan->turn->caller.service_name.data,
                     (int)plan->turn->caller.region_name.len,
                     (const char *)plan->turn->caller.region_name.data,
                     purpose[0] == '\0' ? "without a purpose" : "for purpose \"", purpose,
                     purpose[0] == '\0' ? "" : "\"");
}

/* A service that may not ask at all is told so, whatever exists: in the words for a record of the
 * caller's own country, which say nothing of the record's home. */
static void tell_service(struct plan *plan)
{
    plan->home = plan->turn->caller.country;
    decide(plan, plan->mask.classes, plan->turn->caller.store_region);
    plan->result->access.request.crosses = false;
    plan->result->code = DOM_SERVICE_DENIED;
    plan->result->hidden = false;
    refuse_by_decision(plan);
}

/* Whether the service might ask this of a record of the caller's own country. Where it might, only
 * the border denied (no purpose given, for one), and that would tell that there is a record. */
static bool may_ask_at_home(const struct plan *plan)
{
    struct dom_access local;

    dom_access_decide(&local, plan->snapshot, &plan->turn->caller, DOM_OP_READ, plan->key->kind,
                      plan->turn->caller.country, plan->read->purpose, plan->mask.classes,
                      plan->turn->caller.store_region, false, plan->turn->now_ms);
    return local.decision.reason != DOM_SERVICE_DENIED;
}

/* Which of the classes that were asked for the record has, and where, is known only to those who
 * may read it. Where all of them would be denied, the denial is told as it would be of a record that
 * is not there (see absent); the entry says what was decided. */
static void tell_as_asked(struct plan *plan)
{
    struct dom_access decided = plan->result->access;

    decide(plan, plan->mask.classes, dom_turn_log_region(plan->turn, plan->placement));
    if (plan->result->access.decision.effect == DOM_EFFECT_DENY) {
        plan->result->code = plan->result->access.decision.reason;
    } else {
        plan->result->access = decided;
    }
}

/* The border stays closed: says so in the log of the region that would have given. */
static void deny(struct plan *plan)
{
    struct dom_read_result *result = plan->result;
    const struct dom_policy *policy = plan->snapshot->policy;

    result->code = result->access.decision.reason;
    DOM_ASSERT(result->code != DOM_OK);
    result->hidden = plan->key->home == DOM_POLICY_NONE &&
                     dom_policy_info(policy)->hide_existence;
    if (result->access.request.crosses && result->access.served != DOM_STORE_NO_REGION &&
        !note_attempt(plan, result->access.request.classes)) {
        return;
    }
    if (result->code != DOM_LIMIT_REACHED) {
        tell_as_asked(plan);
        refuse_by_decision(plan);
    }
    if (result->hidden && result->code == DOM_SERVICE_DENIED && !may_ask_at_home(plan)) {
        tell_service(plan); /* as of a record that is not there: neither says which */
    }
}

static bool pseudonym(void *context, const char *key_name, struct dom_slice value, char out[32])
{
    const struct plan *plan = context;

    return dom_store_pseudonym(plan->turn->router->session, plan->result->access.served, key_name,
                               value, out, NULL) == DOM_OK;
}

/* Writes the answer from plan->row by result->access. */
static void answer(struct plan *plan)
{
    struct dom_buffer *out = &plan->turn->router->scratch;
    struct dom_read_result *result = plan->result;
    size_t start = out->len;

    size_t at = dom_wire_begin(out, 1);
    dom_answer_record(out, &result->access, &plan->row, &plan->mask, pseudonym, plan);
    dom_wire_end(out, at);
    at = dom_wire_begin(out, 2);
    dom_answer_decision(out, &result->access, &plan->row, &plan->mask);
    dom_wire_end(out, at);
    char *copy = out->failed ? NULL
                             : dom_arena_dup(plan->turn->arena,
                                             dom_slice_of(out->data + start, out->len - start));
    if (copy == NULL) {
        fail(plan, DOM_RESOURCE, "the answer needs too much memory");
        return;
    }
    result->body = dom_slice_of(copy, out->len - start);
    result->code = DOM_OK;
    out->len = start;
}

static bool fresh_enough(const struct plan *plan)
{
    const struct dom_freshness *want = &plan->read->freshness;

    if (plan->row.version < want->at_least_version) {
        return false; /* at home too: a version that nobody has reached is nowhere */
    }
    if (plan->region == plan->lead) {
        return true;
    }
    if (want->strong) {
        return false;
    }
    return !want->bounded || dom_store_staleness_ms(plan->turn->router->store, plan->lead,
                                                    plan->region) <= want->max_staleness_ms;
}

struct dom_slice dom_row_subject(const struct dom_snapshot *snapshot, dom_policy_id kind,
                                 const struct dom_store_row *row)
{
    const char *field = dom_policy_kind_subject(snapshot->policy, kind);

    for (size_t i = 0; field[0] != '\0' && i < row->num_fields; i++) {
        struct dom_field_view view;
        if (dom_slice_eq_str(row->fields[i].name, field) &&
            dom_field_parse(row->fields[i].value, &view) && view.bytes.len > 0) {
            return view.bytes;
        }
    }
    return row->id;
}

/* Counts the access against the limits of the rules that let it pass. */
static bool within_limits(struct plan *plan)
{
    struct dom_read_result *result = plan->result;
    struct dom_turn *turn = plan->read->turn;
    struct dom_error err = {0};
    dom_policy_id rule = DOM_POLICY_NONE;
    char subject[64];
    char access_id[17];
    uint8_t random[8];

    if (result->access.decision.cell == NULL || result->access.decision.cell->num_limits == 0) {
        return true;
    }
    struct dom_slice who = dom_row_subject(plan->snapshot, plan->key->kind, &plan->row);
    /* A subject is one person whatever the kind of record that leads to them. */
    dom_store_subject_hash(turn->router->session, result->access.served,
                           DOM_SLICE_LIT("subject"), who, subject);
    dom_router_random(turn->router, random, sizeof(random));
    dom_hex_encode(access_id, dom_slice_of(random, sizeof(random)));
    enum dom_code rc = dom_limit_check(
        &turn->router->limits, turn->router->session, result->access.served, plan->snapshot->policy,
        result->access.decision.cell, dom_slice_str(subject), dom_slice_of(access_id, 16),
        turn->now_ms, turn->arena, result->limit_keys, &result->num_limit_keys, &rule, &err);
    if (rc == DOM_OK) {
        return true;
    }
    fail_error(plan, &err);
    if (rc == DOM_LIMIT_REACHED) {
        dom_access_refuse(&result->access, DOM_LIMIT_REACHED);
        deny(plan);
    }
    return false;
}

static void absent(struct plan *plan);

/* Takes the row from the lead. A replica that still has what the home has deleted is behind: the
 * record is gone. False: the key is answered. */
static bool take_lead_row(struct plan *plan)
{
    struct dom_error err = {0};

    plan->region = plan->lead;
    enum dom_code rc = dom_read_row(plan->turn, plan->lead, plan->key, &plan->row, &err);
    if (rc == DOM_NOT_FOUND) {
        rc = dom_store_locate(plan->turn->router->session, DOM_STORE_NO_REGION,
                              plan->key->kind_name, plan->key->id, &plan->lead, &err);
        if (rc == DOM_OK) {
            plan->region = plan->lead;
            rc = dom_read_row(plan->turn, plan->lead, plan->key, &plan->row, &err);
        }
    }
    if (rc == DOM_NOT_FOUND) {
        absent(plan);
    } else if (rc != DOM_OK) {
        fail_error(plan, &err);
    }
    return rc == DOM_OK;
}

/* Serves from the lead, across a border or within the caller's jurisdiction. */
static void serve_from_lead(struct plan *plan)
{
    struct dom_slice names[DOM_FIELDS_MAX];
    uint64_t bytes = 0;

    if (plan->region != plan->lead && !take_lead_row(plan)) {
        return;
    }
    if (plan->row.version < plan->read->freshness.at_least_version) {
        fail(plan, DOM_STALE, "the record has not reached that version");
        return;
    }
    dom_policy_set here = dom_row_classes(plan->snapshot, plan->key->kind, &plan->row, &plan->mask);
    decide(plan, here != 0 ? here : plan->mask.classes, plan->lead);
    struct dom_access *access = &plan->result->access;
    access->elsewhere = here & ~dom_snapshot_held(plan->snapshot, plan->placement, plan->lead);
    if (access->decision.effect == DOM_EFFECT_DENY) {
        deny(plan);
        return;
    }
    if (here != 0 && (here & ~access->elsewhere) == 0 &&
        dom_store_rehoming(plan->turn->router->store)) {
        /* It may not lie where it still does, so nothing is given out from there. */
        fail(plan, DOM_UNAVAILABLE, s_on_its_way);
        return;
    }
    if (access->request.crosses) {
        if (!within_limits(plan)) {
            return;
        }
        size_t num = wanted_names(plan, names, &bytes);
        if (!make_entry(plan, names, num, bytes, 1)) {
            return;
        }
    }
    answer(plan);
}

/* Serves what the caller's own jurisdiction holds; `missing` is not here and not to be had. */
static void serve_near(struct plan *plan, dom_policy_set here, dom_policy_set missing)
{
    decide(plan, here != 0 ? here : plan->mask.classes, plan->region);
    plan->result->access.elsewhere = missing;
    if (plan->result->access.decision.effect == DOM_EFFECT_DENY) {
        deny(plan);
        return;
    }
    answer(plan);
}

/* A replica in the caller's jurisdiction lacks something, or is not fresh enough. Asks what the
 * border would let through, and goes there only if that gives the caller anything. */
static void near_or_lead(struct plan *plan, dom_policy_set here, dom_policy_set missing)
{
    bool near_is_useful = here != 0 && fresh_enough(plan);

    decide(plan, near_is_useful ? missing : plan->mask.classes, plan->lead);
    if (!plan->result->access.request.crosses ||
        plan->result->access.decision.effect != DOM_EFFECT_DENY) {
        serve_from_lead(plan);
    } else if (!near_is_useful) {
        deny(plan);
    } else if (plan->mask.num_names == 0 || note_attempt(plan, missing)) {
        /* Who named no field did not ask for one of these. */
        serve_near(plan, here, missing);
    }
}

static void absent(struct plan *plan)
{
    const char *none = "no such record";

    plan->home = plan->key->home;
    if (plan->home == DOM_POLICY_NONE) {
        plan->home = plan->turn->caller.country;
        decide(plan, plan->mask.classes, plan->turn->caller.store_region);
        if (plan->result->access.decision.reason == DOM_SERVICE_DENIED) {
            tell_service(plan);
            return;
        }
        fail(plan, DOM_NOT_FOUND,
             dom_policy_info(plan->snapshot->policy)->hide_existence ? DOM_HIDDEN_TEXT : none);
        return;
    }
    plan->placement =
        dom_policy_place(plan->snapshot->policy, plan->key->kind, plan->home, plan->turn->now_ms);
    decide(plan, plan->mask.classes, dom_turn_log_region(plan->turn, plan->placement));
    if (plan->result->access.decision.effect == DOM_EFFECT_DENY) {
        deny(plan);
        return;
    }
    fail(plan, DOM_NOT_FOUND, none);
}

static bool find_home(struct plan *plan)
{
    struct dom_error err = {0};
    const struct dom_policy *policy = plan->snapshot->policy;

    plan->home = dom_policy_find_country(policy, dom_slice_str(plan->row.home));
    plan->placement = dom_policy_place(policy, plan->key->kind, plan->home, plan->turn->now_ms);
    if (plan->placement == NULL) {
        fail(plan, DOM_NO_PERMIT, "the policy in force does not know the record's home");
        return false;
    }
    plan->lead = plan->region;
    if (plan->row.is_home) {
        return true;
    }
    plan->lead = dom_read_lead(plan->turn, plan->key->kind, &plan->row);
    if (plan->lead == plan->region) {
        /* The policy's lead has moved; the record is still at home elsewhere. */
        enum dom_code rc = dom_store_locate(plan->turn->router->session, DOM_STORE_NO_REGION,
                                            plan->key->kind_name, plan->key->id, &plan->lead, &err);
        if (rc != DOM_OK) {
            fail_error(plan, &err);
            return false;
        }
    }
    if (plan->lead == DOM_STORE_NO_REGION) {
        fail(plan, DOM_UNAVAILABLE, "the record's home region is not served here");
        return false;
    }
    return true;
}

static void read_one(const struct dom_read *read, const struct dom_key *key,
                     struct dom_read_result *result)
{
    struct dom_error err = {0};
    struct plan plan = {
        .read = read, .turn = read->turn, .snapshot = read->turn->snapshot, .key = key,
        .result = result};

    memset(result, 0, sizeof(*result));
    result->access.request.kind = DOM_POLICY_NONE;
    result->access.served = DOM_STORE_NO_REGION;
    result->code = dom_mask_resolve(&plan.mask, plan.snapshot, key->kind, read->names,
                                    read->num_names, read->turn->arena, &result->refusal);
    if (result->code != DOM_OK) {
        return;
    }
    if (plan.mask.num_names == 0) {
        plan.mask.classes = dom_policy_kind_classes(plan.snapshot->policy, key->kind);
    }
    enum dom_code rc = dom_read_find(plan.turn, key, &plan.row, &plan.region, &err);
    if (rc == DOM_NOT_FOUND) {
        absent(&plan);
        return;
    }
    if (rc != DOM_OK) {
        fail_error(&plan, &err);
        return;
    }
    if (!find_home(&plan)) {
        return;
    }
    dom_policy_id place = dom_snapshot_jurisdiction(plan.snapshot, plan.region);
    if (place == DOM_POLICY_NONE || place != plan.turn->caller.jurisdiction) {
        serve_from_lead(&plan);
        return;
    }
    dom_policy_set held = dom_snapshot_held(plan.snapshot, plan.placement, plan.region);
    dom_policy_set in_row = dom_row_classes(plan.snapshot, key->kind, &plan.row, &plan.mask);
    dom_policy_set missing = (plan.row.complete ? in_row : plan.mask.classes) & ~held;
    if (missing == 0 && fresh_enough(&plan)) {
        serve_near(&plan, in_row & held, 0);
    } else {
        near_or_lead(&plan, in_row & held, missing);
    }
}

void dom_read_one(const struct dom_read *read, const struct dom_key *key,
                  struct dom_read_result *result)
{
    read_one(read, key, result);
    if (result->access.request.kind != DOM_POLICY_NONE) {
        dom_turn_observe(&result->access);
    }
}
