/* Goes over a published log and calls for each entry that passes a filter, in the log's order and
 * constant memory. With an index (store/audit/index.h), bundles in which nothing can pass are not
 * read.
 *
 * Thread contract: any thread; it blocks on files.
 */
#ifndef DOM_STORE_AUDIT_WALK_H
#define DOM_STORE_AUDIT_WALK_H

#include "base/error.h"
#include "store/audit/filter.h"
#include "store/audit/tiledir.h"

/* `head` and `entry` live for the call. An error ends the walk. */
typedef enum dom_code dom_log_each_fn(void *arg, uint64_t index, struct dom_slice entry,
                                      const struct dom_entry_head *head, struct dom_error *err);

/* What a walk cost. */
struct dom_log_walk_stats {
    uint64_t bundles_read;
    uint64_t bundles_skipped;   /* the index said that nothing there passes */
    uint64_t bundles_unindexed; /* full ones that no usable index tells of */
};

struct dom_log_walk {
    const struct dom_tiledir *tiledir;
    const struct dom_export_filter *filter;
    bool use_index; /* false: every bundle is read, for who must vouch that nothing is left out */
    /* How far it is: entries looked at and entries to look at, at each bundle. May be NULL. */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *progress_arg;
    struct dom_log_walk_stats *stats; /* may be NULL */
};
/* Errors: IO, CORRUPT, PARSE (an entry is not ours), those of `each`. */
enum dom_code dom_log_walk(const struct dom_log_walk *walk, dom_log_each_fn *each, void *arg,
                           struct dom_error *err) DOM_MUST_USE;

/* The same with nothing but a filter. */
enum dom_code dom_log_each(const struct dom_tiledir *tiledir,
                           const struct dom_export_filter *filter, dom_log_each_fn *each, void *arg,
                           struct dom_error *err) DOM_MUST_USE;

#endif
