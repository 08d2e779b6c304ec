/* What the files of this package share: lines "key value", and counting distinct keys. */
#ifndef DOM_POLICY_BUNDLE_BUNDLE_INTERNAL_H
#define DOM_POLICY_BUNDLE_BUNDLE_INTERNAL_H

#include "policy/bundle/bundle.h"

/* Reads a text of "key value" lines in a fixed order. The first line that does not fit is kept. */
struct dom_lines {
    struct dom_slice rest;
    unsigned line; /* of the next */
    unsigned bad;  /* 0: none yet */
};
void dom_lines_init(struct dom_lines *lines, struct dom_slice text);
/* The next line is exactly this. */
void dom_lines_header(struct dom_lines *lines, const char *header);
/* The value of the next line, which has this key; empty after a failure. */
struct dom_slice dom_lines_value(struct dom_lines *lines, const char *key);
/* Whether the next line has this key. */
bool dom_lines_peek(const struct dom_lines *lines, const char *key);
int64_t dom_lines_number(struct dom_lines *lines, const char *key);
int64_t dom_lines_time(struct dom_lines *lines, const char *key);
void dom_lines_hash(struct dom_lines *lines, const char *key, uint8_t out[32]);
/* At the end, and nothing was wrong. */
bool dom_lines_done(struct dom_lines *lines);
void dom_lines_fail(struct dom_lines *lines); /* the line just read is bad */

/* Decimal, no sign, no leading zero, fits int64. */
bool dom_parse_number(struct dom_slice text, int64_t *out);
/* Cuts "first" off "first rest". False when there is no space. */
bool dom_cut_word(struct dom_slice *rest, struct dom_slice *word);

/* How many distinct public keys of the role signed the note; `names` (may be NULL) gets them.
 * Faults: SIGNATURE_BAD, SIGNATURE_MISSING (none of the role), THRESHOLD (fewer than `wanted`). */
enum dom_bundle_fault dom_root_check(const struct dom_root *root, enum dom_root_role role,
                                     unsigned wanted, const struct dom_note *note, size_t *nump,
                                     char *names, size_t names_size, struct dom_error *err);

/* Sets err to BUNDLE with "NAME: words" and returns the fault. */
enum dom_bundle_fault dom_bundle_refuse(struct dom_error *err, enum dom_bundle_fault fault,
                                        const char *fmt, ...) DOM_PRINTF(3, 4);

#endif
