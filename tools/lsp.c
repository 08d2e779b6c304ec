#include "tools/lsp.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/policy.h"
#include "policy/symbol.h"
#include "tools/lsp_text.h"

/* JSON-RPC 2.0 and LSP 3.17. */
#define PARSE_ERROR      (-32700)
#define INVALID_REQUEST  (-32600)
#define METHOD_NOT_FOUND (-32601)
#define INVALID_PARAMS   (-32602)
#define NOT_INITIALIZED  (-32002)

struct document {
    char *uri; /* NULL: free */
    struct dom_buffer text;
};

struct dom_lsp {
    bool initialized;
    bool shut_down;
    bool utf8; /* positions count bytes; else UTF-16 units, as they always have */
    struct document documents[DOM_LSP_DOCUMENTS_MAX];
};

struct dom_lsp *dom_lsp_new(void)
{
    struct dom_lsp *lsp = calloc(1, sizeof(*lsp));

    DOM_ASSERT(lsp != NULL);
    return lsp;
}

static void forget(struct document *document)
{
    free(document->uri);
    document->uri = NULL;
    dom_buffer_cleanup(&document->text);
}

void dom_lsp_destroy(struct dom_lsp *lsp)
{
    for (size_t i = 0; lsp != NULL && i < DOM_LSP_DOCUMENTS_MAX; i++) {
        forget(&lsp->documents[i]);
    }
    free(lsp);
}

/* ---- messages out ---- */

/* Takes over `message`. */
static void put_message(json_t *message, struct dom_buffer *out)
{
    (void)json_object_set_new(message, "jsonrpc", json_string("2.0"));
    char *text = json_dumps(message, JSON_COMPACT);
    DOM_ASSERT(text != NULL);
    dom_buffer_printf(out, "Content-Length: %zu\r\n\r\n", strlen(text));
    dom_buffer_append_str(out, text);
    free(text);
    json_decref(message);
}

static void put_result(const json_t *id, json_t *result, struct dom_buffer *out)
{
    put_message(json_pack("{s:O,s:o}", "id", id, "result", result), out);
}

static void put_error(const json_t *id, int code, const char *what, struct dom_buffer *out)
{
    json_t *message = json_pack("{s:{s:i,s:s}}", "error", "code", code, "message", what);

    /* Without an id to answer to it is null. */
    (void)json_object_set_new(message, "id", id == NULL ? json_null() : json_deep_copy(id));
    put_message(message, out);
}

void dom_lsp_put_fatal(const char *why, struct dom_buffer *out)
{
    put_error(NULL, PARSE_ERROR, why, out);
}

/* ---- positions ---- */

static json_t *range_of(const struct dom_lsp *lsp, struct dom_slice text, struct dom_span span)
{
    struct dom_lsp_range range = dom_lsp_range(text, span, lsp->utf8);

    return json_pack("{s:{s:I,s:I},s:{s:I,s:I}}", "start", "line", (json_int_t)range.line,
                     "character", (json_int_t)range.begin, "end", "line", (json_int_t)range.line,
                     "character", (json_int_t)range.end);
}

/* ---- documents ---- */

static struct document *find(struct dom_lsp *lsp, const char *uri)
{
    for (size_t i = 0; uri != NULL && i < DOM_LSP_DOCUMENTS_MAX; i++) {
        if (lsp->documents[i].uri != NULL && strcmp(lsp->documents[i].uri, uri) == 0) {
            return &lsp->documents[i];
        }
    }
    return NULL;
}

static struct document *open_document(struct dom_lsp *lsp, const char *uri)
{
    struct document *document = find(lsp, uri);

    for (size_t i = 0; document == NULL && i < DOM_LSP_DOCUMENTS_MAX; i++) {
        if (lsp->documents[i].uri == NULL) {
            document = &lsp->documents[i];
            document->uri = strdup(uri);
            DOM_ASSERT(document->uri != NULL);
            dom_buffer_init(&document->text, 0);
        }
    }
    return document;
}

static int severity(enum dom_finding_level level)
{
    static const int severities[] = {1, 2, 2, 3}; /* error, warning, warning, information */

    return severities[level];
}

static json_t *diagnostic(const struct dom_lsp *lsp, struct dom_slice text,
                          const struct dom_finding *finding)
{
    struct dom_span span = {
        .line = finding->line, .column = finding->column, .length = finding->length};
    struct dom_buffer message;

    dom_buffer_init(&message, 0);
    dom_buffer_append_str(&message, finding->message);
    if (finding->help != NULL) {
        dom_buffer_printf(&message, "\n%s", finding->help);
    }
    json_t *out = json_pack("{s:o,s:i,s:s,s:s,s:s}", "range", range_of(lsp, text, span),
                            "severity", severity(finding->level), "source", "domicile", "code",
                            finding->code, "message", dom_buffer_cstr(&message));
    dom_buffer_cleanup(&message);
    return out;
}

static bool is_test_file(const char *uri)
{
    size_t len = strlen(uri);

    return len >= 9 && strcmp(uri + len - 9, "_test.cfg") == 0;
}

static json_t *diagnostics_of(const struct dom_lsp *lsp, const struct document *document,
                              int64_t now_ms)
{
    struct dom_policy_load_options options = {.name = document->uri, .now_ms = now_ms};
    struct dom_slice text = dom_buffer_slice(&document->text);
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_error err = {0};
    json_t *out = json_array();

    if (is_test_file(document->uri)) {
        return out;
    }
    enum dom_code rc = dom_policy_compile(&policy, &findings, text, &options, &err);
    for (size_t i = 0; i < findings.num_items; i++) {
        json_t *one = diagnostic(lsp, text, &findings.items[i]);
        if (one != NULL) {
            (void)json_array_append_new(out, one);
        }
    }
    if (rc != DOM_OK && findings.num_items == 0) {
        struct dom_span top = {.line = 1, .column = 1, .length = 1};
        (void)json_array_append_new(
            out, json_pack("{s:o,s:i,s:s,s:s}", "range", range_of(lsp, text, top), "severity", 1,
                           "source", "domicile", "message", err.message));
    }
    dom_findings_cleanup(&findings);
    dom_policy_unref(policy);
    return out;
}

static void publish(const char *uri, json_t *diagnostics, struct dom_buffer *out)
{
    put_message(json_pack("{s:s,s:{s:s,s:o}}", "method", "textDocument/publishDiagnostics",
                          "params", "uri", uri, "diagnostics", diagnostics),
                out);
}

static const char *uri_of(const json_t *params)
{
    return json_string_value(json_object_get(json_object_get(params, "textDocument"), "uri"));
}

/* A document's new text. */
static void take_text(struct dom_lsp *lsp, const char *uri, const json_t *text, int64_t now_ms,
                      struct dom_buffer *out)
{
    if (uri == NULL || !json_is_string(text)) {
        return; /* a notification has no answer */
    }
    struct document *document = open_document(lsp, uri);
    if (document == NULL) {
        put_message(json_pack("{s:s,s:{s:i,s:s}}", "method", "window/showMessage", "params", "type",
                              1, "message", "domicile: too many policy files are open at once"),
                    out);
        return;
    }
    dom_buffer_clear(&document->text);
    dom_buffer_append(&document->text, json_string_value(text), json_string_length(text));
    publish(uri, diagnostics_of(lsp, document, now_ms), out);
}

/* ---- questions ---- */

/* What stands at the position of the request; false when it names no open document or nothing is
 * there. */
static bool symbol_at(struct dom_lsp *lsp, const json_t *params, struct dom_slice *text,
                      struct dom_symbol *symbol, struct dom_buffer *hover)
{
    const struct document *document = find(lsp, uri_of(params));
    const json_t *position = json_object_get(params, "position");
    const json_t *line = json_object_get(position, "line");
    const json_t *character = json_object_get(position, "character");
    uint32_t column = 0;

    if (document == NULL || !json_is_integer(line) || !json_is_integer(character) ||
        json_integer_value(line) < 0 || json_integer_value(line) >= INT32_MAX ||
        json_integer_value(character) < 0 || json_integer_value(character) >= INT32_MAX) {
        return false;
    }
    *text = dom_buffer_slice(&document->text);
    uint32_t number = (uint32_t)json_integer_value(line);
    return dom_lsp_column(*text, number, (uint32_t)json_integer_value(character), lsp->utf8,
                          &column) &&
           dom_symbol_find(symbol, *text, number + 1, column, hover);
}

static json_t *hover(struct dom_lsp *lsp, const json_t *params)
{
    struct dom_slice text = {0};
    struct dom_symbol symbol;
    struct dom_buffer words;
    json_t *out = NULL;

    dom_buffer_init(&words, 0);
    if (symbol_at(lsp, params, &text, &symbol, &words) && words.len > 0) {
        out = json_pack("{s:{s:s,s:s},s:o}", "contents", "kind", "markdown", "value",
                        dom_buffer_cstr(&words), "range", range_of(lsp, text, symbol.use));
    }
    dom_buffer_cleanup(&words);
    return out == NULL ? json_null() : out;
}

static json_t *definition(struct dom_lsp *lsp, const json_t *params)
{
    struct dom_slice text = {0};
    struct dom_symbol symbol;

    if (!symbol_at(lsp, params, &text, &symbol, NULL) || symbol.declaration.line == 0) {
        return json_null();
    }
    return json_pack("{s:s,s:o}", "uri", uri_of(params), "range",
                     range_of(lsp, text, symbol.declaration));
}

static json_t *initialize(struct dom_lsp *lsp, const json_t *params)
{
    const json_t *offered = json_object_get(
        json_object_get(json_object_get(params, "capabilities"), "general"), "positionEncodings");
    const json_t *one = NULL;
    size_t i = 0;

    lsp->initialized = true;
    json_array_foreach (offered, i, one) {
        const char *name = json_string_value(one);
        lsp->utf8 = lsp->utf8 || (name != NULL && strcmp(name, "utf-8") == 0);
    }
    return json_pack("{s:{s:s,s:{s:b,s:i},s:b,s:b},s:{s:s}}", "capabilities", "positionEncoding",
                     lsp->utf8 ? "utf-8" : "utf-16", "textDocumentSync", "openClose", 1, "change",
                     1 /* full */, "hoverProvider", 1, "definitionProvider", 1, "serverInfo",
                     "name", "domicile policy lsp");
}

/* ---- messages in ---- */

static void take_request(struct dom_lsp *lsp, const char *method, const json_t *id,
                         const json_t *params, struct dom_buffer *out)
{
    if (lsp->shut_down) {
        put_error(id, INVALID_REQUEST, "the server was told to shut down", out);
    } else if (strcmp(method, "initialize") == 0) {
        if (lsp->initialized) {
            put_error(id, INVALID_REQUEST, "initialize came twice", out);
            return;
        }
        put_result(id, initialize(lsp, params), out);
    } else if (!lsp->initialized) {
        put_error(id, NOT_INITIALIZED, "initialize has not come yet", out);
    } else if (strcmp(method, "shutdown") == 0) {
        lsp->shut_down = true;
        put_result(id, json_null(), out);
    } else if (strcmp(method, "textDocument/hover") == 0) {
        put_result(id, hover(lsp, params), out);
    } else if (strcmp(method, "textDocument/definition") == 0) {
        put_result(id, definition(lsp, params), out);
    } else {
        put_error(id, METHOD_NOT_FOUND, "this server does not know the method", out);
    }
}

static void take_notification(struct dom_lsp *lsp, const char *method, const json_t *params,
                              int64_t now_ms, struct dom_buffer *out)
{
    const json_t *document = json_object_get(params, "textDocument");
    const char *uri = uri_of(params);

    if (!lsp->initialized || lsp->shut_down) {
        return;
    }
    if (strcmp(method, "textDocument/didOpen") == 0) {
        take_text(lsp, uri, json_object_get(document, "text"), now_ms, out);
    } else if (strcmp(method, "textDocument/didChange") == 0) {
        const json_t *changes = json_object_get(params, "contentChanges");
        size_t num = json_array_size(changes);
        /* Whole texts: the last one counts. */
        const json_t *last = num == 0 ? NULL : json_array_get(changes, num - 1);
        if (find(lsp, uri) != NULL && json_object_get(last, "range") == NULL) {
            take_text(lsp, uri, json_object_get(last, "text"), now_ms, out);
        }
    } else if (strcmp(method, "textDocument/didClose") == 0 && find(lsp, uri) != NULL) {
        publish(uri, json_array(), out);
        forget(find(lsp, uri));
    }
    /* Others, such as initialized and $/cancelRequest, ask for nothing. */
}

static bool is_id(const json_t *id)
{
    return json_is_string(id) || json_is_integer(id) || json_is_null(id);
}

enum dom_lsp_next dom_lsp_take(struct dom_lsp *lsp, struct dom_slice body, int64_t now_ms,
                               struct dom_buffer *out)
{
    json_t *message = json_loadb((const char *)body.data, body.len, 0, NULL);
    const json_t *id = json_object_get(message, "id");
    const char *method = json_string_value(json_object_get(message, "method"));
    enum dom_lsp_next next = DOM_LSP_GO_ON;

    if (message == NULL) {
        put_error(NULL, PARSE_ERROR, "the message is no JSON", out);
    } else if (method == NULL) {
        /* An answer to a request: this server makes none, so it is of no concern. */
        if (json_object_get(message, "result") == NULL && json_object_get(message, "error") == NULL) {
            put_error(is_id(id) ? id : NULL, INVALID_REQUEST, "the message has no method", out);
        }
    } else if (strcmp(method, "exit") == 0) {
        next = lsp->shut_down ? DOM_LSP_EXIT_OK : DOM_LSP_EXIT_FAILED;
    } else if (id == NULL) {
        take_notification(lsp, method, json_object_get(message, "params"), now_ms, out);
    } else if (!is_id(id)) {
        put_error(NULL, INVALID_REQUEST, "id is neither a number nor a text", out);
    } else {
        take_request(lsp, method, id, json_object_get(message, "params"), out);
    }
    json_decref(message);
    return next;
}
