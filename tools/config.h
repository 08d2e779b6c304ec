/* The server's configuration: one libconfig file, then environment variables over it.
 *
 * Every key is known, typed and bounded; anything else is refused with file and line, and nothing
 * is half-loaded. Reference: docs/OPERATIONS.md. Thread contract: start-up only.
 */
#ifndef DOM_TOOLS_CONFIG_H
#define DOM_TOOLS_CONFIG_H

#include "base/error.h"
#include "base/log.h"
#include "router/service/router.h"
#include "store/store.h"

#define DOM_CONFIG_TEXT_MAX 512U
#define DOM_CONFIG_SINKS_MAX 64U

/* audit.sinks: second copies of logs. */
struct dom_config_sinks {
    size_t num;
    struct dom_store_sink items[DOM_CONFIG_SINKS_MAX]; /* into texts */
    char texts[DOM_CONFIG_SINKS_MAX][3][DOM_CONFIG_TEXT_MAX];
};

/* A list of texts in the file. */
struct dom_config_list {
    size_t num;
    const char *items[DOM_ROLE_IDS_MAX]; /* into texts */
    char texts[DOM_ROLE_IDS_MAX][DOM_CONFIG_TEXT_MAX];
};

struct dom_config {
    struct dom_router_options router; /* its strings point below */
    enum dom_log_level log_level;
    char listen[DOM_CONFIG_TEXT_MAX];
    char identity[DOM_CONFIG_TEXT_MAX];
    char data_dir[DOM_CONFIG_TEXT_MAX];
    char key_dir[DOM_CONFIG_TEXT_MAX];
    char policy[DOM_CONFIG_TEXT_MAX];
    char policy_root[DOM_CONFIG_TEXT_MAX];
    char policy_bundle[DOM_CONFIG_TEXT_MAX];
    bool policy_unsigned;
    char origin[DOM_CONFIG_TEXT_MAX];
    char compression[DOM_CONFIG_TEXT_MAX];
    char instance[DOM_CONFIG_TEXT_MAX];
    char metrics[DOM_CONFIG_TEXT_MAX];
    char log[DOM_CONFIG_TEXT_MAX];
    char witness_policy[DOM_CONFIG_TEXT_MAX];
    char witness_ca[DOM_CONFIG_TEXT_MAX];
    char witness_listen[DOM_CONFIG_TEXT_MAX];
    char witness_logs[DOM_CONFIG_TEXT_MAX];
    struct dom_config_sinks sinks;
    struct dom_rpc_tls_options tls; /* its strings point below */
    char tls_dir[DOM_CONFIG_TEXT_MAX];
    char tls_cert[DOM_CONFIG_TEXT_MAX];
    char tls_key[DOM_CONFIG_TEXT_MAX];
    char tls_ca[DOM_CONFIG_TEXT_MAX];
    char tls_crl[DOM_CONFIG_TEXT_MAX];
    char trust_domain[DOM_CONFIG_TEXT_MAX];
    struct dom_config_list policy_admins;
    struct dom_config_list operators;
    struct dom_config_list auditors;
};

/* Reads `path`, then DOMICILE_LISTEN, DOMICILE_DATA, DOMICILE_KEYS, DOMICILE_POLICY and
 * DOMICILE_LOG. Paths in the file are taken from the folder that the file is in.
 * Errors: IO, PERMISSION (everybody may write the file), PARSE (file:line), INVALID. */
enum dom_code dom_config_load(struct dom_config *config, const char *path,
                              struct dom_error *err) DOM_MUST_USE;

#endif
