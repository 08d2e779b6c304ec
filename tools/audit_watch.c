/* domicile audit watch: a witness on its own; domicile audit witness-key: its key. */
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "store/witness/server.h"
#include "tools/audit_internal.h"
#include "tools/command.h"

#define KEY_BYTES_MAX 4096U

/* ---- the key -------------------------------------------------------------------------------- */

static enum dom_code make_key(const struct dom_audit_args *args, struct dom_buffer *secret,
                              struct dom_buffer *vkey, struct dom_error *err)
{
    struct dom_note_signer signer = {0};
    uint8_t seed[DOM_ED25519_KEY_SIZE];
    struct stat st;

    if (lstat(args->out, &st) == 0 || errno != ENOENT) {
        return DOM_FAIL(err, DOM_EXISTS, "%s: is there already; a witness's key is not replaced",
                        args->out);
    }
    if (RAND_priv_bytes(seed, sizeof(seed)) != 1) {
        return DOM_FAIL(err, DOM_INTERNAL, "no random bytes");
    }
    enum dom_code rc =
        dom_note_signer_init(&signer, dom_slice_str(args->name), DOM_KEY_COSIGNATURE, seed, err);
    OPENSSL_cleanse(seed, sizeof(seed));
    if (rc == DOM_OK) {
        rc = dom_note_signer_format(&signer, secret, err);
    }
    if (rc == DOM_OK) {
        dom_buffer_append_char(secret, '\n');
        rc = dom_file_write_atomic(args->out, dom_buffer_slice(secret), 0600, err);
    }
    dom_note_key_format(&signer.key, vkey);
    dom_note_signer_cleanup(&signer);
    return rc;
}

int dom_audit_witness_key(struct dom_audit_args *args)
{
    struct dom_buffer secret = {0};
    struct dom_buffer vkey = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;

    enum dom_code rc = make_key(args, &secret, &vkey, &err);
    if (rc != DOM_OK) {
        status = dom_audit_complain(args, &err);
    } else {
        (void)printf("%s\n", dom_buffer_cstr(&vkey));
    }
    if (secret.data != NULL) {
        OPENSSL_cleanse(secret.data, secret.capacity);
    }
    dom_buffer_cleanup(&secret);
    dom_buffer_cleanup(&vkey);
    return status;
}

/* ---- the witness ---------------------------------------------------------------------------- */

struct watch {
    struct dom_witness witness;
    struct dom_note_key logs[DOM_AUDIT_KEYS_MAX]; /* args' own, by value; not cleaned up */
    size_t num_logs;
};

static bool find(void *context, const char *prefix, struct dom_witness_site *site)
{
    struct watch *watch = context;

    site->witness = &watch->witness;
    site->logs = watch->logs;
    site->num_logs = watch->num_logs;
    return prefix[0] == '\0';
}

static enum dom_code open_witness(struct watch *watch, struct dom_audit_args *args,
                                  struct dom_error *err)
{
    struct dom_witness_store memory = dom_witness_store_files(args->state);
    struct dom_note_signer signer = {0};
    struct dom_buffer text = {0};

    enum dom_code rc = dom_audit_take_policy(args, err);
    if (rc == DOM_OK && args->num_keys == 0) {
        rc = DOM_FAIL(err, DOM_USAGE,
                      "--policy with log lines, or --key, says whose checkpoints "
                      "are cosigned");
    }
    if (rc == DOM_OK) {
        rc = dom_file_read_secret(&text, args->sign_key, KEY_BYTES_MAX, err);
    }
    if (rc == DOM_OK) {
        rc = dom_note_signer_parse(&signer, dom_buffer_slice(&text), err);
    }
    if (rc == DOM_OK) {
        rc = dom_witness_init(&watch->witness, &signer, &memory, err);
    }
    if (text.data != NULL) {
        OPENSSL_cleanse(text.data, text.capacity);
    }
    dom_buffer_cleanup(&text);
    watch->num_logs = args->num_keys;
    memcpy(watch->logs, args->keys, args->num_keys * sizeof(args->keys[0]));
    return rc;
}

/* Serves until SIGINT or SIGTERM, which were blocked before the server's thread began. */
static void wait_for_end(void)
{
    sigset_t set;
    int got = 0;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    while (sigwait(&set, &got) != 0) {
    }
}

static void block_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int dom_audit_watch(struct dom_audit_args *args)
{
    struct dom_witness_server *server = NULL;
    struct dom_buffer vkey = {0};
    struct dom_error err = {0};
    int status = DOM_EXIT_OK;
    struct watch *watch = calloc(1, sizeof(*watch));
    struct dom_witness_server_options options = {
        .address = args->listen == NULL ? "127.0.0.1:7480" : args->listen,
        .find = find,
        .context = watch};

    if (watch == NULL) {
        return DOM_EXIT_FAILED;
    }
    enum dom_code rc = open_witness(watch, args, &err);
    if (rc == DOM_OK) {
        block_signals();
        rc = dom_witness_server_start(&server, &options, &err);
    }
    if (rc == DOM_OK) {
        dom_note_key_format(&watch->witness.signer.key, &vkey);
        (void)printf("witness %s\nlistening on port %u\n", dom_buffer_cstr(&vkey),
                     dom_witness_server_port(server));
        (void)fflush(stdout);
        wait_for_end();
    } else {
        status = dom_audit_complain(args, &err);
    }
    dom_witness_server_stop(server);
    dom_witness_cleanup(&watch->witness);
    dom_buffer_cleanup(&vkey);
    free(watch);
    return status;
}
