/* domicile audit verify, of a second copy of a log. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/encode.h"
#include "store/audit/sinkdir.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

bool dom_audit_is_copy(const char *dir)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/FORMAT", dir);
    return access(path, F_OK) == 0;
}

static void print_json(const struct dom_sinkdir_report *report, const char *root, bool sound,
                       bool own_key, const char *why)
{
    json_t *json = json_object();

    (void)json_object_set_new(json, "ok", json_boolean(sound));
    (void)json_object_set_new(json, "copy", json_true());
    (void)json_object_set_new(json, "origin", json_string(report->origin));
    (void)json_object_set_new(json, "size", json_integer((json_int_t)report->covered));
    (void)json_object_set_new(json, "root", json_string(root));
    (void)json_object_set_new(json, "entries", json_integer((json_int_t)report->entries));
    (void)json_object_set_new(json, "checkpoints", json_integer((json_int_t)report->checkpoints));
    (void)json_object_set_new(json, "files", json_integer((json_int_t)report->files));
    (void)json_object_set_new(json, "independent_key", json_boolean(!own_key));
    if (!sound) {
        (void)json_object_set_new(json, "why", json_string(why));
    }
    (void)json_dumpf(json, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    (void)putchar('\n');
    json_decref(json);
}

int dom_audit_verify_copy(struct dom_audit_args *args)
{
    struct dom_sinkdir_report report;
    struct dom_error err = {0};
    char root[2 * DOM_HASH_SIZE + 1];

    if (args->old != NULL || args->quorum != NULL) {
        (void)fprintf(stderr, "domicile audit: %s is a second copy: it is checked against every "
                              "checkpoint that it has; --old and --policy are for the log\n",
                      args->log);
        return DOM_EXIT_USAGE;
    }
    enum dom_code rc = dom_audit_need_key(args, &err);
    if (rc != DOM_OK) {
        return dom_audit_complain(args, &err);
    }
    rc = dom_sinkdir_verify(args->log, args->keys, args->num_keys, &report, &err);
    dom_hex_encode(root, dom_hash_slice(&report.root));
    if (args->json) {
        print_json(&report, root, rc == DOM_OK, args->own_key, err.message);
    } else {
        (void)printf("%s copy of origin=%s size=%" PRIu64 " root=%s entries %" PRIu64
                     " checkpoints %" PRIu64 " files %" PRIu64 "\n",
                     rc == DOM_OK ? "OK" : "TAMPERED", report.origin, report.covered, root,
                     report.entries, report.checkpoints, report.files);
        if (rc != DOM_OK) {
            (void)printf("first: %s\n", err.message);
        }
        if (report.entries > report.covered) {
            (void)printf("note: %" PRIu64 " entries are newer than the last checkpoint\n",
                         report.entries - report.covered);
        }
        if (args->own_key) {
            (void)printf("key: from the copy's own folder, not independent\n");
        }
    }
    return rc == DOM_OK ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}
