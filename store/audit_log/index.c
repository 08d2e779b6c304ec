/* The index beside the published log, kept up behind it. */
#include "base/clock.h"
#include "base/log.h"
#include "store/audit_log/audit_log_internal.h"

/* Bundles that one call takes: about 40 ms, so that other logs' checkpoints stay in time. */
#define BUNDLES_MAX 64U

void dom_audit_log_index(struct dom_audit_log *log)
{
    uint64_t size = log->published_size;
    struct dom_tiledir tiledir = {0};
    struct dom_error err = {0};
    uint64_t never = UINT64_MAX;

    if (dom_index_writer_lag(&log->index, size) < DOM_INDEX_LAG) {
        return;
    }
    enum dom_code rc = dom_tiledir_init(&tiledir, log->dir, size, &err);
    if (rc == DOM_OK) {
        rc = dom_index_writer_run(&log->index, &tiledir, BUNDLES_MAX, false, NULL, &err);
    }
    dom_tiledir_cleanup(&tiledir);
    /* Derived data: queries read what it does not tell of. It is made again with the next entries.
     */
    if (rc != DOM_OK && !log->index_failed) {
        dom_log(DOM_LOG_WARN, "store.index_failed", "log=%s reason=\"%s\"", log->origin,
                err.message);
    }
    log->index_failed = rc != DOM_OK;
    if (rc == DOM_OK && dom_index_writer_lag(&log->index, size) >= DOM_INDEX_LAG) {
        (void)atomic_compare_exchange_strong(
            &log->due_us, &never,
            dom_clock_monotonic_us(dom_clock_system()) + log->checkpoint_us / 2);
    }
}
