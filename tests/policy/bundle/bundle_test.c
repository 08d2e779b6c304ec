/* Bundles: one that is taken, and each of the ways in which one is not. */
#include "policy/bundle/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "policy/bundle/plan.h"
#include "tests/policy/policy_text.h"

#define NOW TEST_NOW_MS
#define DAY TEST_DAY_MS

enum { ALICE, BOB, CAROL, MALLORY, CLOCK, NUM_SIGNERS };
static const char *const s_people[NUM_SIGNERS] = {"alice", "bob", "carol", "mallory", "clock"};

struct world {
    struct dom_note_signer signers[NUM_SIGNERS];
    struct dom_root root;
    struct dom_buffer root_bytes;
    uint8_t enforced[32];
};

static void add_key(struct dom_root *root, enum dom_root_role role,
                    const struct dom_note_signer *signer)
{
    root->roles[root->num_keys] = role;
    root->keys[root->num_keys++] = signer->key; /* borrowed: the template is not cleaned up */
}

static void append_note(struct dom_buffer *out, struct dom_slice text,
                        const struct dom_note_signer *const *signers, size_t num)
{
    dom_buffer_append_slice(out, text);
    dom_buffer_append_char(out, '\n');
    for (size_t i = 0; i < num; i++) {
        assert_int_equal(dom_note_sign_line(signers[i], text, 0, out, NULL), DOM_OK);
    }
}

/* Alice, Bob and Carol sign policies, two of them are needed; Carol is the root. */
static void make_root(struct world *w, int64_t version, unsigned threshold, bool timestamps,
                      const struct dom_note_signer *by, struct dom_buffer *out)
{
    struct dom_root root = {.version = version, .expires_ms = NOW + 1000 * DAY};
    struct dom_buffer text = {0};

    (void)snprintf(root.name, sizeof(root.name), "base");
    add_key(&root, DOM_ROLE_ROOT, &w->signers[CAROL]);
    add_key(&root, DOM_ROLE_POLICY, &w->signers[ALICE]);
    add_key(&root, DOM_ROLE_POLICY, &w->signers[BOB]);
    add_key(&root, DOM_ROLE_POLICY, &w->signers[CAROL]);
    root.thresholds[DOM_ROLE_ROOT] = 1;
    root.thresholds[DOM_ROLE_POLICY] = threshold;
    if (timestamps) {
        add_key(&root, DOM_ROLE_TIMESTAMP, &w->signers[CLOCK]);
        root.thresholds[DOM_ROLE_TIMESTAMP] = 1;
    }
    assert_int_equal(dom_root_text(&root, &text, NULL), DOM_OK);
    append_note(out, dom_buffer_slice(&text), &by, 1);
    dom_buffer_cleanup(&text);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct dom_error err = {0};

    assert_non_null(w);
    for (size_t i = 0; i < NUM_SIGNERS; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        assert_int_equal(dom_note_signer_init(&w->signers[i], dom_slice_str(s_people[i]),
                                              DOM_KEY_ED25519, seed, NULL),
                         DOM_OK);
    }
    make_root(w, 1, 2, true, &w->signers[CAROL], &w->root_bytes);
    if (dom_root_parse(&w->root, dom_buffer_slice(&w->root_bytes), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    memset(w->enforced, 0x33, 32);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < NUM_SIGNERS; i++) {
        dom_note_signer_cleanup(&w->signers[i]);
    }
    dom_root_cleanup(&w->root);
    dom_buffer_cleanup(&w->root_bytes);
    free(w);
    return 0;
}

/* ---- making bundles ------------------------------------------------------------------------- */

static struct dom_bundle_file file_of(const char *name, const char *text)
{
    return (struct dom_bundle_file){.name = dom_slice_str(name), .bytes = dom_slice_str(text)};
}

/* Version 5 upon version 4, by default. */
static struct dom_bundle next_bundle(const struct world *w)
{
    struct dom_bundle bundle = {.name = DOM_SLICE_LIT("base"),
                                .version = 5,
                                .created_ms = NOW,
                                .expires_ms = NOW + 30 * DAY,
                                .plan = {1},
                                .num_files = 2};

    memcpy(bundle.previous, w->enforced, 32);
    bundle.files[0] = file_of("policy.cfg", "the policy\n");
    bundle.files[1] = file_of("policy_test.cfg", "its tests\n");
    return bundle;
}

static void pack(const struct world *w, const struct dom_bundle *bundle, const int *who, size_t num,
                 struct dom_buffer *out)
{
    const struct dom_note_signer *signers[8];
    struct dom_buffer text = {0};
    struct dom_buffer note = {0};

    for (size_t i = 0; i < num; i++) {
        signers[i] = &w->signers[who[i]];
    }
    dom_buffer_clear(out);
    assert_int_equal(dom_bundle_text(bundle, &text, NULL), DOM_OK);
    append_note(&note, dom_buffer_slice(&text), signers, num);
    dom_bundle_pack(out, dom_buffer_slice(&note), bundle->files, bundle->num_files);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&note);
}

static struct dom_bundle_expect expect_of(const struct world *w)
{
    return (struct dom_bundle_expect){.root = &w->root,
                                      .now_ms = NOW,
                                      .highest = 4,
                                      .enforced = w->enforced,
                                      .known = w->enforced};
}

static enum dom_bundle_fault open_with(const struct dom_bundle_expect *expect,
                                       const struct dom_buffer *bytes)
{
    struct dom_bundle bundle;
    struct dom_error err = {0};
    enum dom_bundle_fault fault = dom_bundle_open(&bundle, dom_buffer_slice(bytes), expect, &err);

    if (fault != DOM_BUNDLE_NONE) {
        /* The stable name leads the message. */
        assert_int_equal(err.code, DOM_BUNDLE);
        assert_int_equal(strncmp(err.message, dom_bundle_fault_name(fault),
                                 strlen(dom_bundle_fault_name(fault))),
                         0);
    }
    return fault;
}

static enum dom_bundle_fault try_bundle(const struct world *w, const struct dom_bundle *bundle)
{
    const int who[] = {ALICE, BOB};
    struct dom_bundle_expect expect = expect_of(w);
    struct dom_buffer bytes = {0};

    pack(w, bundle, who, 2, &bytes);
    enum dom_bundle_fault fault = open_with(&expect, &bytes);
    dom_buffer_cleanup(&bytes);
    return fault;
}

static enum dom_bundle_fault try_signers(const struct world *w, const int *who, size_t num)
{
    struct dom_bundle bundle = next_bundle(w);
    struct dom_bundle_expect expect = expect_of(w);
    struct dom_buffer bytes = {0};

    pack(w, &bundle, who, num, &bytes);
    enum dom_bundle_fault fault = open_with(&expect, &bytes);
    dom_buffer_cleanup(&bytes);
    return fault;
}

/* ---- the bundle ----------------------------------------------------------------------------- */

static void two_distinct_keys_are_needed(void **state)
{
    const struct world *w = *state;
    const int one[] = {ALICE};
    const int twice[] = {ALICE, ALICE};
    const int stranger[] = {ALICE, MALLORY};
    const int strangers[] = {MALLORY, CLOCK};
    const int two[] = {CAROL, ALICE};
    const int three[] = {ALICE, MALLORY, BOB};

    assert_int_equal(try_signers(w, one, 1), DOM_BUNDLE_THRESHOLD);
    assert_int_equal(try_signers(w, twice, 2), DOM_BUNDLE_THRESHOLD);
    assert_int_equal(try_signers(w, stranger, 2), DOM_BUNDLE_THRESHOLD);
    assert_int_equal(try_signers(w, strangers, 2), DOM_BUNDLE_SIGNATURE_MISSING);
    assert_int_equal(try_signers(w, NULL, 0), DOM_BUNDLE_SIGNATURE_MISSING); /* stripped */
    assert_int_equal(try_signers(w, two, 2), DOM_BUNDLE_NONE);
    assert_int_equal(try_signers(w, three, 3), DOM_BUNDLE_NONE);
}

/* The same key under two names is one voice: such a root does not come to be. */
static void a_key_under_two_names_is_refused_in_the_root(void **state)
{
    struct world *w = *state;
    struct dom_note_signer alias;
    struct dom_root root = {.version = 1, .expires_ms = NOW + DAY};
    struct dom_buffer text = {0};
    struct dom_buffer bytes = {0};
    struct dom_root back;
    uint8_t seed[32] = {ALICE + 1};
    const struct dom_note_signer *by = &w->signers[CAROL];

    assert_int_equal(
        dom_note_signer_init(&alias, DOM_SLICE_LIT("alias"), DOM_KEY_ED25519, seed, NULL), DOM_OK);
    (void)snprintf(root.name, sizeof(root.name), "base");
    add_key(&root, DOM_ROLE_ROOT, &w->signers[CAROL]);
    add_key(&root, DOM_ROLE_POLICY, &w->signers[ALICE]);
    add_key(&root, DOM_ROLE_POLICY, &alias);
    root.thresholds[DOM_ROLE_ROOT] = 1;
    root.thresholds[DOM_ROLE_POLICY] = 2;
    assert_int_equal(dom_root_text(&root, &text, NULL), DOM_OK);
    append_note(&bytes, dom_buffer_slice(&text), &by, 1);
    assert_int_equal(dom_root_parse(&back, dom_buffer_slice(&bytes), NULL), DOM_PARSE);
    dom_root_cleanup(&back);
    dom_note_signer_cleanup(&alias);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&bytes);
}

static void versions_go_up_by_one_upon_the_one_in_force(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);

    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NONE);
    bundle.version = 3;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_VERSION_OLDER);
    bundle.version = 4;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_VERSION_REUSED);
    bundle.version = 6;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_VERSION_SKIPPED);
    bundle.version = INT64_MAX;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_VERSION_SKIPPED);
    bundle = next_bundle(w);
    bundle.previous[31] ^= 1;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_PREVIOUS);
    memset(bundle.previous, 0, 32);
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_PREVIOUS);
}

static void the_same_again_is_the_same(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);
    const int who[] = {ALICE, BOB};
    struct dom_bundle_expect expect = expect_of(w);
    struct dom_buffer bytes = {0};
    uint8_t known[32];

    dom_policy_sha256(known, bundle.files[0].bytes);
    expect.highest = 5;
    expect.known = known;
    pack(w, &bundle, who, 2, &bytes);
    assert_int_equal(open_with(&expect, &bytes), DOM_BUNDLE_NONE);
    expect.known = NULL; /* taken back since */
    assert_int_equal(open_with(&expect, &bytes), DOM_BUNDLE_VERSION_REUSED);
    dom_buffer_cleanup(&bytes);
}

static void dates_and_names_are_checked(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);

    bundle.expires_ms = NOW;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_EXPIRED);
    bundle.expires_ms = NOW + 1000;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NONE);
    bundle.created_ms = NOW + DOM_BUNDLE_SKEW_MS;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NONE);
    bundle.created_ms += 1000;
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NOT_YET);
    bundle = next_bundle(w);
    bundle.name = DOM_SLICE_LIT("other");
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NAME);
    bundle.name = DOM_SLICE_LIT("bas");
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NAME);
    bundle.name = DOM_SLICE_LIT("base2");
    assert_int_equal(try_bundle(w, &bundle), DOM_BUNDLE_NAME);
}

/* The signed note of one list of files with the bytes of another. */
static enum dom_bundle_fault swap_files(const struct world *w, const struct dom_bundle_file *files,
                                        size_t num)
{
    struct dom_bundle bundle = next_bundle(w);
    struct dom_bundle_expect expect = expect_of(w);
    const struct dom_note_signer *signers[] = {&w->signers[ALICE], &w->signers[BOB]};
    struct dom_buffer text = {0};
    struct dom_buffer note = {0};
    struct dom_buffer bytes = {0};

    assert_int_equal(dom_bundle_text(&bundle, &text, NULL), DOM_OK);
    append_note(&note, dom_buffer_slice(&text), signers, 2);
    dom_bundle_pack(&bytes, dom_buffer_slice(&note), files, num);
    enum dom_bundle_fault fault = open_with(&expect, &bytes);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&note);
    dom_buffer_cleanup(&bytes);
    return fault;
}

static void files_are_those_that_were_signed(void **state)
{
    const struct world *w = *state;
    struct dom_bundle_file files[3] = {file_of("policy.cfg", "the policy\n"),
                                       file_of("policy_test.cfg", "its tests\n"),
                                       file_of("more.cfg", "more\n")};

    assert_int_equal(swap_files(w, files, 2), DOM_BUNDLE_NONE);
    assert_int_equal(swap_files(w, files, 3), DOM_BUNDLE_FILE_EXTRA);
    assert_int_equal(swap_files(w, files, 1), DOM_BUNDLE_FILE_MISSING);
    files[2] = files[0];
    assert_int_equal(swap_files(w, files, 3), DOM_BUNDLE_FILE_EXTRA); /* the same twice */
    files[1] = file_of("policy_test.cfg", "other tests\n");
    assert_int_equal(swap_files(w, files, 2), DOM_BUNDLE_FILE_MIXED);
    files[1] = file_of("policy_test.cfg", "its tests\n");
    files[0] = file_of("policy.cfg", "the Policy\n");
    assert_int_equal(swap_files(w, files, 2), DOM_BUNDLE_FILE_MIXED);
}

static void limits_hold(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);
    struct dom_bundle_expect expect = expect_of(w);
    const int who[] = {ALICE, BOB};
    struct dom_buffer bytes = {0};
    char *big = malloc(DOM_POLICY_BUNDLE_BYTES_MAX + 1);

    assert_non_null(big);
    memset(big, 'x', DOM_POLICY_BUNDLE_BYTES_MAX);
    pack(w, &bundle, who, 2, &bytes);
    size_t frame = bytes.len - bundle.files[1].bytes.len;
    /* The size of the size in two places: find the length that fits exactly. */
    bundle.files[1].bytes = dom_slice_of(big, DOM_POLICY_BUNDLE_BYTES_MAX - frame - 20);
    pack(w, &bundle, who, 2, &bytes);
    assert_true(bytes.len < DOM_POLICY_BUNDLE_BYTES_MAX);
    bundle.files[1].bytes.len += DOM_POLICY_BUNDLE_BYTES_MAX - bytes.len;
    pack(w, &bundle, who, 2, &bytes);
    assert_int_equal(bytes.len, DOM_POLICY_BUNDLE_BYTES_MAX);
    assert_int_equal(open_with(&expect, &bytes), DOM_BUNDLE_NONE);
    bundle.files[1].bytes.len++;
    pack(w, &bundle, who, 2, &bytes);
    assert_int_equal(open_with(&expect, &bytes), DOM_BUNDLE_TOO_LARGE);
    free(big);
    dom_buffer_cleanup(&bytes);
}

/* A signed text that is not what dom_bundle_text would write. */
static enum dom_bundle_fault open_text(const struct world *w, const struct dom_buffer *text,
                                       const struct dom_bundle *bundle)
{
    const struct dom_note_signer *signers[] = {&w->signers[ALICE], &w->signers[BOB]};
    struct dom_bundle_expect expect = expect_of(w);
    struct dom_buffer note = {0};
    struct dom_buffer bytes = {0};

    append_note(&note, dom_buffer_slice(text), signers, 2);
    dom_bundle_pack(&bytes, dom_buffer_slice(&note), bundle->files, bundle->num_files);
    enum dom_bundle_fault fault = open_with(&expect, &bytes);
    dom_buffer_cleanup(&note);
    dom_buffer_cleanup(&bytes);
    return fault;
}

static void a_bundle_has_at_most_sixteen_files(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);
    char names[DOM_BUNDLE_FILES_MAX][16];
    struct dom_buffer text = {0};

    for (bundle.num_files = 1; bundle.num_files < DOM_BUNDLE_FILES_MAX; bundle.num_files++) {
        (void)snprintf(names[bundle.num_files], sizeof(names[0]), "f%zu.cfg", bundle.num_files);
        bundle.files[bundle.num_files] = file_of(names[bundle.num_files], "x");
    }
    assert_int_equal(dom_bundle_text(&bundle, &text, NULL), DOM_OK);
    assert_int_equal(open_text(w, &text, &bundle), DOM_BUNDLE_NONE);
    dom_buffer_printf(&text, "file more.cfg 1 %064d\n", 7);
    assert_int_equal(open_text(w, &text, &bundle), DOM_BUNDLE_FORMAT);
    dom_buffer_cleanup(&text);
}

static void a_note_has_at_most_64_kib(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);
    struct dom_buffer text = {0};

    assert_int_equal(dom_bundle_text(&bundle, &text, NULL), DOM_OK);
    while (text.len < DOM_BUNDLE_NOTE_BYTES_MAX) {
        dom_buffer_append_str(&text, "more\n");
    }
    assert_int_equal(open_text(w, &text, &bundle), DOM_BUNDLE_TOO_LARGE);
    text.len = DOM_BUNDLE_NOTE_BYTES_MAX / 2;
    while (text.data[text.len - 1] != '\n') {
        text.len--;
    }
    assert_int_equal(open_text(w, &text, &bundle),
                     DOM_BUNDLE_FORMAT); /* looked at, and no bundle */
    dom_buffer_cleanup(&text);
}

static void a_root_has_at_most_32_keys(void **state)
{
    struct world *w = *state;
    struct dom_root root = {.version = 1, .expires_ms = NOW + DAY};
    struct dom_note_signer signers[DOM_ROOT_KEYS_MAX];
    const struct dom_note_signer *by = &w->signers[CAROL];
    struct dom_buffer text = {0};
    struct dom_buffer bytes = {0};
    struct dom_root back;

    (void)snprintf(root.name, sizeof(root.name), "base");
    add_key(&root, DOM_ROLE_ROOT, by);
    for (unsigned i = 0; i < DOM_ROOT_KEYS_MAX; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 100)};
        assert_int_equal(dom_note_signer_init(&signers[i], DOM_SLICE_LIT("one-of-many"),
                                              DOM_KEY_ED25519, seed, NULL),
                         DOM_OK);
        if (i + 1 < DOM_ROOT_KEYS_MAX) {
            add_key(&root, DOM_ROLE_POLICY, &signers[i]);
        }
    }
    root.thresholds[DOM_ROLE_ROOT] = 1;
    root.thresholds[DOM_ROLE_POLICY] = DOM_ROOT_KEYS_MAX - 1;
    assert_int_equal(dom_root_text(&root, &text, NULL), DOM_OK);
    append_note(&bytes, dom_buffer_slice(&text), &by, 1);
    assert_int_equal(dom_root_parse(&back, dom_buffer_slice(&bytes), NULL), DOM_OK);
    dom_root_cleanup(&back);
    dom_buffer_append_str(&text, "key policy ");
    dom_note_key_format(&signers[DOM_ROOT_KEYS_MAX - 1].key, &text);
    dom_buffer_append_char(&text, '\n');
    dom_buffer_clear(&bytes);
    append_note(&bytes, dom_buffer_slice(&text), &by, 1);
    assert_int_equal(dom_root_parse(&back, dom_buffer_slice(&bytes), NULL), DOM_PARSE);
    dom_root_cleanup(&back);
    for (unsigned i = 0; i < DOM_ROOT_KEYS_MAX; i++) {
        dom_note_signer_cleanup(&signers[i]);
    }
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&bytes);
}

static void every_changed_byte_is_noticed(void **state)
{
    const struct world *w = *state;
    struct dom_bundle bundle = next_bundle(w);
    struct dom_bundle_expect expect = expect_of(w);
    const int who[] = {ALICE, BOB};
    struct dom_buffer bytes = {0};

    pack(w, &bundle, who, 2, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] ^= (uint8_t)(1U << bit);
            struct dom_bundle out;
            if (dom_bundle_open(&out, dom_buffer_slice(&bytes), &expect, NULL) == DOM_BUNDLE_NONE) {
                fail_msg("byte %zu bit %d is not looked at", i, bit);
            }
            bytes.data[i] ^= (uint8_t)(1U << bit);
        }
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct dom_bundle out;
        assert_int_not_equal(dom_bundle_open(&out, dom_slice_of(bytes.data, len), &expect, NULL),
                             DOM_BUNDLE_NONE);
    }
    dom_buffer_cleanup(&bytes);
}

/* ---- the root ------------------------------------------------------------------------------- */

static void a_root_follows_a_root_by_its_keys(void **state)
{
    struct world *w = *state;
    struct dom_root next;
    struct dom_buffer bytes = {0};

    make_root(w, 2, 3, false, &w->signers[CAROL], &bytes);
    assert_int_equal(dom_root_parse(&next, dom_buffer_slice(&bytes), NULL), DOM_OK);
    assert_int_equal(next.thresholds[DOM_ROLE_POLICY], 3);
    assert_int_equal(dom_root_succeeds(&w->root, &next, dom_buffer_slice(&bytes), NULL), DOM_OK);
    /* Not back, and not to another one of the same number. */
    assert_int_equal(dom_root_succeeds(&next, &w->root, dom_buffer_slice(&w->root_bytes), NULL),
                     DOM_INVALID);
    dom_root_cleanup(&next);
    dom_buffer_clear(&bytes);
    make_root(w, 1, 1, false, &w->signers[CAROL], &bytes);
    assert_int_equal(dom_root_parse(&next, dom_buffer_slice(&bytes), NULL), DOM_OK);
    assert_int_equal(dom_root_succeeds(&w->root, &next, dom_buffer_slice(&bytes), NULL),
                     DOM_INVALID);
    dom_root_cleanup(&next);
    /* Signed by somebody else, it is no root at all. */
    dom_buffer_clear(&bytes);
    make_root(w, 2, 2, false, &w->signers[MALLORY], &bytes);
    assert_int_equal(dom_root_parse(&next, dom_buffer_slice(&bytes), NULL), DOM_UNAUTHENTICATED);
    dom_root_cleanup(&next);
    dom_buffer_cleanup(&bytes);
}

static void an_expired_root_takes_nothing(void **state)
{
    struct world *w = *state;
    const int who[] = {ALICE, BOB};
    struct dom_bundle bundle = next_bundle(w);
    struct dom_bundle_expect expect = expect_of(w);
    struct dom_buffer bytes = {0};

    bundle.expires_ms = NOW + 5000 * DAY;
    pack(w, &bundle, who, 2, &bytes);
    expect.now_ms = NOW + 1000 * DAY;
    assert_int_equal(open_with(&expect, &bytes), DOM_BUNDLE_ROOT_EXPIRED);
    dom_buffer_cleanup(&bytes);
}

/* ---- timestamps and orders --------------------------------------------------------------------
 */

static enum dom_bundle_fault try_timestamp(const struct world *w, int signer, int64_t time_ms,
                                           int64_t expires_ms, const char *name)
{
    struct dom_timestamp timestamp = {.version = 5, .time_ms = time_ms, .expires_ms = expires_ms};
    struct dom_timestamp back;
    const struct dom_note_signer *by = &w->signers[signer];
    struct dom_buffer text = {0};
    struct dom_buffer bytes = {0};

    dom_timestamp_text(&timestamp, name, &text);
    append_note(&bytes, dom_buffer_slice(&text), &by, 1);
    enum dom_bundle_fault fault =
        dom_timestamp_open(&back, dom_buffer_slice(&bytes), &w->root, NOW, NULL);
    if (fault == DOM_BUNDLE_NONE) {
        assert_memory_equal(&back, &timestamp, sizeof(back));
    }
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&bytes);
    return fault;
}

static void timestamps_are_fresh_and_by_their_own_key(void **state)
{
    const struct world *w = *state;

    assert_int_equal(try_timestamp(w, CLOCK, NOW, NOW + DAY, "base"), DOM_BUNDLE_NONE);
    assert_int_equal(try_timestamp(w, ALICE, NOW, NOW + DAY, "base"), DOM_BUNDLE_TIMESTAMP_BAD);
    assert_int_equal(try_timestamp(w, CLOCK, NOW - DAY, NOW, "base"), DOM_BUNDLE_TIMESTAMP_EXPIRED);
    assert_int_equal(try_timestamp(w, CLOCK, NOW + DAY, NOW + 2 * DAY, "base"),
                     DOM_BUNDLE_TIMESTAMP_EXPIRED);
    assert_int_equal(try_timestamp(w, CLOCK, NOW, NOW + DAY, "other"), DOM_BUNDLE_NAME);
}

static enum dom_bundle_fault try_order(const struct world *w, bool freeze, int64_t time_ms,
                                       int64_t last_ms, const int *who, size_t num)
{
    struct dom_order order = {
        .freeze = freeze, .time_ms = time_ms, .reason = DOM_SLICE_LIT("an incident")};
    struct dom_order back;
    const struct dom_note_signer *signers[4];
    struct dom_buffer text = {0};
    struct dom_buffer bytes = {0};

    for (size_t i = 0; i < num; i++) {
        signers[i] = &w->signers[who[i]];
    }
    assert_int_equal(dom_order_text(&order, "base", &text, NULL), DOM_OK);
    append_note(&bytes, dom_buffer_slice(&text), signers, num);
    enum dom_bundle_fault fault =
        dom_order_open(&back, dom_buffer_slice(&bytes), &w->root, NOW, last_ms, NULL);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&bytes);
    return fault;
}

static void one_key_freezes_and_the_threshold_unfreezes(void **state)
{
    const struct world *w = *state;
    const int two[] = {ALICE, BOB};
    const int stranger[] = {MALLORY};

    assert_int_equal(try_order(w, true, NOW, 0, two, 1), DOM_BUNDLE_NONE);
    assert_int_equal(try_order(w, true, NOW, 0, stranger, 1), DOM_BUNDLE_SIGNATURE_MISSING);
    assert_int_equal(try_order(w, false, NOW, 0, two, 1), DOM_BUNDLE_THRESHOLD);
    assert_int_equal(try_order(w, false, NOW, 0, two, 2), DOM_BUNDLE_NONE);
    /* Used once, and soon. */
    assert_int_equal(try_order(w, true, NOW, NOW, two, 1), DOM_BUNDLE_VERSION_OLDER);
    assert_int_equal(try_order(w, true, NOW - DOM_BUNDLE_SKEW_MS - 1000, 0, two, 1),
                     DOM_BUNDLE_EXPIRED);
    assert_int_equal(try_order(w, true, NOW + DOM_BUNDLE_SKEW_MS + 1000, 0, two, 1),
                     DOM_BUNDLE_NOT_YET);
}

/* ---- the plan ------------------------------------------------------------------------------- */

static void plan_of(const char *old, const char *with, struct dom_plan *plan)
{
    struct dom_policy *before = test_load("version = 3L", "version = 3L");
    struct dom_policy *after = test_load(old, with);
    struct dom_buffer text = {0};
    struct dom_plan again;
    uint8_t hash[32];

    assert_int_equal(dom_plan_make(plan, before, after, &text, NULL), DOM_OK);
    assert_int_equal(dom_plan_make(&again, before, after, NULL, NULL), DOM_OK);
    assert_memory_equal(&again, plan, sizeof(again));
    dom_policy_sha256(hash, dom_buffer_slice(&text));
    assert_memory_equal(hash, plan->sha256, 32);
    dom_buffer_cleanup(&text);
    dom_policy_unref(before);
    dom_policy_unref(after);
}

static void a_plan_says_which_way_it_goes(void **state)
{
    struct dom_plan plan;
    struct dom_plan other;
    (void)state;

    plan_of("purposes = (\"moderation\");\n    services",
            "purposes = (\"moderation\", \"serve\");\n    services", &plan);
    assert_true(plan.loosens);
    assert_false(plan.tightens);
    plan_of("id = \"forbid-1\"; effect = \"forbid\"; classes = (\"location\")",
            "id = \"forbid-1\"; effect = \"forbid\"; classes = (\"location\", \"identifier\")",
            &other);
    assert_false(other.loosens);
    assert_true(other.tightens);
    assert_memory_not_equal(plan.sha256, other.sha256, 32);
    plan_of("version = 3L", "version = 4L", &plan);
    assert_false(plan.loosens);
    assert_false(plan.tightens);
    assert_int_equal(plan.num_groups, 0);
    /* When the policy ends is part of what it decides. */
    plan_of("expires = \"2030-01-01T00:00:00Z\"", "expires = \"2027-01-02T00:00:00Z\"", &plan);
    assert_true(plan.tightens);
    assert_false(plan.loosens);
}

/* Seeds for the fuzz target: written where it is asked for. */
static void write_seeds(void **state)
{
    struct world *w = *state;
    const char *dir = getenv("DOM_SEEDS_DIR");
    const int who[] = {ALICE, BOB};
    struct dom_bundle bundle = next_bundle(w);
    struct dom_buffer bytes = {0};
    char path[512];

    if (dir == NULL) {
        skip();
    }
    pack(w, &bundle, who, 2, &bytes);
    (void)snprintf(path, sizeof(path), "%s/bundle", dir);
    assert_int_equal(dom_file_write_atomic(path, dom_buffer_slice(&bytes), 0644, NULL), DOM_OK);
    (void)snprintf(path, sizeof(path), "%s/root", dir);
    assert_int_equal(dom_file_write_atomic(path, dom_buffer_slice(&w->root_bytes), 0644, NULL),
                     DOM_OK);
    dom_buffer_cleanup(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_distinct_keys_are_needed),
        cmocka_unit_test(a_key_under_two_names_is_refused_in_the_root),
        cmocka_unit_test(versions_go_up_by_one_upon_the_one_in_force),
        cmocka_unit_test(the_same_again_is_the_same),
        cmocka_unit_test(dates_and_names_are_checked),
        cmocka_unit_test(files_are_those_that_were_signed),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_bundle_has_at_most_sixteen_files),
        cmocka_unit_test(a_note_has_at_most_64_kib),
        cmocka_unit_test(a_root_has_at_most_32_keys),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(a_root_follows_a_root_by_its_keys),
        cmocka_unit_test(an_expired_root_takes_nothing),
        cmocka_unit_test(timestamps_are_fresh_and_by_their_own_key),
        cmocka_unit_test(one_key_freezes_and_the_threshold_unfreezes),
        cmocka_unit_test(a_plan_says_which_way_it_goes),
        cmocka_unit_test(write_seeds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
