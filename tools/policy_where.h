/* `domicile policy where`. Private to tools. One thread. */
#ifndef DOM_TOOLS_POLICY_WHERE_H
#define DOM_TOOLS_POLICY_WHERE_H

/* argv[0] is "where". Returns an exit code. */
int dom_policy_where(int argc, char **argv);

#endif
