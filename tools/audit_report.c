/* domicile audit report. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/audit/report.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

static enum dom_code add_log(struct dom_audit_args *args, size_t i, struct dom_report *report,
                             struct dom_error *err)
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

int dom_audit_report(struct dom_audit_args *args)
{
    struct dom_report *report = NULL;
    struct dom_error err = {0};
    enum dom_report_kind kind = DOM_REPORT_ART30;
    enum dom_report_form form = DOM_REPORT_MD;
    uint64_t num_lines = 0;
    FILE *out = stdout;

    if (!dom_report_kind_parse(dom_slice_str(args->file), &kind)) {
        (void)fprintf(stderr,
                      "domicile audit report: art30, dsp-202-1101, dsp-202-1104 or matrix is "
                      "wanted, not \"%s\"\n",
                      args->file);
        return DOM_EXIT_USAGE;
    }
    if (args->format != NULL) {
        (void)dom_report_form_parse(dom_slice_str(args->format), &form); /* one of its list */
    }
    if (args->out != NULL) {
        out = fopen(args->out, "wbe");
        if (out == NULL) {
            (void)DOM_FAIL(&err, DOM_IO, "%s: cannot create: %s", args->out, strerror(errno));
            return dom_audit_complain(args, &err);
        }
    }
    enum dom_code rc = dom_report_new(&report, kind, form, out, &err);
    for (size_t i = 0; i < args->num_logs && rc == DOM_OK; i++) {
        rc = add_log(args, i, report, &err);
    }
    if (rc == DOM_OK) {
        rc = dom_report_finish(report, &num_lines, &err);
    }
    dom_report_destroy(report);
    if (args->out != NULL && fclose(out) != 0 && rc == DOM_OK) {
        rc = DOM_FAIL(&err, DOM_IO, "%s: cannot close: %s", args->out, strerror(errno));
    }
    if (rc != DOM_OK) {
        return dom_audit_complain(args, &err);
    }
    (void)fprintf(stderr, "%" PRIu64 " lines from %zu log%s%s\n", num_lines, args->num_logs,
                  args->num_logs == 1 ? "" : "s",
                  args->own_key ? " (key: from the log's own folder, not independent)" : "");
    return DOM_EXIT_OK;
}
