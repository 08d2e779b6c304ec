/* Bundles: packing, splitting, and the rules by which one is taken. */
#include "policy/bundle/bundle.h"

#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "policy/bundle/bundle_internal.h"

#define MAGIC     "domicile-policy-bundle/v1"
#define NOTE_PART "note"

bool dom_bundle_is(struct dom_slice bytes)
{
    struct dom_slice magic = DOM_SLICE_LIT(MAGIC "\n");

    return bytes.len >= magic.len && memcmp(bytes.data, magic.data, magic.len) == 0;
}

static bool file_name_valid(struct dom_slice name)
{
    if (name.len == 0 || name.len > DOM_BUNDLE_FILE_NAME_MAX || name.data[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-')) {
            return false;
        }
    }
    return true;
}

/* ---- the parts -------------------------------------------------------------------------- */

/* "name size\n", the bytes, "\n". */
static bool take_part(struct dom_slice *rest, struct dom_slice *name, struct dom_slice *bytes)
{
    struct dom_slice line;
    int64_t size = 0;

    if (!dom_take_line(rest, &line) || !dom_cut_word(&line, name) ||
        !dom_parse_number(line, &size) || (uint64_t)size >= rest->len || rest->data[size] != '\n') {
        return false;
    }
    *bytes = dom_slice_of(rest->data, (size_t)size);
    *rest = dom_slice_of(rest->data + size + 1, rest->len - (size_t)size - 1);
    return true;
}

static struct dom_bundle_file *find_file(struct dom_bundle *bundle, struct dom_slice name)
{
    for (size_t i = 0; i < bundle->num_files; i++) {
        if (dom_slice_eq(bundle->files[i].name, name)) {
            return &bundle->files[i];
        }
    }
    return NULL;
}

/* "file NAME SIZE HASH" */
static void read_file_line(struct dom_bundle *bundle, struct dom_lines *lines)
{
    struct dom_slice rest = dom_lines_value(lines, "file");
    struct dom_slice name = {0};
    struct dom_slice size_text = {0};
    struct dom_bundle_file *file = &bundle->files[bundle->num_files];
    int64_t size = 0;
    char again[65];

    if (bundle->num_files == DOM_BUNDLE_FILES_MAX || !dom_cut_word(&rest, &name) ||
        !file_name_valid(name) || find_file(bundle, name) != NULL ||
        !dom_cut_word(&rest, &size_text) || !dom_parse_number(size_text, &size) ||
        size > (int64_t)DOM_POLICY_BUNDLE_BYTES_MAX || !dom_hex_decode(file->sha256, 32, rest)) {
        dom_lines_fail(lines);
        return;
    }
    dom_hex_encode(again, dom_slice_of(file->sha256, 32));
    if (!dom_slice_eq_str(rest, again)) {
        dom_lines_fail(lines);
        return;
    }
    file->name = name;
    file->size = (size_t)size;
    file->bytes = dom_slice_of(NULL, 0);
    bundle->num_files++;
}

static enum dom_bundle_fault read_text(struct dom_bundle *bundle, struct dom_error *err)
{
    struct dom_lines lines;

    dom_lines_init(&lines, bundle->text);
    dom_lines_header(&lines, MAGIC);
    bundle->name = dom_lines_value(&lines, "name");
    if (bundle->name.len == 0 || bundle->name.len > DOM_POLICY_NAME_BYTES_MAX) {
        dom_lines_fail(&lines);
    }
    bundle->version = dom_lines_number(&lines, "version");
    dom_lines_hash(&lines, "previous", bundle->previous);
    bundle->created_ms = dom_lines_time(&lines, "created");
    bundle->expires_ms = dom_lines_time(&lines, "expires");
    dom_lines_hash(&lines, "plan", bundle->plan);
    while (dom_lines_peek(&lines, "file")) {
        read_file_line(bundle, &lines);
    }
    if (!dom_lines_done(&lines) || bundle->version < 1 ||
        find_file(bundle, DOM_SLICE_LIT(DOM_BUNDLE_POLICY_FILE)) == NULL) {
        return dom_bundle_refuse(err, DOM_BUNDLE_FORMAT, "line %u of the note does not fit",
                                 lines.bad);
    }
    return DOM_BUNDLE_NONE;
}

/* The parts behind the note against the files that it names. */
static enum dom_bundle_fault take_files(struct dom_bundle *bundle, struct dom_slice rest,
                                        struct dom_error *err)
{
    struct dom_slice name;
    struct dom_slice bytes;

    while (rest.len > 0) {
        if (!take_part(&rest, &name, &bytes)) {
            return dom_bundle_refuse(err, DOM_BUNDLE_FORMAT, "a part is cut off");
        }
        struct dom_bundle_file *file = find_file(bundle, name);
        if (file == NULL || file->bytes.data != NULL) {
            return dom_bundle_refuse(err, DOM_BUNDLE_FILE_EXTRA, "%.*s",
                                     (int)(name.len < 80 ? name.len : 80), (const char *)name.data);
        }
        file->bytes = bytes;
    }
    for (size_t i = 0; i < bundle->num_files; i++) {
        struct dom_bundle_file *file = &bundle->files[i];
        uint8_t sha256[32];
        if (file->bytes.data == NULL) {
            return dom_bundle_refuse(err, DOM_BUNDLE_FILE_MISSING, "%.*s", (int)file->name.len,
                                     (const char *)file->name.data);
        }
        dom_policy_sha256(sha256, file->bytes);
        if (file->bytes.len != file->size || memcmp(sha256, file->sha256, 32) != 0) {
            return dom_bundle_refuse(err, DOM_BUNDLE_FILE_MIXED, "%.*s", (int)file->name.len,
                                     (const char *)file->name.data);
        }
    }
    bundle->policy = find_file(bundle, DOM_SLICE_LIT(DOM_BUNDLE_POLICY_FILE))->bytes;
    return DOM_BUNDLE_NONE;
}

/* The note's own split; *restp: what comes behind it. */
static enum dom_bundle_fault take_note(struct dom_bundle *bundle, struct dom_slice bytes,
                                       struct dom_note *note, struct dom_slice *restp,
                                       struct dom_error *err)
{
    struct dom_slice name;
    struct dom_error why = {0};

    memset(bundle, 0, sizeof(*bundle));
    if (bytes.len > DOM_POLICY_BUNDLE_BYTES_MAX) {
        return dom_bundle_refuse(err, DOM_BUNDLE_TOO_LARGE, "%zu bytes of at most %u", bytes.len,
                                 DOM_POLICY_BUNDLE_BYTES_MAX);
    }
    if (!dom_bundle_is(bytes)) {
        return dom_bundle_refuse(err, DOM_BUNDLE_FORMAT, "it does not begin with " MAGIC);
    }
    struct dom_slice rest = dom_slice_of(bytes.data + sizeof(MAGIC), bytes.len - sizeof(MAGIC));
    if (!take_part(&rest, &name, &bundle->note_bytes) || !dom_slice_eq_str(name, NOTE_PART)) {
        return dom_bundle_refuse(err, DOM_BUNDLE_FORMAT, "the first part is no whole note");
    }
    if (bundle->note_bytes.len > DOM_BUNDLE_NOTE_BYTES_MAX) {
        return dom_bundle_refuse(err, DOM_BUNDLE_TOO_LARGE, "a note of %zu bytes, at most %u",
                                 bundle->note_bytes.len, DOM_BUNDLE_NOTE_BYTES_MAX);
    }
    /* A text whose signatures were cut off ends where they would begin. */
    struct dom_slice cut = bundle->note_bytes;
    if (dom_note_parse(note, cut, &why) != DOM_OK) {
        bool stripped = strstr(why.message, "no signatures") != NULL ||
                        strstr(why.message, "no empty line") != NULL;
        return dom_bundle_refuse(err, stripped ? DOM_BUNDLE_SIGNATURE_MISSING : DOM_BUNDLE_FORMAT,
                                 "%s", why.message);
    }
    bundle->text = note->text;
    dom_policy_sha256(bundle->sha256, note->text);
    *restp = rest;
    return DOM_BUNDLE_NONE;
}

enum dom_bundle_fault dom_bundle_parse(struct dom_bundle *bundle, struct dom_slice bytes,
                                       struct dom_error *err)
{
    struct dom_note note;
    struct dom_slice rest;
    enum dom_bundle_fault fault = take_note(bundle, bytes, &note, &rest, err);

    if (fault == DOM_BUNDLE_NONE) {
        fault = read_text(bundle, err);
    }
    return fault == DOM_BUNDLE_NONE ? take_files(bundle, rest, err) : fault;
}

/* ---- the rules -------------------------------------------------------------------------- */

static bool is_zero(const uint8_t hash[32])
{
    static const uint8_t s_zero[32];

    return memcmp(hash, s_zero, 32) == 0;
}

static enum dom_bundle_fault check_dates(const struct dom_bundle *bundle, int64_t now_ms,
                                         struct dom_error *err)
{
    char when[DOM_RFC3339_SIZE];

    if (now_ms >= bundle->expires_ms) {
        dom_time_format(when, bundle->expires_ms, false);
        return dom_bundle_refuse(err, DOM_BUNDLE_EXPIRED, "at %s", when);
    }
    if (bundle->created_ms > now_ms + DOM_BUNDLE_SKEW_MS) {
        dom_time_format(when, bundle->created_ms, false);
        return dom_bundle_refuse(err, DOM_BUNDLE_NOT_YET, "at %s", when);
    }
    return DOM_BUNDLE_NONE;
}

/* Exactly the next version, made upon the one in force; or the very one that is known. */
static enum dom_bundle_fault check_version(const struct dom_bundle *bundle,
                                           const struct dom_bundle_expect *expect,
                                           struct dom_error *err)
{
    const struct dom_bundle_file *policy =
        find_file((struct dom_bundle *)(uintptr_t)bundle, DOM_SLICE_LIT(DOM_BUNDLE_POLICY_FILE));

    if (expect->highest == 0) {
        return DOM_BUNDLE_NONE;
    }
    if (bundle->version < expect->highest) {
        return dom_bundle_refuse(err, DOM_BUNDLE_VERSION_OLDER, "%lld, after %lld",
                                 (long long)bundle->version, (long long)expect->highest);
    }
    if (bundle->version == expect->highest) {
        bool same = expect->known != NULL && memcmp(policy->sha256, expect->known, 32) == 0;
        return same ? DOM_BUNDLE_NONE
                    : dom_bundle_refuse(err, DOM_BUNDLE_VERSION_REUSED, "%lld",
                                        (long long)bundle->version);
    }
    if (bundle->version != expect->highest + 1) {
        return dom_bundle_refuse(err, DOM_BUNDLE_VERSION_SKIPPED, "%lld, after %lld",
                                 (long long)bundle->version, (long long)expect->highest);
    }
    if (is_zero(bundle->previous) || memcmp(bundle->previous, expect->enforced, 32) != 0) {
        char was[65];
        char is[65];
        dom_hex_encode(was, dom_slice_of(bundle->previous, 32));
        dom_hex_encode(is, dom_slice_of(expect->enforced, 32));
        return dom_bundle_refuse(err, DOM_BUNDLE_PREVIOUS, "%.16s..., in force is %.16s...", was,
                                 is);
    }
    return DOM_BUNDLE_NONE;
}

enum dom_bundle_fault dom_bundle_open(struct dom_bundle *bundle, struct dom_slice bytes,
                                      const struct dom_bundle_expect *expect, struct dom_error *err)
{
    const struct dom_root *root = expect->root;
    struct dom_note note;
    struct dom_slice rest;
    enum dom_bundle_fault fault = take_note(bundle, bytes, &note, &rest, err);

    if (fault != DOM_BUNDLE_NONE) {
        return fault;
    }
    if (expect->now_ms >= root->expires_ms) {
        return dom_bundle_refuse(err, DOM_BUNDLE_ROOT_EXPIRED, "version %lld",
                                 (long long)root->version);
    }
    /* Signatures first: nothing that an unknown hand wrote is looked into any further. */
    fault = dom_root_check(root, DOM_ROLE_POLICY, root->thresholds[DOM_ROLE_POLICY], &note,
                           &bundle->num_signers, bundle->signers, sizeof(bundle->signers), err);
    if (fault == DOM_BUNDLE_NONE) {
        fault = read_text(bundle, err);
    }
    if (fault == DOM_BUNDLE_NONE && !dom_slice_eq_str(bundle->name, root->name)) {
        fault =
            dom_bundle_refuse(err, DOM_BUNDLE_NAME, "\"%.*s\", not \"%s\"", (int)bundle->name.len,
                              (const char *)bundle->name.data, root->name);
    }
    if (fault == DOM_BUNDLE_NONE) {
        fault = check_dates(bundle, expect->now_ms, err);
    }
    if (fault == DOM_BUNDLE_NONE) {
        fault = check_version(bundle, expect, err);
    }
    return fault == DOM_BUNDLE_NONE ? take_files(bundle, rest, err) : fault;
}

/* ---- making one ------------------------------------------------------------------------- */

enum dom_code dom_bundle_text(const struct dom_bundle *bundle, struct dom_buffer *out,
                              struct dom_error *err)
{
    char created[DOM_RFC3339_SIZE];
    char expires[DOM_RFC3339_SIZE];
    char hash[65];
    char plan[65];

    dom_time_format(created, bundle->created_ms, false);
    dom_time_format(expires, bundle->expires_ms, false);
    dom_hex_encode(hash, dom_slice_of(bundle->previous, 32));
    dom_hex_encode(plan, dom_slice_of(bundle->plan, 32));
    dom_buffer_printf(out, MAGIC "\nname %.*s\nversion %lld\nprevious %s\n", (int)bundle->name.len,
                      (const char *)bundle->name.data, (long long)bundle->version, hash);
    dom_buffer_printf(out, "created %s\nexpires %s\nplan %s\n", created, expires, plan);
    for (size_t i = 0; i < bundle->num_files; i++) {
        const struct dom_bundle_file *file = &bundle->files[i];
        uint8_t sha256[32];
        if (!file_name_valid(file->name)) {
            return DOM_FAIL(err, DOM_INVALID,
                            "bundle: a file's name has 1 to %u of a-z, 0-9, '.', '_', '-'",
                            DOM_BUNDLE_FILE_NAME_MAX);
        }
        dom_policy_sha256(sha256, file->bytes);
        dom_hex_encode(hash, dom_slice_of(sha256, 32));
        dom_buffer_printf(out, "file %.*s %zu %s\n", (int)file->name.len,
                          (const char *)file->name.data, file->bytes.len, hash);
    }
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for a bundle") : DOM_OK;
}

void dom_bundle_pack(struct dom_buffer *out, struct dom_slice note,
                     const struct dom_bundle_file *files, size_t num_files)
{
    dom_buffer_printf(out, MAGIC "\n" NOTE_PART " %zu\n", note.len);
    dom_buffer_append_slice(out, note);
    dom_buffer_append_char(out, '\n');
    for (size_t i = 0; i < num_files; i++) {
        dom_buffer_printf(out, "%.*s %zu\n", (int)files[i].name.len,
                          (const char *)files[i].name.data, files[i].bytes.len);
        dom_buffer_append_slice(out, files[i].bytes);
        dom_buffer_append_char(out, '\n');
    }
}
