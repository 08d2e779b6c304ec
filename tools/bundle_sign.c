/* `domicile policy sign`: makes bundles, and adds signatures to what was made. */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/file.h"
#include "policy/bundle/plan.h"
#include "tools/bundle_args.h"
#include "tools/bundle_command.h"
#include "tools/command.h"
#include "tools/policy_verbs.h"

/* The hash that was acknowledged must be that of the plan as it is. */
static int check_plan(const struct dom_bundle_args *args, const struct dom_policy *before,
                      const struct dom_policy *after, uint8_t out[32])
{
    struct dom_error err = {0};
    struct dom_plan plan;
    char hex[65];

    if (dom_plan_make(&plan, before, after, NULL, &err) != DOM_OK) {
        return dom_bundle_failed(&err);
    }
    dom_hex_encode(hex, dom_slice_of(plan.sha256, 32));
    if (args->plan == NULL || strcmp(args->plan, hex) != 0) {
        (void)fprintf(stderr,
                      "domicile policy sign: the plan of this change is\n  %s\n%s\nread it with "
                      "`domicile policy plan`, then acknowledge it with --plan\n",
                      hex, args->plan == NULL ? "and none was acknowledged" : "not the one given");
        return DOM_EXIT_REFUSED;
    }
    memcpy(out, plan.sha256, 32);
    return DOM_EXIT_OK;
}

static int write_bundle(const struct dom_bundle_args *args, struct dom_slice note,
                        const struct dom_bundle *bundle)
{
    struct dom_buffer out = {0};
    struct dom_error err = {0};

    dom_bundle_pack(&out, note, bundle->files, bundle->num_files);
    enum dom_code rc = out.len > DOM_POLICY_BUNDLE_BYTES_MAX
                           ? DOM_FAIL(&err, DOM_TOO_LARGE, "the bundle has %zu bytes, at most %u",
                                      out.len, DOM_POLICY_BUNDLE_BYTES_MAX)
                           : dom_file_write_atomic(args->words[0], dom_buffer_slice(&out), 0644,
                                                   &err);
    dom_buffer_cleanup(&out);
    return rc == DOM_OK ? DOM_EXIT_OK : dom_bundle_failed(&err);
}

/* Reads the files that travel with the policy; their buffers are the caller's. */
static enum dom_code read_files(const struct dom_bundle_args *args, struct dom_buffer *buffers,
                                struct dom_bundle *bundle, struct dom_error *err)
{
    for (size_t i = 0; i < args->num_files; i++) {
        const char *slash = strrchr(args->files[i], '/');
        enum dom_code rc =
            dom_file_read(&buffers[i], args->files[i], DOM_POLICY_BUNDLE_BYTES_MAX, err);
        if (rc != DOM_OK) {
            return rc;
        }
        bundle->files[bundle->num_files++] = (struct dom_bundle_file){
            .name = dom_slice_str(slash == NULL ? args->files[i] : slash + 1),
            .bytes = dom_buffer_slice(&buffers[i])};
    }
    return DOM_OK;
}

static int make_bundle(const struct dom_bundle_args *args, const struct dom_policy *before,
                       const struct dom_policy *after)
{
    const struct dom_policy_info *info = dom_policy_info(after);
    struct dom_bundle bundle = {.name = dom_slice_str(info->name),
                                .version = info->version,
                                .created_ms = dom_bundle_now_ms(),
                                .expires_ms = info->expires_ms / 1000 * 1000,
                                .num_files = 1};
    struct dom_buffer buffers[DOM_BUNDLE_ARG_FILES_MAX] = {0};
    struct dom_buffer text = {0};
    struct dom_buffer note = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    bundle.files[0] = (struct dom_bundle_file){.name = DOM_SLICE_LIT(DOM_BUNDLE_POLICY_FILE),
                                               .bytes = info->text};
    if (before != NULL) {
        memcpy(bundle.previous, dom_policy_info(before)->sha256, 32);
        status = check_plan(args, before, after, bundle.plan);
    }
    enum dom_code rc = DOM_OK;
    if (args->expires != NULL && !dom_bundle_parse_time(args->expires, &bundle.expires_ms, &err)) {
        rc = err.code;
    }
    if (rc == DOM_OK) {
        rc = read_files(args, buffers, &bundle, &err);
    }
    if (rc == DOM_OK && status == DOM_EXIT_OK) {
        rc = dom_bundle_text(&bundle, &text, &err);
        if (rc == DOM_OK) {
            rc = dom_bundle_sign_note(args, dom_buffer_slice(&text), &note, &err);
        }
    }
    if (rc != DOM_OK) {
        status = dom_bundle_failed(&err);
    } else if (status == DOM_EXIT_OK) {
        status = write_bundle(args, dom_buffer_slice(&note), &bundle);
    }
    for (size_t i = 0; i < DOM_BUNDLE_ARG_FILES_MAX; i++) {
        dom_buffer_cleanup(&buffers[i]);
    }
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&note);
    return status;
}

static int sign_new(const struct dom_bundle_args *args)
{
    struct dom_policy *before = NULL;
    struct dom_policy *after = NULL;
    int status = DOM_EXIT_FAILED;

    if (args->first == (args->previous != NULL)) {
        return dom_policy_usage("a new bundle needs --previous OLD, or --first", "");
    }
    if (dom_policy_read(&after, args->policy) &&
        (args->first || dom_policy_read(&before, args->previous))) {
        status = make_bundle(args, before, after);
    }
    dom_policy_unref(before);
    dom_policy_unref(after);
    return status;
}

/* A second hand: makes the plan anew from what is in the bundle, and signs the very same note. */
static int sign_bundle(const struct dom_bundle_args *args, struct dom_slice bytes)
{
    struct dom_policy_load_options options = {.name = DOM_BUNDLE_POLICY_FILE, .now_ms = dom_bundle_now_ms()};
    struct dom_findings findings = {0};
    struct dom_policy *before = NULL;
    struct dom_policy *after = NULL;
    struct dom_bundle bundle;
    struct dom_buffer note = {0};
    struct dom_error err = {0};
    uint8_t plan[32] = {0};
    int status = DOM_EXIT_OK;

    if (dom_bundle_parse(&bundle, bytes, &err) != DOM_BUNDLE_NONE ||
        dom_policy_compile(&after, &findings, bundle.policy, &options, &err) != DOM_OK) {
        status = dom_bundle_failed(&err);
    } else if (!args->first && args->previous == NULL) {
        status = dom_policy_usage("give --previous OLD and --plan HASH (or --first)", "");
    } else if (!args->first) {
        status = dom_policy_read(&before, args->previous)
                     ? check_plan(args, before, after, plan)
                     : DOM_EXIT_FAILED;
    }
    if (status == DOM_EXIT_OK && memcmp(plan, bundle.plan, 32) != 0) {
        (void)fprintf(stderr, "domicile policy sign: the bundle was made for another change\n");
        status = DOM_EXIT_REFUSED;
    }
    if (status == DOM_EXIT_OK) {
        status = dom_signing_add(&args->signing, bundle.note_bytes, &note, &err) == DOM_OK
                     ? write_bundle(args, dom_buffer_slice(&note), &bundle)
                     : dom_bundle_failed(&err);
    }
    dom_buffer_cleanup(&note);
    dom_findings_cleanup(&findings);
    dom_policy_unref(before);
    dom_policy_unref(after);
    return status;
}

static int sign_again(const struct dom_bundle_args *args)
{
    struct dom_buffer bytes = {0};
    struct dom_buffer out = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = dom_file_read(&bytes, args->words[0], DOM_POLICY_BUNDLE_BYTES_MAX, &err);
    if (rc == DOM_OK && dom_bundle_is(dom_buffer_slice(&bytes))) {
        status = sign_bundle(args, dom_buffer_slice(&bytes));
    } else {
        if (rc == DOM_OK) {
            rc = dom_signing_add(&args->signing, dom_buffer_slice(&bytes), &out, &err);
        }
        if (rc == DOM_OK) {
            rc = dom_file_write_atomic(args->words[0], dom_buffer_slice(&out), 0644, &err);
        }
        status = rc == DOM_OK ? DOM_EXIT_OK : dom_bundle_failed(&err);
    }
    dom_buffer_cleanup(&bytes);
    dom_buffer_cleanup(&out);
    return status;
}

int dom_policy_sign_verb(int argc, char **argv)
{
    struct dom_bundle_args args;
    int status = 0;

    if (!dom_bundle_parse_args(&args, argc, argv, 1, &status)) {
        return status;
    }
    return args.policy != NULL ? sign_new(&args) : sign_again(&args);
}
