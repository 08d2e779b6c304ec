/* What the files that read the tree share: lists of names, places, references with hints. */
#ifndef DOM_POLICY_READ_INTERNAL_H
#define DOM_POLICY_READ_INTERNAL_H

#include "policy/model.h"

/* A selector is a string, or a list or array of strings. These step over what has another shape
 * (shape.c reported it). NULL at the end; NULL for a NULL selector. */
const struct dom_node *dom_read_first(const struct dom_node *selector);
const struct dom_node *dom_read_next(const struct dom_node *selector, const struct dom_node *name);

/* The selector is given and one of its names is "*". */
bool dom_read_is_star(const struct dom_node *selector);

/* The member's string, or "" / an empty slice when absent or of another type. */
const char *dom_read_cstr(const struct dom_node *group, const char *key);
struct dom_slice dom_read_string(const struct dom_node *group, const char *key);
/* The member when it is an integer of either width. */
const struct dom_node *dom_read_int(const struct dom_node *group, const char *key);
bool dom_read_bool(const struct dom_node *group, const char *key, bool otherwise);

/* A finding at the node's value, with its path. */
void dom_read_fail(struct dom_reader *reader, const struct dom_node *node, const char *code,
                   const char *help, const char *fmt, ...) DOM_PRINTF(5, 6);

/* Finds the name; reports `code` with the nearest known name otherwise. `what` is the word for
 * it, such as "data class". */
dom_policy_id dom_read_reference(struct dom_reader *reader, const struct dom_node *name,
                                 const struct dom_names *names, const char *code,
                                 const char *what);

/* Adds every named id to the 64-bit set; "*" adds all. */
dom_policy_set dom_read_set(struct dom_reader *reader, const struct dom_node *selector,
                            const struct dom_names *names, const char *code, const char *what);
void dom_read_purposes(struct dom_reader *reader, const struct dom_node *selector,
                       struct dom_purposes *out);
void dom_read_services(struct dom_reader *reader, const struct dom_node *selector,
                       struct dom_services *out);
/* The ops' bits; "*" gives the four of requests and sets *starp. */
uint32_t dom_read_ops(struct dom_reader *reader, const struct dom_node *selector, bool *starp);

/* Countries of jurisdictions, groups and countries by name; "*" is every listed country. */
void dom_read_countries(struct dom_reader *reader, const struct dom_node *selector,
                        struct dom_countries *out);
/* Regions by name, or by the place they lie in; "*" is every region. */
dom_policy_set dom_read_regions(struct dom_reader *reader, const struct dom_node *selector);
dom_policy_set dom_read_region_name(struct dom_reader *reader, const struct dom_node *name);

/* A country code: NONE and a finding unless ISO knows it and a jurisdiction lists it. */
dom_policy_id dom_read_country(struct dom_reader *reader, const struct dom_node *name);

/* A basis by name, the built-in ones included; NONE when absent or unknown (then reported). */
dom_policy_id dom_read_basis(struct dom_reader *reader, const struct dom_node *group);

#endif
