#include "tests/store/region/harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/gzip/gzip.h"
#include "base/log.h"

static void post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    struct harness *h = context;

    (void)last;
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    if (h->hold != 0 && h->hold == first->region + 1) {
        h->held++;
        assert_int_equal(pthread_cond_broadcast(&h->wake), 0);
        while (h->hold != 0) {
            assert_int_equal(pthread_cond_wait(&h->wake, &h->lock), 0);
        }
    }
    while (first != NULL) {
        struct dom_store_op *next = first->next;
        *(bool *)first->owner = true;
        first = next;
    }
    assert_int_equal(pthread_cond_broadcast(&h->wake), 0);
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
}

static dom_store_set field_regions(void *context, struct dom_slice kind, const char *home,
                                   struct dom_slice field)
{
    (void)context;
    (void)kind;
    (void)home;
    if (field.data[0] == 'p') {
        return ~(dom_store_set)0;
    }
    if (field.data[0] >= '0' && field.data[0] <= '7') {
        return (dom_store_set)1 << (field.data[0] - '0');
    }
    return 0;
}

static void audit_state(void *context, dom_store_region region, bool writable)
{
    struct harness *h = context;

    (void)region;
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    if (writable) {
        h->audit_up++;
    } else {
        h->audit_down++;
    }
    assert_int_equal(pthread_cond_broadcast(&h->wake), 0);
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
}

static int64_t wall_ms(const struct dom_clock *clock)
{
    const struct harness *h = clock->impl;

    return h->wall_ms != 0 ? h->wall_ms : dom_clock_wall_ms(dom_clock_system());
}

static uint64_t monotonic_us(const struct dom_clock *clock)
{
    (void)clock;
    return dom_clock_monotonic_us(dom_clock_system());
}

void harness_init(struct harness *h)
{
    memset(h, 0, sizeof(*h));
    const char *tmp = getenv("TEST_TMPDIR");
    (void)snprintf(h->dir, sizeof(h->dir), "%s/dom-store-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(h->dir));
    assert_int_equal(pthread_mutex_init(&h->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&h->wake, NULL), 0);
    dom_arena_init(&h->arena, NULL, 0, 64U << 20);
    h->clock = (struct dom_clock){.wall_ms = wall_ms, .monotonic_us = monotonic_us, .impl = h};
    h->options = (struct dom_store_options){.data_dir = h->dir,
                                            .audit_origin = "log.example/test",
                                            .wait_ms = 10000,
                                            .clock = &h->clock,
                                            .post = post,
                                            .field_regions = field_regions,
                                            .audit_state = audit_state,
                                            .context = h};
    dom_log_set_level(DOM_LOG_ERROR);
}

void harness_open(struct harness *h, size_t num_regions)
{
    char name[8];

    if (dom_store_new(&h->store, &h->options, &h->err) != DOM_OK) {
        fail_msg("dom_store_new: %s", h->err.message);
    }
    for (size_t i = 0; i < num_regions; i++) {
        (void)snprintf(name, sizeof(name), "r%zu", i);
        if (dom_store_open_region(h->store, &h->regions[i], name, &h->err) != DOM_OK) {
            fail_msg("open %s: %s", name, h->err.message);
        }
    }
    assert_int_equal(dom_store_session_new(&h->session, h->store, &h->err), DOM_OK);
}

void harness_close(struct harness *h)
{
    dom_store_session_destroy(h->session);
    dom_store_destroy(h->store);
    h->session = NULL;
    h->store = NULL;
}

void harness_remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;

    if (dir == NULL) {
        (void)unlink(path);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        char child[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR) {
            harness_remove_tree(child);
        } else {
            (void)unlink(child);
        }
    }
    (void)closedir(dir);
    (void)rmdir(path);
}

void harness_cleanup(struct harness *h)
{
    harness_close(h);
    dom_arena_cleanup(&h->arena);
    harness_remove_tree(h->dir);
    (void)pthread_mutex_destroy(&h->lock);
    (void)pthread_cond_destroy(&h->wake);
}

int harness_setup(void **state)
{
    struct harness *h = malloc(sizeof(*h));

    assert_non_null(h);
    harness_init(h);
    *state = h;
    return 0;
}

int harness_teardown(void **state)
{
    harness_cleanup(*state);
    free(*state);
    return 0;
}

struct harness *harness_fresh(void **state, size_t num_regions)
{
    struct harness *h = *state;

    harness_open(h, num_regions);
    return h;
}

static void op_init(struct op_spec *spec, enum dom_store_op_type type, dom_store_region region)
{
    memset(spec, 0, sizeof(*spec));
    spec->op.type = type;
    spec->op.region = region;
    spec->op.deadline_us = UINT64_MAX;
    spec->op.entries = spec->entries;
    spec->op.receipts = spec->receipts;
    spec->op.fields = spec->fields;
    spec->op.no_border = true;
    spec->op.kind = DOM_SLICE_LIT("user");
    memcpy(spec->op.home, "DE", 3);
}

void op_put(struct op_spec *spec, dom_store_region region, const char *id, ...)
{
    va_list args;
    const char *pair = NULL;

    op_init(spec, DOM_STORE_PUT, region);
    spec->op.id = dom_slice_str(id);
    va_start(args, id);
    while ((pair = va_arg(args, const char *)) != NULL) {
        const char *equals = strchr(pair, '=');
        assert_non_null(equals);
        assert_true(spec->op.num_fields < DOM_ARRAY_LEN(spec->fields));
        struct dom_store_field *field = &spec->fields[spec->op.num_fields++];
        field->name = dom_slice_of(pair, (size_t)(equals - pair));
        field->value = dom_slice_str(equals + 1);
    }
    va_end(args);
}

void op_delete(struct op_spec *spec, dom_store_region region, const char *id)
{
    op_init(spec, DOM_STORE_DELETE, region);
    spec->op.id = dom_slice_str(id);
}

void op_entry(struct op_spec *spec, const char *entry)
{
    spec->entries[spec->op.num_entries++] = dom_slice_str(entry);
    spec->op.no_border = false;
}

void op_request(struct op_spec *spec, const char *id)
{
    spec->op.request_id = dom_slice_str(id);
    spec->op.service = DOM_SLICE_LIT("svc");
}

void op_append(struct op_spec *spec, dom_store_region region, const char *entry)
{
    op_init(spec, DOM_STORE_APPEND, region);
    op_entry(spec, entry);
}

void harness_run_all(struct harness *h, struct op_spec *specs, size_t count)
{
    bool *done = calloc(count, sizeof(*done));

    assert_non_null(done);
    for (size_t i = 0; i < count; i++) {
        specs[i].op.owner = &done[i];
        enum dom_code rc = dom_store_submit(h->store, &specs[i].op, &h->err);
        if (rc == DOM_AUDIT_UNAVAILABLE) {
            specs[i].op.code = rc; /* refused at once, as later it would have been */
            done[i] = true;
        } else if (rc != DOM_OK) {
            fail_msg("submit: %s", h->err.message);
        }
    }
    assert_int_equal(pthread_mutex_lock(&h->lock), 0);
    for (size_t i = 0; i < count; i++) {
        while (!done[i]) {
            assert_int_equal(pthread_cond_wait(&h->wake, &h->lock), 0);
        }
    }
    assert_int_equal(pthread_mutex_unlock(&h->lock), 0);
    free(done);
}

enum dom_code harness_run(struct harness *h, struct op_spec *spec)
{
    harness_run_all(h, spec, 1);
    return spec->op.code;
}

uint64_t harness_put(struct harness *h, dom_store_region region, const char *id, const char *value)
{
    struct op_spec spec;
    char pair[512];

    (void)snprintf(pair, sizeof(pair), "p_value=%s", value);
    op_put(&spec, region, id, pair, NULL);
    if (harness_run(h, &spec) != DOM_OK) {
        fail_msg("put %s: %s", id, spec.op.message);
    }
    return spec.op.version;
}

enum dom_code harness_get(struct harness *h, dom_store_region region, const char *id,
                          struct dom_store_row *row)
{
    dom_arena_reset(&h->arena);
    dom_error_clear(&h->err);
    return dom_store_get(h->session, region, DOM_SLICE_LIT("user"), dom_slice_str(id), &h->arena,
                         row, &h->err);
}

const char *harness_field(struct harness *h, dom_store_region region, const char *id,
                          const char *field)
{
    struct dom_store_row row;

    if (harness_get(h, region, id, &row) != DOM_OK) {
        return NULL;
    }
    for (size_t i = 0; i < row.num_fields; i++) {
        if (dom_slice_eq_str(row.fields[i].name, field)) {
            return dom_arena_dup(&h->arena, row.fields[i].value);
        }
    }
    return NULL;
}

void harness_settle(struct harness *h)
{
    assert_true(dom_store_settle(h->store, 20000));
}

static bool file_has(const char *path, struct dom_slice needle)
{
    struct dom_buffer bytes = {0};
    struct dom_buffer plain = {0};
    bool found = false;

    if (dom_file_read(&bytes, path, 256U << 20, NULL) == DOM_OK) {
        struct dom_slice raw = dom_buffer_slice(&bytes);
        if (dom_gzip_begins(raw)) {
            assert_int_equal(dom_gunzip(&plain, raw, 256U << 20, NULL), DOM_OK);
            raw = dom_buffer_slice(&plain);
        }
        found = raw.len > 0 && memmem(raw.data, raw.len, needle.data, needle.len) != NULL;
    }
    dom_buffer_cleanup(&bytes);
    dom_buffer_cleanup(&plain);
    return found;
}

static size_t grep_tree(const char *path, struct dom_slice needle)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    size_t found = 0;

    if (dir == NULL) {
        return file_has(path, needle) ? 1 : 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        char child[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        found += grep_tree(child, needle);
    }
    (void)closedir(dir);
    return found;
}

size_t harness_grep(const struct harness *h, const char *below, const char *needle)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", h->dir, below);
    return grep_tree(path, dom_slice_str(needle));
}

const char *harness_path(const struct harness *h, const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", h->dir, name);
    return path;
}

void harness_shell(const struct harness *h, const char *command)
{
    char line[2048];

    (void)snprintf(line, sizeof(line), "cd '%s' && %s", h->dir, command);
    assert_int_equal(system(line), 0);
}

void harness_refuses(struct harness *h, const char *name, enum dom_code want, const char *part)
{
    dom_store_region region = 7;

    dom_error_clear(&h->err);
    enum dom_code rc = dom_store_new(&h->store, &h->options, &h->err);
    if (rc == DOM_OK) {
        rc = dom_store_open_region(h->store, &region, name, &h->err);
    }
    if (rc != want || strstr(h->err.message, part) == NULL) {
        fail_msg("got %d \"%s\", wanted %d with \"%s\"", (int)rc, h->err.message, (int)want, part);
    }
    dom_store_destroy(h->store);
    h->store = NULL;
}

void harness_change(const struct harness *h, enum dom_db_family family, harness_change_fn *change)
{
    struct dom_db_env *env = NULL;
    struct dom_db *db = NULL;
    struct dom_db_options options = {0};

    assert_int_equal(dom_db_env_new(&env, &options, NULL), DOM_OK);
    assert_int_equal(dom_db_open(&db, env, harness_path(h, "r0/db"), NULL), DOM_OK);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_iterator_t *iter = dom_db_iter(db, family);
    rocksdb_iter_seek_to_first(iter);
    assert_true(rocksdb_iter_valid(iter));
    change(db, family, iter, batch);
    rocksdb_iter_destroy(iter);
    assert_int_equal(dom_db_write(db, batch, true, NULL), DOM_OK);
    rocksdb_writebatch_destroy(batch);
    dom_db_close(db);
    dom_db_env_destroy(env);
}

void harness_append(struct harness *h, size_t count)
{
    harness_append_text(h, "entry", count);
}

#define BATCH 256U

void harness_append_text(struct harness *h, const char *text, size_t count)
{
    struct op_spec *specs = calloc(BATCH, sizeof(*specs));

    assert_non_null(specs);
    while (count > 0) {
        size_t num = count < BATCH ? count : BATCH;
        for (size_t i = 0; i < num; i++) {
            op_append(&specs[i], 0, text);
        }
        harness_run_all(h, specs, num);
        for (size_t i = 0; i < num; i++) {
            assert_int_equal(specs[i].op.code, DOM_OK);
        }
        count -= num;
    }
    free(specs);
}
