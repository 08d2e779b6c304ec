/* Assertions for bugs, never for input, disk bytes or network bytes.
 *
 * DOM_ASSERT is on in every build: a residency router that runs on after its own
 * invariant broke could answer what it may not. DOM_DCHECK is for checks too costly
 * for the request path; it is on in debug and sanitizer builds.
 * Thread contract: any thread.
 */
#ifndef DOM_BASE_ASSERT_H
#define DOM_BASE_ASSERT_H

#include <stdint.h>

/* Prints `file:line: assertion failed: text` to stderr and aborts. */
_Noreturn void dom_assert_fail(const char *text, const char *file, int line);

#define DOM_ASSERT(cond)                                    \
    do {                                                    \
        if (__builtin_expect(!(cond), 0)) {                 \
            dom_assert_fail(#cond, __FILE__, __LINE__);     \
        }                                                   \
    } while (0)

#ifdef NDEBUG
#define DOM_DCHECK(cond) ((void)sizeof(cond))
#else
#define DOM_DCHECK(cond) DOM_ASSERT(cond)
#endif

/* Every object that crosses a `void *` begins with a magic; check it at the cast. */
#define DOM_CHECK_MAGIC(obj, want)             \
    do {                                       \
        DOM_ASSERT((obj) != NULL);             \
        DOM_ASSERT((obj)->magic == (want));    \
    } while (0)

#endif
