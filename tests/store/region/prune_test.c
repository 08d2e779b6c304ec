/* Retention of the log: what is old goes, its hashes and all proofs stay, what is held stays, and
 * pruning cannot be taken for loss nor loss for pruning (P5). */
#include "tests/store/region/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/log.h"
#include "store/audit/pruned.h"
#include "store/audit/verify.h"

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define KEEP_MS 60000
#define WAIT_MS 30000U
#define NOW_MS  INT64_C(1700000000000)

static int64_t keep_ms(void *context)
{
    (void)context;
    return KEEP_MS;
}

static int setup(void **state)
{
    struct harness *h = malloc(sizeof(*h));

    harness_init(h);
    h->options.prune_interval_ms = 20;
    h->options.log_keep_ms = keep_ms;
    h->wall_ms = NOW_MS;
    *state = h;
    return 0;
}

/* Stops the purger of r0 between finding out what may go, of which there is something at NOW_MS, and
 * telling it: there it asks for its policy's term, then for the time of the entry. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool armed;
    bool next;
    bool stopped;
    bool placed; /* a hold, meanwhile */
    int64_t now_ms;
} s_gap = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void set_gap(bool *what, bool value)
{
    (void)pthread_mutex_lock(&s_gap.lock);
    *what = value;
    (void)pthread_cond_broadcast(&s_gap.changed);
    (void)pthread_mutex_unlock(&s_gap.lock);
}

/* False: it has not come to be in time. */
static bool await_gap(const bool *what, unsigned wait_ms)
{
    struct timespec until;
    int late = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&s_gap.lock);
    while (!*what && late == 0) {
        late = pthread_cond_timedwait(&s_gap.changed, &s_gap.lock, &until);
    }
    bool is = *what;
    (void)pthread_mutex_unlock(&s_gap.lock);
    return is;
}

static int64_t gap_keep_ms(void *context)
{
    (void)context;
    (void)pthread_mutex_lock(&s_gap.lock);
    s_gap.next = s_gap.armed && s_gap.now_ms == NOW_MS;
    (void)pthread_mutex_unlock(&s_gap.lock);
    return KEEP_MS;
}

static int64_t gap_wall_ms(const struct dom_clock *clock)
{
    const struct harness *h = clock->impl;
    int64_t now = h->wall_ms;
    char name[16] = "";

    (void)pthread_getname_np(pthread_self(), name, sizeof(name));
    if (strcmp(name, "purger:r0") != 0) {
        return now;
    }
    (void)pthread_mutex_lock(&s_gap.lock);
    s_gap.now_ms = now;
    s_gap.stopped = s_gap.next && s_gap.armed;
    (void)pthread_cond_broadcast(&s_gap.changed);
    while (s_gap.stopped && s_gap.armed) {
        (void)pthread_cond_wait(&s_gap.changed, &s_gap.lock);
    }
    (void)pthread_mutex_unlock(&s_gap.lock);
    return now;
}

static int teardown(void **state)
{
    struct harness *h = *state;

    set_gap(&s_gap.armed, false);
    harness_cleanup(h);
    dom_log_set_level(DOM_LOG_ERROR);
    free(h);
    return 0;
}

static uint64_t now_ms(void)
{
    return dom_clock_monotonic_us(dom_clock_system()) / 1000;
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&pause, NULL);
}

static void await_first(struct harness *h, uint64_t first)
{
    uint64_t until = now_ms() + WAIT_MS;

    while (dom_store_log_first(h->store, 0) != first) {
        if (now_ms() > until) {
            fail_msg("first is %llu, not %llu",
                     (unsigned long long)dom_store_log_first(h->store, 0),
                     (unsigned long long)first);
        }
        pause_ms(2);
    }
}

/* Several passes of the purger. */
static void stays(struct harness *h, uint64_t first)
{
    for (int i = 0; i < 20; i++) {
        pause_ms(10);
        assert_int_equal(dom_store_log_first(h->store, 0), first);
    }
}

static void append(struct harness *h, int64_t time_ms, const char *mark, size_t count)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "{\"id\":\"%s\",\"time\":%lld}", mark, (long long)time_ms);
    harness_append_text(h, text, count);
}

static const char *s_folder = "r0/audit"; /* that verify looks at */

static enum dom_code verify(struct harness *h, struct dom_verify_result *result)
{
    struct dom_note_key key;

    assert_int_equal(dom_note_key_parse(&key, dom_slice_str(dom_store_log_vkey(h->store, 0)), NULL),
                     DOM_OK);
    struct dom_verify_options options = {
        .dir = harness_path(h, s_folder), .keys = &key, .num_keys = 1, .opaque_entries = true};
    enum dom_code rc = dom_log_verify(&options, result, &h->err);
    dom_note_key_cleanup(&key);
    return rc;
}

static void finds(struct harness *h, const char *part)
{
    struct dom_verify_result result;

    assert_int_equal(verify(h, &result), DOM_TAMPERED);
    if (strstr(result.why, part) == NULL) {
        fail_msg("\"%s\" (%s) does not say \"%s\"", result.why, result.bad_path, part);
    }
}

/* Every entry, also one that is gone, is proven in the newest tree. */
static void all_proofs_hold(struct harness *h)
{
    struct dom_verify_result result;
    struct dom_buffer hashes = {0};

    assert_int_equal(verify(h, &result), DOM_OK);
    uint64_t size = result.head.size;
    for (uint64_t at = 0; at < size; at += 17) {
        struct dom_proof proof = {0};
        struct dom_hash leaf;
        dom_buffer_clear(&hashes);
        assert_int_equal(
            dom_store_log_prove_inclusion(h->store, 0, at, &size, leaf.bytes, &hashes, &h->err),
            DOM_OK);
        proof.num_hashes = (unsigned)(hashes.len / DOM_HASH_SIZE);
        memcpy(proof.hashes, hashes.data, hashes.len);
        assert_int_equal(dom_check_inclusion(&proof, at, size, &leaf, &result.head.root, NULL),
                         DOM_OK);
    }
    dom_buffer_cleanup(&hashes);
}

static bool count_entry(void *context, uint64_t index, struct dom_slice entry)
{
    uint64_t *first = context;

    (void)entry;
    if (*first == UINT64_MAX) {
        *first = index;
    }
    return true;
}

static void await_open(struct harness *h)
{
    struct dom_store_stats stats = {.closed = 1};
    uint64_t until = now_ms() + WAIT_MS;

    while (stats.closed != 0) {
        assert_true(now_ms() < until);
        pause_ms(2);
        dom_store_stats(h->store, 0, &stats);
    }
}

static void old_entries_go_and_their_hashes_stay(void **state)
{
    struct harness *h = *state;
    struct dom_verify_result result;
    uint64_t first = UINT64_MAX;

    harness_open(h, 1);
    append(h, NOW_MS - KEEP_MS - 1000, "an-old-entry", 700); /* after the first, the genesis */
    append(h, NOW_MS - 5, "a-new-entry", 600);
    harness_settle(h);
    h->wall_ms = NOW_MS + KEEP_MS - 10; /* the genesis entry is old now, the new ones are not */
    stays(h, 0);                        /* the genesis entry bears the time at which it was made */
    h->wall_ms = NOW_MS + 1;
    harness_close(h);
    harness_cleanup(h);

    /* A genesis that is old as well. */
    harness_init(h);
    h->options.log_keep_ms = keep_ms;
    h->wall_ms = NOW_MS - 2 * KEEP_MS;
    harness_open(h, 1);
    append(h, NOW_MS - KEEP_MS - 1000, "an-old-entry", 700);
    append(h, NOW_MS - 5, "a-new-entry", 600);
    harness_settle(h);
    harness_close(h);
    assert_true(harness_grep(h, "r0", "an-old-entry") > 0);
    h->options.prune_interval_ms = 20;
    h->wall_ms = NOW_MS;
    harness_open(h, 1);
    await_first(h, 512); /* 512 to 700 share a bundle with new ones */
    harness_settle(h);
    all_proofs_hold(h);
    assert_int_equal(verify(h, &result), DOM_OK);
    assert_int_equal(result.first_entry, 512);
    assert_int_equal(result.num_entries, result.head.size - 512);
    assert_int_equal(result.num_entries_good, result.num_entries);
    assert_int_equal(dom_store_log_entries(h->store, 0, 0, 1000, count_entry, &first, &h->err),
                     DOM_OK);
    assert_int_equal(first, 512);
    harness_shell(h, "test ! -e r0/audit/tile/entries/000 && test ! -e r0/audit/tile/entries/001");
    harness_shell(h, "test -e r0/audit/tile/0/000 && test -e r0/audit/tile/entries/002");
    /* It goes on, also after a start, and with files that were lost and are written again. */
    for (int i = 0; i < 2; i++) {
        append(h, NOW_MS, "more", 300);
        harness_settle(h);
        all_proofs_hold(h);
        harness_close(h);
        harness_shell(h, "rm -r r0/audit/tile");
        harness_open(h, 1);
        await_open(h); /* P3: no entry is taken before what was lost is written again */
        append(h, NOW_MS, "more", 1);
        harness_settle(h);
        uint64_t until = now_ms() + WAIT_MS;
        while (verify(h, &result) != DOM_OK) {
            assert_true(now_ms() < until);
            pause_ms(20);
        }
        assert_int_equal(result.first_entry, 512);
        assert_int_equal(dom_store_log_first(h->store, 0), 512);
    }
    /* The statement of what was pruned is written again too, while the store runs. */
    harness_shell(h, "mv r0/audit gone && rm -r gone");
    uint64_t until = now_ms() + WAIT_MS;
    while (verify(h, &result) != DOM_OK) {
        assert_true(now_ms() < until);
        pause_ms(20);
    }
    assert_int_equal(result.first_entry, 512);
}

/* A log of 4 bundles of old entries, and what follows; pruned to 768. */
static void prune(struct harness *h)
{
    h->wall_ms = NOW_MS - 2 * KEEP_MS;
    harness_open(h, 1);
    append(h, NOW_MS - KEEP_MS - 1000, "old", 1100);
    harness_settle(h);
    h->wall_ms = NOW_MS;
    await_first(h, 768);
    harness_settle(h);
}

static void loss_is_no_pruning_and_pruning_no_loss(void **state)
{
    struct harness *h = *state;
    struct dom_verify_result result;
    struct dom_note_signer other;
    struct dom_buffer note = {0};
    static const uint8_t seed[32] = {3};
    const struct dom_pruned more = {.first = 1024, .entry = 1101};

    prune(h);
    assert_int_equal(verify(h, &result), DOM_OK);
    harness_shell(h, "cp -r r0/audit good && cp -r r0/audit spoiled");
    s_folder = "spoiled"; /* a running store would mend its own */
    harness_shell(h, "rm spoiled/tile/entries/003");
    finds(h, "cannot open");
    harness_shell(h, "cp good/tile/entries/003 spoiled/tile/entries/ && rm spoiled/pruned");
    finds(h, "cannot open");
    harness_shell(h, "sed 's/^first 768/first 512/' good/pruned > spoiled/pruned");
    finds(h, "does not verify");
    harness_shell(h, "sed 's/^first 768/first 1024/' good/pruned > spoiled/pruned");
    finds(h, "does not verify");
    harness_shell(h, "printf 'nonsense\\n' > spoiled/pruned");
    finds(h, "note");
    /* By another key that takes the log's name. */
    assert_int_equal(dom_note_signer_init(&other, dom_slice_str(dom_store_log_origin(h->store, 0)),
                                          DOM_KEY_ED25519, seed, NULL),
                     DOM_OK);
    assert_int_equal(dom_pruned_sign(&other, &more, &note, NULL), DOM_OK);
    assert_int_equal(dom_file_write_atomic(harness_path(h, "spoiled/pruned"),
                                           dom_buffer_slice(&note), 0600, NULL),
                     DOM_OK);
    finds(h, "not signed by a known key");
    dom_note_signer_cleanup(&other);
    dom_buffer_cleanup(&note);
    /* The hashes of what is gone are looked at like all others. */
    harness_shell(h, "cp good/pruned spoiled/ && cp good/tile/0/001 spoiled/tile/0/000");
    finds(h, "not that of the tile below it");
    harness_shell(h, "cp good/tile/0/000 spoiled/tile/0/000");
    assert_int_equal(verify(h, &result), DOM_OK);
    s_folder = "r0/audit";
}

/* Whoever has the key can sign more than the log says; the log must say it. */
static void a_statement_without_its_entry_is_refused(void **state)
{
    struct harness *h = *state;
    char seed_text[128] = "";
    struct dom_buffer note = {0};
    struct dom_note_signer own;
    uint8_t seed[32];
    size_t len = 0;
    const struct dom_pruned more = {.first = 1024, .entry = 1100};

    prune(h);
    harness_shell(h, "sed -n 's/^sign 1 //p' keys/r0.key > seed");
    FILE *file = fopen(harness_path(h, "seed"), "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%127s", seed_text), 1);
    assert_int_equal(fclose(file), 0);
    assert_true(dom_base64_decode(seed, sizeof(seed), &len, dom_slice_str(seed_text)));
    assert_int_equal(dom_note_signer_init(&own, dom_slice_str(dom_store_log_origin(h->store, 0)),
                                          DOM_KEY_ED25519, seed, NULL),
                     DOM_OK);
    assert_int_equal(dom_pruned_sign(&own, &more, &note, NULL), DOM_OK);
    assert_int_equal(dom_file_write_atomic(harness_path(h, "r0/audit/pruned"),
                                           dom_buffer_slice(&note), 0600, NULL),
                     DOM_OK);
    finds(h, "the entry does not say");
    dom_note_signer_cleanup(&own);
    dom_buffer_cleanup(&note);
}

static void place(struct harness *h, const char *id, uint64_t first, uint64_t end,
                  const char *subject, int64_t until_ms)
{
    struct dom_store_hold hold = {.first = first, .end = end, .until_ms = until_ms};

    (void)snprintf(hold.id, sizeof(hold.id), "%s", id);
    (void)snprintf(hold.subject, sizeof(hold.subject), "%s", subject);
    (void)snprintf(hold.reason, sizeof(hold.reason), "case 7");
    if (dom_store_place_hold(h->store, 0, &hold, DOM_SLICE_LIT("an operator"), &h->err) != DOM_OK) {
        fail_msg("%s", h->err.message);
    }
}

static void release(struct harness *h, const char *id)
{
    assert_int_equal(dom_store_release_hold(h->store, 0, id, DOM_SLICE_LIT("an operator"), &h->err),
                     DOM_OK);
}

/* 1,280 old entries; hmac:1:wanted is in the third bundle. */
static void open_held(struct harness *h)
{
    h->wall_ms = NOW_MS - KEEP_MS - 1000;
    harness_open(h, 1);
    append(h, NOW_MS - 2 * KEEP_MS, "old", 599);
    append(h, NOW_MS - 2 * KEEP_MS, "hmac:1:wanted", 1);
    append(h, NOW_MS - 2 * KEEP_MS, "old", 680);
}

static void holds_keep_what_they_name(void **state)
{
    struct harness *h = *state;

    h->options.log_keep_ms = NULL; /* nothing goes while this is set up */
    open_held(h);
    place(h, "range", 300, 301, "", 0);
    place(h, "person", 0, 0, "hmac:1:wanted", 0);
    place(h, "lapses", 700, 1000, "", NOW_MS + 5000);
    harness_settle(h);
    harness_close(h);
    h->options.log_keep_ms = keep_ms;
    h->wall_ms = NOW_MS;
    harness_open(h, 1); /* and they outlive the process */
    await_first(h, 256);
    stays(h, 256);
    release(h, "range");
    await_first(h, 512);
    stays(h, 512);
    release(h, "person");
    stays(h, 512); /* the third one overlaps the same bundle */
    h->wall_ms = NOW_MS + 5000;
    await_first(h, 1024);
    all_proofs_hold(h);
}

static void *place_late(void *arg)
{
    struct harness *h = arg;
    struct dom_store_hold hold = {.id = "late", .reason = "case 8"};

    if (dom_store_place_hold(h->store, 0, &hold, DOM_SLICE_LIT("op"), NULL) == DOM_OK) {
        set_gap(&s_gap.placed, true);
    }
    return NULL;
}

struct order {
    uint64_t pruned;
    uint64_t held;
};

static bool note_order(void *context, uint64_t index, struct dom_slice entry)
{
    struct order *order = context;

    if (memmem(entry.data, entry.len, "\"action\":\"prune\"", 16) != NULL) {
        order->pruned = index;
    } else if (memmem(entry.data, entry.len, "\"hold\":\"late\"", 13) != NULL) {
        order->held = index;
    }
    return true;
}

/* Whoever reads the log sees a hold before the pruning only if the pruning heeded it. */
static void a_hold_is_not_placed_between_looking_and_telling(void **state)
{
    struct harness *h = *state;
    struct order order = {0};
    pthread_t thread;

    h->clock.wall_ms = gap_wall_ms;
    h->options.log_keep_ms = gap_keep_ms;
    open_held(h);
    harness_settle(h);
    set_gap(&s_gap.armed, true);
    h->wall_ms = NOW_MS;
    assert_true(await_gap(&s_gap.stopped, WAIT_MS));
    assert_int_equal(pthread_create(&thread, NULL, place_late, h), 0);
    assert_false(await_gap(&s_gap.placed, 300)); /* nobody tells that nothing happens */
    set_gap(&s_gap.armed, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(s_gap.placed);
    await_first(h, 1024);
    harness_settle(h);
    assert_int_equal(dom_store_log_entries(h->store, 0, 1024, 100000, note_order, &order, &h->err),
                     DOM_OK);
    assert_true(order.pruned > 0 && order.held > order.pruned);
}

static void holds_are_entries_and_bad_ones_are_refused(void **state)
{
    struct harness *h = *state;
    struct dom_store_hold *holds = calloc(DOM_HOLDS_MAX, sizeof(*holds));
    struct dom_store_hold bad = {.id = "x", .reason = "r"};
    struct dom_slice who = DOM_SLICE_LIT("op");
    size_t count = 0;

    h->options.log_keep_ms = NULL;
    open_held(h);
    uint64_t before = dom_store_log_size(h->store, 0);
    place(h, "one", 1, 2, "", 0);
    release(h, "one");
    assert_int_equal(dom_store_log_size(h->store, 0), before + 2);
    assert_int_equal(dom_store_release_hold(h->store, 0, "one", who, &h->err), DOM_NOT_FOUND);
    static const struct {
        const char *id;
        const char *subject;
        const char *reason;
        uint64_t end;
        int64_t until;
    } cases[] = {
        {"", "", "r", 0, 0},           {"A", "", "r", 0, 0}, {"a b", "", "r", 0, 0},
        {"a", "person", "r", 0, 0},    {"a", "", "", 0, 0},  {"a", "", "\xff", 0, 0},
        {"a", "hmac:\"x", "r", 0, 0},  {"a", "", "r", 5, 0}, {"a", "", "r", 0, -1},
        {"a", "", "r", UINT64_MAX, 0},
    };
    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        bad.first = 5;
        bad.end = cases[i].end;
        bad.until_ms = cases[i].until;
        (void)snprintf(bad.id, sizeof(bad.id), "%s", cases[i].id);
        (void)snprintf(bad.subject, sizeof(bad.subject), "%s", cases[i].subject);
        (void)snprintf(bad.reason, sizeof(bad.reason), "%s", cases[i].reason);
        assert_int_equal(dom_store_place_hold(h->store, 0, &bad, who, &h->err), DOM_INVALID);
    }
    assert_int_equal(dom_store_log_size(h->store, 0), before + 2);
    for (unsigned i = 0; i < DOM_HOLDS_MAX; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "h%03u", i);
        place(h, id, i, 0, "", 0);
    }
    bad = (struct dom_store_hold){.id = "h000", .reason = "r"};
    assert_int_equal(dom_store_place_hold(h->store, 0, &bad, who, &h->err), DOM_EXISTS);
    bad = (struct dom_store_hold){.id = "more", .reason = "r"};
    assert_int_equal(dom_store_place_hold(h->store, 0, &bad, who, &h->err), DOM_RESOURCE);
    assert_int_equal(dom_store_holds(h->store, 0, holds, &count, &h->err), DOM_OK);
    assert_int_equal(count, DOM_HOLDS_MAX);
    assert_string_equal(holds[7].id, "h007");
    assert_int_equal(holds[7].first, 7);
    free(holds);
}

static void the_bytes_are_gone_from_database_and_journal_too(void **state)
{
    struct harness *h = *state;

    h->wall_ms = NOW_MS - 2 * KEEP_MS;
    harness_open(h, 1);
    append(h, NOW_MS - KEEP_MS - 1000, "bytes-to-go", 512);
    append(h, NOW_MS, "other-bytes", 800);
    harness_settle(h);
    assert_int_equal(harness_grep(h, "r0/journal", "bytes-to-go"), 1);
    h->wall_ms = NOW_MS;
    await_first(h, 512);
    uint64_t until = now_ms() + WAIT_MS;
    /* Entry 512 is the last of the old ones, in a bundle with new ones: kept, once. */
    while (harness_grep(h, "r0/db", "bytes-to-go") > 1 ||
           harness_grep(h, "r0/journal", "bytes-to-go") > 0) {
        assert_true(now_ms() < until);
        pause_ms(20);
    }
    harness_close(h);
    /* A process that ended before this was done leaves it to the next. */
    harness_shell(h, "printf bytes-to-go | dd of=r0/journal seek=9 conv=notrunc 2>/dev/null");
    assert_int_equal(harness_grep(h, "r0/journal", "bytes-to-go"), 1);
    harness_open(h, 1);
    until = now_ms() + WAIT_MS;
    while (harness_grep(h, "r0/journal", "bytes-to-go") > 0) {
        assert_true(now_ms() < until);
        pause_ms(20);
    }
    harness_close(h);
}

static void await_copied(struct harness *h, size_t sink)
{
    struct dom_store_sink_stats stats = {0};
    uint64_t until = now_ms() + WAIT_MS;

    while (stats.entries < dom_store_log_size(h->store, 0)) {
        assert_true(now_ms() < until);
        pause_ms(2);
        dom_store_sink_stats(h->store, 0, sink, &stats);
    }
}

/* A copy that finds its next entry pruned could never go on. */
static void demanded_copies_come_first(void **state)
{
    struct harness *h = *state;
    static char dirs[2][300]; /* static: the store is closed by the teardown */
    static const struct dom_store_sink sinks[] = {{.name = "s0", .region = "r0", .dir = dirs[0]},
                                                  {.name = "s1", .region = "r0", .dir = dirs[1]}};
    const struct dom_store_need any = {.num = 1, .one_of = {1 | 2}};
    const struct dom_store_need one = {.num = 1, .one_of = {2}};

    dom_log_set_level(DOM_LOG_ERROR + 1); /* a copy that is away is told of again and again */
    harness_shell(h, "mkdir s0 s1");
    (void)snprintf(dirs[0], sizeof(dirs[0]), "%s", harness_path(h, "s0"));
    (void)snprintf(dirs[1], sizeof(dirs[1]), "%s", harness_path(h, "s1"));
    h->options.sinks = sinks;
    h->options.num_sinks = 2;
    h->wall_ms = NOW_MS - 2 * KEEP_MS;
    harness_open(h, 1);
    dom_store_require(h->store, 0, &any);
    append(h, NOW_MS - KEEP_MS - 1000, "old", 300);
    await_copied(h, 0);
    harness_shell(h, "mv s0 away"); /* the other one is enough to go on with */
    append(h, NOW_MS - KEEP_MS - 1000, "old", 1000);
    harness_settle(h);
    h->wall_ms = NOW_MS;
    await_first(h, 256); /* it has those */
    stays(h, 256);
    harness_shell(h, "mv away s0");
    await_first(h, 1024);
    harness_shell(h, "mv s0 away");
    dom_store_require(h->store, 0, &one); /* one that nobody demands holds nobody up */
    append(h, NOW_MS - KEEP_MS - 1000, "old", 600);
    harness_settle(h);
    await_first(h, 1280); /* the bundle after it tells of the pruning before, which is new */
    all_proofs_hold(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(old_entries_go_and_their_hashes_stay),       T(loss_is_no_pruning_and_pruning_no_loss),
        T(a_statement_without_its_entry_is_refused),   T(holds_keep_what_they_name),
        T(a_hold_is_not_placed_between_looking_and_telling),
        T(holds_are_entries_and_bad_ones_are_refused), T(the_bytes_are_gone_from_database_and_journal_too),
        T(demanded_copies_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
