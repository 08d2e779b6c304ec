/* The router: gRPC services over policy and store. What a request may do is decided in policy/,
 * how it goes is planned in router/core, bytes are kept in store/, and this package joins them.
 *
 * Thread contract: new, run and destroy on one thread; reload and shutdown from any.
 */
#ifndef DOM_ROUTER_SERVICE_ROUTER_H
#define DOM_ROUTER_SERVICE_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "policy/finding.h"
#include "router/rpc/server.h"

struct dom_router;
struct dom_store_sink;

#define DOM_ROLE_IDS_MAX 64U

struct dom_router_role {
    const char *const *ids;
    size_t num_ids;
};

struct dom_router_options {
    const char *listen;           /* "127.0.0.1:7443" */
    bool insecure_loopback;       /* identity from metadata; loopback only */
    const struct dom_rpc_tls_options *tls; /* mTLS instead */
    /* SPIFFE ids: who may change the policy, drain the process, read entries. Empty lists: nobody
     * over mTLS. Not looked at in the insecure mode. At most DOM_ROLE_IDS_MAX each. */
    struct dom_router_role policy_admins;
    struct dom_router_role operators;
    struct dom_router_role auditors;
    unsigned approvals;           /* 2: a reload needs two policy administrators within ten minutes,
                                   * even if the policy in force asks for one; else as it says */
    const char *data_dir;
    const char *key_dir;          /* NULL: <data>/keys */
    const char *policy_path;
    const char *policy_root;      /* who may sign policies: only signed ones are taken then. NULL: any */
    const char *policy_bundle;    /* that signs the file at the first start; NULL: <policy_path>.bundle */
    const char *audit_origin;     /* logs are "<audit_origin>/<region>" */
    const char *compression;      /* NULL: the store's default */
    uint64_t checkpoint_ms;       /* 0: default */
    const struct dom_store_sink *sinks; /* second copies of logs; borrowed (store/store.h) */
    size_t num_sinks;
    uint64_t audit_wait_ms;       /* how long a caller waits for its entry; 0: DOM_AUDIT_WAIT_MS */
    uint64_t purge_ms;
    uint64_t place_per_s;         /* records a second that a new placement may copy; 0: default */
    uint64_t block_cache_bytes;
    uint64_t write_buffer_bytes;
    uint64_t prune_interval_ms;   /* as in struct dom_store_options; 0: never */
    uint64_t mirror_ms;           /* as in struct dom_store_options; 0: never */
    uint64_t fsck_interval_ms;    /* as in struct dom_store_options, with the next; 0: never */
    uint64_t fsck_rate;
    unsigned witness_regions;     /* as in struct dom_store_options, with the next three */
    const char *witness_policy;
    const char *witness_ca;
    uint64_t witness_timeout_ms;
    const char *witness_listen;   /* "127.0.0.1:7480": POST /<region>/add-checkpoint; NULL: none */
    const char *witness_logs;     /* a tlog-policy: whose logs the regions cosign there */
    uint64_t drain_ms;
    uint64_t connection_age_ms;
    unsigned in_flight_max;
    bool test_plain;              /* TEST ONLY: no encryption, no blind keys */
    bool echo;                    /* also serve /domicile.bench.Echo/Echo, the raw unit of cost */
    const struct dom_clock *clock; /* NULL: the system's */
    const char *metrics;          /* "127.0.0.1:9464": Prometheus text at /metrics; NULL: none */
    const char *instance;         /* names this process in entries */
};

/* Opens everything: policy, every region of it, the port. `findings` gets the policy's. On an error
 * nothing is left open. Errors: any of policy, store, rpc. */
enum dom_code dom_router_new(struct dom_router **routerp, struct dom_findings *findings,
                             const struct dom_router_options *options,
                             struct dom_error *err) DOM_MUST_USE;
/* "127.0.0.1:41234" */
const char *dom_router_address(const struct dom_router *router);
/* The port of the witnesses' endpoint; 0: none. */
unsigned dom_router_witness_port(const struct dom_router *router);
/* The port of the metrics page; 0: none. */
unsigned dom_router_metrics_port(const struct dom_router *router);
/* Serves until dom_router_shutdown, then drains. */
void dom_router_run(struct dom_router *router);
void dom_router_shutdown(struct dom_router *router);
/* Loads the policy file anew on a thread of its own; the outcome is logged and in
 * GetPolicyStatus. Whole or not at all. Looks at the certificate files too. */
void dom_router_reload(struct dom_router *router);
void dom_router_destroy(struct dom_router *router);

#endif
