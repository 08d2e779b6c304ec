/* Recomputes a published log from its entries and compares everything: promise P5.
 *
 * Every entry is hashed, every tile of every level is rebuilt and compared with its file, the
 * root with the checkpoint, the checkpoint with the keys, and the root at an earlier size with an
 * earlier checkpoint. The folder is only read, front to back, in constant memory.
 *
 * Thread contract: any thread; it blocks on files.
 */
#ifndef DOM_STORE_AUDIT_VERIFY_H
#define DOM_STORE_AUDIT_VERIFY_H

#include "base/error.h"
#include "base/pace.h"
#include "base/note/note.h"
#include "store/audit/checkpoint.h"
#include "store/audit/quorum.h"
#include "store/audit/tile.h"
#include "store/audit/tree.h"

#define DOM_VERIFY_NO_INDEX UINT64_MAX

struct dom_verify_options {
    const char *dir;
    const struct dom_note_key *keys; /* one of them is the log's */
    size_t num_keys;
    struct dom_slice checkpoint;     /* signed note to verify against; empty: the folder's */
    struct dom_slice old_checkpoint; /* signed note kept from earlier; empty: none */
    const struct dom_quorum *quorum; /* who must have cosigned; NULL: nobody is asked about */
    struct dom_slice cosigned; /* an older note with more cosignatures (<dir>/checkpoint.cosigned);
                                * empty: none. It may meet the quorum where the newest does not */
    int64_t skew_ms;           /* how far times may go backwards unreported */
    bool opaque_entries;       /* entries are not our JSON: only hash them */
    const struct dom_pace *pace;     /* asked after each file; NULL: as fast as it goes */
    void (*progress)(void *arg, uint64_t done, uint64_t total); /* per bundle; may be NULL */
    void *progress_arg;
};

struct dom_verify_result {
    char origin[DOM_KEY_NAME_BYTES_MAX + 1];
    struct dom_tree_head head; /* what the checkpoint says */
    struct dom_hash root;      /* what the entries give */
    bool signature_good;
    uint64_t num_tiles, num_tiles_good;
    uint64_t num_bundles, num_bundles_good;
    uint64_t num_entries, num_entries_good; /* those that are there: from first_entry on */
    uint64_t first_entry; /* entries before it were pruned, and the log says so; their hashes are
                           * checked like all others */

    uint64_t num_findings;
    uint64_t bad_index;                /* of the first finding, or DOM_VERIFY_NO_INDEX */
    char bad_path[DOM_TILE_PATH_SIZE]; /* file of the first finding, below the folder */
    char why[256];                     /* what is wrong there */

    struct dom_quorum_result quorum; /* of the newest checkpoint, or of `cosigned` if that is it */
    uint64_t quorum_size;            /* entries that the quorum vouches for; 0: not met */

    bool old_checked; /* an earlier checkpoint was given and is a prefix of this log */
    uint64_t old_size;
    /* Reported, not findings: */
    uint64_t num_backwards;   /* entries whose time is over skew_ms before an earlier one's */
    uint64_t first_backwards; /* index of the first such entry */
    bool files_beyond;        /* the folder holds tiles of a larger tree than the checkpoint */
};

/* DOM_OK: the log is sound. TAMPERED: it is not, *result says where first; err has the same in
 * words. Errors: INVALID (folder's path), IO (no checkpoint can be read), RESOURCE,
 * CANCELLED (the pace said stop; nothing is known then). */
enum dom_code dom_log_verify(const struct dom_verify_options *options,
                             struct dom_verify_result *result, struct dom_error *err) DOM_MUST_USE;

#endif
