/* The verbs of `domicile policy` that talk to a router: push, rollout, freeze, unfreeze. One thread. */
#ifndef DOM_TOOLS_ROLLOUT_COMMAND_H
#define DOM_TOOLS_ROLLOUT_COMMAND_H

/* Each takes argv with argv[0] being the verb, and returns an exit code. */
int dom_policy_push_verb(int argc, char **argv);
int dom_policy_rollout_verb(int argc, char **argv);
int dom_policy_freeze_verb(int argc, char **argv);
int dom_policy_unfreeze_verb(int argc, char **argv);

#endif
