/* Second copies of a region's log. One thread for each follows the log: what is durable there it reads,
 * appends to its copy and syncs, as many entries at once as have come together. Operations whose
 * entries are needed in a copy wait here for it, after everything else that they wait for.
 *
 * A copy that was away goes on where it ended: the log itself is the queue, so nothing is lost and
 * nothing is held for it in memory.
 *
 * Private to store/. Thread contract: open and stop: the store's owner; the rest: any thread.
 */
#ifndef DOM_STORE_SINK_H
#define DOM_STORE_SINK_H

#include "store/region/region.h"

struct dom_sinks; /* of one region */

/* Starts the region's sinks among `all`. One whose folder fails is tried again and again.
 * Errors: INVALID (two of one name, too many), RESOURCE. */
enum dom_code dom_sinks_start(struct dom_sinks **sinksp, struct dom_region *region,
                              const struct dom_store_options *options,
                              struct dom_error *err) DOM_MUST_USE;
/* Ends the threads; operations that wait are given back with UNAVAILABLE. */
void dom_sinks_stop(struct dom_sinks *sinks);
void dom_sinks_destroy(struct dom_sinks *sinks);

/* Takes those of the chain that have to wait; the others are its new ends (NULL: none left). */
void dom_sinks_hold(struct dom_sinks *sinks, struct dom_store_op **first,
                    struct dom_store_op **last);
/* The log has grown. */
void dom_sinks_wake(struct dom_sinks *sinks);
void dom_sinks_require(struct dom_sinks *sinks, const struct dom_store_need *need);
/* Entries before it are in every copy that is demanded, of which one is enough too; UINT64_MAX when none
 * is. A copy that finds its next entry pruned can never go on. */
uint64_t dom_sinks_copied(struct dom_sinks *sinks);
/* Whether one hangs. The watch thread. */
void dom_sinks_watch(struct dom_sinks *sinks);

size_t dom_sinks_num(const struct dom_sinks *sinks);
int dom_sinks_find(const struct dom_sinks *sinks, struct dom_slice name);
void dom_sinks_stats(struct dom_sinks *sinks, size_t sink, struct dom_store_sink_stats *out);

#endif
