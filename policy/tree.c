#include "policy/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/lexer.h"

struct parser {
    struct dom_lexer lexer;
    struct dom_token token; /* one token of look-ahead */
    struct dom_arena *arena;
    struct dom_findings *findings;
    struct dom_node **seen; /* open addressing over (parent, name), for duplicates */
    size_t seen_size;
    size_t num_seen;
    size_t num_nodes;
    bool syntax_error;
    bool exhausted; /* memory or a bound: stop */
};

static void advance(struct parser *parser)
{
    if (!dom_lexer_next(&parser->lexer, &parser->token)) {
        parser->exhausted = true;
        memset(&parser->token, 0, sizeof(parser->token));
    }
}

static void syntax(struct parser *parser, const char *wanted, const char *help)
{
    char found[64];

    dom_token_describe(&parser->token, found, sizeof(found));
    parser->syntax_error = true;
    if (!parser->lexer.truncated || parser->token.kind != DOM_TOKEN_END) {
        dom_findings_add(parser->findings, "P0014", parser->token.place, NULL, help,
                         "expected %s, found %s", wanted, found);
    }
}

static struct dom_node *new_node(struct parser *parser, struct dom_node *parent)
{
    if (parser->num_nodes >= DOM_TREE_NODES_MAX) {
        dom_findings_add(parser->findings, "P0017", parser->token.place, NULL, NULL,
                         "more than %u values in one file", DOM_TREE_NODES_MAX);
        parser->exhausted = true;
        return NULL;
    }
    struct dom_node *node = dom_arena_calloc(parser->arena, 1, sizeof(*node));
    if (node == NULL) {
        parser->exhausted = true;
        return NULL;
    }
    parser->num_nodes++;
    node->parent = parent;
    if (parent != NULL) {
        node->index = parent->num++;
        if (parent->last == NULL) {
            parent->first = node;
        } else {
            parent->last->next = node;
        }
        parent->last = node;
    }
    return node;
}

static size_t hash_name(const struct dom_node *parent, const char *name)
{
    uint64_t hash = 1469598103934665603ULL ^ ((uint64_t)(uintptr_t)parent >> 4);

    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 1099511628211ULL;
    }
    return (size_t)(hash ^ (hash >> 29));
}

static bool grow_seen(struct parser *parser)
{
    size_t size = parser->seen_size == 0 ? 1024 : parser->seen_size * 2;
    struct dom_node **seen = calloc(size, sizeof(*seen));

    if (seen == NULL) {
        parser->exhausted = true;
        return false;
    }
    for (size_t i = 0; i < parser->seen_size; i++) {
        struct dom_node *node = parser->seen[i];
        if (node != NULL) {
            size_t at = hash_name(node->parent, node->name) & (size - 1);
            while (seen[at] != NULL) {
                at = (at + 1) & (size - 1);
            }
            seen[at] = node;
        }
    }
    free(parser->seen);
    parser->seen = seen;
    parser->seen_size = size;
    return true;
}

/* Remembers the member; reports a second one of the same name in the same group. */
static void note_member(struct parser *parser, struct dom_node *node)
{
    if (parser->num_seen * 2 >= parser->seen_size && !grow_seen(parser)) {
        return;
    }
    size_t at = hash_name(node->parent, node->name) & (parser->seen_size - 1);
    for (; parser->seen[at] != NULL; at = (at + 1) & (parser->seen_size - 1)) {
        const struct dom_node *other = parser->seen[at];
        if (other->parent == node->parent && strcmp(other->name, node->name) == 0) {
            char help[64];
            (void)snprintf(help, sizeof(help), "first at line %u", other->name_at.line);
            dom_findings_add(parser->findings, "P0012", node->name_at, NULL, help,
                             "\"%s\" is set twice in one group", node->name);
            return;
        }
    }
    parser->seen[at] = node;
    parser->num_seen++;
}

static bool parse_value(struct parser *parser, struct dom_node *node, unsigned depth);

/* Skips to where the next setting may begin: behind a ';', or before the '}' that closes this
 * group. Brackets that open on the way are skipped whole. */
static void resync(struct parser *parser)
{
    size_t open = 0;

    while (parser->token.kind != DOM_TOKEN_END && !parser->exhausted) {
        enum dom_token_kind kind = parser->token.kind;
        if (kind == DOM_TOKEN_GROUP_OPEN || kind == DOM_TOKEN_LIST_OPEN ||
            kind == DOM_TOKEN_ARRAY_OPEN) {
            open++;
        } else if (kind == DOM_TOKEN_GROUP_CLOSE || kind == DOM_TOKEN_LIST_CLOSE ||
                   kind == DOM_TOKEN_ARRAY_CLOSE) {
            if (open == 0) {
                return;
            }
            open--;
        } else if (kind == DOM_TOKEN_SEMICOLON && open == 0) {
            advance(parser);
            return;
        }
        advance(parser);
    }
}

static bool parse_setting(struct parser *parser, struct dom_node *group, unsigned depth)
{
    if (parser->token.kind != DOM_TOKEN_NAME) {
        syntax(parser, "a setting's name",
               parser->token.kind == DOM_TOKEN_STRING ? "names stand without quotes" : NULL);
        return false;
    }
    if (group->num == DOM_TREE_MEMBERS_MAX) {
        dom_findings_add(parser->findings, "P0016", parser->token.place, NULL, NULL,
                         "more than %u settings in one group", DOM_TREE_MEMBERS_MAX);
        parser->exhausted = true;
        return false;
    }
    struct dom_node *node = new_node(parser, group);
    if (node == NULL) {
        return false;
    }
    node->name = dom_arena_dup(parser->arena, parser->token.raw);
    node->name_at = parser->token.place;
    if (node->name == NULL) {
        parser->exhausted = true;
        node->name = "";
        return false;
    }
    note_member(parser, node);
    advance(parser);
    if (parser->token.kind != DOM_TOKEN_ASSIGN) {
        syntax(parser, "'=' behind the name", NULL);
        return false;
    }
    advance(parser);
    if (!parse_value(parser, node, depth)) {
        return false;
    }
    if (parser->token.kind == DOM_TOKEN_STRING && node->type == DOM_NODE_STRING) {
        advance(parser); /* the joining trap, reported by the lexer */
    }
    if (parser->token.kind == DOM_TOKEN_SEMICOLON || parser->token.kind == DOM_TOKEN_COMMA) {
        advance(parser);
    }
    return true;
}

static void parse_settings(struct parser *parser, struct dom_node *group, unsigned depth)
{
    while (!parser->exhausted && parser->token.kind != DOM_TOKEN_END &&
           parser->token.kind != DOM_TOKEN_GROUP_CLOSE) {
        if (!parse_setting(parser, group, depth) && !parser->exhausted) {
            enum dom_token_kind before = parser->token.kind;
            resync(parser);
            if (parser->token.kind == before && (before == DOM_TOKEN_LIST_CLOSE ||
                                                 before == DOM_TOKEN_ARRAY_CLOSE)) {
                advance(parser); /* a stray bracket: step over it, or we would stand still */
            }
        }
    }
}

static bool starts_value(enum dom_token_kind kind)
{
    return kind == DOM_TOKEN_STRING || kind == DOM_TOKEN_INT || kind == DOM_TOKEN_INT64 ||
           kind == DOM_TOKEN_FLOAT || kind == DOM_TOKEN_BOOL || kind == DOM_TOKEN_GROUP_OPEN ||
           kind == DOM_TOKEN_LIST_OPEN || kind == DOM_TOKEN_ARRAY_OPEN;
}

/* An array holds scalars of one type (libconfig's rule); a list holds anything. */
static void check_array_element(struct parser *parser, const struct dom_node *array,
                                const struct dom_node *node)
{
    if (node->type <= DOM_NODE_ARRAY) {
        parser->syntax_error = true;
        dom_findings_add(parser->findings, "P0015", node->value_at, NULL, "use ( ... ) instead",
                         "an array in [ ] cannot hold a %s", dom_node_type_name(node->type));
    } else if (node->type != array->first->type) {
        dom_findings_add(parser->findings, "P0015", node->value_at, NULL,
                         "use ( ... ) for mixed values",
                         "an array in [ ] holds one type: this is a %s, the first is a %s",
                         dom_node_type_name(node->type), dom_node_type_name(array->first->type));
    }
}

static bool parse_elements(struct parser *parser, struct dom_node *list, unsigned depth)
{
    enum dom_token_kind close =
        list->type == DOM_NODE_LIST ? DOM_TOKEN_LIST_CLOSE : DOM_TOKEN_ARRAY_CLOSE;
    const char *wanted = list->type == DOM_NODE_LIST ? "',' or ')'" : "',' or ']'";

    while (parser->token.kind != close) {
        if (!starts_value(parser->token.kind)) {
            syntax(parser, "a value",
                   parser->token.kind == DOM_TOKEN_NAME ? "strings stand in quotes" : NULL);
            return false;
        }
        struct dom_node *node = new_node(parser, list);
        if (node == NULL || !parse_value(parser, node, depth)) {
            return false;
        }
        node->name_at = node->value_at;
        if (list->type == DOM_NODE_ARRAY) {
            check_array_element(parser, list, node);
        }
        bool was_string = node->type == DOM_NODE_STRING;
        if (parser->token.kind == DOM_TOKEN_COMMA) {
            struct dom_token comma = parser->token;
            advance(parser);
            if (parser->token.kind == close) {
                parser->syntax_error = true;
                dom_findings_add(parser->findings, "P0014", comma.place, NULL, "remove the comma",
                                 "a comma before the closing bracket");
            }
        } else if (starts_value(parser->token.kind)) {
            if (!was_string || parser->token.kind != DOM_TOKEN_STRING) {
                syntax(parser, wanted, "put a comma before it");
            }
        } else if (parser->token.kind != close) {
            syntax(parser, wanted, NULL);
            return false;
        }
    }
    advance(parser);
    return true;
}

static bool parse_brackets(struct parser *parser, struct dom_node *node, unsigned depth)
{
    enum dom_token_kind kind = parser->token.kind;

    if (depth >= DOM_POLICY_NESTING_MAX) {
        dom_findings_add(parser->findings, "P0009", parser->token.place, NULL, NULL,
                         "nested deeper than %u levels", DOM_POLICY_NESTING_MAX);
        parser->exhausted = true;
        return false;
    }
    advance(parser);
    if (kind != DOM_TOKEN_GROUP_OPEN) {
        node->type = kind == DOM_TOKEN_LIST_OPEN ? DOM_NODE_LIST : DOM_NODE_ARRAY;
        return parse_elements(parser, node, depth + 1);
    }
    node->type = DOM_NODE_GROUP;
    parse_settings(parser, node, depth + 1);
    if (parser->exhausted) {
        return false;
    }
    if (parser->token.kind != DOM_TOKEN_GROUP_CLOSE) {
        char wanted[64];
        (void)snprintf(wanted, sizeof(wanted), "'}' for the '{' of line %u", node->value_at.line);
        syntax(parser, wanted, NULL);
        return false;
    }
    advance(parser);
    return true;
}

static bool parse_value(struct parser *parser, struct dom_node *node, unsigned depth)
{
    const struct dom_token *token = &parser->token;

    node->value_at = token->place;
    switch (token->kind) {
    case DOM_TOKEN_STRING:
        node->type = DOM_NODE_STRING;
        node->string = token->string;
        break;
    case DOM_TOKEN_INT:
    case DOM_TOKEN_INT64:
        node->type = token->kind == DOM_TOKEN_INT ? DOM_NODE_INT : DOM_NODE_INT64;
        node->integer = token->integer;
        break;
    case DOM_TOKEN_FLOAT:
        node->type = DOM_NODE_FLOAT;
        node->real = token->real;
        break;
    case DOM_TOKEN_BOOL:
        node->type = DOM_NODE_BOOL;
        node->boolean = token->boolean;
        break;
    case DOM_TOKEN_GROUP_OPEN:
    case DOM_TOKEN_LIST_OPEN:
    case DOM_TOKEN_ARRAY_OPEN:
        return parse_brackets(parser, node, depth);
    case DOM_TOKEN_END:
    case DOM_TOKEN_NAME:
    case DOM_TOKEN_ASSIGN:
    case DOM_TOKEN_SEMICOLON:
    case DOM_TOKEN_COMMA:
    case DOM_TOKEN_GROUP_CLOSE:
    case DOM_TOKEN_LIST_CLOSE:
    case DOM_TOKEN_ARRAY_CLOSE:
    case DOM_TOKEN_COMMENT:
        syntax(parser, "a value",
               token->kind == DOM_TOKEN_NAME ? "strings stand in quotes" : NULL);
        return false;
    }
    advance(parser);
    return true;
}

/* Reads on to the end for the lexer's own findings, so that one run shows them all. */
static void drain(struct parser *parser)
{
    while (!parser->exhausted && parser->token.kind != DOM_TOKEN_END) {
        advance(parser);
    }
}

enum dom_code dom_tree_parse(struct dom_node **rootp, struct dom_slice text,
                             struct dom_arena *arena, struct dom_findings *findings,
                             struct dom_error *err)
{
    struct parser parser = {.arena = arena, .findings = findings};
    enum dom_code rc = DOM_OK;
    struct dom_place start = {1, 1, 1};

    *rootp = NULL;
    if (text.len > DOM_POLICY_FILE_BYTES_MAX) {
        dom_findings_add(findings, "P0010", start, NULL, NULL, "file is larger than %u bytes",
                         DOM_POLICY_FILE_BYTES_MAX);
        return DOM_FAIL(err, DOM_TOO_LARGE, "policy text is larger than %u bytes",
                        DOM_POLICY_FILE_BYTES_MAX);
    }
    dom_lexer_init(&parser.lexer, text, arena, findings);
    advance(&parser);
    struct dom_node *root = new_node(&parser, NULL);
    if (root != NULL) {
        root->name_at = start;
        root->value_at = start;
        while (!parser.exhausted && parser.token.kind != DOM_TOKEN_END) {
            parse_settings(&parser, root, 0);
            if (!parser.exhausted && parser.token.kind == DOM_TOKEN_GROUP_CLOSE) {
                syntax(&parser, "a setting's name", NULL);
                advance(&parser);
            }
        }
        drain(&parser);
    }
    if (arena->exhausted) {
        rc = DOM_FAIL(err, DOM_RESOURCE, "policy text needs more memory than its limit");
    } else if (parser.syntax_error || parser.exhausted) {
        rc = DOM_FAIL(err, DOM_PARSE, "policy text has syntax errors");
    } else {
        *rootp = root;
    }
    free(parser.seen);
    return rc;
}

const struct dom_node *dom_node_get(const struct dom_node *group, const char *name)
{
    if (group == NULL || group->type != DOM_NODE_GROUP) {
        return NULL;
    }
    for (const struct dom_node *node = group->first; node != NULL; node = node->next) {
        if (strcmp(node->name, name) == 0) {
            return node;
        }
    }
    return NULL;
}

void dom_node_path(const struct dom_node *node, char *out, size_t out_size)
{
    const struct dom_node *chain[DOM_POLICY_NESTING_MAX + 2];
    size_t depth = 0;
    size_t len = 0;

    out[0] = '\0';
    for (; node != NULL && node->parent != NULL && depth < DOM_ARRAY_LEN(chain);
         node = node->parent) {
        chain[depth++] = node;
    }
    while (depth > 0) {
        const struct dom_node *part = chain[--depth];
        int put = 0;
        if (part->name != NULL) {
            put = snprintf(out + len, out_size - len, "%s%s", len == 0 ? "" : ".", part->name);
        } else {
            const struct dom_node *id = dom_node_get(part, "id");
            id = id == NULL ? dom_node_get(part, "name") : id;
            if (id != NULL && id->type == DOM_NODE_STRING) {
                put = snprintf(out + len, out_size - len, "[\"%.*s\"]",
                               id->string.len > 128 ? 128 : (int)id->string.len,
                               (const char *)id->string.data);
            } else {
                put = snprintf(out + len, out_size - len, "[%zu]", part->index);
            }
        }
        if (put < 0 || (size_t)put >= out_size - len) {
            return;
        }
        len += (size_t)put;
    }
}

const char *dom_node_type_name(enum dom_node_type type)
{
    switch (type) {
    case DOM_NODE_GROUP:
        return "group";
    case DOM_NODE_LIST:
        return "list";
    case DOM_NODE_ARRAY:
        return "array";
    case DOM_NODE_STRING:
        return "string";
    case DOM_NODE_INT:
        return "integer";
    case DOM_NODE_INT64:
        return "64-bit integer";
    case DOM_NODE_FLOAT:
        return "number";
    case DOM_NODE_BOOL:
        return "boolean";
    }
    return "value";
}
