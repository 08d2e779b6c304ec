#include "tests/router/rpc/tls_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "tests/router/rpc/suite.h"

const char *world_path(const struct world *w, const char *name, char out[160])
{
    (void)snprintf(out, 160, "%s/%s", w->folder, name);
    return out;
}

void world_begin(struct world *w, bool with_crl)
{
    struct cert_spec ca = {.is_ca = true};
    struct cert_spec server = {.issuer = &w->ca, .san = CERT_ID CERT_SERVER_NAMES};
    struct harness_options options = {.drain_grace_ms = 1000, .tls = &w->tls};

    memset(w, 0, sizeof(*w));
    (void)snprintf(w->folder, sizeof(w->folder), "/tmp/dom-tls-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    cert_make(&w->ca, &ca);
    cert_make(&w->server, &server);
    cert_write(&w->server, NULL, w->folder, "server");
    cert_write_key(&w->server, w->folder, "server");
    cert_write(&w->ca, NULL, w->folder, "ca");
    cert_write_crl(&w->ca, NULL, w->folder, "crl");
    w->tls.cert = world_path(w, "server.pem", w->paths[0]);
    w->tls.key = world_path(w, "server.key", w->paths[1]);
    w->tls.ca = world_path(w, "ca.pem", w->paths[2]);
    w->tls.crl = with_crl ? world_path(w, "crl.pem", w->paths[3]) : NULL;
    w->tls.trust_domain = "test.example";
    w->tls.poll_ms = 3600000; /* the test says when to look */
    harness_start(&w->harness, &options);
}

void world_end(struct world *w)
{
    char command[128];

    harness_stop(&w->harness);
    cert_free(&w->ca);
    cert_free(&w->server);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", w->folder);
    assert_int_equal(system(command), 0);
}

/* Writes the caller's files under `name` and makes a client of them. */
struct dom_rpc_client *world_client_resuming(struct world *w, const struct cert *cert,
                                                 const struct cert *const *chain,
                                                 const char *name,
                                                 struct dom_rpc_sessions *sessions)
{
    char pem[160];
    char key[160];
    char file[64];
    struct dom_rpc_client *client = NULL;
    struct dom_error err = {0};

    cert_write(cert, chain, w->folder, name);
    cert_write_key(cert, w->folder, name);
    (void)snprintf(file, sizeof(file), "%s.pem", name);
    (void)world_path(w, file, pem);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    struct dom_rpc_client_tls tls = {.cert = pem, .key = world_path(w, file, key), .ca = w->tls.ca,
                                     .sessions = sessions};
    struct dom_rpc_metadata claims[] = {{"domicile-service", "root"},
                                        {"domicile-region", "us-9"}};
    struct dom_rpc_client_options options = {.target = dom_rpc_server_address(w->harness.server),
                                             .metadata = claims,
                                             .num_metadata = 2,
                                             .tls = &tls};
    if (dom_rpc_client_new(&client, &options, &err) != DOM_OK) {
        fail_msg("%s", err.message);
    }
    return client;
}

struct dom_rpc_client *world_client_of(struct world *w, const struct cert *cert,
                                        const struct cert *const *chain, const char *name)
{
    return world_client_resuming(w, cert, chain, name, NULL);
}

struct dom_rpc_client *world_client(struct world *w, const struct cert_spec *spec)
{
    struct cert cert;

    cert_make(&cert, spec);
    struct dom_rpc_client *client = world_client_of(w, &cert, NULL, "caller");
    cert_free(&cert);
    return client;
}

/* Calls Who; the status, and whether the details hold the word. */
int who(struct dom_rpc_client *client, const char *word)
{
    struct dom_rpc_result result = {0};

    (void)dom_rpc_client_call(client, WHO, DOM_SLICE_LIT(""), T, &result);
    int status = result.status;
    const struct dom_buffer *where = status == 0 ? &result.reply : &result.details;
    if (word != NULL && memmem(where->data, where->len, word, strlen(word)) == NULL) {
        print_error("\"%s\" is not in the answer (status %d, %zu bytes): %s\n", word, status,
                    where->len, dom_buffer_cstr(&result.message));
        status = -1;
    }
    dom_rpc_result_cleanup(&result);
    return status;
}

/* Looks at the files and waits until that has had its outcome. */
void world_reload(struct world *w, bool taken)
{
    struct dom_rpc_stats before;
    struct dom_rpc_stats now;
    struct timespec pause = {.tv_nsec = 1000000};

    dom_rpc_server_stats(w->harness.server, &before);
    do {
        dom_rpc_server_reload_tls(w->harness.server);
        (void)nanosleep(&pause, NULL); /* another thread's work, which tells nobody */
        dom_rpc_server_stats(w->harness.server, &now);
    } while (now.tls_reloads == before.tls_reloads &&
             now.tls_reloads_failed == before.tls_reloads_failed);
    assert_int_equal(now.tls_reloads, before.tls_reloads + (taken ? 1 : 0));
    assert_int_equal(now.tls_reloads_failed, before.tls_reloads_failed + (taken ? 0 : 1));
}

void world_write(struct world *w, const char *name, struct dom_slice bytes)
{
    char path[160];

    assert_int_equal(dom_file_write_atomic(world_path(w, name, path), bytes, 0600, NULL), DOM_OK);
}
