#include "tests/router/core/harness.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

const char core_policy_text[] =
    "policy = { schema = 1; name = \"core-test\"; version = 3L; expires = \"2030-01-01T00:00:00Z\";\n"
    "  change = { ticket = \"T-1\"; reason = \"test data\"; author = \"tests\"; }; };\n"
    "defaults = { uncovered_field = \"redact\"; hide_existence = true; };\n"
    "jurisdictions = { EEA = { countries = (\"DE\", \"FR\", \"GR\"); law = \"GDPR\"; };\n"
    "  GB = { countries = (\"GB\"); law = \"UK GDPR\"; }; US = { countries = (\"US\"); }; };\n"
    "regions = { eu-1 = { country = \"DE\"; }; eu-2 = { country = \"FR\"; };\n"
    "  uk-1 = { country = \"GB\"; }; us-1 = { country = \"US\"; }; };\n"
    "data_classes = { public = { rank = 0; }; content = { rank = 1; };\n"
    "  identifier = { rank = 2; personal = true; }; network = { rank = 3; personal = true; };\n"
    "  secret = { rank = 4; personal = true; }; location = { rank = 5; personal = true; };\n"
    "  payment = { rank = 6; personal = true; }; other = { rank = 7; personal = true; }; };\n"
    "purposes = { serve = {}; moderation = {}; };\n"
    "services = { moderation = { kinds = (\"*\"); ops = (\"*\"); purposes = (\"*\"); };\n"
    "  feed = { kinds = (\"live_room\"); ops = (\"read\"); purposes = (\"serve\"); }; };\n"
    "kinds = { live_room = { fields = { cover = \"public\"; title = \"content\";\n"
    "    owner = \"identifier\"; ip = \"network\"; note = \"secret\"; place = \"location\";\n"
    "    card = \"payment\"; tag = \"other\"; }; unknown_field = \"other\"; subject = \"owner\"; };\n"
    "  strict = { fields = { name = \"content\"; }; }; };\n"
    "bases = { scc = { mechanism = \"GDPR-46-2-c\"; ref = \"SCC-1\"; from = \"2026-01-01\";\n"
    "    until = \"2027-06-30\"; assessment = \"TIA-1\"; };\n"
    "  gone = { mechanism = \"GDPR-45\"; ref = \"2016/1250\"; from = \"2016-08-01\";\n"
    "    until = \"2026-06-30\"; }; };\n"
    "placement = ( { id = \"eea-home\"; home = (\"EEA\"); classes = (\"*\"); regions = (\"EEA\");\n"
    "    lead = (\"eu-1\"); min_replicas = 2; },\n"
    "  { id = \"eea-public\"; home = (\"EEA\"); classes = (\"public\"); regions = (\"*\");\n"
    "    basis = \"not_personal\"; },\n"
    "  { id = \"us-home\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); } );\n"
    "rules = ( { id = \"eea-us-moderation\"; effect = \"permit\"; ops = (\"read\", \"write\", \"list\");\n"
    "    home = (\"EEA\"); to = (\"US\"); kinds = (\"live_room\");\n"
    "    classes = (\"content\", \"identifier\", \"network\", \"secret\", \"location\");\n"
    "    purposes = (\"moderation\"); services = (\"moderation\"); basis = \"scc\";\n"
    "    obligations = ( { do = \"pseudonymise\"; classes = (\"identifier\"); key = \"eea_export\"; },\n"
    "      { do = \"redact\"; classes = (\"network\"); },\n"
    "      { do = \"withhold\"; classes = (\"secret\"); } ); },\n"
    "  { id = \"eea-us-payment\"; effect = \"permit\"; ops = (\"read\"); home = (\"EEA\");\n"
    "    to = (\"US\"); kinds = (\"live_room\"); classes = (\"payment\"); purposes = (\"moderation\");\n"
    "    services = (\"moderation\"); basis = \"gone\"; },\n"
    "  { id = \"public-anywhere\"; effect = \"permit\"; ops = (\"read\", \"list\", \"write\"); home = (\"*\");\n"
    "    to = (\"*\"); kinds = (\"*\"); classes = (\"public\"); purposes = (\"*\"); services = (\"*\");\n"
    "    basis = \"not_personal\"; },\n"
    "  { id = \"no-location\"; effect = \"forbid\"; ops = (\"*\"); home = (\"*\"); to = (\"*\");\n"
    "    classes = (\"location\"); } );\n";

struct dom_policy *core_compile(const char *text)
{
    /* Before the end of `gone`, so that its end is no finding. */
    struct dom_policy_load_options options = {.name = "core.cfg",
                                              .now_ms = INT64_C(1770000000000)};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};

    if (dom_policy_compile(&policy, &findings, dom_slice_str(text), &options, &err) != DOM_OK) {
        struct dom_buffer out = {0};
        dom_findings_print(&findings, "core.cfg", dom_slice_str(text), &out);
        fail_msg("%s\n%s", err.message, dom_buffer_cstr(&out));
    }
    dom_findings_cleanup(&findings);
    return policy;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char inner[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode)) {
            remove_tree(inner);
        } else {
            (void)unlink(inner);
        }
    }
    (void)closedir(dir);
    (void)rmdir(path);
}

static void post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    (void)context;
    (void)first;
    (void)last;
    fail_msg("nothing was submitted");
}

void core_open(struct core *core, const char *const *regions, size_t num_regions)
{
    const char *tmp = getenv("TEST_TMPDIR");
    struct dom_error err = {0};

    memset(core, 0, sizeof(*core));
    dom_log_set_level(DOM_LOG_ERROR);
    (void)snprintf(core->dir, sizeof(core->dir), "%s/dom-core-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(core->dir));
    struct dom_store_options options = {
        .data_dir = core->dir, .audit_origin = "log.example/test", .post = post, .context = core};
    if (dom_store_new(&core->store, &options, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < num_regions; i++) {
        dom_store_region region = DOM_STORE_NO_REGION;
        if (dom_store_open_region(core->store, &region, regions[i], &err) != DOM_OK) {
            fail_msg("%s", err.message);
        }
    }
    core->snapshot = dom_snapshot_new(core_compile(core_policy_text), core->store, NOW);
    dom_arena_init(&core->arena, NULL, 0, 1U << 20);
}

void core_close(struct core *core)
{
    dom_arena_cleanup(&core->arena);
    dom_snapshot_unref(core->snapshot);
    dom_store_destroy(core->store);
    remove_tree(core->dir);
}

int core_setup(void **state)
{
    static const char *const regions[] = {"eu-1", "eu-2", "uk-1", "us-1"};
    struct core *core = malloc(sizeof(*core));

    assert_non_null(core);
    core_open(core, regions, DOM_ARRAY_LEN(regions));
    *state = core;
    return 0;
}

int core_teardown(void **state)
{
    core_close(*state);
    free(*state);
    return 0;
}

struct dom_caller core_caller(struct core *core, const char *service, const char *region)
{
    struct dom_caller caller;
    char *subject = dom_arena_printf(&core->arena, "insecure:%s", service);

    assert_non_null(subject);
    if (dom_caller_resolve(&caller, core->snapshot, dom_slice_str(subject), dom_slice_str(service),
                           dom_slice_str(region), &core->refusal) != DOM_OK) {
        fail_msg("%s", core->refusal.error.message);
    }
    return caller;
}

dom_policy_id core_class(const struct core *core, const char *name)
{
    dom_policy_id id = dom_policy_find_class(core->snapshot->policy, dom_slice_str(name));

    assert_int_not_equal(id, DOM_POLICY_NONE);
    return id;
}

dom_policy_set core_classes(const struct core *core, const char *name, ...)
{
    dom_policy_set set = 0;
    va_list names;

    va_start(names, name);
    for (; name != NULL; name = va_arg(names, const char *)) {
        set |= UINT64_C(1) << core_class(core, name);
    }
    va_end(names);
    return set;
}

dom_policy_set core_all_classes(const struct core *core)
{
    return (UINT64_C(1) << dom_policy_num_classes(core->snapshot->policy)) - 1;
}

dom_store_region core_region(const struct core *core, const char *name)
{
    dom_store_region region = dom_store_find_region(core->store, dom_slice_str(name));

    assert_int_not_equal(region, DOM_STORE_NO_REGION);
    return region;
}

dom_policy_id core_kind(const struct core *core)
{
    return dom_policy_find_kind(core->snapshot->policy, DOM_SLICE_LIT("live_room"));
}

dom_policy_id core_country(const struct core *core, const char *iso2)
{
    return dom_policy_find_country(core->snapshot->policy, dom_slice_str(iso2));
}

dom_policy_id core_purpose(const struct core *core, const char *name)
{
    return dom_policy_find_purpose(core->snapshot->policy, dom_slice_str(name));
}

void core_read(struct core *core, struct dom_access *access, const struct dom_caller *caller,
               dom_policy_set classes)
{
    dom_store_region served = core_region(core, "eu-1");
    bool crosses = dom_snapshot_jurisdiction(core->snapshot, served) != caller->jurisdiction;

    dom_access_decide(access, core->snapshot, caller, DOM_OP_READ, core_kind(core),
                      core_country(core, "DE"), core_purpose(core, "moderation"), classes, served,
                      crosses, NOW);
}
