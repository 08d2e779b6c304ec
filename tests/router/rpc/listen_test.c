/* Where a server may listen, and what options it refuses. */
#include <stdio.h>

#include "tests/router/rpc/harness.h"
#include "tests/router/rpc/suite.h"

static enum dom_code listen_on(const char *listen, struct dom_error *err)
{
    struct dom_rpc_server_options options = {.listen = listen, .insecure_loopback = true};
    struct dom_rpc_server *server = NULL;
    enum dom_code code = dom_rpc_server_new(&server, &options, err);

    assert_true((code == DOM_OK) == (server != NULL));
    dom_rpc_server_destroy(server);
    return code;
}

static void refuses_insecure_mode_where_others_can_reach_it(void **state)
{
    struct dom_error err = {0};

    (void)state;
    assert_int_equal(listen_on("0.0.0.0:0", &err), DOM_INVALID);
    assert_non_null(strstr(err.message, "not loopback only"));
    assert_int_equal(listen_on("[::]:0", &err), DOM_INVALID);
    assert_int_equal(listen_on("192.0.2.1:0", &err), DOM_INVALID);
    assert_int_equal(listen_on("[::ffff:192.0.2.1]:0", &err), DOM_INVALID);
}

static void refuses_an_address_that_is_none(void **state)
{
    struct dom_error err = {0};
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      ":80",
                                      "127.0.0.1:",
                                      "::1:0",
                                      "[::1:0",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:80x"};

    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(bad); i++) {
        assert_int_equal(listen_on(bad[i], &err), DOM_INVALID);
    }
}

static void listens_on_loopback(void **state)
{
    struct dom_error err = {0};

    (void)state;
    assert_int_equal(listen_on("127.0.0.1:0", &err), DOM_OK);
    assert_int_equal(listen_on("127.3.2.1:0", &err), DOM_OK);
}

static void refuses_an_address_in_use(void **state)
{
    struct dom_rpc_server_options options = {.listen = "127.0.0.1:0", .insecure_loopback = true};
    struct dom_rpc_server *first = NULL;
    struct dom_error err = {0};

    (void)state;
    assert_int_equal(dom_rpc_server_new(&first, &options, &err), DOM_OK);
    assert_int_equal(listen_on(dom_rpc_server_address(first), &err), DOM_UNAVAILABLE);
    assert_non_null(strstr(err.message, dom_rpc_server_address(first)));
    dom_rpc_server_destroy(first);
}

static void refuses_to_start_without_a_way_to_know_callers(void **state)
{
    struct dom_rpc_server_options options = {.listen = "127.0.0.1:0"};
    struct dom_rpc_server *server = NULL;

    (void)state;
    assert_int_equal(dom_rpc_server_new(&server, &options, NULL), DOM_INVALID);
    assert_null(server);
}

static void refuses_a_method_given_twice(void **state)
{
    struct dom_rpc_method methods[] = {
        {.path = ECHO, .kind = DOM_RPC_UNARY, .slots = 1, .handler = dom_rpc_echo},
        {.path = ECHO, .kind = DOM_RPC_UNARY, .slots = 1, .handler = dom_rpc_echo},
    };
    struct dom_rpc_server_options options = {
        .listen = "127.0.0.1:0", .insecure_loopback = true, .methods = methods, .num_methods = 2};
    struct dom_rpc_server *server = NULL;

    (void)state;
    assert_int_equal(dom_rpc_server_new(&server, &options, NULL), DOM_INVALID);
}

static void refuses_a_method_without_slots(void **state)
{
    struct dom_rpc_method method = {.path = ECHO, .kind = DOM_RPC_UNARY, .handler = dom_rpc_echo};
    struct dom_rpc_server_options options = {
        .listen = "127.0.0.1:0", .insecure_loopback = true, .methods = &method, .num_methods = 1};
    struct dom_rpc_server *server = NULL;

    (void)state;
    assert_int_equal(dom_rpc_server_new(&server, &options, NULL), DOM_INVALID);
}

static enum dom_code with_methods(size_t num, unsigned slots)
{
    static char paths[65][16];
    static struct dom_rpc_method methods[65];
    struct dom_rpc_server_options options = {
        .listen = "127.0.0.1:0", .insecure_loopback = true, .methods = methods, .num_methods = num};
    struct dom_rpc_server *server = NULL;

    for (size_t i = 0; i < num; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "/a.B/M%zu", i);
        methods[i] = (struct dom_rpc_method){
            .path = paths[i], .kind = DOM_RPC_UNARY, .slots = slots, .handler = dom_rpc_echo};
    }
    enum dom_code code = dom_rpc_server_new(&server, &options, NULL);
    dom_rpc_server_destroy(server);
    return code;
}

static void takes_as_many_methods_and_slots_as_it_may_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(with_methods(64, 64), DOM_OK);
    assert_int_equal(with_methods(65, 1), DOM_INVALID);
    assert_int_equal(with_methods(1, 4097), DOM_INVALID);
}

static void refuses_descriptors_that_are_none(void **state)
{
    struct dom_rpc_server_options options = {.listen = "127.0.0.1:0",
                                             .insecure_loopback = true,
                                             .descriptor_set = "\x0a\xff\x01",
                                             .descriptor_set_len = 3};
    struct dom_rpc_server *server = NULL;

    (void)state;
    assert_int_equal(dom_rpc_server_new(&server, &options, NULL), DOM_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_insecure_mode_where_others_can_reach_it),
        cmocka_unit_test(refuses_an_address_that_is_none),
        cmocka_unit_test(listens_on_loopback),
        cmocka_unit_test(refuses_an_address_in_use),
        cmocka_unit_test(refuses_to_start_without_a_way_to_know_callers),
        cmocka_unit_test(refuses_a_method_given_twice),
        cmocka_unit_test(refuses_a_method_without_slots),
        cmocka_unit_test(takes_as_many_methods_and_slots_as_it_may_and_no_more),
        cmocka_unit_test(refuses_descriptors_that_are_none),
    };

    return cmocka_run_group_tests_name("rpc listen", tests, NULL, NULL);
}
