/* `domicile policy where`: where each class of each home's data may lie, as one table. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "policy/policy.h"
#include "tools/command.h"
#include "tools/policy_where.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy where - say where each class of data may lie\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy where FILE [--kind K] [--home CC] [--date DATE]\n"
    "        [--format text|json]\n"
    "\n"
    "DESCRIPTION\n"
    "    For every kind and home country: the home region, where writes commit\n"
    "    first, and for every class the regions that may hold it at that date.\n"
    "    A home without a placement has no home region: nothing of it is stored.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 printed; 1 the policy has errors; 3 usage.\n";

struct where {
    const struct dom_policy *policy;
    const char *kind;
    const char *home;
    int64_t time_ms;
    bool json;
};

static json_t *regions_json(const struct dom_policy *policy, dom_policy_set regions)
{
    json_t *out = json_array();

    for (; regions != 0; regions &= regions - 1) {
        (void)json_array_append_new(
            out, json_string(dom_policy_region_name(policy,
                                                    (dom_policy_id)__builtin_ctzll(regions))));
    }
    return out;
}

static json_t *placement_json(const struct where *where, dom_policy_id kind, dom_policy_id home)
{
    const struct dom_policy_placement *placement =
        dom_policy_place(where->policy, kind, home, where->time_ms);
    json_t *classes = json_object();
    dom_policy_id lead = placement == NULL ? DOM_POLICY_NONE : placement->lead;

    for (dom_policy_set left = lead == DOM_POLICY_NONE ? 0 : placement->storable; left != 0;
         left &= left - 1) {
        dom_policy_id data_class = (dom_policy_id)__builtin_ctzll(left);
        (void)json_object_set_new(classes, dom_policy_class_name(where->policy, data_class),
                                  regions_json(where->policy, placement->regions[data_class]));
    }
    return json_pack("{s:s,s:o}", "lead", dom_policy_region_name(where->policy, lead), "classes",
                     classes);
}

static bool asked(const char *filter, const char *name)
{
    return filter == NULL || strcmp(filter, name) == 0;
}

static json_t *homes_json(const struct where *where, dom_policy_id kind)
{
    json_t *out = json_object();

    for (size_t i = 0; i < dom_policy_num_countries(where->policy); i++) {
        const char *name = dom_policy_country_name(where->policy, (dom_policy_id)i);
        if (asked(where->home, name)) {
            (void)json_object_set_new(out, name, placement_json(where, kind, (dom_policy_id)i));
        }
    }
    return out;
}

static json_t *fields_json(const struct where *where, dom_policy_id kind)
{
    json_t *out = json_object();

    for (size_t i = 0; i < dom_policy_kind_num_fields(where->policy, kind); i++) {
        dom_policy_id data_class = DOM_POLICY_NONE;
        const char *name = dom_policy_kind_field_name(where->policy, kind, i);
        (void)dom_policy_field_class(where->policy, kind, dom_slice_str(name), &data_class);
        (void)json_object_set_new(out, name,
                                  json_string(dom_policy_class_name(where->policy, data_class)));
    }
    return out;
}

static json_t *table_json(const struct where *where)
{
    json_t *regions = json_array();
    json_t *fields = json_object();
    json_t *homes = json_object();

    for (size_t i = 0; i < dom_policy_num_regions(where->policy); i++) {
        (void)json_array_append_new(
            regions, json_string(dom_policy_region_name(where->policy, (dom_policy_id)i)));
    }
    for (size_t i = 0; i < dom_policy_num_kinds(where->policy); i++) {
        const char *name = dom_policy_kind_name(where->policy, (dom_policy_id)i);
        if (asked(where->kind, name)) {
            (void)json_object_set_new(fields, name, fields_json(where, (dom_policy_id)i));
            (void)json_object_set_new(homes, name, homes_json(where, (dom_policy_id)i));
        }
    }
    return json_pack("{s:o,s:o,s:o}", "regions", regions, "fields", fields, "homes", homes);
}

/* The JSON table read back as lines: one source for both formats. */
static void print_text(json_t *table)
{
    const char *kind = NULL;
    const char *home = NULL;
    const char *data_class = NULL;
    json_t *homes = NULL;
    json_t *placement = NULL;
    json_t *regions = NULL;

    json_object_foreach(json_object_get(table, "homes"), kind, homes)
    {
        json_object_foreach(homes, home, placement)
        {
            const char *lead = json_string_value(json_object_get(placement, "lead"));
            if (lead[0] == '\0') {
                (void)printf("%s %s: no placement\n", kind, home);
                continue;
            }
            (void)printf("%s %s: home region %s\n", kind, home, lead);
            json_object_foreach(json_object_get(placement, "classes"), data_class, regions)
            {
                (void)printf("    %-16s", data_class);
                for (size_t i = 0; i < json_array_size(regions); i++) {
                    (void)printf(" %s", json_string_value(json_array_get(regions, i)));
                }
                (void)putchar('\n');
            }
        }
    }
}

static int print_where(struct where *where, const char *path)
{
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    struct dom_policy *policy = NULL;
    struct dom_policy_load_options load = {.now_ms = where->time_ms};

    enum dom_code rc = dom_policy_load(&policy, &findings, path, &load, &err);
    dom_findings_cleanup(&findings);
    if (rc != DOM_OK) {
        (void)fprintf(stderr, "domicile policy where: %s (domicile policy check tells more)\n",
                      err.message);
        return DOM_EXIT_FAILED;
    }
    where->policy = policy;
    json_t *table = table_json(where);
    if (where->json) {
        char *text = json_dumps(table, JSON_COMPACT | JSON_PRESERVE_ORDER);
        (void)puts(text == NULL ? "null" : text);
        free(text);
    } else {
        print_text(table);
    }
    json_decref(table);
    dom_policy_unref(policy);
    return DOM_EXIT_OK;
}

int dom_policy_where(int argc, char **argv)
{
    static const struct option options[] = {{"kind", required_argument, NULL, 'k'},
                                            {"home", required_argument, NULL, 'm'},
                                            {"date", required_argument, NULL, 'd'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct where where = {.time_ms = dom_clock_wall_ms(dom_clock_system())};
    int option = 0;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'k':
            where.kind = optarg;
            break;
        case 'm':
            where.home = optarg;
            break;
        case 'd':
            if (!dom_time_parse(dom_slice_str(optarg), true, &where.time_ms)) {
                (void)fprintf(stderr, "domicile policy where: \"%s\" is not a date\n", optarg);
                return DOM_EXIT_USAGE;
            }
            break;
        case 'f':
            where.json = strcmp(optarg, "json") == 0;
            break;
        case 'h':
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        default:
            return DOM_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc) {
        (void)fprintf(stderr, "domicile policy where: one FILE is needed\n");
        return DOM_EXIT_USAGE;
    }
    return print_where(&where, argv[optind]);
}
