/* Private to store/audit_log. */
#ifndef DOM_STORE_AUDIT_LOG_AUDIT_LOG_INTERNAL_H
#define DOM_STORE_AUDIT_LOG_AUDIT_LOG_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/note/note.h"
#include "store/audit/checkpoint.h"
#include "store/audit/index.h"
#include "store/audit/pruned.h"
#include "store/audit/tile.h"
#include "store/audit/tiledir.h"
#include "store/audit/tree.h"
#include "store/audit_log/audit_log.h"
#include "store/audit_log/recent.h"

/* Leaf hashes that wait for integration; past it they are read back from the entries. */
#define DOM_AUDIT_LOG_PENDING_MAX (64U << 10)

struct dom_audit_log_tile {
    uint64_t n;
    unsigned width;
    bool dirty;
    uint8_t hashes[DOM_TILE_BYTES];
};

struct dom_audit_log {
    struct dom_db *db;
    char *origin;
    char *vkey;
    char *dir;
    char *kept_path;
    uint64_t checkpoint_us;
    void (*cosign)(void *context, struct dom_audit_log *log, struct dom_buffer *lines);
    void *cosign_context;
    struct dom_note_signer signer;

    uint64_t next;            /* commit thread */
    struct dom_buffer packed; /* commit thread: the run being staged */
    _Atomic uint64_t size;   /* durable entries */
    _Atomic uint64_t due_us; /* UINT64_MAX: nothing to sign */
    _Atomic uint64_t num_checkpoints;

    pthread_mutex_t pending_lock;
    struct dom_buffer pending; /* leaf hashes end to end */
    uint64_t pending_first;    /* index of the first of them */
    struct dom_audit_recent pending_entries;

    /* The integrating thread's. */
    bool loaded; /* edge and tiles agree with the database */
    struct dom_edge edge;
    struct dom_audit_log_tile *tiles; /* right-edge tile of each level */
    rocksdb_writebatch_t *batch;
    _Atomic uint64_t published_size;
    struct dom_audit_recent recent; /* from the last bundle on that is not full on files */
    struct dom_index_writer index;
    bool index_failed; /* the last time; told once */
    atomic_bool republish;   /* published files have gone: told by who looks */
    atomic_bool restore;     /* what is missing of them is to be written */
    bool renote;             /* the checkpoint has lines that its file lacks */
    atomic_bool ask_again;   /* a witness that had not answered could now */
    _Atomic uint64_t step_us; /* see dom_audit_log_step_us */
    _Atomic uint64_t num_lost;

    /* folders.c: of each level, bundles first; the looking thread's. */
    struct dom_audit_log_folders {
        struct dom_audit_log_folder *list; /* by number */
        size_t num;
        uint64_t next; /* whose turn it is */
    } folders[DOM_TILE_LEVELS + 1];
    /* published.c; one watching thread. */
    uint64_t watched_size;
    uint64_t watched_us;

    pthread_mutex_t note_lock;
    struct dom_buffer note;    /* newest signed checkpoint */
    struct dom_tree_head head; /* what it says */
    _Atomic uint64_t first;     /* entries before it are pruned */
    struct dom_pruned to_prune; /* not done yet; first 0: nothing */
    _Atomic bool compact;
    struct dom_buffer cosigned; /* newest with a quorum of outside witnesses; empty: none */
    uint64_t cosigned_size;
    bool cosigned_new; /* not on file yet */
    _Atomic uint64_t num_asked[DOM_AUDIT_LOG_REFUSED + 1];
};

/* Whether the full tiles and bundles of a log of this size are there; of a very long one, those of some
 * folders. The looking thread. */
bool dom_audit_log_folders_whole(struct dom_audit_log *log, uint64_t size, uint64_t first);
void dom_audit_log_folders_cleanup(struct dom_audit_log *log);
/* The integrating thread begins something that may hang: one file or one database write. */
void dom_audit_log_step(struct dom_audit_log *log);
/* prune.c: writes the statement of what is pruned again, for a folder that was lost with it. As
 * dom_audit_log_prune_now. */
enum dom_code dom_audit_log_restate(struct dom_audit_log *log, struct dom_error *err) DOM_MUST_USE;
/* prune.c: does what dom_audit_log_prune wants. The caller is inside dom_db_enter; the integrating
 * thread. */
enum dom_code dom_audit_log_prune_now(struct dom_audit_log *log,
                                      struct dom_error *err) DOM_MUST_USE;
/* Reads hashes from the `tiles` family; the caller is inside dom_db_enter. */
struct dom_hash_reader dom_audit_log_reader(struct dom_audit_log *log);
/* Walks entries from..to-1; the caller is inside dom_db_enter. */
enum dom_code dom_audit_log_walk(struct dom_audit_log *log, uint64_t from, uint64_t to,
                                 bool (*each)(void *context, uint64_t index,
                                              struct dom_slice entry),
                                 void *context, struct dom_error *err) DOM_MUST_USE;
/* Entries of a run as the database holds it. */
enum dom_code dom_audit_log_run_count(struct dom_slice stored, unsigned *countp,
                                      struct dom_error *err) DOM_MUST_USE;
/* The leaf hash of each entry of a range is that of the tree. */
enum dom_code dom_audit_log_check_leaves(struct dom_audit_log *log, uint64_t from, uint64_t to,
                                         struct dom_error *err) DOM_MUST_USE;
/* Edge and right-edge tiles of the integrated tree, from the database. */
enum dom_code dom_audit_log_load_tree(struct dom_audit_log *log,
                                      struct dom_error *err) DOM_MUST_USE;
enum dom_code dom_audit_log_meta(struct dom_audit_log *log, const char *name, uint64_t *valuep,
                                 struct dom_error *err) DOM_MUST_USE;
/* Takes some of what is published into the index; due again when more is left. The integrating
 * thread. */
void dom_audit_log_index(struct dom_audit_log *log);
void dom_audit_log_tile_key(uint8_t *out, int level, uint64_t n);
#define DOM_AUDIT_LOG_TILE_KEY_SIZE 9U

#endif
