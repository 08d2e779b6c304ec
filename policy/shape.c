/* P01: holds a tree against a table of keys, in one walk. */
#include "policy/shape_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "policy/text.h"

struct walk {
    struct dom_findings *findings;
};

static void report(struct walk *walk, const char *code, const struct dom_node *node,
                   struct dom_place place, const char *help, const char *message)
{
    char path[512];

    dom_node_path(node, path, sizeof(path));
    dom_findings_add(walk->findings, code, place, path, help, "%s", message);
}

static void wrong_type(struct walk *walk, const struct dom_node *node, const char *wanted)
{
    char message[160];

    (void)snprintf(message, sizeof(message), "expected %s, found a %s", wanted,
                   dom_node_type_name(node->type));
    report(walk, "P0102", node, node->value_at, NULL, message);
}

static bool check_string(struct walk *walk, const struct dom_node *node, const char *wanted)
{
    if (node->type != DOM_NODE_STRING) {
        wrong_type(walk, node, wanted);
        return false;
    }
    if (node->string.len == 0) {
        report(walk, "P0110", node, node->value_at, NULL, "the string is empty");
        return false;
    }
    return true;
}

static void check_label(struct walk *walk, const struct dom_node *node)
{
    if (check_string(walk, node, "a string") && !dom_label_valid(node->string)) {
        report(walk, "P0106", node, node->value_at,
               "up to 128 of A-Z a-z 0-9 _ . : / -, a letter or digit first",
               "this is no valid id or name");
    }
}

/* Both integers and dates point at the offending part; inside a string the opening quote counts
 * for one column. A string with escapes cannot be a date, so offsets need no mapping. */
static struct dom_place inside(const struct dom_node *node, size_t at)
{
    struct dom_place place = node->value_at;

    if (at + 2 < place.length) {
        place.column += (uint32_t)at + 1U;
        place.length -= (uint32_t)at + 2U;
    }
    return place;
}

static void check_date(struct walk *walk, const struct dom_node *node, bool time_allowed)
{
    int64_t ms = 0;
    size_t bad_at = 0;

    if (!check_string(walk, node, time_allowed ? "a time as a string" : "a date as a string") ||
        (time_allowed ? dom_instant_parse(node->string, &ms, &bad_at)
                      : dom_date_parse(node->string, &ms, &bad_at))) {
        return;
    }
    bool no_such_day = node->string.len >= 10 && (bad_at == 5 || bad_at == 8);
    bool other_zone = time_allowed && bad_at == 19;
    report(walk, "P0107", node, inside(node, bad_at),
           time_allowed ? "write 2027-06-30T00:00:00Z or 2027-06-30" : "write 2027-06-30",
           no_such_day  ? "there is no such day"
           : other_zone ? "a time is in UTC, with a Z behind it: zones are not read"
                        : "this is no date of the form that is expected");
}

static void check_duration(struct walk *walk, const struct dom_node *node)
{
    struct dom_duration duration;
    size_t bad_at = 0;

    if (check_string(walk, node, "a duration as a string") &&
        !dom_duration_parse(node->string, &duration, &bad_at)) {
        report(walk, "P0108", node, inside(node, bad_at), "write P30D, PT24H, P1M or P1Y",
               "this is no ISO 8601 duration longer than zero");
    }
}

static void check_int(struct walk *walk, const struct dom_node *node, const struct shape *shape)
{
    char message[160];

    if (node->type != DOM_NODE_INT && node->type != DOM_NODE_INT64) {
        wrong_type(walk, node, "an integer");
    } else if (node->integer < shape->min || node->integer > shape->max) {
        if (shape->max == INT64_MAX) {
            (void)snprintf(message, sizeof(message), "must be %lld or more",
                           (long long)shape->min);
        } else {
            (void)snprintf(message, sizeof(message), "must be %lld to %lld",
                           (long long)shape->min, (long long)shape->max);
        }
        report(walk, "P0109", node, node->value_at, NULL, message);
    }
}

static void check_number(struct walk *walk, const struct dom_node *node)
{
    double value = node->type == DOM_NODE_FLOAT ? node->real : (double)node->integer;

    if (node->type != DOM_NODE_FLOAT && node->type != DOM_NODE_INT &&
        node->type != DOM_NODE_INT64) {
        wrong_type(walk, node, "a number");
    } else if (!(value >= 0.0 && value <= 1.0)) {
        report(walk, "P0109", node, node->value_at, NULL, "must be 0 to 1");
    }
}

static void check_choice(struct walk *walk, const struct dom_node *node, const char *choices)
{
    char help[160];

    if (!check_string(walk, node, "a string")) {
        return;
    }
    for (const char *at = choices; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (dom_slice_eq(node->string, dom_slice_of(at, len))) {
            return;
        }
        at += len + (at[len] == ' ' ? 1U : 0U);
    }
    (void)snprintf(help, sizeof(help), "one of: %s", choices);
    report(walk, "P0213", node, node->value_at, help, "unknown word here");
}

static void check_names(struct walk *walk, const struct dom_node *node, int64_t min, int64_t max)
{
    char message[96];

    if (node->type == DOM_NODE_STRING) {
        (void)check_string(walk, node, "a string");
        return;
    }
    if (node->type != DOM_NODE_LIST && node->type != DOM_NODE_ARRAY) {
        wrong_type(walk, node, "a list of strings");
        return;
    }
    if (node->num == 0 && min > 0) {
        report(walk, "P0110", node, node->value_at, NULL, "the list is empty");
    }
    if (node->num > (size_t)max) {
        (void)snprintf(message, sizeof(message), "%zu entries; the most is %lld", node->num,
                       (long long)max);
        report(walk, "P0105", node, node->value_at, NULL, message);
        return;
    }
    for (const struct dom_node *child = node->first; child != NULL; child = child->next) {
        (void)check_string(walk, child, "a string");
    }
}

static void check_group(struct walk *walk, const struct dom_node *node, const struct shape *keys);

/* The members of a map, fields or sets: names, number, then each value. */
static void check_members(struct walk *walk, const struct dom_node *node,
                          const struct shape *shape)
{
    char message[96];

    if (node->num > (size_t)shape->max || node->num < (size_t)shape->min) {
        (void)snprintf(message, sizeof(message), "%zu entries; allowed are %lld to %lld", node->num,
                       (long long)shape->min, (long long)shape->max);
        report(walk, node->num == 0 ? "P0110" : "P0105", node, node->name_at, NULL, message);
    }
    if (node->num > (size_t)shape->max) {
        return;
    }
    for (const struct dom_node *child = node->first; child != NULL; child = child->next) {
        struct dom_slice name = dom_slice_str(child->name);
        if (shape->type == SHAPE_FIELDS ? !dom_policy_field_name_valid(name)
                                        : !dom_identifier_valid(name)) {
            report(walk, "P0106", child, child->name_at,
                   shape->type == SHAPE_FIELDS
                       ? "up to 64 of a-z 0-9 _, a letter first"
                       : "up to 128 of A-Z a-z 0-9 _ -, a letter first",
                   "this is no valid name");
        }
        if (shape->type == SHAPE_FIELDS) {
            (void)check_string(walk, child, "a data class as a string");
        } else if (shape->type == SHAPE_SETS) {
            check_names(walk, child, 1, DOM_SHAPE_NAMES_MAX);
        } else {
            check_group(walk, child, shape->keys);
        }
    }
}

static void check_list(struct walk *walk, const struct dom_node *node, const struct shape *shape)
{
    char message[96];

    if (node->type != DOM_NODE_LIST) {
        wrong_type(walk, node, "a list ( ... ) of groups");
        return;
    }
    if (node->num > (size_t)shape->max || node->num < (size_t)shape->min) {
        (void)snprintf(message, sizeof(message), "%zu entries; allowed are %lld to %lld", node->num,
                       (long long)shape->min, (long long)shape->max);
        report(walk, node->num == 0 ? "P0110" : "P0105", node, node->name_at, NULL, message);
        if (node->num > (size_t)shape->max) {
            return;
        }
    }
    for (const struct dom_node *child = node->first; child != NULL; child = child->next) {
        check_group(walk, child, shape->keys);
    }
}

static void check_value(struct walk *walk, const struct dom_node *node, const struct shape *shape)
{
    switch (shape->type) {
    case SHAPE_STRING:
        (void)check_string(walk, node, "a string");
        break;
    case SHAPE_TEXT:
        if (node->type != DOM_NODE_STRING) {
            wrong_type(walk, node, "a string");
        }
        break;
    case SHAPE_LABEL:
        check_label(walk, node);
        break;
    case SHAPE_INT:
        check_int(walk, node, shape);
        break;
    case SHAPE_NUMBER:
        check_number(walk, node);
        break;
    case SHAPE_BOOL:
        if (node->type != DOM_NODE_BOOL) {
            wrong_type(walk, node, "true or false");
        }
        break;
    case SHAPE_NAMES:
        check_names(walk, node, shape->min, shape->max);
        break;
    case SHAPE_DATE:
        check_date(walk, node, false);
        break;
    case SHAPE_TIME:
        check_date(walk, node, true);
        break;
    case SHAPE_DURATION:
        check_duration(walk, node);
        break;
    case SHAPE_CHOICE:
        check_choice(walk, node, shape->choices);
        break;
    case SHAPE_GROUP:
        check_group(walk, node, shape->keys);
        break;
    case SHAPE_MAP:
    case SHAPE_FIELDS:
    case SHAPE_SETS:
        if (node->type != DOM_NODE_GROUP) {
            wrong_type(walk, node, "a group { ... }");
        } else {
            check_members(walk, node, shape);
        }
        break;
    case SHAPE_LIST:
        check_list(walk, node, shape);
        break;
    }
}

static const struct shape *find_key(const struct shape *keys, const char *name)
{
    for (; keys->name != NULL; keys++) {
        if (strcmp(keys->name, name) == 0) {
            return keys;
        }
    }
    return NULL;
}

static void unknown_key(struct walk *walk, const struct dom_node *node, const struct shape *keys)
{
    char help[160] = "";
    char message[192];
    size_t best = SIZE_MAX;

    for (; keys->name != NULL; keys++) {
        size_t distance = 0;
        if (dom_text_near(dom_slice_str(node->name), dom_slice_str(keys->name), &distance) &&
            distance < best) {
            best = distance;
            (void)snprintf(help, sizeof(help), "did you mean \"%s\"?", keys->name);
        }
    }
    (void)snprintf(message, sizeof(message), "unknown key \"%.128s\"", node->name);
    report(walk, "P0101", node, node->name_at, help, message);
}

static void check_group(struct walk *walk, const struct dom_node *node, const struct shape *keys)
{
    char message[128];

    if (node->type != DOM_NODE_GROUP) {
        wrong_type(walk, node, "a group { ... }");
        return;
    }
    for (const struct dom_node *child = node->first; child != NULL; child = child->next) {
        const struct shape *shape = find_key(keys, child->name);
        if (shape == NULL) {
            unknown_key(walk, child, keys);
        } else {
            check_value(walk, child, shape);
        }
    }
    for (const struct shape *shape = keys; shape->name != NULL; shape++) {
        if (shape->required && dom_node_get(node, shape->name) == NULL) {
            (void)snprintf(message, sizeof(message), "missing \"%s\"", shape->name);
            report(walk, "P0103", node, node->name_at, NULL, message);
        }
    }
}

void dom_shape_walk(const struct dom_node *group, const struct shape *keys,
                    struct dom_findings *findings)
{
    struct walk walk = {.findings = findings};

    check_group(&walk, group, keys);
}
