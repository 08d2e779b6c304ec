#include "tools/policy_event.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "router/core/redecide.h"
#include "store/audit/bundle.h"
#include "store/audit/event.h"
#include "store/audit/export_format.h"
#include "tools/command.h"
#include "tools/policy_log.h"
#include "tools/policy_verbs.h"

/* A row of an export: the entry, index and leaf hash around it. */
#define LINE_BYTES_MAX (DOM_ENTRY_BYTES_MAX + 4096U)

struct run {
    const struct dom_event_options *options;
    uint64_t num_lines;
    uint64_t num_same;
    uint64_t num_not_decided; /* control events */
    uint64_t num_failed;
    struct dom_buffer out;
};

/* Where an entry was found, for messages. */
struct spot {
    char text[64];
};

static void fail(struct run *run, const struct spot *spot, const char *why)
{
    (void)fprintf(stderr, "domicile policy: %s: %s\n", spot->text, why);
    run->num_failed++;
}

static void say_missing(struct run *run, const struct spot *spot, const struct dom_decided *said,
                        const struct dom_error *err)
{
    char why[640];

    if (err->code != DOM_NOT_FOUND) {
        fail(run, spot, err->message);
        return;
    }
    (void)snprintf(why, sizeof(why),
                   "the policy version that decided it is not at hand: %.*s version %lld, sha256 "
                   "%.*s. Give its file with --policy, or the folder that keeps it with --policies",
                   (int)(said->policy_name.len > 128 ? 128 : said->policy_name.len),
                   said->policy_name.data == NULL ? "" : (const char *)said->policy_name.data,
                   (long long)said->policy_version,
                   (int)(said->policy_sha256.len > 64 ? 64 : said->policy_sha256.len),
                   said->policy_sha256.data == NULL ? "" : (const char *)said->policy_sha256.data);
    fail(run, spot, why);
}

/* ---- one entry ---- */

static const char *verdict_of(const struct dom_redecision *again)
{
    if (again->outcome != DOM_REDECIDE_SAME) {
        return again->what;
    }
    if (dom_slice_eq_str(again->said.reason, dom_code_reason(DOM_LIMIT_REACHED))) {
        return "the same: permitted under a limit, which was used up then";
    }
    if (dom_slice_eq_str(again->said.reason, dom_code_reason(DOM_FROZEN))) {
        return "the same: it was frozen then, whatever the policy says";
    }
    return "the same as the log says";
}

static void put_json(struct run *run, const struct spot *spot, const struct dom_policy *policy,
                     const struct dom_redecision *again)
{
    struct dom_buffer *out = &run->out;

    dom_buffer_printf(out, "{\"at\": \"%s\", \"outcome\": \"%s\", \"what\": ", spot->text,
                      dom_redecide_outcome_name(again->outcome));
    dom_policy_put_json_text(out, again->what);
    dom_buffer_append_str(out, ", \"explain\": ");
    dom_policy_explain_json(policy, &again->request, out);
    out->len -= out->len > 0 && out->data[out->len - 1] == '\n' ? 1U : 0U;
    dom_buffer_append_str(out, "}\n");
}

static void put_text(struct run *run, const struct spot *spot, const struct dom_policy *policy,
                     const struct dom_redecision *again)
{
    dom_policy_explain(policy, &again->request, &run->out);
    dom_buffer_printf(&run->out, "entry:    %s: %s\n", spot->text, verdict_of(again));
}

static void explain_entry(struct run *run, const struct spot *spot, struct dom_slice entry)
{
    const struct dom_policy *policy = NULL;
    struct dom_audit_event_doc doc;
    struct dom_redecision again;
    struct dom_decided said;
    struct dom_error err = {0};

    /* The strict reader first: what is not an entry to the byte is not decided. */
    if (dom_audit_event_parse(&doc, entry, &err) != DOM_OK) {
        fail(run, spot, err.message);
        return;
    }
    dom_audit_event_doc_cleanup(&doc);
    dom_decided_read_scanned(&said, entry);
    if (!dom_decided_is_decision(&said)) {
        run->num_not_decided++;
        if (!run->options->json) {
            dom_buffer_printf(&run->out, "entry:    %s: of type %.*s: no policy decided it\n",
                              spot->text, (int)said.type.len, (const char *)said.type.data);
        }
        return;
    }
    if (dom_policy_shelf_find(run->options->policies, &policy, said.policy_sha256, &err) != DOM_OK) {
        say_missing(run, spot, &said, &err);
        return;
    }
    dom_redecide(&again, policy, entry);
    if (again.outcome != DOM_REDECIDE_SAME && again.outcome != DOM_REDECIDE_DIFFERS) {
        fail(run, spot, again.what);
        return;
    }
    if (again.outcome == DOM_REDECIDE_SAME) {
        run->num_same++;
    } else {
        run->num_failed++;
    }
    if (run->options->json) {
        put_json(run, spot, policy, &again);
    } else {
        put_text(run, spot, policy, &again);
    }
}

/* ---- where entries come from ---- */

/* A row of an export proves its own bytes: the leaf hash must be the entry's. */
static bool unwrap(struct run *run, struct spot *spot, struct dom_slice line,
                   struct dom_slice *entry)
{
    static const char begin[] = "{\"entry\":";
    uint64_t index = 0;
    struct dom_hash leaf;
    char hex[DOM_HASH_SIZE * 2 + 1];
    char end[DOM_HASH_SIZE * 2 + 32];

    *entry = line;
    if (line.len < sizeof(begin) - 1 || memcmp(line.data, begin, sizeof(begin) - 1) != 0) {
        return true;
    }
    struct dom_buffer row;
    dom_buffer_init(&row, 0);
    dom_buffer_append_slice(&row, line);
    dom_buffer_append_char(&row, '\n');
    bool ok = dom_export_row_index(&dom_export_format_jsonl, dom_buffer_slice(&row), &index) &&
              dom_export_format_jsonl.entry(dom_buffer_slice(&row), entry);
    /* The entry lies in the copy: the same place in the line. */
    size_t at = ok ? (size_t)(entry->data - row.data) : 0;
    *entry = dom_slice_of(line.data + at, ok ? entry->len : 0);
    dom_buffer_cleanup(&row);
    if (!ok) {
        fail(run, spot, "neither an entry nor a row of `domicile audit export --format jsonl`");
        return false;
    }
    (void)snprintf(spot->text, sizeof(spot->text), "index %llu", (unsigned long long)index);
    dom_hash_leaf(&leaf, *entry);
    dom_hex_encode(hex, dom_slice_of(leaf.bytes, sizeof(leaf.bytes)));
    int len = snprintf(end, sizeof(end), "\"leaf_hash\":\"%s\"}", hex);
    if (line.len < (size_t)len || memcmp(line.data + line.len - len, end, (size_t)len) != 0) {
        fail(run, spot, "leaf_hash is not that of the entry: the row was changed");
        return false;
    }
    return true;
}

static void explain_line(struct run *run, struct dom_slice line)
{
    struct dom_slice entry;
    struct spot spot;

    run->num_lines++;
    (void)snprintf(spot.text, sizeof(spot.text), "line %llu", (unsigned long long)run->num_lines);
    if (unwrap(run, &spot, line, &entry)) {
        explain_entry(run, &spot, entry);
    }
    (void)dom_policy_print(&run->out);
    dom_buffer_clear(&run->out);
}

/* Lines of a bounded length; a longer one is no entry and is stepped over. */
static bool explain_lines(struct run *run, FILE *in)
{
    char *line = malloc(LINE_BYTES_MAX);
    size_t len = 0;
    int c = 0;

    while (line != NULL && c != EOF) {
        c = getc_unlocked(in);
        if (c != '\n' && c != EOF) {
            if (len < LINE_BYTES_MAX) {
                line[len] = (char)c;
            }
            len++;
        } else if (len > LINE_BYTES_MAX) {
            struct spot spot;
            run->num_lines++;
            (void)snprintf(spot.text, sizeof(spot.text), "line %llu",
                           (unsigned long long)run->num_lines);
            fail(run, &spot, "longer than a row of an export may be");
            len = 0;
        } else if (len > 0 || c == '\n') {
            explain_line(run, dom_slice_of(line, len));
            len = 0;
        }
    }
    free(line);
    return line != NULL && ferror(in) == 0;
}

static bool explain_file(struct run *run, const char *path)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (in == NULL) {
        (void)fprintf(stderr, "domicile policy: %s: cannot open: %s\n", path, strerror(errno));
        return false;
    }
    bool ok = explain_lines(run, in);
    if (in != stdin) {
        (void)fclose(in);
    }
    if (!ok) {
        (void)fprintf(stderr, "domicile policy: %s: cannot read\n", path);
    } else if (run->num_lines == 0) {
        (void)fprintf(stderr, "domicile policy: %s: there is no entry in it\n", path);
        ok = false;
    }
    return ok;
}

static enum dom_code read_entry(const struct dom_event_options *options, struct dom_buffer *bundle,
                                struct dom_slice *entry, struct dom_error *err)
{
    unsigned count = 0;
    bool done = false;
    struct dom_bundle_iter iter;
    struct dom_tiledir log = {0};

    enum dom_code rc = dom_policy_log_open(&log, options->log, err);
    if (rc == DOM_OK && options->index >= log.size) {
        rc = DOM_FAIL(err, DOM_INVALID, "%s: the log has %llu entries, numbered from 0",
                      options->log, (unsigned long long)log.size);
    }
    if (rc == DOM_OK) {
        rc = dom_tiledir_read_bundle(&log, options->index / DOM_TILE_WIDTH, bundle, &count, NULL,
                                     err);
    }
    dom_bundle_iter_init(&iter, dom_buffer_slice(bundle));
    while (rc == DOM_OK && iter.position <= options->index % DOM_TILE_WIDTH && !done) {
        rc = dom_bundle_next(&iter, entry, &done, err);
    }
    if (rc == DOM_OK && done) {
        rc = DOM_FAIL(err, DOM_CORRUPT, "%s: the bundle has too few entries", options->log);
    }
    dom_tiledir_cleanup(&log);
    return rc;
}

/* A log that lies where its router keeps it (<data>/<region>/audit) has the policies that the router
 * took not far away, in <data>/policy.d. */
static bool add_routers_policies(const struct dom_event_options *options)
{
    char path[PATH_MAX];
    struct dom_error err = {0};

    int len = snprintf(path, sizeof(path), "%s/../../policy.d", options->log);
    if (len < 0 || (size_t)len >= sizeof(path) || access(path, R_OK | X_OK) != 0) {
        return true;
    }
    if (dom_policy_shelf_add_dir(options->policies, path, &err) != DOM_OK) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
        return false;
    }
    return true;
}

static bool explain_index(struct run *run)
{
    struct dom_buffer bundle = {0};
    struct dom_slice entry;
    struct dom_error err = {0};
    struct spot spot;

    if (!add_routers_policies(run->options)) {
        return false;
    }
    bool ok = read_entry(run->options, &bundle, &entry, &err) == DOM_OK;
    if (ok) {
        (void)snprintf(spot.text, sizeof(spot.text), "index %llu",
                       (unsigned long long)run->options->index);
        explain_entry(run, &spot, entry);
        ok = dom_policy_print(&run->out);
    } else {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
    }
    dom_buffer_cleanup(&bundle);
    return ok;
}

int dom_event_explain(const struct dom_event_options *options)
{
    struct run run = {.options = options};

    dom_buffer_init(&run.out, 0);
    bool ok = options->log != NULL ? explain_index(&run) : explain_file(&run, options->path);
    if (ok && !options->json && run.num_lines > 1) {
        (void)printf("%llu entries: %llu decided the same, %llu no decisions, %llu not so\n",
                     (unsigned long long)run.num_lines, (unsigned long long)run.num_same,
                     (unsigned long long)run.num_not_decided,
                     (unsigned long long)run.num_failed);
    }
    dom_buffer_cleanup(&run.out);
    return ok && run.num_failed == 0 ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}
