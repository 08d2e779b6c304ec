#include "tools/config.h"

#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "router/rpc/spiffe.h"

enum key_type { KEY_TEXT, KEY_PATH, KEY_COUNT, KEY_FLAG, KEY_LIST, KEY_SINKS };

/* One known key: where it goes, and its bounds. */
struct key {
    const char *path; /* dotted, as libconfig looks it up */
    enum key_type type;
    void *to; /* char[DOM_CONFIG_TEXT_MAX], uint64_t, bool or struct dom_config_list */
    int64_t min;
    int64_t max;
    uint64_t scale; /* COUNT: the value is multiplied by this */
    const char *environment;
};

#define KEYS_MAX 64U /* with the end of the table */
#define FSCK_INTERVAL_MS  86400000U
#define PRUNE_INTERVAL_MS 3600000U
#define MIRROR_MS         1000U
#define WITNESS_REGIONS 2U /* other regions that cosign each log, when not set */
#define CONNECTION_AGE_MS 3600000U /* over mTLS, when not set */

struct counts {
    uint64_t in_flight;
    uint64_t approvals;
    uint64_t witness_regions;
};

/* The table ends with a key without a path. */
static void list_keys(struct key keys[KEYS_MAX], struct dom_config *c, struct counts *counts)
{
    struct dom_router_options *r = &c->router;
    const struct key all[] = {
        {"listen", KEY_TEXT, c->listen, 0, 0, 0, "DOMICILE_LISTEN"},
        {"identity", KEY_TEXT, c->identity, 0, 0, 0, NULL},
        {"data", KEY_PATH, c->data_dir, 0, 0, 0, "DOMICILE_DATA"},
        {"keys", KEY_PATH, c->key_dir, 0, 0, 0, "DOMICILE_KEYS"},
        {"policy", KEY_PATH, c->policy, 0, 0, 0, "DOMICILE_POLICY"},
        {"policy_root", KEY_PATH, c->policy_root, 0, 0, 0, NULL},
        {"policy_bundle", KEY_PATH, c->policy_bundle, 0, 0, 0, NULL},
        {"policy_unsigned", KEY_FLAG, &c->policy_unsigned, 0, 0, 0, NULL},
        {"instance", KEY_TEXT, c->instance, 0, 0, 0, NULL},
        {"log", KEY_TEXT, c->log, 0, 0, 0, "DOMICILE_LOG"},
        {"metrics", KEY_TEXT, c->metrics, 0, 0, 0, "DOMICILE_METRICS"},
        {"drain_ms", KEY_COUNT, &r->drain_ms, 1, 600000, 1, NULL},
        {"audit.origin", KEY_TEXT, c->origin, 0, 0, 0, NULL},
        {"audit.checkpoint_ms", KEY_COUNT, &r->checkpoint_ms, 10, DOM_CHECKPOINT_DELAY_MS_MAX, 1,
         NULL},
        {"audit.sinks", KEY_SINKS, &c->sinks, 0, 0, 0, NULL},
        {"audit.wait_ms", KEY_COUNT, &r->audit_wait_ms, 20, DOM_AUDIT_WAIT_MS_MAX, 1, NULL},
        {"store.compression", KEY_TEXT, c->compression, 0, 0, 0, NULL},
        {"store.block_cache_mib", KEY_COUNT, &r->block_cache_bytes, 1, 65536, 1U << 20, NULL},
        {"store.write_buffer_mib", KEY_COUNT, &r->write_buffer_bytes, 1, 1024, 1U << 20, NULL},
        {"store.place_per_s", KEY_COUNT, &r->place_per_s, 1, 1000000, 1, NULL},
        {"store.purge_ms", KEY_COUNT, &r->purge_ms, 100, 3600000, 1, NULL},
        {"audit.prune_interval_s", KEY_COUNT, &r->prune_interval_ms, 0, 31536000, 1000, NULL},
        {"audit.mirror_ms", KEY_COUNT, &r->mirror_ms, 0, 3600000, 1, NULL},
        {"audit.fsck_interval_s", KEY_COUNT, &r->fsck_interval_ms, 0, 31536000, 1000, NULL},
        {"audit.fsck_kib_per_s", KEY_COUNT, &r->fsck_rate, 16, 16777216, 1024, NULL},
        {"witness.regions", KEY_COUNT, &counts->witness_regions, 0, DOM_WITNESS_REGIONS_MAX, 1,
         NULL},
        {"witness.policy", KEY_PATH, c->witness_policy, 0, 0, 0, NULL},
        {"witness.ca", KEY_PATH, c->witness_ca, 0, 0, 0, NULL},
        {"witness.timeout_ms", KEY_COUNT, &r->witness_timeout_ms, 1, 60000, 1, NULL},
        {"witness.listen", KEY_TEXT, c->witness_listen, 0, 0, 0, NULL},
        {"witness.logs", KEY_PATH, c->witness_logs, 0, 0, 0, NULL},
        {"limits.in_flight_calls", KEY_COUNT, &counts->in_flight, 1, DOM_IN_FLIGHT_CALLS_MAX, 1,
         NULL},
        {"limits.connection_age_ms", KEY_COUNT, &r->connection_age_ms, 1000, 86400000, 1, NULL},
        {"tls.dir", KEY_PATH, c->tls_dir, 0, 0, 0, NULL},
        {"tls.cert", KEY_PATH, c->tls_cert, 0, 0, 0, NULL},
        {"tls.key", KEY_PATH, c->tls_key, 0, 0, 0, NULL},
        {"tls.ca", KEY_PATH, c->tls_ca, 0, 0, 0, NULL},
        {"tls.crl", KEY_PATH, c->tls_crl, 0, 0, 0, NULL},
        {"tls.trust_domain", KEY_TEXT, c->trust_domain, 0, 0, 0, NULL},
        {"tls.poll_ms", KEY_COUNT, &c->tls.poll_ms, 10, 3600000, 1, NULL},
        {"roles.policy", KEY_LIST, &c->policy_admins, 0, 0, 0, NULL},
        {"roles.operators", KEY_LIST, &c->operators, 0, 0, 0, NULL},
        {"roles.auditors", KEY_LIST, &c->auditors, 0, 0, 0, NULL},
        {"roles.approvals", KEY_COUNT, &counts->approvals, 1, 2, 1, NULL},
        {"test_plain", KEY_FLAG, &r->test_plain, 0, 0, 0, NULL},
        {"bench_echo", KEY_FLAG, &r->echo, 0, 0, 0, NULL},
    };

    _Static_assert(DOM_ARRAY_LEN(all) < KEYS_MAX, "the table needs an end");
    memset(keys, 0, KEYS_MAX * sizeof(*keys));
    memcpy(keys, all, sizeof(all));
}

static enum dom_code set_text(const struct key *key, const char *value, const char *folder,
                              const char *place, struct dom_error *err)
{
    bool relative = key->type == KEY_PATH && value[0] != '/' && folder[0] != '\0';
    int len = snprintf(key->to, DOM_CONFIG_TEXT_MAX, "%s%s%s", relative ? folder : "",
                       relative ? "/" : "", value);

    if (value[0] == '\0' || len < 0 || (size_t)len >= DOM_CONFIG_TEXT_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s is empty or longer than %u bytes", place,
                        key->path, DOM_CONFIG_TEXT_MAX - 1);
    }
    return DOM_OK;
}

static enum dom_code set_list(const struct key *key, config_setting_t *setting, const char *place,
                              struct dom_error *err)
{
    struct dom_config_list *list = key->to;
    int num = config_setting_length(setting);

    if (!config_setting_is_list(setting) && !config_setting_is_array(setting)) {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s must be a list: ( \"...\", \"...\" )", place,
                        key->path);
    }
    if (num > (int)DOM_ROLE_IDS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s has more than %u items", place, key->path,
                        DOM_ROLE_IDS_MAX);
    }
    for (int i = 0; i < num; i++) {
        const char *text = config_setting_get_string_elem(setting, i);
        struct dom_spiffe_id id;
        if (text == NULL || !dom_spiffe_parse(&id, dom_slice_str(text)) ||
            !dom_slice_to_cstr(dom_slice_str(text), list->texts[i], DOM_CONFIG_TEXT_MAX)) {
            return DOM_FAIL(err, DOM_INVALID,
                            "%s: %s: item %d is not "
                            "\"spiffe://TRUST-DOMAIN/region/REGION/service/NAME\"",
                            place, key->path, i + 1);
        }
        list->items[i] = list->texts[i];
    }
    list->num = (size_t)num;
    return DOM_OK;
}

/* One member of a sink: text `which` of its three. */
static enum dom_code set_sink_text(char to[DOM_CONFIG_TEXT_MAX], config_setting_t *member,
                                   bool is_path, const char *folder, const char *place,
                                   struct dom_error *err)
{
    const char *text = config_setting_get_string(member);
    const struct key key = {config_setting_name(member), is_path ? KEY_PATH : KEY_TEXT, to, 0, 0, 0,
                            NULL};

    if (text == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "%s: audit.sinks: %s must be a text in quotes", place,
                        config_setting_name(member));
    }
    return set_text(&key, text, folder, place, err);
}

static enum dom_code set_sink(struct dom_config_sinks *sinks, config_setting_t *group,
                              const char *folder, const char *place, struct dom_error *err)
{
    static const char *const names[] = {"name", "region", "dir"};
    char(*texts)[DOM_CONFIG_TEXT_MAX] = sinks->texts[sinks->num];

    if (!config_setting_is_group(group)) {
        return DOM_FAIL(err, DOM_INVALID,
                        "%s: audit.sinks: each is { name = \"...\"; region = \"...\"; dir = "
                        "\"...\"; }",
                        place);
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        config_setting_t *member = config_setting_get_elem(group, (unsigned)i);
        size_t which = 0;
        while (which < DOM_ARRAY_LEN(names) &&
               strcmp(names[which], config_setting_name(member)) != 0) {
            which++;
        }
        if (which == DOM_ARRAY_LEN(names)) {
            return DOM_FAIL(err, DOM_INVALID, "%s: audit.sinks: unknown key \"%s\"", place,
                            config_setting_name(member));
        }
        enum dom_code rc = set_sink_text(texts[which], member, which == 2, folder, place, err);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    for (size_t which = 0; which < DOM_ARRAY_LEN(names); which++) {
        if (texts[which][0] == '\0') {
            return DOM_FAIL(err, DOM_INVALID, "%s: audit.sinks: %s is missing", place,
                            names[which]);
        }
    }
    if (strlen(texts[0]) > DOM_POLICY_NAME_BYTES_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "%s: audit.sinks: a name of more than %u bytes", place,
                        DOM_POLICY_NAME_BYTES_MAX);
    }
    sinks->items[sinks->num++] =
        (struct dom_store_sink){.name = texts[0], .region = texts[1], .dir = texts[2]};
    return DOM_OK;
}

static enum dom_code set_sinks(const struct key *key, config_setting_t *setting, const char *folder,
                               const char *place, struct dom_error *err)
{
    if (!config_setting_is_list(setting)) {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s must be a list: ( { ... }, { ... } )", place,
                        key->path);
    }
    if (config_setting_length(setting) > (int)DOM_CONFIG_SINKS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s has more than %u items", place, key->path,
                        DOM_CONFIG_SINKS_MAX);
    }
    for (int i = 0; i < config_setting_length(setting); i++) {
        config_setting_t *group = config_setting_get_elem(setting, (unsigned)i);
        enum dom_code rc = set_sink(key->to, group, folder, place, err);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    return DOM_OK;
}

static enum dom_code set_key(const struct key *key, config_setting_t *setting, const char *folder,
                             const char *place, struct dom_error *err)
{
    int type = config_setting_type(setting);

    if (key->type == KEY_FLAG) {
        if (type != CONFIG_TYPE_BOOL) {
            return DOM_FAIL(err, DOM_INVALID, "%s: %s must be true or false", place, key->path);
        }
        *(bool *)key->to = config_setting_get_bool(setting) != 0;
        return DOM_OK;
    }
    if (key->type == KEY_COUNT) {
        if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
            return DOM_FAIL(err, DOM_INVALID, "%s: %s must be a whole number", place, key->path);
        }
        int64_t value = config_setting_get_int64(setting);
        if (value < key->min || value > key->max) {
            return DOM_FAIL(err, DOM_INVALID, "%s: %s is %lld; it must be %lld to %lld", place,
                            key->path, (long long)value, (long long)key->min, (long long)key->max);
        }
        *(uint64_t *)key->to = (uint64_t)value * key->scale;
        return DOM_OK;
    }
    if (key->type == KEY_SINKS) {
        return set_sinks(key, setting, folder, place, err);
    }
    if (key->type == KEY_LIST) {
        return set_list(key, setting, place, err);
    }
    const char *text = config_setting_get_string(setting);
    if (text == NULL) {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s must be a text in quotes", place, key->path);
    }
    return set_text(key, text, folder, place, err);
}

static const struct key *find_key(const struct key *keys, const char *path)
{
    for (size_t i = 0; keys[i].path != NULL; i++) {
        if (strcmp(keys[i].path, path) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static bool is_group(const struct key *keys, const char *path)
{
    size_t len = strlen(path);

    for (size_t i = 0; keys[i].path != NULL; i++) {
        if (strncmp(keys[i].path, path, len) == 0 && keys[i].path[len] == '.') {
            return true;
        }
    }
    return false;
}

/* Walks the settings of one group (two levels at most). */
static enum dom_code take_group(const struct key *keys, config_setting_t *group, const char *prefix,
                                const char *file, const char *folder, struct dom_error *err)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        char path[128];
        char place[PATH_MAX + 16];
        (void)snprintf(path, sizeof(path), "%s%s", prefix, config_setting_name(setting));
        (void)snprintf(place, sizeof(place), "%s:%u", file,
                       (unsigned)config_setting_source_line(setting));
        const struct key *key = find_key(keys, path);
        enum dom_code rc = DOM_OK;
        if (key != NULL) {
            rc = set_key(key, setting, folder, place, err);
        } else if (config_setting_is_group(setting) && prefix[0] == '\0' && is_group(keys, path)) {
            char inner[130];
            (void)snprintf(inner, sizeof(inner), "%s.", path);
            rc = take_group(keys, setting, inner, file, folder, err);
        } else {
            rc = DOM_FAIL(err, DOM_INVALID,
                          "%s: unknown key \"%s\" (docs/OPERATIONS.md lists all)", place, path);
        }
        if (rc != DOM_OK) {
            return rc;
        }
    }
    return DOM_OK;
}

static enum dom_code take_file(const struct key *keys, const char *path, struct dom_error *err)
{
    config_t parsed;
    char folder[PATH_MAX] = "";
    struct stat st;
    enum dom_code rc = DOM_OK;

    const char *slash = strrchr(path, '/');
    if (slash != NULL && (size_t)(slash - path) < sizeof(folder)) {
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = '\0';
    }
    config_init(&parsed);
    if (access(path, R_OK) != 0 || stat(path, &st) != 0) {
        rc = DOM_FAIL(err, DOM_IO, "%s: cannot be read", path);
    } else if ((st.st_mode & S_IWOTH) != 0) {
        rc = DOM_FAIL(err, DOM_PERMISSION, "%s has mode %04o: everybody may change it; chmod o-w it",
                      path, (unsigned)st.st_mode & 07777U);
    } else if (config_read_file(&parsed, path) != CONFIG_TRUE) {
        rc = DOM_FAIL(err, DOM_PARSE, "%s:%d: %s", path, config_error_line(&parsed),
                      config_error_text(&parsed));
    } else {
        rc = take_group(keys, config_root_setting(&parsed), "", path, folder, err);
    }
    config_destroy(&parsed);
    return rc;
}

static enum dom_code take_environment(const struct key *keys, struct dom_error *err)
{
    for (size_t i = 0; keys[i].path != NULL; i++) {
        const char *value = keys[i].environment == NULL ? NULL : getenv(keys[i].environment);
        if (value != NULL) {
            enum dom_code rc = set_text(&keys[i], value, "", keys[i].environment, err);
            if (rc != DOM_OK) {
                return rc;
            }
        }
    }
    return DOM_OK;
}

/* The first of the names that is a file of the folder, else the first. */
static void pick(char out[DOM_CONFIG_TEXT_MAX], const char *dir, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        (void)snprintf(out, DOM_CONFIG_TEXT_MAX, "%s/%s", dir, names[i]);
        if (access(out, F_OK) == 0) {
            return;
        }
    }
    (void)snprintf(out, DOM_CONFIG_TEXT_MAX, "%s/%s", dir, names[0]);
}

/* The names that SPIRE's helpers write, and `domicile pki` too. */
static void take_dir(struct dom_config *c)
{
    static const char *const certs[] = {"svid.pem", "svid.0.pem", NULL};
    static const char *const keys[] = {"svid_key.pem", "svid.key", "svid.0.key", NULL};
    static const char *const bundles[] = {"bundle.pem", "svid_bundle.pem", "bundle.0.pem", NULL};

    if (c->tls_cert[0] == '\0') {
        pick(c->tls_cert, c->tls_dir, certs);
    }
    if (c->tls_key[0] == '\0') {
        pick(c->tls_key, c->tls_dir, keys);
    }
    if (c->tls_ca[0] == '\0') {
        pick(c->tls_ca, c->tls_dir, bundles);
    }
}

static enum dom_code check_role_ids(const struct dom_config_list *list, const char *trust_domain,
                                    const char *path, struct dom_error *err)
{
    for (size_t i = 0; i < list->num; i++) {
        struct dom_spiffe_id id;
        if (!dom_spiffe_parse(&id, dom_slice_str(list->items[i])) ||
            !dom_slice_eq_str(id.trust_domain, trust_domain)) {
            return DOM_FAIL(err, DOM_INVALID, "%s: %s is not of the trust domain %s", path,
                            list->items[i], trust_domain);
        }
    }
    return DOM_OK;
}

static enum dom_code check_mtls(struct dom_config *c, const char *path, struct dom_error *err)
{
    const struct {
        const char *name;
        const char *value;
    } needed[] = {{"cert", c->tls_cert},
                  {"key", c->tls_key},
                  {"ca", c->tls_ca},
                  {"trust_domain", c->trust_domain}};

    for (size_t i = 0; i < DOM_ARRAY_LEN(needed); i++) {
        if (needed[i].value[0] == '\0') {
            return DOM_FAIL(err, DOM_INVALID,
                            "%s: identity is \"mtls\" and tls.%s is missing (tls.dir names a "
                            "folder with svid.pem, svid_key.pem and bundle.pem)",
                            path, needed[i].name);
        }
    }
    if (!dom_spiffe_trust_domain_valid(dom_slice_str(c->trust_domain))) {
        return DOM_FAIL(err, DOM_INVALID, "%s: tls.trust_domain is not [a-z0-9._-]+", path);
    }
    enum dom_code rc = check_role_ids(&c->policy_admins, c->trust_domain, path, err);
    rc = rc == DOM_OK ? check_role_ids(&c->operators, c->trust_domain, path, err) : rc;
    return rc == DOM_OK ? check_role_ids(&c->auditors, c->trust_domain, path, err) : rc;
}

static enum dom_code check_identity(struct dom_config *c, const char *path, struct dom_error *err)
{
    bool mtls = strcmp(c->identity, "mtls") == 0;

    if (!mtls && strcmp(c->identity, "insecure-loopback") != 0) {
        return DOM_FAIL(err, DOM_INVALID,
                        "%s: identity is \"%s\"; one of \"mtls\" and \"insecure-loopback\"",
                        path, c->identity);
    }
    if (c->tls_dir[0] != '\0') {
        take_dir(c);
    }
    if (!mtls) {
        return c->tls_cert[0] == '\0' && c->policy_admins.num == 0 && c->operators.num == 0 &&
                       c->auditors.num == 0
                   ? DOM_OK
                   : DOM_FAIL(err, DOM_INVALID,
                              "%s: tls and roles mean nothing with \"insecure-loopback\"", path);
    }
    return check_mtls(c, path, err);
}

/* A plain policy is for development: who can write the file could write the law. */
static enum dom_code check_signing(const struct dom_config *c, const char *path,
                                   struct dom_error *err)
{
    bool mtls = strcmp(c->identity, "mtls") == 0;
    bool rooted = c->policy_root[0] != '\0';

    if (rooted && c->policy_unsigned) {
        return DOM_FAIL(err, DOM_INVALID, "%s: policy_root and policy_unsigned exclude each other",
                        path);
    }
    if (!rooted && c->policy_bundle[0] != '\0') {
        return DOM_FAIL(err, DOM_INVALID, "%s: policy_bundle means nothing without policy_root",
                        path);
    }
    if (mtls && !rooted && !c->policy_unsigned) {
        return DOM_FAIL(err, DOM_INVALID,
                        "%s: policy_root is missing: name the file that says who may sign policies; "
                        "for development write policy_unsigned = true",
                        path);
    }
    return DOM_OK;
}

static enum dom_code check(struct dom_config *c, const char *path, struct dom_error *err)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const codecs[] = {"none", "snappy", "lz4", "zstd"};
    bool level_known = false;
    bool codec_known = c->compression[0] == '\0';

    for (size_t i = 0; i < DOM_ARRAY_LEN(levels); i++) {
        if (strcmp(c->log, levels[i]) == 0) {
            c->log_level = (enum dom_log_level)i;
            level_known = true;
        }
        codec_known = codec_known || strcmp(c->compression, codecs[i]) == 0;
    }
    if (!level_known) {
        return DOM_FAIL(err, DOM_INVALID, "%s: log is \"%s\"; one of debug, info, warn, error",
                        path, c->log);
    }
    if (!codec_known) {
        return DOM_FAIL(err, DOM_INVALID,
                        "%s: store.compression is \"%s\"; one of none, snappy, lz4, zstd", path,
                        c->compression);
    }
    enum dom_code rc = check_identity(c, path, err);
    if (rc == DOM_OK) {
        rc = check_signing(c, path, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    if (c->data_dir[0] == '\0' || c->policy[0] == '\0') {
        return DOM_FAIL(err, DOM_INVALID, "%s: %s is missing", path,
                        c->data_dir[0] == '\0' ? "data" : "policy");
    }
    return DOM_OK;
}

static struct dom_router_role role_of(const struct dom_config_list *list)
{
    return (struct dom_router_role){.ids = list->items, .num_ids = list->num};
}

/* Hands what was checked to the router's options. */
static void take_tls(struct dom_config *c)
{
    struct dom_router_options *r = &c->router;

    if (r->insecure_loopback) {
        return;
    }
    c->tls.cert = c->tls_cert;
    c->tls.key = c->tls_key;
    c->tls.ca = c->tls_ca;
    c->tls.crl = c->tls_crl[0] == '\0' ? NULL : c->tls_crl;
    c->tls.trust_domain = c->trust_domain;
    r->tls = &c->tls;
    r->policy_admins = role_of(&c->policy_admins);
    r->operators = role_of(&c->operators);
    r->auditors = role_of(&c->auditors);
    if (r->connection_age_ms == 0) {
        r->connection_age_ms = CONNECTION_AGE_MS;
    }
}

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

enum dom_code dom_config_load(struct dom_config *config, const char *path, struct dom_error *err)
{
    struct key keys[KEYS_MAX];
    struct counts counts = {.witness_regions = WITNESS_REGIONS};

    memset(config, 0, sizeof(*config));
    (void)snprintf(config->listen, sizeof(config->listen), "127.0.0.1:7443");
    (void)snprintf(config->origin, sizeof(config->origin), "audit.domicile.invalid");
    (void)snprintf(config->log, sizeof(config->log), "info");
    (void)gethostname(config->instance, sizeof(config->instance) - 1);
    config->router.fsck_interval_ms = FSCK_INTERVAL_MS;
    config->router.prune_interval_ms = PRUNE_INTERVAL_MS;
    config->router.mirror_ms = MIRROR_MS;
    list_keys(keys, config, &counts);
    enum dom_code rc = take_file(keys, path, err);
    if (rc == DOM_OK) {
        rc = take_environment(keys, err);
    }
    if (rc == DOM_OK) {
        rc = check(config, path, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    config->router.listen = config->listen;
    config->router.insecure_loopback = strcmp(config->identity, "mtls") != 0;
    take_tls(config);
    config->router.approvals = (unsigned)counts.approvals;
    config->router.data_dir = config->data_dir;
    config->router.key_dir = or_null(config->key_dir);
    config->router.policy_path = config->policy;
    config->router.policy_root = config->policy_root[0] == '\0' ? NULL : config->policy_root;
    config->router.policy_bundle = config->policy_bundle[0] == '\0' ? NULL : config->policy_bundle;
    config->router.audit_origin = config->origin;
    config->router.compression = or_null(config->compression);
    config->router.metrics = or_null(config->metrics);
    config->router.sinks = config->sinks.items;
    config->router.num_sinks = config->sinks.num;
    config->router.instance = config->instance;
    config->router.witness_regions = (unsigned)counts.witness_regions;
    config->router.witness_policy = or_null(config->witness_policy);
    config->router.witness_ca = or_null(config->witness_ca);
    config->router.witness_listen = or_null(config->witness_listen);
    config->router.witness_logs = or_null(config->witness_logs);
    config->router.in_flight_max = (unsigned)counts.in_flight;
    return DOM_OK;
}
