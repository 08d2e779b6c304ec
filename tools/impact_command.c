/* `domicile policy impact`: what a new policy would do to the calls of the logs and to the records
 * that are stored. Reads only; beside a running router. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "store/audit/bundle.h"
#include "tools/command.h"
#include "tools/impact_print.h"
#include "tools/policy_log.h"
#include "tools/policy_verbs.h"

static const char s_help[] =
    "NAME\n"
    "    domicile policy impact - say what a new policy would change for real traffic and data\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile policy impact NEW --data DIR [--date DATE] [--records-per-s N]\n"
    "        [--format text|json]\n"
    "    domicile policy impact NEW --log DIR... [--date DATE] [--format text|json]\n"
    "\n"
    "DESCRIPTION\n"
    "    Asks NEW about every call that the audit logs tell of and compares with what was\n"
    "    decided: calls that flip by service and country pair, services that lose\n"
    "    everything. With --data it also counts the stored rows of every region: what must\n"
    "    leave a region, what must be copied to one, what may lie nowhere, and how long that\n"
    "    takes. What could not be replayed or judged is said first. Records are counted by\n"
    "    their labels; none is opened. Nothing is written, and the router may run. Calls\n"
    "    within one jurisdiction are in no log and therefore not replayed.\n"
    "\n"
    "OPTIONS\n"
    "    --data DIR           the router's data folder: all regions below it.\n"
    "    --log DIR            the folder of one published log; may be given again.\n"
    "    --date DATE          ask as if every call came then, and place records as of then;\n"
    "                         without it calls are asked as of their own time and records\n"
    "                         are placed as of now.\n"
    "    --records-per-s N    how fast records are moved: store.place_per_s (1000).\n"
    "    --format text|json   json is one object with every group.\n"
    "    --help               prints this text.\n"
    "\n"
    "EXIT STATUS\n"
    "    0 nothing changes; 1 an error; 2 something changes; 3 usage.\n";

#define REGIONS_MAX            DOM_REGIONS_MAX
#define WORKERS_MAX            4U
#define RECORDS_PER_S_DEFAULT  1000U /* store.place_per_s */
#define PROGRESS_EVERY_US      200000U

struct source {
    char name[NAME_MAX + 1]; /* of the region, or the log's folder */
    char dir[PATH_MAX];      /* of the region; "" for a log alone */
    struct dom_tiledir log;
};

struct arguments {
    const char *policy_path;
    int64_t time_ms; /* 0: not given */
    uint64_t records_per_s;
    bool json;
    bool help;
    struct source *sources;
    size_t num_sources;
    bool has_data;
};

/* ---- where logs and rows are ---- */

static enum dom_code add_source(struct arguments *arguments, const char *name, const char *dir,
                                const char *log, struct dom_error *err)
{
    if (arguments->num_sources == REGIONS_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "more than %u logs", REGIONS_MAX);
    }
    struct source *source = &arguments->sources[arguments->num_sources];
    (void)snprintf(source->name, sizeof(source->name), "%s", name);
    (void)snprintf(source->dir, sizeof(source->dir), "%s", dir);
    enum dom_code rc = dom_policy_log_open(&source->log, log, err);
    arguments->num_sources += rc == DOM_OK ? 1U : 0U;
    return rc;
}

static int compare_sources(const void *a, const void *b)
{
    return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

static enum dom_code add_data(struct arguments *arguments, const char *data, struct dom_error *err)
{
    const struct dirent *entry = NULL;
    enum dom_code rc = DOM_OK;
    size_t before = arguments->num_sources;
    DIR *dir = opendir(data);

    if (dir == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: cannot open the folder: %s", data, strerror(errno));
    }
    while (rc == DOM_OK && (entry = readdir(dir)) != NULL) {
        char region[PATH_MAX];
        char log[PATH_MAX];
        char marker[PATH_MAX];
        (void)snprintf(region, sizeof(region), "%s/%s", data, entry->d_name);
        (void)snprintf(log, sizeof(log), "%s/%s/audit", data, entry->d_name);
        (void)snprintf(marker, sizeof(marker), "%s/%s/FORMAT", data, entry->d_name);
        if (entry->d_name[0] != '.' && access(marker, R_OK) == 0) {
            rc = add_source(arguments, entry->d_name, region, log, err);
        }
    }
    (void)closedir(dir);
    if (rc == DOM_OK && arguments->num_sources == before) {
        rc = DOM_FAIL(err, DOM_INVALID, "%s: there is no region in this folder", data);
    }
    arguments->has_data = true;
    return rc;
}

/* ---- the walk over the logs ---- */

struct walk {
    const struct arguments *arguments;
    atomic_size_t next_bundle; /* over all sources */
    atomic_uint_fast64_t num_done;
    uint64_t num_entries;
    uint64_t begin_us;
    uint64_t shown_us;
    bool show;
};

struct worker {
    struct walk *walk;
    struct dom_impact impact;
    struct dom_error err;
    enum dom_code code;
    pthread_t thread;
};

static size_t bundles_of(const struct source *source)
{
    return (size_t)((source->log.size + DOM_TILE_WIDTH - 1) / DOM_TILE_WIDTH);
}

static enum dom_code take_bundle(struct worker *worker, const struct source *source, uint64_t n,
                                 struct dom_buffer *bundle)
{
    struct dom_bundle_iter iter;
    struct dom_slice entry;
    unsigned count = 0;
    bool done = false;

    if (n < source->log.first / DOM_TILE_WIDTH) {
        return DOM_OK; /* pruned */
    }
    enum dom_code rc =
        dom_tiledir_read_bundle(&source->log, n, bundle, &count, NULL, &worker->err);
    dom_bundle_iter_init(&iter, dom_buffer_slice(bundle));
    while (rc == DOM_OK && iter.position < count) {
        uint64_t index = n * DOM_TILE_WIDTH + iter.position;
        rc = dom_bundle_next(&iter, &entry, &done, &worker->err);
        if (rc == DOM_OK && done) {
            rc = DOM_FAIL(&worker->err, DOM_CORRUPT, "bundle %" PRIu64 " has too few entries", n);
        }
        if (rc == DOM_OK) {
            dom_impact_entry(&worker->impact, source->name, index, entry);
        }
    }
    /* Relaxed: a counter for the progress line. */
    (void)atomic_fetch_add_explicit(&worker->walk->num_done, count, memory_order_relaxed);
    return rc == DOM_OK ? DOM_OK : dom_error_prefix(&worker->err, "%s", source->log.dir);
}

static void show_progress(struct walk *walk)
{
    uint64_t now = dom_clock_monotonic_us(dom_clock_system());
    uint64_t done = atomic_load_explicit(&walk->num_done, memory_order_relaxed);

    if (!walk->show || now - walk->shown_us < PROGRESS_EVERY_US || done == 0) {
        return;
    }
    walk->shown_us = now;
    uint64_t rate = done * 1000 / ((now - walk->begin_us) / 1000 + 1) + 1;
    uint64_t left = walk->num_entries > done ? walk->num_entries - done : 0;
    (void)fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " entries, %" PRIu64 "/s, %" PRIu64 " s left",
                  done, walk->num_entries, rate, left / rate);
    (void)fflush(stderr);
}

/* Takes bundles as they come, until there are no more. Worker 0 is the main thread. */
static void *work(void *arg)
{
    struct worker *worker = arg;
    const struct arguments *arguments = worker->walk->arguments;
    struct dom_buffer bundle;

    dom_buffer_init(&bundle, 0);
    while (worker->code == DOM_OK) {
        size_t n = atomic_fetch_add_explicit(&worker->walk->next_bundle, 1, memory_order_relaxed);
        size_t source = 0;
        while (source < arguments->num_sources && n >= bundles_of(&arguments->sources[source])) {
            n -= bundles_of(&arguments->sources[source++]);
        }
        if (source == arguments->num_sources) {
            break;
        }
        worker->code = take_bundle(worker, &arguments->sources[source], n, &bundle);
        if (worker->thread == 0) {
            show_progress(worker->walk);
        }
    }
    dom_buffer_cleanup(&bundle);
    return NULL;
}

static enum dom_code replay(const struct arguments *arguments, const struct dom_policy *policy,
                            struct dom_impact *impact, struct dom_error *err)
{
    struct walk walk = {.arguments = arguments,
                        .begin_us = dom_clock_monotonic_us(dom_clock_system()),
                        .show = isatty(STDERR_FILENO) == 1};
    struct worker workers[WORKERS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t num = cores < 1 ? 1 : cores > (long)WORKERS_MAX ? WORKERS_MAX : (size_t)cores;
    enum dom_code rc = DOM_OK;

    for (size_t i = 0; i < arguments->num_sources; i++) {
        walk.num_entries += arguments->sources[i].log.size;
    }
    memset(workers, 0, sizeof(workers));
    for (size_t i = 0; i < num; i++) {
        workers[i].walk = &walk;
        dom_impact_init(&workers[i].impact, policy, arguments->time_ms);
        if (i > 0) {
            DOM_ASSERT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
        }
    }
    (void)work(&workers[0]);
    for (size_t i = 0; i < num; i++) {
        if (i > 0) {
            DOM_ASSERT(pthread_join(workers[i].thread, NULL) == 0);
        }
        if (workers[i].code != DOM_OK && rc == DOM_OK) {
            rc = workers[i].code;
            *err = workers[i].err;
        }
        dom_impact_add(impact, &workers[i].impact);
        dom_impact_cleanup(&workers[i].impact);
    }
    if (walk.shown_us != 0) {
        (void)fprintf(stderr, "\r\033[K");
    }
    dom_impact_sort(impact);
    return rc;
}

/* ---- the count of the records ---- */

static enum dom_code count_records(const struct arguments *arguments,
                                   struct dom_impact_records *records, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;
    bool show = isatty(STDERR_FILENO) == 1;

    for (size_t i = 0; i < arguments->num_sources && rc == DOM_OK; i++) {
        const struct source *source = &arguments->sources[i];
        if (source->dir[0] == '\0') {
            continue;
        }
        if (show) {
            (void)fprintf(stderr, "\r\033[K%" PRIu64 " rows, counting %s", records->num_rows,
                          source->name);
        }
        dom_impact_records_region(records, source->name);
        rc = dom_census_scan(source->dir, dom_impact_record, records, err);
    }
    if (show) {
        (void)fprintf(stderr, "\r\033[K");
    }
    dom_impact_records_finish(records);
    return rc;
}

/* ---- the verb ---- */

static int run(const struct arguments *arguments)
{
    struct dom_policy *policy = NULL;
    struct dom_impact calls;
    struct dom_impact_records records;
    struct dom_error err = {0};
    struct dom_buffer out;
    int status = DOM_EXIT_FAILED;
    int64_t now_ms = dom_clock_wall_ms(dom_clock_system());

    if (!dom_policy_read(&policy, arguments->policy_path)) {
        return DOM_EXIT_FAILED;
    }
    dom_buffer_init(&out, 0);
    dom_impact_init(&calls, policy, arguments->time_ms);
    dom_impact_records_init(&records, policy,
                            arguments->time_ms != 0 ? arguments->time_ms : now_ms);
    enum dom_code rc = replay(arguments, policy, &calls, &err);
    if (rc == DOM_OK && arguments->has_data) {
        rc = count_records(arguments, &records, &err);
    }
    struct dom_impact_report report = {.policy_path = arguments->policy_path,
                                       .calls = &calls,
                                       .records = arguments->has_data ? &records : NULL,
                                       .num_logs = arguments->num_sources,
                                       .num_regions = arguments->num_sources,
                                       .records_per_s = arguments->records_per_s};
    if (rc != DOM_OK) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
    } else {
        if (arguments->json) {
            dom_impact_print_json(&report, &out);
        } else {
            dom_impact_print(&report, &out);
        }
        status = dom_impact_any(&report) ? DOM_EXIT_DIFFERS : DOM_EXIT_OK;
        status = dom_policy_print(&out) ? status : DOM_EXIT_FAILED;
    }
    dom_buffer_cleanup(&out);
    dom_impact_cleanup(&calls);
    dom_impact_records_cleanup(&records);
    dom_policy_unref(policy);
    return status;
}

static bool take_rate(const char *text, uint64_t *rate)
{
    char *end = NULL;

    *rate = strtoull(text, &end, 10);
    return text[0] >= '1' && text[0] <= '9' && *end == '\0' && *rate <= 1000000000U;
}

/* An exit code when the option is wrong, else 0. */
static int take_option(struct arguments *arguments, int found)
{
    struct dom_error err = {0};
    enum dom_code rc = DOM_OK;

    switch (found) {
    case 'h':
        arguments->help = true;
        break;
    case 'd':
        rc = add_data(arguments, optarg, &err);
        break;
    case 'l':
        rc = add_source(arguments, optarg, "", optarg, &err);
        break;
    case 't':
        if (!dom_time_parse(dom_slice_str(optarg), true, &arguments->time_ms)) {
            return dom_policy_usage("--date is no date:", optarg);
        }
        break;
    case 'r':
        if (!take_rate(optarg, &arguments->records_per_s)) {
            return dom_policy_usage("--records-per-s is no number above 0:", optarg);
        }
        break;
    case 'f':
        arguments->json = strcmp(optarg, "json") == 0;
        if (!arguments->json && strcmp(optarg, "text") != 0) {
            return dom_policy_usage("unknown format", optarg);
        }
        break;
    default:
        return DOM_EXIT_USAGE;
    }
    if (rc != DOM_OK) {
        (void)fprintf(stderr, "domicile policy: %s\n", err.message);
        return DOM_EXIT_FAILED;
    }
    return 0;
}

static int take_all(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"date", required_argument, NULL, 't'},
                                            {"records-per-s", required_argument, NULL, 'r'},
                                            {"format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int status = 0;
    int found = 0;

    optind = 0;
    while (status == 0 && (found = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        status = take_option(arguments, found);
    }
    if (status != 0 || arguments->help) {
        return status;
    }
    if (optind + 1 != argc) {
        return dom_policy_usage("impact needs one new policy file", "");
    }
    if (arguments->num_sources == 0) {
        return dom_policy_usage("impact needs --data DIR or --log DIR", "");
    }
    arguments->policy_path = argv[optind];
    return 0;
}

int dom_policy_impact_verb(int argc, char **argv)
{
    struct arguments arguments = {.records_per_s = RECORDS_PER_S_DEFAULT};

    arguments.sources = calloc(REGIONS_MAX, sizeof(*arguments.sources));
    DOM_ASSERT(arguments.sources != NULL);
    int status = take_all(&arguments, argc, argv);
    if (status == 0 && arguments.help) {
        (void)fputs(s_help, stdout);
    } else if (status == 0) {
        qsort(arguments.sources, arguments.num_sources, sizeof(*arguments.sources),
              compare_sources);
        status = run(&arguments);
    }
    for (size_t i = 0; i < arguments.num_sources; i++) {
        dom_tiledir_cleanup(&arguments.sources[i].log);
    }
    free(arguments.sources);
    return status;
}
