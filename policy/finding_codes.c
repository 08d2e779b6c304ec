/* The codes of findings: what each means, and findings in the form that code hosts read. */
#include <string.h>

#include "policy/finding_internal.h"

struct code {
    const char *code;
    enum dom_finding_level level;
    const char *title;
    const char *paragraph;
};

static const struct code s_codes[] = {
#define X(code, level, title, paragraph) {code, level, title, paragraph},
#include "policy/finding_codes.inc"
#undef X
};

#define NUM_CODES DOM_ARRAY_LEN(s_codes)

static size_t find_code(const char *code)
{
    size_t i = 0;

    while (i < NUM_CODES && strcmp(s_codes[i].code, code) != 0) {
        i++;
    }
    return i;
}

enum dom_finding_level dom_finding_code_level(const char *code)
{
    size_t i = find_code(code);

    return i < NUM_CODES ? s_codes[i].level : DOM_FINDING_ERROR;
}

size_t dom_finding_num_codes(void)
{
    return NUM_CODES;
}

const char *dom_finding_code_at(size_t index)
{
    return index < NUM_CODES ? s_codes[index].code : "";
}

const char *dom_finding_code_title(const char *code)
{
    size_t i = find_code(code);

    return i < NUM_CODES ? s_codes[i].title : "";
}

bool dom_finding_explain(const char *code, struct dom_buffer *out)
{
    size_t i = find_code(code);
    size_t width = 0;

    if (i == NUM_CODES) {
        return false;
    }
    dom_buffer_printf(out, "%s (%s): %s\n\n", s_codes[i].code,
                      dom_finding_level_name(s_codes[i].level), s_codes[i].title);
    for (const char *word = s_codes[i].paragraph; *word != '\0';) {
        size_t len = strcspn(word, " ");
        bool breaks = width + len + 1 > 80;
        dom_buffer_printf(out, "%s%.*s", width == 0 ? "" : breaks ? "\n" : " ", (int)len, word);
        width = breaks || width == 0 ? len : width + len + 1;
        word += len + (word[len] == ' ' ? 1U : 0U);
    }
    dom_buffer_append_char(out, '\n');
    return true;
}

/* ---- SARIF 2.1.0 ---- */

static const char *sarif_level(enum dom_finding_level level)
{
    switch (level) {
    case DOM_FINDING_ERROR:
        return "error";
    case DOM_FINDING_SECURITY_WARNING:
    case DOM_FINDING_WARNING:
        return "warning";
    case DOM_FINDING_SUGGESTION:
        return "note";
    }
    return "error";
}

void dom_sarif_begin(struct dom_buffer *out)
{
    dom_buffer_append_str(
        out, "{\"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\",\n"
             " \"version\": \"2.1.0\",\n \"runs\": [{\"columnKind\": \"unicodeCodePoints\",\n"
             "  \"tool\": {\"driver\": {\"name\": \"domicile policy check\", \"rules\": [");
    for (size_t i = 0; i < NUM_CODES; i++) {
        dom_buffer_printf(out, "%s\n   {\"id\": \"%s\", \"shortDescription\": {\"text\": ",
                          i == 0 ? "" : ",", s_codes[i].code);
        dom_json_string(out, s_codes[i].title);
        dom_buffer_append_str(out, "}, \"fullDescription\": {\"text\": ");
        dom_json_string(out, s_codes[i].paragraph);
        dom_buffer_printf(out, "}, \"defaultConfiguration\": {\"level\": \"%s\"}%s}",
                          sarif_level(s_codes[i].level),
                          s_codes[i].level == DOM_FINDING_SECURITY_WARNING
                              ? ", \"properties\": {\"tags\": [\"security\"]}"
                              : "");
    }
    dom_buffer_append_str(out, "]}},\n  \"results\": [");
}

/* A path as the path of a URI reference (RFC 3986 s3.3). */
static void put_uri(struct dom_buffer *out, const char *path)
{
    /* In a relative reference a colon in the first part would end a scheme. */
    dom_buffer_append_str(out, path[0] == '/' ? "\"file://" : "\"");
    for (; *path != '\0'; path++) {
        unsigned char c = (unsigned char)*path;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~/", c) != NULL;
        dom_buffer_printf(out, plain ? "%c" : "%%%02X", c);
    }
    dom_buffer_append_char(out, '"');
}

/* Characters in the first `bytes` bytes of the line, so that columns count as people do. */
static uint32_t characters(struct dom_slice text, uint32_t line, uint32_t bytes)
{
    size_t at = 0;
    uint32_t count = 0;

    for (uint32_t i = 1; i < line && at < text.len; at++) {
        i += text.data[at] == '\n' ? 1U : 0U;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        bool more = at + i < text.len && text.data[at + i] != '\n';
        count += !more || (text.data[at + i] & 0xC0) != 0x80 ? 1U : 0U;
    }
    return count;
}

void dom_sarif_add(const struct dom_findings *findings, const char *name, struct dom_slice text,
                   bool *first, struct dom_buffer *out)
{
    for (size_t i = 0; i < findings->num_items; i++) {
        const struct dom_finding *item = &findings->items[i];
        uint32_t start = item->column == 0 ? 0 : item->column - 1;
        dom_buffer_printf(out, "%s\n   {\"ruleId\": \"%s\", ", *first ? "" : ",", item->code);
        if (find_code(item->code) < NUM_CODES) {
            dom_buffer_printf(out, "\"ruleIndex\": %zu, ", find_code(item->code));
        }
        dom_buffer_printf(out, "\"level\": \"%s\", \"message\": {\"text\": \"",
                          sarif_level(item->level));
        dom_json_escape(out, dom_slice_str(item->message == NULL ? "" : item->message));
        if (item->help != NULL) {
            dom_buffer_append_str(out, "; ");
            dom_json_escape(out, dom_slice_str(item->help));
        }
        dom_buffer_append_str(out, "\"}, \"locations\": [{\"physicalLocation\": "
                                   "{\"artifactLocation\": {\"uri\": ");
        put_uri(out, name);
        dom_buffer_printf(out,
                          "}, \"region\": {\"startLine\": %u, \"startColumn\": %u, "
                          "\"endColumn\": %u}}",
                          item->line, characters(text, item->line, start) + 1,
                          characters(text, item->line, start + item->length) + 1);
        if (item->path != NULL) {
            dom_buffer_append_str(out, ", \"logicalLocations\": [{\"fullyQualifiedName\": ");
            dom_json_string(out, item->path);
            dom_buffer_append_str(out, "}]");
        }
        dom_buffer_append_str(out, "}]}");
        *first = false;
    }
}

void dom_sarif_end(struct dom_buffer *out)
{
    dom_buffer_append_str(out, "]}]}\n");
}
