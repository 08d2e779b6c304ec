/* Reading one record: which region gives it, what of it, and whether a border is crossed.
 * Private to router/service; I/O thread. */
#ifndef DOM_ROUTER_SERVICE_READ_H
#define DOM_ROUTER_SERVICE_READ_H

#include "router/service/internal.h"

struct dom_freshness {
    bool strong;
    uint64_t at_least_version;
    bool bounded;
    uint64_t max_staleness_ms;
};

/* What all keys of one request share. */
struct dom_read {
    struct dom_turn *turn;
    dom_policy_id purpose;
    const struct dom_slice *names;
    size_t num_names;
    struct dom_freshness freshness;
};

/* What became of one key. Everything lies in the turn's arena. */
struct dom_read_result {
    enum dom_code code;           /* DOM_OK: `body` is the answer */
    bool hidden;                  /* a denial that is told as NOT_FOUND */
    struct dom_refusal refusal;   /* when code is not OK */
    struct dom_access access;     /* how it was decided; access.request.kind NONE: not at all */
    struct dom_slice body;        /* a GetRecordResponse without its receipt */
    struct dom_slice entry;       /* must be durable in the log of access.served (or
                                   * entry_region) before anything is told; empty: no border */
    dom_store_region entry_region;
    struct dom_slice limit_keys[2 * DOM_OBLIGATIONS_MAX];
    size_t num_limit_keys;
    bool logged;                  /* the entry and the limit keys are durable */
};

/* Whom the row is about: its kind's subject field, or else its id. */
struct dom_slice dom_row_subject(const struct dom_snapshot *snapshot, dom_policy_id kind,
                                 const struct dom_store_row *row);

/* Never fails: the outcome is in the result. */
void dom_read_one(const struct dom_read *read, const struct dom_key *key,
                  struct dom_read_result *result);

/* ---- read_find.c ---- */

/* The region's row; NO_REGION has none. Errors: NOT_FOUND, and dom_store_get's. */
enum dom_code dom_read_row(const struct dom_turn *turn, dom_store_region region,
                           const struct dom_key *key, struct dom_store_row *row,
                           struct dom_error *err) DOM_MUST_USE;
/* The region that the policy in force makes the home of such a row; may be NO_REGION. */
dom_store_region dom_read_lead(const struct dom_turn *turn, dom_policy_id kind,
                               const struct dom_store_row *row);
/* Finds a row of the record: where the caller is, then by the key's home, then (no home given) in
 * every region. Errors: NOT_FOUND, and those of dom_store_get. */
enum dom_code dom_read_find(const struct dom_turn *turn, const struct dom_key *key,
                            struct dom_store_row *row, dom_store_region *regionp,
                            struct dom_error *err) DOM_MUST_USE;

#endif
