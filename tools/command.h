/* What the verbs of the `domicile` command share. */
#ifndef DOM_TOOLS_COMMAND_H
#define DOM_TOOLS_COMMAND_H

/* Exit codes of every verb. */
#define DOM_EXIT_OK 0
#define DOM_EXIT_FAILED 1  /* findings, a failed check, an error */
#define DOM_EXIT_DIFFERS 2
#define DOM_EXIT_USAGE 3
#define DOM_EXIT_REFUSED 4 /* the router said no */

/* Each takes its own argv, argv[0] being the verb, and returns an exit code. */
int dom_serve_command(int argc, char **argv);
int dom_record_command(int argc, char **argv);
int dom_policy_command(int argc, char **argv);
int dom_audit_command(int argc, char **argv);
int dom_bench_command(int argc, char **argv);
int dom_pki_command(int argc, char **argv);
int dom_drain_command(int argc, char **argv);

#endif
