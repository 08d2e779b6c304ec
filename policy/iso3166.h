/* The country codes of ISO 3166-1, and what somebody meant who wrote another one.
 * Thread contract: any thread; everything is static. */
#ifndef DOM_POLICY_ISO3166_H
#define DOM_POLICY_ISO3166_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Officially assigned alpha-2 codes; a policy can list no more countries than this. */
#define DOM_COUNTRIES_MAX 249U

/* Exactly two upper-case ASCII letters that are an officially assigned alpha-2 code. */
bool dom_iso3166_known(struct dom_slice code);

/* The name of a known code, or NULL. */
const char *dom_iso3166_name(struct dom_slice code);

/* Writes a hint such as `did you mean "GB"?` to out, or "" when nothing is near: UK and EL, lower
 * case, blanks around it, letters of other scripts that look alike, alpha-3 codes, names. */
void dom_iso3166_hint(struct dom_slice code, char *out, size_t out_size);

#endif
