/* A thread of the store that waits most of the time: for a call, a time or its end. Private to store/.
 *
 * Thread contract: start, join and cleanup: the owner; wait: the thread itself; the others: any
 * thread, from start to cleanup.
 */
#ifndef DOM_STORE_WAITER_H
#define DOM_STORE_WAITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct dom_waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool woken;
    bool ending;
    bool started;
    pthread_t thread;
    const char *role;
    const char *what;
    void (*run)(void *context);
    void *context;
};

/* Runs run(context) on a thread named "ROLE:WHAT" (base/thread.h; `what` may be NULL). The strings are
 * borrowed. Errors: RESOURCE; cleanup then too. */
enum dom_code dom_waiter_start(struct dom_waiter *waiter, const char *role, const char *what,
                               void (*run)(void *context), void *context,
                               struct dom_error *err) DOM_MUST_USE;

/* Until it is woken, which is used up by that; until the time (dom_store_now_us; UINT64_MAX: never);
 * or until the end, which is false, whatever else came. */
bool dom_waiter_wait(struct dom_waiter *waiter, uint64_t until_us);
void dom_waiter_wake(struct dom_waiter *waiter);

/* It is to end, and is not awaited; nothing when it was never started. Of several, tell all and then
 * join: they end side by side. */
void dom_waiter_end(struct dom_waiter *waiter);
bool dom_waiter_ending(struct dom_waiter *waiter);
/* Ends it, and returns when it has ended; nothing when it was never started. */
void dom_waiter_join(struct dom_waiter *waiter);
void dom_waiter_cleanup(struct dom_waiter *waiter);

uint64_t dom_store_now_us(void);
/* Makes a condition whose time is the monotonic clock's, and waits for it. False: the time is over. */
void dom_cond_init(pthread_cond_t *cond);
bool dom_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us);

#endif
