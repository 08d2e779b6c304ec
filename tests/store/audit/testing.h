/* What the tests of the audit log share: the outside vectors, a folder of one's own, a log to
 * spoil. Thread contract: one thread. Failures end the test through cmocka.
 */
#ifndef DOM_TESTS_STORE_AUDIT_TESTING_H
#define DOM_TESTS_STORE_AUDIT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buffer.h"
#include "base/note/note.h"
#include "store/audit/event.h"
#include "store/audit/tree.h"

/* The folder of vectors from elsewhere (environment DOMICILE_SHARED, else ../shared beside the
 * source tree); NULL when this machine has none. Static. */
const char *testing_vectors(void);
/* <vectors>/<path>; skips the running test when there are no vectors. Static, until the next call.
 */
const char *testing_vector_path(const char *path);
/* A JSON file of the vectors; the caller owns it. Skips when there are none. */
json_t *testing_vector_json(const char *path);
/* Calls fn for each regular file below <vectors>/<path> with its full path; returns the count.
 * Skips when there are no vectors. */
size_t testing_each_vector(const char *path, void (*fn)(const char *file, void *arg), void *arg);

/* Whole file into `out`; fails the test if it cannot be read. */
void testing_read(struct dom_buffer *out, const char *path);
void testing_write(const char *path, struct dom_slice bytes);

/* Base64 of a JSON string; fails the test on bad base64. */
void testing_base64(struct dom_buffer *out, const char *text);
void testing_hash(struct dom_hash *out, const char *base64);
void testing_hash_hex(struct dom_hash *out, const char *hex);

/* A new empty folder below TEST_TMPDIR; static until the next call. */
const char *testing_folder(void);

#define TESTING_ORIGIN "audit.example.com/eu-west"
/* Signs as TESTING_ORIGIN with a fixed seed that begins with `seed0`. */
void testing_signer(struct dom_note_signer *signer, uint8_t seed0);

/* A complete, valid access event; its slices are static. `i` makes id, nonce and time. */
void testing_event(struct dom_audit_event *event, uint64_t i);

/* The i-th of a mixed lot: each type, several countries and purposes; i % 10 == 0 is a control
 * event, 5 a denial, 9 has hostile texts. One minute after the one before. */
void testing_mixed_event(struct dom_audit_event *event, uint64_t i);

/* The same with a record and a trace of its own in each request, one user per 500 entries, one
 * service per 1,000 and one policy version per 10,000. Its slices live until the next call. */
void testing_varied_event(struct dom_audit_event *event, uint64_t i);

/* A log in memory: entries in bundle form per 256, and the tree. */
struct testing_log {
    struct dom_memory_tree tree;
    struct dom_buffer entries; /* uint32 length and bytes, end to end */
    struct dom_buffer offsets; /* uint64 each */
    struct dom_note_signer signer;
};
void testing_log_init(struct testing_log *log);
void testing_log_cleanup(struct testing_log *log);
void testing_log_append(struct testing_log *log, struct dom_slice entry);
/* Events 0 .. count-1 of testing_event. */
void testing_log_fill(struct testing_log *log, uint64_t count);
/* The same with testing_mixed_event. */
void testing_log_fill_mixed(struct testing_log *log, uint64_t count);
/* The same with testing_varied_event. */
void testing_log_fill_varied(struct testing_log *log, uint64_t count);
struct dom_slice testing_log_entry(const struct testing_log *log, uint64_t index);
/* Publishes from old_size to the present size, and the log's vkey. */
void testing_log_publish(struct testing_log *log, const char *dir, uint64_t old_size);
/* The signed checkpoint of the present size. */
void testing_log_checkpoint(struct testing_log *log, struct dom_buffer *out);

#endif
