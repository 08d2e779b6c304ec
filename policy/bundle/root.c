/* The root: which keys may sign what, and how many of them it takes. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "policy/bundle/bundle_internal.h"

#define HEADER "domicile-policy-root/v1"

static const char *const s_roles[DOM_ROLE_COUNT] = {"root", "policy", "timestamp"};

void dom_root_cleanup(struct dom_root *root)
{
    for (size_t i = 0; i < root->num_keys; i++) {
        dom_note_key_cleanup(&root->keys[i]);
    }
    root->num_keys = 0;
}

static bool find_role(struct dom_slice word, enum dom_root_role *role)
{
    for (size_t i = 0; i < DOM_ROLE_COUNT; i++) {
        if (dom_slice_eq_str(word, s_roles[i])) {
            *role = (enum dom_root_role)i;
            return true;
        }
    }
    return false;
}

/* One public key is one voice, whatever names it goes by. */
static bool is_listed(const struct dom_root *root, const uint8_t *public_key,
                      enum dom_root_role role)
{
    for (size_t i = 0; i < root->num_keys; i++) {
        if (root->roles[i] == role &&
            memcmp(root->keys[i].public_key, public_key, DOM_ED25519_KEY_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void read_key(struct dom_root *root, struct dom_lines *lines)
{
    struct dom_slice word;
    struct dom_slice rest = dom_lines_value(lines, "key");
    enum dom_root_role role = DOM_ROLE_ROOT;
    struct dom_note_key key;

    if (root->num_keys == DOM_ROOT_KEYS_MAX || !dom_cut_word(&rest, &word) ||
        !find_role(word, &role) || dom_note_key_parse(&key, rest, NULL) != DOM_OK) {
        dom_lines_fail(lines);
        return;
    }
    if (key.type != DOM_KEY_ED25519 || is_listed(root, key.public_key, role)) {
        dom_note_key_cleanup(&key);
        dom_lines_fail(lines);
        return;
    }
    root->roles[root->num_keys] = role;
    root->keys[root->num_keys++] = key;
}

static unsigned count_keys(const struct dom_root *root, enum dom_root_role role)
{
    unsigned num = 0;

    for (size_t i = 0; i < root->num_keys; i++) {
        num += root->roles[i] == role ? 1 : 0;
    }
    return num;
}

static enum dom_code check_thresholds(const struct dom_root *root, struct dom_error *err)
{
    for (size_t r = 0; r < DOM_ROLE_COUNT; r++) {
        unsigned num = count_keys(root, (enum dom_root_role)r);
        bool none = r == DOM_ROLE_TIMESTAMP && root->thresholds[r] == 0 && num == 0;
        if (!none && (root->thresholds[r] == 0 || root->thresholds[r] > num)) {
            return DOM_FAIL(err, DOM_INVALID, "root: role %s has %u keys and a threshold of %u",
                            s_roles[r], num, root->thresholds[r]);
        }
    }
    return DOM_OK;
}

static enum dom_code read_text(struct dom_root *root, struct dom_slice text, struct dom_error *err)
{
    struct dom_lines lines;

    dom_lines_init(&lines, text);
    dom_lines_header(&lines, HEADER);
    struct dom_slice name = dom_lines_value(&lines, "name");
    if (name.len == 0 || !dom_slice_to_cstr(name, root->name, sizeof(root->name))) {
        dom_lines_fail(&lines);
    }
    root->version = dom_lines_number(&lines, "version");
    root->expires_ms = dom_lines_time(&lines, "expires");
    for (size_t r = 0; r < DOM_ROLE_COUNT; r++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "threshold %s", s_roles[r]);
        int64_t wanted = dom_lines_number(&lines, key);
        if (wanted > (int64_t)DOM_ROOT_KEYS_MAX) {
            dom_lines_fail(&lines);
        }
        root->thresholds[r] = (unsigned)wanted;
    }
    while (dom_lines_peek(&lines, "key")) {
        read_key(root, &lines);
    }
    if (!dom_lines_done(&lines) || root->version < 1) {
        return DOM_FAIL(err, DOM_PARSE, "root: line %u does not fit; docs/BUNDLE_FORMAT.md says how",
                        lines.bad);
    }
    return check_thresholds(root, err);
}

enum dom_bundle_fault dom_root_check(const struct dom_root *root, enum dom_root_role role,
                                     unsigned wanted, const struct dom_note *note, size_t *nump,
                                     char *names, size_t names_size, struct dom_error *err)
{
    size_t num = 0;
    size_t at = 0;

    *nump = 0;
    if (names != NULL) {
        names[0] = '\0';
    }
    /* Key by key: no key of the root twice in a role, so every verdict is another voice. */
    for (size_t i = 0; i < root->num_keys; i++) {
        struct dom_note_verdict verdict;
        struct dom_error why = {0};
        if (root->roles[i] != role) {
            continue;
        }
        enum dom_code rc = dom_note_verify(note, &root->keys[i], 1, &verdict, &why);
        if (rc == DOM_UNAUTHENTICATED) {
            continue;
        }
        if (rc != DOM_OK) {
            return dom_bundle_refuse(err, DOM_BUNDLE_SIGNATURE_BAD, "%s", why.message);
        }
        num++;
        if (names != NULL && at < names_size) {
            int len = snprintf(names + at, names_size - at, "%s%.200s+%08x", at == 0 ? "" : ", ",
                               root->keys[i].name, root->keys[i].id);
            at += len > 0 ? (size_t)len : 0;
        }
    }
    *nump = num;
    if (num == 0) {
        return dom_bundle_refuse(err, DOM_BUNDLE_SIGNATURE_MISSING, "role %s", s_roles[role]);
    }
    if (num < wanted) {
        return dom_bundle_refuse(err, DOM_BUNDLE_THRESHOLD, "%zu of %u", num, wanted);
    }
    return DOM_BUNDLE_NONE;
}

static enum dom_code check_signed(const struct dom_root *by, struct dom_slice bytes,
                                  struct dom_note *note, struct dom_error *err)
{
    struct dom_error why = {0};
    size_t num = 0;
    enum dom_code rc = dom_note_parse(note, bytes, err);

    if (rc != DOM_OK) {
        return dom_error_prefix(err, "root");
    }
    enum dom_bundle_fault fault = dom_root_check(
        by, DOM_ROLE_ROOT, by->thresholds[DOM_ROLE_ROOT], note, &num, NULL, 0, &why);
    if (fault == DOM_BUNDLE_SIGNATURE_BAD) {
        return DOM_FAIL(err, DOM_TAMPERED, "root: %s", why.message);
    }
    return fault == DOM_BUNDLE_NONE ? DOM_OK
                                    : DOM_FAIL(err, DOM_UNAUTHENTICATED, "root: %s", why.message);
}

enum dom_code dom_root_parse(struct dom_root *root, struct dom_slice bytes, struct dom_error *err)
{
    struct dom_note note;

    memset(root, 0, sizeof(*root));
    if (bytes.len > DOM_BUNDLE_NOTE_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "root: over %u bytes", DOM_BUNDLE_NOTE_BYTES_MAX);
    }
    enum dom_code rc = dom_note_parse(&note, bytes, err);
    if (rc != DOM_OK) {
        return dom_error_prefix(err, "root");
    }
    rc = read_text(root, note.text, err);
    if (rc == DOM_OK) {
        dom_policy_sha256(root->sha256, note.text);
        rc = check_signed(root, bytes, &note, err);
    }
    return rc;
}

enum dom_code dom_root_succeeds(const struct dom_root *now, const struct dom_root *next,
                                struct dom_slice bytes, struct dom_error *err)
{
    struct dom_note note;

    if (strcmp(now->name, next->name) != 0) {
        return DOM_FAIL(err, DOM_INVALID, "root: it is for policy \"%s\", not \"%s\"", next->name,
                        now->name);
    }
    if (next->version == now->version && memcmp(next->sha256, now->sha256, 32) == 0) {
        return DOM_OK;
    }
    if (next->version <= now->version) {
        return DOM_FAIL(err, DOM_INVALID, "root: version %lld was trusted here; this is %lld",
                        (long long)now->version, (long long)next->version);
    }
    return check_signed(now, bytes, &note, err);
}

enum dom_code dom_root_text(const struct dom_root *root, struct dom_buffer *out,
                            struct dom_error *err)
{
    char expires[DOM_RFC3339_SIZE];

    dom_time_format(expires, root->expires_ms, false);
    dom_buffer_printf(out, HEADER "\nname %s\nversion %lld\nexpires %s\n", root->name,
                      (long long)root->version, expires);
    for (size_t r = 0; r < DOM_ROLE_COUNT; r++) {
        dom_buffer_printf(out, "threshold %s %u\n", s_roles[r], root->thresholds[r]);
    }
    for (size_t i = 0; i < root->num_keys; i++) {
        dom_buffer_printf(out, "key %s ", s_roles[root->roles[i]]);
        dom_note_key_format(&root->keys[i], out);
        dom_buffer_append_char(out, '\n');
    }
    return check_thresholds(root, err);
}
