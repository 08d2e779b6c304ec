/* Life of a policy: parse, check, compile, hold. And the names both ways. */
#include "policy/policy.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/file.h"
#include "policy/policy_internal.h"

/* Tree and model of the largest legal file. */
#define POLICY_ARENA_BYTES_MAX DOM_TREE_BYTES_MAX

static void policy_free(struct dom_policy *policy)
{
    dom_tables_cleanup(&policy->tables);
    dom_arena_cleanup(&policy->arena);
    free(policy->text);
    free(policy);
}

/* The text with a NUL behind it, and what it says of itself. */
static bool keep_text(struct dom_policy *policy, struct dom_slice text)
{
    struct dom_policy_info *info = &policy->info;

    policy->text = malloc(text.len + 1);
    if (policy->text == NULL) {
        return false;
    }
    if (text.len > 0) {
        memcpy(policy->text, text.data, text.len);
    }
    policy->text[text.len] = '\0';
    info->text = dom_slice_of(policy->text, text.len);
    (void)SHA256((const unsigned char *)policy->text, text.len, info->sha256);
    dom_hex_encode(info->sha256_hex, dom_slice_of(info->sha256, sizeof(info->sha256)));
    return true;
}

static enum dom_code refuse(const struct dom_findings *findings, const char *name,
                            struct dom_error *err)
{
    size_t errors = dom_findings_count(findings, DOM_FINDING_ERROR);

    for (size_t i = 0; i < findings->num_items; i++) {
        const struct dom_finding *item = &findings->items[i];
        if (item->level == DOM_FINDING_ERROR) {
            return DOM_FAIL(err, DOM_PARSE, "%s:%u:%u: %s: %s (%zu error%s)", name, item->line,
                            item->column, item->code, item->message, errors,
                            errors == 1 ? "" : "s");
        }
    }
    return DOM_FAIL(err, DOM_PARSE, "%s: the policy has errors", name);
}

/* From the tree to a checked model. Problems go to findings; only memory fails the call. */
static enum dom_code read_model(struct dom_policy *policy, const struct dom_node *root,
                                struct dom_findings *findings,
                                const struct dom_policy_load_options *options,
                                struct dom_error *err)
{
    struct dom_reader reader = {
        .model = &policy->model,
        .arena = &policy->arena,
        .findings = findings,
        .file = options->name,
        .now_ms = options->now_ms,
    };

    dom_shape_check(root, findings);
    dom_read_sections(&reader, root);
    if (!reader.exhausted) {
        dom_read_rules(&reader, root);
    }
    if (!reader.exhausted) {
        dom_read_placements(&reader, root);
        dom_read_others(&reader, root);
        dom_read_copies(&reader, root);
    }
    if (!reader.exhausted && dom_findings_count(findings, DOM_FINDING_ERROR) == 0) {
        dom_meaning_check(&reader, root);
    }
    if (reader.exhausted || policy->arena.exhausted) {
        return DOM_FAIL(err, DOM_RESOURCE, "%s: needs more memory than its limit", options->name);
    }
    return DOM_OK;
}

static enum dom_code compile_tables(struct dom_policy *policy, const struct dom_node *root,
                                    struct dom_findings *findings, struct dom_error *err)
{
    struct dom_error why = {0};
    const struct dom_node *rules = dom_node_get(root, "rules");
    struct dom_place place = rules == NULL ? root->value_at : rules->name_at;
    enum dom_code rc = dom_tables_build(&policy->tables, &policy->model, &policy->arena, &why);

    if (rc == DOM_OK) {
        rc = dom_tables_build_places(&policy->tables, &policy->model, &why);
    }
    if (rc == DOM_TOO_LARGE) {
        dom_findings_add(findings, "P0319", place, NULL,
                         "select by jurisdiction or group, and with fewer differing dates", "%s",
                         why.message);
    }
    if (rc != DOM_OK) {
        return DOM_FAIL(err, rc, "%s", why.message);
    }
    return DOM_OK;
}

static enum dom_code compile_text(struct dom_policy *policy, struct dom_findings *findings,
                                  const struct dom_policy_load_options *options,
                                  struct dom_error *err)
{
    struct dom_slice text = policy->info.text;
    struct dom_node *root = NULL;
    enum dom_code rc = dom_tree_parse(&root, text, &policy->arena, findings, err);

    if (rc == DOM_PARSE) {
        dom_findings_sort(findings);
        return refuse(findings, options->name, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    if (dom_findings_count(findings, DOM_FINDING_ERROR) == 0) {
        rc = dom_tree_agree(root, text, findings, err);
    }
    if (rc == DOM_OK) {
        rc = read_model(policy, root, findings, options, err);
    }
    if (rc == DOM_OK && dom_findings_count(findings, DOM_FINDING_ERROR) == 0) {
        rc = compile_tables(policy, root, findings, err);
    }
    dom_findings_sort(findings);
    if (rc == DOM_OK && dom_findings_count(findings, DOM_FINDING_ERROR) != 0) {
        rc = refuse(findings, options->name, err);
    }
    return rc;
}

static void fill_info(struct dom_policy *policy)
{
    struct dom_policy_info *info = &policy->info;
    const struct dom_model *model = &policy->model;

    info->name = model->name;
    info->version = model->version;
    info->expires_ms = model->expires_ms;
    info->log_keep_ms = model->log_keep_ms;
    info->num_rules = model->num_rules;
    info->num_placements = model->num_placements;
    info->hide_existence = model->hide_existence;
}

enum dom_code dom_policy_compile(struct dom_policy **policyp, struct dom_findings *findings,
                                 struct dom_slice text,
                                 const struct dom_policy_load_options *options,
                                 struct dom_error *err)
{
    struct dom_policy_load_options used = *options;
    struct dom_place start = {1, 1, 1};

    DOM_ASSERT(findings != NULL);
    *policyp = NULL;
    used.name = options->name == NULL ? "policy" : options->name;
    if (text.len > DOM_POLICY_FILE_BYTES_MAX) {
        dom_findings_add(findings, "P0010", start, NULL, NULL, "file is larger than %u bytes",
                         DOM_POLICY_FILE_BYTES_MAX);
        return DOM_FAIL(err, DOM_TOO_LARGE, "%s: larger than %u bytes", used.name,
                        DOM_POLICY_FILE_BYTES_MAX);
    }
    struct dom_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL || !keep_text(policy, text)) {
        free(policy);
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    atomic_init(&policy->refs, 1U);
    dom_arena_init(&policy->arena, NULL, 0, POLICY_ARENA_BYTES_MAX);
    enum dom_code rc = compile_text(policy, findings, &used, err);
    if (rc != DOM_OK) {
        policy_free(policy);
        return rc;
    }
    fill_info(policy);
    *policyp = policy;
    return DOM_OK;
}

enum dom_code dom_policy_load(struct dom_policy **policyp, struct dom_findings *findings,
                              const char *path, const struct dom_policy_load_options *options,
                              struct dom_error *err)
{
    struct dom_policy_load_options used = *options;
    struct dom_place start = {1, 1, 1};
    struct dom_buffer text;

    *policyp = NULL;
    used.name = options->name == NULL ? path : options->name;
    dom_buffer_init(&text, 0);
    enum dom_code rc = dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_policy_compile(policyp, findings, dom_buffer_slice(&text), &used, err);
    } else if (rc == DOM_TOO_LARGE) {
        dom_findings_add(findings, "P0010", start, NULL, NULL, "file is larger than %u bytes",
                         DOM_POLICY_FILE_BYTES_MAX);
    }
    dom_buffer_cleanup(&text);
    return rc;
}

/* The count lives in a policy that is otherwise const; the cast is the one place that says so. */
static struct dom_policy *counted(const struct dom_policy *policy)
{
    return (struct dom_policy *)(uintptr_t)policy;
}

struct dom_policy *dom_policy_ref(const struct dom_policy *policy)
{
    struct dom_policy *held = counted(policy);
    /* Relaxed: whoever takes a new reference holds one already. */
    unsigned before = atomic_fetch_add_explicit(&held->refs, 1U, memory_order_relaxed);

    DOM_ASSERT(before > 0);
    return held;
}

void dom_policy_unref(const struct dom_policy *policy)
{
    if (policy == NULL) {
        return;
    }
    struct dom_policy *held = counted(policy);
    /* Release what this thread read before the last one frees; acquire all of that there. */
    unsigned before = atomic_fetch_sub_explicit(&held->refs, 1U, memory_order_acq_rel);
    DOM_ASSERT(before > 0);
    if (before == 1) {
        policy_free(held);
    }
}

const struct dom_policy_info *dom_policy_info(const struct dom_policy *policy)
{
    return &policy->info;
}

size_t dom_policy_num_log_copies(const struct dom_policy *policy)
{
    return policy->model.num_copies;
}

const struct dom_policy_log_copy *dom_policy_log_copy(const struct dom_policy *policy, size_t i)
{
    return &policy->model.copies[i];
}

const struct dom_policy_rollout *dom_policy_rollout(const struct dom_policy *policy)
{
    return &policy->model.rollout;
}
