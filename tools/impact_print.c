#include "tools/impact_print.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LIST_MAX 40U /* groups printed as text; JSON has all */

static bool loses_all(const struct dom_impact *calls, const char *service, uint64_t *before)
{
    uint64_t after = 0;

    *before = 0;
    for (size_t i = 0; i < calls->num_groups; i++) {
        if (strcmp(calls->groups[i].service, service) == 0) {
            *before += calls->groups[i].num_allowed_before;
            after += calls->groups[i].num_allowed_after;
        }
    }
    return *before > 0 && after == 0;
}

/* Whether this is the first group of its service. */
static bool first_of_service(const struct dom_impact *calls, size_t i)
{
    for (size_t before = 0; before < i; before++) {
        if (strcmp(calls->groups[before].service, calls->groups[i].service) == 0) {
            return false;
        }
    }
    return true;
}

static uint64_t all_flips(const struct dom_impact *calls)
{
    uint64_t sum = 0;

    for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
        sum += calls->flips[flip];
    }
    return sum;
}

uint64_t dom_impact_moves(const struct dom_impact_report *report, uint64_t *bytes)
{
    const struct dom_impact_records *records = report->records;
    uint64_t count = 0;

    *bytes = 0;
    for (size_t i = 0; records != NULL && i < records->num_places; i++) {
        count += records->places[i]->num_leave;
        *bytes += records->places[i]->leave_bytes;
    }
    for (size_t i = 0; records != NULL && i < records->num_copies; i++) {
        count += records->copies[i].num_records;
        *bytes += records->copies[i].bytes;
    }
    return count;
}

static uint64_t homeless(const struct dom_impact_report *report, uint64_t *bytes)
{
    const struct dom_impact_records *records = report->records;
    uint64_t count = 0;

    *bytes = 0;
    for (size_t i = 0; records != NULL && i < records->num_places; i++) {
        count += records->places[i]->num_homeless;
        *bytes += records->places[i]->homeless_bytes;
    }
    return count;
}

bool dom_impact_any(const struct dom_impact_report *report)
{
    uint64_t bytes = 0;

    return all_flips(report->calls) > 0 || dom_impact_moves(report, &bytes) > 0 ||
           homeless(report, &bytes) > 0;
}

static uint64_t seconds_of(const struct dom_impact_report *report, uint64_t count)
{
    return (count + report->records_per_s - 1) / report->records_per_s;
}

static const char *name_or(const char *name, const char *otherwise)
{
    return name[0] == '\0' ? otherwise : name;
}

static const char *kind_name(const struct dom_impact_records *records, dom_policy_id kind)
{
    return name_or(dom_policy_kind_name(records->policy, kind), "(a kind that it does not know)");
}

/* ---- text ---- */

static void put_denominators(const struct dom_impact_report *report, struct dom_buffer *out)
{
    const struct dom_impact *calls = report->calls;
    const struct dom_policy_info *info = dom_policy_info(calls->policy);
    char time[DOM_RFC3339_SIZE];

    dom_buffer_printf(out, "impact of %s: %s version %lld, sha256 %s\n", report->policy_path,
                      info->name, (long long)info->version, info->sha256_hex);
    dom_buffer_printf(out,
                      "entries:   %" PRIu64 " in %zu logs: %" PRIu64 " replayed, %" PRIu64
                      " could not be, %" PRIu64 " are no decisions\n",
                      calls->num_entries, report->num_logs, calls->num_replayed,
                      calls->num_not_replayed, calls->num_other);
    for (size_t i = 0; i < calls->num_whys; i++) {
        const struct dom_impact_why *why = &calls->whys[i];
        dom_buffer_printf(out, "           not replayed: %" PRIu64 ", first %s index %" PRIu64 ": %s\n",
                          why->count, why->log, why->index, why->what);
    }
    if (calls->time_ms != 0) {
        dom_time_format(time, calls->time_ms, false);
        dom_buffer_printf(out, "asked:     as if every call came at %s\n", time);
    } else {
        dom_buffer_append_str(out, "asked:     each entry as of the time of its decision\n");
    }
    if (report->records != NULL) {
        dom_buffer_printf(out,
                          "rows:      %" PRIu64 " in %zu regions: %" PRIu64 " counted, %" PRIu64
                          " (%" PRIu64 " bytes) of before labels, not judged\n",
                          report->records->num_rows, report->num_regions,
                          report->records->num_rows - report->records->num_unlabelled,
                          report->records->num_unlabelled, report->records->unlabelled_bytes);
    }
}

static void put_group(const struct dom_impact_group *group, enum dom_impact_flip flip,
                      struct dom_buffer *out)
{
    dom_buffer_printf(out, "  %s  %s -> %s: %" PRIu64 " of %" PRIu64, group->service, group->home,
                      group->to, group->flips[flip], group->num_replayed);
    for (size_t i = 0; i < DOM_IMPACT_EXAMPLES_MAX; i++) {
        const struct dom_impact_example *example = &group->examples[flip][i];
        if (example->log != NULL) {
            dom_buffer_printf(out, "%s %s index %" PRIu64 " (%s)", i == 0 ? ", such as" : ",",
                              example->log, example->index, example->id);
        }
    }
    dom_buffer_printf(out, "; now %s\n", group->examples[flip][0].reason == NULL
                                             ? "?"
                                             : group->examples[flip][0].reason);
}

static void put_flips(const struct dom_impact *calls, struct dom_buffer *out)
{
    uint64_t sum = all_flips(calls);

    dom_buffer_printf(out, "flips:     %" PRIu64 " of %" PRIu64 " replayed\n", sum,
                      calls->num_replayed);
    for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
        size_t num = 0;
        if (calls->flips[flip] == 0) {
            continue;
        }
        dom_buffer_printf(out, "%s: %" PRIu64 "\n",
                          dom_impact_flip_words((enum dom_impact_flip)flip), calls->flips[flip]);
        for (size_t i = 0; i < calls->num_groups; i++) {
            if (calls->groups[i].flips[flip] > 0 && num++ < LIST_MAX) {
                put_group(&calls->groups[i], (enum dom_impact_flip)flip, out);
            }
        }
        if (num > LIST_MAX) {
            dom_buffer_printf(out, "  and %zu more (--format json has all)\n", num - LIST_MAX);
        }
    }
    for (size_t i = 0; i < calls->num_groups; i++) {
        uint64_t before = 0;
        if (first_of_service(calls, i) && loses_all(calls, calls->groups[i].service, &before)) {
            dom_buffer_printf(out, "loses all: %s: %" PRIu64 " calls were permitted, none is now\n",
                              calls->groups[i].service, before);
        }
    }
}

static void put_classes(const struct dom_policy *policy, dom_policy_set classes,
                        struct dom_buffer *out)
{
    const char *separator = ": ";

    for (; classes != 0; classes &= classes - 1) {
        dom_buffer_printf(out, "%s%s", separator,
                          dom_policy_class_name(policy, (dom_policy_id)__builtin_ctzll(classes)));
        separator = ", ";
    }
}

static void put_records(const struct dom_impact_report *report, struct dom_buffer *out)
{
    const struct dom_impact_records *records = report->records;
    uint64_t bytes = 0;
    uint64_t count = dom_impact_moves(report, &bytes);

    for (size_t i = 0; i < records->num_places; i++) {
        const struct dom_impact_place *place = records->places[i];
        if (place->num_leave > 0) {
            dom_buffer_printf(out, "leave:     %s: %" PRIu64 " records, %" PRIu64 " bytes of %s of %s",
                              place->region_name, place->num_leave, place->leave_bytes,
                              kind_name(records, place->kind), place->home_name);
            put_classes(records->policy, place->leave_classes, out);
            dom_buffer_append_char(out, '\n');
        }
    }
    for (size_t i = 0; i < records->num_copies; i++) {
        const struct dom_impact_copy *copy = &records->copies[i];
        dom_buffer_printf(out, "copy:      to %s: %" PRIu64 " records, %" PRIu64 " bytes of %s of %s\n",
                          dom_policy_region_name(records->policy, copy->region), copy->num_records,
                          copy->bytes, kind_name(records, copy->kind),
                          dom_policy_country_name(records->policy, copy->home));
    }
    for (size_t i = 0; i < records->num_places; i++) {
        const struct dom_impact_place *place = records->places[i];
        if (place->num_homeless > 0) {
            dom_buffer_printf(out,
                              "no place:  %" PRIu64 " records, %" PRIu64
                              " bytes in %s of %s of %s may lie nowhere",
                              place->num_homeless, place->homeless_bytes, place->region_name,
                              kind_name(records, place->kind), place->home_name);
            put_classes(records->policy, place->homeless_classes, out);
            dom_buffer_append_char(out, '\n');
        }
    }
    dom_buffer_printf(out,
                      "moves:     %" PRIu64 " records, %" PRIu64 " bytes: about %" PRIu64
                      " s at %" PRIu64 " records/s\n",
                      count, bytes, seconds_of(report, count), report->records_per_s);
}

void dom_impact_print(const struct dom_impact_report *report, struct dom_buffer *out)
{
    put_denominators(report, out);
    put_flips(report->calls, out);
    if (report->records != NULL) {
        put_records(report, out);
    }
}

/* ---- JSON ---- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *whys_json(const struct dom_impact *calls)
{
    json_t *out = json_array();

    for (size_t i = 0; i < calls->num_whys; i++) {
        const struct dom_impact_why *why = &calls->whys[i];
        (void)json_array_append_new(out, json_pack("{s:s,s:o,s:s,s:o}", "what", why->what, "count",
                                                   number(why->count), "log", why->log, "index",
                                                   number(why->index)));
    }
    return out;
}

static json_t *examples_json(const struct dom_impact_group *group, int flip)
{
    json_t *out = json_array();

    for (size_t i = 0; i < DOM_IMPACT_EXAMPLES_MAX; i++) {
        const struct dom_impact_example *example = &group->examples[flip][i];
        if (example->log != NULL) {
            (void)json_array_append_new(
                out, json_pack("{s:s,s:o,s:s,s:s}", "log", example->log, "index",
                               number(example->index), "id", example->id, "now", example->reason));
        }
    }
    return out;
}

static json_t *flips_json(const struct dom_impact *calls)
{
    json_t *out = json_object();

    for (int flip = 0; flip < DOM_IMPACT_FLIP_COUNT; flip++) {
        json_t *groups = json_array();
        for (size_t i = 0; i < calls->num_groups; i++) {
            const struct dom_impact_group *group = &calls->groups[i];
            if (group->flips[flip] > 0) {
                (void)json_array_append_new(
                    groups, json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "service", group->service,
                                      "home", group->home, "to", group->to, "flips",
                                      number(group->flips[flip]), "replayed",
                                      number(group->num_replayed), "examples",
                                      examples_json(group, flip)));
            }
        }
        (void)json_object_set_new(out, dom_impact_flip_words((enum dom_impact_flip)flip),
                                  json_pack("{s:o,s:o}", "count", number(calls->flips[flip]),
                                            "groups", groups));
    }
    return out;
}

static json_t *losers_json(const struct dom_impact *calls)
{
    json_t *out = json_array();

    for (size_t i = 0; i < calls->num_groups; i++) {
        uint64_t before = 0;
        if (first_of_service(calls, i) && loses_all(calls, calls->groups[i].service, &before)) {
            (void)json_array_append_new(out, json_pack("{s:s,s:o}", "service",
                                                       calls->groups[i].service,
                                                       "permitted_before", number(before)));
        }
    }
    return out;
}

static json_t *classes_json(const struct dom_policy *policy, dom_policy_set classes)
{
    json_t *out = json_array();

    for (; classes != 0; classes &= classes - 1) {
        (void)json_array_append_new(
            out,
            json_string(dom_policy_class_name(policy, (dom_policy_id)__builtin_ctzll(classes))));
    }
    return out;
}

static json_t *place_json(const struct dom_impact_records *records,
                          const struct dom_impact_place *place, bool nowhere)
{
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "region", place->region_name, "kind",
                     kind_name(records, place->kind), "home", place->home_name, "records",
                     number(nowhere ? place->num_homeless : place->num_leave), "bytes",
                     number(nowhere ? place->homeless_bytes : place->leave_bytes), "classes",
                     classes_json(records->policy,
                                  nowhere ? place->homeless_classes : place->leave_classes));
}

static json_t *records_json(const struct dom_impact_report *report)
{
    const struct dom_impact_records *records = report->records;
    json_t *leave = json_array();
    json_t *nowhere = json_array();
    json_t *copies = json_array();
    uint64_t bytes = 0;
    uint64_t count = dom_impact_moves(report, &bytes);

    for (size_t i = 0; i < records->num_places; i++) {
        const struct dom_impact_place *place = records->places[i];
        if (place->num_leave > 0) {
            (void)json_array_append_new(leave, place_json(records, place, false));
        }
        if (place->num_homeless > 0) {
            (void)json_array_append_new(nowhere, place_json(records, place, true));
        }
    }
    for (size_t i = 0; i < records->num_copies; i++) {
        const struct dom_impact_copy *copy = &records->copies[i];
        (void)json_array_append_new(
            copies, json_pack("{s:s,s:s,s:s,s:o,s:o}", "region",
                              dom_policy_region_name(records->policy, copy->region), "kind",
                              kind_name(records, copy->kind), "home",
                              dom_policy_country_name(records->policy, copy->home), "records",
                              number(copy->num_records), "bytes", number(copy->bytes)));
    }
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "rows", number(records->num_rows),
                     "not_judged", number(records->num_unlabelled), "leave", leave, "copy", copies,
                     "no_place", nowhere, "moves", number(count), "move_bytes", number(bytes),
                     "records_per_s", number(report->records_per_s), "seconds",
                     number(seconds_of(report, count)));
}

void dom_impact_print_json(const struct dom_impact_report *report, struct dom_buffer *out)
{
    const struct dom_impact *calls = report->calls;
    const struct dom_policy_info *info = dom_policy_info(calls->policy);
    json_t *root = json_pack(
        "{s:s,s:I,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "policy", info->name, "version",
        (json_int_t)info->version, "sha256", info->sha256_hex, "logs", number(report->num_logs),
        "entries", number(calls->num_entries), "replayed", number(calls->num_replayed),
        "not_replayed", number(calls->num_not_replayed), "not_replayed_because", whys_json(calls),
        "no_decisions", number(calls->num_other), "flips", flips_json(calls), "lose_everything",
        losers_json(calls));

    if (report->records != NULL) {
        (void)json_object_set_new(root, "records", records_json(report));
    }
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    dom_buffer_append_str(out, text == NULL ? "null" : text);
    dom_buffer_append_char(out, '\n');
    free(text);
    json_decref(root);
}
