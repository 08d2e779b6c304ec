/* Whether a database's files are still where they were. Private to db.c; owner's thread. */
#ifndef DOM_STORE_REGION_DB_FILES_H
#define DOM_STORE_REGION_DB_FILES_H

#include <rocksdb/c.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

/* The folder as it was when its files were last found to be there. */
struct dom_db_files {
    struct stat folder; /* at the opening: which one it is */
    struct stat seen;   /* the last check's: st_mtim */
    struct stat now;
};

/* Whether the path still leads to the folder that was opened. Any thread. Errors: IO. */
enum dom_code dom_db_files_folder(const struct dom_db_files *files, const char *path,
                                  struct stat *now, struct dom_error *err) DOM_MUST_USE;

enum dom_code dom_db_files_init(struct dom_db_files *files, const char *path,
                                struct dom_error *err) DOM_MUST_USE;
/* One stat of the folder. *changedp: names came or went since dom_db_files_seen. Errors: IO (it has
 * gone, or another one is in its place). */
enum dom_code dom_db_files_look(struct dom_db_files *files, const char *path, bool *changedp,
                                struct dom_error *err) DOM_MUST_USE;
/* Looks for every file: tables, CURRENT, and the write-ahead log that is being written. */
enum dom_code dom_db_files_check(const rocksdb_t *rocks, const char *path,
                                 struct dom_error *err) DOM_MUST_USE;
/* The files were there when the folder was last looked at. */
void dom_db_files_seen(struct dom_db_files *files);

#endif
