#include "tools/bench_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/gzip/gzip.h"
#include "base/log.h"
#include "store/audit/bundle.h"
#include "store/audit/event.h"
#include "store/store.h"
#include "tools/bench_entry.h"

#define REGIONS         13U
#define FIELD_BYTES     240U /* with names and framing a row of about 300 bytes */
#define ENTRIES         4096U /* different ones, taken in turn */
#define OUTSTANDING_MAX 1024U
#define SMALL_ROWS      100000U
#define GETS            300000U
#define ALL_ROWS        1000000U

/* One operation's memory, used again and again. */
#define BATCH_ENTRIES 64U /* of one operation of many entries */

struct slot {
    struct dom_store_op op;
    struct dom_store_field field;
    struct dom_store_receipt receipts[BATCH_ENTRIES];
    char id[24];
};

struct bench {
    FILE *out;
    char dir[256];
    struct dom_store *store;
    struct dom_store_session *session;
    dom_store_region regions[REGIONS];
    struct slot *slots;
    uint8_t value[FIELD_BYTES];
    struct dom_buffer entry_bytes;
    struct dom_slice entries[ENTRIES + BATCH_ENTRIES]; /* the first ones again at the end */
    size_t next_entry;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct dom_store_op *finished; /* under lock */
    size_t num_failed;
};

static double now_s(void)
{
    return (double)dom_clock_monotonic_us(dom_clock_system()) / 1e6;
}

/* Processor time of this thread: what a read costs, however busy the machine is. */
static double thread_s(void)
{
    struct timespec at;

    DOM_ASSERT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) == 0);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void figure(const struct bench *bench, const char *name, double value, const char *unit)
{
    (void)fprintf(bench->out, "store.%-42s %12.1f %s\n", name, value, unit);
    (void)fflush(bench->out);
}

static void post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    struct bench *bench = context;

    DOM_ASSERT(pthread_mutex_lock(&bench->lock) == 0);
    last->next = bench->finished;
    bench->finished = first;
    DOM_ASSERT(pthread_cond_signal(&bench->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&bench->lock) == 0);
}

static dom_store_set everywhere(void *context, struct dom_slice kind, const char *home,
                                struct dom_slice field)
{
    (void)context;
    (void)kind;
    (void)home;
    (void)field;
    return ~(dom_store_set)0;
}

static struct dom_store_op *take_finished(struct bench *bench)
{
    DOM_ASSERT(pthread_mutex_lock(&bench->lock) == 0);
    while (bench->finished == NULL) {
        DOM_ASSERT(pthread_cond_wait(&bench->wake, &bench->lock) == 0);
    }
    struct dom_store_op *chain = bench->finished;
    bench->finished = NULL;
    DOM_ASSERT(pthread_mutex_unlock(&bench->lock) == 0);
    return chain;
}

/* How one run of operations looks. */
struct load {
    enum dom_store_op_type type;
    size_t count;
    size_t outstanding;
    size_t first_id;
    size_t num_ids;     /* ids repeat after this many */
    size_t num_regions; /* homes, by id */
    dom_store_set targets;
    size_t num_entries; /* of each operation */
};

static void fill(struct bench *bench, const struct load *load, struct slot *slot, size_t at)
{
    size_t id = load->first_id + at % load->num_ids;
    struct dom_store_op *op = &slot->op;

    memset(op, 0, sizeof(*op));
    int len = snprintf(slot->id, sizeof(slot->id), "user-%zu", id);
    slot->field.name = DOM_SLICE_LIT("profile");
    slot->field.value = dom_slice_of(bench->value, sizeof(bench->value));
    op->type = load->type;
    op->region = bench->regions[id % load->num_regions];
    op->deadline_us = UINT64_MAX;
    op->kind = DOM_SLICE_LIT("user");
    op->id = dom_slice_of(slot->id, (size_t)len);
    memcpy(op->home, "DE", 3);
    op->fields = &slot->field;
    op->num_fields = 1;
    op->targets = load->targets;
    op->no_border = load->num_entries == 0;
    op->entries = bench->entries + bench->next_entry;
    bench->next_entry = (bench->next_entry + load->num_entries) % ENTRIES;
    op->num_entries = load->num_entries;
    op->receipts = slot->receipts;
    op->owner = slot;
}

/* Keeps `outstanding` operations under way; operations per second. */
static double run_load(struct bench *bench, const struct load *load)
{
    double start = now_s();
    size_t sent = 0;
    size_t got = 0;

    while (sent < load->outstanding && sent < load->count) {
        fill(bench, load, &bench->slots[sent], sent);
        DOM_ASSERT(dom_store_submit(bench->store, &bench->slots[sent].op, NULL) == DOM_OK);
        sent++;
    }
    while (got < load->count) {
        struct dom_store_op *op = take_finished(bench);
        while (op != NULL) {
            struct dom_store_op *next = op->next;
            bench->num_failed += op->code != DOM_OK;
            got++;
            if (sent < load->count) {
                fill(bench, load, op->owner, sent);
                DOM_ASSERT(dom_store_submit(bench->store, op, NULL) == DOM_OK);
                sent++;
            }
            op = next;
        }
    }
    return (double)load->count / (now_s() - start);
}

static double rss_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0;
    unsigned long resident = 0;

    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &size, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static enum dom_code open_store(struct bench *bench, struct dom_error *err)
{
    struct dom_store_options options = {.data_dir = bench->dir,
                                        .audit_origin = "bench.example",
                                        .post = post,
                                        .field_regions = everywhere,
                                        .context = bench};

    enum dom_code rc = dom_store_new(&bench->store, &options, err);
    for (size_t i = 0; i < REGIONS && rc == DOM_OK; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "region-%zu", i);
        rc = dom_store_open_region(bench->store, &bench->regions[i], name, err);
    }
    return rc == DOM_OK ? dom_store_session_new(&bench->session, bench->store, err) : rc;
}

static void bench_puts(struct bench *bench)
{
    static const size_t outstanding[] = {1, 16, 64, 256, 1024};
    struct dom_store_stats before;
    struct dom_store_stats after;
    char name[64];

    struct load load = {.type = DOM_STORE_PUT,
                        .count = SMALL_ROWS,
                        .outstanding = 256,
                        .num_ids = SMALL_ROWS,
                        .num_regions = 1};
    figure(bench, "create.outstanding_256", run_load(bench, &load), "1/s");
    for (size_t i = 0; i < DOM_ARRAY_LEN(outstanding); i++) {
        load.outstanding = outstanding[i];
        load.count = outstanding[i] == 1 ? 3000 : SMALL_ROWS;
        dom_store_stats(bench->store, 0, &before);
        double rate = run_load(bench, &load);
        dom_store_stats(bench->store, 0, &after);
        (void)snprintf(name, sizeof(name), "put.outstanding_%zu", outstanding[i]);
        figure(bench, name, rate, "1/s");
        (void)snprintf(name, sizeof(name), "put.outstanding_%zu.per_fsync", outstanding[i]);
        figure(bench, name, (double)load.count / (double)(after.commits - before.commits),
               "writes");
    }
    load.outstanding = 256;
    load.num_entries = 1;
    figure(bench, "put_with_entry.outstanding_256", run_load(bench, &load), "1/s");
}

/* What this disk takes when nothing is done but writing the entries to a file, with as many to an
 * fdatasync: entries per second. */
static double raw_appends(struct bench *bench, size_t per_fsync)
{
    const size_t rounds = 50;
    char path[PATH_MAX];
    const uint8_t *bytes = bench->entries[0].data;
    per_fsync = per_fsync < ENTRIES ? per_fsync : ENTRIES;
    size_t len = (size_t)(bench->entries[per_fsync - 1].data - bytes);

    (void)snprintf(path, sizeof(path), "%s/raw", bench->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    double start = now_s();
    for (size_t i = 0; fd >= 0 && i < rounds; i++) {
        bench->num_failed += write(fd, bytes, len) != (ssize_t)len || fdatasync(fd) != 0;
    }
    double rate = (double)(rounds * per_fsync) / (now_s() - start);
    bench->num_failed += fd < 0 || close(fd) != 0;
    return rate;
}

static void bench_entries(struct bench *bench)
{
    static const size_t outstanding[] = {1, 64, 512};
    char name[64];

    for (size_t i = 0; i < DOM_ARRAY_LEN(outstanding); i++) {
        struct load load = {.type = DOM_STORE_APPEND,
                            .count = outstanding[i] == 1 ? 3000 : 200000,
                            .outstanding = outstanding[i],
                            .num_ids = 1,
                            .num_regions = 1,
                            .num_entries = 1};
        (void)snprintf(name, sizeof(name), "append.outstanding_%zu", outstanding[i]);
        figure(bench, name, run_load(bench, &load), "1/s");
    }
    /* Entries that come many at a time, as from a batch: what the log itself can take. */
    struct load load = {.type = DOM_STORE_APPEND,
                        .count = 8000,
                        .outstanding = 256,
                        .num_ids = 1,
                        .num_regions = 1,
                        .num_entries = BATCH_ENTRIES};
    struct dom_store_stats before;
    struct dom_store_stats after;
    dom_store_stats(bench->store, 0, &before);
    double rate = run_load(bench, &load) * BATCH_ENTRIES;
    dom_store_stats(bench->store, 0, &after);
    figure(bench, "append.batches_of_64.entries", rate, "1/s");
    double per_fsync =
        (double)(load.count * BATCH_ENTRIES) / (double)(after.commits - before.commits);
    figure(bench, "append.batches_of_64.per_fsync", per_fsync, "entries");
    figure(bench, "append.raw_file.entries", raw_appends(bench, (size_t)per_fsync), "1/s");
}

static void bench_replicas(struct bench *bench)
{
    struct load load = {.type = DOM_STORE_PUT,
                        .count = SMALL_ROWS,
                        .outstanding = 256,
                        .num_ids = SMALL_ROWS,
                        .num_regions = 1,
                        .targets = 2 | 4};
    double start = now_s();

    figure(bench, "put_two_replicas.answered", run_load(bench, &load), "1/s");
    DOM_ASSERT(dom_store_settle(bench->store, 120000));
    figure(bench, "put_two_replicas.settled", (double)load.count / (now_s() - start), "1/s");
}

static double time_gets(struct bench *bench, const char *format, size_t num_ids, size_t rounds)
{
    uint8_t first[16384];
    struct dom_arena arena;
    uint64_t random = 88172645463325252U;

    dom_arena_init(&arena, first, sizeof(first), 1U << 20);
    double start = thread_s();
    for (size_t i = 0; i < rounds; i++) {
        struct dom_store_row row;
        char id[24];
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t number = random % num_ids;
        int len = snprintf(id, sizeof(id), "%s-%zu", format, number);
        dom_arena_reset(&arena);
        (void)!dom_store_get(bench->session, bench->regions[0], DOM_SLICE_LIT("user"),
                             dom_slice_of(id, (size_t)len), &arena, &row, NULL);
    }
    double each = (thread_s() - start) * 1e9 / (double)rounds;
    dom_arena_cleanup(&arena);
    return each;
}

static void bench_reads(struct bench *bench)
{
    const size_t rounds = 100000;

    figure(bench, "get.100k_rows", time_gets(bench, "user", SMALL_ROWS, GETS), "ns");
    figure(bench, "get.missing", time_gets(bench, "nobody", SMALL_ROWS, GETS), "ns");
    double start = thread_s();
    for (size_t i = 0; i < rounds; i++) {
        dom_store_region home;
        char id[24];
        int len = snprintf(id, sizeof(id), "user-%zu", i % SMALL_ROWS);
        (void)!dom_store_locate(bench->session, bench->regions[0], DOM_SLICE_LIT("user"),
                                dom_slice_of(id, (size_t)len), &home, NULL);
    }
    figure(bench, "locate.right_hint", (thread_s() - start) * 1e9 / (double)rounds, "ns");
}

static void bench_million(struct bench *bench)
{
    struct load load = {.type = DOM_STORE_PUT,
                        .count = ALL_ROWS,
                        .outstanding = OUTSTANDING_MAX,
                        .first_id = SMALL_ROWS,
                        .num_ids = ALL_ROWS,
                        .num_regions = REGIONS};

    figure(bench, "create.13_regions", run_load(bench, &load), "1/s");
    figure(bench, "rss.1M_rows_13_regions", rss_mb(), "MB");
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char child[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR) {
            remove_tree(child);
        } else {
            (void)unlink(child);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(path);
}

/* Bytes of the files below. */
static uint64_t tree_bytes(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    uint64_t bytes = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char child[1024];
        struct stat st;
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(child, &st) != 0) {
            continue;
        }
        bytes += S_ISDIR(st.st_mode) ? tree_bytes(child) : (uint64_t)st.st_size;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return bytes;
}

/* What an entry takes: as it is; 256 of them as one gzip member, which is what "compressed" means
 * here; and in files, those of the database and the published ones. */
static void bench_space(struct bench *bench, uint64_t entries)
{
    static const char *const s_places[] = {"db", "audit"};
    struct dom_buffer bundle = {0};
    struct dom_buffer member = {0};
    char path[512];
    char name[64];

    for (size_t i = 0; i < 256; i++) {
        DOM_ASSERT(dom_bundle_append(&bundle, bench->entries[i], NULL) == DOM_OK);
    }
    DOM_ASSERT(dom_gzip(&member, dom_buffer_slice(&bundle), NULL) == DOM_OK);
    figure(bench, "entry.bytes", (double)bundle.len / 256, "bytes");
    figure(bench, "entry.bytes.compressed", (double)member.len / 256, "bytes");
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_places); i++) {
        (void)snprintf(path, sizeof(path), "%s/region-0/%s", bench->dir, s_places[i]);
        (void)snprintf(name, sizeof(name), "entry.bytes.in_files.%s", s_places[i]);
        figure(bench, name, (double)tree_bytes(path) / (double)entries, "bytes");
    }
    dom_buffer_cleanup(&bundle);
    dom_buffer_cleanup(&member);
}

static void make_entries(struct bench *bench)
{
    size_t ends[ENTRIES];
    size_t from = 0;

    for (size_t i = 0; i < ENTRIES; i++) {
        struct dom_audit_event event;
        struct dom_bench_text text;
        dom_bench_event(&event, &text, i);
        DOM_ASSERT(dom_audit_event_encode(&event, &bench->entry_bytes, NULL) == DOM_OK);
        ends[i] = bench->entry_bytes.len;
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        bench->entries[i] = dom_slice_of(bench->entry_bytes.data + from, ends[i] - from);
        from = ends[i];
    }
    memcpy(bench->entries + ENTRIES, bench->entries, BATCH_ENTRIES * sizeof(bench->entries[0]));
}

int dom_bench_store(FILE *out, bool appends_only)
{
    struct bench bench = {.out = out};
    struct dom_error err = {0};
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(bench.dir, sizeof(bench.dir), "%s/dom-bench-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(bench.dir) == NULL) {
        (void)fprintf(stderr, "bench: %s: no temporary folder\n", bench.dir);
        return 1;
    }
    bench.slots = calloc(OUTSTANDING_MAX, sizeof(*bench.slots));
    DOM_ASSERT(bench.slots != NULL);
    DOM_ASSERT(pthread_mutex_init(&bench.lock, NULL) == 0);
    DOM_ASSERT(pthread_cond_init(&bench.wake, NULL) == 0);
    for (size_t i = 0; i < sizeof(bench.value); i++) {
        bench.value[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    make_entries(&bench);
    dom_log_set_level(DOM_LOG_WARN);
    bool good = open_store(&bench, &err) == DOM_OK;
    if (good) {
        figure(&bench, "rss.13_empty_regions", rss_mb(), "MB");
        if (!appends_only) {
            bench_million(&bench);
            bench_puts(&bench);
            bench_reads(&bench);
            bench_replicas(&bench);
        }
        bench_entries(&bench);
        figure(&bench, "rss.after_everything", rss_mb(), "MB");
    } else {
        (void)fprintf(stderr, "bench: %s\n", err.message);
    }
    if (bench.num_failed > 0) {
        (void)fprintf(stderr, "bench: %zu operations failed\n", bench.num_failed);
        good = false;
    }
    struct dom_store_stats stats = {0};
    if (good) {
        dom_store_stats(bench.store, 0, &stats);
    }
    dom_store_session_destroy(bench.session);
    dom_store_destroy(bench.store);
    if (good && appends_only) {
        bench_space(&bench, stats.entries);
    }
    remove_tree(bench.dir);
    dom_buffer_cleanup(&bench.entry_bytes);
    free(bench.slots);
    return good ? 0 : 1;
}
