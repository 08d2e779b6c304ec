/* A writer of JSON for exports: commas and escapes, and what several forms tell alike.
 * Thread contract: one owner. */
#ifndef DOM_STORE_AUDIT_EXPORT_JSON_INTERNAL_H
#define DOM_STORE_AUDIT_EXPORT_JSON_INTERNAL_H

#include "base/buffer.h"
#include "store/audit/event.h"

/* Names are plain ASCII; a NULL name is for the top and for the items of a list. */
struct dom_json {
    struct dom_buffer *out;
    bool more; /* a comma is due before the next member */
};

void dom_json_open(struct dom_json *json, const char *name);
void dom_json_close(struct dom_json *json);
void dom_json_list(struct dom_json *json, const char *name);
void dom_json_list_end(struct dom_json *json);
/* Left out when it is empty. */
void dom_json_text(struct dom_json *json, const char *name, struct dom_slice text);
void dom_json_str(struct dom_json *json, const char *name, const char *text);
void dom_json_integer(struct dom_json *json, const char *name, int64_t value);

/* Names of things of an event that no common schema has a place for: basis, cert, claim, decision's
 * mode, detail, fields, purpose, record, shadow, transfer. Members of the object that is open. */
void dom_json_rest(struct dom_json *json, const struct dom_audit_event *event);

/* An ISO 3166-1 alpha-2 code has this form; names of jurisdictions have not. */
bool dom_is_country(struct dom_slice text);

/* True for operations whose bytes come from the store: read, query, list. */
bool dom_is_reading(const struct dom_audit_event *event);

#endif
