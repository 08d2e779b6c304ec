#include "router/service/limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define PREFIX_BYTES_MAX (DOM_POLICY_NAME_BYTES_MAX + 48U)

/* The number of the window that holds the time. */
static int64_t window_of(const struct dom_policy_limit *limit, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;

    if (!limit->calendar || limit->calendar_unit == 'D') {
        int64_t length = limit->period_ms > 0 ? limit->period_ms : 86400000;
        return time_ms / length;
    }
    (void)gmtime_r(&seconds, &tm);
    return limit->calendar_unit == 'Y' ? tm.tm_year : (int64_t)tm.tm_year * 12 + tm.tm_mon;
}

static size_t make_prefix(char *out, const struct dom_policy *policy,
                          const struct dom_policy_limit *limit, int64_t window)
{
    int len = snprintf(out, PREFIX_BYTES_MAX, "%s/%" PRIu64 "/%" PRId64 "/",
                       dom_policy_rule_name(policy, limit->rule), limit->records, window);

    return len < 0 ? 0 : (size_t)len;
}

static bool is_pending(const struct dom_limit_table *table, dom_store_region region,
                       struct dom_slice prefix, struct dom_slice key, uint64_t *extra)
{
    bool found = false;

    *extra = 0;
    for (size_t i = 0; i < table->num_pending; i++) {
        const struct dom_limit_pending *one = &table->pending[i];
        if (one->region != region || one->prefix_len != prefix.len ||
            memcmp(one->key.data, prefix.data, prefix.len) != 0) {
            continue;
        }
        *extra += 1;
        found = found || dom_slice_eq(one->key, key);
    }
    return found;
}

/* Counts one window. *seen: this subject is in it already. */
static enum dom_code count_window(const struct dom_limit_table *table,
                                  struct dom_store_session *session, dom_store_region region,
                                  struct dom_slice prefix, struct dom_slice key, uint64_t *count,
                                  bool *seen, struct dom_error *err)
{
    uint64_t extra = 0;

    enum dom_code rc = dom_store_limit_seen(session, region, prefix, key, count, seen, err);
    if (rc != DOM_OK) {
        return rc;
    }
    *seen = is_pending(table, region, prefix, key, &extra) || *seen;
    *count += extra;
    return DOM_OK;
}

static enum dom_code check_one(struct dom_limit_table *table, struct dom_store_session *session,
                               dom_store_region region, const struct dom_policy *policy,
                               const struct dom_policy_limit *limit, struct dom_slice member,
                               int64_t time_ms, struct dom_arena *arena, struct dom_slice *keyp,
                               struct dom_error *err)
{
    char prefix[PREFIX_BYTES_MAX];
    int64_t window = window_of(limit, time_ms);
    uint64_t count = 0;
    uint64_t before = 0;
    bool seen = false;
    bool seen_before = false;

    *keyp = dom_slice_of(NULL, 0);
    size_t len = make_prefix(prefix, policy, limit, window);
    char *key = dom_arena_printf(arena, "%.*s%.*s", (int)len, prefix, (int)member.len,
                                 (const char *)member.data);
    if (key == NULL || table->num_pending >= DOM_LIMIT_IN_FLIGHT_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "too many limited accesses in flight");
    }
    struct dom_slice whole = dom_slice_str(key);
    enum dom_code rc = count_window(table, session, region, dom_slice_of(prefix, len), whole,
                                    &count, &seen, err);
    if (rc != DOM_OK || seen) {
        return rc;
    }
    if (!limit->calendar) {
        size_t old_len = make_prefix(prefix, policy, limit, window - 1);
        char *old = dom_arena_printf(arena, "%.*s%.*s", (int)old_len, prefix, (int)member.len,
                                     (const char *)member.data);
        rc = old == NULL ? DOM_FAIL(err, DOM_RESOURCE, "the request needs too much memory")
                         : count_window(table, session, region, dom_slice_of(prefix, old_len),
                                        dom_slice_str(old), &before, &seen_before, err);
        if (rc != DOM_OK) {
            return rc;
        }
    }
    if (count + before >= limit->records) {
        return DOM_FAIL(err, DOM_LIMIT_REACHED,
                        "rule \"%s\" lets %" PRIu64 " through in its period, and they are used up",
                        dom_policy_rule_name(policy, limit->rule), limit->records);
    }
    table->pending[table->num_pending++] =
        (struct dom_limit_pending){.key = whole, .prefix_len = len, .region = region};
    *keyp = whole;
    return DOM_OK;
}

enum dom_code dom_limit_check(struct dom_limit_table *table, struct dom_store_session *session,
                              dom_store_region region, const struct dom_policy *policy,
                              const struct dom_policy_cell *cell, struct dom_slice subject,
                              struct dom_slice access_id, int64_t time_ms, struct dom_arena *arena,
                              struct dom_slice *keys, size_t *num_keysp, dom_policy_id *rulep,
                              struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    *num_keysp = 0;
    *rulep = DOM_POLICY_NONE;
    for (size_t i = 0; cell != NULL && i < cell->num_limits && rc == DOM_OK; i++) {
        const struct dom_policy_limit *limit = &cell->limits[i];
        struct dom_slice key;
        rc = *num_keysp >= 2 * DOM_OBLIGATIONS_MAX
                 ? DOM_FAIL(err, DOM_RESOURCE, "too many limits on one access")
                 : check_one(table, session, region, policy, limit,
                             limit->count_subjects ? subject : access_id, time_ms, arena, &key, err);
        if (rc != DOM_OK) {
            *rulep = limit->rule;
        } else if (key.len > 0) {
            keys[(*num_keysp)++] = key;
        }
    }
    if (rc != DOM_OK) {
        dom_limit_settle(table, keys, *num_keysp);
        *num_keysp = 0;
    }
    return rc;
}

void dom_limit_settle(struct dom_limit_table *table, const struct dom_slice *keys, size_t num_keys)
{
    for (size_t k = 0; k < num_keys; k++) {
        for (size_t i = 0; i < table->num_pending; i++) {
            if (table->pending[i].key.data == keys[k].data) {
                table->pending[i] = table->pending[--table->num_pending];
                break;
            }
        }
    }
}
