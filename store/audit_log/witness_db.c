#include "store/audit_log/witness_db.h"

#include <stdio.h>

#include "store/audit/checkpoint.h"

#define KEY_BYTES_MAX (sizeof("witness:") + DOM_KEY_NAME_BYTES_MAX)

static struct dom_slice key_of(char *out, struct dom_slice origin)
{
    int len =
        snprintf(out, KEY_BYTES_MAX, "witness:%.*s", (int)origin.len, (const char *)origin.data);

    return dom_slice_of(out, (size_t)len);
}

static enum dom_code parse(struct dom_slice bytes, struct dom_slice origin,
                           struct dom_tree_head *head, struct dom_error *err)
{
    struct dom_checkpoint checkpoint;
    struct dom_note note;

    if (dom_note_parse(&note, bytes, NULL) != DOM_OK ||
        dom_checkpoint_parse(&checkpoint, note.text, NULL) != DOM_OK ||
        !dom_slice_eq(checkpoint.origin, origin)) {
        return DOM_FAIL(err, DOM_CORRUPT, "witness: the checkpoint kept of %.*s is damaged",
                        (int)origin.len, (const char *)origin.data);
    }
    *head = checkpoint.head;
    return DOM_OK;
}

static enum dom_code load(void *impl, struct dom_slice origin, struct dom_tree_head *head,
                          struct dom_error *err)
{
    struct dom_db *db = impl;
    char key[KEY_BYTES_MAX];
    struct dom_db_value value;

    *head = (struct dom_tree_head){0};
    if (!dom_db_enter(db)) {
        return DOM_FAIL(err, DOM_IO, "witness: the database is not open");
    }
    enum dom_code rc = dom_db_get(db, DOM_DB_META, key_of(key, origin), &value, err);
    if (rc == DOM_NOT_FOUND) {
        rc = DOM_OK;
    } else if (rc == DOM_OK) {
        rc = parse(value.bytes, origin, head, err);
    }
    dom_db_value_release(&value);
    dom_db_leave(db);
    return rc;
}

static enum dom_code save(void *impl, struct dom_slice origin, struct dom_slice checkpoint,
                          const struct dom_tree_head *head, struct dom_error *err)
{
    struct dom_db *db = impl;
    char key[KEY_BYTES_MAX];

    (void)head;
    if (!dom_db_enter(db)) {
        return DOM_FAIL(err, DOM_IO, "witness: the database is not open");
    }
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    dom_db_batch_put(db, batch, DOM_DB_META, key_of(key, origin), checkpoint);
    enum dom_code rc = dom_db_write(db, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    dom_db_leave(db);
    return rc;
}

struct dom_witness_store dom_witness_store_db(struct dom_db *db)
{
    return (struct dom_witness_store){.load = load, .save = save, .impl = db};
}
