/* Legal holds: what of a region's log must not be pruned, and until when.
 *
 * Thread contract: any thread; a region's holds are guarded by its database. Limits:
 * DOM_HOLDS_MAX of a region.
 */
#ifndef DOM_STORE_HOLD_H
#define DOM_STORE_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define DOM_HOLDS_MAX             256U
#define DOM_HOLD_ID_BYTES_MAX     64U
#define DOM_HOLD_REASON_BYTES_MAX 256U

struct dom_store_hold {
    char id[DOM_HOLD_ID_BYTES_MAX + 1]; /* [a-z0-9._-]{1,64} */
    uint64_t first;                     /* indexes that it holds */
    uint64_t end;                       /* not included; 0: all that come */
    char subject[64]; /* keyed hash as entries have it: only entries with it; "": all */
    int64_t until_ms; /* it lapses then; 0: when it is released */
    char reason[DOM_HOLD_REASON_BYTES_MAX + 1];
};

/* Whether the hold keeps this entry at this time. */
bool dom_hold_keeps(const struct dom_store_hold *hold, uint64_t index, struct dom_slice entry,
                    int64_t now_ms);

#endif
