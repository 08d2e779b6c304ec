/* Writes under load until it is killed, by its parent or, at a given sync, by itself.
 * Usage: crash_driver DIR; acknowledgements go to fd 3. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "store/store.h"
#include "tests/crash/crash.h"

struct slot {
    struct dom_store_op op;
    struct dom_store_field fields[2];
    struct dom_store_receipt receipt;
    struct dom_slice entry;
    char entry_text[64];
    char id[16];
    char value[32];
    uint32_t number;
    uint64_t version; /* that the operation under way makes; 0: not known */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct dom_store_op *finished;
} s_done = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* ---- the syncs of this process, RocksDB's too: the program's own symbols come first ------------ */

static atomic_ulong s_syncs;
static unsigned long s_kill_at; /* 0: never */

static void count_sync(void)
{
    if (atomic_fetch_add(&s_syncs, 1) + 1 == s_kill_at) {
        (void)kill(getpid(), SIGKILL);
        for (;;) {
            (void)pause(); /* the signal is for the process; this thread must not go on */
        }
    }
}

static struct crash_synced *s_synced; /* NULL: nobody asks */
static pthread_mutex_t s_synced_lock = PTHREAD_MUTEX_INITIALIZER;

/* What the file has before the call is kept after it. */
static int sync_file(long call, int fd)
{
    struct crash_synced file = {0};
    struct statx about;
    bool known = s_synced != NULL && statx(fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_BASIC_STATS,
                                           &about) == 0 && crash_identify(&file, &about);

    count_sync();
    int result = (int)syscall(call, fd);
    if (known && result == 0) {
        size_t at = 0;
        DOM_ASSERT(pthread_mutex_lock(&s_synced_lock) == 0);
        while (s_synced[at].inode != 0 && (s_synced[at].inode != file.inode ||
                                           s_synced[at].birth_ns != file.birth_ns)) {
            at++;
            DOM_ASSERT(at < CRASH_SYNCED_MAX);
        }
        if (file.size > s_synced[at].size || s_synced[at].inode == 0) {
            s_synced[at] = file;
        }
        DOM_ASSERT(pthread_mutex_unlock(&s_synced_lock) == 0);
    }
    return result;
}

int fsync(int fd)
{
    return sync_file(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_file(SYS_fdatasync, fd);
}

static void open_synced(const char *path)
{
    if (path != NULL) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        DOM_ASSERT(fd >= 0);
        s_synced = mmap(NULL, CRASH_SYNCED_MAX * sizeof(*s_synced), PROT_READ | PROT_WRITE,
                        MAP_SHARED, fd, 0);
        DOM_ASSERT(s_synced != MAP_FAILED && close(fd) == 0);
    }
}

static unsigned long variable(const char *name)
{
    const char *value = getenv(name);

    return value == NULL ? 0 : strtoul(value, NULL, 10);
}

static void post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    (void)context;
    DOM_ASSERT(pthread_mutex_lock(&s_done.lock) == 0);
    last->next = s_done.finished;
    s_done.finished = first;
    DOM_ASSERT(pthread_cond_signal(&s_done.wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&s_done.lock) == 0);
}

static dom_store_set field_regions(void *context, struct dom_slice kind, const char *home,
                                   struct dom_slice field)
{
    (void)context;
    (void)kind;
    (void)home;
    return field.data[0] == 'p' ? ~(dom_store_set)0 : 0;
}

static void start(struct dom_store *store, struct slot *slot)
{
    struct dom_store_op *op = &slot->op;
    bool bare = slot->number >= CRASH_IDS;

    memset(op, 0, sizeof(*op));
    (void)snprintf(slot->entry_text, sizeof(slot->entry_text), "entry of %u version %llu",
                   slot->number, (unsigned long long)slot->version);
    slot->entry = dom_slice_str(slot->entry_text);
    (void)snprintf(slot->value, sizeof(slot->value), "%u-%llu", slot->number,
                   (unsigned long long)slot->version);
    slot->fields[0] =
        (struct dom_store_field){DOM_SLICE_LIT("p_value"), dom_slice_str(slot->value)};
    slot->fields[1] =
        (struct dom_store_field){DOM_SLICE_LIT("h_value"), dom_slice_str(slot->value)};
    op->type = bare                                           ? DOM_STORE_APPEND
               : crash_is_delete(slot->number, slot->version) ? DOM_STORE_DELETE
                                                              : DOM_STORE_PUT;
    op->region = bare ? (dom_store_region)(slot->number % CRASH_REGIONS) : 0;
    op->deadline_us = UINT64_MAX;
    op->kind = DOM_SLICE_LIT("user");
    op->id = dom_slice_str(slot->id);
    memcpy(op->home, "DE", 3);
    op->fields = slot->fields;
    op->num_fields = 2;
    op->targets = 2 | 4;
    op->sync = slot->number % 7 == 0 ? 2 : 0;
    op->entries = &slot->entry;
    op->num_entries = bare || crash_has_entry(slot->number) ? 1 : 0;
    op->no_border = op->num_entries == 0;
    op->receipts = &slot->receipt;
    op->owner = slot;
    DOM_ASSERT(dom_store_submit(store, op, NULL) == DOM_OK);
}

static void acknowledge(const struct slot *slot)
{
    bool bare = slot->number >= CRASH_IDS;
    struct crash_ack ack = {.id = bare ? UINT32_MAX : slot->number,
                            .region = (uint32_t)slot->op.region,
                            .version = slot->op.version,
                            .index = slot->op.num_entries == 0 ? UINT64_MAX : slot->receipt.index};

    memcpy(ack.leaf, slot->receipt.leaf_hash, sizeof(ack.leaf));
    while (write(CRASH_ACK_FD, &ack, sizeof(ack)) != (ssize_t)sizeof(ack)) {
        DOM_ASSERT(errno == EINTR);
    }
}

static void run(struct dom_store *store)
{
    unsigned long stop_after = variable(CRASH_STOP_AFTER);
    unsigned long acks = 0;

    for (;;) {
        DOM_ASSERT(pthread_mutex_lock(&s_done.lock) == 0);
        while (s_done.finished == NULL) {
            DOM_ASSERT(pthread_cond_wait(&s_done.wake, &s_done.lock) == 0);
        }
        struct dom_store_op *op = s_done.finished;
        s_done.finished = NULL;
        DOM_ASSERT(pthread_mutex_unlock(&s_done.lock) == 0);
        while (op != NULL) {
            struct dom_store_op *next = op->next;
            struct slot *slot = op->owner;
            if (op->code != DOM_OK) {
                (void)fprintf(stderr, "driver: %s\n", op->message);
                exit(1);
            }
            acknowledge(slot);
            if (++acks == stop_after) {
                return;
            }
            slot->version = op->version + 1;
            start(store, slot);
            op = next;
        }
    }
}

int main(int argc, char **argv)
{
    struct dom_store_options options = {.audit_origin = "crash.example",
                                        .post = post,
                                        .field_regions = field_regions,
                                        .checkpoint_ms = 20,
                                        .purge_ms = 50};
    struct dom_store *store = NULL;
    struct dom_store_session *session = NULL;
    struct dom_error err = {0};
    struct slot *slots = calloc(CRASH_IDS + CRASH_APPENDERS, sizeof(*slots));

    s_kill_at = variable(CRASH_KILL_AT_SYNC);
    open_synced(getenv(CRASH_SYNCED));
    options.data_dir = argc == 2 ? argv[1] : NULL;
    DOM_ASSERT(slots != NULL);
    enum dom_code rc = dom_store_new(&store, &options, &err);
    for (int i = 0; i < CRASH_REGIONS && rc == DOM_OK; i++) {
        char name[4] = {'r', (char)('0' + i), '\0', '\0'};
        dom_store_region region = 0;
        rc = dom_store_open_region(store, &region, name, &err);
    }
    if (rc != DOM_OK || dom_store_session_new(&session, store, &err) != DOM_OK) {
        (void)fprintf(stderr, "driver: %s\n", err.message);
        return 1;
    }
    for (uint32_t i = 0; i < CRASH_IDS + CRASH_APPENDERS; i++) {
        uint8_t first[4096];
        struct dom_arena arena;
        struct dom_store_row row;
        dom_arena_init(&arena, first, sizeof(first), sizeof(first));
        slots[i].number = i;
        (void)snprintf(slots[i].id, sizeof(slots[i].id), "id%u", i);
        if (dom_store_get(session, 0, DOM_SLICE_LIT("user"), dom_slice_str(slots[i].id), &arena,
                          &row, NULL) == DOM_OK) {
            slots[i].version = row.version + 1;
        }
        dom_arena_cleanup(&arena);
        start(store, &slots[i]);
    }
    run(store);
    dom_store_session_destroy(session);
    dom_store_destroy(store);
    (void)fprintf(stderr, "driver: %lu syncs\n", atomic_load(&s_syncs));
    return 0;
}
