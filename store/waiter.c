#include "store/waiter.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"

uint64_t dom_store_now_us(void)
{
    return dom_clock_monotonic_us(dom_clock_system());
}

void dom_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    DOM_ASSERT(pthread_condattr_init(&attr) == 0);
    DOM_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    DOM_ASSERT(pthread_cond_init(cond, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

bool dom_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
    struct timespec at = {.tv_sec = (time_t)(until_us / 1000000),
                          .tv_nsec = (long)(until_us % 1000000) * 1000};

    if (until_us == UINT64_MAX) {
        DOM_ASSERT(pthread_cond_wait(cond, lock) == 0);
        return true;
    }
    return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}

static void *waiter_main(void *arg)
{
    struct dom_waiter *waiter = arg;

    dom_thread_name(waiter->role, waiter->what);
    waiter->run(waiter->context);
    return NULL;
}

enum dom_code dom_waiter_start(struct dom_waiter *waiter, const char *role, const char *what,
                               void (*run)(void *context), void *context, struct dom_error *err)
{
    *waiter = (struct dom_waiter){.role = role, .what = what, .run = run, .context = context};
    DOM_ASSERT(pthread_mutex_init(&waiter->lock, NULL) == 0);
    dom_cond_init(&waiter->wake);
    waiter->started = pthread_create(&waiter->thread, NULL, waiter_main, waiter) == 0;
    return waiter->started ? DOM_OK
                           : DOM_FAIL(err, DOM_RESOURCE, "no thread for the store's %s %s", role,
                                      what == NULL ? "" : what);
}

bool dom_waiter_wait(struct dom_waiter *waiter, uint64_t until_us)
{
    DOM_ASSERT(pthread_mutex_lock(&waiter->lock) == 0);
    while (!waiter->ending && !waiter->woken &&
           dom_cond_wait_until(&waiter->wake, &waiter->lock, until_us)) {
    }
    waiter->woken = false;
    bool going = !waiter->ending;
    DOM_ASSERT(pthread_mutex_unlock(&waiter->lock) == 0);
    return going;
}

static void tell(struct dom_waiter *waiter, bool *what)
{
    DOM_ASSERT(pthread_mutex_lock(&waiter->lock) == 0);
    *what = true;
    DOM_ASSERT(pthread_cond_signal(&waiter->wake) == 0);
    DOM_ASSERT(pthread_mutex_unlock(&waiter->lock) == 0);
}

void dom_waiter_wake(struct dom_waiter *waiter)
{
    tell(waiter, &waiter->woken);
}

void dom_waiter_end(struct dom_waiter *waiter)
{
    if (waiter->started) {
        tell(waiter, &waiter->ending);
    }
}

bool dom_waiter_ending(struct dom_waiter *waiter)
{
    DOM_ASSERT(pthread_mutex_lock(&waiter->lock) == 0);
    bool ending = waiter->ending;
    DOM_ASSERT(pthread_mutex_unlock(&waiter->lock) == 0);
    return ending;
}

void dom_waiter_join(struct dom_waiter *waiter)
{
    if (waiter->started) {
        dom_waiter_end(waiter);
        DOM_ASSERT(pthread_join(waiter->thread, NULL) == 0);
        waiter->started = false;
    }
}

void dom_waiter_cleanup(struct dom_waiter *waiter)
{
    DOM_ASSERT(!waiter->started);
    (void)pthread_mutex_destroy(&waiter->lock);
    (void)pthread_cond_destroy(&waiter->wake);
}
