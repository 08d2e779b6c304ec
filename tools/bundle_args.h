/* What the verbs of bundle_command.c and bundle_sign.c share: their arguments. One thread. */
#ifndef DOM_TOOLS_BUNDLE_ARGS_H
#define DOM_TOOLS_BUNDLE_ARGS_H

#include <stdbool.h>

#include "policy/bundle/bundle.h"
#include "tools/signing.h"

#define DOM_BUNDLE_ARG_FILES_MAX (DOM_BUNDLE_FILES_MAX - 1)

struct dom_bundle_args {
    const char *words[2];
    int num_words;
    const char *out;
    const char *name;
    const char *expires;
    unsigned thresholds[DOM_ROLE_COUNT];
    struct {
        enum dom_root_role role;
        const char *path;
    } keys[DOM_ROOT_KEYS_MAX];
    size_t num_keys;
    int64_t version;
    struct dom_signing signing;
    const char *policy;
    const char *previous;
    const char *plan;
    bool first;
    const char *files[DOM_BUNDLE_ARG_FILES_MAX];
    size_t num_files;
    const char *lasts;
    bool json;
    bool help;
};

/* True: go on. Else *status is what to return. */
bool dom_bundle_parse_args(struct dom_bundle_args *args, int argc, char **argv, int num_words,
                           int *status);
/* Prints the error; the exit code. */
int dom_bundle_failed(const struct dom_error *err);
/* Now, in whole seconds. */
int64_t dom_bundle_now_ms(void);
/* Errors: USAGE. */
bool dom_bundle_parse_time(const char *text, int64_t *out, struct dom_error *err);
/* Appends the note: the text, an empty line, a signature line of each signer. */
enum dom_code dom_bundle_sign_note(const struct dom_bundle_args *args, struct dom_slice text,
                                   struct dom_buffer *out, struct dom_error *err) DOM_MUST_USE;

#endif
