/* Attributes used by every public header. Depends on nothing. */
#ifndef DOM_BASE_MACROS_H
#define DOM_BASE_MACROS_H

/* The result must be looked at: dropping an error code is a compile error. */
#define DOM_MUST_USE __attribute__((warn_unused_result))

/* printf-style checking; FMT and ARGS are 1-based parameter positions. */
#define DOM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define DOM_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
