#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void dom_assert_fail(const char *text, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
    (void)fflush(stderr);
    abort();
}
