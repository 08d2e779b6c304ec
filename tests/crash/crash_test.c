/* kill -9 under load (promise P6), at random moments and at every sync, with and without the loss of
 * all that no sync had asked the disk to keep (as when the power goes): what was acknowledged is there,
 * what was not is absent or whole; the log holds every acknowledged entry at its index; every signed
 * checkpoint is a prefix of all later ones; the replicas converge. DOMICILE_SEED changes the moments.
 *
 * At every sync: from the first one of a fresh folder up to the last one of a clean stop, each is made
 * the last in turn. DOMICILE_SYNC_STEP=1 takes each, else every seventh from DOMICILE_SYNC_FIRST on. */
#include "tests/store/region/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "store/audit/checkpoint.h"
#include "tests/crash/crash.h"

#define ROUNDS      20U
#define ENTRIES_MAX 1000000U
#define SYNC_STEP   7U
#define SYNCS_MAX   5000U
#define STOP_AFTER  "400"

extern char **environ;

struct entry_ack {
    uint32_t region;
    uint64_t index;
    uint8_t leaf[32];
};

struct crash {
    struct harness h;
    const char *driver;
    unsigned seed;
    uint64_t versions[CRASH_IDS]; /* acknowledged, or seen after a crash */
    struct entry_ack *entries;
    size_t num_entries;
    struct dom_tree_head heads[CRASH_REGIONS][ROUNDS];
    size_t acks;
};

static void take_ack(struct crash *crash, const struct crash_ack *ack)
{
    crash->acks++;
    if (ack->index != UINT64_MAX) {
        struct entry_ack *entry = &crash->entries[crash->num_entries++];
        entry->region = ack->region;
        entry->index = ack->index;
        memcpy(entry->leaf, ack->leaf, sizeof(entry->leaf));
        assert_true(crash->num_entries < ENTRIES_MAX);
    }
    if (ack->id != UINT32_MAX) {
        assert_true(ack->id < CRASH_IDS);
        assert_true(ack->version == crash->versions[ack->id] + 1);
        crash->versions[ack->id] = ack->version;
    }
}

static uint64_t now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

/* Reads until the end of the pipe; kills the driver `after_us` from the first acknowledgement. */
static void read_acks(struct crash *crash, int fd, pid_t pid, uint64_t after_us)
{
    struct crash_ack ack;
    uint64_t kill_at = UINT64_MAX;

    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        uint64_t now = now_us();
        if (kill_at != UINT64_MAX && now >= kill_at) {
            assert_int_equal(kill(pid, SIGKILL), 0);
            kill_at = UINT64_MAX - 1;
        }
        int wait_ms = kill_at >= UINT64_MAX - 1 ? 20000 : (int)((kill_at - now) / 1000);
        assert_true(poll(&poller, 1, wait_ms) >= 0);
        if ((poller.revents & (POLLIN | POLLHUP)) == 0) {
            assert_true(kill_at < UINT64_MAX - 1);
            continue;
        }
        ssize_t got = read(fd, &ack, sizeof(ack));
        if (got == 0) {
            break;
        }
        assert_int_equal(got, sizeof(ack));
        take_ack(crash, &ack);
        if (kill_at == UINT64_MAX) {
            kill_at = now_us() + after_us;
        }
    }
}

/* True when it was killed, false when it came to its end. */
static bool run_driver(struct crash *crash, uint64_t after_us)
{
    char driver[512];
    char *argv[] = {driver, crash->h.dir, NULL};
    posix_spawn_file_actions_t actions;
    int fds[2];
    pid_t pid = 0;
    int status = 0;

    (void)snprintf(driver, sizeof(driver), "%s", crash->driver);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addclose(&actions, fds[0]), 0);
    if (fds[1] != CRASH_ACK_FD) {
        assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fds[1], CRASH_ACK_FD), 0);
        assert_int_equal(posix_spawn_file_actions_addclose(&actions, fds[1]), 0);
    }
    assert_int_equal(posix_spawn(&pid, driver, &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(fds[1]);
    read_acks(crash, fds[0], pid, after_us);
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return killed;
}

static void check_record(struct crash *crash, uint32_t number)
{
    struct harness *h = &crash->h;
    struct dom_store_row row;
    char id[16];
    uint64_t acked = crash->versions[number];

    (void)snprintf(id, sizeof(id), "id%u", number);
    enum dom_code rc = harness_get(h, 0, id, &row);
    if (rc == DOM_NOT_FOUND) {
        if (acked != 0 && !crash_is_delete(number, acked)) {
            assert_true(crash_is_delete(number, acked + 1));
            crash->versions[number] = acked + 1;
        }
    } else {
        char want[32];
        assert_int_equal(rc, DOM_OK);
        assert_true(row.version == acked || row.version == acked + 1);
        assert_false(crash_is_delete(number, row.version));
        (void)snprintf(want, sizeof(want), "%u-%llu", number, (unsigned long long)row.version);
        /* a driver that found nothing did not know the version */
        char unknown[32];
        (void)snprintf(unknown, sizeof(unknown), "%u-0", number);
        assert_int_equal(row.num_fields, 2);
        assert_true(dom_slice_eq_str(row.fields[0].value, want) ||
                    dom_slice_eq_str(row.fields[0].value, unknown));
        assert_true(dom_slice_eq(row.fields[0].value, row.fields[1].value));
        crash->versions[number] = row.version;
    }
    uint64_t version = row.version;
    for (dom_store_region r = 1; r < CRASH_REGIONS; r++) {
        assert_int_equal(harness_get(h, r, id, &row), rc);
        if (rc == DOM_OK) {
            assert_true(row.version == version);
            assert_int_equal(row.num_fields, 1);
        }
    }
}

struct leaf_list {
    struct dom_hash *leaves;
    uint64_t size;
};

static bool take_leaf(void *context, uint64_t index, struct dom_slice entry)
{
    struct leaf_list *list = context;

    assert_true(index < list->size);
    dom_hash_leaf(&list->leaves[index], entry);
    return true;
}

static struct dom_tree_head signed_head(struct harness *h, dom_store_region region)
{
    struct dom_buffer note = {0};
    struct dom_checkpoint checkpoint;
    struct dom_note_key key;

    assert_int_equal(
        dom_note_key_parse(&key, dom_slice_str(dom_store_log_vkey(h->store, region)), NULL),
        DOM_OK);
    assert_int_equal(dom_store_log_checkpoint(h->store, region, &note, NULL), DOM_OK);
    assert_int_equal(dom_checkpoint_open(&checkpoint, dom_buffer_slice(&note), &key, 1, NULL, NULL),
                     DOM_OK);
    struct dom_tree_head head = checkpoint.head;
    dom_note_key_cleanup(&key);
    dom_buffer_cleanup(&note);
    return head;
}

static void check_log(struct crash *crash, dom_store_region region, size_t round)
{
    struct harness *h = &crash->h;
    struct leaf_list list = {.size = dom_store_log_size(h->store, region)};
    struct dom_tree_head head = signed_head(h, region);
    struct dom_buffer hashes = {0};
    struct dom_edge edge;
    struct dom_hash root;

    list.leaves = calloc(list.size, sizeof(*list.leaves));
    assert_non_null(list.leaves);
    assert_int_equal(
        dom_store_log_entries(h->store, region, 0, SIZE_MAX, take_leaf, &list, &h->err), DOM_OK);
    for (size_t i = 0; i < crash->num_entries; i++) {
        const struct entry_ack *ack = &crash->entries[i];
        if (ack->region == (uint32_t)region) {
            assert_true(ack->index < list.size);
            assert_memory_equal(list.leaves[ack->index].bytes, ack->leaf, 32);
        }
    }
    dom_edge_init(&edge);
    for (uint64_t i = 0; i < head.size; i++) {
        dom_edge_append(&edge, &list.leaves[i], NULL);
    }
    dom_edge_root(&edge, &root);
    assert_true(dom_hash_eq(&root, &head.root));
    for (size_t old = 0; old < round; old++) {
        struct dom_proof proof;
        uint64_t size = 0;
        assert_int_equal(
            dom_store_log_prove_consistency(h->store, region, crash->heads[region][old].size, &size,
                                            &hashes, &h->err),
            DOM_OK);
        proof.num_hashes = (unsigned)(hashes.len / 32);
        if (hashes.len > 0) {
            memcpy(proof.hashes, hashes.data, hashes.len);
        }
        dom_buffer_clear(&hashes);
        assert_int_equal(dom_check_consistency(&proof, &crash->heads[region][old], &head, NULL),
                         DOM_OK);
    }
    crash->heads[region][round] = head;
    dom_buffer_cleanup(&hashes);
    free(list.leaves);
}

static void acknowledged_survives_kill(void **state)
{
    struct crash *crash = *state;

    print_message("seed %u\n", crash->seed);
    for (size_t round = 0; round < ROUNDS; round++) {
        assert_true(run_driver(crash, (uint64_t)(rand_r(&crash->seed) % 250000)));
        harness_open(&crash->h, CRASH_REGIONS);
        harness_settle(&crash->h);
        for (uint32_t i = 0; i < CRASH_IDS; i++) {
            check_record(crash, i);
        }
        for (dom_store_region r = 0; r < CRASH_REGIONS; r++) {
            check_log(crash, r, round);
        }
        harness_close(&crash->h);
    }
    print_message("%zu acknowledgements, %zu entries, %u kills\n", crash->acks, crash->num_entries,
                  ROUNDS);
    assert_true(crash->acks > ROUNDS * 10U);
}

/* ---- at every sync ------------------------------------------------------------------------ */

/* The checkpoints that the dead process left: the one kept apart and the one published. Both must be
 * beginnings of the log that is opened after it; also the last one that is there already. */
static void check_left(struct crash *crash, dom_store_region region, struct dom_slice note)
{
    struct harness *h = &crash->h;
    struct dom_buffer hashes = {0};
    struct dom_checkpoint left;
    struct dom_note_key key;
    struct dom_proof proof;
    uint64_t size = 0;

    if (note.len == 0) {
        return;
    }
    struct dom_tree_head head = signed_head(h, region);
    assert_int_equal(
        dom_note_key_parse(&key, dom_slice_str(dom_store_log_vkey(h->store, region)), NULL),
        DOM_OK);
    assert_int_equal(dom_checkpoint_open(&left, note, &key, 1, NULL, NULL), DOM_OK);
    assert_int_equal(dom_store_log_prove_consistency(h->store, region, left.head.size, &size,
                                                     &hashes, &h->err),
                     DOM_OK);
    proof.num_hashes = (unsigned)(hashes.len / 32);
    if (hashes.len > 0) {
        memcpy(proof.hashes, hashes.data, hashes.len);
    }
    assert_int_equal(dom_check_consistency(&proof, &left.head, &head, NULL), DOM_OK);
    dom_buffer_cleanup(&hashes);
    dom_note_key_cleanup(&key);
}

static void read_left(struct harness *h, struct dom_buffer notes[CRASH_REGIONS][2])
{
    for (int r = 0; r < CRASH_REGIONS; r++) {
        char name[64];
        for (int which = 0; which < 2; which++) {
            (void)snprintf(name, sizeof(name), which == 0 ? "keys/r%d.checkpoint"
                                                          : "r%d/audit/checkpoint", r);
            const char *path = harness_path(h, name);
            if (access(path, F_OK) == 0) {
                assert_int_equal(dom_file_read(&notes[r][which], path, 65536, NULL), DOM_OK);
            }
        }
    }
}

/* ---- and without power -------------------------------------------------------------------- */

static struct crash_synced s_synced[CRASH_SYNCED_MAX];
static size_t s_num_cut;

/* Of a file the disk has what was there at its last sync; of one that was never synced, the name. */
static int cut_file(const char *path, const struct stat *unused, int type, struct FTW *walk)
{
    struct crash_synced file;
    struct statx about;
    size_t at = 0;

    (void)unused;
    (void)walk;
    if (type != FTW_F || strstr(path, "/LOCK") != NULL) {
        return 0;
    }
    assert_int_equal(statx(AT_FDCWD, path, 0, STATX_BTIME | STATX_BASIC_STATS, &about), 0);
    assert_true(crash_identify(&file, &about));
    while (s_synced[at].inode != 0 &&
           (s_synced[at].inode != file.inode || s_synced[at].birth_ns != file.birth_ns)) {
        at++;
    }
    if (s_synced[at].size < file.size) {
        assert_int_equal(truncate(path, (off_t)s_synced[at].size), 0);
        s_num_cut++;
    }
    return 0;
}

static const char *synced_path(const struct crash *crash)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s.synced", crash->h.dir);
    return path;
}

static void cut_power(const struct crash *crash)
{
    int fd = open(synced_path(crash), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, s_synced, sizeof(s_synced)), sizeof(s_synced));
    assert_int_equal(close(fd), 0);
    assert_int_equal(nftw(crash->h.dir, cut_file, 16, FTW_PHYS), 0);
}

static void forget_synced(const struct crash *crash)
{
    int fd = open(synced_path(crash), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(s_synced)), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv(CRASH_SYNCED, synced_path(crash), 1), 0);
}

/* A fresh folder, killed at sync `at`; then all is as it must be. False: it was not killed. */
static bool kill_at_sync(struct crash *crash, unsigned at, bool power)
{
    struct dom_buffer notes[CRASH_REGIONS][2] = {0};
    char number[16];

    (void)snprintf(number, sizeof(number), "%u", at);
    assert_int_equal(setenv(CRASH_KILL_AT_SYNC, number, 1), 0);
    memset(crash->versions, 0, sizeof(crash->versions));
    crash->num_entries = 0;
    if (power) {
        forget_synced(crash);
    }
    bool killed = run_driver(crash, UINT64_MAX / 2);
    if (power) {
        cut_power(crash);
    }
    read_left(&crash->h, notes);
    harness_open(&crash->h, CRASH_REGIONS);
    harness_settle(&crash->h);
    for (uint32_t i = 0; i < CRASH_IDS; i++) {
        check_record(crash, i);
    }
    for (dom_store_region r = 0; r < CRASH_REGIONS; r++) {
        check_log(crash, r, 0);
        for (int which = 0; which < 2; which++) {
            check_left(crash, r, dom_buffer_slice(&notes[r][which]));
            dom_buffer_cleanup(&notes[r][which]);
        }
    }
    harness_close(&crash->h);
    harness_shell(&crash->h, "rm -rf ./*");
    return killed;
}

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *value = getenv(name);

    return value == NULL ? otherwise : (unsigned)strtoul(value, NULL, 10);
}

static void kill_at_any_sync(struct crash *crash, bool power)
{
    unsigned step = number_of("DOMICILE_SYNC_STEP", SYNC_STEP);
    unsigned first = number_of("DOMICILE_SYNC_FIRST", 1 + crash->seed % step);
    unsigned at = first;

    assert_int_equal(setenv(CRASH_STOP_AFTER, STOP_AFTER, 1), 0);
    while (kill_at_sync(crash, at, power)) {
        at += step;
        assert_true(at < SYNCS_MAX);
    }
    print_message("killed at syncs %u to %u, every %u. of them\n", first, at, step);
    assert_int_equal(unsetenv(CRASH_STOP_AFTER), 0);
    assert_int_equal(unsetenv(CRASH_KILL_AT_SYNC), 0);
    assert_true(at > 20); /* it would else count none of RocksDB's */
}

static void acknowledged_survives_kill_at_any_sync(void **state)
{
    kill_at_any_sync(*state, false);
}

static void acknowledged_survives_loss_of_power_at_any_sync(void **state)
{
    struct crash *crash = *state;

    s_num_cut = 0;
    kill_at_any_sync(crash, true);
    print_message("%zu files lost bytes\n", s_num_cut);
    assert_true(s_num_cut > 20);
    assert_int_equal(unlink(synced_path(crash)), 0);
    assert_int_equal(unsetenv(CRASH_SYNCED), 0);
}

static const char *s_driver; /* argv[1] */

static int setup(void **state)
{
    struct crash *crash = calloc(1, sizeof(*crash));
    const char *seed = getenv("DOMICILE_SEED");

    crash->driver = s_driver;
    crash->seed = seed == NULL ? 20261122U : (unsigned)strtoul(seed, NULL, 10);
    crash->entries = calloc(ENTRIES_MAX, sizeof(*crash->entries));
    harness_init(&crash->h);
    crash->h.options.audit_origin = "crash.example";
    *state = crash;
    return 0;
}

static int teardown(void **state)
{
    struct crash *crash = *state;

    harness_cleanup(&crash->h);
    free(crash->entries);
    free(crash);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(acknowledged_survives_kill_at_any_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(acknowledged_survives_loss_of_power_at_any_sync, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(acknowledged_survives_kill, setup, teardown),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: crash_test DRIVER\n");
        return 2;
    }
    s_driver = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
