/* domicile audit: check, export, prove and follow audit logs, offline. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "store/audit/proof.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

#define KEY_FILE_BYTES_MAX 65536U

static const char s_help[] =
    "NAME\n"
    "    domicile audit - check, export, prove and follow audit logs, offline\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile audit verify --log DIR [--key VKEY]... [--old CHECKPOINT] [--skew MS]\n"
    "    domicile audit export --log DIR [--from TIME] [--to TIME] [--where KEY=VALUE]...\n"
    "        [--first N] [--end N] [--out FILE] [--manifest FILE [--sign-key FILE]]\n"
    "    domicile audit prove --log DIR (--index N | --id UUID) [--out FILE]\n"
    "    domicile audit check-proof FILE --key VKEY\n"
    "    domicile audit tail --log DIR [-n N] [--where KEY=VALUE]... [--follow]\n"
    "\n"
    "DESCRIPTION\n"
    "    DIR is a region's published log, <data>/<region>/audit, or a copy of it. Nothing but\n"
    "    its files is read; the router need not run.\n"
    "\n"
    "    verify       hashes every entry again and compares every tile, the root, the signature\n"
    "                 and, with --old, the beginning of the log with a checkpoint kept earlier.\n"
    "    export       writes entries as JSON lines: "
    "{\"entry\":...,\"index\":N,\"leaf_hash\":...},\n"
    "                 the entry in its exact bytes.\n"
    "    prove        writes a proof of one entry that anybody can check without the log.\n"
    "    check-proof  checks such a proof and prints its entry.\n"
    "    tail         prints the last entries; with --follow also each new one, as soon as a\n"
    "                 checkpoint covers it.\n"
    "\n"
    "OPTIONS\n"
    "    --log DIR        the published log.\n"
    "    --key VKEY       the log's public key, name+id+base64; may be given several times.\n"
    "    --key-file FILE  such keys, one per line. Without any the key in DIR/vkey is used,\n"
    "                     which whoever changed the log could have changed too.\n"
    "    --old FILE       a checkpoint of this log that was kept elsewhere.\n"
    "    --skew MS        how far entries' times may go backwards unreported; 60000.\n"
    "    --from, --to     times (2026-11-22 or 2026-11-22T10:00:00Z); --to is not included.\n"
    "    --first, --end   indexes; --end is not included.\n"
    "    --where K=V      keys: from, to, from_region, to_region, service, country, kind, home,\n"
    "                     outcome, reason, type, op, purpose, record, trace, id. Several values\n"
    "                     of one key: any of them; several keys: all of them.\n"
    "    --out FILE       instead of standard output.\n"
    "    --manifest FILE  says what was exported, with its SHA-256; --sign-key FILE signs it.\n"
    "    --format F       text or json (verify, check-proof); export knows jsonl.\n"
    "    -n N             how many entries; 10.\n"
    "    --follow         goes on until it is interrupted.\n"
    "    --help           prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 sound, or done; 1 tampered (the first bad index and file are named) or failed;\n"
    "    3 usage.\n";

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

enum dom_code dom_audit_need_key(struct dom_audit_args *args, struct dom_error *err)
{
    char path[PATH_MAX];

    if (args->num_keys > 0) {
        return DOM_OK;
    }
    if (args->log == NULL) {
        return DOM_FAIL(err, DOM_USAGE, "--key is wanted: a proof cannot vouch for itself");
    }
    (void)snprintf(path, sizeof(path), "%s/vkey", args->log);
    args->own_key = true;
    return add_key_file(args, path, err);
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

/* ---- prove ---------------------------------------------------------------------------------- */

static enum dom_code keep_index(void *arg, uint64_t index, struct dom_slice entry,
                                const struct dom_entry_head *head, struct dom_error *err)
{
    uint64_t *found = arg;
    (void)entry;
    (void)head;
    *found = index;
    return DOM_FAIL(err, DOM_EXISTS, "found"); /* Ends the walk. */
}

static enum dom_code find_id(const struct dom_tiledir *tiledir, const char *id, uint64_t *index,
                             struct dom_error *err)
{
    struct dom_export_filter filter;

    dom_export_filter_init(&filter);
    filter.where[0] = (struct dom_export_where){.key = DOM_EXPORT_id, .value = dom_slice_str(id)};
    filter.num_where = 1;
    enum dom_code rc = dom_log_each(tiledir, &filter, keep_index, index, err);
    if (rc == DOM_OK) {
        return DOM_FAIL(err, DOM_NOT_FOUND, "no entry has the id %s", id);
    }
    return rc == DOM_EXISTS ? DOM_OK : rc;
}

static enum dom_code read_entry(const struct dom_tiledir *tiledir, uint64_t index,
                                struct dom_buffer *bundle, struct dom_slice *entry,
                                struct dom_error *err)
{
    struct dom_bundle_iter iter;
    unsigned count = 0;
    bool done = false;

    enum dom_code rc =
        dom_tiledir_read_bundle(tiledir, index / DOM_TILE_WIDTH, bundle, &count, NULL, err);
    dom_bundle_iter_init(&iter, dom_buffer_slice(bundle));
    for (uint64_t i = 0; rc == DOM_OK && i <= index % DOM_TILE_WIDTH; i++) {
        rc = dom_bundle_next(&iter, entry, &done, err);
        if (rc == DOM_OK && done) {
            rc = DOM_FAIL(err, DOM_CORRUPT, "the bundle has no entry %llu",
                          (unsigned long long)index);
        }
    }
    return rc;
}

static enum dom_code write_out(const char *path, struct dom_slice bytes, struct dom_error *err)
{
    if (path != NULL) {
        return dom_file_write_atomic(path, bytes, 0644, err);
    }
    if (fwrite(bytes.data, 1, bytes.len, stdout) != bytes.len || fflush(stdout) != 0) {
        return DOM_FAIL(err, DOM_IO, "cannot write: %s", strerror(errno));
    }
    return DOM_OK;
}

/* Checks the proof that was just made: what is handed out does convince. */
static enum dom_code check_own(const struct dom_audit_args *args, struct dom_slice bytes,
                               struct dom_error *err)
{
    struct dom_proof_file file;
    struct dom_checkpoint checkpoint;
    struct dom_hash leaf;

    enum dom_code rc = dom_proof_file_parse(&file, bytes, err);
    if (rc == DOM_OK) {
        rc = dom_proof_file_check(&file, dom_slice_of(NULL, 0), args->keys, args->num_keys,
                                  &checkpoint, &leaf, err);
        dom_proof_file_cleanup(&file);
    }
    return rc;
}

static int run_prove(struct dom_audit_args *args)
{
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_proof proof;
    struct dom_buffer note = {0};
    struct dom_buffer bundle = {0};
    struct dom_buffer out = {0};
    struct dom_slice entry = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = dom_audit_open_log(args, &note, &checkpoint, &err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, &err);
    }
    if (rc == DOM_OK && !args->has_index) {
        rc = find_id(&tiledir, args->id, &args->index, &err);
    }
    if (rc == DOM_OK) {
        struct dom_hash_reader reader = dom_tiledir_reader(&tiledir);
        rc = dom_prove_inclusion(&proof, &reader, args->index, checkpoint.head.size, &err);
    }
    if (rc == DOM_OK) {
        rc = read_entry(&tiledir, args->index, &bundle, &entry, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_proof_file_encode(entry, args->index, &proof, dom_buffer_slice(&note), &out, &err);
    }
    if (rc == DOM_OK) {
        rc = check_own(args, dom_buffer_slice(&out), &err);
    }
    if (rc == DOM_OK) {
        rc = write_out(args->out, dom_buffer_slice(&out), &err);
    }
    if (rc != DOM_OK) {
        status = dom_audit_complain(args, &err);
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    dom_buffer_cleanup(&bundle);
    dom_buffer_cleanup(&out);
    return status;
}

/* ---- check-proof ---------------------------------------------------------------------------- */

static void print_proven(const struct dom_audit_args *args, const struct dom_proof_file *file,
                         const struct dom_checkpoint *checkpoint, const struct dom_hash *leaf)
{
    char hex[2 * DOM_HASH_SIZE + 1];
    int origin_len = (int)checkpoint->origin.len;
    const char *origin = (const char *)checkpoint->origin.data;

    dom_hex_encode(hex, dom_hash_slice(leaf));
    if (args->json) {
        (void)printf(
            "{\"entry\":%.*s,\"index\":%llu,\"leaf_hash\":\"%s\",\"ok\":true,"
            "\"origin\":\"%.*s\",\"size\":%llu}\n",
            (int)file->extra.len, (const char *)file->extra.data, (unsigned long long)file->index,
            hex, origin_len, origin, (unsigned long long)checkpoint->head.size);
        return;
    }
    (void)printf("OK origin=%.*s index=%llu size=%llu leaf=%s\n%.*s\n", origin_len, origin,
                 (unsigned long long)file->index, (unsigned long long)checkpoint->head.size, hex,
                 (int)file->extra.len, (const char *)file->extra.data);
}

static int run_check_proof(struct dom_audit_args *args)
{
    struct dom_proof_file file = {0};
    struct dom_checkpoint checkpoint;
    struct dom_entry_head head;
    struct dom_hash leaf;
    struct dom_buffer bytes = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = dom_audit_need_key(args, &err);
    if (rc == DOM_OK) {
        rc = dom_file_read(&bytes, args->file, DOM_PROOF_FILE_BYTES_MAX, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_proof_file_parse(&file, dom_buffer_slice(&bytes), &err);
    }
    if (rc == DOM_OK) {
        rc = dom_proof_file_check(&file, dom_slice_of(NULL, 0), args->keys, args->num_keys,
                                  &checkpoint, &leaf, &err);
    }
    if (rc == DOM_OK) {
        /* Nothing is printed as JSON that is not. */
        rc = dom_entry_scan(dom_buffer_slice(&file.extra), &head, &err);
    }
    if (rc == DOM_OK) {
        print_proven(args, &file, &checkpoint, &leaf);
    } else {
        status = dom_audit_complain(args, &err);
    }
    dom_proof_file_cleanup(&file);
    dom_buffer_cleanup(&bytes);
    return status;
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

static enum dom_code take_format(struct dom_audit_args *args, const char *text,
                                 struct dom_error *err)
{
    bool is_export = strcmp(args->verb, "export") == 0;

    args->json = strcmp(text, "json") == 0;
    if (is_export ? strcmp(text, "jsonl") != 0 : !args->json && strcmp(text, "text") != 0) {
        return DOM_FAIL(err, DOM_USAGE, "--format: %s is wanted, not \"%s\"",
                        is_export ? "jsonl" : "text or json", text);
    }
    return DOM_OK;
}

static enum dom_code take_option(struct dom_audit_args *args, int option, const char *value,
                                 struct dom_error *err)
{
    uint64_t number = 0;
    enum dom_code rc = DOM_OK;

    switch (option) {
        case OPT_LOG:
            args->log = value;
            break;
        case OPT_OLD:
            args->old = value;
            break;
        case OPT_OUT:
            args->out = value;
            break;
        case OPT_MANIFEST:
            args->manifest = value;
            break;
        case OPT_SIGN_KEY:
            args->sign_key = value;
            break;
        case OPT_ID:
            args->id = value;
            break;
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
        case OPT_FORMAT:
            return take_format(args, value, err);
        case 'n':
            return take_number("-n", value, &args->lines, err);
        case OPT_SKEW:
            rc = take_number("--skew", value, &number, err);
            args->skew_ms = (int64_t)number;
            return rc;
        case OPT_INDEX:
            args->has_index = true;
            return take_number("--index", value, &args->index, err);
        default:
            return DOM_FAIL(err, DOM_USAGE, "unknown option or missing value");
    }
    return DOM_OK;
}

static const struct {
    const char *name;
    int (*run)(struct dom_audit_args *args);
    bool wants_log;
} s_verbs[] = {
    {"verify", dom_audit_verify, true}, {"export", dom_audit_export, true},
    {"prove", run_prove, true},         {"check-proof", run_check_proof, false},
    {"tail", dom_audit_tail, true},
};

/* What is wrong with the arguments as a whole; NULL when nothing is. */
static const char *find_misuse(const struct dom_audit_args *args, bool wants_log)
{
    if (wants_log && args->log == NULL) {
        return "--log is wanted";
    }
    if (!wants_log && (args->file == NULL || (args->num_keys == 0 && args->log == NULL))) {
        return "a proof's file and --key are wanted";
    }
    if (wants_log && args->file != NULL) {
        return "there is an argument too many";
    }
    if (strcmp(args->verb, "prove") == 0 && args->has_index == (args->id != NULL)) {
        return "one of --index and --id is wanted";
    }
    if (args->sign_key != NULL && args->manifest == NULL) {
        return "--sign-key goes with --manifest";
    }
    return NULL;
}

static int run_verb(size_t verb, int argc, char **argv, struct dom_audit_args *args)
{
    struct dom_error err = {0};
    int option = 0;

    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "n:h", s_options, NULL)) != -1) {
        if (option == OPT_HELP || option == 'h') {
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        }
        enum dom_code rc = take_option(args, option, optarg, &err);
        if (rc != DOM_OK) {
            return usage(args->verb, err.message);
        }
    }
    if (optind < argc) {
        args->file = argv[optind++];
    }
    const char *misuse = optind < argc ? "there is an argument too many"
                                       : find_misuse(args, s_verbs[verb].wants_log);
    return misuse != NULL ? usage(args->verb, misuse) : s_verbs[verb].run(args);
}

int dom_audit_command(int argc, char **argv)
{
    if (argc < 2) {
        return usage("", "a verb is wanted");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        (void)fputs(s_help, stdout);
        return DOM_EXIT_OK;
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_verbs); i++) {
        if (strcmp(argv[1], s_verbs[i].name) != 0) {
            continue;
        }
        struct dom_audit_args args = {.verb = s_verbs[i].name, .lines = 10, .skew_ms = 60000};
        dom_export_filter_init(&args.filter);
        int status = run_verb(i, argc - 1, argv + 1, &args);
        for (size_t k = 0; k < args.num_keys; k++) {
            dom_note_key_cleanup(&args.keys[k]);
        }
        return status;
    }
    (void)fprintf(stderr, "domicile audit: unknown verb \"%s\"; domicile audit --help lists them\n",
                  argv[1]);
    return DOM_EXIT_USAGE;
}
