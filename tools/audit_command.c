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

static const char s_help[] =
    "NAME\n"
    "    domicile audit - check, export, prove, report and follow audit logs, offline\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile audit verify --log DIR [--key VKEY]... [--policy FILE] [--old CHECKPOINT]\n"
    "        [--skew MS] [--index]\n"
    "    domicile audit export --log DIR [--format F] [--from TIME] [--to TIME]\n"
    "        [--where KEY=VALUE]... [--first N] [--end N] [--out FILE] [--resume-after N]\n"
    "        [--manifest FILE [--sign-key FILE]]\n"
    "    domicile audit check-export FILE --manifest FILE --key VKEY...\n"
    "    domicile audit report (art30|dsp-202-1101|dsp-202-1104|matrix) --log DIR...\n"
    "        [--from TIME] [--to TIME] [--where KEY=VALUE]... [--format md|html|csv]\n"
    "        [--out FILE]\n"
    "    domicile audit gap --log DIR [--log DIR]... [--max-gap MS] [--from TIME] [--to TIME]\n"
    "    domicile audit consistency --old CHECKPOINT [--new CHECKPOINT] --log DIR\n"
    "    domicile audit prove --log DIR (--index N | --id UUID) [--out FILE]\n"
    "    domicile audit check-proof FILE (--key VKEY | --policy FILE)\n"
    "    domicile audit watch --sign-key FILE --state DIR (--policy FILE | --key VKEY...)\n"
    "        [--listen ADDRESS:PORT]\n"
    "    domicile audit witness-key --name NAME --out FILE\n"
    "    domicile audit tail --log DIR [-n N] [--where KEY=VALUE]... [--follow]\n"
    "    domicile audit query --log DIR [--subject KIND/ID --keys FILE] [--where KEY=VALUE]...\n"
    "        [--from TIME] [--to TIME] [--first N] [--end N] [-n N] [--no-index]\n"
    "    domicile audit hash KIND/ID --keys FILE\n"
    "    domicile audit index --log DIR\n"
    "    domicile audit rotate-subject --keys FILE\n"
    "    domicile audit destroy-subject --keys FILE --epoch N\n"
    "\n"
    "DESCRIPTION\n"
    "    DIR is a region's published log, <data>/<region>/audit, or a copy of it. Nothing but\n"
    "    its files is read; the router need not run.\n"
    "\n"
    "    verify       hashes every entry again and compares every tile, the root, the signature\n"
    "                 and, with --old, the beginning of the log with a checkpoint kept earlier.\n"
    "    export       writes entries in a form for other tools, one row per entry.\n"
    "    check-export compares an export with its signed manifest: digest, rows, indexes; jsonl\n"
    "                 and cloudevents hold the entries, so these are hashed again as well. The\n"
    "                 log itself is not needed.\n"
    "    report       writes a register: art30 (GDPR Art. 30: transfers by purpose, recipient,\n"
    "                 countries, safeguards), dsp-202-1101 (28 CFR 202.1101: each transaction\n"
    "                 with a country of concern), dsp-202-1104 (28 CFR 202.1104: those that were\n"
    "                 refused), matrix (flows from country to country by class and purpose).\n"
    "                 The logs are verified first; each line names the log and the entries\n"
    "                 that back it.\n"
    "    gap          finds stretches of time without any entry; with several logs it tells what\n"
    "                 the others recorded meanwhile, and whether each region's log mirrors what\n"
    "                 the others say went to that region (--skew MS: the newest need not be yet).\n"
    "    consistency  proves that the log of --old is the beginning of that of --new (without\n"
    "                 --new: of the log's own checkpoint), from the log's tiles.\n"
    "    prove        writes a proof of one entry that anybody can check without the log.\n"
    "    check-proof  checks such a proof and prints its entry.\n"
    "    tail         prints the last entries; with --follow also each new one, as soon as a\n"
    "                 checkpoint covers it.\n"
    "    query        prints the entries that pass, the oldest first. It reads only what DIR/index\n"
    "                 says may matter: --no-index reads all, verify --index checks the index.\n"
    "    hash         prints the name that a region's log has for a record or a person.\n"
    "    index        makes DIR/index, or what of it is missing or of another version; the router\n"
    "                 does so by itself.\n";

/* In two pieces: C promises no longer ones. */
static const char s_help_options[] =
    "    watch        is a witness (C2SP tlog-witness): serves POST /add-checkpoint and cosigns\n"
    "                 what continues the last checkpoint that it cosigned of a log.\n"
    "    witness-key  makes the key of a witness and prints its public half.\n"
    "    rotate-subject   adds an epoch to the key by which the log names persons and records.\n"
    "    destroy-subject  destroys an older epoch: who its hashes name can never be told again.\n"
    "\n"
    "OPTIONS\n"
    "    --log DIR        the published log.\n"
    "    --key VKEY       a log's public key, name+id+base64; may be given several times.\n"
    "    --key-file FILE  such keys, one per line. Without any the key in DIR/vkey is used,\n"
    "                     which whoever changed the log could have changed too.\n"
    "    --policy FILE    a trust policy (C2SP tlog-policy): logs, witnesses, and the quorum of\n"
    "                     cosignatures without which verify and check-proof fail. Its logs'\n"
    "                     keys are used as those of --key are.\n"
    "    --old FILE       a checkpoint of this log that was kept elsewhere.\n"
    "    --skew MS        how far entries' times may go backwards unreported; 60000.\n"
    "    --from, --to     times (2026-11-22 or 2026-11-22T10:00:00Z); --to is not included.\n"
    "    --first, --end   indexes; --end is not included.\n"
    "    --where K=V      an entry that says so. Several values of one key: any of them; several\n"
    "                     keys: all of them. Keys are listed below.\n"
    "    --subject S      what concerns this record or person: KIND/ID (with --keys) or the hash.\n"
    "    --keys FILE      a region's key file, <key_dir>/<region>.key; to be read by its owner\n"
    "                     only.\n"
    "    --index          (verify) also make the index again and compare.\n"
    "    --no-index       read every bundle.\n"
    "    --out FILE       instead of standard output.\n"
    "    --resume-after N goes on with FILE, an export that broke off, behind its row of index N;\n"
    "                     without --out the output begins behind that row, with no header.\n"
    "    --manifest FILE  says what was exported, with its SHA-256; --sign-key FILE signs it,\n"
    "                     once the log has been verified.\n"
    "    --max-gap MS     the longest silence that is not told; 3600000.\n"
    "    --format F       export: jsonl, csv, ocsf, ecs, cef, cloudevents. report: md, html, csv.\n"
    "                     Others: text or json.\n"
    "    -n N             how many entries; tail: 10, query: all.\n"
    "    --epoch N        destroy-subject: which.\n"
    "    --rate BYTES     fsck, verify: bytes per second to read at most.\n"
    "    --listen A:P     watch: where; 127.0.0.1:7480.\n"
    "    --state DIR      watch: where it remembers the last checkpoints; never to be set back.\n"
    "    --name NAME      witness-key: the key's name, such as witness.example.com.\n"
    "    --follow         goes on until it is interrupted.\n"
    "    --help           prints this text.\n";

static const char s_help_status[] =
    "\n"
    "EXIT STATUS\n"
    "    0 sound, or done; 1 tampered (the first bad index and file are named), gaps found, or\n"
    "    failed; 3 usage.\n";

static int help(void)
{
    (void)fputs(s_help, stdout);
    (void)fputs(s_help_options, stdout);
    (void)puts("\nKEYS OF --where");
    for (unsigned key = 0; key < DOM_EXPORT_KEY_COUNT; key++) {
        (void)printf("    %-16s %s\n", dom_export_key_name((enum dom_export_key)key),
                     dom_export_key_doc((enum dom_export_key)key));
    }
    (void)fputs(s_help_status, stdout);
    return DOM_EXIT_OK;
}

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
    OPT_HELP,
};

static const struct option s_options[] = {
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
        {OPT_SUBJECT, &args->subject},
    };

    for (size_t i = 0; i < DOM_ARRAY_LEN(texts); i++) {
        if (texts[i].id == option) {
            *texts[i].place = value;
            return true;
        }
    }
    return false;
}

static enum dom_code take_option(struct dom_audit_args *args, int option, const char *value,
                                 struct dom_error *err)
{
    uint64_t number = 0;
    enum dom_code rc = DOM_OK;

    if (take_text(args, option, value)) {
        return DOM_OK;
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
    {"export", dom_audit_export, NULL, "jsonl, csv, ocsf, ecs, cef, cloudevents", 1, 1, false},
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

/* What is wrong with the options together; NULL when nothing is. */
static const char *find_misuse(const struct dom_audit_args *args)
{
    bool is_check = strcmp(args->verb, "check-export") == 0;

    if (strcmp(args->verb, "prove") == 0 && args->has_index == (args->id != NULL)) {
        return "one of --index and --id is wanted";
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
            return help();
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
        return help();
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
