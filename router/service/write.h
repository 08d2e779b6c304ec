/* One write on its way: what PutRecord and DeleteRecord know of it, and the steps that have files
 * of their own. A step that says false has failed the call. Private to router/service; I/O thread.
 */
#ifndef DOM_ROUTER_SERVICE_WRITE_H
#define DOM_ROUTER_SERVICE_WRITE_H

#include "domicile/v1/record.pb-c.h"
#include "router/service/read.h"

struct dom_write {
    struct dom_turn turn;
    struct dom_async async;
    struct dom_key key;
    struct dom_access access;
    const struct dom_policy_placement *placement;
    dom_policy_id home;
    dom_policy_id purpose;
    dom_store_region lead;
    bool homeless;           /* the caller named no home: `home` is the record's, a secret */
    struct dom_slice *names; /* of the fields */
    size_t num_names;
    dom_policy_set classes;
    dom_store_set *field_regions; /* PUT: per field, the other regions that are to hold it */
    uint64_t bytes;
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    bool retried;              /* the home region was asked for anew once */
    dom_store_region answered; /* that answered this request id before; NO_REGION: none known */
};

/* Fails the call. */
void dom_write_refuse(struct dom_write *write, enum dom_code code, const char *path,
                      const char *why);

/* ---- write_fields.c ---- */

/* Checks every field and packs each as the bytes that will be stored. */
bool dom_write_take_fields(struct dom_write *write, Domicile__V1__Field **fields,
                           size_t num_fields);
/* Whether each may be stored somewhere. After the decision, as it depends on the home, which the
 * caller may not have to learn. */
bool dom_write_check_storable(struct dom_write *write);

/* ---- write_place.c ---- */

/* The home that the caller named, or that of the record as it is. */
bool dom_write_find_home(struct dom_write *write);
/* Which region commits it: `placement` and `lead`. */
bool dom_write_find_placement(struct dom_write *write);
/* The regions besides the lead that are to hold a part, into the operation. Returns those of them
 * in other jurisdictions. */
dom_store_set dom_write_find_targets(struct dom_write *write);
/* What one who named no home hears of a record that is not there. */
void dom_write_say_absent(const struct dom_write *write, struct dom_refusal *refusal);

#endif
