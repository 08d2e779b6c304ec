/* domicile audit: check, export, prove and follow audit logs, offline. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

#define KEY_FILE_BYTES_MAX 65536U

int dom_audit_complain(const struct dom_audit_args *args, const struct dom_error *err)
{
    (void)fprintf(stderr, "domicile audit %s: %s\n", args->verb, err->message);
    return DOM_EXIT_FAILED;
}

static int usage(const char *verb, const char *what)
{
    (void)fprintf(stderr, "domicile audit%s%s: %s; domicile audit --help tells more\n",
                  verb[0] == '\0' ? "" : " ", verb, what);
    return DOM_EXIT_USAGE;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static enum dom_code add_key(struct dom_audit_args *args, struct dom_slice vkey,
                             struct dom_error *err)
{
    if (args->num_keys == DOM_AUDIT_KEYS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "over %u keys", DOM_AUDIT_KEYS_MAX);
    }
    enum dom_code rc = dom_note_key_parse(&args->keys[args->num_keys], vkey, err);
    args->num_keys += rc == DOM_OK ? 1 : 0;
    return rc;
}

static enum dom_code add_key_file(struct dom_audit_args *args, const char *path,
                                  struct dom_error *err)
{
    struct dom_buffer text = {0};

    enum dom_code rc = dom_file_read(&text, path, KEY_FILE_BYTES_MAX, err);
    for (size_t at = 0; rc == DOM_OK && at < text.len;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        size_t len = end == NULL ? text.len - at : (size_t)(end - text.data) - at;
        if (len > 0) {
            rc = add_key(args, dom_slice_of(text.data + at, len), err);
        }
        at += len + 1;
    }
    if (rc != DOM_OK) {
        (void)dom_error_prefix(err, "%s", path);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

static enum dom_code add_own_key(struct dom_audit_args *args, struct dom_error *err)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/vkey", args->log);
    args->own_key = true;
    return add_key_file(args, path, err);
}

enum dom_code dom_audit_take_policy(struct dom_audit_args *args, struct dom_error *err)
{
    struct dom_buffer vkey = {0};
    enum dom_code rc = DOM_OK;

    if (args->policy != NULL) {
        rc = dom_quorum_read(&args->quorum, args->policy, err);
    }
    for (size_t i = 0; rc == DOM_OK && args->quorum != NULL && i < dom_quorum_num_logs(args->quorum);
         i++) {
        dom_buffer_clear(&vkey);
        dom_note_key_format(dom_quorum_log(args->quorum, i), &vkey);
        rc = add_key(args, dom_buffer_slice(&vkey), err);
    }
    dom_buffer_cleanup(&vkey);
    return rc;
}

enum dom_code dom_audit_need_key(struct dom_audit_args *args, struct dom_error *err)
{
    if (args->num_keys > 0) {
        return DOM_OK;
    }
    if (args->log == NULL) {
        return DOM_FAIL(err, DOM_USAGE, "--key is wanted: a proof cannot vouch for itself");
    }
    return add_own_key(args, err);
}

enum dom_code dom_audit_use_log(struct dom_audit_args *args, size_t i, struct dom_error *err)
{
    args->log = args->logs[i];
    /* Without a key from outside each log vouches for itself, and the tool says so. */
    return args->num_keys == 0 || (args->own_key && i > 0) ? add_own_key(args, err) : DOM_OK;
}

enum dom_code dom_audit_open_log(struct dom_audit_args *args, struct dom_buffer *bytes,
                                 struct dom_checkpoint *checkpoint, struct dom_error *err)
{
    enum dom_code rc = dom_audit_need_key(args, err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_read_checkpoint(args->log, bytes, err);
    }
    if (rc == DOM_OK) {
        rc = dom_checkpoint_open(checkpoint, dom_buffer_slice(bytes), args->keys, args->num_keys,
                                 NULL, err);
    }
    return rc;
}

/* ---- arguments ------------------------------------------------------------------------------ */

enum option_id {
    OPT_LOG = 256,
    OPT_KEY,
    OPT_KEY_FILE,
    OPT_OLD,
    OPT_SKEW,
    OPT_FROM,
    OPT_TO,
    OPT_FIRST,
    OPT_END,
    OPT_WHERE,
    OPT_OUT,
    OPT_MANIFEST,
    OPT_SIGN_KEY,
    OPT_FORMAT,
    OPT_INDEX,
    OPT_ID,
    OPT_FOLLOW,
    OPT_NEW,
    OPT_POLICY,
    OPT_LISTEN,
    OPT_RATE,
    OPT_EPOCH,
    OPT_STATE,
    OPT_NAME,
    OPT_RESUME_AFTER,
    OPT_MAX_GAP,
    OPT_KEYS,
    OPT_SUBJECT,
    OPT_NO_INDEX,
    OPT_LOG_REGION,
    OPT_PURPOSE,
    OPT_CHECKPOINT,
    OPT_NOTE,
    OPT_CHECK,
    OPT_HELP,
};

static const struct option s_options[] = {
    DOM_PEER_WHO_OPTIONS,
    {"log-region", required_argument, NULL, OPT_LOG_REGION},
    {"purpose", required_argument, NULL, OPT_PURPOSE},
    {"checkpoint", required_argument, NULL, OPT_CHECKPOINT},
    {"note", required_argument, NULL, OPT_NOTE},
    {"check", required_argument, NULL, OPT_CHECK},
    {"log", required_argument, NULL, OPT_LOG},
    {"key", required_argument, NULL, OPT_KEY},
    {"key-file", required_argument, NULL, OPT_KEY_FILE},
    {"old", required_argument, NULL, OPT_OLD},
    {"skew", required_argument, NULL, OPT_SKEW},
    {"from", required_argument, NULL, OPT_FROM},
    {"to", required_argument, NULL, OPT_TO},
    {"first", required_argument, NULL, OPT_FIRST},
    {"end", required_argument, NULL, OPT_END},
    {"where", required_argument, NULL, OPT_WHERE},
    {"out", required_argument, NULL, OPT_OUT},
    {"manifest", required_argument, NULL, OPT_MANIFEST},
    {"sign-key", required_argument, NULL, OPT_SIGN_KEY},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"index", required_argument, NULL, OPT_INDEX},
    {"id", required_argument, NULL, OPT_ID},
    {"follow", no_argument, NULL, OPT_FOLLOW},
    {"new", required_argument, NULL, OPT_NEW},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"rate", required_argument, NULL, OPT_RATE},
    {"epoch", required_argument, NULL, OPT_EPOCH},
    {"state", required_argument, NULL, OPT_STATE},
    {"name", required_argument, NULL, OPT_NAME},
    {"resume-after", required_argument, NULL, OPT_RESUME_AFTER},
    {"max-gap", required_argument, NULL, OPT_MAX_GAP},
    {"keys", required_argument, NULL, OPT_KEYS},
    {"subject", required_argument, NULL, OPT_SUBJECT},
    {"no-index", no_argument, NULL, OPT_NO_INDEX},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool parse_number(const char *text, uint64_t *value)
{
    char *end = NULL;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value <= DOM_TREE_SIZE_MAX;
}

static enum dom_code take_number(const char *name, const char *text, uint64_t *value,
                                 struct dom_error *err)
{
    return parse_number(text, value)
               ? DOM_OK
               : DOM_FAIL(err, DOM_USAGE, "%s: a number is wanted, not \"%s\"", name, text);
}

static enum dom_code take_time(const char *name, const char *text, int64_t *ms,
                               struct dom_error *err)
{
    return dom_time_parse(dom_slice_str(text), true, ms)
               ? DOM_OK
               : DOM_FAIL(err, DOM_USAGE,
                          "%s: 2026-11-22 or 2026-11-22T10:00:00Z is wanted, not \"%s\"", name,
                          text);
}

static enum dom_code add_log(struct dom_audit_args *args, const char *dir, struct dom_error *err)
{
    if (args->num_logs == DOM_AUDIT_LOGS_MAX) {
        return DOM_FAIL(err, DOM_USAGE, "over %u logs", DOM_AUDIT_LOGS_MAX);
    }
    args->logs[args->num_logs++] = dir;
    args->log = args->logs[0];
    return DOM_OK;
}

/* Options whose value is taken as it is. False when `option` is none of them. */
static bool take_text(struct dom_audit_args *args, int option, const char *value)
{
    const struct {
        int id;
        const char **place;
    } texts[] = {
        {OPT_OLD, &args->old},           {OPT_NEW, &args->new_checkpoint},
        {OPT_OUT, &args->out},           {OPT_MANIFEST, &args->manifest},
        {OPT_SIGN_KEY, &args->sign_key}, {OPT_ID, &args->id},
        {OPT_FORMAT, &args->format},     {OPT_POLICY, &args->policy},
        {OPT_LISTEN, &args->listen},     {OPT_STATE, &args->state},
        {OPT_NAME, &args->name},         {OPT_KEYS, &args->keys_file},
        {OPT_SUBJECT, &args->subject},   {OPT_LOG_REGION, &args->log_region},
        {OPT_PURPOSE, &args->purpose},   {OPT_CHECKPOINT, &args->which},
        {OPT_CHECK, &args->check},
    };

    for (size_t i = 0; i < DOM_ARRAY_LEN(texts); i++) {
        if (texts[i].id == option) {
            *texts[i].place = value;
            return true;
        }
    }
    return false;
}

/* An export has no time that it should take. */
#define PEER_TIMEOUT_MS 0U

static enum dom_code take_peer_option(struct dom_audit_args *args, int option, const char *value,
                                      struct dom_error *err)
{
    if (!args->has_peer && !dom_peer_init(&args->peer, "audit")) {
        return DOM_FAIL(err, DOM_USAGE, "the context file is not right");
    }
    if (!args->has_peer) {
        args->peer.timeout_ms = PEER_TIMEOUT_MS;
        args->has_peer = true;
    }
    if (dom_peer_is_option(option) && !dom_peer_option(&args->peer, option, value)) {
        return DOM_FAIL(err, DOM_USAGE, "an option has a value that it cannot have");
    }
    return DOM_OK;
}

static enum dom_code take_option(struct dom_audit_args *args, int option, const char *value,
                                 struct dom_error *err)
{
    uint64_t number = 0;
    enum dom_code rc = DOM_OK;

    if (dom_peer_is_option(option)) {
        return take_peer_option(args, option, value, err);
    }
    if (take_text(args, option, value)) {
        return option == OPT_LOG_REGION ? take_peer_option(args, option, value, err) : DOM_OK;
    }
    switch (option) {
        case OPT_LOG:
            return add_log(args, value, err);
        case OPT_FOLLOW:
            args->follow = true;
            break;
        case OPT_KEY:
            return add_key(args, dom_slice_str(value), err);
        case OPT_KEY_FILE:
            return add_key_file(args, value, err);
        case OPT_FROM:
            return take_time("--from", value, &args->filter.from_ms, err);
        case OPT_TO:
            return take_time("--to", value, &args->filter.until_ms, err);
        case OPT_FIRST:
            return take_number("--first", value, &args->filter.first, err);
        case OPT_END:
            return take_number("--end", value, &args->filter.end, err);
        case OPT_WHERE:
            return dom_export_filter_add(&args->filter, dom_slice_str(value), err);
        case OPT_NO_INDEX:
            args->no_index = true;
            break;
        case OPT_NOTE:
            if (args->num_notes == DOM_REPORT_NOTES_MAX) {
                return DOM_FAIL(err, DOM_USAGE, "over %u notes", DOM_REPORT_NOTES_MAX);
            }
            args->notes[args->num_notes++] = value;
            break;
        case 'n':
            args->has_lines = true;
            return take_number("-n", value, &args->lines, err);
        case OPT_SKEW:
            rc = take_number("--skew", value, &number, err);
            args->skew_ms = (int64_t)number;
            return rc;
        case OPT_MAX_GAP:
            rc = take_number("--max-gap", value, &number, err);
            args->max_gap_ms = (int64_t)number;
            return rc;
        case OPT_EPOCH:
            return take_number("--epoch", value, &args->epoch, err);
        case OPT_RATE:
            return take_number("--rate", value, &args->rate, err);
        case OPT_RESUME_AFTER:
            args->has_resume = true;
            return take_number("--resume-after", value, &args->resume_after, err);
        case OPT_INDEX:
            if (value == NULL) { /* verify's takes none */
                args->check_index = true;
                break;
            }
            args->has_index = true;
            return take_number("--index", value, &args->index, err);
        default:
            return DOM_FAIL(err, DOM_USAGE, "unknown option or missing value");
    }
    return DOM_OK;
}

#define TEXT_OR_JSON "text, json"

static const struct verb {
    const char *name;
    int (*run)(struct dom_audit_args *args);
    const char *file;    /* what the argument is that is no option; NULL: there is none */
    const char *formats; /* what --format knows, the first is the default */
    size_t num_logs_min, num_logs_max;
    bool wants_key; /* or a log to take it from */
} s_verbs[] = {
    {"verify", dom_audit_verify, NULL, TEXT_OR_JSON, 1, 1, false},
    {"fsck", dom_audit_verify, NULL, TEXT_OR_JSON, 1, 1, false},
    {"export", dom_audit_export, NULL, "jsonl, csv, ocsf, ecs, cef, cloudevents", 0, 1, false},
    {"check-export", dom_audit_check_export, "an export's file", TEXT_OR_JSON, 0, 0, true},
    {"report", dom_audit_report, "a report's name", "md, html, csv", 1, DOM_AUDIT_LOGS_MAX, false},
    {"gap", dom_audit_gap, NULL, TEXT_OR_JSON, 1, DOM_AUDIT_LOGS_MAX, false},
    {"consistency", dom_audit_consistency, NULL, TEXT_OR_JSON, 1, 1, false},
    {"prove", dom_audit_prove, NULL, TEXT_OR_JSON, 1, 1, false},
    {"check-proof", dom_audit_check_proof, "a proof's file", TEXT_OR_JSON, 0, 1, true},
    {"tail", dom_audit_tail, NULL, TEXT_OR_JSON, 1, 1, false},
    {"query", dom_audit_query, NULL, TEXT_OR_JSON, 1, 1, false},
    {"hash", dom_audit_hash, "KIND/ID", TEXT_OR_JSON, 0, 0, false},
    {"index", dom_audit_index, NULL, TEXT_OR_JSON, 1, 1, false},
    {"rotate-subject", dom_audit_rotate_subject, NULL, "text", 0, 0, false},
    {"destroy-subject", dom_audit_destroy_subject, NULL, "text", 0, 0, false},
    {"watch", dom_audit_watch, NULL, "text", 0, 0, true},
    {"witness-key", dom_audit_witness_key, NULL, "text", 0, 0, false},
};

/* Whether `word` is one of "a, b, c". */
static bool is_listed(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 2 : 0;
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
            return len > 0;
        }
    }
    return false;
}

static enum dom_code check_format(struct dom_audit_args *args, const struct verb *verb,
                                  struct dom_error *err)
{
    if (args->format == NULL) {
        return DOM_OK;
    }
    args->json = strcmp(args->format, "json") == 0;
    return is_listed(verb->formats, args->format)
               ? DOM_OK
               : DOM_FAIL(err, DOM_USAGE, "--format: one of %s is wanted, not \"%s\"",
                          verb->formats, args->format);
}

/* The same of options about a router. */
static const char *find_peer_misuse(const struct dom_audit_args *args)
{
    bool is_export = strcmp(args->verb, "export") == 0;

    if (is_export && (args->num_logs == 0) == (args->log_region == NULL)) {
        return "one of --log and --log-region is wanted";
    }
    if ((args->has_peer || args->purpose != NULL) && (!is_export || args->log_region == NULL)) {
        return "options about a router go with export --log-region";
    }
    if (args->subject != NULL && strcmp(args->verb, "query") != 0 &&
        strcmp(args->verb, "tail") != 0 && !is_export) {
        return "--subject goes with query, tail and export";
    }
    return NULL;
}

static const char *find_report_misuse(const struct dom_audit_args *args)
{
    bool is_report = strcmp(args->verb, "report") == 0;

    if (!is_report && (args->num_notes > 0 || args->check != NULL)) {
        return "--note and --check go with report";
    }
    return args->check != NULL && args->out != NULL ? "--check writes nothing: --out has no place"
                                                    : NULL;
}

/* What is wrong with the options together; NULL when nothing is. */
static const char *find_misuse(const struct dom_audit_args *args)
{
    bool is_check = strcmp(args->verb, "check-export") == 0;

    if (strcmp(args->verb, "prove") == 0 && args->has_index == (args->id != NULL)) {
        return "one of --index and --id is wanted";
    }
    if (args->which != NULL && (strcmp(args->verb, "prove") != 0 ||
                                (strcmp(args->which, "newest") != 0 &&
                                 strcmp(args->which, "cosigned") != 0))) {
        return "--checkpoint newest or cosigned goes with prove";
    }
    if (strcmp(args->verb, "consistency") == 0 && args->old == NULL) {
        return "--old is wanted";
    }
    bool is_watch = strcmp(args->verb, "watch") == 0;
    if (args->policy != NULL && !is_watch && strcmp(args->verb, "verify") != 0 && strcmp(args->verb, "fsck") != 0 &&
        strcmp(args->verb, "check-proof") != 0) {
        return "--policy goes with verify, check-proof and watch";
    }
    bool rotates = strcmp(args->verb, "rotate-subject") == 0;
    bool destroys = strcmp(args->verb, "destroy-subject") == 0;
    if ((rotates || destroys) && args->keys_file == NULL) {
        return "--keys is wanted, a region's key file";
    }
    if (destroys && (args->epoch == 0 || args->epoch > UINT32_MAX)) {
        return "--epoch is wanted";
    }
    if (is_watch && (args->sign_key == NULL || args->state == NULL)) {
        return "--sign-key and --state are wanted";
    }
    if (strcmp(args->verb, "witness-key") == 0 && (args->name == NULL || args->out == NULL)) {
        return "--name and --out are wanted";
    }
    if (is_check && (args->manifest == NULL || args->num_keys == 0)) {
        return "--manifest and --key are wanted: an export cannot vouch for itself";
    }
    if (args->sign_key != NULL && !is_watch && (args->manifest == NULL || is_check)) {
        return "--sign-key goes with export --manifest";
    }
    if (find_peer_misuse(args) != NULL) {
        return find_peer_misuse(args);
    }
    if (find_report_misuse(args) != NULL) {
        return find_report_misuse(args);
    }
    if (args->has_resume && args->manifest != NULL && args->out == NULL) {
        return "--manifest with --resume-after wants --out: it tells of the whole export";
    }
    return NULL;
}

static enum dom_code check_args(struct dom_audit_args *args, const struct verb *verb,
                                struct dom_error *err)
{
    if (args->num_logs < verb->num_logs_min) {
        return DOM_FAIL(err, DOM_USAGE, "--log is wanted");
    }
    if (args->num_logs > verb->num_logs_max) {
        return DOM_FAIL(err, DOM_USAGE, verb->num_logs_max == 0 ? "--log has no place here"
                                                                : "one --log is wanted");
    }
    if (verb->file == NULL && args->file != NULL) {
        return DOM_FAIL(err, DOM_USAGE, "there is an argument too many");
    }
    if (verb->file != NULL &&
        (args->file == NULL || (verb->wants_key && args->num_keys + args->num_logs == 0 &&
                                args->policy == NULL))) {
        return DOM_FAIL(err, DOM_USAGE, "%s%s wanted", verb->file,
                        verb->wants_key ? " and --key are" : " is");
    }
    const char *misuse = find_misuse(args);
    return misuse != NULL ? DOM_FAIL(err, DOM_USAGE, "%s", misuse) : check_format(args, verb, err);
}

static int run_verb(size_t verb, int argc, char **argv, struct dom_audit_args *args)
{
    struct option options[DOM_ARRAY_LEN(s_options)];
    struct dom_error err = {0};
    int option = 0;

    memcpy(options, s_options, sizeof(options));
    for (size_t i = 0; i < DOM_ARRAY_LEN(options); i++) {
        if (options[i].val == OPT_INDEX && s_verbs[verb].run == dom_audit_verify) {
            options[i].has_arg = no_argument;
        }
    }
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
        if (option == OPT_HELP || option == 'h') {
            return dom_audit_help();
        }
        enum dom_code rc = take_option(args, option, optarg, &err);
        if (rc != DOM_OK) {
            return usage(args->verb, err.message);
        }
    }
    if (optind < argc) {
        args->file = argv[optind++];
    }
    if (optind < argc) {
        return usage(args->verb, "there is an argument too many");
    }
    return check_args(args, &s_verbs[verb], &err) == DOM_OK ? s_verbs[verb].run(args)
                                                             : usage(args->verb, err.message);
}

int dom_audit_command(int argc, char **argv)
{
    if (argc < 2) {
        return usage("", "a verb is wanted");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        return dom_audit_help();
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_verbs); i++) {
        if (strcmp(argv[1], s_verbs[i].name) != 0) {
            continue;
        }
        struct dom_audit_args args = {.verb = s_verbs[i].name,
                                      .lines = 10,
                                      .skew_ms = 60000,
                                      .max_gap_ms = 3600000};
        dom_export_filter_init(&args.filter);
        int status = run_verb(i, argc - 1, argv + 1, &args);
        for (size_t k = 0; k < args.num_keys; k++) {
            dom_note_key_cleanup(&args.keys[k]);
        }
        dom_quorum_destroy(args.quorum);
        return status;
    }
    (void)fprintf(stderr, "domicile audit: unknown verb \"%s\"; domicile audit --help lists them\n",
                  argv[1]);
    return DOM_EXIT_USAGE;
}
