/* `domicile policy keygen, root, plan, sign, timestamp, rollback`: what travels, made from files. */
#include "tools/bundle_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "policy/bundle/bundle.h"
#include "policy/bundle/plan.h"
#include "policy/diff.h"
#include "policy/text.h"
#include "policy/tree.h"
#include "tools/bundle_args.h"
#include "tools/command.h"
#include "tools/policy_verbs.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy keygen, root, plan, sign, timestamp, rollback - make what travels\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy keygen NAME --out FOLDER\n"
    "    domicile policy root --name POLICY --expires DATE --threshold N --out FILE SIGNER\n"
    "        --policy-key VKEY... --root-key VKEY... [--timestamp-key VKEY...]\n"
    "        [--root-threshold N] [--timestamp-threshold N] [--version N]\n"
    "    domicile policy plan OLD NEW [--format text|json]\n"
    "    domicile policy sign BUNDLE --policy NEW --previous OLD --plan HASH SIGNER\n"
    "        [--expires DATE] [--file FILE...]                    makes a bundle\n"
    "    domicile policy sign BUNDLE --policy NEW --first SIGNER  makes the first one\n"
    "    domicile policy sign BUNDLE --previous OLD --plan HASH SIGNER\n"
    "                                                             adds a signature\n"
    "    domicile policy sign FILE SIGNER     adds one to a root, a timestamp or an order\n"
    "    domicile policy timestamp NEW --for PT24H --out FILE SIGNER\n"
    "    domicile policy rollback OLD --version N --out NEW\n"
    "\n"
    "DESCRIPTION\n"
    "    keygen     a signing key, FOLDER/NAME.key (0600), and its public half, NAME.vkey.\n"
    "    root       says whose keys count, and how many; the router's policy_root.\n"
    "    plan       what NEW decides otherwise than OLD, and the hash that signers acknowledge.\n"
    "               json is the plan itself, whose SHA-256 that hash is.\n"
    "    sign       makes the plan again, and signs only if HASH is its hash.\n"
    "    timestamp  says that there is nothing newer than NEW.\n"
    "    rollback   OLD's content under a new version: sign and push it like any other.\n"
    "\n"
    "SIGNER\n"
    "    --key FILE                  a signing key; may be repeated\n"
    "    --command CMD --vkey FILE   for a hardware module: CMD reads the text to sign on\n"
    "                                standard input (also the file $DOMICILE_MESSAGE) and prints\n"
    "                                the Ed25519 signature, 64 raw bytes or base64\n"
    "\n"
    "EXIT STATUS\n"
    "    0 done; 1 failed; 2 (plan) there are differences; 3 usage; 4 the plan is another one.\n";

enum {
    OPT_OUT = 256,
    OPT_NAME,
    OPT_EXPIRES,
    OPT_THRESHOLD,
    OPT_ROOT_THRESHOLD,
    OPT_TIMESTAMP_THRESHOLD,
    OPT_POLICY_KEY,
    OPT_ROOT_KEY,
    OPT_TIMESTAMP_KEY,
    OPT_VERSION,
    OPT_KEY,
    OPT_COMMAND,
    OPT_VKEY,
    OPT_POLICY,
    OPT_PREVIOUS,
    OPT_PLAN,
    OPT_FIRST,
    OPT_FILE,
    OPT_FOR,
    OPT_FORMAT,
    OPT_HELP
};

static const struct option s_options[] = {
    {"out", required_argument, NULL, OPT_OUT},
    {"name", required_argument, NULL, OPT_NAME},
    {"expires", required_argument, NULL, OPT_EXPIRES},
    {"threshold", required_argument, NULL, OPT_THRESHOLD},
    {"root-threshold", required_argument, NULL, OPT_ROOT_THRESHOLD},
    {"timestamp-threshold", required_argument, NULL, OPT_TIMESTAMP_THRESHOLD},
    {"policy-key", required_argument, NULL, OPT_POLICY_KEY},
    {"root-key", required_argument, NULL, OPT_ROOT_KEY},
    {"timestamp-key", required_argument, NULL, OPT_TIMESTAMP_KEY},
    {"version", required_argument, NULL, OPT_VERSION},
    {"key", required_argument, NULL, OPT_KEY},
    {"command", required_argument, NULL, OPT_COMMAND},
    {"vkey", required_argument, NULL, OPT_VKEY},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"previous", required_argument, NULL, OPT_PREVIOUS},
    {"plan", required_argument, NULL, OPT_PLAN},
    {"first", no_argument, NULL, OPT_FIRST},
    {"file", required_argument, NULL, OPT_FILE},
    {"for", required_argument, NULL, OPT_FOR},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0}};

static bool take_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end = NULL;

    *out = strtoll(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out >= min && *out <= max;
}

static bool take_threshold(struct dom_bundle_args *args, enum dom_root_role role, const char *text)
{
    int64_t number = 0;
    bool ok = take_number(text, 0, DOM_ROOT_KEYS_MAX, &number);

    args->thresholds[role] = (unsigned)number;
    return ok;
}

static bool take_root_key(struct dom_bundle_args *args, enum dom_root_role role, const char *path)
{
    if (args->num_keys == DOM_ROOT_KEYS_MAX) {
        return false;
    }
    args->keys[args->num_keys].role = role;
    args->keys[args->num_keys++].path = path;
    return true;
}

static bool take_signer(struct dom_bundle_args *args, int option, const char *value)
{
    if (option == OPT_COMMAND) {
        args->signing.command = value;
    } else if (option == OPT_VKEY) {
        args->signing.vkey = value;
    } else if (args->signing.num_keys == DOM_SIGNING_KEYS_MAX) {
        return false;
    } else {
        args->signing.keys[args->signing.num_keys++] = value;
    }
    return true;
}

static bool take_file(struct dom_bundle_args *args, const char *path)
{
    if (args->num_files == DOM_BUNDLE_ARG_FILES_MAX) {
        return false;
    }
    args->files[args->num_files++] = path;
    return true;
}

static bool take_format(struct dom_bundle_args *args, const char *format)
{
    args->json = strcmp(format, "json") == 0;
    return args->json || strcmp(format, "text") == 0;
}

static bool take_text(struct dom_bundle_args *args, int option, const char *value)
{
    const char **to = option == OPT_OUT        ? &args->out
                      : option == OPT_NAME     ? &args->name
                      : option == OPT_EXPIRES  ? &args->expires
                      : option == OPT_POLICY   ? &args->policy
                      : option == OPT_PREVIOUS ? &args->previous
                      : option == OPT_PLAN     ? &args->plan
                                               : &args->lasts;

    *to = value;
    return value[0] != '\0';
}

static bool take_option(struct dom_bundle_args *args, int option, const char *value)
{
    switch (option) {
    case OPT_THRESHOLD:
        return take_threshold(args, DOM_ROLE_POLICY, value);
    case OPT_ROOT_THRESHOLD:
        return take_threshold(args, DOM_ROLE_ROOT, value);
    case OPT_TIMESTAMP_THRESHOLD:
        return take_threshold(args, DOM_ROLE_TIMESTAMP, value);
    case OPT_POLICY_KEY:
        return take_root_key(args, DOM_ROLE_POLICY, value);
    case OPT_ROOT_KEY:
        return take_root_key(args, DOM_ROLE_ROOT, value);
    case OPT_TIMESTAMP_KEY:
        return take_root_key(args, DOM_ROLE_TIMESTAMP, value);
    case OPT_VERSION:
        return take_number(value, 1, INT64_MAX, &args->version);
    case OPT_KEY:
    case OPT_COMMAND:
    case OPT_VKEY:
        return take_signer(args, option, value);
    case OPT_FIRST:
        args->first = true;
        return true;
    case OPT_FILE:
        return take_file(args, value);
    case OPT_FORMAT:
        return take_format(args, value);
    case OPT_HELP:
        args->help = true;
        return true;
    default:
        return take_text(args, option, value);
    }
}

/* True: go on. Else *status is what to return. */
bool dom_bundle_parse_args(struct dom_bundle_args *args, int argc, char **argv, int num_words, int *status)
{
    int option = 0;

    memset(args, 0, sizeof(*args));
    args->version = 0;
    args->thresholds[DOM_ROLE_ROOT] = 1;
    args->thresholds[DOM_ROLE_POLICY] = 2;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", s_options, NULL)) != -1) {
        if (option == '?') {
            *status = DOM_EXIT_USAGE;
            return false;
        }
        if (!take_option(args, option, optarg)) {
            *status = dom_policy_usage("bad or too many values:", optarg);
            return false;
        }
    }
    if (args->help) {
        (void)fputs(s_help, stdout);
        *status = DOM_EXIT_OK;
        return false;
    }
    if (argc - optind != num_words) {
        *status = dom_policy_usage("wrong number of arguments for", argv[0]);
        return false;
    }
    for (; optind < argc; optind++) {
        args->words[args->num_words++] = argv[optind];
    }
    return true;
}

int dom_bundle_failed(const struct dom_error *err)
{
    (void)fprintf(stderr, "domicile policy: %s\n", err->message);
    return err->code == DOM_USAGE ? DOM_EXIT_USAGE : DOM_EXIT_FAILED;
}

int64_t dom_bundle_now_ms(void)
{
    return dom_clock_wall_ms(dom_clock_system()) / 1000 * 1000;
}

bool dom_bundle_parse_time(const char *text, int64_t *out, struct dom_error *err)
{
    if (dom_time_parse(dom_slice_str(text), true, out) && *out % 1000 == 0) {
        return true;
    }
    (void)DOM_FAIL(err, DOM_USAGE, "\"%s\" is no date like 2027-03-01 or 2027-03-01T00:00:00Z",
                   text);
    return false;
}

enum dom_code dom_bundle_sign_note(const struct dom_bundle_args *args, struct dom_slice text,
                               struct dom_buffer *out, struct dom_error *err)
{
    dom_buffer_append_slice(out, text);
    dom_buffer_append_char(out, '\n');
    return dom_signing_lines(&args->signing, text, out, err);
}

/* ---- keygen ------------------------------------------------------------------------------ */

int dom_policy_keygen_verb(int argc, char **argv)
{
    struct dom_error err = {0};
    struct dom_bundle_args args;
    int status = 0;

    if (!dom_bundle_parse_args(&args, argc, argv, 1, &status)) {
        return status;
    }
    if (args.out == NULL) {
        return dom_policy_usage("keygen needs --out FOLDER", "");
    }
    if (dom_signing_make(args.out, args.words[0], &err) != DOM_OK) {
        return dom_bundle_failed(&err);
    }
    (void)printf("%s/%s.key is the secret (0600): keep it offline, or in a hardware module\n"
                 "%s/%s.vkey is public: name it with domicile policy root\n",
                 args.out, args.words[0], args.out, args.words[0]);
    return DOM_EXIT_OK;
}

/* ---- root -------------------------------------------------------------------------------- */

static enum dom_code fill_root(struct dom_root *root, const struct dom_bundle_args *args,
                               struct dom_error *err)
{
    root->version = args->version == 0 ? 1 : args->version;
    memcpy(root->thresholds, args->thresholds, sizeof(root->thresholds));
    (void)snprintf(root->name, sizeof(root->name), "%s", args->name);
    if (!dom_bundle_parse_time(args->expires, &root->expires_ms, err)) {
        return err->code;
    }
    for (size_t i = 0; i < args->num_keys; i++) {
        enum dom_code rc =
            dom_signing_read_vkey(&root->keys[root->num_keys], args->keys[i].path, err);
        if (rc != DOM_OK) {
            return rc;
        }
        root->roles[root->num_keys++] = args->keys[i].role;
        if (args->keys[i].role == DOM_ROLE_TIMESTAMP && root->thresholds[DOM_ROLE_TIMESTAMP] == 0) {
            root->thresholds[DOM_ROLE_TIMESTAMP] = 1;
        }
    }
    return DOM_OK;
}

int dom_policy_root_verb(int argc, char **argv)
{
    static struct dom_root root;
    struct dom_root back = {0};
    struct dom_error err = {0};
    struct dom_error why = {0};
    struct dom_buffer text = {0};
    struct dom_buffer out = {0};
    struct dom_bundle_args args;
    int status = 0;

    if (!dom_bundle_parse_args(&args, argc, argv, 0, &status)) {
        return status;
    }
    if (args.out == NULL || args.name == NULL || args.expires == NULL) {
        return dom_policy_usage("root needs --name, --expires, keys and --out", "");
    }
    memset(&root, 0, sizeof(root));
    enum dom_code rc = fill_root(&root, &args, &err);
    if (rc == DOM_OK) {
        rc = dom_root_text(&root, &text, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_bundle_sign_note(&args, dom_buffer_slice(&text), &out, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(args.out, dom_buffer_slice(&out), 0644, &err);
    }
    if (rc == DOM_OK && dom_root_parse(&back, dom_buffer_slice(&out), &why) != DOM_OK) {
        (void)printf("%s is not good yet: %s\n", args.out, why.message);
    }
    dom_root_cleanup(&back);
    dom_root_cleanup(&root);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&out);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_bundle_failed(&err);
}

/* ---- plan -------------------------------------------------------------------------------- */

static bool print_plan(const struct dom_bundle_args *args, const struct dom_policy *before,
                       const struct dom_policy *after, const struct dom_plan *plan,
                       const struct dom_buffer *text)
{
    struct dom_buffer out = {0};
    struct dom_error err = {0};
    struct dom_diff diff;
    char hex[65];

    if (args->json) {
        return dom_policy_print(text);
    }
    dom_hex_encode(hex, dom_slice_of(plan->sha256, 32));
    bool ok = dom_diff_make(&diff, before, after, &err) == DOM_OK;
    if (ok) {
        dom_diff_print(&diff, args->words[0], args->words[1], &out);
        dom_buffer_printf(&out, "\nchange %s\nplan %s\n",
                          plan->loosens ? "loosening: two distinct signers, shadow, then region by "
                                          "region"
                                        : "tightening: shadow, canary, enforce, as the policy says",
                          hex);
        ok = dom_policy_print(&out);
    }
    dom_diff_cleanup(&diff);
    dom_buffer_cleanup(&out);
    return ok;
}

int dom_policy_plan_verb(int argc, char **argv)
{
    struct dom_policy *before = NULL;
    struct dom_policy *after = NULL;
    struct dom_buffer text = {0};
    struct dom_error err = {0};
    struct dom_plan plan;
    struct dom_bundle_args args;
    int status = 0;

    if (!dom_bundle_parse_args(&args, argc, argv, 2, &status)) {
        return status;
    }
    status = DOM_EXIT_FAILED;
    if (dom_policy_read(&before, args.words[0]) && dom_policy_read(&after, args.words[1])) {
        if (dom_plan_make(&plan, before, after, &text, &err) != DOM_OK) {
            status = dom_bundle_failed(&err);
        } else if (print_plan(&args, before, after, &plan, &text)) {
            status = plan.num_groups == 0 ? DOM_EXIT_OK : DOM_EXIT_DIFFERS;
        }
    }
    dom_buffer_cleanup(&text);
    dom_policy_unref(before);
    dom_policy_unref(after);
    return status;
}

/* ---- timestamp --------------------------------------------------------------------------- */

int dom_policy_timestamp_verb(int argc, char **argv)
{
    struct dom_duration duration = {0};
    struct dom_policy *policy = NULL;
    struct dom_buffer text = {0};
    struct dom_buffer out = {0};
    struct dom_error err = {0};
    struct dom_bundle_args args;
    size_t bad_at = 0;
    int status = 0;

    if (!dom_bundle_parse_args(&args, argc, argv, 1, &status)) {
        return status;
    }
    if (args.out == NULL || args.lasts == NULL ||
        !dom_duration_parse(dom_slice_str(args.lasts), &duration, &bad_at)) {
        return dom_policy_usage("timestamp needs --out FILE and --for a duration such as PT24H", "");
    }
    if (!dom_policy_read(&policy, args.words[0])) {
        return DOM_EXIT_FAILED;
    }
    const struct dom_policy_info *info = dom_policy_info(policy);
    struct dom_timestamp timestamp = {.version = info->version, .time_ms = dom_bundle_now_ms()};
    timestamp.expires_ms = timestamp.time_ms + dom_duration_ms_longest(&duration);
    memcpy(timestamp.policy, info->sha256, 32);
    dom_timestamp_text(&timestamp, info->name, &text);
    enum dom_code rc = dom_bundle_sign_note(&args, dom_buffer_slice(&text), &out, &err);
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(args.out, dom_buffer_slice(&out), 0644, &err);
    }
    dom_policy_unref(policy);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&out);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_bundle_failed(&err);
}

/* ---- rollback ---------------------------------------------------------------------------- */

/* Where the digits of policy.version stand in the text. */
static bool find_version(struct dom_slice text, size_t *from, size_t *to, struct dom_error *err)
{
    struct dom_findings findings = {0};
    struct dom_node *root = NULL;
    struct dom_arena arena;
    bool found = false;

    dom_arena_init(&arena, NULL, 0, DOM_TREE_BYTES_MAX);
    if (dom_tree_parse(&root, text, &arena, &findings, err) == DOM_OK) {
        const struct dom_node *version = dom_node_get(dom_node_get(root, "policy"), "version");
        size_t line = 1;
        size_t at = 0;
        for (; version != NULL && at < text.len && line < version->value_at.line; at++) {
            line += text.data[at] == '\n' ? 1 : 0;
        }
        *from = version == NULL ? 0 : at + version->value_at.column - 1;
        for (*to = *from; *to < text.len && text.data[*to] >= '0' && text.data[*to] <= '9';) {
            (*to)++;
        }
        found = version != NULL && *to > *from;
    }
    if (!found && err->code == DOM_OK) {
        (void)DOM_FAIL(err, DOM_PARSE, "the policy has no version in decimal");
    }
    dom_findings_cleanup(&findings);
    dom_arena_cleanup(&arena);
    return found;
}

int dom_policy_rollback_verb(int argc, char **argv)
{
    struct dom_policy *policy = NULL;
    struct dom_policy *again = NULL;
    struct dom_buffer out = {0};
    struct dom_error err = {0};
    struct dom_bundle_args args;
    size_t from = 0;
    size_t to = 0;
    int status = 0;

    if (!dom_bundle_parse_args(&args, argc, argv, 1, &status)) {
        return status;
    }
    if (args.out == NULL || args.version == 0) {
        return dom_policy_usage("rollback needs --version N and --out FILE", "");
    }
    if (!dom_policy_read(&policy, args.words[0])) {
        return DOM_EXIT_FAILED;
    }
    struct dom_slice text = dom_policy_info(policy)->text;
    status = DOM_EXIT_FAILED;
    if (args.version <= dom_policy_info(policy)->version) {
        (void)fprintf(stderr, "domicile policy rollback: the old policy has version %lld: the new "
                      "one must be higher\n", (long long)dom_policy_info(policy)->version);
    } else if (!find_version(text, &from, &to, &err)) {
        status = dom_bundle_failed(&err);
    } else {
        dom_buffer_append(&out, text.data, from);
        dom_buffer_printf(&out, "%lld", (long long)args.version);
        dom_buffer_append(&out, text.data + to, text.len - to);
        if (dom_file_write_atomic(args.out, dom_buffer_slice(&out), 0644, &err) != DOM_OK) {
            status = dom_bundle_failed(&err);
        } else if (dom_policy_read(&again, args.out)) {
            status = DOM_EXIT_OK;
        }
    }
    dom_policy_unref(policy);
    dom_policy_unref(again);
    dom_buffer_cleanup(&out);
    return status;
}
