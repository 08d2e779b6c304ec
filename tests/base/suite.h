/* What cmocka wants included before it, in one place. */
#ifndef DOM_TESTS_BASE_SUITE_H
#define DOM_TESTS_BASE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
