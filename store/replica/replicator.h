/* Carries one home region's outbox to its replicas: reads entries, reads each record's current
 * state once, projects it for every target by options.field_regions, and gives it to the target's
 * commit thread with a watermark. A target that fails is tried again with growing pauses and holds
 * nobody else up.
 *
 * Here both ends are in one process. What it needs of a target is only: apply a batch with its
 * watermark, tell the watermark (design: "Distributed").
 *
 * Thread contract: new/destroy: the store's owner. notify: commit threads. The rest: any thread.
 */
#ifndef DOM_STORE_REPLICA_REPLICATOR_H
#define DOM_STORE_REPLICA_REPLICATOR_H

#include "store/region/region.h"

struct dom_replicator;

/* Starts the thread. Errors: RESOURCE. */
enum dom_code dom_replicator_new(struct dom_replicator **replicatorp, struct dom_region_host *host,
                                 struct dom_region *home, struct dom_error *err) DOM_MUST_USE;
/* Ends the thread (after this region's commit thread has ended is fine); operations that wait for
 * replicas are posted with UNAVAILABLE. Before the regions are closed, and after every target's
 * commit thread has given its jobs back. */
void dom_replicator_stop(struct dom_replicator *replicator);
void dom_replicator_destroy(struct dom_replicator *replicator);

/* New outbox entries are durable; `sync` (chain by internal.wait_next) waits for replicas. Also
 * when a region was opened. */
void dom_replicator_notify(struct dom_replicator *replicator, struct dom_store_op *sync);
/* Waits until nothing is under way any more that was read from the home's rows before this call;
 * false: it is stopping. Not on a commit thread. */
bool dom_replicator_barrier(struct dom_replicator *replicator);
/* Everything that these replicas lack is owed to them again: goes on with them. Any thread. */
void dom_replicator_reseeded(struct dom_replicator *replicator, dom_store_set replicas);
/* Everything committed so far is at every open target. */
bool dom_replicator_idle(struct dom_replicator *replicator);
/* As dom_store_staleness_ms. */
uint64_t dom_replicator_staleness_ms(struct dom_replicator *replicator, dom_store_region target);

#endif
