/* Certificates, CAs and lists that change while the server runs, and callers whose time is up. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/router/rpc/suite.h"
#include "tests/router/rpc/tls_world.h"

static void a_revoked_certificate_is_refused_at_the_next_call(void **state)
{
    struct world w;
    struct cert cert;
    struct cert_spec spec = {.issuer = &w.ca, .san = CERT_ID};
    (void)state;

    world_begin(&w, true);
    cert_make(&cert, &spec);
    struct dom_rpc_client *client = world_client_of(&w, &cert, NULL, "caller");
    struct dom_rpc_client *other = world_client(&w, &spec);
    assert_int_equal(who(client, NULL), 0);
    cert_write_crl(&w.ca, &cert, w.folder, "crl");
    world_reload(&w, true);
    assert_int_equal(who(client, "REVOKED"), UNAUTHENTICATED);
    assert_int_equal(who(client, "REVOKED"), UNAUTHENTICATED);
    assert_int_equal(who(other, NULL), 0);
    struct dom_rpc_client *again = world_client_of(&w, &cert, NULL, "caller");
    assert_int_equal(who(again, "REVOKED"), UNAUTHENTICATED);
    dom_rpc_client_destroy(again);
    dom_rpc_client_destroy(other);
    dom_rpc_client_destroy(client);
    cert_free(&cert);
    world_end(&w);
}

static void expect_expiry(struct dom_rpc_client *client)
{
    struct timespec pause = {.tv_nsec = 50000000};
    int status = 0;

    for (int i = 0; i < 200 && status == 0; i++) {
        (void)nanosleep(&pause, NULL); /* it is time itself that is waited for */
        status = who(client, NULL);
    }
    assert_int_equal(status, UNAUTHENTICATED);
    assert_int_equal(who(client, "EXPIRED"), UNAUTHENTICATED);
}

static void a_certificate_that_expires_is_refused_at_the_next_call(void **state)
{
    struct world w;
    struct cert middle;
    struct cert below;
    struct cert_spec spec = {.issuer = &w.ca, .san = CERT_ID, .until_s = 3};
    struct cert_spec middle_spec = {.issuer = &w.ca, .is_ca = true, .until_s = 3};
    struct cert_spec below_spec = {.issuer = &middle, .san = CERT_ID};
    (void)state;

    world_begin(&w, false);
    cert_make(&middle, &middle_spec);
    cert_make(&below, &below_spec);
    const struct cert *chain[] = {&middle, NULL};
    struct dom_rpc_client *client = world_client(&w, &spec);
    struct dom_rpc_client *child = world_client_of(&w, &below, chain, "below");
    assert_int_equal(who(client, NULL), 0);
    assert_int_equal(who(child, NULL), 0);
    expect_expiry(client);
    expect_expiry(child); /* it is its issuer that has expired */
    dom_rpc_client_destroy(child);
    dom_rpc_client_destroy(client);
    cert_free(&middle);
    cert_free(&below);
    world_end(&w);
}

static void damaged_files_never_replace_what_works(void **state)
{
    struct world w;
    struct dom_buffer pem = {0};
    struct cert other = {0};
    struct cert_spec ca = {.is_ca = true};
    struct cert_spec spec = {.issuer = &w.ca, .san = CERT_ID};
    (void)state;

    world_begin(&w, true);
    cert_make(&other, &ca);
    struct dom_rpc_client *client = world_client(&w, &spec);
    assert_int_equal(who(client, NULL), 0);
    assert_int_equal(dom_file_read(&pem, w.tls.ca, 1U << 20, NULL), DOM_OK);
    world_write(&w, "ca.pem", DOM_SLICE_LIT(""));
    world_reload(&w, false);
    world_write(&w, "ca.pem", dom_slice_of(pem.data, pem.len / 2));
    world_reload(&w, false);
    world_write(&w, "ca.pem", DOM_SLICE_LIT("-----BEGIN CERTIF"));
    world_reload(&w, false);
    /* Whole, then the beginning of a second one. */
    char *twice = malloc(2 * pem.len);
    assert_non_null(twice);
    memcpy(twice, pem.data, pem.len);
    memcpy(twice + pem.len, pem.data, pem.len);
    world_write(&w, "ca.pem", dom_slice_of(twice, pem.len + pem.len / 2));
    free(twice);
    world_reload(&w, false);
    cert_write(&w.server, NULL, w.folder, "ca"); /* no CA */
    world_reload(&w, false);
    cert_write(&w.ca, NULL, w.folder, "ca");
    world_reload(&w, true);
    cert_write_key(&other, w.folder, "server"); /* not the certificate's */
    world_reload(&w, false);
    world_write(&w, "server.key", DOM_SLICE_LIT("-----BEGIN PRIVATE KEY-----\n"));
    world_reload(&w, false);
    cert_write_key(&w.server, w.folder, "server");
    world_reload(&w, true);
    cert_write_crl(&other, NULL, w.folder, "crl"); /* of a CA that is not trusted */
    world_reload(&w, false);
    world_write(&w, "crl.pem", DOM_SLICE_LIT(""));
    world_reload(&w, false);
    assert_int_equal(unlink(w.paths[3]), 0);
    world_reload(&w, false);
    /* All the while: the old connection works, and so does a new one. */
    assert_int_equal(who(client, NULL), 0);
    struct dom_rpc_client *late = world_client(&w, &spec);
    assert_int_equal(who(late, NULL), 0);
    dom_rpc_client_destroy(late);
    dom_rpc_client_destroy(client);
    dom_buffer_cleanup(&pem);
    cert_free(&other);
    world_end(&w);
}

static void a_ca_that_is_taken_away_takes_its_callers_along(void **state)
{
    struct world w;
    struct cert next = {0};
    struct cert cert = {0};
    struct cert_spec ca = {.is_ca = true};
    struct cert_spec old_spec = {.issuer = &w.ca, .san = CERT_ID};
    struct cert_spec new_spec = {.issuer = &next, .san = CERT_ID CERT_SERVER_NAMES};
    (void)state;

    world_begin(&w, false);
    cert_make(&next, &ca);
    const struct cert *more[] = {&next, NULL};
    struct dom_rpc_client *old_client = world_client(&w, &old_spec);
    assert_int_equal(who(old_client, NULL), 0);
    cert_write(&w.ca, more, w.folder, "ca");
    world_reload(&w, true);
    struct dom_rpc_client *new_client = world_client(&w, &new_spec);
    assert_int_equal(who(new_client, NULL), 0);
    assert_int_equal(who(old_client, NULL), 0);
    /* The server's own certificate turns to the new CA too. */
    cert_make(&cert, &new_spec);
    cert_write(&cert, NULL, w.folder, "server");
    cert_write_key(&cert, w.folder, "server");
    cert_write(&next, NULL, w.folder, "ca");
    world_reload(&w, true);
    assert_int_equal(who(old_client, "UNTRUSTED"), UNAUTHENTICATED);
    assert_int_equal(who(new_client, NULL), 0);
    struct dom_rpc_client *late = world_client(&w, &new_spec);
    assert_int_equal(who(late, NULL), 0);
    dom_rpc_client_destroy(late);
    dom_rpc_client_destroy(new_client);
    dom_rpc_client_destroy(old_client);
    cert_free(&next);
    cert_free(&cert);
    world_end(&w);
}

static void an_intermediate_comes_with_the_callers_chain(void **state)
{
    struct world w;
    struct cert middle;
    struct cert cert;
    struct cert_spec middle_spec = {.issuer = &w.ca, .is_ca = true};
    struct cert_spec spec = {.issuer = &middle, .san = CERT_ID};
    (void)state;

    world_begin(&w, true);
    cert_make(&middle, &middle_spec);
    cert_make(&cert, &spec);
    const struct cert *chain[] = {&middle, NULL};
    struct dom_rpc_client *client = world_client_of(&w, &cert, chain, "caller");
    assert_int_equal(who(client, "edge|eu-1|"), 0);
    cert_write_crl(&w.ca, &middle, w.folder, "crl");
    world_reload(&w, true);
    assert_int_equal(who(client, "REVOKED"), UNAUTHENTICATED);
    dom_rpc_client_destroy(client);
    cert_free(&middle);
    cert_free(&cert);
    world_end(&w);
}

/* A resumed session brings the certificate along, but neither its chain nor a new check of it. */
static void a_resumed_connection_is_judged_like_any_other(void **state)
{
    struct world w;
    struct cert middle;
    struct cert cert;
    struct cert_spec middle_spec = {.issuer = &w.ca, .is_ca = true};
    struct cert_spec spec = {.issuer = &middle, .san = CERT_ID};
    (void)state;

    world_begin(&w, true);
    struct dom_rpc_sessions *sessions = dom_rpc_sessions_new();
    cert_make(&middle, &middle_spec);
    cert_make(&cert, &spec);
    const struct cert *chain[] = {&middle, NULL};
    for (int i = 0; i < 3; i++) {
        struct dom_rpc_client *client = world_client_resuming(&w, &cert, chain, "caller", sessions);
        assert_int_equal(who(client, "edge|eu-1|"), 0);
        dom_rpc_client_destroy(client);
    }
    struct dom_rpc_client *open = world_client_resuming(&w, &cert, chain, "caller", sessions);
    assert_int_equal(who(open, NULL), 0);
    cert_write_crl(&middle, &cert, w.folder, "crl"); /* of a CA that is not in the bundle */
    world_reload(&w, false);
    cert_write_crl(&w.ca, &middle, w.folder, "crl");
    world_reload(&w, true);
    assert_int_equal(who(open, "REVOKED"), UNAUTHENTICATED);
    struct dom_rpc_client *late = world_client_resuming(&w, &cert, chain, "caller", sessions);
    assert_int_equal(who(late, "REVOKED"), UNAUTHENTICATED);
    dom_rpc_client_destroy(late);
    dom_rpc_client_destroy(open);
    dom_rpc_sessions_destroy(sessions);
    cert_free(&middle);
    cert_free(&cert);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_certificate_is_refused_at_the_next_call),
        cmocka_unit_test(a_certificate_that_expires_is_refused_at_the_next_call),
        cmocka_unit_test(damaged_files_never_replace_what_works),
        cmocka_unit_test(a_ca_that_is_taken_away_takes_its_callers_along),
        cmocka_unit_test(an_intermediate_comes_with_the_callers_chain),
        cmocka_unit_test(a_resumed_connection_is_judged_like_any_other),
    };

    return cmocka_run_group_tests_name("rpc tls reload", tests, NULL, NULL);
}
