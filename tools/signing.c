#include "tools/signing.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"

#define KEY_FILE_BYTES_MAX 4096U
#define ANSWER_BYTES_MAX   4096U

/* ---- making ------------------------------------------------------------------------------- */

static enum dom_code write_new(const char *folder, const char *name, const char *ending,
                               struct dom_slice bytes, mode_t mode, struct dom_error *err)
{
    char path[1024];
    enum dom_code rc = DOM_OK;

    (void)snprintf(path, sizeof(path), "%s/%s.%s", folder, name, ending);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return DOM_FAIL(err, DOM_EXISTS, "%s cannot be made: a key is never written over", path);
    }
    if (write(fd, bytes.data, bytes.len) != (ssize_t)bytes.len || fsync(fd) != 0) {
        rc = DOM_FAIL(err, DOM_IO, "%s cannot be written", path);
    }
    (void)close(fd);
    return rc;
}

enum dom_code dom_signing_make(const char *folder, const char *name, struct dom_error *err)
{
    struct dom_note_signer signer;
    struct dom_buffer secret = {0};
    struct dom_buffer public_key = {0};
    uint8_t seed[DOM_ED25519_KEY_SIZE];

    if (strchr(name, '/') != NULL) {
        return DOM_FAIL(err, DOM_INVALID, "a key's name has no slash");
    }
    if (RAND_bytes(seed, sizeof(seed)) != 1) {
        return DOM_FAIL(err, DOM_INTERNAL, "no randomness from the system");
    }
    enum dom_code rc =
        dom_note_signer_init(&signer, dom_slice_str(name), DOM_KEY_ED25519, seed, err);
    OPENSSL_cleanse(seed, sizeof(seed));
    if (rc != DOM_OK) {
        return rc;
    }
    rc = dom_note_signer_format(&signer, &secret, err);
    dom_buffer_append_char(&secret, '\n');
    dom_note_key_format(&signer.key, &public_key);
    dom_buffer_append_char(&public_key, '\n');
    if (rc == DOM_OK) {
        rc = dom_dir_make(folder, 0700, err);
    }
    if (rc == DOM_OK) {
        rc = write_new(folder, name, "key", dom_buffer_slice(&secret), 0600, err);
    }
    if (rc == DOM_OK) {
        rc = write_new(folder, name, "vkey", dom_buffer_slice(&public_key), 0644, err);
    }
    if (secret.data != NULL) {
        OPENSSL_cleanse(secret.data, secret.len);
    }
    dom_buffer_cleanup(&secret);
    dom_buffer_cleanup(&public_key);
    dom_note_signer_cleanup(&signer);
    return rc;
}

enum dom_code dom_signing_read_vkey(struct dom_note_key *key, const char *path,
                                    struct dom_error *err)
{
    struct dom_buffer text = {0};
    enum dom_code rc = dom_file_read(&text, path, KEY_FILE_BYTES_MAX, err);

    if (rc == DOM_OK) {
        rc = dom_note_key_parse(key, dom_buffer_slice(&text), err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s", path);
        }
    }
    dom_buffer_cleanup(&text);
    return rc;
}

/* ---- with a key file ----------------------------------------------------------------------- */

static enum dom_code sign_with_file(const char *path, struct dom_slice text, struct dom_buffer *out,
                                    struct dom_error *err)
{
    struct dom_note_signer signer;
    struct dom_buffer secret = {0};
    enum dom_code rc = dom_file_read_secret(&secret, path, KEY_FILE_BYTES_MAX, err);

    if (rc == DOM_OK) {
        struct dom_slice key = dom_buffer_slice(&secret);
        while (key.len > 0 && key.data[key.len - 1] == '\n') {
            key.len--;
        }
        rc = dom_note_signer_parse(&signer, key, err);
        if (rc == DOM_OK) {
            rc = dom_note_sign_line(&signer, text, 0, out, err);
            dom_note_signer_cleanup(&signer);
        } else {
            (void)dom_error_prefix(err, "%s", path);
        }
    }
    if (secret.data != NULL) {
        OPENSSL_cleanse(secret.data, secret.len);
    }
    dom_buffer_cleanup(&secret);
    return rc;
}

/* ---- with a command ------------------------------------------------------------------------ */

static void run_child(const char *command, const char *message, int out_fd)
{
    int in_fd = open(message, O_RDONLY);

    if (in_fd < 0 || dup2(in_fd, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
        setenv("DOMICILE_MESSAGE", message, 1) != 0) {
        _exit(127);
    }
    (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Runs the command and reads what it prints. */
static enum dom_code ask_command(const char *command, const char *message, uint8_t *answer,
                                 size_t *len, struct dom_error *err)
{
    int fds[2];
    int status = 0;

    *len = 0;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return DOM_FAIL(err, DOM_IO, "no pipe for the command");
    }
    pid_t child = fork();
    if (child == 0) {
        run_child(command, message, fds[1]);
    }
    (void)close(fds[1]);
    while (child > 0 && *len < ANSWER_BYTES_MAX) {
        ssize_t got = read(fds[0], answer + *len, ANSWER_BYTES_MAX - *len);
        if (got <= 0) {
            break;
        }
        *len += (size_t)got;
    }
    (void)close(fds[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        return DOM_FAIL(err, DOM_IO, "the signing command failed: %s", command);
    }
    return DOM_OK;
}

static bool read_signature(uint8_t *answer, size_t len, uint8_t out[DOM_ED25519_SIGNATURE_SIZE])
{
    size_t got = 0;

    if (len == DOM_ED25519_SIGNATURE_SIZE) {
        memcpy(out, answer, len);
        return true;
    }
    while (len > 0 && (answer[len - 1] == '\n' || answer[len - 1] == '\r')) {
        len--;
    }
    return dom_base64_decode(out, DOM_ED25519_SIGNATURE_SIZE, &got, dom_slice_of(answer, len)) &&
           got == DOM_ED25519_SIGNATURE_SIZE;
}

static enum dom_code sign_with_command(const struct dom_signing *signing, struct dom_slice text,
                                       struct dom_buffer *out, struct dom_error *err)
{
    char message[] = "/tmp/domicile-message-XXXXXX";
    uint8_t answer[ANSWER_BYTES_MAX];
    uint8_t line[4 + DOM_ED25519_SIGNATURE_SIZE];
    char base64[DOM_BASE64_LEN(sizeof(line)) + 1];
    struct dom_note_key key;
    size_t len = 0;

    enum dom_code rc = dom_signing_read_vkey(&key, signing->vkey, err);
    if (rc != DOM_OK) {
        return rc;
    }
    int fd = mkstemp(message); /* 0600 */
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len) {
        rc = DOM_FAIL(err, DOM_IO, "no file for the message");
    } else {
        rc = ask_command(signing->command, message, answer, &len, err);
    }
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(message);
    }
    if (rc == DOM_OK &&
        (!read_signature(answer, len, line + 4) ||
         !dom_note_key_check(&key, text, dom_slice_of(line + 4, DOM_ED25519_SIGNATURE_SIZE)))) {
        rc = DOM_FAIL(err, DOM_INVALID,
                      "what the command printed (%zu bytes) is no signature by %s over the text",
                      len, key.name);
    }
    if (rc == DOM_OK) {
        dom_put_u32be(line, key.id);
        (void)dom_base64_encode(base64, dom_slice_of(line, sizeof(line)));
        dom_buffer_printf(out, "\xE2\x80\x94 %s %s\n", key.name, base64);
    }
    dom_note_key_cleanup(&key);
    return rc;
}

/* ---- notes --------------------------------------------------------------------------------- */

enum dom_code dom_signing_lines(const struct dom_signing *signing, struct dom_slice text,
                                struct dom_buffer *out, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    if (signing->num_keys == 0 && signing->command == NULL) {
        return DOM_FAIL(err, DOM_USAGE, "who signs? give --key FILE, or --command and --vkey");
    }
    if ((signing->command == NULL) != (signing->vkey == NULL)) {
        return DOM_FAIL(err, DOM_USAGE, "--command and --vkey go together");
    }
    for (size_t i = 0; i < signing->num_keys && rc == DOM_OK; i++) {
        rc = sign_with_file(signing->keys[i], text, out, err);
    }
    if (rc == DOM_OK && signing->command != NULL) {
        rc = sign_with_command(signing, text, out, err);
    }
    return rc;
}

enum dom_code dom_signing_add(const struct dom_signing *signing, struct dom_slice bytes,
                              struct dom_buffer *out, struct dom_error *err)
{
    struct dom_note note;
    size_t start = out->len;
    enum dom_code rc = dom_note_parse(&note, bytes, err);

    if (rc != DOM_OK) {
        return rc;
    }
    dom_buffer_append_slice(out, bytes);
    rc = dom_signing_lines(signing, note.text, out, err);
    if (rc == DOM_OK) {
        rc = dom_note_parse(&note, dom_slice_of(out->data + start, out->len - start), err);
    }
    for (unsigned i = 0; rc == DOM_OK && i < note.num_signatures; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (note.signatures[i].id == note.signatures[k].id &&
                dom_slice_eq(note.signatures[i].name, note.signatures[k].name)) {
                return DOM_FAIL(err, DOM_EXISTS, "%.*s has signed already",
                                (int)note.signatures[i].name.len,
                                (const char *)note.signatures[i].name.data);
            }
        }
    }
    return rc;
}
