#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "policy/tree.h"

static int expected_type(enum dom_node_type type)
{
    switch (type) {
    case DOM_NODE_GROUP:
        return CONFIG_TYPE_GROUP;
    case DOM_NODE_LIST:
        return CONFIG_TYPE_LIST;
    case DOM_NODE_ARRAY:
        return CONFIG_TYPE_ARRAY;
    case DOM_NODE_STRING:
        return CONFIG_TYPE_STRING;
    case DOM_NODE_INT:
        return CONFIG_TYPE_INT;
    case DOM_NODE_INT64:
        return CONFIG_TYPE_INT64;
    case DOM_NODE_FLOAT:
        return CONFIG_TYPE_FLOAT;
    case DOM_NODE_BOOL:
        return CONFIG_TYPE_BOOL;
    }
    return CONFIG_TYPE_NONE;
}

static bool same_scalar(const struct dom_node *node, const config_setting_t *setting)
{
    switch (node->type) {
    case DOM_NODE_STRING:
        return dom_slice_eq_str(node->string, config_setting_get_string(setting));
    case DOM_NODE_INT:
    case DOM_NODE_INT64:
        return config_setting_get_int64(setting) == node->integer;
    case DOM_NODE_FLOAT: {
        double other = config_setting_get_float(setting);
        return memcmp(&other, &node->real, sizeof(other)) == 0;
    }
    case DOM_NODE_BOOL:
        return (config_setting_get_bool(setting) != 0) == node->boolean;
    case DOM_NODE_GROUP:
    case DOM_NODE_LIST:
    case DOM_NODE_ARRAY:
        return true;
    }
    return false;
}

/* Depth is bounded by DOM_POLICY_NESTING_MAX, so the recursion is too. Returns the first node
 * on which the two differ, or NULL. */
static const struct dom_node *first_difference(const struct dom_node *node,
                                               const config_setting_t *setting)
{
    if (config_setting_type(setting) != expected_type(node->type) ||
        !same_scalar(node, setting)) {
        return node;
    }
    const char *name = config_setting_name(setting);
    if (node->name != NULL && (name == NULL || strcmp(node->name, name) != 0)) {
        return node;
    }
    if (node->type > DOM_NODE_ARRAY) {
        return NULL;
    }
    if ((size_t)config_setting_length(setting) != node->num) {
        return node;
    }
    unsigned index = 0;
    for (const struct dom_node *child = node->first; child != NULL; child = child->next) {
        const config_setting_t *other = config_setting_get_elem(setting, index++);
        const struct dom_node *found = other == NULL ? child : first_difference(child, other);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

enum dom_code dom_tree_agree(const struct dom_node *root, struct dom_slice text,
                             struct dom_findings *findings, struct dom_error *err)
{
    config_t config;
    char path[512];
    /* libconfig needs a NUL, and a line comment at the very end needs its newline. */
    char *copy = malloc(text.len + 2);

    if (copy == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\n';
    copy[text.len + 1] = '\0';
    config_init(&config);
    if (config_read_string(&config, copy) != CONFIG_TRUE) {
        struct dom_place place = {(uint32_t)config_error_line(&config), 1, 1};
        dom_findings_add(findings, "P0090", place, NULL, "report this text",
                         "internal disagreement: libconfig says \"%s\"",
                         config_error_text(&config));
    } else {
        const struct dom_node *node = first_difference(root, config_root_setting(&config));
        if (node != NULL) {
            dom_node_path(node, path, sizeof(path));
            dom_findings_add(findings, "P0090", node->value_at, path, "report this text",
                             "internal disagreement: libconfig reads another value here");
        }
    }
    config_destroy(&config);
    free(copy);
    return DOM_OK;
}
