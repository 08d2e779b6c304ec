/* The verbs of `domicile policy` that make what travels: keys, roots, plans, bundles, timestamps,
 * orders. Files only, no network. One thread. */
#ifndef DOM_TOOLS_BUNDLE_COMMAND_H
#define DOM_TOOLS_BUNDLE_COMMAND_H

/* Each takes argv with argv[0] being the verb, and returns an exit code. */
int dom_policy_keygen_verb(int argc, char **argv);
int dom_policy_root_verb(int argc, char **argv);
int dom_policy_plan_verb(int argc, char **argv);
int dom_policy_sign_verb(int argc, char **argv);
int dom_policy_timestamp_verb(int argc, char **argv);
int dom_policy_rollback_verb(int argc, char **argv);

#endif
