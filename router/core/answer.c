#include "router/core/answer.h"

#include "base/assert.h"
#include "router/core/wire.h"

const char *dom_handling_name(enum dom_handling handling)
{
    static const char *const names[] = {"clear", "redact", "pseudonym", "drop"};

    return names[handling];
}

static dom_policy_set bit(dom_policy_id id)
{
    return UINT64_C(1) << id;
}

void dom_access_decide(struct dom_access *access, const struct dom_snapshot *snapshot,
                       const struct dom_caller *caller, enum dom_policy_op op,
                       dom_policy_id kind, dom_policy_id home, dom_policy_id purpose,
                       dom_policy_set classes, dom_store_region served, bool crosses,
                       int64_t time_ms)
{
    memset(access, 0, sizeof(*access));
    access->snapshot = snapshot;
    access->caller = caller;
    access->served = served;
    access->request = (struct dom_policy_request){
        .op = op,
        .service = caller->service,
        .purpose = purpose,
        .kind = kind,
        .home = home,
        .caller = caller->country,
        .crosses = crosses,
        .time_ms = time_ms,
        .classes = classes,
    };
    dom_policy_decide(snapshot->policy, &access->request, &access->decision);
    enum dom_code closed = crosses ? dom_snapshot_closed(snapshot, time_ms) : DOM_OK;
    if (closed != DOM_OK) {
        access->decision = (struct dom_policy_decision){
            .effect = DOM_EFFECT_DENY, .reason = closed, .withheld = classes};
    }
}

bool dom_access_compare(const struct dom_access *access, struct dom_trial_verdict *verdict)
{
    const struct dom_trial *trial = access->snapshot->trial;
    enum dom_code reason = access->decision.reason;

    if (trial == NULL || access->request.kind == DOM_POLICY_NONE || reason == DOM_FROZEN ||
        reason == DOM_LIMIT_REACHED ||
        (access->request.crosses &&
         dom_snapshot_closed(access->snapshot, access->request.time_ms) != DOM_OK)) {
        return false;
    }
    dom_trial_compare(trial, &access->request, &access->decision, verdict);
    return true;
}

enum dom_handling dom_access_handling(const struct dom_access *access, dom_policy_id data_class)
{
    const struct dom_policy_decision *decision = &access->decision;
    dom_policy_set one = bit(data_class);

    if ((access->elsewhere & one) != 0) {
        return DOM_HANDLING_DROP;
    }
    if ((decision->clear & one) != 0) {
        return DOM_HANDLING_CLEAR;
    }
    if ((decision->redact & one) != 0) {
        return DOM_HANDLING_REDACT;
    }
    if ((decision->pseudonymise & one) != 0) {
        return DOM_HANDLING_PSEUDONYM;
    }
    return DOM_HANDLING_DROP; /* withheld, or never asked about: not given */
}

const char *dom_access_handling_reason(const struct dom_access *access, dom_policy_id data_class)
{
    const struct dom_policy_cell *cell = access->decision.cell;
    dom_policy_set one = bit(data_class);

    if (cell == NULL || ((cell->permitted | cell->forbidden | cell->expired) & one) == 0) {
        return "NO_PERMIT";
    }
    if ((cell->forbidden & one) != 0) {
        return "FORBIDDEN";
    }
    return (cell->permitted & one) != 0 ? "OBLIGATION" : "BASIS_EXPIRED";
}

static void insert_sorted(dom_policy_id *ids, size_t *num, dom_policy_id id)
{
    size_t at = 0;

    while (at < *num && ids[at] < id) {
        at++;
    }
    if (id == DOM_POLICY_NONE || (at < *num && ids[at] == id)) {
        return;
    }
    memmove(&ids[at + 1], &ids[at], (*num - at) * sizeof(ids[0]));
    ids[at] = id;
    *num += 1;
}

size_t dom_access_rules(const struct dom_access *access, dom_policy_id *rules)
{
    size_t num = 0;

    if (access->decision.cell == NULL) {
        return 0;
    }
    for (dom_policy_set left = access->request.classes; left != 0; left &= left - 1) {
        insert_sorted(rules, &num, access->decision.cell->rule[__builtin_ctzll(left)]);
    }
    return num;
}

size_t dom_access_bases(const struct dom_access *access, dom_policy_id *bases)
{
    const struct dom_policy_decision *decision = &access->decision;
    size_t num = 0;

    if (decision->cell == NULL) {
        return 0;
    }
    for (dom_policy_set left = decision->clear | decision->pseudonymise; left != 0;
         left &= left - 1) {
        insert_sorted(bases, &num, decision->cell->basis[__builtin_ctzll(left)]);
    }
    return num;
}

dom_policy_id dom_access_basis(const struct dom_access *access, const struct dom_policy *policy)
{
    dom_policy_id ids[DOM_CLASSES_MAX];
    size_t num = dom_access_bases(access, ids);

    for (size_t i = 0; i < num; i++) {
        /* not_personal and the like carry no document: one that does is told first */
        if (dom_policy_basis_ref(policy, ids[i])[0] != '\0') {
            return ids[i];
        }
    }
    return num == 0 ? DOM_POLICY_NONE : ids[0];
}

void dom_access_refuse(struct dom_access *access, enum dom_code reason)
{
    struct dom_policy_decision *decision = &access->decision;

    DOM_ASSERT(reason != DOM_OK);
    decision->effect = DOM_EFFECT_DENY;
    decision->reason = reason;
    decision->clear = 0;
    decision->redact = 0;
    decision->pseudonymise = 0;
    decision->withheld = access->request.classes;
}

dom_policy_id dom_access_field_class(const struct dom_snapshot *snapshot, dom_policy_id kind,
                                     struct dom_slice field)
{
    dom_policy_id data_class = DOM_POLICY_NONE;

    (void)dom_policy_field_class(snapshot->policy, kind, field, &data_class);
    DOM_ASSERT(data_class != DOM_POLICY_NONE);
    return data_class;
}

dom_policy_set dom_row_classes(const struct dom_snapshot *snapshot, dom_policy_id kind,
                               const struct dom_store_row *row, const struct dom_mask *mask)
{
    dom_policy_set classes = 0;

    for (size_t i = 0; i < row->num_fields; i++) {
        if (dom_mask_has(mask, row->fields[i].name)) {
            classes |= bit(dom_access_field_class(snapshot, kind, row->fields[i].name));
        }
    }
    return classes;
}

/* A field whose value must change on the way out; a failure leaves the value out. */
static void put_pseudonym(struct dom_buffer *out, const struct dom_access *access,
                          const struct dom_store_field *field, dom_policy_id data_class,
                          dom_pseudonym_fn *pseudonym, void *context)
{
    const struct dom_policy_cell *cell = access->decision.cell;
    struct dom_field_view view;
    char scratch[32];
    char hashed[32];

    if (cell == NULL || !dom_field_parse(field->value, &view)) {
        return;
    }
    const char *key = dom_policy_pseudonym_key_name(access->snapshot->policy,
                                                    cell->pseudonym_key[data_class]);
    if (pseudonym(context, key, dom_field_hash_input(&view, scratch), hashed)) {
        dom_wire_text_field(out, 5, field->name, dom_slice_str(hashed));
    }
}

static void put_name_only(struct dom_buffer *out, struct dom_slice name)
{
    size_t at = dom_wire_begin(out, 5);

    dom_wire_bytes(out, 1, name);
    dom_wire_end(out, at);
}

void dom_answer_record(struct dom_buffer *out, const struct dom_access *access,
                       const struct dom_store_row *row, const struct dom_mask *mask,
                       dom_pseudonym_fn *pseudonym, void *context)
{
    dom_wire_bytes(out, 1, row->kind);
    dom_wire_bytes(out, 2, row->id);
    dom_wire_str(out, 3, row->home);
    dom_wire_uint(out, 4, row->version);
    for (size_t i = 0; i < row->num_fields; i++) {
        const struct dom_store_field *field = &row->fields[i];
        if (!dom_mask_has(mask, field->name)) {
            continue;
        }
        dom_policy_id data_class =
            dom_access_field_class(access->snapshot, access->request.kind, field->name);
        switch (dom_access_handling(access, data_class)) {
        case DOM_HANDLING_CLEAR:
            dom_wire_element(out, 5, field->value);
            break;
        case DOM_HANDLING_REDACT:
            put_name_only(out, field->name);
            break;
        case DOM_HANDLING_PSEUDONYM:
            put_pseudonym(out, access, field, data_class, pseudonym, context);
            break;
        case DOM_HANDLING_DROP:
            break;
        }
    }
    dom_wire_uint(out, 6, (uint64_t)row->create_time_ms);
    dom_wire_uint(out, 7, (uint64_t)row->update_time_ms);
}

static void put_handled(struct dom_buffer *out, const struct dom_access *access,
                        struct dom_slice field, dom_policy_id data_class,
                        enum dom_handling handling)
{
    const struct dom_policy *policy = access->snapshot->policy;
    const struct dom_policy_cell *cell = access->decision.cell;
    size_t at = dom_wire_begin(out, 7);

    dom_wire_bytes(out, 1, field);
    dom_wire_str(out, 2, dom_policy_class_name(policy, data_class));
    dom_wire_uint(out, 3, (uint64_t)handling);
    dom_wire_str(out, 4, dom_access_handling_reason(access, data_class));
    if (cell != NULL) {
        dom_wire_str(out, 5, dom_policy_rule_name(policy, cell->rule[data_class]));
    }
    dom_wire_end(out, at);
}

static bool row_has(const struct dom_store_row *row, struct dom_slice name)
{
    for (size_t i = 0; i < row->num_fields; i++) {
        if (dom_slice_eq(row->fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* The wanted fields (all that the kind declares, if none are named) of classes that are not in
 * this region. Whether the record has them is not told. */
static bool put_all_elsewhere(struct dom_buffer *out, const struct dom_access *access,
                              const struct dom_store_row *row, const struct dom_mask *mask)
{
    const struct dom_policy *policy = access->snapshot->policy;
    dom_policy_id kind = access->request.kind;
    bool named = mask->num_names > 0;
    size_t num = named ? mask->num_names : dom_policy_kind_num_fields(policy, kind);
    bool any = false;

    for (size_t i = 0; i < num && access->elsewhere != 0; i++) {
        struct dom_slice name =
            named ? mask->names[i] : dom_slice_str(dom_policy_kind_field_name(policy, kind, i));
        dom_policy_id data_class = dom_access_field_class(access->snapshot, kind, name);
        if ((access->elsewhere & bit(data_class)) != 0 && !row_has(row, name)) {
            put_handled(out, access, name, data_class, DOM_HANDLING_DROP);
            any = true;
        }
    }
    return any;
}

/* Tells of the fields that are not clear. Returns whether there was one. */
static bool put_all_handled(struct dom_buffer *out, const struct dom_access *access,
                            const struct dom_store_row *row, const struct dom_mask *mask)
{
    bool any = false;

    for (size_t i = 0; i < row->num_fields; i++) {
        struct dom_slice name = row->fields[i].name;
        if (!dom_mask_has(mask, name)) {
            continue;
        }
        dom_policy_id data_class =
            dom_access_field_class(access->snapshot, access->request.kind, name);
        enum dom_handling handling = dom_access_handling(access, data_class);
        if (handling != DOM_HANDLING_CLEAR) {
            put_handled(out, access, name, data_class, handling);
            any = true;
        }
    }
    return put_all_elsewhere(out, access, row, mask) || any;
}

static void put_rules_and_bases(struct dom_buffer *out, const struct dom_access *access)
{
    const struct dom_policy *policy = access->snapshot->policy;
    dom_policy_id ids[DOM_CLASSES_MAX];

    size_t num = dom_access_rules(access, ids);
    for (size_t i = 0; i < num; i++) {
        dom_wire_str(out, 2, dom_policy_rule_name(policy, ids[i]));
    }
    num = dom_access_bases(access, ids);
    for (size_t i = 0; i < num; i++) {
        dom_wire_str(out, 8, dom_policy_basis_name(policy, ids[i]));
    }
}

static uint64_t ask_again_in_ms(const struct dom_access *access)
{
    int64_t now = access->request.time_ms;
    int64_t next = dom_policy_next_change_ms(access->snapshot->policy, now);

    return next == INT64_MAX || next <= now ? 0 : (uint64_t)(next - now);
}

void dom_answer_decision(struct dom_buffer *out, const struct dom_access *access,
                         const struct dom_store_row *row, const struct dom_mask *mask)
{
    const struct dom_policy_info *info = dom_policy_info(access->snapshot->policy);
    dom_policy_id region = access->served == DOM_STORE_NO_REGION
                               ? DOM_POLICY_NONE
                               : access->snapshot->policy_of[access->served];
    uint64_t effect = 3; /* EFFECT_DENY */

    put_rules_and_bases(out, access);
    dom_wire_str(out, 3, info->name);
    dom_wire_uint(out, 4, (uint64_t)info->version);
    dom_wire_str(out, 5, dom_policy_region_name(access->snapshot->policy, region));
    dom_wire_bool(out, 6, access->request.crosses);
    bool changed = row != NULL && mask != NULL && put_all_handled(out, access, row, mask);
    dom_wire_uint(out, 9, ask_again_in_ms(access));
    if (access->decision.effect != DOM_EFFECT_DENY) {
        effect = changed || access->decision.effect == DOM_EFFECT_MODIFY ? 2 : 1;
    }
    dom_wire_uint(out, 1, effect);
}

void dom_answer_receipt(struct dom_buffer *out, const char *origin,
                        const struct dom_store_receipt *receipt)
{
    dom_wire_str(out, 1, origin);
    dom_wire_uint(out, 2, receipt->index);
    dom_wire_bytes(out, 3, dom_slice_of(receipt->leaf_hash, sizeof(receipt->leaf_hash)));
}
