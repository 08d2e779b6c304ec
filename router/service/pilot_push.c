/* What is pushed: held against every rule before it becomes a candidate. And orders to freeze. */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "policy/bundle/plan.h"
#include "router/service/internal.h"

static enum dom_code refuse(struct dom_router *router, struct dom_pilot_order *order,
                            enum dom_bundle_fault fault, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_telling telling = {
        .type = DOM_AUDIT_ROLLOUT, .policy = dom_pilot_in_force(router), .time_ms = dom_pilot_now(router)};
    struct dom_error ignored = {0};
    uint8_t sha256[32];
    char hex[65];

    order->fault = fault;
    (void)pthread_mutex_lock(&pilot->lock);
    pilot->view.refused++;
    (void)snprintf(pilot->view.refusal, sizeof(pilot->view.refusal), "%s", err->message);
    (void)pthread_mutex_unlock(&pilot->lock);
    dom_policy_sha256(sha256, order->bundle);
    dom_hex_encode(hex, dom_slice_of(sha256, 32));
    dom_telling_text(&telling, "action", DOM_SLICE_LIT("refuse"));
    dom_telling_text(&telling, "reason", dom_slice_str(dom_bundle_fault_name(fault)));
    dom_telling_text(&telling, "sha256", dom_slice_str(hex));
    dom_telling_text(&telling, "operator", order->operator_id);
    (void)!dom_router_tell(router, &telling, &ignored);
    dom_log(DOM_LOG_WARN, "policy.refused", "text=\"%s\"", err->message);
    dom_router_rollout_changed(router);
    return DOM_BUNDLE;
}

/* The policy of the highest version, while it is in force or under way. */
static const uint8_t *known_hash(const struct dom_rollout *rollout)
{
    if (rollout->highest == rollout->enforced.version) {
        return rollout->enforced.sha256;
    }
    return dom_rollout_active(rollout) ? rollout->candidate.sha256 : NULL;
}

/* The policy of the highest version, also when it was taken back: the newest that signers made. */
static const uint8_t *newest_hash(const struct dom_rollout *rollout)
{
    if (rollout->highest == rollout->candidate.version) {
        return rollout->candidate.sha256;
    }
    return rollout->highest == rollout->enforced.version ? rollout->enforced.sha256 : NULL;
}

/* A timestamp that must name the newest version, which has this hash. */
static enum dom_bundle_fault take_timestamp(struct dom_router *router,
                                            const struct dom_pilot_order *order, int64_t version,
                                            const uint8_t *sha256, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_timestamp timestamp;
    struct dom_error why = {0};

    if (!pilot->signed_only || pilot->root.thresholds[DOM_ROLE_TIMESTAMP] == 0) {
        return DOM_BUNDLE_NONE;
    }
    if (order->timestamp.len == 0) {
        (void)DOM_FAIL(err, DOM_BUNDLE, "TIMESTAMP_MISSING: %s",
                       dom_bundle_fault_text(DOM_BUNDLE_TIMESTAMP_MISSING));
        return DOM_BUNDLE_TIMESTAMP_MISSING;
    }
    enum dom_bundle_fault fault =
        dom_timestamp_open(&timestamp, order->timestamp, &pilot->root, dom_pilot_now(router), err);
    if (fault != DOM_BUNDLE_NONE) {
        return fault;
    }
    if (timestamp.version != version || sha256 == NULL ||
        memcmp(timestamp.policy, sha256, 32) != 0) {
        (void)DOM_FAIL(err, DOM_BUNDLE, "TIMESTAMP_OTHER: the timestamp names version %lld%s",
                       (long long)timestamp.version,
                       timestamp.version > version ? ": push that one" : "");
        return DOM_BUNDLE_TIMESTAMP_OTHER;
    }
    if (dom_pilot_write(pilot, DOM_PILOT_TIMESTAMP, order->timestamp, &why) != DOM_OK) {
        dom_log(DOM_LOG_ERROR, "policy.timestamp", "text=\"%s\"", why.message);
    }
    pilot->fresh_until_ms = timestamp.expires_ms;
    return DOM_BUNDLE_NONE;
}

/* What was pushed, taken apart. */
struct pushed {
    struct dom_bundle bundle;
    bool is_bundle;
    struct dom_slice text; /* of the policy */
    struct dom_policy *policy;
    struct dom_plan plan;
};

static enum dom_bundle_fault open_pushed(struct dom_router *router,
                                         const struct dom_pilot_order *order, struct pushed *pushed,
                                         struct dom_error *err)
{
    const struct dom_pilot *pilot = &router->pilot;
    struct dom_bundle_expect expect = {
        .root = &pilot->root,
        .now_ms = dom_pilot_now(router),
        .highest = pilot->rollout.highest,
        .known = known_hash(&pilot->rollout),
        .enforced = pilot->rollout.enforced.sha256,
    };

    pushed->is_bundle = dom_bundle_is(order->bundle);
    if (pilot->signed_only && !pushed->is_bundle &&
        order->bundle.len <= DOM_POLICY_BUNDLE_BYTES_MAX) {
        (void)DOM_FAIL(err, DOM_BUNDLE, "UNSIGNED: %s",
                       dom_bundle_fault_text(DOM_BUNDLE_UNSIGNED));
        return DOM_BUNDLE_UNSIGNED;
    }
    pushed->text = order->bundle;
    if (!pilot->signed_only && !pushed->is_bundle) {
        return DOM_BUNDLE_NONE;
    }
    enum dom_bundle_fault fault = pilot->signed_only
                                      ? dom_bundle_open(&pushed->bundle, order->bundle, &expect, err)
                                      : dom_bundle_parse(&pushed->bundle, order->bundle, err);
    pushed->text = pushed->bundle.policy;
    return fault;
}

static enum dom_bundle_fault bad_policy(struct dom_error *err, const char *why)
{
    char message[320];

    (void)snprintf(message, sizeof(message), "%s", why);
    (void)DOM_FAIL(err, DOM_BUNDLE, "POLICY: %s: %s", dom_bundle_fault_text(DOM_BUNDLE_POLICY),
                   message);
    return DOM_BUNDLE_POLICY;
}

static enum dom_bundle_fault check_unsigned(const struct dom_router *router,
                                            const struct dom_policy_info *info,
                                            struct dom_error *err)
{
    const struct dom_rollout *rollout = &router->pilot.rollout;
    enum dom_bundle_fault fault = DOM_BUNDLE_NONE;

    if (strcmp(info->name, dom_policy_info(dom_pilot_in_force(router))->name) != 0) {
        fault = DOM_BUNDLE_NAME;
    } else if (info->version < rollout->highest) {
        fault = DOM_BUNDLE_VERSION_OLDER;
    } else if (info->version == rollout->highest) {
        fault = DOM_BUNDLE_VERSION_REUSED;
    } else if (info->version != rollout->highest + 1) {
        fault = DOM_BUNDLE_VERSION_SKIPPED;
    }
    if (fault != DOM_BUNDLE_NONE) {
        (void)DOM_FAIL(err, DOM_BUNDLE, "%s: %s: \"%s\" %lld, after %lld",
                       dom_bundle_fault_name(fault), dom_bundle_fault_text(fault), info->name,
                       (long long)info->version, (long long)rollout->highest);
    }
    return fault;
}

/* Compiles it, and holds what it says of itself against what was signed. */
static enum dom_bundle_fault compile_pushed(struct dom_router *router, struct pushed *pushed,
                                            struct dom_error *err)
{
    struct dom_policy_load_options options = {.name = DOM_BUNDLE_POLICY_FILE,
                                              .now_ms = dom_pilot_now(router)};
    struct dom_findings findings = {0};
    const struct dom_bundle *bundle = &pushed->bundle;

    enum dom_code rc =
        dom_policy_compile(&pushed->policy, &findings, pushed->text, &options, err);
    if (rc == DOM_PARSE) {
        dom_name_finding(&findings, DOM_BUNDLE_POLICY_FILE, err);
    }
    dom_findings_cleanup(&findings);
    if (rc != DOM_OK) {
        return bad_policy(err, err->message);
    }
    const struct dom_policy_info *info = dom_policy_info(pushed->policy);
    if (!router->pilot.signed_only) {
        return check_unsigned(router, info, err);
    }
    if (!dom_slice_eq_str(bundle->name, info->name) || bundle->version != info->version ||
        bundle->expires_ms > info->expires_ms) {
        return bad_policy(err, "policy.cfg has another name, version or an earlier end than the note");
    }
    return DOM_BUNDLE_NONE;
}

static enum dom_bundle_fault plan_pushed(struct dom_router *router, struct pushed *pushed,
                                         struct dom_error *err)
{
    char was[65];
    char is[65];

    if (dom_plan_make(&pushed->plan, dom_pilot_in_force(router), pushed->policy, NULL, err) != DOM_OK) {
        return bad_policy(err, err->message);
    }
    if (!router->pilot.signed_only) {
        return DOM_BUNDLE_NONE;
    }
    if (memcmp(pushed->plan.sha256, pushed->bundle.plan, 32) != 0) {
        dom_hex_encode(was, dom_slice_of(pushed->bundle.plan, 32));
        dom_hex_encode(is, dom_slice_of(pushed->plan.sha256, 32));
        (void)DOM_FAIL(err, DOM_BUNDLE, "PLAN: %s: %.16s... was signed, it is %.16s...",
                       dom_bundle_fault_text(DOM_BUNDLE_PLAN), was, is);
        return DOM_BUNDLE_PLAN;
    }
    if (pushed->plan.loosens && pushed->bundle.num_signers < 2) {
        (void)DOM_FAIL(err, DOM_BUNDLE, "SIGNERS: %s", dom_bundle_fault_text(DOM_BUNDLE_SIGNERS));
        return DOM_BUNDLE_SIGNERS;
    }
    return DOM_BUNDLE_NONE;
}

static void remember_origin(struct dom_pilot *pilot, const struct pushed *pushed,
                            struct dom_slice operator_id)
{
    struct dom_pilot_origin *origin = &pilot->origin;

    memset(origin, 0, sizeof(*origin));
    if (pushed->is_bundle) {
        dom_hex_encode(origin->bundle, dom_slice_of(pushed->bundle.sha256, 32));
        (void)snprintf(origin->signers, sizeof(origin->signers), "%s", pushed->bundle.signers);
    }
    dom_hex_encode(origin->plan, dom_slice_of(pushed->plan.sha256, 32));
    (void)dom_slice_to_cstr(operator_id, origin->operator_id, sizeof(origin->operator_id));
}

static enum dom_code begin_rollout(struct dom_router *router, struct dom_pilot_order *order,
                                   struct pushed *pushed, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    const struct dom_policy_info *info = dom_policy_info(pushed->policy);
    struct dom_rollout next = pilot->rollout;
    struct dom_rollout_update update;
    struct dom_rollout_event event = {
        .type = DOM_ROLLOUT_PUSH,
        .now_ms = dom_pilot_now(router),
        .version = {.version = info->version},
        .change = pushed->plan.loosens ? DOM_CHANGE_LOOSENS : DOM_CHANGE_TIGHTENS,
        .policy = pushed->policy,
    };

    memcpy(event.version.sha256, info->sha256, 32);
    enum dom_code rc = dom_rollout_step(&next, &event, &update, err);
    if (rc == DOM_OK) {
        rc = dom_pilot_keep(pilot, pushed->policy, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    pilot->candidate = dom_policy_ref(pushed->policy);
    remember_origin(pilot, pushed, order->operator_id);
    update.what = update.action == DOM_ACTION_STEP ? "push" : update.what;
    rc = dom_pilot_act(router, &next, &update, order->operator_id, err);
    if (rc != DOM_OK) {
        dom_pilot_drop(pilot);
    }
    order->changed = rc == DOM_OK;
    return rc;
}

/* Where nobody signs, two administrators may have to ask. */
static enum dom_code approve(struct dom_router *router, const struct dom_pilot_order *order,
                             const struct pushed *pushed, struct dom_error *err)
{
    struct dom_approval approval = {.operator_id = order->operator_id};

    return router->pilot.signed_only
               ? DOM_OK
               : dom_router_vote(router, &approval, dom_policy_info(pushed->policy)->sha256, err);
}

static bool is_known(const struct dom_router *router, struct dom_slice text)
{
    const uint8_t *known = known_hash(&router->pilot.rollout);
    uint8_t sha256[32];

    dom_policy_sha256(sha256, text);
    return known != NULL && memcmp(known, sha256, 32) == 0;
}

enum dom_code dom_pilot_push(struct dom_router *router, struct dom_pilot_order *order,
                          struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct pushed pushed = {0};
    enum dom_code rc = DOM_OK;

    if (order->bundle.len == 0) {
        enum dom_bundle_fault fault = take_timestamp(router, order, pilot->rollout.highest,
                                                     newest_hash(&pilot->rollout), err);
        if (fault != DOM_BUNDLE_NONE) {
            return refuse(router, order, fault, err);
        }
        order->changed = true;
        dom_pilot_apply(router);
        return DOM_OK;
    }
    enum dom_bundle_fault fault = open_pushed(router, order, &pushed, err);
    bool known = fault == DOM_BUNDLE_NONE && is_known(router, pushed.text);
    if (fault == DOM_BUNDLE_NONE && !known) {
        fault = compile_pushed(router, &pushed, err);
    }
    if (fault == DOM_BUNDLE_NONE && !known && dom_rollout_active(&pilot->rollout)) {
        rc = DOM_FAIL(err, DOM_ROLLOUT,
                      "version %lld is being rolled out: promote or abort it first",
                      (long long)pilot->rollout.candidate.version);
    } else if (fault == DOM_BUNDLE_NONE && !known) {
        fault = plan_pushed(router, &pushed, err);
        if (fault == DOM_BUNDLE_NONE) {
            const struct dom_policy_info *info = dom_policy_info(pushed.policy);
            fault = take_timestamp(router, order, info->version, info->sha256, err);
        }
        if (fault == DOM_BUNDLE_NONE) {
            rc = approve(router, order, &pushed, err);
        }
        if (fault == DOM_BUNDLE_NONE && rc == DOM_OK) {
            rc = begin_rollout(router, order, &pushed, err);
        }
    }
    dom_policy_unref(pushed.policy);
    return fault == DOM_BUNDLE_NONE ? rc : refuse(router, order, fault, err);
}

enum dom_code dom_pilot_freeze(struct dom_router *router, struct dom_pilot_order *order,
                            struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout next = pilot->rollout;
    struct dom_slice reason = order->reason;
    bool on = order->verb == DOM_PILOT_FREEZE;
    struct dom_order opened = {.time_ms = next.order_ms};
    struct dom_pilot_report report = {0};

    if (pilot->signed_only) {
        enum dom_bundle_fault fault = dom_order_open(&opened, order->bundle, &pilot->root,
                                                     dom_pilot_now(router), next.order_ms, err);
        if (fault == DOM_BUNDLE_NONE && opened.freeze != on) {
            fault = DOM_BUNDLE_FORMAT;
            (void)DOM_FAIL(err, DOM_BUNDLE, "FORMAT: the order says the contrary");
        }
        if (fault != DOM_BUNDLE_NONE) {
            return refuse(router, order, fault, err);
        }
        reason = opened.reason;
    }
    next.order_ms = opened.time_ms;
    next.frozen = on;
    next.frozen_reason[0] = '\0';
    if (on) {
        (void)snprintf(next.frozen_reason, sizeof(next.frozen_reason), "%.*s", (int)reason.len,
                       (const char *)reason.data);
        for (char *c = next.frozen_reason; *c != '\0'; c++) {
            *c = (unsigned char)*c < 0x20 ? ' ' : *c;
        }
        dom_log(DOM_LOG_WARN, "policy.frozen", "reason=\"%s\"", next.frozen_reason);
        dom_pilot_stop_at_once(router, &next, dom_pilot_in_force(router), "freeze", order->operator_id);
        return DOM_OK;
    }
    /* Letting data out again waits for the logs. */
    dom_pilot_describe(&report, router, &next, dom_pilot_in_force(router), "unfreeze", order->operator_id);
    enum dom_code rc = dom_router_tell(router, &report.telling, err);
    if (rc == DOM_OK) {
        rc = dom_pilot_save_state(router, &next, err);
    }
    if (rc == DOM_OK) {
        pilot->rollout = next;
        dom_pilot_apply(router);
    }
    return rc;
}
