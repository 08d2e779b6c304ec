/* A store in a temporary folder, and blocking versions of its calls, for tests. One thread. */
#ifndef DOM_TESTS_STORE_REGION_HARNESS_H
#define DOM_TESTS_STORE_REGION_HARNESS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/region/db.h"
#include "store/store.h"

#define HARNESS_REGIONS_MAX 8

struct harness {
    char dir[256];
    struct dom_store_options options;
    struct dom_store *store;
    struct dom_store_session *session;
    dom_store_region regions[HARNESS_REGIONS_MAX];
    struct dom_arena arena;
    struct dom_error err;
    struct dom_clock clock; /* wall time by hand when wall_ms is not 0 */
    _Atomic int64_t wall_ms;
    /* Which regions may hold a field: by its first letter, 'p' public: all; 'h': none but home;
     * '0'..'7': that region number. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int hold;       /* region + 1 whose commit thread is held in post; 0: none */
    int held;       /* times it was */
    int audit_down; /* times told */
    int audit_up;
};

/* A fresh folder. Set options before harness_open. */
void harness_init(struct harness *h);
void harness_open(struct harness *h, size_t num_regions); /* regions r0, r1, ... */
void harness_close(struct harness *h);
/* Closes and removes the folder. */
void harness_cleanup(struct harness *h);

/* For cmocka: the state is a harness that is not open yet. */
int harness_setup(void **state);
int harness_teardown(void **state);
/* The state, with the store open for the first time. */
struct harness *harness_fresh(void **state, size_t num_regions);

/* "name=value" pairs, ended by NULL. */
struct op_spec {
    struct dom_store_op op;
    struct dom_store_field fields[16];
    struct dom_slice entries[4];
    struct dom_store_receipt receipts[4];
};
void op_put(struct op_spec *spec, dom_store_region region, const char *id, ...);
void op_delete(struct op_spec *spec, dom_store_region region, const char *id);
void op_append(struct op_spec *spec, dom_store_region region, const char *entry);
void op_entry(struct op_spec *spec, const char *entry);
/* Makes it a request with this id, of service svc. */
void op_request(struct op_spec *spec, const char *id);
/* Submits and waits; returns the operation's code. */
enum dom_code harness_run(struct harness *h, struct op_spec *spec);
/* Submits all, then waits for all. */
void harness_run_all(struct harness *h, struct op_spec *specs, size_t count);
/* Puts with fields and no further wishes; the version. Fails the test on an error. */
uint64_t harness_put(struct harness *h, dom_store_region region, const char *id, const char *value);

/* The row's field as a NUL-terminated string, NULL when the row or field is not there. */
const char *harness_field(struct harness *h, dom_store_region region, const char *id,
                          const char *field);
enum dom_code harness_get(struct harness *h, dom_store_region region, const char *id,
                          struct dom_store_row *row);
void harness_settle(struct harness *h);

/* How many files below dir (its sub-folder `below`, may be "") hold the bytes. */
size_t harness_grep(const struct harness *h, const char *below, const char *needle);
/* <dir>/name; static memory, good until the next call. */
const char *harness_path(const struct harness *h, const char *name);
/* Runs a shell command in the store's folder; it must succeed. */
void harness_shell(const struct harness *h, const char *command);
/* With the store closed: opening region `name` must fail with this code, and the message must hold
 * `part`. */
void harness_refuses(struct harness *h, const char *name, enum dom_code want, const char *part);
/* With the store closed: gives r0's database, with an iterator at the family's first value, to
 * `change`, and writes the batch that it fills. */
typedef void harness_change_fn(struct dom_db *db, enum dom_db_family family,
                               rocksdb_iterator_t *iter, rocksdb_writebatch_t *batch);
void harness_change(const struct harness *h, enum dom_db_family family, harness_change_fn *change);
/* Appends entries "entry", or such a text, to region 0's log; many share a commit. */
void harness_append(struct harness *h, size_t count);
void harness_append_text(struct harness *h, const char *text, size_t count);
void harness_remove_tree(const char *path);

#endif
