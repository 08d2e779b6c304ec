/* Random single edits of random policies: the diff reports something if and only if some request
 * or some placement is answered otherwise, by the plain evaluator, asked about all of them.
 *
 * DOM_TEST_EDITS says how many edits (a long run: 10000), DOM_TEST_SEED repeats one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "policy/diff.h"
#include "policy/text.h"
#include "policy/tree.h"
#include "tests/policy/random_policy.h"
#include "tests/policy/reference.h"

#if defined(DOM_ASAN) || defined(DOM_TSAN)
#define EDITS 60U
#else
#define EDITS 400U
#endif
#define EDITS_PER_POLICY 8U
#define TIMES_MAX 64U

struct subject {
    struct dom_policy *policy;
    struct dom_node *root;
    struct dom_arena arena;
};

static bool make(struct subject *subject, struct dom_slice text)
{
    struct dom_policy_load_options options = {.name = "random", .now_ms = 0};
    struct dom_findings findings = {0};
    struct dom_error err = {0};

    dom_arena_init(&subject->arena, NULL, 0, DOM_TREE_BYTES_MAX);
    bool ok = dom_policy_compile(&subject->policy, &findings, text, &options, &err) == DOM_OK;
    dom_findings_cleanup(&findings);
    if (ok) {
        assert_int_equal(dom_tree_parse(&subject->root, text, &subject->arena, &findings, &err),
                         DOM_OK);
        dom_findings_cleanup(&findings);
    } else {
        dom_arena_cleanup(&subject->arena);
    }
    return ok;
}

static void drop(struct subject *subject)
{
    dom_policy_unref(subject->policy);
    dom_arena_cleanup(&subject->arena);
}

/* ---- edits ---- */

/* Replaces [start, start + len) of the text. */
static void splice(struct dom_buffer *out, struct dom_slice text, size_t start, size_t len,
                   const char *with)
{
    dom_buffer_append(out, text.data, start);
    dom_buffer_append_str(out, with);
    dom_buffer_append(out, text.data + start + len, text.len - start - len);
}

/* A word that may stand where `word` stands, often. */
static void other_word(char *out, size_t size, uint64_t *state, const char *word, size_t len)
{
    static const char *const places[] = {"J0", "J1", "J2", "G0", "AT", "DE", "FR", "SE", "*"};
    static const char *const ops[] = {"read", "list", "write", "delete", "*", "store"};
    static const char *const transforms[] = {"redact", "withhold", "deny"};

    if (len == 2 && strchr("cpksbr", word[0]) != NULL && random_below(state, 8) != 0) {
        (void)snprintf(out, size, "%c%u", word[0], random_below(state, 3));
    } else if (len == 10 && word[0] == '2') {
        (void)snprintf(out, size, "%u-%02u-%02u", 2025 + random_below(state, 4),
                       1 + random_below(state, 12), 1 + random_below(state, 28));
    } else if (len == 4 && strncmp(word, "key", 3) == 0) {
        (void)snprintf(out, size, "key%u", 1 + random_below(state, 3));
    } else if (memchr(word, '-', len) != NULL) {
        (void)snprintf(out, size, "renamed");
    } else if (len >= 4 && (strncmp(word, "read", 4) == 0 || strncmp(word, "list", 4) == 0 ||
                            strncmp(word, "writ", 4) == 0)) {
        (void)snprintf(out, size, "%s", ops[random_below(state, 6)]);
    } else if (len == 6 && (strncmp(word, "permit", 6) == 0 || strncmp(word, "forbid", 6) == 0)) {
        (void)snprintf(out, size, "%s", word[0] == 'p' ? "forbid" : "permit");
    } else if (len >= 6 && (strncmp(word, "redact", 6) == 0 || strncmp(word, "withho", 6) == 0)) {
        (void)snprintf(out, size, "%s", transforms[random_below(state, 3)]);
    } else {
        (void)snprintf(out, size, "%s", places[random_below(state, 9)]);
    }
}

/* One of the text's strings becomes another. Fields of kinds stay: they have tests of their own. */
static void edit_word(struct dom_buffer *out, struct dom_slice text, uint64_t *state)
{
    const char *all = (const char *)text.data;
    size_t kinds = (size_t)(strstr(all, "kinds = {\n") - all);
    size_t services = (size_t)(strstr(all, "services = {\n") - all);
    char with[64];

    for (;;) {
        size_t at = random_below(state, (uint32_t)text.len);
        const char *open = memchr(all + at, '"', text.len - at);
        if (open == NULL) {
            continue;
        }
        size_t before = 0;
        for (const char *c = all; c < open; c++) {
            before += *c == '"' ? 1U : 0U;
        }
        size_t start = (size_t)(open - all) + 1;
        if (before % 2 == 1 || (start > kinds && start < services)) {
            continue;
        }
        const char *end = memchr(all + start, '"', text.len - start);
        other_word(with, sizeof(with), state, all + start, (size_t)(end - all) - start);
        splice(out, text, start, (size_t)(end - all) - start, with);
        return;
    }
}

/* Drops, doubles (under another id) or moves forward one entry of a list. */
static void edit_entry(struct dom_buffer *out, struct dom_slice text, uint64_t *state)
{
    const char *all = (const char *)text.data;
    const char *found[64];
    size_t num = 0;
    char entry[2048];

    for (const char *at = strstr(all, "\n  { id"); at != NULL && num < 64;
         at = strstr(at + 1, "\n  { id")) {
        found[num++] = at + 1;
    }
    if (num == 0) {
        edit_word(out, text, state);
        return;
    }
    const char *start = found[random_below(state, (uint32_t)num)];
    const char *end = strchr(start, '\n');
    bool last = end[-1] != ',';
    size_t len = (size_t)(end - start) + 1;
    uint32_t what = random_below(state, 3);
    if (what == 0) { /* dropped; the list may end in a comma, as libconfig takes it not */
        splice(out, text, (size_t)(start - all), len, "");
    } else if (what == 1 && len < sizeof(entry) - 64) {
        const char *comma = last ? "" : ",";
        const char *id = strchr(start, '"') + 1;
        (void)snprintf(entry, sizeof(entry), "%.*s,\n%.*stwin%.*s%s\n",
                       (int)(len - (last ? 1 : 2)), start, (int)(id - start), start,
                       (int)(len - (size_t)(id - start) - (last ? 1 : 2)), id, comma);
        splice(out, text, (size_t)(start - all), len, entry);
    } else if (!last && len < sizeof(entry)) {
        const char *next_end = strchr(end + 1, '\n');
        bool next_last = next_end[-1] != ',';
        size_t next_len = (size_t)(next_end - end);
        (void)snprintf(entry, sizeof(entry), "%.*s,\n%.*s%s\n",
                       (int)(next_len - (next_last ? 1 : 2)), end + 1, (int)(len - 2), start,
                       next_last ? "" : ",");
        splice(out, text, (size_t)(start - all), len + next_len, entry);
    } else {
        edit_word(out, text, state);
    }
}

/* One number becomes another. */
static void edit_number(struct dom_buffer *out, struct dom_slice text, uint64_t *state)
{
    static const char *const keys[] = {"records = ", "min_replicas = "};
    const char *all = (const char *)text.data;
    const char *at = strstr(all, keys[random_below(state, 2)]);
    char with[16];

    if (at == NULL) {
        edit_word(out, text, state);
        return;
    }
    at = strchr(at, '=') + 2;
    (void)snprintf(with, sizeof(with), "%u", 1 + random_below(state, 3));
    splice(out, text, (size_t)(at - all), 1, with);
}

static void edit(struct dom_buffer *out, struct dom_slice text, uint64_t *state)
{
    uint32_t what = random_below(state, 10);

    if (what < 6) {
        edit_word(out, text, state);
    } else if (what < 9) {
        edit_entry(out, text, state);
    } else {
        edit_number(out, text, state);
    }
}

/* ---- brute force ---- */

struct verdict {
    bool any;
    bool looser;
    bool limits; /* limits differ: their order is not the plain evaluator's business */
};

static size_t add_date(int64_t *times, size_t num, const struct dom_node *group, const char *key,
                       int64_t plus)
{
    const struct dom_node *node = dom_node_get(group, key);
    int64_t at = 0;

    if (node != NULL && num < TIMES_MAX && dom_time_parse(node->string, true, &at)) {
        times[num++] = at + plus;
    }
    return num;
}

/* Every moment at which one of the two could change, and one before all of them. */
static size_t all_times(const struct subject *before, const struct subject *after, int64_t *times)
{
    const struct subject *both[] = {before, after};
    size_t num = 0;

    times[num++] = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct dom_node *bases = dom_node_get(both[i]->root, "bases");
        for (const struct dom_node *node = bases->first; node != NULL; node = node->next) {
            num = add_date(times, num, node, "from", 0);
            num = add_date(times, num, node, "until", DOM_MS_PER_DAY);
        }
        num = add_date(times, num, dom_node_get(both[i]->root, "policy"), "expires", 0);
    }
    size_t kept = 0;
    for (size_t i = 0; i < num; i++) {
        bool known = false;
        for (size_t j = 0; j < kept; j++) {
            known = known || times[j] == times[i];
        }
        if (!known) {
            times[kept++] = times[i];
        }
    }
    return kept;
}

static int rank_of(const struct reference_answer *answer, size_t c)
{
    const char *verdict = answer->verdict[c];

    if (strcmp(answer->effect, "deny") == 0 || strcmp(verdict, "withheld") == 0) {
        return 0;
    }
    return strcmp(verdict, "redact") == 0 ? 1 : strcmp(verdict, "pseudonymise") == 0 ? 2 : 3;
}

/* Does the limit count for what passes? */
static bool counts(const struct reference_request *request, const struct reference_answer *answer,
                   const struct reference_limit *limit)
{
    for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
        if (request->classes[c] && answer->permitted[c] &&
            strcmp(answer->verdict[c], "withheld") != 0 && ((limit->classes >> c) & 1U) != 0) {
            return true;
        }
    }
    return false;
}

static bool limits_kept(const struct reference_request *request,
                        const struct reference_answer *from, const struct reference_answer *in)
{
    for (size_t i = 0; i < from->num_limits && i < REFERENCE_LIMITS_MAX; i++) {
        const struct reference_limit *limit = &from->limits[i];
        bool kept = !counts(request, from, limit);
        for (size_t j = 0; !kept && j < in->num_limits && j < REFERENCE_LIMITS_MAX; j++) {
            const struct reference_limit *other = &in->limits[j];
            kept = counts(request, in, other) && other->records == limit->records &&
                   other->classes == limit->classes && strcmp(other->per, limit->per) == 0 &&
                   strcmp(other->count, limit->count) == 0 &&
                   strcmp(other->window, limit->window) == 0;
        }
        if (!kept) {
            return false;
        }
    }
    return true;
}

/* Of two limits that differ only in `records` the wider adds nothing. */
static void drop_wider_limits(struct reference_answer *answer)
{
    for (size_t i = 0; i < answer->num_limits && i < REFERENCE_LIMITS_MAX; i++) {
        for (size_t j = 0; j < answer->num_limits && j < REFERENCE_LIMITS_MAX; j++) {
            const struct reference_limit *a = &answer->limits[i];
            struct reference_limit *b = &answer->limits[j];
            if (a->classes == b->classes && strcmp(a->per, b->per) == 0 &&
                strcmp(a->count, b->count) == 0 && strcmp(a->window, b->window) == 0 &&
                a->records < b->records) {
                b->records = a->records;
            }
        }
    }
}

static void hold_together(const struct subject *before, const struct subject *after,
                          const struct reference_request *request, struct verdict *verdict)
{
    struct reference_answer was;
    struct reference_answer is;

    reference_decide(before->root, request, &was);
    reference_decide(after->root, request, &is);
    bool denied = strcmp(was.effect, "deny") == 0;
    bool denies = strcmp(is.effect, "deny") == 0;
    verdict->any = verdict->any || strcmp(was.effect, is.effect) != 0 ||
                   strcmp(was.reason, is.reason) != 0;
    verdict->looser = verdict->looser || (denied && !denies);
    for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
        if (request->classes[c]) {
            int a = rank_of(&was, c);
            int b = rank_of(&is, c);
            bool other_key = a == 2 && b == 2 && strcmp(was.key[c], is.key[c]) != 0;
            verdict->any = verdict->any || a != b || other_key;
            verdict->looser = verdict->looser || b > a;
        }
    }
    if (!denied && !denies) {
        drop_wider_limits(&was);
        drop_wider_limits(&is);
        if (!limits_kept(request, &was, &is) || !limits_kept(request, &is, &was)) {
            verdict->any = true;
            verdict->limits = true;
        }
    }
}

/* All sets of classes, for one choice of everything else. */
static void ask_sets(const struct subject *before, const struct subject *after,
                     struct reference_request *request, struct verdict *verdict)
{
    size_t num = dom_policy_num_classes(before->policy);

    for (uint32_t set = 1; set < (1U << num); set++) {
        for (size_t c = 0; c < num; c++) {
            request->classes[c] = ((set >> c) & 1U) != 0;
        }
        hold_together(before, after, request, verdict);
    }
}

#define EACH(node, root, section) \
    const struct dom_node *node = dom_node_get(root, section)->first; node != NULL; \
    node = node->next

static void ask_times(const struct subject *before, const struct subject *after,
                      struct reference_request *request, const int64_t *times, size_t num_times,
                      struct verdict *verdict)
{
    size_t num = dom_policy_num_countries(before->policy);

    for (size_t h = 0; h < num && !verdict->looser; h++) {
        for (size_t t = 0; t < num; t++) {
            request->home = dom_policy_country_name(before->policy, (dom_policy_id)h);
            request->caller = dom_policy_country_name(before->policy, (dom_policy_id)t);
            for (size_t i = 0; i < num_times; i++) {
                request->time_ms = times[i];
                ask_sets(before, after, request, verdict);
            }
        }
    }
}

static void ask_all(const struct subject *before, const struct subject *after,
                    struct verdict *verdict)
{
    static const char *const ops[] = {"read", "list", "write", "delete"};
    struct reference_request request = {.crosses = true};
    int64_t times[TIMES_MAX];
    size_t num_times = all_times(before, after, times);

    for (EACH(kind, before->root, "kinds")) {
        for (EACH(service, before->root, "services")) {
            for (size_t o = 0; o < 4 && !verdict->looser; o++) {
                request.kind = kind->name;
                request.service = service->name;
                request.op = ops[o];
                request.purpose = NULL;
                request.home = dom_policy_country_name(before->policy, 0);
                request.caller = request.home;
                request.crosses = false;
                ask_sets(before, after, &request, verdict);
                for (EACH(purpose, before->root, "purposes")) {
                    request.purpose = purpose->name;
                    request.crosses = false;
                    ask_sets(before, after, &request, verdict);
                    request.crosses = true;
                    ask_times(before, after, &request, times, num_times, verdict);
                }
            }
        }
    }
}

static void place_all(const struct subject *before, const struct subject *after,
                      struct verdict *verdict)
{
    struct reference_place was;
    struct reference_place is;
    int64_t times[TIMES_MAX];
    size_t num_times = all_times(before, after, times);

    for (EACH(kind, before->root, "kinds")) {
        for (size_t h = 0; h < dom_policy_num_countries(before->policy) * num_times; h++) {
            const char *home =
                dom_policy_country_name(before->policy, (dom_policy_id)(h / num_times));
            reference_place(before->root, kind->name, home, times[h % num_times], &was);
            reference_place(after->root, kind->name, home, times[h % num_times], &is);
            verdict->any = verdict->any || strcmp(was.lead, is.lead) != 0;
            for (size_t c = 0; c < dom_policy_num_classes(before->policy); c++) {
                bool had = false;
                bool has = false;
                for (size_t r = 0; r < dom_policy_num_regions(before->policy); r++) {
                    verdict->any = verdict->any || was.in[c][r] != is.in[c][r];
                    verdict->looser = verdict->looser || (is.in[c][r] && !was.in[c][r]);
                    had = had || was.in[c][r];
                    has = has || is.in[c][r];
                }
                verdict->any =
                    verdict->any || (had && has && was.min_replicas[c] != is.min_replicas[c]);
            }
        }
    }
}

/* Borders between countries, and where the regions lie. */
static void borders(const struct subject *before, const struct subject *after,
                    struct verdict *verdict)
{
    size_t num = dom_policy_num_countries(before->policy);

    for (size_t i = 0; i < num * num; i++) {
        dom_policy_id ids[2] = {(dom_policy_id)(i / num), (dom_policy_id)(i % num)};
        bool same[2];
        const struct dom_policy *both[] = {before->policy, after->policy};
        for (size_t p = 0; p < 2; p++) {
            dom_policy_id in[2];
            for (size_t c = 0; c < 2; c++) {
                const char *name = dom_policy_country_name(before->policy, ids[c]);
                in[c] = dom_policy_country_jurisdiction(
                    both[p], dom_policy_find_country(both[p], dom_slice_str(name)));
            }
            same[p] = in[0] == in[1];
        }
        verdict->any = verdict->any || same[0] != same[1];
        verdict->looser = verdict->looser || (same[1] && !same[0]);
    }
    for (size_t r = 0; r < dom_policy_num_regions(before->policy); r++) {
        dom_policy_id id = (dom_policy_id)r;
        const char *was = dom_policy_country_name(before->policy,
                                                  dom_policy_region_country(before->policy, id));
        const char *is = dom_policy_country_name(after->policy,
                                                 dom_policy_region_country(after->policy, id));
        verdict->any = verdict->any || strcmp(was, is) != 0;
        verdict->looser = verdict->looser || strcmp(was, is) != 0;
    }
}

static void check_edit(const struct subject *before, const struct subject *after,
                       struct dom_slice old_text, struct dom_slice new_text, size_t *tally)
{
    struct verdict verdict = {.any = false};
    struct dom_error err = {0};
    struct dom_diff diff;

    assert_int_equal(dom_diff_make(&diff, before->policy, after->policy, &err), DOM_OK);
    borders(before, after, &verdict);
    place_all(before, after, &verdict);
    ask_all(before, after, &verdict);
    bool same_any = verdict.any == (diff.num_groups > 0);
    bool same_looser = verdict.limits || verdict.looser == dom_diff_loosens(&diff);
    if (!same_any || !same_looser) {
        struct dom_buffer out;
        dom_buffer_init(&out, 0);
        dom_diff_print(&diff, "old", "new", &out);
        /* cmocka's own printer cuts long texts. */
        (void)fprintf(stderr, "%.*s\n---- edited:\n%.*s\n%s\nbrute force: any %d, looser %d\n",
                    (int)old_text.len, (const char *)old_text.data, (int)new_text.len,
                    (const char *)new_text.data, dom_buffer_cstr(&out), verdict.any,
                    verdict.looser);
        fail_msg("the diff and brute force disagree");
    }
    tally[diff.num_groups == 0 ? 0 : dom_diff_loosens(&diff) ? 2 : 1]++;
    dom_diff_cleanup(&diff);
}

static size_t number_from(const char *name, size_t otherwise)
{
    const char *given = getenv(name);

    return given == NULL ? otherwise : (size_t)strtoull(given, NULL, 10);
}

static void every_edit_that_changes_a_decision_is_reported(void **unused)
{
    (void)unused;
    uint64_t seed = number_from("DOM_TEST_SEED", (size_t)dom_clock_wall_ms(dom_clock_system()));
    size_t edits = number_from("DOM_TEST_EDITS", EDITS);
    uint64_t state = seed * 2654435761U + 1;
    size_t tally[3] = {0};
    size_t done = 0;

    print_message("seed %llu (set DOM_TEST_SEED to repeat)\n", (unsigned long long)seed);
    while (done < edits) {
        struct subject before;
        struct subject after;
        struct dom_buffer text;
        dom_buffer_init(&text, 0);
        random_small_policy(&text, &state, 8);
        (void)dom_buffer_cstr(&text);
        if (!make(&before, dom_buffer_slice(&text))) {
            dom_buffer_cleanup(&text);
            continue;
        }
        for (size_t i = 0; i < EDITS_PER_POLICY * 2; i++) {
            struct dom_buffer changed;
            dom_buffer_init(&changed, 0);
            edit(&changed, dom_buffer_slice(&text), &state);
            if (make(&after, dom_buffer_slice(&changed))) {
                check_edit(&before, &after, dom_buffer_slice(&text), dom_buffer_slice(&changed),
                           tally);
                done++;
                drop(&after);
            }
            dom_buffer_cleanup(&changed);
        }
        drop(&before);
        dom_buffer_cleanup(&text);
    }
    print_message("%zu edits: %zu change nothing, %zu only tighten, %zu loosen\n", done, tally[0],
                  tally[1], tally[2]);
    assert_true(tally[0] > 0);
    assert_true(tally[1] > 0);
    assert_true(tally[2] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_edit_that_changes_a_decision_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
