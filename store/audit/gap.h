/* Stretches of time in which a log has no entry, and what other logs have of them: a region that
 * was silent while others were busy has lost entries, its clock, or its traffic.
 *
 * Thread contract: one owner; it blocks on files. Limit: DOM_GAPS_MAX stretches are kept.
 */
#ifndef DOM_STORE_AUDIT_GAP_H
#define DOM_STORE_AUDIT_GAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/audit/export.h"

#define DOM_GAPS_MAX 1024U

struct dom_gap {
    int64_t from_ms;  /* of the last entry before; of the range's beginning when there is none */
    int64_t until_ms; /* of the first entry behind; of the range's end when there is none */
    uint64_t index;   /* of the entry behind it, or the log's size */
    uint64_t others;  /* entries of other logs in between */
};

/* Begins zeroed. */
struct dom_gaps {
    uint64_t num_entries;
    int64_t first_ms, last_ms; /* 0 when there are no entries */
    struct dom_gap gaps[DOM_GAPS_MAX];
    size_t num_gaps;
    uint64_t num_left_out; /* beyond DOM_GAPS_MAX */
    int64_t max_ms;
};

/* Walks a log and keeps each stretch longer than max_ms. Errors: IO, CORRUPT, PARSE. */
enum dom_code dom_gaps_find(struct dom_gaps *gaps, const struct dom_log_walk *walk, int64_t max_ms,
                            struct dom_error *err) DOM_MUST_USE;
/* Adds the silence before the log's first entry and behind its last within [from_ms, until_ms],
 * a range in which something was to be expected. To be called after dom_gaps_find. */
void dom_gaps_add_ends(struct dom_gaps *gaps, int64_t from_ms, int64_t until_ms);
/* Walks another log and counts its entries that lie strictly inside a stretch. Errors: as above. */
enum dom_code dom_gaps_count(struct dom_gaps *gaps, const struct dom_log_walk *walk,
                             struct dom_error *err) DOM_MUST_USE;

#endif
