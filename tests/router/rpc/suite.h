/* cmocka with what it needs included before it. */
#ifndef DOM_TESTS_ROUTER_RPC_SUITE_H
#define DOM_TESTS_ROUTER_RPC_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define T 20000U /* ms; long enough for sanitizers, short enough for a hang to be seen */

#endif
