/* cmocka with what it needs included before it. */
#ifndef DOM_TESTS_ROUTER_RPC_SUITE_H
#define DOM_TESTS_ROUTER_RPC_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define T 20000U /* ms; long enough for sanitizers, short enough for a hang to be seen */

/* A test that begins with the file's own `static struct harness_pair s_pair`. */
#define PAIR_TEST(name)                                                                         \
    cmocka_unit_test_prestate_setup_teardown(name, harness_pair_set_up, harness_pair_tear_down, \
                                             &s_pair)

#endif
