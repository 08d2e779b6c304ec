/* `domicile audit` alone, for tests of the command. */
#include "tools/command.h"

int main(int argc, char **argv)
{
    return dom_audit_command(argc, argv);
}
