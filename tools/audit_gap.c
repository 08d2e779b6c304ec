/* domicile audit gap. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/audit/gap.h"
#include "store/audit/mirror.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

struct gap_log {
    struct dom_tiledir tiledir;
    struct dom_buffer note;
    struct dom_checkpoint checkpoint;
    struct dom_gaps gaps;
};

static enum dom_code walk_log(const struct dom_audit_args *args, struct gap_log *log,
                              struct dom_gaps *others, struct dom_error *err)
{
    struct dom_audit_progress progress;

    dom_audit_progress_init(&progress);
    struct dom_log_walk walk = {.tiledir = &log->tiledir,
                                .filter = &args->filter,
                                .progress = dom_audit_progress_show,
                                .progress_arg = &progress};
    enum dom_code rc = others == NULL ? dom_gaps_find(&log->gaps, &walk, args->max_gap_ms, err)
                                      : dom_gaps_count(others, &walk, err);
    dom_audit_progress_end(&progress);
    return rc;
}

static enum dom_code find_all(struct dom_audit_args *args, struct gap_log *logs,
                              struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    for (size_t i = 0; i < args->num_logs && rc == DOM_OK; i++) {
        rc = dom_audit_use_log(args, i, err);
        if (rc == DOM_OK) {
            rc = dom_audit_open_log(args, &logs[i].note, &logs[i].checkpoint, err);
        }
        if (rc == DOM_OK) {
            rc = dom_tiledir_init(&logs[i].tiledir, args->log, logs[i].checkpoint.head.size, err);
        }
        if (rc == DOM_OK) {
            rc = walk_log(args, &logs[i], NULL, err);
        }
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s", args->logs[i]);
        }
    }
    return rc;
}

/* What was to be expected of each log: from --from or the first entry of any log on, up to --to or
 * the last entry of any. */
static void add_ends(const struct dom_audit_args *args, struct gap_log *logs)
{
    int64_t from_ms = args->filter.from_ms;
    int64_t until_ms = args->filter.until_ms;

    for (size_t i = 0; i < args->num_logs; i++) {
        const struct dom_gaps *gaps = &logs[i].gaps;
        if (gaps->num_entries == 0) {
            continue;
        }
        if (args->filter.from_ms == 0 && (from_ms == 0 || gaps->first_ms < from_ms)) {
            from_ms = gaps->first_ms;
        }
        if (args->filter.until_ms == 0 && gaps->last_ms > until_ms) {
            until_ms = gaps->last_ms;
        }
    }
    for (size_t i = 0; i < args->num_logs; i++) {
        if (from_ms != 0 && until_ms != 0) {
            dom_gaps_add_ends(&logs[i].gaps, from_ms, until_ms);
        }
    }
}

static void print_gap(const struct dom_audit_args *args, const struct gap_log *log,
                      const struct dom_gap *gap, bool first)
{
    char from[DOM_RFC3339_SIZE];
    char until[DOM_RFC3339_SIZE];
    int origin_len = (int)log->checkpoint.origin.len;
    const char *origin = (const char *)log->checkpoint.origin.data;

    dom_time_format(from, gap->from_ms, true);
    dom_time_format(until, gap->until_ms, true);
    if (args->json) {
        (void)printf("%s{\"before_index\":%" PRIu64 ",\"from\":\"%s\",\"ms\":%" PRId64
                     ",\"origin\":\"%.*s\",\"others\":%" PRIu64 ",\"until\":\"%s\"}",
                     first ? "" : ",", gap->index, from, gap->until_ms - gap->from_ms, origin_len,
                     origin, gap->others, until);
        return;
    }
    (void)printf("GAP origin=%.*s from=%s until=%s ms=%" PRId64 " before_index=%" PRIu64
                 " others=%" PRIu64 "\n",
                 origin_len, origin, from, until, gap->until_ms - gap->from_ms, gap->index,
                 gap->others);
}

/* Returns how many gaps there are. */
static uint64_t print_all(const struct dom_audit_args *args, const struct gap_log *logs)
{
    uint64_t num = 0;

    if (args->json) {
        (void)printf("{\"gaps\":[");
    }
    for (size_t i = 0; i < args->num_logs; i++) {
        const struct dom_gaps *gaps = &logs[i].gaps;
        for (size_t g = 0; g < gaps->num_gaps; g++) {
            print_gap(args, &logs[i], &gaps->gaps[g], num + g == 0);
        }
        num += gaps->num_gaps;
        if (gaps->num_left_out > 0) {
            (void)fprintf(stderr, "%s: %" PRIu64 " more gaps, not told\n", args->logs[i],
                          gaps->num_left_out);
            num += gaps->num_left_out;
        }
    }
    if (args->json) {
        (void)printf("],\"logs\":%zu,\"max_gap_ms\":%" PRId64 ",\"num_gaps\":%" PRIu64
                     ",\"mirrors\":[",
                     args->num_logs, args->max_gap_ms, num);
    } else if (num == 0) {
        (void)printf("OK no silence over %" PRId64 " ms in %zu log%s\n", args->max_gap_ms,
                     args->num_logs, args->num_logs == 1 ? "" : "s");
    }
    return num;
}

/* ---- mirrors -------------------------------------------------------------------------------- */

/* The region that a log is of: what stands behind the last slash of its origin. */
static struct dom_slice region_of(const struct gap_log *log)
{
    struct dom_slice origin = log->checkpoint.origin;
    const uint8_t *slash = memrchr(origin.data, '/', origin.len);
    size_t skip = slash == NULL ? 0 : (size_t)(slash + 1 - origin.data);

    return dom_slice_of(origin.data + skip, origin.len - skip);
}

static void print_mirror(const struct dom_audit_args *args, const struct gap_log *to,
                         const struct dom_mirror_check *c, bool first)
{
    const struct dom_slice from = c->source_origin;
    const struct dom_slice in = to->checkpoint.origin;

    (void)printf(args->json ? "%s{\"differing\":%" PRIu64 ",\"entries\":%" PRIu64
                              ",\"in\":\"%.*s\",\"mirrors\":%" PRIu64 ",\"missing\":%" PRIu64
                              ",\"of\":\"%.*s\",\"pending\":%" PRIu64 "}"
                            : "%sMIRRORS differing=%" PRIu64 " entries=%" PRIu64
                              " in=%.*s mirrors=%" PRIu64 " missing=%" PRIu64
                              " of=%.*s pending=%" PRIu64 "\n",
                 first || !args->json ? "" : ",", c->num_differing, c->num_entries, (int)in.len,
                 (const char *)in.data, c->num_mirrors, c->num_missing, (int)from.len,
                 (const char *)from.data, c->num_pending);
    if (args->json) {
        return;
    }
    if (c->num_missing > 0) {
        (void)printf("first missing: index %" PRIu64 " of %.*s\n", c->first_missing, (int)from.len,
                     (const char *)from.data);
    }
    if (c->num_differing > 0) {
        (void)printf("first differing: index %" PRIu64 " of %.*s\n", c->first_differing,
                     (int)in.len, (const char *)in.data);
    }
}

/* Compares what each log says went to another's region with what that one mirrors. Counts what is
 * wrong. */
static enum dom_code check_mirrors(const struct dom_audit_args *args, const struct gap_log *logs,
                                   uint64_t *num_wrong, struct dom_error *err)
{
    bool first = true;

    *num_wrong = 0;
    for (size_t from = 0; from < args->num_logs; from++) {
        for (size_t to = 0; to < args->num_logs; to++) {
            struct dom_log_walk source = {.tiledir = &logs[from].tiledir};
            struct dom_log_walk mirror = {.tiledir = &logs[to].tiledir};
            struct dom_mirror_check check = {.source = &source,
                                             .source_origin = logs[from].checkpoint.origin,
                                             .mirror = &mirror,
                                             .region = region_of(&logs[to]),
                                             .grace_ms = args->skew_ms};
            if (dom_slice_eq(region_of(&logs[from]), region_of(&logs[to]))) {
                continue;
            }
            enum dom_code rc = dom_mirror_compare(&check, err);
            if (rc != DOM_OK) {
                return rc;
            }
            if (check.num_entries + check.num_mirrors > 0) {
                print_mirror(args, &logs[to], &check, first);
                first = false;
            }
            *num_wrong += check.num_missing + check.num_differing;
        }
    }
    return DOM_OK;
}

int dom_audit_gap(struct dom_audit_args *args)
{
    uint64_t num_wrong = 0;
    struct gap_log *logs = calloc(args->num_logs, sizeof(*logs));
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = logs == NULL ? DOM_FAIL(&err, DOM_RESOURCE, "out of memory")
                                    : find_all(args, logs, &err);
    if (rc == DOM_OK) {
        add_ends(args, logs);
    }
    for (size_t i = 0; rc == DOM_OK && i < args->num_logs; i++) {
        for (size_t other = 0; rc == DOM_OK && other < args->num_logs; other++) {
            if (other != i) {
                rc = walk_log(args, &logs[other], &logs[i].gaps, &err);
            }
        }
    }
    if (rc != DOM_OK) {
        status = dom_audit_complain(args, &err);
    } else {
        uint64_t num_gaps = print_all(args, logs);
        rc = check_mirrors(args, logs, &num_wrong, &err);
        if (args->json) {
            (void)printf("]}\n");
        }
        status = rc != DOM_OK                  ? dom_audit_complain(args, &err)
                 : num_gaps + num_wrong > 0 ? DOM_EXIT_FAILED
                                            : DOM_EXIT_OK;
    }
    for (size_t i = 0; logs != NULL && i < args->num_logs; i++) {
        dom_tiledir_cleanup(&logs[i].tiledir);
        dom_buffer_cleanup(&logs[i].note);
    }
    free(logs);
    return status;
}
