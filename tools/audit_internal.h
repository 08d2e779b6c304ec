/* What the files of `domicile audit` share. One thread. */
#ifndef DOM_TOOLS_AUDIT_INTERNAL_H
#define DOM_TOOLS_AUDIT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/note/note.h"
#include "store/audit/checkpoint.h"
#include "store/audit/export.h"
#include "store/audit/quorum.h"
#include "store/audit/report.h"
#include "store/region/keyring.h"
#include "store/region/subject.h"
#include "tools/peer.h"

#define DOM_AUDIT_KEYS_MAX (16U + DOM_QUORUM_LOGS_MAX) /* --key and a policy's logs */
#define DOM_AUDIT_LOGS_MAX 16U

struct dom_audit_args {
    const char *verb;
    const char *log;      /* --log: the first, or the one in use */
    const char *logs[DOM_AUDIT_LOGS_MAX];
    size_t num_logs;
    const char *file;     /* the argument that is no option */
    const char *old;      /* --old */
    const char *new_checkpoint; /* --new */
    const char *format;         /* --format; NULL: the verb's first */
    const char *out;            /* --out */
    const char *manifest; /* --manifest */
    const char *sign_key; /* --sign-key */
    const char *id;       /* --id */
    const char *which;    /* --checkpoint: newest or cosigned; NULL: the latter if it can be */
    uint64_t index;       /* --index */
    bool has_index;
    uint64_t resume_after; /* --resume-after */
    bool has_resume;
    const char *keys_file; /* --keys: a region's key file */
    const char *subject;   /* --subject: KIND/ID, or a keyed hash */
    char subject_hashes[DOM_KEY_EPOCHS_MAX][DOM_SUBJECT_HASH_SIZE]; /* of it, in the filter */
    const char *log_region; /* --log-region: the log is asked for from a router */
    const char *purpose;    /* --purpose */
    const char *notes[DOM_REPORT_NOTES_MAX]; /* --note */
    size_t num_notes;
    const char *check; /* --check: a report that was made earlier */
    struct dom_peer peer;   /* --address, ...; begun by the first of them or by --log-region */
    bool has_peer;
    bool no_index;         /* --no-index */
    bool check_index;      /* verify --index */
    int64_t max_gap_ms; /* --max-gap */
    uint64_t lines;                               /* -n */
    bool has_lines;
    int64_t skew_ms;                              /* --skew */
    bool follow;                                  /* --follow */
    bool json;                                    /* --format json */
    struct dom_export_filter filter;              /* --from, --to, --first, --end, --where */
    struct dom_note_key keys[DOM_AUDIT_KEYS_MAX]; /* --key, --key-file, or the log's own */
    size_t num_keys;
    const char *policy;        /* --policy */
    const char *listen;        /* --listen */
    uint64_t rate;             /* --rate, bytes per second; 0: as fast as it goes */
    const char *state;         /* --state */
    uint64_t epoch;            /* --epoch; 0: none */
    const char *name;          /* --name */
    struct dom_quorum *quorum; /* what it says; NULL: none given */
    bool own_key; /* the key came from the log's own folder */
};

/* Prints what --help tells; DOM_EXIT_OK. */
int dom_audit_help(void);

/* "domicile audit VERB: message" on stderr; returns DOM_EXIT_FAILED. */
int dom_audit_complain(const struct dom_audit_args *args, const struct dom_error *err);

/* Takes the log's own vkey when no key was given. Errors: IO, PARSE. */
enum dom_code dom_audit_need_key(struct dom_audit_args *args, struct dom_error *err) DOM_MUST_USE;

/* Reads --policy and takes its logs' keys. Errors: IO, PARSE. */
enum dom_code dom_audit_take_policy(struct dom_audit_args *args,
                                    struct dom_error *err) DOM_MUST_USE;

/* Makes the i-th --log the one in use; adds its own vkey when no key was given. To be called for
 * each log in order. Errors: IO, PARSE. */
enum dom_code dom_audit_use_log(struct dom_audit_args *args, size_t i,
                                struct dom_error *err) DOM_MUST_USE;

/* Progress for a person who waits: only on a terminal, and only after a second. */
struct dom_audit_progress {
    uint64_t begin_us;
    uint64_t shown_us; /* 0: nothing shown yet */
    bool wanted;
};
void dom_audit_progress_init(struct dom_audit_progress *progress);
/* Takes a struct dom_audit_progress *: how many of how many entries, the rate, the time left. */
void dom_audit_progress_show(void *arg, uint64_t done, uint64_t total);
/* Takes the line away. */
void dom_audit_progress_end(struct dom_audit_progress *progress);

/* The folder's checkpoint: its bytes, and what it says once it is checked. */
enum dom_code dom_audit_open_log(struct dom_audit_args *args, struct dom_buffer *bytes,
                                 struct dom_checkpoint *checkpoint,
                                 struct dom_error *err) DOM_MUST_USE;

/* Verifies the log in use against a checkpoint of it, before something is said about its entries.
 * Errors: TAMPERED (with the first bad index and file), IO. */
enum dom_code dom_audit_check_log(const struct dom_audit_args *args, struct dom_slice checkpoint,
                                  struct dom_error *err) DOM_MUST_USE;

/* An entry as a line for a person, or as JSON; what dom_log_walk calls. Takes the args. */
enum dom_code dom_audit_print_entry(void *arg, uint64_t index, struct dom_slice entry,
                                    const struct dom_entry_head *head,
                                    struct dom_error *err) DOM_MUST_USE;

/* Adds subject=HASH to the filter for --subject, under each epoch of --keys. A name of which no key
 * is at hand is refused. Errors: INVALID, IO. */
enum dom_code dom_audit_add_subject(struct dom_audit_args *args, struct dom_error *err) DOM_MUST_USE;

/* Writes --manifest, signed with --sign-key if there is one. Errors: INVALID, IO, PARSE. */
enum dom_code dom_audit_write_manifest(const struct dom_audit_args *args,
                                       const struct dom_manifest *manifest,
                                       struct dom_error *err) DOM_MUST_USE;

/* Verbs that are in files of their own; each returns an exit code. */
int dom_audit_check_export(struct dom_audit_args *args);
int dom_audit_check_proof(struct dom_audit_args *args);
int dom_audit_consistency(struct dom_audit_args *args);
int dom_audit_export(struct dom_audit_args *args);
/* The export of --log-region, into `out`. */
int dom_audit_export_from_router(struct dom_audit_args *args, FILE *out);
int dom_audit_gap(struct dom_audit_args *args);
int dom_audit_hash(struct dom_audit_args *args);
int dom_audit_index(struct dom_audit_args *args);
int dom_audit_prove(struct dom_audit_args *args);
int dom_audit_query(struct dom_audit_args *args);
int dom_audit_report(struct dom_audit_args *args);
int dom_audit_tail(struct dom_audit_args *args);
int dom_audit_rotate_subject(struct dom_audit_args *args);
int dom_audit_destroy_subject(struct dom_audit_args *args);
int dom_audit_watch(struct dom_audit_args *args);
int dom_audit_witness_key(struct dom_audit_args *args);
/* Whether the folder is a second copy of a log (store/audit/sinkdir.h), and checking one. */
bool dom_audit_is_copy(const char *dir);
int dom_audit_verify_copy(struct dom_audit_args *args);
int dom_audit_verify(struct dom_audit_args *args);

#endif
