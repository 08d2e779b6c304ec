/* What the verbs of `domicile policy` share. */
#include "tools/policy_verbs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "tools/command.h"

int dom_policy_usage(const char *message, const char *what)
{
    (void)fprintf(stderr, "domicile policy: %s%s%s; --help tells more\n", message,
                  what[0] == '\0' ? "" : " ", what);
    return DOM_EXIT_USAGE;
}

bool dom_policy_read(struct dom_policy **policyp, const char *path)
{
    struct dom_policy_load_options options = {.name = path};
    struct dom_findings findings = {0};
    struct dom_error err = {0};
    struct dom_buffer text;
    struct dom_buffer out;

    *policyp = NULL;
    options.now_ms = dom_clock_wall_ms(dom_clock_system());
    dom_buffer_init(&text, 0);
    dom_buffer_init(&out, 0);
    enum dom_code rc = dom_file_read(&text, path, DOM_POLICY_FILE_BYTES_MAX, &err);
    if (rc == DOM_OK) {
        rc = dom_policy_compile(policyp, &findings, dom_buffer_slice(&text), &options, &err);
    }
    if (rc != DOM_OK) {
        dom_findings_print(&findings, path, dom_buffer_slice(&text), &out);
        (void)fprintf(stderr, "%sdomicile policy: %s\n", dom_buffer_cstr(&out), err.message);
    }
    dom_findings_cleanup(&findings);
    dom_buffer_cleanup(&out);
    dom_buffer_cleanup(&text);
    return rc == DOM_OK;
}

void dom_policy_put_json_text(struct dom_buffer *out, const char *text)
{
    json_t *value = json_string(text);
    char *dumped = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY);

    dom_buffer_append_str(out, dumped == NULL ? "\"\"" : dumped);
    free(dumped);
    json_decref(value);
}

bool dom_policy_print(const struct dom_buffer *out)
{
    bool ok = !out->failed &&
              (out->len == 0 || fwrite(out->data, 1, out->len, stdout) == out->len) &&
              fflush(stdout) == 0;

    if (!ok) {
        (void)fprintf(stderr, "domicile policy: the output could not be written\n");
    }
    return ok;
}
