/* Unary calls over real loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>
#include <stdlib.h>

#include "base/limits.h"
#include "tests/router/rpc/harness.h"

#define T 10000U

static struct harness s_harness;
static struct dom_rpc_client *s_client;
static struct dom_rpc_result s_result;

static int set_up(void **state)
{
    (void)state;
    harness_start(&s_harness, &(struct harness_options){.drain_grace_ms = 1000});
    s_client = harness_client(&s_harness);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dom_rpc_client_destroy(s_client);
    dom_rpc_result_cleanup(&s_result);
    harness_stop(&s_harness);
    return 0;
}

static void assert_text(struct dom_buffer *buf, const char *text)
{
    const char *got = dom_buffer_cstr(buf);

    assert_string_equal(got, text);
}

static void answers_with_the_bytes_of_the_handler(void **state)
{
    (void)state;
    assert_true(dom_rpc_client_call(s_client, ECHO, DOM_SLICE_LIT("hello"), T, &s_result));
    assert_text(&s_result.reply, "hello");
    assert_int_equal(s_result.details.len, 0);
}

static void answers_an_empty_message_with_an_empty_message(void **state)
{
    (void)state;
    assert_true(dom_rpc_client_call(s_client, ECHO, dom_slice_of("", 0), T, &s_result));
    assert_int_equal(s_result.reply.len, 0);
    assert_int_equal(s_result.num_messages, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_with_the_bytes_of_the_handler, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_an_empty_message_with_an_empty_message, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("rpc unary", tests, NULL, NULL);
}
