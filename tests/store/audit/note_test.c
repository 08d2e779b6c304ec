#include "base/note/note.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "store/audit/bundle.h"
#include "store/audit/checkpoint.h"
#include "tests/store/audit/testing.h"

/* A published example: its key, its text and its one signature (C2SP signed-note). */
static const char s_vkey[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char s_note[] =
    "This is an example message.\n\n\xE2\x80\x94 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    "\n";

static void open_keys(struct dom_note_key *key, const char *vkey)
{
    struct dom_error err;
    if (dom_note_key_parse(key, dom_slice_str(vkey), &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
}

static enum dom_code open_note(struct dom_slice bytes, const struct dom_note_key *keys,
                               size_t num_keys)
{
    struct dom_note note;
    enum dom_code rc = dom_note_parse(&note, bytes, NULL);
    return rc != DOM_OK ? rc : dom_note_verify(&note, keys, num_keys, NULL, NULL);
}

static void published_example_verifies(void **state)
{
    struct dom_note_key key;
    struct dom_buffer out = {0};
    (void)state;

    open_keys(&key, s_vkey);
    assert_int_equal(key.id, 0x530d903a);
    assert_int_equal(open_note(dom_slice_str(s_note), &key, 1), DOM_OK);
    dom_note_key_format(&key, &out);
    assert_string_equal(dom_buffer_cstr(&out), s_vkey);
    dom_buffer_cleanup(&out);
    dom_note_key_cleanup(&key);
}

static void every_changed_byte_is_noticed(void **state)
{
    struct dom_note_key key;
    char note[sizeof(s_note)];
    (void)state;

    open_keys(&key, s_vkey);
    for (size_t i = 0; i + 1 < sizeof(s_note); i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(note, s_note, sizeof(note));
            note[i] = (char)(note[i] ^ (1 << bit));
            assert_int_not_equal(open_note(dom_slice_of(note, sizeof(note) - 1), &key, 1), DOM_OK);
        }
    }
    for (size_t len = 0; len + 1 < sizeof(s_note); len++) {
        assert_int_not_equal(open_note(dom_slice_of(s_note, len), &key, 1), DOM_OK);
    }
    dom_note_key_cleanup(&key);
}

static void unknown_keys_are_ignored_known_ones_must_verify(void **state)
{
    struct dom_note_signer ours;
    struct dom_note_signer other;
    struct dom_note note;
    struct dom_note_verdict verdicts[2];
    struct dom_buffer out = {0};
    struct dom_slice text = DOM_SLICE_LIT("one\n\ntwo\n");
    (void)state;

    testing_signer(&ours, 1);
    testing_signer(&other, 2);
    assert_int_equal(dom_note_sign(&ours, text, &out, NULL), DOM_OK);
    assert_int_equal(dom_note_sign_line(&other, text, 0, &out, NULL), DOM_OK);
    assert_int_equal(dom_note_parse(&note, dom_buffer_slice(&out), NULL), DOM_OK);
    assert_int_equal(note.num_signatures, 2);
    assert_true(dom_slice_eq(note.text, text));
    struct dom_note_key keys[2] = {other.key, ours.key};
    assert_int_equal(dom_note_verify(&note, keys, 2, verdicts, NULL), DOM_OK);
    assert_true(verdicts[0].verified && verdicts[1].verified);
    assert_int_equal(dom_note_verify(&note, &ours.key, 1, verdicts, NULL), DOM_OK);
    assert_int_equal(dom_note_verify(&note, NULL, 0, NULL, NULL), DOM_UNAUTHENTICATED);
    /* Break the second line only: it matters to those who know its key. */
    uint8_t *at = out.data + out.len - 10;
    *at = *at == 'A' ? 'B' : 'A';
    assert_int_equal(open_note(dom_buffer_slice(&out), &ours.key, 1), DOM_OK);
    assert_int_equal(open_note(dom_buffer_slice(&out), keys, 2), DOM_TAMPERED);
    dom_buffer_cleanup(&out);
    dom_note_signer_cleanup(&ours);
    dom_note_signer_cleanup(&other);
}

static void hundred_signatures_pass_and_one_more_does_not(void **state)
{
    struct dom_note_signer signer;
    struct dom_buffer out = {0};
    (void)state;

    testing_signer(&signer, 1);
    assert_int_equal(dom_note_sign(&signer, DOM_SLICE_LIT("text\n"), &out, NULL), DOM_OK);
    for (unsigned i = 1; i < DOM_NOTE_SIGNATURES_MAX; i++) {
        assert_int_equal(dom_note_sign_line(&signer, DOM_SLICE_LIT("text\n"), 0, &out, NULL),
                         DOM_OK);
    }
    assert_int_equal(open_note(dom_buffer_slice(&out), &signer.key, 1), DOM_OK);
    assert_int_equal(dom_note_sign_line(&signer, DOM_SLICE_LIT("text\n"), 0, &out, NULL), DOM_OK);
    assert_int_equal(open_note(dom_buffer_slice(&out), &signer.key, 1), DOM_PARSE);
    dom_buffer_cleanup(&out);
    dom_note_signer_cleanup(&signer);
}

static void notes_over_the_size_limit_are_refused(void **state)
{
    struct dom_note note;
    struct dom_buffer out = {0};
    (void)state;

    memset(dom_buffer_extend(&out, DOM_NOTE_BYTES_MAX + 1), 'x', DOM_NOTE_BYTES_MAX + 1);
    assert_int_equal(dom_note_parse(&note, dom_buffer_slice(&out), NULL), DOM_TOO_LARGE);
    out.len--;
    assert_int_equal(dom_note_parse(&note, dom_buffer_slice(&out), NULL), DOM_PARSE);
    dom_buffer_cleanup(&out);
}

static void bad_keys_are_refused(void **state)
{
    static const char *const s_bad[] = {
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903a+",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "exampl.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example com+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U0=",
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    };
    struct dom_note_key key;
    struct dom_note_signer signer;
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_bad); i++) {
        assert_int_not_equal(dom_note_key_parse(&key, dom_slice_str(s_bad[i]), NULL), DOM_OK);
        assert_int_not_equal(dom_note_signer_parse(&signer, dom_slice_str(s_bad[i]), NULL), DOM_OK);
    }
}

static void names_with_spaces_of_any_kind_are_refused(void **state)
{
    static const char *const s_bad[] = {"",      "a b",        "a+b",          "a\nb",
                                        "a\x7f", "a\xC2\xA0z", "\xE3\x80\x80", "a\xE2\x80\xA8",
                                        "\xFF",  "a\xC2\x85"};
    uint8_t seed[32] = {9};
    struct dom_note_signer signer;
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_bad); i++) {
        assert_int_equal(
            dom_note_signer_init(&signer, dom_slice_str(s_bad[i]), DOM_KEY_ED25519, seed, NULL),
            DOM_INVALID);
        assert_false(dom_origin_valid(dom_slice_str(s_bad[i])));
    }
    assert_true(dom_origin_valid(DOM_SLICE_LIT("caf\xC3\xA9")));
}

static void signer_survives_its_text_form(void **state)
{
    struct dom_note_signer signer;
    struct dom_note_signer back;
    struct dom_buffer text = {0};
    struct dom_buffer a = {0};
    struct dom_buffer b = {0};
    (void)state;

    testing_signer(&signer, 3);
    assert_int_equal(dom_note_signer_format(&signer, &text, NULL), DOM_OK);
    assert_int_equal(dom_note_signer_parse(&back, dom_buffer_slice(&text), NULL), DOM_OK);
    assert_int_equal(dom_note_sign(&signer, DOM_SLICE_LIT("x\n"), &a, NULL), DOM_OK);
    assert_int_equal(dom_note_sign(&back, DOM_SLICE_LIT("x\n"), &b, NULL), DOM_OK);
    assert_true(dom_slice_eq(dom_buffer_slice(&a), dom_buffer_slice(&b)));
    assert_int_equal(dom_note_sign(&signer, DOM_SLICE_LIT("no newline"), &a, NULL), DOM_INVALID);
    assert_int_equal(dom_note_sign(&signer, DOM_SLICE_LIT("bell \a\n"), &a, NULL), DOM_INVALID);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&a);
    dom_buffer_cleanup(&b);
    dom_note_signer_cleanup(&signer);
    dom_note_signer_cleanup(&back);
}

static void cosignature_is_made_and_checked(void **state)
{
    struct dom_note_signer log;
    struct dom_note_signer witness;
    struct dom_tree_head head = {.size = 5};
    struct dom_checkpoint checkpoint;
    struct dom_note note;
    struct dom_note_verdict verdicts[2];
    struct dom_buffer out = {0};
    uint8_t seed[32] = {11};
    (void)state;

    testing_signer(&log, 1);
    assert_int_equal(dom_note_signer_init(&witness, DOM_SLICE_LIT("witness.example.org"),
                                          DOM_KEY_COSIGNATURE, seed, NULL),
                     DOM_OK);
    assert_int_equal(dom_checkpoint_sign(&log, &head, &out, NULL), DOM_OK);
    assert_int_equal(dom_note_parse(&note, dom_buffer_slice(&out), NULL), DOM_OK);
    struct dom_buffer line = {0};
    assert_int_equal(dom_note_sign_line(&witness, note.text, 1764500000, &line, NULL), DOM_OK);
    dom_buffer_append_slice(&out, dom_buffer_slice(&line));
    struct dom_note_key keys[2] = {log.key, witness.key};
    assert_int_equal(
        dom_checkpoint_open(&checkpoint, dom_buffer_slice(&out), keys, 2, verdicts, NULL), DOM_OK);
    assert_true(verdicts[1].verified);
    assert_int_equal(verdicts[1].time_s, 1764500000);
    /* A witness alone does not make it the log's checkpoint. */
    assert_int_equal(
        dom_checkpoint_open(&checkpoint, dom_buffer_slice(&out), &keys[1], 1, NULL, NULL),
        DOM_UNAUTHENTICATED);
    dom_buffer_cleanup(&line);
    dom_buffer_cleanup(&out);
    dom_note_signer_cleanup(&log);
    dom_note_signer_cleanup(&witness);
}

/* ---- checkpoints ---------------------------------------------------------------------------- */

static void bad_checkpoint_bodies_are_refused(void **state)
{
#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    static const char *const s_bad[] = {
        "",
        "origin\n",
        "origin\n5\n",
        "origin\n5\n" ROOT,
        "\n5\n" ROOT "\n",
        "two words\n5\n" ROOT "\n",
        "origin\n05\n" ROOT "\n",
        "origin\n-5\n" ROOT "\n",
        "origin\n+5\n" ROOT "\n",
        "origin\n\n" ROOT "\n",
        "origin\n5 \n" ROOT "\n",
        "origin\n99999999999999999999\n" ROOT "\n",
        "origin\n4611686018427387905\n" ROOT "\n",
        "origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n",
        "origin\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
        "origin\n5\nQQ==\n",
        "origin\n5\n" ROOT "\n\n",
        "origin\n5\n" ROOT "\next\n\n",
        "origin\n5\n" ROOT "\next",
    };
    struct dom_checkpoint checkpoint;
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_bad); i++) {
        if (dom_checkpoint_parse(&checkpoint, dom_slice_str(s_bad[i]), NULL) != DOM_PARSE) {
            fail_msg("taken: %s", s_bad[i]);
        }
    }
    assert_int_equal(
        dom_checkpoint_parse(&checkpoint, DOM_SLICE_LIT("o\n0\n" ROOT "\next\n"), NULL), DOM_OK);
    assert_int_equal(checkpoint.head.size, 0);
    assert_true(dom_slice_eq_str(checkpoint.extensions, "ext\n"));
}

/* ---- vectors from elsewhere ----------------------------------------------------------------- */

static void signed_note_vectors(void **state)
{
    size_t i = 0;
    json_t *item = NULL;
    unsigned num_good = 0;
    (void)state;

    json_t *json = testing_vector_json("signed_notes.json");
    json_array_foreach (json_object_get(json, "notes"), i, item) {
        struct dom_note_key key;
        struct dom_buffer bytes = {0};
        open_keys(&key, json_string_value(json_object_get(item, "vkey")));
        testing_base64(&bytes, json_string_value(json_object_get(item, "note_b64")));
        bool good = open_note(dom_buffer_slice(&bytes), &key, 1) == DOM_OK;
        if (good != json_is_true(json_object_get(item, "ok"))) {
            fail_msg("note %zu (%s)", i, json_string_value(json_object_get(item, "why")));
        }
        num_good += good ? 1 : 0;
        dom_buffer_cleanup(&bytes);
        dom_note_key_cleanup(&key);
    }
    assert_int_equal(num_good, 4);
    json_array_foreach (json_object_get(json, "bad_vkeys"), i, item) {
        struct dom_note_key key;
        assert_int_not_equal(dom_note_key_parse(&key, dom_slice_str(json_string_value(item)), NULL),
                             DOM_OK);
    }
    json_array_foreach (json_object_get(json, "tile_paths_c2sp"), i, item) {
        char path[DOM_TILE_PATH_SIZE];
        struct dom_tile tile = {.n = strtoull(json_string_value(json_array_get(item, 0)), NULL, 10),
                                .width = DOM_TILE_WIDTH};
        struct dom_tile back;
        (void)dom_tile_path(path, tile);
        assert_string_equal(path + strlen("tile/0/"), json_string_value(json_array_get(item, 1)));
        assert_true(dom_tile_path_parse(dom_slice_str(path), &back));
        assert_int_equal(back.n, tile.n);
    }
    json_decref(json);
}

static void signing_vector_is_reproduced(void **state)
{
    struct dom_note_signer signer;
    struct dom_buffer seed = {0};
    struct dom_buffer text = {0};
    struct dom_buffer line = {0};
    char first[64] = {0};
    (void)state;

    json_t *json = testing_vector_json("signed_notes.json");
    const json_t *sign = json_array_get(json_object_get(json, "sign"), 0);
    const char *seed_text = json_string_value(json_object_get(sign, "seed_b64"));
    memcpy(first, seed_text, strcspn(seed_text, " "));
    testing_base64(&seed, first);
    assert_int_equal(seed.len, 33);
    testing_base64(&text, json_string_value(json_object_get(sign, "text_b64")));
    assert_int_equal(dom_note_signer_init(
                         &signer, dom_slice_str(json_string_value(json_object_get(sign, "name"))),
                         DOM_KEY_ED25519, seed.data + 1, NULL),
                     DOM_OK);
    assert_int_equal(dom_note_sign_line(&signer, dom_buffer_slice(&text), 0, &line, NULL), DOM_OK);
    assert_string_equal(dom_buffer_cstr(&line), json_string_value(json_object_get(sign, "line")));
    dom_note_signer_cleanup(&signer);
    dom_buffer_cleanup(&seed);
    dom_buffer_cleanup(&text);
    dom_buffer_cleanup(&line);
    json_decref(json);
}

#define TESSERA "transparency-dev-tessera/testdata/log"
/* The public test key of that log; its private form is published with the log's sources. */
static const char s_tessera_key[] =
    "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg";

static void tessera_log_is_reproduced_byte_for_byte(void **state)
{
    struct dom_note_signer signer;
    struct dom_memory_tree tree;
    struct dom_buffer bundle = {0};
    struct dom_buffer file = {0};
    struct dom_buffer signed_again = {0};
    struct dom_bundle_iter iter;
    struct dom_slice entry;
    char path[256];
    bool done = false;
    (void)state;

    assert_int_equal(dom_note_signer_parse(&signer, dom_slice_str(s_tessera_key), NULL), DOM_OK);
    testing_read(&bundle, testing_vector_path(TESSERA "/tile/entries/000.p/15"));
    dom_memory_tree_init(&tree);
    dom_bundle_iter_init(&iter, dom_buffer_slice(&bundle));
    for (unsigned size = 0;; size++) {
        struct dom_tree_head head = {.size = size};
        struct dom_checkpoint checkpoint;
        struct dom_hash leaf;
        dom_edge_root(&tree.edge, &head.root);
        (void)snprintf(path, sizeof(path), TESSERA "/checkpoint.%u", size);
        testing_read(&file, testing_vector_path(path));
        assert_int_equal(
            dom_checkpoint_open(&checkpoint, dom_buffer_slice(&file), &signer.key, 1, NULL, NULL),
            DOM_OK);
        assert_int_equal(checkpoint.head.size, size);
        assert_true(dom_hash_eq(&checkpoint.head.root, &head.root));
        dom_buffer_clear(&signed_again);
        assert_int_equal(dom_checkpoint_sign(&signer, &head, &signed_again, NULL), DOM_OK);
        assert_true(dom_slice_eq(dom_buffer_slice(&signed_again), dom_buffer_slice(&file)));
        if (size > 0) {
            (void)snprintf(path, sizeof(path), TESSERA "/tile/0/000.p/%u", size);
            testing_read(&file, testing_vector_path(path));
            assert_true(dom_slice_eq(dom_buffer_slice(&file), dom_buffer_slice(&tree.levels[0])));
            (void)snprintf(path, sizeof(path), TESSERA "/tile/entries/000.p/%u", size);
            testing_read(&file, testing_vector_path(path));
            assert_true(
                dom_slice_eq(dom_buffer_slice(&file),
                             dom_slice_of(bundle.data, (size_t)(iter.rest.data - bundle.data))));
        }
        assert_int_equal(dom_bundle_next(&iter, &entry, &done, NULL), DOM_OK);
        if (done) {
            assert_int_equal(size, 15);
            break;
        }
        dom_hash_leaf(&leaf, entry);
        assert_int_equal(dom_memory_tree_append(&tree, &leaf, NULL), DOM_OK);
    }
    dom_memory_tree_cleanup(&tree);
    dom_buffer_cleanup(&bundle);
    dom_buffer_cleanup(&file);
    dom_buffer_cleanup(&signed_again);
    dom_note_signer_cleanup(&signer);
}

#define SUNLIGHT     "sunlight-skylight/cmd/skylight/testdata/witness"
#define SUNLIGHT_LOG "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"

static void sunlight_checkpoint_and_cosignature_verify(void **state)
{
    static const char *const s_checkpoints[2][2] = {
        {"witness.example.org+b8a2cf20+BFLN3yikSfFkVAJtrnh/CiY3Zozkoy7clp+P7XB28qUN",
         SUNLIGHT "/" SUNLIGHT_LOG "/checkpoint"},
        {"mirror.example.org+3fb148ef+BAAjjch9GyYz0sJsJx7ALhbdAtz2ov0unbzSl1vMp94O",
         SUNLIGHT "/mirror/" SUNLIGHT_LOG "/checkpoint"},
    };
    struct dom_checkpoint checkpoint;
    struct dom_buffer file = {0};
    struct dom_edge edge;
    struct dom_hash root;
    struct dom_hash want;
    (void)state;

    for (int i = 0; i < 2; i++) {
        struct dom_note_key key;
        struct dom_note note;
        struct dom_note_verdict verdict;
        open_keys(&key, s_checkpoints[i][0]);
        testing_read(&file, testing_vector_path(s_checkpoints[i][1]));
        assert_int_equal(dom_note_parse(&note, dom_buffer_slice(&file), NULL), DOM_OK);
        assert_int_equal(dom_note_verify(&note, &key, 1, &verdict, NULL), DOM_OK);
        assert_true(verdict.verified);
        assert_true(verdict.time_s > 1700000000);
        assert_int_equal(dom_checkpoint_parse(&checkpoint, note.text, NULL), DOM_OK);
        assert_int_equal(checkpoint.head.size, 300);
        want = checkpoint.head.root;
        dom_note_key_cleanup(&key);
    }
    dom_edge_init(&edge);
    for (int part = 0; part < 2; part++) {
        testing_read(&file, testing_vector_path(
                                part == 0 ? SUNLIGHT "/mirror/" SUNLIGHT_LOG "/tile/0/000"
                                          : SUNLIGHT "/mirror/" SUNLIGHT_LOG "/tile/0/001.p/44"));
        for (size_t at = 0; at < file.len; at += DOM_HASH_SIZE) {
            struct dom_hash leaf;
            memcpy(leaf.bytes, file.data + at, DOM_HASH_SIZE);
            dom_edge_append(&edge, &leaf, NULL);
        }
    }
    assert_int_equal(edge.size, 300);
    dom_edge_root(&edge, &root);
    assert_true(dom_hash_eq(&root, &want));
    dom_buffer_cleanup(&file);
}

static void witness_transcripts_agree(void **state)
{
    struct dom_note_key key;
    struct dom_buffer bytes = {0};
    uint8_t public_key[32];
    size_t i = 0;
    json_t *item = NULL;
    unsigned num_checked = 0;
    (void)state;

    json_t *json = testing_vector_json("witness_transcripts.json");
    const char *hex = json_string_value(json_object_get(json, "log_ed25519_pk_hex"));
    const char *origin = json_string_value(json_object_get(json, "log_origin"));
    assert_true(dom_hex_decode(public_key, sizeof(public_key), dom_slice_str(hex)));
    assert_int_equal(
        dom_note_key_init(&key, dom_slice_str(origin), DOM_KEY_ED25519, public_key, NULL), DOM_OK);
    json_array_foreach (json_object_get(json, "transcripts"), i, item) {
        struct dom_checkpoint checkpoint;
        testing_base64(&bytes, json_string_value(json_object_get(item, "request_b64")));
        const char *body = strstr(dom_buffer_cstr(&bytes), "\n\n");
        assert_non_null(body);
        int status = (int)json_integer_value(json_object_get(item, "status"));
        enum dom_code rc =
            dom_checkpoint_open(&checkpoint, dom_slice_str(body + 2), &key, 1, NULL, NULL);
        if (status == 200) {
            assert_int_equal(rc, DOM_OK);
            num_checked++;
        } else if (status == 403 || status == 404) {
            assert_int_not_equal(rc, DOM_OK);
            num_checked++;
        }
    }
    assert_true(num_checked >= 2);
    dom_buffer_cleanup(&bytes);
    dom_note_key_cleanup(&key);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_example_verifies),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(unknown_keys_are_ignored_known_ones_must_verify),
        cmocka_unit_test(hundred_signatures_pass_and_one_more_does_not),
        cmocka_unit_test(notes_over_the_size_limit_are_refused),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(names_with_spaces_of_any_kind_are_refused),
        cmocka_unit_test(signer_survives_its_text_form),
        cmocka_unit_test(cosignature_is_made_and_checked),
        cmocka_unit_test(bad_checkpoint_bodies_are_refused),
        cmocka_unit_test(signed_note_vectors),
        cmocka_unit_test(signing_vector_is_reproduced),
        cmocka_unit_test(tessera_log_is_reproduced_byte_for_byte),
        cmocka_unit_test(sunlight_checkpoint_and_cosignature_verify),
        cmocka_unit_test(witness_transcripts_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
