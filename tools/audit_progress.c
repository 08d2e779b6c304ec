/* The line that tells how far a long walk over a log is. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/audit_internal.h"

#define PROGRESS_AFTER_US 1000000U
#define PROGRESS_EVERY_US 200000U

void dom_audit_progress_init(struct dom_audit_progress *progress)
{
    progress->begin_us = dom_clock_monotonic_us(dom_clock_system());
    progress->shown_us = 0;
    progress->wanted = isatty(STDERR_FILENO) == 1;
}

void dom_audit_progress_show(void *arg, uint64_t done, uint64_t total)
{
    struct dom_audit_progress *p = arg;

    if (!p->wanted) {
        return;
    }
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());
    uint64_t spent_us = now - p->begin_us;
    if (spent_us < PROGRESS_AFTER_US || now - p->shown_us < PROGRESS_EVERY_US || done == 0) {
        return;
    }
    p->shown_us = now;
    uint64_t rate = done * 1000 / (spent_us / 1000);
    uint64_t left_s = rate == 0 || done > total ? 0 : (total - done) / rate;
    (void)fprintf(stderr,
                  "\r\033[K%" PRIu64 " of %" PRIu64 " entries (%" PRIu64 "%%), %" PRIu64
                  "/s, %" PRIu64 " s left",
                  done, total, done * 100 / total, rate, left_s);
    (void)fflush(stderr);
}

void dom_audit_progress_end(struct dom_audit_progress *progress)
{
    if (progress->shown_us != 0) {
        (void)fprintf(stderr, "\r\033[K");
    }
}
