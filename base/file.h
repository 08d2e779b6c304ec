/* Whole files, read and written the careful way. Thread contract: any thread. */
#ifndef DOM_BASE_FILE_H
#define DOM_BASE_FILE_H

#include "base/buffer.h"
#include "base/error.h"

/* Reads a regular file of at most bytes_max bytes into `out` (cleared first; caller cleans up).
 * Errors: IO (cannot open or read, or not a regular file), TOO_LARGE. */
enum dom_code dom_file_read(struct dom_buffer *out, const char *path, size_t bytes_max,
                            struct dom_error *err) DOM_MUST_USE;

/* The same for a secret: the file must be owned by this user and carry no group or other bits
 * (0600 or 0400). Errors: PERMISSION with the mode found and the chmod that mends it. */
enum dom_code dom_file_read_secret(struct dom_buffer *out, const char *path, size_t bytes_max,
                                   struct dom_error *err) DOM_MUST_USE;

/* Replaces `path` with the bytes: temporary file beside it, fsync, rename, fsync of the folder.
 * A crash leaves the old content or the new, whole. `mode` such as 0600. Errors: IO. */
enum dom_code dom_file_write_atomic(const char *path, struct dom_slice bytes, unsigned mode,
                                    struct dom_error *err) DOM_MUST_USE;

/* mkdir -p with `mode` for folders that it makes. An existing folder is fine. Errors: IO. */
enum dom_code dom_dir_make(const char *path, unsigned mode, struct dom_error *err) DOM_MUST_USE;

/* fsync of a folder, so that names in it are durable. Errors: IO. */
enum dom_code dom_dir_sync(const char *path, struct dom_error *err) DOM_MUST_USE;

#endif
