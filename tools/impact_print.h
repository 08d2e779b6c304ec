/* An impact in words or as JSON. Private to tools. */
#ifndef DOM_TOOLS_IMPACT_PRINT_H
#define DOM_TOOLS_IMPACT_PRINT_H

#include "base/buffer.h"
#include "tools/impact.h"

struct dom_impact_report {
    const char *policy_path;
    const struct dom_impact *calls;
    const struct dom_impact_records *records; /* NULL: not counted */
    size_t num_logs;
    size_t num_regions;
    uint64_t records_per_s; /* at which records are moved */
};

/* What would change at all. */
bool dom_impact_any(const struct dom_impact_report *report);
/* Records to remove and to copy, and the seconds that takes. */
uint64_t dom_impact_moves(const struct dom_impact_report *report, uint64_t *bytes);
void dom_impact_print(const struct dom_impact_report *report, struct dom_buffer *out);
void dom_impact_print_json(const struct dom_impact_report *report, struct dom_buffer *out);

#endif
