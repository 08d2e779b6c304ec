/* log_copies: in which second copies of its log an entry must be before the answer leaves. */
#include <stdio.h>

#include "policy/read_internal.h"
#include "policy/text.h"

static void read_sinks(struct dom_reader *reader, const struct dom_node *list,
                       struct dom_policy_log_copy *copy)
{
    for (const struct dom_node *name = dom_read_first(list); name != NULL;
         name = dom_read_next(list, name)) {
        if (!dom_label_valid(name->string)) {
            dom_read_fail(reader, name, "P0106", "A-Z a-z 0-9 - _ . , 1 to 128 of them",
                          "\"%.64s\" cannot be a sink's name", (const char *)name->string.data);
            continue;
        }
        for (size_t i = 0; i < copy->num_sinks; i++) {
            if (dom_slice_eq_str(name->string, copy->sinks[i])) {
                dom_read_fail(reader, name, "P0303", "remove one of them",
                              "sink \"%s\" is named twice", copy->sinks[i]);
            }
        }
        if (copy->num_sinks < DOM_SINKS_MAX) {
            copy->sinks[copy->num_sinks++] = (const char *)name->string.data;
        }
    }
}

void dom_read_copies(struct dom_reader *reader, const struct dom_node *root)
{
    struct dom_model *model = reader->model;
    const struct dom_node *list = dom_node_get(root, "log_copies");

    for (const struct dom_node *node =
             list == NULL || list->type != DOM_NODE_LIST ? NULL : list->first;
         node != NULL && model->num_copies < DOM_SINK_CLAUSES_MAX; node = node->next) {
        struct dom_policy_log_copy *copy = &model->copies[model->num_copies];
        copy->id = dom_read_cstr(node, "id");
        for (size_t i = 0; i < model->num_copies; i++) {
            if (copy->id[0] != '\0' && strcmp(copy->id, model->copies[i].id) == 0) {
                dom_read_fail(reader, dom_node_get(node, "id"), "P0303", "give it another id",
                              "log_copies id \"%s\" is used twice", copy->id);
            }
        }
        copy->regions = dom_read_regions(reader, dom_node_get(node, "regions"));
        copy->any = dom_slice_eq_str(dom_read_string(node, "need"), "any");
        read_sinks(reader, dom_node_get(node, "sinks"), copy);
        model->num_copies++;
    }
}
