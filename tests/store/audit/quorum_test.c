/* Trust policies: what is read, what is refused and where, and when a quorum is met. */
#include "store/audit/quorum.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/audit/checkpoint.h"
#include "tests/store/audit/testing.h"

#define SIGNERS 8U

struct world {
    struct dom_note_signer log;
    struct dom_note_signer witnesses[SIGNERS];
    char log_vkey[512];
    char vkeys[SIGNERS][512];
    struct dom_buffer text;
};

static void put_vkey(char *out, const struct dom_note_key *key)
{
    struct dom_buffer vkey = {0};

    dom_note_key_format(key, &vkey);
    (void)snprintf(out, 512, "%s", dom_buffer_cstr(&vkey));
    dom_buffer_cleanup(&vkey);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    testing_signer(&w->log, 1);
    put_vkey(w->log_vkey, &w->log.key);
    for (unsigned i = 0; i < SIGNERS; i++) {
        char name[64];
        uint8_t seed[32] = {9, (uint8_t)i};
        (void)snprintf(name, sizeof(name), "witness.example/w%u", i);
        assert_int_equal(dom_note_signer_init(&w->witnesses[i], dom_slice_str(name),
                                              DOM_KEY_COSIGNATURE, seed, NULL),
                         DOM_OK);
        put_vkey(w->vkeys[i], &w->witnesses[i].key);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    dom_note_signer_cleanup(&w->log);
    for (unsigned i = 0; i < SIGNERS; i++) {
        dom_note_signer_cleanup(&w->witnesses[i]);
    }
    dom_buffer_cleanup(&w->text);
    free(w);
    return 0;
}

/* The log, witnesses w0 to w5, then `tail`. */
static struct dom_slice policy(struct world *w, const char *tail)
{
    dom_buffer_clear(&w->text);
    dom_buffer_printf(&w->text, "# a comment\n\n log\t%s https://log.example/\n", w->log_vkey);
    for (unsigned i = 0; i < 6; i++) {
        dom_buffer_printf(&w->text, "witness w%u %s%s\n", i, w->vkeys[i],
                          i == 2 ? " https://two.example/prefix" : "");
    }
    dom_buffer_append_str(&w->text, tail);
    return dom_buffer_slice(&w->text);
}

/* A checkpoint that the witnesses of the bit set cosigned. */
static void checkpoint_by(struct world *w, unsigned set, struct dom_buffer *out)
{
    struct dom_tree_head head = {.size = 7};
    struct dom_note note;

    dom_buffer_clear(out);
    assert_int_equal(dom_checkpoint_sign(&w->log, &head, out, NULL), DOM_OK);
    assert_int_equal(dom_note_parse(&note, dom_buffer_slice(out), NULL), DOM_OK);
    struct dom_buffer text = {0};
    dom_buffer_append_slice(&text, note.text);
    for (unsigned i = 0; i < SIGNERS; i++) {
        if ((set & (1U << i)) != 0) {
            assert_int_equal(
                dom_note_sign_line(&w->witnesses[i], dom_buffer_slice(&text), 1000 + i, out, NULL),
                DOM_OK);
        }
    }
    dom_buffer_cleanup(&text);
}

static bool met(struct world *w, const char *tail, unsigned set)
{
    struct dom_quorum_result result;
    struct dom_quorum *quorum = NULL;
    struct dom_buffer checkpoint = {0};
    struct dom_error err;

    if (dom_quorum_parse(&quorum, policy(w, tail), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    checkpoint_by(w, set, &checkpoint);
    assert_int_equal(dom_quorum_judge(quorum, dom_buffer_slice(&checkpoint), &result, NULL),
                     DOM_OK);
    assert_int_equal(result.num_witnesses, 6);
    assert_int_equal(result.num_cosignatures, __builtin_popcount(set & 63U));
    assert_int_equal(result.oldest_s, (set & 63U) == 0 ? 0 : 1000 + (unsigned)__builtin_ctz(set));
    dom_buffer_cleanup(&checkpoint);
    dom_quorum_destroy(quorum);
    return result.met;
}

static void keys_and_addresses_are_read(void **state)
{
    struct world *w = *state;
    struct dom_quorum *quorum = NULL;

    assert_int_equal(dom_quorum_parse(&quorum, policy(w, "quorum none\n"), NULL), DOM_OK);
    assert_int_equal(dom_quorum_num_logs(quorum), 1);
    assert_string_equal(dom_quorum_log(quorum, 0)->name, TESTING_ORIGIN);
    assert_int_equal(dom_quorum_num_witnesses(quorum), 6);
    assert_int_equal(dom_quorum_witness(quorum, 5)->id, w->witnesses[5].key.id);
    assert_string_equal(dom_quorum_witness_url(quorum, 2), "https://two.example/prefix");
    assert_string_equal(dom_quorum_witness_url(quorum, 3), "");
    dom_quorum_destroy(quorum);
}

/* Every subset of six witnesses under a threshold of thresholds, against the same rule in C. */
static void quorum_is_met_exactly_as_written(void **state)
{
    struct world *w = *state;
    static const char tail[] =
        "group x 2 w0 w1 w2\ngroup y any w3 w4\ngroup both all x y\n"
        "quorum both\n";

    for (unsigned set = 0; set < 64; set++) {
        bool x = __builtin_popcount(set & 7U) >= 2;
        bool y = (set & 24U) != 0;
        assert_int_equal(met(w, tail, set), x && y);
        assert_int_equal(met(w, "quorum w5\n", set), (set & 32U) != 0);
        assert_true(met(w, "quorum none\n", set));
        assert_int_equal(met(w, "group all all w0 w1 w2 w3 w4 w5\nquorum all\n", set), set == 63);
    }
    /* Witnesses that the policy does not name count for nothing. */
    assert_false(met(w, "group any any w0 w1\nquorum any\n", 0xC0));
}

static void forged_cosignature_is_no_cosignature(void **state)
{
    struct world *w = *state;
    struct dom_quorum_result result;
    struct dom_quorum *quorum = NULL;
    struct dom_buffer checkpoint = {0};

    assert_int_equal(dom_quorum_parse(&quorum, policy(w, "quorum w1\n"), NULL), DOM_OK);
    checkpoint_by(w, 2, &checkpoint);
    size_t body = 0;
    for (size_t at = 0; at < checkpoint.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            checkpoint.data[at] ^= (uint8_t)(1U << bit);
            enum dom_code rc =
                dom_quorum_judge(quorum, dom_buffer_slice(&checkpoint), &result, NULL);
            /* A changed line of the log's own is not this function's to find. */
            bool counts = rc == DOM_OK && result.met;
            checkpoint.data[at] ^= (uint8_t)(1U << bit);
            body += counts ? 1 : 0;
            if (counts) {
                struct dom_checkpoint opened;
                checkpoint.data[at] ^= (uint8_t)(1U << bit);
                assert_int_not_equal(dom_checkpoint_open(&opened, dom_buffer_slice(&checkpoint),
                                                         &w->log.key, 1, NULL, NULL),
                                     DOM_OK);
                checkpoint.data[at] ^= (uint8_t)(1U << bit);
            }
        }
    }
    assert_true(body < 8 * 160); /* only in the log's one line */
    dom_buffer_cleanup(&checkpoint);
    dom_quorum_destroy(quorum);
}

static void refuse(struct world *w, struct dom_slice text, const char *part)
{
    struct dom_quorum *quorum = NULL;
    struct dom_error err = {0};

    (void)w;
    assert_int_not_equal(dom_quorum_parse(&quorum, text, &err), DOM_OK);
    assert_null(quorum);
    if (strstr(err.message, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    }
}

static void mistakes_are_refused_with_their_line(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *tail;
        const char *part;
    } cases[] = {
        {"", "line 10: there is no quorum line"},
        {"quorum none", "line 10: it has no newline"},
        {"quorum\n", "line 10: \"\" is no witness"},
        {"quorum w9\n", "line 10: \"w9\" is no witness"},
        {"quorum w1 w2\n", "line 10: there is a word too many"},
        {"quorum w1\nquorum w2\n", "line 11: there is a quorum line already"},
        {"quorum g\ngroup g any w1\n", "line 10: \"g\" is no witness"},
        {"group g any g\n", "line 10: \"g\" is no witness"},
        {"group g any none\n", "line 10: \"none\" is no witness"},
        {"group none any w1\n", "line 10: the name \"none\" is taken"},
        {"group w1 any w2\n", "line 10: the name \"w1\" is taken"},
        {"group g any w1 w1\n", "line 10: \"w1\" is a member already"},
        {"group g any w1\ngroup h any w1\n", "line 11: \"w1\" is a member already"},
        {"group g all\n", "line 10: a group of 0 members"},
        {"group g 0 w1\n", "line 10: a group of 1 members cannot want 0"},
        {"group g 2 w1\n", "line 10: a group of 1 members cannot want 2"},
        {"group g 01 w1\n", "line 10: all, any or a number is wanted"},
        {"group g -1 w1\n", "line 10: all, any or a number is wanted"},
        {"group\n", "line 10: a name is wanted"},
        {"Quorum none\n", "line 10: log, witness, group or quorum is wanted"},
        {"quorum none\r\n", "line 10: a control character"},
        {"witness z nokey\n", "line 10: "},
        {"witness z\n", "line 10: "},
        {"log\n", "line 10: "},
    };

    for (size_t i = 0; i < DOM_ARRAY_LEN(cases); i++) {
        refuse(w, policy(w, cases[i].tail), cases[i].part);
    }
    refuse(w, dom_slice_of("quorum none\0\n", 13), "line 1: a control character");
    refuse(w, dom_slice_of(NULL, 0), "line 1: there is no quorum line");
}

static void keys_of_the_wrong_type_or_twice_are_refused(void **state)
{
    struct world *w = *state;
    char line[1200];
    struct dom_note_signer other;
    char other_vkey[512];
    uint8_t seed[32] = {9, 3};

    (void)snprintf(line, sizeof(line), "witness z %s\nquorum none\n", w->log_vkey);
    refuse(w, policy(w, line), "0x04 is wanted here");
    (void)snprintf(line, sizeof(line), "log %s\nquorum none\n", w->vkeys[7]);
    refuse(w, policy(w, line), "0x01 is wanted here");
    (void)snprintf(line, sizeof(line), "log %s\nquorum none\n", w->log_vkey);
    refuse(w, policy(w, line), "is that of");
    /* The same public key under another name counts once. */
    assert_int_equal(dom_note_signer_init(&other, DOM_SLICE_LIT("other.example/name"),
                                          DOM_KEY_COSIGNATURE, seed, NULL),
                     DOM_OK);
    put_vkey(other_vkey, &other.key);
    (void)snprintf(line, sizeof(line), "witness z %s\nquorum none\n", other_vkey);
    refuse(w, policy(w, line), "is that of witness.example/w3 above");
    dom_note_signer_cleanup(&other);
}

static void limits_hold(void **state)
{
    struct dom_buffer text = {0};
    struct dom_quorum *quorum = NULL;
    struct dom_error err = {0};
    (void)state;

    for (unsigned n = DOM_QUORUM_WITNESSES_MAX; n <= DOM_QUORUM_WITNESSES_MAX + 1; n++) {
        dom_buffer_clear(&text);
        for (unsigned i = 0; i < n; i++) {
            struct dom_note_signer signer;
            char vkey[512];
            uint8_t seed[32] = {7, (uint8_t)i};
            assert_int_equal(dom_note_signer_init(&signer, DOM_SLICE_LIT("many.example/w"),
                                                  DOM_KEY_COSIGNATURE, seed, NULL),
                             DOM_OK);
            put_vkey(vkey, &signer.key);
            dom_buffer_printf(&text, "witness w%u %s\n", i, vkey);
            dom_note_signer_cleanup(&signer);
        }
        dom_buffer_append_str(&text, "quorum w0\n");
        enum dom_code rc = dom_quorum_parse(&quorum, dom_buffer_slice(&text), &err);
        assert_int_equal(rc, n > DOM_QUORUM_WITNESSES_MAX ? DOM_RESOURCE : DOM_OK);
        dom_quorum_destroy(quorum);
    }
    dom_buffer_clear(&text);
    dom_buffer_append_str(&text, "quorum none\n");
    while (text.len < DOM_QUORUM_FILE_BYTES_MAX) {
        dom_buffer_append_char(&text, '\n');
    }
    assert_int_equal(dom_quorum_parse(&quorum, dom_buffer_slice(&text), &err), DOM_OK);
    dom_quorum_destroy(quorum);
    dom_buffer_append_char(&text, '\n');
    assert_int_equal(dom_quorum_parse(&quorum, dom_buffer_slice(&text), &err), DOM_TOO_LARGE);
    dom_buffer_cleanup(&text);
}

static void missing_file_is_named(void **state)
{
    struct dom_quorum *quorum = NULL;
    struct dom_error err = {0};
    (void)state;

    assert_int_equal(dom_quorum_read(&quorum, "/nowhere/policy", &err), DOM_IO);
    assert_non_null(strstr(err.message, "/nowhere/policy"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(keys_and_addresses_are_read),
        T(quorum_is_met_exactly_as_written),
        T(forged_cosignature_is_no_cosignature),
        T(mistakes_are_refused_with_their_line),
        T(keys_of_the_wrong_type_or_twice_are_refused),
        T(limits_hold),
        T(missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
