/* Names of threads, as `top -H`, `perf` and core files show them. Depends on nothing.
 *
 * Thread contract: names the calling thread.
 */
#ifndef DOM_BASE_THREAD_H
#define DOM_BASE_THREAD_H

/* "ROLE" or "ROLE:WHAT"; `what` may be NULL. What goes beyond the system's 15 bytes is cut off in
 * front of WHAT, because the ends of region names differ more than their beginnings do. */
void dom_thread_name(const char *role, const char *what);

#endif
