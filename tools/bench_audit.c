#include "tools/bench_audit.h"

#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"
#include "store/audit/checkpoint.h"
#include "store/audit/event.h"
#include "store/audit/scan.h"
#include "store/audit/tiledir.h"
#include "store/audit/tree.h"
#include "store/audit/verify.h"
#include "tools/bench_entry.h"
#include "tools/command.h"

#define NUM_ENTRIES 200000U
#define NUM_PROOFS  20000U
#define ORIGIN      DOM_BENCH_ORIGIN

struct bench {
    FILE *out;
    struct dom_buffer entries; /* bundle form, end to end */
    struct dom_buffer offsets; /* uint64 each, one past the last */
    struct dom_memory_tree tree;
    struct dom_note_signer signer;
    char dir[PATH_MAX];
    uint64_t begin_us;
    uint64_t begin_cpu_us;
};

/* This process has one thread: what it had of one core, whoever else is on the machine. */
static uint64_t cpu_us(void)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

static void begin(struct bench *b)
{
    b->begin_us = dom_clock_monotonic_us(dom_clock_system());
    b->begin_cpu_us = cpu_us();
}

static void report(struct bench *b, const char *what, uint64_t count)
{
    uint64_t us = dom_clock_monotonic_us(dom_clock_system()) - b->begin_us;
    uint64_t cpu = cpu_us() - b->begin_cpu_us;
    us = us == 0 ? 1 : us;
    cpu = cpu == 0 ? 1 : cpu;
    (void)fprintf(b->out,
                  "%-28s %9llu in %7.3f s  %8.3f us each  of one core: %10.0f/s %8.3f us each\n",
                  what, (unsigned long long)count, (double)us / 1e6, (double)us / (double)count,
                  (double)count * 1e6 / (double)cpu, (double)cpu / (double)count);
}

static struct dom_slice entry_at(const struct bench *b, uint64_t i)
{
    uint64_t from = dom_get_u64be(b->offsets.data + 8 * i);
    uint64_t to = dom_get_u64be(b->offsets.data + 8 * (i + 1));
    return dom_slice_of(b->entries.data + from + 2, to - from - 2);
}

static enum dom_code bench_encode(struct bench *b, struct dom_error *err)
{
    struct dom_bench_text text;
    struct dom_audit_event event;
    struct dom_buffer entry = {0};
    enum dom_code rc = DOM_OK;
    uint64_t bytes = 0;

    dom_bench_event(&event, &text, 0);
    begin(b);
    for (unsigned i = 0; i < NUM_ENTRIES && rc == DOM_OK; i++) {
        dom_buffer_clear(&entry);
        rc = dom_audit_event_encode(&event, &entry, err);
        bytes += entry.len;
    }
    report(b, "encode an entry", NUM_ENTRIES);
    (void)fprintf(b->out, "%-28s %9llu\n", "bytes of an entry",
                  (unsigned long long)(bytes / NUM_ENTRIES));
    for (unsigned i = 0; i < NUM_ENTRIES && rc == DOM_OK; i++) {
        dom_bench_event(&event, &text, i);
        dom_buffer_clear(&entry);
        rc = dom_audit_event_encode(&event, &entry, err);
        dom_buffer_append_u64be(&b->offsets, b->entries.len);
        if (rc == DOM_OK) {
            rc = dom_bundle_append(&b->entries, dom_buffer_slice(&entry), err);
        }
    }
    dom_buffer_append_u64be(&b->offsets, b->entries.len);
    dom_buffer_cleanup(&entry);
    return rc;
}

static enum dom_code bench_hash(struct bench *b, struct dom_error *err)
{
    struct dom_entry_head head;
    struct dom_hash hash;
    enum dom_code rc = DOM_OK;

    begin(b);
    for (unsigned i = 0; i < NUM_ENTRIES; i++) {
        dom_hash_leaf(&hash, entry_at(b, i));
    }
    report(b, "hash an entry", NUM_ENTRIES);
    begin(b);
    for (unsigned i = 0; i < NUM_ENTRIES; i++) {
        dom_hash_node(&hash, &hash, &hash);
    }
    report(b, "hash a node", NUM_ENTRIES);
    begin(b);
    for (unsigned i = 0; i < NUM_ENTRIES && rc == DOM_OK; i++) {
        rc = dom_entry_scan(entry_at(b, i), &head, err);
    }
    report(b, "scan an entry", NUM_ENTRIES);
    begin(b);
    for (unsigned i = 0; i < NUM_ENTRIES && rc == DOM_OK; i++) {
        dom_hash_leaf(&hash, entry_at(b, i));
        rc = dom_memory_tree_append(&b->tree, &hash, err);
    }
    report(b, "hash and append an entry", NUM_ENTRIES);
    return rc;
}

static enum dom_code bench_proofs(struct bench *b, struct dom_error *err)
{
    struct dom_hash_reader reader = dom_memory_tree_reader(&b->tree);
    struct dom_proof proof;
    struct dom_hash leaf;
    struct dom_hash root;
    enum dom_code rc = DOM_OK;

    dom_edge_root(&b->tree.edge, &root);
    begin(b);
    for (uint64_t i = 0; i < NUM_PROOFS && rc == DOM_OK; i++) {
        rc = dom_prove_inclusion(&proof, &reader, i * 9 % NUM_ENTRIES, NUM_ENTRIES, err);
    }
    report(b, "make an inclusion proof", NUM_PROOFS);
    dom_hash_leaf(&leaf, entry_at(b, (NUM_PROOFS - 1) * 9 % NUM_ENTRIES));
    begin(b);
    for (uint64_t i = 0; i < NUM_PROOFS && rc == DOM_OK; i++) {
        rc = dom_check_inclusion(&proof, (NUM_PROOFS - 1) * 9 % NUM_ENTRIES, NUM_ENTRIES, &leaf,
                                 &root, err);
    }
    report(b, "check an inclusion proof", NUM_PROOFS);
    return rc;
}

static enum dom_code read_entries(void *impl, uint64_t first, unsigned count,
                                  struct dom_buffer *bundle, struct dom_error *err)
{
    const struct bench *b = impl;
    uint64_t from = dom_get_u64be(b->offsets.data + 8 * first);
    uint64_t to = dom_get_u64be(b->offsets.data + 8 * (first + count));

    dom_buffer_append(bundle, b->entries.data + from, to - from);
    return bundle->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory") : DOM_OK;
}

static enum dom_code bench_files(struct bench *b, struct dom_error *err)
{
    struct dom_tree_head head = {.size = NUM_ENTRIES};
    struct dom_buffer checkpoint = {0};
    struct dom_verify_result result;
    struct dom_log_source source = {
        .hashes = dom_memory_tree_reader(&b->tree), .entries = read_entries, .impl = b};
    struct dom_publish publish = {.dir = b->dir, .source = &source, .new_size = NUM_ENTRIES};
    struct dom_verify_options verify = {.dir = b->dir, .keys = &b->signer.key, .num_keys = 1};

    dom_edge_root(&b->tree.edge, &head.root);
    begin(b);
    enum dom_code rc = dom_checkpoint_sign(&b->signer, &head, &checkpoint, err);
    report(b, "sign a checkpoint", 1);
    publish.checkpoint = dom_buffer_slice(&checkpoint);
    begin(b);
    if (rc == DOM_OK) {
        rc = dom_tiledir_publish(&publish, NULL, err);
    }
    report(b, "publish entries, synced", NUM_ENTRIES);
    begin(b);
    if (rc == DOM_OK) {
        rc = dom_log_verify(&verify, &result, err);
    }
    report(b, "verify entries from files", NUM_ENTRIES);
    dom_buffer_cleanup(&checkpoint);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int dom_bench_audit(FILE *out)
{
    static const uint8_t s_seed[DOM_ED25519_KEY_SIZE] = {1};
    struct bench b = {.out = out};
    struct dom_error err = {0};
    const char *temp = getenv("TMPDIR");

    (void)snprintf(b.dir, sizeof(b.dir), "%s/domicile-bench-XXXXXX", temp == NULL ? "/tmp" : temp);
    if (mkdtemp(b.dir) == NULL) {
        (void)fprintf(stderr, "domicile bench audit: %s: cannot create\n", b.dir);
        return DOM_EXIT_FAILED;
    }
    dom_memory_tree_init(&b.tree);
    enum dom_code rc =
        dom_note_signer_init(&b.signer, DOM_SLICE_LIT(ORIGIN), DOM_KEY_ED25519, s_seed, &err);
    if (rc == DOM_OK) {
        rc = bench_encode(&b, &err);
    }
    if (rc == DOM_OK) {
        rc = bench_hash(&b, &err);
    }
    if (rc == DOM_OK) {
        rc = bench_proofs(&b, &err);
    }
    if (rc == DOM_OK) {
        rc = bench_files(&b, &err);
    }
    if (rc != DOM_OK) {
        (void)fprintf(stderr, "domicile bench audit: %s\n", err.message);
    }
    (void)nftw(b.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    dom_note_signer_cleanup(&b.signer);
    dom_memory_tree_cleanup(&b.tree);
    dom_buffer_cleanup(&b.entries);
    dom_buffer_cleanup(&b.offsets);
    return rc == DOM_OK ? DOM_EXIT_OK : DOM_EXIT_FAILED;
}
