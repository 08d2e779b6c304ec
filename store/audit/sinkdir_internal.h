/* What writing and checking a second copy share. Private to store/audit. */
#ifndef DOM_STORE_AUDIT_SINKDIR_INTERNAL_H
#define DOM_STORE_AUDIT_SINKDIR_INTERNAL_H

#include "store/audit/sinkdir.h"

#define DOM_SINKDIR_FORMAT    "domicile-sink 1\norigin %.*s\n"
#define DOM_SINKDIR_NAME_SIZE 40

#define DOM_SINKDIR_ENTRIES     "entries"
#define DOM_SINKDIR_CHECKPOINTS "checkpoints"

/* "00000000000000000042.entries" */
void dom_sinkdir_name(char out[DOM_SINKDIR_NAME_SIZE], uint64_t first, const char *kind);

/* Errors: IO, FORMAT. */
enum dom_code dom_sinkdir_read_format(const char *dir, char *origin, size_t origin_size,
                                      struct dom_error *err) DOM_MUST_USE;

/* The files of a kind by their numbers, ascending. */
struct dom_sinkdir_files {
    uint64_t *first;
    size_t num;
    size_t capacity;
};
enum dom_code dom_sinkdir_list(struct dom_sinkdir_files *files, const char *dir, const char *kind,
                               struct dom_error *err) DOM_MUST_USE;
void dom_sinkdir_files_cleanup(struct dom_sinkdir_files *files);

/* Calls `each` for every whole item of the file, numbered from `first` on. *tornp: bytes are left at
 * its end. Errors: IO. */
enum dom_code dom_sinkdir_walk(const char *dir, uint64_t first, const char *kind,
                               bool (*each)(void *context, uint64_t index, struct dom_slice entry),
                               void *context, bool *tornp, struct dom_error *err) DOM_MUST_USE;

#endif
