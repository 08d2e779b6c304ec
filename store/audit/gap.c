#include "store/audit/gap.h"

static void add(struct dom_gaps *gaps, int64_t from_ms, int64_t until_ms, uint64_t index)
{
    if (until_ms - from_ms <= gaps->max_ms) {
        return;
    }
    if (gaps->num_gaps == DOM_GAPS_MAX) {
        gaps->num_left_out++;
        return;
    }
    gaps->gaps[gaps->num_gaps++] =
        (struct dom_gap){.from_ms = from_ms, .until_ms = until_ms, .index = index};
}

static enum dom_code look(void *arg, uint64_t index, struct dom_slice entry,
                          const struct dom_entry_head *head, struct dom_error *err)
{
    struct dom_gaps *gaps = arg;

    (void)entry;
    (void)err;
    if (gaps->num_entries++ == 0) {
        gaps->first_ms = head->time_ms;
        gaps->last_ms = head->time_ms;
        return DOM_OK;
    }
    /* Times may go back a little between two writers; a stretch is measured from the latest. */
    add(gaps, gaps->last_ms, head->time_ms, index);
    if (head->time_ms > gaps->last_ms) {
        gaps->last_ms = head->time_ms;
    }
    return DOM_OK;
}

enum dom_code dom_gaps_find(struct dom_gaps *gaps, const struct dom_log_walk *walk, int64_t max_ms,
                            struct dom_error *err)
{
    gaps->max_ms = max_ms;
    return dom_log_walk(walk, look, gaps, err);
}

void dom_gaps_add_ends(struct dom_gaps *gaps, int64_t from_ms, int64_t until_ms)
{
    if (gaps->num_entries == 0) {
        add(gaps, from_ms, until_ms, 0);
        return;
    }
    /* Stretches are kept in the order of time: the one before the first goes in front. */
    size_t before = gaps->num_gaps;
    add(gaps, from_ms, gaps->first_ms, 0);
    if (gaps->num_gaps > before && before > 0) {
        struct dom_gap front = gaps->gaps[before];
        memmove(gaps->gaps + 1, gaps->gaps, before * sizeof(gaps->gaps[0]));
        gaps->gaps[0] = front;
    }
    add(gaps, gaps->last_ms, until_ms, gaps->num_entries);
}

static enum dom_code count(void *arg, uint64_t index, struct dom_slice entry,
                           const struct dom_entry_head *head, struct dom_error *err)
{
    struct dom_gaps *gaps = arg;
    size_t low = 0;
    size_t high = gaps->num_gaps;

    (void)index;
    (void)entry;
    (void)err;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (gaps->gaps[mid].until_ms <= head->time_ms) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low < gaps->num_gaps && gaps->gaps[low].from_ms < head->time_ms) {
        gaps->gaps[low].others++;
    }
    return DOM_OK;
}

enum dom_code dom_gaps_count(struct dom_gaps *gaps, const struct dom_log_walk *walk,
                             struct dom_error *err)
{
    return gaps->num_gaps == 0 ? DOM_OK : dom_log_walk(walk, count, gaps, err);
}
