/* Policies by the sha256 of their text: which file on this machine is the version that an entry
 * names. One user. */
#ifndef DOM_TOOLS_POLICY_SHELF_H
#define DOM_TOOLS_POLICY_SHELF_H

#include "policy/policy.h"

#define DOM_POLICY_SHELF_FILES_MAX 1024U  /* named one by one, or found in folders */
#define DOM_POLICY_SHELF_LOADED_MAX 256U  /* compiled at once */

struct dom_policy_shelf {
    char *paths[DOM_POLICY_SHELF_FILES_MAX]; /* owned */
    char sha256[DOM_POLICY_SHELF_FILES_MAX][65];
    size_t num_paths;
    struct dom_policy *loaded[DOM_POLICY_SHELF_LOADED_MAX];
    size_t num_loaded;
};

/* Adds a file, or every file NAME.cfg of a folder. The files are hashed, not yet compiled.
 * Errors: IO, TOO_LARGE (too many files, or one that is no policy for its size). */
enum dom_code dom_policy_shelf_add_file(struct dom_policy_shelf *shelf, const char *path,
                                      struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_policy_shelf_add_dir(struct dom_policy_shelf *shelf, const char *dir,
                                     struct dom_error *err) DOM_MUST_USE;

/* The policy of that hash (64 hex digits), compiled when it is first asked for; the set's.
 * Errors: NOT_FOUND (no such file), PARSE (it does not compile), RESOURCE. */
enum dom_code dom_policy_shelf_find(struct dom_policy_shelf *shelf, const struct dom_policy **policyp,
                                  struct dom_slice sha256, struct dom_error *err) DOM_MUST_USE;
void dom_policy_shelf_cleanup(struct dom_policy_shelf *shelf);

#endif
