/* domicile audit report: makes a register, or makes one again and compares (--check). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "store/audit/report.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

/* ---- the checkpoints that a report names ---------------------------------------------------- */

#define HEADS_MAX  64U /* of different logs and, when somebody put reports together, sizes */
#define LINE_SHOWN 120

struct heads {
    struct dom_tree_head heads[HEADS_MAX];
    size_t num;
};

static void add_head(struct heads *heads, const struct dom_tree_head *head)
{
    for (size_t i = 0; i < heads->num; i++) {
        if (heads->heads[i].size == head->size &&
            dom_hash_eq(&heads->heads[i].root, &head->root)) {
            return;
        }
    }
    if (heads->num < HEADS_MAX) {
        heads->heads[heads->num++] = *head;
    }
}

/* "size N, root HEX", as each line and the end have it; no form writes these otherwise. */
static void find_heads(struct heads *heads, const char *line)
{
    for (const char *at = line; (at = strstr(at, "size ")) != NULL; at++) {
        struct dom_tree_head head;
        char *end = NULL;
        head.size = strtoull(at + 5, &end, 10);
        if (strncmp(end, ", root ", 7) == 0 && strlen(end + 7) >= 2U * DOM_HASH_SIZE &&
            dom_hex_decode(head.root.bytes, sizeof(head.root.bytes),
                           dom_slice_of(end + 7, 2U * DOM_HASH_SIZE))) {
            add_head(heads, &head);
        }
    }
}

static enum dom_code read_heads(const char *path, struct heads *heads, struct dom_error *err)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *in = fopen(path, "rbe");

    heads->num = 0;
    if (in == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open: %s", path, strerror(errno));
    }
    while (getline(&line, &capacity, in) >= 0) {
        find_heads(heads, line);
    }
    enum dom_code rc = ferror(in) == 0
                           ? DOM_OK
                           : DOM_FAIL(err, DOM_IO, "%s: cannot read: %s", path, strerror(errno));
    free(line);
    (void)fclose(in);
    return rc;
}

/* The largest of them that the log had, else *head stays: a report without a line of this log names
 * none. An entry's text may name a smaller one that is right; it cannot know a later one. */
static enum dom_code choose_head(const struct heads *heads, const char *dir,
                                 struct dom_tree_head *head, struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};
    struct dom_tree_head newest = *head;
    struct dom_hash root;
    struct dom_edge edge;
    bool found = false;

    enum dom_code rc = dom_tiledir_init(&tiledir, dir, newest.size, err);
    struct dom_hash_reader reader = dom_tiledir_reader(&tiledir);
    for (size_t i = 0; rc == DOM_OK && i < heads->num; i++) {
        uint64_t size = heads->heads[i].size;
        if (size > newest.size || (found && size < head->size)) {
            continue;
        }
        rc = dom_edge_load(&edge, &reader, size, err);
        if (rc == DOM_OK) {
            dom_edge_root(&edge, &root);
        }
        if (rc == DOM_OK && dom_hash_eq(&root, &heads->heads[i].root)) {
            *head = heads->heads[i];
            found = true;
        }
    }
    dom_tiledir_cleanup(&tiledir);
    return rc;
}

/* ---- making it ------------------------------------------------------------------------------ */

static enum dom_code add_log(struct dom_audit_args *args, size_t i, const struct heads *heads,
                             struct dom_report *report, struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_audit_progress progress;
    struct dom_buffer note = {0};

    dom_audit_progress_init(&progress);
    struct dom_log_walk walk = {.tiledir = &tiledir,
                                .filter = &args->filter,
                                .progress = dom_audit_progress_show,
                                .progress_arg = &progress};
    enum dom_code rc = dom_audit_use_log(args, i, err);
    if (rc == DOM_OK) {
        rc = dom_audit_open_log(args, &note, &checkpoint, err);
    }
    if (rc == DOM_OK) {
        rc = dom_audit_check_log(args, dom_buffer_slice(&note), err);
    }
    if (rc == DOM_OK) {
        rc = choose_head(heads, args->log, &checkpoint.head, err);
    }
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, err);
    }
    if (rc == DOM_OK) {
        rc = dom_report_add_log(report, &walk, checkpoint.origin, &checkpoint.head, err);
    }
    dom_audit_progress_end(&progress);
    if (rc != DOM_OK) {
        (void)dom_error_prefix(err, "%s", args->log);
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    return rc;
}

static enum dom_code make(struct dom_audit_args *args, enum dom_report_kind kind,
                          const struct heads *heads, FILE *out, uint64_t *num_lines,
                          struct dom_error *err)
{
    struct dom_report *report = NULL;
    enum dom_report_form form = DOM_REPORT_MD;

    if (args->format != NULL) {
        (void)dom_report_form_parse(dom_slice_str(args->format), &form); /* one of its list */
    }
    enum dom_code rc = dom_report_new(&report, kind, form, out, err);
    for (size_t i = 0; i < args->num_notes && rc == DOM_OK; i++) {
        rc = dom_report_say(report, dom_slice_str(args->notes[i]), err);
    }
    for (size_t i = 0; i < args->num_logs && rc == DOM_OK; i++) {
        rc = add_log(args, i, heads, report, err);
    }
    if (rc == DOM_OK) {
        rc = dom_report_finish(report, num_lines, err);
    }
    dom_report_destroy(report);
    return rc;
}

static const char *own_key_note(const struct dom_audit_args *args)
{
    return args->own_key ? " (key: from the log's own folder, not independent)" : "";
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Both from here on, line by line. */
static enum dom_code compare(FILE *told, FILE *made, struct dom_error *err)
{
    char *lines[2] = {NULL, NULL};
    size_t capacities[2] = {0, 0};
    enum dom_code rc = DOM_OK;

    for (uint64_t n = 1; rc == DOM_OK; n++) {
        ssize_t a = getline(&lines[0], &capacities[0], told);
        ssize_t b = getline(&lines[1], &capacities[1], made);
        if (a < 0 && b < 0) {
            break;
        }
        if (a != b || memcmp(lines[0], lines[1], (size_t)a) != 0) {
            rc = DOM_FAIL(err, DOM_TAMPERED,
                          "line %" PRIu64 " is not what the logs give: %.*s", n, LINE_SHOWN,
                          b < 0 ? "there is none" : lines[1]);
        }
    }
    free(lines[0]);
    free(lines[1]);
    return rc;
}

static enum dom_code check(struct dom_audit_args *args, enum dom_report_kind kind,
                           uint64_t *num_lines, struct dom_error *err)
{
    struct heads heads = {.num = 0};
    FILE *made = tmpfile();
    FILE *told = NULL;

    enum dom_code rc = made == NULL
                           ? DOM_FAIL(err, DOM_IO, "no temporary file: %s", strerror(errno))
                           : read_heads(args->check, &heads, err);
    if (rc == DOM_OK) {
        rc = make(args, kind, &heads, made, num_lines, err);
    }
    if (rc == DOM_OK) {
        told = fopen(args->check, "rbe");
        rewind(made);
        rc = told == NULL ? DOM_FAIL(err, DOM_IO, "%s: cannot open: %s", args->check,
                                     strerror(errno))
                          : compare(told, made, err);
    }
    if (told != NULL) {
        (void)fclose(told);
    }
    if (made != NULL) {
        (void)fclose(made);
    }
    return rc;
}

static enum dom_code write_report(struct dom_audit_args *args, enum dom_report_kind kind,
                                  uint64_t *num_lines, struct dom_error *err)
{
    const struct heads none = {.num = 0};
    FILE *out = stdout;

    if (args->out != NULL) {
        out = fopen(args->out, "wbe");
        if (out == NULL) {
            return DOM_FAIL(err, DOM_IO, "%s: cannot create: %s", args->out, strerror(errno));
        }
    }
    enum dom_code rc = make(args, kind, &none, out, num_lines, err);
    if (args->out != NULL && fclose(out) != 0 && rc == DOM_OK) {
        rc = DOM_FAIL(err, DOM_IO, "%s: cannot close: %s", args->out, strerror(errno));
    }
    return rc;
}

int dom_audit_report(struct dom_audit_args *args)
{
    struct dom_error err = {0};
    enum dom_report_kind kind = DOM_REPORT_ART30;
    uint64_t num_lines = 0;

    if (!dom_report_kind_parse(dom_slice_str(args->file), &kind)) {
        (void)fprintf(stderr,
                      "domicile audit report: art30, dsp-202-1101, dsp-202-1104 or matrix is "
                      "wanted, not \"%s\"\n",
                      args->file);
        return DOM_EXIT_USAGE;
    }
    enum dom_code rc = args->check != NULL ? check(args, kind, &num_lines, &err)
                                           : write_report(args, kind, &num_lines, &err);
    if (rc != DOM_OK) {
        return dom_audit_complain(args, &err);
    }
    if (args->check != NULL) {
        (void)printf("OK %" PRIu64 " lines, as the logs give them%s\n", num_lines,
                     own_key_note(args));
        return DOM_EXIT_OK;
    }
    (void)fprintf(stderr, "%" PRIu64 " lines from %zu log%s%s\n", num_lines, args->num_logs,
                  args->num_logs == 1 ? "" : "s", own_key_note(args));
    return DOM_EXIT_OK;
}
