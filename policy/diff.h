/* What a new policy would decide otherwise than an old one: exact, over the whole domain.
 *
 * The domain is finite: (home, to, border crossed or not, kind, class, op, purpose, service, date)
 * for requests and (home, kind, class, date) for where data lies. It is gone through by the
 * classes that neither policy tells apart, so that the cost follows the policies' variety and not
 * the number of countries. "Decides" means effect, reason, what happens to each class, pseudonym
 * key and limits; not which rule or basis is named, so that renaming a rule is no difference.
 *
 * Names join the two policies: "EEA" is "EEA", whatever its number. Thread contract: making one
 * shares nothing; both policies are only read. The result holds no pointer into them.
 */
#ifndef DOM_POLICY_DIFF_H
#define DOM_POLICY_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "policy/policy.h"

/* Groups of one result; two policies with more have nothing in common worth reading. */
#define DOM_DIFF_GROUPS_MAX 65536U

enum dom_diff_kind {
    DOM_DIFF_ALLOWED = 0,  /* was denied, is not any more */
    DOM_DIFF_DENIED,
    DOM_DIFF_WEAKER,       /* passes under a weaker transform or a wider limit */
    DOM_DIFF_STRONGER,
    DOM_DIFF_OBLIGATION,   /* another key, or limits that cannot be ordered */
    DOM_DIFF_REASON,       /* denied as before, for another reason */
    DOM_DIFF_PLACE_WIDER,  /* may lie in more regions */
    DOM_DIFF_PLACE_NARROWER,
    DOM_DIFF_PLACE_OTHER,  /* lead, copies to wait for, or regions swapped */
    DOM_DIFF_SETTING,      /* borders, fields, regions' countries, hide_existence */
    DOM_DIFF_KIND_COUNT
};

/* One group: cells that change in the same way under the same rules. Lists are joined by ", ";
 * every string lives in the result, "" when it does not apply. */
struct dom_diff_group {
    enum dom_diff_kind kind;
    bool crosses; /* of requests: a border is crossed */
    bool looser;  /* some of it lets out or places more than before ... */
    bool tighter; /* ... or less; both when the two cannot be ordered */
    uint64_t cells;
    const char *what; /* one line: from what to what */
    const char *old_rule;
    const char *new_rule;
    uint32_t old_line;
    uint32_t new_line;
    const char *homes;
    const char *tos;
    const char *kinds;
    const char *classes;
    const char *ops;
    const char *purposes;
    const char *services;
    const char *dates;
    const char *example; /* one concrete request, or place */
};

struct dom_diff {
    struct dom_diff_group *groups; /* in the arena; by kind, then by how many cells */
    size_t num_groups;
    uint64_t cells[DOM_DIFF_KIND_COUNT];
    struct dom_arena arena;
};

/* Errors: TOO_LARGE (too many groups), RESOURCE. cleanup is the caller's in every case. */
enum dom_code dom_diff_make(struct dom_diff *diff, const struct dom_policy *before,
                            const struct dom_policy *after, struct dom_error *err) DOM_MUST_USE;
void dom_diff_cleanup(struct dom_diff *diff);

/* Is there any group that lets more pass or lie somewhere, or cannot be ordered? */
bool dom_diff_loosens(const struct dom_diff *diff);

/* "allowed", "denied", "weaker", ... */
const char *dom_diff_kind_name(enum dom_diff_kind kind);

/* In words, and as one JSON object. The names are how the two files are called. */
void dom_diff_print(const struct dom_diff *diff, const char *before, const char *after,
                    struct dom_buffer *out);
void dom_diff_print_json(const struct dom_diff *diff, const char *before, const char *after,
                         struct dom_buffer *out);

#endif
