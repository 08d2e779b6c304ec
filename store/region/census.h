/* Counts the records of a region without opening one: rows are told by their kind tag, flags and
 * label (row.h). No key is read, so nothing is, or could be, decrypted. Beside a running router.
 *
 * Thread contract: one thread per census; any number of censuses.
 */
#ifndef DOM_STORE_REGION_CENSUS_H
#define DOM_STORE_REGION_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct dom_census_row {
    uint8_t kind_tag[4]; /* dom_census_kind_tag of its kind */
    bool home;           /* this region commits its writes */
    bool labelled;       /* home_country and the fields are known: not of rows from before labels */
    char home_country[3];
    size_t num_fields;
    size_t bytes; /* of the whole row */
    const void *impl;
};
/* Field i < num_fields: the hash of its name and the bytes of its value. */
void dom_census_field(const struct dom_census_row *row, size_t i, uint32_t *name_hash,
                      uint32_t *value_bytes);

/* As rows tell kinds and names. */
void dom_census_kind_tag(uint8_t out[4], struct dom_slice kind);
uint32_t dom_census_name_hash(struct dom_slice name);

/* Calls `each` for every row of <region folder>/db; the row lives for the call. Rows written while
 * it runs may or may not be seen. A row that makes no sense ends it.
 * Errors: IO, CORRUPT, FORMAT. */
enum dom_code dom_census_scan(const char *region_dir,
                              void (*each)(void *arg, const struct dom_census_row *row), void *arg,
                              struct dom_error *err) DOM_MUST_USE;

#endif
