#include "tests/store/audit/testing.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "store/audit/checkpoint.h"
#include "store/audit/tiledir.h"

#define FILE_BYTES_MAX (64U << 20)

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *testing_vectors(void)
{
    static char s_path[PATH_MAX];
    char here[PATH_MAX];
    const char *shared = getenv("DOMICILE_SHARED");

    if (shared != NULL) {
        (void)snprintf(s_path, sizeof(s_path), "%s/vectors", shared);
        return is_dir(s_path) ? s_path : NULL;
    }
    /* Bazel's runfiles are links into the source tree; follow one. */
    if (realpath("tests/store/audit/testing.h", here) == NULL) {
        return NULL;
    }
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(here, '/');
        if (slash == NULL) {
            return NULL;
        }
        *slash = '\0';
    }
    (void)snprintf(s_path, sizeof(s_path), "%s/../shared/vectors", here);
    return is_dir(s_path) ? s_path : NULL;
}

const char *testing_vector_path(const char *path)
{
    static char s_path[PATH_MAX];
    const char *vectors = testing_vectors();

    if (vectors == NULL) {
        print_message("vectors are absent: %s is skipped\n", path);
        skip();
    }
    (void)snprintf(s_path, sizeof(s_path), "%s/%s", vectors, path);
    return s_path;
}

json_t *testing_vector_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(testing_vector_path(path), 0, &error);

    if (json == NULL) {
        fail_msg("%s: %s", path, error.text);
    }
    return json;
}

static size_t each_file(const char *folder, void (*fn)(const char *file, void *arg), void *arg)
{
    size_t count = 0;
    DIR *dir = opendir(folder);

    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[PATH_MAX];
        if (e->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        if (is_dir(path)) {
            count += each_file(path, fn, arg);
        } else {
            fn(path, arg);
            count++;
        }
    }
    (void)closedir(dir);
    return count;
}

size_t testing_each_vector(const char *path, void (*fn)(const char *file, void *arg), void *arg)
{
    char folder[PATH_MAX];

    (void)snprintf(folder, sizeof(folder), "%s", testing_vector_path(path));
    return each_file(folder, fn, arg);
}

void testing_read(struct dom_buffer *out, const char *path)
{
    struct dom_error err;

    if (dom_file_read(out, path, FILE_BYTES_MAX, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
}

void testing_write(const char *path, struct dom_slice bytes)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

void testing_base64(struct dom_buffer *out, const char *text)
{
    size_t len = 0;
    size_t room = strlen(text) + 1;

    dom_buffer_clear(out);
    uint8_t *at = dom_buffer_extend(out, room);
    assert_non_null(at);
    assert_true(dom_base64_decode(at, room, &len, dom_slice_str(text)));
    out->len = len;
}

void testing_hash(struct dom_hash *out, const char *base64)
{
    size_t len = 0;

    assert_true(dom_base64_decode(out->bytes, DOM_HASH_SIZE, &len, dom_slice_str(base64)));
    assert_int_equal(len, DOM_HASH_SIZE);
}

void testing_hash_hex(struct dom_hash *out, const char *hex)
{
    assert_true(dom_hex_decode(out->bytes, DOM_HASH_SIZE, dom_slice_str(hex)));
}

const char *testing_folder(void)
{
    static char s_path[PATH_MAX];
    const char *base = getenv("TEST_TMPDIR");

    (void)snprintf(s_path, sizeof(s_path), "%s/audit-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(s_path));
    return s_path;
}

void testing_signer(struct dom_note_signer *signer, uint8_t seed0)
{
    uint8_t seed[DOM_ED25519_KEY_SIZE] = {0};
    struct dom_error err;

    seed[0] = seed0;
    if (dom_note_signer_init(signer, DOM_SLICE_LIT(TESTING_ORIGIN), DOM_KEY_ED25519, seed, &err) !=
        DOM_OK) {
        fail_msg("%s", err.message);
    }
}

void testing_event(struct dom_audit_event *event, uint64_t i)
{
    static const struct dom_audit_field s_fields[3] = {
        {{(const uint8_t *)"title", 5},
         {(const uint8_t *)"content", 7},
         {(const uint8_t *)"clear", 5}},
        {{(const uint8_t *)"host_uid", 8},
         {(const uint8_t *)"identifier", 10},
         {(const uint8_t *)"pseudonym", 9}},
        {{(const uint8_t *)"ip", 2},
         {(const uint8_t *)"network", 7},
         {(const uint8_t *)"redact", 6}},
    };
    static const struct dom_slice s_rules[1] = {{(const uint8_t *)"eu-us-moderation", 16}};
    uint8_t random10[10] = {0};

    memset(event, 0, sizeof(*event));
    event->type = i % 5 == 4 ? DOM_AUDIT_DENY : DOM_AUDIT_ACCESS;
    event->time_ms = INT64_C(1764500000000) + (int64_t)i;
    dom_put_u64be(random10 + 2, i);
    dom_audit_uuid7(event->id, event->time_ms, random10);
    dom_put_u64be(event->nonce, i * UINT64_C(0x9E3779B97F4A7C15));
    event->origin = DOM_SLICE_LIT(TESTING_ORIGIN);
    event->op = DOM_SLICE_LIT("read");
    event->purpose = DOM_SLICE_LIT("moderation");
    event->trace = DOM_SLICE_LIT("4bf92f3577b34da6a3ce929d0e0e4736");
    event->actor.country = DOM_SLICE_LIT("US");
    event->actor.entity = DOM_SLICE_LIT("Live US Inc");
    event->actor.id = DOM_SLICE_LIT("moderation");
    event->actor.region = DOM_SLICE_LIT("us-east");
    event->actor.type = DOM_SLICE_LIT("service");
    event->actor.user = DOM_SLICE_LIT("hmac:eu7:Qm9i");
    event->basis.mech = DOM_SLICE_LIT("GDPR-46-2-c");
    event->basis.ref = DOM_SLICE_LIT("SCC-EU-US-2026-03");
    if (event->type == DOM_AUDIT_DENY) {
        event->decision.effect = DOM_SLICE_LIT("deny");
        event->decision.reason = DOM_SLICE_LIT("NO_PERMIT");
    } else {
        event->decision.effect = DOM_SLICE_LIT("modify");
        event->decision.reason = DOM_SLICE_LIT("PERMIT");
        event->decision.rules = s_rules;
        event->decision.num_rules = 1;
    }
    event->decision.mode = DOM_SLICE_LIT("enforce");
    event->decision.time_ms = event->time_ms;
    event->fields = s_fields;
    event->num_fields = 3;
    event->policy.name = DOM_SLICE_LIT("live-platform");
    event->policy.sha256 = DOM_SLICE_LIT("c1d0");
    event->policy.version = 42;
    event->policy.index = 118;
    event->record.kind = DOM_SLICE_LIT("live_room");
    event->record.home = DOM_SLICE_LIT("DE");
    event->record.jurisdiction = DOM_SLICE_LIT("EEA");
    event->record.id = DOM_SLICE_LIT("hmac:eu7:c2Rm");
    event->record.region = DOM_SLICE_LIT("eu-west");
    event->record.bytes = 412;
    event->record.count = 1;
    event->result.present = true;
    event->result.us = 850;
    event->router.build = DOM_SLICE_LIT("sha256:9f2c");
    event->router.instance = DOM_SLICE_LIT("rt-eu-3");
    event->router.region = DOM_SLICE_LIT("eu-west");
    event->transfer.from = DOM_SLICE_LIT("EEA");
    event->transfer.from_region = DOM_SLICE_LIT("eu-west");
    event->transfer.method = DOM_SLICE_LIT("grpc+tls1.3");
    event->transfer.to = i % 2 == 0 ? DOM_SLICE_LIT("US") : DOM_SLICE_LIT("SG");
    event->transfer.to_region = i % 2 == 0 ? DOM_SLICE_LIT("us-east") : DOM_SLICE_LIT("sg-1");
}

/* ---- a log in memory ------------------------------------------------------------------------ */

void testing_log_init(struct testing_log *log)
{
    memset(log, 0, sizeof(*log));
    dom_memory_tree_init(&log->tree);
    testing_signer(&log->signer, 7);
}

void testing_log_cleanup(struct testing_log *log)
{
    dom_memory_tree_cleanup(&log->tree);
    dom_buffer_cleanup(&log->entries);
    dom_buffer_cleanup(&log->offsets);
    dom_note_signer_cleanup(&log->signer);
}

void testing_log_append(struct testing_log *log, struct dom_slice entry)
{
    struct dom_hash leaf;
    struct dom_error err;

    dom_buffer_append_u64be(&log->offsets, log->entries.len);
    dom_buffer_append_u32be(&log->entries, (uint32_t)entry.len);
    dom_buffer_append_slice(&log->entries, entry);
    dom_hash_leaf(&leaf, entry);
    assert_int_equal(dom_memory_tree_append(&log->tree, &leaf, &err), DOM_OK);
}

static void fill(struct testing_log *log, uint64_t count,
                 void (*make)(struct dom_audit_event *event, uint64_t i))
{
    struct dom_buffer entry = {0};
    struct dom_audit_event event;
    struct dom_error err;

    for (uint64_t i = log->tree.edge.size; i < count; i++) {
        make(&event, i);
        dom_buffer_clear(&entry);
        if (dom_audit_event_encode(&event, &entry, &err) != DOM_OK) {
            fail_msg("%s", err.message);
        }
        testing_log_append(log, dom_buffer_slice(&entry));
    }
    dom_buffer_cleanup(&entry);
}

void testing_log_fill(struct testing_log *log, uint64_t count)
{
    fill(log, count, testing_event);
}

void testing_log_fill_mixed(struct testing_log *log, uint64_t count)
{
    fill(log, count, testing_mixed_event);
}

void testing_log_fill_varied(struct testing_log *log, uint64_t count)
{
    fill(log, count, testing_varied_event);
}

struct dom_slice testing_log_entry(const struct testing_log *log, uint64_t index)
{
    uint64_t at = dom_get_u64be(log->offsets.data + 8 * index);
    return dom_slice_of(log->entries.data + at + 4, dom_get_u32be(log->entries.data + at));
}

static enum dom_code read_entries(void *impl, uint64_t first, unsigned count,
                                  struct dom_buffer *bundle, struct dom_error *err)
{
    const struct testing_log *log = impl;
    enum dom_code rc = DOM_OK;

    assert_true(count >= 1 && count <= DOM_TILE_WIDTH);
    assert_int_equal(first / DOM_TILE_WIDTH, (first + count - 1) / DOM_TILE_WIDTH);
    for (unsigned i = 0; i < count && rc == DOM_OK; i++) {
        rc = dom_bundle_append(bundle, testing_log_entry(log, first + i), err);
    }
    return rc;
}

void testing_log_checkpoint(struct testing_log *log, struct dom_buffer *out)
{
    struct dom_tree_head head = {.size = log->tree.edge.size};
    struct dom_error err;

    dom_edge_root(&log->tree.edge, &head.root);
    dom_buffer_clear(out);
    assert_int_equal(dom_checkpoint_sign(&log->signer, &head, out, &err), DOM_OK);
}

void testing_log_publish(struct testing_log *log, const char *dir, uint64_t old_size)
{
    struct dom_buffer checkpoint = {0};
    struct dom_buffer vkey = {0};
    struct dom_error err;
    struct dom_log_source source = {
        .hashes = dom_memory_tree_reader(&log->tree), .entries = read_entries, .impl = log};

    testing_log_checkpoint(log, &checkpoint);
    struct dom_publish publish = {.dir = dir,
                                  .source = &source,
                                  .old_size = old_size,
                                  .new_size = log->tree.edge.size,
                                  .checkpoint = dom_buffer_slice(&checkpoint)};
    if (dom_tiledir_publish(&publish, NULL, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    dom_note_key_format(&log->signer.key, &vkey);
    assert_int_equal(dom_tiledir_write_vkey(dir, dom_buffer_slice(&vkey), &err), DOM_OK);
    dom_buffer_cleanup(&checkpoint);
    dom_buffer_cleanup(&vkey);
}
