/* The journal: makes a region's small groups of audit entries durable with one write into blocks
 * that are on the disk already. The sync of a growing file (RocksDB's write-ahead log) waits for
 * the file system to commit the file's new size and blocks too; here nothing of the file changes
 * but its bytes, which takes a half to three quarters of the time (decision 0028).
 *
 * A group goes into the database unsynced first and then, as the very batch, into the journal. What
 * the database has synced since is not needed here any more, and its room is used again. After a
 * crash of the machine the database may have lost the end of its write-ahead log: replay gives the
 * batches that continue the log where the database's ends.
 *
 * Batches of entries alone, never one with a part of a record: bytes stay in the file until they
 * are overwritten, and a deleted record's must not (promise P9). Entries are kept for years, hold no
 * value, and know persons by keyed hashes only.
 *
 * The file has DOM_JOURNAL_BYTES for records and a block for tries, in blocks of 4 KiB; a record begins
 * at a block:
 *
 *   0   8 bytes "DOMJRNL1"
 *   8   8 bytes run: random, the same in all records written since the journal was last begun anew
 *   16  u64 big-endian: index of the first entry
 *   24  u32 big-endian: how many entries
 *   28  u32 big-endian: length of the batch
 *   32  SHA-256 of the log's origin, a zero byte, bytes 0 to 31, and the batch
 *   64  the batch, then zeros up to the next block
 *
 * Thread contract: wipe: any thread; the rest: the thread that has the region's database, which is
 * the opening one and then the commit thread.
 */
#ifndef DOM_STORE_REGION_JOURNAL_H
#define DOM_STORE_REGION_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define DOM_JOURNAL_BYTES       (1U << 20)
#define DOM_JOURNAL_BLOCK       4096U
#define DOM_JOURNAL_BATCH_BYTES (32U << 10) /* of one batch at most */
#define DOM_JOURNAL_FREE_BYTES  (64U << 20) /* on the disk, or no journal is made */

struct dom_journal;

/* `origin` is the log's; a record of another log is not replayed. Nothing is opened yet. */
struct dom_journal *dom_journal_new(const char *path, const char *origin);
void dom_journal_destroy(struct dom_journal *journal);

/* Opens or creates the file, once more if it is open. What is there is kept until the first append.
 * Errors: IO (it cannot be made, or the disk is nearly full; nothing is left of it): then appends say
 * false and a replay gives nothing. */
enum dom_code dom_journal_open(struct dom_journal *journal, struct dom_error *err) DOM_MUST_USE;

/* `batch` has the entries from `first` on and is in the database, unsynced. `synced`: entries, from
 * the log's beginning, that the database keeps without the journal. True: the batch is durable.
 * False: it is not, and the database must be synced: the batch is larger than
 * DOM_JOURNAL_BATCH_BYTES, there is no room until more is synced, or the disk refuses (then the journal
 * takes nothing until it is opened again). */
bool dom_journal_append(struct dom_journal *journal, uint64_t first, uint32_t count,
                        struct dom_slice batch, uint64_t synced);

/* Overwrites all that is there with zeros, for entries that are to be gone. `sync` is called first and
 * makes durable in the database what the journal may hold; nothing is appended meanwhile. Errors: IO,
 * and what `sync` gives; then nothing was overwritten, or the journal takes nothing any more. */
enum dom_code dom_journal_wipe(struct dom_journal *journal, enum dom_code (*sync)(void *context,
                                                                  struct dom_error *err),
                               void *context, struct dom_error *err) DOM_MUST_USE;

/* The database that batches are given back to. */
struct dom_journal_target {
    /* Whether it has the batch that begins at this entry, or need not have it any more. */
    bool (*has)(void *context, uint64_t first);
    /* Errors end the replay. */
    enum dom_code (*apply)(void *context, uint64_t first, uint32_t count, struct dom_slice batch,
                           struct dom_error *err);
    void *context;
};

/* Gives back, in order, each batch that continues a log of `size` entries, and each before that which
 * the database has not: of two write-ahead logs the end of the older one may be lost and the newer
 * one there. A record that was being written at the crash ends the journal: nobody was told that it
 * is durable. Errors: IO, and what `apply` gives. */
enum dom_code dom_journal_replay(struct dom_journal *journal, uint64_t size,
                                 const struct dom_journal_target *target,
                                 struct dom_error *err) DOM_MUST_USE;

#endif
