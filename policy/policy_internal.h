/* What a struct dom_policy holds; for this module's own files. */
#ifndef DOM_POLICY_POLICY_INTERNAL_H
#define DOM_POLICY_POLICY_INTERNAL_H

#include <stdatomic.h>

#include "policy/model.h"
#include "policy/tables.h"

struct dom_policy {
    atomic_uint refs;
    struct dom_arena arena; /* the model's memory, and the tree's that it points into */
    struct dom_model model;
    struct dom_tables tables;
    struct dom_policy_info info;
    char *text; /* owned; info.text shows it */
};

/* The cell for a request, its ids already checked to be valid. */
const struct dom_policy_cell *dom_policy_cell_of(const struct dom_policy *policy,
                                                 const struct dom_policy_request *request);
/* May this service do this op on this kind for this purpose? */
bool dom_policy_service_allows(const struct dom_policy *policy,
                               const struct dom_policy_request *request);

#endif
