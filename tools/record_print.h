/* Answers of the RecordService as text or JSON. Private to tools. One thread. */
#ifndef DOM_TOOLS_RECORD_PRINT_H
#define DOM_TOOLS_RECORD_PRINT_H

#include <stdbool.h>

#include "domicile/v1/record.pb-c.h"

void dom_print_put(const Domicile__V1__PutRecordResponse *response, bool json);
void dom_print_get(const Domicile__V1__GetRecordResponse *response, bool json);
void dom_print_delete(const Domicile__V1__DeleteRecordResponse *response, bool json);
/* One page of a list: a line per record. */
void dom_print_page(const Domicile__V1__ListRecordsResponse *response, bool json);

#endif
