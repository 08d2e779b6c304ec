/* The outbox: what a home region still owes its replicas. One entry per committed write that has
 * targets, in the order of commits; it holds no value of the record.
 *
 *   key    uint64 big-endian sequence number, from 1 on, without gaps
 *   value  format byte, type (1 write, 2 delete, 3 place), uint64 version, uint64 targets (peer numbers
 *          of the home region), uint16 key length, row key; a delete is followed by its identity
 *          (kind length byte, kind, id), sealed like a row: the row itself is gone. "place": the
 *          record is as it was, but belongs in other regions than before.
 *
 * Thread contract: pure.
 */
#ifndef DOM_STORE_REPLICA_OUTBOX_H
#define DOM_STORE_REPLICA_OUTBOX_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define DOM_OUTBOX_HEADER_SIZE 20U

enum dom_outbox_type { DOM_OUTBOX_WRITE = 1, DOM_OUTBOX_DELETE = 2, DOM_OUTBOX_PLACE = 3 };

struct dom_outbox_entry {
    enum dom_outbox_type type;
    uint64_t version;
    uint64_t targets;        /* peer numbers */
    struct dom_slice key;    /* of the row at home */
    struct dom_slice sealed; /* identity of a deleted row */
};

size_t dom_outbox_size(const struct dom_outbox_entry *entry);
void dom_outbox_encode(const struct dom_outbox_entry *entry, uint8_t *out);
/* Slices lie in `value`. Errors: CORRUPT, FORMAT. */
enum dom_code dom_outbox_decode(struct dom_outbox_entry *entry, struct dom_slice value,
                                struct dom_error *err) DOM_MUST_USE;

#endif
