#include "router/service/limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"

#define DAY_MS           INT64_C(86400000)
#define PREFIX_BYTES_MAX (DOM_POLICY_NAME_BYTES_MAX + 56U)

/* One rule's limit in one period in one region. */
struct dom_limit_window {
    char prefix[PREFIX_BYTES_MAX]; /* of its members' keys */
    size_t prefix_len;
    dom_store_region region;
    uint64_t durable;   /* members on disk */
    uint64_t in_flight; /* members on their way there, each counted once */
    uint64_t used;      /* tick of the last use */
};

/* A member in flight. Several accesses of one subject share it: the first to land counts. */
struct dom_limit_member {
    struct dom_slice key; /* owned: it outlives the request that brought it first */
    dom_store_region region;
    uint32_t refs; /* 0: free slot */
    bool durable;
    uint16_t window;
};

static void free_key(struct dom_limit_member *member)
{
    void *memory = NULL;

    memcpy(&memory, &member->key.data, sizeof(memory)); /* the slice is const, the owner is not */
    free(memory);
    member->key = dom_slice_of(NULL, 0);
}

void dom_limit_table_init(struct dom_limit_table *table)
{
    memset(table, 0, sizeof(*table));
    table->windows = calloc(DOM_LIMIT_WINDOWS_MAX, sizeof(*table->windows));
    table->members = calloc(DOM_LIMIT_SLOTS, sizeof(*table->members));
    table->recent = calloc(DOM_LIMIT_RECENT, sizeof(*table->recent));
    DOM_ASSERT(table->windows != NULL);
    DOM_ASSERT(table->members != NULL);
    DOM_ASSERT(table->recent != NULL);
}

void dom_limit_table_cleanup(struct dom_limit_table *table)
{
    for (size_t i = 0; table->members != NULL && i < DOM_LIMIT_SLOTS; i++) {
        free_key(&table->members[i]);
    }
    free(table->windows);
    free(table->members);
    free(table->recent);
    memset(table, 0, sizeof(*table));
}

/* The number of the period that holds the time. */
static int64_t period_of(const struct dom_policy_limit *limit, int64_t time_ms)
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

/* A whole number and the slash behind it. */
static bool take_number(struct dom_slice *rest, int64_t *out)
{
    bool negative = rest->len > 0 && rest->data[0] == '-';
    size_t i = negative ? 1 : 0;
    int64_t value = 0;

    for (; i < rest->len && rest->data[i] >= '0' && rest->data[i] <= '9'; i++) {
        if (value > (INT64_MAX - 9) / 10) {
            return false;
        }
        value = value * 10 + (rest->data[i] - '0');
    }
    if (i == (negative ? 1U : 0U) || i == rest->len || rest->data[i] != '/') {
        return false;
    }
    *rest = dom_slice_of(rest->data + i + 1, rest->len - i - 1);
    *out = negative ? -value : value;
    return true;
}

bool dom_limit_key_over(struct dom_slice key, int64_t now_ms)
{
    const uint8_t *slash = key.len == 0 ? NULL : memchr(key.data, '/', key.len);
    struct dom_policy_limit limit = {0};
    int64_t period = 0;

    if (slash == NULL || (size_t)(slash - key.data) + 3 > key.len) {
        return false;
    }
    char unit = (char)slash[2];
    struct dom_slice rest = dom_slice_of(slash + 3, key.len - (size_t)(slash - key.data) - 3);
    limit.calendar = unit != '-';
    limit.calendar_unit = unit;
    if ((slash[1] != 's' && slash[1] != 'a') || unit == '\0' || strchr("-DMY", unit) == NULL ||
        !take_number(&rest, &limit.period_ms) || !take_number(&rest, &period)) {
        return false;
    }
    return period_of(&limit, now_ms - (1 + DOM_CLOCK_SLACK_DAYS) * DAY_MS) >
           period + (limit.calendar ? 0 : 1);
}

/* ---- windows ---- */

static struct dom_limit_window *oldest_idle(struct dom_limit_table *table)
{
    struct dom_limit_window *found = NULL;

    for (size_t i = 0; i < table->num_windows; i++) {
        struct dom_limit_window *one = &table->windows[i];
        if (one->in_flight == 0 && (found == NULL || one->used < found->used)) {
            found = one;
        }
    }
    return found;
}

/* The window of a period, its count read from the store when it is new here. */
static enum dom_code open_window(struct dom_limit_table *table, struct dom_store_session *session,
                                 dom_store_region region, const struct dom_policy *policy,
                                 const struct dom_policy_limit *limit, int64_t period,
                                 struct dom_limit_window **windowp, struct dom_error *err)
{
    char prefix[PREFIX_BYTES_MAX];
    bool seen = false;
    /* Not the number of records: a policy that changes it must not start the count anew. */
    int len = snprintf(prefix, sizeof(prefix), "%s/%c%c%" PRId64 "/%" PRId64 "/",
                       dom_policy_rule_name(policy, limit->rule),
                       limit->count_subjects ? 's' : 'a',
                       limit->calendar ? limit->calendar_unit : '-', limit->period_ms, period);

    *windowp = NULL;
    DOM_ASSERT(len > 0 && (size_t)len < sizeof(prefix));
    for (size_t i = 0; i < table->num_windows; i++) {
        struct dom_limit_window *one = &table->windows[i];
        if (one->region == region && one->prefix_len == (size_t)len &&
            memcmp(one->prefix, prefix, (size_t)len) == 0) {
            one->used = ++table->tick;
            *windowp = one;
            return DOM_OK;
        }
    }
    struct dom_limit_window *window = table->num_windows < DOM_LIMIT_WINDOWS_MAX
                                          ? &table->windows[table->num_windows]
                                          : oldest_idle(table);
    if (window == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "too many limits in use at once");
    }
    struct dom_limit_window fresh = {
        .prefix_len = (size_t)len, .region = region, .used = ++table->tick};
    memcpy(fresh.prefix, prefix, (size_t)len + 1);
    struct dom_slice bytes = dom_slice_of(prefix, (size_t)len);
    enum dom_code rc =
        dom_store_limit_seen(session, region, bytes, bytes, &fresh.durable, &seen, err);
    if (rc != DOM_OK) {
        return rc;
    }
    *window = fresh;
    if (window == &table->windows[table->num_windows]) {
        table->num_windows++;
    }
    *windowp = window;
    return DOM_OK;
}

/* ---- members in flight ---- */

static struct dom_limit_print print_of(dom_store_region region, struct dom_slice key)
{
    /* FNV-1a, and a second multiplicative hash with another start and constant. */
    struct dom_limit_print print = {UINT64_C(14695981039346656037) ^ (uint64_t)region,
                                    UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)region};

    for (size_t i = 0; i < key.len; i++) {
        print.low = (print.low ^ key.data[i]) * UINT64_C(1099511628211);
        print.high = (print.high + key.data[i]) * UINT64_C(0xD6E8FEB86659FD93);
        print.high ^= print.high >> 32;
    }
    return print;
}

static size_t slot_of(dom_store_region region, struct dom_slice key)
{
    struct dom_limit_print print = print_of(region, key);

    return (size_t)(print.low ^ (print.low >> 32)) & (DOM_LIMIT_SLOTS - 1);
}

/* ---- members known to be on disk ---- */

static bool is_recent(const struct dom_limit_table *table, struct dom_limit_print print)
{
    const struct dom_limit_print *at = &table->recent[print.low & (DOM_LIMIT_RECENT - 1)];

    return at->low == print.low && at->high == print.high;
}

static void remember(struct dom_limit_table *table, struct dom_limit_print print)
{
    table->recent[print.low & (DOM_LIMIT_RECENT - 1)] = print;
}

/* The member, or the free slot where it would stand. */
static struct dom_limit_member *find_member(struct dom_limit_table *table, dom_store_region region,
                                            struct dom_slice key)
{
    size_t slot = slot_of(region, key);

    while (table->members[slot].refs != 0 &&
           !(table->members[slot].region == region &&
             dom_slice_eq(table->members[slot].key, key))) {
        slot = (slot + 1) & (DOM_LIMIT_SLOTS - 1);
    }
    return &table->members[slot];
}

/* Frees a slot and moves what probing had put behind it, so that no search breaks off early. */
static void remove_member(struct dom_limit_table *table, struct dom_limit_member *member)
{
    size_t hole = (size_t)(member - table->members);
    size_t at = hole;

    free_key(member);
    for (;;) {
        at = (at + 1) & (DOM_LIMIT_SLOTS - 1);
        if (table->members[at].refs == 0) {
            break;
        }
        size_t ideal = slot_of(table->members[at].region, table->members[at].key);
        size_t from_ideal = (at - ideal) & (DOM_LIMIT_SLOTS - 1);
        size_t from_hole = (at - hole) & (DOM_LIMIT_SLOTS - 1);
        if (from_ideal >= from_hole) {
            table->members[hole] = table->members[at];
            hole = at;
        }
    }
    memset(&table->members[hole], 0, sizeof(table->members[hole]));
    table->num_members--;
}

static char *make_key(struct dom_arena *arena, const struct dom_limit_window *window,
                      struct dom_slice member)
{
    char *key = dom_arena_alloc(arena, window->prefix_len + member.len + 1);

    if (key != NULL) {
        memcpy(key, window->prefix, window->prefix_len);
        memcpy(key + window->prefix_len, member.data, member.len);
        key[window->prefix_len + member.len] = '\0';
    }
    return key;
}

/* Takes the access into the window, or refuses. *keyp stays empty when the member is on disk
 * already. */
static enum dom_code enter(struct dom_limit_table *table, struct dom_store_session *session,
                           const struct dom_policy *policy, const struct dom_policy_limit *limit,
                           struct dom_limit_window *window, uint64_t before,
                           struct dom_slice member, struct dom_arena *arena,
                           struct dom_slice *keyp, struct dom_error *err)
{
    bool seen = false;
    char *text = make_key(arena, window, member);

    if (text == NULL || table->num_members >= DOM_LIMIT_IN_FLIGHT_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "too many limited accesses at once");
    }
    struct dom_slice key = dom_slice_of(text, window->prefix_len + member.len);
    struct dom_limit_print print = print_of(window->region, key);
    if (is_recent(table, print)) {
        return DOM_OK;
    }
    struct dom_limit_member *slot = find_member(table, window->region, key);
    if (slot->refs > 0) {
        /* In flight for another access, which may fail: this one carries the key too. */
        slot->refs++;
        *keyp = key;
        return DOM_OK;
    }
    enum dom_code rc = dom_store_limit_seen(session, window->region, dom_slice_of(NULL, 0), key,
                                            NULL, &seen, err);
    if (rc == DOM_OK && seen) {
        remember(table, print);
    }
    if (rc != DOM_OK || seen) {
        return rc;
    }
    if (window->durable + window->in_flight + before >= limit->records) {
        return DOM_FAIL(err, DOM_LIMIT_REACHED,
                        "rule \"%s\" lets %" PRIu64 " through in its period, and they are used up",
                        dom_policy_rule_name(policy, limit->rule), limit->records);
    }
    uint8_t *owned = malloc(key.len);
    if (owned == NULL) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    memcpy(owned, key.data, key.len);
    *slot = (struct dom_limit_member){.key = dom_slice_of(owned, key.len),
                                      .region = window->region,
                                      .refs = 1,
                                      .window = (uint16_t)(window - table->windows)};
    table->num_members++;
    window->in_flight++;
    *keyp = key;
    return DOM_OK;
}

static enum dom_code check_one(struct dom_limit_table *table, struct dom_store_session *session,
                               dom_store_region region, const struct dom_policy *policy,
                               const struct dom_policy_limit *limit, struct dom_slice member,
                               int64_t time_ms, struct dom_arena *arena, struct dom_slice *keyp,
                               struct dom_error *err)
{
    struct dom_limit_window *window = NULL;
    int64_t period = period_of(limit, time_ms);
    uint64_t before = 0;
    enum dom_code rc = DOM_OK;

    if (!limit->calendar) {
        rc = open_window(table, session, region, policy, limit, period - 1, &window, err);
        before = rc == DOM_OK ? window->durable + window->in_flight : 0;
    }
    if (rc == DOM_OK) {
        rc = open_window(table, session, region, policy, limit, period, &window, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    return enter(table, session, policy, limit, window, before, member, arena, keyp, err);
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
        struct dom_slice key = {0};
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
        dom_limit_settle(table, region, keys, *num_keysp, false);
        *num_keysp = 0;
    }
    return rc;
}

void dom_limit_settle(struct dom_limit_table *table, dom_store_region region,
                      const struct dom_slice *keys, size_t num_keys, bool durable)
{
    for (size_t k = 0; k < num_keys; k++) {
        struct dom_limit_member *member = find_member(table, region, keys[k]);
        DOM_ASSERT(member->refs > 0);
        struct dom_limit_window *window = &table->windows[member->window];
        if (durable && !member->durable) {
            member->durable = true;
            window->durable++;
            window->in_flight--;
        }
        member->refs--;
        if (member->refs == 0) {
            if (!member->durable) {
                window->in_flight--;
            }
            remove_member(table, member);
        }
    }
}
