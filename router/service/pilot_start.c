/* How a start finds the policy that was in force, and the roll-out where it was. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "router/service/internal.h"

static struct dom_rollout_version version_of(const struct dom_policy *policy)
{
    const struct dom_policy_info *info = dom_policy_info(policy);
    struct dom_rollout_version version = {.version = info->version};

    memcpy(version.sha256, info->sha256, 32);
    return version;
}

static enum dom_code refuse_bundle(enum dom_bundle_fault fault, const char *path,
                                   struct dom_error *err)
{
    return fault == DOM_BUNDLE_NONE ? DOM_OK : dom_error_prefix(err, "%s", path);
}

/* At the first start a bundle has to sign the very file of the configuration. */
static enum dom_code check_first(struct dom_router *router, const struct dom_policy *file,
                                 struct dom_error *err)
{
    const struct dom_router_options *options = &router->options;
    const struct dom_pilot *pilot = &router->pilot;
    struct dom_buffer bytes = {0};
    struct dom_bundle bundle;
    char beside[800];

    (void)snprintf(beside, sizeof(beside), "%s.bundle", options->policy_path);
    const char *path = options->policy_bundle == NULL ? beside : options->policy_bundle;
    enum dom_code rc = dom_file_read(&bytes, path, DOM_POLICY_BUNDLE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        struct dom_bundle_expect expect = {.root = &pilot->root,
                                           .now_ms = dom_clock_wall_ms(router->clock)};
        rc = refuse_bundle(dom_bundle_open(&bundle, dom_buffer_slice(&bytes), &expect, err), path,
                           err);
    }
    if (rc == DOM_OK && !dom_slice_eq(bundle.policy, dom_policy_info(file)->text)) {
        rc = DOM_FAIL(err, DOM_BUNDLE, "FILE_MIXED: %s is not the policy that %s signs",
                      options->policy_path, path);
    }
    if (rc == DOM_OK && bundle.version != dom_policy_info(file)->version) {
        rc = DOM_FAIL(err, DOM_BUNDLE, "POLICY: %s signs version %lld, the policy says %lld", path,
                      (long long)bundle.version, (long long)dom_policy_info(file)->version);
    }
    dom_buffer_cleanup(&bytes);
    return rc;
}

static enum dom_code begin_first(struct dom_router *router, const struct dom_policy *file,
                                 struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout *rollout = &pilot->rollout;
    enum dom_code rc = pilot->signed_only ? check_first(router, file, err) : DOM_OK;

    memset(rollout, 0, sizeof(*rollout));
    rollout->enforced = version_of(file);
    rollout->highest = rollout->enforced.version;
    memcpy(rollout->file_sha256, rollout->enforced.sha256, 32);
    if (rc == DOM_OK) {
        rc = dom_pilot_keep(pilot, file, err);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_save(pilot, rollout, dom_policy_info(file)->name, err);
    }
    return rc;
}

/* A newer file, where files are taken: it is in force from this start on. */
static void take_newer(struct dom_rollout *rollout, const struct dom_rollout_version *file)
{
    if (dom_rollout_active(rollout)) {
        dom_log(DOM_LOG_WARN, "rollout.dropped", "version=%lld text=\"the file is newer\"",
                (long long)rollout->candidate.version);
    }
    rollout->phase = DOM_PHASE_ENFORCED;
    memset(&rollout->candidate, 0, sizeof(rollout->candidate));
    rollout->reason[0] = '\0';
    rollout->enforced = *file;
    rollout->highest = file->version;
}

/* What the file is to what was in force here. *keptp: the kept policy is the one to start with. */
static enum dom_code judge_file(struct dom_router *router, const char *name,
                                const struct dom_policy *policy, bool *keptp, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout *rollout = &pilot->rollout;
    const char *path = router->options.policy_path;
    struct dom_rollout_version file = version_of(policy);

    *keptp = true;
    if (strcmp(dom_policy_info(policy)->name, name) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "%s: policy \"%s\" was in force here; the file holds \"%s\"",
                        path, name, dom_policy_info(policy)->name);
    }
    if (memcmp(file.sha256, rollout->enforced.sha256, 32) == 0 ||
        memcmp(file.sha256, rollout->file_sha256, 32) == 0 ||
        (dom_rollout_active(rollout) &&
         memcmp(file.sha256, rollout->candidate.sha256, 32) == 0)) {
        memcpy(rollout->file_sha256, file.sha256, 32);
        return DOM_OK; /* it is in force, or it has not changed since a newer one was pushed */
    }
    if (file.version <= rollout->highest) {
        return DOM_FAIL(err, DOM_INVALID,
                        "%s: version %lld was taken here; the file holds %s version %lld: give it "
                        "a higher version",
                        path, (long long)rollout->highest,
                        file.version < rollout->highest ? "the older" : "other bytes as",
                        (long long)file.version);
    }
    if (pilot->signed_only) {
        return DOM_FAIL(err, DOM_BUNDLE,
                        "UNSIGNED: %s: the file was changed to version %lld; put the old one back "
                        "and push a signed bundle",
                        path, (long long)file.version);
    }
    *keptp = false;
    take_newer(rollout, &file);
    memcpy(rollout->file_sha256, file.sha256, 32);
    return DOM_OK;
}

static enum dom_code load_candidate(struct dom_router *router, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout *rollout = &pilot->rollout;

    if (!dom_rollout_active(rollout)) {
        return DOM_OK;
    }
    enum dom_code rc = dom_pilot_load(pilot, &pilot->candidate, &rollout->candidate,
                                      dom_clock_wall_ms(router->clock), err);
    if (rc != DOM_OK) {
        return rc;
    }
    dom_rollout_plan(rollout, pilot->candidate);
    if (rollout->at + 1 >= rollout->num_steps) {
        return DOM_FAIL(err, DOM_CORRUPT, "%s/state: step %zu of %zu", pilot->dir, rollout->at,
                        rollout->num_steps);
    }
    return DOM_OK;
}

/* The kept timestamp; without a good one nothing crosses until it comes. */
static void read_timestamp(struct dom_router *router)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_timestamp timestamp;
    struct dom_buffer bytes = {0};
    struct dom_error err = {0};

    pilot->fresh_until_ms = INT64_MAX;
    if (!pilot->signed_only || pilot->root.thresholds[DOM_ROLE_TIMESTAMP] == 0) {
        return;
    }
    pilot->fresh_until_ms = 0;
    if (dom_pilot_read_file(pilot, DOM_PILOT_TIMESTAMP, &bytes, &err) == DOM_OK &&
        dom_timestamp_open(&timestamp, dom_buffer_slice(&bytes), &pilot->root,
                           dom_clock_wall_ms(router->clock), &err) == DOM_BUNDLE_NONE &&
        timestamp.version == pilot->rollout.highest) {
        pilot->fresh_until_ms = timestamp.expires_ms;
    } else {
        dom_log(DOM_LOG_WARN, "policy.stale", "text=\"%s\" effect=\"nothing crosses a border\"",
                err.message[0] == '\0' ? "the timestamp names another version" : err.message);
    }
    dom_buffer_cleanup(&bytes);
}

static enum dom_code resume(struct dom_router *router, const char *name, struct dom_policy **policyp,
                            struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_policy *file = *policyp;
    bool kept = false;
    enum dom_code rc = judge_file(router, name, file, &kept, err);

    if (rc == DOM_OK && kept &&
        memcmp(dom_policy_info(file)->sha256, pilot->rollout.enforced.sha256, 32) != 0) {
        dom_policy_unref(file);
        rc = dom_pilot_load(pilot, policyp, &pilot->rollout.enforced,
                            dom_clock_wall_ms(router->clock), err);
        dom_log(DOM_LOG_INFO, "policy.kept", "version=%lld text=\"pushed since the file\"",
                (long long)pilot->rollout.enforced.version);
    }
    if (rc == DOM_OK) {
        rc = load_candidate(router, err);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_keep(pilot, *policyp, err);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_save(pilot, &pilot->rollout, name, err);
    }
    return rc;
}

enum dom_code dom_pilot_open(struct dom_router *router, struct dom_policy **policyp,
                             struct dom_findings *findings, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;
    const struct dom_router_options *options = &router->options;
    char name[DOM_POLICY_NAME_BYTES_MAX + 1];
    struct dom_error none = {0};

    (void)pthread_mutex_init(&pilot->lock, NULL);
    (void)snprintf(pilot->dir, sizeof(pilot->dir), "%s/" DOM_PILOT_DIR, options->data_dir);
    pilot->signed_only = options->policy_root != NULL;
    pilot->fresh_until_ms = INT64_MAX;
    *policyp = NULL;
    enum dom_code rc =
        pilot->signed_only ? dom_pilot_read_root(pilot, options->policy_root, err) : DOM_OK;
    if (rc == DOM_OK) {
        rc = dom_router_load_file(router, policyp, findings, err);
    }
    if (rc == DOM_OK && pilot->signed_only &&
        strcmp(pilot->root.name, dom_policy_info(*policyp)->name) != 0) {
        rc = DOM_FAIL(err, DOM_BUNDLE, "NAME: %s is for policy \"%s\", not \"%s\"",
                      options->policy_root, pilot->root.name, dom_policy_info(*policyp)->name);
    }
    if (rc == DOM_OK) {
        rc = dom_pilot_read(pilot, name, &none);
        if (rc == DOM_NOT_FOUND) {
            rc = begin_first(router, *policyp, err);
        } else if (rc == DOM_OK) {
            rc = resume(router, name, policyp, err);
        } else {
            rc = DOM_FAIL(err, rc, "%s", none.message);
        }
    }
    if (rc != DOM_OK) {
        dom_policy_unref(*policyp);
        *policyp = NULL;
        return rc;
    }
    read_timestamp(router);
    return DOM_OK;
}

/* Where things stand at this start, in every log. A log that cannot be written is closed for
 * crossings anyway: the start goes on. */
static void tell_start(struct dom_router *router)
{
    struct dom_pilot *pilot = &router->pilot;
    const struct dom_rollout *rollout = &pilot->rollout;
    int64_t now = dom_clock_wall_ms(router->clock);
    struct dom_telling in_force = {.type = DOM_AUDIT_POLICY,
                                   .policy = router->holder.current->policy,
                                   .indexed = router->holder.current,
                                   .time_ms = now};
    struct dom_error err = {0};

    (void)!dom_router_tell(router, &in_force, &err);
    if (rollout->phase == DOM_PHASE_ENFORCED && !rollout->frozen) {
        return;
    }
    struct dom_telling telling = {
        .type = DOM_AUDIT_ROLLOUT,
        .policy = pilot->candidate == NULL ? router->holder.current->policy : pilot->candidate,
        .time_ms = now};
    if (pilot->candidate != NULL) {
        pilot->on_trial =
            dom_snapshot_new(dom_policy_ref(pilot->candidate), router->store, now);
        telling.indexed = pilot->on_trial;
    }
    dom_telling_text(&telling, "action", DOM_SLICE_LIT("start"));
    dom_telling_text(&telling, "stage", dom_slice_str(dom_rollout_phase_name(rollout->phase)));
    dom_telling_number(&telling, "step", (int64_t)rollout->at + 1);
    dom_telling_text(&telling, "reason", dom_slice_str(rollout->reason));
    if (rollout->phase == DOM_PHASE_ABORTED) {
        dom_telling_number(&telling, "aborted", rollout->candidate.version);
    }
    dom_telling_text(&telling, "frozen", dom_slice_str(rollout->frozen ? "yes" : ""));
    (void)!dom_router_tell(router, &telling, &err);
}

enum dom_code dom_pilot_start(struct dom_router *router, struct dom_error *err)
{
    struct dom_pilot *pilot = &router->pilot;

    if (pilot->candidate != NULL &&
        dom_rollout_effective(&pilot->rollout) != DOM_PHASE_SHADOW) {
        enum dom_code rc = dom_router_open_regions(router, pilot->candidate, err);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    tell_start(router);
    if (pilot->candidate != NULL) {
        pilot->tally = dom_tally_new();
    }
    dom_pilot_apply(router);
    pilot->worker.tick = dom_pilot_tick;
    pilot->worker.tick_context = router;
    pilot->worker.tick_ms = DOM_PILOT_TICK_MS;
    return dom_worker_start(&pilot->worker, router->store, "pilot", NULL, err);
}

void dom_pilot_stop(struct dom_router *router)
{
    dom_worker_stop(&router->pilot.worker);
}

void dom_pilot_cleanup(struct dom_router *router)
{
    struct dom_pilot *pilot = &router->pilot;

    dom_policy_unref(pilot->candidate);
    dom_snapshot_unref(pilot->on_trial);
    dom_tally_unref(pilot->tally);
    dom_root_cleanup(&pilot->root);
    if (pilot->dir[0] != '\0') {
        (void)pthread_mutex_destroy(&pilot->lock);
    }
}
