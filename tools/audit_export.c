/* domicile audit export and tail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/audit/index.h"
#include "store/audit/tiledir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

#define KEY_FILE_BYTES_MAX 4096U

/* ---- export --------------------------------------------------------------------------------- */

enum dom_code dom_audit_write_manifest(const struct dom_audit_args *args,
                                       const struct dom_manifest *manifest, struct dom_error *err)
{
    struct dom_note_signer signer = {0};
    struct dom_buffer text = {0};
    struct dom_buffer note = {0};
    struct dom_buffer key = {0};

    enum dom_code rc = dom_manifest_encode(manifest, &text, err);
    if (rc == DOM_OK && args->sign_key != NULL) {
        rc = dom_file_read_secret(&key, args->sign_key, KEY_FILE_BYTES_MAX, err);
        if (rc == DOM_OK) {
            rc = dom_note_signer_parse(&signer, dom_buffer_slice(&key), err);
        }
        if (rc == DOM_OK) {
            rc = dom_note_sign(&signer, dom_buffer_slice(&text), &note, err);
        }
        if (key.len > 0) {
            explicit_bzero(key.data, key.len);
        }
    }
    if (rc == DOM_OK) {
        rc = dom_file_write_atomic(
            args->manifest, dom_buffer_slice(args->sign_key != NULL ? &note : &text), 0644, err);
    }
    dom_note_signer_cleanup(&signer);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&note);
    dom_buffer_cleanup(&key);
    return rc;
}

static enum dom_code export_to(struct dom_audit_args *args, FILE *out, struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_export_stats stats = {0};
    struct dom_audit_progress progress;
    struct dom_buffer note = {0};
    const char *format = args->format == NULL ? "jsonl" : args->format;

    dom_audit_progress_init(&progress);
    struct dom_export_options options = {
        .tiledir = &tiledir,
        .filter = &args->filter,
        .format = dom_export_format_find(dom_slice_str(format)),
        .out = out,
        /* A manifest says that nothing was left out: then nothing is taken on an index's word. */
        .use_index = args->manifest == NULL && !args->no_index,
        .resume_file = args->has_resume && args->out != NULL,
        .resume_check = args->manifest != NULL,
        .resume_stream = args->has_resume && args->out == NULL,
        .resume_after = args->resume_after,
        .progress = dom_audit_progress_show,
        .progress_arg = &progress,
    };
    enum dom_code rc = dom_audit_add_subject(args, err);
    if (rc == DOM_OK) {
        rc = dom_audit_open_log(args, &note, &checkpoint, err);
    }
    if (rc == DOM_OK && args->sign_key != NULL) {
        /* Nobody should sign for entries that are not those of the log. */
        rc = dom_audit_check_log(args, dom_buffer_slice(&note), err);
    }
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, err);
    }
    if (rc == DOM_OK && args->filter.first < tiledir.first) {
        args->filter.first = tiledir.first; /* what is pruned is in no export, and the manifest says so */
    }
    if (rc == DOM_OK) {
        rc = dom_export_write(&options, &stats, err);
    }
    dom_audit_progress_end(&progress);
    if (rc == DOM_OK && args->manifest != NULL) {
        struct dom_manifest manifest = {.origin = checkpoint.origin,
                                        .head = checkpoint.head,
                                        .filter = &args->filter,
                                        .format = options.format,
                                        .stats = &stats,
                                        .time_ms = dom_clock_wall_ms(dom_clock_system()),
                                        .checkpoint = dom_buffer_slice(&note)};
        rc = dom_audit_write_manifest(args, &manifest, err);
    }
    if (rc == DOM_OK) {
        (void)fprintf(stderr, "exported %llu of %llu entries, %llu bytes%s\n"
                      "read from files: no entry of the log tells of this export\n",
                      (unsigned long long)stats.count, (unsigned long long)checkpoint.head.size,
                      (unsigned long long)stats.bytes,
                      args->own_key ? " (key: from the log's own folder, not independent)" : "");
    } else if (stats.count > 0) {
        (void)fprintf(stderr,
                      "broken off at index %llu; the last whole row of the file may be an earlier "
                      "one: --resume-after goes on behind it\n",
                      (unsigned long long)stats.last_index);
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    return rc;
}

int dom_audit_export(struct dom_audit_args *args)
{
    struct dom_error err = {0};
    FILE *out = stdout;

    if (args->out != NULL) {
        out = fopen(args->out, args->has_resume ? "r+be" : "wbe");
        if (out == NULL) {
            (void)DOM_FAIL(&err, DOM_IO, "%s: cannot %s: %s", args->out,
                           args->has_resume ? "open" : "create", strerror(errno));
            return dom_audit_complain(args, &err);
        }
    }
    int status = DOM_EXIT_OK;
    enum dom_code rc = DOM_OK;
    if (args->log_region != NULL) {
        status = dom_audit_export_from_router(args, out);
    } else {
        rc = export_to(args, out, &err);
    }
    if (args->out != NULL && fclose(out) != 0 && rc == DOM_OK) {
        rc = DOM_FAIL(&err, DOM_IO, "%s: cannot close: %s", args->out, strerror(errno));
    }
    return rc == DOM_OK ? status : dom_audit_complain(args, &err);
}

/* ---- tail ----------------------------------------------------------------------------------- */

enum dom_code dom_audit_print_entry(void *arg, uint64_t index, struct dom_slice entry,
                                    const struct dom_entry_head *head, struct dom_error *err)
{
    const struct dom_audit_args *args = arg;
    char time[DOM_RFC3339_SIZE];
    int put = 0;

    if (args->json) {
        put = printf("{\"entry\":%.*s,\"index\":%llu}\n", (int)entry.len, (const char *)entry.data,
                     (unsigned long long)index);
    } else {
#define S(slice) (int)(slice).len, (slice).data == NULL ? "" : (const char *)(slice).data
        dom_time_format(time, head->time_ms, true);
        put = printf("%llu %s %.*s %.*s %.*s %.*s %.*s -> %.*s %.*s %.*s %.*s\n",
                     (unsigned long long)index, time, S(head->type), S(head->effect),
                     S(head->reason), S(head->op), S(head->from), S(head->to), S(head->kind),
                     S(head->actor_id), S(head->purpose));
#undef S
    }
    return put < 0 ? DOM_FAIL(err, DOM_IO, "cannot write: %s", strerror(errno)) : DOM_OK;
}

/* Windows in which the last entries that pass are looked for, from the end backwards: one bundle
 * first, as mostly they are there, then larger ones up to what one file of the index tells of. */
#define TAIL_WINDOW_MAX ((uint64_t)DOM_INDEX_GROUP * DOM_TILE_WIDTH)

struct window {
    uint64_t *indexes; /* of what passes in it; room for a whole one */
    size_t num;
};

static enum dom_code keep_index(void *arg, uint64_t index, struct dom_slice entry,
                                const struct dom_entry_head *head, struct dom_error *err)
{
    struct window *window = arg;

    (void)entry;
    (void)head;
    (void)err;
    window->indexes[window->num++] = index;
    return DOM_OK;
}

/* *first is where the last args->lines entries that pass begin; the end when none does. */
static enum dom_code find_tail(const struct dom_audit_args *args, const struct dom_tiledir *tiledir,
                               uint64_t *first, struct dom_error *err)
{
    struct dom_export_filter filter = args->filter;
    struct dom_log_walk walk = {
        .tiledir = tiledir, .filter = &filter, .use_index = !args->no_index};
    uint64_t lowest = filter.first > tiledir->first ? filter.first : tiledir->first;
    uint64_t left = args->lines;
    uint64_t width = DOM_TILE_WIDTH;
    struct window window = {
        .indexes = malloc((TAIL_WINDOW_MAX + DOM_TILE_WIDTH) * sizeof(uint64_t))};
    enum dom_code rc =
        window.indexes == NULL ? DOM_FAIL(err, DOM_RESOURCE, "out of memory") : DOM_OK;

    filter.end = filter.end < tiledir->size ? filter.end : tiledir->size;
    *first = filter.end;
    while (rc == DOM_OK && left > 0 && filter.end > lowest) {
        uint64_t begin = filter.end > width ? filter.end - width : 0;
        begin -= begin % DOM_TILE_WIDTH; /* no bundle is read twice */
        filter.first = begin > lowest ? begin : lowest;
        window.num = 0;
        rc = dom_log_walk(&walk, keep_index, &window, err);
        if (rc == DOM_OK && window.num > 0) {
            *first = window.indexes[window.num > left ? window.num - left : 0];
        }
        left -= window.num > left ? left : window.num;
        filter.end = filter.first;
        width = width * 4 < TAIL_WINDOW_MAX ? width * 4 : TAIL_WINDOW_MAX;
    }
    free(window.indexes);
    return rc;
}

/* Prints what is new since *seen and moves it on. */
static enum dom_code print_new(struct dom_audit_args *args, uint64_t *seen, bool first,
                               struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};
    struct dom_checkpoint checkpoint;
    struct dom_buffer note = {0};
    struct dom_export_filter filter = args->filter;
    struct dom_log_walk walk = {
        .tiledir = &tiledir, .filter = &filter, .use_index = first && !args->no_index};

    enum dom_code rc = dom_audit_open_log(args, &note, &checkpoint, err);
    if (rc == DOM_OK) {
        rc = dom_tiledir_init(&tiledir, args->log, checkpoint.head.size, err);
    }
    if (rc == DOM_OK && checkpoint.head.size < *seen) {
        rc = DOM_FAIL(err, DOM_TAMPERED, "the log went back from size %llu to %llu",
                      (unsigned long long)*seen, (unsigned long long)checkpoint.head.size);
    }
    if (rc == DOM_OK && first) {
        rc = find_tail(args, &tiledir, &filter.first, err);
    } else if (filter.first < *seen) {
        filter.first = *seen;
    }
    if (rc == DOM_OK) {
        rc = dom_log_walk(&walk, dom_audit_print_entry, args, err);
        *seen = checkpoint.head.size;
    }
    if (rc == DOM_OK && fflush(stdout) != 0) {
        rc = DOM_FAIL(err, DOM_IO, "cannot write: %s", strerror(errno));
    }
    dom_tiledir_cleanup(&tiledir);
    dom_buffer_cleanup(&note);
    return rc;
}

/* Waits until the checkpoint was replaced. */
static enum dom_code wait_for_checkpoint(int fd, struct dom_error *err)
{
    _Alignas(struct inotify_event) char events[4096];

    for (;;) {
        ssize_t got = read(fd, events, sizeof(events));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return DOM_FAIL(err, DOM_IO, "cannot follow the log: %s", strerror(errno));
        }
        for (char *at = events; at < events + got;) {
            struct inotify_event event;
            memcpy(&event, at, sizeof(event));
            const char *name = at + sizeof(event);
            if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
                return DOM_FAIL(err, DOM_IO, "the log's folder is gone");
            }
            if (event.len > 0 && strcmp(name, "checkpoint") == 0) {
                return DOM_OK;
            }
            at += sizeof(event) + event.len;
        }
    }
}

int dom_audit_tail(struct dom_audit_args *args)
{
    struct dom_error err = {0};
    uint64_t seen = 0;
    int fd = -1;
    enum dom_code rc = dom_audit_add_subject(args, &err);

    if (rc == DOM_OK && args->follow) {
        /* Watch before the first look: what comes in between is not missed. */
        fd = inotify_init1(IN_CLOEXEC);
        if (fd < 0 ||
            inotify_add_watch(fd, args->log,
                              IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
            rc = DOM_FAIL(&err, DOM_IO, "%s: cannot follow: %s", args->log, strerror(errno));
        }
    }
    if (rc == DOM_OK) {
        rc = print_new(args, &seen, true, &err);
    }
    while (rc == DOM_OK && args->follow) {
        rc = wait_for_checkpoint(fd, &err);
        if (rc == DOM_OK) {
            rc = print_new(args, &seen, false, &err);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc == DOM_OK ? DOM_EXIT_OK : dom_audit_complain(args, &err);
}
