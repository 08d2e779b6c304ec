/* Which entries of a log are asked for, and the walk to them; ListEntries and ExportEntries share
 * it, so that both take the same filters and refuse them with the same words. */
#include "base/assert.h"
#include "router/core/wire.h"
#include "router/service/internal.h"

static bool refuse(struct dom_turn *turn, const char *path, const char *why)
{
    (void)dom_refuse(&turn->refusal, DOM_INVALID, path, "%s", why);
    return false;
}

/* A person or record by its name: the region's keys make the hashes that entries have. */
static bool take_subject(struct dom_turn *turn, dom_store_region region,
                         const struct dom_entries_ask *ask, struct dom_entries_filter *out)
{
    struct dom_export_filter *filter = &out->filter;

    if ((ask->subject_kind.len == 0) != (ask->subject_id.len == 0)) {
        return refuse(turn, "subject_id", "subject_kind and subject_id go together");
    }
    if (ask->subject_id.len == 0) {
        return true;
    }
    size_t num = dom_store_subject_hashes(turn->router->session, region,
                                          dom_pb_slice(ask->subject_kind),
                                          dom_pb_slice(ask->subject_id), out->subjects);
    DOM_ASSERT(num > 0); /* the newest cannot be destroyed; none would ask for everything */
    if (filter->num_where + num > DOM_EXPORT_WHERE_MAX) {
        (void)dom_refuse(&turn->refusal, DOM_INVALID, "where", "over %u conditions",
                         DOM_EXPORT_WHERE_MAX);
        return false;
    }
    for (size_t i = 0; i < num; i++) {
        filter->where[filter->num_where++] = (struct dom_export_where){
            .key = DOM_EXPORT_subject, .value = dom_slice_str(out->subjects[i])};
    }
    return true;
}

bool dom_entries_take(struct dom_turn *turn, dom_store_region region,
                      const struct dom_entries_ask *ask, uint64_t size,
                      struct dom_entries_filter *out)
{
    struct dom_export_filter *filter = &out->filter;
    struct dom_error err = {0};

    dom_export_filter_init(filter);
    filter->from_ms = ask->from_time_ms;
    filter->until_ms = ask->until_time_ms;
    filter->first = ask->from_index;
    filter->end = ask->end_index != 0 && ask->end_index < size ? ask->end_index : size;
    for (size_t i = 0; i < ask->num_where; i++) {
        if (dom_export_filter_add(filter, dom_pb_slice(ask->where[i]), &err) != DOM_OK) {
            return refuse(turn, "where", err.message);
        }
    }
    if (ask->from_time_ms < 0 || ask->until_time_ms < 0) {
        return refuse(turn, ask->from_time_ms < 0 ? "from_time_ms" : "until_time_ms",
                      "a time before 1970");
    }
    if (!take_subject(turn, region, ask, out)) {
        return false;
    }
    if (filter->first > filter->end) {
        (void)dom_refuse(&turn->refusal, DOM_INVALID, "from_index",
                         "beyond the end of what is asked for or there (%llu)",
                         (unsigned long long)filter->end);
        return false;
    }
    return true;
}

enum dom_code dom_entries_walk(struct dom_store *store, dom_store_region region, uint64_t size,
                               const struct dom_export_filter *filter, bool use_index,
                               dom_log_each_fn *each, void *arg, struct dom_error *err)
{
    struct dom_tiledir tiledir = {0};
    struct dom_log_walk walk = {.tiledir = &tiledir, .filter = filter, .use_index = use_index};

    enum dom_code rc =
        dom_tiledir_init(&tiledir, dom_store_log_dir(store, region), size, err);
    if (rc == DOM_OK) {
        rc = dom_log_walk(&walk, each, arg, err);
    }
    dom_tiledir_cleanup(&tiledir);
    return rc;
}

void dom_entries_put(struct dom_buffer *out, unsigned field, uint64_t index,
                     struct dom_slice entry)
{
    size_t at = dom_wire_begin(out, field);

    dom_wire_uint(out, 1, index);
    dom_wire_bytes(out, 2, entry);
    dom_wire_end(out, at);
}
