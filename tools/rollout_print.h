/* A roll-out as a table for a terminal, or as one JSON object a line. One thread. */
#ifndef DOM_TOOLS_ROLLOUT_PRINT_H
#define DOM_TOOLS_ROLLOUT_PRINT_H

#include <stdbool.h>

#include "domicile/v1/policy.pb-c.h"

/* `redraw`: on a terminal, over what was printed before. */
void dom_print_rollout(const Domicile__V1__Rollout *rollout, bool json, bool redraw);

#endif
