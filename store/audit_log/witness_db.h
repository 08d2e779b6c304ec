/* A region's memory as a witness of other logs: `meta` "witness:<origin>" -> the checkpoint that
 * it cosigned last.
 *
 * Thread contract: as store/audit/witness.h asks of a store; the database outlives it.
 */
#ifndef DOM_STORE_AUDIT_LOG_WITNESS_DB_H
#define DOM_STORE_AUDIT_LOG_WITNESS_DB_H

#include "store/audit/witness.h"
#include "store/region/db.h"

/* Loading and saving fail with IO while the database is not open. */
struct dom_witness_store dom_witness_store_db(struct dom_db *db);

#endif
