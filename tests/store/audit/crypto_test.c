/* Ed25519, SHA-256 and HMAC against facts; names and geometry of tiles. */
#include "store/crypto/sha256.h"

#include "base/encode.h"
#include "base/note/note.h"
#include "store/audit/tile.h"
#include "tests/store/audit/testing.h"

static void check_wycheproof_group(const json_t *group, unsigned *num_tests)
{
    const json_t *tests = json_object_get(group, "tests");
    struct dom_note_key key;
    uint8_t pk[32];

    const char *hex = json_string_value(json_object_get(json_object_get(group, "publicKey"), "pk"));
    assert_true(dom_hex_decode(pk, sizeof(pk), dom_slice_str(hex)));
    assert_int_equal(dom_note_key_init(&key, DOM_SLICE_LIT("w"), DOM_KEY_ED25519, pk, NULL),
                     DOM_OK);
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        const char *msg = json_string_value(json_object_get(test, "msg"));
        const char *sig = json_string_value(json_object_get(test, "sig"));
        uint8_t message[4096];
        uint8_t signature[512];
        assert_true(strlen(msg) / 2 <= sizeof(message) && strlen(sig) / 2 <= sizeof(signature));
        assert_true(dom_hex_decode(message, strlen(msg) / 2, dom_slice_str(msg)));
        assert_true(dom_hex_decode(signature, strlen(sig) / 2, dom_slice_str(sig)));
        bool good = dom_note_key_check(&key, dom_slice_of(message, strlen(msg) / 2),
                                       dom_slice_of(signature, strlen(sig) / 2));
        const char *result = json_string_value(json_object_get(test, "result"));
        if (good != (strcmp(result, "valid") == 0)) {
            fail_msg("test %lld: %s", (long long)json_integer_value(json_object_get(test, "tcId")),
                     result);
        }
        (*num_tests)++;
    }
    dom_note_key_cleanup(&key);
}

static void wycheproof_ed25519(void **state)
{
    unsigned num_tests = 0;
    (void)state;

    json_t *json = testing_vector_json("wycheproof/testvectors_v1/ed25519_test.json");
    const json_t *groups = json_object_get(json, "testGroups");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        check_wycheproof_group(json_array_get(groups, i), &num_tests);
    }
    assert_int_equal(num_tests, json_integer_value(json_object_get(json, "numberOfTests")));
    json_decref(json);
}

/* ---- SHA-256 and HMAC facts ----------------------------------------------------------------- */

static void expect_digest(const uint8_t *digest, const char *hex)
{
    char got[65];
    dom_hex_encode(got, dom_slice_of(digest, 32));
    assert_string_equal(got, hex);
}

static void sha256_and_hmac_facts(void **state)
{
    uint8_t out[32];
    uint8_t long_key[131];
    struct dom_hmac_key key;
    struct dom_slice parts[2] = {DOM_SLICE_LIT("what do ya want "), DOM_SLICE_LIT("for nothing?")};
    (void)state;

    dom_sha256(out, DOM_SLICE_LIT("abc"));
    expect_digest(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /* RFC 4231 cases 2 and 6. */
    dom_hmac_key_init(&key, DOM_SLICE_LIT("Jefe"));
    dom_hmac_sha256_parts(out, &key, parts, 2);
    expect_digest(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    dom_hmac_key_cleanup(&key);
    memset(long_key, 0xaa, sizeof(long_key));
    dom_hmac_key_init(&key, dom_slice_of(long_key, sizeof(long_key)));
    dom_hmac_sha256(out, &key,
                    DOM_SLICE_LIT("Test Using Larger Than Block-Size Key - Hash Key First"));
    expect_digest(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    /* The key is as good as new after its use. */
    dom_hmac_sha256(out, &key,
                    DOM_SLICE_LIT("Test Using Larger Than Block-Size Key - Hash Key First"));
    expect_digest(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    dom_hmac_key_cleanup(&key);
}

/* ---- tile names and geometry ---------------------------------------------------------------- */

static void bad_tile_paths_are_refused(void **state)
{
    static const char *const s_bad[] = {
        "",
        "tile",
        "tile/0",
        "tile/0/0",
        "tile/0/00",
        "tile/0/1000",
        "tile/00/000",
        "tile/8/000",
        "tile/x/000",
        "tile/0/000/",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1 ",
        "tile/0/X001/000",
        "tile/-1/000",
        "tile/entries/",
        "entries/000",
        "/tile/0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    };
    struct dom_tile tile;
    (void)state;

    for (size_t i = 0; i < DOM_ARRAY_LEN(s_bad); i++) {
        if (dom_tile_path_parse(dom_slice_str(s_bad[i]), &tile)) {
            fail_msg("taken: %s", s_bad[i]);
        }
    }
    assert_true(dom_tile_path_parse(DOM_SLICE_LIT("tile/entries/x001/x234/067.p/9"), &tile));
    assert_int_equal(tile.level, DOM_TILE_ENTRIES);
    assert_int_equal(tile.n, 1234067);
    assert_int_equal(tile.width, 9);
}

static void geometry_of_seventy_thousand(void **state)
{
    (void)state;
    assert_int_equal(dom_tile_width(70000, 0, 272), 256);
    assert_int_equal(dom_tile_width(70000, 0, 273), 112);
    assert_int_equal(dom_tile_width(70000, 0, 274), 0);
    assert_int_equal(dom_tile_width(70000, 1, 0), 256);
    assert_int_equal(dom_tile_width(70000, 1, 1), 17);
    assert_int_equal(dom_tile_width(70000, 2, 0), 1);
    assert_int_equal(dom_tile_width(70000, 3, 0), 0);
    assert_int_equal(dom_tile_count(70000), 277);
    assert_int_equal(dom_tile_bundle_count(70000), 274);
    assert_int_equal(dom_tile_count(256), 2);
    assert_int_equal(dom_tile_width(256, 1, 0), 1);
    assert_int_equal(dom_tile_count(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wycheproof_ed25519),
        cmocka_unit_test(sha256_and_hmac_facts),
        cmocka_unit_test(bad_tile_paths_are_refused),
        cmocka_unit_test(geometry_of_seventy_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
