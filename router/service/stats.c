/* What Prometheus sees. One place names every metric; docs/OPERATIONS.md explains them. */
#include <inttypes.h>

#include "router/metrics/metrics.h"
#include "router/service/internal.h"

struct store_metric {
    const char *name;
    const char *type;
    const char *help;
    size_t offset; /* of a uint64_t in struct dom_store_stats */
};

static const struct store_metric s_placing[] = {
    {"domicile_placement_remaining", "gauge", "Records still to be placed by the policy in force.",
     offsetof(struct dom_store_placing, remaining)},
    {"domicile_placement_moved", "gauge",
     "Records taken away, copied or moved since the placement changed last.",
     offsetof(struct dom_store_placing, moved)},
    {"domicile_placement_rehomed", "gauge", "Of those, to another home region.",
     offsetof(struct dom_store_placing, rehomed)},
    {"domicile_placement_without_place", "gauge", "Records that may lie nowhere and are not read.",
     offsetof(struct dom_store_placing, without_place)},
    {"domicile_placement_unpurged", "gauge",
     "Rows taken out of the region whose bytes are not purged yet.",
     offsetof(struct dom_store_placing, unpurged)},
    {"domicile_placement_purged_total", "counter",
     "Rows taken out of the region and physically purged.",
     offsetof(struct dom_store_placing, purged)},
};

#define STORE(field) offsetof(struct dom_store_stats, field)
#define RPC(field) offsetof(struct dom_rpc_stats, field)

static const struct store_metric s_store[] = {
    {"domicile_store_fsyncs_total", "counter", "Group commits made durable.", STORE(commits)},
    {"domicile_store_writes_total", "counter", "Records written or deleted at home.",
     STORE(writes)},
    {"domicile_store_applied_total", "counter", "Rows applied as replicas.", STORE(applied)},
    {"domicile_store_outbox", "gauge", "Replication jobs owed now.", STORE(outbox)},
    {"domicile_store_purges_total", "counter", "Physical purges of deleted bytes.", STORE(purges)},
    {"domicile_store_batch_bytes_total", "counter", "Bytes put into write batches.",
     STORE(bytes_written)},
    {"domicile_audit_entries_total", "counter", "Audit entries made durable.", STORE(entries)},
    {"domicile_audit_checkpoints_total", "counter", "Checkpoints signed.", STORE(checkpoints)},
    {"domicile_audit_lost_total", "counter",
     "Entries that were acknowledged and are not there. Anything but 0 is an incident.",
     STORE(lost)},
    {"domicile_audit_unanswered_total", "counter",
     "Entries that a failed write left in the log; an entry of type sink names them.",
     STORE(unanswered)},
    {"domicile_fsck_runs_total", "counter", "Whole checks of log and database.", STORE(fsck_runs)},
    {"domicile_fsck_findings_total", "counter", "Checks that found damage.", STORE(fsck_findings)},
    {"domicile_fsck_bytes_total", "counter", "Bytes read by checks.", STORE(fsck_bytes)},
    {"domicile_fsck_damaged", "gauge", "1: the last check found damage; the log says where.",
     STORE(fsck_damaged)},
    {"domicile_fsck_sound_timestamp_seconds", "gauge",
     "When a check found nothing wrong last; 0: not yet.", STORE(fsck_sound_s)},
    {"domicile_audit_cosignatures_total", "counter", "Cosignatures that witnesses gave.",
     STORE(cosigned)},
    {"domicile_audit_witness_failures_total", "counter",
     "Witnesses that gave no answer or an unusable one.", STORE(witness_failed)},
    {"domicile_audit_witness_refusals_total", "counter",
     "Witnesses that know another history of this log: somebody must look.",
     STORE(witness_refused)},
};

static const struct store_metric s_rpc[] = {
    {"domicile_rpc_calls_started_total", "counter", "Calls taken.", RPC(calls_started)},
    {"domicile_rpc_calls_finished_total", "counter", "Calls ended.", RPC(calls_finished)},
    {"domicile_rpc_calls_rejected_total", "counter", "Calls refused over the in-flight limit.",
     RPC(calls_rejected)},
    {"domicile_rpc_calls_cancelled_total", "counter", "Calls whose caller had gone.",
     RPC(calls_cancelled)},
    {"domicile_rpc_calls_unknown_total", "counter", "Calls of methods that do not exist.",
     RPC(calls_unknown)},
    {"domicile_rpc_in_flight", "gauge", "Calls being worked on.", RPC(in_flight)},
    {"domicile_rpc_received_bytes_total", "counter", "Request bytes.", RPC(bytes_received)},
    {"domicile_rpc_sent_bytes_total", "counter", "Answer bytes.", RPC(bytes_sent)},
};

static const struct store_metric s_tls[] = {
    {"domicile_tls_handshakes_refused_total", "counter", "Connections refused in the handshake.",
     RPC(handshakes_refused)},
    {"domicile_tls_reloads_total", "counter", "Certificate files loaded anew.", RPC(tls_reloads)},
    {"domicile_tls_reloads_failed_total", "counter",
     "Certificate files that could not take the place of the last good ones.",
     RPC(tls_reloads_failed)},
    {"domicile_tls_certificate_expires_timestamp_seconds", "gauge",
     "When the certificate of this router expires.", RPC(tls_cert_expires_s)},
    {"domicile_tls_crl_expires_timestamp_seconds", "gauge",
     "When a revocation list is due to be replaced; 0: there is none.", RPC(tls_crl_expires_s)},
};

static uint64_t at(const void *stats, size_t offset)
{
    uint64_t value = 0;

    memcpy(&value, (const char *)stats + offset, sizeof(value));
    return value;
}

static void render_store(struct dom_router *router, struct dom_buffer *out)
{
    size_t num_regions = dom_store_num_regions(router->store);

    for (size_t m = 0; m < DOM_ARRAY_LEN(s_store); m++) {
        dom_metrics_family(out, s_store[m].name, s_store[m].type, s_store[m].help);
        for (size_t i = 0; i < num_regions; i++) {
            struct dom_store_stats stats = {0};
            dom_store_stats(router->store, (dom_store_region)i, &stats);
            dom_buffer_printf(out, "%s{region=\"%s\"} %" PRIu64 "\n", s_store[m].name,
                              dom_store_region_name(router->store, (dom_store_region)i),
                              at(&stats, s_store[m].offset));
        }
    }
}

static void render_sinks(struct dom_router *router, struct dom_buffer *out)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
    } families[] = {
        {"domicile_audit_sink_up", "gauge", "1 while the second copy takes entries."},
        {"domicile_audit_sink_entries_total", "counter", "Entries durable in the second copy."},
        {"domicile_audit_sink_failures_total", "counter", "Times that the second copy went away."},
    };

    for (size_t f = 0; f < DOM_ARRAY_LEN(families); f++) {
        dom_metrics_family(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < dom_store_num_regions(router->store); i++) {
            dom_store_region region = (dom_store_region)i;
            for (size_t s = 0; s < dom_store_num_sinks(router->store, region); s++) {
                struct dom_store_sink_stats stats = {0};
                dom_store_sink_stats(router->store, region, s, &stats);
                uint64_t values[] = {stats.up ? 1 : 0, stats.entries, stats.failures};
                dom_buffer_printf(out, "%s{region=\"%s\",sink=\"%s\"} %" PRIu64 "\n",
                                  families[f].name, dom_store_region_name(router->store, region),
                                  stats.name, values[f]);
            }
        }
    }
}

static void render_closed(struct dom_router *router, struct dom_buffer *out)
{
    dom_metrics_family(out, "domicile_audit_closed", "gauge",
                       "1 while a region's log takes no entries for this reason.");
    for (size_t i = 0; i < dom_store_num_regions(router->store); i++) {
        struct dom_store_stats stats = {0};
        dom_store_stats(router->store, (dom_store_region)i, &stats);
        for (unsigned bit = 0; dom_store_closed_word(bit) != NULL; bit++) {
            dom_buffer_printf(out, "domicile_audit_closed{region=\"%s\",reason=\"%s\"} %d\n",
                              dom_store_region_name(router->store, (dom_store_region)i),
                              dom_store_closed_word(bit), (int)(stats.closed >> bit & 1U));
        }
    }
    dom_metrics_family(out, "domicile_audit_late_total", "counter",
                       "Entries durable after their caller was told that they could not be "
                       "written; an entry of type sink names them.");
    for (size_t i = 0; i < dom_store_num_regions(router->store); i++) {
        dom_buffer_printf(out, "domicile_audit_late_total{region=\"%s\"} %" PRIu64 "\n",
                          dom_store_region_name(router->store, (dom_store_region)i),
                          (uint64_t)atomic_load_explicit(&router->waits.num_late[i],
                                                         memory_order_relaxed));
    }
}

static void render_placing(struct dom_router *router, struct dom_buffer *out)
{
    size_t num_regions = dom_store_num_regions(router->store);

    for (size_t m = 0; m < DOM_ARRAY_LEN(s_placing); m++) {
        dom_metrics_family(out, s_placing[m].name, s_placing[m].type, s_placing[m].help);
        for (size_t i = 0; i < num_regions; i++) {
            struct dom_store_placing placing;
            dom_store_placing(router->store, (dom_store_region)i, &placing);
            dom_buffer_printf(out, "%s{region=\"%s\"} %" PRIu64 "\n", s_placing[m].name,
                              dom_store_region_name(router->store, (dom_store_region)i),
                              at(&placing, s_placing[m].offset));
        }
    }
}

static void render_identity(const struct dom_router *router, const struct dom_rpc_stats *stats,
                            struct dom_buffer *out)
{
    dom_metrics_family(out, "domicile_identity_refused_total", "counter",
                       "Calls whose certificate names nobody, by reason.");
    for (unsigned i = DOM_RPC_FAULT_NONE + 1; i < DOM_RPC_FAULT_COUNT; i++) {
        dom_buffer_printf(out, "domicile_identity_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                          dom_rpc_fault_reason((enum dom_rpc_fault)i),
                          stats->identities_refused[i]);
    }
    dom_metrics_family(out, "domicile_identity_claims_differing_total", "counter",
                       "Calls whose metadata claims another region or service than is proven.");
    dom_buffer_printf(
        out, "domicile_identity_claims_differing_total %" PRIu64 "\n",
        (uint64_t)atomic_load_explicit(&router->claims_differing, memory_order_relaxed));
    for (size_t m = 0; router->options.tls != NULL && m < DOM_ARRAY_LEN(s_tls); m++) {
        dom_metrics_family(out, s_tls[m].name, s_tls[m].type, s_tls[m].help);
        dom_buffer_printf(out, "%s %" PRIu64 "\n", s_tls[m].name, at(stats, s_tls[m].offset));
    }
}

static void put_gauge(struct dom_buffer *out, const char *name, const char *help, uint64_t value)
{
    dom_metrics_family(out, name, "gauge", help);
    dom_buffer_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void render_rollout(struct dom_router *router, struct dom_buffer *out)
{
    struct dom_pilot *pilot = &router->pilot;
    struct dom_rollout_tally tally = {0};

    (void)pthread_mutex_lock(&pilot->lock);
    struct dom_pilot_view view = pilot->view;
    if (pilot->tally != NULL) {
        dom_pilot_read_tally(pilot->tally, &tally);
    }
    (void)pthread_mutex_unlock(&pilot->lock);
    const struct dom_rollout *rollout = &view.rollout;
    dom_metrics_family(out, "domicile_policy_rollout_phase", "gauge",
                       "1 for the phase of the roll-out.");
    for (int i = 0; i < DOM_PHASE_COUNT; i++) {
        dom_buffer_printf(out, "domicile_policy_rollout_phase{phase=\"%s\"} %d\n",
                          dom_rollout_phase_name((enum dom_rollout_phase)i),
                          rollout->phase == (enum dom_rollout_phase)i ? 1 : 0);
    }
    put_gauge(out, "domicile_policy_candidate_version",
              "Version under way, or taken back last; 0: none.",
              (uint64_t)rollout->candidate.version);
    put_gauge(out, "domicile_policy_rollout_requests", "Requests compared in this step.",
              tally.requests);
    put_gauge(out, "domicile_policy_rollout_disagreements",
              "Of these: the candidate says something else.", tally.disagreements);
    put_gauge(out, "domicile_policy_rollout_new_denies",
              "Of these: it denies or withholds what passes.", tally.new_denies);
    put_gauge(out, "domicile_policy_rollout_eval_errors",
              "Of these: it cannot be asked.", tally.eval_errors);
    put_gauge(out, "domicile_policy_frozen", "1: nothing crosses a border.",
              rollout->frozen ? 1 : 0);
    dom_metrics_family(out, "domicile_policy_bundles_refused_total", "counter",
                       "Pushed policies and orders that were refused.");
    dom_buffer_printf(out, "domicile_policy_bundles_refused_total %" PRIu64 "\n", view.refused);
}

void dom_router_render_metrics(void *context, struct dom_buffer *out)
{
    struct dom_router *router = context;
    struct dom_rpc_stats stats = {0};

    dom_rpc_server_stats(router->server, &stats);
    for (size_t m = 0; m < DOM_ARRAY_LEN(s_rpc); m++) {
        dom_metrics_family(out, s_rpc[m].name, s_rpc[m].type, s_rpc[m].help);
        dom_buffer_printf(out, "%s %" PRIu64 "\n", s_rpc[m].name, at(&stats, s_rpc[m].offset));
    }
    render_identity(router, &stats, out);
    render_store(router, out);
    render_closed(router, out);
    render_placing(router, out);
    render_sinks(router, out);
    struct dom_snapshot *snapshot = dom_holder_get(&router->holder);
    const struct dom_policy_info *info = dom_policy_info(snapshot->policy);
    dom_metrics_family(out, "domicile_policy_version", "gauge", "Version of the policy in force.");
    dom_buffer_printf(out, "domicile_policy_version{policy=\"%s\"} %" PRId64 "\n", info->name,
                      info->version);
    dom_metrics_family(out, "domicile_policy_expires_timestamp_seconds", "gauge",
                       "When the policy in force expires.");
    dom_buffer_printf(out, "domicile_policy_expires_timestamp_seconds %" PRId64 "\n",
                      info->expires_ms / 1000);
    dom_snapshot_unref(snapshot);
    (void)pthread_mutex_lock(&router->holder.lock);
    uint64_t failed = router->holder.reloads_failed;
    (void)pthread_mutex_unlock(&router->holder.lock);
    dom_metrics_family(out, "domicile_policy_reloads_failed_total", "counter",
                       "Policy reloads that were refused.");
    dom_buffer_printf(out, "domicile_policy_reloads_failed_total %" PRIu64 "\n", failed);
    render_rollout(router, out);
    dom_metrics_family(out, "domicile_audit_logs_closed", "gauge",
                       "Regions whose audit log cannot be written now.");
    dom_buffer_printf(out, "domicile_audit_logs_closed %u\n",
                      atomic_load_explicit(&router->closed_logs, memory_order_relaxed));
}
