/* `domicile policy explain`: one request, or entries of a log, decided and put into words. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/command.h"
#include "tools/policy_event.h"
#include "tools/policy_verbs.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy explain - say what a policy decides on one request, and why\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy explain FILE --op OP --service S --purpose P --kind K --home CC\n"
    "        --caller REGION [--serves REGION] [--date DATE] [--fields A,B] [--format text|json]\n"
    "    domicile policy explain --event FILE|- [--policy FILE]... [--policies DIR]...\n"
    "        [--format text|json]\n"
    "    domicile policy explain --log DIR --index N [--policy FILE]... [--policies DIR]...\n"
    "\n"
    "DESCRIPTION\n"
    "    Decides one request. With --event or --log it decides entries of an audit log again,\n"
    "    under the policy version that decided them, which is found by the sha256 in the\n"
    "    entry among the files given. What comes out must be what the entry says.\n"
    "\n"
    "OPTIONS\n"
    "    --op OP          read, list, write or delete.\n"
    "    --service S      who asks.\n"
    "    --purpose P      what for; without one nothing crosses a border.\n"
    "    --kind K         which kind of record.\n"
    "    --home CC        the record's home country, ISO 3166-1 alpha-2.\n"
    "    --caller REGION  the caller's region (or a country code).\n"
    "    --serves REGION  the region that answers; the home region unless given.\n"
    "    --date DATE      2026-11-22 or 2026-11-22T10:00:00Z; now unless given.\n"
    "    --fields A,B     the fields asked for; all that the kind declares unless given.\n"
    "    --event FILE     entries, one a line: as they are in the log, or rows of\n"
    "                     `domicile audit export` (jsonl); - reads standard input.\n"
    "    --log DIR        the folder of a published log, --index N the entry in it; where the\n"
    "                     router keeps it, the policies that the router took are found too.\n"
    "    --policy FILE    a policy file that may be the one of that time.\n"
    "    --policies DIR   every NAME.cfg of a folder likewise.\n"
    "    --format F       text (six lines) or json (with every rule considered).\n"
    "    --help           prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 explained (also a denial); 1 the policy has errors, the policy version of an entry\n"
    "    is not at hand, or an entry does not come out the same; 3 usage.\n";

/* A request in the words of the command line. */
struct question {
    const char *op;
    const char *service;
    const char *purpose;
    const char *kind;
    const char *home;
    const char *caller;
    const char *serves;
    const char *date;
    const char *fields;
};

static dom_policy_id place_country(const struct dom_policy *policy, const char *name)
{
    dom_policy_id region = dom_policy_find_region(policy, dom_slice_str(name));

    return region != DOM_POLICY_NONE ? dom_policy_region_country(policy, region)
                                     : dom_policy_find_country(policy, dom_slice_str(name));
}

static dom_policy_set field_classes(const struct dom_policy *policy, dom_policy_id kind,
                                    const char *fields)
{
    dom_policy_set classes = 0;
    dom_policy_id data_class = DOM_POLICY_NONE;

    if (fields == NULL) {
        return dom_policy_kind_classes(policy, kind);
    }
    while (*fields != '\0') {
        size_t len = strcspn(fields, ",");
        if (len > 0) {
            (void)dom_policy_field_class(policy, kind, dom_slice_of(fields, len), &data_class);
            classes |= (dom_policy_set)1 << data_class;
        }
        fields += len + (fields[len] == ',' ? 1U : 0U);
    }
    return classes;
}

static bool fill_request(const struct dom_policy *policy, const struct question *question,
                         struct dom_policy_request *request)
{
    dom_policy_id serves = DOM_POLICY_NONE;

    memset(request, 0, sizeof(*request));
    request->time_ms = dom_clock_wall_ms(dom_clock_system());
    if (!dom_policy_op_parse(dom_slice_str(question->op), &request->op) ||
        request->op == DOM_OP_STORE) {
        (void)dom_policy_usage("--op is one of read, list, write, delete, not", question->op);
        return false;
    }
    if (question->date != NULL &&
        !dom_time_parse(dom_slice_str(question->date), true, &request->time_ms)) {
        (void)dom_policy_usage("--date is no date:", question->date);
        return false;
    }
    request->service = dom_policy_find_service(policy, dom_slice_str(question->service));
    request->purpose = question->purpose == NULL
                           ? DOM_POLICY_NONE
                           : dom_policy_find_purpose(policy, dom_slice_str(question->purpose));
    request->kind = dom_policy_find_kind(policy, dom_slice_str(question->kind));
    request->home = dom_policy_find_country(policy, dom_slice_str(question->home));
    request->caller = place_country(policy, question->caller);
    request->classes = field_classes(policy, request->kind, question->fields);
    serves = request->home;
    const struct dom_policy_placement *place =
        dom_policy_place(policy, request->kind, request->home, request->time_ms);
    if (question->serves != NULL) {
        serves = place_country(policy, question->serves);
        if (serves == DOM_POLICY_NONE) {
            (void)dom_policy_usage("--serves is no region of this policy:", question->serves);
            return false;
        }
    } else if (place != NULL && place->lead != DOM_POLICY_NONE) {
        serves = dom_policy_region_country(policy, place->lead);
    }
    request->crosses = serves == DOM_POLICY_NONE || request->caller == DOM_POLICY_NONE ||
                       dom_policy_country_jurisdiction(policy, serves) !=
                           dom_policy_country_jurisdiction(policy, request->caller);
    return true;
}

static int explain_request(const char *path, const struct question *question, bool json)
{
    struct dom_policy *policy = NULL;
    struct dom_policy_request request;
    struct dom_buffer out;

    if (!dom_policy_read(&policy, path)) {
        return DOM_EXIT_FAILED;
    }
    if (!fill_request(policy, question, &request)) {
        dom_policy_unref(policy);
        return DOM_EXIT_USAGE;
    }
    dom_buffer_init(&out, 0);
    if (json) {
        dom_policy_explain_json(policy, &request, &out);
    } else {
        dom_policy_explain(policy, &request, &out);
    }
    bool ok = dom_policy_print(&out);
    dom_buffer_cleanup(&out);
    dom_policy_unref(policy);
    return ok ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}

/* ---- arguments ---- */

struct arguments {
    struct question question;
    struct dom_event_options event;
    bool json;
    bool help;
};

enum { OPT_FIRST_TEXT = 256 };

static bool take_index(const char *text, struct dom_event_options *event)
{
    char *end = NULL;

    event->index = strtoull(text, &end, 10);
    event->has_index = text[0] >= '0' && text[0] <= '9' && *end == '\0';
    if (!event->has_index) {
        (void)dom_policy_usage("--index is no number:", text);
    }
    return event->has_index;
}

static bool take_file(struct dom_policy_shelf *shelf, int option, const char *path)
{
    struct dom_error err = {0};
    enum dom_code rc = option == 'd' ? dom_policy_shelf_add_dir(shelf, path, &err)
                                     : dom_policy_shelf_add_file(shelf, path, &err);

    if (rc != DOM_OK) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
    }
    return rc == DOM_OK;
}

/* False when something is wrong, which is said. */
static bool take_arguments(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {{"op", required_argument, NULL, 256},
                                            {"service", required_argument, NULL, 257},
                                            {"purpose", required_argument, NULL, 258},
                                            {"kind", required_argument, NULL, 259},
                                            {"home", required_argument, NULL, 260},
                                            {"caller", required_argument, NULL, 261},
                                            {"serves", required_argument, NULL, 262},
                                            {"date", required_argument, NULL, 263},
                                            {"fields", required_argument, NULL, 264},
                                            {"event", required_argument, NULL, 265},
                                            {"log", required_argument, NULL, 266},
                                            {"index", required_argument, NULL, 'i'},
                                            {"policy", required_argument, NULL, 'p'},
                                            {"policies", required_argument, NULL, 'd'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct question *question = &arguments->question;
    const char **texts[] = {&question->op,     &question->service, &question->purpose,
                            &question->kind,   &question->home,    &question->caller,
                            &question->serves, &question->date,    &question->fields,
                            &arguments->event.path, &arguments->event.log};
    int found = 0;

    optind = 0;
    while ((found = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (found == 'h') {
            arguments->help = true;
        } else if (found >= OPT_FIRST_TEXT && found < OPT_FIRST_TEXT + (int)DOM_ARRAY_LEN(texts)) {
            *texts[found - OPT_FIRST_TEXT] = optarg;
        } else if (found == 'i') {
            if (!take_index(optarg, &arguments->event)) {
                return false;
            }
        } else if (found == 'p' || found == 'd') {
            if (!take_file(arguments->event.policies, found, optarg)) {
                return false;
            }
        } else if (found == 'f' && strcmp(optarg, "json") == 0) {
            arguments->json = true;
        } else if (found != 'f' || strcmp(optarg, "text") != 0) {
            if (found == 'f') {
                (void)dom_policy_usage("unknown format", optarg);
            }
            return false;
        }
    }
    return true;
}

static int run(struct arguments *arguments, int num_files, char **files)
{
    const struct question *question = &arguments->question;
    struct dom_event_options *event = &arguments->event;

    if (event->path != NULL || event->log != NULL) {
        if (question->op != NULL || num_files > 0) {
            return dom_policy_usage("--event and --log take no request and no file besides", "");
        }
        if ((event->path != NULL) == (event->log != NULL) ||
            (event->log != NULL) != event->has_index) {
            return dom_policy_usage("either --event FILE, or --log DIR with --index N", "");
        }
        event->json = arguments->json;
        return dom_event_explain(event);
    }
    if (num_files != 1) {
        return dom_policy_usage("explain needs one file", "");
    }
    if (question->op == NULL || question->service == NULL || question->kind == NULL ||
        question->home == NULL || question->caller == NULL) {
        return dom_policy_usage("explain needs --op, --service, --kind, --home and --caller", "");
    }
    return explain_request(files[0], question, arguments->json);
}

int dom_policy_explain_verb(int argc, char **argv)
{
    struct arguments arguments = {.json = false};
    int status = DOM_EXIT_USAGE;

    arguments.event.policies = calloc(1, sizeof(*arguments.event.policies));
    if (arguments.event.policies == NULL) {
        (void)fprintf(stderr, "domicile policy: out of memory\n");
        return DOM_EXIT_FAILED;
    }
    if (take_arguments(&arguments, argc, argv)) {
        if (arguments.help) {
            (void)fputs(s_help, stdout);
            status = DOM_EXIT_OK;
        } else {
            status = run(&arguments, argc - optind, argv + optind);
        }
    }
    dom_policy_shelf_cleanup(arguments.event.policies);
    free(arguments.event.policies);
    return status;
}
