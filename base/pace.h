/* How fast something may go through bytes: long checks ask before they go on, so that they can be
 * slowed down and stopped. Thread contract: the asker's. */
#ifndef DOM_BASE_PACE_H
#define DOM_BASE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `spend` is told that so many bytes were read; it may wait. False: stop now. */
struct dom_pace {
    bool (*spend)(void *context, size_t bytes);
    void *context;
};

/* A pace without `spend`, or none, is as fast as it goes. */
static inline bool dom_pace_spend(const struct dom_pace *pace, size_t bytes)
{
    return pace == NULL || pace->spend == NULL || pace->spend(pace->context, bytes);
}

/* When `bytes` may have been read that began at `begin_us`, at `rate` bytes per second (not 0). */
static inline uint64_t dom_pace_due_us(uint64_t begin_us, uint64_t bytes, uint64_t rate)
{
    return begin_us + (bytes / rate) * 1000000 + (bytes % rate) * 1000000 / rate;
}

#endif
